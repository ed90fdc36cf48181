"""Simulators on this machine: qsim and Cirq's own, without noise or with a noise model, and any `cirq.Sampler`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cirq
import numpy as np

from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import only_measurement
from hattriq_cirq.execution.backend import Job, Limits
from hattriq_cirq.execution.backends.sampler import InProcessBackend, SamplerBackend, resolved
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array, FloatArray

Probabilities = Callable[[cirq.AbstractCircuit], FloatArray]
"""The exact probabilities of a circuit's outcomes, (2**measured,), big-endian in the measured order."""
FinalState = Callable[[cirq.AbstractCircuit, Sequence[cirq.Qid]], Array]
"""The state vector of a circuit on ordered qubits, (2**qubits,)."""
Populations = Callable[[cirq.AbstractCircuit, Sequence[cirq.Qid]], FloatArray]
"""The chances of the basis states after a circuit with channels, (2**qubits,)."""

UNLIMITED = Limits(shots=2**62, circuits=1)
"""A circuit a job, so that its counts do not depend on what else was asked for."""


class ExactBackend(InProcessBackend):
    """Computes exact probabilities, and draws counts from them with the job's seed."""

    def __init__(self, name: str, seed: int | None, probabilities: Probabilities, settings: Mapping[str, Any]) -> None:
        super().__init__(name, seed, UNLIMITED, settings)
        self._probabilities = probabilities

    def execute(self, job: Job) -> list[Distribution]:
        """Runs a job."""
        rng = np.random.default_rng(job.seed)
        return [sample_counts(self._probabilities(circuit), job.shots, rng) for circuit in resolved(job)]


