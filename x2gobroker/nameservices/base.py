"""What every name service is: users and their groups."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import final

from x2gobroker.logs import error_log, field

KEEP_SECONDS = 5.0
MOST_USERS = 10_000


class NameService(ABC):
    """Knows users and groups. A plug-in writes `_has_user` and `_groups`; either may raise OSError, as may `_own_name`.

    One that knows an account by several names writes `_own_name` as well. A user's groups and name are asked for once
    in KEEP_SECONDS: a login is followed by several requests at once.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, bool], tuple[float, frozenset[str]]] = {}
        self._names: dict[str, tuple[float, str]] = {}

    @abstractmethod
    def _has_user(self, user: str) -> bool:
        """Whether the user exists."""

    @abstractmethod
    def _groups(self, user: str, primary: bool) -> frozenset[str]:
        """Names of the user's groups; the primary group counts by itself only when `primary`."""

    def _own_name(self, user: str) -> str:
        """The name by which the service itself calls the account that it knows as `user`; empty for an unknown one."""
        return user if self._has_user(user) else ""

    @final
    def own_name(self, user: str) -> str:
        """The name by which the service itself calls the account that it knows as `user`.

        Directories know an account by several: `Anna`, `DOMAIN\\anna` and `anna@domain` for `anna`. Empty for an
        unknown user, and when the service cannot tell, which is logged.
        """
        now = time.monotonic()
        known = self._names.get(user)
        if known is not None and known[0] > now:
            return known[1]
        try:
            name = self._own_name(user) if user else ""
        except OSError as error:
            error_log.error("name service: cannot look up user %s: %s", field(user), error)
            return ""
        if name:
            if len(self._names) >= MOST_USERS:
                self._names = {}
            self._names[user] = now + KEEP_SECONDS, name
        return name

    @final
    def has_user(self, user: str) -> bool:
        """Whether the user exists; False when the service cannot tell, which is logged."""
        try:
            return bool(user) and self._has_user(user)
        except OSError as error:
            error_log.error("name service: cannot look up user %s: %s", field(user), error)
            return False

    @final
    def groups_of(self, user: str, primary: bool) -> frozenset[str] | None:
        """Names of the user's groups, none for an unknown user; None when the service cannot tell, which is logged."""
        now = time.monotonic()
        known = self._known.get((user, primary))
        if known is not None and known[0] > now:
            return known[1]
        try:
            groups = self._groups(user, primary) if user else frozenset()
        except OSError as error:
            error_log.error("name service: cannot look up the groups of %s: %s", field(user), error)
            return None
        # an unknown user may be a passing failure, which the system does not tell apart: that is asked again
        if groups or self.has_user(user):
            if len(self._known) >= MOST_USERS:
                self._known = {}
            self._known[user, primary] = now + KEEP_SECONDS, groups
        return groups
