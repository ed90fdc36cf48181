"""Calls of Google's quantum engine service: bounded in time, repeated while it is busy or silent, with typed errors."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

import cirq_google as cg
from cirq_google.api import v2
from cirq_google.cloud import quantum
from cirq_google.engine.engine import EngineContext
from cirq_google.engine.engine_client import EngineClient, EngineException
from cirq_google.engine.util import unpack_any
from duet.api import run, timeout_scope
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError, TransportError

from hattriq_cirq.circuits.errors import AccessError, EngineError, QuotaError, ServiceError, SilenceError
from hattriq_cirq.compilation.snapshot import Snapshot
from hattriq_cirq.execution.backends.google_jobs import SerializedJob
from hattriq_cirq.foundation.log import Log

log = Log("execution")
T = TypeVar("T")

#: Codes in place of an HTTP code: of a call that was not answered, and of one in which the client itself failed.
NO_ANSWER, CLIENT_FAILED = 0, -1
NOT_FOUND, CONFLICT, BAD_REQUEST = 404, 409, 400
_NO_CREDENTIALS, _DENIED, _TOO_MANY = 401, 403, 429
#: Codes after which a call is repeated: no answer, too many requests, a broken connection, a failing service or client.
_TRANSIENT = (NO_ANSWER, CLIENT_FAILED, 408, _TOO_MANY, 499, 500, 502, 503, 504)
#: Exceptions of the client and of what it is made of; one that is not of the service may be a broken connection.
_FAILURES = (EngineException, GoogleAPICallError, GoogleAuthError, CancelledError, OSError, RuntimeError, ValueError)
#: Text that the client puts before the message of a 5xx error.
_GAVE_UP = "Reached max retry attempts for error: "
#: Seconds before a call is repeated for the first time, doubled at each further time, and their maximum.
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 30.0


class RefusedError(ServiceError):
    """Final refusal by the service, which a repeated call would not change.

    Args:
        action: Description of the call.
        code: HTTP code.
        message: Explanation by the service.
    """

    def __init__(self, action: str, code: int, message: str) -> None:
        super().__init__(f"{action}: the service answered {code}: {message}")
        self.code = code


class NoConfigurationError(AccessError):
    """Name or snapshot of a configuration that the service does not offer to this account."""


@dataclass(frozen=True)
class RetryingCaller:
    """Caller of a service that may be busy, failing or silent.

    Args:
        call_timeout: Seconds after which a call counts as unanswered.
        patience: Seconds for which a call is repeated; the last attempt may take `call_timeout` longer.

    Raises:
        ValueError: The timeout is not positive, or the patience is negative.
    """

    call_timeout: float = 60.0
    patience: float = 300.0

    def __post_init__(self) -> None:
        if not self.call_timeout > 0:
            raise ValueError(f"{self.call_timeout=} must be above 0 seconds")
        if not self.patience >= 0:
            raise ValueError(f"{self.patience=} must be at least 0 seconds")

    def __call__(self, action: str, request: Callable[[], Awaitable[T]]) -> T:
        """Send a request and return its answer.

        Args:
            action: Description of the request, for messages.
            request: Function that sends the request; called once per attempt.

        Returns:
            The answer.

        Raises:
            AccessError: There are no credentials, or they do not allow the request.
            QuotaError: There were too many requests for longer than the patience.
            SilenceError: No call was answered for longer than the patience.
            ServiceError: The service or the client failed for longer than the patience.
            RefusedError: The service answered with any other code; the call is not repeated.
        """
        deadline, delay = time.monotonic() + self.patience, _FIRST_DELAY
        while True:
            try:
                answer: T = run(self._bounded, request)
                return answer
            except EngineError:
                raise
            except _FAILURES as error:
                code, message = code_and_message(error)
                remaining = deadline - time.monotonic()
                if code not in _TRANSIENT or remaining <= 0:
                    self._raise_typed(action, code, message, error)
            delay = min(delay, remaining)
            reason = describe_error(code, message)
            log.warning("%s: %s; repeating in %.1f s, for at most %.1f s", action, reason, delay, remaining)
            time.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

    async def _bounded(self, request: Callable[[], Awaitable[T]]) -> T:
        async with timeout_scope(self.call_timeout):
            return await request()

    def _raise_typed(self, action: str, code: int, message: str, error: Exception) -> NoReturn:
        """Raise the error type of a code, with the remedy in its message."""
        reason = f"{action}: {describe_error(code, message)}"
        if code == _NO_CREDENTIALS or "metadata from plugin" in message:
            raise AccessError(f"{reason}; run `gcloud auth application-default login`, then `hattriq doctor`") from error
        if code == _DENIED and re.search("SERVICE_DISABLED|has not been used in project|is disabled", message):
            raise AccessError(
                f"{reason}; enable the Quantum Engine API by `gcloud services enable quantum.googleapis.com --project PROJECT` "
                "and try again after a few minutes"
            ) from error
        if code == _DENIED:
            raise AccessError(
                f"{reason}; ask the owner of the project for access to it and to the processor, and check that the "
                "Quantum Engine API is enabled"
            ) from error
        if code == _TOO_MANY:
            raise QuotaError(
                f"{reason}, for {self.patience:g} s; lower `jobs` or request quota, then resume the run"
            ) from error
        if code == NO_ANSWER:
            raise SilenceError(
                f"{reason}, and again for {self.patience:g} s; check the network, then resume the run"
            ) from error
        if code in _TRANSIENT:
            raise ServiceError(f"{reason}, and kept failing for {self.patience:g} s; resume the run later") from error
        raise RefusedError(action, code, message) from error


def code_and_message(error: BaseException) -> tuple[int, str]:
    """Return the HTTP code and the message of an exception of the client; the code is `NO_ANSWER` if no answer arrived."""
    if isinstance(error, TransportError):
        return 503, str(error)
    if isinstance(error, GoogleAuthError):
        return _NO_CREDENTIALS, str(error)
    if isinstance(error, TimeoutError):  # with a message if the client gives up after a 5xx error, without one after a timeout
        return (503, str(error).removeprefix(_GAVE_UP)) if str(error) else (NO_ANSWER, "")
    if not isinstance(error, EngineException | GoogleAPICallError):
        return CLIENT_FAILED, f"{type(error).__name__}: {error}".removesuffix(": ")
    return int(getattr(error, "code", None) or 500), str(error)


def describe_error(code: int, message: str) -> str:
    """Return a code and its message in words."""
    if code == CLIENT_FAILED:
        return f"the client failed with {message}"
    return "nobody answered" if code == NO_ANSWER else f"the service answered {code}: {message}"


def connect(project: str, *, streaming: bool = False) -> cg.Engine:
    """Return a client that does not repeat calls itself; nothing is sent yet.

    Args:
        project: Google Cloud project.
        streaming: True to allow the client's stream.

    Returns:
        The client.
    """
    client = EngineClient(verbose=False, max_retry_delay_seconds=0)
    return cg.Engine(project, context=EngineContext(client=client, enable_streaming=streaming, compress_run_context=True))


def get_processor(engine: cg.Engine, processor: str, caller: RetryingCaller) -> quantum.QuantumProcessor:
    """Return the service's description of a processor.

    Raises:
        AccessError: This account sees no such processor.
        EngineError: The service cannot be reached.
    """
    action = f"asking for the processor {processor!r} of project {engine.project_id!r}"
    try:
        return caller(action, lambda: engine.context.client.get_processor_async(engine.project_id, processor))
    except RefusedError as error:
        if error.code != NOT_FOUND:
            raise
        raise AccessError(f"{error}; check both names, and ask the owner of the project for access to the processor") from error


def list_processors(engine: cg.Engine, caller: RetryingCaller) -> list[quantum.QuantumProcessor]:
    """Return the service's descriptions of the processors of a project.

    Raises:
        AccessError: The project is unknown, or this account sees no processors in it.
        EngineError: The service cannot be reached.
    """
    action = f"asking for the processors of project {engine.project_id!r}"
    try:
        listed = caller(action, lambda: engine.context.client.list_processors_async(engine.project_id))
    except RefusedError as error:
        if error.code != NOT_FOUND:
            raise
        raise AccessError(f"{error}; check the id of the project, as in `gcloud projects list`") from error
    if not listed:
        raise AccessError(
            f"{action}: there are none; ask Google for access of the project to a processor, or the owner of the project for "
            "that of your account"
        )
    return listed


def list_time_slots(engine: cg.Engine, processor: str, caller: RetryingCaller) -> list[quantum.QuantumTimeSlot]:
    """Return the time slots of a processor that have not ended.

    Raises:
        EngineError: The service cannot be reached, or tells this account no schedule.
    """
    only = f"end_time > {int(time.time())}"
    return caller(
        f"asking for the time slots of the processor {processor!r}",
        lambda: engine.context.client.list_time_slots_async(engine.project_id, processor, only),
    )


def get_configuration(
    engine: cg.Engine, processor: str, caller: RetryingCaller, *, name: str | None, snapshot: str | None, run_name: str | None
) -> Snapshot:
    """Return a device configuration with its calibration, of one snapshot.

    Args:
        engine: Client.
        processor: Id of the processor.
        caller: Caller that repeats failing calls.
        name: Name of the configuration; None takes the processor's default.
        snapshot: Snapshot of the configuration; None takes the current one.
        run_name: Automation run whose snapshot is taken; None takes the processor's default.

    Returns:
        The configuration.

    Raises:
        AccessError: This account sees no such configuration.
        EngineError: The service cannot be reached, names no snapshot, or its answer is no configuration.
    """
    key = None
    if name is None or not (snapshot or run_name):
        key = get_processor(engine, processor, caller).default_device_config_key
    return configuration_of_key(engine, processor, caller, key, name=name, snapshot=snapshot, run_name=run_name)


def configuration_of_key(
    engine: cg.Engine,
    processor: str,
    caller: RetryingCaller,
    key: quantum.DeviceConfigKey | None,
    *,
    name: str | None = None,
    snapshot: str | None = None,
    run_name: str | None = None,
) -> Snapshot:
    """Return a device configuration as `get_configuration` does; what is not given is taken from a processor's default key."""
    revision: cg.Snapshot | cg.Run | None = cg.Snapshot(snapshot) if snapshot else cg.Run(run_name) if run_name else None
    if key is not None:
        name = name or key.config_alias or "default"
        revision = revision or (cg.Snapshot(key.snapshot_id) if key.snapshot_id else cg.Run(key.run or "default"))
    if name is None or revision is None:
        raise ValueError("key=None needs a name, and a snapshot or run_name")
    action = f"asking for the configuration {name!r} of the processor {processor!r} at {revision}"
    client, project = engine.context.client, engine.project_id
    answer = caller(action, lambda: client.get_quantum_processor_config_async(project, processor, name, revision))
    if answer is None:
        raise NoConfigurationError(
            f"{action}: there is none; leave out device_config_name, snapshot and run_name to take the default; if an earlier "
            "run used it, start a new run in another folder"
        )
    match = re.fullmatch(r"projects/.*/configSnapshots/([^/]+)/configs/([^/]+)", answer.name)
    snapshot = snapshot or (match[1] if match else None)
    if not snapshot:
        raise ServiceError(f"{action}: the service names no snapshot, so jobs cannot be pinned to it; name one by snapshot=")
    try:
        return Snapshot.from_protos(
            processor,
            unpack_any(answer.device_specification, v2.device_pb2.DeviceSpecification()),
            unpack_any(answer.characterization, v2.metrics_pb2.MetricsSnapshot()) if answer.characterization.type_url else None,
            snapshot_id=snapshot,
            config_name=answer.name.rpartition("/")[2],
            project=project,
            taken_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        )
    except ValueError as error:
        raise ServiceError(f"{action}: the answer cannot be read: {error}; ask the service's support") from error


