"""Findings of the checks: a state, a detail, and what would mend it."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "missing", "not known"]


@dataclass(frozen=True)
class Line:
    """One line of the report.

    Attributes:
        check: What was looked at.
        state: ``not known``: it could not be looked at from here, or by this user.
        detail: What is there, or why that is not known.
        mend: The command or the setting that would help; empty where there is nothing to mend.
    """

    check: str
    state: State
    detail: str
    mend: str = ""


@dataclass(frozen=True)
class Finding:
    """A line that does not have its name yet."""

    state: State
    detail: str
    mend: str = ""


class NotKnown(Exception):  # noqa: N818  no error: the end of a check
    """Ends a check whose object this user may not read."""

    def __init__(self, detail: str, mend: str = "") -> None:
        super().__init__(detail)
        self.finding = Finding("not known", detail, mend)


def ok(detail: str) -> Finding:
    """The finding that all is as it has to be."""
    return Finding("ok", detail)


def missing(detail: str, mend: str) -> Finding:
    """The finding that a run would fail, or wait for ever."""
    return Finding("missing", detail, mend)


def not_known(detail: str, mend: str = "") -> Finding:
    """The finding that it could not be looked at."""
    return Finding("not known", detail, mend)
