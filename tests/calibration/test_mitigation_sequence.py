"""Sequences of mitigations: their order, their findings, and their effect on a noisy processor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cirq
import numpy as np
import pytest

import hattriq_cirq as hq
from calibration.gates.mitigations import DynamicalDecoupling, PauliTwirling, ZeroNoiseExtrapolation
from calibration.readout.per_qubit import Readout
from calibration.readout.trex import TwirledReadout
from calibration.rescaling import CompletenessRescaling, NoiseEstimation
from calibration.sequence import MitigationSequence
from hattriq_cirq.circuits.outcomes import QuasiDistribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution import Engine
from hattriq_cirq.pipeline.mitigation import Mitigated, Mitigation, MitigationSummary, Outcomes, Variants

Q = cirq.LineQubit(0)
PROGRAM = ParameterizedCircuit(cirq.FrozenCircuit(cirq.X(Q), cirq.measure(Q, key="z")), (0,))


@dataclass(frozen=True)
class _Named(Mitigation[str]):
    """Mitigation that tags the circuit with its name in `expand` and appends a digit to the outcome in `combine`."""

    name: str
    digit: int
    id: str | None = None

    def describe(self) -> str:
        return self.name

    def expand(self, engine: Engine, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> Variants[str]:
        tagged = [replace(p, circuit=p.circuit.with_tags(self.name)) for p in programs]
        return Variants(tagged, shots, self.name)

    def combine(self, variants: Variants[str], outcomes: Outcomes) -> Mitigated:
        assert variants.context == self.name
        combined = [
            QuasiDistribution.combined([10.0], [o if self.digit == 1 else QuasiDistribution.combined([self.digit], [o])])
            for o in outcomes
        ]
        return Mitigated(combined, MitigationSummary(self.id, (f"{self.name} saw {outcomes[0].probabilities[1]:g}",)))


def test_sequence_parts_are_nested() -> None:
    pipeline = MitigationSequence([_Named("first", 1, "a"), _Named("second", 2), _Named("third", 3, "b")])
    engine = hq.cirq_simulator()
    variants = pipeline.expand(engine, [PROGRAM], None)
    (program,) = variants.programs
    assert program.circuit.tags == ("first", "second", "third")
    outcomes = engine.execute(variants.programs, None)
    mitigated = pipeline.combine(variants, outcomes)
    (found,) = mitigated.outcomes
    np.testing.assert_allclose(found.probabilities, [0, 6000])
    assert mitigated.summary == MitigationSummary("b", ("third saw 1", "second saw 30", "first saw 600"))
    assert pipeline.describe() == "first + second + third"


def test_sequence_within_a_sequence_is_flattened() -> None:
    inner = MitigationSequence([PauliTwirling(2), Readout()])
    assert MitigationSequence([ZeroNoiseExtrapolation(), inner]).parts == (
        ZeroNoiseExtrapolation(),
        PauliTwirling(2),
        Readout(),
    )


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "one or more"),
        ([PauliTwirling(), "readout"], "must be mitigations"),
        ([Readout(), PauliTwirling()], "Readout stands before PauliTwirling.*put it last"),
        ([MitigationSequence([Readout()]), ZeroNoiseExtrapolation()], "put it last"),
        ([TwirledReadout(), Readout()], "leave it or Readout out"),
        ([PauliTwirling(), PauliTwirling()], "twice"),
    ],
)
def test_invalid_sequence_orders_are_rejected(parts: list[Mitigation], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MitigationSequence(parts)


X = np.random.default_rng(3).normal(size=4)
MODEL = hq.train(hq.ring_ansatz(2, 2), np.array([X, -X[::-1]]), [1, -1], seed=0, epochs=3).model
EXACT = np.real(X * MODEL.observable_action(X))
ALL = MitigationSequence(
    [
        NoiseEstimation(),
        CompletenessRescaling(),
        ZeroNoiseExtrapolation((1, 3)),
        PauliTwirling(2),
        DynamicalDecoupling(),
        Readout(),
    ]
)


@pytest.mark.parametrize(
    "mitigation", [ALL, MitigationSequence([ZeroNoiseExtrapolation(), PauliTwirling(2), TwirledReadout(masks=4)])]
)
def test_sequence_without_noise_gives_the_exact_map_and_its_description(mitigation: MitigationSequence) -> None:
    engine = hq.virtual("willow_pink", noise="none")
    a = hq.integrated_gradients(MODEL, X, baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, mitigation=mitigation)
    np.testing.assert_allclose(a.values, EXACT, rtol=0, atol=1e-6 * float(X @ X))
    assert mitigation.describe() in (a.assumptions.mitigation or "")


def test_sequence_of_all_mitigations_with_shots() -> None:
    """The cost contains all shots and circuits."""
    options: dict[str, Any] = {"baseline": 0, "estimator": hq.ResolvedHadamardTest(), "check": False}
    a = hq.integrated_gradients(MODEL, X, engine=hq.virtual("willow_pink", seed=1), shots=100_000, mitigation=ALL, **options)
    assert a.cost.shots == 100_000
    assert a.cost.mitigation_shots >= 2 * 20_000  # both rescalings take a fifth on top, and the readout its own
    assert (
        a.cost.mitigation_circuits > 5 * 6 - 1
    )  # a map, three of noise estimation and one of its sum, each folded and twirled
    assert a.cost.variance_factor > 3
    assert (a.stderr > 0).all()
    assert np.linalg.norm(a.values - EXACT) < 6 * np.linalg.norm(a.stderr) + 0.1 * np.linalg.norm(EXACT)


@pytest.mark.slow
def test_best_sequence_keeps_its_accuracy() -> None:
    """Willow with all its noise, n = 4, 3 layers, 10^6 shots: median relative error at most 0.10, cosine at least 0.995."""
    data = hq.datasets.load("bars_and_stripes:noise=0.2,copies=20")
    model = hq.train(hq.ring_ansatz(4, 3), data.x_train, data.y_train, seed=40, epochs=60).model
    x = np.concatenate([data.x_test[:2], hq.datasets.load("bars_and_stripes").x_train[[0, 9]]])
    exact = hq.integrated_gradients(model, x, baseline=0).values
    pipeline = MitigationSequence([ZeroNoiseExtrapolation(), PauliTwirling(16), Readout()])
    engine = hq.virtual("willow_pink", seed=1)
    a = hq.integrated_gradients(
        model, x, baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=1_000_000, mitigation=pipeline
    )
    errors = np.linalg.norm(a.values - exact, axis=1) / np.linalg.norm(exact, axis=1)
    cosines = np.sum(a.values * exact, axis=1) / np.linalg.norm(a.values, axis=1) / np.linalg.norm(exact, axis=1)
    assert np.median(errors) <= 0.10
    assert np.median(cosines) >= 0.995


def test_sequence_with_a_seed_repeats() -> None:
    def values(seed: int) -> list[float]:
        engine, pipeline = (
            hq.virtual("willow_pink", seed=seed),
            MitigationSequence([NoiseEstimation(circuits=1), PauliTwirling(2)]),
        )
        a = hq.integrated_gradients(
            MODEL, X, baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=1000, mitigation=pipeline
        )
        return [float(value) for value in a.values]

    assert values(1) == values(1)
    assert values(1) != values(2)
