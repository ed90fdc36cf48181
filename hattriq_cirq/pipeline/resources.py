"""Cost of an attribution before it is run: circuits, qubits, compiled gates, and the shots to a wanted precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from textwrap import indent
from typing import Any, Literal, Self

import cirq
import numpy as np
from scipy.optimize import brentq

from hattriq_cirq.circuits.counting import multi_qubit_gates, two_qubit_depth
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.estimators.plan import Plan
from hattriq_cirq.execution.engine import Call
from hattriq_cirq.execution.processor_time import processor_seconds
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.card import Card, Displayed
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.text import aligned, quantity
from hattriq_cirq.pipeline.execute import PreparedCircuits

#: Number of shots that stands for none that suffices.
UNREACHABLE = 2**62


@dataclass(frozen=True)
class GateCount:
    """Two-qubit gates and two-qubit depth of some circuits.

    Args:
        mean: Mean number of two-qubit gates per circuit.
        largest: Largest number of two-qubit gates of a circuit.
        depth: Length of the longest chain of two-qubit gates, each after the one before on a shared qubit.
        sampled: Number of circuits that were counted if there are more; 0 if all were, so that `largest` is a bound.

    Example:
        >>> import cirq
        >>> a, b = cirq.LineQubit.range(2)
        >>> print(GateCount.of([cirq.Circuit(cirq.CZ(a, b), cirq.CZ(a, b))]))
        2.0 (at most 2, depth 2)
    """

    mean: float
    largest: int
    depth: int
    sampled: int = 0

    @classmethod
    def of(cls, circuits: Sequence[cirq.AbstractCircuit], total: int | None = None) -> GateCount:
        """Count the gates of circuits, which are all there are or a sample of a total number."""
        gates = [multi_qubit_gates(circuit) for circuit in circuits]
        sampled = 0 if total is None or total <= len(circuits) else len(circuits)
        return cls(float(np.mean(gates)), max(gates), max(map(two_qubit_depth, circuits)), sampled)

    @classmethod
    def merged(cls, parts: Sequence[tuple[GateCount, int]]) -> GateCount:
        """Return the count of all circuits of several counts, each given with its number of circuits."""
        mean = sum(part.mean * circuits for part, circuits in parts) / sum(circuits for _, circuits in parts)
        return cls(mean, max(part.largest for part, _ in parts), max(part.depth for part, _ in parts))

    def __str__(self) -> str:
        bound = f"largest of {self.sampled} sampled" if self.sampled else "at most"
        return f"{self.mean:.1f} ({bound} {self.largest}, depth {self.depth})"


@dataclass(frozen=True, kw_only=True, repr=False)
class RunResources(Displayed):
    """Resources of circuits as an engine runs them, counted from their jobs.

    Gates and the predicted fidelity are those of the compiled circuits; jobs, shots, bytes, depth, duration and processor time
    count everything that runs, the variants and auxiliary circuits of a mitigation included.

    Args:
        circuits: Number of circuits, those of a mitigation excluded.
        programs: Number of compiled programs, each with a sweep; 0 if they were not compiled.
        jobs: Number of jobs; 0 if the run was not planned.
        shots: Number of shots, those of a mitigation included; 0 for exact probabilities.
        bytes: Size of all jobs as they are sent to the service; None if nothing is sent.
        routed: Two-qubit gates of the compiled programs as they run on the processor; None without one.
        depth: Largest number of moments of a circuit.
        duration_ns: Duration of the longest circuit without its measurement, nanoseconds; None without a processor.
        predicted_fidelity: Lowest predicted probability that one run of a compiled circuit has no error, readout included,
            see `Processor.fidelity`; None without a processor, or if its calibration lacks the errors of two-qubit gates.
        processor_seconds: Estimated time on the processor without other jobs in its queue, in seconds, see
            `execution.processor_time`; None without a processor.
        processor: Name of the processor, or None.
        snapshot: Name of the calibration that qubits, errors and durations are from, or None.
        missing: Figures that the calibration lacks, so that the fidelity is predicted without them, one sentence each.
        mitigation_circuits: Number of circuits that the mitigation adds.
        mitigation_shots: Number of shots of `shots` that the mitigation adds.

    Example:
        >>> added = {"mitigation_circuits": 4, "mitigation_shots": 100}
        >>> print(RunResources(circuits=2, programs=1, jobs=1, shots=300, depth=12, **added))
          circuits  2, and 4 for mitigation and checks
          programs  1
          jobs      1
          shots     200, and 100 for mitigation and checks
          depth     12 moments
    """

    circuits: int = 0
    programs: int = 0
    jobs: int = 0
    shots: int = 0
    bytes: int | None = None
    routed: GateCount | None = None
    depth: int = 0
    duration_ns: float | None = None
    predicted_fidelity: float | None = None
    processor_seconds: float | None = None
    processor: str | None = None
    snapshot: str | None = None
    missing: tuple[str, ...] = ()
    mitigation_circuits: int = 0
    mitigation_shots: int = 0

    @classmethod
    def of_call(cls, prepared: PreparedCircuits, call: Call, circuits: int, shots: int) -> RunResources:
        """Count the resources of one call of an engine.

        Args:
            prepared: Prepared circuits.
            call: Their call, planned or recorded.
            circuits: Number of circuits without those of a mitigation.
            shots: Number of shots without those of a mitigation.
        """
        engine, processor = prepared.engine, prepared.engine.processor
        compiled = [program.circuit for program in prepared.programs]
        running = list({id(circuit): circuit for job in call.jobs for circuit in job.circuits}.values())
        counted = [job for job in call.jobs if job.shots is not None]
        all_shots = sum(job.runs * (job.shots or 0) for job in counted)
        sizes = [engine.backend.size(job) for job in track(counted, "count bytes", "job")]
        found = cls(
            circuits=circuits,
            programs=len(compiled),
            jobs=len(call.jobs),
            shots=all_shots,
            bytes=sum(sizes) if any(sizes) else None,
            depth=max(map(len, running), default=0),
            processor_seconds=sum(map(processor_seconds, counted)) if processor is not None and counted else None,
            processor=None if processor is None else processor.id,
            snapshot=None if processor is None else processor.snapshot,
            mitigation_circuits=prepared.requests - circuits,
            mitigation_shots=all_shots - shots,
        )
        return found if processor is None or not compiled else found.on(processor, compiled, running)

    @classmethod
    def total(cls, parts: Sequence[RunResources]) -> RunResources:
        """Return the resources of several calls of one engine together, at least one."""

        def over(name: str, combine: Callable[[Sequence[Any]], Any]) -> Any:
            values = [value for part in parts if (value := getattr(part, name)) is not None]
            return combine(values) if values else None

        gates = [(part.routed, part.programs) for part in parts if part.routed is not None]
        sums = (
            "circuits",
            "programs",
            "jobs",
            "shots",
            "bytes",
            "processor_seconds",
            "mitigation_circuits",
            "mitigation_shots",
        )
        return cls(
            **{name: over(name, sum) for name in sums},
            **{name: over(name, lambda values: values[0]) for name in ("processor", "snapshot", "missing")},
            routed=GateCount.merged(gates) if gates else None,
            depth=over("depth", max),
            duration_ns=over("duration_ns", max),
            predicted_fidelity=over("predicted_fidelity", min),
        )

    def on(
        self, processor: Processor, compiled: Sequence[cirq.AbstractCircuit], running: Sequence[cirq.AbstractCircuit]
    ) -> Self:
        """Return these resources with the gates, duration and fidelity of circuits on a processor.

        Args:
            processor: Processor that the circuits are compiled for.
            compiled: Compiled circuits, at least one.
            running: Circuits that run in their place.
        """
        return replace(
            self,
            routed=GateCount.of(compiled),
            depth=max(map(len, running)),
            duration_ns=max(map(processor.duration_ns, running)),
            predicted_fidelity=min(map(processor.fidelity, compiled)) if processor.two_qubit_errors else None,
            processor=processor.id,
            snapshot=processor.snapshot,
            missing=processor.missing,
        )

    def __str__(self) -> str:
        return indent(aligned(self._rows()), "  ") if self._rows() else "  nothing to run"

    def card(self) -> Card:
        """Return the figures that are known."""
        return Card(f"{type(self).__name__} of {quantity(self.circuits, 'circuit')}", self._rows())

    def _rows(self) -> list[tuple[str, str]]:
        """Return the label and the text of each figure that is known."""
        rows: list[tuple[str, str]] = []
        if self.jobs:
            data_shots = self.shots - self.mitigation_shots
            rows = [
                ("circuits", _with_added(self.circuits, self.mitigation_circuits)),
                ("programs", str(self.programs)),
                ("jobs", str(self.jobs)),
                ("shots", _with_added(data_shots, self.mitigation_shots) if self.shots else "none: exact probabilities"),
            ]
        if self.bytes is not None:
            rows.append(("bytes to send", str(self.bytes)))
        if self.depth:
            rows.append(("depth", quantity(self.depth, "moment")))
        if self.duration_ns is not None:
            rows.append(("longest circuit", f"{self.duration_ns / 1000:.2f} us"))
        if self.duration_ns is not None and self.predicted_fidelity is None:
            rows.append(("predicted fidelity", "unknown: the calibration has no errors of the two-qubit gate"))
        if self.predicted_fidelity is not None:
            error = 1 - self.predicted_fidelity
            rows.append(("predicted fidelity", f"{self.predicted_fidelity:.3f} of the worst circuit (error {error:.3f})"))
        if self.processor_seconds is not None:
            rows.append(("processor time", f"about {_duration(self.processor_seconds)} (a rough estimate of cirq_google)"))
        if self.processor is not None:
            rows.append(("processor", f"{self.processor}, calibration {self.snapshot}"))
        rows.extend(("not calibrated", sentence) for sentence in self.missing)
        return rows


@dataclass(frozen=True, kw_only=True, repr=False)
class Resources(RunResources):
    """Cost of an attribution with one estimator: resources on a free graph, predicted shots, and the run as it is executed.

    Figures of the run, which are listed in `RunResources`, are counted from its jobs if it is prepared (`prepare`, or
    `resources` with shots). Otherwise jobs, shots and programs are 0, and gates, depth, duration and fidelity on the processor
    are those of a few of the circuits.

    Args:
        estimator: Description of the estimator.
        qubits: Number of data qubits and ancillas.
        built: Gates on two or more qubits, as the estimator builds the circuits.
        compiled: Two-qubit gates after compiling to the gate set.
        preparation: Two-qubit gates of the state preparation alone, compiled.
        compiled_circuits: Number of circuits that the gate counts on a free graph are for, evenly spaced among all.
        gateset: Name of the gate set.
        shots_for_cosine: Shots so that the mean cosine of the map to the exact one is the target; `UNREACHABLE` if none do.
        shots_for_stderr: Shots so that no feature has a larger standard error than the target.
        target_cosine: Target cosine, between 0 and 1.
        target_stderr: Target standard error, above 0.
        per: `input` if each input takes the shots to the targets; `model` if they serve all inputs, as for a learned model.

    Example:
        >>> import hattriq_cirq as hq
        >>> cost = hq.resources(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.0, 0.8], 0, hq.ResolvedHadamardTest())
        >>> cost.circuits, cost.qubits, cost.gateset
        (1, 3, 'cz')
    """

    estimator: str
    qubits: int
    built: GateCount
    compiled: GateCount
    preparation: GateCount
    compiled_circuits: int
    gateset: str
    shots_for_cosine: int
    shots_for_stderr: int
    target_cosine: float
    target_stderr: float
    per: Literal["input", "model"] = "input"

    @classmethod
    def of_nothing(cls, estimator: str, gateset: str, *, target_cosine: float, target_stderr: float) -> Self:
        """Return the cost of inputs that equal their baselines: nothing."""
        none = GateCount(0.0, 0, 0)
        return cls(
            estimator=estimator,
            qubits=0,
            built=none,
            compiled=none,
            preparation=none,
            compiled_circuits=0,
            gateset=gateset,
            shots_for_cosine=0,
            shots_for_stderr=0,
            target_cosine=target_cosine,
            target_stderr=target_stderr,
        )

    def with_run(self, run: RunResources) -> Self:
        """Return this cost with the figures of a run."""
        return replace(self, **{each.name: getattr(run, each.name) for each in fields(RunResources)})

    def row(self) -> dict[str, object]:
        """Return all figures as one row of a table, such as a line of CSV; the columns are the same for every cost.

        Example:
            >>> import hattriq_cirq as hq
            >>> row = hq.resources(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.0, 0.8], 0, hq.ResolvedHadamardTest()).row()
            >>> row["built_largest"], row["routed_largest"], row["shots_for_cosine"]
            (2, None, 8)
        """
        row: dict[str, object] = {}
        for each in fields(self):
            if each.name in ("built", "compiled", "preparation", "routed"):
                count = getattr(self, each.name)
                row |= {f"{each.name}_{inner.name}": count and getattr(count, inner.name) for inner in fields(GateCount)}
            else:
                value = getattr(self, each.name)
                row[each.name] = "; ".join(value) if each.name == "missing" else value
        return row

    def card(self) -> Card:
        """Return the figures that are known, and the predicted shots."""
        return Card(f"Resources of {self._title}", [*self._predicted_rows(), *self._rows()])

    @property
    def _title(self) -> str:
        return f"{self.estimator}: {quantity(self.circuits, 'circuit')} on {quantity(self.qubits, 'qubit')}"

    def __str__(self) -> str:
        return f"{self._title}\n{indent(aligned([*self._predicted_rows(), *self._rows()]), '  ')}"

    def _predicted_rows(self) -> list[tuple[str, str]]:
        """Return the label and the text of each figure of the circuits on a free graph."""
        rows = [
            ("two-qubit gates as built", str(self.built)),
            (f"compiled to {self.gateset}", f"{self.compiled}, preparation alone {self.preparation.mean:.1f}"),
        ]
        if self.routed is not None:
            rows.append((f"routed on {self.processor}", str(self.routed)))
        if self.compiled_circuits < self.circuits:
            counted = f"{quantity(self.compiled_circuits, 'circuit')} evenly spaced among {self.circuits}"
            rows.append(("gates were counted for", counted))
        rows.append((f"shots to cosine {self.target_cosine:g}", self._shots_text(self.shots_for_cosine)))
        rows.append((f"shots to standard error {self.target_stderr:g}", self._shots_text(self.shots_for_stderr)))
        return rows

    def _shots_text(self, shots: int) -> str:
        return f"{shots} per {self.per}" if shots < UNREACHABLE else "no number of shots reaches it"


def _with_added(number: int, added: int) -> str:
    return f"{number}, and {added} for mitigation and checks" if added else str(number)


def _duration(seconds: float) -> str:
    """Return seconds as a person reads them: seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def shots_for_cosine(plan: Plan, distributions: Sequence[Distribution], cosine: float) -> int:
    """Predict the shots at which the mean cosine of a map to the exact one reaches a target.

    The error of a map is taken as normal, with the covariance that one shot has, divided by the shots; 400 such errors are
    sampled and the equation is solved for the shots. For many features the solution is S = V c^2 / ((1 - c^2) |IG|^2), with V
    the trace of the covariance of one shot.

    Args:
        plan: Plan of the estimator.
        distributions: Exact distribution of every circuit.
        cosine: Target, between 0 and 1.

    Returns:
        Number of all shots, at least one per circuit.

    Raises:
        ValueError: The cosine is out of range, or the exact map is zero.
    """
    if not 0 < cosine < 1:
        raise ValueError(f"target_cosine={cosine} must lie between 0 and 1")
    exact = plan.decode(distributions).values
    size = float(np.linalg.norm(exact))
    covariance = covariance_per_shot(plan, distributions)
    if size <= 1e-6 * np.sqrt(np.trace(covariance)):
        raise ValueError("the exact map is zero everywhere: no number of shots gives it a direction")
    eigenvalues, directions = np.linalg.eigh(covariance)
    samples = np.random.default_rng(0).normal(size=(400, len(exact))) * np.sqrt(np.maximum(eigenvalues, 0))
    errors = samples @ directions.T

    def mean_cosine(log_shots: float) -> float:
        maps = exact + errors * np.exp(-log_shots / 2)
        return float(np.mean(maps @ exact / np.linalg.norm(maps, axis=1) / size))

    least, most = np.log(1e-3), np.log(max(np.trace(covariance), 1e-300) / size**2 / (1 - cosine**2)) + 5
    if mean_cosine(least) >= cosine or mean_cosine(most) <= cosine:
        return len(plan.circuits)
    shots = np.exp(brentq(lambda log_shots: mean_cosine(log_shots) - cosine, least, most, xtol=1e-3))
    return max(int(np.ceil(shots)), len(plan.circuits))


