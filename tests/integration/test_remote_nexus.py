"""The example of CEI Nexus' page on remote sessions, word by word: its file, and its script with a real `vncserver`."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import listens, wait_until
from tests.support.remote_types import NEXUS, write_script
from x2gobroker.remote.loader import realize_all
from x2gobroker.remote.script import RemoteServiceScript
from x2gobroker.remote.types import read_types

PASSWORD = "mytestpw"
VNC_PORT = 5900


def free_display_base() -> int:
    """A number of which it and the next are free as displays; the page has 100, which may be taken here."""
    for _ in range(100):
        base = random.randrange(14100, 24000)
        ports = [VNC_PORT + base + index for index in range(2)]
        if not any(listens(port) for port in ports):
            return base
    raise AssertionError("no free display")


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[RemoteServiceScript]]:
    """Both slots of its "Local Software Session", for somebody with a VNC password and a desktop that only sleeps."""
    settings = tmp_path / ".vnc"
    settings.mkdir(mode=0o700)
    made = subprocess.run(
        ["vncpasswd", "-f"], input=f"{PASSWORD}\n".encode(), capture_output=True, check=True, timeout=30
    )
    (settings / "passwd").write_bytes(made.stdout)
    (settings / "passwd").chmod(0o600)
    desktop = settings / "xstartup"
    desktop.write_text("#!/bin/sh\nexec sleep 600\n", encoding="ascii")
    desktop.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XAUTHORITY", str(tmp_path / ".Xauthority"))
    found = json.loads((NEXUS / "service_config.json").read_text(encoding="utf-8"))
    found["Local Software Session"]["options"]["display_base"] = free_display_base()
    (tmp_path / "service_config.json").write_text(json.dumps(found), encoding="utf-8")
    write_script(tmp_path, "simple_vnc", (NEXUS / "simple_vnc.py.txt").read_text(encoding="utf-8"))
    kind = read_types(tmp_path / "service_config.json").types["Local Software Session"]
    slots = realize_all(kind)
    yield slots
    for script in slots:
        if script.poll():
            script.stop()


def test_the_session_starts_and_stops(scripts: list[RemoteServiceScript], tmp_path: Path) -> None:
    for script in scripts:
        assert script.start("token", options={"username": "ann", "size": "800x600"}) is True
        assert script.poll()
        with socket.create_connection((script._hostname, script._port), 20) as connection:
            assert connection.recv(12) == b"RFB 003.008\n"
    assert scripts[1]._port == scripts[0]._port + 1
    shown = subprocess.run(
        ["xdpyinfo", "-display", f":{scripts[0]._port - VNC_PORT}"],
        env={**os.environ, "XAUTHORITY": str(tmp_path / ".Xauthority")},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "800x600 pixels" in shown.stdout
    scripts[0].stop()
    wait_until(lambda: not scripts[0].poll(), "the end of the first session")
    assert scripts[1].poll()
    scripts[1].stop()
    wait_until(lambda: not scripts[1].poll(), "the end of the second session")


def test_a_vnc_server_that_fails_gives_false(scripts: list[RemoteServiceScript]) -> None:
    assert scripts[0].start("token", options={"size": "no size"}) is False
    assert not scripts[0].poll()


def test_a_host_without_vncserver_gives_false(
    scripts: list[RemoteServiceScript], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert scripts[0].start("token") is False
