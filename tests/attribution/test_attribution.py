"""The attribution as a value: files without loss, read-only arrays, indexing, text and validation."""

from __future__ import annotations

import csv
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strategies import amplitudes, assert_close, random_case, random_observable

from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.attribution.objective import Head
from hattriq_cirq.attribution.result import Assumptions, Attribution, Cost
from hattriq_cirq.foundation.arrays import zeros
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients

ARRAYS = ("values", "stderr", "imag_values", "x", "baseline", "f_input", "f_baseline", "completeness_gap_stderr")


def sampled_attribution(*lead: int, imaginary: bool = False, in_set: bool = False, head: bool = False) -> Attribution:
    """Return an attribution of 8 features, with the errors and the cost of a sampled one."""
    case, rng = random_case(3, seed=11), np.random.default_rng(3)
    x = amplitudes(rng, *lead, 8, imaginary=imaginary)
    observables = [random_observable(case.qubits, rng) for _ in range(2)] if head else None
    a = integrated_gradients(
        case.model,
        x,
        baseline=BaselineSet(amplitudes(rng, 4, 8)) if in_set else 0.25,
        head=Head("softmax", 2.0, 1) if head else None,
        observables=observables,
    )
    return replace(
        a,
        stderr=rng.uniform(0.1, 1, a.values.shape),
        completeness_gap_stderr=rng.uniform(size=lead),
        cost=Cost(circuits=3, shots=1000, two_qubit_gates=17),
        assumptions=replace(a.assumptions, estimator="ResolvedHadamardTest", engine="qsim", seed=5, calibration_id="c1"),
    )


KINDS: dict[str, Attribution] = {
    "single": sampled_attribution(),
    "single, complex": sampled_attribution(imaginary=True),
    "single, set": sampled_attribution(in_set=True),
    "batch": sampled_attribution(3),
    "batch, complex, set, head": sampled_attribution(3, imaginary=True, in_set=True, head=True),
    "two axes": sampled_attribution(2, 3),
    "two axes, complex, set": sampled_attribution(2, 3, imaginary=True, in_set=True),
    "empty batch": sampled_attribution(0),
    "batch, names": replace(
        sampled_attribution(3),
        contract=DataContract(columns=("a, b", "<b>"), classes=("no", "yes", '"maybe"'), units=("mm", ""), constant=True),
        target=np.array([0, 2, 1]),
        predicted=np.array([0, 2, 2]),
        probability=np.array([0.5, 1.0, 0.4]),
    ),
}
each_kind = pytest.mark.parametrize("a", KINDS.values(), ids=KINDS)


# files


@each_kind
def test_attribution_file_round_trip(a: Attribution, tmp_path: Path) -> None:
    path = a.save(tmp_path / "deep" / "map.npz")
    again = Attribution.load(path)
    assert again == a
    for name in ARRAYS:
        before, after = getattr(a, name), getattr(again, name)
        assert (before is None) == (after is None)
        if before is not None:
            assert before.dtype == after.dtype
            np.testing.assert_array_equal(before, after, strict=True)
    assert (again.assumptions, again.cost, again.provenance) == (a.assumptions, a.cost, a.provenance)
    assert repr(again) == repr(a)


def test_attribution_file_is_never_overwritten(tmp_path: Path) -> None:
    path = KINDS["single"].save(tmp_path / "map.npz")
    content = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"map\.npz exists and is not overwritten"):
        KINDS["batch"].save(path)
    with pytest.raises(FileExistsError, match=r"map\.npz exists and is not overwritten"):
        KINDS["batch"].to_csv(path)
    assert path.read_bytes() == content


def test_attribution_path_is_used_unchanged(tmp_path: Path) -> None:
    KINDS["single"].save(str(tmp_path / "map"))
    assert [p.name for p in tmp_path.iterdir()] == ["map"]
    assert Attribution.load(tmp_path / "map") == KINDS["single"]


