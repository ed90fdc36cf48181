"""The contract of a mitigation: it rewrites the compiled circuits before execution and post-processes their outcomes.

The mitigations themselves are in the package `calibration`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from inspect import signature
from types import MappingProxyType
from typing import Any, Generic

from typing_extensions import TypeVar

from hattriq_cirq.circuits.deviation import ALL_KINDS, ErrorKind
from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.estimators.bilinear import BilinearTerm, Estimator, WeightedCircuit
from hattriq_cirq.estimators.plan import Estimate
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.checks import check_type
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.text import is_count
from hattriq_cirq.models.model import Model

Outcomes = Sequence[Distribution | QuasiDistribution]
Context = TypeVar("Context", default=Any)
#: Names of mitigations of the package `calibration`, outermost first.
_ORDER = (
    *("auto", "known-answers", "completeness", "noise-estimation", "zne", "twirl", "dd"),
    *("readout", "correlated-readout", "twirled-readout"),
)
#: Name of a mitigation -> the argument that a number after a colon sets.
_COUNTS = {"twirl": "twirls", "readout": "shots", "correlated-readout": "shots", "twirled-readout": "masks"}


@dataclass(frozen=True, eq=False)
class Variants(Generic[Context]):
    """The programs that are run in place of compiled ones.

    An engine that resumes a run may replace `programs` by those recorded in the journal: the same requests, points and shots,
    possibly on other physical qubits. `Mitigation.combine` therefore reads the measured qubits from `programs`.

    Args:
        programs: Programs that together hold the requests 0, 1, ... once each, in a numbering of their own.
        shots: Shots of each request; None for exact probabilities.
        context: What `Mitigation.combine` needs to know beside the programs.
        own_shots: Shots that are left to the variants of the compiled programs, where a mitigation takes the shots of its own
            circuits out of theirs; None where these come on top.
    """

    programs: Sequence[ParameterizedCircuit]
    shots: Sequence[int] | None
    context: Context
    own_shots: int | None = None


class AssumptionWarning(UserWarning):
    """The data of a run contradict an assumption of its mitigation, so that its values are biased by more than their errors.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", AssumptionWarning)  # the notes of the result still say it
    """


@dataclass(frozen=True)
class MitigationSummary(Frozen):
    """Findings of a mitigation after a run.

    Args:
        calibration_id: Identifier of the calibration that was used; None without one.
        notes: Findings, such as the verdict on drift, one sentence each.
        warnings: Findings that an assumption of the mitigation does not hold, one sentence each; the pipeline adds them to the
            notes of the result and issues each as an `AssumptionWarning`.
        readout_rates: Readout errors e0 and e1 of each qubit as the mitigation used them, and their standard errors, by the
            qubit as text; empty without a calibration per qubit.
    """

    calibration_id: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    readout_rates: Mapping[str, tuple[float, float, float, float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Mitigated:
    """The corrected outcomes of a run and the findings of its mitigation.

    Args:
        outcomes: One outcome per request of the original programs, in order.
        summary: Findings, such as the calibration that was measured in the run.
        shots: Number of shots that came back for all variants, filled in after `Mitigation.combine`.
        configuration: Index of the processor's configuration that ran them in `journal.engines`, filled in as well; None
            without a journal.
    """

    outcomes: Sequence[Distribution | QuasiDistribution]
    summary: MitigationSummary = MitigationSummary()
    shots: int = 0
    configuration: int | None = None


def as_mitigation(value: object) -> Mitigation | None:
    """Return a mitigation, or create the one that names describe.

    Args:
        value: Mitigation, such as `calibration.Readout()`; names, such as `readout` or `zne,twirl,readout`, see
            `named_mitigation`; or None for no correction.

    Returns:
        The mitigation.

    Raises:
        ValueError: The value is something else, such as a calibration or the class of a mitigation, or names none.

    Example:
        >>> as_mitigation("readout").shots
        20000
    """
    if value is None:
        return None
    if isinstance(value, str):
        return named_mitigation(value)
    advice = "a mitigation, such as calibration.Readout(), names such as 'twirl,readout', or None"
    mitigation: Mitigation | None = check_type(value, "mitigation", Mitigation | None, advice)
    return mitigation


def named_mitigation(text: str, seed: int | None = None, readout: Mapping[str, Any] = MappingProxyType({})) -> Mitigation:
    """Return the mitigation that names separated by commas describe; several make a sequence in the order of `mitigations()`.

    Args:
        text: Names of the entry-point group `hattriq_cirq.mitigations` in any order, some with a number after a colon: twirls,
            masks, or shots of a calibration, as in `zne,twirl:8,readout:1000`.
        seed: Random seed of the mitigations; None for that of each by default.
        readout: Further arguments of `readout`, such as a saved calibration.

    Returns:
        The mitigation.

    Raises:
        ValueError: A name is unknown or repeated, or a number has no meaning.

    Example:
        >>> print(named_mitigation("readout:1000,twirl:8").describe())
        Pauli twirling (8 gauges, seed 0) + readout calibrated in the batch, 1000 shots a state, balanced patterns
    """
    words = [word.strip().partition(":") for word in text.split(",")]
    numbers = {name: number for name, _, number in words}
    available = mitigations()
    sequences = entry_points(group="hattriq_cirq.mitigation_sequence")
    if not (available and sequences):
        raise ValueError("no mitigation is registered; install hattriq_cirq again to register its entry points")
    if not set(numbers) <= set(available) or len(numbers) < len(words):
        raise ValueError(f"mitigation {text!r} must be of {', '.join(available)}, each at most once, with commas")
    if "auto" in numbers and len(numbers) > 1:
        raise ValueError(f"mitigation {text!r}: auto chooses all corrections itself; leave the others out")
    parts: list[Mitigation] = []
    for name in (name for name in available if name in numbers):
        kind: Callable[..., Mitigation] = available[name].load()
        options: dict[str, Any] = {"seed": seed} if seed is not None and "seed" in signature(kind).parameters else {}
        options |= readout if name == "readout" else {}
        if number := numbers[name]:
            counted = None if "calibration" in options else _COUNTS.get(name)
            if counted is None or not is_count(number):
                raise ValueError(f"mitigation '{name}:{number}' has no use for {number!r}; leave it out")
            options[counted] = int(number)
        parts.append(kind(**options))
    if len(parts) == 1:
        return parts[0]
    together: Mitigation = sequences["several"].load()(parts)
    return together


def mitigations() -> dict[str, EntryPoint]:
    """Return the entry points of the group `hattriq_cirq.mitigations` by name, outermost mitigation first.

    Mitigations that other packages register stand outermost.
    """
    registered = registered_mitigations()
    order = [*sorted(registered.names - set(_ORDER)), *_ORDER]
    return {each.name: each for each in sorted(registered, key=lambda each: order.index(each.name))}


@cache
def registered_mitigations() -> EntryPoints:
    """Return the mitigations that have names, of this package and of others, as they were installed when first asked for."""
    return entry_points(group="hattriq_cirq.mitigations")


def with_check(mitigation: Mitigation | None, engine: Engine, shots: int | None, check: object) -> Mitigation | None:
    """Return a mitigation with a check of its results by circuits with known answers, where that is wanted.

    Args:
        mitigation: Correction; None for no correction.
        engine: Engine that will run the circuits.
        shots: Shots of an input; None for exact probabilities.
        check: True or False; None for a check where shots are counted on a processor whose calibrated errors act.

    Returns:
        The mitigation as it is if there is no check, or if it measures known answers itself.
    """
    check_type(check, "check", bool | None, "True, False, or None for a check on processors with noise")
    if check is None:
        processor = engine.processor
        check = shots is not None and processor is not None and bool(engine.error_kinds and processor.two_qubit_errors)
    if not check or (mitigation is not None and mitigation.is_checked):
        return mitigation
    known: Any = as_mitigation("known-answers")
    checked: Mitigation = known.check(mitigation)
    return checked


class Mitigation(ABC, Generic[Context]):
    """A rewriting of compiled circuits before execution, and the matching post-processing of their outcomes.

    Both methods are pure, except that `expand` reads the processor and name of the engine. Every random operation takes a seed
    from the mitigation. `Context` is the type that `expand` hands to `combine`.
    """

    @abstractmethod
    def describe(self) -> str:
        """Return the mitigation in a few words, for results."""

    @property
    def leaves(self) -> frozenset[ErrorKind]:
        """Kinds of a processor's errors that stay in the outcomes as the calibration predicts them.

        The pipeline reports their predicted size as the systematic part of errors. What the mitigation removes only in part, or
        measures, it reports itself, by systematic uncertainties of the outcomes that `combine` returns.
        """
        return ALL_KINDS

    @property
    def is_checked(self) -> bool:
        """True if circuits with known answers test or measure the errors of its results, so that no further check is needed."""
        return False

    @abstractmethod
    def expand(
        self, engine: Engine, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None
    ) -> Variants[Context]:
        """Return the variants to run in place of compiled programs.

        Args:
            engine: Engine that will run them; its processor and name tell whether a calibration belongs to it.
            programs: Compiled programs.
            shots: Shots of each request, shared among its variants; None for exact probabilities. Shots of a calibration come
                on top.
        """

    @abstractmethod
    def combine(self, variants: Variants[Context], outcomes: Outcomes) -> Mitigated:
        """Return one corrected outcome per request of the original programs, and the findings of the mitigation.

        Args:
            variants: Variants from `expand`, with the programs that were run.
            outcomes: One outcome per request of the variants, in order.
        """

    def auxiliary_circuits(
        self, model: Model, estimator: Estimator, terms: Sequence[BilinearTerm]
    ) -> list[tuple[WeightedCircuit, float]]:
        """Return circuits to run beside those of one input, each with its shots as a share of the input's."""
        return []

    def postprocess(
        self, estimate: Estimate, auxiliary: Sequence[tuple[WeightedCircuit, Distribution | QuasiDistribution]]
    ) -> Estimate:
        """Return the estimate of one input, corrected by its auxiliary circuits, each given with its outcome."""
        return estimate
