"""Session script: a desktop of the user's own, in TigerVNC's Xvnc, on a Unix socket that only the user can open.

Options of the session type:
  command  the desktop: a text, or a list of texts; by default what Debian starts for a login at the screen
  account  who has the desktop, where that is not the user who signed in
  depth    bits of a pixel, 24
  xvnc     further arguments of Xvnc, as a list
  seconds  how long Xvnc may take to come up, 20
A list of `arguments` for the user is put behind the command.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

from x2gobroker.remote.kept import (
    SYSTEM_PATH,
    DesktopError,
    KeptDesktop,
    StartError,
    account_faults,
    account_of,
    words_of,
)
from x2gobroker.remote.script import RemoteServiceScript
from x2gobroker.remote.sound.server import missing
from x2gobroker.remote.told import NO_SIZE, NOT_INSTALLED

PROGRAMS = ("Xvnc", "Xtigervnc")
# What display managers start. TigerVNC's own Xtigervnc-session has a window "VNC config" beside it, which nobody needs:
# Xvnc itself does the clipboard.
DESKTOPS = ("/etc/X11/Xsession", "/etc/X11/xinit/Xsession", "/usr/bin/xterm")
# as at the screen: the machine's keyboard (setxkbmap of x11-xkb-utils), and what /etc/profile and ~/.profile say
AS_AT_THE_SCREEN = """\
if [ -r /etc/default/keyboard ] && command -v setxkbmap >/dev/null; then
  . /etc/default/keyboard
  setxkbmap -model "$XKBMODEL" -layout "$XKBLAYOUT" -variant "$XKBVARIANT" -option "$XKBOPTIONS" || true
fi
exec "$@"
"""
SIZE = re.compile(r"[1-9][0-9]{1,4}x[1-9][0-9]{1,4}")
LARGEST_SIDE = 16384
DISPLAY_FOLDER = "/tmp/.X11-unix"  # noqa: S108 - that is where X servers and their clients meet
NO_XVNC = "Xvnc is not installed: install the package tigervnc-standalone-server"
USUAL_SIZE = "1280x800"
USUAL_CUT_TEXT = 1 << 18
VERSION_SECONDS = 5.0
DEPTHS = (16, 24, 32)  # those of Xvnc


def make_display_folder(folder: str = DISPLAY_FOLDER) -> None:
    """Make the folder of the sockets of X servers, where nobody has since the host started: users cannot.

    Raises StartError where it is not as it has to be: its owner could take displays away.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder)
        os.chmod(folder, 0o1777)  # noqa: S103 - as systemd makes it, like /tmp
    status = os.lstat(folder)
    sticky = status.st_mode & stat.S_ISVTX or not status.st_mode & 0o022
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or not sticky:
        raise StartError(f"{folder} must be a folder of root, with mode 1777: remove what is there")


def is_size(size: str) -> bool:
    """Whether a screen of Xvnc can be as large as this."""
    return bool(SIZE.fullmatch(size)) and max(map(int, size.split("x"))) <= LARGEST_SIDE


def _option_faults(program: str, further: Sequence[str]) -> Iterator[str]:
    """What Xvnc says of these arguments; -version lets it start nothing."""
    done = subprocess.run(
        [program, *further, "-version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=VERSION_SECONDS,
        check=False,
    )
    said = next((line.strip() for line in done.stderr.splitlines() if "nrecognized" in line or "nvalid" in line), "")
    if done.returncode != 0 and said:
        yield f"Xvnc does not take the options: {said.removeprefix('(EE)').strip()}"


def _xvnc() -> str | None:
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class TigerVNC(KeptDesktop):
    """One desktop in Xvnc."""

    gives_sound = True

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.command = words_of(self._common_options.get("command", []), "command")
        self.further = words_of(self._common_options.get("xvnc", []), "xvnc")
        self.depth = int(self._common_options.get("depth", 24))

    @property
    def user(self) -> str:
        """As whom the programs run: the option `account`, or the user who signed in."""
        return str(self._common_options.get("account") or super().user)

    def check(self) -> Iterator[str]:
        """What no desktop could be started with."""
        for size in self._common_options.get("sizes") or ():
            if not is_size(size):
                yield f"the size {size!r} is none that Xvnc can have; it must be such as 1280x800"
        if self.depth not in DEPTHS:
            yield f"the option depth is {self.depth}, and must be one of {', '.join(map(str, DEPTHS))}"
        yield from self.check_common(self.command[:1])
        yield from account_faults(self._common_options)
        yield from self.pam_faults()
        if self._wants_sound:
            yield from missing(SYSTEM_PATH)
        program = _xvnc()
        if program is None:
            yield NO_XVNC
        elif self.further:
            yield from _option_faults(program, self.further)

    def plan(self, size: str, arguments: Sequence[str]) -> dict[str, Any]:
        """Xvnc, and the desktop in it."""
        program = _xvnc()
        if program is None:
            raise DesktopError(NO_XVNC, NOT_INSTALLED)
        usual = [path for path in DESKTOPS if os.access(path, os.X_OK)][:1]
        command = self.command or ["/bin/sh", "-l", "-c", AS_AT_THE_SCREEN, "session", *usual]
        if not (self.command or usual):
            raise DesktopError(
                "no desktop is installed: name one in the option command of the session type", NOT_INSTALLED
            )
        size = size or USUAL_SIZE
        if not is_size(size):
            raise DesktopError(f"{size!r} is no size that Xvnc can have; it must be such as 1280x800", NO_SIZE)
        user = account_of(self.user)
        server = [program, "-rfbport", "-1"]  # it gets a socket that listens already, from keeper.py
        server += ["-SecurityTypes", "None", "-geometry", size, "-depth", str(self.depth), "-nolisten", "tcp"]
        # what is only selected in the desktop stays there: it would take the place of what was copied
        server += ["-SendPrimary=0", "-SetPrimary=0", f"-MaxCutText={self._clipboard_bytes or USUAL_CUT_TEXT}"]
        server += ["-desktop", f"{self._name} ({self.user})", "-AlwaysShared", *self.further]
        if user:
            make_display_folder()
        self.progress("Starting the desktop")
        return {"user": user, "server": server, "session": [*command, *arguments]}


def realize_service(
    name: str = "", count: int = 1, index: int = 0, common_options: dict[str, Any] | None = None
) -> RemoteServiceScript:
    """The script object of one slot."""
    return TigerVNC(name, count=count, index=index, common_options=common_options)
