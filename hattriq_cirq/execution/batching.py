"""Programs shared out among jobs: as much in one as its backend's limits allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import cirq

from hattriq_cirq.circuits.program import ParameterizedCircuit, Point
from hattriq_cirq.execution.backend import Backend, Job


@dataclass(frozen=True, eq=False)
class Batch:
    """What goes into one job: several circuits, or several points of one, and the request that each of them is."""

    circuits: tuple[cirq.FrozenCircuit, ...]
    points: tuple[Point, ...]
    shots: int | None
    requests: tuple[int, ...]

    def job(self, job_id: str, seed: int | None) -> Job:
        """The lot as a job."""
        return Job(job_id, self.circuits, self.points, self.shots, seed)

    def parts(self) -> tuple[Batch, Batch]:
        """Two halves: of the circuits, of the points, or, where there is one of each, of the shots."""
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
    """Shares programs out among jobs.

    Args:
        programs: together they hold the requests 0, 1, ... once each.
        shots: of each request; None for exact probabilities.
        backend: whose limits hold.

    Returns:
        Lots of requests with equal shots: the points of one program, or circuits without symbols; in the order of the first
        request of each, so that what was asked for first and last runs first and last.
    """
    whole: list[Batch] = []
    plain: list[tuple[cirq.FrozenCircuit, int]] = []
    for program in programs:
        if len(program.points) == 1:
            (point,), (request,) = program.points, program.requests
            plain.append((cirq.resolve_parameters(program.circuit, dict(point)) if point else program.circuit, request))
        else:
            at = dict(zip(program.requests, program.points, strict=True))
            for count, requests in _by_shots(program.requests, shots):
                whole.append(Batch((program.circuit,), tuple(at[r] for r in requests), count, requests))
    circuits = {request: circuit for circuit, request in plain}
    for count, requests in _by_shots(tuple(circuits), shots):
        whole.append(Batch(tuple(circuits[r] for r in requests), ({},), count, requests))
    return [fitting for lot in sorted(whole, key=lambda lot: min(lot.requests)) for fitting in _fitted(lot, backend)]


def _by_shots(requests: Sequence[int], shots: Sequence[int] | None) -> Iterator[tuple[int | None, tuple[int, ...]]]:
    """Requests in groups of equal shots."""
    if shots is None:
        yield from [(None, tuple(requests))] if requests else []
        return
    for count, group in groupby(sorted(requests, key=lambda r: shots[r]), key=lambda r: shots[r]):
        yield count, tuple(group)


def _fitted(lot: Batch, backend: Backend) -> Iterator[Batch]:
    """The lot, halved until each part is within the limits; what cannot be halved is left for the backend to refuse."""
    limits = backend.limits
    one = len(lot.requests) == 1 and (lot.shots or 0) < 2
    fits = len(lot.circuits) <= limits.circuits and (lot.shots or 0) * len(lot.requests) <= limits.shots
    if fits and limits.bytes is not None:
        single = len(lot.requests) == 1  # fewer shots are no smaller
        fits = single or backend.size(lot.job("", None)) <= limits.bytes
    if fits or one:
        yield lot
    else:
        for part in lot.parts():
            yield from _fitted(part, backend)
