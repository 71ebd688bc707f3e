"""The pages in a real browser, from disk. Needs Debian's chromium on the PATH."""

import json
import os
import shutil
import time

import pytest

from lemmata import catalogue
from lemmata.report import write_report

from .conftest import NEWTON, SPARSE, benchmark, known, study, write_study
from .pages import ATTACK, attacked

if os.environ.get("LEMMATA_NO_BROWSER") == "1":
    pytest.skip("LEMMATA_NO_BROWSER=1: no browser here", allow_module_level=True)

DRAWN = "document.querySelectorAll('script[data-plot]').length == \
document.querySelectorAll('[data-drawn]').length"
PATIENCE = 60  # s; a page draws in about 1 s, more on a busy machine
RANGE = "document.querySelector('#plot-error .plot')._fullLayout.xaxis.range"
HOSTILE = "transport-hostile"


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests here."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        pytest.fail(
            "no chromium: apt-get install chromium, or set LEMMATA_NO_BROWSER=1"
        )
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """The report of three fake studies, one of them hostile."""
    root = tmp_path_factory.mktemp("report")
    write_study(root / "studies", study())
    write_study(root / "studies", study(SPARSE))
    write_study(root / "studies", attacked(study(HOSTILE)))
    (root / "benchmarks").mkdir()
    for slug in (NEWTON, SPARSE):
        path = root / "benchmarks" / f"{slug}.json"
        path.write_text(json.dumps(benchmark(slug)))
    entries = {NEWTON: known(NEWTON, "Sinkhorn–Newton", "How do I match?")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "entries", lambda: entries)
        return write_report(root / "studies", root / "out", root / "benchmarks")


@pytest.fixture(scope="module")
def wrong() -> list[str]:
    """What went wrong in any page since the last test."""
    return []


@pytest.fixture(scope="module")
def visit(browser, front, wrong):
    """Opens a page of the report."""
    contexts = []

    def open_page(slug: str = "", width: int = 1280, theme: str = "light"):
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=theme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: _failed(request, wrong))
        page.on("request", lambda request: _local(request.url, wrong))
        page.goto((front.parent / slug / "index.html").as_uri())
        drawn(page)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(autouse=True)
def nothing_wrong(wrong):
    """No page may have logged, thrown, missed a file or asked another place."""
    yield
    found = wrong.copy()
    wrong.clear()
    assert found == []


@pytest.fixture(scope="module")
def page(visit):
    """The system page, wide and light; each test touches another plot of it."""
    return visit(NEWTON)


def until(page, condition: str) -> None:
    """Waits for a condition, from outside: the pages allow no `eval`."""
    end = time.monotonic() + PATIENCE
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(30)


def drawn(page) -> None:
    """Waits until a page and its plots are there."""
    page.wait_for_load_state("load")
    until(page, DRAWN)


def _failed(request, wrong: list[str]) -> None:
    if not request.url.endswith(".lemma"):  # a download leaves the page: "aborted"
        wrong.append(f"{request.url}: {request.failure}")


def _local(url: str, wrong: list[str]) -> None:
    if not url.startswith(("file:", "data:", "blob:")):
        wrong.append(url)


def box(page, plot: str) -> dict:
    """Where the drawing area of a plot is on the screen."""
    area = page.locator(f"#plot-{plot} .nsewdrag").first
    area.scroll_into_view_if_needed()
    found = area.bounding_box()
    assert found is not None
    return found


def drag(page, plot: str) -> None:
    """Zooms into the middle of a plot with the mouse."""
    area = box(page, plot)
    page.mouse.move(area["x"] + 0.3 * area["width"], area["y"] + 0.3 * area["height"])
    page.mouse.down()
    page.mouse.move(
        area["x"] + 0.6 * area["width"], area["y"] + 0.6 * area["height"], steps=5
    )
    page.mouse.up()


def spread(page, plot: str, axis: str = "xaxis") -> float:
    """How much of an axis is shown, in its units."""
    code = f"document.querySelector('#plot-{plot} .plot')._fullLayout.{axis}.range"
    low, high = page.evaluate(code)
    return abs(high - low)


