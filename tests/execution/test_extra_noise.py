"""Virtual processors with noise beyond their calibration: exact, sampled, resumed, spread over workers, recorded, named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
from strategies import Array

import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import CapReachedError, JournalError
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution import Engine
from hattriq_cirq.execution.backend import Job
from hattriq_cirq.execution.backends.virtual import VirtualBackend
from hattriq_cirq.execution.caps import CapWarning
from hattriq_cirq.simulation import noise
from hattriq_cirq.workflows.values import parse_engine, snapshot_file

A, B, D, C = cirq.GridQubit.square(2, 5, 5)
LINE = [A, B, C, D]
ADDED: list[Any] = [noise.ZZCrosstalk(0.3), noise.Loss(0.05), noise.CorrelatedReadout(0.04, 0.03)]


def circuit(seed: int = 0) -> cirq.FrozenCircuit:
    """Return a circuit of random rotations and CZ gates on a square of qubits."""
    rng = np.random.default_rng(seed)

    def turn(q: cirq.Qid) -> cirq.Operation:
        x, z, axis = (float(t) for t in rng.uniform(-1, 1, 3))
        return cirq.PhasedXZGate(x_exponent=x, z_exponent=z, axis_phase_exponent=axis).on(q)

    pairs = [[(A, B), (C, D)], [(B, C)]]
    layers = [m for own in pairs for m in (cirq.Moment(map(turn, LINE)), cirq.Moment(cirq.CZ(*pair) for pair in own))]
    return cirq.FrozenCircuit(*layers, cirq.Moment(map(turn, LINE)), cirq.Moment(cirq.measure(*LINE, key="z")))


CIRCUIT = circuit()
ZERO = cirq.FrozenCircuit(cirq.measure(A, B, key="z"))


def run(engine: Engine, shots: int | None, *circuits: cirq.FrozenCircuit) -> list[Array]:
    """Return the probabilities of circuits that are run as they are."""
    programs = [ParameterizedCircuit(each, (i,)) for i, each in enumerate(circuits)]
    counts = None if shots is None else [shots] * len(circuits)
    return [d.probabilities for d in engine.execute(programs, counts)]


def virtual(extra: object, noise: Any = "none", **options: Any) -> Engine:
    return hq.virtual("willow_pink", seed=1, noise=noise, extra_noise=extra, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("added", [[each] for each in ADDED] + [ADDED], ids=str)
def test_added_noise_alone_is_that_of_the_noise_models_in_cirq(added: Any) -> None:
    wanted = run(hq.cirq_simulator(noise=noise.NoiseSequence(added)), None, CIRCUIT)[0]
    np.testing.assert_allclose(run(virtual(added), None, CIRCUIT)[0], wanted, rtol=0, atol=1e-12)
    assert np.abs(wanted - run(virtual(None), None, CIRCUIT)[0]).max() > 0.01


def test_added_noise_acts_beside_the_calibrated_noise() -> None:
    """The channels of a calibrated processor, moment by moment, with the crosstalk written between them."""
    plain, both = virtual(None, "gates"), virtual(noise.ZZCrosstalk(0.3), "gates")
    zz = cirq.MatrixGate(np.diag(np.exp(-0.15j * np.array([1, -1, -1, 1]))))
    model, moments = plain.backend.noise_on(CIRCUIT), list[Any]()  # type: ignore[attr-defined]
    for moment in CIRCUIT[:-1]:
        joined = [op.qubits for op in moment if len(op.qubits) == 2]
        idle = cirq.Moment(cirq.Z(q).with_tags("end") for q in LINE)  # so that all qubits idle
        after = [zz.on(B, C), zz.on(A, D)] if len(joined) == 2 else [zz.on(A, B), zz.on(C, D)] if joined else []
        noisy = cirq.Circuit(model.noisy_moments([moment, idle], sorted(LINE)))
        moments += [[op for op in noisy.all_operations() if "end" not in op.tags], after]
    rho = cirq.DensityMatrixSimulator(dtype=np.complex128).simulate(cirq.Circuit(moments), qubit_order=LINE)
    np.testing.assert_allclose(run(both, None, CIRCUIT)[0], np.diag(rho.final_density_matrix).real, rtol=0, atol=1e-9)


def test_scaled_errors_multiply_the_calibrated_ones() -> None:
    once, twice = (run(virtual(extra, "readout"), None, ZERO)[0] for extra in (None, "scale=2"))
    bits = [np.array([p.reshape(2, 2).sum(axis=1 - i)[1] for i in range(2)]) for p in (once, twice)]
    np.testing.assert_allclose(bits[1], 2 * bits[0], rtol=1e-5)
    waits = cirq.FrozenCircuit(cirq.X(A), cirq.WaitGate(cirq.Duration(nanos=200))(A), cirq.measure(A, key="z"))
    decays = [
        run(virtual(extra, "gates"), None, waits)[0][0] for extra in (None, "scale=0.5", "scale=2", noise.ScaledErrors(1))
    ]
    np.testing.assert_allclose(np.array(decays) / decays[0], [1, 0.5, 2, 1], rtol=0.02)
    gates = [
        1 - run(virtual(e, "gates"), None, cirq.FrozenCircuit(cirq.CZ(A, B), cirq.measure(A, B, key="z")))[0][0]
        for e in (None, "scale=2")
    ]
    assert 1.7 < gates[1] / gates[0] < 2.1


@pytest.mark.parametrize("method", ["density", "trajectories"])
def test_counts_agree_with_the_exact_probabilities_under_added_noise(method: Any) -> None:
    shots = 3000 if method == "trajectories" else 100_000
    exact = run(virtual(ADDED, "calibrated"), None, CIRCUIT)[0]
    counted = run(virtual(ADDED, "calibrated", method=method), shots, CIRCUIT)[0]
    assert (np.abs(counted - exact) / np.sqrt(exact * (1 - exact) / shots)).max() < 5


@pytest.mark.parametrize("method", [None, "density", "trajectories"])
def test_readout_drifts_with_the_shots_of_the_run(method: Any) -> None:
    drift, shots = noise.Drift(angles=0, readout=0.2, shots=30_000, seed=1), 10_000
    engine = virtual(drift, method=method)
    rates = [noise._random_rates(1, repr(q))[1] for q in (A, B)]
    np.testing.assert_allclose(run(engine, None, ZERO)[0], [1, 0, 0, 0], atol=1e-12)
    for middle in (0.5, 1.5, 2.5, 3.5):
        if middle == 0.5 or middle == 3.5:
            found = [run(engine, shots, ZERO)[0]]
        else:
            found = run(engine, shots, ZERO, ZERO) if middle == 1.5 else found[1:]
        for i, rate in enumerate(rates):
            flipped, wanted = found[0].reshape(2, 2).sum(axis=1 - i)[1], 0.2 * rate * middle / 3
            assert abs(flipped - wanted) < 5 * np.sqrt(wanted / shots)


def test_angles_drift_as_the_circuits_with_changed_angles() -> None:
    drift = noise.Drift(angles=0.5, readout=0.1, shots=100_000)
    engine, shots = virtual(drift, "calibrated"), 50_000
    for middle in (25_000, 75_000):
        exact = run(virtual(None, "calibrated"), None, drift.apply(CIRCUIT, middle))[0]
        counted = run(engine, shots, CIRCUIT)[0]
        assert (np.abs(counted - exact) / np.sqrt(exact * (1 - exact) / shots)).max() < 5
        unchanged = run(virtual(None, "calibrated"), None, CIRCUIT)[0]
        assert np.abs(exact - unchanged).max() > 0.01


CIRCUITS = [circuit(seed) for seed in range(25)]  # two jobs
DRIFTING: list[Any] = [noise.Drift(angles=0.5, readout=0.3, shots=10_000), noise.Loss(0.1)]


def calls(engine: Engine) -> list[Array]:
    """Return the probabilities of two equal calls of two jobs each."""
    return [row for _ in range(2) for row in run(engine, 200, *CIRCUITS)]


def test_identical_circuits_without_angles_run_in_one_job() -> None:
    first, second = run(virtual(noise.Loss(0.1)), None, ZERO, ZERO)
    np.testing.assert_array_equal(first, second)


def test_parts_of_a_job_have_the_drift_of_the_job_in_whatever_process_and_order_they_run() -> None:
    backend, worker = (VirtualBackend("willow_pink", seed=1, noise="none", extra_noise=DRIFTING) for _ in range(2))
    job = Job("j", tuple(CIRCUITS[:20]), ({},), 200, 7, shots_before=5000)
    parts = backend.parts(job)
    assert len(parts) == 1
    halves = [replace(parts[0], circuits=parts[0].circuits[half]) for half in (slice(10, 20), slice(10))]
    later, earlier = (worker.execute(half) for half in halves)
    found = [d.probabilities for d in backend.gather(job, [earlier, later])]
    np.testing.assert_array_equal(found, [d.probabilities for d in backend.run(job)])
    before = [d.probabilities for d in backend.run(replace(job, shots_before=0))]
    assert np.abs(np.subtract(found, before)).max() > 0.1


@pytest.mark.slow
def test_drift_is_the_same_on_workers() -> None:
    np.testing.assert_array_equal(calls(virtual(DRIFTING, workers=2)), calls(virtual(DRIFTING)))


def test_drift_is_the_same_after_a_resume_in_pieces(tmp_path: Path) -> None:
    extra = DRIFTING
    wanted = calls(virtual(extra))
    assert np.abs(np.subtract(wanted[:25], wanted[25:])).max() > 0.1  # the second call comes later
    for jobs in (1, 3):
        engine = virtual(extra, journal=tmp_path / "run", max_jobs=jobs)
        with pytest.raises(CapReachedError), pytest.warns(CapWarning):
            calls(engine)
        engine.journal.close()  # type: ignore[union-attr]
    engine = virtual(extra, journal=tmp_path / "run", max_jobs=4)
    np.testing.assert_array_equal(calls(engine), wanted)
    engine.journal.close()  # type: ignore[union-attr]
    with pytest.raises(JournalError, match="extra_noise"):
        virtual(extra[:1], journal=tmp_path / "run")


def test_record_and_notes_of_a_run_name_the_added_noise() -> None:
    engine = virtual("zz=0.1,drift=0.02", "calibrated")
    assert noise.from_record(engine.describe()["extra_noise"]) == noise.as_extra_noise("zz=0.1,drift=0.02")
    assert "extra_noise" not in virtual(None).describe()
    a = hq.integrated_gradients(
        hq.ring_ansatz(1, 0), [0.6, 0.8], baseline=0, estimator=hq.PolarizationShift(), engine=engine, shots=None
    )
    assert "Noise beyond the calibration of willow_pink: ZZCrosstalk(angle=0.1)." in a.assumptions.notes


def test_text_of_an_engine_names_added_noise() -> None:
    engine = parse_engine("virtual:willow_pink,noise=none,zz=0.1,scale=2", 0)
    assert noise.from_record(engine.describe()["extra_noise"]) == (noise.ZZCrosstalk(0.1), noise.ScaledErrors(2))
    assert parse_engine("virtual:willow_pink,readout-drift=0.1", 0).describe()["noise"] == "calibrated"
    assert snapshot_file("virtual:willow_pink,zz=0.1") == {}
    for wrong in ("virtual:willow_pink,zz=a", "virtual:willow_pink,rain=1", "virtual:willow_pink,scale=0"):
        with pytest.raises(ValueError, match=r"zz=a|must be qsim, cirq, virtual:PROCESSOR.*EXTRA|factor=0"):
            parse_engine(wrong, 0)
