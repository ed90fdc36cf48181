"""Identity by content: equal values in every process, other values always, and values without content."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cirq
import numpy as np
import pytest
import sympy

from hattriq_cirq.foundation.identity import content_digest, describe_content

Q = cirq.LineQubit.range(2)


class SilentNoise(cirq.NoiseModel):
    """Noise whose `repr` leaves out its strength."""

    def __init__(self, strength: object) -> None:
        self.strength = strength

    def noisy_moment(self, moment: cirq.Moment, system_qubits: Any) -> cirq.OP_TREE:
        return [moment, cirq.depolarize(self.strength).on_each(*system_qubits)]  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return "SilentNoise()"


class InheritedJson(cirq.ConstantQubitNoiseModel):
    """Noise that inherits a JSON which leaves out its own attribute."""

    def __init__(self, extra: float) -> None:
        super().__init__(cirq.depolarize(0.01))
        self.extra = extra


class Slots:
    __slots__ = ("a", "b")

    def __init__(self, a: object, b: object) -> None:
        self.a, self.b = a, b


@dataclass(frozen=True)
class Table:
    rows: dict[str, float]


class Cached:
    """Object that keeps the result of a property."""

    def __init__(self, value: float) -> None:
        self.value = value

    @functools.cached_property
    def computed(self) -> object:
        return object()


def local_noise(strength: float) -> cirq.NoiseModel:
    """Return noise of a local class that closes over its strength."""

    class Local(cirq.NoiseModel):
        def noisy_moment(self, moment: cirq.Moment, system_qubits: Any) -> cirq.OP_TREE:
            return [moment, cirq.depolarize(strength).on_each(*system_qubits)]

    return Local()


def looping(value: float) -> list[Any]:
    """Return a list that contains itself."""
    loop: list[Any] = [value]
    loop.append(loop)
    return loop


FAMILIES: dict[str, Callable[[float], object]] = {
    "number": lambda p: p,
    "gate": lambda p: cirq.depolarize(p),
    "noise of Cirq": lambda p: cirq.ConstantQubitNoiseModel(cirq.depolarize(p)),
    "repr without the strength": SilentNoise,
    "inherited JSON": InheritedJson,
    "local class": local_noise,
    "lambda": lambda p: lambda x: x + p,
    "partial": lambda p: functools.partial(max, p),
    "slots": lambda p: Slots(p, [1]),
    "dataclass": lambda p: Table({"a": p, "b": 1.0}),
    "sampler with noise": lambda p: cirq.DensityMatrixSimulator(noise=SilentNoise(p)),
    "array": lambda p: np.array([p, 1.0]),
    "array of objects": lambda p: np.array([p, "a", None], dtype=object),
    "dictionary": lambda p: {"a": {p, 1.0}, "b": (p, [p])},
    "loop": looping,
    "circuit": lambda p: cirq.Circuit(cirq.ry(p)(Q[0]), cirq.CNOT(*Q), cirq.MatrixGate(np.eye(2)).on(Q[0])),
    "symbol": lambda p: cirq.ry(sympy.Symbol("t") * p)(Q[0]),
    "confusion map": lambda p: cirq.MeasurementGate(1, "m", confusion_map={(0,): np.array([[1 - p, p], [0, 1]])}),
}


@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
def test_digest_is_equal_for_equal_content_only(make: Callable[[float], object]) -> None:
    assert content_digest(make(0.01)) is not None
    assert content_digest(make(0.01)) == content_digest(make(0.01))
    assert content_digest(make(0.01)) == content_digest(make(float("0.01")))
    assert content_digest(make(0.01)) != content_digest(make(0.2))
    assert content_digest(make(0.01)) != content_digest(make(np.nextafter(0.01, 1)))


def test_order_sharing_and_numpy_numbers_do_not_matter() -> None:
    gate = cirq.depolarize(0.1)
    assert content_digest({1: gate, 2: gate}) == content_digest({2: cirq.depolarize(0.1), 1: cirq.depolarize(0.1)})
    assert content_digest({"a", "b", "c"}) == content_digest({"c", "b", "a"})
    assert content_digest(SilentNoise(np.float64(0.1))) == content_digest(SilentNoise(0.1))
    assert content_digest(1) != content_digest(1.0)
    assert content_digest([1]) != content_digest((1,))


def test_use_of_an_object_does_not_change_its_digest() -> None:
    cached, simulator = Cached(1.0), cirq.Simulator(seed=1)
    circuit = cirq.Circuit(cirq.H(Q[0]), cirq.measure(Q[0], key="m"))
    values = [cached, simulator, circuit]
    before = [content_digest(value) for value in values]
    assert cached.computed
    simulator.run(circuit, repetitions=10)
    circuit.freeze()
    assert circuit.all_qubits()
    assert [content_digest(value) for value in values] == before


@pytest.mark.parametrize(
    "make",
    [threading.Lock, Path(os.devnull).open, socket.socket, lambda: (i for i in [1])],
    ids=["lock", "file", "socket", "generator"],
)
def test_value_without_content_cannot_be_compared(make: Callable[[], Any]) -> None:
    value = make()
    for held in (value, [value], SilentNoise(value), functools.partial(max, value), {"a": (1, value)}):
        assert content_digest(held) is None
    if hasattr(value, "close"):
        value.close()


def test_text_of_a_value_holds_no_address() -> None:
    assert describe_content(cirq.depolarize(0.01)) == "cirq.depolarize(p=0.01)"
    assert describe_content(local_noise(0.1)).endswith("local_noise.<locals>.Local")
    assert " at 0x" not in describe_content([object()])


SCRIPT = """
import sys
import cirq
from hattriq_cirq.foundation.identity import content_digest
STRENGTH = float(sys.argv[1])
class Fixed(cirq.NoiseModel):
    names = {"a", "b", "c", "d"}
    def noisy_moment(self, moment, qubits):
        return [moment, cirq.depolarize(CODE).on_each(*qubits)] if moment not in {"x", "y", "z"} else []
