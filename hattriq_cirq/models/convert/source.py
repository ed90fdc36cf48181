"""A circuit of another format in Cirq's gates, and the models made of it: order of the qubits, preparation, measurements."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, get_args

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.checks import ArgumentTypeError, as_counts, as_word, shown
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.model import Model

Word = Literal["big-endian", "little-endian"]
#: Order of the data qubits: a word, or their numbers in the source, most significant first.
QubitOrder = Word | Sequence[int]
_WORDS = get_args(Word)
_TOLERANCE = 1e-6  # difference of scores, relative to the size of the observable, that single precision explains
_EXACT = 1e-8  # the same for the source's own simulator, in double precision
CHECKED_QUBITS = 10  # largest circuit that is compared with the source's own simulator: a second at most
CHECKED_STATES = 3


class RemovedOperationsWarning(UserWarning):
    """Parts of an imported circuit are no part of the model: the preparation of the input, or measurements at the end.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", RemovedOperationsWarning)  # accept that they are left out
    """


@dataclass(frozen=True, eq=False)
class Source:
    """An imported circuit.

    Args:
        name: Name of the format in messages.
        circuit: Its operations on `qubits`, without the preparation of the input.
        qubits: All its qubits in its own order.
        default_order: Order of the data qubits that the format's own state vectors have.
        prepared: Qubits whose state the circuit prepared, most significant first in the order of its amplitudes; None if it
            prepared none.
        removed: Operations that were left out, in words.
        params: Numbers for the symbols, as far as the source has them.
    """

    name: str
    circuit: cirq.Circuit
    qubits: Sequence[cirq.Qid]
    default_order: Word | None = None
    prepared: Sequence[cirq.Qid] | None = None
    removed: tuple[str, ...] = ()
    params: Mapping[str, float] | None = None

    def models(
        self, observables: Sequence[Any], qubit_order: QubitOrder | None, params: Mapping[Any, Any] | None
    ) -> list[Model]:
        """Return one model per observable, all of the same circuit, and warn of what was removed.

        Args:
            observables: Observables, as `Model` takes them.
            qubit_order: Order of the data qubits; None for that of the preparation, or else the default.
            params: Numbers for symbols, beside those of the source.

        Raises:
            ValueError: The order contradicts the preparation, or the parts make no model.
        """
        circuit, ends = without_ends(self.circuit)
        data = self._data(qubit_order)
        used = circuit.all_qubits()
        environment = tuple(q for q in self.qubits if q not in data and (q in used or self.prepared is None))
        values = {**(self.params or {}), **{str(name): value for name, value in (params or {}).items()}}
        first = Model(circuit, data, observables[0], values, environment=environment)
        models = [first, *(first.with_observable(each) for each in observables[1:])]
        if removed := (*self.removed, *ends):
            warnings.warn(
                f"{self.name}: left out {'; '.join(removed)}. The model's input x takes the place of the prepared state, and "
                "the observable that of the measurements",
                RemovedOperationsWarning,
                stacklevel=3,
            )
        return models

    def check(
        self,
        models: Sequence[Model],
        known: tuple[ArrayLike, ArrayLike] | None,
        observables: Sequence[Any],
        params: Mapping[Any, Any] | None,
    ) -> None:
        """Compare models with scores that are known from the source.

        Args:
            models: Models.
            known: Inputs, (..., features), and their scores, (...,), or (..., models) of several models; None to check nothing.
            observables: Observables of the models, which are made again in other orders of the qubits that nothing fixes: the
                message states an order that agrees.
            params: Numbers for symbols, beside those of the source.

        Raises:
            ValueError: The scores differ.
        """
        if known is None:
            return
        if not isinstance(known, tuple) or len(known) != 2:
            raise ArgumentTypeError(
                f"check={shown(known)} must be a pair (x, score): inputs, and the scores that the source computes"
            )
        x, expected = known[0], np.asarray(known[1], dtype=float)
        found = scores_of(models, x).reshape(expected.shape)
        if _agrees(models, found, expected, _TOLERANCE, x):
            return
        other = ""
        for word in _WORDS if self.prepared is None else ():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RemovedOperationsWarning)
                again = self.models(observables, word, params)
            if _agrees(again, scores_of(again, x).reshape(expected.shape), expected, _TOLERANCE, x):
                other = f"; with qubit_order={word!r} they agree"
        raise ValueError(
            f"the scores of the imported model differ from those of check by up to {np.abs(found - expected).max():.2g}"
            f"{other or '; compare the circuit, the observable, the parameters and the order of the qubits'}"
        )

    def _data(self, qubit_order: QubitOrder | None) -> tuple[cirq.Qid, ...]:
        """Return the data qubits, most significant first."""
        chosen = qubit_order or (None if self.prepared else self.default_order)
        if chosen is None and self.prepared is None:
            raise ValueError(f"qubit_order is missing: state {_advice()}")
        if chosen is None:
            return tuple(self.prepared or ())
        if isinstance(chosen, str):
            among = [q for q in self.qubits if self.prepared is None or q in self.prepared]
            found = tuple(among if as_word(chosen, "qubit_order", _WORDS) == "big-endian" else among[::-1])
        else:
            found = self._named(chosen)
        if self.prepared is not None and found != tuple(self.prepared):
            raise ValueError(
                f"qubit_order={shown(chosen)} contradicts the {self.name} circuit: it prepares amplitudes whose index has the "
                f"qubits {_names(self.prepared)}, most significant first, and this order is {_names(found)}; leave qubit_order "
                "out, which takes that of the preparation, or remove the preparation from the circuit"
            )
        return found

    def _named(self, numbers: Sequence[int]) -> tuple[cirq.Qid, ...]:
        try:
            positions = as_counts(numbers, "qubit_order", 0)
        except ArgumentTypeError as error:
            raise ArgumentTypeError(f"qubit_order={shown(numbers)} must be {_advice()}") from error
        if not positions or len(set(positions)) < len(positions) or max(positions) >= len(self.qubits):
            raise ValueError(
                f"qubit_order={shown(numbers)} must name different qubits of 0 .. {len(self.qubits) - 1}, the most significant "
                "first; qubits that it leaves out start in |0>"
            )
        return tuple(self.qubits[i] for i in positions)


def _advice() -> str:
    return (
        "'big-endian' if the first qubit is the most significant of an amplitude's index, as in Cirq and PennyLane, "
        "'little-endian' if it is the least significant, as in Qiskit, or the numbers of the data qubits, the most "
        "significant first"
    )


def _names(qubits: Iterable[cirq.Qid]) -> str:
    return ", ".join(map(str, qubits))


def without_ends(circuit: cirq.AbstractCircuit) -> tuple[cirq.Circuit, list[str]]:
    """Return a circuit without the resets at its start and the measurements at its end, and what was left out in words.

    A measurement stays if an operation follows on its qubits, or if its outcome controls another one.

    Example:
        >>> q = cirq.q(0)
        >>> circuit, removed = without_ends(cirq.Circuit(cirq.reset(q), cirq.X(q), cirq.measure(q)))
        >>> circuit == cirq.Circuit(cirq.X(q)), removed
        (True, ['the reset of q(0) at the start', 'the measurement of q(0) at the end'])
    """
    kept: list[cirq.Operation] = []
    touched: set[cirq.Qid] = set()
    resets: list[cirq.Qid] = []
    for operation in circuit.all_operations():
        if isinstance(operation.gate, cirq.ResetChannel) and not touched & set(operation.qubits):
            resets += [q for q in operation.qubits if q not in resets]
            continue
        touched |= set(operation.qubits)
        kept.append(operation)
    remaining: list[cirq.Operation] = []
    measured: list[cirq.Qid] = []
    later: set[cirq.Qid] = set()
    read: set[cirq.MeasurementKey] = set()
    for operation in reversed(kept):
        qubits = set(operation.qubits)
        is_last = cirq.is_measurement(operation) and not later & qubits and not cirq.measurement_key_objs(operation) & read
        if is_last and isinstance(operation.gate, cirq.MeasurementGate):
            measured += operation.qubits[::-1]
            continue
        later |= qubits
        read |= cirq.control_keys(operation)
        remaining.append(operation)
    found = [
        f"the {what} of {_names(qs)} at the {where}"
        for what, qs, where in (("reset", resets, "start"), ("measurement", sorted(measured), "end"))
        if qs
    ]
    return cirq.Circuit(reversed(remaining)), found


def refuse(name: str, operation: str, cure: str) -> NoReturn:
    """Raise ValueError for an operation that a model cannot hold.

    Example:
        >>> refuse("Qiskit", "while_loop", "unroll it")
        Traceback (most recent call last):
        ValueError: Qiskit: a model cannot hold the operation while_loop; unroll it
    """
    raise ValueError(f"{name}: a model cannot hold the operation {operation}; {cure}")


def scores_of(models: Sequence[Model], x: ArrayLike) -> FloatArray:
    """Return the scores of all models, (..., models)."""
    return np.stack([model.expectation(x) for model in models], axis=-1)


def check_round_trip(name: str, models: Sequence[Model], x: Array, expected: FloatArray) -> None:
    """Raise RuntimeError if models differ from the source's own simulator, (samples, models)."""
    found = scores_of(models, x)
    if not _agrees(models, found, expected, _EXACT, x):
        raise RuntimeError(
            f"the imported model differs from {name}'s own simulator by {np.abs(found - expected).max():.1e} on random states: "
            "an operation of the circuit was converted wrongly; please report it with the circuit"
        )


def random_states(qubits: int, count: int = CHECKED_STATES) -> Array:
    """Return random complex states of unit norm, (count, 2**qubits), the same at every call."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(count, 2**qubits)) + 1j * rng.normal(size=(count, 2**qubits))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _agrees(models: Sequence[Model], found: FloatArray, expected: FloatArray, tolerance: float, x: ArrayLike) -> bool:
    size = max(model.observable_size for model in models) * float(np.max(np.sum(np.abs(np.asarray(x)) ** 2, axis=-1)))
    return bool(np.abs(found - expected).max(initial=0.0) <= tolerance * max(size, np.finfo(float).tiny))


def one_or_all(models: list[Model], several: bool) -> Model | list[Model]:
    """Return a single model as it is, and several as a list."""
    return models if several else models[0]


def described(numbers: Sequence[int]) -> str:
    """Return qubits by their numbers in words.

    Example:
        >>> described([0, 2])
        'qubits 0, 2'
    """
    return f"qubit{'s' if len(numbers) != 1 else ''} {', '.join(map(str, numbers))}" if numbers else quantity(0, "qubit")
