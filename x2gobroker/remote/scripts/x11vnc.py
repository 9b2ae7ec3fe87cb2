"""Session script: an X server that exists already, with whatever it shows, by x11vnc; on this host or another by SSH.

A process of x11vnc is started for each connection, and speaks over its standard input and output: no port is opened.

Options of the session type:
  display    the X server, `:0`; or a list, one for each index
  auth       its Xauthority file, or `guess`; by default the one in the home folder of the account
  host       the host of the X server, by SSH; or a list, one for each index. By default this host
  account    who runs x11vnc: on this host the user who signed in by default, on another whom SSH logs in as
  ssh        further arguments of ssh, as a list, such as ["-i", "/etc/x2go/broker/remote_key"]
  x11vnc     further arguments of x11vnc, as a list
  seconds    how long x11vnc may take to answer, 20
SSH logs in without asking: with a key of the service's account, to a host whose key is known. That host needs x11vnc
and python3.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

from x2gobroker.remote.kept import DesktopError, KeptDesktop, account_faults, account_of, words_of
from x2gobroker.remote.script import RemoteServiceScript
from x2gobroker.remote.told import NOT_INSTALLED

DISPLAY = re.compile(r":[0-9]{1,5}(\.[0-9])?")
NAME = re.compile(r"[A-Za-z0-9_.:][A-Za-z0-9_.:%-]*")
SSH = ("-T", "-a", "-x", "-e", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15")
# x11vnc reads and writes one and the same socket, and sshd gives a command two pipes: this joins them, over there
JOIN = """\
import os, socket, subprocess, sys, threading
ours, theirs = socket.socketpair()
server = subprocess.Popen(sys.argv[1:], stdin=theirs, stdout=theirs)
theirs.close()
def send():
    for data in iter(lambda: os.read(0, 65536), b""):
        ours.sendall(data)
    ours.shutdown(socket.SHUT_RDWR)
threading.Thread(target=send, daemon=True).start()
with open(1, "wb", 0) as out:
    for data in iter(lambda: ours.recv(65536), b""):
        while data:
            data = data[out.write(data):]
server.wait(10)
"""
JOIN_WORDS = ("python3", "-I", "-S", "-c", JOIN)


class X11VNC(KeptDesktop):
    """One X server."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.display = self._one_of("display", ":0")
        self.host = self._one_of("host", "")
        self.auth = str(self._common_options.get("auth", ""))
        self.ssh = words_of(self._common_options.get("ssh", []), "ssh")
        self.further = words_of(self._common_options.get("x11vnc", []), "x11vnc")
        if not DISPLAY.fullmatch(self.display):
            raise ValueError(f"the option display must be such as :0, and is {self.display!r}")
        for name in filter(None, (self.host, str(self._common_options.get("account", "")))):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a host or an account")

    def _one_of(self, option: str, usual: str) -> str:
        """The value for this index, where an option has one for each."""
        value = self._common_options.get(option, usual)
        if isinstance(value, list):
            if len(value) < self._count:
                raise ValueError(f"the option {option} must have {self._count} items, as count says")
            value = value[self._index]
        if not isinstance(value, str):
            raise ValueError(f"the option {option} must be a text, or a list of texts")
        return value

    @property
    def user(self) -> str:
        """SSH is run by our own account; x11vnc on this host by the option `account`, or the user who signed in."""
        if self.host:
            return pwd.getpwuid(os.geteuid()).pw_name
        return str(self._common_options.get("account") or super().user)

    def check(self) -> Iterator[str]:
        """What no connection could be made with."""
        if self.host:
            yield from self.check_common(())
            return
        yield from self.check_common(("x11vnc",))
        yield from account_faults(self._common_options)

    def plan(self, size: str, arguments: Sequence[str]) -> dict[str, Any]:
        """x11vnc, for each connection. The X server has the size that it has."""
        words = ["x11vnc", "-inetd", "-display", self.display, "-shared", "-nopw"]
        words += ["-auth", self.auth] if self.auth else []
        words += [*self.further, *arguments]
        if not self.host:
            if shutil.which("x11vnc") is None:
                raise DesktopError("x11vnc is not installed: install the package x11vnc", NOT_INSTALLED)
            self.progress("Connecting to the screen")
            return {"user": account_of(self.user), "each": words}
        login = ["-l", str(self._common_options["account"])] if self._common_options.get("account") else []
        self.progress(f"Connecting to {self.host}")
        # ssh hands one text to a shell on the other host: every word is quoted for it
        return {
            "user": None,
            "each": ["ssh", *SSH, *self.ssh, *login, "--", self.host, shlex.join([*JOIN_WORDS, *words])],
        }


def realize_service(
    name: str = "", count: int = 1, index: int = 0, common_options: dict[str, Any] | None = None
) -> RemoteServiceScript:
    """The script object of one slot."""
    return X11VNC(name, count=count, index=index, common_options=common_options)
