"""A night on a processor: the commands of docs/night.md in their order, by the real client, on a service that fails."""

from __future__ import annotations

import io
import json
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from math import inf
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import pytest
from command_line import run
from content_sampler import ContentSampler
from forked import ForkServer
from hattriq_on_service import polled_often
from interrupted import results
from page_script import Step, check_printed, python_blocks, steps
from stand_in import Fault, StandIn

import hattriq_cirq as hq
from hattriq_cirq.execution.journal import Journal
from hattriq_cirq.execution.journal_summary import read_summary

HELPERS = Path(__file__).parents[1] / "helpers"
PAGE = (Path(__file__).parents[2] / "docs" / "night.md").read_text(encoding="utf-8")
NOT_RUN = {"gcloud auth application-default login"}  # no program of ours
JOBS, DONE, SUBMITTED = 23, 11, 21
"""Jobs of the run, and those with counts and at the service when it is killed; ten are in progress at once."""


def fail(service: StandIn) -> None:
    """Let the service refuse and lose calls and drop the connection, finish three jobs, and keep all others in its queue."""
    service.inject(
        Fault("CreateQuantumJob", "quota", times=2),
        Fault("CreateQuantumJob", "lost"),
        Fault("Job", "", times=3),
        Fault("Job", "slow", times=inf, seconds=inf),
    )
    begun = len(service.executions)

    def drop() -> None:
        while len(service.executions) < begun + 3:
            time.sleep(0.005)
        service.stop()
        service.start()

    threading.Thread(target=drop, daemon=True, name=DROP).start()


def calibrate(service: StandIn) -> None:
    """Publish a new configuration, and let all jobs be finished."""
    for thread in threading.enumerate():
        if thread.name == DROP:
            thread.join()
    service.inject()
    service.quantum.publish("snapshot-2", error_factor=3.0)
    for record in service.quantum.jobs.values():
        record.ready = 0.0


DROP = "drop of the connection"
EVENTS: dict[str, Callable[[StandIn], None]] = {
    "refuses, loses and drops calls; ten jobs wait": fail,
    "publishes a new calibration; the jobs have finished": calibrate,
}


class Shell(Protocol):
    """Place where commands run."""

    def run(self, words: list[str], service: StandIn) -> tuple[int, str, str]:
        """Run the words after `hattriq`, and return the exit code and what was printed on both streams."""

    def run_and_kill(self, words: list[str], service: StandIn) -> None:
        """Kill a command when no job is left that the service finishes."""


class Processes:
    """Every command in a process of its own, as in a shell; it can be killed."""

    def __init__(self, server: ForkServer) -> None:
        self.server = server

    def _start(self, words: list[str], service: StandIn) -> int:
        request = {"address": service.address, "words": words, "folder": str(Path.cwd()), "out": "out.txt", "err": "err.txt"}
        return self.server.start(json.dumps(request))

    def run(self, words: list[str], service: StandIn) -> tuple[int, str, str]:
        self._start(words, service)
        return self.server.wait(), Path("out.txt").read_text(encoding="utf-8"), Path("err.txt").read_text(encoding="utf-8")

    def run_and_kill(self, words: list[str], service: StandIn) -> None:
        pid, deadline = self._start(words, service), time.monotonic() + 60
        while (read_summary("night/run").done, len(service.executions)) != (DONE, SUBMITTED) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self.server.kill(pid) == -9


