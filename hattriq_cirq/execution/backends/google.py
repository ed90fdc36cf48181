"""Backend for Google's quantum engine service: jobs with our own ids on a pinned snapshot, never run twice."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cirq
import cirq_google as cg
from cirq_google.cloud import quantum
from duet.futuretools import AwaitableFuture

from hattriq_cirq.circuits.errors import AccessError, CircuitRefusedError, EngineError, ServiceError, StaleConfigurationError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.compilation.snapshot import Snapshot
from hattriq_cirq.execution.backend import Job, Limits, State
from hattriq_cirq.execution.backends.google_calls import (
    BAD_REQUEST,
    CONFLICT,
    NOT_FOUND,
    NoConfigurationError,
    RefusedError,
    RetryingCaller,
    configuration_of_key,
    connect,
    create_job,
    get_configuration,
    get_processor,
    job_ids,
    log,
)
from hattriq_cirq.execution.backends.google_jobs import MAX_BYTES, MAX_SHOTS, SerializedJob, distributions_from_result, state_of
from hattriq_cirq.execution.backends.google_state import (
    RECOMPILE,
    changed_note,
    check_age,
    check_circuits,
    unavailable,
)
from hattriq_cirq.execution.engine import SILENCE, Engine
from hattriq_cirq.execution.journal import CONFIGURATION
from hattriq_cirq.execution.journal_records import JOURNAL
from hattriq_cirq.execution.journal_summary import read_summary
from hattriq_cirq.execution.ownership import Owned
from hattriq_cirq.execution.processors import ProcessorInfo, request_processor

#: Codes of jobs that failed because their time had not come or was over.
_NOT_NOW = ("SCHEDULING_EXPIRED", "FAILED_PRECONDITION")
_Response = AwaitableFuture[quantum.QuantumResult | quantum.QuantumJob]


@dataclass(eq=False)
class _StreamedJob:
    """Job that was submitted through the stream.

    Args:
        response: Future of its result.
        checked: Time (monotonic) at which its state was last known.
        state: Last known state.
    """

    response: _Response
    checked: float
    state: State = State("queued")  # noqa: RUF009  State is frozen


class GoogleBackend(Owned):
    """Backend for one of Google's processors; `google` returns an engine with it.

    Args:
        engine: Client; it should not repeat calls itself (`max_retry_delay_seconds=0`), since the backend does.
        processor: Id of the processor.
        caller: Caller that repeats failing calls; None takes the default limits.
        device_config_name: Name of the device configuration; None takes the processor's default.
        snapshot: Snapshot of the configuration for every job; None pins the one that is current at the first use.
        run_name: Automation run whose snapshot is pinned; None takes the processor's default.
        streaming: True to submit jobs through the stream.
        jobs: Maximum number of unfinished jobs.
        circuits_per_job: Maximum number of different circuits per job.
        folder: Folder of the run's journal, where configurations are kept; None keeps none.
    """

    seed: int | None = None

    def __init__(
        self,
        engine: cg.Engine,
        processor: str,
        *,
        caller: RetryingCaller | None = None,
        device_config_name: str | None = None,
        snapshot: str | None = None,
        run_name: str | None = None,
        streaming: bool = False,
        jobs: int = 10,
        circuits_per_job: int = 20,
        folder: Path | None = None,
    ) -> None:
        self._folder = folder
        self._engine, self._client, self._processor_id = engine, engine.context.client, processor
        self._call = RetryingCaller() if caller is None else caller
        self._given = device_config_name, snapshot, run_name
        self._streaming = self._use_stream = streaming
        self.limits = Limits(shots=MAX_SHOTS, circuits=circuits_per_job, bytes=MAX_BYTES, jobs=jobs)
        self._streamed: dict[str, _StreamedJob] = {}
        self._stream_results: dict[str, quantum.QuantumResult] = {}
        self._distributions: dict[str, list[Distribution]] = {}
        self._labels: dict[str, dict[str, str]] = {}

    @property
    def name(self) -> str:
        """Name that results carry."""
        return f"google:{self._engine.project_id}/{self._processor_id}"

    @cached_property
    def configuration(self) -> Snapshot:
        """Device configuration with its calibration that every job runs on; requested once.

        Raises:
            AccessError: This account sees no configuration of that name.
            EngineError: The service cannot be reached.
        """
        name, snapshot, run_name = self._given
        kept = None if snapshot is None else self._kept(snapshot)
        if kept is not None:
            return kept
        try:
            found = get_configuration(
                self._engine, self._processor_id, self._call, name=name, snapshot=snapshot, run_name=run_name
            )
        except NoConfigurationError as error:
            if snapshot is None or self._folder is None or not (self._folder / JOURNAL).is_file():
                raise
            raise _removed_error("asking for the configuration", name or "default", snapshot) from error
        self._keep(found)
        return found

    def _get(self, name: str | None, snapshot: str | None, run_name: str | None = None) -> Snapshot:
        """Request a configuration from the service."""
        own = self._engine, self._processor_id, self._call
        return get_configuration(*own, name=name, snapshot=snapshot, run_name=run_name)

    def _file(self, snapshot_id: str) -> Path | None:
        """Return the file that keeps a configuration beside the journal."""
        name = re.sub(r"[^A-Za-z0-9._-]", "_", snapshot_id).lstrip(".")
        return None if self._folder is None else self._folder / f"{name}{CONFIGURATION}"

    def _kept(self, snapshot_id: str) -> Snapshot | None:
        """Return a configuration that an earlier process has kept; None if there is none that can be read."""
        file = self._file(snapshot_id)
        try:
            kept = None if file is None else Snapshot.load(file)
        except (OSError, ValueError):
            return None
        return kept if kept is not None and kept.snapshot_id == snapshot_id else None

    def _keep(self, found: Snapshot) -> None:
        file = self._file(found.snapshot_id)
        if file is not None and (file.parent / JOURNAL).is_file() and self._kept(found.snapshot_id) is None:
            try:
                file.unlink(missing_ok=True)
                replace(found, taken_utc="").save(file)  # the journal has the time: equal runs have equal files
            except OSError as error:
                log.warning("the configuration could not be kept beside the journal: %s", error)

    def keep_configuration(self) -> None:
        """Write the configuration into the folder of the run, if it is known already; else this is done once it is known."""
        if "configuration" in vars(self):
            self._keep(self.configuration)

    def earlier_processor(self, record: Mapping[str, Any]) -> Processor:
        """Return the processor of an earlier configuration of the run, from its record; it may be gone from the service."""
        name, snapshot = record["device_config_name"], record["snapshot"]
        found = self._kept(snapshot) or self._get(name, snapshot)
        return found.processor()

    def check_configuration(self, max_age_hours: float | None, jobs: Sequence[Job]) -> str:
        """Check that the processor takes jobs and that their configuration may still be used, see `ConfiguredBackend`."""
        info = self._request_info()
        if (error := unavailable(info)) is not None:
            raise error
        pinned, current = self.configuration, self._current(info)
        check_age(pinned, max_age_hours, current)
        if current is None:
            return ""
        check_circuits(current, jobs)
        return changed_note(pinned, current)

    def _request_info(self) -> ProcessorInfo:
        description = get_processor(self._engine, self._processor_id, self._call)
        return request_processor(self._engine, description, self._call)

    def _current(self, info: ProcessorInfo) -> Snapshot | None:
        """Return the present snapshot of the configuration that jobs run on; None if it cannot be read."""
        name = self._target["device_config_name"]
        if info.snapshot is None or info.snapshot.config_name == name:
            return info.snapshot
        try:
            return self._get(name, None, self._given[2])
        except AccessError:
            return None

    @property
    def _target(self) -> dict[str, Any]:
        """Processor, configuration and snapshot of every job; the service is called only for those that were not given."""
        name, snapshot, _ = self._given
        return {
            "processor_id": self._processor_id,
            "device_config_name": name or self.configuration.config_name,
            "snapshot_id": snapshot or self.configuration.snapshot_id,
        }

    @cached_property
    def processor(self) -> Processor:
        """Processor that circuits are compiled for: the pinned device and its calibration."""
        return self.configuration.processor()

    def describe(self) -> dict[str, Any]:
        """Return the record of the backend as JSON; the service is called for settings that were not given."""
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
        """Return the number of bytes that submitting a job would send."""
        return SerializedJob.from_job(job).size

    def check(self, job: Job) -> None:
        """Raise `CircuitRefusedError` for a job with more shots, bytes or moments than accepted; the service is not called."""
        SerializedJob.from_job(job).check_size(self.limits.bytes, job.id)

    def submit(self, job: Job) -> None:
        """Submit a job without waiting for it; a job whose id is already known is not run again.

        Raises:
            CircuitRefusedError: The job has more shots, bytes or moments than the service accepts, or cannot be serialised.
            EngineError: The service cannot be reached, refuses, or has another job of this id.
        """
        self.check_owner()
        serialized = SerializedJob.from_job(job)
        serialized.check_size(self.limits.bytes, job.id)
        if not self._streaming:
            self._submit_unary(job, serialized)
        elif job.id not in self._streamed and job.id not in self._stream_results:
            target = self._target

            async def stream() -> _Response:
                response: _Response = self._client.run_job_over_stream(
                    **job_ids(self._engine, job.id),
                    **target,
                    code=serialized.code,
                    run_context=serialized.run_context,
                    program_labels=serialized.labels,
                    job_labels=serialized.labels,
                )
                return response

            response = self._call(f"submitting job {job.id}", stream)
            self._streamed[job.id] = _StreamedJob(response, time.monotonic())

    def poll(self, job: Job) -> State:
        """Return the state of a job; a job that the stream lost is submitted again without it, under the same id."""
        self.check_owner()
        state = self._poll(job)
        return replace(state, error=self._reason(job, state)) if state.status in ("failed", "cancelled") else state

    def _reason(self, job: Job, state: State) -> EngineError | None:
        """Return the error of a processor that no longer takes a job that failed or was cancelled; None if that is not why."""
        try:
            info = self._request_info()
            if (error := unavailable(info, refused=state.code in _NOT_NOW or state.status == "cancelled")) is not None:
                return error
            current = self._current(info)
            if current is not None and state.status == "failed":
                check_circuits(current, [job], f"job {job.id} failed: {state.code}: {state.message}")
        except EngineError as error:
            return error if isinstance(error, CircuitRefusedError) else None
        return None

    def _poll(self, job: Job) -> State:
        streamed = self._streamed.get(job.id)
        if streamed is None:
            return self._request_state(job)
        if not streamed.response.done():
            if time.monotonic() - streamed.checked > self._call.call_timeout:
                streamed.state, streamed.checked = self._poll_or_resubmit(job), time.monotonic()
            return streamed.state
        del self._streamed[job.id]
        failure = CancelledError() if streamed.response.cancelled() else streamed.response.exception()
        if failure is not None:
            self._streaming = False
            log.warning("job %s: the stream broke, %r; continuing without it", job.id, failure)
            return self._poll_or_resubmit(job)
        state = self._request_state(job)  # checks that the job of this id, whose counts the stream returned, is the same one
        if isinstance(result := streamed.response.result(), quantum.QuantumResult):
            self._stream_results[job.id] = result
        return state

    def results(self, job: Job) -> list[Distribution]:
        """Return the distributions of a finished job, ordered by circuit, then by point; every call returns the same ones.

        Raises:
            ServiceError: The result does not match the job.
            EngineError: The service cannot be reached.
        """
        if job.id not in self._distributions:
            result = self._stream_results.pop(job.id, None)
            if result is None:
                result = self._call(
                    f"fetching the results of job {job.id}",
                    lambda: self._client.get_job_results_async(**job_ids(self._engine, job.id)),
                )
            self._distributions[job.id] = distributions_from_result(job, result)
        return self._distributions[job.id]

    def cancel(self, job_id: str) -> None:
        """Cancel a job if it has not finished; other ids are ignored."""
        try:
            self._call(f"cancelling job {job_id}", lambda: self._client.cancel_job_async(**job_ids(self._engine, job_id)))
        except RefusedError as error:
            if error.code not in (NOT_FOUND, BAD_REQUEST, CONFLICT):
                raise

    def _request_state(self, job: Job) -> State:
        """Request the state of a job from the service, again while the service reports none."""

        async def request() -> tuple[quantum.QuantumJob, State]:
            stored = await self._client.get_job_async(**job_ids(self._engine, job.id), return_run_context=False)
            return stored, state_of(stored)

        try:
            stored, state = self._call(f"asking for job {job.id}", request)
        except RefusedError as error:
            if error.code == NOT_FOUND:
                return State("unknown")
            raise
        self._check_same_job(job, stored)
        return state

    def _poll_or_resubmit(self, job: Job) -> State:
        """Return the state of a job that the stream does not report; submit the job without the stream if it never arrived."""
        state = self._request_state(job)
        if state.status != "unknown":
            return state
        self._streaming = False
        log.warning("job %s: the stream lost it; submitting it without the stream", job.id)
        self._submit_unary(job, SerializedJob.from_job(job))
        return State("queued")

    def _submit_unary(self, job: Job, serialized: SerializedJob) -> None:
        """Submit a job by single calls, without the stream."""
        action = f"submitting job {job.id}"
        try:
            created = create_job(action, self._engine, self._call, job.id, serialized, self._target)
        except (RefusedError, AccessError) as error:
            raise self._explained(action, error) from error
        self._check_same_job(job, created)

    def _explained(self, action: str, refusal: RefusedError | AccessError) -> EngineError:
        """Return the error that says why a job was refused: the processor takes none, its snapshot is gone, or the refusal."""
        name, snapshot = self._target["device_config_name"], self._target["snapshot_id"]
        try:
            if (error := unavailable(self._request_info(), refused=True)) is not None:
                return error
            if isinstance(refusal, RefusedError) and refusal.code in (NOT_FOUND, BAD_REQUEST):
                self._get(name, snapshot)
        except NoConfigurationError:
            return _removed_error(action, name, snapshot)
        except EngineError:
            pass  # the refusal says more
        return refusal

    def _check_same_job(self, job: Job, stored: quantum.QuantumJob) -> None:
        """Raise `ServiceError` if the service's job of this id has other circuits, points or shots."""
        if job.id not in self._labels:
            self._labels[job.id] = SerializedJob.from_job(job).labels
        labels = dict(stored.labels)
        for key, value in self._labels[job.id].items():
            if labels.get(key, value) != value:
                raise ServiceError(
                    f"job {job.id} exists in project {self._engine.project_id} with other circuits or shots; start a new run"
                )


