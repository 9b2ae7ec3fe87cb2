"""Kerberos tickets at the portal: wanted at a sign-in alone, kept for who gets in, forgotten with the last sign-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.support.processes import wait_until
from tests.web.conftest import PASSWORD
from tests.web.portal import HOST, PortalBench
from tests.web.test_second_factor import ENROLLED, SECRET, code
from x2gobroker.authservice.client import Answer
from x2gobroker.errors import AuthMechanismError
from x2gobroker.store import Enrolments
from x2gobroker.store.portal_tables import PORTAL_SESSIONS
from x2gobroker.store.tables import PENALTIES

ON = "portal-kerberos-tickets = true"
HANDLE = "ab" * 16
WITHOUT = "desktops get no Kerberos ticket"


class Service:
    """The authentication service, in this process. It writes down what it is told of tickets."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.fails = False

    def __call__(self, path: Path, _deadline: float = 1.0) -> Service:
        self.path = path
        return self

    def authenticate(
        self, _service: str, user: str, password: str, _code: str | None, _address: str, ticket: bool
    ) -> Answer:
        """Whether the password is right."""
        if ticket:
            self.told.append(("wanted", user))
        return Answer(password == PASSWORD, "", ticket=HANDLE if ticket and password == PASSWORD else "")

    def account(self, *_words: str) -> Answer:
        """Everybody may come in."""
        return Answer(True, "")

    def keep_ticket(self, _service: str, user: str, handle: str, seconds: int) -> Answer:
        """A ticket is to be kept."""
        if self.fails:
            raise AuthMechanismError("the authentication service: timeout")
        self.told.append(("keep", user, handle, seconds))
        return Answer(True, "")

    def forget_ticket(self, _service: str, user: str, older: int) -> Answer:
        """A ticket is to be forgotten."""
        self.told.append(("forget", user, older))
        return Answer(True, "")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """What the broker asks in place of the authentication service."""
    made = Service()
    monkeypatch.setattr("x2gobroker.auth.pam.AuthServiceClient", made)
    monkeypatch.setattr("x2gobroker.auth.tickets.AuthServiceClient", made)
    return made


def portal_with(folder: Path, more: str = ON) -> PortalBench:
    """A portal with one session type, whose users sign in by PAM."""
    (folder / "socket").touch()
    types = json.dumps({"Desk": {"script": "tigervnc.py", "count": 2}})
    portal = PortalBench(folder, more, types, {"X2GOBROKER_AUTHSERVICE_SOCKET": str(folder / "socket")})
    portal.change("default-auth-mech = htpasswd", "default-auth-mech = pam")
    return portal


def test_a_ticket_is_kept_for_as_long_as_the_sign_in_may_last(tmp_path: Path, service: Service) -> None:
    portal = portal_with(tmp_path, f"{ON}\nportal-absolute-hours = 3")
    browser = portal.signed_in()
    assert service.told == [("wanted", "anna"), ("keep", "anna", HANDLE, 3 * 3600)]
    assert WITHOUT not in browser.get().text


def test_it_is_off_by_default(tmp_path: Path, service: Service) -> None:
    portal_with(tmp_path, "").signed_in().post("/portal/sign-out")
    assert service.told == []


def test_a_wrong_password_keeps_nothing_and_forgets_nothing(tmp_path: Path, service: Service) -> None:
    portal = portal_with(tmp_path)
    assert portal.browser().sign_in(password="wrong").status_int == 403
    assert service.told == [("wanted", "anna")]


def test_a_right_password_with_a_wrong_code_keeps_nothing(tmp_path: Path, service: Service) -> None:
    portal = portal_with(tmp_path, f"{ON}\n{ENROLLED}")
    portal.context.services.of(Enrolments, portal.context.source.current()).add("anna", SECRET, replace=False)
    right = code()
    wrong = f"{(int(right) + 1) % 10 ** len(right):0{len(right)}}"
    assert portal.browser().sign_in(code=wrong).status_int == 403
    assert service.told == [("wanted", "anna")]
    with portal.sessions.store.begin() as connection:
        connection.execute(update(PENALTIES).values(not_before=0))
    assert portal.browser().sign_in(code=right).status_int == 303
    assert service.told[1:] == [("wanted", "anna"), ("keep", "anna", HANDLE, 36000)]


def test_a_ticket_that_cannot_be_kept_keeps_nobody_out(
    tmp_path: Path, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.fails = True
    portal_with(tmp_path).signed_in()
    assert "Kerberos ticket of anna: the authentication service: timeout" in caplog.text
    assert HANDLE not in caplog.text


def test_the_last_sign_in_takes_it_away(tmp_path: Path, service: Service) -> None:
    portal = portal_with(tmp_path)
    first, second = portal.signed_in(), portal.signed_in()
    service.told.clear()
    first.post("/portal/sign-out")
    assert service.told == []
    second.post("/portal/sign-out")
    assert service.told == [("forget", "anna", 0)]


def test_signing_out_everywhere_takes_it_away(tmp_path: Path, service: Service) -> None:
    portal = portal_with(tmp_path)
    first, _second = portal.signed_in(), portal.signed_in()
    service.told.clear()
    first.post("/portal/sign-out-everywhere")
    assert service.told == [("forget", "anna", 0)]


def test_those_who_left_without_a_word_are_forgotten_at_the_next_sign_in(tmp_path: Path, service: Service) -> None:
    portal = portal_with(tmp_path)
    portal.signed_in()
    with portal.sessions.store.begin() as connection:
        connection.execute(update(PORTAL_SESSIONS).values(last_seen=0))
    portal.signed_in("bert")
    wait_until(lambda: ("forget", "anna", 45) in service.told, "anna's ticket being forgotten")
    assert not [told for told in service.told if told[:2] == ("forget", "bert")]


def test_who_is_known_without_a_password_reads_what_will_not_open(tmp_path: Path, service: Service) -> None:
    portal = portal_with(tmp_path)
    portal.change("default-auth-mech = pam", "default-auth-mech = remote_user")
    known = {"REMOTE_USER": "anna", "HTTP_HOST": HOST, "wsgi.url_scheme": "https"}
    probed = portal.app.request("/portal/sign-in", environ=known)
    probe = {"Cookie": probed.headers["Set-Cookie"].partition(";")[0]}
    answer = portal.app.request(probed.location, headers=probe, environ=known)
    cookie = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
    assert WITHOUT in portal.app.request("/portal/", headers=cookie, environ=known).text
    assert service.told == []
    portal.change(ON, "")
    assert WITHOUT not in portal.app.request("/portal/", headers=cookie, environ=known).text
