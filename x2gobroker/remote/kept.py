"""Desktops that ship: a script's side of the process that keeps a desktop (`keeper.py`).

A desktop outlives whoever started it. Where it is follows from the session type's name and the index, and what it is
stands in a file there, which only the service's account can write (`uses.py`); so any later process can find it, ask
for it and end it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from x2gobroker.authservice.pamfiles import service_exists
from x2gobroker.errors import BrokerError
from x2gobroker.remote import ticket, userfolder
from x2gobroker.remote.hold import CGROUP, HOLDS, Cgroup, cgroup_root, children_of
from x2gobroker.remote.keys import PAM_SERVICE
from x2gobroker.remote.limits import Limits
from x2gobroker.remote.script import RemoteServiceScript
from x2gobroker.remote.told import NO_ACCOUNT, NOT_ROOT, SCRIPT_FAILED
from x2gobroker.remote.uses import Use, Uses

KEEPER = Path(__file__).resolve().parent / "keeper.py"
PROC = Path("/proc")
SYSTEMD = Path("/run/systemd/system")  # sd_booted(3)
MARK = "X2GOBROKER_REMOTE_DESKTOP"
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
LANGUAGE = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")
START_SECONDS = 20.0
LONGEST_START = 600.0
STOP_SECONDS = 15.0
SWEEP_SECONDS = 3.0
NOTE_SECONDS = 3.0
LARGEST_ANSWER = 4096
NO_LIBPAM = 'libpam.so.0 is not there: install libpam0g, or write "pam-service": ""'


class DesktopError(BrokerError):
    """A desktop does not start. The text is for the log; `told`, one of told.FAULTS, is for the user."""

    def __init__(self, text: str, told: str) -> None:
        super().__init__(text)
        self.told = told


class StartError(BrokerError):
    """A desktop does not start, for a reason that is for the log only."""


def words_of(value: object, what: str) -> list[str]:
    """A command of an option: a list of words, or one text that is cut as a shell would. Raises ValueError."""
    words = shlex.split(value) if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise ValueError(f"the option {what} must be a command: a text, or a list of texts")
    return words


def account_of(name: str) -> dict[str, Any] | None:
    """Whom to become for this user; None where this process is that user. Raises DesktopError where it must not be."""
    try:
        found = pwd.getpwnam(name)
    except (KeyError, ValueError) as error:
        raise DesktopError(f"there is no user {name!r} on this host", NO_ACCOUNT) from error
    if found.pw_uid == 0:
        raise DesktopError("root gets no desktop in the browser", NOT_ROOT)
    if found.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        mine = pwd.getpwuid(os.geteuid()).pw_name
        raise DesktopError(
            f"the service runs as {mine} and cannot start programs of {name}: run it as root", SCRIPT_FAILED
        )
    groups = os.getgrouplist(found.pw_name, found.pw_gid)
    return {"name": name, "uid": found.pw_uid, "gid": found.pw_gid, "groups": groups}


def account_faults(options: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the option `account` of a desktop on this host."""
    account = str(options.get("account") or "")
    if account:
        try:
            uid = pwd.getpwnam(account).pw_uid
        except (KeyError, ValueError):
            yield f"the option account names {account!r}, and there is no such user on this host"
            return
        if uid == 0:
            yield "the option account names root, who gets no desktop in the browser"


