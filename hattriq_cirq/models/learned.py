"""The observable of a model as a processor computes it: measured coefficients, with the covariance of their errors."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import vstack
from scipy.special import chdtrc

from hattriq_cirq.foundation.array_files import read_arrays, write_arrays
from hattriq_cirq.foundation.arrays import Array, FloatArray, normal_interval
from hattriq_cirq.foundation.card import Card, Displayed
from hattriq_cirq.foundation.checks import check_type
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.identity import content_digest
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.foundation.reading import FileError, problem_of
from hattriq_cirq.foundation.schema import Count, load, parse_json
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.coefficient_errors import CampaignShare, CoefficientErrors, joint_draws, roots
from hattriq_cirq.models.coefficient_fit import (
    CoefficientFit,
    CoefficientPrior,
    Damping,
    OutsideStrings,
    ProbeOutcomes,
    RepeatedOutcomes,
)
from hattriq_cirq.models.model import Model, model_inputs
from hattriq_cirq.models.outcome_covariance import OutcomeCovariance
from hattriq_cirq.models.pauli_strings import PauliObservable, PauliStrings, ProductStates

_FORMAT = "hattriq_cirq.LearnedModel/1"
_PRIOR = ("errors", "doubt")  # arrays of a prior beside its variances; earlier files lack them
_SPREAD = 1.0  # effect of noise on a string beyond the common damping, as a share of that: it damps some more and mixes others
_EXACT = 1e-9  # largest difference between exact outcomes and a fit that describes them, relative to the largest outcome
StringsSource = Literal["structure", "important", "given"]
PriorKind = Literal["empirical_bayes", "flat", "magnitude", "none"]
_DOUBTFUL, _REFUTED = 0.05, 0.001  # p-values below which a prediction is doubtful, and refuted
_FAILURES = {
    "fit": "the fit does not predict the probes that were held out",
    "list": "strings outside the list have a signal, so that the list is too short",
    "drift": "the same circuits had other outcomes at the end of the campaign, so that the device has changed",
}
_WORDS = {
    "structure": "strings that the structure of the circuit allows, which owes nothing to a simulation",
    "important": "the most important strings of the simulated circuit",
    "given": "strings that were given",
    "empirical_bayes": "prior by empirical Bayes: how many coefficients are large, for each number of qubits, is from the data",
    "flat": "a prior of equal variances",
    "magnitude": "prior variances from the simulated circuit, so that the device gives signs and values only",
    "none": "no prior (least squares)",
}


@dataclass(frozen=True)
class LearningRecord(Frozen):
    """The settings and the cost of a campaign that learned a model, as text and numbers.

    Args:
        model_digest: Digest of the circuit, its qubits and the observable.
        observable: Observable as text.
        strings: Origin of the list of strings: `structure`, `important` or `given`.
        prior: Kind of prior: `empirical_bayes`, `flat`, `magnitude` or `none`.
        truncated_share: Share of the weight of an average map that the list leaves out, as far as it is known.
        engine: Name of the engine.
        engine_record: Everything that the engine states about itself, such as its snapshot.
        seed: Random seed of the campaign.
        mitigation: Corrections in a few words.
        calibration_id: Identifier of the readout calibration; None without one.
        shots: Number of shots of all probes; None for exact probabilities.
        circuits: Number of circuits of all probes.
        programs: Number of different circuits that were compiled.
        two_qubit_gates: Number of two-qubit gates of the largest circuit.
        calibration_shots: Number of shots of the mitigation's own circuits.
        notes: Findings, one sentence each.
        qubits: Data qubits as text, most significant first.
        readout_rates: Readout errors e0 and e1 of each qubit that was read and their standard errors, by the qubit as text;
            empty without a calibration per qubit.
        snapshot_digest: Digest of the processor's snapshot, device and calibration; None without a processor.
    """

    model_digest: str
    observable: str
    strings: StringsSource
    prior: PriorKind
    truncated_share: float
    engine: str
    engine_record: dict[str, Any]
    seed: Count
    mitigation: str
    calibration_id: str | None
    shots: Count | None
    circuits: Count
    programs: Count
    two_qubit_gates: Count
    calibration_shots: Count
    notes: tuple[str, ...] = ()
    qubits: tuple[str, ...] = ()
    readout_rates: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)
    snapshot_digest: str | None = None

    @property
    def origin(self) -> str:
        """The strings and the prior in words: how much of the answer the device gave."""
        return origin(self.strings, self.prior)


@dataclass(frozen=True, eq=False)
class Propagated(Frozen):
    """Quantities that are linear in a learned observable, with the covariance of their errors.

    Args:
        values: Values, (values,).
        covariance: Covariance of their errors, (values, values).

    Example:
        >>> Propagated(np.array([1.0]), np.array([[0.04]])).stderr
        array([0.2])
    """

    values: FloatArray
    covariance: FloatArray

    @property
    def stderr(self) -> FloatArray:
        """Standard error of each value, (values,)."""
        return np.asarray(np.sqrt(self.covariance.diagonal().clip(0)))

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Return the low and high ends of the interval of each value, (values,) each."""
        return normal_interval(self.values, self.stderr, level)


