"""The charts of the pages, each from the figures that it shows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from kubecast.ensemble.summary import EnsembleSummary
from kubecast.evaluation.examples import ExampleSeries
from kubecast.evaluation.importance import Importance
from kubecast.reports.drawing import (
    ABOVE,
    ACCENT,
    INK,
    PALETTE,
    WHOLE_STEPS,
    draw_chart,
    draw_line,
    draw_model_lines,
)
from kubecast.resources import Usage, most_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE_POINTS = 300
LABEL = 32  # characters of a name from the data


def lead_time_chart(
    lines: Mapping[str, Sequence[float | None]], strong: str, season_length: int, name: str
) -> Markup:
    """MASE by lead time, one line for each model.

    Args:
        lines: By model, shape (lead times,).
        strong: The model to stand out.
        season_length: MASE's m.
        name: Unique in the page.
    """

    def draw(axes: "Axes") -> None:
        steps = np.arange(1, max(map(len, lines.values()), default=0) + 1)
        draw_model_lines(axes, steps, lines, strong)
        axes.set(xlabel="lead time, steps", ylabel=f"MASE, m = {season_length}")
        axes.locator_params(axis="x", **WHOLE_STEPS)

    return draw_chart(
        draw, name, "Line chart of MASE by lead time for each model; the table below has the figures"
    )


def forecast_chart(example: ExampleSeries, name: str) -> Markup:
    """Actuals before and after an origin, a model's forecast and its intervals."""

    def draw(axes: "Axes") -> None:
        ds: Any = example.ds
        for (level, bounds), alpha in zip(example.bands.items(), (0.22, 0.4), strict=False):
            axes.fill_between(ds, *bounds, color=ACCENT, alpha=alpha, lw=0, label=f"{level} %")
        times: Any = example.history_ds + example.ds
        actual = [np.nan if value is None else value for value in example.history + example.actual]
        axes.plot(times, actual, color=INK, lw=1.2, label="actual")
        axes.plot(ds, example.forecast, color=ACCENT, lw=2, label=example.model)
        axes.legend(ncols=4, fontsize=8, **ABOVE)

    return draw_chart(draw, name, f"Line chart of actuals and forecasts of series {example.unique_id}")


def coverage_chart(levels: Mapping[str, tuple[float, float]], name: str) -> Markup:
    """Observed against nominal coverage; on the diagonal where intervals are right.

    Args:
        levels: Nominal and observed share by label.
        name: Unique in the page.
    """

    def draw(axes: "Axes") -> None:
        nominal, observed = zip(*sorted(levels.values()), strict=True)
        axes.plot([0, 1], [0, 1], color=INK, lw=1, ls=":")
        axes.plot(nominal, observed, color=ACCENT, lw=2, marker="o")
        axes.set(xlabel="nominal coverage", ylabel="observed", xlim=(0, 1), ylim=(0, 1))

    return draw_chart(
        draw, name, "Line chart of observed against nominal coverage; the table has the figures", 4.2
    )


def coverage_step_chart(lines: Mapping[str, Sequence[float | None]], title: str, name: str) -> Markup:
    """Observed coverage by lead time or season phase, one line for each nominal level, which is dotted.

    Args:
        lines: By nominal coverage in percent, shape (steps,).
        title: What the steps are.
        name: Unique in the page.
    """

    def draw(axes: "Axes") -> None:
        for (level, values), colour in zip(lines.items(), (ACCENT, *PALETTE), strict=False):
            steps = np.arange(len(values)) + (title == "lead time")
            draw_line(axes, steps, values, color=colour, label=f"{level} %")
            axes.axhline(float(level) / 100, color=colour, lw=1, ls=":")
        axes.set(xlabel=f"{title}, steps", ylabel="observed coverage", ylim=(0, 1.02))
        axes.locator_params(axis="x", **WHOLE_STEPS)
        axes.legend(ncols=6, fontsize=8, **ABOVE)

    return draw_chart(draw, name, f"Line chart of observed coverage by {title}; nominal coverage is dotted")


