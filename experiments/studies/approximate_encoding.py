"""Approximate encoding: staircases of rotations against truncation, at equal numbers of CZ.

Which prepares an input, and its map, better with equally many CZ: staircases of rotations or truncation?

Staircases are those of `approximate_encoding`, with and without its sweeps. Truncation keeps the rotations of the exact
multiplexers that gain most per CZ, and fits their angles again. Both are applied to real pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import cirq
import numpy as np
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner.bootstrap import bootstrap_interval, bootstrap_text
from experiments.runner.figures import panels
from experiments.runner.study import Done, Findings, Study
from experiments.runner.trained_models import accuracies
from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.compilation.gatesets import compile_to_gateset, gateset
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.encoding.approximate import ApproximateEncoding, approximate_encoding
from hattriq_cirq.encoding.exact import encode
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png
from hattriq_cirq.workflows.map_effect import map_effect

METHODS = {"swept": "staircases, swept", "plain": "staircases, not swept", "truncated": "truncation"}
ACCURACIES = ("train", "test", "logistic test", "chance")
#: One row per picture, method and budget of a data set; the exact encoding has budget 0.
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Task:
    """Some test pictures of one data set, the model that is explained, and the numbers of staircases."""

    data: str
    model_layers: int
    epochs: int
    first: int
    pictures: int
    layers: tuple[int, ...]
    routed: int


def tasks(quick: bool) -> list[Task]:
    """Return tasks of a few pictures, the first of which are also routed on a grid; for a quick run, two digits."""
    if quick:
        return [Task("digits:pair=3/5", 4, 5, 0, 2, (1, 3), 1)]
    selected = []
    for data, model_layers, epochs, pictures, layers, routed in (
        ("digits:pair=3/5", 4, 60, 24, (1, 2, 3, 4, 5), 8),
        ("mnist:pair=3/5,size=16", 8, 30, 24, (1, 2, 3, 4, 5, 6, 8), 8),
        ("mnist:pair=3/5,size=28", 6, 10, 20, (1, 2, 4, 6, 8), 4),
    ):
        selected += [Task(data, model_layers, epochs, first, 4, layers, routed) for first in range(0, pictures, 4)]
    return selected


def truncated(x: FloatArray, qubits: list[cirq.Qid], budget: int) -> cirq.Circuit:
    """Build the multiplexers of the exact circuit without the rotations that gain least per CZ.

    A rotation is inserted where it lengthens its multiplexer's closed tour of frames least; its gain is the weighted squared
    error of the angles that it removes, the weight being the norm that reaches each branch. All angles are then fitted again.

    Args:
        x: Real input of norm 1, (2**n,).
        qubits: The n data qubits.
        budget: Largest number of CZ gates, before compilation.

    Returns:
        The circuit, which is the exact one if the budget allows it.
    """
    exact = encode(x, qubits)
    if multi_qubit_gates(exact) <= budget:
        return exact
    multiplexers = [_Truncated(norms) for norms in _norms(x)]
    spent = 0
    while True:
        scores = [np.where(m.cnot_cost + spent <= budget, m.gain / np.maximum(m.cnot_cost, 0.5), 0.0) for m in multiplexers]
        best = multiplexers[int(np.argmax([score.max() for score in scores]))]
        mask = int(scores[multiplexers.index(best)].argmax())
        if best.gain[mask] < 1e-12 or best.cnot_cost[mask] + spent > budget:
            break
        spent += int(best.cnot_cost[mask])
        best.add(mask)
    circuit = cirq.Circuit()
    for target, multiplexer in enumerate(multiplexers):
        frame = 0
        for mask, rotation in zip(multiplexer.tour[1:], multiplexer.rotations, strict=True):
            circuit.append(cirq.CZ(qubits[c], qubits[target]) for c in range(target) if (frame ^ mask) >> (target - 1 - c) & 1)
            circuit.append(cirq.ry(rotation)(qubits[target]))
            frame = mask
    return circuit


class _Truncated:
    """A multiplexer with some of its rotations, in the order of a closed tour of frames from 0 to 0."""

    def __init__(self, norms: FloatArray) -> None:
        index = np.arange(len(norms) // 2)
        self.walsh = 1.0 - 2.0 * (np.bitwise_count(index[:, np.newaxis] & index) % 2)
        self.weights = norms[0::2] ** 2 + norms[1::2] ** 2
        self.angles = 2 * np.arctan2(norms[1::2], norms[0::2])
        self.tour = [0, 0]
        self._fit()

    def add(self, mask: int) -> None:
        self.tour.insert(int(self.place[mask]) + 1, mask)
        self._fit()

    def _fit(self) -> None:
        columns = self.walsh[:, self.tour[1:]]
        weighted = columns.T * self.weights
        self.rotations = np.linalg.solve(weighted @ columns + 1e-12 * np.eye(len(weighted)), weighted @ self.angles)
        self.gain = (self.walsh @ (self.weights * (self.angles - columns @ self.rotations))) ** 2
        self.gain[self.tour] = 0
        tour, masks = np.array(self.tour)[:, np.newaxis], np.arange(len(self.walsh))
        steps = np.bitwise_count(tour ^ masks).astype(int)
        longer = steps[:-1] + steps[1:] - np.bitwise_count(tour[:-1] ^ tour[1:]).astype(int)
        self.place, self.cnot_cost = longer.argmin(axis=0), longer.min(axis=0)


def _norms(x: FloatArray) -> list[FloatArray]:
    """Return the amplitudes of the branches after 1, 2 .. n qubits."""
    norms = [x]
    while len(norms[0]) > 2:
        norms.insert(0, np.hypot(norms[0][0::2], norms[0][1::2]))
    return norms


def routed_gates(circuit: cirq.AbstractCircuit, qubits: list[cirq.Qid]) -> int:
    """Count the CZ gates on a 4 x 4 grid, for the better of Cirq's placement and of qubits along a snake."""
    snake = [cirq.GridQubit(row, col if row % 2 == 0 else 3 - col) for row in range(4) for col in range(4)]
    pairs = [(a, b) for a in snake for b in snake if a < b and a.is_adjacent(b)]
    router = cirq.RouteCQC(cirq.GridDeviceMetadata(pairs, cirq.CZTargetGateset()).nx_graph)
    along_snake = cirq.HardCodedInitialMapper(dict(zip(qubits, snake, strict=False)))
    return min(multi_qubit_gates(_compiled(router(circuit, initial_mapper=mapper))) for mapper in (None, along_snake))


