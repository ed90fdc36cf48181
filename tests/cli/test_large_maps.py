"""Maps of many inputs are computed and written part by part, whatever their number, and a run that stopped goes on."""

from __future__ import annotations

import csv
import json
import tracemalloc
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
from command_line import run
from PIL import Image

import hattriq_cirq as hq
from hattriq_cirq.cli import large_maps, pictures
from hattriq_cirq.cli.commands.attribute import Attribute
from hattriq_cirq.foundation import array_files, parts

pytestmark = pytest.mark.usefixtures("small_pictures")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(90, 16)), np.where(np.arange(90) % 3 == 0, 1, -1)
PART = 10 * 16


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the present folder, with a model, tables and images; parts of 10 inputs, and arrays of 2 KiB on disk."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(large_maps, "PART", PART)
    monkeypatch.setattr(array_files, "ON_DISK", 2**10)
    monkeypatch.setattr(pictures, "GALLERY_MAX", 1)
    model = hq.ring_ansatz(4, 2)
    model.with_params({name: float(RNG.normal()) for name in model.params}).save("model.json")
    np.savez("own.npz", x=X, y=Y)
    np.save("own.npy", X)
    return tmp_path


def maps(folder: str) -> hq.Attribution:
    return hq.Attribution.load(f"{folder}/attribution.npz")