def fold_chart(
    names: Sequence[str],
    lines: Mapping[str, Sequence[float | None]],
    strong: str,
    season_length: int,
    name: str,
) -> Markup:
    """MASE by fold of origins, one line for each model.

    Args:
        names: Of the folds, oldest first.
        lines: By model, shape (folds,).
        strong: The model to stand out.
        season_length: MASE's m.
        name: Unique in the page.
    """

    def draw(axes: "Axes") -> None:
        draw_model_lines(axes, names, lines, strong, marker="o", ms=3)
        axes.set(ylabel=f"MASE, m = {season_length}")
        axes.tick_params(axis="x", rotation=25)

    return draw_chart(
        draw, name, "Line chart of MASE by fold for each model; the table below has the figures"
    )


def version_chart(
    versions: Sequence[str], mase: Sequence[float | None], champion: int | None, name: str
) -> Markup:
    """MASE of the ensemble by version, each on its own test split.

    Args:
        versions: Oldest first; the last is the new one.
        mase: Shape (versions,).
        champion: Position of the champion, which is marked.
        name: Unique in the page.
    """

    def draw(axes: "Axes") -> None:
        at = np.arange(len(versions))
        draw_line(axes, at, mase, color=ACCENT, marker="o", ms=4)
        if champion is not None:
            axes.axvline(champion, color=INK, lw=1, ls=":", label="champion")
            axes.legend(fontsize=8, **ABOVE)
        axes.set(ylabel="MASE, own test split", ylim=(0, None))
        axes.set_xticks(at, versions, rotation=25, ha="right")

    return draw_chart(draw, name, "Line chart of MASE by version, the newest last; the table has the figures")


def member_chart(ensemble: EnsembleSummary, name: str) -> Markup:
    """MASE of each single member and of the ensemble without it, beside that of the ensemble."""

    def draw(axes: "Axes") -> None:
        members = ensemble.members[::-1]
        at = np.arange(len(members))
        axes.axvline(_drawn(ensemble.mase), color=INK, lw=1, ls=":", label="ensemble")
        axes.plot(
            [_drawn(each.mase) for each in members], at, color=PALETTE[0], lw=0, marker="s", label="alone"
        )
        without = [_drawn(each.mase_without) for each in members]
        axes.plot(without, at, color=ACCENT, lw=0, marker="o", label="ensemble without it")
        axes.set_yticks(at, [each.model for each in members])
        axes.set(xlabel="MASE on the validation split")
        axes.legend(ncols=3, fontsize=8, **ABOVE)

    about = "Chart of MASE of each member alone and of the ensemble without it; the table has the figures"
    return draw_chart(draw, name, about, 7.6, 1.0 + 0.26 * len(ensemble.members))


def _drawn(value: float | None) -> float:
    """A figure as a chart takes it: one that is missing leaves a hole."""
    return float("nan") if value is None else value


def histogram_chart(edges: Sequence[float], counts: Sequence[int], name: str) -> Markup:
    """The distribution of the errors."""

    def draw(axes: "Axes") -> None:
        axes.stairs(counts, edges, fill=True, color=ACCENT)
        axes.axvline(0, color=INK, lw=1, ls=":")
        axes.set(xlabel="target less forecast, in the series' scale", ylabel="targets")

    return draw_chart(draw, name, "Histogram of the errors of the ensemble over the test split", 4.8)


def quantile_chart(normal: Sequence[float], observed: Sequence[float], name: str) -> Markup:
    """Quantiles of errors against those of a normal distribution; on the diagonal where they are normal."""

    def draw(axes: "Axes") -> None:
        ends = [min(*normal, *observed), max(*normal, *observed)]
        axes.plot(ends, ends, color=INK, lw=1, ls=":")
        axes.plot(normal, observed, color=ACCENT, lw=0, marker="o", ms=3)
        axes.set(xlabel="normal quantile", ylabel="observed quantile")

    return draw_chart(draw, name, "Q-Q plot of the errors against a normal distribution", 4.2)


