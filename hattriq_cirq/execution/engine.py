"""The engine: circuits in, distributions out, by way of compilation, jobs and a journal."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cirq
import numpy as np
from tqdm import tqdm

from hattriq_cirq.circuits.errors import JobCancelledError, JobFailedError, SilenceError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.compile import compile_for
from hattriq_cirq.compilation.placement import Build, Placement, place
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.execution.backend import Backend, Job, State
from hattriq_cirq.execution.batching import batches
from hattriq_cirq.execution.journal import Journal, digest

_LOOKED_AT = 4  # circuits that a placement is chosen by


class Engine:
    """Runs circuits on a backend, and with a journal never loses what came back.

    Make one with `qsim`, `cirq_simulator`, `virtual`, `google` or `sampler`. With a seed, a fresh engine gives the same counts
    for the same calls in the same order.

    Args:
        backend: what runs jobs.
        journal: a folder; ids are recorded there before jobs are submitted and counts as they arrive. An engine made
            anew with the same folder takes up what an interrupted one left.
        qubits: of the processor, to place circuits on; None chooses them by the calibration.
        poll_seconds: between looks at jobs under way.
        timeout: seconds without any job changing its state before `SilenceError`; None waits.
        progress: show a progress bar of jobs.
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
        """What results say they were run on."""
        return self.backend.name

    @property
    def seed(self) -> int | None:
        """The seed of the counts."""
        return self.backend.seed

    @property
    def processor(self) -> Processor | None:
        """What circuits are compiled for; None where any circuit runs."""
        return self.backend.processor

    @property
    def journal(self) -> Journal | None:
        """What its ids and counts are recorded in; closing it lets others take the run up."""
        return self._journal

    def describe(self) -> dict[str, Any]:
        """What a record needs to know of the engine, as JSON."""
        return self.backend.describe()

    def place(self, build: Build, qubits: Sequence[cirq.Qid] = ()) -> Placement | None:
        """Chooses physical qubits, and how amplitudes are prepared on them; None where any circuit runs as it is.

        Args:
            build: makes a few of the circuits that are to run, with the encoder it is given.
            qubits: logical ones that other circuits may use.

        Returns:
            The placement, to be handed to `compile`.
        """
        return None if self.processor is None else place(self.processor, build, qubits, among=self.qubits)

    def compile(
        self, circuits: Sequence[cirq.AbstractCircuit], placement: Placement | None = None
    ) -> list[ParameterizedCircuit]:
        """Circuits as they will run; a simulator runs them as they are.

        Args:
            circuits: logical, each ending in one measurement.
            placement: from `place`; None chooses one for these circuits.

        Returns:
            Programs whose points are together all the circuits.

        Raises:
            CircuitRefusedError: the processor cannot run one of them.
        """
        if self.processor is None:
            return [ParameterizedCircuit(circuit.freeze(), (i,)) for i, circuit in enumerate(circuits)]
        everywhere = {q for circuit in circuits for q in circuit.all_qubits()}
        placement = placement or self.place(lambda _: circuits[:_LOOKED_AT], sorted(everywhere))
        assert placement is not None
        return compile_for(self.processor, circuits, placement.qubits)

    def run(self, circuits: Sequence[cirq.AbstractCircuit], shots: Sequence[int] | None) -> list[Distribution]:
        """Compiles and executes circuits.

        Args:
            circuits: each ends in one measurement.
            shots: repetitions of each; None for exact probabilities, where the engine can give them.

        Returns:
            A distribution over the measured bits of each circuit, in order.

        Raises:
            ValueError: a circuit or a number of shots that this engine cannot run.
            EngineError: see `hattriq_cirq.circuits.errors`.
        """
        return self.execute(self.compile(circuits), shots)

    def execute(self, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> list[Distribution]:
        """Runs compiled programs.

        Args:
            programs: from `compile`, or variants of them; together they hold the requests 0, 1, ... once each.
            shots: of each request; None for exact probabilities.

        Returns:
            A distribution for each request, in order.

        Raises:
            ValueError: not one number of shots a request, or one below 1.
            EngineError: see `hattriq_cirq.circuits.errors`.
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
        jobs = [lot.job(f"{prefix}{self._calls:03d}-{i:05d}", seed) for i, (lot, seed) in numbered]
        if journal is not None:
            journal.begin(self._calls, digest(programs, shots), jobs)
        found = self._complete(jobs, journal)
        parts: dict[int, list[Distribution]] = {}
        for job, lot in zip(jobs, planned, strict=True):
            for request, distribution in zip(lot.requests, found[job.id], strict=True):
                parts.setdefault(request, []).append(distribution)
        return [Distribution.merged(parts[request]) for request in sorted(parts)]

    def _complete(self, jobs: Sequence[Job], journal: Journal | None) -> dict[str, list[Distribution]]:
        """The distributions of every job by its planned id: from the journal, or run."""
        found: dict[str, list[Distribution]] = {}
        waiting: deque[Job] = deque()
        for job in jobs:
            stored = None if journal is None else journal.stored(job.id)
            if stored is None:
                waiting.append(job)
            else:
                found[job.id] = stored
        under_way: dict[str, tuple[Job, State]] = {}
        counted = sum(d.shots or 0 for each in found.values() for d in each)
        heard = time.monotonic()
        with tqdm(total=len(jobs), initial=len(found), desc=self.name, unit="job", disable=not self._progress) as bar:
            while waiting or under_way:
                while waiting and len(under_way) < self.backend.limits.jobs:
                    job = waiting.popleft()
                    under_way[job.id] = self._hand_over(job, journal)
                    heard = time.monotonic()
                news = False
                for planned_id, (job, before) in list(under_way.items()):
                    state = self.backend.poll(job)
                    if state == before:
                        continue
                    news = True
                    under_way[planned_id] = job, state
                    if state.status == "done":
                        found[planned_id] = self.backend.results(job)
                        counted += sum(d.shots or 0 for d in found[planned_id])
                        if journal is not None:
                            journal.store(planned_id, found[planned_id])
                        del under_way[planned_id]
                        bar.update()
                    else:
                        _note(journal, planned_id, state)
                        _raise_if_lost(job, state)
                queued = sum(state.status == "queued" for _, state in under_way.values())
                running = len(under_way) - queued
                bar.set_postfix_str(f"{len(waiting) + queued} queued, {running} running, {counted:,} shots", refresh=news)
                if news:
                    heard = time.monotonic()
                elif self._timeout is not None and time.monotonic() - heard > self._timeout:
                    raise SilenceError(
                        f"no job of {self.name} changed its state for {self._timeout:g} s; they stay with the service: "
                        "resume the run to pick them up, or cancel it"
                    )
                elif under_way:
                    time.sleep(self._poll_seconds)
        return found

    def _hand_over(self, job: Job, journal: Journal | None) -> tuple[Job, State]:
        """Submits a job under its recorded id, unless its backend has it already."""
        planned_id = job.id
        if journal is not None:
            job = replace(job, id=journal.attempt_id(planned_id))
            if journal.was_submitted(planned_id) and self.backend.poll(job).status != "unknown":
                return job, State("queued")
            journal.note(planned_id, "submitting")
        self.backend.submit(job)
        _note(journal, planned_id, State("queued"))
        return job, State("queued")


def _note(journal: Journal | None, job_id: str, state: State) -> None:
    if journal is not None:
        journal.note(job_id, state.status, f"{state.code} {state.message}".strip())


def _raise_if_lost(job: Job, state: State) -> None:
    if state.status == "failed":
        raise JobFailedError(job.id, state.code, state.message)
    if state.status in ("cancelled", "unknown"):
        raise JobCancelledError(job.id)
