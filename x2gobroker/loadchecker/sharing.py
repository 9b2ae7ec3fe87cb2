"""Which load checker watches which server, where several share a store.

Each writes into the store every few seconds that it lives. Of those that look after the same servers, a server belongs
to the one that a hash of both ranks highest: all of them come to the same end without a word, and when one dies, its
servers, and only these, go to others. Where two think for a moment that a server is theirs, both watch it, which costs
a little and spoils nothing.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable

from x2gobroker.errors import StoreError
from x2gobroker.logs import loadchecker_log
from x2gobroker.store.load_checkers import LoadCheckers, Peer

BEAT_SECONDS = 2.0
STALE_SECONDS = 6.0  # without a beat; a store may be slow now and then
DIGEST_BYTES = 16


def own_name() -> str:
    """A name that no other load checker has, now or later."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def digest_of(keys: Iterable[str]) -> str:
    """What stands for a set of servers."""
    text = "\n".join(sorted(keys)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=DIGEST_BYTES).hexdigest()


def owner_of(key: str, names: Iterable[str]) -> str:
    """To which of these load checkers a server belongs. Each has its share, and keeps it when others come and go."""
    return max(names, key=lambda name: (_rank(key, name), name))


def _rank(key: str, name: str) -> bytes:
    return hashlib.blake2b(f"{name}\n{key}".encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


class Sharing:
    """The share of one load checker. For one thread. `clock` gives seconds that only grow.

    How long another one has been silent is measured by this clock, and not by what the other wrote: hosts' clocks
    differ.
    """

    def __init__(
        self,
        keep: Callable[[], LoadCheckers],
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self.name = name or own_name()
        self._keep = keep
        self._clock = clock
        self._epoch = epoch
        self._beat_at = float("-inf")
        self._seen: dict[str, tuple[float, float]] = {}  # the last beat of each, and when it was seen first
        self._peers: tuple[str, ...] = ()
        self._digest = ""
        self._share: tuple[frozenset[str], tuple[str, ...], frozenset[str]] | None = None

    def share(self, keys: Iterable[str]) -> frozenset[str]:
        """Those of these servers that are this load checker's to watch.

        While the store fails, as it was before: whoever cannot write cannot be heard by others either.
        """
        wanted = frozenset(keys)
        digest = digest_of(wanted) if self._share is None or self._share[0] != wanted else self._digest
        now = self._clock()
        if now - self._beat_at >= BEAT_SECONDS or digest != self._digest:
            self._beat(digest, now)
        if self._share is None or self._share[:2] != (wanted, self._peers):
            names = (*self._peers, self.name)
            mine = frozenset(key for key in wanted if not self._peers or owner_of(key, names) == self.name)
            self._share = wanted, self._peers, mine
        return self._share[2]

    def _beat(self, digest: str, now: float) -> None:
        self._beat_at, self._digest = now, digest
        try:
            peers = self._keep().beat(self.name, digest, self._epoch())
        except StoreError as error:
            loadchecker_log.debug("load checkers are not seen: %s", error)
            return
        before = self._peers
        self._peers = tuple(one.name for one in peers if one.name != self.name and self._is_alive(one, now, digest))
        self._seen = {one.name: self._seen[one.name] for one in peers if one.name in self._seen}
        if self._peers != before:
            loadchecker_log.info("%d load checkers share the servers", len(self._peers) + 1)

    def _is_alive(self, peer: Peer, now: float, digest: str) -> bool:
        beat, since = self._seen.get(peer.name, (None, 0.0))
        if beat != peer.beat:
            self._seen[peer.name] = peer.beat, now
            since = now
        return now - since < STALE_SECONDS and peer.servers == digest

    def leave(self) -> None:
        """This load checker ends: others need not wait to find out."""
        try:
            self._keep().leave(self.name)
        except StoreError as error:
            loadchecker_log.debug("no leave was taken of the others: %s", error)
