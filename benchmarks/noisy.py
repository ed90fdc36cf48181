"""Benchmark of noisy simulation on the virtual Willow: for all angles at once, circuit by circuit, and by other simulators.

Run `python -m benchmarks.noisy`, with `--against CHECKOUT` to time an earlier version too (`git worktree add CHECKOUT COMMIT`).
All sides run in turn, each in a process of its own with one thread; results are compared before ratios are printed. Seconds
are processor time of a whole call on a new engine, noise model and compilation included, or of a call on an engine that has
run the circuit at other points before ("warm"). The cases:

- campaign: n = 8, 30 CZ, each circuit with its own single-qubit gates (a random gauge and a product-state probe), all read
- campaign, one qubit read: the same, of which one qubit is measured
- probes: one fixed circuit behind 600 product-state probes, one qubit read
- resolved: 8 dense inputs of the resolved test, ring of 3 layers, n = 8 and an ancilla, all read

"anew" converts the noise for every circuit, as every simulation did at first, on the first few circuits, per circuit; it is
that of the earlier version if there is one. The second table has one circuit of the campaign on other simulators: Cirq's
density matrices, qulacs' (if it is installed) and qsim's trajectories.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import cirq
import numpy as np
import sympy

import hattriq_cirq as hq
from benchmarks.rows import Rows
from benchmarks.timing import ratio_text
from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.execution.backends.simulators import trajectories
from hattriq_cirq.execution.backends.virtual import VirtualBackend
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.simulation.qsim import QsimSettings

_NOTE = """\
Exact probabilities with all noise of the virtual Willow, in processor time of one thread per circuit, noise model and
compilation included; "warm" on an engine that has run the circuit at other points before. "anew" converts the noise for
every circuit, as all versions did at first. Results are compared first (1e-12, and 1e-6 in float32).
"""
_ANEW = 4  # circuits whose noise is converted anew
_TOLERANCE = {"float64": 1e-12, "float32": 1e-6}  # of probabilities, by precision
_TRAJECTORIES = 200  # shots, from which the seconds of more follow
_RING = [cirq.GridQubit(5, 5 + c) for c in range(4)] + [cirq.GridQubit(6, 8 - c) for c in range(4)]

Points = list[dict[str, float]]
Case = tuple[cirq.FrozenCircuit, Points]


def campaign(circuits: int, measured: int, *, fixed: bool, couplings: int = 30) -> Case:
    """Return a ring of 8 qubits with layers of random single-qubit gates, all of them swept, or the first layer only."""
    rng, points, moments = np.random.default_rng(0), list[dict[str, float]](), list[cirq.Moment]()
    names: list[str] = []

    def turns(layer: int) -> cirq.Moment:
        ops = []
        for i, qubit in enumerate(_RING):
            own = [f"{letter}{layer}_{i}" for letter in "xza"]
            swept = layer == 0 or not fixed
            names.extend(own if swept else [])
            x, z, a = sympy.symbols(own) if swept else rng.uniform(-1, 1, 3).tolist()
            ops.append(cirq.PhasedXZGate(x_exponent=x, z_exponent=z, axis_phase_exponent=a)(qubit))
        return cirq.Moment(ops)

    layer = 0
    while couplings:
        pairs = [(_RING[i], _RING[(i + 1) % 8]) for i in range(layer % 2, 8, 2)][:couplings]
        moments += [turns(layer), cirq.Moment(cirq.CZ(*pair) for pair in pairs)]
        couplings, layer = couplings - len(pairs), layer + 1
    moments += [turns(layer), cirq.Moment(cirq.measure(*_RING[:measured], key="z"))]
    points = [dict(zip(names, rng.uniform(-1, 1, len(names)).tolist(), strict=True)) for _ in range(circuits)]
    return cirq.FrozenCircuit(*moments), points


def resolved(inputs: int) -> Case:
    """Return the compiled resolved test of dense inputs as a sweep."""
    rng = np.random.default_rng(8)
    model = hq.ring_ansatz(8, 3)
    model = model.with_params({name: float(rng.normal()) for name in model.params})
    engine = hq.virtual("willow_pink", noise="none")
    x = rng.normal(size=(inputs, 2**8))
    prepared = hq.prepare(model, x, baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=1000)
    ((_, circuits),) = prepared.chunks()
    (program,) = circuits.programs
    return program.circuit, [dict(point) for point in program.points]


class Side:
    """A process that runs a case with some version of the package."""

    def __init__(self, checkout: Path, folder: Path, case: Case, shots: int | None, method: str) -> None:
        circuit, points = case
        self.result = folder / f"{id(self)}.npy"
        self.runs = len(points)
        program, values = folder / "program.json", folder / f"{len(points)}.json"
        cirq.to_json(circuit.unfreeze(), program)
        values.write_text(json.dumps(points))
        script = Path(__file__).with_name("noisy_side.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), *map(str, (program, values, self.result)), str(shots or 0), method],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(checkout), "OPENBLAS_NUM_THREADS": "1"},
        )

    def run(self, *, warm: bool) -> float:
        """Run the case once and return its processor seconds per circuit."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print("warm" if warm else "new", file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline()) / self.runs

    def stop(self) -> FloatArray:
        """End the process and return its last result, (circuits, outcomes)."""
        self._process.communicate()
        return np.asarray(np.load(self.result))


