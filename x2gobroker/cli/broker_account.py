"""The account that the broker runs as, and how commands that root starts become it before they touch its files."""

from __future__ import annotations

import grp
import os
from dataclasses import replace
from pathlib import Path

from x2gobroker.errors import ConfigurationError
from x2gobroker.privilege import Account, AccountError, account_named, become, worker_in
from x2gobroker.settings import Settings
from x2gobroker.store.database import database_url


def broker_account(settings: Settings) -> Account:
    """The account X2GOBROKER_DAEMON_USER with X2GOBROKER_DAEMON_GROUP. Raises ConfigurationError for unknown names."""
    user, group = settings.environment("X2GOBROKER_DAEMON_USER"), settings.environment("X2GOBROKER_DAEMON_GROUP")
    try:
        account, gid = account_named(user), grp.getgrnam(group).gr_gid
    except (AccountError, KeyError):
        raise ConfigurationError(
            f"there is no user {user} or no group {group}; make them (adduser --system --group {user}) "
            "or set X2GOBROKER_DAEMON_USER and X2GOBROKER_DAEMON_GROUP"
        ) from None
    return replace(account, gid=gid, groups=tuple(dict.fromkeys((gid, *account.groups))))


def go_on_as(account: Account) -> None:
    """Be this account, for good, with its home folder in the environment. Raises AccountError where we may not."""
    become(account)
    os.environ.update(HOME=account.home, USER=account.name, LOGNAME=account.name)


def work_in(settings: Settings, folder: Path) -> None:
    """Become the owner of this folder, for good, if we are root and others than root can change what is in it.

    That is the broker's account where the folder is root's own. Raises BrokerError.
    """
    account = worker_in(folder, lambda: broker_account(settings))
    if account is not None:
        go_on_as(account)


def as_broker(settings: Settings) -> None:
    """What every command does before it touches the state store: root works there as the owner of its folder.

    A store on a database server has no files, so that root may stay root. Raises BrokerError.
    """
    url = database_url(settings)
    if url.get_backend_name() == "sqlite":
        work_in(settings, Path(url.database or "").parent)
