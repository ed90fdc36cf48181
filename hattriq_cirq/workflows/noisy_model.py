"""The model that a noisy device computes: its matrix by the Heisenberg picture of the compiled circuit and its channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.objective import QUADRATIC
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.compilation.placement import Placement, place_circuits
from hattriq_cirq.estimators.bilinear import KEY, PauliTerm, pauli_terms
from hattriq_cirq.execution.backends.sampler import InProcessBackend
from hattriq_cirq.execution.backends.simulators import sampler
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.checks import check_type
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.progress import progress_bars, track
from hattriq_cirq.models.model import Model, model_inputs
from hattriq_cirq.models.quadratic_form import QuadraticForm, observable_action, quadratic_value
from hattriq_cirq.pipeline.prepare import check_model
from hattriq_cirq.simulation.blocks import Step
from hattriq_cirq.simulation.heisenberg import evolved_matrix
from hattriq_cirq.simulation.noisy_program import steps_of
from hattriq_cirq.simulation.statevector import drop_zero_imaginary, embed

_QUBITS_MAX = 10  # the evolved observable has 4**n numbers, and the matrix as many
_TOLERANCE = 1e-6  # of the compiled circuit without noise


@dataclass(frozen=True, eq=False)
class NoisyModel(Frozen):
    """Quadratic form F(x) = x' M x of what a noisy device computes for a model; `noisy_model` creates it.

    Args:
        model: Model without noise.
        matrix: M, (features, features), Hermitian.
        engine: Name of the engine.
        qubits: Physical qubit of each of the model's qubits that the result depends on; the qubits themselves on an engine
            without a processor.
        notes: Notes of the engine on its noise.

    Example:
        >>> import hattriq_cirq as hq
        >>> model = hq.Model(cirq.Circuit(cirq.X(cirq.q(0))), [cirq.q(0)], cirq.Z(cirq.q(0)))
        >>> noisy = noisy_model(model, hq.cirq_simulator(noise=cirq.ConstantQubitNoiseModel(cirq.bit_flip(0.25))))
        >>> hq.integrated_gradients(noisy, [0.6, 0.8], baseline=0).values.round(2)
        array([-0.18,  0.32])
    """

    model: Model
    matrix: Array
    engine: str
    qubits: Mapping[cirq.Qid, cirq.Qid]
    notes: tuple[str, ...] = ()

    @property
    def n_features(self) -> int:
        """Number of features of an input."""
        return self.model.n_features

    @property
    def identity_part(self) -> float:
        """Identity part of M, tr(M) / N: an offset of the device, which copies the input into every map.

        It differs from that of the observable where noise is not unital, as decay is.
        """
        return float(np.trace(self.matrix).real / self.n_features)

    def observable_action(self, x: ArrayLike) -> Array:
        """Return M x for a batch of inputs, (..., features)."""
        return np.asarray(model_inputs(self.model, x) @ self.matrix.T)

    def expectation(self, x: ArrayLike) -> FloatArray:
        """Return F(x) = x' M x of what the device computes, (...,)."""
        return quadratic_value(self, x)

    def traceless(self) -> NoisyModel:
        """Return the form without the identity part of M."""
        return replace(self, matrix=self.matrix - self.identity_part * np.eye(self.n_features))

    def split_error(self, attribution: Attribution) -> ErrorSplit:
        """Split the error of a measured map of the quadratic form into the model's own noise and that of the estimator.

        Args:
            attribution: Map that an estimator measured for the same model on the same qubits, for any inputs and baselines.

        Returns:
            The two parts, whose sum is the error.

        Raises:
            ValueError: The attribution is one of another form, or of a head.
        """
        a = attribution.assumptions
        if not attribution.knows_input:
            raise ValueError("the amplitudes of a state that a circuit prepared are not known; split the error for amplitudes")
        if (a.form, a.head) != ("quadratic", str(QUADRATIC.head)) or a.rule != "exact":
            raise ValueError(
                f"a map of form={a.form!r}, head={a.head} and rule={a.rule!r} is not linear in M; split the error of one with "
                "form='quadratic' and rule='exact'"
            )
        ideal, own = (_quadratic_map(form, attribution) for form in (self.model, self))
        return ErrorSplit(own - ideal, attribution.values - own)


@dataclass(frozen=True, eq=False)
class ErrorSplit(Frozen):
    """Error of a map in two parts, (..., features) each.

    Args:
        model: Map of the noisy model minus that of the model: what the device computes differently by itself.
        estimator: Measured map minus that of the noisy model: the noise of the estimator's extra gates (preparation, ancilla,
            inverse circuit), readout as far as it differs, what a correction changed, and shots.

    Example:
        >>> ErrorSplit(np.array([0.1, 0.0]), np.array([0.0, -0.2])).total
        array([ 0.1, -0.2])
    """

    model: FloatArray
    estimator: FloatArray

    @property
    def total(self) -> FloatArray:
        """The error: the measured map minus that of the model, (..., features)."""
        return self.model + self.estimator


