"""A dense model that shares no code with the package: whole matrices, and sums written exactly as in their definitions.

Gradients by complex amplitudes c + i d are stored as the complex numbers df/dc + i df/dd.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations, pairwise
from math import factorial
from typing import Any

import cirq
import numpy as np
from numpy.typing import NDArray
from scipy.special import roots_legendre

Array = NDArray[Any]
Observable = cirq.PauliSum | cirq.PauliString[cirq.Qid]
Head = Callable[[Array], Array]  # (..., observables) expectations to (...) scores; analytic


def pauli_matrix(observable: Observable, qubits: Sequence[cirq.Qid]) -> Array:
    """Return the observable as Kronecker products, the first qubit leftmost."""
    terms = [observable] if isinstance(observable, cirq.PauliString) else list(observable)
    total = np.zeros((2 ** len(qubits),) * 2, dtype=np.complex128)
    for term in terms:
        factors = [cirq.unitary(term[q]) if q in term else np.eye(2) for q in qubits]
        total += term.coefficient * reduce(np.kron, factors)
    return total


def unitary(circuit: cirq.AbstractCircuit, qubits: Sequence[cirq.Qid]) -> Array:
    """Return the circuit as one matrix, computed by Cirq."""
    return circuit.unitary(qubit_order=qubits, qubits_that_should_be_present=qubits)


#: Outcomes under each key in the order of their measurements, as tuples of digits.
Record = Mapping[str, tuple[tuple[int, ...], ...]]


def channel_matrix(
    circuit: cirq.AbstractCircuit,
    qubits: Sequence[cirq.Qid],
    observable: Array,
    weight: Callable[[Record], float] = lambda record: 1.0,
) -> Array:
    """Return M = sum_r f(r) K_r' O K_r of a circuit with measurements, feed-forward, resets and noise.

    A superoperator sum K (x) K* is kept for each record of outcomes, so that every branch is followed by its definition.
    """
    size = 2 ** len(qubits)
    branches: dict[tuple[tuple[str, tuple[tuple[int, ...], ...]], ...], Array] = {(): np.eye(size**2, dtype=np.complex128)}
    for operation in cirq.unroll_circuit_op(circuit, deep=True, tags_to_check=None).all_operations():
        conditions, bare = operation.classical_controls, operation.without_classical_controls().untagged
        parts = cirq.decompose_once(bare) if isinstance(bare.gate, cirq.PauliMeasurementGate) else [bare]
        for part in parts:
            after: dict[Any, Array] = {}
            for key, whole in branches.items():
                if all(_holds(condition, dict(key)) for condition in conditions):
                    for digits, kraus in _outcomes(part):
                        wide = [_wide(k, part.qubits, qubits) for k in kraus]
                        moved = sum(np.kron(k, k.conj()) for k in wide) @ whole
                        name = cirq.measurement_key_name(part, None)
                        record = dict(key)
                        if name is not None:
                            record[name] = (*record.get(name, ()), digits)
                        new = tuple(sorted(record.items()))
                        after[new] = after.get(new, 0) + moved
                else:
                    after[key] = after.get(key, 0) + whole
            branches = after
    total = sum(weight(dict(key)) * whole for key, whole in branches.items())
    images = np.asarray(total).T.reshape(size, size, size, size)  # [j, k] is E(|j><k|)
    return np.asarray(np.einsum("ab,jkba->kj", observable, images))


def _holds(condition: cirq.Condition, record: Record) -> bool:
    """Evaluate a condition on plain numbers, by what each kind of condition says."""

    def number(key: cirq.MeasurementKey, index: int = -1) -> int:
        return int("".join(map(str, record[str(key)][index])), 2)

    if isinstance(condition, cirq.KeyCondition):
        return number(condition.key, condition.index) != 0
    if isinstance(condition, cirq.BitMaskKeyCondition):
        value = number(condition.key, condition.index) & (-1 if condition.bitmask is None else condition.bitmask)
        return (value == condition.target_value) == condition.equal_target
    assert isinstance(condition, cirq.SympyCondition)
    return bool(condition.expr.subs({str(key): number(key) for key in condition.keys}))


def _outcomes(operation: cirq.Operation) -> list[tuple[tuple[int, ...], list[Array]]]:
    """Return the digits that an operation may record, each with its Kraus operators; one entry where it records nothing."""
    gate, k = operation.gate, len(operation.qubits)
    if not isinstance(gate, cirq.MeasurementGate):
        kraus = list(cirq.kraus(operation))
        if cirq.is_measurement(operation):
            bits = max(1, len(kraus) - 1).bit_length()
            return [(tuple(map(int, f"{i:0{bits}b}")), [each]) for i, each in enumerate(kraus)]
        return [((), kraus)]
    outcomes: dict[tuple[int, ...], list[Array]] = {}
    for true in range(2**k):
        for observed in range(2**k):
            probability, digits = 1.0, list(map(int, f"{true:0{k}b}"))
            wanted = list(map(int, f"{observed:0{k}b}"))
            covered = {p for positions in gate.confusion_map for p in positions}
            for positions, confusion in gate.confusion_map.items():
                before, seen = (int("".join(str(d[p]) for p in positions), 2) for d in (digits, wanted))
                probability *= confusion[before, seen]
            probability *= all(digits[p] == wanted[p] for p in range(k) if p not in covered)
            if probability:
                flipped = tuple(w ^ f for w, f in zip(wanted, gate.full_invert_mask(), strict=True))
                projector = np.diag(np.eye(2**k)[true]) * np.sqrt(probability)
                outcomes.setdefault(flipped, []).append(projector)
    return list(outcomes.items())


def _wide(matrix: Array, on: Sequence[cirq.Qid], qubits: Sequence[cirq.Qid]) -> Array:
    """Return a matrix on some qubits as one on all, by the basis states that it moves."""
    n, positions = len(qubits), [list(qubits).index(q) for q in on]
    wide = np.zeros((2**n, 2**n), dtype=np.complex128)
    for column in range(2**n):
        bits = list(map(int, f"{column:0{n}b}"))
        inside = int("".join(str(bits[p]) for p in positions) or "0", 2)
        for row in range(len(matrix)):
            after = list(bits)
            for p, bit in zip(positions, f"{row:0{len(positions)}b}" if positions else "", strict=True):
                after[p] = int(bit)
            wide[int("".join(map(str, after)), 2), column] += matrix[row, inside]
    return wide


def distribution(circuit: cirq.AbstractCircuit) -> Array:
    """Return the distribution by Cirq's own simulator, in the measured order."""
    *_, measurement = circuit.all_operations()
    register = [*measurement.qubits, *sorted(circuit.all_qubits() - set(measurement.qubits))]
    state = cirq.Simulator(dtype=np.complex128).simulate(circuit[:-1], qubit_order=register).final_state_vector
    return np.asarray((np.abs(state) ** 2).reshape(2 ** len(measurement.qubits), -1).sum(axis=1))


