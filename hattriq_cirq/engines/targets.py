"""Gate sets and devices by name: what circuits are compiled to when their cost is asked for."""

from __future__ import annotations

import cirq

GATESETS = ("cz", "sqrt_iswap", "sycamore")
DEVICES = ("willow_pink", "weber", "rainbow")


def gateset(name: str) -> cirq.CompilationTargetGateset:
    """The compilation target of a two-qubit gate, `cz`, `sqrt_iswap` or `sycamore`.

    Raises:
        ValueError: another name.
    """
    if name == "cz":
        return cirq.CZTargetGateset()
    if name == "sqrt_iswap":
        return cirq.SqrtIswapTargetGateset()
    if name == "sycamore":
        from cirq_google import SycamoreTargetGateset

        return SycamoreTargetGateset()
    raise ValueError(f"gateset={name!r} must be one of {', '.join(GATESETS)}")


def device_graph(name: str) -> object:
    """The coupling graph (networkx) of a Google processor known to cirq_google, such as `willow_pink`.

    Raises:
        ValueError: another name.
    """
    if name not in DEVICES:
        raise ValueError(f"device={name!r} must be one of {', '.join(DEVICES)}")
    from cirq_google.engine import create_device_from_processor_id

    metadata = create_device_from_processor_id(name).metadata
    assert metadata is not None
    return metadata.nx_graph
