"""The effect of an approximate state preparation on an attribution map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.other_methods import shapley
from hattriq_cirq.encoding.approximate import ApproximateEncoding
from hattriq_cirq.foundation.arrays import as_amplitudes
from hattriq_cirq.models.model import Model


@dataclass(frozen=True)
class MapEffect:
    """What an approximate input does to an attribution map: cosine to the exact map, and L2 error as a share of its norm."""

    cosine: float
    relative_error: float


def map_effect(model: Model, x: ArrayLike, encoding: ApproximateEncoding, baseline: ArrayLike = 0.0) -> MapEffect:
    """Compares the attribution map of x with that of the state an approximate encoding holds instead.

    Args:
        model: F(x) = x' M x.
        x: (2**n,) real, what was encoded; the vector prepared is scaled to its norm.
        encoding: of x.
        baseline: a number or (2**n,) real, the same for both maps.

    Returns:
        Cosine and relative L2 error between Re((x - b) o M (x + b)) and the same of the state prepared.

    Raises:
        ValueError: x is of another size, or its map is zero everywhere.
    """
    wanted = as_amplitudes(x, "x", model.n_features)
    prepared = np.linalg.norm(wanted) * encoding.vector
    exact, held = (shapley(model, p, baseline=baseline) for p in (wanted, prepared))
    size = float(np.linalg.norm(exact))
    if size == 0:
        raise ValueError("the map of x is zero everywhere: nothing to compare with")
    other = float(np.linalg.norm(held))
    cosine = float(exact @ held) / (size * other) if other else 0.0
    return MapEffect(cosine, float(np.linalg.norm(held - exact)) / size)
