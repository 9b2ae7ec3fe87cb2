"""The auth mechanism `htpasswd`: user names and password hashes in a file, `name:hash` on each line."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from x2gobroker.auth.base import WRONG_PRESENT, AuthMechanism, Credentials, PasswordChange, Verdict
from x2gobroker.auth.passwords import hash_password, verify_password
from x2gobroker.errors import AuthMechanismError, ConfigurationError
from x2gobroker.settings import Settings, WatchedFile

MAX_FILE_SIZE = 16 * 1024 * 1024


def parse_users(text: str) -> dict[str, str]:
    """User names and hashes of a file's text; comments, empty lines and lines without a colon are no users."""
    users: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, hashed = line.strip().partition(":")
        if colon and name and not name.startswith("#"):
            users[name] = hashed
    return users


def read_users(path: Path) -> dict[str, str]:
    """The users of a file. Raises ConfigurationError when it cannot be read."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_SIZE:
        raise ConfigurationError(f"{path}: is larger than {MAX_FILE_SIZE} bytes")
    try:
        return parse_users(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8 text") from None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock beside the file, so that two who change it do not lose each other's change."""
    lock = path.with_name(path.name + ".lock")
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_user(path: Path, user: str, hashed: str | None) -> bool:
    """Set a user's hash, or remove the user when `hashed` is None; other lines stay as they are.

    The file is replaced whole, with its owner and mode; a new one is readable by its owner and group. Returns
    whether the user was there before. Raises ValueError for a name that the format cannot hold, OSError.
    """
    if not user or ":" in user or user.startswith("#") or not user.isprintable() or user != user.strip():
        raise ValueError(f"{user!r} is no user name: no colon, no leading #, no blanks around it")
    with _locked(path):
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if line.strip().partition(":")[0] != user or ":" not in line]
        known = len(kept) != len(lines)
        if hashed is not None:
            kept.append(f"{user}:{hashed}")
        _replace(path, "".join(line + "\n" for line in kept))
    return known


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if path.exists():
            status = path.stat()
            os.chmod(name, status.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.chown(name, status.st_uid, status.st_gid)
        else:
            os.chmod(name, 0o640)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


class HtpasswdMechanism(AuthMechanism):
    """Checks passwords against the file of the option `file`; a changed file counts with the next login."""

    vouches = "password"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._lock = threading.Lock()
        self._watched: WatchedFile[dict[str, str]] | None = None
        # what an unknown user's password is compared with: the answer takes as long as for a known one
        self._nobody = hash_password("nobody has this password")

    def _users(self, settings: Settings) -> dict[str, str]:
        path = settings.path(self.section, "file")
        watched = self._watched
        if watched is None or watched.path != path:
            with self._lock:
                watched = self._watched = WatchedFile(path, read_users, {})
        if not path.exists():
            raise AuthMechanismError(f"{path} does not exist; make it with `x2gobroker passwd --file {path} USER`")
        return watched.current().value

    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        hashed = self._users(settings).get(credentials.user)
        try:
            right = verify_password(credentials.password, hashed or self._nobody)
        except ValueError:
            raise AuthMechanismError("a user's password hash is of no known scheme; set it anew") from None
        if hashed is None:
            return Verdict(False, credentials.user, "unknown user")
        return Verdict(right, credentials.user, "right password" if right else "wrong password")

    def _change_password(self, settings: Settings, credentials: Credentials, new: str) -> PasswordChange:
        if not self._check(settings, credentials).granted:
            return PasswordChange(False, WRONG_PRESENT)
        try:
            write_user(settings.path(self.section, "file"), credentials.user, hash_password(new))
        except OSError as error:
            raise AuthMechanismError(f"the file of users cannot be written: {error.strerror}") from None
        return PasswordChange(True)
