"""Numbers as text that loses nothing, for what is kept in results and compared."""

from __future__ import annotations


def number_text(value: float | complex) -> str:
    """Return the shortest text that reads back as the same number; whole numbers without a decimal point.

    Example:
        >>> number_text(5.0), number_text(1e-4), number_text(1 / 3), number_text(0.5 + 1j)
        ('5', '0.0001', '0.3333333333333333', '0.5+1j')
    """
    if not isinstance(value, float | int):
        return number_text(value.real) if not value.imag else repr(complex(value)).strip("()")
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))
