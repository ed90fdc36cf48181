"""Explanations: maps, interactions, counterfactuals, correlation orders and layers of some inputs, with a sentence for each."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.attribution.correlation_orders import CorrelationOrders, correlation_orders
from hattriq_cirq.attribution.counterfactual import Counterfactual, counterfactual
from hattriq_cirq.attribution.interactions import Interactions
from hattriq_cirq.attribution.layers import LayerAttribution
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.datasets.labels import class_names_of
from hattriq_cirq.datasets.value import Dataset
from hattriq_cirq.foundation.arrays import Array, FloatArray, IntArray, largest_first
from hattriq_cirq.foundation.checks import check_type
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.learned import LearnedModel
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.quadratic_form import observable_name
from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients
from hattriq_cirq.pipeline.interactions import interactions
from hattriq_cirq.pipeline.layers import layer_attribution
from hattriq_cirq.reporting.document import Picture, Section, Table, assumption_texts, cost_table
from hattriq_cirq.reporting.explanation_plots import plot_counterfactual, plot_interactions, plot_layers, plot_orders
from hattriq_cirq.reporting.html import write_report
from hattriq_cirq.reporting.maps import Maps, features_inside
from hattriq_cirq.reporting.plotting import png

if TYPE_CHECKING:
    import pandas as pd

#: Parts of an explanation, in their order.
PARTS = ("maps", "interactions", "counterfactual", "orders", "layers")
_DRAWN = 3  # inputs with pictures of their own
_MANY = 100  # inputs whose correlation orders are averaged
_PAIRS, _TOP_CHANGES = 12, 3  # pairs of a table, and changes in a sentence
_ORDERS_MAX, _LAYERS_MAX, _MATRIX_MAX = 10, 12, 12  # qubits
_TIE = 1e-6  # of the largest score, for scores that are equal but for rounding


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Explanation of the answers of a model to some inputs: their maps, and what else the model and the data tell.

    Args:
        maps: Attribution of the inputs, (..., features); or several of the same inputs, one per class.
        model: Model or learned model, for the parts beside the maps; several models of one circuit, whose observables are the
            scores of the classes, to explain the class that `maps` are of; None for maps alone.
        classes: Attributions of the same inputs, one per class, of which the reader chooses; none for `maps` alone.
        data: Data set that the inputs are from, for their labels and for correlation orders; None if there is none.
        tested: Amplitudes of test inputs, (inputs, features), the index of the class of each, (inputs,), and their numbers,
            (inputs,), for correlation orders; None takes those of `data`.
        indices: Numbers of the inputs in their data set or table, (inputs,); None counts from 0.
        parts: Parts of the explanation, some of `PARTS`.
        labels: Names of the classes that the inputs are labelled with, (inputs,); None takes those of `data`, if it is given.
        table: Inputs as they were before they were encoded, a row each; values of columns that the map has are shown beside
            it. None shows amplitudes.
        spreads: Change of each feature in the units of `table` for a change of 1 of its amplitude, (features,), and NaN for one
            that is no number there; None gives least changes in amplitudes.
        title: Title of the page; empty for the number of inputs.
        question: Question that the page answers, and a line on the data.
        findings: Sentences on the whole, such as a comparison with a classical model.
        accuracy: Accuracies of the model beside classical models, see `table_of_accuracies`.
        settings: Settings of the run, name -> value.

    Raises:
        ValueError: A part is unknown or does not apply, an input is given twice, or the number of labels or rows is not that
            of the inputs.

    Example:
        >>> import hattriq_cirq as hq
        >>> a = hq.integrated_gradients(hq.ring_ansatz(2, layers=1), [[0.6, 0.0, 0.8, 0.0], [0.0, 1.0, 0.0, 0.0]], baseline=0)
        >>> Explanation(a, labels=["up", "down"]).section().title
        'Explanation of 2 inputs'
    """

    maps: Attribution | Sequence[Attribution]
    _: KW_ONLY
    model: Model | LearnedModel | Sequence[Model] | None = None
    classes: Sequence[Attribution] = ()
    data: Dataset | None = None
    tested: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None
    indices: ArrayLike | None = None
    parts: Sequence[str] = ("maps",)
    labels: Sequence[object] | None = None
    table: pd.DataFrame | None = None
    spreads: ArrayLike | None = None
    title: str = ""
    question: str = "Why does the model answer so?"
    findings: Sequence[str] = ()
    accuracy: Table | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in self.parts:
            if part not in PARTS:
                raise ValueError(f"part {part!r} must be one of {', '.join(PARTS)}")
        numbers = self.numbers
        if len(set(numbers)) < len(numbers):
            twice = next(index for place, index in enumerate(numbers) if index in numbers[:place])
            raise ValueError(f"input {twice} is given twice; give each once")
        refused = {part: why for part, why in self._impossible().items() if part in self.parts}
        if refused:
            raise ValueError("; ".join(f"{part} {why}" for part, why in refused.items()))
        if len(numbers) != self._count:
            raise ValueError(f"{len(numbers)} indices must be one for each of {quantity(self._count, 'input')}")

    @classmethod
    def of(
        cls,
        model: Model | LearnedModel,
        data: Dataset,
        indices: ArrayLike,
        parts: Sequence[str] = ("maps",),
        baseline: float | ArrayLike | BaselineSet = 0,
        baseline_name: str = "zero",
    ) -> Explanation:
        """Compute the maps of some inputs of a data set, and return their explanation.

        Args:
            model: Model, or learned model.
            data: Data set.
            indices: Inputs, by their indices in the data set, (inputs,).
            parts: Parts of the explanation, some of `PARTS`.
            baseline: Baseline of maps, interactions and layers.
            baseline_name: Baseline in words.

        Raises:
            ValueError: A part is unknown or does not apply to the model, or an input is given twice.

        Example:
            >>> import hattriq_cirq as hq
            >>> data = hq.datasets.load("bars_and_stripes")
            >>> explanation = Explanation.of(hq.ring_ansatz(4, layers=1), data, data.test[:1], ("maps", "orders"))
            >>> explanation.section().title
            'Explanation of 1 input of bars_and_stripes 4x4'
        """
        for part, why in impossible_parts(model).items():
            if part in parts:
                raise ValueError(f"{part} {why}")
        maps = integrated_gradients(model, data.amplitudes[np.asarray(indices)], baseline=baseline)
        if maps.contract is None:
            maps = replace(maps, contract=data.contract)
        question = f"Why does the model answer so? {data.summary()}"
        settings = {"baseline": baseline_name}
        return cls(maps, model=model, data=data, indices=indices, parts=parts, question=question, settings=settings)

    def __repr__(self) -> str:
        return f"<Explanation of {quantity(self._count, 'input')}: {', '.join(self.parts)}>"

    @cached_property
    def attributions(self) -> tuple[Attribution, ...]:
        """Attributions of the inputs, (inputs, features), one per class."""
        given = (self.maps,) if isinstance(self.maps, Attribution) else self.maps
        if not given:
            raise ValueError(f"maps={given!r} is empty; give an Attribution, or one per class")
        return tuple(check_type(a, "maps", Attribution, "an Attribution, or one per class").as_batch() for a in given)

    @property
    def numbers(self) -> list[int]:
        """Numbers of the inputs."""
        return list(range(self._count)) if self.indices is None else [int(k) for k in np.asarray(self.indices)]

    @property
    def _count(self) -> int:
        return len(self._first)

    @property
    def _first(self) -> Attribution:
        return self.attributions[0]

    def _impossible(self) -> dict[str, str]:
        """Return the parts that this explanation cannot have, with the reason for each."""
        if len(self.attributions) > 1:
            return dict.fromkeys(
                PARTS[1:], "are those of one score; give the maps to explain, and those of each class as classes="
            )
        if self.model is None:
            return dict.fromkeys(PARTS[1:], "need the model; give model=")
        if not self._first.knows_input:
            return dict.fromkeys(PARTS[1:], "need the amplitudes of the inputs, which are not known of prepared states")
        if self._of_classes and (self._first.target is None or int(self._first.target.max()) >= len(self._of_classes)):
            return dict.fromkeys(PARTS[1:], f"need maps of some of the {len(self._of_classes)} classes that the models are of")
        has_tests = self.data is not None or self.tested is not None
        found = {} if has_tests else {"orders": "need the data set whose test inputs they average; give data="}
        one: Any = self._of_classes[0] if self._of_classes else self.model
        return found | impossible_parts(one)

    @property
    def inputs(self) -> Array:
        """Amplitudes of the inputs, (inputs, features)."""
        return self._first.x

    @property
    def baseline(self) -> ArrayLike | BaselineSet:
        """Baseline of the maps."""
        own = self._first.baseline
        return own if own.ndim == self._first.values.ndim else BaselineSet(own[:, 0])

    @property
    def _of_classes(self) -> Sequence[Model]:
        """Models of the scores of the classes; none if one model tells two classes apart by the sign of its score."""
        return self.model if isinstance(self.model, Sequence) else ()

    def _explained(self) -> list[tuple[Any, IntArray]]:
        """Return each model whose score is explained, with the places of the inputs whose answer it is."""
        if not self._of_classes:
            return [(self.model, np.arange(self._count))]
        target = self._first.target
        assert target is not None  # as the parts were checked
        return [(self._of_classes[k], np.flatnonzero(target == k)) for k in np.unique(target)]

    def _boundaries(self) -> list[tuple[Any, IntArray]]:
        """Return each model whose score is 0 on a decision boundary, with the places of the inputs that are moved to it."""
        if not self._of_classes:
            return self._explained()
        sums = [each.pauli_sum for each in self._of_classes]
        pairs = np.stack([self._answered, self._other], axis=1)
        return [
            (self._of_classes[0].with_observable(sums[own] - sums[other]), np.flatnonzero((pairs == (own, other)).all(axis=1)))
            for own, other in np.unique(pairs, axis=0).tolist()
        ]

    @cached_property
    def _scores(self) -> FloatArray:
        """Scores of the inputs for each class, (inputs, classes)."""
        return np.stack([each.expectation(self.inputs) for each in self._of_classes], axis=1)

    @cached_property
    def _answered(self) -> IntArray:
        """Index of the class that the models answer, (inputs,)."""
        return np.asarray(np.argmax(self._scores, axis=1))

    @cached_property
    def _other(self) -> IntArray:
        """Index of the class to which a change would lead: the explained one, or the second in score, (inputs,)."""
        second = np.argsort(self._scores, axis=1)[:, -2]
        target = self._first.target
        return np.asarray(second if target is None else np.where(target == self._answered, second, target))

    def _of_each(self, models: list[tuple[Any, IntArray]], compute: Callable[[Any, IntArray], Any]) -> list[Any]:
        """Return a part of every input, computed as one batch for the inputs of one model."""
        found: dict[int, Any] = {}
        for model, places in models:
            batch = compute(model, places)
            found |= {place: batch[k] for k, place in enumerate(places.tolist())}
        return [found[place] for place in range(self._count)]

    def _ends(self, places: IntArray) -> tuple[Array, ArrayLike | BaselineSet]:
        """Return inputs and their baselines as states of the score that is explained: of norm 1 if it is normalised."""
        is_set = isinstance(self.baseline, BaselineSet)
        x = self.inputs[places]
        baseline = self.baseline.rows if isinstance(self.baseline, BaselineSet) else np.asarray(self.baseline)[places]
        if self._first.assumptions.form == "normalized":
            x, baseline = (rows / np.linalg.norm(rows, axis=-1, keepdims=True) for rows in (x, baseline))
        return x, BaselineSet(baseline) if is_set else baseline

    @cached_property
    def pairs(self) -> list[Interactions]:
        """Interactions between the features of each input."""

        def compute(model: Any, places: IntArray) -> Interactions:
            x, baseline = self._ends(places)
            return interactions(model, x, baseline=baseline)

        return self._of_each(self._explained(), compute)

    @cached_property
    def changes(self) -> list[Counterfactual]:
        """Least change that brings each input to the decision boundary; a constant and padding stay as they are."""
        x = self.inputs
        real = not np.iscomplexobj(x)
        rows = x if self.data is None else self.data.amplitudes
        nonnegative = real and bool((rows >= 0).all())
        free, contract = features_inside(self._first), self._first.contract
        if contract is not None and contract.constant:
            free[contract.features] = False

        def compute(model: Any, places: IntArray) -> Counterfactual:
            return counterfactual(model, x[places], free=free, real=real, nonnegative=nonnegative)

        return self._of_each(self._boundaries(), compute)

    @cached_property
    def orders(self) -> CorrelationOrders:
        """Correlation orders of the first hundred test inputs; of several classes those of the score of the class of each."""
        rows, labels, _ = self._tests
        if not self._of_classes:
            return correlation_orders(cast("Model | LearnedModel", self.model), rows)
        own = [self._orders_by_class[label] for label in labels]
        parts = [(one.by_weight[i], one.product[i]) for i, one in enumerate(own)]
        by_weight, product = map(np.stack, zip(*parts, strict=True))
        return CorrelationOrders(by_weight, product, np.zeros(by_weight.shape), np.zeros(product.shape))

    @cached_property
    def _orders_by_class(self) -> list[CorrelationOrders]:
        rows, _, _ = self._tests
        return [correlation_orders(each, rows) for each in track(self._of_classes, "correlation orders", "class")]

    @cached_property
    def _tests(self) -> tuple[Array, IntArray, IntArray]:
        """Amplitudes of the first test inputs, the index of the class of each, and their numbers."""
        if self.tested is not None:
            rows, labels, numbers = (np.asarray(each)[:_MANY] for each in self.tested)
            return rows, labels, numbers
        assert self.data is not None  # as the parts were checked
        test = self.data.test[:_MANY]
        return self.data.amplitudes[test], (self.data.labels[test] > 0).astype(np.int64), test

    @cached_property
    def layers(self) -> list[LayerAttribution]:
        """Layer attribution of each input."""

        def compute(model: Any, places: IntArray) -> LayerAttribution:
            x, baseline = self._ends(places)
            return layer_attribution(model, x, baseline=baseline)

        return self._of_each(self._explained(), compute)

    @cached_property
    def view(self) -> Maps:
        """Maps and answers as a page shows them."""
        labels = self.labels
        if labels is None and self.data is not None:
            labels = class_names_of(self.data.labels[self.numbers], self.data.label_names)
        return Maps.of(
            self.classes or self.attributions,
            first=None if not self.classes else self._first.target,
            samples=[f"Input {index}" for index in self.numbers],
            labels=labels,
            table=self.table,
            remarks=self.remarks or None,
        )

    @cached_property
    def remarks(self) -> list[str]:
        """Sentence on the least change of each input; none if it is no part of the explanation."""
        return [self._change_in_words(i) for i in range(self._count)] if "counterfactual" in self.parts else []

    def answers(self) -> list[str]:
        """Return one or two sentences for each input: its label, the answer, the features that decide, and the least change."""
        return self.view.answers()

    def _change_in_words(self, i: int) -> str:
        change = self.changes[i]
        if not change.reached:
            return f"The decision boundary is {change.messages[0]}."
        norm = float(np.linalg.norm(change.input)) or 1.0
        moved = [int(k) for k in largest_first(change.change)[:_TOP_CHANGES] if change.change[k]]
        named = ", ".join(self._moved_in_words(i, k, float(np.real(change.change[k]))) for k in moved)
        local = " (a local optimum)" if not change.is_global else ""
        encoded = "" if self.table is None else ", in encoded values,"
        share = f"{float(change.distance) / norm:.0%} of its norm{encoded}"
        return f"A change of {share} brings it to the decision boundary{self._beyond(i)}{local}: {named}."

    def _beyond(self, i: int) -> str:
        """Return which of several classes the least change of an input leads to, and which one is reached before."""
        if len(self._of_classes) < 3:
            return ""
        other, x = int(self._other[i]), self.changes[i].x
        scores = [float(each.expectation(x)) for each in self._of_classes]
        largest = int(np.argmax(scores))
        is_reached = scores[other] >= scores[largest] - _TIE * max(map(abs, scores))
        before = "" if is_reached else f", and to class {self._first.class_name(largest)!r} before"
        return f" to class {self._first.class_name(other)!r}{before}"

    def _moved_in_words(self, i: int, feature: int, change: float) -> str:
        """Return a changed feature in words: from its value in the table to another one, or by a difference of amplitudes."""
        name = self._first.feature_name(feature)
        spread = np.nan if self.spreads is None else np.asarray(self.spreads)[feature]
        if self.table is None or np.isnan(spread) or name not in self.table.columns:
            return f"{name} {change:+.3f}"
        value = float(self.table[name].iloc[i])
        unit = f" {unit}" if (unit := self._first.unit(feature)) else ""
        return f"{name} {change:+.3f}" if np.isnan(value) else f"{name} {value:.4g} to {value + change * spread:.4g}{unit}"

    def section(self) -> Section:
        """Return the explanation as a section of a report: the maps to choose from, pictures, tables and sentences."""
        findings, pictures, tables = list(self.findings), [], []
        for part in PARTS[1:]:
            if part in self.parts:
                more, own_pictures, own_tables = getattr(self, f"_{part}_section")()
                findings += more
                pictures += own_pictures
                tables += own_tables
        first = self._first
        of = "" if self.data is None else f" of {self.data.name}"
        model = {}
        if self._of_classes:
            circuit, scores = self._of_classes[0], quantity(len(self._of_classes), "score")
            model = {"model": f"{scores} of one circuit of {quantity(len(circuit.qubits), 'qubit')}, one per class"}
        elif self.model is not None:
            model = {"model": repr(self.model), "observable": observable_name(cast("Model | LearnedModel", self.model))}
        return Section(
            title=self.title or f"Explanation of {quantity(self._count, 'input')}{of}",
            question=self.question,
            findings=tuple(findings),
            not_claimed=(
                "That a map explains the data: it explains the answers of this model.",
                *(
                    ["That a least change is a plausible input: it shows to what the model is sensitive."]
                    if "counterfactual" in self.parts
                    else []
                ),
            ),
            accuracy=self.accuracy,
            pictures=tuple(pictures),
            tables=tuple(tables),
            cost=cost_table(asdict(first.cost)),
            settings={**self.settings, "parts": ", ".join(self.parts)},
            assumptions={**assumption_texts(asdict(first.assumptions)), **model, **self._other_score()},
            provenance={"created (UTC)": (now := Provenance.now()).created_utc, **now.versions},
            maps=self.view,
        )

    def _other_score(self) -> dict[str, str]:
        """Return what the other parts explain, where it is not the score of the maps."""
        settings = self._first.assumptions
        if set(self.parts) <= {"maps"} or (settings.head, settings.form) == ("identity", "quadratic"):
            return {}
        score = "score of the normalised input" if settings.form == "normalized" else "quadratic score x' M x"
        return {"parts beside the maps": f"they explain the {score}, before the head"}

    def _drawn(self) -> Iterator[tuple[int, int]]:
        return enumerate(self.numbers[:_DRAWN])

    @property
    def _shape(self) -> tuple[int, int] | None:
        return None if self._first.contract is None else self._first.contract.image_shape

    @property
    def _names(self) -> list[str] | None:
        if self._shape is not None:
            return None
        is_inside = features_inside(self._first)
        return [self._first.feature_name(k) if is_inside[k] else "" for k in range(self._first.n_features)]

    def _interactions_section(self) -> tuple[list[str], list[Picture], list[Table]]:
        pictures, tables = [], []
        for i, index in self._drawn():
            one = self.pairs[i]
            x = self.inputs[i] if self._shape else None
            axes = plot_interactions(one, shape=self._shape, x=x, names=self._names, top=_PAIRS)
            caption = f"Interactions of input {index}: pairs that raise (red) or lower (blue) the score together."
            pictures.append(Picture(png(axes), caption, f"Strongest interactions of input {index}", f"interactions-{index}"))
            rows = [
                (
                    self._first.feature_name(p.first),
                    self._first.feature_name(p.second),
                    f"{p.value:+.4f}" + (f" ± {p.stderr:.4f}" if p.stderr else ""),
                )
                for p in one.pairs(_PAIRS)
            ]
            caption = f"Strongest pair effects of input {index}" + (", with standard errors." if one.stderr.any() else ".")
            tables.append(Table(caption, ("feature", "feature", "pair effect"), tuple(rows)))
        return [], pictures, tables

    def _counterfactual_section(self) -> tuple[list[str], list[Picture], list[Table]]:
        pictures = []
        for i, index in self._drawn():
            figure = plot_counterfactual(self.changes[i], shape=self._shape, attribution=self._first[i], names=self._names)
            caption = f"Input {index}, the least change to the decision boundary, the changed input, and the map."
            pictures.append(Picture(png(figure), caption, f"Counterfactual of input {index}", f"counterfactual-{index}"))
        return [], pictures, []

    def _orders_section(self) -> tuple[list[str], list[Picture], list[Table]]:
        orders, labels = self.orders, self._tests[1]
        if self._of_classes:
            each = [np.stack([getattr(one, name) for one in self._orders_by_class]) for name in ("total", "product")]
            answers = [np.argmax(scores, axis=0) for scores in each]
        else:
            answers = [(scores > 0).astype(np.int64) for scores in (orders.total, orders.product)]
        right = [float(np.mean(answer == labels)) for answer in answers]
        finding = (
            f"Correlations between qubits: of {quantity(len(labels), 'test input')} the model answers {right[0]:.0%} as "
            f"labelled, and {right[1]:.0%} if the qubits of the inputs are made uncorrelated."
        )
        score = "score of the class of each input" if self._of_classes else "score"
        caption = f"Parts of the {score} by the number of qubits whose correlations they rest on."
        return [finding], [Picture(png(plot_orders(orders)), caption, "Correlation orders as bars", "orders")], []

    def _layers_section(self) -> tuple[list[str], list[Picture], list[Table]]:
        pictures = []
        for i, index in self._drawn():
            caption = f"Input {index}: attribution by qubit at cuts of the circuit, and what decides the score there."
            picture = png(plot_layers(self.layers[i]))
            pictures.append(Picture(picture, caption, f"Layers of input {index}", f"layers-{index}"))
        return [], pictures, []

    def save(self, folder: Path) -> None:
        """Write the numbers of every part into a folder, one CSV file for each, and the maps as `attribution.npz`.

        Maps of several classes are `attribution-0.npz` and so on, in the order of the classes.
        """
        several = len(self.attributions) > 1
        for k, one in enumerate(self.attributions):
            one.save(folder / (f"attribution-{k}.npz" if several else "attribution.npz"))
        for part, (columns, rows) in self._files().items():
            text = io.StringIO(newline="")
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows())
            write_new(folder / f"{part}.csv", text.getvalue())

    def _files(self) -> dict[str, tuple[tuple[str, ...], Callable[[], Iterable[tuple[object, ...]]]]]:
        columns = "feature", "name", "value", "low", "high"
        files: dict[str, tuple[tuple[str, ...], Callable[[], Iterable[tuple[object, ...]]]]] = {
            "maps": (("sample", *(() if self._first.target is None else ("class",)), *columns), self._map_rows),
            "interactions": (("sample", "first", "second", "pair_effect", "stderr"), self._pair_rows),
            "counterfactual": (("sample", "feature", "name", "input", "changed", "distance", "reached"), self._change_rows),
            "orders": (("sample", "weight", "part", "stderr", "score", "product_score"), self._order_rows),
            "layers": (("sample", "cut", "feature", "value", "population"), self._layer_rows),
        }
        return {part: entry for part, entry in files.items() if part in self.parts}

    def _map_rows(self) -> Iterable[tuple[object, ...]]:
        for one in self.classes or self.attributions:
            own = one.values, *one.interval()
            for i, index in enumerate(self.numbers):
                start = (index,) if one.target is None else (index, one.class_name(int(one.target[i])))
                for k, numbers in enumerate(zip(*(part[i].tolist() for part in own), strict=True)):
                    yield (*start, k, one.feature_name(k), *numbers)

    def _pair_rows(self) -> Iterable[tuple[object, ...]]:
        for i, index in enumerate(self.numbers):
            yield from ((index, *pair) for pair in self.pairs[i].pairs(1000))

    def _change_rows(self) -> Iterable[tuple[object, ...]]:
        for i, index in enumerate(self.numbers):
            change = self.changes[i]
            for k, (before, after) in enumerate(zip(change.input.tolist(), change.x.tolist(), strict=True)):
                yield index, k, self._first.feature_name(k), before, after, float(change.distance), bool(change.reached)

    def _order_rows(self) -> Iterable[tuple[object, ...]]:
        orders = self.orders
        for i, index in enumerate(self._tests[2].tolist()):
            for w, (part, stderr) in enumerate(zip(orders.by_weight[i], orders.by_weight_stderr[i], strict=True)):
                yield index, w, float(part), float(stderr), float(orders.total[i]), float(orders.product[i])

    def _layer_rows(self) -> Iterable[tuple[object, ...]]:
        for index, one in zip(self.numbers, self.layers, strict=True):
            assert one.population is not None  # as they are exact
            for cut, population, values in zip(one.cuts.tolist(), one.population.tolist(), one.values.tolist(), strict=True):
                yield from ((index, cut, k, value, population) for k, value in enumerate(values))