@pytest.mark.parametrize("content", [b"", b"not an archive", bytes(range(256)), b"PK\x03\x04 cut"])
def test_files_of_other_kinds_are_rejected(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "map.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"map\.npz is not a saved attribution"):
        Attribution.load(tmp_path / "map.npz")


def test_damaged_attribution_file_is_rejected(tmp_path: Path) -> None:
    whole = KINDS["batch"].save(tmp_path / "map.npz").read_bytes()
    damaged = [whole[: len(whole) // 2]]
    damaged += [whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :] for i in range(0, len(whole), 7)]
    refused = 0
    for i, content in enumerate(damaged):
        (path := tmp_path / f"{i}.npz").write_bytes(content)
        try:
            intact = Attribution.load(path) == KINDS["batch"]  # some bytes of an archive are never read
        except ValueError:
            intact, refused = True, refused + 1
        assert intact, f"byte {7 * (i - 1)}"
    assert refused > len(damaged) / 2


@pytest.mark.parametrize(
    "content",
    [
        {"values": np.ones(3)},
        {"meta": np.array("{}")},
        {"meta": np.array("no json")},
        {"meta": np.array('{"format": "hattriq_cirq.Attribution/1"}')},
        {"meta": np.array('{"format": "hattriq_cirq.Attribution/99"}')},
    ],
)
def test_other_npz_archives_are_rejected(content: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", **content)
    np.save(tmp_path / "other.npy", np.ones(3))
    for name in ("other.npz", "other.npy"):
        with pytest.raises(ValueError, match=rf"{name} is not a saved attribution"):
            Attribution.load(tmp_path / name)


def test_missing_attribution_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        Attribution.load(tmp_path / "nothing.npz")


@pytest.mark.parametrize(("samples", "write", "most"), [(8192, "save", 2**25), (32, "to_csv", 2**19)])
def test_files_are_written_in_parts(samples: int, write: str, most: int, tmp_path: Path) -> None:
    rows, of_inputs = zeros((samples, 1024)), zeros((samples,))  # they take no memory: 64 MB each, or a table of 1 MB
    a = Attribution(
        values=rows,
        stderr=rows,
        imag_values=None,
        x=rows,
        baseline=rows,
        f_input=of_inputs,
        f_baseline=of_inputs,
        completeness_gap_stderr=of_inputs,
        assumptions=Assumptions("quadratic", "exact", "identity", ("Z(q(0))",), "constant 0"),
    )
    tracemalloc.start()
    try:
        getattr(a, write)(tmp_path / "a")
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@each_kind
def test_csv_has_one_line_per_input_and_feature(a: Attribution, tmp_path: Path) -> None:
    with a.to_csv(tmp_path / "map.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == a.values.size
    inputs = a.values.size // 8
    assert [(row["input"], row["feature"], row["bits"]) for row in rows] == [
        (str(i), str(k), f"{k:03b}") for i in range(inputs) for k in range(8)
    ]
    for column in ("values", "stderr"):
        numbers = np.array([float(row[column.removesuffix("s")]) for row in rows])
        np.testing.assert_array_equal(numbers, getattr(a, column).ravel())
    np.testing.assert_array_equal(np.array([complex(row["x"]) for row in rows]), a.x.ravel())


# the value


@each_kind
def test_attribution_arrays_are_read_only_copies(a: Attribution) -> None:
    for name in ARRAYS:
        array = getattr(a, name)
        if array is not None:
            assert not array.flags.writeable
    mine = a.values.copy()
    other = replace(a, values=mine)
    mine += 1
    np.testing.assert_array_equal(other.values, a.values)
    with pytest.raises(AttributeError):
        a.values = mine  # type: ignore[misc]


def test_attribution_equality() -> None:
    a = KINDS["batch, complex, set, head"]
    assert a == replace(a)
    for name in ARRAYS:
        assert a != replace(a, **{name: getattr(a, name) + 1e-9})
    assert a != replace(a, imag_values=None)
    assert a != replace(a, cost=Cost())
    assert a != replace(a, assumptions=replace(a.assumptions, seed=6))
    assert a != replace(a, provenance=Provenance({}, "then"))
    assert a != "a"
    assert KINDS["single"] != KINDS["batch"]


@each_kind
def test_completeness_gap_and_real_values(a: Attribution) -> None:
    assert_close(a.real_values, a.values if a.imag_values is None else a.values - a.imag_values)
    assert_close(a.completeness_gap, a.values.sum(axis=-1) - a.f_input + a.f_baseline, scale=1.0)
    shifted = replace(a, f_input=a.f_input + 1)
    assert_close(shifted.completeness_gap, a.completeness_gap - 1, scale=1.0)


@pytest.mark.parametrize("name", KINDS)
def test_batch_holds_the_inputs_of_all_axes_one_after_the_other(name: str) -> None:
    a, batch = KINDS[name], KINDS[name].as_batch()
    assert batch.values.ndim == 2
    places = list(np.ndindex(a.values.shape[:-1]))
    assert len(batch) == len(places)
    for own, place in zip(batch, places, strict=True):
        one = a
        for index in place:
            one = one[index]
        assert own == one
        assert not place or f"input {', '.join(map(str, place))}: {own.answer(count=3)}" in repr(a) or len(places) > 3
    assert batch.as_batch() is batch


@pytest.mark.parametrize("name", ["batch", "batch, complex, set, head", "two axes", "two axes, complex, set"])
def test_indexing_a_batch_equals_a_single_input(name: str) -> None:
    a = KINDS[name]
    assert len(a) == a.values.shape[0]
    for i in (0, len(a) - 1, -1):
        one = a[i]
        for field in ("values", "stderr", "x", "f_input", "f_baseline", "completeness_gap_stderr"):
            np.testing.assert_array_equal(getattr(one, field), getattr(a, field)[i])
        assert np.broadcast_shapes(one.baseline.shape[-one.values.ndim :], one.values.shape) == one.values.shape
        assert (one.cost, one.assumptions) == (a.cost, a.assumptions)
    part = a[1:]
    assert len(part) == len(a) - 1
    np.testing.assert_array_equal(part[0].values, a[1].values)
    np.testing.assert_array_equal(part[0].baseline, a[1].baseline)
    assert [a[i].f_input.tolist() for i in range(len(a))] == a.f_input.tolist()


def test_indexing_a_batch_keeps_its_baselines() -> None:
    case, rng = random_case(3, seed=11), np.random.default_rng(3)
    x, b = amplitudes(rng, 2, 3, 8)
    a = integrated_gradients(case.model, x, baseline=b)
    np.testing.assert_array_equal(a[1].baseline, b[1])
    np.testing.assert_array_equal(a[1:].baseline, b[1:])
    rows = amplitudes(rng, 4, 8)
    np.testing.assert_array_equal(integrated_gradients(case.model, x, baseline=BaselineSet(rows))[1].baseline, rows)


def test_single_attribution_has_no_length_or_index() -> None:
    a = KINDS["single"]
    with pytest.raises(TypeError, match=r"use \.values\[k\]"):
        a[0]
    with pytest.raises(TypeError, match="has no length"):
        len(a)
    with pytest.raises(IndexError):
        KINDS["batch"][3]


def test_top_features_by_absolute_value() -> None:
    values = np.array([0.1, -0.9, 0.5, 0, 0, 0, 0.9, -0.2])
    a = replace(KINDS["single"], values=values)
    assert a.top(3) == [(1, -0.9), (6, 0.9), (2, 0.5)]
    assert len(a.top()) == 5
    assert len(a.top(100)) == 8
    with pytest.raises(TypeError, match=r"a\[0\]\.top\(\)"):
        KINDS["batch"].top()


def test_attribution_repr_has_assumptions_and_cost() -> None:
    text = repr(KINDS["single"])
    for part in ("one input, 8 features", "form quadratic", "head identity", "baseline constant 0.25", "rule exact"):
        assert part in text
    for part in ("ResolvedHadamardTest", "engine qsim; seed 5", "3 circuits, 1000 shots, 17 two-qubit gates"):
        assert part in text
    assert text.splitlines()[0] == KINDS["single"].answer()
    assert "3 inputs" in repr(KINDS["batch, complex, set, head"])
    assert "softmax(scale=2, target=1)" in repr(KINDS["batch, complex, set, head"])
    assert "set of 4" in repr(KINDS["batch, complex, set, head"])
    assert "6 inputs" in repr(KINDS["two axes"])
    assert "0 inputs" in repr(KINDS["empty batch"])


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_attribution_with_values_that_are_not_finite_is_rejected(name: str, bad: float) -> None:
    a = KINDS["batch, complex, set, head"]
    array = getattr(a, name).copy()
    array.flat[-1] = bad
    with pytest.raises(ValueError, match=f"{name} of an attribution must be finite"):
        replace(a, **{name: array})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("stderr", (3, 7)),
        ("stderr", (8,)),
        ("imag_values", (2, 8)),
        ("x", (1, 8)),
        ("f_input", ()),
        ("f_baseline", (1,)),
        ("completeness_gap_stderr", (3, 1)),
        ("baseline", (4, 3, 7)),
        ("baseline", (4, 2, 8)),
        ("baseline", (2, 8)),
        ("baseline", ()),
    ],
)
def test_attribution_with_mismatched_shapes_is_rejected(name: str, shape: tuple[int, ...]) -> None:
    change: dict[str, Any] = {name: np.zeros(shape)}
    with pytest.raises(ValueError, match=f"{name}.shape="):
        replace(KINDS["batch, complex, set, head"], **change)


def test_exact_attribution_has_no_error_and_no_cost() -> None:
    case = random_case(2, seed=1)
    a = integrated_gradients(case.model, np.eye(4), baseline=0)
    assert not a.stderr.any()
    assert not a.completeness_gap_stderr.any()
    assert a.cost == Cost(0, 0, 0)
    assert a.assumptions == Assumptions(
        form="quadratic",
        rule="exact",
        head="identity",
        observables=(case.model.observable_text,),
        baseline="constant 0",
    )
    assert set(a.provenance.versions) >= {"python", "hattriq_cirq", "cirq-core", "numpy"}
    assert a.provenance.created_utc.endswith("+00:00")
