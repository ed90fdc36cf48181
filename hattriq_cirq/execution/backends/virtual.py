"""Virtual Google processors: a simulation on this machine with cirq-google's noise models and the service's own checks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from importlib.metadata import version
from itertools import count, takewhile
from math import prod
from typing import TYPE_CHECKING, Any, Literal, get_args

import cirq
import numpy as np

from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import Point, to_sweep
from hattriq_cirq.circuits.swept_gates import columns_of, evaluate, unitaries
from hattriq_cirq.compilation.gatesets import gateset_name
from hattriq_cirq.compilation.metrics import is_missing_for
from hattriq_cirq.compilation.snapshot import Snapshot, find_snapshot
from hattriq_cirq.execution.backend import Job, Limits
from hattriq_cirq.execution.backends.distributed import spread
from hattriq_cirq.execution.backends.sampler import (
    InProcessBackend,
    exact_parts,
    resolve_circuits,
    sample_counts,
    to_distributions,
)
from hattriq_cirq.execution.backends.simulators import (
    THREADS_MAX,
    marginal_probabilities,
    qsim_state,
    state_vector_populations,
    trajectories,
)
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.execution.journal_records import recorded_engine
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.checks import as_count, as_seed, check_type, shown
from hattriq_cirq.foundation.devices import Device
from hattriq_cirq.simulation import pauli_transfer
from hattriq_cirq.simulation.blocks import Step, gather
from hattriq_cirq.simulation.noise import (
    Drift,
    ExtraNoise,
    NoiseSequence,
    ScaledErrors,
    as_extra_noise,
    confusion_as_channels,
    to_record,
)
from hattriq_cirq.simulation.noisy_program import NoisyProgram, steps_of
from hattriq_cirq.simulation.qsim import QsimSettings
from hattriq_cirq.simulation.statevector import Precision

if TYPE_CHECKING:
    import cirq_google as cg

Noise = Literal["calibrated", "none", "readout", "gates"]
Method = Literal["density", "trajectories"]

_STAND_IN = "stands for a gate of any angles"
_END = "end of the moment"
_PHASED_XZ = cirq.PhasedXZGate(x_exponent=0.25, z_exponent=0.25, axis_phase_exponent=0.25)
_PART_RUNS = 64  # largest number of circuits times points of a part of a job
_MAX_DENSITY_QUBITS = 14  # a density matrix of 14 qubits has 2**28 numbers
_SMALL_DENSITY_QUBITS = 12  # up to which memory is not asked, and method=None may take a density matrix
_METHOD_RULE = 2  # of `faster_method`, for new runs
_COPIES = 4  # of a density matrix that exist at once during a product


class MissingCalibrationWarning(UserWarning):
    """The calibration lacks figures of the simulated noise: they are the median of other qubits, or count as no error.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", MissingCalibrationWarning)  # the notes of the result still say it
    """


def virtual(  # noqa: PLR0913  one argument for each choice of the user
    processor_id: str | os.PathLike[str] | Snapshot,
    *,
    seed: int | None = None,
    noise: Noise = "calibrated",
    gateset: str | None = None,
    method: Method | None = None,
    precision: Precision = "float64",
    threads: int = 1,
    journal: str | os.PathLike[str] | None = None,
    qubits: Sequence[cirq.Qid] | None = None,
    progress: bool = False,
    max_shots: int | None = None,
    max_jobs: int | None = None,
    max_seconds: float | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    extra_noise: ExtraNoise | Sequence[ExtraNoise] | str | None = None,
    device: str | Device = "cpu",
) -> Engine:
    """Return an engine on a virtual processor with the couplers, gates, calibrated noise and service limits of a real one.

    What the calibration lacks of the simulated noise is stated by a `MissingCalibrationWarning`, by the record of the engine
    and by the notes of results.

    Args:
        processor_id: Name of a processor bundled with cirq_google (willow_pink, weber or rainbow), a `Snapshot`, or a file that
            `find_snapshot` reads.
        seed: Random seed of the counts.
        noise: Simulated part of the calibration's noise: all of it, none, readout only, or gates and idling only.
        gateset: Gate set, cz, sqrt_iswap or sycamore; None takes the first one whose errors the calibration has.
        method: Simulation of gate noise: "density" takes the same time for any number of shots, "trajectories" allows more
            qubits, None takes the faster one (`faster_method`); a run that resumes chooses as it did when it began. Without
            gate noise a state vector is used.
        precision: Precision of density matrices. With "float32" they take about half the time, and the error of probabilities,
            about 1e-8, is checked; counts then repeat on the same machine only, while those of "float64" repeat on others too.
        threads: Number of threads for one circuit.
        journal: Journal folder, see `Engine`.
        qubits: Qubits of the processor that circuits may be placed on; None allows all.
        progress: True to show a progress bar.
        max_shots: Cap on the shots of all jobs, see `Engine`; None sets no cap.
        max_jobs: Cap on the number of jobs.
        max_seconds: Cap on the seconds of waiting for jobs.
        workers: Number of processes of this machine that simulate; 1 simulates in this one. The counts are the same.
        scheduler: Address of a Dask scheduler whose workers simulate, such as "tcp://127.0.0.1:8786".
        extra_noise: Noise beyond the calibration, which no correction is tuned to: one or several values of
            `hattriq_cirq.noise`, such as `ZZCrosstalk(0.05)`, or a text such as "zz=0.05,scale=2". Results state it.
        device: Device that computes density matrices: "cpu", or a GPU, "cuda" or "cuda:1". On a GPU all points of a job are
            computed at once and probabilities agree with those of the CPU up to rounding, so that counts with the same seed are
            equal unless rounding changes one, and have the same distribution in any case. Workers cannot share it.

    Returns:
        The engine. `shots=None` gives exact probabilities with noise for circuits of up to 14 qubits, if memory allows it.

    Raises:
        ValueError: An argument is unknown, or the calibration has no errors for the gate set, so that its noise cannot be
            simulated.
        FileNotFoundError: The path names no file.
        DeviceError: There is no such device, or no library for it.

    Example:
        >>> import cirq
        >>> engine = virtual("willow_pink", noise="readout")
        >>> (exact,) = engine.run([cirq.Circuit(cirq.X(cirq.q(0)), cirq.measure(cirq.q(0)))], None)
        >>> bool(0.98 < exact.probabilities[1] < 1)
        True
    """
    device = Device.of(device)
    snapshot = find_snapshot(processor_id)
    begun = {} if journal is None else recorded_engine(journal)
    make = partial(
        VirtualBackend,
        snapshot.name if snapshot.source == "bundled" else snapshot,
        seed=seed,
        noise=noise,
        gateset=gateset,
        method=method,
        method_rule=begun.get("method_rule", 1) if begun else _METHOD_RULE,
        precision=precision,
        threads=threads,
        extra_noise=as_extra_noise(extra_noise),
        device=device,
    )
    return Engine(
        spread(make, workers, scheduler, None if device.is_numpy else f"device={str(device)!r}"),
        journal=journal,
        qubits=qubits,
        progress=progress,
        max_shots=max_shots,
        max_jobs=max_jobs,
        max_seconds=max_seconds,
    )


class VirtualBackend(InProcessBackend):
    """Backend that runs jobs on cirq-google's simulated processor; its arguments are those of `virtual`, and a rule.

    `method_rule` is the rule by which `method=None` chooses, see `faster_method`.
    """

    def __init__(
        self,
        processor_id: str | os.PathLike[str] | Snapshot,
        *,
        seed: int | None = None,
        noise: Noise = "calibrated",
        gateset: str | None = None,
        method: Method | None = None,
        method_rule: int = _METHOD_RULE,
        precision: Precision = "float64",
        threads: int = 1,
        extra_noise: ExtraNoise | Sequence[ExtraNoise] | str | None = None,
        device: str | Device = "cpu",
    ) -> None:
        check_type(gateset, "gateset", str | None, "the name of a gate set, such as 'cz', or None")
        if not isinstance(noise, str) or noise not in get_args(Noise):
            raise ValueError(f"noise={shown(noise)} must be one of {', '.join(get_args(Noise))}")
        if method is not None and (not isinstance(method, str) or method not in get_args(Method)):
            raise ValueError(f"method={shown(method)} must be one of {', '.join(get_args(Method))}, or None for the faster one")
        if not isinstance(precision, str) or precision not in get_args(Precision):
            raise ValueError(f"precision={shown(precision)} must be one of {', '.join(get_args(Precision))}")
        threads = as_count(threads, "threads", advice=f"be at least 1 and at most {THREADS_MAX}", maximum=THREADS_MAX)
        seed = None if seed is None else as_seed(seed)
        extra = as_extra_noise(extra_noise)
        snapshot = find_snapshot(processor_id)
        processor = snapshot.processor(gateset)
        if noise in ("calibrated", "gates") and not processor.two_qubit_errors:
            raise ValueError(
                f"the calibration of {snapshot.name} has no errors for {gateset=}, so {noise=} would leave its two-qubit gates "
                f"perfect; {_alternatives(snapshot)}"
            )
        self.noise, self.method, self.precision, self.threads = noise, method, precision, threads
        self.device = Device.of(device)
        settings: dict[str, Any] = {"kind": "virtual", "noise": noise, "method": method, "processor": processor.describe()}
        self._method_rule = method_rule
        if method is None and method_rule > 1:  # absent from older records
            settings["method_rule"] = method_rule
        if precision != "float64":  # absent from older records
            settings["precision"] = precision
        if extra:  # absent from older records
            settings["extra_noise"] = to_record(extra)
        if not self.device.is_numpy:  # absent from older records
            settings["device"] = f"{self.device}: {self.device.title}"
        if snapshot.source != "bundled":  # which is known by its name
            settings["snapshot"] = snapshot.digest
        self._drifts = tuple(each for each in extra if isinstance(each, Drift))
        self._factor = prod(each.factor for each in extra if isinstance(each, ScaledErrors))
        self._added = tuple(each for each in extra if isinstance(each, cirq.NoiseModel))
        super().__init__(f"virtual:{snapshot.name}", seed, Limits(circuits=20), settings, processor)
        self._processor_id = snapshot.processor_id
        self._properties = snapshot.noise_properties()
        self.notes = tuple(
            f"Noise of {snapshot.name}: {sentence}."
            for sentence in processor.missing
            if is_missing_for(sentence, gates=self.simulates_gates, readout=noise in ("calibrated", "readout"))
        )
        for note in self.notes:
            warnings.warn(note, MissingCalibrationWarning, stacklevel=4)
        self.notes += tuple(f"Noise beyond the calibration of {snapshot.name}: {each}." for each in extra)
        if not self.device.is_numpy:
            self.notes += (
                f"Noisy probabilities were computed on {settings['device']}, in {precision}. They agree with those of the CPU "
                "up to rounding: counts with the same seed are equal unless rounding changes one, and have their distribution.",
            )
        self._noise_on = lru_cache(maxsize=64)(self._build_noise)
        self._noisy_moment = lru_cache(maxsize=4096)(self._convert_moment)
        self._program = lru_cache(maxsize=64)(self._compile_program)
        kept = 64 if self.device.is_numpy else 4  # on another device a part is a whole job
        self._densities = lru_cache(maxsize=kept)(self._compute_densities)

    def describe(self) -> dict[str, Any]:
        """Return the record of the backend as JSON."""
        described = super().describe()
        return described | {"versions": described["versions"] | {"cirq-google": version("cirq-google")}}

    def size(self, job: Job) -> int:
        """Return the number of bytes that submitting a job to the real processor would send."""
        from hattriq_cirq.execution.backends.google_jobs import SerializedJob

        return SerializedJob.from_job(job).size

    def check(self, job: Job) -> None:
        """Raise an error for a job that the service would refuse, or that cannot be simulated.

        Raises:
            CircuitRefusedError: The service would refuse a circuit.
            ValueError: A circuit has more qubits than a density matrix can hold, and the job needs one.
            DeviceError: There is too little memory for the density matrix.
        """
        from hattriq_cirq.execution.backends.google_jobs import MAX_BYTES, SerializedJob

        super().check(job)
        self._check_simulation(job)
        SerializedJob.from_job(job).check_size(MAX_BYTES, job.id)

    def _check_simulation(self, job: Job) -> None:
        """Raise an error for a job whose noise cannot be simulated."""
        if self.method == "density" or (self.has_channels and job.shots is None):
            self._check_density_matrix_size(job.circuits)
        if self.simulates_gates:
            self._check_errors_known(job.circuits)

    def parts(self, job: Job) -> Sequence[Job]:
        """Return the parts of a job, which the simulated processor accepts: exact probabilities, or one trajectory sweep each.

        Raises:
            CircuitRefusedError: The service would refuse a circuit.
            ValueError: A circuit has more qubits than a density matrix can hold, and the job needs one.
        """
        self._check_simulation(job)
        self._validate(job)
        job = self._drifted(job)
        methods = {"density"} if job.shots is None else {self.method_for(circuit, job.shots) for circuit in job.circuits}
        if methods == {"density"} and self._has_densities(job.circuits) and not self.device.is_numpy:
            return [replace(job, shots=None, seed=None)]
        if methods == {"density"}:
            return exact_parts(job, _PART_RUNS, 4 if self.has_channels or self.method == "density" else 2)
        return [job] if "density" in methods else self._trajectory_parts(job, np.random.default_rng(job.seed))

    def _drifted(self, job: Job) -> Job:
        """Return a job whose circuits, one for each circuit and point, have the drift of the middle of their shots."""
        if not self._drifts or job.shots is None:
            return job
        circuits = []
        for i, circuit in enumerate(resolve_circuits(job)):
            for drift in self._drifts:
                circuit = drift.apply(circuit, job.shots_before + (i + 0.5) * job.shots)
            circuits.append(circuit)
        return replace(job, circuits=tuple(circuits), points=({},))

    def _trajectory_parts(self, job: Job, rng: np.random.Generator) -> list[Job]:
        """Return one part for each circuit and point, with a seed of its own."""
        single = [(circuit, point) for circuit in job.circuits for point in job.points]
        return [replace(job, circuits=(circuit,), points=(at,), seed=int(rng.integers(2**63))) for circuit, at in single]

    def execute(self, part: Job) -> list[Distribution]:
        """Run a part of a job and return its distributions, ordered by circuit, then by point."""
        if part.shots is None:
            return [Distribution(row, None) for rows in self._exact(part.circuits, part.points) for row in rows]
        if part.runs == 1 and self.method_for(part.circuits[0], part.shots) == "trajectories":
            return self._trajectories(part)
        return self._sample(part, part.shots)

    def _trajectories(self, part: Job) -> list[Distribution]:
        """Sample the counts of one circuit at one point with the seed of the part."""
        (circuit,), (resolver,) = part.circuits, cirq.to_resolvers(to_sweep(part.points))
        noise = self.noise_on(circuit)
        if getattr(circuit[-1].operations[0].gate, "confusion_map", None):  # which qsim does not know
            noisy = cirq.Circuit(noise.noisy_moments(circuit, sorted(circuit.all_qubits())))
            circuit, noise = confusion_as_channels(noisy).freeze(), cirq.NO_NOISE
        sampler = trajectories(noise, part.seed, QsimSettings(self.threads))
        result = sampler.run(cirq.resolve_parameters(circuit, resolver), resolver, part.shots or 1)
        return to_distributions(self.name, part, [[result]])

    def _sample(self, job: Job, shots: int) -> list[Distribution]:
        """Sample the counts of circuits of both methods, all of them from the seed of the job."""
        rng = np.random.default_rng(job.seed)
        sampled = [circuit for circuit in job.circuits if self.method_for(circuit, shots) == "density"]
        exact = iter(self._exact(sampled, job.points))
        results: list[Distribution] = []
        for circuit in job.circuits:
            if self.method_for(circuit, shots) == "density":
                results += [sample_counts(row, shots, rng) for row in next(exact)]
            else:
                for part in self._trajectory_parts(replace(job, circuits=(circuit,)), rng):
                    results += self._trajectories(part)
        return results

    def _check_errors_known(self, circuits: Sequence[cirq.AbstractCircuit]) -> None:
        """Refuse a two-qubit gate that the device offers without an error in its calibration: it would be simulated perfect."""
        assert self.processor is not None
        offered = self.processor.device.metadata.gateset  # type: ignore[union-attr]
        for op in (op for circuit in circuits for op in circuit.all_operations()):
            is_pair = len(op.qubits) == 2 and not cirq.is_measurement(op)
            if is_pair and (type(op.gate), frozenset(op.qubits)) not in self._known_errors and op in offered:
                raise CircuitRefusedError(
                    f"the calibration of {self._processor_id} has no error for {op}, which would be simulated without noise; "
                    "compile the circuit with Engine.compile, or use noise='readout'"
                )

    @cached_property
    def _known_errors(self) -> set[tuple[type, frozenset[cirq.Qid]]]:
        """Kinds and qubits of the gates that have an error in the calibration."""
        return {(key.gate_type, frozenset(key.qubits)) for key in self._properties.gate_pauli_errors}

    def _validate(self, job: Job) -> None:
        """Refuse a job that the service would refuse, by the service's own checks."""
        from cirq_google.engine import engine_validator
        from cirq_google.serialization import CIRCUIT_SERIALIZER

        assert self.processor is not None
        check_program, check_job = engine_validator.create_program_validator(), engine_validator.create_engine_validator()
        sweeps, shots = [cirq.UnitSweep] * len(job.circuits), (job.shots or 1) * len(job.points)  # the same number of shots
        try:
            for circuit in job.circuits:
                check_program([circuit], sweeps[:1], shots, CIRCUIT_SERIALIZER)
                self.processor.device.validate_circuit(circuit)
            check_job(job.circuits, sweeps, shots)
        except (RuntimeError, ValueError) as error:
            raise CircuitRefusedError(f"{self.name} refuses job {job.id}: {error}") from error

    @property
    def simulates_gates(self) -> bool:
        """True if gates and idling are noisy."""
        return self.noise in ("calibrated", "gates")

    @property
    def has_channels(self) -> bool:
        """True if circuits have channels, beside errors of the readout of single qubits."""
        return self.simulates_gates or bool(self._added)

    def method_for(self, circuit: cirq.AbstractCircuit, shots: int) -> Method:
        """Return the method that samples counts; "density" also stands for exact state vectors."""
        qubits = len(circuit.all_qubits())
        if self.method or not self.has_channels:
            return self.method or "density"
        if not self.device.is_numpy:
            return "density" if qubits <= _MAX_DENSITY_QUBITS else "trajectories"
        return faster_method(qubits, shots, self._method_rule)

    def _has_densities(self, circuits: Sequence[cirq.AbstractCircuit]) -> bool:
        """Return True if exact probabilities come from density matrices: with channels, or on another device for small ones."""
        if self.has_channels or self.method == "density":
            return True
        return not self.device.is_numpy and _widest(circuits) <= _SMALL_DENSITY_QUBITS

    def _check_density_matrix_size(self, circuits: Sequence[cirq.AbstractCircuit]) -> None:
        """Refuse circuits whose density matrices are too large, or too large for the memory."""
        widest = _widest(circuits)
        if widest > _MAX_DENSITY_QUBITS:
            raise ValueError(
                f"a circuit on {widest} qubits has too large a density matrix, the widest is {_MAX_DENSITY_QUBITS}; "
                "give shots, and leave method to None or 'trajectories'"
            )
        if widest > _SMALL_DENSITY_QUBITS:
            needed = _COPIES * np.dtype(self.precision).itemsize * 4**widest
            self.device.require(needed, f"the density matrix of a circuit on {widest} qubits in {self.precision}")

    def probabilities(self, circuit: cirq.FrozenCircuit, points: Sequence[Point]) -> FloatArray:
        """Return the exact outcome probabilities of a circuit at every point, noise included, (points, 2**measured)."""
        return self._exact((circuit,), points)[0]

    def _exact(self, circuits: Sequence[cirq.FrozenCircuit], points: Sequence[Point]) -> list[FloatArray]:
        """Return the exact outcome probabilities of each circuit at every point, (points, 2**measured) each."""
        if self._has_densities(circuits):
            densities = self._compute_densities if self._drifts else self._densities  # with drift no two circuits are equal
            return densities(tuple(circuits), tuple(tuple(point.items()) for point in points))
        resolvers = [cirq.ParamResolver(dict(point)) for point in points]
        resolved = [
            [cirq.resolve_parameters(circuit, r) if r.param_dict else circuit for r in resolvers] for circuit in circuits
        ]
        return [np.array([self._state_vector_probabilities(one) for one in own]) for own in resolved]

    def _state_vector_probabilities(self, circuit: cirq.FrozenCircuit) -> FloatArray:
        """Return the probabilities of a circuit without symbols and with noise in its readout at most, (2**measured,)."""
        (measurement,), register = circuit[-1].operations, sorted(circuit.all_qubits())
        populations = state_vector_populations(circuit[:-1], register, qsim_state(QsimSettings(self.threads)))
        populations = populations.reshape((2,) * len(register))
        for op in cirq.Circuit(measurement).with_noise(self.noise_on(circuit)).all_operations():
            if not cirq.is_measurement(op):  # a channel before the readout, which changes populations
                axis = register.index(op.qubits[0])
                transitions = np.sum(np.abs(np.array(cirq.kraus(op))) ** 2, axis=0)
                populations = np.moveaxis(np.tensordot(transitions, populations, (1, axis)), 0, axis)
        return marginal_probabilities(populations, register, measurement)

    def _compute_densities(
        self, circuits: tuple[cirq.FrozenCircuit, ...], items: tuple[tuple[tuple[str, float], ...], ...]
    ) -> list[FloatArray]:
        """Return the probabilities of circuits at every point from density matrices, all runs of one program together."""
        points = [dict(point) for point in items]
        compiled = [self._noisy_program(circuit) for circuit in circuits]
        together: dict[int, list[int]] = {}
        for i, (program, _) in enumerate(compiled):
            together.setdefault(id(program), []).append(i)
        results: dict[int, FloatArray] = {}
        for indices in together.values():
            program, gates = compiled[indices[0]]
            swept = len(indices) == 1
            with self.device.computing("filling in angles"):
                move = self.device.asarray
                matrices = (
                    _matrices_of_sweep(gates, points, move) if swept else _matrices([compiled[i][1] for i in indices], move)
                )
            rows = program.populations(matrices, self.precision, self.device)
            shares = [rows] if swept else np.broadcast_to(rows, (len(indices), rows.shape[1]))[:, np.newaxis]
            for i, own in zip(indices, shares, strict=True):
                (measurement,) = circuits[i][-1].operations
                exact = [marginal_probabilities(row, measurement.qubits, measurement) for row in own]
                results[i] = np.array(exact * len(points) if len(exact) < len(points) else exact)
        return [results[i] for i in range(len(circuits))]

    def _noisy_program(self, circuit: cirq.FrozenCircuit) -> tuple[NoisyProgram, list[cirq.Operation]]:
        """Return the program of a circuit and the gates whose angles are to be filled in.

        These are the gates with symbols; in a circuit without symbols they are all gates that may have any angles, so that
        circuits which differ in angles have the same program.
        """
        is_swept = cirq.is_parameterized if cirq.is_parameterized(circuit) else _has_angles
        gates = [tuple(_stand_in(op) if is_swept(op) else op for op in moment) for moment in circuit[:-1]]
        (measurement,) = circuit[-1].operations
        moments = (*gates, (cirq.measure(*measurement.qubits, key="z"),))  # `marginal_probabilities` confuses and inverts bits
        return self._program(moments, circuit.all_qubits()), [op for op in circuit.all_operations() if is_swept(op)]

    def _compile_program(self, moments: tuple[tuple[cirq.Operation, ...], ...], qubits: frozenset[cirq.Qid]) -> NoisyProgram:
        """Compile the program of moments in which stand-ins are the gates with angles.

        The noise of a moment depends on the types of its gates and on qubits only. It is therefore converted once for all
        moments that differ in angles, with stand-ins for the gates that have them.
        """
        axis = {qubit: i for i, qubit in enumerate(sorted(qubits))}
        (measurement,) = moments[-1]
        return NoisyProgram.compile(self._steps(moments, axis), len(axis), [axis[q] for q in measurement.qubits])

    def _steps(self, moments: Iterable[tuple[cirq.Operation, ...]], axis: Mapping[cirq.Qid, int]) -> Iterator[Step]:
        """Yield gates and channels of moments with their noise; stand-ins by their index."""
        index, qubits = count(), frozenset(axis)
        for moment in moments:
            angled = [op for op in moment if _STAND_IN in op.tags or _has_angles(op)]
            own = {op.qubits: next(index) if _STAND_IN in op.tags else _transfer_matrix(op) for op in angled}
            for on, matrix in self._noisy_moment(tuple(map(_stand_in, moment)), qubits):
                yield Step(tuple(axis[q] for q in on), own[on] if matrix is None else matrix)

    def noisy_steps(self, circuit: cirq.AbstractCircuit, register: Sequence[cirq.Qid]) -> list[Step]:
        """Return the gates and channels of a circuit without symbols, up to its measurement."""
        moments = [tuple(moment) for moment in circuit]
        return list(self._steps(moments, {qubit: i for i, qubit in enumerate(register)}))

    def _convert_moment(
        self, operations: tuple[cirq.Operation, ...], qubits: frozenset[cirq.Qid]
    ) -> list[tuple[tuple[cirq.Qid, ...], FloatArray | None]]:
        """Return the channels of a moment with its noise, up to a measurement, with None for stand-ins of gates with angles."""
        every_qubit = cirq.Moment(cirq.Z(qubit).with_tags(_END) for qubit in qubits)  # virtual: idle qubits have noise as well
        trees = self._noise_on(qubits).noisy_moments([cirq.Moment(operations), every_qubit], sorted(qubits))
        noisy = [op for tree in trees for op in cirq.Circuit(tree).all_operations() if _END not in op.tags]
        converted: list[tuple[tuple[cirq.Qid, ...], FloatArray | None]] = []
        constant: list[cirq.Operation] = []

        ordered = sorted(qubits)

        def convert_constant() -> None:
            for block in gather(steps_of(constant, ordered)):
                converted.append((tuple(ordered[axis] for axis in block.axes), block.constant_matrix))
            constant.clear()

        for op in takewhile(lambda op: not cirq.is_measurement(op), noisy):
            if _STAND_IN not in op.tags:
                constant.append(op)
                continue
            if any(set(earlier.qubits) & set(op.qubits) for earlier in constant):
                convert_constant()
            converted.append((op.qubits, None))
        convert_constant()
        return converted

    def noise_on(self, circuit: cirq.AbstractCircuit) -> cirq.NoiseModel:
        """Return the noise model of the circuit's qubits."""
        return self._noise_on(circuit.all_qubits())

    def _build_noise(self, qubits: frozenset[cirq.Qid]) -> cirq.NoiseModel:
        """Build the noise model of some qubits, since fewer qubits are converted faster."""
        models: list[cirq.NoiseModel] = list(self._added)
        if self.noise != "none":
            models.append(_PulseNoise(_google_noise(_restricted(self._properties, self.noise, qubits, self._factor))))
        return NoiseSequence(tuple(models)) if len(models) > 1 else next(iter(models), cirq.NO_NOISE)


