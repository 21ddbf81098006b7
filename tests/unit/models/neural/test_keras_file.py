"""A .keras file is checked before Keras reads any of it."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from kubecast.errors import IntegrityError
from kubecast.models.neural.keras_file import check_archive
from kubecast.models.neural.settings import TransformerSettings
from kubecast.models.neural.spec import WindowSpec
from kubecast.models.neural.transformer import TransformerForecaster, TransformerTrainer

SPEC = WindowSpec(
    sequence_length=8,
    horizon=2,
    frequency="h",
    season_lengths=[4],
    normalization="instance",
    residual="last",
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = TransformerSettings(sequence_length=8, d_model=4, num_heads=2, num_layers=1, dff=4)
    network = TransformerTrainer(settings, "t").build(SPEC)
    folder = tmp_path_factory.mktemp("saved")
    TransformerForecaster("t", SPEC, network).save(folder)
    return folder / "network.keras"


@pytest.fixture
def rewrite(saved: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copy the file with changed, added (name: bytes) or left out (name: None) members."""

    def copy(compression: int = zipfile.ZIP_STORED, **changes: bytes | None) -> Path:
        target = tmp_path / "network.keras"
        with zipfile.ZipFile(saved) as source, zipfile.ZipFile(target, "w", compression) as archive:
            members = {name: source.read(name) for name in source.namelist()} | changes
            for name, data in members.items():
                if data is not None:
                    archive.writestr(name, data)
        return target

    return copy


def with_layer(saved: Path, layer: dict[str, object]) -> bytes:
    with zipfile.ZipFile(saved) as source:
        config = json.loads(source.read("config.json"))
    config["config"]["layers"].append(layer)
    return json.dumps(config).encode()


@pytest.mark.slow
def test_what_is_saved_passes(saved: Path) -> None:
    check_archive(saved)


def test_a_lambda_is_refused_by_name(tmp_path: Path) -> None:
    inputs = keras.Input((2,))
    network = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs))
    network.save(tmp_path / "network.keras")
    with pytest.raises(IntegrityError, match=r"holds keras\.layers\.Lambda; allowed: Add"):
        check_archive(tmp_path / "network.keras")


@pytest.mark.parametrize(
    "layer",
    [
        {"module": "subprocess", "class_name": "Popen", "config": {"args": ["id"]}, "registered_name": None},
        {"module": "subprocess", "class_name": "Dense", "config": {}, "registered_name": None},
        {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"},
        {"module": "keras.layers", "class_name": "Dense", "config": {}, "registered_name": "evil>Layer"},
        {"class_name": "TFOpLambda", "config": {}},
        {
            "class_name": "Dense",
            "module": "keras.layers",
            "config": {"inner": [{"class_name": "__lambda__"}]},
        },
    ],
)
def test_a_foreign_class_is_refused_wherever_it_is(
    saved: Path, rewrite: Callable[..., Path], layer: dict[str, object]
) -> None:
    with pytest.raises(IntegrityError, match="holds"):
        check_archive(rewrite(**{"config.json": with_layer(saved, layer)}))


@pytest.mark.parametrize("name", ["../../evil.py", "/etc/evil", "assets/vocabulary.txt", "model.weights.npz"])
def test_other_members_are_refused(rewrite: Callable[..., Path], name: str) -> None:
    with pytest.raises(IntegrityError, match="has members"):
        check_archive(rewrite(**{name: b"x"}))


def test_a_missing_member_is_refused(rewrite: Callable[..., Path]) -> None:
    with pytest.raises(IntegrityError, match="has members"):
        check_archive(rewrite(**{"metadata.json": None}))


def test_a_member_above_its_size_is_refused(rewrite: Callable[..., Path]) -> None:
    with pytest.raises(IntegrityError, match=r"metadata\.json has 100000 bytes; allowed: 65536"):
        check_archive(rewrite(**{"metadata.json": b" " * 100_000}))


def test_a_compressed_member_is_refused(rewrite: Callable[..., Path]) -> None:
    with pytest.raises(IntegrityError, match="is compressed"):
        check_archive(rewrite(zipfile.ZIP_DEFLATED, **{"model.weights.h5": bytes(10_000_000)}))


@pytest.mark.parametrize("config", [b"{", b"\xff", b"[" * 100_000])
def test_configuration_that_is_not_json_is_refused(rewrite: Callable[..., Path], config: bytes) -> None:
    with pytest.raises(IntegrityError, match="not a network"):
        check_archive(rewrite(**{"config.json": config}))


def test_a_truncated_or_foreign_file_is_refused(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "network.keras"
    for data in (saved.read_bytes()[:-100], b"\x80\x04pickle", b""):
        path.write_bytes(data)
        with pytest.raises(IntegrityError, match="not a network"):
            check_archive(path)
    with pytest.raises(IntegrityError, match="not a network"):
        check_archive(tmp_path / "missing.keras")
