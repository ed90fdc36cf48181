"""Engines on simulators of this machine: qsim, Cirq's own simulators, with or without noise, and any `cirq.Sampler`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import cirq
import numpy as np

from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.encoding.exact import encode
from hattriq_cirq.execution.backend import Job, Limits
from hattriq_cirq.execution.backends.distributed import check_stateless, spread
from hattriq_cirq.execution.backends.sampler import InProcessBackend, SamplerBackend, exact_parts, resolve_circuits
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.checks import ArgumentTypeError, as_count, as_seed, check_flag, check_type, shown
from hattriq_cirq.foundation.identity import content_digest, describe_content
from hattriq_cirq.foundation.machine import available_cores
from hattriq_cirq.simulation.blocks import Step
from hattriq_cirq.simulation.noisy_program import steps_of
from hattriq_cirq.simulation.qsim import QsimSettings, for_qsim

#: Function that returns the exact probabilities of a circuit's outcomes, (2**measured,), big-endian in the measured order.
Probabilities = Callable[[cirq.AbstractCircuit], FloatArray]
#: Function that returns the final state vector of a circuit on ordered qubits, (2**qubits,).
FinalState = Callable[[cirq.AbstractCircuit, Sequence[cirq.Qid]], Array]
#: Function that returns the probabilities of the basis states after a circuit with channels, (2**qubits,).
Populations = Callable[[cirq.AbstractCircuit, Sequence[cirq.Qid]], FloatArray]

#: Largest number of threads for one circuit.
THREADS_MAX = 1024
#: One circuit per job, so that its counts do not depend on the other circuits of a call.
UNLIMITED = Limits(shots=2**62, circuits=1)


class ExactBackend(InProcessBackend):
    """Backend that computes exact probabilities and samples counts from them with the job's seed.

    Args:
        name: Name that results carry.
        seed: Random seed from which the engine derives the seeds of jobs.
        probabilities: Function that returns the exact probabilities of a circuit.
        settings: Further entries of the backend's record, as JSON.
        noise: Noise model of these probabilities.
    """

    def __init__(
        self,
        name: str,
        seed: int | None,
        probabilities: Probabilities,
        settings: Mapping[str, Any],
        noise: cirq.NoiseModel = cirq.NO_NOISE,
    ) -> None:
        super().__init__(name, seed, UNLIMITED, settings)
        self._probabilities, self._noise = probabilities, noise

    def noisy_steps(self, circuit: cirq.AbstractCircuit, register: Sequence[cirq.Qid]) -> list[Step]:
        """Return the gates and channels of a circuit without symbols, up to its measurement."""
        noisy = circuit.unfreeze().with_noise(self._noise)
        end, _ = _measured_with_noise(noisy, circuit)
        return list(steps_of((op for op in noisy[:end].all_operations() if op.qubits), register))

    def parts(self, job: Job) -> Sequence[Job]:
        """Return the parts of a job, a few circuits or points each, for exact probabilities."""
        return exact_parts(job)

    def execute(self, part: Job) -> list[Distribution]:
        """Run a part of a job and return its distributions, ordered by circuit, then by point."""
        return [Distribution(self._probabilities(circuit), None) for circuit in resolve_circuits(part)]


def qsim(  # noqa: PLR0913  one argument for each choice of the user
    *,
    seed: int | None = None,
    threads: int | None = None,
    noise: cirq.NoiseModel | None = None,
    name: str | None = None,
    journal: str | os.PathLike[str] | None = None,
    progress: bool = False,
    max_shots: int | None = None,
    max_jobs: int | None = None,
    max_seconds: float | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    gpu: bool = False,
    gpu_mode: int = 0,
    fused_qubits: int | None = None,
) -> Engine:
    """Return an engine on the qsim simulator, which is fast and computes in single precision.

    Args:
        seed: Random seed of the counts.
        threads: Number of threads for one circuit; None shares the cores that this process may use among the workers.
        noise: Noise model, simulated by one quantum trajectory per shot; exact probabilities are then unavailable.
        name: Name that results carry, None is "qsim"; a journal needs it for noise whose content cannot be compared.
        journal: Journal folder, see `Engine`.
        progress: True to show a progress bar.
        max_shots: Cap on the shots of all jobs, see `Engine`; None sets no cap.
        max_jobs: Cap on the number of jobs.
        max_seconds: Cap on the seconds of waiting for jobs.
        workers: Number of processes of this machine that run jobs; 1 runs them in this one. The counts are the same.
        scheduler: Address of a Dask scheduler whose workers run the jobs, such as "tcp://127.0.0.1:8786".
        gpu: True to simulate on a GPU, by a qsimcirq that was compiled where CUDA is. It helps from about 26 qubits; below,
            the way of the state to main memory takes longer than is gained.
        gpu_mode: Number of qsim's library for a GPU, 0 for CUDA or 1 for NVIDIA's cuStateVec.
        fused_qubits: Largest number of qubits, 2 to 6, of the gates that qsim multiplies into one; None lets the engine choose.

    Returns:
        The engine.

    Raises:
        DeviceError: The installed qsimcirq cannot compute on a GPU.

    Example:
        >>> import cirq
        >>> bell = cirq.Circuit(cirq.H(cirq.q(0)), cirq.CNOT(cirq.q(0), cirq.q(1)), cirq.measure(cirq.q(0), cirq.q(1)))
        >>> (distribution,) = qsim(seed=1).run([bell], [1000])
        >>> int(distribution.counts.sum()), distribution.counts[[1, 2]].tolist()
        (1000, [0, 0])
    """
    seed, noise = _check_simulator(seed, noise, name)
    cores = available_cores() if threads is None else as_count(threads, "threads", 1, THREADS_MAX)
    settings = {"kind": "simulator", "threads": cores, **_content("noise", noise, name, journal)}
    shared = cores if noise is not None or threads is not None else max(1, cores // as_count(workers, "workers"))
    mode = as_count(gpu_mode, "gpu_mode", 0, 1)
    fused = None if fused_qubits is None else as_count(fused_qubits, "fused_qubits", 2, 6)
    computed = QsimSettings(shared, fused, check_flag(gpu, "gpu"), mode)
    if computed.gpu:
        settings["device"] = f"cuda: qsim, gpu_mode={mode}"
    make = partial(_qsim_backend, name or "qsim", seed, noise, computed, settings)
    return Engine(
        spread(make, workers, scheduler, "gpu=True" if computed.gpu else None),
        journal=journal,
        progress=progress,
        max_shots=max_shots,
        max_jobs=max_jobs,
        max_seconds=max_seconds,
    )


def _qsim_backend(
    name: str, seed: int | None, noise: cirq.NoiseModel | None, computed: QsimSettings, settings: Mapping[str, Any]
) -> InProcessBackend:
    computed.simulator()  # raises an error without the library
    if noise is None:
        return ExactBackend(name, seed, state_vector(qsim_state(computed)), settings)
    return SamplerBackend(name, lambda job_seed: trajectories(noise, job_seed, computed), settings, seed=seed)


def cirq_simulator(
    *,
    seed: int | None = None,
    noise: cirq.NoiseModel | None = None,
    name: str | None = None,
    journal: str | os.PathLike[str] | None = None,
    progress: bool = False,
    max_shots: int | None = None,
    max_jobs: int | None = None,
    max_seconds: float | None = None,
    workers: int = 1,
    scheduler: str | None = None,
) -> Engine:
    """Return an engine on Cirq's simulators, which compute in double precision, exact to rounding.

    Args:
        seed: Random seed of the counts.
        noise: Noise model, simulated exactly by a density matrix of up to about 8 qubits.
        name: Name that results carry, None is "cirq"; a journal needs it for noise whose content cannot be compared.
        journal: Journal folder, see `Engine`.
        progress: True to show a progress bar.
        max_shots: Cap on the shots of all jobs, see `Engine`; None sets no cap.
        max_jobs: Cap on the number of jobs.
        max_seconds: Cap on the seconds of waiting for jobs.
        workers: Number of processes of this machine that run jobs; 1 runs them in this one. The counts are the same.
        scheduler: Address of a Dask scheduler whose workers run the jobs, such as "tcp://127.0.0.1:8786".

    Returns:
        The engine.

    Example:
        >>> import cirq
        >>> flipped = cirq.Circuit(cirq.X(cirq.q(0)), cirq.measure(cirq.q(0)))
        >>> (exact,) = cirq_simulator(noise=cirq.bit_flip(0.25)).run([flipped], None)
        >>> exact.probabilities.round(3).tolist()
        [0.25, 0.75]
    """
    seed, noise = _check_simulator(seed, noise, name)
    settings = {"kind": "simulator", **_content("noise", noise, name, journal)}
    make = partial(_cirq_backend, name or "cirq", seed, noise, settings)
    return Engine(
        spread(make, workers, scheduler),
        journal=journal,
        progress=progress,
        max_shots=max_shots,
        max_jobs=max_jobs,
        max_seconds=max_seconds,
    )


def _cirq_backend(name: str, seed: int | None, noise: cirq.NoiseModel | None, settings: Mapping[str, Any]) -> InProcessBackend:
    exact = _cirq_state_vector if noise is None else _cirq_density_matrix(noise)
    return ExactBackend(name, seed, exact, settings, cirq.NO_NOISE if noise is None else noise)


def _check_simulator(seed: object, noise: object, name: object) -> tuple[int | None, cirq.NoiseModel | None]:
    """Return the seed and the noise model of a simulator; a channel on one qubit is noise on every qubit."""
    check_type(name, "name", str | None, "a text, or None")
    if noise is not None and not isinstance(noise, cirq.NoiseModel | cirq.Gate):
        raise ArgumentTypeError(
            f"noise={shown(noise)} must be a cirq.NoiseModel, such as cirq.ConstantQubitNoiseModel(...), or None"
        )
    return None if seed is None else as_seed(seed), noise  # type: ignore[return-value]


def sampler(
    cirq_sampler: cirq.Sampler,
    *,
    name: str | None = None,
    journal: str | os.PathLike[str] | None = None,
    progress: bool = False,
    max_shots: int | None = None,
    max_jobs: int | None = None,
    max_seconds: float | None = None,
    workers: int = 1,
    scheduler: str | None = None,
) -> Engine:
    """Return an engine on any `cirq.Sampler`, which is not seeded by the engine.

    Args:
        cirq_sampler: Sampler that runs the circuits unchanged. Cirq's own noiseless simulators also give exact probabilities.
        name: Name that results carry, None takes the sampler's type; a journal needs it for a sampler whose content cannot be
            compared, such as one that holds a connection.
        journal: Journal folder, see `Engine`.
        progress: True to show a progress bar.
        max_shots: Cap on the shots of all jobs, see `Engine`; None sets no cap.
        max_jobs: Cap on the number of jobs.
        max_seconds: Cap on the seconds of waiting for jobs.
        workers: Number of processes of this machine that run jobs; 1 runs them in this one. The counts are the same.
        scheduler: Address of a Dask scheduler whose workers run the jobs, such as "tcp://127.0.0.1:8786".

    Returns:
        The engine.

    Raises:
        ValueError: The argument is not a `cirq.Sampler`.

    Example:
        >>> import cirq
        >>> engine = sampler(cirq.ZerosSampler())
        >>> (distribution,) = engine.run([cirq.Circuit(cirq.measure(cirq.q(0)))], [100])
        >>> engine.name, distribution.counts.tolist()
        ('ZerosSampler', [100, 0])
    """
    if not isinstance(cirq_sampler, cirq.Sampler):
        raise ValueError(f"{cirq_sampler=} must be a cirq.Sampler, such as cirq.Simulator()")
    kind = type(cirq_sampler).__name__
    settings = {"kind": "sampler", **_content("sampler", cirq_sampler, name, journal), "sampler": kind}
    if workers != 1 or scheduler is not None:
        check_stateless(cirq_sampler, f"cirq_sampler={describe_content(cirq_sampler)}")
    make = partial(_sampler_backend, name or kind, cirq_sampler, settings)
    return Engine(
        spread(make, workers, scheduler),
        journal=journal,
        progress=progress,
        max_shots=max_shots,
        max_jobs=max_jobs,
        max_seconds=max_seconds,
    )


def _sampler_backend(name: str, cirq_sampler: cirq.Sampler, settings: Mapping[str, Any]) -> InProcessBackend:
    exact = None
    if isinstance(cirq_sampler, cirq.Simulator | cirq.DensityMatrixSimulator) and cirq_sampler.noise == cirq.NO_NOISE:
        exact = _cirq_state_vector if isinstance(cirq_sampler, cirq.Simulator) else _cirq_density_matrix(cirq.NO_NOISE)
    return SamplerBackend(name, lambda _: cirq_sampler, settings, exact=exact)


def _content(what: str, value: object, name: str | None, journal: str | os.PathLike[str] | None) -> dict[str, str | None]:
    """Return the record of a noise model or sampler: its text for people and its content, by which a journal knows it.

    Raises:
        JournalError: There is a journal, and the value is known neither by its content nor by a name.
    """
    if value is None:
        return {what: None}
    digest = content_digest(value)
    if digest is None and name is None and journal is not None:
        raise JournalError(
            f"the content of {what}={describe_content(value)} cannot be compared, so a journal could not tell whether a run "
            "resumes with the same one; name it by name=, and give each one another name"
        )
    return {what: describe_content(value), "content": digest}


def _cirq_density_matrix(noise: cirq.NoiseModel) -> Probabilities:
    return lambda circuit: noisy_probabilities(circuit, noise, _cirq_populations)


def _cirq_populations(circuit: cirq.AbstractCircuit, register: Sequence[cirq.Qid]) -> FloatArray:
    simulator = cirq.DensityMatrixSimulator(dtype=np.complex128, split_untangled_states=False)
    rho = simulator.simulate(circuit, qubit_order=register).final_density_matrix
    return np.asarray(np.diag(rho).real)


def qsim_state(settings: QsimSettings) -> FinalState:
    """Return a function that computes state vectors by qsim, in single precision."""
    simulator = settings.simulator()
    return lambda circuit, register: np.asarray(simulator.simulate(for_qsim(circuit), qubit_order=register).final_state_vector)


def trajectories(noise: cirq.NoiseModel, seed: int | None, settings: QsimSettings) -> cirq.Sampler:
    """Return a qsim sampler that simulates one quantum trajectory per shot."""
    return _Trajectories(noise, seed, settings)


class _Trajectories(cirq.Sampler):
    """Sampler of trajectories by qsim, which reads the circuit with its noise, all of it translated."""

    def __init__(self, noise: cirq.NoiseModel, seed: int | None, settings: QsimSettings) -> None:
        drawn = int(np.random.SeedSequence(seed).generate_state(1)[0])
        self._simulator = settings.simulator(drawn, fused_qubits=2 if settings.threads == 1 else 4)
        self._noise = cirq.NoiseModel.from_noise_model_like(noise)

    def run_sweep(self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1) -> Sequence[cirq.Result]:
        """Run a circuit at every point."""
        results: list[cirq.Result] = []
        for resolver in cirq.to_resolvers(params):
            circuit = cirq.resolve_parameters(program, resolver)
            if self._noise is not cirq.NO_NOISE:
                noisy = cirq.Circuit(self._noise.noisy_moments(circuit, sorted(circuit.all_qubits())))
                _measured_with_noise(noisy, circuit)
                circuit = noisy
            outcomes = self._simulator.run(for_qsim(circuit), repetitions=repetitions).records
            results.append(cirq.ResultDict(params=resolver, records=outcomes))
        return results


def state_vector_populations(
    circuit: cirq.AbstractCircuit, register: Sequence[cirq.Qid], final_state: FinalState
) -> FloatArray:
    """Return the probabilities of the basis states after a circuit of gates, (2**qubits,)."""
    prepared: dict[int, cirq.Circuit] = {}  # by the operation's identity, because states cannot be hashed
    touched: set[cirq.Qid] = set()
    for op in circuit.all_operations():
        if isinstance(op.gate, cirq.StatePreparationChannel) and touched.isdisjoint(op.qubits):
            prepared[id(op)] = encode(op.gate.state, op.qubits)
        elif not cirq.has_unitary(op):
            raise ValueError(
                f"{op} is no gate that a state vector can follow, but a density matrix can: use "
                "cirq_simulator(noise=cirq.NO_NOISE), or virtual(..., method='density')"
            )
        touched.update(op.qubits)
    if prepared:
        circuit = cirq.Circuit([prepared.get(id(op), op) for op in circuit.all_operations()])
    return np.asarray(np.abs(final_state(circuit, register).astype(np.complex128)) ** 2)


def state_vector(final_state: FinalState) -> Probabilities:
    """Return a function that computes the exact probabilities of noiseless circuits from their state vectors."""

    def probabilities(circuit: cirq.AbstractCircuit) -> FloatArray:
        (measurement,) = circuit[-1].operations
        register = sorted(circuit.all_qubits())
        return marginal_probabilities(state_vector_populations(circuit[:-1], register, final_state), register, measurement)

    return probabilities


@state_vector
def _cirq_state_vector(circuit: cirq.AbstractCircuit, register: Sequence[cirq.Qid]) -> Array:
    simulator = cirq.Simulator(dtype=np.complex128, split_untangled_states=False)
    return np.asarray(simulator.simulate(circuit, qubit_order=register).final_state_vector)


def noisy_probabilities(circuit: cirq.AbstractCircuit, noise: cirq.NoiseModel, populations: Populations) -> FloatArray:
    """Return the exact outcome probabilities of a circuit with noise, from a density matrix of the circuit's own qubits."""
    register = sorted(circuit.all_qubits())
    without_phases = cirq.map_operations(circuit.unfreeze(), lambda op, _: op if op.qubits else [])
    noisy = without_phases.with_noise(noise)
    end, measurement = _measured_with_noise(noisy, circuit)
    return marginal_probabilities(populations(noisy[:end], register), register, measurement)


