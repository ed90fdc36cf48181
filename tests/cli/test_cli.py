"""The command line: help, written files and printed tables."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
from command_line import TABLE, run
from PIL import Image

from hattriq_cirq import datasets
from hattriq_cirq._version import __version__
from hattriq_cirq.attribution import baselines
from hattriq_cirq.attribution.objective import Head
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.models.ansatz import grid_ansatz, ring_ansatz
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.training import accuracy, train
from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients

BARS = datasets.bars_and_stripes()
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a trained model, an attribution and a table."""
    home = tmp_path_factory.mktemp("home")
    assert run(f"train bars_and_stripes --out {home}/bars --epochs 20 --seed 5") == 0
    assert run(f"attribute {home}/bars --data bars_and_stripes --out {home}/maps --inputs test:0:3") == 0
    (home / "good.csv").write_text(TABLE)
    return home


def record(folder: Path) -> Any:
    return json.loads((folder / "run.json").read_text())


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# help


def test_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "hattriq_cirq", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: hattriq ")


def test_help_imports_only_the_standard_library() -> None:
    """Which is why it comes at once: packages such as cirq take seconds to import."""
    code = (
        "import sys\nbefore = set(sys.modules)\n"
        "from hattriq_cirq.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(names - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("['hattriq_cirq']\n")
    assert "train" in done.stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run("--version")
    assert capsys.readouterr().out == f"hattriq {__version__}\n"


def examples(command: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit, match="0"):
        run(f"{command} --help")
    shown = capsys.readouterr().out
    description, _, rest = shown.partition("examples:\n")
    assert len(description.split("\n\n")) >= 3  # usage, description, arguments
    return [line.strip().removeprefix("hattriq ") for line in rest.splitlines() if line.strip()]


def test_every_example_of_the_help_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.csv").write_text(TABLE, encoding="utf-8")
    Path("my/images").mkdir(parents=True)
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save("my/images/one.png")
    Path("state.qasm").write_text(cirq.qasm(cirq.Circuit(cirq.H.on_each(*cirq.LineQubit.range(4)))), encoding="utf-8")
    for command in ("train", "attribute", "cost", "show", "report"):
        lines = examples(command, capsys)
        assert lines
        for line in lines:
            if "attribution.npz" in line:
                Path("attribution.npz").write_bytes(Path("runs/digits-maps/attribution.npz").read_bytes())
                Path("map.png").unlink()
            quick = " --epochs 5" if command == "train" and "--epochs" not in line else ""
            assert run(line.replace("test:0:2", "test:0:1") + quick) == 0, line
            assert capsys.readouterr().err == ""
    assert [shlex.split(line)[0] for line in examples("demo", capsys)] == ["demo", "demo"]


# train


def test_train_writes_the_same_model_as_the_library(home: Path) -> None:
    expected = train(ring_ansatz(4, 4), BARS.x_train, BARS.y_train, seed=5, epochs=20)
    assert names(home / "bars") == {"model.json", "run.json", "training.csv", "training.png"}
    assert Model.load(home / "bars" / "model.json") == expected.model
    table = rows(home / "bars" / "training.csv")
    np.testing.assert_array_equal([float(row["loss"]) for row in table], expected.history.loss)
    np.testing.assert_array_equal([float(row["accuracy"]) for row in table], expected.history.accuracy)
    assert {row["validation_loss"] for row in table} == {""}
    assert (home / "bars" / "training.png").read_bytes().startswith(PNG)


def test_train_records_data_settings_and_accuracies(home: Path) -> None:
    content, model = record(home / "bars"), Model.load(home / "bars" / "model.json")
    assert content["data"]["spec"] == "bars_and_stripes"
    assert content["data"]["details"] == dict(BARS.details)
    assert content["settings"] == {
        "ansatz": "ring",
        "layers": 4,
        "optimizer": "adam",
        "epochs": 20,
        "batch_size": 64,
        "learning_rate": 0.05,
        "scale": 10.0,
        "seed": 5,
        "device": "cpu",
    }
    ours, regression, chance = content["accuracies"]
    assert ours["test"] == accuracy(model, BARS.x_test, BARS.y_test)
    assert regression["classifier"] == "logistic regression"
    assert chance["test"] == BARS.chance
    assert content["provenance"]["versions"]["hattriq_cirq"] == __version__
    assert content["provenance"]["created_utc"].endswith("+00:00")


def test_train_takes_every_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(
        f"train bars_and_stripes --out {tmp_path}/a --ansatz grid:2x2 --layers 2 --epochs 3 --batch-size all "
        "--learning-rate 0.2 --scale 4 --seed 9"
    ) == 0  # fmt: skip
    expected = train(
        grid_ansatz(2, 2, 2), BARS.x_train, BARS.y_train, seed=9, epochs=3, batch_size=None, learning_rate=0.2, scale=4
    )
    assert Model.load(tmp_path / "a" / "model.json") == expected.model
    assert run(f"train bars_and_stripes --out {tmp_path}/b --optimizer lbfgs --epochs 4 --layers 1") == 0
    expected = train(ring_ansatz(4, 1), BARS.x_train, BARS.y_train, seed=0, epochs=4, optimizer="lbfgs")
    assert Model.load(tmp_path / "b" / "model.json") == expected.model
    shown = capsys.readouterr()
    assert [line.split()[0] for line in shown.out.splitlines()[2:6]] == ["accuracy", "this", "logistic", "chance"]
    assert shown.err == ""


def test_defaults_equal_those_of_the_library() -> None:
    from inspect import signature

    from hattriq_cirq.cli import parse
    from hattriq_cirq.cli.commands.attribute import Attribute
    from hattriq_cirq.cli.commands.train import Train

    settings = parse(["train", "digits", "--out", "x"])
    assert settings == Train("digits", out="x")
    library = signature(train).parameters
    for name in ("optimizer", "epochs", "batch_size", "learning_rate", "scale"):
        assert getattr(settings, name) == library[name].default
    assert parse(["attribute", "m", "--data", "digits", "--out", "x"]) == Attribute("m", data="digits", out="x")


# attribute


def test_attribute_writes_the_same_map_as_the_library(home: Path) -> None:
    maps = home / "maps"
    assert names(maps) == {"attribution.npz", "attribution.csv", "gallery.png", "run.json"}
    model = Model.load(home / "bars" / "model.json")
    expected = integrated_gradients(model, BARS.x_test[:3], baseline=0.0)
    saved = Attribution.load(maps / "attribution.npz")
    np.testing.assert_array_equal(saved.values, expected.values)
    np.testing.assert_array_equal(saved.x, BARS.x_test[:3])
    assert saved.assumptions.baseline == "zero"
    table = rows(maps / "attribution.csv")
    np.testing.assert_array_equal([float(row["value"]) for row in table], expected.values.ravel())
    assert (maps / "gallery.png").read_bytes().startswith(PNG)
    content = record(maps)
    assert content["inputs"]["indices"] == BARS.test[:3].tolist()
    assert content["inputs"]["labels"] == BARS.y_test[:3].tolist()
    assert content["inputs"]["f_input"] == expected.f_input.tolist()
    assert content["model"]["repr"] == repr(model)


X, KNOWN = BARS.amplitudes[[4, 0]], (BARS.x_train, BARS.y_train)
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "--baseline mean --form normalized": ("mean", {"baseline": baselines.mean(X, KNOWN[0]), "form": "normalized"}),
    "--baseline uniform --rule riemann:7": ("uniform", {"baseline": 0.25, "rule": "riemann:7"}),
    "--baseline sample:6 --seed 3": ("sample:6, seed 3", {"baseline": baselines.sample(KNOWN[0], 6, seed=3)}),
    "--baseline blur:1.5": ("blur:1.5", {"baseline": baselines.blur(X, (4, 4), 1.5)}),
    "--baseline max_distance": ("max_distance", {"baseline": baselines.max_distance(X)}),
    "--baseline class_mean": ("class_mean", {"baseline": baselines.class_mean(X, [-1, -1], *KNOWN)}),
    "--baseline opposite_class_mean": ("opposite_class_mean", {"baseline": baselines.class_mean(X, [1, 1], *KNOWN)}),
    "--head linear:-2:0.5": ("zero", {"baseline": 0, "head": Head("linear", weights=[-2], bias=0.5)}),
    "--head sigmoid:5": ("zero", {"baseline": 0.0, "head": Head("sigmoid", 5)}),
    "--head tanh:2 --precision float32": ("zero", {"baseline": 0, "head": Head("tanh", 2), "precision": "float32"}),
}


