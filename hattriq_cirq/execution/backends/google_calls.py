"""One way to ask the service for anything: bounded in time, repeated while it is busy or silent, its errors typed."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import cirq_google as cg
from cirq_google.cloud import quantum
from cirq_google.engine.engine import EngineContext
from cirq_google.engine.engine_client import EngineClient, EngineException
from duet.api import run, timeout_scope
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError, TransportError

from hattriq_cirq.circuits.errors import AccessError, QuotaError, ServiceError, SilenceError
from hattriq_cirq.execution.backends.google_jobs import Packed

log = logging.getLogger("hattriq_cirq.execution")
T = TypeVar("T")

UNHEARD = 0
"""Instead of an HTTP code: nobody answered."""
NOT_FOUND, CONFLICT, BAD_REQUEST = 404, 409, 400
_NO_CREDENTIALS, _DENIED, _TOO_MANY = 401, 403, 429
_PASSING = (UNHEARD, _TOO_MANY, 499, 500, 502, 503, 504)
"""Worth asking again: nothing heard, too many requests, a broken connection, a failing service."""
_GAVE_UP = "Reached max retry attempts for error: "
"""What the client puts before the message of a 5xx."""
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 30.0
"""Seconds before a call is repeated; doubled each time."""


class RefusedError(ServiceError):
    """The service answered, and asking again would not change it.

    Args:
        what: was asked.
        code: of HTTP.
        message: the service's explanation.
    """

    def __init__(self, what: str, code: int, message: str) -> None:
        super().__init__(f"{what}: the service answered {code}: {message}")
        self.code = code


@dataclass(frozen=True)
class Caller:
    """Calls a service that may be busy, failing or silent.

    Args:
        call_timeout: seconds that one call may stay unanswered.
        patience: seconds for which a call is repeated; its last attempt may stay unanswered for `call_timeout` more.

    Raises:
        ValueError: no time to answer at all, or a negative patience.
    """

    call_timeout: float = 60.0
    patience: float = 300.0

    def __post_init__(self) -> None:
        if not self.call_timeout > 0:
            raise ValueError(f"{self.call_timeout=} must be above 0 seconds")
        if not self.patience >= 0:
            raise ValueError(f"{self.patience=} must be at least 0 seconds")

    def __call__(self, what: str, request: Callable[[], Awaitable[T]]) -> T:
        """The answer to a request.

        Args:
            what: is asked, for messages.
            request: sends it; called again for each attempt.

        Returns:
            What it answered.

        Raises:
            AccessError: no credentials, or not allowed.
            QuotaError: too many requests, for longer than the patience.
            SilenceError: unanswered, for longer than the patience.
            ServiceError: failing for longer than the patience.
            RefusedError: any other code, at once.
        """
        give_up, delay = time.monotonic() + self.patience, _FIRST_DELAY
        while True:
            try:
                answer: T = run(self._bounded, request)
                return answer
            except (EngineException, GoogleAPICallError, GoogleAuthError, TimeoutError) as error:
                code, message = understood(error)
                left = give_up - time.monotonic()
                if code not in _PASSING or left <= 0:
                    self._give_up(what, code, message, error)
            delay = min(delay, left)
            log.warning("%s: %s; asking again in %.1f s, for %.1f s more", what, explained(code, message), delay, left)
            time.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

    async def _bounded(self, request: Callable[[], Awaitable[T]]) -> T:
        async with timeout_scope(self.call_timeout):
            return await request()

    def _give_up(self, what: str, code: int, message: str, error: Exception) -> NoReturn:
        reason = f"{what}: {explained(code, message)}"
        if code == _NO_CREDENTIALS or "metadata from plugin" in message:
            raise AccessError(f"{reason}; run `gcloud auth application-default login`, then `hattriq doctor`") from error
        if code == _DENIED:
            raise AccessError(
                f"{reason}; ask the owner of the project for access to it and to the processor, and check that the "
                "Quantum Engine API is enabled"
            ) from error
        if code == _TOO_MANY:
            raise QuotaError(
                f"{reason}, for {self.patience:g} s; lower `jobs`, or ask for quota, then resume the run"
            ) from error
        if code == UNHEARD:
            raise SilenceError(
                f"{reason}, and again for {self.patience:g} s; check the network, then resume the run"
            ) from error
        if code in _PASSING:
            raise ServiceError(f"{reason}, and kept failing for {self.patience:g} s; resume the run later") from error
        raise RefusedError(what, code, message) from error


def understood(error: BaseException) -> tuple[int, str]:
    """The HTTP code and the message of whichever exception the client raises; `UNHEARD` if nobody answered."""
    if isinstance(error, TransportError):
        return 503, str(error)
    if isinstance(error, GoogleAuthError):
        return _NO_CREDENTIALS, str(error)
    if isinstance(error, TimeoutError):  # the client gives up a 5xx by one with a message, a timeout has none
        return (503, str(error).removeprefix(_GAVE_UP)) if str(error) else (UNHEARD, "")
    return int(getattr(error, "code", None) or 500), str(error)


def explained(code: int, message: str) -> str:
    """A code and its message, in words."""
    return "nobody answered" if code == UNHEARD else f"the service answered {code}: {message}"


def connect(project: str, *, streaming: bool = False) -> cg.Engine:
    """A client for a project, which leaves it to us to repeat calls; nothing is sent yet.

    Args:
        project: of Google Cloud.
        streaming: allow its stream.

    Returns:
        The client.
    """
    client = EngineClient(verbose=False, max_retry_delay_seconds=0)
    return cg.Engine(project, context=EngineContext(client=client, enable_streaming=streaming, compress_run_context=True))


def processor_of(engine: cg.Engine, processor: str, caller: Caller) -> quantum.QuantumProcessor:
    """What the service says of a processor.

    Raises:
        AccessError: there is none, as far as this account can see.
        EngineError: the service cannot be asked.
    """
    what = f"asking for the processor {processor!r} of project {engine.project_id!r}"
    try:
        return caller(what, lambda: engine.context.client.get_processor_async(engine.project_id, processor))
    except RefusedError as error:
        if error.code != NOT_FOUND:
            raise
        raise AccessError(f"{error}; check both names, and ask the owner of the project for access to the processor") from error


def configuration_of(
    engine: cg.Engine, processor: str, caller: Caller, *, name: str | None, snapshot: str | None, run_name: str | None
) -> cg.engine.ProcessorConfig:
    """A device configuration with its calibration, of one snapshot.

    Args:
        engine: the client.
        processor: its id.
        caller: bounds the calls.
        name: of the configuration; None takes the processor's default.
        snapshot: of the configuration; None takes the current one.
        run_name: of the automation run whose snapshot is meant; None takes the processor's default.

    Raises:
        AccessError: there is none, as far as this account can see.
        EngineError: the service cannot be asked, or names no snapshot.
    """
    revision = cg.Snapshot(snapshot) if snapshot else cg.Run(run_name) if run_name else None
    if name is None or revision is None:
        key = processor_of(engine, processor, caller).default_device_config_key
        name = name or key.config_alias or "default"
        revision = revision or (cg.Snapshot(key.snapshot_id) if key.snapshot_id else cg.Run(key.run or "default"))
    what = f"asking for the configuration {name!r} of the processor {processor!r} at {revision}"
    found = caller(what, lambda: engine.get_processor_config_async(processor, revision, name))
    if found is None:
        raise AccessError(f"{what}: there is none; leave out device_config_name, snapshot and run_name to take the default")
    if not (snapshot or found.snapshot_id):
        raise ServiceError(f"{what}: the service names no snapshot, so jobs cannot be pinned to it; name one by snapshot=")
    return found


def ids_of(engine: cg.Engine, job_id: str) -> dict[str, Any]:
    """How a job is found by the client: a program holds one job, and both have its id."""
    return {"project_id": engine.project_id, "program_id": job_id, "job_id": job_id}


def create_job(
    what: str, engine: cg.Engine, caller: Caller, job_id: str, packed: Packed, target: Mapping[str, Any]
) -> quantum.QuantumJob:
    """Creates a program and its job, unless it is there: an attempt whose answer was lost may have created it.

    Args:
        what: is done, for messages.
        engine: the client.
        caller: bounds the calls.
        job_id: of the program too.
        packed: what to run.
        target: processor_id, device_config_name and snapshot_id.

    Returns:
        The job of this id, new or not.

    Raises:
        EngineError: the service cannot be reached, or refuses.
    """
    client, ids, attempts = engine.context.client, ids_of(engine, job_id), itertools.count()

    async def existing() -> quantum.QuantumJob | None:
        try:
            return await client.get_job_async(**ids, return_run_context=False)
        except EngineException as error:
            if error.code != NOT_FOUND:
                raise
            return None

    async def create() -> quantum.QuantumJob:
        if next(attempts) and (before := await existing()) is not None:
            return before
        try:
            await client.create_program_async(engine.project_id, job_id, packed.code, labels=packed.labels)
        except EngineException as error:
            if error.code != CONFLICT:
                raise
        try:
            _, created = await client.create_job_async(**ids, **target, run_context=packed.run_context, labels=packed.labels)
        except EngineException as error:
            if error.code != CONFLICT:
                raise
            if (before := await existing()) is None:  # another conflict than of its id: worth trying again
                raise EngineException(str(error), code=503) from error
            return before
        return created

    return caller(what, create)
