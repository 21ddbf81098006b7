"""Findings about the data, and the report that they make up."""

from dataclasses import dataclass, field

from pydantic import BaseModel


class Finding(BaseModel):
    """An observation about the data, and what was done about it.

    Attributes:
        what: For example ``sorted``, ``missing``, ``constant``, ``short``, ``left_out``.
        series: The series it concerns; empty for the whole file.
        count: Rows concerned.
        detail: One sentence.
    """

    what: str
    series: str = ""
    count: int = 0
    detail: str = ""


class DataReport(BaseModel):
    """The findings of preparation: what it repaired, noticed or left out."""

    rows: int = 0
    series: int = 0
    findings: list[Finding] = []


@dataclass
class Notes:
    """Findings, in the order in which they are made."""

    findings: list[Finding] = field(default_factory=list)

    def add(self, what: str, detail: str, series: str = "", count: int = 0) -> None:
        """Note one finding; the arguments are those of ``Finding``."""
        self.findings.append(Finding(what=what, detail=detail, series=series, count=count))
