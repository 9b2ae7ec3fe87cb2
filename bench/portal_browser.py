"""The portal's home page in Chromium: all that it loads, and how long that takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from playwright.sync_api import Request

from bench.data import USER
from bench.load import WrongAnswerError
from tests.support.browser import Tab, chromium, tab

VISITS = 40
HOME = "/portal/"
# when the page had come, and when it was shown with all that it loads; milliseconds since the visit began
TIMES = "(() => { const n = performance.getEntriesByType('navigation')[0]; return [n.responseEnd, n.loadEventEnd]; })()"


@dataclass(frozen=True)
class Visits:
    """`sizes`: bytes over the network at a first visit, heads included, by the last part of the address.

    `come` and `loaded`: milliseconds of later visits until the page has come, and until it is there with everything.
    """

    sizes: dict[str, int]
    come: list[float]
    loaded: list[float]


def visits(port: int, password: str, quick: bool) -> Visits:
    """A first visit with an empty cache, which ends with the home page, and later ones."""
    home = f"http://127.0.0.1:{port}{HOME}"
    with chromium() as browser:
        with tab(browser) as person:
            person.sign_in(home, USER, password)
            sign_in = person.context.storage_state()
        context = browser.new_context(storage_state=sign_in)  # signed in, and with an empty cache
        person = Tab(context.new_page(), context)
        requests: list[Request] = []
        person.page.on("requestfinished", lambda request: requests.append(request))
        person.page.goto(home, wait_until="networkidle")
        sizes: Counter[str] = Counter()
        for request in requests:
            sizes[_name(request.url, home)] += _size(request)
        times = [_visit(person, home) for _ in range(VISITS // 4 if quick else VISITS)]
        context.close()
    if not {"the page", "home.js", "portal.css"} <= set(sizes):
        raise WrongAnswerError(f"what the home page loads has been counted wrong: {sorted(sizes)}")
    return Visits(sizes, [come for come, _ in times], [loaded for _, loaded in times])


def _name(url: str, home: str) -> str:
    return "the page" if url == home else url.partition("?")[0].rpartition("/")[2]


def _size(request: Request) -> int:
    sizes = request.sizes()
    return sizes["responseBodySize"] + sizes["responseHeadersSize"]


def _visit(person: Tab, home: str) -> tuple[float, float]:
    person.page.goto(home)
    person.wait_for("the page being there", lambda: person.page.evaluate(TIMES)[1] > 0)
    come, loaded = person.page.evaluate(TIMES)
    return float(come), float(loaded)
