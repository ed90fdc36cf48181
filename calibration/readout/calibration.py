"""A readout calibration as a value: the error rates of each qubit, their standard errors, and the processor they belong to.

One convention everywhere: confusion[prepared, observed].
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, TypeVar, get_args

import cirq
import numpy as np
from numpy.typing import NDArray

from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution, SharedUncertainty, bit_counts
from hattriq_cirq.circuits.serialization import read_cirq_json
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import BoolArray, FloatArray, freeze, read_only
from hattriq_cirq.foundation.card import Card, Displayed
from hattriq_cirq.foundation.checks import as_count, as_number, check_type, shown
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.frozen import Frozen, FrozenDict
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.foundation.reading import problem_of
from hattriq_cirq.foundation.schema import Count, read_json
from hattriq_cirq.foundation.text import quantity

FORMAT = "hattriq_cirq.ReadoutCalibration/1"
OnStale = Literal["refuse", "warn"]
IntArray = NDArray[np.int64]
_Qubit = TypeVar("_Qubit", bound=cirq.Qid)
_ROUNDING = 1e-12  # of a rate that is k / shots
_CLOCK_DIFFERENCE = 0.1  # hours by which a calibration may seem to be from the future


class CalibrationError(ValueError):
    """A calibration cannot be used; the message gives the reason.

    Example:
        >>> ReadoutCalibration((), known=np.zeros((0, 2)))
        Traceback (most recent call last):
        ...
        calibration.readout.calibration.CalibrationError: self.qubits=() must be different qubits, at least one
    """


class StaleCalibrationWarning(UserWarning):
    """A calibration is older than `max_age` and was used nevertheless.

    Example:
        >>> import hattriq_cirq as hq
        >>> qubit = cirq.GridQubit(4, 10)
        >>> old = ReadoutCalibration((qubit,), known=np.zeros((1, 2)), provenance=Provenance({}, "2024-08-16T12:00:00Z"))
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     old.check(hq.cirq_simulator(), [qubit], max_age=24, on_stale="warn")
        >>> caught[0].category.__name__
        'StaleCalibrationWarning'
    """


class _Stored(TypedDict):
    """JSON of a saved calibration."""

    format: Literal["hattriq_cirq.ReadoutCalibration/1"]
    qubits: list[Any]
    counts: list[tuple[tuple[Count, Count], tuple[Count, Count]]] | None
    known: list[tuple[float, float]] | None
    source: dict[str, str]
    pattern: str
    provenance: Provenance
    id: str


@dataclass(frozen=True, eq=False, repr=False)
class ReadoutCalibration(Displayed, Frozen):
    """Readout error rates of each qubit: counted, or taken as known.

    Args:
        qubits: Physical qubits, in order.
        counts: Counts (qubits, 2, 2), indexed [qubit, prepared, observed]; None for known rates.
        known: Error rates without uncertainty, (qubits, 2): e0, the probability of reading 1 when 0 was prepared, and e1, of
            reading 0 when 1 was prepared; None for counts.
        source: Origin of the calibration: `engine`, `processor`, `snapshot` and `noise`, as far as they apply.
        pattern: Name of the pattern of prepared states.
        provenance: Versions, and the time of the measurement.

    Raises:
        CalibrationError: The arrays have other shapes, a state was never prepared, or rates are outside 0 .. 1.

    Example:
        >>> qubit = cirq.GridQubit(4, 10)
        >>> calibration = ReadoutCalibration((qubit,), counts=np.array([[[980, 20], [100, 900]]]))
        >>> calibration.errors
        array([[0.02, 0.1 ]])
        >>> calibration.confusion(qubit)
        array([[0.98, 0.02],
               [0.1 , 0.9 ]])
        >>> np.sqrt(calibration.variances).round(4)
        array([[0.0045, 0.0095]])
    """

    qubits: tuple[cirq.Qid, ...]
    counts: IntArray | None = None
    known: FloatArray | None = None
    source: Mapping[str, str] = field(default_factory=dict)
    pattern: str = "given"
    provenance: Provenance = field(default_factory=Provenance.now)

    def __post_init__(self) -> None:
        n = len(self.qubits)
        if n == 0 or len(set(self.qubits)) != n:
            raise CalibrationError(f"{self.qubits=} must be different qubits, at least one")
        if (self.counts is None) == (self.known is None):
            raise CalibrationError("a readout calibration needs either counts or known rates; give one of them")
        if self.counts is not None:
            counts = _whole_counts(self.counts)
            if counts.shape != (n, 2, 2) or counts.min() < 0 or counts.sum(axis=2).min() < 1:
                raise CalibrationError(
                    f"{counts.shape=} must be ({n}, 2, 2) counts [qubit, prepared, observed], each state prepared at least once"
                )
            freeze(self, counts=counts)
        else:
            known = np.asarray(self.known, dtype=float)
            if known.shape != (n, 2) or not ((known >= 0) & (known <= 1)).all():
                raise CalibrationError(f"{self.known=} must be ({n}, 2) error rates e0 and e1, each in 0 .. 1")
            freeze(self, known=known)
        age = self.age_hours()
        if age < -_CLOCK_DIFFERENCE:
            raise CalibrationError(f"a readout calibration is dated {-age:.1f} hours in the future; set the clocks right")
        super().__post_init__()

    @classmethod
    def from_outcomes(
        cls,
        qubits: Sequence[cirq.Qid],
        patterns: BoolArray,
        outcomes: Sequence[Distribution | QuasiDistribution],
        *,
        source: Mapping[str, str] | None = None,
        pattern: str = "given",
    ) -> Self:
        """Return the calibration from outcomes of the circuits of `calibration.measure.readout_programs`.

        Args:
            qubits: Qubits in the order in which they were measured.
            patterns: Prepared states, (circuits, qubits), True for 1; both states of each qubit equally often.
            outcomes: One outcome per circuit: all counted, or all exact, which makes the rates known.
            source: See the class.
            pattern: Name of the patterns.

        Raises:
            CalibrationError: Another mitigation has changed the outcomes, or they are both counted and exact.
        """
        plain = [outcome for outcome in outcomes if isinstance(outcome, Distribution)]
        if len(plain) < len(outcomes):
            raise CalibrationError(
                "calibration circuits were changed by another mitigation; put the readout last in the sequence, so that its "
                "circuits run as they are"
            )
        kinds = {outcome.shots is None for outcome in plain}
        totals = np.zeros((len(qubits), 2, 2))
        for states, counts in zip(patterns, bit_counts(plain), strict=True):
            totals[np.arange(len(qubits)), states.astype(int)] += counts
        if len(kinds) != 1:
            raise CalibrationError("outcomes of calibration circuits must be all counted or all exact")
        if kinds == {True}:
            flips = np.stack([totals[:, 0, 1], totals[:, 1, 0]], axis=1) / totals.sum(axis=2)
            return cls(tuple(qubits), known=flips.clip(0, 1), source=source or {}, pattern=pattern)
        return cls(tuple(qubits), counts=np.rint(totals).astype(np.int64), source=source or {}, pattern=pattern)

    @classmethod
    def from_mapping(cls, rates: Mapping[_Qubit, tuple[float, float]], shots: int | None = None) -> Self:
        """Return the calibration with given error rates (e0, e1) of each qubit.

        Args:
            rates: Error rates by qubit.
            shots: Shots per prepared state from which the rates count as estimated, as k / shots with a whole number k; None
                takes them as known.

        Raises:
            CalibrationError: A rate is outside 0 .. 1, or is not that of any number of wrong readings in these shots.

        Example:
            >>> qubit = cirq.GridQubit(4, 10)
            >>> ReadoutCalibration.from_mapping({qubit: (0.02, 0.1)}, shots=50).counts
            array([[[49,  1],
                    [ 5, 45]]])
        """
        check_type(rates, "rates", Mapping, "a mapping from qubits to error rates (e0, e1)")
        if not rates:
            raise CalibrationError("rates must name the error rates (e0, e1) of at least one qubit, got none")
        shots = None if shots is None else as_count(shots, "shots", 1, 2**53)
        for qubit, pair in rates.items():
            check_type(qubit, "a key of rates", cirq.Qid, "a qubit, such as cirq.GridQubit(4, 10)")
            if np.shape(pair) != (2,):
                raise CalibrationError(f"rates[{qubit}]={shown(pair)} must be two error rates, (e0, e1)")
        try:
            values = np.array([[as_number(rate, f"rates[{qubit}]") for rate in pair] for qubit, pair in rates.items()])
        except ValueError as error:
            raise CalibrationError(str(error)) from error
        known = cls(tuple(rates), known=values)
        if shots is None:
            return known
        shots = as_count(shots, "shots")
        wrong = np.rint(values * shots).astype(np.int64)
        if (off := np.abs(wrong - values * shots) > _ROUNDING * shots).any():
            i, state = (int(k) for k in np.argwhere(off)[0])
            raise CalibrationError(
                f"e{state} = {values[i, state]:g} of {known.qubits[i]} is {values[i, state] * shots:g} wrong readings of "
                f"{shots=}, no whole number; give the shots from which it was estimated, or shots=None for a known rate"
            )
        right = shots - wrong
        counts = np.stack([right[:, 0], wrong[:, 0], wrong[:, 1], right[:, 1]], axis=1).reshape(-1, 2, 2)
        return cls(known.qubits, counts=counts)

    @classmethod
    def pooled(cls, parts: Sequence[Self]) -> Self:
        """Return all counts of several calibrations of the same qubits together."""
        if len(parts) == 1:
            return parts[0]
        return replace(parts[0], counts=np.sum([part.counts for part in parts if part.counts is not None], axis=0))

    @classmethod
    def from_processor(cls, processor: Processor, *, measured_utc: str | None = None) -> Self:
        """Return the readout errors of a processor's own calibration, taken as known.

        Args:
            processor: Processor, such as one of `Processor.from_calibration`, which knows both generations of metric names.
            measured_utc: Time of the measurement in ISO 8601; None takes the time in the name of the processor's snapshot, or
                the present time if there is none.

        Returns:
            The calibration of all qubits of the processor.

        Raises:
            CalibrationError: The processor's calibration has no readout errors.
        """
        if not processor.readout_errors:
            raise CalibrationError(
                f"the calibration of {processor.id} has no readout errors; measure them with measure_readout"
            )
        rates = dict(sorted(processor.readout_errors.items()))
        now = Provenance.now()
        dated = re.search(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)", processor.snapshot)
        when = measured_utc or (dated[0] if dated else now.created_utc)
        return cls(
            tuple(rates),
            known=np.array(list(rates.values())),
            source={"processor": processor.id, "snapshot": processor.snapshot},
            pattern="processor's own",
            provenance=Provenance(now.versions, when),
        )

    @cached_property
    def errors(self) -> FloatArray:
        """Error rates e0 and e1, (qubits, 2): k / n for k wrong readings of n, which is unbiased for any number of shots.

        A shrunken estimate such as (k + 1/2) / (n + 1) would shift all qubits in the same direction, by half a standard error
        at one expected flip; the shift of an attribution would grow with the number of qubits.
        """
        return read_only(self._wrong / self.shots) if self.known is None else self.known

    @cached_property
    def _wrong(self) -> FloatArray:
        """Number of wrong readings, (qubits, 2)."""
        assert self.counts is not None
        return np.stack([self.counts[:, 0, 1], self.counts[:, 1, 0]], axis=1).astype(float)

    @cached_property
    def shots(self) -> FloatArray:
        """Shots in which each qubit was prepared as 0 and as 1, (qubits, 2); infinite where rates are known."""
        counted = None if self.counts is None else self.counts.sum(axis=2).astype(float)
        return read_only(np.full((len(self.qubits), 2), np.inf) if counted is None else counted)

    @cached_property
    def variances(self) -> FloatArray:
        """Variances of `errors`, (qubits, 2): p (1 - p) / n at p = (k + 1/2) / (n + 1), never 0; 0 where rates are known.

        This p is the mean of Jeffreys' posterior (Brown, Cai and DasGupta 2001). Where one flip is expected, the variance is
        1.5 times too large on average; where 2 to 5 flips are expected, pulls have a standard deviation of up to 1.25, because
        such small counts are not normally distributed.
        """
        if self.counts is None:
            return np.zeros((len(self.qubits), 2))
        p = (self._wrong + 0.5) / (self.shots + 1)
        return read_only(p * (1 - p) / self.shots)

    @cached_property
    def shared(self) -> SharedUncertainty:
        """The covariance of e0, e1 of the first qubit, e0, e1 of the next, and so on: (2 qubits, 2 qubits), diagonal.

        All qubits are read in the same shots; their numbers of flips are independent if their flips are.
        """
        return SharedUncertainty(np.diag(self.variances.reshape(-1)))

    @property
    def rates(self) -> dict[str, tuple[float, float, float, float]]:
        """Error rates e0 and e1 of each qubit and their standard errors, by the qubit as text."""
        numbers = np.concatenate([self.errors, np.sqrt(self.variances)], axis=1).tolist()
        return {str(q): (e0, e1, stderr0, stderr1) for q, (e0, e1, stderr0, stderr1) in zip(self.qubits, numbers, strict=True)}

    @cached_property
    def positions(self) -> Mapping[cirq.Qid, int]:
        """Position of each qubit in `qubits`."""
        return FrozenDict({q: i for i, q in enumerate(self.qubits)})

    @cached_property
    def id(self) -> str:
        """Short digest of the whole content."""
        return hashlib.sha256(json.dumps(self._content(), sort_keys=True).encode()).hexdigest()[:12]

    def confusion(self, qubit: cirq.Qid) -> FloatArray:
        """Return the confusion matrix of one qubit, (2, 2), [prepared, observed]; its rows sum to 1."""
        if qubit not in self.positions:
            raise CalibrationError(f"calibration {self.id} does not know qubit {qubit}; measure one of all qubits")
        e0, e1 = self.errors[self.positions[qubit]]
        return np.array([[1 - e0, e0], [e1, 1 - e1]])

    def of(self, qubits: Sequence[cirq.Qid]) -> ReadoutCalibration:
        """Return the calibration of some of its qubits, in their order; the same object for the same qubits."""
        selected = tuple(qubits)
        missing = [q for q in selected if q not in self.positions]
        if missing:
            raise CalibrationError(
                f"calibration {self.id} does not know qubits {', '.join(map(str, missing))}; measure one of all qubits"
            )
        if selected == self.qubits:
            return self
        if selected not in self._restricted:
            rows = [self.positions[q] for q in selected]
            counts = None if self.counts is None else self.counts[rows]
            known = None if self.known is None else self.known[rows]
            self._restricted[selected] = replace(self, qubits=selected, counts=counts, known=known)
        return self._restricted[selected]

    @cached_property
    def _restricted(self) -> dict[tuple[cirq.Qid, ...], ReadoutCalibration]:
        return {}

    def age_hours(self, now: datetime | None = None) -> float:
        """Return the age of the calibration in hours."""
        try:
            measured = datetime.fromisoformat(self.provenance.created_utc)
        except ValueError as error:
            raise CalibrationError(f"{self.provenance.created_utc=} is not a time: {error}") from None
        return ((now or datetime.now(UTC)) - measured.replace(tzinfo=measured.tzinfo or UTC)).total_seconds() / 3600

    def check(
        self, engine: Engine, qubits: Sequence[cirq.Qid], max_age: float | None = None, on_stale: OnStale = "refuse"
    ) -> None:
        """Raise an error where the calibration does not apply.

        Args:
            engine: Engine whose outcomes are to be corrected.
            qubits: Qubits that are read.
            max_age: Largest age in hours; None allows any age.
            on_stale: Reaction to an older calibration: refuse or warn.

        Raises:
            CalibrationError: The calibration is from elsewhere, lacks one of the qubits, or is too old.
        """
        if on_stale not in get_args(OnStale):
            raise CalibrationError(f"{on_stale=} must be one of {', '.join(get_args(OnStale))}")
        for name, here in source_of(engine).items():
            if self.source.get(name, here) != here:
                raise CalibrationError(
                    f"calibration {self.id} is of {name} {self.source[name]!r}, this engine's is {here!r}; measure one here"
                )
        self.of(qubits)
        age = self.age_hours()
        if max_age is not None and age > max_age:
            words = f"calibration {self.id} is {age:.1f} hours old, more than {max_age:g}"
            if on_stale == "refuse":
                raise CalibrationError(f"{words}; measure a new one, or give on_stale='warn'")
            warnings.warn(f"{words}; it is used nevertheless", StaleCalibrationWarning, stacklevel=2)

    def _content(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "qubits": json.loads(cirq.to_json(list(self.qubits))),
            "counts": None if self.counts is None else self.counts.tolist(),
            "known": None if self.known is None else self.known.tolist(),
            "source": dict(self.source),
            "pattern": self.pattern,
            "provenance": asdict(self.provenance),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the calibration as JSON into a new file; raise FileExistsError if the file exists."""
        return write_new(path, json.dumps({**self._content(), "id": self.id}, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file that `save` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            CalibrationError: The file is not a readout calibration, or was changed since.
        """
        try:
            content = read_json(path, _Stored)
            calibration = cls(
                tuple(read_cirq_json(json.dumps(content["qubits"]), "qubits", list)),
                None if content["counts"] is None else np.array(content["counts"], dtype=np.int64),
                None if content["known"] is None else np.array(content["known"], dtype=float),
                content["source"],
                content["pattern"],
                content["provenance"],
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise CalibrationError(
                printable(f"{path} is not a readout calibration, or a damaged one: {problem_of(error)}; measure a new one")
            ) from error
        stored = content["id"]
        if stored != calibration.id:
            raise CalibrationError(
                printable(f"{path} is damaged: it says id {stored}, its content has {calibration.id}; measure a new one")
            )
        return calibration

    def card(self) -> Card:
        """Return the origin, the mean error rates, and the rates of each qubit with their standard errors."""
        e0, e1 = self.errors.mean(axis=0).tolist()
        facts = [*self.source.items(), ("pattern", self.pattern), ("created", self.provenance.created_utc)]
        facts.append(("mean e0, e1", f"{e0:.4f}, {e1:.4f}"))
        errors = zip(self.qubits, self.errors, np.sqrt(self.variances), strict=True)
        rows = [(q, *(f"{rate:.5f} ± {error:.5f}" for rate, error in zip(*of, strict=True))) for q, *of in errors]
        title = f"ReadoutCalibration of {quantity(len(self.qubits), 'qubit')}"
        return Card(title, facts, ("qubit", "e0 ± std. error", "e1 ± std. error"), rows)

    def __str__(self) -> str:
        where = ", ".join(f"{name} {value}" for name, value in self.source.items()) or "given by hand"
        lines = [f"readout calibration {self.id} of {self.provenance.created_utc}: {where}; pattern {self.pattern}"]
        lines.append(f"{'qubit':<12}{'e0':>9}{'std. error':>12}{'e1':>9}{'std. error':>12}{'shots 0':>10}{'shots 1':>10}")
        for q, (e0, e1), (s0, s1), shots in zip(self.qubits, self.errors, np.sqrt(self.variances), self.shots, strict=True):
            n0, n1 = ("known" if np.isinf(n) else f"{n:.0f}" for n in shots)
            lines.append(f"{q!s:<12}{e0:>9.5f}{s0:>12.5f}{e1:>9.5f}{s1:>12.5f}{n0:>10}{n1:>10}")
        return printable("\n".join(lines), lines=True)


def _whole_counts(counts: NDArray[Any]) -> IntArray:
    """Return counts as integers; what is not a whole number is refused rather than rounded."""
    array = np.asarray(counts)
    if array.dtype.kind not in "iuf" or not np.array_equal(array, np.trunc(array)):
        raise CalibrationError(f"counts={shown(counts)} must be whole numbers; give known= for error rates")
    if array.size and np.abs(array).max() >= 2.0**63:
        raise CalibrationError(f"counts={shown(counts)} must be below 2**63")
    return array.astype(np.int64)


def source_of(engine: Engine) -> dict[str, str]:
    """Return the origin of an engine's readout errors, as far as the engine describes it."""
    processor, described = engine.processor, engine.describe()
    source = {"engine": engine.name}
    if processor is not None:
        source |= {"processor": processor.id, "snapshot": processor.snapshot}
    content = {"content": described["content"]} if described.get("content") else {}
    return source | content | ({"noise": str(described["noise"])} if "noise" in described else {})
