"""Attribution maps of a report: rounded numbers of the features, with the names and sentences that a page shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import floor, isnan, log10
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.foundation.arrays import BoolArray, FloatArray, IntArray, largest_first, normal_interval
from hattriq_cirq.foundation.checks import ArgumentTypeError, check_type, shown
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.text import quantity

if TYPE_CHECKING:
    import pandas as pd

_DIGITS = 4  # of the largest value of a map
_CELLS = 65_536  # features of all maps of a page, about 2 MB
_STRONGEST = 64  # features of a map that are kept at least
_LISTED, _ALL_LISTED = 15, 20  # features that are listed first, and up to which all are
_PLAIN = range(-6, 1)  # units of numbers that are written without an exponent
_LEVEL = 0.95


@dataclass(frozen=True)
class ClassMap:
    """Map of one input for one class, as whole multiples of a power of 10.

    Args:
        name: Name of the class; empty where the score belongs to no class alone.
        sentence: Sentence that says what is predicted and which features decide.
        score: Score at the input and at the baseline, as text.
        unit: Exponent of the power of 10.
        values: Attribution of each feature of the input, (features,).
        halves: Half of the width of its 95% interval, (features,); None for exact values.
        sampled: Part of `halves` that more shots reduce, (features,); None where nothing is known of the other part.

    Raises:
        ValueError: The numbers of values and of errors differ.

    Example:
        >>> ClassMap("", "", "", -3, (160, -50)).texts(0)
        ('+0.160', '')
    """

    name: str
    sentence: str
    score: str
    unit: int
    values: tuple[int, ...]
    halves: tuple[int, ...] | None = None
    sampled: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("halves", "sampled"):
            errors = getattr(self, name)
            if errors is not None and len(errors) != len(self.values):
                raise ValueError(f"{len(errors)} {name} must be as many as the {len(self.values)} values")

    def texts(self, place: int) -> tuple[str, str]:
        """Return the value of a feature and its interval as texts; the second is empty for an exact value."""
        low, value, high = self._ends(place)
        interval = f"[{in_unit(low, self.unit)}, {in_unit(high, self.unit)}]" if high > low else ""
        return in_unit(value, self.unit), interval

    def _ends(self, place: int) -> tuple[int, int, int]:
        value, half = self.values[place], 0 if self.halves is None else self.halves[place]
        return value - half, value, value + half

    @cached_property
    def limits(self) -> tuple[int, int]:
        """Ends of the common axis of all bars; 0 lies between them."""
        ends = [self._ends(place) for place in range(len(self.values))]
        low, high = min((each[0] for each in ends), default=0), max((each[2] for each in ends), default=0)
        return (min(low, 0), max(high, 0)) if low or high else (-1, 1)

    def shares(self, place: int) -> tuple[float, float, float, float]:
        """Return the places of 0, the value and the ends of its interval along the axis, from 0 to 100."""
        low, value, high = self._ends(place)
        start, end = self.limits
        zero, at, left, right = (round(100 * (each - start) / (end - start), 2) for each in (0, value, low, high))
        return zero, at, left, right

    @cached_property
    def largest(self) -> int:
        """Largest size of a value; 1 if every value is 0."""
        return max(map(abs, self.values), default=0) or 1

    def is_certain(self, place: int) -> bool:
        """Return True if the interval of a feature leaves 0 out."""
        low, _, high = self._ends(place)
        return low > 0 or high < 0


@dataclass(frozen=True)
class InputMaps:
    """Maps of one input.

    Args:
        name: Name of the input.
        label: Name of the class that it is labelled with; empty where it is not known.
        shown: Values of its features as texts, with units, (features,).
        maps: Maps, one per class.
        first: Index of the map that is shown first.
        features: Features that are kept, by their indices in the names, in their order; None for all.
        remark: Further sentence, such as the change that would alter the answer; may be empty.

    Raises:
        ValueError: There is no map, or the numbers of features differ.
    """

    name: str
    label: str
    shown: tuple[str, ...]
    maps: tuple[ClassMap, ...]
    first: int = 0
    features: tuple[int, ...] | None = None
    remark: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.first < len(self.maps):
            raise ValueError(f"first={self.first} must be the index of one of {len(self.maps)} maps")
        for each in (*(one.values for one in self.maps), *(() if self.features is None else (self.features,))):
            if len(each) != len(self.shown):
                raise ValueError(f"{len(each)} numbers of {self.name} must be one for each of its {len(self.shown)} features")


@dataclass(frozen=True)
class Row:
    """Feature of a map as a page shows it.

    Args:
        name: Name of the feature.
        shown: Its value in the input.
        value: Attribution.
        interval: Interval of it; empty for an exact value.
        zero: Place of 0, in percent of the axis.
        start: Start of the bar.
        width: Width of the bar.
        whisker: Ends of the interval.
        sign: `plus`, `minus` or `none`.
    """

    name: str
    shown: str
    value: str
    interval: str
    zero: float
    start: float
    width: float
    whisker: tuple[float, float]
    sign: str


@dataclass(frozen=True)
class Maps:
    """Maps of some inputs, as a report shows them.

    Args:
        names: Names of the features.
        inputs: Maps of each input, at least one.
        quantity: What the value of a feature in an input is, such as "amplitude".
        shape: Numbers (rows, cols) of the image that the features make; None for a table or a state.
        signs: Meaning of the signs, in one sentence.
        note: Sentence on what the page leaves out; may be empty.

    Raises:
        ValueError: There is no input, or the features do not make the image.

    Example:
        >>> import hattriq_cirq as hq
        >>> a = hq.integrated_gradients(hq.ring_ansatz(1, 0), [0.6, 0.8], baseline=0)
        >>> [(row.name, row.value) for row in Maps.of([a]).rows()]
        [('|1>', '-0.6400'), ('|0>', '+0.3600')]
    """

    names: tuple[str, ...]
    inputs: tuple[InputMaps, ...]
    quantity: str = "input"
    shape: tuple[int, int] | None = None
    signs: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ValueError("maps of a report need at least one input")
        classes = len(self.inputs[0].maps)
        for each in self.inputs:
            if len(each.maps) != classes:
                raise ValueError(f"{each.name} has {len(each.maps)} maps; the first input has {classes}")
            kept = range(len(self.names)) if each.features is None else each.features
            if len(kept) != len(each.shown) or not set(kept) <= set(range(len(self.names))):
                raise ValueError(f"the features of {each.name} must be some of the {len(self.names)} that have names")
        if self.shape is not None and any(len(each.shown) != self.shape[0] * self.shape[1] for each in self.inputs):
            raise ValueError(f"shape={self.shape} must be that of an image of all {len(self.names)} features")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that were attributed; one for maps of the score alone."""
        return tuple(each.name for each in self.inputs[0].maps)

    @property
    def listed(self) -> int:
        """Number of features that are listed first."""
        features = len(self.inputs[0].shown)
        return features if features <= _ALL_LISTED else _LISTED

    @property
    def first(self) -> ClassMap:
        """Map that is shown first."""
        return self.inputs[0].maps[self.inputs[0].first]

    def rows(self) -> list[Row]:
        """Return the strongest features of the map that is shown first, in the order of their size."""
        one = self.first
        order = sorted(range(len(one.values)), key=lambda place: -abs(one.values[place]))[: self.listed]
        return [self._row(one, place) for place in order]

    def _row(self, one: ClassMap, place: int) -> Row:
        of_input = self.inputs[0]
        feature = place if of_input.features is None else of_input.features[place]
        zero, at, low, high = one.shares(place)
        value, interval = one.texts(place)
        return Row(
            name=self.names[feature],
            shown=of_input.shown[place],
            value=value,
            interval=interval,
            zero=zero,
            start=min(zero, at),
            width=round(abs(at - zero), 2),
            whisker=(low, high),
            sign=_sign(one.values[place]),
        )

    @property
    def ends(self) -> tuple[str, str]:
        """Ends of the axis of the map that is shown first."""
        low, high = self.first.limits
        return in_unit(low, self.first.unit), in_unit(high, self.first.unit)

    @property
    def scale(self) -> tuple[str, str]:
        """Ends of the colours of the map that is shown first."""
        return in_unit(-self.first.largest, self.first.unit), in_unit(self.first.largest, self.first.unit)

    @property
    def counted(self) -> str:
        """Sentence on the number of features that are listed first."""
        total = len(self.inputs[0].shown)
        return f"{self.listed} of {total} features{', the largest in size' if self.listed < total else ''}."

    def cells(self) -> Iterator[dict[str, Any]]:
        """Yield the pixels of the image that is shown first."""
        assert self.shape is not None  # as the page asks for the cells of images only
        one, shown = self.first, [abs(float((text or "0").split()[0])) for text in self.inputs[0].shown]
        brightest = max(shown) or 1.0
        for place, amplitude in enumerate(shown):
            row, col = divmod(place, self.shape[1])
            share = round(abs(one.values[place]) / one.largest, 3)
            sign = _sign(one.values[place])
            ink, certain = round(amplitude / brightest, 3), one.halves is not None and one.is_certain(place)
            yield {"row": row, "col": col, "ink": ink, "share": share, "sign": sign, "certain": certain}

    def data(self) -> dict[str, Any]:
        """Return what the script of the page needs beside the text on it."""
        inputs = [asdict(each) for each in self.inputs]
        for of_input in inputs:
            for one in of_input["maps"]:
                del one["sentence"]  # is on the page
        return {"names": self.names, "shape": self.shape, "inputs": inputs}

    @classmethod
    def of(
        cls,
        attributions: Sequence[Attribution],
        *,
        first: IntArray | None = None,
        samples: Sequence[object] | None = None,
        labels: Sequence[object] | None = None,
        table: pd.DataFrame | None = None,
        remarks: Sequence[str] | None = None,
    ) -> Maps:
        """Return the maps of a page from attributions, rounded to four digits of the largest value of each map.

        Of tables and states with more than 64 features the strongest of each input are kept, as many as fit on a page, and of
        many inputs the first; of images all pixels.

        Args:
            attributions: Attributions of the same inputs, (..., features), one per class; or one alone.
            first: Index of the class whose map of each input is shown first, (inputs,); None for the predicted class.
            samples: Names of the inputs; None numbers them from 0.
            labels: Names of the classes that the inputs are labelled with; None where they are not known.
            table: Inputs as they were before they were encoded, a row each, with the columns of the contract; None shows
                amplitudes.
            remarks: Further sentence on each input; None for none.

        Returns:
            The maps.

        Raises:
            ValueError: The attributions differ in shape, or the number of names, labels or rows is not that of the inputs.
        """
        if table is not None and not hasattr(table, "iat"):
            raise ArgumentTypeError(
                f"table={shown(table)} must be a table of pandas; give pandas.DataFrame(rows, columns=names)"
            )
        for a in attributions:
            check_type(a, "attribution", Attribution, "an Attribution, as integrated_gradients gives it")
        shapes = {a.values.shape for a in attributions}
        if len(shapes) != 1:
            raise ValueError(f"the maps have the shapes {sorted(shapes)}; give the inputs once, the same for each class")
        attributions = [a.as_batch() for a in attributions]
        count = len(attributions[0])
        for name, given in (("samples", samples), ("labels", labels), ("rows of table", table), ("remarks", remarks)):
            if given is not None and len(given) != count:
                raise ValueError(f"{len(given)} {name} must be one for each of {quantity(count, 'input')}")
        a = attributions[0]
        names, classes = (None if given is None else [printable(each) for each in given] for given in (samples, labels))
        kept, shape = _features(attributions), _image_shape(a)
        room = max(1, _CELLS // len(attributions))
        most = len(kept) if shape else min(len(kept), max(_STRONGEST, room // count))
        fitting = min(count, max(1, room // most))
        inputs = []
        for i in track(range(fitting), "round maps", "input"):
            ones = [one[i] for one in attributions]
            strongest = _strongest(ones, kept, most)
            values = None if table is None else {str(name): table.iat[i, j] for j, name in enumerate(table.columns)}
            inputs.append(
                InputMaps(
                    name=f"Input {i}" if names is None else names[i],
                    label="" if classes is None else classes[i],
                    shown=tuple(_shown(ones[0], int(k), values) for k in strongest),
                    maps=tuple(_class_map(one, strongest, is_several=len(ones) > 1) for one in ones),
                    first=_predicted(ones) if first is None else int(first[i]),
                    features=None if most == len(kept) else tuple(np.searchsorted(kept, strongest).tolist()),
                    remark="" if remarks is None else printable(remarks[i]),
                )
            )
        return cls(
            names=tuple(printable(a.feature_name(k)) for k in kept.tolist()),
            inputs=tuple(inputs),
            quantity="amplitude" if table is None else "input",
            shape=shape,
            signs=_signs(attributions),
            note=_note(most, len(kept), fitting, count),
        )

    def answers(self) -> list[str]:
        """Return one or two sentences for each input: its label, what is predicted and which features decide."""
        texts = []
        for each in self.inputs:
            label = f" (label {each.label})" if each.label else ""
            remark = f". {each.remark}" if each.remark else ""
            texts.append(f"{each.name}{label}: {each.maps[each.first].sentence}{remark}")
        return texts

    def heading(self, of_input: InputMaps) -> str:
        """Return the line below the sentence of an input: its name, its label and its score."""
        label = f", labelled {of_input.label}" if of_input.label else ""
        return f"{of_input.name}{label}. {of_input.maps[of_input.first].score}"


def in_unit(number: int, unit: int) -> str:
    """Return a whole multiple of a power of 10 as text, with its sign.

    Args:
        number: Whole number.
        unit: Exponent of the power of 10.

    Example:
        >>> in_unit(1604, -4), in_unit(-50, -4), in_unit(0, -4), in_unit(1604, 6)
        ('+0.1604', '-0.0050', '0', '+1.604e+9')
    """
    if number == 0:
        return "0"
    if unit in _PLAIN:
        return f"{number / 10**-unit:+.{-unit}f}"
    digits = len(str(abs(number))) - 1
    return f"{number / 10**digits:+.{digits}f}e{unit + digits:+d}"


def _sign(value: int) -> str:
    return "plus" if value > 0 else "minus" if value < 0 else "none"


def features_inside(a: Attribution) -> BoolArray:
    """Return True for the features that are no padding, of an image or behind the columns of a table, (features,).

    Args:
        a: Attribution, whose contract says what its features are.

    Example:
        >>> import hattriq_cirq as hq
        >>> features_inside(hq.integrated_gradients(hq.ring_ansatz(1, 0), [0.6, 0.8], baseline=0))
        array([ True,  True])
    """
    contract, index = a.contract or DataContract(), np.arange(a.n_features)
    if contract.image_shape is None:
        known = a.n_features if contract.features is None else contract.features + bool(contract.constant)
        return np.asarray(index < known)
    rows, cols = divmod(index, contract.image_shape[1])
    top, bottom, left, right = contract.padding or (0, 0, 0, 0)
    below, beside = contract.image_shape[0] - bottom, contract.image_shape[1] - right
    return np.asarray((rows >= top) & (rows < below) & (cols >= left) & (cols < beside))


def _features(attributions: Sequence[Attribution]) -> IntArray:
    """Return the features that a page shows: of an image those inside its padding, of others also those that are not zero."""
    a = attributions[0]
    inside = features_inside(a)
    if _image_shape(a) is None:
        parts = [part for one in attributions for part in (one.x, one.values, *one.interval()) if part.shape[-1]]
        inside |= np.any([part.reshape(-1, a.n_features).any(axis=0) for part in parts], axis=0)
    return np.flatnonzero(inside)


def _image_shape(a: Attribution) -> tuple[int, int] | None:
    """Return the shape of the image without its padding; None if the features are none."""
    if a.contract is None or a.contract.image_shape is None:
        return None
    top, bottom, left, right = a.contract.padding or (0, 0, 0, 0)
    rows, cols = a.contract.image_shape
    return rows - top - bottom, cols - left - right


def _strongest(ones: Sequence[Attribution], kept: IntArray, most: int) -> IntArray:
    """Return the features of one input with the largest values of any class, in their order."""
    if most == len(kept):
        return kept
    sizes = np.max([np.abs(one.values[kept]) for one in ones], axis=0)
    return kept[np.sort(largest_first(sizes)[:most])]


def _shown(a: Attribution, feature: int, values: Mapping[str, object] | None) -> str:
    """Return the value of a feature in an input with its unit, or its amplitude, as text."""
    name = a.feature_name(feature)
    if values is not None and name in values:
        return printable(_given(values[name], a.unit(feature)))
    if values is not None or not a.knows_input:
        return ""
    amplitude = a.x[feature]
    if amplitude.imag:
        return f"{abs(amplitude):#.3g} ∠ {round(np.degrees(np.angle(amplitude)))}°"
    return f"{amplitude.real:.4g}"


def _given(value: object, unit: str) -> str:
    """Return a value of a table with its unit as text, numbers with six digits."""
    if value is None or (isinstance(value, float) and isnan(value)):
        return "missing"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f"{text} {unit}".strip()


def _class_map(a: Attribution, features: IntArray, is_several: bool) -> ClassMap:
    """Return the map of one input for one class."""
    values, (low, high) = a.values[features], a.interval(_LEVEL)
    halves = ((high - low) / 2)[features]
    rare = 0.0 if a.rare_stderr is None else a.rare_stderr[features]
    sampled = NormalDist().inv_cdf((1 + _LEVEL) / 2) * np.hypot(a.stderr[features], rare)
    unit = _unit(values, halves)

    def whole(numbers: FloatArray) -> tuple[int, ...]:
        return tuple(round(number) for number in (numbers / 10.0**unit).tolist())

    is_sampled = bool(halves.any())
    return ClassMap(
        name=a.class_name(int(a.target)) if is_several and a.target is not None else "",
        sentence=a.answer(),
        score=_score(a),
        unit=unit,
        values=whole(values),
        halves=whole(halves) if is_sampled else None,
        sampled=whole(sampled) if is_sampled and a.systematic is not None else None,
    )


def _unit(values: FloatArray, halves: FloatArray) -> int:
    """Return the exponent of the last digit of a map: the fourth of its largest value, or the second of a large error."""
    largest, typical = float(np.abs(values).max()), float(np.median(halves))
    exact = floor(log10(largest)) - _DIGITS + 1 if largest else -_DIGITS
    if not typical:
        return exact
    return min(max(exact, floor(log10(typical)) - 1), exact + _DIGITS - 2) if largest else floor(log10(typical)) - 1


def _score(a: Attribution) -> str:
    """Return the score at the input and at the baseline of one input in words, with intervals if they were measured."""
    texts = []
    for score, stderr in ((a.f_input, a.f_input_stderr), (a.f_baseline, a.f_baseline_stderr)):
        interval = "" if stderr is None else " [{:+.3g}, {:+.3g}]".format(*normal_interval(score, stderr, _LEVEL))
        texts.append(f"{float(score):+.3g}{interval}" if score else f"0{interval}")
    return f"Score {texts[0]}, at the baseline {texts[1]}."


def _predicted(ones: Sequence[Attribution]) -> int:
    """Return the index of the map of the predicted class among those of one input; 0 if it is not known."""
    predicted = ones[0].predicted
    if predicted is None:
        return 0
    return next((j for j, one in enumerate(ones) if one.target is not None and one.target == predicted), 0)


def _signs(attributions: Sequence[Attribution]) -> str:
    """Return the meaning of the signs in one sentence."""
    a = attributions[0]
    classes = None if a.contract is None else a.contract.classes
    if a.target is not None:
        return "Red, to the right, speaks for the class; blue, to the left, against it."
    if classes is not None and len(classes) == 2:
        return printable(f"Red, to the right, speaks for {classes[1]}; blue, to the left, for {classes[0]}.")
    return "Red, to the right, raises the score; blue, to the left, lowers it."


def _note(most: int, features: int, shown: int, inputs: int) -> str:
    parts = []
    if most < features:
        parts.append(f"Of {features} features, the {most} strongest of each input are on this page.")
    if shown < inputs:
        parts.append(f"Of {inputs} inputs, the first {shown} are on this page.")
    return " ".join(parts)
