"""The effect of an approximate state preparation on an attribution map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.other_methods import shapley
from hattriq_cirq.encoding.approximate import ApproximateEncoding, reweighting
from hattriq_cirq.foundation.arrays import scaling_exponents, times_power_of_2, unit_vector_and_norm
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.models.model import model_inputs
from hattriq_cirq.models.quadratic_form import QuadraticForm


@dataclass(frozen=True)
class MapEffect:
    """Change of an attribution map by an approximate input.

    Args:
        cosine: Cosine between the approximate and the exact map.
        relative_error: L2 error as a share of the norm of the exact map.
        reweighted_error: The same error after the values were multiplied by the factors of `encoding.reweighting`.
    """

    cosine: float
    relative_error: float
    reweighted_error: float


@with_numpy_defaults
def map_effect(model: QuadraticForm, x: ArrayLike, encoding: ApproximateEncoding, baseline: ArrayLike = 0.0) -> MapEffect:
    """Compare the attribution map of x with that of the state that an approximate encoding prepares instead.

    Args:
        model: Quadratic form F(x) = x' M x.
        x: Real vector that was encoded, (2**n,); the prepared vector is scaled to its norm.
        encoding: Approximate encoding of x.
        baseline: Number or real vector, (2**n,), the same for both maps.

    Returns:
        Cosine and relative L2 errors between Re((x - b) o M (x + b)) and the same map of the prepared state.

    Raises:
        ValueError: x has another size, or its map is zero everywhere.

    Example:
        >>> import cirq
        >>> from hattriq_cirq import encoding, ring_ansatz
        >>> x = [1, 2, 3, 4, 5, 6, 7, 9, 1, 1, 5, 3, 2, 4, 4, 0]
        >>> approximate = encoding.approximate_encoding(x, cirq.LineQubit.range(4), layers=1)
        >>> round(map_effect(ring_ansatz(4, 1), x, approximate).cosine, 2)
        0.98
    """
    x = model_inputs(model, x)
    prepared = unit_vector_and_norm(x)[1] * encoding.vector
    exact, approximate = (shapley(model, state, baseline=baseline) for state in (x, prepared))
    unit = scaling_exponents(exact, approximate)
    exact, approximate = (times_power_of_2(values, -unit) for values in (exact, approximate))
    size = float(np.linalg.norm(exact))
    if size == 0:
        raise ValueError("the map of x is zero everywhere and cannot be compared; choose another baseline")
    other = float(np.linalg.norm(approximate))
    cosine = float(exact @ approximate) / (size * other) if other else 0.0
    reference = np.asarray(baseline)
    reweighted = approximate * reweighting(x - reference, prepared - reference)
    return MapEffect(cosine, *(float(np.linalg.norm(values - exact)) / size for values in (approximate, reweighted)))
