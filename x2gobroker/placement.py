"""Where the sessions of a user are, and where a new one goes: agents, scheduler and autologin put together."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from x2gobroker.agents.rules import NONE, AgentRules, agent_rules, mode_of, uses_load_checker
from x2gobroker.errors import PluginError, StoreError
from x2gobroker.inventory.events import note_event
from x2gobroker.inventory.reads import Places, empty_places, known_places, rule_of
from x2gobroker.inventory.record import Inventory
from x2gobroker.inventory.selections import SelectionNotes
from x2gobroker.logs import broker_log, error_log
from x2gobroker.logs import field as log_field
from x2gobroker.model.accounts import UserNames
from x2gobroker.model.hosts import Endpoint, Host
from x2gobroker.model.profile import BROKER_USER, SessionProfile
from x2gobroker.model.sessions import SUSPENDED, Listing, ServerSession
from x2gobroker.model.vouched import Vouched
from x2gobroker.scheduling.choice import Selection, Stores, Wish
from x2gobroker.scheduling.placing import Placing
from x2gobroker.scheduling.standing import Count, count_listed, count_reported
from x2gobroker.scheduling.survey import NOTHING, one_knows_all
from x2gobroker.services import Services
from x2gobroker.settings import GLOBAL, Settings
from x2gobroker.store import (
    ClientEvent,
    Drains,
    Loads,
    Origins,
    Reservations,
    ServerLoad,
    Store,
    UserLocks,
)

LISTING_SECONDS = 2.0


@dataclass(frozen=True)
class Guest:
    """For whom a server is wanted: the user of the broker, and who has vouched for the name; None: nobody.

    `login` is the account that the client says it will log in with; `pubkey` the public key that it sent, or nothing.
    """

    names: UserNames
    vouched: Vouched | None
    login: str = ""
    pubkey: str = ""
    address: str = ""

    @property
    def user(self) -> str:
        """The user's name, as the user writes it."""
        return self.names.user


@dataclass(frozen=True)
class Sessions:
    """What is known of a user's sessions, by profile ID: the state of the one that the profile would resume, with its
    host; and the states of all on its servers, by name.

    `begun_from` has the profiles that sessions were begun from, as far as is known.
    """

    resumable: dict[str, tuple[str, Host]] = field(default_factory=dict)
    listed: dict[str, dict[str, str]] = field(default_factory=dict)
    begun_from: dict[str, str] = field(default_factory=dict)


def account_for(profile: SessionProfile, user: str, login: str = "") -> str:
    """The account on the X2Go Servers that this user of the broker has with this profile; empty when nobody can say.

    That is the profile's `user`, where an administrator wrote one, else the user's own name. What a client claims is
    never used: it would open other people's sessions and accounts.
    """
    fixed = profile.options.get("user")
    account = fixed if isinstance(fixed, str) and fixed not in ("", BROKER_USER) else user
    return account if login in ("", user, account) else ""


def _on_servers(account: str, names: UserNames) -> UserNames:
    """The names of the account that `account_for` gives to a user with these names."""
    return names if account == names.user else UserNames(account)


def _rule(settings: Settings, account: UserNames) -> float:
    """By which rule what is known of an account counts; 0 where it is not sure by which name servers have told it."""
    return rule_of(settings) if account.is_sure else 0.0


def _is_down(load: ServerLoad | None, interval: float) -> bool:
    return load is not None and load.is_dead(interval, time.time())


def scheduling_stores(store: Store) -> Stores:
    """What the scheduler keeps in a store, and whom it asks and tells about sessions."""
    return Stores(Reservations(store), Loads(store), Drains(store), SelectionNotes(Inventory(store)))


