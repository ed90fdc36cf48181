"""Distribution of programs among jobs, each as large as its backend's limits allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import cirq

from hattriq_cirq.circuits.program import ParameterizedCircuit, Point
from hattriq_cirq.execution.backend import Backend, Job


@dataclass(frozen=True, eq=False)
class Batch:
    """Contents of one job: several circuits, or several points of one circuit, with the request that each belongs to."""

    circuits: tuple[cirq.FrozenCircuit, ...]
    points: tuple[Point, ...]
    shots: int | None
    requests: tuple[int, ...]

    def job(self, job_id: str, seed: int | None) -> Job:
        """Return the batch as a job."""
        return Job(job_id, self.circuits, self.points, self.shots, seed)

    def programs(self) -> list[ParameterizedCircuit]:
        """Return the batch as programs."""
        if len(self.points) > 1:
            return [ParameterizedCircuit(self.circuits[0], self.requests, self.points)]
        pairs = zip(self.circuits, self.requests, strict=True)
        return [ParameterizedCircuit(circuit, (request,), self.points) for circuit, request in pairs]

    def parts(self) -> tuple[Batch, Batch]:
        """Halve the circuits or the points; the shots if there is one of each."""
        if len(self.requests) == 1:
            assert self.shots is not None
            half = self.shots // 2
            return replace(self, shots=self.shots - half), replace(self, shots=half)
        middle = (len(self.requests) + 1) // 2
        swept = len(self.points) > 1
        first, second = (
            Batch(
                self.circuits if swept else self.circuits[side],
                self.points[side] if swept else self.points,
                self.shots,
                self.requests[side],
            )
            for side in (slice(middle), slice(middle, None))
        )
        return first, second


def batches(programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None, backend: Backend) -> list[Batch]:
    """Distribute programs among jobs.

    Args:
        programs: Programs that together hold the requests 0, 1, ... once each.
        shots: Repetitions of each request; None for exact probabilities.
        backend: Backend whose limits apply.

    Returns:
        Batches of requests with equal shots: the points of one program, or circuits without symbols. They are ordered by the
        first request of each, so that the first and last requests run first and last.
    """
    combined: list[Batch] = []
    plain: list[tuple[cirq.FrozenCircuit, int]] = []
    for program in programs:
        if len(program.points) == 1:
            (point,), (request,) = program.points, program.requests
            plain.append((cirq.resolve_parameters(program.circuit, dict(point)) if point else program.circuit, request))
        else:
            at = dict(zip(program.requests, program.points, strict=True))
            for count, requests in _by_shots(program.requests, shots):
                combined.append(Batch((program.circuit,), tuple(at[r] for r in requests), count, requests))
    circuits = {request: circuit for circuit, request in plain}
    for count, requests in _by_shots(tuple(circuits), shots):
        combined.append(Batch(tuple(circuits[r] for r in requests), ({},), count, requests))
    return [
        fitting
        for batch in sorted(combined, key=lambda batch: min(batch.requests))
        for fitting in _within_limits(batch, backend)
    ]


def _by_shots(requests: Sequence[int], shots: Sequence[int] | None) -> Iterator[tuple[int | None, tuple[int, ...]]]:
    """Group requests by their number of shots."""
    if shots is None:
        yield from [(None, tuple(requests))] if requests else []
        return
    for count, group in groupby(sorted(requests, key=lambda r: shots[r]), key=lambda r: shots[r]):
        yield count, tuple(group)


def _within_limits(batch: Batch, backend: Backend) -> Iterator[Batch]:
    """Halve a batch until each part is within the limits; the backend refuses a part that cannot be halved."""
    limits = backend.limits
    one = len(batch.requests) == 1 and (batch.shots or 0) < 2
    fits = len(batch.circuits) <= limits.circuits and (batch.shots or 0) * len(batch.requests) <= limits.shots
    if fits and limits.bytes is not None:
        single = len(batch.requests) == 1  # fewer shots are no smaller
        fits = single or backend.size(batch.job("", None)) <= limits.bytes
    if fits or one:
        yield batch
    else:
        for part in batch.parts():
            yield from _within_limits(part, backend)
