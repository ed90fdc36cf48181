"""The encoder of tables: names, index columns, missing values, categories, dates, and its record."""

from __future__ import annotations

import json
import warnings
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

import hattriq_cirq as hq
from hattriq_cirq.datasets.table_encoder import numbers_rows

RNG = np.random.default_rng(0)
ROWS = 60
MIXED = pd.DataFrame(
    {
        "age": RNG.normal(40, 10, ROWS),
        "color": RNG.choice(["red", "green", "blue"], ROWS),
        "member": RNG.choice([True, False], ROWS),
        "joined": pd.Timestamp(2020, 1, 1) + pd.to_timedelta(RNG.integers(0, 99, ROWS), "D"),
    }
)


@pytest.mark.parametrize(
    "encoder",
    [
        hq.TableEncoder(),
        pytest.param(hq.TableEncoder(missing="refuse", scale="minmax"), marks=pytest.mark.slow),
        pytest.param(hq.TableEncoder(categories="ordinal", index_columns="keep", scale="standard"), marks=pytest.mark.slow),
    ],
)
def test_checks_of_scikit_learn_pass(encoder: hq.TableEncoder) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(encoder, on_fail=None)
    assert len(results) > 30
    failed = [(result["check_name"], result["exception"]) for result in results if result["status"] == "failed"]
    assert failed == []


def test_columns_keep_their_names_and_order() -> None:
    encoder = hq.TableEncoder().fit(MIXED)
    encoded = encoder.transform(MIXED)
    assert list(encoded) == ["age", "color=blue", "color=green", "color=red", "member", "joined"]
    assert encoder.get_feature_names_out().tolist() == list(encoded)
    np.testing.assert_array_equal(encoded["age"], MIXED["age"])
    np.testing.assert_array_equal(encoded["color=red"], MIXED["color"] == "red")
    np.testing.assert_array_equal(encoded["member"], MIXED["member"])
    np.testing.assert_array_equal(encoded["joined"], (MIXED["joined"] - MIXED["joined"].min()).dt.days)
    assert encoder.units_ == ("", "", "", "", "", f"days since {MIXED['joined'].min():%Y-%m-%d}")


def test_names_reach_the_next_step_of_a_pipeline_and_parameters_a_grid_search() -> None:
    y = MIXED["age"] > 40
    pipeline = make_pipeline(hq.TableEncoder(), LogisticRegression(max_iter=1000))
    assert list(pipeline.fit(MIXED, y)[-1].feature_names_in_)[:2] == ["age", "color=blue"]
    search = GridSearchCV(pipeline, {"tableencoder__categories": ["one-hot", "ordinal"]}, cv=2)
    assert search.fit(MIXED, y).score(MIXED, y) > 0.9
    assert clone(hq.TableEncoder(max_categories=3)).max_categories == 3


# row numbers and identifiers


