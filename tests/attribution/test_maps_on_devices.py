"""Attributions on devices: the same maps as those of NumPy, which come home, or stay where the inputs lie."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from devices import DEVICES
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from strategies import Case, amplitudes, assert_close, cases, generators

import hattriq_cirq as hq
from hattriq_cirq.attribution.device_result import DeviceAttribution
from hattriq_cirq.foundation.devices import Device, DeviceError
from hattriq_cirq.foundation.rows import home

N_QUBITS = 3
#: Heads and forms; those of several observables take as many models.
SETTINGS: dict[str, dict[str, Any]] = {
    "quadratic": {},
    "normalized": {"form": "normalized"},
    "tanh": {"head": hq.Head("tanh", scale=3)},
    "linear": {"head": hq.Head("linear", weights=[1, 2, -1], bias=[0.5])},
    "softmax": {"head": hq.Head("softmax", scale=2, target=1), "form": "normalized"},
    "a class for each input": {"head": hq.Head("softmax", scale=2, target=[0, 2, 1, 1])},
    "riemann": {"rule": "riemann:5"},
    "midpoint of a head": {"rule": "midpoint:5", "head": hq.Head("sigmoid", scale=2)},
}
BASELINES = ("zero", "number", "row", "row for each input", "set")


def models_of(name: str) -> Any:
    rng = np.random.default_rng(5)
    names = ("Z0", "0.4*X1 + Z2", "Y0*Z1")[: 3 if name in ("linear", "softmax", "a class for each input") else 1]
    circuits = [hq.ring_ansatz(N_QUBITS, 2).with_observable(each) for each in names]
    models = [m.with_params({key: rng.normal() for key in m.params}) for m in circuits]
    return models if len(models) > 1 else models[0]


def baseline_of(kind: str, rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return {
        "zero": 0,
        "number": 0.3,
        "row": rng.normal(size=shape[-1]),
        "row for each input": rng.normal(size=shape),
        "set": hq.BaselineSet(rng.normal(size=(2, shape[-1]))),
    }[kind]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("imaginary", [False, True], ids=["real", "complex"])
def test_maps_equal_those_of_numpy(device: str, setting: str, imaginary: bool) -> None:
    rng, models, on = np.random.default_rng(1), models_of(setting), Device.of(device)
    x = amplitudes(rng, 4, 2**N_QUBITS, imaginary=imaginary)
    kinds = BASELINES if setting == "quadratic" else BASELINES[1:] if setting == "normalized" else BASELINES[3:]
    for kind in kinds:
        options = {"baseline": baseline_of(kind, rng, x.shape), **SETTINGS[setting]}
        expected = hq.integrated_gradients(models, x, **options)
        for precision, tolerance in (("float64", 1e-12), ("float32", 1e-5)):
            options["precision"] = precision
            there = hq.integrated_gradients(models, x, device=device, **options)
            stays = hq.integrated_gradients(models, on.asarray(x), **options)
            assert Device.holding(stays.values) == on
            for found in (there, stays.numpy()):  # type: ignore[attr-defined]
                assert_close(found.values, expected.values, tolerance)
                assert_close(found.f_input, expected.f_input, tolerance, scale=float(np.abs(expected.f_input).max()) + 1)
                assert_close(found.f_baseline, expected.f_baseline, tolerance, scale=float(np.abs(expected.values).sum()) + 1)
                assert (found.imag_values is None) == (expected.imag_values is None)
                assert found.assumptions.head == expected.assumptions.head
                assert (found.target is None) == (expected.target is None)


@pytest.mark.parametrize("device", DEVICES)
@given(case=cases(most_qubits=4), rng=generators, form=st.sampled_from(["quadratic", "normalized"]))
@examples(max_examples=20, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_maps_of_random_circuits_equal_those_of_numpy(device: str, case: Case, rng: np.random.Generator, form: Any) -> None:
    model = hq.Model(case.circuit, case.qubits, case.observable)
    x = amplitudes(rng, 2, model.n_features, imaginary=True)
    b = x + 0.3 * np.abs(x).max() * rng.normal(size=x.shape)
    found = hq.integrated_gradients(model, x, baseline=b, form=form, device=device)
    assert_close(found.values, hq.integrated_gradients(model, x, baseline=b, form=form).values, scale=model.observable_size + 1)


@pytest.mark.parametrize("device", DEVICES)
def test_values_come_back_in_kind(device: str) -> None:
    on, model = Device.of(device), models_of("quadratic")
    x = on.asarray(np.random.default_rng(0).normal(size=(2, 3, 8)))
    a = hq.integrated_gradients(model, x, baseline=0)
    assert isinstance(a, DeviceAttribution)
    assert {type(a.values), type(a.f_input)} == {type(x)}
    assert a.x is x
    assert tuple(a.values.shape) == (2, 3, 8)
    assert tuple(a.f_input.shape) == (2, 3)
    at_home = hq.integrated_gradients(model, home(x), baseline=0)
    assert a[0][1].top(2) == at_home[0][1].top(2)
    assert repr(a).splitlines()[4:6] == repr(at_home).splitlines()[4:6]
    assert a.card().title == at_home.card().title
    assert np.abs(a.completeness_gap).max() < 1e-12
    assert a[0].values.shape == (3, 8)
    assert len(a) == 2


@pytest.mark.parametrize("device", DEVICES)
def test_batch_is_cut_to_fit_the_memory(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on, model, x = Device.of(device), models_of("quadratic"), np.random.default_rng(0).normal(size=(9, 8))
    sizes, of_head = list[int](), hq.Model.action_of_rows

    def counted(self: hq.Model, rows: Any, **options: Any) -> Any:
        sizes.append(rows.shape[0])
        return of_head(self, rows, **options)

    monkeypatch.setattr(hq.Model, "action_of_rows", counted)
    monkeypatch.setattr(Device, "free_memory", lambda _: 4 * 8 * 8 * 8)
    found = [
        hq.integrated_gradients(model, x, baseline=0, device=device),
        hq.integrated_gradients(model, on.asarray(x), baseline=0).numpy(),  # type: ignore[attr-defined]
    ]
    assert sizes == [4, 4, 1] * 2
    for a in found:
        assert_close(a.values, hq.integrated_gradients(model, x, baseline=0).values)


@pytest.mark.parametrize("device", DEVICES)
def test_sizes_of_inputs_do_not_matter(device: str) -> None:
    on, model = Device.of(device), models_of("quadratic")
    x = np.random.default_rng(0).normal(size=(3, 8)) * [[1e100], [1.0], [1e-100]]
    expected = hq.integrated_gradients(model, x, baseline=0)
    for found in (
        hq.integrated_gradients(model, x, baseline=0, device=device),
        hq.integrated_gradients(model, on.asarray(x), baseline=0),
    ):
        values = home(found.values)
        assert_close(
            values / np.abs(expected.values).max(axis=1, keepdims=True),
            expected.values / np.abs(expected.values).max(axis=1, keepdims=True),
        )
    at_home = hq.integrated_gradients(model, x, baseline=0, device=device, precision="float32")
    assert_close(at_home.values / np.abs(expected.values), np.sign(expected.values), 1e-4)
    small = hq.integrated_gradients(model, x[1:2] * 1e15, baseline=0, device=device, precision="float32")
    assert_close(small.values, hq.integrated_gradients(model, x[1:2] * 1e15, baseline=0).values, 1e-5)
    with pytest.raises(ValueError, match=r"too large for a number of float32; divide"):
        hq.integrated_gradients(model, on.asarray(x[:1]), baseline=0, precision="float32")
    with pytest.raises(ValueError, match=r"takes at most 1\.2e\+18; divide"):
        hq.integrated_gradients(model, x[:1], baseline=0, device=device, precision="float32", head=hq.Head("tanh"))


@pytest.mark.parametrize("device", DEVICES)
def test_bad_inputs_are_refused(device: str) -> None:
    on, model, x = Device.of(device), models_of("quadratic"), np.ones((3, 8))
    for bad, message in (
        (np.where(np.arange(24).reshape(3, 8) == 13, np.nan, x), r"x\[1, 5\] = nan is not finite"),
        (x[:, :4], r"x.shape=\(3, 4\) must end in 2\*\*n_qubits = 8"),
    ):
        with pytest.raises(ValueError, match=message):
            hq.integrated_gradients(model, on.asarray(bad), baseline=0)
    with pytest.raises(ValueError, match=r"x lies on .*, where its map is computed, not on cpu; leave device out, or move x"):
        hq.integrated_gradients(model, on.asarray(x), baseline=0, device="cpu")
    with pytest.raises(ValueError, match=r"computes exact results; circuits run on the device of their engine"):
        hq.integrated_gradients(
            model, x, baseline=0, device=device, estimator=hq.ResolvedHadamardTest(), engine=hq.qsim(seed=1)
        )


@pytest.mark.parametrize("device", DEVICES)
def test_circuits_encode_a_copy_in_main_memory(device: str) -> None:
    x = np.random.default_rng(0).normal(size=8)
    settings: dict[str, Any] = {"estimator": hq.ResolvedHadamardTest(), "shots": 100}
    at_home, there = (
        hq.integrated_gradients(models_of("quadratic"), rows, baseline=0, engine=hq.cirq_simulator(seed=1), **settings)
        for rows in (x, Device.of(device).asarray(x))
    )
    assert type(there.values) is np.ndarray
    assert_close(there.values, at_home.values)


@pytest.mark.parametrize("device", DEVICES)
def test_learned_and_other_forms_are_attributed(device: str) -> None:
    class DiagonalForm:
        n_features, identity_part = 8, 0.0

        def observable_action(self, x: Any) -> Any:
            return np.arange(-3.5, 4) * x

    on, x = Device.of(device), np.random.default_rng(0).normal(size=(2, 8))
    expected = hq.integrated_gradients(DiagonalForm(), x, baseline=0.1)
    assert_close(hq.integrated_gradients(DiagonalForm(), x, baseline=0.1, device=device).values, expected.values)
    learned = hq.learn_observable(models_of("quadratic"), engine=hq.cirq_simulator(seed=1), shots=2000)
    measured = hq.integrated_gradients(learned, x, baseline=0)
    stays = hq.integrated_gradients(learned, on.asarray(x), baseline=0)
    assert Device.holding(stays.values) == on
    assert_close(home(stays.values), measured.values)
    assert_close(stays.stderr, measured.stderr)


def test_missing_gpu_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: Any) -> int:
        raise DeviceError("it sees no GPU")

    for library in ("_CuPy", "_PyTorch"):
        monkeypatch.setattr(f"hattriq_cirq.foundation.devices.{library}.count", none)
    with pytest.raises(DeviceError, match=r"no GPU was found: it sees no GPU.*hattriq_cirq\[gpu\].*device='cpu' needs neither"):
        hq.integrated_gradients(models_of("quadratic"), np.ones(8), baseline=0, device="cuda")
    with pytest.raises(ValueError, match=r"device='gpu' must be 'cpu', or a GPU, 'cuda' or 'cuda:1'"):
        hq.integrated_gradients(models_of("quadratic"), np.ones(8), baseline=0, device="gpu")


@pytest.mark.gpu
def test_28_qubits_fit_in_single_precision() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, on = hq.ring_ansatz(28, 1), Device.of("cuda")
    x = on.xp.full((2**28,), 2.0**-14, dtype=on.xp.complex64, device=on.asarray(np.zeros(1)).device)
    a = hq.integrated_gradients(model, x, baseline=0, precision="float32")
    assert abs(float(a.f_input) - float(on.xp.sum(a.values))) < 1e-3
