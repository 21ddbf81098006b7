"""The base of the models of every settings file, and their types of numbers."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """Base of every settings model: strict types, no unknown keys, immutable."""

    removed: ClassVar[Mapping[str, str]] = {}
    """Keys of earlier versions, with the reason why they are gone."""

    renamed: ClassVar[Mapping[str, str]] = {}
    """Keys of earlier versions, with their names now."""

    machine: ClassVar[tuple[str, ...]] = ()
    """Keys that describe the machine: a retraining takes them from the file, not from the champion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
