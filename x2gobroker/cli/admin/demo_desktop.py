"""The desktop in the browser of `x2gobroker demo`: a session type, and `x2gobroker-remote` beside the broker."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from x2gobroker.errors import ConfigurationError
from x2gobroker.privilege import safe_folder
from x2gobroker.remote.loader import ScriptError
from x2gobroker.remote.runner import make_state_folder

LOOPBACK = "127.0.0.1"
TYPE = "Desktop"
STOP_SECONDS = 30.0
KILL_SECONDS = 5.0
NOBODY = "nobody"
SETTINGS = """\
remote-session-config = {types}
remote-listen = {listen}
remote-websocket-url = ws://{listen}/websockify
remote-origins = {origins}
remote-stop-with-service = true
"""


@dataclass(frozen=True)
class DemoDesktop:
    """How the demo has a desktop: `[global]` settings for the broker's file, and variables for its processes."""

    settings: str
    variables: dict[str, str]
    type: dict[str, object]
    types: Path


def missing() -> list[str]:
    """The Debian packages without which there is no desktop in the browser, of those that are not there."""
    needed = {"Xvnc": "tigervnc-standalone-server", "xterm": "xterm"}
    return [package for program, package in needed.items() if shutil.which(program) is None]


def account() -> str:
    """Who has the desktop: the user `demo` is no account of this machine. Root gets none."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    name = os.environ.get("SUDO_USER", "")
    with contextlib.suppress(KeyError):
        if name and pwd.getpwnam(name).pw_uid != 0:
            return name
    return NOBODY


def plan(folder: Path, port: int) -> DemoDesktop:
    """The desktop of a demo whose broker listens on this port."""
    with socket.create_server((LOOPBACK, 0)) as chosen:
        listen = f"{LOOPBACK}:{chosen.getsockname()[1]}"
    origins = ", ".join(f"http://{host}:{port}" for host in (LOOPBACK, "localhost"))
    options = {
        "account": account(),
        "command": ["xterm", "-geometry", "100x32+40+40", "-fa", "Monospace", "-e", "bash"],
    }
    kind = {
        "script": "tigervnc.py",
        "count": 2,
        "description": "A terminal on this machine",
        "options": options,
        "idle-minutes": 60,
        "stop-at-logout": True,
        "pam-service": "",  # nothing of the demo is installed on the host
    }
    # a Unix socket has room for 107 characters, and others must be able to enter the folder
    name = hashlib.sha256(f"{os.geteuid()} {folder.absolute()}".encode("utf-8", "surrogateescape")).hexdigest()[:12]
    state = Path(tempfile.gettempdir()) / f"x2gobroker-demo-{name}"
    variables = {"X2GOBROKER_REMOTE_FOLDER": str(state)}
    if os.geteuid() == 0:  # the demo's files are root's
        variables |= {"X2GOBROKER_DAEMON_USER": "root", "X2GOBROKER_DAEMON_GROUP": "root"}
    # the service believes only what nobody else can have written: the demo's own folder may lie anywhere
    types = state / "session-types.json"
    settings = SETTINGS.format(types=types, listen=listen, origins=origins)
    return DemoDesktop(settings, variables, kind, types)


def write_types(desktop: DemoDesktop) -> None:
    """Write the file of session types. Raises OSError, ConfigurationError."""
    folder = desktop.types.parent
    try:
        make_state_folder(folder)
    except ScriptError as error:
        raise ConfigurationError(str(error)) from None
    with safe_folder(folder, os.geteuid(), os.getegid()) as opened:
        opened.write(desktop.types.name, json.dumps({TYPE: desktop.type}, indent=2).encode() + b"\n", 0o644)


@contextlib.contextmanager
def served(config: Path, variables: dict[str, str]) -> Iterator[None]:
    """`x2gobroker-remote` for the length of a `with` block. Raises ConfigurationError when it cannot be started."""
    arguments = [sys.executable, "-m", "x2gobroker.cli.remote.service", "-C", str(config), "-i"]
    if shutil.which("setpriv"):  # of util-linux: the desktop's service ends with the demo, even if that is killed
        arguments = ["setpriv", "--pdeathsig", "TERM", "--", *arguments]
    try:
        process = subprocess.Popen(arguments, env={**os.environ, **variables}, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise ConfigurationError(f"x2gobroker-remote cannot be started: {error.strerror}") from None
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(KILL_SECONDS)
        with contextlib.suppress(OSError):  # not there, or a desktop that could not be stopped is in it
            state = Path(variables["X2GOBROKER_REMOTE_FOLDER"])
            for file in state.glob("*.json"):
                file.unlink()
            state.rmdir()
