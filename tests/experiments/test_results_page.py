"""The pages of results: order, pictures, questions, and studies that were not run."""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pages import make_png

from experiments.runner import registry
from experiments.runner import results_page as page
from experiments.runner.study import Done, Findings, Study
from hattriq_cirq.reporting.document import Picture, Table


@dataclass(frozen=True)
class Task:
    """A number to be squared."""

    number: int


def run(task: Task) -> dict[str, Any]:
    return {"square": task.number**2}


def summarise(done: Sequence[Done[Task]]) -> Findings:
    total = sum(d.result["square"] for d in done)
    return Findings(
        findings=(f"The sum is {total} [{total}, {total}] | <all> of it.", "A second finding."),
        not_claimed=("anything else",),
        tables=(
            Table("few", ("number",), tuple((str(d.task.number),) for d in done)),
            Table("many", ("row",), tuple((f"row {k}",) for k in range(page.FOLD))),
        ),
        pictures=(Picture(make_png(4, 4, total), "the caption", "the alt", "squares"),),
        settings={"numbers": "small"},
    )


def study(name: str) -> Study[Task]:
    """Return a small study under the name of a real one."""
    return Study(
        name,
        f"Title of {name}: a small study.\n\nHow large?",
        lambda quick: [Task(k) for k in range(2 if quick else 4)],
        run,
        summarise,
    )


STUDIES = [study("gate_noise"), study("signs"), study("budget")]


