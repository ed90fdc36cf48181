"""Journal of a run: ids before jobs are submitted, counts as they arrive, each record on disk before anything else happens."""

from __future__ import annotations

import errno
import gc
import os
import secrets
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from types import MappingProxyType
from typing import Any, Self
from weakref import WeakSet, WeakValueDictionary, finalize

import cirq

from hattriq_cirq.circuits.errors import JournalError, JournalInUseError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution.backend import Job
from hattriq_cirq.execution.caps import Caps
from hattriq_cirq.execution.journal_format import (
    digest,
    kind_of_counts,
    pack_counts,
    pack_programs,
    plan_of,
    unpack_circuit,
    unpack_counts,
    unpack_programs,
)
from hattriq_cirq.execution.journal_records import (
    FORMAT,
    JOURNAL,
    Contents,
    Entry,
    RecordedCall,
    as_json,
    is_locked,
    read,
    read_content,
    refuse_another,
    to_line,
    try_lock,
)
from hattriq_cirq.execution.ownership import Owned
from hattriq_cirq.execution.usage import Usage
from hattriq_cirq.foundation.files import open_binary, remove_open, sync_folder, write_new
from hattriq_cirq.foundation.log import LOG
from hattriq_cirq.foundation.provenance import Provenance

__all__ = ["JOURNAL", "Journal", "JournalWarning", "digest", "is_locked"]

#: End of the names of files that hold configurations of a processor beside the journal.
CONFIGURATION = ".snapshot.json"
_PATIENCE = 0.2  # seconds to wait for a process that only checks whether the journal is locked


class JournalWarning(UserWarning):
    """A journal was damaged and has been repaired; the message says which record was lost."""


