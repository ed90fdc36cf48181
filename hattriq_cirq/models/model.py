"""The model as a value: a circuit on data qubits, an observable, and the numbers bound to the circuit's symbols."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.foundation.arrays import Array, FloatArray, as_amplitudes
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.simulation import statevector
from hattriq_cirq.simulation.statevector import Precision

Form = Literal["quadratic", "normalized"]
_JSON_FORMAT = "hattriq_cirq.Model/1"
_CHUNK = 2**18  # amplitudes in one pass: a batch this size stays in the cache
_MATRIX_MAX = 2**10  # features up to which M is ever held whole by itself (16 MB)
_QSIM_FROM = 18  # qubits from which qsim is faster than NumPy in single precision


class IdentityPartWarning(UserWarning):
    """The observable has an identity part, which draws a picture of the input into every attribution map."""


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A quantum model F(x) = x' M x with M = U' O U (prime: adjoint), fed with amplitudes x.

    Args:
        circuit: U, any unitary circuit on the data qubits; its symbols are bound by `params`.
        qubits: the data qubits, most significant first; their number n fixes the 2**n features.
        observable: O, a Hermitian `cirq.PauliString` or `cirq.PauliSum` on those qubits.
        params: a finite number for every symbol of the circuit.

    Raises:
        ValueError: a measurement, noise, an unresolved symbol, a foreign qubit, a non-Hermitian or empty observable;
            each is named.
    """

    circuit: cirq.AbstractCircuit
    qubits: Sequence[cirq.Qid]
    observable: cirq.PauliSum | cirq.PauliString[cirq.Qid]
    params: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "circuit", self.circuit.freeze())
        object.__setattr__(self, "qubits", tuple(self.qubits))
        object.__setattr__(self, "observable", _as_pauli_sum(self.observable))
        object.__setattr__(self, "params", MappingProxyType({str(name): float(value) for name, value in self.params.items()}))
        self._check_qubits()
        self._check_params()
        self._check_unitary()

    def _check_qubits(self) -> None:
        if not self.qubits:
            raise ValueError("qubits must name at least one data qubit")
        if len(set(self.qubits)) != len(self.qubits):
            raise ValueError(f"qubits={list(map(str, self.qubits))} must not repeat")
        wrong = [str(q) for q in self.qubits if q.dimension != 2]
        if wrong:
            raise ValueError(f"qubits {wrong} are not two-level systems")
        for name, used in (("circuit", self.circuit.all_qubits()), ("observable", self.pauli_sum.qubits)):
            foreign = sorted(str(q) for q in set(used) - set(self.qubits))
            if foreign:
                raise ValueError(f"the {name} acts on {foreign}, which are not among the model's qubits; add them or map them")

    def _check_params(self) -> None:
        names = cirq.parameter_names(self.circuit)
        missing, unknown = sorted(names - self.params.keys()), sorted(self.params.keys() - names)
        if missing:
            raise ValueError(f"symbols {missing} of the circuit are unresolved; give each a value in params")
        if unknown:
            raise ValueError(f"params {unknown} are not symbols of the circuit")
        wild = [name for name, value in self.params.items() if not np.isfinite(value)]
        if wild:
            raise ValueError(f"params {wild} are not finite numbers")

    def _check_unitary(self) -> None:
        for operation in self.resolved_circuit.all_operations():
            if cirq.is_measurement(operation):
                raise ValueError(f"the circuit measures ({operation}); leave measurements out: estimators add their own")
            if not cirq.has_unitary(operation):
                raise ValueError(f"{operation} is not unitary; a model is noiseless: noise belongs to the engine")

    @property
    def pauli_sum(self) -> cirq.PauliSum:
        """The observable as a `cirq.PauliSum`, whichever form it was given in."""
        assert isinstance(self.observable, cirq.PauliSum)
        return self.observable

    @property
    def n_qubits(self) -> int:
        """Data qubits."""
        return len(self.qubits)

    @property
    def n_features(self) -> int:
        """Amplitudes of an input, 2**n_qubits."""
        return int(2**self.n_qubits)

    @cached_property
    def resolved_circuit(self) -> cirq.FrozenCircuit:
        """U with every symbol replaced by its number."""
        return cirq.resolve_parameters(self.circuit.freeze(), dict(self.params))

    @cached_property
    def identity_part(self) -> float:
        """tr(O) / 2**n, the weight of the identity in the observable; the same for M."""
        return float(sum(term.coefficient.real for term in self.pauli_sum if len(term) == 0))

    def traceless(self) -> Model:
        """The same model without the identity part of its observable."""
        kept = cirq.PauliSum.from_pauli_strings([term for term in self.pauli_sum if len(term) > 0])
        return self.with_observable(kept) if self.identity_part else self

    def with_observable(self, observable: cirq.PauliSum | cirq.PauliString[cirq.Qid]) -> Model:
        """The same circuit read out by another observable; the compiled circuit is shared."""
        other = replace(self, observable=observable)
        if "_program" in self.__dict__:
            other.__dict__["_program"] = self._program
        return other

    def with_params(self, params: Mapping[str, float]) -> Model:
        """The same circuit with other numbers for its symbols."""
        return replace(self, params=params)

    @cached_property
    def _program(self) -> statevector.FusedCircuit:
        return statevector.compile_circuit(self.resolved_circuit, self.qubits)

    @cached_property
    def _program_float32(self) -> statevector.FusedCircuit:
        return self._program.astype("float32")

    @cached_property
    def _action(self) -> statevector.PauliAction:
        return statevector.PauliAction.of(self.pauli_sum, self.qubits)

    @cached_property
    def matrix(self) -> Array:
        """M = U' O U, (features, features), Hermitian; real where it can be. Built at first use and kept."""
        matrix = statevector.drop_zero_imaginary(self._act(np.eye(self.n_features), "float64"))
        matrix.flags.writeable = False
        return matrix

    @cached_property
    def _real_matrix(self) -> FloatArray:
        return np.ascontiguousarray(self.matrix.real)

    def evolve(self, x: ArrayLike, *, precision: Precision = "float64", adjoint: bool = False) -> Array:
        """U x, or its adjoint on x, for a batch of amplitude vectors.

        Args:
            x: (..., features), any norm.
            precision: `float64`, or `float32`, where qsim applies the gates once there are enough qubits.
            adjoint: apply U' instead.

        Returns:
            (..., features), complex, or real where circuit and input are.
        """
        rows, shape = self._rows(x, precision)
        columns = [self._evolve(chunk, precision, adjoint) for chunk in self._chunks(rows)]
        return _from_columns(columns, shape)

    def observable_action(self, x: ArrayLike, *, real_part: bool = False, precision: Precision = "float64") -> Array:
        """M x, exactly: the vector every gradient and every attribution of this model is made of.

        Args:
            x: (..., features), any norm.
            real_part: return Re(M x) alone: all that real inputs need, and cheaper for them.
            precision: `float64` or `float32`.

        Returns:
            (..., features), complex, or real where M and x are. dF/d(Re x_k) = 2 Re(Mx)_k, dF/d(Im x_k) = 2 Im(Mx)_k.

        Raises:
            ValueError: x is not finite or has another number of features.
        """
        rows, shape = self._rows(x, precision)
        if precision == "float64" and self._matrix_pays(len(rows)):
            half = real_part and not np.iscomplexobj(rows)
            acted = rows @ (self._real_matrix if half else self.matrix).T
        else:
            batches = [self._act(chunk, precision) for chunk in self._chunks(rows)]
            acted = _from_columns([b.real for b in batches] if real_part else batches, shape)
        return (acted.real if real_part else acted).reshape(shape)

    def expectation(self, x: ArrayLike, *, form: Form = "quadratic", precision: Precision = "float64") -> FloatArray:
        """F(x) = x' M x, or G(x) = x' M x / x' x, exactly.

        Args:
            x: (..., features); any norm, not blank in the normalized form.
            form: `quadratic` for F, `normalized` for G, which is what a device reports when it is fed x.
            precision: `float64` or `float32`.

        Returns:
            (...,) real numbers; for a single x a scalar.

        Raises:
            ValueError: x is not finite or has another number of features; blank in the normalized form.
        """
        check_form(form)
        rows, shape = self._rows(x, precision)
        values = np.concatenate([np.zeros(0), *(self._expect(chunk, precision) for chunk in self._chunks(rows))])
        if form == "normalized":
            norms = np.sum(np.abs(rows) ** 2, axis=1)
            if not norms.all():
                raise ValueError(f"row {int(np.argmin(norms))} of x is blank: form='normalized' has no value there")
            values = values / norms
        result: FloatArray = values.reshape(shape[:-1])[()]
        return result

    def _rows(self, x: ArrayLike, precision: Precision) -> tuple[Array, tuple[int, ...]]:
        real, complex_ = statevector.dtypes(precision)
        array = as_amplitudes(x, features=self.n_features)
        rows = array.astype(complex_ if np.iscomplexobj(array) else real, copy=False)
        return rows.reshape(-1, self.n_features), array.shape

    def _chunks(self, rows: Array) -> list[Array]:
        """Rows as (features, samples) batches small enough for the cache."""
        step = max(1, _CHUNK // self.n_features)
        return [np.ascontiguousarray(rows[i : i + step].T) for i in range(0, len(rows), step)]

    def _evolve(self, batch: Array, precision: Precision, adjoint: bool) -> Array:
        if precision == "float32":
            if self.n_qubits >= _QSIM_FROM:
                circuit = self.resolved_circuit**-1 if adjoint else self.resolved_circuit
                return statevector.qsim_apply(circuit, self.qubits, batch)
            program = self._program_float32
        else:
            program = self._program
        return (program.adjoint if adjoint else program).apply(batch)

    def _act(self, batch: Array, precision: Precision) -> Array:
        return self._evolve(self._action.apply(self._evolve(batch, precision, False)), precision, True)

    def _expect(self, batch: Array, precision: Precision) -> FloatArray:
        states = self._evolve(batch, precision, False)
        values: FloatArray = np.einsum("ks,ks->s", states.conj(), self._action.apply(states)).real.astype(np.float64)
        return values

    def _matrix_pays(self, rows: int) -> bool:
        """Whether to hold M: building it pays once as many rows were asked for, in all calls, as building it acts on."""
        if "matrix" in self.__dict__:
            return True
        asked = self.__dict__["_rows_asked"] = self.__dict__.get("_rows_asked", 0) + rows
        dense_is_faster = self.n_features <= min(_MATRIX_MAX, 4 * self._program.multiplications)
        return dense_is_faster and asked >= 2 * self.n_features

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Model):
            return NotImplemented
        return (
            self.circuit == other.circuit
            and self.qubits == other.qubits
            and self.pauli_sum == other.pauli_sum
            and dict(self.params) == dict(other.params)
        )

    def __hash__(self) -> int:
        return hash((self.circuit, self.qubits, tuple(sorted(self.params.items()))))

    def __reduce__(self) -> tuple[Callable[[str], Model], tuple[str]]:
        return Model.from_json, (self.to_json(),)  # Cirq's sums do not pickle, its JSON is lossless

    def __repr__(self) -> str:
        gates = sum(1 for _ in self.circuit.all_operations())
        return f"Model({self.n_qubits} qubits, {gates} gates, {len(self.params)} params, observable {self.pauli_sum})"

    def to_json(self) -> str:
        """The model as JSON text, by Cirq's own serialisation; `from_json` gives back an equal model."""
        content = {
            "format": _JSON_FORMAT,
            "circuit": self.circuit,
            "qubits": list(self.qubits),
            "observable": self.pauli_sum,
            "params": dict(self.params),
        }
        return cirq.to_json(content)

    @classmethod
    def from_json(cls, text: str) -> Model:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: the text is not JSON, or not a model's.
        """
        try:
            content = cirq.read_json(json_text=text)
            if content["format"] != _JSON_FORMAT:
                raise ValueError(f"it must hold format {_JSON_FORMAT!r}")
            return cls(content["circuit"], content["qubits"], content["observable"], content["params"])
        except Exception as error:  # foreign JSON fails in any of many ways; whichever, it is no model
            raise ValueError(f"not a model file: {error!r}") from error

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the model to a new JSON file; an existing file is refused (FileExistsError)."""
        return write_new(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Model:
        """Reads a model file. Raises FileNotFoundError, or ValueError for a file that is not a model's."""
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def check_form(form: str) -> None:
    """Refuses anything but the two forms of the model."""
    if form not in ("quadratic", "normalized"):
        raise ValueError(f"{form=} must be 'quadratic' (x'Mx) or 'normalized' (x'Mx / x'x)")


def _as_pauli_sum(observable: object) -> cirq.PauliSum:
    if not isinstance(observable, cirq.PauliString | cirq.PauliSum):
        raise ValueError(f"observable must be a cirq.PauliString or cirq.PauliSum, got {type(observable).__name__}")
    strings = [observable] if isinstance(observable, cirq.PauliString) else list(observable)
    observable = cirq.PauliSum.from_pauli_strings(strings)  # a copy: sums can be changed in place
    if len(observable) == 0:
        raise ValueError("observable is zero: it has no Pauli string")
    for term in observable:
        if abs(term.coefficient.imag) > 1e-12 * abs(term.coefficient) or not np.isfinite(term.coefficient):
            raise ValueError(f"observable is not Hermitian: {term} has coefficient {term.coefficient}; it must be real")
    return observable


def _from_columns(columns: Sequence[Array], shape: tuple[int, ...]) -> Array:
    if not columns:
        return np.zeros(shape)
    return np.concatenate([c.T for c in columns]).reshape(shape)
