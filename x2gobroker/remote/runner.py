"""Where scripts of session types run: each slot in a process of its own, which a spawner forks.

The spawner has the rights that scripts need, most often root's, and no network; the service that forks it gives its
own rights away. It only knows session types of the configured file, and ends only processes that it has forked.
Messages are JSON, one in each packet of a Unix socket.

A worker loads its script, and calls it. What hangs, or ends its process, costs that slot only: the service ends the
worker and makes another one, which goes on from what the store knows of the desktop.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pwd
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from x2gobroker.errors import BrokerError
from x2gobroker.remote.kept import KeptDesktop
from x2gobroker.remote.loader import ScriptError, describe, realize
from x2gobroker.remote.script import RemoteServiceScript
from x2gobroker.remote.target import connect_to
from x2gobroker.remote.types import SessionType

LARGEST_MESSAGE = 1 << 16
STATE_MODE = 0o711  # accounts reach their own sockets below it, and cannot list those of others
SHADOW = Path("/etc/shadow")
DAY_SECONDS = 86400

FindType = Callable[[str], SessionType]
Action = Callable[[dict[str, Any], list[int]], dict[str, Any]]


def fork_spawner(find_type: FindType, folder: Path) -> tuple[int, socket.socket]:
    """Fork the spawner; its process ID, and our end of the socket. `folder` is where scripts keep their state.

    To be called before there are threads.
    """
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            mine.close()
            status = _Spawner(theirs, find_type, folder).serve()
        finally:
            os._exit(status)
    theirs.close()
    mine.setblocking(False)
    return pid, mine


class _Spawner:
    """The spawner's loop. Workers are waited for only when the service says that it is done with them.

    Until then a process ID cannot belong to somebody else, so that a signal never goes astray.
    """

    def __init__(self, control: socket.socket, find_type: FindType, folder: Path) -> None:
        self._control = control
        self._find_type = find_type
        self._folder = folder
        self._workers: dict[int, int] = {}

    def serve(self) -> int:
        """Until the service closes its end, or dies: then all workers end, and desktops stay."""
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        _close_all_but(self._control)
        gc.freeze()  # workers share more memory when the collector leaves alone what is there now
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._control, LARGEST_MESSAGE, 1)
            if not data:
                break
            message = json.loads(data)
            if message["do"] == "worker" and descriptors:
                self._fork(int(message["id"]), str(message["type"]), int(message["number"]), descriptors[0])
            elif message["do"] == "end":
                self._end(int(message["id"]), bool(message["group"]))
        for number in list(self._workers):
            self._end(number, group=False)
        return 0

    def _fork(self, number: int, type_name: str, index: int, descriptor: int) -> None:
        channel = socket.socket(fileno=descriptor)
        try:
            pid = os.fork()
        except OSError as error:
            print(f"x2gobroker-remote: no process for a script: {error.strerror}", file=sys.stderr)
            channel.close()
            return
        if pid == 0:
            status = 1
            try:
                for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(ignored, signal.SIG_DFL)
                os.setsid()
                _close_all_but(channel)
                status = Worker(channel, lambda: self._realize(type_name, index)).serve()
            finally:
                os._exit(status)
        channel.close()
        self._workers[number] = pid

    def _realize(self, type_name: str, index: int) -> RemoteServiceScript:
        return realize(self._find_type(type_name), index, self._folder)

    def _end(self, number: int, group: bool) -> None:
        """End a worker; with `group` also what its script has started and left in its process group."""
        pid = self._workers.pop(number, 0)
        if pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                (os.killpg if group else os.kill)(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _close_all_but(kept: socket.socket) -> None:
    """Keep the standard streams and this socket: what else is open belongs to the service."""
    os.closerange(3, kept.fileno())
    os.closerange(kept.fileno() + 1, 65536)


class Worker:
    """The process of one slot: does what the service asks, one thing after the other."""

    def __init__(self, channel: socket.socket, make: Callable[[], RemoteServiceScript]) -> None:
        self._channel = channel
        self._make = make
        self._made: RemoteServiceScript | None = None
        self._user = ""

    def serve(self) -> int:
        """Until the service closes its end. Returns the exit status."""
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        actions: dict[str, Action] = {"load": self._load, "start": self._start, "poll": self._poll, "stop": self._stop}
        actions |= {"connect": self._connect, "look": self._look}
        while data := self._channel.recv(LARGEST_MESSAGE):
            message = json.loads(data)
            descriptors: list[int] = []
            try:
                if message["do"] != "look":
                    self._restore(message)
                answer = actions[message["do"]](message, descriptors)
            except BrokerError as error:
                answer = {"ok": False, "reason": str(error)}
            except (Exception, SystemExit) as error:  # noqa: BLE001 - see below
                # whatever an administrator's script raises is its own slot's failure
                answer = {"ok": False, "reason": f"the script failed: {describe(error)}"}
            self._send(answer, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
        return 0

    def _send(self, answer: dict[str, Any], descriptors: list[int]) -> None:
        socket.send_fds(self._channel, [json.dumps(answer).encode()[:LARGEST_MESSAGE]], descriptors)

    def _restore(self, message: dict[str, Any]) -> None:
        """Load the script, and give it what the store knows of a desktop that another process has started."""
        if self._made is None:
            self._made = self._make()
            self._made._listener = lambda text: self._send({"progress": text}, [])
            _tell_place(self._made, message["known"])
            self._made.set_password(message["known"].get("password"))
        self._user = str(message.get("username", self._user))

    @property
    def _script(self) -> RemoteServiceScript:
        if self._made is None:
            raise ScriptError("the script is not loaded")
        return self._made

    def _load(self, _message: dict[str, Any], _descriptors: list[int]) -> dict[str, Any]:
        return {"ok": True}

    def _look(self, message: dict[str, Any], _descriptors: list[int]) -> dict[str, Any]:
        """Whether anything answers where the desktop was, without the script, which may not load any more."""
        bare = RemoteServiceScript()
        _tell_place(bare, message["known"])
        return {"ok": True, "alive": bare.poll()}

    def _start(self, message: dict[str, Any], _descriptors: list[int]) -> dict[str, Any]:
        script = self._script
        found = script.start(message["token"], timestamp=message["timestamp"], options=message["options"])
        if found is not True:
            if found is False:
                raise ScriptError("the script says that it could not start the session; its output says more")
            raise ScriptError(f"the script's start must return True or False, and returned {_kind(found)}")
        if not script._unix_socket and not script._port:
            raise ScriptError("the script has started a session, and not said where: it must call set_host_port")
        return {
            "ok": True,
            "host": script._hostname if script._port else "",
            "port": script._port,
            "unix": script._unix_socket,
            "password": script._password,
        }

    def _poll(self, _message: dict[str, Any], _descriptors: list[int]) -> dict[str, Any]:
        alive = self._script.poll()
        if not isinstance(alive, bool):
            raise ScriptError(f"the script's poll must return True or False, and returned {_kind(alive)}")
        return {"ok": True, "alive": alive, "locked": is_locked(self._user)}

    def _stop(self, _message: dict[str, Any], _descriptors: list[int]) -> dict[str, Any]:
        found = self._script.stop()
        # scripts that return nothing are common, and mean no harm: whether it is gone is for poll to say
        if found is False:
            raise ScriptError("the script says that something of the session may still run")
        return {"ok": True}

    def _connect(self, _message: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        script = self._script
        # a script that ships may run the desktop as somebody else: the option `account`
        owner = (script.user if isinstance(script, KeptDesktop) else "") or self._user
        with connect_to(script._hostname, script._port, script._unix_socket, owner) as target:
            descriptors.append(os.dup(target.fileno()))
        return {"ok": True}


def _tell_place(script: RemoteServiceScript, known: Mapping[str, Any]) -> None:
    """Tell a script where its desktop is, if that was noted."""
    if known.get("unix"):
        script.set_unix_socket(known["unix"])
    elif known.get("port"):
        script.set_host_port(known["host"], known["port"])


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def is_locked(user: str, shadow: Path = SHADOW) -> bool:
    """Whether an account of this host was locked (`usermod --lock`) or has expired, by shadow(5).

    False where that cannot be known: accounts of directories, or without root's rights.
    """
    try:
        lines = shadow.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    fields = next((line.split(":") for line in lines if line.partition(":")[0] == user), [])
    if len(fields) < 8:
        return False
    # usermod puts ! before a password; an account that never had one is not locked by that
    expired = fields[7].isdigit() and int(fields[7]) <= (date.today() - date(1970, 1, 1)).days
    return expired or (fields[1].startswith("!") and len(fields[1].lstrip("!*")) > 1)


def make_state_folder(folder: Path) -> None:
    """Make the folder where scripts keep their state. Raises ScriptError when it is not ours alone."""
    try:
        folder.mkdir(mode=STATE_MODE, parents=True, exist_ok=True)
        status = folder.lstat()
        if status.st_uid == os.geteuid():
            folder.chmod(STATE_MODE)
    except OSError as error:
        raise ScriptError(f"{folder} cannot be made: {error.strerror}; set X2GOBROKER_REMOTE_FOLDER") from error
    if status.st_uid != os.geteuid():
        owner = status.st_uid
        with contextlib.suppress(KeyError):
            raise ScriptError(f"{folder} belongs to {pwd.getpwuid(owner).pw_name}; set X2GOBROKER_REMOTE_FOLDER")
        raise ScriptError(f"{folder} belongs to the user with the number {owner}; set X2GOBROKER_REMOTE_FOLDER")
