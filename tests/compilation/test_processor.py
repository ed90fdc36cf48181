"""Processors: calibrations of both generations, gate sets, durations, and fidelities predicted by hand."""

from __future__ import annotations

import json
from typing import Any

import cirq
import cirq_google as cg
import numpy as np
import pytest
import sympy
from cirq_google.api import v2

from hattriq_cirq.compilation.gatesets import gateset_name
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.compilation.snapshot import load_processor

DEVICE = cg.engine.create_device_from_processor_id("willow_pink")
WILLOW = load_processor("willow_pink")
A, B, C, D = cirq.GridQubit.square(2, 5, 5)
TODAY = {
    "single_qubit_p00_error": "zero_error",
    "single_qubit_p11_error": "one_error",
    "single_qubit_rb_pauli_error_per_gate": "sq_rb_pauli_error",
    "two_qubit_parallel_cz_gate_xeb_pauli_error_per_cycle": "cz_inferred_gate_error_pauli",
}
Metrics = dict[str, dict[tuple[Any, ...], list[Any]]]


def bundled(name: str = "willow_pink") -> Metrics:
    """Return the metrics of a median calibration, which tests may change."""
    calibration = cg.engine.load_median_device_calibration(name)
    return {metric: {tuple(key): list(values) for key, values in calibration[metric].items()} for metric in calibration}


def calibration_of(metrics: Metrics) -> cg.Calibration:
    return cg.Calibration(calibration=v2.metrics_pb2.MetricsSnapshot(), metrics=metrics)


def made(metrics: Metrics, gateset: str | None = None) -> Processor:
    return Processor.from_calibration("p", DEVICE, calibration_of(metrics), "s", gateset=gateset)


@pytest.mark.parametrize("names", [{}, TODAY], ids=["bundled", "today's"])
def test_metric_names_of_both_generations_are_read(names: dict[str, str]) -> None:
    metrics = bundled()
    processor = made({names.get(metric, metric): values for metric, values in metrics.items()})
    assert processor.missing == ()
    assert (processor.id, processor.snapshot, gateset_name(processor.gateset)) == ("p", "s", "cz")
    assert len(processor.two_qubit_errors) == processor.graph.number_of_edges() == 182
    for q in processor.graph:
        e0, e1 = (metrics[f"single_qubit_{which}_error"][(q,)][0] for which in ("p00", "p11"))
        assert processor.readout_errors[q] == (e0, e1)
        assert processor.one_qubit_errors[q] == metrics["single_qubit_rb_pauli_error_per_gate"][(q,)][0]
        assert processor.t1_ns[q] == 1000 * metrics["single_qubit_idle_t1_micros"][(q,)][0]
    for pair, values in metrics["two_qubit_parallel_cz_gate_xeb_pauli_error_per_cycle"].items():
        assert processor.two_qubit_errors[frozenset(pair)] == values[0]


def test_missing_values_are_the_median_and_listed() -> None:
    metrics = bundled()
    errors, rates = metrics["single_qubit_p11_error"], metrics["two_qubit_parallel_cz_gate_xeb_pauli_error_per_cycle"]
    del errors[(A,)]
    errors[(B,)] = [float("nan")]
    pair = next(iter(rates))
    del rates[pair]
    processor = made(metrics)
    known = [values[0] for key, values in errors.items() if key != (B,)]
    assert processor.readout_errors[A][1] == processor.readout_errors[B][1] == np.median(known)
    assert processor.two_qubit_errors[frozenset(pair)] == np.median([values[0] for values in rates.values()])
    assert processor.missing == (
        "e1: 2 of 105 are the median of the others",
        "two_qubit_errors of cz: 1 of 182 are the median of the others",
    )


def test_metric_without_any_value_is_empty_and_listed() -> None:
    metrics = bundled()
    del metrics["single_qubit_idle_t1_micros"]
    processor = made(metrics)
    assert processor.t1_ns == {}
    assert processor.missing == ("t1_ns: the calibration has none; they count as no error",)
    idle = cirq.Circuit(cirq.X(A), cirq.WaitGate(cirq.Duration(micros=9))(A), cirq.X(A))
    assert processor.fidelity(idle) == pytest.approx((1 - processor.one_qubit_errors[A]) ** 2, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "asked", "got", "pairs"),
    [
        ("willow_pink", None, "cz", 182),
        ("weber", None, "sycamore", 86),
        ("rainbow", None, "sycamore", 32),
        ("weber", "sqrt_iswap", "sqrt_iswap", 86),
        ("weber", "cz", "cz", 0),
    ],
)
def test_default_gate_set_is_the_first_with_calibrated_errors(name: str, asked: str | None, got: str, pairs: int) -> None:
    processor = load_processor(name, asked)
    assert gateset_name(processor.gateset) == got
    assert len(processor.two_qubit_errors) == pairs
    says = "two_qubit_errors of cz: the calibration has none; they count as no error"
    assert (says in processor.missing) == (pairs == 0)


def test_unknown_processor_gate_set_or_gate_is_rejected() -> None:
    with pytest.raises(ValueError, match="'willow' must be one of willow_pink, weber, rainbow"):
        load_processor("willow")
    with pytest.raises(ValueError, match="gateset='sycamore' is not one of willow_pink, which has cz"):
        load_processor("willow_pink", "sycamore")
    with pytest.raises(ValueError, match=r"must be cirq\.GridDeviceMetadata"):
        Processor.from_calibration("p", cirq.UNCONSTRAINED_DEVICE, calibration_of(bundled()), "s")
    with pytest.raises(ValueError, match="is no gate of willow_pink; compile the circuit first"):
        WILLOW.duration_ns(cirq.Circuit(cirq.CNOT(A, B)))


