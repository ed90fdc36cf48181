"""Explanations: maps, interactions, counterfactuals, correlation orders and layers of some inputs, with a sentence for each."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.attribution.correlation_orders import CorrelationOrders, correlation_orders
from hattriq_cirq.attribution.counterfactual import Counterfactual, counterfactual
from hattriq_cirq.attribution.interactions import Interactions
from hattriq_cirq.attribution.layers import LayerAttribution
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.datasets.value import Dataset
from hattriq_cirq.foundation.arrays import Array, BoolArray, IntArray
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.learned import LearnedModel
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.quadratic_form import observable_name
from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients
from hattriq_cirq.pipeline.interactions import interactions
from hattriq_cirq.pipeline.layers import layer_attribution
from hattriq_cirq.reporting.document import Picture, Section, Table
from hattriq_cirq.reporting.explanation_plots import plot_counterfactual, plot_interactions, plot_layers, plot_orders
from hattriq_cirq.reporting.plotting import plot_attribution, png

#: Parts of an explanation, in their order.
PARTS = ("maps", "interactions", "counterfactual", "orders", "layers")
_DRAWN = 3  # inputs with pictures of their own
_MANY = 100  # inputs whose correlation orders are averaged
_PAIRS, _TOP, _TOP_CHANGES = 12, 4, 3  # pairs of a table, and features in a sentence
_ORDERS_MAX, _LAYERS_MAX, _MATRIX_MAX = 10, 12, 12  # qubits


@dataclass(frozen=True, eq=False)
class Explanation:
    """Explanations of some inputs of a data set by a model.

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
        >>> explanation = Explanation(hq.ring_ansatz(4, layers=1), data, data.test[:1], ("maps", "orders"))
        >>> explanation.section().title
        'Explanation of 1 input of bars_and_stripes 4x4'
    """

    model: Model | LearnedModel
    data: Dataset
    indices: Array
    parts: Sequence[str] = ("maps",)
    baseline: float | ArrayLike | BaselineSet = 0
    baseline_name: str = "zero"

    def __post_init__(self) -> None:
        refused = {part: why for part, why in impossible_parts(self.model).items() if part in self.parts}
        for part in self.parts:
            if part not in PARTS:
                raise ValueError(f"part {part!r} must be one of {', '.join(PARTS)}")
        listed = np.asarray(self.indices).tolist()
        if twice := [index for place, index in enumerate(listed) if index in listed[:place]]:
            raise ValueError(f"input {twice[0]} is given twice; give each once")
        if refused:
            raise ValueError("; ".join(f"{part} {why}" for part, why in refused.items()))

    @property
    def inputs(self) -> Array:
        """Amplitudes of the inputs, (inputs, features)."""
        return self.data.amplitudes[self.indices]

    @cached_property
    def maps(self) -> Attribution:
        """Attribution of the inputs."""
        return integrated_gradients(self.model, self.inputs, baseline=self.baseline)

    @cached_property
    def pairs(self) -> Interactions:
        """Interactions between features of the inputs."""
        return interactions(self.model, self.inputs, baseline=self.baseline)

    @cached_property
    def changes(self) -> Counterfactual:
        """Least changes that bring the inputs to the decision boundary; features that are padding stay as they are."""
        x = self.inputs
        real = not np.iscomplexobj(x)
        nonnegative = real and bool((self.data.amplitudes >= 0).all())
        return counterfactual(self.model, x, free=self._is_feature, real=real, nonnegative=nonnegative)

    @cached_property
    def orders(self) -> CorrelationOrders:
        """Correlation orders of the first hundred test inputs."""
        return correlation_orders(self.model, self.data.amplitudes[self._many])

    @property
    def _many(self) -> IntArray:
        return np.asarray(self.data.test[:_MANY])

    @cached_property
    def layers(self) -> LayerAttribution:
        """Layer attributions of the inputs."""
        assert isinstance(self.model, Model)  # as the parts were checked
        return layer_attribution(self.model, self.inputs, baseline=self.baseline)

    @property
    def _is_feature(self) -> BoolArray:
        """True for features that are no padding, (features,)."""
        index, shape = np.arange(self.data.n_features), self.data.image_shape
        if shape is None:
            return np.asarray(index < (self.data.contract.features or len(index)))
        rows, columns = divmod(index, shape[1])
        top, bottom, left, right = self.data.padding
        inside = (rows >= top) & (rows < shape[0] - bottom) & (columns >= left) & (columns < shape[1] - right)
        return np.asarray(inside)

    def name_of(self, feature: int) -> str:
        """Return the name of a feature: its column, its pixel, or its basis state.

        Example:
            >>> import hattriq_cirq as hq
            >>> data = hq.datasets.load("bars_and_stripes")
            >>> Explanation(hq.ring_ansatz(4, layers=1), data, data.test[:1]).name_of(6)
            'row 1, column 2'
        """
        return self.data.contract.feature_name(feature, self.data.n_features)

    def answers(self) -> list[str]:
        """Return one or two sentences for each input: its class, the features that decide, and the least change."""
        minus, plus = self.data.label_names
        texts = []
        for i, (index, one) in enumerate(zip(self.indices, self.maps, strict=True)):
            score = float(one.f_input)
            label = plus if self.data.labels[index] > 0 else minus
            says = f"Input {index} (label {label}) is predicted {plus if score > 0 else minus}, score {score:+.3f}"
            top = [f"{self.name_of(feature)} {value:+.3f}" for feature, value in one.top(_TOP) if value]
            text = f"{says}: {', '.join(top)}." if top else f"{says}; no feature has a part in it."
            if "counterfactual" in self.parts:
                text += f" {self._change_in_words(i)}"
            texts.append(text)
        return texts

    def _change_in_words(self, i: int) -> str:
        change = self.changes[i]
        if not change.reached:
            return f"The decision boundary is {change.messages[0]}."
        norm = float(np.linalg.norm(change.input)) or 1.0
        moved = np.argsort(-np.abs(change.change), kind="stable")[:_TOP_CHANGES]
        named = ", ".join(f"{self.name_of(int(k))} {np.real(change.change[k]):+.3f}" for k in moved if change.change[k])
        local = " (a local optimum)" if not change.is_global else ""
        return (
            f"A change of {float(change.distance) / norm:.0%} of its norm brings it to the decision boundary{local}: {named}."
        )

    def section(self) -> Section:
        """Return the explanation as a section of a report, with pictures, tables and sentences."""
        findings, pictures, tables = list(self.answers()), [], []
        for part in PARTS:
            if part in self.parts:
                more, own_pictures, own_tables = getattr(self, f"_{part}_section")()
                findings += more
                pictures += own_pictures
                tables += own_tables
        learned = isinstance(self.model, LearnedModel)
        notes = self.maps.assumptions.notes if learned else ()
        return Section(
            title=f"Explanation of {quantity(len(self.indices), 'input')} of {self.data.name}",
            question=f"Why does the model answer so? {self.data.summary()}",
            findings=tuple(findings),
            not_claimed=(
                "That a map explains the data: it explains the answers of this model.",
                "That a least change is a plausible input: it shows to what the model is sensitive.",
            ),
            pictures=tuple(pictures),
            tables=tuple(tables),
            settings={"baseline": self.baseline_name, "parts": ", ".join(self.parts)},
            assumptions={"model": repr(self.model), "observable": observable_name(self.model), "notes": " ".join(notes)},
            provenance={"created (UTC)": (now := Provenance.now()).created_utc, **now.versions},
        )

    def _drawn(self) -> Iterable[tuple[int, int]]:
        return enumerate(self.indices[:_DRAWN].tolist())

    @property
    def _shape(self) -> tuple[int, int] | None:
        return self.data.image_shape

    @property
    def _names(self) -> list[str] | None:
        return [self.name_of(k) for k in range(self.data.n_features)] if self._shape is None else None

    def _maps_section(self) -> tuple[list[str], list[Picture], list[Table]]:
        pictures = []
        for i, index in self._drawn():
            axes = plot_attribution(self.maps[i], shape=self._shape, classes=self._classes, names=self._names)
            caption = f"Input {index} and its map. Red raises the score, blue lowers it."
            pictures.append(Picture(png(axes), caption, f"Input {index} beside its attribution map", f"map-{index}"))
        return [], pictures, []

    @property
    def _classes(self) -> tuple[str, str] | None:
        return None if self.data.label_names == ("-1", "+1") else self.data.label_names

    def _interactions_section(self) -> tuple[list[str], list[Picture], list[Table]]:
        pictures, tables = [], []
        for i, index in self._drawn():
            one = self.pairs[i]
            x = self.inputs[i] if self._shape else None
            axes = plot_interactions(one, shape=self._shape, x=x, names=self._names, top=_PAIRS)
            caption = f"Interactions of input {index}: pairs that raise (red) or lower (blue) the score together."
            pictures.append(Picture(png(axes), caption, f"Strongest interactions of input {index}", f"interactions-{index}"))
            rows = [
                (self.name_of(p.first), self.name_of(p.second), f"{p.value:+.4f}" + (f" ± {p.stderr:.4f}" if p.stderr else ""))
                for p in one.pairs(_PAIRS)
            ]
            caption = f"Strongest pair effects of input {index}" + (", with standard errors." if one.stderr.any() else ".")
            tables.append(Table(caption, ("feature", "feature", "pair effect"), tuple(rows)))
        return [], pictures, tables

    def _counterfactual_section(self) -> tuple[list[str], list[Picture], list[Table]]:
        pictures = []
        for i, index in self._drawn():
            figure = plot_counterfactual(self.changes[i], shape=self._shape, attribution=self.maps[i], names=self._names)
            caption = f"Input {index}, the least change to the decision boundary, the changed input, and the map."
            pictures.append(Picture(png(figure), caption, f"Counterfactual of input {index}", f"counterfactual-{index}"))
        return [], pictures, []

    def _orders_section(self) -> tuple[list[str], list[Picture], list[Table]]:
        orders, labels = self.orders, self.data.labels[self._many]
        right = [float(np.mean(np.sign(scores) == labels)) for scores in (orders.total, orders.product)]
        finding = (
            f"Correlations between qubits: of {quantity(len(labels), 'test input')} the model answers {right[0]:.0%} as "
            f"labelled, and {right[1]:.0%} if the qubits of the inputs are made uncorrelated."
        )
        caption = "Parts of the score by the number of qubits whose correlations they rest on."
        return [finding], [Picture(png(plot_orders(orders)), caption, "Correlation orders as bars", "orders")], []

    def _layers_section(self) -> tuple[list[str], list[Picture], list[Table]]:
        pictures = []
        for i, index in self._drawn():
            caption = f"Input {index}: attribution by qubit at cuts of the circuit, and what decides the score there."
            picture = png(plot_layers(self.layers[i]))
            pictures.append(Picture(picture, caption, f"Layers of input {index}", f"layers-{index}"))
        return [], pictures, []

    def save(self, folder: Path) -> None:
        """Write the numbers of every part into a folder, one CSV file for each, and the maps as `attribution.npz`."""
        self.maps.save(folder / "attribution.npz")
        for part, (columns, rows) in self._files().items():
            text = io.StringIO(newline="")
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows())
            write_new(folder / f"{part}.csv", text.getvalue())

    def _files(self) -> dict[str, tuple[tuple[str, ...], Callable[[], Iterable[tuple[object, ...]]]]]:
        files: dict[str, tuple[tuple[str, ...], Callable[[], Iterable[tuple[object, ...]]]]] = {
            "maps": (("sample", "feature", "name", "value", "low", "high"), self._map_rows),
            "interactions": (("sample", "first", "second", "pair_effect", "stderr"), self._pair_rows),
            "counterfactual": (("sample", "feature", "name", "input", "changed", "distance", "reached"), self._change_rows),
            "orders": (("sample", "weight", "part", "stderr", "score", "product_score"), self._order_rows),
            "layers": (("sample", "cut", "feature", "value", "population"), self._layer_rows),
        }
        return {part: entry for part, entry in files.items() if part in self.parts}

    def _map_rows(self) -> Iterable[tuple[object, ...]]:
        low, high = self.maps.interval()
        for i, index in enumerate(self.indices.tolist()):
            for k, value in enumerate(self.maps.values[i].tolist()):
                yield index, k, self.name_of(k), value, float(low[i, k]), float(high[i, k])

    def _pair_rows(self) -> Iterable[tuple[object, ...]]:
        for i, index in enumerate(self.indices.tolist()):
            yield from ((index, *pair) for pair in self.pairs[i].pairs(1000))

    def _change_rows(self) -> Iterable[tuple[object, ...]]:
        for i, index in enumerate(self.indices.tolist()):
            change = self.changes[i]
            for k, (before, after) in enumerate(zip(change.input.tolist(), change.x.tolist(), strict=True)):
                yield index, k, self.name_of(k), before, after, float(change.distance), bool(change.reached)

    def _order_rows(self) -> Iterable[tuple[object, ...]]:
        orders = self.orders
        for i, index in enumerate(self._many.tolist()):
            for w, (part, stderr) in enumerate(zip(orders.by_weight[i], orders.by_weight_stderr[i], strict=True)):
                yield index, w, float(part), float(stderr), float(orders.total[i]), float(orders.product[i])

    def _layer_rows(self) -> Iterable[tuple[object, ...]]:
        assert self.layers.population is not None  # as they are exact
        for i, index in enumerate(self.indices.tolist()):
            for j, cut in enumerate(self.layers.cuts.tolist()):
                population = float(self.layers.population[i, j])
                yield from ((index, cut, k, value, population) for k, value in enumerate(self.layers.values[i, j].tolist()))


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