class ThisProcess:
    """Every command in this process, which is faster; Ctrl-C stands for `kill -9`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def run(self, words: list[str], service: StandIn) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with polled_often(service.engine), redirect_stdout(out), redirect_stderr(err):
            code = run(shlex.join(words))
        return code, out.getvalue(), err.getvalue()

    def run_and_kill(self, words: list[str], service: StandIn) -> None:
        left = DONE - read_summary("night/run").done
        with self.monkeypatch.context() as patch:
            patch.setattr(Journal, "store", interrupting_after(left))
            assert self.run(words, service)[0] == 130


def interrupting_after(number: int) -> Callable[..., None]:
    """Return a method of the journal that raises KeyboardInterrupt when it has stored the given number of counts."""
    stored = 0
    store = Journal.store

    def storing(self: Journal, *words: object) -> None:
        nonlocal stored
        store(self, *words)  # type: ignore[arg-type]
        stored += 1
        if stored == number:
            raise KeyboardInterrupt

    return storing


@pytest.fixture(params=[pytest.param("processes", marks=pytest.mark.slow), "this process"])
def shell(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """Yield both kinds of shells, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    if request.param == "this process":
        yield ThisProcess(monkeypatch)
        return
    with ForkServer(HELPERS / "hattriq_on_service.py") as server:
        yield Processes(server)


def play(page: list[Step], shell: Shell, service: StandIn) -> None:
    """Run the commands of the page, and check what they print."""
    background: list[str] = []
    for step in page:
        if step.event:
            EVENTS[step.event](service)
        words = shlex.split(step.command)
        if step.command == "kill -9 $!":
            shell.run_and_kill(background, service)
            continue
        assert words[0] == "hattriq", step.command
        if words[-1] == "&":
            background = words[1:-1]
            continue
        target = words[-1] if ">" in words else None
        code, out, err = shell.run(words[1:-2] if target else words[1:], service)
        assert code == (2 if step.fails else 0), f"{step}\n{out}{err}"
        check_printed(step, out + err)
        if target:
            Path(target).write_text(out, encoding="utf-8")


def test_night_on_a_processor_is_the_script_of_its_page(shell: Shell) -> None:
    page = [step for step in steps(PAGE) if step.command not in NOT_RUN]
    with StandIn(sampler=ContentSampler(), job_seconds=0.01) as service, StandIn(sampler=ContentSampler()) as calm:
        for each in (service, calm):
            each.quantum.publish("snapshot-1", hours_ago=2)
        play(page, shell, service)
        planned = next(step.command for step in page if step.command.endswith(" --dry-run"))
        undisturbed = planned.removesuffix(" --dry-run").replace("night/run", "undisturbed")
        assert shell.run(shlex.split(undisturbed)[1:], calm)[0] == 0
        assert len(service.executions) == len(calm.executions) == JOBS >= 20
        assert set(service.executions.values()) == {1}
        assert service.quantum.shots == calm.quantum.shots == 6000
    log = Path("night/run/hattriq.log").read_text(encoding="utf-8")
    assert log.count("answered 429") == 2
    assert log.count("the connection broke") == 1
    night, quiet = (hq.Attribution.load(f"{folder}/attribution.npz") for folder in ("night/run", "undisturbed"))
    assert night.cost == quiet.cost
    assert Path("night/run/attribution.csv").read_bytes() == Path("undisturbed/attribution.csv").read_bytes()
    ours, theirs = (results(Path(folder))["attribution.npz"] for folder in ("night/run", "undisturbed"))
    assert ours == theirs
    (changed,) = (note for note in night.assumptions.notes if note not in quiet.assumptions.notes)
    others = [note for note in night.assumptions.notes if note != changed]
    assert "This run stayed on 'snapshot-1'" in changed
    assert tuple(others) == quiet.assumptions.notes
    table = pd.read_csv("night/runs.csv").set_index("folder")
    row = table.loc["night/run"]
    assert (row["status"], row["jobs_done"], row["shots_done"], row["snapshot"]) == ("finished", JOBS, 6000, "snapshot-1")
    assert "snapshot-2" in row["notes"]
    np.testing.assert_allclose(row["mean_stderr"], night.stderr.mean())
    for code in python_blocks(PAGE):
        names: dict[str, object] = {}
        with redirect_stdout(io.StringIO()) as out:
            exec(code, names)
        assert "snapshot-2" in out.getvalue()
        assert isinstance(inputs := names["inputs"], pd.DataFrame)
        assert (inputs["folder"] == "night/run").sum() == 3