def job_ids(engine: cg.Engine, job_id: str) -> dict[str, Any]:
    """Return the ids by which the client identifies a job; its program holds only this job and has the same id."""
    return {"project_id": engine.project_id, "program_id": job_id, "job_id": job_id}


def create_job(
    action: str, engine: cg.Engine, caller: RetryingCaller, job_id: str, serialized: SerializedJob, target: Mapping[str, Any]
) -> quantum.QuantumJob:
    """Create a program and its job unless they exist, since an earlier attempt whose answer was lost may have created them.

    Args:
        action: Description of the call, for messages.
        engine: Client.
        caller: Caller that repeats failing calls.
        job_id: Id of the job and of its program.
        serialized: Circuits, sweep and shots.
        target: Values of processor_id, device_config_name and snapshot_id.

    Returns:
        The job of this id, created now or earlier.

    Raises:
        EngineError: The service cannot be reached, or refuses.
    """
    client, ids, attempts = engine.context.client, job_ids(engine, job_id), itertools.count()

    async def existing() -> quantum.QuantumJob | None:
        try:
            return await client.get_job_async(**ids, return_run_context=False)
        except EngineException as error:
            if error.code != NOT_FOUND:
                raise
            return None

    async def create() -> quantum.QuantumJob:
        if next(attempts) and (earlier := await existing()) is not None:
            return earlier
        try:
            await client.create_program_async(engine.project_id, job_id, serialized.code, labels=serialized.labels)
        except EngineException as error:
            if error.code != CONFLICT:
                raise
        try:
            _, created = await client.create_job_async(
                **ids, **target, run_context=serialized.run_context, labels=serialized.labels
            )
        except EngineException as error:
            if error.code != CONFLICT:
                raise
            if (earlier := await existing()) is None:  # the conflict is not about the job's id, so the call is repeated
                raise EngineException(str(error), code=503) from error
            return earlier
        return created

    return caller(action, create)
