"""What each correction of readout errors is worth: nothing, product, correlated groups, and twirling (TREX).

Run `python -m experiments.readout_mitigation`, or with `--quick` for a small sample. One input of a trained model is attributed
again and again with the resolved test: on simulators whose readout errors are injected (asymmetric, strong, correlated in
pairs, drifting), and on virtual processors with the readout noise of their calibration. Every correction has the same
calibration budget, taken in the same batch. Everything is simulated. Prints a table and writes figures and a JSON file with
every number.
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
from functools import lru_cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one process a core

import cirq
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator
from tqdm import tqdm

import hattriq_cirq as hq
from calibration.correct import Readout
from calibration.correlated import CorrelatedReadout, measure_correlated
from calibration.faults import FaultyReadout
from calibration.measure import measure_readout
from calibration.twirl import TwirledReadout
from experiments.intervals import bootstrap_interval
from experiments.readout_charts import confusion_figure, drift_figure
from hattriq_cirq._arrays import FloatArray
from hattriq_cirq._files import write_new
from hattriq_cirq._provenance import Provenance
from hattriq_cirq.encoding import Encoder, encode
from hattriq_cirq.engines.base import Program
from hattriq_cirq.engines.compile import outcome_probabilities
from hattriq_cirq.engines.engine import Engine
from hattriq_cirq.engines.local import sampler
from hattriq_cirq.estimators import Plan, Product, plan
from hattriq_cirq.mitigation import Mitigation, Variants
from hattriq_cirq.outcomes import Distribution
from hattriq_cirq.plotting import png

DATA = "bars_and_stripes:noise=0.2,copies=20"
CALIBRATION_SHOTS = 20_000  # in which each qubit is 0, and again as many in which it is 1; twirling takes as many in all
MITIGATIONS: dict[str, Mitigation | None] = {
    "raw": None,
    "product": Readout(shots=CALIBRATION_SHOTS),
    "correlated": CorrelatedReadout(shots=CALIBRATION_SHOTS),
    "TREX": TwirledReadout(calibration_shots=2 * CALIBRATION_SHOTS),
}
FAULTS: dict[str, dict[str, Any]] = {
    "asymmetric": {"e0": 0.01, "e1": 0.10},
    "strong": {"e0": 0.02, "e1": 0.20},
    "correlated": {"e0": 0.01, "e1": 0.05, "pairs": ((0, 1, 0.04), (1, 2, 0.02))},
    "drifting": {"e0": 0.01, "e1": 0.05, "drift": 0.02},
}
PROCESSORS = ("willow_pink", "weber")
COLORS = dict(zip(MITIGATIONS, ("0.5", "C0", "C2", "C3"), strict=True))


@dataclass(frozen=True)
class Task:
    """One correction of one kind of readout errors, so many independent runs of so many shots."""

    readout: str
    method: str
    shots: int
    runs: int


@dataclass(frozen=True)
class Attributed:
    """The maps of a task's runs, (runs, features), with their standard errors, and what one run cost.

    The variance factor is the summed variance of a map over that of as many shots read without error.
    """

    task: Task
    exact: list[float]
    values: list[list[float]]
    stderr: list[list[float]]
    extra_circuits: int
    extra_shots: int
    variance_factor: float


@dataclass(frozen=True)
class Score:
    """How good the maps of a task are.

    Args:
        bias: relative L2 norm of the mean error, what the spread of the runs adds to it taken off.
        surest_bias: the largest mean error of a feature, in its own standard errors.
        error: root mean square of the relative L2 error of a map.
        error_interval: 95%, bootstrap over runs.
        coverage: how many 95% intervals hold the exact value.
        coverage_interval: 95%, bootstrap over runs.
    """

    bias: float
    surest_bias: float
    error: float
    error_interval: tuple[float, float]
    coverage: float
    coverage_interval: tuple[float, float]


@lru_cache(maxsize=1)
def model_and_input() -> tuple[hq.Model, FloatArray]:
    """A trained model and a test input."""
    data = hq.datasets.load(DATA)
    model = hq.train(hq.ring_ansatz(data.n_qubits, 2), data.x_train, data.y_train, seed=0, epochs=60).model
    return model, data.x_test[0]


def engine_for(readout: str, qubits: Sequence[cirq.Qid], repetitions: int, seed: int) -> Engine:
    """What misreads: injected faults on the measured qubits, which drift over so many repetitions, or a virtual processor."""
    if readout in PROCESSORS:
        return hq.virtual(readout, seed=seed, noise="readout")
    return sampler(FaultyReadout(qubits, over=repetitions, seed=seed, **FAULTS[readout]))


@lru_cache(maxsize=len(PROCESSORS) + 1)
def compiled(processor: str | None) -> tuple[Plan, list[Program]]:
    """The resolved test of the input, as it runs on a virtual processor or on a simulator."""
    (model, x), estimator = model_and_input(), hq.ResolvedHadamardTest()
    engine = hq.qsim(seed=0) if processor is None else hq.virtual(processor, noise="readout")

    def planned(encoder: Encoder) -> Plan:
        return plan(estimator.prepared_by(encoder), model, [Product(x, x)])

    placement = engine.place(lambda encoder: [planned(encoder).readings[0].circuit], model.qubits)
    made = planned(encode if placement is None else placement.encoder)
    return made, engine.compile([made.readings[0].circuit], placement)


def attributed(task: Task) -> Attributed:
    """Runs a task: every run has a calibration of its own."""
    mitigation = MITIGATIONS[task.method]
    on_processor = task.readout in PROCESSORS
    made, programs = compiled(task.readout if on_processor else None)
    measured = next(iter(programs[0].circuit[-1])).qubits
    repetitions = task.shots + (2 * CALIBRATION_SHOTS if mitigation else 0)
    seeds = np.random.SeedSequence([list(MITIGATIONS).index(task.method), task.shots]).generate_state(task.runs).tolist()
    engines = [engine_for(task.readout, measured, repetitions, seed) for seed in seeds[: 1 if on_processor else None]]
    values, stderr = [], []
    for run in range(task.runs):
        engine = engines[run % len(engines)]
        variants = Variants(programs, [task.shots]) if mitigation is None else mitigation.expand(engine, programs, [task.shots])
        outcomes = engine.execute(variants.programs, variants.shots)
        estimate = made.decode(outcomes if mitigation is None else mitigation.combine(variants, outcomes))
        values.append(estimate.values.tolist())
        stderr.append(estimate.stderr.tolist())
    ideal = made.decode([Distribution(outcome_probabilities(made.readings[0].circuit), task.shots)])
    (model, x), taken = model_and_input(), sum(outcome.shots or 0 for outcome in outcomes)
    return Attributed(
        task,
        hq.integrated_gradients(model, x, baseline=0).values.tolist(),
        values,
        stderr,
        len(outcomes) - 1,
        taken - task.shots,
        float(np.mean(np.sum(np.square(stderr), axis=1)) / np.sum(ideal.stderr**2)),
    )


def score(found: Attributed) -> Score:
    """Judges the maps of a task, two runs at least."""
    exact, values, stderr = np.array(found.exact), np.array(found.values), np.array(found.stderr)
    off, size = values - exact, float(np.linalg.norm(exact))
    mean, spread = off.mean(axis=0), off.var(axis=0, ddof=1) / len(off)
    bias = np.sqrt(max(0.0, float(mean @ mean - spread.sum()))) / size
    squares = np.sum(off**2, axis=1) / size**2
    low, high = bootstrap_interval(squares)
    held = np.mean(np.abs(off) <= 1.96 * stderr, axis=1)
    return Score(
        float(bias),
        float(np.abs(mean / np.sqrt(spread)).max()),
        float(np.sqrt(squares.mean())),
        (float(np.sqrt(low)), float(np.sqrt(high))),
        float(held.mean()),
        bootstrap_interval(held),
    )


def table(found: Sequence[Attributed]) -> list[str]:
    """A line a task: bias, error, coverage, cost."""
    lines = [
        "| readout | method | shots | bias | surest bias (s.e.) | RMS error | coverage of 95% | "
        "extra circuits | extra shots | variance factor |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        task, judged = one.task, score(one)
        error, coverage = (
            "{:.3f} [{:.3f}, {:.3f}]".format(value, *interval)
            for value, interval in ((judged.error, judged.error_interval), (judged.coverage, judged.coverage_interval))
        )
        lines.append(
            f"| {task.readout} | {task.method} | {task.shots:,} | {judged.bias:.3f} | {judged.surest_bias:.1f} | {error} | "
            f"{coverage} | {one.extra_circuits} | {one.extra_shots:,} | {one.variance_factor:.2f} |"
        )
    return lines


def error_figure(found: Sequence[Attributed]) -> Figure:
    """Error against shots, a panel for each kind of readout errors, a line for each method with its interval."""
    kinds = list(dict.fromkeys(one.task.readout for one in found))
    columns = min(3, len(kinds))
    rows = -(-len(kinds) // columns)
    drawn = Figure(figsize=(3.4 * columns, 2.9 * rows), layout="constrained")
    axes = drawn.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    counts = sorted({one.task.shots for one in found})
    for ax, kind in zip(axes, kinds, strict=False):
        for method, color in COLORS.items():
            mine = [one for one in found if (one.task.readout, one.task.method) == (kind, method)]
            judged = [score(one) for one in mine]
            rows_of = {"shots": [one.task.shots for one in mine], "error": [s.error for s in judged]}
            sns.lineplot(rows_of, x="shots", y="error", color=color, marker="o", label=method, legend=False, ax=ax)
            low, high = np.array([s.error_interval for s in judged]).T
            ax.fill_between(rows_of["shots"], low, high, color=color, alpha=0.25, linewidth=0)
        where = "virtual " if kind in PROCESSORS else ""
        ax.set(xscale="log", yscale="log", title=f"{where}{kind}", xlabel="shots", ylabel="relative L2 error, RMS")
        ax.xaxis.set_major_locator(FixedLocator(counts))
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.minorticks_off()
    axes[0].legend(frameon=False, fontsize="small")
    for ax in axes[len(kinds) :]:
        ax.remove()
    return drawn


def map_figure(found: Sequence[Attributed], readout: str) -> Figure:
    """The first run's map of each method, at the most shots, beside the exact one; a cross is 2 standard errors off or more."""
    most = max(one.task.shots for one in found)
    mine = {one.task.method: one for one in found if (one.task.readout, one.task.shots) == (readout, most)}
    exact = np.array(mine["raw"].exact)
    maps = {method: (np.array(one.values[0]), np.array(one.stderr[0])) for method, one in mine.items()}
    maps["exact"] = exact, np.full_like(exact, np.inf)
    side = int(np.sqrt(len(exact)))
    limit = max(float(np.abs(values).max()) for values, _ in maps.values())
    drawn = Figure(figsize=(2.1 * len(maps) + 0.6, 2.9), layout="constrained")
    axes = drawn.subplots(1, len(maps))
    for ax, (method, (values, stderr)) in zip(axes, maps.items(), strict=True):
        image = ax.imshow(values.reshape(side, side), cmap="RdBu_r", vmin=-limit, vmax=limit)
        row, column = np.divmod(np.flatnonzero(np.abs(values - exact) >= 2 * stderr), side)
        ax.plot(column, row, "x", color="black")
        off, expected = (float(np.linalg.norm(error) / np.linalg.norm(exact)) for error in (values - exact, stderr))
        words = method if method == "exact" else f"{method}\nerror {off:.3f}, expected {expected:.3f}"
        ax.set(xticks=[], yticks=[])
        ax.set_title(words, fontsize="small")
    drawn.colorbar(image, ax=axes, label="attribution\n(+ towards class +1)")
    drawn.suptitle(f"{readout} readout, {most:,} shots (simulated); crosses: 2 standard errors off or more", fontsize="medium")
    return drawn