def qsim(
    *,
    seed: int | None = None,
    threads: int | None = None,
    noise: cirq.NoiseModel | None = None,
    journal: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Engine:
    """The qsim simulator, single precision and fast.

    Args:
        seed: of the counts.
        threads: for one circuit; None takes every core.
        noise: simulated shot by shot, as quantum trajectories; there are no exact probabilities then.
        journal: a folder, see `Engine`.
        progress: show a progress bar.

    Returns:
        The engine.
    """
    cores = threads or os.cpu_count() or 1
    settings = {"kind": "simulator", "threads": cores, "noise": noise and repr(noise)}
    if noise is None:
        backend: InProcessBackend = ExactBackend("qsim", seed, state_vector(qsim_state(cores)), settings)
    else:
        backend = SamplerBackend("qsim", lambda job_seed: trajectories(noise, job_seed, cores), settings, seed=seed)
    return Engine(backend, journal=journal, progress=progress)


def cirq_simulator(
    *,
    seed: int | None = None,
    noise: cirq.NoiseModel | None = None,
    journal: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Engine:
    """Cirq's simulators in double precision: slower, exact to rounding.

    Args:
        seed: of the counts.
        noise: simulated exactly, as a density matrix; up to about 8 qubits.
        journal: a folder, see `Engine`.
        progress: show a progress bar.

    Returns:
        The engine.
    """
    exact = _cirq_state_vector if noise is None else _cirq_density_matrix(noise)
    backend = ExactBackend("cirq", seed, exact, {"kind": "simulator", "noise": noise and repr(noise)})
    return Engine(backend, journal=journal, progress=progress)


def sampler(
    cirq_sampler: cirq.Sampler,
    *,
    name: str | None = None,
    journal: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Engine:
    """Any `cirq.Sampler` as an engine; its counts are whatever it gives, seeded by itself or not at all.

    Args:
        cirq_sampler: runs circuits as they are. Cirq's own simulators without noise give exact probabilities, too.
        name: what results say they were run on; None takes the sampler's type.
        journal: a folder, see `Engine`.
        progress: show a progress bar.

    Returns:
        The engine.

    Raises:
        ValueError: not a `cirq.Sampler`.
    """
    if not isinstance(cirq_sampler, cirq.Sampler):
        raise ValueError(f"{cirq_sampler=} must be a cirq.Sampler, such as cirq.Simulator()")
    kind = type(cirq_sampler).__name__
    exact = None
    if isinstance(cirq_sampler, cirq.Simulator | cirq.DensityMatrixSimulator) and cirq_sampler.noise == cirq.NO_NOISE:
        exact = _cirq_state_vector if isinstance(cirq_sampler, cirq.Simulator) else _cirq_density_matrix(cirq.NO_NOISE)
    backend = SamplerBackend(name or kind, lambda _: cirq_sampler, {"kind": "sampler", "sampler": kind}, exact=exact)
    return Engine(backend, journal=journal, progress=progress)


def _cirq_density_matrix(noise: cirq.NoiseModel) -> Probabilities:
    return lambda circuit: with_noise(circuit, noise, _cirq_populations)


def _cirq_populations(circuit: cirq.AbstractCircuit, register: Sequence[cirq.Qid]) -> FloatArray:
    simulator = cirq.DensityMatrixSimulator(dtype=np.complex128)
    rho = simulator.simulate(circuit, qubit_order=register).final_density_matrix
    return np.asarray(np.diag(rho).real)


def qsim_state(threads: int) -> FinalState:
    """State vectors by qsim, in single precision."""
    from qsimcirq.qsim_simulator import QSimOptions, QSimSimulator

    simulator = QSimSimulator(QSimOptions(cpu_threads=threads, max_fused_gate_size=4))
    return lambda circuit, register: np.asarray(simulator.simulate(circuit, qubit_order=register).final_state_vector)


def trajectories(noise: cirq.NoiseModel, seed: int | None, threads: int) -> cirq.Sampler:
    """A qsim sampler that draws a quantum trajectory a shot."""
    from qsimcirq.qsim_simulator import QSimOptions, QSimSimulator

    options = QSimOptions(cpu_threads=threads, max_fused_gate_size=2 if threads == 1 else 4)
    return QSimSimulator(options, noise=noise, seed=int(np.random.SeedSequence(seed).generate_state(1)[0]))


def pure_populations(circuit: cirq.AbstractCircuit, register: Sequence[cirq.Qid], final_state: FinalState) -> FloatArray:
    """The chances of the basis states after a circuit of gates, (2**qubits,)."""
    for op in circuit.all_operations():
        if not cirq.has_unitary(op) and not isinstance(op.gate, cirq.StatePreparationChannel):
            raise ValueError(
                f"{op} is no gate that a state vector can follow, but a density matrix can: use "
                "cirq_simulator(noise=cirq.NO_NOISE), or virtual(..., method='density')"
            )
    return np.asarray(np.abs(final_state(circuit, register).astype(np.complex128)) ** 2)


def state_vector(final_state: FinalState) -> Probabilities:
    """Exact probabilities of circuits without noise."""

    def probabilities(circuit: cirq.AbstractCircuit) -> FloatArray:
        measurement = only_measurement(circuit)
        register = sorted(circuit.all_qubits())
        return measured(pure_populations(circuit[:-1], register, final_state), register, measurement)

    return probabilities


@state_vector
def _cirq_state_vector(circuit: cirq.AbstractCircuit, register: Sequence[cirq.Qid]) -> Array:
    simulator = cirq.Simulator(dtype=np.complex128)
    return np.asarray(simulator.simulate(circuit, qubit_order=register).final_state_vector)


def with_noise(circuit: cirq.AbstractCircuit, noise: cirq.NoiseModel, populations: Populations) -> FloatArray:
    """Exact probabilities with noise, by a density matrix of the circuit's own qubits."""
    measurement = only_measurement(circuit)
    register = sorted(circuit.all_qubits())
    noisy = circuit.unfreeze().with_noise(noise)
    before = noisy[: next(i for i, moment in enumerate(noisy) if any(map(cirq.is_measurement, moment)))]
    return measured(populations(before, register), register, measurement)


def measured(probabilities: FloatArray, register: Sequence[cirq.Qid], measurement: cirq.Operation) -> FloatArray:
    """Probabilities of the measured bits, (2**measured,), of sum 1, from those of a whole register, (2**register,)."""
    axes = [register.index(q) for q in measurement.qubits]
    rest = tuple(axis for axis in range(len(register)) if axis not in axes)
    marginal: FloatArray = probabilities.reshape((2,) * len(register)).sum(axis=rest)
    ordered = marginal.transpose(np.argsort(np.argsort(axes)))
    gate = measurement.gate
    assert isinstance(gate, cirq.MeasurementGate)
    inverted = tuple(axis for axis, flipped in enumerate(gate.full_invert_mask()) if flipped)
    flat = np.flip(ordered, inverted).reshape(-1).clip(0)
    return np.asarray(flat / flat.sum())


def sample_counts(probabilities: FloatArray, shots: int | None, rng: np.random.Generator) -> Distribution:
    """The distribution of so many shots, or of exact probabilities."""
    if shots is None:
        return Distribution(probabilities, None)
    return Distribution.from_counts(rng.multinomial(shots, probabilities))
