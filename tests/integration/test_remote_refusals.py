"""VNC servers that cannot be used, and what browsers are told of them: in the form that VNC has for it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.processes import wait_until
from tests.support.remote import Remote, remote
from tests.support.rfb_client import RfbClient
from x2gobroker.model.vouched import Vouched
from x2gobroker.remote.told import NO_LOGIN, NO_VNC, VNC_FAILS, VNC_REFUSES, WRONG_LOGIN
from x2gobroker.store import PortalSessions, SignInTie, Slot
from x2gobroker.store.authids import digest_of

# a server on a socket that says what the session type has, piece by piece, after each thing that it hears
ODD = """\
import socket, subprocess, sys, time
from nexus_remote_service import RemoteServiceScript

SERVER = '''
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
while True:
    connection, _ = listener.accept()
    with connection:
        for piece in sys.argv[2:]:
            connection.sendall(bytes.fromhex(piece))
            connection.recv(100)
'''


class Odd(RemoteServiceScript):
    def start(self, token, timestamp=time.time(), options={}):
        path = self.state_folder / f"odd-{self._name}.sock"
        path.unlink(missing_ok=True)
        argv = [sys.executable, "-c", SERVER, str(path), *self._common_options["says"]]
        self.server = subprocess.Popen(argv, start_new_session=True)
        self.set_unix_socket(path)
        return super().start(token, timestamp, options)

    def stop(self):
        if getattr(self, "server", None):
            self.server.kill()
            self.server.wait()
        return super().stop()


def realize_service(name="", count=1, index=0, common_options=dict()):
    return Odd(name, count=count, index=index, common_options=common_options)
"""
VERSION = b"RFB 003.008\n".hex()
REASON = b"Too many security failures"
CASES = {
    "Mail": ([b"220 mail.example ESMTP\r\n".hex()], NO_VNC),
    "Locked": ([VERSION, "00" + len(REASON).to_bytes(4, "big").hex() + REASON.hex()], VNC_REFUSES),
    "Certificates": ([VERSION, "0112"], NO_LOGIN),
    "Other password": ([VERSION, "0102", "00" * 16, "00000001" + "00000005" + b"wrong".hex()], WRONG_LOGIN),
    "Gone": ([VERSION], VNC_FAILS),
}


@pytest.fixture(scope="module")
def service() -> Iterator[Remote]:
    types = {name: {"script": "odd.py", "count": 1, "options": {"says": says}} for name, (says, _) in CASES.items()}
    with remote(types, "remote-vnc-password = something", start=False) as made:
        made.write_script("odd.py", ODD)
        made.start()
        yield made


def connected(service: Remote, slot: Slot, tie: SignInTie | None = None) -> RfbClient:
    return RfbClient(service.port, service.desktops.token(slot, "anna", "127.0.0.1", sign_in=tie))


@pytest.mark.parametrize("kind", CASES)
def test_the_browser_is_told_what_is_wrong(service: Remote, kind: str) -> None:
    """The words are a whole message of VNC, so that noVNC shows them, and does not only see the connection end."""
    slot = service.reserve(kind)
    with pytest.raises(AssertionError) as caught:
        connected(service, slot)
    assert str(caught.value) == CASES[kind][1]
    service.desktops.ask_stop(slot)
    service.wait_for_state(slot, "gone")


def test_what_the_server_said_itself_is_in_the_log_only(service: Remote) -> None:
    slot = service.reserve("Locked")
    with pytest.raises(AssertionError):
        connected(service, slot)
    wait_until(lambda: f"no longer at Locked/0 of anna ({slot.id[:8]})" in service.said(), "the line of the log")
    assert REASON.decode() in service.said()
    service.desktops.ask_stop(slot)
    service.wait_for_state(slot, "gone")


def signed_in(service: Remote, now: float, idle: float) -> tuple[str, SignInTie]:
    """The token of a new sign-in of anna's, and what ends with it."""
    sessions = PortalSessions(service.store)
    token = sessions.open("anna", "inifile", "127.0.0.1", 3600, Vouched("password"), now=now)
    return token, SignInTie(digest_of(token), idle)


@pytest.mark.parametrize("how", ["its time is up", "nothing was done", "signed out"])
def test_a_connection_ends_with_its_sign_in_and_the_desktop_goes_on(how: str) -> None:
    """Nobody has to ask for that: the page of somebody who has gone away asks nothing more."""
    options = {"display_base": 41000 + int(time.time()) % 1000}
    with remote({"Desktop": {"script": "plain.py", "count": 1, "options": options}}) as service:
        slot = service.reserve("Desktop")
        began = time.time() - (3595 if how == "its time is up" else 0)
        token, tie = signed_in(service, began, 3.0 if how == "nothing was done" else 86400.0)
        client = connected(service, slot, tie)
        other = connected(service, slot)  # of a token without one, as programs of before make them
        client.picture()
        if how == "signed out":
            PortalSessions(service.store).close(token)
        assert client.wait_closed(15) == "you were signed out"
        assert len(other.picture()) == 4 * 320 * 200
        found = service.desktops.find(slot.id)
        assert found is not None
        assert found.state == "running"
        other.close()


def test_work_keeps_a_sign_in_and_looking_does_not() -> None:
    options = {"display_base": 42000 + int(time.time()) % 1000}
    with remote({"Desktop": {"script": "plain.py", "count": 1, "options": options}}) as service:
        slot = service.reserve("Desktop")
        _token, tie = signed_in(service, time.time(), 6.0)
        client = connected(service, slot, tie)
        end = time.monotonic() + 9
        while time.monotonic() < end:
            client.type("a")
            time.sleep(0.5)
        client.picture()
        assert client.wait_closed(20) == "you were signed out"
        assert time.monotonic() > end + 3
