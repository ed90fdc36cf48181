"""Corrections of a whole map by auxiliary circuits, which measure the sum of the map or the damping by noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cirq
import numpy as np

from calibration.auxiliary_measurement import AuxiliaryCircuit, CircuitShares, MeasuredCircuits, auxiliary_estimate
from hattriq_cirq.circuits.program import Programs
from hattriq_cirq.circuits.swept_gates import phased_xz_exponents
from hattriq_cirq.estimators import ResolvedHadamardTest
from hattriq_cirq.estimators.bilinear import BilinearTerm, Estimator, PauliTerm, WeightedCircuit, pauli_terms
from hattriq_cirq.estimators.expectation import Expectation
from hattriq_cirq.estimators.plan import Estimate, plan
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.checks import as_count, as_number, as_seed, check_flag, set_fields
from hattriq_cirq.foundation.text import number_text, quantity
from hattriq_cirq.models.model import Model
from hattriq_cirq.pipeline.mitigation import Mitigated, Mitigation, MitigationSummary, Outcomes, Variants
from hattriq_cirq.simulation.statevector import outcome_probabilities

#: Standard errors that a number must be from 0 to be divided by.
_MIN_SIGNIFICANCE = 4.0
#: Smallest norm of a known map that is used, relative to its largest possible norm; a smaller one is 0 but for rounding.
_SMALLEST_MAP = 1e-6
_CIRCUITS_MAX = 1000


@dataclass(frozen=True)
class _AuxiliaryMitigation(Mitigation[None]):
    """A mitigation that leaves the circuits of a map as they are and adds circuits of its own.

    Args:
        share: Shots of its own circuits, as a share of the shots of an input, above 0; they come on top.
        largest: Largest factor by which it changes a map; a map that needs a larger one is left unchanged, with a note.
    """

    share: float = 0.2
    largest: float = 3.0

    def __post_init__(self) -> None:
        advice = "be above 0 and finite: its circuits need shots"
        set_fields(self, share=as_number(self.share, "share", above=0, advice=advice))
        set_fields(self, largest=as_number(self.largest, "largest", above=1))

    def expand(self, engine: Engine, programs: Programs, shots: Sequence[int] | None) -> Variants[None]:
        """Return the programs as they are."""
        return Variants(programs, shots, None)

    def combine(self, variants: Variants[None], outcomes: Outcomes) -> Mitigated:
        """Return the outcomes as they are."""
        note = (
            f"{self.describe()} assumes that noise changes all values of a map alike; what this leaves of the errors that the "
            "calibration predicts is in the systematic part"
        )
        return Mitigated(outcomes, MitigationSummary(notes=(note,)))

    def _with_shares(self, circuits: Sequence[WeightedCircuit]) -> CircuitShares:
        """Return the circuits with shares of the shots in proportion to the largest contribution of one shot."""
        total = sum(circuit.max_shot_norm for circuit in circuits)
        return [(circuit, self.share * circuit.max_shot_norm / total) for circuit in circuits if circuit.max_shot_norm]

    def _unchanged(self, estimate: Estimate, reason: str) -> Estimate:
        """Return the estimate unchanged, with a note that gives the reason."""
        return replace(estimate, notes=(*estimate.notes, f"{self.describe()} left a map as it was: {reason}"))


@dataclass(frozen=True)
class CompletenessRescaling(_AuxiliaryMitigation):
    """Makes the map sum to F(x) - F(b), which is measured directly: x is encoded, U applied, and the observable measured.

    This circuit is shallower than those of the map, so that its noise is smaller, but not zero: it corrects the scale of the
    map, not its shape. Values are multiplied by the ratio of the two sums, or with `additive` shifted by shares of their
    difference in proportion to their variances. A map whose sum is within 4 standard errors of 0, or whose ratio is out of
    bounds, is left unchanged.

    Args:
        share: Shots of the direct measurement, as a share of the shots of an input, above 0; they come on top.
        largest: Largest ratio that a map is multiplied by; its inverse is the smallest.
        additive: Shift the values instead of multiplying them.

    Example:
        >>> import hattriq_cirq as hq
        >>> model, x = hq.ring_ansatz(2, 1), [0.1, 0.5, -0.3, 0.8]
        >>> options = dict(baseline=0, estimator=hq.ResolvedHadamardTest(), shots=10_000)
        >>> engine = hq.cirq_simulator(noise=cirq.ConstantQubitNoiseModel(cirq.depolarize(0.01)), seed=1)
        >>> hq.integrated_gradients(model, x, baseline=0).values
        array([ 0.01,  0.25, -0.09, -0.64])
        >>> hq.integrated_gradients(model, x, engine=engine, **options).values.round(2)
        array([ 0.02,  0.23, -0.1 , -0.56])
        >>> hq.integrated_gradients(model, x, engine=engine, mitigation=CompletenessRescaling(), **options).values.round(2)
        array([ 0.02,  0.23, -0.1 , -0.58])
    """

    additive: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self.additive, "additive")

    def describe(self) -> str:
        """Return the mitigation in a few words."""
        return f"completeness {'shift' if self.additive else 'rescaling'} ({number_text(self.share)} of the shots)"

    def auxiliary_circuits(self, model: Model, estimator: Estimator, terms: Sequence[BilinearTerm]) -> CircuitShares:
        """Return circuits that measure every Pauli string of F at the two ends of each term.

        Raises:
            ValueError: The estimator measures the imaginary part, whose sum is not a difference of scores.
        """
        if estimator.part != "real":
            raise ValueError(f"{estimator.part=} must be 'real' for {self.describe()}: F(x) - F(b) is the sum of real parts")
        directly = plan(Expectation(encoder=estimator.state_encoder), model, terms).circuits
        return self._with_shares([AuxiliaryCircuit(c.circuit, c.weights, c.preparation, mitigation=self) for c in directly])

    def postprocess(self, estimate: Estimate, auxiliary: MeasuredCircuits) -> Estimate:
        """Return the map with the measured sum."""
        number = auxiliary_estimate(self, auxiliary)
        measured = float(number.values[0])
        offset = estimate.offset  # known without circuits
        values = estimate.values - offset
        total = float(values.sum())
        ones = np.ones((1, len(values)))
        if self.additive:
            weights = estimate.stderr**2 if estimate.stderr.any() else np.abs(values)
            if not weights.any():
                return estimate
            shares = weights / weights.sum()
            corrected = values + shares * (measured - total)
            by_values, by_number = np.eye(len(values)) - shares[:, np.newaxis] @ ones, shares
        else:
            near = _MIN_SIGNIFICANCE * estimate.sum_stderr
            if abs(total) <= max(near, 1e-9 * float(np.abs(values).sum())):
                return self._unchanged(estimate, f"its sum {total:.3g} is within {_MIN_SIGNIFICANCE:g} standard errors of 0")
            ratio = measured / total
            if not 1 / self.largest <= ratio <= self.largest:
                return self._unchanged(estimate, f"it sums to {total:.3g}, the direct measurement to {measured:.3g}")
            corrected = ratio * values
            by_values = ratio * np.eye(len(values)) - ratio / total * values[:, np.newaxis] @ ones
            by_number = values / total
        return estimate.transform(by_values, offset + corrected, auxiliary=number, auxiliary_jacobian=by_number[:, np.newaxis])


@dataclass(frozen=True)
class NoiseEstimation(_AuxiliaryMitigation):
    """Divides the map by its damping, which is measured on the same circuit with rotations that make its map known.

    The angles of all single-qubit gates of U are rounded to multiples of 90 degrees; gates on several qubits stay as they are.
    The circuit keeps its shape and its two-qubit gates, and its map is computed: with CZ, CNOT and other Clifford gates it is
    that of a Pauli string. The slope of the measured map against the known one is the damping
    (circuits without their rotations: Urbanek et al., PRL 127, 270502; Clifford circuits: Czarnik et al., Quantum 5, 592).
    Leaving out the controlled Pauli string instead, with ancilla 0 as the known answer, would not work: the ancilla would then
    not interact with the data and would not be affected by their noise. The method is right as far as noise shrinks a map
    evenly: combine it with `PauliTwirling`.

    Args:
        share: Shots of the rounded circuits, as a share of the shots of an input, above 0; they come on top.
        largest: Largest factor that a map is multiplied by.
        circuits: Number of rounded circuits per circuit of the map, at least 1: those with the largest known maps of several
            random ones.
        seed: Random seed for the rounding.

    Example:
        >>> import hattriq_cirq as hq
        >>> model, x = hq.ring_ansatz(2, 1), [0.1, 0.5, -0.3, 0.8]
        >>> options = dict(baseline=0, estimator=hq.ResolvedHadamardTest(), shots=10_000)
        >>> engine = hq.cirq_simulator(noise=cirq.ConstantQubitNoiseModel(cirq.depolarize(0.01)), seed=1)
        >>> hq.integrated_gradients(model, x, engine=engine, **options).values.round(2)
        array([ 0.02,  0.23, -0.1 , -0.56])
        >>> hq.integrated_gradients(model, x, engine=engine, mitigation=NoiseEstimation(), **options).values.round(2)
        array([ 0.02,  0.25, -0.11, -0.63])
    """

    circuits: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(
            self,
            circuits=as_count(self.circuits, "circuits", 1, _CIRCUITS_MAX, advice=f"be at least 1 and at most {_CIRCUITS_MAX}"),
            seed=as_seed(self.seed),
        )

    def describe(self) -> str:
        """Return the mitigation in a few words."""
        return (
            f"noise estimation ({quantity(self.circuits, 'circuit')}, {number_text(self.share)} of the shots, seed {self.seed})"
        )

    def auxiliary_circuits(self, model: Model, estimator: Estimator, terms: Sequence[BilinearTerm]) -> CircuitShares:
        """Return the circuits of the map with rounded angles, which measure its damping; none if all known maps are 0.

        Raises:
            ValueError: The estimator is another one.
        """
        if not isinstance(estimator, ResolvedHadamardTest):
            raise ValueError(
                f"{self.describe()} needs ResolvedHadamardTest, whose map is one circuit: that of {estimator.describe()} is "
                "many, each of which would need circuits of its own"
            )
        rng = np.random.default_rng(self.seed)
        known_maps: list[tuple[WeightedCircuit, FloatArray]] = []
        for term in terms:
            for pauli in () if term.is_zero else pauli_terms(estimator.circuit_model(model)):
                scale = term.weight * pauli.coefficient
                smallest = _SMALLEST_MAP * abs(scale) * np.linalg.norm(term.left) * np.linalg.norm(term.right)
                rounded = self._rounded(pauli, estimator, term, scale, rng)
                known_maps += [(circuit, known) for circuit, known in rounded if np.linalg.norm(known) > smallest]
        power = sum(float(known @ known) for _, known in known_maps)
        weighted = [(c, c.weights.combined((known / power)[np.newaxis])) for c, known in known_maps]
        return self._with_shares([AuxiliaryCircuit(c.circuit, w, c.preparation, mitigation=self) for c, w in weighted])

    def _rounded(
        self, pauli: PauliTerm, estimator: ResolvedHadamardTest, term: BilinearTerm, scale: float, rng: np.random.Generator
    ) -> list[tuple[WeightedCircuit, FloatArray]]:
        """Return the rounded circuits with the largest known maps, and these maps."""
        candidates: list[tuple[WeightedCircuit, FloatArray]] = []
        for spread in (0.0, *[0.5] * (4 * self.circuits)):
            rounded = _RoundedTerm(pauli.model, pauli.pauli, spread, rng)
            for circuit in estimator.weighted_circuits(rounded, term):
                weights = circuit.weights.scaled(scale)
                candidates.append((replace(circuit, weights=weights), weights @ outcome_probabilities(circuit.circuit)))
        candidates.sort(key=lambda candidate: -float(candidate[1] @ candidate[1]))
        return candidates[: self.circuits]

    def postprocess(self, estimate: Estimate, auxiliary: MeasuredCircuits) -> Estimate:
        """Return the map divided by the damping, except for the part that is known without circuits."""
        number = auxiliary_estimate(self, auxiliary)
        damping, error = float(number.values[0]), float(number.stderr[0])
        if not damping > max(_MIN_SIGNIFICANCE * error, 1 / self.largest):
            return self._unchanged(estimate, f"its damping {damping:.3g} +- {error:.2g} is too close to 0")
        values = (estimate.values - estimate.offset) / damping
        by_values = np.eye(len(values)) / damping
        by_number = -values[:, np.newaxis] / damping
        return estimate.transform(by_values, estimate.offset + values, auxiliary=number, auxiliary_jacobian=by_number)


class _RoundedTerm(PauliTerm):
    """A Pauli term with angles rounded to multiples of 90 degrees, after a random shift with this standard deviation."""

    def __init__(self, model: Model, pauli: cirq.PauliString[cirq.Qid], spread: float, rng: np.random.Generator) -> None:
        super().__init__(model, pauli)
        self._spread, self._rng = spread, rng

    @cached_property
    def circuit(self) -> cirq.FrozenCircuit:
        """U with rounded angles, without the gates that cancel with the original angles."""
        return cirq.map_operations(super().circuit.unfreeze(), self._round).freeze()

    def _round(self, op: cirq.Operation, _: int) -> cirq.Operation:
        if isinstance(op.gate, cirq.Rx | cirq.Ry | cirq.Rz):
            rounded: cirq.Gate = type(op.gate)(rads=self._quarters(op.gate.exponent) * np.pi / 2)
        elif len(op.qubits) != 1 or cirq.has_stabilizer_effect(op):
            return op
        else:
            x, z, axis = (self._quarters(float(exponent)) / 2 for exponent in phased_xz_exponents(cirq.unitary(op)))
            rounded = cirq.PhasedXZGate(x_exponent=x, z_exponent=z, axis_phase_exponent=axis)
        return rounded.on(*op.qubits)

    def _quarters(self, exponent: float) -> int:
        """Return an angle of `exponent` half turns as a number of quarter turns."""
        return round(2 * exponent + self._spread * self._rng.normal())