def environment_of(name: str, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a user's programs: what login(1) sets, the language of the service, and `more`."""
    found = pwd.getpwnam(name)
    who = {"HOME": found.pw_dir, "USER": name, "LOGNAME": name, "SHELL": found.pw_shell or "/bin/sh"}
    language = {key: os.environ[key] for key in LANGUAGE if key in os.environ}
    return {"PATH": SYSTEM_PATH, **language, **who, **more}


class KeptDesktop(RemoteServiceScript, ABC):
    """A script whose desktop is kept by `keeper.py`. A child class writes `plan`."""

    @property
    def user(self) -> str:
        """As whom the programs run: the user who signed in."""
        return str(self._options.get("username") or "")

    def check_common(self, programs: Sequence[str]) -> Iterator[str]:
        """What is wrong with options that scripts like this have in common; `programs` must be there."""
        for program in programs:
            if shutil.which(program, path=SYSTEM_PATH) is None:
                yield f"the command {program!r} is not there, or no program"
        seconds = self._common_options.get("seconds", START_SECONDS)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_START:
            yield f"the option seconds must be a number above 0, and at most {LONGEST_START:g}"
        yield from limit_faults(self._limits)

    def pam_faults(self) -> Iterator[str]:
        """What is wrong with the key `pam-service` on this host."""
        if self._pam_service and not service_exists(self._pam_service):
            yield no_service(self._pam_service)
        elif self._pam_service and not _has_libpam():
            yield f"pam-service: {NO_LIBPAM}"

    @abstractmethod
    def plan(self, size: str, arguments: Sequence[str]) -> dict[str, Any]:
        """The plan for `keeper.py`: `user`, and `server` with `session`, or `each`. Raises DesktopError, ValueError."""

    def start(self, token: str, timestamp: float | None = None, options: Mapping[str, Any] | None = None) -> bool:
        """Start the desktop; the log tells why when there is none."""
        super().start(token, timestamp, options)
        try:
            if not self.stop():
                raise StartError("what ran in this place before cannot be ended")
            self._token = token
            self._start()
        except (BrokerError, ValueError, OSError, subprocess.SubprocessError) as error:
            print(f"{self!r}: {error}")
            self._failure = error.told if isinstance(error, DesktopError) else ""
            return False
        return True

    def _start(self) -> None:
        plan = self.plan(str(self._options.get("size") or ""), list(self._options.get("arguments") or ()))
        # only root can open a session; and what each connection starts is none
        service = self._pam_service if plan["user"] and plan.get("session") else ""
        if service and not service_exists(service):
            raise DesktopError(no_service(service), SCRIPT_FAILED)
        use = self._uses.fresh()
        self.set_unix_socket(use.socket)
        environment = {**environment_of(self.user, {}), **plan.get("environment", {}), MARK: str(use.folder)}
        keep = {
            "server": None,
            "session": None,
            "each": None,
            **plan,
            "environment": environment,
            "folder": str(use.folder),
            "socket": self._unix_socket,
            "seconds": float(self._common_options.get("seconds", START_SECONDS)),
            # x11vnc looks at the processes of the host, and starts none of the user's
            "pam": service,
            "own_bus": self._is_one_of_several,
            "sound": str(use.sound) if self._wants_sound and self.gives_sound else "",
            "mark": MARK,
            "holds": [name for name in HOLDS if name == CGROUP or not plan.get("each")],
        }
        scope = scope_for(use, self._limits)
        keep |= {"limits": self._limits, "in_scope": bool(scope)}
        answer = _run_keeper(keep, scope)
        if answer.get("outcome") != "ready":
            _end(use)
            reason = answer.get("reason") or "the desktop did not come up"
            raise DesktopError(reason, answer["told"]) if answer.get("told") else StartError(reason)

    @property
    def _uses(self) -> Uses:
        return Uses(self.state_folder, self._name, self._index)

    def poll(self) -> bool:
        """Whether the process that keeps the desktop lives, and its socket is there."""
        for use in self._uses.all():
            state = use.state()
            if state is not None and _lives(state):
                self.set_unix_socket(state["socket"])
                return super().poll()
        return False

    def sound_source(self) -> dict[str, str] | None:
        """Where the desktop's sound is to be had, see `Use`; None where it has none."""
        return next((source for use in self._uses.all() if (source := use.sound_source())), None)

    def ended_why(self) -> str:
        """Which of its programs ended by itself, how, and its last words; nothing where that is not known.

        Where its VNC server has ended just now, the process that keeps it takes a moment to note that.
        """
        end = time.monotonic() + NOTE_SECONDS
        while True:
            uses = self._uses.all()
            may_note = time.monotonic() < end and any(_lives(state) for use in uses if (state := use.state()))
            why = next((why for use in uses if (why := use.ended())), "")
            if why or not may_note:
                return why
            time.sleep(0.02)

    def stop(self) -> bool:
        """End the desktop, and everything that belongs to it, also after a crash of the process that kept it."""
        ended = [_end(use) for use in self._uses.all()] if self._state_folder is not None else []
        return super().stop() and all(ended)


def _end(use: Use) -> bool:
    """End one use of a slot; whether nothing of it is left that runs."""
    state = use.state()
    if state is not None and _lives(state):
        with contextlib.suppress(ProcessLookupError):
            os.kill(state["pid"], signal.SIGTERM)
        if not _has_ended(state, STOP_SECONDS):  # a module of PAM hangs, perhaps in a program that it has started
            for number in (*children_of(state["pid"]), state["pid"]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            _has_ended(state, SWEEP_SECONDS)
    if state is not None and state["cgroup"] and not Cgroup(Path(state["cgroup"])).end():
        return False  # nothing in there could be killed at all
    if not _sweep(f"{MARK}={use.folder}"):
        return False
    if os.geteuid() == 0:
        userfolder.tidy()  # where its keeper was killed
        ticket.remove_left(use.folder)
    use.remove()
    return True


def scope_for(use: Use, limits: Limits) -> list[str]:
    """The words with which systemd starts a program in a scope of its own, where limits are wanted and systemd runs."""
    if not any(limits) or os.geteuid() != 0 or not SYSTEMD.is_dir():
        return []
    words = ["systemd-run", "--scope", "--quiet", "--collect", f"--unit=x2gobroker-desktop-{use.folder.name}"]
    return [*words, *(f"--property={text}" for text in limits.properties()), "--"]


def limit_faults(limits: Limits) -> Iterator[str]:
    """What to do where this host cannot keep limits: no desktop would start."""
    by_systemd = SYSTEMD.is_dir()
    lacking = limits.lacking(cgroup_root(), by_systemd)
    if not lacking:
        return
    keys, controllers = ", ".join(lacking), ", ".join(lacking.values())
    wanted = "have the topmost group hand them down (cgroup.subtree_control)"
    if by_systemd:
        wanted = "start the kernel with systemd.unified_cgroup_hierarchy=1"
        wanted += " cgroup_enable=memory" if "memory" in lacking.values() else ""
    yield (
        f"{keys}: no desktop starts with that, because the control groups of version 2 on this host lack the "
        f"controllers {controllers}: {wanted}, or leave the limits out"
    )


def no_service(service: str) -> str:
    """What to do where there is no such PAM service: libpam would take `other` for it, which lets nobody in."""
    put = f"run `x2gobroker remote setup`, which puts {PAM_SERVICE} there" if service == PAM_SERVICE else "put it there"
    return f'pam-service: there is no file {service} in /etc/pam.d: {put}, or write "pam-service": ""'


def _has_libpam() -> bool:
    try:
        ctypes.CDLL("libpam.so.0")
    except OSError:
        return False
    return True


def _run_keeper(plan: dict[str, Any], before: Sequence[str]) -> dict[str, str]:
    """Start the keeper, behind these words, and wait for its answer. An empty answer: it died."""
    process = subprocess.Popen(
        [*before, sys.executable, "-I", "-S", str(KEEPER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    stream = cast(IO[bytes], process.stdin)
    with cast(IO[bytes], process.stdout) as answers:
        with contextlib.suppress(BrokenPipeError), stream:
            stream.write(json.dumps(plan).encode("utf-8"))
        process.wait(START_SECONDS)  # the process that stays is a child of this one
        # the keeper has a deadline of its own; ending its programs takes a while too
        if not select.select([answers], [], [], plan["seconds"] + STOP_SECONDS)[0]:
            return {"reason": "the desktop neither came up nor failed in time"}
        line = answers.readline(LARGEST_ANSWER)
        try:
            answer = json.loads(line)
        except ValueError:
            return {}
        if answer.get("outcome") != "ready":
            select.select([answers], [], [], STOP_SECONDS)  # until it has ended
        return dict(answer)


def _lives(state: Mapping[str, Any]) -> bool:
    """Whether the process of a state file runs: the same number, begun at the same moment, and no zombie."""
    try:
        words = Path(f"/proc/{int(state['pid'])}/stat").read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return False
    fields = words.rpartition(")")[2].split()
    return fields[0] not in ("Z", "X") and int(fields[19]) == state["began"]


def _has_ended(state: Mapping[str, Any], seconds: float) -> bool:
    """Wait so long for the end of the process of a state file; whether it has come."""
    end = time.monotonic() + seconds
    while _lives(state):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _marked(mark: bytes, proc: Path = PROC) -> list[int]:
    """Processes with this entry in their environment, which we may look at and which can still do anything."""
    found = []
    for entry in os.listdir(proc):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError), open(proc / entry / "environ", "rb") as stream:
                if mark in stream.read(1 << 20).split(b"\0") and not is_killed(proc / entry):
                    found.append(int(entry))
    return found


def is_killed(process: Path) -> bool:
    """Whether SIGKILL is on its way to a process of proc(5): it waits for a disk or for a file system of its user's
    own, perhaps for ever, and does nothing more. Raises OSError.
    """
    # a process names itself, and might put more into a line than the kernel has: only a line feed ends one
    lines = (process / "status").read_text(encoding="utf-8", errors="replace").split("\n")
    pending = [line.split()[1] for line in lines if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(int(mask, 16) >> (signal.SIGKILL - 1) & 1 for mask in pending)


def _sweep(mark: str) -> bool:
    """Kill what carries the mark, for desktops whose keeper was killed; whether nothing is left."""
    wanted = os.fsencode(mark)
    end = time.monotonic() + SWEEP_SECONDS
    while left := _marked(wanted):
        for number in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
