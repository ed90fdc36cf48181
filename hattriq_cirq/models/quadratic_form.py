"""The quadratic form F(x) = x' M x: the one property of a model that attribution and faithfulness need."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.foundation.arrays import (
    Array,
    FloatArray,
    binary_exponents,
    rescaled,
    times_power_of_2,
)
from hattriq_cirq.foundation.checks import ArgumentTypeError, shown
from hattriq_cirq.models.model import Model, model_inputs
from hattriq_cirq.simulation.statevector import Precision


class QuadraticForm(Protocol):
    """F(x) = x' M x for a Hermitian matrix M, accessed only through the product M x.

    `Model` is a quadratic form, and so is every class with these three members.

    Example:
        >>> import numpy as np
        >>> from hattriq_cirq import integrated_gradients
        >>> class DiagonalForm:
        ...     n_features, identity_part = 2, 0.0
        ...     def observable_action(self, x):
        ...         return np.array([1, -1]) * x
        >>> integrated_gradients(DiagonalForm(), [0.6, 0.8], baseline=0).values.round(2)
        array([ 0.36, -0.64])
    """

    @property
    def n_features(self) -> int:
        """Number of features N of an input."""

    @property
    def identity_part(self) -> float:
        """Identity part of M, tr(M) / N."""

    def observable_action(self, x: ArrayLike) -> Array:
        """Return M x for a batch of inputs, (..., features)."""


def check_quadratic_form(model: object) -> None:
    """Raise ArgumentTypeError unless an object is a quadratic form."""
    if isinstance(model, type) or not (hasattr(model, "n_features") and hasattr(model, "observable_action")):
        raise ArgumentTypeError(f"model={shown(model)} must be a Model or another QuadraticForm")


def observable_action(
    model: QuadraticForm, x: Array, *, real_part: bool = False, precision: Precision = "float64", announced: bool = False
) -> Array:
    """Return M x, or its real part, which is all that real inputs need and which a `Model` computes faster.

    Args:
        model: Quadratic form with matrix M.
        x: Amplitudes that `model_inputs` has checked, (..., features).
        real_part: Return Re(M x).
        precision: `float64`, or `float32` for a `Model`.
        announced: The number of inputs was announced to the `Model`.

    Returns:
        M x, (..., features).

    Raises:
        ValueError: The precision is `float32` and the form is not a `Model`.
    """
    if isinstance(model, Model):
        if not announced:
            model.announce(x.size // model.n_features, real=real_part and not np.iscomplexobj(x))
        return model.action_of_amplitudes(x, real_part=real_part, precision=precision)
    if precision != "float64":
        raise ValueError(f"{precision=} needs a Model, not {type(model).__name__}; use precision='float64'")
    acted = model.observable_action(x)
    return acted.real if real_part else acted


def quadratic_value(model: QuadraticForm, x: ArrayLike) -> FloatArray:
    """Return F(x) = Re x' M x.

    Args:
        model: Quadratic form with matrix M.
        x: Inputs, (..., features), real or complex.

    Returns:
        One number per input, (...,).

    Example:
        >>> import cirq
        >>> from hattriq_cirq import Model
        >>> qubit = cirq.LineQubit(0)
        >>> float(quadratic_value(Model(cirq.Circuit(), [qubit], cirq.Z(qubit)), [1.0, 2.0]))
        -3.0
    """
    x = model_inputs(model, x)
    exponents = binary_exponents(x)
    scaled = times_power_of_2(x, -exponents)
    acted = observable_action(model, scaled, real_part=not np.iscomplexobj(x))
    values: FloatArray = np.einsum("...k,...k->...", scaled.conj(), acted).real
    return rescaled(values, 2 * exponents[..., 0], "F(x) of an input")


def observable_name(model: QuadraticForm) -> str:
    """Return the observable of a model as text with all digits, or the type of another quadratic form."""
    return model.observable_text if isinstance(model, Model) else type(model).__name__


def matrix_of(model: QuadraticForm) -> Array:
    """Return M of a quadratic form, (features, features); a `Model` builds it once and keeps it.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> matrix_of(ring_ansatz(1, 0)) + 0
        array([[ 1.,  0.],
               [ 0., -1.]])
    """
    if isinstance(model, Model):
        return model.matrix
    return np.ascontiguousarray(observable_action(model, np.eye(model.n_features)).T)