@pytest.mark.parametrize("options", SETTINGS)
def test_attribute_takes_every_setting(home: Path, tmp_path: Path, options: str) -> None:
    label, expected = SETTINGS[options]
    line = f"attribute {home}/bars/model.json --data bars_and_stripes --index 4,0 --out {tmp_path}/a {options}"
    assert run(line) == 0
    saved = Attribution.load(tmp_path / "a" / "attribution.npz")
    direct = integrated_gradients(Model.load(home / "bars" / "model.json"), X, **expected)
    np.testing.assert_allclose(saved.values, direct.values, rtol=0, atol=1e-12)
    assert saved.assumptions.baseline == label


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("--inputs test", BARS.test),
        ("--inputs train:2:5", BARS.train[2:5]),
        ("--inputs train:18:", BARS.train[18:]),
        ("--index 7", [7]),
    ],
)
def test_inputs_are_selected_by_side_or_index(home: Path, tmp_path: Path, chosen: str, expected: Any) -> None:
    assert run(f"attribute {home}/bars --data bars_and_stripes --out {tmp_path}/a {chosen}") == 0
    assert record(tmp_path / "a")["inputs"]["indices"] == list(expected)


def test_features_without_image_shape_are_drawn_as_a_grid(tmp_path: Path, home: Path) -> None:
    assert run(f"train {home}/good.csv --out {tmp_path}/m --epochs 2 --layers 1") == 0
    assert run(f"attribute {tmp_path}/m --data {home}/good.csv --out {tmp_path}/a --inputs test:0:2") == 0
    assert (tmp_path / "a" / "gallery.png").read_bytes().startswith(PNG)
    assert run(f"show {tmp_path}/a --png {tmp_path}/bars.png") == 0
    assert (tmp_path / "bars.png").read_bytes().startswith(PNG)


