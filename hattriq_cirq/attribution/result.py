"""The result of an attribution as a value: the map, its errors, its cost and its assumptions."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal, NotRequired, TypedDict

import numpy as np

from hattriq_cirq.attribution.answer import Verdict
from hattriq_cirq.foundation import array_files
from hattriq_cirq.foundation.array_files import Joined, read_arrays, write_arrays
from hattriq_cirq.foundation.arrays import (
    Array,
    FloatArray,
    IntArray,
    all_finite,
    largest_first,
    make_read_only,
    normal_interval,
    read_only,
    zeros,
)
from hattriq_cirq.foundation.card import ROWS, Card, Displayed
from hattriq_cirq.foundation.checks import as_count, check_type, set_fields
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.frozen import Frozen, owned
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.foundation.reading import FileError, problem_of
from hattriq_cirq.foundation.schema import UPDATE, Count, load, parse_json
from hattriq_cirq.foundation.text import quantity, rounded

#: The second has one number in place of a large array that repeats it; the third has the data contract or classes as well.
_FORMATS = "hattriq_cirq.Attribution/1", "hattriq_cirq.Attribution/2", "hattriq_cirq.Attribution/3"
_LIKE_VALUES = ("stderr", "imag_values", "rare_stderr", "systematic", "baseline")  # may repeat one number for all values
_REAL = (
    *("values", "stderr", "imag_values", "f_input", "f_baseline", "completeness_gap_stderr", "rare_stderr", "systematic"),
    *("f_input_stderr", "f_baseline_stderr", "probability"),
)
_CLASSES = ("target", "predicted")
_PER_INPUT = ("f_input", "f_baseline", "completeness_gap_stderr", "f_input_stderr", "f_baseline_stderr", "probability")
_AMPLITUDES = ("x", "baseline")
_NO_CONTRACT = DataContract()
#: Arrays of a file with the kinds of numbers that they may hold.
_KINDS = {"meta": "U"} | dict.fromkeys(_REAL, "f") | dict.fromkeys(_AMPLITUDES, "fc") | dict.fromkeys(_CLASSES, "i")
_CSV_COLUMNS = ("input", "feature", "bits", "x", "name", "unit", "value", "low", "high", "stderr", "systematic")
_ANSWERED = 3  # inputs of a batch whose answers are printed
_OF_ONE_CIRCUIT = ("two_qubit_gates", "variance_factor")  # costs of the most expensive circuit; all others are sums


@dataclass(frozen=True)
class Cost:
    """Cost of a result on a quantum computer; all zeros for an exact result.

    Args:
        circuits: Number of circuits, for all inputs and path steps together.
        shots: Number of repetitions of these circuits in all.
        two_qubit_gates: Number of two-qubit gates of the largest circuit as it was run.
        programs: Number of different circuits that were compiled; circuits of one structure are points of a sweep of one
            program.
        mitigation_circuits: Number of additional circuits for a mitigation.
        mitigation_shots: Number of repetitions of these, in addition to `shots`.
        variance_factor: Upper bound on the ratio of the map's variance to that of the same shots without mitigation.

    Example:
        >>> (Cost(circuits=2, shots=100) + Cost(circuits=1, shots=50)).shots
        150
    """

    circuits: Count = 0
    shots: Count = 0
    two_qubit_gates: Count = 0
    programs: Count = 0
    mitigation_circuits: Count = 0
    mitigation_shots: int = 0
    variance_factor: float = 1.0

    def __add__(self, other: Cost) -> Cost:
        """Return the cost of two results together."""
        pairs = {name: (own, getattr(other, name)) for name, own in asdict(self).items()}
        return Cost(**{name: max(pair) if name in _OF_ONE_CIRCUIT else sum(pair) for name, pair in pairs.items()})


@dataclass(frozen=True)
class Assumptions(Frozen):
    """Settings of the call that computed a result, as text.

    Example:
        >>> Assumptions("quadratic", "exact", "identity", ("Z(q(0))",), "constant 0").engine
        'exact'
    """

    form: str
    rule: str
    head: str
    observables: tuple[str, ...]
    baseline: str
    precision: str = "float64"
    estimator: str = "exact"
    engine: str = "exact"
    seed: int | None = None
    calibration_id: str | None = None
    mitigation: str = "none"
    notes: tuple[str, ...] = ()
    scores: str = "exact"
    input: str = "amplitudes"


class _Meta(TypedDict):
    """JSON that a saved attribution holds beside its arrays."""

    format: Literal["hattriq_cirq.Attribution/1", "hattriq_cirq.Attribution/2", "hattriq_cirq.Attribution/3"]
    assumptions: Assumptions
    cost: Cost
    provenance: Provenance
    contract: NotRequired[Any]


class TopFeature(tuple[int, float]):
    """A feature of one input and its value, as a pair (index, value) that also has its name and its unit.

    Args:
        feature: Index of the feature.
        value: Its attribution.
        name: Its name.
        unit: Its unit, empty for none.

    Example:
        >>> feature, value = TopFeature(3, 0.25, "mean radius", "mm")
        >>> feature, value
        (3, 0.25)
    """

    name: str
    unit: str

    def __new__(cls, feature: int, value: float, name: str, unit: str) -> TopFeature:
        """Return the pair with its name and its unit."""
        self = super().__new__(cls, (feature, value))
        self.name, self.unit = name, unit
        return self

    @property
    def feature(self) -> int:
        """Index of the feature."""
        return self[0]

    @property
    def value(self) -> float:
        """Attribution of the feature."""
        return self[1]

    def __getnewargs__(self) -> tuple[int, float, str, str]:
        return *self, self.name, self.unit

    def __repr__(self) -> str:
        return f"TopFeature({self.feature}, {self.value:+.6g}, {self.name!r}, {self.unit!r})"


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(Displayed, Frozen):
    """Attributions of one input or a batch; all arrays are read-only.

    Args:
        values: Signed share of each feature in f_input - f_baseline, (..., features).
        stderr: Standard error of each value, (..., features); 0 for an exact result.
        imag_values: Part of `values` that is due to the imaginary parts of the amplitudes, (..., features); None for real
            inputs.
        x: Inputs, (..., features); without entries, (..., 0), for a state that a circuit prepared, whose amplitudes
            are not known.
        baseline: Baselines, (..., features), or for a set of baselines with an axis in front, (baselines, ..., features), in
            which the axes of the inputs may have length 1; without entries where x has none, and the baseline is zero.
        f_input: Score at the input, (...,).
        f_baseline: Score at the baseline, or its mean over the set, (...,).
        completeness_gap_stderr: Standard error of `completeness_gap`, (...,).
        assumptions: Form, rule, head, observable, baseline, estimator, engine, seed and mitigation.
        cost: Number of circuits, shots and two-qubit gates.
        provenance: Versions and time.
        rare_stderr: Standard deviation that outcomes too rare to have been counted add to each value in an interval,
            (..., features), see `Estimate.rare_stderr`; None for an exact result or a file of version 0.1.
        systematic: Standard deviation of what noise and its correction may leave in each value, (..., features), which more
            shots do not reduce; None where nothing is known of it, as on an engine without a calibration.
        f_input_stderr: Standard error of `f_input`, (...,), if the scores were measured; None if they were computed.
        f_baseline_stderr: Standard error of `f_baseline`, (...,), if the scores were measured.
        contract: Form of the data that the model was trained on, with the names of features and classes; None if it is not
            recorded.
        target: Index of the class whose score was attributed, (...,); None for a score whose sign tells two classes apart.
        predicted: Index of the class that the model predicts, (...,); None if only the score is known.
        probability: Probability of that class by the model, (...,), between 0 and 1; None if it is not known.

    Raises:
        ValueError: The shapes do not match, or a value is not finite.

    Example:
        >>> import hattriq_cirq as hq
        >>> a = hq.integrated_gradients(hq.ring_ansatz(1, 0), [0.6, 0.8], baseline=0)
        >>> a.values.round(2)
        array([ 0.36, -0.64])
    """

    values: FloatArray
    stderr: FloatArray
    imag_values: FloatArray | None
    x: Array
    baseline: Array
    f_input: FloatArray
    f_baseline: FloatArray
    completeness_gap_stderr: FloatArray
    assumptions: Assumptions
    cost: Cost = Cost()
    provenance: Provenance = field(default_factory=Provenance.now)
    rare_stderr: FloatArray | None = None
    systematic: FloatArray | None = None
    f_input_stderr: FloatArray | None = None
    f_baseline_stderr: FloatArray | None = None
    contract: DataContract | None = None
    target: IntArray | None = None
    predicted: IntArray | None = None
    probability: FloatArray | None = None

    def __post_init__(self) -> None:
        arrays = {name: owned(np.asarray(getattr(self, name))) for name in _array_names(self)}
        for name, array in arrays.items():
            _check_finite(name, array)
        set_fields(self, **arrays)
        lead = self.values.shape[:-1]
        for name in ("stderr", "imag_values", "rare_stderr", "systematic"):
            if name in arrays and arrays[name].shape != self.values.shape:
                raise ValueError(f"{name}.shape={arrays[name].shape} must be that of values, {self.values.shape}")
        shape = self.values.shape if self.knows_input else (*lead, 0)
        if self.x.shape != shape:
            raise ValueError(f"x.shape={self.x.shape} must be that of values, {self.values.shape}")
        is_set = self.baseline.ndim == self.values.ndim + 1
        if self.baseline.shape != shape and not (
            is_set
            and all(own in (1, size) for own, size in zip(self.baseline.shape[1:-1], lead, strict=True))
            and self.baseline.shape[-1] == self.values.shape[-1]
        ):
            raise ValueError(
                f"baseline.shape={self.baseline.shape} must be {self.values.shape}, or a set of them with an axis in front"
            )
        for name in (*_PER_INPUT, *_CLASSES):
            if name in arrays and arrays[name].shape != lead:
                raise ValueError(f"{name}.shape={arrays[name].shape} must be {lead}, one number per input")
        check_type(self.contract, "contract", DataContract | None, "a DataContract, such as that of a model, or None")
        for name in _CLASSES:
            if name in arrays:
                _check_classes(arrays[name], name, self.contract)

    @classmethod
    def of_checked(
        cls,
        *,
        values: FloatArray,
        imag_values: FloatArray | None,
        x: Array,
        baseline: Array,
        f_input: FloatArray,
        f_baseline: FloatArray,
        assumptions: Assumptions,
        contract: DataContract | None,
        target: IntArray | None = None,
    ) -> Attribution:
        """Return the attribution of an exact result, whose arrays match in shape and are its own, without copies of them.

        Args:
            values: Values, made read-only.
            imag_values: Part of the imaginary parts, made read-only; None for real inputs.
            x: Checked inputs, made read-only.
            baseline: Checked baselines, read-only.
            f_input: Scores at the inputs.
            f_baseline: Scores at the baselines.
            assumptions: Settings.
            contract: Form of the data of the model; None if it is not recorded.
            target: Index of the class of every input that was attributed, made read-only; None without classes.

        Raises:
            ValueError: A value or a score is not finite.
        """
        if not (all_finite(values) and all_finite(f_input) and all_finite(f_baseline)):
            for name, checked in (("values", values), ("f_input", f_input), ("f_baseline", f_baseline)):
                _check_finite(name, checked)
        make_read_only(values, x, f_input, f_baseline)
        for optional in (imag_values, target):
            if optional is not None:
                make_read_only(optional)
        self = object.__new__(cls)  # fields that are left out have their defaults
        self.__dict__.update(
            values=values,
            stderr=zeros(values.shape),
            imag_values=imag_values,
            x=x,
            baseline=baseline,
            f_input=f_input,
            f_baseline=f_baseline,
            completeness_gap_stderr=zeros(values.shape[:-1]),
            assumptions=assumptions,
            provenance=Provenance.now(),
            contract=contract,
            target=target,
        )
        return self

    def feature_name(self, feature: int) -> str:
        """Return the name of a feature: its column, its pixel or its basis state, see `DataContract.feature_name`."""
        return (self.contract or _NO_CONTRACT).feature_name(feature, self.n_features)

    def unit(self, feature: int) -> str:
        """Return the unit of a feature, empty if it has none or is not known."""
        return "" if self.contract is None else self.contract.unit(feature)

    def class_name(self, label: int) -> str:
        """Return the name of a class by its index, see `DataContract.class_name`."""
        return (self.contract or _NO_CONTRACT).class_name(label)

    @property
    def knows_input(self) -> bool:
        """True if the amplitudes of the inputs are known; False for a state that a circuit prepared."""
        return bool(self.x.shape[-1])

    @property
    def completeness_gap(self) -> FloatArray:
        """Sum of the values minus (f_input - f_baseline), (...,); its error is `completeness_gap_stderr`."""
        gap: FloatArray = self.values.sum(axis=-1) - (self.f_input - self.f_baseline)
        return gap

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Return the low and high ends of the interval of each value, (..., features) each.

        A 95% interval of sampled values covers every feature in at least 93% of runs, also where few shots or none fell on it:
        it is wider than 1.96 standard errors by outcomes too rare to have been counted (`rare_stderr`), and by what the errors
        of a processor may leave (`systematic`). Where nothing is known of these, it covers shot noise only.

        Args:
            level: Probability that an interval holds the exact value, between 0 and 1.

        Returns:
            values -+ z * sqrt(stderr**2 + rare_stderr**2 + systematic**2), with z the quantile of the normal distribution.

        Raises:
            ValueError: The level is out of range.

        Example:
            >>> import hattriq_cirq as hq
            >>> settings = {"estimator": hq.ResolvedHadamardTest(), "engine": hq.cirq_simulator(seed=1), "shots": 1000}
            >>> low, high = hq.integrated_gradients(hq.ring_ansatz(1, 0), [0.6, 0.8], baseline=0, **settings).interval()
            >>> bool((low < [0.36, -0.64]).all() and (high > [0.36, -0.64]).all())
            True
        """
        return normal_interval(self.values, self.stderr, level, self.rare_stderr, self.systematic)

    @property
    def real_values(self) -> FloatArray:
        """Part of `values` that is due to the real parts of the amplitudes, (..., features).

        Raises:
            ValueError: The input is complex and the values were measured with circuits, which give the sum of both parts only.
        """
        if self.imag_values is None and (not self.knows_input or np.iscomplexobj(self.x)):
            raise ValueError("circuits measure the sum of real and imaginary parts; leave out estimator for each part")
        return self.values if self.imag_values is None else self.values - self.imag_values

    @property
    def n_features(self) -> int:
        """Number of features of an input."""
        return int(self.values.shape[-1])

    def __len__(self) -> int:
        if self.values.ndim == 1:
            raise TypeError("a single attribution has no length; it has n_features")
        return len(self.values)

    def __getitem__(self, index: int | slice) -> Attribution:
        """Return one input of a batch, or a slice of the batch."""
        if self.values.ndim == 1:
            raise TypeError("a single attribution cannot be indexed; use .values[k] for a feature")
        per_input = [name for name in _array_names(self) if name != "baseline"]
        parts = {name: getattr(self, name)[index] for name in per_input}
        if self.baseline.ndim == self.values.ndim:
            baseline = self.baseline[index]
        else:  # a set, the same for every input
            baseline = self.baseline if isinstance(index, slice) else self.baseline[:, 0]
        return replace(self, **parts, baseline=baseline)

    def __iter__(self) -> Iterator[Attribution]:
        """Iterate over the inputs of a batch."""
        return (self[i] for i in range(len(self)))

    def as_batch(self) -> Attribution:
        """Return the inputs one after the other, (inputs, features), in the order of their axes; one is a batch of one.

        Example:
            >>> import hattriq_cirq as hq
            >>> a = hq.integrated_gradients(hq.ring_ansatz(1, 0), [[[0.6, 0.8], [0.8, 0.6]]], baseline=0)
            >>> a.values.shape, a.as_batch().values.shape
            ((1, 2, 2), (2, 2))
        """
        lead = self.values.shape[:-1]
        if len(lead) == 1:
            return self
        count = int(np.prod(lead))
        arrays = {name: getattr(self, name) for name in _array_names(self)}
        parts = {name: array.reshape(count, *array.shape[len(lead) :]) for name, array in arrays.items() if name != "baseline"}
        if self.baseline.ndim == self.values.ndim:
            baseline = self.baseline.reshape(parts["x"].shape)
        else:  # a set, with axes of length 1 where it is the same for every input
            sizes = lead if any(size > 1 for size in self.baseline.shape[1:-1]) else (1,) * len(lead)
            baseline = np.broadcast_to(self.baseline, (len(self.baseline), *sizes, self.n_features))
            baseline = baseline.reshape(len(baseline), -1, self.n_features)
        return replace(self, **parts, baseline=baseline)

    def top(self, count: int = 5) -> list[TopFeature]:
        """Return the features of a single input with the largest absolute attribution, largest first.

        Args:
            count: Number of features, at most.

        Returns:
            Pairs (index, value), which have the name and the unit of the feature as `.name` and `.unit`.

        Raises:
            TypeError: The attribution is a batch.

        Example:
            >>> import hattriq_cirq as hq
            >>> a = hq.integrated_gradients(hq.ring_ansatz(1, 0), [0.6, 0.8], baseline=0)
            >>> [(feature, round(value, 2)) for feature, value in a.top()], a.top()[0].name
            ([(1, -0.64), (0, 0.36)], '|1>')
        """
        if self.values.ndim != 1:
            raise TypeError(f"{self.values.shape=}: choose one input first, for example a[0].top()")
        order = largest_first(self.values)[:count].tolist()
        return [TopFeature(k, float(self.values[k]), self.feature_name(k), self.unit(k)) for k in order]

    def answer(self, index: int | None = None, *, count: int = 5) -> str:
        """Return one sentence that answers why: the predicted class or the score, and the features with the largest share.

        Measured numbers have half of their 95% interval after them. Names are those of `contract`, made printable.

        Args:
            index: Input of a batch; None for a single input.
            count: Number of features to name, at most.

        Raises:
            TypeError: An input of a batch must be chosen, or there is only one.

        Example:
            >>> import hattriq_cirq as hq
            >>> from hattriq_cirq.foundation.contract import DataContract
            >>> contract = DataContract(columns=("length", "width"), classes=("no", "yes"))
            >>> model = hq.ring_ansatz(1, 0).with_contract(contract)
            >>> hq.integrated_gradients(model, [0.6, 0.8], baseline=0).answer()
            "score -0.28, class 'no': width -0.64, length +0.36"
        """
        one = self if index is None else self[as_count(index, "index", 0)]
        if one.values.ndim != 1:
            raise TypeError(f"{one.values.shape=}: choose one input, for example a.answer(0)")
        top = [each for each in one.top(as_count(count, "count")) if each.value]
        low, high = one.interval()
        halves = (high - low) / 2
        features = [(each.name, each.value, float(halves[each.feature])) for each in top]
        return one.verdict().sentence(features, int(np.count_nonzero(one.values)) - len(top))

    def verdict(self) -> Verdict:
        """Return what the model says of a single input: its text is the predicted class, or the score with its class.

        Example:
            >>> import hattriq_cirq as hq
            >>> a = hq.integrated_gradients(hq.ring_ansatz(1, 0), [0.6, 0.8], baseline=0)
            >>> str(a.verdict())
            'score -0.28'
        """
        half = 0.0
        if self.f_input_stderr is not None:
            low, high = normal_interval(self.f_input, self.f_input_stderr, 0.95)
            half = float(high - low) / 2
        target, predicted = (None if of is None else int(of) for of in (self.target, self.predicted))
        probability = None if self.probability is None else float(self.probability)
        head, contract = self.assumptions.head, self.contract or _NO_CONTRACT
        return Verdict(float(self.f_input), half, head, contract, target, predicted, probability)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Attribution):
            return NotImplemented
        names = {f.name for f in fields(self)} - set(_array_names(self)) - set(_array_names(other))
        return (
            _array_names(self) == _array_names(other)
            and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in _array_names(self))
            and all(getattr(self, name) == getattr(other, name) for name in names)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        lead = self.values.shape[:-1]
        inputs = quantity(int(np.prod(lead)), "input") if lead else "one input"
        a = self.assumptions
        lines = [
            *self._answers(),
            f"Attribution of {inputs}, {self.n_features} features",
            f"  observable {', '.join(a.observables)}; form {a.form}; head {a.head}; baseline {a.baseline}",
            f"  estimator {a.estimator}; rule {a.rule}; engine {a.engine}; seed {a.seed}; {a.precision}",
        ]
        error = float(np.max(self.completeness_gap_stderr, initial=0.0))
        largest = float(np.max(np.abs(self.completeness_gap), initial=0.0))
        if lead:
            lines.append(f"  completeness gap at most {largest:.1e} (standard error at most {error:.1e})")
        else:
            lines.append(
                f"  score {self._score('f_input')}, at the baseline {self._score('f_baseline')}; "
                f"completeness gap {self.completeness_gap:+.1e} (standard error {error:.1e})"
            )
        if self.systematic is not None:
            parts = (float(np.max(part, initial=0.0)) for part in (self.stderr, self.systematic))
            lines.append("  errors: standard error at most {:.1e}, systematic part at most {:.1e}".format(*parts))
        c = self.cost
        lines.append(
            f"  cost: {quantity(c.circuits, 'circuit')}, {quantity(c.shots, 'shot')}, "
            f"{quantity(c.two_qubit_gates, 'two-qubit gate')}, {c.programs} compiled"
        )
        more = f"{quantity(c.mitigation_circuits, 'circuit')}, {quantity(c.mitigation_shots, 'shot')} more"
        if a.mitigation != "none":
            lines.append(f"  mitigation {a.mitigation}: {more}; variance times {c.variance_factor:.2f}")
        elif c.mitigation_circuits:
            lines.append(f"  check by known answers: {more}")
        lines += [f"  note: {note}" for note in a.notes]
        return printable("\n".join(lines), lines=True)

    def card(self) -> Card:
        """Return the answer with the largest features of a single input, or the answers to the first inputs of a batch."""
        a, c = self.assumptions, self.cost
        facts: list[tuple[str, object]] = [
            ("score of", f"{', '.join(a.observables)}; form {a.form}; head {a.head}"),
            ("baseline", a.baseline),
            ("computed by", f"{a.estimator}; rule {a.rule}; engine {a.engine}"),
        ]
        if c.circuits:
            facts.append(("cost", f"{quantity(c.circuits, 'circuit')}, {quantity(c.shots, 'shot')}"))
        gap, error = (np.max(np.abs(of), initial=0.0) for of in (self.completeness_gap, self.completeness_gap_stderr))
        facts.append(("completeness gap", f"at most {gap:.1e} (standard error {error:.1e})"))
        if self.values.ndim != 1:
            return self._batch_card(facts)
        top, (low, high) = self.top(ROWS), self.interval()
        is_measured = bool((high > low).any())
        values = rounded([each.value for each in top], digits=3)
        rows = []
        for each, value in zip(top, values, strict=True):
            k = each.feature
            ends = [f"{low[k]:+.3g} to {high[k]:+.3g}"] if is_measured else []
            x = f"{self.x[k]:.4g}" if self.knows_input else "unknown"
            rows.append((f"{each.name} ({each.unit})" if each.unit else each.name, x, value, *ends))
        header = ["feature", "amplitude", "attribution", *(["95% interval"] if is_measured else [])]
        more = self.n_features - len(top)
        notes = [*([f"{quantity(more, 'more feature')}"] if more else []), *a.notes]
        return Card(self.answer(), facts, header, rows, [each.value for each in top], notes=notes)

    def _batch_card(self, facts: Sequence[tuple[str, object]]) -> Card:
        """Return the answers to the first inputs of a batch."""
        count = self.f_input.size
        title = f"Attribution of {quantity(count, 'input')}, {self.n_features} features"
        answers = list(islice(self._answers_of_batch(), ROWS))
        rest = [quantity(count - ROWS, "more input")] if count > ROWS else []
        header, notes = ("input", "answer") if answers else (), [*rest, *self.assumptions.notes]
        return Card(title, facts, header, answers, numbers=2, notes=notes)

    def _answers(self) -> list[str]:
        """Return the answer of a single input, or those of the first inputs of a batch."""
        if self.values.ndim == 1:
            return [self.answer()]
        left = self.f_input.size - _ANSWERED
        more = [f"... and {quantity(left, 'more input')}"] if left > 0 else []
        return [*(f"input {name}: {answer}" for name, answer in islice(self._answers_of_batch(), _ANSWERED)), *more]

    def _answers_of_batch(self) -> Iterator[tuple[str, str]]:
        """Yield the place of each input of a batch as text, such as `3` or `0, 3`, with its answer."""
        for place in np.ndindex(self.f_input.shape):
            one = self
            for index in place:
                one = one[index]
            yield ", ".join(map(str, place)), one.answer(count=3)

    def _score(self, name: str) -> str:
        """Return the score of a single input as text, with its standard error if it was measured."""
        error = getattr(self, f"{name}_stderr")
        return f"{getattr(self, name):+.6f}" + ("" if error is None else f" +- {error:.6f} (measured)")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the attribution to a new `.npz` file without loss; a file that exists raises FileExistsError.

        Arrays on disk, as those of inputs from `numpy.memmap`, are read and written part by part. Arrays of 16 MiB or more are
        not compressed, so that `load` needs no memory for them.
        """
        arrays: dict[str, Array | Joined] = {name: getattr(self, name) for name in _array_names(self)}
        return self._write(path, arrays | {name: self._repeated(name) for name in _LIKE_VALUES if self._repeats(name)})

    def _repeats(self, name: str) -> bool:
        """Return True for a large array that repeats one number, and takes no memory."""
        array = getattr(self, name)
        return array is not None and array.nbytes >= array_files.ON_DISK and not any(array.strides)

    def _repeated(self, name: str) -> Array:
        """Return the number that an array repeats, with its number of axes."""
        number: Array = getattr(self, name)
        return number[(slice(1),) * number.ndim]

    def _write(self, path: str | os.PathLike[str], arrays: Mapping[str, Array | Joined]) -> Path:
        """Write arrays beside the settings of this attribution."""
        is_short = any(isinstance(arrays.get(name), np.ndarray) and self._repeats(name) for name in _LIKE_VALUES)
        names = {} if self.contract is None else {"contract": self.contract.to_record()}
        is_named = bool(names) or not arrays.keys().isdisjoint((*_CLASSES, "probability"))
        meta: dict[str, Any] = {"format": _FORMATS[2 if is_named else is_short], **names}
        meta |= {name: asdict(getattr(self, name)) for name in ("assumptions", "cost", "provenance")}
        return write_new(path, lambda file: write_arrays(file, {"meta": np.array(json.dumps(meta)), **arrays}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Attribution:
        """Read an attribution from a file that `save` wrote; arrays of 16 MiB or more stay on disk and are read where used.

        Raises:
            FileNotFoundError: The file does not exist.
            FileError: The file is not an attribution, or is damaged; a ValueError.
        """
        try:
            return cls._from_arrays(read_arrays(path), path)
        except (TypeError, ValueError) as error:
            raise FileError(f"{path} is not a saved attribution", problem_of(error)) from error

    @classmethod
    def _from_arrays(cls, content: dict[str, Array], path: str | os.PathLike[str]) -> Attribution:
        optional = {each.name for each in fields(cls) if each.default is None} | {"imag_values"}
        if missing := sorted(_KINDS.keys() - optional - content.keys()):
            raise ValueError(f"arrays {', '.join(missing)} are missing, found {', '.join(content)}")
        for name, array in content.items():
            if name not in _KINDS:
                raise ValueError(f"array {name} is one that this version does not know; {UPDATE}")
            if array.dtype.kind not in _KINDS[name]:
                raise ValueError(f"array {name} has type {array.dtype}")
        meta = load(_Meta, parse_json(str(content.pop("meta")), path), path)
        if meta["format"] != _FORMATS[0]:
            for name in _LIKE_VALUES:
                if name in content and content[name].size == 1:
                    content[name] = np.broadcast_to(read_only(content[name]), content["values"].shape)
        arrays: dict[str, Any] = {"imag_values": None, **content}
        contract = DataContract.from_record(meta["contract"]) if "contract" in meta else None
        settings: dict[str, Any] = {"assumptions": meta["assumptions"], "cost": meta["cost"], "provenance": meta["provenance"]}
        return cls(**arrays, **settings, contract=contract)

    @classmethod
    def join(cls, parts: Sequence[str | os.PathLike[str]], path: str | os.PathLike[str]) -> Path:
        """Write the attributions of batches in several files, one after the other, to a new file, with one of them in memory.

        Args:
            parts: Files that `save` wrote, with batches of one call of the same settings.
            path: Path of the new file.

        Returns:
            The path.

        Raises:
            FileExistsError: The path exists.
            ValueError: The files have different settings, arrays or sets of baselines.

        Example:
            >>> import hattriq_cirq as hq
            >>> a = hq.integrated_gradients(hq.ring_ansatz(1, 0), [[0.6, 0.8], [0.8, 0.6], [0.0, 1.0]], baseline=0)
            >>> files = [a[:2].save("first.npz"), a[2:].save("second.npz")]
            >>> Attribution.load(Attribution.join(files, "joined.npz")) == a
            True
        """
        first, cost, count = cls.load(parts[0]), Cost(), 0
        is_set, names = first.baseline.ndim > first.values.ndim, _array_names(first)
        short = {name: first._repeated(name) for name in _LIKE_VALUES if first._repeats(name)}
        for part in parts:
            own = cls.load(part)
            is_other = (own.assumptions, own.contract) != (first.assumptions, first.contract) or _array_names(own) != names
            if is_other or (is_set and not np.array_equal(own.baseline, first.baseline)):
                raise ValueError(f"{part} and {parts[0]} have different settings or baselines; join parts of one call")
            cost, count = cost + own.cost, count + len(own)
            short = {name: number for name, number in short.items() if (getattr(own, name) == number).all()}

        def of_parts(name: str) -> Iterator[Array]:
            may_repeat = name in _LIKE_VALUES
            return (getattr(cls.load(part), name) if may_repeat else read_arrays(part, (name,))[name] for part in parts)

        joined: dict[str, Array | Joined] = {name: Joined(count, of_parts(name)) for name in names}
        if is_set:
            joined["baseline"] = first.baseline
        return replace(first, cost=cost)._write(path, joined | short)

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write a new CSV file with one line per input and feature, input by input.

        Columns: input, feature, bits, x, name, unit, value; low and high, the ends of the 95% interval; stderr and systematic,
        the two parts of the error. The systematic part is empty where nothing is known of it.
        """
        n_qubits = (self.n_features - 1).bit_length()
        bits = [f"{k:0{n_qubits}b}" for k in range(self.n_features)]
        names, units = ([of(k) for k in range(self.n_features)] for of in (self.feature_name, self.unit))

        def write(file: IO[bytes]) -> None:
            text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(_CSV_COLUMNS)
            unknown = [""] * self.n_features
            for i, row in enumerate(np.ndindex(self.values.shape[:-1])):
                values, stderr = self.values[row], self.stderr[row]
                rare, systematic = (None if part is None else part[row] for part in (self.rare_stderr, self.systematic))
                low, high = normal_interval(values, stderr, 0.95, rare, systematic)
                x = self.x[row].tolist() if self.knows_input else unknown
                numbers = (part.tolist() for part in (values, low, high, stderr))
                last = unknown if systematic is None else systematic.tolist()
                lines = enumerate(zip(bits, x, names, units, *numbers, last, strict=True))
                writer.writerows((i, k, *line) for k, line in lines)
            text.detach()

        return write_new(path, write)


def _check_classes(indices: Array, name: str, contract: DataContract | None) -> None:
    """Raise ValueError unless an array holds indices of classes."""
    most = np.inf if contract is None or contract.classes is None else len(contract.classes)
    if indices.dtype.kind != "i" or not ((indices >= 0) & (indices < most)).all():
        found = f"{indices.dtype} {np.unique(indices)[:8].tolist()}"
        raise ValueError(f"{name} of an attribution is {found}, must be indices of classes, from 0 and below {most}")


def _check_finite(name: str, array: Array) -> None:
    if not all_finite(array):
        raise ValueError(f"{name} of an attribution must be finite")


def _array_names(a: Attribution) -> list[str]:
    names = (*_REAL, *_AMPLITUDES, *_CLASSES)
    return [name for name in names if getattr(a, name) is not None]
