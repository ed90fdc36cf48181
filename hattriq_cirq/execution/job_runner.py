"""Jobs of a call: submitted within the caps, polled until they end, their counts stored as they arrive."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from hattriq_cirq.circuits.errors import (
    CircuitRefusedError,
    EngineError,
    JobCancelledError,
    JobFailedError,
    JournalError,
    SilenceError,
    StaleConfigurationError,
)
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.execution.backend import Backend, Job, State
from hattriq_cirq.execution.caps import Caps
from hattriq_cirq.execution.journal import Journal
from hattriq_cirq.execution.usage import Meter, Usage
from hattriq_cirq.foundation.log import Log
from hattriq_cirq.foundation.progress import progress_bar
from hattriq_cirq.foundation.text import quantity

_SIGN_OF_LIFE = 60.0  # seconds after which the state of a job that has not changed is recorded again
_LEAST_PAUSE = 0.005  # seconds between polls, so that waiting for workers of this machine takes none of its cores

log = Log("execution")


@dataclass(eq=False)
class JobRunner:
    """Runner of the jobs of one call.

    Args:
        backend: Backend that runs the jobs.
        journal: Journal that records them; None records nothing.
        caps: Largest usage of the run.
        meter: Usage so far where there is no journal.
        poll_seconds: Seconds between polls of the jobs in progress.
        timeout: Seconds without any change of a job's state before `SilenceError`; None waits forever.
        progress: Show a progress bar of jobs.
        check_configuration: Function that checks, before jobs are submitted, that the processor takes them.
        needed: Usage that the whole run needs, as far as it is known.
    """

    backend: Backend
    journal: Journal | None
    caps: Caps
    meter: Meter
    poll_seconds: float = 0.0
    timeout: float | None = None
    progress: bool = False
    check_configuration: Callable[[Sequence[Job]], None] = lambda _: None
    needed: Usage = Usage()  # noqa: RUF009  Usage is frozen
    _refusal: EngineError | None = field(init=False, default=None)
    _counted: int = field(init=False, default=0)
    _results: dict[str, list[Distribution]] = field(init=False, default_factory=dict)
    _in_progress: dict[str, _Submitted] = field(init=False, default_factory=dict)
    _last_change: float = field(init=False, default=0.0)

    def run(self, jobs: Sequence[Job]) -> dict[str, list[Distribution]]:
        """Return the distributions of every job by its planned id, read from the journal or run.

        Raises:
            CapReachedError: The next job would pass a cap; the jobs before it are finished.
            EngineError: A job failed, or the backend cannot be reached.
        """
        if self.journal is not None:
            stored = {job.id: self.journal.stored(job.id) for job in jobs}
            self._results = {job_id: found for job_id, found in stored.items() if found is not None}
            self._counted = sum(_counted(found) for found in self._results.values())
        waiting = deque(job for job in jobs if job.id not in self._results)
        if waiting and self.journal is not None:
            self.journal.record_caps(self.caps)
        self._last_change = time.monotonic()
        shown, done = self.progress, len(self._results)
        try:
            with progress_bar(shown=shown, total=len(jobs), initial=done, desc=self.backend.name, unit="job") as bar:
                while waiting or self._in_progress:
                    refusal = self._submit_allowed(waiting)
                    if refusal is not None and not self._in_progress:
                        raise refusal
                    self._poll_all(bar, len(waiting))
        except BaseException as error:
            self._stop_waiting(error)
            raise
        return self._results

    def _submit_allowed(self, waiting: deque[Job]) -> EngineError | None:
        """Submit jobs until the backend takes no more; return the error of a cap or configuration that forbids the next job."""
        while waiting and len(self._in_progress) < self.backend.limits.jobs:
            job = waiting[0]
            if not self._is_paid(job):
                self._refusal = self._refusal or self._cap_reached_by(job) or self._configuration_refused(waiting)
            if self._refusal is not None:
                return self._refusal
            self._in_progress[job.id] = self._submit(waiting.popleft())
            self._last_change = time.monotonic()
        return None

    def _configuration_refused(self, waiting: Sequence[Job]) -> EngineError | None:
        """Return the error of a configuration that may not be used any longer; jobs in progress are still awaited."""
        try:
            self.check_configuration(waiting)
        except (StaleConfigurationError, CircuitRefusedError) as error:
            return error
        return None

    def _cap_reached_by(self, job: Job) -> EngineError | None:
        used, shots = self._used(), shots_of(job)
        name = self.caps.reached(used, shots)
        if name is None:
            return None
        folder = None if self.journal is None else self.journal.folder
        is_command = self.journal is not None and self.journal.task is not None
        return self.caps.error(name, used, shots, self.needed, folder, is_command=is_command)

    def needed_by(self, jobs: Sequence[Job]) -> Usage:
        """Return the usage that the run will have when all these jobs are done."""
        unpaid = [job for job in jobs if not self._is_paid(job)]
        return self._used() + Usage(sum(map(shots_of, unpaid)), len(unpaid))

    def _is_paid(self, job: Job) -> bool:
        """Return True if a job was submitted and is counted already."""
        return self.journal is not None and self.journal.was_submitted(job.id)

    def _used(self) -> Usage:
        if self.journal is not None:
            return self.journal.used
        self.meter.advance(time.time())
        return self.meter.used

    def _submit(self, job: Job) -> _Submitted:
        """Submit a job under its recorded id, unless its backend has it already."""
        planned_id, queued = job.id, State("queued")
        if self.journal is not None:
            job = replace(job, id=self.journal.attempt_id(planned_id))
            if self.journal.was_submitted(planned_id) and self.backend.poll(job).status != "unknown":
                self._note(planned_id, queued)
                log.info("job %s was submitted before; waiting for it", job.id)
                return _Submitted(job, queued)
            self.journal.note(planned_id, "submitting")
        else:
            self.meter.advance(time.time())
            self.meter.submit(job.id, shots_of(job))
        self.backend.submit(job)
        self._note(planned_id, queued)
        size = quantity(len(job.circuits), "circuit"), quantity(len(job.points), "point")
        log.info("job %s submitted with %d shots: %s at %s", job.id, shots_of(job), *size)
        return _Submitted(job, queued)

    def _poll_all(self, bar: Any, waiting: int) -> None:
        """Poll the jobs in progress once; pause if none has changed."""
        changed = False
        for planned_id, submitted in list(self._in_progress.items()):
            state = self.backend.poll(submitted.job)
            if state == submitted.state:
                continue
            changed, submitted.state = True, state
            if state.status == "done":
                self._store(planned_id, submitted)
                bar.update()
            else:
                self._note(planned_id, state)
                log.info("job %s is %s %s", submitted.job.id, state.status, f"{state.code} {state.message}".strip())
                _raise_if_lost(submitted.job, state)
        queued = sum(each.state.status == "queued" for each in self._in_progress.values())
        running = len(self._in_progress) - queued
        bar.set_postfix_str(f"{waiting + queued} queued, {running} running, {self._counted:,} shots", refresh=changed)
        if changed:
            self._last_change = time.monotonic()
        elif self._in_progress:
            self._wait()

    def _store(self, planned_id: str, submitted: _Submitted) -> None:
        found = self._results[planned_id] = self.backend.results(submitted.job)
        if self.journal is not None:
            self.journal.store(planned_id, found)
        else:
            self.meter.advance(time.time())
            self.meter.end(planned_id)
        del self._in_progress[planned_id]
        self._counted += _counted(found)
        seconds = time.monotonic() - submitted.since
        log.info("job %s finished after %.1f s with %d shots", submitted.job.id, seconds, _counted(found))

    def _wait(self) -> None:
        """Pause before the next poll; give up after a long silence."""
        now = time.monotonic()
        if self.timeout is not None and now - self._last_change > self.timeout:
            raise SilenceError(
                f"no job of {self.backend.name} changed its state for {self.timeout:g} s; they stay with the service: "
                "resume the run to pick them up, or cancel it"
            )
        planned_id, oldest = min(self._in_progress.items(), key=lambda item: item[1].noted)
        if now - oldest.noted > _SIGN_OF_LIFE:  # a run that is killed later has counted its seconds up to here
            self._note(planned_id, oldest.state)
            oldest.noted = now
        time.sleep(max(self.poll_seconds, _LEAST_PAUSE))

    def _note(self, planned_id: str, state: State) -> None:
        if self.journal is not None:
            self.journal.note(planned_id, state.status, f"{state.code} {state.message}".strip())

    def _stop_waiting(self, error: BaseException) -> None:
        """Count no more time, because nobody waits for the jobs in progress."""
        left = quantity(len(self._in_progress), "job")
        log.warning("stopped with %s in progress: %s", left, str(error) or type(error).__name__)
        self.meter.advance(time.time())
        self.meter.pause()
        if self._in_progress and self.journal is not None:
            with suppress(JournalError):
                self.journal.pause()


@dataclass(eq=False)
class _Submitted:
    """Job in progress.

    Args:
        job: Job under the id of its present attempt.
        state: Last known state.
        since: Time (monotonic) of its submission.
        noted: Time (monotonic) at which its state was last recorded.
    """

    job: Job
    state: State
    since: float = field(default_factory=time.monotonic)
    noted: float = field(default_factory=time.monotonic)


def _counted(distributions: Sequence[Distribution]) -> int:
    return sum(distribution.shots or 0 for distribution in distributions)


def shots_of(job: Job) -> int:
    """Return the number of shots of all circuits and points of a job; 0 for exact probabilities."""
    return (job.shots or 0) * job.runs


def _raise_if_lost(job: Job, state: State) -> None:
    if state.error is not None:
        raise state.error
    if state.status == "failed":
        raise JobFailedError(job.id, state.code, state.message)
    if state.status in ("cancelled", "unknown"):
        raise JobCancelledError(job.id)
