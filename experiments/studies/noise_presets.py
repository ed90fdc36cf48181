"""Mitigation: maps of models under noise, by estimator, noise and mitigation, with and without shots.

One task serves four studies, which differ in what they vary: `gate_noise`, `readout_mitigation`, `noise_mitigation` and
`best_pipeline`. The noise is a depolarising channel of several strengths, the calibrated noise of a virtual processor or its
readout errors alone, or readout errors of known size. Models and inputs are of three kinds, which stand side by side in all
tables. They follow from seed, subject and kind alone, so that tasks that differ in the pipeline share them.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cirq
import numpy as np

import calibration
import hattriq_cirq as hq
from calibration.testing import FaultyReadout
from experiments.runner import depolarizing
from experiments.runner.estimators import ESTIMATORS
from experiments.runner.measured_maps import collect, measure
from experiments.runner.resampling import random_inputs
from experiments.runner.study import Done, Findings, Study
from experiments.runner.trained_models import SUBJECTS, accuracies, present, trained
from experiments.studies import mitigation_report as report
from experiments.studies.mitigation_report import CALIBRATED, DEPOLARISING, EXACT, FAULTS, LONGEST, READOUT_OF, ROUNDS
from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import only_measurement
from hattriq_cirq.compilation.gatesets import PROCESSORS
from hattriq_cirq.estimators import BilinearTerm, Plan, plan
from hattriq_cirq.execution.backends.simulators import sampler
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.checks import as_word
from hattriq_cirq.pipeline.mitigation import AssumptionWarning, Mitigation
from hattriq_cirq.simulation.statevector import outcome_probabilities
from hattriq_cirq.workflows.generated_models import generate_model, is_generated

STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
CALIBRATION_SHOTS = 20_000  # with each qubit in 0, and again with each in 1
METHODS = ("raw", "product", "correlated", "TREX")
SHOTS = (10_000, 100_000, 1_000_000)
#: A map of a random circuit shares its shots among circuits of unequal weight; at 100,000 the least weight may get fewer shots
#: than twirling has gauges, which corrections refuse.
SHOTS_OF_RANDOM = (200_000, 1_000_000)
OF_RANDOM = 10  # inputs of each random circuit in studies of many corrections, in which they take three times as long as others
SYCAMORES = ("weber", "rainbow")
_PATTERNS = "bars_and_stripes"  # data set of the clean pictures
#: Kinds of inputs: the subjects that they are given to, with the number of inputs of each seed. There are 28 clean pictures.
KINDS: Mapping[str, Mapping[str, int]] = {
    "clean": {"bars3": 28},
    "dense": {"bars3": 100},
    "random": {"random:n=4,gates=cz": 34, "random:n=4,gates=cnot": 33, "random:n=4,gates=sqrt_iswap": 33},
}
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
    """Maps of some inputs of one model under one noise and one mitigation.

    Args:
        estimator: Name of the estimator.
        noise: `depolarising`, a processor, `readout of` a processor, or a kind of injected readout errors.
        mitigation: Name of the mitigation, or several separated by commas.
        seed: Seed of model, inputs, processor, twirls and roundings.
        inputs: Number of inputs, which are measured in one batch.
        shots: Shots of a map, several numbers one after the other; 0 for exact probabilities.
        kind: Kind of inputs: `clean` patterns of Bars and Stripes in random order; `dense` random inputs of the same model;
            `random` circuits with dense random inputs.
        runs: Number of runs of the batch, each with a calibration of its own.
        subject: Name of a trained model, or text of a generated one without its seed.
    """

    estimator: str
    noise: str
    mitigation: str
    seed: int
    inputs: int
    shots: tuple[int, ...] = (0,)
    kind: str = "clean"
    runs: int = 1
    subject: str = "bars3"


def grid(seeds: Sequence[int], **most: int) -> Iterator[tuple[int, str, str, int]]:
    """Yield seed, kind, subject and number of inputs of every kind, with the most inputs of a subject of some kinds."""
    for kind, subjects in KINDS.items():
        for seed in seeds:
            for subject, inputs in subjects.items():
                yield seed, kind, subject, min(inputs, most.get(kind, inputs))


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
    """Attribute the inputs at every strength of the noise or number of shots, and exactly."""
    model, x, accuracy = case(task)
    exact = hq.integrated_gradients(model, x, baseline=0).values
    attribute = _depolarised if task.noise == DEPOLARISING else _on_engine
    with warnings.catch_warnings():
        if task.noise in FAULTS:  # the study measures what a correction does whose assumption is wrong
            warnings.simplefilter("ignore", AssumptionWarning)
        maps = attribute(task, model, x)
    result = {**accuracy, "x": x, "exact": exact, **maps}
    if task.noise in FAULTS and task.mitigation == METHODS[0]:
        result["calibrations"] = _calibrations(task)
    return result


def case(task: Task) -> tuple[hq.Model, FloatArray, dict[str, Any]]:
    """Return the model of a task, its inputs, and the accuracies of a trained model."""
    if is_generated(task.subject):
        model, accuracy = generate_model(f"{task.subject},seed={task.seed}"), {}
    else:
        model, data = trained(task.subject, task.seed)
        accuracy = {"accuracy": accuracies(model, data)}
    if task.kind != "clean":
        return model, random_inputs(model.n_qubits, task.seed, task.inputs), accuracy
    patterns = hq.datasets.load(_PATTERNS).amplitudes
    order = np.random.default_rng(task.seed).permutation(len(patterns))
    return model, np.asarray(patterns[order[: task.inputs]]), accuracy


def _depolarised(task: Task, model: hq.Model, x: Array) -> dict[str, Any]:
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


def _on_engine(task: Task, model: hq.Model, x: Array) -> dict[str, Any]:
    """Run the inputs in one batch, at every number of shots on the same qubits."""
    correction, estimator = mitigation(task.mitigation, task.seed), ESTIMATORS[task.estimator]
    options: dict[str, Any] = {"baseline": 0, "estimator": estimator, "mitigation": correction}
    injected = task.noise in FAULTS
    engine = hq.qsim(seed=0) if injected else _virtual(task.noise, task.seed)
    placement = hq.prepare(model, x, engine=engine, shots=None, **options).placement
    plans = [plan(estimator, model, [BilinearTerm(row, row)]) for row in x] if task.runs > 1 else []
    maps = {}
    for shots in task.shots:
        engines = [engine] * task.runs
        if injected:
            total = shots * len(x) + (2 * CALIBRATION_SHOTS if correction else 0)
            keys = ([METHODS.index(task.mitigation), shots, number] for number in range(task.runs))
            qubits = only_measurement(plans[0].circuits[0].circuit).qubits
            engines = [_faulty(task, qubits, total, key) for key in keys]
        level = collect([[measure(model, x, each, shots, placement=placement, **options) for each in engines]])
        if plans:
            ideal = [_ideal_variance(circuits, shots) for circuits in plans]
            level["variance_factor"] = np.mean(np.sum(level["stderr"] ** 2, axis=2), axis=1) / np.array(ideal)
        maps[str(shots) if shots else EXACT] = level
    return {"two_qubit_gates": [max(cost["two_qubit_gates"] for each in maps.values() for cost in each["cost"])], "maps": maps}


def _ideal_variance(circuits: Plan, shots: int) -> float:
    """Return the summed variance of a map whose circuits run without errors."""
    counts = circuits.shots(shots)
    outcomes = [Distribution(outcome_probabilities(c.circuit), n) for c, n in zip(circuits.circuits, counts, strict=True)]
    return float(np.sum(circuits.decode(outcomes).stderr ** 2))


def _virtual(noise: str, seed: int) -> Engine:
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

    Return five seeds with all inputs, of which the literal circuit, at over 5 seconds a map, has a few; for a quick run, one
    seed of the fast ones.
    """
    if quick:
        on_processor = [Task("resolved", "willow_pink", name, 0, 1) for name in ("none", "readout")]
        return [Task(name, DEPOLARISING, "none", 0, 2) for name in ("resolved", "polarization")] + on_processor
    seeds = range(5)
    (every,) = KINDS["clean"].values()
    inputs = {"resolved": every, "Hadamard": every, "Hadamard, literal": 4, "parallel, m=2": every, "polarization": every}
    selected = [Task(name, DEPOLARISING, "none", seed, count) for name, count in inputs.items() for seed in seeds]
    fast = [(noise, name) for noise in ("willow_pink", *SYCAMORES) for name in ("none", *CORRECTIONS)]
    kept = [(noise, name) for noise, name in fast if noise == "willow_pink" or name == "none"]
    selected += [
        Task("resolved", noise, name, seed, count, (0,), kind, subject=subject)
        for noise, name in kept
        for seed, kind, subject, count in grid(seeds)
    ]
    others = [(name, "willow_pink") for name in inputs if name != "resolved"]
    others += [("polarization", processor) for processor in SYCAMORES]
    return selected + [Task(name, noise, "none", seed, inputs[name]) for name, noise in others for seed in seeds]


