"""Granting autologin: where keys are put, what is stored before, and what the client gets when it does not work."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.unit.configured import Files
from tests.unit.key_servers import RULES, FarmOf, KeyServers
from x2gobroker.autologin import Autologin, Grant, KeyStock
from x2gobroker.autologin.keys import GIVE_UP_SECONDS, key_line, proxy_of, rules_for_proxy
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.profile import SessionProfile, build_profile
from x2gobroker.model.public_key import parse_public_key
from x2gobroker.settings import Settings
from x2gobroker.ssh.keys import generate_key
from x2gobroker.store import AutologinKeys, Store

A, B = Endpoint("a", "a.example"), Endpoint("b", "192.0.2.2", 2222)
ON_A, ON_B = "a.example:22", "192.0.2.2:2222"
FILE = "%h/.x2go/authorized_keys"
MINE = generate_key("ed25519").public


def a_profile(**options: str) -> SessionProfile:
    """A profile of these options, with - for _."""
    problems: list[str] = []
    text = {name.replace("_", "-"): value for name, value in options.items()}
    made = build_profile("desk", {"host": "a", **text}, {}, lambda _name, message: problems.append(message))
    assert not problems
    return made


@dataclass
class World:
    """Autologin over a farm in memory."""

    servers: KeyServers
    keys: AutologinKeys
    autologin: Autologin
    settings: Settings

    def grant(self, *endpoints: Endpoint, pubkey: str = "", silent: Collection[str] = (), **options: str) -> Grant:
        """Let anna in."""
        profile = a_profile(**options)
        return self.autologin.grant(self.settings, profile, endpoints, RULES, "anna", pubkey, "192.0.2.7", silent)


@pytest.fixture
def world(tmp_path: Path, files: Files) -> Iterator[World]:
    """Servers that all work, and an empty store."""
    store = Store(URL.create("sqlite", database=str(tmp_path / "s" / "x.sqlite")))
    servers, keys = KeyServers(), AutologinKeys(store)
    farm = FarmOf(servers)
    settings = files.write("[global]\nautologin-key-seconds = 30\nautologin-key-type = ed25519\n")
    yield World(servers, keys, Autologin(farm, keys, KeyStock()), settings)
    farm.close()
    store.close()


def test_a_pair_is_made_and_its_public_half_put_on_every_server(world: World) -> None:
    grant = world.grant(A, B)
    assert "PRIVATE KEY" in grant.private_key
    assert not grant.accepted
    assert world.servers.keys_on(ON_A) == world.servers.keys_on(ON_B) != []
    assert set(world.servers.files) == {(ON_A, "anna", FILE), (ON_B, "anna", FILE)}
    assert grant.private_key not in repr(grant)


def test_the_pair_is_of_the_configured_kind(world: World, files: Files) -> None:
    world.settings = files.write("[global]\nautologin-key-type = rsa\n")
    grant = world.grant(A)
    assert grant.private_key.startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert parse_public_key(world.servers.keys_on(ON_A)[0]).kind == "ssh-rsa"


def test_of_a_clients_key_only_the_key_is_taken(world: World) -> None:
    sent = f'no-pty,command="rm -rf /",environment="X=ssh-rsa AAAA" {MINE.kind} {MINE.blob} me@example evil'
    assert world.grant(A, pubkey=sent) == Grant("", True)
    (line,) = world.servers.keys_on(ON_A)
    assert re.fullmatch(
        rf'no-X11-forwarding,no-user-rc,expiry-time="\d{{8}}" {MINE.kind} {re.escape(MINE.blob)} x2gobroker-[0-9a-f]+',
        line,
    )


@pytest.mark.parametrize(
    "sent", ["nonsense", "ssh-rsa AAAA", "ssh-dss AAAAB3NzaC1kc3M", "a\nssh-rsa AAAA", "x" * 20000]
)
def test_what_is_no_key_lets_nobody_in(world: World, said: pytest.LogCaptureFixture, sent: str) -> None:
    assert world.grant(A, pubkey=sent) == Grant()
    assert world.servers.calls == []
    assert "no autologin for anna" in said.text


def test_each_key_is_stored_before_it_is_put(world: World) -> None:
    stored: list[int] = []
    world.servers.before_call = lambda _key: stored.append(len(world.keys.all()))
    world.grant(A, B)
    assert stored == [2, 2]
    one, other = world.keys.all()
    assert {one.server, other.server} == {A, B}
    assert one.line == world.servers.keys_on(ON_A)[0]
    assert one.give_up - one.due == pytest.approx(GIVE_UP_SECONDS - 30 - RULES.timeout)
    assert (one.mode, one.policy, one.proxy, one.broker_host) == ("SSH", "RejectPolicy", "", "")


def test_without_a_store_no_key_is_put_anywhere(world: World, said: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    broken = AutologinKeys(Store(URL.create("sqlite", database=str(tmp_path / "file" / "x.sqlite"))))
    grant = Autologin(FarmOf(world.servers), broken, KeyStock()).grant(world.settings, a_profile(), [A], RULES, "anna")
    assert grant == Grant()
    assert world.servers.calls == []
    assert "no autologin for anna: the state store" in said.text


def test_a_server_that_fails_does_not_keep_the_others(world: World, said: pytest.LogCaptureFixture) -> None:
    world.servers.down.add(ON_A)
    assert world.grant(A, B).private_key
    assert world.servers.keys_on(ON_B)
    assert f"autologin account=anna: no key on {ON_A}: unreachable" in said.text


def test_where_no_server_takes_the_key_the_client_gets_none(world: World, said: pytest.LogCaptureFixture) -> None:
    world.servers.down.add(ON_A)
    world.servers.refusing.add(ON_B)
    assert world.grant(A, B) == Grant()
    assert world.grant(A, B, pubkey=MINE.line()) == Grant()
    assert "the client gets no key and asks for the account's password" in said.text


def test_what_may_have_half_worked_stays_stored(world: World) -> None:
    world.servers.half.add(ON_A)
    assert world.grant(A) == Grant()
    assert world.servers.keys_on(ON_A)
    assert [key.server for key in world.keys.all()] == [A]


def test_a_server_that_takes_too_long_is_not_waited_for(world: World) -> None:
    world.servers.slow[ON_A] = RULES.timeout + 1
    assert world.grant(A, B).private_key
    assert len(world.keys.all()) == 2


def test_a_server_that_was_waited_for_already_is_not_asked(world: World, said: pytest.LogCaptureFixture) -> None:
    assert world.grant(A, B, silent={ON_A}).private_key
    assert [key.server for key in world.keys.all()] == [B]
    assert world.grant(A, silent={ON_A}, sshproxyhost="gate.example", usesshproxy="true") == Grant()
    assert {server for server, _ in world.servers.calls} == {ON_B}
    assert f"no autologin for anna: no answer in time from {ON_A}; the client gets no key" in said.text


def test_no_secret_is_stored_or_logged(world: World, said: pytest.LogCaptureFixture) -> None:
    secret = world.grant(A).private_key.splitlines()[1]
    assert secret not in repr(world.keys.all()) + said.text
    assert not any(secret in word for _, words in world.servers.calls for word in words)


def test_the_profile_says_where_keys_go(world: World) -> None:
    world.grant(A, broker_authorized_keys="/etc/keys/%u")
    assert set(world.servers.files) == {(ON_A, "anna", "/etc/keys/%u")}


PROXY = {"usesshproxy": "true", "sshproxyhost": "proxy.example", "sshproxytype": "SSH"}


def test_the_proxy_host_gets_the_key_as_well(world: World) -> None:
    world.grant(A, **PROXY, sshproxyport="2200", broker_sshproxy_authorized_keys="%h/proxy")
    assert set(world.servers.files) == {(ON_A, "anna", FILE), ("proxy.example:2200", "anna", "%h/proxy")}
    assert len(world.keys.all()) == 2


def test_a_key_on_the_proxy_host_alone_lets_nobody_in(world: World) -> None:
    world.servers.down.add(ON_A)
    assert world.grant(A, **PROXY) == Grant()


def test_without_the_proxy_host_the_user_is_let_in_at_the_server(world: World) -> None:
    world.servers.down.add("proxy.example:22")
    assert world.grant(A, **PROXY).private_key


def test_a_server_that_is_its_own_proxy_gets_the_key_once(world: World) -> None:
    world.grant(Endpoint("proxy", "proxy.example"), **PROXY)
    assert world.servers.tasks("proxy.example:22") == ["addauthkey"]


def test_with_agents_on_this_host_the_proxy_is_still_asked_by_ssh(world: World) -> None:
    local = replace(RULES, mode="LOCAL")
    world.autologin.grant(world.settings, a_profile(**PROXY), [A], local, "anna")
    assert [(rules.mode, key) for rules, (key, _) in zip(world.servers.rules, world.servers.calls, strict=True)] == [
        ("LOCAL", "localhost:0"),
        ("SSH", "proxy.example:22"),
    ]
    assert sorted(bool(key.broker_host) for key in world.keys.all()) == [False, True]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, None),
        ({"sshproxyhost": "p"}, None),
        ({"usesshproxy": "0", "sshproxyhost": "p"}, None),
        ({"usesshproxy": "perhaps", "sshproxyhost": "p"}, None),
        ({"usesshproxy": "1", "sshproxyhost": ""}, None),
        ({"usesshproxy": "1", "sshproxyhost": "p q"}, None),
        ({"usesshproxy": "1", "sshproxyhost": "p", "sshproxytype": "HTTP"}, None),
        ({"usesshproxy": "1", "sshproxyhost": "p"}, (Endpoint("p", "p", 22), "anna")),
        ({"usesshproxy": "1", "sshproxyhost": "p:99", "sshproxyport": "7"}, (Endpoint("p", "p", 99), "anna")),
        ({"usesshproxy": "1", "sshproxyhost": "p", "sshproxyuser": "gate"}, (Endpoint("p", "p", 22), "gate")),
        ({"usesshproxy": "1", "sshproxyhost": "p", "sshproxyuser": "BROKER_USER"}, (Endpoint("p", "p", 22), "anna")),
        (
            {"usesshproxy": "1", "sshproxyhost": "p", "sshproxyuser": "gate", "sshproxysameuser": "true"},
            (Endpoint("p", "p", 22), "anna"),
        ),
    ],
)
def test_the_proxy_host_of_a_profile(options: dict[str, str], found: object) -> None:
    assert proxy_of(a_profile(**options), "anna") == found


@pytest.mark.parametrize(
    ("through", "left"), [("", ""), ("me@proxy.example:22", ""), ("other", "other"), ("a b", "a b")]
)
def test_the_proxy_host_is_not_reached_through_itself(through: str, left: str) -> None:
    assert rules_for_proxy(replace(RULES, proxy=through), Endpoint("proxy", "proxy.example")).proxy == left


def test_the_line_expires_in_every_time_zone_after_hours_and_before_three_days() -> None:
    for hour in range(24):
        now = 1_800_000_000 + hour * 3600
        found = re.search(r'expiry-time="(\d{8})"', key_line(MINE, now))
        assert found
        midnight = datetime.strptime(found[1], "%Y%m%d").replace(tzinfo=UTC).timestamp()
        assert now + 9 * 3600 < midnight - 14 * 3600
        assert midnight + 12 * 3600 < now + GIVE_UP_SECONDS


def test_one_key_makes_one_line_on_one_day() -> None:
    assert key_line(MINE, 1_800_000_000) == key_line(MINE, 1_800_000_100)
    assert "no-pty" not in key_line(MINE, 0)
