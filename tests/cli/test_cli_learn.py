"""Learned models on the command line: learn, attribute, show, report, resume, dry run, and what is refused."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import refusal, run, train_on_table
from content_sampler import ContentSampler
from forked import ForkServer
from interrupted import killed_at_call, results
from journals import interrupting, read_records
from stand_in import StandIn

import hattriq_cirq as hq
from calibration import Readout
from hattriq_cirq.execution.journal import Journal
from hattriq_cirq.execution.journal_summary import read_summary
from hattriq_cirq.workflows import learning_campaign, learning_strings

pytestmark = pytest.mark.usefixtures("small_pictures")

HELPERS = Path(__file__).parents[1] / "helpers"
OPTIONS = "--engine virtual:willow_pink --shots 20000 --probes 40 --mitigate damping,readout:400 --seed 3"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table, a model trained on it, and the model as the virtual processor computes it."""
    home = tmp_path_factory.mktemp("home")
    train_on_table(home)
    assert run(f"{learn(home)} --out {home}/learned") == 0
    return home


def learn(home: Path, options: str = OPTIONS) -> str:
    return f"learn {home}/model {options}"


def test_learned_run_holds_model_plan_tests_and_settings(home: Path) -> None:
    folder = home / "learned"
    names = {file.name for file in folder.iterdir() if not file.name.startswith(".")}
    assert names == {"learned.npz", "run.json", "tests.png", "journal.jsonl", "hattriq.log"}
    model = hq.Model.load(home / "model" / "model.json")
    learned = hq.LearnedModel.load(folder / "learned.npz", model)
    record = json.loads((folder / "run.json").read_text())
    assert learned.contract == model.contract
    assert learned.contract is not None
    assert learned.contract.columns == ("a", "b", "c", "d")
    ((e0, e1, *errors),) = learned.record.readout_rates.values()
    assert 0 <= max(e0, e1) < 0.1
    assert min(errors) > 0
    assert len(learned.record.snapshot_digest or "") == 64
    assert record["plan"]["shots"] == record["cost"]["shots"] == 20_000
    assert record["cost"]["mitigation_shots"] == 800
    assert record["held_out"]["pvalue"] > 0.001
    assert record["comparison"]["pvalue"] > 0.001
    assert 0 < record["maps"]["median_error"] < 0.2
    assert [row["classifier"] for row in record["accuracies"][:2]] == ["this model", "simulated model"]
    assert (record["data"]["name"], record["settings"]["strings"]) == ("table", "structure")


