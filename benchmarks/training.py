"""Benchmark of one training epoch of 500 images, n = 8, 4 layers, against PennyLane with jitted JAX.

Run `python -m benchmarks.training`. Both use the same minibatches and parameters and return the loss and its gradient; the
gradients are compared first. PennyLane runs in JAX's default single precision, ours in double. Compilation is timed
separately.
"""

from __future__ import annotations

import argparse
import time
from importlib.util import find_spec

import numpy as np

import hattriq_cirq as hq
from benchmarks.peers import pennylane_loss_gradient
from benchmarks.timing import alternate, ratio_text
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.models.gradients import TrainableProgram


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[50, 100, 500])
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    model = hq.ring_ansatz(8, 4)
    theta = rng.normal(0, 0.5, len(model.params))
    x = np.abs(rng.normal(size=(options.images, 256)))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = rng.choice([-1.0, 1.0], options.images)
    start = time.perf_counter()
    program = TrainableProgram(model)
    print(f"ours: circuit compiled in {(time.perf_counter() - start) * 1e3:.1f} ms")
    columns = np.ascontiguousarray(x.T)

    def ours(part: Array) -> tuple[float, FloatArray]:
        def logistic(f: FloatArray) -> tuple[float, FloatArray]:
            margins = 10.0 * y[part] * f
            return float(np.mean(np.logaddexp(0, -margins))), -10.0 * y[part] / (1 + np.exp(margins)) / len(part)

        return program.loss_gradient(theta, columns[:, part], logistic)

    with_pennylane = find_spec("pennylane") is not None and find_spec("jax") is not None
    peer = pennylane_loss_gradient(model, x, y, 10.0) if with_pennylane else None
    for size in options.batch_size:
        parts = np.array_split(rng.permutation(options.images), -(-options.images // size))
        candidates = {"ours": lambda parts=parts: [ours(part) for part in parts]}
        if peer is not None:
            start = time.perf_counter()
            theirs = peer(theta, parts[0])[1]
            compiled = time.perf_counter() - start
            difference = np.abs(theirs - ours(parts[0])[1]).max()
            if difference > 1e-4:
                raise ArithmeticError(f"the gradients differ by {difference:.1e}")
            candidates["PennyLane"] = lambda parts=parts: [peer(theta, part) for part in parts]
        seconds = alternate(candidates, options.repeats)
        line = f"batch size {size:>4}: ours {np.median(seconds['ours']) * 1e3:.1f} ms an epoch"
        if peer is not None:
            line += (
                f"; PennyLane + JAX {np.median(seconds['PennyLane']) * 1e3:.1f} ms after {compiled:.1f} s of compiling, "
                f"{ratio_text(seconds['PennyLane'], seconds['ours'])} as long"
            )
        print(line, flush=True)


if __name__ == "__main__":
    main()