def readout_mitigation_tasks(quick: bool) -> list[Task]:
    """Readout corrected: none, product, correlated groups, and twirling (TREX).

    Raw, product inversion, correlated groups or twirling: how large are the remaining readout errors of a map, do its error
    bars hold, and what does each correction cost?

    Return every correction of five seeds of every kind of inputs, ten of each random circuit; fewer kinds and no processor
    for a quick run.
    """
    noises = ("pair flips", "drifting") if quick else (*FAULTS, READOUT_OF + "willow_pink", READOUT_OF + "weber")
    of_seeds = [(0, "clean", "bars3", 2)] if quick else list(grid(range(5), random=OF_RANDOM))
    return [
        Task("resolved", noise, method, seed, inputs, (2_000, 20_000, 200_000), kind, runs=2, subject=subject)
        for noise in noises
        for seed, kind, subject, inputs in of_seeds
        for method in METHODS
    ]


def noise_mitigation_tasks(quick: bool) -> list[Task]:
    """Gate noise corrected: corrections alone and combined, on maps of a virtual processor, and their cost.

    What does each correction of gate noise, alone and together with others, do to maps of a noisy processor, and what does it
    cost?

    Return every mitigation on every kind of inputs of five seeds, ten of each random circuit.
    """
    seeds = range(20, 25)  # the options were chosen on models of seeds 0 to 3
    names: tuple[str, ...] = OPTIONS
    of_seeds = list(grid(seeds, random=OF_RANDOM))
    if quick:
        names, of_seeds = ("none", "twirling, readout"), [(seeds[0], kind, next(iter(KINDS[kind])), 1) for kind in KINDS]
    return [
        Task(
            *("resolved", "willow_pink", name, seed, min(count, report.OF_LONGEST) if name == LONGEST else count),
            *((0, *(SHOTS_OF_RANDOM if kind == "random" else SHOTS)), kind),
            subject=subject,
        )
        for seed, kind, subject, count in of_seeds
        for name in names
    ]