def _removed_error(action: str, name: str, snapshot: str) -> StaleConfigurationError:
    return StaleConfigurationError(
        f"{action}: the snapshot {snapshot!r} of the configuration {name!r} exists no longer, so the remaining jobs cannot "
        f"run on it; all counts that arrived stay in the journal; {RECOMPILE}"
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
    timeout: float | None = SILENCE,
    poll_seconds: float = 1.0,
    qubits: Sequence[cirq.Qid] | None = None,
    progress: bool = False,
    max_shots: int | None = None,
    max_jobs: int | None = None,
    max_seconds: float | None = None,
    max_configuration_age: float | None = None,
    recompile: bool = False,
    engine: cg.Engine | None = None,
) -> Engine:
    """Return an engine on one of Google's processors.

    It needs `gcloud auth application-default login` and a project with access to the processor.

    Args:
        project: Google Cloud project.
        processor: Id of the processor.
        journal: Journal folder; ids are recorded there before jobs are submitted, so that nothing is lost or run twice.
        device_config_name: Name of the device configuration; None takes the processor's default.
        snapshot: Snapshot of the configuration for every job; None pins the one that the journal records, or the current one.
        run_name: Automation run whose snapshot is pinned; None takes the processor's default.
        streaming: True to submit jobs through a stream that also returns their results; False to poll each job.
        call_timeout: Seconds after which a call counts as unanswered.
        patience: Seconds for which a call is repeated while the service is busy, failing or silent.
        jobs: Maximum number of unfinished jobs.
        circuits_per_job: Maximum number of different circuits per job.
        timeout: Seconds without a change of any job's state before `SilenceError`, a day by default; None waits for any time.
        poll_seconds: Seconds between two polls of unfinished jobs.
        qubits: Qubits of the processor that circuits may be placed on; None chooses them by the calibration.
        progress: True to show a progress bar of jobs.
        max_shots: Cap on the shots of all jobs, see `Engine`; None sets no cap.
        max_jobs: Cap on the number of jobs.
        max_seconds: Cap on the seconds of waiting for jobs.
        max_configuration_age: Largest age in hours of the processor's configuration, that is of its calibration, at the first
            submission of every process; None for any age. `Readout(max_age=)` limits the age of a readout calibration.
        recompile: True to go on with the processor's current configuration after it changed: the calls of the journal that are
            not finished are compiled anew and begin again, finished ones stay. False stays on the snapshot that was pinned.
        engine: Configured client; None makes one from the default credentials.

    Returns:
        The engine.

    Raises:
        AccessError: There are no credentials, or no access to the project, the processor or the configuration.
        EngineError: The service cannot be reached.

    Example:
        The first call that needs the processor connects to the service; `engine.run([circuit], [1000])` would run a circuit.

        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     engine = google("my-project", "willow", journal=folder, device_config_name="default", snapshot="snap-1")
        >>> engine.name, engine.describe()["snapshot"]
        ('google:my-project/willow', 'snap-1')
    """
    recorded = read_summary(journal).engine if (Path(journal) / JOURNAL).is_file() else {}
    if not (snapshot or run_name or recompile):  # a resumed run keeps the configuration that it began with
        device_config_name = device_config_name or recorded.get("device_config_name")
        snapshot = recorded.get("snapshot")
    backend = GoogleBackend(
        engine or connect(project, streaming=streaming),
        processor,
        caller=RetryingCaller(call_timeout, patience),
        device_config_name=device_config_name,
        snapshot=snapshot,
        run_name=run_name,
        streaming=streaming,
        jobs=jobs,
        circuits_per_job=circuits_per_job,
        folder=Path(journal),
    )
    return Engine(
        backend,
        journal=journal,
        qubits=qubits,
        poll_seconds=poll_seconds,
        timeout=timeout,
        progress=progress,
        max_shots=max_shots,
        max_jobs=max_jobs,
        max_seconds=max_seconds,
        max_configuration_age=max_configuration_age,
        recompile=recompile,
    )


