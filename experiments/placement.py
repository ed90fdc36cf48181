"""Whether qubits chosen by the calibration give better attributions than qubits chosen at random.

Run `python -m experiments.placement`, or with `--quick` for a small sample. Models are trained on noisy Bars and Stripes;
their resolved Hadamard tests run on the virtual processor with its calibrated noise, as exact density matrices: on the qubits
the library chooses, on random connected patches of as many qubits with the library's assignment within them, and on the same
patches with a random assignment. Everything is simulated. Prints a table and writes a figure and a JSON file with every number.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one process a core

import cirq
import networkx as nx
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from tqdm import tqdm

import hattriq_cirq as hq
from experiments.calibrated_noise import DATA, PROCESSOR, trained
from experiments.compare import errors as relative_errors
from experiments.intervals import bootstrap_interval
from hattriq_cirq._circuits import multi_qubit_gates
from hattriq_cirq._files import write_new
from hattriq_cirq._provenance import Provenance
from hattriq_cirq.encoding import Encoder, encode
from hattriq_cirq.engines.placement import judged, neighbour_encoder, place
from hattriq_cirq.engines.processor import load_processor
from hattriq_cirq.estimators import Plan, Product, plan
from hattriq_cirq.plotting import png

KINDS = ("chosen", "random patch", "random patch and assignment")


@dataclass(frozen=True)
class Task:
    """One model on one placement; random ones are numbered from 1."""

    seed: int
    kind: str
    number: int
    inputs: int


@dataclass(frozen=True)
class Error:
    """The mean relative L2 error of the maps of a model's inputs on one patch, and its two-qubit gates."""

    task: Task
    error: float
    two_qubit_gates: int


def random_patch(graph: nx.Graph, size: int, rng: np.random.Generator) -> list[cirq.Qid]:
    """A random connected set of qubits, grown from a random one."""
    patch = [sorted(graph)[rng.integers(len(graph))]]
    while len(patch) < size:
        beside = sorted({q for p in patch for q in graph[p]} - set(patch))
        patch.append(beside[rng.integers(len(beside))])
    return patch


def measured_error(task: Task) -> Error:
    """Trains the model, places it, and compares its maps with the exact ones."""
    data = hq.datasets.load(DATA)
    model = trained(data, task.seed)
    x = data.x_test[: task.inputs]
    estimator, processor, engine = hq.ResolvedHadamardTest(), load_processor(PROCESSOR), hq.virtual(PROCESSOR)

    def circuits(encoder: Encoder) -> list[cirq.Circuit]:
        return [made.readings[0].circuit for made in plans(encoder)]

    def plans(encoder: Encoder) -> list[Plan]:
        return [plan(estimator.prepared_by(encoder), model, [Product(row, row)]) for row in x]

    if task.kind == KINDS[0]:
        placement = place(processor, circuits, model.qubits)
    else:
        rng = np.random.default_rng([task.seed, task.number])
        patch = random_patch(processor.graph, data.n_qubits + 1, rng)
        if task.kind == KINDS[1]:
            placement = place(processor, circuits, model.qubits, among=patch)
        else:
            logical = sorted(circuits(encode)[0].all_qubits())
            qubits = dict(zip(logical, [patch[i] for i in rng.permutation(len(patch))], strict=True))
            ways = (encode, neighbour_encoder(processor, qubits))
            placement = min((judged(processor, circuits, qubits, way) for way in ways), key=lambda made: made.error)
    made = plans(placement.encoder)
    programs = engine.compile([m.readings[0].circuit for m in made], placement)
    values = np.array([m.decode([d]).values for m, d in zip(made, engine.execute(programs, None), strict=True)])
    exact = hq.integrated_gradients(model, x, baseline=0).values
    return Error(
        task, float(relative_errors(values, exact).mean()), max(multi_qubit_gates(program.circuit) for program in programs)
    )


