"""Benchmark of training: 500 images, n = 8, 4 layers, beside PennyLane and TensorCircuit with jitted JAX.

Run `python -m benchmarks.training`. All use the same minibatches, parameters and optimiser (Adam) and return the loss and its
gradient, which are compared first. The peers run in single precision, JAX's default, ours in double. The first table has an
epoch, without compilation; the second the time from a new model to an accuracy on the training images, compilation included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib.util import find_spec

import numpy as np

import hattriq_cirq as hq
from benchmarks.peers import TRAINING_PEERS, LossGradient
from benchmarks.rows import Rows
from benchmarks.timing import alternate, ratio_text
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.devices import CPU, Device
from hattriq_cirq.foundation.machine import available_cores
from hattriq_cirq.models.gradients import TrainableProgram

_QUBITS, _LAYERS, _SCALE, _RATE, _BATCH = 8, 4, 10.0, 0.01, 50
_CONTRAST = 0.08  # by which the halves of an image differ
_NOTE = """\
An epoch of 500 images at 8 qubits and 4 layers, without compilation, then the time from a new model to an accuracy on
the training images, compilation included. The peers run in single precision, their default, this library in double.
"""
_OWN, _ACCURACY, _EPOCHS_MAX = "this library", 0.95, 200


def main(arguments: list[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--quick", action="store_true", help="an epoch with one size of minibatches")
    Rows.add_argument(parser)
    options = parser.parse_args(arguments)
    model = hq.ring_ansatz(_QUBITS, _LAYERS)
    x, y = images_of_halves(options.images)
    present = [name for name, (packages, _) in TRAINING_PEERS.items() if all(map(find_spec, packages))]
    makers: dict[str, Callable[[], LossGradient]] = {_OWN: lambda: own_loss_gradient(model, x, y)}
    makers |= {name: partial(TRAINING_PEERS[name][1], model, x, y, _SCALE) for name in present}
    rows = Rows.of(options)
    compiled = cache(partial(_compiled, makers, len(model.params), options.images))
    print(_NOTE)
    print(f"| minibatches of | {' | '.join(makers)} |\n|---|{'---|' * len(makers)}")
    for size in (_BATCH,) if options.quick else (50, 100, 500):
        repeats = 5 if options.quick else 15
        measure = partial(_epoch_row, compiled, len(model.params), options.images, size, repeats)
        print(rows.get("epoch", present, options.images, size, repeats, measure=measure), flush=True)
    if options.quick:  # the peers compile anew, one after the other
        return
    print(f"\n| until {_ACCURACY:.0%} are right | seconds | epochs |\n|---|---|---|")
    for name, make in makers.items():
        seconds, epochs = rows.get("accuracy", name, options.images, measure=partial(time_to_accuracy, make, model, x, y))
        print(f"| {name} | {seconds:.2f} | {epochs} |", flush=True)


def images_of_halves(samples: int, qubits: int = _QUBITS) -> tuple[Array, FloatArray]:
    """Return unit vectors, (samples, 2**qubits), and labels: +1 where the first half of the numbers is larger on average."""
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(size=(samples, 2**qubits)))
    y = rng.choice([-1.0, 1.0], samples)
    contrast = _CONTRAST * 2 ** ((_QUBITS - qubits) / 2)  # so that images of any size are as hard to tell apart
    x *= 1 + contrast * y[:, np.newaxis] * np.where(np.arange(2**qubits) < 2 ** (qubits - 1), 1, -1)
    return x / np.linalg.norm(x, axis=1, keepdims=True), y


def own_loss_gradient(model: hq.Model, x: Array, y: FloatArray, device: Device = CPU) -> LossGradient:
    """Return the logistic loss of a minibatch and its gradient by this library."""
    program, columns = TrainableProgram(model), device.asarray(np.ascontiguousarray(x.T))

    def loss_gradient(theta: FloatArray, part: Array) -> tuple[float, FloatArray]:
        def logistic(f: FloatArray) -> tuple[float, FloatArray]:
            margins = _SCALE * y[part] * f
            return float(np.mean(np.logaddexp(0, -margins))), -_SCALE * y[part] / (1 + np.exp(margins)) / len(part)

        own = columns[:, part] if device.is_numpy else device.xp.take(columns, device.asarray(part), axis=1)
        return program.loss_gradient(theta, own, logistic)

    return loss_gradient


def time_to_accuracy(make: Callable[[], LossGradient], model: hq.Model, x: Array, y: FloatArray) -> tuple[float, int]:
    """Return the seconds of compilation and training until the accuracy is reached, without those of measuring it."""
    rng = np.random.default_rng(1)
    theta = rng.normal(0, 0.5, len(model.params))
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    start = time.perf_counter()
    loss_gradient = make()
    spent, step = time.perf_counter() - start, 0
    for epoch in range(1, _EPOCHS_MAX + 1):
        parts = np.array_split(rng.permutation(len(x)), len(x) // _BATCH)
        start = time.perf_counter()
        for part in parts:
            step += 1
            _, gradient = loss_gradient(theta, part)
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            theta = theta - _RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        spent += time.perf_counter() - start
        trained = model.with_params(dict(zip(model.params, theta.tolist(), strict=True)))
        if np.mean(np.sign(trained.expectation(x)) == y) >= _ACCURACY:
            return spent, epoch
    raise ArithmeticError(f"{_ACCURACY:.0%} were not reached in {_EPOCHS_MAX} epochs")


def _compiled(makers: Mapping[str, Callable[[], LossGradient]], params: int, images: int) -> dict[str, LossGradient]:
    """Return all candidates after a first call with the smallest minibatch, in which JAX compiles on all cores."""
    theta, part = np.random.default_rng(0).normal(0, 0.5, params), np.arange(images)[:_BATCH]
    candidates = {name: make() for name, make in makers.items()}
    with ThreadPoolExecutor(available_cores()) as pool:
        for call in [pool.submit(candidate, theta, part) for candidate in candidates.values()]:
            call.result()
    return candidates


def _epoch_row(make_all: Callable[[], dict[str, LossGradient]], params: int, images: int, size: int, repeats: int) -> str:
    compiled, rng = make_all(), np.random.default_rng(0)
    theta = rng.normal(0, 0.5, params)
    parts = np.array_split(rng.permutation(images), images // size)
    _, expected = compiled[_OWN](theta, parts[0])
    for name, loss_gradient in compiled.items():
        difference = float(np.abs(loss_gradient(theta, parts[0])[1] - expected).max())
        if difference > 1e-4:
            raise ArithmeticError(f"the gradient of {name} differs by {difference:.1e}")
    runs = {name: partial(_epoch, loss_gradient, theta, parts) for name, loss_gradient in compiled.items()}
    seconds = alternate(runs, repeats)
    own = seconds.pop(_OWN)
    cells = [f"{np.median(own) * 1e3:.3g} ms"]
    cells += [f"{np.median(theirs) * 1e3:.3g} ms, {ratio_text(theirs, own)}" for theirs in seconds.values()]
    return f"| {size} | {' | '.join(cells)} |"


def _epoch(loss_gradient: LossGradient, theta: FloatArray, parts: list[Array]) -> None:
    for part in parts:
        loss_gradient(theta, part)


if __name__ == "__main__":
    main()
