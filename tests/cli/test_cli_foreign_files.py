"""Commands on files that others wrote, damaged or meant to do harm: one clear line, and nothing is written elsewhere."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import compress

import numpy as np
import pytest
from command_line import TABLE, refusal, run
from damage import line_of

from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.compilation.placement import Placement
from hattriq_cirq.execution import virtual
from hattriq_cirq.execution.journal import JOURNAL, Journal
from hattriq_cirq.execution.journal_records import from_line, to_line
from hattriq_cirq.execution.journal_summary import read_summary

OLD = Path(__file__).parents[1] / "fixtures" / "version_0_1"
RED = "\x1b[31m"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of folders of version 0.1, which is the current directory."""
    for name in ("trained", "maps", "shots", "finished", "interrupted_mid_call", "calibration"):
        shutil.copytree(OLD / name, tmp_path / "home" / name)
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def edit_record(file: Path, **changes: Any) -> None:
    """Set fields of a record; the name of a field inside others is that of each, or its index in a list, joined by __."""
    record = json.loads(file.read_text(encoding="utf-8"))
    for place, value in changes.items():
        *parents, name = [int(part) if part.isdecimal() else part for part in place.split("__")]
        part = record
        for each in parents:
            part = part[each]
        part[name] = value
    file.write_text(json.dumps(record), encoding="utf-8")


