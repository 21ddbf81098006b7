"""Secrets in URLs, and how messages leave them out."""

import re

# Of a URL: user and password, and the query, where signatures are, up to a space or the quote that ends it.
# Bounded, so that no line takes long; tokens of clouds have 1,000 to 3,000 characters.
_SECRETS = {
    re.compile(r"://([^\s/?#:]{0,4000}:\S{0,4000}|[^\s/?#]{0,4000})@"): "://***@",
    re.compile(r'(://[^\s?]{0,4000})\?[^\s"]+'): r"\1?***",
}


def masked(text: str) -> str:
    """The text without what may be a secret in a URL: user, password and query.

    >>> masked("file://me:word@host/demand.csv is a path")
    'file://***@host/demand.csv is a path'
    """
    for pattern, mask in _SECRETS.items():
        text = pattern.sub(mask, text)
    return text
