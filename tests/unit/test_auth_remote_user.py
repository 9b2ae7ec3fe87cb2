"""The auth mechanism `remote_user`: the web server's word, and nobody else's."""

from __future__ import annotations

import pytest

from x2gobroker.auth.base import Credentials, Verdict
from x2gobroker.auth.remote_user import RemoteUserMechanism
from x2gobroker.settings import Settings


def authenticate(variables: dict[str, object], user: str = "", strip: bool = True) -> Verdict:
    settings = Settings({("authmech_remote_user", "strip-realm"): strip})
    return RemoteUserMechanism("remote_user").authenticate(settings, Credentials(user, "", "", variables))


def test_the_web_servers_user_is_let_in_under_that_name() -> None:
    verdict = authenticate({"REMOTE_USER": "anna"})
    assert (verdict.granted, verdict.user) == (True, "anna")


def test_a_realm_is_cut_unless_it_is_to_stay() -> None:
    assert authenticate({"REMOTE_USER": "anna@EXAMPLE.ORG"}).user == "anna"
    assert authenticate({"REMOTE_USER": "anna@EXAMPLE.ORG"}, strip=False).user == "anna@EXAMPLE.ORG"


@pytest.mark.parametrize("user", ["", "anna", "anna@EXAMPLE.ORG"])
def test_the_form_may_name_the_same_user_or_none(user: str) -> None:
    verdict = authenticate({"REMOTE_USER": "anna@EXAMPLE.ORG"}, user)
    assert (verdict.granted, verdict.user) == (True, "anna")


@pytest.mark.parametrize("user", ["bert", "ANNA", "anna@OTHER.ORG", "anna "])
def test_another_user_in_the_form_is_refused(user: str) -> None:
    assert not authenticate({"REMOTE_USER": "anna@EXAMPLE.ORG"}, user).granted


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"REMOTE_USER": ""},
        {"REMOTE_USER": None},
        {"REMOTE_USER": "@EXAMPLE.ORG"},
        {"REMOTE_USER": "an\nna"},
        {"HTTP_REMOTE_USER": "anna"},
        {"HTTP_X_REMOTE_USER": "anna"},
        {"HTTP_AUTHORIZATION": "Basic YW5uYTp4"},
    ],
)
def test_nothing_else_lets_anybody_in(variables: dict[str, object]) -> None:
    assert not authenticate(variables).granted
    assert not authenticate(variables, "anna").granted


@pytest.mark.parametrize(
    ("named", "user", "expected"),
    [
        ("anna@EXAMPLE.ORG", "", "anna"),
        ("anna", "bert", "anna"),
        ("an\nna", "bert", "bert"),
        ("@EXAMPLE.ORG", "", ""),
        (None, "bert", "bert"),
    ],
)
def test_what_counts_against_a_user_counts_for_whom_the_web_server_names(
    named: str | None, user: str, expected: str
) -> None:
    settings = Settings({("authmech_remote_user", "strip-realm"): True})
    credentials = Credentials(user, "", "", {"REMOTE_USER": named})
    assert RemoteUserMechanism("remote_user").user_of(settings, credentials) == expected
