"""Cirq objects in JSON of files: small texts from which Cirq or SymPy would make something that takes all memory or time."""

from __future__ import annotations

import json
from typing import Any

import cirq
import pytest
import sympy

from hattriq_cirq.circuits.serialization import read_cirq_json
from hattriq_cirq.foundation.reading import FileError

A, B = sympy.symbols("a b")


def integer(value: int) -> dict[str, Any]:
    return {"cirq_type": "sympy.Integer", "i": value}


def power(base: Any, exponent: Any) -> dict[str, Any]:
    return {"cirq_type": "sympy.Pow", "args": [base, exponent]}


def circuit(**fields: Any) -> dict[str, Any]:
    repeated = cirq.CircuitOperation(cirq.FrozenCircuit(cirq.X(cirq.q(0))), repetitions=2)
    operation: dict[str, Any] = json.loads(cirq.to_json(repeated))
    return operation | fields


HUGE: dict[str, tuple[Any, str]] = {
    "power of a power": (power(integer(9), power(integer(9), integer(9))), "is not evaluated"),
    "huge exponent": (power(integer(9), integer(10**12)), "must be at most 100"),
    "exponent as a number": (power(2, 10**12), "must be at most 100"),
    "exponent as a fraction": (power(integer(9), {"cirq_type": "sympy.Rational", "p": 10**12, "q": 1}), "at most 100"),
    "exponent as a product": (power(2, {"cirq_type": "sympy.Mul", "args": [integer(99)] * 50}), "is not evaluated"),
    "powers one in another": (power(power(power(power(9, 99), 99), 99), 99), "is not evaluated"),
    "power in a sum": ({"cirq_type": "sympy.Add", "args": [power(9, 10**9), integer(1)]}, "must be at most 100"),
    "qubits of a measurement": ({"cirq_type": "MeasurementGate", "num_qubits": 2**28, "key": "m"}, "num_qubits is 268435456"),
    "qubits of a channel": (
        {"cirq_type": "DepolarizingChannel", "p": 0.1, "n_qubits": 30},
        "n_qubits is 30, must be at most 8",
    ),
    "copies": ({"cirq_type": "ParallelGate", "sub_gate": {}, "num_copies": 2**31}, "num_copies is 2147483648"),
    "repetitions": (circuit(repetitions=10**9), "repeats a circuit more than 1,000,000 times"),
    "repetitions of repetitions": ([circuit(repetitions=-2000, circuit=circuit(repetitions=1000))], "repeats a circuit"),
    "70 bits": ({"cirq_type": "WaitGate", "num_qubits": 2**70}, "must be at most 1,000,000"),
    "unknown type": ({"cirq_type": "NoSuchType"}, "Cirq cannot read it: ValueError"),
    "deep nesting": ([[]] * 3, "it holds a value of type list"),
}


@pytest.mark.parametrize(("content", "words"), HUGE.values(), ids=HUGE.keys())
def test_text_that_describes_something_huge_is_refused(content: Any, words: str) -> None:
    with pytest.raises(FileError) as caught:
        read_cirq_json(json.dumps(content), "some.json", cirq.Circuit)
    assert words in str(caught.value)


ANGLES = (
    *(A**2, A**B, sympy.sqrt(A), 1 / A, (A + 10**8) ** 2, sympy.pi**2 * A, A * sympy.Rational(1, 3), 2**A, A ** (B**2)),
    *(sympy.Integer(1001) ** sympy.Rational(1, 3) * A, sympy.sqrt(sympy.sqrt(2) + 1) * A),
)


@pytest.mark.parametrize("angle", ANGLES, ids=str)
def test_circuit_with_expressions_is_read(angle: sympy.Expr) -> None:
    written = cirq.Circuit(cirq.ry(angle)(cirq.LineQubit(2**40)), cirq.depolarize(0.1, n_qubits=2)(*cirq.LineQubit.range(2)))
    assert read_cirq_json(cirq.to_json(written), "some.json", cirq.Circuit) == written
