"""The check of the links of the built site, and what every tutorial has."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
TUTORIALS = sorted(path for path in (DOCS / "tutorials").glob("*.md") if path.stem != "index")


def test_broken_files_and_anchors_of_a_site_are_found(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("check_links", DOCS / "check_links.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "deep").mkdir()
    (tmp_path / "index.html").write_text(
        '<p id="top"></p><a href="deep/b.html#here">x</a><a href="#top">x</a><a href="https://example.org/none">x</a>'
        '<a href="deep/b.html#gone">x</a><img src="no%20picture.png"><a href="#nowhere">x</a><a href="deep/">x</a>',
        encoding="utf-8",
    )
    (tmp_path / "deep" / "b.html").write_text(
        '<h1 id="here"></h1><a href="../index.html#top">x</a><a href="../../up">x</a>', "utf-8"
    )
    assert module.broken_links(tmp_path) == [
        "deep/b.html: ../../up leads to no file",
        "index.html: #nowhere leads to no element of its page",
        "index.html: deep/ leads to no file",
        "index.html: deep/b.html#gone leads to no element of its page",
        "index.html: no%20picture.png leads to no file",
    ]


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorial_is_listed_downloadable_and_asks_a_question(path: Path) -> None:
    text, index = path.read_text("utf-8"), (DOCS / "tutorials" / "index.md").read_text("utf-8")
    assert f"({path.name})" in index
    assert re.search(rf"^{path.stem}$", index, re.MULTILINE)
    assert f"{{nb-download}}`Download this page as a notebook <{path.stem}.ipynb>`" in text
    assert "**The question.** " in text
    assert "*You will learn* " in text
    assert "\n## Where next\n" in text


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorial_uses_public_names_only(path: Path) -> None:
    code = "\n".join(re.findall(r"^```\{code-cell\}\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL))
    assert re.findall(r"hattriq_cirq\.\w+\.\w+|from hattriq_cirq\.\w+|experiments|\._", code) == []
