"""Virtual processors: noise against Google's own model, counts against exact probabilities, rejected input."""

from __future__ import annotations

import json
from functools import cache, reduce
from typing import Any

import cirq
import cirq_google as cg
import numpy as np
import pytest
import sympy
from cirq_google.engine import engine_validator
from strategies import Array

from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.snapshot import load_processor
from hattriq_cirq.execution import Engine, virtual
from hattriq_cirq.execution.backend import Job
from hattriq_cirq.execution.backends.simulators import noisy_probabilities
from hattriq_cirq.execution.backends.virtual import Noise, VirtualBackend, faster_method
from hattriq_cirq.simulation.noisy_program import populations

GATES: dict[str, cirq.Gate] = {"cz": cirq.CZ, "sycamore": cg.SYC, "sqrt_iswap": cirq.ISWAP**0.5}
SQUARE = cirq.GridQubit.square(2, 5, 5)
A, B, C, D = SQUARE


def native(qubits: list[cirq.GridQubit], layers: int = 4, gate: cirq.Gate = cirq.CZ, seed: int = 0) -> cirq.FrozenCircuit:
    """Return a circuit of random rotations and two-qubit gates along a line of qubits."""
    rng = np.random.default_rng(seed)

    def turn(q: cirq.Qid) -> cirq.Operation:
        x, z, axis = (float(t) for t in rng.uniform(-1, 1, 3))
        return cirq.PhasedXZGate(x_exponent=x, z_exponent=z, axis_phase_exponent=axis).on(q)

    moments = []
    for layer in range(layers):
        moments.append(cirq.Moment(turn(q) for q in qubits))
        moments.append(cirq.Moment(gate(*qubits[i : i + 2]) for i in range(layer % 2, len(qubits) - 1, 2)))
    return cirq.FrozenCircuit(*moments, cirq.Moment(cirq.measure(*qubits, key="z")))


LINE = [A, B, D, C]
CIRCUIT = native(LINE)


@cache
def backend(
    noise: Any = "calibrated", method: Any = None, name: str = "willow_pink", gateset: str | None = None
) -> VirtualBackend:
    return VirtualBackend(name, seed=1, noise=noise, method=method, gateset=gateset)


def run(on: VirtualBackend, shots: int | None, *circuits: cirq.FrozenCircuit, seed: int | None = 7) -> list[Array]:
    """Return the exact probabilities of each circuit, computed by one job per circuit."""
    job = Job("j", circuits or (CIRCUIT,), ({},), shots, seed)
    on.submit(job)
    assert on.poll(job).status == "done"
    return [d.probabilities for d in on.results(job)]


def by_google(name: str, circuit: cirq.FrozenCircuit) -> Array:
    """Return the probabilities of the measured bits from Cirq's density matrix and Google's full noise model."""
    model = cg.NoiseModelFromGoogleNoiseProperties(cg.engine.load_device_noise_properties(name))
    noisy = circuit.unfreeze().with_noise(model)
    qubits = circuit[-1].operations[0].qubits
    before = cirq.Circuit(moment for moment in noisy if not any(map(cirq.is_measurement, moment)))
    rho = cirq.DensityMatrixSimulator(dtype=np.complex128).simulate(before, qubit_order=qubits).final_density_matrix
    return np.asarray(np.diag(rho).real)


def pull(frequencies: Array, exact: Array, shots: int) -> float:
    """Return the largest difference in standard errors."""
    return float((np.abs(frequencies - exact) / np.sqrt(exact * (1 - exact) / shots + 1 / shots**2)).max())


def test_virtual_processor_without_noise_agrees_with_cirq() -> None:
    state = cirq.Simulator(dtype=np.complex128).simulate(CIRCUIT[:-1], qubit_order=LINE).final_state_vector
    for method in (None, "density"):
        np.testing.assert_allclose(run(backend("none", method), None)[0], np.abs(state) ** 2, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "gateset"),
    [("willow_pink", "cz"), ("weber", "sycamore"), ("weber", "sqrt_iswap"), ("rainbow", "sqrt_iswap")],
)
def test_calibrated_noise_agrees_with_google_noise_model(name: str, gateset: str) -> None:
    processor = load_processor(name, gateset)
    line = next([a, b, c] for a, b in processor.graph.edges for c in processor.graph[b] if c != a)
    circuit = native(line, gate=GATES[gateset])
    found = run(backend("calibrated", None, name, gateset), None, circuit)[0]
    np.testing.assert_allclose(found, by_google(name, circuit), rtol=0, atol=1e-12)


