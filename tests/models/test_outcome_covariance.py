"""Covariances of outcomes that share numbers: the same solutions in either space."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.models import outcome_covariance
from hattriq_cirq.models.outcome_covariance import OutcomeCovariance


@pytest.mark.parametrize("numbers", [0, 5, 60])
@pytest.mark.parametrize("least", [0.0, 1e-4], ids=["one outcome without an error of its own", "all with errors"])
def test_solutions_are_those_of_the_whole_matrix(numbers: int, least: float) -> None:
    rng = np.random.default_rng(1)
    own, dense = np.concatenate([[least], rng.uniform(0.1, 1, 39)]), rng.normal(size=(40, 2))
    table = csr_array(rng.normal(size=(40, numbers)) * (rng.random((40, numbers)) < 0.2))
    covariance = OutcomeCovariance.of(own, dense, table)
    matrix = np.diag(own) + dense @ dense.T + (table @ table.T).toarray()
    inverse, values = np.linalg.inv(matrix), rng.normal(size=40)
    np.testing.assert_allclose(covariance.diagonal, matrix.diagonal(), rtol=1e-12)
    np.testing.assert_allclose(covariance.solve(values), inverse @ values, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(covariance.inverse_diagonal, inverse.diagonal(), rtol=1e-6)


def test_matrix_that_is_factored_is_the_smaller_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counted(matrix: FloatArray, **_: object) -> tuple[FloatArray, bool]:
        sizes.append(len(matrix))
        return np.eye(len(matrix)), True

    monkeypatch.setattr(outcome_covariance, "cho_factor", counted)
    for numbers in (3, 50):
        OutcomeCovariance.of(np.full(30, 0.1), np.ones((30, numbers))).solve(np.ones(30))
    assert sizes == [3, 30]
