"""The page on learned models: its commands print what it says, its example runs, and its names are those of the library."""

from __future__ import annotations

import io
import re
import shlex
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import get_args

import pytest
from command_line import run
from page_script import check_printed, python_blocks, steps

import hattriq_cirq as hq
from hattriq_cirq.models.learned import PriorKind

PAGE = (Path(__file__).parents[2] / "docs" / "learned.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with redirect_stdout(io.StringIO()) as out:
        for code in python_blocks(PAGE):
            exec(code, names)
    assert out.getvalue().count("the outcomes agree with the prediction") == 2
    assert isinstance(learned := names["learned"], hq.LearnedModel)
    assert isinstance(plan := names["plan"], hq.LearningPlan)
    assert (learned.record.shots, learned.record.circuits) == (plan.shots, plan.resources.circuits)
    assert (tmp_path / "comparison.png").is_file()


def test_page_names_every_prior() -> None:
    rows = re.findall(r"^\| `(\w+)`", PAGE.partition("| `prior` |")[2].partition("\n\n")[0], re.M)
    assert set(rows) == set(get_args(PriorKind))


@pytest.mark.slow
def test_commands_of_the_page_print_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for step in steps(PAGE):
        program, *words = shlex.split(step.command)
        assert program == "hattriq"
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            code = run(shlex.join(words))
        assert code == (2 if step.fails else 0), err.getvalue()
        check_printed(step, out.getvalue() + err.getvalue())
