"""A run's journal: ids before jobs are submitted, counts as they arrive, each record synced to disk before anything else."""

from __future__ import annotations

import errno
import os
import secrets
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from hattriq_cirq.circuits.errors import JournalError, JournalInUseError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution.backend import Job
from hattriq_cirq.execution.journal_format import (
    FORMAT,
    Contents,
    Entry,
    as_json,
    digest,
    pack_counts,
    pack_programs,
    plan_of,
    read,
    refuse_another,
    to_line,
    unpack_circuit,
    unpack_counts,
    unpack_programs,
)
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.provenance import Provenance

__all__ = ["JOURNAL", "Journal", "JournalWarning", "digest", "is_locked"]

JOURNAL = "journal.jsonl"
_PATIENCE = 0.2  # seconds for others who only look whether it is locked


class JournalWarning(UserWarning):
    """A journal was damaged and has been mended; the message says what was lost."""


class Journal:
    """An append-only file in a run's folder, made new or taken up; one process at a time.

    Each line is a checksum and a record as JSON, on disk before the call that wrote it returns. The kernel lets go of the
    lock when the process ends, however it ends.

    Args:
        folder: of the run, made if missing.
        engine: what runs it, as `Backend.describe` says; a journal of another engine is refused.
        task: what the run is for, as JSON; None leaves it open.

    Raises:
        JournalInUseError: another process is working on this run.
        JournalError: the journal is another run's, is damaged before its end, or cannot be written.
    """

    _fd: int | None = None

    def __init__(
        self, folder: str | os.PathLike[str], engine: Mapping[str, Any], task: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = Path(folder)
        path = self.folder / JOURNAL
        self.folder.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            self._lock(path)
            self._contents, self._size = self._take_up(path)
            if self._contents.header:
                refuse_another(self.folder, "engine", self._contents.header["engine"], engine)
            else:
                _sync_folder(self.folder)
                _sync_folder(self.folder.parent)
                self._append("header", format=FORMAT, run_id=secrets.token_hex(4), engine=as_json(engine))
            if task is not None:
                self.record_task(task)
            self._append("opened", pid=os.getpid(), directory=os.getcwd(), versions=asdict(Provenance.now())["versions"])
        except BaseException:
            self.close()
            raise

    @property
    def run_id(self) -> str:
        """Eight hexadecimal digits, drawn once for the run: the beginning of its jobs' ids."""
        return str(self._contents.header["run_id"])

    @property
    def engine(self) -> Mapping[str, Any]:
        """What ran it first."""
        engine: Mapping[str, Any] = self._contents.header["engine"]
        return engine

    @property
    def task(self) -> Mapping[str, Any] | None:
        """What the run is for."""
        return self._contents.task

    def record_task(self, task: Mapping[str, Any]) -> None:
        """Records what the run is for, once.

        Raises:
            JournalError: it is for something else.
        """
        if self._contents.task is None:
            self._append("task", task=as_json(task))
        else:
            refuse_another(self.folder, "task", self._contents.task, task)

    @property
    def has_begun(self) -> bool:
        """Whether any job is recorded."""
        return bool(self._contents.jobs)

    @property
    def is_from_earlier_version(self) -> bool:
        """True if the journal was begun by a version that recorded neither placements nor programs."""
        return bool(self._contents.header["format"] != FORMAT)

    def placement(self, key: str) -> Mapping[str, Any] | None:
        """Return the placement recorded under a key, as JSON; None if there is none."""
        placement: Mapping[str, Any] | None = self._contents.prepared.get(("placement", key))
        return placement

    def record_placement(self, key: str, placement: Mapping[str, Any]) -> None:
        """Record the placement of a run, as JSON, under a key that says what is run."""
        self._append("placement", key=key, placement=as_json(placement))

    def programs(self, key: str) -> list[ParameterizedCircuit] | None:
        """Return the compiled programs recorded under a key; None if there are none."""
        records = self._contents.prepared.get(("programs", key))
        return None if records is None else unpack_programs(records, self._contents.circuits)

    def record_programs(self, key: str, programs: Sequence[ParameterizedCircuit]) -> None:
        """Record compiled programs under a key that says what is run, so that a resume compiles nothing."""
        records, circuits = pack_programs(programs)
        self._append("programs", key=key, programs=records, circuits=self._new_circuits(circuits))

    def _new_circuits(self, circuits: Mapping[str, str]) -> dict[str, str]:
        return {name: text for name, text in circuits.items() if name not in self._contents.circuits}

    def begin(self, call: int, key: str, jobs: Sequence[Job]) -> bool:
        """Record the jobs that a call is about to run; nothing is written if they are recorded already.

        Args:
            call: Number of the call, from 1.
            key: Digest of the call's programs and shots.
            jobs: All jobs of the call, with counted shots.

        Returns:
            True if the call is new to the journal.

        Raises:
            JournalError: The call had other jobs when it was recorded.
        """
        if self.recorded_differently(call, key, jobs):
            raise JournalError(
                f"this journal holds another run: call {call} recorded in {self.folder} had other circuits, shots or seeds; "
                "repeat the run as it was, or give another folder"
            )
        if call in self._contents.calls:
            return False
        plans, circuits = plan_of(jobs)
        self._append("begin", call=call, key=key, jobs=plans, circuits=self._new_circuits(circuits))
        return True

    def recorded_differently(self, call: int, key: str, jobs: Sequence[Job]) -> bool:
        """Return True if a call is recorded with another key or with other jobs."""
        if call not in self._contents.calls:
            return False
        known = self._contents.jobs
        return self._contents.calls[call] != key or any(
            plan["id"] not in known or known[plan["id"]].plan != plan for plan in plan_of(jobs)[0]
        )

    def jobs_of_call(self, call: int) -> list[Job]:
        """Return the recorded jobs of a call under their planned ids, in order."""
        prefix = f"{self.run_id}-{call:03d}-"
        return [self._planned_job(job_id) for job_id in self._contents.jobs if job_id.startswith(prefix)]

    def stored(self, job_id: str) -> list[Distribution] | None:
        """The distributions of a job, exactly as they came; None if they never did."""
        counts = self._entry(job_id).counts
        return None if counts is None else unpack_counts(counts)

    def store(self, job_id: str, distributions: Sequence[Distribution]) -> None:
        """Records the counts of a job; the same ones again change nothing.

        Raises:
            JournalError: it has other counts already, or they cannot be written.
            ValueError: probabilities that are no counts.
        """
        counts, entry = pack_counts(distributions), self._entry(job_id)
        if entry.counts is None:
            self._append("counts", job=job_id, counts=counts)
        elif entry.counts != counts:
            raise JournalError(f"job {job_id} came back with other counts than those recorded in {self.folder}; those stay")

    def note(self, job_id: str, status: str, message: str = "") -> None:
        """Records what happened to a job: "submitting" before it is handed over, then what its backend says."""
        self._entry(job_id)
        self._append("note", job=job_id, status=status, message=message)

    def attempt(self, job_id: str) -> int:
        """How many attempts at a job ended without counts, failed or cancelled."""
        return self._entry(job_id).attempt

    def attempt_id(self, job_id: str) -> str:
        """What the present attempt at a job is called at its backend."""
        attempt = self.attempt(job_id)
        return f"{job_id}-{attempt}" if attempt else job_id

    def was_submitted(self, job_id: str) -> bool:
        """Whether the present attempt at a job may have reached its backend."""
        return self._entry(job_id).submitted

    @property
    def done(self) -> int:
        """How many jobs have their counts recorded."""
        return len(self._contents.jobs) - len(self.unfinished())

    def unfinished(self) -> list[str]:
        """The ids of begun jobs without counts, in order."""
        return [job_id for job_id, entry in self._contents.jobs.items() if entry.counts is None]

    def job(self, job_id: str) -> Job:
        """Return a job as it was begun, under the id of its present attempt; its circuits are decoded now."""
        return replace(self._planned_job(job_id), id=self.attempt_id(job_id))

    def _planned_job(self, job_id: str) -> Job:
        plan = self._entry(job_id).plan
        circuits = tuple(unpack_circuit(self._contents.circuits[name]) for name in plan["circuits"])
        return Job(job_id, circuits, tuple(plan["points"]), plan["shots"], plan["seed"])

    def finish(self) -> None:
        """Records that nothing is left to do, results included."""
        if self._contents.ended != "finished":
            self._append("finished")

    def cancel(self) -> None:
        """Records that the run was given up; taking it up again makes it unfinished."""
        self._append("cancelled")

    def discard(self) -> None:
        """Removes a journal that records no job, and its folder if nothing else is in it.

        Raises:
            JournalError: it records jobs.
        """
        if self.has_begun:
            raise JournalError(f"{self.folder} records jobs and is not discarded; cancel the run instead")
        (self.folder / JOURNAL).unlink()
        self.close()
        with suppress(OSError):
            self.folder.rmdir()

    def close(self) -> None:
        """Lets go of the file and its lock."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _entry(self, job_id: str) -> Entry:
        try:
            return self._contents.jobs[job_id]
        except KeyError:
            raise JournalError(f"job {job_id!r} was not begun in {self.folder}") from None

    def _lock(self, path: Path) -> None:
        patience = time.monotonic() + _PATIENCE
        while not _try_lock(self._descriptor(), exclusive=True):
            if time.monotonic() > patience:
                pid = read(path.read_bytes(), str(path))[0].pid
                cure = "wait until it ends, or end it"
                if pid == os.getpid():
                    who, cure = "another engine of this process", "its journal.close() lets go"
                else:
                    who = f"process {pid}" if pid else "another process"
                raise JournalInUseError(f"{who} is working on the run in {self.folder}; {cure}")
            time.sleep(_PATIENCE / 10)

    def _take_up(self, path: Path) -> tuple[Contents, int]:
        """What the file says, with a torn last record cut off and kept beside."""
        content = path.read_bytes()
        contents, whole = read(content, str(path))
        if whole < len(content):
            number = 1
            while (kept := self.folder / f"journal.torn-{number}").exists():
                number += 1
            write_new(kept, content[whole:])
            os.ftruncate(self._descriptor(), whole)
            os.fsync(self._descriptor())
            warnings.warn(
                f"the last record of {path} was torn, as by a crash; it is kept in {kept.name}, and what it said is done again",
                JournalWarning,
                stacklevel=3,
            )
        return contents, whole

    def _append(self, kind: str, **content: Any) -> None:
        """Writes a record and waits for the disk; a record that does not fit is taken back."""
        record = {"kind": kind, "utc": datetime.now(UTC).isoformat(timespec="milliseconds"), **content}
        line = to_line(record)
        descriptor, written = self._descriptor(), 0
        try:
            while written < len(line):
                written += os.write(descriptor, line[written:])
            os.fsync(descriptor)
        except BaseException as error:
            os.ftruncate(descriptor, self._size)
            if not isinstance(error, OSError):
                raise
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            what, cure = ("the disk is full", "free some space") if full else (error.strerror, "mend that")
            raise JournalError(
                f"{what}: {self.folder / JOURNAL} cannot grow; all it recorded before is safe; {cure} and resume the run"
            ) from error
        self._size += len(line)
        self._contents.apply(record)

    def _descriptor(self) -> int:
        if self._fd is None:
            raise JournalError(f"the journal in {self.folder} is closed")
        return self._fd


def is_locked(path: Path) -> bool:
    """Whether a living process works on a journal; the lock is only touched."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not _try_lock(descriptor, exclusive=False)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, *, exclusive: bool) -> bool:
    import fcntl  # not on Windows, where everything without a journal works

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