def encodings(x: FloatArray, layers: tuple[int, ...]) -> Iterator[tuple[str, int, ApproximateEncoding]]:
    """Yield the encoding of each method at each budget, the largest number of CZ gates of some number of staircases."""
    qubits: list[cirq.Qid] = list(cirq.LineQubit.range(len(x).bit_length() - 1))
    for count in layers:
        budget = 2 * (len(qubits) - 1) * count - 1
        yield "swept", budget, approximate_encoding(x, qubits, layers=count, sweeps=100)
        yield "plain", budget, approximate_encoding(x, qubits, layers=count, sweeps=0)
        circuit = truncated(x, qubits, budget)
        state = cirq.Simulator(dtype=np.complex128).simulate(circuit, qubit_order=qubits).final_state_vector.real
        state = state if state @ x >= 0 else -state
        yield "truncated", budget, ApproximateEncoding(_compiled(circuit).freeze(), state, float(state @ x) ** 2, 0)


@lru_cache(maxsize=2)
def trained(data_name: str, model_layers: int, epochs: int) -> tuple[hq.Model, Dataset]:
    """Train the model of a data set."""
    data = hq.datasets.load(data_name)
    ansatz = hq.ring_ansatz(data.n_qubits, model_layers)
    return hq.train(ansatz, data.x_train, data.y_train, epochs=epochs, seed=0).model, data


def run(task: Task) -> dict[str, Any]:
    """Encode the pictures by each method at each budget, and exactly; return one row per encoding."""
    model, data = trained(task.data, task.model_layers, task.epochs)
    qubits: list[cirq.Qid] = list(cirq.LineQubit.range(model.n_qubits))
    rows = []
    for picture in range(task.first, task.first + task.pictures):
        x = np.asarray(data.x_test[picture])
        exact = _compiled(encode(x, qubits))
        variants = [("exact", 0, ApproximateEncoding(exact.freeze(), x, 1.0, 0)), *encodings(x, task.layers)]
        rows += [
            {
                "picture": picture,
                "method": method,
                "budget": budget,
                "cz": encoding.two_qubit_gates,
                "fidelity": encoding.fidelity,
                "routed_cz": routed_gates(encoding.circuit, qubits) if picture < task.routed and method != "plain" else None,
                **asdict(map_effect(model, x, encoding)),
            }
            for method, budget, encoding in variants
        ]
    return {"accuracy": accuracies(model, data), "rows": rows}


def column(rows: Rows, method: str, budget: int, name: str) -> FloatArray:
    """Return one number per picture, in the order of pictures."""
    values = [r[name] for r in rows if r["method"] == method and r["budget"] == budget and r[name] is not None]
    return np.array(values, dtype=float)


def median(values: FloatArray) -> tuple[float, float, float]:
    """Return the median and its 95% bootstrap interval over pictures."""
    return float(np.median(values)), *bootstrap_interval(values, np.median)


def budgets_of(rows: Rows) -> list[int]:
    """Return the budgets."""
    return sorted({int(r["budget"]) for r in rows} - {0})


