"""Gates of a swept circuit as matrices, one for each point of the sweep, and single-qubit gates as exponents of PhasedXZ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import cirq
import numpy as np
import sympy

from hattriq_cirq.circuits.program import Point
from hattriq_cirq.foundation.arrays import Array, FloatArray

#: Value of each symbol at every point of a sweep, (points,).
Columns = Mapping[str, FloatArray]
#: Smaller angles in half turns are 0: such a rotation changes no amplitude by more than 2e-11.
NEGLIGIBLE = 1e-11


def columns_of(points: Sequence[Point]) -> Columns:
    """Return points as one array for each symbol.

    Example:
        >>> columns_of([{"a": 0.5}, {"a": 1.0}])
        {'a': array([0.5, 1. ])}
    """
    return {name: np.array([point[name] for point in points], dtype=float) for name in (points[0] if points else ())}


def evaluate(value: Any, columns: Columns) -> FloatArray:
    """Return a number or an expression of symbols at every point: an array (points,), or () where it is constant.

    Example:
        >>> evaluate(1 - sympy.Symbol("a"), {"a": np.array([0.5, 1.0])})
        array([0.5, 0. ])
    """
    if isinstance(value, sympy.Symbol):
        return columns[value.name]
    if isinstance(value, sympy.Add | sympy.Mul):
        combine = np.add if isinstance(value, sympy.Add) else np.multiply
        return np.asarray(reduce(combine, (evaluate(part, columns) for part in value.args)))
    if isinstance(value, sympy.Basic) and value.free_symbols:
        names = sorted(map(str, value.free_symbols))
        return np.asarray(sympy.lambdify(names, value, "numpy")(*(columns[name] for name in names)), dtype=float)
    return np.asarray(float(value))


def unitaries(op: cirq.Operation, columns: Columns) -> Array:
    """Return the unitary of an operation at every point, (points, 2**k, 2**k), or (1, 2**k, 2**k) where it is constant.

    Raises:
        TypeError: The operation is not unitary.

    Example:
        >>> flip = cirq.X(cirq.q(0)) ** sympy.Symbol("a")
        >>> unitaries(flip, {"a": np.array([0.0, 1.0])}).round(3).real
        array([[[1., 0.],
                [0., 1.]],
        <BLANKLINE>
               [[0., 1.],
                [1., 0.]]])
    """
    gate = op.gate
    if isinstance(gate, cirq.PhasedXZGate):
        exponents = (gate.x_exponent, gate.z_exponent, gate.axis_phase_exponent)
        return phased_xz_unitaries(*(evaluate(exponent, columns) for exponent in exponents))
    if not cirq.is_parameterized(op):
        return np.asarray(cirq.unitary(op))[np.newaxis]
    names = sorted(cirq.parameter_names(op))
    rows = zip(*(columns[name].tolist() for name in names), strict=True)
    return np.array([cirq.unitary(cirq.resolve_parameters(op, dict(zip(names, row, strict=True)))) for row in rows])


def phased_xz_unitaries(x: FloatArray, z: FloatArray, a: FloatArray) -> Array:
    """Return the unitaries of PhasedXZ gates up to their phases, (points, 2, 2), for exponents that are (points,) or ().

    Example:
        >>> phased_xz_unitaries(np.array(0.0), np.array(0.5), np.array(0.0)).diagonal(axis1=1, axis2=2).round(3)
        array([[1.+0.j, 0.+1.j]])
    """
    x, z, a = np.broadcast_arrays(x, z, a)
    cosine, sine = np.cos(np.pi * x / 2), -1j * np.sin(np.pi * x / 2)
    phase, axis = np.exp(1j * np.pi * z), np.exp(1j * np.pi * a)
    entries = np.stack([cosine, sine * axis.conj(), sine * axis * phase, cosine * phase], axis=-1)
    return np.asarray(entries.astype(np.complex128).reshape(-1, 2, 2))


def phased_xz_exponents(matrices: Array) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the exponents x, z, a of PhasedXZ gates with given unitaries, up to their phases.

    Rounding errors of the unitaries stay rounding errors: exponents that do not matter are 0, such as a where x is 0 and z
    where x is 1, and values within rounding of a border are on it.

    Args:
        matrices: Unitaries, (..., 2, 2).

    Returns:
        Exponents, (...,) each: x in [0, 1], z and a in (-1, 1].

    Example:
        >>> [float(exponent) for exponent in phased_xz_exponents(cirq.unitary(cirq.S))]
        [0.0, 0.5, 0.0]
    """
    m00, m01, m10, m11 = (matrices[..., i, j] for i in (0, 1) for j in (0, 1))
    cosine, sine = np.hypot(np.abs(m00), np.abs(m11)), np.hypot(np.abs(m01), np.abs(m10))
    x = 2 / np.pi * np.arctan2(sine, cosine)
    x = np.where(x < NEGLIGIBLE, 0.0, np.where(x > 1 - NEGLIGIBLE, 1.0, x))
    half_sum = np.angle(m11 * m00.conj()) / np.pi  # z
    difference = np.angle(m10 * m01.conj()) / np.pi  # 2 a + z
    relative = np.angle(1j * m10 * m00.conj()) / np.pi  # a + z
    z = np.where(x == 1, 0.0, half_sum)
    a = np.where(x == 0, 0.0, np.where(x == 1, _wrap(difference) / 2, relative - z))
    return x, _wrap(z), _wrap(a)


def after_z_rotation(
    x: FloatArray, z: FloatArray, a: FloatArray, turns: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the exponents of PhasedXZ gates together with Z**turns before them, as `phased_xz_exponents` would.

    Example:
        >>> [float(exponent) for exponent in after_z_rotation(*phased_xz_exponents(cirq.unitary(cirq.S)), np.array(0.25))]
        [0.0, 0.75, 0.0]
    """
    z = np.where(x == 1, 0.0, _wrap(z + turns))
    a = np.where(x == 0, 0.0, np.where(x == 1, _wrap(2 * a - turns) / 2, _wrap(a - turns)))
    return x, z, a


def _wrap(turns: FloatArray) -> FloatArray:
    """Return half turns in (-1, 1]; what is within rounding of -1 becomes 1, so that rounding decides nothing."""
    wrapped = turns - 2 * np.ceil((turns - 1 - NEGLIGIBLE) / 2)
    return np.where(np.abs(wrapped) < NEGLIGIBLE, 0.0, wrapped)
