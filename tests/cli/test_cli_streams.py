"""Commands whose output cannot be shown or has no reader: the work stands."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import TABLE, run

from hattriq_cirq.cli import main
from hattriq_cirq.reporting.document import Section

pytestmark = pytest.mark.usefixtures("small_pictures")

ROOT = Path(__file__).parents[2]
NAMES = [
    "münchen.csv",
    os.fsdecode(b"bad\xff.csv"),
    "line\nbreak.CSV",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            "漢字 😀.csv",
            os.fsdecode(b"\xe9.CSV"),
            "a\x1b[1m.csv",
            "Data.Csv",
            "-a.csv",
            "a b,c;d'e\".csv",
            "\u202e.csv",
        )
    ),
]


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def written(stream: io.TextIOWrapper) -> str:
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode(stream.encoding)


@pytest.mark.parametrize("name", NAMES)
def test_table_of_any_name_is_trained_attributed_and_reported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = stream("ascii"), stream("ascii")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(TABLE, encoding="utf-8")
    assert main(["train", f"./{name}", "--epochs", "2", "--out", "run"]) == 0
    if name == os.fsdecode(b"bad\xff.csv"):
        assert main(["attribute", "run", "--data", f"./{name}", "--out", "maps"]) == 0
        assert main(["show", "maps"]) == 0
    assert main(["report", "run", "--out", "page.html"]) == 0
    assert main(["show", "run"]) == 0
    assert main(["train", f"./{name}", "--epochs", "2", "--out", "run"]) == 2
    assert written(err).count("\n") == 1
    assert "\x1b" not in written(out)
    page = Path("page.html").read_text(encoding="utf-8")
    if name == "münchen.csv":
        assert r"m\xfcnchen" in written(out)
        assert "münchen" in page
    if name.startswith("bad"):
        assert r"bad\udcff" in written(out)
        assert r"bad\udcff" in page


def test_section_with_an_odd_byte_is_saved_without_loss(tmp_path: Path) -> None:
    section = Section("Title", os.fsdecode(b"bad\xff.csv"))
    assert Section.load(section.save(tmp_path / "a")) == section
    assert section.digest


@pytest.mark.parametrize("missing", [("stdout",), ("stderr",), ("stdout", "stderr")])
def test_command_without_streams_does_its_work(
    missing: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in missing:
        monkeypatch.setattr(sys, name, None)
    assert run(f"train bars_and_stripes --epochs 2 --out {tmp_path}/run") == 0
    assert run(f"train bars_and_stripes --epochs 2 --out {tmp_path}/run") == 2
    assert len(list((tmp_path / "run").iterdir())) == 4


PROGRAM = {"hattriq": "from hattriq_cirq.cli import main; raise SystemExit(main())", "experiments": "experiments"}


def in_shell(program: str, words: str, redirection: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a shell; the return code is that of the program, not of a reader of its output."""
    start = f"-c {shlex.quote(PROGRAM[program])}" if program == "hattriq" else "-m experiments"
    return subprocess.run(
        ["bash", "-c", f"{shlex.quote(sys.executable)} {start} {words} {redirection}; exit ${{PIPESTATUS[0]}}"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("program", "words"), [("hattriq", "--help"), ("hattriq", "--version"), ("experiments", ""), ("experiments", "nothing")]
)
@pytest.mark.parametrize("redirection", ["| true", ">&-"])
def test_help_without_a_reader(program: str, words: str, redirection: str, tmp_path: Path) -> None:
    done = in_shell(program, words, redirection, tmp_path)
    assert done.returncode == (2 if words == "nothing" else 0)
    assert done.stderr.count("\n") == (1 if words == "nothing" else 0)


@pytest.mark.slow
@pytest.mark.parametrize("redirection", ["| head -1", "| true", ">&-", "2>&-", ">&- 2>&- <&-", "> /dev/null 2> /dev/full"])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_every_command_does_its_work_whatever_happens_to_the_streams(redirection: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "münchen.csv").write_text(TABLE)
    data = "--data münchen.csv --inputs test:0:1"
    for words in (
        "train münchen.csv --epochs 2 --out run",
        f"attribute run {data} --out maps",
        f"attribute run {data} --estimator resolved --engine cirq --shots 100 --out counted",
        f"attribute run {data} --estimator resolved --engine virtual:willow_pink --shots 100 --out placed",
        "calibrate --engine virtual:willow_pink --qubits 4_10,5_10 --shots 40 --out readout.json",
        "cost run --data münchen.csv --estimators resolved --out cost",
        "demo --quick --out demo",
        "show run",
        "runs",
        "report run maps counted --out page.html",
    ):
        done = in_shell("hattriq", words, redirection, tmp_path, PYTHONIOENCODING=encoding)
        assert (done.returncode, words) == (0, words)
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
    done = in_shell("experiments", "signs --quick --workers 2 --out studies", redirection, tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    present = {file.name for file in tmp_path.iterdir()}
    assert present == {
        *("münchen.csv", "run", "maps", "counted", "placed", "readout.json", "cost", "demo", "page.html", "studies")
    }