def table(data: str, rows: Rows) -> Table:
    """Return the table of one data set."""
    exact, low, high = median(column(rows, "exact", 0, "cz"))
    on_grid = column(rows, "exact", 0, "routed_cz")
    lines = []
    for budget in budgets_of(rows):
        for method, label in METHODS.items():
            routed = column(rows, method, budget, "routed_cz")
            cz = f"{np.median(column(rows, method, budget, 'cz')):.0f}", f"{np.median(routed):.0f}" if len(routed) else ""
            cells = (
                bootstrap_text(column(rows, method, budget, name), np.median)
                for name in ("fidelity", "cosine", "relative_error", "reweighted_error")
            )
            lines.append((str(budget), label, *cz, *cells))
    return Table(
        f"{data}: medians over {len(column(rows, 'exact', 0, 'cz'))} test pictures with 95% bootstrap intervals; the exact "
        f"encoding takes {exact:.0f} [{low:.0f}, {high:.0f}] CZ, {np.median(on_grid):.0f} on a grid ({len(on_grid)} pictures).",
        ("CZ allowed", "method", "CZ", "CZ on a grid", "fidelity", "cosine of maps", "L2 error of map", "reweighted"),
        tuple(lines),
    )


def finding(data: str, rows: Rows) -> str:
    """Return a sentence on the pictures for which swept staircases have a higher fidelity than truncation, by budget."""
    counts = []
    for budget in budgets_of(rows):
        swept, rival = (column(rows, method, budget, "fidelity") for method in ("swept", "truncated"))
        gain = swept - rival
        counts.append(f"{np.sum(gain > 0)} at {budget} CZ ({bootstrap_text(gain)})")
    pictures = len(column(rows, "exact", 0, "cz"))
    return (
        f"{data}: pictures of {pictures} on which swept staircases have a higher fidelity than truncation, and mean gain "
        f"over all: {', '.join(counts)}."
    )


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return a table and a finding per data set, and the figure of fidelity and cosine against CZ."""
    of = {name: [d for d in done if d.task.data == name] for name in dict.fromkeys(d.task.data for d in done)}
    rows = {name: [row for d in mine for row in d.result["rows"]] for name, mine in of.items()}
    accuracy = Table(
        "Accuracies of the models whose maps are compared; one seed per model.",
        ("data", "layers", "train", "test", "logistic regression", "chance"),
        tuple(
            (name, str(d.task.model_layers), *(f"{d.result['accuracy'][key]:.3f}" for key in ACCURACIES))
            for name, (d, *_) in of.items()
        ),
    )
    return Findings(
        findings=tuple(finding(name, mine) for name, mine in rows.items()),
        not_claimed=(
            "Which encoder is best on a noisy device: no gate noise was simulated here.",
            "That truncation cannot be improved: sweeping the angles of a truncated circuit was not tried.",
        ),
        accuracy=accuracy,
        tables=tuple(table(name, mine) for name, mine in rows.items()),
        pictures=(
            Picture(
                png(_figure(rows)),
                "Fidelity of encodings and cosine of their maps to the exact ones against the CZ they take, medians over "
                "pictures with 95% intervals; the vertical line is the exact encoding.",
                "Two rows of line plots, fidelity and cosine, one column per data set",
                "comparison",
            ),
        ),
        settings={
            "pictures per data set": ", ".join(f"{name} {sum(d.task.pictures for d in mine)}" for name, mine in of.items()),
            "models": "rings trained with seed 0",
            "sweeps": "100",
            "baseline": "zero",
        },
        assumptions={
            "simulation": "state vectors, without noise or shots",
            "CZ": "after cirq.optimize_for_target_gateset, any pair coupled",
            "reweighted": "L2 error after each value is multiplied by the wanted amplitude over the prepared one "
            "(encoding.reweighting)",
            "on a grid": "after cirq.RouteCQC on 4 x 4 qubits, the better of two placements",
        },
    )


def _figure(of: Mapping[str, Rows]) -> Figure:
    """Plot fidelity and map cosine against CZ, one column of axes per data set."""
    figure, axes = panels((4.2 * len(of), 6.4), 2, len(of), squeeze=False, sharex="col")
    for (title, rows), pair in zip(of.items(), axes.T, strict=True):
        for ax, name, label in zip(pair, ("fidelity", "cosine"), ("fidelity", "cosine of maps"), strict=True):
            for (method, method_label), style in zip(METHODS.items(), ("o-", "s:", "^--"), strict=True):
                cz = [np.median(column(rows, method, budget, "cz")) for budget in budgets_of(rows)]
                values = [median(column(rows, method, budget, name)) for budget in budgets_of(rows)]
                middle, low, high = np.array(values).T
                (line,) = ax.plot(cz, middle, style, markersize=4, label=method_label)
                ax.fill_between(cz, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
            ax.axvline(np.median(column(rows, "exact", 0, "cz")), color="0.3", label="exact encoding")
            ax.set(ylabel=label, ylim=(None, 1.01))
        pair[0].set_title(title)
        pair[1].set_xlabel("CZ, compiled, any pair coupled")
    axes[0, 0].legend(title="median and 95% interval", fontsize=8, title_fontsize=8, frameon=False)
    return figure


def _compiled(circuit: cirq.AbstractCircuit) -> cirq.AbstractCircuit:
    return compile_to_gateset(circuit, gateset("cz"))


STUDY = Study("approximate_encoding", __doc__, tasks, run, summarise, revision=1)
