"""The strings of a learned observable and their prior: chosen by the circuit's structure, by a simulation, or by the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hattriq_cirq.attribution.baselines import BaselineSet, resolve
from hattriq_cirq.estimators.probe_design import ProbeDesign
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.checks import ArgumentTypeError, as_word, check_type, shown
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.log import Log
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.coefficient_fit import CoefficientPrior, OutsideStrings, ProbeOutcomes, empirical_bayes
from hattriq_cirq.models.heavy_tails import HeavyTails
from hattriq_cirq.models.learned import PriorKind, StringsSource
from hattriq_cirq.models.model import Model, check_columns, model_inputs
from hattriq_cirq.models.pauli_propagation import WeightedStrings, exact_strings, important_strings, structure_strings
from hattriq_cirq.models.pauli_strings import PauliStrings

log = Log("workflows")
_SHARE = 0.9999  # share of a map's weight that the list of important strings holds
_OUTSIDE_MAX = 4_096  # strings outside the list that are tested; those on the fewest qubits are seen most often
_ALLOWED_MAX = 2**16  # strings of the structure among which they are looked for
_STRINGS_MAX = 12_000  # their covariance is one matrix
_FLOOR = 1e-6  # smallest prior variance of `magnitude`, as a share of the mean
_SCALED = 10  # qubits up to which the scales of empirical Bayes are predicted by simulating the model
_SURE = 0.9  # largest share of the square of an outcome that a prediction takes from its expectation
_SIMULATED = 16  # qubits up to which the sizes of maps are computed by simulating the model


@dataclass(frozen=True, eq=False)
class ChosenStrings(Frozen):
    """The strings of a campaign, their importance for maps, and their prior.

    Args:
        strings: Strings whose coefficients are fitted.
        importance: Weight of each for a map, (strings,).
        real: True if inputs are real, so that strings with an odd number of Y are left out.
        source: Origin of the list.
        prior: Kind of prior.
        magnitudes: Squared coefficients of the simulated circuit, (strings,); None if they are not wanted.
        truncated_share: Share of the weight of maps that is left out, as far as it is known.
        squared_norm: Sum of the squares of all coefficients of M, known from the observable.
        map_size: Mean squared L2 norm of the maps of the inputs, in the units of `importance`.
        example: Difference x - b and sum x + b of one input, (features,) each; those of equal amplitudes without inputs.
        outside: Strings that the structure of the circuit allows and the list leaves out, with their expected squares: those of
            the simulated circuit where the list is from it, and else 0; None where there are none, or too many to be listed.
        simulated: Squared coefficients of the simulated circuit from which the list is, (strings,); None if it is not from one.
        expected: Variances by which errors are predicted, (strings,): those of the prior, and for empirical Bayes the mean
            squares of the simulated coefficients of each number of qubits, up to 10 qubits; None for least squares.
        tails: The simulated coefficients, for empirical Bayes up to 10 qubits: they predict errors and prices, and no result
            depends on them.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> chosen = ChosenStrings.of(ring_ansatz(2, layers=1), None, 0, "structure", "flat")
        >>> len(chosen.strings), chosen.prior_variances().round(3).tolist()[:2], chosen.map_size
        (7, [0.143, 0.143], 1.0)
    """

    strings: PauliStrings
    importance: FloatArray
    real: bool
    source: StringsSource
    prior: PriorKind
    magnitudes: FloatArray | None
    truncated_share: float
    squared_norm: float
    map_size: float
    example: tuple[Array, Array]
    outside: OutsideStrings | None = None
    simulated: FloatArray | None = None
    expected: FloatArray | None = None
    tails: HeavyTails | None = None

    @classmethod
    def of(
        cls,
        model: Model,
        inputs: ArrayLike | None,
        baseline: float | ArrayLike | BaselineSet,
        strings: str | Sequence[str],
        prior: PriorKind,
    ) -> ChosenStrings:
        """Choose the strings of a model for inputs.

        Raises:
            ValueError: Inputs or strings do not fit the model, there are too many strings, or there is nothing to learn.
        """
        ends = None if inputs is None else _ends(model, inputs, baseline)
        real = ends is None or not any(map(np.iscomplexobj, ends))

        def importance(of: PauliStrings) -> FloatArray:
            return np.ones(len(of)) if ends is None else of.importance(*ends)

        found: WeightedStrings | None = None
        simulated: WeightedStrings | None = None
        source: StringsSource = "given"
        if isinstance(strings, str):
            source = as_word(strings, "strings", ("structure", "important"))
        if source == "important" or prior == "magnitude":
            found = exact_strings(model, real=real)
        if source == "structure":
            chosen = structure_strings(model, real=real)
        elif source == "important" and found is not None:
            simulated = found
            found = important_strings(found, importance(found.strings), _SHARE)
            chosen = found.strings
        else:
            chosen = _given_strings(model, strings, real)
        if not len(chosen):
            raise ValueError(
                "there is nothing to learn: no Pauli string of the model acts on "
                f"{'real inputs, whose maps are zero' if real else 'the inputs'}; check the observable"
            )
        if len(chosen) > _STRINGS_MAX:
            raise ValueError(
                f"{len(chosen):,} Pauli strings are too many to learn, at most {_STRINGS_MAX:,}; use strings='important', or a "
                "shallower model"
            )
        magnitudes = None
        if prior == "magnitude" and found is not None:
            known = dict(zip(found.strings.texts, (found.coefficients**2).tolist(), strict=True))
            magnitudes = np.array([known.get(text, 0.0) for text in chosen.texts])
        truncated = found.truncated_share if source == "important" and found is not None else 0.0
        squared_norm = sum(abs(term.coefficient) ** 2 for term in model.pauli_sum if len(term))
        weights = importance(chosen)
        size = squared_norm * float(weights.mean()) if ends is None else _map_size(model, *ends, weights, squared_norm)
        equal = np.full(model.n_features, model.n_features**-0.5)
        example = (equal, equal) if ends is None else (ends[0][0], ends[1][0])
        outside = None if source == "structure" else _outside(model, chosen, real, simulated)
        squares = found.coefficients**2 if source == "important" and found is not None else None
        found_so_far = cls(
            chosen, weights, real, source, prior, magnitudes, truncated, squared_norm, size, example, outside, squares
        )
        is_scaled = prior == "empirical_bayes" and model.n_qubits <= _SCALED
        if not is_scaled:
            return replace(found_so_far, expected=found_so_far.prior_variances())
        tails = HeavyTails(chosen.coefficients_of(model.matrix), chosen.weights)
        return replace(found_so_far, expected=class_means(tails.coefficients**2, tails.classes, _FLOOR), tails=tails)

    def prior_variances(self) -> FloatArray | None:
        """Return the prior variance of each coefficient before any outcome, (strings,); None for least squares.

        Equal variances stand for those of empirical Bayes, which takes its scales from the outcomes.
        """
        if self.prior == "none":
            return None
        flat = np.full(len(self.strings), self.squared_norm / len(self.strings))
        return flat if self.magnitudes is None else np.maximum(self.magnitudes, _FLOOR * flat)

    def spread(self, design: ProbeDesign, size: float) -> float:
        """Return the expected variance of an outcome of the probes of a design, given its largest absolute value."""
        expected = np.full(len(self.strings), self.squared_norm / len(self.strings)) if self.expected is None else self.expected
        return size**2 - min(float(expected @ design.shares), _SURE * size**2)

    @property
    def left_out(self) -> float:
        """Mean squared L2 norm of what the list leaves out of a map, as far as it is known."""
        if self.simulated is None or self.truncated_share == 0:
            return self.truncated_share * self.map_size
        return float(self.importance @ self.simulated) * self.truncated_share / (1 - self.truncated_share)

    def without(self, share: float) -> ChosenStrings:
        """Return the choice with fewer strings, which leave out a share of the weight of maps; strings are only given up.

        Raises:
            ValueError: The list is not from a simulation, so that no weight is known.
        """
        if self.simulated is None:
            raise ValueError("strings that are not from a simulation have no known weight")
        weights = self.importance * self.simulated
        total = float(weights.sum()) / (1 - self.truncated_share)
        kept = max(1, int(np.searchsorted(np.cumsum(weights), (1 - share) * total)) + 1)  # the most important come first
        if kept >= len(self.strings):
            return self
        first, rest = np.arange(kept), np.arange(kept, len(self.strings))
        outside = OutsideStrings(self.strings.select(rest), self.simulated[rest])
        if self.outside is not None:
            outside = outside.joined(self.outside)
        fewer = replace(
            self,
            strings=self.strings.select(first),
            importance=self.importance[first],
            simulated=self.simulated[first],
            magnitudes=None if self.magnitudes is None else self.magnitudes[first],
            truncated_share=1 - float(weights[:kept].sum()) / total,
            outside=outside,
        )
        return replace(fewer, expected=fewer.prior_variances())

    def with_outside(self, outcomes: ProbeOutcomes) -> ProbeOutcomes:
        """Return outcomes with the variance that strings outside the list are expected to add."""
        if self.outside is None:
            return outcomes
        return replace(outcomes, variances=outcomes.variances + self.outside.variance_in(outcomes.states))

    def fitted_prior(self, outcomes: ProbeOutcomes, noise: FloatArray) -> CoefficientPrior | None:
        """Return the prior of the coefficients; None for least squares.

        Args:
            outcomes: Outcomes of the probes, from which empirical Bayes takes its scales.
            noise: Variance of each outcome, (probes,).
        """
        if self.prior == "empirical_bayes":
            return empirical_bayes(self.strings, outcomes, noise)
        variances = self.prior_variances()
        return None if variances is None else CoefficientPrior.known(variances)


def class_means(squares: FloatArray, classes: NDArray[np.int64], floor: float) -> FloatArray:
    """Return the mean of each string's class, (strings,), and at least a share `floor` of the mean of all."""
    means = np.bincount(classes, squares) / np.maximum(np.bincount(classes), 1)
    return np.asarray(np.maximum(means[classes], floor * squares.mean()))


