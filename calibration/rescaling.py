"""Corrections of a whole map by circuits of their own beside it: what it must sum to, or how much noise shrinks it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cirq
import numpy as np
from scipy.sparse import csr_array

from calibration.auxiliary_measurement import AuxiliaryCircuit, auxiliary_estimate
from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.estimators import ResolvedHadamardTest
from hattriq_cirq.estimators.bilinear import KEY, BilinearTerm, Estimator, PauliTerm, WeightedCircuit, outcome_signs
from hattriq_cirq.estimators.plan import Estimate
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.models.model import Model
from hattriq_cirq.pipeline.mitigation import Mitigation, Outcomes, Variants
from hattriq_cirq.simulation.statevector import outcome_probabilities

_FAR = 4.0
_BLANK = 1e-6  # of the largest norm that a known map can have, below which it is 0 but for rounding and says nothing
"""Standard errors that a number must be away from 0 to be divided by."""


@dataclass(frozen=True)
class _Beside(Mitigation):
    """What leaves circuits as they are and has some of its own.

    Args:
        share: of the shots of an input, that its own circuits take on top, above 0.
        largest: factor by which it changes a map; what would change it more is left alone, and said so.
    """

    share: float = 0.2
    largest: float = 3.0

    def __post_init__(self) -> None:
        if not self.share > 0:
            raise ValueError(f"{self.share=} must be above 0: its circuits need shots")
        if not self.largest > 1:
            raise ValueError(f"{self.largest=} must be above 1")

    def expand(self, engine: Engine, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> Variants:
        """The programs as they are."""
        return Variants(programs, shots)

    def combine(self, variants: Variants, outcomes: Outcomes) -> list[Distribution | QuasiDistribution]:
        """The outcomes as they are."""
        return list(outcomes)

    def _shared_out(self, readings: Sequence[WeightedCircuit]) -> list[tuple[WeightedCircuit, float]]:
        """The readings with shares of the shots in proportion to what a shot can add."""
        whole = sum(reading.max_shot_norm for reading in readings)
        return [(reading, self.share * reading.max_shot_norm / whole) for reading in readings if reading.max_shot_norm]


@dataclass(frozen=True)
class CompletenessRescaling(_Beside):
    """Makes the map sum to F(x) - F(b), measured directly: x is encoded, U applied, and the observable read.

    That circuit is shallower than the map's, so its noise is smaller, not none: it fixes the scale of the map, not its shape.
    Values are multiplied by the ratio of the two sums, or with `additive` moved by shares of their difference in proportion to
    their variances. A map whose sum is within 4 standard errors of 0, or whose ratio is out of bounds, is left as it is.

    Args:
        share: of the shots of an input, that the direct measurement takes on top, above 0.
        largest: ratio, and its inverse the smallest, that a map is multiplied by.
        additive: move the values instead of multiplying them.
    """

    additive: bool = False

    def describe(self) -> str:
        """The mitigation in a few words."""
        return f"completeness {'shift' if self.additive else 'rescaling'} ({self.share:g} of the shots)"

    def auxiliary_circuits(
        self, model: Model, estimator: Estimator, products: Sequence[BilinearTerm]
    ) -> list[tuple[WeightedCircuit, float]]:
        """Circuits that measure every Pauli string of F at the ends of each product.

        Raises:
            ValueError: the estimator reads the imaginary part, whose sum is no difference of scores.
        """
        if estimator.part != "real":
            raise ValueError(f"{estimator.part=} must be 'real' for {self.describe()}: F(x) - F(b) is the sum of real parts")
        readings = [
            reading
            for product in products
            for pauli in model.pauli_sum
            if len(pauli) > 0
            for reading in self._differences(PauliTerm(model, pauli), estimator, product)
        ]
        return self._shared_out(readings)

    def _differences(self, term: PauliTerm, estimator: Estimator, product: BilinearTerm) -> Iterator[WeightedCircuit]:
        """Re<l|P|r> = F(u) - F(v) for u = (l + r) / 2, v = (r - l) / 2."""
        qubits = list(term.pauli)
        ends: tuple[tuple[float, Array], ...] = ((1.0, product.left + product.right), (-1.0, product.right - product.left))
        for sign, twice in ends:
            if not twice.any():
                continue
            prepared = estimator.state_encoder(twice / np.linalg.norm(twice), list(term.model.qubits))
            circuit = prepared + term.circuit + cirq.Circuit(term.basis_change, cirq.measure(*qubits, key=KEY))
            worth = sign * product.weight * term.coefficient * float(np.linalg.norm(twice)) ** 2 / 4
            yield AuxiliaryCircuit(circuit, csr_array(worth * outcome_signs(len(qubits))[np.newaxis]), prepared, wanted_by=self)

    def postprocess(
        self, estimate: Estimate, extra: Sequence[tuple[WeightedCircuit, Distribution | QuasiDistribution]]
    ) -> Estimate:
        """The map made to sum to the measured difference."""
        number = auxiliary_estimate(self, extra)
        measured = float(number.values[0])
        offset = estimate.offset  # known without circuits
        values = estimate.values - offset
        total = float(values.sum())
        ones = np.ones((1, len(values)))
        if self.additive:
            weights = estimate.stderr**2 if estimate.stderr.any() else np.abs(values)
            if not weights.any():
                return estimate
            moved = weights / weights.sum()
            corrected = values + moved * (measured - total)
            by_values, by_number = np.eye(len(values)) - moved[:, np.newaxis] @ ones, moved
        else:
            near = _FAR * estimate.sum_stderr
            if abs(total) <= max(near, 1e-9 * float(np.abs(values).sum())):
                return _left(estimate, f"its sum {total:.3g} is within {_FAR:g} standard errors of 0", self)
            ratio = measured / total
            if not 1 / self.largest <= ratio <= self.largest:
                return _left(estimate, f"it sums to {total:.3g}, the direct measurement to {measured:.3g}", self)
            corrected = ratio * values
            by_values = ratio * np.eye(len(values)) - ratio / total * values[:, np.newaxis] @ ones
            by_number = values / total
        return estimate.transform(by_values, offset + corrected, auxiliary=number, auxiliary_jacobian=by_number[:, np.newaxis])


@dataclass(frozen=True)
class NoiseEstimation(_Beside):
    """Divides the map by the damping that the same circuit has when its turns make the answer known.

    Turns of U are rounded to multiples of 90 degrees: the circuit keeps its shape and its two-qubit gates, and its map becomes
    that of a Pauli string, which is known. The slope of what is measured of it against what is known is the damping (circuits
    without their turns: Urbanek et al., PRL 127, 270502; Clifford circuits: Czarnik et al., Quantum 5, 592). Leaving the
    controlled Pauli out instead, with ancilla 0 as the known answer, tells nothing: the ancilla is then apart from the data
    and sees none of their noise. Right as far as noise shrinks a map evenly: twirl the circuits.

    Args:
        share: of the shots of an input, that these circuits take on top, above 0.
        largest: factor that a map is multiplied by.
        circuits: for each of the map, at least 1; those with the largest known maps of a few that are drawn.
        seed: of the roundings.
    """

    circuits: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.circuits < 1:
            raise ValueError(f"{self.circuits=} must be at least 1")

    def describe(self) -> str:
        """The mitigation in a few words."""
        return f"noise estimation ({self.circuits} circuits, {self.share:g} of the shots, seed {self.seed})"

    def auxiliary_circuits(
        self, model: Model, estimator: Estimator, products: Sequence[BilinearTerm]
    ) -> list[tuple[WeightedCircuit, float]]:
        """The circuits of the map with rounded turns, read as the damping of their known maps; none where all of these are 0.

        Raises:
            ValueError: another estimator, or turns that are no Rx, Ry or Rz.
        """
        if not isinstance(estimator, ResolvedHadamardTest):
            raise ValueError(
                f"{self.describe()} needs ResolvedHadamardTest, whose map is one circuit: that of {estimator.describe()} is "
                "many, each of which would need circuits of its own"
            )
        rng = np.random.default_rng(self.seed)
        found: list[tuple[WeightedCircuit, FloatArray]] = []
        for product in products:
            for pauli in model.pauli_sum:
                if len(pauli) > 0 and product.left.any() and product.right.any() and product.weight:
                    term = PauliTerm(model, pauli)
                    scale = product.weight * term.coefficient
                    least = _BLANK * abs(scale) * np.linalg.norm(product.left) * np.linalg.norm(product.right)
                    rounded = self._rounded(term, estimator, product, scale, rng)
                    found += [(r, known) for r, known in rounded if np.linalg.norm(known) > least]
        power = sum(float(known @ known) for _, known in found)
        readings = [
            AuxiliaryCircuit(r.circuit, csr_array((known / power)[np.newaxis] @ r.weights), r.preparation, wanted_by=self)
            for r, known in found
        ]
        return self._shared_out(readings)

    def _rounded(
        self, term: PauliTerm, estimator: ResolvedHadamardTest, product: BilinearTerm, scale: float, rng: np.random.Generator
    ) -> list[tuple[WeightedCircuit, FloatArray]]:
        """The circuits with the largest known maps, and these."""
        drawn: list[tuple[WeightedCircuit, FloatArray]] = []
        for spread in (0.0, *[0.5] * (4 * self.circuits)):
            rounded = _RoundedTerm(term.model, term.pauli, spread, rng)
            for reading in estimator.weighted_circuits(rounded, product):
                weights = csr_array(scale * reading.weights)
                drawn.append((replace(reading, weights=weights), weights @ outcome_probabilities(reading.circuit)))
        drawn.sort(key=lambda one: -float(one[1] @ one[1]))
        return drawn[: self.circuits]

    def postprocess(
        self, estimate: Estimate, extra: Sequence[tuple[WeightedCircuit, Distribution | QuasiDistribution]]
    ) -> Estimate:
        """The map divided by the damping; what is known without circuits is not damped."""
        number = auxiliary_estimate(self, extra)
        damping, error = float(number.values[0]), float(number.stderr[0])
        if not damping > max(_FAR * error, 1 / self.largest):
            return _left(estimate, f"its damping {damping:.3g} +- {error:.2g} is not clear of 0", self)
        read = (estimate.values - estimate.offset) / damping
        by_values = np.eye(len(read)) / damping
        by_number = -read[:, np.newaxis] / damping
        return estimate.transform(by_values, estimate.offset + read, auxiliary=number, auxiliary_jacobian=by_number)


class _RoundedTerm(PauliTerm):
    """A term whose turns are rounded to multiples of 90 degrees, after a random push of so many of them."""

    def __init__(self, model: Model, pauli: cirq.PauliString[cirq.Qid], spread: float, rng: np.random.Generator) -> None:
        super().__init__(model, pauli)
        self._spread, self._rng = spread, rng

    @cached_property
    def circuit(self) -> cirq.FrozenCircuit:
        """U, its cone that of the turns as they were."""
        return cirq.map_operations(super().circuit.unfreeze(), self._round).freeze()

    def _round(self, op: cirq.Operation, _: int) -> cirq.Operation:
        if isinstance(op.gate, cirq.Rx | cirq.Ry | cirq.Rz):
            quarters = round(2 * float(op.gate.exponent) + self._spread * self._rng.normal())
            rounded: cirq.Operation = type(op.gate)(rads=quarters * np.pi / 2)(*op.qubits)
            return rounded
        if not cirq.has_stabilizer_effect(op):
            raise ValueError(f"{op} must be Rx, Ry, Rz or a Clifford gate, for the circuit to be one whose answer is known")
        return op


def _left(estimate: Estimate, why: str, mitigation: Mitigation) -> Estimate:
    """The estimate as it is, and a note that says why."""
    return replace(estimate, notes=(*estimate.notes, f"{mitigation.describe()} left a map as it was: {why}"))
