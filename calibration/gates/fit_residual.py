"""Test of a zero-noise fit: whether the outcomes with amplified noise follow the polynomial that is extrapolated."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy.linalg import null_space
from scipy.sparse import csr_array
from scipy.stats import norm

from hattriq_cirq.circuits.outcomes import Distribution, OutcomeWeights, QuasiDistribution
from hattriq_cirq.estimators.plan import Estimate
from hattriq_cirq.foundation.arrays import evenly_spaced, parity_signs
from hattriq_cirq.foundation.text import quantity

_LEVEL = 0.001  # probability of a false alarm
_CIRCUITS = 16  # circuits that are tested
_MAX_BITS = 11  # the parities of all pairs of bits are explicit weights of 2**bits outcomes


def residual_note(
    factors: Sequence[int], degree: int, grouped: Sequence[Sequence[Distribution | QuasiDistribution]]
) -> str | None:
    """Return a note on the fit's residuals, if there are more factors than coefficients and the outcomes are counted.

    A combination of the factors that vanishes on every polynomial of the degree should vanish on the outcomes too. It is
    tested for the parity of each bit and of each pair of bits; the smallest p-value is multiplied by the number of tests.

    Args:
        factors: Noise amplification factors.
        degree: Degree of the polynomial.
        grouped: Outcomes of each circuit, one per factor; at most 16 circuits are tested, evenly spaced.

    Returns:
        One sentence; None if there is nothing to test.

    Example:
        >>> counts = ([990, 10], [900, 100], [700, 300])
        >>> outcomes = [Distribution.from_counts(np.array(each)) for each in counts]
        >>> residual_note((1, 3, 5), 1, [outcomes])[:54]
        'the zero-noise fit of degree 1 does not agree with the'
    """
    contrasts = null_space(np.vander(np.array(factors, dtype=float), degree + 1, increasing=True).T).T
    pulls: list[float] = []
    for outcomes in evenly_spaced(grouped, _CIRCUITS) if len(contrasts) else []:
        for contrast in contrasts:
            residual = QuasiDistribution.combined(contrast.tolist(), outcomes)
            if residual.shots is None or residual.support is not None or len(residual.probabilities) > 2**_MAX_BITS:
                continue
            weights = _parities(len(residual.probabilities).bit_length() - 1)
            estimate = Estimate((weights,), (residual,), np.zeros(weights.shape[0]))
            pulls += np.abs(estimate.values / np.maximum(estimate.stderr, 1e-300)).tolist()
    if not pulls:
        return None
    found = f"by up to {max(pulls):.1f} standard errors in {quantity(len(pulls), 'test')}"
    if 2 * float(norm.sf(max(pulls))) * len(pulls) >= _LEVEL:
        return f"the zero-noise fit of degree {degree} agrees with the counts: it misses them {found}"
    return (
        f"the zero-noise fit of degree {degree} does not agree with the counts: it misses them {found}, so that values keep a "
        "bias beyond their errors; raise the degree, or twirl"
    )


def _parities(bits: int) -> OutcomeWeights:
    """Return the signs of the parity of each bit and each pair of bits, (parities, 2**bits)."""
    masks = [*(1 << i for i in range(bits)), *(1 << i | 1 << j for i, j in combinations(range(bits), 2))]
    return OutcomeWeights(csr_array(parity_signs(np.array(masks)[:, np.newaxis] & np.arange(2**bits))))
