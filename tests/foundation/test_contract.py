"""Names that a data contract gives to features and classes, and its record."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hattriq_cirq.foundation.contract import DataContract

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(st.none() | st.booleans() | st.integers(-5, 5) | TEXT, lambda inner: st.lists(inner, max_size=3))


@settings(max_examples=30)
@given(st.lists(TEXT, min_size=2, max_size=5, unique=True), st.data())
def test_any_names_and_any_encoder_survive_the_record(classes: list[str], data: st.DataObject) -> None:
    columns = tuple(f"{k} {name}" for k, name in enumerate(data.draw(st.lists(TEXT, min_size=1, max_size=5))))
    contract = DataContract(
        columns=columns,
        classes=tuple(classes),
        units=tuple(data.draw(st.lists(TEXT, min_size=len(columns), max_size=len(columns)))),
        constant=data.draw(st.booleans()),
        encoder=data.draw(st.none() | st.dictionaries(TEXT, VALUES, max_size=3)),
    )
    again = DataContract.from_record(json.loads(json.dumps(contract.to_record())))
    assert again == contract
    assert [again.feature_name(k) for k in range(len(columns))] == list(contract.columns or ())
    assert [again.class_name(k) for k in range(len(classes))] == classes
    assert hash(again) == hash(contract)


def test_record_of_an_earlier_version_has_the_same_entries() -> None:
    record = {"features": 2, "columns": ["a", "b"], "classes": ["no", "yes"], "preparation": "", "label_column": "y"}
    assert json.loads(json.dumps(DataContract.from_record(record).to_record())) == record


def test_basis_states_have_the_qubits_of_the_model() -> None:
    assert DataContract().feature_names(4) == ("|00>", "|01>", "|10>", "|11>")
    assert DataContract(features=5).feature_name(1) == "|001>"
    assert DataContract(columns=("a", "b", "c")).feature_names(4) == ("a", "b", "c", "|11>")
    assert DataContract(columns=("a", "b", "c"), constant=True).feature_names(4) == ("a", "b", "c", "constant")


def test_labels_of_two_classes_are_signs_or_indices() -> None:
    two = DataContract(classes=("no", "yes"))
    assert [two.class_name(label) for label in (-1, 0, 1)] == ["no", "no", "yes"]
    assert DataContract().class_name(-1) == "-1"
    for label in (2, -2):
        with pytest.raises(ValueError, match=f"label={label} must be the index of one of 2 classes"):
            two.class_name(label)
    with pytest.raises(ValueError, match="label=-1"):
        DataContract(classes=("a", "b", "c")).class_name(-1)


def test_order_of_two_classes_may_be_exchanged_and_that_of_more_may_not() -> None:
    assert DataContract(classes=("no", "yes")).compare(DataContract(classes=("yes", "no")))[0]
    with pytest.raises(ValueError, match="the data have the classes 'c', 'b', 'a', the model has 'a', 'b', 'c'"):
        DataContract(classes=("a", "b", "c")).compare(DataContract(classes=("c", "b", "a")))


def test_encoder_cannot_be_changed_from_outside() -> None:
    given_ = {"means": [1.0, 2.0]}
    contract = DataContract(encoder=given_)
    given_["means"].append(3.0)
    assert contract.encoder == {"means": [1.0, 2.0]}
    with pytest.raises(TypeError, match="cannot be changed"):
        contract.encoder["means"] = []  # type: ignore[index]