@pytest.mark.parametrize(
    "values",
    [
        np.arange(30),
        np.arange(1, 31)[::-1],
        RNG.permutation(40) + 100,
        RNG.permutation(12) + 1,
        np.sort(RNG.permutation(569)[:398]),
        RNG.permutation(569)[:398],
        pd.Series([f"P{k:05d}" for k in range(30)]),
    ],
    ids=["sorted", "backwards", "shuffled", "few", "a part in order", "a part, shuffled", "texts"],
)
def test_row_numbers_are_left_out_with_a_warning(values: Any) -> None:
    table = pd.DataFrame({"Unnamed: 0": values, "a": np.random.default_rng(1).normal(size=len(values))})
    with pytest.warns(hq.TableWarning, match=r"'Unnamed: 0' number or name the rows .* index_columns='keep'"):
        encoder = hq.TableEncoder().fit(table)
    assert encoder.get_feature_names_out().tolist() == ["a"]
    assert encoder.notes_ == ("'Unnamed: 0' numbers or names the rows and is left out",)
    assert encoder.transform(table[["a"]]).equals(table[["a"]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = hq.TableEncoder(index_columns="keep", max_categories=5).fit(table).get_feature_names_out()
    assert kept[0].startswith("Unnamed: 0")


@pytest.mark.parametrize(
    "values",
    [
        *(np.arange(30.0) + 0.5, np.arange(30) // 2, np.arange(8), RNG.integers(0, 1_000_000, 50)),
        *(RNG.integers(1, 12, 60), np.arange(30) * 1000, RNG.choice(["a", "b", "c"], 40)),
    ],
    ids=["halves", "pairs", "eight", "measured", "months", "round", "texts"],
)
def test_other_columns_are_kept(values: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(hq.TableEncoder().fit(pd.DataFrame({"a": values})).get_feature_names_out())


def test_numbers_that_never_repeat_are_an_identifier_only_under_such_a_name() -> None:
    numbers = np.random.default_rng(2).permutation(10**6)[:200] + 842_000
    with pytest.warns(hq.TableWarning, match="'patient_id'"):
        assert list(hq.TableEncoder().fit_transform(pd.DataFrame({"patient_id": numbers, "price": numbers}))) == ["price"]


def test_random_whole_numbers_are_seldom_taken_for_row_numbers() -> None:
    rng = np.random.default_rng(3)
    wrong = [numbers_rows(rng.integers(0, span, 40).astype(float)) for span in (40, 60, 80, 200, 10_000) for _ in range(400)]
    assert sum(wrong) == 0


# missing values


def test_missing_values_are_filled_as_scikit_learn_does_and_said() -> None:
    table = pd.DataFrame({"a": [1.0, np.nan, 5.0, 2.0], "t": ["x", None, "x", "y"], "b": [True, True, None, False]})
    encoder = hq.TableEncoder().fit(table)
    assert encoder.transform(table).to_numpy().tolist() == [[1, 1, 0, 1], [2, 1, 0, 1], [5, 1, 0, 1], [2, 0, 1, 0]]
    assert encoder.notes_[0] == "'a': 1 missing value of 4 is filled with the median, 2"
    assert "'t': 1 missing value of 4 is filled with the most frequent, 'x'" in encoder.notes_
    new = pd.DataFrame({"a": [np.nan], "t": [np.nan], "b": [pd.NA]})
    assert encoder.transform(new).to_numpy().tolist() == [[2, 1, 0, 1]]


def test_missing_values_are_refused_by_choice_with_their_place() -> None:
    with pytest.raises(ValueError, match=r"column 'a', row 1: a value is missing .* or choose missing='impute'"):
        hq.TableEncoder(missing="refuse").fit(pd.DataFrame({"a": [1.0, np.nan]}))
    encoder = hq.TableEncoder(missing="refuse").fit(pd.DataFrame({"a": [1.0, 2.0]}))
    with pytest.raises(ValueError, match="column 'a', row 0: a value is missing"):
        encoder.transform(pd.DataFrame({"a": [np.nan]}))


def test_column_without_values_is_left_out_and_a_constant_one_is_said() -> None:
    encoder = hq.TableEncoder().fit(pd.DataFrame({"a": [1.0, 2.0], "none": [None, None], "same": [3, 3]}))
    assert encoder.get_feature_names_out().tolist() == ["a", "same"]
    assert encoder.notes_[0] == "'none' has no values and is left out"
    assert encoder.notes_[1].startswith("'same' is the same in every row of the training table")
    with pytest.raises(ValueError, match="no column is left: 'a'"):
        hq.TableEncoder().fit(pd.DataFrame({"a": [None, None]}))


# categories


def test_categories_that_the_training_did_not_have_are_zeros_with_a_warning() -> None:
    encoder = hq.TableEncoder().fit(pd.DataFrame({"color": ["red", "blue"]}))
    with pytest.warns(hq.TableWarning, match="not in the training: 'color' 'pink' in 2 rows"):
        assert encoder.transform(pd.DataFrame({"color": ["pink", "red", "pink"]})).to_numpy().tolist() == [
            [0, 0],
            [0, 1],
            [0, 0],
        ]


def test_rare_and_new_categories_share_a_column() -> None:
    table = pd.DataFrame({"t": list("aaabbbccd") * 3})
    encoder = hq.TableEncoder(max_categories=3).fit(table)
    assert encoder.get_feature_names_out().tolist() == ["t=a", "t=b", "t=(other)"]
    assert encoder.notes_ == ("'t' becomes 't=a', 't=b', 't=(other)'; (other) stands for 2 rarer values",)
    assert encoder.transform(pd.DataFrame({"t": ["c", "z", "b"]})).to_numpy().tolist() == [[0, 0, 1], [0, 0, 1], [0, 1, 0]]


def test_numbers_can_be_names_of_categories_in_every_type() -> None:
    encoder = hq.TableEncoder(category_columns=["zip"]).fit(pd.DataFrame({"zip": [10115, 9000, 10115], "a": [1, 2, 3]}))
    assert encoder.get_feature_names_out().tolist() == ["zip=9000", "zip=10115", "a"]
    for cells in ([10115], [10115.0], ["10115"], pd.Categorical([10115])):
        assert encoder.transform(pd.DataFrame({"zip": cells, "a": [1]})).to_numpy().tolist() == [[0, 1, 1]]
    with pytest.raises(ValueError, match=r"category_columns=\['city'\] are not columns"):
        hq.TableEncoder(category_columns=["city"]).fit(pd.DataFrame({"a": [1.0]}))


def test_ordinal_numbers_follow_the_order_of_a_categorical_column() -> None:
    sizes = pd.Categorical(["small", "large", "medium"], ["small", "medium", "large"], ordered=True)
    table = pd.DataFrame({"size": sizes, "t": ["b", "a", "b"]})
    encoded = hq.TableEncoder(categories="ordinal").fit_transform(table)
    assert encoded.to_numpy().tolist() == [[0, 1], [2, 0], [1, 1]]


# order of columns, arrays, types


def test_columns_are_found_by_name_whatever_their_order() -> None:
    encoder = hq.TableEncoder().fit(MIXED)
    other = MIXED[MIXED.columns[::-1]].assign(comment="none", number=range(ROWS))
    assert_frame_equal(encoder.transform(other), encoder.transform(MIXED))
    with pytest.raises(ValueError, match=r"lack the columns 'age' .* and have 'Age' instead"):
        encoder.transform(MIXED.rename(columns={"age": "Age"}))
    with pytest.raises(ValueError, match=r"the columns 'age' more than once"):
        encoder.transform(pd.concat([MIXED, MIXED[["age"]]], axis=1))


def test_array_of_objects_is_read_as_a_table() -> None:
    array = np.array([[1.5, "red"], [None, "blue"], [2.5, "red"]], dtype=object)
    encoder = hq.TableEncoder().fit(array)
    assert encoder.get_feature_names_out().tolist() == ["x0", "x1=blue", "x1=red"]
    assert encoder.get_feature_names_out(["a", "b"]).tolist() == ["a", "b=blue", "b=red"]
    np.testing.assert_array_equal(encoder.transform(array), [[1.5, 0, 1], [2, 1, 0], [2.5, 0, 1]])


def test_texts_of_numbers_dates_and_truth_values_are_read_as_such() -> None:
    table = pd.DataFrame({"n": ["1", "2.5"], "d": ["2020-01-01", "2020-01-03T12:00"], "b": ["true", "False"]})
    assert hq.TableEncoder().fit_transform(table).to_numpy().tolist() == [[1, 0, 1], [2.5, 2.5, 0]]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1.0, np.inf], "column 'a', row 1: inf is infinity"),
        ([1j, 2.0], "Complex data not supported"),
        (["1", "2", "x"], "column 'a', row 2: 'x' is not a finite number"),
        (["01/02/2020", "03/04/2020"], "column 'a', row 0: '01/02/2020' may be a date"),
    ],
)
def test_value_that_does_not_fit_is_refused_with_its_place(column: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hq.TableEncoder().fit(pd.DataFrame({"a": column}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("missing", "drop"), ("categories", "hash"), ("index_columns", "drop"), ("scale", "log"), ("max_categories", 1)],
)
def test_parameters_are_checked(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        hq.TableEncoder(**{name: value}).fit([[1.0], [2.0]])


# records

SCALES: tuple[Literal["minmax", "standard"] | None, ...] = (None, "minmax", "standard")


def test_largest_numbers_are_filled_and_refused_where_they_overflow() -> None:
    table = pd.DataFrame({"a": [1.7e308, 1.6e308, None, -1.7e308, 1.7e308], "b": range(5)})
    assert hq.TableEncoder().fit_transform(table)["a"].tolist() == pytest.approx(
        [1.7e308, 1.6e308, 1.65e308, -1.7e308, 1.7e308], rel=1e-15
    )
    with pytest.raises(ValueError, match="the columns 'a' hold numbers too large to scale; divide them"):
        hq.TableEncoder(scale="minmax").fit(table)


@pytest.mark.parametrize("scale", SCALES)
def test_scale_is_that_of_the_training(scale: Literal["minmax", "standard"] | None) -> None:
    encoder = hq.TableEncoder(scale=scale).fit(MIXED)
    encoded = encoder.transform(MIXED)
    if scale == "minmax":
        np.testing.assert_allclose([encoded.min(), encoded.max()], [[0] * 6, [1] * 6], atol=1e-12)
    if scale == "standard":
        np.testing.assert_allclose([encoded.mean(), encoded.std(ddof=0)], [[0] * 6, [1] * 6], atol=1e-9)
    assert_frame_equal(encoder.transform(MIXED[:3]), encoded[:3])


def test_record_of_something_else_is_refused() -> None:
    record = hq.TableEncoder().fit(MIXED).to_record()
    for change, message in (
        ({"format": "hattriq_cirq.TableEncoder/9"}, "format is"),
        ({"columns": [{"name": "a", "kind": "picture"}]}, "kind is 'picture'"),
        ({"parameters": {"colour": 1}}, "'colour'"),
        ({"scaling": {"offset": [0.0], "width": [1.0]}}, "number of scales"),
    ):
        with pytest.raises(ValueError, match=message):
            hq.TableEncoder.from_record(record | change)


CELLS: dict[str, st.SearchStrategy[Any]] = {
    "number": st.none() | st.just(float("nan")) | st.floats(-1e9, 1e9),
    "whole": st.integers(-3, 3),
    "bool": st.none() | st.booleans(),
    "date": st.none() | st.datetimes(min_value=pd.Timestamp(1900, 1, 1), max_value=pd.Timestamp(2100, 1, 1)),
    "text": st.none() | st.text(max_size=2),
    "any": st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=2),
}


REFUSALS = ("column '", "no column is left", "the columns '")


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Return a table of columns of every kind in which any value may be missing."""
    kinds = draw(st.lists(st.sampled_from(list(CELLS)), min_size=1, max_size=5))
    rows = draw(st.integers(1, 25))
    cells = {f"{kind} {k}": draw(st.lists(CELLS[kind], min_size=rows, max_size=rows)) for k, kind in enumerate(kinds)}
    return pd.DataFrame(
        {name: pd.Series(column, dtype=draw(st.sampled_from([None, object]))) for name, column in cells.items()}
    )


@settings(max_examples=20)
@given(table=tables(), scale=st.sampled_from(SCALES), categories=st.sampled_from(["one-hot", "ordinal"]), data=st.data())
@pytest.mark.filterwarnings("ignore::hattriq_cirq.datasets.table_encoder.TableWarning")
def test_any_table_is_encoded_without_missing_values_or_refused_by_name(
    table: pd.DataFrame, scale: Any, categories: Any, data: st.DataObject
) -> None:
    encoder = hq.TableEncoder(scale=scale, categories=categories)
    try:
        encoded = encoder.fit_transform(table)
    except ValueError as refused:
        problem = str(refused)
        event(problem[:20])
        assert problem.startswith(REFUSALS)
        return
    assert np.isfinite(encoded.to_numpy()).all()
    assert encoded.shape == (len(table), len(encoder.get_feature_names_out()))
    again = hq.TableEncoder.from_record(json.loads(json.dumps(encoder.to_record())))
    assert again.to_record() == encoder.to_record()
    assert again.notes_ == encoder.notes_
    order = data.draw(st.permutations(list(table.columns)))
    assert_frame_equal(again.transform(table[order].assign(more="x")), encoded)
