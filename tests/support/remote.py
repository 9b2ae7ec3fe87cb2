"""Our x2gobroker-remote with session types of the test's own, and what the portal does for a user."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from tests.support.environment import own_environment
from tests.support.processes import Program, free_port, wait_until
from tests.support.rfb_client import RfbClient
from x2gobroker.store import RemoteDesktops, Slot, Store

PROGRAM = Path(sys.executable).parent / "x2gobroker-remote"
CONFIG = """\
[global]
remote-session-config = {folder}/types.json
remote-listen = 127.0.0.1:{port}
cookie-directory = {folder}/state
{more}
"""
STOPS = "remote-stop-with-service"
# Xvnc as a site's script would start it in a few lines
SCRIPT = """\
import os, signal, subprocess, time
from nexus_remote_service import RemoteServiceScript


class Plain(RemoteServiceScript):
    @property
    def _socket(self):
        return self.state_folder / f"plain-{self._name}-{self._index}.sock"

    @property
    def _note(self):
        return self.state_folder / f"plain-{self._name}-{self._index}.pid"

    def start(self, token, timestamp=time.time(), options={}):
        size = options.get("size", "640x480")
        display = self._common_options["display_base"] + self._index
        argv = ["Xvnc", f":{display}", "-geometry", size, "-depth", "24", "-rfbport", "-1", "-rfbunixpath",
                str(self._socket), "-rfbunixmode", "0600", "-nolisten", "tcp", "-ac"]
        password = self._common_options.get("password")
        if password:
            file = self.state_folder / f"plain-{self._name}-{self._index}.passwd"
            file.write_bytes(subprocess.run(["vncpasswd", "-f"], input=password.encode(), capture_output=True).stdout)
            argv += ["-SecurityTypes", "VncAuth", "-PasswordFile", str(file)]
            if self._common_options.get("tell"):
                self.set_password(password)
        else:
            argv += ["-SecurityTypes", "None"]
        self._socket.unlink(missing_ok=True)
        self.progress("starting Xvnc")
        started = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
        self._note.write_text(str(started.pid))
        self.set_unix_socket(self._socket)
        return super().start(token, timestamp, options)

    def stop(self):
        if self._note.exists():
            try:
                os.kill(int(self._note.read_text()), signal.SIGTERM)
            except ProcessLookupError:
                pass
            self._note.unlink()
        return super().stop()


def realize_service(name="", count=1, index=0, common_options=dict()):
    return Plain(name, count=count, index=index, common_options=common_options)
"""


class OwnersStore(Store):
    """The store as the account opens it that owns it: a test is root, and plays the portal."""

    def _make_file(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)


class Remote:
    """One service in a folder of its own, as root with scripts of the test's own."""

    def __init__(self, types: Mapping[str, Any], more: str = "", variables: Mapping[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="our-remote-", dir="/var/lib"))
        self.folder.chmod(0o755)
        self.scripts_state = self.folder / "run"
        self.port = free_port()
        self.log = self.folder / "log"
        self.config = self.folder / "x2gobroker.conf"
        if STOPS not in more:
            more = f"{STOPS} = true\n{more}"  # so that nothing is left of a test; sections may follow
        self.config.write_text(CONFIG.format(folder=self.folder, port=self.port, more=more), encoding="utf-8")
        self.write_script("plain.py", SCRIPT)
        self.write_types(types)
        self.env = {
            **own_environment(self.folder, self.config),
            "X2GOBROKER_REMOTE_FOLDER": str(self.scripts_state),
            "X2GOBROKER_DAEMON_USER": "root",
            **(variables or {}),
        }
        self.store = OwnersStore(URL.create("sqlite", database=str(self.folder / "state/x2gobroker.sqlite")))
        self.desktops = RemoteDesktops(self.store)
        self.program: Program | None = None

    def write_script(self, name: str, text: str) -> None:
        """Put a script beside the file of session types."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def write_types(self, types: Mapping[str, Any]) -> None:
        """The session types from now on."""
        fresh = self.folder / "types.new"
        fresh.write_text(json.dumps(types, indent=1), encoding="utf-8")
        fresh.rename(self.folder / "types.json")

    def start(self) -> Program:
        """Start the service, and wait until it takes connections."""
        before = self.said().count("is ready")
        program = self.start_anyhow()
        program.wait_for_port(self.port)
        wait_until(lambda: self.said().count("is ready") > before, "the service being ready")
        return program

    def start_anyhow(self) -> Program:
        """Start the service, whether or not it can."""
        self.program = Program([str(PROGRAM)], self.log, env=self.env)
        return self.program

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the service; its exit status."""
        assert self.program is not None
        return self.program.stop(how)

    def said(self) -> str:
        """What the service has logged."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def reserve(self, kind: str, user: str = "anna", count: int = 1, size: str = "320x200") -> Slot:
        """A place for a user, as the portal takes it."""
        slot = self.desktops.reserve(kind, count, user, {"size": size}, "127.0.0.1")
        assert slot is not None
        return slot

    def connect(self, slot: Slot, view_only: bool = False, **more: Any) -> RfbClient:
        """A browser of the slot's user."""
        return RfbClient(self.port, self.desktops.token(slot, slot.username, "127.0.0.1", view_only), **more)

    def state(self, slot: Slot) -> str:
        """What has become of a slot; `gone` when it is free."""
        found = self.desktops.find(slot.id)
        return "gone" if found is None else found.state

    def wait_for_state(self, slot: Slot, *states: str, deadline: float = 30.0) -> None:
        """Wait until the slot is in one of these states."""
        wait_until(lambda: self.state(slot) in states, f"{slot.type}/{slot.number} being {states}", deadline)


@contextlib.contextmanager
def remote(
    types: Mapping[str, Any], more: str = "", variables: Mapping[str, str] | None = None, start: bool = True
) -> Iterator[Remote]:
    """A service for the length of a `with` block; what its scripts have left running ends with it."""
    made = Remote(types, more, variables)
    try:
        if start:
            made.start()
        yield made
    finally:
        if made.program is not None:
            made.program.stop()
            print(made.said())  # pytest shows it where a test fails
        made.store.close()
        for process in servers_below(made.folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(made.folder)


def servers_below(folder: Path) -> list[int]:
    """Process IDs of the VNC servers whose socket is in this folder, and of whatever else names it."""
    found = []
    mark = str(folder).encode()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else [b""]
            if Path(words[0].decode()).name in ("Xvnc", "python3") and any(mark in word for word in words):
                found.append(int(entry.name))
    return found
