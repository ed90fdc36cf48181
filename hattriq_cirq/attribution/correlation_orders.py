"""Correlation orders: how much of the score a model owes to correlations of one, two, ... qubits of its input.

M = sum_P m_P P over Pauli strings, so that F(x) = sum_P m_P <P>_x. The strings that act on w qubits contribute F_w, what the
answer owes to the joint state of w qubits; sum_w F_w = F. With every <P> replaced by the product of the averages of its qubits,
F becomes the answer to an input without correlations between qubits: the product state with the same one-qubit averages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.measured_errors import notes_of
from hattriq_cirq.foundation.arrays import Array, FloatArray, normal_interval, rescaled, scaling_exponents, times_power_of_2
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.learned import LearnedModel
from hattriq_cirq.models.model import model_inputs
from hattriq_cirq.models.pauli_strings import PauliStrings
from hattriq_cirq.models.quadratic_form import QuadraticForm, check_quadratic_form, matrix_of

_QUBITS_MAX = 10  # of a form whose strings are not known: there are 4**n
_CHUNK = 2**24  # expectations that are kept at once


@dataclass(frozen=True, eq=False)
class CorrelationOrders(Frozen):
    """Scores by the number of qubits that their Pauli strings act on, of one input or a batch; all arrays are read-only.

    Args:
        by_weight: F_w, the part of F(x) that strings on w qubits contribute, w = 0 .. n, (..., n + 1); w = 0 is the identity
            part of M.
        product: F of the product state with the input's one-qubit averages and its norm, (...,).
        by_weight_stderr: Standard error of each part, (..., n + 1); 0 for an exact model.
        product_stderr: Standard error of `product`, (...,).
        systematic: Standard deviation of what a common damping and strings that were left out may leave in each part,
            (..., n + 1); None where nothing is known of it.
        notes: Findings about the errors, one sentence each.

    Example:
        >>> import cirq
        >>> import hattriq_cirq as hq
        >>> both = cirq.Z(cirq.q(0)) * cirq.Z(cirq.q(1))
        >>> orders = hq.correlation_orders(hq.ring_ansatz(2, layers=0, observable=both), [0.6, 0.0, 0.0, 0.8])
        >>> orders.by_weight.round(2) + 0, float(orders.product.round(4))
        (array([0., 0., 1.]), 0.0784)
    """

    by_weight: FloatArray
    product: FloatArray
    by_weight_stderr: FloatArray
    product_stderr: FloatArray
    systematic: FloatArray | None = None
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> FloatArray:
        """The score F(x), the sum over weights, (...,)."""
        return np.asarray(self.by_weight.sum(axis=-1))

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Return the low and high ends of the interval of each part, (..., n + 1).

        Args:
            level: Probability that an interval holds the exact part, between 0 and 1.
        """
        return normal_interval(self.by_weight, self.by_weight_stderr, level, None, self.systematic)

    def __repr__(self) -> str:
        of = quantity(self.product.size, "input") if self.product.ndim else "one input"
        return f"CorrelationOrders of {of}: parts of the score from 0 to {self.by_weight.shape[-1] - 1} qubits"


