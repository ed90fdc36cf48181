"""Arguments and help that are generated from settings dataclasses, and the lists of names in the help."""

from __future__ import annotations

import argparse
from dataclasses import KW_ONLY, dataclass, field
from importlib.metadata import EntryPoint, EntryPoints
from typing import ClassVar, Literal

import pytest

from hattriq_cirq import datasets
from hattriq_cirq.cli import parse
from hattriq_cirq.cli.arguments import Seed, make_parser
from hattriq_cirq.cli.commands.attribute import Attribute
from hattriq_cirq.cli.commands.cost import Cost
from hattriq_cirq.cli.help_lists import DATA_SETS, ENGINES, MITIGATIONS
from hattriq_cirq.compilation.gatesets import PROCESSORS
from hattriq_cirq.pipeline.mitigation import mitigations
from hattriq_cirq.workflows.values import parse_mitigation


@dataclass(frozen=True)
class Paint:
    """Paint some walls.

    The walls are painted at 100% of their area.

    Args:
        walls (WALL): Walls to
            paint.
        colour (NAME): Colour.
        color (NAME): Other spelling of --colour.
        coats (N): Number of coats.
        finish: Finish of the last coat.
        max_hours (X): Longest time.
        dry: Wait until the paint is dry.
        seed (N): Random seed.

    Examples:
        hattriq paint north \
--colour red
    """

    help_lists: ClassVar = ("colours:\n  red  blue",)

    walls: tuple[str, ...]
    _: KW_ONLY
    colour: str = field(default="red", metadata={"alias": "color"})
    coats: int
    finish: Literal["matt", "gloss"] = "matt"
    max_hours: float | None = None
    dry: bool = False
    seed: Seed = 0

    def run(self) -> int:
        """Return 0."""
        return 0


def parser() -> argparse.ArgumentParser:
    return make_parser([Paint], "hattriq", "hattriq 0", "Painting.\n\nExamples:\n    hattriq paint north --coats 1\n")


def test_types_defaults_and_choices_follow_from_the_fields() -> None:
    values = vars(parser().parse_args(["paint", "north", "south", "--coats", "2"]))
    assert values == {
        "command": Paint,
        "walls": ["north", "south"],
        "colour": "red",
        "coats": 2,
        "finish": "matt",
        "max_hours": None,
        "dry": False,
        "seed": 0,
        "verbose": False,
    }
    line = "paint north --coats 2 --finish gloss --max-hours 1.5 --dry --color blue --seed 7"
    values = vars(parser().parse_args(line.split()))
    assert [values[name] for name in ("finish", "max_hours", "dry", "colour", "seed")] == ["gloss", 1.5, True, "blue", 7]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("north", "required: --coats; see hattriq paint --help"),
        ("--coats 2", "required: WALL"),
        ("north --coats two", "--coats: invalid int value: 'two'"),
        ("north --coats 2 --finish rough", "--finish: invalid choice: 'rough'"),
        ("north --coats 2 --seed -1", "--seed: '-1' must be a non-negative"),
        ("north --coats 2 --colour red --color blue", "not allowed with argument --colour"),
        ("north --coat 2", "required: --coats"),
    ],
)
def test_words_that_do_not_fit_the_fields_are_rejected(words: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parser().parse_args(["paint", *words.split()])


def test_help_follows_from_the_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parser().parse_args(["paint", "--help"])
    text = capsys.readouterr().out
    assert "Paint some walls.\n\nThe walls are painted at 100% of their area.\n\ncolours:\n  red  blue\n\npositional" in text
    assert text.endswith("examples:\n  hattriq paint north --colour red\n")
    words = " ".join(text.split())
    for entry in (
        "WALL Walls to paint. options",
        "--colour NAME Colour (default: red).",
        "--color NAME Other spelling of --colour.",
        "--coats N Number of coats.",
        "--finish {matt,gloss} Finish of the last coat (default: matt).",
        "--max-hours X Longest time.",
        "--dry Wait until the paint is dry.",
        "--seed N Random seed (default: 0).",
    ):
        assert entry in words


def test_cost_takes_the_former_name_of_processor() -> None:
    assert parse(["cost", "--processor", "weber"]) == Cost(processor="weber")
    with pytest.warns(FutureWarning, match="--device is deprecated; use --processor"):
        assert parse(["cost", "--device", "weber"]) == Cost(processor="weber")


def test_attribute_takes_indices_as_inputs() -> None:
    settings = parse(["attribute", "m", "--data", "digits", "--out", "x", "--index", "3,4"])
    assert settings == Attribute("m", data="digits", out="x", inputs="3,4")


def test_lists_of_the_help_are_complete() -> None:
    assert [name for name in datasets.NAMES if name not in DATA_SETS] == []
    assert [name for name in PROCESSORS if name not in ENGINES] == []
    assert [name for name in mitigations() if f"  {name}" not in MITIGATIONS] == []


def test_mitigation_of_another_package_is_outermost(monkeypatch: pytest.MonkeyPatch) -> None:
    group = "hattriq_cirq.mitigations"
    registered = [
        EntryPoint("readout", "calibration:Readout", group),
        EntryPoint("mine", "calibration:PauliTwirling", group),
        EntryPoint("zne", "calibration:ZeroNoiseExtrapolation", group),
    ]
    monkeypatch.setattr("hattriq_cirq.pipeline.mitigation.registered_mitigations", lambda: EntryPoints(registered))
    assert list(mitigations()) == ["mine", "zne", "readout"]
    mitigation = parse_mitigation("readout,mine", 5)
    assert [type(part).__name__ for part in getattr(mitigation, "parts", ())] == ["PauliTwirling", "Readout"]
    with pytest.raises(ValueError, match="must be of mine, zne, readout"):
        parse_mitigation("twirl", 5)


def test_missing_entry_points_name_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hattriq_cirq.pipeline.mitigation.registered_mitigations", lambda: EntryPoints([]))
    assert parse_mitigation("", 5) is None
    with pytest.raises(ValueError, match="install hattriq_cirq again"):
        parse_mitigation("readout", 5)


@pytest.mark.parametrize(
    "words", [["show", ""], ["runs", ""], ["cost", ""], ["train", "", "--out", "o"], ["train", "x.csv", "--out", ""]]
)
def test_empty_text_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match="the text is empty"):
        parse(words)
