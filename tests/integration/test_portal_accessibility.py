"""axe-core in a real Chromium on all pages of the portal, light and dark: nothing serious, nothing critical."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

import pytest
from playwright.sync_api import Browser

from tests.support.browser import DESKTOP, PHONE, Tab, chromium, tab
from tests.support.portal_pages import Pages, Scheme, portal_pages, walk

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
GRAVE = ("serious", "critical")
RUN = """axe.run(document, {resultTypes: ["violations"]}).then((found) => found.violations.flatMap((violation) =>
  violation.nodes.map((node) => {
    return [violation.impact, `${violation.id}: ${node.html.slice(0, 200)} ${node.failureSummary}`];
  })))"""
PAGES = 36  # and one more on what can be touched
# of each tool its height in lines, and of each icon its width; and what is left for the desktop's name
BAR = """[...document.querySelectorAll("#bar > .bar .tool")].filter((tool) => tool.checkVisibility()).map((tool) => [
  tool.id, tool.getBoundingClientRect().height / parseFloat(getComputedStyle(document.documentElement).fontSize),
  tool.querySelector("svg").getBoundingClientRect().width])"""
NAME = "document.querySelector('.about').getBoundingClientRect().width"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    with portal_pages() as made:
        yield made


def violations(person: Tab) -> list[tuple[str, str]]:
    """What axe finds on the page as it is now: impact and place.

    It runs as in a debugger: the pages' policy lets no other script in.
    """
    debugger = person.context.new_cdp_session(person.page)
    try:
        debugger.send("Runtime.evaluate", {"expression": AXE})
        wanted = {"expression": RUN, "awaitPromise": True, "returnByValue": True}
        answer = debugger.send("Runtime.evaluate", wanted)
    finally:
        debugger.detach()
    assert "exceptionDetails" not in answer, answer
    return [(impact, where) for impact, where in answer["result"]["value"]]


# all languages on a phone: there is least room for long words
@pytest.mark.parametrize(
    ("scheme", "size", "language"),
    [
        ("dark", DESKTOP, "en-GB"),
        ("light", PHONE, "en-GB"),
        ("light", PHONE, "de-DE"),
        ("light", PHONE, "fr-FR"),
        ("light", PHONE, "es-ES"),
        ("light", PHONE, "it-IT"),
    ],
)
def test_no_page_has_a_serious_violation_or_is_too_wide(
    pages: Pages, browser: Browser, scheme: Scheme, size: tuple[int, int], language: str
) -> None:
    found: list[str] = []
    seen: list[str] = []

    def look(name: str, person: Tab) -> None:
        seen.append(name)
        found.extend(f"{name}: {impact}: {where}" for impact, where in violations(person) if impact in GRAVE)
        assert person.page.evaluate("document.documentElement.lang") == language.partition("-")[0]
        width = person.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        if width[0] > width[1]:
            found.append(f"{name} is {width[0]} wide in a window of {width[1]}")

    walk(pages, browser, size, scheme, look, language)
    assert not found, "\n".join(found)
    assert len(seen) == PAGES + (size == PHONE)


@pytest.mark.parametrize("language", ["en-GB", "de-DE", "fr-FR", "es-ES", "it-IT"])
@pytest.mark.parametrize("touch", [False, True], ids=["pointer", "touch"])
def test_the_bar_of_a_desktop_has_room_for_its_words(
    pages: Pages, browser: Browser, language: str, touch: bool
) -> None:
    """What can be touched has one tool more; the narrowest phones have 320 pixels."""
    with tab(browser, DESKTOP, "light", language, touch) as person:
        pages.sign_in(person)
        pages.start(person, "Running")
        person.wait_for_phase("connected")
        assert person.visible("#touch") == touch
        for width in (*((320, 360, 390) if touch else ()), 800, 1152, 1280, 1366, 1409, 1440, 1600, 1793, 1857, 1920):
            person.page.set_viewport_size({"width": width, "height": 800})
            for tool, lines, icon in person.page.evaluate(BAR):
                assert lines < 3, (tool, width)
                assert icon >= 19, (tool, width)
            assert person.page.evaluate(NAME) > 110, width
            assert person.page.evaluate("document.documentElement.scrollWidth") <= width
    pages.stop_all()


def test_axe_sees_what_is_wrong(browser: Browser) -> None:
    """Else the test above would be worth nothing."""
    page = browser.new_page()
    try:
        page.set_content("<html><body><main><img src='x'><input><p style='color: #ccc'>Pale</p></main></body></html>")
        assert {"image-alt", "label", "color-contrast", "html-has-lang"} <= {
            where.partition(":")[0] for impact, where in violations(Tab(page, page.context)) if impact in GRAVE
        }
    finally:
        page.close()
