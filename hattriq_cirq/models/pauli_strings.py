"""Pauli strings as pairs of bit masks: an observable as coefficients, its products with vectors, and states that probe it.

A string with masks a and b is i^popcount(a & b) X^a Z^b, most significant qubit first, so that a qubit with both bits is Y and
(P x)_k = i^popcount(a & b) (-1)^popcount(b & (k ^ a)) x_(k ^ a).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cirq
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, vstack

from hattriq_cirq.foundation.arrays import Array, FloatArray, as_amplitudes, parity_signs, read_only, walsh_hadamard
from hattriq_cirq.foundation.frozen import Frozen

Masks = NDArray[np.int64]
_LETTERS = "IZXY"  # by x bit, then z bit
_POWERS = np.array([1, 1j, -1, -1j])
_CHUNK = 2**22  # entries of a table that are computed at once


@dataclass(frozen=True, eq=False)
class PauliStrings(Frozen):
    """Pauli strings on n qubits, without coefficients.

    Args:
        n_qubits: Number of qubits, at most 31.
        x_masks: Bits of the qubits with X or Y, (strings,).
        z_masks: Bits of the qubits with Z or Y, (strings,).

    Raises:
        ValueError: The masks have different shapes or do not fit the qubits.

    Example:
        >>> strings = PauliStrings.from_text(["XIZ", "YYI"])
        >>> strings.weights.tolist(), strings.y_counts.tolist(), strings.texts
        ([2, 2], [0, 2], ['XIZ', 'YYI'])
    """

    n_qubits: int
    x_masks: Masks
    z_masks: Masks

    def __post_init__(self) -> None:
        x, z = (np.asarray(masks, dtype=np.int64) for masks in (self.x_masks, self.z_masks))
        if not 1 <= self.n_qubits <= 31:
            raise ValueError(f"{self.n_qubits=} must be in 1..31")
        if x.ndim != 1 or x.shape != z.shape or ((x | z) >> self.n_qubits).any() or (np.minimum(x, z) < 0).any():
            raise ValueError(f"masks of shapes {x.shape} and {z.shape} must be (strings,) each, with {self.n_qubits} bits")
        object.__setattr__(self, "x_masks", x)
        object.__setattr__(self, "z_masks", z)
        super().__post_init__()

    @classmethod
    def from_text(cls, texts: Sequence[str]) -> PauliStrings:
        """Return strings that are written as letters I, X, Y and Z, one for each qubit.

        Raises:
            ValueError: There is no string, they have different lengths, or one has another letter.
        """
        if isinstance(texts, str) or not texts or len({len(text) for text in texts}) != 1 or set("".join(texts)) - set("IXYZ"):
            raise ValueError(f"{texts!r} must be texts of one length with letters I, X, Y and Z, such as ['XIZ', 'YYI']")
        codes = np.array([[_LETTERS.index(letter) for letter in text] for text in texts])
        powers = 1 << np.arange(codes.shape[1] - 1, -1, -1, dtype=np.int64)
        return cls(codes.shape[1], (codes >> 1) @ powers, (codes & 1) @ powers)

    @classmethod
    def of_observable(cls, observable: cirq.PauliSum, qubits: Sequence[cirq.Qid]) -> tuple[PauliStrings, FloatArray]:
        """Return the strings of an observable, the identity left out, and their coefficients, (strings,)."""
        terms = [term for term in observable if len(term) > 0]
        masks = np.zeros((2, len(terms)), dtype=np.int64)
        for i, term in enumerate(terms):
            for q, pauli in term.items():
                bit = 1 << (len(qubits) - 1 - qubits.index(q))
                masks[0, i] |= bit * (pauli != cirq.Z)
                masks[1, i] |= bit * (pauli != cirq.X)
        return cls(len(qubits), *masks), np.array([term.coefficient.real for term in terms])

    @classmethod
    def every(cls, n_qubits: int) -> PauliStrings:
        """Return all strings on some qubits except the identity.

        Example:
            >>> PauliStrings.every(1).texts
            ['Z', 'X', 'Y']
        """
        codes = np.arange(1, 4**n_qubits, dtype=np.int64)
        return cls(n_qubits, codes >> n_qubits, codes & (2**n_qubits - 1))

    def __len__(self) -> int:
        return len(self.x_masks)

    def select(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> PauliStrings:
        """Return some of the strings, by positions or by truth values."""
        return PauliStrings(self.n_qubits, self.x_masks[index], self.z_masks[index])

    def joined(self, *others: PauliStrings) -> PauliStrings:
        """Return these strings and then others on as many qubits."""
        x, z = (np.concatenate([getattr(own, name) for own in (self, *others)]) for name in ("x_masks", "z_masks"))
        return PauliStrings(self.n_qubits, x, z)

    @property
    def texts(self) -> list[str]:
        """The strings as letters."""
        shifts = range(self.n_qubits - 1, -1, -1)
        pairs = zip(self.x_masks.tolist(), self.z_masks.tolist(), strict=True)
        return ["".join(_LETTERS[2 * (x >> s & 1) + (z >> s & 1)] for s in shifts) for x, z in pairs]

    @property
    def supports(self) -> Masks:
        """Bits of the qubits that each string acts on, (strings,)."""
        return np.asarray(self.x_masks | self.z_masks, dtype=np.int64)

    @property
    def weights(self) -> NDArray[np.int64]:
        """Number of qubits that each string acts on, (strings,)."""
        return np.asarray(np.bitwise_count(self.supports), dtype=np.int64)

    @property
    def y_counts(self) -> NDArray[np.int64]:
        """Number of Y in each string, (strings,); real inputs see only strings with an even number."""
        return np.asarray(np.bitwise_count(self.x_masks & self.z_masks), dtype=np.int64)

    @property
    def is_real(self) -> NDArray[np.bool_]:
        """True for each string with a real matrix: an even number of Y, (strings,)."""
        return np.asarray(self.y_counts % 2 == 0)

    def coefficients_of(self, matrix: Array) -> FloatArray:
        """Return tr(P M) / 2**n for a Hermitian matrix M, (features, features), and every string, (strings,)."""
        result, index = np.zeros(len(self)), np.arange(2**self.n_qubits)
        for mask, own in self.by_x_mask:
            diagonal = matrix[index, index ^ mask]
            parts = [walsh_hadamard(np.ascontiguousarray(part)) for part in (diagonal.real, np.imag(diagonal))]
            transformed = (parts[0] + 1j * parts[1])[self.z_masks[own]]
            result[own] = (_POWERS[self.y_counts[own] % 4] * transformed).real / 2**self.n_qubits
        return result

    def action(self, coefficients: FloatArray, x: Array) -> Array:
        """Return sum_P m_P P x for a batch of vectors.

        Args:
            coefficients: Coefficients m_P, (strings,).
            x: Vectors, (..., features).

        Returns:
            Vectors, (..., features), real if the strings with coefficients and the vectors are.

        Example:
            >>> PauliStrings.from_text(["Z", "X"]).action(np.array([1.0, 2.0]), np.array([0.6, 0.8]))
            array([2.2, 0.4])
        """
        real = bool(self.is_real.all()) and not np.iscomplexobj(x)
        index = np.arange(2**self.n_qubits)
        total = np.zeros(x.shape, dtype=float if real else complex)
        phased = coefficients * _POWERS[self.y_counts % 4]
        for mask, own in self.by_x_mask:
            column = np.zeros((2, 2**self.n_qubits))
            np.add.at(column[0], self.z_masks[own], phased[own].real)
            np.add.at(column[1], self.z_masks[own], phased[own].imag)
            diagonal = walsh_hadamard(column[0]) if real else walsh_hadamard(column[0]) + 1j * walsh_hadamard(column[1])
            total += (diagonal * x)[..., index ^ mask]
        return total

    def bilinear(self, left: Array, right: Array) -> FloatArray:
        """Return Re(conj(left_k) (P right)_k) for every feature and string, (features, strings).

        These are the derivatives of an attribution map by the coefficients, for left = x - b and right = x + b.

        Args:
            left: Vector, (features,).
            right: Vector, (features,).
        """
        index = np.arange(2**self.n_qubits)
        table = np.zeros((2**self.n_qubits, len(self)))
        for mask, own in self.by_x_mask:
            source = index ^ mask
            product = left.conj() * right[source]
            signs = parity_signs(source[:, np.newaxis] & self.z_masks[own])
            table[:, own] = (product[:, np.newaxis] * _POWERS[self.y_counts[own] % 4]).real * signs
        return table

    def expectations(self, x: Array) -> FloatArray:
        """Return x' P x for a batch of vectors and every string, (..., strings).

        Args:
            x: Vectors, (..., features), of any norm.

        Example:
            >>> PauliStrings.from_text(["Z", "X"]).expectations(np.array([0.6, 0.8])).round(2)
            array([-0.28,  0.96])
        """
        index, values = np.arange(2**self.n_qubits), np.empty((*x.shape[:-1], len(self)))
        for mask, own in self.by_x_mask:  # with k = j ^ mask, (P x)_j = i^y (-1)^|z & k| x_k
            products = x[..., index ^ mask].conj() * x
            parts = walsh_hadamard(products.real), walsh_hadamard(products.imag) if np.iscomplexobj(x) else 0.0
            transformed = (parts[0] + 1j * parts[1])[..., self.z_masks[own]]
            values[..., own] = (_POWERS[self.y_counts[own] % 4] * transformed).real
        return values

    def importance(self, left: Array, right: Array) -> FloatArray:
        """Return the weight w_P of each string for attribution maps, (strings,).

        An error e of the coefficient of P changes the map Re(conj(left) o P right) by a vector of squared norm at most
        e^2 sum_k |left_k|^2 |right_(k ^ a)|^2; the weight is the mean of this sum over the inputs.

        Args:
            left: Vectors x - b, (inputs, features).
            right: Vectors x + b, (inputs, features).

        Example:
            >>> PauliStrings.from_text(["Z", "X"]).importance(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]]))
            array([1., 0.])
        """
        transforms = [walsh_hadamard(np.abs(vectors) ** 2) for vectors in (left, right)]
        shares = walsh_hadamard((transforms[0] * transforms[1]).mean(axis=0)) / 2**self.n_qubits
        return np.asarray(shares[self.x_masks].clip(0))

    @cached_property
    def by_x_mask(self) -> list[tuple[int, NDArray[np.int64]]]:
        """Each x mask and the positions of its strings, which join the features k and k ^ mask."""
        order = np.argsort(self.x_masks, kind="stable")
        masks, starts = np.unique(self.x_masks[order], return_index=True)
        return list(zip(masks.tolist(), np.split(order, starts[1:]), strict=True))


@dataclass(frozen=True, eq=False)
class ProductStates(Frozen):
    """Product states in which every qubit is an eigenstate of X, Y or Z: the inputs that probe an observable.

    Args:
        bases: Pauli of each qubit of each state, as strings without I.
        signs: Bits of the qubits whose eigenvalue is -1, (states,).

    Raises:
        ValueError: A basis contains I, or the numbers differ.

    Example:
        >>> states = ProductStates(PauliStrings.from_text(["XZ"]), np.array([0b01]))
        >>> states.vectors(np.array([False])).real.round(3).tolist()
        [[0.0, 0.707, 0.0, 0.707]]
    """

    bases: PauliStrings
    signs: Masks

    def __post_init__(self) -> None:
        object.__setattr__(self, "signs", np.asarray(self.signs, dtype=np.int64))
        if self.signs.shape != (len(self.bases),) or (self.signs >> self.bases.n_qubits).any():
            raise ValueError(f"{self.signs.shape=} must be ({len(self.bases)},), with {self.bases.n_qubits} bits")
        if (self.bases.weights != self.bases.n_qubits).any():
            raise ValueError("a basis must name X, Y or Z for every qubit, and one contains I")
        super().__post_init__()

    def __len__(self) -> int:
        return len(self.signs)

    def select(self, index: NDArray[np.integer]) -> ProductStates:
        """Return some of the states."""
        return ProductStates(self.bases.select(index), self.signs[index])

    def joined(self, *others: ProductStates) -> ProductStates:
        """Return these states and then others on as many qubits."""
        every = (self, *others)
        return ProductStates(self.bases.joined(*(own.bases for own in others)), np.concatenate([own.signs for own in every]))

    @cached_property
    def y_masks(self) -> Masks:
        """Bits of the qubits in an eigenstate of Y, (states,)."""
        return read_only(self.bases.x_masks & self.bases.z_masks)

    def expectations(self, strings: PauliStrings) -> csr_array:
        """Return the expectation of every string in every state, 0, -1 or +1, as a sparse table (states, strings).

        Example:
            >>> states = ProductStates(PauliStrings.from_text(["XZ"]), np.array([0b01]))
            >>> states.expectations(PauliStrings.from_text(["XI", "XZ", "ZZ"])).toarray().tolist()
            [[1.0, -1.0, 0.0]]
        """
        n = self.bases.n_qubits
        codes, of_state = np.unique(self.bases.x_masks << n | self.bases.z_masks, return_inverse=True)
        x, z = (codes >> n).astype(np.int32), (codes & (2**n - 1)).astype(np.int32)
        own_x, own_z, supports = (masks.astype(np.int32) for masks in (strings.x_masks, strings.z_masks, strings.supports))
        step = max(1, _CHUNK // max(1, len(strings)))
        seen = [
            csr_array((((x[rows, np.newaxis] ^ own_x) | (z[rows, np.newaxis] ^ own_z)) & supports) == 0)
            for rows in (slice(start, start + step) for start in range(0, len(codes), step))
        ]
        table = csr_array(vstack(seen, format="csr")[of_state], dtype=float)
        state = np.repeat(np.arange(len(self)), np.diff(table.indptr))
        table.data = parity_signs(self.signs[state] & strings.supports[table.indices])
        return table

    def vectors(self, y_flipped: NDArray[np.bool_]) -> Array:
        """Return the amplitudes of the states, (states, features), with the sign of every Y flipped where asked, (states,)."""
        signs = np.where(y_flipped, self.signs ^ self.y_masks, self.signs)
        vectors = np.ones((len(self), 1), dtype=complex)
        for shift in range(self.bases.n_qubits - 1, -1, -1):
            x, z, minus = (bits >> shift & 1 for bits in (self.bases.x_masks, self.bases.z_masks, signs))
            sign = 1 - 2 * minus
            zero = np.where(x, np.sqrt(0.5), 1 - minus)
            one = np.where(x, np.sqrt(0.5) * sign * np.where(z, 1j, 1), minus)
            vectors = (vectors[:, :, np.newaxis] * np.stack([zero, one], axis=1)[:, np.newaxis]).reshape(len(self), -1)
        return vectors


@dataclass(frozen=True, eq=False)
class PauliObservable(Frozen):
    """Observable M = c + sum_P m_P P as a quadratic form.

    Args:
        strings: Strings P, without the identity.
        coefficients: Real coefficient m_P of each, (strings,).
        identity_part: Coefficient c of the identity.

    Example:
        >>> observable = PauliObservable(PauliStrings.from_text(["Z"]), np.array([1.0]))
        >>> observable.observable_action([0.6, 0.8])
        array([ 0.6, -0.8])
    """

    strings: PauliStrings
    coefficients: FloatArray
    identity_part: float = 0.0

    def __post_init__(self) -> None:
        coefficients = np.asarray(self.coefficients, dtype=float)
        if coefficients.shape != (len(self.strings),) or not np.isfinite(coefficients).all():
            raise ValueError(f"{coefficients.shape=} must be ({len(self.strings)},), one finite number for each string")
        object.__setattr__(self, "coefficients", coefficients)
        super().__post_init__()

    @property
    def n_features(self) -> int:
        """Number of amplitudes of an input, 2**n_qubits."""
        return int(2**self.strings.n_qubits)

    def observable_action(self, x: ArrayLike) -> Array:
        """Return M x for a batch of inputs, (..., features)."""
        amplitudes = as_amplitudes(x, "x", self.n_features)
        return self.strings.action(self.coefficients, amplitudes) + self.identity_part * amplitudes

    @property
    def matrix(self) -> Array:
        """M, (features, features)."""
        return np.ascontiguousarray(self.observable_action(np.eye(self.n_features)).T)
