"""Forecasts of runs: their cost is said before the first job, and their time once the first part is done."""

from __future__ import annotations

from pathlib import Path

import cirq
import numpy as np
import pytest

import hattriq_cirq as hq
from hattriq_cirq.execution.backend import Backend, Job
from hattriq_cirq.execution.forecast import Forecast
from hattriq_cirq.foundation.progress import progress_bars

INPUTS = np.eye(4)[[0, 1, 2]] + 0.5


def attribute(folder: Path | None = None) -> hq.Attribution:
    engine = hq.qsim(seed=1, journal=folder)
    estimator = hq.ResolvedHadamardTest()
    return hq.integrated_gradients(
        hq.ring_ansatz(2, layers=1), INPUTS, baseline=0, estimator=estimator, engine=engine, shots=1000
    )


def test_cost_is_said_before_the_first_job(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    kind = type(hq.qsim().backend)
    submit = kind.submit

    def observed(self: Backend, job: Job) -> None:
        said.append(capsys.readouterr().err)
        submit(self, job)

    monkeypatch.setattr(kind, "submit", observed)
    with progress_bars(True):
        attribute()
    assert "qsim: 3 circuits, 3,000 shots, " in said[0]
    assert not any("3,000 shots, " in later for later in said[1:])


def test_nothing_is_said_without_a_watcher(capsys: pytest.CaptureFixture[str]) -> None:
    attribute()
    assert capsys.readouterr().err == ""


def test_results_in_the_journal_are_not_forecast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = attribute(tmp_path)
    with progress_bars(True):
        again = attribute(tmp_path)
    assert "circuits," not in capsys.readouterr().err
    np.testing.assert_array_equal(again.values, first.values)


def test_time_left_follows_from_the_first_part(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 103.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock, 110.0))
    circuit = cirq.FrozenCircuit(cirq.X(cirq.q(0)), cirq.measure(cirq.q(0)))
    one, backend = Forecast(parts=11.0), hq.qsim().backend
    with progress_bars(True):
        one.before(backend, [Job("job-1", (circuit,), ({},), shots=10, seed=None)], None)
        one.after()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "qsim: about 11 circuits, 110 shots, 11 jobs, at most 0 two-qubit gates each"
    assert lines[1] == "about 30 s left: the first 9% took 4 s; half or twice as long would be no surprise"
