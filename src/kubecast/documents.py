"""The base of what is written as JSON."""

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A JSON document: no unknown keys, no NaN, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
