"""Backends in this process: what they share, and any `cirq.Sampler` as one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import cirq
import numpy as np

from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import only_measurement, to_sweep
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.execution.backend import Job, Limits, State
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.provenance import Provenance


class InProcessBackend(ABC):
    """A backend whose jobs run in this process, once their results are asked for.

    A job and its results are remembered for as long as somebody holds the job.

    Args:
        name: what results say they were run on.
        seed: from which the engine draws the seeds of jobs.
        limits: of a job.
        settings: JSON, what else a record needs to know; `kind` first of all.
        processor: what circuits are compiled for; None where any circuit runs.
    """

    def __init__(
        self, name: str, seed: int | None, limits: Limits, settings: Mapping[str, Any], processor: Processor | None = None
    ) -> None:
        self.name, self.seed, self.limits, self.processor = name, seed, limits, processor
        self._settings = settings
        self._jobs: WeakValueDictionary[str, Job] = WeakValueDictionary()
        self._results: WeakKeyDictionary[Job, list[Distribution]] = WeakKeyDictionary()
        self._cancelled: set[str] = set()

    def describe(self) -> dict[str, Any]:
        """What a record needs to know of the backend, as JSON."""
        return {"name": self.name, "seed": self.seed, **self._settings, "versions": Provenance.now().versions}

    def size(self, job: Job) -> int:
        """Nothing is sent."""
        return 0

    def submit(self, job: Job) -> None:
        """Takes a job, unless it has the same one already."""
        self._jobs[job.id] = self._kept(job)

    def poll(self, job: Job) -> State:
        """Done, unless the job was cancelled or never handed over."""
        if job.id in self._cancelled:
            return State("cancelled")
        return State("done" if job.id in self._jobs else "unknown")

    def results(self, job: Job) -> list[Distribution]:
        """The distributions of a job, one for each point of each circuit; it runs when they are first asked for."""
        job = self._kept(job)
        if job not in self._results:
            self._results[job] = self.execute(job)
        return self._results[job]

    def _kept(self, job: Job) -> Job:
        """The job of this id that was handed over first, if it asks for the same: ids repeat from engine to engine."""
        kept = self._jobs.get(job.id, job)
        same = (kept.circuits, kept.points, kept.shots, kept.seed) == (job.circuits, job.points, job.shots, job.seed)
        return kept if same else job

    def cancel(self, job_id: str) -> None:
        """Cancels a job whose results nobody has asked for."""
        job = self._jobs.get(job_id)
        if job is not None and job not in self._results:
            self._cancelled.add(job_id)

    @abstractmethod
    def execute(self, job: Job) -> list[Distribution]:
        """Runs a job: one distribution for each point of each circuit, points within circuits."""


class SamplerBackend(InProcessBackend):
    """Jobs on a `cirq.Sampler`.

    Args:
        name: what results say they were run on.
        sampler: makes the sampler of a job from the job's seed.
        settings: JSON, what else a record needs to know.
        seed: from which the engine draws the seeds of jobs; None where samplers take none.
        exact: the exact probabilities of a circuit, where they are known.
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

    def execute(self, job: Job) -> list[Distribution]:
        """Runs a job."""
        measurements = [only_measurement(circuit) for circuit in job.circuits]
        if job.shots is None:
            if self._exact is None:
                raise ValueError(f"shots=None asks for exact probabilities, which {self.name} cannot give; give shots")
            return [Distribution(self._exact(circuit), None) for circuit in resolved(job)]
        batch = self._sampler(job.seed).run_batch(job.circuits, [to_sweep(job.points)] * len(job.circuits), job.shots)
        return [
            histogram(result, measurement)
            for measurement, results in zip(measurements, batch, strict=True)
            for result in results
        ]


def resolved(job: Job) -> list[cirq.FrozenCircuit]:
    """Every circuit at every point, points within circuits."""
    return [
        cirq.resolve_parameters(circuit, cirq.ParamResolver(dict(point))) if point else circuit
        for circuit in job.circuits
        for point in job.points
    ]


def histogram(result: cirq.Result, measurement: cirq.Operation) -> Distribution:
    """The distribution of a circuit's one measurement."""
    bits = np.asarray(result.measurements[cirq.measurement_key_name(measurement)])
    width = bits.shape[1]
    outcomes = bits @ (1 << np.arange(width - 1, -1, -1, dtype=np.int64))
    return Distribution.from_outcomes(outcomes, width)
