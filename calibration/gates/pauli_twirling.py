"""Pauli twirling: random gauges of two-qubit gates, which change the direction of coherent errors and not the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import cirq
import numpy as np
import sympy
from cirq.transformers.gauge_compiling import (
    CZGaugeTransformer,
    GaugeTransformer,
    ISWAPGaugeTransformer,
    SqrtCZGaugeTransformer,
    SqrtISWAPGaugeTransformer,
)
from cirq.transformers.gauge_compiling.gauge_compiling import ConstantGauge, Gauge, GaugeSelector

from calibration.gates.folding import append_measurement, split_measurement
from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.circuits.program import Point, points_of

_Items = tuple[tuple[tuple[str, float], ...], ...]
_TRANSFORMERS = (CZGaugeTransformer, SqrtISWAPGaugeTransformer, ISWAPGaugeTransformer, SqrtCZGaugeTransformer)


def twirl(
    circuit: cirq.FrozenCircuit, points: Sequence[Point], twirls: int, seed: tuple[int, ...]
) -> tuple[cirq.FrozenCircuit, list[Point]]:
    """Return one circuit whose points are the given points in every gauge.

    Args:
        circuit: Compiled circuit with a symbol for every name in a point.
        points: Points of its sweep.
        twirls: Number of gauges. A gate takes each of its gauges, 16 for CZ, once before any comes again, so that the first
            order of its coherent error cancels exactly after that many twirls.
        seed: Random seed for the gauges.

    Returns:
        The circuit, in PhasedXZ with symbols and with the same two-qubit gates, and its points, those of one twirl together.

    Raises:
        CircuitRefusedError: Cirq has no gauge for a two-qubit gate of the circuit.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> circuit = cirq.FrozenCircuit(cirq.H(a), cirq.CZ(a, b), cirq.measure(a, b, key="z"))
        >>> twirled, points = twirl(circuit, [{}], 4, seed=(0,))
        >>> len(points), sum(op.gate == cirq.CZ for op in twirled.all_operations())
        (4, 1)
    """
    twirled, items = _twirl_items(circuit, tuple(tuple(sorted(point.items())) for point in points), twirls, seed)
    return twirled, [dict(point) for point in items]


@lru_cache(maxsize=16)  # the same circuits are run again with other shots, and a point takes a tenth of a second
def _twirl_items(
    circuit: cirq.FrozenCircuit, points: _Items, twirls: int, seed: tuple[int, ...]
) -> tuple[cirq.FrozenCircuit, _Items]:
    """Return the result of `twirl`, hashable: Cirq's gauges as a sweep, merged into the single-qubit gates."""
    rng = np.random.default_rng(seed)
    given = {name: f"given_{name}" for point in points[:1] for name, _ in point}
    body, measurement = split_measurement(cirq.resolve_parameters(circuit, {a: sympy.Symbol(b) for a, b in given.items()}))
    transformer = _transformer(body, twirls, rng)
    if transformer is None:
        return circuit, points * twirls
    gauged, gauges = transformer.as_sweep(body, N=twirls, prng=rng)
    whole = [
        cirq.ParamResolver({**gauge.param_dict, **{given[name]: value for name, value in point}})
        for gauge in cirq.to_resolvers(gauges)
        for point in points
    ]
    merged, sweep = cirq.merge_single_qubit_gates_to_phxz_symbolized(gauged, sweep=cirq.ListSweep(whole))
    items = tuple(tuple(point.items()) for point in points_of(sweep))
    return append_measurement(cirq.drop_empty_moments(merged), measurement), items


def _transformer(body: cirq.AbstractCircuit, twirls: int, rng: np.random.Generator) -> GaugeTransformer | None:
    """Return Cirq's transformer for the two-qubit gates of a circuit; None if the circuit has none."""
    gates = [op for op in body.all_operations() if len(op.qubits) > 1]
    if not gates:
        return None
    for known in _TRANSFORMERS:
        if all(op in known.target for op in gates):
            gauges = _balanced_gauges(known, len(gates), twirls, rng)
            return GaugeTransformer(known.target, gauges, known.two_qubit_gate_symbolizer)
    kinds = sorted({str(op.gate) for op in gates})
    raise CircuitRefusedError(
        f"Cirq has no gauge that suits all two-qubit gates of a circuit, {', '.join(kinds)}; compile for one kind of gate, "
        "such as gateset='cz', or leave twirling out"
    )


def _balanced_gauges(
    known: GaugeTransformer, gates: int, twirls: int, rng: np.random.Generator
) -> Callable[[np.random.Generator], Gauge]:
    """Return a selector by which each gate takes all its gauges before any comes again; Cirq's own for infinitely many."""
    selector = known.gauge_selector
    if not isinstance(selector, GaugeSelector) or not all(isinstance(gauge, ConstantGauge) for gauge in selector.gauges):
        return selector
    count = len(selector.gauges)
    choices = np.tile(np.arange(count), (gates, -(-twirls // count), 1))
    shuffled = rng.permuted(choices, axis=2).reshape(gates, -1)[:, :twirls]
    order = iter([*shuffled[:, 0], *shuffled.T.reshape(-1)])  # Cirq calls the selector once per gate before the twirls
    return lambda _: selector.gauges[next(order)]
