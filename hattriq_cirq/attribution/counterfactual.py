"""Counterfactuals: the least change of an input for which the score reaches a given level.

Minimise |z - x|^2 subject to z' M z = level. A stationary point satisfies (1 + t M) (z - x) = -t M x for a multiplier t. While
1 + t M is positive definite, the score of z falls strictly as t grows, so that one root gives the global minimum (as in the
trust-region problem: Moré and Sorensen, SIAM J. Sci. Stat. Comput. 4, 1983). In the eigenvectors of M, restricted to the
features that may change, the score is

    F(x) - sum_i |c_i|^2 t (2 + t mu_i) / (1 + t mu_i)^2,    c = V' M x,

the secular equation. One eigendecomposition serves all inputs; each root costs a few sums over the eigenvalues.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from hattriq_cirq.attribution.measured_errors import notes_of
from hattriq_cirq.foundation.arrays import (
    Array,
    FloatArray,
    largest_first,
    normal_interval,
    rescaled,
    scaling_exponents,
    times_power_of_2,
)
from hattriq_cirq.foundation.card import ROWS, Card, Displayed
from hattriq_cirq.foundation.checks import as_number, as_word, check_flag
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.foundation.progress import progress_bars, track
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.learned import LearnedModel
from hattriq_cirq.models.model import Form, Model, check_form, contract_of, model_inputs
from hattriq_cirq.models.quadratic_form import (
    QuadraticForm,
    check_quadratic_form,
    matrix_of,
    observable_action,
    quadratic_value,
)

_FEATURES_MAX = 2**13  # of a matrix that is diagonalised
_ROUNDS = 200  # of the active set of non-negative inputs
_ZERO = 1e-12  # relative size below which a number is zero but for rounding
_NOT_UNIQUE = "not unique: at least two changes of this length reach the level"
_LOCAL = "a local optimum: no smaller change was found, but there may be one"


@dataclass(frozen=True, eq=False, repr=False)
class Counterfactual(Displayed, Frozen):
    """Least changes of one input or a batch for which the score reaches a level; all arrays are read-only.

    Args:
        input: Inputs, (..., features).
        x: Changed inputs, (..., features); the input itself where the level cannot be reached.
        distance: Length |x - input| of each change, (...,); infinity where the level cannot be reached.
        reached: True where the level is reached, (...,).
        level: Level of the score.
        score: Score of each changed input, (...,).
        distance_stderr: Standard error of the distance, (...,); 0 for an exact model.
        is_global: True where no smaller change exists, False where one may, (...,).
        messages: What a reader must know about each input, one text each, empty for nothing, flattened.
        notes: Findings about the errors, one sentence each.
        contract: Form of the data of the model, with the names of the features; None if it is not recorded.

    Example:
        >>> import hattriq_cirq as hq
        >>> found = hq.counterfactual(hq.ring_ansatz(1, 0), [0.8, 0.6])
        >>> found.x.round(3), float(found.distance.round(4))
        (array([0.7, 0.7]), 0.1414)
    """

    input: Array
    x: Array
    distance: FloatArray
    reached: Array
    level: float
    score: FloatArray
    distance_stderr: FloatArray
    is_global: Array
    messages: tuple[str, ...]
    notes: tuple[str, ...] = ()
    contract: DataContract | None = None

    @property
    def change(self) -> Array:
        """The change of each feature, x - input, (..., features)."""
        return np.asarray(self.x - self.input)

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Return the low and high ends of the interval of each distance, (...,).

        Args:
            level: Probability that an interval holds the exact distance, between 0 and 1.
        """
        return normal_interval(self.distance, self.distance_stderr, level)

    def __getitem__(self, index: int | slice) -> Counterfactual:
        """Return the counterfactuals of some inputs of a batch."""
        if self.x.ndim < 2:
            raise IndexError("this is the counterfactual of one input, which has no parts")
        arrays = ("input", "x", "distance", "reached", "score", "distance_stderr", "is_global")
        messages = np.array(self.messages, dtype=object).reshape(self.reached.shape)[index]
        parts = {name: getattr(self, name)[index] for name in arrays}
        return replace(self, **parts, messages=tuple(np.ravel(messages)))

    def card(self) -> Card:
        """Return the distance, and of a single input that reaches the level the features that change most."""
        if self.reached.ndim or not self.reached:
            return Card(self._summary, notes=self.notes)
        most = largest_first(self.change)[:ROWS].tolist()
        changed, of = [k for k in most if self.change[k]], self.contract or DataContract()
        arrays = (self.input, self.x, self.change)
        rows = [(of.feature_name(k, len(self.x)), *(f"{array[k]:.4g}" for array in arrays)) for k in changed]
        bars = self.change[changed].real.tolist()
        header = ("feature", "input", "changed input", "change")
        return Card(self._summary, (), header if rows else (), rows, bars, notes=self.notes)

    @property
    def _summary(self) -> str:
        """The level and the distance of the changes."""
        count, reached = self.reached.size, int(np.sum(self.reached))
        if count == 1:
            text = f"distance {float(self.distance.reshape(-1)[0]):.4g}" if reached else "not reached"
            message = f"; {self.messages[0]}" if self.messages[0] else ""
            return f"Counterfactual to the level {self.level:g}: {text}{message}"
        found = np.median(self.distance[self.reached]) if reached else np.inf
        return (
            f"Counterfactuals to the level {self.level:g}: {reached} of {quantity(count, 'input')} reach it, "
            f"median distance {found:.4g}"
        )