def test_plots_are_drawn(page):
    assert page.locator(".plot .main-svg").count() >= 4
    assert page.locator("#plot-error .scatterlayer .trace").count() == 6
    assert page.locator("#plot-time .barlayer .trace").count() == 2
    assert page.locator("#plot-support .scatterlayer path.point").count() >= 60
    assert page.locator("#plot-plan .heatmaplayer image").count() == 1
    assert page.locator(".plot.failed").count() == 0
    loaded = "[...document.images].every(i => i.complete && i.naturalWidth === 320)"
    assert page.evaluate(loaded)


def test_links_lead_somewhere(visit):
    page = visit()
    page.get_by_role("link", name="Sinkhorn–Newton").click()
    drawn(page)
    assert page.locator("h1").inner_text() == "Sinkhorn–Newton"
    for link in page.locator("nav.contents a").all():
        assert page.locator(link.get_attribute("href") or "").count() == 1
    with page.expect_download() as download:
        page.get_by_role("link", name="assignment.lemma").click()
    assert download.value.suggested_filename == "assignment.lemma"
    page.get_by_role("link", name="Sinkhorn with sparse Newton steps").click()
    drawn(page)
    page.get_by_role("link", name="report", exact=True).click()
    assert "What was promised" in page.locator("h1").inner_text()


def test_dragging_zooms_and_a_double_click_returns(page):
    before = spread(page, "error")
    drag(page, "error")
    after = spread(page, "error")
    # from 0.3 to 0.6 of the width; plotly rounds to pixels
    assert after / before == pytest.approx(0.3, abs=0.02)
    area = box(page, "error")
    page.mouse.dblclick(area["x"] + 50, area["y"] + 50)
    until(page, f"(([a, b]) => Math.abs(b - a - {before}) < 1e-6)({RANGE})")


def test_entries_of_a_pattern_grow_with_the_zoom(page):
    size = "document.querySelector('#plot-support .plot').data[0].marker.size"
    before = page.evaluate(size)
    assert spread(page, "support") == pytest.approx(60, abs=0.5)
    drag(page, "support")
    until(page, f"{size} > 1.5 * {before}")
    assert spread(page, "support") < 30
    # rows count downwards and cells stay square
    low, high = page.evaluate(
        "document.querySelector('#plot-support .plot')._fullLayout.yaxis.range"
    )
    assert low > high


@pytest.mark.parametrize("slug", ["", NEWTON, HOSTILE], ids=["front", "system", "long"])
def test_nothing_sticks_out_on_a_phone(visit, slug):
    page = visit(slug, width=380)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    for one in page.locator("details").all():
        one.evaluate("e => e.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= 380


def test_dark_mode_reaches_page_and_plots(visit):
    ground = "getComputedStyle(document.body).backgroundColor"
    line = "document.querySelector('#plot-error .plot').data[0].line.color"
    page = visit(NEWTON)
    light = page.evaluate(ground), page.evaluate(line)
    page.emulate_media(color_scheme="dark")
    until(page, f"{line} != {light[1]!r}")
    dark = page.evaluate(ground), page.evaluate(line)
    assert light == ("rgb(255, 255, 255)", "#0a6cb0")
    assert dark == ("rgb(20, 23, 26)", "#6cb8f0")
    assert visit(theme="dark").evaluate(ground) == dark[0]


def test_plots_follow_the_width(visit):
    page = visit(SPARSE)
    page.set_viewport_size({"width": 380, "height": 900})
    narrow = "[...document.querySelectorAll('.plot .main-svg')].every(\
s => s.getBoundingClientRect().right <= 380)"
    until(page, narrow)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380


def test_hostile_texts_stay_texts(visit):
    page = visit(HOSTILE)
    assert page.evaluate("typeof pwned") == "undefined"
    names = page.locator(".plot .legendtext").all_text_contents()
    assert any("<script>" in name for name in names)
    assert page.locator("h1").inner_text().startswith(ATTACK[:20])
