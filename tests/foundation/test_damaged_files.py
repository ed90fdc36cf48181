"""Files of every kind, damaged in many ways: each is read, or refused by one clear error, in bounded time and memory."""

from __future__ import annotations

import gzip
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import damage
import numpy as np
import pytest
from command_line import TABLE, run

from calibration.readout.calibration import CalibrationError, ReadoutCalibration
from experiments.runner import study
from hattriq_cirq import datasets
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.execution.journal_format import unpack_circuit, unpack_counts, unpack_programs
from hattriq_cirq.execution.journal_records import JOURNAL, read, read_content
from hattriq_cirq.execution.journal_summary import read_summary
from hattriq_cirq.foundation.reading import FileError
from hattriq_cirq.models.model import Model
from hattriq_cirq.reporting.document import Section
from hattriq_cirq.reporting.records import read_record

FIXTURES = Path(__file__).parents[1] / "fixtures"
OLD = FIXTURES / "version_0_1"
SECONDS, MEGABYTES = 5.0, 300  # allowed for one file, and for all of them


def read_journal(file: Path) -> Any:
    """Read a journal and unpack everything that it holds."""
    read_summary(file.parent)
    contents, _ = read(read_content(file), str(file))
    for name, text in contents.circuits.items():
        unpack_circuit(text, name)
    for (kind, _key), value in contents.prepared.items():
        if kind == "programs":
            unpack_programs(value, contents.circuits)
    return {job: unpack_counts(entry.counts) for job, entry in contents.jobs.items() if entry.counts is not None}


def change_text(content: bytes, rng: np.random.Generator, change: Callable[[str, np.random.Generator], str]) -> bytes:
    return change(content.decode(), rng).encode("utf-8", "surrogatepass")


change_json = partial(change_text, change=damage.change_json)


@dataclass(frozen=True)
class Kind:
    """Kind of file: an intact example, its reader and error, and the changes below its checksums.

    Args:
        file: File in the folder of examples.
        read: Function that reads it.
        error: Only error that a damaged file may raise.
        change: Change by the structure of the file.
        command: Command that reads the file, without its path; empty if there is none.
        folder: True if the command takes the folder of the file.
    """

    file: str
    read: Callable[[Path], Any]
    error: type[Exception]
    change: Callable[[bytes, np.random.Generator], bytes]
    command: str = ""
    folder: bool = False


def read_idx(file: Path) -> Any:
    return datasets.mnist_idx(file.parent, (3, 5), size=8)


KINDS = {
    "record of a training": Kind("trained/run.json", read_record, FileError, change_json, "show"),
    "record of a run": Kind("shots/run.json", read_record, FileError, change_json, "report --out NEW", folder=True),
    "section": Kind(
        "report/section.json", lambda file: Section.load(file.parent), FileError, change_json, "report --out NEW", True
    ),
    "model": Kind("trained/model.json", Model.load, FileError, change_json, "show"),
    "calibration": Kind("calibration/readout.json", ReadoutCalibration.load, CalibrationError, change_json, "show"),
    "result of a study": Kind("result.json", study.read_record, FileError, change_json),
    "attribution": Kind("maps/attribution.npz", Attribution.load, FileError, damage.change_archive, "show"),
    "journal": Kind("finished/" + JOURNAL, read_journal, JournalError, damage.change_journal, "runs", True),
    "journal with programs": Kind("interrupted/" + JOURNAL, read_journal, JournalError, damage.change_journal, "resume", True),
    "arrays of data": Kind("own.npz", datasets.read_table, ValueError, damage.change_archive),
    "table of data": Kind("own.csv", datasets.read_table, ValueError, partial(change_text, change=damage.change_table)),
    "compressed images": Kind("idx/train-images-idx3-ubyte.gz", read_idx, ValueError, damage.change_gzip),
    "images": Kind("idx/t10k-images-idx3-ubyte", read_idx, ValueError, damage.change_bytes),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an intact file of every kind."""
    home = tmp_path_factory.mktemp("home")
    for name in ("trained", "shots", "maps", "finished", "calibration"):
        shutil.copytree(OLD / name, home / name)
    shutil.copytree(FIXTURES / "journal_2" / "interrupted", home / "interrupted")
    (report,) = (OLD / "study" / "signs").glob("report-*")
    (result,) = (OLD / "study" / "signs" / "tasks").glob("*.json")
    shutil.copytree(report, home / "report")
    shutil.copy(result, home / "result.json")
    (home / "own.csv").write_text(TABLE)
    rng = np.random.default_rng(0)
    np.savez_compressed(home / "own.npz", x=rng.normal(size=(20, 4)), y=np.arange(20) % 2 * 2 - 1)
    (home / "idx").mkdir()
    for part, count in (("train", 12), ("t10k", 8)):
        images, labels = rng.integers(1, 255, (count, 28, 28), dtype=np.uint8), np.arange(count) % 2 * 2 + 3
        header = b"\0\0\x08\x03" + np.array([count, 28, 28], ">u4").tobytes()
        (home / "idx" / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = b"\0\0\x08\x01" + np.array([count], ">u4").tobytes()
        (home / "idx" / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.astype(np.uint8).tobytes())
    packed = home / "idx" / "train-images-idx3-ubyte"
    packed.with_name(packed.name + ".gz").write_bytes(gzip.compress(packed.read_bytes(), 1))
    packed.unlink()
    return home


def try_damaged_files(kind: Kind, home: Path, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Damage a file in many ways; read each with its reader, and some with a command."""
    file = home / kind.file
    intact = file.read_bytes()
    kind.read(file)
    rng = np.random.default_rng(sum(kind.file.encode()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        for i in range(count):
            file.write_bytes(kind.change(intact, rng) if i % 3 else damage.change_bytes(intact, rng))
            start = time.process_time()
            is_read = is_read_or_refused(kind, file)
            if kind.command and not i % 5 and not (is_read and "resume" in kind.command):
                is_answered_in_one_line(kind, file, home, capsys)
            assert time.process_time() - start < SECONDS, kind.file
    finally:
        file.write_bytes(intact)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1024
    kind.read(file)


def is_read_or_refused(kind: Kind, file: Path) -> bool:
    """Read a file and return True, or False if it is refused by the documented error, in one line with the file's name."""
    try:
        kind.read(file)
    except kind.error as error:
        message = str(error)
        assert message.isprintable()
        assert len(message) < 2000
        return False
    return True


def is_answered_in_one_line(kind: Kind, file: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the command on a file: it prints the content, or ends with one line and exit code 2."""
    new = home / "new.html"
    new.unlink(missing_ok=True)
    command, *options = kind.command.replace("NEW", str(new)).split()
    capsys.readouterr()
    code = run(" ".join([command, str(file.parent if kind.folder else file), *options]))
    output = capsys.readouterr()
    assert code in (0, 2)
    assert (output.out + output.err).replace("\n", "").replace("\t", "").isprintable()
    assert len([line for line in output.err.splitlines() if line.startswith("hattriq: error: ")]) == (code == 2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", KINDS)
def test_damaged_file_is_read_or_refused(name: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try_damaged_files(KINDS[name], home, 24, capsys)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", KINDS)
def test_damaged_file_is_read_or_refused_in_many_ways(name: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try_damaged_files(KINDS[name], home, 400, capsys)
