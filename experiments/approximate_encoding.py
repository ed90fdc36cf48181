"""How should an input be encoded approximately? Staircases of rotations against truncation, at equal numbers of CZ.

Both spend the same budgets on real pictures. Staircases are `approximate_encoding`, with and without its sweeps. Truncation
keeps those turns of the exact multiplexers that gain most for the CZ they cost, and fits their angles again. Run
`python -m experiments.approximate_encoding`, or with `--quick`; results that exist are not run again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one process a core is faster than threads on small products

import cirq
import numpy as np
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.intervals import bootstrap_interval
from hattriq_cirq._arrays import FloatArray
from hattriq_cirq._files import write_new
from hattriq_cirq._provenance import Provenance
from hattriq_cirq.approximate import ApproximateEncoding, approximate_encoding, map_effect
from hattriq_cirq.encoding import encode

Row = dict[str, Any]
"""One picture, method and budget: see `measure`."""
METHODS = {"swept": "staircases, swept", "plain": "staircases, not swept", "truncated": "truncation"}


@dataclass(frozen=True)
class Task:
    """Pictures of one data set, the model whose maps they get, and the staircases to try."""

    data: str
    model_layers: int
    epochs: int
    images: int
    layers: tuple[int, ...]
    routed: int

    def path(self, root: Path) -> Path:
        """Where the result lies below a folder."""
        name = self.data.replace(":", "-").replace("/", "_").replace(",", "-")
        layers = "_".join(map(str, self.layers))
        model = f"model={self.model_layers}-epochs={self.epochs}"
        return root / f"{name}-{model}-images={self.images}-layers={layers}-routed={self.routed}.json"


TASKS = (
    Task("digits:pair=3/5", 4, 60, 24, (1, 2, 3, 4, 5), 8),
    Task("mnist:pair=3/5,size=16", 8, 30, 24, (1, 2, 3, 4, 5, 6, 8), 8),
    Task("mnist:pair=3/5,size=28", 6, 10, 20, (1, 2, 4, 6, 8), 4),
)


def truncated(x: FloatArray, qubits: list[cirq.Qid], budget: int) -> cirq.Circuit:
    """The multiplexers of the exact circuit, without the turns that gain least for the CZ they cost.

    A turn enters where it lengthens its multiplexer's closed tour of frames least; its gain is the weighted squared error of
    the angles that it removes, the weight being the norm that reaches each branch. All angles are then fitted again.

    Args:
        x: (2**n,) real, of norm 1.
        qubits: n of them.
        budget: CZ gates at most, before compilation.

    Returns:
        The exact circuit where the budget allows it.
    """
    exact = encode(x, qubits)
    if couplings(exact) <= budget:
        return exact
    multiplexers = [_Truncated(norms) for norms in _norms(x)]
    spent = 0
    while True:
        scores = [np.where(m.price + spent <= budget, m.gain / np.maximum(m.price, 0.5), 0.0) for m in multiplexers]
        best = multiplexers[int(np.argmax([score.max() for score in scores]))]
        mask = int(scores[multiplexers.index(best)].argmax())
        if best.gain[mask] < 1e-12 or best.price[mask] + spent > budget:
            break
        spent += int(best.price[mask])
        best.add(mask)
    circuit = cirq.Circuit()
    for target, multiplexer in enumerate(multiplexers):
        frame = 0
        for mask, turn in zip(multiplexer.tour[1:], multiplexer.turns, strict=True):
            circuit.append(cirq.CZ(qubits[c], qubits[target]) for c in range(target) if (frame ^ mask) >> (target - 1 - c) & 1)
            circuit.append(cirq.ry(turn)(qubits[target]))
            frame = mask
    return circuit


class _Truncated:
    """A multiplexer with some of its turns, in the order of a closed tour of frames from 0 to 0."""

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
        self.turns = np.linalg.solve(weighted @ columns + 1e-12 * np.eye(len(weighted)), weighted @ self.angles)
        self.gain = (self.walsh @ (self.weights * (self.angles - columns @ self.turns))) ** 2
        self.gain[self.tour] = 0
        tour, masks = np.array(self.tour)[:, np.newaxis], np.arange(len(self.walsh))
        steps = np.bitwise_count(tour ^ masks).astype(int)
        longer = steps[:-1] + steps[1:] - np.bitwise_count(tour[:-1] ^ tour[1:]).astype(int)
        self.place, self.price = longer.argmin(axis=0), longer.min(axis=0)


def _norms(x: FloatArray) -> list[FloatArray]:
    """Amplitudes of the branches after 1, 2 .. n qubits."""
    norms = [x]
    while len(norms[0]) > 2:
        norms.insert(0, np.hypot(norms[0][0::2], norms[0][1::2]))
    return norms


def couplings(circuit: cirq.AbstractCircuit) -> int:
    """Two-qubit gates."""
    return sum(len(operation.qubits) == 2 for operation in circuit.all_operations())


def compiled(circuit: cirq.AbstractCircuit) -> cirq.AbstractCircuit:
    """The circuit in CZ and one-qubit gates."""
    return cirq.optimize_for_target_gateset(circuit, gateset=cirq.CZTargetGateset())


def routed_couplings(circuit: cirq.AbstractCircuit, qubits: list[cirq.Qid]) -> int:
    """CZ gates on a 4 x 4 grid, the better of Cirq's placement and of qubits along a snake."""
    snake = [cirq.GridQubit(row, col if row % 2 == 0 else 3 - col) for row in range(4) for col in range(4)]
    pairs = [(a, b) for a in snake for b in snake if a < b and a.is_adjacent(b)]
    router = cirq.RouteCQC(cirq.GridDeviceMetadata(pairs, cirq.CZTargetGateset()).nx_graph)
    placed = cirq.HardCodedInitialMapper(dict(zip(qubits, snake, strict=False)))
    return min(couplings(compiled(router(circuit, initial_mapper=mapper))) for mapper in (None, placed))


