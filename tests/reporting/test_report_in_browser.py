"""The page in a real browser, from disk: nothing complained of or fetched, pictures loaded, nothing wider than the screen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from pages import SECTION

from hattriq_cirq.reporting.document import Section
from hattriq_cirq.reporting.html import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="pip install hattriq_cirq[browser]")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium, or name it in CHROMIUM")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HOSTILE = replace(SECTION, title="<script>console.error('x')</script>", question='"><img src=x onerror="console.error(1)">')


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def page_of_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page as the command line makes it, of a study, a training and maps of it."""
    home = tmp_path_factory.mktemp("runs")
    SECTION.save(home / "study" / "report-full-0")
    assert run(f"train bars_and_stripes --epochs 5 --out {home}/bars") == 0
    assert run(f"attribute {home}/bars --data bars_and_stripes --inputs test:0:4 --out {home}/maps") == 0
    assert run(f"report {home}/study {home}/bars {home}/maps --out {home}/report.html") == 0
    return home / "report.html"


def problems(browser: Any, file: Path, width: int, scheme: str) -> dict[str, Any]:
    """What is wrong with a page on a screen of a width, in light or dark, and how bright its background is."""
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        page = context.new_page()
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.resolve().as_uri(), wait_until="load")
        return {
            "said": said,
            "asked": [url for url in asked if not url.startswith(("data:", file.resolve().as_uri()))],
            "pictures": page.evaluate("[...document.images].map(i => i.complete ? i.naturalWidth : 0)"),
            "too wide": page.evaluate("document.documentElement.scrollWidth - window.innerWidth"),
            "wide boxes": page.evaluate(
                "[...document.querySelectorAll('.scroll')].filter(b => b.scrollWidth > b.clientWidth + 1).length"
            ),
            "background": page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"),
            "behind pictures": page.evaluate("getComputedStyle(document.querySelector('.white')).backgroundColor"),
            "small text": page.evaluate(
                "[...document.querySelectorAll('main *')].filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length"
            ),
        }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_whole_and_readable(browser: Any, page_of_runs: Path, width: int, scheme: str) -> None:
    found = problems(browser, page_of_runs, width, scheme)
    assert found["said"] == found["asked"] == []
    assert len(found["pictures"]) == 2 + 1 + 2  # of the study, the training, the maps with their training
    assert min(found["pictures"]) > 0
    assert found["too wide"] <= 0
    assert found["wide boxes"] >= 1  # the table of 14 columns scrolls inside its box
    assert found["small text"] == 0
    assert found["behind pictures"] == "rgb(255, 255, 255)"
    assert (max(found["background"][:3]) < 80) == (scheme == "dark")


def test_the_browser_sees_what_is_wrong(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "bad.html"
    file.write_text(
        "<body><main><p style='width: 2000px; font-size: 8px'>wide</p><div class=white><img src=missing.png></div></main>"
        "<script>console.error('bad')</script>"
    )
    found = problems(browser, file, 390, "light")
    assert "bad" in found["said"]
    assert found["asked"]
    assert found["pictures"] == [0]
    assert found["too wide"] > 1000
    assert found["small text"] == 1


def test_hostile_text_runs_nothing(browser: Any, tmp_path: Path) -> None:
    file = write_report(tmp_path / "report.html", "<img src=x onerror=console.error(2)>", [HOSTILE, Section("b", "c")])
    found = problems(browser, file, 390, "light")
    assert found["said"] == found["asked"] == []
    assert found["too wide"] <= 0


def test_the_contents_lead_to_their_sections(browser: Any, page_of_runs: Path) -> None:
    with browser.new_context(viewport={"width": 390, "height": 800}, reduced_motion="reduce") as context:
        page = context.new_page()
        page.goto(page_of_runs.resolve().as_uri())
        links = page.locator("nav a")
        assert links.count() == page.locator("article").count() == 3
        links.nth(2).click()
        page.wait_for_function("window.scrollY > 0")
        assert page.evaluate("document.querySelector(location.hash).getBoundingClientRect().top") < 800
        assert page.locator("article").nth(2).evaluate("e => '#' + e.id") == page.evaluate("location.hash")
