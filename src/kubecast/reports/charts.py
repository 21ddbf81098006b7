"""Charts as inline SVG: text stays text, ink follows the page, and the same input gives the same bytes."""

import re
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from kubecast.ensemble.summary import Weighed
from kubecast.evaluation.examples import ShownSeries
from kubecast.evaluation.importance import Importance
from kubecast.resources import Usage, most_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna import Study

ACCENT = "#3d7ff0"  # legible on white and on near-black, as is each of the palette
PALETTE = ("#d96f22", "#2ba06b", "#a368d8", "#d9556b", "#1e9fb5", "#b08a1e", "#8490a5")
CURVE_POINTS = 300
WIDTH = 7.6  # inches, which fill the page
LABEL = 32  # characters of a name from the data
_INK = "#010203"  # stands for currentColor, which matplotlib does not know
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kubecast",
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _INK,
    "grid.alpha": 0.12,
    "legend.frameon": False,
    "font.size": 9,
    "date.converter": "concise",
    "text.parse_math": False,
}
_WHOLE: dict[str, Any] = {"integer": True, "min_n_ticks": 1}  # of steps there are no halves
_ABOVE: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}


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
        _model_lines(axes, steps, lines, strong)
        axes.set(xlabel="lead time, steps", ylabel=f"MASE, m = {season_length}")
        axes.locator_params(axis="x", **_WHOLE)

    return _chart(
        draw, name, "Line chart of MASE by lead time for each model; the table below has the figures"
    )


def forecast_chart(shown: ShownSeries, name: str) -> Markup:
    """Actuals before and after an origin, a model's forecast and its intervals."""

    def draw(axes: "Axes") -> None:
        ds: Any = shown.ds
        for (level, bounds), alpha in zip(shown.bands.items(), (0.22, 0.4), strict=False):
            axes.fill_between(ds, *bounds, color=ACCENT, alpha=alpha, lw=0, label=f"{level} %")
        times: Any = shown.history_ds + shown.ds
        actual = [np.nan if value is None else value for value in shown.history + shown.actual]
        axes.plot(times, actual, color=_INK, lw=1.2, label="actual")
        axes.plot(ds, shown.forecast, color=ACCENT, lw=2, label=shown.model)
        axes.legend(ncols=4, fontsize=8, **_ABOVE)

    return _chart(draw, name, f"Line chart of actuals and forecasts of series {shown.unique_id}")