def best_pipeline_tasks(quick: bool) -> list[Task]:
    """The best pipeline: readout correction, twirling and extrapolation together, at a fixed number of shots.

    How near to the exact map is a noisy processor brought with 1,000,000 shots per input, and is the target of a median
    relative L2 error of at most 0.10 and a median cosine of at least 0.995 met?

    Return four mitigations on every kind of inputs of five seeds.
    """
    names: tuple[str, ...] = ("none", "readout", "twirling, readout", "extrapolation, twirling, readout")
    seeds = range(30, 35)  # nothing was tuned on these models and inputs
    of_seeds = list(grid(seeds))
    if quick:
        names, of_seeds = ("none", "twirling, readout"), [(seeds[0], kind, next(iter(KINDS[kind])), 1) for kind in KINDS]
    return [
        Task("resolved", "willow_pink", name, seed, count, (report.PIPELINE_SHOTS,), kind, subject=subject)
        for seed, kind, subject, count in of_seeds
        for name in names
    ]


def options(parser: argparse.ArgumentParser) -> None:
    """Add the settings that can be changed in every preset."""
    parser.add_argument("--subject", metavar="NAME", help="trained model to explain (default: bars3)")
    parser.add_argument("--processor", metavar="NAME", help="virtual processor instead of willow_pink")
    parser.add_argument(
        "--mitigation", action="append", metavar="NAMES", help="mitigation to keep besides none; may be repeated"
    )


def _subjects() -> list[str]:
    """Return the trained models that all tasks can explain: clean pictures are those of Bars and Stripes."""
    return [name for name in present(SUBJECTS) if SUBJECTS[name].data.startswith(_PATTERNS)]


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
            subject = as_word(chosen.subject, "--subject", _subjects())
            selected = [task if is_generated(task.subject) else replace(task, subject=subject) for task in selected]
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
