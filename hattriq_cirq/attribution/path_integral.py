"""Exact integrated gradients of a quadratic form along the straight line from a baseline to an input.

M is linear, so M p on the whole line p(a) = b + a (x - b) follows from M x and M b: steps of the path cost no circuit and no
further state vector. What remains to be integrated are a few numbers per input (`Objective.path_weights`).

Inputs, steps and products, (samples, features), may lie on a device. Their inner products, and all that follows from one number
per input, are NumPy's (`foundation.rows`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.baselines import BaselineSet, resolve
from hattriq_cirq.attribution.device_result import DeviceAttribution
from hattriq_cirq.attribution.objective import QUADRATIC, Head, Objective
from hattriq_cirq.attribution.quadrature import Quadrature, parse_rule
from hattriq_cirq.attribution.result import Assumptions, Attribution
from hattriq_cirq.foundation.arrays import (
    Array,
    FloatArray,
    IntArray,
    as_amplitudes,
    is_read_only,
    needs_scaling,
    rescaled,
    scaling_exponents,
    stored_amplitudes,
    times_power_of_2,
    zeros,
)
from hattriq_cirq.foundation.devices import CPU, Device, namespace
from hattriq_cirq.foundation.frozen import owned
from hattriq_cirq.foundation.parts import in_parts
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.rows import (
    beside,
    conjugate,
    device_amplitudes,
    has_numbers,
    home,
    imag,
    in_precision,
    inner_product,
    inner_products,
    is_complex,
    joined,
    real,
    reshaped,
    row_maxima,
    row_norms,
    row_sizes,
    row_sums,
    taken,
    times_powers,
)
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.model import IdentityPartWarning, Model, check_columns, contract_of
from hattriq_cirq.models.quadratic_form import QuadraticForm, observable_action, observable_name
from hattriq_cirq.simulation.statevector import Precision

#: Error of an exact result, relative to the scores, above which a warning is issued.
_ERROR: dict[Precision, float] = {"float64": 1e-6, "float32": 1e-4}
_ROUNDINGS = 4  # rounding error of an inner product, in units of the precision
_ROUNDING = 1e-12  # identity part that rounding can cause
_ORIGIN = 1e-8  # distance to the origin, relative to the longer end, below which a segment counts as passing through it
_SIZE_MAX = 2.0**480  # largest amplitude whose square, and sums of such squares, are numbers in double precision
_RANGE = {"float64": (200, 480), "float32": (30, 60)}  # on a device: powers of 2 with scaling, and without it
_ARRAYS = 8, 3  # arrays of the size of a batch: all that an affine objective takes, and one path of another for each product
_LARGE = {"values", "imag_values"}  # results of the size of the inputs
_NEAR_ORIGIN = 1e-2  # relative distance to the origin below which a warning is issued


class NearOriginWarning(UserWarning):
    """The path of a normalized form passes so close to the origin that the map is dominated by it.

    Example:
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", NearOriginWarning)  # accept such a path
    """


class CompletenessWarning(UserWarning):
    """An exact attribution is inaccurate: its sum misses the difference of the scores, or rounding decides a feature's value.

    Example:
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("error", CompletenessWarning)  # stop instead of warning
    """


def exact_attribution(
    models: Sequence[QuadraticForm],
    x: Any,
    *,
    baseline: float | ArrayLike | BaselineSet,
    objective: Objective = QUADRATIC,
    rule: str = "exact",
    tolerance: float = 1e-10,
    precision: Precision = "float64",
    workers: int | None = None,
    device: Device = CPU,
) -> Attribution:
    """Compute integrated gradients of a head on one or several quadratic forms, without circuits.

    Users call `hattriq_cirq.integrated_gradients`, which describes the arguments, errors and warnings. It and
    `hattriq_cirq.prepare` check the options before they call this function.

    Args:
        models: Quadratic forms whose values the head combines, in its order.
        x: Inputs, (..., features), of NumPy, or an array of the device, where the maps stay.
        baseline: Number, array that broadcasts to x, or `BaselineSet`.
        objective: Form and head; the quadratic form x' M x itself if it is left out.
        rule: Quadrature rule of the path, as `parse_rule` reads it.
        tolerance: Tolerance of integrals without a closed form, > 0.
        precision: `float64`, or `float32` for models with a circuit.
        workers: Number of threads for a large batch; None for one on every core.
        device: Device that computes.

    Returns:
        The attribution, in the shape of x; a `DeviceAttribution`, which answers as one, of an array of a device.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> model = ring_ansatz(1, 1)  # all angles are zero and the observable is Z
        >>> exact_attribution([model], [0.6, 0.8], baseline=0).values.round(2)
        array([ 0.36, -0.64])
    """
    if objective.is_affected_by_identity:
        warn_of_identity_part(models)
    features, stays, at_home = models[0].n_features, False, device is CPU or device.is_numpy
    if (contract := contract_of(models[0])) is not None:
        check_columns(models[0], x, "x")
        check_columns(models[0], baseline, "baseline")
    if at_home:
        inputs, is_ordinary = stored_amplitudes(x, "x", features)
    else:
        stays = not Device.holding(x).is_numpy
        inputs, is_ordinary = (device_amplitudes if stays else as_amplitudes)(x, "x", features), False
        baseline = baseline if isinstance(baseline, BaselineSet) or Device.holding(baseline).is_numpy else home(baseline)
    references, label = resolve(baseline, inputs)
    from_zero = references is zeros(references.shape) or not references.any()
    if not from_zero:
        is_ordinary = is_ordinary and not needs_scaling(references)
        if references.shape[1] == 1:
            references = owned(references)
    lead = inputs.shape[:-1]
    reshape: Any = np.ndarray.reshape if at_home else reshaped
    rows = inputs if len(lead) == 1 else reshape(inputs, (-1, features))
    real = references.dtype.kind != "c" and not is_complex(inputs)
    for model in models:
        if isinstance(model, Model) and not model.keeps_matrix:
            model.announce(rows.shape[0] + (0 if from_zero else references.size // features), real=real)
    starts = [] if from_zero else list(references)
    targets = None if objective.is_quadratic else _targets(objective.head, lead, len(models))
    quadrature = parse_rule(rule)
    path = _PathIntegral(
        models, objective, quadrature, tolerance, precision, rows, starts, real, is_ordinary, targets, device, stays
    )
    found = in_parts(path.of, rows, workers) if at_home else path.on_device()
    if not objective.is_quadratic:
        path.warn(found)
    if rows is not inputs:
        found = {name: reshape(array, (*lead, *array.shape[1:])) for name, array in found.items()}
    attribution: Callable[..., Attribution] = DeviceAttribution.of_checked if stays else Attribution.of_checked
    return attribution(
        values=found["values"],
        imag_values=found.get("imag_values"),
        x=x if stays else found.get("x", inputs),
        baseline=_shown(baseline, references, inputs.shape),
        f_input=found["f_input"],
        f_baseline=found["f_baseline"],
        assumptions=_assumptions(
            objective.form, rule, str(objective.head), tuple(map(observable_name, models)), label, precision
        ),
        contract=contract,
        target=None if targets is None else targets.reshape(lead),
    )


def _targets(head: Head, lead: tuple[int, ...], observables: int) -> IntArray | None:
    """Return the index of the class that is attributed of every input, (samples,); None if the head has no classes."""
    return head.targets_of(lead) if head.has_targets or head.logits(observables) > 1 else None


def _shown(baseline: float | ArrayLike | BaselineSet, references: Array, shape: tuple[int, ...]) -> Array:
    """Return baselines, (baselines, samples or 1, features), as the attribution of inputs of a shape shows them, read-only."""
    if isinstance(baseline, BaselineSet):
        shown = references.reshape(len(references), *(1 for _ in shape[:-1]), -1)
    elif references is zeros(references.shape):
        return zeros(shape)
    elif references.shape[1] == 1:
        shown = np.broadcast_to(references[0, 0], shape)
    else:
        shown = references[0].reshape(shape)
    return np.asarray(owned(shown))


@lru_cache(maxsize=64)
def _assumptions(*settings: Any) -> Assumptions:
    return Assumptions(*settings)


class _PathIntegral(NamedTuple):
    """The same integral for every input of a batch.

    Args:
        models: Quadratic forms whose values the head combines.
        objective: Form and head.
        rule: Quadrature rule; None for the exact integral.
        tolerance: Tolerance of integrals without a closed form.
        precision: `float64` or `float32`.
        rows: Inputs, (samples, features), numbers of any type.
        starts: Baselines, (baselines, samples or 1, features); none for the zero vector.
        real: True if the inputs and baselines are real.
        is_ordinary: True if no input or baseline is so large or small that a homogeneous objective needs scaling.
        targets: Target of every input, (samples,); None without classes.
        device: Device that computes.
        stays: Leave maps on the device.
    """

    models: Sequence[QuadraticForm]
    objective: Objective
    rule: Quadrature | None
    tolerance: float
    precision: Precision
    rows: Array
    starts: Sequence[Array]
    real: bool
    is_ordinary: bool
    targets: IntArray | None
    device: Device
    stays: bool = False

    def on_device(self) -> Mapping[str, Any]:
        """Return the maps of all inputs and their scores, computed on the device, as many at once as fit into its memory."""
        step, samples = self._rows_at_once(), self.rows.shape[0]
        if not self.stays:
            return in_parts(self._part_on_device, self.rows, 1, step=step)
        parts = [slice(first, min(first + step, samples)) for first in range(0, max(1, samples), step)]
        batches = [self._part_on_device(part) for part in track(parts, "attribute inputs", "part")]
        with self.device.computing("the attribution"):
            return {name: joined([batch[name] for batch in batches]) for name in batches[0]}

    def _rows_at_once(self) -> int:
        """Return the number of inputs whose arrays, with all that is computed from them, fit into the free memory."""
        affine, curved = _ARRAYS
        arrays = affine
        if not self.objective.is_affine:
            arrays += curved * (1 + len(self.models)) * (1 + len(self.starts))
        size = max(model.state_size if isinstance(model, Model) else model.n_features for model in self.models)
        number = (4 if self.precision == "float32" else 8) * (1 if self.real else 2)
        free = self.device.free_memory()
        return max(1, self.rows.shape[0]) if free is None else max(1, free // (arrays * number * size))

    def _part_on_device(self, part: slice) -> dict[str, Any]:
        """Return the same as `of`, computed on the device, where the maps stay or from where they come home."""
        single = self.precision == "float32"
        with self.device.computing("the attribution"):
            rows = self.rows[part, ...]
            if self.stays:
                x, ends = rows, [rows]
            else:
                x = as_amplitudes(rows, "x", first_row=part.start) if isinstance(rows, np.memmap) else rows
                ends = [self.device.asarray(x)]
            ends += [self.device.asarray(start if len(start) == 1 else start[part]) for start in self.starts]
            exponents, ends = self._scaled_on_device(ends, part.start)
            found = self._of_ends([in_precision(end, single=single) for end in ends], exponents, part.start)
            if not np.isfinite(row_sizes(found["values"])).all():
                raise ValueError(
                    f"an attribution is too large for a number of {self.precision}; divide the inputs by a common factor"
                )
            if not self.stays:
                found |= {name: home(found[name]) for name in _LARGE.intersection(found)}
                self._keep_inputs(found, rows, x)
            return found

    def _scaled_on_device(self, ends: list[Any], first: int) -> tuple[IntArray | None, list[Any]]:
        """Return the same as `_scaled_ends` of arrays on a device; `first` is the index of the first input in its batch."""
        sizes = [row_sizes(end) for end in ends]
        if not np.isfinite(sizes[0]).all():
            row = int(np.argmin(np.isfinite(sizes[0][:, 0])))
            _ = as_amplitudes(home(ends[0][row : row + 1, :]), "x", first_row=first + row)
        power, largest = _RANGE[self.precision]
        if not self.objective.is_homogeneous:
            _check_sizes(max(float(of_one.max(initial=0.0)) for of_one in sizes), 2.0**largest)
            return None, ends
        exponents = scaling_exponents(*sizes, power=power)
        if not exponents.any():
            return None, ends
        return exponents, [times_powers(end, -exponents) for end in ends]

    def of(self, part: slice) -> dict[str, Array]:
        """Return the maps of some of the inputs, their scores, and numbers that show how accurate they are.

        Args:
            part: Inputs to compute.

        Returns:
            Arrays whose first axis is that of the inputs, by their names; `x` are the inputs as amplitudes, if these are not
            stored as such.
        """
        rows = self.rows
        stored = rows[part]
        x = as_amplitudes(stored, "x", first_row=part.start) if isinstance(rows, np.memmap) else stored
        ends = [x]
        for start in self.starts:
            ends.append(start if len(start) == 1 else start[part])
        exponents = None
        if not (self.is_ordinary and self.objective.is_homogeneous):
            exponents, ends = _scaled_ends(self.objective, ends)
        found = self._of_ends(ends, exponents, part.start)
        self._keep_inputs(found, stored, x)
        return found

    def _of_ends(self, ends: Sequence[Any], exponents: IntArray | None, first: int) -> dict[str, Any]:
        """Return the maps and scores of inputs.

        Args:
            ends: Inputs, then baselines, (samples or 1, features) each.
            exponents: Exponents of the powers of 2 by which the ends were divided, (samples, 1); None if they were not.
            first: Index of the first input in its batch.
        """
        if self.objective.is_quadratic:
            found = self._affine(ends)
            if exponents is not None:
                self._rescale(found, exponents)
            return found
        if self.objective.head.has_targets and self.targets is not None:
            return self._by_target(ends, exponents, first)
        return self._of_head(ends, exponents, range(first, first + ends[0].shape[0]))

    def _keep_inputs(self, found: dict[str, Any], stored: Array, x: Array) -> None:
        """Add the inputs as amplitudes to the results, unless they are stored as such and cannot change."""
        cannot_change = is_read_only(self.rows)
        if not (x is stored and cannot_change):
            is_copied = len(x) < len(self.rows)  # where the parts are put together
            is_own = cannot_change or is_copied or (x is not stored and not np.may_share_memory(x, stored))
            found["x"] = x if is_own else x.copy()

    def _by_target(self, ends: Sequence[Any], exponents: IntArray | None, first: int) -> dict[str, Array]:
        """Return the maps and scores of inputs of which each has its own target, those of one target together.

        Args:
            ends: Inputs, then baselines, (samples or 1, features) each.
            exponents: Exponents of the powers of 2 by which the ends were divided, (samples, 1); None if they were not.
            first: Index of the first input in its batch.
        """
        assert self.targets is not None
        count, parts, indices = ends[0].shape[0], list[dict[str, Any]](), list[IntArray]()
        targets = self.targets[first : first + count]
        for target in np.unique(targets):
            own = np.flatnonzero(targets == target)
            rows = [end if end.shape[0] == 1 < count else taken(end, own) for end in ends]
            powers = None if exponents is None else exponents[own]
            parts.append(self._replace(objective=self.objective.of_target(target))._of_head(rows, powers, first + own))
            indices.append(own)
        order = np.argsort(np.concatenate(indices))
        return {name: taken(joined([part[name] for part in parts]), order) for name in parts[0]}

    def _of_head(self, ends: Sequence[Any], exponents: IntArray | None, numbers: Sequence[int] | IntArray) -> dict[str, Any]:
        """Return the maps and scores of a head with one target; arguments as in `_by_target`, but the index of every input."""
        if not self.objective.is_affine:
            return self._curved(ends, numbers)
        found = self._affine(ends)
        if exponents is not None:
            self._rescale(found, exponents)
        if constant := self.objective.head.linear_map(len(self.models))[0, 0]:
            found |= {name: found[name] + constant for name in ("f_input", "f_baseline")}
        return found

    def _affine(self, ends: Sequence[Any]) -> dict[str, Any]:
        """Return maps and scores of one quadratic form, whose gradient 2 M p has its mean at the mean position on the path.

        The form is that of the model, or a sum of those of all models with the weights of a linear head.

        Args:
            ends: Inputs, then baselines, (samples or 1, features) each.
        """
        x, *baselines = ends
        late = 1.0 if self.rule is None else 2 * float(self.rule.mean_node)
        acted = self._weighted_action(x)
        found = {"f_input": inner_product(x, acted)}
        later = acted if late == 1 else late * acted
        if not baselines:
            self._add_map(found, x, later)
            found["f_baseline"] = zeros((x.shape[0],))
            return found
        scores = []
        for b in baselines:
            of_b = self._weighted_action(b)
            gradient = later + (2 - late) * of_b
            self._add_map(found, x - b, gradient if len(baselines) == 1 else gradient * (1 / len(baselines)))
            scores.append(inner_product(b, of_b))
        found["f_baseline"] = _mean(scores, x.shape[0])
        return found

    def _weighted_action(self, rows: Any) -> Any:
        """Return the products of the quadratic form of an affine objective."""
        if self.objective.is_quadratic:
            return self._action(self.models[0], rows)
        weights = self.objective.head.linear_map(len(self.models))[0, 1:].tolist()
        products = [weight * self._action(model, rows) for model, weight in zip(self.models, weights, strict=True) if weight]
        return sum(products[1:], products[0]) if products else namespace(rows).zeros_like(real(rows))

    def _curved(self, ends: Sequence[Any], numbers: Sequence[int] | IntArray) -> dict[str, Any]:
        """Return maps and scores of an objective whose gradient is no affine function of the position, and their accuracy.

        Args:
            ends: Inputs, then baselines, (samples or 1, features) each.
            numbers: Index of every input in its batch, for messages.
        """
        objective = self.objective
        end, *starts = (PathEnd.of(rows, [self._action(model, rows) for model in self.models]) for rows in ends)
        starts = starts or [PathEnd.zero((1, ends[0].shape[1]), len(self.models)).beside(ends[0])]
        found: dict[str, Array] = {}
        paths = [StraightPath.between(start, end) for start in starts]
        if objective.form == "normalized":
            for path in paths:
                _keep_closest(found, path.origin(numbers))
        found["f_input"] = end.score(objective)  # later than the check of the origin, where it has no value
        found["f_baseline"] = _mean([start.score(objective) for start in starts], end.rows.shape[0])
        for path in paths:
            weights = objective.path_weights(path.coefficients, path.centre, self.rule, self.tolerance)
            if self.rule is None:
                errors = path.rounding_errors(objective, weights, self.tolerance, self.precision) / len(starts)
                found["errors"] = errors if "errors" not in found else found["errors"] + errors
            gradient = path.mean_gradient(weights)
            self._add_map(found, path.step, gradient if len(starts) == 1 else gradient * (1 / len(starts)))
        if self.rule is None:
            self._add_accuracy(found, end)
        return found

    def _add_map(self, found: dict[str, Any], step: Any, gradient: Any) -> None:
        """Add Re(conj(d) o g) of a step d and a mean gradient g to the values, and its part from imaginary parts."""
        if self.real:
            values = step * gradient
        else:
            values = real(step) * real(gradient)
            if is_complex(step):
                imaginary = imag(step) * imag(gradient)
                values += imaginary
                found["imag_values"] = imaginary + found.get("imag_values", 0.0)
        found["values"] = found["values"] + values if "values" in found else values

    def _rescale(self, found: dict[str, Any], exponents: IntArray) -> None:
        """Multiply maps and scores of a quadratic form by the powers of 2 that belong to inputs divided by 2^exponents."""
        for name, array in found.items():
            powers = 2 * exponents.reshape(len(exponents), *(1,) * (array.ndim - 1))
            if self.stays and type(array) is not np.ndarray:
                found[name] = times_powers(array, powers)
            else:
                found[name] = rescaled(home(array), powers, "an attribution or a score")

    def _action(self, model: QuadraticForm, rows: Any) -> Any:
        """Return the products M p, (samples, features), or only their real parts if the whole path is real.

        The number of products was announced to every `Model`. A form that is no `Model` computes them in NumPy.
        """
        if type(rows) is not np.ndarray:
            if isinstance(model, Model):
                return model.action_of_rows(rows, real_part=self.real, precision=self.precision)
            acted = observable_action(model, home(rows), real_part=self.real, precision=self.precision)
            return in_precision(self.device.asarray(acted), single=False)
        if self.objective.is_homogeneous and self.precision == "float64" and isinstance(model, Model):
            return model.action_of_rows(rows, real_part=self.real)
        return observable_action(model, rows, real_part=self.real, precision=self.precision, announced=True)

    def _add_accuracy(self, found: dict[str, Array], end: PathEnd) -> None:
        """Replace the errors of all features by those of one feature per input, beside what is allowed for it."""
        errors, values, f_input, f_baseline = (found[name] for name in ("errors", "values", "f_input", "f_baseline"))
        head, gain = self.objective.head, self.objective.head.gain(len(self.models))
        natural = gain * end.expectation_bound() if head.is_affine else 1.0
        largest = np.maximum(row_sizes(values)[:, 0], natural)
        found["gap"] = row_sums(values) - (f_input - f_baseline)
        sizes = [model.observable_size for model in self.models if isinstance(model, Model)]
        rounding = (
            _ROUNDINGS * np.finfo(self.precision).eps * gain * max(sizes, default=0.0)
        )  # decides scores that vanish for all x
        allowed = _ERROR[self.precision] * np.maximum(np.abs(f_input) + np.abs(f_baseline), largest)
        found["allowed"] = np.maximum(allowed, rounding) if head.is_affine else allowed
        found["errors"], found["feature"] = row_maxima(errors)

    def warn(self, found: Mapping[str, Array]) -> None:
        """Warn of inputs whose path comes close to the origin, or whose map is inaccurate."""
        if "distance" in found:
            _warn_of_origin(found["distance"], found["longest"])
        if "gap" in found:
            _warn_of_errors(found["gap"], found["errors"], found["feature"], found["allowed"])


def _mean(scores: Sequence[FloatArray], samples: int) -> FloatArray:
    """Return the score at the baseline of each input, or its mean over the set, (samples,)."""
    mean: FloatArray = scores[0] if len(scores) == 1 else np.asarray(sum(scores) / len(scores))
    return mean if len(mean) == samples else np.broadcast_to(mean, samples)


def _scaled_ends(objective: Objective, ends: list[Array]) -> tuple[IntArray | None, list[Array]]:
    """Return inputs and baselines, with the exponents of the powers of 2 by which rows of a homogeneous objective are divided.

    The exponents are None if nothing is divided.
    """
    if not objective.is_homogeneous:
        _check_sizes(max(float(np.abs(of_one).max(initial=0.0)) for of_one in ends), _SIZE_MAX)
        return None, ends
    if not any(map(needs_scaling, ends)):
        return None, ends
    exponents = scaling_exponents(*ends)
    return (exponents, [times_power_of_2(of_one, -exponents) for of_one in ends]) if exponents.any() else (None, ends)


def _check_sizes(largest: float, limit: float) -> None:
    """Raise ValueError if squares of amplitudes, and sums of such squares, may be too large for the precision."""
    if largest > limit:
        raise ValueError(
            f"x and the baseline reach {largest:.1e}, and a head of the quadratic form takes at most {limit:.1e}; "
            "divide them by a common factor c and multiply the head's scale by c^2, or use form='normalized'"
        )


@dataclass(frozen=True)
class PathEnd:
    """One end of a path, for a batch of inputs.

    Args:
        rows: Amplitudes p, (samples, features); a single sample stands for all.
        actions: The products A_j p with A_0 = 1 and A_j = M_j, (samples, features) each; only their real parts if the
            whole path is real.
        is_zero: All amplitudes are zero.
    """

    rows: Any
    actions: tuple[Any, ...]
    is_zero: bool = False

    @classmethod
    def of(cls, rows: Any, acted: Sequence[Any]) -> PathEnd:
        """Return the end at amplitudes, (samples, features), with their products M_j p."""
        return cls(rows, (rows, *acted), is_zero=not has_numbers(rows))

    @classmethod
    @lru_cache(maxsize=64)
    def zero(cls, shape: tuple[int, int], observables: int) -> PathEnd:
        """Return the end whose amplitudes, (samples, features), are all zero."""
        rows = zeros(shape)
        return cls(rows, (rows,) * (1 + observables), is_zero=True)

    def beside(self, rows: Any) -> PathEnd:
        """Return the zero end where some rows lie."""
        if type(rows) is np.ndarray:
            return self
        own = beside(rows, self.rows)
        return PathEnd(own, (own,) * len(self.actions), is_zero=True)

    @cached_property
    def products(self) -> FloatArray:
        """The inner products <p|A_j|p>, (samples, 1 + observables)."""
        return inner_products(self.rows, self.actions)

    def score(self, objective: Objective) -> FloatArray:
        """Return the score, (samples,)."""
        if objective.form == "quadratic":
            if self.is_zero:
                return objective.head.value(np.zeros((self.rows.shape[0], len(self.actions) - 1)))
            return objective.head.value(inner_products(self.rows, self.actions[1:]))
        return objective.value(self.products)

    def expectation_bound(self) -> FloatArray:
        """Return a bound on the size of the normalized expectations by the products' norms, (samples,)."""
        norms = np.stack([row_norms(action) for action in self.actions], axis=-1)
        own = norms[:, 0]
        return np.asarray(np.divide(norms[:, 1:].max(axis=1), own, out=np.zeros(len(own)), where=own > 0))


