"""Layer attribution: exact, or measured by circuits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cirq
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.baselines import BaselineSet, resolve
from hattriq_cirq.attribution.layers import LayerAttribution, as_cuts, check_layers, exact_layers
from hattriq_cirq.estimators.layers import LayerTest
from hattriq_cirq.estimators.plan import Quantity
from hattriq_cirq.estimators.resolved import ResolvedHadamardTest
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.checks import check_flag, check_type
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.models.model import Model, model_inputs
from hattriq_cirq.pipeline.execute import MeasuredArrays
from hattriq_cirq.pipeline.mitigation import Mitigation, as_mitigation
from hattriq_cirq.pipeline.prepare import (
    PreparedAttribution,
    as_shots,
    bilinear_terms_of_rows,
    check_engine,
    check_together,
    check_unscaled,
)


@with_numpy_defaults
def layer_attribution(
    model: Model,
    x: ArrayLike,
    *,
    baseline: float | ArrayLike | BaselineSet = 0,
    cuts: Sequence[int] | None = None,
    flow: bool = False,
    estimator: ResolvedHadamardTest | None = None,
    engine: Engine | cirq.Sampler | None = None,
    shots: int | None = None,
    mitigation: Mitigation[Any] | str | None = None,
    progress: bool = False,
) -> LayerAttribution:
    """Attribute F(x) - F(b) to the amplitudes at cuts of the circuit: where in the circuit does the answer arise?

    The map at a cut gives each basis state of the state there its share. All maps have the same sum. The population share of a
    cut is what the populations of these basis states decide; for a diagonal observable it is everything after the last gate,
    and at the input it is usually close to nothing: in between, interference becomes the answer.

    Args:
        model: `Model` whose circuit is unitary, or measures qubits that only control what follows.
        x: Input or batch of inputs, (..., features).
        baseline: Number, array that broadcasts to x, or a `BaselineSet`, over which the maps are averaged.
        cuts: Numbers of moments of the circuit before each cut, from 0, the input, to all; None cuts before the circuit, after
            each run of moments with gates on two qubits, and behind the circuit.
        flow: Also compute the contribution of every input feature through every amplitude at each cut, 8 N^2 bytes for each
            input and cut; not with an estimator.
        estimator: `ResolvedHadamardTest()` measures each cut by one circuit per Pauli string, without the inverse of the part
            before the cut; None for exact maps.
        engine: Engine that runs the circuits, or any `cirq.Sampler`.
        shots: Number of shots per input, for all cuts together; None for exact probabilities.
        mitigation: Correction of the outcomes: `calibration.Readout()`, or names, `twirl,readout`; None for none.
        progress: Show a progress bar over the inputs.

    Returns:
        The maps of all cuts, with population shares and flow where they are exact, and errors where they are measured.

    Raises:
        ValueError: An argument is invalid.
        EngineError: The engine could not run the circuits.

    Example:
        >>> import hattriq_cirq as hq
        >>> model, x = hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.0, 0.8]
        >>> found = hq.layer_attribution(model, x)
        >>> found.values.sum(axis=-1).round(2), found.population.round(2)
        (array([-0.28, -0.28, -0.28]), array([-0.28, -0.28, -0.28]))
    """
    check_type(model, "model", Model, "a Model: layers are those of its circuit")
    model = model.dilated()  # measured qubits that only control what follows are quantum controls
    check_layers(model)
    check_flag(flow, "flow")
    check_flag(progress, "progress")
    number, correction = as_shots(shots), as_mitigation(mitigation)
    check_together(estimator, engine, number, correction)
    if estimator is None or engine is None:
        return exact_layers(model, x, baseline=baseline, cuts=cuts, flow=flow)
    check_type(estimator, "estimator", ResolvedHadamardTest, "ResolvedHadamardTest(), which measures layers")
    if flow or estimator.measured is not None:
        raise ValueError("flows and maps of some of the qubits are not measured; leave out flow, or measured of the estimator")
    run_on, places = check_engine(estimator, engine), as_cuts(model, cuts)
    bare = model.traceless()
    exact = exact_layers(model, x, baseline=baseline, cuts=places, shares=False)
    of_identity = bare is not model
    offset = exact.values - exact_layers(bare, x, baseline=baseline, cuts=places, shares=False).values if of_identity else 0.0
    inputs = model_inputs(model, x)
    references, _ = resolve(baseline, inputs)
    rows = inputs.reshape(-1, model.n_features)
    terms = bilinear_terms_of_rows(rows, references, None)
    first, *others = (LayerTest.of(estimator, cut) for cut in places)
    check_unscaled(correction, bare, first, terms, "the maps of layers")
    further = [[Quantity(bare, other, tuple(own)) for other in others] for own in terms]
    prepared = PreparedAttribution(bare, terms, first, run_on, number, correction, progress=progress, further=further)
    execution = prepared.run()
    found = [one for first, more in zip(execution.estimates, execution.further, strict=True) for one in (first, *more)]
    arrays = MeasuredArrays.of(found, run_on, number, exact.values.shape)
    arrays = arrays._replace(values=arrays.values + offset)
    return replace(exact, **arrays._asdict(), notes=execution.summary.notes)
