"""Benchmark of a GPU: maps, training and exact noise beside one CPU core, other packages and the speed of its memory.

Run `python -m benchmarks.gpu`, which ends at once where there is no GPU; `--device torch --quick` runs all of it in main memory
on small cases. Results are compared before they are timed. Times are medians of warm runs that end when the device is done.

- "floor": time to read and write every number once for each gate, at the speed of a copy that is measured first
- maps: exact, zero baseline, inputs and maps on the device; TensorCircuit with JAX on the same card, if it is installed
- training: from a new model to an accuracy on the training images, compilation included
- noise: exact noise of the virtual Willow for a campaign of circuits, everything counted, and random noisy gates on 12 qubits
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import cirq
import numpy as np

import hattriq_cirq as hq
from benchmarks.noisy import Case, campaign
from benchmarks.noisy_side import by_engine
from benchmarks.peers import TRAINING_PEERS, LossGradient, tensorcircuit_gradients
from benchmarks.training import images_of_halves, own_loss_gradient, time_to_accuracy
from hattriq_cirq.foundation.devices import Device, DeviceError
from hattriq_cirq.foundation.rows import home
from hattriq_cirq.simulation.noisy_program import NoisyProgram, steps_of

_MAPS = ((8, 1), (8, 100), (10, 1000), (12, 100), (16, 1), (20, 1), (22, 1))
_LAYERS, _TOLERANCE, _TOLERANCE_SINGLE = 4, 1e-10, 1e-5
_SCALE = 10.0  # steepness of the logistic loss
_ON_CPU = 8  # circuits of a campaign that one core simulates; more take as long each


@dataclass(frozen=True)
class Sizes:
    """Sizes of all cases.

    Args:
        copied: Numbers in the copy that measures the memory.
        maps: Qubits and images of maps.
        largest: Qubits of the largest map, in single precision.
        circuits: Circuits of the campaign.
        couplings: Two-qubit gates of each.
        noisy: Qubits and gates of the circuit of random gates.
        images: Training images, and their qubits.
        repeats: Timed runs.
    """

    copied: int = 2**28
    maps: tuple[tuple[int, int], ...] = _MAPS
    largest: int = 28
    circuits: int = 600
    couplings: int = 30
    noisy: tuple[int, int] = (12, 500)
    images: tuple[int, int] = (5000, 10)
    repeats: int = 15


QUICK = Sizes(2**16, ((3, 1), (4, 5)), 5, 3, 2, (3, 6), (100, 4), 3)


def main(arguments: list[str] | None = None) -> None:
    """Print a table for each case, or why there is none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or torch for main memory")
    parser.add_argument("--quick", action="store_true", help="small cases, which take seconds in main memory")
    options = parser.parse_args(arguments)
    try:
        device = Device.of(options.device)
    except DeviceError as missing:
        print(f"nothing is measured: {missing}")
        return
    bench = Bench(device, QUICK if options.quick else Sizes())
    print(f"{device}: {device.describe()}\n")
    print(f"A copy moves {bench.bandwidth / 1e12:.3g} TB/s.\n", flush=True)
    for table in (bench.maps, bench.largest_map, bench.training, bench.campaign, bench.noisy_gates):
        print(table(), end="\n\n", flush=True)


