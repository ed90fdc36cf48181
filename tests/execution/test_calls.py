"""Calls of an engine are known by their content: an interrupted one goes on, whatever is called in between."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calibration
import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.execution.backends.sampler import InProcessBackend
from hattriq_cirq.execution.backends.simulators import ExactBackend
from hattriq_cirq.execution.backends.virtual import VirtualBackend
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.pipeline import prepare

Q = cirq.LineQubit.range(2)
MODEL = hq.Model(cirq.Circuit(cirq.ry(0.3)(Q[0]), cirq.CNOT(*Q)), Q, 1.0 * cirq.Z(Q[0]))
X = np.array([0.5, 0.5, 0.3, -0.4])
SHOTS = 50


class Stop(RuntimeError):
    """Fault that a test injects."""


@contextmanager
def stopped_after(
    jobs: float, fault: type[BaseException] = Stop, backend: type[InProcessBackend] = ExactBackend
) -> Iterator[Counter[str]]:
    """Raise a fault before the next job that follows a number of jobs; yield the number of runs of each job."""
    execute, runs = backend.execute, Counter[str]()

    def limited(self: Any, job: Any) -> Any:
        if runs.total() >= jobs:
            raise fault
        runs[job.id] += 1
        return execute(self, job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "execute", limited)
        yield runs


def close(engine: Engine) -> None:
    assert engine.journal is not None
    engine.journal.close()


def circuits(call: int, count: int = 4) -> list[cirq.Circuit]:
    """Return the circuits of a call, which differ from call to call."""
    return [cirq.Circuit(cirq.ry(1 + call / 3 + i)(Q[0]), cirq.CNOT(*Q), cirq.measure(*Q, key="m")) for i in range(count)]


def counts(engine: Engine, call: int) -> list[list[int]]:
    return [d.counts.tolist() for d in engine.run(circuits(call), [SHOTS] * 4)]


def exact(engine: Engine) -> None:
    engine.run(circuits(0), None)


def attribute(engine: Engine, mitigation: Any = None) -> hq.Attribution:
    estimator = hq.HadamardTest()
    return hq.integrated_gradients(
        MODEL, X, baseline=0.1, estimator=estimator, engine=engine, shots=2000, mitigation=mitigation
    )


FAULTS = [KeyboardInterrupt, ConnectionResetError, OSError, MemoryError, SystemExit, Stop, TimeoutError, ValueError]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("where", ["same engine", "new engine", "same engine without a journal"])
def test_interrupted_call_runs_only_the_missing_jobs_to_the_same_counts(
    fault: type[BaseException], where: str, tmp_path: Path
) -> None:
    journal = None if "without" in where else tmp_path / "run"
    with stopped_after(100) as undisturbed:
        expected = attribute(hq.cirq_simulator(seed=1)).values
    engine = hq.cirq_simulator(seed=1, journal=journal)
    half = undisturbed.total() // 2
    with stopped_after(half, fault) as first, pytest.raises(fault):
        attribute(engine)
    if where == "new engine":
        close(engine)
        engine = hq.cirq_simulator(seed=1, journal=journal)
    with stopped_after(100) as second:
        np.testing.assert_array_equal(attribute(engine).values, expected)
    assert first.total() == half
    assert second.total() == (undisturbed.total() if journal is None else undisturbed.total() - half)


def test_programs_of_calls_with_a_key_are_not_digested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digested: list[object] = []
    monkeypatch.setattr("hattriq_cirq.execution.engine.digest", lambda *content: digested.append(content))
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)
    first = counts(engine, 0)
    with stopped_after(2), pytest.raises(Stop):
        counts(engine, 1)
    close(engine)
    again = hq.cirq_simulator(seed=1, journal=tmp_path)
    assert counts(again, 0) == first
    counts(again, 1)
    counts(again, 2)
    assert digested == []


@pytest.mark.parametrize("journaled", [False, True])
@pytest.mark.parametrize("stopped", [1, 3, 5])
def test_interrupted_run_of_several_calls_is_repeated_on_the_same_engine(
    stopped: int, journaled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three calls of two jobs each; the second input equals the first, so that two calls are equal."""
    monkeypatch.setattr(prepare, "_CHUNK", 1)
    options = {"baseline": 0.1, "estimator": hq.PolarizationShift(), "shots": 400}
    x = np.array([[0.6, 0.1], [0.6, 0.1], [0.3, -0.4]])
    model = hq.Model(cirq.Circuit(cirq.ry(0.3)(Q[0])), Q[:1], 1.0 * cirq.Z(Q[0]))
    with stopped_after(100) as undisturbed:
        expected = hq.prepare(model, x, engine=hq.cirq_simulator(seed=1), **options).execute()  # type: ignore[arg-type]
    engine = hq.cirq_simulator(seed=1, journal=tmp_path if journaled else None)
    prepared = hq.prepare(model, x, engine=engine, **options)  # type: ignore[arg-type]
    with stopped_after(stopped) as first, pytest.raises(Stop):
        prepared.execute()
    if journaled:
        assert prepared.record().jobs == undisturbed.total()
    with stopped_after(100) as second:
        found = prepared.execute()
    np.testing.assert_array_equal(found.values, expected.values)
    assert first.total() == stopped
    assert second.total() == undisturbed.total() - (stopped if journaled else 0)


