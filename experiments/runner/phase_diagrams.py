"""Attributions of the basis states of an Ising chain, summed by magnetisation and domain walls, against the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.runner.bootstrap import nested_bootstrap, with_interval
from experiments.runner.figures import panels
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.reporting.document import Table

GROUPS = {"magnetisation": "|M|", "walls": "domain walls"}
MANY = 6  # this many domain walls or more are one group
#: Range of the field on each side of the transition, and the label there.
SIDES = {"g < 1": (0.0, 1.0, 1), "g > 1": (1.0, np.inf, -1)}
_EDGES = np.linspace(0.2, 1.8, 9)  # of the bins of g

Results = Sequence[Mapping[str, Any]]


def basis_groups(n_qubits: int) -> dict[str, NDArray[np.int64]]:
    """Return the group of each basis state of a chain of even length, (features,), by kind of group.

    `magnetisation` is half of |zeros - ones|; `walls` is half the number of domain walls on the ring, at most MANY / 2.
    """
    bits = np.arange(2**n_qubits)[:, np.newaxis] >> np.arange(n_qubits) & 1
    magnetisation = np.abs(n_qubits - 2 * bits.sum(axis=1))
    walls = np.sum(bits != np.roll(bits, 1, axis=1), axis=1)
    return {"magnetisation": magnetisation // 2, "walls": np.minimum(walls, MANY) // 2}


def finding(name: str, results: Results) -> str:
    """Return a sentence on the groups that contribute most to the phase on each side of the transition."""
    sentences = []
    for side, (low, high, sign) in SIDES.items():
        parts = []
        for kind in GROUPS:
            means = interval_of_means(_between(results, "attribution", kind, low, high))
            leading = int(np.argmax(sign * means[0, :-1]))
            parts.append(f"{_named(kind, leading)} gives {_cell(means[:, leading])}")
        sentences.append(f"for {side} the score is {_cell(means[:, -1])}, of which {' and '.join(parts)}")
    return f"{name}, the basis states that contribute most to the phase: {'; '.join(sentences)}."


def table(chains: Mapping[str, Results]) -> Table:
    """Return the table of attribution and squared norm of every group on both sides of g = 1."""
    rows = []
    for name, results in chains.items():
        for kind in GROUPS:
            columns = [
                interval_of_means(_between(results, key, kind, low, high))
                for low, high, _ in SIDES.values()
                for key in ("attribution", "weight")
            ]
            groups = columns[0].shape[1] - 1
            rows += [(name, _named(kind, group), *(_cell(c[:, group]) for c in columns)) for group in range(groups)]
    return Table(
        "TFIM: signed attribution and squared norm of basis states grouped by absolute magnetisation |M| and by domain walls "
        "on the ring, mean over test states on either side of g = 1 (95% intervals, bootstrap over seeds and states).",
        ("model", "basis states", *(f"{what}, {side}" for side in SIDES for what in ("attribution", "norm"))),
        tuple(rows),
    )


def diagram(chains: Mapping[str, Results]) -> Figure:
    """Plot the mean attribution of each group against the field with 95% bands, one row per model."""
    figure, grid = panels((9.0, 3.4 * len(chains)), len(chains), 2, sharex=True, sharey=True, squeeze=False)
    for (name, results), row in zip(chains.items(), grid, strict=True):
        for ax, kind in zip(row, GROUPS, strict=True):
            _draw(ax, results, kind)
            ax.set_title(f"{name}, by {GROUPS[kind]}", parse_math=False)
        row[0].set_ylabel("mean attribution")
    for ax in grid[-1]:
        ax.set_xlabel("field over coupling, g")
    return figure


def interval_of_means(groups: Sequence[FloatArray]) -> FloatArray:
    """Return the means of columns and of their sum with 95% intervals, by the bootstrap over seeds and values.

    Args:
        groups: Values of each seed, (values, columns), at least one value in all.

    Returns:
        Mean, low and high end, (3, columns + 1).
    """
    return nested_bootstrap([np.column_stack([group, group.sum(axis=1)]) for group in groups])


def _between(results: Results, key: str, kind: str, low: float, high: float) -> list[FloatArray]:
    """Return the sums by group of the states with low <= g < high, (states, groups) per seed."""
    masks = [(np.asarray(r["fields"]) >= low) & (np.asarray(r["fields"]) < high) for r in results]
    return [np.asarray(r[key][kind])[k] for r, k in zip(results, masks, strict=True)]


def _named(kind: str, group: int) -> str:
    return f"{GROUPS[kind]} = {2 * group}{' or more' if kind == 'walls' and 2 * group == MANY else ''}"


def _cell(mean_low_high: FloatArray) -> str:
    mean, low, high = mean_low_high.tolist()
    return with_interval(mean, (low, high))


def _draw(ax: Axes, results: Results, kind: str) -> None:
    binned = {(low + high) / 2: _between(results, "attribution", kind, low, high) for low, high in pairwise(_EDGES)}
    bands = {middle: interval_of_means(groups) for middle, groups in binned.items() if any(map(len, groups))}
    at, means = list(bands), np.array(list(bands.values()))  # (bins, 3, groups + 1)
    for group, colour in enumerate(sns.color_palette("viridis", means.shape[2] - 1)):
        ax.plot(at, means[:, 0, group], color=colour, label=_named(kind, group))
        ax.fill_between(at, means[:, 1, group], means[:, 2, group], color=colour, alpha=0.25, linewidth=0)
    ax.plot(at, means[:, 0, -1], color="0.3", ls="--", lw=1.2, label="all: the score")
    ax.fill_between(at, means[:, 1, -1], means[:, 2, -1], color="0.3", alpha=0.12, linewidth=0)
    ax.axhline(0, color="0.3", lw=0.8)
    ax.axvline(1, color="0.6", lw=0.8, ls=":")
    for text in ax.legend(frameon=False, fontsize="x-small", loc="upper right").get_texts():
        text.set_parse_math(False)