def edit_journal(file: Path, kind: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the records of a kind; their checksums are right."""
    lines = []
    for line in file.read_bytes().splitlines(keepends=True):
        record = from_line(line)
        assert record is not None
        if record["kind"] == kind:
            change(record)
        lines.append(to_line(record))
    file.write_bytes(b"".join(lines))


# records of runs

RECORDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "inputs are a number": ("maps", {"inputs": 5}, "inputs is 5, must be an object"),
    "data are a list": ("maps", {"data": []}, "data is list, must be an object"),
    "no settings": ("maps", {"settings": None}, "settings is None, must be an object"),
    "versions are a number": ("maps", {"provenance": {"versions": 5}}, "provenance.created_utc is missing"),
    "number of versions": ("maps", {"provenance__versions": 5}, "provenance.versions is 5, must be an object"),
    "huge label": ("maps", {"inputs__labels": [10**300, 1]}, "inputs.labels[0] is 1000"),
    "label with a fraction": ("maps", {"inputs__labels": [0.5, 1]}, "inputs.labels[0] is 0.5, must be a whole number"),
    "label is a text": ("maps", {"inputs__labels": ["a", 1]}, "inputs.labels[0] is 'a', must be a whole number"),
    "labels too few": ("maps", {"inputs__labels": [1]}, "the lists in inputs have different lengths"),
    "infinite score": ("maps", {"inputs__f_input": [1e999, 0]}, "inputs.f_input[0] is inf, must be a finite number"),
    "image without columns": ("maps", {"data__image_shape": [4, 0]}, "data.image_shape[1] is 0, must be at least 1"),
    "three classes": ("maps", {"data__label_names": ["a", "b", "c"]}, "data.label_names is list, must be a list of 2"),
    "summary is an object": ("maps", {"data__summary": {}}, "data.summary is object, must be a text"),
    "estimator is a number": ("maps", {"settings__estimator": 5}, "settings.estimator is 5, must be a text"),
    "observables are a number": ("maps", {"assumptions__observables": 5}, "assumptions.observables is 5, must be a list"),
    "negative cost": ("maps", {"cost__shots": -5}, "cost.shots is -5, must be at least 0"),
    "unknown field": ("maps", {"colour": "red"}, "colour is a field that this version does not know"),
    "unknown command": ("maps", {"command": "erase"}, "its command is none of train, attribute"),
    "accuracies are texts": ("trained", {"accuracies": ["high"]}, "accuracies[0] is 'high', must be an object"),
    "epochs are a text": ("trained", {"training__epochs": "many"}, "training.epochs is 'many', must be a whole number"),
    "seconds are infinite": (
        "trained",
        {"training__seconds": float("inf")},
        "training.seconds is inf, must be a finite number",
    ),
}


@pytest.mark.parametrize(("name", "changes", "words"), RECORDS.values(), ids=RECORDS.keys())
def test_damaged_record_of_a_run_is_refused(
    home: Path, name: str, changes: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_record(home / name / "run.json", **changes)
    for line in (f"show {name}", f"show {name}/run.json", f"report {name} --out page.html"):
        error = refusal(line, capsys)
        assert f"{name}/run.json is not " in error
        assert words in error
    assert not (home / "page.html").exists()


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000, "9" * 5000, "", "null", "[]"]
)
def test_text_that_is_no_record_is_refused(home: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    for file in ("maps/run.json", "calibration/readout.json", "trained/model.json"):
        (home / file).write_text(text)
        assert file in refusal(f"show {file}", capsys)
    assert "maps/run.json" in refusal("report maps --out page.html", capsys)
    (home / "section").mkdir()
    (home / "section" / "section.json").write_text(text)
    assert "section.json" in refusal("report section --out page.html", capsys)


# sections and calibrations

SECTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "title is a number": ({"title": 5}, "title is 5, must be a text"),
    "findings are a text": ({"findings": "all good"}, "findings is 'all good', must be a list"),
    "finding is a number": ({"findings": [1]}, "findings[0] is 1, must be a text"),
    "tables of numbers": ({"tables": [1]}, "tables[0] is 1, must be an object"),
    "row too long": ({"tables": [{"caption": "", "columns": ["a"], "rows": [["1", "2"]]}]}, "must have 1 cells"),
    "picture elsewhere": ({"pictures": [{"name": "../../x", "caption": "", "alt": ""}]}, "must consist of letters"),
    "settings are a list": ({"settings": []}, "settings is list, must be an object"),
    "setting is an object": ({"settings": {"a": {}}}, "settings.a is object, must be a text"),
    "other format": ({"format": "hattriq_cirq.Section/9"}, "format is 'hattriq_cirq.Section/9'"),
    "unknown field": ({"colour": 1}, "colour is a field that this version does not know"),
}


@pytest.mark.parametrize(("changes", "words"), SECTIONS.values(), ids=SECTIONS.keys())
def test_damaged_section_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (report,) = (OLD / "study" / "signs").glob("report-*")
    shutil.copytree(report, tmp_path / "report")
    edit_record(tmp_path / "report" / "section.json", **changes)
    error = refusal(f"report {tmp_path}/report --out {tmp_path}/page.html", capsys)
    assert words in error
    assert "section.json" in error


CALIBRATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "count of 70 bits": ({"counts__0__0__0": 2**70}, f"counts[0][0][0] is {2**70}, must be at most"),
    "negative count": ({"counts__0__0__0": -1}, "counts[0][0][0] is -1, must be at least 0"),
    "count is true": ({"counts__0__0__0": True}, "counts[0][0][0] is True, must be a whole number"),
    "counts of one state": ({"counts__0": [[1, 2]]}, "counts[0] is list, must be a list of 2"),
    "rate that is no number": ({"counts": None, "known": [["a", 0]] * 3}, "known[0][0] is 'a', must be a finite number"),
    "rate of 2": ({"counts": None, "known": [[2, 0]] * 3}, "each in 0 .. 1"),
    "no qubits": ({"qubits": []}, "must be different qubits"),
    "unknown qubits": ({"qubits": [{"cirq_type": "NoSuchType"}] * 3}, "Cirq cannot read it"),
    "qubits are numbers": ({"qubits": [1, 2, 3]}, "damaged"),
    "source is a list": ({"source": []}, "source is list, must be an object"),
    "time is no time": ({"provenance__created_utc": "soon"}, "is not a time"),
    "time is a number": ({"provenance__created_utc": 5}, "provenance.created_utc is 5, must be a text"),
    "other content": ({"pattern": "full"}, "its content has"),
}


@pytest.mark.parametrize(("changes", "words"), CALIBRATIONS.values(), ids=CALIBRATIONS.keys())
def test_damaged_calibration_is_refused(
    home: Path, changes: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = home / "calibration" / "readout.json"
    edit_record(file, **changes)
    assert words in refusal(f"show {file}", capsys)


# journals


def packed(values: Any, dtype: str = "<u8") -> list[str]:
    return [dtype, b64encode(compress(np.asarray(values, dtype=dtype).tobytes())).decode()]


def set_counts(**columns: Any) -> Callable[[dict[str, Any]], None]:
    return lambda record: record["counts"].update(columns)


COUNTS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "2**40 outcomes": (set_counts(lengths=packed([2**40])), "1099511627776 outcomes of a circuit must be"),
    "3 outcomes": (set_counts(lengths=packed([3])), "3 outcomes of a circuit must be a power of 2"),
    "outcome beyond the circuit": (set_counts(outcomes=packed([2**40] * 4)), "cannot be unpacked"),
    "number of 64 bits": (set_counts(counts=packed([2**64 - 1] * 4)), "must be below 2**63"),
    "seen too often": (set_counts(seen=packed([2**50])), "cannot be unpacked"),
    "bad base64": (set_counts(seen=["|u1", "=====!"]), "cannot be unpacked"),
    "no compressed bytes": (set_counts(seen=["|u1", b64encode(b"abc").decode()]), "compressed bytes are damaged"),
    "compressed zeros": (set_counts(counts=["|u1", b64encode(compress(bytes(2**27))).decode()]), "expand to more than"),
    "odd number of bytes": (set_counts(counts=["<u8", b64encode(compress(b"abc")).decode()]), "cannot be unpacked"),
}


@pytest.mark.parametrize(("change", "words"), COUNTS.values(), ids=COUNTS.keys())
def test_damaged_counts_of_a_journal_are_refused(
    home: Path, change: Callable[[dict[str, Any]], None], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = home / "interrupted_mid_call"
    edit_journal(folder / JOURNAL, "counts", change)
    with Journal(folder, read_summary(folder).engine) as journal:
        (job_id, *_) = (name for name in journal.calls[1].jobs if name not in journal.unfinished())
        with pytest.raises(JournalError, match=re.escape(words)):
            journal.stored(job_id)
    if words.startswith("expand"):
        assert run("runs") == 0
        assert words in refusal("resume interrupted_mid_call", capsys)


RECORDS_OF_JOURNALS: dict[str, tuple[str, Callable[[dict[str, Any]], None], str]] = {
    "type of counts": ("counts", set_counts(seen=["|O", ""]), "counts.seen[0] is '|O', must be '|u1' or"),
    "counts are a list": ("counts", lambda r: r.update(counts=[]), "counts is list, must be an object"),
    "task is a list": ("task", lambda r: r.update(task=[]), "task is list, must be an object"),
    "jobs are a number": ("begin", lambda r: r.update(jobs=5), "jobs is 5, must be a list"),
    "job without shots": ("begin", lambda r: r["jobs"][0].pop("shots"), "jobs[0].shots is missing"),
    "huge number of shots": ("begin", lambda r: r["jobs"][0].update(shots=2**70), "jobs[0].shots is"),
    "shots are true": ("begin", lambda r: r["jobs"][0].update(shots=True), "jobs[0].shots is True"),
    "unknown circuit": ("begin", lambda r: r["jobs"][0].update(circuits=["none"]), "circuit 'none' is not recorded"),
    "point is a text": ("begin", lambda r: r["jobs"][0].update(points=[{"a": "b"}]), "jobs[0].points[0].a is 'b'"),
    "unknown job": ("note", lambda r: r.update(job="none"), "job 'none' is not recorded"),
    "no time": ("note", lambda r: r.pop("utc"), "utc is missing"),
    "process is a text": ("opened", lambda r: r.update(pid="x"), "pid is 'x', must be a whole number"),
    "engine is a list": ("header", lambda r: r.update(engine=[]), "engine is list, must be an object"),
    "unknown kind": ("note", lambda r: r.update(kind="x"), "a record of kind 'x'"),
    "later format": ("header", lambda r: r.update(format="hattriq_cirq.Journal/9"), "its format is"),
}


@pytest.mark.parametrize(("kind", "change", "words"), RECORDS_OF_JOURNALS.values(), ids=RECORDS_OF_JOURNALS.keys())
def test_damaged_journal_is_refused_and_listed_beside_others(
    home: Path, kind: str, change: Callable[[dict[str, Any]], None], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_journal(home / "interrupted_mid_call" / JOURNAL, kind, change)
    for line in ("resume interrupted_mid_call", "cancel interrupted_mid_call"):
        error = refusal(line, capsys)
        assert words in error
        assert f"{JOURNAL}, line " in error
    with pytest.raises(JournalError):
        Journal(home / "interrupted_mid_call", {})
    assert run("runs") == 0
    output = capsys.readouterr().out
    assert "unreadable: " in output
    assert all(f"\n{name} " in output for name in ("finished", "shots"))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"kind":' * 100_000, "9" * 5000, "[]", "null", '{"kind":[]}', '"\\ud800"'])
def test_journal_of_nested_text_is_listed_beside_others(home: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = home / "interrupted_mid_call" / JOURNAL
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0] + line_of(text.encode()))
    assert f"{JOURNAL}, line 2 cannot be read" in refusal("resume interrupted_mid_call", capsys)
    assert run("runs") == 0
    assert "\nfinished " in capsys.readouterr().out


SETTINGS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "unknown setting": (lambda r: r["task"]["settings"].update(colour=1), "task.settings.colour is a field that"),
    "setting that names the folder": (lambda r: r["task"]["settings"].update(out="x"), "task.settings.out is a field that"),
    "shots are a text": (lambda r: r["task"]["settings"].update(shots="many"), "task.settings.shots is 'many'"),
    "precision": (lambda r: r["task"]["settings"].update(precision="half"), "task.settings.precision is 'half'"),
    "engine is a number": (lambda r: r["task"]["settings"].update(engine=5), "task.settings.engine is 5"),
    "settings are a list": (lambda r: r["task"].update(settings=[]), "task.settings is list"),
    "no model": (lambda r: r["task"].pop("model"), "task.model is missing"),
    "model is a text": (lambda r: r["task"].update(model="x"), "task.model is 'x'"),
    "directory is a number": (lambda r: r["task"].update(directory=5), "task.directory is 5"),
    "unknown command": (lambda r: r["task"].update(command="erase"), "task.command is 'erase', must be 'attribute'"),
    "command is a list": (lambda r: r["task"].update(command=[]), "task.command is list"),
    "empty task": (lambda r: r["task"].clear(), "task.command is missing"),
}


@pytest.mark.parametrize(("change", "words"), SETTINGS.values(), ids=SETTINGS.keys())
def test_damaged_task_of_a_journal_is_refused(
    home: Path, change: Callable[[dict[str, Any]], None], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_journal(home / "interrupted_mid_call" / JOURNAL, "task", change)
    assert run("runs") == 0
    for command in ("resume", "cancel"):
        assert words in refusal(f"{command} interrupted_mid_call", capsys)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["placement"].update(qubits=5), "placement.qubits is 5, must be a text"),
        (lambda r: r["placement"].update(error="x"), "placement.error is 'x', must be a finite number"),
        (lambda r: r["placement"].pop("error"), "placement.error is missing"),
        (lambda r: r.update(placement=[]), "placement is list, must be an object"),
    ],
)
def test_damaged_placement_of_a_journal_is_refused(
    home: Path, change: Callable[[dict[str, Any]], None], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(OLD.parent / "journal_2" / "interrupted", home / "placed")
    edit_journal(home / "placed" / JOURNAL, "placement", change)
    assert run("runs") == 0
    assert words in refusal("resume placed", capsys)


@pytest.mark.parametrize(
    "qubits",
    [
        "[]",
        "[" * 1000,
        "[[1, 2]]",
        "[1]",
        "{}",
        '[[{"cirq_type":"LineQubit","x":0},{"cirq_type":"LineQubit","x":0}]]',
        "nonsense",
    ],
)
def test_recorded_placement_on_no_qubits_of_the_processor_is_refused(qubits: str) -> None:
    processor = virtual("willow_pink").processor
    assert processor is not None
    with pytest.raises(JournalError, match="the recorded placement cannot be used"):
        Placement.from_record(processor, {"qubits": qubits, "uses_edges": True, "error": 0.1})


# writing elsewhere


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("out", ["ELSEWHERE/stolen.json", "../../stolen.json", "stolen.json", "x/..", "", "/"])
def test_resume_of_a_calibration_from_elsewhere_writes_inside_its_folder(
    home: Path, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    engine = {"name": "virtual:willow_pink", "seed": 1, "kind": "virtual"}
    settings = {"model": None, "data": None, "engine": "virtual:willow_pink", "qubits": "4_10", "shots": 20, "seed": 1}
    run("calibrate --engine virtual:willow_pink --qubits 4_10 --shots 20 --seed 1 --out reference.json")
    folder = home / "stolen.run"
    from hattriq_cirq.workflows.values import parse_engine

    engine = parse_engine("virtual:willow_pink", 1).describe()
    task = {"command": "calibrate", "settings": settings, "out": out.replace("ELSEWHERE", str(elsewhere))}
    Journal(folder, engine, task | {"directory": str(elsewhere)}).close()
    before = tree(home)
    run(f"resume {folder}")
    changed = {name for name, content in tree(home).items() if before.get(name) != content}
    assert {Path(name).parts[0] for name in changed} <= {"stolen.run"}
    if out.endswith(".json"):
        assert (folder / "stolen.json").is_file()


def test_resume_of_a_run_from_elsewhere_writes_inside_its_folder(home: Path) -> None:
    (home / "elsewhere").mkdir()
    edit_journal(home / "interrupted_mid_call" / JOURNAL, "task", lambda r: r["task"].update(out=str(home / "elsewhere")))
    before = tree(home)
    run("resume interrupted_mid_call")
    changed = {name for name, content in tree(home).items() if before.get(name) != content}
    assert {Path(name).parts[0] for name in changed} <= {"interrupted_mid_call"}


# escape sequences


def test_escape_sequences_of_files_are_shown_escaped(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = home / f"{RED}tab\x9ble.csv"
    table.write_text(TABLE)
    (home / f"{RED}maps").mkdir()
    for file in (home / "maps").iterdir():
        shutil.copy(file, home / f"{RED}maps" / file.name)
    edit_record(
        home / f"{RED}maps" / "run.json",
        data__summary=f"{RED}summary\r",
        data__label_names=[f"{RED}minus", "plus\x07"],
        data__name=f"{RED}name",
        settings__engine=f"{RED}engine",
        provenance__created_utc=f"{RED}time",
        provenance__versions={f"{RED}package": "1\x1b"},
    )
    edit_record(home / "trained" / "run.json", accuracies=[{"classifier": f"{RED}x", "train": 1, "test": None, "note": "\x1b"}])
    shutil.copytree(home / "shots", home / f"{RED}shots")
    edit_journal(home / f"{RED}shots" / JOURNAL, "task", lambda r: r["task"]["settings"].update(engine=f"{RED}engine"))
    edit_journal(home / f"{RED}shots" / JOURNAL, "task", lambda r: r["task"].update(command=f"{RED}command"))
    (home / f"{RED}broken").mkdir()
    (home / f"{RED}broken" / JOURNAL).write_text("broken")
    capsys.readouterr()
    for words in (
        ["show", f"{RED}maps", "--png", f"{RED}map.png"],
        ["show", "trained"],
        ["show", "."],
        ["show", f"{RED}none"],
        ["runs"],
        ["runs", f"{RED}none"],
        ["resume", f"{RED}shots"],
        ["cancel", f"{RED}shots"],
        ["resume", f"{RED}none"],
        ["report", f"{RED}maps", "trained", "--out", f"{RED}page.html", "--title", f"{RED}title"],
        ["report", f"{RED}none", "--out", "other.html"],
        ["train", str(table), "--epochs", "1", "--out", f"{RED}new"],
        ["train", f"{RED}none.csv", "--out", "other"],
        ["attribute", f"{RED}new", "--data", str(table), "--out", f"{RED}attributed", "--inputs", "test:0:1"],
        ["attribute", f"{RED}new", "--data", str(table), "--out", f"{RED}counted", "--estimator", "resolved", "--shots", "10"],
        ["attribute", f"{RED}none", "--data", "bars_and_stripes", "--out", "other"],
        ["cost", "--model", f"{RED}none"],
        ["calibrate", "--engine", f"{RED}none", "--out", "other.json"],
        [f"{RED}command"],
    ):
        from hattriq_cirq.cli import main

        main(words)
        output = capsys.readouterr()
        shown = (output.out + output.err).replace("\n", "").replace("\t", "")
        assert shown.isprintable(), words
        assert shown
    page = (home / f"{RED}page.html").read_text()
    assert "\x1b" not in page
    assert r"\x1b[31mname" in page


def test_escape_sequences_in_columns_are_refused_or_escaped(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "own.csv").write_text(TABLE.replace("a,b", f"{RED}a,b"))
    assert r"line 1, column 1: '\x1b[31ma' holds a character" in refusal("train own.csv --out new", capsys)
    (home / "own.csv").write_text(TABLE.replace("a,b,c,d,label", f"a,b,c,d,{RED}label"))
    assert r"line 1, column 5: '\x1b[31mlabel'" in refusal("train own.csv --out new", capsys)
    (home / "own.csv").write_text(TABLE + f"1,2,{RED}3,4,1\n")
    assert r"line 22, column 'c': '\x1b[31m3' is not a finite number" in refusal("train own.csv --out new", capsys)
    (home / "own.csv").write_text(TABLE + f"1,2,3,4,{RED}1\n")
    assert r"line 22, column 'label': '\x1b[31m1'" in refusal("train own.csv --out new", capsys)


# tables

CELLS = {
    "1_000": "'1_000'",
    "1\0": r"'1\x00'",
    "\N{ARABIC-INDIC DIGIT ONE}": "is not a finite number",
    "\N{FULLWIDTH DIGIT ONE}": "is not a finite number",
    "1\N{NO-BREAK SPACE}": "is not a finite number",
    "infinity": "'infinity'",
    "nan": "'nan'",
    "0x10": "'0x10'",
    "1e999": "'1e999'",
    "1e1_0": "'1e1_0'",
    "1,5": "cells, the header names",
    "+-1": "'+-1'",
    "1 000": "'1 000'",
    "": "''",
    "True": "'True'",
    "\N{MINUS SIGN}1": "is not a finite number",
    "1\v": r"'1\x0b'",
}


@pytest.mark.parametrize(("cell", "words"), CELLS.items())
def test_cell_that_is_no_plain_number_is_refused_with_its_place(
    tmp_path: Path, cell: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.csv").write_text(TABLE + f"1,2,{cell},4,1\n", encoding="utf-8")
    error = refusal(f"train {tmp_path}/own.csv --out {tmp_path}/new", capsys)
    assert "own.csv, line 22" in error
    assert words in error
    if "cells" not in words:
        assert "column 'c'" in error
        (tmp_path / "own.csv").write_text(TABLE + f"1,2,3,4,{cell}\n", encoding="utf-8")
        error = refusal(f"train {tmp_path}/own.csv --out {tmp_path}/new", capsys)
        assert "own.csv" in error


@pytest.mark.parametrize("cell", ["1", "-1.5", "+.5", "5.", "1e5", "1E-5", " 2 ", "\t3", "007", "0.1e+2", '"4"'])
def test_cell_that_a_person_writes_is_read(tmp_path: Path, cell: str) -> None:
    (tmp_path / "own.csv").write_text(TABLE + f"1,2,{cell},4,1\n")
    from hattriq_cirq.datasets import read_table

    assert read_table(tmp_path / "own.csv").n_features == 4


# commands with nothing to do


@pytest.mark.parametrize(
    "line",
    [
        "resume finished",
        "cancel finished",
        "resume none",
        "cancel none",
        "resume maps",
        "runs",
        "show none",
        "show maps",
        "--help",
    ],
)
def test_command_with_nothing_to_do_answers_without_cirq(home: Path, line: str) -> None:
    code = f"""
import sys
from hattriq_cirq.cli import main
try:
    main({line.split()!r})
finally:
    print([name for name in ("cirq", "scipy", "matplotlib") if name in sys.modules], file=sys.stderr)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert result.stderr.splitlines()[-1] == "[]"


def test_compressed_images_that_expand_for_ever_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12 + bytes(2**22), 1))
    for name, dimensions in (("train-labels-idx1-ubyte", 1), ("t10k-images-idx3-ubyte", 3), ("t10k-labels-idx1-ubyte", 1)):
        (tmp_path / name).write_bytes(b"\0\0\x08" + bytes([dimensions]) + bytes(4 * dimensions))
    assert "more than the limit" in refusal(f"train mnist_idx:path={tmp_path} --out {tmp_path}/new", capsys)