@with_numpy_defaults
def counterfactual(
    model: QuadraticForm,
    x: ArrayLike,
    *,
    level: float = 0.0,
    free: ArrayLike | Literal["one"] | None = None,
    real: bool = True,
    nonnegative: bool = False,
    form: Form = "quadratic",
    progress: bool = False,
) -> Counterfactual:
    """Return the nearest input whose score is a given level: what would have to change for another answer.

    Level 0 is the decision boundary of a traceless observable. The result is the global minimum of the distance; with
    `nonnegative=True` it is a local one, which the result says. A least change shows to what the model is sensitive; it is not
    a plausible input in general.

    Args:
        model: Model or other quadratic form with matrix M, of up to 8,192 features, which is diagonalised once; of any size for
            a `Model` with one Pauli string, `real=False` and all features free.
        x: Input or batch of inputs, (..., features).
        level: Level of the score to reach.
        free: Features that may change, True or False for each, (features,) or (..., features), padding left out; `one` for the
            one feature whose change is smallest; None for all.
        real: Keep real inputs real. With False amplitudes may become complex, which can shorten the distance.
        nonnegative: Keep all amplitudes at or above 0, as those of pixels; needs real inputs that are.
        form: `quadratic`, or `normalized` for a level of F(z) / |z|^2, which does not depend on the norm of z.
        progress: Show a progress bar over the inputs.

    Returns:
        The changed inputs, with distances, and messages where a level cannot be reached. The distance of a learned model has
        its error to first order, by the multiplier of the constraint.

    Raises:
        ValueError: An argument is invalid, such as complex inputs with `real=True`.

    Example:
        >>> import hattriq_cirq as hq
        >>> model = hq.ring_ansatz(2, layers=1)
        >>> found = hq.counterfactual(model, [0.8, 0.0, 0.6, 0.0], free=[True, False, True, False])
        >>> found.x.round(3) + 0, float(abs(model.expectation(found.x)).round(9))
        (array([0.7, 0. , 0.7, 0. ]), 0.0)
    """
    check_quadratic_form(model)
    check_form(form)
    target = as_number(level, "level")
    check_flag(real, "real")
    check_flag(nonnegative, "nonnegative")
    inputs = model_inputs(model, x)
    _check_inputs(inputs, form=form, real=real, nonnegative=nonnegative)
    model.observable_action(inputs.reshape(-1, model.n_features)[:1])  # a form says for itself if it cannot take such inputs
    single = isinstance(free, str)
    if single:
        as_word(free, "free", ("one",))
    masks = np.broadcast_to(True if free is None or single else _as_masks(free, inputs), inputs.shape)
    size_of_level = np.sqrt(abs(target)) if form == "quadratic" else 0.0
    exponents = scaling_exponents(inputs, np.array([size_of_level]))
    scaled = times_power_of_2(inputs, -exponents).reshape(-1, model.n_features)
    powers = exponents.reshape(-1)
    offset = target if form == "normalized" else 0.0  # z' (M - level) z = 0
    levels = np.zeros(len(scaled)) if form == "normalized" else np.ldexp(target, -2 * powers)
    solve: Callable[[Array, float, Array], _Found]
    if isinstance(model, Model) and not real and free is None and _has_two_eigenvalues(model):
        solve = partial(_in_plane, model, offset)
    else:
        by = _one_feature if single else _nonnegative if nonnegative else _global
        solve = partial(by, _spectra(model, real=real, offset=offset), nonnegative)
    rows = zip(scaled, levels, masks.reshape(scaled.shape), strict=True)
    with progress_bars(progress):
        found = [
            solve(row, float(aim), np.flatnonzero(mask))
            for row, aim, mask in track(rows, "find counterfactuals", "input", total=len(scaled))
        ]
    if form == "normalized":  # the zero vector has no score
        found = [each if each.z is not None and np.abs(each.z).max() > _ZERO else _NO_DIRECTION for each in found]
    return _result(model, inputs, found, exponents, target, form)


