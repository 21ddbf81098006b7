"""Folders that appear only when they are whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubecast.errors import InputError, IntegrityError, RegistryError
from kubecast.storage.downloads import save, staged


def test_folder_appears_at_the_end_alone(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    with staged(target) as folder:
        save(folder / "c" / "file", [b"1", b"", b"2"])
        assert not target.exists()
    assert (target / "c" / "file").read_bytes() == b"12"
    assert [*target.parent.iterdir()] == [target]


def test_folder_of_no_files_appears_too(tmp_path: Path) -> None:
    with staged(tmp_path / "a" / "b"):
        pass
    assert [*(tmp_path / "a" / "b").iterdir()] == []


def test_error_leaves_nothing(tmp_path: Path) -> None:
    def altered() -> Iterator[bytes]:
        yield b"1"
        raise IntegrityError("altered")

    with pytest.raises(IntegrityError), staged(tmp_path / "a") as folder:
        save(folder / "file", altered())
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_there_is_not_replaced(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "a"
    target.touch() if kind == "file" else target.mkdir()
    with pytest.raises(InputError, match="exists already; allowed: a new folder"), staged(target):
        pass


def test_what_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=f"cannot write to {tmp_path}"), staged(tmp_path / "a"):
        save(tmp_path / "a" / "file", [b"another's"])
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a" / "file").read_bytes() == b"another's"


def test_file_is_written_once(tmp_path: Path) -> None:
    save(tmp_path / "file", [b"first"])
    with pytest.raises(FileExistsError):
        save(tmp_path / "file", [b"second"])
