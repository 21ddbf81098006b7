"""Earlier batches are scored where they can be, and cost a newer one nothing where they cannot."""

import hashlib
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from kubecast.config.training import Columns
from kubecast.data.panel import Panel
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.errors import StoreTimeout
from kubecast.evaluation.batch_review import EarlierBatch
from kubecast.steps.batch_store import Batch, BatchFile, keep_batch, read_table
from kubecast.steps.publish_batch import score_batches
from kubecast.storage.folder import LocalStore
from kubecast.storage.store import open_store
from tests.support.forecasts import START, forecasts, panel_of

MODEL = "forecaster"


def content(name: str = "unique_id") -> bytes:
    """Forecasts of one series, as a Parquet file."""
    hours = pd.date_range(START, periods=3, freq="h")
    stream = io.BytesIO()
    pd.DataFrame({name: "s1", "ds": hours, "yhat": 1.0}).to_parquet(stream, index=False)
    return stream.getvalue()


def batch(day: int, file: bytes) -> Batch:
    name = f"202401{day:02}T000000Z-{day:016x}"
    moment = datetime(2024, 1, day, tzinfo=UTC)
    return Batch(
        batch=name,
        model=f"{MODEL}@version",
        created=moment,
        data_digest="",
        future_digest="",
        as_of="",
        horizon=3,
        series=1,
        first=moment,
        last=moment,
        files=[
            BatchFile(
                path=f"{name}/forecast-{day:032x}.parquet",
                size=len(file),
                sha256=hashlib.sha256(file).hexdigest(),
            )
        ],
    )


@pytest.fixture(scope="module")
def panel() -> Panel:
    return panel_of(forecasts({"good": 0.1}, series=1))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Batches of two days."""
    store = open_store(str(tmp_path))
    for day in (1, 2):
        (tmp_path / "made.parquet").write_bytes(content())
        keep_batch(store, MODEL, batch(day, content()), [tmp_path / "made.parquet"])
    return tmp_path


def score(folder: Path, panel: Panel) -> list[EarlierBatch]:
    store = open_store(str(folder))
    return score_batches(store, MODEL, batch(9, content()), Columns(), PanelBlocks.of(panel), {"s1": 1.0})


def damage(folder: Path) -> None:
    (folder / MODEL / batch(2, content()).files[0].path).write_bytes(b"PAR1")


def replace(folder: Path, file: bytes) -> None:
    """Put another file in place of the newest, and its manifest right."""
    newest = batch(2, file)
    (folder / MODEL / newest.files[0].path).write_bytes(file)
    (folder / MODEL / newest.batch / "manifest.json").write_text(newest.model_dump_json())


def lead_outside(folder: Path) -> None:
    manifest = folder / MODEL / batch(2, content()).batch / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"path": "../../b1.parquet"}))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (damage, "IntegrityError: .*4 bytes with SHA-256"),
        (lambda folder: replace(folder, b"PAR1"), "ArrowInvalid"),
        (lambda folder: replace(folder, content("shop")), "KeyError: .*unique_id"),
        (lead_outside, "IntegrityError: .*path"),
    ],
    ids=["damaged", "no_parquet", "other_columns", "path_outside"],
)
def test_a_batch_that_cannot_be_read_is_left_out_with_a_warning(
    kept: Path, panel: Panel, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None], reason: str
) -> None:
    newer, older = score(kept, panel)
    harm(kept)
    assert score(kept, panel) == [older]
    [warning] = caplog.messages
    assert warning.startswith(f"batch {newer.batch} is not scored: ")
    assert re.search(reason, warning)


def test_a_batch_without_its_manifest_is_none(
    kept: Path, panel: Panel, caplog: pytest.LogCaptureFixture
) -> None:
    _, older = score(kept, panel)
    (kept / MODEL / batch(2, content()).batch / "manifest.json").unlink()
    assert score(kept, panel) == [older]
    assert caplog.messages == []


def test_where_the_store_fails_none_is_scored(
    kept: Path, panel: Panel, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(store: LocalStore, path: str) -> tuple[bytes, str]:
        raise StoreTimeout("no reply")

    monkeypatch.setattr(LocalStore, "read", fail)
    assert score(kept, panel) == []
    assert caplog.messages == ["earlier batches are not scored: no reply"]


def test_a_table_is_that_of_its_manifest(kept: Path) -> None:
    found, table = read_table(open_store(str(kept)), MODEL, batch(1, content()).batch)
    assert found == batch(1, content())
    assert table["yhat"].tolist() == [1.0, 1.0, 1.0]
