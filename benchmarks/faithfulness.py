"""Benchmark of deletion curves of many inputs at once, against a plain loop over inputs and steps."""

from __future__ import annotations

import argparse

import numpy as np

import hattriq_cirq as hq
from benchmarks.timing import alternate, ratio_text
from hattriq_cirq import faithfulness
from hattriq_cirq.foundation.arrays import FloatArray


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qubits", type=int, default=8)
    parser.add_argument("--inputs", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    model = hq.ring_ansatz(options.qubits, 4)
    model = model.with_params({name: float(rng.normal()) for name in model.params})
    x = np.abs(rng.normal(size=(options.inputs, model.n_features)))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    maps = hq.integrated_gradients(model, x, baseline=0).values
    score, matrix = faithfulness.score_of(model), model.matrix.real
    steps = min(32, model.n_features)

    def ours() -> FloatArray:
        return faithfulness.deletion_curve(score, x, maps, reference=0, steps=steps).scores

    def loop() -> FloatArray:
        rows = []
        for row, values in zip(x, maps, strict=True):
            side = -1.0 if row @ matrix @ row < 0 else 1.0
            order, scores = np.argsort(-side * values), []
            for count in np.round(np.linspace(0, len(row), steps + 1)).astype(int):
                kept = row.copy()
                kept[order[:count]] = 0
                scores.append(side * (kept @ matrix @ kept))
            rows.append(scores)
        return np.array(rows)

    if not np.allclose(ours(), loop(), atol=1e-10):
        raise ArithmeticError("the loop disagrees")
    seconds = alternate({"ours": ours, "loop": loop}, options.repeats)
    print(f"{x.shape[0]} inputs, {x.shape[1]} features, {steps} steps: ours {np.median(seconds['ours']):.3f} s")
    print(f"a loop over inputs takes {ratio_text(seconds['loop'], seconds['ours'])} as long")


if __name__ == "__main__":
    main()
