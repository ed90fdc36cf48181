"""Functions of the direction of an input, or homogeneous in its norm, at every scale; and sums that are zero to rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cirq
import numpy as np
import pytest
from numpy.typing import NDArray

import hattriq_cirq as hq
from hattriq_cirq import baselines, datasets, encoding, faithfulness, other_methods
from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.quadratic_form import quadratic_value

Array = NDArray[Any]
A, B = QUBITS = cirq.LineQubit.range(2)
RNG = np.random.default_rng(5)
X = np.array([0.6, 0.3, -0.5, 0.2])
BATCH = RNG.normal(size=(3, 4))
COMPLEX = X + 1j * np.array([0.1, -0.4, 0.2, 0.0])
REFERENCE = np.array([0.1, 0.2, 0.3, 0.4])
DATA, LABELS = RNG.normal(size=(12, 4)) + 0.4, np.array([1, -1] * 6)
PARTS = [cirq.ry(0.4)(A), cirq.CNOT(A, B), cirq.rx(0.3)(B), cirq.CZ(A, B) ** 0.3, cirq.ry(1.0)(A)]
MODEL = Model(cirq.Circuit(PARTS), QUBITS, 1.0 * cirq.Z(A) + 0.5 * cirq.X(B))
EXACT = hq.cirq_simulator()


class Form:
    """A quadratic form that is not a model."""

    n_features, identity_part = 4, 0.0

    def observable_action(self, x: Any) -> Any:
        return x @ MODEL.matrix.T


def ig(x: Array, baseline: Any = 0, **settings: Any) -> Array:
    a = hq.integrated_gradients(MODEL, x, baseline=baseline, **settings)
    return np.concatenate([a.values, a.stderr, a.f_input[..., np.newaxis], a.f_baseline[..., np.newaxis]], axis=-1)


def measured(estimator: hq.estimators.Estimator, shots: int | None = None) -> Callable[[Array], Array]:
    def values(x: Array) -> Array:
        factor = np.abs(x).max() / np.abs(X).max()
        return ig(x, factor * REFERENCE, estimator=estimator, engine=hq.cirq_simulator(seed=1), shots=shots)

    return values


def relative(x: Array) -> Any:
    """Return a baseline in the scale of an input."""
    return np.abs(x).max() / np.abs(X).max() * REFERENCE


DIRECTION: dict[str, Callable[[Array], Any]] = {
    "encode": lambda x: encoding.encode(x, QUBITS).final_state_vector(qubit_order=QUBITS),
    "encode, complex": lambda x: encoding.encode(x * COMPLEX / X, QUBITS).final_state_vector(qubit_order=QUBITS),
    "encode_joint": lambda x: encoding.encode_joint(x, relative(x), cirq.q("a"), QUBITS).final_state_vector(),
    "approximate_encoding": lambda x: encoding.approximate_encoding(x, QUBITS, layers=1).vector,
    "baselines.mean of the data": lambda x: baselines.mean(X, x + relative(x) * DATA),
    "expectation, normalized": lambda x: MODEL.expectation(x, form="normalized"),
    "normalized": lambda x: ig(x, relative(x), form="normalized"),
    "normalized, head": lambda x: ig(x, relative(x), form="normalized", head=hq.Head("sigmoid", scale=5)),
    "normalized, rule": lambda x: ig(x, relative(x), form="normalized", rule="riemann:7"),
    "gradient_times_input, normalized": lambda x: other_methods.gradient_times_input(MODEL, x, form="normalized"),
    "occlusion, normalized": lambda x: other_methods.occlusion(MODEL, x, baseline=relative(x), form="normalized"),
    "shapley, normalized": lambda x: other_methods.shapley(MODEL, x, baseline=relative(x), form="normalized"),
    "shapley of another form": lambda x: other_methods.shapley(Form(), x, baseline=relative(x), form="normalized"),
    "score_of, normalized": lambda x: faithfulness.score_of(MODEL, form="normalized")(x),
    "sensitivity_n": lambda x: faithfulness.sensitivity_n(
        lambda y: y @ np.array([1.0, -2.0, 0.5, 3.0]), x[None], x[None], reference=0, sizes=[2], samples=20
    ),
    "scaled infidelity": lambda x: faithfulness.infidelity(
        lambda y: y.sum(axis=-1), X[None], x[None] * X, reference=0, scaled=True
    ),
    "relevance_mass": lambda x: faithfulness.relevance_mass(x[None], np.array([True, False, True, False])),
    "max_sensitivity": lambda x: faithfulness.max_sensitivity(lambda y: y * np.abs(x).max(), X[None], radius=0.1, samples=3),
    "train": lambda x: list(
        hq.train(hq.ring_ansatz(2, 1), np.outer(np.ones(12), x) * DATA, LABELS, seed=0, epochs=2).model.params.values()
    ),
    "accuracy": lambda x: hq.accuracy(MODEL, x * DATA, LABELS),
    "from_features": lambda x: datasets.from_features(x * DATA, LABELS, name="own").amplitudes,
    "predicted shots": lambda x: (
        priced := hq.resources(
            MODEL, x, relative(x), hq.ResolvedHadamardTest(), target_stderr=float(np.abs(x).max()) ** 2, engine=EXACT
        ),
        [priced.shots_for_cosine, priced.shots_for_stderr],
    )[1],
}
LINEAR: dict[str, Callable[[Array], Any]] = {
    "baselines.uniform": baselines.uniform,
    "baselines.mean": lambda x: baselines.mean(x, DATA),
    "baselines.class_mean": lambda x: baselines.class_mean(x, 1, DATA, LABELS),
    "baselines.blur": lambda x: baselines.blur(x, (2, 2), 0.5),
    "baselines.max_distance": baselines.max_distance,
    "evolve": MODEL.evolve,
    "evolve, complex": lambda x: MODEL.evolve(x * COMPLEX, adjoint=True),
    "observable_action": MODEL.observable_action,
    "observable_action, complex": lambda x: MODEL.observable_action(x * COMPLEX, real_part=True),
    "gradient": lambda x: other_methods.gradient(MODEL, x),
}
QUADRATIC: dict[str, Callable[[Array], Any]] = {
    "expectation": MODEL.expectation,
    "expectation of a batch": lambda x: MODEL.expectation(np.stack([x, x[::-1]])),
    "quadratic_value": lambda x: quadratic_value(Form(), x),
    "integrated_gradients": lambda x: ig(x, relative(x)),
    "zero baseline": ig,
    "rule": lambda x: ig(x, relative(x), rule="midpoint:3"),
    "baseline set": lambda x: ig(x, BaselineSet(np.stack([relative(x), relative(x)[::-1]]))),
    "gradient_times_input": lambda x: other_methods.gradient_times_input(MODEL, x),
    "occlusion": lambda x: other_methods.occlusion(MODEL, x, baseline=relative(x)),
    "shapley": lambda x: other_methods.shapley(MODEL, x, baseline=relative(x)),
    "resolved test": measured(hq.ResolvedHadamardTest()),
    "resolved test, shots": measured(hq.ResolvedHadamardTest(), 500),
    "Hadamard test": measured(hq.HadamardTest()),
    "literal Hadamard test": measured(hq.HadamardTest(literal=True)),
    "parallel test": measured(hq.ParallelHadamardTest(2)),
    "parallel test, shots": measured(hq.ParallelHadamardTest(2), 500),
    "polarization shift": measured(hq.PolarizationShift()),
}
POWERS = [-500, -250, 250, 500]


def check(function: Callable[[Array], Any], degree: int, power: int) -> None:
    expected = np.asarray(function(X), dtype=complex)
    found = np.asarray(function(np.ldexp(X, power)), dtype=complex)
    back = np.ldexp(found.real, -degree * power) + 1j * np.ldexp(found.imag, -degree * power)
    np.testing.assert_allclose(back, expected, rtol=1e-13, atol=1e-13 * np.abs(expected).max())


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("name", DIRECTION)
def test_functions_of_the_direction(name: str, power: int) -> None:
    check(DIRECTION[name], 0, power)


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("name", LINEAR)
def test_functions_of_degree_1(name: str, power: int) -> None:
    check(LINEAR[name], 1, power)


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("name", QUADRATIC)
def test_functions_of_degree_2(name: str, power: int) -> None:
    check(QUADRATIC[name], 2, power)


@pytest.mark.parametrize("power", [-60, 60, 250])
@pytest.mark.parametrize("method", [MODEL.evolve, MODEL.observable_action, MODEL.expectation])
def test_single_precision_keeps_its_digits_at_every_scale(method: Callable[..., Any], power: int) -> None:
    expected, degree = method(X), 2 if method == MODEL.expectation else 1
    found = method(np.ldexp(X, power), precision="float32") / np.ldexp(1.0, degree * power)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-320, 5e-324, 1e-300, 1e300, 1.7e308])
def test_subnormal_and_largest_numbers_have_a_direction(scale: float) -> None:
    x = scale * np.array([1.0, 0.0, 1.0, 1.0])
    expected = np.array([1, 0, 1, 1]) / np.sqrt(3)
    prepared = encoding.encode(x, QUBITS).final_state_vector(qubit_order=QUBITS)
    np.testing.assert_allclose(prepared, expected, atol=1e-6)
    np.testing.assert_allclose(MODEL.expectation(x, form="normalized"), MODEL.expectation(expected), atol=1e-15)
    both = hq.integrated_gradients(MODEL, x, baseline=scale * np.array([0.0, 1.0, 0.0, 0.0]), form="normalized")
    same = hq.integrated_gradients(MODEL, [1.0, 0.0, 1.0, 1.0], baseline=[0.0, 1.0, 0.0, 0.0], form="normalized")
    np.testing.assert_allclose(both.values, same.values, atol=1e-12)


def test_mixed_magnitudes_in_one_vector_and_in_one_batch() -> None:
    x = np.array([3e-300, 4e200, 1e-5, -3e200])
    np.testing.assert_allclose(encoding.encode(x, QUBITS).final_state_vector(qubit_order=QUBITS), [0, 0.8, 0, -0.6], atol=1e-6)
    batch = np.array([X * 1e-200, X, X * 1e150])
    found = hq.integrated_gradients(MODEL, batch, baseline=batch[:, ::-1] / 2, form="normalized").values
    np.testing.assert_allclose(found, np.tile(found[1], (3, 1)), rtol=1e-9, atol=1e-12)
    sizes = np.array([[1e-200], [1.0], [1e150]])
    np.testing.assert_allclose(baselines.uniform(batch) / sizes, np.tile(baselines.uniform(X), (3, 1)))


@pytest.mark.parametrize(
    "function",
    [
        MODEL.expectation,
        lambda x: quadratic_value(Form(), x),
        ig,
        measured(hq.ResolvedHadamardTest()),
        lambda x: other_methods.shapley(MODEL, x, baseline=0),
        lambda x: other_methods.gradient(MODEL, 1e150 * x),
        lambda x: baselines.mean(1e150 * x, np.eye(4)[:1]),
    ],
)
def test_results_that_cannot_be_represented_are_refused(function: Callable[[Array], Any]) -> None:
    with pytest.raises(ValueError, match="too large for a number in double precision"):
        function(np.full(4, 1.7e158))


# sums that are zero to rounding


def standardised(seed: int, rows: int = 500, dtype: Any = np.float64, offset: float = 0.0) -> Array:
    data = (np.random.default_rng(seed).normal(size=(rows, 4)) + offset).astype(dtype)
    return np.asarray((data - data.mean(axis=0)) / data.std(axis=0))


@pytest.mark.parametrize(
    "data",
    [
        standardised(0),
        standardised(1, offset=100.0),
        standardised(2, rows=20_000),
        standardised(3, dtype=np.float32),
        standardised(4) * 1e-200,
        standardised(5) * 1e200,
        standardised(6) + 1j * standardised(7),
        standardised(8) @ np.linalg.qr(RNG.normal(size=(4, 4)))[0] * np.array([1.0, 1e-3, 1e-3, 1e-3]),
        np.array([[0.1, 0.2, 0.3, 0.4], [-0.1, -0.2, -0.3, -0.4]]),
    ],
    ids=["plain", "offset", "many", "single precision", "small", "large", "complex", "unequal widths", "exactly zero"],
)
def test_mean_of_standardised_data_has_no_direction(data: Array) -> None:
    x = X + 0j if np.iscomplexobj(data) else X
    with pytest.raises(ValueError, match=r"all zeros|zero to rounding"):
        baselines.mean(x, data)
    labels = np.ones(len(data))
    with pytest.raises(ValueError, match=r"all zeros|zero to rounding"):
        baselines.class_mean(x, 1, data, labels)


def test_small_mean_of_small_data_is_kept() -> None:
    np.testing.assert_allclose(baselines.mean([0.6, 0.8], [[0.0, 1e-200], [1e-200, 0.0]]), np.sqrt([0.5, 0.5]))
    np.testing.assert_allclose(baselines.mean([0.6, 0.8], [[1.0, 1e-8], [-1.0, 1e-8]]), [0, 1], atol=1e-15)


@pytest.mark.parametrize("dtype", [float, complex])
def test_mean_does_not_depend_on_the_order_of_rows(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    data = (rng.normal(size=(300, 4)) * np.exp(rng.normal(size=(300, 1)) * 8)).astype(dtype)
    labels = rng.choice([-1, 1], 300)
    x = X.astype(dtype)
    means = {baselines.mean(x, data[order]).tobytes() for order in (rng.permutation(300) for _ in range(20))}
    assert len(means) == 1
    orders = [rng.permutation(300) for _ in range(20)]
    assert len({baselines.class_mean(x, 1, data[o], labels[o]).tobytes() for o in orders}) == 1


def test_input_that_equals_its_baseline_to_rounding_takes_no_circuit() -> None:
    x = RNG.normal(size=4)
    same = 3 * (x / 3) * (1 + 2e-16)
    prepared = hq.prepare(MODEL, x, baseline=same, estimator=hq.ResolvedHadamardTest(), engine=EXACT, shots=100)
    found = prepared.execute()
    assert found.cost.circuits == 0
    assert not found.values.any()


def test_feature_that_is_constant_to_rounding_has_no_weight() -> None:
    from hattriq_cirq.workflows.classical import fit_logistic_regression, score_accuracy

    small, labels = np.array([[1e-20, 0.1], [2e-20, 0.1], [4e-20, 0.1]]) * np.array([1.0, 3.0]), [-1, -1, 1]
    scorer = fit_logistic_regression(small, labels)
    assert score_accuracy(scorer, small, labels) == 1.0
    assert scorer.weights[0] > 1e19
    assert abs(scorer.weights[1]) < 1e-12


@pytest.mark.parametrize("scale", [1e-13, 1.0, 1e6])
def test_identity_part_is_judged_by_the_size_of_the_observable(scale: float) -> None:
    model = Model(cirq.Circuit(), [A], scale * (0.5 * cirq.Z(A) + 0.5))
    with pytest.warns(hq.IdentityPartWarning):
        hq.integrated_gradients(model, [0.6, 0.8], baseline=0)
    rounding = Model(cirq.Circuit(), [A], scale * (0.5 * cirq.Z(A) + 1e-16))
    hq.integrated_gradients(rounding, [0.6, 0.8], baseline=0)


@pytest.mark.parametrize("factor", [1e-300, 1e-170, 1e160, 1e300])
def test_accuracy_of_inputs_whose_scores_are_no_numbers_in_double_precision(factor: float) -> None:
    assert hq.accuracy(MODEL, factor * DATA, LABELS) == hq.accuracy(MODEL, DATA, LABELS)


@pytest.mark.filterwarnings("error")
def test_head_of_the_quadratic_form_refuses_inputs_whose_squares_are_no_numbers() -> None:
    x = np.ones(DATA.shape[-1])
    with pytest.raises(ValueError, match=r"reach 1.0e\+200, .*divide them by a common factor"):
        hq.integrated_gradients(MODEL, 1e200 * x, baseline=0, head=hq.Head("tanh", 3))
    with pytest.raises(ValueError, match=r"reach 1.0e\+200, .*divide them by a common factor"):
        hq.integrated_gradients(MODEL, x, baseline=1e200 * x, head=hq.Head("tanh", 3))
