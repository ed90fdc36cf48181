"""The resolved Hadamard test of the amplitudes inside a circuit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hattriq_cirq.circuits.light_cone import light_cone
from hattriq_cirq.circuits.unitaries import inverse_circuit
from hattriq_cirq.estimators.bilinear import BilinearTerm, PauliTerm, WeightedCircuit
from hattriq_cirq.estimators.resolved import ResolvedHadamardTest
from hattriq_cirq.foundation.arrays import FloatArray


@dataclass(frozen=True)
class LayerTest(ResolvedHadamardTest):
    """Estimate the attributions of the amplitudes at a cut, U = U_> U_<=, by the resolved Hadamard test without U_<='.

    The states of both sides pass U_<= and U_>, then the controlled Pauli string, then U_>' only: the signed histogram is
    Re(conj(U_<= left)_j (U_<= M right)_j). The later the cut, the shorter the circuit.

    Args:
        cut: Number of moments before the cut; 0 is the input, for which this is the resolved test.

    Raises:
        ValueError: The settings are those of a resolved test that has no layers, such as reweighting.

    Example:
        >>> import numpy as np
        >>> import hattriq_cirq as hq
        >>> from hattriq_cirq.estimators.plan import plan
        >>> model, x = hq.ring_ansatz(3, layers=3), np.sqrt(np.arange(8) / 28)
        >>> model = model.with_params(dict.fromkeys(model.params, 0.7))
        >>> term = BilinearTerm(x, x)
        >>> circuits = [plan(LayerTest(cut=cut), model, [term]).circuits[0].circuit for cut in (0, 15)]
        >>> [sum(len(op.qubits) == 2 for op in circuit.all_operations()) for circuit in circuits]
        [21, 14]
    """

    cut: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reweight or self.part != "real":
            raise ValueError("maps of layers are real parts without reweighting; leave out part and reweight")

    @classmethod
    def of(cls, estimator: ResolvedHadamardTest, cut: int) -> LayerTest:
        """Return the test of a cut with the settings of a resolved test."""
        e = estimator
        return cls(e.part, e.measured, e.allocation, e.encoder, e.reweight, cut)

    def describe(self) -> str:
        """Describe the estimator in a few words, for results."""
        return f"{super().describe()}, at the cut after {self.cut} moments"

    def identity_term(self, term: BilinearTerm) -> FloatArray:
        """Raise ValueError: for M = 1 the values are those of the state at the cut, which this estimator does not know."""
        raise ValueError("the observable has an identity part; attribute the layers of model.traceless()")

    def weighted_circuits(self, pauli: PauliTerm, term: BilinearTerm) -> Iterator[WeightedCircuit]:
        """Build the one circuit: that of the resolved test for a string whose inverse circuit ends at the cut."""
        return super().weighted_circuits(_CutTerm(pauli, self.cut), term)


class _CutTerm(PauliTerm):
    """A Pauli string whose circuit is all of U_<= and the light cone in U_>, and whose inverse is that of the latter."""

    def __init__(self, pauli: PauliTerm, cut: int) -> None:
        self.model, self.coefficient, self.pauli = pauli.model, pauli.coefficient, pauli.pauli
        before, after = self.model.resolved_circuit[:cut], light_cone(self.model.resolved_circuit[cut:], self.pauli)
        self.circuit = (before.unfreeze() + after.unfreeze()).freeze()
        self.inverse = inverse_circuit(after)
