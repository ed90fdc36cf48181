"""Counterfactuals against general optimisers, closed forms and the conditions of an optimum."""

from __future__ import annotations

from typing import Any

import cirq
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from propagated import propagated_stderr
from scipy.optimize import minimize
from strategies import Case, amplitudes, cases, generators, random_case
from swept_engine import swept_engine

import hattriq_cirq as hq
from hattriq_cirq.models.quadratic_form import QuadraticForm, matrix_of

Vector = NDArray[np.float64]


def slsqp_distance(matrix: Vector, x: Vector, level: float, free: NDArray[np.bool_], rng: np.random.Generator) -> float:
    """Return the smallest distance that SLSQP finds from several starts."""

    def at(step: Vector) -> Vector:
        z = x.copy()
        z[free] += step
        return z

    def square(step: Vector) -> float:
        return float(step @ step)

    best = np.inf
    constraint: Any = {
        "type": "eq",
        "fun": lambda step: at(step) @ matrix @ at(step) - level,
        "jac": lambda step: 2 * (matrix @ at(step))[free],
    }
    for _ in range(6):
        start: Vector = rng.normal(size=int(free.sum())) * float(np.linalg.norm(x)) / 3
        found = minimize(square, start, constraints=constraint, method="SLSQP", options={"ftol": 1e-16, "maxiter": 300})
        if found.success and abs(at(found.x) @ matrix @ at(found.x) - level) < 1e-9:
            best = min(best, float(np.linalg.norm(found.x)))
    return best


@pytest.mark.parametrize("seed", range(6))
def test_distance_is_the_smallest_that_a_general_optimiser_finds(seed: int) -> None:
    case, rng = random_case(3, seed), np.random.default_rng(seed)
    x = amplitudes(rng, 8)
    x /= np.linalg.norm(x)
    free = np.ones(8, dtype=bool) if seed % 2 else rng.random(8) < 0.7
    level = (0.0, 0.2, -0.1)[seed % 3]
    matrix = case.matrices()[0].real
    found = hq.counterfactual(case.model, x, level=level, free=free)
    best = slsqp_distance(matrix, x, level, free, rng)
    assert found.reached == np.isfinite(best)
    if found.reached:
        assert found.distance == pytest.approx(best, abs=1e-9)
        np.testing.assert_array_equal(found.x[~free], x[~free])
        assert found.is_global


@pytest.mark.slow
def test_distances_of_fifty_digits_are_the_smallest_that_a_general_optimiser_finds() -> None:
    data = hq.datasets.load("digits:pair=0/1")
    model = hq.train(hq.ring_ansatz(6, layers=4), data.x_train, data.y_train, epochs=20, seed=0).model
    xs, everything, rng = data.x_test[:50], np.ones(64, dtype=bool), np.random.default_rng(1)
    found = hq.counterfactual(model, xs)
    assert found.reached.all()
    best = [slsqp_distance(model.matrix.real, x, 0.0, everything, rng) for x in xs]
    np.testing.assert_allclose(found.distance, best, atol=1e-9)


@given(case=cases(3), imaginary=st.booleans(), rng=generators, level=st.floats(-1, 1))
def test_result_is_at_the_level_and_meets_the_conditions_of_an_optimum(
    case: Case, imaginary: bool, rng: np.random.Generator, level: float
) -> None:
    x = amplitudes(rng, case.features, imaginary=imaginary)
    x /= np.linalg.norm(x)
    found = hq.counterfactual(case.model, x, level=level, real=not imaginary)
    (matrix,) = case.matrices()
    whole = float(np.linalg.norm(matrix, 2))  # to which the rounding of Re M is relative: Re M can vanish
    matrix = matrix if imaginary else matrix.real
    size = float(np.linalg.norm(matrix, 2))
    if not found.reached:
        ends = np.linalg.eigvalsh(matrix)
        assert not ends[0] < 0 < ends[-1] or abs(level) < 1e-9
        assert found.messages[0].startswith("out of reach")
        return
    z = found.x
    assert abs(np.vdot(z, matrix @ z).real - level) <= 1e-9 * whole * max(1.0, float(np.vdot(z, z).real))
    pull, step = matrix @ z, x - z
    if found.distance > 1e-6 and np.linalg.norm(pull) > 1e-6 * size:  # the change is along M z: x - z = t M z
        t = np.vdot(pull, step).real / np.vdot(pull, pull).real
        assert np.linalg.norm(step - t * pull) <= 1e-7 * (1 + np.linalg.norm(step))
        assert np.linalg.eigvalsh(np.eye(len(x)) + t * matrix)[0] >= -1e-7 * (1 + abs(t) * size)  # a global minimum


