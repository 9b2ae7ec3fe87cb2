"""The portal's home page: how long it takes with 200 session profiles, and how much a browser loads for it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlencode

from passlib.hash import sha512_crypt
from sqlalchemy.engine import URL

from bench.data import USER, Accounts
from bench.load import WrongAnswerError, percentile
from bench.plan import Plan, progress
from bench.portal_browser import Visits, visits
from bench.report import number, table
from bench.world import Ours, Server, Setup
from x2gobroker.auth.htpasswd import write_user
from x2gobroker.store import RemoteDesktops, Store

PROFILES = 200
TYPES = 20
PLACES = 10
TAKEN = 5  # of each type, by others
OWN = 3  # desktops that the user has
REQUESTS = 400
AT_ONCE = 4
WANTED_MS = 50
WANTED_BYTES = 100_000
PASSWORD = "Measured+1"
CONFIG = """\
[global]
cookie-directory = {state}
enable-portal = true
portal-backend = inifile
remote-session-config = {state}/types.json
default-auth-mech = htpasswd

[broker_inifile]
enable = true

[authmech_htpasswd]
file = {state}/users
"""
PROFILE = """\
[p{number}]
name = Department {number}, office desktop
host = ts{number}.example.org
user = BROKER_USER
command = XFCE
acl-{kind}-allow = {who}

"""
LINKS = "client?profile="


@dataclass(frozen=True)
class Pages:
    """Milliseconds of the home page, one after another and AT_ONCE at a time, and what a browser makes of it."""

    alone: list[float]
    together: list[float]
    processor: float  # milliseconds of one request
    visits: Visits


class Browser:
    """One kept-alive connection, and the cookie of the sign-in."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.cookie = ""

    def ask(self, method: str, path: str, body: str = "") -> tuple[int, bytes]:
        """Status and body; the cookie is kept."""
        headers = {"Sec-Fetch-Site": "same-origin", "Cookie": self.cookie}
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.connection.request(method, path, body or None, headers)
        response = self.connection.getresponse()
        data = response.read()
        if response.getheader("Set-Cookie"):
            self.cookie = str(response.getheader("Set-Cookie")).partition(";")[0]
        return response.status, data

    def sign_in(self) -> None:
        """Sign in with the form."""
        status, _ = self.ask("POST", "/portal/sign-in", urlencode({"user": USER, "password": PASSWORD}))
        if status != 303 or not self.cookie:
            raise WrongAnswerError(f"signing in at the portal gave {status}")

    def home(self) -> bytes:
        """The home page, with all that it must have."""
        status, data = self.ask("GET", "/portal/")
        if status != 200 or data.count(LINKS.encode()) != PROFILES or data.count(b'class="card desk"') != TYPES:
            raise WrongAnswerError(f"the portal's home page: status {status}, {len(data)} bytes")
        return data


def measure(plan: Plan) -> Pages:
    """One broker with 200 profiles, all for the user, and 20 session types, half of whose places are taken."""
    progress("portal: home page")
    server = _server(plan.accounts[min(plan.groups)])
    with server:
        first = Browser(server.port)
        first.sign_in()
        count = REQUESTS // 4 if plan.quick else REQUESTS
        _times(first, count // 4)  # both workers have seen everything then
        before = server.processor_seconds()
        alone = _times(first, count)
        processor = 1000 * (server.processor_seconds() - before) / count
        together: list[float] = []
        threads = [threading.Thread(target=_load, args=(server, count // AT_ONCE, together)) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(together) != count // AT_ONCE * AT_ONCE:
            raise WrongAnswerError("a browser got no right answer")
        progress("portal: a browser")
        return Pages(alone, together, processor, visits(server.port, PASSWORD, plan.quick))


def _server(accounts: Accounts) -> Server:
    made = Ours(Setup(accounts, _profiles(), CONFIG))
    kinds = {f"Desktop {number}": {"script": "tigervnc.py", "count": PLACES} for number in range(TYPES)}
    (made.state / "types.json").write_text(json.dumps(kinds), encoding="utf-8")
    write_user(made.state / "users", USER, sha512_crypt.using(rounds=1000).hash(PASSWORD))
    store = Store(URL.create("sqlite", database=str(made.state / "x2gobroker.sqlite")))
    desktops = RemoteDesktops(store)
    for kind in kinds:
        for each in range(TAKEN):
            desktops.reserve(kind, PLACES, f"colleague{each}", {"size": "1024x768"}, "")
    for kind in list(kinds)[:OWN]:
        desktops.reserve(kind, PLACES, USER, {"size": "1024x768"}, "")
    store.close()
    return made


def _profiles() -> str:
    """Half of them are the user's by name, the others by a rule for everybody."""
    rules = (("users", USER), ("groups", "ALL"))
    return "".join(
        PROFILE.format(number=each, kind=rules[each % 2][0], who=rules[each % 2][1]) for each in range(PROFILES)
    )


def _times(browser: Browser, count: int) -> list[float]:
    times = []
    for _ in range(count):
        begin = time.monotonic()
        browser.home()
        times.append(1000 * (time.monotonic() - begin))
    return times


def _load(server: Server, count: int, times: list[float]) -> None:
    browser = Browser(server.port)
    browser.sign_in()
    times += _times(browser, count)


def report(pages: Pages) -> str:
    """The figures as markdown."""

    def row(what: str, times: list[float], processor: str = "", wanted: str = f"< {WANTED_MS}") -> tuple[str, ...]:
        figures = (number(percentile(sorted(times), share)) for share in (0.5, 0.95))
        return (what, *figures, wanted, processor)

    sizes = pages.visits.sizes
    total = sum(sizes.values())
    parts = ", ".join(f"{name} {number(size / 1000)}" for name, size in sizes.items())
    return "\n\n".join(
        [
            "### The portal's home page",
            f"{PROFILES} session profiles and {TYPES} session types that the user may see, who has {OWN} desktops; "
            "in ms, whole answers. Processor: ms of the server for one page.",
            table(
                ("", "p50", "p95", "p95 wanted", "processor"),
                (
                    row("one after another", pages.alone, number(pages.processor)),
                    row(f"{AT_ONCE} browsers at a time", pages.together),
                    row("Chromium, until the page has come", pages.visits.come),
                    row("Chromium, until it is there with all that it loads", pages.visits.loaded, wanted=""),
                ),
            ),
            f"Loaded by Chromium on a first visit, heads included: {number(total / 1000)} kB ({parts}); wanted: less "
            f"than {WANTED_BYTES // 1000} kB.",
        ]
    )