def shots_for_stderr(plan: Plan, distributions: Sequence[Distribution], stderr: float) -> int:
    """Predict the shots at which the largest standard error of a feature reaches a target.

    Args:
        plan: Plan of the estimator.
        distributions: Exact distribution of every circuit.
        stderr: Target, above 0.

    Returns:
        Number of all shots, at least one per circuit.

    Raises:
        ValueError: The target is not positive.
    """
    if not stderr > 0:
        raise ValueError(f"target_stderr={stderr} must be positive")
    with np.errstate(all="ignore"):
        shots = np.ceil((np.sqrt(variances_per_shot(plan, distributions).max()) / stderr) ** 2)
    if not shots < 2**62:
        raise ValueError(f"target_stderr={stderr} takes more than 2**62 shots; give a larger one")
    return max(int(shots), len(plan.circuits))


def covariance_per_shot(plan: Plan, distributions: Sequence[Distribution]) -> FloatArray:
    """Return the covariance of the values times the number of all shots, (features, features), from exact distributions."""
    total = np.zeros((len(plan.offset), len(plan.offset)))
    for circuit, distribution, share in zip(plan.circuits, distributions, plan.shares, strict=True):
        total += distribution.covariance_per_shot(circuit.weights) / share
    return total


def variances_per_shot(plan: Plan, distributions: Sequence[Distribution]) -> FloatArray:
    """Return the variance of each value times the number of all shots, (features,), from exact distributions."""
    variances = np.zeros(len(plan.offset))
    for circuit, distribution, share in zip(plan.circuits, distributions, plan.shares, strict=True):
        variances += distribution.variances_per_shot(circuit.weights) / share
    return variances
