"""The page in a real browser, opened from disk: no error, no request, all pictures loaded, nothing wider than the screen."""

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
    """Return a page that the command line wrote about a study, a training and its maps."""
    home = tmp_path_factory.mktemp("runs")
    SECTION.save(home / "study" / "report-full-0")
    assert run(f"train bars_and_stripes --epochs 5 --out {home}/bars") == 0
    assert run(f"attribute {home}/bars --data bars_and_stripes --inputs test:0:4 --out {home}/maps") == 0
    assert run(f"report {home}/study {home}/bars {home}/maps --out {home}/report.html") == 0
    return home / "report.html"


def problems(browser: Any, file: Path, width: int, scheme: str) -> dict[str, Any]:
    """Return the errors of a page on a screen of a given width and colour scheme, and its background colour."""
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        page = context.new_page()
        messages: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.resolve().as_uri(), wait_until="load")
        return {
            "messages": messages,
            "requests": [url for url in requests if not url.startswith(("data:", file.resolve().as_uri()))],
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
def test_page_is_complete_and_readable(browser: Any, page_of_runs: Path, width: int, scheme: str) -> None:
    measured = problems(browser, page_of_runs, width, scheme)
    assert measured["messages"] == measured["requests"] == []
    assert len(measured["pictures"]) == 2 + 1 + 2  # of the study, the training, the maps with their training
    assert min(measured["pictures"]) > 0
    assert measured["too wide"] <= 0
    assert measured["wide boxes"] >= 1  # the table of 14 columns scrolls inside its box
    assert measured["small text"] == 0
    assert measured["behind pictures"] == "rgb(255, 255, 255)"
    assert (max(measured["background"][:3]) < 80) == (scheme == "dark")


def test_browser_detects_a_faulty_page(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "bad.html"
    file.write_text(
        "<body><main><p style='width: 2000px; font-size: 8px'>wide</p><div class=white><img src=missing.png></div></main>"
        "<script>console.error('bad')</script>"
    )
    measured = problems(browser, file, 390, "light")
    assert "bad" in measured["messages"]
    assert measured["requests"]
    assert measured["pictures"] == [0]
    assert measured["too wide"] > 1000
    assert measured["small text"] == 1


def test_hostile_text_runs_no_script(browser: Any, tmp_path: Path) -> None:
    file = write_report(tmp_path / "report.html", "<img src=x onerror=console.error(2)>", [HOSTILE, Section("b", "c")])
    measured = problems(browser, file, 390, "light")
    assert measured["messages"] == measured["requests"] == []
    assert measured["too wide"] <= 0


def test_contents_scroll_to_their_sections(browser: Any, page_of_runs: Path) -> None:
    with browser.new_context(viewport={"width": 390, "height": 800}, reduced_motion="reduce") as context:
        page = context.new_page()
        page.goto(page_of_runs.resolve().as_uri())
        links = page.locator("nav a")
        assert links.count() == page.locator("article").count() == 3
        links.nth(2).click()
        page.wait_for_function("window.scrollY > 0")
        assert page.evaluate("document.querySelector(location.hash).getBoundingClientRect().top") < 800
        assert page.locator("article").nth(2).evaluate("e => '#' + e.id") == page.evaluate("location.hash")
