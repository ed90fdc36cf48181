"""Errors of engines and journals, one type for each remedy."""

from __future__ import annotations


class EngineError(RuntimeError):
    """Failure to run circuits; the message says what to do. Base class of all errors below."""


class AccessError(EngineError):
    """Missing credentials, or credentials without access to the project or the processor (401, 403)."""


class QuotaError(EngineError):
    """Refusal of the service because of too many requests (429), for longer than the time limit for repeated calls."""


class ServiceError(EngineError):
    """Failure of the service (5xx) for longer than the time limit for repeated calls, or an unexpected answer."""


class SilenceError(EngineError):
    """No answer within the timeout: a broken network or stream, a call that hangs, or a job that never ends."""


class JobFailedError(EngineError):
    """Failure of a job that the service ran.

    Args:
        job_id: Id of the job.
        code: Error code of the service, such as INVALID_PROGRAM.
        message: Explanation by the service.
    """

    def __init__(self, job_id: str, code: str, message: str) -> None:
        super().__init__(f"job {job_id} failed: {code}: {message}")
        self.job_id, self.code, self.message = job_id, code, message


class JobCancelledError(EngineError):
    """Cancellation of a job before it returned counts.

    Args:
        job_id: Id of the job.
    """

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} was cancelled; resume the run to submit it again")
        self.job_id = job_id


class CircuitRefusedError(EngineError, ValueError):
    """Circuit that the processor would refuse, detected before submission: too long, off the device, or unsupported gates."""


class CapReachedError(EngineError):
    """Cap on the shots, jobs or seconds of a run that the next job would pass; the jobs before it are finished and kept."""


class StaleConfigurationError(ServiceError):
    """Configuration of a processor that is older than allowed, or a pinned snapshot that the service no longer offers."""


class ProcessorUnavailableError(EngineError):
    """Processor that takes no jobs now: it is in maintenance or down, or its time slot is over; the run goes on later."""


class OwnerError(EngineError, TypeError):
    """Engine, backend or journal that was copied, pickled or used in another process than the one that made it."""


class JournalError(EngineError):
    """Journal that cannot be written or read, or that belongs to another run."""


class JournalInUseError(JournalError):
    """Journal that another process is writing."""
