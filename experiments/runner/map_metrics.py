"""How near a map is to the exact one, a number a map."""

from __future__ import annotations

import numpy as np

from hattriq_cirq.foundation.arrays import FloatArray


def errors(found: FloatArray, exact: FloatArray) -> FloatArray:
    """Relative L2 error of maps (..., features), (...,)."""
    return np.asarray(np.linalg.norm(found - exact, axis=-1) / np.linalg.norm(exact, axis=-1))


def cosines(found: FloatArray, exact: FloatArray) -> FloatArray:
    """Cosine to the exact map, (...,); 0 for a blank map."""
    sizes = np.linalg.norm(found, axis=-1) * np.linalg.norm(exact, axis=-1)
    return np.asarray(np.divide(np.sum(found * exact, axis=-1), sizes, out=np.zeros_like(sizes), where=sizes > 0))


def slopes(found: FloatArray, exact: FloatArray) -> FloatArray:
    """Slope against the exact map, (...,)."""
    return np.asarray(np.sum(found * exact, axis=-1) / np.sum(exact**2, axis=-1))


def sign_agreement(found: FloatArray, exact: FloatArray, share: float = 0.1) -> FloatArray:
    """How many of the features that matter have the right sign, (...,) in [0, 1].

    Those that matter have at least a share of the largest absolute value of the exact map.
    """
    matter = np.abs(exact) >= share * np.abs(exact).max(axis=-1, keepdims=True)
    return np.asarray(np.sum((found * exact > 0) & matter, axis=-1) / matter.sum(axis=-1))
