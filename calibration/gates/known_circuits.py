"""Known-answer circuits: circuits of the structure of others, with other angles, whose outcomes are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cirq
import numpy as np
import sympy

from hattriq_cirq.circuits.deviation import Deviation, Residual
from hattriq_cirq.circuits.outcomes import QuasiDistribution
from hattriq_cirq.circuits.program import ParameterizedCircuit, Point, Programs, only_measurement
from hattriq_cirq.circuits.swept_gates import phased_xz_exponents
from hattriq_cirq.compilation.processor import is_virtual
from hattriq_cirq.foundation.arrays import FloatArray, evenly_spaced
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.pipeline.mitigation import Outcomes
from hattriq_cirq.simulation.statevector import outcome_probabilities

_SHIFT = 0.5  # standard deviation of random shifts of angles, in quarter turns
_TRIALS = 4  # choices of angles that are tried for each circuit until one has outcomes that are not uniform
_NOT_UNIFORM = 1e-3  # smallest summed square of the deviation of outcomes from uniform
_QUBITS_MAX = 16  # qubits of circuits whose outcomes are computed
_BITS_MAX = 11  # measured bits of these
_LEAST_SHOTS = 100  # of a known-answer circuit, where others have as many: enough for its variants


@dataclass(frozen=True, eq=False)
class KnownCircuits:
    """Circuits with known outcomes beside others.

    Args:
        programs: Programs of these circuits, with the requests that follow those of the others.
        shots: Shots of each; None for exact probabilities.
        answers: Exact probabilities of the outcomes of each.
    """

    programs: tuple[ParameterizedCircuit, ...]
    shots: tuple[int, ...] | None
    answers: tuple[FloatArray, ...]

    @classmethod
    def beside(
        cls, programs: Programs, shots: Sequence[int] | None, *, circuits: int, share: float, seed: int, rounded: bool = True
    ) -> KnownCircuits:
        """Change the angles of circuits that are evenly spaced among those of some programs.

        Args:
            programs: Compiled programs.
            shots: Shots of each request.
            circuits: Number of known-answer circuits, or one for each of as many programs.
            share: Shots of all of them, as a share of the shots of the requests.
            seed: Random seed of the angles.
            rounded: True to round angles, after random shifts of all but the first circuit of a program, to multiples of 90
                degrees, so that Clifford gates prepare stabilizer states. False to shift them only, which shows the errors of
                single outcomes more evenly.

        Returns:
            The circuits; none of circuits with more than 16 qubits or 11 measured bits.
        """
        first = sum(len(program.requests) for program in programs)
        chosen = evenly_spaced(list(enumerate(programs)), circuits)
        each, changed, answers = -(-circuits // max(1, len(chosen))), list[ParameterizedCircuit](), list[FloatArray]()
        for index, program in track(chosen, "change angles", "program"):
            if len(program.circuit.all_qubits()) > _QUBITS_MAX or len(only_measurement(program.circuit).qubits) > _BITS_MAX:
                continue
            structure, points, known = _with_angles(program, each, np.random.default_rng([seed, index]), rounded=rounded)
            if points:
                requests = tuple(range(first + len(answers), first + len(answers) + len(points)))
                changed.append(ParameterizedCircuit(structure, requests, tuple(points)))
                answers += known
        if shots is None or not answers:
            return cls(tuple(changed), None if shots is None else (), tuple(answers))
        enough = max(int(share * sum(shots) / len(answers)), min(_LEAST_SHOTS, *shots), 1)
        return cls(tuple(changed), (enough,) * len(answers), tuple(answers))

    def residuals(self, outcomes: Outcomes) -> list[Residual]:
        """Return the differences of the outcomes of these circuits, in order, from the known ones."""
        found: list[Residual] = []
        for outcome, answer in zip(outcomes, self.answers, strict=True):
            measure = QuasiDistribution.from_outcome(outcome)
            variance = measure.total_variance + measure.shared_variance(systematic=False)
            found.append(Residual(measure.probabilities - answer, answer - 1 / len(answer), variance))
        return found

    def deviation(self, outcomes: Outcomes) -> Deviation:
        """Return the deviation of the outcomes of these circuits from the known ones.

        Args:
            outcomes: Their outcomes, in order.
        """
        return Deviation.measured(self.residuals(outcomes))


def _with_angles(
    program: ParameterizedCircuit, count: int, rng: np.random.Generator, *, rounded: bool
) -> tuple[cirq.FrozenCircuit, list[Point], list[FloatArray]]:
    """Return a program's circuit with symbols for all single-qubit gates, and points of it with known outcomes.

    Every gate stays in its place and of its kind, so that errors are those of the program's circuits.
    """
    kept: list[tuple[Point, FloatArray]] = []
    structure = program.circuit
    for trial in range(_TRIALS * count):
        given = cirq.resolve_parameters(program.circuit, dict(program.points[trial % len(program.points)]))
        values: dict[str, float] = {}

        def change(op: cirq.Operation, _: int, values: dict[str, float] = values, trial: int = trial) -> cirq.Operation:
            if len(op.qubits) != 1 or cirq.is_measurement(op) or isinstance(op.gate, cirq.WaitGate):
                return op
            if isinstance(op.gate, cirq.ZPowGate) and is_virtual(op):
                names, exponents = [f"r{len(values)}"], [float(op.gate.exponent)]
                symbolic: cirq.Gate = cirq.ZPowGate(exponent=sympy.Symbol(names[0]))
            else:
                names = [f"r{len(values) + i}" for i in range(3)]
                exponents = [float(each) for each in phased_xz_exponents(cirq.unitary(op))]
                x, z, axis = map(sympy.Symbol, names)
                symbolic = cirq.PhasedXZGate(x_exponent=x, z_exponent=z, axis_phase_exponent=axis)
            shift = _SHIFT if trial or not rounded else 0.0
            shifted = [2 * exponent + shift * rng.normal() for exponent in exponents]
            values |= {name: (round(each) if rounded else each) / 2 for name, each in zip(names, shifted, strict=True)}
            return symbolic.on(*op.qubits).with_tags(*op.tags)

        structure = cirq.map_operations(given.unfreeze(), change).freeze()
        answer = outcome_probabilities(cirq.resolve_parameters(structure, values))
        from_uniform = answer - 1 / len(answer)
        if from_uniform @ from_uniform > _NOT_UNIFORM:
            kept.append((values, answer))
        if len(kept) == count:
            break
    return structure, [point for point, _ in kept], [answer for _, answer in kept]
