"""Letting a client in: a key is put on the X2Go Servers of a selection, and on the SSH proxy host in front of them."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from x2gobroker.agents.base import BrokerAgent
from x2gobroker.agents.farm import AgentFarm, own_endpoint
from x2gobroker.agents.rules import LOCAL, SSH, AgentRules
from x2gobroker.autologin.stock import KeyStock
from x2gobroker.errors import AgentError, StoreError
from x2gobroker.logs import broker_log, error_log
from x2gobroker.logs import field as log_field
from x2gobroker.model.hosts import DEFAULT_SSH_PORT, Endpoint, split_address
from x2gobroker.model.options import parse_boolean
from x2gobroker.model.profile import BROKER_USER, SessionProfile
from x2gobroker.model.public_key import PublicKey, parse_public_key
from x2gobroker.settings import GLOBAL, Settings
from x2gobroker.store import AutologinKeys, StoredKey

DAY = 86400.0
EXPIRES_AFTER = timedelta(days=2)
# by then every server has reached the expiry date, in whatever time zone it is
GIVE_UP_SECONDS = 3 * DAY


@dataclass(frozen=True)
class Grant:
    """How the client logs in: with this private key; with the key that it sent; or, if neither, without the broker."""

    private_key: str = field(default="", repr=False)
    accepted: bool = False


@dataclass(frozen=True)
class _Put:
    """One key that is to be put somewhere, for so many seconds."""

    rules: AgentRules
    stored: StoredKey
    seconds: int


def key_line(key: PublicKey, now: float) -> str:
    """The line of an authorized_keys file that lets `key` in, for two or three days if nobody takes it away.

    The date is coarse because servers read it in their own time zone. There is no `no-pty` in it: the login check of
    X2Go Client wants a terminal. An agent of ours takes the key only and writes narrower options of its own.

    The same key always makes the same line on one day: Debian's agent finds a key again by its whole line.
    """
    expires = (datetime.fromtimestamp(now, UTC) + EXPIRES_AFTER).strftime("%Y%m%d")
    mark = hashlib.sha256(key.blob.encode("ascii")).hexdigest()[:12]
    return key.line(f'no-X11-forwarding,no-user-rc,expiry-time="{expires}"', f"x2gobroker-{mark}")


class Autologin:
    """Puts keys on servers; safe for threads."""

    def __init__(self, farm: AgentFarm, keys: AutologinKeys, stock: KeyStock) -> None:
        self._farm = farm
        self._keys = keys
        self._stock = stock

    def grant(
        self,
        settings: Settings,
        profile: SessionProfile,
        endpoints: Sequence[Endpoint],
        rules: AgentRules,
        account: str,
        pubkey: str = "",
        address: str = "",
        silent: Collection[str] = (),
        owner: str = "",
    ) -> Grant:
        """Let a client in at all `endpoints`, and at the profile's SSH proxy host, by a key of `account`.

        `account` must be one that the broker vouches for. `pubkey` is the client's own public key; without one, a pair
        is made. `silent` has the keys of servers that this client has waited for in vain already: they are not asked,
        so that it does not wait twice. `owner` is the user of the broker, with whom the key goes. An empty Grant where
        no X2Go Server took the key; the log says why.
        """
        try:
            asked = _without(silent, servers_of(endpoints, rules))
            key, private_key = self._key(settings, pubkey)
            puts = planned(settings, profile, asked, rules, account, key, time.time())
            self._keys.record([put.stored for put in puts], owner)
        except (StoreError, ValueError) as error:
            self._say_no(profile, account, str(error))
            return Grant()
        let_in = self._put_all(puts, account)
        if not any(server.key in let_in for server in asked):
            self._say_no(profile, account, "no X2Go Server took the key")
            return Grant()
        broker_log.info(
            "autologin account=%s address=%s profile=%s servers=%s key=%s",
            log_field(account),
            log_field(address),
            log_field(profile.id),
            ",".join(sorted(let_in)),
            "of-the-client" if pubkey else "one-off",
        )
        return Grant(private_key, bool(pubkey))

    def _key(self, settings: Settings, pubkey: str) -> tuple[PublicKey, str]:
        """The key to let in, and its private half where it is not the client's own. Raises ValueError."""
        if pubkey:
            return parse_public_key(pubkey), ""
        pair = self._stock.take(settings.text(GLOBAL, "autologin-key-type"))
        return pair.public, pair.private

    def _put_all(self, puts: Sequence[_Put], account: str) -> set[str]:
        """Put the keys everywhere at once; the keys of the endpoints where that worked."""
        let_in: set[str] = set()
        for mode in dict.fromkeys(put.rules.mode for put in puts):
            here = [put for put in puts if put.rules.mode == mode]

            def call(agent: BrokerAgent, server: Endpoint, here: Sequence[_Put] = here) -> None:
                for put in here:
                    stored = put.stored
                    if stored.server.key == server.key:
                        agent.add_auth_key(server, put.rules, stored.user, stored.line, stored.keys_file, put.seconds)

            answers = self._farm.ask_all([put.stored.server for put in here], here[0].rules, call)
            for server, answer in answers.items():
                if isinstance(answer, AgentError):
                    broker_log.warning(
                        "autologin account=%s: no key on %s: %s: %s",
                        log_field(account),
                        log_field(server.key),
                        answer.reason,
                        answer,
                    )
                else:
                    let_in.add(server.key)
        return let_in

    @staticmethod
    def _say_no(profile: SessionProfile, account: str, why: str) -> None:
        error_log.error(
            "session profile [%s]: no autologin for %s: %s; the client gets no key and asks for the account's password",
            log_field(profile.id),
            log_field(account),
            why,
        )


