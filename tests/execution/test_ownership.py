"""Engines, backends and journals have one owner: copies, pickles and other processes are refused."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
from journals import ENGINE, distributions_of, make_jobs, read_records
from stand_in import StandIn

import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import JournalError, OwnerError
from hattriq_cirq.execution.backends.google import GoogleBackend
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.execution.journal import JOURNAL, Journal

Q = cirq.q(0)
COIN = cirq.Circuit(cirq.H(Q), cirq.measure(Q, key="m"))


def toss(engine: Engine) -> list[int]:
    return [int(n) for n in engine.run([COIN], [100])[0].counts]


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy inside a list": lambda value: copy.deepcopy([value]),
    **{f"pickle {protocol}": partial(pickle.dumps, protocol=protocol) for protocol in range(6)},
    "pickle inside a dictionary": lambda value: pickle.dumps({"a": value}),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copy_or_pickle_is_refused_with_the_cure(copied: Callable[[Any], Any], tmp_path: Path) -> None:
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)
    with StandIn() as service:
        google = GoogleBackend(service.engine(), "willow_pink")
        for value in (engine, engine.journal, engine.backend, hq.qsim(), hq.sampler(cirq.ZerosSampler()), google):
            with pytest.raises(TypeError, match=r"cannot be copied or pickled: .*make the engine in the worker") as caught:
                copied(value)
            assert caught.type is OwnerError


def test_prepared_attribution_is_refused_as_its_engine() -> None:
    model = hq.Model(cirq.Circuit(cirq.ry(0.3)(Q)), [Q], 1.0 * cirq.Z(Q))
    settings = {"baseline": 0, "estimator": hq.ResolvedHadamardTest(), "engine": hq.qsim(seed=1), "shots": 100}
    prepared = hq.prepare(model, [0.6, 0.8], **settings)  # type: ignore[arg-type]
    with pytest.raises(OwnerError):
        copy.deepcopy(prepared)
    assert replace(prepared, shots=50).engine is prepared.engine


def test_refused_copy_leaves_foreign_files_alone(tmp_path: Path) -> None:
    engine = hq.cirq_simulator(seed=1, journal=tmp_path / "run")
    toss(engine)
    with pytest.raises(OwnerError):
        copy.deepcopy(engine)
    gc.collect()
    foreign = tmp_path / "data.bin"
    foreign.write_bytes(b"mine")
    size = (tmp_path / "run" / JOURNAL).stat().st_size
    with foreign.open("r+b"):
        toss(engine)
    assert foreign.read_bytes() == b"mine"
    assert (tmp_path / "run" / JOURNAL).stat().st_size > size


@pytest.mark.parametrize("close", [Journal.close, lambda journal: journal.__exit__(), lambda journal: journal._closing()])
def test_journal_closed_twice_does_not_close_another_file(close: Callable[[Journal], None], tmp_path: Path) -> None:
    journal = Journal(tmp_path, ENGINE)
    journal.close()
    with (tmp_path / "other").open("wb") as other:  # takes the descriptor that has become free
        close(journal)
        with pytest.raises(JournalError, match="is closed"):
            journal.finish()
        del journal
        gc.collect()
        other.write(b"mine")
    assert (tmp_path / "other").read_bytes() == b"mine"


def in_child(action: Callable[[], object]) -> str:
    """Return the error of an action in a forked process."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            text = repr(action())
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return text


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork with threads of other tests
def test_forked_process_is_refused_while_the_parent_goes_on(tmp_path: Path) -> None:
    undisturbed = hq.cirq_simulator(seed=1)
    expected = [toss(undisturbed) for _ in range(3)]
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)
    journal = engine.journal
    assert journal is not None
    found = [toss(engine)]
    actions: list[Callable[[], object]] = [lambda: toss(engine), journal.finish, lambda: engine.run([COIN], None)]
    for action in actions:
        text = in_child(action)
        assert text.startswith("OwnerError: this ")
        assert f"belongs to process {os.getpid()}" in text
        assert "make the engine in the worker" in text
    found += [toss(engine), toss(engine)]
    assert found == expected
    assert in_child(lambda: toss(hq.cirq_simulator(seed=1))) == repr(expected[0])  # an engine of its own


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_process_does_not_hold_the_lock_of_the_journal(tmp_path: Path) -> None:
    engine = hq.cirq_simulator(seed=1, journal=tmp_path)
    toss(engine)
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    try:
        assert engine.journal is not None
        engine.journal.close()  # as if the parent had ended
        toss(hq.cirq_simulator(seed=1, journal=tmp_path))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_engine_sent_to_a_worker_is_refused() -> None:
    engine = hq.cirq_simulator(seed=1)
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        with pytest.raises(TypeError, match="make the engine in the worker"):
            pool.submit(toss, engine).result()
        assert pool.submit(sum, [1, 2]).result() == 3


def test_records_of_several_threads_do_not_mix(tmp_path: Path) -> None:
    with Journal(tmp_path, ENGINE) as journal:
        jobs = make_jobs(journal, 40)
        journal.begin(1, "key", jobs)

        def store(own: list[Any]) -> None:
            for job in own:
                journal.note(job.id, "submitting")
                journal.store(job.id, distributions_of(1, 7, 0, 0))

        threads = [threading.Thread(target=store, args=(jobs[i::4],)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert journal.done == 40
    kinds = [record["kind"] for record in read_records(tmp_path)]
    assert (kinds.count("note"), kinds.count("counts")) == (40, 40)
    with Journal(tmp_path, ENGINE) as journal:
        assert journal.done == 40


@pytest.mark.parametrize("step", ["fsync", "apply"])
def test_interrupt_between_a_record_and_its_effect_loses_nothing(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hattriq_cirq.execution.journal_records import Contents

    fsync, apply = os.fsync, Contents.apply

    def interrupted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        raise KeyboardInterrupt

    def interrupted_apply(contents: Contents, record: dict[str, Any]) -> None:
        if record["kind"] == "begin":
            contents.calls.clear()  # half done
        raise KeyboardInterrupt

    with Journal(tmp_path, ENGINE) as journal:
        (job,) = make_jobs(journal, 1)
        with monkeypatch.context() as patch:
            if step == "fsync":
                patch.setattr(os, "fsync", interrupted_fsync)
            else:
                patch.setattr(Contents, "apply", interrupted_apply)
            with pytest.raises(KeyboardInterrupt):
                journal.begin(1, "key", [job])
        assert Contents.apply is apply
        on_disk = [record["kind"] for record in read_records(tmp_path)].count("begin")
        assert len(journal.calls) == on_disk == (step == "apply")
        journal.begin(1, "key", [job])
        journal.store(job.id, distributions_of(1, 7, 0, 0))
    with Journal(tmp_path, ENGINE) as journal:
        assert journal.done == 1
        (stored,) = journal.stored(job.id) or []
        np.testing.assert_array_equal(stored.counts, [1, 7, 0, 0])