def check_access(
    project: str, processor: str, engine: cg.Engine | None = None, *, call_timeout: float = 20.0, patience: float = 20.0
) -> dict[str, Any]:
    """Request what an account sees of a processor, with two small calls.

    Args:
        project: Google Cloud project.
        processor: Id of the processor.
        engine: Configured client; None makes one from the default credentials.
        call_timeout: Seconds after which a call counts as unanswered.
        patience: Seconds for which a call is repeated.

    Returns:
        The project, processor, health, device_config_name, snapshot and calibration_time in UTC (ISO 8601), None if unknown.

    Raises:
        AccessError: There are no credentials, or no access; the message says what to do.
        EngineError: The service cannot be reached.
    """
    client, caller = engine or connect(project), RetryingCaller(call_timeout, patience)
    description = get_processor(client, processor, caller)
    configuration = configuration_of_key(client, processor, caller, description.default_device_config_key)
    return {
        "project": project,
        "processor": processor,
        "health": description.health.name,
        "device_config_name": configuration.config_name,
        "snapshot": configuration.snapshot_id,
        "calibration_time": configuration.calibration_utc,
    }


def snapshot(
    project: str,
    processor: str,
    *,
    device_config_name: str | None = None,
    snapshot: str | None = None,
    run_name: str | None = None,
    call_timeout: float = 60.0,
    patience: float = 60.0,
    engine: cg.Engine | None = None,
) -> Snapshot:
    """Return device and calibration of one of Google's processors, to save, rehearse with `hattriq_cirq.virtual` and price.

    Args:
        project: Google Cloud project.
        processor: Id of the processor.
        device_config_name: Name of the device configuration; None takes the processor's default.
        snapshot: Id of an earlier snapshot; None takes the current one.
        run_name: Automation run whose snapshot is taken; None takes the processor's default.
        call_timeout: Seconds after which a call counts as unanswered.
        patience: Seconds for which a call is repeated while the service is busy, failing or silent.
        engine: Configured client; None makes one from the default credentials.

    Returns:
        The snapshot; `Snapshot.save` writes it into a file.

    Raises:
        AccessError: There are no credentials, or no access to the project, the processor or the configuration.
        EngineError: The service cannot be reached.

    Example:
        >>> device = snapshot("my-project", "my-processor")  # doctest: +SKIP
        >>> device.save("device.json")  # doctest: +SKIP
    """
    client, caller = engine or connect(project), RetryingCaller(call_timeout, patience)
    return get_configuration(client, processor, caller, name=device_config_name, snapshot=snapshot, run_name=run_name)