def test_duration_is_the_sum_of_the_longest_gate_of_each_moment() -> None:
    circuit = cirq.Circuit(
        cirq.Moment(cirq.X(A), cirq.CZ(C, D)),  # 42 ns
        cirq.Moment(cirq.PhasedXZGate(x_exponent=sympy.Symbol("t"), z_exponent=0, axis_phase_exponent=0)(A)),  # 25 ns
        cirq.Moment(cirq.Z(A) ** 0.3),  # virtual: 0 ns
        cirq.Moment((cirq.Z(A) ** 0.3).with_tags(cg.PhysicalZTag())),  # 22 ns
        cirq.Moment(cirq.WaitGate(cirq.Duration(nanos=7))(A)),
        cirq.Moment(cirq.measure(A, B, key="z")),
    )
    assert WILLOW.duration_ns(circuit) == WILLOW.duration_ns(circuit.freeze()) == 42 + 25 + 0 + 22 + 7


@pytest.mark.parametrize(
    ("gate", "ns"), [(cirq.CZ, 32.0), (cg.SYC, 12.0), (cirq.ISWAP**0.5, 32.0), (cirq.ISWAP**-0.5, 32.0)], ids=str
)
def test_zero_duration_of_a_physical_gate_is_replaced(gate: cirq.Gate, ns: float) -> None:
    """The specification of weber states 0 ns for a CZ and 4 ms for a measurement."""
    a, b = next(iter(load_processor("weber").graph.edges))
    assert load_processor("weber").duration_ns(cirq.Circuit(gate(a, b), cirq.X(a), cirq.measure(a, b))) == ns + 25


def test_fidelity_is_the_product_over_gates_readout_and_idling() -> None:
    circuit = cirq.Circuit(
        cirq.Moment(cirq.X(A), cirq.X(B), cirq.X(C)),  # 0 to 25 ns
        cirq.Moment(cirq.CZ(A, B)),  # 25 to 67 ns: C idles for 42
        cirq.Moment(cirq.Y(A), cirq.Z(B) ** 0.3, cirq.I(C)),  # 67 to 92 ns: B and C idle for 25
        cirq.Moment(cirq.CZ(B, D)),  # 92 to 134 ns: A and C idle for 42, D begins
        cirq.Moment(cirq.measure(A, B, key="z")),
    )
    one, two, t1 = WILLOW.one_qubit_errors, WILLOW.two_qubit_errors, WILLOW.t1_ns
    wanted = (1 - one[A]) ** 2 * (1 - one[B]) * (1 - one[C]) * (1 - two[frozenset((A, B))]) * (1 - two[frozenset((B, D))])
    wanted *= (1 - sum(WILLOW.readout_errors[A]) / 2) * (1 - sum(WILLOW.readout_errors[B]) / 2)
    wanted *= np.exp(-42 / (2 * t1[A])) * np.exp(-25 / (2 * t1[B])) * np.exp(-(42 + 25 + 42) / (2 * t1[C]))
    assert WILLOW.fidelity(circuit) == pytest.approx(wanted, rel=1e-12)
    assert WILLOW.fidelity(cirq.Circuit()) == 1


def test_idle_factor_is_the_pauli_error_of_relaxation() -> None:
    t1 = WILLOW.t1_ns[A]
    bare = cirq.Circuit(cirq.X(A))
    waiting = bare + cirq.Circuit(cirq.WaitGate(cirq.Duration(nanos=500))(A))
    lost = 1 - WILLOW.fidelity(waiting) / WILLOW.fidelity(bare)
    assert lost == pytest.approx(cirq.qis.pauli_error_from_t1(500, t1), rel=0.01)


def test_predicted_fidelity_agrees_with_google_noise_model() -> None:
    rng = np.random.default_rng(1)
    noise = cg.NoiseModelFromGoogleNoiseProperties(cg.engine.load_device_noise_properties("willow_pink"))
    ratios = []
    for a, b in list(WILLOW.graph.edges)[:60:12]:
        c = next(q for q in WILLOW.graph[b] if q != a)
        circuit = cirq.Circuit()
        for pair in [(a, b), (b, c)] * 8:
            circuit.append(cirq.Moment(cirq.PhasedXPowGate(phase_exponent=rng.uniform(), exponent=0.5).on(q) for q in pair))
            circuit.append(cirq.Moment(cirq.CZ(*pair)))
        rho = cirq.DensityMatrixSimulator().simulate(circuit.with_noise(noise), qubit_order=[a, b, c]).final_density_matrix
        state = circuit.final_state_vector(qubit_order=[a, b, c])
        ratios.append((state.conj() @ rho @ state).real / WILLOW.fidelity(circuit))
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(ratios, 1, rtol=0, atol=0.15)


def test_description_is_json() -> None:
    described = json.loads(json.dumps(WILLOW.describe()))
    assert described["snapshot"] == "median 2024-08-16T08:11:17+00:00"
    assert (described["qubits"], described["couplers"], described["gateset"]) == (105, 182, "cz")
    assert described["median_two_qubit_error"] == pytest.approx(0.0034, abs=1e-4)
    assert load_processor("weber", "cz").describe()["median_two_qubit_error"] is None
