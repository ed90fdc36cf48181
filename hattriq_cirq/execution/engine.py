"""The engine: compiled programs in, distributions out, by way of jobs and a journal."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, chain
from math import inf
from threading import RLock
from typing import Any, Literal

import cirq
import numpy as np

from hattriq_cirq.circuits.deviation import ALL_KINDS, ErrorKind
from hattriq_cirq.circuits.errors import EngineError, JournalError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.compile import check_on_device, compile_for, largest_difference
from hattriq_cirq.compilation.placement import Placement, place_circuits
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.execution.backend import Backend, ConfiguredBackend, Job
from hattriq_cirq.execution.batching import Batch, batches
from hattriq_cirq.execution.caps import Caps, CapWarning
from hattriq_cirq.execution.forecast import Forecast
from hattriq_cirq.execution.job_runner import JobRunner, shots_of
from hattriq_cirq.execution.journal import Journal
from hattriq_cirq.execution.journal_format import call_key, circuits_key, digest
from hattriq_cirq.execution.ownership import Owned
from hattriq_cirq.execution.usage import Meter, Usage
from hattriq_cirq.foundation.card import Card, Displayed
from hattriq_cirq.foundation.checks import ArgumentTypeError, as_counts, as_number, check_flag, check_type, shown
from hattriq_cirq.foundation.log import Log, log_to
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.foundation.recent import Recent

#: Programs of circuits that were compiled last, as in a study that repeats them under other noise; the room is a number of
#: circuits.
_programs = Recent[list[ParameterizedCircuit]](room=1024)
_PLACED_BY = 4  # number of circuits that a placement is chosen by
SILENCE = 86_400.0  # seconds without a change of any job's state, after which an engine gives up by default
_ROUNDING = 1e-9  # largest difference of angles between machines
log = Log("execution")
_TOLERANCE = 1e-6  # largest difference of an outcome probability between a recorded circuit and the same circuit compiled today

Origin = Literal["given", "recorded", "new in an earlier journal"]


@dataclass(frozen=True, eq=False)
class Call:
    """Programs that an engine runs together, cut into jobs.

    Args:
        number: Number of the call, from which the ids and seeds of its jobs are derived.
        programs: Programs that run: the given ones, or those that the journal recorded for a call of this content.
        batches: Batches of requests, one per job.
        jobs: Jobs as they are submitted.
        origin: Origin of the circuits: `given`; `recorded` if they are the journal's, compiled by another version or on another
            machine; or `new in an earlier journal` if an earlier version began the journal but not this call.
    """

    number: int
    programs: Sequence[ParameterizedCircuit]
    batches: Sequence[Batch]
    jobs: Sequence[Job]
    origin: Origin = "given"

    @property
    def is_counted(self) -> bool:
        """True if the jobs have shots; exact probabilities are neither recorded nor counted."""
        return bool(self.jobs) and self.jobs[0].shots is not None


@dataclass(frozen=True, eq=False)
class Outcome:
    """Result of a call.

    Args:
        distributions: A distribution for each request, in order.
        programs: Programs that ran, from which the measured qubits are read.
        origin: Origin of the programs, see `Call`.
        configuration: Index of the configuration that ran them in `journal.engines`; None without a journal.
    """

    distributions: list[Distribution]
    programs: Sequence[ParameterizedCircuit]
    origin: Origin
    configuration: int | None = None


class Engine(Displayed, Owned):
    """Runs circuits on a backend; with a journal, no result that arrived is ever lost.

    Create an engine with `qsim`, `cirq_simulator`, `virtual`, `google` or `sampler`. With a seed, a fresh engine gives the same
    counts for the same calls in the same order.

    A journal knows calls by their content: circuits, shots, mitigation, and the number of equal calls that were completed
    before. A call that was interrupted goes on when it is made again, on this engine or in a new process, whatever is called in
    between.

    An engine belongs to the process that made it: it cannot be copied or pickled, and a forked process cannot use it. Calls
    from several threads run one after the other.

    Args:
        backend: Backend that runs jobs.
        journal: Folder of the journal, where ids are recorded before jobs are submitted and counts as they arrive. A new engine
            with the same folder continues an interrupted run.
        qubits: Physical qubits to place circuits on; None chooses them by the calibration.
        poll_seconds: Seconds between polls of the jobs in progress.
        timeout: Seconds without any change of a job's state before `SilenceError`, a day by default; None waits forever.
        progress: Show a progress bar of jobs.
        max_shots: Cap on the shots of all jobs; with a journal, all caps count over every process that works on the run. The
            job that would pass a cap is not submitted: `CapReachedError`. A larger cap lets the run go on.
        max_jobs: Cap on the number of jobs.
        max_seconds: Cap on the seconds of waiting for jobs, after which no job is submitted.
        max_configuration_age: Largest age of the processor's configuration in hours, checked before the first submission of
            each process; None for any age.
        recompile: Go on with the backend's configuration although the journal began with another one: finished calls stay, the
            others begin anew.

    Example:
        >>> import cirq
        >>> import hattriq_cirq as hq
        >>> q = cirq.LineQubit(0)
        >>> hq.qsim(seed=1).run([cirq.Circuit(cirq.X(q), cirq.measure(q))], [10])[0].counts
        array([ 0, 10])
    """

    def __init__(  # noqa: PLR0913  one argument for each choice of the user
        self,
        backend: Backend,
        *,
        journal: str | os.PathLike[str] | None = None,
        qubits: Sequence[cirq.Qid] | None = None,
        poll_seconds: float = 0.0,
        timeout: float | None = SILENCE,
        progress: bool = False,
        max_shots: int | None = None,
        max_jobs: int | None = None,
        max_seconds: float | None = None,
        max_configuration_age: float | None = None,
        recompile: bool = False,
    ) -> None:
        if isinstance(backend, type) or not all(hasattr(backend, name) for name in ("submit", "poll", "results")):
            raise ArgumentTypeError(f"backend={shown(backend)} must be a backend; qsim, virtual and others create an engine")
        check_type(journal, "journal", str | os.PathLike | None, "the path of a folder, or None")
        qubits = None if qubits is None else _check_qubits(qubits)
        poll_seconds = as_number(poll_seconds, "poll_seconds", minimum=0)
        timeout = None if timeout is None else as_number(timeout, "timeout", minimum=0, advice="be at least 0 seconds, or None")
        check_flag(progress, "progress")
        check_flag(recompile, "recompile")
        caps = Caps(max_shots, max_jobs, max_seconds, max_configuration_age)
        self.backend, self.qubits = backend, qubits
        self._journal = None if journal is None else Journal(journal, backend.describe(), recompile=recompile)
        self._poll_seconds, self._timeout, self._progress = poll_seconds, timeout, progress
        self.caps, self._meter, self._needed, self._has_warned = caps, Meter(), Usage(), False
        self._forecast: Forecast | None = None  # of the run in progress
        self._running = RLock()
        self._calls = 0  # number of calls that were completed
        self._completed: set[int] = set()  # numbers of those that are in the journal
        self._shots_of_calls: dict[int, int] = {}
        self._is_checked = False
        self._earlier_processor: Processor | None = None
        self._begin_configuration()

    @property
    def name(self) -> str:
        """Name of the engine in results."""
        return self.backend.name

    @property
    def seed(self) -> int | None:
        """Random seed of the counts."""
        return self.backend.seed

    @property
    def shows_progress(self) -> bool:
        """True if the engine shows a progress bar of its jobs."""
        return self._progress

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the backend that every result carries, such as on noise that a calibration lacks, one sentence each."""
        notes: tuple[str, ...] = getattr(self.backend, "notes", ())
        return notes

    @property
    def processor(self) -> Processor | None:
        """Processor that circuits are compiled for; None where any circuit runs."""
        return self.backend.processor if self._earlier_processor is None else self._earlier_processor

    @property
    def error_kinds(self) -> frozenset[ErrorKind]:
        """Kinds of the processor's calibrated errors that act on its circuits; a virtual processor may simulate some only."""
        simulated: dict[str, frozenset[ErrorKind]] = {
            "none": frozenset(),
            "readout": frozenset({"readout"}),
            "gates": ALL_KINDS - {"readout"},
        }
        return simulated.get(str(self.backend.describe().get("noise")), ALL_KINDS)

    @contextmanager
    def at_configuration(self, index: int | None) -> Iterator[None]:
        """Let `processor` be that of an earlier configuration of the run within a block.

        Args:
            index: Index of the configuration in `journal.engines`; None for the present one.
        """
        before = self._earlier_processor
        if index is not None and self._journal is not None and isinstance(self.backend, ConfiguredBackend):
            self._earlier_processor = self.backend.earlier_processor(self._journal.engines[index])
        try:
            yield
        finally:
            self._earlier_processor = before

    def _begin_configuration(self) -> None:
        """Keep the configuration beside the journal, and cancel the jobs that a new configuration has made useless."""
        if self._journal is None or not isinstance(self.backend, ConfiguredBackend):
            return
        self.backend.keep_configuration()
        with self.logged():
            for job_id in self._journal.abandoned:
                try:
                    self.backend.cancel(job_id)
                except EngineError as error:
                    log.warning("job %s of the earlier configuration could not be cancelled: %s", job_id, error)

    def _check_configuration(self, jobs: Sequence[Job]) -> None:
        """Check once, before the first job of this process, that the processor takes jobs on its pinned configuration."""
        if self._is_checked or not isinstance(self.backend, ConfiguredBackend):
            return
        note = self.backend.check_configuration(self.caps.configuration_age, jobs)
        self._is_checked = True
        log.info(note or "the processor takes jobs, its configuration is the one of this run")
        if note and self._journal is not None:
            self._journal.record_change(note)

    @property
    def journal(self) -> Journal | None:
        """Journal of ids and counts; closing it lets another engine continue the run."""
        return self._journal

    def logged(self) -> AbstractContextManager[None]:
        """Return a block in which all sentences on what the run does are written into the log file beside its journal."""
        return log_to(None if self._journal is None else self._journal.folder)

    def card(self) -> Card:
        """Return the processor, the noise, the seed, the journal and the caps of the engine."""
        facts: list[tuple[str, object]] = [] if self.seed is None else [("seed", self.seed)]
        if self.processor is not None:
            facts.append(("processor", f"{self.processor.id}, calibration {self.processor.snapshot}"))
        described = self.describe()
        facts += [(name, described[name]) for name in ("noise", "sampler", "workers") if described.get(name)]
        facts += [("qubits", ", ".join(map(str, self.qubits)))] if self.qubits else []
        facts += [("journal", self.journal.folder)] if self.journal is not None else []
        facts += [("caps", self.caps)] if self.caps else []
        return Card(f"Engine {self.name}", facts)

    def describe(self) -> dict[str, Any]:
        """Return everything that a record of a run states about the engine, as JSON."""
        return self.backend.describe()

    def compile(
        self, circuits: Sequence[cirq.AbstractCircuit], placement: Placement | None = None
    ) -> list[ParameterizedCircuit]:
        """Compile circuits for the processor; a simulator runs them as they are.

        Args:
            circuits: Logical circuits, each ending in one measurement.
            placement: Physical qubits for the logical ones; None chooses them by the first circuits.

        Returns:
            Programs whose points are together all the circuits.

        Raises:
            CircuitRefusedError: The processor cannot run one of the circuits.
        """
        if self.processor is None:
            return [ParameterizedCircuit(circuit.freeze(), (i,)) for i, circuit in enumerate(circuits)]
        if placement is None:
            everywhere = sorted({q for circuit in circuits for q in circuit.all_qubits()})
            placement = place_circuits(self.processor, circuits[:_PLACED_BY], everywhere, among=self.qubits)
        compiled = partial(compile_for, self.processor, circuits, placement.qubits)
        if len(circuits) > _programs.room:  # would not be kept, and a key takes longer than compiling
            return compiled()
        key = circuits_key(circuits, chain.from_iterable(placement.qubits.items()))
        return list(_programs.get(None if key is None else (self.processor, key), compiled, lambda _: len(circuits)))

    def run(self, circuits: Sequence[cirq.AbstractCircuit], shots: Sequence[int] | None) -> list[Distribution]:
        """Compile and execute circuits; a call that the journal records is not compiled again.

        Args:
            circuits: Circuits, each ending in one measurement.
            shots: Repetitions of each circuit; None for exact probabilities, where the engine can give them.

        Returns:
            A distribution over the measured bits of each circuit, in order.

        Raises:
            ValueError: The engine cannot run a circuit or a number of shots.
            EngineError: See `hattriq_cirq.circuits.errors`.
        """
        counts = _check_shots(shots, len(circuits))
        has_key = self._journal is not None and counts is not None
        key = call_key(circuits_key(circuits, self.qubits or ()), counts) if has_key else None
        return self._perform(lambda: self.compile(circuits), counts, key).distributions

    def execute(self, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> list[Distribution]:
        """Run compiled programs.

        Args:
            programs: Programs from `compile`, or variants of them; together they hold the requests 0, 1, ... once each.
            shots: Repetitions of each request; None for exact probabilities.

        Returns:
            A distribution for each request, in order.

        Raises:
            ValueError: The number of shots is missing for a request, or below 1.
            EngineError: See `hattriq_cirq.circuits.errors`.
        """
        return self.execute_call(programs, shots).distributions

    def execute_call(
        self, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None, key: str | None = None
    ) -> Outcome:
        """Run compiled programs, or those that the journal recorded for a call of the same content.

        Args:
            programs: Programs from `compile`, or variants of them; together they hold the requests 0, 1, ... once each.
            shots: Repetitions of each request; None for exact probabilities.
            key: Key of the call's content from `journal_format.call_key`, by which the journal knows the call even if another
                version compiles other programs; None takes the programs themselves.

        Returns:
            The distributions, and the programs that ran.

        Raises:
            ValueError: The number of shots is missing for a request, or below 1.
            JournalError: The journal holds another run.
            EngineError: See `hattriq_cirq.circuits.errors`.
        """
        counts = _check_shots(shots, sum(len(program.requests) for program in programs))
        return self._perform(lambda: programs, counts, key)

    def expect(self, call: Call, times: float = 1.0) -> None:
        """Warn before the first job of a run that needs more than the caps allow.

        Args:
            call: First call of the run, from `plan_call`.
            times: Number of such calls that the run will make.

        Warns:
            CapWarning: A cap is smaller than what the run needs.
        """
        if self.caps and call.is_counted:
            self._need(Usage(round(times * sum(map(shots_of, call.jobs))), round(times * len(call.jobs))))

    def _need(self, needed: Usage) -> None:
        """Remember what the run needs, as far as it is known, and warn once if a cap is smaller."""
        self._needed = Usage(max(self._needed.shots, needed.shots), max(self._needed.jobs, needed.jobs))
        shortfall = self.caps.shortfall(self._needed)
        if shortfall and not self._has_warned:
            self._has_warned = True
            log.warning(shortfall)
            warnings.warn(f"{shortfall}; the run will stop before, and can go on with larger ones", CapWarning, stacklevel=5)

    def plan_call(
        self,
        programs: Sequence[ParameterizedCircuit],
        shots: Sequence[int] | None,
        key: str | None = None,
        *,
        after: Collection[int] = (),
    ) -> Call:
        """Return the call that `execute_call` would make, with all its jobs; nothing is recorded and nothing is submitted.

        Args:
            programs: Programs from `compile`, or variants of them.
            shots: Repetitions of each request; None for exact probabilities.
            key: Key of the call's content, as in `execute_call`.
            after: Numbers of the calls that are planned before this one and not completed yet.

        Returns:
            The call; the journal's own jobs if it records a call of this content.

        Raises:
            ValueError: The number of shots is missing for a request, or below 1.
            JournalError: The journal holds another run.
        """
        counts = _check_shots(shots, sum(len(program.requests) for program in programs))
        self.check_owner()
        with self._running:
            return self._find_or_plan(lambda: programs, counts, key, after)[0]

    def record_call(
        self,
        programs: Sequence[ParameterizedCircuit],
        shots: Sequence[int] | None,
        key: str | None = None,
        *,
        after: Collection[int] = (),
    ) -> Call:
        """Check all jobs of a call and record them in the journal, without submitting any: a dry run of `execute_call`.

        A call that is recorded runs from the journal when it is executed, on this engine or in a new process, with the counts
        of a call that was never recorded before.

        Args:
            programs: Programs from `compile`, or variants of them.
            shots: Repetitions of each request.
            key: Key of the call's content, as in `execute_call`.
            after: Numbers of the calls that are recorded before this one and not completed yet.

        Returns:
            The call with its recorded jobs.

        Raises:
            ValueError: There are no shots or no journal, or a job cannot be run.
            CircuitRefusedError: The processor or its service would refuse a job.
            JournalError: The journal holds another run, or cannot be written.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> import cirq
            >>> import hattriq_cirq as hq
            >>> flipped = cirq.Circuit(cirq.X(cirq.q(0)), cirq.measure(cirq.q(0)))
            >>> with TemporaryDirectory() as folder:
            ...     engine = hq.qsim(seed=1, journal=folder)
            ...     planned = engine.record_call(engine.compile([flipped]), [10])
            ...     len(planned.jobs), engine.journal.done
            (1, 0)
        """
        counts = _check_shots(shots, sum(len(program.requests) for program in programs))
        if counts is None or self._journal is None:
            what = (
                "shots: exact probabilities are no jobs" if counts is None else "a journal; give the engine a folder, journal="
            )
            raise ValueError(f"a call is recorded only with {what}")
        self.check_owner()
        with self._running:
            return self._begin(lambda: programs, counts, key, after, check=self._check)

    def _check(self, call: Call) -> None:
        """Raise an error for a job that the processor or the backend would refuse."""
        if self.processor is not None:
            for circuit in {id(circuit): circuit for job in call.jobs for circuit in job.circuits}.values():
                check_on_device(
                    self.processor, circuit, f"of call {call.number}", "compile it with Engine.compile, or shorten it"
                )
        for job in track(call.jobs, "check jobs", "job"):
            self.backend.check(job)

    @contextmanager
    def one_run(self) -> Iterator[Forecast]:
        """Complete all calls of a block together, while calls of other threads wait; yield the forecast of its time.

        After an error none of them counts as completed: when the block is repeated, each is found in the journal or has the
        same seeds again, so that nothing runs twice and the counts are those of an undisturbed run.
        """
        with self._running:
            calls, completed, before = self._calls, frozenset(self._completed), self._forecast
            self._forecast = Forecast()
            try:
                yield self._forecast
            except BaseException:
                self._calls, self._completed = calls, set(completed)
                raise
            finally:
                self._forecast = before

    def _perform(
        self, prepare: Callable[[], Sequence[ParameterizedCircuit]], shots: Sequence[int] | None, key: str | None
    ) -> Outcome:
        """Begin a call or go on with it, and return its result; one call at a time."""
        self.check_owner()
        with self._running, self.logged():
            call = self._begin(prepare, shots, key)
            distributions = self._complete(call)
            self._calls += 1
            if shots is not None:
                self._completed.add(call.number)
        known = None if shots is None or self._journal is None else self._journal.calls.get(call.number)
        return Outcome(distributions, call.programs, call.origin, None if known is None else known.configuration)

    def _begin(
        self,
        prepare: Callable[[], Sequence[ParameterizedCircuit]],
        shots: Sequence[int] | None,
        key: str | None,
        after: Collection[int] = (),
        *,
        check: Callable[[Call], None] = lambda _: None,
    ) -> Call:
        """Return a call whose jobs are recorded in the journal once they are checked, without submitting anything."""
        call, new_key = self._find_or_plan(prepare, shots, key, after)
        check(call)
        if new_key is not None and self._journal is not None:
            self._journal.begin(call.number, new_key, call.jobs, [batch.requests for batch in call.batches])
        return call

    def _find_or_plan(
        self,
        prepare: Callable[[], Sequence[ParameterizedCircuit]],
        shots: Sequence[int] | None,
        key: str | None,
        after: Collection[int] = (),
    ) -> tuple[Call, str | None]:
        """Return a call as the journal records it, or planned anew with the key to record it by; None for the key if neither.

        A call takes the number that follows those before it, which are the calls completed so far and those of `after`, unless
        the journal knows its content by another number.
        """
        past = self._completed.union(after)
        number = self._calls + len(past) - len(self._completed) + 1
        journal = None if shots is None else self._journal
        if journal is None or shots is None:
            return self._plan(number, prepare(), shots), None
        if key is not None and (known := _number_of(journal, key, past)) is not None:
            return self._recorded(journal, known), None
        programs = prepare()
        # a call with a key is digested only if the journal may know it by its programs
        content = key if key is not None and past.issuperset(journal.calls) else digest(programs, shots)
        if (known := _number_of(journal, content, past)) is not None:
            return self._recorded(journal, known, self._plan(known, programs, shots)), None
        if number in journal.earlier_calls and number not in past:
            like = self._equivalent(journal, self._plan(number, programs, shots), key)
            if like is not None:
                return like, None
            if journal.task is not None or journal.calls[number].requests is None:  # known by its number only
                raise journal.another_run(number)
        if journal.earlier_calls and journal.earlier_calls.isdisjoint(past) and not journal.unfinished():
            raise journal.another_run(min(journal.earlier_calls))
        number = max(number, journal.last_call + 1)
        call = self._plan(number, programs, shots)
        return replace(call, origin=_origin_of_new_calls(journal)), key or content

    def _plan(self, number: int, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> Call:
        """Cut programs into jobs, with the ids and seeds of a call of this number."""
        planned = batches(programs, shots, self.backend)
        prefix = "" if self._journal is None or shots is None else f"{self._journal.run_id}-"
        entropy = None if self.seed is None else np.random.SeedSequence(self.seed, spawn_key=(number,))
        seeds = [None] * len(planned) if entropy is None else entropy.generate_state(len(planned), np.uint64).tolist()
        numbered = enumerate(zip(planned, seeds, strict=True))
        jobs = [batch.job(f"{prefix}{number:03d}-{i:05d}", seed) for i, (batch, seed) in numbered]
        return Call(number, programs, planned, self._in_order(number, jobs))

    def _in_order(self, number: int, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs of a call of this number, each with the number of shots of the run that come before it.

        The calls of a run follow each other by their numbers, in whatever process they run.
        """
        known = self._shots_of_calls
        if self._journal is not None:
            earlier = [call for call in self._journal.calls if call < number and call not in known]
            known |= {call: self._journal.shots_of_call(call) for call in earlier}
        known[number] = sum(map(shots_of, jobs))
        before = accumulate(map(shots_of, jobs), initial=sum(shots for call, shots in known.items() if call < number))
        return [replace(job, shots_before=shots) for job, shots in zip(jobs, before, strict=False)]

    def _recorded(self, journal: Journal, number: int, given: Call | None = None) -> Call:
        """Return a call as the journal recorded it; one of an earlier version has its requests in the order of `given`."""
        jobs, requests = journal.jobs_of_call(number), journal.calls[number].requests
        origin: Origin = "given" if requests is None else _origin_of_new_calls(journal)
        if requests is None:
            if given is None or list(map(_shape, given.jobs)) != list(map(_shape, jobs)):
                raise journal.another_run(number)
            requests = tuple(batch.requests for batch in given.batches)
        jobs = self._in_order(number, jobs)
        planned = [Batch(job.circuits, job.points, job.shots, own) for job, own in zip(jobs, requests, strict=True)]
        return Call(number, [program for batch in planned for program in batch.programs()], planned, jobs, origin)

    def _equivalent(self, journal: Journal, call: Call, key: str | None) -> Call | None:
        """Return the recorded call of the same number if it is the same one, compiled by another version or on another machine.

        Angles may differ by rounding on another machine; other versions may compile other circuits, which compute the same. A
        task, which is recorded, stands for calls whose circuits are too large to compare.
        """
        known, recorded = journal.calls[call.number], journal.jobs_of_call(call.number)
        if known.requests is not None and (key is None or known.key.partition("-")[2] != key.partition("-")[2]):
            return None
        if list(map(_shape, call.jobs)) != list(map(_shape, recorded)):
            return None
        is_other_version = known.requests is None or known.versions != Provenance.now().versions
        for ours, theirs in zip(call.jobs, recorded, strict=True):
            is_same = _computes_same(ours, theirs) if is_other_version else _differs_by_rounding(ours, theirs)
            if is_same is None and journal.task is None:
                raise JournalError(
                    f"call {call.number} recorded in {journal.folder} cannot be compared with this one, because its circuits "
                    "are too large to simulate; resume it with the version that began it, or give another folder"
                )
            if is_same is False:
                return None
        return replace(self._recorded(journal, call.number, call), origin="recorded")

    def _complete(self, call: Call) -> list[Distribution]:
        """Run the jobs of a call that have no counts yet, and return a distribution for each request, in order."""
        runner = JobRunner(
            self.backend,
            self._journal if call.is_counted else None,
            self.caps if call.is_counted else Caps(),
            self._meter if call.is_counted else Meter(),
            self._poll_seconds,
            self._timeout,
            self._progress,
            self._check_configuration,
        )
        if self.caps and call.is_counted:
            self._need(runner.needed_by(call.jobs))
            runner.needed = self._needed
        forecast = self._forecast or Forecast()
        forecast.before(self.backend, call.jobs, runner.journal)
        results = runner.run(call.jobs)
        forecast.after()
        parts: dict[int, list[Distribution]] = {}
        for job, batch in zip(call.jobs, call.batches, strict=True):
            for request, distribution in zip(batch.requests, results[job.id], strict=True):
                parts.setdefault(request, []).append(distribution)
        return [own[0] if len(own) == 1 else Distribution.merged(own) for _, own in sorted(parts.items())]


def _origin_of_new_calls(journal: Journal) -> Origin:
    """Return the origin of the calls that this version begins in a journal."""
    return "new in an earlier journal" if journal.is_from_earlier_version else "given"


def _number_of(journal: Journal, key: str, past: Collection[int]) -> int | None:
    """Return the number of the first recorded call of a content that is not one of the past calls."""
    return next((number for number, call in journal.calls.items() if call.key == key and number not in past), None)


def _check_shots(shots: Sequence[int] | None, requests: int) -> tuple[int, ...] | None:
    """Return shots as plain integers, one for each request; None for exact probabilities."""
    if shots is None:
        return None
    counts = as_counts(shots, "shots")
    if len(counts) != requests:
        raise ValueError(f"{shots=} must be {requests} numbers of at least 1: one for each circuit")
    return counts


def _shape(job: Job) -> tuple[object, ...]:
    return job.id, job.shots, job.seed, len(job.circuits), len(job.points)


def _resolved(job: Job) -> Iterator[cirq.AbstractCircuit]:
    """Yield every circuit of a job at every point."""
    return (cirq.resolve_parameters(circuit, dict(point)) for circuit in job.circuits for point in job.points)


def _computes_same(ours: Job, theirs: Job) -> bool | None:
    """Return True if the outcome probabilities of two jobs are equal; None if their circuits are too large to compare."""
    for pair in zip(_resolved(ours), _resolved(theirs), strict=True):
        measured = [len(list(circuit.all_operations())[-1].qubits) for circuit in pair]
        difference = inf if measured[0] != measured[1] else largest_difference(*pair)
        if difference is None or difference > _TOLERANCE:
            return None if difference is None else False
    return True


def _differs_by_rounding(ours: Job, theirs: Job) -> bool:
    """Return True if two jobs have the same gates on the same qubits, with angles that are equal to 1e-9."""
    pairs = zip(_resolved(ours), _resolved(theirs), strict=True)
    return all(cirq.approx_eq(first, second, atol=_ROUNDING) for first, second in pairs)


def _check_qubits(qubits: Sequence[cirq.Qid]) -> tuple[cirq.Qid, ...]:
    """Return the qubits that circuits may be placed on, at least one."""
    listed = tuple(qubits) if isinstance(qubits, Iterable) else ()
    if not listed or not all(isinstance(q, cirq.Qid) for q in listed):
        raise ArgumentTypeError(f"qubits={shown(qubits)} must be qubits of the processor, at least one, or None for all")
    return listed
