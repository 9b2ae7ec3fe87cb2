"""All ways in: who gets a key for an X2Go Server by them, and that none of them is open to who is locked out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.web.conftest import ADDRESS, PASSWORD, Bench
from x2gobroker.app import create_app
from x2gobroker.auth.base import AuthMechanism
from x2gobroker.auth.htpasswd import write_user
from x2gobroker.autologin.keys import Autologin, Grant
from x2gobroker.frontends.base import EXTENSION, Context
from x2gobroker.frontends.ssh_command import Command, answer_command
from x2gobroker.locks import Wanted, lift, lock_out
from x2gobroker.model.accounts import UserNames
from x2gobroker.model.hosts import Endpoint, Host
from x2gobroker.model.vouched import Vouched
from x2gobroker.placement import Guest
from x2gobroker.plugins import AUTH_MECHANISMS, load, registered
from x2gobroker.scheduling.choice import Scheduler, Selection

Make = Callable[..., Bench]
PRE_SHARED = "5f0a7c6e-0d2c-4d4e-9d49-0c1f6d1c1a11"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
COOKIE = "require-cookie = true\n"
OPEN = "require-password = false\n"
GRANTED = "Access granted"


@dataclass(frozen=True)
class Way:
    """One way in: configuration, what a client shows, what the web server knows; `again`: by the authid it got."""

    name: str
    keys: bool
    more: str = ""
    mechanism: str = "htpasswd"
    shows: dict[str, str] = field(default_factory=dict)
    server: dict[str, str] = field(default_factory=dict)
    again: bool = False
    ssh: bool = False


RIGHT = {"password": PASSWORD}
KNOWN = {"REMOTE_USER": "anna"}
WAYS = (
    Way("password", True, shows=RIGHT),
    Way("password beside a dead authid", True, shows={**RIGHT, "authid": "dead"}),
    Way("authid", True, shows=RIGHT, again=True),
    Way("static authid", True, "use-static-cookie = true\n", shows=RIGHT, again=True),
    Way("pre-shared authid and password", True, COOKIE, shows={**RIGHT, "authid": PRE_SHARED}),
    Way("authid after that", True, COOKIE, shows={**RIGHT, "authid": PRE_SHARED}, again=True),
    Way("pre-shared authid alone", False, COOKIE + OPEN, shows={"authid": PRE_SHARED}),
    Way("pre-shared authid alone, again", False, COOKIE + OPEN, shows={"authid": PRE_SHARED}, again=True),
    Way("pre-shared authid, password not asked for", False, COOKIE + OPEN, shows={**RIGHT, "authid": PRE_SHARED}),
    Way("nothing at all", False, OPEN),
    Way("nothing at all, with a password", False, OPEN, shows=RIGHT),
    Way("nothing at all, by check-credentials", False, "check-credentials = false\n"),
    Way("nothing at all, by a web server", False, OPEN, "remote_user", server=KNOWN),
    Way("mechanism none", False, mechanism="none", shows={"password": "anything"}),
    Way("authid of mechanism none", False, mechanism="none", shows={"password": "anything"}, again=True),
    Way("web server", True, mechanism="remote_user", server=KNOWN),
    Way("authid of a web server", True, mechanism="remote_user", server=KNOWN, again=True),
    Way("web server, dead authid", True, mechanism="remote_user", shows={"authid": "x"}, server=KNOWN),
    Way("ssh", True, ssh=True),
    Way("authid of ssh", True, ssh=True, again=True),
    Way("ssh and a dead authid", True, shows={"authid": "dead"}, ssh=True),
    Way("ssh at an open broker", True, OPEN, ssh=True),
    Way("ssh and mechanism none", True, mechanism="none", ssh=True),
    Way("ssh and the pre-shared authid", True, COOKIE + OPEN, shows={"authid": PRE_SHARED}, ssh=True),
)  # fmt: skip


@dataclass
class Site:
    """A broker that would let anybody in by a key, and the accounts for which it was asked to."""

    bench: Bench
    context: Context
    keys: list[str]

    def ask(self, way: Way, task: str = "selectsession", **shown: str) -> str:
        """What the broker answers to somebody who comes this way."""
        fields = {"task": task, "sid": "desk", **(shown or way.shows)}
        if way.ssh:
            settings = self.context.source.current()
            return answer_command(settings, self.context.services, Command("anna", "own account", fields, ADDRESS)).text
        environ = {"REMOTE_ADDR": ADDRESS, **way.server}
        path = "/plain/inifile/"
        return str(
            self.bench.app.post(path, {"user": "anna", **fields}, extra_environ=environ, expect_errors=True).text
        )

    def enter(self, way: Way, task: str = "selectsession") -> str:
        """The same, by the authid of a login before where the way is that."""
        if not way.again:
            return self.ask(way, task)
        return self.ask(way, task, authid=authid_in(self.ask(way, "listsessions")))


def authid_in(text: str) -> str:
    found = re.search(r"^AUTHID:(\S+)$", text, re.MULTILINE)
    assert found, text
    return found[1]


@pytest.fixture
def site(broker_with: Make, monkeypatch: pytest.MonkeyPatch) -> Callable[[Way], Site]:
    """Make a site for a way in."""
    selection = Selection("desk.example", 22, Host("desk.example"), endpoints=(Endpoint("d", "desk.example", 22),))
    keys: list[str] = []

    def grant(_self: Autologin, *arguments: Any) -> Grant:
        account, pubkey = arguments[4], arguments[5]
        keys.append(account)
        return Grant("" if pubkey else "-----BEGIN RSA PRIVATE KEY-----\n", bool(pubkey))

    monkeypatch.setattr(Scheduler, "choose", lambda *_arguments: selection)
    monkeypatch.setattr(Autologin, "grant", grant)

    def make(way: Way) -> Site:
        more = {
            "default-agent-query-mode": "LOCAL",
            "default-session-autologin": "true",
            "session-status-in-listing": "false",
            "penalties": "false",
        }
        agents = "".join(f"{name} = {value}\n" for name, value in more.items())
        bench = broker_with(agents + way.more)
        text = (bench.folder / "x2gobroker.conf").read_text(encoding="utf-8")
        bench.write(
            "x2gobroker.conf", text.replace("default-auth-mech = htpasswd", f"default-auth-mech = {way.mechanism}")
        )
        bench.write("authid", f"{PRE_SHARED}\n")
        variables = {
            "X2GOBROKER_CONFIG": str(bench.folder / "x2gobroker.conf"),
            "X2GOBROKER_DEFAULTS": str(bench.folder / "defaults.conf"),
        }
        return Site(bench, create_app(variables).extensions[EXTENSION], keys)

    return make


MakeSite = Callable[[Way], Site]


@pytest.mark.parametrize("pubkey", ["", KEY])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_who_may_get_a_key(site: MakeSite, way: Way, pubkey: str) -> None:
    made = site(way)
    shown = dict(way.shows)
    if way.again:
        shown = {"authid": authid_in(made.ask(way, "listsessions"))}
    answer = made.ask(way, **shown, pubkey=pubkey) if shown or pubkey else made.ask(way)
    assert GRANTED in answer
    assert "SERVER:desk.example:22" in answer
    assert ("PRIVATE KEY" in answer) is (way.keys and not pubkey)
    assert made.keys == (["anna"] if way.keys else [])


TASKS = ("selectsession", "listsessions", "setpass", "clientevent", "testcon", "")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_no_way_in_is_open_to_who_is_locked_out(site: MakeSite, way: Way) -> None:
    made = site(way)
    settings, services = made.context.source.current(), made.context.services
    before = authid_in(made.ask(way, "listsessions")) if way.again else ""
    lock_out(settings, services, Wanted("Anna", "root", "left us"))
    for task in TASKS:
        for answer in (made.ask(way, task), *([made.ask(way, task, authid=before)] if before else [])):
            assert GRANTED not in answer
            assert "AUTHID" not in answer
            assert "SERVER" not in answer
            assert "left us" not in answer, "the reason is for administrators"
    assert not made.keys
    assert lift(settings, services, "anna", "root")
    for task in TASKS:
        assert GRANTED in made.enter(way, task)
        if before and before != PRE_SHARED and not (way.ssh or way.server):
            assert GRANTED not in made.ask(way, task, authid=before), "what was given out before is gone for good"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_only_who_is_known_to_be_the_user_is_told_of_a_lock(site: MakeSite, way: Way) -> None:
    made = site(way)
    lock_out(made.context.source.current(), made.context.services, Wanted("anna", "root", "paid nothing", tell=True))
    told = "This account is locked: paid nothing. Ask your administrator." in made.ask(way)
    assert told is way.keys
    if way.mechanism == "htpasswd" and not way.ssh and way.keys:
        assert "locked" not in made.ask(way, **{**way.shows, "password": "wrong"})


def test_a_lock_that_comes_while_a_session_is_selected_gives_no_key(
    site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = WAYS[0]
    made = site(way)
    original = Scheduler.choose

    def choose(*arguments: Any) -> Selection:
        lock_out(made.context.source.current(), made.context.services, Wanted("anna", "root"))
        return original(*arguments)

    monkeypatch.setattr(Scheduler, "choose", choose)
    assert "PRIVATE KEY" not in made.ask(way)
    assert not made.keys


def test_nobody_gets_a_key_into_an_account_that_is_locked_out(site: MakeSite) -> None:
    """A profile names the account, which several users share."""
    made = site(WAYS[0])
    made.bench.write("profiles.conf", "[desk]\nhost = desk.example\nuser = shared\n")
    lock_out(made.context.source.current(), made.context.services, Wanted("shared", "root"))
    assert "PRIVATE KEY" not in made.ask(WAYS[0])
    assert not made.keys


def test_every_mechanism_that_ships_says_how_it_knows_its_users() -> None:
    silent = {name for name in registered(AUTH_MECHANISMS) if not mechanism(name).vouches}
    assert silent == {"none"}


def mechanism(name: str) -> type[AuthMechanism]:
    return load(AUTH_MECHANISMS, name, AuthMechanism)  # type: ignore[type-abstract]


def test_a_mechanism_that_does_not_say_so_vouches_for_nobody() -> None:
    assert not AuthMechanism.vouches


def test_nobody_is_vouched_for_by_default_or_without_a_reason() -> None:
    for how in ("", " "):
        with pytest.raises(ValueError, match="without saying how"):
            Vouched(how)
    with pytest.raises(TypeError):
        Guest(UserNames("anna"))  # type: ignore[call-arg]


def test_an_account_that_is_gone_gets_no_key(site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    """The login was good, and the authid is; but its user is no longer in the file, or has a hash that is none."""
    way = next(way for way in WAYS if way.name == "authid")
    made = site(way)
    authid = authid_in(made.ask(way, "listsessions"))
    users = made.bench.folder / "users"
    hashed = users.read_text(encoding="utf-8")
    for text, why in ((hashed.replace("anna:", "anna:!"), "no usable password hash"), ("", "no longer in the file")):
        made.bench.write("users", text)
        answer = made.ask(way, authid=authid)
        assert GRANTED in answer, "that is for the login to say, and for the lock"
        assert "PRIVATE KEY" not in answer
        assert why in caplog.text
        authid = authid_in(answer)
    assert not made.keys


def test_a_mechanism_that_cannot_tell_gives_no_key(site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    way = next(way for way in WAYS if way.name == "authid")
    made = site(way)
    authid = authid_in(made.ask(way, "listsessions"))
    (made.bench.folder / "users").unlink()
    assert "PRIVATE KEY" not in made.ask(way, authid=authid)
    assert "mechanism not available" in caplog.text
    assert not made.keys


def test_who_is_known_from_sshd_is_not_asked_about_elsewhere(site: MakeSite) -> None:
    """Its users are the system's own, and need not stand in the file of passwords."""
    made = site(next(way for way in WAYS if way.name == "ssh"))
    write_user(made.bench.folder / "users", "anna", None)
    assert "PRIVATE KEY" in made.ask(WAYS[[way.name for way in WAYS].index("ssh")])
