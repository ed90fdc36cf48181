"""Parts and sums of attribution maps, against explicit sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cirq
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import KINDS, Case, amplitudes, assert_close, cases, generators, random_case, references

from hattriq_cirq.attribution import decomposition
from hattriq_cirq.attribution.objective import Head
from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients


@given(case=cases(), kind=st.sampled_from(KINDS), lead=st.sampled_from([(), (2,)]), imaginary=st.booleans(), rng=generators)
def test_population_is_the_diagonal_part_and_parts_sum_to_the_map(
    case: Case, kind: str, lead: tuple[int, ...], imaginary: bool, rng: np.random.Generator
) -> None:
    x = amplitudes(rng, *lead, case.features, imaginary=imaginary)
    baseline, bs = references(kind, rng, x, imaginary)
    a = integrated_gradients(case.model, x, baseline=baseline)
    split = decomposition.split_population(case.model, a)
    alone = oracle.Oracle([np.diag(np.diag(case.matrices()[0]))])
    rows = x.reshape(-1, case.features)
    full = [np.broadcast_to(b, x.shape).reshape(rows.shape) for b in bs]
    parts = [[alone.integrated_gradients(r, c) for r, c in zip(rows, b, strict=True)] for b in full]
    expected = np.mean(parts, axis=0).sum(axis=1).reshape(x.shape)
    size = float(np.max(np.abs(x)) ** 2)
    assert_close(split.population, expected, scale=size)
    assert_close(split.population + split.interference, a.values, scale=size)


def test_diagonal_model_has_no_interference() -> None:
    a, b = cirq.LineQubit.range(2)
    case = Case(cirq.Circuit(cirq.CZ(a, b), cirq.T(a)), [a, b], cirq.Z(a) + 0.5 * cirq.Z(b))
    x = np.array([0.1, 0.2, 0.3, 0.4])
    split = decomposition.split_population(case.model, integrated_gradients(case.model, x, baseline=0))
    assert_close(split.interference, np.zeros(4), scale=1.0)
    assert_close(split.population, np.array([1.5, 0.5, -0.5, -1.5]) * x**2)


def test_split_population_rejects_other_forms_and_models() -> None:
    case, x, b = random_case(2, seed=1), np.arange(1.0, 5.0), np.array([1.0, -1.0, 1.0, 0.0])
    maps = {
        "form='normalized'": integrated_gradients(case.model, x, baseline=b, form="normalized"),
        "head='tanh": integrated_gradients(case.model, x, baseline=b, head=Head("tanh")),
        "not of Model": integrated_gradients(random_case(2, seed=5).model, x, baseline=b),
        "on 8 features": integrated_gradients(random_case(3, seed=1).model, np.ones(8), baseline=0),
    }
    for message, a in maps.items():
        with pytest.raises(ValueError, match=message):
            decomposition.split_population(case.model, a)


@given(n_qubits=st.integers(1, 6), lead=st.sampled_from([(), (3,), (2, 2)]), rng=generators)
def test_by_qubit_sums_over_bits(n_qubits: int, lead: tuple[int, ...], rng: np.random.Generator) -> None:
    values = rng.normal(size=(*lead, 2**n_qubits))
    sums = decomposition.by_qubit(values)
    assert sums.shape == (*lead, n_qubits, 2)
    for qubit in range(n_qubits):
        for bit in (0, 1):
            where = [k for k in range(2**n_qubits) if f"{k:0{n_qubits}b}"[qubit] == str(bit)]
            assert_close(sums[..., qubit, bit], values[..., where].sum(axis=-1), scale=10.0)
    assert_close(sums.sum(axis=-1), np.repeat(values.sum(axis=-1)[..., np.newaxis], n_qubits, axis=-1), scale=10.0)


@given(rows=st.integers(1, 5), cols=st.integers(1, 5), lead=st.sampled_from([(), (3,)]), rng=generators)
def test_by_row_column_and_region_sum_over_pixels(
    rows: int, cols: int, lead: tuple[int, ...], rng: np.random.Generator
) -> None:
    values = rng.normal(size=(*lead, rows * cols))
    by_row = decomposition.by_row(values, (rows, cols))
    by_column = decomposition.by_column(values, (rows, cols))
    assert (by_row.shape, by_column.shape) == ((*lead, rows), (*lead, cols))
    for i in range(rows):
        assert_close(by_row[..., i], sum(values[..., i * cols + j] for j in range(cols)), scale=10.0)
    for j in range(cols):
        assert_close(by_column[..., j], sum(values[..., i * cols + j] for i in range(rows)), scale=10.0)
    regions = rng.integers(4, size=(rows, cols))
    by_region = decomposition.by_region(values, regions)
    assert by_region.shape == (*lead, regions.max() + 1)
    for label in range(regions.max() + 1):
        expected = sum((values[..., k] for k in range(rows * cols) if regions.flat[k] == label), np.zeros(lead))
        assert_close(by_region[..., label], expected, scale=10.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decomposition.by_qubit(np.ones(6)), r"\(6,\).* must end in a power of 2"),
        (lambda: decomposition.by_row(np.ones(6), (2, 2)), r"image_shape=\(2, 2\) must hold 6 features"),
        (lambda: decomposition.by_column(np.ones(6), (4, 2)), r"image_shape=\(4, 2\) must hold 6 features"),
        (lambda: decomposition.by_region(np.ones(4), [0, 1]), r"labels.shape=\(2,\) must hold a label"),
        (lambda: decomposition.by_region(np.ones(2), [0, -1]), "label >= 0"),
        (lambda: decomposition.by_region(np.ones(2), [0.0, 1.5]), "label"),
    ],
)
def test_decomposition_rejects_invalid_shapes(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
