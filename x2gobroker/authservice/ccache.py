"""What a file of Kerberos tickets says: whose they are, and until when the first of them counts.

Format 4 of https://web.mit.edu/kerberos/krb5-1.20/doc/formats/ccache_file_format.html, which both MIT and Heimdal write
since 1999. Nothing of the tickets and keys in it is looked at. Of the standard library only.
"""

from __future__ import annotations

from typing import NamedTuple

FORMAT = b"\x05\x04"
LARGEST_CACHE = 1 << 18
MOST_COMPONENTS = 32
CONFIGURATION = b"X-CACHECONF:"  # the realm of entries that are no tickets
FIRST_TICKET = b"krbtgt"


class CacheError(ValueError):
    """What is no file of tickets, or has none for its user. The text holds nothing of what is in it."""


class Ticket(NamedTuple):
    """The ticket of a user that gets all others. `principal` is the user's name in Kerberos. `ends` and `renewable` are
    seconds since the epoch: until when it counts, and until when it can be renewed; 0 where it cannot.
    """

    principal: str
    ends: int
    renewable: int


class _Principal(NamedTuple):
    realm: bytes
    components: tuple[bytes, ...]

    def __str__(self) -> str:
        name = "/".join(part.decode("utf-8", "replace") for part in self.components)
        return f"{name}@{self.realm.decode('utf-8', 'replace')}"


def read_ticket(data: bytes) -> Ticket:
    """The first ticket of a user that `data`, a whole file, has; the one that ends last. Raises CacheError."""
    if len(data) > LARGEST_CACHE:
        raise CacheError(f"it has more than {LARGEST_CACHE} bytes")
    reader = _Reader(data)
    if reader.take(2) != FORMAT:
        raise CacheError("it is no file of tickets in format 4")
    reader.take(reader.number(2))
    owner = reader.principal()
    wanted = _Principal(owner.realm, (FIRST_TICKET, owner.realm))
    found: list[tuple[int, int]] = []
    while not reader.at_end:
        reader.principal()
        server = reader.principal()
        times = reader.rest_of_credential()
        if server == wanted and server.realm != CONFIGURATION:
            found.append(times)
    if not found:
        raise CacheError("it has no ticket of its user's realm")
    ends, renewable = max(found)
    return Ticket(str(owner), ends, renewable)


class _Reader:
    """Bytes, read from the beginning to the end. All methods raise CacheError where there are not so many."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def at_end(self) -> bool:
        return self._place == len(self._data)

    def take(self, count: int) -> bytes:
        end = self._place + count
        if end > len(self._data):
            raise CacheError("it ends too early")
        piece = self._data[self._place : end]
        self._place = end
        return piece

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def text(self) -> bytes:
        return self.take(self.number(4))

    def principal(self) -> _Principal:
        self.take(4)  # the kind of name
        count = self.number(4)
        if count > MOST_COMPONENTS:
            raise CacheError(f"a name has more than {MOST_COMPONENTS} parts")
        realm = self.text()
        return _Principal(realm, tuple(self.text() for _ in range(count)))

    def rest_of_credential(self) -> tuple[int, int]:
        """What stands behind the two names of a credential; until when it counts, and can be renewed."""
        self.take(2)
        self.text()  # the session key
        _authenticated, _starts, ends, renewable = (self.number(4) for _ in range(4))
        self.take(1 + 4)
        for _list in ("addresses", "authorization data"):
            for _ in range(self.number(4)):  # each takes six bytes at least
                self.take(2)
                self.text()
        self.text()  # the ticket
        self.text()  # the second ticket
        return ends, renewable
