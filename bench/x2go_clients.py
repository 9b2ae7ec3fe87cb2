"""Client programs of X2Go Servers, ours and the reference's, and what they show on a screen."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from Xlib import X
from Xlib.display import Display
from Xlib.error import BadWindow

from bench.load import WrongAnswerError
from bench.x2go_driver import OURS
from tests.support.accounts import Account
from tests.support.debian_broker import PYTHON
from tests.support.desktop import Desktop
from tests.support.x2go_server import X2GoServer

DRIVER = Path(__file__).with_name("x2go_driver.py")
DEBIAN_LIBRARY = Path("/usr/lib/python3/dist-packages/x2go")
REFERENCE = "reference"
COMMAND = "xterm"
WINDOW_CLASS = "XTerm"
PATIENCE = 120.0
STOP_SECONDS = 15.0


@dataclass(frozen=True)
class Answer:
    """What a call returned, and when it began and ended."""

    value: Any
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


class Client:
    """A driver program that runs, for one user."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], user: Account, log: Path) -> None:
        self.name = name
        self.user = user
        self.log = log
        self._process = process

    def send(self, call: str, **arguments: Any) -> None:
        """Begin a call."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([call, arguments]).encode() + b"\n")
        self._process.stdin.flush()

    def has_answered(self) -> bool:
        """Whether `receive` does not have to wait."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def receive(self, seconds: float = PATIENCE) -> Answer:
        """The answer of the call that was begun. Raises WrongAnswerError when it failed."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            raise WrongAnswerError(f"{self.name}: no answer within {seconds:g} s: {self._said()}")
        answer = json.loads(self._process.stdout.readline() or "{}")
        if "value" not in answer:
            raise WrongAnswerError(f"{self.name}: {answer.get('error', 'it ended')}: {self._said()}")
        return Answer(answer["value"], answer["begin"], answer["end"])

    def call(self, call: str, seconds: float = PATIENCE, **arguments: Any) -> Answer:
        """One call."""
        self.send(call, **arguments)
        return self.receive(seconds)

    def act(self, action: str) -> Answer:
        """An action that has to work."""
        answer = self.call("act", action=action)
        if not answer.value:
            raise WrongAnswerError(f"{self.name}: {action} does not work: {self._said()}")
        return answer

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-1000:]

    def stop(self) -> None:
        """End the program."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)


@contextlib.contextmanager
def client(name: str, server: X2GoServer, user: Account, desktop: Desktop, folder: Path) -> Iterator[Client]:
    """A client program with a home folder of its own."""
    home = folder / f"{name}-{user.name}-{time.monotonic_ns()}"
    (home / "ssh").mkdir(parents=True, mode=0o700)
    known = home / "ssh" / "known_hosts"
    known.write_text(server.known_hosts(), encoding="ascii")
    given = {
        "server": "127.0.0.1",
        "port": server.port,
        "username": user.name,
        "password": user.password,
        "known_hosts": str(known),
        "folder": str(home),
        "cmd": COMMAND,
        "sshd": server.sshd.pid,
    }
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home), "LANG": "C.UTF-8", "USER": "root"}
    log = home / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            # -P: the modules beside the driver are not for it
            [sys.executable if name == OURS else PYTHON, "-P", str(DRIVER), name, json.dumps(given)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0, cwd=home,
            env={**environment, "LOGNAME": "root", **desktop.environment},
        )  # fmt: skip
    running = Client(name, process, user, log)
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(home)


class Screen:
    """The windows of sessions on a display, as they come and go: the display tells, it is not asked again and again."""

    def __init__(self, desktop: Desktop) -> None:
        before = os.environ.get("XAUTHORITY")
        os.environ["XAUTHORITY"] = str(desktop.authority)
        try:
            self._display = Display(desktop.display)
        finally:
            os.environ.pop("XAUTHORITY")
            if before is not None:
                os.environ["XAUTHORITY"] = before
        self._root = self._display.screen().root
        self._root.change_attributes(event_mask=X.PropertyChangeMask)
        self._clients = self._display.intern_atom("_NET_CLIENT_LIST")

    def shows_one(self) -> bool:
        """Whether a window of a session can be seen."""
        listed = self._root.get_full_property(self._clients, X.AnyPropertyType)
        return any(self._is_shown(number) for number in (listed.value if listed is not None else ()))

    def _is_shown(self, number: int) -> bool:
        window = self._display.create_resource_object("window", number)
        try:
            name = window.get_wm_class()
            return name is not None and name[1] == WINDOW_CLASS and window.get_attributes().map_state == X.IsViewable
        except BadWindow:  # it went this moment
            return False

    def wait(self, shown: bool, check: Callable[[], None] = lambda: None, seconds: float = PATIENCE) -> float:
        """When (time.monotonic()) a window stands, or none does any more. `check` is called now and then."""
        end = time.monotonic() + seconds
        while self.shows_one() != shown:
            check()
            if time.monotonic() > end:
                raise WrongAnswerError(f"{'no' if shown else 'a'} window within {seconds:g} s")
            if not self._display.pending_events():
                select.select([self._display.fileno()], [], [], 0.02)
            while self._display.pending_events():
                self._display.next_event()
        return time.monotonic()

    def close(self) -> None:
        """Leave the display."""
        self._display.close()
