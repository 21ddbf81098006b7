"""Fits that are cut off go on from their last epoch, wherever the next attempt runs."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from kubecast.errors import ModelError
from kubecast.models.artifact import FORECASTS
from kubecast.models.neural.settings import LstmSettings
from kubecast.steps import checkpoint as module
from kubecast.steps.checkpoint import checkpoints
from kubecast.steps.train import train_model
from kubecast.storage.store import open_store
from tests.support.panels import hourly
from tests.support.runs import prepare

pytestmark = pytest.mark.long

EPOCHS = 12
LSTM = LstmSettings(
    sequence_length=24, patch_length=6, hidden_units=[4], epochs=EPOCHS, batch_size=16
).model_dump_json()
RUN = """
import sys
from pathlib import Path
from kubecast.steps.train import train_model
panel, settings, folder, fitted = sys.argv[1:]
train_model("lstm", Path(panel), Path(folder) / "model", settings, Path(fitted) if fitted else None)
"""


def train(panel: Path, folder: Path, fitted: Path | None = None) -> pd.DataFrame:
    train_model("lstm", panel, folder / "model", LSTM, fitted)
    return pd.read_parquet(folder / "model" / FORECASTS)


def train_until_killed(panel: Path, folder: Path, at: str, fitted: Path | None = None) -> None:
    """Kill the fit with SIGKILL as soon as it has reported an epoch."""
    command = [sys.executable, "-c", RUN, str(panel), LSTM, str(folder), str(fitted or "")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        reported = next((line for line in process.stderr if line.strip() == at), None)
        process.kill()
    assert reported is not None
    assert process.returncode == -9
    assert not (folder / "model").exists()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A panel of a run that keeps no checkpoints, with a fit that was never cut off and its final fit."""
    folder = tmp_path_factory.mktemp("plain")
    panel = prepare(hourly(rows=300), folder)
    train(panel, folder / "first")
    train(panel, folder / "final", folder / "first" / "model")
    return folder


def kept(folder: Path) -> list[Path]:
    return [path for path in (folder / "checkpoints").rglob("*") if path.is_file() and path.name != ".lock"]


def test_a_killed_fit_goes_on_and_ends_like_one_that_was_not(
    plain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    panel = prepare(hourly(rows=300), tmp_path, checkpoint_url=str(tmp_path / "checkpoints"))
    train_until_killed(panel, tmp_path / "killed", f"progress train_lstm 3/{EPOCHS}")
    assert kept(tmp_path)
    caplog.clear()
    found = train(panel, tmp_path / "again")
    log = caplog.text
    assert "goes on from the checkpoint of" in log
    assert f"progress train_lstm 3/{EPOCHS}" not in log
    pd.testing.assert_frame_equal(found, pd.read_parquet(plain / "first" / "model" / FORECASTS))
    assert kept(tmp_path) == []


def test_a_killed_final_fit_goes_on_too(
    plain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    panel = prepare(hourly(rows=300), tmp_path, checkpoint_url=str(tmp_path / "checkpoints"))
    fitted = plain / "first" / "model"
    train_until_killed(panel, tmp_path / "killed", f"progress final_lstm 2/{EPOCHS}", fitted)
    caplog.clear()
    found = train(panel, tmp_path / "again", fitted)
    assert "goes on from the checkpoint of" in caplog.text
    pd.testing.assert_frame_equal(found, pd.read_parquet(plain / "final" / "model" / FORECASTS))
    assert kept(tmp_path) == []


def test_a_fit_whose_forecasts_cannot_be_written_is_not_lost(
    plain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    panel = prepare(hourly(rows=300), tmp_path, checkpoint_url=str(tmp_path / "checkpoints"))
    (tmp_path / "model" / FORECASTS).mkdir(parents=True)
    with pytest.raises(OSError, match=FORECASTS):
        train_model("lstm", panel, tmp_path / "model", LSTM)
    caplog.clear()
    found = train(panel, tmp_path / "again")
    log = caplog.text
    assert "goes on from the checkpoint of" in log
    assert "progress train_lstm" not in log
    pd.testing.assert_frame_equal(found, pd.read_parquet(plain / "first" / "model" / FORECASTS))
    assert kept(tmp_path) == []


def keep(url: Path, key: str, content: bytes, cut_off: bool = True) -> None:
    """One fit that writes a checkpoint and is then cut off."""
    with checkpoints(str(url), key, lambda done, loss: None) as (file, report):
        assert file is not None
        file.write_bytes(content)
        report(1, 0.0)
        if cut_off:
            raise ModelError("cut off")


def fetched(url: Path, key: str) -> bytes | None:
    found = None
    with suppress(ModelError), checkpoints(str(url), key, lambda done, loss: None) as (file, _):
        assert file is not None
        found = file.read_bytes() if file.exists() else None
        raise ModelError("only looked")
    return found


def test_another_fit_finds_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        keep(tmp_path, "aa", b"one")
    assert fetched(tmp_path, "ab") is None
    assert fetched(tmp_path, "aa") == b"one"


def test_a_fit_that_is_done_leaves_nothing(tmp_path: Path) -> None:
    keep(tmp_path, "aa", b"one", cut_off=False)
    assert fetched(tmp_path, "aa") is None


def test_a_torn_upload_gives_way_to_the_one_before(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        keep(tmp_path, "aa", b"whole")
    [whole] = (tmp_path / "aa").iterdir()
    (tmp_path / "aa" / "99991231T000000000000Z-0123456789abcdef").write_bytes(b"who")
    assert fetched(tmp_path, "aa") == b"whole"
    whole.unlink()
    assert fetched(tmp_path, "aa") is None


def test_what_nobody_came_back_to_expires(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.write("old/20200101T000000000000Z-0123456789abcdef", [b"old"])
    store.write("other/file", [b"not a checkpoint"])
    assert fetched(tmp_path, "aa") is None
    assert sorted(store.list_files("")) == ["other/file"]


def test_what_others_keep_in_the_same_place_never_expires(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    others = ["demand/commits/20200101T000000000000Z-01234567.json", "demand/20200101T000000Z-0123/f.parquet"]
    for path in others:
        store.write(path, [b"{}"])
    assert fetched(tmp_path, "aa") is None
    assert sorted(store.list_files("")) == sorted(others)


def test_a_store_that_fails_costs_the_protection_and_not_the_fit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    steps: list[int] = []
    (tmp_path / "file").mkdir()
    with checkpoints(str(tmp_path / "file"), "aa", lambda done, loss: steps.append(done)) as (file, report):
        (tmp_path / "file").rmdir()
        (tmp_path / "file").write_text("no folder")
        assert file is not None
        file.write_bytes(b"one")
        report(1, 0.0)
        report(2, 0.0)
    assert steps == [1, 2]
    assert len([record for record in caplog.records if "no checkpoints are kept" in record.message]) == 1


def test_without_a_place_none_are_kept() -> None:
    with checkpoints("", "aa", module.Report) as (file, report):
        assert file is None
        assert report is module.Report