def test_readout_noise_is_the_calibrated_bit_flips_only() -> None:
    errors = load_processor("willow_pink").readout_errors
    flips = {q: np.array([[1 - errors[q][0], errors[q][1]], [errors[q][0], 1 - errors[q][1]]]) for q in LINE}
    ones = cirq.FrozenCircuit(cirq.X.on_each(A, D), cirq.measure(*LINE, key="z"))
    prepared = reduce(np.kron, [flips[q][:, int(q in (A, D))] for q in LINE])
    for method in (None, "density"):
        np.testing.assert_allclose(run(backend("readout", method), None, ones)[0], prepared, rtol=0, atol=1e-6)
    clean = run(backend("none"), None)[0]
    wanted = reduce(np.kron, [flips[q] for q in LINE]) @ clean
    np.testing.assert_allclose(run(backend("readout"), None)[0], wanted, rtol=0, atol=1e-6)
    shots = 400_000
    counted = run(backend("readout"), shots, ones)[0].reshape((2,) * 4)
    for axis, q in enumerate(LINE):
        marginal = counted.sum(axis=tuple(a for a in range(4) if a != axis))
        wrong, rate = (marginal[0], errors[q][1]) if q in (A, D) else (marginal[1], errors[q][0])
        assert abs(wrong - rate) < 5 * np.sqrt(rate * (1 - rate) / shots)
        assert wrong > 0


def test_gate_noise_and_readout_noise_together_are_the_calibrated_noise() -> None:
    errors = load_processor("willow_pink").readout_errors
    flips = [np.array([[1 - errors[q][0], errors[q][1]], [errors[q][0], 1 - errors[q][1]]]) for q in LINE]
    gates, everything, clean = (run(backend(noise), None)[0] for noise in ("gates", "calibrated", "none"))
    np.testing.assert_allclose(everything, reduce(np.kron, flips) @ gates, rtol=0, atol=1e-12)
    assert np.abs(gates - clean).max() > 1e-3


@pytest.mark.parametrize("noise", ["calibrated", "gates", "readout", "none"])
@pytest.mark.parametrize("method", ["density", "trajectories"])
def test_counts_agree_with_the_exact_probabilities(noise: str, method: str) -> None:
    shots = 3000 if method == "trajectories" else 100_000
    exact = run(backend(noise), None)[0]
    assert pull(run(backend(noise, method), shots)[0], exact, shots) < 5


def test_virtual_processor_keeps_bit_order_and_invert_mask() -> None:
    circuit = cirq.FrozenCircuit(cirq.X(A), cirq.measure(C, A, B, key="z", invert_mask=(True, False)))
    for method in (None, "density", "trajectories"):
        assert run(backend("none", method), 10, circuit)[0][0b110] == 1


@pytest.mark.parametrize(("noise", "method"), [("calibrated", "density"), ("gates", "trajectories"), ("none", None)])
def test_virtual_counts_depend_only_on_the_seed_of_the_job(noise: Any, method: Any) -> None:
    used = VirtualBackend("willow_pink", seed=5, noise=noise, method=method)
    other = native(LINE, seed=1)
    first, _ = run(used, 300, CIRCUIT, other), run(used, 50, other, seed=8)
    again = run(used, 300, CIRCUIT, other)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, run(backend(noise, method), 300, CIRCUIT, other))
    assert np.abs(np.subtract(first, run(used, 300, CIRCUIT, other, seed=9))).max() > 0
    unseeded, another = (run(used, 300, seed=None)[0] for _ in range(2))
    assert np.abs(unseeded - another).max() > 0
    one, two = run(used, 300, CIRCUIT, CIRCUIT)
    assert np.abs(one - two).max() > 0


