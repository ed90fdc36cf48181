"""Every bad input ends with one clear line and exit code 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import TABLE, run


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a trained model, an attribution, and bad files of every kind."""
    home = tmp_path_factory.mktemp("home")
    assert run(f"train bars_and_stripes --out {home}/bars --epochs 20 --seed 5") == 0
    assert run(f"attribute {home}/bars --data bars_and_stripes --out {home}/maps --inputs test:0:3") == 0
    (home / "nan.csv").write_text(TABLE + "1,nan,2,3,1\n")
    (home / "zeros.csv").write_text(TABLE + "0,0,0,0,1\n")
    (home / "labels.csv").write_text(TABLE + "1,1,2,3,2\n")
    (home / "notes.txt").write_text("hello")
    (home / "broken.json").write_text("{")
    (home / "notes.npz").write_bytes(b"PK")
    (home / "empty").mkdir()
    (home / "other").mkdir()
    (home / "other" / "run.json").write_text('{"format": "another"}')
    return home


ATTRIBUTE = "attribute {home}/bars --data bars_and_stripes --out {home}/new"
ERRORS = {
    "no command": ("", "required: COMMAND; see hattriq --help"),
    "unknown command": ("interpret x", "invalid choice: 'interpret'"),
    "no output": ("train digits", "required: --out; see hattriq train --help"),
    "option shortened": ("train digits --out {home}/new --epoch 3", "unrecognized arguments: --epoch 3"),
    "missing table": ("train {home}/none.csv --out {home}/new", "no file {home}/none.csv"),
    "missing IDX folder": ("train mnist_idx:path={home}/empty --out {home}/new", "train-images-idx3-ubyte"),
    "unknown data": ("train nothing --out {home}/new", "choose one of bars_and_stripes"),
    "unknown data option": ("train digits:colour=1 --out {home}/new", "options: pair"),
    "NaN": ("train {home}/nan.csv --out {home}/new", "line 22, column 'b': 'nan' is not a finite number"),
    "row of zeros": ("train {home}/zeros.csv --out {home}/new", "rows [20] of x are all zeros"),
    "labels": ("train {home}/labels.csv --out {home}/new", "y holds 3 labels, '-1', '1', '2', and this takes two classes; use"),
    "output exists": ("train bars_and_stripes --out {home}/bars", "{home}/bars exists"),
    "output is a file": ("train bars_and_stripes --out {home}/notes.txt", "exists and is not an empty folder"),
    "output below a file": ("train bars_and_stripes --out {home}/notes.txt/new", "not a folder"),
    "ansatz": ("train bars_and_stripes --out {home}/new --ansatz star", "must be ring or grid:RxC"),
    "grid": ("train bars_and_stripes --out {home}/new --ansatz grid:2x3", "has 6 qubits, the data need 4"),
    "layers": ("train bars_and_stripes --out {home}/new --layers -1", "layers=-1 must be at least 0"),
    "epochs": ("train bars_and_stripes --out {home}/new --epochs 0", "epochs=0 must be positive"),
    "no number": ("train bars_and_stripes --out {home}/new --epochs many", "invalid int value: 'many'"),
    "batch size": ("train bars_and_stripes --out {home}/new --batch-size 0", "batch_size=0 must be at least 1"),
    "seed": ("train bars_and_stripes --out {home}/new --seed -1", "non-negative"),
    "missing model": ("attribute {home}/none --data digits --out {home}/new", "no file {home}/none"),
    "folder without model": ("attribute {home}/maps --data digits --out {home}/new", "no file {home}/maps/model.json"),
    "broken model": ("attribute {home}/broken.json --data digits --out {home}/new", "not a model file"),
    "not a model": ("attribute {home}/maps/run.json --data digits --out {home}/new", "not a model file"),
    "features": ("attribute {home}/bars --data digits --out {home}/new", "takes 16 features, digits 0/1 8x8 has 64"),
    "baseline": (f"{ATTRIBUTE} --baseline none", "must be one of zero, mean"),
    "baseline argument": (f"{ATTRIBUTE} --baseline mean:3", "'mean:3' must be one of"),
    "blur width": (f"{ATTRIBUTE} --baseline blur:-1", "sigma=-1.0 must be positive"),
    "blur text": (f"{ATTRIBUTE} --baseline blur:much", "the width of blur is 'much', must be a number"),
    "sample count": (f"{ATTRIBUTE} --baseline sample:99", "count=99 must be between 1"),
    "form": (f"{ATTRIBUTE} --form cubic", "form='cubic' must be"),
    "origin": (f"{ATTRIBUTE} --form normalized", "passes through the origin"),
    "rule": (f"{ATTRIBUTE} --rule simpson:4", "rule='simpson:4' must be"),
    "head": (f"{ATTRIBUTE} --head relu:2", "must be identity, sigmoid:SCALE, tanh:SCALE or linear:WEIGHT:BIAS"),
    "head of several scores": (f"{ATTRIBUTE} --head softmax:2", "is of several scores, and a model has one"),
    "weight of a head": (f"{ATTRIBUTE} --head linear:2:b", "a number of head 'linear:2:b' is 'b', must be a number"),
    "head text": (f"{ATTRIBUTE} --head tanh:much", "the scale of tanh is 'much', must be a number"),
    "head scale": (f"{ATTRIBUTE} --head sigmoid:0", "must be a finite number other than 0"),
    "inputs": (f"{ATTRIBUTE} --inputs validation", "must be test, train, all, a slice"),
    "no inputs": (f"{ATTRIBUTE} --inputs test:8:9", "choose nothing"),
    "index": (f"{ATTRIBUTE} --index 1,28", "input 28 is out of range"),
    "inputs and index": (f"{ATTRIBUTE} --inputs test --index 1", "not allowed with argument"),
    "show nothing": ("show {home}/none", "no file or folder {home}/none"),
    "show empty folder": ("show {home}/empty", "no run of this program"),
    "show a text": ("show {home}/notes.txt", "not a model file"),
    "show no record": ("show {home}/broken.json", "not a model file"),
    "show other record": ("show {home}/other/run.json", "other/run.json is not a run record"),
    "show no attribution": ("show {home}/notes.npz", "not a saved attribution"),
    "show input": ("show {home}/maps --input 3", "--input 3 is out of range: there are inputs 0..2"),
    "show top": ("show {home}/maps --top 0", "--top 0 must be at least 1"),
    "show shape": ("show {home}/maps --png {home}/new --shape 3x3", "rows * cols = features = 16"),
    "show shape text": ("show {home}/maps --shape square", "--shape 'square' must be rows x columns"),
    "show model png": ("show {home}/bars --png {home}/new", "--png draws one attribution"),
    "show png exists": ("show {home}/maps --png {home}/notes.txt", "{home}/notes.txt exists and is not overwritten"),
    "demo exists": ("demo --out {home}/bars", "{home}/bars exists"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "words"), ERRORS.values(), ids=ERRORS.keys())