def figures(found: Sequence[Attributed]) -> dict[str, Figure]:
    """All figures of the study, by name."""
    qubits = cirq.LineQubit.range(3)
    in_pairs = engine_for("correlated", qubits, 1, seed=0)
    rounds = 8
    drifting = engine_for("drifting", qubits, 2 * CALIBRATION_SHOTS * rounds, seed=0)
    return {
        "error": error_figure(found),
        "maps": map_figure(found, "correlated"),
        "confusion": confusion_figure(measure_correlated(in_pairs, qubits), measure_readout(in_pairs, qubits)),
        "drift": drift_figure([measure_readout(drifting, qubits, CALIBRATION_SHOTS) for _ in range(rounds)]),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the study."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], prog="python -m experiments.readout_mitigation"
    )
    parser.add_argument("--quick", action="store_true", help="4 runs at 2 numbers of shots, one virtual processor")
    parser.add_argument("--out", default="runs/readout_mitigation", metavar="DIR", help="new folder (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: all cores)")
    chosen = parser.parse_args(arguments)
    runs, counts, processors = (
        (4, (2_000, 50_000), PROCESSORS[:1]) if chosen.quick else (50, (2_000, 20_000, 200_000), PROCESSORS)
    )
    kinds = (*FAULTS, *processors)
    tasks = [Task(kind, method, shots, runs) for kind in kinds for method in MITIGATIONS for shots in counts]
    with ProcessPoolExecutor(chosen.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(tqdm(pool.map(attributed, tasks), total=len(tasks), desc="tasks", disable=not sys.stderr.isatty()))
    print("\n".join(table(found)))
    folder = Path(chosen.out)
    record = {
        "data": DATA,
        "calibration_shots": CALIBRATION_SHOTS,
        "faults": FAULTS,
        "attributed": [asdict(one) | {"score": asdict(score(one))} for one in found],
        "provenance": asdict(Provenance.now()),
    }
    write_new(folder / "readout_mitigation.json", json.dumps(record, indent=2) + "\n")
    for name, figure in figures(found).items():
        write_new(folder / f"readout_mitigation_{name}.png", png(figure))


if __name__ == "__main__":
    main()
