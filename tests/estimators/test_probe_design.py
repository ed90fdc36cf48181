"""Probes of an observable: their bases, their shares and their predicted errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from hattriq_cirq.estimators import probe_design
from hattriq_cirq.estimators.probe_design import basis_shares, candidate_bases, design_probes
from hattriq_cirq.models.pauli_strings import PauliStrings


@pytest.mark.parametrize("prior", [0.0, 0.3])
def test_shares_minimize_the_expected_error(prior: float) -> None:
    rng = np.random.default_rng(0)
    table, weights = (rng.random((12, 6)) < 0.4).astype(np.float32), rng.random(12) + 0.1
    table[np.arange(12), np.arange(12) % 6] = 1
    known = prior * rng.random(12)

    def error(shares: np.ndarray) -> float:
        return float(np.sum(weights / (table @ shares + known)))

    def of_logits(logits: np.ndarray) -> float:
        return error(np.exp(logits) / np.exp(logits).sum())

    best = minimize(
        of_logits, np.zeros(6), method="Nelder-Mead", options={"maxiter": 20_000, "fatol": 1e-10, "xatol": 1e-8}
    ).fun
    shares = basis_shares(table, weights, known)
    assert shares.sum() == pytest.approx(1)
    assert best <= error(shares) * (1 + 1e-6)
    assert error(shares) <= 1.01 * best


def test_strings_that_are_known_to_be_small_take_few_probes() -> None:
    strings, importance = PauliStrings.every(3), np.ones(63)
    prior = np.where(strings.y_counts > 0, 1e-8, 0.1)
    plain = design_probes(strings, importance, probes=300, seed=0)
    design = design_probes(strings, importance, probes=300, seed=0, known=1 / (10_000 * prior))
    assert design.squared_error(10_000, prior) < 0.7 * plain.squared_error(10_000, prior)


@pytest.mark.parametrize("real", [True, False])
def test_design_without_a_prior_determines_every_coefficient(real: bool) -> None:
    strings = PauliStrings.every(3)
    strings = strings.select(strings.is_real) if real else strings
    design = design_probes(strings, np.ones(len(strings)), probes=None, seed=0, full_rank=True)
    table = design.states.expectations(strings).toarray()
    assert np.linalg.matrix_rank(table) == len(strings)
    least_squares = float(np.trace(np.linalg.inv(table.T @ table))) * len(design.states)
    assert 1 < least_squares / design.squared_error(1) < 1.5  # six probes per string


def test_important_strings_are_seen_more_often() -> None:
    strings = PauliStrings.from_text(["XX", "ZZ", "YY"])
    shares = design_probes(strings, np.array([9.0, 1.0, 1.0]), probes=500, seed=0).shares
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.01)


def test_completions_see_every_string_where_bases_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    strings = PauliStrings.every(4)
    monkeypatch.setattr(probe_design, "_TABLE_MAX", 1000)
    bases = candidate_bases(strings, np.ones(len(strings)))
    agrees = (
        (bases.x_masks[:, np.newaxis] ^ strings.x_masks) | (bases.z_masks[:, np.newaxis] ^ strings.z_masks)
    ) & strings.supports
    assert (agrees == 0).any(axis=0).all()
    assert (bases.weights == 4).all()


def test_probes_depend_on_the_seed_and_repeat() -> None:
    strings = PauliStrings.every(2)
    first, same, other = (design_probes(strings, np.ones(15), probes=30, seed=seed).states for seed in (1, 1, 2))
    assert first.signs.tolist() == same.signs.tolist()
    assert first.signs.tolist() != other.signs.tolist()


def test_too_few_probes_without_a_prior_are_refused() -> None:
    with pytest.raises(ValueError, match="probes=10 cannot determine 15 coefficients"):
        design_probes(PauliStrings.every(2), np.ones(15), probes=10, seed=0, full_rank=True)


def test_every_string_is_seen_in_about_its_optimal_share_by_few_probes_on_many_qubits() -> None:
    rng = np.random.default_rng(3)
    every = PauliStrings.every(6)
    strings = every.select(rng.permutation(np.flatnonzero(every.is_real))[:30])
    strings = PauliStrings(8, strings.x_masks << 2, strings.z_masks << 2)
    importance = rng.uniform(0.1, 1, 30)
    design = design_probes(strings, importance, probes=180, seed=0)
    bases = candidate_bases(strings, importance)
    assert len(bases) < 3**6
    agree = [[all(a in ("I", b) for a, b in zip(s, t, strict=True)) for t in bases.texts] for s in strings.texts]
    table = np.array(agree, dtype=np.float32)
    optimal = np.sum(importance / (table @ basis_shares(table, importance, np.zeros(len(importance)))))
    assert design.shares.min() > 0
    assert np.sum(importance / design.shares) < 1.15 * optimal
