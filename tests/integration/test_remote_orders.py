"""`x2gobroker desktops` beside a real x2gobroker-remote: what administrators order is done, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.processes import wait_until
from tests.support.remote import SCRIPT, Remote, remote, servers_below
from tests.support.rfb_client import RfbClient
from x2gobroker.remote.told import SIGNED_OUT
from x2gobroker.store import DesktopOrders, DesktopsClosedError, PortalSessions, SignInTie
from x2gobroker.store.authids import digest_of
from x2gobroker.store.portal_sessions import AT_SIGN_IN

PROGRAM = Path(sys.executable).parent / "x2gobroker"
DISPLAYS = 5000 + os.getpid() % 2000 * 10
# as above, but it cannot be stopped while there is a file `stuck`
STUCK = (
    SCRIPT
    + """

class Stuck(Plain):
    def stop(self):
        if (self.state_folder / "stuck").exists():
            return False
        return super().stop()


def realize_service(name="", count=1, index=0, common_options=dict()):
    return Stuck(name, count=count, index=index, common_options=common_options)
"""
)
TYPES = {
    "Desktop": {"script": "plain.py", "count": 3, "options": {"display_base": DISPLAYS}},
    "Stuck": {"script": "stuck.py", "count": 1, "options": {"display_base": DISPLAYS + 5}},
}


@pytest.fixture(scope="module")
def service() -> Iterator[Remote]:
    with remote(TYPES, start=False) as made:
        made.write_script("stuck.py", STUCK)
        made.start()
        yield made


@pytest.fixture(autouse=True)
def tidied(service: Remote) -> Iterator[None]:
    """Whatever a test has come to, the next one begins with nothing."""
    yield
    (service.scripts_state / "stuck").unlink(missing_ok=True)
    DesktopOrders(service.store).open()
    for slot in service.desktops.everything():
        service.desktops.ask_stop(slot)
        service.wait_for_state(slot, "gone", "failed")


def command(service: Remote, *arguments: str) -> tuple[int, str, str]:
    """Run it: exit status, standard output, standard error stream."""
    action, *rest = arguments
    words = [str(PROGRAM), "desktops", action, "-C", str(service.config), *rest]
    env = {**service.env, "SUDO_USER": "eva"}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=False)
    print(done.stdout, done.stderr)
    return done.returncode, done.stdout, done.stderr


def refused(service: Remote, token: str) -> bool:
    """Whether the service lets nobody in with this token."""
    try:
        RfbClient(service.port, token).close()
    except (InvalidStatus, ConnectionClosed, AssertionError):
        return True
    return False


def test_the_list_has_what_runs_and_stop_ends_it_for_good(service: Remote) -> None:
    slot, other = service.reserve("Desktop", "anna", 3), service.reserve("Desktop", "bert", 3)
    client, theirs = service.connect(slot), service.connect(other)
    wait_until(lambda: service.desktops.of_user("anna")[0].connections == 1, "the count of connections")
    found = {one["user"]: one for one in json.loads(command(service, "list", "--json")[1])["desktops"]}
    assert found.keys() == {"anna", "bert"}
    mine = found["anna"]
    assert (mine["id"], mine["type"], mine["place"], mine["state"]) == (slot.id, "Desktop", 0, "running")
    assert (mine["size"], mine["connections"], mine["host"]) == ("320x200", 1, socket.gethostname())
    assert 0 <= mine["idle"] <= mine["age"] < 120
    assert slot.id[:8] in command(service, "list", "--user", "Anna")[1]
    before = set(servers_below(service.folder))
    status, out, _ = command(service, "stop", slot.id[:8])
    assert (status, out) == (0, f"{slot.id[:8]} (Desktop/0 of anna): ended\n")
    assert client.wait_closed() == "this desktop was stopped: administrator"
    assert len(before - set(servers_below(service.folder))) == 1
    assert f"remote: Desktop/0 of anna ({slot.id[:8]}) is being stopped: administrator eva" in service.said()
    assert len(theirs.picture()) == 4 * 320 * 200
    status, out, _ = command(service, "stop", "--all")
    assert (status, out) == (0, f"{other.id[:8]} (Desktop/1 of bert): ended\n")
    assert not servers_below(service.folder)


def test_the_place_of_a_desktop_that_nothing_stops(service: Remote) -> None:
    slot = service.reserve("Stuck", "anna")
    service.connect(slot).close()
    (service.scripts_state / "stuck").touch()
    status, out, _ = command(service, "stop", slot.id[:8], "--wait", "60")
    assert status == 1
    assert f"then: x2gobroker desktops free {slot.id[:8]}" in out
    assert service.state(slot) == "broken"
    assert service.desktops.reserve("Stuck", 1, "bert", {}, "127.0.0.1") is None
    for process in servers_below(service.folder):  # as the how-to says
        os.kill(process, signal.SIGTERM)
    wait_until(lambda: not servers_below(service.folder), "the end of the VNC server")
    (service.scripts_state / "stuck").unlink()
    status, out, _ = command(service, "free", slot.id[:8])
    assert (status, out) == (0, f"{slot.id[:8]} (Stuck/0 of anna): its place is free\n")
    after = service.reserve("Stuck", "bert")
    assert after.number == slot.number
    client = service.connect(after)
    assert len(client.picture()) == 4 * 320 * 200
    said = f"remote: the place of Stuck/0 of anna ({slot.id[:8]}) was given back"
    wait_until(lambda: said in service.said(), "the service hearing of it")
    time.sleep(3.0)  # a few turns of the service, which must not take it for the one before
    assert len(client.picture()) == 4 * 320 * 200
    assert command(service, "stop", "--type", "Stuck")[0] == 0
    assert "task failed" not in service.said()


def test_no_new_desktops_while_it_is_closed(service: Remote) -> None:
    running, unused = service.reserve("Desktop", "anna", 3), service.reserve("Desktop", "bert", 3)
    service.connect(running).close()
    token = service.desktops.token(unused, "bert", "127.0.0.1")
    status, out, _ = command(service, "close", "--reason", "new kernel")
    assert (status, "nobody had connected to yet: 1" in out) == (0, True)
    assert "by eva: new kernel" in command(service, "list")[2]
    assert refused(service, token)
    with pytest.raises(DesktopsClosedError):
        service.reserve("Desktop", "bert", 3)
    assert service.reserve("Desktop", "anna", 3).id == running.id
    client = service.connect(running)
    assert len(client.picture()) == 4 * 320 * 200, "who has one comes back to it"
    client.close()
    assert command(service, "open")[0] == 0
    again = service.reserve("Desktop", "bert", 3)
    service.connect(again).close()
    assert command(service, "stop", "--all")[0] == 0


def test_a_user_who_is_signed_out_loses_all_connections_and_no_desktop(service: Remote) -> None:
    sessions = PortalSessions(service.store)
    tokens = {user: sessions.open(user, "inifile", "127.0.0.1", 3600, AT_SIGN_IN) for user in ("anna", "bert")}
    slots = {user: service.reserve("Desktop", user, 3) for user in tokens}
    clients = {}
    for user, slot in slots.items():
        tie = SignInTie(digest_of(tokens[user]), 3600)
        clients[user] = RfbClient(service.port, service.desktops.token(slot, user, "127.0.0.1", sign_in=tie))
    link = service.desktops.share(slots["anna"])
    guest = RfbClient(service.port, service.desktops.token(slots["anna"], "guest", "127.0.0.1", share=link))
    unused = service.desktops.token(slots["anna"], "anna", "127.0.0.1")
    status, out, _ = command(service, "sign-out", "Anna")
    assert (status, out) == (0, "Anna: sign-ins ended: 1; desktops cut off, which go on: 1\n")
    assert clients["anna"].wait_closed() == SIGNED_OUT
    assert guest.wait_closed()
    assert refused(service, unused)
    assert service.desktops.shared(link) is None
    assert sessions.find(tokens["anna"], 3600) is None
    assert sessions.find(tokens["bert"], 3600) is not None
    assert service.state(slots["anna"]) == "running"
    assert len(clients["bert"].picture()) == 4 * 320 * 200
    client = service.connect(slots["anna"])
    assert len(client.picture()) == 4 * 320 * 200, "after signing in again"
    assert command(service, "stop", "--all")[0] == 0
