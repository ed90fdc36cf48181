"""Models from PennyLane's QNodes and tapes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any

import cirq
import numpy as np
import sympy
from numpy.typing import ArrayLike

from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.checks import ArgumentTypeError, shown
from hattriq_cirq.models.convert.gates import GATES, channel_operation, matrix_operation
from hattriq_cirq.models.convert.source import (
    CHECKED_QUBITS,
    QubitOrder,
    Source,
    check_round_trip,
    one_or_all,
    random_states,
    refuse,
)
from hattriq_cirq.models.model import Model

_PREPARATIONS = (
    *("AmplitudeEmbedding", "StatePrep", "QubitStateVector", "MottonenStatePreparation"),
    *("BasisState", "BasisEmbedding", "MPSPrep", "Superposition"),
)
_IGNORED = ("Barrier", "Identity", "GlobalPhase", "Snapshot", "WireCut")
_NAMES = {
    **{"PauliX": "x", "PauliY": "y", "PauliZ": "z", "Hadamard": "h", "S": "s", "T": "t", "SX": "sx"},
    **{"RX": "rx", "RY": "ry", "RZ": "rz", "PhaseShift": "p", "U1": "p", "U2": "u2", "U3": "u", "Rot": "rot"},
    **{"CNOT": "cx", "CY": "cy", "CZ": "cz", "CH": "ch", "SWAP": "swap", "ISWAP": "iswap", "CSWAP": "cswap"},
    **{"Toffoli": "ccx", "CCZ": "ccz", "CRX": "crx", "CRY": "cry", "CRZ": "crz", "CRot": "crot"},
    **{"ControlledPhaseShift": "cp", "CPhase": "cp", "IsingXX": "rxx", "IsingYY": "ryy", "IsingZZ": "rzz"},
}
_DEEPEST = 20  # decompositions inside each other
_ENTRIES_MAX = 10_000  # of one argument, whose entries are looked for among the angles
_LINEAR = 1e-9  # relative difference of two slopes that rounding explains
_PROBABILITIES_MAX = 6  # qubits of probabilities, each of which becomes a model


def from_pennylane(
    circuit: Any,
    *args: Any,
    qubit_order: QubitOrder | None = None,
    observable: Any = None,
    check: tuple[ArrayLike, ArrayLike] | None = None,
    **kwargs: Any,
) -> Model | list[Model]:
    """Return the model of a PennyLane QNode or tape. PennyLane must be installed: pip install 'hattriq_cirq[pennylane]'.

    Wire k becomes `cirq.LineQubit(k)`; wires with other labels are numbered in their order. `AmplitudeEmbedding`, `StatePrep`
    and other preparations at the start are left out, and a warning names them: the model's input takes their place. Every
    `expval` becomes a model, with Pauli words, sums, `Hermitian` and `Projector` as observables, and `probs` a model for each
    outcome. Angles that depend on one entry of an argument become symbols, such as `weights[0,1,2]`, with the trained value in
    `params`, so that the model can be trained further; an angle that depends on several entries is a symbol of its own,
    `angle[k]`. Measurements inside the circuit become controlled gates on environment qubits, and channels stay channels. A
    circuit of up to 10 qubits is compared with PennyLane's own simulator, at random states and weights.

    Args:
        circuit: `QNode`, or `QuantumTape` (`QuantumScript`).
        *args: Arguments with which the QNode is called: any input, and the trained weights.
        qubit_order: Order of the data qubits: `big-endian` (the first wire is the most significant), `little-endian`, or the
            positions of the data wires, most significant first; other wires start in |0>. None takes the order of the
            embedding, or else `big-endian`.
        observable: Observable in place of the circuit's own, as `Model` takes it; a list for several models.
        check: Inputs and their scores (x, score), with which the model is compared.
        **kwargs: Further arguments of the QNode.

    Returns:
        The model, or a list of models of the same circuit if there are several observables.

    Raises:
        ValueError: An operation or a measurement cannot be part of a model, or the scores of `check` differ.

    Warns:
        RemovedOperationsWarning: A preparation was left out.

    Example:
        >>> import pennylane as qml  # doctest: +SKIP
        >>> @qml.qnode(qml.device("default.qubit", wires=2))  # doctest: +SKIP
        ... def classifier(x, weights):
        ...     qml.AmplitudeEmbedding(x, wires=[0, 1], normalize=True)
        ...     qml.StronglyEntanglingLayers(weights, wires=[0, 1])
        ...     return qml.expval(qml.Z(0))
        >>> model = from_pennylane(classifier, [1, 0, 0, 0], weights)  # doctest: +SKIP
        >>> from_pennylane("classifier")
        Traceback (most recent call last):
        hattriq_cirq.foundation.checks.ArgumentTypeError: circuit='classifier' must be a PennyLane QNode or tape
    """
    if "pennylane" not in sys.modules:
        raise ArgumentTypeError(f"circuit={shown(circuit)} must be a PennyLane QNode or tape")
    tape, arguments = _arguments(circuit, args, kwargs)
    qubits = _wires(circuit, tape)
    reader = _Reader(qubits)
    leaves, prepared, removed = reader.read(tape)
    angles = _Angles.of(leaves, arguments, reader)
    operations = [op for leaf, own in zip(leaves, angles.symbolic, strict=True) for op in leaf.build(own)]
    register = list(qubits.values())
    source = Source("PennyLane", cirq.Circuit(operations), register, "big-endian", prepared, removed, angles.values)
    given = [observable] if observable is not None and not isinstance(observable, list) else observable
    observables = _observables(tape, qubits) if given is None else given
    models = source.models(observables, qubit_order, None)
    if observable is None and len(qubits) <= CHECKED_QUBITS:
        x = random_states(models[0].n_qubits)
        for drawn, changed in [(tape, {}), *angles.draws]:
            own_params = {name: changed.get(name, value) for name, value in models[0].params.items()}
            own = [model.with_params(own_params) for model in models]
            check_round_trip("PennyLane", own, x, _simulated(drawn, own[0], qubits, x))
    source.check(models, check, observables, None)
    several = isinstance(observable, list) if observable is not None else len(models) > 1
    return one_or_all(models, several)


@dataclass(frozen=True, eq=False)
class _Leaf:
    """Elementary operation: its name and wires, its angles, and the operations of Cirq as a function of angles."""

    name: str
    wires: tuple[Any, ...]
    params: tuple[float, ...]
    build: Callable[[Sequence[Any]], list[cirq.Operation]]
    constant: Any = None


class _Reader:
    """Reader of a tape: its operations, decomposed as far as needed."""

    def __init__(self, qubits: Mapping[Any, cirq.Qid]) -> None:
        self.qubits = qubits

    def read(self, tape: Any) -> tuple[list[_Leaf], list[cirq.Qid] | None, tuple[str, ...]]:
        """Return the elementary operations, the qubits of the preparation, most significant first, and it in words."""
        leaves: list[_Leaf] = []
        prepared: list[cirq.Qid] | None = None
        removed: tuple[str, ...] = ()
        for operation in tape.operations:
            if operation.name not in _PREPARATIONS:
                leaves += self._leaves(operation)
                continue
            what = f"{operation.name} on wires {operation.wires.tolist()}"
            if prepared is not None:
                refuse("PennyLane", f"{what} beside another preparation", "a model has one input; keep one of them")
            if {w for leaf in leaves for w in leaf.wires} & set(operation.wires):
                refuse("PennyLane", f"{what} after other operations on them", "only the start of a circuit may prepare a state")
            prepared, removed = [self.qubits[w] for w in operation.wires], (f"the preparation {what}",)
        return leaves, prepared, removed

    def _leaves(self, operation: Any, depth: int = 0) -> list[_Leaf]:
        import pennylane as qml

        name, wires = operation.name, tuple(operation.wires)
        qubits = [self.qubits[w] for w in wires]
        if name in _IGNORED:
            return []
        if name in _PREPARATIONS:
            refuse("PennyLane", f"{name} inside another operation", "only the start of a circuit may prepare a state")
        if name in _NAMES:
            build = GATES[_NAMES[name]]
            params = [np.asarray(qml.math.toarray(p), dtype=float) for p in operation.parameters]
            if any(p.ndim for p in params):
                refuse("PennyLane", f"{name} with a batch of angles", "call the QNode with the arguments of one circuit")
            return [_Leaf(name, wires, tuple(map(float, params)), lambda angles: build(angles, qubits))]
        if isinstance(operation, qml.operation.Channel):
            kraus = [np.asarray(qml.math.toarray(k)) for k in operation.kraus_matrices()]
            return [_Leaf(name, wires, (), lambda _: channel_operation(kraus, qubits), kraus)]
        if isinstance(operation, qml.ops.Adjoint) and (inner := self._of_base(operation.base)) is not None:
            return [replace(leaf, name=f"Adjoint({leaf.name})", build=partial(_inverse, leaf.build)) for leaf in inner[::-1]]
        if (
            type(operation) in (qml.ops.ControlledOp, qml.ops.Controlled)
            and (inner := self._of_base(operation.base)) is not None
        ):
            controls = [self.qubits[w] for w in operation.control_wires]
            control = partial(_controlled, controls=controls, values=[int(v) for v in operation.control_values])
            return [replace(leaf, name=name, wires=wires, build=partial(control, leaf.build)) for leaf in inner]
        if operation.has_decomposition and (operation.num_params or not operation.has_matrix) and depth < _DEEPEST:
            return [leaf for part in operation.decomposition() for leaf in self._leaves(part, depth + 1)]
        if not operation.has_matrix:
            refuse("PennyLane", name, "write it with gates or channels")
        matrix = np.asarray(qml.math.toarray(operation.matrix(wire_order=operation.wires)))
        if matrix.ndim > 2:
            refuse("PennyLane", f"{name} with a batch of matrices", "call the QNode with the arguments of one circuit")
        return [_Leaf(name, wires, (), lambda _: matrix_operation(matrix, qubits), matrix)]

    def _of_base(self, base: Any) -> list[_Leaf] | None:
        """Return the operations of a base whose phases are exact; None for one that is decomposed with its control."""
        return self._leaves(base) if base.name in _NAMES else None


def _inverse(build: Callable[[Sequence[Any]], list[cirq.Operation]], angles: Sequence[Any]) -> list[cirq.Operation]:
    return [cirq.inverse(op) for op in build(angles)[::-1]]


def _controlled(
    build: Callable[[Sequence[Any]], list[cirq.Operation]],
    angles: Sequence[Any],
    *,
    controls: Sequence[cirq.Qid],
    values: Sequence[int],
) -> list[cirq.Operation]:
    return [op.controlled_by(*controls, control_values=values) for op in build(angles)]


#: Argument that may hold weights: its name, its numbers, and the tape as a function of other numbers.
_Argument = tuple[str, FloatArray, Callable[[FloatArray], Any]]


def _arguments(circuit: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, list[_Argument]]:
    """Return the tape at the given arguments, and every argument with numbers that may be weights."""
    import pennylane as qml

    found: list[_Argument] = []
    if isinstance(circuit, qml.tape.QuantumScript):
        if args or kwargs:
            raise ArgumentTypeError(
                f"args={shown(args or kwargs)} cannot be given for a tape, whose operations have their values"
            )
        given = circuit.get_parameters(trainable_only=False)

        def bound_at(i: int, new: FloatArray) -> Any:
            return _deferred(circuit.bind_new_parameters([new], [i]))

        for i in circuit.trainable_params:
            if (numbers := _floats(given[i])) is not None:
                found.append((f"params[{i}]", numbers, partial(bound_at, i)))
        return _deferred(circuit), found
    if not hasattr(circuit, "func"):
        raise ArgumentTypeError(f"circuit={shown(circuit)} must be a PennyLane QNode or tape")
    bound = inspect.signature(circuit.func).bind(*args, **kwargs)
    bound.apply_defaults()

    def built(changed: Mapping[str, Any]) -> Any:
        own = inspect.BoundArguments(bound.signature, {**bound.arguments, **changed})
        return _deferred(qml.workflow.construct_tape(circuit, level="user")(*own.args, **own.kwargs))

    def built_with(name: str, value: Any, new: FloatArray) -> Any:
        return built({name: _like(new, value)})

    trainable = [name for name, value in bound.arguments.items() if getattr(value, "requires_grad", False)]
    for name in trainable or bound.arguments:
        value = bound.arguments[name]
        if (numbers := _floats(value)) is not None:
            found.append((name, numbers, partial(built_with, name, value)))
    return built({}), found


def _floats(value: Any) -> FloatArray | None:
    """Return an argument as an array of floats; None if it has no floats, or too many."""
    import pennylane as qml

    try:
        array = np.asarray(qml.math.toarray(value) if qml.math.get_interface(value) != "builtins" else value)
    except (TypeError, ValueError):
        return None
    return array.astype(np.float64) if array.dtype.kind == "f" and 0 < array.size <= _ENTRIES_MAX else None


def _like(new: FloatArray, value: Any) -> Any:
    """Return numbers in the type of an argument."""
    import pennylane as qml

    interface = qml.math.get_interface(value)
    return new.tolist() if interface == "builtins" else qml.math.asarray(new, like=interface)


def _deferred(tape: Any) -> Any:
    """Return a tape in which controlled gates take the place of measurements inside the circuit."""
    import pennylane as qml

    measured = [op for op in tape.operations if type(op).__name__ in ("MidMeasure", "MidMeasureMP")]
    if any(op.postselect is not None for op in measured):
        refuse("PennyLane", "measure(postselect=...)", "build the model in Cirq, where Model takes postselect")
    return qml.defer_measurements(tape)[0][0] if measured else tape


@dataclass(frozen=True, eq=False)
class _Angles:
    """Angles of all elementary operations in symbols, as far as they depend on arguments.

    Args:
        symbolic: Angles of each operation, numbers or expressions.
        values: Numbers of the symbols.
        draws: Tape at random numbers of one argument each, with the numbers of the symbols that these change.
    """

    symbolic: list[list[Any]]
    values: dict[str, float]
    draws: list[tuple[Any, dict[str, float]]]

    @classmethod
    def of(cls, leaves: Sequence[_Leaf], arguments: Sequence[_Argument], reader: _Reader) -> _Angles:
        """Find the angles that change with the arguments: an affine function of one entry is known from three points."""
        found = cls([list(leaf.params) for leaf in leaves], {}, [])
        changes: dict[tuple[int, int], list[tuple[int, float, float]]] = {}
        drawn: list[tuple[str, FloatArray, list[FloatArray]]] = []
        for name, given, rebuilt in arguments:
            rng = np.random.default_rng(len(drawn))
            random = [rng.uniform(-np.pi, np.pi, given.shape) for _ in range(2)]
            others = [_similar(leaves, rebuilt, new, reader) for new in random]
            if others[0] is None or others[1] is None:
                continue
            found.draws.append((others[0][0], {}))
            for i, leaf in enumerate(leaves):
                for k, own in enumerate(leaf.params):
                    first, second = (other[1][i].params[k] for other in others if other is not None)
                    if (first, second) != (own, own):
                        changes.setdefault((i, k), []).append((len(drawn), first, second))
            drawn.append((name, given, random))
        for (i, k), by_argument in changes.items():
            found._name(i, k, leaves[i].params[k], by_argument, drawn)
        return found

    def _name(
        self,
        i: int,
        k: int,
        own: float,
        by_argument: Sequence[tuple[int, float, float]],
        drawn: Sequence[tuple[str, FloatArray, list[FloatArray]]],
    ) -> None:
        """Give angle k of operation i an expression of the entry that it depends on, or else a symbol of its own."""
        if len(by_argument) == 1:
            ((j, first, second),) = by_argument
            name, given, random = drawn[j]
            entry = _affine_entry((own, first, second), (given, *random))
            if entry is not None:
                index, slope, constant = entry
                symbol = name if not given.ndim else f"{name}[{','.join(map(str, index))}]"
                self.values[symbol] = float(given[index])
                self.draws[j][1][symbol] = float(random[0][index])
                self.symbolic[i][k] = slope * sympy.Symbol(symbol) + constant
                return
        symbol = f"angle[{sum(each.startswith('angle[') for each in self.values)}]"
        self.values[symbol] = own
        self.symbolic[i][k] = sympy.Symbol(symbol)
        for j, first, _ in by_argument:
            self.draws[j][1][symbol] = first


def _similar(
    leaves: Sequence[_Leaf], rebuilt: Callable[[FloatArray], Any], new: FloatArray, reader: _Reader
) -> tuple[Any, list[_Leaf]] | None:
    """Return the tape at other numbers and its operations, if these differ from those at hand in their angles alone."""
    try:
        tape = rebuilt(new)
        others, _, _ = reader.read(tape)
    except Exception:  # a function that refuses such numbers, as an embedding of unit norm does
        return None
    same = len(others) == len(leaves) and all(
        (a.name, a.wires, len(a.params)) == (b.name, b.wires, len(b.params)) and np.array_equal(a.constant, b.constant)
        for a, b in zip(leaves, others, strict=True)
    )
    return (tape, others) if same else None


def _affine_entry(
    angles: tuple[float, float, float], points: Sequence[FloatArray]
) -> tuple[tuple[int, ...], float, float] | None:
    """Return the index of the entry that an angle is an affine function of, its slope and constant; None if there is none."""
    entries = np.array([point.reshape(-1) for point in points])
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = ((angles[m] - angles[0]) / (entries[m] - entries[0]) for m in (1, 2))
        fits = np.flatnonzero(np.abs(first - second) <= _LINEAR * np.abs(first))
    if len(fits) != 1:
        return None
    slope = _simple(float(first[fits[0]]))
    constant = angles[0] - slope * float(entries[0, fits[0]])
    index = tuple(int(i) for i in np.unravel_index(fits[0], points[0].shape))
    return index, slope, 0.0 if abs(constant) < _LINEAR * (1 + abs(angles[0])) else constant


def _simple(slope: float) -> float:
    """Return the quotient of small whole numbers that a slope is within rounding, or else the slope."""
    near = float(Fraction(slope).limit_denominator(100))
    return near if abs(near - slope) <= _LINEAR * abs(slope) else slope


def _wires(circuit: Any, tape: Any) -> dict[Any, cirq.Qid]:
    """Return every wire in its order with its qubit: line qubits of the same numbers where all labels are numbers."""
    device = getattr(getattr(circuit, "device", None), "wires", None)
    wires = list(dict.fromkeys([*(device or []), *(tape.wires if device else _sorted(tape.wires))]))
    if all(isinstance(w, int | np.integer) and w >= 0 for w in wires):
        return {w: cirq.LineQubit(int(w)) for w in wires}
    return {w: cirq.LineQubit(i) for i, w in enumerate(wires)}


def _sorted(wires: Any) -> list[Any]:
    labels = list(wires)
    return sorted(labels) if all(isinstance(w, int | np.integer) for w in labels) else labels


def _observables(tape: Any, qubits: Mapping[Any, cirq.Qid]) -> list[Any]:
    """Return the observables of all measurements of a tape, one for each outcome of probabilities."""
    import pennylane as qml

    found: list[Any] = []
    for measurement in tape.measurements:
        kind = type(measurement).__name__
        if isinstance(measurement, qml.measurements.ExpectationMP) and measurement.obs is not None:
            found.append(_observable(measurement.obs, qubits))
        elif isinstance(measurement, qml.measurements.ProbabilityMP) and measurement.obs is None:
            wires = [qubits[w] for w in (measurement.wires or tape.wires)]
            if len(wires) > _PROBABILITIES_MAX:
                refuse("PennyLane", f"probs of {len(wires)} wires", f"return those of at most {_PROBABILITIES_MAX}")
            for bits in product((0, 1), repeat=len(wires)):
                found.append(cirq.ProjectorString(dict(zip(wires, bits, strict=True))))
        else:
            refuse("PennyLane", kind, "return qml.expval of an observable, or give observable=")
    if not found:
        raise ValueError(
            "PennyLane: the circuit returns no expectation; return qml.expval of an observable, or give observable="
        )
    return found


def _observable(observable: Any, qubits: Mapping[Any, cirq.Qid]) -> Any:
    """Return an observable as a sum of Pauli strings, or as a matrix with its qubits."""
    if (words := observable.pauli_rep) is None:
        return np.asarray(observable.matrix(wire_order=observable.wires)), [qubits[w] for w in observable.wires]
    return cirq.PauliSum.from_pauli_strings(
        [
            cirq.PauliString(complex(weight), *(getattr(cirq, p)(qubits[w]) for w, p in word.items()))
            for word, weight in words.items()
        ]
    )


def _simulated(tape: Any, model: Model, qubits: Mapping[Any, cirq.Qid], x: Array) -> FloatArray:
    """Return the expectations that PennyLane computes for input states, (samples, models)."""
    import pennylane as qml

    wire_of = {q: w for w, q in qubits.items()}
    data = [wire_of[q] for q in model.qubits]
    operations = [op for op in tape.operations if op.name not in _PREPARATIONS]
    has_channels = any(isinstance(op, qml.operation.Channel) for op in operations)
    device = qml.device("default.mixed" if has_channels else "default.qubit", wires=list(qubits))

    def circuit(state: Array) -> Any:
        qml.StatePrep(state, wires=data)
        for operation in operations:
            qml.apply(operation)
        return [qml.apply(each) for each in tape.measurements]

    node = qml.QNode(circuit, device)
    return np.array([np.concatenate([np.ravel(qml.math.toarray(each)) for each in node(row)]) for row in x], dtype=float)
