"""Names of features and classes in attributions: those of the model, kept by files, parts and joined files."""

from __future__ import annotations

import csv
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hattriq_cirq as hq
from hattriq_cirq.foundation.contract import DataContract, same_name

CONTRACT = DataContract(columns=("length", "width", "mass"), classes=("no", "yes"), units=("mm", "mm", ""), constant=True)
MODEL = hq.ring_ansatz(2, layers=1).with_contract(CONTRACT)
X = np.array([[0.5, 0.5, 0.5, 0.5], [0.8, 0.0, 0.6, 0.0]])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"form": "normalized", "head": hq.Head("tanh", 2.0)},
        {"estimator": hq.ResolvedHadamardTest(), "engine": hq.cirq_simulator(seed=1), "shots": 100},
        {"estimator": hq.ResolvedHadamardTest(), "engine": hq.cirq_simulator(seed=1), "shots": 100, "scores": "measured"},
    ],
    ids=("exact", "normalized", "sampled", "measured scores"),
)
def test_attribution_has_the_contract_of_its_model(options: dict[str, object]) -> None:
    a = hq.integrated_gradients(MODEL, X, baseline=1 / 4, **options)  # type: ignore[arg-type]
    assert a.contract is MODEL.contract
    assert [a[1].feature_name(k) for k in range(4)] == ["length", "width", "mass", "constant"]
    assert hq.integrated_gradients(hq.ring_ansatz(2, 1), X, baseline=1 / 4, **options).contract is None  # type: ignore[arg-type]


def test_attribution_of_a_learned_model_has_its_contract() -> None:
    learned = hq.learn_observable(MODEL, engine=hq.qsim(seed=1), shots=1000, inputs=X)
    a = hq.integrated_gradients(learned, X, baseline=0)
    assert a.contract == CONTRACT
    assert hq.integrated_gradients([learned, learned], X, baseline=0, head=hq.Head("softmax")).contract == CONTRACT


def test_names_survive_files_and_indexing(tmp_path: Path) -> None:
    a = replace(
        hq.integrated_gradients(MODEL, X, baseline=0),
        target=np.array([1, 0]),
        predicted=np.array([1, 0]),
        probability=np.array([0.75, 0.5]),
    )
    loaded = hq.Attribution.load(a.save(tmp_path / "a.npz"))
    assert loaded == a
    assert loaded[0].contract == CONTRACT
    assert [loaded[1].target, loaded[1].predicted, loaded[0].probability] == [0, 0, 0.75]
    joined = hq.Attribution.join([loaded[:1].save(tmp_path / "1.npz"), loaded[1:].save(tmp_path / "2.npz")], tmp_path / "3.npz")
    assert hq.Attribution.load(joined) == a


def test_files_of_other_contracts_are_not_joined(tmp_path: Path) -> None:
    a = hq.integrated_gradients(MODEL, X, baseline=0)
    other = replace(a, contract=replace(CONTRACT, columns=("length", "width", "price")))
    with pytest.raises(ValueError, match="different settings"):
        hq.Attribution.join([a.save(tmp_path / "1.npz"), other.save(tmp_path / "2.npz")], tmp_path / "3.npz")


@pytest.mark.parametrize(
    ("name", "array"),
    [("target", [0, 2]), ("predicted", [-1, 0]), ("target", [0.5, 1.0]), ("predicted", [1]), ("probability", [0.5])],
    ids=str,
)
def test_classes_that_do_not_exist_are_refused(name: str, array: list[float]) -> None:
    entry: dict[str, Any] = {name: np.array(array)}
    with pytest.raises(ValueError, match=name):
        replace(hq.integrated_gradients(MODEL, X, baseline=0), **entry)


# the answer


def named(contract: DataContract = CONTRACT, **entries: Any) -> hq.Attribution:
    """Return the attribution of one input of four features, of which the second has no share."""
    a = hq.integrated_gradients(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.8, 0.0], baseline=0)
    return replace(a, contract=contract, **entries)


def test_answer_names_the_predicted_class_and_the_largest_features() -> None:
    one: dict[str, Any] = {"predicted": np.array(0), "probability": np.array(0.934)}
    assert named(**one).answer() == "predicted 'no' (p = 0.93): mass -0.64, length +0.36"
    assert named(**one).answer(count=1) == "predicted 'no' (p = 0.93): mass -0.64, 1 smaller"
    assert named(predicted=np.array(0)).answer() == "predicted 'no' (score -0.28): mass -0.64, length +0.36"
    of_other = named(**one, target=np.array(1))
    assert of_other.answer() == "predicted 'no' (p = 0.93); for class 'yes', score -0.28: mass -0.64, length +0.36"
    softmax = replace(
        of_other, assumptions=replace(of_other.assumptions, head="softmax(scale=1, target=1)"), f_input=np.array(0.0003)
    )
    assert softmax.answer().startswith("predicted 'no' (p = 0.93); for class 'yes', p = 0.0003: ")


