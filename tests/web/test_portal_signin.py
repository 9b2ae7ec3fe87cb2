"""Signing in and out at the portal, and what guards it."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from passlib.hash import sha512_crypt
from sqlalchemy import func, select, update

from tests.web.conftest import HASHED, PASSWORD
from tests.web.portal import HOST, JSON, OWN, PortalBench
from tests.web.test_second_factor import ENROLLED, SECRET, code, wrong_codes
from x2gobroker.auth.base import Credentials, Verdict, granted, refused
from x2gobroker.auth.htpasswd import HtpasswdMechanism, write_user
from x2gobroker.portal.guard import COOKIE
from x2gobroker.settings import Settings
from x2gobroker.store import Enrolments
from x2gobroker.store.portal_tables import PORTAL_SESSIONS
from x2gobroker.store.tables import PENALTIES

TYPES = """{"Stays": {"script": "tigervnc.py", "count": 2},
 "Goes": {"script": "tigervnc.py", "count": 2, "stop-at-logout": true}}"""


@pytest.fixture
def portal(tmp_path: Path) -> PortalBench:
    return PortalBench(tmp_path)


def move_back(portal: PortalBench, **values: float) -> None:
    """Make all sign-ins older."""
    with portal.sessions.store.begin() as connection:
        connection.execute(update(PORTAL_SESSIONS).values(**values))


def test_who_is_not_signed_in_comes_to_the_form_and_then_to_the_page_asked_for(portal: PortalBench) -> None:
    browser = portal.browser()
    asked = browser.get("/portal/sessions")
    assert (asked.status_int, asked.location) == (303, "/portal/sign-in?next=/portal/sessions")
    form = browser.get(asked.location)
    assert 'name="next" value="/portal/sessions"' in form.text
    assert 'autocomplete="current-password"' in form.text
    assert 'id="code"' not in form.text
    done = browser.sign_in(next="/portal/sessions")
    assert (done.status_int, done.location) == (303, "/portal/sessions")
    page = browser.get()
    assert page.status_int == 200
    assert "<summary>anna</summary>" in page.text


def test_the_cookie_is_for_this_host_over_tls_and_not_for_scripts(portal: PortalBench) -> None:
    cookie = portal.browser().sign_in().headers["Set-Cookie"]
    assert re.fullmatch(r"__Host-x2gobroker=[0-9a-f]{64}; Secure; HttpOnly; Path=/; SameSite=Lax", cookie)


def test_a_wrong_password_is_refused_in_words_and_the_name_stays_in_the_form(portal: PortalBench) -> None:
    browser = portal.browser()
    answer = browser.sign_in(password="wrong")
    assert answer.status_int == 403
    assert 'role="alert"' in answer.text
    assert 'name="user" value="anna"' in answer.text
    assert "wrong" in answer.text
    assert browser.token == ""


def test_where_passwords_cannot_be_checked_the_page_says_so(portal: PortalBench) -> None:
    users = portal.folder / "users"
    text = users.read_text(encoding="utf-8")
    users.unlink()
    browser = portal.browser()
    for _ in range(15):
        answer = browser.sign_in()
        assert answer.status_int == 503
        assert answer.headers["Retry-After"] == "60"
        assert "Passwords cannot be checked right now" in answer.text
    users.write_text(text, encoding="utf-8")
    assert browser.sign_in().status_int == 303


def test_a_user_name_with_markup_stays_text(portal: PortalBench) -> None:
    answer = portal.browser().sign_in(user='"><script>alert(1)</script>', password="wrong")
    assert "<script>" not in answer.text


def test_after_wrong_passwords_the_page_says_how_long_to_wait(portal: PortalBench) -> None:
    browser = portal.browser()
    answers = [browser.sign_in(password=f"wrong {number}") for number in range(6)]
    last = answers[-1]
    assert last.status_int == 429
    assert 1 <= int(last.headers["Retry-After"]) <= 15
    assert re.search(r"Wait \d+ seconds?, then try again", last.text)


def test_guessing_in_the_users_name_signs_the_user_out_there_and_nowhere_else(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path, "penalty-ban-failures = 2")
    near, far = portal.signed_in(), portal.signed_in(address="198.51.100.4")
    portal.ban()
    assert near.get().status_int == 303
    assert far.get().status_int == 200


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example/",
        "https://evil.example/",
        "/portal/../../evil",
        "/other/",
        "/portal//evil.example",
        "/portal/\n",
    ],
)
def test_nobody_is_sent_elsewhere_after_signing_in(portal: PortalBench, target: str) -> None:
    browser = portal.browser()
    browser.get("/portal/sign-in")
    assert browser.sign_in(next=target).location == "/portal/"


def test_a_browser_that_keeps_no_cookies_is_told_so(portal: PortalBench) -> None:
    """Without that it would see an empty form again, and not know why."""
    answer = portal.browser().sign_in(next="/portal/sessions")
    assert (answer.status_int, answer.location) == (303, "/portal/sign-in?next=/portal/sessions&kept=1")
    stranger = portal.browser().get(answer.location)
    assert stranger.status_int == 400
    assert "Your browser does not keep cookies from this page." in stranger.text
    kept = portal.browser()
    kept.sign_in()
    assert kept.get(answer.location).location == "/portal/sessions", "this one has kept it"


def test_an_unknown_cookie_is_nobody(portal: PortalBench) -> None:
    browser = portal.browser()
    for value in ("0" * 64, "x", "", "é"):
        browser.cookies[COOKIE] = value
        assert browser.get().status_int == 303


def test_only_a_hash_of_the_cookie_and_no_password_is_on_disk(portal: PortalBench) -> None:
    browser = portal.signed_in()
    data = b"".join(path.read_bytes() for path in (portal.folder / "state").iterdir())
    assert browser.token.encode() not in data
    assert bytes.fromhex(browser.token) not in data
    assert PASSWORD.encode() not in data
    found = portal.sessions.find(browser.token, 60)
    assert found is not None
    assert found.password(browser.token) == PASSWORD


def test_no_password_is_kept_where_it_is_not_wanted(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path, "portal-keep-password = false")
    browser = portal.signed_in()
    found = portal.sessions.find(browser.token, 60)
    assert found is not None
    assert found.sealed is None


def test_signing_out_ends_this_browser_alone_and_its_desktops_where_so_configured(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path, types=TYPES)
    here, there = portal.signed_in(), portal.signed_in()
    for name in ("Stays", "Goes"):
        slot = portal.desktops.reserve(name, 2, "anna", {}, here.address)
        assert slot is not None
    for name in ("Goes", "Stays"):  # a second one of each, once somebody has come for the first
        for slot in portal.desktops.of_user("anna"):
            portal.desktops.begin_start(slot.id, "here")
        assert portal.desktops.reserve(name, 4, "anna", {}, here.address, per_user=2) is not None
    other = portal.desktops.reserve("Goes", 4, "bert", {}, here.address)
    assert other is not None
    answer = here.post("/portal/sign-out")
    assert (answer.status_int, here.token) == (200, "")
    assert "You are signed out." in answer.text
    assert there.get().status_int == 200
    unwanted = {(slot.type, slot.wanted) for slot in portal.desktops.of_user("anna")}
    assert unwanted == {("Stays", "cut"), ("Stays", ""), ("Goes", "logout")}, "what nobody had come for is gone"
    assert [slot.type for slot in portal.desktops.of_user("bert")] == ["Goes"]


def test_signing_out_counts_though_the_browser_keeps_its_cookie(portal: PortalBench) -> None:
    browser = portal.signed_in()
    token = browser.token
    browser.post("/portal/sign-out")
    browser.cookies[COOKIE] = token
    assert browser.get().status_int == 303


def test_signing_out_everywhere_ends_all_browsers_of_this_user(portal: PortalBench) -> None:
    mine = [portal.signed_in() for _ in range(3)]
    bert = portal.signed_in("bert")
    mine[0].post("/portal/sign-out-everywhere")
    assert [browser.get().status_int for browser in mine] == [303, 303, 303]
    assert bert.get().status_int == 200


@pytest.fixture
def careless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PortalBench:
    """A portal with an auth mechanism that takes names in any spelling, as directories do."""

    def check(_self: HtpasswdMechanism, _settings: Settings, credentials: Credentials) -> Verdict:
        right = credentials.user.lower() == "anna" and credentials.password == PASSWORD
        return granted(credentials.user, "right password") if right else refused(credentials.user, "wrong password")

    monkeypatch.setattr(HtpasswdMechanism, "_check", check)
    return PortalBench(tmp_path, "penalty-ban-failures = 2", types=TYPES)


def test_signing_out_everywhere_is_for_every_spelling_of_the_name(careless: PortalBench) -> None:
    phone, desk = careless.signed_in("Anna"), careless.signed_in("anna")
    slot = careless.desktops.reserve("Goes", 2, "Anna", {}, phone.address)
    assert slot is not None
    careless.desktops.begin_start(slot.id, "here")
    desk.post("/portal/sign-out-everywhere")
    assert phone.get().status_int == 303
    assert [slot.wanted for slot in careless.desktops.of_user("Anna")] == ["logout"]


def test_signing_out_stops_desktops_in_every_spelling_of_the_name(careless: PortalBench) -> None:
    phone = careless.signed_in("Anna")
    slot = careless.desktops.reserve("Goes", 2, "anna", {}, phone.address)
    assert slot is not None
    careless.desktops.begin_start(slot.id, "here")
    phone.post("/portal/sign-out")
    assert [one.wanted for one in careless.desktops.of_user("anna")] == ["logout"]


def test_a_ban_ends_the_sign_ins_of_every_spelling_of_the_name(careless: PortalBench) -> None:
    victim = careless.signed_in("anna")
    careless.ban("ANNA")
    assert victim.get().status_int == 303


def test_who_no_longer_gets_in_is_signed_out_in_every_spelling(
    careless: PortalBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = careless.signed_in("anna")
    move_back(careless, checked=time.time() - 700)
    phone = careless.signed_in("Anna")  # whose own turn to be checked comes later
    monkeypatch.setattr(HtpasswdMechanism, "_check", lambda _self, _s, asked: refused(asked.user, "wrong password"))
    assert desk.get().status_int == 303
    assert phone.get().status_int == 303


def test_a_sign_in_ends_when_nothing_is_done_and_at_its_time(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path, "portal-idle-minutes = 5\nportal-absolute-hours = 2")
    browser = portal.signed_in()
    move_back(portal, last_seen=time.time() - 299)
    assert browser.get().status_int == 200
    move_back(portal, last_seen=time.time() - 301)
    assert browser.get().status_int == 303
    browser = portal.signed_in()
    move_back(portal, ends=time.time() - 1)
    assert browser.get().status_int == 303


def test_scripts_are_told_in_json_that_nobody_is_signed_in(portal: PortalBench) -> None:
    answer = portal.browser().request("GET", "/portal/desktop/0123/state", JSON)
    assert answer.status_int == 401
    assert answer.json["sign_in"] == "/portal/sign-in"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://portal.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "https://portal.example.evil.example"},
        {"Origin": "https://portal.example:8443"},
        {"Origin": "null"},
        {"Origin": "https://[broken"},
        {},
    ],
)
def test_what_another_site_posts_is_refused(portal: PortalBench, headers: dict[str, str]) -> None:
    browser = portal.signed_in()
    for path in ("/portal/sign-out", "/portal/sign-in", "/portal/start", "/portal/desktop/x/token", "/portal/language"):
        assert browser.post(path, headers, user="bert", password=PASSWORD).status_int == 403
    assert browser.get().status_int == 200
    assert "<summary>anna</summary>" in browser.get().text


def test_an_old_browser_is_known_by_the_origin_of_the_page(portal: PortalBench) -> None:
    assert (
        portal.browser()
        .post("/portal/sign-in", {"Origin": "https://Portal.example"}, user="anna", password=PASSWORD)
        .status_int
        == 303
    )


def test_without_tls_the_form_says_so_and_no_password_is_looked_at(portal: PortalBench) -> None:
    plain = {"environ": {"HTTP_HOST": "portal.example", "REMOTE_ADDR": "192.0.2.7"}, "expect_errors": True}
    assert "https://" in portal.app.request("/portal/sign-in", **plain).text
    answer = portal.app.request(
        "/portal/sign-in",
        method="POST",
        headers={"Origin": "http://portal.example"},
        POST={"user": "anna", "password": PASSWORD},
        **plain,
    )
    assert answer.status_int == 400
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/portal/", "/portal/sign-in", "/portal/view", "/portal/desktop/none", "/portal/sessions"]
)
def test_every_page_has_the_strict_policy_and_is_not_kept(portal: PortalBench, path: str) -> None:
    answer = portal.signed_in().get(path)
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_pages_have_no_inline_script_style_or_handler(portal: PortalBench) -> None:
    browser = portal.signed_in()
    for path in ("/portal/", "/portal/sessions", "/portal/view"):
        text = browser.get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", text)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|(src|href|action)=.https?:", text)


def test_the_language_is_the_browsers_until_another_is_chosen(portal: PortalBench) -> None:
    browser = portal.browser()
    assert '<html lang="en">' in browser.get("/portal/sign-in").text
    german = browser.get("/portal/sign-in", Accept_Language="de-AT,de;q=0.9,en;q=0.5").text
    assert '<html lang="de">' in german
    assert "Anmelden" in german
    assert browser.post("/portal/language", language="de", next="/portal/sign-in").location == "/portal/sign-in"
    assert '<html lang="de">' in browser.get("/portal/sign-in", Accept_Language="fr").text
    browser.post("/portal/language", language="xx")
    assert '<html lang="de">' in browser.get("/portal/sign-in").text


def test_refusals_are_in_the_users_language(portal: PortalBench) -> None:
    browser = portal.browser()
    browser.post("/portal/language", language="de")
    assert "Versuchen Sie es erneut" in browser.sign_in(password="wrong").text


def test_a_one_time_code_has_its_own_field_and_is_not_kept_with_the_password(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path, ENROLLED)
    portal.context.services.of(Enrolments, portal.context.source.current()).add("anna", SECRET, replace=False)
    browser = portal.browser()
    assert 'autocomplete="one-time-code"' in browser.get("/portal/sign-in").text
    assert browser.sign_in().status_int == 403
    assert browser.sign_in(code=f"{code()[:3]} {code()[3:]}").status_int == 303
    found = portal.sessions.find(browser.token, 60)
    assert found is not None
    assert found.password(browser.token) == PASSWORD
    assert portal.browser().sign_in("bert").status_int == 303


def test_a_code_behind_the_password_is_taken_off_too(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path, ENROLLED)
    portal.context.services.of(Enrolments, portal.context.source.current()).add("anna", SECRET, replace=False)
    browser = portal.browser()
    assert browser.sign_in(password=PASSWORD + code()).status_int == 303
    found = portal.sessions.find(browser.token, 60)
    assert found is not None
    assert found.password(browser.token) == PASSWORD


def test_whom_the_web_server_knows_needs_no_form(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path)
    portal.change("default-auth-mech = htpasswd", "default-auth-mech = remote_user")
    known = {"REMOTE_USER": "anna", "HTTP_HOST": HOST, "wsgi.url_scheme": "https"}
    probed = portal.app.request("/portal/sign-in?next=/portal/sessions", environ=known)
    probe = {"Cookie": probed.headers["Set-Cookie"].partition(";")[0]}
    answer = portal.app.request(probed.location, headers=probe, environ=known)
    assert (answer.status_int, answer.location) == (303, "/portal/sessions")
    token = answer.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
    found = portal.sessions.find(token, 60)
    assert found is not None
    assert (found.username, found.vouched is not None, found.sealed) == ("anna", True, None)
    portal.app.reset()
    without = portal.app.request(probed.location, environ=known, expect_errors=True)
    assert (without.status_int, "does not keep cookies" in without.text) == (
        400,
        True,
    )  # and not back and forth for ever
    plain = portal.app.request("/portal/sign-in", environ={**known, "wsgi.url_scheme": "http"})
    assert (plain.status_int, "https://" in plain.text) == (200, True)
    stranger = portal.browser()
    assert 'type="password"' not in stranger.get("/portal/sign-in").text
    assert stranger.sign_in().status_int == 403


def test_whom_the_web_server_knows_gets_a_form_for_the_code_and_no_penalty(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path, ENROLLED.replace("penalties = false", "penalty-ban-failures = 2"))
    portal.change("default-auth-mech = htpasswd", "default-auth-mech = remote_user")
    portal.context.services.of(Enrolments, portal.context.source.current()).add("anna", SECRET, replace=False)
    known = {"REMOTE_USER": "anna@EXAMPLE.ORG", "HTTP_HOST": HOST, "wsgi.url_scheme": "https"}
    for _ in range(4):
        form = portal.app.request("/portal/sign-in", environ=known)
        assert (form.status_int, 'name="user" value="anna"' in form.text, 'id="code"' in form.text) == (200, True, True)
        assert "wrong" not in form.text
    fields = {"user": "anna", "code": code()}
    done = portal.app.request("/portal/sign-in", method="POST", POST=fields, headers=OWN, environ=known)
    assert done.status_int == 303
    portal.app.reset()
    without = portal.app.request("/portal/sign-in", environ={**known, "REMOTE_USER": "bert"})
    assert (without.status_int, "again=1" in without.location) == (303, True), "bert needs no code"


def test_a_ban_behind_the_web_server_ends_the_sign_ins_of_whom_it_names(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path, ENROLLED.replace("penalties = false", "penalty-ban-failures = 2"))
    portal.change("default-auth-mech = htpasswd", "default-auth-mech = remote_user")
    portal.context.services.of(Enrolments, portal.context.source.current()).add("anna", SECRET, replace=False)
    known = {"REMOTE_USER": "anna", "HTTP_HOST": HOST, "wsgi.url_scheme": "https", "REMOTE_ADDR": "192.0.2.7"}
    kept = portal.sessions.open("anna", "inifile", "192.0.2.7", 3600, None)
    for digits in wrong_codes(4):
        portal.app.request(
            "/portal/sign-in", method="POST", POST={"code": digits}, headers=OWN, environ=known, expect_errors=True
        )
        with portal.sessions.store.begin() as connection:
            connection.execute(update(PENALTIES).values(not_before=0))
    assert portal.sessions.find(kept, 600) is None


def test_who_signs_out_is_not_signed_in_again_by_the_web_server_at_once(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path)
    answer = portal.signed_in().post("/portal/sign-out")
    assert answer.status_int == 200  # a page, not the way back to the form


def test_nobody_signs_in_where_no_password_is_asked_for(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path, "require-password = false")
    answer = portal.browser().sign_in("root", "")
    assert answer.status_int == 503
    assert not [value for value in answer.headers.getall("Set-Cookie") if value.startswith(f"{COOKIE}=")]


def test_the_preset_authid_of_brokers_that_want_one_is_no_matter_here(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path, "require-cookie = true")
    portal.write("authid", "0123456789abcdef\n")
    assert portal.browser().sign_in().status_int == 303
    assert portal.browser().sign_in(password="wrong").status_int == 403


def test_a_user_whom_nobody_has_checked_is_marked(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path)
    portal.change("portal-backend = inifile", "portal-backend = zeroconf")
    browser = portal.signed_in("anybody")
    found = portal.sessions.find(browser.token, 60)
    assert found is not None
    assert (found.username, found.vouched is not None, found.backend) == ("anybody", False, "zeroconf")
    portal.change("portal-backend = zeroconf", "portal-backend = inifile")
    assert browser.get().status_int == 303  # a sign-in counts at its own backend only


def test_the_portal_is_not_there_unless_it_is_enabled(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path)
    portal.change("enable-portal = true", "enable-portal = false")
    for path in ("/portal/", "/portal/sign-in", "/portal/static/x/portal/portal.css", "/portal/view"):
        assert portal.browser().get(path).status_int == 404
    assert portal.browser().sign_in().status_int == 404


def test_errors_are_pages_that_say_what_to_do(portal: PortalBench) -> None:
    browser = portal.signed_in()
    for path in ("/portal/nothing/here", "/portal/start", "/portal/sign-out", "/portal/static/x/none.css"):
        answer = browser.get(path)
        assert answer.status_int == 404
        assert "Go back to the home page" in answer.text
    assert browser.get().status_int == 200  # by GET, nobody is signed out
    assert portal.browser().post("/portal/sign-in", OWN, user="x" * 2_000_000).status_int == 413


def test_a_store_that_fails_is_a_page_that_says_to_wait(portal: PortalBench) -> None:
    browser = portal.signed_in()
    portal.sessions.store.close()
    state = portal.folder / "state"
    for path in state.iterdir():
        path.unlink()
    (state / "x2gobroker.sqlite").write_text("this is no database, but a text that is long enough to be looked at")
    answer = browser.get()
    assert (answer.status_int, answer.headers["Retry-After"]) == (503, "60")
    assert "Try again in a minute" in answer.text


def test_who_is_locked_or_has_another_password_is_signed_out_everywhere(portal: PortalBench) -> None:
    mine, also_mine, bert = portal.signed_in(), portal.signed_in(), portal.signed_in("bert")
    write_user(portal.folder / "users", "anna", sha512_crypt.using(rounds=1000).hash("another"))
    assert mine.get().status_int == 200  # asked again every ten minutes only
    move_back(portal, checked=time.time() - 601)
    assert [browser.get().status_int for browser in (mine, also_mine, bert)] == [303, 303, 200]
    write_user(portal.folder / "users", "anna", HASHED)
    assert portal.browser().sign_in().status_int == 303  # and this was no wrong password of anybody's


def test_after_a_clock_was_ahead_the_password_is_asked_for_again(portal: PortalBench) -> None:
    mine = portal.signed_in()
    write_user(portal.folder / "users", "anna", sha512_crypt.using(rounds=1000).hash("another"))
    move_back(portal, checked=time.time() + 30)
    assert mine.get().status_int == 200, "another broker's clock may be a little ahead"
    move_back(portal, checked=time.time() + 86_400)
    assert mine.get().status_int == 303


def test_an_auth_mechanism_that_cannot_be_asked_signs_nobody_out(portal: PortalBench) -> None:
    browser = portal.signed_in()
    (portal.folder / "users").unlink()
    move_back(portal, checked=time.time() - 601)
    assert browser.get().status_int == 200


def test_signing_in_sweeps_what_has_ended_and_replaces_the_browsers_own(portal: PortalBench) -> None:
    portal.signed_in("bert")
    browser = portal.signed_in()
    move_back(portal, last_seen=time.time() - 3 * 3600)
    before = browser.token
    browser.sign_in()
    again = browser.token
    assert len({before, again}) == 2
    browser.sign_in()
    assert portal.sessions.find(again, 60) is None
    with portal.sessions.store.begin() as connection:
        assert connection.execute(select(func.count()).select_from(PORTAL_SESSIONS)).scalar_one() == 1


def test_below_a_path_of_the_web_server_everything_stays_below_it(portal: PortalBench) -> None:
    below = {"SCRIPT_NAME": "/broker", "HTTP_HOST": HOST, "wsgi.url_scheme": "https"}
    asked = portal.app.request("/broker/portal/sessions", environ=below)
    assert asked.location == "/broker/portal/sign-in?next=/portal/sessions"
    form = portal.app.request(asked.location, environ=below)
    assert 'action="/broker/portal/sign-in"' in form.text
    fields = {"user": "anna", "password": PASSWORD, "next": "/portal/sessions"}
    done = portal.app.request("/broker/portal/sign-in", method="POST", POST=fields, headers=OWN, environ=below)
    assert done.location == "/broker/portal/sessions"
    assert "Path=/;" in done.headers["Set-Cookie"]