def correlation_chart(values: Sequence[float], bands: Sequence[float], name: str) -> Markup:
    """Autocorrelation by lag, and the band that independent errors stay within."""

    def draw(axes: "Axes") -> None:
        lags, band = np.arange(1, len(values) + 1), np.asarray(bands)
        axes.stairs(band, np.arange(len(band) + 1) + 0.5, baseline=-band, fill=True, color=INK, alpha=0.08)
        axes.axhline(0, color=INK, lw=1)
        axes.vlines(lags, 0, values, color=ACCENT, lw=3)
        axes.set(xlabel="lag, origins", ylabel="autocorrelation", ylim=(-1.05, 1.05))
        axes.locator_params(axis="x", **WHOLE_STEPS)

    return draw_chart(
        draw, name, f"Bar chart of the autocorrelation by lag, {values[0]:.2f} at the first", 4.8
    )


def curve_chart(curves: Mapping[str, Sequence[float]], best: int | None, model: str, name: str) -> Markup:
    """A model's loss by epoch or iteration, with the best one marked."""

    def draw(axes: "Axes") -> None:
        drawn = {label: values for label, values in curves.items() if values}
        colours = dict(zip(drawn, (ACCENT, *PALETTE), strict=False))
        for label, values in drawn.items():
            kept = np.unique(np.linspace(0, len(values) - 1, CURVE_POINTS).astype(np.int64))
            draw_line(axes, kept, np.asarray(values)[kept], color=colours[label], label=label)
        if best is not None:
            axes.axvline(best, color=INK, lw=1, ls=":", label=f"best: {best}")
        axes.set(xlabel="epoch or iteration", ylabel="loss")
        axes.locator_params(axis="x", **WHOLE_STEPS)
        axes.legend(fontsize=8)

    return draw_chart(draw, name, f"Line chart of the loss of {model}", 4.8)


def rate_chart(rates: Sequence[float], name: str) -> Markup:
    """Learning rate by epoch."""

    def draw(axes: "Axes") -> None:
        draw_line(axes, np.arange(1, len(rates) + 1), rates, color=ACCENT)
        axes.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
        axes.locator_params(axis="x", **WHOLE_STEPS)

    return draw_chart(
        draw, name, f"Line chart of the learning rate, from {rates[0]:.3g} to {rates[-1]:.3g}", 4.8
    )


def usage_charts(usage: Usage) -> dict[str, Markup]:
    """Resources that a task used over time, by title; none for those that were not sampled."""
    lines: dict[str, tuple[Sequence[float | None], str]] = {
        "Processors": (usage.cpu, "processors busy"),
        "Memory": (usage.memory, "GiB"),
        "GPU": (usage.gpu, "share of the time"),
        "GPU memory": (usage.gpu_memory, "GiB"),
    }

    def chart(title: str, values: Sequence[float | None], label: str) -> Markup:
        def draw(axes: "Axes") -> None:
            draw_line(axes, usage.seconds, values, color=ACCENT)
            axes.set(xlabel="seconds", ylabel=label, ylim=(0, None))

        most = most_of(values)
        about = f"Line chart of {label} over {usage.seconds[-1]:.0f} seconds, at most {most:.3g}"
        return draw_chart(draw, title.lower().replace(" ", "-"), about, 4.8, 2.0)

    return {
        title: chart(title, values, label)
        for title, (values, label) in lines.items()
        if most_of(values) is not None
    }


def importance_chart(inputs: Sequence[Importance], name: str) -> Markup:
    """A bar for each input, the largest on top, with its spread."""

    def draw(axes: "Axes") -> None:
        upwards = list(inputs)[::-1]
        spreads = [each.spread or 0.0 for each in upwards]
        axes.barh(
            np.arange(len(upwards)),
            [each.value for each in upwards],
            tick_label=[_shortened(each.feature) for each in upwards],
            xerr=spreads,
            color=ACCENT,
            ecolor=INK,
        )
        axes.set(xlabel="importance")
        axes.grid(axis="y", visible=False)

    height = 0.7 + 0.22 * len(inputs)
    return draw_chart(draw, name, f"Bar chart of importance; most: {inputs[0].feature}", height=height)


def _shortened(name: str) -> str:
    """On one line, and no longer than leaves room for what is drawn."""
    line = " ".join(name.split())
    return line if len(line) <= LABEL else f"{line[: LABEL - 1]}…"
