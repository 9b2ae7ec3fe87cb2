"""The auth mechanism `none`."""

from __future__ import annotations

import pytest

from x2gobroker.auth.base import Credentials
from x2gobroker.auth.none import NoneMechanism
from x2gobroker.settings import Settings


@pytest.mark.parametrize("password", ["", "anything"])
def test_every_user_is_let_in_with_any_password(password: str) -> None:
    verdict = NoneMechanism("none").authenticate(Settings(), Credentials("anna", password))
    assert (verdict.granted, verdict.user) == (True, "anna")


def test_nobody_is_not_let_in() -> None:
    assert not NoneMechanism("none").authenticate(Settings(), Credentials("", "x")).granted


def test_passwords_cannot_be_changed() -> None:
    assert not NoneMechanism("none").change_password(Settings(), Credentials("anna", "x"), "y").changed
