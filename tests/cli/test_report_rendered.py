"""The HTML report in a real Chromium: both colour schemes, a phone and a desktop, and on paper.

AML_REQUIRE_CHROMIUM=1 makes a missing one a failure, as in CI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.running import aml
from tests.support.chromium import Page, browser, chromium_or_skip
from tests.support.records import NOW, decision, pattern, solution
from tests.support.reports import ODD_NAMES
from tests.support.stores import make_store

pytestmark = pytest.mark.slow

#: CSS pixels; that of paper is A4 within its margins.
_PHONE, _LARGE_PHONE, _PAPER, _TABLET, _SMALL_DESKTOP, _DESKTOP = 360, 600, 680, 800, 840, 1280

#: What sticks out: of the page, or of its own box. What is only for screen readers, and what is scrolled, may.
_OVERFLOWING = """
(() => {
  const wide = document.documentElement.clientWidth, found = [];
  const name = one => one.tagName + '.' + (one.getAttribute('class') || '') + ' ' + one.textContent.slice(0, 40);
  for (const one of document.querySelectorAll('body *')) {
    if (one.closest('thead') && getComputedStyle(one.closest('thead')).position === 'absolute') continue;
    const box = one.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    if (box.left < -0.5 || box.right > wide + 0.5) found.push('page: ' + name(one));
    if (!one.closest('svg') && one.clientWidth && one.scrollWidth > one.clientWidth + 1) {
      // a plot writes its axis beside itself, within its card
      if (!one.querySelector('svg.timed')) found.push('box: ' + name(one));
    }
  }
  for (const card of document.querySelectorAll('.card, .tile')) {
    const box = card.getBoundingClientRect();
    for (const one of card.querySelectorAll('*')) {
      if (one.closest('thead')) continue;
      const inner = one.getBoundingClientRect();
      const out = inner.left < box.left - 0.5 || inner.right > box.right + 0.5;
      if (inner.width && out) found.push('card: ' + name(one));
    }
  }
  return found;
})()
"""

#: Labels of one plot that lie upon each other.
_COLLIDING = """
(() => {
  const found = [];
  for (const plot of document.querySelectorAll('svg.plot')) {
    const texts = [...plot.querySelectorAll('text')].filter(one => one.getBoundingClientRect().width);
    texts.forEach((one, place) => texts.slice(place + 1).forEach(other => {
      const a = one.getBoundingClientRect(), b = other.getBoundingClientRect();
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 0.5 && down > 3) found.push(one.textContent + ' / ' + other.textContent);
    }));
  }
  return found;
})()
"""


def empty(folder: Path) -> None:
    make_store(folder, {})


def demo(folder: Path) -> None:
    assert aml(folder, "demo", "there").status == 0
    (folder / "there/.loom").rename(folder / ".loom")


def odd(folder: Path) -> None:
    """50 agents, some with names that would do harm, damage, and a past of some weeks."""
    names = [*(name.replace("/", "-") for name in ODD_NAMES), *(f"agent-{number:02}" for number in range(41))]
    records = [pattern(created_days=400, unused_days=350), pattern(success=0.95), None, {"id": 1}]
    agents = {
        name: {
            "patterns": [*records, *(pattern(success=n / 50) for n in range(place % 40))],
            "solutions": [solution()] * (place % 3),
            "decisions": [decision()],
        }
        for place, name in enumerate(names)
    }
    memory = make_store(folder, agents)
    now = NOW.timestamp()
    for days in range(40, 0, -2):
        aml(folder, "monitor", "metrics", now=now - days * 86_400)
        if days % 10 == 0:
            aml(folder, "prune", "--yes", "--max-loss", "10%", now=now - days * 86_400 + 60)
    for name in (*names[:4], *names[-3:]):
        (memory / name / "solutions.json").write_bytes(b"\x1f\x8b half")


def young(folder: Path) -> None:
    """Two days old, so that days and hours stand below one axis."""
    make_store(folder, {"alpha": {"patterns": [pattern(), pattern(success=0.9)]}})
    for hours in (49, 30, 6):
        aml(folder, "monitor", "metrics", now=NOW.timestamp() - hours * 3600)


@pytest.fixture(scope="module", params=[empty, young, demo, odd], ids=lambda one: one.__name__)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    chromium_or_skip()
    folder: Path = tmp_path_factory.mktemp("rendered")
    make: Callable[[Path], None] = request.param
    make(folder)
    assert aml(folder, "monitor", "report", "--html", "report.html").status == 0
    return folder / "report.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened.new_page()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("width", "media"),
    [*((width, "screen") for width in (_PHONE, _LARGE_PHONE, _TABLET, _SMALL_DESKTOP, _DESKTOP)), (_PAPER, "print")],
)
def test_nothing_overflows_nothing_is_fetched_and_the_console_is_silent(
    report: Path, page: Page, width: int, scheme: str, media: str
) -> None:
    page.requests.clear()
    page.look(width, scheme=scheme, media=media)
    page.open(report)
    for unfolded in (False, True):
        if unfolded:
            page.run("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert page.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert page.run(_OVERFLOWING) == []
        assert page.run(_COLLIDING) == []
    assert page.complaints == []
    assert [one for one in page.requests if one != report.as_uri() and not one.startswith("data:")] == []


def test_the_two_schemes_look_different_and_paper_is_light(report: Path, page: Page) -> None:
    seen = {}
    for scheme, media in (("light", "screen"), ("dark", "screen"), ("dark", "print")):
        page.look(_DESKTOP, scheme=scheme, media=media)
        page.open(report)
        seen[scheme, media] = page.run("getComputedStyle(document.querySelector('.card')).backgroundColor")
    assert seen["light", "screen"] == seen["dark", "print"] == "rgb(255, 255, 255)"
    assert seen["dark", "screen"] != seen["light", "screen"]


def test_names_are_text_and_run_nothing(report: Path, page: Page) -> None:
    page.look(_DESKTOP)
    page.open(report)
    assert page.run("document.querySelectorAll('script, img, iframe').length") == 0
    assert page.run("document.title.length > 0 && document.querySelectorAll('h1').length") == 1
    unnamed = "[...document.querySelectorAll('svg[role=img]')].filter(one => !one.querySelector('title')).length"
    assert page.run(unnamed) == 0


def test_it_can_be_printed(report: Path, page: Page, tmp_path: Path) -> None:
    page.look(_DESKTOP)
    page.open(report)
    page.print_to(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