def impossible_parts(model: Model | LearnedModel) -> dict[str, str]:
    """Return the parts of an explanation that a model does not have, with the reason for each."""
    found: dict[str, str] = {}
    n = (model.n_features - 1).bit_length()
    if not isinstance(model, Model):
        found["layers"] = "are those of a circuit, and a learned model has none; explain the model that it was learned from"
    elif model.postselect is not None or model.dilated().environment:
        found["layers"] = "are those of a unitary circuit on the data qubits alone, and this model needs an environment"
    elif n > _LAYERS_MAX:
        found["layers"] = f"take 2**n products M x for the population shares; at most {_LAYERS_MAX} qubits, not {n}"
    if isinstance(model, Model) and n > _ORDERS_MAX:
        found["orders"] = f"take 4**n Pauli strings; at most {_ORDERS_MAX} qubits, not {n}"
    if n > _MATRIX_MAX:
        for part in ("interactions", "counterfactual"):
            found[part] = f"take a matrix of all features; at most {_MATRIX_MAX} qubits, not {n}"
    return found


def report(
    explained: Explanation | Attribution | Sequence[Attribution], path: str | os.PathLike[str], *, title: str = ""
) -> Path:
    """Write an HTML page on which a reader explores attributions: the answer in words, the map, and every value with its error.

    The page needs no other file and no network. It is read from disk, works without scripts, and prints.

    Args:
        explained: Attribution of one input or a batch; several of the same inputs, one per class; or an `Explanation` with more
            parts, labels and input values.
        path: Path of the new file, such as `report.html`.
        title: Title of the page; empty for that of the explanation.

    Returns:
        The path.

    Raises:
        FileExistsError: The file exists; it is not overwritten.

    Example:
        >>> import hattriq_cirq as hq
        >>> a = hq.integrated_gradients(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.8, 0.0], baseline=0)
        >>> hq.report(a, "report.html").name
        'report.html'
    """
    kind = "an Attribution, several of the same inputs, or an Explanation"
    if not isinstance(explained, Explanation):
        check_type(explained, "explained", Attribution | Sequence, kind)
        explained = Explanation(explained)
    section = explained.section()
    return write_report(path, title or section.title, [section])
