"""Interactions between features against coalitions, the map, circuits and the errors of campaigns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import cirq
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from propagated import propagated_stderr
from strategies import Case, amplitudes, assert_close, cases, generators, random_case
from swept_engine import swept_engine

import hattriq_cirq as hq
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.models.quadratic_form import QuadraticForm


def values_of(xs: np.ndarray, choice: dict[str, Any], model: QuadraticForm) -> np.ndarray:
    return hq.interactions(model, xs, **choice).values


def value_of(case: Case, x: np.ndarray, b: np.ndarray, members: tuple[int, ...]) -> float:
    """Return the score of x on some features and of the baseline on the others."""
    point = b.copy()
    point[list(members)] = x[list(members)]
    return float(case.oracle().score(point))


@given(case=cases(3), imaginary=st.booleans(), rng=generators)
def test_game_of_coalitions_is_the_sum_of_main_and_pair_effects(case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    x, b = amplitudes(rng, 2, case.features, imaginary=imaginary)
    matrix = hq.interactions(case.model, x, baseline=b).values
    members = tuple(int(k) for k in np.flatnonzero(rng.random(case.features) < 0.5))
    total = sum(matrix[k, k] for k in members) + sum(2 * matrix[j, k] for j, k in combinations(members, 2))
    size = float(np.abs(x).max() + np.abs(b).max()) ** 2 * case.features
    assert_close(total, value_of(case, x, b, members) - value_of(case, x, b, ()), 1e-12, size)


@given(case=cases(4), imaginary=st.booleans(), rng=generators)
def test_rows_sum_to_the_map_for_any_kind_of_baseline(case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    xs, bs = amplitudes(rng, 2, 3, case.features, imaginary=imaginary)
    size = float(np.abs(xs).max() + np.abs(bs).max()) ** 2 * case.features
    for baseline in (0, bs[0], bs, hq.BaselineSet(bs)):
        found = hq.interactions(case.model, xs, baseline=baseline)
        expected = hq.integrated_gradients(case.model.traceless(), xs, baseline=baseline).values
        part = hq.interactions(case.model.traceless(), xs, baseline=baseline)
        assert_close(part.attribution, expected, 1e-12, size)
        assert_close(found.values, found.values.swapaxes(-1, -2), 1e-12, size)


@given(case=cases(4), rng=generators)
def test_groups_are_sums_over_blocks_with_and_without_the_whole_matrix(case: Case, rng: np.random.Generator) -> None:
    xs, bs = amplitudes(rng, 2, 2, case.features, imaginary=True)
    groups = rng.permutation(np.arange(case.features) % 3)
    whole = hq.interactions(case.model, xs, baseline=bs)
    size = float(np.abs(xs).max() + np.abs(bs).max()) ** 2 * case.features
    assert_close(hq.interactions(case.model, xs, baseline=bs, groups=groups).values, whole.grouped(groups), 1e-12, size)


@pytest.mark.parametrize("scale", [1e-140, 1e140])
def test_interactions_of_inputs_of_any_size(scale: float) -> None:
    case = random_case(2, 4)
    x = np.array([0.6, -0.3, 0.5, 0.55])
    small = hq.interactions(case.model, x, baseline=0.1).values
    found = hq.interactions(case.model, scale * x, baseline=scale * 0.1).values
    np.testing.assert_allclose(found, small * scale**2, rtol=1e-12, atol=1e-12 * scale**2)


@pytest.mark.parametrize("kind", ["row", "pair", "groups"])
@pytest.mark.parametrize("simulator", [hq.cirq_simulator, hq.qsim])
@pytest.mark.parametrize("imaginary", [False, True])
def test_circuits_measure_the_rows_and_pairs_of_the_matrix(kind: str, imaginary: bool, simulator: Callable[[], Engine]) -> None:
    case, rng = random_case(2, 7), np.random.default_rng(5)
    xs, bs = amplitudes(rng, 2, 2, case.features, imaginary=imaginary)
    xs /= np.linalg.norm(xs)
    bs /= np.linalg.norm(bs)
    groups = [0, 1, 1, 2] if kind == "groups" else None
    estimator = hq.PolarizationShift() if kind == "pair" else hq.ResolvedHadamardTest()
    rows, columns = {"row": ([2, 0], None), "pair": ([1], [3]), "groups": ([1, 2], [0, 1])}[kind]
    exact = hq.interactions(case.model, xs, baseline=bs, groups=groups, rows=rows, columns=columns)
    found = hq.interactions(
        case.model,
        xs,
        baseline=bs,
        groups=groups,
        rows=rows,
        columns=columns,
        estimator=estimator,
        engine=simulator(),
    )
    np.testing.assert_allclose(found.values, exact.values, atol=1e-6)
    assert found.rows.tolist() == rows
    assert found.values.shape == (2, len(rows), 4 if columns is None else len(columns))


def test_pair_that_shots_measure_lies_within_its_errors() -> None:
    qubits = cirq.LineQubit.range(3)
    model = hq.ring_ansatz(3, layers=1, observable=cirq.X(qubits[0]) * cirq.X(qubits[1]))
    engine = hq.cirq_simulator(seed=3)
    x = np.arange(1.0, 9.0) / 14.3
    pair = hq.interactions(model, x, rows=[0], columns=[6], estimator=hq.PolarizationShift(), engine=engine, shots=20_000)
    exact = hq.interactions(model, x, rows=[0], columns=[6])
    assert abs(pair.values - exact.values).max() < 5 * pair.stderr.max() > 0


def test_errors_of_a_learned_model_are_those_of_its_coefficients() -> None:
    model, rng = random_case(2, 11).model, np.random.default_rng(2)
    xs, bs = amplitudes(rng, 2, 1, 4)
    learned = hq.learn_observable(model, engine=swept_engine(4), shots=20_000, inputs=xs, prior="none", seed=4)
    groups = [0, 1, 1, 0]
    choices: list[dict[str, Any]] = [{}, {"baseline": bs}, {"baseline": bs, "groups": groups}, {"groups": groups}]
    for choice in choices:
        found = hq.interactions(learned, xs, **choice)
        expected = propagated_stderr(learned, partial(values_of, xs, choice))
        assert found.stderr.max() > 0
        np.testing.assert_allclose(found.stderr, expected, rtol=1e-6, atol=1e-9)
    assert any("one campaign" in note for note in found.notes)


def test_features_that_equal_the_baseline_have_no_interactions() -> None:
    case, rng = random_case(3, 4), np.random.default_rng(6)
    x, b = amplitudes(rng, 2, 8)
    equal = np.array([True, False] * 4)
    for start in (np.zeros(8), b):
        matrix = hq.interactions(case.model, np.where(equal, start, x), baseline=start).values
        assert not matrix[equal].any()
        assert not matrix[:, equal].any()
        assert np.abs(matrix).max() > 0


def test_pairs_are_sorted_and_hold_the_whole_effect() -> None:
    case, rng = random_case(3, 2), np.random.default_rng(8)
    (x,) = amplitudes(rng, 1, 8)
    found = hq.interactions(case.model, x)
    pairs = found.pairs(top=5)
    effects = np.abs(np.triu(found.values, 1)) * 2
    np.testing.assert_allclose([abs(p.value) for p in pairs], np.sort(effects[effects > 0])[::-1][:5])
    assert all(p.first < p.second and p.value == 2 * found.values[p.first, p.second] for p in pairs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": [0, 1]}, "must hold an integer label"),
        ({"groups": [0, 1, -1, 0]}, r"a label of groups=-1 must lie in 0\.\.3"),
        ({"rows": [4]}, r"rows\[0\]=4"),
        ({"columns": [1, 1]}, "each once"),
        ({"shots": 10}, "need an estimator"),
        ({"estimator": hq.ResolvedHadamardTest(measured=(0,)), "engine": hq.cirq_simulator()}, "all data qubits"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hq.interactions(hq.ring_ansatz(2, 1), [0.6, 0.0, 0.8, 0.0], **arguments)  # type: ignore[arg-type]


def test_matrices_beyond_memory_are_refused_with_the_cure() -> None:
    model = hq.ring_ansatz(12, layers=1)
    x = np.zeros((64, 4096))
    with pytest.raises(ValueError, match="8 GiB; give fewer inputs at a time, or groups="):
        hq.interactions(model, x)
    assert hq.interactions(model, x, groups=np.arange(4096) // 1024).values.shape == (64, 4, 4)


def test_strings_that_were_left_out_count_as_for_maps() -> None:
    model, rng = random_case(3, 4).model, np.random.default_rng(2)
    x = amplitudes(rng, 8)
    learned = hq.learn_observable(model, engine=swept_engine(4), shots=10_000, inputs=x, prior="none", seed=4)
    short = replace(learned, record=replace(learned.record, truncated_share=0.01))
    for given_model, share in ((learned, 0.0), (short, 0.01)):
        pairs, one = hq.interactions(given_model, x), hq.integrated_gradients(given_model, x, baseline=0)
        orders = hq.correlation_orders(given_model, x)
        for values, systematic in (
            (pairs.values, pairs.systematic),
            (one.values, one.systematic),
            (orders.by_weight, orders.systematic),
        ):
            left_out = 0.0 if systematic is None else np.sum(systematic**2)
            assert left_out == pytest.approx(share * np.sum(values**2))


@given(rng=generators, rows=st.integers(1, 7), columns=st.integers(1, 7), top=st.integers(1, 70))
def test_pairs_are_those_of_a_plain_loop(rng: np.random.Generator, rows: int, columns: int, top: int) -> None:
    whole = rng.normal(size=(7, 7)) * (rng.random((7, 7)) < 0.7)
    part = hq.Interactions(whole + whole.T, np.abs(whole + whole.T), np.arange(7), np.arange(7))
    part = part.select(rng.permutation(7)[:rows], rng.permutation(7)[:columns])
    sizes = {}
    for i, row in enumerate(part.rows.tolist()):
        for j, column in enumerate(part.columns.tolist()):
            if row != column and part.values[i, j]:
                sizes[(min(row, column), max(row, column))] = 2 * part.values[i, j]
    found = part.pairs(top)
    assert {(pair.first, pair.second) for pair in found} <= set(sizes)
    assert [abs(pair.value) for pair in found] == sorted((abs(value) for value in sizes.values()), reverse=True)[:top]
    assert all(pair.value == sizes[pair.first, pair.second] and pair.stderr == abs(pair.value) for pair in found)


def test_labels_and_features_out_of_range_are_refused() -> None:
    model, x = hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.0, 0.8]
    with pytest.raises(ValueError, match=r"a label of groups=1000000000 must lie in 0\.\.3"):
        hq.interactions(model, x, groups=[0, 0, 1, 10**9])
    with pytest.raises(ValueError, match="9 is not among the 4 features or groups"):
        hq.interactions(model, x).select([9], [0])
