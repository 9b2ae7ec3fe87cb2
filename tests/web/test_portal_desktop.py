"""The desktop page, its token and its state, links for guests, and the files that the pages load."""

from __future__ import annotations

import gzip
import html
import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest
from sqlalchemy import update
from webtest import TestResponse

from tests.web.conftest import ADDRESS
from tests.web.portal import HOST, JSON, OWN, Browser, PortalBench
from x2gobroker.portal import desktop as desktop_page
from x2gobroker.portal import share as share_page
from x2gobroker.portal import static
from x2gobroker.portal.languages import NAMES
from x2gobroker.remote.files.messages import WHYS
from x2gobroker.remote.service import TOKEN_PREFIX
from x2gobroker.remote.told import FAULTS, MORE_MEMORY, NOT_STOPPED, REFUSALS, SCRIPT_FAILED
from x2gobroker.store import Slot, Why
from x2gobroker.store.portal_tables import PORTAL_SESSIONS
from x2gobroker.store.remote_desktops import FAILED, RUNNING, STOPPING

TYPES = """{"Desk <1>": {"script": "tigervnc.py", "count": 2},
 "Staff": {"script": "tigervnc.py", "count": 2, "users": ["anna"]}}"""


@pytest.fixture
def portal(tmp_path: Path) -> PortalBench:
    return PortalBench(tmp_path, types=TYPES)


@pytest.fixture
def anna(portal: PortalBench) -> Browser:
    return portal.signed_in()


def take(portal: PortalBench, user: str = "anna", kind: str = "Desk <1>") -> Slot:
    slot = portal.desktops.reserve(kind, 2, user, {"size": "800x600"}, ADDRESS)
    assert slot is not None
    return slot


def ask_json(portal: PortalBench, path: str, body: object, headers: Mapping[str, str] = JSON) -> TestResponse:
    """POST JSON, without a cookie."""
    portal.app.reset()
    return portal.app.post(
        path,
        body if isinstance(body, bytes) else json.dumps(body).encode(),
        headers={**headers, "Content-Type": "application/json", "Host": HOST},
        expect_errors=True,
    )


def at(slot: Slot, action: str = "") -> str:
    return f"/portal/desktop/{slot.id}{action and '/'}{action}"


# --- the page


def test_the_page_has_no_script_or_style_of_its_own_and_may_connect_to_its_host_only(
    portal: PortalBench, anna: Browser
) -> None:
    page = anna.get(at(take(portal)))
    assert page.status_int == 200
    assert "<h1>Desk &lt;1&gt;</h1>" in page.text
    assert re.findall(r"<script(?![^>]*\ssrc=)", page.text) == []
    assert not re.search(r"\s(style|on\w+)=", page.text)
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["connect-src"] == f"'self' wss://{HOST}"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert page.headers["Cache-Control"] == "no-store"


def test_all_that_the_page_loads_is_there_and_is_kept_by_the_browser(portal: PortalBench, anna: Browser) -> None:
    for path in (at(take(portal)), "/portal/view"):
        page = anna.get(path)
        loaded = re.findall(r'<(?:link|script)[^>]+(?:href|src)="([^"]+)"', page.text)
        assert len(loaded) > 50
        assert any(address.endswith("/novnc/core/rfb.js") for address in loaded)
        for address in loaded:
            answer = anna.get(address)
            assert answer.status_int == 200, address
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("script", "more", "most"),
    [("tigervnc.py", {}, 1024), ("own.py", {}, 256), ("own.py", {"clipboard-kilobytes": 900}, 900)],
)
def test_the_page_sends_no_more_text_than_the_desktop_takes(
    tmp_path: Path, script: str, more: dict[str, int], most: int
) -> None:
    """`Sent` would be no true word."""
    portal = PortalBench(tmp_path, types=json.dumps({"Desk <1>": {"script": script, "count": 2, **more}}))
    page = portal.signed_in().get(at(take(portal)))
    assert f'data-clipboard-bytes="{most << 10}"' in page.text


def test_texts_for_the_scripts_are_in_the_users_language(portal: PortalBench, anna: Browser) -> None:
    page = anna.get(at(take(portal)), Accept_Language="de")
    texts = json.loads(html.unescape(re.search(r'data-texts="([^"]+)"', page.text)[1]))  # type: ignore[index]
    assert texts["connected"] == "Verbunden"
    assert texts["again"] == "Neuer Versuch in {seconds} s."