class Bench:
    """The cases on a device."""

    def __init__(self, device: Device, sizes: Sizes) -> None:
        self.device, self.sizes = device, sizes
        numbers = device.asarray(np.ones(sizes.copied, np.float32))
        self.bandwidth = 8 * sizes.copied / self.seconds(lambda: numbers + 0)

    def seconds(self, run: Callable[[], object]) -> float:
        """Return the median seconds of warm runs, each until the device is done."""
        times = []
        for _ in range(2 + self.sizes.repeats):
            self.device.synchronize()
            start = time.perf_counter()
            with self.device.computing("the benchmark"):
                run()
            self.device.synchronize()
            times.append(time.perf_counter() - start)
        return float(np.median(times[2:]))

    def maps(self) -> str:
        """Return the table of maps."""
        has_peer = find_spec("tensorcircuit") is not None and find_spec("jax") is not None
        lines = ["| qubits x images | this library | TensorCircuit + JAX | ratio | floor |\n|---|---|---|---|---|"]
        for n, images in self.sizes.maps:
            model, x = _model(n), _inputs(n, images)
            here, there = hq.integrated_gradients(model, x, baseline=0), self.device.asarray(x)
            found = hq.integrated_gradients(model, there, baseline=0)
            _check("a map", home(found.values), here.values, _TOLERANCE)
            own = self.seconds(partial(hq.integrated_gradients, model, there, baseline=0))
            theirs, ratio = "not installed", ""
            if has_peer:
                peer = self._peer(model, x, here.values)
                theirs, ratio = _milliseconds(peer), f"{peer / own:.1f}x"
            passes = 2 * len(model._evolved.program.blocks) + 3  # type: ignore[attr-defined]
            floor = passes * 2 * 16 * x.size / self.bandwidth
            lines.append(f"| {n} x {images} | {_milliseconds(own)} | {theirs} | {ratio} | {_milliseconds(floor)} |")
        return "\n".join(lines)

    def _peer(self, model: hq.Model, x: Any, expected: Any) -> float:
        """Return the seconds of TensorCircuit, whose arrays stay on its device."""
        import jax.numpy as jnp

        gradients, there = tensorcircuit_gradients(model), jnp.asarray(x)
        _check("a map of TensorCircuit", np.asarray(there * gradients(there) / 2), expected, _TOLERANCE)
        return self.seconds(lambda: (there * gradients(there) / 2).block_until_ready())

    def largest_map(self) -> str:
        """Return the time of the largest map, in single precision."""
        n, xp = self.sizes.largest, self.device.xp
        with self.device.computing("the largest map"):
            own = {"dtype": xp.complex64, "device": self.device.asarray(np.zeros(1)).device}
            x = xp.full((2**n,), 2.0 ** (-n / 2), **own)
        model = _model(n)

        def attribute() -> Any:
            return hq.integrated_gradients(model, x, baseline=0, precision="float32")

        a = attribute()
        _check("the sum of the largest map", float(home(a.values).sum()), float(a.f_input), 1e-3)
        return f"A map of {n} qubits in complex64 takes {_milliseconds(self.seconds(attribute))}."

    def training(self) -> str:
        """Return the table of the time to an accuracy."""
        images, n = self.sizes.images
        model, (x, y) = hq.ring_ansatz(n, _LAYERS), images_of_halves(images, n)
        makers: dict[str, Callable[[], LossGradient]] = {
            f"this library on {self.device}": partial(own_loss_gradient, model, x, y, self.device),
            "this library on one CPU core": partial(own_loss_gradient, model, x, y),
        }
        for name, (packages, make) in TRAINING_PEERS.items():
            if all(map(find_spec, packages)):
                makers[name] = partial(make, model, x, y, _SCALE)
        theta, part = np.random.default_rng(0).normal(0, 0.5, len(model.params)), np.arange(min(50, images))
        gradients = {name: maker()(theta, part)[1] for name, maker in makers.items()}
        expected = gradients["this library on one CPU core"]
        for name, gradient in gradients.items():
            _check(f"the gradient of {name}", gradient, expected, 1e-4)
        lines = ["| until 95% are right | seconds | epochs |\n|---|---|---|"]
        for name, maker in makers.items():
            seconds, epochs = time_to_accuracy(maker, model, x, y)
            lines.append(f"| {name} | {seconds:.2f} | {epochs} |")
        return "\n".join(lines)

    def campaign(self) -> str:
        """Return the time of a campaign with everything counted beside one CPU core, and of its evolution beside the floor."""
        case: Case = campaign(self.sizes.circuits, 8, fixed=False, couplings=self.sizes.couplings)
        circuit, points = case
        few = points[:_ON_CPU]

        def whole(device: str, some: Any) -> Any:
            return by_engine(hq.virtual("willow_pink", seed=1, precision="float32", device=device), circuit, some, None)

        _check("a probability", np.array(whole(str(self.device), few)), np.array(whole("cpu", few)), 1e-6)
        start = time.process_time()
        whole("cpu", few)
        cpu = (time.process_time() - start) / len(few) * len(points)
        own = self.seconds(lambda: whole(str(self.device), points))
        engine = hq.virtual("willow_pink", seed=1, precision="float32", device=str(self.device))
        warm = self.seconds(lambda: by_engine(engine, circuit, points, None))
        floor = self.sizes.couplings * 2 * 4 * 4**8 * len(points) / self.bandwidth
        return (
            f"| campaign, n = 8 x {len(points)} | this library | one CPU core | ratio | warm engine | floor |\n"
            "|---|---|---|---|---|---|\n"
            f"| everything counted | {_milliseconds(own)} | {_milliseconds(cpu)} | {cpu / own:.0f}x | {_milliseconds(warm)} | "
            f"{_milliseconds(floor)} |"
        )

    def noisy_gates(self) -> str:
        """Return the time of random noisy pair gates beside the floor."""
        n, gates = self.sizes.noisy
        program = NoisyProgram.compile(steps_of(_noisy_circuit(n, gates), cirq.LineQubit.range(n)), n, range(n))
        single, double = (program.populations([], precision, self.device)[0] for precision in ("float32", "float64"))
        _check("a probability in single precision", single, double, 1e-6)
        own = self.seconds(lambda: program.populations([], "float32", self.device))
        floor = gates * 2 * 4 * 4**n / self.bandwidth
        return (
            f"| {gates} noisy pair gates, n = {n} | floor | ratio |\n|---|---|---|\n"
            f"| {_milliseconds(own)} | {_milliseconds(floor)} | {own / floor:.2f} |"
        )


def _noisy_circuit(n: int, gates: int) -> list[cirq.Operation]:
    """Return CZ gates between random neighbours, each with random rotations and depolarizing noise."""
    rng, qubits, ops = np.random.default_rng(0), cirq.LineQubit.range(n), list[cirq.Operation]()
    for _ in range(gates):
        i = int(rng.integers(n - 1))
        pair = qubits[i : i + 2]
        ops += [
            cirq.PhasedXZGate(
                **dict(zip(("x_exponent", "z_exponent", "axis_phase_exponent"), rng.uniform(-1, 1, 3), strict=True))
            )(q)
            for q in pair
        ]
        ops += [cirq.CZ(*pair), cirq.depolarize(0.01, 2)(*pair)]
    return ops


def _model(n: int) -> hq.Model:
    model, rng = hq.ring_ansatz(n, _LAYERS), np.random.default_rng(n)
    return model.with_params({name: float(rng.normal()) for name in model.params})


def _inputs(n: int, images: int) -> Any:
    x = np.abs(np.random.default_rng(n).normal(size=(images, 2**n)))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _check(name: str, found: Any, expected: Any, tolerance: float) -> None:
    """Raise ArithmeticError if results differ."""
    difference = float(np.abs(np.asarray(found) - np.asarray(expected)).max())
    if not difference <= tolerance:
        raise ArithmeticError(f"{name} differs by {difference:.1e}")


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"


if __name__ == "__main__":
    main()
