"""Names that come from outside and end up in paths: one pattern, ASCII."""

import re

from kubecast.errors import InvalidName

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


def check_name(name: str, what: str = "model name") -> str:
    """Return ``name`` if it may be part of a path or key, else raise.

    Raises:
        InvalidName: It holds anything but letters, digits, ``.``, ``_`` and ``-``, does not begin with a
            letter or digit, or is longer than 128 characters.
    """
    if not _NAME.fullmatch(name):
        raise InvalidName(
            f"{what} {name[:140]!r} is not allowed; allowed: 1 to 128 of A-Z a-z 0-9 . _ -,"
            " the first a letter or digit"
        )
    return name
