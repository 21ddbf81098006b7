"""What a check found, and what would mend it."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "missing", "not known"]


@dataclass(frozen=True)
class Line:
    """One line of the report.

    Attributes:
        check: What was looked at.
        state: ``not known``: it could not be looked at from here, or by this user.
        found: What is there, or why that is not known.
        mend: The command or the setting that would help; empty where there is nothing to mend.
    """

    check: str
    state: State
    found: str
    mend: str = ""


@dataclass(frozen=True)
class Finding:
    """A line that does not have its name yet."""

    state: State
    found: str
    mend: str = ""


class NotKnown(Exception):  # noqa: N818  no error: the end of a check
    """Ends a check whose object this user may not read."""

    def __init__(self, found: str, mend: str = "") -> None:
        super().__init__(found)
        self.finding = Finding("not known", found, mend)


def ok(found: str) -> Finding:
    """All is as it has to be."""
    return Finding("ok", found)


def missing(found: str, mend: str) -> Finding:
    """A run would fail, or wait for ever."""
    return Finding("missing", found, mend)


def not_known(found: str, mend: str = "") -> Finding:
    """Nothing was found out."""
    return Finding("not known", found, mend)
