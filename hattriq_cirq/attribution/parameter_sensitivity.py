"""Sensitivity of attribution maps to the parameters of a circuit, and the errors that uncertain parameters cause."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.baselines import BaselineSet, resolve
from hattriq_cirq.foundation.arrays import Array, FloatArray, rescaled, scaling_exponents, times_power_of_2
from hattriq_cirq.foundation.checks import check_type
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.gradients import TrainableProgram
from hattriq_cirq.models.model import Model, check_columns, model_inputs


@dataclass(frozen=True, eq=False)
class ParameterSensitivity(Frozen):
    """Derivatives of attribution maps by the parameters of a circuit; all arrays are read-only.

    Args:
        names: Names of the parameters, in the order of the derivatives.
        derivatives: Derivatives dIG_k / dtheta_j, (..., params, features).

    Example:
        >>> import hattriq_cirq as hq
        >>> found = hq.parameter_sensitivity(hq.ring_ansatz(1, 0), [0.6, 0.8])
        >>> found.names, found.derivatives.round(2) + 0
        (('z0_0', 'y0_0'), array([[ 0.  ,  0.  ],
               [-0.48, -0.48]]))
    """

    names: tuple[str, ...]
    derivatives: FloatArray

    def covariance(self, of_parameters: ArrayLike) -> FloatArray:
        """Return the covariance of the map for uncertain parameters, J' C J to first order, (..., features, features).

        Args:
            of_parameters: Covariance of the parameters, (params, params); or the standard deviation of each, (params,), or of
                all, a number, for independent errors.

        Raises:
            ValueError: The shape is another one, or the covariance is not symmetric.
        """
        given, count = np.asarray(of_parameters, dtype=float), len(self.names)
        if not np.isfinite(given).all() or given.shape not in ((), (count,), (count, count)):
            raise ValueError(
                f"of_parameters of shape {given.shape} must be one standard deviation, ({count},) of them, or a covariance, "
                f"({count}, {count}), all finite"
            )
        covariance = given if given.ndim == 2 else np.diag(np.broadcast_to(given, count) ** 2)
        if not np.allclose(covariance, covariance.T):
            raise ValueError("of_parameters must be a symmetric covariance")
        return np.asarray(self.derivatives.swapaxes(-1, -2) @ covariance @ self.derivatives)

    def stderr(self, of_parameters: ArrayLike) -> FloatArray:
        """Return the standard deviation of each value of the map for uncertain parameters, (..., features).

        Args:
            of_parameters: As in `covariance`.
        """
        variances = np.diagonal(self.covariance(of_parameters), axis1=-2, axis2=-1)
        return np.asarray(np.sqrt(variances.clip(0)))

    def __repr__(self) -> str:
        *lead, params, features = self.derivatives.shape
        of = quantity(int(np.prod(lead)), "map") if lead else "one map"
        return f"ParameterSensitivity of {of} of {features} features to {quantity(params, 'parameter')}"


@with_numpy_defaults
def parameter_sensitivity(model: Model, x: ArrayLike, *, baseline: float | ArrayLike | BaselineSet = 0) -> ParameterSensitivity:
    """Return how attribution maps of the quadratic form move with the parameters of the circuit.

    The derivatives are exact: the shift rule of each gate's exponent, with as many shifts as its generator has differences of
    eigenvalues (Wierichs et al., Quantum 6, 677, 2022), so that shared symbols and gates such as powers of iSWAP are right.

    Args:
        model: `Model` whose circuit has symbols; the gates that `train` can differentiate.
        x: Input or batch of inputs, (..., features).
        baseline: Number, array that broadcasts to x, or a `BaselineSet`, over which the maps are averaged.

    Returns:
        The derivatives, (..., params, features); their covariance follows from that of the parameters.

    Raises:
        ValueError: The input is invalid, the model has no symbol, or a gate cannot be differentiated.

    Example:
        >>> import hattriq_cirq as hq
        >>> model = hq.ring_ansatz(2, layers=1)
        >>> hq.parameter_sensitivity(model, [0.6, 0.0, 0.8, 0.0]).stderr(0.02).shape
        (4,)
    """
    check_type(model, "model", Model, "a Model, whose circuit has parameters")
    check_columns(model, x, "x")
    inputs = model_inputs(model, x)
    references, _ = resolve(baseline, inputs)
    program = TrainableProgram(model)
    theta = np.array([model.params[name] for name in program.names])
    rows = inputs.reshape(-1, model.n_features)
    exponents = scaling_exponents(rows, *references)
    scaled = times_power_of_2(rows, -exponents)
    derivatives = np.zeros((len(rows), len(program.names), model.n_features))
    for b in references:
        reference: Array = times_power_of_2(np.broadcast_to(b, rows.shape), -exponents)
        moved = program.action_derivatives(theta, (scaled + reference).T)
        derivatives += ((scaled - reference).conj()[:, np.newaxis] * moved.transpose(2, 0, 1)).real / len(references)
    derivatives = rescaled(derivatives, 2 * exponents[:, :, np.newaxis], "a derivative of a map")
    return ParameterSensitivity(program.names, derivatives.reshape(*inputs.shape[:-1], *derivatives.shape[1:]))
