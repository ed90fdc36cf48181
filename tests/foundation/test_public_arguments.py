"""Number-likes work as the plain numbers at every public door, and values of a wrong type are refused there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import cirq
import numpy as np
import pytest

import calibration as layer
import hattriq_cirq as hq

X = [0.5, 0.5, 0.3, -0.4]
ROWS, Y = np.tile(np.eye(4), (2, 1)) + 0.1, [1, -1] * 4
Q = cirq.LineQubit.range(2)
MODEL = hq.ring_ansatz(2, 1)
R = hq.ResolvedHadamardTest()
SCORE = hq.faithfulness.score_of(MODEL)
MEASURED: dict[str, Any] = {"baseline": 0, "estimator": R, "engine": hq.cirq_simulator(), "shots": None}


def maps(**options: Any) -> Any:
    return hq.integrated_gradients(MODEL, X, **({"baseline": 0} | options))


def measured(**options: Any) -> Any:
    return hq.prepare(MODEL, X, **(MEASURED | options))


def train(**options: Any) -> Any:
    defaults: dict[str, Any] = {"seed": 0, "epochs": 1}
    return hq.train(MODEL, ROWS, Y, **(defaults | options))


def tfim(**options: Any) -> Any:
    return hq.datasets.tfim(**({"n_qubits": 3, "samples": 4} | options))


def planted(**options: Any) -> Any:
    return hq.datasets.planted_pixel(**({"samples": 4} | options))


#: Functions with one whole number as argument, by name of the argument, and a number that they take.
COUNTS: list[tuple[Callable[..., Any], str, int]] = [
    (lambda seed: hq.qsim(seed=seed), "seed", 1),
    (lambda seed: hq.cirq_simulator(seed=seed), "seed", 1),
    (lambda seed: hq.virtual("willow_pink", seed=seed), "seed", 1),
    (lambda threads: hq.qsim(threads=threads), "threads", 1),
    (lambda threads: hq.virtual("willow_pink", threads=threads), "threads", 1),
    (lambda shots: measured(engine=hq.qsim(seed=1), shots=shots).execute(), "shots", 100),
    (lambda shots: hq.estimate(MODEL, X, **(MEASURED | {"engine": hq.qsim(seed=1), "shots": shots})), "shots", 100),
    (lambda sample: hq.resources(MODEL, X, 0, R, sample=sample), "sample", 2),
    *((lambda name: (lambda **kw: train(**kw), name, 1))(name) for name in ("seed", "epochs", "batch_size", "patience")),
    (lambda m: hq.ParallelHadamardTest(m), "m", 2),
    (lambda n_qubits: hq.ring_ansatz(n_qubits, 1), "n_qubits", 2),
    (lambda layers: hq.ring_ansatz(2, layers), "layers", 1),
    (lambda rows: hq.grid_ansatz(rows, 1, 1), "rows", 2),
    (lambda cols: hq.grid_ansatz(1, cols, 1), "cols", 2),
    (lambda shots: layer.Readout(shots=shots), "shots", 100),
    (lambda shots: layer.CorrelatedReadout(shots=shots), "shots", 100),
    (lambda group: layer.CorrelatedReadout(group=group), "group", 2),
    (lambda masks: layer.TwirledReadout(masks=masks), "masks", 4),
    (lambda calibration_shots: layer.TwirledReadout(calibration_shots=calibration_shots), "calibration_shots", 100),
    (lambda twirls: layer.PauliTwirling(twirls), "twirls", 4),
    (lambda seed: layer.PauliTwirling(seed=seed), "seed", 1),
    (lambda circuits: layer.NoiseEstimation(circuits=circuits), "circuits", 2),
    (lambda degree: layer.ZeroNoiseExtrapolation(degree=degree), "degree", 1),
    (lambda shots: layer.ReadoutCalibration.from_mapping({Q[0]: (0.1, 0.1)}, shots=shots), "shots", 100),
    (lambda steps: hq.faithfulness.srg(SCORE, ROWS, ROWS, reference=0, steps=steps), "steps", 2),
    (lambda samples: hq.faithfulness.infidelity(SCORE, ROWS, ROWS, reference=0, samples=samples), "samples", 3),
    (lambda seed: hq.faithfulness.infidelity(SCORE, ROWS, ROWS, reference=0, seed=seed), "seed", 3),
    (lambda seed: hq.faithfulness.randomised(MODEL, seed), "seed", 3),
    (lambda count: hq.baselines.sample(ROWS, count, seed=0), "count", 2),
    (lambda seed: hq.baselines.sample(ROWS, 2, seed=seed), "seed", 2),
    (lambda seed: hq.datasets.from_features(ROWS, Y, name="own", seed=seed), "seed", 2),
    *((lambda name: (lambda **kw: tfim(**kw), name, 8))(name) for name in ("n_qubits", "samples", "seed")),
    *((lambda name: (lambda **kw: planted(**kw), name, 8))(name) for name in ("n_qubits", "samples", "seed")),
    (lambda n_qubits: hq.datasets.ground_state(n_qubits, 0.5), "n_qubits", 8),
]  # fmt: skip
COUNT_IDS = [f"{i} {name}" for i, (_, name, _) in enumerate(COUNTS)]


@pytest.mark.parametrize(("call", "name", "number"), COUNTS, ids=COUNT_IDS)
def test_integers_of_numpy_work_as_plain_ones(call: Callable[..., Any], name: str, number: int) -> None:
    usual = call(**{name: number})
    for kind in (np.int64, np.uint8, np.array):
        other = call(**{name: kind(number)})
        assert type(other) is type(usual)
        held = [getattr(other, each.name) for each in fields(other)] if hasattr(other, "__dataclass_fields__") else []
        assert not any(isinstance(value, np.integer) for value in held)


@pytest.mark.parametrize(("call", "name", "number"), COUNTS, ids=COUNT_IDS)
def test_values_that_are_no_whole_number_are_refused(call: Callable[..., Any], name: str, number: int) -> None:
    for value in (True, float(number), np.float64(number), str(number), [number], 1j, object()):
        with pytest.raises(ValueError, match=rf"{name}="):
            call(**{name: value})


def test_arrays_of_whole_numbers_work_as_tuples() -> None:
    assert layer.ZeroNoiseExtrapolation(factors=np.array([1, 3, 5])) == layer.ZeroNoiseExtrapolation((1, 3, 5))  # type: ignore[arg-type]
    assert hq.ResolvedHadamardTest(measured=np.array([0, 1])) == hq.ResolvedHadamardTest(measured=(0, 1))  # type: ignore[arg-type]
    for factors in ([1.0, 3.0], [True, 3], "135"):
        with pytest.raises(ValueError, match="factors"):
            layer.ZeroNoiseExtrapolation(factors=factors)  # type: ignore[arg-type]


CALIBRATION = layer.ReadoutCalibration.from_mapping({Q[0]: (0.1, 0.1)})
WRONG: dict[str, list[Any]] = {
    "mitigation": [layer.Readout, "nonsense", CALIBRATION, 1, [layer.Readout()]],
    "estimator": [hq.ResolvedHadamardTest, "resolved", 1],
    "engine": [hq.qsim, "qsim", hq.virtual, 1],
    "shots": [0, -1, 1.5, "9", True, 10**30],
    "rule": ["nonsense", 5, None, "gauss-legendre:10001", "riemann:1_0"],
    "precision": ["float16", 64, None],
    "progress": [1, "yes", None],
    "baseline": ["zero", None, [[1, 2]], object()],
    "placement": ["abc", 1, {}],
    "head": [hq.Head, "tanh", 1],
    "tolerance": [float("nan"), -1, 0, "x", True],
    "form": ["cubic", 1, None],
}


@pytest.mark.parametrize("name", WRONG)
def test_arguments_of_a_wrong_kind_are_refused_at_the_door(name: str) -> None:
    for value in WRONG[name]:
        if name not in ("head", "tolerance", "form"):
            with pytest.raises(ValueError, match=name):
                measured(**{name: value})
        if name != "placement":
            with pytest.raises(ValueError, match=name):
                maps(**{name: value})
            with pytest.raises(ValueError, match=name):
                maps(**(({} if name in ("head", "form") else MEASURED) | {name: value}))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: hq.virtual("willow_pink", qubits=[]), "qubits"),
        (lambda: hq.virtual("willow_pink", qubits="4_10"), "qubits"),  # type: ignore[arg-type]
        (lambda: hq.qsim(noise=1.5), "noise"),  # type: ignore[arg-type]
        (lambda: hq.qsim(threads=0), "threads"),
        (lambda: hq.qsim(threads=10**30), "threads"),
        (lambda: hq.HadamardTest(encoder="x"), "encoder"),  # type: ignore[arg-type]
        (lambda: hq.HadamardTest(encoder=hq.encoding.ApproximateEncoder), "encoder"),  # type: ignore[arg-type]
        (lambda: layer.Readout("readout.json"), "calibration"),  # type: ignore[arg-type]
        (lambda: layer.ReadoutCalibration.from_mapping({}), "rates"),
        (lambda: hq.train("model", ROWS, Y, seed=0), "model"),  # type: ignore[arg-type]
        (lambda: train(scale=1e308), "scale"),
        (lambda: train(learning_rate=1e308), "learning_rate"),
        (lambda: train(start=1e308), "start"),
        (lambda: hq.accuracy(hq.Model, ROWS, Y), "model"),  # type: ignore[arg-type]
        (lambda: hq.accuracy(MODEL, ROWS, np.array(Y)[:, None]), "y"),
        (lambda: hq.accuracy(MODEL, ROWS, [0, 1] * 4), "y"),
        (lambda: hq.accuracy(MODEL, ROWS, 1), "y"),
        (lambda: hq.baselines.opposite_class_mean(ROWS, [0] * 8, ROWS, [0, 1] * 4), "labels"),
        (lambda: hq.resources(MODEL, X, 0, R, processor=5), "processor"),  # type: ignore[arg-type]
        (lambda: hq.faithfulness.infidelity(SCORE, ROWS, ROWS, reference=0, samples=10**15), "samples"),
    ],
)
def test_nonsense_is_refused_with_the_name_of_the_argument(call: Callable[[], Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        call()


def test_mitigation_may_be_named_by_its_word() -> None:
    engine, options = hq.qsim(seed=1), {"baseline": 0, "estimator": R, "shots": 50}
    assert maps(engine=engine, mitigation="dd", **options).assumptions.mitigation == layer.DynamicalDecoupling().describe()


def test_input_that_equals_its_baseline_costs_nothing() -> None:
    for engine in (hq.qsim(seed=1), hq.virtual("willow_pink", seed=1)):
        prepared = measured(baseline=X, engine=engine, shots=100)
        assert (prepared.resources.circuits, prepared.resources.shots, prepared.resources.programs) == (0, 0, 0)
        assert not prepared.execute().values.any()


def test_rule_of_many_nodes_is_fast_and_exact() -> None:
    head = hq.Head("tanh")
    np.testing.assert_allclose(maps(head=head, rule="gauss-legendre:5000").values, maps(head=head).values, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "name", "number"),
    [
        (lambda side: hq.datasets.bars_and_stripes(side=side), "side", 3),
        (lambda copies: hq.datasets.bars_and_stripes(2, copies=copies), "copies", 2),
        (lambda seed: hq.datasets.bars_and_stripes(2, seed=seed), "seed", 2),
        (lambda samples: hq.datasets.planted_pixel(3, samples=samples, pixel=1), "samples", 8),
        (lambda n_qubits: hq.datasets.planted_pixel(n_qubits, samples=8, pixel=1), "n_qubits", 3),
        (lambda seed: hq.datasets.digits(seed=seed), "seed", 2),
    ],
)
def test_generated_data_take_integers_of_numpy_and_refuse_others(call: Callable[..., Any], name: str, number: int) -> None:
    np.testing.assert_array_equal(call(**{name: np.int64(number)}).amplitudes, call(**{name: number}).amplitudes)
    for value in (True, float(number), str(number)):
        with pytest.raises(ValueError, match=rf"{name}="):
            call(**{name: value})
