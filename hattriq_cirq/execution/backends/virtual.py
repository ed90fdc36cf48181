"""Google's processors without Google: cirq-google's own noise, the service's own checks, on this machine."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, get_args

import cirq
import numpy as np

from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import only_measurement, to_sweep
from hattriq_cirq.compilation.processor import gateset_name, load_processor
from hattriq_cirq.execution.backend import Job, Limits
from hattriq_cirq.execution.backends.sampler import InProcessBackend, histogram, resolved
from hattriq_cirq.execution.backends.simulators import measured, pure_populations, qsim_state, trajectories, with_noise
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.simulation.pauli_transfer import populations

if TYPE_CHECKING:
    import cirq_google as cg

Noise = Literal["calibrated", "none", "readout", "gates"]
Method = Literal["density", "trajectories"]

_WIDEST = 12  # qubits of a density matrix: it and what it is turned into take 0.3 GB


def virtual(
    processor_id: str,
    *,
    seed: int | None = None,
    noise: Noise = "calibrated",
    gateset: str | None = None,
    method: Method | None = None,
    threads: int = 1,
    journal: str | os.PathLike[str] | None = None,
    qubits: Sequence[cirq.Qid] | None = None,
    progress: bool = False,
) -> Engine:
    """A processor bundled with cirq_google: its couplers, gates, median calibration and noise, and the service's limits.

    Args:
        processor_id: willow_pink, weber or rainbow.
        seed: of the counts.
        noise: all of the calibration's, none, that of the readout alone, or that of gates and idling alone.
        gateset: cz, sqrt_iswap or sycamore; None takes the first whose errors the calibration has.
        method: density matrices are exact and do not care for shots, trajectories do not care for width; None takes
            the faster one. Without noise of gates both are left alone for a state vector.
        threads: for one circuit.
        journal: a folder, see `Engine`.
        qubits: of the processor, to place circuits on; None chooses.
        progress: show a progress bar.

    Returns:
        The engine. `shots=None` gives exact probabilities with noise, up to 12 qubits in all of a circuit.

    Raises:
        ValueError: an unknown word, or a gate set of whose errors the calibration says nothing, so that its noise cannot
            be simulated.
    """
    backend = VirtualBackend(processor_id, seed=seed, noise=noise, gateset=gateset, method=method, threads=threads)
    return Engine(backend, journal=journal, qubits=qubits, progress=progress)


class VirtualBackend(InProcessBackend):
    """Jobs on cirq-google's simulated processor; see `virtual`."""

    def __init__(
        self,
        processor_id: str,
        *,
        seed: int | None = None,
        noise: Noise = "calibrated",
        gateset: str | None = None,
        method: Method | None = None,
        threads: int = 1,
    ) -> None:
        if noise not in get_args(Noise):
            raise ValueError(f"{noise=} must be one of {', '.join(get_args(Noise))}")
        if method not in (None, *get_args(Method)):
            raise ValueError(f"{method=} must be one of {', '.join(get_args(Method))}, or None for the faster one")
        if threads < 1:
            raise ValueError(f"{threads=} must be at least 1")
        processor = load_processor(processor_id, gateset)
        if noise in ("calibrated", "gates") and not processor.two_qubit_errors:
            raise ValueError(
                f"the calibration of {processor_id} has no errors for {gateset=}, so {noise=} would leave its two-qubit gates "
                f"perfect; use gateset={gateset_name(load_processor(processor_id).gateset)!r}, or noise='readout'"
            )
        super().__init__(
            f"virtual:{processor_id}",
            seed,
            Limits(circuits=20),
            {"kind": "virtual", "noise": noise, "method": method, "processor": processor.describe()},
            processor,
        )
        self.noise, self.method, self.threads = noise, method, threads
        self._processor_id = processor_id
        self._noise_on = lru_cache(maxsize=64)(self._build_noise)
        self._density = lru_cache(maxsize=256)(self._compute_density)

    def describe(self) -> dict[str, Any]:
        """What a record needs to know of the backend, as JSON."""
        described = super().describe()
        return described | {"versions": described["versions"] | {"cirq-google": version("cirq-google")}}

    def execute(self, job: Job) -> list[Distribution]:
        """Runs a job.

        Raises:
            CircuitRefusedError: the service would refuse it.
            ValueError: exact probabilities of more qubits than a density matrix can hold.
        """
        measurements = [only_measurement(circuit) for circuit in job.circuits]
        if self.method == "density" or (self.simulates_gates and job.shots is None):
            _refuse_wide(job.circuits)
        results = self._sampled(job)
        if job.shots is None:
            return [Distribution(self.probabilities(circuit), None) for circuit in resolved(job)]
        return [
            histogram(result, measurement)
            for measurement, start in zip(measurements, range(0, len(results), len(job.points)), strict=True)
            for result in results[start : start + len(job.points)]
        ]

    def _sampled(self, job: Job) -> Sequence[cirq.Result]:
        """The job's results from the simulated processor, which refuses what the service would refuse.

        A job for exact probabilities is only checked, with one repetition of zeros.
        """
        from cirq_google.engine import SimulatedLocalEngine, SimulatedLocalProcessor, engine_validator
        from cirq_google.serialization import CIRCUIT_SERIALIZER

        assert self.processor is not None
        check_program = engine_validator.create_program_validator()
        simulated = SimulatedLocalProcessor(
            processor_id=self._processor_id,
            sampler=cirq.ZerosSampler() if job.shots is None else _JobSampler(self, job.seed),
            device=self.processor.device,
            validator=engine_validator.create_engine_validator(),
            program_validator=check_program,
        )
        SimulatedLocalEngine([simulated])
        points, shots = to_sweep(job.points), job.shots or 1
        try:
            for circuit in job.circuits[1:]:  # the service's check looks at the first one only
                check_program([circuit], [points], shots, CIRCUIT_SERIALIZER)
            running = simulated.run_sweep(job.circuits, job_id=job.id, params=points, repetitions=shots)
            return running.results()  # to be asked for once: a second time samples anew
        except (RuntimeError, ValueError) as error:
            raise CircuitRefusedError(f"{self.name} refuses job {job.id}: {error}") from error

    @property
    def simulates_gates(self) -> bool:
        """Whether anything but the readout is noisy."""
        return self.noise in ("calibrated", "gates")

    def method_for(self, circuit: cirq.AbstractCircuit, shots: int) -> Method:
        """What counts are drawn from; density matrices stand for everything that is exact."""
        return self.method or (quicker(len(circuit.all_qubits()), shots) if self.simulates_gates else "density")

    def probabilities(self, circuit: cirq.FrozenCircuit) -> FloatArray:
        """The exact probabilities of a circuit's outcomes, noise included, (2**measured,)."""
        if self.simulates_gates or self.method == "density":
            return self._density(circuit)
        measurement, register = only_measurement(circuit), sorted(circuit.all_qubits())
        chances = pure_populations(circuit[:-1], register, qsim_state(self.threads)).reshape((2,) * len(register))
        for op in cirq.Circuit(measurement).with_noise(self.noise_on(circuit)).all_operations():
            if not cirq.is_measurement(op):  # a channel before the readout, which moves populations
                axis = register.index(op.qubits[0])
                moved = np.sum(np.abs(np.array(cirq.kraus(op))) ** 2, axis=0)
                chances = np.moveaxis(np.tensordot(moved, chances, (1, axis)), 0, axis)
        return measured(chances, register, measurement)

    def _compute_density(self, circuit: cirq.FrozenCircuit) -> FloatArray:
        return with_noise(circuit, self.noise_on(circuit), populations)

    def noise_on(self, circuit: cirq.AbstractCircuit) -> cirq.NoiseModel:
        """The noise model of the circuit's qubits."""
        return self._noise_on(circuit.all_qubits())

    def _build_noise(self, qubits: frozenset[cirq.Qid]) -> cirq.NoiseModel:
        """Google's noise properties of some qubits, restricted to the kind of noise; fewer of them convert faster."""
        if self.noise == "none":
            return cirq.NO_NOISE
        from cirq_google import NoiseModelFromGoogleNoiseProperties

        return NoiseModelFromGoogleNoiseProperties(_properties(self._processor_id, self.noise, qubits))


