"""Functions of the recorded outcomes of a circuit's measurements, as tables over all outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite
from typing import Any

import cirq
import numpy as np
import sympy

from hattriq_cirq.circuits.dilation import RecordedBit, needed_bits
from hattriq_cirq.foundation.arrays import FloatArray, walsh_hadamard
from hattriq_cirq.foundation.checks import ArgumentTypeError, shown
from hattriq_cirq.foundation.text import quantity

_BITS_MAX = 10  # of a function's outcomes: an observable has up to one Pauli string for each set of bits
_ROUNDING = 1e-15
_FORMS = "an expression of measurement keys, such as '(-1)**m', or a function of a dict from keys to outcomes"


@dataclass(frozen=True)
class OutcomeFunction:
    """Function of the latest outcome under each of some measurement keys, an integer whose first bit is the most significant.

    Args:
        keys: Measurement keys that the function depends on.
        widths: Number of bits of each outcome.
        values: Value for every combination of outcomes, the last key's outcome changing fastest, (2**bits,).

    Example:
        >>> OutcomeFunction.of("1 - 2 * m", {"m": 1, "other": 2}, "record").values
        (1.0, -1.0)
    """

    keys: tuple[str, ...]
    widths: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.keys) != len(self.widths) or len(self.values) != 2 ** sum(self.widths):
            raise ValueError(
                f"{quantity(len(self.values), 'value')} of keys {list(self.keys)} with {list(self.widths)} bits must be one "
                "for each combination of outcomes"
            )
        if wrong := [value for value in self.values if not isfinite(value)]:
            raise ValueError(f"a value {wrong[0]} of a function of outcomes is not finite; give finite numbers")

    @classmethod
    def of(cls, given: object, widths: Mapping[str, int], name: str) -> OutcomeFunction:
        """Tabulate a function of outcomes.

        Args:
            given: Expression in measurement keys, as text or of SymPy; function of a dict from all keys to outcomes; dict from
                keys to the outcome, or outcomes, at which the function is 1, and 0 elsewhere; or an `OutcomeFunction`.
            widths: Number of bits that the circuit records under each key.
            name: Name of the argument in messages.

        Raises:
            ValueError: A key is not measured, too many bits are, or a value is not a finite number.
        """
        if isinstance(given, OutcomeFunction):
            if any(widths.get(key) != width for key, width in zip(given.keys, given.widths, strict=True)):
                raise ValueError(
                    f"{name} is a function of {list(given.keys)} with {list(given.widths)} bits, and the circuit measures "
                    f"{dict(widths)}; tabulate it for this circuit"
                )
            return given
        keys, value = _parsed(given, widths, name)
        if unknown := sorted(set(keys) - widths.keys()):
            raise ValueError(f"{name} depends on {unknown}, which the circuit does not measure; it measures {sorted(widths)}")
        if isinstance(given, Mapping):
            _check_accepted(given, widths, name)
        if (bits := sum(widths[key] for key in keys)) > _BITS_MAX:
            raise ValueError(
                f"{name} depends on {bits} measured bits, at most {_BITS_MAX} are possible; use an expression of fewer keys"
            )
        grid = product(*(range(2 ** widths[key]) for key in keys))
        values = [_number(value(dict(zip(keys, outcomes, strict=True))), name) for outcomes in grid]
        return cls(tuple(keys), tuple(widths[key] for key in keys), tuple(values))

    def __mul__(self, other: OutcomeFunction) -> OutcomeFunction:
        """Return the product of two functions of outcomes."""
        widths = dict(zip((*self.keys, *other.keys), (*self.widths, *other.widths), strict=True))
        return OutcomeFunction.of(lambda outcomes: self(outcomes) * other(outcomes), widths, "record")

    def __call__(self, outcomes: Mapping[str, int]) -> float:
        """Return the value for some outcomes."""
        index = 0
        for key, width in zip(self.keys, self.widths, strict=True):
            index = index << width | outcomes[key]
        return self.values[index]

    def observable(self, outcomes: Mapping[str, Sequence[RecordedBit]]) -> cirq.PauliSum:
        """Return the function as an observable on the qubits that hold the outcomes.

        Args:
            outcomes: Bits of the outcome under each key.

        Example:
            >>> bit = RecordedBit(cirq.q(0), inverted=True)
            >>> str(OutcomeFunction.of("m", {"m": 1}, "record").observable({"m": [bit]}))
            '0.500*I+0.500*Z(q(0))'
        """
        bits = [bit for key in self.keys for bit in outcomes[key]]
        wires = list(dict.fromkeys(bit.wire for bit in bits))
        table: FloatArray = np.zeros((2,) * len(wires))
        for digits in product((0, 1), repeat=len(wires)):
            held = dict(zip(wires, digits, strict=True))
            index = cirq.big_endian_bits_to_int([held[bit.wire] ^ bit.inverted for bit in bits])
            table[digits] = self.values[index]
        wires, needed = needed_bits(wires, table)
        coefficients = walsh_hadamard(np.asarray(needed, dtype=float).reshape(-1)) / 2 ** len(wires)
        total = cirq.PauliSum()
        for index, digits in enumerate(product((0, 1), repeat=len(wires))):
            if abs(coefficients[index]) > _ROUNDING * max(map(abs, self.values)):
                factors = {wire: cirq.Z for wire, digit in zip(wires, digits, strict=True) if digit}
                total += cirq.PauliString(factors, coefficient=float(coefficients[index]))
        return total

    def to_record(self) -> dict[str, Any]:
        """Return the function as JSON."""
        return {"keys": list(self.keys), "widths": list(self.widths), "values": list(self.values)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> OutcomeFunction:
        """Return the function of a record."""
        return cls(tuple(record["keys"]), tuple(map(int, record["widths"])), tuple(map(float, record["values"])))


def _parsed(given: object, widths: Mapping[str, int], name: str) -> tuple[list[str], Callable[[Mapping[str, int]], Any]]:
    """Return the keys that a function depends on, and the function of a dict from them to outcomes."""
    if isinstance(given, Mapping):
        accepted = {str(key): _outcomes(each) for key, each in given.items()}
        return list(accepted), lambda outcomes: all(outcomes[key] in each for key, each in accepted.items())
    if isinstance(given, str | sympy.Basic):
        try:
            expression = sympy.sympify(given, locals={key: sympy.Symbol(key) for key in widths})
        except (sympy.SympifyError, SyntaxError, TypeError, AttributeError) as error:
            raise ValueError(f"{name}={shown(given)} is no expression of measurement keys: {error}") from None
        return sorted(map(str, expression.free_symbols)), expression.subs
    if callable(given):
        return sorted(widths), given
    raise ArgumentTypeError(f"{name}={shown(given)} must be {_FORMS}")


def _check_accepted(given: Mapping[Any, Any], widths: Mapping[str, int], name: str) -> None:
    """Raise ValueError for an outcome that cannot occur."""
    for key, each in given.items():
        width = widths[str(key)]
        if outside := [outcome for outcome in _outcomes(each) if not 0 <= outcome < 2**width]:
            raise ValueError(f"{name}[{str(key)!r}]={outside[0]} is no outcome of {quantity(width, 'measured bit')}")


def _outcomes(given: Any) -> tuple[int, ...]:
    """Return one outcome or several as a tuple."""
    return tuple(map(int, given)) if isinstance(given, Sequence | set | frozenset | range) else (int(given),)


def _number(value: Any, name: str) -> float:
    try:
        return float(bool(value) if isinstance(value, sympy.logic.boolalg.Boolean) else value)
    except TypeError:
        raise ValueError(f"{name} has the value {shown(value)} for some outcomes; it must be a real number") from None
