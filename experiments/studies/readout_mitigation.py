"""What each correction of readout errors is worth: nothing, product, correlated groups, and twirling (TREX).

Inputs of trained models are attributed by the resolved test, each several times with a calibration of its own: on simulators
with injected readout errors (asymmetric, strong, correlated in pairs, drifting), and on virtual processors with no errors but
those of readout. Every correction has the same calibration budget, taken in the same batch. Everything is simulated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cirq
import numpy as np

import hattriq_cirq as hq
from calibration import (
    CorrelatedCalibration,
    CorrelatedReadout,
    Readout,
    ReadoutCalibration,
    TwirledReadout,
    compare,
    correlation_test,
    measure_correlated,
    measure_readout,
)
from calibration.testing import FaultyReadout
from experiments.runner.bias_and_coverage import MapErrorSummary, summarize_map_errors
from experiments.runner.bootstrap import with_interval
from experiments.runner.figures import confusion_figure, drift_figure, error_figure, map_figure
from experiments.runner.study import Done, Study
from experiments.runner.trained_models import accuracies, accuracy_table, trained
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import ParameterizedCircuit, only_measurement
from hattriq_cirq.estimators import BilinearTerm, Plan, plan
from hattriq_cirq.execution.backends.simulators import sampler
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.pipeline.mitigation import Mitigation, Outcomes, Variants
from hattriq_cirq.pipeline.prepare import choose_placement
from hattriq_cirq.reporting.document import Picture, Section, Table
from hattriq_cirq.reporting.plotting import png
from hattriq_cirq.simulation.statevector import outcome_probabilities

SUBJECT = "bars3"
SHOTS = (2_000, 20_000, 200_000)
CALIBRATION_SHOTS = 20_000  # in which each qubit is 0, and again as many in which it is 1; twirling takes as many in all
ROUNDS = 8  # calibrations within the run of the drift chart
MITIGATIONS: Mapping[str, Mitigation | None] = {
    "raw": None,
    "product": Readout(shots=CALIBRATION_SHOTS),
    "correlated": CorrelatedReadout(shots=CALIBRATION_SHOTS),
    "TREX": TwirledReadout(calibration_shots=2 * CALIBRATION_SHOTS),
}
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "asymmetric": {"e0": 0.01, "e1": 0.10},
    "strong": {"e0": 0.02, "e1": 0.20},
    "pair flips": {"e0": 0.01, "e1": 0.05, "pairs": ((0, 1, 0.04), (1, 2, 0.02))},
    "drifting": {"e0": 0.01, "e1": 0.05, "drift": 0.02},
}
PROCESSORS = ("willow_pink", "weber")
READOUTS = (*FAULTS, *PROCESSORS)
TARGET = (0.93, 0.97)  # of the coverage of 95% intervals
_CALIBRATED = cirq.LineQubit.range(3)  # the qubits of the diagnoses and their charts


@dataclass(frozen=True)
class Task:
    """One kind of readout errors, one model, so many of its test inputs, and so many runs of each: every correction."""

    readout: str
    seed: int
    inputs: int
    runs: int


def tasks(quick: bool) -> list[Task]:
    """Five models of every kind; processors, whose circuits must be compiled, see fewer inputs, and none quickly."""
    if quick:
        return [Task("pair flips", 0, 2, 2), Task("drifting", 0, 1, 2)]
    return [Task(kind, seed, 8 if kind in PROCESSORS else 20, 2) for kind in READOUTS for seed in range(5)]


def run(task: Task) -> dict[str, Any]:
    """The maps of all runs with their standard errors, what they cost, and, of injected errors, what calibrations show."""
    model, data = trained(SUBJECT, task.seed)
    x = data.x_test[: task.inputs]
    processor = hq.virtual(task.readout, seed=task.seed, noise="readout") if task.readout in PROCESSORS else None
    compiled = _compiled(model, x, processor or hq.qsim(seed=0))
    return {
        "accuracy": accuracies(model, data),
        "exact": hq.integrated_gradients(model, x, baseline=0).values,
        "maps": {
            method: {str(shots): _maps(task, method, shots, compiled, processor) for shots in SHOTS} for method in MITIGATIONS
        },
        "calibrations": _calibrations(task) if task.readout in FAULTS else None,
    }


def _compiled(model: hq.Model, x: FloatArray, engine: Engine) -> list[tuple[Plan, list[ParameterizedCircuit]]]:
    """The resolved test of every input, on qubits that are chosen once for all."""
    estimator, wanted = hq.ResolvedHadamardTest(), [[BilinearTerm(row, row)] for row in x]
    placement = choose_placement(model, estimator, wanted, engine)
    suited = estimator if placement is None else estimator.with_encoder(placement.encoder)
    plans = [plan(suited, model, products) for products in wanted]
    return [(made, engine.compile([made.circuits[0].circuit], placement)) for made in plans]


def _maps(
    task: Task, method: str, shots: int, compiled: Sequence[tuple[Plan, list[ParameterizedCircuit]]], processor: Engine | None
) -> dict[str, Any]:
    """Values and standard errors, (inputs, runs, features), under one correction at so many shots, and what a run cost."""
    mitigation = MITIGATIONS[method]
    values, stderr, factors = [], [], []
    for i, (made, programs) in enumerate(compiled):
        measured = only_measurement(programs[0].circuit).qubits
        estimates = []
        for again in range(task.runs):
            key = [READOUTS.index(task.readout), task.seed, list(MITIGATIONS).index(method), shots, i, again]
            over = shots + (2 * CALIBRATION_SHOTS if mitigation else 0)
            engine = processor or _injected(task.readout, measured, over, key)
            variants = Variants(programs, [shots]) if mitigation is None else mitigation.expand(engine, programs, [shots])
            counted = engine.execute(variants.programs, variants.shots)
            outcomes: Outcomes = counted if mitigation is None else mitigation.combine(variants, counted)
            estimates.append(made.decode(outcomes))
        values.append([estimate.values for estimate in estimates])
        stderr.append([estimate.stderr for estimate in estimates])
        ideal = made.decode([Distribution(outcome_probabilities(made.circuits[0].circuit), shots)])
        factors.append(np.mean(np.sum(np.square(stderr[-1]), axis=1)) / np.sum(ideal.stderr**2))
    return {
        "values": np.array(values),
        "stderr": np.array(stderr),
        "variance_factor": factors,
        "extra_circuits": len(counted) - 1,
        "extra_shots": sum(outcome.shots or 0 for outcome in counted) - shots,
    }


def _injected(readout: str, qubits: Sequence[cirq.Qid], over: int, key: Sequence[int]) -> Engine:
    """A simulator that misreads these qubits, and drifts while so many repetitions are served."""
    (seed,) = np.random.SeedSequence(key).generate_state(1).tolist()
    return sampler(FaultyReadout(qubits, over=over, seed=seed, **FAULTS[readout]))


def _calibrations(task: Task) -> dict[str, Any]:
    """Counts of the joint confusion of three qubits, and of several calibrations of each while the readout may drift."""
    key = [READOUTS.index(task.readout), task.seed]
    joint = measure_correlated(_injected(task.readout, _CALIBRATED, 2 * CALIBRATION_SHOTS, [*key, 0]), _CALIBRATED)
    engine = _injected(task.readout, _CALIBRATED, 2 * CALIBRATION_SHOTS * ROUNDS, [*key, 1])
    rounds = [measure_readout(engine, _CALIBRATED, CALIBRATION_SHOTS).counts for _ in range(ROUNDS)]
    return {"joint": [row.counts for row in joint.rows], "rounds": rounds}


def joint_of(result: Mapping[str, Any]) -> CorrelatedCalibration:
    """The joint calibration that a result holds the counts of."""
    rows = (Distribution.from_counts(np.array(row)) for row in result["calibrations"]["joint"])
    return CorrelatedCalibration(tuple(_CALIBRATED), tuple(rows))


def rounds_of(result: Mapping[str, Any]) -> list[ReadoutCalibration]:
    """The calibrations within a run that a result holds the counts of, the first first."""
    return [ReadoutCalibration(tuple(_CALIBRATED), np.array(counts)) for counts in result["calibrations"]["rounds"]]


def summarise(done: Sequence[Done[Task]]) -> Section:
    """The table of every correction at every number of shots, the diagnoses, and charts of both."""
    of: dict[str, list[Mapping[str, Any]]] = {}
    for d in done:
        of.setdefault(d.task.readout, []).append(d.result)
    scores = {
        (readout, method, shots): summarize_map_errors(results, method, shots)
        for readout, results in of.items()
        for method in MITIGATIONS
        for shots in SHOTS
    }
    rows = []
    for (readout, method, shots), judged in scores.items():
        cost = of[readout][0]["maps"][method][str(shots)]
        numbers = (with_interval(*number) for number in (judged.bias, judged.error, judged.coverage))
        extra = str(cost["extra_circuits"]), f"{cost['extra_shots']:,}"
        rows.append((_named(readout), method, f"{shots:,}", *numbers, *extra, f"{judged.variance_factor:.2f}"))
    seeds = {d.task.seed: d.result["accuracy"] for d in done}
    inputs = {_named(d.task.readout): d.task.inputs for d in done}
    return Section(
        title="",
        question="",
        findings=(*_findings(scores, list(of)), *_diagnoses(of)),
        not_claimed=(
            "Anything about real processors: every number is a simulator's, and there gates are without error.",
            "That independent models of other sizes behave alike: all are rings of 3 layers on 4 qubits.",
        ),
        accuracy=accuracy_table({SUBJECT: list(seeds.values())}),
        tables=(
            Table(
                "Bias (what runs of one input have in common), error (relative L2, root mean square) and coverage of the maps' "
                "own 95% intervals; in brackets 95% intervals, bootstrap over models and inputs. Extra circuits and shots are "
                "of one run; the variance factor is over as many shots read without error.",
                ("readout", "correction", "shots", "bias", "error", "coverage", "circuits +", "shots +", "variance"),
                tuple(rows),
            ),
        ),
        pictures=_pictures(of, scores),
        settings={
            "estimator": "resolved Hadamard test",
            "baseline": "zero",
            "models": str(len(seeds)),
            "test inputs a model": ", ".join(f"{count} ({name})" for name, count in inputs.items()),
            "runs an input": str(done[0].task.runs),
            "calibration": f"{CALIBRATION_SHOTS:,} shots a state of each qubit, of its own for every run and in the same batch",
        },
        assumptions={
            "injected errors": "; ".join(
                f"{name}: {', '.join(f'{key} {value}' for key, value in faults.items())}" for name, faults in FAULTS.items()
            ),
            "virtual processors": "readout noise of their calibration alone, gates without error",
        },
    )


def _named(readout: str) -> str:
    return f"virtual {readout}" if readout in PROCESSORS else readout


def _findings(scores: Mapping[tuple[str, str, int], MapErrorSummary], readouts: Sequence[str]) -> list[str]:
    """What each correction does at the most shots, and whether intervals hold what they promise."""
    most = max(SHOTS)
    found = []
    for readout in readouts:
        judged = {method: scores[readout, method, most] for method in MITIGATIONS}
        best = min(judged, key=lambda method: judged[method].error[0])
        biases = "; ".join(f"{method} {with_interval(*one.bias)}" for method, one in judged.items())
        found.append(
            f"{_named(readout)}, {most:,} shots: the error is {with_interval(*judged['raw'].error)} raw and "
            f"{with_interval(*judged[best].error)} with the best correction ({best}). Biases: {biases}."
        )
    low, high = TARGET
    for method in MITIGATIONS:
        mine = {(r, s): one.coverage for (r, m, s), one in scores.items() if m == method}
        missed = {at: one for at, one in mine.items() if not low <= one[0] <= high}
        clear = [at for at, (_, ends) in mine.items() if ends[1] < low or ends[0] > high]
        worst = max(mine, key=lambda at: abs(mine[at][0] - 0.95))
        found.append(
            f"Coverage of 95% intervals, {method}: target {low:.0%} to {high:.0%} "
            + ("met" if not missed else f"MISSED in {len(missed)} (clear of their intervals in {len(clear)})")
            + f" of {len(mine)} rows; the farthest is {with_interval(*mine[worst])} ({_named(worst[0])}, {worst[1]:,} shots)."
        )
    return found


def _diagnoses(of: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """How often calibrations tell correlated and drifting readout from others."""
    correlated, drifted = {}, {}
    for readout in filter(FAULTS.__contains__, of):
        correlated[readout] = [correlation_test(joint_of(result)).correlated for result in of[readout]]
        runs = [rounds_of(result) for result in of[readout]]
        drifted[readout] = [compare(rounds[0], rounds[-1]).drifted for rounds in runs]

    def said(flags: Mapping[str, Sequence[bool]]) -> str:
        return ", ".join(f"{readout} {sum(each)} of {len(each)}" for readout, each in flags.items())

    return [
        f"Flagged as correlated by a calibration of the states of three qubits: {said(correlated)}.",
        f"Flagged as drifted between the first and the last of {ROUNDS} calibrations: {said(drifted)}.",
    ]


def _pictures(
    of: Mapping[str, Sequence[Mapping[str, Any]]], scores: Mapping[tuple[str, str, int], MapErrorSummary]
) -> tuple[Picture, ...]:
    panels = {
        _named(readout): {method: {shots: scores[readout, method, shots].error for shots in SHOTS} for method in MITIGATIONS}
        for readout in of
    }
    shown, most = "pair flips", str(max(SHOTS))
    first = of[shown][0]
    maps = {m: tuple(np.array(one[most][key][0][0]) for key in ("values", "stderr")) for m, one in first["maps"].items()}
    title = f"{shown}, {max(SHOTS):,} shots (simulated); crosses: 2 standard errors off or more"
    return (
        Picture(
            png(error_figure(panels)),
            "Error of maps against shots for each correction; bands are 95% intervals over models and inputs.",
            "Lines of the relative error against shots, one panel a kind of readout errors, one line a correction",
            "readout_error",
        ),
        Picture(
            png(map_figure({m: (pair[0], pair[1]) for m, pair in maps.items()}, np.array(first["exact"][0]), title)),
            "One input's map raw, under each correction, and exact; above each its relative error and the one its standard "
            "errors expect.",
            "Heat maps of one attribution side by side: raw, corrected in three ways, exact",
            "readout_maps",
        ),
        Picture(
            png(confusion_figure(joint_of(first), rounds_of(first)[0])),
            "The joint confusion of three qubits with pair flips, and what single-qubit confusions leave unexplained.",
            "Two heat maps: chances of each observed state for each prepared one, and their difference from a product",
            "readout_confusion",
        ),
        Picture(
            png(drift_figure(rounds_of(of["drifting"][0]))),
            "e1 of three qubits in calibrations within a run whose readout drifts; bars are 95% intervals.",
            "Lines of the chance to read 1 as 0 against the number of the calibration, rising",
            "readout_drift",
        ),
    )


STUDY = Study(
    name="readout_mitigation",
    title="Readout corrected",
    question="Raw, product inversion, correlated groups or twirling: what is left of readout errors in a map, do its error "
    "bars hold, and what does it cost?",
    task=Task,
    tasks=tasks,
    run=run,
    summarise=summarise,
)
main = STUDY.main
