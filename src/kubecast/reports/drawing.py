"""Drawing: figures as inline SVG, whose text stays text, whose ink follows the page.

The same input gives the same bytes.
"""

import re
import warnings
from collections.abc import Callable, Mapping
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACCENT = "#3d7ff0"  # legible on white and on near-black, as is each of the palette
PALETTE = ("#d96f22", "#2ba06b", "#a368d8", "#d9556b", "#1e9fb5", "#b08a1e", "#8490a5")
WIDTH = 7.6  # inches, which fill the page
INK = "#010203"  # stands for currentColor, which matplotlib does not know
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kubecast",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "legend.frameon": False,
    "font.size": 9,
    "date.converter": "concise",
    "text.parse_math": False,
}
WHOLE_STEPS: dict[str, Any] = {"integer": True, "min_n_ticks": 1}  # of steps there are no halves
ABOVE: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}


def draw_chart(
    draw: Callable[["Axes"], None], name: str, label: str, width: float = WIDTH, height: float = 2.7
) -> Markup:
    """Draw one chart.

    Args:
        draw: Draws on the axes.
        name: Unique in the page.
        label: What the chart shows, for those who do not see it.
        width: In inches.
        height: In inches.
    """
    # Only Figure, never pyplot, which keeps state and looks for a screen.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.add_subplot())
        return to_svg(figure, name, label)


def to_svg(figure: "Figure", name: str, label: str) -> Markup:
    """A figure as an SVG element; ``name`` is unique in the page, ``label`` says what it shows."""
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


def draw_line(axes: "Axes", at: Any, values: Any, **style: Any) -> None:
    """Draw a line, with a gap where there is no value; a point where there is but one."""
    points = np.array([np.nan if value is None else value for value in values])
    axes.plot(at, points, **{"lw": 1.5, "marker": "o" if len(points) == 1 else None} | style)


def draw_model_lines(axes: "Axes", at: Any, lines: Mapping[str, Any], strong: str, **style: Any) -> None:
    """Draw a line for each model, from 0 up, the strong one in front."""
    colours = _colours(lines, strong)
    for model, values in lines.items():
        weight = {"lw": 2.4, "zorder": 5} if model == strong else {"lw": 1.2}
        draw_line(axes, at, values, color=colours[model], label=model, **weight, **style)
    axes.set(ylim=(0, None))
    axes.legend(ncols=4, fontsize=8, **ABOVE)


def _colours(models: Mapping[str, Any], strong: str) -> dict[str, str]:
    others = [model for model in models if model != strong]
    return {strong: ACCENT} | {model: PALETTE[at % len(PALETTE)] for at, model in enumerate(others)}


def restyle(figure: "Figure") -> None:
    """Give a foreign figure the page's ink, and its size; the page has the titles."""
    from matplotlib.legend import Legend
    from matplotlib.text import Text

    figure.set_size_inches(max(WIDTH, 2 * len(figure.axes)), 3.2)
    figure.suptitle("")
    for axes in figure.axes:
        axes.set_title("", loc="center")
        axes.set_title("", loc="left")
        axes.tick_params(color=INK, grid_color=INK, grid_alpha=STYLE["grid.alpha"])
        for spine in axes.spines.values():
            spine.set_color(INK)
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":  # whose labels are mathematics, which is not parsed
                axis.set_major_formatter("{x:g}")
                axis.set_minor_formatter("")
    for legend in figure.findobj(Legend):
        legend.set_frame_on(False)
    for text in figure.findobj(Text):
        text.set(color=INK, parse_math=False, fontsize=9)


def _own(tag: str, name: str) -> str:
    """A tag in the page's ink, whose ids, and references to ids, are the chart's own in its page."""
    tag = tag.replace(INK, "currentColor").replace("xlink:href", "href")
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", tag)
