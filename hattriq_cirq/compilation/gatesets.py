"""Gate sets and processors by name, and compilation to a gate set on a free graph."""

from __future__ import annotations

import cirq

from hattriq_cirq.compilation.circuit_stack import CircuitStack
from hattriq_cirq.compilation.native import compile_stack

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


def gateset_name(gateset: cirq.CompilationTargetGateset) -> str:
    """Return the name of a gate set's two-qubit gate: cz, sqrt_iswap or sycamore."""
    kinds = dict(zip(GATESETS, (cirq.CZTargetGateset, cirq.SqrtIswapTargetGateset, object), strict=True))
    return next(name for name, kind in kinds.items() if isinstance(gateset, kind))


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
    (program,) = compile_stack(CircuitStack.of([circuit]), gateset_name(target))
    return program.circuit
