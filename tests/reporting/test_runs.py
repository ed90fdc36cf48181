"""Runs as values and as a table: of every kind, finished or not, of this version and of version 0.1."""

from __future__ import annotations

import io
import math
import shutil
from pathlib import Path

import damage
import numpy as np
import pandas as pd
import pytest
from command_line import run

import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.cli.run_folder import open_run
from hattriq_cirq.execution.backends.simulators import ExactBackend
from hattriq_cirq.foundation.reading import FileError

FIXTURES = Path(__file__).parents[1] / "fixtures"
DATA = "bars_and_stripes:side=2,noise=0.2,copies=20"
LINE = f"attribute trained --data {DATA} --inputs test:0:2 --estimator hadamard --engine cirq --shots 400 --seed 3"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the folders of version 0.1, which is the current directory."""
    shutil.copytree(FIXTURES / "version_0_1", tmp_path / "home")
    shutil.rmtree(tmp_path / "home" / "expected")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def test_every_run_of_version_0_1_is_a_row() -> None:
    frame = hq.runs.to_frame(".").set_index("folder")
    assert dict(frame["status"]) == {
        "calibration/readout.json": "finished",
        "finished": "finished",
        "google_interrupted": "unfinished",
        "interrupted_between_calls": "unfinished",
        "interrupted_mid_call": "unfinished",
        "maps": "finished",
        "shots": "finished",
        "trained": "finished",
    }
    assert frame["problem"].isna().all()
    assert (frame["accuracy_test"].drop("calibration/readout.json") == 1.0).all()  # that of `trained`, which all of them use
    finished = frame.loc["finished"]
    assert (finished["engine"], finished["processor"]) == ("virtual:willow_pink", "willow_pink")
    assert finished["snapshot"] == "median 2024-08-16T08:11:17+00:00"
    assert (finished["estimator"], finished["mitigation"], finished["seed"]) == ("resolved", "readout:200", 1)
    assert (finished["circuits"], finished["shots"], finished["mitigation_shots"]) == (2, 1000, 400)
    assert (finished["jobs"], finished["jobs_done"], finished["shots_done"]) == (3, 3, 1400)
    assert (finished["settings.shots"], finished["settings.mitigate"]) == (500, "readout:200")
    assert str(finished["begun_utc"])[:10] == "2026-11-28"
    assert frame.loc["maps", "engine"] == "exact"
    assert tuple(frame.loc["interrupted_mid_call", ["jobs", "jobs_done", "shots_planned", "shots_done"]]) == (25, 9, 3400, 1226)
    assert math.isnan(frame.loc["interrupted_mid_call", "mean_stderr"])
    assert frame.loc["calibration/readout.json", "calibration_id"] == "727ce26887cc"


def test_errors_and_gaps_of_a_table_are_those_of_the_maps() -> None:
    a = hq.Attribution.load("finished/attribution.npz")
    (row,) = hq.runs.to_frame("finished").to_dict("records")
    assert row["mean_stderr"] == a.stderr.mean()
    worst = int(np.argmax(np.abs(a.completeness_gap)))
    assert row["completeness_gap"] == a.completeness_gap[worst]
    assert row["completeness_gap_stderr"] == a.completeness_gap_stderr[worst]
    inputs = hq.runs.to_frame("finished", per="input")
    np.testing.assert_array_equal(inputs["completeness_gap"], a.completeness_gap)
    np.testing.assert_array_equal(inputs["mean_stderr"], a.stderr.mean(axis=1))
    np.testing.assert_array_equal(inputs["f_input"], a.f_input)
    assert list(inputs["sample"]) == [4, 3]
    assert list(inputs["label"]) == [-1, -1]
    for one, (feature, value) in zip(inputs.itertuples(), (each.top(1)[0] for each in a), strict=True):
        assert (one.largest_feature, one.largest_value) == (feature, value)
    assert len(hq.runs.to_frame("interrupted_mid_call", per="input")) == 1


@pytest.mark.parametrize("name", ["trained", "maps", "shots", "finished", "interrupted_mid_call", "interrupted_between_calls"])
def test_run_of_version_0_1_is_a_value(name: str) -> None:
    one = hq.runs.load(name)
    assert one.command == ("train" if name == "trained" else "attribute")
    assert one.settings["seed"] in (0, 1)
    assert (one.attribution is not None) == Path(name, "attribution.npz").exists()
    assert one.model is not None
    np.testing.assert_array_equal(one.model.params, hq.Model.load("trained/model.json").params)


def test_model_of_a_run_is_found_from_other_folders_unless_it_changed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hq.runs.load(home / "maps").model is not None
    with (home / "trained" / "model.json").open("a") as file:
        file.write(" ")
    assert hq.runs.load(home / "maps").model is None
    assert hq.runs.to_frame(home / "maps")["accuracy_test"].isna().all()


def test_planned_interrupted_and_calibration_runs_are_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(f"{LINE} --out planned --dry-run") == 0
    calibrate = "calibrate --engine virtual:willow_pink --qubits 5_9,5_10 --shots 400 --seed 3"
    assert run(f"{calibrate} --out readout.json --dry-run") == 0
    planned = hq.runs.load("planned")
    assert planned.journal is not None
    assert (planned.command, planned.status, planned.attribution) == ("attribute", "planned", None)
    frame = hq.runs.to_frame(["planned", "readout.run"])
    assert list(frame["status"]) == ["planned", "planned"]
    assert list(frame["command"]) == ["attribute", "calibrate"]
    assert list(frame["shots_done"]) == [0, 0]
    assert tuple(frame.loc[0, ["circuits_planned", "shots_planned", "jobs_done"]]) == (8, 800, 0)
    assert run(f"{calibrate} --out readout.json") == 0
    (row,) = hq.runs.to_frame([path for path in Path().iterdir() if path.name.startswith("readout")]).to_dict("records")
    assert (row["folder"], row["status"]) == ("readout.run", "finished")
    assert row["calibration_id"] == hq.runs.load("readout.json").record["id"]
    with monkeypatch.context() as patch:
        patch.setattr(ExactBackend, "execute", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run(f"{LINE} --out stopped") == 130
    assert hq.runs.load("stopped").status == "unfinished"


def test_runs_of_scripts_are_rows() -> None:
    model, engine = hq.Model.load("trained/model.json"), hq.cirq_simulator(seed=5, journal="script")
    a = hq.integrated_gradients(
        model, [0.1, 0.7, 0.7, 0.1], baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=200
    )
    (row,) = hq.runs.to_frame("script").to_dict("records")
    assert (row["status"], row["shots_done"], row["engine"]) == ("running", 200, "cirq")  # the engine still holds its journal
    assert pd.isna(row["command"])
    a.save("script/attribution.npz")
    (row,) = hq.runs.to_frame("script").to_dict("records")
    assert (row["estimator"], row["inputs"], row["shots"], row["seed"]) == ("resolved Hadamard test", 1, 200, 5)
    assert row["mean_stderr"] == a.stderr.mean()


def test_unreadable_run_is_a_row_with_the_reason_or_an_error() -> None:
    Path("shots/journal.jsonl").write_text("nonsense\nmore\n", encoding="utf-8")
    Path("maps/attribution.npz").unlink()
    Path("trained/run.json").write_text("{}", encoding="utf-8")
    given = ["shots", "maps", "trained", "finished", "nowhere"]
    frame = hq.runs.to_frame(given)
    assert list(frame["folder"]) == given
    assert list(frame["status"]) == ["unreadable", "unreadable", "unreadable", "finished", "unreadable"]
    reasons = ("is not a journal", "no attribution.npz; restore", "not a run record", "the accuracy of", "no folder nowhere")
    for words, problem in zip(reasons, frame["problem"], strict=True):
        assert words in problem
    for one in set(given) - {"finished"}:
        with pytest.raises((ValueError, OSError, JournalError)):
            hq.runs.to_frame(one, unreadable="raise")


def test_training_that_runs_or_was_stopped_is_a_row(home: Path) -> None:
    task = {"command": "train", "settings": {"layers": 3, "seed": 4}, "data": {"spec": DATA}}
    with open_run("training", task, ("run.json",), ()):
        shutil.copytree("training", "killed")
        frame = hq.runs.to_frame(["training", "killed"])
    assert list(frame["status"]) == ["running", "unfinished"]
    assert list(frame["settings.layers"]) == [3, 3]
    assert list(frame["data"]) == [DATA, DATA]


def test_record_and_maps_of_different_lengths_are_refused() -> None:
    hq.Attribution.load("maps/attribution.npz")[:1].save("one.npz")
    Path("one.npz").replace("maps/attribution.npz")
    with pytest.raises(FileError, match=r"its run.json holds 2 inputs, its attribution.npz 1"):
        hq.runs.load("maps")


@pytest.mark.parametrize("name", ["shots/run.json", "trained/run.json", "finished/journal.jsonl", "calibration/readout.json"])
def test_damaged_run_is_a_row_of_a_table(name: str) -> None:
    file, rng, statuses = Path(name), np.random.default_rng(sum(name.encode())), set()
    intact = file.read_bytes()
    for _ in range(40):
        if name.endswith(".json"):
            file.write_text(damage.change_json(intact.decode(), rng), encoding="utf-8", errors="surrogatepass")
        else:
            file.write_bytes(damage.change_journal(intact, rng))
        frame = hq.runs.to_frame(file if file.name == "readout.json" else file.parent, per="input")
        assert len(frame) in (1, 2)
        assert (frame["problem"].notna() | (frame["status"] != "unreadable")).all()
        statuses |= set(frame["status"])
    assert statuses >= {"unreadable", "finished"}


def test_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"holds no run.*name a folder that"):
        hq.runs.load(tmp_path)
    with pytest.raises(ValueError, match="per='shot'"):
        hq.runs.to_frame(tmp_path, per="shot")  # type: ignore[arg-type]
    assert len(hq.runs.to_frame([])) == 0
    assert "completeness_gap" in hq.runs.to_frame([])


def test_csv_of_the_command_line_is_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    for per, lines in (("run", 8), ("input", 11)):
        assert run(f"runs . --csv --per {per}") == 0
        table = pd.read_csv(io.StringIO(capsys.readouterr().out))
        assert len(table) == lines
        assert list(table["jobs_done"].dropna().unique()) == [3, 87, 9, 2]
    Path("shots/run.json").write_text("{}", encoding="utf-8")
    assert run("runs . --csv") == 1
    assert "not a run record" in capsys.readouterr().out
    assert run("runs . --csv --follow") == 2
    assert "give one of them" in capsys.readouterr().err
    assert run("runs . --per input") == 2
    assert "--per input is for the table that --csv prints" in capsys.readouterr().err
