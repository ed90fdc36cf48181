"""Benchmark of integrated gradients on a ring ansatz of 4 layers, against all peers of `benchmarks.peers`.

Run `python -m benchmarks.attribution`, or with `--quick` for a few cases, with OPENBLAS_NUM_THREADS and OMP_NUM_THREADS at 1.
Every candidate computes the same right-hand Riemann sum from the zero baseline in double precision, and the maps are compared
before the candidates are timed in turn. Times exclude compilation, except that of the first call of this library: later calls
are like the second one, which finds M only if the first call kept it; "M kept" is after M was built. Peers that JAX compiles
are compiled on all cores before anything is timed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib.util import find_spec

import numpy as np

import hattriq_cirq as hq
from benchmarks.peers import PEERS, Attribute, ours
from benchmarks.rows import Rows
from benchmarks.timing import alternate, ratio_text
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.machine import available_cores

_DENSE_MAX = 12  # qubits: M and Cirq's unitary have 2**24 complex numbers each
_QUBITS_MAX = {
    "PennyLane + JAX": 16,
    "TensorCircuit + JAX": 16,
    "PennyLane lightning": 16,
    "dense NumPy, M precomputed": _DENSE_MAX,
}
_QUICK_QUBITS_MAX = {"PennyLane + JAX": 8, "dense NumPy, M precomputed": 10}  # more qubits take 10 to 30 seconds to prepare
_RUNS_MAX = {"PennyLane lightning": 1}  # inputs times steps of a peer that takes long for each
_WORK_MAX = 2**22  # samples x features x steps of a peer
_OWN = "this library"
_FULL = [(4, 1, 1), (4, 100, 1), (8, 1, 1), (8, 100, 1), (8, 100, 50), (10, 1, 1), (10, 100, 1), (12, 1, 1), (12, 100, 1)]
_LARGE = [(14, 1, 1), (16, 1, 1), (20, 1, 1), (24, 1, 1)]
_QUICK = [(4, 1, 1), (8, 1, 1), (8, 100, 1), (12, 1, 1), (12, 100, 1), (14, 1, 1)]
Case = tuple[int, int, int]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few cases, in less than a minute")
    parser.add_argument("--repeats", type=int, default=9, help="timed runs of each candidate")
    Rows.add_argument(parser)
    options = parser.parse_args(arguments)
    rows = Rows.of(options)
    present = [name for name, (packages, _) in PEERS.items() if all(map(find_spec, packages))]
    lines = [f"Not installed, and left out: {name}.\n" for name in PEERS if name not in present]
    header = ["n", "images", "steps", "first call", "later calls", "M kept", *(name for name in present)]
    lines += [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    print("\n".join(lines), flush=True)
    most = _QUBITS_MAX | (_QUICK_QUBITS_MAX if options.quick else {})
    peers = {
        case: [name for name in present if _takes_part(name, case, most)]
        for case in (_QUICK if options.quick else _FULL + _LARGE)
    }
    _compile({case: names for case, names in peers.items() if not rows.has("attribution", *case, names)})
    ahead = []
    for case, names in peers.items():
        line, faster = rows.get("attribution", *case, names, measure=partial(_row, *case, names, present, options.repeats))
        print(line, flush=True)
        lines.append(line)
        ahead += faster
    lines += ["", "Cases in which a peer is ahead:" if ahead else "No peer is ahead in any case.", "", *ahead]
    print("\n".join(lines[-len(ahead) - 3 :]))


def _takes_part(name: str, case: Case, most: dict[str, int]) -> bool:
    """Return True if a peer is timed in a case, for the largest numbers of qubits of some peers."""
    n, images, steps = case
    many = images * steps
    return n <= most.get(name, 24) and many <= _RUNS_MAX.get(name, many) and (many == 1 or many << n <= _WORK_MAX)


def _compile(peers: dict[Case, list[str]]) -> None:
    """Let JAX compile its peers of all cases, on all cores, after all of them have set its precision."""
    compiled = [name for name, (packages, _) in PEERS.items() if "jax" in packages]
    pairs = [(case, _peer(name, case[0])) for case, names in peers.items() for name in names if name in compiled]
    print(f"{len(pairs)} peers are compiled by JAX first.", file=sys.stderr, flush=True)
    with ThreadPoolExecutor(available_cores()) as pool:
        for call in [pool.submit(peer, _inputs(n, images), steps) for (n, images, steps), peer in pairs]:
            call.result()


@cache
def _model(n: int) -> hq.Model:
    model, rng = hq.ring_ansatz(n, 4), np.random.default_rng(n)
    return model.with_params({name: float(rng.normal()) for name in model.params})


@cache
def _peer(name: str, n: int) -> Attribute:
    """Return a peer, which all cases with the same number of qubits share."""
    return PEERS[name][1](_model(n))


def _inputs(n: int, images: int) -> Array:
    x: Array = np.abs(np.random.default_rng(n).normal(size=(images, 2**n)))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def _row(n: int, images: int, steps: int, names: Sequence[str], present: Sequence[str], repeats: int) -> tuple[str, list[str]]:
    """Return the row of a table, with these of the peers that are present, and a line for every peer that is ahead."""
    model = _model(n).with_params(_model(n).params)  # a fresh one, which has compiled nothing
    x = _inputs(n, images)
    start = time.perf_counter()
    expected = ours(model)(x, steps)
    first_call = time.perf_counter() - start
    kept = model.with_params(model.params)
    kept.announce(4 * kept.n_features, real=True)
    later, with_matrix = f"{_OWN}, later calls", f"{_OWN}, M kept"
    candidates: dict[str, Attribute] = {later: ours(model, keep_matrix=model.keeps_matrix), with_matrix: ours(kept)}
    candidates |= {name: _peer(name, n) for name in names}
    for name, attribute in candidates.items():
        _check(name, attribute(x, steps), expected)
    seconds = alternate({name: partial(run, x, steps) for name, run in candidates.items()}, 3 if n > 16 else repeats)
    cells = [f"{n}", f"{images}", f"{steps}", _milliseconds(first_call)]
    cells += [_milliseconds(float(np.median(seconds[own]))) for own in (later, with_matrix)]
    ahead = []
    for name in present:
        if name not in seconds:
            cells.append("-")
            continue
        cells.append(f"{_milliseconds(float(np.median(seconds[name])))}, {ratio_text(seconds[name], seconds[later])}")
        for own in (later, with_matrix):
            if np.median(seconds[name] / seconds[own]) < 1:
                ratio = ratio_text(seconds[name], seconds[own])
                ahead.append(f"- n = {n}, {images} images, {steps} steps: {name} takes {ratio} the time of {own}")
    return f"| {' | '.join(cells)} |", ahead


def _check(name: str, values: Array, expected: FloatArray) -> None:
    if not np.allclose(values, expected, atol=1e-10):
        raise ArithmeticError(f"{name} disagrees with this library by {np.abs(values - expected).max():.1e}")


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"


if __name__ == "__main__":
    main()