def _check_inputs(inputs: Array, *, form: Form, real: bool, nonnegative: bool) -> None:
    if form == "normalized" and not inputs.any(axis=-1).all():
        raise ValueError("an input is the zero vector: form='normalized' has no value there")
    if real and np.iscomplexobj(inputs):
        raise ValueError("x is complex; give real=False, so that its amplitudes may stay complex")
    if nonnegative and not real:
        raise ValueError("nonnegative=True needs real=True: complex amplitudes have no sign")
    if nonnegative and (inputs < 0).any():
        index = ", ".join(map(str, np.argwhere(inputs < 0)[0]))
        raise ValueError(f"x[{index}] is negative; nonnegative=True needs inputs without negative amplitudes")


def _as_masks(free: ArrayLike, inputs: Array) -> Array:
    masks = np.asarray(free)
    if masks.dtype != bool or masks.ndim == 0 or masks.shape[-1] != inputs.shape[-1]:
        raise ValueError(
            f"free of dtype {masks.dtype} and shape {masks.shape} must be True or False for each of {inputs.shape[-1]} "
            "features, 'one' or None"
        )
    try:
        return np.broadcast_to(masks, inputs.shape)
    except ValueError:
        raise ValueError(f"free.shape={masks.shape} must broadcast to x.shape={inputs.shape}") from None


@dataclass(frozen=True, eq=False)
class _Found:
    """The nearest input of the level for one input.

    Args:
        z: Changed input, (features,); None where the level cannot be reached.
        multiplier: Multiplier t of the constraint, (1 + t M) (z - x) = -t M x.
        message: What a reader must know.
        is_global: No smaller change exists.
    """

    z: Array | None
    multiplier: float = 0.0
    message: str = ""
    is_global: bool = True


_NO_DIRECTION = _Found(None, message="out of reach: the features that may change cannot bring the score per squared norm there")


class _Spectra:
    """A Hermitian matrix with the eigenvalues and eigenvectors of its blocks, of which the last few are kept.

    Args:
        matrix: Hermitian matrix, (features, features).
        size: Norm to which the rounding of the matrix is relative, such as that of M where the matrix is its real part.
    """

    def __init__(self, matrix: Array, size: float) -> None:
        self.matrix = matrix
        self.zero = _ZERO * size  # below which entries and eigenvalues are rounding
        self._of = lru_cache(maxsize=8)(self._decompose)

    def of(self, free: Array) -> tuple[FloatArray, Array]:
        """Return the eigenvalues, (free,), and the eigenvectors, (free, free), of the block of some features."""
        return self._of(free.tobytes())

    def _decompose(self, key: bytes) -> tuple[FloatArray, Array]:
        free = np.frombuffer(key, dtype=np.int64)
        values, vectors = np.linalg.eigh(self.matrix[np.ix_(free, free)])
        return values, vectors


