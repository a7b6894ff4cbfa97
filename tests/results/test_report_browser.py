"""The report in a real browser: it sorts, filters, links lead somewhere, nothing is loaded, nothing goes wrong.

Needs Debian's ``chromium`` and playwright. Without them the tests are skipped, unless ``OPERA_BENCH_REQUIRE`` names
``chromium``: then they fail.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from results.figures import figure_names
from results.frame import to_frame
from results.report import write_report
from results.runs import RunDirectory
from results.store import load_runs
from results.tables import build_table
from tests.results.synthetic import evaluation, pretraining, write_run
from tests.results.test_figures import write_sweep

CHROMIUM = shutil.which("chromium")
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    required = "chromium" in os.environ.get("OPERA_BENCH_REQUIRE", "").replace(",", " ").split()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        if required:
            raise
        pytest.skip("playwright is not installed")
    if CHROMIUM is None:
        if required:
            pytest.fail("OPERA_BENCH_REQUIRE asks for chromium, and there is none on PATH")
        pytest.skip("no chromium on PATH (Debian: apt-get install chromium)")
    arguments = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    write_sweep(runs)
    failed = write_run(runs, pretraining("supervised"), state="failed", error="loss is nan")
    log = RunDirectory(runs / failed).logs / "attempt-1.log"
    log.parent.mkdir()
    log.write_text("the last words\n")
    seen = write_run(runs, evaluation(pretraining("opera", seed=9), "segmentation", dataset="scenes"))
    (runs / seen / "artifacts").mkdir()
    (runs / seen / "artifacts" / "contact_sheet.png").write_bytes(PIXEL)
    store = load_runs(runs)
    frame = to_frame(store.runs)
    tables = [build_table(name, frame) for name in ("digits", "table1", "table2", "table3")]
    out = runs.parent / "report.html"
    write_report(store, tables, figure_names(), out, title="A sweep")
    return out


@pytest.fixture
def page(browser: Any, page_path: Path) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    said: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(page_path.as_uri())
    yield opened
    opened.close()
    assert said == [], "the console stays silent"
    assert [url for url in asked if not url.startswith("data:")] == [page_path.as_uri()], "only the page is loaded"


def column(page: Any, box: str, index: int) -> list[str]:
    """The text of a column's visible cells, from top to bottom."""
    script = """([box, index]) => [...document.querySelectorAll(`[aria-label="${box}"] tbody tr`)]
        .filter((row) => !row.hidden).map((row) => row.cells[index].textContent.trim())"""
    found: list[str] = page.evaluate(script, [box, index])
    return found


def test_columns_sort_by_number_and_back(page: Any) -> None:
    head = page.locator('[aria-label="Digits"] thead th').nth(3)
    before = column(page, "Digits", 3)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    numbers = [float(text.split()[0]) for text in column(page, "Digits", 3) if text[0].isdigit()]
    assert len(numbers) > 2
    assert numbers == sorted(numbers)
    head.get_by_role("button").press("Enter")  # the keyboard does what the mouse does
    assert head.get_attribute("aria-sort") == "descending"
    again = [float(text.split()[0]) for text in column(page, "Digits", 3) if text[0].isdigit()]
    assert again == sorted(numbers, reverse=True)
    assert sorted(column(page, "Digits", 3)) == sorted(before), "no row is lost"
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") is None
    assert column(page, "Digits", 3) == before, "the order of the paper comes back"


def test_cells_without_a_number_stay_last(page: Any) -> None:
    head = page.locator("#run-list thead th").nth(8).get_by_role("button")
    for _ in range(2):
        head.click()
        dashes = [text == "–" for text in column(page, "Runs", 8)]
        assert dashes == sorted(dashes)


def test_filters_keep_the_rows_that_hold_every_word(page: Any) -> None:
    everything = len(column(page, "Runs", 0))
    page.get_by_role("searchbox", name="Filter Runs").fill("transfer OPERA vit")
    left = column(page, "Runs", 0)
    assert 0 < len(left) < everything
    assert all("transfer" in text for text in left)
    assert page.get_by_text(f"{len(left)} of {everything} rows").is_visible()
    page.get_by_role("searchbox", name="Filter Runs").fill("")
    assert len(column(page, "Runs", 0)) == everything


def test_a_number_is_two_clicks_from_its_record(page: Any) -> None:
    page.locator(".results .ours a").first.click()
    # The entry opens in an event of its own after the click, so each step waits for it to be open.
    page.locator("details:target[open] dd a").first.click()
    run = page.locator("details:target[open][id^=run-]")
    run.locator("dl").first.wait_for(state="visible")
    text = run.inner_text()
    for fact in ("record.json", "checkpoint SHA-256", "made up", "0" * 40, "somewhere", "device-hours", "pretrain:"):
        assert fact in text


def test_every_link_leads_to_an_element(page: Any) -> None:
    script = """() => [...document.querySelectorAll("a[href]")]
        .map((a) => a.getAttribute("href")).filter((h) => !(h[0] === "#" && document.getElementById(h.slice(1))))"""
    assert page.evaluate(script) == []


def test_pictures_are_shown(page: Any) -> None:
    picture = page.locator(".sheets img").first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('.sheet img').complete")
    assert picture.evaluate("(image) => image.naturalWidth") == 1
    assert page.locator(".figure svg").count() > 0


def test_dark_mode_is_dark_and_readable(page: Any) -> None:
    script = """() => ['backgroundColor', 'color'].map((name) => getComputedStyle(document.body)[name]
        .match(/[0-9]+/g).slice(0, 3).reduce((sum, value) => sum + Number(value), 0) / 3)"""
    paper, ink = page.evaluate(script)
    assert paper > 200 > 100 > ink
    page.emulate_media(color_scheme="dark")
    paper, ink = page.evaluate(script)
    assert paper < 60 < 180 < ink


@pytest.mark.parametrize(("width", "media"), [(380, "screen"), (1200, "screen"), (700, "print")])
def test_nothing_is_cut_off(page: Any, width: int, media: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(media=media)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [700, 1050])
def test_tables_take_the_whole_width_of_the_paper(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(media="print")
    for box in page.locator(".box:has(table)").all():
        if box.is_visible():
            whole, table = (
                box.evaluate(f"(box) => {what}.clientWidth") for what in ("box", "box.querySelector('table')")
            )
            assert table > 0.98 * whole


def test_print_leaves_out_what_paper_can_not_do(page: Any) -> None:
    page.emulate_media(media="print")
    for gone in ("nav", ".filter", "section[aria-labelledby=provenance]"):
        assert not page.locator(gone).first.is_visible(), gone
    assert page.locator("#tables").is_visible()


def test_it_works_by_keyboard_alone(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main"
    first_box = page.locator(".box").first
    first_box.focus()
    assert first_box.evaluate("(box) => box === document.activeElement"), "a box that scrolls takes the focus"
