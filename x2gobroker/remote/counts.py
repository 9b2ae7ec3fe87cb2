"""How many connections there are, in all, by user and by address, and who may have one more."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from x2gobroker.model.accounts import account_name
from x2gobroker.model.acl import Network
from x2gobroker.remote.told import TOO_MANY, TOO_MANY_OF_YOURS


@dataclass(frozen=True)
class Rules:
    """Who may connect. `origins`: those of the portal's pages, none: that of the address asked for."""

    origins: tuple[str, ...] = ()
    proxies: tuple[Network, ...] = ()
    most: int = 2000
    per_user: int = 20
    per_address: int = 200
    password: str | None = None


@dataclass(frozen=True)
class Refusal:
    """Why a connection is not let in: for the log, and as HTTP has it. `told`: for the user, where the page is one of
    ours, as far as can be seen; such a connection is opened to say it.
    """

    status: HTTPStatus
    why: str
    told: str = ""


class Counts:
    """The connections that are open now."""

    def __init__(self) -> None:
        self._open = 0
        self._users: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()

    def refuse_address(self, rules: Rules, address: str) -> Refusal | None:
        """Why an address may not have one more; None where it may."""
        if self._open >= rules.most:
            why = "there are too many connections (remote-connections)"
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, why, TOO_MANY)
        if self._addresses[address] >= rules.per_address:
            why = "there are too many connections from this address (remote-connections-per-address)"
            return Refusal(HTTPStatus.TOO_MANY_REQUESTS, why, TOO_MANY)
        return None

    def refuse_user(self, rules: Rules, user: str) -> Refusal | None:
        """The same of the owner of a desktop."""
        if self._users[account_name(user)] >= rules.per_user:
            why = "this user has too many connections (remote-connections-per-user)"
            return Refusal(HTTPStatus.TOO_MANY_REQUESTS, why, TOO_MANY_OF_YOURS)
        return None

    @contextlib.contextmanager
    def counted(self, user: str, address: str) -> Iterator[None]:
        """One connection, for the length of a `with` block. `user`: empty where it leads to no desktop."""
        user = account_name(user)
        self._open += 1
        self._users[user] += 1
        self._addresses[address] += 1
        try:
            yield
        finally:
            self._open -= 1
            for counter, key in ((self._users, user), (self._addresses, address)):
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]
