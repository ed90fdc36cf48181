"""Simulators whose jobs are spread over processes of this machine or a Dask cluster, with the counts of a single process."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import cirq

from hattriq_cirq.circuits.errors import EngineError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.execution.backend import Job, Limits, State
from hattriq_cirq.execution.backends.sampler import InProcessBackend
from hattriq_cirq.foundation.pool import Pool, WorkerCrashedError, check_workers, open_pool, random_streams, sent
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.simulation.blocks import Step

_QUEUED = 2  # jobs in progress for each worker, so that none waits for this process
_running = Lock()  # held while a worker runs a job, because a worker of Dask may have several threads


def spread(
    make: Callable[[], InProcessBackend], workers: int = 1, scheduler: str | None = None, device: str | None = None
) -> InProcessBackend:
    """Return a simulator that runs in this process, or one that spreads its jobs over workers.

    Args:
        make: Function that makes the simulator, here and once in each worker.
        workers: Number of processes of this machine; 1 runs all jobs in this one. They are started by the first job, and are
            shared by all engines with the same number.
        scheduler: Address of a Dask scheduler whose workers replace the processes.
        device: Argument by which the simulator has a GPU, which computes a whole job at once in one process; None without one.

    Raises:
        ValueError: The number of workers is below 1, or two of workers, a scheduler and a GPU are given.
        TypeError: The simulator cannot be sent to another process.
        ImportError: A scheduler was given and Dask is not installed.
        OSError: The scheduler does not answer.

    Example:
        >>> import hattriq_cirq as hq
        >>> hq.qsim(seed=1, workers=2).describe() == hq.qsim(seed=1).describe()
        True
    """
    workers, scheduler = check_workers(workers, scheduler)
    alone = workers == 1 and scheduler is None
    if device is not None and not alone:
        raise ValueError(
            f"{device} computes a whole job at once in one process, which workers= and scheduler= would divide; give one "
            "or the other"
        )
    backend = make()
    if alone:
        return backend
    recipe = _Recipe.of(make)
    pool = open_pool(workers, scheduler) if scheduler is not None else _processes(workers, os.getpid())
    return DistributedBackend(backend, recipe, pool)


def check_stateless(value: object, name: str) -> None:
    """Raise ValueError for a value that holds a random stream, which every worker would repeat from its beginning."""
    if found := random_streams(value):
        raise ValueError(
            f"{name} holds a random stream ({', '.join(found)}), which each worker would repeat from its beginning; make it "
            "without a seed, or leave out workers= and scheduler="
        )


class DistributedBackend(InProcessBackend):
    """Simulator that runs the parts of its jobs on the workers of a pool; all counts are those of the simulator itself.

    The parts of a job do not depend on the number of workers, and whatever is drawn for the job as a whole is drawn here.

    Args:
        backend: The simulator, which checks and describes jobs in this process.
        recipe: Recipe of the simulator for the workers.
        pool: Workers.
    """

    def __init__(self, backend: InProcessBackend, recipe: _Recipe, pool: Pool) -> None:
        super().__init__(backend.name, backend.seed, backend.limits, {}, backend.processor)
        self.notes: tuple[str, ...] = getattr(backend, "notes", ())
        self._backend, self._recipe, self._pool = backend, recipe, pool
        self._parts: WeakKeyDictionary[Job, list[Future[list[Distribution]]]] = WeakKeyDictionary()

    @property
    def limits(self) -> Limits:
        """Limits of one job: those of the simulator, with enough jobs in progress to keep all workers busy."""
        return replace(self._limits, jobs=_QUEUED * self._pool.size)

    def describe(self) -> dict[str, Any]:
        """Return the record of the simulator, whoever runs its jobs: a run goes on with any number of workers."""
        return self._backend.describe()

    def size(self, job: Job) -> int:
        """Return the number of bytes that submitting a job to the simulated service would send."""
        return self._backend.size(job)

    def check(self, job: Job) -> None:
        """Raise an error for a job that cannot be run."""
        self._backend.check(job)

    def parts(self, job: Job) -> Sequence[Job]:
        """Return the parts of a job, which are those of the simulator."""
        return self._backend.parts(job)

    def execute(self, part: Job) -> list[Distribution]:
        """Run a part of a job in this process."""
        return self._backend.execute(part)

    def noisy_steps(self, circuit: cirq.AbstractCircuit, register: Sequence[cirq.Qid]) -> list[Step]:
        """Return the gates and channels of a circuit as the simulator has them."""
        return self._backend.noisy_steps(circuit, register)

    def submit(self, job: Job) -> None:
        """Send the parts of a job to the workers, unless the same job was submitted before."""
        super().submit(job)
        job = self._submitted(job)
        if job not in self._parts:
            InProcessBackend.check(self, job)
            self._parts[job] = [self._pool.submit(_execute, self._recipe, part) for part in self.parts(job)]

    def poll(self, job: Job) -> State:
        """Return the state of a job, `done` if it failed: the results of such a job raise its error."""
        state, parts = super().poll(job), self._parts.get(self._submitted(job), [])
        if state.status != "done" or all(part.done() for part in parts):
            return state
        return State("running" if any(part.done() or part.running() for part in parts) else "queued")

    def cancel(self, job_id: str) -> None:
        """Cancel a job that has not finished; parts that are running finish for nobody."""
        super().cancel(job_id)
        if job_id in self._cancelled:
            for part in self._parts.get(self._jobs[job_id], []):
                part.cancel()

    def run(self, job: Job) -> list[Distribution]:
        """Return the distributions of a job when its parts are done.

        Raises:
            EngineError: A part could not be run; when the job is submitted again, its parts are sent again.
        """
        if job not in self._parts:
            self.submit(job)
        try:
            return self.gather(job, [part.result() for part in self._parts[job]])
        except WorkerCrashedError as error:
            raise EngineError(f"job {job.id}: {error}") from error
        except CancelledError as error:
            raise EngineError(f"job {job.id} was lost by its workers: {error}; run it again, all counts are kept") from error
        finally:
            del self._parts[job]


@dataclass(frozen=True)
class _Recipe:
    """Recipe of a simulator, from which each worker makes one of its own.

    Args:
        content: The function that makes it, as bytes.
        versions: Versions of the packages that decide its counts.
        digest: Digest of the content.
    """

    content: bytes = field(compare=False, repr=False)
    versions: tuple[tuple[str, str], ...]
    digest: str

    @classmethod
    def of(cls, make: Callable[[], InProcessBackend]) -> _Recipe:
        content = sent(make)
        return cls(content, _versions(), sha256(content).hexdigest())


def _versions() -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, version) for name, version in Provenance.now().versions.items() if name != "python"))


@lru_cache(maxsize=1)
def _processes(workers: int, owner: int) -> Pool:
    """Return the processes that all engines of this process share; a forked process, another owner, has its own."""
    return open_pool(workers)


def _execute(recipe: _Recipe, part: Job) -> list[Distribution]:
    """Run a part of a job in a worker."""
    with _running:
        return _made(recipe).execute(part)


@lru_cache(maxsize=8)
def _made(recipe: _Recipe) -> InProcessBackend:
    """Make a simulator in a worker, once for all of its jobs."""
    known: Mapping[str, str] = dict(recipe.versions)
    if differing := sorted(f"{name} {here}, not {known.get(name)}" for name, here in _versions() if known.get(name) != here):
        raise EngineError(f"a worker has other versions than this process: {', '.join(differing)}; install the same ones there")
    with warnings.catch_warnings(action="ignore"):  # they were shown where the engine was made
        (make,) = pickle.loads(recipe.content)
        backend: InProcessBackend = make()
    return backend
