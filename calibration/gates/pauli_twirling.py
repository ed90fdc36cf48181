"""Random gauges of two-qubit gates: circuits that compute the same while their coherent errors point in random directions."""

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

from calibration.gates.folding import measured_last, parted
from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.circuits.program import Point, points_of

_Items = tuple[tuple[tuple[str, float], ...], ...]
_TRANSFORMERS = (CZGaugeTransformer, SqrtISWAPGaugeTransformer, ISWAPGaugeTransformer, SqrtCZGaugeTransformer)


def twirled(
    circuit: cirq.FrozenCircuit, points: Sequence[Point], twirls: int, seed: tuple[int, ...]
) -> tuple[cirq.FrozenCircuit, list[Point]]:
    """One circuit whose points are the given ones in every gauge.

    Args:
        circuit: compiled, with a symbol for every name in a point.
        points: of the sweep.
        twirls: gauges; over as many as a gate has, 16 for CZ, each gate meets each of them once, so that what its coherent
            error does in first order cancels and not only averages out.
        seed: of the gauges.

    Returns:
        The circuit, in PhasedXZ with symbols and two-qubit gates as they were, and its points, those of a twirl together.

    Raises:
        CircuitRefusedError: Cirq has no gauge for a two-qubit gate of it.
    """
    made, found = _merged(circuit, tuple(tuple(sorted(point.items())) for point in points), twirls, seed)
    return made, [dict(point) for point in found]


@lru_cache(maxsize=16)  # the same circuits are run again with other shots, and it takes a tenth of a second a point
def _merged(
    circuit: cirq.FrozenCircuit, points: _Items, twirls: int, seed: tuple[int, ...]
) -> tuple[cirq.FrozenCircuit, _Items]:
    """What `twirled` does: Cirq's gauges as a sweep, merged into the gates on one qubit."""
    rng = np.random.default_rng(seed)
    given = {name: f"given_{name}" for point in points[:1] for name, _ in point}
    body, measurement = parted(cirq.resolve_parameters(circuit, {a: sympy.Symbol(b) for a, b in given.items()}))
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
    found = tuple(tuple(point.items()) for point in points_of(sweep))
    return measured_last(cirq.drop_empty_moments(merged), measurement), found


def _transformer(body: cirq.AbstractCircuit, twirls: int, rng: np.random.Generator) -> GaugeTransformer | None:
    """Cirq's transformer for the two-qubit gates of a circuit; None if it has none."""
    gates = [op for op in body.all_operations() if len(op.qubits) > 1]
    if not gates:
        return None
    for known in _TRANSFORMERS:
        if all(op in known.target for op in gates):
            return GaugeTransformer(known.target, _dealt(known, len(gates), twirls, rng), known.two_qubit_gate_symbolizer)
    kinds = sorted({str(op.gate) for op in gates})
    raise CircuitRefusedError(
        f"Cirq has no gauge that suits all two-qubit gates of a circuit, {', '.join(kinds)}; compile for one kind of gate, "
        "such as gateset='cz', or leave twirling out"
    )


def _dealt(
    known: GaugeTransformer, gates: int, twirls: int, rng: np.random.Generator
) -> Callable[[np.random.Generator], Gauge]:
    """Deals gauges to gates like cards: none comes back to a gate before it had all; where they are infinite, as Cirq does."""
    selector = known.gauge_selector
    if not isinstance(selector, GaugeSelector) or not all(isinstance(gauge, ConstantGauge) for gauge in selector.gauges):
        return selector
    count = len(selector.gauges)
    cards = np.tile(np.arange(count), (gates, -(-twirls // count), 1))
    hands = rng.permuted(cards, axis=2).reshape(gates, -1)[:, :twirls]
    order = iter([*hands[:, 0], *hands.T.reshape(-1)])  # each gate is looked at once before the twirls are filled in
    return lambda _: selector.gauges[next(order)]