@pytest.mark.slow
def test_a_fresh_process_reads_everything_from_the_journal(tmp_path: Path) -> None:
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)
    with stopped_after(3), pytest.raises(Stop):
        counts(engine, 0)
    expected = [counts(engine, 1), counts(engine, 0)]
    close(engine)
    script = f"import test_calls as t; e = t.hq.cirq_simulator(seed=1, journal={str(tmp_path)!r})\n"
    script += "with t.stopped_after(0): print([t.counts(e, 1), t.counts(e, 0)])"
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == str(expected)


def test_equal_call_after_completion_is_a_second_call_that_is_read_again_in_order(tmp_path: Path) -> None:
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)
    first, second = counts(engine, 0), counts(engine, 0)
    assert first != second
    close(engine)
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)
    with stopped_after(4) as runs:
        assert [counts(engine, 0), counts(engine, 0)] == [first, second]
        assert counts(engine, 0) not in (first, second)
    assert runs.total() == 4


def test_exact_calls_do_not_change_which_call_is_continued(tmp_path: Path) -> None:
    plain = hq.cirq_simulator(seed=1)
    exact(plain)
    expected = [counts(plain, 0), counts(plain, 1)]
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)
    exact(engine)
    with stopped_after(2), pytest.raises(Stop):
        counts(engine, 0)
    exact(engine)
    exact(engine)
    with stopped_after(2) as runs:
        assert counts(engine, 0) == expected[0]
    assert runs.total() == 2
    close(engine)
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)  # without the exact calls
    assert [counts(engine, 0), counts(engine, 1)] == expected


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_interrupts_restarts_and_another_order_of_calls_do_not_change_the_counts(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Each call may be interrupted twice; a new engine reads the earlier ones in any order before it goes on."""
    order = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=4))
    plain = hq.cirq_simulator(seed=3)
    expected = [counts(plain, call) for call in order]
    folder = tmp_path_factory.mktemp("calls")
    engine = hq.cirq_simulator(seed=3, journal=folder)

    def reread(known: int) -> Engine:
        close(engine)
        new = hq.cirq_simulator(seed=3, journal=folder)
        results = {call: [expected[i] for i in range(known) if order[i] == call] for call in order}
        with stopped_after(0):
            for call in data.draw(st.permutations(order[:known])):
                assert counts(new, call) == results[call].pop(0)
        return new

    for i, call in enumerate(order):
        missing = 4
        for jobs in (*data.draw(st.lists(st.integers(0, 3), max_size=2)), 4):
            with stopped_after(jobs) as runs, suppress(Stop):
                assert counts(engine, call) == expected[i]
                missing -= runs.total()
                break
            missing -= runs.total()
            engine = reread(i) if data.draw(st.booleans()) else engine
        assert missing == 0
    close(reread(len(order)))


def test_calls_of_several_threads_are_run_one_after_the_other(tmp_path: Path) -> None:
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)
    found: dict[int, list[list[int]]] = {}
    running: list[str] = []
    execute = ExactBackend.execute

    def alone(self: Any, job: Any) -> Any:
        running.append(job.id.split("-")[1])
        return execute(self, job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExactBackend, "execute", alone)
        threads = [threading.Thread(target=lambda n=n: found.update({n: counts(engine, n)})) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 6
    assert running == sorted(running)
    assert len(set(running)) == 6
    close(engine)
    again = hq.cirq_simulator(seed=1, journal=tmp_path)
    with stopped_after(0):
        assert {n: counts(again, n) for n in reversed(range(6))} == found


@pytest.mark.parametrize(
    "mitigation",
    [None, pytest.param(calibration.Readout(shots=300), marks=pytest.mark.slow), calibration.PauliTwirling(2, seed=1)],
    ids=["none", "readout", "twirl"],
)
def test_interrupted_run_on_a_processor_compiles_nothing_again(
    mitigation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine(journal: Path | None = None) -> Engine:
        return hq.virtual("willow_pink", seed=2, noise="readout", journal=journal)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("compiled again")

    expected = attribute(engine(), mitigation).values
    first = engine(tmp_path)
    with stopped_after(1, KeyboardInterrupt, VirtualBackend), pytest.raises(KeyboardInterrupt):
        attribute(first, mitigation)
    monkeypatch.setattr("hattriq_cirq.execution.engine.compile_for", fail)
    monkeypatch.setattr("hattriq_cirq.pipeline.prepare.choose_placement", fail)
    np.testing.assert_array_equal(attribute(first, mitigation).values, expected)
    close(first)
    again = engine(tmp_path)
    with stopped_after(0, backend=VirtualBackend):
        np.testing.assert_array_equal(attribute(again, mitigation).values, expected)


def test_recorded_circuits_are_run_when_another_version_compiles_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Engine.run` knows a call by its logical circuits, so what is compiled today does not matter."""

    def engine(journal: Path | None = None) -> Engine:
        return hq.virtual("willow_pink", seed=2, noise="none", journal=journal)

    expected = counts(engine(), 0)
    first = engine(tmp_path)
    with stopped_after(0, backend=VirtualBackend), pytest.raises(Stop):
        counts(first, 0)
    close(first)
    monkeypatch.setattr(Engine, "compile", None)
    assert counts(engine(tmp_path), 0) == expected


@pytest.mark.parametrize("case", ["circuits", "shots", "order", "qubits"])
def test_other_content_is_another_call(case: str, tmp_path: Path) -> None:
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)
    with stopped_after(1), pytest.raises(Stop):
        counts(engine, 0)
    changed = {
        "circuits": (circuits(1), [SHOTS] * 4),
        "shots": (circuits(0), [SHOTS] * 3 + [SHOTS + 1]),
        "order": (circuits(0)[::-1], [SHOTS] * 4),
        "qubits": ([c.transform_qubits({Q[0]: Q[1], Q[1]: Q[0]}) for c in circuits(0)], [SHOTS] * 4),
    }[case]
    with stopped_after(100) as runs:
        engine.run(*changed)
    assert runs.total() == 4
    with stopped_after(100) as runs:
        counts(engine, 0)
    assert runs.total() == 3