LATER: dict[str, tuple[str, dict[str, Any]]] = {
    "field of a run": ("maps/run.json", {"colour": "red"}),
    "field inside a run": ("trained/run.json", {"training__colour": "red"}),
    "format of a run": ("maps/run.json", {"format": "hattriq_cirq.Run/2", "colour": "red"}),
    "field of a model": ("trained/model.json", {"colour": "red"}),
    "format of a model": ("trained/model.json", {"format": "hattriq_cirq.Model/7"}),
    "format of a calibration": ("calibration/readout.json", {"format": "hattriq_cirq.ReadoutCalibration/3", "colour": 1}),
}


@pytest.mark.parametrize(("file", "changes"), LATER.values(), ids=LATER.keys())
def test_file_of_a_later_version_is_refused_with_the_advice_to_update(
    home: Path, file: str, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    edit_record(home / file, **changes)
    error = refusal(f"show {file}", capsys)
    assert file in error
    assert changes.get("format", "colour") in error
    assert "may have written the file: update hattriq_cirq to read it" in error


def test_attribution_of_a_later_version_or_without_an_array_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = dict(np.load("maps/attribution.npz"))
    np.savez("later.npz", **arrays, medians=np.ones(3))
    assert "array medians is one that this version does not know; a later version" in refusal("show later.npz", capsys)
    del arrays["x"]
    np.savez("short.npz", **arrays)
    assert "arrays x are missing, found " in refusal("show short.npz", capsys)


def test_record_of_a_training_with_a_long_seed_is_read(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_record(home / "trained" / "run.json", settings__seed=10**30)
    assert run("show trained") == 0
    assert f"seed={10**30}" in capsys.readouterr().out
