"""Standard errors from a finite number of gauges, and the blocks of gauges that cancel coherent errors."""

from __future__ import annotations

from itertools import product

import cirq
import numpy as np
import pytest
from scipy.sparse import csr_array

from calibration.gates.gauge_scatter import mean_over_gauges
from calibration.gates.pauli_twirling import _blocks, block_size
from hattriq_cirq.circuits.outcomes import Distribution, OutcomeWeights, QuasiDistribution

PAULIS = [cirq.unitary(gate) for gate in (cirq.I, cirq.X, cirq.Y, cirq.Z)]
STRINGS = [np.kron(*pair) for pair in product(PAULIS, repeat=2)]


def test_each_block_of_gauges_cancels_the_usual_errors_of_a_pair_of_qubits() -> None:
    assert sorted(_blocks(16).reshape(-1)) == list(range(16))
    for block in _blocks(16):
        for error in ("XX", "YY", "ZZ", "IZ", "ZI", "XY", "YX"):
            matrix = np.kron(*(PAULIS["IXYZ".index(letter)] for letter in error))
            mean = sum(STRINGS[g] @ matrix @ STRINGS[g] for g in block) / 4
            assert np.abs(mean).max() == (1 if error == "XY" else 0)  # XY is one of the strings of the block itself


def test_circuits_take_the_largest_block_of_their_gates() -> None:
    a, b, c = cirq.LineQubit.range(3)
    assert block_size(cirq.Circuit(cirq.X(a), cirq.measure(a, b))) == 1
    assert block_size(cirq.Circuit(cirq.CZ(a, b), cirq.SQRT_ISWAP(b, c), cirq.measure(a, b))) == 8


@pytest.mark.parametrize(("gauges", "block"), [(16, 4), (4, 1), (32, 1)])
@pytest.mark.parametrize("scatter", [0.0, 0.02])
def test_pulls_of_means_over_gauges_have_unit_width(gauges: int, block: int, scatter: float) -> None:
    """Gauges whose errors cancel within each block, except for the scatter between blocks."""
    rng, every = np.random.default_rng(2), OutcomeWeights(csr_array(np.eye(16)))
    p, pulls = rng.dirichlet(10 * np.ones(16)), []
    for _ in range(200):
        outcomes = []
        for _ in range(gauges // block):
            of_block = rng.normal(size=16) * scatter
            of_gauges = rng.normal(size=(block, 16)) * 0.1
            shifted = np.abs(p + p.mean() * (of_block + of_gauges - of_gauges.mean(axis=0)))
            outcomes += [Distribution.from_counts(rng.multinomial(10_000, row / row.sum())) for row in shifted]
        mean = mean_over_gauges(outcomes, block)
        moved = QuasiDistribution.from_outcome(mean).sensitivities(every)
        variances = mean.variances(every) + sum(key.variances(slopes) for key, slopes in moved.items())
        pulls.append((mean.probabilities - p) / np.sqrt(variances))
    assert 0.9 < np.std(pulls) < 1.1


def test_one_gauge_says_nothing_of_others() -> None:
    counts = Distribution.from_counts(np.array([3, 1]))
    assert mean_over_gauges([counts], 4) is counts
    same = Distribution(np.array([0.75, 0.25]), None)
    assert isinstance(mean_over_gauges([same] * 8, 4), Distribution)