class Journal(Owned):
    """Append-only file in the folder of a run, created or continued by one process at a time.

    Each line is a checksum and a record as JSON, on disk before the method that wrote it returns. The kernel releases the lock
    when the process ends, however it ends. A journal belongs to the process that opened it and cannot be copied or pickled; its
    methods may be called from several threads. A forked process closes the files of all journals that it inherits.

    Args:
        folder: Folder of the run, created if missing.
        engine: Description of the engine, from `Backend.describe`; a journal of another engine is refused.
        task: Description of the run, as JSON; None leaves it open.
        recompile: True to go on with another configuration of the same processor if the engine has one: calls that are not
            finished are forgotten and begin anew. Such a journal is otherwise that of another run.

    Raises:
        JournalInUseError: Another process is working on this run.
        JournalError: The journal belongs to another run, is damaged before its end, or cannot be written.
    """

    _size = -1  # bytes of complete records, known once the file is read

    def __init__(
        self,
        folder: str | os.PathLike[str],
        engine: Mapping[str, Any],
        task: Mapping[str, Any] | None = None,
        *,
        recompile: bool = False,
    ) -> None:
        if not os.fspath(folder):
            raise JournalError(f"{folder!r} names no folder; give the path of one as the journal")
        self.folder = Path(folder)
        path = self.folder / JOURNAL
        self.folder.mkdir(parents=True, exist_ok=True)
        self._fd = open_binary(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._closing = finalize(self, os.close, self._fd)  # closes the file once, whoever asks for it and how often
        self._writing = RLock()
        self._is_settled = True
        self._unpacked: WeakValueDictionary[str, cirq.FrozenCircuit] = WeakValueDictionary()
        _open_journals.add(self)
        try:
            self._lock(path)
            self._recorded, self._size = self._read_existing(path)
            is_new_configuration = False
            if self._contents.header:
                pair = _comparable(self._contents.engines[-1], as_json(engine))
                is_new_configuration = recompile and pair[0] != pair[1]
                refuse_another(self.folder, "engine", *(map(_without_configuration, pair) if recompile else pair))
            else:
                sync_folder(self.folder)
                sync_folder(self.folder.parent)
                self._append("header", format=FORMAT, run_id=secrets.token_hex(4), engine=as_json(engine))
            if task is not None:
                self.record_task(task)
            self._append("opened", pid=os.getpid(), directory=os.getcwd(), versions=asdict(Provenance.now())["versions"])
            self.abandoned: list[str] = []
            if is_new_configuration:
                self.abandoned = [self.attempt_id(job) for job in self.unfinished() if self.was_submitted(job)]
                self._append("configuration", engine=as_json(engine))
            self.earlier_calls = frozenset(self._contents.calls)
        except BaseException:
            if self._size == 0:  # nothing is recorded, so nothing may stand in the way of a repetition
                remove_open(path, self.close)
                with suppress(OSError):
                    self.folder.rmdir()
            self.close()
            raise

    @property
    def run_id(self) -> str:
        """Random prefix of all job ids of the run, eight hexadecimal digits."""
        return str(self._contents.header["run_id"])

    @property
    def engine(self) -> Mapping[str, Any]:
        """Description of the engine that works on the run."""
        return self._contents.engines[-1]

    @property
    def engines(self) -> tuple[Mapping[str, Any], ...]:
        """Descriptions of the engine with each configuration of the processor, in the order in which the run took them."""
        return tuple(self._contents.engines)

    @property
    def task(self) -> Mapping[str, Any] | None:
        """Description of the run; None if it was not recorded."""
        return self._contents.task

    def record_task(self, task: Mapping[str, Any]) -> None:
        """Record the description of the run, once.

        Raises:
            JournalError: Another description is recorded.
        """
        if self._contents.task is None:
            self._append("task", task=as_json(task))
        else:
            refuse_another(self.folder, "task", self._contents.task, task)

    @property
    def has_begun(self) -> bool:
        """True if any job is recorded."""
        return bool(self._contents.jobs)

    @property
    def has_prepared(self) -> bool:
        """True if a placement or compiled programs are recorded."""
        return bool(self._contents.prepared)

    @property
    def is_from_earlier_version(self) -> bool:
        """True if the journal was begun by a version that recorded neither placements nor programs."""
        return bool(self._contents.header["format"] != FORMAT)

    @property
    def version_notes(self) -> tuple[str, ...]:
        """Note on the versions of the software that worked on the run, for its result; empty if they did not change."""
        return self._contents.version_notes()

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the result: on versions of the software, and on changes of the processor's configuration."""
        return (*self.version_notes, *dict.fromkeys(self._contents.changes))

    def record_change(self, text: str) -> None:
        """Record that the processor has another configuration than the one that the run stays on."""
        if text not in self._contents.changes:
            self._append("changed", text=text)

    def earlier_placement(self, configuration: int, key: str) -> Mapping[str, Any] | None:
        """Return a placement as `placement` does, chosen for an earlier configuration of the processor, from 0."""
        placement: Mapping[str, Any] | None = self._contents.earlier[configuration].get(("placement", key))
        return placement

    def earlier_programs(self, configuration: int, key: str) -> list[ParameterizedCircuit] | None:
        """Return programs as `programs` does, compiled for an earlier configuration of the processor, from 0."""
        records = self._contents.earlier[configuration].get(("programs", key))
        return None if records is None else unpack_programs(records, self._contents.circuits)

    def configuration_of(self, key: str) -> int | None:
        """Return the index of the configuration that ran a call to its end; None if no such call is finished."""
        for call in self.calls.values():
            if call.key == key and all(self._entry(job_id).counts is not None for job_id in call.jobs):
                return call.configuration
        return None

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

    def begin(self, call: int, key: str, jobs: Sequence[Job], requests: Sequence[Sequence[int]] | None = None) -> bool:
        """Record the jobs that a call is about to run; nothing is written if they are recorded already.

        Args:
            call: Number of the call, from 1.
            key: Digest of the call's content.
            jobs: All jobs of the call, with counted shots.
            requests: Requests that each job belongs to, so that the call can go on without being prepared again.

        Returns:
            True if the call is new to the journal.

        Raises:
            JournalError: The call had other jobs when it was recorded.
        """
        plans, circuits = plan_of(jobs)
        if call not in self._contents.calls:
            optional = {} if requests is None else {"requests": [list(map(int, own)) for own in requests]}
            self._append("begin", call=call, key=key, jobs=plans, circuits=self._new_circuits(circuits), **optional)
            return True
        known = self._contents.jobs
        if self._contents.calls[call].key != key or any(
            plan["id"] not in known or known[plan["id"]].plan != plan for plan in plans
        ):
            raise self.another_run(call)
        return False

    def another_run(self, call: int) -> JournalError:
        """Return the error that the journal recorded something else in place of a call."""
        return JournalError(
            f"this journal holds another run: call {call} recorded in {self.folder} had other circuits, shots or seeds; "
            "repeat the run as it was, or give another folder"
        )

    @property
    def calls(self) -> Mapping[int, RecordedCall]:
        """Recorded calls by their numbers."""
        return MappingProxyType(self._contents.calls)

    @property
    def last_call(self) -> int:
        """Largest number of a call that was ever recorded; 0 if there is none."""
        return self._contents.last_call

    @property
    def has_calls_of_earlier_version(self) -> bool:
        """True if it records calls of a version that cut runs into larger chunks; these are known by their circuits only."""
        return any(call.requests is None for call in self.calls.values())

    def jobs_of_call(self, call: int) -> list[Job]:
        """Return the recorded jobs of a call under their planned ids, in order."""
        return [self._planned_job(job_id) for job_id in self._contents.calls[call].jobs]

    def shots_of_call(self, call: int) -> int:
        """Return the number of shots of all jobs of a recorded call."""
        plans = [self._entry(job_id).plan for job_id in self._contents.calls[call].jobs]
        return sum(plan["shots"] * len(plan["circuits"]) * len(plan["points"]) for plan in plans)

    def stored(self, job_id: str) -> list[Distribution] | None:
        """Return the distributions of a job exactly as they arrived; None if they have not."""
        counts = self._entry(job_id).counts
        return None if counts is None else unpack_counts(counts, f"the counts of job {job_id}")

    def store(self, job_id: str, distributions: Sequence[Distribution]) -> None:
        """Record the counts of a job; recording the same counts again changes nothing.

        Raises:
            JournalError: Other counts are recorded already, or the counts cannot be written.
            ValueError: The distributions are not counts.
        """
        counts, entry = pack_counts(distributions), self._entry(job_id)
        if entry.counts is None:
            self._append(kind_of_counts(counts), job=job_id, counts=counts)
        elif entry.counts != counts:
            raise JournalError(
                f"job {job_id} returned other counts than those recorded in {self.folder}; the recorded ones are kept"
            )

    def note(self, job_id: str, status: str, message: str = "") -> None:
        """Record the status of a job: "submitting" before it is submitted, then the status that its backend reports."""
        self._entry(job_id)
        self._append("note", job=job_id, status=status, message=message)

    @property
    def used(self) -> Usage:
        """Shots, jobs and seconds that the run has taken up to now, over all processes that worked on it."""
        self._contents.meter.advance(time.time())
        return self._contents.meter.used

    def record_caps(self, caps: Caps) -> None:
        """Record the caps of the run, which a resume keeps; nothing is written if they are recorded already."""
        record = asdict(caps)
        if record != (self._contents.caps or asdict(Caps())):
            self._append("caps", caps=record)

    def pause(self) -> None:
        """Record that nobody waits for the jobs in progress any longer, so that the time until the next job does not count."""
        self._append("paused")

    def attempt(self, job_id: str) -> int:
        """Return the number of attempts at a job that ended without counts, failed or cancelled."""
        return self._entry(job_id).attempt

    def attempt_id(self, job_id: str) -> str:
        """Return the id of the present attempt at a job, as its backend knows it."""
        attempt = self.attempt(job_id)
        return f"{job_id}-{attempt}" if attempt else job_id

    def was_submitted(self, job_id: str) -> bool:
        """Return True if the present attempt at a job may have reached its backend."""
        return self._entry(job_id).submitted

    @property
    def done(self) -> int:
        """Number of jobs whose counts are recorded."""
        return len(self._contents.jobs) - len(self.unfinished())

    def unfinished(self) -> list[str]:
        """Return the ids of all begun jobs without counts, in order."""
        return [job_id for job_id, entry in self._contents.jobs.items() if entry.counts is None]

    def job(self, job_id: str) -> Job:
        """Return a job as it was begun, under the id of its present attempt; its circuits are decoded now."""
        return replace(self._planned_job(job_id), id=self.attempt_id(job_id))

    def _planned_job(self, job_id: str) -> Job:
        plan = self._entry(job_id).plan
        circuits = tuple(map(self._circuit, plan["circuits"]))
        return Job(job_id, circuits, tuple(plan["points"]), plan["shots"], plan["seed"])

    def _circuit(self, name: str) -> cirq.FrozenCircuit:
        circuit = self._unpacked.get(name)
        if circuit is None:
            circuit = self._unpacked[name] = unpack_circuit(self._contents.circuits[name], name)
        return circuit

    def finish(self) -> None:
        """Record that the run is complete, results included."""
        if self._contents.ended != "finished":
            self._append("finished")

    def cancel(self) -> None:
        """Record that the run was cancelled; continuing it makes it unfinished again."""
        self._append("cancelled")

    def discard(self) -> None:
        """Remove a journal that records no job, and its folder if nothing else is in it.

        Raises:
            JournalError: The journal records jobs.
        """
        if self.has_begun:
            raise JournalError(f"{self.folder} records jobs and is not removed; cancel the run instead")
        for file in (self.folder / LOG, *self.folder.glob(f"*{CONFIGURATION}")):
            file.unlink(missing_ok=True)
        remove_open(self.folder / JOURNAL, self.close)
        with suppress(OSError):
            self.folder.rmdir()

    def close(self) -> None:
        """Close the file and release its lock; a closed journal stays closed."""
        self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _entry(self, job_id: str) -> Entry:
        try:
            return self._contents.jobs[job_id]
        except KeyError:
            raise JournalError(f"job {job_id!r} was not begun in {self.folder}") from None

    def _lock(self, path: Path) -> None:
        patience = time.monotonic() + _PATIENCE
        while not try_lock(self._descriptor(), exclusive=True):
            if time.monotonic() > patience:
                pid = read(read_content(path), str(path))[0].pid
                if pid == os.getpid() and gc.collect() and try_lock(self._descriptor(), exclusive=True):
                    return  # an engine that an exception had kept, with the variables of a function that it ended
                cure = "wait until it ends, or end it"
                if pid == os.getpid():
                    who, cure = "another engine of this process", "close it with its journal.close()"
                else:
                    who = f"process {pid}" if pid else "another process"
                raise JournalInUseError(f"{who} is working on the run in {self.folder}; {cure}")
            time.sleep(_PATIENCE / 10)

    def _read_existing(self, path: Path) -> tuple[Contents, int]:
        """Read the file; an incomplete last record is moved to a file beside it."""
        content = read_content(path)
        contents, whole = read(content, str(path))
        if whole < len(content):
            number = 1
            while (kept := self.folder / f"journal.torn-{number}").exists():
                number += 1
            write_new(kept, content[whole:])
            os.ftruncate(self._descriptor(), whole)
            os.fsync(self._descriptor())
            warnings.warn(
                f"{path}: the last record is incomplete, probably because of a crash. It was moved to {kept.name}; the "
                "affected step will be repeated.",
                JournalWarning,
                stacklevel=3,
            )
        return contents, whole

    @property
    def _contents(self) -> Contents:
        """State that the records add up to; read from the disk again if an exception came between a record and its effect."""
        if not self._is_settled:
            with self._writing:  # not settled either while another thread writes
                if not self._is_settled:
                    self._recorded, self._size = read(read_content(self.folder / JOURNAL), str(self.folder / JOURNAL))
                    os.ftruncate(self._descriptor(), self._size)
                    self._is_settled = True
        return self._recorded

    def _append(self, kind: str, **content: Any) -> None:
        """Write a record and wait for the disk; a record that does not fit is removed again."""
        record = {"kind": kind, "utc": datetime.now(UTC).isoformat(timespec="milliseconds"), **content}
        line = to_line(record)
        with self._writing:
            contents, descriptor, written = self._contents, self._descriptor(), 0
            if os.fstat(descriptor).st_nlink == 0:
                raise JournalError(
                    f"{self.folder / JOURNAL} was removed, nothing can be recorded; give the engine another folder"
                )
            self._is_settled = False  # an interrupt may arrive between any two of the following steps
            try:
                while written < len(line):
                    written += os.write(descriptor, line[written:])
                os.fsync(descriptor)
            except BaseException as error:
                os.ftruncate(descriptor, self._size)
                self._is_settled = True
                if not isinstance(error, OSError):
                    raise
                full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
                what, cure = ("the disk is full", "free some space") if full else (error.strerror, "remove the cause")
                state = "everything recorded before is safe" if self._size else "nothing is recorded"
                go_on = "resume the run" if self._size else "repeat the command"
                raise JournalError(f"{what}: {self.folder / JOURNAL} cannot grow; {state}; {cure} and {go_on}") from error
            contents.apply(record)
            self._size += len(line)
            self._is_settled = True

    def _descriptor(self) -> int:
        self.check_owner()
        if not self._closing.alive:
            raise JournalError(f"the journal in {self.folder} is closed")
        return self._fd


_open_journals: WeakSet[Journal] = WeakSet()


def _close_inherited() -> None:
    """Close the journals of the parent process, so that a child does not hold their locks when the parent has ended."""
    for journal in list(_open_journals):
        journal.close()


if hasattr(os, "register_at_fork"):  # missing on Windows
    os.register_at_fork(after_in_child=_close_inherited)


def _comparable(known: dict[str, Any], given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the records of two engines as they are compared: by content where both have it, else by text as version 0.1 did.

    `content` holds the digest of what an engine simulates or wraps, `noise` and `sampler` are its text for people.
    """
    if "content" not in known:
        return known, {name: value for name, value in given.items() if name != "content"}
    if known["content"] is None or known["content"] != given.get("content"):
        return known, given
    texts = ("noise", "sampler")
    return tuple({name: value for name, value in each.items() if name not in texts} for each in (known, given))  # type: ignore[return-value]


def _without_configuration(engine: dict[str, Any]) -> dict[str, Any]:
    """Return the record of an engine without the configuration of its processor."""
    return {name: value for name, value in engine.items() if name not in ("device_config_name", "snapshot")}
