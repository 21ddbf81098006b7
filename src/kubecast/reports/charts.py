"""The charts of the pages, as the content that ``templates/charts.js`` draws by Observable Plot.

A chart is a label, axes and values; the script draws it, its legend and its table from that alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from kubecast.ensemble.summary import EnsembleSummary
from kubecast.evaluation.importance import Importance
from kubecast.evaluation.residuals import Residuals
from kubecast.evaluation.words import plain
from kubecast.resources import Usage, most_of

CURVE_POINTS = 300
STYLES = ("own", "naive", "third", "fourth")  # of the lines of one chart, in their order

Chart = dict[str, Any]
Values = Sequence[float | None]


def lines(
    label: str,
    x: Sequence[Any],
    values: Mapping[str, Values],
    *,
    x_label: str,
    y_label: str,
    styles: Sequence[str] = STYLES,
    x_type: str = "linear",
    percent: bool = False,
    zero: bool = True,
    rules: Sequence[float] = (),
    bands: Sequence[tuple[str, Values, Values]] = (),
    dots: Sequence[str] = (),
) -> Chart:
    """Lines over numbers, times (``x_type`` ``utc``, in seconds of the data's clock) or names (``point``).

    Args:
        label: What the chart shows, for those who do not see it.
        x: Shape (points,).
        values: By name, shape (points,); the first is the one that the chart is about.
        x_label: Of the horizontal axis.
        y_label: Of the vertical axis.
        styles: Of each line, keys of ``STYLES`` in the script.
        x_type: ``linear``, ``log``, ``utc`` or ``point``.
        percent: Whether values are shares.
        zero: Whether the vertical axis begins at 0.
        rules: Where dotted lines cross the chart.
        bands: Name, lower and upper bounds of areas.
        dots: Names of lines that are drawn as dots alone.
    """
    return {
        "kind": "lines",
        "label": label,
        "x": list(x),
        "x_type": x_type,
        "x_label": x_label,
        "y_label": y_label,
        "percent": percent,
        "zero": zero,
        "rules": list(rules),
        "lines": [
            {
                "name": name,
                "values": list(line),
                "style": styles[min(at, len(styles) - 1)],
                "dots": name in dots,
            }
            for at, (name, line) in enumerate(values.items())
        ],
        "bands": [
            {"name": name, "low": list(low), "high": list(high), "style": "quiet"}
            for name, low, high in bands
        ],
    }


def bars(
    label: str,
    names: Sequence[str],
    groups: Sequence[Mapping[str, Any]],
    *,
    x_label: str,
    rules: Sequence[float] = (),
    percent: bool = False,
    zero: bool = True,
) -> Chart:
    """A bar for each name; of several groups, or one with ``low`` and ``high``, dots and whiskers.

    Args:
        label: What the chart shows, for those who do not see it.
        names: From top to bottom, each once.
        groups: ``name``, ``values``, ``style`` and perhaps ``low`` and ``high``, each of shape (names,).
        x_label: Of the horizontal axis.
        rules: Where dotted lines cross the chart.
        percent: Whether values are shares.
        zero: Whether the axis holds 0.
    """
    return {
        "kind": "bars",
        "label": label,
        "names": distinct(names),
        "groups": [dict(group) for group in groups],
        "x_label": x_label,
        "rules": list(rules),
        "percent": percent,
        "zero": zero,
    }


def distinct(names: Sequence[str]) -> list[str]:
    """The names, each with a number behind it where it stands there more than once."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return result


def histogram(
    label: str,
    edges: Sequence[float],
    counts: Sequence[int],
    *,
    x_label: str,
    y_label: str,
    percent: bool = False,
) -> Chart:
    """Counts between edges, of which there is one more."""
    return {
        "kind": "histogram",
        "label": label,
        "edges": list(edges),
        "counts": list(counts),
        "x_label": x_label,
        "y_label": y_label,
        "percent": percent,
    }


def member_chart(ensemble: EnsembleSummary) -> Chart:
    """Each member's error alone, and the ensemble's without it."""
    groups: list[Mapping[str, Any]] = [
        {"name": "ensemble without it", "style": "own", "values": [m.mase_without for m in ensemble.members]},
        {"name": "alone", "style": "naive", "values": [member.mase for member in ensemble.members]},
    ]
    return bars(
        "MASE of each member alone, and of the ensemble without it; dotted: the ensemble",
        [plain(member.model) for member in ensemble.members],
        groups,
        x_label="MASE on the validation split",
        rules=[] if ensemble.mase is None else [ensemble.mase],
        zero=False,
    )


def residual_charts(residuals: Residuals) -> dict[str, Chart]:
    """The distribution of the errors, their quantiles beside normal ones, and their autocorrelation."""
    shares = [(at + 1) / 100 for at in range(len(residuals.observed))]
    charts = {
        "errors": histogram(
            "Histogram of the errors; the outermost bars hold all beyond them",
            residuals.edges,
            residuals.counts,
            x_label="error in scales, target less forecast",
            y_label="errors",
        ),
        "quantiles": lines(
            "Quantiles of the errors against those of a normal distribution",
            shares,
            {"errors": residuals.observed, "normal": residuals.normal},
            x_label="share below",
            y_label="error in scales",
            zero=False,
        ),
    }
    if residuals.bands:
        band = ("independent errors", [-limit for limit in residuals.bands], residuals.bands)
        charts["correlation"] = lines(
            "Autocorrelation of one-step errors by lag",
            list(range(1, len(residuals.bands) + 1)),
            {"autocorrelation": residuals.autocorrelation},
            x_label="lag, origins",
            y_label="autocorrelation",
            bands=[band],
        )
    return charts


def curve_chart(curves: Mapping[str, Sequence[float]], best: int | None, label: str) -> Chart:
    """Loss by step, thinned where a curve is long."""
    longest = max(map(len, curves.values()))
    steps = list(range(0, longest, -(-longest // CURVE_POINTS)))
    values = {
        name: [curve[step] if step < len(curve) else None for step in steps]
        for name, curve in curves.items()
        if curve
    }
    if best is not None and (kept := _nearest(steps, best)) is not None:
        first = next(iter(values.values()))
        values["best step"] = [value if at == kept else None for at, value in enumerate(first)]
    return lines(label, steps, values, x_label="step", y_label="loss", zero=False, dots=["best step"])


def _nearest(steps: Sequence[int], best: int) -> int | None:
    return min(range(len(steps)), key=lambda at: abs(steps[at] - best), default=None)


def rate_chart(rates: Sequence[float]) -> Chart:
    """Learning rate by epoch."""
    return lines(
        "Learning rate by epoch",
        list(range(1, len(rates) + 1)),
        {"learning rate": list(rates)},
        x_label="epoch",
        y_label="learning rate",
    )


def importance_chart(importance: Sequence[Importance]) -> Chart:
    """Inputs by importance, the largest first, with the spread over windows."""
    values = [each.value for each in importance]
    group: dict[str, Any] = {"name": "importance", "style": "own", "values": values}
    if any(each.spread for each in importance):
        spreads = [each.spread or 0.0 for each in importance]
        group["low"] = [value - spread for value, spread in zip(values, spreads, strict=True)]
        group["high"] = [value + spread for value, spread in zip(values, spreads, strict=True)]
    names = [each.feature for each in importance]
    return bars("Importance of the inputs", names, [group], x_label="importance")


def usage_charts(usage: Usage) -> dict[str, Chart]:
    """What the task used over time, by title; without what was never measured."""
    measured: dict[str, Values] = {
        "Processors": usage.cpu,
        "Memory, GiB": usage.memory,
        "GPU, share": usage.gpu,
        "GPU memory, GiB": usage.gpu_memory,
    }
    return {
        title: lines(f"{title} by time", usage.seconds, {title: values}, x_label="seconds", y_label=title)
        for title, values in measured.items()
        if most_of([value for value in values]) is not None
    }