def test_every_text_that_a_script_names_is_there(portal: PortalBench, anna: Browser) -> None:
    page = anna.get(at(take(portal)))
    texts = json.loads(html.unescape(re.search(r'data-texts="([^"]+)"', page.text)[1]))  # type: ignore[index]
    named = set()
    for path in sorted((static.FOLDER / "portal").glob("*.js")):
        named |= set(re.findall(r'\btext(?:\(|: )"(\w+)"', path.read_text(encoding="utf-8")))
    assert "lost" in named
    assert named <= set(texts)


def test_ids_that_scripts_look_for_are_in_the_page(portal: PortalBench, anna: Browser) -> None:
    page = anna.get(at(take(portal))).text
    for name in ("desktop", "clipboard", "share", "keys", "cover"):
        text = (static.FOLDER / "portal" / f"{name}.js").read_text(encoding="utf-8")
        for wanted in re.findall(r'by\("([\w-]+)"\)', text):
            assert f'id="{wanted}"' in page, (name, wanted)


def test_the_desktop_of_somebody_else_is_as_if_it_were_not_there(portal: PortalBench, anna: Browser) -> None:
    slot = take(portal)
    bert = portal.signed_in("bert")
    unknown = replace(slot, id="0123456789abcdef")
    assert bert.get(at(slot)).status_int == bert.get(at(unknown)).status_int == 404
    assert bert.get(at(slot, "state"), Accept="application/json").json == {"state": "gone"}
    assert bert.ask(at(slot, "token")).status_int == 409
    assert bert.ask(at(slot, "share")).status_int == 409
    assert bert.ask(at(slot, "unshare")).json == {"taken_back": 0}
    bert.post(at(slot, "stop"))
    assert portal.desktops.find(slot.id) is not None
    assert anna.get(at(slot)).status_int == 200


def test_who_is_not_signed_in_is_sent_to_sign_in_and_back(portal: PortalBench) -> None:
    slot = take(portal)
    browser = portal.browser()
    answer = browser.get(at(slot))
    assert (answer.status_int, unquote(answer.location)) == (303, f"/portal/sign-in?next=/portal/desktop/{slot.id}")
    assert browser.ask(at(slot, "token")).status_int == 401
    assert browser.get(at(slot, "state"), Accept="application/json").status_int == 401


