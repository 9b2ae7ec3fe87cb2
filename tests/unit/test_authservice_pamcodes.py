"""What PAM's codes mean: a directory that is down is no wrong password, and a wrong password is never "cannot tell"."""

from __future__ import annotations

import pytest

from x2gobroker.authservice.pamcodes import OUTCOMES, outcome_of
from x2gobroker.authservice.protocol import OK, REFUSED, UNAVAILABLE

# <security/_pam_types.h>, by what they are about, and not by what the table says
OF_MODULES = {"OPEN_ERR": 1, "SYMBOL_ERR": 2, "SERVICE_ERR": 3, "SYSTEM_ERR": 4, "BUF_ERR": 5, "MODULE_UNKNOWN": 28}
OF_SOURCES = {
    "CRED_INSUFFICIENT": 8,
    "AUTHINFO_UNAVAIL": 9,
    "CRED_UNAVAIL": 15,
    "AUTHTOK_LOCK_BUSY": 22,
    "TRY_AGAIN": 24,
}
OF_CALLS = {"SESSION_ERR": 14, "CRED_ERR": 17, "NO_MODULE_DATA": 18, "ABORT": 26, "BAD_ITEM": 29, "INCOMPLETE": 31}
OF_PASSWORDS = {"AUTH_ERR": 7, "MAXTRIES": 11, "CONV_ERR": 19, "AUTHTOK_ERR": 20, "AUTHTOK_RECOVERY_ERR": 21}
OF_ACCOUNTS = {"PERM_DENIED": 6, "USER_UNKNOWN": 10, "NEW_AUTHTOK_REQD": 12, "ACCT_EXPIRED": 13, "CRED_EXPIRED": 16}
OF_NOBODY = {"AUTHTOK_DISABLE_AGING": 23, "IGNORE": 25, "AUTHTOK_EXPIRED": 27}


@pytest.mark.parametrize("name", [*OF_MODULES, *OF_SOURCES, *OF_CALLS])
def test_what_is_nobodys_fault_is_no_wrong_password(name: str) -> None:
    assert outcome_of({**OF_MODULES, **OF_SOURCES, **OF_CALLS}[name]) == UNAVAILABLE


@pytest.mark.parametrize("name", [*OF_PASSWORDS, *OF_ACCOUNTS, *OF_NOBODY])
def test_what_is_about_the_user_is_a_refusal(name: str) -> None:
    """Were it "cannot tell", nobody would count it, and passwords could be guessed for ever."""
    assert outcome_of({**OF_PASSWORDS, **OF_ACCOUNTS, **OF_NOBODY}[name]) == REFUSED


@pytest.mark.parametrize("code", [-1, 32, 99, 1000])
def test_a_code_that_nobody_knows_is_a_refusal(code: int) -> None:
    assert outcome_of(code) == REFUSED


def test_one_code_lets_in() -> None:
    assert [code for code in range(-1, 1000) if outcome_of(code) == OK] == [0]
    assert sorted(OUTCOMES) == list(range(32)), "every code of Linux-PAM stands in the table"
