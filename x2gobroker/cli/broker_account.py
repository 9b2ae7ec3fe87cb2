"""The account that the broker runs as, and how commands that root starts become it before they touch its files."""

from __future__ import annotations

import grp
import os
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from x2gobroker.errors import BrokerError, ConfigurationError, StoreError
from x2gobroker.privilege import Account, AccountError, account_named, become, worker_in
from x2gobroker.settings import Settings
from x2gobroker.store.database import database_url

REFUSED = 3  # exit status of a child that has said why
LONGEST_REASON = 1000


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


def asked_as_broker(settings: Settings, ask: Callable[[], bytes], largest: int) -> bytes:
    """The answer of `ask`, of at most `largest` bytes. Root has it from a child that becomes who the store belongs to.

    So root can write it into a place of its own. Raises BrokerError, with the words of the child.
    """
    if os.geteuid() != 0:
        return ask()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(settings, ask, reader, writer)
    os.close(writer)
    with open(reader, "rb") as stream:
        data = stream.read(largest + 2)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == REFUSED:
        said = data[:LONGEST_REASON].decode("utf-8", "replace")
        raise StoreError("".join(sign if sign.isprintable() else "?" for sign in said))
    if status != 0 or len(data) > largest:
        raise StoreError(f"the state store was not read: exit status {status}, {len(data)} bytes")
    return data


def _answer(settings: Settings, ask: Callable[[], bytes], reader: int, writer: int) -> NoReturn:
    """The child. It ends without what the parent has still to flush or to clean up."""
    status = 1
    try:
        os.close(reader)
        with open(writer, "wb") as stream:
            try:
                as_broker(settings)
                stream.write(ask())
                status = 0
            except BrokerError as error:
                stream.write(str(error).encode())
                status = REFUSED
    except Exception:  # noqa: BLE001 - a fault of ours: nobody above this shows it
        traceback.print_exc()
    finally:
        os._exit(status)