@dataclass(frozen=True)
class TestPart:
    """One of several questions that a test of a learned model asks.

    Args:
        question: What is asked: `fit`, `list` or `drift`.
        statistic: Chi-squared.
        degrees_of_freedom: Its degrees of freedom.
        pvalue: Probability of a statistic at least as large if nothing is wrong.
    """

    question: Literal["fit", "list", "drift"]
    statistic: float
    degrees_of_freedom: float
    pvalue: float

    __test__ = False  # no test of pytest

    def __str__(self) -> str:
        degrees = f"{self.degrees_of_freedom:.3g} degrees of freedom"
        return f"{self.question}: chi-squared {self.statistic:.1f} with {degrees}, p = {self.pvalue:.2g}"


@dataclass(frozen=True, eq=False)
class ProbeTest(Frozen):
    """Chi-squared test of the outcomes of probes against a prediction.

    A test of several parts has the statistic and the degrees of freedom of the least probable part; its p-value is the
    probability that the least probable of as many independent parts is at most as probable (Sidak).

    Args:
        statistic: Squared differences in units of their covariance.
        degrees_of_freedom: Number of independent differences.
        pvalue: Probability of a statistic at least as large if the prediction holds.
        predicted: Predicted expectations, (probes,).
        measured: Measured expectations, (probes,).
        stderr: Standard error of each difference, (probes,).
        damping: Common factor that was fitted to the prediction; 1 without one.
        parts: Questions that the test asks beside or instead of one comparison.
        ends: The same probes at the beginning and at the end of the campaign; None if they were not repeated.

    Example:
        >>> test = ProbeTest(9.0, 10, 0.53, np.zeros(10), np.zeros(10), np.ones(10))
        >>> print(test)
        chi-squared 9.0 with 10 degrees of freedom, p = 0.53
    """

    statistic: float
    degrees_of_freedom: float
    pvalue: float
    predicted: FloatArray
    measured: FloatArray
    stderr: FloatArray
    damping: float = 1.0
    parts: tuple[TestPart, ...] = ()
    ends: RepeatedOutcomes | None = None

    @property
    def failed(self) -> tuple[TestPart, ...]:
        """Parts that are doubtful or refuted, given how many there are."""
        return tuple(part for part in self.parts if _of_several(part.pvalue, len(self.parts)) < _DOUBTFUL)

    @property
    def verdict(self) -> str:
        """The p-value in words, with what has failed.

        Example:
            >>> ProbeTest(9.0, 10, 0.53, np.zeros(10), np.zeros(10), np.ones(10)).verdict
            'the outcomes agree with the prediction: chance alone makes 53% of campaigns differ as much'
        """
        reasons = " and ".join(_FAILURES[part.question] for part in self.failed)
        if self.pvalue >= _DOUBTFUL:
            return f"the outcomes agree with the prediction: chance alone makes {self.pvalue:.0%} of campaigns differ as much"
        if self.pvalue >= _REFUTED:
            doubt = f"there are signs that {reasons}" if reasons else "the prediction is doubtful"
            return f"{doubt}: chance alone makes only {self.pvalue:.1%} of campaigns differ as much"
        found = reasons or "the outcomes contradict the prediction"
        return f"{found}: chance alone makes under {_REFUTED:.1%} of campaigns differ as much"

    def __str__(self) -> str:
        if self.parts:
            return "; ".join([*map(str, self.parts), f"together p = {self.pvalue:.2g}"])
        return f"chi-squared {self.statistic:.1f} with {self.degrees_of_freedom} degrees of freedom, p = {self.pvalue:.2g}"


class _Meta(TypedDict):
    """JSON that a saved learned model holds beside its arrays."""

    format: Literal["hattriq_cirq.LearnedModel/1"]
    n_qubits: Count
    identity_part: float
    y_paired: bool
    damping: tuple[float, float] | None
    record: LearningRecord
    provenance: Provenance
    contract: NotRequired[Any]
    campaign: NotRequired[tuple[str, Count]]


