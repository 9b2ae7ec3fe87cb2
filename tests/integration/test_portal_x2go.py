"""Sessions on a real X2Go Server, in the portal's pages; and the real X2Go Client with a session file of the portal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.agents import DeadAgent
from tests.support.client_home import ClientHome, client_account
from tests.support.desktop import Desktop
from tests.support.leftovers import nothing_left
from tests.support.processes import running, wait_until
from tests.support.x2go_server import RunningSession, X2GoServer, x2go_server
from tests.support.x2goclient import X2GoClient
from tests.web.portal import Browser, PortalBench
from x2gobroker.auth.htpasswd import write_user
from x2gobroker.auth.passwords import CONTEXT
from x2gobroker.portal import x2go_sessions

PROFILES = """
[DEFAULT]
user = BROKER_USER
command = xterm
rootless = true
sound = false
print = false
fstunnel = false
usekbd = false

[desk]
name = Büro, 2. Stock
host = {hosts}

[again]
name = The same server once more
host = {hosts}
"""


@dataclass
class Place:
    """A portal, a browser that has signed in, and the X2Go Server that its profiles name."""

    portal: PortalBench
    browser: Browser
    server: X2GoServer

    def page(self) -> str:
        """My sessions."""
        answer = self.browser.get("/portal/sessions?servers=1")
        assert answer.status_int == 200, answer.text
        assert self.server.users[0].password not in answer.text
        return str(answer.text)

    def act(self, what: str) -> int:
        """Press the button of the only session that has it."""
        forms = re.findall(
            rf'<form method="post" action="/portal/x2go/{what}"[^>]*>(.*?)</form>', self.page(), re.DOTALL
        )
        assert len(forms) == 1, forms
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', forms[0]))
        return int(self.browser.post(f"/portal/x2go/{what}", **fields).status_int)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """A real X2Go Server."""
    with x2go_server(tmp_path_factory.mktemp("portal-x2go")) as started:
        yield started


@pytest.fixture
def place(server: X2GoServer, tmp_path: Path) -> Iterator[Place]:
    """A portal where the server's user has signed in, with the password that counts on the server, too."""
    ssh = tmp_path / "ssh"
    ssh.mkdir(mode=0o700)
    (ssh / "known_hosts").write_text(server.known_hosts())
    portal = PortalBench(tmp_path, variables={"X2GOBROKER_SSH_FOLDER": str(ssh)})
    hosts = f"{server.name} (127.0.0.1:{server.port})"
    portal.write("profiles.conf", PROFILES.format(hosts=hosts))
    user = server.users[0]
    write_user(tmp_path / "users", user.name, CONTEXT.hash(user.password))
    browser = portal.browser()
    assert browser.sign_in(user.name, user.password).status_int == 303
    x2go_sessions._REFUSED.forget()
    with nothing_left():
        yield Place(portal, browser, server)
    server.end_sessions(user)


@pytest.fixture
def session(place: Place, screen: Desktop, home: ClientHome) -> Iterator[RunningSession]:
    """A session of the user that a client shows."""
    started = place.server.start_session(place.server.users[0], screen, home)
    yield started
    started.proxy.stop()


def test_a_session_is_listed_once_suspended_and_terminated(place: Place, session: RunningSession) -> None:
    page = place.page()
    assert page.count(f'value="{session.name}"') == 2  # suspend and terminate
    assert "Running" in page
    assert place.server.name in page
    assert place.act("suspend") == 303
    assert session.state == "S"
    assert "Suspended" in place.page()
    assert place.act("terminate") == 303
    wait_until(lambda: session.state == "", "the end of the session")
    assert "You have no sessions on X2Go Servers" in place.page()


def test_a_session_that_has_ended_meanwhile_and_one_of_somebody_else(place: Place) -> None:
    for name in ("root-50-1795167317_stDXFCE_dp24", f"{place.server.users[0].name}-50-1795167317_stDXFCE_dp24"):
        answer = place.browser.post("/portal/x2go/terminate", profile="desk", server=place.server.name, name=name)
        assert answer.status_int == 404
        assert "This session no longer exists" in answer.text


def test_servers_that_are_down_are_named_and_hide_nothing(place: Place, session: RunningSession) -> None:
    with DeadAgent("refusing") as refusing:
        hosts = f"down (127.0.0.1:{refusing.port}), {place.server.name} (127.0.0.1:{place.server.port})"
        place.portal.write("profiles.conf", PROFILES.format(hosts=hosts))
        page = place.page()
    assert "<strong>down</strong>: The server cannot be reached" in page
    assert session.name in page


def test_a_password_that_does_not_count_on_the_server_is_tried_once(place: Place) -> None:
    user = place.server.users[0]
    write_user(place.portal.folder / "users", user.name, CONTEXT.hash("only for the portal"))
    browser = place.portal.browser()
    assert browser.sign_in(user.name, "only for the portal").status_int == 303
    before = place.server.sshd.log_text().count("Failed password")
    for _ in range(3):
        assert "does not accept the password" in browser.get("/portal/sessions?servers=1").text
    wait_until(lambda: place.server.sshd.log_text().count("Failed password") == before + 1, "sshd's word of it")
    assert place.browser.get("/portal/sessions?servers=1").status_int == 200
    assert place.server.sshd.log_text().count("Failed password") == before + 1


def test_the_real_x2go_client_resumes_with_the_session_file(
    place: Place, session: RunningSession, screen: Desktop, pictures: Path
) -> None:
    assert place.act("suspend") == 303
    session.proxy.stop()
    address = re.findall(r'href="(/portal/client\?[^"]+)"', place.page())[0].replace("&amp;", "&")
    page = place.browser.get(address).text
    command = re.findall(r">(x2goclient --session-conf=[^<]+)<", page)[0].split()
    file = place.browser.get(re.findall(r'href="([^"]+)" download', page)[0].replace("&amp;", "&"))
    user = place.server.users[0]
    pictures.mkdir(parents=True, exist_ok=True)
    with client_account(place.server.known_hosts("127.0.0.1")) as home:
        (home.path / command[1].partition("=")[2]).write_text(file.text, encoding="utf-8")
        words = [*command, "--no-menu", "--debug"]
        log = pictures / "x2goclient.log"
        with running(words, log, env=home.environment_on(screen), user=home.account, cwd=home.path) as program:
            client = X2GoClient(program, screen, pictures)
            client.log_in_again(user.password)
            client.wait_for_window(f"{user.name}@{place.server.name}")
            assert session.state == "R"
            assert place.act("terminate") == 303
            wait_until(lambda: session.state == "", "the end of the session")
