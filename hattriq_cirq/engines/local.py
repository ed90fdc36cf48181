"""Noiseless simulators on this machine: qsim, and Cirq's own in double precision."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import cirq
import numpy as np

from hattriq_cirq._arrays import Array, FloatArray
from hattriq_cirq.outcomes import Distribution

_FinalState = Callable[[cirq.Circuit, Sequence[cirq.Qid]], Array]


class LocalEngine:
    """A state-vector simulator; counts are drawn from its exact probabilities.

    Make one with `qsim` or `cirq_simulator`. With a seed, a fresh engine gives the same counts for the same calls in the
    same order.
    """

    def __init__(self, name: str, seed: int | None, final_state: _FinalState) -> None:
        self._name, self._seed, self._final_state = name, seed, final_state
        self._rng = np.random.default_rng(seed)

    @property
    def name(self) -> str:
        """What results say they were run on."""
        return self._name

    @property
    def seed(self) -> int | None:
        """The seed of the counts."""
        return self._seed

    def run(self, circuits: Sequence[cirq.Circuit], shots: Sequence[int] | None) -> list[Distribution]:
        """Runs each circuit; see `Engine.run`."""
        if shots is None:
            return [Distribution(self._probabilities(circuit), None) for circuit in circuits]
        return [
            Distribution.from_counts(self._rng.multinomial(repetitions, self._probabilities(circuit)))
            for circuit, repetitions in zip(circuits, shots, strict=True)
        ]

    def _probabilities(self, circuit: cirq.Circuit) -> FloatArray:
        """(2**measured,), exact up to the simulator's precision, of sum 1."""
        measurement = _only_measurement(circuit)
        register = sorted(circuit.all_qubits())
        state = self._final_state(circuit[:-1], register)
        probabilities = (np.abs(state.astype(np.complex128)) ** 2).reshape((2,) * len(register))
        axes = [register.index(q) for q in measurement.qubits]
        rest = tuple(axis for axis in range(len(register)) if axis not in axes)
        marginal: FloatArray = probabilities.sum(axis=rest)
        ordered = marginal.transpose(np.argsort(np.argsort(axes)))
        gate = measurement.gate
        assert isinstance(gate, cirq.MeasurementGate)
        inverted = tuple(axis for axis, flipped in enumerate(gate.full_invert_mask()) if flipped)
        flat = np.flip(ordered, inverted).reshape(-1)
        return np.asarray(flat / flat.sum())


def qsim(*, seed: int | None = None, threads: int | None = None) -> LocalEngine:
    """The qsim simulator, single precision and fast.

    Args:
        seed: of the counts.
        threads: for one circuit; None takes every core.

    Returns:
        The engine.
    """
    from qsimcirq.qsim_simulator import QSimOptions, QSimSimulator

    simulator = QSimSimulator(QSimOptions(cpu_threads=threads or os.cpu_count() or 1, max_fused_gate_size=4))

    def final_state(circuit: cirq.Circuit, register: Sequence[cirq.Qid]) -> Array:
        return np.asarray(simulator.simulate(circuit, qubit_order=register).final_state_vector)

    return LocalEngine("qsim", seed, final_state)


def cirq_simulator(*, seed: int | None = None) -> LocalEngine:
    """Cirq's state-vector simulator in double precision: slower, exact to rounding.

    Args:
        seed: of the counts.

    Returns:
        The engine.
    """

    def final_state(circuit: cirq.Circuit, register: Sequence[cirq.Qid]) -> Array:
        simulator = cirq.Simulator(dtype=np.complex128)
        return np.asarray(simulator.simulate(circuit, qubit_order=register).final_state_vector)

    return LocalEngine("cirq", seed, final_state)


def _only_measurement(circuit: cirq.Circuit) -> cirq.Operation:
    """The one measurement, alone in the last moment, or an error."""
    last = list(circuit[-1].operations) if len(circuit) else []
    found = [op for op in circuit.all_operations() if cirq.is_measurement(op)]
    if len(found) != 1 or last != found:
        raise ValueError(f"a circuit must end in one measurement alone in the last moment; it has {len(found)}")
    return found[0]
