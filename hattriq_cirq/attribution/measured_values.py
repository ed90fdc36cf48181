"""Values of several inputs with errors that the inputs have in common, such as metrics of a learned model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hattriq_cirq.foundation.arrays import FloatArray, normal_interval
from hattriq_cirq.foundation.frozen import Frozen

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Measured(Frozen):
    """Values of a metric with their errors, which inputs have in common where they come from one campaign.

    Args:
        values: Values, (inputs, ...): one per input, or one per input and size or point of a curve.
        errors: Errors of the values by uncorrelated numbers of variance 1, (numbers, inputs, ...).
        fractions: Fractions of features that are changed at the points of a curve, (points,); None for another metric.

    Example:
        >>> found = Measured([1.0, 3.0], [[0.3, 0.3], [0.4, -0.4]])
        >>> found.stderr, found.mean().values, found.mean().stderr  # the second error averages away, the first does not
        (array([0.5, 0.5]), array(2.), array(0.3))
    """

    values: FloatArray
    errors: FloatArray
    fractions: FloatArray | None = None

    def __post_init__(self) -> None:
        values, errors = (np.asarray(each, dtype=float) for each in (self.values, self.errors))
        if errors.shape[1:] != values.shape:
            raise ValueError(f"{errors.shape=} must be (numbers, ...) with {values.shape=}")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "errors", errors)
        if self.fractions is not None:
            object.__setattr__(self, "fractions", np.asarray(self.fractions, dtype=float))
        super().__post_init__()

    @property
    def stderr(self) -> FloatArray:
        """Standard error of each value, in their shape."""
        return np.asarray(np.sqrt(np.sum(self.errors**2, axis=0)))

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Return the low and high ends of the interval of each value, in their shape."""
        return normal_interval(self.values, self.stderr, level)

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """Return the values as a pandas table, one row per input, or per input and point or size.

        Args:
            level: Probability that an interval holds the exact value.

        Returns:
            Columns: input; point, and fraction for a curve; value, stderr, low and high. `to_csv` of it writes a file.

        Example:
            >>> Measured([0.5], [[0.1]]).to_frame().round(2).to_dict("records")
            [{'input': 0, 'value': 0.5, 'stderr': 0.1, 'low': 0.3, 'high': 0.7}]
        """
        import pandas as pd

        places = np.indices(self.values.shape).reshape(self.values.ndim, -1)
        columns: dict[str, NDArray[np.generic]] = dict(zip(("input", "point"), places, strict=False))
        if self.fractions is not None:
            columns["fraction"] = np.broadcast_to(self.fractions, self.values.shape).reshape(-1)
        low, high = self.interval(level)
        named = {"value": self.values, "stderr": self.stderr, "low": low, "high": high}
        return pd.DataFrame({**columns, **{name: each.reshape(-1) for name, each in named.items()}})

    def mean(self) -> Measured:
        """Return the mean over the inputs, (...,), with the errors that they have in common."""
        return Measured(self.values.mean(axis=0), self.errors.mean(axis=1), self.fractions)

    def area(self) -> Measured:
        """Return the area under each curve by the trapezoidal rule, (inputs,).

        Raises:
            ValueError: The values are no curves.
        """
        if self.fractions is None:
            raise ValueError("the values have no fractions; only a curve has an area")
        values, errors = (np.asarray(np.trapezoid(each, self.fractions, axis=-1)) for each in (self.values, self.errors))
        return Measured(values, errors)
