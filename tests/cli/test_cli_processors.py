"""`hattriq processors`, `hattriq snapshot`, `hattriq doctor --project`, and runs on a saved device, by the real client."""

from __future__ import annotations

import csv
import io
import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import refusal, run, train_on_table
from stand_in import Fault, StandIn

from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.compilation.snapshot import Snapshot, find_snapshot
from hattriq_cirq.execution.journal import Journal

pytestmark = pytest.mark.usefixtures("small_pictures")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table and a model trained on it."""
    home = tmp_path_factory.mktemp("home")
    train_on_table(home, epochs=2)
    return home


@pytest.fixture
def service() -> Iterator[StandIn]:
    """Yield a service that every client of the command line is connected to."""
    with StandIn() as service, service.connected():
        yield service


def test_processors_are_a_table_or_csv(service: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("processors") == 0
    assert not service.calls
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[:4]] == [
        "processor",
        "willow_pink",
        "weber",
        "rainbow",
    ]
    service.quantum.descriptions["closed"] = {}
    service.quantum.unreadable.add("closed")
    assert run("processors --project p") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:6] == ["willow_pink", "105", "182", "OK", "config-1", "snapshot-1"]
    assert lines[2].split()[:4] == ["closed", "-", "-", "OK"]
    assert any(line.startswith("closed: its configuration cannot be read: ") for line in lines)
    assert run("processors --project p --csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["processor"] for row in rows] == ["willow_pink", "closed", "willow_pink", "weber", "rainbow"]
    assert (rows[0]["snapshot"], rows[0]["qubits"], rows[1]["qubits"]) == ("snapshot-1", "105", "")
    assert float(rows[0]["cz_error"]) == float(rows[2]["cz_error"])
    assert "403" in rows[1]["problem"]


def test_processors_of_an_unknown_project_are_one_line(service: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    service.inject(Fault("ListQuantumProcessors", "not_found"))
    assert "check the id of the project" in refusal("processors --project p", capsys)


def test_snapshot_saves_a_processor_and_prints_what_it_lacks(
    service: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.quantum.drop_metrics(lambda name, _: "t1" not in name)
    assert run(f"snapshot --project p willow_pink --out {tmp_path}/device.json") == 0
    out = capsys.readouterr().out
    assert "willow_pink@snapshot-1: 105 qubits, 182 couplers, gate sets cz" in out
    assert "missing: t1_ns: the calibration has none; they count as no error" in out
    assert Snapshot.load(tmp_path / "device.json").project == "p"
    assert run(f"show {tmp_path}/device.json") == 0
    assert capsys.readouterr().out.splitlines()[0] == out.splitlines()[0]
    calls = len(service.calls)
    again = f"snapshot --project p willow_pink --out {tmp_path}/device.json"
    assert "exists and is not overwritten" in refusal(again, capsys)
    assert "check both names" not in refusal(again, capsys)
    assert len(service.calls) == calls
    assert "check both names" in refusal(f"snapshot --project p nowhere --out {tmp_path}/x.json", capsys)
    assert "there is none" in refusal(f"snapshot --project p willow_pink --config x --out {tmp_path}/x.json", capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["device.json"]


def test_snapshot_of_a_bundled_processor_needs_no_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"snapshot rainbow --out {tmp_path}/rainbow.json") == 0
    assert find_snapshot(tmp_path / "rainbow.json") is find_snapshot("rainbow")
    assert "must be one of willow_pink, weber, rainbow, or a file" in refusal(f"snapshot x --out {tmp_path}/x.json", capsys)
    assert "give --project as well" in refusal(f"snapshot weber --config c --out {tmp_path}/x.json", capsys)


DOCTOR = {
    "unauthenticated": "gcloud auth application-default login",
    "disabled": "gcloud services enable quantum.googleapis.com",
    "denied": "ask the owner of the project",
    "not_found": "check the id of the project",
}


@pytest.mark.parametrize("kind", DOCTOR)
def test_doctor_says_what_to_do_for_each_refusal(
    kind: str, service: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hattriq_cirq.cli.commands.doctor._run_one_qubit", lambda name: "not run here")
    service.inject(Fault("ListQuantumProcessors", kind, times=9))
    assert run("doctor --project p") == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("failed   google:p: ")
    assert DOCTOR[kind] in last


def test_doctor_of_a_project_checks_each_processor(
    service: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hattriq_cirq.cli.commands.doctor._run_one_qubit", lambda name: "not run here")
    assert run("doctor --project p") == 0
    one, two = capsys.readouterr().out.splitlines()[-2:]
    assert one == "ok       google:p: credentials, API and project are in order; processors: willow_pink"
    assert two.startswith("ok       google:p/willow_pink: OK, 105 qubits, configuration config-1, snapshot snapshot-1, calib")
    service.quantum.descriptions["closed"] = {}
    service.quantum.unreadable.add("closed")
    assert run("doctor --project p") == 1
    outcomes = [line.split(":")[:2] for line in capsys.readouterr().out.splitlines()[-2:]]
    assert [" ".join(words).split()[:3] for words in outcomes] == [
        ["ok", "google", "p/willow_pink"],
        ["failed", "google", "p/closed"],
    ]
    service.quantum.descriptions.clear()
    assert run("doctor --project p") == 1
    assert "there are none; ask Google for access" in capsys.readouterr().out
    before = len(service.calls)
    assert run("doctor --project p --processor closed") == 1
    assert [method for method, _ in service.calls[before:]] == ["GetQuantumProcessor"]


def test_doctor_without_network_names_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from hattriq_cirq.circuits.errors import ServiceError

    def unreachable(project: str, **_: object) -> None:
        raise ServiceError("503: failed to connect to all addresses")

    monkeypatch.setattr("hattriq_cirq.cli.commands.doctor._run_one_qubit", lambda name: "not run here")
    monkeypatch.setattr("hattriq_cirq.execution.processors.processors", unreachable)
    assert run("doctor --project p") == 1
    assert "check the network of this machine" in capsys.readouterr().out.splitlines()[-1]


def line(home: Path, device: Path, out: Path, shots: int = 60) -> str:
    engine = shlex.quote(f"virtual:{device},noise=readout")
    options = f"--inputs test:0:1 --estimator polarization --engine {engine} --shots {shots}"
    return f"attribute {home}/model --data {home}/table.csv {options} --out {out}"


@pytest.mark.parametrize("shots", [60, pytest.param(0, marks=pytest.mark.slow)])
def test_stopped_run_on_a_saved_device_goes_on_with_the_moved_file_only(
    shots: int,
    home: Path,
    service: StandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    device, moved, other = tmp_path / "device.json", tmp_path / "elsewhere" / "monday, 9.json", tmp_path / "other.json"
    assert run(f"snapshot --project p willow_pink --out {device}") == 0
    service.quantum.drop_metrics(lambda name, _: "separation" not in name)
    assert run(f"snapshot --project p willow_pink --out {other}") == 0
    assert run(line(home, device, tmp_path / "whole", shots)) == 0

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*((Journal, "store", interrupted) if shots else (Attribution, "to_csv", interrupted)))
        assert run(line(home, device, tmp_path / "run", shots)) == 130
    moved.parent.mkdir()
    shutil.move(device, moved)
    capsys.readouterr()
    if shots:
        assert "no file" in refusal(f"resume {tmp_path}/run", capsys)
    assert "holds another run" in refusal(line(home, other, tmp_path / "run", shots), capsys)
    assert run(line(home, moved, tmp_path / "run", shots)) == 0
    maps = [(tmp_path / folder / "attribution.csv").read_bytes() for folder in ("whole", "run")]
    assert maps[0] == maps[1]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["engine"]["snapshot"] == find_snapshot(moved).digest


@pytest.mark.slow
def test_stopped_cost_on_a_saved_device_goes_on_with_the_moved_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    device, moved = tmp_path / "device.json", tmp_path / "moved.json"
    assert run(f"snapshot willow_pink --out {device}") == 0
    line = f"cost --qubits 1 --layers 1 --estimators polarization --out {tmp_path}/cost --processor "

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hattriq_cirq.cli.commands.cost.plot_costs", interrupted)
        assert run(line + str(device)) == 130
    device.rename(moved)
    capsys.readouterr()
    assert "holds another run" in refusal(line + "willow_pink", capsys)
    assert run(line + str(moved)) == 0
    assert (tmp_path / "cost" / "cost.png").is_file()