def unit(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


@pytest.mark.parametrize(
    "options",
    [
        "",
        "--baseline mean",
        "--baseline opposite_class_mean --form normalized",
        "--baseline sample:3",
        "--rule midpoint:3 --head tanh:2 --precision float32",
    ],
)
def test_maps_in_parts_are_those_of_one_part(
    options: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"attribute model.json --data own.npz --inputs all {options} --out"
    assert run(f"{line} parts") == 0
    shown = capsys.readouterr().out
    monkeypatch.setattr(large_maps, "PART", 2**22)
    assert run(f"{line} whole") == 0
    in_parts, whole = maps("parts"), maps("whole")
    allowed = 1e-5 if "float32" in options else 1e-14
    for name in ("values", "stderr", "x", "baseline", "f_input", "f_baseline", "completeness_gap"):
        np.testing.assert_allclose(getattr(in_parts, name), getattr(whole, name), rtol=allowed, atol=allowed, strict=True)
    assert in_parts.assumptions == whole.assumptions
    assert sorted(file.name for file in (folder / "parts").iterdir()) == [
        *("attribution.npz", "gallery.png", "run.json", "scores.csv"),
    ]
    right = np.mean(whole.f_input * Y > 0)
    assert f"90 inputs: completeness gap at most {np.abs(in_parts.completeness_gap).max():.1e}" in shown
    assert f"{right:.1%} of the scores have the sign of their label" in shown


def test_scores_of_all_inputs_are_in_a_table(folder: Path) -> None:
    assert run("attribute model.json --data own.npz --inputs test --out maps") == 0
    data, a = hq.datasets.load("own.npz"), maps("maps")
    with Path("maps/scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["sample"]) for row in rows] == data.test.tolist()
    assert [int(row["label"]) for row in rows] == data.y_test.tolist()
    for name in ("f_input", "f_baseline", "completeness_gap"):
        assert [float(row[name]) for row in rows] == getattr(a, name).tolist()
    table = hq.runs.to_frame("maps", per="input")
    assert table["sample"].tolist() == data.test.tolist()
    assert table["label"].tolist() == data.y_test.tolist()


def test_show_and_report_take_a_large_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("attribute model.json --data own.npy --inputs all --out maps") == 0
    record = json.loads(Path("maps/run.json").read_text(encoding="utf-8"))
    assert record["inputs"]["count"] == 90
    assert len(record["inputs"]["indices"]) == large_maps.LISTED
    for line in ("show maps --input 80", "show maps --png map.png --shape 4x4", "report maps --out report.html"):
        capsys.readouterr()
        assert run(line) == 0, line
    assert "scores.csv holds all" in Path("report.html").read_text(encoding="utf-8")
    assert hq.runs.to_frame("maps")["inputs"].tolist() == [90]


def test_run_that_stopped_computes_the_missing_parts_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line, computed, compute = "attribute model.json --data own.npy --inputs all --out maps", list[int](), Attribute._attribution

    def stopped(self: Attribute, model: Any, x: Any, *others: Any) -> hq.Attribution:
        if len(computed) == 4:
            raise KeyboardInterrupt
        computed.append(len(x))
        return compute(self, model, x, *others)

    monkeypatch.setattr(Attribute, "_attribution", stopped)
    assert run(line) == 130
    assert "40 of 90 inputs are done; the same command goes on from there" in capsys.readouterr().err
    assert not Path("maps/attribution.npz").exists()
    assert run(line.replace("all", "all:0:80")) == 2  # another run
    computed.clear()
    computed.extend([0] * 5)
    assert run(line) == 0
    assert len(computed) == 10  # 5 parts of 9
    assert run(line) == 2
    assert "holds a finished run" in capsys.readouterr().err
    np.testing.assert_allclose(maps("maps").x, unit(X), rtol=1e-14)


def test_warning_of_the_model_is_printed_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    qubits = cirq.LineQubit.range(4)
    projector = hq.Model(cirq.Circuit(), qubits, (1 + cirq.Z(qubits[0])) / 2)
    projector.save("projector.json")
    assert run("attribute projector.json --data own.npy --inputs all --out maps") == 0
    assert capsys.readouterr().err.count("has identity part 0.5") == 1


def images(folder: Path, count: int, of_class: int = 0) -> Path:
    folder.mkdir(parents=True)
    for k in range(count):
        Image.fromarray(RNG.integers(1, 255, (4, 3), dtype=np.uint8) // (1 + of_class)).save(folder / f"{k:04d}.png")
    return folder


def test_folder_of_images_is_attributed(folder: Path) -> None:
    images(folder / "pictures", 25)
    assert run("attribute model.json --data pictures --inputs all --out maps") == 0
    pixels = np.array([np.asarray(Image.open(file)) for file in sorted((folder / "pictures").iterdir())], dtype=float)
    np.testing.assert_allclose(maps("maps").x, unit(np.pad(pixels, ((0, 0), (0, 0), (0, 1))).reshape(25, 16)), rtol=1e-14)
    assert json.loads(Path("maps/run.json").read_text(encoding="utf-8"))["data"]["image_shape"] == [4, 4]


def test_folders_of_two_classes_are_a_data_set(folder: Path) -> None:
    for k, name in enumerate(("cats", "dogs")):
        images(folder / "pets" / name, 12, k)
    data = hq.datasets.load("pets")
    assert data.label_names == ("cats", "dogs")
    assert data.labels.tolist() == [-1] * 12 + [1] * 12
    assert run("train pets --out trained --epochs 2") == 0
    assert run("attribute trained --data pets --baseline mean --inputs train --out maps") == 0
    assert len(maps("maps")) == len(data.train)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--data own.npy", "own has no labels and no split; choose all"),
        ("--data own.npy --inputs all --baseline mean", "is taken from training samples, and own has no labels"),
        ("--data empty --inputs all", "holds no images"),
        ("--data mixed --inputs all", "4x3 pixels; give images of one size"),
        ("--data damaged --inputs all", "cannot be read as an image"),
        ("--data nan.npy --inputs all", "x[73, 5] = nan is not finite"),
        ("--data zero.npy --inputs all", "rows [88] of x are all zeros"),
    ],
)
def test_unfit_inputs_are_refused_before_a_map_is_computed(
    line: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    images(folder / "mixed", 2)
    Image.fromarray(np.ones((5, 5), np.uint8)).save("mixed/b.png")
    images(folder / "damaged", 2)
    Path("damaged/b.png").write_bytes(b"no image")
    for name, row, value in (("nan", (73, 5), np.nan), ("zero", (88,), 0)):
        bad = X.copy()
        bad[row] = value
        np.save(name, bad)
    assert run(f"attribute model.json {line} --out maps") == 2
    assert words in capsys.readouterr().err
    assert not Path("maps").exists()


def test_labels_are_asked_for_where_they_are_needed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train own.npy --out trained") == 2
    assert "own has no labels: it can be attributed, and nothing else" in capsys.readouterr().err


def test_maps_of_a_learned_model_are_written_in_parts(folder: Path) -> None:
    model = hq.Model.load("model.json")
    learned = hq.learn_observable(model, engine=hq.cirq_simulator(seed=1), shots=20_000, inputs=unit(X[:5]))
    learned.save("learned.npz")
    assert run("attribute learned.npz --data own.npy --inputs all --out maps") == 0
    whole = hq.integrated_gradients(learned, unit(X), baseline=0)
    np.testing.assert_allclose(maps("maps").values, whole.values, atol=1e-14)
    np.testing.assert_allclose(maps("maps").stderr, whole.stderr, rtol=1e-10)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_inputs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_maps, "PART", 2**14)
    monkeypatch.setattr(parts, "PART", 2**13)
    monkeypatch.setattr(array_files, "ON_DISK", 2**15)
    monkeypatch.setattr(array_files, "_BLOCK", 2**14)
    hq.ring_ansatz(10, 1).save("wide.json")
    peaks = []
    for count in (16, 128, 640):  # the first fills caches
        np.save("rows", RNG.random((count, 1024)))
        tracemalloc.start()
        assert run(f"attribute wide.json --data rows.npy --inputs all --out maps{count}") == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    added = (640 - 128) * 1024 * 8  # bytes of the additional inputs, and of their maps
    assert peaks[2] - peaks[1] < added / 10
