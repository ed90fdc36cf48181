"""Cards of values: a few lines of text at a prompt, and in a notebook a small page of HTML without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from hattriq_cirq.foundation.display import clipped, printable

_TEXT_LENGTH = 400  # characters of a text in a card
_CELL_LENGTH = 200  # characters of a cell
_FACT_LENGTH = 60  # characters of a fact at a prompt
_FACTS = 6  # facts at a prompt
_LINE = 100  # characters of a value on one line at a prompt
ROWS = 10  # rows of a table in a card
#: Colours of text and background are those of the notebook, light or dark; lines and bars can be seen on both.
_STYLE = """
.hq-card{border:1px solid rgba(128,128,128,.45);border-radius:6px;padding:.6em .9em;margin:.3em 0}
.hq-card{max-width:60em;overflow-x:auto}
.hq-card b{font-weight:600}
.hq-card table{border-collapse:collapse;margin:.5em 0 0;font-size:.92em;background:transparent;color:inherit}
.hq-card tr,.hq-card th,.hq-card td{background:transparent;color:inherit}
.hq-card th,.hq-card td{text-align:left;padding:.15em .9em .15em 0;vertical-align:top;border:0;overflow-wrap:anywhere}
.hq-card th{font-weight:600}
.hq-card thead th{border-bottom:1px solid rgba(128,128,128,.45)}
.hq-card .n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.hq-card .bar{min-width:9em;padding:.35em 0}
.hq-card .bar i{display:block;height:.7em;background:#c23b3b}
.hq-card .bar i.m{background:#4a86c5}
.hq-card p{margin:.4em 0 0;font-size:.92em;opacity:.85}
""".replace("\n", "")


@dataclass(frozen=True)
class Card:
    """Card of a value, with its most important settings and results.

    Args:
        title: First line: what the value is, or what it answers.
        facts: Names and texts of its most important settings and results.
        header: Names of the columns of a table; empty for none.
        rows: Cells of the table, as text; the first rows are shown.
        bars: A number for each row, which a notebook draws as signed bars; empty for none.
        numbers: Index of the first column that holds numbers.
        notes: Sentences below the table.

    Example:
        >>> card = Card("Engine qsim", (("seed", 1), ("journal", "<none>")))
        >>> print(card)
        Engine qsim: seed 1; journal <none>
        >>> "<td>&lt;none&gt;</td>" in card.html()
        True
    """

    title: str
    facts: Sequence[tuple[str, object]] = ()
    header: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    bars: Sequence[float] = ()
    numbers: int = 1
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        """Return the title and the facts as text: on one line, or the first of them on a line each if that is too long."""
        facts = [f"{clipped(name, _FACT_LENGTH)} {clipped(text, _FACT_LENGTH)}" for name, text in self.facts]
        facts[_FACTS:] = ["..."] if len(facts) > _FACTS else []
        line = f"{printable(self.title)}{': ' if facts else ''}{'; '.join(facts)}"
        return line if len(line) <= _LINE else "\n  ".join([printable(self.title), *facts])

    def html(self) -> str:
        """Return the card as HTML, with everything escaped, its style inside, and no script."""
        parts = [f"<b>{_safe(self.title, _TEXT_LENGTH)}</b>"]
        if self.facts:
            lines = (f"<tr><th>{_safe(name)}</th><td>{_safe(text, _TEXT_LENGTH)}</td></tr>" for name, text in self.facts)
            parts.append(f"<table>{''.join(lines)}</table>")
        if self.header:
            parts.append(self._table())
        parts += (f"<p>{_safe(note, _TEXT_LENGTH)}</p>" for note in self.notes)
        return f'<div class="hq-card"><style>{_STYLE}</style>{"".join(parts)}</div>'

    def _table(self) -> str:
        """Return the first rows of the table, with a bar for each number in `bars`."""
        kinds = [' class="n"' if k >= self.numbers else "" for k in range(len(self.header))]
        head = "".join(f"<th{kind}>{_safe(name)}</th>" for name, kind in zip(self.header, kinds, strict=True))
        lines = []
        for i, row in enumerate(self.rows[:ROWS]):
            cells = "".join(f"<td{kind}>{_safe(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
            lines.append(f"<tr>{cells}{self._bar(i)}</tr>")
        left = len(self.rows) - ROWS
        more = f"<p>{left} more</p>" if left > 0 else ""
        column = "<th></th>" if self.bars else ""
        return f"<table><thead><tr>{head}{column}</tr></thead><tbody>{''.join(lines)}</tbody></table>{more}"

    def _bar(self, row: int) -> str:
        if not self.bars:
            return ""
        value, shown = self.bars[row], self.bars[:ROWS]
        low, high = min(0.0, *shown), max(0.0, *shown)
        width = (high - low) or 1.0
        start, length = 100 * (min(value, 0.0) - low) / width, 100 * abs(value) / width
        sign = ' class="m"' if value < 0 else ""
        return f'<td class="bar"><i{sign} style="margin-left:{start:.1f}%;width:{length:.1f}%"></i></td>'


class Displayed:
    """Base of values that show a card: a few lines at a prompt, and HTML in a notebook.

    A subclass gives the card, and may have a `__repr__` of its own.

    Example:
        >>> class Setting(Displayed):
        ...     def card(self):
        ...         return Card("a setting", [("number", 5)])
        >>> Setting()
        a setting: number 5
    """

    def card(self) -> Card:
        """Return what the value shows of itself."""
        raise NotImplementedError(f"{type(self).__name__} has no card")

    def _repr_html_(self) -> str:
        return self.card().html()

    def __repr__(self) -> str:
        return str(self.card())


def _safe(text: object, length: int = _CELL_LENGTH) -> str:
    return escape(clipped(text, length))
