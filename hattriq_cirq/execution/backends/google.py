"""Google's processors, through the client of cirq_google: jobs under our own ids, on a pinned snapshot, never run twice."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cirq
import cirq_google as cg
from cirq_google.cloud import quantum
from duet.futuretools import AwaitableFuture

from hattriq_cirq.circuits.errors import ServiceError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.execution.backend import Job, Limits, State
from hattriq_cirq.execution.backends.google_calls import (
    BAD_REQUEST,
    CONFLICT,
    NOT_FOUND,
    Caller,
    RefusedError,
    configuration_of,
    connect,
    create_job,
    ids_of,
    log,
    processor_of,
)
from hattriq_cirq.execution.backends.google_jobs import MAX_BYTES, MAX_SHOTS, Packed, distributions, state_of
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.execution.journal import JOURNAL
from hattriq_cirq.execution.journal_summary import read_summary

_Answer = AwaitableFuture[quantum.QuantumResult | quantum.QuantumJob]


@dataclass(eq=False)
class _OnStream:
    """A job handed to the stream: what will hold its result, and when (monotonic) and what was last heard of it."""

    answer: _Answer
    heard: float
    state: State = State("queued")  # noqa: RUF009  State is frozen


class GoogleBackend:
    """A processor of Google's, as an engine needs it; make an engine of it with `google`, whose arguments these are.

    Args:
        engine: the client; it should not repeat calls itself (`max_retry_delay_seconds=0`), since this does.
        processor: its id.
        caller: bounds and repeats calls.
        device_config_name: of the device configuration; None takes the processor's default.
        snapshot: of the configuration that every job runs on; None pins the one that is current at the first use.
        run_name: of the automation run whose snapshot is pinned; None takes the processor's default.
    """

    seed: int | None = None

    def __init__(
        self,
        engine: cg.Engine,
        processor: str,
        *,
        caller: Caller | None = None,
        device_config_name: str | None = None,
        snapshot: str | None = None,
        run_name: str | None = None,
        streaming: bool = False,
        jobs: int = 10,
        circuits_per_job: int = 20,
    ) -> None:
        self._engine, self._client, self._processor_id = engine, engine.context.client, processor
        self._call = Caller() if caller is None else caller
        self._given = device_config_name, snapshot, run_name
        self._streaming = self._use_stream = streaming
        self.limits = Limits(shots=MAX_SHOTS, circuits=circuits_per_job, bytes=MAX_BYTES, jobs=jobs)
        self._on_stream: dict[str, _OnStream] = {}
        self._answers: dict[str, quantum.QuantumResult] = {}
        self._found: dict[str, list[Distribution]] = {}
        self._labels: dict[str, dict[str, str]] = {}

    @property
    def name(self) -> str:
        """What results say they were run on."""
        return f"google:{self._engine.project_id}/{self._processor_id}"

    @cached_property
    def configuration(self) -> cg.engine.ProcessorConfig:
        """The device configuration, with its calibration, that every job runs on; asked for once.

        Raises:
            AccessError: there is none of that name, as far as this account can see.
            EngineError: the service cannot be asked.
        """
        name, snapshot, run_name = self._given
        return configuration_of(self._engine, self._processor_id, self._call, name=name, snapshot=snapshot, run_name=run_name)

    @property
    def _target(self) -> dict[str, Any]:
        """What every job runs on; asks for nothing where all of it was given."""
        name, snapshot, _ = self._given
        return {
            "processor_id": self._processor_id,
            "device_config_name": name or self.configuration.config_name,
            "snapshot_id": snapshot or self.configuration.snapshot_id,
        }

    @cached_property
    def processor(self) -> Processor:
        """What circuits are compiled for: the pinned device and its calibration."""
        found, snapshot = self.configuration, self._target["snapshot_id"]
        return Processor.from_calibration(self._processor_id, found.effective_device, found.calibration, snapshot)

    def describe(self) -> dict[str, Any]:
        """What a record needs to know, as JSON; asks the service for whatever of the configuration was not given."""
        target = self._target
        return {
            "kind": "google",
            "project": self._engine.project_id,
            "processor": self._processor_id,
            "device_config_name": target["device_config_name"],
            "snapshot": target["snapshot_id"],
            "streaming": self._use_stream,
            "limits": {"shots": self.limits.shots, "circuits": self.limits.circuits, "bytes": self.limits.bytes},
        }

    def size(self, job: Job) -> int:
        """The bytes that submitting a job would send."""
        return Packed.of(job).size

    def submit(self, job: Job) -> None:
        """Hands a job over without waiting for it; one whose id is known already is not run again.

        Raises:
            CircuitRefusedError: more shots, bytes or moments than the service takes, or nothing that it can run.
            EngineError: the service cannot be reached, refuses, or knows another job by this id.
        """
        packed = Packed.of(job)
        packed.refuse_beyond(self.limits.bytes, job.id)
        if not self._streaming:
            self._send(job, packed)
        elif job.id not in self._on_stream and job.id not in self._answers:
            target = self._target

            async def stream() -> _Answer:
                answer: _Answer = self._client.run_job_over_stream(
                    **ids_of(self._engine, job.id),
                    **target,
                    code=packed.code,
                    run_context=packed.run_context,
                    program_labels=packed.labels,
                    job_labels=packed.labels,
                )
                return answer

            answer = self._call(f"submitting job {job.id}", stream)
            self._on_stream[job.id] = _OnStream(answer, time.monotonic())

    def poll(self, job: Job) -> State:
        """Where a job is, by its id; a job that the stream lost is submitted again without it, under the same id."""
        stream = self._on_stream.get(job.id)
        if stream is None:
            return self._ask(job)
        if not stream.answer.done():
            if time.monotonic() - stream.heard > self._call.call_timeout:
                stream.state, stream.heard = self._ask_or_send(job), time.monotonic()
            return stream.state
        del self._on_stream[job.id]
        broken = CancelledError() if stream.answer.cancelled() else stream.answer.exception()
        if broken is not None:
            self._streaming = False
            log.warning("job %s: the stream broke, %r; going on without it", job.id, broken)
            return self._ask_or_send(job)
        state = self._ask(job)  # the stream brings the counts of whichever job has this id
        if isinstance(answer := stream.answer.result(), quantum.QuantumResult):
            self._answers[job.id] = answer
        return state

    def results(self, job: Job) -> list[Distribution]:
        """The distributions of a finished job, points within circuits; the same ones when asked again.

        Raises:
            ServiceError: what came back is not what the job asked for.
            EngineError: the service cannot be asked.
        """
        if job.id not in self._found:
            answer = self._answers.pop(job.id, None)
            if answer is None:
                answer = self._call(
                    f"fetching the results of job {job.id}",
                    lambda: self._client.get_job_results_async(**ids_of(self._engine, job.id)),
                )
            self._found[job.id] = distributions(job, answer)
        return self._found[job.id]

    def cancel(self, job_id: str) -> None:
        """Cancels a job that has not finished; nothing happens to others."""
        try:
            self._call(f"cancelling job {job_id}", lambda: self._client.cancel_job_async(**ids_of(self._engine, job_id)))
        except RefusedError as error:
            if error.code not in (NOT_FOUND, BAD_REQUEST, CONFLICT):
                raise

    def _ask(self, job: Job) -> State:
        try:
            found = self._call(
                f"asking for job {job.id}",
                lambda: self._client.get_job_async(**ids_of(self._engine, job.id), return_run_context=False),
            )
        except RefusedError as error:
            if error.code == NOT_FOUND:
                return State("unknown")
            raise
        self._refuse_others(job, found)
        return state_of(found)

    def _ask_or_send(self, job: Job) -> State:
        """Where a job is of which the stream said nothing; if it never arrived, it is submitted without the stream."""
        state = self._ask(job)
        if state.status != "unknown":
            return state
        self._streaming = False
        log.warning("job %s: the stream lost it; submitting it without the stream", job.id)
        self._send(job, Packed.of(job))
        return State("queued")

    def _send(self, job: Job, packed: Packed) -> None:
        what = f"submitting job {job.id}"
        self._refuse_others(job, create_job(what, self._engine, self._call, job.id, packed, self._target))

    def _refuse_others(self, job: Job, found: quantum.QuantumJob) -> None:
        """An id that is taken by other circuits, points or shots must not lend its counts."""
        if job.id not in self._labels:
            self._labels[job.id] = Packed.of(job).labels
        stored = dict(found.labels)
        for key, value in self._labels[job.id].items():
            if stored.get(key, value) != value:
                raise ServiceError(
                    f"job {job.id} exists in project {self._engine.project_id} with other circuits or shots; start a new run"
                )


def google(  # noqa: PLR0913  each argument is one setting of the service
    project: str,
    processor: str,
    *,
    journal: str | os.PathLike[str],
    device_config_name: str | None = None,
    snapshot: str | None = None,
    run_name: str | None = None,
    streaming: bool = False,
    call_timeout: float = 60.0,
    patience: float = 300.0,
    jobs: int = 10,
    circuits_per_job: int = 20,
    timeout: float | None = None,
    poll_seconds: float = 1.0,
    qubits: Sequence[cirq.Qid] | None = None,
    progress: bool = False,
    engine: cg.Engine | None = None,
) -> Engine:
    """A processor of Google's; needs `gcloud auth application-default login` and a project with access to it.

    Args:
        project: of Google Cloud.
        processor: its id.
        journal: a folder; ids are recorded there before jobs are submitted, so that nothing is lost or run twice.
        device_config_name: of the device configuration; None takes the processor's default.
        snapshot: of the configuration that every job runs on; None pins the one that the journal records, or the current one.
        run_name: of the automation run whose snapshot is pinned; None takes the processor's default.
        streaming: submit jobs through a stream, which brings their results back; otherwise ask for each job.
        call_timeout: seconds that one call may stay unanswered.
        patience: seconds for which a call is repeated while the service is busy, failing or silent.
        jobs: under way at once.
        circuits_per_job: different circuits in one job, at most.
        timeout: seconds without any job changing its state before `SilenceError`; None waits.
        poll_seconds: between looks at jobs under way.
        qubits: of the processor, to place circuits on; None chooses them by the calibration.
        progress: show a progress bar of jobs.
        engine: a configured client; None makes one from the default credentials.

    Returns:
        The engine.

    Raises:
        AccessError: no credentials, or no access to the project, the processor or the configuration.
        EngineError: the service cannot be reached.
    """
    recorded = read_summary(journal).engine if (Path(journal) / JOURNAL).is_file() else {}
    if not (snapshot or run_name):  # a run goes on with the configuration that it began with
        device_config_name = device_config_name or recorded.get("device_config_name")
        snapshot = recorded.get("snapshot")
    backend = GoogleBackend(
        engine or connect(project, streaming=streaming),
        processor,
        caller=Caller(call_timeout, patience),
        device_config_name=device_config_name,
        snapshot=snapshot,
        run_name=run_name,
        streaming=streaming,
        jobs=jobs,
        circuits_per_job=circuits_per_job,
    )
    return Engine(backend, journal=journal, qubits=qubits, poll_seconds=poll_seconds, timeout=timeout, progress=progress)


def check_access(
    project: str, processor: str, engine: cg.Engine | None = None, *, call_timeout: float = 20.0, patience: float = 20.0
) -> dict[str, Any]:
    """What an account sees of a processor, at the price of two small calls.

    Args:
        project: of Google Cloud.
        processor: its id.
        engine: a configured client; None makes one from the default credentials.
        call_timeout: seconds that one call may stay unanswered.
        patience: seconds for which a call is repeated.

    Returns:
        project, processor, health, device_config_name, snapshot, and calibration_time in UTC (ISO 8601).

    Raises:
        AccessError: no credentials, or no access; its message is the cure.
        EngineError: the service cannot be reached.
    """
    client, caller = engine or connect(project), Caller(call_timeout, patience)
    found = processor_of(client, processor, caller)
    key = found.default_device_config_key
    configuration = configuration_of(
        client, processor, caller, name=key.config_alias or None, snapshot=key.snapshot_id or None, run_name=key.run or None
    )
    calibrated = datetime.datetime.fromtimestamp(configuration.calibration.timestamp / 1000, datetime.UTC)
    return {
        "project": project,
        "processor": processor,
        "health": found.health.name,
        "device_config_name": configuration.config_name,
        "snapshot": configuration.snapshot_id,
        "calibration_time": calibrated.isoformat(timespec="seconds"),
    }
