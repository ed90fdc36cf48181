"""Folding and twirling with the native gates of every processor, and with any other gate: the same results, smaller errors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, reduce

import cirq
import numpy as np
import pytest
import sympy
from cirq.transformers.gauge_compiling import CZGaugeTransformer
from cirq.transformers.gauge_compiling.gauge_compiling import ConstantGauge, GaugeSelector
from oracle import distribution
from strategies import Array

import hattriq_cirq as hq
from calibration.gates.folding import fold
from calibration.gates.mitigations import PauliTwirling, ZeroNoiseExtrapolation
from calibration.gates.pauli_twirling import twirl
from calibration.sequence import MitigationSequence
from hattriq_cirq.circuits.local_gates import averaged_over_gauges, gauges, own_inverse
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.gatesets import compile_to_gateset, gateset
from hattriq_cirq.execution import Engine
from hattriq_cirq.pipeline.mitigation import Mitigation

SYCAMORE = cirq.FSimGate(np.pi / 2, np.pi / 6)
NATIVE = {"cz": cirq.CZ, "sqrt_iswap": cirq.SQRT_ISWAP, "sycamore": SYCAMORE}
TURN = cirq.PhasedXZGate(x_exponent=0.3, z_exponent=0.2, axis_phase_exponent=0.1)
GATES = [
    *NATIVE.values(),
    cirq.SQRT_ISWAP_INV,
    cirq.ISWAP,
    cirq.CNOT,
    cirq.SWAP,
    cirq.CZ**0.3,
    cirq.XXPowGate(exponent=0.3),
    cirq.FSimGate(0.3, 0.7),
    cirq.PhasedISwapPowGate(phase_exponent=0.2, exponent=0.3),
    cirq.ControlledGate(TURN),
    cirq.MatrixGate(cirq.testing.random_unitary(4, random_state=1)),
    cirq.CCZ,
    cirq.CSWAP,
    cirq.X.controlled(3),
]
#: Every processor and gate set that has calibrated errors.
PROCESSORS = [
    ("willow_pink", "cz"),
    ("weber", "sycamore"),
    ("weber", "sqrt_iswap"),
    ("rainbow", "sycamore"),
    ("rainbow", "sqrt_iswap"),
]
every_gate = pytest.mark.parametrize("gate", GATES, ids=str)
every_native_gate = pytest.mark.parametrize("name", NATIVE)


def overlap(first: Array, second: Array) -> float:
    """Return 1 if two unitary matrices are the same up to a phase."""
    return float(abs(np.vdot(first, second)) / len(first))


def native_circuit(name: str, seed: int) -> cirq.FrozenCircuit:
    """Return a random circuit on three qubits, compiled to a gate set."""
    qubits = cirq.LineQubit.range(3)
    domain = {cirq.CNOT: 2, cirq.ISWAP**0.3: 2, cirq.H: 1, cirq.T: 1, TURN: 1, cirq.Y**0.7: 1}
    circuit = cirq.testing.random_circuit(qubits, 7, 0.9, domain, random_state=seed)
    compiled = cirq.Circuit(compile_to_gateset(circuit, gateset(name)), cirq.Moment(cirq.measure(*qubits, key="z")))
    if name == "sqrt_iswap":
        assert all(op.gate == cirq.SQRT_ISWAP for op in compiled.all_operations() if len(op.qubits) == 2)
    return compiled.freeze()


def entanglers(circuit: cirq.AbstractCircuit) -> list[tuple[cirq.Gate | None, tuple[cirq.Qid, ...]]]:
    return [(op.gate, op.qubits) for op in circuit.all_operations() if len(op.qubits) == 2]


# single-qubit gates around a gate


@every_gate
def test_gauges_leave_their_gate_as_it_is(gate: cirq.Gate) -> None:
    known, matrix = gauges(gate), cirq.unitary(gate)
    for before, after in zip(known.before, known.after, strict=True):
        assert overlap(reduce(np.kron, after) @ matrix @ reduce(np.kron, before), matrix) == pytest.approx(1, abs=1e-12)
        for unitary in (*before, *after):
            np.testing.assert_allclose(unitary @ unitary.conj().T, np.eye(2), rtol=0, atol=1e-12)
    pairs = {(overlap(reduce(np.kron, known.before[0]), reduce(np.kron, b)) > 0.999) for b in known.before[1:]}
    assert pairs <= {False}, "the identity is there twice"


@pytest.mark.parametrize(
    ("gate", "count"),
    [(cirq.CZ, 16), (cirq.SQRT_ISWAP, 8), (SYCAMORE, 8), (cirq.ISWAP, 16), (cirq.CNOT, 16), (cirq.CZ**0.3, 8), (GATES[12], 4)],
)
def test_number_of_gauges(gate: cirq.Gate, count: int) -> None:
    assert len(gauges(gate)) == count


def test_gauges_of_cz_are_those_of_cirq_in_their_order() -> None:
    selector = CZGaugeTransformer.gauge_selector
    assert isinstance(selector, GaugeSelector)
    for theirs, before, after in zip(selector.gauges, gauges(cirq.CZ).before, gauges(cirq.CZ).after, strict=True):
        assert isinstance(theirs, ConstantGauge)
        for gates, own in ((theirs.pre, before), (theirs.post, after)):
            assert [overlap(cirq.unitary(g), u) for (g,), u in zip(gates, own, strict=True)] == pytest.approx([1, 1])


def small_error(size: float, dim: int, seed: int) -> Array:
    """Return exp(-i size H) for a random Hermitian matrix H of norm 1."""
    rng = np.random.default_rng(seed)
    entries = rng.normal(size=(dim, dim)) + 1j * rng.normal(size=(dim, dim))
    eigenvalues, vectors = np.linalg.eigh(entries + entries.conj().T)
    angles = size * eigenvalues / np.abs(eigenvalues).max()
    return np.asarray((vectors * np.exp(-1j * angles)) @ vectors.conj().T)


@every_gate
@pytest.mark.parametrize("size", [1e-2, 1e-3])
def test_error_that_is_averaged_over_gauges_has_the_mean_outcome_of_all_gauges(gate: cirq.Gate, size: float) -> None:
    """To first order; the outcomes are those of random circuits with the gate in the middle."""
    known, matrix, dim = gauges(gate), cirq.unitary(gate), 2 ** cirq.num_qubits(gate)
    for seed in range(3):
        error = small_error(size, dim, seed)
        first, last = (cirq.testing.random_unitary(dim, random_state=10 * seed + part) for part in (1, 2))

        def outcome(middle: Array, first: Array = first, last: Array = last) -> Array:
            return np.asarray(np.abs((last @ middle @ first)[:, 0]) ** 2)

        pairs = [
            (reduce(np.kron, after), reduce(np.kron, before)) for before, after in zip(known.before, known.after, strict=True)
        ]
        of_gauges = [outcome(after @ error @ matrix @ before) for after, before in pairs]
        averaged = outcome(averaged_over_gauges(error, gate) @ matrix)
        assert np.abs(np.mean(of_gauges, axis=0) - averaged).max() < 2 * size**2
        assert np.abs(of_gauges[0] - outcome(matrix)).max() > size / 100, "the error is seen"


@pytest.mark.parametrize(
    ("gate", "theta", "phi"), [(cirq.CZ, 0.0, 0.0), (SYCAMORE, 0.0, 0.5), (cirq.SQRT_ISWAP, 1.0, 0.5)], ids=str
)
def test_error_of_an_angle_that_all_gauges_have_in_common(gate: cirq.Gate, theta: float, phi: float) -> None:
    """A swap by a small angle is left whole or not at all, of a phase the half that is a rotation about ZZ."""
    for angles, kept in (((1e-3, 0.0), theta), ((0.0, 1e-3), phi)):
        error = averaged_over_gauges(cirq.unitary(cirq.FSimGate(*angles)), gate)
        generator = 1e3j * (error / np.exp(1j * np.angle(np.trace(error))) - np.eye(4))
        whole = np.linalg.norm(generator) / (np.sqrt(2) if angles[0] else 1.0)
        assert whole == pytest.approx(kept, abs=2e-3)


@every_gate
def test_gate_between_its_dressing_is_its_inverse(gate: cirq.Gate) -> None:
    dressing, matrix = own_inverse(gate), cirq.unitary(gate)
    if gate in (cirq.FSimGate(0.3, 0.7), GATES[12], cirq.X.controlled(3)):
        assert dressing is None
        return
    assert dressing is not None
    before, after = (reduce(np.kron, side) for side in dressing)
    assert overlap(after @ matrix @ before, matrix.conj().T) == pytest.approx(1, abs=1e-12)


# circuits


@every_native_gate
@pytest.mark.parametrize("seed", range(2))
def test_folded_and_twirled_circuits_of_native_gates_are_equivalent(name: str, seed: int) -> None:
    circuit = native_circuit(name, seed)
    expected = distribution(circuit)
    for factor in (1, 3, 5):
        folded = fold(circuit, factor)
        np.testing.assert_allclose(distribution(folded), expected, rtol=0, atol=1e-7)
        assert sorted(map(str, entanglers(folded))) == sorted(map(str, entanglers(circuit) * factor))
        twirled, points = twirl(folded, ({},), 3, (seed, factor))
        assert sorted(map(str, entanglers(twirled))) == sorted(map(str, entanglers(folded)))
        for point in points:
            np.testing.assert_allclose(distribution(cirq.resolve_parameters(twirled, dict(point))), expected, rtol=0, atol=1e-7)


@every_gate
def test_folded_and_twirled_circuits_of_any_gate_are_equivalent(gate: cirq.Gate) -> None:
    qubits = cirq.LineQubit.range(cirq.num_qubits(gate))
    turns = [[cirq.ry(0.3 + i)(q), TURN(q)] for i, q in enumerate(qubits)]
    circuit = cirq.FrozenCircuit(turns, gate(*qubits), turns, gate(*qubits), turns, cirq.measure(*qubits, key="z"))
    expected = distribution(circuit)
    folded = fold(circuit, 3)
    np.testing.assert_allclose(distribution(folded), expected, rtol=0, atol=1e-7)
    twirled, points = twirl(folded, ({},), 5, (0,))
    for point in points:
        np.testing.assert_allclose(distribution(cirq.resolve_parameters(twirled, dict(point))), expected, rtol=0, atol=1e-7)


def test_twirling_keeps_what_is_no_unitary_gate() -> None:
    """A wait, a reset and a gate on two qubits with a symbol stay as they are, between single-qubit gates."""
    a, b = cirq.LineQubit.range(2)
    name = sympy.Symbol("x0")
    circuit = cirq.FrozenCircuit(
        cirq.X(a) ** name,
        cirq.CZ(a, b) ** name,
        cirq.Moment(cirq.WaitGate(cirq.Duration(nanos=20))(b)),
        cirq.Moment(cirq.reset(b)),
        [cirq.H(a), cirq.H(b)],
        cirq.CZ(a, b),
        [cirq.H(a), cirq.H(b)],
        cirq.Moment(cirq.measure(a, b, key="z")),
    )
    given = [{"x0": 0.3}, {"x0": 0.8}]
    twirled, points = twirl(circuit, given, 3, (1,))
    kept = [op for op in twirled.all_operations() if not isinstance(op.gate, cirq.PhasedXZGate)]
    assert [type(op.gate) for op in kept] == [
        cirq.CZPowGate,
        cirq.WaitGate,
        cirq.ResetChannel,
        cirq.CZPowGate,
        cirq.MeasurementGate,
    ]
    simulator = cirq.DensityMatrixSimulator(dtype=np.complex128)
    for i, point in enumerate(points):
        states = [
            simulator.simulate(cirq.resolve_parameters(c, dict(p))[:-1], qubit_order=[a, b]).final_density_matrix
            for c, p in ((circuit, given[i % 2]), (twirled, point))
        ]
        np.testing.assert_allclose(np.diag(states[1]).real, np.diag(states[0]).real, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("gate", "is_noted"), [(cirq.X.controlled(3), True), (cirq.CZ ** sympy.Symbol("t"), True), (cirq.CCZ, False)]
)
def test_gates_without_gauges_are_noted(gate: cirq.Gate, is_noted: bool) -> None:
    qubits = cirq.LineQubit.range(cirq.num_qubits(gate))
    circuit = cirq.FrozenCircuit(cirq.H.on_each(*qubits), gate(*qubits), cirq.measure(*qubits, key="z"))
    engine, twirling = hq.cirq_simulator(), PauliTwirling(2)
    variants = twirling.expand(engine, [ParameterizedCircuit(circuit, (0,), ({"t": 0.3},))], None)
    scatter, *notes = twirling.combine(variants, engine.execute(variants.programs, None)).summary.notes
    assert scatter.startswith("means over 2 gauges scatter by ")
    kind = f"{type(gate).__name__} on {len(qubits)} qubits"
    assert notes == ([f"gates that have no gauge were not twirled: {kind}"] if is_noted else [])


# errors


class Errors(cirq.NoiseModel):
    """Noise model with the same operation after every gate on two qubits."""

    def __init__(self, error: cirq.Gate) -> None:
        self._error = error

    def noisy_moment(self, moment: cirq.Moment, system_qubits: Sequence[cirq.Qid]) -> list[cirq.Moment]:
        errors = [self._error(*op.qubits) for op in moment if len(op.qubits) == 2 and not cirq.is_measurement(op)]
        return [moment, cirq.Moment(errors)] if errors else [moment]


def deviation(name: str, error: cirq.Gate, mitigation: Mitigation | None) -> float:
    """Return the largest error of a probability over two circuits with errors."""
    engine, largest = hq.cirq_simulator(noise=Errors(error)), 0.0
    for seed in range(2):
        circuit = native_circuit(name, seed)
        programs = [ParameterizedCircuit(circuit, (0,))]
        if mitigation is None:
            (measured,) = engine.execute(programs, None)
            probabilities = measured.probabilities
        else:
            variants = mitigation.expand(engine, programs, None)
            (combined,) = mitigation.combine(variants, engine.execute(variants.programs, None)).outcomes
            probabilities = combined.probabilities
        largest = max(largest, float(np.abs(probabilities - distribution(circuit)).max()))
    return largest


def rotation(string: str, angle: float) -> cirq.MatrixGate:
    """Return exp(-i angle P / 2) for a Pauli string P on two qubits."""
    matrix = cirq.unitary(cirq.DensePauliString(string))
    return cirq.MatrixGate(np.cos(angle / 2) * np.eye(4) - 1j * np.sin(angle / 2) * matrix)


@every_native_gate
@pytest.mark.parametrize("string", ["IY", "ZX"])
def test_twirling_leaves_the_second_order_of_coherent_errors(name: str, string: str) -> None:
    """Half of the gauges of each native gate change the sign of a rotation that anticommutes with ZZ."""
    error, twirling = rotation(string, 0.02), PauliTwirling(len(gauges(NATIVE[name])))
    assert deviation(name, error, twirling) < 0.15 * deviation(name, error, None)


def test_twirling_of_sqrt_iswap_leaves_the_second_order_of_double_flips() -> None:
    """XX - YY changes its sign under S on both qubits, and under no Pauli string that sqrt-iSWAP keeps local."""
    error = cirq.MatrixGate(cirq.unitary(rotation("XX", 0.02)) @ cirq.unitary(rotation("YY", -0.02)))
    assert deviation("sqrt_iswap", error, PauliTwirling(8)) < 0.15 * deviation("sqrt_iswap", error, None)


@every_native_gate
def test_extrapolation_leaves_the_second_order_of_depolarization(name: str) -> None:
    error = cirq.depolarize(0.002, n_qubits=2)
    assert deviation(name, error, ZeroNoiseExtrapolation((1, 3))) < 0.2 * deviation(name, error, None)


# processors


@lru_cache
def on_processor(name: str, native: str, noise: str) -> tuple[Engine, tuple[ParameterizedCircuit, ...]]:
    """Return an engine and two programs that are compiled for it."""
    engine = hq.virtual(name, gateset=native, noise=noise)  # type: ignore[arg-type]
    q = cirq.LineQubit.range(3)
    circuits = [
        cirq.Circuit(
            cirq.ry(t)(q[0]), cirq.CNOT(q[0], q[1]), cirq.ry(0.4)(q[1]), cirq.CNOT(q[1], q[2]), cirq.measure(*q, key="z")
        )
        for t in (0.4, 1.9)
    ]
    return engine, tuple(engine.compile(circuits))


@pytest.mark.parametrize(("name", "native"), PROCESSORS)
def test_mitigations_on_every_processor_and_gate_set(name: str, native: str) -> None:
    """Variants that the device takes and that compute the same; extrapolated outcomes closer to the exact ones."""
    engine, programs = on_processor(name, native, "gates")
    assert engine.processor is not None
    exact = {
        request: distribution(cirq.resolve_parameters(program.circuit, dict(point)))
        for program in programs
        for request, point in zip(program.requests, program.points, strict=True)
    }
    sequence = MitigationSequence([ZeroNoiseExtrapolation((1, 3)), PauliTwirling(8)])
    variants = sequence.expand(engine, programs, None)
    for program in variants.programs:
        engine.processor.device.validate_circuit(program.circuit)
        for request, point in zip(program.requests, program.points, strict=True):
            made = distribution(cirq.resolve_parameters(program.circuit, dict(point)))
            np.testing.assert_allclose(made, exact[request % 2], rtol=0, atol=1e-7)
    corrected = sequence.combine(variants, engine.execute(variants.programs, None)).outcomes
    raw = engine.execute(programs, None)
    assert all(isinstance(outcome, Distribution) for outcome in raw)
    errors = [[np.abs(outcome.probabilities - exact[i]).max() for i, outcome in enumerate(each)] for each in (raw, corrected)]
    assert max(errors[1]) < 0.6 * max(errors[0])
