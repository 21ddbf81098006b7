"""``search/``: the search spaces, by default from the file beside each kind."""

from importlib import resources
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, create_model

from kubecast.config.base import Settings
from kubecast.config.search import Space
from kubecast.config.yaml import parse_yaml
from kubecast.models import KINDS


def read_space(kind: str) -> str:
    """Read the YAML of the default space of a kind, or of the ensemble; empty where it has none."""
    place = "kubecast.ensemble:search.yaml" if kind == "ensemble" else KINDS[kind].search
    package, _, path = place.partition(":")
    return resources.files(package).joinpath(path).read_text("utf-8") if path else ""


def _default(kind: str) -> Space:
    text = read_space(kind)
    document = parse_yaml(text, f"search space of {kind}") if text else {kind: {}}
    return TypeAdapter(Space).validate_python(document[kind], strict=True)


class Spaces(Settings):
    """The space of each kind, and of the ensemble."""

    def space_of(self, kind: str) -> Space:
        """The space of a model, or of the ensemble."""
        space: Space = getattr(self, kind)
        return space


if TYPE_CHECKING:

    class SearchSettings(Spaces):
        """``search/``: the space of each model and of the ensemble."""
else:
    SearchSettings = create_model(
        "SearchSettings",
        __base__=Spaces,
        __doc__="``search/``: the space of each model and of the ensemble.",
        **{kind: (Space, _default(kind)) for kind in (*KINDS, "ensemble")},
    )
