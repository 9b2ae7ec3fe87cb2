"""What shows sessions: a scripted nxproxy, and what is left of it."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from tests.support.leftovers import nothing_left
from tests.support.processes import wait_until
from x2gobroker.x2go.display import proxy as module
from x2gobroker.x2go.display.proxy import X2GoProxy, check_display, find_program
from x2gobroker.x2go.errors import X2GoProxyException
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo

COOKIE = "f28b48c66f97bdba38e56856d0ea090f"
NAME = "ann-50-1795167317_stRxterm_dp24"
GOOD = "echo 'Info: Established X server connection.'; exec sleep 60"


class IdleTransport(paramiko.Transport):
    """An SSH connection on which nobody asks for anything."""

    def __init__(self) -> None:
        self._ends = socket.socketpair()
        super().__init__(self._ends[0])
        self.active = True

    def end(self) -> None:
        """Close what it holds."""
        for each in self._ends:
            each.close()


@pytest.fixture
def screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Something that listens where an X server would."""
    monkeypatch.setattr(module, "X11_SOCKETS", str(tmp_path / "X"))
    monkeypatch.setenv("DISPLAY", ":7")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "X7"))
        listener.listen()
        yield


Make = Callable[..., X2GoProxy]


@pytest.fixture
def make(tmp_path: Path, screen: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make a proxy whose nxproxy is this script."""
    transport = IdleTransport()

    def proxy(script: str, **more: object) -> X2GoProxy:
        program = tmp_path / "nxproxy"
        program.write_text(f"#!/bin/sh\ncp options seen; printf '%s' \"$*\" >arguments\n{script}\n", encoding="ascii")
        program.chmod(0o755)
        monkeypatch.setenv("NXPROXY_BINARY", str(program))
        info = X2GoServerSessionInfo()
        info.name, info.cookie, info.display, info.graphics_port = NAME, COOKIE, 50, 38091
        info.local_container = str(tmp_path / "root,a=b:c d" / f"S-{NAME}")
        return X2GoProxy(info, transport, sessions_rootdir=str(tmp_path), **more)  # type: ignore[arg-type]

    with nothing_left():
        yield proxy
    transport.end()


def test_the_cookie_is_in_a_file_for_the_time_of_the_start_only(make: Make) -> None:
    proxy = make(GOOD, proxy_options={"composite": 0, "retry": "1,cookie=x", "b d": "x"})
    process, done = proxy.start_proxy()
    folder = Path(proxy.session_info.local_container)
    assert done
    assert proxy.ok()
    assert process.poll() is None
    options = (folder / "seen").read_text()
    assert options.startswith("nx/nx,")
    assert f",cookie={COOKIE},port=" in options
    assert "retry=5" in options
    assert "composite=0" in options
    assert options.endswith(":50")
    assert not (folder / "options").exists()
    assert COOKIE not in (folder / "arguments").read_text()
    assert stat.S_IMODE((folder / "seen").stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    proxy.stop_thread()
    assert not proxy.ok()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 0", "nxproxy ended"),
        ("echo 'Error: Connection to x failed.'; exit 0", "Connection to x failed"),
        ("echo \"Warning: X connection failed with error 'Invalid MIT'\"; exec sleep 60", "refuses.*Invalid MIT"),
    ],
)
def test_a_proxy_that_does_not_draw(make: Make, script: str, reason: str) -> None:
    with pytest.raises(X2GoProxyException, match=reason):
        make(script).start_proxy()


def test_a_proxy_that_hangs(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.3)
    monkeypatch.setattr(module, "STOP_SECONDS", 0.3)
    with pytest.raises(X2GoProxyException, match=r"within 0\.3 s"):
        make("trap '' TERM; while :; do sleep 0.1; done").start_proxy()


def test_the_end_is_told_once(make: Make) -> None:
    told: list[str] = []
    proxy = make(
        "echo 'Info: Established X server connection.'; exec sleep 0.3",
        on_end=lambda: told.append(threading.current_thread().name),
    )
    proxy.start_proxy()
    wait_until(lambda: bool(told), "the end of the proxy")
    assert proxy.wait(5)
    proxy.stop_thread()
    assert told == [f"x2go-proxy-{NAME}"]
    assert proxy.fw_tunnel is None


def test_what_nxproxy_writes_is_limited(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_LOG", 5000)
    proxy = make("head -c 300000 /dev/zero | tr '\\0' x; yes 'Warning: y' | head -n 5000; " + GOOD)
    proxy.start_proxy()
    folder = Path(proxy.session_info.local_container)
    proxy.stop_thread()
    assert (folder / "session.log").stat().st_size < 5000 + module.LONGEST_LINE
    assert stat.S_IMODE((folder / "session.log").stat().st_mode) == 0o600


def test_displays(screen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    check_display(":7")
    check_display(":7.0")
    check_display("unix:7")
    check_display("elsewhere.example.org:0")  # nxproxy finds out
    for display in ("", ":8"):
        with pytest.raises(X2GoProxyException, match="DISPLAY"):
            check_display(display)
    monkeypatch.setenv("NXPROXY_BINARY", "/nonexistent")
    with pytest.raises(X2GoProxyException, match="install the package nxproxy"):
        find_program()


def test_the_local_folder_cannot_be_made(make: Make, tmp_path: Path) -> None:
    (tmp_path / "root,a=b:c d").write_text("a file", encoding="ascii")
    with pytest.raises(X2GoProxyException, match="cannot be made"):
        make(GOOD).start_proxy()
    assert not any(name.startswith("x2go-") for name in (thread.name for thread in threading.enumerate()))
    assert os.path.isfile(tmp_path / "root,a=b:c d")
