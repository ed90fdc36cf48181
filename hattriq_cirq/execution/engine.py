"""The engine: compiled programs in, distributions out, by way of jobs and a journal."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cirq
import numpy as np

from hattriq_cirq.circuits.errors import JobCancelledError, JobFailedError, JournalError, SilenceError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.compile import compile_for, largest_difference
from hattriq_cirq.compilation.placement import Placement, place_circuits
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.execution.backend import Backend, Job, State
from hattriq_cirq.execution.batching import Batch, batches
from hattriq_cirq.execution.journal import Journal, digest
from hattriq_cirq.foundation.terminal import progress_bar

_PLACED_BY = 4  # number of circuits that a placement is chosen by
_TOLERANCE = 1e-6  # largest difference of an outcome probability between a recorded circuit and the same circuit compiled today


@dataclass(frozen=True, eq=False)
class Call:
    """Programs that an engine is about to run, cut into jobs.

    Args:
        programs: Programs that run: the given ones, or those that the journal of an interrupted run recorded in their place.
        batches: Batches of requests, one per job.
        jobs: Jobs as they are submitted.
        origin: Origin of the circuits: `given`; `recorded` if they come from the journal and differ from the given ones; or
            `new in an earlier journal` if an earlier version began the journal but not this call.
    """

    programs: Sequence[ParameterizedCircuit]
    batches: Sequence[Batch]
    jobs: Sequence[Job]
    origin: Literal["given", "recorded", "new in an earlier journal"] = "given"


class Engine:
    """Runs circuits on a backend; with a journal, no result that arrived is ever lost.

    Create an engine with `qsim`, `cirq_simulator`, `virtual`, `google` or `sampler`. With a seed, a fresh engine gives the same
    counts for the same calls in the same order.

    Args:
        backend: Backend that runs jobs.
        journal: Folder of the journal, where ids are recorded before jobs are submitted and counts as they arrive. A new engine
            with the same folder continues an interrupted run.
        qubits: Physical qubits to place circuits on; None chooses them by the calibration.
        poll_seconds: Seconds between polls of the jobs in progress.
        timeout: Seconds without any change of a job's state before `SilenceError`; None waits forever.
        progress: Show a progress bar of jobs.

    Example:
        >>> import cirq
        >>> import hattriq_cirq as hq
        >>> q = cirq.LineQubit(0)
        >>> hq.qsim(seed=1).run([cirq.Circuit(cirq.X(q), cirq.measure(q))], [10])[0].counts
        array([ 0, 10])
    """

    def __init__(
        self,
        backend: Backend,
        *,
        journal: str | os.PathLike[str] | None = None,
        qubits: Sequence[cirq.Qid] | None = None,
        poll_seconds: float = 0.0,
        timeout: float | None = None,
        progress: bool = False,
    ) -> None:
        self.backend, self.qubits = backend, qubits
        self._journal = None if journal is None else Journal(journal, backend.describe())
        self._poll_seconds, self._timeout, self._progress = poll_seconds, timeout, progress
        self._calls = 0

    @property
    def name(self) -> str:
        """Name of the engine in results."""
        return self.backend.name

    @property
    def seed(self) -> int | None:
        """Random seed of the counts."""
        return self.backend.seed

    @property
    def processor(self) -> Processor | None:
        """Processor that circuits are compiled for; None where any circuit runs."""
        return self.backend.processor

    @property
    def journal(self) -> Journal | None:
        """Journal of ids and counts; closing it lets another engine continue the run."""
        return self._journal

    def describe(self) -> dict[str, Any]:
        """Return everything that a record of a run states about the engine, as JSON."""
        return self.backend.describe()

    def compile(
        self, circuits: Sequence[cirq.AbstractCircuit], placement: Placement | None = None
    ) -> list[ParameterizedCircuit]:
        """Compile circuits for the processor; a simulator runs them as they are.

        Args:
            circuits: Logical circuits, each ending in one measurement.
            placement: Physical qubits for the logical ones; None chooses them by the first circuits.

        Returns:
            Programs whose points are together all the circuits.

        Raises:
            CircuitRefusedError: The processor cannot run one of the circuits.
        """
        if self.processor is None:
            return [ParameterizedCircuit(circuit.freeze(), (i,)) for i, circuit in enumerate(circuits)]
        if placement is None:
            everywhere = sorted({q for circuit in circuits for q in circuit.all_qubits()})
            placement = place_circuits(self.processor, circuits[:_PLACED_BY], everywhere, among=self.qubits)
        return compile_for(self.processor, circuits, placement.qubits)

    def run(self, circuits: Sequence[cirq.AbstractCircuit], shots: Sequence[int] | None) -> list[Distribution]:
        """Compile and execute circuits.

        Args:
            circuits: Circuits, each ending in one measurement.
            shots: Repetitions of each circuit; None for exact probabilities, where the engine can give them.

        Returns:
            A distribution over the measured bits of each circuit, in order.

        Raises:
            ValueError: The engine cannot run a circuit or a number of shots.
            EngineError: See `hattriq_cirq.circuits.errors`.
        """
        return self.execute(self.compile(circuits), shots)

    def execute(self, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> list[Distribution]:
        """Run compiled programs.

        Args:
            programs: Programs from `compile`, or variants of them; together they hold the requests 0, 1, ... once each.
            shots: Repetitions of each request; None for exact probabilities.

        Returns:
            A distribution for each request, in order.

        Raises:
            ValueError: The number of shots is missing for a request, or below 1.
            EngineError: See `hattriq_cirq.circuits.errors`.
        """
        return self.complete(self.begin(programs, shots))

    def begin(self, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> Call:
        """Cut programs into jobs and record these in the journal, without submitting anything.

        If the journal was begun by an earlier version, whose compiled circuits may differ, its recorded circuits are used where
        they have the outcome probabilities of the given ones.

        Args:
            programs: Programs from `compile`, or variants of them; together they hold the requests 0, 1, ... once each.
            shots: Repetitions of each request; None for exact probabilities.

        Returns:
            The call, to be handed to `complete`.

        Raises:
            ValueError: The number of shots is missing for a request, or below 1.
            JournalError: The journal recorded another call at this place.
        """
        requests = sum(len(program.requests) for program in programs)
        if shots is not None and (len(shots) != requests or min(shots, default=1) < 1):
            raise ValueError(f"{shots=} must be {requests} numbers of at least 1: one for each circuit")
        self._calls += 1
        planned = batches(programs, shots, self.backend)
        journal = None if shots is None else self._journal
        prefix = "" if journal is None else f"{journal.run_id}-"
        entropy = None if self.seed is None else np.random.SeedSequence(self.seed, spawn_key=(self._calls,))
        seeds = [None] * len(planned) if entropy is None else entropy.generate_state(len(planned), np.uint64).tolist()
        numbered = enumerate(zip(planned, seeds, strict=True))
        jobs = [batch.job(f"{prefix}{self._calls:03d}-{i:05d}", seed) for i, (batch, seed) in numbered]
        call = Call(programs, planned, jobs)
        if journal is None:
            return call
        try:
            is_new = journal.begin(self._calls, digest(programs, shots), jobs)
        except JournalError:
            if journal.is_from_earlier_version and (recorded := self._recorded_call(journal, call)) is not None:
                return recorded
            raise
        return replace(call, origin="new in an earlier journal") if is_new and journal.is_from_earlier_version else call

    def _recorded_call(self, journal: Journal, call: Call) -> Call | None:
        """Return a call with the circuits that the journal recorded for it; None if these do not compute the same."""
        recorded = journal.jobs_of_call(self._calls)
        if len(call.jobs) != len(recorded) or not all(map(_same_job, call.jobs, recorded)):
            return None
        programs = []
        for batch, job in zip(call.batches, recorded, strict=True):
            if len(job.points) > 1:
                programs.append(ParameterizedCircuit(job.circuits[0], batch.requests, job.points))
            else:
                programs += [
                    ParameterizedCircuit(circuit, (request,), job.points)
                    for circuit, request in zip(job.circuits, batch.requests, strict=True)
                ]
        return Call(programs, call.batches, recorded, "recorded")

    def complete(self, call: Call) -> list[Distribution]:
        """Run the jobs of a call that have no counts yet.

        Args:
            call: Call from `begin`.

        Returns:
            A distribution for each request, in order.

        Raises:
            EngineError: See `hattriq_cirq.circuits.errors`.
        """
        journal = None if not call.jobs or call.jobs[0].shots is None else self._journal
        results = self._complete_jobs(call.jobs, journal)
        parts: dict[int, list[Distribution]] = {}
        for job, batch in zip(call.jobs, call.batches, strict=True):
            for request, distribution in zip(batch.requests, results[job.id], strict=True):
                parts.setdefault(request, []).append(distribution)
        return [own[0] if len(own) == 1 else Distribution.merged(own) for _, own in sorted(parts.items())]

    def _complete_jobs(self, jobs: Sequence[Job], journal: Journal | None) -> dict[str, list[Distribution]]:
        """Return the distributions of every job by its planned id, read from the journal or run."""
        recorded = {} if journal is None else {job.id: journal.stored(job.id) for job in jobs}
        results = {job_id: stored for job_id, stored in recorded.items() if stored is not None}
        waiting = deque(job for job in jobs if job.id not in results)
        in_progress: dict[str, tuple[Job, State]] = {}
        counted = sum(d.shots or 0 for distributions in results.values() for d in distributions)
        last_change = time.monotonic()
        with progress_bar(shown=self._progress, total=len(jobs), initial=len(results), desc=self.name, unit="job") as bar:
            while waiting or in_progress:
                while waiting and len(in_progress) < self.backend.limits.jobs:
                    job = waiting.popleft()
                    in_progress[job.id] = self._submit(job, journal)
                    last_change = time.monotonic()
                changed = False
                for planned_id, (job, before) in list(in_progress.items()):
                    state = self.backend.poll(job)
                    if state == before:
                        continue
                    changed = True
                    in_progress[planned_id] = job, state
                    if state.status == "done":
                        results[planned_id] = self.backend.results(job)
                        counted += sum(d.shots or 0 for d in results[planned_id])
                        if journal is not None:
                            journal.store(planned_id, results[planned_id])
                        del in_progress[planned_id]
                        bar.update()
                    else:
                        _note(journal, planned_id, state)
                        _raise_if_lost(job, state)
                queued = sum(state.status == "queued" for _, state in in_progress.values())
                running = len(in_progress) - queued
                bar.set_postfix_str(f"{len(waiting) + queued} queued, {running} running, {counted:,} shots", refresh=changed)
                if changed:
                    last_change = time.monotonic()
                elif self._timeout is not None and time.monotonic() - last_change > self._timeout:
                    raise SilenceError(
                        f"no job of {self.name} changed its state for {self._timeout:g} s; they stay with the service: "
                        "resume the run to pick them up, or cancel it"
                    )
                elif in_progress:
                    time.sleep(self._poll_seconds)
        return results

    def _submit(self, job: Job, journal: Journal | None) -> tuple[Job, State]:
        """Submit a job under its recorded id, unless its backend has it already."""
        planned_id = job.id
        if journal is not None:
            job = replace(job, id=journal.attempt_id(planned_id))
            if journal.was_submitted(planned_id) and self.backend.poll(job).status != "unknown":
                return job, State("queued")
            journal.note(planned_id, "submitting")
        self.backend.submit(job)
        _note(journal, planned_id, State("queued"))
        return job, State("queued")


def _same_job(ours: Job, theirs: Job) -> bool:
    """Return True if two jobs have the same id, shots and seed, and circuits that compute the same at every point."""
    shapes = [(job.id, job.shots, job.seed, len(job.circuits), len(job.points)) for job in (ours, theirs)]
    if shapes[0] != shapes[1]:
        return False
    for first, second in zip(ours.circuits, theirs.circuits, strict=True):
        for point, other in zip(ours.points, theirs.points, strict=True):
            resolved = [cirq.resolve_parameters(c, dict(p)) for c, p in ((first, point), (second, other))]
            if len(list(resolved[0].all_operations())[-1].qubits) != len(list(resolved[1].all_operations())[-1].qubits):
                return False
            difference = largest_difference(*resolved)
            if difference is None or difference > _TOLERANCE:
                return False
    return True


def _note(journal: Journal | None, job_id: str, state: State) -> None:
    if journal is not None:
        journal.note(job_id, state.status, f"{state.code} {state.message}".strip())


def _raise_if_lost(job: Job, state: State) -> None:
    if state.status == "failed":
        raise JobFailedError(job.id, state.code, state.message)
    if state.status in ("cancelled", "unknown"):
        raise JobCancelledError(job.id)
