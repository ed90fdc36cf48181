"""Sampling noise: errors are what they say, and as small as theory has it. Replicates are drawn from exact distributions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import cirq
import numpy as np
import pytest
from strategies import Array, Case, amplitudes

from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.datasets import bars_and_stripes
from hattriq_cirq.estimators import (
    Estimate,
    Estimator,
    HadamardTest,
    ParallelHadamardTest,
    Plan,
    PolarizationShift,
    ResolvedHadamardTest,
    plan,
)
from hattriq_cirq.estimators.bilinear import Allocation
from hattriq_cirq.execution import cirq_simulator, qsim
from hattriq_cirq.models.ansatz import ring_ansatz
from hattriq_cirq.models.training import train
from hattriq_cirq.pipeline.prepare import bilinear_terms

REPLICATES, SHOTS = 1000, 20_000
ESTIMATORS: list[Estimator] = [
    ResolvedHadamardTest(),
    HadamardTest(),
    HadamardTest(literal=True),
    ParallelHadamardTest(2),
    ParallelHadamardTest(3, weighted=False),
    PolarizationShift(),
]
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: e.describe())
every_situation = pytest.mark.parametrize("situation", ["trained", "two terms"])


def unit(x: Array) -> Array:
    return np.asarray(x / np.linalg.norm(x))


@cache
def task(situation: str) -> tuple[Case, Array, Array]:
    """Trained on Bars and Stripes: a noisy image or an uneven input against blank, or complex ends and two Pauli strings."""
    data = bars_and_stripes(4)
    model = train(ring_ansatz(4, 3), data.x_train, data.y_train, seed=0, epochs=60).model
    case = Case(model.resolved_circuit.unfreeze(), model.qubits, model.pauli_sum)
    rng = np.random.default_rng(0)
    if situation == "trained":
        return case, unit(unit(data.x_test[0]) + rng.uniform(0.05, 0.15, 16)), np.zeros(16)
    if situation == "uneven":
        return case, unit(0.6 ** np.arange(16)), np.zeros(16)
    ends = [unit(amplitudes(rng, 16, imaginary=True)) for _ in range(2)]
    return replace(case, observable=case.observable - 0.4 * cirq.X(cirq.LineQubit(2))), ends[0], ends[1]


def exact_distributions(made: Plan) -> list[Distribution]:
    return qsim(threads=1).run([reading.circuit for reading in made.circuits], None)


def expected_estimate(made: Plan, shots: int) -> Estimate:
    """What so many shots give on average: exact probabilities, with the errors of their counts."""
    pairs = zip(exact_distributions(made), made.shots(shots), strict=True)
    return made.decode([Distribution(d.probabilities, share) for d, share in pairs])


def scatter(made: Plan, shots: int) -> float:
    """The mean squared L2 error."""
    return float(np.trace(expected_estimate(made, shots).covariance))


@dataclass(frozen=True)
class Replicates:
    """Estimates of one map from fresh counts each, `values` and `stderr` (replicates, features)."""

    truth: Array
    values: Array
    stderr: Array
    last: Estimate


@cache
def replicates(situation: str, estimator: Estimator) -> Replicates:
    case, x, b = task(situation)
    made = plan(estimator, case.kept_model, bilinear_terms(x, b[np.newaxis], None))
    rng, shares = np.random.default_rng(1), made.shots(SHOTS)
    exact = cirq_simulator().run([reading.circuit for reading in made.circuits], None)
    counts = [rng.multinomial(share, d.probabilities, REPLICATES) for share, d in zip(shares, exact, strict=True)]
    estimates = [made.decode([Distribution.from_counts(c[i]) for c in counts]) for i in range(REPLICATES)]
    assert all(e.shots == SHOTS for e in estimates)
    truth = np.add(*case.oracle().integrated_gradients(x, b))
    return Replicates(truth, np.array([e.values for e in estimates]), np.array([e.stderr for e in estimates]), estimates[-1])


# errors are what they say


@every_estimator
@every_situation
def test_95_percent_intervals_hold_the_truth_95_percent_of_the_time(situation: str, estimator: Estimator) -> None:
    r = replicates(situation, estimator)
    held = np.abs(r.values - r.truth) <= 1.959964 * r.stderr
    each = np.round(held.mean(axis=0), 3).tolist()
    assert 0.93 <= held.mean() <= 0.97, f"{estimator.describe()}: {held.mean():.4f}, by feature {each}"
    assert min(each) > 0.90, f"{estimator.describe()}: by feature {each}"


@every_estimator
def test_intervals_hold_where_some_circuits_get_few_shots(estimator: Estimator) -> None:
    """Amplitudes fall by 0.6 a feature, so the last circuits are run 5 times out of 20,000."""
    r = replicates("uneven", estimator)
    held = np.abs(r.values - r.truth) <= 1.959964 * r.stderr
    each = np.round(held.mean(axis=0), 3).tolist()
    assert 0.93 <= held.mean() <= 0.97, f"{estimator.describe()}: {held.mean():.4f}, by feature {each}"


@every_estimator
@every_situation
def test_pulls_are_standard_normal(situation: str, estimator: Estimator) -> None:
    r = replicates(situation, estimator)
    pulls = (r.values - r.truth) / r.stderr
    assert np.abs(pulls.mean(axis=0)).max() < 5 / np.sqrt(REPLICATES)
    assert pulls.std(axis=0).min() > 0.9
    assert pulls.std(axis=0).max() < 1.1


@every_estimator
@every_situation
def test_the_full_covariance_is_that_of_replicates(situation: str, estimator: Estimator) -> None:
    r = replicates(situation, estimator)
    seen, said = np.cov(r.values.T), r.last.covariance
    noise = np.sqrt((np.trace(seen) ** 2 + np.sum(seen**2)) / REPLICATES) / np.linalg.norm(seen)  # of a Wishart matrix
    assert np.linalg.norm(seen - said) / np.linalg.norm(seen) < 0.05 + 1.5 * noise
    assert r.last.sum_stderr == pytest.approx(r.values.sum(axis=1).std(), rel=0.12)
    assert r.last.sum_stderr**2 == pytest.approx(said.sum(), rel=1e-9)
    np.testing.assert_allclose(r.last.stderr, np.sqrt(np.diag(said)), rtol=1e-9)


# shots and how they are shared


@pytest.mark.parametrize("allocation", ["error", "equal"])
@every_estimator
def test_shots_are_shared_out_to_the_last(estimator: Estimator, allocation: Allocation) -> None:
    case, x, b = task("two terms")
    made = replace(plan(estimator, case.kept_model, bilinear_terms(x, b[np.newaxis], None)), allocation=allocation)
    spreads = np.array([np.sqrt((r.weights.explicit.toarray() ** 2).sum(axis=0).max()) for r in made.circuits])
    count = len(spreads)
    wanted = spreads / spreads.sum() if allocation == "error" else np.full(count, 1 / count)
    for total in (count, count + 1, 1000, 12_345):
        shots = np.array(made.shots(total))
        assert shots.sum() == total
        assert shots.min() >= 1
        assert np.abs(shots - 1 - (total - count) * wanted).max() < 1
    with pytest.raises(ValueError, match=rf"shots={count - 1} must be at least the number of circuits, {count}"):
        made.shots(count - 1)


@pytest.mark.parametrize("estimator", [ResolvedHadamardTest, HadamardTest, partial(ParallelHadamardTest, 2), PolarizationShift])
def test_the_estimator_chooses_how_shots_are_shared(estimator: Callable[..., Estimator]) -> None:
    case, x, b = task("two terms")
    asked = bilinear_terms(x, b[np.newaxis], None)
    by_error, equally = (plan(estimator(allocation=a), case.kept_model, asked).shots(SHOTS) for a in ("error", "equal"))
    assert max(equally) - min(equally) <= 1
    assert max(by_error) - min(by_error) > 1
    assert plan(estimator(), case.model, asked).shots(SHOTS) == by_error


@every_estimator
def test_sharing_by_error_beats_sharing_equally(estimator: Estimator) -> None:
    """An input that decays over the features, and one Pauli string that outweighs the other."""
    case, x, b = task("uneven")
    uneven = replace(case, observable=case.observable + 0.1 * cirq.X(cirq.LineQubit(2)))
    made = plan(estimator, uneven.model, bilinear_terms(x, b[np.newaxis], None))
    assert scatter(made, SHOTS) < 0.9 * scatter(replace(made, allocation="equal"), SHOTS)


# how large errors are


def wired(n: int, rng: np.random.Generator) -> Case:
    model = ring_ansatz(n, 2)
    turned = model.with_params({name: float(rng.uniform(0, 2 * np.pi)) for name in model.params})
    return Case(turned.resolved_circuit.unfreeze(), turned.qubits, turned.pauli_sum)


@pytest.mark.parametrize("n", [4, 6, 8])
def test_the_resolved_test_has_an_l2_error_of_one_over_root_shots(n: int) -> None:
    rng, shots, count = np.random.default_rng(n), 10_000, 300
    case, x = wired(n, rng), unit(np.abs(amplitudes(rng, 2**n)))
    made = plan(ResolvedHadamardTest(), case.model, bilinear_terms(x, np.zeros((1, 2**n)), None))
    (exact,) = exact_distributions(made)
    truth = x * (case.matrices()[0] @ x).real
    drawn = rng.multinomial(shots, exact.probabilities, count)
    errors = [np.linalg.norm(made.decode([Distribution.from_counts(c)]).values - truth) for c in drawn]
    size = float(np.sqrt(np.mean(np.square(errors)) * shots))
    assert size < 1.05
    assert size == pytest.approx(np.sqrt(1 - truth @ truth), rel=0.05)  # each shot adds +-1 to one feature


def mean_scatter(estimator: Estimator, n: int, draws: Sequence[int]) -> float:
    total = 0.0
    for seed in draws:
        rng = np.random.default_rng(seed)
        case, x = wired(n, rng), unit(amplitudes(rng, 2**n))
        total += scatter(plan(estimator, case.kept_model, bilinear_terms(x, np.zeros((1, 2**n)), None)), 10**6) * 10**6
    return total / len(draws)


def test_the_hadamard_test_needs_about_n_times_the_shots_of_the_resolved_test() -> None:
    draws = {2: range(30), 3: range(20), 4: range(10), 5: range(5), 6: range(3)}
    ratios = [mean_scatter(HadamardTest(), n, d) / mean_scatter(ResolvedHadamardTest(), n, d) for n, d in draws.items()]
    slope = np.polyfit(np.array(list(draws)) * np.log(2), np.log(ratios), 1)[0]
    assert 0.85 < slope < 1.15, f"shots ratios {np.round(ratios, 2)} for n = 2..6, slope in log N {slope:.2f}"
    assert ratios[-1] > 2**6 / 3


def test_equal_amplitudes_in_parallel_cost_a_quarter_of_2_to_the_m_times_the_shots() -> None:
    """The price named in the docstring; and with weights, one pair of circuits takes about N / eps^2."""
    equal, weighted = (mean_scatter(ParallelHadamardTest(4, weighted=w), 4, range(6)) for w in (False, True))
    assert equal / weighted == pytest.approx(2**4 / 4, rel=0.25)
    assert mean_scatter(ParallelHadamardTest(5), 4, range(6)) == pytest.approx(2**4, rel=0.1)
