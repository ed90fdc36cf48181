"""Checks of arguments: number-likes become plain numbers, labels become -1 and +1, and anything else is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from hattriq_cirq.foundation.checks import (
    ArgumentTypeError,
    as_count,
    as_counts,
    as_labels,
    as_number,
    as_seed,
    as_shape,
    as_word,
    check_flag,
    check_type,
)

INTEGER_TYPES: list[Callable[[int], Any]] = [
    *(int, np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64, np.array, sympy.Integer),
    lambda n: np.array(n, dtype=np.uint8),
]
NO_COUNT = [True, False, np.True_, 1.0, np.float64(2), "3", b"3", None, [1], np.array([1]), np.array(1.0), 1j, Decimal(1)]
REAL_TYPES: list[Callable[[float], Any]] = [float, np.float16, np.float32, np.float64, np.longdouble, np.array, Fraction]
NO_NUMBER = [True, np.True_, "1.0", None, 1j, np.complex128(1), np.array([1.0]), [1.0], int, ...]


@pytest.mark.parametrize("make", INTEGER_TYPES)
def test_whole_numbers_of_every_type_become_plain_integers(make: Callable[[int], Any]) -> None:
    for number in (as_count(make(5), "n"), as_seed(make(5)), *as_counts([make(5)], "n")):
        assert type(number) is int
        assert json.dumps(number) == "5"


@pytest.mark.parametrize("value", NO_COUNT, ids=repr)
def test_values_that_are_no_whole_number_are_refused_with_the_value(value: Any) -> None:
    for error in (TypeError, ValueError):
        with pytest.raises(error, match=r"^n=.* must be a whole number, at least 1$"):
            as_count(value, "n")


@given(st.integers(), st.integers(-5, 5), st.integers(0, 5))
def test_counts_out_of_range_are_refused_with_the_range(number: int, minimum: int, width: int) -> None:
    if minimum <= number <= minimum + width:
        assert as_count(number, "n", minimum, minimum + width) == number
    else:
        with pytest.raises(ValueError, match=rf"^n=.* must lie in {minimum}\.\.{minimum + width}$"):
            as_count(number, "n", minimum, minimum + width)


def test_advice_replaces_the_limits_in_the_message() -> None:
    for value in (0, 2.0, True):
        with pytest.raises(ValueError, match=f"shots={value} must be at least 1, or None for all$"):
            as_count(value, "shots", advice="be at least 1, or None for all")


@pytest.mark.parametrize("make", REAL_TYPES)
def test_real_numbers_of_every_type_become_plain_floats(make: Callable[[float], Any]) -> None:
    number = as_number(make(0.25), "x")
    assert type(number) is float
    assert number == 0.25


@pytest.mark.parametrize("value", NO_NUMBER, ids=repr)
def test_values_that_are_no_number_are_refused_with_the_value(value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^x=.* must be a number"):
        as_number(value, "x")


@pytest.mark.parametrize(
    ("value", "limits", "message"),
    [
        (float("nan"), {}, "x=nan must be finite"),
        (float("-inf"), {}, "x=-inf must be finite"),
        (10**400, {}, r"x=10+ \.\.\. must be finite"),
        (0, {"above": 0}, "x=0 must be positive and finite"),
        (-1, {"minimum": 0}, "x=-1 must be at least 0 and finite"),
        (2.5, {"maximum": 1}, "x=2.5 must be at most 1 and finite"),
        (1.0, {"above": 0, "below": 1}, "x=1.0 must be above 0 and below 1"),
        (1.5, {"minimum": 0, "maximum": 1}, "x=1.5 must be at least 0 and at most 1"),
        (3.0, {"minimum": 2, "below": 3}, "x=3.0 must be at least 2 and below 3"),
    ],
)
def test_numbers_out_of_range_are_refused_with_the_range(value: Any, limits: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        as_number(value, "x", **limits)


@pytest.mark.parametrize(
    "values", ["135", b"135", 5, np.array(5), None, {1: 2}, {1, 3}, [1, 2.0], [True, 3], np.array([1.0]), [[1]]], ids=repr
)
def test_sequences_that_hold_no_whole_numbers_are_refused(values: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^factors"):
        as_counts(values, "factors")


def test_sequences_of_whole_numbers_become_tuples() -> None:
    for values in ([1, 3], (1, np.int64(3)), np.array([1, 3], dtype=np.uint8), range(1, 4, 2), iter([1, 3])):
        assert as_counts(values, "factors") == (1, 3)


def test_words_are_refused_with_all_choices() -> None:
    assert as_word(np.str_("adam"), "optimizer", ("adam", "lbfgs")) == "adam"
    for value in ("sgd", None, ["adam"], np.array(["adam"]), b"adam"):
        with pytest.raises(ValueError, match=r"^optimizer=.* must be 'adam' or 'lbfgs'$"):
            as_word(value, "optimizer", ("adam", "lbfgs"))


@pytest.mark.parametrize("shape", [4, "22", (4,), (2, 2, 1), (1, 3), (-2, -2), (2.0, 2), None], ids=repr)
def test_shapes_that_do_not_hold_the_features_are_refused(shape: Any) -> None:
    with pytest.raises(ValueError, match=r"^shape"):
        as_shape(shape, 4)
    assert as_shape(np.array([2, 2]), 4) == (2, 2)


class Series:
    """Column of a table, as pandas has it: known to NumPy by `__array__` only."""

    def __init__(self, values: Sequence[Any], dtype: Any = None) -> None:
        self._array = np.array(values, dtype=dtype)

    def __repr__(self) -> str:
        return f"Series({self._array})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self._array.astype(dtype or self._array.dtype)


LABELS = [1, -1, -1, 1]


@pytest.mark.parametrize(
    "y",
    [
        LABELS,
        tuple(LABELS),
        *(np.array(LABELS, dtype=dtype) for dtype in (np.int8, np.int64, np.float32, np.float64, object)),
        Series(LABELS),
        Series(LABELS, float),
        Series(LABELS, object),
        np.ma.masked_array(np.array(LABELS)),
        [Fraction(1), -1.0, np.int64(-1), sympy.Integer(1)],
    ],
    ids=repr,
)
def test_labels_of_every_type_become_integers(y: Any) -> None:
    labels = as_labels(y, samples=4)
    assert labels.dtype == np.int64
    assert labels.tolist() == LABELS


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array(LABELS)[:, np.newaxis], r"y.shape=\(4, 1\) must be \(4,\): one label per input"),
        (1, r"y.shape=\(\) must be \(4,\)"),
        ([1], r"y.shape=\(1,\) must be \(4,\)"),
        ([1, -1, 1], r"y.shape=\(3,\) must be \(4,\)"),
        ([0, 1, 1, 0], r"y\[0\] = 0 must be -1 or \+1: .* found 0, 1; write -1 for 0 and \+1 for 1: np.where\(y == 1, 1, -1\)"),
        ([1, 1, 1, 0], r"y\[3\] = 0 must be -1 or \+1"),
        ([0.0, 1.0] * 2, "write -1 for 0.0 and"),
        ([True, False] * 2, "write -1 for False and"),
        ([True] * 4, r"y\[0\] = True must be"),
        (["-1", "1"] * 2, "write -1 for '-1' and"),
        (["cat", "dog"] * 2, "write -1 for 'cat' and"),
        ([1, 2, 3, 1], r"y\[1\] = 2 must be -1 or \+1: .* found 1, 2, 3; keep two classes"),
        ([1, -1, np.nan, 1], r"y\[2\] = nan"),
        ([1, -1, None, 1], r"y\[2\] = None"),
        ([1.0, -1.0, 1.0, 1.5], r"y\[3\] = 1.5"),
        ([1 + 0j, -1, 1, 1], r"y\[0\] = \(1\+0j\)"),
        (np.ma.masked_array(np.array(LABELS), np.arange(4) == 2), "y has masked entries"),
    ],
    ids=repr,
)
def test_labels_that_are_not_minus_and_plus_one_are_refused(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_labels(y, samples=4)


@given(st.lists(st.sampled_from([-1, 1]), min_size=1, max_size=8), st.sampled_from([int, float, object, np.int8]))
def test_labels_zero_and_one_are_accepted_on_request(y: list[int], dtype: Any) -> None:
    assert as_labels(np.array(y, dtype=dtype), zero_one=True).tolist() == y
    assert as_labels(np.array([(label + 1) // 2 for label in y], dtype=dtype), zero_one=True).tolist() == y
    assert as_labels(np.array(y) > 0, zero_one=True).tolist() == y


def test_labels_of_a_batch_keep_its_shape() -> None:
    assert as_labels([[1, -1]], samples=(1, 2)).tolist() == [[1, -1]]
    assert as_labels(1, samples=()).tolist() == 1
    with pytest.raises(ValueError, match=r"labels\[0, 1\] = 0"):
        as_labels([[1, 0]], "labels", samples=(1, 2))
    with pytest.raises(ValueError, match=r"^y = 0 must"):
        as_labels(0, samples=())


def test_class_in_place_of_a_value_is_refused_with_the_cure() -> None:
    with pytest.raises(TypeError, match=r"head=the class dict \(create a value of it, dict\(\.\.\.\)\) must be a mapping"):
        check_type(dict, "head", dict, "a mapping")
    check_type({}, "head", dict, "a mapping")


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError


def test_value_without_a_representation_is_named_by_its_type() -> None:
    with pytest.raises(TypeError, match="head=a value of type Broken must be a mapping"):
        check_type(Broken(), "head", dict, "a mapping")
    with pytest.raises(TypeError, match=r"head='x{70,76} \.\.\. must be"):
        check_type("x" * 10**6, "head", dict, "a mapping")


def test_flags_are_truth_values() -> None:
    assert check_flag(np.True_, "progress") is True
    for value in (1, "yes", None, np.array([True])):
        with pytest.raises(TypeError, match=r"progress=.* must be True or False"):
            check_flag(value, "progress")
