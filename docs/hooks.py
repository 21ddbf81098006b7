"""The site's pages load nothing from elsewhere: a build that would is refused."""

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

_LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\ssrc=\"?(?:https?:)?//[^\s\">]+|<link\b[^>]*//[^\s\">]+"
)
_FETCHES = re.compile(r"class=\"?mermaid\b")  # for which the theme's script loads another


def on_post_build(config: Any, **_: Any) -> None:
    """Look at every page that was built."""
    for page in sorted(Path(config["site_dir"]).rglob("*.html")):
        text = page.read_text("utf-8")
        if match := _LOADED.search(text) or _FETCHES.search(text):
            raise PluginError(f"{page} would load something from elsewhere: {match[0]}")