def test_answer_without_a_prediction_says_the_score_and_its_class() -> None:
    assert named().answer() == "score -0.28, class 'no': mass -0.64, length +0.36"
    assert named(f_input=np.array(0.28)).answer().startswith("score +0.28, class 'yes': ")
    assert named(f_input=np.array(0.0)).answer().startswith("score +0.00, undecided between 'no' and 'yes': ")
    assert named(DataContract()).answer() == "score -0.28: |10> -0.64, |00> +0.36"
    assert named(target=np.array(1)).answer().startswith("score -0.28 of class 'yes': ")
    sigmoid = replace(named().assumptions, head="sigmoid(scale=5)")
    assert named(assumptions=sigmoid, f_input=np.array(0.4)).answer().startswith("score +0.40, class 'no': ")
    assert named(values=np.zeros(4)).answer().endswith("; no feature has a part in it")


def test_answer_of_measured_values_has_their_intervals_and_decides_within_them_nothing() -> None:
    errors: dict[str, Any] = {"stderr": np.full(4, 0.01), "f_input_stderr": np.array(0.2), "f_baseline_stderr": np.array(0.0)}
    answer = named(**errors).answer()
    assert answer == (
        "score -0.28 ± 0.39, undecided between 'no' and 'yes': mass -0.64 ± 0.02, length +0.36 ± 0.02 (± half of 95% intervals)"
    )


def test_answers_of_a_batch_are_chosen_and_printed_first() -> None:
    a = hq.integrated_gradients(MODEL, np.tile(X, (3, 1)), baseline=0)
    assert repr(a).splitlines()[:4] == [
        *(f"input {i}: {a.answer(i, count=3)}" for i in range(3)),
        "... and 3 more inputs",
    ]
    with pytest.raises(TypeError, match=r"a\.answer\(0\)"):
        a.answer()


def test_largest_features_have_names_and_units() -> None:
    mass, length = named().top(2)
    assert (mass.feature, mass.name, mass.unit) == (2, "mass", "")
    assert (length.feature, length.name, length.unit) == (0, "length", "mm")
    assert pickle.loads(pickle.dumps(length)).name == "length"
    assert repr(length) == "TopFeature(0, +0.36, 'length', 'mm')"


# names that hold anything

TEXT = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(
    ['a,b"c', "<b>&amp;</b>", "a\nb\r\nc", "\x1b[31m", "x" * 5000, "=1+1", "\u202eabc", "", "\ud800"]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TEXT, min_size=3, max_size=3, unique_by=same_name), st.lists(TEXT, min_size=2, max_size=2, unique=True))
def test_any_name_is_kept_by_files_and_printed_safely(tmp_path: Path, columns: list[str], classes: list[str]) -> None:
    a = named(DataContract(columns=tuple(columns), classes=tuple(classes), units=tuple(columns)))
    for text in (repr(a), a.answer()):
        assert text.replace("\n", "").isprintable()
    assert len(a.answer().splitlines()) == 1
    assert len(a.answer()) < 500
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}"
    assert hq.Attribution.load(a.save(path.with_suffix(".npz"))) == a
    with a.to_csv(path.with_suffix(".csv")).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    written = [name.encode("utf-8", "backslashreplace").decode() for name in a.contract.columns or ()] if a.contract else []
    assert [row["name"] for row in rows] == [*written, "|11>"]
    assert [float(row["value"]) for row in rows] == a.values.tolist()


def test_csv_has_names_units_and_intervals(tmp_path: Path) -> None:
    low, high = (a := named(stderr=np.array([0.1, 0.2, 0.3, 0.0]))).interval()
    with a.to_csv(tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["unit"]) for row in rows] == [("length", "mm"), ("width", "mm"), ("mass", ""), ("constant", "")]
    assert [(float(row["low"]), float(row["high"])) for row in rows] == list(zip(low.tolist(), high.tolist(), strict=True))


def test_thousand_columns() -> None:
    columns = tuple(f"column {k}, of <many>" for k in range(1000))
    model = hq.ring_ansatz(10, layers=1).with_contract(DataContract(columns=columns))
    a = hq.integrated_gradients(model, np.ones(1024), baseline=0)
    assert a.answer(count=2) == "score +0.00: column 0, of <many> +1.00, column 1, of <many> +1.00, 1022 smaller"
    assert a.feature_name(1023) == "|1111111111>"
