"""The model as a value: a circuit on data qubits, an observable, and the numbers bound to the circuit's symbols."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NotRequired, TypedDict

import cirq
import numpy as np
import sympy
from numpy.typing import ArrayLike, NDArray

from hattriq_cirq.circuits.channels import Instruction, instructions_of, kraus_operators
from hattriq_cirq.circuits.constants import owned_circuit
from hattriq_cirq.circuits.dilation import dilate
from hattriq_cirq.circuits.light_cone import light_cone
from hattriq_cirq.circuits.serialization import read_cirq_json
from hattriq_cirq.circuits.unitaries import has_channels, inverse_circuit, unitary_matrix
from hattriq_cirq.foundation.arrays import (
    Array,
    FloatArray,
    as_amplitudes,
    binary_exponents,
    needs_scaling,
    rescaled,
    times_power_of_2,
)
from hattriq_cirq.foundation.card import Card, Displayed
from hattriq_cirq.foundation.checks import as_number, as_word, check_type
from hattriq_cirq.foundation.contract import DataContract, column_names
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.identity import content_digest
from hattriq_cirq.foundation.reading import FileError, problem_of, read_bytes
from hattriq_cirq.foundation.schema import check_format, load
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.channels import (
    describe_evolution,
    describe_instructions,
    evolve_observable,
    is_trace_cheap,
    is_unital,
)
from hattriq_cirq.models.observables import Observable, as_pauli_sum
from hattriq_cirq.models.outcome_function import OutcomeFunction
from hattriq_cirq.simulation import statevector
from hattriq_cirq.simulation.evolved_observable import EvolvedObservable, ObservableOnAxes
from hattriq_cirq.simulation.statevector import Precision

Form = Literal["quadratic", "normalized"]
_JSON_FORMAT = "hattriq_cirq.Model/1"  # of a model that version 0.1 reads
_JSON_FORMAT_CHANNELS = "hattriq_cirq.Model/2"  # of any other
_ROUNDING = 1e-14  # of a trace, relative to the size of the observable
_RANGE = {"float64": 200, "float32": 40}  # powers of 2 within which squares of inputs neither overflow nor vanish


class _ModelFields(TypedDict):
    """Fields of a model file, after Cirq has read it; `Model` checks their values."""

    format: str
    circuit: Any
    qubits: Any
    observable: Any
    params: Any
    contract: NotRequired[Any]
    environment: NotRequired[Any]
    record: NotRequired[Any]
    postselect: NotRequired[Any]


class IdentityPartWarning(UserWarning):
    """The observable has an identity part, which adds a copy of the input to every attribution map.

    Example:
        >>> import warnings
        >>> from hattriq_cirq import integrated_gradients
        >>> qubit = cirq.LineQubit(0)
        >>> model = Model(cirq.Circuit(), [qubit], 0.5 * cirq.Z(qubit) + 0.5)
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     _ = integrated_gradients(model, [0.6, 0.8], baseline=0)
        >>> caught[0].category is IdentityPartWarning, model.traceless().identity_part
        (True, 0.0)
    """


_NO_PARAMS = cirq.ParamResolver({})


class _CopiedSum:
    """Field of a dataclass that holds a Pauli sum, which Cirq changes in place, and hands out copies of it."""

    def __get__(self, model: object, owner: type | None = None) -> cirq.PauliSum:
        if model is None:
            raise AttributeError("observable")  # the field has no default
        found: cirq.PauliSum = vars(model)["observable"].copy()
        return found

    def __set__(self, model: object, observable: Observable) -> None:
        vars(model)["observable"] = observable


class _Params:
    """Field of a dataclass that takes values for symbols in any form, and holds a read-only map from names to numbers."""

    def __get__(self, model: object, owner: type | None = None) -> Mapping[str, float]:
        if model is None:
            return _NO_PARAMS  # type: ignore[return-value]  # the default, which __post_init__ replaces
        found: Mapping[str, float] = vars(model)["params"]
        return found

    def __set__(self, model: object, params: Mapping[Any, Any] | cirq.ParamResolver) -> None:
        vars(model)["params"] = params


@dataclass(frozen=True, eq=False, repr=False)
class Model(Displayed):
    """A quantum model F(x) = x' M x with M = U' O U (prime: adjoint) of an input that is encoded in amplitudes x.

    The circuit may also measure, control gates by outcomes, reset qubits and contain noise. It is then a channel E with Kraus
    operators K_r, and M = E'(O) = sum_r K_r' O K_r: every result on the map of a unitary circuit holds for it too.

    Args:
        circuit: U or E, any circuit on the data qubits and the environment; its symbols are bound by `params`. The matrix of
            every gate is checked to be unitary to 1e-6, which single precision passes, and every channel to keep probability.
        qubits: Data qubits, most significant first; their number n determines the 2**n features.
        observable: O on the same qubits: a Hermitian `cirq.PauliString` or `cirq.PauliSum`, a projector of Cirq, a label like
            "0.5*Z0*X2 + Y1", "P1(0)" or "|01><01|", a Hermitian matrix on all data qubits, or one with its qubits, such as
            (matrix, [0, 1]); see `models.observables.as_pauli_sum`. Reading it returns a copy of the sum of Pauli strings.
        params: Finite number for every symbol of the circuit: a map from names or SymPy symbols, or a `cirq.ParamResolver`;
            values may be SymPy expressions of other entries.
        contract: Form of the data that the model was trained on, which is compared with data that it meets; None if it is not
            known. It is no part of the function F, so that models are equal whatever it is.
        environment: Further qubits of the circuit, which start in |0>.
        record: Function of the latest outcomes of the measurements, which multiplies the observable in each run: an expression
            of measurement keys, such as "(-1)**m", or a function of a dict from keys to integers. It is kept as a table.
        postselect: Function of outcomes that tells which runs count, in one of these forms, or as a dict from keys to accepted
            outcomes. The expectation is then the ratio of two quadratic forms, `numerator` and `denominator`.

    Raises:
        ValueError: The circuit contains an operation that is neither a gate nor a channel, an unresolved symbol or a qubit that
            is not in `qubits` or `environment`, or the observable is empty or not Hermitian.

    Example:
        >>> qubit = cirq.LineQubit(0)
        >>> model = Model(cirq.Circuit(cirq.X(qubit)), [qubit], cirq.Z(qubit))
        >>> model.expectation([[1, 0], [0.6, 0.8]]).round(2)
        array([-1.  ,  0.28])
        >>> Model(cirq.Circuit(cirq.depolarize(0.75)(qubit)), [qubit], cirq.Z(qubit)).expectation([1, 0]).round(2)
        np.float64(0.0)
    """

    circuit: cirq.AbstractCircuit
    qubits: Sequence[cirq.Qid]
    observable: _CopiedSum = _CopiedSum()
    params: _Params = _Params()
    contract: DataContract | None = None
    environment: Sequence[cirq.Qid] = ()
    record: Any = None
    postselect: Any = None

    def __post_init__(self) -> None:
        check_type(self.contract, "contract", DataContract | None, "a DataContract, such as that of a data set, or None")
        check_type(self.circuit, "circuit", cirq.AbstractCircuit, "a cirq.Circuit or cirq.FrozenCircuit")
        object.__setattr__(self, "circuit", owned_circuit(self.circuit))
        object.__setattr__(self, "qubits", tuple(self.qubits))
        object.__setattr__(self, "environment", tuple(self.environment))
        object.__setattr__(self, "observable", as_pauli_sum(vars(self)["observable"], self.qubits, self.environment))
        object.__setattr__(self, "params", _as_params(self.params, cirq.parameter_names(self.circuit)))
        self._check_qubits()
        self._check_params()
        self._check_operations()
        for name in ("record", "postselect"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, OutcomeFunction.of(getattr(self, name), self._outcome_bits, name))
        if self.postselect is not None and not any(self.postselect.values):
            raise ValueError("postselect accepts no outcome; accept at least one")

    def _check_qubits(self) -> None:
        if not self.qubits:
            raise ValueError("qubits must name at least one data qubit")
        if len(set(self.register)) != len(self.register):
            raise ValueError(f"qubits={list(map(str, self.register))} must not repeat")
        wrong = [str(q) for q in self.register if q.dimension != 2]
        if wrong:
            raise ValueError(f"qubits {wrong} are not two-level systems")
        for name, acted_on in (("circuit", self.circuit.all_qubits()), ("observable", self.pauli_sum.qubits)):
            foreign = sorted(str(q) for q in set(acted_on) - set(self.register))
            if foreign:
                raise ValueError(
                    f"the {name} acts on {foreign}, which are not among the model's qubits; add them, name them in environment "
                    "if they start in |0>, or map them"
                )

    def _check_params(self) -> None:
        names = cirq.parameter_names(self.circuit)
        missing, unknown = sorted(names - self.params.keys()), sorted(self.params.keys() - names)
        if missing:
            raise ValueError(f"symbols {missing} of the circuit are unresolved; give each a value in params")
        if unknown:
            raise ValueError(f"params {unknown} are not symbols of the circuit")

    def _check_operations(self) -> None:
        if self.has_channels:
            for instruction in instructions_of(self.resolved_circuit):
                if instruction.kind == "channel":
                    kraus_operators(instruction.operation)
                elif instruction.kind == "gate":
                    unitary_matrix(instruction.operation)
            return
        checked: set[cirq.Gate] = set()
        for operation in statevector.elementary_operations(self.resolved_circuit):
            statevector.check_width(operation)
            gate = operation.gate
            if gate is None or gate not in checked:
                unitary_matrix(operation)
            if gate is not None:
                checked.add(gate)

    @cached_property
    def has_channels(self) -> bool:
        """True if the circuit measures or contains a channel, so that it is not unitary."""
        whole = list(self.resolved_circuit.all_operations())
        if any(cirq.is_measurement(op) or cirq.control_keys(op) for op in whole):
            return True
        return any(map(has_channels, statevector.elementary_operations(self.resolved_circuit)))

    @property
    def has_noise(self) -> bool:
        """True if the circuit has channels other than measurements and resets."""
        return self.has_channels and any(one.kind == "channel" and not one.is_reset for one in self._instructions)

    @cached_property
    def _instructions(self) -> list[Instruction]:
        return instructions_of(self.circuit)

    @property
    def dilation_note(self) -> str:
        """Sentence on what engines run in place of measurements in the circuit; empty if there are none."""
        if not any(one.kind == "measurement" for one in self._instructions):
            return ""
        number = len(self.dilated().environment) - len(self.environment)
        extra = f"{quantity(number, 'environment qubit')} that {'start' if number > 1 else 'starts'} in |0>"
        return (
            f"the model's {describe_instructions(self._instructions)} ran as quantum control with "
            f"{extra if number else 'no further qubit'}: engines run circuits that measure once, at the end"
        )

    @property
    def _outcome_bits(self) -> dict[str, int]:
        """Number of bits of the latest outcome under each measurement key."""
        return {str(one.key): one.outcome_bits for one in self._instructions if one.key is not None}

    @property
    def is_unitary(self) -> bool:
        """True if M = <0|U' O U|0> with a unitary circuit U, on environment qubits in |0> if there are any."""
        return not (self.has_channels or self.record or self.postselect)

    def _need_unitary(self, what: str) -> None:
        if not self.is_unitary:
            raise ValueError(
                f"{what} needs a unitary circuit, and the model has {describe_instructions(self._instructions)}; use "
                "model.dilated(), which computes the same by a unitary circuit on data and environment qubits"
            )

    def dilated(self, *, noise: bool = True) -> Model:
        """Return a model of the same M with a unitary circuit, on the data qubits and on environment qubits that start in |0>.

        A measured qubit that afterwards only controls other gates needs no environment qubit: it is the quantum control.

        Args:
            noise: Replace noise as well, by gates on data and environment qubits; otherwise it is kept, and so are resets.

        Returns:
            The model; itself if its circuit is unitary.

        Raises:
            ValueError: Runs are selected by their outcomes: `numerator` and `denominator` can be dilated.

        Example:
            >>> a, b = cirq.LineQubit.range(2)
            >>> pooling = cirq.Circuit(cirq.measure(a, key="m"), cirq.X(b).with_classical_controls("m"))
            >>> Model(pooling, [a, b], cirq.Z(b)).dilated().circuit == cirq.FrozenCircuit(cirq.CNOT(a, b))
            True
        """
        if self.is_unitary:
            return self
        self._refuse_selection("dilated()")
        if noise not in self._dilations:
            self._dilations[noise] = self._dilate(noise)
        return self._dilations[noise]

    @cached_property
    def _dilations(self) -> dict[bool, Model]:
        return {}

    def _dilate(self, noise: bool) -> Model:
        mixed = {q for term in self.pauli_sum for q, pauli in term.items() if pauli != cirq.Z}
        read = set() if self.record is None else set(self.record.keys)
        found = dilate(self.circuit, self.register, mixed, read=read, keep_noise=not noise)
        observable = self.pauli_sum.with_qubits(*(found.wires[q] for q in self.pauli_sum.qubits))
        if self.record is not None:
            observable = _real(self.record.observable(found.outcomes) * observable)
        names = cirq.parameter_names(found.circuit)
        params = {name: value for name, value in self.params.items() if name in names}
        environment = (*self.environment, *found.environment)
        return Model(found.circuit, self.qubits, observable, params, self.contract, environment)

    def _refuse_selection(self, what: str) -> None:
        if self.postselect is not None:
            raise ValueError(
                f"{what} has no meaning for a model that selects runs by outcomes: its expectation is the ratio of two "
                "quadratic forms; use model.numerator and model.denominator"
            )

    @cached_property
    def numerator(self) -> Model:
        """Quadratic form x' M_A x of the runs that `postselect` accepts; the expectation is its ratio to `denominator`."""
        accepted = self.postselect if self.record is None else self.record * self.postselect
        return replace(self, record=accepted, postselect=None)

    @cached_property
    def denominator(self) -> Model:
        """Quadratic form x' P_A x, the probability of the runs that `postselect` accepts."""
        return replace(self, observable=cirq.PauliString(), record=self.postselect, postselect=None)

    @property
    def pauli_sum(self) -> cirq.PauliSum:
        """A copy of the observable."""
        return self.observable

    @property
    def register(self) -> tuple[cirq.Qid, ...]:
        """Data qubits, and behind them the environment."""
        return (*self.qubits, *self.environment)

    @property
    def n_qubits(self) -> int:
        """Number of data qubits."""
        return len(self.qubits)

    @cached_property
    def n_features(self) -> int:
        """Number of amplitudes of an input, 2**n_qubits."""
        return int(2**self.n_qubits)

    @cached_property
    def resolved_circuit(self) -> cirq.FrozenCircuit:
        """U with every symbol replaced by its number."""
        return cirq.resolve_parameters(self.circuit.freeze(), dict(self.params))

    def light_cone(self, pauli: cirq.PauliString[cirq.Qid]) -> cirq.FrozenCircuit:
        """Return U without the gates that cancel in U' P U; that of each Pauli string P is found once and kept.

        Example:
            >>> a, b = cirq.LineQubit.range(2)
            >>> model = Model(cirq.Circuit(cirq.X(a), cirq.H(b)), [a, b], cirq.Z(a))
            >>> model.light_cone(cirq.PauliString(cirq.Z(a))) == cirq.FrozenCircuit(cirq.X(a))
            True
        """
        if pauli not in self._light_cones:
            self._light_cones[pauli] = light_cone(self.resolved_circuit, pauli)
        return self._light_cones[pauli]

    @cached_property
    def _light_cones(self) -> dict[cirq.PauliString[cirq.Qid], cirq.FrozenCircuit]:
        return {}

    @cached_property
    def identity_part(self) -> float:
        """Identity part of M, tr(M) / 2**n; that of the observable if M = U' O U with a unitary U on the data qubits.

        A measurement with feed-forward, a reset or damping changes it: an offset of the device, which copies the input into
        every map.
        """
        if self.is_unitary and not self.environment:
            return self.observable_identity
        found = self._evolved
        if isinstance(found, EvolvedObservable) and not found.environment:
            return self.dilated().observable_identity
        if self._is_unital:
            return self.observable_identity
        part = found.identity_part
        return part if abs(part) > _ROUNDING * self.observable_size else 0.0

    @cached_property
    def _is_unital(self) -> bool:
        return not self.environment and self.record is None and is_unital(instructions_of(self.resolved_circuit))

    @cached_property
    def is_identity_part_cheap(self) -> bool:
        """True if the identity part of M takes little time to compute."""
        return (self.is_unitary and not self.environment) or self._is_unital or is_trace_cheap(self._evolved)

    @cached_property
    def observable_identity(self) -> float:
        """Coefficient of the identity in the observable, which a circuit need not measure."""
        return float(sum(term.coefficient.real for term in self.pauli_sum if len(term) == 0))

    @cached_property
    def observable_size(self) -> float:
        """Sum of the absolute coefficients of the observable: a bound on |F(x)| / x'x."""
        return float(sum(abs(term.coefficient) for term in self.pauli_sum))

    def traceless(self) -> Model:
        """Return the model without the identity part of M.

        A constant is subtracted from the observable. A model with a `record` becomes its dilated form, whose observable can
        hold the constant.
        """
        part = self.identity_part
        if not part:
            return self
        if self.is_unitary and not self.environment:
            return self.with_observable(cirq.PauliSum.from_pauli_strings([t for t in self.pauli_sum if len(t) > 0]))
        whole = self if self.record is None else self.dilated()
        shifted = whole.with_observable(whole.pauli_sum - part)
        return shifted

    def with_observable(self, observable: Observable) -> Model:
        """Return the model with the same circuit and another observable; the compiled circuit is shared."""
        other = replace(self, observable=observable)
        other.__dict__.update({name: self.__dict__[name] for name in ("_gates", "_program") if name in self.__dict__})
        return other

    def with_params(self, params: Mapping[str, float]) -> Model:
        """Return the model with other numbers for the symbols of its circuit."""
        return replace(self, params=params)

    def with_contract(self, contract: DataContract | None) -> Model:
        """Return the model with the form of the data that it is for; `Dataset.contract` is that of a data set."""
        return replace(self, contract=contract)

    @cached_property
    def _gates(self) -> tuple[list[cirq.Operation], list[statevector.Gate]]:
        """The operations of U, wide ones decomposed, and the same as gates on axes."""
        return statevector.constant_gates(self.resolved_circuit, self.register)

    @cached_property
    def _program(self) -> statevector.FusedCircuit:
        return statevector.FusedCircuit.from_gates(self.n_qubits, self._gates[1])

    @cached_property
    def _program_float32(self) -> statevector.FusedCircuit:
        return self._program.astype("float32")

    @cached_property
    def _action(self) -> statevector.PauliAction:
        return statevector.PauliAction.of(self.pauli_sum, self.qubits)

    @cached_property
    def _evolved(self) -> ObservableOnAxes:
        """M as it acts on inputs."""
        if self.is_unitary:
            return EvolvedObservable.of(*self._gates, self.pauli_sum, self.qubits, self.environment)
        self._refuse_selection("M x")
        return evolve_observable(self.dilated(), lambda: self.dilated(noise=False))

    @cached_property
    def matrix(self) -> Array:
        """M = U' O U, (features, features), Hermitian, real if possible. It is built at the first use and kept."""
        return self._evolved.full_matrix

    def evolve(self, x: ArrayLike, *, precision: Precision = "float64", adjoint: bool = False) -> Array:
        """Return U x for a batch of amplitude vectors, or U' x.

        Args:
            x: Amplitudes, (..., features), of any norm.
            precision: `float64`, or `float32`, in which qsim applies the gates if there are enough qubits.
            adjoint: Apply U' instead of U.

        Returns:
            Amplitudes, (..., features), complex, or real if circuit and input are real.

        Example:
            >>> qubit = cirq.LineQubit(0)
            >>> Model(cirq.Circuit(cirq.X(qubit)), [qubit], cirq.Z(qubit)).evolve([0.6, 0.8])
            array([0.8, 0.6])
        """
        self._need_unitary("U x")
        if self.environment:
            raise ValueError("U x has amplitudes of the environment too; build a model with all qubits as its data qubits")
        rows, exponents, shape = self._rows(model_inputs(self, x), precision)
        with np.errstate(all="ignore"):
            columns = [self._evolve(chunk, precision, adjoint) for chunk in self._chunks(rows)]
        return _restored(_from_columns(columns, rows.shape), exponents, "U x").reshape(shape)

    def observable_action(self, x: ArrayLike, *, real_part: bool = False, precision: Precision = "float64") -> Array:
        """Return M x exactly: the vector from which every gradient and attribution of the model is computed.

        Args:
            x: Amplitudes, (..., features), of any norm.
            real_part: Return Re(M x) only, which suffices for real inputs and is faster for them.
            precision: `float64` or `float32`.

        Returns:
            M x, (..., features), complex, or real if M and x are real. dF/d(Re x_k) = 2 Re(Mx)_k, dF/d(Im x_k) = 2 Im(Mx)_k.

        Raises:
            ValueError: x is not finite or has another number of features.

        Example:
            >>> qubit = cirq.LineQubit(0)
            >>> Model(cirq.Circuit(), [qubit], cirq.Z(qubit)).observable_action([0.6, 0.8])
            array([ 0.6, -0.8])
        """
        amplitudes = model_inputs(self, x)
        self.announce(amplitudes.size // self.n_features, real=real_part and not np.iscomplexobj(amplitudes))
        return self.action_of_amplitudes(amplitudes, real_part=real_part, precision=precision)

    def action_of_amplitudes(self, x: Array, *, real_part: bool = False, precision: Precision = "float64") -> Array:
        """Return M x as `observable_action` does, for checked amplitudes whose number was announced (`announce`).

        Example:
            >>> qubit = cirq.LineQubit(0)
            >>> Model(cirq.Circuit(), [qubit], cirq.Z(qubit)).action_of_amplitudes(np.array([0.6, 0.8]))
            array([ 0.6, -0.8])
        """
        rows, exponents, shape = self._rows(x, precision)
        with np.errstate(all="ignore"):
            acted = self._evolved.apply(rows, precision, real_part=real_part)
        return _restored(acted, exponents, "M x").reshape(shape)

    def action_of_rows(self, rows: Any, *, real_part: bool = False, precision: Precision = "float64") -> Any:
        """Return M x for rows in a precision, (samples, features), whose squares neither overflow nor vanish, where they are.

        Example:
            >>> qubit = cirq.LineQubit(0)
            >>> Model(cirq.Circuit(), [qubit], cirq.Z(qubit)).action_of_rows(np.array([[0.6, 0.8]]))
            array([[ 0.6, -0.8]])
        """
        return self._evolved.apply(rows, precision, real_part=real_part)

    @property
    def state_size(self) -> int:
        """Number of amplitudes of a state in the product M x of one input, those of the environment included."""
        return self.n_features << self._evolved.environment

    @cached_property
    def digest(self) -> str | None:
        """Digest of all that the model consists of, the same in every process; None for a gate that cannot be compared."""
        return content_digest(self)

    @property
    def keeps_matrix(self) -> bool:
        """True once M is built, on the qubits that it acts on, and kept for all products to come."""
        return self._evolved.has_matrix

    def announce(self, inputs: int, *, real: bool = False) -> None:
        """Announce products M x of a number of inputs: the matrix is built and kept once that is faster for all so far.

        Args:
            inputs: Number of products.
            real: Only real parts of products with real inputs are needed.

        Example:
            >>> qubit = cirq.LineQubit(0)
            >>> Model(cirq.Circuit(), [qubit], cirq.Z(qubit)).announce(1000)
        """
        if not self.keeps_matrix:
            total = self.__dict__["_inputs_so_far"] = self.__dict__.get("_inputs_so_far", 0) + inputs
            if self._evolved.matrix_pays(total, real=real):
                _ = self._evolved.matrix

    def expectation(self, x: ArrayLike, *, form: Form = "quadratic", precision: Precision = "float64") -> FloatArray:
        """Return F(x) = x' M x, or G(x) = x' M x / x' x, exactly.

        Args:
            x: Amplitudes, (..., features), of any norm, but not 0 in the normalized form.
            form: `quadratic` for F, `normalized` for G, which a processor measures when x is encoded on it.
            precision: `float64` or `float32`.

        Returns:
            One real number per input, (...,); a scalar for a single x.

        Raises:
            ValueError: x is not finite, has another number of features, or is the zero vector in the normalized form.

        Example:
            >>> qubit = cirq.LineQubit(0)
            >>> model = Model(cirq.Circuit(), [qubit], cirq.Z(qubit))
            >>> float(model.expectation([1, 2])), float(model.expectation([1, 2], form="normalized"))
            (-3.0, -0.6)
        """
        check_form(form)
        if self.postselect is not None:
            return self._ratio(x, form, precision)
        rows, exponents, shape = self._rows(model_inputs(self, x), precision)
        with np.errstate(all="ignore"):
            if self.is_unitary and not self.environment:
                values = np.concatenate([np.zeros(0), *(self._expect(chunk, precision) for chunk in self._chunks(rows))])
            else:
                acted = self._evolved.apply(rows, precision, real_part=False)
                values = np.einsum("sk,sk->s", rows.conj(), acted).real.astype(np.float64)
        if form == "normalized":
            norms = np.sum(np.abs(rows) ** 2, axis=1)
            if not norms.all():
                raise ValueError(f"row {int(np.argmin(norms))} of x is all zeros: form='normalized' has no value there")
            values, exponents = values / norms, np.zeros(1, dtype=np.int64)
        return rescaled(values, 2 * exponents.reshape(-1), "F(x) of an input").reshape(shape[:-1])[()]

    def _ratio(self, x: ArrayLike, form: Form, precision: Precision) -> FloatArray:
        """Return the expectation in the runs that are accepted; it is the same for x and for any multiple of it."""
        rows = model_inputs(self, x)
        rows = times_power_of_2(rows, -binary_exponents(rows))
        above, below = (part.expectation(rows, precision=precision) for part in (self.numerator, self.denominator))
        if np.any(below <= 0):
            raise ValueError(
                "no run of some input is accepted by postselect, so that its expectation has no value; accept more"
            )
        return np.asarray(above / below)[()]

    def _rows(self, array: Array, precision: Precision) -> tuple[Array, NDArray[np.int64], tuple[int, ...]]:
        """Return the rows, each scaled by a power of 2 where squares could overflow or vanish, with exponents and shape."""
        real, complex_ = statevector.dtypes(precision)
        rows = array.reshape(-1, self.n_features)
        if needs_scaling(rows, _RANGE[precision]):
            exponents = binary_exponents(rows)
            rows = times_power_of_2(rows, -exponents)
        else:
            exponents = np.zeros((len(rows), 1), dtype=np.int64)
        rows = rows.astype(complex_ if np.iscomplexobj(array) else real, copy=False)
        return rows, exponents, array.shape

    def _chunks(self, rows: Array) -> list[Array]:
        """Return the rows as (features, samples) batches that are small enough for the cache."""
        step = max(1, statevector.CHUNK // self.n_features)
        return [np.ascontiguousarray(rows[i : i + step].T) for i in range(0, len(rows), step)]

    def _evolve(self, batch: Array, precision: Precision, adjoint: bool) -> Array:
        if precision == "float32":
            if self.n_qubits >= statevector.QSIM_FROM:
                circuit = inverse_circuit(self.resolved_circuit) if adjoint else self.resolved_circuit
                return statevector.qsim_apply(circuit, self.qubits, batch)
            program = self._program_float32
        else:
            program = self._program
        return np.asarray((program.adjoint if adjoint else program).apply(batch))

    def _expect(self, batch: Array, precision: Precision) -> FloatArray:
        states = self._evolve(batch, precision, False)
        return np.asarray(np.einsum("ks,ks->s", states.conj(), self._action.apply(states)).real.astype(np.float64))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Model):
            return NotImplemented
        names = {field.name for field in fields(self)} - {"contract"}
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def __hash__(self) -> int:
        return hash((self.circuit, self.qubits, tuple(sorted(self.params.items()))))

    def __copy__(self) -> Model:
        return self

    def __deepcopy__(self, memo: object) -> Model:
        return self

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[object, ...]]:
        strings = [(term.coefficient, list(term.items())) for term in self.pauli_sum]  # Cirq's sums cannot be pickled
        further = self.environment, self.record, self.postselect
        return _from_strings, (self.circuit, self.qubits, strings, dict(self.params), self.contract, *further)

    def card(self) -> Card:
        """Return the size of the circuit, the observable, and the data that the model is for."""
        gates = sum(1 for _ in self.circuit.all_operations())
        facts: list[tuple[str, object]] = [
            ("circuit", f"{quantity(gates, 'gate')}, {quantity(len(self.params), 'param')}"),
            ("observable", self.observable_text),
        ]
        if self.has_channels:
            facts.append(("instructions", describe_instructions(self._instructions)))
        if self.postselect is not None:
            facts.append(("postselect", ", ".join(self.postselect.keys)))
        facts += [] if self.contract is None else self.contract.facts()
        return Card(f"Model of {quantity(self.n_qubits, 'qubit')}, {self.n_features} features", facts)

    def __repr__(self) -> str:
        gates = sum(1 for _ in self.circuit.all_operations())
        parts = quantity(self.n_qubits, "qubit"), quantity(gates, "gate"), quantity(len(self.params), "param")
        if self.is_unitary and not self.environment:
            return f"Model({', '.join(parts)}, observable {self.observable_text})"
        further = [describe_instructions(self._instructions)] if self.has_channels else []
        further += [quantity(len(self.environment), "environment qubit")] if self.environment else []
        further += [f"{name} of {', '.join(f.keys)}" for name in ("record", "postselect") if (f := getattr(self, name))]
        way = "a ratio" if self.postselect else describe_evolution(self._evolved)
        return f"Model({', '.join([*parts, *further])}, observable {self.observable_text}, M x by {way})"

    @cached_property
    def observable_text(self) -> str:
        """The observable with every coefficient in full, its strings in the order of the qubits: the same in every process."""
        order = {q: i for i, q in enumerate(self.register)}
        terms = [
            (sorted((order[q], f"{pauli}({q})") for q, pauli in term.items()), term.coefficient) for term in self.pauli_sum
        ]
        texts = [
            f"{weight.real!r}*{'*'.join(text for _, text in factors) or 'I'}"
            for factors, weight in sorted(terms, key=lambda term: term[0])
        ]
        return "+".join(texts).replace("+-", "-")

    def to_json(self) -> str:
        """Return the model as JSON text in Cirq's own serialization; `from_json` returns an equal model.

        Raises:
            ValueError: A gate cannot be written as JSON.
        """
        content = {
            "format": _JSON_FORMAT,
            "circuit": self.circuit,
            "qubits": list(self.qubits),
            "observable": self.pauli_sum,
            "params": dict(self.params),
        }
        if self.contract is not None:
            content["contract"] = self.contract.to_record()
        if not self.is_unitary or self.environment:
            content |= {"format": _JSON_FORMAT_CHANNELS, "environment": list(self.environment)}
            content |= {n: f.to_record() for n in ("record", "postselect") if (f := getattr(self, n)) is not None}
        try:
            return cirq.to_json(content)
        except (TypeError, ValueError) as error:
            raise ValueError(f"a gate of the model cannot be saved: {error}; use pickle, or Cirq's own gates") from error

    @classmethod
    def from_json(cls, text: str) -> Model:
        """Read a model from the text that `to_json` returns.

        Raises:
            ValueError: The text is not JSON, or is not a model.

        Example:
            >>> qubit = cirq.LineQubit(0)
            >>> model = Model(cirq.Circuit(), [qubit], cirq.Z(qubit))
            >>> Model.from_json(model.to_json()) == model
            True
        """
        try:
            content = read_cirq_json(text, "model", dict)
            check_format(content.get("format"), _JSON_FORMAT, _JSON_FORMAT_CHANNELS)
            load(_ModelFields, content, "model")
            contract = DataContract.from_record(content["contract"]) if "contract" in content else None
            names = [name for name in ("record", "postselect") if name in content]
            functions: dict[str, Any] = {name: OutcomeFunction.from_record(content[name]) for name in names}
            parts = content["circuit"], content["qubits"], content["observable"], content["params"], contract
            return cls(*parts, environment=content.get("environment", ()), **functions)
        except Exception as error:  # what the text describes may be anything but the parts of a model
            raise FileError("not a model file", problem_of(error)) from error

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model to a new JSON file; a file that exists raises FileExistsError."""
        return write_new(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Model:
        """Read a model file.

        Raises:
            FileNotFoundError: The file does not exist.
            ValueError: The file is not a model.
        """
        try:
            return cls.from_json(read_bytes(path).decode())
        except ValueError as error:
            raise FileError(f"{path}: not a model file", problem_of(error)) from error


def model_inputs(model: Any, x: ArrayLike, name: str = "x") -> Array:
    """Return inputs of a model as amplitudes; a table with column names must have those that the model was trained on.

    Args:
        model: `Model`, or any other quadratic form.
        x: Numbers, (..., features), or a table with as many columns.
        name: Name of the argument in error messages.

    Returns:
        Amplitudes, (..., features).

    Raises:
        ValueError: The input is no array of finite numbers with the model's number of features, or has other columns.

    Example:
        >>> qubit = cirq.LineQubit(0)
        >>> model_inputs(Model(cirq.Circuit(), [qubit], cirq.Z(qubit)), [1, 2])
        array([1., 2.])
    """
    check_columns(model, x, name)
    return as_amplitudes(x, name, model.n_features)


def check_columns(model: Any, table: object, name: str) -> None:
    """Raise ValueError if a table has column names that are not those that the model was trained on, in the same order."""
    if (contract := contract_of(model)) is not None:
        contract.check_order(column_names(table), name)


def contract_of(model: object) -> DataContract | None:
    """Return the form of the data that a quadratic form is for; None if it records none."""
    contract = getattr(model, "contract", None)
    return contract if isinstance(contract, DataContract) else None


def check_form(form: str) -> None:
    """Raise ValueError unless the form is one of the two forms of the model."""
    as_word(form, "form", ("quadratic", "normalized"))


def _as_params(params: Mapping[Any, Any] | cirq.ParamResolver, names: Set[str]) -> Mapping[str, float]:
    """Return a number for each name, resolving SymPy expressions of other entries; these need not be in the circuit."""
    check_type(params, "params", (Mapping, cirq.ParamResolver), "a map from names to numbers, or a cirq.ParamResolver")
    given: Mapping[Any, Any] = params.param_dict if isinstance(params, cirq.ParamResolver) else params
    check_names = [name for name in given if not isinstance(name, str | sympy.Symbol)]
    if check_names:
        raise ValueError(f"params: {check_names[0]!r} is no name of a symbol; use a text or a sympy.Symbol")
    values = {str(name): value for name, value in given.items()}
    if len(values) < len(given):
        raise ValueError(
            f"params name a symbol twice, as text and as sympy.Symbol: {sorted(map(str, given))}; keep one of each"
        )
    inner = {str(symbol) for value in values.values() if isinstance(value, sympy.Basic) for symbol in value.free_symbols}
    resolver = cirq.ParamResolver(values)
    plain = {}
    for name, value in values.items():
        if isinstance(value, sympy.Basic):
            try:
                value = resolver.value_of(value)
            except RecursionError:
                raise ValueError(f"params[{name!r}]={value} depends on itself; give a number") from None
        if name in names or name not in inner:
            if isinstance(value, float | np.floating) and not np.isfinite(value):
                raise ValueError(f"params[{name!r}]={value} is not finite; give a finite number")
            plain[name] = as_number(value, f"params[{name!r}]")
    return MappingProxyType(plain)


def _from_strings(
    circuit: cirq.FrozenCircuit,
    qubits: Sequence[cirq.Qid],
    strings: Sequence[tuple[complex, Sequence[tuple[cirq.Qid, cirq.Pauli]]]],
    params: Mapping[str, float],
    contract: DataContract | None,
    environment: Sequence[cirq.Qid] = (),
    record: OutcomeFunction | None = None,
    postselect: OutcomeFunction | None = None,
) -> Model:
    """Return the model of a pickle."""
    terms: list[cirq.PauliString[cirq.Qid]] = [
        cirq.PauliString(dict(factors), coefficient=coefficient) for coefficient, factors in strings
    ]
    observable = cirq.PauliSum.from_pauli_strings(terms)
    return Model(circuit, qubits, observable, params, contract, environment, record, postselect)


def _real(observable: cirq.PauliSum) -> cirq.PauliSum:
    """Return a Hermitian sum with coefficients without rounding in their imaginary parts."""
    return cirq.PauliSum.from_pauli_strings([term.with_coefficient(term.coefficient.real) for term in observable])


def _restored(scaled: Array, exponents: NDArray[np.int64], name: str) -> Array:
    """Return rows in their own scale, in double precision unless no row was scaled."""
    if exponents.any():
        scaled = scaled.astype(np.complex128 if np.iscomplexobj(scaled) else np.float64, copy=False)
    return rescaled(scaled, exponents, name)


def _from_columns(columns: Sequence[Array], shape: tuple[int, ...]) -> Array:
    if not columns:
        return np.zeros(shape)
    return np.concatenate([c.T for c in columns]).reshape(shape)
