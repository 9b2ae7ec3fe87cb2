"""Accounts, and becoming one."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from x2gobroker.privilege import Account, AccountError, account_named, become, ordinary_account
from x2gobroker.privilege.accounts import first_ordinary_uid


def test_an_unknown_account_is_an_error() -> None:
    for name in ("x2gt-nobody-of-this-name", "a\0b", ""):
        with pytest.raises(AccountError, match="there is no user"):
            account_named(name)


@pytest.mark.parametrize("name", ["root", "daemon", "www-data", "nobody"])
def test_system_accounts_are_nobodys_desktop(name: str) -> None:
    with pytest.raises(AccountError, match="system account"):
        ordinary_account(name)


def entry(uid: int, shell: str) -> Callable[[str], pwd.struct_passwd]:
    """A name service that knows one account."""
    return lambda name: pwd.struct_passwd((name, "x", uid, uid, "", "/home/x", shell))


def test_an_account_without_a_login_shell_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwnam", entry(54321, "/usr/sbin/nologin"))
    with pytest.raises(AccountError, match="may not sign in"):
        ordinary_account("anna")
    monkeypatch.setattr(pwd, "getpwnam", entry(54321, ""))
    assert ordinary_account("anna").shell == "/bin/sh"


def test_the_first_ordinary_number_is_that_of_the_host(tmp_path: Path) -> None:
    defs = tmp_path / "login.defs"
    assert first_ordinary_uid(defs) == 1000
    defs.write_text("# UID_MIN 5\n# before:\x0cUID_MIN 300\nUID_MIN\t\t 500\n")
    assert first_ordinary_uid(defs) == 500
    defs.write_text("UID_MIN 0\n")
    assert first_ordinary_uid(defs) == 100
    defs.write_text("UID_MIN many\n")
    assert first_ordinary_uid(defs) == 1000


@pytest.mark.skipif(os.geteuid() != 0, reason="root's rights are given away")
def test_there_is_no_way_back_to_root() -> None:
    account = Account("anna", 54321, 54322, (54322, 54323), "/", "/bin/sh")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            become(account)
            assert os.getresuid() == (54321,) * 3
            assert os.getresgid() == (54322,) * 3
            assert sorted(os.getgroups()) == [54322, 54323]
            become(account)
            try:
                os.setuid(0)
            except PermissionError:
                status = 0
            with pytest.raises(AccountError, match="only root"):
                become(Account("bert", 54325, 54325, (), "/", "/bin/sh"))
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
