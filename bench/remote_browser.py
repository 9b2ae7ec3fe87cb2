"""From the click on Start to the first picture of a desktop, in Chromium with TigerVNC."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from playwright.sync_api import Browser

from bench.load import WrongAnswerError
from bench.plan import Plan, progress
from tests.support.accounts import Account, account_with_home
from tests.support.browser import Tab, chromium, tab
from tests.support.portal_desktops import PASSWORD, PortalDesktops, portal_desktops
from tests.support.processes import wait_until

CLICKS = 9
KIND = "Desktop"
USER = "anna"
SIZE = "1280x800"
PAGE, CONNECTED, PICTURE, WINDOW = "page", "connected", "picture", "window"
MARKS = (PAGE, CONNECTED, PICTURE, WINDOW)
# Notes moments in the page itself, by the clock of the machine: the click, and what can be seen on the canvas.
SCRIPT = """(() => {
  const now = () => performance.timeOrigin + performance.now();
  addEventListener("click", () => sessionStorage.setItem("clicked", now()), true);
  if (!location.pathname.includes("/desktop/")) return;
  const marks = window.benchMarks = {};
  const small = document.createElement("canvas");
  small.width = small.height = 64;
  const pixels = small.getContext("2d", { willReadFrequently: true });
  const look = () => {
    const loaded = performance.getEntriesByType("navigation")[0].responseEnd;
    if (loaded) marks.page ??= performance.timeOrigin + loaded;
    if (document.querySelector("#state[data-phase=connected]")) marks.connected ??= now();
    const canvas = document.querySelector("#screen canvas:not(.last)");
    if (canvas && canvas.width) {
      pixels.clearRect(0, 0, 64, 64);
      pixels.drawImage(canvas, 0, 0, 64, 64);
      const colours = new Set(new Uint32Array(pixels.getImageData(0, 0, 64, 64).data.buffer));
      colours.delete(0);
      if (colours.size) marks.picture ??= now();
      if (colours.size > 1) marks.window ??= now();
    }
    if (Object.keys(marks).length < 4) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})();"""
READ = "() => window.benchMarks && Object.keys(window.benchMarks).length == 4 ? window.benchMarks : null"


@dataclass
class Pictures:
    """Milliseconds from the click to each mark: of the first one of a fresh browser, of all others, and of reloads."""

    first: dict[str, float] = field(default_factory=dict)
    others: list[dict[str, float]] = field(default_factory=list)
    reloads: list[dict[str, float]] = field(default_factory=list)


def pictures(plan: Plan) -> Pictures:
    """Start a desktop again and again, each time after the last one has gone."""
    result = Pictures()
    with contextlib.ExitStack() as stack:
        account = stack.enter_context(account_with_home("Measured+1"))
        site = stack.enter_context(_site(account))
        anna = stack.enter_context(_person(site, stack.enter_context(chromium())))
        result.first = _click(site, anna)
        _stop(site)
        for number in range(2 if plan.quick else CLICKS):
            progress(f"remote: click {number + 1}")
            result.others.append(_click(site, anna))
            result.reloads.append(_reload(anna))
            _stop(site)
    return result


@contextlib.contextmanager
def _site(account: Account) -> Iterator[PortalDesktops]:
    options = {"account": account.name, "command": ["xterm", "-geometry", "100x30+0+0"], "sizes": [SIZE]}
    types = {KIND: {"script": "tigervnc.py", "count": 1, "options": options}}
    with portal_desktops(types, "remote-connections-per-user = 50") as made:
        yield made


@contextlib.contextmanager
def _person(site: PortalDesktops, browser: Browser) -> Iterator[Tab]:
    with tab(browser) as made:
        made.context.add_init_script(SCRIPT)
        made.sign_in(site.url, USER, PASSWORD)
        yield made


def _click(site: PortalDesktops, person: Tab) -> dict[str, float]:
    """One start; milliseconds to each mark."""
    page = person.page
    page.goto(site.url)
    page.locator("li.card", has=page.get_by_role("heading", name=KIND)).get_by_role("button").click()
    page.wait_for_url("**/desktop/*")
    return _marks(person, float(page.evaluate("() => Number(sessionStorage.getItem('clicked'))")))


def _reload(person: Tab) -> dict[str, float]:
    """The page of a desktop that runs, loaded anew."""
    person.page.reload()
    return _marks(person, float(person.page.evaluate("() => performance.timeOrigin")))


def _marks(person: Tab, begin: float) -> dict[str, float]:
    found = person.page.wait_for_function(READ).json_value()
    person.assert_well()
    marks = {name: float(found[name]) - begin for name in MARKS}
    if not 0 < marks[PAGE] < marks[PICTURE] <= marks[WINDOW]:
        raise WrongAnswerError(f"the page shows a desktop in an order that cannot be: {marks}")
    return marks


def _stop(site: PortalDesktops) -> None:
    desktops = site.service.desktops
    for slot in desktops.of_user(USER):
        desktops.ask_stop(slot)
    wait_until(lambda: not desktops.of_user(USER), "the end of the desktop")