@dataclass(frozen=True, eq=False, repr=False)
class LearnedModel(Displayed, Frozen):
    """A model whose observable M was measured: a quadratic form that attribution takes in place of a `Model`.

    All errors come from one campaign: maps of different inputs have errors in common, which means over inputs do not average
    away. `propagate` gives the covariance of any quantities that are linear in M.

    Args:
        coefficients: Coefficient of each string of the fit, corrected by the damping factor, (strings,).
        identity_part: Identity part of M, known from the observable.
        fit: Fit of the probes.
        held_out: Outcomes of the states that took no part in the fit.
        damping: Common damping factor; None if it was not measured.
        y_paired: True if each probe with Y was averaged over the signs of its Y, so that it sees real strings only.
        record: Settings and cost of the campaign.
        provenance: Versions and time.
        contract: Form of the data that the model was trained on, see `Model`; None if it is not recorded.
        share: What it has in common with other observables that were read from the same shots; None if there are none. Whatever
            is computed from several of them knows that their errors are common.
        ends: The states that took no part in the fit, at the beginning and at the end of the campaign; None in files of
            earlier versions.
        outside: Strings that the circuit's structure allows and the list leaves out; None if it leaves out none, or if they are
            not known.

    Example:
        >>> import hattriq_cirq as hq
        >>> model = hq.ring_ansatz(2, layers=1)
        >>> learned = hq.learn_observable(model, engine=hq.cirq_simulator(seed=1), shots=100_000, seed=1)
        >>> hq.integrated_gradients(learned, [0.6, 0, 0, 0.8], baseline=0).values.round(1) + 0
        array([ 0.4,  0. ,  0. , -0.6])
    """

    coefficients: FloatArray
    identity_part: float
    fit: CoefficientFit
    held_out: ProbeOutcomes
    damping: Damping | None
    y_paired: bool
    record: LearningRecord
    provenance: Provenance = field(default_factory=Provenance.now)
    contract: DataContract | None = None
    share: CampaignShare | None = None
    ends: RepeatedOutcomes | None = None
    outside: OutsideStrings | None = None

    @property
    def strings(self) -> PauliStrings:
        """Pauli strings of the observable, without the identity."""
        return self.fit.strings

    @cached_property
    def observable(self) -> PauliObservable:
        """The measured M."""
        return PauliObservable(self.strings, self.coefficients, self.identity_part)

    @property
    def n_features(self) -> int:
        """Number of amplitudes of an input, 2**n_qubits."""
        return self.observable.n_features

    @property
    def n_qubits(self) -> int:
        """Number of data qubits."""
        return self.strings.n_qubits

    @property
    def factor(self) -> float:
        """Damping factor by which the fitted coefficients were divided; 1 if it was not measured."""
        return 1.0 if self.damping is None else self.damping.factor

    def observable_action(self, x: ArrayLike) -> Array:
        """Return M x for a batch of inputs, (..., features)."""
        return self.observable.observable_action(self._inputs(x))

    def expectation(self, x: ArrayLike) -> FloatArray:
        """Return F(x) = x' M x for a batch of inputs, (...,)."""
        amplitudes = self._inputs(x)
        acted = self.observable.observable_action(amplitudes)
        return np.asarray(np.einsum("...k,...k->...", amplitudes.conj(), acted).real)

    def expectation_stderr(self, x: ArrayLike) -> FloatArray:
        """Return the standard error of F(x) for a batch of inputs, (...,)."""
        amplitudes = self._inputs(x)
        rows = amplitudes.reshape(-1, self.n_features)
        weights = np.array([self.strings.bilinear(row, row).sum(axis=0) for row in rows])
        return np.sqrt(self.variances(weights)).reshape(amplitudes.shape[:-1])

    def _inputs(self, x: ArrayLike) -> Array:
        amplitudes = model_inputs(self, x)
        if self.y_paired and np.iscomplexobj(amplitudes) and amplitudes.imag.any():
            raise ValueError(
                "x is complex, but this model was learned for real inputs, which see fewer strings; learn it with complex ones"
            )
        return amplitudes.real if self.y_paired else amplitudes

    @cached_property
    def errors(self) -> CoefficientErrors:
        """Errors of the coefficients, with what they have in common with other observables of the campaign."""
        return CoefficientErrors(self.fit, self.damping, self.share)

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the errors of the coefficients, (strings, strings), with that of the damping."""
        return self.errors.covariance

    def propagate(self, weights: FloatArray) -> Propagated:
        """Return quantities that are linear in M, with the covariance of their errors, common errors included.

        Args:
            weights: Derivatives of the quantities by the coefficients, (values, strings), such as `strings.bilinear(x, x)` for
                the attribution map of x with a zero baseline. The identity part adds nothing to the values.

        Example:
            >>> import hattriq_cirq as hq
            >>> model = hq.ring_ansatz(1, layers=0)
            >>> learned = hq.learn_observable(model, engine=hq.cirq_simulator(seed=1), shots=10_000, seed=1)
            >>> x = np.array([0.6, 0.8])
            >>> learned.propagate(learned.strings.bilinear(x, x)).values.round(1)
            array([ 0.4, -0.6])
        """
        weights = np.asarray(weights, dtype=float)
        if weights.ndim != 2 or weights.shape[1] != len(self.strings):
            raise ValueError(f"{weights.shape=} must be (values, {len(self.strings)}), one column for each string")
        return Propagated(weights @ self.coefficients, weights @ self.covariance @ weights.T)

    def variances(self, weights: FloatArray) -> FloatArray:
        """Return the diagonal of the covariance of `propagate`, (values,)."""
        return np.asarray(np.einsum("vs,vs->v", weights @ self.covariance, weights).clip(0))

    def errors_of(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the standard errors of quantities that are linear in M, and their systematic part, (values,) each.

        Systematic is the error of the damping factor, which scales all quantities of a campaign alike.

        Args:
            weights: Derivatives of the quantities by the coefficients, as for `propagate`.
        """
        systematic = np.zeros(len(weights))
        if self.damping is not None:
            systematic = np.abs(weights @ self.coefficients) * self.damping.stderr
        return np.sqrt((self.variances(weights) - systematic**2).clip(0)), systematic

    def left_out(self, values: FloatArray) -> FloatArray:
        """Return the typical size of what the list of strings leaves out of each value of maps or gradients, in their shape.

        Args:
            values: Values, (..., features), to whose squared norm it is relative.
        """
        share = self.record.truncated_share / values.shape[-1]
        return np.asarray(np.broadcast_to(np.linalg.norm(values, axis=-1, keepdims=True) * np.sqrt(share), values.shape))

    def scaled(self, factor: float) -> PauliObservable:
        """Return the observable with all coefficients multiplied by a factor, as another damping would have it."""
        return PauliObservable(self.strings, factor * self.coefficients, self.identity_part)

    def samples(self, count: int, *, seed: int) -> list[PauliObservable]:
        """Return observables that differ from the learned one by random errors, for a parametric bootstrap.

        Args:
            count: Number of observables.
            seed: Random seed for the errors.
        """
        (drawn,) = joint_draws([self.errors], count, seed=seed)
        return self.observables_with(drawn)

    def deviations(self, count: int, *, seed: int) -> list[PauliObservable]:
        """Return errors of the observable: the squares of anything linear in them add up to its variance.

        They are exact where the model has at most `count` strings, and else random.

        Args:
            count: Largest number of observables.
            seed: Random seed for the errors.
        """
        if len(self.strings) <= count:
            errors = roots(self.covariance).T
        else:
            errors = joint_draws([self.errors], count, seed=seed)[0] / np.sqrt(count)
        return [PauliObservable(self.strings, row) for row in errors]

    def observables_with(self, errors: FloatArray) -> list[PauliObservable]:
        """Return the observable with errors added to its coefficients, (observables, strings), one for each row."""
        return [PauliObservable(self.strings, self.coefficients + row, self.identity_part) for row in errors]

    def held_out_test(self) -> ProbeTest:
        """Test whether the fit describes the device, and whether the device stayed the same.

        The test asks up to three questions and says in its `verdict` which of them failed:

        - `fit`: do the states that took no part in the fit have the outcomes that it predicts? It detects a prior that forbids
          what the device does.
        - `list`: do all probes together show a signal of strings that the structure of the circuit allows and the list leaves
          out? It detects a list that is too short; strings that were left out because they are small are allowed their size.
        - `drift`: do the same circuits have the same outcomes at the beginning and at the end of the campaign? It owes nothing
          to a model or to the fit.

        With strings from the structure a device that computes another observable passes: the fit follows it. `compare` detects
        that.

        Returns:
            The test; a small `pvalue` says that something is wrong.

        Example:
            >>> import hattriq_cirq as hq
            >>> model = hq.ring_ansatz(2, layers=1)
            >>> learned = hq.learn_observable(model, engine=hq.cirq_simulator(seed=1), shots=100_000, seed=1)
            >>> test = learned.held_out_test()
            >>> test.pvalue > 0.01, [part.question for part in test.parts]
            (True, ['fit', 'drift'])
        """
        fit, held_out = self.fit, self.held_out
        table = held_out.states.expectations(self.strings)
        predicted = table @ (self.coefficients * self.factor)
        covariance = OutcomeCovariance.of(held_out.variances, roots(fit.covariance_of(table, held_out.sensitivities)))
        of_fit = _chi_squared(predicted, held_out.values, covariance, held_out.variance_errors, fitted=0)
        parts = [TestPart("fit", of_fit.statistic, of_fit.degrees_of_freedom, of_fit.pvalue)]
        if self.outside is not None and (of_list := score_of_outside(fit, held_out, self.outside)) is not None:
            parts.append(of_list)
        if self.ends is not None:
            of_ends = _chi_squared(self.ends.first, self.ends.last, self.ends.covariance, None, fitted=0)
            parts.append(TestPart("drift", of_ends.statistic, of_ends.degrees_of_freedom, of_ends.pvalue))
        worst = min(parts, key=lambda part: part.pvalue)
        return replace(
            of_fit,
            statistic=worst.statistic,
            degrees_of_freedom=worst.degrees_of_freedom,
            pvalue=_of_several(worst.pvalue, len(parts)),
            parts=tuple(parts),
            ends=self.ends,
        )

    def compare(self, model: Model) -> ProbeTest:
        """Test whether the device computes the M of a model, up to one common damping factor.

        The outcomes of all probes are compared with the exact expectations of the model in the same product states, so that no
        prior and no list of strings takes part. Noise that damps some strings more than others, or mixes strings, is allowed
        for: every coefficient may differ by the share of the mean damping, of its own size and of the mean size.

        Args:
            model: Model with the same number of qubits.

        Returns:
            The test; a small `pvalue` says that the device computes something else.

        Raises:
            ValueError: The model has another number of qubits.

        Example:
            >>> import hattriq_cirq as hq
            >>> model = hq.ring_ansatz(2, layers=1)
            >>> other = model.with_params(dict.fromkeys(model.params, 0.3))
            >>> learned = hq.learn_observable(other, engine=hq.cirq_simulator(seed=1), shots=100_000, seed=1)
            >>> learned.compare(other).pvalue > 0.01, learned.compare(model).pvalue < 0.001
            (True, True)
        """
        check_type(model, "model", Model, "a Model")
        if model.n_qubits != self.n_qubits:
            raise ValueError(f"a model of {quantity(model.n_qubits, 'qubit')} cannot be compared with one of {self.n_qubits}")
        parts = (self.fit.outcomes, self.held_out)
        values, variances = (np.concatenate([getattr(p, name) for p in parts]) for name in ("values", "variances"))
        shared = np.concatenate([p.sensitivities for p in parts])
        exact = np.concatenate([self._exact_expectations(model, p.states) for p in parts])
        table = vstack([p.states.expectations(self.strings) for p in parts], format="csr")
        sizes = self.strings.coefficients_of(model.matrix) if model.n_qubits <= 12 else self.coefficients
        _, stderr = _common_factor(exact, values, OutcomeCovariance.of(variances, shared))
        ratio = np.sqrt(max(0.0, float(np.sum(values**2 - variances))) / max(1e-300, float(np.sum(exact**2))))
        loss = abs(1 - (ratio if self.damping is None else self.factor)) + stderr  # of size, which a wrong circuit leaves
        spread = _SPREAD * loss * np.sqrt(sizes**2 + np.mean(sizes**2))
        covariance = OutcomeCovariance.of(variances, shared, table.multiply(spread).tocsr())
        damping, _ = _common_factor(exact, values, covariance)
        errors = np.concatenate([p.variance_errors for p in parts if p.variance_errors is not None])
        return _chi_squared(damping * exact, values, covariance, errors, fitted=1, damping=damping)

    def _exact_expectations(self, model: Model, states: ProductStates) -> FloatArray:
        """Return the expectations of a model's observable, without its identity part, as the probes average them."""
        flips = (False, True) if self.y_paired else (False,)
        values = [model.expectation(states.vectors(np.full(len(states), flip))) for flip in flips]
        return np.asarray(np.mean(values, axis=0) - model.identity_part)

    def check_model(self, model: Model) -> None:
        """Raise ValueError if this observable was learned from another model."""
        if model_digest(model) != self.record.model_digest:
            raise ValueError(
                f"the learned observable belongs to a model with observable {self.record.observable} on "
                f"{quantity(self.n_qubits, 'qubit')}, not to {model!r}; learn this model, or give its own file"
            )

    def card(self) -> Card:
        """Return the origin of the observable, the cost of its campaign, and its notes."""
        r = self.record
        shots = "exact probabilities" if r.shots is None else f"{r.shots:,} shots"
        facts: list[tuple[str, object]] = [
            ("learned", r.origin),
            ("engine", r.engine),
            ("campaign", f"{quantity(r.circuits, 'circuit')}, {shots}, {quantity(r.two_qubit_gates, 'two-qubit gate')}"),
            ("mitigation", f"{r.mitigation}; damping factor {self.factor:.4f}"),
            *([] if self.contract is None else self.contract.facts()),
        ]
        strings, qubits = quantity(len(self.strings), "Pauli string"), quantity(self.n_qubits, "qubit")
        return Card(f"LearnedModel of observable {r.observable}: {strings} on {qubits}", facts, notes=r.notes)

    def __repr__(self) -> str:
        r = self.record
        shots = "exact probabilities" if r.shots is None else f"{r.shots:,} shots"
        lines = [
            f"LearnedModel of observable {r.observable}: {quantity(len(self.strings), 'Pauli string')} on "
            f"{quantity(self.n_qubits, 'qubit')}",
            f"  {r.origin}",
            f"  engine {r.engine}; {quantity(len(self.fit.noise), 'probe')} and {len(self.held_out.values)} held out; "
            f"{quantity(r.circuits, 'circuit')}, {shots}, {quantity(r.two_qubit_gates, 'two-qubit gate')}; seed {r.seed}",
            f"  mitigation {r.mitigation}; damping factor {self.factor:.4f}",
        ]
        return printable("\n".join([*lines, *(f"  note: {note}" for note in r.notes)]), lines=True)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the learned model to a new `.npz` file without loss; a file that exists raises FileExistsError.

        Files of several observables of one campaign know each other: models that are loaded from them have common errors.
        """
        return write_new(path, lambda file: write_arrays(file, self.to_arrays()))

    def to_arrays(self) -> dict[str, Array]:
        """Return everything as named arrays, the settings as JSON in the array `meta`."""
        damping = None if self.damping is None else (self.damping.factor, self.damping.stderr)
        meta = {
            "format": _FORMAT,
            "n_qubits": self.n_qubits,
            "identity_part": self.identity_part,
            "y_paired": self.y_paired,
            "damping": damping,
            "record": asdict(self.record),
            "provenance": asdict(self.provenance),
        }
        if self.contract is not None:
            meta["contract"] = self.contract.to_record()
        if self.share is not None:
            meta["campaign"] = (self.share.campaign, self.share.position)
        arrays: dict[str, Array] = {
            "coefficients": self.coefficients,
            "x_masks": self.strings.x_masks,
            "z_masks": self.strings.z_masks,
        }
        arrays["noise"] = self.fit.noise
        if self.fit.prior is not None:
            arrays |= {"prior": self.fit.prior.variances, **{f"prior_{name}": getattr(self.fit.prior, name) for name in _PRIOR}}
        if self.damping is not None:
            arrays |= {"damping_gradient": self.damping.gradient, "damping_shared": self.damping.shared}
        if self.ends is not None:
            arrays |= {f"ends_{name}": value for name, value in vars(self.ends).items() if value.ndim == 1 or value.size}
        if self.outside is not None:
            strings = self.outside.strings
            arrays |= {"outside_x": strings.x_masks, "outside_z": strings.z_masks, "outside_variances": self.outside.variances}
        if self.share is not None:
            arrays |= {"common_outcomes": self.share.outcomes, "common_damping": self.share.damping}
        for name, part in (("fitted", self.fit.outcomes), ("held_out", self.held_out)):
            arrays |= {f"{name}_{key}": value for key, value in _arrays_of(part).items()}
        return {"meta": np.array(json.dumps(meta)), **arrays}

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: Model | None = None) -> LearnedModel:
        """Read a learned model from a file that `save` wrote.

        Args:
            path: Path of the file.
            model: Model that it must have been learned from; None for any.

        Raises:
            FileNotFoundError: The file does not exist.
            FileError: The file is no learned model, or is damaged; a ValueError.
            ValueError: It was learned from another model.
        """
        try:
            learned = cls.from_arrays(read_arrays(path), path)
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(f"{path} is not a saved learned model", problem_of(error)) from error
        if model is not None:
            learned.check_model(model)
        return learned

    @classmethod
    def from_arrays(cls, content: dict[str, Array], path: str | os.PathLike[str]) -> LearnedModel:
        """Return the learned model of arrays that `to_arrays` returned; `path` is named in errors."""
        if "meta" not in content:
            raise ValueError(f"array meta is missing, found {', '.join(content)}")
        meta = load(_Meta, parse_json(str(content["meta"]), path), path)
        for name, array in content.items():
            if name != "meta" and not np.isfinite(array).all():
                raise ValueError(f"array {name} is not finite")
        n = meta["n_qubits"]
        fitted, held_out = (_outcomes_from(content, name, n) for name in ("fitted", "held_out"))
        strings = PauliStrings(n, content["x_masks"], content["z_masks"])
        damping = None
        if meta["damping"] is not None:
            damping = Damping(*meta["damping"], content["damping_gradient"], content["damping_shared"])
        prior = CoefficientPrior.known(content["prior"]) if "prior" in content else None
        if prior is not None:
            kept = {name: content[f"prior_{name}"] for name in _PRIOR if f"prior_{name}" in content}
            prior = replace(prior, **kept)
        fit = CoefficientFit(strings, fitted, content["noise"], prior)
        ends = None
        if "ends_first" in content:
            first, last, variances = (content[f"ends_{name}"] for name in ("first", "last", "variances"))
            ends = RepeatedOutcomes(first, last, variances, content.get("ends_sensitivities"))
        outside = None
        if "outside_x" in content:
            left_out = PauliStrings(n, content["outside_x"], content["outside_z"])
            outside = OutsideStrings(left_out, content["outside_variances"])
        PauliObservable(strings, content["coefficients"])  # checks the number of coefficients
        share = None
        if "campaign" in meta:
            share = CampaignShare(*meta["campaign"], content["common_outcomes"], content["common_damping"])
            if share.outcomes.shape[1] != len(fitted.values):
                raise ValueError(f"{share.outcomes.shape=} must have a column for each of {len(fitted.values)} probes")
        return cls(
            content["coefficients"],
            meta["identity_part"],
            fit,
            held_out,
            damping,
            meta["y_paired"],
            meta["record"],
            meta["provenance"],
            DataContract.from_record(meta["contract"]) if "contract" in meta else None,
            share,
            ends,
            outside,
        )


def origin(strings: StringsSource, prior: PriorKind) -> str:
    """Return the origin of strings and prior in words: how much of a learned observable the device gives."""
    return f"{_WORDS[strings]}; {_WORDS[prior]}"


def model_digest(model: Model) -> str:
    """Return the digest of a model's circuit with its numbers, its qubits and its observable, the same in every process.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> model_digest(ring_ansatz(2, layers=1)) == model_digest(ring_ansatz(2, layers=1))
        True
        >>> model_digest(ring_ansatz(2, layers=1)) == model_digest(ring_ansatz(2, layers=2))
        False
    """
    model = model.dilated()  # the unitary circuit that probes run
    digest = content_digest((tuple(model.resolved_circuit.all_operations()), tuple(model.qubits), model.observable_text))
    if digest is None:
        raise ValueError(
            "a gate of the model cannot be compared, so that its learned observable would fit any model; use gates"
        )
    return digest


def _arrays_of(outcomes: ProbeOutcomes) -> dict[str, Array]:
    states = outcomes.states
    return {
        "x": states.bases.x_masks,
        "z": states.bases.z_masks,
        "signs": states.signs,
        "values": outcomes.values,
        "variances": outcomes.variances,
        "sensitivities": outcomes.sensitivities,
        "variance_errors": np.asarray(outcomes.variance_errors),
    }


def _outcomes_from(content: dict[str, Array], name: str, n: int) -> ProbeOutcomes:
    x, z, signs, *rest = (
        content[f"{name}_{key}"] for key in ("x", "z", "signs", "values", "variances", "sensitivities", "variance_errors")
    )
    return ProbeOutcomes(ProductStates(PauliStrings(n, x, z), signs), *rest)


def score_of_outside(fit: CoefficientFit, held_out: ProbeOutcomes, outside: OutsideStrings) -> TestPart | None:
    """Return the test of strings outside the list by all probes; None where the outcomes are exact.

    It is the score test of a common variance of their coefficients (variance components, as in Wu and others, American
    Journal of Human Genetics 89, 82, 2011), made independent of the size of the scatter of the outcomes: the squares of the
    estimates of all strings from the residuals, against what they are for strings with their expected squares. A string
    that k of the probes see has a weight of 1 / sqrt(k). The distribution is that of a multiple of chi-squared with the
    same mean, variance and third moment.
    """
    parts = (fit.outcomes, held_out)
    values, variances = (np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "variances"))
    if _is_exact(variances, values):
        return None
    seen = vstack([part.states.expectations(outside.strings) for part in parts], format="csr")
    counts = np.asarray(abs(seen).sum(axis=0)).reshape(-1)
    table = vstack([part.states.expectations(fit.strings) for part in parts], format="csr")
    known = (seen.multiply(outside.variances).tocsr() @ seen.T).toarray()
    shared = np.concatenate([part.sensitivities for part in parts])
    expected = known.diagonal()
    own_noise = np.mean(held_out.variances - expected[len(fit.noise) :])
    noise = np.concatenate([fit.noise - expected[: len(fit.noise)], np.full(len(held_out.values), own_noise)])
    variances = variances - expected
    covariance = known + shared @ shared.T
    covariance.flat[:: len(noise) + 1] += noise
    weights, free = fit.residual_weights(table, covariance)
    rows = seen[:, counts > 0].multiply(counts[counts > 0] ** -0.25).tocsr()
    scores = rows.T @ weights
    own = np.sum(scores**2, axis=0)
    scale = float(own @ variances / (weights.diagonal() @ variances))
    residual = float(values @ weights @ values)
    dispersion = residual / free  # of the outcomes, relative to the scatter that is assumed
    statistic = float(np.sum((scores @ values) ** 2) - scale * residual)
    inner = np.asarray(scores @ rows)
    squared = inner @ inner
    first, second, third = float(np.trace(inner)), float(np.trace(squared)), float(np.sum(squared * inner))
    mean = first - scale * free + float((own - scale * weights.diagonal()) @ (variances - noise))
    variance = 2 * (second - 2 * scale * first + scale**2 * free)
    skew = 8 * (third - 3 * scale * second + 3 * scale**2 * first - scale**3 * free)
    unit = skew / (4 * variance)
    degrees = variance / (2 * unit**2)
    chi_squared = max(0.0, (statistic - mean) / (dispersion * unit) + degrees)
    return TestPart("list", chi_squared, degrees, float(chdtrc(degrees, chi_squared)))


def _of_several(pvalue: float, count: int) -> float:
    """Return the probability that the smallest p-value of several independent tests is at most this one."""
    return float(-np.expm1(count * np.log1p(-pvalue))) if pvalue < 1 else 1.0


def _common_factor(predicted: FloatArray, measured: FloatArray, covariance: OutcomeCovariance) -> tuple[float, float]:
    """Return the factor of a prediction that fits outcomes best, and its standard error; 1 where the prediction is zero."""
    if not predicted.any():
        return 1.0, 0.0
    if _is_exact(covariance.diagonal, measured):
        return float(predicted @ measured / (predicted @ predicted)), 0.0
    solved = covariance.solve(predicted)
    return float(solved @ measured / (solved @ predicted)), float(1 / np.sqrt(solved @ predicted))


def _is_exact(variances: FloatArray, measured: FloatArray) -> bool:
    """Return True if the errors of outcomes are rounding errors."""
    return bool(variances.max() <= (1e-3 * _EXACT * np.abs(measured).max(initial=0.0)) ** 2)


def _chi_squared(
    predicted: FloatArray,
    measured: FloatArray,
    covariance: OutcomeCovariance,
    variance_errors: FloatArray | None,
    *,
    fitted: int,
    damping: float = 1.0,
) -> ProbeTest:
    """Return the test of outcomes against a prediction; exact outcomes must agree with it to rounding.

    An error that all variances share adds to the variance of the statistic, whose distribution is then that of a multiple of
    chi-squared with the same mean (Satterthwaite, Biometrics Bulletin 2, 110, 1946).
    """
    difference, count = measured - predicted, len(measured) - fitted
    stderr = np.sqrt(covariance.diagonal)
    if _is_exact(covariance.diagonal, measured):
        agrees = np.abs(difference).max(initial=0.0) <= _EXACT * max(1e-300, np.abs(measured).max(initial=0.0))
        return ProbeTest(0.0 if agrees else np.inf, count, float(agrees), predicted, measured, stderr, damping)
    statistic = float(difference @ covariance.solve(difference))
    common = 0.0 if variance_errors is None else float(covariance.inverse_diagonal @ variance_errors)
    scale = 1 + common**2 / (2 * count)
    pvalue = float(chdtrc(count / scale, statistic / scale))
    return ProbeTest(statistic, count, pvalue, predicted, measured, stderr, damping)
