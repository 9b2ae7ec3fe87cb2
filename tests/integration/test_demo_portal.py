"""`x2gobroker demo`: the portal signs in and a desktop comes up in the browser, with nothing configured."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from tests.support.installation import installation
from tests.support.processes import Program, free_port, wait_until
from x2gobroker.portal.guard import COOKIE

OWN = {"Sec-Fetch-Site": "same-origin"}
JSON = {**OWN, "Accept": "application/json"}


@dataclass
class Demo:
    """The demo that runs."""

    url: str
    password: str
    program: Program
    folder: Path

    def sign_in(self) -> dict[str, str]:
        """The header with the cookie of a sign-in: `requests` keeps no Secure cookies of http."""
        fields = {"user": "demo", "password": self.password}
        answer = requests.post(f"{self.url}/portal/sign-in", fields, headers=OWN, allow_redirects=False, timeout=20)
        assert answer.status_code == 303, answer.text
        found = re.search(rf"{COOKIE}=[0-9a-f]+", answer.headers["Set-Cookie"])
        assert found
        return {"Cookie": found[0]}


def start(folder: Path, port: int) -> Program:
    """Start the demo, with its files below this folder."""
    demo = [str(Path(sys.executable).parent / "x2gobroker"), "demo"]
    return Program([*demo, "--folder", str(folder / "d"), "-b", f"127.0.0.1:{port}"], folder / "log")


@pytest.fixture(scope="module", params=[None, "www-data"])
def demo(request: pytest.FixtureRequest) -> Iterator[Demo]:
    """The demo of root, and of somebody else, who can have nothing but programs of the own account."""
    user: str | None = request.param
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="x2gt-demo-") as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user, user)
        argv = [str(installation(user).venv / "bin/x2gobroker"), "demo", "--folder", str(folder / "d")]
        program = Program(
            [*argv, "-b", f"127.0.0.1:{port}"], folder / "log", env={**os.environ, "HOME": name}, cwd=folder, user=user
        )
        try:
            ready = ("is ready", "Booting worker")
            wait_until(lambda: all(words in program.output() for words in ready), "the demo's start")
            password = (folder / "d/password").read_text().strip()
            yield Demo(f"http://127.0.0.1:{port}", password, program, folder / "d")
        finally:
            print(program.output())  # pytest shows it where a test fails
            program.stop()


def remote_of(demo: Demo) -> str:
    found = re.search(r"remote-listen = (\S+)", (demo.folder / "x2gobroker.conf").read_text())
    assert found
    return found[1]


def test_the_first_page_leads_to_the_portal(demo: Demo) -> None:
    assert f'href="{demo.url}/portal/"' in requests.get(demo.url, timeout=20).text
    assert f"in a web browser: {demo.url}/portal/" in demo.program.output()


def test_a_desktop_comes_up(demo: Demo) -> None:
    cookie = demo.sign_in()
    home = requests.get(f"{demo.url}/portal/", headers=cookie, timeout=20)
    assert "A terminal on this machine" in home.text
    started = requests.post(
        f"{demo.url}/portal/start", {"type": "Desktop"}, headers={**OWN, **cookie}, allow_redirects=False, timeout=20
    )
    assert started.status_code == 303, started.text
    place = demo.url + started.headers["Location"]
    page = requests.get(place, headers=cookie, timeout=20)
    assert f"ws://{remote_of(demo)}" in page.headers["Content-Security-Policy"]
    token = requests.post(f"{place}/token", headers={**JSON, **cookie}, timeout=20).json()
    protocols = [Subprotocol("binary"), Subprotocol(f"x2gobroker.{token['token']}")]
    with connect(token["url"], origin=Origin(demo.url), subprotocols=protocols, open_timeout=40) as socket:
        assert str(socket.recv(40, decode=False), "ascii").startswith("RFB 003.008")
        wait_until(lambda: state(place, cookie)["state"] == "running", "the desktop")
        assert terminals()
        assert "root" not in terminals()
    signed_out = requests.post(f"{demo.url}/portal/sign-out", headers={**OWN, **cookie}, timeout=20)
    assert signed_out.status_code == 200
    wait_until(lambda: terminals() == [], "the end of the desktop at sign-out")


def state(place: str, cookie: dict[str, str]) -> dict[str, str]:
    found = requests.get(f"{place}/state", headers={**JSON, **cookie}, timeout=20).json()
    assert isinstance(found, dict)
    return found


def terminals() -> list[str]:
    """Who runs terminals of the demo's desktop now."""
    return [line.split()[0] for line in processes() if " xterm -geometry 100x32" in line]


def test_the_service_of_the_desktop_ends_even_if_the_demo_is_killed(tmp_path: Path) -> None:
    port = free_port()
    argv = [
        str(Path(sys.executable).parent / "x2gobroker"),
        "demo",
        "--folder",
        str(tmp_path / "d"),
        "-b",
        f"127.0.0.1:{port}",
    ]
    program = Program(argv, tmp_path / "log")
    try:
        wait_until(lambda: "is ready" in program.output(), "the demo's start")
        assert services(tmp_path)
        program.process.send_signal(signal.SIGKILL)
        wait_until(lambda: not services(tmp_path), "the end of x2gobroker-remote")
    finally:
        program.stop()


def services(folder: Path) -> list[str]:
    """The processes of x2gobroker-remote of a demo below this folder."""
    return [line for line in processes() if "x2gobroker.cli.remote.service" in line and str(folder) in line]


def processes() -> list[str]:
    """The command lines of all processes."""
    argv = ["ps", "-eww", "-o", "user:20,args"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
