"""The page holds everything it shows, in the order that is promised, and trusts no text; the demo makes such a page."""

from __future__ import annotations

import base64
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from hattriq_cirq import datasets
from hattriq_cirq.ansatz import ring_ansatz
from hattriq_cirq.attribution import Attribution
from hattriq_cirq.cli import demo as demo_module
from hattriq_cirq.cli import main
from hattriq_cirq.model import Model
from hattriq_cirq.report import Accuracy, Picture, Report, Study, accuracies, render, write_report

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(40))
STUDY = Study(
    title="a task",
    summary="a summary",
    train_samples=20,
    test_samples=8,
    accuracies=(
        Accuracy("this model", 0.987, 0.975),
        Accuracy("logistic regression", None, None, "not installed"),
        Accuracy("chance", None, 0.5),
    ),
    pictures=(Picture(PNG, "the caption", "the alt"), Picture(PNG + b"2", "second", "second alt")),
    largest_gap=2e-16,
    inputs=7,
    settings={"layers": 4},
    assumptions={"form": "quadratic"},
)
REPORT = Report("the title", "what it shows", (STUDY,), tolerance=1e-9)


class Page(HTMLParser):
    """Collects the tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_every_picture_is_in_the_page() -> None:
    images = [attributes for tag, attributes in Page(render(REPORT)).tags if tag == "img"]
    decoded = [base64.b64decode(str(each["src"]).removeprefix("data:image/png;base64,")) for each in images]
    assert decoded == [picture.png for picture in STUDY.pictures]
    assert [each["alt"] for each in images] == ["the alt", "second alt"]


def test_the_page_asks_for_nothing_else() -> None:
    text = render(REPORT)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    assert not {tag for tag, _ in Page(text).tags} & {"script", "link", "iframe", "object"}


def test_accuracies_come_first_then_maps_then_the_rest() -> None:
    sections = [attributes["id"] for tag, attributes in Page(render(REPORT)).tags if tag == "section"]
    assert sections == ["accuracy", "maps", "completeness", "settings", "assumptions", "provenance"]
    text = render(REPORT)
    numbers = [text.index(words) for words in ("0.987", "0.975", "not installed", "0.500")]
    assert max(numbers) < text.index("<img")


def test_hostile_text_is_escaped() -> None:
    hostile = "<script>alert('x')</script>\"><img src=x onerror=y>"
    study = replace(
        STUDY,
        title=hostile,
        summary=hostile,
        accuracies=(Accuracy(hostile, 1, 1, hostile),),
        pictures=(Picture(PNG, hostile, hostile),),
        settings={hostile: hostile},
        assumptions={hostile: hostile},
    )
    page = Page(render(replace(REPORT, title=hostile, summary=hostile, studies=(study,))))
    assert "script" not in {tag for tag, _ in page.tags}
    (image,) = (attributes for tag, attributes in page.tags if tag == "img")
    assert image["alt"] == hostile
    assert set(image) == {"src", "alt"}


@pytest.mark.parametrize(("gap", "word"), [(2e-16, "holds"), (1e-8, "fails")])
def test_the_completeness_gap_is_judged(gap: float, word: str) -> None:
    text = render(replace(REPORT, studies=(replace(STUDY, largest_gap=gap),)))
    assert f">{word}<" in text
    assert f"{gap:.1e}" in text


def test_settings_assumptions_and_provenance_are_listed() -> None:
    text = render(REPORT)
    for words in ("layers", "quadratic", REPORT.provenance.created_utc, REPORT.provenance.versions["cirq-core"]):
        assert words in text


def test_dark_and_narrow_screens_are_thought_of() -> None:
    text = render(REPORT)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_a_report_is_written_once(tmp_path: Path) -> None:
    path = write_report(tmp_path / "deep" / "report.html", REPORT)
    assert path.read_text(encoding="utf-8") == render(REPORT)
    with pytest.raises(FileExistsError, match="not overwritten"):
        write_report(path, REPORT)


def test_values_are_checked() -> None:
    with pytest.raises(ValueError, match=r"test=1\.2"):
        Accuracy("x", 1.0, 1.2)
    with pytest.raises(ValueError, match="PNG"):
        Picture(b"GIF89a", "", "")
    with pytest.raises(ValueError, match="at least one study"):
        replace(REPORT, studies=())


# accuracies


def planted(model_sign: int) -> Model:
    """A model that answers +-Z, which is right on `task`."""
    model = ring_ansatz(1, 0)
    return model.with_observable(model.pauli_sum * model_sign)


def task(imaginary: bool = False) -> datasets.Dataset:
    """Label +1 where amplitude 0 is the larger; linearly separable."""
    share = np.concatenate([np.linspace(0.0, 0.4, 20), np.linspace(0.6, 1.0, 20)])
    x = np.stack([np.sqrt(share), np.sqrt(1 - share)], axis=1)
    return datasets.from_features(x * 1j if imaginary else x, np.repeat([-1, 1], 20), name="share")


@pytest.mark.parametrize("imaginary", [False, True])
def test_accuracies_of_a_task_with_known_answers(imaginary: bool) -> None:
    model, regression, chance = accuracies(planted(+1), task(imaginary))
    assert (model.train, model.test) == (1, 1)
    assert (regression.train, regression.test) == (1, 1)
    assert (chance.train, chance.test) == (None, 0.5)
    assert (accuracies(planted(-1), task())[0].train, accuracies(planted(-1), task())[0].test) == (0, 0)


def test_without_scikit_learn_the_row_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    row = accuracies(planted(+1), task())[1]
    assert (row.train, row.test) == (None, None)
    assert "pip install hattriq_cirq[data]" in row.note


# the demo


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_demo_leaves_json_arrays_tables_pictures_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--quick"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "completeness holds" in shown.out
    assert str(out / "report.html") in shown.out
    assert names(out) == {"bars_and_stripes", "digits", "report.html"}
    page = (out / "report.html").read_text()
    for task in ("bars_and_stripes", "digits"):
        assert names(out / task / "train") == {"model.json", "run.json", "training.csv", "training.png"}
        maps = out / task / "attribution"
        assert names(maps) == {"attribution.npz", "attribution.csv", "gallery.png", "run.json"}
        assert np.abs(Attribution.load(maps / "attribution.npz").completeness_gap).max() < 1e-12
        record = json.loads((out / task / "train" / "run.json").read_text())
        assert record["accuracies"][0]["test"] >= 0.99
        assert page.count(record["data"]["name"]) >= 3
    assert page.count("data:image/png;base64,") == 4


def test_demo_fails_where_completeness_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_module, "TOLERANCE", -1.0)
    monkeypatch.setattr(demo_module, "TASKS", {"bars_and_stripes": "bars_and_stripes"})
    assert main(["demo", "--out", f"{tmp_path}/demo", "--quick"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "completeness fails" in line
    assert ">fails<" in (tmp_path / "demo" / "report.html").read_text()


def test_demo_says_how_to_install_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert main(["demo", "--out", f"{tmp_path}/demo"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install hattriq_cirq[data]" in line
    assert not (tmp_path / "demo").exists()
