"""Readout errors put in on purpose: a sampler whose outcomes are exact but for faults of known size.

What the virtual processors cannot show, readout errors that are correlated or drift, is shown with it.
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

_STEPS = 200  # in which a drift happens
_true = lru_cache(maxsize=256)(outcome_probabilities)


class FaultyReadout(cirq.Sampler):
    """Samples circuits without noise and reads their bits wrongly.

    Args:
        qubits: whose faults they are; may be left out where `e0` and `e1` are the same for all and there are no `pairs`.
        e0: the chance that 0 is read as 1; a number, or one for each of the qubits.
        e1: the chance that 1 is read as 0; likewise.
        pairs: (i, j, probability): the chance that the i-th and the j-th of the qubits are both flipped.
        drift: what is added to every e1, linearly, while the first `over` repetitions are served; it stays from then on.
        over: repetitions.
        seed: of everything random.

    Raises:
        ValueError: a probability outside 0 .. 1, `over` below 1, or faults of qubits that are not named.
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
        chances = np.concatenate([self.e0.ravel(), self.e1.ravel(), self.e1.ravel() + drift, [p for *_, p in self.pairs]])
        if not ((chances >= 0) & (chances <= 1)).all():
            raise ValueError(f"probabilities {chances.tolist()} of e0, e1, e1 + drift and pairs must be from 0 to 1")
        if over < 1:
            raise ValueError(f"{over=} must be at least 1 repetition")
        if not qubits and (self.pairs or self.e0.ndim or self.e1.ndim):
            raise ValueError("name the qubits that different error rates and pairs belong to")
        self._rng = np.random.default_rng(seed)

    def run_sweep(self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1) -> Sequence[cirq.Result]:
        """Runs a circuit at every point; its one measurement is read wrongly."""
        return list(self._results(program, params, repetitions))

    def _results(self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int) -> Iterator[cirq.Result]:
        measurement = only_measurement(program)
        width = len(measurement.qubits)
        for resolver in cirq.to_resolvers(params):
            true = _true(cirq.resolve_parameters(program, resolver).freeze())
            counts = np.zeros(2**width, dtype=np.int64)
            left = repetitions
            while left:
                served = left if self.drift == 0 or self.served >= self.over else min(left, -(-self.over // _STEPS))
                counts += self._rng.multinomial(served, self.as_read(true, measurement.qubits))
                self.served += served
                left -= served
            outcomes = np.repeat(np.arange(2**width), counts)
            bits = (outcomes[:, np.newaxis] >> np.arange(width - 1, -1, -1)) & 1
            key = cirq.measurement_key_name(measurement)
            yield cirq.ResultDict(params=resolver, measurements={key: bits.astype(np.uint8)})

    def as_read(self, true: FloatArray, measured: Sequence[cirq.Qid]) -> FloatArray:
        """How outcomes of true probabilities are read, (2**bits,), after the repetitions served so far; pairs flip first."""
        at = [self.qubits.index(q) for q in measured] if self.qubits else [0] * len(measured)
        several = max(len(self.qubits), 1)
        e0 = np.broadcast_to(self.e0, several)[at]
        e1 = np.broadcast_to(self.e1 + self.drift * min(self.served / self.over, 1.0), several)[at]
        read = true.reshape((2,) * len(measured))
        for *pair, chance in self.pairs:
            read = (1 - chance) * read + chance * np.flip(read, tuple(bit for bit, i in enumerate(at) if i in pair))
        for bit, (zero, one) in enumerate(zip(e0, e1, strict=True)):
            observed = np.array([[1 - zero, one], [zero, 1 - one]])  # [observed, prepared]
            read = np.moveaxis(np.tensordot(observed, read, (1, bit)), 0, bit)
        flat = read.reshape(-1).clip(0)
        return np.asarray(flat / flat.sum())
