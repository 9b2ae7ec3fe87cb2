"""A few key pairs made beforehand: making an RSA pair takes longer than all the rest of a login."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from x2gobroker.logs import error_log

if TYPE_CHECKING:
    from x2gobroker.ssh.keys import KeyPair

MOST = 4
ONE_OFF_RSA_BITS = 2048  # of a key that lives for a minute


def one_off(kind: str) -> KeyPair:
    """A new pair for one login; `kind` is `rsa`, `ecdsa` or `ed25519`."""
    from x2gobroker.ssh.keys import generate_key  # paramiko is loaded where keys are wanted, not with every program

    return generate_key(kind, bits=ONE_OFF_RSA_BITS)


class _Shelf:
    """The pairs of one process and one kind."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.pairs: deque[KeyPair] = deque()
        self.is_filling = False


class KeyStock:
    """Key pairs that nobody has had yet; each is given away once. Safe for threads.

    Nothing is made before the first pair was wanted. A process that is forked begins with an empty stock: two
    processes must never hand out the same key.
    """

    def __init__(self, make: Callable[[str], KeyPair] = one_off, most: int = MOST) -> None:
        self._make = make
        self._most = most
        self._shelves: dict[str, _Shelf] = {}

    def take(self, kind: str) -> KeyPair:
        """A pair from the stock, else a new one; then the stock is filled up in the background."""
        shelf = self._shelf(kind)
        with shelf.lock:
            pair = shelf.pairs.popleft() if shelf.pairs else None
            fill, shelf.is_filling = not shelf.is_filling, True
        if pair is None:
            pair = self._make(kind)
        if fill:
            threading.Thread(target=self._fill, args=(shelf, kind), name=f"autologin-keys-{kind}", daemon=True).start()
        return pair

    def in_stock(self, kind: str) -> int:
        """How many pairs lie ready in this process."""
        return len(self._shelf(kind).pairs)

    def _shelf(self, kind: str) -> _Shelf:
        shelf = self._shelves.get(kind)
        if shelf is None or shelf.pid != os.getpid():
            # of two threads that get here at once, one fills a shelf that is forgotten: no harm
            shelf = self._shelves[kind] = _Shelf()
        return shelf

    def _fill(self, shelf: _Shelf, kind: str) -> None:
        while True:
            with shelf.lock:
                if len(shelf.pairs) >= self._most:
                    shelf.is_filling = False
                    return
            try:
                pair = self._make(kind)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next request tries again
                error_log.error("autologin: no key pair can be made beforehand: %s", type(error).__name__)
                with shelf.lock:
                    shelf.is_filling = False
                return
            with shelf.lock:
                shelf.pairs.append(pair)
