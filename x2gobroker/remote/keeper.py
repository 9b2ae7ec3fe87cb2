"""The process that owns one desktop: it starts the VNC server and the user's programs, and ends them all, wholly.

It is started by `kept.py`, on its own and with little more than the standard library (`hold.py`, `display.py`), so
that it is small and outlives a restart of the service. It reads its plan (JSON, see `Keeper`) from the standard input.
On the standard output it says `ready` with the display's name, or `failed` with the reason. It ends at SIGTERM, when
the VNC server ends, or when the user's desktop command does. All that the user's programs leave behind ends with it,
see `hold.py`.

The socket of the desktop is made here, in a folder of the service's, and only listened on in the user's name: the VNC
server gets it ready made. So the user needs no folder to make it in, and everybody can see whose it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from typing import BinaryIO, NoReturn

sys.path.append(str(Path(__file__).resolve().parents[2]))  # it is run as a file, without any site-packages

from x2gobroker.remote.display import DISPLAY_TRIES, USUAL_DISPLAYS, display_words, readable_by, xauthority
from x2gobroker.remote.hold import (
    CGROUP,
    NAMESPACE,
    Cgroup,
    fork_into_namespace,
    own_cgroup,
    own_stat,
)
from x2gobroker.remote.limits import NO_LIMITS, Limits, LimitsError, MemoryWatch
from x2gobroker.remote.listening import MOST_CONNECTIONS, listen
from x2gobroker.remote.login import BUS, Login, bus_words
from x2gobroker.remote.programs import TERM_SECONDS, NoDesktopError, Plan, Programs
from x2gobroker.remote.sound import server as sound
from x2gobroker.remote.ticket import LOOK_SECONDS
from x2gobroker.remote.told import MORE_MEMORY, LoginError
from x2gobroker.remote.userfolder import UserFolderError, share

PR_SET_CHILD_SUBREAPER = 36
LARGEST_PLAN = 1 << 20
GREETING = b"RFB "
BUS_SECONDS = 5.0
LONGEST_ADDRESS = 512

_prctl = ctypes.CDLL(None, use_errno=True).prctl


class Keeper:
    """One desktop. `plan`: `folder`, `socket`, `user` (name, uid, gid, groups, home; None: stay who we are),
    `environment`, `seconds` to come up, and either `server` and `session`, or `each`: commands as lists of words. `pam`
    is the PAM service, `mark` the variable by which processes are known: PAM cannot change that. `own_bus`: it gets a
    session bus of its own, also where the user has one. `sound` is the socket of a sound server for `session`; empty:
    there is to be none. `stat` is who this process is outside. `cgroup` holds the others, where there is one; else,
    where `is_first`, the PID namespace does.
    """

    def __init__(self, plan: Plan, answer: BinaryIO, stat: str, cgroup: Cgroup | None, is_first: bool) -> None:
        self.plan = plan
        self.answer = answer
        self.stat = stat
        self.end = time.monotonic() + float(plan["seconds"])
        self.programs = Programs(plan, cgroup, is_first)
        self.server = 0
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.told_to_end = False

    def log_in(self) -> None:
        """Have the user logged in, where that is wanted. Raises NoDesktopError."""
        if not self.plan["pam"]:
            return
        programs = self.programs
        try:
            programs.login = login = Login(self.plan["pam"], self.plan["user"], self.plan["folder"], programs.note)
            login.open()
            if login.moved and programs.cgroup is not None:  # into a scope of systemd: the programs belong there
                within = Cgroup.make(os.path.basename(self.plan["folder"]))
                if within is not None:
                    programs.cgroup.end()
                    programs.cgroup = within
                    write_state(self.plan, self.stat, within)
            self.plan["environment"] = login.environment(self.plan["environment"], self.plan["mark"])
        except LoginError as error:
            raise NoDesktopError(str(error), error.told) from error

    def log_out(self) -> None:
        """The reverse, when no program of the user's is left."""
        login = self.programs.login
        if login is not None:
            login.close_session()
            self.programs.end_those(signal.SIGKILL, lambda _child: True)  # what modules have started
            login.leave_folder()

    def set_limits(self, limits: Limits) -> None:
        """Limit what all programs together may take. Raises NoDesktopError where that cannot be.

        In a scope of systemd that has been done, as far as the kernel has the controllers. Where PAM has moved us into
        the scope of a session, that one is limited in its place.
        """
        if not any(limits):
            return
        login, cgroup = self.programs.login, self.programs.cgroup
        group = own_cgroup() if self.plan["in_scope"] else cgroup.path if cgroup is not None else None
        try:
            if group is None:
                raise LimitsError(NO_LIMITS)
            if not self.plan["in_scope"]:
                limits.write(group)
            elif login is not None and login.moved:
                limits.tell_systemd(group.name)
            limits.check(group)
        except LimitsError as error:
            raise NoDesktopError(str(error)) from error
        if limits.megabytes:
            self.programs.memory = MemoryWatch(group)
            self.programs.memory.spare()

    def start_server(self) -> str:
        """Start the VNC server, and then the user's desktop in it. Gives the display's name. Raises NoDesktopError."""
        cookie = os.urandom(16)
        authority = self.write_authority("", cookie)
        self.listen()
        for attempt in range(DISPLAY_TRIES):
            words = display_words(USUAL_DISPLAYS + attempt)
            text = self.try_server([*self.plan["server"], *words, "-auth", authority])
            if text or not words:
                break
        if not text:
            raise NoDesktopError("the VNC server ended at once" + self.programs.last_words())
        self.listener.close()
        number = text.decode("ascii", "replace").strip()
        self.write_authority(number, cookie)
        self.plan["environment"].update(DISPLAY=f":{number}", XAUTHORITY=authority)
        self.start_sound()  # before the bus, which starts programs as well
        self.start_bus()
        self.programs.main[self.programs.spawn(self.plan["session"], last_breath=False)] = "its desktop command"
        return f":{number}"

    def start_bus(self) -> None:
        """Start a session bus for the user's programs, where they have none, or are to have one of their own. They do
        without if it does not come up.
        """
        readable, writable = os.pipe2(os.O_CLOEXEC)
        environment, text = self.plan["environment"], b""
        try:
            wanted = self.programs.login is not None and (BUS not in environment or self.plan["own_bus"])
            words = bus_words(self.plan["session"], environment, writable) if wanted else []
            if not words:
                return
            self.programs.spawn(words, last_breath=False, pass_fds=(writable,))
            os.close(writable)
            writable = -1
            os.set_blocking(readable, False)
            end = min(self.end, time.monotonic() + BUS_SECONDS)
            while not text.endswith(b"\n") and time.monotonic() < end:
                self.programs.turn(0.005)
                with contextlib.suppress(BlockingIOError):
                    if not (data := os.read(readable, LONGEST_ADDRESS)):
                        break
                    text += data
        except NoDesktopError as error:
            self.programs.note(str(error))
        finally:
            os.close(readable)
            if writable >= 0:
                os.close(writable)
        if text.endswith(b"\n"):
            environment[BUS] = text.decode("utf-8", "surrogateescape").strip()
        elif words:
            self.programs.note(f"{words[0]} gives no session bus")

    def start_sound(self) -> None:
        """Start a sound server for the user's programs, where that is wanted. They do without if it does not start."""
        if not self.plan["sound"]:
            return
        try:
            sound.start(self.plan, self.programs)
        except (NoDesktopError, OSError) as error:
            self.programs.note(f"no sound: {error}")

    def try_server(self, words: list[str]) -> bytes:
        """Start it; what it says of its display, nothing when it ended. Raises NoDesktopError when it is too slow."""
        readable, writable = os.pipe2(os.O_CLOEXEC)
        try:
            # -inetd comes last: it sends what Xvnc says nowhere
            words = [*words, "-displayfd", str(writable), "-inetd"]
            self.server = self.programs.spawn(words, last_breath=True, stdin=self.listener, pass_fds=(writable,))
            os.close(writable)
            writable = -1
            os.set_blocking(readable, False)
            self.programs.main = {self.server: "its VNC server"}
            text = b""
            while not text.endswith(b"\n"):
                self.programs.turn(0.02)
                with contextlib.suppress(BlockingIOError):
                    text += os.read(readable, 16)
                if not self.programs.main:
                    self.programs.ending = self.told_to_end
                    return b""
                if time.monotonic() > self.end or self.programs.ending:
                    raise NoDesktopError(
                        f"the VNC server did not come up within {self.plan['seconds']:g} s" + self.programs.last_words()
                    )
            return text
        finally:
            os.close(readable)
            if writable >= 0:
                os.close(writable)

    def listen(self) -> None:
        """Make the socket, in our folder, and listen in the user's name. Raises OSError."""
        listen(self.listener, self.plan["socket"], self.plan["user"])

    def write_authority(self, display: str, cookie: bytes) -> str:
        """Put the display's cookie where server and user find it. File and folder are ours: the user only reads it."""
        path = os.path.join(self.plan["folder"], "xauthority")
        with open(path + ".new", "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
            stream.write(xauthority(display, cookie))
            if self.plan["user"]:
                self.let_read(stream.fileno(), self.plan["user"]["uid"])
        os.rename(path + ".new", path)
        return path

    def let_read(self, number: int, uid: int) -> None:
        """Let a user read an open file of ours. Raises NoDesktopError where the file system cannot say so."""
        try:
            os.setxattr(number, "system.posix_acl_access", readable_by(uid))
        except OSError as error:
            raise NoDesktopError(
                f"{self.plan['folder']} must be on a file system with access control lists: {error.strerror}"
            ) from error

    def start_listener(self) -> str:
        """Listen, for a VNC server that is started for each connection; try it once. Raises NoDesktopError."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.programs.connections.add(
                self.programs.spawn(self.plan["each"], last_breath=True, stdin=theirs, stdout=theirs)
            )
            theirs.close()
            ours.setblocking(False)
            text = b""
            while len(text) < len(GREETING):
                self.programs.turn(0.02)
                with contextlib.suppress(BlockingIOError):
                    data = ours.recv(len(GREETING) - len(text))
                    if not data:
                        raise NoDesktopError("the VNC server ended at once" + self.programs.last_words())
                    text += data
                if time.monotonic() > self.end:
                    raise NoDesktopError(
                        f"the VNC server did not answer within {self.plan['seconds']:g} s" + self.programs.last_words()
                    )
        if text != GREETING:
            raise NoDesktopError("what answers is no VNC server" + self.programs.last_words())
        self.listen()
        self.listener.setblocking(False)
        self.programs.selector.register(self.listener, selectors.EVENT_READ, self.take_connection)
        return ""

    def take_connection(self, _number: int) -> None:
        """Start a VNC server for one connection."""
        with contextlib.suppress(BlockingIOError):
            connection, _ = self.listener.accept()
            with connection:
                if len(self.programs.connections) < MOST_CONNECTIONS:
                    with contextlib.suppress(NoDesktopError):
                        argv = self.plan["each"]
                        made = self.programs.spawn(argv, last_breath=True, stdin=connection, stdout=connection)
                        self.programs.connections.add(made)

    def say(self, **words: str) -> None:
        """Answer whoever started this process; that one may be gone."""
        with contextlib.suppress(OSError):
            self.answer.write(json.dumps(words).encode("ascii") + b"\n")
            self.answer.flush()

    def finish(self) -> None:
        """End everything: first politely the programs, then the VNC server, then whatever is left."""
        # it listens for connections only where a server is started for each; it is closed where one has it
        with contextlib.suppress(KeyError, ValueError):
            self.programs.selector.unregister(self.listener)
        self.listener.close()
        self.programs.end_those(signal.SIGTERM, lambda child: child != self.server)
        self.programs.end_those(signal.SIGTERM, lambda child: child == self.server)
        self.programs.end_all()
        end = time.monotonic() + TERM_SECONDS
        while (
            self.programs.reap() and time.monotonic() < end
        ):  # the last ones; not every first process of a host does that
            time.sleep(0.005)
        self.log_out()
        for name in ("state.json", "xauthority", sound.NOTE):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self.plan["folder"], name))
        for path in (self.plan["socket"], self.plan["sound"]):
            with contextlib.suppress(OSError):
                os.unlink(path)

    def note_end(self) -> None:
        """Leave word of what has ended, for whoever asks why the desktop is gone. A full disk takes the word only."""
        if self.programs.memory is not None and self.programs.memory.killed_lately():
            self.programs.ended = MORE_MEMORY + (f": {self.programs.ended}" if self.programs.ended else "")
        if not self.programs.ended:  # somebody has ended it
            return
        with contextlib.suppress(OSError), open(os.path.join(self.plan["folder"], "ended"), "wb") as stream:
            stream.write((self.programs.ended + self.programs.last_words()).encode("utf-8", "replace"))

    def end_soon(self, *_: object) -> None:
        """Somebody wants it to end."""
        self.programs.ending = self.told_to_end = True

    def run(self) -> None:
        """The whole life of the desktop."""
        wake, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        self.programs.selector.register(wake, selectors.EVENT_READ, lambda number: os.read(number, 4096))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.end_soon)
        for number in (signal.SIGCHLD, signal.SIGHUP):  # not SIG_IGN, which the user's programs would inherit
            signal.signal(number, lambda *_: None)
        try:
            write_state(self.plan, self.stat, self.programs.cgroup)
            self.log_in()
            self.set_limits(Limits(*self.plan["limits"]))
            display = self.start_server() if self.plan["server"] else self.start_listener()
            self.say(outcome="ready", display=display)
            self.answer.close()
            while not self.programs.ending:
                self.programs.turn(LOOK_SECONDS if self.programs.login is not None else 60.0)
                if self.programs.login is not None:
                    self.programs.login.look()
            self.note_end()  # also when systemd ends a scope in which memory ran out
        except (NoDesktopError, OSError) as error:
            self.finish()
            self.say(outcome="failed", reason=str(error), told=getattr(error, "told", ""))
            return
        self.finish()


def write_state(plan: Plan, stat: str, cgroup: Cgroup | None) -> None:
    """Note who this process is, for whoever has to find it: its ID, and when it began (field 22 of proc(5) stat)."""
    began = int(stat.rpartition(")")[2].split()[19])
    pid = int(stat.partition(" ")[0])
    state = {"pid": pid, "began": began, "socket": plan["socket"], "cgroup": str(cgroup.path) if cgroup else ""}
    path = os.path.join(plan["folder"], "state.json")
    with open(path + ".new", "w", encoding="ascii") as stream:
        json.dump(state, stream)
    os.rename(path + ".new", path)


def main() -> NoReturn:
    """Read the plan, leave the process that started this one, and keep the desktop."""
    plan: Plan = json.loads(sys.stdin.buffer.read(LARGEST_PLAN))
    cgroup = Cgroup.make(os.path.basename(plan["folder"])) if CGROUP in plan["holds"] else None
    wants_namespace = cgroup is None and NAMESPACE in plan["holds"] and os.geteuid() == 0
    if wants_namespace and plan["pam"]:
        with contextlib.suppress(OSError, UserFolderError):  # then each of a user's desktops has a folder of its own
            share()
    outside = fork_into_namespace() if wants_namespace else ""
    if not outside and os.fork():
        os._exit(0)
    os.chdir("/")
    os.umask(0o022)
    nothing = os.open(os.devnull, os.O_RDWR)
    answer = os.fdopen(os.dup(1), "wb")
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        keeper = Keeper(plan, answer, outside or own_stat(), cgroup, is_first=bool(outside))
        keeper.run()
        cgroup = keeper.programs.cgroup
    except OSError as error:
        with contextlib.suppress(OSError):
            answer.write(json.dumps({"outcome": "failed", "reason": str(error)}).encode("ascii"))
            answer.flush()
    if cgroup is not None:
        cgroup.end()
    os._exit(0)


if __name__ == "__main__":
    main()
