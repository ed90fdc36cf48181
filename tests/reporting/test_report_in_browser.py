"""The page in a real browser, opened from disk: no error, no request, nothing wider than the screen; maps that are explored."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command_line import run
from made_attributions import made
from pages import SECTION

import hattriq_cirq as hq
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.reporting.document import Section
from hattriq_cirq.reporting.html import write_report
from hattriq_cirq.reporting.maps import Maps

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


# maps of a report

NAMES = ("mean radius", "worst texture", "area 2", "area 10")
VALUES = np.array([[0.3, -0.4, 0.1, 0.0], [-0.2, 0.05, 0.5, -0.1]])


def of_table() -> hq.Explanation:
    """Return an explanation of two inputs of a table, measured, for three classes."""
    contract = DataContract(columns=NAMES, units=("mm", "", "", ""), classes=("a", "b", "c"))
    ones = [
        replace(
            made(VALUES * (1 - 2 * (k == 2)), contract, stderr=0.03, systematic=0.04),
            target=np.full(2, k),
            predicted=np.array([1, 0]),
        )
        for k in range(3)
    ]
    table = pd.DataFrame([[17.99, 10.5, 3, 4], [12.5, 20.25, 5, 6]], columns=NAMES)
    return hq.Explanation(ones, labels=["a", "b"], table=table, title="a table")


def of_image() -> Maps:
    """Return measured maps of images of two rows and three columns."""
    padded = np.array([[0.3, -0.4, 0.1, 0, 0.01, 0.2, -0.3, 0], [0.1, 0.2, 0.3, 0, 0.4, 0.5, 0.6, 0]])
    return Maps.of([made(padded, DataContract(image_shape=(2, 4), padding=(0, 0, 0, 1)), stderr=0.03)])


@pytest.fixture(scope="module")
def page_of_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hq.report(of_table(), tmp_path_factory.mktemp("table") / "report.html")


@pytest.fixture(scope="module")
def page_of_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    section = Section("an image", "Why?", maps=of_image())
    return write_report(tmp_path_factory.mktemp("image") / "report.html", "an image", [section])


@pytest.fixture(scope="module")
def tab(browser: Any) -> Iterator[Any]:
    """Yield a page that tests open files in, one after the other."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        yield context.new_page()


@contextmanager
def opened(tab: Any, file: Path, width: int = 1280, scheme: str = "light") -> Iterator[Any]:
    """Open a file, and find nothing in the console afterwards."""
    messages: list[str] = []
    tab.on("console", lambda message: messages.append(message.text))
    tab.on("pageerror", lambda error: messages.append(str(error)))
    tab.set_viewport_size({"width": width, "height": 800})
    tab.emulate_media(color_scheme=scheme, media="screen")
    tab.goto(file.resolve().as_uri())
    yield tab
    assert messages == []


def part(page: Any, name: str) -> Any:
    return page.locator(f".maps [data-part={name}]")


def names(page: Any) -> list[str]:
    return [str(text) for text in part(page, "name").all_text_contents()]


SHOWN = """() => {
  const marks = [...document.querySelectorAll('.maps svg *')].filter((e) => !e.matches('.cursor'));
  const parts = document.querySelectorAll('.maps > p, .maps td, .maps th, .maps figcaption');
  const texts = [...parts].map((e) => e.textContent.trim());
  const places = ['x', 'x1', 'x2', 'width', 'fill-opacity'];
  return [
    [...texts, ...marks.map((e) => e.getAttribute('class') + e.hasAttribute('hidden'))],
    marks.map((e) => places.map((name) => parseFloat(e.getAttribute(name)) || 0)),
  ];
}"""


