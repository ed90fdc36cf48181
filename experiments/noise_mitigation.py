"""What each correction of gate noise, alone and together, does to attribution maps of a virtual processor, and its price.

Run `python -m experiments.noise_mitigation`, or with `--quick` for a small sample. Models of 3 layers are trained on Bars and
Stripes with noisy pixels; clean patterns and noisy test inputs are attributed against zero by the resolved Hadamard test,
without shot noise (exact density matrices, readout errors included) and with shots. Everything is simulated. The options were
chosen on models of other seeds. Prints tables; a JSON file for each option,
model and kind of input keeps every number, and is not measured again.
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
from functools import partial
from pathlib import Path
from typing import Literal

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one process a core

import numpy as np
from tqdm import tqdm

import hattriq_cirq as hq
from calibration.correct import Readout
from calibration.gate_noise import DynamicalDecoupling, PauliTwirling, ZeroNoiseExtrapolation
from calibration.pipeline import Pipeline
from calibration.rescaling import CompletenessRescaling, NoiseEstimation
from experiments.compare import cosines, errors, slopes
from experiments.intervals import median_text
from experiments.subjects import SUBJECTS, trained
from hattriq_cirq._files import write_new
from hattriq_cirq._provenance import Provenance
from hattriq_cirq.mitigation import Mitigation

PROCESSOR = "willow_pink"
DATA = SUBJECTS["bars3"].data
SHOTS = 1_000_000
FIRST_SEED = 20
"""Of the models that are reported; seeds 0 to 3 were looked at to set the options."""
LINEAR, QUADRATIC = ZeroNoiseExtrapolation(), ZeroNoiseExtrapolation(degree=2)
TWIRLS, READOUT = PauliTwirling(16), Readout()
OPTIONS: dict[str, Mitigation | None] = {
    "none": None,
    "readout": READOUT,
    "linear ZNE": LINEAR,
    "quadratic ZNE": QUADRATIC,
    "twirling": TWIRLS,
    "decoupling": DynamicalDecoupling(),
    "completeness": CompletenessRescaling(),
    "completeness, shift": CompletenessRescaling(additive=True),
    "noise estimation": NoiseEstimation(),
    "twirling, readout": Pipeline([TWIRLS, READOUT]),
    "completeness, twirling, readout": Pipeline([CompletenessRescaling(), TWIRLS, READOUT]),
    "noise estimation, twirling, readout": Pipeline([NoiseEstimation(), TWIRLS, READOUT]),
    "linear ZNE, readout": Pipeline([LINEAR, READOUT]),
    "quadratic ZNE, readout": Pipeline([QUADRATIC, READOUT]),
    "linear ZNE, twirling, readout": Pipeline([LINEAR, TWIRLS, READOUT]),
    "quadratic ZNE, twirling, readout": Pipeline([QUADRATIC, TWIRLS, READOUT]),
    "all but decoupling": Pipeline([NoiseEstimation(circuits=1), CompletenessRescaling(), QUADRATIC, TWIRLS, READOUT]),
}
QUICK = ("none", "readout", "completeness", "noise estimation", "twirling, readout", "noise estimation, twirling, readout")
Kind = Literal["clean", "noisy"]


@dataclass(frozen=True)
class Task:
    """One option on one model and a few inputs of one kind."""

    option: str
    seed: int
    kind: Kind
    inputs: int = 2

    def path(self, folder: Path) -> Path:
        """Where its result is kept."""
        return folder / f"{self.kind}-{self.seed}-{self.inputs}" / f"{self.option.replace(', ', '+').replace(' ', '_')}.json"


@dataclass(frozen=True)
class Maps:
    """How the maps under one option compare with the exact ones, a number an input.

    `exact_` is without shot noise, `shot_` with it; gaps are absolute. Cost is per input; `variance` is the factor on that of
    plain counts.
    """

    task: Task
    circuits: float
    shots: float
    variance: float
    two_qubit_gates: int
    exact_error: list[float]
    exact_cosine: list[float]
    exact_slope: list[float]
    exact_gap: list[float]
    shot_error: list[float]
    shot_cosine: list[float]
    shot_gap: list[float]


def measured(task: Task) -> Maps:
    """Trains the model and attributes its inputs under the option."""
    model, data = trained("bars3", task.seed)
    source = data.x_test if task.kind == "noisy" else hq.datasets.load("bars_and_stripes").x_train
    x = source[np.random.default_rng(task.seed).choice(len(source), task.inputs, replace=False)]
    exact = hq.integrated_gradients(model, x, baseline=0).values
    engine, estimator, mitigation = hq.virtual(PROCESSOR, seed=task.seed), hq.ResolvedHadamardTest(), OPTIONS[task.option]
    bias, shot = (
        hq.integrated_gradients(model, x, baseline=0, estimator=estimator, engine=engine, shots=shots, mitigation=mitigation)
        for shots in (None, SHOTS)
    )
    return Maps(
        task,
        (shot.cost.circuits + shot.cost.mitigation_circuits) / len(x),
        (shot.cost.shots + shot.cost.mitigation_shots) / len(x),
        shot.cost.variance_factor,
        shot.cost.two_qubit_gates,
        errors(bias.values, exact).tolist(),
        cosines(bias.values, exact).tolist(),
        slopes(bias.values, exact).tolist(),
        np.abs(bias.completeness_gap).tolist(),
        errors(shot.values, exact).tolist(),
        cosines(shot.values, exact).tolist(),
        np.abs(shot.completeness_gap).tolist(),
    )


def run(task: Task, folder: Path) -> Maps:
    """The result of a task, from the folder if it is there, else measured and kept."""
    path = task.path(folder)
    if path.exists():
        kept = json.loads(path.read_text())["maps"]
        return Maps(**kept | {"task": Task(**kept["task"])})
    maps, mitigation = measured(task), OPTIONS[task.option]
    record = {"processor": PROCESSOR, "data": DATA, "shots": SHOTS, "mitigation": mitigation and mitigation.describe()}
    record |= {"maps": asdict(maps), "provenance": asdict(Provenance.now())}
    write_new(path, json.dumps(record, indent=2) + "\n")
    return maps


def table(found: Sequence[Maps], kind: Kind) -> list[str]:
    """A line an option: medians over all inputs of all models, with bootstrap intervals; cost per input."""
    lines = [
        f"| {kind} inputs | circuits | shots, 10^6 | variance | error, no shot noise | cosine | slope | gap "
        f"| error at {SHOTS:,} shots | cosine | gap |",
        "|" + "---|" * 11,
    ]
    for name in OPTIONS:
        mine = [maps for maps in found if (maps.task.option, maps.task.kind) == (name, kind)]
        if mine:
            columns = ("exact_error", "exact_cosine", "exact_slope", "exact_gap", "shot_error", "shot_cosine", "shot_gap")
            cells = (median_text(np.concatenate([getattr(maps, column) for maps in mine])) for column in columns)
            circuits, shots, variance = (np.mean([getattr(m, c) for m in mine]) for c in ("circuits", "shots", "variance"))
            lines.append(f"| {name} | {circuits:.0f} | {shots / 1e6:.2f} | {variance:.1f} | {' | '.join(cells)} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], prog="python -m experiments.noise_mitigation")
    parser.add_argument("--quick", action="store_true", help="six options without extrapolation, 1 model, 2 inputs")
    parser.add_argument("--models", type=int, default=7, help="models, each with 2 clean and 2 noisy inputs (default: 7)")
    parser.add_argument("--out", default="runs/noise_mitigation", metavar="DIR", help="folder (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: all cores)")
    chosen = parser.parse_args(arguments)
    options, models = (QUICK, 1) if chosen.quick else (tuple(OPTIONS), chosen.models)
    kinds: tuple[Kind, ...] = ("noisy",) if chosen.quick else ("clean", "noisy")
    seeds = range(FIRST_SEED, FIRST_SEED + models)
    tasks = [Task(name, seed, kind) for seed in seeds for kind in kinds for name in options]
    with ProcessPoolExecutor(chosen.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = pool.map(partial(run, folder=Path(chosen.out)), tasks)
        found = list(tqdm(running, total=len(tasks), desc="maps", disable=not sys.stderr.isatty()))
    for kind in kinds:
        print("\n".join([*table(found, kind), ""]))


if __name__ == "__main__":
    main()
