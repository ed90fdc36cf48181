"""Engines with a journal are known by the content of their noise or sampler, never by its `repr` or type."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest

import calibration
import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.execution.engine import Engine

Q = cirq.q(0)
FLIP = cirq.Circuit(cirq.X(Q), cirq.measure(Q, key="m"))


class Silent(cirq.NoiseModel):
    """Noise whose `repr` leaves out its strength."""

    def __init__(self, strength: float, held: object = None) -> None:
        self.strength, self.held = strength, held

    def noisy_moment(self, moment: cirq.Moment, system_qubits: Any) -> cirq.OP_TREE:
        return [moment, cirq.bit_flip(self.strength).on_each(*system_qubits)]

    def __repr__(self) -> str:
        return "Silent()"


class Addressed(Silent):
    """Noise whose `repr` holds a memory address."""

    __repr__ = object.__repr__


class Wrapped(cirq.Sampler):
    """Sampler that holds another one."""

    def __init__(self, inner: cirq.Sampler) -> None:
        self.inner = inner

    def run_sweep(self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1) -> Any:
        return self.inner.run_sweep(program, params, repetitions)


def local(strength: float) -> cirq.NoiseModel:
    class Local(cirq.NoiseModel):
        def noisy_moment(self, moment: cirq.Moment, system_qubits: Any) -> cirq.OP_TREE:
            return [moment, cirq.bit_flip(strength).on_each(*system_qubits)]

    return Local()


Make = Callable[..., Engine]
KINDS: dict[str, Callable[[float], Callable[..., Engine]]] = {
    "repr without the strength": lambda p: lambda **k: hq.cirq_simulator(seed=1, noise=Silent(p), **k),
    "repr with an address": lambda p: lambda **k: hq.cirq_simulator(seed=1, noise=Addressed(p), **k),
    "NumPy number": lambda p: lambda **k: hq.cirq_simulator(seed=1, noise=Silent(np.float64(p)), **k),
    "local class": lambda p: lambda **k: hq.cirq_simulator(seed=1, noise=local(p), **k),
    "noise of Cirq": lambda p: lambda **k: hq.cirq_simulator(seed=1, noise=cirq.ConstantQubitNoiseModel(cirq.bit_flip(p)), **k),
    "qsim": lambda p: lambda **k: hq.qsim(seed=1, noise=Silent(p), **k),
    "sampler": lambda p: lambda **k: hq.sampler(cirq.DensityMatrixSimulator(noise=Silent(p)), **k),
    "wrapped sampler": lambda p: lambda **k: hq.sampler(Wrapped(cirq.DensityMatrixSimulator(noise=Silent(p))), **k),
    "named sampler": lambda p: lambda **k: hq.sampler(Wrapped(cirq.DensityMatrixSimulator(noise=Silent(p))), name="s", **k),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_same_content_resumes_and_other_content_is_refused(kind: Callable[[float], Make], tmp_path: Path) -> None:
    def flips(make: Make) -> list[int]:
        engine = make(journal=tmp_path)
        try:
            return [int(count) for count in engine.run([FLIP], [1000])[0].counts]
        finally:
            assert engine.journal is not None
            engine.journal.close()

    first = flips(kind(0.01))
    before = (tmp_path / "journal.jsonl").read_bytes()
    assert flips(kind(0.01)) == first
    for other in (0.2, 0.010000000000000002):
        with pytest.raises(JournalError, match=r"holds another run: engine.content was .* and is now"):
            kind(other)(journal=tmp_path)
    assert (tmp_path / "journal.jsonl").read_bytes().startswith(before)
    assert flips(kind(0.01)) == first


@pytest.mark.parametrize("make", [hq.cirq_simulator, hq.qsim])
def test_noise_that_cannot_be_compared_needs_a_name(make: Make, tmp_path: Path) -> None:
    def noise() -> cirq.NoiseModel:
        return Addressed(0.01, threading.Lock())

    with pytest.raises(JournalError, match=r"noise=\S*Addressed cannot be compared.* name it by name="):
        make(seed=1, noise=noise(), journal=tmp_path)
    assert not list(tmp_path.iterdir())
    assert make(seed=1, noise=noise()).run([FLIP], [10])[0].shots == 10  # without a journal there is nothing to resume
    engine = make(seed=1, noise=noise(), name="my noise", journal=tmp_path)
    first = engine.run([FLIP], [100])[0].counts.tolist()
    assert engine.name == "my noise"
    assert engine.journal is not None
    engine.journal.close()
    with pytest.raises(JournalError, match=r"engine\.name was .my noise. and is now .other."):
        make(seed=1, noise=noise(), name="other", journal=tmp_path)
    assert make(seed=1, noise=noise(), name="my noise", journal=tmp_path).run([FLIP], [100])[0].counts.tolist() == first


def test_sampler_that_cannot_be_compared_needs_a_name(tmp_path: Path) -> None:
    class Connected(cirq.ZerosSampler):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()

    with pytest.raises(JournalError, match=r"sampler=\S*Connected cannot be compared"):
        hq.sampler(Connected(), journal=tmp_path)
    engine = hq.sampler(Connected(), name="line 1", journal=tmp_path)
    assert engine.run([FLIP], [10])[0].counts.tolist() == [10, 0]


def test_used_sampler_resumes(tmp_path: Path) -> None:
    simulator = cirq.Simulator(seed=1)
    engine = hq.sampler(simulator, journal=tmp_path)
    first = engine.run([cirq.Circuit(cirq.H(Q), cirq.measure(Q))], [100])[0].counts.tolist()
    assert engine.journal is not None
    engine.journal.close()
    again = hq.sampler(simulator, journal=tmp_path)  # its random generator has moved on
    assert again.run([cirq.Circuit(cirq.H(Q), cirq.measure(Q))], [100])[0].counts.tolist() == first


def test_calibration_of_other_noise_is_refused(tmp_path: Path) -> None:
    first, other = (hq.cirq_simulator(seed=1, noise=Silent(p)) for p in (0.01, 0.2))
    measured = calibration.measure_readout(first, [Q], shots=100)
    measured.check(first, [Q])
    measured.check(hq.cirq_simulator(noise=Silent(0.01)), [Q])
    with pytest.raises(calibration.CalibrationError, match=r"is of content .*, this engine.s is"):
        measured.check(other, [Q])


SCRIPT = """
import sys
import cirq
import hattriq_cirq as hq
class Noise(cirq.NoiseModel):
    def noisy_moment(self, moment, qubits):
        return [moment, cirq.bit_flip(STRENGTH).on_each(*qubits)]
q = cirq.q(0)
engine = hq.cirq_simulator(seed=1, noise=Noise(), journal=sys.argv[1])
print(engine.run([cirq.Circuit(cirq.X(q), cirq.measure(q))], [1000])[0].counts.tolist())
"""


@pytest.mark.slow
def test_noise_of_a_script_is_known_by_its_code(tmp_path: Path) -> None:
    def run(strength: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", SCRIPT.replace("STRENGTH", strength), str(tmp_path / "run")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    first, again, other = run("0.01"), run("0.01"), run("0.2")
    assert first.stdout == again.stdout != ""
    assert "JournalError" in other.stderr
    assert "engine.content was" in other.stderr