def identity(z: Array) -> Array:
    return z[..., 0]


def sigmoid(scale: float) -> Head:
    return lambda z: 1 / (1 + np.exp(-scale * z[..., 0]))


def tanh(scale: float) -> Head:
    return lambda z: np.tanh(scale * z[..., 0])


def softmax(scale: float, target: int) -> Head:
    return lambda z: np.exp(scale * z[..., target]) / np.exp(scale * z).sum(axis=-1)


@dataclass(frozen=True)
class Oracle:
    """The score head(z), with z_j = <p|M_j|p>, divided by <p|p> in the normalized form."""

    matrices: Sequence[Array]
    form: str = "quadratic"
    head: Head = identity

    def norm(self, p: Array) -> Array:
        """Return the divisor of the quadratic forms, (...,)."""
        return np.asarray(np.sum(np.abs(p) ** 2, axis=-1) if self.form == "normalized" else np.ones(p.shape[:-1]))

    def expectations(self, p: Array) -> Array:
        """Return z of points (..., features), (..., observables)."""
        forms = [np.sum(p.conj() * (p @ m.T), axis=-1).real / self.norm(p) for m in self.matrices]
        return np.stack(forms, axis=-1)

    def score(self, p: Array) -> Array:
        return self.head(self.expectations(p))

    def gradient(self, p: Array) -> Array:
        """Return the gradient at points (..., features); that of the head by complex steps, which have no rounding error."""
        z, total = self.expectations(p), np.zeros(p.shape, dtype=np.complex128)
        for j, matrix in enumerate(self.matrices):
            by_z = self.head(z + 1e-30j * np.eye(len(self.matrices))[j]).imag / 1e-30
            pull = z[..., [j]] * p if self.form == "normalized" else 0
            total += (by_z / self.norm(p))[..., np.newaxis] * 2 * (p @ matrix.T - pull)
        return total

    def integrated_gradients(self, x: Array, b: Array, rule: str = "exact") -> tuple[Array, Array]:
        """Return the shares of real and of imaginary parts of one input, both (features,)."""
        d = x - b

        def along(a: Any) -> Array:
            return self.gradient(b + np.multiply.outer(a, d))

        name, _, count = rule.partition(":")
        if name == "exact":
            closest = -np.vdot(d, b).real / max(np.vdot(d, d).real, 1e-300)
            mean = integral(along, closest)
        else:
            mean = STEP_BY_STEP[name](along, int(count))
        return d.real * mean.real, d.imag * mean.imag

    def shapley(self, x: Array, b: Array) -> Array:
        """Return the Shapley values of the game "x on S, b off S", by all coalitions."""
        n = len(x)

        def value_of(members: tuple[int, ...]) -> float:
            return float(self.score(np.where(np.isin(np.arange(n), members), x, b)))

        values = np.zeros(n)
        for k in range(n):
            others = [i for i in range(n) if i != k]
            for size in range(n):
                weight = factorial(size) * factorial(n - 1 - size) / factorial(n)
                values[k] += sum(weight * (value_of((*s, k)) - value_of(s)) for s in combinations(others, size))
        return values

    def occlusion(self, x: Array, b: Array) -> Array:
        """Return the decrease of the score when one feature alone is set to the baseline."""
        features = range(len(x))
        return np.array([self.score(x) - self.score(np.where(np.arange(len(x)) == k, b, x)) for k in features])


