"""Web servers with what `x2gobroker remote print-config` prints, where the service listens on no plain port."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from tests.support.cable import ADDRESS
from tests.support.portal_site import Site, ask_program, site_with_apache, site_with_haproxy, site_with_nginx
from tests.support.processes import free_port
from tests.support.tls import Certificates
from x2gobroker.remote.told import WRONG_PAGE, WRONG_WAY

DISPLAYS = 9000 + os.getpid() % 2000 * 10  # displays that no other test has
TYPES = {"Desktop": {"script": "plain.py", "count": 1, "options": {"display_base": DISPLAYS}}}
ENDS = ["a port with TLS", "a Unix socket"]
Opened = Callable[..., AbstractContextManager[Site]]


@pytest.fixture(params=ENDS)
def listening(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[tuple[str, ...]]:
    """Where the service listens, as answers of `x2gobroker remote setup`."""
    with tempfile.TemporaryDirectory(prefix="x2gt-") as folder:
        Path(folder).chmod(0o755)
        if request.param == "a Unix socket":
            yield (f"remote-listen={folder}/remote.sock",)
        else:
            tls = (f"remote-tls-certificate={certificates.certificate}", f"remote-tls-key={certificates.key}")
            yield (f"remote-listen=127.0.0.1:{free_port()}", *tls)


@pytest.mark.parametrize("opened", [site_with_apache, site_with_nginx, site_with_haproxy])
@pytest.mark.parametrize("path", ["", "/x2gobroker"])
def test_a_desktop_comes_through(
    opened: Opened, path: str, listening: tuple[str, ...], certificates: Certificates
) -> None:
    with opened(certificates, TYPES, setup=listening, path=path) as site:
        store = site.service.desktops
        slot = store.reserve("Desktop", 1, "anna", {"size": "320x200"}, ADDRESS)
        assert slot is not None
        context = ssl.create_default_context(cafile=str(site.authority))
        host = f"localhost:{site.cable.port}"

        def greeting(token: str, origin: str = f"https://{host}") -> bytes:
            protocols = [Subprotocol("binary"), Subprotocol(f"x2gobroker.{token}")]
            url = f"wss://{host}{path}/websockify"
            with connect(
                url, ssl=context, origin=Origin(origin), subprotocols=protocols, open_timeout=60, proxy=None
            ) as websocket:
                assert websocket.subprotocol == "binary"
                assert websocket.recv(20) == b"RFB 003.008\n"
                websocket.send(b"RFB 003.008\n")
                said = b""
                while len(said) < 2:  # ways to log in, or none, and why
                    said += bytes(websocket.recv(20))  # type: ignore[arg-type]
                while not said[0] and len(said) < 5 + int.from_bytes(said[1:5]):
                    said += bytes(websocket.recv(20))  # type: ignore[arg-type]
                return said[5:] if not said[0] else said

        assert greeting(store.token(slot, "anna", ADDRESS)) == b"\1\1"
        # the address that counts is the browser's, the host that counts is the one it asked for
        assert greeting(store.token(slot, "anna", "127.0.0.1")) == WRONG_WAY.encode()
        assert greeting(store.token(slot, "anna", ADDRESS), "https://elsewhere.example") == WRONG_PAGE.encode()
        authority = site.service.folder / "authority.pem"  # where the account of the broker can read it
        authority.write_bytes(site.authority.read_bytes())
        words = ("--ca", str(authority), "--wait", "3", f"https://{host}{path}/portal/")
        said = ask_program(site.service, "remote", "check-proxy", *words)
        assert said.splitlines() == [
            "ok     the portal's sign-in page",
            "ok     the address that the broker takes for its own",
            f"ok     websockets at wss://{host}{path}/websockify",
            f"ok     the address of browsers, as x2gobroker-remote sees it: {ADDRESS} for this machine",
            "ok     a connection on which nothing moves for 3 s",
        ]
