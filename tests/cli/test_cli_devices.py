"""`--device` on the command line: the same results, recorded, and refused where a run would change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from strategies import assert_close

import hattriq_cirq as hq
from hattriq_cirq.foundation.devices import Device, DeviceError

pytestmark = pytest.mark.usefixtures("small_pictures")
STRICT = "--device array_api_strict"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("devices")
    for name, device in (("cpu", ""), ("there", STRICT)):
        assert run(f"train bars_and_stripes --layers 1 --epochs 2 --out {folder / name} {device}") == 0
    return folder


def test_training_on_a_device_is_the_same_and_recorded(trained: Path) -> None:
    models = [hq.Model.load(trained / name / "model.json") for name in ("cpu", "there")]
    assert_close(list(models[1].params.values()), list(models[0].params.values()), 1e-9)
    records = [json.loads((trained / name / "run.json").read_text()) for name in ("cpu", "there")]
    assert [record["settings"]["device"] for record in records] == ["cpu", "array_api_strict"]


def test_maps_on_a_device_are_the_same_and_recorded(trained: Path, tmp_path: Path) -> None:
    command = f"attribute {trained / 'cpu'} --data bars_and_stripes --inputs test:0:2"
    for name, device in (("cpu", ""), ("there", STRICT)):
        assert run(f"{command} --out {tmp_path / name} {device}") == 0
    cpu, there = (hq.Attribution.load(tmp_path / name / "attribution.npz") for name in ("cpu", "there"))
    assert_close(there.values, cpu.values)
    assert json.loads((tmp_path / "there" / "run.json").read_text())["device"] == "array_api_strict"


def test_picture_of_a_training_is_drawn_on_any_device(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained / "cpu", folder)
    (folder / "training.png").unlink()
    assert run(f"train bars_and_stripes --layers 1 --epochs 2 --out {folder} {STRICT}") == 0
    assert (folder / "training.png").exists()
    assert json.loads((folder / "run.json").read_text())["settings"]["device"] == "cpu"  # which trained it


def test_device_needs_a_virtual_processor_or_an_exact_map(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"attribute {trained / 'cpu'} --data bars_and_stripes --inputs test:0:1 --out {tmp_path / 'maps'}"
    assert run(f"{command} --estimator resolved {STRICT}") == 2
    assert "--device is for virtual processors and exact maps" in capsys.readouterr().err
    assert run(f"{command} --device gpu") == 2
    assert "device='gpu' must be 'cpu', or a GPU, 'cuda' or 'cuda:1'" in capsys.readouterr().err
    assert not (tmp_path / "maps").exists()


def test_doctor_lists_gpus_or_says_what_was_looked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hattriq_cirq.cli.commands.doctor import Doctor

    own = Doctor._checks
    monkeypatch.setattr(Doctor, "_checks", lambda self: (each for each in own(self) if each[0] in ("cpu", "cuda")))
    monkeypatch.setattr("hattriq_cirq.foundation.devices.gpus", lambda: [Device("array_api_strict")])
    assert run("doctor") == 0
    assert "ok       cuda: array_api_strict, main memory with array_api_strict" in capsys.readouterr().out

    def none() -> list[Device]:
        raise DeviceError("no GPU was found: PyTorch sees no GPU")

    monkeypatch.setattr("hattriq_cirq.foundation.devices.gpus", none)
    assert run("doctor") == 0
    assert "skipped  cuda: no GPU was found: PyTorch sees no GPU" in capsys.readouterr().out


def test_explanation_trains_on_a_device_and_records_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(5)
    rows = [f"{a:.3f},{b:.3f},{'yes' if a > b else 'no'}" for a, b in rng.normal(size=(40, 2))]
    (tmp_path / "my.csv").write_text("\n".join(["a,b,label", *rows]) + "\n")
    for name, device in (("cpu", ""), ("there", STRICT)):
        assert run(f"explain {tmp_path}/my.csv --layers 1 --out {tmp_path / name} {device}") == 0
    cpu, there = (hq.Attribution.load(tmp_path / name / "attribution.npz") for name in ("cpu", "there"))
    assert_close(there.values, cpu.values, 1e-6)
    records = [json.loads((tmp_path / name / "run.json").read_text()) for name in ("cpu", "there")]
    assert [record["settings"]["device"] for record in records] == ["cpu", "array_api_strict"]
    capsys.readouterr()
    assert run(f"explain {tmp_path}/cpu --out {tmp_path}/again {STRICT}") == 2
    assert "trains the classifier of a table, and" in capsys.readouterr().err