def table(errors: Sequence[Error]) -> list[str]:
    """The chosen qubits against random ones, a line a model, and the two questions asked of them."""
    lines = [
        "| model | chosen | rank among random patches | random patch | random patch and assignment | CZ chosen / random |",
        "|---|---|---|---|---|---|",
    ]
    in_best_tenth: dict[str, list[bool]] = {kind: [] for kind in KINDS[1:]}
    ratios: dict[str, list[float]] = {kind: [] for kind in KINDS[1:]}
    for seed in sorted({e.task.seed for e in errors}):
        ours, *others = ([e for e in errors if e.task.seed == seed and e.task.kind == kind] for kind in KINDS)
        ranks, cells = [], []
        for kind, theirs in zip(KINDS[1:], others, strict=True):
            values = np.array([e.error for e in theirs])
            ranks.append(1 + int((values < ours[0].error).sum()))
            in_best_tenth[kind].append(ranks[-1] <= max(1, (len(values) + 1) // 10))
            ratios[kind].append(ours[0].error / float(values.mean()))
            low, high = bootstrap_interval(values)
            cells.append(f"{values.mean():.3f} [{low:.3f}, {high:.3f}], least {values.min():.3f}")
        gates = " / ".join(f"{np.mean([e.two_qubit_gates for e in theirs]):.1f}" for theirs in (ours, *others))
        rank = f"{ranks[0]} of {len(others[0]) + 1}"
        lines.append(f"| {seed} | {ours[0].error:.3f} | {rank} | {' | '.join(cells)} | {gates} |")
    for kind in KINDS[1:]:
        low, high = bootstrap_interval(ratios[kind])
        lines.append(
            f"against {kind}: in the best tenth for {sum(in_best_tenth[kind])} of {len(ratios[kind])} models (target: 4 of 5), "
            f"error over the random mean {np.mean(ratios[kind]):.3f} [{low:.3f}, {high:.3f}] (target: at most 0.5)"
        )
    return lines


def figure(errors: Sequence[Error]) -> Figure:
    """Every placement a point, the chosen one marked."""
    drawn = Figure(figsize=(8, 3.6), layout="constrained")
    ax = drawn.subplots()
    rows = {"model": [e.task.seed for e in errors], "error": [e.error for e in errors], "qubits": [e.task.kind for e in errors]}
    colors = dict(zip(KINDS, ("C3", "0.45", "0.75"), strict=True))
    sns.stripplot(rows, x="model", y="error", hue="qubits", hue_order=KINDS[1:], palette=colors, dodge=True, size=4, ax=ax)
    seeds = sorted({e.task.seed for e in errors})
    ours = [e for e in errors if e.task.kind == KINDS[0]]
    at = [seeds.index(e.task.seed) for e in ours]
    ax.scatter(at, [e.error for e in ours], color="C3", marker="D", zorder=3, label=KINDS[0])
    ax.set(xlabel="model (training seed)", ylabel="relative L2 error of the map", ylim=(0, None))
    ax.legend(title="qubits", frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    ax.set_title(f"virtual {PROCESSOR}, calibrated noise (simulated)", fontsize="medium")
    return drawn


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], prog="python -m experiments.placement")
    parser.add_argument("--quick", action="store_true", help="2 models, 3 random patches, 1 input")
    parser.add_argument("--out", default="runs/placement", metavar="DIR", help="new folder (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: all cores)")
    chosen = parser.parse_args(arguments)
    models, patches, inputs = (2, 3, 1) if chosen.quick else (5, 30, 3)
    numbered = [(KINDS[0], 0), *((kind, number) for kind in KINDS[1:] for number in range(1, patches + 1))]
    tasks = [Task(seed, kind, number, inputs) for seed in range(models) for kind, number in numbered]
    with ProcessPoolExecutor(chosen.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        work = pool.map(measured_error, tasks)
        errors = list(tqdm(work, total=len(tasks), desc="patches", disable=not sys.stderr.isatty()))
    print("\n".join(table(errors)))
    folder = Path(chosen.out)
    record = {
        "processor": PROCESSOR,
        "data": DATA,
        "errors": [asdict(e) for e in errors],
        "provenance": asdict(Provenance.now()),
    }
    write_new(folder / "placement.json", json.dumps(record, indent=2) + "\n")
    write_new(folder / "placement.png", png(figure(errors)))


if __name__ == "__main__":
    main()
