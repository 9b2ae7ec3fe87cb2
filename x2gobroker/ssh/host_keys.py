"""Host keys: `known_hosts` as OpenSSH reads it, and what to do about a server that is not in it.

Source: SSH_KNOWN_HOSTS FILE FORMAT of sshd(8). Names may be hashed, have wildcards and `!`; another port than 22 is
written `[name]:port`, and a key that is known for the name without a port counts there as well.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import hashlib
import hmac
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from x2gobroker.logs import broker_log, field
from x2gobroker.model.hosts import DEFAULT_SSH_PORT, Endpoint, ascii_name
from x2gobroker.model.public_key import PublicKey
from x2gobroker.privilege import TrustError, check_place
from x2gobroker.ssh.failures import HostKeyRefused
from x2gobroker.ssh.keys import described
from x2gobroker.ssh.routes import AUTO_ADD, WARNING, Trust

LARGEST_FILE = 16 << 20
LOCK_SECONDS = 5.0
REVOKED = "@revoked"
AUTHORITY = "@cert-authority"
UNSAFE_IN_ALIAS = re.compile(r"[^a-z0-9@._:\[\]-]")


@dataclass(frozen=True)
class KnownKey:
    """One line of known_hosts. `place` is file and line, for messages."""

    patterns: tuple[str, ...]
    key: PublicKey
    revoked: bool
    place: str

    def is_for(self, name: str) -> bool:
        """Whether the line is about this host name, written as in known_hosts."""
        if len(self.patterns) == 1 and self.patterns[0].startswith("|1|"):
            return _is_hash_of(self.patterns[0], name)
        found = False
        for pattern in self.patterns:
            if _pattern(pattern.removeprefix("!")).fullmatch(name):
                if pattern.startswith("!"):
                    return False
                found = True
        return found


@functools.lru_cache(4096)
def _pattern(pattern: str) -> re.Pattern[str]:
    escaped = re.escape(pattern.lower()).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(escaped)


def _is_hash_of(hashed: str, name: str) -> bool:
    """Whether `|1|salt|hash` hides this name."""
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed[3:].split("|"))
    except ValueError:
        return False
    # SHA-1 is what the format has; it hides names here and protects nothing
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)


def parse_known_hosts(text: str, place: str) -> tuple[list[KnownKey], list[str]]:
    """The lines of a known_hosts file, and notes about those that do not count.

    As OpenSSH reads it, nothing but a line feed ends a line. A byte order mark is left out.
    """
    known, notes = [], []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        where = f"{place}:{number}"
        if marker == AUTHORITY:
            notes.append(f"{where}: certificates of hosts are not supported")
        elif marker not in ("", REVOKED) or len(words) < 3 or not _is_base64(words[2]):
            notes.append(f"{where}: this is no line of known_hosts")
        else:
            patterns = tuple(words[0].split(","))
            known.append(KnownKey(patterns, PublicKey(words[1], words[2]), marker == REVOKED, where))
    return known, notes


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:
        return False


def known_names(endpoint: Endpoint, alias: str = "") -> tuple[str, ...]:
    """How known_hosts may name this server: by its name or its address, with the port unless it is 22; or an alias."""
    if alias:
        return (UNSAFE_IN_ALIAS.sub("_", alias.lower()),)
    written = (endpoint.name.lower(), endpoint.address.lower())
    hosts = dict.fromkeys((*written, *map(ascii_name, written)))
    if endpoint.port == DEFAULT_SSH_PORT:
        return tuple(hosts)
    return tuple(f"[{host}]:{endpoint.port}" for host in hosts)


@functools.lru_cache(64)
def _parsed_file(path: Path, _state: tuple[int, ...]) -> tuple[KnownKey, ...]:
    with path.open("rb") as stream:
        known, notes = parse_known_hosts(stream.read(LARGEST_FILE).decode("utf-8", "replace"), str(path))
    for note in notes:
        broker_log.info("known host keys: %s; the line does not count", note)
    return tuple(known)


def _all_known(files: Iterable[Path]) -> Iterator[KnownKey]:
    for path in files:
        try:
            status = path.stat()
            yield from _parsed_file(path, (status.st_mtime_ns, status.st_size, status.st_ino))
        except FileNotFoundError:
            continue
        except OSError as error:
            broker_log.warning("known host keys: %s cannot be read: %s", path, error.strerror)


def known_types(endpoint: Endpoint, trust: Trust) -> tuple[str, ...]:
    """The types of the keys that are known of this server: a server is asked for these first."""
    names = set(known_names(endpoint, trust.alias)) | _bare_names(endpoint, trust)
    lines = (line for line in _all_known(trust.files) if not line.revoked and any(map(line.is_for, names)))
    return tuple(dict.fromkeys([*(key.kind for key in trust.keys), *(line.key.kind for line in lines)]))


def _bare_names(endpoint: Endpoint, trust: Trust) -> set[str]:
    """Further names under which a known key counts, but another one is no reason to refuse it."""
    written = {endpoint.name.lower(), endpoint.address.lower()}
    bare = written | set(map(ascii_name, written))
    return bare | set(known_names(endpoint)) if trust.alias else bare


def check_host_key(endpoint: Endpoint, key: PublicKey, trust: Trust) -> None:
    """Returns if the server may be talked to. Raises HostKeyRefused.

    A key that is revoked, or differs from what is known of the server, is refused under every policy.
    """
    if _is_known(endpoint, key, trust):
        return
    shown = described(key.kind, key.blob)
    if trust.policy == WARNING:
        broker_log.warning("host key of %s (%s) is not known: %s", field(endpoint.name), endpoint.key, shown)
    elif trust.policy == AUTO_ADD:
        remember(endpoint, key, trust)
    else:
        raise HostKeyRefused(
            f"the host key of {endpoint.name} ({endpoint.key}) is not known: {shown}; compare it with `ssh-keygen -l "
            f"-f FILE.pub` on that server, then run `{command_to_ask(endpoint)} -A`, or add it to {_first(trust)}",
            endpoint,
            key,
            unknown=True,
        )


def command_to_ask(endpoint: Endpoint) -> str:
    """The command, for somebody to paste, that asks this server under both its names, and remembers its key so."""
    port = "" if endpoint.port == DEFAULT_SSH_PORT else f" -p {endpoint.port}"
    # nothing in a name or an address needs more than the quotes for the blank
    host = endpoint.address if len(endpoint.ways) == 1 else f"'{endpoint.name} ({endpoint.address})'"
    return f"x2gobroker-testagent -H {host}{port}"


def remember(endpoint: Endpoint, key: PublicKey, trust: Trust) -> None:
    """Write the key of a server that is not known into the first file, under its name and its address.

    Raises HostKeyRefused when another process has just written another key. When the file cannot be written, that is a
    line in the log.
    """
    shown = described(key.kind, key.blob)
    try:
        if not trust.files:
            raise OSError(0, "there is no file for it")
        with _locked_for_appending(trust.files[0]) as number:
            if _is_known(endpoint, key, trust):
                return
            _append(number, f"{','.join(known_names(endpoint, trust.alias))} {key.kind} {key.blob}\n".encode())
    except (OSError, TrustError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "it is locked"
        broker_log.warning(
            "host key of %s (%s) cannot be written to %s: %s", field(endpoint.name), shown, _first(trust), reason
        )
        return
    broker_log.warning("host key of %s (%s) is trusted from now on: %s", field(endpoint.name), endpoint.key, shown)


def _first(trust: Trust) -> str:
    return str(trust.files[0]) if trust.files else "known_hosts"


def _is_known(endpoint: Endpoint, key: PublicKey, trust: Trust) -> bool:
    """Whether this key is known; False when nothing is known. Raises HostKeyRefused when it must not be used."""
    names = known_names(endpoint, trust.alias)
    bare = _bare_names(endpoint, trust)
    given = (KnownKey(names, known, False, "known to this process") for known in trust.keys)
    is_known, other = False, None
    for line in (*given, *_all_known(trust.files)):
        same = hmac.compare_digest(line.key.blob, key.blob)
        if any(map(line.is_for, names)):
            if line.revoked and same:
                raise _refused(endpoint, key, f"is revoked by {line.place}")
            if not line.revoked:
                is_known = is_known or same
                other = other or (None if same else line)
        elif same and any(map(line.is_for, bare)):
            if line.revoked:
                raise _refused(endpoint, key, f"is revoked by {line.place}")
            is_known = True
    if is_known or other is None:
        return is_known
    raise _refused(
        endpoint,
        key,
        f"is not the known one, which is {described(other.key.kind, other.key.blob)} ({other.place}). Somebody may "
        "stand between; if the server really has a new key, remove that line",
        other.key,
    )


def _refused(endpoint: Endpoint, key: PublicKey, why: str, expected: PublicKey | None = None) -> HostKeyRefused:
    shown = described(key.kind, key.blob)
    text = f"the host key of {endpoint.name} ({endpoint.key}), {shown}, {why}"
    return HostKeyRefused(text, endpoint, key, unknown=False, expected=expected)


@contextlib.contextmanager
def _locked_for_appending(path: Path) -> Iterator[int]:
    """The file, made if missing, locked against other processes that do the same. Raises OSError, TrustError."""
    check_place(path.parent)
    number = _open_or_make(path)
    try:
        end = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        yield number
    finally:
        os.close(number)


def _open_or_make(path: Path) -> int:
    """The open file. Links are not followed."""
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    with contextlib.suppress(FileExistsError):
        return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
    number = os.open(path, flags)
    status = os.fstat(number)
    if status.st_nlink != 1 or not stat.S_ISREG(status.st_mode):
        os.close(number)
        raise OSError(0, "it is no plain file")
    return number


def _append(number: int, line: bytes) -> None:
    """One write, behind the end of the last line, which may lack its own."""
    size = os.fstat(number).st_size
    if size and os.pread(number, 1, size - 1) != b"\n":
        line = b"\n" + line
    if os.write(number, line) != len(line):
        os.ftruncate(number, size)  # half a key would be a wrong key
        raise OSError(0, "the disk is full")
    os.fsync(number)
