"""Benchmark of integrated gradients on a ring ansatz of 4 layers, against dense NumPy and PennyLane with jitted JAX.

Run `python -m benchmarks.attribution`. Every candidate computes the same right-hand Riemann sum from the zero baseline in
double precision, and the maps are compared before the candidates are timed. Times exclude compilation (peers) and the
construction of M or the circuit (all). A candidate is left out if its memory or its time would exceed the limits below.
"""

from __future__ import annotations

import argparse
from functools import partial
from importlib.util import find_spec

import numpy as np

import hattriq_cirq as hq
from benchmarks.peers import Attribute, numpy_dense, ours, pennylane_jax
from benchmarks.timing import alternate, ratio_text

_DENSE_MAX = 12  # qubits: M and Cirq's unitary have 2**24 complex numbers each
_AMPLITUDES_MAX = 2**21  # samples x features in one batch of a peer
_WORK_MAX = 2**26  # samples x features x steps of a peer


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qubits", type=int, nargs="+", default=[4, 8, 10, 12, 14, 16])
    parser.add_argument("--images", type=int, nargs="+", default=[1, 100, 5000])
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 50])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args(arguments)
    with_pennylane = find_spec("pennylane") is not None and find_spec("jax") is not None
    print("median ms of each, and how many times longer the peer takes: median [least, most] over alternating pairs")
    print("  n  images  steps        ours  NumPy dense                        PennyLane + JAX")
    rng = np.random.default_rng(0)
    for n in options.qubits:
        model = hq.ring_ansatz(n, 4)
        model = model.with_params({name: float(rng.normal()) for name in model.params})
        peers: dict[str, Attribute] = {"ours": ours(model)}
        if n <= _DENSE_MAX:
            peers["dense"] = numpy_dense(model)
        if with_pennylane:
            peers["pennylane"] = pennylane_jax(model)
        for images in options.images:
            if images * 2**n > 2**25:
                continue
            x = np.abs(rng.normal(size=(images, 2**n)))
            x /= np.linalg.norm(x, axis=1, keepdims=True)
            for steps in options.steps:
                print(_row(peers, x, steps, options.repeats), flush=True)


def _row(peers: dict[str, Attribute], x: np.ndarray, steps: int, repeats: int) -> str:
    small = x.size <= _AMPLITUDES_MAX and x.size * steps <= _WORK_MAX
    included = {name: peer for name, peer in peers.items() if name == "ours" or small}
    maps = {name: peer(x, steps) for name, peer in included.items()}
    for name, values in maps.items():
        if not np.allclose(values, maps["ours"], atol=1e-10):
            raise ArithmeticError(f"{name} disagrees with ours by {np.abs(values - maps['ours']).max():.1e}")
    seconds = alternate({name: partial(peer, x, steps) for name, peer in included.items()}, repeats)
    n = (x.shape[1] - 1).bit_length()
    cells = [f"{n:>3}  {len(x):>6}  {steps:>5}  {np.median(seconds['ours']) * 1e3:>10.2f}"]
    for name in ("dense", "pennylane"):
        if name in seconds:
            text = f"{np.median(seconds[name]) * 1e3:>10.2f}  {ratio_text(seconds[name], seconds['ours'])}"
        else:
            text = "         -"
        cells.append(f"{text:<33}")
    return "  ".join(cells)


if __name__ == "__main__":
    main()
