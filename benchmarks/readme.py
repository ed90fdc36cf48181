"""The chapter of the README on speed, written from the page of the documentation that the benchmarks write."""

from __future__ import annotations

import re
from pathlib import Path

from hattriq_cirq.foundation.text import quantity

README = Path(__file__).parents[1] / "README.md"
HEADING = "## How it stands against others"
_SHOWN = (("4", "1"), ("8", "1"), ("8", "100"), ("12", "100"))  # qubits and images, at one step
_PEERS = ("PennyLane + JAX", "TensorCircuit + JAX", "qulacs by hand")
DENSE = "dense NumPy, M precomputed"
_OWN = "this library"
_TEXT = """\
Exact maps of ring models of 4 layers from the zero baseline, on one thread, after the first call; times longer than those of
this library ([all cases](docs/speed.md), and training: 95% of 500 images right after {own} s, with PennyLane after {peer} s,
compilation included):"""
#: A peer that is ahead of the later calls of this library, as the page names it.
_AHEAD = re.compile(rf"^- n = (\d+), (\d+) images, \d+ steps: (.+?) takes .* the time of {_OWN}, later calls$", re.MULTILINE)


def chapter(page: str) -> str:
    """Return the chapter for the tables of a page, without its heading.

    Raises:
        ValueError: The page lacks a table or a row of the chapter.
    """
    rows = [row for row in _rows(page, "n") if row["steps"] == "1" and (row["n"], row["images"]) in _SHOWN]
    seconds = {row[next(iter(row))]: row["seconds"] for row in _rows(page, "until 95% are right")}
    if len(rows) < len(_SHOWN) or not seconds.keys() >= {_OWN, _PEERS[0]}:
        raise ValueError("the page lacks rows of attribution or of training that the README shows")
    header = ["n", "images", _OWN, *_PEERS]
    lines = [
        _TEXT.format(own=seconds[_OWN], peer=seconds[_PEERS[0]]),
        "",
        f"| {' | '.join(header)} |",
        "|" + "---|" * len(header),
    ]
    for row in rows:
        ratios = [row[peer].partition(", ")[2].replace("x", "") or "-" for peer in _PEERS]
        lines.append(f"| {' | '.join([row['n'], row['images'], row['later calls'], *ratios])} |")
    ahead = _AHEAD.findall(page)
    if qubits := [int(n) for n, _, peer in ahead if peer == DENSE]:
        lines += ["", f"A bare matrix product with M at hand, which checks nothing, is ahead up to {max(qubits)} qubits."]
    others: dict[str, list[str]] = {}
    for n, images, peer in ahead:
        others.setdefault(peer, []).append(f"n = {n} with {quantity(int(images), 'image')}")
    lines += [f"\n{peer} is ahead at {' and '.join(dict.fromkeys(cases))}." for peer, cases in others.items() if peer != DENSE]
    return "\n".join(lines)


def updated(text: str, page: str) -> str:
    """Return the text of a README whose chapter is that of a page."""
    before, heading, rest = text.partition(f"{HEADING}\n")
    if not heading:
        raise ValueError(f"the README has no heading {HEADING!r}")
    _, mark, after = rest.partition("\n## ")
    return f"{before}{heading}\n{chapter(page)}\n{mark}{after}"


def _rows(page: str, first: str) -> list[dict[str, str]]:
    """Return the rows of the table whose first column has a name, as texts by column."""
    lines = iter(page.splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            header = _cells(line)
            next(lines)
            body = []
            for row in lines:
                if not row.startswith("|"):
                    break
                body.append(dict(zip(header, _cells(row), strict=True)))
            return body
    return []


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
