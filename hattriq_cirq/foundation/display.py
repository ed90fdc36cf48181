"""Text from outside, such as names in files, made safe to show on a terminal, in a picture and in a report."""

from __future__ import annotations

import re

_LINES = "\n\t"
#: Control characters, marks that change the direction of text, invisible marks, and halves of characters.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: object, *, lines: bool = False) -> str:
    r"""Return a text with its control characters and invisible marks shown as escape sequences.

    Args:
        text: Text, or a value whose text is meant.
        lines: Keep line breaks and tabs.

    Returns:
        The text; printing it changes no colour, moves no cursor and hides no character.

    Example:
        >>> print(printable("\x1b[31mred\x1b[0m"))
        \x1b[31mred\x1b[0m
    """
    return _HIDDEN.sub(lambda match: match[0] if lines and match[0] in _LINES else _escape(match[0]), str(text))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
