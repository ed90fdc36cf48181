"""Growth of time and memory with qubits, images, layers, shots and workers.

Run `python -m benchmarks.scaling`, or with `--quick` for small sizes. Each row varies one size and gives the exponent p of the
fit time ~ size^p (2^(p n) for qubits) to the medians, with its standard error. Each measurement runs in a process of its own;
memory is the peak of an untimed call above that of the process before it, which holds the inputs already, on Linux.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

import hattriq_cirq as hq
from benchmarks.processes import Peak, in_a_process, options_of
from benchmarks.rows import Rows
from hattriq_cirq.foundation.arrays import FloatArray

_REPEATS = 5
_NOTE = """\
Median seconds of a call, and the exponent p of the fit time ~ size^p (2^(p n) for qubits) with its standard error. MiB:
peak memory of a first call above that of its process, which holds the inputs already.
"""


@dataclass(frozen=True)
class Case:
    """One measurement: an exact attribution, or with shots the resolved test on qsim."""

    qubits: int = 10
    images: int = 64
    layers: int = 4
    shots: int = 0
    workers: int = 1


#: Varied size -> values in the quick run and in the full one, and the case that they vary.
_SERIES: dict[str, tuple[tuple[int, ...], tuple[int, ...], Case]] = {
    "qubits": ((12, 14, 16), (16, 17, 18, 19, 20, 21, 22), Case(images=1)),
    "images": ((1000, 2000, 4000), (2000, 4000, 8000, 16000, 32000), Case()),
    "layers": ((4, 8, 16), (4, 8, 16, 32), Case(qubits=14, images=1)),
    "shots": ((1000, 4000, 16000), (1000, 10_000, 100_000, 1_000_000), Case(qubits=4, images=4)),
    "workers": ((1, 2), (1, 2), Case(images=8000)),
}


def main(arguments: list[str] | None = None) -> None:
    """Print a table with a row for each size."""
    options = options_of(__doc__, measured, Case, arguments)
    if options is None:
        return
    kept = Rows.of(options)
    print(_NOTE)
    print("| varied | values | median seconds | exponent of the time | MiB | fixed |\n|---|---|---|---|---|---|", flush=True)
    for name, (quick, full, case) in _SERIES.items():
        sizes = quick if options.quick else full
        cases = [replace(case, **{name: size}) for size in sizes]
        rows = [kept.get("scaling", each, measure=partial(in_a_process, "benchmarks.scaling", each)) for each in cases]
        seconds, memory = (np.array([row[key] for row in rows]) for key in ("seconds", "memory"))
        exponent, error = fit(np.log2(sizes) if name != "qubits" else np.array(sizes, float), np.log2(seconds))
        fixed = ", ".join(f"{size} {key}" for key, size in asdict(case).items() if key != name and size)
        spread = f"{exponent:.2f} +- {error:.2f}" if len(sizes) > 2 else f"{exponent:.2f}"
        cells = [name, _listed(sizes), _listed(seconds), spread, _listed(memory), fixed]
        print(f"| {' | '.join(cells)} |", flush=True)


def measured(case: Case) -> dict[str, float]:
    """Return the median seconds of a call, and the MiB by which it raises the peak of the process."""
    rng = np.random.default_rng(0)
    model = hq.ring_ansatz(case.qubits, case.layers)
    model = model.with_params({name: float(rng.normal()) for name in model.params})
    x = np.abs(rng.normal(size=(case.images, 2**case.qubits)))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    measure: dict[str, Any] = {"workers": case.workers}
    if case.shots:
        measure = {"estimator": hq.ResolvedHadamardTest(), "engine": hq.qsim(seed=1), "shots": case.shots}
    hq.integrated_gradients(model, x[:1], baseline=0, **measure)  # compiles
    with Peak() as peak:  # of the first call, because memory that a call frees may stay with the process
        hq.integrated_gradients(model, x, baseline=0, **measure)
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        hq.integrated_gradients(model, x, baseline=0, **measure)
        seconds.append(time.perf_counter() - start)
    return {"seconds": float(np.median(seconds)), "memory": peak.mib}


def fit(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Return the slope of the line through points, and its standard error.

    Example:
        >>> slope, error = fit(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0]))
        >>> round(slope, 6), round(error, 6)
        (2.0, 0.0)
    """
    design = np.stack([x - x.mean(), np.ones(len(x))], axis=1)
    (slope, offset), *_ = np.linalg.lstsq(design, y, rcond=None)
    rest = y - design @ np.array([slope, offset])
    variance = rest @ rest / max(1, len(x) - 2)
    return float(slope), float(np.sqrt(variance / (design[:, 0] @ design[:, 0])))


def _listed(numbers: FloatArray | tuple[int, ...]) -> str:
    return ", ".join(f"{number:.3g}" if isinstance(number, float) else str(number) for number in numbers)


if __name__ == "__main__":
    main()
