"""Interactions between features: how much of the score each pair of features contributes together.

For the game "x on the features S, b elsewhere" of F(x) = x' M x everything is known in closed form: F is the sum of F(b), of
main effects m_k = 2 Re(conj(d_k) (M b)_k) + M_kk |d_k|^2 and of pair effects I_jk = 2 Re(conj(d_j) M_jk d_k), with d = x - b;
there are no triples. Integrated gradients are m_k + 1/2 sum_j I_jk. The SHAP interaction matrix (Lundberg et al., Nature
Machine Intelligence 2, 2020) has m_k on its diagonal and I_jk / 2 beside it, so that its rows sum to the map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.baselines import BaselineSet, of_input, resolve
from hattriq_cirq.attribution.measured_errors import notes_of
from hattriq_cirq.foundation.arrays import (
    Array,
    FloatArray,
    IntArray,
    as_amplitudes,
    largest_first,
    normal_interval,
    rescaled,
    scaling_exponents,
    times_power_of_2,
)
from hattriq_cirq.foundation.card import ROWS, Card, Displayed
from hattriq_cirq.foundation.checks import as_count
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.learned import LearnedModel
from hattriq_cirq.models.model import check_columns, contract_of
from hattriq_cirq.models.quadratic_form import QuadraticForm, check_quadratic_form, matrix_of, observable_action

_ARRAYS = ("values", "stderr", "systematic", "rare_stderr")
_BYTES_MAX = 2**32  # of a matrix of interactions


class PairEffect(NamedTuple):
    """Pair effect I_jk of two features or groups: the change of the score that neither makes without the other.

    Example:
        >>> PairEffect(0, 3, 0.48, 0.0).value
        0.48
    """

    first: int
    second: int
    value: float
    stderr: float


@dataclass(frozen=True, eq=False, repr=False)
class Interactions(Displayed, Frozen):
    """SHAP interaction matrices of one input or a batch; all arrays are read-only.

    Args:
        values: Matrices, (..., rows, columns): main effects m_k where row and column are the same feature or group, else half
            of the pair effect, I_jk / 2.
        stderr: Standard error of each entry, in the same shape; 0 for an exact matrix.
        rows: Features or groups of the rows, (rows,).
        columns: Features or groups of the columns, (columns,).
        systematic: Standard deviation of what noise and its correction may leave in each entry, in the same shape; None where
            nothing is known of it.
        rare_stderr: Standard deviation that outcomes too rare to have been counted add in intervals; None for exact matrices.
        notes: Findings about the errors, one sentence each.
        contract: Form of the data of the model, with the names of the features; None for groups, or if it is not recorded.

    Example:
        >>> import hattriq_cirq as hq
        >>> found = hq.interactions(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.0, 0.8])
        >>> found.values.shape, found.attribution.round(2) + 0
        ((4, 4), array([ 0.36,  0.  ,  0.  , -0.64]))
    """

    values: FloatArray
    stderr: FloatArray
    rows: IntArray
    columns: IntArray
    systematic: FloatArray | None = None
    rare_stderr: FloatArray | None = None
    notes: tuple[str, ...] = ()
    contract: DataContract | None = None

    @property
    def attribution(self) -> FloatArray:
        """Sum of each row, (..., rows): with all columns, the attribution of its feature or group."""
        return np.asarray(self.values.sum(axis=-1))

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Return the low and high ends of the interval of each entry, in the shape of `values`.

        Args:
            level: Probability that an interval holds the exact entry, between 0 and 1.
        """
        return normal_interval(self.values, self.stderr, level, self.rare_stderr, self.systematic)

    def pairs(self, top: int = 12) -> list[PairEffect]:
        """Return the pairs of the largest pair effects |I_jk| of one input, the largest first.

        Args:
            top: Number of pairs, at least 1; pairs without an effect are left out.

        Returns:
            Pairs of features or groups with their whole effect, twice the entry of the matrix, and its standard error.

        Raises:
            ValueError: The interactions are those of a batch.

        Example:
            >>> import cirq
            >>> import hattriq_cirq as hq
            >>> model = hq.ring_ansatz(2, layers=0, observable=cirq.X(cirq.q(0)))
            >>> [(pair.first, pair.second) for pair in hq.interactions(model, [0.6, 0.0, 0.8, 0.0]).pairs(top=1)]
            [(0, 2)]
        """
        if self.values.ndim != 2:
            raise ValueError(f"{self.values.shape=} is a batch; select one input, as in interactions[0], to list its pairs")
        top = as_count(top, "top")
        twice = np.isin(self.rows, self.columns)[:, np.newaxis] & np.isin(self.columns, self.rows)  # the first entry is taken
        counted = (self.rows[:, np.newaxis] < self.columns) | (~twice & (self.rows[:, np.newaxis] > self.columns))
        sizes = np.abs(np.where(counted, self.values, 0.0)).reshape(-1)
        largest = np.argpartition(-sizes, top - 1)[:top] if top < sizes.size else np.arange(sizes.size)
        largest = np.sort(largest[sizes[largest] > 0])
        found = []
        for place in largest[largest_first(sizes[largest])].tolist():
            i, j = divmod(place, len(self.columns))
            first, second = sorted((int(self.rows[i]), int(self.columns[j])))
            found.append(PairEffect(first, second, 2 * float(self.values[i, j]), 2 * float(self.stderr[i, j])))
        return found

    def select(self, rows: ArrayLike, columns: ArrayLike) -> Interactions:
        """Return some rows and columns of the matrices, by their features or groups.

        Raises:
            ValueError: A feature or group is not among the rows or columns.
        """
        i, j = (_places(own, wanted) for own, wanted in ((self.rows, rows), (self.columns, columns)))
        return self._with(lambda array: array[..., i[:, np.newaxis], j], rows=self.rows[i], columns=self.columns[j])

    def _with(self, part: Callable[[FloatArray], FloatArray], **fields: Any) -> Interactions:
        """Return a part of every array, with other fields."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        fields |= {name: None if array is None else part(array) for name, array in arrays.items()}
        return replace(self, **fields)

    def __getitem__(self, index: int | slice) -> Interactions:
        """Return the interactions of some inputs of a batch."""
        if self.values.ndim < 3:
            raise IndexError("these are the interactions of one input, which has no parts")
        return self._with(lambda array: array[index])

    def grouped(self, groups: ArrayLike) -> FloatArray:
        """Return the interactions between groups of features: sums over blocks of the whole matrix.

        `hattriq_cirq.interactions(..., groups=...)` computes them without the matrix of all features, and with errors.

        Args:
            groups: Integer label of each feature, 0 .. R - 1, (features,) or an image.

        Returns:
            Matrices, (..., R, R), whose rows sum to the attribution of the groups.

        Example:
            >>> import hattriq_cirq as hq
            >>> found = hq.interactions(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.0, 0.8])
            >>> found.grouped([0, 0, 1, 1]).round(2) + 0
            array([[ 0.36,  0.  ],
                   [ 0.  , -0.64]])
        """
        if not np.array_equal(self.rows, self.columns):
            raise ValueError(
                f"{self.values.shape=} has only some of the rows or columns; compute the interactions of all features"
            )
        member = group_members(groups, self.values.shape[-1])
        return np.asarray(member @ self.values @ member.T)

    def card(self) -> Card:
        """Return the size of the matrices, and of a single input the pairs with the largest effect."""
        *lead, rows, columns = self.values.shape
        of = quantity(int(np.prod(lead)), "input") if lead else "one input"
        title = f"Interactions of {of}: matrix of {rows} x {columns} features or groups"
        if lead:
            return Card(title, notes=self.notes)
        pairs = self.pairs(ROWS)
        name_of = str if self.contract is None else self.contract.feature_name
        effects = [(name_of(each.first), name_of(each.second), f"{each.value:+.4g}", f"{each.stderr:.1e}") for each in pairs]
        header = ("first", "second", "pair effect", "std. error")
        return Card(title, (), header if effects else (), effects, [each.value for each in pairs], numbers=2, notes=self.notes)


def _places(own: IntArray, wanted: ArrayLike) -> IntArray:
    listed = np.atleast_1d(np.asarray(wanted)).tolist()
    places = {feature: place for place, feature in enumerate(own.tolist())}
    if missing := [each for each in listed if each not in places]:
        raise ValueError(f"{missing[0]!r} is not among the {len(own):,} features or groups of the rows or columns")
    return np.array([places[each] for each in listed], dtype=np.int64)


def group_members(groups: ArrayLike | None, features: int) -> FloatArray:
    """Return a table of 0 and 1 that says which features belong to which group, (groups, features).

    Args:
        groups: Integer label of each feature, 0 .. R - 1, (features,) or an image with this number of pixels; None makes each
            feature a group of its own.
        features: Number of features.

    Raises:
        ValueError: The number of labels is wrong, or a label is negative or not below the number of features.

    Example:
        >>> group_members([0, 1, 1], 3)
        array([[1., 0., 0.],
               [0., 1., 1.]])
    """
    if groups is None:
        return np.eye(features)
    labels = np.asarray(groups).reshape(-1)
    if labels.shape != (features,) or labels.dtype.kind not in "iu":
        raise ValueError(f"groups of shape {np.shape(groups)} must hold an integer label >= 0 for each of {features} features")
    for label in (labels.min(), labels.max()):
        as_count(int(label), "a label of groups", 0, features - 1)
    return np.asarray(np.eye(labels.max() + 1)[labels].T)


def exact_interactions(
    model: QuadraticForm, x: ArrayLike, *, baseline: float | ArrayLike | BaselineSet = 0, groups: ArrayLike | None = None
) -> Interactions:
    """Compute the interactions of a quadratic form without circuits, with the errors of a learned model.

    Users call `hattriq_cirq.interactions`, which describes the arguments.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> exact_interactions(ring_ansatz(1, 0), [0.6, 0.8]).values.round(2)
        array([[ 0.36,  0.  ],
               [ 0.  , -0.64]])
    """
    check_quadratic_form(model)
    check_columns(model, x, "x")
    inputs = as_amplitudes(x, "x", model.n_features)
    references, _ = resolve(baseline, inputs)
    rows, lead = inputs.reshape(-1, model.n_features), inputs.shape[:-1]
    observable_action(model, rows[:1])  # a form says for itself if it cannot take such inputs
    member = group_members(groups, model.n_features)
    size = len(member)
    needed = len(rows) * size**2 * 8
    if needed > _BYTES_MAX:
        raise ValueError(
            f"interactions of {quantity(len(rows), 'input')} between {size:,} features take {needed / 2**30:.0f} GiB; give "
            "fewer inputs at a time, or groups=, an integer label for each feature"
        )
    matrix = matrix_of(model) if groups is None else None
    values, stderr, systematic = (np.zeros((len(rows), size, size)) for _ in range(3))
    for i, row in enumerate(rows):
        own = of_input(references, i)
        exponent = int(scaling_exponents(row[np.newaxis], own).max())
        scaled = [times_power_of_2(v, -exponent) for v in (row, own)]
        for b in scaled[1]:
            d = scaled[0] - b
            values[i] += _entries(model, matrix, member, d, b) / len(own)
        if isinstance(model, LearnedModel):
            stderr[i], systematic[i] = _errors(model, member, scaled[0], scaled[1], values[i])
        values[i], stderr[i], systematic[i] = (
            rescaled(part, 2 * exponent, "an interaction") for part in (values[i], stderr[i], systematic[i])
        )
    shape = (*lead, size, size)
    return Interactions(
        values.reshape(shape),
        stderr.reshape(shape),
        np.arange(size),
        np.arange(size),
        systematic.reshape(shape) if systematic.any() else None,
        notes=notes_of(model),
        contract=contract_of(model) if groups is None else None,
    )


def _entries(model: QuadraticForm, matrix: Array | None, member: FloatArray, d: Array, b: Array) -> FloatArray:
    """Return Re(conj(d_A) M d_B) between all groups, and 2 Re(conj(d_A) M b) in addition on the diagonal, (groups, groups)."""
    if matrix is not None:
        entries = (d.conj()[:, np.newaxis] * matrix * d).real
    else:
        acted = observable_action(model, member * d, real_part=not np.iscomplexobj(d))
        entries = (member * d.conj()) @ acted.T
        entries = (entries.real + entries.real.T) / 2
    if b.any():
        cross = 2 * (d.conj() * observable_action(model, b, real_part=not np.iscomplexobj(d))).real
        entries = entries + np.diag(member @ cross)
    return np.asarray(entries)


def _errors(
    model: LearnedModel, member: FloatArray, x: Array, references: Array, values: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return both parts of the errors of the entries for one input, (groups, groups) each: standard errors and systematic ones.

    Systematic are the error of the damping factor and what the list of strings leaves out.

    A string with X or Y on the qubits of a mask a joins the features j and j ^ a only. Without groups, an entry therefore
    depends on the strings of one mask; on the diagonal, a baseline makes it depend on all.
    """
    strings, size = model.strings, len(member)
    single = size == member.shape[1]
    ends = [(x - b, b) for b in references]
    variances, index = np.zeros((size, size)), np.arange(size)
    if single:
        both = np.mean([strings.bilinear(d, d) for d, _ in ends], axis=0)
        for mask, own in strings.by_x_mask:
            block = model.covariance[np.ix_(own, own)]
            variances[index, index ^ mask] = np.einsum("ks,ks->k", both[:, own] @ block, both[:, own])
        if references.any():
            weights = np.mean([2 * strings.bilinear(d, b) for d, b in ends], axis=0)
            weights[:, strings.x_masks == 0] += both[:, strings.x_masks == 0]
            variances[index, index] = model.variances(weights)
    else:
        for g in range(size):
            columns = np.mean([member @ strings.bilinear(d, member[g] * d) for d, _ in ends], axis=0)
            columns[g] += np.mean([2 * member[g] @ strings.bilinear(d, b) for d, b in ends], axis=0)
            variances[:, g] = model.variances(columns)
    systematic = np.zeros_like(values)
    if model.damping is not None:
        offset = model.identity_part * np.mean([np.abs(d) ** 2 + 2 * (d.conj() * b).real for d, b in ends], axis=0)
        systematic = np.abs(values - np.diag(member @ offset)) * model.damping.stderr
    stderr = np.sqrt((variances - systematic**2).clip(0))
    return stderr, np.hypot(systematic, model.left_out(values.reshape(-1)).reshape(values.shape))
