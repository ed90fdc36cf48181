"""Gates and channels as real matrices in the Pauli basis, in which a density matrix is a real vector."""

from __future__ import annotations

from functools import lru_cache, reduce
from typing import Any

import numpy as np

from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.devices import namespace

_PAULIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


def transfer_matrix(kraus: Array) -> FloatArray:
    """Return the matrix, (..., 4**k, 4**k), in the Pauli basis of a channel with Kraus operators (..., operators, 2**k, 2**k).

    Example:
        >>> import cirq
        >>> transfer_matrix(cirq.unitary(cirq.X)[np.newaxis]).diagonal()
        array([ 1.,  1., -1., -1.])
    """
    size = kraus.shape[-1]
    basis = _basis(size.bit_length() - 1)
    moved = np.einsum("...kab,...kcd->...acbd", kraus, kraus.conj()).reshape(*kraus.shape[:-3], size**2, size**2)
    return np.asarray((basis.conj() @ moved @ basis.T).real / size)


def phased_xz_transfer(x: Any, z: Any, a: Any) -> Any:
    """Return the matrices of PhasedXZ gates in the Pauli basis, (..., 4, 4), for arrays of exponents, (...,) each.

    The gate turns the Bloch vector by -pi a about Z, by pi x about X, and by pi (z + a) about Z.

    Example:
        >>> phased_xz_transfer(np.array(1.0), np.array(0.0), np.array(0.0)).diagonal().round(3)
        array([ 1.,  1., -1., -1.])
    """
    xp = namespace(x)
    exponents = xp.broadcast_arrays(x, z + a, -a)
    x, after, before = (xp.pi * xp.reshape(exponent, (-1,)) for exponent in exponents)
    (cx, sx), (cz, sz), (ca, sa) = ((xp.cos(angle), xp.sin(angle)) for angle in (x, after, before))
    zero, one = xp.zeros_like(x), xp.ones_like(x)
    rows = [
        [one, zero, zero, zero],
        [zero, cz * ca - sz * cx * sa, -cz * sa - sz * cx * ca, sz * sx],
        [zero, sz * ca + cz * cx * sa, -sz * sa + cz * cx * ca, -cz * sx],
        [zero, sx * sa, sx * ca, cx],
    ]
    matrices = xp.stack([number for row in rows for number in row], axis=-1)
    return xp.reshape(matrices, (*exponents[0].shape, 4, 4))


@lru_cache(maxsize=8)
def _basis(qubits: int) -> Array:
    """Return the Pauli strings on k qubits, one flattened matrix per row, (4**k, 4**k)."""
    strings = reduce(lambda left, right: np.array([np.kron(a, b) for a in left for b in right]), [_PAULIS] * qubits)
    return np.asarray(strings.reshape(4**qubits, -1))