class Placement:
    """Finds and places the sessions of one backend's profiles. Safe for threads."""

    def __init__(self, backend: str, services: Services) -> None:
        self._backend = backend
        self._services = services

    def glance(self, settings: Settings, profile: SessionProfile | None) -> Selection:
        """A server of the profile that answers, without a look at sessions and load: for lists of servers."""
        probe = settings.boolean(GLOBAL, "default-portscan-x2goservers")
        if profile is not None:
            probe = profile.broker_flag("portscan-x2goservers", probe)
        return self._services.scheduler.glance(profile, probe)

    def select(self, settings: Settings, profile: SessionProfile, guest: Guest) -> Selection:
        """The server for a session of this profile, the sessions to resume there, and a key if it logs in by one."""
        login = "" if guest.login in guest.names.all else guest.login
        named = _on_servers(account_for(profile, guest.user, login), guest.names)
        account = named.account
        if guest.user and not account:
            broker_log.warning(
                "selectsession user=%s login=%s: another account than the broker vouches for: no agent is asked",
                log_field(guest.user),
                log_field(guest.login),
            )
        wish = self._wish(settings, profile, named, guest.user)
        selection = self._services.scheduler.choose(wish, self._services.of(scheduling_stores, settings))
        autologin = profile.broker_flag("session-autologin", settings.boolean(GLOBAL, "default-session-autologin"))
        if not (autologin and account and selection.host and wish.rules.mode != NONE):
            return selection
        if guest.vouched is None:
            error_log.error(
                "session profile [%s]: no autologin for %s: this broker does not check who its users are",
                log_field(profile.id),
                log_field(guest.user),
            )
            return selection
        why_not = self._no_longer_welcome(settings, guest, account)
        if why_not:
            error_log.error(
                "session profile [%s]: no autologin for %s: %s", log_field(profile.id), log_field(guest.user), why_not
            )
            return selection
        grant = self._services.autologin(settings).grant(
            settings,
            profile,
            selection.endpoints,
            wish.rules,
            account,
            guest.pubkey,
            guest.address,
            selection.silent,
            guest.user,
        )
        return replace(selection, private_key=grant.private_key, key_accepted=grant.accepted)

    def _no_longer_welcome(self, settings: Settings, guest: Guest, account: str) -> str:
        """Why a user gets no key although the login was good: much may have happened since; nothing if all is well."""
        locks = self._services.of(UserLocks, settings)
        if any(locks.find(name) is not None for name in dict.fromkeys((guest.user, account))):
            return "the user or the account is locked out"
        name = guest.vouched.mechanism if guest.vouched is not None else ""
        if not name:
            return ""
        try:
            verdict = self._services.mechanism(name).account(settings, guest.user, guest.address)
        except PluginError as error:
            return str(error)
        return "" if verdict.granted else f"{name} does not let the account in any more: {verdict.reason}"

    def _wish(self, settings: Settings, profile: SessionProfile, account: UserNames, user: str) -> Wish:
        return Wish(
            self._backend,
            profile,
            account.account,
            profile.broker_flag("portscan-x2goservers", settings.boolean(GLOBAL, "default-portscan-x2goservers")),
            agent_rules(settings, self._backend, profile),
            uses_load_checker(settings, self._backend, profile),
            settings.integer(GLOBAL, "reservation-seconds"),
            settings.integer(GLOBAL, "new-logins-per-server"),
            settings.integer(GLOBAL, "load-checker-intervals"),
            user,
            _rule(settings, account),
        )

    def seen(self, settings: Settings, event: ClientEvent) -> None:
        """A client reports a session that runs: the place that was kept for it is taken. Raises StoreError."""
        reservations = self._services.of(scheduling_stores, settings).reservations
        reservations.reported(event.username, event.server, event.session, event.reported)

    def note_event(self, settings: Settings, connection: Connection, event: ClientEvent) -> None:
        """Take a client's event into the inventory, within the transaction that keeps the event."""

        def endpoints() -> Iterator[Endpoint]:
            for profile in self._services.backend(self._backend).all_profiles(settings):
                yield from (host.endpoint(profile.sshport) for host in profile.hosts)

        note_event(self._services.of(Inventory, settings), connection, event, endpoints)

    def sessions(self, settings: Settings, profiles: Iterable[SessionProfile], user: UserNames) -> Sessions:
        """What sessions each profile could resume. All servers are asked at once."""
        found = Sessions()
        if not user.user or not settings.boolean(GLOBAL, "session-status-in-listing"):
            return found
        asked: dict[tuple[AgentRules, UserNames], list[SessionProfile]] = {}
        for profile in profiles:
            if profile.is_shadow or mode_of(settings, self._backend, profile) == NONE:
                continue
            rules = agent_rules(settings, self._backend, profile)
            rules = replace(rules, timeout=min(rules.timeout, LISTING_SECONDS))
            account = _on_servers(account_for(profile, user.user), user)
            asked.setdefault((rules, account), []).append(profile)
        for (rules, account), members in asked.items():
            self._sessions_of(settings, members, rules, account, found)
        return found

    def empty_servers(self, settings: Settings, profiles: Iterable[SessionProfile], user: UserNames) -> frozenset[str]:
        """The keys of servers of these profiles where a user's account has no session: nobody need look for one there.

        Of servers that are down, by what was known last: nobody could look.
        """
        keys = {key for profile in profiles for key in profile.servers}
        account, rule = user.account, _rule(settings, user)
        if not rule:
            return frozenset()
        try:
            stores = self._services.of(scheduling_stores, settings)
            interval = settings.integer(GLOBAL, "load-checker-intervals")
            with stores.loads.store.begin() as connection:
                loads = stores.loads.read(connection, keys)
                return empty_places(connection, account, keys, rule, lambda key: _is_down(loads.get(key), interval))
        except StoreError as error:
            error_log.error("looking for sessions on all servers: %s", error)
            return frozenset()

    def counts(self, settings: Settings, user: str, found: Sessions) -> dict[str, Count]:
        """How many sessions of the user run and are suspended, by the profile that each was begun from.

        By what servers have just said, else by what clients reported; nobody is asked again.
        """
        if not user or not (settings.boolean(GLOBAL, "client-events") or found.listed):
            return {}
        try:
            origins = self._services.of(Origins, settings)
            live = settings.integer(GLOBAL, "client-live-event")
            counts = count_reported(origins.reported(user, self._backend), live, time.time())
            if found.listed:
                counts = {profile: count for profile, count in counts.items() if profile not in found.listed}
                begun_from = {**origins.profile_of(user, self._backend), **found.begun_from}
                counts.update(count_listed(found.listed, begun_from))
        except StoreError as error:
            error_log.error("listing profiles without counts of sessions: %s", error)
            return {}
        return counts

    def _sessions_of(
        self, settings: Settings, profiles: list[SessionProfile], rules: AgentRules, names: UserNames, found: Sessions
    ) -> None:
        """Add what is known of an account's sessions on the servers of these profiles; of others, they are asked."""
        account = names.account
        endpoints: dict[str, Endpoint] = {}
        for profile in profiles:
            for key, (_host, endpoint) in profile.servers.items():
                endpoints.setdefault(key, endpoint)
        stores, interval = (
            self._services.of(scheduling_stores, settings),
            settings.integer(GLOBAL, "load-checker-intervals"),
        )
        try:
            with stores.loads.store.begin() as connection:
                known = known_places(connection, account, endpoints, _rule(settings, names))
                loads = stores.loads.read(connection, known.unknown)
        except StoreError as error:
            error_log.error("listing profiles without what is known of sessions: %s", error)
            known, loads = Places((), frozenset(endpoints)), {}
        now = time.time()
        dead = frozenset(key for key, load in loads.items() if load.is_dead(interval, now))
        # who is down is not asked, unless nothing at all is known
        ask = known.unknown if len(known.unknown) == len(endpoints) else known.unknown - dead
        if ask and one_knows_all(rules):
            ask = frozenset(endpoints) - dead or ask  # any of them can tell, whichever is broken
        asked = tuple(endpoint for key, endpoint in endpoints.items() if key in ask)
        findings = self._services.farm.sessions_of(asked, rules, account, dead) if asked else NOTHING
        if not findings.answered and len(known.unknown) == len(endpoints):
            return
        told = endpoints.keys() - known.unknown
        if findings.answered:
            told |= endpoints.keys() if one_knows_all(rules) else {server.key for server in findings.answered}
        placing = Placing(findings, one_knows_all(rules), known.where, socket.gethostname())
        where: dict[str, tuple[Endpoint, ServerSession]] = {}
        for one in known.sessions:
            if one.backend == self._backend:
                found.begun_from[one.name] = one.profile
        for profile in profiles:
            hosts = profile.servers
            places = [(one.state, hosts[one.key][0], one.name, one.since) for one in known.sessions if one.key in hosts]
            for session in findings.sessions:
                key = placing.key_of(session, profile)
                if key:
                    where[session.name] = endpoints[key], session
                if key and not session.is_shadow:
                    places.append((session.state, hosts[key][0], session.name, now - session.age))
            places.sort(key=lambda place: (place[0] != SUSPENDED, -place[3], place[2]))
            if not places and told.isdisjoint(hosts):
                continue  # nobody has said anything of its servers
            states = found.listed.setdefault(profile.id, {})
            for state, host, name, _since in places:
                states[name] = state
                found.resumable.setdefault(profile.id, (state, host))
        if not findings.answered:
            return
        for session in findings.sessions:
            if session.name not in where:
                broker_log.info(
                    "session %s of user=%s is not listed: it is not clear which server calls itself %s",
                    log_field(session.name),
                    log_field(account),
                    log_field(session.server),
                )
        placed = [(where[one.name][0].key if one.name in where else "", one) for one in findings.sessions]
        try:
            notes = SelectionNotes(self._services.of(Inventory, settings))
            notes.listed(account, Listing(placing.all_told(endpoints, placed), tuple(where.values()), now))
        except StoreError as error:
            error_log.error("listing profiles without a note of the sessions: %s", error)
