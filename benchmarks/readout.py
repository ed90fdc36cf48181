"""Benchmark of product inversion of readout errors for the whole map of a resolved test: matrix-free against a dense matrix.

Run `python -m benchmarks.readout`. Both correct the same counts of n data bits and an ancilla, and return the map of 2**n
values with their variances by counts and by calibration; the results are compared before they are timed. The dense peer
inverts the Kronecker product of all confusion matrices; it is left out if this matrix takes more than 0.2 GB.
"""

from __future__ import annotations

import argparse
from functools import partial

import cirq
import numpy as np
from scipy.sparse import csr_array

from benchmarks.timing import alternate, ratio_text
from calibration import ReadoutCalibration
from calibration.readout.per_qubit import correct
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.foundation.arrays import FloatArray

_DENSE_MAX = 12  # bits: a matrix of 4**12 numbers takes 0.13 GB, and the peer needs several
_SHOTS, _CALIBRATION_SHOTS = 20_000, 1000


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qubits", type=int, nargs="+", default=[4, 8, 11, 14, 16], help="data qubits")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    print("median ms of values and standard errors, and how many times longer the dense product takes: median [least, most]")
    print("  n        ours       dense")
    for n in options.qubits:
        print(_row(n, options.repeats), flush=True)


def _row(n: int, repeats: int) -> str:
    rng, bits = np.random.default_rng(0), n + 1
    counts = Distribution.from_counts(rng.multinomial(_SHOTS, rng.dirichlet(np.ones(2**bits))))
    qubits = cirq.LineQubit.range(bits)
    rates = {q: (rng.integers(2, 20) / _CALIBRATION_SHOTS, rng.integers(10, 100) / _CALIBRATION_SHOTS) for q in qubits}
    calibration = ReadoutCalibration.from_mapping(rates, shots=_CALIBRATION_SHOTS)
    candidates = {"ours": partial(_ours, counts, calibration, qubits, _weights(n))}
    if bits <= _DENSE_MAX:
        candidates["dense"] = partial(_dense, counts, calibration.errors, calibration.variances, _weights(n))
        for ours, dense in zip(candidates["ours"](), candidates["dense"](), strict=True):
            if not np.allclose(ours, dense, rtol=1e-8, atol=1e-12):
                raise ArithmeticError(f"the dense product disagrees with ours by {np.abs(ours - dense).max():.1e}")
    seconds = alternate(candidates, repeats)
    text = f"{n:>3}  {np.median(seconds['ours']) * 1e3:>10.1f}"
    if "dense" not in seconds:
        return f"{text}           -"
    return f"{text}  {np.median(seconds['dense']) * 1e3:>10.1f}  {ratio_text(seconds['dense'], seconds['ours'])}"


def _weights(n: int) -> csr_array:
    """Return the weights of the map: outcome (ancilla, k) contributes +1 or -1 to feature k."""
    index = np.arange(2**n)
    entries = np.repeat([1.0, -1.0], 2**n), (np.tile(index, 2), np.arange(2 ** (n + 1)))
    return csr_array(entries, shape=(2**n, 2 ** (n + 1)))


def _ours(
    counts: Distribution, calibration: ReadoutCalibration, qubits: list[cirq.LineQubit], weights: csr_array
) -> tuple[FloatArray, FloatArray]:
    result = correct(counts, calibration, qubits)
    variances = result.variances(weights)
    for shared, change in result.sensitivities(weights).items():
        variances = variances + shared.variances(change)
    return weights @ result.probabilities, np.sqrt(variances)


def _dense(
    counts: Distribution, errors: FloatArray, variances: FloatArray, weights: csr_array
) -> tuple[FloatArray, FloatArray]:
    confusion = np.eye(1)
    for e0, e1 in errors:
        confusion = np.kron(confusion, [[1 - e0, e0], [e1, 1 - e1]])
    inverse = np.linalg.inv(confusion.T)
    weighted, q = weights @ inverse, inverse @ counts.probabilities
    shots, outcomes = counts.shots or 0, len(q)
    p = (counts.probabilities * shots + 4 / outcomes) / (shots + 4)
    total = (weighted**2 @ p - (weighted @ p) ** 2) / shots
    for i, ((e0, e1), of_qubit) in enumerate(zip(errors, variances, strict=True)):
        for state, variance in enumerate(of_qubit):
            change = np.zeros((2, 2))
            change[:, state] = np.array([1, -1]) * (1 - 2 * state) / (1 - e0 - e1)
            moved = np.einsum("ab,lbr->lar", change, q.reshape(2**i, 2, -1)).reshape(-1)
            total = total + variance * (weights @ moved) ** 2
    return weights @ q, np.sqrt(total)


if __name__ == "__main__":
    main()
