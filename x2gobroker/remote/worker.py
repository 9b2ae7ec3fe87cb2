"""The process of one slot: it has the rights that scripts need, loads the slot's script, and calls it.

It does what the service asks, one thing after the other, and believes none of it: crossing.py has all that may be
asked. For whom, with what and where is decided here, from the file of session types and from what scripts have said.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from x2gobroker.errors import BrokerError
from x2gobroker.privilege import Account, AccountError, MessageError, account_named, read_message, write_message
from x2gobroker.remote.bounded import BoundedOutput
from x2gobroker.remote.crossing import (
    FROM_WORKER,
    LONGEST_PASSWORD,
    LONGEST_REASON,
    TO_WORKER,
    printable,
)
from x2gobroker.remote.files.process import fork_files
from x2gobroker.remote.files.session import FileRules
from x2gobroker.remote.kept import KeptDesktop
from x2gobroker.remote.keys import OUT
from x2gobroker.remote.loader import ScriptError, describe, realize
from x2gobroker.remote.permits import GroupsOf, NotPermittedError, check_account, is_locked, options_for
from x2gobroker.remote.places import Place, PlaceFile
from x2gobroker.remote.script import LONGEST_PROGRESS, LONGEST_SOCKET_PATH, RemoteServiceScript
from x2gobroker.remote.sound.process import fork_sound
from x2gobroker.remote.target import connect_to
from x2gobroker.remote.told import FAULTS, MORE_MEMORY, NOT_PERMITTED, SAID
from x2gobroker.remote.types import SessionType
from x2gobroker.remote.userprocess import Forked

LARGEST_MESSAGE = 1 << 16
MOST_FILES = 16  # connections for files at one desktop
MOST_SOUND = 8

FindType = Callable[[str], SessionType]
Fields = dict[str, Any]
Answer = tuple[str, Fields]
DONE: Answer = ("done", {})


def no_groups(_user: str) -> frozenset[str] | None:
    """Where there is no name service: nobody's groups are known."""
    return None


class NotStartedError(BrokerError):
    """A script has not started its session. The text is for the log, `told` for the user."""

    def __init__(self, text: str, told: str) -> None:
        super().__init__(text)
        self.told = told


@dataclass(frozen=True)
class Means:
    """What workers go by: the session types, the folder of the scripts' state, who has which groups, and the account
    that connects to VNC servers for users who have none on this host.

    `find_type` raises BrokerError where there is no session type of that name.
    """

    find_type: FindType
    folder: Path
    groups_of: GroupsOf = no_groups
    stranger: str = ""


