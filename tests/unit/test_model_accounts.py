"""Names of users in the one form in which they are compared."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.model.accounts import account_name


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
