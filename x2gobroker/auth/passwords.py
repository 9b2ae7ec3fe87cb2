"""Password hashes: which schemes are read and written, how many at a time, in one place.

A hash takes some 20 MB and a processor for a while. More at a time than there are processors make none of them faster,
and the memory of each thread that computes them would stay with the process. So few threads do it for all of them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from passlib.context import CryptContext

T = TypeVar("T")

# argon2 first: what `x2gobroker passwd` writes. The others are read: crypt(3)'s, and Apache's htpasswd -B and -2/-5.
CONTEXT = CryptContext(
    schemes=["argon2", "bcrypt", "sha512_crypt", "sha256_crypt"],
    argon2__memory_cost=19456,
    argon2__time_cost=2,
    argon2__parallelism=1,
    bcrypt__rounds=12,
    sha512_crypt__rounds=100_000,
)
SCHEMES = ("argon2", "bcrypt", "sha512_crypt")
BCRYPT_LIMIT = 72
# the cost of SHA-crypt grows with the password: a long one would keep a processor busy for seconds
SHA_CRYPT_LIMIT = 256


class _Hashing:
    """As many threads as processors, made at first use, and anew in a process that was forked."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None

    def run(self, work: Callable[[], T]) -> T:
        """Have it done, when its turn comes."""
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)), "hash")
            done = self._threads.submit(work)
        return done.result()


_HASHING = _Hashing()


def hash_password(password: str, scheme: str = "argon2") -> str:
    """The hash of a password. Raises ValueError for what the scheme cannot hold."""
    limit = {"bcrypt": BCRYPT_LIMIT, "sha512_crypt": SHA_CRYPT_LIMIT}.get(scheme)
    if limit is not None and len(password.encode("utf-8")) > limit:
        raise ValueError(f"{scheme} counts {limit} bytes; use argon2 for a longer password")
    return _HASHING.run(lambda: str(CONTEXT.handler(scheme).hash(password)))


def verify_password(password: str, hashed: str) -> bool:
    """Whether the password belongs to the hash. Raises ValueError when the hash is of no known scheme.

    It takes as long for a password that is too long for the scheme as for any other.
    """
    data = password.encode("utf-8", "surrogatepass")
    limit = BCRYPT_LIMIT if hashed.startswith("$2") else SHA_CRYPT_LIMIT if hashed[:3] in ("$5$", "$6$") else len(data)
    try:
        right = _HASHING.run(lambda: bool(CONTEXT.verify(data[:limit], hashed)))
    except TypeError:  # libpass, for some damaged hashes
        raise ValueError("the hash is damaged") from None
    return right and len(data) <= limit


def kind_of(hashed: str) -> str:
    """Scheme and cost of a hash: what decides how long a comparison takes.

    Raises ValueError when the hash is damaged or of no known scheme.
    """
    if CONTEXT.identify(hashed) is None:
        raise ValueError("the hash is of no known scheme")
    try:
        CONTEXT.needs_update(hashed)  # reads all of it
    except TypeError:
        raise ValueError("the hash is damaged") from None
    return hashed.rpartition("$")[0] if hashed.startswith("$2") else hashed.rsplit("$", 2)[0]