def riemann(f: Callable[[float], Array], steps: int) -> Array:
    return np.asarray(sum(f(k / steps) for k in range(1, steps + 1))) / steps


def midpoint(f: Callable[[float], Array], steps: int) -> Array:
    return np.asarray(sum(f((k - 0.5) / steps) for k in range(1, steps + 1))) / steps


def trapezoid(f: Callable[[float], Array], steps: int) -> Array:
    return np.asarray(sum((f((k - 1) / steps) + f(k / steps)) / 2 for k in range(1, steps + 1))) / steps


def gauss_legendre(f: Callable[[float], Array], nodes: int) -> Array:
    return np.asarray(sum(w / 2 * f((t + 1) / 2) for t, w in zip(*roots_legendre(nodes), strict=True)))


STEP_BY_STEP = {"riemann": riemann, "midpoint": midpoint, "trapezoid": trapezoid, "gauss-legendre": gauss_legendre}


def integral(f: Callable[[Array], Array], sharpest: float) -> Array:
    """Integrate by composite Gauss-Legendre over [0, 1], with panels halved towards the point where f may peak."""
    halving = 0.5 ** np.arange(32)
    edges = np.concatenate([np.linspace(0, 1, 17), [sharpest], sharpest - halving, sharpest + halving])
    nodes, weights = roots_legendre(20)
    panels = pairwise(np.unique(np.clip(edges, 0, 1)))
    return np.asarray(sum((end - start) / 2 * (weights @ f(start + (end - start) * (nodes + 1) / 2)) for start, end in panels))


def finite_difference(f: Callable[[Array], Array], at: Array, step: float = 1e-5) -> Array:
    """Return central differences of a function of a real vector, (..., len(at)) for values (...,)."""
    return np.stack([(f(at + step * e) - f(at - step * e)) / (2 * step) for e in np.eye(len(at))], axis=-1)


def parameter_shift(
    circuit: cirq.AbstractCircuit, params: Mapping[str, float], value: Callable[[cirq.Circuit], Array]
) -> Array:
    """Return the derivative of an expectation by each parameter, (..., params), from shifted circuits only.

    Each gate is a power of a gate whose eigenvalue gaps are at most two multiples of half a turn, so that four shifts of its
    exponent give the exact derivative by it (Wierichs et al. 2022, equidistant frequencies); the chain rule does the rest.
    """
    operations = cirq.decompose(circuit, keep=lambda op: isinstance(op.gate, cirq.EigenGate) or not cirq.is_parameterized(op))
    result: list[Array] = [np.zeros(())] * len(params)
    bound = [cirq.resolve_parameters(op, dict(params)) for op in operations]
    for i, operation in enumerate(operations):
        if cirq.is_parameterized(operation):
            by_exponent, before = _shifted_sum(bound, i, value), _exponent(operation, params)
            for j, name in enumerate(params):
                slope = _exponent(operation, {**params, name: params[name] + 1}) - before
                result[j] = result[j] + slope * by_exponent
    return np.stack(result, axis=-1)


def _shifted_sum(operations: Sequence[cirq.Operation], i: int, value: Callable[[cirq.Circuit], Array]) -> Array:
    total, exponent = np.zeros(()), _exponent(operations[i], {})
    for mu in range(1, 5):
        shifted = operations[i] ** ((exponent + mu - 0.5) / exponent)
        weight = np.pi / 2 * (-1) ** (mu - 1) / (8 * np.sin((2 * mu - 1) * np.pi / 8) ** 2)
        total = total + weight * value(cirq.Circuit(*operations[:i], shifted, *operations[i + 1 :]))
    return total


def _exponent(operation: cirq.Operation, params: Mapping[str, float]) -> float:
    gate = cirq.resolve_parameters(operation, dict(params)).gate
    assert isinstance(gate, cirq.EigenGate)
    return float(gate.exponent)