def test_bad_input_ends_with_one_line_and_exit_code_2(
    home: Path, line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.format(home=home)) == 2
    (error_line,) = capsys.readouterr().err.splitlines()
    assert error_line.startswith("hattriq: error: ")
    assert words.format(home=home) in error_line
    assert not (home / "new").exists()


def test_npz_with_wrong_shapes_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "bad.npz", x=np.ones((4, 2)), y=np.array([1, -1, 1]))
    assert run(f"train {tmp_path}/bad.npz --out {tmp_path}/new") == 2
    (error_line,) = capsys.readouterr().err.splitlines()
    assert "len(rows)=4 must equal len(labels)=3" in error_line


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "hattriq: interrupted"),
        (ArithmeticError("it\ndiverges"), 2, "hattriq: error: it diverges"),
        (OSError(28, "No space left on device", "a.csv"), 2, "hattriq: error: a.csv: No space left on device"),
        (ValueError(), 2, "hattriq: error: ValueError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_interruption_and_errors_are_one_line(
    error: BaseException,
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("hattriq_cirq.models.training.train", stop)
    assert run(f"train bars_and_stripes --out {tmp_path}/a") == code
    assert capsys.readouterr().err == f"{words}\n"
    assert not (tmp_path / "a").exists()


def test_defect_of_the_program_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hattriq_cirq.models.training.train", None)
    with pytest.raises(TypeError, match="not callable"):
        run(f"train bars_and_stripes --out {tmp_path}/a")
