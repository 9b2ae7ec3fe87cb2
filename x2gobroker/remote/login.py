"""What logs a desktop's user in: PAM session, environment, folder and bus. For `keeper.py`; standard library only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from x2gobroker.remote.hold import own_cgroup
from x2gobroker.remote.ticket import VARIABLE as TICKET
from x2gobroker.remote.ticket import DesktopTicket
from x2gobroker.remote.told import LoginError
from x2gobroker.remote.userfolder import UserFolder, UserFolderError

BUS, BUS_STARTERS = "DBUS_SESSION_BUS_ADDRESS", ("dbus-run-session", "dbus-launch")
BUS_DAEMON = "dbus-daemon"
RUNTIME = "XDG_RUNTIME_DIR"
NO_LIBPAM = 'PAM cannot be used: {}; install libpam0g, or write "pam-service": ""'


class Login:
    """The login of one desktop. `user` is that of the keeper's plan, `use` the folder of it, `note` writes a line into
    the desktop's log.

    After `open`, `moved` says whether that has put this process into another control group, as pam_systemd(8) does.
    Raises LoginError without libpam.
    """

    def __init__(self, service: str, user: dict[str, Any], use: str, note: Callable[[str], None]) -> None:
        try:
            from x2gobroker.remote.pamsession import PamSession  # it loads libpam
        except (OSError, AttributeError) as error:
            raise LoginError(NO_LIBPAM.format(error)) from error
        self.moved = False
        self._note = note
        self._user = user
        self._folder: UserFolder | None = None
        self._session = PamSession(service, user["name"], user["groups"], note)
        self._ticket = DesktopTicket(user["uid"], user["gid"], Path(use), note)

    def open(self) -> None:
        """Ask PAM whether the user may come in now, and open a session. Raises LoginError.

        The Kerberos ticket is there before: modules may want to read the home folder.
        """
        before = own_cgroup()
        self._session.ask()
        self._ticket.take()
        ours = {TICKET: self._ticket.name} if self._ticket.name else {}
        try:
            self._session.open(ours)
        except LoginError:
            self._ticket.remove()
            raise
        if ours and self._session.variables.get(TICKET) != ours[TICKET]:
            self._ticket.give_up()
        self.moved = own_cgroup() != before

    def environment(self, given: dict[str, str], kept: str) -> dict[str, str]:
        """The environment of the user's programs: what PAM says counts more than what is `given`, but for the variable
        `kept`. Where PAM makes no folder for XDG_RUNTIME_DIR, we do; programs do without one that cannot be.
        """
        made = {**given, **self._session.variables, kept: given[kept]}
        if RUNTIME not in made:
            try:
                self._folder = UserFolder(self._user["uid"], self._user["gid"])
                made[RUNTIME] = str(self._folder.path)
            except UserFolderError as error:
                self._note(f"no {RUNTIME}: {error}")
        return made

    def prepare(self) -> None:
        """In a new process, before it becomes the user: take on the limits, umask, groups that PAM wants."""
        if self._session.traits is not None:
            self._session.traits.take_on()

    def look(self) -> None:
        """What is to be looked at from time to time: whether there is a new ticket."""
        self._ticket.look()

    def close_session(self) -> None:
        """Close the session, when none of its programs is left."""
        self._session.close()
        self._ticket.remove()

    def leave_folder(self) -> None:
        """Let go of the user's folder, when nothing of the session is left."""
        if self._folder is not None:
            self._folder.leave()


def bus_words(words: list[str], environment: dict[str, str], number: int) -> list[str]:
    """The command of a session bus, which writes its address to this descriptor. Nothing where the desktop's command
    starts one by itself, or there is no such program. Debian's Xsession starts none where one is.
    """
    if os.path.basename(words[0]) in BUS_STARTERS:
        return []
    places = (os.path.join(folder, BUS_DAEMON) for folder in environment["PATH"].split(":"))
    found = next((place for place in places if os.access(place, os.X_OK)), "")
    return [found, "--session", "--nofork", "--nopidfile", f"--print-address={number}"] if found else []