def coverage_chart(levels: Mapping[str, tuple[float, float]], name: str) -> Markup:
    """Observed against nominal coverage; on the diagonal where intervals are right.

    Args:
        levels: Nominal and observed share by label.
        name: Unique in the page.
    """

    def draw(axes: "Axes") -> None:
        nominal, observed = zip(*sorted(levels.values()), strict=True)
        axes.plot([0, 1], [0, 1], color=_INK, lw=1, ls=":")
        axes.plot(nominal, observed, color=ACCENT, lw=2, marker="o")
        axes.set(xlabel="nominal coverage", ylabel="observed", xlim=(0, 1), ylim=(0, 1))

    return _chart(
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
            _line(axes, steps, values, color=colour, label=f"{level} %")
            axes.axhline(float(level) / 100, color=colour, lw=1, ls=":")
        axes.set(xlabel=f"{title}, steps", ylabel="observed coverage", ylim=(0, 1.02))
        axes.locator_params(axis="x", **_WHOLE)
        axes.legend(ncols=6, fontsize=8, **_ABOVE)

    return _chart(draw, name, f"Line chart of observed coverage by {title}; nominal coverage is dotted")


def block_chart(
    names: Sequence[str],
    lines: Mapping[str, Sequence[float | None]],
    strong: str,
    season_length: int,
    name: str,
) -> Markup:
    """MASE by block of origins, one line for each model.

    Args:
        names: Of the blocks, oldest first.
        lines: By model, shape (blocks,).
        strong: The model to stand out.
        season_length: MASE's m.
        name: Unique in the page.
    """

    def draw(axes: "Axes") -> None:
        _model_lines(axes, names, lines, strong, marker="o", ms=3)
        axes.set(ylabel=f"MASE, m = {season_length}")
        axes.tick_params(axis="x", rotation=25)

    return _chart(draw, name, "Line chart of MASE by block for each model; the table below has the figures")


def version_chart(
    versions: Sequence[str], mase: Sequence[float | None], champion: int | None, name: str
) -> Markup:
    """MASE of the ensemble by version, each on its own test part.

    Args:
        versions: Oldest first; the last is the new one.
        mase: Shape (versions,).
        champion: Position of the champion, which is marked.
        name: Unique in the page.
    """

    def draw(axes: "Axes") -> None:
        at = np.arange(len(versions))
        _line(axes, at, mase, color=ACCENT, marker="o", ms=4)
        if champion is not None:
            axes.axvline(champion, color=_INK, lw=1, ls=":", label="champion")
            axes.legend(fontsize=8, **_ABOVE)
        axes.set(ylabel="MASE, own test part", ylim=(0, None))
        axes.set_xticks(at, versions, rotation=25, ha="right")

    return _chart(draw, name, "Line chart of MASE by version, the newest last; the table has the figures")


def member_chart(weighed: Weighed, name: str) -> Markup:
    """MASE of each member alone and of the ensemble without it, beside that of the ensemble."""

    def draw(axes: "Axes") -> None:
        members = weighed.members[::-1]
        at = np.arange(len(members))
        axes.axvline(weighed.mase, color=_INK, lw=1, ls=":", label="ensemble")
        axes.plot(
            [each.mase_alone for each in members], at, color=PALETTE[0], lw=0, marker="s", label="alone"
        )
        without = [np.nan if each.mase_without is None else each.mase_without for each in members]
        axes.plot(without, at, color=ACCENT, lw=0, marker="o", label="ensemble without it")
        axes.set_yticks(at, [each.model for each in members])
        axes.set(xlabel="MASE on the validation part")
        axes.legend(ncols=3, fontsize=8, **_ABOVE)

    about = "Chart of MASE of each member alone and of the ensemble without it; the table has the figures"
    return _chart(draw, name, about, 7.6, 1.0 + 0.26 * len(weighed.members))


def histogram_chart(edges: Sequence[float], counts: Sequence[int], name: str) -> Markup:
    """How many errors are of which size."""

    def draw(axes: "Axes") -> None:
        axes.stairs(counts, edges, fill=True, color=ACCENT)
        axes.axvline(0, color=_INK, lw=1, ls=":")
        axes.set(xlabel="target less forecast, in the series' scale", ylabel="targets")

    return _chart(draw, name, "Histogram of the errors of the ensemble over the test part", 4.8)


def quantile_chart(normal: Sequence[float], observed: Sequence[float], name: str) -> Markup:
    """Quantiles of errors against those of a normal distribution; on the diagonal where they are normal."""

    def draw(axes: "Axes") -> None:
        ends = [min(*normal, *observed), max(*normal, *observed)]
        axes.plot(ends, ends, color=_INK, lw=1, ls=":")
        axes.plot(normal, observed, color=ACCENT, lw=0, marker="o", ms=3)
        axes.set(xlabel="normal quantile", ylabel="observed quantile")

    return _chart(draw, name, "Q-Q plot of the errors against a normal distribution", 4.2)


def correlation_chart(values: Sequence[float], bands: Sequence[float], name: str) -> Markup:
    """Autocorrelation by lag, and the band that independent errors stay within."""

    def draw(axes: "Axes") -> None:
        lags, band = np.arange(1, len(values) + 1), np.asarray(bands)
        axes.stairs(band, np.arange(len(band) + 1) + 0.5, baseline=-band, fill=True, color=_INK, alpha=0.08)
        axes.axhline(0, color=_INK, lw=1)
        axes.vlines(lags, 0, values, color=ACCENT, lw=3)
        axes.set(xlabel="lag, origins", ylabel="autocorrelation", ylim=(-1.05, 1.05))
        axes.locator_params(axis="x", **_WHOLE)

    return _chart(draw, name, f"Bar chart of the autocorrelation by lag, {values[0]:.2f} at the first", 4.8)


def curve_chart(curves: Mapping[str, Sequence[float]], best: int | None, model: str, name: str) -> Markup:
    """A model's loss by epoch or iteration, with the best one marked."""

    def draw(axes: "Axes") -> None:
        drawn = {label: values for label, values in curves.items() if values}
        colours = dict(zip(drawn, (ACCENT, *PALETTE), strict=False))
        for label, values in drawn.items():
            kept = np.unique(np.linspace(0, len(values) - 1, CURVE_POINTS).astype(np.int64))
            _line(axes, kept, np.asarray(values)[kept], color=colours[label], label=label)
        if best is not None:
            axes.axvline(best, color=_INK, lw=1, ls=":", label=f"best: {best}")
        axes.set(xlabel="epoch or iteration", ylabel="loss")
        axes.locator_params(axis="x", **_WHOLE)
        axes.legend(fontsize=8)

    return _chart(draw, name, f"Line chart of the loss of {model}", 4.8)


def rate_chart(rates: Sequence[float], name: str) -> Markup:
    """Learning rate by epoch."""

    def draw(axes: "Axes") -> None:
        _line(axes, np.arange(1, len(rates) + 1), rates, color=ACCENT)
        axes.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
        axes.locator_params(axis="x", **_WHOLE)

    return _chart(draw, name, f"Line chart of the learning rate, from {rates[0]:.3g} to {rates[-1]:.3g}", 4.8)


def usage_charts(usage: Usage) -> dict[str, Markup]:
    """What a task used over time, by title; nothing for what was not sampled."""
    lines: dict[str, tuple[Sequence[float | None], str]] = {
        "Processors": (usage.cpu, "processors busy"),
        "Memory": (usage.memory, "GiB"),
        "GPU": (usage.gpu, "share of the time"),
        "GPU memory": (usage.gpu_memory, "GiB"),
    }

    def chart(title: str, values: Sequence[float | None], label: str) -> Markup:
        def draw(axes: "Axes") -> None:
            _line(axes, usage.seconds, values, color=ACCENT)
            axes.set(xlabel="seconds", ylabel=label, ylim=(0, None))

        most = most_of(values)
        about = f"Line chart of {label} over {usage.seconds[-1]:.0f} seconds, at most {most:.3g}"
        return _chart(draw, title.lower().replace(" ", "-"), about, 4.8, 2.0)

    return {
        title: chart(title, values, label)
        for title, (values, label) in lines.items()
        if most_of(values) is not None
    }


def importance_chart(inputs: Sequence[Importance], name: str) -> Markup:
    """A bar for each input, the largest on top, with its spread."""

    def draw(axes: "Axes") -> None:
        shown = list(inputs)[::-1]
        spreads = [each.spread or 0.0 for each in shown]
        axes.barh(
            np.arange(len(shown)),
            [each.value for each in shown],
            tick_label=[_shortened(each.feature) for each in shown],
            xerr=spreads,
            color=ACCENT,
            ecolor=_INK,
        )
        axes.set(xlabel="importance")
        axes.grid(axis="y", visible=False)

    height = 0.7 + 0.22 * len(inputs)
    return _chart(draw, name, f"Bar chart of importance; most: {inputs[0].feature}", height=height)


def study_charts(study: "Study") -> dict[str, Markup]:
    """Optuna's own plots of a study, by title; those that its trials are too few for are left out."""
    from matplotlib import pyplot, rc_context
    from optuna.visualization import matplotlib as plots

    drawn = {}
    pyplot.switch_backend("agg")
    for title, draw in (
        ("History", plots.plot_optimization_history),
        ("Importance", plots.plot_param_importances),
        ("Parallel coordinates", plots.plot_parallel_coordinate),
        ("Slices", plots.plot_slice),
    ):
        with rc_context(), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of Optuna's, of what is experimental and of what it draws nothing
            try:
                axes: Any = draw(study)
                figure = np.ravel(axes)[0].figure
            except (ValueError, RuntimeError, ZeroDivisionError):  # one trial, or all of the same value
                continue
            _restyle(figure)
            with rc_context({**_STYLE, "savefig.bbox": "tight"}):
                name = title.lower().replace(" ", "-")
                drawn[title] = _svg(figure, name, f"Optuna's plot: {title}; the table has the trials")
            pyplot.close(figure)
    return drawn


def _restyle(figure: "Figure") -> None:
    """Give a foreign figure the page's ink, and its size; the page has the titles."""
    from matplotlib.legend import Legend
    from matplotlib.text import Text

    figure.set_size_inches(max(WIDTH, 2 * len(figure.axes)), 3.2)
    figure.suptitle("")
    for axes in figure.axes:
        axes.set_title("", loc="center")
        axes.set_title("", loc="left")
        axes.tick_params(color=_INK, grid_color=_INK, grid_alpha=_STYLE["grid.alpha"])
        for spine in axes.spines.values():
            spine.set_color(_INK)
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":  # whose labels are mathematics, which is not parsed
                axis.set_major_formatter("{x:g}")
                axis.set_minor_formatter("")
    for legend in figure.findobj(Legend):
        legend.set_frame_on(False)
    for text in figure.findobj(Text):
        text.set(color=_INK, parse_math=False, fontsize=9)


def _shortened(name: str) -> str:
    """On one line, and no longer than leaves room for what is drawn."""
    line = " ".join(name.split())
    return line if len(line) <= LABEL else f"{line[: LABEL - 1]}…"


def _line(axes: "Axes", at: Any, values: Any, **style: Any) -> None:
    """A line, with a gap where there is no value; a point where there is but one."""
    points = np.array([np.nan if value is None else value for value in values])
    axes.plot(at, points, **{"lw": 1.5, "marker": "o" if len(points) == 1 else None} | style)


def _model_lines(axes: "Axes", at: Any, lines: Mapping[str, Any], strong: str, **style: Any) -> None:
    """A line for each model, from 0 up, the strong one in front."""
    colours = _colours(lines, strong)
    for model, values in lines.items():
        weight = {"lw": 2.4, "zorder": 5} if model == strong else {"lw": 1.2}
        _line(axes, at, values, color=colours[model], label=model, **weight, **style)
    axes.set(ylim=(0, None))
    axes.legend(ncols=4, fontsize=8, **_ABOVE)


def _colours(models: Mapping[str, Any], strong: str) -> dict[str, str]:
    others = [model for model in models if model != strong]
    return {strong: ACCENT} | {model: PALETTE[at % len(PALETTE)] for at, model in enumerate(others)}


def _chart(draw: Any, name: str, label: str, width: float = WIDTH, height: float = 2.7) -> Markup:
    # Only Figure, never pyplot, which keeps state and looks for a screen.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.add_subplot())
        return _svg(figure, name, label)


def _own(tag: str, name: str) -> str:
    """A tag in the page's ink, whose ids, and references to ids, are the chart's own in its page."""
    tag = tag.replace(_INK, "currentColor").replace("xlink:href", "href")
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", tag)


def _svg(figure: "Figure", name: str, label: str) -> Markup:
    buffer = StringIO()
    nothing: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the reader's fonts have it, and draw the text
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<[^>]+>", lambda tag: _own(tag[0], name), text)  # never in text, which is the data's
    # The page decides how wide a chart is; one that is wider scrolls, so that its text can be read.
    box = re.search(r'viewBox="[^"]*"', text)
    inches = figure.get_figwidth()
    wide = f' style="min-width: {48 * inches / WIDTH:.0f}rem"' if inches > WIDTH else ""
    opening = f'<svg {box[0] if box else ""}{wide} role="img" aria-label="{escape(label)}">'
    text = opening + text[text.index(">") + 1 :]
    # Matplotlib escapes the text that it draws; the label is escaped above.
    return Markup(text)  # noqa: S704
