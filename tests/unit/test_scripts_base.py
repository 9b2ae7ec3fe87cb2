"""One script: what it is told, what it may answer, and what the log says when it fails."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from tests.support.site_scripts import Crash, Former, Nothing, Number, Seven, Slow, Watch
from x2gobroker.scripts import base
from x2gobroker.scripts.base import BrokerScript, ScriptError, ScriptValues
from x2gobroker.scripts.lowercase import LowercaseScript

VALUES = ScriptValues("Anna", "s3cret-pw", "listsessions", "desk", "192.0.2.7", "s3cret-id", None, None)


def test_the_values_are_those_of_the_reference_in_its_order() -> None:
    assert [each.name for each in fields(ScriptValues)] == [
        "username", "password", "task", "profile_id", "ip", "cookie", "authed", "server",
    ]  # fmt: skip


def test_secrets_are_in_no_representation() -> None:
    assert "s3cret" not in repr(VALUES)


def test_what_a_script_returns_goes_on() -> None:
    assert LowercaseScript("lowercase").run(VALUES, "x") == replace(VALUES, username="anna")
    assert Watch("watch").run(VALUES, "x") is VALUES


def test_a_script_of_the_reference_works_as_it_is() -> None:
    former = Former("former")
    assert former.run(VALUES, "x") == replace(VALUES, username="anna")
    assert former.run(replace(VALUES, server="a"), "x").server == "former.example"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (Crash("crash"), "RuntimeError in "),
        (Nothing("nothing"), "it returned a NoneType"),
        (Number("number"), "username is no possible value, but a int"),
        (Seven("seven"), "it returned a tuple"),
    ],
)
def test_what_is_wrong_is_said_without_secrets(script: BrokerScript, says: str, said: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ScriptError) as raised:
        script.run(VALUES, "pre_auth_scripts")
    assert f"pre_auth_scripts: script {script.name} failed: {says}" in said.text
    assert "s3cret" not in said.text
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize(
    ("changed", "right"),
    [
        ({}, True),
        ({"authed": True}, True),
        ({"authed": 1}, False),
        ({"authed": "yes"}, False),
        ({"server": ""}, True),
        ({"server": 1}, False),
        ({"task": None}, False),
        ({"cookie": b"x"}, False),
        ({"profile_id": "x" * 20000}, False),
    ],
)
def test_types_are_checked(changed: dict[str, object], right: bool) -> None:
    values = ScriptValues(**{**{each.name: getattr(VALUES, each.name) for each in fields(VALUES)}, **changed})
    assert (values.problem() == "") is right


def test_a_slow_script_is_named(monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture) -> None:
    Slow("slow").run(VALUES, "x")
    assert said.text == ""
    monkeypatch.setattr(base, "SLOW_SECONDS", 0.01)
    Slow("slow").run(VALUES, "post_auth_scripts")
    assert "post_auth_scripts: script slow took 0.0 s; users wait for it" in said.text
