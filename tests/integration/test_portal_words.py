"""What the desktop page says when there is no connection, in real Chromium and real Firefox."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.person import Person
from tests.support.portal_desktops import (
    PASSWORD,
    PortalDesktops,
    begin,
    portal_desktops,
    terminals,
    work,
)
from tests.support.processes import wait_until
from x2gobroker.remote.told import NO_LOGIN
from x2gobroker.store import PortalSessions

# a script that says why there is no session
SAYS_WHY = """\
from nexus_remote_service import RemoteServiceScript


class Why(RemoteServiceScript):
    def start(self, token, timestamp=0.0, options={}):
        super().start(token, timestamp, options)
        return self.fail("All licences of Matlab are in use. Try again after 18:00.")

    def stop(self):
        return super().stop()


def realize_service(name="", count=1, index=0, common_options=dict()):
    return Why(name, count=count, index=index, common_options=common_options)
"""
LOST_ONCE = "Connection lost."
KEEP_PHASES = """
const state = document.getElementById("state");
window.phases = [];
new MutationObserver(() => window.phases.push(state.dataset.phase)).observe(state, { attributes: true });
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalDesktops]:
    types = terminals(tmp_path_factory.mktemp("typed") / "typed")
    types["Why"] = {"script": "why.py", "count": 1}
    types["Certificates"] = {
        "script": "terminal.py",
        "count": 1,
        "options": {**types["Brief"]["options"], "security": "TLSNone"},
    }
    with portal_desktops(types, "remote-connections-per-user = 50") as made:
        made.service.write_script("why.py", SAYS_WHY)
        yield made


def test_a_way_that_is_blocked_is_not_called_lost(site: PortalDesktops, anna: Person) -> None:
    """As behind a web server that passes no websockets on."""
    site.websockets.pull()
    try:
        begin(site, anna)
        anna.wait_for("the first words", lambda: "cannot be reached yet" in anna.says())
        anna.wait_for("the other words", lambda: "The connection to the desktop is blocked." in anna.says())
        assert "WebSocket" in anna.says()
        assert LOST_ONCE not in anna.says()
    finally:
        site.websockets.plug()
    anna.click("#again")
    anna.wait_for_phase("connected")
    site.websockets.pull()
    try:
        anna.wait_for("the words", lambda: LOST_ONCE in anna.says())
    finally:
        site.websockets.plug()
    anna.wait_for_phase("connected")


def test_a_portal_that_is_away_is_not_called_a_way_that_is_blocked(site: PortalDesktops, anna: Person) -> None:
    """No websocket was tried. A browser may take a machine for offline that has a loopback interface only."""
    site.websockets.pull()
    try:
        begin(site, anna)
        anna.wait_for("the first words", lambda: "cannot be reached yet" in anna.says())
        site.pages.pull()
        away = re.compile(r"(The portal cannot be reached|This device is offline)\. Trying again in [678] s")
        anna.wait_for("the fifth try", lambda: away.match(anna.says()), 60)
    finally:
        site.plug()
    anna.click("#again")
    anna.wait_for_phase("connected")


def test_a_session_that_is_closed_is_not_called_a_lost_connection(site: PortalDesktops, anna: Person) -> None:
    """Its VNC server closes the connection first: the page waits for the word, and does not try again."""
    slot = work(site, anna)
    anna.run(KEEP_PHASES)
    note = site.service.scripts_state / f"terminal-{slot.type}-{slot.number}.pid"
    os.kill(int(note.read_text(encoding="ascii")), signal.SIGTERM)
    anna.wait_for_phase("ended")
    assert "waiting" not in anna.run("return window.phases")
    said = re.escape("This desktop has ended. ") + "(Its session was closed|The desktop ended right after it started)"
    assert re.match(said, anna.says())
    wait_until(lambda: site.service.state(slot) in ("gone", "failed"), "its place being free")
    anna.go(f"{site.url}desktop/{slot.id}")
    anna.wait_for("the same for who comes later", lambda: re.search(said, anna.text("body")))


def test_a_sign_in_that_ends_ends_the_connection_and_the_page_says_so(site: PortalDesktops, anna: Person) -> None:
    slot = work(site, anna)
    PortalSessions(site.service.store).close_all("anna")
    began = time.monotonic()
    anna.wait_for_phase("signed-out")
    assert time.monotonic() - began < 10
    assert "You are signed out." in anna.says()
    assert site.service.state(slot) == "running", "the desktop waits"
    anna.click("#sign-in")
    anna.wait_for("the form", lambda: anna.visible("input[name=password]"))
    anna.fill("input[name=user]", "anna")
    anna.fill("input[name=password]", PASSWORD)
    anna.click("form .primary")
    anna.wait_for("the desktop's page", lambda: slot.id in anna.url)
    anna.wait_for_phase("connected")


def test_stop_with_a_sign_in_that_has_ended_says_that_it_did_not(site: PortalDesktops, anna: Person) -> None:
    slot = work(site, anna)
    anna.go(site.url)
    PortalSessions(site.service.store).close_all("anna")
    anna.click("details.sure summary")
    anna.click("details.sure .danger")
    anna.wait_for("the words", lambda: "was not carried out" in anna.text("main"))
    assert site.service.state(slot) == "running"


def test_what_a_script_says_to_its_user_arrives(site: PortalDesktops, anna: Person) -> None:
    slot = begin(site, anna, "Why")
    anna.wait_for_phase("ended")
    assert "All licences of Matlab are in use. Try again after 18:00." in anna.says()
    assert slot.id[:8] in anna.says(), "what the user tells the administrator"
    assert f"({slot.id[:8]}) could not be started" in site.service.said()

    def told_at_home() -> bool:  # what did start is stopped first
        anna.go(site.url)
        return "All licences of Matlab are in use." in anna.text("main")

    anna.wait_for("the home page saying it, too", told_at_home)


def test_a_vnc_server_that_cannot_be_used_is_told_at_once(site: PortalDesktops, anna: Person) -> None:
    begin(site, anna, "Certificates")
    anna.wait_for_phase("ended")
    assert "requires a sign-in method" in anna.says()
    assert re.search(r"[0-9a-f]{8}", anna.says())
    assert NO_LOGIN not in anna.says(), "in the words of the page"


def test_a_picture_of_each(site: PortalDesktops, anna: Person, tmp_path: Path) -> None:
    """Both browsers show a desktop; who looks at artifacts sees it."""
    work(site, anna)
    anna.picture(tmp_path / "desktop.png")
    assert (tmp_path / "desktop.png").stat().st_size > 5000
