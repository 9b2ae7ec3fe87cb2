"""Whom a session type may be started for, and with what: decided where the scripts run, whatever the service says."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from x2gobroker.errors import BrokerError
from x2gobroker.model.acl import ClientList, Requester
from x2gobroker.privilege import AccountError, account_named, ordinary_account
from x2gobroker.remote.types import SessionType, fitting_size

SHADOW = Path("/etc/shadow")
GroupsOf = Callable[[str], frozenset[str] | None]


class NotPermittedError(BrokerError):
    """This session type is not for this user, or not in this way. The text is for the log."""


def options_for(kind: SessionType, user: str, size: str, groups_of: GroupsOf) -> dict[str, Any]:
    """What a script's `start` gets as `options` for this user: `username`, `size` and `arguments`.

    Raises NotPermittedError for users whom the type's `users` and `groups` do not let in, for accounts of this host
    that are no person's, locked or expired, and for sizes that the type does not have. `addresses` are the portal's
    matter: nobody else knows where a browser is.
    """
    check_account(user)
    rules = replace(kind.access, clients_allow=ClientList(), clients_deny=ClientList())
    who = Requester(user, None, lambda: groups_of(user), own_name=lambda: own_name(user))
    decision = rules.decide(who)
    if not decision:
        raise NotPermittedError(f"the session type is not for {user}: {decision.reason}")
    arguments = kind.arguments_for(who.names, who.groups)
    return {"username": user, "size": size_of(kind, size), "arguments": list(arguments)}


def own_name(user: str) -> str:
    """The name by which this host itself calls the account of a user; empty for a user without one here."""
    try:
        return account_named(user).name
    except AccountError:
        return ""


def size_of(kind: SessionType, size: str) -> str:
    """The size as asked for, or the type's first one. It is one of the type's, or no larger than the largest of them.

    Raises NotPermittedError.
    """
    if not size or size in kind.sizes:
        return size or kind.sizes[0]
    if fitting_size(kind, size) != size:
        raise NotPermittedError(f"the size {size} is none of those that the session type has, and no smaller one")
    return size


def check_account(user: str) -> None:
    """Refuse an account of this host that is no person's, or locked. Raises NotPermittedError.

    Users without an account here pass: their desktops run elsewhere, or as the account that a session type names.
    """
    try:
        account = account_named(user)
    except AccountError:
        return
    if os.geteuid() != 0 and account.uid == os.geteuid():
        return
    try:
        ordinary_account(user)
    except AccountError as error:
        raise NotPermittedError(str(error)) from error
    if is_locked(account.name):
        raise NotPermittedError(f"the account {user} is locked or has expired")


def is_locked(user: str, shadow: Path | None = None) -> bool:
    """Whether an account of this host was locked (`usermod --lock`) or has expired, by shadow(5).

    False where that cannot be known: accounts of directories, or without root's rights.
    """
    try:
        lines = (shadow or SHADOW).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    fields = next((line.split(":") for line in lines if line.partition(":")[0] == user), [])
    if len(fields) < 8:
        return False
    # usermod puts ! before a password; an account that never had one is not locked by that
    expired = fields[7].isdigit() and int(fields[7]) <= (date.today() - date(1970, 1, 1)).days
    return expired or (fields[1].startswith("!") and len(fields[1].lstrip("!*")) > 1)
