"""The checkpoint of a fit: all that the training loop needs to go on as if it had never stopped."""

import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from kubecast.models.base import FitPlan
from kubecast.models.neural.origins import WindowOrigins
from kubecast.models.neural.settings import NeuralSettings
from kubecast.models.neural.spec import WindowSpec


class Progress(BaseModel):
    """The progress of a training.

    Attributes:
        rates: Learning rate of each epoch.
        train: Training loss, before the first update and after each epoch.
        validation: The same of the validation windows; empty for a fit that holds out none.
    """

    rates: list[float] = []
    train: list[float] = []
    validation: list[float] = []


class Checkpoint(NamedTuple):
    """State of a fit after an epoch.

    Attributes:
        progress: How far it is.
        current: Values of the network's and the optimizer's variables.
        best: Weights of the network after its best epoch.
    """

    progress: Progress
    current: list[NDArray[Any]]
    best: list[NDArray[Any]]


def fit_digest(settings: NeuralSettings, plan: FitPlan, spec: WindowSpec, origins: WindowOrigins) -> str:
    """A SHA-256 of all that decides a fit; a checkpoint of another digest belongs to another fit."""
    parts = [settings.model_dump(exclude={"time_limit"}), plan.seed, plan.fixed_fit, spec.model_dump()]
    text = json.dumps(parts, sort_keys=True).encode()
    return hashlib.sha256(text + origins.train.tobytes() + origins.validation.tobytes()).hexdigest()


def write_checkpoint(path: Path, digest: str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all."""
    arrays: dict[str, Any] = {f"now{at}": array for at, array in enumerate(checkpoint.current)}
    arrays |= {f"best{at}": array for at, array in enumerate(checkpoint.best)}
    with path.with_suffix(".part").open("wb") as file:
        np.savez(file, digest=digest, state=checkpoint.progress.model_dump_json(), **arrays)
        file.flush()
        os.fsync(file.fileno())
    path.with_suffix(".part").replace(path)


def read_checkpoint(
    path: Path, digest: str, variables: Sequence[Any], weights: Sequence[Any]
) -> Checkpoint | None:
    """Read a checkpoint; None where there is none, it is damaged, or its digest is that of another fit.

    Args:
        path: Of the file.
        digest: Of the fit that would go on.
        variables: Those that ``current`` has values of.
        weights: Those that ``best`` has values of.
    """
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if str(archive["digest"]) != digest:
                return None
            return Checkpoint(
                Progress.model_validate_json(str(archive["state"])),
                [archive[f"now{at}"] for at in range(len(variables))],
                [archive[f"best{at}"] for at in range(len(weights))],
            )
    except (EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
