"""Pages: templates, the formats of figures, and the payloads that a page's script reads."""

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kubecast.documents import significant
from kubecast.evaluation.words import percent, plain

LARGEST = 2_000_000  # bytes of a page
DIGITS = 5  # significant ones of a number in the payload
SCRIPTS = ("plot.js", "charts.js", "explorer.js", "page.js")
PLOT_STYLE = "jSYQUrW7J0b3jPqhZP9C2Xh1PyJKHKXd4s0fpGGKrww="  # SHA-256 of what Plot puts into each chart


class Packed(Protocol):
    """A part of a page that the script fills."""

    @property
    def packed(self) -> str:
        """For the script, from ``pack``."""
        ...


def render(
    template: str,
    charts: Mapping[str, Any] | None = None,
    explorer: Packed | None = None,
    **context: Any,
) -> str:
    """Render one self-contained page: nothing fetched, the same bytes for the same input.

    Args:
        template: Name of a file in ``templates/``; what goes into it is escaped.
        charts: From ``kubecast.reports.charts``, by the name that the template, as ``drawn``, puts them
            under; None: the page has no script at all.
        explorer: From ``kubecast.reports.explorer``; None: there is none.
        context: Of the template.
    """
    scripts = [] if charts is None else [_own(each) for each in SCRIPTS]
    return (
        _environment()
        .get_template(template)
        .render(
            scripts=scripts,
            style=_own("style.css"),
            allowed_styles=_allowed([_own("style.css")], PLOT_STYLE),
            allowed_scripts=_allowed(scripts),
            packed_charts="" if charts is None else pack(charts),
            drawn=charts,
            explorer=explorer,
            **context,
        )
    )


def pack(content: Any) -> str:
    """JSON, gzipped, in base64; numbers have five significant digits, and none where they are not finite.

    >>> import gzip, base64
    >>> gzip.decompress(base64.b64decode(pack({"a": [0.1234567, float("nan")]}))).decode()
    '{"a":[0.12346,null]}'
    """
    text = json.dumps(significant(content, DIGITS), separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()


def figure(value: Any) -> str:
    """Four significant digits; large numbers whole; a dash for what is undefined.

    >>> figure(-0.123456), figure(123456.7), figure(None)
    ('−0.1235', '123,457', '-')
    """
    if value is None or value != value:
        return "-"
    text = f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"
    return text.replace("-", "\N{MINUS SIGN}", 1) if value < 0 else text


def share(value: float | None) -> str:
    """A share in percent; a dash for what is undefined."""
    return "-" if value is None else percent(value)


def sentence(text: str) -> str:
    """A clause as a sentence.

    >>> sentence("every check is passed")
    'Every check is passed.'
    """
    return text if not text else f"{text[0].upper()}{text[1:].rstrip('.')}."


def count(number: int, what: str) -> str:
    """A number of things: ``1 origin``, ``1,200 series``."""
    return f"{number:,} {what}{'s' if number != 1 and not what.endswith('s') else ''}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("kubecast.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    formats: dict[str, Callable[[Any], str]] = {"figure": figure, "percent": share}
    environment.filters |= {
        **formats,
        "formatted": lambda value, name: formats[name](value),
        "plain": plain,
        "sentence": sentence,
    }
    environment.globals |= {"count": count}
    return environment


@cache
def _own(name: str) -> Markup:
    return Markup((files("kubecast.reports") / "templates" / name).read_text("utf-8"))  # noqa: S704  our own


def _allowed(texts: Sequence[str], *digests: str) -> Markup:
    """A source list of the content policy: these texts and digests alone."""
    own = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
    sources = " ".join(f"'sha256-{digest}'" for digest in [*own, *digests])
    return Markup(sources or "'none'")  # noqa: S704  of our own files