def _google_noise(properties: cg.GoogleNoiseProperties) -> cirq.NoiseModel:
    """Return Google's noise model, which leaves the operations that other models added as they are."""
    from cirq_google import NoiseModelFromGoogleNoiseProperties

    class Noise(NoiseModelFromGoogleNoiseProperties):
        def is_virtual(self, op: cirq.Operation) -> bool:
            return cirq.VirtualTag() in op.tags or super().is_virtual(op)

    return Noise(properties)


class _PulseNoise(cirq.NoiseModel):
    """Noise model in which every single-qubit gate that a processor runs as a pulse has the error and duration of PhasedXZ.

    Google's noise properties name gates by type and have an error for PhasedXZ only. Another gate, such as X, is therefore
    replaced by PhasedXZ while Google's model adds the noise, and put back afterwards. Virtual Z gates, identities and waits
    have no pulse.
    """

    def __init__(self, calibrated: cirq.NoiseModel) -> None:
        self._calibrated = calibrated

    def noisy_moments(self, moments: Iterable[cirq.Moment], system_qubits: Sequence[cirq.Qid]) -> Sequence[cirq.OP_TREE]:
        """Return moments with noise."""
        pulses = [cirq.Moment(map(_as_phased_xz, moment)) for moment in moments]
        noisy = cirq.Circuit(self._calibrated.noisy_moments(pulses, system_qubits))
        return [cirq.Moment(map(_original, moment)) for moment in noisy]


