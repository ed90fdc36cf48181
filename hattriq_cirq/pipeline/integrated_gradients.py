"""Integrated gradients of a model: the entry point that chooses between the exact path integral and circuits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, cast, get_args

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.attribution.device_result import DeviceAttribution
from hattriq_cirq.attribution.measured_errors import with_measured_errors
from hattriq_cirq.attribution.objective import QUADRATIC, Head, Objective
from hattriq_cirq.attribution.path_integral import exact_attribution
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.estimators.bilinear import Estimator
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.checks import as_count, as_number, as_word, check_flag, check_type
from hattriq_cirq.foundation.devices import CPU, Device
from hattriq_cirq.foundation.progress import progress_bars
from hattriq_cirq.foundation.rows import beside, home
from hattriq_cirq.models.learned import LearnedModel
from hattriq_cirq.models.model import Form, Model
from hattriq_cirq.models.observables import Observable
from hattriq_cirq.models.quadratic_form import QuadraticForm, check_quadratic_form
from hattriq_cirq.pipeline.captum_names import with_captum_names
from hattriq_cirq.pipeline.mitigation import Mitigation, as_mitigation
from hattriq_cirq.pipeline.objectives import check_preparation
from hattriq_cirq.pipeline.prepare import Scores, as_shots, check_engine, check_together, observed_models, prepare
from hattriq_cirq.simulation.statevector import Precision

_PRECISIONS = get_args(Precision)
_NO_BARS = nullcontext()
_AT_HOME = np.ndarray, list, cirq.AbstractCircuit  # types of inputs that lie on no device


@with_captum_names
def integrated_gradients(  # noqa: PLR0913  one argument for each choice of the user
    model: QuadraticForm | Sequence[QuadraticForm],
    x: ArrayLike | cirq.AbstractCircuit,
    *,
    baseline: float | ArrayLike | BaselineSet,
    form: Form = "quadratic",
    rule: str = "exact",
    head: Head | None = None,
    observables: Sequence[Observable] | None = None,
    tolerance: float = 1e-10,
    precision: Precision = "float64",
    estimator: Estimator | None = None,
    engine: Engine | cirq.Sampler | None = None,
    shots: int | None = None,
    mitigation: Mitigation | str | None = None,
    progress: bool = False,
    workers: int | None = None,
    scores: Scores | None = None,
    check: bool | None = None,
    device: Device | str | None = None,
) -> Attribution:
    """Attribute a model's output to the amplitudes of its input, by integrated gradients (Sundararajan et al. 2017).

    For the quadratic form IG_k = Re(conj(d_k) (M s)_k) with d = x - b, s = x + b: the exact Shapley value of feature k.
    A positive value raises the score above f_baseline and a negative value lowers it; the values sum to the difference.
    Captum's argument names are taken where they mean the same (`baselines`, `target`, `n_steps` with `method`).

    Args:
        model: `Model`, `LearnedModel`, whose errors the result carries, or any other `QuadraticForm` F(x) = x' M x. Or a
            sequence of them, whose values a head combines, such as learned models of several observables; those of one
            campaign have common errors, those of different campaigns independent ones.
        x: Input or batch of inputs, (..., features), real or complex, of any norm. From a file of rows, `numpy.memmap`, the
            exact result is computed part by part into temporary files (in TMPDIR), never holding all inputs in memory. Or a
            `cirq.Circuit` on qubits of a `Model` that prepares one input from |0...0>, such as the state of another experiment:
            with `ResolvedHadamardTest`, a zero baseline and measured scores its amplitudes are never computed, and values may
            be those of some qubits (`measured`); without an estimator it is simulated. An array of CuPy or a tensor of PyTorch
            stays on its device, and the exact result is a `DeviceAttribution`, with `values` of the same kind; circuits
            encode a copy in main memory.
        baseline: Number for every amplitude, array that broadcasts to x, or a `BaselineSet`, over which the map is averaged.
        form: `quadratic` to attribute x' M x, `normalized` to attribute x' M x / x' x.
        rule: `exact`, or `riemann:K`, `midpoint:K`, `trapezoid:K`, `gauss-legendre:K` for comparison.
        head: Classical function of the expectations, such as `Head("softmax", scale=5, target=1)`, whose target may also be one
            class per input, or `Head("linear", weights=...)`; None for the expectation itself.
        observables: Observables whose expectations the head combines, in place of the model's own; they need a `Model`.
        tolerance: Relative and absolute tolerance of a path integral that has no closed form, > 0.
        precision: `float64`, or `float32` for a `Model`.
        estimator: Circuits that measure the quadratic form of a `Model`, such as `ResolvedHadamardTest()`; None for the exact
            result.
        engine: Engine that runs the circuits, such as `qsim(seed=1)`, `virtual("willow_pink")`, or any `cirq.Sampler`.
        shots: Number of shots per input, for all its circuits and path steps together; None for exact probabilities.
        mitigation: Correction of the outcomes: `calibration.Readout()`, or names, `twirl,readout`; None for none.
        progress: Show a progress bar over the inputs of a large batch, or over the circuits of an estimator.
        workers: Number of threads for a large batch without an estimator; None for one on every core. The result is the same
            to the last bit.
        scores: `exact` to compute F(x) and F(b) by simulation also with an estimator, so that the completeness gap is the error
            of the circuits; `measured` to measure both in the run, which shares its shots with them. None takes `exact` for
            amplitudes and `measured` for a circuit.
        check: Check of the errors by circuits with known answers, which take a tenth of the shots: they widen the systematic
            part where it is too small, and an `AssumptionWarning` names an assumption that fails. None checks where shots are
            counted on a processor with noise.
        device: Device that computes an exact result, "cpu", "cuda" or "cuda:1", with as many inputs at once as fit into its
            memory; None for the one that x lies on. The result agrees with that of NumPy to the precision.

    Returns:
        The attribution, in the shape of x.

    Raises:
        ValueError: The input is invalid, the rule or form is unknown, or in the normalized form a path passes through the
            origin.
        DeviceError: There is no such device, or it has too little memory for one input.

    Warns:
        IdentityPartWarning: The score is quadratic and the observable is not traceless.
        CompletenessWarning: The values of an exact result do not sum to the difference of the scores.

    Example:
        >>> import hattriq_cirq as hq
        >>> model = hq.ring_ansatz(1, 1)  # all angles are zero and the observable is Z
        >>> hq.integrated_gradients(model, [0.6, 0.8], baseline=0).values.round(2)
        array([ 0.36, -0.64])
    """
    models = _quadratic_forms(model)
    model = models[0]
    if head is not None:
        check_type(head, "head", Head, "a Head, such as Head('sigmoid', scale=5), or None")
    tolerance = as_number(tolerance, "tolerance", above=0)
    as_word(precision, "precision", _PRECISIONS)
    check_flag(progress, "progress")
    workers = None if workers is None else as_count(workers, "workers")
    if estimator is not None and engine is not None:
        check_engine(estimator, engine)
    shots, mitigation = as_shots(shots), as_mitigation(mitigation)
    if (len(models) > 1 or not isinstance(model, Model)) and (observables is not None or estimator is not None):
        given = type(model).__name__ if len(models) == 1 else "several quadratic forms"
        raise ValueError(f"observables and estimator need a Model, which has a circuit, not {given}")
    check_together(estimator, engine, shots, mitigation)
    if scores is not None and as_word(scores, "scores", get_args(Scores)) == "measured" and estimator is None:
        raise ValueError("scores='measured' needs an estimator, in whose run F(x) and F(b) are measured")
    combined_by = head
    if len(models) == 1 and isinstance(model, Model) and (observables is not None or model.postselect is not None):
        observed, combined_by = observed_models(model, observables, head)
        models = list(observed)
    objective = QUADRATIC if form == "quadratic" and combined_by is None else Objective(form, combined_by or Head())
    objective.head.check_count(len(models))
    holding = computing = CPU
    if device is not None or not isinstance(x, _AT_HOME):
        holding = Device.holding(x)
        computing = _computing_device(holding, device, runs_circuits=estimator is not None)
        if estimator is not None and not holding.is_numpy:  # circuits encode numbers of main memory
            x = home(x)
    if estimator is None or engine is None:
        amplitudes: Any = x if type(x) is np.ndarray or not isinstance(x, cirq.AbstractCircuit) else _final_state(model, x)
        learned = [each for each in models if isinstance(each, LearnedModel)]
        is_measured_there = bool(learned) and not holding.is_numpy
        if is_measured_there:  # errors are propagated in NumPy
            amplitudes, computing = home(x), CPU

        def exact(forms: Sequence[QuadraticForm]) -> Attribution:
            return exact_attribution(
                forms,
                amplitudes,
                baseline=baseline,
                objective=objective,
                rule=rule,
                tolerance=tolerance,
                precision=precision,
                workers=workers,
                device=computing,
            )

        with progress_bars(progress) if progress else _NO_BARS:
            attribution = exact(models)
            if learned:
                is_linear = rule == "exact" and objective.is_affine and not objective.head.has_targets
                weights = objective.head.weights_of(len(models)) if is_linear else None
                attribution = with_measured_errors(attribution, models, exact, baseline, weights)
        return cast(Attribution, _on_device_of(x, attribution)) if is_measured_there else attribution
    assert isinstance(model, Model)
    return prepare(
        model,
        x,
        baseline=baseline,
        estimator=estimator,
        engine=engine,
        shots=shots,
        rule=rule,
        mitigation=mitigation,
        precision=precision,
        progress=progress,
        form=form,
        head=head,
        observables=observables,
        tolerance=tolerance,
        scores=scores,
        check=check,
    ).execute()


def _computing_device(holding: Device, device: str | Device | None, *, runs_circuits: bool) -> Device:
    """Return the device that computes a map of inputs that lie on a device; with circuits it is NumPy.

    Raises:
        ValueError: The inputs lie on another device than the one that is to compute, or circuits are to run on one.
    """
    computing = holding if device is None else Device.of(device)
    if not holding.is_numpy and computing != holding:
        raise ValueError(f"x lies on {holding}, where its map is computed, not on {computing}; leave device out, or move x")
    if runs_circuits and device is None:
        return CPU
    if runs_circuits and not computing.is_numpy:
        raise ValueError(
            f"device={str(computing)!r} computes exact results; circuits run on the device of their engine, such as "
            "virtual('willow_pink', device='cuda')"
        )
    return computing


def _quadratic_forms(model: QuadraticForm | Sequence[QuadraticForm]) -> list[QuadraticForm]:
    """Return one quadratic form or several of the same size, checked, as a list.

    Raises:
        TypeError: One of them is no quadratic form.
        ValueError: There is none, or their numbers of features differ.
    """
    if isinstance(model, Model):
        return [model]
    if not isinstance(model, Sequence):
        check_quadratic_form(model)
        return [model]
    forms: list[QuadraticForm] = list(model)
    if not forms:
        raise ValueError("model is an empty sequence; give at least one Model or another QuadraticForm")
    for each in forms:
        check_quadratic_form(each)
    sizes = list(dict.fromkeys(each.n_features for each in forms))
    if len(sizes) > 1:
        raise ValueError(f"the models have {' and '.join(map(str, sizes))} features; give models of the same inputs")
    return forms


def _on_device_of(x: Any, a: Attribution) -> DeviceAttribution:
    """Return an attribution with its maps and scores where the inputs lie."""
    values, imaginary, f_input, f_baseline = (
        None if array is None else beside(x, np.array(array)) for array in (a.values, a.imag_values, a.f_input, a.f_baseline)
    )
    return DeviceAttribution(values, imaginary, x, f_input, f_baseline, lambda: a)


def _final_state(model: QuadraticForm, circuit: cirq.AbstractCircuit) -> Array:
    """Return the amplitudes of the state that a circuit prepares, (features,), by simulation."""
    if not isinstance(model, Model):
        raise ValueError(f"a circuit as x needs a Model, whose qubits it acts on, not {type(model).__name__}")
    check_preparation(model, circuit)
    if not cirq.has_unitary(circuit):
        raise ValueError("the circuit x has channels, so that its state has no amplitudes; give an estimator")
    state = circuit.final_state_vector(qubit_order=model.qubits, dtype=np.complex128, ignore_terminal_measurements=False)
    return np.asarray(state)
