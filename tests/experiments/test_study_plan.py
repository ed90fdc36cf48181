"""Plans of studies: files and options, identity of their tasks, agreement with `attribute`, and a study that was killed."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import refusal, run, start

import hattriq_cirq as hq
from calibration import Readout
from experiments.runner.plan import EXAMPLE, Plan, read_plan
from experiments.runner.study import Done
from experiments.studies import mitigation
from experiments.studies.mitigation import STUDY, plan_tasks
from hattriq_cirq.foundation.arrays import plain
from hattriq_cirq.reporting.document import Section
from hattriq_cirq.workflows.generated_models import GATE_NAMES, generate_model

GRID = Plan(
    models=("ring:n=1,layers=0,seed=3",),
    data=("random_states:n_qubits=1,seed=1",),
    inputs=("test:0:2",),
    engines=("qsim",),
    shots=(400,),
    repeats=2,
)
TEXT = """models = "ring:n=1,layers=0,seed=3"  # one value may stand for a list
data = ["random_states:n_qubits=1,seed=1"]
inputs = ["test:0:2"]
engines = "qsim"
shots = 400
repeats = 2
"""


def results(root: Path) -> dict[str, Any]:
    """Return the results of all tasks below a folder."""
    return {file.name: json.loads(file.read_text())["result"] for file in sorted(root.glob("mitigation/tasks/*.json"))}


def test_plan_of_a_file_is_that_of_the_same_options(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(TEXT)
    assert read_plan(tmp_path / "plan.toml") == GRID
    words = (
        "--model ring:n=1,layers=0,seed=3 --data random_states:n_qubits=1,seed=1 --inputs test:0:2 --engine qsim --shots 400"
    )
    chosen = STUDY.parser().parse_args([*words.split(), "--repeats", "2"])
    assert STUDY.chosen_tasks(chosen) == plan_tasks(GRID)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mitigation = ['none']", "key 'mitigation' is unknown; did you mean 'mitigations'?"),
        ("shot = 3", "key 'shot' is unknown; did you mean 'shots'?"),
        ("colour = 3", "key 'colour' is unknown; known keys are models, data, engines"),
        ("seeds = ['a']", r"seeds\[0\] is 'a', must be a whole number"),
        ("shots = []", "shots is an empty list"),
        ("baselines = ['zeros']", "baseline 'zeros' must be one of"),
        ("estimators = ['exact']", "estimator 'exact' runs no circuit"),
        ("mitigations = ['twirls']", "mitigation 'twirls' must be of"),
        ("inputs = ['tests']", "inputs 'tests' must be test, train"),
        ("this is no plan", "it is no TOML"),
    ],
)
def test_wrong_plan_is_refused_before_anything_runs(line: str, message: str, tmp_path: Path) -> None:
    key = line.partition(" ")[0]
    kept = [each for each in TEXT.splitlines() if not each.startswith(f"{key} ")]
    (tmp_path / "plan.toml").write_text("\n".join([*kept, line]))
    with pytest.raises(ValueError, match=message):
        STUDY.main(["--plan", str(tmp_path / "plan.toml"), "--out", str(tmp_path / "runs")])
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("study mitigaton", "no study 'mitigaton'; did you mean 'mitigation'?"),
        ("study missing.toml", "missing.toml"),
        ("study mitigation --engine qsim", "--models is missing"),
        ("study mitigation --plan plan.toml --shots 3", "--shots is given by the plan"),
        ("study signs --new plan.toml", "no study"),
    ],
)
def test_wrong_words_are_refused_in_one_line(
    words: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if words.startswith("study signs"):
        words, message = "study --new plan.toml signs", "leave out 'signs'"
    assert message in refusal(words, capsys)
    assert not list(tmp_path.iterdir())


def test_maps_are_those_of_integrated_gradients_with_the_same_seed(tmp_path: Path) -> None:
    task, again = plan_tasks(replace(GRID, seeds=(5,), mitigations=("readout:100",)))
    data = hq.datasets.load(task.data)
    options: dict[str, Any] = {"estimator": hq.ResolvedHadamardTest(), "shots": 400, "baseline": 0}
    model, x = generate_model(task.model), data.x_test[:2]
    a = hq.integrated_gradients(model, x, engine=hq.qsim(seed=5), mitigation=Readout(shots=100), **options)
    level = mitigation.run(task, tmp_path / "journal")["maps"]["400"]
    np.testing.assert_array_equal(level["values"][:, 0], a.values)
    np.testing.assert_allclose(level["half_width"][:, 0], a.interval(0.95)[1] - a.values)
    other = mitigation.run(again, tmp_path / "again")["maps"]["400"]
    assert not np.array_equal(level["values"], other["values"])


def test_device_of_a_plan_computes_virtual_processors_and_is_no_part_of_a_task(tmp_path: Path) -> None:
    engines = ("qsim", "virtual:willow_pink")
    plan = replace(GRID, engines=engines, repeats=1)
    there = plan_tasks(replace(plan, device="array_api_strict"))
    assert [task.device for task in there] == ["cpu", "array_api_strict"]
    assert there == plan_tasks(plan)  # so that results of any device are kept
    levels = [mitigation.run(task, tmp_path / task.device)["maps"]["400"] for task in (plan_tasks(plan)[1], there[1])]
    np.testing.assert_array_equal(levels[1]["values"], levels[0]["values"])
    with pytest.raises(ValueError, match="device 'array_api_strict' is for virtual processors, and no engine is one"):
        plan_tasks(replace(GRID, device="array_api_strict"))
    with pytest.raises(ValueError, match="device='gpu' must be 'cpu', or a GPU"):
        replace(GRID, device="gpu")


def test_learned_models_are_one_campaign_for_all_inputs_and_baselines(tmp_path: Path) -> None:
    plan = replace(GRID, inputs=("test:0:2", "test:2:3"), baselines=("zero", "uniform"), shots=(20_000,), repeats=1)
    plan = replace(plan, estimators=("resolved", "learned"), mitigations=("none", "damping"))
    tasks = plan_tasks(plan)
    assert [task.mitigation for task in tasks if task.is_learned] == ["none", "damping"]
    assert {task.mitigation for task in tasks if not task.is_learned} == {"none"}  # damping is for campaigns
    assert len(tasks) == 4 + 2
    task = next(task for task in tasks if task.is_learned)
    result = json.loads(json.dumps(mitigation.run(task, tmp_path / "journal"), default=plain))
    model, data = generate_model(task.model), hq.datasets.load(task.data)
    learned = hq.learn_observable(model, engine=hq.qsim(seed=0), shots=20_000, inputs=np.repeat(data.x_test[:3], 2, axis=0))
    level = result["maps"]["20000"]
    assert (level["cost"][0]["shots"], level["cost"][0]["circuits"], len(level["cost"])) == (20_000, learned.record.circuits, 1)
    assert mitigation.price(task)["circuits"] == f"{learned.record.circuits:,}"
    done = [Done(task, result, 0.0, {})]
    rows = list(csv.DictReader(io.StringIO(mitigation.files(done)["maps.csv"])))
    assert [(row["inputs"], row["baseline"], row["input"]) for row in rows] == [
        *(("test:0:2", baseline, i) for baseline in ("zero", "uniform") for i in "01"),
        ("test:2:3", "zero", "0"),
        ("test:2:3", "uniform", "0"),
    ]
    table = list(csv.DictReader(io.StringIO(mitigation.files(done)["table.csv"])))
    assert {float(row["shots per map"]) for row in table} == {20_000 / 6}
    assert max(float(row["error"]) for row in rows) < 0.1
    with pytest.raises(ValueError, match="mitigation 'damping' fits none of the estimators resolved"):
        plan_tasks(replace(plan, estimators=("resolved",)))


def test_plan_names_its_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plans = re.findall(r"```toml\n(.*?)```", (Path(__file__).parents[2] / "docs" / "learned.md").read_text(), re.S)
    assert len(plans) == 2
    (tmp_path / "plan.toml").write_text(plans[1])
    assert run(f"study {tmp_path}/plan.toml --out {tmp_path}/runs --list") == 0
    assert "40 tasks of learned, 40 of them to run" in capsys.readouterr().out
    for line, message in (
        ('study = "signs"', "study 'signs' has no plans; choose one of mitigation, learned"),
        ("study = 3", "study is 3, must be the name of a study"),
        ('study = "learned"\nsubject = "digits35_grid"', "key 'subject' is unknown; did you mean 'subjects'?"),
        ('study = "learned"\nsubjects = "digits"', "--subjects"),
        ('study = "learned"\nseeds = [7]', "--seeds"),
    ):
        (tmp_path / "wrong.toml").write_text(line)
        assert message in refusal(f"study {tmp_path}/wrong.toml --list", capsys)
    assert "--seeds is given by the plan" in refusal(f"study {tmp_path}/plan.toml --seeds 1", capsys)


@pytest.mark.parametrize(
    ("place", "changes", "studied"),
    [
        (
            0,
            {"grid:rows=2,cols=2,layers=2,seed=0": "ring:n=1,layers=1,seed=0", "100_000, 1_000_000": "4_000", "[0, 1]": "[0]"},
            "mitigation",
        ),
        (
            1,
            {', "mnist19_grid"': "", "100_000, 1_000_000": "5_000", "0, 1, 2, 3, 4": "0", "inputs = 100": "inputs = 4"},
            "learned",
        ),
    ],
)
@pytest.mark.slow
def test_plans_of_the_page_run(place: int, changes: dict[str, str], studied: str, tmp_path: Path) -> None:
    plans = re.findall(r"```toml\n(.*?)```", (Path(__file__).parents[2] / "docs" / "learned.md").read_text(), re.S)
    text = plans[place]
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "plan.toml").write_text(text)
    assert run(f"study {tmp_path}/plan.toml --out {tmp_path}/runs --workers 1") == 0
    assert list((tmp_path / "runs" / studied).glob("report-options-*/index.html")) or list(
        (tmp_path / "runs" / studied).glob("report-options-*/section.json")
    )


def test_tasks_are_known_by_content_and_only_new_ones_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran: list[mitigation.Task] = []
    computed = mitigation.run

    def counted(task: mitigation.Task, journal: Path) -> dict[str, Any]:
        ran.append(task)
        return computed(task, journal)

    study = replace(STUDY, run=counted)
    generate_model("ring:n=1,layers=0,seed=3").save("model.json")
    (tmp_path / "plan.toml").write_text(TEXT.replace("ring:n=1,layers=0,seed=3", "model.json"))
    study.collect(plan_tasks(read_plan("plan.toml")), tmp_path)
    assert len(ran) == 2
    (tmp_path / "elsewhere").mkdir()
    Path("model.json").rename("elsewhere/model.json")
    text = "# another comment\n" + TEXT.replace("ring:n=1,layers=0,seed=3", "elsewhere").replace("400", "[400, 500]")
    (tmp_path / "other.toml").write_text(text)
    study.collect(plan_tasks(read_plan("other.toml")), tmp_path)
    assert [task.shots for task in ran] == [400, 400, 500, 500]
    generate_model("ring:n=1,layers=0,seed=4").save("changed.json")
    tasks = plan_tasks(replace(GRID, models=("changed.json",)))
    assert {task.model for task in tasks}.isdisjoint({task.model for task in ran})


def test_list_names_the_models_as_the_plan_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate_model("ring:n=1,layers=0,seed=4").save(tmp_path / "mine.json")
    text = TEXT.replace('"ring:n=1,layers=0,seed=3"', f'["ring:n=1,layers=0,seed=3", "{tmp_path}/mine.json"]')
    (tmp_path / "plan.toml").write_text(text)
    assert run(f"study {tmp_path}/plan.toml --out {tmp_path}/runs --list") == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["repeat", "model"]
    assert {row.split()[1] for row in rows[:-1]} == {"ring:n=1,layers=0,seed=3", "mine.json"}


def test_study_writes_tables_pictures_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plan.toml").write_text(TEXT + "mitigations = ['none', 'readout:100']\n")
    assert run(f"study {tmp_path}/plan.toml --out {tmp_path}/runs --dry-run") == 0
    listed = capsys.readouterr().out
    assert "4 tasks of mitigation, 4 of them to run" in listed
    assert not (tmp_path / "runs").exists()
    assert run(f"study {tmp_path}/plan.toml --out {tmp_path}/runs --workers 1") == 0
    (folder,) = (file.parent for file in tmp_path.rglob("section.json"))
    section = Section.load(folder)
    assert {each.name for each in section.pictures} == {"errors_and_cost", "maps"}
    assert (folder / "page.html").read_text().count("data:image/png") == 2
    with (folder / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (folder / "maps.csv").open() as file:
        maps = list(csv.DictReader(file))
    assert [row["mitigation"] for row in rows] == ["none", "readout:100"]
    assert len(maps) == 4 * 2
    for row in rows:
        own = [float(each["error"]) for each in maps if each["mitigation"] == row["mitigation"]]
        assert float(row["error"]) == pytest.approx(np.mean(own))
        assert float(row["error low"]) <= float(row["error"]) <= float(row["error high"])
    assert [(row["shots"], float(row["shots per map"])) for row in rows] == [("400", 400.0), ("400", 500.0)]
    assert float(rows[0]["circuits per map"]) == 1


def test_example_of_a_plan_is_a_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.toml"
    assert run(f"study --new {path}") == 0
    plan = read_plan(path)
    assert len(plan_tasks(plan)) == 6
    assert f"hattriq study {path}" in path.read_text()
    assert EXAMPLE.count("=") >= 10
    assert "exists" in refusal(f"study --new {path}", capsys)


@pytest.mark.parametrize("gates", GATE_NAMES)
def test_generated_models_repeat_and_differ_by_seed(gates: str) -> None:
    one, again, other = (generate_model(f"random:n=3,seed={seed},gates={gates}") for seed in (1, 1, 2))
    x = np.eye(8)[0]
    assert one.expectation(x) == again.expectation(x)
    assert one.expectation(x) != other.expectation(x)


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def assert_succeeds(line: str) -> None:
    process = start(line)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


@pytest.mark.slow
def test_killed_study_of_a_random_circuit_on_a_snapshot_gives_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("snapshot weber --out weber.json") == 0
    lines = (
        "models = 'random:n=3,seed=7'",
        "data = 'random_states:n_qubits=3,seed=1'",
        "inputs = 'test:0:2'",
        "engines = 'virtual:weber.json'",
        "mitigations = ['none', 'zne,twirl:4,readout']",
        "repeats = 2",
    )
    Path("plan.toml").write_text("\n".join(lines), encoding="utf-8")
    assert_succeeds("study plan.toml --out whole --workers 2")
    killed, tasks = start("study plan.toml --out killed --workers 1"), Path("killed/mitigation/tasks")

    def is_inside_a_task() -> bool:
        begun = Path("killed/mitigation/journals").glob("*zne*/journal.jsonl")
        return any('"counts"' in file.read_text() and not (tasks / f"{file.parent.name}.json").exists() for file in begun)

    assert wait_for(is_inside_a_task)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    (journal,) = Path("killed/mitigation/journals").glob("*zne*/journal.jsonl")
    counted = [line for line in journal.read_text().splitlines() if '"counts"' in line]
    assert counted
    assert len(list(tasks.glob("*.json"))) == 2
    assert_succeeds("study plan.toml --out killed --workers 1")
    assert set(counted) <= set(journal.read_text().splitlines())  # no finished job ran again
    assert results(Path("killed")) == results(Path("whole"))
    tables = [next(Path(name).rglob("table.csv")).read_text() for name in ("whole", "killed")]
    assert tables[0] == tables[1]


PAGE = (Path(__file__).parents[2] / "docs" / "studies.md").read_text()


@pytest.mark.slow
def test_commands_of_the_page_of_studies_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [line[len("$ hattriq ") :] for line in PAGE.replace("\\\n", " ").splitlines() if line.startswith("$ hattriq ")]
    assert len(lines) == 5
    for line in lines:
        assert run(line) == 0
    assert {file.parents[2].name for file in tmp_path.rglob("page.html")} == {"first", "mine"}
