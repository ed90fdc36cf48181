"""Learning of a model's observable on a device: probes in, a `LearnedModel` out, whose maps need no further circuit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from textwrap import indent
from typing import Any, TypedDict, Unpack, get_args, overload

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.compilation.gatesets import compile_to_gateset, gateset_name
from hattriq_cirq.compilation.gatesets import gateset as gateset_by_name
from hattriq_cirq.estimators.probe_design import HELD_OUT
from hattriq_cirq.execution.backends.simulators import qsim, sampler
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.checks import as_count, as_number, as_seed, as_word, check_type
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.log import Log
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.foundation.progress import progress_bars, track
from hattriq_cirq.foundation.text import aligned, quantity
from hattriq_cirq.models.learned import LearnedModel, LearningRecord, PriorKind, StringsSource, model_digest, origin
from hattriq_cirq.models.learned_group import LearnedModels
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.pauli_strings import PauliStrings
from hattriq_cirq.pipeline.execute import PreparedCircuits
from hattriq_cirq.pipeline.mitigation import AssumptionWarning, Mitigated, Mitigation
from hattriq_cirq.pipeline.prepare import SHOTS_MAX, as_shots, check_model
from hattriq_cirq.pipeline.resources import UNREACHABLE, GateCount, Resources, RunResources
from hattriq_cirq.workflows.learning_campaign import RULES, Campaign, Corrections
from hattriq_cirq.workflows.learning_prediction import LargestError, PredictedError
from hattriq_cirq.workflows.learning_strings import ChosenStrings

log = Log("workflows")
_EVEN_PRIORS = ("flat", "none")  # those under which a string that is small costs as many shots as a large one
_LEFT_OUT = tuple(2e-4 * 1.6**i for i in range(16))  # shares of the weight of maps that shorter lists leave out
_NO_DAMPING = (
    "The damping could not be measured: nothing of the signal was left in the folded circuits, because the device changed or "
    "the shots did not suffice. The values are not corrected, and have systematic errors of their own size. Look at the "
    "held-out test; learn again with more shots, or without the correction of damping."
)
_GAUGE_SCATTER = 0.3  # scatter of an expectation between gauges, relative to what gate errors take from it
_WORSE = 3  # shorter lists in a row without a gain, after which none is tried


class LearningChoices(TypedDict, total=False):
    """Arguments of `learn_observable` that may be left out."""

    inputs: ArrayLike | None
    baseline: float | ArrayLike | BaselineSet
    strings: str | Sequence[str]
    prior: str | None
    probes: int | None
    mitigation: Mitigation[Any] | str | Sequence[Mitigation[Any] | str] | None
    error: float | None
    seed: int


@overload
def learn_observable(
    model: Model, *, engine: Engine | cirq.Sampler, shots: int | None, **choices: Unpack[LearningChoices]
) -> LearnedModel: ...
@overload
def learn_observable(
    model: Sequence[Model], *, engine: Engine | cirq.Sampler, shots: int | None, **choices: Unpack[LearningChoices]
) -> LearnedModels: ...
@with_numpy_defaults
def learn_observable(  # noqa: PLR0913  one argument for each choice of the user
    model: Model | Sequence[Model],
    *,
    engine: Engine | cirq.Sampler,
    shots: int | None,
    inputs: ArrayLike | None = None,
    baseline: float | ArrayLike | BaselineSet = 0,
    strings: str | Sequence[str] = "structure",
    prior: str | None = None,
    probes: int | None = None,
    mitigation: Mitigation[Any] | str | Sequence[Mitigation[Any] | str] | None = None,
    error: float | None = None,
    seed: int = 0,
) -> LearnedModel | LearnedModels:
    """Measure the observable M = U' O U of a model on a device, once for all inputs, baselines, forms and heads.

    The device runs the model's circuit in product states, which take one rotation per qubit and no state preparation. The
    coefficients of M over Pauli strings follow by regression (Huang, Chen and Preskill, PRX Quantum 4, 040337, 2023), with the
    covariance of their errors. Each circuit runs in a random gauge of its own. The result is a quadratic form: give it to
    `integrated_gradients` in place of the model.

    The input must be known as numbers, and where the list of strings is short enough to be learned, M can as a rule be computed
    too. The device adds what its own circuit computes, not a speed-up.

    Several observables of one circuit, such as the heads of a classifier of several classes, are learned in one campaign: every
    probe is run once, and all observables that can be read together are read from the same shots. Their errors are then common,
    which the results know.

    Args:
        model: Model to learn, or a sequence of models with the same circuit and different observables.
        engine: Engine that runs the circuits, such as `virtual("willow_pink")`, or any `cirq.Sampler`.
        shots: Number of shots of the whole campaign, without those of a readout calibration; None for those that the error
            needs, or without an error for exact probabilities.
        inputs: Inputs whose maps will be wanted, (..., features), which decide how important each string is and whether inputs
            are real; None for real inputs and equally important strings.
        baseline: Baseline of these maps, as for `integrated_gradients`.
        strings: `structure` for all strings that the circuit's structure allows, which owes nothing to a simulation;
            `important` for those that matter for the inputs according to the simulated circuit, under a flat prior or none as
            many as give the smallest predicted error for the shots; or strings as letters, such as `["XIZ", "ZZI"]`.
        prior: `empirical_bayes`, with scales from the data; `flat`; `magnitude`, with variances from the simulated circuit;
            `none` for least squares; None takes `flat` for important strings and else `empirical_bayes`.
        probes: Number of product states; None takes as many as the design needs: without a prior, so that they determine every
            coefficient. A tenth of them takes no part in the fit.
        mitigation: `readout` or a readout correction such as `calibration.Readout()`; `damping`, which spends a tenth of the
            shots on circuits folded three times and divides by the common factor of the noise; several, such as
            `"damping,readout"`, or a sequence of them; None for no correction.
        error: Largest predicted relative L2 error of a map; a campaign whose shots do not suffice is refused before it runs.
            None for any. `plan_learning` shows the prediction.
        seed: Random seed for probes and gauges.

    Returns:
        The learned model, with the origin of its strings and prior in its record; for a sequence of models `LearnedModels`, a
        sequence of them.

    Raises:
        ValueError: An argument is invalid, the shots do not suffice, or the probes do not determine the strings.
        EngineError: The engine could not run the circuits.

    Example:
        >>> import hattriq_cirq as hq
        >>> model = hq.ring_ansatz(2, layers=1)
        >>> learned = hq.learn_observable(model, engine=hq.cirq_simulator(), shots=None, prior="none")
        >>> dict(zip(learned.strings.texts, (learned.coefficients.round(9) + 0).tolist()))
        {'ZI': 1.0, 'XI': 0.0, 'ZZ': 0.0, 'ZX': 0.0, 'XZ': 0.0, 'XX': 0.0, 'YY': 0.0}
    """
    choices: dict[str, Any] = {"strings": strings, "prior": prior, "probes": probes, "mitigation": mitigation, "seed": seed}
    wanted: dict[str, Any] = {"shots": shots, "error": error, "inputs": inputs, "baseline": baseline}
    prepared = prepare_learning(model, engine=engine, **wanted, **choices)
    return prepared.execute() if isinstance(model, Model) else prepared.execute_all()


@with_numpy_defaults
def plan_learning(  # noqa: PLR0913  one argument for each choice of the user
    model: Model | Sequence[Model],
    *,
    engine: Engine | cirq.Sampler | None = None,
    shots: int | None = None,
    error: float | None = None,
    inputs: ArrayLike | None = None,
    baseline: float | ArrayLike | BaselineSet = 0,
    strings: str | Sequence[str] = "structure",
    prior: str | None = None,
    probes: int | None = None,
    mitigation: Mitigation[Any] | str | Sequence[Mitigation[Any] | str] | None = None,
    seed: int = 0,
) -> LearningPlan:
    """Plan a campaign before anything runs: strings, probes, circuits, gates, and the error of a map for a number of shots.

    The arguments that `learn_observable` has too are its own, and a campaign with them runs exactly what was planned.

    Args:
        model: Model to learn, or several with the same circuit; the predicted error is then the largest of any observable.
        engine: Engine that would run the circuits; None counts gates on a free graph.
        shots: Number of shots of the campaign; None takes those that the error needs.
        error: Wanted relative L2 error of a map; with shots as well, a campaign that does not reach it is refused.
        inputs: Inputs whose maps will be wanted, (..., features), or None.
        baseline: Baseline of these maps.
        strings: Strings to learn.
        prior: Prior of their coefficients.
        probes: Number of product states, or None.
        mitigation: Corrections.
        seed: Random seed for probes and gauges.

    Returns:
        The plan; its `shots` go straight into `learn_observable`.

    Raises:
        ValueError: An argument is invalid, neither shots nor error is given, or no possible number of shots suffices.
        CircuitRefusedError: The processor cannot run a circuit.

    Example:
        >>> import hattriq_cirq as hq
        >>> plan = hq.plan_learning(hq.ring_ansatz(2, layers=1), error=0.05)
        >>> plan.shots < 10_000, round(plan.error, 3), plan.shots_for(0.01) > 20 * plan.shots
        (True, 0.05, True)
    """
    if shots is None and error is None:
        raise ValueError("a plan needs shots or error: give the number of shots, or the wanted relative error of a map")
    choices: dict[str, Any] = {"strings": strings, "prior": prior, "probes": probes, "mitigation": mitigation, "seed": seed}
    wanted: dict[str, Any] = {"shots": shots, "error": error, "inputs": inputs, "baseline": baseline}
    return prepare_learning(model, engine=qsim() if engine is None else engine, **wanted, **choices).plan


def prepare_learning(  # noqa: PLR0913  one argument for each choice of the user
    model: Model | Sequence[Model],
    *,
    engine: Engine | cirq.Sampler,
    shots: int | None,
    inputs: ArrayLike | None = None,
    baseline: float | ArrayLike | BaselineSet = 0,
    strings: str | Sequence[str] = "structure",
    prior: str | None = None,
    probes: int | None = None,
    mitigation: Mitigation[Any] | str | Sequence[Mitigation[Any] | str] | None = None,
    error: float | None = None,
    seed: int = 0,
) -> PreparedLearning:
    """Prepare a campaign without running anything: `plan` prices exactly what `execute` runs.

    Args:
        model: Model to learn, or several; this and all other arguments are those of `learn_observable`.
        engine: Engine.
        shots: Number of shots, or None.
        inputs: Inputs whose maps will be wanted, or None.
        baseline: Baseline of these maps.
        strings: Strings to learn.
        prior: Prior of their coefficients.
        probes: Number of product states, or None.
        mitigation: Corrections.
        error: Largest predicted relative error of a map, or None.
        seed: Random seed.
    """
    models = _models_of_one_circuit(model)
    if isinstance(engine, cirq.Sampler):
        engine = sampler(engine)
    check_type(engine, "engine", Engine, "an engine, such as hattriq_cirq.qsim(seed=1), or a cirq.Sampler")
    shots, seed = as_shots(shots), as_seed(seed)
    error = None if error is None else as_number(error, "error", above=0, advice="be a relative error above 0, such as 0.05")
    probes = None if probes is None else as_count(probes, "probes", 2 * HELD_OUT, 10**6)
    corrections = Corrections.of(mitigation)
    kind: PriorKind = as_word(prior or ("flat" if strings == "important" else "empirical_bayes"), "prior", get_args(PriorKind))
    with progress_bars(engine.shows_progress), engine.logged():
        chosen = tuple(ChosenStrings.of(each, inputs, baseline, strings, kind) for each in models)

        def campaign_of(own: tuple[ChosenStrings, ...], known: int | None, rule: str = RULES[0]) -> PreparedLearning:
            campaign = Campaign.of(models, own, probes, corrections, seed, known, rule=rule)
            return PreparedLearning(campaign, own, engine, shots, error)

        prepared = campaign_of(chosen, shots)
        if strings == "important" and kind in _EVEN_PRIORS and (shots, error) != (None, None):
            prepared = _shortened(prepared, lambda own: campaign_of(own, shots))
        if shots is None and prepared.shots is not None:  # the error decides the shots, and they the probes
            prepared = campaign_of(prepared.chosen, prepared.shots)
        if prepared.shots is not None:
            prepared.campaign.expected.shots(prepared.shots)
        has_begun = engine.journal is not None and bool(engine.journal.calls)
        if prepared.campaign.was_planned_otherwise and has_begun and not prepared.compiled.is_recorded:
            earlier = (campaign_of(prepared.chosen, prepared.shots, rule) for rule in RULES[1:])
            return next((each for each in earlier if each.compiled.is_recorded), prepared)
        return prepared


def _shortened(
    longest: PreparedLearning, campaign_of: Callable[[tuple[ChosenStrings, ...]], PreparedLearning]
) -> PreparedLearning:
    """Return the campaign whose list of important strings has the smallest predicted error, or takes the fewest shots to it.

    Every string that is fitted costs shots, and every one that is left out the weight that it has in a map.
    """
    best, lowest, worse = longest, longest.badness, 0
    for share in _LEFT_OUT:
        fewer = tuple(own.without(share) for own in longest.chosen)
        if all(len(own.strings) == len(other.strings) for own, other in zip(fewer, best.chosen, strict=True)):
            continue
        found = campaign_of(fewer)
        if (badness := found.badness) < lowest:
            best, lowest, worse = found, badness, 0
        elif (worse := worse + 1) == _WORSE:
            break
    return best


def _models_of_one_circuit(model: Model | Sequence[Model]) -> tuple[Model, ...]:
    """Return one or several models, checked to have the same circuit and qubits.

    Raises:
        TypeError: One of them is no model.
        ValueError: There is none, or they are not observables of one circuit.
    """
    models = tuple(model) if isinstance(model, Sequence) else (model,)
    if not models:
        raise ValueError("model is an empty sequence; give at least one Model")
    for each in models:
        check_model(each)
    models = tuple(map(_learnable, models))
    for each in models:
        if each.qubits != models[0].qubits or each.resolved_circuit != models[0].resolved_circuit:
            raise ValueError(
                f"{each!r} has another circuit than {models[0]!r}; one campaign measures observables of one circuit, such as "
                "model.with_observable(...)"
            )
    if len({each.observable_text for each in models}) < len(models):
        raise ValueError(f"an observable is given twice: {[each.observable_text for each in models]}; give each once")
    return models


def _learnable(model: Model) -> Model:
    """Return a model as the unitary circuit that probes run; refuse one whose identity part no probe measures."""
    unitary = model.dilated()
    if unitary.environment:
        raise ValueError(
            f"{model!r} needs {quantity(len(unitary.environment), 'environment qubit')}, so that M has an identity part of its "
            "own, which probes do not measure; estimate its maps by circuits, such as ResolvedHadamardTest(), or compute them "
            "exactly"
        )
    return unitary


@dataclass(frozen=True, eq=False, repr=False)
class LearningPlan(Frozen):
    """Campaign before it runs.

    Args:
        observable: Observable as text, or several with commas between them.
        strings: Strings whose coefficients are fitted, of all observables, each once.
        source: Origin of the list of strings.
        prior: Kind of prior.
        truncated_share: Share of the weight of an average map that the list leaves out, as far as it is known.
        probes: Number of product states in the fit.
        held_out: Number of product states that are held out for the test.
        folded: Number of product states that are folded as well, to measure the damping.
        shots: Number of shots of the campaign, without those of a readout calibration.
        prediction: Relative error of a map against shots.
        resources: Circuits, gates, jobs and bytes, as for an attribution by circuits.
        notes: Findings, one sentence each.

    Example:
        >>> import hattriq_cirq as hq
        >>> print(hq.plan_learning(hq.ring_ansatz(2, layers=1), shots=10_000, prior="none"))  # doctest: +ELLIPSIS
        LearningPlan of observable 1.0*Z(q(0)): 7 Pauli strings on 2 qubits
          strings that the structure of the circuit allows, which owes nothing to a simulation; no prior (least squares)
          probes           ... in the fit, 8 held out, 0 folded
          predicted error  0.0... of the norm of a map at 10,000 shots; 0.05 takes ... shots
        learned observable (structure, none): ... circuits on 1 qubit
          ...
    """

    observable: str
    strings: PauliStrings
    source: StringsSource
    prior: PriorKind
    truncated_share: float
    probes: int
    held_out: int
    folded: int
    shots: int
    prediction: PredictedError | LargestError
    resources: Resources
    notes: tuple[str, ...] = ()

    @property
    def error(self) -> float:
        """Predicted relative L2 error of a map: the root of its mean square over the inputs."""
        return self.prediction.at(self.shots)

    def shots_for(self, error: float) -> int:
        """Return the number of shots of a campaign with these probes for a predicted relative error.

        Raises:
            ValueError: No possible number of shots suffices.
        """
        needed = max(self.prediction.shots_for(as_number(error, "error", above=0)), self.resources.circuits)
        if needed > SHOTS_MAX:
            raise ValueError(f"{error=} takes {needed:.2g} shots, more than {SHOTS_MAX:.0e}; give a larger one")
        return int(np.ceil(needed))

    def to_record(self) -> dict[str, Any]:
        """Return the plan as JSON, without the strings themselves."""
        names = ("observable", "source", "prior", "truncated_share", "probes", "held_out", "folded", "shots", "error", "notes")
        values = {name: getattr(self, name) for name in names}
        return {**values, "notes": list(self.notes), "strings": len(self.strings), "resources": self.resources.row()}

    def __repr__(self) -> str:
        rows = [
            ("probes", f"{self.probes:,} in the fit, {self.held_out:,} held out, {self.folded:,} folded"),
            ("predicted error", self._error_text()),
        ]
        first = (
            f"LearningPlan of observable {self.observable}: {quantity(len(self.strings), 'Pauli string')} on "
            f"{quantity(self.strings.n_qubits, 'qubit')}"
        )
        lines = [first, indent(origin(self.source, self.prior), "  "), indent(aligned(rows), "  ")]
        lines += [f"  note: {note}" for note in self.notes]
        return printable("\n".join([*lines, str(self.resources)]), lines=True)

    def _error_text(self) -> str:
        text = f"{self.error:.3g} of the norm of a map at {self.shots:,} shots"
        other = 0.05 if self.error > 0.05 else 0.01
        needed = self.prediction.shots_for(other)
        return text + (f"; {other:g} takes {self.shots_for(other):,} shots" if needed <= SHOTS_MAX else "")


@dataclass(frozen=True, eq=False)
class PreparedLearning(Frozen):
    """Campaign on an engine, ready to be planned, recorded and run; created by `prepare_learning`.

    Args:
        campaign: Probes and circuits.
        chosen: Strings and prior of each observable.
        engine: Engine that runs the circuits.
        given_shots: Number of shots of the campaign; None for those that the error needs, or for exact probabilities.
        wanted_error: Largest predicted relative error of a map; None for any.
    """

    campaign: Campaign
    chosen: tuple[ChosenStrings, ...]
    engine: Engine
    given_shots: int | None
    wanted_error: float | None = None

    @cached_property
    def shots(self) -> int | None:
        """Number of shots of the campaign; None for exact probabilities.

        Raises:
            ValueError: The shots that were given do not reach the error, or no possible number does.
        """
        given, error = self.given_shots, self.wanted_error
        if error is None:
            return given
        needed = max(self.prediction.shots_for(error), self.campaign.circuits)
        if needed <= (SHOTS_MAX if given is None else given):
            return int(np.ceil(needed)) if given is None else given
        probes, most = len(self.campaign.fitted), max(len(own.strings) for own in self.chosen)
        strings = quantity(most, "Pauli string")
        if needed > SHOTS_MAX and probes < most:
            raise ValueError(
                f"no number of shots reaches {error=}: {probes} probes in the fit do not determine {strings}; use more probes, "
                "strings='important', or a shallower model"
            )
        takes = f"{needed:.2g}" if needed > SHOTS_MAX else f"{int(np.ceil(needed)):,}"
        reached = "" if given is None else f"; {given:,} reach {self.prediction.at(given):.2g}"
        raise ValueError(
            f"{error=} takes {takes} shots for {strings}{reached}. Use more shots, "
            "a larger error, strings='important' with prior='magnitude', or a shallower model"
        )

    @cached_property
    def _programs(self) -> PreparedCircuits:
        """The circuits of the first batch, compiled, before the number of their shots is decided."""
        is_counted = self.given_shots is not None or self.wanted_error is not None
        circuits = self.campaign.batches[0].circuits
        return self.campaign.compile(0, self.engine, [1] * circuits if is_counted else None)

    @cached_property
    def compiled(self) -> PreparedCircuits:
        """The circuits of the first batch as the engine runs them."""
        return replace(self._programs, shots=None if self.shots is None else self.campaign.shots(self.shots)[0])

    @cached_property
    def fidelity(self) -> float:
        """Predicted probability that a run of the largest circuit has no gate error; 1 without a calibrated processor."""
        processor = self.engine.processor
        if processor is None or not processor.two_qubit_errors:
            return 1.0
        return min(processor.fidelity(program.circuit[:-1]) for program in self._programs.programs)  # without the measurement

    @cached_property
    def prediction(self) -> PredictedError | LargestError:
        """Relative error of a map against the shots; of several observables the largest."""
        return self._predicted(self.fidelity if self.campaign.corrections.damping else 1.0)

    @property
    def badness(self) -> float:
        """Predicted error for the shots that are given, or shots for the error; nothing is compiled for it."""
        predicted = self._predicted(1.0)
        if self.given_shots is not None:
            return predicted.at(self.given_shots)
        return np.inf if self.wanted_error is None else predicted.shots_for(self.wanted_error)

    def _predicted(self, fidelity: float) -> PredictedError | LargestError:
        """Return the error for circuits of a fidelity, which damps all expectations and scatters them between gauges."""
        campaign, every = self.campaign.expected, []
        for design, own, size in zip(campaign.designs, self.chosen, campaign.sizes.tolist(), strict=True):
            variance = own.spread(design, size) / fidelity**2
            outside = 0.0 if own.outside is None else float(own.outside.variance_in(design.states).mean())
            gauges = (_GAUGE_SCATTER * (1 - fidelity) / fidelity * size) ** 2
            scatter = (outside + gauges) / len(design.states)
            every.append(
                PredictedError(
                    *(design, own.expected, variance, campaign.share_of_fit, own.map_size),
                    left_out=own.left_out,
                    scatter=scatter,
                    tails=own.tails,
                )
            )
        return every[0] if len(every) == 1 else LargestError(tuple(every))

    @cached_property
    def plan(self) -> LearningPlan:
        """Plan of exactly what `execute` runs."""
        return self._plan(record=False)

    def record(self) -> LearningPlan:
        """Check the campaign and record its jobs in the engine's journal, without submitting any: a dry run.

        Raises:
            ValueError: There are no shots, or the engine has no journal.
            CircuitRefusedError: The processor or its service would refuse a job.
        """
        return self._plan(record=True)

    def run_resources(self, *, record: bool = False) -> RunResources:
        """Count the jobs of the campaign, and record them in the journal if asked for.

        Raises:
            ValueError: There are no shots.
        """
        if self.shots is None:
            raise ValueError("a plan needs shots: exact probabilities are no jobs")
        campaign, shots = self.campaign.expected, self.campaign.expected.shots(self.shots)
        with progress_bars(self.engine.shows_progress), self.engine.logged():
            call = self.compiled.record() if record else self.compiled.plan()
            parts = [(self.compiled, call)]
            journal = self.engine.journal
            recorded = {call.number} if journal is None else {call.number, *journal.calls}
            for stage in range(1, campaign.stages):  # of which only the price is known, so that nothing of it is recorded
                later = replace(campaign.compile(stage, self.engine, None), shots=shots[stage])
                parts.append((later, later.plan(after=recorded)))
            every = [
                RunResources.of_call(compiled, own, batch.circuits, sum(counts))
                for (compiled, own), batch, counts in zip(parts, campaign.batches, shots, strict=True)
            ]
        return every[0] if len(every) == 1 else RunResources.total(every)

    def _plan(self, *, record: bool) -> LearningPlan:
        campaign, run = self.campaign.expected, self.run_resources(record=record)
        return LearningPlan(
            observable=", ".join(model.observable_text for model in campaign.models),
            strings=campaign.strings,
            source=self.chosen[0].source,
            prior=self.chosen[0].prior,
            truncated_share=self._truncated_share,
            probes=len(campaign.fitted),
            held_out=len(campaign.held_out),
            folded=len(campaign.folded),
            shots=run.shots - run.mitigation_shots,
            prediction=self.prediction,
            resources=self.price().with_run(run),
            notes=tuple(self._notes()),
        )

    @property
    def _truncated_share(self) -> float:
        """Largest share of the weight of an average map that the list of an observable leaves out."""
        return max(own.truncated_share for own in self.chosen)

    def price(self, *, gateset: str | None = None, target_cosine: float = 0.95, target_stderr: float = 0.01) -> Resources:
        """Return the gates of the campaign's circuits and the shots to the targets of a map, without a number of shots.

        Args:
            gateset: Gate set that circuits are compiled to on a free graph; None takes that of the engine's processor, or `cz`.
            target_cosine: Wanted cosine of a map to the exact one, between 0 and 1; a random error of relative size e gives
                1 / sqrt(1 + e^2).
            target_stderr: Wanted standard error of the least certain feature of the first input, above 0.
        """
        if gateset is None:
            gateset = "cz" if self.engine.processor is None else gateset_name(self.engine.processor.gateset)
        target = gateset_by_name(gateset)
        target_cosine = as_number(target_cosine, "target_cosine", above=0, below=1, advice="lie between 0 and 1")
        target_stderr = as_number(target_stderr, "target_stderr", above=0)
        campaign, predicted = self.campaign, self.prediction
        bodies = [structure.body for structure in campaign.structures]
        for_cosine = predicted.shots_for(float(np.sqrt(1 / target_cosine**2 - 1)))
        for_stderr = predicted.shots_for_stderr(target_stderr, *self.chosen[0].example)
        shots = [max(min(each, UNREACHABLE), campaign.circuits) for each in (for_cosine, for_stderr)]
        predicted_cost = Resources(
            estimator=f"learned observable ({self.chosen[0].source}, {self.chosen[0].prior})",
            circuits=campaign.circuits,
            qubits=max(len(structure.probed) for structure in campaign.structures),
            built=GateCount.of(bodies),
            compiled=GateCount.of([compile_to_gateset(body, target) for body in track(bodies, "compile", "circuit")]),
            preparation=GateCount(0.0, 0, 0),
            compiled_circuits=campaign.circuits,
            gateset=gateset,
            shots_for_cosine=int(np.ceil(shots[0])),
            shots_for_stderr=int(np.ceil(shots[1])),
            target_cosine=target_cosine,
            target_stderr=target_stderr,
            per="model",
        )
        if self.engine.processor is None:
            return predicted_cost
        programs = [program.circuit for program in self._programs.programs]
        return predicted_cost.on(self.engine.processor, programs, programs)

    def _notes(self) -> list[str]:
        """Return what the predicted error leaves out."""
        notes = []
        if self.campaign.stages > 1:
            notes.append(
                "Half of the probes are chosen when the outcomes of the others are known, where these leave most uncertain; "
                "their circuits are counted as those of the first half."
            )
        if self._truncated_share > 0:
            notes.append(f"The list of strings leaves out {self._truncated_share:.2g} of the squared norm of an average map.")
        if self.fidelity < 1 and self.campaign.corrections.damping:
            notes.append(
                f"Gate errors damp the maps to about {self.fidelity:.3f}, for which the folded circuits correct; what differs "
                "between strings remains."
            )
        elif self.fidelity < 1:
            notes.append(
                f"Gate errors shrink the maps by about {1 - self.fidelity:.3f} of their norm, beside the predicted error; "
                "mitigation='damping' corrects for it."
            )
        return notes

    def execute(self) -> LearnedModel:
        """Run the campaign of one observable and fit it.

        Raises:
            EngineError: The engine could not run the circuits.
        """
        (learned,) = self.execute_all()
        return learned

    @with_numpy_defaults
    def execute_all(self) -> LearnedModels:
        """Run the campaign and fit every observable.

        Raises:
            EngineError: The engine could not run the circuits.
        """
        campaign, shots = self.campaign, self.shots
        compiled, calls = [self.compiled], list[Mitigated]()
        with progress_bars(self.engine.shows_progress), self.engine.logged(), self.engine.one_run():
            while True:
                calls.append(compiled[-1].execute())
                outcomes = [call.outcomes for call in calls]
                if campaign.is_complete or shots is None:
                    break
                campaign = campaign.following(outcomes, shots, self.chosen)
                compiled.append(campaign.compile(len(calls), self.engine, campaign.shots(shots)[-1]))
            every = campaign.fit(outcomes, shots, self.chosen)
        warned = [text for call in calls for text in call.summary.warnings]
        if any(found.damping is not None and not found.damping.is_known for found in every):
            warned.append(_NO_DAMPING)
        for text in dict.fromkeys(warned):
            warnings.warn(text, AssumptionWarning, stacklevel=4)
        notes = [text for call in calls for text in call.summary.notes] + warned
        learned = [
            LearnedModel(
                found.fit.coefficients / (1.0 if found.damping is None else found.damping.factor),
                model.identity_part,
                found.fit,
                found.held_out,
                found.damping,
                campaign.paired,
                self._record(model, chosen, compiled, calls, notes),
                contract=model.contract,
                share=found.share,
                ends=found.ends,
                outside=chosen.outside,
            )
            for model, chosen, found in zip(campaign.models, self.chosen, every, strict=True)
        ]
        return LearnedModels(tuple(learned))

    def _record(
        self,
        model: Model,
        chosen: ChosenStrings,
        compiled: Sequence[PreparedCircuits],
        calls: Sequence[Mitigated],
        notes: Sequence[str],
    ) -> LearningRecord:
        """Return the settings and the cost of the campaign, for one of its observables."""
        campaign, notes, summary = self.campaign, list(notes), calls[0].summary
        if others := [each.observable_text for each in campaign.models if each is not model]:
            notes.append(f"The same shots measured {', '.join(others)}, so that their errors are common.")
        return LearningRecord(
            model_digest=model_digest(model),
            observable=model.observable_text,
            strings=chosen.source,
            prior=chosen.prior,
            truncated_share=chosen.truncated_share,
            engine=self.engine.name,
            engine_record=self.engine.describe(),
            seed=campaign.seed,
            mitigation=campaign.corrections.describe(),
            calibration_id=summary.calibration_id,
            shots=self.shots,
            circuits=sum(len(call.outcomes) for call in calls),
            programs=sum(len(each.programs) for each in compiled),
            two_qubit_gates=max(each.two_qubit_gates for each in compiled),
            calibration_shots=max(0, sum(call.shots for call in calls) - (self.shots or 0)),
            notes=tuple(dict.fromkeys(notes)),
            qubits=tuple(map(str, model.qubits)),
            readout_rates=dict(summary.readout_rates),
            snapshot_digest=None if self.engine.processor is None else self.engine.processor.snapshot_digest,
        )
