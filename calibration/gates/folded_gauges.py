"""Variants of a campaign's circuits: each in one random gauge of its own, and some of them folded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cirq

from calibration.gates.folding import fold
from calibration.gates.pauli_twirling import twirl_each
from hattriq_cirq.circuits.program import ParameterizedCircuit, Point, Programs
from hattriq_cirq.compilation.compile import check_runnable
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.pipeline.mitigation import Mitigated, Mitigation, Outcomes, Variants

Points = Mapping[int, Point]
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
        total = sum(len(program.requests) for program in programs)
        for i, program in enumerate(track(programs, "choose gauges", "program", total=len(programs))):
            points = dict(zip(program.requests, program.points, strict=True))
            for factor in (1, self.factor):
                own = [request for request in program.requests if (request in folded) == (factor > 1)]
                if not own:
                    continue
                circuit = program.circuit if factor == 1 else fold(program.circuit, factor)
                pieces = self._in_gauges(circuit, {request: points[request] for request in own}, (i, factor), total, shots)
                for twirled in {id(piece.circuit): piece.circuit for piece in pieces}.values():
                    if engine.processor is not None:
                        cure = "use a shallower circuit, or leave out the correction of damping"
                        check_runnable(engine.processor, twirled, f"folded {factor} times", cure)
                variants += pieces
        return Variants(variants, shots, None)

    def _in_gauges(
        self, circuit: cirq.FrozenCircuit, points: Points, place: tuple[int, int], total: int, shots: Sequence[int] | None
    ) -> list[ParameterizedCircuit]:
        """Return a circuit with its points, by their requests, in gauges, in the order in which they run.

        Args:
            circuit: Circuit.
            points: Point of each request that it holds.
            place: Number of the program and of its depth, which belong to the seed.
            total: Number of all requests.
            shots: Shots of each request.
        """
        last = total - self.repeated  # first request that repeats another
        drawn = [request for request in points if request < last]
        twirled, found = twirl_each(circuit, [points[request] for request in drawn], (self.seed, *place))
        at = dict(zip(drawn, found, strict=True))
        at |= {request: at[request - last] for request in points if request >= last}
        parts = (range(self.repeated), range(self.repeated, last), range(last, total))
        return [piece for part in parts for piece in _pieces(twirled, at, part, shots)]

    def combine(self, variants: Variants[None], outcomes: Outcomes) -> Mitigated:
        """Return the outcomes as they are."""
        return Mitigated(outcomes)


@dataclass(frozen=True)
class StageGauges(FoldedGauges):
    """Gauges of the circuits of one of several stages of a campaign, each of which is a call of its own.

    The first `repeated` requests of every stage are the same circuits, and have the same gauges in all of them. They begin the
    first stage and end the last one.

    Args:
        stage: Number of the stage, from 0.

    Example:
        >>> import cirq
        >>> import hattriq_cirq as hq
        >>> a, b = cirq.LineQubit.range(2)
        >>> program = ParameterizedCircuit(cirq.FrozenCircuit(cirq.CZ(a, b), cirq.measure(a, b)), (0, 1), ({}, {}))
        >>> for stage in (0, 1):
        ...     variants = StageGauges(repeated=1, stage=stage).expand(hq.cirq_simulator(), [program], None)
        ...     [each.requests for each in variants.programs]
        [(0,), (1,)]
        [(1,), (0,)]
    """

    stage: int = 0

    def _in_gauges(
        self, circuit: cirq.FrozenCircuit, points: Points, place: tuple[int, int], total: int, shots: Sequence[int] | None
    ) -> list[ParameterizedCircuit]:
        parts = [(range(self.repeated), 0), (range(self.repeated, total), 1 + self.stage)]
        pieces: list[ParameterizedCircuit] = []
        for part, stream in parts if self.stage == 0 else reversed(parts):
            own = [request for request in points if request in part]
            if own:
                twirled, found = twirl_each(circuit, [points[request] for request in own], (self.seed, *place, stream))
                pieces += _pieces(twirled, dict(zip(own, found, strict=True)), part, shots)
        return pieces


def _pieces(
    circuit: cirq.FrozenCircuit, points: Points, part: range, shots: Sequence[int] | None
) -> list[ParameterizedCircuit]:
    """Return a circuit with the points of the requests of a part, cut so that no piece is large."""
    requests = [request for request in points if request in part]
    if shots is not None:
        requests.sort(key=lambda request: shots[request])  # jobs hold circuits of equal shots
    return ParameterizedCircuit(circuit, tuple(requests), tuple(points[request] for request in requests)).pieces(_POINTS)
