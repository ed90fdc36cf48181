"""What can go wrong between a circuit and its counts, a type for each cure."""

from __future__ import annotations


class EngineError(RuntimeError):
    """Running circuits failed; the message says what to do. Base of all errors below."""


class AccessError(EngineError):
    """No credentials, or none that may use this project or processor (401, 403)."""


class QuotaError(EngineError):
    """The service kept answering that there were too many requests (429), beyond the bound of patience."""


class ServiceError(EngineError):
    """The service kept failing (5xx) beyond the bound, or answered what nobody expected."""


class SilenceError(EngineError):
    """Nothing was heard for longer than the timeout: a dead network, a dead stream, a hung call or a job that never ends."""


class JobFailedError(EngineError):
    """The service ran a job and says that it failed.

    Args:
        job_id: which.
        code: the service's word, such as INVALID_PROGRAM.
        message: the service's explanation.
    """

    def __init__(self, job_id: str, code: str, message: str) -> None:
        super().__init__(f"job {job_id} failed: {code}: {message}")
        self.job_id, self.code, self.message = job_id, code, message


class JobCancelledError(EngineError):
    """A job was cancelled before it gave counts.

    Args:
        job_id: which.
    """

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} was cancelled; resume the run to submit it again")
        self.job_id = job_id


class CircuitRefusedError(EngineError, ValueError):
    """A circuit that the processor would refuse, found before it was sent: too long, off the device, unsupported gates."""


class JournalError(EngineError):
    """A run's journal cannot be written or read, or belongs to another run."""


class JournalInUseError(JournalError):
    """Another process is working on this run."""