def encodings(x: FloatArray, layers: tuple[int, ...]) -> Iterator[tuple[str, int, ApproximateEncoding]]:
    """Yields each method at each budget, a budget being what so many staircases cost at most."""
    qubits: list[cirq.Qid] = list(cirq.LineQubit.range(len(x).bit_length() - 1))
    for count in layers:
        budget = 2 * (len(qubits) - 1) * count - 1
        yield "swept", budget, approximate_encoding(x, qubits, layers=count, sweeps=100)
        yield "plain", budget, approximate_encoding(x, qubits, layers=count, sweeps=0)
        circuit = truncated(x, qubits, budget)
        state = cirq.Simulator(dtype=np.complex128).simulate(circuit, qubit_order=qubits).final_state_vector.real
        state = state if state @ x >= 0 else -state
        yield "truncated", budget, ApproximateEncoding(compiled(circuit).freeze(), state, float(state @ x) ** 2, 0)


@cache
def trained(task: Task) -> tuple[hq.Model, float]:
    """The model and its test accuracy."""
    data = hq.datasets.load(task.data)
    ansatz = hq.ring_ansatz(data.n_qubits, task.model_layers)
    model = hq.train(ansatz, data.x_train, data.y_train, epochs=task.epochs, seed=0).model
    return model, hq.accuracy(model, data.x_test, data.y_test)


def measure(task: Task, model: hq.Model, image: int) -> list[Row]:
    """Everything about one test picture, a row for each method and budget, and one for the exact circuit."""
    x = np.asarray(hq.datasets.load(task.data).x_test[image])
    qubits: list[cirq.Qid] = list(cirq.LineQubit.range(model.n_qubits))
    exact = compiled(encode(x, qubits))
    found = [("exact", 0, ApproximateEncoding(exact.freeze(), x, 1.0, 0)), *encodings(x, task.layers)]
    return [
        {
            "image": image,
            "method": method,
            "budget": budget,
            "cz": encoding.two_qubit_gates,
            "fidelity": encoding.fidelity,
            "routed_cz": routed_couplings(encoding.circuit, qubits) if image < task.routed and method != "plain" else None,
            **asdict(map_effect(model, x, encoding)),
        }
        for method, budget, encoding in found
    ]


def run(task: Task, root: Path, workers: int) -> Path:
    """Measures one task and writes every row; an existing result is left as it is."""
    path = task.path(root)
    if path.exists():
        return path
    model, accuracy = trained(task)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        images = range(task.images)
        rows = [row for found in pool.map(measure, [task] * len(images), [model] * len(images), images) for row in found]
    result = {"task": asdict(task), "test_accuracy": accuracy, "rows": rows, "provenance": asdict(Provenance.now())}
    return write_new(path, json.dumps(result, indent=1))


def column(rows: list[Row], method: str, budget: int, name: str) -> FloatArray:
    """One number of every picture, in the order of pictures."""
    found = [r[name] for r in rows if r["method"] == method and r["budget"] == budget and r[name] is not None]
    return np.array(found, dtype=float)