def compare(name: str, case: Case, against: Path | None, repeats: int, *, warm: bool) -> str:
    """Return a table row of one case: milliseconds per circuit of every side, and the ratios of the others to this version."""
    here, (circuit, points) = Path(__file__).parents[1], case
    with TemporaryDirectory() as folder:
        sides = {} if against is None else {"earlier": Side(against, Path(folder), case, None, "float64")}
        sides["anew"] = Side(against or here, Path(folder), (circuit, points[:_ANEW]), None, "rebuild")
        others = list(sides)
        sides |= {method: Side(here, Path(folder), case, None, method) for method in _TOLERANCE}
        rounds = [{side: process.run(warm=warm) for side, process in sides.items()} for _ in range(repeats + 1)][1:]
        results = {side: process.stop() for side, process in sides.items()}
    for side, tolerance in _TOLERANCE.items():
        for other in others:
            both = min(len(results[side]), len(results[other]))
            error = float(np.abs(results[side][:both] - results[other][:both]).max())
            if not error < tolerance:
                raise ArithmeticError(f"{name}: {side} differs from {other} by {error:.1e}")
    seconds = {side: np.array([one[side] for one in rounds]) for side in sides}
    cells = [f"{np.median(of_side) * 1e3:.2f}" for of_side in seconds.values()]
    ratios = [ratio_text(seconds[other], seconds[own]) for own in _TOLERANCE for other in others]
    return " | ".join([f"| {name}", f"{len(points)} x {multi_qubit_gates(circuit)} CZ", *cells, *ratios]) + " |"


