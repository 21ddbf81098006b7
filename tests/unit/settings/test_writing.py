"""Settings files that the command writes, and those in `configs/`, which it has written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from kubecast.errors import ConfigError
from kubecast.settings.loading import SECTIONS, AllSettings, load_settings
from kubecast.settings.presets import Overlay, Preset, overlay_file, preset_folder
from kubecast.settings.search import SearchSettings, read_space
from kubecast.settings.writing import settings_text, write_settings

CONFIGS = Path(__file__).parents[3] / "configs"
FILES = [name for name in SECTIONS if name != "search"]


def fields(model: BaseModel, path: str) -> Iterator[tuple[str, type[BaseModel], Any]]:
    for key, field in type(model).model_fields.items():
        yield f"{path}.{key}", type(model), field
        if isinstance(value := getattr(model, key), BaseModel):
            yield from fields(value, f"{path}.{key}")


EVERY = [each for name in FILES for each in fields(SECTIONS[name](), name)]


@pytest.mark.parametrize("name", FILES)
def test_shipped_file_is_the_one_that_is_written(name: str) -> None:
    assert (CONFIGS / f"{name}.yaml").read_text() == settings_text(name), "make configs"


@pytest.mark.parametrize("kind", SearchSettings.model_fields)
def test_shipped_search_space_is_the_kinds_own(kind: str) -> None:
    assert (CONFIGS / "search" / f"{kind}.yaml").read_text() == read_space(kind), "make configs"


def test_what_is_written_is_loaded_as_the_defaults(tmp_path: Path) -> None:
    paths = write_settings(tmp_path / "new")
    assert {path.name for path in paths} >= {"training.yaml", "lstm.yaml"}
    settings = load_settings(tmp_path / "new")
    assert settings == AllSettings()
    assert (
        settings.cluster.task("train_lstm").node_selector
        == AllSettings().cluster.task("train_lstm").node_selector
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quick", "balanced", "cluster"])
def test_preset_is_written_with_every_key_and_loaded_as_it_was(name: str, tmp_path: Path) -> None:
    settings = load_settings(preset_folder(name))
    write_settings(tmp_path, overwrite=True, settings=settings)
    assert load_settings(tmp_path) == settings


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dev", "production", "multi-user", "standalone"])
def test_overlay_is_written_with_what_was_set_beside_it(name: str, tmp_path: Path) -> None:
    changes = [
        "cluster.image_repository=ghcr.io/team",
        "cluster.image_tag=1.0-0123456789ab",
        "cluster.tasks.train_lstm.accelerator=null",
        "cluster.schedules=[{name: nightly, cron: 0 2 * * *, parameters: {data: 's3://demand/d.csv'}}]",
        "training.season_lengths=[48, 336]",
        "lstm.dropout_rate=0.1",
    ]
    settings = load_settings(None, changes, overlay_file(name))
    assert settings.cluster.secrets or name == "production"
    write_settings(tmp_path, settings=settings)
    assert load_settings(tmp_path) == settings
    assert not load_settings(tmp_path).cluster.tasks.train_lstm.accelerator


def test_presets_and_overlays_are_the_ones_that_come_with_kubecast() -> None:
    assert all(preset_folder(name).is_dir() for name in get_args(Preset))
    overlays = {path.stem for path in (CONFIGS / "clusters").iterdir()}
    assert overlays == set(get_args(Overlay))
    with pytest.raises(ConfigError, match=r"^unknown preset quik; did you mean quick\?$"):
        preset_folder("quik")


def test_a_file_that_is_there_is_kept_unless_it_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "lstm.yaml").write_text("lstm: {epochs: 3}\n")
    with pytest.raises(ConfigError, match=r"lstm\.yaml: is there already; allowed: another folder"):
        write_settings(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lstm.yaml"]
    write_settings(tmp_path, overwrite=True)
    assert load_settings(tmp_path).lstm.epochs == 100


@pytest.mark.parametrize(
    ("place", "model", "field"), [each for each in EVERY if each[2].examples], ids=lambda e: e
)
def test_example_is_allowed_and_is_not_the_default(place: str, model: type[BaseModel], field: Any) -> None:
    key = place.rpartition(".")[2]
    needed = {"image_repository": {"image_tag": "1.0"}, "image_tag": {}}.get(key, {})
    for example in field.examples:
        settings = model.model_validate({key: example, **needed})
        assert getattr(settings, key) != field.get_default(call_default_factory=True)


@pytest.mark.parametrize("place", [place for place, _, _ in EVERY])
def test_every_key_stands_in_its_file(place: str) -> None:
    name, *_, key = place.split(".")
    text = (CONFIGS / f"{name}.yaml").read_text()
    inside = {"search", "tasks"} & set(place.split("."))
    assert inside or f"{key}:" in text
