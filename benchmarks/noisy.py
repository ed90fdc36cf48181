"""Benchmark of noisy simulation on the virtual Willow: this version, an earlier one, and other simulators.

Run `python -m benchmarks.noisy --against CHECKOUT`, where CHECKOUT is an earlier version (`git worktree add CHECKOUT COMMIT`).
All sides run in turn, each in a process of its own with one thread; results are compared before ratios are printed. Seconds
are processor time of a whole call on a new engine, noise model and compilation included, or of a call on an engine that has
run the circuit at other points before ("warm"). The cases:

- campaign: n = 8, 30 CZ, each circuit with its own single-qubit gates (a random gauge and a product-state probe), all read
- campaign, one qubit read: the same, of which one qubit is measured
- probes: one fixed circuit behind 600 product-state probes, one qubit read
- resolved: 8 dense inputs of the resolved test, ring of 3 layers, n = 8 and an ancilla, all read

"anew" is the earlier version with the noise converted for every circuit, on the first few circuits, per circuit. The second
table has one circuit of the campaign on other simulators: Cirq's density matrices, qulacs' (if it is installed) and qsim's
trajectories.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import cirq
import numpy as np
import sympy

import hattriq_cirq as hq
from benchmarks.timing import ratio_text
from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.execution.backends.simulators import trajectories
from hattriq_cirq.execution.backends.virtual import VirtualBackend
from hattriq_cirq.foundation.arrays import FloatArray

_ANEW = 4  # circuits whose noise is converted anew
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


def compare(name: str, case: Case, against: Path, repeats: int, *, warm: bool) -> str:
    """Return a table row of one case."""
    here, (circuit, points) = Path(__file__).parents[1], case
    with TemporaryDirectory() as folder:
        sides = {
            "earlier": Side(against, Path(folder), case, None, "float64"),
            "anew": Side(against, Path(folder), (circuit, points[:_ANEW]), None, "rebuild"),
            "float64": Side(here, Path(folder), case, None, "float64"),
            "float32": Side(here, Path(folder), case, None, "float32"),
        }
        rounds = [{side: process.run(warm=warm) for side, process in sides.items()} for _ in range(repeats + 1)][1:]
        results = {side: process.stop() for side, process in sides.items()}
    for side, tolerance in (("anew", 1e-12), ("float64", 1e-12), ("float32", 1e-6)):
        error = float(np.abs(results[side] - results["earlier"][: len(results[side])]).max())
        if not error < tolerance:
            raise ArithmeticError(f"{name}: {side} differs from the earlier version by {error:.1e}")
    seconds = {side: np.array([one[side] for one in rounds]) for side in sides}
    cells = [f"{np.median(seconds[side]) * 1e3:.2f}" for side in ("anew", "earlier", "float64", "float32")]
    ratios = [
        ratio_text(seconds[peer], seconds[own]).replace("x", "")
        for own in ("float64", "float32")
        for peer in ("earlier", "anew")
    ]
    return " | ".join([f"| {name}", f"{len(points)} x {multi_qubit_gates(circuit)} CZ", *cells, *ratios]) + " |"


def peers(case: Case) -> list[str]:
    """Return table rows of one circuit of a case on other simulators, compared with this package's probabilities."""
    circuit, (point, *_) = case
    resolved_circuit = cirq.resolve_parameters(circuit, cirq.ParamResolver(dict(point)))
    backend = VirtualBackend("willow_pink")
    expected = backend.probabilities(circuit, [point])[0]
    noisy = resolved_circuit.unfreeze().with_noise(backend.noise_on(circuit))
    operations = [op for op in noisy.all_operations() if not cirq.is_measurement(op)]
    rows = []

    def timed(name: str, run: Callable[[], FloatArray], tolerance: float) -> None:
        start = process_time()
        found = run()
        seconds = process_time() - start
        error = float(np.abs(found - expected).max())
        if not error < tolerance:
            raise ArithmeticError(f"{name} differs by {error:.1e}")
        rows.append(f"| {name} | {seconds * 1e3:.0f} | {error:.0e} |")

    timed("Cirq density matrices, complex64", lambda: _by_cirq(operations), 1e-5)
    if find_spec("qulacs"):
        timed("qulacs density matrices", lambda: _by_qulacs(operations), 1e-10)
    sampler = trajectories(backend.noise_on(circuit), 1, 1)
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


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="checkout of an earlier version; without it, only the other simulators")
    parser.add_argument("--circuits", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cases", nargs="+", default=["campaign", "one", "probes", "resolved"], help="cases to run")
    options = parser.parse_args(arguments)
    every = campaign(options.circuits, 8, fixed=False)
    if options.against:
        print(
            "| case | size | anew, ms | earlier, ms | float64, ms | float32, ms | earlier/64 | anew/64 | earlier/32 | anew/32 |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
        cases: dict[str, tuple[str, Callable[[], Case]]] = {
            "campaign": ("campaign", lambda: every),
            "one": ("campaign, one qubit read", lambda: campaign(options.circuits, 1, fixed=False)),
            "probes": ("probes", lambda: campaign(options.circuits, 1, fixed=True)),
            "resolved": ("resolved", lambda: resolved(8)),
        }
        for name, build in (cases[case] for case in options.cases):
            case = build()
            for warm in (False, True):
                title = f"{name}, warm" if warm else name
                print(compare(title, case, options.against.resolve(), options.repeats, warm=warm), flush=True)
    print("| one circuit of the campaign | ms | largest difference |")
    print("|---|---|---|")
    for row in peers(every):
        print(row, flush=True)


if __name__ == "__main__":
    main()
