"""Integrated gradients against the oracle, and the axioms of attribution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import (
    KINDS,
    Array,
    Case,
    amplitudes,
    assert_agrees,
    assert_close,
    cases,
    clearance,
    generators,
    random_case,
    random_observable,
    references,
)

from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.attribution.objective import Head
from hattriq_cirq.attribution.path_integral import CompletenessWarning, NearOriginWarning
from hattriq_cirq.foundation import parts
from hattriq_cirq.models.ansatz import ring_ansatz
from hattriq_cirq.models.model import Form, IdentityPartWarning, Model
from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients
from hattriq_cirq.simulation import statevector
from hattriq_cirq.simulation.statevector import Precision

FORMS: tuple[Form, ...] = ("quadratic", "normalized")
pytestmark = pytest.mark.usefixtures("gate_by_gate")
RULES = ("exact", "riemann:3", "midpoint:4", "trapezoid:3", "gauss-legendre:3")
ignore_identity = pytest.mark.filterwarnings("ignore::hattriq_cirq.models.model.IdentityPartWarning")


# against the oracle


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=30)
@given(
    case=cases(),
    kind=st.sampled_from(KINDS),
    lead=st.sampled_from([(), (1,), (3,), (2, 2)]),
    imaginary=st.tuples(st.booleans(), st.booleans()),
    rng=generators,
)
def test_integrated_gradients_equal_oracle(
    form: Form,
    rule: str,
    case: Case,
    kind: str,
    lead: tuple[int, ...],
    imaginary: tuple[bool, bool],
    rng: np.random.Generator,
) -> None:
    if form == "normalized" and kind == "zero":
        kind = "constant"
    xs = amplitudes(rng, *lead, case.features, imaginary=imaginary[0])
    baseline, bs = references(kind, rng, xs, imaginary[1])
    assume(form == "quadratic" or clearance(xs, bs) > 0.1)
    a = integrated_gradients(case.model, xs, baseline=baseline, form=form, rule=rule, tolerance=1e-12)
    assert_agrees(a, case.oracle(form), bs)


@ignore_identity
@pytest.mark.parametrize("form", FORMS)
@given(n_qubits=st.integers(1, 4), rng=generators)
def test_identity_part_is_attributed(form: Form, n_qubits: int, rng: np.random.Generator) -> None:
    case = random_case(n_qubits, int(rng.integers(10**6)), identity=True)
    x, b = amplitudes(rng, 2, case.features, imaginary=True)
    assume(form == "quadratic" or clearance(x, [b]) > 0.1)
    a = integrated_gradients(case.model, x, baseline=b, form=form, tolerance=1e-12)
    assert_agrees(a, case.oracle(form), [b])


def test_integrated_gradients_of_many_rows_use_the_matrix() -> None:
    case, rng = random_case(4, seed=8), np.random.default_rng(0)
    xs, model = amplitudes(rng, 2 * case.features, case.features, imaginary=True), case.model
    assert_agrees(integrated_gradients(model, xs, baseline=xs[::-1].copy()), case.oracle(), [xs[::-1]])
    assert model.keeps_matrix


@pytest.mark.parametrize("qsim_from", [1, 99])
@pytest.mark.parametrize("form", FORMS)
@given(case=cases(), imaginary=st.booleans(), rng=generators)
def test_single_precision_is_accurate_to_five_digits(
    form: Form, qsim_from: int, case: Case, imaginary: bool, rng: np.random.Generator
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statevector, "QSIM_FROM", qsim_from)
        xs = amplitudes(rng, 2, case.features, imaginary=imaginary)
        xs[:, 0] = np.abs(xs[:, 0])  # the path from a positive baseline stays away from the origin
        b = np.full(case.features, 1.5 * np.abs(xs).max())
        a = integrated_gradients(case.model, xs, baseline=b, form=form, precision="float32")
        size = max(1.0, float(np.abs(a.values).max())) if form == "normalized" else float(np.sum(b**2))
        assert_agrees(a, case.oracle(form), [b], 1e-5, size)
        assert a.assumptions.precision == "float32"


def test_eighteen_qubits_agree_in_both_precisions() -> None:
    rng, plain = np.random.default_rng(0), ring_ansatz(18, 1)
    model = plain.with_params({name: rng.uniform(0, 6) for name in plain.params})
    x = amplitudes(rng, 2**18) + 0.1
    double, single = (
        integrated_gradients(model, x, baseline=0.05, precision=precision) for precision in ("float64", "float32")
    )
    assert_close(double.completeness_gap, 0.0, 1e-12, float(np.sum(x**2)))
    assert_close(single.values, double.values, 1e-5)


# axioms


@pytest.mark.parametrize("form", FORMS)
@given(case=cases(), imaginary=st.booleans(), rng=generators)
def test_completeness(form: Form, case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    x, b = amplitudes(rng, 2, case.features, imaginary=imaginary)
    a = integrated_gradients(case.model, x, baseline=b, form=form)
    judge = case.oracle(form)
    assert_close(a.values.sum(), judge.score(x) - judge.score(b), 1e-9, np.abs(a.values).max())
    assert abs(a.completeness_gap) <= 1e-9 * np.abs(a.values).max()


@settings(max_examples=12)
@given(case=cases(most_qubits=3), kind=st.sampled_from(KINDS), imaginary=st.booleans(), rng=generators)
def test_quadratic_map_is_the_shapley_value_for_every_baseline(
    case: Case, kind: str, imaginary: bool, rng: np.random.Generator
) -> None:
    x = amplitudes(rng, case.features, imaginary=imaginary)
    baseline, bs = references(kind, rng, x, imaginary)
    expected = np.mean([case.oracle().shapley(x, b) for b in bs], axis=0)
    values = integrated_gradients(case.model, x, baseline=baseline).values
    assert_close(values, expected, 1e-11, float(np.sum(np.abs(x) ** 2 + np.abs(bs[0]) ** 2)))


@pytest.mark.parametrize("form", FORMS)
@given(case=cases(), imaginary=st.booleans(), rng=generators)
def test_single_changed_feature_has_all_attribution(form: Form, case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    x = amplitudes(rng, case.features, imaginary=imaginary)
    b, k = x.copy(), int(rng.integers(case.features))
    b[k] *= 3
    judge = case.oracle(form)
    expected = np.where(np.arange(case.features) == k, judge.score(x) - judge.score(b), 0)
    values = integrated_gradients(case.model, x, baseline=b, form=form).values
    assert_close(values, expected, 1e-9, float(np.max(np.abs(judge.gradient(x) * x)) + np.abs(expected).max()))


@pytest.mark.parametrize("form", FORMS)
@given(case=cases(), rng=generators)
def test_linearity_in_the_observable(form: Form, case: Case, rng: np.random.Generator) -> None:
    x, b = amplitudes(rng, 2, case.features, imaginary=True)
    other = random_observable(case.qubits, rng)

    def values(observable: cirq.PauliSum) -> Array:
        return integrated_gradients(case.model.with_observable(observable), x, baseline=b, form=form).values

    first, second = values(case.observable), values(other)
    together = values(0.5 * case.observable - 3 * other)
    assert_close(together, 0.5 * first - 3 * second, 1e-8, max(np.abs(first).max(), np.abs(second).max()))


@given(n_qubits=st.integers(2, 5), imaginary=st.booleans(), rng=generators)
def test_feature_without_influence_has_zero_attribution(n_qubits: int, imaginary: bool, rng: np.random.Generator) -> None:
    """(Z_0 + Z_1) / 2 is 0 if the first two bits differ, for every state of the other qubits."""
    inner = random_case(max(n_qubits - 2, 1), int(rng.integers(10**6)))
    a, b = cirq.NamedQubit.range(2, prefix="first")
    circuit = inner.circuit + cirq.CZ(a, inner.qubits[0]) ** 0.3 + cirq.T(b)
    model = Model(circuit, [a, b, *inner.qubits], 0.5 * cirq.Z(a) + 0.5 * cirq.Z(b))
    x, base = amplitudes(rng, 2, model.n_features, imaginary=imaginary)
    blocks = integrated_gradients(model, x, baseline=base).values.reshape(4, -1)
    assert_close(blocks[1:3], np.zeros_like(blocks[1:3]), 1e-13, np.abs(blocks).max())
    assert np.abs(blocks[[0, 3]]).min() > 0


@pytest.mark.parametrize("form", FORMS)
@given(case=cases(), rng=generators)
def test_feature_equal_to_the_baseline_has_zero_attribution(form: Form, case: Case, rng: np.random.Generator) -> None:
    x, b = amplitudes(rng, 2, case.features, imaginary=True)
    b[::2] = x[::2]
    values = integrated_gradients(case.model, x, baseline=b, form=form).values
    np.testing.assert_array_equal(values[::2], 0)


@pytest.mark.parametrize("form", FORMS)
@given(case=cases(), imaginary=st.booleans(), rng=generators)
def test_swapped_input_and_baseline_change_the_sign(form: Form, case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    x, b = amplitudes(rng, 2, case.features, imaginary=imaginary)
    there = integrated_gradients(case.model, x, baseline=b, form=form).values
    back = integrated_gradients(case.model, b, baseline=x, form=form).values
    assert_close(back, -there, 1e-9)


@settings(max_examples=10)
@given(case=cases(most_qubits=4), imaginary=st.booleans(), rng=generators)
def test_recompiled_circuit_has_the_same_map(case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    x, b = amplitudes(rng, 2, case.features, imaginary=imaginary)
    compiled = cirq.optimize_for_target_gateset(case.circuit, gateset=cirq.CZTargetGateset())
    assert compiled != case.circuit
    values = [
        integrated_gradients(Model(c, case.qubits, case.observable), x, baseline=b).values for c in (case.circuit, compiled)
    ]
    assert_close(values[1], values[0], 1e-6)


@pytest.mark.parametrize("form", FORMS)
@given(case=cases(), rng=generators)
def test_permutation_of_features_permutes_the_map(form: Form, case: Case, rng: np.random.Generator) -> None:
    x, b = amplitudes(rng, 2, case.features, imaginary=True)
    n = len(case.qubits)
    values = integrated_gradients(case.model, x, baseline=b, form=form).values
    flipped = [axis for axis in range(n) if rng.integers(2)]
    order = rng.permutation(n)
    turned = cirq.Circuit(cirq.X(case.qubits[axis]) for axis in flipped) + case.circuit
    shuffled = [case.qubits[axis] for axis in order]

    def flip(a: Array) -> Array:
        return np.flip(a.reshape((2,) * n), tuple(flipped)).ravel()

    def shuffle(a: Array) -> Array:
        return a.reshape((2,) * n).transpose(order).ravel()

    for model, move in (
        (Model(turned, case.qubits, case.observable), flip),
        (Model(case.circuit, shuffled, case.observable), shuffle),
    ):
        moved = integrated_gradients(model, move(x), baseline=move(b), form=form).values
        assert_close(moved, move(values), 1e-9)


@pytest.mark.parametrize("form", FORMS)
@given(case=cases(), phase=st.floats(0, 6.3), factor=st.floats(0.1, 10), rng=generators)
def test_global_phase_and_scaling_of_the_input(
    form: Form, case: Case, phase: float, factor: float, rng: np.random.Generator
) -> None:
    x, b = amplitudes(rng, 2, case.features, imaginary=True)
    c = factor * np.exp(1j * phase)
    values = integrated_gradients(case.model, x, baseline=b, form=form).values
    scaled = integrated_gradients(case.model, c * x, baseline=c * b, form=form).values
    assert_close(scaled, values * (factor**2 if form == "quadratic" else 1), 1e-9)


# the normalized form and the origin


@pytest.mark.parametrize("baseline", [0.0, np.zeros(8), -0.5, -np.ones(8)])
def test_normalized_path_through_the_origin_is_rejected(baseline: Any) -> None:
    model, x = random_case(3, seed=3).model, np.ones((2, 8))
    with pytest.raises(ValueError, match=r"x\[0\] passes through the origin.*diverge like log\(1/eps\)"):
        integrated_gradients(model, x, baseline=baseline, form="normalized")
    assert integrated_gradients(model, x, baseline=baseline, form="quadratic").values.shape == (2, 8)


def test_row_with_a_path_through_the_origin_is_named() -> None:
    x = np.eye(4)
    with pytest.raises(ValueError, match=r"to x\[2\] passes through the origin"):
        integrated_gradients(random_case(2, seed=3).model, x, baseline=[0, 0, -2, 0], form="normalized")


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_normalized_map_does_not_depend_on_scale(factor: float) -> None:
    case, rng = random_case(2, seed=5), np.random.default_rng(2)
    x = np.array([0.6, -0.4, 0.5, 0.1])
    b = 0.2 * rng.normal(size=4) - 2 * x  # past the origin at a tenth of the length
    a = integrated_gradients(case.model, factor * x, baseline=factor * b, form="normalized")
    assert_agrees(a, case.oracle("normalized"), [factor * b], 1e-9)


@pytest.mark.filterwarnings("ignore::hattriq_cirq.attribution.path_integral.NearOriginWarning")
@pytest.mark.parametrize("distance", [1e-2, 1e-5])
@given(case=cases(least_qubits=2), rng=generators)
def test_normalized_path_close_to_the_origin_is_exact(distance: float, case: Case, rng: np.random.Generator) -> None:
    x = amplitudes(rng, case.features)
    x /= np.linalg.norm(x)
    aside = np.roll(x, 1) - np.vdot(np.roll(x, 1), x) * x
    x = x + distance * aside / np.linalg.norm(aside)
    b = x - (1 + rng.uniform(0.3, 1)) * (x - distance * aside / np.linalg.norm(aside))
    a = integrated_gradients(case.model, x, baseline=b, form="normalized")
    assert abs(a.completeness_gap) < 1e-7
    assert_agrees(a, case.oracle("normalized"), [b], 1e-6)


# identity part of the observable


def test_projector_observable_gives_identity_part_warning() -> None:
    rng = np.random.default_rng(0)
    x = rng.exponential(size=64) ** 2  # a few bright pixels on a dark ground
    plain, likeness = ring_ansatz(6, 4), []
    for _ in range(20):
        untrained = plain.with_params({name: rng.uniform(0, 2 * np.pi) for name in plain.params})
        projector = untrained.with_observable(0.5 + 0.5 * cirq.Z(plain.qubits[0]))
        with pytest.warns(IdentityPartWarning, match=r"identity part 0\.5, .*model\.traceless\(\)"):
            projected = integrated_gradients(projector, x, baseline=0)
        signed = integrated_gradients(projector.traceless(), x, baseline=0)
        likeness.append([np.corrcoef(a.values, x**2)[0, 1] for a in (projected, signed)])
    of_projector, of_traceless = np.median(likeness, axis=0)
    assert of_projector > 0.9
    assert abs(of_traceless) < 0.3


def test_normalized_map_has_no_identity_part_and_no_warning() -> None:
    case, rng = random_case(3, seed=4, identity=True), np.random.default_rng(1)
    x, b = amplitudes(rng, 2, 8, imaginary=True)
    with_part, without = (
        integrated_gradients(m, x, baseline=b, form="normalized").values for m in (case.model, case.model.traceless())
    )
    assert_close(with_part, without, 1e-9)


# invalid arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.ones((2, 5))}, r"x.shape=\(2, 5\) must end in .* 8"),
        ({"x": np.full(8, np.nan)}, r"x\[0\] = nan is not finite"),
        ({"baseline": np.ones(3)}, r"baseline.shape=\(3,\) must broadcast to x.shape=\(2, 8\)"),
        ({"baseline": np.ones((4, 2, 8))}, "must broadcast"),
        ({"baseline": np.inf}, "baseline.* is not finite"),
        ({"baseline": BaselineSet(np.ones((2, 4)))}, r"baseline.rows.shape=\(2, 4\) must end in .* 8"),
        ({"rule": "simpson:4"}, "rule='simpson:4' must be"),
        ({"form": "cubic"}, "form='cubic' must be"),
        ({"form": "normalized", "baseline": 1.0, "tolerance": 0.0}, "tolerance=0.0 must be positive"),
        ({"precision": "half"}, "precision='half' must be"),
    ],
)
def test_invalid_arguments_are_rejected(arguments: dict[str, Any], message: str) -> None:
    valid: dict[str, Any] = {"x": np.eye(8)[:2], "baseline": 0}
    with pytest.raises(ValueError, match=message):
        integrated_gradients(random_case(3, seed=1).model, **(valid | arguments))


@pytest.mark.parametrize("ratio", [1e-6, 1e-3, 0.9e-2])
def test_normalized_path_near_the_origin_gives_a_warning_with_its_distance(ratio: float) -> None:
    case, x = random_case(2, seed=5), np.array([0.6, -0.4, 0.5, 0.1])
    distance, condition = (f"{number:.1e}".replace("+", r"\+") for number in (ratio * np.linalg.norm(x), 1 / ratio))
    with pytest.warns(NearOriginWarning, match=rf"x\[0\] comes within {distance} of .*condition number {condition}"):
        integrated_gradients(case.model, x, baseline=ratio * x, form="normalized")
    with pytest.warns(NearOriginWarning, match=r"x\[1\] comes within .*; 1 of 2 inputs come close"):
        integrated_gradients(case.model, [np.ones(4), -x], baseline=x + 2 * ratio * np.roll(x, 1), form="normalized")
    integrated_gradients(case.model, x, baseline=0.02 * x, form="normalized")
    integrated_gradients(case.model, x, baseline=ratio * x, form="quadratic")


@pytest.mark.parametrize(("precision", "scale"), [("float64", 1e17), ("float32", 1e8)])
def test_values_that_rounding_decides_give_completeness_warning(precision: Precision, scale: float) -> None:
    """A path along a decision boundary, where the sum is right whatever the values are."""
    q = cirq.LineQubit(0)
    model = Model(cirq.Circuit(cirq.ry(0.3)(q)), [q], 1.0 * cirq.Z(q))
    x = cirq.unitary(cirq.ry(-0.3))[:, 0].real + cirq.unitary(cirq.ry(-0.3))[:, 1].real
    head = Head("sigmoid", scale)
    with pytest.warns(CompletenessWarning, match=r"rounding changes feature \d of input 0 by about .*lower the head's scale"):
        integrated_gradients(model, 1.3 * x, baseline=0.7 * x, head=head, precision=precision)
    integrated_gradients(model, [1.3, 0.2], baseline=[0.1, 0.9], head=head, precision=precision)


def test_empty_batch_has_an_empty_attribution() -> None:
    for form in ("quadratic", "normalized"):
        assert integrated_gradients(ring_ansatz(2, 1), np.zeros((0, 4)), baseline=0.1, form=form).values.shape == (0, 4)


# large batches


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("imaginary", [False, True])
def test_large_batch_is_the_same_bit_for_bit_on_any_number_of_threads(
    form: Form, imaginary: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(parts, "PART", 3 * 16)
    case, rng = random_case(4, seed=8), np.random.default_rng(0)
    xs = amplitudes(rng, 50, case.features, imaginary=imaginary)
    settings: dict[str, Any] = {"baseline": xs[::-1] + 3.0, "form": form}
    found = [integrated_gradients(case.model, xs, workers=workers, **settings) for workers in (1, 2, 3, None)]
    assert_agrees(found[0], case.oracle(form), [xs[::-1] + 3.0])
    np.save(tmp_path / "x.npy", xs)
    found.append(integrated_gradients(case.model, np.load(tmp_path / "x.npy", mmap_mode="r"), **settings))
    for a in found[1:]:
        assert replace(a, provenance=found[0].provenance) == found[0]
    assert isinstance(found[-1].values, np.memmap)
    assert isinstance(found[-1].x, np.memmap)
    single = [integrated_gradients(case.model, x, baseline=b, form=form) for x, b in zip(xs, xs[::-1] + 3.0, strict=True)]
    assert_close(found[0].values, [a.values for a in single])


def test_messages_name_the_input_of_a_large_batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(parts, "PART", 3 * 4)
    model, x = random_case(2, seed=3).model, np.random.default_rng(0).uniform(1, 2, size=(20, 4))
    for row, baseline, error in ((17, -1.0, "passes through the origin"), (11, -1.001, "comes within")):
        changed = x.copy()
        changed[row] = -2 * baseline
        with pytest.raises((ValueError, NearOriginWarning), match=rf"x\[{row}\] {error}"):
            integrated_gradients(
                model, changed, baseline=np.array([1, 1, 1, 1 + 1e-3 * (row == 11)]) * baseline, form="normalized"
            )
    x[13, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    for inputs in (x, np.load(tmp_path / "x.npy", mmap_mode="r")):
        with pytest.raises(ValueError, match=r"x\[13, 2\] = nan is not finite"):
            integrated_gradients(model, inputs, baseline=0)


@pytest.mark.parametrize("shape", [(3, 4), (4,)])
def test_file_that_can_be_written_to_stays_writable_and_apart_from_the_result(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full(shape, 0.5))
    file = np.load(tmp_path / "x.npy", mmap_mode="r+")
    a = integrated_gradients(random_case(2, seed=3).model, file, baseline=0)
    file[:] = 2.0
    np.testing.assert_array_equal(a.x, np.full(shape, 0.5))


def test_file_of_other_numbers_is_attributed_and_its_inputs_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(parts, "PART", 3 * 4)
    model, x = random_case(2, seed=3).model, np.arange(80, dtype=np.int16).reshape(20, 4)
    np.save(tmp_path / "x.npy", x)
    file = np.load(tmp_path / "x.npy", mmap_mode="r+")
    a = integrated_gradients(model, file, baseline=0)
    file[:] = 0  # the result has its own copy
    assert (a.x.dtype.name, a.x.flags.writeable) == ("float64", False)
    assert np.array_equal(a.x, x)
    assert_close(a.values, integrated_gradients(model, x, baseline=0).values)


@pytest.mark.parametrize("workers", [0, 1.5, "2", True])
def test_number_of_threads_is_checked(workers: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="workers="):
        integrated_gradients(ring_ansatz(1, 0), [1, 0], baseline=0, workers=workers)
