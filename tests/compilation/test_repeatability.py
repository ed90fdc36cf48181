"""Placement and compilation give the same circuits in every process, and gates whose errors are known."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import cirq
import numpy as np
import pytest
from compiled_models import NUMBERS, compiled

import hattriq_cirq as hq
from hattriq_cirq.circuits.counting import multi_qubit_gates, two_qubit_depth
from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.circuits.swept_gates import phased_xz_exponents
from hattriq_cirq.compilation.compile import check_runnable, compile_for
from hattriq_cirq.compilation.gatesets import compile_to_gateset, gateset, native_gates
from hattriq_cirq.compilation.snapshot import load_processor

SCRIPT = Path(__file__).parents[1] / "helpers" / "compiled_models.py"
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?|-?\d+e-?\d+")


def in_another_process(numbers: list[int], **environment: str) -> list[str]:
    """Return the compiled circuits of some models in a process with other environment variables."""
    command = [sys.executable, str(SCRIPT), *map(str, numbers)]
    found = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return found.stdout.splitlines()


def test_circuits_are_the_same_in_another_process() -> None:
    numbers = [0, 5]
    assert in_another_process(numbers, PYTHONHASHSEED="3", OPENBLAS_NUM_THREADS="2") == [compiled(i) for i in numbers]


@pytest.mark.parametrize("rounding", [-1e-16, 0.0, 1e-16])
def test_sign_of_an_axis_is_not_decided_by_rounding(rounding: float) -> None:
    flip = cirq.unitary(cirq.Y) + np.array([[0, rounding], [0, 0]])
    assert [float(exponent) for exponent in phased_xz_exponents(flip)] == [1.0, 0.0, 0.5]


@pytest.mark.slow
def test_circuits_are_the_same_in_four_processes() -> None:
    numbers = list(NUMBERS)
    first, *others = (
        in_another_process(numbers, PYTHONHASHSEED=seed, OPENBLAS_NUM_THREADS=threads)
        for seed, threads in (("0", "1"), ("1", "2"), ("42", "1"), ("random", "2"))
    )
    assert all(other == first for other in others)


@pytest.mark.slow
@pytest.mark.parametrize("core", ["Haswell", "Prescott", "SkylakeX"])
def test_circuits_are_the_same_with_other_linear_algebra(core: str) -> None:
    numbers = list(NUMBERS)
    there = in_another_process(numbers, OPENBLAS_CORETYPE=core, OPENBLAS_NUM_THREADS="1")
    for text, other in zip(map(compiled, numbers), there, strict=True):
        assert NUMBER.sub("#", text) == NUMBER.sub("#", other)
        here, elsewhere = (np.array(NUMBER.findall(each), dtype=float) for each in (text, other))
        np.testing.assert_allclose(elsewhere, here, rtol=0, atol=1e-9)


def test_strings_of_several_paulis_give_the_same_value_in_every_process() -> None:
    q = cirq.LineQubit.range(3)
    circuit = cirq.Circuit(cirq.ry(0.3)(q[0]), cirq.CNOT(q[0], q[1]), cirq.CNOT(q[1], q[2]))
    x = np.random.default_rng(0).normal(size=8)
    engine = hq.cirq_simulator(noise=cirq.ConstantQubitNoiseModel(cirq.depolarize(0.02)))
    for observable in (1.0 * cirq.Z(q[0]) * cirq.Z(q[1]), 1.0 * cirq.Z(q[1]) * cirq.Z(q[0])):
        model = hq.Model(circuit, q, observable)
        values = hq.integrated_gradients(
            model, x / np.linalg.norm(x), baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=None
        ).values
        assert values[0] == pytest.approx(0.01090, abs=5e-6)


@pytest.mark.parametrize("processor_id", ["weber", "rainbow"])
@pytest.mark.parametrize("name", ["sqrt_iswap", "sycamore"])
@pytest.mark.parametrize(
    "gate", [cirq.CZ, cirq.SQRT_ISWAP, cirq.SQRT_ISWAP_INV, cirq.ISWAP, cirq.CZ**0.5, cirq.SWAP, cirq.CNOT, cirq.ZZ**0.3]
)
def test_every_two_qubit_gate_is_one_with_a_calibrated_error(processor_id: str, name: str, gate: cirq.Gate) -> None:
    processor = load_processor(processor_id, name)
    a, b = cirq.LineQubit.range(2)
    pair = sorted(sorted(edge) for edge in processor.two_qubit_errors)[0]
    circuit = cirq.Circuit(
        cirq.ry(0.4)(a), cirq.rx(0.7)(b), gate(a, b), cirq.ry(0.2)(b), cirq.Moment(cirq.measure(a, b, key="z"))
    )
    (program,) = compile_for(processor, [circuit], dict(zip((a, b), pair, strict=True)))
    wide = [op for op in program.circuit.all_operations() if len(op.qubits) == 2 and not cirq.is_measurement(op)]
    assert wide
    assert {op.gate for op in wide} <= set(native_gates(name))
    assert len(wide) == multi_qubit_gates(compile_to_gateset(circuit, gateset(name)))


@pytest.mark.parametrize("processor_id", ["weber", "rainbow"])
def test_cz_circuit_for_sqrt_iswap_is_simulated_with_gate_errors(processor_id: str) -> None:
    a, b = cirq.LineQubit.range(2)
    layers = [[cirq.ry(0.3)(a), cirq.ry(0.5)(b), cirq.CZ(a, b)] for _ in range(10)]
    circuit = cirq.Circuit(layers, cirq.Moment(cirq.measure(a, b, key="z")))
    engines = [hq.virtual(processor_id, gateset="sqrt_iswap", noise=noise) for noise in ("gates", "none")]
    noisy, exact = (engine.run([circuit], None)[0].probabilities for engine in engines)
    assert np.abs(noisy - exact).sum() > 0.01


@pytest.mark.parametrize(
    ("processor_id", "name", "gates"),
    [
        ("weber", "sqrt_iswap", (cirq.CZ,)),
        ("weber", "sycamore", (cirq.CZ,)),
        ("rainbow", "sqrt_iswap", (cirq.CZ,)),
        ("rainbow", "sycamore", (cirq.H, cirq.CZ)),
    ],
)
def test_foreign_circuit_with_gates_without_errors_is_rejected(
    processor_id: str, name: str, gates: tuple[cirq.Gate, ...]
) -> None:
    engine = hq.virtual(processor_id, gateset=name)
    pair = sorted(sorted(edge) for edge in load_processor(processor_id, name).two_qubit_errors)[0]
    circuit = cirq.FrozenCircuit(
        [gate(*pair[: gate.num_qubits()]) for gate in gates], cirq.Moment(cirq.measure(*pair, key="z"))
    )
    with pytest.raises(CircuitRefusedError, match="has no error for"):
        engine.execute([ParameterizedCircuit(circuit, (0,))], None)


def test_variant_with_a_gate_of_unknown_error_is_rejected() -> None:
    processor = load_processor("weber", "sqrt_iswap")
    pair = sorted(sorted(edge) for edge in processor.two_qubit_errors)[0]
    with pytest.raises(CircuitRefusedError, match=r"changed has CZ.* whose error on weber is not known"):
        check_runnable(processor, cirq.Circuit(cirq.CZ(*pair)), "changed", "")


def test_largest_count_of_sampled_circuits_is_called_sampled() -> None:
    rng = np.random.default_rng(0)
    model = hq.ring_ansatz(3, 1).with_params({name: 0.3 for name in hq.ring_ansatz(3, 1).params})
    cost = hq.resources(model, rng.normal(size=8), 0, hq.HadamardTest(), sample=4)
    assert (cost.circuits, cost.compiled.sampled) == (8, 4)
    assert "largest of 4 sampled" in str(cost)
    everything = hq.resources(model, rng.normal(size=8), 0, hq.HadamardTest(), sample=8)
    assert "sampled" not in str(everything)
    assert "at most" in str(everything)


def test_there_is_one_two_qubit_depth() -> None:
    study = import_module("experiments.studies.compiled_cost")
    assert study.two_qubit_depth is two_qubit_depth


def test_circuits_of_one_structure_are_compiled_in_one_pass() -> None:
    """Compile many circuits as one program; `benchmarks.compiling` states the seconds for 1,000."""
    processor, q = load_processor("willow_pink"), cirq.LineQubit.range(4)
    rng = np.random.default_rng(0)
    placed: dict[cirq.Qid, cirq.Qid] = dict(zip(q, cirq.GridQubit.rect(1, 4, 5, 8), strict=True))
    circuits = [
        cirq.Circuit(
            [[cirq.ry(float(rng.normal()))(a) for a in q], [cirq.CZ(*q[i : i + 2]) for i in range(3)]] for _ in range(3)
        )
        + cirq.Circuit(cirq.Moment(cirq.measure(*q, key="z")))
        for _ in range(40)
    ]
    (program,) = compile_for(processor, circuits, placed)
    assert program.requests == tuple(range(40))
    assert json.dumps(list(program.points))