@dataclass(frozen=True, eq=False)
class _Replaced:
    """Tag of a PhasedXZ gate that stands for another operation."""

    operation: cirq.Operation


def _as_phased_xz(op: cirq.Operation) -> cirq.Operation:
    is_gate = len(op.qubits) == 1 and (cirq.has_unitary(op) or cirq.is_parameterized(op)) and cirq.VirtualTag() not in op.tags
    if not is_gate or isinstance(op.gate, cirq.PhasedXZGate | cirq.ZPowGate | cirq.IdentityGate | cirq.WaitGate):
        return op
    return _PHASED_XZ.on(*op.qubits).with_tags(*op.tags, _Replaced(op))


def _original(op: cirq.Operation) -> cirq.Operation:
    return next((tag.operation for tag in op.tags if isinstance(tag, _Replaced)), op)


def _alternatives(snapshot: Snapshot) -> str:
    """Return advice for a gate set without errors: the one that has them, if there is one, or less noise."""
    processor = snapshot.processor()
    other = f"use gateset={gateset_name(processor.gateset)!r}, or " if processor.two_qubit_errors else "use "
    return f"{other}noise='readout'" if processor.readout_errors else f"{other}noise='none'"


def _restricted(
    properties: cg.GoogleNoiseProperties, noise: Noise, qubits: frozenset[cirq.Qid], factor: float = 1.0
) -> cg.GoogleNoiseProperties:
    """Return noise properties restricted to some qubits and to the requested part of the noise, with errors times a factor."""

    def restrict(values: Mapping[Any, Any], kind: Noise) -> dict[Any, Any]:
        if noise not in ("calibrated", kind):
            return {}
        return {key: value for key, value in values.items() if qubits.issuperset(getattr(key, "qubits", (key,)))}

    parts: dict[str, Any] = {
        "t1_ns": restrict(properties.t1_ns, "gates"),
        "tphi_ns": restrict(properties.tphi_ns, "gates"),
        "gate_pauli_errors": restrict(properties.gate_pauli_errors, "gates"),
        "fsim_errors": restrict(properties.fsim_errors, "gates"),
        "readout_errors": restrict(properties.readout_errors, "readout"),
    }
    if factor != 1:
        parts = {name: {key: _SCALED[name](value, factor) for key, value in own.items()} for name, own in parts.items()}
    return replace(properties, **parts)


