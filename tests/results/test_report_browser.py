"""The report in a headless Chromium: what one points at, focuses or taps shows a card."""

import json
import time

import pytest
from chromium import Chromium, find_chromium
from make_run import make_run
from test_latency import row as latency_row
from test_similarity_chart import ALL

from results import load_run, render_report
from results.latency import write_profile

PROGRAM = find_chromium()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")
POINTS = """[...document.querySelectorAll('#chart-%s path')]
  .filter(node => typeof node.__data__?.tooltip === 'object').map(node => {
    const box = node.getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2, node.__data__.tooltip.Trial];
  })"""
CARD = """(() => {
  const tip = document.getElementById('tip'), box = tip.getBoundingClientRect();
  const inside = box.left >= 0 && box.top >= 0 && box.bottom <= innerHeight
    && box.right <= document.documentElement.clientWidth && tip.scrollHeight <= tip.clientHeight;
  const names = [...tip.querySelectorAll('dt')], cell = names[0]?.getBoundingClientRect();
  const first = tip.querySelector('dd'), beside = first?.getBoundingClientRect();
  return {hidden: tip.hidden, inside, compact: box.height <= innerHeight / 2, text: tip.textContent,
    drawn: tip.querySelectorAll('svg.blocks rect').length > 2, trial: beside && names.length > 4
    && beside.left > cell.right - 1 && beside.top === cell.top && first.textContent,
    paper: getComputedStyle(tip).backgroundColor};
})()"""
LOOKS = [(1280, False), (1280, True), (900, False), (900, True), (400, False), (400, True)]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    file = folder / "page.html"
    file.write_text(render_report(load_run(make_run(folder / "run", running=1))), "utf-8")
    return file


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Chromium(PROGRAM, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def shown(browser, page, width, dark, chart="frontier"):
    """The chart in the middle of the window; its points."""
    browser.open(page, width=width, dark=dark)
    browser.value(f"document.getElementById('chart-{chart}').scrollIntoView({{block: 'center'}})")
    before = None
    while (points := browser.value(POINTS % chart)) != before:
        before = points
        time.sleep(0.5)  # until it has come to rest: charts below may still be drawn
    return points


def assert_card(card, dark):
    assert not card["hidden"], card
    assert card["inside"], card
    assert card["compact"], card
    assert card["drawn"], card
    assert card["trial"], card
    assert card["paper"] == ("rgb(18, 22, 29)" if dark else "rgb(255, 255, 255)")


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_whatever_one_points_at_or_taps_shows_a_card_with_its_drawing(browser, page, width, dark):
    points = shown(browser, page, width, dark)
    assert len(points) > 20
    for x, y, _ in points:
        touched = width < 600
        browser.value("document.getElementById('tip').hidden = true")
        (browser.tap if touched else browser.move)(x, y)
        browser.wait("!document.getElementById('tip').hidden", 30)
        assert_card(browser.value(CARD), dark)
    assert browser.complaints == []
    assert browser.requests == [page.as_uri()]


def test_keyboard_reaches_every_point_and_shows_its_card(browser, page):
    points = shown(browser, page, 900, False)
    for _ in range(40):
        browser.press("Tab")
        if browser.value("document.activeElement.matches('#chart-frontier path')"):
            break
    reached = []
    for _ in points:
        card = browser.value(CARD)
        assert_card(card, False)
        reached.append(card["trial"])
        browser.press("ArrowRight")
    assert sorted(reached) == sorted(trial for _, _, trial in points)
    browser.press("Escape")
    assert browser.value(CARD)["hidden"]


def test_the_page_is_no_wider_than_a_telephone(browser, page):
    browser.open(page, width=400)
    assert browser.value("document.documentElement.scrollWidth") <= 400


def test_every_table_is_sorted_by_what_its_numbers_mean(browser, page):
    browser.open(page, width=1280)
    column = """[...document.querySelectorAll('#frontier tbody tr')]
      .map(row => row.cells[1].textContent.trim())"""
    cheapest_first = browser.value(column)
    sort = "document.querySelectorAll('#frontier th button')[1].click()"
    browser.value(f"{sort}; {sort}")
    assert browser.value(column) == cheapest_first[::-1]
    assert browser.value(
        "[...document.querySelectorAll('main thead th')].every(h => h.querySelector('button'))"
    )
    assert browser.complaints == []


def test_measured_latency_and_alike_maps_have_cards_too(browser, tmp_path):
    folder = make_run(tmp_path / "run")
    records = [r for r in load_run(folder).records if r.state == "complete"]
    write_profile(folder, [latency_row(r.trial, r.flops, r.flops / 1e8) for r in records])
    trial = load_run(folder).front[-1].trial
    (folder / f"inspect-{trial}.json").write_text(json.dumps({"trial": trial, **ALL}))
    page = tmp_path / "page.html"
    page.write_text(render_report(load_run(folder)), "utf-8")
    for chart in ("latency-0", f"maps-{trial}"):
        points = shown(browser, page, 900, True, chart)
        x, y, number = points[-1]
        browser.move(x, y)
        browser.wait("!document.getElementById('tip').hidden", 30)
        card = browser.value(CARD)
        assert card["inside"], card
        assert card["compact"], card
        assert card["drawn"], card
        assert str(number) in card["text"]
    assert browser.complaints == []
    assert browser.requests == [page.as_uri()]
