"""`hattriq gradient`: exact and measured derivatives, stopped runs, dry runs, and what other commands make of its folder."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from command_line import refusal, run, train_on_table

import hattriq_cirq as hq
from hattriq_cirq.execution.backends.simulators import ExactBackend
from hattriq_cirq.execution.engine import Engine

MEASURED = "--inputs test:0:2 --estimator hadamard --engine cirq --shots 2000 --seed 3"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table, a model, and measured gradients."""
    home = tmp_path_factory.mktemp("home")
    train_on_table(home, epochs=2)
    assert run(line(home, home / "whole", f"{MEASURED} --covariance")) == 0
    return home


def line(home: Path, out: Path, options: str) -> str:
    return f"gradient {home}/model --data {home}/table.csv --out {out} {options}"


def inputs(home: Path, model: hq.Model) -> np.ndarray:
    assert model.contract is not None
    return hq.datasets.load(f"{home}/table.csv", model.contract).x_test


def test_exact_gradients_are_written_and_shown(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line(home, tmp_path / "g", "--inputs test:0:3")) == 0
    assert "input 0: the 8 largest of 8 derivatives" in capsys.readouterr().out
    model = hq.Model.load(home / "model" / "model.json")
    found, wanted = hq.Gradient.load(tmp_path / "g" / "gradient.npz"), hq.gradient(model, inputs(home, model)[:3])
    for name in ("real", "imag", "real_stderr", "covariance"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    rows = list(csv.DictReader((tmp_path / "g" / "gradient.csv").read_text().splitlines()))
    assert [row["name"] for row in rows[:4]] == ["a", "b", "c", "d"]
    np.testing.assert_array_equal([float(row["real"]) for row in rows], wanted.real.ravel())
    assert run(f"show {tmp_path}/g --input 2 --top 1") == 0
    printed = capsys.readouterr().out
    largest = int(np.argmax(np.abs(wanted.real[2])))
    assert f"dF/dc_{largest}" in printed
    assert f"{wanted.real[2][largest]:+.6f}" in printed
    assert "--input 3 is out of range" in refusal(f"show {tmp_path}/g --input 3", capsys)


def test_measured_gradients_are_those_of_the_library_with_their_covariance(home: Path) -> None:
    model = hq.Model.load(home / "model" / "model.json")
    engine: Engine = hq.cirq_simulator(seed=3)
    wanted = hq.gradient(model, inputs(home, model)[:2], estimator=hq.HadamardTest(), engine=engine, shots=2000)
    found = hq.Gradient.load(home / "whole" / "gradient.npz")
    assert found.cost == wanted.cost
    for name in ("values", "real_stderr", "imag_stderr", "rare_stderr", "covariance"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    rows = list(csv.DictReader((home / "whole" / "gradient.csv").read_text().splitlines()))
    low, high = wanted.interval()
    np.testing.assert_array_equal([float(row["imag_high"]) for row in rows], high.imag.ravel())
    np.testing.assert_array_equal([float(row["real_low"]) for row in rows], low.real.ravel())


@pytest.mark.parametrize("begun", ["stopped", "planned"])
def test_run_that_was_begun_goes_on_to_the_same_result(
    home: Path, tmp_path: Path, begun: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = line(home, tmp_path / "g", f"{MEASURED} --covariance")
    if begun == "planned":
        assert run(f"{command} --dry-run") == 0
        assert "nothing was submitted" in capsys.readouterr().out
    else:
        execute, remaining = ExactBackend.execute, iter(range(5))
        with monkeypatch.context() as patch:

            def fails(self: ExactBackend, job: object) -> object:
                if next(remaining, None) is None:
                    raise KeyboardInterrupt
                return execute(self, job)  # type: ignore[arg-type]

            patch.setattr(ExactBackend, "execute", fails)
            assert run(command) == 130
    assert not (tmp_path / "g" / "gradient.npz").exists()
    assert run(f"resume {tmp_path}/g") == 0
    found, whole = (hq.Gradient.load(folder / "gradient.npz") for folder in (tmp_path / "g", home / "whole"))
    np.testing.assert_array_equal(found.values, whole.values)
    np.testing.assert_array_equal(found.covariance, whole.covariance)
    assert "holds a finished run" in refusal(command, capsys)


def test_folder_of_gradients_is_listed_and_reported(home: Path, tmp_path: Path) -> None:
    assert run(f"report {home}/whole --out {tmp_path}/page.html") == 0
    page = (tmp_path / "page.html").read_text()
    assert "Gradients at inputs of" in page
    (row,) = hq.runs.load(home / "whole").rows()
    assert (row["command"], row["inputs"], row["estimator"]) == ("gradient", 2, "hadamard")
    assert row["shots"] == 4000


def test_what_cannot_be_measured_is_refused_before_it_begins(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, message in (
        (f"{MEASURED} --mitigate completeness", "leave that mitigation out"),
        ("--dry-run", "--dry-run needs an --estimator"),
        ("--inputs test:0:1 --estimator resolved --dry-run --shots 0", "--dry-run needs --shots 1 or more"),
    ):
        assert message in refusal(line(home, tmp_path / "g", options), capsys)
        assert not (tmp_path / "g").exists()
