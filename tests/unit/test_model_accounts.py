"""Names of users in the one form in which they are compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.model.accounts import UserNames, account_name, may_be_called


def test_names_that_services_take_for_the_same() -> None:
    same = {
        account_name(name)
        for name in ("anna", "Anna", " ANNA ", "ａｎｎａ", "Ａnna", "an\u200bna".replace("\u200b", ""))
    }
    assert same == {"anna"}
    assert account_name("bert") != account_name("anna")
    assert account_name("STRASSE") == account_name("straße")


@given(st.text(max_size=20))
def test_the_name_of_a_name_is_the_same_again(text: str) -> None:
    assert account_name(account_name(text)) == account_name(text)
    assert account_name(text.upper().lower()) == account_name(account_name(text.upper().lower()))


def test_the_name_that_the_system_has_for_an_account_counts_where_it_is_known() -> None:
    known = UserNames("EXAMPLE\\anna", "anna")
    assert (known.account, known.all, known.is_sure) == ("anna", frozenset({"EXAMPLE\\anna", "anna"}), True)
    plain = UserNames("anna")
    assert (plain.account, plain.all, plain.is_sure) == ("anna", frozenset({"anna"}), True)
    assert UserNames("anna@example.org", "anna@example.org").is_sure


@pytest.mark.parametrize("name", ["Anna", "EXAMPLE\\anna", "anna@example.org", "EXAMPLE/anna", "ａｎｎａ"])
def test_servers_may_call_an_account_otherwise_whose_name_nobody_here_knows(name: str) -> None:
    assert not UserNames(name).is_sure


@pytest.mark.parametrize("user", ["anna", "Anna", "EXAMPLE\\anna", "EXAMPLE\\Anna", "anna@example.org", "EXAMPLE/anna"])
def test_a_server_may_call_a_user_by_another_name_of_the_account(user: str) -> None:
    assert may_be_called(user, "anna")
    assert not may_be_called(user, "bert")
    assert not may_be_called(user, "")
    assert not may_be_called("anna", user) or account_name(user) == "anna", "a domain is never added"