@with_numpy_defaults
def correlation_orders(model: QuadraticForm, x: ArrayLike) -> CorrelationOrders:
    """Split F(x) by the number of qubits that Pauli strings act on, and compute F of the uncorrelated input.

    This answers what entanglement and classical correlations between the qubits of the input contribute to the answer. A model
    whose product state gives the same answers needs none of them.

    Args:
        model: Quadratic form of up to 10 qubits, or a `LearnedModel` of any number.
        x: Input or batch of inputs, (..., features), real or complex, of any norm.

    Returns:
        The parts of the score and the score of the product state, with the errors of a learned model.

    Raises:
        ValueError: The input is invalid, or the model has too many qubits.

    Example:
        >>> import hattriq_cirq as hq
        >>> orders = hq.correlation_orders(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.8, 0.0])
        >>> orders.by_weight.round(2) + 0, float(orders.total.round(2)), float(orders.product.round(2))
        (array([ 0.  , -0.28,  0.  ]), -0.28, -0.28)
    """
    check_quadratic_form(model)
    inputs = model_inputs(model, x)
    model.observable_action(inputs.reshape(-1, model.n_features)[:1])  # a form says for itself if it cannot take such inputs
    exponents = scaling_exponents(inputs)
    rows = times_power_of_2(inputs, -exponents).reshape(-1, model.n_features)
    strings, coefficients = _strings(model, real=not np.iscomplexobj(rows))
    weights, n = strings.weights, strings.n_qubits
    shape = inputs.shape[:-1]
    by_weight, errors, left = (np.zeros((len(rows), n + 1)) for _ in range(3))
    product, product_error = np.zeros(len(rows)), np.zeros(len(rows))
    of_weight = (weights == np.arange(n + 1)[:, np.newaxis]).astype(float)
    step = max(1, _CHUNK // max(1, len(strings)))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        expectations = strings.expectations(rows[part])
        independent = _product_expectations(strings, rows[part])
        by_weight[part] = (expectations * coefficients) @ of_weight.T
        product[part] = independent @ coefficients
        if isinstance(model, LearnedModel):
            both = np.array([model.errors_of(of_weight * row) for row in expectations])
            errors[part], left[part] = both[:, 0], np.hypot(both[:, 1], model.left_out(by_weight[part]))
            product_error[part] = np.sqrt(model.variances(independent))
    identity = model.identity_part * np.sum(np.abs(rows) ** 2, axis=1)
    by_weight[:, 0] += identity

    def scaled(values: FloatArray, *axes: int) -> FloatArray:
        powers = 2 * exponents.reshape((*shape, *(1 for _ in axes)))
        return rescaled(values.reshape((*shape, *axes)), powers, "a part of F(x)")

    return CorrelationOrders(
        scaled(by_weight, n + 1),
        scaled(product + identity),
        scaled(errors, n + 1),
        scaled(product_error),
        scaled(left, n + 1) if left.any() else None,
        notes_of(model),
    )


def _strings(model: QuadraticForm, *, real: bool) -> tuple[PauliStrings, FloatArray]:
    """Return the Pauli strings of M without the identity, those that real inputs see if `real`, and their coefficients."""
    if isinstance(model, LearnedModel):
        return model.strings, model.coefficients
    n = (model.n_features - 1).bit_length()
    if n > _QUBITS_MAX:
        raise ValueError(f"M of {n} qubits has 4**{n} Pauli strings; correlation orders take at most {_QUBITS_MAX} qubits")
    strings = PauliStrings.every(n)
    if real:
        strings = strings.select(strings.is_real)
    return strings, strings.coefficients_of(matrix_of(model))


def _product_expectations(strings: PauliStrings, rows: Array) -> FloatArray:
    """Return |x|^2 times the product of the one-qubit averages of every string, (samples, strings)."""
    n = strings.n_qubits
    letters = [[letter if q == qubit else "I" for q in range(n)] for letter in "ZXY" for qubit in range(n)]
    single = PauliStrings.from_text(["".join(text) for text in letters])
    norms = np.sum(np.abs(rows) ** 2, axis=1)
    averages = single.expectations(rows) / np.where(norms > 0, norms, 1)[:, np.newaxis]
    by_letter = np.concatenate([np.ones((len(rows), 1, n)), averages.reshape(len(rows), 3, n)], axis=1)  # I, Z, X, Y
    values = np.repeat(norms[:, np.newaxis], len(strings), axis=1)
    for qubit in range(n):
        shift = n - 1 - qubit
        codes = 2 * (strings.x_masks >> shift & 1) + (strings.z_masks >> shift & 1)
        values *= by_letter[:, codes, qubit]
    return values