@pytest.mark.parametrize("n", [1, 3, 5])
def test_distance_of_one_string_is_its_closed_form(n: int) -> None:
    model, rng = hq.ring_ansatz(n, layers=2), np.random.default_rng(n)
    model = model.with_params({name: rng.normal() for name in model.params})
    xs = amplitudes(rng, 4, 2**n, imaginary=True)
    xs /= np.linalg.norm(xs, axis=1, keepdims=True)
    scores = model.expectation(xs)
    found = hq.counterfactual(model, xs, real=False)
    np.testing.assert_allclose(found.distance, np.sqrt((1 - np.sqrt(1 - scores**2)) / 2), atol=1e-12)
    overlap = np.abs(np.sum(xs.conj() * found.x, axis=1)) ** 2 / np.sum(np.abs(found.x) ** 2, axis=1)
    np.testing.assert_allclose(overlap, (1 + np.sqrt(1 - scores**2)) / 2, atol=1e-12)
    everything = np.ones(2**n, dtype=bool)  # the same problem by all eigenvectors
    np.testing.assert_allclose(found.distance, hq.counterfactual(model, xs, real=False, free=everything).distance, atol=1e-10)


@pytest.mark.parametrize("form", ["channels", "dilated", "noisy", "learned"])
def test_forms_that_are_no_single_string_are_solved_by_all_eigenvectors(form: str) -> None:
    a, b = cirq.LineQubit.range(2)
    circuit = cirq.Circuit(cirq.ry(0.4)(a), cirq.CZ(a, b), cirq.rx(0.7)(b), cirq.CNOT(a, b), cirq.reset(a), cirq.H(a))
    model = hq.Model(circuit, [a, b], cirq.Z(b))
    plain = hq.Model(circuit[:-2], [a, b], cirq.Z(b))
    noise = cirq.NoiseModel.from_noise_model_like(cirq.depolarize(0.05))
    forms: dict[str, QuadraticForm] = {
        "channels": model,
        "dilated": model.dilated(),
        "noisy": hq.noisy_model(plain, hq.cirq_simulator(noise=noise)),
        "learned": hq.learn_observable(plain, engine=swept_engine(1), shots=5_000, prior="none", seed=1),
    }
    given = forms[form]
    x = np.array([0.8, 0.1, 0.5, 0.3])
    x /= np.linalg.norm(x)
    found = hq.counterfactual(given, x, level=-0.05, real=form == "learned")
    best = slsqp_distance(matrix_of(given).real, x, -0.05, np.ones(4, dtype=bool), np.random.default_rng(2))
    assert abs(found.score + 0.05) < 1e-10
    assert found.distance <= best + 1e-9
    if form == "learned":
        assert found.distance == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("real", [True, False])
def test_input_without_a_part_in_the_extreme_eigenvectors_is_solved(real: bool) -> None:
    model = hq.ring_ansatz(2, layers=0)  # Z on the first qubit
    found = hq.counterfactual(model, [1.0, 0.0, 0.0, 0.0], real=real)
    assert found.distance == pytest.approx(np.sqrt(0.5))
    assert abs(found.score) < 1e-12
    assert found.messages == ("not unique: at least two changes of this length reach the level",)


def test_level_that_the_free_features_cannot_reach_is_said_in_words() -> None:
    model = hq.ring_ansatz(2, layers=0)
    found = hq.counterfactual(model, [0.8, 0.6, 0.0, 0.0], free=[True, True, False, False], level=-0.5)
    assert not found.reached
    assert found.distance == np.inf
    assert found.messages == ("out of reach: the features that may change bring the score to 0 at least",)
    np.testing.assert_array_equal(found.x, found.input)