#: Part of the noise -> function of its figure and a factor that multiplies the probability of the error by the factor.
_SCALED: dict[str, Callable[[Any, float], Any]] = {
    "t1_ns": lambda time, factor: time / factor,
    "tphi_ns": lambda time, factor: time / factor,
    "gate_pauli_errors": lambda error, factor: min(1.0, error * factor),
    "fsim_errors": lambda gate, factor: cirq.PhasedFSimGate(*(angle * factor**0.5 for angle in gate._value_equality_values_())),
    "readout_errors": lambda errors, factor: [min(0.5, error * factor) for error in errors],
}


def _widest(circuits: Sequence[cirq.AbstractCircuit]) -> int:
    return max(len(circuit.all_qubits()) for circuit in circuits)


def _has_angles(op: cirq.Operation) -> bool:
    return isinstance(op.gate, cirq.PhasedXZGate) or cirq.is_parameterized(op)


def _stand_in(op: cirq.Operation) -> cirq.Operation:
    """Return an operation without its angles: the same type of gate, qubits and tags."""
    if not _has_angles(op) or _STAND_IN in op.tags:
        return op
    if isinstance(op.gate, cirq.PhasedXZGate):
        return _PHASED_XZ.on(*op.qubits).with_tags(*op.tags, _STAND_IN)
    resolved: cirq.Operation = cirq.resolve_parameters(op, dict.fromkeys(cirq.parameter_names(op), 0.25))
    return resolved.with_tags(_STAND_IN)


