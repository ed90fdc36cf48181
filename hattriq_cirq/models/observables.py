"""Observables in every form that users write them in, as sums of Pauli strings: Cirq's values, labels, projectors, matrices.

A sum of Pauli strings is what circuits measure and what M x is computed from, so that every other form becomes one here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import product
from operator import mul
from typing import Any

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.circuits.constants import constant
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.checks import ArgumentTypeError, shown
from hattriq_cirq.foundation.text import DECIMAL, quantity

#: Every form of an observable: Cirq's own, a label such as "0.5*Z0*X2 + Y1", a Hermitian matrix, or a matrix with its qubits.
Observable = (
    cirq.PauliSum
    | cirq.PauliString[cirq.Qid]
    | cirq.ProjectorString
    | cirq.ProjectorSum
    | str
    | Array
    | tuple[ArrayLike, Sequence[int | cirq.Qid]]
)
_FORMS = (
    "a cirq.PauliString or cirq.PauliSum, a label such as '0.5*Z0*X2 + Y1' or 'P1(0)', a Hermitian matrix, or a matrix with "
    "its qubits, such as (matrix, [0, 1])"
)
_STRINGS_MAX = 4096  # of one projector or matrix: each string is a product of its own on every input, and a circuit's setting
_HERMITIAN = 1e-9  # asymmetry of a matrix, relative to its largest entry, that rounding and single precision explain
_ROUNDING = 1e-14  # coefficient, relative to the largest entry of a matrix, that rounding can cause
_TOKEN = re.compile(
    rf"\s*(?:(?P<number>{DECIMAL})|(?P<projector>P[01]\(\s*\d+\s*\))|(?P<outer>\|[01]+>\s*<[01]+\|)"
    r"|(?P<pauli>[XYZ](?:\d+|\(\s*\d+\s*\))|I(?:\d+|\(\s*\d+\s*\))?)|(?P<sign>[-+*/()]))"
)
#: Row and column of a 2 x 2 matrix with a single one -> its coefficients of I, X, Y and Z.
_UNITS = {(0, 0): (0.5, 0, 0, 0.5), (1, 1): (0.5, 0, 0, -0.5), (0, 1): (0, 0.5, 0.5j, 0), (1, 0): (0, 0.5, -0.5j, 0)}
_PAULIS = (None, cirq.X, cirq.Y, cirq.Z)


def as_pauli_sum(observable: object, qubits: Sequence[cirq.Qid], environment: Sequence[cirq.Qid] = ()) -> cirq.PauliSum:
    """Return an observable as a new sum of Pauli strings with real coefficients.

    A label is a sum of products of numbers and factors. `X0`, `Y1` and `Z2` are Pauli matrices on the qubit of that number, `I`
    is the identity, `P1(0)` projects qubit 0 on |1>, and `|01><01|` projects all data qubits, the most significant first, on a
    basis state. Number k is `cirq.LineQubit(k)` of a model on line qubits, and otherwise the k-th qubit, counted from 0.

    Args:
        observable: Pauli string or sum, projector of Cirq, label, Hermitian matrix on all data qubits, or a pair of a Hermitian
            matrix and its qubits, most significant first, by their numbers or as Cirq's qubits.
        qubits: Data qubits, most significant first.
        environment: Further qubits, whose numbers follow.

    Returns:
        The sum.

    Raises:
        ArgumentTypeError: The observable has none of these forms.
        ValueError: The observable is zero or not Hermitian, a label cannot be read, or a matrix or projector is too large.

    Example:
        >>> qubits = cirq.LineQubit.range(2)
        >>> print(as_pauli_sum("0.5*Z0*X1 - 2*Y1", qubits))
        0.500*Z(q(0))*X(q(1))-2.000*Y(q(1))
        >>> print(as_pauli_sum("|01><01|", qubits))
        0.250*I-0.250*Z(q(1))+0.250*Z(q(0))-0.250*Z(q(0))*Z(q(1))
        >>> print(as_pauli_sum(([[0, 1], [1, 0]], [1]), qubits))
        1.000*X(q(1))
    """
    if isinstance(observable, cirq.PauliString | cirq.PauliSum):
        strings = [observable] if isinstance(observable, cirq.PauliString) else list(observable)
    elif isinstance(observable, str):
        strings = list(_Label(observable, qubits, numbered(qubits, environment)).parse())
    elif isinstance(observable, cirq.ProjectorString | cirq.ProjectorSum):
        strings = list(_of_projectors(observable))
    elif isinstance(observable, tuple) and len(observable) == 2 and np.ndim(observable[0]) == 2:
        strings = list(_of_matrix(observable[0], _chosen(observable[1], numbered(qubits, environment))))
    elif isinstance(observable, np.ndarray):
        strings = list(_of_matrix(observable, qubits))
    else:
        raise ArgumentTypeError(f"observable={shown(observable)} must be {_FORMS}")
    plain = [string.with_coefficient(constant(string.coefficient, "observable: coefficient")) for string in strings]
    total = cirq.PauliSum.from_pauli_strings(plain)  # a copy, because sums are mutable
    if len(total) == 0:
        raise ValueError("observable is zero: it has no Pauli string; give at least one")
    for term in total:
        if not np.isfinite(term.coefficient) or abs(term.coefficient.imag) > 1e-12 * abs(term.coefficient.real):
            raise ValueError(f"observable is not Hermitian: {term} has coefficient {term.coefficient}; it must be real")
    return total


def numbered(qubits: Sequence[cirq.Qid], environment: Sequence[cirq.Qid] = ()) -> dict[int, cirq.Qid]:
    """Return the qubits of a model by the numbers that labels call them by.

    Example:
        >>> numbered(cirq.LineQubit.range(2)[::-1])  # line qubits keep their own numbers in any order
        {1: cirq.LineQubit(1), 0: cirq.LineQubit(0)}
        >>> numbered([cirq.q("a"), cirq.q("b")])
        {0: cirq.NamedQubit('a'), 1: cirq.NamedQubit('b')}
    """
    register = [*qubits, *environment]
    if all(isinstance(q, cirq.LineQubit) for q in register):
        return {q.x: q for q in register if isinstance(q, cirq.LineQubit)}
    return dict(enumerate(register))


class _Label:
    """Reader of the text of an observable: sums of products of numbers, factors and brackets."""

    def __init__(self, text: str, qubits: Sequence[cirq.Qid], numbers: Mapping[int, cirq.Qid]) -> None:
        self.text, self.qubits, self.numbers, self.at = text, qubits, numbers, 0

    def parse(self) -> cirq.PauliSum:
        total = self._sum()
        if self._rest():
            raise self._unreadable()
        return total

    def _rest(self) -> str:
        return self.text[self.at :].strip()

    def _unreadable(self) -> ValueError:
        where = f"at {shown(self._rest())}" if self._rest() else "because its end is missing"
        return ValueError(
            f"observable={shown(self.text)} cannot be read {where}; write a sum of products such as '0.5*Z0*X2 + Y1', with "
            "factors like Z0, I, P1(0) or |01><01|"
        )

    def _take(self, *groups: str) -> tuple[str, str] | None:
        """Return kind and text of the next token and pass it, if it is one of some kinds or signs."""
        found = _TOKEN.match(self.text, self.at)
        if found is None or found.lastgroup is None:
            return None
        kind, token = found.lastgroup, found[found.lastgroup]
        if kind not in groups and token not in groups:
            return None
        self.at = found.end()
        return kind, token

    def _sum(self) -> cirq.PauliSum:
        total = self._product()
        while sign := self._take("+", "-"):
            term = self._product()
            total = total + term if sign[1] == "+" else total - term
        return total

    def _product(self) -> cirq.PauliSum:
        total = self._factor()
        while sign := self._take("*", "/"):
            if sign[1] == "*":
                total = total * self._factor()
                continue
            divisor = self._take("number")
            if divisor is None or not float(divisor[1]):
                raise self._unreadable()
            total = (1 / float(divisor[1])) * total
        return total

    def _factor(self) -> cirq.PauliSum:
        if sign := self._take("+", "-"):
            return self._factor() if sign[1] == "+" else -1.0 * self._factor()
        if self._take("("):
            inside = self._sum()
            if not self._take(")"):
                raise self._unreadable()
            return inside
        found = self._take("number", "pauli", "projector", "outer")
        if found is None:
            raise self._unreadable()
        kind, token = found
        if kind == "number":
            number: cirq.PauliSum = float(token) * _identity()
            return number
        if kind == "outer":
            rows, columns = (tuple(map(int, bits)) for bits in re.findall("[01]+", token))
            return self._outer(token, rows, columns)
        if kind == "projector":
            return _units([self._qubit(token[2:])], [int(token[1])], [int(token[1])])
        qubit = None if token == "I" else self._qubit(token[1:])
        if qubit is None or token[0] == "I":
            return _identity()
        return cirq.PauliSum.from_pauli_strings(1.0 * getattr(cirq, token[0])(qubit))

    def _outer(self, token: str, rows: tuple[int, ...], columns: tuple[int, ...]) -> cirq.PauliSum:
        if len(rows) != len(columns) or len(rows) != len(self.qubits):
            raise ValueError(
                f"observable={shown(self.text)}: {token} must have one digit for each of the {len(self.qubits)} data qubits on "
                "both sides; project single qubits by factors such as P0(2)"
            )
        _check_strings(2 ** len(rows), token, len(rows))
        return _units(self.qubits, rows, columns)

    def _qubit(self, text: str) -> cirq.Qid:
        return _qubit(int(text.strip("() ")), self.numbers, f"observable={shown(self.text)}")


def _qubit(number: int, numbers: Mapping[int, cirq.Qid], where: str) -> cirq.Qid:
    if number not in numbers:
        raise ValueError(f"{where} names qubit {number}, and the model has the qubits {', '.join(map(str, sorted(numbers)))}")
    return numbers[number]


def _identity() -> cirq.PauliSum:
    return cirq.PauliSum.from_pauli_strings([cirq.PauliString()])


def _units(qubits: Sequence[cirq.Qid], rows: Sequence[int], columns: Sequence[int]) -> cirq.PauliSum:
    """Return |rows><columns| on qubits, one digit for each."""
    factors = []
    for qubit, row, column in zip(qubits, rows, columns, strict=True):
        weights = _UNITS[row, column]
        strings: list[cirq.PauliString[cirq.Qid]] = [
            cirq.PauliString(w, *([p(qubit)] if p else [])) for w, p in zip(weights, _PAULIS, strict=True) if w
        ]
        factors.append(cirq.PauliSum.from_pauli_strings(strings))
    return reduce(mul, factors)


def _of_projectors(observable: cirq.ProjectorString | cirq.ProjectorSum) -> cirq.PauliSum:
    strings = [observable] if isinstance(observable, cirq.ProjectorString) else list(observable)
    total = cirq.PauliSum()
    for string in strings:
        fixed = string.projector_dict
        _check_strings(2 ** len(fixed), str(string), len(fixed))
        bits = list(fixed.values())
        total += complex(string.coefficient) * (_units(list(fixed), bits, bits) if fixed else _identity())
    return total


def _chosen(qubits: Any, numbers: Mapping[int, cirq.Qid]) -> list[cirq.Qid]:
    """Return qubits that are given by their numbers or as Cirq's qubits."""
    given = [qubits] if isinstance(qubits, int | cirq.Qid) else list(qubits)
    chosen = [q if isinstance(q, cirq.Qid) else _qubit(int(q), numbers, "the matrix of the observable") for q in given]
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"the qubits {given} of the observable's matrix must not repeat")
    return chosen


