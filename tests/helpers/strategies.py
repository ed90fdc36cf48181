"""Random models with circuits other than the ansatz, and random amplitudes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cirq
import numpy as np
import oracle
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.models.model import Model

Array = NDArray[Any]

_RNG = np.random.RandomState(0)
REAL_GATES: dict[cirq.Gate, int] = {cirq.H: 1, cirq.ry(0.7): 1, cirq.X: 1, cirq.CNOT: 2, cirq.SWAP: 2, cirq.CCX: 3}
GATES: dict[cirq.Gate, int] = {
    **REAL_GATES,
    cirq.T: 1,
    cirq.Y**0.3: 1,
    cirq.PhasedXPowGate(phase_exponent=0.2, exponent=0.7): 1,
    cirq.CNOT**0.4: 2,
    cirq.CZ**0.6: 2,
    cirq.ISWAP: 2,
    cirq.ISWAP**-0.3: 2,
    cirq.FSimGate(0.3, 0.7): 2,
    cirq.MatrixGate(cirq.testing.random_unitary(4, random_state=_RNG)): 2,
    cirq.CCZ**0.2: 3,
    cirq.CSWAP: 3,
    cirq.MatrixGate(cirq.testing.random_unitary(8, random_state=_RNG)): 3,
    cirq.X.controlled(3): 4,
}
WIDE_GATES: list[cirq.Gate] = [
    cirq.Y.controlled(4),
    cirq.QuantumFourierTransformGate(5),
    cirq.MatrixGate(cirq.testing.random_unitary(32, random_state=_RNG)),
]


@dataclass(frozen=True)
class Case:
    """A circuit and an observable, as a model and as its oracle."""

    circuit: cirq.Circuit
    qubits: Sequence[cirq.Qid]
    observable: cirq.PauliSum

    @property
    def features(self) -> int:
        return int(2 ** len(self.qubits))

    @property
    def model(self) -> Model:
        """A new model, which has computed nothing yet."""
        return Model(self.circuit, self.qubits, self.observable)

    @cached_property
    def kept_model(self) -> Model:
        """The same model each time, whose light cones are found once."""
        return self.model

    @cached_property
    def _unitary(self) -> Array:
        return oracle.unitary(self.circuit, self.qubits)

    def matrices(self, observables: Sequence[oracle.Observable] | None = None) -> list[Array]:
        u = self._unitary
        chosen = [self.observable] if observables is None else observables
        return [u.conj().T @ oracle.pauli_matrix(o, self.qubits) @ u for o in chosen]

    def oracle(
        self,
        form: str = "quadratic",
        head: oracle.Head = oracle.identity,
        observables: Sequence[oracle.Observable] | None = None,
    ) -> oracle.Oracle:
        return oracle.Oracle(self.matrices(observables), form, head)


def random_circuit(qubits: Sequence[cirq.Qid], rng: np.random.Generator, gates: dict[cirq.Gate, int]) -> cirq.Circuit:
    """Return gates of the domain, also inside a repeated CircuitOperation, and a global phase."""
    domain = {gate: arity for gate, arity in gates.items() if arity <= len(qubits)}

    def part(moments: int) -> cirq.Circuit:
        seed = int(rng.integers(2**31))
        return cirq.Circuit(cirq.testing.random_circuit(list(qubits), moments, 0.9, domain, random_state=seed))

    circuit = part(2 * len(qubits) + 2)
    circuit.append(cirq.CircuitOperation(part(2).freeze(), repetitions=2))
    if gates is not REAL_GATES:
        circuit.append(cirq.global_phase_operation(np.exp(1j * rng.uniform(0, 6))))
        if len(qubits) >= 5:
            wide = WIDE_GATES[rng.integers(len(WIDE_GATES))]
            circuit.append(wide(*(qubits[i] for i in rng.permutation(len(qubits))[:5])))
    circuit.append(part(2))
    return circuit


def random_observable(qubits: Sequence[cirq.Qid], rng: np.random.Generator, *, identity: bool = False) -> cirq.PauliSum:
    """Return one to four Pauli strings, with or without an identity part."""
    total = cirq.PauliSum()
    for _ in range(rng.integers(1, 5)):
        letters = {q: p for q in qubits if (p := [cirq.X, cirq.Y, cirq.Z, None][rng.integers(4)]) is not None}
        total += rng.uniform(0.2, 1) * cirq.PauliString(letters or {qubits[0]: cirq.Z})
    return total + 0.7 if identity else total


def random_case(n_qubits: int, seed: int, *, identity: bool = False) -> Case:
    """Return a model on shuffled qubits; every third has real gates only."""
    rng = np.random.default_rng(seed)
    qubits = [cirq.LineQubit(int(i)) for i in rng.permutation(n_qubits)]
    circuit = random_circuit(qubits, rng, REAL_GATES if seed % 3 == 0 else GATES)
    return Case(circuit, qubits, random_observable(qubits, rng, identity=identity))


def amplitudes(rng: np.random.Generator, *shape: int, imaginary: bool = False) -> Array:
    """Return rows of a norm between about 0.1 and 10, the same for all rows."""
    x = rng.normal(size=shape) + (1j * rng.normal(size=shape) if imaginary else 0)
    return np.asarray(x * 10 ** rng.uniform(-1, 1) / np.sqrt(shape[-1]))


def cases(most_qubits: int = 6, least_qubits: int = 1) -> st.SearchStrategy[Case]:
    return st.builds(random_case, st.integers(least_qubits, most_qubits), st.integers(0, 2**31 - 1))


generators = st.builds(np.random.default_rng, st.integers(0, 2**31 - 1))


def assert_close(actual: ArrayLike, expected: ArrayLike, tolerance: float = 1e-12, scale: float | None = None) -> None:
    """Check that shapes are equal, and values up to the tolerance times `scale`, by default the largest expected value."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    size = float(np.max(np.abs(expected), initial=0)) if scale is None else scale
    error = float(np.max(np.abs(actual - expected), initial=0))
    assert error <= tolerance * size, f"error {error:.2e} exceeds {tolerance:.0e} x {size:.2e}"