class Worker:
    """One slot's process. `means` are its own; the channel leads to the service."""

    def __init__(self, channel: socket.socket, means: Means, type_name: str, index: int) -> None:
        self._channel = channel
        self._means = means
        self._type_name = type_name
        self._index = index
        self._file = PlaceFile(means.folder, type_name, index)
        self._kind: SessionType | None = None
        self._made: RemoteServiceScript | None = None
        self._stopped = False
        self._files = UserProcesses(MOST_FILES, "files")
        self._sound = UserProcesses(MOST_SOUND, "sound")

    def serve(self) -> int:
        """Until the service closes its end. Returns the exit status."""
        said = [BoundedOutput(stream) for stream in (sys.stdout, sys.stderr)]
        sys.stdout, sys.stderr = said
        with contextlib.suppress(BrokenPipeError):
            while data := self._channel.recv(LARGEST_MESSAGE + 1):  # descriptors that come with it are dropped
                descriptors: list[int] = []
                for stream in said:
                    stream.begin()
                try:
                    self._send(*self._do(data, descriptors), descriptors)
                finally:
                    for descriptor in descriptors:
                        os.close(descriptor)
        return 0

    def _do(self, data: bytes, descriptors: list[int]) -> Answer:
        """The answer to one message; the reason where there is none."""
        try:
            message = read_message(data, TO_WORKER)
            match message["do"]:
                case "load":
                    self._script()
                    return DONE
                case "start":
                    return self._start(message)
                case "poll":
                    return self._poll()
                case "stop":
                    return self._stop()
                case "connect":
                    return self._connect(message["token"], descriptors)
                case "files":
                    return self._give_files(message["token"], descriptors)
                case "sound":
                    return self._give_sound(message["token"], descriptors)
                case _:
                    return self._look()
        except MessageError as error:
            complain(f"a worker was sent what it does not take: {error}")
            return _refused(str(error))
        except NotStartedError as error:
            return _refused(str(error), error.told)
        except NotPermittedError as error:
            return _refused(str(error), NOT_PERMITTED)
        except BrokerError as error:
            return _refused(str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - see below
            # whatever an administrator's script raises is its own slot's failure
            return _refused(f"the script failed: {describe(error)}")

    def _send(self, kind: str, fields: Fields, descriptors: list[int] | None = None) -> None:
        socket.send_fds(self._channel, [write_message(kind, fields, FROM_WORKER)], descriptors or [])

    def _place(self) -> Place | None:
        """What the slot's script has said, here or in an earlier process. Raises ScriptError."""
        try:
            return self._file.read()
        except OSError as error:
            raise ScriptError(f"what is noted of the desktop cannot be read: {error.strerror or error}") from error

    def _script(self) -> RemoteServiceScript:
        """The slot's script, made at first use, and told where its desktop is. Raises BrokerError, ValueError."""
        if self._made is None:
            kind, place = self._means.find_type(self._type_name), self._place()
            if place is None and self._index >= kind.count:
                raise ScriptError(f"the session type has {kind.count} places, and none with the number {self._index}")
            made = realize(kind, self._index, self._means.folder)
            made._listener = self._tell
            if place is not None:
                place.tell(made)
            self._kind, self._made = kind, made
        return self._made

    def _tell(self, text: str) -> None:
        self._send("progress", {"text": printable(text, LONGEST_PROGRESS)})

    def _start(self, message: Fields) -> Answer:
        user, token = message["username"], message["token"]
        script, kind = self._script(), self._kind
        if kind is None or self._index >= kind.count:
            raise ScriptError(f"the session type has no place with the number {self._index}")
        options = options_for(kind, user, message["size"], self._means.groups_of)
        self._forget()
        found = script.start(token, timestamp=message["milliseconds"] / 1000, options=options)
        if found is not True:
            if found is False:
                why = script._failure
                raise NotStartedError(
                    f"the script says that it could not start the session: {why or 'its output says more'}",
                    why if why in FAULTS or not why else SAID + why,
                )
            raise ScriptError(f"the script's start must return True or False, and returned {_kind(found)}")
        place = Place.said_by(script, token, user)
        if not place.unix and not place.port:
            raise ScriptError("the script has started a session, and not said where: it must call set_host_port")
        self._write(place)
        self._stopped = False
        unix = printable(place.unix, LONGEST_SOCKET_PATH)
        return "started", {"host": place.host, "port": place.port, "unix": unix}

    def _write(self, place: Place) -> None:
        try:
            self._file.write(place)
        except OSError as error:
            raise ScriptError(f"where the desktop is cannot be noted: {error.strerror or error}") from error

    def _forget(self) -> None:
        try:
            self._file.remove()
        except OSError as error:
            raise ScriptError(f"what is noted of the last desktop stays: {error.strerror or error}") from error

    def _poll(self) -> Answer:
        script = self._script()
        alive = script.poll()
        if not isinstance(alive, bool):
            raise ScriptError(f"the script's poll must return True or False, and returned {_kind(alive)}")
        place = self._place()
        if self._stopped and not alive:
            self._forget()
        by_itself = not alive and not self._stopped
        why = script.ended_why() if by_itself and isinstance(script, KeptDesktop) else ""
        locked = place is not None and is_locked(place.username)
        memory = why.startswith(MORE_MEMORY)  # what the desktop itself has said stands behind
        return "polled", {"alive": alive, "locked": locked, "memory": memory, "why": printable(why, LONGEST_REASON)}

    def _stop(self) -> Answer:
        found = self._script().stop()
        # scripts that return nothing are common, and mean no harm: whether it is gone is for poll to say
        if found is False:
            raise ScriptError("the script says that something of the session may still run")
        self._stopped = True
        return DONE

    def _look(self) -> Answer:
        """Whether anything answers where the desktop was, without the script, which may not load any more."""
        place, bare = self._place(), RemoteServiceScript()
        if place is None:
            raise ScriptError("where the desktop was is not known")
        place.tell(bare)
        return "polled", {"alive": bare.poll(), "locked": False, "memory": False, "why": ""}

    def _connect(self, token: str, descriptors: list[int]) -> Answer:
        """A connection to the desktop of this use of the slot, made with its user's rights."""
        script, place, user = self._whose(token)
        now = Place.said_by(script, token, user)  # a script may find it again elsewhere
        with connect_to(now if now.unix or now.port else place, user, self._means.stranger) as connected:
            descriptors.append(os.dup(connected.fileno()))
        password = now.password
        return "connected", {"asks": password is not None, "password": (password or "")[:LONGEST_PASSWORD]}

    def _whose(self, token: str) -> tuple[RemoteServiceScript, Place, str]:
        """The script and place of this use of the slot, and as whom the desktop's programs run. Raises BrokerError."""
        script, place = self._script(), self._place()
        if place is None or place.token != token:
            raise ScriptError("no desktop runs here for that use of the slot")
        check_account(place.username)
        user = place.username
        if isinstance(script, KeptDesktop):
            script._options = {**script._options, "username": user}
            user = script.user  # a script that ships may run the desktop as somebody else: the option `account`
        return script, place, user

    def _give_files(self, token: str, descriptors: list[int]) -> Answer:
        """A process that works with the files of whoever has the desktop, and what leads to it."""
        _, _, user = self._whose(token)
        rules = FileRules.of(self._means.find_type(self._type_name))  # as the file is now: a way can be closed
        if not rules.opens:
            raise ScriptError("the session type lets no files in or out")
        return self._files.open(user, lambda account: fork_files(account, rules), descriptors)

    def _give_sound(self, token: str, descriptors: list[int]) -> Answer:
        """A process that sends what whoever has the desktop plays in it, and what leads to it."""
        script, _, user = self._whose(token)
        if self._means.find_type(self._type_name).sound != OUT:
            raise ScriptError("the session type lets no sound out")
        source = script.sound_source() if isinstance(script, KeptDesktop) else None
        if source is None:
            raise ScriptError("it has no sound server: this host lacks one, or sound was allowed after its start")
        return self._sound.open(user, lambda account: fork_sound(account, source), descriptors)


class UserProcesses:
    """The processes that do one kind of work as the user of a desktop: at most so many at a time."""

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._pids: set[int] = set()

    def open(self, user: str, make: Callable[[Account], Forked], descriptors: list[int]) -> Answer:
        """One more, and what leads to it. Raises BrokerError, OSError."""
        account = account_named(user)
        if account.uid == 0:
            raise AccountError(f"there is no connection for {self._what} of root")
        self._pids = {pid for pid in self._pids if _runs(pid)}
        if len(self._pids) >= self._most:
            raise ScriptError(f"there are {self._most} connections for {self._what} already")
        made = make(account)
        self._pids.add(made.pid)
        descriptors += [made.connection.detach(), made.reports.detach()]
        return "opened", {}


def complain(text: str) -> None:
    """Say it where the service's log goes; a log that is full or gone ends no process that others depend on."""
    with contextlib.suppress(OSError):
        os.write(2, f"x2gobroker-remote: {text}\n".encode("utf-8", "replace"))


def _refused(reason: str, told: str = "") -> Answer:
    return "refused", {
        "reason": printable(reason, LONGEST_REASON),
        "told": printable(told, LONGEST_PROGRESS + len(SAID)),
    }


def _runs(pid: int) -> bool:
    """Whether a child of this process still runs; who has ended is no more afterwards."""
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:  # a script has waited for whatever ends
        return False


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