def _transfer_matrix(op: cirq.Operation) -> FloatArray:
    return np.asarray(pauli_transfer.transfer_matrix(unitaries(op, {})[:, np.newaxis])[0])


def _matrices(gates: Sequence[Sequence[cirq.Operation]], move: Callable[[FloatArray], Any]) -> list[Any]:
    """Return the matrices of PhasedXZ gates without symbols, (circuits, 4, 4) for each gate of the circuits, on a device."""
    names = ("x_exponent", "z_exponent", "axis_phase_exponent")
    exponents = np.array([[[getattr(op.gate, name) for op in own] for own in gates] for name in names], dtype=float)
    return _phased_xz_matrices(exponents.swapaxes(1, 2), move)


def _phased_xz_matrices(exponents: FloatArray, move: Callable[[FloatArray], Any]) -> list[Any]:
    """Return the matrices of PhasedXZ gates, (points, 4, 4) each, on a device, from exponents, (3, gates, points)."""
    matrices = pauli_transfer.phased_xz_transfer(*(move(exponent) for exponent in exponents))
    return [matrices[i, ...] for i in range(matrices.shape[0])]


def _matrices_of_sweep(
    gates: Sequence[cirq.Operation], points: Sequence[Point], move: Callable[[FloatArray], Any]
) -> list[Any]:
    """Return the matrices of gates at the points of a sweep, (points, 4**k, 4**k) each, on a device."""
    if not any(cirq.is_parameterized(op) for op in gates):
        return _matrices([gates], move)
    columns = columns_of(points)
    names = ("x_exponent", "z_exponent", "axis_phase_exponent")
    angled = [i for i, op in enumerate(gates) if isinstance(op.gate, cirq.PhasedXZGate)]
    exponents = [
        [np.broadcast_to(evaluate(getattr(gates[i].gate, name), columns), len(points)) for i in angled] for name in names
    ]
    matrices = dict(zip(angled, _phased_xz_matrices(np.array(exponents), move), strict=True)) if angled else {}
    return [
        matrices[i] if i in matrices else move(pauli_transfer.transfer_matrix(unitaries(op, columns)[:, np.newaxis]))
        for i, op in enumerate(gates)
    ]


