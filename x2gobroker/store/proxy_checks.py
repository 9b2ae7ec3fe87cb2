"""Tokens of `x2gobroker remote check-proxy`: they lead to no desktop, and show that who connects may use the store."""

from __future__ import annotations

import secrets
import time

from sqlalchemy import delete, insert

from x2gobroker.store.authids import TOKEN_BYTES, digest_of
from x2gobroker.store.database import Store
from x2gobroker.store.remote_desktops import is_within
from x2gobroker.store.remote_tables import REMOTE_TOKENS

NO_SLOT = ""  # in the place of a slot's ID; a service that does not know these tokens finds no slot, and refuses
SECONDS = 30.0
K = REMOTE_TOKENS.c


class ProxyChecks:
    """Made by the command, and taken by the service that is asked, if they share the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def token(self, now: float | None = None) -> str:
        """A token for one connection within SECONDS; only its hash is kept. Raises StoreError."""
        token = secrets.token_hex(TOKEN_BYTES)
        row = {"digest": digest_of(token), "slot": NO_SLOT, "username": "", "address": "", "view_only": True}
        expires = (time.time() if now is None else now) + SECONDS
        with self._store.begin() as connection:
            connection.execute(insert(REMOTE_TOKENS), {**row, "share": None, "expires": expires})
        return token

    def redeem(self, token: str, now: float | None = None) -> bool:
        """Whether it is one that counts; it is spent by this. Raises StoreError."""
        taken = delete(REMOTE_TOKENS).where(K.digest == digest_of(token), K.slot == NO_SLOT).returning(K.expires)
        with self._store.begin() as connection:
            expires = connection.execute(taken).scalar_one_or_none()
        return expires is not None and is_within(float(expires), time.time() if now is None else now, SECONDS)