def test_virtual_results_repeat() -> None:
    """Results are kept, since cirq-google's synchronous job samples again at each request."""
    job = Job("again", (CIRCUIT,), ({},), 100, None)
    backend().submit(job)
    first, second = (backend().results(job)[0].probabilities for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_sweep_results_are_in_the_order_of_points() -> None:
    t = sympy.Symbol("t")
    circuit = cirq.FrozenCircuit(cirq.X(A) ** t, cirq.CZ(A, B), cirq.measure(A, B, key="z"))
    points = tuple({"t": value} for value in (0.0, 1.0, 0.5))
    for shots in (None, 200_000):
        on = backend("gates")
        job = Job("sweep", (circuit,), points, shots, 3)
        on.submit(job)
        ones = [d.probabilities[2:].sum() for d in on.results(job)]
        np.testing.assert_allclose(ones, [0, 1, 0.5], rtol=0, atol=5e-3)


REFUSED = {
    "gate": cirq.FrozenCircuit(cirq.CNOT(A, B), cirq.measure(A, B, key="z")),
    "not adjacent": cirq.FrozenCircuit(cirq.CZ(A, D), cirq.measure(A, D, key="z")),
    "off the device": cirq.FrozenCircuit(cirq.X(cirq.GridQubit(0, 0)), cirq.measure(cirq.GridQubit(0, 0), key="z")),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("shots", [None, 10])
def test_circuits_that_the_service_would_refuse_are_rejected(name: str, shots: int | None) -> None:
    with pytest.raises(CircuitRefusedError, match="virtual:willow_pink refuses job j: "):
        run(backend("none"), shots, REFUSED[name])
    with pytest.raises(CircuitRefusedError):
        run(backend("none"), shots, CIRCUIT, REFUSED[name])


def test_too_many_repetitions_are_rejected() -> None:
    with pytest.raises(CircuitRefusedError, match="total repetitions"):
        run(backend("none"), 5_000_001)
    engine = virtual("willow_pink", noise="none", seed=1)
    (found,) = engine.execute([ParameterizedCircuit(CIRCUIT, (0,))], [5_000_001])  # in two jobs
    assert found.shots == 5_000_001


def test_size_of_every_circuit_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own check validates only the first circuit of a job."""
    original = engine_validator.create_program_validator
    monkeypatch.setattr(engine_validator, "create_program_validator", lambda: original(max_size=1500))
    short, long = native(LINE, 1), native(LINE, 60)
    run(backend("none"), 10, short, short)
    with pytest.raises(CircuitRefusedError, match="Program too long"):
        run(backend("none"), 10, short, long)


@pytest.mark.parametrize("name", ["weber", "rainbow"])
@pytest.mark.parametrize("noise", ["calibrated", "gates"])
def test_gate_noise_without_calibrated_gate_errors_is_rejected(name: str, noise: Any) -> None:
    with pytest.raises(ValueError, match=r"no errors for gateset='cz'.* use gateset='sycamore', or noise='readout'"):
        virtual(name, noise=noise, gateset="cz")
    harmless: Any
    for harmless in ("readout", "none"):
        assert virtual(name, noise=harmless, gateset="cz").processor is load_processor(name, "cz")
    assert virtual(name, noise=noise).processor is load_processor(name)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"noise": "full"}, "noise='full' must be one of calibrated, none, readout, gates"),
        ({"method": "qsim"}, "method='qsim' must be one of density, trajectories, or None"),
        ({"threads": 0}, "threads=0 must be at least 1"),
        ({"precision": "double"}, "precision='double' must be one of float64, float32"),
        ({"gateset": "sycamore"}, "gateset='sycamore' is not one of willow_pink"),
        ({"processor_id": "willow"}, "'willow' must be one of willow_pink"),
    ],
)
def test_unknown_settings_are_rejected(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        virtual(**{"processor_id": "willow_pink", **options})


def test_exact_probabilities_of_too_many_qubits_are_rejected() -> None:
    row = [q for q in sorted(load_processor("willow_pink").graph) if q.row in (5, 6)][:15]
    wide = cirq.FrozenCircuit(cirq.X.on_each(*row), cirq.measure(A, key="z"))
    for on, shots in ((backend(), None), (backend("none", "density"), 10)):
        with pytest.raises(ValueError, match="a circuit on 15 qubits has too large a density matrix, the widest is 14"):
            run(on, shots, wide)
    assert run(backend("none"), None, wide)[0][1] == 1
    assert run(backend(), 100, wide)[0][1] > 0.9  # trajectories


def test_faster_method_depends_on_qubits_and_shots() -> None:
    assert {faster_method(qubits, 1) for qubits in range(1, 11)} == {"density"}
    assert [faster_method(12, shots) for shots in (100, 10_000)] == ["trajectories", "density"]
    assert [faster_method(5, shots, rule=1) for shots in (1, 1000)] == ["trajectories", "density"]
    assert faster_method(13, 10**9) == "trajectories"


def test_circuit_without_one_final_measurement_is_rejected() -> None:
    with pytest.raises(ValueError, match="must end in one measurement"):
        run(backend(), 10, cirq.FrozenCircuit(cirq.X(A)))


def test_virtual_engine_name_and_description() -> None:
    engine: Engine = virtual("weber", seed=3, noise="gates")
    described = json.loads(json.dumps(engine.describe()))
    assert (engine.name, engine.seed, described["kind"], described["noise"]) == ("virtual:weber", 3, "virtual", "gates")
    assert described["processor"]["gateset"] == "sycamore"
    assert described["processor"]["snapshot"].startswith("median 2021-11-03")
    assert "cirq-google" in described["versions"]


def test_logical_circuits_are_compiled_and_run() -> None:
    a, b = cirq.NamedQubit.range(2, prefix="q")
    ghz = cirq.Circuit(cirq.H(a), cirq.CNOT(a, b), cirq.measure(a, b, key="z"))
    (found,) = virtual("weber", seed=1, noise="none").run([ghz], None)
    np.testing.assert_allclose(found.probabilities, [0.5, 0, 0, 0.5], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "gateset"), [("willow_pink", "cz"), ("rainbow", "sycamore"), ("weber", "sqrt_iswap")])
@pytest.mark.parametrize("noise", ["calibrated", "gates"])
def test_points_of_a_sweep_have_the_probabilities_of_single_circuits(
    name: str, gateset: str, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise converted by moments for all points, against the whole circuit's at each point: idle and virtual gates too."""
    t, s = sympy.symbols("t s")
    turns = [cirq.PhasedXZGate(x_exponent=t, z_exponent=1 - 2 * s, axis_phase_exponent=s * t).on(q) for q in (A, B)]
    circuit = cirq.FrozenCircuit(
        turns,
        cirq.Moment(GATES[gateset](A, B), cirq.PhasedXZGate(x_exponent=0.3, z_exponent=0.1, axis_phase_exponent=0.2)(D)),
        cirq.Moment(cirq.Z(A) ** s, cirq.Z(B) ** 0.3, cirq.Z(D).with_tags(cg.PhysicalZTag())),
        cirq.Moment(cirq.WaitGate(cirq.Duration(nanos=50))(A)),
        cirq.Moment(GATES[gateset](D, B)),
        cirq.Moment(cirq.X(A) ** t, cirq.PhasedXPowGate(phase_exponent=0.2)(D)),
        cirq.Moment(cirq.measure(D, A, key="z", invert_mask=(True,))),
    )
    points = [{"t": 0.1 * i, "s": 0.3 - 0.2 * i} for i in range(5)]
    on = VirtualBackend(name, noise=noise, gateset=gateset)
    monkeypatch.setattr("hattriq_cirq.simulation.noisy_program._STATE_BYTES", 16 * 4**3)
    model = on.noise_on(circuit)
    expected = [noisy_probabilities(cirq.resolve_parameters(circuit, point), model, populations) for point in points]
    np.testing.assert_allclose(on.probabilities(circuit, points), expected, rtol=0, atol=1e-12)


T = sympy.Symbol("t")
SINGLE_QUBIT_GATES: list[cirq.Gate] = [
    cirq.X, cirq.Y, cirq.H, cirq.X**0.3, cirq.Y**-0.5, cirq.H**0.5, cirq.X**T, cirq.rx(T), cirq.rx(0.7), cirq.ry(-0.2),
    cirq.PhasedXPowGate(phase_exponent=0.2, exponent=0.6), cirq.PhasedXPowGate(phase_exponent=T),
    cirq.SingleQubitCliffordGate.X_sqrt, cirq.MatrixGate(cirq.testing.random_unitary(2, random_state=0)),
]  # fmt: skip


@pytest.mark.parametrize("name", ["willow_pink", "weber", "rainbow"])
@pytest.mark.parametrize("noise", ["calibrated", "gates"])
def test_every_single_qubit_gate_has_the_error_of_phased_xz(name: str, noise: Noise) -> None:
    on = VirtualBackend(name, noise=noise)
    a, b = sorted(load_processor(name).graph)[:2]
    start = [cirq.PhasedXZGate(x_exponent=0.4, z_exponent=0.3, axis_phase_exponent=0.1).on(q) for q in (a, b)]
    points = [{"t": 0.3}, {"t": 0.8}]
    for gate in SINGLE_QUBIT_GATES:
        resolved = [cirq.resolve_parameters(gate, point) for point in points]
        pulses = [cirq.PhasedXZGate.from_matrix(cirq.unitary(each)) for each in resolved]
        sweep, *circuits = (
            cirq.FrozenCircuit.from_moments(start, each(a), [each(a), start[1]], cirq.measure(a, b, key="z"))
            for each in (gate, *resolved, *pulses)
        )
        exact = [on.probabilities(circuit, [{}])[0] for circuit in circuits]
        np.testing.assert_allclose(exact[:2], exact[2:], rtol=0, atol=1e-12)
        np.testing.assert_allclose(on.probabilities(sweep, points), exact[:2], rtol=0, atol=1e-12)
        noisy = [cirq.Circuit(on.noise_on(each).noisy_moments(each, [a, b])) for each in circuits]  # for trajectories
        for own, expected, single in zip(noisy[:2], noisy[2:], resolved, strict=True):
            pairs = zip(own.all_operations(), expected.all_operations(), strict=True)
            assert [op.untagged for op, other in pairs if op != other] == [single(a)] * 2


@pytest.mark.parametrize("op", [cirq.Z(A) ** 0.3, cirq.rz(0.2)(A), cirq.I(A), cirq.measure(A, key="k")])
def test_operations_without_a_pulse_have_the_noise_of_google_noise_model(op: cirq.Operation) -> None:
    circuit = cirq.Circuit.from_moments(cirq.X(B), [op, cirq.PhasedXPowGate(phase_exponent=0.1)(B)], op)
    own = cirq.Circuit(backend().noise_on(circuit).noisy_moments(circuit, [A, B]))
    google = cg.NoiseModelFromGoogleNoiseProperties(cg.engine.load_device_noise_properties("willow_pink"))
    assert [each for each in own.all_operations() if each.qubits == (A,)] == [
        each for each in circuit.with_noise(google).all_operations() if each.qubits == (A,)
    ]


def swept_layers() -> tuple[cirq.FrozenCircuit, list[dict[str, float]]]:
    """Return a circuit whose single-qubit gates have symbols, and five points."""
    symbols = [[sympy.Symbol(f"{letter}{i}") for letter in "xza"] for i in range(12)]
    turns = iter(cirq.PhasedXZGate(x_exponent=x, z_exponent=z, axis_phase_exponent=a) for x, z, a in symbols)
    moments = []
    for pairs in (((A, B), (C, D)), ((A, C), (B, D)), ((A, B), (C, D))):
        moments.append(cirq.Moment(next(turns).on(q) for q in LINE))
        moments.append(cirq.Moment(cirq.CZ(*pair) for pair in pairs))
    values = np.random.default_rng(5).uniform(-1, 1, (5, 36))
    names = [str(symbol) for own in symbols for symbol in own]
    points = [dict(zip(names, map(float, row), strict=True)) for row in values]
    return cirq.FrozenCircuit(*moments, cirq.Moment(cirq.measure(*LINE, key="z"))), points


def test_circuits_that_differ_in_angles_share_a_program_and_have_the_results_of_a_sweep() -> None:
    circuit, points = swept_layers()
    resolved = [cirq.resolve_parameters(circuit, point) for point in points]
    on = VirtualBackend("willow_pink")
    alone = np.array(run(on, None, *resolved))
    assert on._program.cache_info().currsize == 1
    np.testing.assert_array_equal(alone, on.probabilities(circuit, points))
    np.testing.assert_array_equal(alone, [run(on, None, one)[0] for one in resolved])
    fewer = Job("sweep", (circuit,), tuple(points), 1000, 9)
    on.submit(fewer)
    rng = np.random.default_rng(9)
    expected = [rng.multinomial(1000, row) for row in alone]
    np.testing.assert_array_equal([one.counts for one in on.results(fewer)], expected)


def test_single_precision_is_recorded_and_its_error_is_small() -> None:
    circuit, points = swept_layers()
    double, single = VirtualBackend("willow_pink"), VirtualBackend("willow_pink", precision="float32")
    assert "precision" not in double.describe()
    assert single.describe()["precision"] == "float32"
    difference = np.abs(single.probabilities(circuit, points) - double.probabilities(circuit, points))
    assert 0 < difference.max() < 1e-7
