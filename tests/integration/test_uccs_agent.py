"""What Arctica's remote-logon-config-agent sends to the daemon, byte for byte: it logs in by UCCS.

Its header has line feeds in it (Python's `base64.encodebytes`), and its address two slashes, where the one it is given
ends in a slash. Written down from version 36f3bb0 with PycURL 7.45.2.
"""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator

import pytest
from passlib.hash import bcrypt

from tests.support.our_broker import OurBroker

CONFIG = """[global]
default-auth-mech = htpasswd
cookie-directory = {state}
enable-uccs-output = true
[authmech_htpasswd]
file = {state}/htpasswd
"""
PROFILES = "[desk]\nname = Desk\nhost = desk.example\nbroker-portscan-x2goservers = false\n"
SHORT, LONG = "pw", "a password of more than fifty-seven characters, in two lines"


@pytest.fixture(scope="module")
def broker() -> Iterator[OurBroker]:
    """A daemon that serves UCCS, with two users."""
    with OurBroker("", PROFILES) as running:
        lines = [
            f"{user}:{bcrypt.using(rounds=4).hash(password)}\n" for user, password in (("anna", SHORT), ("bert", LONG))
        ]
        (running.state / "htpasswd").write_text("".join(lines))
        running.write_config(CONFIG)
        yield running


def ask(
    broker: OurBroker, user: str, password: str, root: str = "/uccs/inifile/", more: bytes = b""
) -> tuple[int, bytes]:
    """What the agent sends, and the status and the body of the answer."""
    credentials = base64.encodebytes(f"{user}:{password}".encode("ascii")).decode("ascii")
    request = (
        f"GET {root}/api/5/ HTTP/1.1\r\nHost: 127.0.0.1:{broker.port}\r\n"
        f"User-Agent: PycURL/7.45.2 libcurl/7.88.1\r\nAccept: */*\r\nAuthorization: Basic {credentials}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", broker.port), 10) as connection:
        connection.sendall(request.encode("ascii") + more)
        connection.settimeout(10)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"\n"):
            data = connection.recv(65536)
            answer += data
            if not data:
                break
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize(("user", "password"), [("anna", SHORT), ("bert", LONG)])
@pytest.mark.parametrize("root", ["/uccs/inifile/", "/uccs/inifile"])
def test_the_agent_logs_in(broker: OurBroker, user: str, password: str, root: str) -> None:
    status, body = ask(broker, user, password, root)
    assert status == 200, broker.log()
    assert [server["Name"] for server in json.loads(body)["RemoteDesktopServers"]] == ["Desk"]


def test_a_wrong_password_of_the_agent_is_refused(broker: OurBroker) -> None:
    assert ask(broker, "anna", "wrong")[0] == 401


def test_what_stands_behind_is_a_request_of_its_own(broker: OurBroker) -> None:
    """Nothing of the next request is taken for part of this one."""
    status, body = ask(broker, "bert", LONG, more=b"GET /nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert status == 200
    assert body.count(b"HTTP/1.1 404") <= 1