@given(case=cases(3), rng=generators)
def test_one_feature_changes_alone_and_least(case: Case, rng: np.random.Generator) -> None:
    x = amplitudes(rng, case.features)
    x /= np.linalg.norm(x)
    found = hq.counterfactual(case.model, x, free="one", level=0.1)
    matrix, best = case.matrices()[0].real, np.inf
    for k in range(case.features):
        roots = np.roots([matrix[k, k], 2 * (matrix @ x)[k], x @ matrix @ x - 0.1])
        real_roots = roots[np.abs(roots.imag) < 1e-9].real if len(roots) else np.array([])
        best = min(best, float(np.abs(real_roots).min(initial=np.inf)))
    assert np.count_nonzero(found.change) <= 1
    if best < 1e6:
        assert found.distance == pytest.approx(best, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_nonnegative_result_is_local_and_no_worse_than_a_general_optimiser_from_there(seed: int) -> None:
    case, rng = random_case(3, seed + 20), np.random.default_rng(seed)
    x = np.abs(amplitudes(rng, 8))
    x /= np.linalg.norm(x)
    found = hq.counterfactual(case.model, x, level=0.0, nonnegative=True)
    matrix = case.matrices()[0].real
    if not found.reached:
        assert "no change was found" in found.messages[0] or "out of reach" in found.messages[0]
        return
    assert (found.x >= 0).all()
    assert abs(found.score) < 1e-9

    def square(z: Vector) -> float:
        return float((z - x) @ (z - x))

    constraint: Any = {"type": "eq", "fun": lambda z: z @ matrix @ z, "jac": lambda z: 2 * matrix @ z}
    options: Any = {"ftol": 1e-15, "maxiter": 300}
    polished = minimize(square, found.x, bounds=[(0, None)] * 8, constraints=constraint, method="SLSQP", options=options)
    assert found.distance <= np.sqrt(polished.fun) + 1e-6
    unrestricted = hq.counterfactual(case.model, x, level=0.0)
    assert found.distance >= unrestricted.distance - 1e-12
    assert bool(found.is_global) == bool((unrestricted.x >= -1e-12).all())


def test_normalized_level_does_not_depend_on_the_norm() -> None:
    case, x = random_case(3, 5), np.abs(amplitudes(np.random.default_rng(3), 8))
    near = hq.counterfactual(case.model, x, level=0.15, form="normalized")
    far = hq.counterfactual(case.model, 1e100 * x, level=0.15, form="normalized")
    np.testing.assert_allclose(far.x, 1e100 * near.x, rtol=1e-9)
    assert near.score == pytest.approx(case.model.expectation(near.x, form="normalized"))
    assert near.score == pytest.approx(0.15)


def test_error_of_a_learned_model_is_that_of_its_coefficients() -> None:
    model, rng = random_case(2, 11).model, np.random.default_rng(2)
    x = amplitudes(rng, 4)
    x /= np.linalg.norm(x)
    learned = hq.learn_observable(model, engine=swept_engine(4), shots=100_000, inputs=x, prior="none", seed=4)
    found = hq.counterfactual(learned, x)
    expected = propagated_stderr(learned, lambda each: hq.counterfactual(each, x).distance)
    np.testing.assert_allclose(found.distance_stderr, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"free": [True, False]}, "must be True or False for each of 4 features"),
        ({"free": [1, 0, 1, 0]}, "must be True or False"),
        ({"free": "two"}, "free='two'"),
        ({"nonnegative": True, "real": False}, "needs real=True"),
        ({"level": np.nan}, "level"),
        ({"form": "cubic"}, "form"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hq.counterfactual(hq.ring_ansatz(2, 1), [0.6, 0.0, 0.8, 0.0], **arguments)  # type: ignore[arg-type]


def test_inputs_that_do_not_fit_are_refused() -> None:
    model = hq.ring_ansatz(1, 1)
    with pytest.raises(ValueError, match="x is complex; give real=False"):
        hq.counterfactual(model, [0.6, 0.8j])
    with pytest.raises(ValueError, match=r"x\[1\] is negative"):
        hq.counterfactual(model, [0.6, -0.8], nonnegative=True)


def test_form_of_zeros_reaches_no_level() -> None:
    found = hq.counterfactual(hq.ring_ansatz(1, 0, observable=cirq.PauliString(cirq.Y(cirq.q(0)))), [0.6, 0.8], level=0.1)
    assert not found.reached
    assert found.messages[0].startswith("out of reach")


def conjugated(observable: cirq.PauliString[cirq.Qid]) -> hq.Model:
    """Return a model whose M is an observable but for rounding: its gates undo each other."""
    a, b = cirq.LineQubit.range(2)
    gates = [cirq.ry(0.7)(a), cirq.rz(0.3)(a), cirq.CZ(a, b)]
    return hq.Model(cirq.Circuit(gates, cirq.inverse(gates)), [a, b], observable)


@given(rng=generators, level=st.floats(-0.9, 0.9))
def test_entries_that_are_rounding_count_as_zero(rng: np.random.Generator, level: float) -> None:
    x = amplitudes(rng, 4)
    x /= np.linalg.norm(x)
    model = conjugated(
        cirq.PauliString[cirq.Qid](cirq.X(cirq.q(0)))
    )  # F = 2 (x0 x2 + x1 x3): linear in the features that may change
    found = hq.counterfactual(model, x, level=level, free=[True, True, False, False])
    slope = 2 * float(np.linalg.norm(x[2:]))
    assert found.reached
    assert found.distance == pytest.approx(abs(level - float(model.expectation(x))) / slope, rel=1e-9, abs=1e-12)
    assert float(found.score) == pytest.approx(level, abs=1e-9 * (1 + float(found.distance)) ** 2)


@pytest.mark.parametrize(
    ("gate", "x", "free"),
    [
        (cirq.X, [1.0, 0.0, 0.0, 0.0], [True, True, False, False]),
        (cirq.Y, [0.6, 0.1, 0.8, 0.2], [True, True, False, False]),
        (cirq.Y, [0.6, 0.1, 0.8, 0.2], None),
        (cirq.Y, [0.6, 0.1, 0.8, 0.2], "one"),
    ],
)
def test_features_that_move_the_score_by_rounding_only_reach_nothing(gate: cirq.Pauli, x: list[float], free: Any) -> None:
    found = hq.counterfactual(conjugated(cirq.PauliString[cirq.Qid](gate(cirq.q(0)))), x, level=0.5, free=free)
    assert not found.reached
    assert found.messages[0].startswith("out of reach")


@given(case=cases(3), imaginary=st.booleans(), rng=generators)
def test_least_score_itself_is_reached(case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    x = amplitudes(rng, case.features, imaginary=imaginary)
    x /= np.linalg.norm(x)
    (matrix,) = case.matrices()
    values, vectors = np.linalg.eigh(matrix if imaginary else matrix.real)
    found = hq.counterfactual(case.model, x, level=values[0], form="normalized", real=not imaginary)
    size = float(np.linalg.norm(matrix, 2))
    lowest = vectors[:, values - values[0] <= 1e-12 * size]
    nearest = lowest @ (lowest.conj().T @ x)  # the constraint leaves the lowest eigenvectors
    if found.reached:
        assert float(found.score) == pytest.approx(values[0], abs=1e-6 * size)
        assert float(found.distance) <= np.linalg.norm(x - nearest) + 1e-6
    else:  # rounding put the level below the least score
        assert "out of reach" in found.messages[0]
    below = values[0] - 0.1 * size
    beyond = hq.counterfactual(case.model, x, level=below, form="normalized", real=not imaginary)
    assert not beyond.reached


def test_least_score_of_some_features_is_reached() -> None:
    model, free = hq.ring_ansatz(2, layers=0), [True, True, False, False]  # Z on the first qubit: F >= -0.04
    found = hq.counterfactual(model, [0.8, 0.6, 0.0, 0.2], free=free, level=-0.04)
    np.testing.assert_allclose(found.x, [0, 0, 0, 0.2], atol=1e-12)
    assert found.reached
    assert found.distance == pytest.approx(1.0)
    boundary = hq.counterfactual(hq.ring_ansatz(2, layers=0), [0.0, 0.0, 0.0, 0.5], level=-0.25, free=free)
    assert boundary.distance == 0


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e-8, 1e8, 1e150])
def test_levels_and_inputs_of_any_size(scale: float) -> None:
    case, x = random_case(3, 5), amplitudes(np.random.default_rng(3), 8)
    for level in (0.0, 0.1, -1e-300, 1e200):
        found = hq.counterfactual(case.model, scale * x, level=level)
        assert found.reached
        allowed = 1e-9 * (abs(level) + float(np.linalg.norm(found.x)) ** 2)
        assert abs(float(found.score) - level) <= allowed + 1e-300


def test_zero_vector_has_no_normalized_counterfactual() -> None:
    with pytest.raises(ValueError, match="zero vector"):
        hq.counterfactual(hq.ring_ansatz(1, 0), [0.0, 0.0], form="normalized")