def test_without_novnc_the_page_and_the_log_say_so(
    portal: PortalBench, anna: Browser, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(static, "has_novnc", lambda: False)
    assert anna.get(at(take(portal))).status_int == 503
    assert portal.browser().get("/portal/view").status_int == 503
    assert "scripts/novnc" in caplog.text


# --- how it is


def test_the_state_says_what_the_page_shows(portal: PortalBench, anna: Browser) -> None:
    slot = take(portal)
    assert anna.get(at(slot, "state")).json == {
        "state": "reserved",
        "progress": "",
        "ends": None,
        "ends_why": "",
        "left": None,
        "note": "",
        "why": "",
        "connections": 0,
        "shared": 0,
        "shared_to_work": 0,
        "announcement": "",
    }
    ends = time.time() + 90
    portal.desktops.change(slot.id, RUNNING, connections=1, ends=ends, ends_why="idle", progress="x")
    portal.desktops.share(slot)
    found = anna.get(at(slot, "state")).json
    assert found["state"] == "running"
    assert (found["ends"], found["ends_why"], found["shared"]) == (ends, "idle", 1)
    assert 80 < found["left"] <= 90
    portal.desktops.change(slot.id, STOPPING, ends=None, ends_why="idle")
    found = anna.get(at(slot, "state")).json
    assert (found["state"], found["why"], found["left"]) == (STOPPING, "idle", None)
    assert found["note"] == "It was stopped because it was idle for too long."
    portal.desktops.change(slot.id, note=NOT_STOPPED)
    assert anna.get(at(slot, "state")).json["note"].startswith("This desktop could not be stopped.")


def test_the_state_says_why_a_desktop_could_not_be_started(portal: PortalBench, anna: Browser) -> None:
    slot = take(portal)
    portal.desktops.release(slot.id, SCRIPT_FAILED, Why.FAILED)
    found = anna.get(at(slot, "state")).json
    assert (found["state"], found["why"], found["note"]) == (
        FAILED,
        "failed",
        "The script for this desktop failed. Contact your administrator.",
    )
    german = anna.get(at(slot, "state"), Accept_Language="de").json
    assert german["note"] == "Das Skript für diesen Desktop ist fehlgeschlagen. Wenden Sie sich an Ihren Administrator."
    other = take(portal)
    portal.desktops.release(other.id, "script /var/lib/x/bad.py: RuntimeError: secret", Why.FAILED)
    assert anna.get(at(other, "state")).json["note"].endswith("contact your administrator. The log has details.")
    assert anna.get(at(other)).status_int == 200, "its page says so"


@pytest.mark.parametrize("note", ["", MORE_MEMORY])
def test_a_failure_that_a_service_of_before_has_noted(portal: PortalBench, anna: Browser, note: str) -> None:
    """It keeps no ends. What ran has ended; only what never did could not be started."""
    for started, state in ((None, FAILED), (time.time() - 7200, "ended")):
        slot = take(portal)
        portal.desktops.change(slot.id, FAILED, note=note, started=started)
        found = anna.get(at(slot, "state")).json
        assert (found["state"], bool(found["note"])) == (state, bool(note))


@pytest.mark.parametrize(
    ("why", "seconds", "english", "german"),
    [
        (Why.IDLE, 14400.0, "It had not been used for 4 hours.", "Er war seit 4 Stunden nicht benutzt worden."),
        (
            Why.ABSOLUTE,
            36000.0,
            "Its time limit of 10 hours was reached.",
            "Sein Zeitlimit von 10 Stunden war erreicht.",
        ),
        (Why.GRACE, 900.0, "Nobody had been connected to it for 15 minutes.", "Seit 15 Minuten war niemand mit ihm"),
        (Why.GRACE, 0.0, "It was stopped because nobody was connected.", "weil niemand verbunden war."),
        (Why.SESSION, None, "Its session was closed.", "Die Sitzung darin wurde geschlossen."),
        (Why.SERVICE, None, "The service that runs it was stopped.", "Der Dienst, der ihn ausführt, wurde angehalten."),
        (Why.MEMORY, None, "This desktop used too much memory.", "zu viel Arbeitsspeicher"),
        (Why.UNKNOWN, None, "", ""),
    ],
)
def test_when_and_why_a_desktop_has_ended_is_told_for_a_day(
    portal: PortalBench, anna: Browser, why: Why, seconds: float | None, english: str, german: str
) -> None:
    """Whoever opens or reloads its page the next morning, whoever has its place now."""
    slot, ended = take(portal), time.time() - 7 * 3600 - 5
    portal.desktops.change(slot.id, RUNNING, started=ended - 90_000)
    portal.desktops.release(slot.id, why=why, seconds=seconds, now=ended)
    take(portal, "bert")
    found = anna.get(at(slot, "state")).json
    assert (found["state"], found["why"], found["ended"]) == ("ended", why, ended)
    assert 7 * 3600 < found["ago"] < 7 * 3600 + 60
    assert found["note"].startswith(english)
    for language, when, words in (
        ("en", "This desktop ended 7 hours ago.", english),
        ("de", "Dieser Desktop wurde vor 7 Stunden beendet.", german),
    ):
        page = anna.get(at(slot), Accept_Language=language)
        assert page.status_int == 404
        assert when in page.text
        assert words in page.text
    assert anna.ask(at(slot, "token")).json["state"] == "gone"
    bert = portal.signed_in("bert")
    assert bert.get(at(slot, "state")).json == {"state": "gone"}
    assert "7 hours" not in bert.get(at(slot)).text


def test_what_has_just_ended_has_ended(portal: PortalBench, anna: Browser) -> None:
    slot = take(portal)
    portal.desktops.release(slot.id, why=Why.SESSION)
    assert "This desktop has ended. Its session was closed. Go to the home page" in anna.get(at(slot)).text


def test_the_page_has_a_text_for_every_reason_of_the_service(portal: PortalBench, anna: Browser) -> None:
    page = anna.get(at(take(portal)))
    texts = json.loads(html.unescape(re.search(r'data-texts="([^"]+)"', page.text)[1]))  # type: ignore[index]
    assert {why for why in Why if not texts[f"ended_{why}"]} == {Why.UNKNOWN, Why.GIVEN_BACK}


def test_the_desktop_of_a_user_who_writes_the_name_otherwise(portal: PortalBench, anna: Browser) -> None:
    """A phone writes the capital by itself."""
    slot = take(portal, "Anna")
    assert anna.get(at(slot)).status_int == 200
    token = anna.ask(at(slot, "token")).json["token"]
    holder = portal.desktops.redeem(token, ADDRESS)
    assert holder is not None
    assert holder.slot.id == slot.id
    assert f"/portal/desktop/{slot.id}" in anna.get().text
    assert f"/portal/desktop/{slot.id}" in anna.get("/portal/sessions").text
    portal.desktops.release(slot.id, why=Why.IDLE)
    assert anna.get(at(slot, "state")).json["why"] == "idle"
    assert "It was stopped because it was idle for too long." in anna.get().text


@pytest.mark.parametrize("reason", [*FAULTS, *REFUSALS])
def test_the_page_has_all_that_the_service_tells_users(portal: PortalBench, anna: Browser, reason: str) -> None:
    slot = take(portal)
    texts = []
    for language in NAMES:
        page = anna.get(at(slot), Accept_Language=language).text
        texts.append(json.loads(html.unescape(re.search(r'data-texts="([^"]+)"', page)[1]))[reason])  # type: ignore[index]
    assert len({reason, *texts}) == 1 + len(NAMES)


def test_progress_of_scripts_that_ship_is_in_the_users_language(portal: PortalBench, anna: Browser) -> None:
    slot = take(portal)
    for said, shown in (("Starting the desktop", "Der Desktop wird gestartet"), ("waking up", "waking up")):
        portal.desktops.say(slot, said)
        assert anna.get(at(slot, "state"), Accept_Language="de").json["progress"] == shown


def test_that_the_page_asks_keeps_nobody_signed_in(portal: PortalBench, anna: Browser) -> None:
    slot = take(portal)
    early = time.time() - 600

    portal.desktops.change(slot.id, RUNNING, last_input=early + 300, connections=1)
    with portal.sessions.store.begin() as connection:
        connection.execute(update(PORTAL_SESSIONS).values(last_seen=early))
    anna.get(at(slot, "state"))
    found = anna.ask(at(slot, "token")).json
    (session,) = portal.sessions.all_of("anna", 3600)
    assert session.last_seen == early
    holder = portal.desktops.redeem(found["token"], ADDRESS)
    assert holder is not None
    assert holder.sign_in is not None
    assert holder.sign_in.digest == session.digest, "the service ends the connection with this sign-in"


# --- a token


def test_a_token_opens_one_connection_from_the_users_address(portal: PortalBench, anna: Browser) -> None:
    slot = take(portal)
    found = anna.ask(at(slot, "token")).json
    assert found["protocol"] == TOKEN_PREFIX + found["token"]
    assert found["url"] == "/websockify"
    holder = portal.desktops.redeem(found["token"], ADDRESS)
    assert holder is not None
    assert (holder.slot.id, holder.username, holder.view_only) == (slot.id, "anna", False)
    assert portal.desktops.redeem(found["token"], ADDRESS) is None
    other = anna.ask(at(slot, "token")).json["token"]
    assert other != found["token"]
    assert portal.desktops.redeem(other, "198.51.100.1") is None


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
@pytest.mark.parametrize("action", ["token", "stop", "share", "unshare"])
def test_another_site_gets_nothing_and_does_nothing(
    portal: PortalBench, anna: Browser, action: str, headers: dict[str, str]
) -> None:
    slot = take(portal)
    link = portal.desktops.share(slot)
    assert anna.post(at(slot, action), headers).status_int == 403
    assert portal.desktops.find(slot.id) is not None
    assert portal.desktops.shared(link) is not None
    assert ask_json(portal, "/portal/view/token", {"share": link}, headers).status_int == 403


def test_no_token_for_a_desktop_that_ends(portal: PortalBench, anna: Browser) -> None:
    slot = take(portal)
    portal.desktops.change(slot.id, STOPPING)
    answer = anna.ask(at(slot, "token"))
    assert (answer.status_int, answer.json["state"]) == (409, STOPPING)
    assert anna.ask(at(slot, "share")).status_int == 409


def test_no_token_for_somebody_whom_the_rules_no_longer_let_in(portal: PortalBench, anna: Browser) -> None:
    slot = take(portal, kind="Staff")
    assert anna.ask(at(slot, "token")).status_int == 200
    portal.write("types.json", TYPES.replace('"anna"', '"bert"'))
    answer = anna.ask(at(slot, "token"))
    assert answer.status_int == 403
    assert "administrator" in answer.json["error"]


def test_the_websockets_may_be_on_another_host(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path, "remote-websocket-url = https://desktops.example:444/websockify", types=TYPES)
    anna = portal.signed_in()
    slot = take(portal)
    assert anna.ask(at(slot, "token")).json["url"] == "https://desktops.example:444/websockify"
    policy = anna.get(at(slot)).headers["Content-Security-Policy"]
    assert "connect-src 'self' wss://desktops.example:444;" in policy


@pytest.mark.parametrize("settings", ["", "daemon-path = /x2gobroker"])
def test_the_websockets_are_below_the_path_of_the_pages(tmp_path: Path, settings: str) -> None:
    """Apache with mod_wsgi says itself what it has the broker below, other web servers pass the whole path on."""
    portal = PortalBench(tmp_path, settings, types=TYPES)
    anna = portal.signed_in()
    below = "/x2gobroker"
    slot = take(portal)
    variables = {
        "REMOTE_ADDR": ADDRESS, "HTTP_HOST": HOST, "wsgi.url_scheme": "https", "SCRIPT_NAME": "" if settings else below,
    }  # fmt: skip
    cookies = "; ".join(f"{name}={value}" for name, value in anna.cookies.items())
    link = portal.desktops.share(slot)
    for path, body, more in (
        (at(slot, "token"), b"", {"Cookie": cookies}),
        ("/portal/view/token", json.dumps({"share": link}).encode(), {"Content-Type": "application/json"}),
    ):
        portal.app.reset()
        asked = f"{below}{path}" if settings else path
        answer = portal.app.post(asked, body, headers={**JSON, **more}, extra_environ=variables)
        assert answer.json["url"] == f"{below}/websockify"


def test_the_address_that_the_settings_name_is_the_same_below_a_path(tmp_path: Path) -> None:
    more = "remote-websocket-url = wss://desktops.example/websockify\ndaemon-path = /x2gobroker"
    portal = PortalBench(tmp_path, more, types=TYPES)
    anna = portal.signed_in()
    answer = anna.ask(f"/x2gobroker{at(take(portal), 'token')}")
    assert answer.json["url"] == "wss://desktops.example/websockify"


@pytest.mark.parametrize("below", ["", "/x2gobroker"])
def test_websockets_that_come_to_the_broker_are_told_with_their_path(
    portal: PortalBench, caplog: pytest.LogCaptureFixture, below: str
) -> None:
    answer = portal.app.get("/websockify", extra_environ={"SCRIPT_NAME": below}, expect_errors=True)
    assert answer.status_int == 404
    assert b"x2gobroker-remote" in answer.body  # by which check-proxy knows who has answered
    assert f"a browser asks the broker for {below}/websockify at" in caplog.text


@pytest.mark.parametrize("host", ["a;script-src *", "a b", "é", "a,b"])
def test_a_strange_host_does_not_get_into_the_policy(portal: PortalBench, host: str) -> None:
    settings = portal.context.source.current()
    with portal.app.app.test_request_context("/portal/", environ_overrides={"HTTP_HOST": host}):
        assert "connect-src 'self';" in desktop_page.policy(settings)


# --- the end


def test_stop_by_the_form_leads_home_and_by_a_script_says_so(portal: PortalBench, anna: Browser) -> None:
    slot = take(portal)
    portal.desktops.change(slot.id, RUNNING)
    answer = anna.post(at(slot, "stop"))
    assert (answer.status_int, answer.location) == (303, "/portal/")
    found = portal.desktops.find(slot.id)
    assert found is not None
    assert found.wanted == "stop"
    assert anna.ask(at(slot, "stop")).json == {"state": "stopping", "home": "/portal/"}


# --- guests


def test_a_link_lets_others_look_on_until_it_is_taken_back(portal: PortalBench, anna: Browser) -> None:
    slot = take(portal)
    portal.desktops.change(slot.id, RUNNING)
    path, mark, secret = anna.ask(at(slot, "share")).json["link"].partition("#")
    assert (path, mark) == ("/portal/view", "#")
    assert portal.browser().get(path).status_int == 200
    found = ask_json(portal, "/portal/view/token", {"share": secret}).json
    assert found["name"] == "Desk <1>"
    holder = portal.desktops.redeem(found["token"], ADDRESS)
    assert holder is not None
    assert (holder.username, holder.view_only) == ("guest", True)
    late = ask_json(portal, "/portal/view/token", {"share": secret}).json["token"]
    anna.ask(at(slot, "share"))
    assert anna.ask(at(slot, "unshare")).json == {"taken_back": 2}
    assert portal.desktops.redeem(late, ADDRESS) is None
    answer = ask_json(portal, "/portal/view/token", {"share": secret})
    assert answer.status_int == 404
    assert "new one" in answer.json["error"]


def test_even_its_owner_only_looks_on_by_a_link(portal: PortalBench, anna: Browser) -> None:
    slot = take(portal)
    secret = portal.desktops.share(slot)
    cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in anna.cookies.items())}
    found = ask_json(portal, "/portal/view/token", {"share": secret}, {**JSON, **cookie}).json
    holder = portal.desktops.redeem(found["token"], ADDRESS)
    assert holder is not None
    assert (holder.username, holder.view_only) == ("anna", True)