def _spectra(model: QuadraticForm, *, real: bool, offset: float) -> _Spectra:
    """Return the spectra of M, or of Re(M), less a multiple of the identity."""
    if model.n_features > _FEATURES_MAX:
        raise ValueError(
            f"M of {model.n_features:,} features is too large to be diagonalised, at most {_FEATURES_MAX:,}; "
            "a Model with one Pauli string takes any number with real=False and without free"
        )
    matrix = matrix_of(model) - offset * np.eye(model.n_features)
    return _Spectra(np.asarray(matrix.real if real else matrix), float(np.linalg.norm(matrix, np.inf)))


def _has_two_eigenvalues(model: Model) -> bool:
    """Return True for one Pauli string, and a multiple of the identity, behind a unitary circuit: M has two eigenvalues."""
    single = sum(len(term) > 0 for term in model.pauli_sum) == 1
    return single and model.is_unitary and not model.environment


def _in_plane(model: Model, offset: float, x: Array, level: float, free: Array) -> _Found:
    """Return the global minimum for a matrix with two eigenvalues: it lies in the plane of x and M x, whatever the size."""

    def act(v: Array) -> Array:
        return np.asarray(observable_action(model, v) - offset * v)

    size = model.observable_size + abs(offset)
    basis, k = [x / (np.linalg.norm(x) or 1.0)], 0
    if not x.any():
        basis = [np.eye(1, len(x), 0)[0]]
    second = act(basis[0])
    while True:  # an eigenvector of M has no second direction: one of the other eigenvectors takes part
        second = second - basis[0] * np.vdot(basis[0], second)
        length = np.linalg.norm(second)
        if length > _ZERO * size:
            break
        unit = np.eye(1, len(x), k)[0]
        second, k = act(unit) - unit * np.vdot(basis[0], act(basis[0])), k + 1
    vectors = np.array([*basis, second / length]).T
    small = vectors.conj().T @ np.array([act(v) for v in vectors.T]).T
    found = _global(_Spectra((small + small.conj().T) / 2, size), False, vectors.conj().T @ x, level, np.arange(2))
    return found if found.z is None else replace(found, z=vectors @ found.z)


def _global(spectra: _Spectra, _: bool, x: Array, level: float, free: Array) -> _Found:
    """Return the global minimum of |z - x| over the features that may change."""
    acted = spectra.matrix @ x
    score = float(np.vdot(x, acted).real)
    if score == level:
        return _Found(x)
    sign = 1.0 if level < score else -1.0  # of M, so that the score has to fall
    values, vectors = spectra.of(free)
    values, parts = sign * values, sign * (vectors.conj().T @ acted[free])
    flat = np.abs(values) <= spectra.zero
    values = np.where(flat, 0.0, values)
    rounding = spectra.zero * float(np.linalg.norm(x))  # of the parts
    need, edge, message = abs(score - level), -float(values.min(initial=0.0)), ""
    if edge > 0:
        change, multiplier, message = _step_before_pole(values, parts, need, edge)
    elif np.linalg.norm(parts[flat]) > rounding:
        change, multiplier = _step(values, parts, need)
    else:  # the score has a least value
        parts, slopes = np.where(flat, 0.0, parts), np.where(flat, 1.0, values)
        largest = float(np.sum(np.abs(parts) ** 2 / slopes))
        if need > largest + rounding * np.linalg.norm(x):
            return _unreached(level, score, score - sign * largest)
        if need < largest * (1 - _ZERO):
            change, multiplier = _step(values, parts, need)
        else:
            change, multiplier = -parts / slopes, np.inf
    z = x.astype(np.result_type(x, vectors), copy=True)
    z[free] += vectors @ change
    return _Found(z, sign * multiplier, message)


