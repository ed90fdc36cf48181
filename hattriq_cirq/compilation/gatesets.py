"""Gate sets and processors by name, and compilation to a gate set on a free graph."""

from __future__ import annotations

import cirq

GATESETS = ("cz", "sqrt_iswap", "sycamore")
PROCESSORS = ("willow_pink", "weber", "rainbow")


def gateset(name: str) -> cirq.CompilationTargetGateset:
    """Return the gate set of a two-qubit gate.

    Args:
        name: Name of the gate: `cz`, `sqrt_iswap` or `sycamore`.

    Returns:
        The gate set.

    Raises:
        ValueError: The name is unknown.

    Example:
        >>> gateset("cz")
        cirq.CZTargetGateset(atol=1e-08, allow_partial_czs=False, additional_gates=[])
    """
    if name == "cz":
        return cirq.CZTargetGateset()
    if name == "sqrt_iswap":
        return cirq.SqrtIswapTargetGateset()
    if name == "sycamore":
        from cirq_google import SycamoreTargetGateset

        return SycamoreTargetGateset()
    raise ValueError(f"gateset={name!r} must be one of {', '.join(GATESETS)}")


def native_gates(name: str) -> tuple[cirq.Gate, ...]:
    """Return the two-qubit gates of a gate set whose errors its calibrations state; the name is that of `gateset`.

    Example:
        >>> native_gates("cz")
        (cirq.CZ,)
    """
    if name == "cz":
        return (cirq.CZ,)
    if name == "sqrt_iswap":
        return (cirq.SQRT_ISWAP, cirq.SQRT_ISWAP_INV)
    from cirq_google import SYC

    return (SYC,)


def compile_to_gateset(circuit: cirq.AbstractCircuit, target: cirq.CompilationTargetGateset) -> cirq.AbstractCircuit:
    """Compile a circuit to a gate set on a free graph.

    Args:
        circuit: Circuit to compile.
        target: Gate set, such as `gateset("cz")`.

    Returns:
        The compiled circuit.

    Raises:
        ValueError: An operation cannot be compiled.

    Example:
        >>> circuit = cirq.Circuit(cirq.SWAP(*cirq.LineQubit.range(2)))
        >>> sum(len(op.qubits) == 2 for op in compile_to_gateset(circuit, gateset("cz")).all_operations())
        3
    """
    return cirq.optimize_for_target_gateset(circuit, gateset=target, ignore_failures=False)
