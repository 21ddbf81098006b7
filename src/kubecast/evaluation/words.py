"""Figures and names in sentences."""


def plain(name: str) -> str:
    """A name in a sentence.

    >>> plain("seasonal_naive_24")
    'seasonal naive 24'
    """
    return name.replace("_", " ")


def percent(value: float, digits: int = 1) -> str:
    """A share in percent, with a minus sign.

    >>> percent(-0.159)
    '−15.9 %'
    """
    return f"{100 * value:.{digits}f} %".replace("-", "\N{MINUS SIGN}")