def faster_method(qubits: int, shots: int, rule: int = _METHOD_RULE) -> Method:
    """Return the method that takes less time for a noisy circuit with the given numbers of qubits and shots.

    Per gate, a density matrix takes 0.2 ms and 0.7 ns per entry, of which it has 4**n; trajectories take 1.1 ms, and for every
    shot 3.8 us and 0.12 ns per amplitude, of which there are 2**n. These times, between those of one circuit and those of a
    sweep, were measured on one core with circuits of 20 layers on 3 to 12 qubits. Up to 10 qubits the density matrix is faster
    for any number of shots.

    Args:
        qubits: Number of qubits.
        shots: Number of shots.
        rule: 2; or 1, the times of earlier versions, by which their runs go on.

    Example:
        >>> faster_method(qubits=4, shots=10), faster_method(qubits=12, shots=10)
        ('density', 'trajectories')
    """
    if rule == 1:
        density, trajectory = 25e-6 + 0.3e-9 * 4**qubits, shots * (1.5e-6 + 0.3e-9 * 2**qubits)
    else:
        density, trajectory = 0.2e-3 + 0.7e-9 * 4**qubits, 1.1e-3 + shots * (3.8e-6 + 0.12e-9 * 2**qubits)
    return "density" if qubits <= _SMALL_DENSITY_QUBITS and density < trajectory else "trajectories"
