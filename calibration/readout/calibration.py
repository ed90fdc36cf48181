"""A readout calibration as a value: how often each qubit is read wrong, how sure that is, and whose qubits they are.

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
from typing import Any, Literal, Self, TypeVar, get_args

import cirq
import numpy as np
from numpy.typing import NDArray

from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution, SharedUncertainty
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray, read_only
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.provenance import Provenance

FORMAT = "hattriq_cirq.ReadoutCalibration/1"
OnStale = Literal["refuse", "warn"]
IntArray = NDArray[np.int64]
_Qubit = TypeVar("_Qubit", bound=cirq.Qid)
_CLOCKS_DIFFER = 0.1  # hours by which a calibration may seem to be from the future


class CalibrationError(ValueError):
    """A calibration that cannot be used, with the reason."""


class StaleCalibrationWarning(UserWarning):
    """A calibration is older than wanted and was used all the same."""


@dataclass(frozen=True, eq=False)
class ReadoutCalibration:
    """How often each qubit is read wrong: counted, or taken as known.

    Args:
        qubits: physical ones, in order.
        counts: (qubits, 2, 2), how often each was prepared as the second index and read as the third; None for known rates.
        known: (qubits, 2), the chances e0 that 0 is read as 1 and e1 that 1 is read as 0, without error; None for counts.
        source: whose readout it is: `engine`, `processor`, `snapshot` and `noise`, as far as they apply.
        pattern: of the prepared states.
        provenance: versions, and when it was measured.

    Raises:
        CalibrationError: arrays of other shapes, a state that was never prepared, or rates outside 0 .. 1.
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
            raise CalibrationError("a readout calibration has either counts or known rates; give one of them")
        if self.counts is not None:
            counts = read_only(np.asarray(self.counts, dtype=np.int64))
            if counts.shape != (n, 2, 2) or counts.min() < 0 or counts.sum(axis=2).min() < 1:
                raise CalibrationError(
                    f"{counts.shape=} must be ({n}, 2, 2) counts [qubit, prepared, observed], each state prepared at least once"
                )
            object.__setattr__(self, "counts", counts)
        else:
            known = read_only(np.asarray(self.known, dtype=float))
            if known.shape != (n, 2) or not ((known >= 0) & (known <= 1)).all():
                raise CalibrationError(f"{self.known=} must be ({n}, 2) chances e0 and e1, each in 0 .. 1")
            object.__setattr__(self, "known", known)
        age = self.age_hours()
        if age < -_CLOCKS_DIFFER:
            raise CalibrationError(f"a readout calibration is dated {-age:.1f} hours in the future; set the clocks right")

    @classmethod
    def from_outcomes(
        cls,
        qubits: Sequence[cirq.Qid],
        patterns: NDArray[np.bool_],
        outcomes: Sequence[Distribution | QuasiDistribution],
        *,
        source: Mapping[str, str] | None = None,
        pattern: str = "given",
    ) -> Self:
        """From what the circuits of `calibration.measure.readout_programs` gave.

        Args:
            qubits: measured in this order.
            patterns: (circuits, qubits), which were prepared as 1; in every column both states, equally often.
            outcomes: one a circuit: counts, or all of them exact probabilities, which make the rates known.
            source: see the class.
            pattern: what the patterns are called.

        Returns:
            The calibration.

        Raises:
            CalibrationError: outcomes that another mitigation has changed, or both counted and exact ones.
        """
        totals = np.zeros((len(qubits), 2, 2))
        kinds = set()
        for prepared, outcome in zip(patterns, outcomes, strict=True):
            if not isinstance(outcome, Distribution):
                raise CalibrationError(
                    "calibration circuits were changed by another mitigation; in a pipeline put the readout last, so that its "
                    "circuits run as they are"
                )
            kinds.add(outcome.shots is None)
            measure = outcome.probabilities if outcome.shots is None else outcome.counts
            for i, state in enumerate(prepared):
                totals[i, int(state)] += measure.reshape(2**i, 2, -1).sum(axis=(0, 2))
        if len(kinds) != 1:
            raise CalibrationError("outcomes of calibration circuits must be all counted or all exact")
        if kinds == {True}:
            flips = np.stack([totals[:, 0, 1], totals[:, 1, 0]], axis=1) / totals.sum(axis=2)
            return cls(tuple(qubits), known=flips.clip(0, 1), source=source or {}, pattern=pattern)
        return cls(tuple(qubits), counts=np.rint(totals).astype(np.int64), source=source or {}, pattern=pattern)

    @classmethod
    def from_mapping(cls, rates: Mapping[_Qubit, tuple[float, float]], shots: int | None = None) -> Self:
        """From the chances (e0, e1) of each qubit; known, or as uncertain as if counted in so many shots a state."""
        values = np.array([list(pair) for pair in rates.values()], dtype=float).reshape(len(rates), -1)
        known = cls(tuple(rates), known=values)
        if shots is None:
            return known
        wrong = np.rint(values * shots).astype(np.int64)
        right = shots - wrong
        counts = np.stack([right[:, 0], wrong[:, 0], wrong[:, 1], right[:, 1]], axis=1).reshape(-1, 2, 2)
        return cls(known.qubits, counts=counts)

    @classmethod
    def from_processor(cls, processor: Processor, *, measured_utc: str | None = None) -> Self:
        """From what a processor's own calibration says of its readout, taken as known.

        Args:
            processor: such as one of `Processor.from_calibration`, which knows both generations of metric names.
            measured_utc: ISO 8601; None takes the time in the name of the processor's snapshot, or now if there is none.

        Returns:
            The calibration of all its qubits.

        Raises:
            CalibrationError: the processor's calibration has no readout errors.
        """
        if not processor.readout_errors:
            raise CalibrationError(f"the calibration of {processor.id} says nothing of its readout; measure it")
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
        """(qubits, 2), e0 and e1 of each: k / n for k wrong readings of n, which is unbiased however few they are.

        Drawing them to 1/2, as (k + 1/2) / (n + 1) does, would move all qubits alike: by half a standard error of each at
        one expected flip, and the more of an attribution the more qubits there are.
        """
        return read_only(self._wrong / self.shots) if self.known is None else self.known

    @cached_property
    def _wrong(self) -> FloatArray:
        """(qubits, 2), wrong readings."""
        assert self.counts is not None
        return np.stack([self.counts[:, 0, 1], self.counts[:, 1, 0]], axis=1).astype(float)

    @cached_property
    def shots(self) -> FloatArray:
        """(qubits, 2), in how many shots each was prepared as 0 and as 1; infinite where rates are known."""
        return np.full((len(self.qubits), 2), np.inf) if self.counts is None else self.counts.sum(axis=2).astype(float)

    @cached_property
    def variances(self) -> FloatArray:
        """(qubits, 2), of `errors`: p (1 - p) / n at p = (k + 1/2) / (n + 1), never 0; 0 where rates are known.

        That p is the mean of Jeffreys' posterior, as in Brown, Cai and DasGupta (2001). Where one flip is expected this is
        1.5 times too large on the average; where 2 to 5 are, pulls spread by up to 1.25: so few are not normally distributed.
        """
        if self.counts is None:
            return np.zeros((len(self.qubits), 2))
        p = (self._wrong + 0.5) / (self.shots + 1)
        return read_only(p * (1 - p) / self.shots)

    @cached_property
    def shared(self) -> SharedUncertainty:
        """The covariance of e0, e1 of the first qubit, e0, e1 of the next, and so on: (2 qubits, 2 qubits), diagonal.

        Qubits are read in the same shots, and their numbers of flips are independent if their flips are.
        """
        return SharedUncertainty(np.diag(self.variances.reshape(-1)))

    @cached_property
    def positions(self) -> dict[cirq.Qid, int]:
        """Where each qubit stands in `qubits`."""
        return {q: i for i, q in enumerate(self.qubits)}

    @cached_property
    def id(self) -> str:
        """A short digest of everything in it."""
        return hashlib.sha256(json.dumps(self._content(), sort_keys=True).encode()).hexdigest()[:12]

    def confusion(self, qubit: cirq.Qid) -> FloatArray:
        """(2, 2), [prepared, observed], of one qubit; rows sum to 1."""
        if qubit not in self.positions:
            raise CalibrationError(f"calibration {self.id} does not know qubit {qubit}")
        e0, e1 = self.errors[self.positions[qubit]]
        return np.array([[1 - e0, e0], [e1, 1 - e1]])

    def of(self, qubits: Sequence[cirq.Qid]) -> ReadoutCalibration:
        """The calibration of some of its qubits, in their order; the same object when asked again."""
        wanted = tuple(qubits)
        missing = [q for q in wanted if q not in self.positions]
        if missing:
            raise CalibrationError(
                f"calibration {self.id} does not know qubits {', '.join(map(str, missing))}; measure one of all of them"
            )
        if wanted == self.qubits:
            return self
        if wanted not in self._restricted:
            rows = [self.positions[q] for q in wanted]
            counts = None if self.counts is None else self.counts[rows]
            known = None if self.known is None else self.known[rows]
            self._restricted[wanted] = replace(self, qubits=wanted, counts=counts, known=known)
        return self._restricted[wanted]

    @cached_property
    def _restricted(self) -> dict[tuple[cirq.Qid, ...], ReadoutCalibration]:
        return {}

    def age_hours(self, now: datetime | None = None) -> float:
        """How long ago it was measured."""
        try:
            measured = datetime.fromisoformat(self.provenance.created_utc)
        except ValueError as error:
            raise CalibrationError(f"{self.provenance.created_utc=} is no time: {error}") from None
        return ((now or datetime.now(UTC)) - measured.replace(tzinfo=measured.tzinfo or UTC)).total_seconds() / 3600

    def check(
        self, engine: Engine, qubits: Sequence[cirq.Qid], max_age: float | None = None, on_stale: OnStale = "refuse"
    ) -> None:
        """Refuses to be used where it does not belong.

        Args:
            engine: whose outcomes are to be corrected.
            qubits: that they are read from.
            max_age: hours; None lets it be of any age.
            on_stale: what to do with an older one, refuse or warn.

        Raises:
            CalibrationError: measured elsewhere, without one of the qubits, or too old.
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
            warnings.warn(f"{words}; it is used all the same", StaleCalibrationWarning, stacklevel=2)

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
        """Writes it as JSON into a new file. Raises FileExistsError if there is one."""
        return write_new(path, json.dumps({**self._content(), "id": self.id}, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            CalibrationError: it is no readout calibration, or was changed since.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise CalibrationError(f"{path} has format {content['format']!r}, must be {FORMAT!r}")
            made = cls(
                tuple(cirq.read_json(json_text=json.dumps(content["qubits"]))),
                None if content["counts"] is None else np.array(content["counts"], dtype=np.int64),
                None if content["known"] is None else np.array(content["known"], dtype=float),
                dict(content["source"]),
                content["pattern"],
                Provenance(**content["provenance"]),
            )
            stored = content["id"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CalibrationError(
                f"{path} is no readout calibration, or a damaged one: {error!r}; measure a new one"
            ) from error
        if stored != made.id:
            raise CalibrationError(f"{path} is damaged: it says id {stored}, its content has {made.id}; measure a new one")
        return made

    def __str__(self) -> str:
        where = ", ".join(f"{name} {value}" for name, value in self.source.items()) or "given by hand"
        lines = [f"readout calibration {self.id} of {self.provenance.created_utc}: {where}; pattern {self.pattern}"]
        lines.append(f"{'qubit':<12}{'e0':>9}{'std. error':>12}{'e1':>9}{'std. error':>12}{'shots 0':>10}{'shots 1':>10}")
        for q, (e0, e1), (s0, s1), shots in zip(self.qubits, self.errors, np.sqrt(self.variances), self.shots, strict=True):
            n0, n1 = ("known" if np.isinf(n) else f"{n:.0f}" for n in shots)
            lines.append(f"{q!s:<12}{e0:>9.5f}{s0:>12.5f}{e1:>9.5f}{s1:>12.5f}{n0:>10}{n1:>10}")
        return "\n".join(lines)


def source_of(engine: Engine) -> dict[str, str]:
    """Whose readout an engine's outcomes have, as far as it says."""
    processor, described = engine.processor, engine.describe()
    source = {"engine": engine.name}
    if processor is not None:
        source |= {"processor": processor.id, "snapshot": processor.snapshot}
    return source | ({"noise": str(described["noise"])} if "noise" in described else {})
