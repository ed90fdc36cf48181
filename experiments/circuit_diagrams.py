"""Markdown page of every estimator's circuit for two data qubits, drawn from the code that builds them.

Run `python -m experiments.circuit_diagrams > docs/circuits.md`; a test compares the page with this output.
"""

from __future__ import annotations

import cirq
import numpy as np

import hattriq_cirq as hq
from hattriq_cirq.estimators import BilinearTerm, Estimator, plan

SECTIONS: tuple[tuple[str, str, Estimator, bool], ...] = (
    (
        "Resolved Hadamard test, zero baseline",
        "One circuit for all four attributions: the preparation is an H on the ancilla and V(x) on the data qubits, and\n"
        "only the observable's Z is controlled. Outcome (a, k) counts +1 or -1 towards feature k.",
        hq.ResolvedHadamardTest(),
        False,
    ),
    (
        "Resolved Hadamard test, another baseline",
        "The ancilla selects x - b or x + b, which are prepared together as one vector of twice the size.",
        hq.ResolvedHadamardTest(),
        True,
    ),
    (
        "Hadamard test",
        "One circuit per component, here k = 3: the ancilla selects x or |k>; U is neither controlled nor inverted.",
        hq.HadamardTest(),
        False,
    ),
    (
        "Hadamard test, literal",
        "The paper's circuit, here for k = 3: the ancilla controls every gate of V(x), U, Z and U', and only it is measured.",
        hq.HadamardTest(literal=True),
        False,
    ),
    (
        "Ancilla-parallel Hadamard test, m = 2",
        "Three components from this circuit and a second one with -x; the first pair estimates k = 1, 2, 3.",
        hq.ParallelHadamardTest(2),
        False,
    ),
    (
        "Polarization shift",
        "Two circuits per component, without an ancilla; this one shifts x along k = 3 in one direction.",
        hq.PolarizationShift(),
        False,
    ),
)


def example() -> tuple[hq.Model, np.ndarray, np.ndarray]:
    """Return a model of two qubits and one layer, an input, and a baseline that is not zero."""
    model = hq.ring_ansatz(2, 1)
    angles = {name: round(0.2 * (i + 1), 1) for i, name in enumerate(model.params)}
    return model.with_params(angles), np.array([0.1, 0.7, 0.5, 0.5]), np.array([0.5, 0.5, 0.5, 0.5])


def page() -> str:
    """Return the page as Markdown."""
    model, x, baseline = example()
    parts = [
        "# The circuits\n",
        "Drawn from code by `python -m experiments.circuit_diagrams` for two data qubits (0 and 1), a ring model of one\n"
        "layer, the observable Z on qubit 0 and the input (0.1, 0.7, 0.5, 0.5). They are logical circuits, before\n"
        "compilation and routing.\n",
        "The model's circuit U:\n",
        _block(model.resolved_circuit),
    ]
    for title, words, estimator, shifted in SECTIONS:
        b = baseline if shifted else np.zeros(4)
        readings = plan(estimator, model, [BilinearTerm(x - b, x + b)]).circuits
        per_component = isinstance(estimator, hq.HadamardTest | hq.PolarizationShift)
        parts += [f"## {title}\n", f"{words}\n", _block(readings[-1 if per_component else 0].circuit)]
    return "\n".join(parts)


def _block(circuit: cirq.AbstractCircuit) -> str:
    return f"```text\n{circuit.to_text_diagram(precision=2)}\n```\n"


if __name__ == "__main__":
    print(page(), end="")