KINDS = ("zero", "constant", "vector", "per sample", "set")


def references(kind: str, rng: np.random.Generator, xs: Array, imaginary: bool) -> tuple[Any, list[Array]]:
    """Return a baseline of a kind, of the size of the inputs, and the arrays that it stands for."""

    def like(*shape: int) -> Array:
        b = amplitudes(rng, *shape, xs.shape[-1], imaginary=imaginary)
        return np.asarray(b * np.abs(xs).max() / np.abs(b).max())

    if kind in ("zero", "constant"):
        number = 0.0 if kind == "zero" else 0.7 * float(np.abs(xs).max())
        return number, [np.full(xs.shape[-1], number)]
    if kind == "set":
        rows = like(3)
        return BaselineSet(rows), list(rows)
    array = like() if kind == "vector" else like(*xs.shape[:-1])
    return array, [array]


def assert_agrees(
    a: Attribution, judge: oracle.Oracle, bs: list[Array], tolerance: float = 1e-12, scale: float | None = None
) -> None:
    """Check values, both of their parts and both scores against the oracle, averaged over the baselines."""
    rows = a.x.reshape(-1, a.n_features)
    full = [np.broadcast_to(b, a.x.shape).reshape(rows.shape) for b in bs]
    pairs = [list(zip(rows, b, strict=True)) for b in full]
    rule = a.assumptions.rule
    real, imag = np.mean([[judge.integrated_gradients(x, b, rule) for x, b in p] for p in pairs], axis=0).swapaxes(0, 1)
    amplitude = max(np.abs(a.x).max(), *(np.abs(b).max() for b in bs))
    one_feature = amplitude**2 / (1 if judge.form == "quadratic" else np.sum(np.abs(rows) ** 2, axis=1).max())
    size = max(np.abs(real).max(), np.abs(imag).max(), one_feature) if scale is None else scale
    assert_close(a.values, (real + imag).reshape(a.x.shape), tolerance, size)
    assert_close(a.real_values, real.reshape(a.x.shape), tolerance, size)
    assert_close(np.zeros_like(a.values) if a.imag_values is None else a.imag_values, imag.reshape(a.x.shape), tolerance, size)
    assert (a.imag_values is None) == (not any(map(np.iscomplexobj, [a.x, *bs])))
    scores = [judge.score(rows), np.mean([judge.score(b) for b in full], axis=0)]
    most = max(np.abs(scores[0]).max(), np.abs(scores[1]).max(), size)
    assert_close(a.f_input, scores[0].reshape(a.x.shape[:-1]), tolerance, most)
    assert_close(a.f_baseline, scores[1].reshape(a.x.shape[:-1]), tolerance, most)


def clearance(xs: Array, bs: list[Array]) -> float:
    """Return the smallest distance of the paths from the origin, relative to the shortest input."""
    grid = np.linspace(0, 1, 101)
    paths = [b + np.multiply.outer(grid, xs - b) for b in bs]
    return float(min(np.linalg.norm(p, axis=-1).min() for p in paths) / np.linalg.norm(xs, axis=-1).min())
