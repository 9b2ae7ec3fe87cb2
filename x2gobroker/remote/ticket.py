"""The Kerberos ticket of one desktop: a cache of its own, which is there before its user's session is opened, and goes
with the desktop. For `keeper.py`, which is root; of the standard library only.

The ticket is that of the user's last sign-in at the portal (`authservice/tickets.py`). Each desktop has a copy, so that
none takes another's away, and a later sign-in renews them all. A copy is where kinit(1), krenew(1) and rpc.gssd(8) look
for one and can write it anew: in /tmp, a file of the user's. Where SSSD keeps the user's cache, that one is used.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from x2gobroker.authservice.ccache import LARGEST_CACHE, CacheError, Ticket, read_ticket
from x2gobroker.authservice.tickets import FILE, Kept, Tickets
from x2gobroker.privilege.files import TrustError, read_users_file

FOLDER = Path("/tmp")  # noqa: S108 - where others look for it; see above
VARIABLE = "KRB5CCNAME"
NOTE = "ticket"  # in the folder of a use of a slot: the name of its copy
LOOK_SECONDS = 20.0
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
NONE_KEPT = "no Kerberos ticket: the user has not signed in at the portal with a password, or it has expired since"


class DesktopTicket:
    """That of one desktop, for the user with these numbers. `note` writes a line into the desktop's log; `use` is the
    folder of the use of the slot.

    `name` is what belongs into KRB5CCNAME; nothing where there is no ticket.
    """

    def __init__(
        self,
        uid: int,
        gid: int,
        use: Path,
        note: Callable[[str], None],
        tickets: Tickets | None = None,
        folder: Path = FOLDER,
    ) -> None:
        self.name = ""
        self._uid, self._gid = uid, gid
        self._use = use
        self._note = note
        self._tickets = tickets or Tickets()
        self._folder = folder
        self._copy = ""
        self._seen: tuple[int, int] | None = None
        self._looked = 0.0

    def take(self) -> None:
        """Have a copy, or find the user's cache. A desktop does without one, and its log says why."""
        try:
            if not self._tickets.is_on():
                return
            self._looked, self._seen = time.monotonic(), self._tickets.mark(self._uid)
            kept = self._tickets.find(self._uid, time.time())
            if kept is None:
                self._note(NONE_KEPT)
            elif kept.cache:
                self._use_cache(kept.cache)
            else:
                copy = f"krb5cc_{self._uid}_{os.urandom(8).hex()}"
                (self._use / NOTE).write_text(copy, encoding="ascii")
                self._write(copy, kept)
                self._copy, self.name = copy, f"{FILE}{self._folder / copy}"
        except (OSError, TrustError, CacheError) as error:
            self._note(f"no Kerberos ticket: {error}")

    def _use_cache(self, cache: str) -> None:
        """Name a cache that somebody else keeps; one that is a file must have a ticket. Raises as reading does."""
        if cache.startswith(FILE):
            ticket = self._read(cache.removeprefix(FILE))
            if ticket.ends <= time.time():
                raise CacheError(f"that of {cache} has expired")
        self.name = cache

    def look(self) -> None:
        """Renew the copy when the user has signed in again. To be called often; it looks every LOOK_SECONDS."""
        if not self._copy or time.monotonic() < self._looked + LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            mark = self._tickets.mark(self._uid)
            if mark is None or mark == self._seen:
                return
            self._seen = mark
            kept = self._tickets.find(self._uid, time.time())
            if kept is not None and kept.ticket is not None and self._is_better(kept.ticket):
                self._write(self._copy, kept)
                self._note("the Kerberos ticket is that of a new sign-in")
        except (OSError, TrustError, CacheError) as error:
            self._note(f"the Kerberos ticket is not renewed: {error}")

    def _is_better(self, fresh: Ticket) -> bool:
        """Whether a ticket is to take the place of the present one: not where the user has got another one since."""
        try:
            present = self._read(str(self._folder / self._copy))
        except (OSError, TrustError, CacheError):  # destroyed, or being written by another program
            return True
        return present.principal == fresh.principal and present.ends < fresh.ends

    def _read(self, path: str) -> Ticket:
        return read_ticket(read_users_file(path, self._uid, LARGEST_CACHE))

    def _write(self, copy: str, kept: Kept) -> None:
        """Put the copy there, whole; in a folder like /tmp, nobody else can take it away. Raises OSError."""
        folder = _opened(self._folder)
        try:
            fresh = f"{copy}.{os.urandom(8).hex()}"
            number = os.open(fresh, NEW_FILE, 0o600, dir_fd=folder)
            try:
                with open(number, "wb") as stream:
                    stream.write(kept.data)
                    stream.flush()
                    os.fchown(number, self._uid, self._gid)
                os.rename(fresh, copy, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(fresh, dir_fd=folder)
                raise
        finally:
            os.close(folder)

    def give_up(self) -> None:
        """Have none any more: PAM's own session has given another one."""
        self.remove()
        self.name = ""

    def remove(self) -> None:
        """Remove the copy, when no program of the desktop is left."""
        self._copy = ""
        remove_left(self._use, self._folder)


def remove_left(use: Path, folder: Path = FOLDER) -> None:
    """Remove the copy that a use of a slot has left, where its keeper was killed. What fails stays until it expires."""
    with contextlib.suppress(OSError, ValueError):
        name = (use / NOTE).read_text(encoding="ascii")
        if not name.startswith("krb5cc_") or "/" in name:
            return
        number = _opened(folder)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=number)
        finally:
            os.close(number)
        (use / NOTE).unlink()


def _opened(path: Path) -> int:
    """A folder such as /tmp: root's, where nobody can remove what is another user's. Raises OSError."""
    number = os.open(path, OPEN_FOLDER)
    status = os.fstat(number)
    if status.st_uid != os.geteuid() or (status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX):
        os.close(number)
        raise OSError(0, f"{path} must be root's, with mode 1777")
    return number
