"""Accounts of this host: who they are, whether people sign in with them, and how a process of root becomes one."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from x2gobroker.errors import BrokerError

LOGIN_DEFS = Path("/etc/login.defs")
FIRST_ORDINARY_UID = 1000  # UID_MIN of login.defs(5) where that file does not say
NOBODY_UID = 65534
NO_LOGIN_SHELLS = frozenset({"nologin", "false", "true", "sync", "halt", "shutdown"})


class AccountError(BrokerError):
    """There is no such account, or it must not be used. The text says which, why, and what to do."""


@dataclass(frozen=True)
class Account:
    """An account of this host, as getpwnam(3) and getgrouplist(3) have it. `groups` holds `gid` too."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str


def account_named(name: str) -> Account:
    """The account of this name. Raises AccountError when there is none."""
    try:
        found = pwd.getpwnam(name)
    except (KeyError, ValueError):  # ValueError: a NUL byte
        raise AccountError(f"there is no user {name!r} on this host") from None
    groups = os.getgrouplist(found.pw_name, found.pw_gid)
    return Account(found.pw_name, found.pw_uid, found.pw_gid, tuple(groups), found.pw_dir, found.pw_shell or "/bin/sh")


def account_numbered(uid: int) -> Account:
    """The account of this number. Raises AccountError when there is none."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        raise AccountError(f"there is no user with the number {uid} on this host") from None
    return account_named(name)


def ordinary_account(name: str) -> Account:
    """The account of a person: its number is no system account's, and it has a shell to sign in with.

    Raises AccountError for any other one.
    """
    account = account_named(name)
    least = first_ordinary_uid()
    if account.uid < least or account.uid == NOBODY_UID:
        raise AccountError(f"{name} is a system account: its number {account.uid} is not one from {least} on")
    if Path(account.shell).name in NO_LOGIN_SHELLS:
        raise AccountError(f"{name} may not sign in on this host: its shell is {account.shell}")
    return account


def first_ordinary_uid(defs: Path = LOGIN_DEFS) -> int:
    """The lowest number of an ordinary account: UID_MIN of login.defs(5), never below 100."""
    try:
        lines = defs.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return FIRST_ORDINARY_UID
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "UID_MIN" and words[1].isascii() and words[1].isdigit():
            return max(int(words[1]), 100)
    return FIRST_ORDINARY_UID


def become(account: Account) -> None:
    """Give root's rights away for good, and be this account: numbers, groups, and no way back.

    Does nothing where this process is that account already. Raises AccountError where it may not.
    """
    mine = os.getresuid()
    if mine == (account.uid,) * 3 and os.getresgid() == (account.gid,) * 3:
        return
    if os.geteuid() != 0:
        raise AccountError(f"only root can go on as {account.name}: start this as root, or as {account.name}")
    os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    if os.getresuid() != (account.uid,) * 3 or os.getresgid() != (account.gid,) * 3:
        raise AccountError(f"this process did not become {account.name}")
