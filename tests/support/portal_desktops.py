"""The portal in x2gobroker-daemon, and x2gobroker-remote beside it: no web server, but cables that can be pulled."""

from __future__ import annotations

import base64
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passlib.hash import sha512_crypt
from playwright.sync_api import Browser
from Xlib import X
from Xlib.display import Display

from tests.support.browser import COLOURS, tab
from tests.support.cable import Cable, cable
from tests.support.person import Person
from tests.support.processes import Program, free_port, running, wait_until
from tests.support.remote import Remote, remote
from x2gobroker.store import PortalSessions, Slot

PROGRAM = Path(sys.executable).parent / "x2gobroker-daemon"
PASSWORD = "Portal-pw-1"
USERS = ("anna", "bert")
DISPLAYS = 30000 + os.getpid() % 2000 * 10  # displays that no other test has
VNC_PASSWORD = "Vnc-pw-1"
CONFIG = """\
enable-portal = true
default-auth-mech = htpasswd
remote-websocket-url = ws://127.0.0.1:{websockets}/websockify
remote-origins = http://127.0.0.1:{port}, http://portal.localhost:{port}
{more}

[broker_inifile]
enable = true

[authmech_htpasswd]
file = {folder}/users
"""
# Xvnc with an xterm in it, whose input goes to a file; both end together
SCRIPT = """\
import os, signal, subprocess, time
from nexus_remote_service import RemoteServiceScript


class Terminal(RemoteServiceScript):
    def _file(self, kind):
        return self.state_folder / f"terminal-{self._name}-{self._index}.{kind}"

    def start(self, token, timestamp=time.time(), options={}):
        self.progress("waking up")
        time.sleep(self._common_options.get("sleep", 0))
        display = f":{self._common_options['display_base'] + self._index}"
        argv = ["Xvnc", display, "-geometry", options.get("size", "640x480"), "-depth", "24", "-rfbport", "-1",
                "-rfbunixpath", str(self._file("sock")), "-rfbunixmode", "0600", "-nolisten", "tcp", "-ac"]
        if "password" in self._common_options:
            file = self._file("passwd")
            made = subprocess.run(["vncpasswd", "-f"], input=self._common_options["password"].encode(),
                                  capture_output=True)
            file.write_bytes(made.stdout)
            argv += ["-SecurityTypes", "VncAuth", "-PasswordFile", str(file)]
        else:
            argv += ["-SecurityTypes", self._common_options.get("security", "None")]
        self._file("sock").unlink(missing_ok=True)
        self.progress("starting Xvnc")
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = subprocess.Popen(argv, **quiet, start_new_session=True)
        self._file("pid").write_text(str(server.pid))
        self.set_unix_socket(self._file("sock"))
        until = time.monotonic() + 20
        while not self._file("sock").exists() and time.monotonic() < until:
            time.sleep(0.05)
        typed = self._common_options.get("typed")
        if typed:
            word = self._common_options.get("copies", "")
            if word:
                word = f"read line; printf '\\\\033]52;c;{word}\\\\007'; "
            subprocess.Popen(["xterm", "-display", display, "-geometry", "100x30+0+0", "-xrm",
                              "XTerm*disallowedWindowOps:", "-xrm", "XTerm*allowWindowOps:true",
                              "-e", "sh", "-c", f"{word}exec cat >> {typed}"], **quiet, start_new_session=True)
        return super().start(token, timestamp, options)

    def stop(self):
        if self._file("pid").exists():
            try:
                os.kill(int(self._file("pid").read_text()), signal.SIGTERM)
            except ProcessLookupError:
                pass
            self._file("pid").unlink()
        return super().stop()


def realize_service(name="", count=1, index=0, common_options=dict()):
    return Terminal(name, count=count, index=index, common_options=common_options)
"""

NEVER_STARTS = """\
from nexus_remote_service import RemoteServiceScript


class Late(RemoteServiceScript):
    def start(self, *words, **options):
        return False

    def stop(self):
        return super().stop()


def realize_service(name="", count=1, index=0, common_options=dict()):
    return Late(name, count=count, index=index, common_options=common_options)
"""


@dataclass
class PortalDesktops:
    """A portal with desktops. Users: anna and bert, with PASSWORD."""

    service: Remote
    broker: Program
    pages: Cable
    websockets: Cable

    @property
    def url(self) -> str:
        """The portal's home page."""
        return f"http://127.0.0.1:{self.pages.port}/portal/"

    def pull(self) -> None:
        """The network goes away."""
        self.pages.pull()
        self.websockets.pull()

    def plug(self) -> None:
        """The network is back."""
        self.pages.plug()
        self.websockets.plug()