def report(which: Study[Task], root: Path, scale: str) -> None:
    which.report(which.collect(which.tasks(scale == "quick"), root), root, scale)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Write the pages of two studies, one of which also has a quick run, and of a third with a quick run only."""
    for which in STUDIES[:2]:
        report(which, tmp_path / "runs", "full")
    report(STUDIES[0], tmp_path / "runs", "quick")
    report(STUDIES[2], tmp_path / "runs", "quick")
    assert page.write(STUDIES, tmp_path / "runs", tmp_path / "docs" / "results") == (["gate_noise", "signs"], ["budget"])
    return tmp_path / "docs" / "results"


def all_of(folder: Path) -> str:
    """Return the texts of all pages."""
    return "\n".join(file.read_text() for file in sorted(folder.glob("*.md")))


def index(folder: Path) -> str:
    return (folder / "index.md").read_text()


def listed(folder: Path) -> list[str]:
    """Return the pages that the index lists for the menu, in its order."""
    return re.findall(r"^(\w+)$", index(folder).partition("```{toctree}")[2], re.M)


def test_full_runs_have_pages_in_order_with_their_pictures(written: Path) -> None:
    assert {file.name for file in written.glob("*.md")} == {"index.md", "gate_noise.md", "signs.md"}
    assert listed(written) == ["gate_noise", "signs"]
    for name in listed(written):
        text = (written / f"{name}.md").read_text()
        assert text.startswith(f"# Title of {name}\n\nHow large?\n")
        assert text.count("Not claimed: anything else") == text.count("numbers: small") == 1
        assert text.count("<details><summary>many") == 1
        assert "<details><summary>few" not in text
        assert "The sum is 14 [14, 14]" in text  # of the full run
        assert "The sum is 1 " not in text
        (shown,) = re.findall(r"!\[the alt\]\((.*?)\)", text)
        assert shown == f"images/{name}-squares.png"
        assert (written / shown).read_bytes() == make_png(4, 4, 14)


def test_questions_link_to_pages_with_their_first_finding(written: Path) -> None:
    text = index(written)
    (row,) = re.findall(r"^\| What does the sign mean.*$", text, re.M)
    assert "? | [Title of signs](signs.md) | The sum is 14 [14, 14] \\| \\<all> of it. |" in row
    links = set(re.findall(r"\]\((\w+\.md)\)", text))
    assert links == {file.name for file in written.glob("*.md")} - {"index.md"}
    (row,) = re.findall(r"^\| What is the measurement budget.*$", text, re.M)
    assert "budget (not run)" in row
    assert "Not run: budget." in text


def test_page_states_simulation_unknown_settings_and_cost(written: Path) -> None:
    text = index(written)
    assert "Everything on these pages was simulated" in text
    assert "No quantum processor was reached" in text
    assert "Not known here are" in text
    cost = "ran 8 tasks: 0 core-minutes of processor time, in at least 0 minutes of wall time"
    assert cost in text  # four of each study; no quick ones twice


def test_pages_written_again_remove_old_pictures(written: Path) -> None:
    before, images = all_of(written), written / "images"
    (images / "signs-old.png").write_bytes(b"old")
    (images / "mine.png").write_bytes(b"mine")
    assert page.write(STUDIES, written.parent.parent / "runs", written)[1] == ["budget"]
    assert all_of(written) == before
    assert {file.name for file in images.iterdir()} == {"gate_noise-squares.png", "signs-squares.png", "mine.png"}


def numbers(quick: bool, chosen: argparse.Namespace) -> list[Task]:
    return [Task(k + chosen.first) for k in range(2 if quick else 4)]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--first", type=int, default=0)


WITH_OPTIONS = replace(study("signs"), tasks=numbers, options=options)


def test_run_with_options_is_not_the_study(tmp_path: Path) -> None:
    root, written = tmp_path / "runs", tmp_path / "docs" / "results"
    alone = ["--workers", "1", "--out", str(root)]
    WITH_OPTIONS.main(["--first", "4", *alone])
    assert page.write([WITH_OPTIONS], root, written) == ([], ["signs"])
    WITH_OPTIONS.main(alone)
    WITH_OPTIONS.main(["--first", "4", *alone])
    assert page.write([WITH_OPTIONS], root, written) == (["signs"], [])
    assert "The study whose pages were written last (signs) ran 4 tasks" in index(written)
    assert "The sum is 14 [" in (written / "signs.md").read_text()


@pytest.mark.parametrize("first", [0, 4])
def test_report_of_an_earlier_run_with_options_is_not_the_study(tmp_path: Path, first: int) -> None:
    tasks = [Task(first), Task(first + 1)] if first == 0 else [Task(first + k) for k in range(4)]
    STUDIES[1].report(STUDIES[1].collect(tasks, tmp_path), tmp_path, "full")
    assert page.write(STUDIES, tmp_path, tmp_path / "results") == ([], [each.name for each in STUDIES])
    assert not (tmp_path / "results").exists()


def test_pictures_of_studies_that_were_not_run_are_kept(written: Path) -> None:
    kept = written / "images" / "budget-squares.png"
    kept.write_bytes(b"of another computer")
    assert page.write(STUDIES, written.parent.parent / "runs", written)[1] == ["budget"]
    assert kept.exists()


def test_pages_of_studies_without_a_run_at_hand_stay_as_they_are(written: Path) -> None:
    runs, signs, gate_noise = written.parent.parent / "runs", written / "signs.md", (written / "gate_noise.md").read_text()
    changed = re.sub(r"The sum is 14 (.*of it\.)$", r"The sum was \1", signs.read_text(), flags=re.M)
    signs.write_text(changed)
    shutil.rmtree(runs / "signs")
    report(STUDIES[2], runs, "full")
    assert page.write(STUDIES, runs, written) == (["gate_noise", "budget"], [])
    assert all_of(written).count("The sum was [14, 14]") == 2  # its page and the table of questions, not the other study's
    assert (signs.read_text(), (written / "gate_noise.md").read_text()) == (changed, gate_noise)
    assert listed(written) == [each.name for each in STUDIES]
    assert page.write(STUDIES[::-1], runs, written)[1] == []
    (row,) = re.findall(r"^\| What does the sign mean.*$", index(written), re.M)
    assert "The sum was [14, 14] \\| \\<all> of it. |" in row


def test_every_page_says_from_which_version_it_is(written: Path) -> None:
    for name in listed(written):
        text = (written / f"{name}.md").read_text()
        said = rf"^From `python -m experiments {name}`: tasks 4, core-minutes 0\.0, version \S+(?:, commit .*)?, last"
        assert len(re.findall(said, text, re.M)) == 1


def test_pages_without_a_full_run_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "STUDIES", ("signs", "budget"))
    assert page.main(["--out", str(tmp_path / "runs"), "--pages", str(tmp_path / "docs" / "results")]) == 1
    assert "python -m experiments all" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_questions_name_all_studies() -> None:
    answering = {name for *_, names in page.QUESTIONS for name in names}
    assert answering == set(registry.STUDIES)


def record(end: float, seconds: float) -> dict[str, Any]:
    """Return the record of a task that ended some seconds after noon."""
    at = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(seconds=end)
    return {"seconds": seconds, "provenance": {"created_utc": at.isoformat()}}


@pytest.mark.parametrize(
    ("spans", "wall"),
    [
        ([], 0),
        ([(10, 10)], 10),
        ([(10, 10), (20, 10)], 20),  # one after the other
        ([(10, 10), (10, 10), (8, 3)], 10),  # at the same time
        ([(10, 10), (15, 10)], 15),  # overlapping
        ([(1000, 5), (10, 10)], 15),  # with a pause
    ],
)
def test_wall_time_is_the_union_of_the_task_intervals(spans: list[tuple[float, float]], wall: float) -> None:
    assert page.wall_seconds([record(*span) for span in spans]) == pytest.approx(wall)