def _step(values: FloatArray, parts: Array, need: float, most: float = np.inf) -> tuple[Array, float]:
    """Return the change in eigenvectors, with its multiplier t up to `most`, for a fall of the score that is reached there."""
    squares = np.abs(parts) ** 2

    def missing(t: float) -> float:
        return float(np.sum(squares * t * (2 + t * values) / (1 + t * values) ** 2)) - need

    low, high = 0.0, min(need / (2 * float(squares.sum())), most)  # the root for values 0
    while high < most and missing(high) < 0:
        low, high = high, min(2 * high, most)
    t = float(brentq(missing, low, high, xtol=1e-300, rtol=1e-15)) if missing(high) > 0 else high
    return -t * parts / (1 + t * values), t


def _step_before_pole(values: FloatArray, parts: Array, need: float, edge: float) -> tuple[Array, float, str]:
    """Return the change in eigenvectors, with its multiplier, where an eigenvalue is negative, so that every fall is reached.

    Near the pole the multiplier is t = (1 - e) / edge for the lowest value -edge, with e from 1/2 down to 0 at the pole.
    """
    squares = np.abs(parts) ** 2
    ratios = -values / edge
    rest = values / edge + 1  # 1 - ratio, without cancellation for the multiples of the lowest value

    def fall(e: float) -> float:
        t, slopes = (1 - e) / edge, rest + e * ratios
        return float(np.sum(squares * t * (2 + t * values) / slopes**2))

    if fall(0.5) >= need:
        return *_step(values, parts, need, 0.5 / edge), ""
    extreme = rest <= _ZERO
    weight = float(squares[extreme].sum())
    is_small = weight <= (_ZERO * np.sqrt(need * edge)) ** 2
    if is_small:  # x has no part in the extreme eigenvectors: the pole itself may be needed
        squares = np.where(extreme, 0.0, squares)
        rest = np.where(extreme, 1.0, rest)
        ratios = np.where(extreme, 0.0, ratios)
        at_pole = fall(0.0)
        if at_pole < need:
            change = np.where(extreme, 0.0, -parts / edge / rest)
            change[int(np.argmin(values))] = np.sqrt((need - at_pole) / edge)
            return change, 1 / edge, _NOT_UNIQUE
        e = float(brentq(lambda e: fall(e) - need, 0.0, 0.5, xtol=1e-16, rtol=1e-15))
    else:
        least = np.sqrt(weight / (edge * need + weight)) / 2  # the extreme eigenvectors alone fall enough there
        e = float(np.exp(brentq(lambda log: fall(np.exp(log)) - need, np.log(least), np.log(0.5), xtol=1e-15, rtol=1e-15)))
    t = (1 - e) / edge
    change = -t * parts / (rest + e * ratios)
    return np.where(extreme, 0.0, change) if is_small else change, t, ""


def _unreached(level: float, score: float, best: float) -> _Found:
    limit = "most" if level > score else "least"
    return _Found(None, message=f"out of reach: the features that may change bring the score to {best:.4g} at {limit}")


def _one_feature(spectra: _Spectra, nonnegative: bool, x: Array, level: float, free: Array) -> _Found:
    """Return the smallest change of one feature: a root of F + 2 s |g_k| + s^2 M_kk = level along the direction of g = M x."""
    acted = spectra.matrix @ x
    score = float(np.vdot(x, acted).real)
    if score == level:
        return _Found(x)
    slopes, curvatures = np.abs(acted[free]), np.diagonal(spectra.matrix).real[free]
    slopes = np.where(slopes > spectra.zero * np.linalg.norm(x), slopes, 0.0)
    curvatures = np.where(np.abs(curvatures) > spectra.zero, curvatures, 0.0)
    directions = np.where(slopes > 0, acted[free] / np.where(slopes > 0, slopes, 1), 1)
    need = level - score
    with np.errstate(all="ignore"):
        roots = np.sqrt(slopes**2 + curvatures * need)
        steps = np.stack([need / (slopes + roots), need / (slopes - roots)])  # the smaller root first
        if nonnegative:
            steps[x[free] + steps * directions < 0] = np.nan
    steps[~np.isfinite(steps)] = np.nan
    if np.isnan(steps).all():
        return _Found(None, message="out of reach: no single feature that may change brings the score there")
    which, position = np.unravel_index(np.nanargmin(np.abs(steps)), steps.shape)
    step, k = steps[which, position], free[position]
    z = x.astype(np.result_type(x, acted), copy=True)
    z[k] += step * directions[position]
    slope = float((np.conj(directions[position]) * (spectra.matrix[k] @ z)).real)
    return _Found(z, -float(step) / slope if slope else 0.0)