@pytest.mark.parametrize(
    "body",
    [{"share": None}, {"share": 7}, {"share": ["x"]}, {"share": "x" * 3000}, {}],
)
def test_what_is_no_link_leads_nowhere(portal: PortalBench, body: object) -> None:
    assert ask_json(portal, "/portal/view/token", body).status_int == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"[" * 20_000,
        b'{"share":' * 400,
        b'{"share": "\\ud800"}',
        b'{"share": NaN}',
        b"\xff",
        b'{"share": "' + b"x" * 5000 + b'"}',
    ],
)
def test_json_that_is_none_too_deep_or_too_long_is_the_clients_fault(portal: PortalBench, body: bytes) -> None:
    """Whatever a stranger sends, nothing fails in the broker."""
    answer = ask_json(portal, "/portal/view/token", body)
    assert answer.status_int == 400
    assert "new one" in answer.json["error"]


def test_there_is_a_limit_to_links(portal: PortalBench, anna: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share_page, "MOST_LINKS", 2)
    slot = take(portal)
    assert [anna.ask(at(slot, "share")).status_int for _ in range(3)] == [200, 200, 409]


def test_no_log_has_a_token_or_the_secret_of_a_link(
    portal: PortalBench, anna: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    slot = take(portal, kind="Staff")
    secret = anna.ask(at(slot, "share")).json["link"].partition("#")[2]
    tokens = [anna.ask(at(slot, "token")).json["token"]]
    tokens.append(ask_json(portal, "/portal/view/token", {"share": secret}).json["token"])
    anna.ask(at(slot, "unshare"))
    anna.post(at(slot, "stop"))
    assert "anna shares Staff/0 with whoever has the link, to view, until it ends" in caplog.text
    for word in (secret, *tokens):
        assert word not in caplog.text


# --- files


def test_files_are_compressed_for_those_who_can_and_asked_for_once(portal: PortalBench) -> None:
    address = f"/portal/static/{static.files().hash}/portal/desktop.js"
    client = portal.app.app.test_client()  # webtest would unpack it unasked
    plain = client.get(address)
    packed = client.get(address, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(packed.data) == plain.data
    assert plain.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert "public" in plain.headers["Cache-Control"]
    assert client.get(address, headers={"If-None-Match": plain.headers["ETag"]}).status_code == 304
    assert packed.headers["ETag"] != plain.headers["ETag"]


def test_files_of_another_version_are_not_kept(portal: PortalBench, anna: Browser) -> None:
    answer = anna.get("/portal/static/0123456789ab/portal/desktop.js")
    assert (answer.status_int, answer.headers["Cache-Control"]) == (200, "no-cache")


@pytest.mark.parametrize(
    "path",
    [
        "portal/../../portal/static.py",
        "../portal/static.py",
        "/etc/passwd",
        "portal//desktop.js",
        "novnc/VERSION",
        "portal",
        "",
        "%2e%2e/app.py",
    ],
)
def test_nothing_else_is_served(portal: PortalBench, anna: Browser, path: str) -> None:
    answer = anna.get(f"/portal/static/{static.files().hash}/{path}")
    assert answer.status_int == 404


def test_a_switched_off_portal_serves_none_of_it(portal: PortalBench) -> None:
    slot = take(portal)
    portal.change("enable-portal = true", "enable-portal = false")
    browser = portal.browser()
    for path in (at(slot), "/portal/view", f"/portal/static/{static.files().hash}/portal/desktop.js"):
        assert browser.get(path).status_int == 404
    assert browser.post(at(slot, "token"), OWN).status_int == 404


# --- files


@pytest.mark.parametrize(("way", "frames"), [("none", None), ("in", None), ("out", "'self'"), ("both", "'self'")])
def test_the_page_has_what_its_session_type_lets_in_and_out(tmp_path: Path, way: str, frames: str | None) -> None:
    types = {"Desk <1>": {"script": "tigervnc.py", "count": 2, "files": way, "files-megabytes": 7}}
    portal = PortalBench(tmp_path, types=json.dumps(types))
    page = portal.signed_in().get(at(take(portal)))
    assert f'data-files="{way}" data-files-bytes="{7 << 20}"' in page.text
    assert ('id="files-dialog"' in page.text) is (way != "none")
    assert ('id="files-choose"' in page.text) is (way in ("in", "both"))
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy.get("frame-src") == frames
    if way == "both":
        for name in ("files", "transfer", "channel", "saving", "plain"):
            text = (static.FOLDER / "portal" / f"{name}.js").read_text(encoding="utf-8")
            for wanted in re.findall(r'by\("([\w-]+)"\)', text):
                assert f'id="{wanted}"' in page.text, (name, wanted)


def test_every_word_of_the_service_about_files_has_a_text(portal: PortalBench, anna: Browser) -> None:
    page = anna.get(at(take(portal)))
    texts = json.loads(html.unescape(re.search(r'data-texts="([^"]+)"', page.text)[1]))  # type: ignore[index]
    states = ("waiting", "finishing", "cancelled", "signed-out", "unreadable", "memory", "lost")
    assert {f"files_{word.replace('-', '_')}" for word in (*WHYS, *states)} <= set(texts)


@pytest.mark.parametrize("way", ["none", "out"])
def test_the_page_has_sound_where_its_session_type_lets_it_out(tmp_path: Path, way: str) -> None:
    types = {"Desk <1>": {"script": "tigervnc.py", "count": 2, "sound": way}}
    portal = PortalBench(tmp_path, types=json.dumps(types))
    anna = portal.signed_in()
    page = anna.get(at(take(portal)))
    for name in ("sound", "sound-said"):
        assert (f'id="{name}"' in page.text) is (way == "out")
    found = dict(re.findall(r'data-(sound-\w+)="([^"]+)"', page.text))
    assert found.keys() == ({"sound-worker", "sound-player"} if way == "out" else set())
    for address in found.values():  # the policy lets scripts in from the portal itself only
        answer = anna.get(address)
        assert answer.headers["Content-Type"].startswith("text/javascript")
        assert "eval" not in answer.text
    # a worker's own policy counts, and not that of its page
    if way == "out":
        policies = [one.headers["Content-Security-Policy"] for one in (anna.get(found["sound-worker"]), page)]
        sources = [dict(part.split(" ", 1) for part in each.split("; "))["connect-src"] for each in policies]
        assert sources[0] == sources[1]
        assert "wss://" in sources[0]


def test_the_saver_of_downloads_answers_below_its_own_folder_only(portal: PortalBench, anna: Browser) -> None:
    """A service worker is in charge of a folder: this one of that in which there is nothing else."""
    page = anna.get(at(take(portal)))
    saver = re.search(r'data-saver="([^"]+)"', page.text)[1]  # type: ignore[index]
    answer = anna.get(saver)
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert "Service-Worker-Allowed" not in answer.headers
    assert anna.get(saver.replace("saver.js", "save/x")).status_int == 404
