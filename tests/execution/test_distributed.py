"""Simulators whose jobs are spread over workers: counts of one process, journals that do not know of workers, and crashes.

The tests are few and long, because each test process that runs one of them starts two workers.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
import sympy
from crashing import CrashingNoise
from dask_cluster import dask_cluster

import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import CapReachedError, EngineError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.cli import main
from hattriq_cirq.execution.backend import Job
from hattriq_cirq.execution.backends import distributed, sampler
from hattriq_cirq.execution.backends.distributed import DistributedBackend
from hattriq_cirq.execution.backends.virtual import VirtualBackend
from hattriq_cirq.execution.caps import CapWarning
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.execution.journal_records import JOURNAL
from hattriq_cirq.execution.journal_summary import read_summary

QUBITS = cirq.GridQubit.rect(2, 2, 4, 10)
FLIPS = cirq.ConstantQubitNoiseModel(cirq.bit_flip(0.1))
WORKERS: dict[str, Any] = {"workers": 2}


def circuits(number: int = 6) -> list[cirq.Circuit]:
    """Return circuits of 2 to 4 qubits."""
    chosen = []
    for i in range(number):
        qubits = QUBITS[: 2 + i % 3]
        turns = [
            cirq.PhasedXZGate(x_exponent=0.1 * i, z_exponent=0.2, axis_phase_exponent=0.3 * k)(q) for k, q in enumerate(qubits)
        ]
        chosen.append(cirq.Circuit(turns, cirq.CZ(*qubits[:2]), turns, cirq.measure(*qubits, key="m")))
    return chosen


def swept(points: int) -> ParameterizedCircuit:
    """Return a program with many points."""
    turn = cirq.PhasedXZGate(x_exponent=sympy.Symbol("a"), z_exponent=0.1, axis_phase_exponent=0.2)
    circuit = cirq.FrozenCircuit([turn(q) for q in QUBITS[:3]], cirq.CZ(*QUBITS[:2]), cirq.measure(*QUBITS[:3], key="m"))
    return ParameterizedCircuit(circuit, tuple(range(points)), tuple({"a": i / points} for i in range(points)))


def assert_same(one: Sequence[Distribution], other: Sequence[Distribution]) -> None:
    assert [each.shots for each in one] == [each.shots for each in other]
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first.probabilities, second.probabilities)


MAKERS: dict[str, Callable[..., Engine]] = {
    "qsim": hq.qsim,
    "cirq": hq.cirq_simulator,
    "trajectories of qsim": lambda **k: hq.qsim(noise=FLIPS, **k),
    "density matrix of Cirq": lambda **k: hq.cirq_simulator(noise=FLIPS, **k),
    "noisy processor": lambda **k: hq.virtual("willow_pink", **k),
    "single precision": lambda **k: hq.virtual("willow_pink", precision="float32", **k),
    "readout errors": lambda **k: hq.virtual("willow_pink", noise="readout", **k),
    "trajectories of a processor": lambda **k: hq.virtual("willow_pink", method="trajectories", **k),
}


def test_counts_are_those_of_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "_PART_RUNS", 4)
    for name, make in MAKERS.items():
        serial, spread = make(seed=3), make(seed=3, **WORKERS)
        assert isinstance(spread.backend, DistributedBackend)
        assert spread.describe() | {"threads": None} == serial.describe() | {"threads": None}
        assert (spread.name, spread.seed, spread.notes) == (serial.name, serial.seed, serial.notes)
        for number in (6, 2):  # calls one after the other have other seeds
            expected = serial.run(circuits(number), [100 + i for i in range(number)])
            assert_same(spread.run(circuits(number), [100 + i for i in range(number)]), expected)
        if name not in ("trajectories of qsim", "trajectories of a processor"):
            assert_same(spread.run(circuits(3), None), serial.run(circuits(3), None))
        assert_same(spread.execute([swept(10)], [500] * 10), serial.execute([swept(10)], [500] * 10))


def test_job_of_density_matrices_and_trajectories_has_the_counts_of_one_process() -> None:
    qubits = cirq.GridQubit.rect(3, 4, 4, 6)
    wide = cirq.Circuit(cirq.PhasedXZGate(x_exponent=0.3, z_exponent=0, axis_phase_exponent=0)(q) for q in qubits)
    mixed = [*circuits(1), wide + cirq.measure(*qubits, key="m"), *circuits(2)]
    backend = VirtualBackend("willow_pink", seed=3)
    assert len({backend.method_for(circuit, 25) for circuit in mixed}) == 2
    assert_same(*(hq.virtual("willow_pink", seed=3, **options).run(mixed, [25] * 4) for options in ({}, WORKERS)))


def test_journal_begun_with_workers_goes_on_without_and_the_other_way_round(tmp_path: Path) -> None:
    shots = [50, 60, 70, 80, 90, 100]
    expected = hq.cirq_simulator(seed=5).run(circuits(), shots)
    for first, second in ((WORKERS, {}), ({}, WORKERS)):
        folder = tmp_path / str(len(first))
        begun = hq.cirq_simulator(seed=5, journal=folder, max_jobs=3, **first)
        with pytest.warns(CapWarning), pytest.raises(CapReachedError):
            begun.run(circuits(), shots)
        assert begun.journal is not None
        begun.journal.close()
        assert read_summary(folder).done == 3
        going_on = hq.cirq_simulator(seed=5, journal=folder, max_jobs=6, **second)
        assert_same(going_on.run(circuits(), shots), expected)
        assert going_on.journal is not None
        assert going_on.journal.used.jobs == 6
        going_on.journal.close()


def crashing(orders: Path, **options: Any) -> Engine:
    return hq.cirq_simulator(seed=5, noise=CrashingNoise(str(orders), os.getpid()), **options)


def test_crashed_worker_loses_no_job(tmp_path: Path) -> None:
    orders, shots = tmp_path / "orders", [100] * 6
    orders.write_text("once")
    found = crashing(orders, journal=tmp_path / "run", **WORKERS).run(circuits(), shots)
    assert not orders.exists()
    assert_same(found, crashing(orders).run(circuits(), shots))
    assert read_summary(tmp_path / "run").used.jobs == 6  # a job that was sent again counts once


@pytest.mark.slow
def test_job_whose_worker_crashes_twice_is_named_and_the_run_goes_on_later(tmp_path: Path) -> None:
    orders = tmp_path / "orders"
    orders.write_text("always")
    engine = crashing(orders, journal=tmp_path / "run", **WORKERS)
    text = r"job .*-001-00000: The worker process crashed twice, the second time running only this task \(out of memory\?\)\."
    with pytest.raises(EngineError, match=text):
        engine.run(circuits(1), [100])
    orders.unlink()
    assert_same(engine.run(circuits(1), [100]), crashing(orders).run(circuits(1), [100]))


def test_errors_are_those_of_one_process() -> None:
    measured = cirq.measure(QUBITS[0], key="m")
    wrong = {
        "no gate that a state vector can follow": (hq.qsim, cirq.Circuit(cirq.reset(QUBITS[0]), measured)),
        "end in one measurement": (hq.cirq_simulator, cirq.Circuit(measured, cirq.X(QUBITS[0]))),
    }
    for text, (make, circuit) in wrong.items():
        for options in ({}, WORKERS):
            with pytest.raises(ValueError, match=text):
                make(**options).run([circuit], [10])


def test_samplers_that_workers_cannot_have_are_refused() -> None:
    assert hq.sampler(cirq.ZerosSampler(), **WORKERS).run(circuits(1), [10])[0].counts.tolist() == [10, 0, 0, 0]
    with pytest.raises(ValueError, match=r"holds a random stream \(MT19937, RandomState\).*without a seed"):
        hq.sampler(cirq.Simulator(seed=1), **WORKERS)
    held = cirq.DensityMatrixSimulator(noise=FLIPS)
    held.lock = threading.Lock()  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="cannot be sent to another process"):
        hq.sampler(held, **WORKERS)


@pytest.mark.parametrize("shots", [None, 10_000])
def test_parts_of_a_job_are_all_its_circuits_and_points_in_order(shots: int | None) -> None:
    backend = VirtualBackend("willow_pink", seed=1)
    program = swept(150)
    job = Job("a", (program.circuit,), program.points, shots, 7)
    parts = backend.parts(job)
    assert [part.runs for part in parts] == [50, 50, 50]
    assert [point for part in parts for point in part.points] == list(program.points)
    assert {(part.shots, part.seed) for part in parts} == {(None, None)}
    several = Job("b", tuple(circuit.freeze() for circuit in circuits(5)), ({},), shots, 7)
    assert [circuit for part in backend.parts(several) for circuit in part.circuits] == list(several.circuits)


def test_worker_with_other_versions_is_refused() -> None:
    recipe = distributed._Recipe.of(lambda: VirtualBackend("willow_pink"))
    other = distributed._Recipe(recipe.content, (("numpy", "1.0"),), "other")
    with pytest.raises(EngineError, match=r"a worker has other versions than this process: .*numpy .*, not 1\.0"):
        distributed._made(other)


def test_commands_take_workers_and_resume_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "bars_and_stripes", "--out", "model", "--epochs", "1"]) == 0
    common = ["attribute", "model", "--data", "bars_and_stripes", "--inputs", "test:0:2", "--estimator", "resolved"]
    common += ["--engine", "cirq", "--shots", "200"]
    assert main([*common, "--out", "serial"]) == 0
    assert main([*common, "--out", "spread", "--workers", "2", "--max-jobs", "1"]) == 2
    assert main(["resume", "spread", "--max-jobs", "1000", "--workers", "2"]) == 0
    values = [np.load(Path(folder) / "attribution.npz")["values"] for folder in ("serial", "spread")]
    np.testing.assert_array_equal(*values)


def test_options_of_workers_are_checked_before_work_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calibrate = ["calibrate", "--out", str(tmp_path / "c.json"), "--engine"]
    for engine, options, text in (
        ("virtual:willow_pink", ["--workers", "0"], "workers=0 must be at least 1"),
        ("virtual:willow_pink", ["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], "leave out workers=2"),
        ("google:p/q", ["--workers", "2"], "--workers and --scheduler are for simulators"),
    ):
        assert main([*calibrate, engine, *options]) == 2
        assert text in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_killed_worker_of_a_dask_cluster_loses_nothing(tmp_path: Path) -> None:
    qubits = cirq.LineQubit.range(7)
    turned = [cirq.Circuit(cirq.ry(0.1 * i + k)(q) for k, q in enumerate(qubits)) for i in range(40)]
    measured = [circuit + cirq.measure(*qubits, key="m") for circuit in turned]
    summaries = []

    with dask_cluster(tmp_path) as cluster:

        def kill() -> None:
            while not (tmp_path / "run" / JOURNAL).exists() or (summary := read_summary(tmp_path / "run")).done < 5:
                time.sleep(0.02)
            cluster.workers[0].kill()
            summaries.append(summary)

        killer = threading.Thread(target=kill)
        killer.start()
        engine = hq.cirq_simulator(seed=9, noise=FLIPS, scheduler=cluster.address, journal=tmp_path / "run")
        found = engine.run(measured, [1000] * 40)
        killer.join()
        assert cluster.workers[0].wait() == -9
        assert 5 <= summaries[0].done < 40
        del engine  # and so leave the cluster
    assert_same(found, hq.cirq_simulator(seed=9, noise=FLIPS).run(measured, [1000] * 40))
