"""Peak memory of large batches and of large models, each in a process of its own, beside qulacs by hand.

Run `python -m benchmarks.memory`, or with `--quick` for small sizes, on Linux. The peak is that of a process whose libraries
are imported and whose model is compiled, from before its inputs are created until its maps are there: inputs, maps and all
that is computed between count. Pages of a mapped file do not count, because the system takes them back when it needs them.
A result keeps a copy of inputs that the caller could change, and shares those that nobody can (`x.setflags(write=False)`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np

import hattriq_cirq as hq
from benchmarks.peers import PEERS, ours
from benchmarks.processes import Peak, in_a_process, options_of
from benchmarks.rows import Rows
from hattriq_cirq.cli import main as hattriq
from hattriq_cirq.foundation.arrays import Array

_Rows = TypeVar("_Rows", bound=Array)
_QULACS = "qulacs by hand"
_NOTE = """\
The peak is that of a fresh process from before its inputs are created until its maps are there, inputs included, as
anonymous memory. A result keeps a copy of inputs that the caller could change, and shares those that nobody can: with
`x.setflags(write=False)` a batch needs twice the memory of its inputs, otherwise three times, and about 20 MiB more.
From a file the inputs and the maps stay on disk.
"""
_WRITTEN_TOGETHER = 1000  # inputs
_SINGLES = ("this library", _QULACS)
_BATCHES = ("inputs in memory", "read-only inputs in memory", "numpy.memmap", "hattriq attribute on a file .npy")


@dataclass(frozen=True)
class Case:
    """One measurement."""

    candidate: str
    qubits: int
    images: int


def cases(*, quick: bool) -> list[Case]:
    """Return the cases of a run."""
    images, sizes = (7_000, (14, 16)) if quick else (70_000, (20, 24))
    singles = [name for name in _SINGLES if all(map(find_spec, PEERS.get(name, ((),))[0]))]
    return [Case(name, 10, images) for name in _BATCHES] + [Case(name, n, 1) for n in sizes for name in singles]


def main(arguments: list[str] | None = None) -> None:
    """Print a table with a row for each case."""
    options = options_of(__doc__, measured, Case, arguments)
    if options is None:
        return
    rows = Rows.of(options)
    print(_NOTE)
    print("| images x features | candidate | inputs, MiB | peak with the inputs, MiB | peak / inputs | processor seconds |")
    print("|---|---|---|---|---|---|")
    for case in cases(quick=options.quick):
        found = rows.get("memory", case, measure=partial(in_a_process, "benchmarks.memory", case))
        size = case.images * 8 * 2**case.qubits / 2**20
        cells = [f"{case.images:,} x {2**case.qubits:,}", case.candidate, f"{size:.3g}", f"{found['peak']:.4g}"]
        print(f"| {' | '.join(cells)} | {found['peak'] / size:.2f} | {found['seconds']:.2f} |", flush=True)


def measured(case: Case) -> dict[str, float]:
    """Return the peak in MiB and the processor time in seconds, for which the sums of some maps were compared with scores."""
    rng = np.random.default_rng(0)
    model = hq.ring_ansatz(case.qubits, 4)
    model = model.with_params({name: float(rng.normal()) for name in model.params})
    with TemporaryDirectory() as folder:
        run = _prepared(case, model, Path(folder))
        with Peak() as peak:
            start = time.process_time()
            x, values = run()
            seconds = time.process_time() - start
        shown, steps = slice(None, None, max(1, case.images // 10)), case.candidate in _SINGLES
        scores = model.expectation(x[shown]) * (2 if steps else 1)  # a right-hand sum of one step is twice the integral
        np.testing.assert_allclose(values[shown].sum(axis=1), scores, rtol=1e-9)
    return {"peak": peak.mib, "seconds": seconds}


def _prepared(case: Case, model: hq.Model, folder: Path) -> Callable[[], tuple[Array, Array]]:
    """Return the function that returns inputs and their maps, after a first call with one small input."""
    file = folder / "x.npy"
    if case.candidate in _SINGLES:
        attribute = PEERS[_QULACS][1](model) if case.candidate == _QULACS else ours(model)
        attribute(_inputs(1, model.n_features), 1)
        return lambda: (x := _inputs(1, model.n_features), attribute(x, 1))
    hq.integrated_gradients(model, _inputs(1, model.n_features), baseline=0)
    if case.candidate == "numpy.memmap":
        _write(file, case.images, model.n_features)
        return lambda: (x := np.load(file, mmap_mode="r"), hq.integrated_gradients(model, x, baseline=0).values)
    if case.candidate.startswith("hattriq"):
        _write(file, case.images, model.n_features)
        model.save(folder / "model.json")

        def on_the_command_line() -> tuple[Array, Array]:
            with redirect_stdout(StringIO()):
                code = hattriq(f"attribute {folder}/model.json --data {file} --inputs all --out {folder}/maps".split())
            if code:
                raise ChildProcessError(f"hattriq attribute ended with code {code}")
            return np.load(file, mmap_mode="r"), hq.Attribution.load(folder / "maps" / "attribution.npz").values

        return on_the_command_line

    def in_memory() -> tuple[Array, Array]:
        x = _inputs(case.images, model.n_features)
        x.setflags(write=not case.candidate.startswith("read-only"))
        return x, hq.integrated_gradients(model, x, baseline=0).values

    return in_memory


def _inputs(images: int, features: int) -> Array:
    """Return random unit vectors."""
    return _filled(np.empty((images, features)))


def _write(file: Path, images: int, features: int) -> None:
    """Write the same vectors to a file .npy."""
    _filled(np.lib.format.open_memmap(file, mode="w+", dtype=np.float64, shape=(images, features))).flush()


def _filled(x: _Rows) -> _Rows:
    """Return rows after random unit vectors were written to them, some at a time, which take no room of their own."""
    rng = np.random.default_rng(1)
    for first in range(0, len(x), _WRITTEN_TOGETHER):
        part = x[first : first + _WRITTEN_TOGETHER]
        part[:] = rng.random(part.shape)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return x


if __name__ == "__main__":
    main()