def peers(case: Case) -> list[str]:
    """Return table rows of one circuit of a case on other simulators, compared with this package's probabilities."""
    circuit, (point, *_) = case
    resolved_circuit = cirq.resolve_parameters(circuit, cirq.ParamResolver(dict(point)))
    backend = VirtualBackend("willow_pink")
    expected = backend.probabilities(circuit, [point])[0]
    noisy = resolved_circuit.unfreeze().with_noise(backend.noise_on(circuit))
    operations = [op for op in noisy.all_operations() if not cirq.is_measurement(op)]
    rows = list[str]()

    def timed(name: str, run: Callable[[], FloatArray], tolerance: float) -> None:
        start = process_time()
        found = run()
        seconds = process_time() - start
        error = float(np.abs(found - expected).max())
        if not error < tolerance:
            raise ArithmeticError(f"{name} differs by {error:.1e}")
        rows.append(f"| {name} | {seconds * 1e3:.0f} | {error:.0e} |")

    timed("this library", lambda: VirtualBackend("willow_pink").probabilities(circuit, [point])[0], 1e-12)
    timed("Cirq density matrices, complex64", lambda: _by_cirq(operations), 1e-5)
    if find_spec("qulacs"):
        timed("qulacs density matrices", lambda: _by_qulacs(operations), 1e-10)
    sampler = trajectories(backend.noise_on(circuit), 1, QsimSettings(1))
    start = process_time()
    bits = sampler.run(resolved_circuit, repetitions=_TRAJECTORIES).measurements["z"]
    seconds = process_time() - start
    outcomes = bits @ (1 << np.arange(bits.shape[1])[::-1])
    frequencies = np.bincount(outcomes, minlength=len(expected)) / _TRAJECTORIES
    error = np.abs(frequencies - expected).max()
    rows.append(f"| qsim trajectories, {_TRAJECTORIES} shots | {seconds * 1e3:.0f} | {error:.0e} (shots) |")
    return rows


def _by_cirq(operations: list[cirq.Operation]) -> FloatArray:
    result = cirq.DensityMatrixSimulator().simulate(cirq.Circuit(operations), qubit_order=_RING)
    return np.asarray(np.diag(result.final_density_matrix).real)


def _by_qulacs(operations: list[cirq.Operation]) -> FloatArray:
    """Return the populations after all Kraus operators, whose first qubit is qulacs' most significant one."""
    qulacs = import_module("qulacs")
    state = qulacs.DensityMatrix(len(_RING))
    index: dict[cirq.Qid, int] = {qubit: len(_RING) - 1 - i for i, qubit in enumerate(_RING)}
    for op in operations:
        qubits = [index[q] for q in reversed(op.qubits)]
        kraus = [qulacs.gate.DenseMatrix(qubits, matrix) for matrix in cirq.kraus(op)]
        (kraus[0] if len(kraus) == 1 else qulacs.gate.CPTP(kraus)).update_quantum_state(state)
    return np.asarray(np.diag(state.get_matrix()).real)


#: Name -> title of a case, and the function that builds it for a number of circuits.
CASES: dict[str, tuple[str, Callable[[int], Case]]] = {
    "campaign": ("campaign", lambda circuits: campaign(circuits, 8, fixed=False)),
    "one": ("campaign, one qubit read", lambda circuits: campaign(circuits, 1, fixed=False)),
    "probes": ("probes", lambda circuits: campaign(circuits, 1, fixed=True)),
    "resolved": ("resolved", lambda _: resolved(8)),
}


def main(arguments: list[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="checkout of an earlier version, which is timed too")
    parser.add_argument("--circuits", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES, help="cases to run")
    Rows.add_argument(parser)
    options = parser.parse_args(arguments)
    rows, against = Rows.of(options), options.against and options.against.resolve()
    others = ["anew"] if against is None else ["earlier", "anew"]
    ratios = [f"{other} / {own}" for own in _TOLERANCE for other in others]
    header = ["case", "size", *(f"{side}, ms" for side in (*others, *_TOLERANCE)), *ratios]
    print(_NOTE)
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for title, build in (CASES[name] for name in options.cases):
        case = build(options.circuits)
        for warm in (False, True):
            name = f"{title}, warm" if warm else title
            measure = partial(compare, name, case, against, options.repeats, warm=warm)
            settings = (options.circuits, options.repeats, str(against))
            print(rows.get("noisy", name, *settings, measure=measure), flush=True)
    print("\n| one circuit of the campaign | ms | largest difference |\n|---|---|---|")
    found = rows.get("noisy peers", bool(find_spec("qulacs")), measure=lambda: peers(campaign(1, 8, fixed=False)))
    print("\n".join(found), flush=True)


if __name__ == "__main__":
    main()
