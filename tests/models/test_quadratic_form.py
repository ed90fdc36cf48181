"""A quadratic form that is only a dense matrix: attribution, comparison and faithfulness equal those of the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from strategies import Array, Case, amplitudes, assert_close, cases, generators

import hattriq_cirq as hq
from hattriq_cirq import faithfulness
from hattriq_cirq.attribution import decomposition, other_methods
from hattriq_cirq.models.model import Form
from hattriq_cirq.models.quadratic_form import QuadraticForm, quadratic_value

FORMS: tuple[Form, ...] = ("quadratic", "normalized")


@dataclass(frozen=True, eq=False)
class DenseForm:
    """The smallest quadratic form: a Hermitian matrix."""

    matrix: Array

    @property
    def n_features(self) -> int:
        return len(self.matrix)

    @property
    def identity_part(self) -> float:
        return float(np.trace(self.matrix).real) / len(self.matrix)

    def observable_action(self, x: ArrayLike) -> Array:
        return np.asarray(np.asarray(x) @ self.matrix.T)


def dense(case: Case) -> QuadraticForm:
    return DenseForm(case.matrices()[0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rule", ["exact", "midpoint:3"])
@settings(max_examples=20)
@given(case=cases(4), imaginary=st.booleans(), rng=generators)
def test_integrated_gradients_of_a_dense_form_equal_the_model(
    form: Form, rule: str, case: Case, imaginary: bool, rng: np.random.Generator
) -> None:
    x = amplitudes(rng, 2, case.features, imaginary=imaginary)
    b = np.full(case.features, 1.5 * np.abs(x).max())
    own, expected = (hq.integrated_gradients(f, x, baseline=b, form=form, rule=rule) for f in (dense(case), case.model))
    size = float(np.max(np.abs(expected.values))) + float(np.sum(b**2))
    for name in ("values", "f_input", "f_baseline", "real_values"):
        assert_close(getattr(own, name), getattr(expected, name), 1e-9, size)
    assert own.assumptions.observables == ("DenseForm",)
    assert own.assumptions.baseline == expected.assumptions.baseline


@settings(max_examples=20)
@given(case=cases(3), imaginary=st.booleans(), rng=generators)
def test_a_sigmoid_head_on_a_dense_form_equals_the_model(case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    x = amplitudes(rng, case.features, imaginary=imaginary)
    head = hq.Head("sigmoid", scale=0.3)
    own, expected = (hq.integrated_gradients(f, x, baseline=0, head=head) for f in (dense(case), case.model))
    assert_close(own.values, expected.values, 1e-9, 1 + float(np.abs(expected.values).max()))


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=20)
@given(case=cases(3), imaginary=st.booleans(), rng=generators)
def test_other_methods_and_parts_of_a_dense_form_equal_the_model(
    form: Form, case: Case, imaginary: bool, rng: np.random.Generator
) -> None:
    x, own = amplitudes(rng, 2, case.features, imaginary=imaginary), dense(case)
    b, size = 1.5 * float(np.abs(x).max()), float(np.sum(np.abs(x) ** 2)) + 3 * case.features * float(np.abs(x).max()) ** 2
    assert_close(quadratic_value(own, x), case.model.expectation(x), scale=size)
    assert_close(other_methods.diagonal(own), other_methods.diagonal(case.model), scale=size)
    for one in (other_methods.gradient, other_methods.gradient_times_input):
        assert_close(one(own, x, form=form), one(case.model, x, form=form), scale=1 + size)
    for two in (other_methods.occlusion, other_methods.shapley):
        assert_close(two(own, x, baseline=b, form=form), two(case.model, x, baseline=b, form=form), scale=1 + size)
    parts, expected = (decomposition.split_population(f, hq.integrated_gradients(f, x, baseline=b)) for f in (own, case.model))
    assert_close(parts.population, expected.population, scale=size)
    assert_close(parts.interference, expected.interference, scale=size)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=20)
@given(case=cases(3), imaginary=st.booleans(), rng=generators)
def test_faithfulness_of_a_dense_form_equals_the_model(
    form: Form, case: Case, imaginary: bool, rng: np.random.Generator
) -> None:
    x = amplitudes(rng, 3, case.features, imaginary=imaginary)
    maps = rng.normal(size=x.shape)
    scores = [faithfulness.score_of(f, form=form) for f in (dense(case), case.model)]
    size = 1 + float(np.sum(np.abs(x) ** 2))
    own, expected = (faithfulness.infidelity(score, x, maps, reference=0, seed=1) for score in scores)
    assert_close(own, expected, 1e-9, float(np.max(expected)) + size)
    own, expected = (score(x) for score in scores)
    assert_close(own, expected, scale=size)


def test_a_dense_form_needs_a_model_for_circuits_observables_and_float32() -> None:
    form = DenseForm(np.diag([1.0, -1.0]))
    with pytest.raises(ValueError, match="observables and estimator need a Model, which has a circuit, not DenseForm"):
        hq.integrated_gradients(form, [1, 0], baseline=0, estimator=hq.ResolvedHadamardTest(), engine=hq.qsim(seed=1), shots=10)
    with pytest.raises(ValueError, match="observables and estimator need a Model"):
        hq.integrated_gradients(form, [1, 0], baseline=0, observables=[])
    with pytest.raises(ValueError, match="precision='float32' needs a Model, not DenseForm; use precision='float64'"):
        hq.integrated_gradients(form, [1, 0], baseline=0, precision="float32")


@pytest.mark.filterwarnings("error")
def test_identity_part_of_a_dense_form_warns() -> None:
    with pytest.warns(hq.IdentityPartWarning, match="the observable DenseForm has identity part 0.5"):
        hq.integrated_gradients(DenseForm(np.diag([1.0, 0.0])), [1, 0], baseline=0)