@contextlib.contextmanager
def portal_desktops(
    types: Mapping[str, Any], more: str = "", variables: Mapping[str, str] | None = None
) -> Iterator[PortalDesktops]:
    """Both programs. Session types may have the script `terminal.py`; `variables` are further ones of the broker."""
    port = free_port()
    with remote(types, start=False) as service, cable(port) as pages, cable(service.port) as websockets:
        service.write_script("terminal.py", SCRIPT)
        hashed = sha512_crypt.using(rounds=1000).hash(PASSWORD)
        (service.folder / "users").write_text("".join(f"{user}:{hashed}\n" for user in USERS), encoding="utf-8")
        with service.config.open("a", encoding="utf-8") as config:
            ports = {"websockets": websockets.port, "port": pages.port}
            config.write(CONFIG.format(**ports, folder=service.folder, more=more))
        (service.folder / "profiles.conf").write_text("", encoding="utf-8")
        service.start()
        env = {
            **service.env,
            "X2GOBROKER_SESSIONPROFILES": str(service.folder / "profiles.conf"),
            "X2GOBROKER_DEFAULT_BACKEND": "inifile",
            "X2GOBROKER_WORKERS": "1",
            "DAEMON_BIND_ADDRESS": f"127.0.0.1:{port}",
            **(variables or {}),
        }
        log = service.folder / "broker.log"
        with running([str(PROGRAM)], log, port=port, env=env, cwd=service.folder) as broker:
            try:
                yield PortalDesktops(service, broker, pages, websockets)
            finally:
                print(broker.output())  # pytest shows it where a test fails


def terminals(typed: Path) -> dict[str, Any]:
    """Session types with a terminal; all that is typed goes to a file. `Late` needs the script NEVER_STARTS.

    `Copies` copies a text when the first line has been typed, which does not go to the file.
    """
    sizes = {"sizes": ["800x600"]}
    copies = base64.b64encode(b"from the desktop").decode()
    options = {
        "Terminal": {"display_base": DISPLAYS, "typed": str(typed)} | sizes,
        "Copies": {"display_base": DISPLAYS + 2, "typed": str(typed), "copies": copies} | sizes,
        "Asks": {"display_base": DISPLAYS + 4, "password": VNC_PASSWORD} | sizes,
        "Slow": {"display_base": DISPLAYS + 6, "sleep": 2} | sizes,
        "Brief": {"display_base": DISPLAYS + 8} | sizes,
    }
    types: dict[str, Any] = {
        name: {"script": "terminal.py", "count": 2, "options": values} for name, values in options.items()
    }
    types["Brief"]["absolute-minutes"] = 4
    types["Late"] = {"script": "late.py", "count": 1, "options": sizes}
    return types


def stop_all(site: PortalDesktops) -> None:
    """Stop all that anna has, and wait for that."""
    for slot in site.service.desktops.of_user("anna"):
        site.service.desktops.ask_stop(slot)
    wait_until(
        lambda: not [s for s in site.service.desktops.of_user("anna") if s.state != "failed"], "all being stopped"
    )


def begin(site: PortalDesktops, person: Person, kind: str = "Terminal") -> Slot:
    """Take a place, and open its page."""
    slot = site.service.desktops.reserve(kind, 2, "anna", {"size": "800x600"}, "127.0.0.1")
    assert slot is not None
    person.go(f"{site.url}desktop/{slot.id}")
    return slot


def work(site: PortalDesktops, person: Person, kind: str = "Terminal") -> Slot:
    """The same, and wait until the keyboard is in its terminal."""
    slot = begin(site, person, kind)
    person.wait_for_phase("connected")
    person.wait_for("a picture", lambda: int(person.run(COLOURS)) >= 2)
    person.click_screen(60, 60)
    return slot


def wait_typed(person: Person, typed: Path, text: str) -> None:
    """Wait until a text has come to the terminals' file."""
    try:
        person.wait_for(f"{text!r} being typed", lambda: typed.exists() and text in typed.read_text(), 15)
    except AssertionError as error:
        raise AssertionError(f"{error}; typed: {typed.read_text()[-500:] if typed.exists() else None!r}") from error


def pointer_in(display: int) -> tuple[int, int, int]:
    """Where the pointer of a desktop is, and the state of its modifiers and buttons, as its X server has them."""
    connected = Display(f":{display}")
    try:
        found = connected.screen().root.query_pointer()
        return found.root_x, found.root_y, found.mask
    finally:
        connected.close()


def copied_in(display: int, patience: float = 20.0) -> str:
    """The text that a program of a desktop gets when it pastes, from what was copied."""
    connected = Display(f":{display}")
    try:
        window = connected.screen().root.create_window(0, 0, 1, 1, 0, X.CopyFromParent)
        text, place, clipboard = (connected.get_atom(name) for name in ("UTF8_STRING", "PASTED", "CLIPBOARD"))
        window.convert_selection(clipboard, text, place, X.CurrentTime)
        connected.flush()
        wait_until(lambda: connected.pending_events() > 0, "an answer to who pastes", patience)
        told = connected.next_event()
        assert told.type == X.SelectionNotify, told
        assert told.property == place, "there is no text"
        found = window.get_full_property(place, text)
        return bytes(found.value).decode() if found else ""
    finally:
        connected.close()


@contextlib.contextmanager
def anna_at(site: PortalDesktops, at: Browser | Person) -> Iterator[Person]:
    """Anna, signed in: in a new tab of a Chromium, or in the window of a Firefox. Her desktops are stopped then."""
    if isinstance(at, Browser):
        with tab(at) as made:
            made.sign_in(site.url, "anna", PASSWORD)
            yield made
    else:
        at.sign_in(site.url, "anna", PASSWORD)
        yield at
        at.go("about:blank")
        PortalSessions(site.service.store).close_all("anna")
    stop_all(site)