def test_learned_model_is_attributed_and_reported(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = hq.Model.load(home / "model" / "model.json"), hq.datasets.load(f"{home}/table.csv")
    options = {"a": "--form normalized --baseline mean", "b": "--head sigmoid:2"}
    exact = {
        "a": hq.integrated_gradients(
            model, data.x_test, baseline=hq.baselines.mean(data.x_test, data.x_train), form="normalized"
        ),
        "b": hq.integrated_gradients(model, data.x_test, baseline=0, head=hq.Head("sigmoid", 2)),
    }
    for name, words in options.items():
        assert run(f"attribute {home}/learned --data {home}/table.csv --inputs test {words} --out {tmp_path}/{name}") == 0
        found = hq.Attribution.load(tmp_path / name / "attribution.npz")
        assert (np.abs(found.values - exact[name].values) <= 6 * found.stderr + 0.02).all()
        assert found.stderr.max() > 0
        assert found.assumptions.estimator == "learned observable, 7 Pauli strings"
        assert any("owes nothing to a simulation" in note for note in found.assumptions.notes)
    (row,) = hq.runs.load(tmp_path / "a").rows()
    assert (row["engine"], row["estimator"]) == ("virtual:willow_pink", "learned observable, 7 Pauli strings")
    assert row["accuracy_test"] is not None
    assert run(f"report {home}/learned {tmp_path}/a --out {tmp_path}/page.html") == 0
    page = (tmp_path / "page.html").read_text()
    assert page.count("How much the device gave: strings that the structure") == 2  # for the observable and beside its maps
    for text in ("Does the fit describe the device?", "A speed-up"):
        assert text in page


def test_learned_run_is_shown_listed_and_read(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"show {home}/learned") == 0
    printed = capsys.readouterr().out
    for text in (
        "LearnedModel of observable",
        "owes nothing to a simulation",
        "simulated model",
        "Of the held-out probes, the outcomes",
    ):
        assert text in printed
    assert run(f"show {home}/learned/learned.npz") == run(f"show {home}/learned/run.json") == 0
    assert "Does the device compute the observable of the model?" in capsys.readouterr().out
    assert run(f"runs {home}/learned") == 0
    assert re.search(r"learn +virtual:willow_pink +finished", capsys.readouterr().out)
    read = hq.runs.load(home / "learned")
    assert read.learned is not None
    assert (read.command, read.status, read.attribution) == ("learn", "finished", None)
    (row,) = read.rows()
    assert (row["shots"], row["estimator"]) == (20_000, "learned: strings structure, prior empirical_bayes")
    assert row["accuracy_test"] is not None


def test_picture_of_the_tests_is_drawn_again_where_it_is_missing(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "learned", tmp_path / "run")
    (tmp_path / "run" / "tests.png").unlink()
    assert run(f"report {tmp_path}/run --out {tmp_path}/page.html") == 0
    assert run(f"{learn(home)} --out {tmp_path}/run") == 0
    assert results(tmp_path / "run") == results(home / "learned")


def test_interrupted_campaign_goes_on_to_the_undisturbed_result(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, jobs = tmp_path / "run", read_summary(home / "learned").jobs
    assert jobs > 4
    assert run(f"{learn(home)} --out {folder} --max-jobs 2") == 2
    assert f"`hattriq resume {folder} --max-jobs" in capsys.readouterr().err
    assert (read_summary(folder).done, read_summary(folder).jobs) == (2, jobs)
    assert run(f"resume {folder} --max-jobs 1000") == 0
    assert results(folder) == results(home / "learned")
    assert read_summary(folder).status == "finished"
    assert "is finished, nothing is left to do" in refusal(f"resume {folder}", capsys)


def ended_before_the_kill_or_goes_on(call: int, home: Path, folder: Path, undisturbed: Path) -> bool:
    """Kill a campaign at a call; return true if it ended before, else check that it goes on to the undisturbed result."""
    if killed_at_call(call, lambda: run(f"{learn(home)} --out {folder}")):
        return True
    assert run(f"{learn(home)} --out {folder}") in (0, 2)  # 2 if it was finished before
    found = {name: content for name, content in results(folder).items() if "torn" not in name}
    assert found == results(undisturbed)
    return False


@pytest.mark.parametrize("chosen", [30, pytest.param(0, marks=pytest.mark.slow)])
def test_campaign_killed_at_a_call_of_the_operating_system_goes_on(home: Path, tmp_path: Path, chosen: int) -> None:
    """Killed at one call in the fast test, and in the slow one at each until the run ends."""
    for call in (chosen,) if chosen else range(1, 400):
        whole = ended_before_the_kill_or_goes_on(call, home, tmp_path / str(call), home / "learned")
        assert not (chosen and whole)
        if whole:
            assert call > 50
            return


@pytest.mark.parametrize("jobs", [2, 6, 9])
def test_campaign_of_two_stages_goes_on_from_either_stage_to_the_undisturbed_result(
    home: Path, tmp_path: Path, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_campaign, "_MANY", 5)
    assert run(f"{learn(home)} --out {tmp_path}/whole") == 0
    folder, ids = tmp_path / "run", {str(record["job"]) for record in read_records(tmp_path / "whole") if "job" in record}
    assert [sum(f"-{call:03d}-" in each for each in ids) for call in (1, 2, 3)] == [6, 7, 0]
    assert run(f"{learn(home)} --out {folder} --max-jobs {jobs}") == 2
    assert run(f"resume {folder} --max-jobs 1000") == 0
    assert results(folder) == results(tmp_path / "whole")


@pytest.mark.slow
def test_campaign_of_two_stages_killed_at_calls_of_the_operating_system_goes_on(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_campaign, "_MANY", 5)
    assert run(f"{learn(home)} --out {tmp_path}/whole") == 0
    for call in range(1, 600, 7):
        if ended_before_the_kill_or_goes_on(call, home, tmp_path / str(call), tmp_path / "whole"):
            assert call > 90
            return


@pytest.mark.parametrize("many", [5, 1_000])
def test_campaign_that_an_earlier_version_began_goes_on_in_one_batch(
    tmp_path: Path, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixtures = Path(__file__).parents[1] / "fixtures"
    shutil.copytree(fixtures / "learned_run_1" / "interrupted", tmp_path / "run")
    shutil.copytree(fixtures / "version_0_1" / "trained", tmp_path / "trained")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(learning_campaign, "_MANY", many)
    assert read_summary(tmp_path / "run").done == 6
    assert run("resume run --max-jobs 1000") == 0
    found, expected = map(hq.LearnedModel.load, (tmp_path / "run" / "learned.npz", fixtures / "learned_run_1" / "expected.npz"))
    assert (found.record.circuits, found.record.shots) == (expected.record.circuits, 20_000)
    for name in ("coefficients", "covariance"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.fit.outcomes.values, expected.fit.outcomes.values)
    assert found.held_out_test().pvalue == pytest.approx(expected.held_out_test().pvalue, rel=1e-6)


def test_dry_run_prints_the_plan_and_the_campaign_goes_on_from_it(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run(f"{learn(home)} --out {folder} --dry-run") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("LearningPlan of observable")
    assert re.search(r"predicted error +0\.\d+ of the norm of a map at 20,000 shots", printed)
    assert f"{read_summary(folder).jobs} jobs recorded in {folder}; nothing was submitted" in printed
    assert (read_summary(folder).status, read_summary(folder).done) == ("planned", 0)
    assert run(f"resume {folder}") == 0
    assert results(folder) == results(home / "learned")


def test_cost_of_learning_stands_beside_that_of_an_estimator_with_the_number_of_maps(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"cost {home}/model --data {home}/table.csv --processor willow_pink --out {tmp_path}/cost"
    assert run(f"{line} --estimators resolved,learned,learned:magnitude") == 0
    printed = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "cost" / "cost.csv")
    assert table["per"].tolist() == ["input", "model", "model"]
    resolved, learned, sharp = table["shots_for_cosine"]
    assert learned > sharp > 0
    maps = math.ceil(learned / resolved)
    assert re.search(
        rf"\(structure, empirical_bayes\) takes fewer shots than resolved .* from {maps} maps? on: {learned} once", printed
    )
    assert "n = 2, 7 Pauli strings. learned observable" in printed
    model, data = hq.Model.load(home / "model" / "model.json"), hq.datasets.load(f"{home}/table.csv")
    plan = hq.plan_learning(model, error=math.sqrt(1 / 0.95**2 - 1), inputs=data.x_train)
    assert learned == plan.shots
    monkeypatch.setattr(learning_strings, "_STRINGS_MAX", 5)
    assert run(f"cost {home}/model --data {home}/table.csv --estimators learned,resolved") == 0
    assert "n = 2. learned is not possible: 7 Pauli strings are too many to learn" in capsys.readouterr().out
    assert "must be one of exact" in refusal(f"cost {home}/model --data {home}/table.csv --estimators learned:best", capsys)


def test_cost_of_a_campaign_with_shots_is_that_of_its_plan(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = "--engine virtual:willow_pink --shots 3000 --mitigate readout:400 --seed 3"
    assert run(f"cost {home}/model --data {home}/table.csv --estimators learned {engine}") == 0
    printed = capsys.readouterr().out.removeprefix("n = 2, 7 Pauli strings. ")
    model, data = hq.Model.load(home / "model" / "model.json"), hq.datasets.load(f"{home}/table.csv")
    on = hq.virtual("willow_pink", seed=3)
    plan = hq.plan_learning(model, engine=on, shots=3000, inputs=data.x_train, mitigation=Readout(shots=400), seed=3)
    assert printed == f"{plan.resources}\n"


def test_campaign_on_a_service_stops_and_runs_no_job_twice(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = f"{learn(home, OPTIONS.replace('virtual:willow_pink', 'google:p/willow_pink'))} --out {tmp_path}/run"
    with StandIn() as service, service.connected():
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "store", interrupting(Journal.store, 2))
            assert run(line) == 130
        assert run(f"resume {tmp_path}/run") == 0
        assert set(service.executions.values()) == {1}
    summary = read_summary(tmp_path / "run")
    assert (summary.status, summary.done) == ("finished", sum(service.executions.values()))
    learned = hq.LearnedModel.load(tmp_path / "run" / "learned.npz", hq.Model.load(home / "model" / "model.json"))
    assert learned.record.engine_record["snapshot"] == summary.engine["snapshot"]
    assert len(learned.record.snapshot_digest or "") == 64


@pytest.mark.slow
def test_campaign_on_a_service_killed_at_random_moments_ends_in_the_undisturbed_result(home: Path, tmp_path: Path) -> None:
    options, rng, deaths = OPTIONS.replace("virtual:willow_pink", "google:p/willow_pink"), np.random.default_rng(5), 0
    with (
        StandIn(sampler=ContentSampler(), job_seconds=0.01) as service,
        ForkServer(HELPERS / "hattriq_on_service.py") as server,
    ):

        def start(folder: str) -> int:
            words = shlex.split(f"{learn(home, options)} --out {tmp_path}/{folder}")
            streams = {"out": f"{tmp_path}/out.txt", "err": f"{tmp_path}/err.txt"}
            return server.start(json.dumps({"address": service.address, "words": words, "folder": str(tmp_path), **streams}))

        start("whole")
        assert server.wait() == 0
        for number in range(8):
            for seconds in rng.uniform(0.05, 0.7, 3):
                pid = start(f"run{number}")
                time.sleep(float(seconds))
                deaths += server.kill(pid) == -signal.SIGKILL
            start(f"run{number}")
            server.wait()  # 2 if it was finished before
            found = {name: content for name, content in results(tmp_path / f"run{number}").items() if "torn" not in name}
            assert found == results(tmp_path / "whole")
        assert set(service.executions.values()) == {1}
    assert deaths >= 12


def test_exact_probabilities_need_no_journal(home: Path, tmp_path: Path) -> None:
    assert run(f"{learn(home, '--engine cirq --shots 0 --prior none --probes 30')} --out {tmp_path}/run") == 0
    assert not (tmp_path / "run" / "journal.jsonl").exists()
    learned = hq.LearnedModel.load(tmp_path / "run" / "learned.npz")
    model = hq.Model.load(home / "model" / "model.json")
    np.testing.assert_allclose(learned.observable.matrix, model.matrix.real, atol=1e-6)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["plan"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--shots 10", "shots=10 must be at least"),
        ("--error 0.001", "error=0.001 takes"),
        ("--strings XYZ", "strings of 3 letters do not fit"),
        ("--data bars_and_stripes", "takes 4 features"),
        ("--mitigate completeness", "a campaign has no inputs"),
        ("--dry-run --shots 0", "--dry-run needs --shots 1 or more"),
        ("--error 0.1 --shots 0", "--error needs --shots 1 or more"),
    ],
)
def test_campaign_that_cannot_be_run_is_refused_and_leaves_nothing(
    home: Path, tmp_path: Path, options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refusal(f"{learn(home, '--engine qsim --probes 40')} --out {tmp_path}/run {options}", capsys)
    assert not (tmp_path / "run").exists()


def test_learned_model_has_no_circuit(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = f"--data {home}/table.csv --out {tmp_path}/run"
    assert "its maps need none" in refusal(f"attribute {home}/learned --estimator resolved {data}", capsys)
    assert "which has no circuit; give the model from which" in refusal(f"learn {home}/learned {data}", capsys)
    assert "which has no circuit" in refusal(f"cost {home}/learned {data}", capsys)
    shutil.copy(home / "model" / "model.json", tmp_path / "model.json")
    assert "no data set is recorded beside" in refusal(f"learn {tmp_path}/model.json --out {tmp_path}/run", capsys)
    other = tmp_path / "other.csv"
    other.write_text((home / "table.csv").read_text().replace("a,b,c,d", "a,b,c,e"))
    assert "lack the columns 'd'" in refusal(f"attribute {home}/learned --data {other} --out {tmp_path}/run", capsys)