def test_warning_of_an_identity_part_is_one_line(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Model.load(home / "bars" / "model.json")
    qubit = model.qubits[0]
    projector = 0.5 * cirq.PauliString(cirq.I(qubit)) + 0.5 * cirq.PauliString(cirq.Z(qubit))
    model.with_observable(projector).save(tmp_path / "model.json")
    assert run(f"attribute {tmp_path}/model.json --data bars_and_stripes --out {tmp_path}/a") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hattriq: warning: ")
    assert "identity part 0.5" in line


# show


def test_show_lists_the_largest_features_with_bits_and_position(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"show {home}/maps --input 2 --top 4") == 0
    lines = capsys.readouterr().out.splitlines()
    saved = Attribution.load(home / "maps" / "attribution.npz")[2]
    for line, (feature, value) in zip(lines[-4:], saved.top(4), strict=True):
        words = line.split()
        assert words[:4] == [str(feature), f"{feature:04b}", str(feature // 4), str(feature % 4)]
        assert float(words[5]) == pytest.approx(value, abs=1e-6)


def test_show_begins_with_the_answer_and_names_the_columns_of_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{a:.3f},{b:.3f},{1 if a > b else -1}" for a, b in rng.uniform(0.1, 1, (40, 2))]
    table = tmp_path / "own.csv"
    table.write_text("\n".join(['"length, <mm>",mass,class', *lines]))
    assert run(f"train {table} --layers 1 --epochs 2 --out {tmp_path}/run") == 0
    assert run(f"attribute {tmp_path}/run --data {table} --inputs test:0:3 --out {tmp_path}/maps") == 0
    capsys.readouterr()
    assert run(f"show {tmp_path}/maps --input 1 --png {tmp_path}/map.png") == 0
    first, *others = capsys.readouterr().out.splitlines()
    one = Attribution.load(tmp_path / "maps" / "attribution.npz")[1]
    assert first == f"input 1: {one.answer()}"
    assert "length, <mm> " in first
    assert others[-4].split()[:2] == ["feature", "name"]
    assert others[-3].split()[0] == str(one.top(1)[0][0])


@pytest.mark.parametrize("where", ["bars", "bars/model.json", "bars/run.json"])
def test_show_prints_a_model_with_its_accuracies(home: Path, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"show {home}/{where}") == 0
    shown = capsys.readouterr().out
    assert BARS.summary() in shown
    assert "logistic regression" in shown
    assert "seed=5" in shown
    assert ("Model(4 qubits" in shown) == (not where.endswith("run.json"))


def test_show_prints_every_run_below_a_folder(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"show {home}") == 0
    shown = capsys.readouterr().out
    assert f"== {home / 'bars' / 'model.json'}" in shown
    assert f"== {home / 'maps' / 'attribution.npz'}" in shown


def test_show_draws_one_input(home: Path, tmp_path: Path) -> None:
    assert run(f"show {home}/maps --input 1 --png {tmp_path}/map.png") == 0
    assert (tmp_path / "map.png").read_bytes().startswith(PNG)
    lone = Attribution.load(home / "maps" / "attribution.npz")[0].save(tmp_path / "lone.npz")
    assert run(f"show {lone} --png {tmp_path}/lone.png --shape 2x8") == 0
    assert (tmp_path / "lone.png").read_bytes().startswith(PNG)


def test_closed_pipe_is_no_error(home: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -c 'from hattriq_cirq.cli import main; raise SystemExit(main())'"
    line = f"set -o pipefail; {command} show {home}/maps --top 16 | true"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
