"""Answers of a foreign sampler: counted as they are, or one error that names the sampler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cirq
import numpy as np
import pytest

import calibration
import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import ServiceError
from hattriq_cirq.circuits.program import ParameterizedCircuit

Q = cirq.LineQubit.range(2)
MODEL = hq.Model(cirq.Circuit(cirq.ry(0.3)(Q[0]), cirq.CNOT(*Q)), Q, 1.0 * cirq.Z(Q[0]))
X = np.array([0.5, 0.5, 0.3, -0.4])
BELL = cirq.Circuit(cirq.H(Q[0]), cirq.CNOT(*Q), cirq.measure(*Q, key="z"))
Answer = Callable[[list[cirq.Result]], Any]


class Foreign(cirq.Sampler):
    """Sampler that returns a share of the shots, or an answer made of the right one."""

    def __init__(self, share: float = 1.0, answer: Answer = lambda results: results) -> None:
        self.share, self.answer = share, answer

    def run_sweep(self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1) -> Sequence[cirq.Result]:
        shots = max(1, round(self.share * repetitions))
        results = list(cirq.Simulator(seed=1).run_sweep(program, params, shots))
        answer: Sequence[cirq.Result] = self.answer(results)
        return answer


@pytest.mark.parametrize("share", [0.9, 0.5, 0.01, 1.0, 1.1])
@pytest.mark.parametrize("mitigation", [None, calibration.Readout(shots=1000)], ids=["none", "readout"])
def test_cost_counts_the_shots_that_came(share: float, mitigation: Any) -> None:
    def cost(sampler: cirq.Sampler) -> hq.Cost:
        settings: dict[str, Any] = {"baseline": 0, "estimator": hq.ResolvedHadamardTest(), "shots": 1000}
        return hq.integrated_gradients(MODEL, X, engine=hq.sampler(sampler), mitigation=mitigation, **settings).cost

    full, came = cost(cirq.Simulator(seed=1)), cost(Foreign(share))
    assert full.shots == 1000
    assert came.shots == round(share * 1000)
    assert came.mitigation_shots == pytest.approx(share * full.mitigation_shots, abs=20)
    assert came.mitigation_shots >= 0


def replaced(**measurements: Any) -> Answer:
    """Return an answer whose result holds other measurements."""
    return lambda results: [cirq.ResultDict(params=each.params, measurements=measurements) for each in results]


def of_bits(change: Callable[[np.ndarray[Any, Any]], Any]) -> Answer:
    """Return an answer whose bits are changed."""
    return lambda results: [
        cirq.ResultDict(params=each.params, measurements={"z": change(np.array(each.measurements["z"]))}) for each in results
    ]


class Shape:
    """Object that looks like a result."""

    measurements = None


WRONG: dict[str, tuple[Answer, str]] = {
    "no result": (lambda results: [], r"\[0\] results of the circuits must be \[1\]"),
    "two results": (lambda results: results * 2, r"\[2\] results of the circuits must be \[1\]"),
    "None": (lambda results: None, "is no list of lists of results"),
    "other objects": (lambda results: [Shape()], "Shape is no cirq.Result"),
    "plain arrays": (lambda results: [np.zeros((10, 2), int)], "ndarray is no cirq.Result"),
    "another key": (replaced(other=np.zeros((10, 2), int)), r"keys \['other'\], must have \['z'\]"),
    "two keys": (replaced(z=np.zeros((10, 2), int), y=np.zeros((10, 2), int)), r"keys \['y', 'z'\], must have \['z'\]"),
    "no key": (replaced(), r"keys \[\], must have \['z'\]"),
    "too narrow": (of_bits(lambda bits: bits[:, :1]), r"shape \(10, 1\), must have \(shots, 2\)"),
    "too wide": (of_bits(lambda bits: np.hstack([bits, bits])), r"shape \(10, 4\), must have \(shots, 2\)"),
    "no shots": (of_bits(lambda bits: bits[:0]), r"shape \(0, 2\), must have \(shots, 2\)"),
    "floats": (of_bits(lambda bits: bits.astype(float)), "of type float64, must be whole numbers, 0 or 1"),
    "NaN": (of_bits(lambda bits: np.full(bits.shape, np.nan)), "of type float64"),
    "complex": (of_bits(lambda bits: bits * 1j), "of type complex128"),
    "texts": (of_bits(lambda bits: bits.astype(str)), "of type <U"),
    "objects": (of_bits(lambda bits: bits.astype(object)), "of type object"),
    "2": (of_bits(lambda bits: 2 * bits + 2), "must be whole numbers, 0 or 1"),
    "-1": (of_bits(lambda bits: 2 * bits.astype(int) - 1), "must be whole numbers, 0 or 1"),
}


@pytest.mark.parametrize(("answer", "problem"), WRONG.values(), ids=WRONG)
def test_wrong_answer_is_one_error_that_names_the_sampler(answer: Answer, problem: str) -> None:
    engine = hq.sampler(Foreign(answer=answer), name="mine")
    with pytest.raises(ServiceError, match=rf"the sampler mine returned a wrong result of job \S+: .*{problem}.*correct the"):
        engine.run([BELL], [10])
    assert hq.sampler(Foreign()).run([BELL], [10])[0].shots == 10


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.int64, np.uint64])
def test_bits_of_any_whole_number_type_are_counted(dtype: type) -> None:
    (found,) = hq.sampler(Foreign(answer=of_bits(lambda bits: bits.astype(dtype)))).run([BELL], [10])
    (plain,) = hq.sampler(Foreign()).run([BELL], [10])
    np.testing.assert_array_equal(found.counts, plain.counts)


def test_results_at_other_points_are_an_error() -> None:
    import sympy

    circuit = cirq.FrozenCircuit(cirq.X(Q[0]) ** sympy.Symbol("t"), cirq.measure(*Q, key="z"))
    program = ParameterizedCircuit(circuit, (0, 1), ({"t": 0.0}, {"t": 1.0}))
    found = hq.sampler(Foreign()).execute([program], [10, 10])
    assert [int(d.counts.argmax()) for d in found] == [0, 2]
    with pytest.raises(ServiceError, match=r"a result at .*1.0.* came in place of that at .*0.0"):
        hq.sampler(Foreign(answer=lambda results: results[::-1])).execute([program], [10, 10])


def test_sampler_that_fails_raises_its_own_error() -> None:
    def fail(_: object) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        hq.sampler(Foreign(answer=fail)).run([BELL], [10])
