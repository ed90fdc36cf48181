"""The form of the data that a model was trained on, compared with tables that meet it in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hattriq_cirq as hq
from hattriq_cirq.datasets import Dataset, from_features
from hattriq_cirq.foundation.contract import DataContract, column_names
from hattriq_cirq.workflows.accuracies import accuracies
from hattriq_cirq.workflows.map_effect import map_effect

NAMES = list("abcd")
Y = np.where(np.arange(20) % 2, 1, -1)
FRAME = pd.DataFrame(np.random.default_rng(0).uniform(1, 2, (20, 4)) + np.outer(Y, [1, 0, 0, 0]) / 2, columns=NAMES)
MODEL = hq.train(hq.ring_ansatz(2, 1), FRAME, Y, seed=0, epochs=2).model
ARRAY = FRAME.to_numpy()
R = hq.ResolvedHadamardTest()
SCORE = hq.faithfulness.score_of(MODEL)
EXACT: dict[str, Any] = {"estimator": R, "engine": hq.cirq_simulator(), "shots": None}

#: Functions of a table of inputs and a table of one input.
CALLS: dict[str, Callable[[Any], Any]] = {
    "expectation": lambda x: MODEL.expectation(x),
    "observable action": lambda x: MODEL.observable_action(x),
    "evolve": lambda x: MODEL.evolve(x),
    "accuracy": lambda x: hq.accuracy(MODEL, x, Y),
    "train": lambda x: hq.train(MODEL, x, Y, seed=0, epochs=1).seed,
    "validation": lambda x: hq.train(MODEL, ARRAY, Y, seed=0, epochs=1, validation=(x, Y)).seed,
    "integrated gradients": lambda x: hq.integrated_gradients(MODEL, x, baseline=0).values,
    "baseline": lambda x: hq.integrated_gradients(MODEL, ARRAY, baseline=x).values,
    "circuits": lambda x: hq.integrated_gradients(MODEL, x[:2], baseline=0, **EXACT).values,
    "baseline of circuits": lambda x: hq.prepare(MODEL, ARRAY[:1], baseline=x[:1] / 2, **EXACT).execute().values,
    "occlusion": lambda x: hq.other_methods.occlusion(MODEL, x, baseline=0),
    "baseline of occlusion": lambda x: hq.other_methods.occlusion(MODEL, ARRAY, baseline=x),
    "shapley": lambda x: hq.other_methods.shapley(MODEL, x, baseline=0),
    "gradient": lambda x: hq.other_methods.gradient(MODEL, x),
    "srg": lambda x: hq.faithfulness.srg(SCORE, x, ARRAY, reference=0),
    "infidelity": lambda x: hq.faithfulness.infidelity(SCORE, x, ARRAY, reference=0),
    "reference": lambda x: hq.faithfulness.srg(SCORE, ARRAY, ARRAY, reference=x),
    "mean of data": lambda x: hq.baselines.mean(FRAME, x),
    "class mean of data": lambda x: hq.baselines.class_mean(FRAME, Y, x, Y),
}
ROWS: dict[str, Callable[[Any], Any]] = {
    "one input": lambda x: hq.integrated_gradients(MODEL, x, baseline=0).values,
    "estimate": lambda x: hq.estimate(MODEL, x, baseline=0, **EXACT).values,
    "resources": lambda x: hq.resources(MODEL, x, 0, R).circuits,
    "baseline of resources": lambda x: hq.resources(MODEL, ARRAY[0], 2 * x, R).circuits,
    "map effect": lambda x: map_effect(MODEL, x, hq.encoding.approximate_encoding(ARRAY[0], MODEL.qubits, layers=1)).cosine,
}
OTHER = [list("dbca"), list("abdc"), ["id", "a", "b", "c"], list("abce"), list("ABCD")]


@pytest.mark.parametrize("name", CALLS)
def test_table_with_the_columns_of_the_training_gives_the_numbers_of_the_array(name: str) -> None:
    np.testing.assert_array_equal(CALLS[name](FRAME), CALLS[name](ARRAY))
    np.testing.assert_array_equal(
        CALLS[name](FRAME.rename(columns=dict(zip(NAMES, range(4), strict=True)))), CALLS[name](ARRAY)
    )


@pytest.mark.parametrize("name", ["infidelity", "srg"])
def test_order_in_memory_changes_no_bit(name: str) -> None:
    np.testing.assert_array_equal(CALLS[name](np.asfortranarray(ARRAY)), CALLS[name](np.ascontiguousarray(ARRAY)))


@pytest.mark.parametrize("columns", OTHER, ids=",".join)
@pytest.mark.parametrize("name", CALLS)
def test_table_with_other_columns_is_refused(name: str, columns: list[str]) -> None:
    table = pd.DataFrame(ARRAY, columns=columns)
    with pytest.raises(ValueError, match=r"'a', 'b', 'c', 'd'"):
        CALLS[name](table)


@pytest.mark.parametrize("name", ROWS)
def test_row_of_a_table_is_compared_by_the_names_of_its_entries(name: str) -> None:
    np.testing.assert_array_equal(ROWS[name](FRAME.iloc[0]), ROWS[name](ARRAY[0]))
    for columns in OTHER:
        with pytest.raises(ValueError, match=r"'a', 'b', 'c', 'd'"):
            ROWS[name](pd.Series(ARRAY[0], index=columns))


def test_reordered_table_is_refused_with_the_selection_that_cures_it() -> None:
    with pytest.raises(ValueError, match=r"select them by name: x\[\['a', 'b', 'c', 'd'\]\]"):
        MODEL.expectation(FRAME[["d", "b", "c", "a"]])
    np.testing.assert_array_equal(MODEL.expectation(FRAME[["d", "b", "c", "a"]][NAMES]), MODEL.expectation(ARRAY))


def test_contract_survives_files_and_other_parameters_and_is_no_part_of_equality() -> None:
    assert MODEL.contract == DataContract(columns=tuple(NAMES))
    bare = MODEL.with_contract(None)
    assert "contract" not in bare.to_json()
    assert bare == MODEL
    assert hash(bare) == hash(MODEL)
    for other in (MODEL.from_json(MODEL.to_json()), MODEL.with_params(MODEL.params), MODEL.traceless(),
                  MODEL.with_observable(MODEL.observable)):  # fmt: skip
        assert other.contract == MODEL.contract


@pytest.mark.parametrize(
    "record",
    [5, [], {"features": "4"}, {"features": 2.0}, {"columns": "abcd"}, {"columns": [1, 2]}, {"columns": ["a", "a"]},
     {"columns": ["a"], "features": 2}, {"classes": ["a"]}, {"classes": 1}, {"image_shape": [4]}, {"padding": [0, 0, 0, -1]},
     {"preparation": 1}, {"columns": ["a"], "units": ["m", "s"]}, {"columns": ["a"], "units": [1]}, {"units": ["m"]},
     {"constant": 1}, {"encoder": []}, {"encoder": {"mean": float("nan")}}],
    ids=repr,
)  # fmt: skip
def test_damaged_contract_in_a_model_file_is_an_error(record: Any) -> None:
    with pytest.raises(ValueError, match="|".join(("contract", *DataContract.__dataclass_fields__))):
        DataContract.from_record(record)
    with pytest.raises(ValueError, match="not a model file"):
        hq.Model.from_json(MODEL.to_json().replace('"columns"', '"units"'))


def test_contract_of_a_later_version_is_read() -> None:
    assert DataContract.from_record({"features": 3, "later": {"new": 1}}) == DataContract(features=3)


@given(st.permutations(NAMES), st.sets(st.sampled_from(["id", "e", "f"])))
def test_data_set_is_brought_into_the_order_of_a_contract(order: list[str], others: set[str]) -> None:
    columns = [*sorted(others), *order]
    table = FRAME.assign(**{name: 3.0 for name in others})[columns]
    matched, notes = from_features(table, Y, name="table").for_model(MODEL.contract)
    own = from_features(FRAME, Y, name="table")
    np.testing.assert_allclose(matched.amplitudes, own.amplitudes, rtol=0, atol=1e-15)
    assert matched.columns == tuple(NAMES)
    assert (notes == ()) == (columns == NAMES)
    assert matched.contract == own.contract


def test_data_set_of_other_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="table does not fit the model: the data lack the columns 'd'"):
        accuracies(MODEL, from_features(FRAME[["a", "b", "c"]], Y, name="table"))


def test_accuracies_match_columns_and_classes_by_name() -> None:
    split = (range(14), range(14, 20))
    own = from_features(FRAME, Y, name="own", label_names=("low", "high"), split=split)
    model = MODEL.with_contract(own.contract)
    other = from_features(FRAME[["d", "b", "c", "a"]], -Y, name="other", label_names=("high", "low"), split=split)
    assert accuracies(model, other) == accuracies(model, own)
    with pytest.raises(ValueError, match="the data have the classes 'high', 'other', the model has 'low', 'high'"):
        accuracies(model, from_features(FRAME, Y, name="x", label_names=("high", "other")))


def test_images_of_another_shape_or_padding_are_refused() -> None:
    def images(**options: Any) -> Dataset:
        return from_features(np.ones((20, 16)), Y, name="images", **options)

    contract = images(image_shape=(4, 4)).contract
    for other, part in (
        (images(image_shape=(2, 8)), "shape of the image"),
        (images(image_shape=(4, 4), padding=(0, 1, 0, 1)), "number of features"),
        (images(image_shape=(4, 4), preparation="blurred"), "preparation"),
    ):
        with pytest.raises(ValueError, match=f"the {part} of the data"):
            other.for_model(contract)
    assert images().for_model(contract)[1] == (
        "images: not compared, because only the data or only the model know it: shape of the image.",
    )


class Row:
    """Row of a table whose entries have names, without pandas."""

    index = ("a", "b")


def test_names_are_known_by_attributes_alone() -> None:
    assert column_names(Row()) == ("a", "b")
    assert column_names(pd.DataFrame(ARRAY)) is None
    assert column_names(pd.Series([1.0, 2.0])) is None
    assert column_names("text") is None
    assert column_names([1, 2]) is None


TABLES: dict[str, Any] = {
    "two levels of names": pd.DataFrame(ARRAY, columns=pd.MultiIndex.from_product([["d", "c"], ["a", "b"]])),
    "names and numbers": pd.DataFrame(ARRAY, columns=["d", 1, "c", "a"]),
    "numbers out of order": pd.DataFrame(ARRAY)[[3, 1, 2, 0]],
    "list of rows": [row for _, row in FRAME[["d", "b", "c", "a"]].iterrows()],
}


@pytest.mark.parametrize("name", TABLES)
def test_table_with_names_of_any_kind_is_compared(name: str) -> None:
    for call in ("accuracy", "baseline", "validation"):
        with pytest.raises(ValueError, match=r"'a', 'b', 'c', 'd'"):
            CALLS[call](TABLES[name])
    with pytest.raises(ValueError, match=r"'a', 'b', 'c', 'd'"):
        hq.integrated_gradients(MODEL, ARRAY, baseline=hq.BaselineSet(TABLES[name]))


def test_rows_of_different_tables_are_refused_in_one_list() -> None:
    with pytest.raises(ValueError, match="the rows have different columns"):
        MODEL.expectation([FRAME.iloc[0], FRAME[["d", "b", "c", "a"]].iloc[1]])


def test_names_that_look_the_same_are_the_same() -> None:
    assert DataContract(columns=("gr\u00f6\u00dfe", "b")).positions(
        column_names(FRAME[["b"]].assign(**{"gro\u0308\u00dfe": 1})) or ()
    ) == (1, 0)


def test_masked_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="x has masked entries"):
        MODEL.expectation(np.ma.masked_array(ARRAY, mask=ARRAY > 2))


def test_truth_value_is_no_baseline() -> None:
    with pytest.raises(TypeError, match="baseline=True must be a number"):
        hq.integrated_gradients(MODEL, ARRAY, baseline=True)


@pytest.mark.parametrize("model", ["m", hq.Model, None, 5])
def test_score_of_no_model_is_refused(model: Any) -> None:
    with pytest.raises(TypeError, match="must be a Model or another QuadraticForm"):
        hq.faithfulness.score_of(model)
