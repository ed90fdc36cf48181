"""Explanations as values: what they are made of, their files, and what they refuse."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_attributions import made

import hattriq_cirq as hq
from hattriq_cirq.foundation.arrays import IntArray
from hattriq_cirq.foundation.contract import DataContract

CONTRACT = DataContract(columns=("length", "width"), classes=("no", "yes"), constant=True)
MODEL = hq.ring_ansatz(2, layers=2).with_contract(CONTRACT)
X = np.array([[0.6, 0.5, 0.4, 0.0], [0.1, 0.9, 0.4, 0.0]])
MAPS = hq.integrated_gradients(MODEL, X, baseline=0)


def test_least_change_leaves_constant_and_padding_as_they_are() -> None:
    explanation = hq.Explanation(MAPS, model=MODEL, parts=("maps", "counterfactual"))
    changes = np.stack([one.change for one in explanation.changes])
    assert not changes[:, 2:].any()
    assert np.abs(changes[:, :2]).max() > 0.01
    assert all("of its norm brings it to the decision boundary" in text for text in explanation.answers())
    table = pd.DataFrame({"length": [1.0, 2.0], "width": [3.0, 4.0]})
    assert "of its norm, in encoded values, brings" in replace(explanation, table=table).answers()[0]


@pytest.mark.parametrize("baseline", [0, [0.5, 0.5, 0.5, 0.5], hq.BaselineSet(np.eye(4))], ids=["zero", "row", "set"])
def test_interactions_have_the_baseline_of_the_maps(baseline: object) -> None:
    maps = hq.integrated_gradients(MODEL, X, baseline=baseline)  # type: ignore[arg-type]
    for a in (maps, maps[1]):
        explanation = hq.Explanation(a, model=MODEL, parts=("maps", "interactions"))
        found = [one.attribution for one in explanation.pairs]
        np.testing.assert_allclose(found, np.atleast_2d(a.values), atol=1e-12)


def test_other_parts_of_a_map_with_a_head_say_what_they_explain() -> None:
    a = hq.integrated_gradients(MODEL, X, baseline=[0.5, 0.5, 0.5, 0.5], form="normalized", head=hq.Head("tanh", 2.0))
    assert "parts beside the maps" not in hq.Explanation(a, model=MODEL).section().assumptions
    with_pairs = hq.Explanation(a[0], model=MODEL, parts=("maps", "interactions")).section()
    assert "before the head" in with_pairs.assumptions["parts beside the maps"]


def test_maps_of_classes_are_saved_with_the_names_of_the_classes(tmp_path: Path) -> None:
    contract = DataContract(classes=("a", "b", "c"))
    ones = [replace(made(np.eye(4)[:2] + k, contract, stderr=0.1), target=np.full(2, k)) for k in range(3)]
    explanation = hq.Explanation(ones, indices=[4, 7], labels=["a", "c"], settings={"layers": "4"})
    explanation.save(tmp_path)
    assert [hq.Attribution.load(tmp_path / f"attribution-{k}.npz") == one for k, one in enumerate(ones)] == [True] * 3
    rows = list(csv.DictReader((tmp_path / "maps.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 3 * 2 * 4
    low, high = ones[2].interval()
    assert rows[-1] == {
        "sample": "7",
        "class": "c",
        "feature": "3",
        "name": "|11>",
        "value": "2.0",
        "low": str(low[1, 3]),
        "high": str(high[1, 3]),
    }
    assert repr(explanation) == "<Explanation of 2 inputs: maps>"
    section = explanation.section()
    assert section.settings["layers"] == "4"
    assert section.maps is not None
    assert [each.name for each in section.maps.inputs] == ["Input 4", "Input 7"]


def classified(classes: int) -> tuple[hq.AmplitudeClassifier, pd.DataFrame, IntArray]:
    """Return a small classifier of points about the corners of a triangle, with some points and their classes."""
    rng = np.random.default_rng(5)
    y = np.arange(30) % classes
    x = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])[y] + rng.normal(0, 0.2, (30, 2))
    table = pd.DataFrame(x, columns=["a", "b"])
    return hq.AmplitudeClassifier(layers=1, epochs=60, seed=1).fit(table, y), table[:6], y[:6]


@pytest.mark.parametrize("classes", [2, 3])
def test_parts_explain_the_class_of_each_input(classes: int) -> None:
    classifier, x, y = classified(classes)
    scores = (
        classifier.models_
        if classes == 3
        else [classifier.models_[0].with_observable(-classifier.models_[0].pauli_sum), classifier.models_[0]]
    )
    explained = np.where(np.arange(6) == 4, (y + 1) % classes, classifier.predict(x))
    encoding = classifier.encoding_
    explanation = hq.Explanation(
        classifier.attribute(x, target=explained),
        model=scores,
        classes=[classifier.attribute(x, target=k) for k in range(classes)],
        parts=("maps", "interactions", "counterfactual", "orders", "layers"),
        tested=(encoding.amplitudes(x.to_numpy()), y, np.arange(6)),
        table=x,
        spreads=[*(1 / encoding.factor), np.nan, np.nan],
    )
    decision = classifier.decision_function(x) if classes == 3 else np.outer(classifier.decision_function(x), [-1, 1])
    for i, k in enumerate(explained):
        baseline = scores[k].expectation(classifier.mean_row_ / np.linalg.norm(classifier.mean_row_))
        for part in (explanation.pairs[i].values.sum(), explanation.layers[i].values[0].sum()):
            assert part == pytest.approx(decision[i, k] - baseline, abs=1e-9)
        change = explanation.changes[i]
        assert change.change[2] == 0
        row = pd.DataFrame([change.x[:2] / encoding.factor + encoding.shift], columns=x.columns)
        first, second = np.sort(classifier.predict_proba(row)[0])[::-1][:2]
        if k == classifier.predict(x[i : i + 1])[0] and change.reached:
            assert first == pytest.approx(second, abs=1e-6)
    assert sum(bool(one.reached) for one in explanation.changes) > 3
    assert explanation.view.inputs[4].first == explained[4]
    section = replace(explanation, parts=("maps", "orders")).section()
    assert f"answers {np.mean(classifier.predict(x) == y):.0%} as labelled" in section.findings[0]
    remark = explanation.remarks[0]
    assert ("to class" in remark) == (classes == 3)
    moved = explanation.changes[0].change[:2] / encoding.factor
    assert any(f"{name} {x[name][0]:.4g} to {x[name][0] + moved[k]:.4g}" in remark for k, name in enumerate(x.columns))


def test_parts_that_the_maps_alone_cannot_give_are_refused() -> None:
    def refused(match: str, maps: object = MAPS, **options: object) -> None:
        with pytest.raises(ValueError, match=match):
            hq.Explanation(maps, **options)  # type: ignore[arg-type]

    refused("layers need the model", parts=("layers",))
    refused("orders need the data set", parts=("orders",), model=MODEL)
    refused("interactions are those of one score", [MAPS, MAPS], parts=("interactions",), model=MODEL)
    refused("layers need maps of some of the 2 classes", MAPS, parts=("layers",), model=[MODEL, MODEL])
    refused("part 'nonsense' must be one of maps", parts=("nonsense",))
    refused("input 3 is given twice", indices=[3, 3])
    refused("1 indices must be one for each of 2 inputs", indices=[3])
    refused("maps=.* is empty", [])
    with pytest.raises(TypeError, match="maps"):
        hq.Explanation([3])  # type: ignore[list-item]
