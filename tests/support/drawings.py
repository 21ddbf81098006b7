"""Pages without their drawings, which are two thirds of what a run of all steps costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import pytest
from matplotlib.figure import Figure

EMPTY = '<svg viewBox="0 0 1 1"></svg>'


@contextmanager
def left_empty() -> Iterator[None]:
    """Let every chart be an empty image; what stands around it on a page stays as it is."""

    def save(figure: Figure, file: IO[str], **options: Any) -> None:
        file.write(EMPTY)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save)
        yield