@dataclass(frozen=True)
class StraightPath:
    """The line p(a) = b + a d between two ends, with its quadratic forms expanded around its point nearest to the origin.

    q_j(a) = c_j0 + c_j1 (a - centre) + c_j2 (a - centre)^2. At that point nothing cancels, however close to the origin it is.
    """

    start: PathEnd
    end: PathEnd
    step: Any

    @classmethod
    def between(cls, start: PathEnd, end: PathEnd) -> StraightPath:
        """Return the path whose step is the difference d = x - b, (samples, features)."""
        return cls(start, end, end.rows if start.is_zero else end.rows - start.rows)

    @cached_property
    def step_actions(self) -> tuple[Any, ...]:
        """Products A_j d."""
        ends = zip(self.start.actions[1:], self.end.actions[1:], strict=True)
        return (self.step, *(end - start for start, end in ends))

    @cached_property
    def centre(self) -> FloatArray:
        """Position in [0, 1] nearest to the origin, (samples,)."""
        length, overlap = (inner_products(rows, (self.step,))[:, 0] for rows in (self.step, self.start.rows))
        return np.clip(np.divide(-overlap, length, out=np.zeros(len(length)), where=length > 0), 0, 1)

    @cached_property
    def nearest(self) -> tuple[Any, ...]:
        """Products A_j p at the centre, computed from the end of the path that is closer to it."""
        at = self.centre[:, np.newaxis]
        is_late = at > 0.5
        late, offset = beside(self.step, is_late), beside(self.step, np.where(is_late, at - 1, at))
        ends, where = zip(self.start.actions, self.end.actions, self.step_actions, strict=True), namespace(self.step).where
        return tuple(where(late, end, start) + offset * step for start, end, step in ends)

    @cached_property
    def coefficients(self) -> FloatArray:
        """Coefficients c, (samples, 1 + observables, 3)."""
        constant, linear = (inner_products(rows, self.nearest) for rows in (self.nearest[0], self.step))
        return np.stack([constant, 2 * linear, inner_products(self.step, self.step_actions)], axis=-1)

    def mean_gradient(self, weights: FloatArray) -> Any:
        """Return the gradient averaged over the path: sum_j (w_j0 A_j p_c + w_j1 A_j d), (samples, features)."""
        total, at = beside(self.step, np.zeros(1)), beside(self.step, weights)
        for j, (nearest, step) in enumerate(zip(self.nearest, self.step_actions, strict=True)):
            if weights[:, j].any():
                total = total + at[:, j, 1][:, None] * step + at[:, j, 0][:, None] * nearest
        return total

    def rounding_errors(self, objective: Objective, weights: FloatArray, tolerance: float, precision: Precision) -> Any:
        """Return how much the values change if the quadratic forms change by their rounding errors, (samples, features)."""
        # the difference of two observables changes by the sum of their errors
        signs = np.array([1.0, *objective.head.signs(self.coefficients.shape[1] - 1)])
        xp, rounding = namespace(self.step), self._rounding(precision)
        errors = xp.zeros_like(real(self.end.rows))
        changes = [signs[:, np.newaxis] * rounding]
        if objective.largest_change(self.coefficients, self.coefficients + changes[0]) <= _ROUNDING:
            return errors
        if len(signs) > 3:  # zeros of several differences change their order if one observable changes alone
            shift = rounding.sum(axis=-1, keepdims=True) * np.array([1.0, 0.0, 0.0])
            changes += [sign * mask[:, np.newaxis] * shift for mask in np.eye(len(signs))[1:] for sign in (1, -1)]
        for each in changes:
            change = objective.path_weights(self.coefficients + each, self.centre, None, tolerance) - weights
            errors = xp.maximum(errors, xp.abs(conjugate(self.step) * self.mean_gradient(change)))
        return errors

    def _rounding(self, precision: Precision) -> FloatArray:
        """Return what rounding may change in the coefficients, in their shape."""
        near, step = (np.stack([row_norms(a) for a in of], axis=-1) for of in (self.nearest, self.step_actions))
        unit = _ROUNDINGS * np.finfo(precision).eps
        found = near + np.minimum(self.centre, 1 - self.centre)[:, np.newaxis] * step  # what `nearest` was computed from
        return np.asarray(unit * np.stack([near[:, :1] * found, 2 * step[:, :1] * found, step[:, :1] * step], axis=-1))

    def origin(self, numbers: Sequence[int] | IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the distance of each path from the origin and the norm of its longer end, (samples,) each.

        Args:
            numbers: Index of every input in its batch, for the message.

        Raises:
            ValueError: The path of an input passes through the origin.
        """
        distance = row_norms(self.nearest[0])
        longest = np.sqrt(np.maximum(self.start.products[:, 0], self.end.products[:, 0]))
        through = np.flatnonzero(distance <= _ORIGIN * longest)
        if through.size:
            raise ValueError(
                f"the segment from the baseline to x[{numbers[through[0]]}] passes through the origin, where the normalized "
                "form x'Mx / x'x has no value: its integrated gradients diverge like log(1/eps) while their sum stays finite; "
                "use form='quadratic', or a baseline off the line through x and 0, such as baselines.mean"
            )
        return distance, longest


def _keep_closest(found: dict[str, Array], origin: tuple[FloatArray, FloatArray]) -> None:
    """Keep for every input the path that comes closest to the origin, relative to its longer end."""
    distance, longest = origin
    if "distance" in found:
        closer = distance * found["longest"] < found["distance"] * longest
        distance, longest = np.where(closer, distance, found["distance"]), np.where(closer, longest, found["longest"])
    found["distance"], found["longest"] = distance, longest


def _warn_of_origin(distance: FloatArray, longest: FloatArray) -> None:
    """Warn if the path of an input comes close to the origin."""
    near = np.flatnonzero(distance < _NEAR_ORIGIN * longest)
    if near.size:
        worst = near[np.argmin(distance[near] / longest[near])]
        warnings.warn(
            f"the segment from the baseline to x[{worst}] comes within {distance[worst]:.1e} of the origin, where the "
            f"normalized form has no value (condition number {longest[worst] / distance[worst]:.1e}: the longer end's norm "
            f"by this distance; {near.size} of {quantity(len(distance), 'input')} come close); the map is dominated by "
            "that passage: use form='quadratic', or a baseline farther from the line through x and 0, such as "
            "baselines.mean",
            NearOriginWarning,
            stacklevel=6,
        )


def _warn_of_errors(gaps: FloatArray, errors: FloatArray, features: IntArray, allowed: FloatArray) -> None:
    """Warn if the sum of a map misses part of the score, or if rounding decides the value of a feature."""
    missed, uncertain = np.flatnonzero(np.abs(gaps) > allowed), np.flatnonzero(errors > allowed)
    if missed.size:
        found = f"the path integral of input {missed[0]} misses {gaps[missed[0]]:.1e} of the score"
    elif uncertain.size:
        row = uncertain[np.argmax(errors[uncertain])]
        found = f"rounding changes feature {features[row]} of input {row} by about {errors[row]:.1e}"
    else:
        return
    warnings.warn(
        f"{found}: the score changes too sharply on the path; lower the head's scale, move the baseline, or use "
        "precision='float64'",
        CompletenessWarning,
        stacklevel=6,
    )


def warn_of_identity_part(models: Sequence[QuadraticForm]) -> None:
    """Warn of every model whose observable has an identity part."""
    for model in models:
        if isinstance(model, Model) and not model.is_identity_part_cheap:
            warnings.warn(
                "M may have an identity part, which copies the input into the map: its trace takes a product for each feature "
                "and was not computed; compare model.identity_part with the map",
                IdentityPartWarning,
                stacklevel=5,
            )
            continue
        c = model.identity_part
        if c and abs(c) > _ROUNDING * (model.observable_size if isinstance(model, Model) else 1):
            has_offset = isinstance(model, Model) and c != model.observable_identity
            owner = "an offset of the device: M" if has_offset else f"the observable {observable_name(model)}"
            warnings.warn(
                f"{owner} has identity part {c:g}, which adds {c:g} (|x_k|^2 - |b_k|^2) to the "
                "map: a copy of the input, even for an untrained model; for a Model, model.traceless() removes it",
                IdentityPartWarning,
                stacklevel=5,
            )