def median(values: FloatArray) -> tuple[float, float, float]:
    """The median and its 95% bootstrap interval over pictures."""
    middle = float(np.median(values))
    return middle, *bootstrap_interval(values, np.median)


def table(result: dict[str, Any], rows: list[Row]) -> Iterator[str]:
    """Yields the lines of one task as Markdown; intervals are 95%, over pictures."""
    task = Task(**result["task"])
    exact, low, high = median(column(rows, "exact", 0, "cz"))
    grid = np.median(column(rows, "exact", 0, "routed_cz"))
    yield (
        f"\n**{task.data}**: {task.images} test pictures, model of {task.model_layers} layers with test accuracy "
        f"{result['test_accuracy']:.3f}; exact encoding {exact:.0f} [{low:.0f}, {high:.0f}] CZ, {grid:.0f} on a grid\n"
    )
    yield "| CZ allowed | method | CZ | CZ on a grid | fidelity | cosine of maps | L2 error of map |"
    yield "|---|---|---|---|---|---|---|"
    budgets = sorted({int(r["budget"]) for r in rows} - {0})
    for budget in budgets:
        for method, label in METHODS.items():
            cells = [f"{np.median(column(rows, method, budget, 'cz')):.0f}"]
            on_grid = column(rows, method, budget, "routed_cz")
            cells.append(f"{np.median(on_grid):.0f}" if len(on_grid) else "")
            for name in ("fidelity", "cosine", "relative_error"):
                cells.append("{:.3f} [{:.3f}, {:.3f}]".format(*median(column(rows, method, budget, name))))
            yield f"| {budget} | {label} | {' | '.join(cells)} |"
    wins = []
    for budget in budgets:
        swept, rival = (column(rows, method, budget, "fidelity") for method in ("swept", "truncated"))
        wins.append(f"{np.sum(swept > rival)} at {budget} CZ")
    yield f"\nPictures of {task.images} on which swept staircases hold more fidelity than truncation: {', '.join(wins)}."


def draw(results: list[tuple[str, list[Row]]]) -> Figure:
    """Fidelity and map cosine against CZ, a column of axes for each data set."""
    figure = Figure(figsize=(4.2 * len(results), 6.4), layout="constrained")
    axes = figure.subplots(2, len(results), squeeze=False, sharex="col")
    for (title, rows), pair in zip(results, axes.T, strict=True):
        budgets = sorted({int(r["budget"]) for r in rows} - {0})
        for ax, name, label in zip(pair, ("fidelity", "cosine"), ("fidelity", "cosine of maps"), strict=True):
            for (method, method_label), style in zip(METHODS.items(), ("o-", "s:", "^--"), strict=True):
                cz = [np.median(column(rows, method, budget, "cz")) for budget in budgets]
                middle, low, high = np.array([median(column(rows, method, budget, name)) for budget in budgets]).T
                (line,) = ax.plot(cz, middle, style, markersize=4, label=method_label)
                ax.fill_between(cz, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
            ax.axvline(np.median(column(rows, "exact", 0, "cz")), color="0.3", label="exact encoding")
            ax.set(ylabel=label, ylim=(None, 1.01))
        pair[0].set_title(title)
        pair[1].set_xlabel("CZ, compiled, any pair coupled")
    axes[0, 0].legend(title="median and 95% interval", fontsize=8, title_fontsize=8)
    return figure


def main(arguments: list[str] | None = None) -> None:
    """Runs what is missing, prints the tables, writes tables and figure beside the results."""
    parser = argparse.ArgumentParser(prog="python -m experiments.approximate_encoding", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four pictures of digits and MNIST 16x16 (under 30 s)")
    parser.add_argument("--out", type=Path, default=Path("runs/approximate_encoding"), help="folder (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    options = parser.parse_args(arguments)
    tasks = [replace(t, images=4, epochs=5, layers=(1, 3), routed=1) for t in TASKS[:2]] if options.quick else TASKS
    drawn, lines = [], []
    for task in tasks:
        result = json.loads(run(task, options.out, options.workers).read_text(encoding="utf-8"))
        drawn.append((task.data, result["rows"]))
        lines += list(table(result, result["rows"]))
    print("\n".join(lines))
    stem = "quick" if options.quick else "comparison"
    if not (options.out / f"{stem}.png").exists():
        from hattriq_cirq.plotting import png

        write_new(options.out / f"{stem}.png", png(draw(drawn)))
        write_new(options.out / f"{stem}.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
