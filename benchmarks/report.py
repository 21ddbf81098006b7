"""The tables of the benchmarks: each target writes its own, `make bench` joins them.

The joined tables are docs/benchmarks.md and, for programs, docs/benchmarks.json.
"""

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import psutil
from pydantic import BaseModel

from benchmarks.measure import ROOT, figure

FOLDER = ROOT / "output" / "benchmarks"
ORDER = ("accuracy", "arima", "neural", "panel", "large", "shards", "sampling", "overhead", "registry")


class Bar(BaseModel):
    """A figure and the limit that it should keep.

    Attributes:
        what: The figure in words.
        value: The figure; None where it was not measured.
        least: Smallest that meets the bar; None: there is none.
        most: Largest that meets it; None: there is none.
    """

    what: str
    value: float | None
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool:
        """Whether the value is inside its limits."""
        if self.value is None:
            return False
        above = self.least is None or self.value >= self.least
        return above and (self.most is None or self.value <= self.most)

    @property
    def verdict(self) -> str:
        """Whether the bar is met, in a word."""
        return "yes" if self.met else "no"

    @property
    def limit(self) -> str:
        """The limit in words."""
        bounds = [("at least", self.least), ("at most", self.most)]
        return " and ".join(f"{name} {bound:g}" for name, bound in bounds if bound is not None)


class Table(BaseModel):
    """Rows under one title.

    Attributes:
        title: Title, one line.
        rows: Cells by column; the first row's order is that of the columns.
        note: Way of measuring, in Markdown.
    """

    title: str
    rows: list[dict[str, Any]]
    note: str = ""

    def markdown(self) -> str:
        """The table in Markdown."""
        columns = list(self.rows[0]) if self.rows else []
        lines = [f"### {self.title}", ""]
        if columns:
            lines += [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
            lines += [f"| {' | '.join(_text(row.get(name)) for name in columns)} |" for row in self.rows]
        return "\n".join([*lines, *(["", self.note] if self.note else []), ""])


class Machine(BaseModel):
    """The machine and the date of a measurement."""

    processor: str
    cores: int
    memory_gb: float
    system: str
    python: str
    date: str

    @classmethod
    def this(cls) -> Self:
        """This machine, now."""
        return cls(
            processor=_processor(),
            cores=psutil.cpu_count(),
            memory_gb=round(psutil.virtual_memory().total / 2**30, 1),
            system=f"{platform.system()} {platform.machine()}",
            python=platform.python_version(),
            date=datetime.now(UTC).strftime("%Y-%m-%d"),
        )

    def markdown(self) -> str:
        """The machine in one sentence."""
        return (
            f"{self.date}, {self.cores} cores of {self.processor}, {self.memory_gb:g} GiB,"
            f" {self.system}, Python {self.python}"
        )


class Results(BaseModel):
    """Everything that one target measured.

    Attributes:
        name: Name of the target, without ``bench-``.
        title: Title of its section.
        tables: Tables in order.
        bars: Bars in order.
        versions: Versions by package.
        machine: Place and time.
        raw: Figures that the tables were computed from, where they do not show them.
    """

    name: str
    title: str
    tables: list[Table]
    bars: list[Bar] = []
    versions: dict[str, str]
    machine: Machine
    raw: list[dict[str, Any]] = []

    @classmethod
    def collect(
        cls,
        name: str,
        title: str,
        tables: Sequence[Table],
        bars: Sequence[Bar] = (),
        packages: Sequence[str] = (),
        peers: dict[str, str] | None = None,
        raw: Sequence[dict[str, Any]] = (),
    ) -> Self:
        """Collect results that were measured here and now.

        Args:
            name: Name of the target, without ``bench-``.
            title: Title of its section.
            tables: Tables in order.
            bars: Bars in order.
            packages: Packages whose versions are given, beside that of kubecast.
            peers: Versions of packages in another environment.
            raw: Figures that the tables were computed from.
        """
        versions = {package: version(package) for package in ("kubecast", *packages)} | (peers or {})
        contents = {"tables": list(tables), "bars": list(bars), "versions": versions, "raw": list(raw)}
        return cls(name=name, title=title, machine=Machine.this(), **contents)

    def markdown(self) -> str:
        """The results as one section."""
        parts = [f"## {self.title}", "", f"`make bench-{self.name}`. {self.machine.markdown()}.", ""]
        parts += ["; ".join(f"{package} {number}" for package, number in self.versions.items()) + ".", ""]
        if self.bars:
            rows = [
                {
                    "bar": bar.what,
                    "limit": bar.limit,
                    "measured": bar.value,
                    "met": bar.verdict,
                }
                for bar in self.bars
            ]
            parts.append(Table(title="Bars", rows=rows).markdown())
        return "\n".join([*parts, *(table.markdown() for table in self.tables)])

    def save(self) -> None:
        """Print the section, and write ``output/benchmarks/<name>.json`` and ``.md``."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        text = self.markdown()
        (FOLDER / f"{self.name}.json").write_text(self.model_dump_json(indent=1))
        (FOLDER / f"{self.name}.md").write_text(text)
        print(text)


def main() -> None:
    """Join the files of the targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md")
    parser.add_argument("--check", action="store_true", help="fail where a bar is not met")
    given = parser.parse_args()
    files = [FOLDER / f"{name}.json" for name in ORDER]
    results = [Results.model_validate_json(file.read_bytes()) for file in files if file.exists()]
    if not results:
        sys.exit(f"error: nothing in {FOLDER}; allowed: run a target such as make bench-overhead first")
    given.output.write_text(_page(results))
    parts = [result.model_dump(mode="json") for result in results]
    given.output.with_suffix(".json").write_text(json.dumps(parts, separators=(",", ":")) + "\n")
    missed = [f"{result.name}: {bar.what}" for result in results for bar in result.bars if not bar.met]
    print(f"written    {given.output}  {len(results)} of {len(ORDER)} parts, {len(missed)} bars not met")
    if given.check and missed:
        sys.exit(f"error: not met: {'; '.join(missed)}")


def _page(results: Sequence[Results]) -> str:
    head = (
        "# Benchmarks\n\n"
        "Written by `make bench` from what each target measured; `benchmarks.json` beside it has the same,"
        " and of the\naccuracy the errors of each origin and seed.\n"
        "Each side of a comparison runs in a process of its own on the same cores. Where something is"
        " repeated, the\nsides take turns, a figure is the median with lowest and highest in brackets, and a"
        " ratio is the median of\nthe ratios of each repeat. Seconds depend on the machine; compare"
        " ratios.\n\n"
    )
    return head + "\n".join(result.markdown() for result in results)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return figure(value) if isinstance(value, int | float) else str(value)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return " ".join((named or [platform.processor() or "an unknown processor"])[0].split())


if __name__ == "__main__":
    main()