def _properties(processor_id: str, noise: Noise, qubits: frozenset[cirq.Qid]) -> cg.GoogleNoiseProperties:
    """A processor's noise properties, only those of some qubits and of the kind of noise."""
    whole = _load_properties(processor_id)

    def kept(values: Mapping[Any, Any], kind: Noise) -> dict[Any, Any]:
        if noise not in ("calibrated", kind):
            return {}
        return {key: value for key, value in values.items() if qubits.issuperset(getattr(key, "qubits", (key,)))}

    return dataclasses.replace(
        whole,
        t1_ns=kept(whole.t1_ns, "gates"),
        tphi_ns=kept(whole.tphi_ns, "gates"),
        gate_pauli_errors=kept(whole.gate_pauli_errors, "gates"),
        fsim_errors=kept(whole.fsim_errors, "gates"),
        readout_errors=kept(whole.readout_errors, "readout"),
    )


@lru_cache(maxsize=4)
def _load_properties(processor_id: str) -> cg.GoogleNoiseProperties:
    from cirq_google.engine import load_device_noise_properties

    return load_device_noise_properties(processor_id)


def _refuse_wide(circuits: Sequence[cirq.AbstractCircuit]) -> None:
    widest = max(len(circuit.all_qubits()) for circuit in circuits)
    if widest > _WIDEST:
        raise ValueError(
            f"a circuit on {widest} qubits has too large a density matrix, the widest is {_WIDEST}; give shots, and leave "
            "method to None or 'trajectories'"
        )