class Global(cirq.NoiseModel):
    def noisy_moment(self, moment, qubits):
        return [moment, cirq.depolarize(STRENGTH).on_each(*qubits)]
known = cirq.ConstantQubitNoiseModel(cirq.bit_flip(0.1))
print(*map(content_digest, (Fixed(), Global(), cirq.Simulator(noise=Fixed()), known)))
"""
GOOGLE = """
import cirq_google as cg
from hattriq_cirq.foundation.identity import content_digest
print(content_digest(cg.NoiseModelFromGoogleNoiseProperties(cg.engine.load_device_noise_properties("rainbow"))))
"""


def output_of(script: str, hash_seed: int, *arguments: str) -> list[str]:
    """Return the words that a script prints in a fresh process."""
    command, environment = [sys.executable, "-c", script, *arguments], {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def all_digests() -> list[str | None]:
    """Return the digests of one value of every family."""
    return [content_digest(make(0.01)) for make in FAMILIES.values()]


def test_digest_is_the_same_in_every_process() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_identity as t; print(*t.all_digests())"
    )
    assert output_of(script, 7) == all_digests()


def test_digest_follows_the_variables_of_a_module_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    package, settings = ModuleType("package"), ModuleType("package.settings")
    for module in (package, settings):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    package.settings, settings.package = settings, package  # type: ignore[attr-defined]
    settings.unused = open(os.devnull, encoding="utf-8")  # type: ignore[attr-defined]  # noqa: SIM115

    def noise() -> object:
        return cirq.depolarize(package.settings.STRENGTH)

    digests = []
    for strength in (0.01, 0.2, 0.01):
        settings.STRENGTH = strength  # type: ignore[attr-defined]
        digests.append(content_digest(noise))
    settings.unused.close()
    assert digests[0] == digests[2] != digests[1]
    assert None not in digests


@pytest.mark.slow
def test_digest_follows_the_code_of_a_script() -> None:
    first, other = output_of(SCRIPT.replace("CODE", "0.01"), 0, "0.01"), output_of(SCRIPT.replace("CODE", "0.2"), 1, "0.3")
    assert "None" not in first
    assert [one == two for one, two in zip(first, other, strict=True)] == [False, False, False, True]


@pytest.mark.slow
def test_digest_of_a_script_and_of_google_noise_is_the_same_in_every_process() -> None:
    for script in (SCRIPT.replace("CODE", "0.01"), GOOGLE):
        first, again = (output_of(script, seed, "0.01") for seed in (0, 1))
        assert first == again
        assert "None" not in first


@pytest.mark.parametrize(("folder", "is_known"), [("site-packages", True), ("dist-packages", True), ("scripts", False)])
def test_class_of_a_package_of_any_environment_on_the_path_is_known_by_its_name(
    folder: str, is_known: bool, tmp_path: Path
) -> None:
    (tmp_path / folder).mkdir()
    text = "import threading\nLOCK = threading.Lock()\nclass Gate:\n    def use(self):\n        return LOCK\n"
    (tmp_path / folder / "of_another_environment.py").write_text(text)
    code = (
        "import of_another_environment as other; from hattriq_cirq.foundation.identity import content_digest;"
        "print(content_digest(other.Gate()))"
    )
    path = os.pathsep.join([str(tmp_path / folder), *filter(None, sys.path)])
    digest = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert (digest.stdout.strip() != "None") == is_known
