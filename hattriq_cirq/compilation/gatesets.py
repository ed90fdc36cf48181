"""Gate sets by name: what circuits are compiled to when their cost is asked for. Processors by name are in `processor`."""

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


def compile_to_gateset(circuit: cirq.AbstractCircuit, target: cirq.CompilationTargetGateset) -> cirq.AbstractCircuit:
    """Compile a circuit to a gate set on a free graph.

    Args:
        circuit: Circuit to compile.
        target: Gate set, such as `gateset("cz")`.

    Returns:
        The compiled circuit.

    Raises:
        ValueError: An operation cannot be compiled.
    """
    return cirq.optimize_for_target_gateset(circuit, gateset=target, ignore_failures=False)