def _nonnegative(spectra: _Spectra, _: bool, x: Array, level: float, free: Array) -> _Found:
    """Return a local minimum of |z - x| with z >= 0, by an active set: features at 0 that would become negative."""
    at_zero: set[int] = set()
    seen: set[frozenset[int]] = set()
    best: _Found | None = None
    for _round in range(_ROUNDS):
        start, moving = x.copy(), np.array([k for k in free.tolist() if k not in at_zero], dtype=np.int64)
        start[list(at_zero)] = 0.0
        found = _global(spectra, False, start, level, moving)
        if found.z is None:
            break
        z = found.z
        negative = {int(k) for k in moving if z[k] < -_ZERO * np.abs(x).max()}
        if negative:
            at_zero |= negative
            continue
        z = np.maximum(z, 0.0)
        if best is None or best.z is None or np.linalg.norm(z - x) < np.linalg.norm(best.z - x):
            best = _Found(z, found.multiplier, _LOCAL if at_zero else found.message, not at_zero)
        if not np.isfinite(found.multiplier):
            break
        seen.add(frozenset(at_zero))
        pull = {k: -x[k] + found.multiplier * float(spectra.matrix[k] @ z) for k in at_zero}
        released = min(pull, key=lambda k: pull[k], default=-1)
        if released < 0 or pull[released] >= 0 or frozenset(at_zero - {released}) in seen:
            break
        at_zero -= {released}
    if best is not None:
        return best
    return _Found(None, message="no change was found that reaches the level without negative amplitudes; there may be one")


def _result(
    model: QuadraticForm, inputs: Array, found: Sequence[_Found], exponents: Array, level: float, form: Form
) -> Counterfactual:
    shape, features = inputs.shape[:-1], inputs.shape[-1]
    rows, powers = inputs.reshape(-1, features), exponents.reshape(-1, 1)
    reached = np.array([each.z is not None for each in found], dtype=bool)
    scaled = times_power_of_2(rows, -powers)
    z = np.array([row if each.z is None else each.z for row, each in zip(scaled, found, strict=True)]).reshape(rows.shape)
    distance = np.linalg.norm(z - scaled, axis=1)
    stderr = np.zeros(len(rows))
    if isinstance(model, LearnedModel) and reached.any():
        moved = reached & (distance > 0)
        multipliers, errors = np.abs([each.multiplier for each in found]), np.zeros(len(rows))
        errors[moved] = model.expectation_stderr(z[moved])
        moved &= errors > 0
        stderr[moved] = multipliers[moved] * errors[moved] / (2 * distance[moved])
    z = rescaled(z, powers, "a changed input")
    distance = np.where(reached, rescaled(distance, powers[:, 0], "a distance"), np.inf)
    score = quadratic_value(model, z)
    if form == "normalized":
        norms = np.sum(np.abs(times_power_of_2(z, -powers)) ** 2, axis=1)
        score = quadratic_value(model, times_power_of_2(z, -powers)) / np.where(norms > 0, norms, 1)
    return Counterfactual(
        inputs,
        z.reshape(*shape, features),
        distance.reshape(shape),
        reached.reshape(shape),
        level,
        score.reshape(shape),
        times_power_of_2(stderr, powers[:, 0]).reshape(shape),
        np.array([each.is_global for each in found], dtype=bool).reshape(shape),
        tuple(each.message for each in found),
        notes_of(model),
        contract_of(model),
    )
