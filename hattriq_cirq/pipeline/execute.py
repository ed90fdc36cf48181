"""Attributions read from circuits: inputs to products, products to a plan, the engine's counts to an estimate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import cirq
import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.attribution.quadrature import Quadrature, parse_rule
from hattriq_cirq.attribution.result import Cost
from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.placement import Placement
from hattriq_cirq.encoding.exact import Encoder
from hattriq_cirq.estimators.bilinear import BilinearTerm, Estimator, WeightedCircuit
from hattriq_cirq.estimators.plan import Estimate, Plan, plan, sample_circuits
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array, as_amplitudes
from hattriq_cirq.models.model import Model
from hattriq_cirq.pipeline.mitigation import Mitigation, MitigationSummary
from hattriq_cirq.pipeline.prepare import bilinear_terms, bilinear_terms_of_rows, checked_engine, references_of

_T = TypeVar("_T")
_BATCH = 256  # circuits that are compiled and run together, or those of one input if they are more
_LOOKED_AT = 2  # products by a circuit of which qubits are chosen


def estimate(
    model: Model,
    x: ArrayLike,
    *,
    baseline: float | ArrayLike | BaselineSet,
    estimator: Estimator,
    engine: Engine | cirq.Sampler,
    shots: int | None,
    rule: str = "exact",
    mitigation: Mitigation | None = None,
) -> Estimate:
    """Estimates the quadratic attributions of one input, with their full covariance.

    Args:
        model: F(x) = x' M x.
        x: (features,).
        baseline: a number, (features,), or a `BaselineSet` for the mean over it.
        estimator: which circuits; with `measured` qubits the values are summed over the others.
        engine: what runs them; a `cirq.Sampler` runs them as they are.
        shots: in all; None for exact probabilities.
        rule: `exact`, or a quadrature rule with a circuit for each of its nodes.
        mitigation: corrects outcomes before they are read, such as `calibration.Readout()`.

    Returns:
        The estimate: values, standard errors, covariance, shots.

    Raises:
        ValueError: bad input, or fewer shots than circuits.
        EngineError: the engine could not run the circuits.
    """
    row = as_amplitudes(x, "x", model.n_features)
    wanted = bilinear_terms(row, references_of(baseline, row), parse_rule(rule))
    ran = execute(model, estimator, [wanted], checked_engine(estimator, engine, shots), shots, mitigation)
    return ran.estimates[0]


def estimate_rows(
    model: Model,
    rows: Array,
    references: Array,
    rule: Quadrature | None,
    estimator: Estimator,
    engine: Engine,
    shots: int | None,
    mitigation: Mitigation | None,
    progress: bool,
) -> Execution:
    """Estimates for every row of a batch, as in `estimate`, and what they cost together.

    `rows` is (samples, features), `references` (baselines, samples or 1, features); the shots are for each row.
    """
    if estimator.measured is not None:
        raise ValueError("an estimator that measures some qubits has no value for each feature; use hq.estimate")
    if estimator.part != "real":
        raise ValueError("an attribution is the real part; use hq.estimate for the imaginary part")
    return execute(model, estimator, bilinear_terms_of_rows(rows, references, rule), engine, shots, mitigation, progress)


def choose_placement(
    model: Model, estimator: Estimator, wanted: Sequence[Sequence[BilinearTerm]], engine: Engine
) -> Placement | None:
    """Where the circuits of `run_all` are run: chosen by a few of them; None where any circuit runs as it is."""
    asking = [p for of_one in wanted for p in of_one if p.left.any() and p.right.any()]

    def some_circuits(encoder: Encoder) -> list[cirq.Circuit]:
        return sample_circuits(estimator.with_encoder(encoder), model, _spread(asking, _LOOKED_AT))

    return engine.place(some_circuits, model.qubits)


@dataclass(frozen=True, eq=False)
class Execution:
    """What a run of circuits gave: an estimate for each input, what all cost, and what a mitigation had to say."""

    estimates: list[Estimate]
    cost: Cost
    report: MitigationSummary


def execute(
    model: Model,
    estimator: Estimator,
    wanted: Sequence[Sequence[BilinearTerm]],
    engine: Engine,
    shots: int | None,
    mitigation: Mitigation | None = None,
    progress: bool = False,
) -> Execution:
    """Sums of products to estimates, by way of circuits that are placed once for all and run in batches.

    Args:
        model: F(x) = x' M x.
        estimator: which circuits.
        wanted: the products of each input.
        engine: what runs them.
        shots: for each input; None for exact probabilities.
        mitigation: corrects outcomes; None leaves them.
        progress: show a progress bar over inputs.

    Returns:
        Estimates and costs.
    """
    placement = choose_placement(model, estimator, wanted, engine)
    suited = estimator if placement is None else estimator.with_encoder(placement.encoder)
    estimates: list[Estimate] = []
    cost, reports = Cost(), [MitigationSummary()]
    asked = (_Asked.of(suited, model, of_one, shots, mitigation) for of_one in wanted)
    with tqdm(total=len(wanted), desc=estimator.describe(), unit="input", disable=not progress) as bar:
        for batch in _batches(asked):
            circuits = [circuit for one in batch for circuit in one.circuits]
            allotted = None if shots is None else [count for one in batch for count in one.shots or ()]
            programs = engine.compile(circuits, placement)
            outcomes, ran_shots, ran_circuits = _executed(engine, programs, allotted, mitigation, reports)
            given = iter(outcomes)
            made = [one.read(list(islice(given, len(one.circuits))), mitigation) for one in batch]
            estimates += made
            own = [len(one.plan.circuits) for one in batch]
            taken = sum(sum((one.shots or ())[:count]) for one, count in zip(batch, own, strict=True))
            cost += Cost(
                circuits=sum(own),
                shots=taken,
                two_qubit_gates=max((multi_qubit_gates(program.circuit) for program in programs), default=0),
                programs=len(programs),
                mitigation_circuits=ran_circuits - sum(own),
                mitigation_shots=ran_shots - taken,
                variance_factor=1.0 if mitigation is None else max(map(_variance_factor, batch, made), default=1.0),
            )
            bar.update(len(batch))
    said = [note for report in reports for note in report.notes] + [note for one in estimates for note in one.notes]
    return Execution(estimates, cost, MitigationSummary(reports[-1].calibration_id, tuple(dict.fromkeys(said))))


@dataclass(frozen=True, eq=False)
class _Asked:
    """The circuits of one input: those of its plan, then those that a mitigation wants beside them."""

    plan: Plan
    extra: list[WeightedCircuit]
    shots: list[int] | None

    @classmethod
    def of(
        cls,
        estimator: Estimator,
        model: Model,
        of_one: Sequence[BilinearTerm],
        shots: int | None,
        mitigation: Mitigation | None,
    ) -> _Asked:
        made = plan(estimator, model, of_one)
        extra = [] if mitigation is None or not made.circuits else mitigation.auxiliary_circuits(model, estimator, of_one)
        counts = None if shots is None else made.shots(shots) + [max(1, round(share * shots)) for _, share in extra]
        return cls(made, [reading for reading, _ in extra], counts)

    @property
    def circuits(self) -> list[cirq.Circuit]:
        return [reading.circuit for reading in (*self.plan.circuits, *self.extra)]

    def read(self, outcomes: Sequence[Distribution | QuasiDistribution], mitigation: Mitigation | None) -> Estimate:
        count = len(self.plan.circuits)
        found = self.plan.decode(outcomes[:count])
        if mitigation is None or not count:
            return found
        return mitigation.postprocess(found, list(zip(self.extra, outcomes[count:], strict=True)))


def _executed(
    engine: Engine,
    programs: Sequence[ParameterizedCircuit],
    shots: Sequence[int] | None,
    mitigation: Mitigation | None,
    reports: list[MitigationSummary],
) -> tuple[Sequence[Distribution | QuasiDistribution], int, int]:
    """Outcomes of all requests, and the shots and circuits that were run for them; what a mitigation reports is added."""
    if mitigation is None or not programs:
        found = engine.execute(programs, shots)
        return found, sum(d.shots or 0 for d in found), len(found)
    variants = mitigation.expand(engine, programs, shots)
    found = engine.execute(variants.programs, variants.shots)
    reports.append(mitigation.report(variants, found))
    return mitigation.combine(variants, found), sum(d.shots or 0 for d in found), len(found)


def _variance_factor(one: _Asked, found: Estimate) -> float:
    """The summed variance of an estimate over that of plain counts with the same shots, at its probabilities made positive."""
    plain = []
    for outcome in found.outcomes[: len(one.plan.circuits)]:
        if outcome.shots is None:
            return 1.0
        positive = np.maximum(outcome.probabilities, 0)
        plain.append(Distribution(positive / positive.sum(), outcome.shots))
    before = float(np.sum(one.plan.decode(plain).stderr ** 2))
    return float(np.sum(found.stderr**2)) / before if before else 1.0


def _batches(asked: Iterable[_Asked]) -> Iterator[list[_Asked]]:
    """Inputs whose circuits are compiled and run together, a few hundred circuits at once."""
    batch: list[_Asked] = []
    for one in asked:
        batch.append(one)
        if sum(len(each.circuits) for each in batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _spread(items: Sequence[_T], count: int) -> list[_T]:
    """At most so many items, evenly spaced."""
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).astype(int))]
