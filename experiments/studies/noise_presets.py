"""Mitigation: maps of models under noise, by estimator, noise and mitigation, with and without shots.

One task serves four studies, which differ in what they vary: `gate_noise`, `readout_mitigation`, `noise_mitigation` and
`best_pipeline`. The noise is a depolarising channel of several strengths, the calibrated noise of a virtual processor or its
readout errors alone, or readout errors of known size.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cirq
import numpy as np

import calibration
import hattriq_cirq as hq
from calibration.testing import FaultyReadout
from experiments.runner import depolarizing
from experiments.runner.estimators import ESTIMATORS
from experiments.runner.measured_maps import collect, measure
from experiments.runner.study import Done, Findings, Study
from experiments.runner.trained_models import SUBJECTS, accuracies, present, trained
from experiments.studies import mitigation_report as report
from experiments.studies.mitigation_report import CALIBRATED, DEPOLARISING, EXACT, FAULTS, LONGEST, READOUT_OF, ROUNDS
from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import only_measurement
from hattriq_cirq.compilation.gatesets import PROCESSORS
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.estimators import BilinearTerm, Plan, plan
from hattriq_cirq.execution.backends.simulators import sampler
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.checks import as_word
from hattriq_cirq.pipeline.mitigation import AssumptionWarning, Mitigation
from hattriq_cirq.simulation.statevector import outcome_probabilities

STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
CALIBRATION_SHOTS = 20_000  # with each qubit in 0, and again with each in 1
METHODS = ("raw", "product", "correlated", "TREX")
SHOTS = (10_000, 100_000, 1_000_000)
_PATTERNS = "bars_and_stripes"  # data set of the clean pictures
_REPLACED = "willow_pink"  # processor that --processor replaces
#: Mitigations of the study `gate_noise`.
CORRECTIONS = (
    *("readout", "twirled readout", "completeness", "noise estimation", "extrapolation", "twirling"),
    *("twirling, readout", "noise estimation, twirling, readout", "extrapolation, twirling, readout"),
)
#: Mitigations of the study `noise_mitigation`.
OPTIONS = (
    *("none", "readout", "linear ZNE", "quadratic ZNE", "twirling", "decoupling"),
    *("completeness", "completeness, shift", "noise estimation"),
    *("twirling, readout", "completeness, twirling, readout", "noise estimation, twirling, readout"),
    *("linear ZNE, readout", "quadratic ZNE, readout", "linear ZNE, twirling, readout", "quadratic ZNE, twirling, readout"),
    LONGEST,
)


@dataclass(frozen=True)
class Task:
    """Maps of some pictures of one model under one noise and one mitigation.

    Args:
        estimator: Name of the estimator.
        noise: `depolarising`, a processor, `readout of` a processor, or a kind of injected readout errors.
        mitigation: Name of the mitigation, or several separated by commas.
        seed: Seed of the model and of the choice of pictures.
        inputs: Number of pictures.
        shots: Shots of a map, several numbers one after the other; 0 for exact probabilities.
        pictures: `test` for the first test inputs, `clean` or `noisy` for a random choice of patterns or test inputs.
        first: Index of the first picture in that order.
        runs: Number of runs of each picture, each with a calibration of its own.
        engine_seed: Seed of the processor that runs all pictures; None for a seed per picture.
        mitigation_seed: Seed of twirls and roundings.
        subject: Name of the model.
    """

    estimator: str
    noise: str
    mitigation: str
    seed: int
    inputs: int
    shots: tuple[int, ...] = (0,)
    pictures: str = "test"
    first: int = 0
    runs: int = 1
    engine_seed: int | None = field(default=None, metadata={"reported": False})
    mitigation_seed: int = field(default=0, metadata={"reported": False})
    subject: str = "bars3"


def mitigation(name: str, seed: int = 0) -> Mitigation | None:
    """Return the mitigation of a name; None for `none` and `raw`."""
    parts: dict[str, Callable[[], Mitigation]] = {
        "readout": calibration.Readout,
        "product": calibration.Readout,
        "correlated": calibration.CorrelatedReadout,
        "twirled readout": lambda: calibration.TwirledReadout(calibration_shots=2 * CALIBRATION_SHOTS, seed=seed),
        "TREX": lambda: calibration.TwirledReadout(calibration_shots=2 * CALIBRATION_SHOTS, seed=seed),
        "completeness": calibration.CompletenessRescaling,
        "completeness, shift": lambda: calibration.CompletenessRescaling(additive=True),
        "noise estimation": lambda: calibration.NoiseEstimation(seed=seed),
        "one noise estimation": lambda: calibration.NoiseEstimation(circuits=1, seed=seed),
        "extrapolation": calibration.ZeroNoiseExtrapolation,
        "linear ZNE": calibration.ZeroNoiseExtrapolation,
        "quadratic ZNE": lambda: calibration.ZeroNoiseExtrapolation(degree=2),
        "twirling": lambda: calibration.PauliTwirling(seed=seed),
        "decoupling": calibration.DynamicalDecoupling,
    }
    if name in ("none", "raw"):
        return None
    if name in parts:
        return parts[name]()
    words = "one noise estimation, completeness, quadratic ZNE, twirling, readout" if name == LONGEST else name
    return calibration.MitigationSequence([parts[word]() for word in words.split(", ")])


def run(task: Task) -> dict[str, Any]:
    """Attribute the pictures at every strength of the noise or number of shots, and exactly."""
    model, data = trained(task.subject, task.seed)
    x, seeds = _pictures(task, data)
    exact = hq.integrated_gradients(model, x, baseline=0).values
    attribute = _depolarised if task.noise == DEPOLARISING else _on_engine
    with warnings.catch_warnings():
        if task.noise in FAULTS:  # the study measures what a correction does whose assumption is wrong
            warnings.simplefilter("ignore", AssumptionWarning)
        maps = attribute(task, model, x, seeds)
    result = {"accuracy": accuracies(model, data), "x": x, "exact": exact, **maps}
    if task.noise in FAULTS and task.mitigation == METHODS[0]:
        result["calibrations"] = _calibrations(task)
    return result


def _pictures(task: Task, data: Dataset) -> tuple[Array, Sequence[int]]:
    """Return the pictures, and a seed for each."""
    last = task.first + task.inputs
    if task.pictures == "test":
        return data.x_test[task.first : last], ()
    source = data.x_test if task.pictures == "noisy" else hq.datasets.load(_PATTERNS).amplitudes
    rng = np.random.default_rng(task.seed)
    return source[rng.permutation(len(source))[task.first : last]], rng.integers(2**31, size=task.inputs).tolist()


def _depolarised(task: Task, model: hq.Model, x: Array, seeds: Sequence[int]) -> dict[str, Any]:
    """Compute the maps at every strength of a depolarising channel after each CZ, exactly."""
    gates, values = [], []
    for row in x:
        circuits = plan(ESTIMATORS[task.estimator], model, [BilinearTerm(row, row)])
        compiled = [depolarizing.in_cz(each.circuit) for each in circuits.circuits]
        probabilities = depolarizing.probabilities(compiled, STRENGTHS)
        gates.append(float(np.mean([multi_qubit_gates(circuit) for circuit in compiled])))
        values.append(
            [circuits.decode([Distribution(each[i], None) for each in probabilities]).values for i in range(len(STRENGTHS))]
        )
    scores = model.expectation(x)[:, np.newaxis]
    maps = {
        str(strength): {"values": of_one[:, np.newaxis], "gap": of_one.sum(axis=1)[:, np.newaxis] - scores}
        for strength, of_one in zip(STRENGTHS, np.array(values).swapaxes(0, 1), strict=True)
    }
    return {"two_qubit_gates": gates, "maps": maps}


def _on_engine(task: Task, model: hq.Model, x: Array, seeds: Sequence[int]) -> dict[str, Any]:
    """Run the pictures, together if they share an engine, at every number of shots on the same qubits."""
    correction = mitigation(task.mitigation, task.mitigation_seed)
    injected, shared = task.noise in FAULTS, task.engine_seed is not None
    options: dict[str, Any] = {"baseline": 0, "estimator": ESTIMATORS[task.estimator], "mitigation": correction}
    rows = [x] if shared and task.runs == 1 else list(x)
    first = plan(ESTIMATORS[task.estimator], model, [BilinearTerm(x[0], x[0])]).circuits[0]
    if shared:
        engines = [hq.qsim(seed=0) if injected else _virtual(task.noise, task.engine_seed)] * len(rows)
        placements = [hq.prepare(model, x, engine=engines[0], shots=None, **options).placement] * len(rows)
    else:
        engines = [_virtual(task.noise, seed) for seed in seeds]
        placements = [
            hq.prepare(model, row, engine=e, shots=None, **options).placement for row, e in zip(rows, engines, strict=True)
        ]
    maps = {}
    for shots in task.shots:
        runs = []
        for i, (batch, engine, placement) in enumerate(zip(rows, engines, placements, strict=True)):
            again = [engine] * task.runs
            if injected:
                total = shots + (2 * CALIBRATION_SHOTS if correction else 0)
                keys = ([METHODS.index(task.mitigation), shots, i, number] for number in range(task.runs))
                again = [_faulty(task, only_measurement(first.circuit).qubits, total, key) for key in keys]
            runs.append([measure(model, batch, e, shots, placement=placement, **options) for e in again])
        level = collect(runs)
        if task.runs > 1:
            plans = (plan(ESTIMATORS[task.estimator], model, [BilinearTerm(row, row)]) for row in x)
            ideal = [_ideal_variance(circuits, shots) for circuits in plans]
            level["variance_factor"] = np.mean(np.sum(level["stderr"] ** 2, axis=2), axis=1) / np.array(ideal)
        maps[str(shots) if shots else EXACT] = level
    return {"two_qubit_gates": [max(cost["two_qubit_gates"] for each in maps.values() for cost in each["cost"])], "maps": maps}


def _ideal_variance(circuits: Plan, shots: int) -> float:
    """Return the summed variance of a map whose circuits run without errors."""
    counts = circuits.shots(shots)
    outcomes = [Distribution(outcome_probabilities(c.circuit), n) for c, n in zip(circuits.circuits, counts, strict=True)]
    return float(np.sum(circuits.decode(outcomes).stderr ** 2))


def _virtual(noise: str, seed: int | None) -> Engine:
    if noise.startswith(READOUT_OF):
        return hq.virtual(noise.removeprefix(READOUT_OF), seed=seed, noise="readout")
    return hq.virtual(noise, seed=seed)


def _faulty(task: Task, qubits: Sequence[cirq.Qid], repetitions: int, key: Sequence[int]) -> Engine:
    """Return a simulator that misreads these qubits and drifts while a number of repetitions is served."""
    (seed,) = np.random.SeedSequence([list(FAULTS).index(task.noise), task.seed, *key]).generate_state(1).tolist()
    return sampler(FaultyReadout(qubits, over=repetitions, seed=seed, **FAULTS[task.noise]))


def _calibrations(task: Task) -> dict[str, Any]:
    """Measure the correlated confusion of three qubits, and several calibrations of each while the readout may drift."""
    correlated = calibration.measure_correlated(_faulty(task, CALIBRATED, 2 * CALIBRATION_SHOTS, [0]), CALIBRATED)
    engine = _faulty(task, CALIBRATED, 2 * CALIBRATION_SHOTS * ROUNDS, [1])
    rounds = [calibration.measure_readout(engine, CALIBRATED, CALIBRATION_SHOTS).counts for _ in range(ROUNDS)]
    return {"joint": [row.counts for row in correlated.rows], "rounds": rounds}


def gate_noise_tasks(quick: bool) -> list[Task]:
    """Gate noise: its effect on the maps of each estimator, by depolarising noise and on virtual processors.

    How far do noisy two-qubit gates, and the calibrated noise of processors, take each estimator's maps from the exact ones,
    and how much of it do corrections undo?

    Return five seeds, with as many inputs as an estimator's circuits allow; for a quick run, one seed of the fast ones.
    """

    def one(estimator: str, noise: str, correction: str, seed: int, inputs: int) -> Task:
        return Task(estimator, noise, correction, seed, inputs, engine_seed=seed, mitigation_seed=seed)

    if quick:
        on_processor = [one("resolved", "willow_pink", name, 0, 1) for name in ("none", "readout")]
        return [one(name, DEPOLARISING, "none", 0, 2) for name in ("resolved", "polarization")] + on_processor
    inputs = {"resolved": 20, "Hadamard": 6, "Hadamard, literal": 1, "parallel, m=2": 6, "polarization": 20}
    settings = [(name, DEPOLARISING, "none", count) for name, count in inputs.items()]
    settings += [("resolved", "willow_pink", "none", 20), ("polarization", "willow_pink", "none", 4)]
    settings += [(name, "willow_pink", "none", 1) for name in ("Hadamard", "parallel, m=2")]
    settings += [("resolved", processor, "none", 4) for processor in ("weber", "rainbow")]
    settings += [("resolved", "willow_pink", name, 2 if name.count(",") > 1 else 4) for name in CORRECTIONS]
    selected = [one(name, noise, correction, seed, count) for name, noise, correction, count in settings for seed in range(5)]
    selected += [one("polarization", other, "none", seed, 1) for other in ("weber", "rainbow") for seed in range(3)]
    return [*selected, one("Hadamard, literal", "willow_pink", "none", 0, 1)]


def readout_mitigation_tasks(quick: bool) -> list[Task]:
    """Readout corrected: none, product, correlated groups, and twirling (TREX).

    Raw, product inversion, correlated groups or twirling: how large are the remaining readout errors of a map, do its error
    bars hold, and what does each correction cost?

    Return every correction of five models; fewer inputs on processors, and none there for a quick run.
    """
    kinds = [("pair flips", 2), ("drifting", 1)] if quick else [(kind, 20) for kind in FAULTS]
    kinds += [] if quick else [(READOUT_OF + name, 8) for name in ("willow_pink", "weber")]
    return [
        Task("resolved", noise, method, seed, inputs, (2_000, 20_000, 200_000), runs=2, engine_seed=seed)
        for noise, inputs in kinds
        for seed in range(1 if quick else 5)
        for method in METHODS
    ]


def noise_mitigation_tasks(quick: bool) -> list[Task]:
    """Gate noise corrected: corrections alone and combined, on maps of a virtual processor, and their cost.

    What does each correction of gate noise, alone and together with others, do to maps of a noisy processor, and what does it
    cost?

    Return every mitigation on two clean pictures of each of five models, and a few mitigations on noisy pictures.
    """

    def one(name: str, pictures: str, seed: int, inputs: int) -> Task:
        return Task("resolved", "willow_pink", name, seed, inputs, (0, *SHOTS), pictures)

    seeds = range(20, 25)  # the options were chosen on models of seeds 0 to 3
    if quick:
        return [one(name, "clean", seeds[0], 1) for name in ("none", "twirling, readout")]
    clean = [one(name, "clean", seed, 1 if name == LONGEST else 2) for seed in seeds for name in OPTIONS]
    return clean + [one(name, "noisy", seed, 1) for seed in seeds for name in report.ON_NOISY]


def best_pipeline_tasks(quick: bool) -> list[Task]:
    """The best pipeline: readout correction, twirling and extrapolation together, at a fixed number of shots.

    How near to the exact map is a noisy processor brought with 1,000,000 shots per picture, and is the target of a median
    relative L2 error of at most 0.10 and a median cosine of at least 0.995 met?

    Return four mitigations on 14 pictures of each of five models, two pictures per calibration.
    """
    names = ("none", "readout", "twirling, readout", "extrapolation, twirling, readout")
    seeds, inputs = range(30, 35), 1 if quick else 2  # nothing was tuned on these models and pictures

    def one(name: str, seed: int, first: int) -> Task:
        share = 0 if name == "none" else 2 * CALIBRATION_SHOTS // inputs
        (engine_seed,) = np.random.SeedSequence([seed, first, names.index(name)]).generate_state(1).tolist()
        shots = (report.PIPELINE_SHOTS - share,)
        return Task("resolved", "willow_pink", name, seed, inputs, shots, "clean", first, engine_seed=engine_seed)

    if quick:
        return [one(name, seeds[0], 0) for name in ("none", "twirling, readout")]
    return [one(name, seed, first) for seed in seeds for first in range(0, 14, inputs) for name in names]


def options(parser: argparse.ArgumentParser) -> None:
    """Add the settings that can be changed in every preset."""
    parser.add_argument("--subject", metavar="NAME", help="model to explain (default: bars3)")
    parser.add_argument("--processor", metavar="NAME", help="virtual processor instead of willow_pink")
    parser.add_argument(
        "--mitigation", action="append", metavar="NAMES", help="mitigation to keep besides none; may be repeated"
    )


def _subjects(tasks: Sequence[Task]) -> list[str]:
    """Return the models that all tasks can explain: clean pictures are those of Bars and Stripes."""
    patterns = any(task.pictures == "clean" for task in tasks)
    return [name for name in present(SUBJECTS) if not patterns or SUBJECTS[name].data.startswith(_PATTERNS)]


def _preset(
    name: str, tasks: Callable[[bool], list[Task]], summarise: Callable[[Sequence[Done[Any]]], Findings]
) -> Study[Task]:
    def chosen_tasks(quick: bool, chosen: argparse.Namespace) -> list[Task]:
        selected = tasks(quick)
        if chosen.mitigation:
            held = list(dict.fromkeys(task.mitigation for task in selected))
            option = "--mitigation, with --quick," if quick else "--mitigation"
            kept = {as_word(word, option, held) for word in chosen.mitigation} | {"none", "raw"}
            selected = [task for task in selected if task.mitigation in kept]
        if chosen.subject:
            subject = as_word(chosen.subject, "--subject", _subjects(selected))
            selected = [replace(task, subject=subject) for task in selected]
        if chosen.processor:
            processor = as_word(chosen.processor, "--processor", PROCESSORS)
            if not any(_REPLACED in task.noise for task in selected):
                raise ValueError(f"--processor {processor} changes nothing: no task of this run uses {_REPLACED}; leave it out")
            selected = [replace(task, noise=task.noise.replace(_REPLACED, processor)) for task in selected]
        return list(dict.fromkeys(selected))

    return Study(name, tasks.__doc__, chosen_tasks, run, summarise, options=options)


STUDIES = {
    "gate_noise": _preset("gate_noise", gate_noise_tasks, report.summarise_gate_noise),
    "readout_mitigation": _preset("readout_mitigation", readout_mitigation_tasks, report.summarise_readout),
    "noise_mitigation": _preset("noise_mitigation", noise_mitigation_tasks, report.summarise_noise),
    "best_pipeline": _preset("best_pipeline", best_pipeline_tasks, report.summarise_pipeline),
}
