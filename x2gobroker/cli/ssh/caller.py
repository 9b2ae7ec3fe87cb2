"""Who asks the broker over SSH, and how a call gets from the user's process to one of the broker's account.

sshd starts `x2gobroker-ssh` as the user. That process may not read what is the broker's own, so it starts the program
anew as the broker's account, by sudo. The arguments go through a memory file on standard input: sudo logs command
lines, and an authid or a new password must be in no log. Nothing in the environment says who the user is or where the
configuration is: the user could have written it.
"""

from __future__ import annotations

import json
import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import BinaryIO, NoReturn

from x2gobroker.errors import BrokerError
from x2gobroker.model.json_text import JsonError, read_json

PIPED = "--piped"
SUDO = "/usr/bin/sudo"
MAX_CALL = 256 * 1024
MOST_WORDS = 128  # clients send some thirty; reading them takes longer than in proportion
DEFAULT_ACCOUNT = "x2gobroker"
DEFAULTS = Path("/etc/x2go/broker/defaults.conf")
NAMES_ACCOUNT = re.compile(r"^\s*X2GOBROKER_DAEMON_USER\s*[=:]", re.IGNORECASE | re.MULTILINE)


class CallError(BrokerError):
    """A call that is not answered. `status` is the exit status; the text says what to do."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Call:
    """The arguments of a call, SSH_CLIENT as sshd set it, and what `--newpass -` stands for."""

    words: tuple[str, ...] = field(repr=False)
    ssh_client: str = ""
    newpass: str = field(default="", repr=False)


@dataclass(frozen=True)
class Caller:
    """Who asks. `trusted` is the broker's own account: it may act for others and choose the configuration."""

    user: str
    trusted: bool


def broker_account(defaults: Path) -> pwd.struct_passwd:
    """The account that the broker runs as, by the file of variables. Raises CallError when there is no such account."""
    name = DEFAULT_ACCOUNT
    try:
        text = defaults.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    if NAMES_ACCOUNT.search(text):  # else the settings need not be loaded, which takes a while
        from x2gobroker.settings import SettingsSource

        settings = SettingsSource({"X2GOBROKER_DEFAULTS": str(defaults)}, program="ssh").current()
        name = settings.environment("X2GOBROKER_DAEMON_USER")
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise CallError(
            f"there is no account {name} for the broker: make it, or set X2GOBROKER_DAEMON_USER in {defaults}"
        ) from None


def who_asks(broker: pwd.struct_passwd, environ: Mapping[str, str], piped: bool) -> Caller:
    """Who started this process, which runs as the broker's account. Raises CallError when nobody can say.

    Under sudo that is SUDO_UID, which sudo sets itself. Behind a setuid wrapper the real user ID is the caller's, and
    everything in the environment may be, so that SUDO_UID does not count.
    """
    real = os.getuid()
    number = environ.get("SUDO_UID", "") if real == broker.pw_uid else str(real)
    if piped and (real != broker.pw_uid or not number):
        raise CallError(f"{PIPED} is for calls by sudo; start x2gobroker-ssh without it", 2)
    if not number:
        return Caller(broker.pw_name, True)
    if not (number.isascii() and number.isdigit() and len(number) <= 10):
        raise CallError("SUDO_UID is no user ID, so nobody knows who asks")
    try:
        user = pwd.getpwuid(int(number)).pw_name
    except (KeyError, OverflowError):
        raise CallError(f"there is no account with the user ID {number}, so nobody knows who asks") from None
    return Caller(user, int(number) == broker.pw_uid)


def pack(call: Call) -> bytes:
    """A call as it goes to the process of the broker's account. Raises CallError for what is too long or no text."""
    if len(call.words) > MOST_WORDS:
        raise CallError("there are too many arguments", 2)
    try:
        "\0".join((*call.words, call.ssh_client, call.newpass)).encode("utf-8")
    except UnicodeEncodeError:
        raise CallError("the arguments are no UTF-8 text", 2) from None
    packed = json.dumps(astuple(call)).encode("ascii")
    if len(packed) > MAX_CALL:
        raise CallError("the arguments are too long", 2)
    return packed


def unpack(stream: BinaryIO) -> Call:
    """Read a call. Raises CallError for anything that `pack` does not write: whoever may use sudo may send anything."""
    data = stream.read(MAX_CALL + 1)
    try:
        found = read_json(data, MAX_CALL)
    except JsonError:
        found = None
    match found:
        case [[*words], str() as ssh_client, str() as newpass] if all(isinstance(word, str) for word in words):
            call = Call(tuple(words), ssh_client, newpass)
        case _:
            raise CallError("what came on standard input is no call", 2)
    pack(call)
    return call


def hand_over(call: Call, account: str, program: Path) -> NoReturn:
    """Become sudo, and with it this program as the broker's account. Raises CallError when that cannot be started."""
    packed = pack(call)
    if not program.exists():
        raise CallError(f"there is no {program}; link x2gobroker-ssh there")
    descriptor = os.memfd_create("x2gobroker-ssh")
    try:
        with open(descriptor, "wb", buffering=0, closefd=False) as stream:
            stream.write(packed)
    except OSError as error:
        raise CallError(f"the arguments cannot be handed on: {error.strerror}; see `ulimit -f`") from None
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.dup2(descriptor, 0)
    words = ("sudo", "-n", "-u", account, "--", str(program), PIPED)
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "TERM": os.environ.get("TERM", "dumb")}
    try:
        os.execve(SUDO, words, environ)  # noqa: S606 - a fixed program, no shell
    except OSError as error:
        raise CallError(f"{SUDO} cannot be started: {error.strerror}; install sudo") from None
