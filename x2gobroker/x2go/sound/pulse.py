"""The sound server of this client: where it is, what opens it, and how the first packet of its protocol looks.

Sources: PulseAudio 16.1, its manual pages pulse-client.conf(5) and pulseaudio(1), and what its programs send.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko

from x2gobroker.x2go.connection.streams import close_socket, connected
from x2gobroker.x2go.errors import X2GoException

Address = tuple[str, int] | str
PULSE_PORT = 4713
COOKIE_BYTES = 256
STARTING_SECONDS = 4.0
LOOK_SECONDS = 0.1
GREETING_SECONDS = 10.0
PROGRAM = "pulseaudio"
MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")

# A packet: length, channel, two halves of an offset, flags; channel 0xffffffff is for commands. The first command is
# AUTH (8): its number, a tag, the version of the protocol, the cookie; a letter before each says what it is.
HEADER = struct.Struct(">IIIII")
GREETING = struct.Struct(">cIcIcIcI")
COMMANDS = 0xFFFFFFFF
AUTH = 8
VERSION_BITS = 0xFFFF  # the others offer memory that both sides share, which nothing can through a tunnel

_starting = threading.Lock()


class StrangerException(X2GoException):
    """Who came through the tunnel does not know the cookie, or does not speak this protocol."""


# ------------------------------------------------------------ where it is


def find_server(port: int = PULSE_PORT) -> Address | None:
    """Where the running sound server of this user is: host and port, or the path of its socket; None for nowhere.

    A `port` other than the usual one is one that somebody chose; only that counts then.
    """
    candidates = _places() if port == PULSE_PORT else iter(())
    for address in candidates:
        if _answers(address):
            return address
    address = ("127.0.0.1", port)
    return address if _answers(address) else None


def _places() -> Iterator[Address]:
    """Where libpulse looks, in its order."""
    for word in os.environ.get("PULSE_SERVER", "").split():
        address = _parsed(word)
        if address is not None:
            yield address
    for variable, below in (("PULSE_RUNTIME_PATH", ""), ("XDG_RUNTIME_DIR", "pulse")):
        if os.environ.get(variable):
            yield os.path.join(os.environ[variable], below, "native")
    yield f"/run/user/{os.geteuid()}/pulse/native"
    for name in MACHINE_IDS:
        with contextlib.suppress(OSError):
            link = _settings() / f"{Path(name).read_text('ascii')[:64].strip()}-runtime"
            # it leads to a folder of /tmp, which may have become somebody else's
            folder = link.resolve()
            if folder.stat().st_uid == os.geteuid():
                yield str(folder / "native")


def _parsed(word: str) -> Address | None:
    """One word of $PULSE_SERVER: a path, `unix:PATH`, `HOST`, `tcp:HOST:PORT`; each with a `{machine}` before it."""
    word = re.sub(r"^\{[^}]*\}", "", word)
    if word.startswith(("/", "unix:")):
        return word.removeprefix("unix:")
    found = re.fullmatch(r"(?:tcp[46]?:)?(\[[0-9a-fA-F:]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?", word)
    return (found[1].strip("[]"), int(found[2] or PULSE_PORT)) if found else None


def _answers(address: Address) -> bool:
    try:
        close_socket(connected(address))
    except OSError:
        return False
    return True


def _settings() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(base) / "pulse"


def own_cookie() -> bytes | None:
    """What opens the sound server of this user, from $PULSE_COOKIE or the usual files; None when there is none."""
    places = (os.environ.get("PULSE_COOKIE", ""), _settings() / "cookie", Path(os.path.expanduser("~/.pulse-cookie")))
    for place in places:
        with contextlib.suppress(OSError), open(place, "rb") as file:
            cookie = file.read(COOKIE_BYTES)
            if len(cookie) == COOKIE_BYTES:
                return cookie
    return None


def start_server() -> Address:
    """Start the user's sound server, as any program does that wants to play; where it is then.

    It is nobody's child, and ends by itself when nobody has played for a while. Raises X2GoException.
    """
    if os.geteuid() == 0:
        raise X2GoException("no sound server runs here, and none is started for root; start PulseAudio")
    with _starting:
        address = find_server()
        if address is not None:
            return address
        quiet = subprocess.DEVNULL
        try:
            argv = [PROGRAM, "--start"]
            done = subprocess.run(argv, stdin=quiet, stdout=quiet, stderr=quiet, timeout=STARTING_SECONDS, check=False)
        except FileNotFoundError:
            raise X2GoException("no sound server runs here, and there is no pulseaudio; install PulseAudio") from None
        except (OSError, subprocess.TimeoutExpired):
            raise X2GoException("no sound server runs here, and pulseaudio --start does not work") from None
        end = time.monotonic() + STARTING_SECONDS
        while done.returncode == 0 and time.monotonic() < end:
            address = find_server()
            if address is not None:
                return address
            time.sleep(LOOK_SECONDS)
    raise X2GoException(f"pulseaudio --start ended with {done.returncode}, and no sound server runs here")


# ------------------------------------------------------------ who may use it


def admit(channel: paramiko.Channel, expected: bytes, own: bytes | None) -> bytes:
    """Read the first packet of a program that wants to play; the packet for the sound server in its place.

    The program has to know the cookie `expected`; `own` is put in its place. A sound server lets everybody in who
    comes to its socket as its user, and here that is this process: the cookie has to be checked before.
    Raises StrangerException; OSError when the connection ends.
    """
    end = time.monotonic() + GREETING_SECONDS
    size, number, *rest = HEADER.unpack(_exactly(channel, HEADER.size, end))
    if size != GREETING.size + COOKIE_BYTES or number != COMMANDS or any(rest):
        raise StrangerException("a program on the server does not speak the protocol of PulseAudio")
    body = _exactly(channel, size, end)
    command_type, command, tag_type, tag, version_type, version, cookie_type, length = GREETING.unpack_from(body)
    kinds = command_type + tag_type + version_type + cookie_type
    if kinds != b"LLLx" or command != AUTH or length != COOKIE_BYTES:
        raise StrangerException("a program on the server does not speak the protocol of PulseAudio")
    if not hmac.compare_digest(body[GREETING.size :], expected):
        raise StrangerException("a program on the server does not know the cookie of the session")
    greeting = GREETING.pack(b"L", AUTH, b"L", tag, b"L", version & VERSION_BITS, b"x", COOKIE_BYTES)
    return HEADER.pack(size, COMMANDS, 0, 0, 0) + greeting + (own or bytes(COOKIE_BYTES))


def _exactly(channel: paramiko.Channel, size: int, end: float) -> bytes:
    """So many bytes, before the time `end`. Raises OSError."""
    data = b""
    while len(data) < size:
        channel.settimeout(max(0.01, end - time.monotonic()))
        piece = channel.recv(size - len(data))
        if not piece:
            raise ConnectionResetError("the program on the server has gone")
        data += piece
    return data
