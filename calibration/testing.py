"""Injected readout errors: a sampler whose outcomes are exact except for readout errors of known size.

It simulates correlated and drifting readout, which the virtual processors do not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.circuits.program import only_measurement
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.simulation.statevector import outcome_probabilities

_DRIFT_STEPS = 200  # in which a drift happens
_true_probabilities = lru_cache(maxsize=256)(outcome_probabilities)


class FaultyReadout(cirq.Sampler):
    """Samples circuits without noise and reads their bits with errors.

    Args:
        qubits: Qubits with these errors; may be left out where `e0` and `e1` are the same for all and there are no `pairs`.
        e0: Probability that 0 is read as 1: one number, or one for each of the qubits.
        e1: Probability that 1 is read as 0: one number, or one for each of the qubits.
        pairs: Triples (i, j, probability that the i-th and the j-th of the qubits are both flipped).
        drift: Increase of every e1, linear over the first `over` repetitions and constant afterwards.
        over: Number of repetitions over which e1 drifts.
        seed: Random seed for all samples.

    Raises:
        ValueError: A probability is outside 0 .. 1, `over` is below 1, or there are errors of unnamed qubits.

    Example:
        >>> q = cirq.LineQubit(0)
        >>> circuit = cirq.Circuit(cirq.X(q), cirq.measure(q, key="z"))
        >>> result = FaultyReadout(e1=0.1, seed=1).run(circuit, repetitions=1000)
        >>> sorted(result.histogram(key="z").items())
        [(0, 100), (1, 900)]
    """

    def __init__(
        self,
        qubits: Sequence[cirq.Qid] = (),
        *,
        e0: ArrayLike = 0.0,
        e1: ArrayLike = 0.0,
        pairs: Sequence[tuple[int, int, float]] = (),
        drift: float = 0.0,
        over: int = 1_000_000,
        seed: int | None = None,
    ) -> None:
        self.qubits = tuple(qubits)
        self.e0, self.e1 = np.asarray(e0, dtype=float), np.asarray(e1, dtype=float)
        self.pairs, self.drift, self.over, self.served = tuple(pairs), drift, over, 0
        rates = np.concatenate([self.e0.ravel(), self.e1.ravel(), self.e1.ravel() + drift, [p for *_, p in self.pairs]])
        if not ((rates >= 0) & (rates <= 1)).all():
            raise ValueError(f"probabilities {rates.tolist()} of e0, e1, e1 + drift and pairs must be from 0 to 1")
        if over < 1:
            raise ValueError(f"{over=} must be at least 1 repetition")
        if not qubits and (self.pairs or self.e0.ndim or self.e1.ndim):
            raise ValueError("name the qubits that different error rates and pairs belong to")
        self._rng = np.random.default_rng(seed)

    def run_sweep(self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1) -> Sequence[cirq.Result]:
        """Run a circuit at every point, with readout errors in its one measurement."""
        return list(self._results(program, params, repetitions))

    def _results(self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int) -> Iterator[cirq.Result]:
        measurement = only_measurement(program)
        width = len(measurement.qubits)
        for resolver in cirq.to_resolvers(params):
            true = _true_probabilities(cirq.resolve_parameters(program, resolver).freeze())
            counts = np.zeros(2**width, dtype=np.int64)
            remaining = repetitions
            while remaining:
                steady = self.drift == 0 or self.served >= self.over
                served = remaining if steady else min(remaining, -(-self.over // _DRIFT_STEPS))
                counts += self._rng.multinomial(served, self.observed_probabilities(true, measurement.qubits))
                self.served += served
                remaining -= served
            outcomes = np.repeat(np.arange(2**width), counts)
            bits = (outcomes[:, np.newaxis] >> np.arange(width - 1, -1, -1)) & 1
            key = cirq.measurement_key_name(measurement)
            yield cirq.ResultDict(params=resolver, measurements={key: bits.astype(np.uint8)})

    def observed_probabilities(self, true: FloatArray, measured: Sequence[cirq.Qid]) -> FloatArray:
        """Return the distribution that is observed in place of a true one, after the repetitions served so far.

        Args:
            true: Probabilities without readout errors, (2**bits,).
            measured: Measured qubits, in order; pairs are flipped before the errors of single qubits.
        """
        positions = [self.qubits.index(q) for q in measured] if self.qubits else [0] * len(measured)
        count = max(len(self.qubits), 1)
        e0 = np.broadcast_to(self.e0, count)[positions]
        e1 = np.broadcast_to(self.e1 + self.drift * min(self.served / self.over, 1.0), count)[positions]
        observed = true.reshape((2,) * len(measured))
        for *pair, probability in self.pairs:
            flipped = np.flip(observed, tuple(bit for bit, i in enumerate(positions) if i in pair))
            observed = (1 - probability) * observed + probability * flipped
        for bit, (zero, one) in enumerate(zip(e0, e1, strict=True)):
            transposed = np.array([[1 - zero, one], [zero, 1 - one]])  # [observed, prepared]
            observed = np.moveaxis(np.tensordot(transposed, observed, (1, bit)), 0, bit)
        flat = observed.reshape(-1).clip(0)
        return np.asarray(flat / flat.sum())
