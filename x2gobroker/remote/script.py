"""What a session type's script is: one object for each slot, which starts a VNC server and ends it again.

The names and the order of arguments are those of the remote sessions of CEI Nexus, so that scripts written for that
product run unchanged: `from nexus_remote_service import RemoteServiceScript` gives this class. `set_unix_socket`,
`set_password`, `poll` and `progress` are ours.

An object may be made anew at any time: each call of `start`, `poll` and `stop` can come in another process. So what
`stop` needs must follow from name and index, or lie in a file in `state_folder`.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from x2gobroker.remote.limits import Limits

LONGEST_HOST = 255
LARGEST_PORT = 65535
LONGEST_SOCKET_PATH = 107  # sun_path of unix(7) has 108 bytes, with the zero at its end
LONGEST_PROGRESS = 200
POLL_SECONDS = 2.0
ACCEPTS = 0x00010000  # __SO_ACCEPTCON in the flags of /proc/net/unix
LISTENS = "0A"  # TCP_LISTEN in the states of /proc/net/tcp
PROC_NET = Path("/proc/net")


class RemoteServiceScript:
    """The base class of all scripts. `index` runs from 0 to `count` - 1; `common_options` are the type's `options`.

    A script writes `start` and `stop`; both end with the call of these here. `start` returns False when there is no
    session. What a script prints goes to the log of the service.
    """

    gives_sound = False  # whether sessions of its kind can have sound at all

    def __init__(
        self, name: str = "", count: int = 1, index: int = 0, common_options: Mapping[str, Any] | None = None
    ) -> None:
        self._name = name
        self._count = count
        self._index = index
        self._common_options: dict[str, Any] = dict(common_options or {})
        self._hostname = "localhost"
        self._port = 0
        self._unix_socket = ""
        self._password: str | None = None
        self._token = ""
        self._timestamp = 0.0
        self._options: dict[str, Any] = {}
        self._state_folder: Path | None = None
        self._limits = Limits()
        self._pam_service = ""  # none
        self._is_one_of_several = False  # whether its user may have others of this type beside it
        self._clipboard_bytes = 0  # what the VNC server has to take
        self._wants_sound = False
        self._failure = ""  # for the user
        self._listener: Callable[[str], None] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r} {self._index} of {self._count}>"

    @property
    def state_folder(self) -> Path:
        """The folder of the service for sockets and notes; the same for all slots. Raises RuntimeError without one."""
        if self._state_folder is None:
            raise RuntimeError("the script was not loaded by the service: it has no folder for its state")
        return self._state_folder

    def start(self, token: str, timestamp: float | None = None, options: Mapping[str, Any] | None = None) -> bool:
        """Start the session of one user, and say where its VNC server is. False: there is none.

        `token` names the session, and is no secret; `timestamp` is when it was asked for, in seconds of the epoch.
        `options` has at least `username`, `size` (as chosen, like 1600x1200) and `arguments` (a list of texts).
        """
        self._token = token
        self._timestamp = time.time() if timestamp is None else timestamp
        self._options = dict(options or {})
        self._failure = ""
        return True

    def stop(self) -> bool:
        """End the session and everything that belongs to it. False: something of it may still run."""
        self._token = ""
        return True

    def set_host_port(self, host: str, port: int) -> None:
        """Say that the VNC server listens there. Raises ValueError for what is no host or no port."""
        number = int(port)
        if not isinstance(host, str) or not host or len(host) > LONGEST_HOST or not host.isprintable():
            raise ValueError("the host of a VNC server must be a name or an address")
        if not 0 < number <= LARGEST_PORT:
            raise ValueError(f"{number} is no TCP port; they go from 1 to {LARGEST_PORT}")
        self._hostname, self._port, self._unix_socket = host, number, ""

    def set_unix_socket(self, path: str | Path) -> None:
        """Say that the VNC server listens on this Unix socket. Raises ValueError for a relative or too long path."""
        text = str(path)
        if not text.startswith("/") or "\0" in text:
            raise ValueError("the path of a Unix socket must begin with /")
        if len(text.encode("utf-8", "surrogateescape")) > LONGEST_SOCKET_PATH:
            raise ValueError(f"the path of a Unix socket has at most {LONGEST_SOCKET_PATH} bytes: {text}")
        self._unix_socket, self._hostname, self._port = text, "localhost", 0

    def set_password(self, password: str | None) -> None:
        """The password that the VNC server asks for; the service gives it, and no browser sees it. None: no password.

        VNC uses its first 8 bytes only, in UTF-8.
        """
        self._password = password

    def fail(self, text: str) -> bool:
        """Tell the user why there is no session, in a sentence or two: `return self.fail("...")` in `start`."""
        self._failure = _in_one_line(text)
        return False

    def poll(self) -> bool:
        """Whether the session runs. By default: whether something listens where `start` said.

        For targets on this host nothing is connected: TigerVNC shuts out an address after a few connections
        that come to nothing.
        """
        if self._unix_socket:
            return _listens_on_path(self._unix_socket)
        if not self._port:
            return False
        if _is_loopback(self._hostname):
            return _listens_on_port(self._port)
        try:
            with socket.create_connection((self._hostname, self._port), POLL_SECONDS):
                return True
        except OSError:
            return False

    def check(self) -> Iterable[str]:
        """What is wrong with the options, each in a sentence, for `x2gobroker check-config`. It must start nothing."""
        return ()

    def progress(self, text: str) -> None:
        """Tell the user who waits what is being done, in a few words."""
        if self._listener is not None:
            self._listener(_in_one_line(text))


def _in_one_line(text: object) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in str(text))[:LONGEST_PROGRESS]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _listens_on_port(port: int) -> bool:
    """Whether any process of this host listens on a TCP port, by proc(5)."""
    for name in ("tcp", "tcp6"):
        try:
            lines = (PROC_NET / name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] == LISTENS and int(words[1].rpartition(":")[2], 16) == port:
                return True
    return False


def _listens_on_path(path: str) -> bool:
    """Whether any process of this host listens on a Unix socket, by proc(5)."""
    try:
        lines = (PROC_NET / "unix").read_text(encoding="utf-8", errors="surrogateescape").splitlines()[1:]
    except OSError:
        return False
    for line in lines:
        words = line.split(maxsplit=7)
        if len(words) == 8 and words[7] == path and int(words[3], 16) & ACCEPTS:
            return True
    return False
