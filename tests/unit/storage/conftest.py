from pathlib import Path

import pytest

from tests.support.work import Make


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A new folder with files, each time."""

    def files(contents: dict[str, bytes]) -> Path:
        folder = tmp_path / f"files-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        return folder

    return files