def _measured_with_noise(noisy: cirq.AbstractCircuit, circuit: cirq.AbstractCircuit) -> tuple[int, cirq.Operation]:
    """Return the moment and the operation by which a noise model replaced the measurement that ends a circuit."""
    (measurement,) = circuit[-1].operations
    measured = [(i, op) for i, moment in enumerate(noisy) for op in moment if cirq.is_measurement(op)]
    if len(measured) != 1 or measured[0][1].qubits != measurement.qubits:
        listed = ", ".join(str(op) for _, op in measured) or "nothing"
        raise ValueError(f"the noise model replaces {measurement} by {listed}; it must keep one measurement of the same qubits")
    return measured[0]


def marginal_probabilities(probabilities: FloatArray, register: Sequence[cirq.Qid], measurement: cirq.Operation) -> FloatArray:
    """Return the probabilities of the measured bits, (2**measured,), with sum 1, from those of a whole register, (2**n,)."""
    axes = [register.index(q) for q in measurement.qubits]
    rest = tuple(axis for axis in range(len(register)) if axis not in axes)
    marginal: FloatArray = probabilities.reshape((2,) * len(register)).sum(axis=rest)
    ordered = marginal.transpose(np.argsort(np.argsort(axes)))
    gate = measurement.gate
    assert isinstance(gate, cirq.MeasurementGate)
    for positions, confusion in gate.confusion_map.items():  # [true, observed], before the bits are inverted
        k = len(positions)
        observed = np.tensordot(ordered, confusion.reshape((2,) * (2 * k)), (positions, range(k)))
        ordered = np.moveaxis(observed, range(-k, 0), positions)
    inverted = tuple(axis for axis, flipped in enumerate(gate.full_invert_mask()) if flipped)
    flat = np.flip(ordered, inverted).reshape(-1).clip(0)
    return np.asarray(flat / flat.sum())