def _ends(model: Model, inputs: ArrayLike, baseline: float | ArrayLike | BaselineSet) -> tuple[Array, Array]:
    """Return the differences x - b and sums x + b of inputs and baselines, (samples, features) each."""
    check_columns(model, baseline, "baseline")
    amplitudes = model_inputs(model, inputs, "inputs")
    references, _ = resolve(baseline, amplitudes)
    rows = amplitudes.reshape(-1, model.n_features)
    if not len(rows) or not (rows - references).any():
        raise ValueError("inputs must hold at least one input that differs from the baseline; leave inputs out for any input")
    return tuple(np.reshape(ends, (-1, model.n_features)) for ends in (rows - references, rows + references))  # type: ignore[return-value]


def _map_size(model: Model, left: Array, right: Array, importance: FloatArray, squared_norm: float) -> float:
    """Return the mean squared L2 norm of maps: simulated, or beyond a few qubits that of coefficients of equal size."""
    if model.n_qubits > _SIMULATED:
        return squared_norm * float(importance.mean())
    maps = (left.conj() * model.observable_action(right)).real
    return float(np.mean(np.sum(maps**2, axis=-1)))


def _outside(model: Model, kept: PauliStrings, real: bool, simulated: WeightedStrings | None) -> OutsideStrings | None:
    """Return the strings that the structure allows and a list leaves out, those on the fewest qubits if there are many.

    Args:
        model: Model.
        kept: Strings of the list.
        real: True without strings of an odd number of Y.
        simulated: Strings of the simulated circuit, whose squares are expected; None if the list is not from it.
    """
    try:
        allowed = structure_strings(model, real=real, limit=_ALLOWED_MAX)
    except ValueError as error:
        log.info("of the strings outside the list only those of the simulation are tested: %s", error)
        if simulated is None:
            return None
        allowed = simulated.strings.select(np.argsort(simulated.strings.weights, kind="stable"))

    def codes(strings: PauliStrings) -> NDArray[np.int64]:
        return strings.x_masks << strings.n_qubits | strings.z_masks

    outside = allowed.select(~np.isin(codes(allowed), codes(kept)))
    outside = outside.select(np.arange(min(len(outside), _OUTSIDE_MAX)))
    variances = np.zeros(len(outside))
    if simulated is not None:
        _, own, its = np.intersect1d(codes(outside), codes(simulated.strings), return_indices=True)
        variances[own] = simulated.coefficients[its] ** 2
    return OutsideStrings(outside, variances) if len(outside) else None


def _given_strings(model: Model, texts: Sequence[str], real: bool) -> PauliStrings:
    """Return strings that the user lists, checked to fit the model."""
    check_type(texts, "strings", Sequence, "'structure', 'important', or texts such as ['XIZ', 'ZZI']")
    if not all(isinstance(text, str) for text in texts):
        raise ArgumentTypeError(f"strings={shown(texts)} must be texts, such as ['XIZ', 'ZZI']")
    strings = PauliStrings.from_text(list(dict.fromkeys(texts)))
    if strings.n_qubits != model.n_qubits:
        raise ValueError(f"strings of {strings.n_qubits} letters do not fit a model of {quantity(model.n_qubits, 'qubit')}")
    if (strings.supports == 0).any():
        raise ValueError("the identity is among the strings; leave it out: its coefficient is known")
    if real and not strings.is_real.all():
        odd = strings.select(~strings.is_real).texts[0]
        raise ValueError(
            f"string {odd} has an odd number of Y, which real inputs do not see; leave it out, or give complex inputs"
        )
    return strings
