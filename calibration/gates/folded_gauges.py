"""Variants of a campaign's circuits: each in one random gauge of its own, and some of them folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calibration.gates.folding import fold
from calibration.gates.pauli_twirling import twirl_each
from hattriq_cirq.circuits.program import ParameterizedCircuit, Programs
from hattriq_cirq.compilation.compile import check_runnable
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.pipeline.mitigation import Mitigated, Mitigation, Outcomes, Variants

_POINTS = 512  # largest number of circuits in one job, so that a run that stops has lost little


@dataclass(frozen=True)
class FoldedGauges(Mitigation[None]):
    """Runs each circuit once, in a random gauge of its two-qubit gates, and some circuits with their noise amplified.

    A campaign of many circuits averages over gauges for free: every circuit has another one, so that coherent errors become
    scatter between the circuits. Folded circuits (`folding.fold`) show by how much the noise damps all expectations. Circuits
    that run at both ends of the campaign in the same gauge show whether the device has changed, whatever its noise.

    Args:
        folded: Requests that are folded, sorted.
        factor: Odd number of times that these are as deep.
        seed: Random seed for the gauges.
        repeated: Number of requests at the beginning that the last ones repeat in the same order; they run first and last.

    Example:
        >>> import cirq
        >>> import hattriq_cirq as hq
        >>> a, b = cirq.LineQubit.range(2)
        >>> program = ParameterizedCircuit(cirq.FrozenCircuit(cirq.CZ(a, b), cirq.measure(a, b)), (0, 1), ({}, {}))
        >>> variants = FoldedGauges(folded=(1,)).expand(hq.cirq_simulator(), [program], None)
        >>> for each in variants.programs:
        ...     each.requests, sum(op.gate == cirq.CZ for op in each.circuit.all_operations())
        ((0,), 1)
        ((1,), 3)
    """

    folded: tuple[int, ...] = ()
    factor: int = 3
    seed: int = 0
    repeated: int = 0

    def describe(self) -> str:
        """Return the mitigation in a few words."""
        folds = f", {len(self.folded)} of them folded {self.factor} times" if self.folded else ""
        return f"one random gauge per circuit{folds} (seed {self.seed})"

    def expand(self, engine: Engine, programs: Programs, shots: Sequence[int] | None) -> Variants[None]:
        """Return the programs with their points in gauges, and those with folded circuits.

        Raises:
            CircuitRefusedError: A circuit has no inverse, or is too long for the processor when folded.
        """
        folded, variants = set(self.folded), []
        last = sum(len(program.requests) for program in programs) - self.repeated  # first request that repeats another
        for i, program in enumerate(track(programs, "choose gauges", "program", total=len(programs))):
            for factor in (1, self.factor):
                own = [j for j, request in enumerate(program.requests) if (request in folded) == (factor > 1)]
                if not own:
                    continue
                circuit = program.circuit if factor == 1 else fold(program.circuit, factor)
                drawn = [j for j in own if program.requests[j] < last]
                circuit, points = twirl_each(circuit, [program.points[j] for j in drawn], (self.seed, i, factor))
                if engine.processor is not None:
                    cure = "use a shallower circuit, or leave out the correction of damping"
                    check_runnable(engine.processor, circuit, f"folded {factor} times", cure)
                at = {program.requests[j]: point for j, point in zip(drawn, points, strict=True)}
                at |= {request: at[request - last] for j in own if (request := program.requests[j]) >= last}
                for part in (range(self.repeated), range(self.repeated, last), range(last, last + self.repeated)):
                    requests = [request for request in at if request in part]
                    if shots is not None:
                        requests.sort(key=lambda request: shots[request])  # jobs hold circuits of equal shots
                    whole = ParameterizedCircuit(circuit, tuple(requests), tuple(at[request] for request in requests))
                    variants += whole.pieces(_POINTS)
        return Variants(variants, shots, None)

    def combine(self, variants: Variants[None], outcomes: Outcomes) -> Mitigated:
        """Return the outcomes as they are."""
        return Mitigated(outcomes)
