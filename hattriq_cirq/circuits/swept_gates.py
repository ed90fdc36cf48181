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
_NEGLIGIBLE = 1e-10  # smaller entries of a unitary do not decide its angles
_SEAM = 1e-9  # exponents that are less than this below 1 are given as about -1, so that rounding does not decide the sign


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
        >>> phased_xz_unitaries(np.array(0.0), np.array(0.5), np.array(0.0)).round(3)
        array([[[1.+0.j, 0.+0.j],
                [0.+0.j, 0.+1.j]]])
    """
    x, z, a = (np.atleast_1d(exponent) for exponent in np.broadcast_arrays(x, z, a))
    cosine, sine = np.cos(np.pi / 2 * x), -1j * np.sin(np.pi / 2 * x)
    rows = [[cosine, sine * _turn(-a)], [sine * _turn(z + a), cosine * _turn(z)]]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def phased_xz_exponents(matrices: Array) -> FloatArray:
    """Return the exponents x, z, a of PhasedXZ gates with given unitaries, up to their phases.

    Rounding errors of the unitaries stay rounding errors: an axis that has no meaning, because x is 0, is 0 itself, and z is 0
    where x is 1.

    Args:
        matrices: Unitaries, (..., 2, 2).

    Returns:
        Exponents (3, ...): x from 0 to 1, z and a from -1 to 1.

    Example:
        >>> phased_xz_exponents(cirq.unitary(cirq.S)).tolist()
        [0.0, 0.5, 0.0]
    """
    u00, u01, u10, u11 = (matrices[..., i, j] for i in range(2) for j in range(2))
    x = 2 / np.pi * np.arctan2(np.abs(u10), np.abs(u00))
    is_diagonal, is_flip = np.abs(u10) < _NEGLIGIBLE, np.abs(u00) < _NEGLIGIBLE
    z = np.where(is_flip, 0.0, np.angle(u11 * u00.conj()) / np.pi)
    axis = np.where(is_flip, _in_one_turn(np.angle(u10 * u01.conj()) / np.pi) / 2, -np.angle(1j * u01 * u00.conj()) / np.pi)
    a = np.where(is_diagonal, 0.0, axis)
    return np.array([np.where(is_diagonal, 0.0, np.where(is_flip, 1.0, x)), _in_one_turn(z), _in_one_turn(a)])


def _turn(exponent: FloatArray) -> Array:
    return np.asarray(np.exp(1j * np.pi * exponent))


def _in_one_turn(exponent: FloatArray) -> FloatArray:
    return np.asarray(exponent - 2 * np.floor((exponent + 1 + _SEAM) / 2))
