"""Metrics of a measured score, such as that of a learned model, with errors that the inputs of a campaign share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.attribution.measured_values import Measured
from hattriq_cirq.attribution.objective import Head, Objective
from hattriq_cirq.attribution.path_integral import exact_attribution
from hattriq_cirq.faithfulness.curves import Curve, deletion_curve, insertion_curve, srg
from hattriq_cirq.faithfulness.removal import drawn_forms
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.checks import ArgumentTypeError, as_count, as_seed, shown
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.models.model import Form
from hattriq_cirq.models.quadratic_form import QuadraticForm, check_quadratic_form

_LINEAR: tuple[object, ...] = (deletion_curve, insertion_curve, srg)  # in the score, for one predicted class
_DRAWS = 200  # of the bootstrap: its standard errors are right to 5%


@runtime_checkable
class MeasuredFunction(Protocol):
    """A function of inputs that was measured, such as `score_of(learned)` or `MapsOf(learned)`."""

    def __call__(self, x: Array) -> FloatArray:
        """Return the values of inputs."""

    def samples(self, count: int, *, seed: int) -> Sequence[Callable[[Array], FloatArray]]:
        """Return functions that differ from this one by random errors."""

    def deviations(self, count: int, *, seed: int) -> Sequence[Callable[[Array], FloatArray]]:
        """Return functions whose squares add up to the variance, for anything that is linear in this one."""


@with_numpy_defaults
def measured(
    metric: Callable[..., FloatArray | Curve],
    function: MeasuredFunction,
    *arguments: Any,
    draws: int = _DRAWS,
    draw_seed: int = 0,
    **options: Any,
) -> Measured:
    """Return a metric of a measured score with its standard errors, common errors of one campaign included.

    The maps are taken as they are, and the predicted class is that of the measured score. Curves and SRG are linear in the
    score, and their errors follow by linear propagation, by random directions where the model has more strings than `draws`;
    other metrics have them by a parametric bootstrap. The errors are those of counts, calibration and damping factor together.

    Args:
        metric: Metric of this package, such as `deletion_curve`, or any function with the score as its first argument.
        function: Measured score, `score_of(learned)`; for `max_sensitivity` measured maps, `MapsOf(learned)`.
        *arguments: Further arguments of the metric, such as the inputs and their maps.
        draws: Number of random observables, at least 2.
        draw_seed: Random seed of their errors.
        **options: Options of the metric, such as `reference` and `seed`.

    Returns:
        Values and errors.

    Raises:
        TypeError: The score was not measured.
        ValueError: An argument is invalid.

    Example:
        >>> import hattriq_cirq as hq
        >>> model, x = hq.ring_ansatz(2, layers=1), np.array([[0.6, 0.0, 0.0, 0.8], [0.8, 0.0, 0.0, 0.6]])
        >>> learned = hq.learn_observable(model, engine=hq.cirq_simulator(seed=1), shots=20_000, seed=1)
        >>> from hattriq_cirq.faithfulness import score_of
        >>> maps = hq.integrated_gradients(learned, x, baseline=0).values
        >>> gain = measured(srg, score_of(learned), x, maps, reference=0)
        >>> gain.values.round(1), bool((gain.stderr < 0.02).all()), bool(gain.mean().stderr < 0.02)
        (array([0.7, 0.7]), True, True)
    """
    if not isinstance(function, MeasuredFunction) or not function.samples(1, seed=0):
        raise ArgumentTypeError(f"{shown(function)} was not measured; use score_of(learned) with a LearnedModel")
    draws, draw_seed = as_count(draws, "draws", 2), as_seed(draw_seed)

    def evaluate(of: Callable[[Array], FloatArray]) -> tuple[FloatArray, FloatArray | None]:
        found = metric(of, *arguments, **options)
        return (found.scores, found.fractions) if isinstance(found, Curve) else (np.asarray(found, dtype=float), None)

    values, fractions = evaluate(function)
    is_linear = metric in _LINEAR
    others = (function.deviations if is_linear else function.samples)(draws, seed=draw_seed)
    found = np.array([evaluate(each)[0] for each in track(others, "propagate errors", "sample", total=len(others))])
    errors = found if is_linear else (found - found.mean(axis=0)) / np.sqrt(draws - 1)
    return Measured(values, errors, fractions)


@dataclass(frozen=True, eq=False)
class MapsOf:
    """Maps of a quadratic form as a function of inputs, such as `max_sensitivity` takes them.

    Args:
        model: Quadratic form.
        baseline: Baseline of the maps.
        form: `quadratic` or `normalized`.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> MapsOf(ring_ansatz(1, 1))(np.array([[0.6, 0.8]])).round(2)
        array([[ 0.36, -0.64]])
    """

    model: QuadraticForm
    baseline: float | ArrayLike | BaselineSet = 0
    form: Form = "quadratic"

    def __post_init__(self) -> None:
        check_quadratic_form(self.model)

    def __call__(self, x: Array) -> FloatArray:
        """Return the maps of inputs, in their shape."""
        return exact_attribution([self.model], x, baseline=self.baseline, objective=Objective(self.form, Head())).values

    def samples(self, count: int, *, seed: int) -> list[MapsOf]:
        """Return the maps of observables that differ from a learned one by random errors."""
        return [MapsOf(each, self.baseline, self.form) for each in drawn_forms(self.model, count, seed)]

    def deviations(self, count: int, *, seed: int) -> list[MapsOf]:
        """Return the maps of the errors of a learned observable, see `LearnedModel.deviations`."""
        return [MapsOf(each, self.baseline, self.form) for each in drawn_forms(self.model, count, seed, deviations=True)]