class _JobSampler(cirq.Sampler):
    """Draws the counts of one job, all from its seed."""

    def __init__(self, backend: VirtualBackend, seed: int | None) -> None:
        self._backend, self._rng = backend, np.random.default_rng(seed)

    def run_sweep(self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1) -> Sequence[cirq.Result]:
        """Runs a circuit at every point."""
        return list(self._results(program, params, repetitions))

    def _results(self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int) -> Iterator[cirq.Result]:
        backend = self._backend
        for resolver in cirq.to_resolvers(params):
            circuit = cirq.resolve_parameters(program, resolver).freeze()
            if backend.method_for(circuit, repetitions) == "trajectories":
                noise = backend.noise_on(circuit)
                yield trajectories(noise, int(self._rng.integers(2**63)), backend.threads).run(circuit, resolver, repetitions)
            else:
                measurement = only_measurement(circuit)
                counts = self._rng.multinomial(repetitions, backend.probabilities(circuit))
                outcomes = np.repeat(np.arange(len(counts)), counts)
                bits = (outcomes[:, np.newaxis] >> np.arange(len(measurement.qubits) - 1, -1, -1)) & 1
                key = cirq.measurement_key_name(measurement)
                yield cirq.ResultDict(params=resolver, measurements={key: bits.astype(np.uint8)})


def quicker(qubits: int, shots: int) -> Method:
    """Whether a density matrix or trajectories take less time for a noisy circuit of so many qubits and shots.

    Per noisy operation a density matrix takes 25 us and 0.3 ns for each of its 4**n entries, a trajectory 1.5 us and 0.3 ns
    for each of its 2**n amplitudes, a shot: measured on one core with circuits of 20 layers on 3 to 12 qubits.
    """
    density = 25e-6 + 0.3e-9 * 4**qubits
    trajectory = 1.5e-6 + 0.3e-9 * 2**qubits
    return "density" if qubits <= _WIDEST and density < shots * trajectory else "trajectories"