def test_first_call_of_another_run_in_a_finished_journal_is_refused(tmp_path: Path) -> None:
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)
    counts(engine, 0)
    close(engine)
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)
    with pytest.raises(JournalError, match="this journal holds another run: call 1 recorded in"):
        counts(engine, 1)
    counts(engine, 0)  # the run as it was
    counts(engine, 1)  # goes on


@pytest.mark.parametrize("shots", [[True] * 4, [10.0] * 4, [10.5] * 4, ["10"] * 4, [0] * 4, [10] * 3, 10, [None] * 4])
def test_shots_that_are_no_whole_numbers_are_refused_before_anything_is_recorded(shots: Any, tmp_path: Path) -> None:
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)
    with pytest.raises(ValueError, match="shots"):
        engine.run(circuits(0), shots)
    assert engine.journal is not None
    assert not engine.journal.has_begun


def test_numpy_shots_are_those_of_plain_numbers(tmp_path: Path) -> None:
    plain = counts(hq.cirq_simulator(seed=1), 0)
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)
    found = engine.run(circuits(0), np.full(4, SHOTS))  # type: ignore[arg-type]
    assert [d.counts.tolist() for d in found] == plain


def shifted(circuit: cirq.Circuit, shift: float) -> cirq.Circuit:
    """Return a circuit whose rotations differ by an angle, as on another machine."""
    return circuit.map_operations(
        lambda op: cirq.ry(np.pi * op.gate.exponent + shift)(*op.qubits) if isinstance(op.gate, cirq.YPowGate) else op
    )


@pytest.mark.parametrize(
    "make", [hq.cirq_simulator, lambda **k: hq.virtual("willow_pink", noise="none", **k)], ids=["cirq", "virtual"]
)
@pytest.mark.parametrize(
    ("shift", "version", "is_same"), [(1e-13, "", True), (1e-4, "", False), (1e-8, "", False), (1e-8, "0.9", True)]
)
def test_call_computed_on_another_machine_or_by_another_version_goes_on(
    make: Any, shift: float, version: str, is_same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Angles that differ by rounding are of another machine; another version may build other circuits of equal outcomes."""
    engine = make(seed=1, journal=tmp_path)
    expected = counts(engine, 0)
    close(engine)
    if version:
        now = Provenance.now()
        monkeypatch.setattr(Provenance, "now", lambda: Provenance({**now.versions, "hattriq_cirq": version}, now.created_utc))
    again = make(seed=1, journal=tmp_path)
    today = [shifted(circuit, shift) for circuit in circuits(0)]
    if is_same:
        backend = VirtualBackend if again.processor else ExactBackend
        with stopped_after(0, backend=backend):
            assert [d.counts.tolist() for d in again.run(today, [SHOTS] * 4)] == expected
    else:
        with pytest.raises(JournalError, match="holds another run"):
            again.run(today, [SHOTS] * 4)


def test_circuits_too_large_to_compare_are_not_run_twice_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hattriq_cirq.compilation.compile._CHECKED_QUBITS", 1)
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)
    expected = counts(engine, 0)
    close(engine)
    now = Provenance.now()
    monkeypatch.setattr(Provenance, "now", lambda: Provenance({**now.versions, "cirq-core": "9"}, now.created_utc))
    for task in (None, {"command": "attribute"}):
        again = hq.cirq_simulator(seed=1, journal=tmp_path)
        assert again.journal is not None
        if task is None:
            with pytest.raises(JournalError, match="cannot be compared with this one, because its circuits are too large"):
                again.run([shifted(circuit, 1e-8) for circuit in circuits(0)], [SHOTS] * 4)
        else:
            again.journal.record_task(task)
            with stopped_after(0):
                found = again.run([shifted(circuit, 1e-8) for circuit in circuits(0)], [SHOTS] * 4)
            assert [d.counts.tolist() for d in found] == expected
        again.journal.close()
