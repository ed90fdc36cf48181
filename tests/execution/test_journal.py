"""Journals: exact round trips of records, and rejection of other runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from journals import ENGINE, QUBITS, TASK, circuit, distributions_of, make_jobs, read_records, write_journal

from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution import journal as journal_module
from hattriq_cirq.execution.backend import Job
from hattriq_cirq.execution.journal import JOURNAL, Journal, digest
from hattriq_cirq.execution.journal_format import pack_circuit, pack_counts, unpack_circuit, unpack_counts
from hattriq_cirq.execution.journal_summary import read_summary

# round trips of records


@given(
    st.lists(
        st.integers(0, 4).flatmap(
            lambda bits: st.lists(
                st.one_of(st.integers(0, 3), st.integers(0, 2**31)), min_size=2**bits, max_size=2**bits
            ).filter(any)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_counts_round_trip_exactly(counts: list[list[int]]) -> None:
    given_ = [Distribution.from_counts(np.array(row)) for row in counts]
    found = unpack_counts(json.loads(json.dumps(pack_counts(given_))))
    for before, after, row in zip(given_, found, counts, strict=True):
        np.testing.assert_array_equal(after.probabilities, before.probabilities)
        np.testing.assert_array_equal(after.counts, row)
        assert after.shots == before.shots


def test_probabilities_without_counts_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="are not counts of 3 shots"):
        pack_counts([Distribution(np.array([0.25, 0.75]), 3)])
    with pytest.raises(ValueError, match="exact probabilities have no counts"):
        pack_counts([Distribution(np.array([0.25, 0.75]), None)])


@pytest.mark.parametrize("angle", [0.1, sympy.Symbol("t"), 2 * sympy.Symbol("t") + sympy.Symbol("a") * sympy.pi])
def test_circuits_round_trip_exactly(angle: Any) -> None:
    name, text = pack_circuit(circuit(angle))
    assert unpack_circuit(text) == circuit(angle)
    assert len(name) == 64


def test_equal_circuits_with_different_json_are_kept_apart() -> None:
    half, more = (cirq.FrozenCircuit(cirq.X(QUBITS[0]) ** power) for power in (0.5, 2.5))
    assert half == more
    names = [pack_circuit(c)[0] for c in (half, more)]
    assert names[0] != names[1]
    del half
    assert [pack_circuit(cirq.FrozenCircuit(cirq.X(QUBITS[0]) ** power))[0] for power in (2.5, 0.5)] == names[::-1]
    assert repr(unpack_circuit(pack_circuit(more)[1])) == repr(more)


def test_reopened_journal_returns_what_was_recorded(tmp_path: Path) -> None:
    ids = write_journal(tmp_path / "deep" / "run")
    with Journal(tmp_path / "deep" / "run", ENGINE, TASK) as journal:
        assert [journal.stored(job_id) is None for job_id in ids] == [False, False, True]
        for i, job_id in enumerate(ids[:-1]):
            (found,) = journal.stored(job_id) or []
            np.testing.assert_array_equal(found.counts, [i, 8 - i, 0, 0])
        assert journal.unfinished() == ids[-1:]
        assert journal.done == 2
        assert (journal.engine, journal.task) == (ENGINE, TASK)
        assert ids[0].startswith(journal.run_id)
        assert len(journal.run_id) == 8
        expected, job = make_jobs(journal, 3)[2], journal.job(ids[2])
        assert (job.id, job.circuits, job.points, job.shots, job.seed) == (
            expected.id,
            expected.circuits,
            expected.points,
            expected.shots,
            expected.seed,
        )


def test_header_and_sessions_record_their_origin(tmp_path: Path) -> None:
    write_journal(tmp_path)
    Journal(tmp_path, ENGINE).close()
    records = read_records(tmp_path)
    assert [record["kind"] for record in records[:4]] == ["header", "task", "opened", "begin"]
    assert all(record["utc"].endswith("+00:00") for record in records)
    sittings = [record for record in records if record["kind"] == "opened"]
    assert [sitting["pid"] for sitting in sittings] == [os.getpid()] * 2
    assert sittings[0]["versions"]["cirq-core"] == cirq.__version__


def test_equal_circuits_are_recorded_once(tmp_path: Path) -> None:
    with Journal(tmp_path, ENGINE) as journal:
        twice = [Job(f"{journal.run_id}-{i}", (circuit(), circuit(i / 3)), ({},), 5, None) for i in range(2)]
        journal.begin(1, "a", twice)
        journal.begin(2, "b", [Job(f"{journal.run_id}-x", (circuit(),), ({},), 5, None)])
    first, second = (record for record in read_records(tmp_path) if record["kind"] == "begin")
    assert len(first["circuits"]) == 3
    assert second["circuits"] == {}


def test_points_and_numpy_numbers_are_recorded_as_json_numbers(tmp_path: Path) -> None:
    points = ({"t": np.float64(0.1), "a": 2.0}, {"t": 1 / 3, "a": np.float32(1)})
    with Journal(tmp_path, ENGINE) as journal:
        journal.begin(1, "a", [Job("j", (circuit(sympy.Symbol("t")),), points, np.int64(7), None)])  # type: ignore[arg-type]
    with Journal(tmp_path, ENGINE) as journal:
        assert journal.job("j").points == ({"t": 0.1, "a": 2.0}, {"t": 1 / 3, "a": 1.0})
        assert list(journal.job("j").points[0]) == ["t", "a"]  # a service may tell jobs apart by their order
        assert journal.job("j").shots == 7


# rejection of other runs


def test_repeated_call_writes_nothing(tmp_path: Path) -> None:
    write_journal(tmp_path)
    with Journal(tmp_path, ENGINE, TASK) as journal:
        size = (tmp_path / JOURNAL).stat().st_size
        journal.begin(1, "key", make_jobs(journal, 3))
        journal.store(make_jobs(journal, 3)[0].id, distributions_of(0, 8, 0, 0))
        assert (tmp_path / JOURNAL).stat().st_size == size


def test_different_call_is_rejected(tmp_path: Path) -> None:
    write_journal(tmp_path)
    with Journal(tmp_path, ENGINE) as journal:
        for key, jobs in (
            ("other", make_jobs(journal, 3)),
            ("key", make_jobs(journal, 4)),
            ("key", make_jobs(journal, 3, shots=9)),
        ):
            with pytest.raises(JournalError, match="this journal holds another run: call 1 recorded in"):
                journal.begin(1, key, jobs)
        with pytest.raises(JournalError, match="job 'x' was not begun"):
            journal.note("x", "queued")


def test_different_counts_of_a_recorded_job_are_rejected(tmp_path: Path) -> None:
    ids = write_journal(tmp_path)
    with Journal(tmp_path, ENGINE) as journal, pytest.raises(JournalError, match="returned other counts"):
        journal.store(ids[0], distributions_of(8, 0, 0, 0))


@pytest.mark.parametrize(
    ("engine", "task", "words"),
    [
        ({**ENGINE, "seed": 2}, TASK, "engine.seed was 1 and is now 2"),
        ({"kind": "cirq"}, TASK, 'engine.kind was "qsim" and is now "cirq"; engine.seed was 1 and is now null'),
        (ENGINE, {**TASK, "settings": {"shots": 7, "seed": 1}}, "task.settings.shots was 100 and is now 7"),
    ],
)
def test_different_engine_or_task_is_rejected_with_the_differences(
    tmp_path: Path, engine: dict[str, Any], task: dict[str, Any], words: str
) -> None:
    write_journal(tmp_path)
    before = (tmp_path / JOURNAL).read_bytes()
    with pytest.raises(JournalError, match="holds another run") as caught:
        Journal(tmp_path, engine, task)
    assert words in str(caught.value)
    assert (tmp_path / JOURNAL).read_bytes() == before


def test_directory_threads_and_versions_may_differ(tmp_path: Path) -> None:
    write_journal(tmp_path)
    Journal(tmp_path, {**ENGINE, "threads": 8, "versions": {}}, {**TASK, "directory": "/there"}).close()


def test_failure_or_cancellation_ends_an_attempt(tmp_path: Path) -> None:
    with Journal(tmp_path, ENGINE) as journal:
        (job,) = make_jobs(journal, 1)
        journal.begin(1, "key", [job])
        seen = []
        for status in ("submitting", "queued", "failed", "submitting", "running", "cancelled", "submitting", "unknown"):
            journal.note(job.id, status, "why")
            seen.append((journal.attempt(job.id), journal.was_submitted(job.id), journal.job(job.id).id))
    expected = [(0, True)] * 2 + [(1, False)] + [(1, True)] * 2 + [(2, False)] + [(2, True)] * 2
    assert seen == [(number, sent, f"{job.id}-{number}" if number else job.id) for number, sent in expected]
    with Journal(tmp_path, ENGINE) as journal:
        assert (journal.attempt(job.id), journal.was_submitted(job.id)) == (2, True)


def test_journal_without_a_call_leaves_no_file(tmp_path: Path) -> None:
    Journal(tmp_path / "new", ENGINE).discard()
    assert not (tmp_path / "new").exists()
    write_journal(tmp_path / "old")
    with Journal(tmp_path / "old", ENGINE) as journal, pytest.raises(JournalError, match="is not removed"):
        journal.discard()


def test_closed_journal_raises_an_error(tmp_path: Path) -> None:
    journal = Journal(tmp_path, ENGINE)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="is closed"):
        journal.finish()


def test_garbage_collected_journal_releases_its_lock(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Journal(tmp_path, ENGINE)
        Journal(tmp_path, ENGINE)


# summaries


def test_summary_follows_the_run(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="holds no run"):
        read_summary(tmp_path)
    ids = write_journal(tmp_path)
    summary = read_summary(tmp_path)
    assert (summary.jobs, summary.done, summary.shots, summary.shots_done) == (3, 2, 24, 16)
    assert (summary.folder, summary.task, summary.engine) == (tmp_path, TASK, ENGINE)
    assert summary.status == "unfinished"
    assert summary.updated_utc == read_records(tmp_path)[-1]["utc"]
    for note, status in (("failed", "failed"), ("submitting", "unfinished"), ("cancelled", "cancelled")):
        with Journal(tmp_path, ENGINE) as journal:
            journal.note(ids[-1], note)
            assert read_summary(tmp_path).status == "running"
        assert read_summary(tmp_path).status == status
    with Journal(tmp_path, ENGINE) as journal:
        journal.store(ids[-1], distributions_of(8, 0, 0, 0))
        journal.cancel()
    assert read_summary(tmp_path).status == "cancelled"
    with Journal(tmp_path, ENGINE) as journal:
        journal.finish()
        journal.finish()
    assert read_summary(tmp_path).status == "finished"
    assert [record["kind"] for record in read_records(tmp_path)].count("finished") == 1


def test_run_without_a_task_is_finished_when_its_jobs_are(tmp_path: Path) -> None:
    with Journal(tmp_path, ENGINE) as journal:
        (job,) = make_jobs(journal, 1)
        journal.begin(1, "key", [job])
    assert read_summary(tmp_path).status == "planned"
    with Journal(tmp_path, ENGINE) as journal:
        journal.note(job.id, "submitting")
    assert read_summary(tmp_path).status == "unfinished"
    with Journal(tmp_path, ENGINE) as journal:
        journal.store(job.id, distributions_of(8, 0, 0, 0))
    assert read_summary(tmp_path).status == "finished"


# digests and speed

DIGEST = """
import cirq, sympy
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution.journal import digest
a, b = cirq.LineQubit.range(2)
t = sum(sympy.Symbol(name) * k for k, name in enumerate("hattriq")) + sympy.Symbol("a") * sympy.Symbol("b")
symbols = cirq.FrozenCircuit(cirq.ry(t)(a).with_tags("x", "y"), cirq.CZ(a, b), cirq.measure(a, b, key="m"))
points = tuple({name: k / 7 for name in "hattriqb"} for k in range(3))
found = digest([ParameterizedCircuit(symbols, (0, 1, 2), points)], [10, 20, 30])
"""


def test_digest_is_the_same_in_every_process() -> None:
    here: dict[str, str] = {}
    exec(DIGEST, here)
    other_seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    there = subprocess.run(
        [sys.executable, "-c", f"{DIGEST}print(found)"],
        env={**os.environ, "PYTHONHASHSEED": other_seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert there.strip() == here["found"]
    assert len(here["found"]) == 64


def test_digest_depends_on_every_part_of_a_call() -> None:
    t = sympy.Symbol("t")
    two = ({"t": 0.1}, {"t": 0.2})
    cases = [
        digest([ParameterizedCircuit(circuit(t), (0, 1), two)], [5, 5]),
        digest([ParameterizedCircuit(circuit(t), (1, 0), two)], [5, 5]),
        digest([ParameterizedCircuit(circuit(t), (0, 1), ({"t": 0.1}, {"t": 0.20000000000000004}))], [5, 5]),
        digest([ParameterizedCircuit(circuit(2 * t), (0, 1), two)], [5, 5]),
        digest([ParameterizedCircuit(circuit(t), (0, 1), two)], [5, 6]),
        digest([ParameterizedCircuit(circuit(t), (0, 1), two)], None),
        digest([ParameterizedCircuit(circuit(t), (0,), two[:1]), ParameterizedCircuit(circuit(t), (1,), two[1:])], [5, 5]),
    ]
    assert len(set(cases)) == len(cases)


def test_journal_of_a_thousand_jobs_opens_without_decoding_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_journal(tmp_path, 1000)
    monkeypatch.setattr(journal_module, "unpack_circuit", None)
    with Journal(tmp_path, ENGINE) as journal:
        assert journal.done == 999
