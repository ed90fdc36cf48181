"""The pipeline as an object: inputs become bilinear terms, whose circuits are placed, compiled and priced once, then run."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, wraps
from itertools import chain, groupby, islice, repeat
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, get_args

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.baselines import BaselineSet, of_input, resolve
from hattriq_cirq.attribution.objective import Head, Objective
from hattriq_cirq.attribution.path_integral import exact_attribution, warn_of_identity_part
from hattriq_cirq.attribution.quadrature import Quadrature, parse_rule
from hattriq_cirq.attribution.result import Assumptions, Attribution, Cost
from hattriq_cirq.circuits.deviation import Deviation, attach
from hattriq_cirq.compilation.compile import physical_circuit
from hattriq_cirq.compilation.gatesets import compile_to_gateset, gateset_name
from hattriq_cirq.compilation.gatesets import gateset as gateset_by_name
from hattriq_cirq.compilation.placement import Placement, best_placement, candidate_layouts, promising_layouts
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.compilation.snapshot import Snapshot
from hattriq_cirq.encoding.exact import Encoder, encode
from hattriq_cirq.estimators.bilinear import BilinearTerm, Estimator, WeightedCircuit
from hattriq_cirq.estimators.plan import Estimate, Plan, Quantity, plan, sample_circuits
from hattriq_cirq.execution.backends.simulators import qsim, sampler
from hattriq_cirq.execution.backends.virtual import virtual
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.execution.journal_format import circuits_key
from hattriq_cirq.foundation.arrays import Array, evenly_spaced
from hattriq_cirq.foundation.card import Card, Displayed
from hattriq_cirq.foundation.checks import as_count, as_number, as_word, check_flag, check_type, shown
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.identity import content_digest
from hattriq_cirq.foundation.log import Log
from hattriq_cirq.foundation.numerics import numpy_defaults, with_numpy_defaults
from hattriq_cirq.foundation.progress import progress_bar, progress_bars, track
from hattriq_cirq.foundation.recent import Recent
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.model import Form, Model, check_columns, model_inputs
from hattriq_cirq.models.observables import Observable
from hattriq_cirq.models.quadratic_form import observable_name
from hattriq_cirq.pipeline.execute import MeasuredArrays, PreparedCircuits
from hattriq_cirq.pipeline.mitigation import (
    AssumptionWarning,
    Mitigation,
    MitigationSummary,
    Outcomes,
    as_mitigation,
    with_check,
)
from hattriq_cirq.pipeline.objectives import (
    Combination,
    MeasuredMap,
    ScoreQuantities,
    combine_state,
    combine_with_scores,
    scaled,
    state_quantities,
    sum_or_zero,
    with_measured_scores,
)
from hattriq_cirq.pipeline.resources import GateCount, Resources, RunResources, shots_for_cosine, shots_for_stderr
from hattriq_cirq.simulation.statevector import Precision

log = Log("pipeline")
#: Largest number of shots: counts are 64-bit integers, and weights of shots are floating-point numbers.
SHOTS_MAX = 10**15
Scores = Literal["exact", "measured"]
_A_HEAD = "a Head, such as Head('sigmoid', scale=5), or None"
_CHUNK = 256  # number of circuits that are compiled and run together, or those of one input if they are more
_TERMS_MAX = 10_000  # nodes of a rule times baselines, each of which has circuits of its own
_AN_ESTIMATOR = "an estimator, such as ResolvedHadamardTest()"
_INPUTS = (8, 64)  # largest number of inputs of the first chunk, so that its jobs start within seconds, and of the others
_LISTED = 10  # features that a note names
_PLACED_BY = 2  # number of terms by whose circuits a placement is chosen
_placements = Recent[Placement](room=64)
#: Plans of the latest inputs, and auxiliary circuits of mitigations with their shares; the room is a number of circuits.
_plans = Recent[Plan](room=512)
_auxiliary = Recent[list[tuple[WeightedCircuit, float]]](room=512)


@with_numpy_defaults
def prepare(  # noqa: PLR0913  one argument for each choice of the user
    model: Model,
    x: ArrayLike | cirq.AbstractCircuit,
    *,
    baseline: float | ArrayLike | BaselineSet,
    estimator: Estimator,
    engine: Engine | cirq.Sampler,
    shots: int | None,
    rule: str = "exact",
    mitigation: Mitigation[Any] | str | None = None,
    placement: Placement | None = None,
    precision: Precision = "float64",
    progress: bool = False,
    form: Form = "quadratic",
    head: Head | None = None,
    observables: Sequence[Observable] | None = None,
    tolerance: float = 1e-10,
    scores: Scores | None = None,
    check: bool | None = None,
) -> PreparedAttribution:
    """Prepare the attribution of inputs by circuits: placement, compilation and cost, without running anything.

    Args:
        model: Model of the quadratic form F(x) = x' M x.
        x: Input or batch of inputs, (..., features), real or complex, of any norm; or a circuit that prepares one input of
            unknown amplitudes, see `integrated_gradients`.
        baseline: Number for every amplitude, array that broadcasts to x, or a `BaselineSet`, over which the map is averaged.
        estimator: Estimator that builds the circuits, such as `ResolvedHadamardTest()`.
        engine: Engine that will run them, such as `virtual("willow_pink")`, or any `cirq.Sampler`.
        shots: Number of shots per input, for all its circuits together; None for exact probabilities.
        rule: `exact`, or a quadrature rule with circuits for each of its nodes.
        mitigation: Correction of the outcomes: `calibration.Readout()`, or names, `twirl,readout`; None for none.
        placement: Physical qubits from another preparation; None chooses them.
        precision: `float64` or `float32`, in which F(x) and F(b) are computed.
        progress: Show a progress bar over the inputs.
        form: `quadratic`, or `normalized` to attribute x' M x / x' x. This form and heads take circuits for M x, M b and the
            scores at the ends of the path, and none for its steps.
        head: Classical function of the expectations; None for the expectation itself.
        observables: Observables whose expectations the head combines, in place of the model's own.
        tolerance: Tolerance of a path integral that has no closed form, > 0.
        scores: `exact` to compute F(x) and F(b) by simulation, `measured` to measure them in the run, with the same shots; None
            takes `exact` for amplitudes and `measured` for a circuit.
        check: Check of the errors by circuits with known answers, which take a tenth of the shots: they widen the systematic
            part where it is too small, and an `AssumptionWarning` names an assumption that fails. None checks where shots are
            counted on a processor with noise.

    Returns:
        The prepared attribution: `.resources` prices exactly what `.execute()` runs.

    Raises:
        ValueError: The input is invalid, or the estimator gives no value for each feature.

    Example:
        >>> import hattriq_cirq as hq
        >>> model = hq.ring_ansatz(2, layers=1)
        >>> prepared = hq.prepare(
        ...     model, [0.6, 0, 0, 0.8], baseline=0, estimator=hq.ResolvedHadamardTest(), engine=hq.qsim(seed=1), shots=1000
        ... )
        >>> prepared.resources.circuits
        1
        >>> prepared.execute().values.shape
        (4,)
    """
    check_model(model)
    run_on = check_engine(estimator, engine)
    shots, correction = as_shots(shots), as_mitigation(mitigation)
    check_type(placement, "placement", Placement | None, "that of another preparation, prepared.placement, or None")
    as_word(precision, "precision", get_args(Precision))
    check_flag(progress, "progress")
    if estimator.measured is not None and not isinstance(x, cirq.AbstractCircuit):
        raise ValueError("an estimator that measures some qubits has no value for each feature; use hq.estimate")
    if estimator.part != "real":
        raise ValueError("an attribution is the real part; use hq.estimate for the imaginary part")
    check_type(head, "head", Head | None, _A_HEAD)
    tolerance = as_number(tolerance, "tolerance", above=0)
    is_measured = scores is not None and as_word(scores, "scores", get_args(Scores)) == "measured"
    models, head = observed_models(model, observables, head)
    objective = Objective(form, head or Head())
    objective.head.check_count(len(models))
    if isinstance(x, cirq.AbstractCircuit):
        if not objective.is_quadratic or rule != "exact" or scores == "exact":
            raise ValueError(
                f"form={form!r}, head={objective.head}, rule={rule!r} and scores={scores!r} need known amplitudes; the "
                "map of a state that a circuit prepares has the quadratic form without a head, rule='exact' and measured scores"
            )
        _check_zero(baseline)
        map_of_state, score = state_quantities(models[0], x, estimator)
        return PreparedAttribution(
            models[0],
            [map_of_state.terms],
            estimator,
            run_on,
            shots,
            correction,
            given_placement=placement,
            progress=progress,
            exact=partial(_of_state, models[0], estimator),
            further=[[score]],
            combine=[combine_state],
            check=check,
        )
    inputs = model_inputs(model, x)
    check_columns(model, baseline, "baseline")
    references, _ = resolve(baseline, inputs)
    rows, parsed = inputs.reshape(-1, model.n_features), parse_rule(rule)
    options: dict[str, Any] = {"baseline": baseline, "objective": objective, "rule": rule, "tolerance": tolerance}
    exact: Callable[[], Attribution] = partial(exact_attribution, models, inputs, **options, precision=precision)
    if is_measured:
        exact = partial(_without_scores, models, inputs, options)
    general: dict[str, Any] = {"given_placement": placement, "progress": progress, "exact": exact, "check": check}
    given = (run_on, shots, correction)
    own = [(row, of_input(references, i)) for i, row in enumerate(rows)]
    if objective.is_quadratic:
        (first,) = models
        terms: list[Sequence[BilinearTerm]] = list(bilinear_terms_of_rows(rows, references, parsed))
        if not is_measured:
            return PreparedAttribution(first, terms, estimator, *given, **general)
        further = [with_measured_scores(first, t, *ends, estimator)[1:] for t, ends in zip(terms, own, strict=True)]
        combine = [combine_with_scores] * len(rows)
        return PreparedAttribution(first, terms, estimator, *given, **general, further=further, combine=combine)
    targets = objective.head.targets_of(inputs.shape[:-1])
    found = [
        ScoreQuantities.of(
            models, *ends, estimator, objective.of_target(target), parsed, tolerance, measures_scores=is_measured
        )
        for ends, target in zip(own, targets, strict=True)
    ]
    terms = [each.quantities[0].terms for each in found]
    check_unscaled(correction, models[0], estimator, terms, f"form={form!r} with head={objective.head}")
    further = [each.quantities[1:] for each in found]
    combine = [each.combine for each in found]
    return PreparedAttribution(models[0], terms, estimator, *given, **general, further=further, combine=combine)


def observed_models(
    model: Model, observables: Sequence[Observable] | None, head: Head | None
) -> tuple[list[Model], Head | None]:
    """Return the models whose expectations a head combines, and the head.

    Args:
        model: Model; one that selects runs by outcomes stands for the ratio of its two quadratic forms.
        observables: Observables in place of the model's own; None for the model itself.
        head: Head; None for the expectation itself.

    Raises:
        ValueError: A head or observables are given for a ratio.
    """
    if isinstance(model, Model) and model.postselect is not None:
        if head is not None or observables is not None:
            raise ValueError(
                f"head={head} and observables cannot be combined with a model that selects runs by outcomes, whose expectation "
                "is a ratio; leave them out"
            )
        return [model.numerator, model.denominator], Head("ratio")
    return _with_observables(model, observables), head


def _with_observables(model: Model, observables: Sequence[Observable] | None) -> list[Model]:
    if observables is None:
        return [model]
    given = None if isinstance(observables, str) else observables
    check_type(given, "observables", Sequence, "a sequence of observables, such as [cirq.Z(qubit)] or ['Z0'], or None")
    return [model.with_observable(observable) for observable in observables]


def check_unscaled(
    mitigation: Mitigation[Any] | None,
    model: Model,
    estimator: Estimator,
    terms: Sequence[Sequence[BilinearTerm]],
    what: str,
) -> None:
    """Raise ValueError for a mitigation that rescales a single map, where several quantities are measured together."""
    first = next((own for own in terms if not all(term.is_zero for term in own)), None)
    if mitigation is not None and first is not None and mitigation.auxiliary_circuits(model, estimator, first):
        raise ValueError(
            f"mitigation={mitigation.describe()} rescales the map of the quadratic form, and {what} is computed from several "
            "measured quantities; leave that mitigation out"
        )


def _check_zero(baseline: object) -> None:
    """Raise ValueError for a baseline other than zero, with which no amplitude has to be known."""
    if isinstance(baseline, BaselineSet) or np.any(np.asarray(baseline)):
        raise ValueError(f"baseline={shown(baseline)} must be 0 for a state that a circuit prepares: x - b must be x")


def _of_state(model: Model, estimator: Estimator) -> Attribution:
    """Return an attribution of zeros for a state of unknown amplitudes."""
    values = np.zeros(estimator.values_of(model))
    assumptions = Assumptions("quadratic", "exact", "identity", (observable_name(model),), "constant 0", scores="measured")
    zero, unknown = np.zeros(()), np.zeros(0)
    assumptions = replace(assumptions, input="circuit")
    contract = model.contract if len(values) == model.n_features else None
    return Attribution(values, values, None, unknown, unknown, zero, zero, zero, assumptions, contract=contract)


class _Unmeasured:
    """Quadratic form of zeros, or for a ratio of ones, in whose attributions measured values and scores take their places."""

    identity_part = 0.0

    def __init__(self, n_features: int, scale: float) -> None:
        self.n_features, self._scale = n_features, scale

    def observable_action(self, x: ArrayLike) -> Array:
        return self._scale * np.asarray(x)


def _without_scores(models: Sequence[Model], inputs: Array, options: dict[str, Any]) -> Attribution:
    """Return an attribution with zeros as values and scores, without simulating the models."""
    objective: Objective = options["objective"]
    if objective.is_affected_by_identity:
        warn_of_identity_part(models)
    scale = 1.0 if objective.head.kind == "ratio" else 0.0
    a = exact_attribution([_Unmeasured(models[0].n_features, scale)] * len(models), inputs, **options)
    names = tuple(map(observable_name, models))
    assumptions = replace(a.assumptions, observables=names, scores="measured")
    return replace(a, assumptions=assumptions, contract=models[0].contract)


@with_numpy_defaults
def estimate(
    model: Model,
    x: ArrayLike | cirq.AbstractCircuit,
    *,
    baseline: float | ArrayLike | BaselineSet,
    estimator: Estimator,
    engine: Engine | cirq.Sampler,
    shots: int | None,
    rule: str = "exact",
    mitigation: Mitigation[Any] | str | None = None,
    check: bool | None = None,
) -> Estimate:
    """Estimate the quadratic attributions of one input by circuits, with their full covariance.

    Args:
        model: Model of the quadratic form F(x) = x' M x.
        x: Input, (features,); or a circuit that prepares it from |0...0> on the model's qubits, with a zero baseline.
        baseline: Number, (features,), or a `BaselineSet`, over which the map is averaged.
        estimator: Estimator that builds the circuits; with `measured` qubits the values are summed over the others.
        engine: Engine that runs them; a `cirq.Sampler` runs them as they are.
        shots: Number of all shots; None for exact probabilities.
        rule: `exact`, or a quadrature rule with circuits for each of its nodes.
        mitigation: Correction of the outcomes: `calibration.Readout()`, or names, `twirl,readout`; None for none.
        check: Check of the errors by circuits with known answers, see `prepare`.

    Returns:
        The estimate: values, standard errors, covariance, shots.

    Raises:
        ValueError: The input is invalid, or there are fewer shots than circuits.
        EngineError: The engine could not run the circuits.

    Example:
        >>> import hattriq_cirq as hq
        >>> model = hq.ring_ansatz(2, layers=1)
        >>> marginal = hq.estimate(
        ...     model, [0.6, 0, 0, 0.8], baseline=0, estimator=hq.ResolvedHadamardTest(measured=(0,)),
        ...     engine=hq.cirq_simulator(), shots=None,
        ... )
        >>> marginal.values.shape
        (2,)
    """
    check_model(model)
    run_on = check_engine(estimator, engine)
    shots, correction = as_shots(shots), as_mitigation(mitigation)
    if isinstance(x, cirq.AbstractCircuit):
        _check_zero(baseline)
        terms = list(state_quantities(model, x, estimator)[0].terms)
    else:
        terms = _terms_of_input(model, x, baseline, rule)
    return PreparedAttribution(model, [terms], estimator, run_on, shots, correction, check=check).run().estimates[0]


@with_numpy_defaults
def resources(  # noqa: PLR0913  one argument for each choice of the user
    model: Model,
    x: ArrayLike,
    baseline: float | ArrayLike | BaselineSet,
    estimator: Estimator,
    *,
    rule: str = "exact",
    gateset: str | None = None,
    processor: str | os.PathLike[str] | Snapshot | None = None,
    engine: Engine | cirq.Sampler | None = None,
    shots: int | None = None,
    mitigation: Mitigation[Any] | str | None = None,
    target_cosine: float = 0.95,
    target_stderr: float = 0.01,
    sample: int = 4,
    device: str | None = None,
    check: bool | None = None,
) -> Resources:
    """Price an attribution before it is run: compile its circuits, and predict the shots to a wanted precision.

    Without shots a few circuits are compiled. With shots the whole run is compiled and cut into jobs as an engine would run it,
    and the cost also states jobs, bytes, duration and time on the processor. Nothing is run in either case.

    Args:
        model: Model of the quadratic form F(x) = x' M x.
        x: Input, (features,), or batch of inputs, (..., features).
        baseline: Number, (features,), or a `BaselineSet`; or array that broadcasts to a batch.
        estimator: Estimator that would build the circuits.
        rule: `exact`, or a quadrature rule with circuits for each of its nodes.
        gateset: `cz`, `sqrt_iswap` or `sycamore`; None takes that of the engine's processor, and else `cz`.
        processor: Processor whose calibration places and routes the circuits: a name, such as `willow_pink`, a file or a
            `Snapshot`, as `find_snapshot` takes them; None for a free graph only.
        engine: Engine that would run the circuits, in place of a processor.
        shots: Number of shots per input with which the whole run is priced; None for a few circuits.
        mitigation: Correction of the outcomes, whose circuits and shots are priced too; it needs shots.
        target_cosine: Wanted cosine of the map to the exact one, between 0 and 1.
        target_stderr: Wanted standard error of the least certain feature, above 0.
        sample: Largest number of circuits to compile for the gate counts on a free graph, evenly spaced among all.
        device: Former name of `processor`.
        check: Check of the errors by circuits with known answers, see `prepare`; None prices it on a `processor` too.

    Returns:
        The cost; shots to the targets are those of the first input with circuits, simulated exactly and without noise.

    Raises:
        ValueError: The input is invalid, or there is nothing to estimate (x equals the baseline).
        CircuitRefusedError: The processor cannot run a circuit.

    Example:
        >>> import hattriq_cirq as hq
        >>> model, x = hq.ring_ansatz(2, layers=1), [0.6, 0, 0, 0.8]
        >>> hq.resources(model, x, 0, hq.HadamardTest()).circuits
        2
        >>> hq.resources(model, x, 0, hq.HadamardTest(), processor="willow_pink", shots=1000, mitigation="readout").jobs
        4
    """
    if device is not None:
        warnings.warn("resources(device=) is deprecated; use processor=", DeprecationWarning, stacklevel=3)
        processor = device
    check_model(model)
    check_type(estimator, "estimator", Estimator, _AN_ESTIMATOR)
    shots, correction = as_shots(shots), as_mitigation(mitigation)
    if engine is not None and processor is not None:
        raise ValueError(f"engine={shown(engine)} has its own processor; leave out processor={shown(processor)}")
    if correction is not None and shots is None:
        raise ValueError("mitigation needs shots: its circuits and shots are those of a whole run")
    run_on = pricing_engine(processor, gateset) if engine is None else check_engine(estimator, engine)
    inputs = model_inputs(model, x)
    if inputs.ndim == 1:
        terms = [_terms_of_input(model, x, baseline, rule)]
    else:
        check_columns(model, baseline, "baseline")
        references, _ = resolve(baseline, inputs)
        terms = bilinear_terms_of_rows(inputs.reshape(-1, model.n_features), references, parse_rule(rule))
    if check is None and engine is None and run_on.processor is not None:
        check = bool(run_on.processor.two_qubit_errors and shots)
    prepared = PreparedAttribution(model, terms, estimator, run_on, shots, correction, check=check)
    targets: dict[str, Any] = {"gateset": gateset, "target_cosine": target_cosine, "target_stderr": target_stderr}
    return prepared.price(sample=sample, **targets, run=None if shots is None else prepared.run_resources)


def pricing_engine(processor: str | os.PathLike[str] | Snapshot | None, gateset: str | None) -> Engine:
    """Return the engine whose runs are priced where only a processor is named, or none for a free graph."""
    return qsim() if processor is None else virtual(processor, gateset=gateset or "cz", noise="none")


@dataclass(frozen=True, eq=False)
class Execution(Frozen):
    """Results of a run of circuits.

    Args:
        estimates: Estimate of each input.
        cost: Cost of all inputs together.
        summary: Findings of the mitigation, notes on single inputs included.
        further: Estimates of the further quantities of each input.
    """

    estimates: list[Estimate]
    cost: Cost
    summary: MitigationSummary
    further: list[list[Estimate]] = field(default_factory=list)


_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def _with_bars(
    method: Callable[Concatenate[PreparedAttribution, _Arguments], _Result],
) -> Callable[Concatenate[PreparedAttribution, _Arguments], _Result]:
    """Show the progress bars of all phases of a method if asked for, and log them; NumPy's errors are handled as by default."""

    @wraps(method)
    def shown(self: PreparedAttribution, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with numpy_defaults(), progress_bars(self.progress or self.engine.shows_progress), self.engine.logged():
            return method(self, *args, **kwargs)

    return shown


@dataclass(frozen=True, eq=False, repr=False)
class PreparedAttribution(Displayed, Frozen):
    """Attribution by circuits, ready to be priced and run; created by `prepare`.

    The work is done in chunks of at most 64 inputs or a few hundred circuits, the first one smaller: a chunk's circuits are
    built, compiled and recorded in the journal when its turn comes, so that a large batch never stands in memory and the first
    job starts early. A run that resumes from a journal reads placement and programs from it and compiles nothing.

    Args:
        model: Model of the quadratic form.
        terms: Bilinear terms of each input.
        estimator: Estimator that builds the circuits.
        engine: Engine that runs them.
        shots: Shots per input; None for exact probabilities.
        mitigation: Correction of the outcomes; None for no correction.
        given_placement: Placement of another preparation; None chooses one.
        progress: Show a progress bar over the inputs.
        exact: Function that returns the attribution whose values `execute` replaces by measured ones; None if only estimates
            are wanted.
        further: Quantities that are measured beside the terms, for each input; empty for none.
        combine: Functions that return the map and scores of each input from the estimates of its quantities; empty to take the
            estimate of the terms as the map.
        check: Check of the errors by circuits with known answers, see `prepare`.
    """

    model: Model
    terms: Sequence[Sequence[BilinearTerm]]
    estimator: Estimator
    engine: Engine
    shots: int | None
    mitigation: Mitigation[Any] | None = None
    given_placement: Placement | None = None
    progress: bool = False
    exact: Callable[[], Attribution] | None = None
    further: Sequence[Sequence[Quantity]] = ()
    combine: Sequence[Combination] = ()
    check: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._checked  # noqa: B018  refuses another value before any work

    @cached_property
    def _checked(self) -> Mitigation[Any] | None:
        """The mitigation, with the check of its results if there is one."""
        return with_check(self.mitigation, self.engine, self.shots, self.check)

    @cached_property
    @_with_bars
    def placement(self) -> Placement | None:
        """Physical qubits and state preparation of all circuits; None where any circuit runs as it is."""
        processor, journal = self.engine.processor, None if self.shots is None else self.engine.journal
        if processor is None or self.given_placement is not None:
            return self.given_placement
        key = None if journal is None else self._placement_key
        if journal is not None and key is not None and (record := journal.placement(key)) is not None:
            log.info("the placement is that of the journal")
            return Placement.from_record(processor, record)
        start = time.monotonic()
        chosen = choose_placement(self.model, self.estimator, self.terms, self.engine)
        if chosen is not None:
            listed = ", ".join(f"{logical} on {physical}" for logical, physical in chosen.qubits.items())
            log.info("placement chosen in %.1f s: %s; predicted error %.3g", time.monotonic() - start, listed, chosen.error)
        if journal is not None and key is not None and chosen is not None:
            journal.record_placement(key, chosen.to_record())
        return chosen

    @property
    def _placement_key(self) -> str | None:
        """Digest of everything that decides the placement."""
        circuits = _placing_circuits(self.model, self.estimator, self.terms, encode)
        return circuits_key(circuits, (*self.model.qubits, *(self.engine.qubits or ())))

    def card(self) -> Card:
        """Return what will run: nothing is compiled or counted for it."""
        facts: list[tuple[str, object]] = [
            ("estimator", self.estimator.describe()),
            ("engine", self.engine.name),
            ("shots per input", "none: exact probabilities" if self.shots is None else self.shots),
            ("mitigation", "none" if self.mitigation is None else self.mitigation.describe()),
            ("model", repr(self.model)),
        ]
        if (known := self.__dict__.get("resources")) is not None:
            facts += known.card().facts
        return Card(f"PreparedAttribution of {quantity(len(self.terms), 'input')}; run it with execute()", facts)

    @cached_property
    def resources(self) -> Resources:
        """Cost of exactly what `execute` runs, all of it compiled; `price` states the cost from a few circuits."""
        return self.price(run=self.run_resources)

    @_with_bars
    def record(self) -> Resources:
        """Compile and check the whole run and record its jobs in the engine's journal, without submitting any: a dry run.

        `execute` runs the recorded jobs, in this process or in a new one that prepares the same attribution with the same
        journal: nothing is compiled again, and the result is that of a run that was never recorded. What an earlier dry run or
        a part of the run has recorded is kept.

        Returns:
            The cost of the run, as `resources`.

        Raises:
            ValueError: There are no shots, or the engine has no journal.
            CircuitRefusedError: The processor or its service would refuse a circuit or a job.
            EngineError: The journal holds another run, or cannot be written.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> import hattriq_cirq as hq
            >>> model, x = hq.ring_ansatz(2, layers=1), [0.6, 0, 0, 0.8]
            >>> with TemporaryDirectory() as folder:
            ...     engine = hq.qsim(seed=1, journal=folder)
            ...     options = dict(baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=1000)
            ...     prepared = hq.prepare(model, x, **options)
            ...     prepared.record().jobs, prepared.execute().cost.shots
            (1, 1000)
        """
        if self.shots is None or self.engine.journal is None:
            what = (
                "shots; exact probabilities are no jobs" if self.shots is None else "an engine with a journal, journal=FOLDER"
            )
            raise ValueError(f"a dry run needs {what}")
        return self.price(run=partial(self.run_resources, record=True))

    @_with_bars
    def run_resources(self, *, record: bool = False) -> RunResources:
        """Compile the whole run and count its resources, without the predictions of `resources`.

        Args:
            record: True to check all jobs and record them in the journal too, as `record` does.
        """
        parts, numbers = [RunResources()], list[int]()
        with progress_bar(shown=self.progress, total=len(self.terms), desc="prepare the run", unit="input") as bar:
            for inputs, circuits in self.chunks():
                call = circuits.record(numbers) if record else circuits.plan(numbers)
                numbers.append(call.number)
                left = circuits.variants.own_shots
                shots = sum(one.own_shots for one in inputs) if left is None else left
                parts.append(RunResources.of_call(circuits, call, sum(one.own_circuits for one in inputs), shots))
                bar.update(len(inputs))
        return RunResources.total(parts)

    @_with_bars
    def price(
        self,
        *,
        gateset: str | None = None,
        target_cosine: float = 0.95,
        target_stderr: float = 0.01,
        sample: int = 4,
        simulator: Engine | None = None,
        run: Callable[[], RunResources] | None = None,
    ) -> Resources:
        """Price the run by a few of its circuits, without compiling the others.

        Args:
            gateset: Gate set that circuits are compiled to on a free graph: `cz`, `sqrt_iswap` or `sycamore`; None takes that
                of the engine's processor, and else `cz`.
            target_cosine: Wanted cosine of the map to the exact one, between 0 and 1.
            target_stderr: Wanted standard error of the least certain feature, above 0.
            sample: Largest number of circuits to compile, evenly spaced among all.
            simulator: Engine that gives the exact probabilities for the prediction of shots; None is qsim.
            run: Function that returns the figures of the whole run, such as `run_resources`, which take the place of those of a
                few circuits on the processor.

        Returns:
            The cost; shots to the targets are those of the first input with circuits.

        Raises:
            ValueError: A target is out of range, or there is nothing to estimate and no run.
        """
        if gateset is None:
            gateset = "cz" if self.engine.processor is None else gateset_name(self.engine.processor.gateset)
        target = gateset_by_name(gateset)
        target_cosine = as_number(target_cosine, "target_cosine", above=0, below=1, advice="lie between 0 and 1")
        target_stderr = as_number(target_stderr, "target_stderr", above=0)
        sample = as_count(sample, "sample")
        circuits = sum(self._circuits_of_inputs)
        targets: dict[str, Any] = {"target_cosine": target_cosine, "target_stderr": target_stderr}
        if not circuits:
            if run is None:
                raise ValueError(
                    "there is nothing to estimate: x equals the baseline, or the observable is a multiple of the identity"
                )
            return Resources.of_nothing(self.estimator.describe(), gateset, **targets).with_run(run())
        index = next(i for i, own in enumerate(self._circuits_of_inputs) if own)
        first, unit = plan(self.estimator, self.model, self.terms[index]), 2 * self.terms[index][0].exponent
        distributions = (simulator or qsim()).run([c.circuit for c in first.circuits], None)
        chosen = self._sampled(self.estimator, sample)
        predicted = Resources(
            estimator=self.estimator.describe(),
            circuits=circuits,
            qubits=max(len(c.circuit.all_qubits()) for c in chosen),
            built=GateCount.of([c.circuit for c in chosen], circuits),
            compiled=GateCount.of(
                [compile_to_gateset(c.circuit, target) for c in track(chosen, "compile", "circuit")], circuits
            ),
            preparation=GateCount.of([compile_to_gateset(c.preparation, target) for c in chosen], circuits),
            compiled_circuits=len(chosen),
            gateset=gateset,
            shots_for_cosine=shots_for_cosine(first, distributions, target_cosine),
            shots_for_stderr=shots_for_stderr(first, distributions, float(np.ldexp(target_stderr, -unit))),
            **targets,
        )
        return self._on_processor(predicted, sample) if run is None else predicted.with_run(run())

    def _on_processor(self, predicted: Resources, sample: int) -> Resources:
        """Return a cost with the figures of a few circuits on the processor, if there is one."""
        processor = self.engine.processor
        if processor is None or self.placement is None:
            return predicted
        placed, qubits, phase = (
            self._sampled(self._placed_estimator, sample),
            self.placement.qubits,
            "compile for the processor",
        )
        physical = [physical_circuit(processor, c.circuit, qubits) for c in track(placed, phase, "circuit")]
        return replace(predicted.on(processor, physical, physical), routed=GateCount.of(physical, predicted.circuits))

    @_with_bars
    def run(self) -> Execution:
        """Run all circuits and decode their outcomes.

        Returns:
            One estimate per input, the cost, and the findings of the mitigation.

        Raises:
            EngineError: The engine could not run the circuits.
        """
        estimates: list[list[Estimate]] = []
        configurations: list[int | None] = []
        prediction = _Prediction()
        cost, summaries = Cost(), [MitigationSummary()]
        what = self.estimator.describe()
        with (
            self.engine.one_run() as forecast,
            progress_bar(shown=self.progress, total=len(self.terms), desc=what, unit="input") as bar,
        ):
            exponents = iter([2 * terms[0].exponent for terms in self.terms])
            for inputs, circuits in self.chunks():
                if not estimates:
                    forecast.parts = self._times_of(inputs)
                    if self.engine.caps:
                        self.engine.expect(circuits.plan(), forecast.parts)
                mitigated = circuits.execute()
                summaries.append(mitigated.summary)
                configurations += [mitigated.configuration] * len(inputs)
                predicted = circuits.predicted_deviations()
                outcomes = iter(mitigated.outcomes if predicted is None else attach(mitigated.outcomes, predicted))
                prediction.add(circuits, predicted or ())
                parts = [list(islice(outcomes, len(one.circuits))) for one in inputs]
                decoded = [one.decode(part, self.mitigation) for one, part in zip(inputs, parts, strict=True)]
                for found, _ in decoded:
                    exponent = next(exponents)
                    estimates.append([each.times_power_of_2(exponent) for each in found])
                own = [outcome for one, part in zip(inputs, parts, strict=True) for outcome in part[: one.own_circuits]]
                cost += _cost_of(circuits, own, mitigated.shots, max((factor for _, factor in decoded), default=1.0))
                bar.update(len(inputs))
        violated = tuple(dict.fromkeys(text for summary in summaries for text in summary.warnings))
        for text in violated:
            warnings.warn(text, AssumptionWarning, stacklevel=3)
        notes = [note for summary in summaries for note in (*summary.notes, *summary.warnings)]
        notes += [*self._configuration_notes(configurations), *(note for own in estimates for e in own for note in e.notes)]
        notes += [*prediction.notes, *filter(None, [self.model.dilation_note])]
        summary = MitigationSummary(summaries[-1].calibration_id, tuple(dict.fromkeys(notes)), violated)
        return Execution([own[0] for own in estimates], cost, summary, [own[1:] for own in estimates])

    def _configuration_notes(self, configurations: Sequence[int | None]) -> list[str]:
        """Return a note that names the inputs of each configuration, if the run began anew on another one."""
        journal = None if self.shots is None else self.engine.journal
        if journal is None or len(journal.engines) == 1:
            return []
        parts = []
        for index, engine in enumerate(journal.engines):
            if own := [i for i, configuration in enumerate(configurations) if configuration == index]:
                parts.append(f"{_ranges(own)} ran on the snapshot {engine['snapshot']!r} of {engine['device_config_name']!r}")
        return [f"The run was compiled anew for another configuration of the processor: {'; '.join(parts)}."]

    def _times_of(self, inputs: Sequence[InputPlan]) -> float:
        """Return the number of times that the circuits of some inputs stand for those of all."""
        with_circuits = sum(any(not term.is_zero for term in terms) for terms in self.terms)
        return with_circuits / max(1, sum(bool(one.own_circuits) for one in inputs))

    @with_numpy_defaults
    def execute(self) -> Attribution:
        """Run all circuits and return the attribution, with F(x) and F(b) computed exactly unless they are measured.

        Returns:
            The attribution, in the shape of the inputs.

        Raises:
            EngineError: The engine could not run the circuits.
        """
        if self.exact is None:
            raise ValueError("this run has estimates only; prepare it with hattriq_cirq.prepare for an attribution")
        exact, execution = self.exact(), self.run()
        summary, shape = execution.summary, exact.values.shape
        every = enumerate(zip(execution.estimates, execution.further, strict=True))
        maps = [self._combined(i, [own, *further]) for i, (own, further) in every]
        estimates, scores = [one.values for one in maps], [one.scores for one in maps if one.scores is not None]
        measured: dict[str, Any] = {}
        for i, name in enumerate(("f_input", "f_baseline") if scores else ()):
            measured[name] = np.array([own.values[i] for own in scores]).reshape(shape[:-1])
            measured[f"{name}_stderr"] = np.array([own.stderr[i] for own in scores]).reshape(shape[:-1])
        arrays = MeasuredArrays.of(estimates, self.engine, self.shots, shape)
        return replace(
            exact,
            **arrays._asdict(),
            imag_values=None,
            completeness_gap_stderr=np.array([float(one.gap.stderr[0]) for one in maps]).reshape(shape[:-1]),
            **measured,
            cost=execution.cost,
            assumptions=replace(
                exact.assumptions,
                estimator=self.estimator.describe(),
                engine=self.engine.name,
                seed=self.engine.seed,
                calibration_id=summary.calibration_id,
                mitigation="none" if self.mitigation is None else self.mitigation.describe(),
                notes=(*summary.notes, *_few_counts(arrays)),
            ),
        )

    def _combined(self, index: int, estimates: Sequence[Estimate]) -> MeasuredMap:
        """Return the map of one input from the estimates of its quantities."""
        if self.combine:
            return self.combine[index](estimates)
        (values,) = estimates
        return MeasuredMap(values, values.total)

    def input_plans(self) -> Iterator[InputPlan]:
        """Build the circuits of one input after the other, prepared as the placement asks."""
        encoder = None if self.placement is None else self.placement.encoder
        for terms, further in zip(self.terms, self.further or repeat(()), strict=False):
            plans = [quantity.plan(encoder) for quantity in further]
            yield InputPlan.build(self._placed_estimator, self.model, terms, self.shots, self.mitigation, plans)

    @property
    def _placed_estimator(self) -> Estimator:
        """Estimator that prepares states as the placement asks."""
        return self.estimator if self.placement is None else self.estimator.with_encoder(self.placement.encoder)

    @cached_property
    def _circuits_of_inputs(self) -> list[int]:
        """Number of circuits of each input, of which one input's are built at a time."""
        counted = track(range(len(self.terms)), "count circuits", "input")
        return [len(self._circuits_of(self.estimator, i)) for i in counted]

    def _circuits_of(self, estimator: Estimator, index: int) -> list[WeightedCircuit]:
        """Return the circuits of one input, without those of a mitigation, with states prepared as by an estimator."""
        further = self.further[index] if self.further else ()
        plans = [plan(estimator, self.model, self.terms[index]), *(each.plan(estimator.encoder) for each in further)]
        return [circuit for each in plans for circuit in each.circuits]

    def _sampled(self, estimator: Estimator, sample: int) -> list[WeightedCircuit]:
        """Return circuits that are evenly spaced among those of all inputs, without building the others at once."""
        ends = np.cumsum(self._circuits_of_inputs)
        chosen: list[WeightedCircuit] = []
        positions = evenly_spaced(range(ends[-1]), sample)
        for i, own in groupby(positions, key=lambda position: int(np.searchsorted(ends, position, side="right"))):
            circuits = self._circuits_of(estimator, i)
            chosen += [circuits[position - ends[i]] for position in own]
        return chosen

    def _grouped(self, sizes: tuple[int, int]) -> Iterator[list[InputPlan]]:
        """Yield the inputs in groups: until their circuits fill a chunk, and at most the given number of inputs."""
        plans, left = self.input_plans(), len(self.terms)
        for limit in chain(sizes[:1], repeat(sizes[1])):
            at_most = min(limit, left)
            chunk = list(_until_full(track(islice(plans, at_most), "build circuits", "input", total=at_most)))
            left -= len(chunk)
            if not chunk:
                return
            yield chunk

    def chunks(self) -> Iterator[tuple[list[InputPlan], PreparedCircuits]]:
        """Compile the circuits of a few inputs at a time; each chunk is prepared when it is asked for."""
        journal = None if self.shots is None else self.engine.journal
        as_before = journal is not None and journal.has_calls_of_earlier_version
        sizes = (sys.maxsize, sys.maxsize) if as_before else _INPUTS
        earlier = [(placed, index, placed._grouped(sizes)) for placed, index in self._on_earlier()]
        for inputs in self._grouped(sizes):
            before = [(placed, index, next(groups)) for placed, index, groups in earlier]
            finished = (placed._finished(own, index) for placed, index, own in before)
            yield next((chunk for chunk in finished if chunk is not None), None) or self._compiled(inputs)

    def _compiled(self, inputs: list[InputPlan]) -> tuple[list[InputPlan], PreparedCircuits]:
        """Return a chunk of inputs with its compiled circuits."""
        circuits, shots = _merged(inputs)
        compiled = PreparedCircuits.compile(self.engine, circuits, shots, self._checked, placement=self.placement)
        return inputs, compiled.as_begun(self.mitigation)

    def _finished(self, inputs: list[InputPlan], index: int) -> tuple[list[InputPlan], PreparedCircuits] | None:
        """Return a chunk of inputs that an earlier configuration of the processor has finished; None if it has not."""
        if self.placement is None:
            return None
        for mitigation in (self._checked, self.mitigation):
            found = PreparedCircuits.finished(self.engine, *_merged(inputs), mitigation, self.placement, index)
            if found is not None:
                return inputs, found
        return None

    def _on_earlier(self) -> Iterator[tuple[PreparedAttribution, int]]:
        """Yield this attribution as it was placed on each earlier configuration of the processor, with its index."""
        journal = None if self.shots is None or self.given_placement is not None else self.engine.journal
        key = None if journal is None or len(journal.engines) == 1 else self._placement_key
        if journal is None or key is None:
            return
        for index in range(len(journal.engines) - 1):
            if (record := journal.earlier_placement(index, key)) is not None:
                with self.engine.at_configuration(index):
                    processor = self.engine.processor
                    assert processor is not None
                    yield replace(self, given_placement=Placement.from_record(processor, record)), index


@dataclass
class _Prediction:
    """Errors of a run that nothing corrects, of the size that the calibration of its processor predicts."""

    deviations: list[Deviation] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    snapshot: str = ""
    is_tested: bool = True

    def add(self, circuits: PreparedCircuits, deviations: Sequence[Deviation]) -> None:
        """Add the predicted deviations of the outcomes of circuits."""
        processor, mitigation = circuits.engine.processor, circuits.mitigation
        if processor is not None and any(each.damping or each.spread for each in deviations):
            self.deviations += deviations
            self.kinds |= circuits.predicted_kinds
            self.snapshot = processor.snapshot
            self.is_tested &= mitigation is not None and mitigation.is_checked

    @property
    def notes(self) -> list[str]:
        """One sentence on the prediction, if there is one."""
        if not self.deviations:
            return []
        damping, spread = (100 * np.mean([getattr(each, name) for each in self.deviations]) for name in ("damping", "spread"))
        return [
            f"systematic part of errors: by the calibration {self.snapshot!r}, errors of {', '.join(sorted(self.kinds))} damp "
            f"outcomes by {damping:.1f}% and spread them by {spread:.1f}% of their size"
            + ("" if self.is_tested else "; the data do not test this")
        ]


@dataclass(frozen=True, eq=False)
class InputPlan:
    """Circuits of one input: those of its plans, then the auxiliary ones of a mitigation.

    Args:
        plans: Plan of the estimator, then those of further quantities, which share the shots.
        auxiliary: Auxiliary circuits of the mitigation.
        shots: Shots of all these circuits, in order; None for exact probabilities.
    """

    plans: list[Plan]
    auxiliary: list[WeightedCircuit]
    shots: list[int] | None

    @classmethod
    def build(
        cls,
        estimator: Estimator,
        model: Model,
        terms: Sequence[BilinearTerm],
        shots: int | None,
        mitigation: Mitigation[Any] | None,
        further: Sequence[Plan] = (),
    ) -> InputPlan:
        """Build the circuits of one input, or find those of an equal one, and share its shots among them."""
        key = _key(model.digest, content_digest((estimator, terms)))
        own = _plans.get(key, partial(plan, estimator, model, terms), lambda found: len(found.circuits))
        plans, asked = [own, *further], list[tuple[WeightedCircuit, float]]()
        if mitigation is not None and own.circuits:
            build = partial(mitigation.auxiliary_circuits, model, estimator, terms)
            asked = _auxiliary.get(_key(key, content_digest(mitigation)), build, len)
        together = replace(own, circuits=tuple(circuit for each in plans for circuit in each.circuits))
        counts = None if shots is None else together.shots(shots) + [max(1, round(share * shots)) for _, share in asked]
        return cls(plans, [circuit for circuit, _ in asked], counts)

    @property
    def own_circuits(self) -> int:
        """Number of circuits of the plans."""
        return sum(len(each.circuits) for each in self.plans)

    @property
    def own_shots(self) -> int:
        """Number of shots of the plans' circuits; 0 for exact probabilities."""
        return sum((self.shots or [])[: self.own_circuits])

    @property
    def circuits(self) -> list[cirq.Circuit]:
        """All circuits, in order."""
        return [c.circuit for c in (*(c for each in self.plans for c in each.circuits), *self.auxiliary)]

    def decode(self, outcomes: Outcomes, mitigation: Mitigation[Any] | None) -> tuple[list[Estimate], float]:
        """Return the estimates of all plans, and the summed variance of the first over that of plain counts of its shots."""
        left = iter(outcomes)
        measured, *further = [each.decode(list(islice(left, len(each.circuits)))) for each in self.plans]
        first = self.plans[0]
        if mitigation is None or not first.circuits:
            return [measured, *further], 1.0
        corrected = mitigation.postprocess(measured, list(zip(self.auxiliary, left, strict=True)))
        return [corrected, *further], _variance_factor(first, measured, corrected)


def bilinear_terms(row: Array, references: Array, rule: Quadrature | None) -> list[BilinearTerm]:
    """Return the bilinear terms whose sum is the attribution of one input.

    Args:
        row: Input x, (features,).
        references: Baselines b, (baselines, features).
        rule: None for the exact path integral, which takes one term per baseline with left = x - b and right = x + b; or a
            quadrature rule, which takes one term per node p with right = 2 p.

    Returns:
        The terms, weighted so that their sum is the mean over the baselines.
    """
    count = len(references) * (1 if rule is None else len(rule.nodes))
    if rule is not None and count > _TERMS_MAX:
        raise ValueError(f"{count} baselines and nodes of the rule have circuits each; at most {_TERMS_MAX} are possible")
    exponent, (row, *ends) = scaled(row, references)
    terms = []
    for reference in ends:
        step = sum_or_zero(row, -reference)
        if rule is None:
            terms.append(BilinearTerm(step, sum_or_zero(row, reference), 1 / len(references), exponent))
        else:
            terms += [
                BilinearTerm(step, 2 * (reference + position * step), weight / len(references), exponent)
                for position, weight in zip(rule.nodes, rule.weights, strict=True)
            ]
    return terms


def bilinear_terms_of_rows(rows: Array, references: Array, rule: Quadrature | None) -> list[list[BilinearTerm]]:
    """Return the bilinear terms of every row of a batch; `references` is (baselines, samples or 1, features)."""
    return [bilinear_terms(row, of_input(references, i), rule) for i, row in enumerate(rows)]


def _terms_of_input(model: Model, x: ArrayLike, baseline: float | ArrayLike | BaselineSet, rule: str) -> list[BilinearTerm]:
    """Return the bilinear terms of one input, (features,)."""
    row = model_inputs(model, x)
    check_columns(model, baseline, "baseline")
    return bilinear_terms(row, baselines_of_row(baseline, row), parse_rule(rule))


def baselines_of_row(baseline: float | ArrayLike | BaselineSet, row: Array) -> Array:
    """Return the baselines of one input, (baselines, features); a baseline with two axes is a set."""
    if row.ndim != 1:
        raise ValueError(f"x.shape={row.shape} must be one input, (features,); choose a row of a batch")
    if not isinstance(baseline, BaselineSet) and np.ndim(baseline) >= 2:
        baseline = BaselineSet(np.asarray(baseline))
    return resolve(baseline, row)[0][:, 0]


def check_model(model: object) -> None:
    """Raise ArgumentTypeError unless a model has a circuit."""
    check_type(model, "model", Model, "a Model, such as hattriq_cirq.ring_ansatz(n_qubits, layers)")


def check_engine(estimator: object, engine: object) -> Engine:
    """Return the engine, wrapping a `cirq.Sampler` if it is one; raise ArgumentTypeError for anything else."""
    check_type(estimator, "estimator", Estimator, _AN_ESTIMATOR)
    if isinstance(engine, cirq.Sampler):
        return sampler(engine)
    advice = "an engine, such as hattriq_cirq.qsim(seed=1), or a cirq.Sampler"
    checked: Engine = check_type(engine, "engine", Engine, advice)
    return checked


def check_together(estimator: object, engine: object, shots: object, mitigation: object) -> None:
    """Raise ValueError for an estimator without an engine, or for what only a run takes without an estimator."""
    if estimator is None and (engine is not None or shots is not None or mitigation is not None):
        raise ValueError("engine, shots and mitigation need an estimator, such as estimator=ResolvedHadamardTest()")
    if estimator is not None and engine is None:
        raise ValueError("an estimator needs an engine to run its circuits, such as engine=hattriq_cirq.qsim(seed=1)")


def as_shots(shots: object) -> int | None:
    """Return a number of shots as a plain integer; None stands for exact probabilities."""
    if shots is None:
        return None
    advice = f"be a whole number, at least 1 and at most {SHOTS_MAX:.0e}, or None for exact probabilities"
    return as_count(shots, "shots", 1, SHOTS_MAX, advice=advice)


def choose_placement(
    model: Model, estimator: Estimator, terms: Sequence[Sequence[BilinearTerm]], engine: Engine
) -> Placement | None:
    """Choose physical qubits by a few circuits of a run; each candidate is judged with the state preparation that suits it.

    The search is done once in a process for equal circuits, as in a study that repeats a run with other shots or mitigations.

    Args:
        model: Model of the quadratic form.
        estimator: Estimator that builds the circuits.
        terms: Bilinear terms of each input.
        engine: Engine whose processor runs the circuits.

    Returns:
        The placement of the lowest predicted error; None if the engine has no processor.

    Raises:
        ValueError: The processor has too few qubits, or the engine names qubits that cannot be used.
        CircuitRefusedError: The circuits cannot be compiled for any placement.
    """
    processor = engine.processor
    if processor is None:
        return None
    circuits: dict[Encoder, list[cirq.Circuit]] = {encode: _placing_circuits(model, estimator, terms, encode)}
    key = circuits_key(circuits[encode], (*model.qubits, *(engine.qubits or ())))
    choose = partial(_best_placement, processor, model, estimator, terms, engine, circuits)
    return _placements.get(_key(processor, key), choose)


def _best_placement(
    processor: Processor,
    model: Model,
    estimator: Estimator,
    terms: Sequence[Sequence[BilinearTerm]],
    engine: Engine,
    circuits: dict[Encoder, list[cirq.Circuit]],
) -> Placement:
    """Search for the placement that `choose_placement` returns, by the circuits of the usual state preparation."""
    layouts = candidate_layouts(processor, circuits[encode], model.qubits, among=engine.qubits)
    layouts = promising_layouts(processor, layouts, _placing_circuits(model, estimator, terms, _prepare_nothing))
    encoders = list(dict.fromkeys(layout.encoder for layout in layouts))
    for encoder in track(encoders, "build circuits for layouts", "layout"):
        if encoder not in circuits:
            circuits[encoder] = _placing_circuits(model, estimator, terms, encoder)
    return best_placement(processor, layouts, circuits)


def _prepare_nothing(x: ArrayLike, qubits: Sequence[cirq.Qid]) -> cirq.Circuit:
    """Leave out the state preparation, as an encoder."""
    return cirq.Circuit()


def _placing_circuits(
    model: Model, estimator: Estimator, terms: Sequence[Sequence[BilinearTerm]], encoder: Encoder
) -> list[cirq.Circuit]:
    """Return the few circuits of a run, prepared by an encoder, that its placement is chosen by."""
    chosen = evenly_spaced([term for of_one in terms for term in of_one if not term.is_zero], _PLACED_BY)
    return sample_circuits(estimator.with_encoder(encoder), model, chosen)


def _ranges(indices: Sequence[int]) -> str:
    """Return sorted indices of inputs in words.

    Example:
        >>> _ranges([0, 1, 2, 5])
        'inputs 0 to 2, 5'
    """
    texts, start = [], indices[0]
    for index, following in zip(indices, [*indices[1:], None], strict=True):
        if following != index + 1:
            texts.append(str(start) if start == index else f"{start} to {index}")
            start = index if following is None else following
    return f"input{'' if len(indices) == 1 else 's'} {', '.join(texts)}"


def _key(*parts: Hashable) -> Hashable | None:
    """Return what is known by all of several keys; None if one of them is."""
    return None if None in parts else parts


def _merged(inputs: Sequence[InputPlan]) -> tuple[list[cirq.Circuit], list[int] | None]:
    """Return the circuits of some inputs and their shots, in order; None for exact probabilities."""
    has_shots = all(one.shots is not None for one in inputs)
    counts = [count for one in inputs for count in one.shots or ()]
    return [circuit for one in inputs for circuit in one.circuits], counts if has_shots else None


def _until_full(plans: Iterator[InputPlan]) -> Iterator[InputPlan]:
    """Yield inputs until their circuits fill a chunk."""
    circuits = 0
    for one in plans:
        yield one
        circuits += len(one.circuits)
        if circuits >= _CHUNK:
            return


def _few_counts(arrays: MeasuredArrays) -> list[str]:
    """Return a note on the features whose intervals are more than a tenth wider than their standard errors have it."""
    stderr, rare = arrays.stderr, arrays.rare_stderr
    if rare is None:
        return []
    wider = np.divide(np.hypot(stderr, rare), stderr, out=np.ones_like(stderr), where=stderr > 0).reshape(-1, stderr.shape[-1])
    few = np.flatnonzero((wider > 1.1).any(axis=0)).tolist()
    if not few:
        return []
    listed = ", ".join(map(str, few[:_LISTED])) + (f" and {len(few) - _LISTED} more" if len(few) > _LISTED else "")
    return [
        f"few shots fell on features {listed}: their intervals, interval(), are up to {wider.max():.1f} times as wide as "
        "their standard errors alone would make them"
    ]


def _cost_of(circuits: PreparedCircuits, own: Outcomes, all_shots: int, variance_factor: float) -> Cost:
    """Return the cost of one chunk in the shots that came back: those of the estimators' circuits, and all others."""
    shots = sum(outcome.shots or 0 for outcome in own)
    added = circuits.requests - len(own), all_shots - shots
    return Cost(len(own), shots, circuits.two_qubit_gates, len(circuits.programs), *added, variance_factor)


def _variance_factor(made: Plan, measured: Estimate, corrected: Estimate) -> float:
    """Return the summed variance of an estimate over that of plain counts, at probabilities clipped to be positive."""
    if any(outcome.shots is None for outcome in measured.outcomes):
        return 1.0
    before = float(np.sum(made.decode([outcome.plain_counts for outcome in measured.outcomes]).stderr ** 2))
    return float(np.sum(corrected.stderr**2)) / before if before else 1.0
