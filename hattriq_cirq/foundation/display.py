"""Text from outside, such as names in files, made safe to show on a terminal, in a picture and in a report."""

from __future__ import annotations

_LINES = "\n\t"


def printable(text: object, *, lines: bool = False) -> str:
    r"""Return a text with every character that cannot be seen shown as an escape sequence, as Python's `repr` does.

    These are control characters, marks that change the direction of text, invisible marks, spaces other than the plain one, and
    halves of characters.

    Args:
        text: Text, or a value whose text is meant.
        lines: Keep line breaks and tabs.

    Returns:
        The text; printing it changes no colour, moves no cursor and hides no character.

    Example:
        >>> print(printable("\x1b[31mred\x1b[0m"))
        \x1b[31mred\x1b[0m
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    kept = _LINES if lines else ""
    return "".join(each if each.isprintable() or each in kept else _escape(each) for each in shown)


def clipped(text: object, length: int) -> str:
    """Return a printable text of at most some characters, with an ellipsis in place of the others.

    Example:
        >>> clipped("x" * 40, 5)
        'xxxx…'
    """
    shown = printable(text)
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
