"""The auth mechanism `htpasswd`: user names and password hashes in a file, `name:hash` on each line."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from x2gobroker.auth.base import (
    LONGEST_USER,
    WRONG_PRESENT,
    AuthMechanism,
    Credentials,
    PasswordChange,
    Verdict,
    granted,
    refused,
)
from x2gobroker.auth.passwords import hash_password, kind_of, verify_password
from x2gobroker.errors import AuthMechanismError, ConfigurationError
from x2gobroker.logs import error_log
from x2gobroker.privilege import TrustError, own_folder
from x2gobroker.settings import Settings, WatchedFile
from x2gobroker.settings.text_files import decode_text, read_text

MAX_FILE_SIZE = 16 * 1024 * 1024
NEW_FILE_MODE = 0o640


@dataclass(frozen=True, eq=False)
class Users:
    """User names and their hashes; `stand_ins` has a hash of each kind in the file, and how many are of this kind."""

    hashes: Mapping[str, str]
    stand_ins: tuple[tuple[str, int], ...] = ()
    key: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, hashes: Mapping[str, str]) -> Users:
        """The users of a file."""
        kinds: Counter[str] = Counter()
        one_of: dict[str, str] = {}
        for hashed in hashes.values():
            with contextlib.suppress(ValueError):  # of no known scheme: nobody is compared with it
                kind = kind_of(hashed)
                kinds[kind] += 1
                one_of[kind] = hashed
        stand_ins = tuple((one_of[kind], count) for kind, count in sorted(kinds.items()))
        return cls(hashes, stand_ins, min(one_of.values(), default="").encode())

    def stand_in(self, name: str) -> str | None:
        """The hash to compare a password with whose user there is not; always the same for one name.

        Among many names each kind comes as often as in the file, so that the time of an answer, which depends on scheme
        and cost, says nothing about whether a user exists. `key` keeps others from working out which name gets which.
        """
        if not self.stand_ins:
            return None
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), key=self.key[:64], digest_size=8).digest()
        number = int.from_bytes(digest) % sum(count for _, count in self.stand_ins)
        for hashed, count in self.stand_ins:
            if number < count:
                return hashed
            number -= count
        return None


def _lines(text: str) -> list[str]:
    """The lines of a file's text. Nothing but a line feed ends one: what a comment holds does not become a user."""
    return text.removesuffix("\n").split("\n") if text else []


def parse_users(text: str) -> dict[str, str]:
    """User names and hashes of a file's text; comments, empty lines and lines without a colon are no users."""
    users: dict[str, str] = {}
    for line in _lines(text):
        name, colon, hashed = line.strip().partition(":")
        if colon and name and not name.startswith("#"):
            users[name] = hashed
    return users


def read_users(path: Path) -> dict[str, str]:
    """User names and hashes of a file. Raises ConfigurationError when it cannot be read."""
    return parse_users(read_text(path, MAX_FILE_SIZE))


def _with_stand_ins(path: Path) -> Users:
    return Users.of(read_users(path))


def write_user(path: Path, user: str, hashed: str | None, new_group: int | None = None) -> bool:
    """Set a user's hash, or remove the user when `hashed` is None; other lines stay as they are.

    The file is replaced whole, with its owner and mode; a new one is readable by its owner and group, `new_group` where
    that is given and may be. Returns whether the user was there before. Raises ValueError for a name that the format
    cannot hold, or that is too long to log in with, OSError, ConfigurationError for a file that is no text, and as root
    TrustError in a folder that is not root's alone.
    """
    if not user or ":" in user or user.startswith("#") or not user.isprintable() or user != user.strip():
        raise ValueError(f"{user!r} is no user name: no colon, no leading #, no blanks around it")
    if hashed is not None and len(user) > LONGEST_USER:  # one that was written before can be removed
        raise ValueError(
            f"a user name of {len(user)} characters is too long; nobody logs in with more than {LONGEST_USER}"
        )
    target = path.resolve()
    with own_folder(target.parent) as folder, folder.locked():
        lines = _lines(decode_text(folder.read(target.name, MAX_FILE_SIZE) or b"", path))
        kept = [line for line in lines if line.strip().partition(":")[0] != user or ":" not in line]
        known = len(kept) != len(lines)
        if hashed is not None:
            kept.append(f"{user}:{hashed}")
        text = "".join(line + "\n" for line in kept)
        folder.replace(target.name, text.encode("utf-8"), NEW_FILE_MODE, new_group)
    return known


class HtpasswdMechanism(AuthMechanism):
    """Checks passwords against the file of the option `file`; a changed file counts with the next login."""

    vouches = "password"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._lock = threading.Lock()
        self._watched: WatchedFile[Users] | None = None
        # what a password is compared with where the file has no user at all
        self._nobody = hash_password("nobody has this password")

    def _users(self, settings: Settings) -> Users:
        path = settings.path(self.section, "file")
        watched = self._watched
        if watched is None or watched.path != path:
            with self._lock:
                watched = self._watched = WatchedFile(path, _with_stand_ins, Users({}))
        loaded = watched.current()
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            advice = f"{path} does not exist; make it with `x2gobroker passwd --file {path} USER`"
            raise AuthMechanismError(advice, looked=False) from None
        except OSError as error:
            advice = f"{path} cannot be reached: {error.strerror}; let the broker's user enter its folder"
            raise AuthMechanismError(advice, looked=False) from None
        if not loaded.good:
            raise AuthMechanismError(f"{loaded.fault}", looked=False)
        return loaded.value

    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        users = self._users(settings)
        user, password = credentials.user, credentials.password
        hashed = users.hashes.get(user)
        if hashed is not None:
            with contextlib.suppress(ValueError):
                right = verify_password(password, hashed)
                return granted(user, "right password") if right else refused(user, "wrong password")
            error_log.error("auth mechanism %s: a user's password hash is damaged or of no known scheme", self.name)
        self._compare_with_another(users, user, password)
        return refused(user, "unknown user" if hashed is None else "no usable password hash")

    def _compare_with_another(self, users: Users, user: str, password: str) -> None:
        """Do the work of a comparison, whose result does not matter."""
        with contextlib.suppress(ValueError):  # a stand-in that is damaged
            verify_password(password, users.stand_in(user) or self._nobody)

    def _spend(self, settings: Settings, credentials: Credentials) -> Verdict | None:
        return self._check(settings, credentials)

    def is_ready(self, settings: Settings, seconds: float) -> bool:
        """Whether the file of users is there and can be read."""
        try:
            self._users(settings)
        except AuthMechanismError:
            return False
        return True

    def _account(self, settings: Settings, user: str, address: str) -> Verdict:
        hashed = self._users(settings).hashes.get(user)
        if hashed is None:
            return refused(user, "is no longer in the file", looked=False)
        try:
            kind_of(hashed)
        except ValueError:  # as administrators lock users: `!` before the hash
            return refused(user, "no usable password hash", looked=False)
        return granted(user, "is in the file")

    def _change_password(self, settings: Settings, credentials: Credentials, new: str) -> PasswordChange:
        if not self._check(settings, credentials).granted:
            return WRONG_PRESENT
        try:
            write_user(settings.path(self.section, "file"), credentials.user, hash_password(new))
        except OSError as error:
            raise AuthMechanismError(f"the file of users cannot be written: {error.strerror}", looked=False) from None
        except ConfigurationError as error:
            raise AuthMechanismError(f"the file of users cannot be written: {error}", looked=False) from None
        except TrustError as error:
            raise AuthMechanismError(f"the file of users cannot be written by root: {error}", looked=False) from None
        return PasswordChange(True)
