"""The amplitudes of a row of numbers: scaled columns, a constant, and zeros up to a power of 2."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2
from typing import Literal

import numpy as np
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from hattriq_cirq.foundation.arrays import FloatArray, freeze
from hattriq_cirq.foundation.checks import as_count, as_number, as_word, check_flag, set_fields
from hattriq_cirq.foundation.frozen import Frozen

Scale = Literal["minmax", "standard"]
_CONSTANT = 0.5  # in units of the root mean square of the norms of the scaled rows
_QUBITS_MAX = 20


def qubits_of_row(columns: int, *, constant: bool, least: int = 1) -> int:
    """Return the number of qubits for the amplitudes of a row.

    Example:
        >>> qubits_of_row(4, constant=True)
        3
    """
    return max(ceil(log2(columns + constant)), least)


@dataclass(frozen=True, eq=False)
class RowEncoding(Frozen):
    """Encoding of rows as amplitudes, which are not normalised: (row - shift) * factor, the constant, zeros.

    Args:
        shift: Number that is subtracted from each column, (columns,).
        factor: Factor of each column, (columns,).
        constant: Amplitude of the constant, which follows the columns; 0 for none.
        n_qubits: Number of qubits, for at most 2**n_qubits amplitudes.

    Raises:
        ValueError: The shapes do not match, a number is not finite, or the amplitudes do not fit the qubits.

    Example:
        >>> RowEncoding(np.zeros(2), np.ones(2), constant=0.5, n_qubits=2).amplitudes(np.array([[3.0, 4.0]]))
        array([[3. , 4. , 0.5, 0. ]])
    """

    shift: FloatArray
    factor: FloatArray
    constant: float
    n_qubits: int

    def __post_init__(self) -> None:
        freeze(self, shift=self.shift, factor=self.factor)
        set_fields(self, constant=as_number(self.constant, "constant", 0))
        set_fields(self, n_qubits=as_count(self.n_qubits, "n_qubits", 1, _QUBITS_MAX))
        for name in ("shift", "factor"):
            array = getattr(self, name)
            if array.ndim != 1 or not np.isfinite(array).all() or not array.size:
                raise ValueError(f"{name} of shape {array.shape} must be finite numbers, (columns,)")
        if self.factor.shape != self.shift.shape or len(self.shift) + bool(self.constant) > 2**self.n_qubits:
            raise ValueError(
                f"{len(self.shift)} shifts, {len(self.factor)} factors and {bool(self.constant):d} constant do not fit "
                f"{2**self.n_qubits} amplitudes"
            )
        super().__post_init__()

    @classmethod
    def of(cls, X: FloatArray, *, scale: Scale | None, constant: bool, least_qubits: int = 1) -> RowEncoding:
        """Choose the scaling and the constant by the rows of the training.

        The constant is half the root mean square of the norms of the scaled rows: with it, a normalised row keeps both its
        direction and its size, in about equal parts, whatever the units and the number of columns.

        Args:
            X: Rows, (samples, columns).
            scale: `minmax` for columns from 0 to 1, `standard` for columns of mean 0 and standard deviation 1, None for none.
            constant: Append a constant.
            least_qubits: Smallest number of qubits.

        Example:
            >>> encoding = RowEncoding.of(np.array([[0.0, 5.0], [2.0, 7.0]]), scale="minmax", constant=True)
            >>> encoding.amplitudes(np.array([[1.0, 6.0]]))
            array([[0.5, 0.5, 0.5, 0. ]])
        """
        shift, factor = np.zeros(X.shape[1]), np.ones(X.shape[1])
        if scale is not None and as_word(scale, "scale", ("minmax", "standard")) == "minmax":
            minmax = MinMaxScaler().fit(X)
            shift, factor = minmax.data_min_, minmax.scale_
        elif scale is not None:
            standard = StandardScaler().fit(X)
            shift, factor = standard.mean_, 1 / standard.scale_
        size = 0.0
        if check_flag(constant, "constant"):
            norm = float(np.sqrt(np.mean(np.sum(((X - shift) * factor) ** 2, axis=1))))
            size = _CONSTANT * norm if norm else 1.0
        qubits = qubits_of_row(X.shape[1], constant=constant, least=least_qubits)
        if qubits > _QUBITS_MAX:
            raise ValueError(f"X has {X.shape[1]} columns, which need {qubits} qubits; at most {_QUBITS_MAX} are simulated")
        return cls(shift, factor, size, qubits)

    def amplitudes(self, X: FloatArray) -> FloatArray:
        """Return rows, (samples, columns), as amplitudes, (samples, 2**n_qubits).

        Raises:
            ValueError: A row has no state, because it is zero once it is scaled and there is no constant.
        """
        rows = np.zeros((len(X), 2**self.n_qubits))
        columns = len(self.shift)
        rows[:, :columns] = (X - self.shift) * self.factor
        if self.constant:
            rows[:, columns] = self.constant
        elif len(zero := np.flatnonzero(~rows.any(axis=1))):
            raise ValueError(f"row {zero[0]} of X is zero once it is scaled and has no state; use constant=True")
        return rows
