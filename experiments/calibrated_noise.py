"""How far each estimator's map is from the exact one on a virtual processor with its calibrated noise.

Run `python -m experiments.calibrated_noise`, or with `--quick` for a small sample. Models of 3 layers are trained on Bars and
Stripes with noisy pixels; test inputs are attributed against zero, without shot noise (exact density matrices, readout errors
included) and with shots. Everything is simulated. Prints a table and writes a JSON file with every number.
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

import numpy as np
from tqdm import tqdm

import hattriq_cirq as hq
from experiments.compare import cosines, errors, slopes
from experiments.intervals import median_text
from hattriq_cirq._files import write_new
from hattriq_cirq._provenance import Provenance
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.estimators import Estimator

PROCESSOR = "willow_pink"
DATA = "bars_and_stripes:noise=0.2,copies=20"
SHOTS = 20_000
ESTIMATORS: dict[str, Estimator] = {
    "resolved": hq.ResolvedHadamardTest(),
    "Hadamard": hq.HadamardTest(),
    "Hadamard, literal": hq.HadamardTest(literal=True),
    "parallel, m=2": hq.ParallelHadamardTest(2),
    "polarization": hq.PolarizationShift(),
}


@dataclass(frozen=True)
class Task:
    """One estimator on one model and its first inputs."""

    estimator: str
    seed: int
    inputs: int


@dataclass(frozen=True)
class Maps:
    """How the maps compare with the exact ones, a number an input; `bias_` without shot noise, `shot_` with it."""

    task: Task
    two_qubit_gates: int
    bias_error: list[float]
    bias_cosine: list[float]
    bias_slope: list[float]
    shot_error: list[float]
    shot_cosine: list[float]


def measured(task: Task) -> Maps:
    """Trains the model and attributes its inputs on the virtual processor."""
    data = hq.datasets.load(DATA)
    model = trained(data, task.seed)
    x, estimator = data.x_test[: task.inputs], ESTIMATORS[task.estimator]
    exact = hq.integrated_gradients(model, x, baseline=0).values
    engine = hq.virtual(PROCESSOR, seed=task.seed)
    bias, shot = (
        hq.integrated_gradients(model, x, baseline=0, estimator=estimator, engine=engine, shots=shots)
        for shots in (None, SHOTS)
    )
    return Maps(
        task,
        bias.cost.two_qubit_gates,
        errors(bias.values, exact).tolist(),
        cosines(bias.values, exact).tolist(),
        slopes(bias.values, exact).tolist(),
        errors(shot.values, exact).tolist(),
        cosines(shot.values, exact).tolist(),
    )


def trained(data: Dataset, seed: int) -> hq.Model:
    """A ring of 3 layers, trained on a data set."""
    return hq.train(hq.ring_ansatz(data.n_qubits, 3), data.x_train, data.y_train, seed=seed, epochs=60).model


def table(found: Sequence[Maps]) -> list[str]:
    """A line an estimator: medians over all inputs of all models, with bootstrap intervals."""
    lines = [
        f"| estimator | CZ | error, no shot noise | cosine | slope | error at {SHOTS:,} shots | cosine |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in ESTIMATORS:
        mine = [maps for maps in found if maps.task.estimator == name]
        if mine:
            columns = ("bias_error", "bias_cosine", "bias_slope", "shot_error", "shot_cosine")
            cells = (median_text(np.concatenate([getattr(maps, column) for maps in mine])) for column in columns)
            lines.append(f"| {name} | {max(maps.two_qubit_gates for maps in mine)} | {' | '.join(cells)} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], prog="python -m experiments.calibrated_noise")
    parser.add_argument("--quick", action="store_true", help="the resolved and polarization estimators, 1 model, 2 inputs")
    parser.add_argument("--out", default="runs/calibrated_noise", metavar="DIR", help="new folder (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: all cores)")
    chosen = parser.parse_args(arguments)
    names, models, inputs = (("resolved", "polarization"), 1, 2) if chosen.quick else (tuple(ESTIMATORS), 5, 2)
    tasks = [Task(name, seed, inputs) for name in names for seed in range(models)]
    with ProcessPoolExecutor(chosen.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(tqdm(pool.map(measured, tasks), total=len(tasks), desc="maps", disable=not sys.stderr.isatty()))
    print("\n".join(table(found)))
    record = {"processor": PROCESSOR, "data": DATA, "maps": [asdict(m) for m in found], "provenance": asdict(Provenance.now())}
    write_new(Path(chosen.out) / "calibrated_noise.json", json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