def _without(silent: Collection[str], servers: Sequence[Endpoint]) -> list[Endpoint]:
    """The servers whose keys are not among `silent`. Raises ValueError when none is left."""
    asked = [server for server in servers if server.key not in silent]
    if not asked:
        names = ", ".join(log_field(server.key) for server in servers)
        raise ValueError(f"no answer in time from {names}")
    return asked


def planned(
    settings: Settings,
    profile: SessionProfile,
    endpoints: Iterable[Endpoint],
    rules: AgentRules,
    account: str,
    key: PublicKey,
    now: float,
) -> list[_Put]:
    """Where a key is to be put, and until when: counted from the moment by which the last agent has answered."""
    line = key_line(key, now)
    seconds = settings.integer(GLOBAL, "autologin-key-seconds")
    keys_file = profile.broker_text("authorized-keys") or settings.text(GLOBAL, "default-authorized-keys")
    places = [(server, rules, account, keys_file) for server in servers_of(endpoints, rules)]
    proxy = proxy_of(profile, account)
    if proxy is not None:
        server, user = proxy
        keys_file = profile.broker_text("sshproxy-authorized-keys") or settings.text(
            GLOBAL, "default-sshproxy-authorized-keys"
        )
        places.append((server, rules_for_proxy(rules, server), user, keys_file))
    puts: dict[str, _Put] = {}
    for server, its_rules, user, file in places:
        stored = StoredKey(
            server=server,
            user=user,
            keys_file=file,
            line=line,
            mode=its_rules.mode,
            policy=its_rules.host_key_policy,
            proxy=its_rules.proxy,
            broker_host=socket.gethostname() if its_rules.mode == LOCAL else "",
            due=now + rules.timeout + seconds,
            give_up=now + GIVE_UP_SECONDS,
        )
        puts.setdefault(stored.id, _Put(its_rules, stored, seconds))
    return list(puts.values())


def servers_of(endpoints: Iterable[Endpoint], rules: AgentRules) -> tuple[Endpoint, ...]:
    """The servers whose agents are asked; in query mode LOCAL that is this host alone."""
    return (own_endpoint(),) if rules.mode == LOCAL else tuple(endpoints)


def proxy_of(profile: SessionProfile, account: str) -> tuple[Endpoint, str] | None:
    """The SSH proxy host that clients go through, and the account there; None where there is none."""
    options = profile.options

    def flag(name: str) -> bool:
        try:
            return parse_boolean(str(options.get(name, "0")))
        except ValueError:
            return False

    host = str(options.get("sshproxyhost", "")).strip()
    if not host or not flag("usesshproxy") or str(options.get("sshproxytype", "SSH")).upper() != "SSH":
        return None
    try:
        address, port = split_address(host)
    except ValueError as error:
        error_log.error("session profile [%s]: sshproxyhost: %s", log_field(profile.id), error)
        return None
    user = str(options.get("sshproxyuser", ""))
    if user in ("", BROKER_USER) or flag("sshproxysameuser"):
        user = account
    if port is None:
        told = options.get("sshproxyport")
        port = told if isinstance(told, int) else DEFAULT_SSH_PORT
    return Endpoint(address, address, port), user


def rules_for_proxy(rules: AgentRules, server: Endpoint) -> AgentRules:
    """The rules for the proxy host itself: always by SSH, and not through itself."""
    through = rules.proxy.rpartition("@")[2]
    try:
        through = split_address(through)[0] if through else ""
    except ValueError:
        through = ""
    return replace(rules, mode=SSH, proxy="" if through.lower() == server.address.lower() else rules.proxy)
