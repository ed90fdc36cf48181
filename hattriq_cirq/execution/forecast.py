"""Cost and time of a run in words: what is known before its first job, and its time once the first part is done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.execution.backend import Backend, ConfiguredBackend, Job
from hattriq_cirq.execution.job_runner import shots_of
from hattriq_cirq.execution.processor_time import processor_seconds
from hattriq_cirq.foundation.progress import is_shown, say
from hattriq_cirq.foundation.text import duration, quantity

if TYPE_CHECKING:
    from hattriq_cirq.execution.journal import Journal

_LEAST = 5.0  # seconds of a run whose time is said


@dataclass
class Forecast:
    """Forecast of one run, which is said while it goes on if progress is shown; a run of many parts is judged by the first.

    Args:
        parts: Number of parts like the first one that the run has.
    """

    parts: float = 1.0
    _begun: float | None = None
    _is_over: bool = False

    def before(self, backend: Backend, jobs: Sequence[Job], journal: Journal | None) -> None:
        """Say what the run costs, before its first jobs are submitted; nothing if the journal has all their results.

        Args:
            backend: Backend that runs the jobs.
            jobs: Jobs of the next part.
            journal: Journal with the results of some of them, or None.
        """
        if self._begun is not None or not is_shown():
            return
        unfinished = None if journal is None else set(journal.unfinished())
        left = len(jobs) if unfinished is None else sum(job.id in unfinished for job in jobs)
        if left:
            say(expected_cost(backend, jobs, self.parts, left))
            self._begun = time.monotonic()

    def after(self) -> None:
        """Say how long the rest of the run takes, once its first part is done."""
        if self._begun is None or self._is_over:
            return
        self._is_over = True
        seconds = (time.monotonic() - self._begun) * (self.parts - 1)
        if seconds > _LEAST:
            done = f"the first {1 / self.parts:.0%} took {duration(seconds / (self.parts - 1))}"
            say(f"about {duration(seconds)} left: {done}; half or twice as long would be no surprise")


def expected_cost(backend: Backend, jobs: Sequence[Job], parts: float, left: int) -> str:
    """Return what a run costs in one line: circuits, shots, gates, jobs, and the time on a real processor.

    Args:
        backend: Backend that runs the jobs.
        jobs: Jobs of the first part of the run.
        parts: Number of such parts.
        left: Number of these jobs that have no results yet.

    Example:
        >>> import cirq
        >>> import hattriq_cirq as hq
        >>> a, b = cirq.q(0), cirq.q(1)
        >>> circuit = cirq.FrozenCircuit(cirq.CZ(a, b), cirq.measure(a))
        >>> job = Job("job-1", (circuit,), ({},), shots=1000, seed=None)
        >>> expected_cost(hq.qsim().backend, [job], parts=10.0, left=1)
        'qsim: about 10 circuits, 10,000 shots, 10 jobs, at most 1 two-qubit gate each'
    """
    unique = {id(circuit): circuit for job in jobs for circuit in job.circuits}
    gates = max(map(multi_qubit_gates, unique.values()))
    circuits, shots = (round(parts * sum(numbers)) for numbers in ([job.runs for job in jobs], map(shots_of, jobs)))
    about = "" if parts == 1 else "about "
    counted = [f"{about}{circuits:,} circuit{'s' * (circuits != 1)}"]
    counted += [f"{shots:,} shots", quantity(round(parts * len(jobs)), "job")] if shots else ["exact probabilities"]
    line = f"{backend.name}: {', '.join(counted)}, at most {quantity(gates, 'two-qubit gate')} each"
    if left < len(jobs):
        line += f"; {left} of the first {quantity(len(jobs), 'job')} left to run"
    if isinstance(backend, ConfiguredBackend) and shots:
        seconds = parts * sum(map(processor_seconds, jobs))
        line += f"; about {duration(seconds)} of processor time, without waiting in its queue (a rough estimate of cirq_google)"
    return line