def _of_matrix(matrix: ArrayLike, qubits: Sequence[cirq.Qid]) -> cirq.PauliSum:
    """Return the Pauli sum of a Hermitian matrix on qubits, the first of which is the most significant."""
    entries, k = np.asarray(matrix, dtype=np.complex128), len(qubits)
    if entries.shape != (2**k, 2**k):
        raise ValueError(
            f"an observable matrix of shape {entries.shape} does not act on {quantity(k, 'qubit')}, which takes "
            f"{(2**k, 2**k)}; name the qubits of a smaller one, such as (matrix, [0, 1])"
        )
    _check_strings(4**k, "a Hermitian matrix", k)
    size = float(np.abs(entries).max(initial=0.0))
    if not np.isfinite(size) or np.abs(entries - entries.conj().T).max(initial=0.0) > _HERMITIAN * size:
        raise ValueError("observable is not Hermitian: its matrix must be finite and equal to its conjugate transpose")
    # one axis of four per qubit: row and column of the qubit, then the coefficients of I, X, Y and Z
    axes = [axis for i in range(k) for axis in (i, k + i)]
    coefficients = entries.reshape((2,) * 2 * k).transpose(axes).reshape((4,) * k)
    by_unit = np.array([_UNITS[divmod(i, 2)] for i in range(4)], dtype=np.complex128)
    for axis in range(k):
        coefficients = np.moveaxis(np.tensordot(coefficients, by_unit, (axis, 0)), -1, axis)
    strings: list[cirq.PauliString[cirq.Qid]] = [
        cirq.PauliString(float(value), *(p(q) for p, q in zip(paulis, qubits, strict=True) if p))
        for paulis, value in zip(product(_PAULIS, repeat=k), coefficients.real.ravel(), strict=True)
        if abs(value) > _ROUNDING * size
    ]
    return cirq.PauliSum.from_pauli_strings(strings)


def _check_strings(strings: int, what: str, qubits: int) -> None:
    if strings > _STRINGS_MAX:
        raise ValueError(
            f"{what} on {qubits} qubits has up to {strings} Pauli strings, each of which is multiplied and measured on its "
            f"own; at most {_STRINGS_MAX} are taken: choose an observable on fewer qubits, or give its Pauli strings"
        )
