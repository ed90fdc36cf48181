"""Backends that run in this process: their common base class, and a backend for any `cirq.Sampler`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import ceil
from operator import attrgetter
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

import cirq
import numpy as np
from numpy.typing import NDArray

from hattriq_cirq.circuits.errors import ServiceError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import Point, only_measurements, to_sweep
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.execution.backend import Job, Limits, State
from hattriq_cirq.execution.ownership import Owned
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.simulation.blocks import Step

T = TypeVar("T")
_PART_RUNS = 16  # largest number of circuits times points of a part for exact probabilities
_PART_NUMBERS = 2**22  # numbers that a simulator holds for all circuits and points of a part


class InProcessBackend(Owned, ABC):
    """Backend whose jobs run in this process when their results are first requested.

    A job and its results are kept for as long as the caller holds the job. A job is run in parts that are independent of each
    other, which `DistributedBackend` sends to other processes.

    Args:
        name: Name that results carry.
        seed: Random seed from which the engine derives the seeds of jobs.
        limits: Limits of a job.
        settings: Further entries of the backend's record, as JSON, including `kind`.
        processor: Processor that circuits are compiled for; None if the backend runs any circuit.
    """

    def __init__(
        self, name: str, seed: int | None, limits: Limits, settings: Mapping[str, Any], processor: Processor | None = None
    ) -> None:
        self.name, self.seed, self.processor = name, seed, processor
        self._limits, self._settings = limits, settings
        self._jobs: WeakValueDictionary[str, Job] = WeakValueDictionary()
        self._results: WeakKeyDictionary[Job, list[Distribution]] = WeakKeyDictionary()
        self._cancelled: set[str] = set()

    @property
    def limits(self) -> Limits:
        """Limits of one job."""
        return self._limits

    def describe(self) -> dict[str, Any]:
        """Return the record of the backend as JSON."""
        return {"name": self.name, "seed": self.seed, **self._settings, "versions": Provenance.now().versions}

    def size(self, job: Job) -> int:
        """Return 0, since nothing is sent."""
        return 0

    def check(self, job: Job) -> None:
        """Raise ValueError for circuits that a simulator of qubits with one measurement at the end cannot run."""
        only_measurements(job.circuits)  # raises an error for a circuit without one
        _check_circuits(job)

    def submit(self, job: Job) -> None:
        """Accept a job, unless the same one was submitted before."""
        self._jobs[job.id] = self._submitted(job)

    def poll(self, job: Job) -> State:
        """Return `done`, unless the job was cancelled or never submitted."""
        if job.id in self._cancelled:
            return State("cancelled")
        return State("done" if job.id in self._jobs else "unknown")

    def results(self, job: Job) -> list[Distribution]:
        """Return the distributions of a job, ordered by circuit, then by point; the first call runs it."""
        job = self._submitted(job)
        if job not in self._results:
            self._results[job] = self.run(job)
        return self._results[job]

    def _submitted(self, job: Job) -> Job:
        """Return the submitted job of this id if it is the same one; different engines use the same ids."""
        earlier = self._jobs.get(job.id, job)
        settings = attrgetter("circuits", "points", "shots", "seed", "shots_before")
        return earlier if settings(earlier) == settings(job) else job

    def cancel(self, job_id: str) -> None:
        """Cancel a job whose results were not requested yet."""
        job = self._jobs.get(job_id)
        if job is not None and job not in self._results:
            self._cancelled.add(job_id)

    def run(self, job: Job) -> list[Distribution]:
        """Check and run a job; return its distributions, ordered by circuit, then by point."""
        InProcessBackend.check(self, job)
        return self.gather(job, map(self.execute, self.parts(job)))

    def parts(self, job: Job) -> Sequence[Job]:
        """Return jobs that may run in any order and whose distributions together are those of a job.

        A part without shots gives the exact probabilities, from which `gather` samples the counts with the seed of the job, in
        order. The parts follow from the job alone, so that the counts are the same wherever they run.
        """
        return [job]

    def gather(self, job: Job, results: Iterable[Sequence[Distribution]]) -> list[Distribution]:
        """Return the distributions of a job from those of its parts, in order."""
        rng = np.random.default_rng(job.seed)
        return [each if each.shots else sample_counts(each.probabilities, job.shots, rng) for part in results for each in part]

    @abstractmethod
    def execute(self, part: Job) -> list[Distribution]:
        """Run a part of a job and return its distributions, ordered by circuit, then by point."""

    def noisy_steps(self, circuit: cirq.AbstractCircuit, register: Sequence[cirq.Qid]) -> list[Step]:
        """Return the gates and channels of a circuit without symbols as the backend simulates it, up to its measurement.

        Args:
            circuit: Circuit that ends in one measurement.
            register: All its qubits, in the order of the axes of the steps.

        Raises:
            ValueError: The noise of the backend is not known.
        """
        raise ValueError(f"the noise of {self.name} is not known; use virtual(...) or cirq_simulator(noise=...)")


def exact_parts(job: Job, most_runs: int = _PART_RUNS, levels: int = 2) -> list[Job]:
    """Return parts of a job for its exact probabilities, each with about equally many circuits or points of one circuit.

    Args:
        job: Job for counts or exact probabilities.
        most_runs: Largest number of circuits times points of a part.
        levels: A simulator holds levels**qubits numbers for each of them; parts of large circuits have fewer.
    """
    widest = max(len(circuit.all_qubits()) for circuit in job.circuits)
    runs = max(1, min(most_runs, _PART_NUMBERS // levels**widest))
    exact = replace(job, shots=None, seed=None)
    if len(job.points) == 1:
        return [replace(exact, circuits=some) for some in _divided(job.circuits, runs)]
    return [replace(exact, circuits=(circuit,), points=some) for circuit in job.circuits for some in _divided(job.points, runs)]


def _divided(items: tuple[T, ...], largest: int) -> list[tuple[T, ...]]:
    """Divide items into parts of about equal numbers, in order."""
    bounds = np.linspace(0, len(items), 1 + ceil(len(items) / largest)).round().astype(int)
    return [items[start:stop] for start, stop in pairwise(bounds)]


def sample_counts(probabilities: FloatArray, shots: int | None, rng: np.random.Generator) -> Distribution:
    """Sample counts with the given number of shots; return the exact probabilities themselves if `shots` is None.

    Example:
        >>> sample_counts(np.array([0.0, 1.0]), 10, np.random.default_rng(0)).counts.tolist()
        [0, 10]
    """
    if shots is None:
        return Distribution(probabilities, None)
    return Distribution.from_counts(rng.multinomial(shots, probabilities))


class SamplerBackend(InProcessBackend):
    """Backend that runs jobs on a `cirq.Sampler`.

    Args:
        name: Name that results carry.
        sampler: Function that returns the sampler of a job for the job's seed.
        settings: Further entries of the backend's record, as JSON.
        seed: Random seed from which the engine derives the seeds of jobs; None if samplers take no seed.
        exact: Function that returns the exact probabilities of a circuit, if they are known.
    """

    def __init__(
        self,
        name: str,
        sampler: Callable[[int | None], cirq.Sampler],
        settings: Mapping[str, Any],
        *,
        seed: int | None = None,
        exact: Callable[[cirq.AbstractCircuit], FloatArray] | None = None,
    ) -> None:
        super().__init__(name, seed, Limits(), settings)
        self._sampler, self._exact = sampler, exact

    def parts(self, job: Job) -> Sequence[Job]:
        """Return the parts of a job: all of it if the sampler samples, and else a few circuits or points each."""
        return [job] if job.shots is not None else exact_parts(job)

    def execute(self, part: Job) -> list[Distribution]:
        """Run a part of a job and return its distributions, ordered by circuit, then by point."""
        if part.shots is None:
            if self._exact is None:
                raise ValueError(f"shots=None asks for exact probabilities, which {self.name} cannot give; give shots")
            return [Distribution(self._exact(circuit), None) for circuit in resolve_circuits(part)]
        circuits = [unambiguous_measurement(circuit) for circuit in part.circuits]
        batch = self._sampler(part.seed).run_batch(circuits, [to_sweep(part.points)] * len(circuits), part.shots)
        return to_distributions(self.name, part, batch)


def _check_circuits(job: Job) -> None:
    """Raise ValueError for circuits that a simulator of qubits with one measurement at the end cannot run."""
    for circuit in job.circuits:
        wide = next((q for q in circuit.all_qubits() if q.dimension != 2), None)
        if wide is not None:
            raise ValueError(f"{wide} is a system of {wide.dimension} levels; engines run circuits of qubits")
        if keys := cirq.control_keys(circuit):
            raise ValueError(
                f"gates depend on the measurements {sorted(map(str, keys))}, but the only measurement is at the end; leave out "
                "classical controls"
            )
        for point in job.points:
            missing = sorted(cirq.parameter_names(circuit) - point.keys())
            if missing:
                raise ValueError(f"symbols {missing} of a circuit have no value; resolve the circuit before it is run")


def unambiguous_measurement(circuit: cirq.AbstractCircuit) -> cirq.AbstractCircuit:
    """Return a circuit whose measurement does not have both a confusion map and inverted bits.

    By Cirq's definition bits are confused first and inverted afterwards; its simulators invert them first when they sample all
    shots at once. The inversion is therefore made a part of the confusion.

    Example:
        >>> confusion = {(0,): np.array([[0.9, 0.1], [0.2, 0.8]])}
        >>> gate = cirq.MeasurementGate(1, "z", invert_mask=(True,), confusion_map=confusion)
        >>> (measured,) = unambiguous_measurement(cirq.Circuit(gate(cirq.q(0)))).all_operations()
        >>> measured.gate.invert_mask, measured.gate.confusion_map[(0,)].tolist()
        ((), [[0.1, 0.9], [0.8, 0.2]])
    """
    (measurement,) = circuit[-1].operations
    gate = measurement.gate
    if not isinstance(gate, cirq.MeasurementGate) or not gate.confusion_map or not any(gate.invert_mask):
        return circuit
    inverted, confusion = gate.full_invert_mask(), dict(gate.confusion_map)
    apart = set(range(len(inverted))).difference(*confusion)
    confusion |= {(i,): np.eye(2) for i in sorted(apart)}
    flips = [sum(1 << (len(positions) - 1 - j) for j, i in enumerate(positions) if inverted[i]) for positions in confusion]
    maps = {
        positions: matrix[:, np.arange(len(matrix)) ^ flip]
        for (positions, matrix), flip in zip(confusion.items(), flips, strict=True)
    }
    plain = cirq.MeasurementGate(gate.num_qubits(), gate.mkey, confusion_map=maps)
    return cirq.Circuit(circuit[:-1], cirq.Moment(plain.on(*measurement.qubits)))


def resolve_circuits(job: Job) -> list[cirq.FrozenCircuit]:
    """Return every circuit of a job at every point, ordered by circuit, then by point."""
    return [
        cirq.resolve_parameters(circuit, cirq.ParamResolver(dict(point))) if point else circuit
        for circuit in job.circuits
        for point in job.points
    ]


def to_distributions(name: str, job: Job, batch: object) -> list[Distribution]:
    """Return the distributions of a sampler's results, which are checked here and counted as they are.

    A sampler may return fewer shots than it was asked for, or more; the distributions, and so the cost, hold those that came.

    Args:
        name: Name of the sampler in messages.
        job: Job that was run.
        batch: Results of every circuit at every point, as `cirq.Sampler.run_batch` returns them.

    Returns:
        A distribution of each run, ordered by circuit, then by point.

    Raises:
        ServiceError: The results are not those of the job's only measurement, shots of zeros and ones.
    """
    try:
        results = [list(of_one) for of_one in batch]  # type: ignore[attr-defined]
    except TypeError:
        raise _wrong_answer(name, job, f"{type(batch).__name__} is no list of lists of results") from None
    numbers = list(map(len, results))
    if numbers != [len(job.points)] * len(job.circuits):
        raise _wrong_answer(name, job, f"{numbers} results of the circuits must be {[len(job.points)] * len(job.circuits)}")
    measured = only_measurements(job.circuits)
    return Distribution.from_bits(
        [
            _bits_of(name, job, result, measurement, point)
            for own, measurement in zip(results, measured, strict=True)
            for result, point in zip(own, job.points, strict=True)
        ]
    )


def _bits_of(name: str, job: Job, result: object, measurement: cirq.Operation, point: Point) -> NDArray[np.uint8]:
    """Return the measured bits of one result, (shots, bits)."""
    key, width = cirq.measurement_key_name(measurement), len(measurement.qubits)
    if not isinstance(result, cirq.Result):
        raise _wrong_answer(name, job, f"{type(result).__name__} is no cirq.Result")
    stated = {str(symbol): value for symbol, value in result.params.param_dict.items()}
    at = np.array([stated.get(symbol, value) for symbol, value in point.items()], dtype=complex)
    if not np.allclose(at, list(point.values())):
        raise _wrong_answer(name, job, f"a result at {stated} came in place of that at {dict(point)}")
    try:
        measurements = result.measurements
    except ValueError as error:
        raise _wrong_answer(name, job, str(error)) from error
    if set(measurements) != {key}:
        raise _wrong_answer(name, job, f"the results have the keys {sorted(map(str, measurements))}, must have {[key]}")
    bits = np.asarray(measurements[key])
    if bits.ndim != 2 or bits.shape[1] != width or not len(bits):
        raise _wrong_answer(name, job, f"the bits have shape {bits.shape}, must have (shots, {width})")
    if bits.dtype.kind not in "biu" or bits.min() < 0 or bits.max() > 1:
        raise _wrong_answer(name, job, f"the bits, of type {bits.dtype}, must be whole numbers, 0 or 1")
    return bits.astype(np.uint8)


def _wrong_answer(name: str, job: Job, problem: str) -> ServiceError:
    return ServiceError(f"the sampler {name} returned a wrong result of job {job.id}: {problem}; correct the sampler")
