"""The architecture page: its picture and table agree with the code, and its examples run."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import cirq
import networkx as nx
import numpy as np
import pytest

import hattriq_cirq as hq
from calibration.testing import FaultyReadout
from docs.draw_architecture import folder_of, imports_between_folders, imports_in_picture
from hattriq_cirq.cli.arguments import make_parser
from hattriq_cirq.pipeline.execute import PreparedCircuits
from tests.test_architecture import ARROWS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^## Example: a new (\w+)\n.*?^```python\n(.*?)^```$", PAGE, re.M | re.S))


Example = Callable[[str], ModuleType]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    """Return a function that imports an example of the page as a module, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def load(name: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, f"new_{name}", raising=False)
        (tmp_path / f"new_{name}.py").write_text(EXAMPLES[name], encoding="utf-8")
        return import_module(f"new_{name}")

    return load


def test_picture_of_the_architecture_shows_the_imports_of_the_code() -> None:
    assert imports_in_picture() == imports_between_folders(), "run `python docs/draw_architecture.py`"


def test_folders_of_modules() -> None:
    assert folder_of("hattriq_cirq.execution.backends.google") == "execution"
    assert folder_of("calibration.readout.trex") == "calibration"
    assert folder_of("hattriq_cirq._moved") is None
    assert folder_of("numpy") is None


def test_table_of_folders_agrees_with_the_allowed_imports() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ?([^|]*)\|$", PAGE, re.M)
    graph = nx.DiGraph((folder, other) for folder, others in rows for other in re.findall(r"\w+", others))
    assert {folder: {folder, *nx.descendants(graph, folder)} for folder, _ in rows} == ARROWS


@pytest.mark.parametrize("name", ["estimator", "mitigation", "backend", "study", "command"])
def test_example_of_an_extension_is_short_and_runs(name: str, example: Example) -> None:
    assert EXAMPLES[name].count("\n") <= 30
    example(name)


def test_example_of_a_mitigation_removes_the_asymmetry_of_readout(example: Example) -> None:
    q = cirq.LineQubit.range(2)
    circuits = [cirq.Circuit(cirq.measure(*q)), cirq.Circuit(cirq.X.on_each(*q), cirq.measure(*q))]
    engine, averaging = hq.sampler(FaultyReadout(e1=0.2, seed=1)), example("mitigation").BitFlipAveraging()
    plain = PreparedCircuits.compile(engine, circuits, [50_000] * 2).execute().outcomes
    averaged = PreparedCircuits.compile(engine, circuits, [50_000] * 2, averaging).execute().outcomes
    assert plain[0].probabilities[0] - plain[1].probabilities[3] > 0.3
    np.testing.assert_allclose(averaged[0].probabilities, averaged[1].probabilities[::-1], rtol=0, atol=0.01)


def test_example_of_a_command_has_arguments_and_help(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    command = example("command").Gap
    hq.integrated_gradients(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.0, 0.8], baseline=0).save("map.npz")
    parser = make_parser([command], "hattriq", "0", "Program.\n\nExamples:\n    hattriq gap FILE")
    values = vars(parser.parse_args(["gap", "map.npz", "--digits", "2"]))
    assert values.pop("command") is command
    assert values.pop("verbose") is False
    assert command(**values).run() == 0
    assert capsys.readouterr().out.startswith("largest completeness gap: ")
    with pytest.raises(SystemExit):
        parser.parse_args(["gap", "--help"])
    assert "Number of digits" in capsys.readouterr().out
