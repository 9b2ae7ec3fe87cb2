"""A page of another site in a real Chromium, which knows the user's password for the broker and sends it with forms."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from werkzeug.serving import make_server

from tests.support.browser import chromium
from tests.support.processes import wait_until
from tests.web.conftest import Bench
from x2gobroker.app import create_app

USER, PASSWORD = "anna", "Kn0wn-to-the-browser"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
FORM = """<!doctype html><form method="{method}" action="{broker}/plain/inifile/" enctype="{kind}">
<input name="task" value="selectsession"><input name="sid" value="desk"><input name="pubkey" value="{key}"></form>
<script>document.forms[0].submit()</script>"""
FETCH = """<!doctype html><script>fetch("{broker}/json/inifile/", {{method: "POST", mode: "no-cors",
credentials: "include", headers: {{"Content-Type": "{kind}"}}, body: "task=selectsession&sid=desk&pubkey={key}"}})
</script>"""
IMAGE = """<!doctype html><img src="{broker}/plain/inifile/?task=selectsession&sid=desk">"""


@dataclass
class Seen:
    """What came to the broker: where to, with the password or not, what the browser told of its page; the answer."""

    path: str
    known: bool
    headers: dict[str, str]
    status: str = ""
    body: bytes = b""


@dataclass
class Site:
    """The broker as behind Apache with Basic authentication, and somebody else's page."""

    broker: str
    page: list[str]
    port: int
    seen: list[Seen] = field(default_factory=list)

    def logged_in(self, broker_app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """As Apache does: asks for the password, and says by REMOTE_USER who it is."""
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

        def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            known = environ.get("HTTP_AUTHORIZATION") == expected
            told = {name: value for name, value in environ.items() if name.startswith(("HTTP_SEC", "HTTP_ORI"))}
            one = Seen(environ["PATH_INFO"], known, told)
            if not known:
                self.seen.append(one)
                start("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="broker"')])
                return [b"who are you?"]
            environ["REMOTE_USER"] = USER

            def started(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
                one.status = status
                return start(status, headers, *more)

            one.body = b"".join(broker_app(environ, started))
            self.seen.append(one)
            return [one.body]

        return application


@contextlib.contextmanager
def serving(port: int, application: Any) -> Iterator[int]:
    """A web server for the length of a `with` block."""
    server = make_server("127.0.0.1", port, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    bench = Bench(tmp_path, debug=True)  # GET is answered in debug mode
    text = (tmp_path / "x2gobroker.conf").read_text(encoding="utf-8")
    bench.write("x2gobroker.conf", text.replace("default-auth-mech = htpasswd", "default-auth-mech = remote_user"))
    variables = {
        "X2GOBROKER_CONFIG": str(tmp_path / "x2gobroker.conf"),
        "X2GOBROKER_DEFAULTS": str(tmp_path / "defaults.conf"),
        "X2GOBROKER_DEBUG": "1",
    }
    made = Site("", [""], 0)

    def evil(_environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/html")])
        return [made.page[0].encode()]

    with serving(0, made.logged_in(create_app(variables))) as port, serving(0, evil) as other:
        made.broker, made.port = f"http://127.0.0.1:{port}", other
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


PAGES = {
    "form": (FORM, "post", "application/x-www-form-urlencoded"),
    "text form": (FORM, "post", "text/plain"),
    "multipart form": (FORM, "post", "multipart/form-data"),
    "link": (FORM, "get", "application/x-www-form-urlencoded"),
    "script": (FETCH, "post", "text/plain"),
    "image": (IMAGE, "get", ""),
}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])  # another site, and another port of the broker's own host
@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_another_site_does_nothing_in_the_users_name(
    site: Site, browser: Browser, page: str, host: str
) -> None:
    template, method, kind = PAGES[page]
    credentials = {"username": USER, "password": PASSWORD, "origin": site.broker, "send": "always"}
    context = browser.new_context(http_credentials=credentials)  # type: ignore[arg-type]
    try:
        tab = context.new_page()
        tab.goto(site.broker)  # the user's own visit: allowed, and the password is known from then on
        assert "X2Go" in tab.content()
        site.seen.clear()
        site.page[0] = template.format(broker=site.broker, method=method, kind=kind, key=KEY)
        with contextlib.suppress(Exception):  # that page goes elsewhere before it is loaded
            tab.goto(f"http://{host}:{site.port}/")
        # of what a page loads from another site, Chromium leaves the password out
        with_password = host == "127.0.0.1" or page not in ("script", "image")
        wait_until(lambda: any(one.known is with_password for one in sent(site)), "what the page sends")
    finally:
        context.close()
    for one in sent(site):
        assert one.headers.get("HTTP_SEC_FETCH_SITE") in ("cross-site", "same-site")
        assert b"granted" not in one.body
        assert not one.known or one.status.startswith("403"), (one, one.body)


def sent(site: Site) -> list[Seen]:
    """What the foreign page had sent; the browser itself asks for a picture of the broker's own page."""
    return [one for one in site.seen if one.path.startswith(("/plain/", "/json/"))]