@pytest.mark.parametrize("page_name", ["page_of_table", "page_of_image"])
def test_page_shows_the_same_with_and_without_scripts(
    browser: Any, tab: Any, page_name: str, request: pytest.FixtureRequest
) -> None:
    file = request.getfixturevalue(page_name)
    with browser.new_context(viewport={"width": 1280, "height": 800}, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(file.resolve().as_uri())
        texts, places = page.evaluate(SHOWN)
        assert not part(page, "controls").is_visible()
    with opened(tab, file) as page:
        own_texts, own_places = page.evaluate(SHOWN)
        assert own_texts == texts
        np.testing.assert_allclose(own_places, places, atol=0.006)
        assert part(page, "controls").is_visible()
    assert len(texts) > 20


def test_value_under_the_pointer_is_read_with_name_unit_and_errors(tab: Any, page_of_table: Path) -> None:
    with opened(tab, page_of_table) as page:
        page.locator("tbody tr", has_text="mean radius").hover()
        lines = page.locator(".tip").inner_text().split("\n")
        assert lines[0] == "mean radius"
        half = 1.959964 * 0.05
        low, high = (float(end) for end in lines[lines.index("95% interval") + 1].strip("[]").split(", "))
        assert (low, high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.002)
        facts = dict(zip(lines[1::2], lines[2::2], strict=True))
        assert (facts["input"], facts["attribution"]) == ("17.99 mm", "+0.300")
        assert float(facts["error of shots"].strip("± ")) == pytest.approx(1.959964 * 0.03, abs=0.001)
        assert float(facts["systematic error"].strip("± ")) == pytest.approx(1.959964 * 0.04, abs=0.001)
        page.keyboard.press("Escape")
        assert not page.locator(".tip").is_visible()


def test_input_and_class_are_chosen(tab: Any, page_of_table: Path) -> None:
    explanation = of_table()
    with opened(tab, page_of_table) as page:
        assert names(page)[0] == "worst texture"
        assert part(page, "answer").text_content() == explanation.view.inputs[0].maps[1].sentence
        assert part(page, "previous").is_disabled()
        part(page, "next").click()
        assert part(page, "what").inner_text().startswith("Input 1, labelled b.")
        assert names(page)[0] == "area 2"
        assert part(page, "value").first.inner_text() == "+0.500"
        part(page, "class").select_option(label="c")
        assert part(page, "value").first.inner_text() == "-0.500"
        assert part(page, "answer").text_content() == explanation.view.inputs[1].maps[2].sentence
        part(page, "input").select_option("0")
        assert part(page, "value").first.inner_text() == "+0.400"


def test_features_are_counted_sorted_and_searched(tab: Any, page_of_table: Path) -> None:
    with opened(tab, page_of_table) as page:
        assert names(page) == ["worst texture", "mean radius", "area 2", "area 10"]
        part(page, "sort").select_option("value")
        assert names(page) == ["mean radius", "area 2", "area 10", "worst texture"]
        part(page, "sort").select_option("name")
        assert names(page) == ["area 2", "area 10", "mean radius", "worst texture"]
        part(page, "sort").select_option("place")
        assert names(page) == list(NAMES)
        part(page, "count").fill("2")
        assert names(page) == ["mean radius", "worst texture"]
        assert part(page, "counted").inner_text() == "2 of 4 features, the largest in size."
        part(page, "search").fill("AREA")
        assert names(page) == ["area 2", "area 10"]
        part(page, "search").fill("nothing")
        assert names(page) == []
        assert part(page, "counted").inner_text() == ('0 of 0 features whose names contain "nothing", out of 4.')


def test_rows_and_pixels_are_read_with_the_keyboard(tab: Any, page_of_table: Path, page_of_image: Path) -> None:
    with opened(tab, page_of_table) as page:
        part(page, "search").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.querySelector('[data-part=name]').textContent") == "mean radius"
        assert page.locator(".tip strong").inner_text() == "mean radius"
        page.keyboard.press("Tab")  # one stop for all rows
        assert page.evaluate("document.activeElement.closest('tbody')") is None
    with opened(tab, page_of_image) as page:
        page.locator("svg.pixels").nth(1).focus()
        for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight"):  # the edges stop it
            page.keyboard.press(key)
        assert page.locator(".tip strong").inner_text() == "row 1, column 2"
        assert (
            part(page, "spoken")
            .text_content()
            .startswith("row 1, column 2, amplitude 0.3536, attribution -0.300, 95% interval [")
        )


def test_pixel_under_the_pointer_is_read(tab: Any, page_of_image: Path) -> None:
    with opened(tab, page_of_image) as page:
        box = page.locator("svg.pixels").nth(1).bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
        assert page.locator(".tip strong").inner_text() == "row 0, column 1"
        assert page.locator(".dot").count() == 5  # of 6 pixels one interval holds 0


BAD = (
    "<script>console.error(1)</script>",
    "</script><img src=x onerror=console.error(2)>",
    "\u05e9\u05dc\u05d5\u05dd",
    "&lt;b&gt; \"'",
    "x" * 300,
    "🙂",
)


def test_hostile_names_are_shown_as_text(tab: Any, tmp_path: Path) -> None:
    values = np.linspace(1, 0.3, 8)
    contract = DataContract(columns=(*BAD, "\u202eabc", "a\nb"), units=("</td>",) * 8, classes=("<b>no", "yes</script>"))
    table = pd.DataFrame([["</script>" * 9] * 8], columns=contract.columns)
    explanation = hq.Explanation(made([values], contract), labels=["<b>"], table=table, title=BAD[1], findings=[BAD[0]])
    file = hq.report(explanation, tmp_path / "report.html")
    with opened(tab, file, 390) as page:
        assert names(page) == [*BAD, "\\u202eabc", "a\\nb"]
        page.locator("tbody tr").nth(1).hover()
        assert page.locator(".tip strong").inner_text() == BAD[1]
        part(page, "search").fill("<script>")
        assert part(page, "counted").inner_text().startswith('1 of 1 features whose names contain "<script>"')
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_page_runs_no_other_script_and_no_other_style(browser: Any, page_of_table: Path, tmp_path: Path) -> None:
    file = tmp_path / "changed.html"
    added = "<script>document.title = 'changed'</script><p onclick='1' style='color: red'>x</p><img src='https://example.com/a.png'>"
    file.write_text(page_of_table.read_text(encoding="utf-8").replace("</main>", f"{added}</main>"), encoding="utf-8")
    messages: list[str] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.goto(file.resolve().as_uri())
        assert page.title() == "a table"
        assert names(page)[0] == "worst texture"  # the script of its own runs
    assert sum("Content Security Policy" in message for message in messages) >= 3


CONTRASTS = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = colour.slice(0, 3).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => {
    const colour = e ? rgb(getComputedStyle(e).backgroundColor) : [255, 255, 255];
    return colour.length < 4 || colour[3] === 1 ? colour : behind(e.parentElement);
  };
  const holdsText = (e) => [...e.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const texts = [...document.querySelectorAll('main *')].filter(holdsText);
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  return texts.map((e) => ratio(light(rgb(getComputedStyle(e).color)), light(behind(e))));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(tab: Any, page_of_table: Path, scheme: str) -> None:
    with opened(tab, page_of_table, scheme=scheme) as page:
        ratios = page.evaluate(CONTRASTS)
    assert len(ratios) > 50
    assert min(ratios) >= 4.5


def test_printed_page_has_all_answers_and_no_controls_on_white_paper(tab: Any, page_of_table: Path) -> None:
    with opened(tab, page_of_table, scheme="dark") as page:
        page.emulate_media(media="print")
        assert page.evaluate("Math.max(...getComputedStyle(document.body).color.match(/\\d+/g).map(Number))") < 80
        assert not part(page, "controls").is_visible()
        assert page.locator("tbody tr").first.is_visible()
        assert page.locator(".answers li").last.bounding_box()["height"] > 0


@pytest.mark.slow
def test_largest_page_answers_at_once(tab: Any, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(1000, 1024))
    file = hq.report(made(values, stderr=0.1, systematic=0.1), tmp_path / "report.html")
    assert file.stat().st_size < 3_000_000
    with opened(tab, file, 390) as page:
        milliseconds = page.evaluate(
            "() => { const start = performance.now(); document.querySelector('[data-part=next]').click();"
            " document.body.offsetHeight; return performance.now() - start; }"
        )
        part(page, "count").fill("1024")
        assert part(page, "counted").inner_text().startswith("65 of 65 features")
        assert milliseconds < 500
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
