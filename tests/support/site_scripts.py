"""Scripts of a site, for tests: each class is one script, registered under its name in small letters."""

from __future__ import annotations

import time
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from x2gobroker import plugins
from x2gobroker.plugins import SCRIPTS
from x2gobroker.scripts.base import BrokerScript, ScriptValues
from x2gobroker.scripts.optional import X2GoBrokerOptionalScript

SEEN: list[ScriptValues] = []


class Watch(BrokerScript):
    """Remembers what it is told."""

    def _run(self, values: ScriptValues) -> ScriptValues:
        SEEN.append(values)
        return values


class Domain(BrokerScript):
    """Takes `user@domain` for `user`."""

    def _run(self, values: ScriptValues) -> ScriptValues:
        return replace(values, username=values.username.partition("@")[0])


class Refuse(BrokerScript):
    """Refuses."""

    def _run(self, values: ScriptValues) -> ScriptValues:
        return replace(values, authed=False)


class Grant(BrokerScript):
    """Grants whatever it may."""

    def _run(self, values: ScriptValues) -> ScriptValues:
        return replace(values, authed=True, username="bert")


class Desk(BrokerScript):
    """Makes every task the selection of the profile `desk`."""

    def _run(self, values: ScriptValues) -> ScriptValues:
        return replace(values, task="selectsession", profile_id="desk")


class Crash(BrokerScript):
    """Fails, with a secret in the exception's text."""

    def _run(self, values: ScriptValues) -> ScriptValues:
        raise RuntimeError(f"cannot use {values.password!r}")


class Nothing(BrokerScript):
    """Forgets to return anything."""

    def _run(self, values: ScriptValues) -> ScriptValues:
        return None  # type: ignore[return-value]


class Number(BrokerScript):
    """Returns a value of another type."""

    def _run(self, values: ScriptValues) -> ScriptValues:
        return replace(values, username=7)  # type: ignore[arg-type]


class Slow(BrokerScript):
    """Takes its time."""

    def _run(self, values: ScriptValues) -> ScriptValues:
        time.sleep(0.02)
        return values


class Outside(BrokerScript):
    """Names the server as it is called from outside."""

    def _run(self, values: ScriptValues) -> ScriptValues:
        return replace(values, server="outside.example", authed=False)


class Forge(BrokerScript):
    """Names a server that would be two lines."""

    def _run(self, values: ScriptValues) -> ScriptValues:
        return replace(values, server="evil\nSESSION_INFO:1|2")


class Unmade(BrokerScript):
    """Cannot even be made."""

    def __init__(self, name: str) -> None:
        raise OSError(f"no file for {name}")

    def _run(self, values: ScriptValues) -> ScriptValues:
        return values


class Former(X2GoBrokerOptionalScript):
    """A script as it was written for x2gobroker 0.0.4.3: user names in small letters, and a fixed server."""

    def run_me(  # type: ignore[no-untyped-def]
        self, username, password, task, profile_id, ip, cookie, authed, server
    ) -> Any:
        if server is not None:
            server = "former.example"
        return username.lower(), password, task, profile_id, ip, cookie, authed, server


class Seven(X2GoBrokerOptionalScript):
    """One value too few."""

    def run_me(  # type: ignore[no-untyped-def]
        self, username, password, task, profile_id, ip, cookie, authed, server
    ) -> Any:
        return username, password, task, profile_id, ip, cookie, authed


CLASSES = (
    Watch, Domain, Refuse, Grant, Desk, Crash, Nothing, Number, Slow, Outside, Forge, Unmade, Former, Seven,
)  # fmt: skip


def register_site_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the scripts as an installed package would, beside those that are installed."""
    SEEN.clear()
    points = dict(plugins.registered(SCRIPTS))
    for each in CLASSES:
        name = each.__name__.lower()
        points[name] = EntryPoint(name, f"{__name__}:{each.__name__}", SCRIPTS)
    points["broken"] = EntryPoint("broken", "no.such.module:Script", SCRIPTS)
    points["stranger"] = EntryPoint("stranger", "pathlib:Path", SCRIPTS)
    monkeypatch.setitem(plugins._registered, SCRIPTS, points)
