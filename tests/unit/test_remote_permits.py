"""Whom a session type is started for, and with what, as the privileged half decides by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from x2gobroker.privilege import account_named
from x2gobroker.remote import permits
from x2gobroker.remote.permits import NotPermittedError, check_account, options_for, size_of
from x2gobroker.remote.types import SessionType, parse_types

GROUPS = {"anna": frozenset({"staff"}), "bert": frozenset({"students"})}


def kind(**more: Any) -> SessionType:
    """A session type with these keys."""
    text = json.dumps({"Desk": {"script": "tigervnc.py", "count": 1, **more}})
    return parse_types(text, Path("/nowhere/types.json")).types["Desk"]


def test_arguments_and_size_come_from_the_file() -> None:
    made = kind(arguments={"anna": ["--first"], "@students": ["--second"]}, options={"sizes": ["800x600"]})
    assert options_for(made, "anna", "", GROUPS.get) == {
        "username": "anna",
        "size": "800x600",
        "arguments": ["--first"],
    }
    assert options_for(made, "bert", "640x480", GROUPS.get)["arguments"] == ["--second"]
    assert options_for(made, "carl", "800x600", GROUPS.get)["arguments"] == []


@pytest.mark.parametrize(
    ("rules", "user", "allowed"),
    [
        ({}, "carl", True),
        ({"users": ["anna"]}, "anna", True),
        ({"users": ["anna"]}, "bert", False),
        ({"users": ["ALL"], "users-deny": ["bert"]}, "bert", False),
        ({"groups": ["staff"]}, "anna", True),
        ({"groups": ["staff"]}, "bert", False),
        ({"groups": ["staff"]}, "carl", False),
        ({"groups": ["ALL"], "groups-deny": ["students"]}, "bert", False),
        ({"options": {"group": "staff"}}, "bert", False),
        ({"addresses": ["192.0.2.0/24"]}, "carl", True),
        ({"addresses": ["192.0.2.0/24"], "users": ["anna"]}, "carl", False),
    ],
)
def test_rules_on_users_and_groups_are_asked_again(rules: dict[str, Any], user: str, allowed: bool) -> None:
    made = kind(**rules)
    if allowed:
        options_for(made, user, "", GROUPS.get)
    else:
        with pytest.raises(NotPermittedError, match=f"is not for {user}"):
            options_for(made, user, "", GROUPS.get)


@pytest.mark.parametrize("user", ["root", "daemon", "www-data", "nobody", "sync", "games"])
def test_accounts_that_are_no_persons_get_nothing(user: str) -> None:
    with pytest.raises(NotPermittedError, match="system account"):
        options_for(kind(), user, "", GROUPS.get)


def test_an_account_without_a_login_shell_or_locked_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    account = account_named("nobody")
    monkeypatch.setattr(permits, "account_named", lambda _name: account)
    monkeypatch.setattr(permits, "ordinary_account", lambda _name: account)
    check_account("anna")
    monkeypatch.setattr(permits, "is_locked", lambda _name: True)
    with pytest.raises(NotPermittedError, match="locked or has expired"):
        check_account("anna")


@pytest.mark.parametrize(
    ("sizes", "asked", "taken"),
    [
        (["800x600", "1024x768"], "", "800x600"),
        (["800x600", "1024x768"], "1024x768", "1024x768"),
        (["800x600", "1024x768"], "640x480", "640x480"),
        (["fullscreen"], "fullscreen", "fullscreen"),
    ],
)
def test_sizes_of_the_type_and_smaller_ones(sizes: list[str], asked: str, taken: str) -> None:
    assert size_of(kind(options={"sizes": sizes}), asked) == taken


@pytest.mark.parametrize(
    ("sizes", "asked"),
    [
        (["800x600"], "801x600"),
        (["800x600"], "800x601"),
        (["800x600"], "0800x600"),
        (["800x600"], "800x600 "),
        (["800x600"], "-800x600"),
        (["800x600"], "٨٠٠x600"),
        (["fullscreen"], "640x480"),
    ],
)
def test_other_sizes_are_refused(sizes: list[str], asked: str) -> None:
    with pytest.raises(NotPermittedError):
        size_of(kind(options={"sizes": sizes}), asked)