def noisy_model(model: Model, engine: Engine | cirq.Sampler, *, placement: Placement | None = None) -> NoisyModel:
    """Return the quadratic form that a device with known noise computes for a model: M = E'(O) of the compiled noisy circuit E.

    The circuit of the model alone is compiled as the engine compiles it, and each Pauli string of the observable is evolved
    backwards through its gates, channels and readout errors. The result holds for every input: it is what a classifier on the
    device really computes, apart from the noise of preparing the input, which depends on the input: errors of its gates, and
    coherent errors of the model's gates, which act differently behind the phases that a compiled preparation leaves. It takes
    4**n numbers, for up to 10 qubits.

    Args:
        model: Model whose observable is measured.
        engine: Engine whose noise is known: `virtual(...)`, `cirq_simulator(noise=...)`, or a simulator without noise.
        placement: Physical qubits of the model's qubits, such as `prepare(...).placement` of an estimator that it is compared
            with; None chooses them for the model's circuit.

    Returns:
        The form, which `integrated_gradients` takes in place of the model.

    Raises:
        ValueError: The noise of the engine is not known, or the model has too many qubits.
        CircuitRefusedError: The circuit cannot be compiled for the processor.

    Example:
        >>> import hattriq_cirq as hq
        >>> model = hq.ring_ansatz(2, layers=1)
        >>> noisy = noisy_model(model, hq.virtual("willow_pink"))
        >>> bool(0.9 < noisy.expectation([1, 0, 0, 0]) / model.expectation([1, 0, 0, 0]) < 1)
        True
    """
    check_model(model)
    model = model.dilated()
    if isinstance(engine, cirq.Sampler):
        engine = sampler(engine)
    check_type(engine, "engine", Engine, "an engine, such as hattriq_cirq.virtual('willow_pink')")
    check_type(placement, "placement", Placement | None, "that of a preparation, prepared.placement, or None")
    backend = engine.backend
    if not isinstance(backend, InProcessBackend):
        raise ValueError(f"the noise of {engine.name} is not known; use hattriq_cirq.virtual with a snapshot of the processor")
    if model.n_qubits > _QUBITS_MAX:
        raise ValueError(f"a noisy model of {model.n_qubits} qubits takes 4**{model.n_qubits} numbers; at most {_QUBITS_MAX}")
    matrix: Array = model.observable_identity * np.eye(model.n_features, dtype=complex)
    places: dict[cirq.Qid, cirq.Qid] = {}
    with progress_bars(engine.shows_progress):
        for term in track(pauli_terms(model), "evolve observables", "string"):
            circuit, qubits = _compiled(term, engine, placement)
            register = _register(circuit, qubits)
            evolved = _evolved(backend.noisy_steps(circuit, register), circuit, register, qubits)
            axes = [model.qubits.index(q) for q in qubits]
            matrix += term.coefficient * embed(evolved, axes, range(model.n_qubits))
            places |= qubits
    return NoisyModel(model, drop_zero_imaginary(matrix), engine.name, places, engine.notes)


def _compiled(
    term: PauliTerm, engine: Engine, placement: Placement | None
) -> tuple[cirq.FrozenCircuit, dict[cirq.Qid, cirq.Qid]]:
    """Return the circuit that measures one string as the engine runs it, and the physical qubits of the model's qubits."""
    body = term.circuit + cirq.Circuit(term.basis_change, cirq.measure(*term.pauli.qubits, key=KEY))
    used = [q for q in term.model.qubits if q in body.all_qubits()]
    if engine.processor is None:
        return body.freeze(), {q: q for q in used}
    if placement is None:
        placement = place_circuits(engine.processor, [body], used, among=engine.qubits)
    if missing := [str(q) for q in used if q not in placement.qubits]:
        raise ValueError(f"the placement has no qubits for {', '.join(missing)} of the model; take that of the same model")
    (program,) = engine.compile([body], placement)
    circuit = cirq.resolve_parameters(program.circuit, dict(program.points[0]))
    qubits = {q: placement.qubits[q] for q in used}
    _check_equal(term, circuit, qubits)
    return circuit, qubits


def _check_equal(term: PauliTerm, circuit: cirq.FrozenCircuit, qubits: Mapping[cirq.Qid, cirq.Qid]) -> None:
    """Raise ValueError if a compiled circuit without noise is not the model's on all inputs."""
    register = _register(circuit, qubits)
    gates = (op for op in circuit.all_operations() if not cirq.is_measurement(op))
    found = _evolved(steps_of(gates, register), circuit, register, qubits)
    own = term.model.with_observable(term.pauli).matrix
    axes = [term.model.qubits.index(q) for q in qubits]
    if np.abs(embed(found, axes, range(term.model.n_qubits)) - own).max() > _TOLERANCE:
        raise ValueError(
            f"the compiled circuit of {term.pauli} is the model's for the input |0...0> only; give another placement"
        )


def _register(circuit: cirq.FrozenCircuit, qubits: Mapping[cirq.Qid, cirq.Qid]) -> list[cirq.Qid]:
    """Return all qubits of a circuit, those of the model first."""
    return [*qubits.values(), *sorted(circuit.all_qubits().difference(qubits.values()))]


def _evolved(
    steps: Iterable[Step], circuit: cirq.FrozenCircuit, register: Sequence[cirq.Qid], qubits: Mapping[cirq.Qid, cirq.Qid]
) -> Array:
    """Return the parity of a circuit's measured qubits, evolved to the start, as a matrix on the model's qubits."""
    measured = dict.fromkeys((register.index(q) for q in circuit[-1].qubits), 3)
    return evolved_matrix(steps, [(1.0, measured)], len(register), len(qubits))


def _quadratic_map(form: QuadraticForm, attribution: Attribution) -> FloatArray:
    """Return the exact map of a form at the inputs and baselines of an attribution, (..., features)."""
    x, b = attribution.x, attribution.baseline
    own = np.real(np.conj(x - b) * observable_action(form, x + b))
    return np.asarray(own if b.ndim == x.ndim else own.mean(axis=0))
