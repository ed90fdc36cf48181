"""The scripts in examples: short, and they run; the long ones with fewer shots and epochs, in full when marked slow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hattriq_cirq as hq

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(script.stem for script in EXAMPLES.glob("*.py"))
Main = Callable[..., Any]


@pytest.fixture
def main_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Main]:
    """Return a function that loads a script in an empty folder and returns its main function."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")

    def load(name: str) -> Main:
        spec = util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        main: Main = module.main
        return main

    return load


@pytest.mark.parametrize("name", NAMES)
def test_script_is_short_and_says_how_it_is_run(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert f"$ python examples/{name}.py" in text


@pytest.mark.slow
def test_estimator_of_ones_own_agrees_with_the_exact_map(main_of: Callable[[str], Main]) -> None:
    own = main_of("new_estimator")(shots=20_000)
    exact = hq.integrated_gradients(hq.ring_ansatz(2, layers=1), own.x, baseline=0)
    low, high = own.interval(0.999)
    assert ((low < exact.values) & (exact.values < high)).all()


@pytest.mark.slow
def test_hardware_run_repeats_its_result_from_the_journal(main_of: Callable[[str], Main]) -> None:
    main = main_of("hardware_run")
    first, again = main("night"), main("night")
    np.testing.assert_array_equal(first.values, again.values)
    assert hq.Attribution.load("night/maps.npz") == first


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "hardware_run"])
def test_script_runs_in_full(name: str, main_of: Callable[[str], Main]) -> None:
    result = main_of(name)()
    if name == "attribute_a_table":
        assert result > 0.93
        assert Path("report.html").exists()
    if name == "mitigation_study":
        assert result["twirling, readout"] < result["none"]
    if name == "learned_model":
        assert not result.held_out_test().failed
