"""Numbers as text: that of results, which loses nothing, and that which a person writes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import floor, isfinite, log10

#: Pattern of a number with the digits 0 to 9, a point and an exponent, without its sign.
DECIMAL = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_PLAIN_UP_TO = 6  # powers of ten up to which numbers in sentences have no exponent
_SIGNED = re.compile(f"[+-]?{DECIMAL}")


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


def rounded(values: Sequence[float], unit: float | None = None, *, digits: int = 2) -> list[str]:
    """Return numbers with signs for a sentence, all with as many decimals as show some digits of the largest, at least two.

    Args:
        values: Numbers.
        unit: Number whose digits are shown, such as an error; None for the largest by its absolute value.
        digits: Number of digits.

    Example:
        >>> rounded([0.1632, -0.0517]), rounded([3.2e-4, 1e-5]), rounded([0.16321], 0.0042), rounded([2.5e12])
        (['+0.16', '-0.05'], ['+0.00032', '+0.00001'], ['+0.1632'], ['+2.5e+12'])
    """
    largest = max((abs(value) for value in values), default=0.0)
    shown = largest if unit is None else abs(unit)
    exponent = floor(log10(shown)) if shown > 0 and isfinite(shown) else 0
    if max(exponent, floor(log10(largest)) if largest > 0 else 0) >= _PLAIN_UP_TO or exponent < -_PLAIN_UP_TO:
        return [f"{value:+.{max(digits, 2) - 1}e}" for value in values]
    return [f"{value:+.{max(2, digits - 1 - exponent)}f}" for value in values]


def listed(names: Iterable[object], most: int = 6) -> str:
    """Return the first of some names in quotes, so that control characters are escaped, and the number of the others.

    Example:
        >>> listed(["a", "b", "c"], 2)
        "'a', 'b' and 1 more"
    """
    texts = [repr(str(name)) for name in names]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def quantity(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, in the singular for 1.

    Args:
        number: Whole number.
        noun: Noun in the singular, with the words before it, such as "two-qubit gate".
        plural: Its plural; None adds an s.

    Example:
        >>> quantity(1, "circuit"), quantity(20_000, "shot"), quantity(0, "study", "studies")
        ('1 circuit', '20000 shots', '0 studies')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Return a number of seconds in words, rounded up to whole seconds below 100.

    Example:
        >>> duration(5.2), duration(160), duration(9000)
        ('6 s', '3 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds + 0.5:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def aligned(rows: Sequence[Sequence[str]], *, right: int | None = None) -> str:
    """Return rows of cells as lines of text, with the columns below each other.

    Args:
        rows: Rows of cells, of the same number.
        right: Index of the column from which cells end below each other, as numbers do; None for none.

    Example:
        >>> print(aligned([("run", "shots"), ("noisy", "200")]))
        run    shots
        noisy  200
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ends = [False if right is None else k >= right for k in range(len(widths))]
    lines = (
        "  ".join(
            cell.rjust(width) if at_end else cell.ljust(width) for cell, width, at_end in zip(row, widths, ends, strict=True)
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def is_count(text: str) -> bool:
    """Return True for a whole number that is not negative, in digits alone.

    Example:
        >>> is_count("12"), is_count("-1"), is_count("1.0")
        (True, False, False)
    """
    return bool(re.fullmatch("[0-9]{1,18}", text))


def decimal(text: str) -> float | None:
    """Return the number that a person writes with the digits 0 to 9, a point and an exponent, or None.

    Example:
        >>> decimal(" 1.5e3"), decimal("1_000"), decimal("nan")
        (1500.0, None, None)
    """
    plain = text.strip(" \t")
    return float(plain) if _SIGNED.fullmatch(plain) else None
