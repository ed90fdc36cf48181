"""The data set as a value, its construction from raw rows, and splits."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hattriq_cirq.datasets import (
    Dataset,
    bars_and_stripes,
    digits,
    from_features,
    from_images,
    planted_pixel,
    stratified_draw,
    stratified_split,
    tfim,
    xor_pixels,
)

Builder = Callable[..., Dataset]

BUILDERS: list[Builder] = [
    lambda seed: bars_and_stripes(seed=seed),
    lambda seed: bars_and_stripes(3, noise=0.3, copies=2, seed=seed),
    lambda seed: planted_pixel(seed=seed),
    lambda seed: xor_pixels(5, samples=60, seed=seed),
    lambda seed: digits((3, 8), seed=seed),
    lambda seed: tfim(4, samples=20, seed=seed),
    lambda seed: tfim(5, samples=20, train_gap=0.4, boundary="open", seed=seed),
]


def fields(**changes: Any) -> dict[str, Any]:
    """Return the arguments of a small valid data set, with some of them changed."""
    values: dict[str, Any] = {
        "name": "small",
        "amplitudes": np.eye(4),
        "labels": [1, -1, 1, -1],
        "train": [0, 1],
        "test": [3, 2],
        "image_shape": (2, 2),
    }
    return values | changes


# all data sets


@pytest.mark.parametrize("builder", BUILDERS)
def test_data_sets_are_valid_and_stratified(builder: Builder) -> None:
    data = builder(seed=3)
    np.testing.assert_allclose(np.sum(np.abs(data.amplitudes) ** 2, axis=1), 1, rtol=0, atol=1e-12)
    assert data.amplitudes.shape == (len(data.labels), 2**data.n_qubits)
    assert set(data.labels.tolist()) == {-1, 1}
    assert sorted([*data.train.tolist(), *data.test.tolist()]) == list(range(len(data.labels)))
    for label in (-1, 1):
        expected = 0.3 * np.sum(data.labels == label)
        step = data.details.get("copies", 1)
        assert isinstance(step, int)
        assert abs(np.sum(data.y_test == label) - expected) <= step / 2
    assert not any(array.flags.writeable for array in (data.amplitudes, data.labels, data.train, data.test, data.x_train))
    assert str(len(data.labels)) in repr(data)
    assert "\n" not in data.summary()


@pytest.mark.parametrize("builder", BUILDERS)
def test_data_set_seeds_are_reproducible_and_matter(builder: Builder) -> None:
    first, again, other = builder(seed=1), builder(seed=1), builder(seed=2)
    np.testing.assert_array_equal(first.x_train, again.x_train)
    np.testing.assert_array_equal(first.y_test, again.y_test)
    assert first.x_train.tobytes() != other.x_train.tobytes()


# the value


def test_data_set_pickle_and_copy_are_read_only() -> None:
    data = bars_and_stripes(3)
    for twin in (pickle.loads(pickle.dumps(data)), copy.deepcopy(data)):
        np.testing.assert_array_equal(twin.x_test, data.x_test)
        assert dict(twin.details) == dict(data.details)
        assert not twin.amplitudes.flags.writeable
    assert data != copy.deepcopy(data)  # identity, never a comparison of arrays


def test_data_set_does_not_change_with_its_arguments() -> None:
    amplitudes = np.eye(4)
    data = Dataset(**fields(amplitudes=amplitudes, details={"g": np.array([0.5])}))
    amplitudes[:] = 0
    np.testing.assert_array_equal(data.amplitudes, np.eye(4))
    assert data.details["g"] == [0.5]
    with pytest.raises(TypeError):
        data.details["g"] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amplitudes": 2 * np.eye(4)}, r"amplitudes\[0\] has a norm off 1 by 1"),
        ({"amplitudes": np.eye(3)}, r"must be \(samples, 2\*\*n_qubits\)"),
        ({"amplitudes": np.full((4, 4), np.nan)}, r"amplitudes\[0, 0\] = nan"),
        ({"labels": [0, 1, 0, 1]}, "write -1 for 0 and \\+1 for 1"),
        ({"labels": [1, -1]}, r"len\(labels\)=2"),
        ({"train": []}, "not empty"),
        ({"train": [0.0]}, "integer"),
        ({"train": [0, 3]}, r"share samples \[3\]"),
        ({"train": [0, 0]}, "twice"),
        ({"train": [-1]}, r"must lie in 0\.\.3"),
        ({"test": [4]}, r"must lie in 0\.\.3"),
        ({"label_names": ("a", "a")}, "different names"),
        ({"image_shape": (4, 2)}, r"image_shape=\(4, 2\)"),
        ({"padding": (1, 1, 0, 0)}, "at least one pixel"),
        ({"padding": (-1, 0, 0, 0)}, "none negative"),
        ({"padding": (1, 0, 0, 0), "image_shape": None}, "needs an image_shape"),
        ({"truth": np.ones(4)}, "must be bool"),
        ({"truth": np.ones(3, dtype=bool)}, r"truth.shape=\(3,\)"),
        ({"details": {"f": float("nan")}}, "JSON"),
        ({"details": {"f": {1, 2}}}, "JSON"),
    ],
)
def test_invalid_data_set_fields_are_rejected(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dataset(**fields(**changes))


def test_chance_predicts_the_most_frequent_training_label() -> None:
    data = Dataset(**fields(amplitudes=np.ones((5, 1)) * np.eye(2)[0], labels=[-1, -1, 1, 1, -1],
                            train=[0, 1, 2], test=[3, 4], image_shape=None))  # fmt: skip
    assert data.chance == 0.5
    assert Dataset(**fields(train=[0], test=[1, 2, 3])).chance == pytest.approx(1 / 3)


def test_to_image_without_image_shape_is_rejected() -> None:
    with pytest.raises(ValueError, match="not made of images"):
        Dataset(**fields(image_shape=None)).to_image(np.zeros(4))
    with pytest.raises(ValueError, match="must end in features = 4"):
        Dataset(**fields()).to_image(np.zeros((4, 3)))


# raw rows


@given(
    shape=st.tuples(st.integers(4, 9), st.integers(1, 9)),
    exponent=st.integers(-300, 300),
    imaginary=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=50)
def test_from_features_keeps_the_direction_of_rows(shape: tuple[int, int], exponent: int, imaginary: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    unit = rng.uniform(0.5, 1, shape) + (1j * rng.uniform(0.5, 1, shape) if imaginary else 0)
    data = from_features(unit * 10.0**exponent, [-1, 1] * 2 + [1] * (shape[0] - 4), name="rows")
    size = next(2**n for n in range(1, 5) if 2**n >= shape[1])
    expected = np.zeros((shape[0], size), dtype=unit.dtype)
    expected[:, : shape[1]] = unit / np.sqrt(np.sum(np.abs(unit) ** 2, axis=1))[:, None]
    assert data.amplitudes.dtype == unit.dtype
    np.testing.assert_allclose(data.amplitudes, expected, rtol=1e-12)
    assert data.details.get("trailing_zero_features", 0) == size - shape[1]


@given(
    padding=st.tuples(*[st.integers(0, 3)] * 4),
    size=st.tuples(st.sampled_from([4, 8]), st.sampled_from([4, 8])),
)
@settings(deadline=None, max_examples=40)
def test_image_padding_round_trip(padding: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    rows, cols = size[0] - sum(padding[:2]), size[1] - sum(padding[2:])
    if min(rows, cols) < 1:
        return
    pixels = np.random.default_rng(0).uniform(1, 2, (4, rows, cols))
    data = from_images(pixels, [1, -1, 1, -1], padding=padding, name="padded")
    norms = np.sqrt((pixels**2).sum(axis=(1, 2)))
    np.testing.assert_allclose(data.to_image(data.amplitudes), pixels / norms[:, None, None])
    assert np.count_nonzero(data.amplitudes) == pixels.size
    assert data.to_image(np.zeros((2, 3, size[0] * size[1]))).shape == (2, 3, rows, cols)


def test_truth_is_padded_like_x() -> None:
    for truth in (np.array([True, False, True]), np.ones((4, 3), dtype=bool)):
        data = from_features(np.ones((4, 3)), [1, -1, 1, -1], name="t", truth=truth)
        assert data.truth is not None
        np.testing.assert_array_equal(data.truth[..., :3], truth)
        assert not data.truth[..., 3].any()


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.diag([1, 0, 1, 0]), [1, -1, 1, -1], r"rows \[1, 3\] of x are all zeros"),
        (np.zeros((14, 2)), [1, -1] * 7, r"rows \[0, 1, 2, 3, 4, 5, 6, 7, 8, 9\] and 4 more of x"),
        ([[1, 2], [np.inf, 1]], [1, -1], r"x\[1, 0\] = inf is not finite"),
        (np.ones((2, 2)), [1, -1, 1], r"len\(rows\)=2 must equal len\(labels\)=3"),
        (np.ones((3, 2)), [1, 1, 1], "holds only the label \\+1"),
        (np.ones((3, 2)), [1, 0, 1], "write -1 for 0 and \\+1 for 1"),
        (np.ones((3, 2)), ["cat", "dog", "cat"], "write -1 for 'cat' and \\+1 for 'dog'"),
        (np.ones((3, 2)), [1, 2, 3], "found 1, 2, 3; keep two classes"),
        (np.ones((3, 2)), [1, -1, np.nan], "nan"),
        (np.ones((3, 2)), [[1], [-1], [1]], r"must be \(samples,\)"),
        (np.ones((3, 0)), [1, -1, 1], r"rows.shape=\(3, 0\)"),
        (np.ones(2), [1, -1], r"rows.shape=\(2,\)"),
        (np.ones((3, 2)), [1, 1, -1], "class -1 has 1 sample"),
    ],
)
def test_invalid_rows_are_rejected_with_advice(x: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_features(x, y, name="broken")


# splits


@given(sizes=st.lists(st.integers(2, 40), min_size=1, max_size=4), fraction=st.floats(0.05, 0.95))
@settings(deadline=None, max_examples=60)
def test_split_is_disjoint_complete_and_stratified(sizes: list[int], fraction: float) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    train, test = stratified_split(labels, fraction, seed=5)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(labels)))
    for value, size in enumerate(sizes):
        held_out = int(np.sum(labels[test] == value))
        assert 1 <= held_out <= size - 1
        assert abs(held_out - fraction * size) <= 0.5 + 1e-9 or held_out in (1, size - 1)


@given(sizes=st.lists(st.integers(5, 40), min_size=1, max_size=4), data=st.data())
@settings(deadline=None, max_examples=60)
def test_stratified_draw_is_exact_and_in_proportion(sizes: list[int], data: st.DataObject) -> None:
    strata = np.repeat(np.arange(len(sizes)), sizes)
    samples = data.draw(st.integers(len(strata) // 4 + 4, len(strata)))
    chosen = stratified_draw(strata, samples, seed=1)
    assert len(set(chosen.tolist())) == samples
    for value, size in enumerate(sizes):
        assert abs(np.sum(strata[chosen] == value) - size * samples / len(strata)) < 1


def test_impossible_splits_and_draws_are_rejected() -> None:
    with pytest.raises(ValueError, match="test_fraction=1"):
        stratified_split([1, 1, -1, -1], 1.0)
    with pytest.raises(ValueError, match=r"samples=5 must lie in 1\.\.4"):
        stratified_draw([1, 1, -1, -1], 5)
    with pytest.raises(ValueError, match="raise it"):
        stratified_draw([1, 1, -1, -1], 1)
