"""Choosing one X2Go Server: the one with the user's sessions, else the best one for a new session."""

from __future__ import annotations

import logging
import random
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from x2gobroker.agents.farm import AgentFarm
from x2gobroker.agents.rules import NONE, AgentRules
from x2gobroker.errors import StoreError
from x2gobroker.logs import broker_log, error_log
from x2gobroker.logs import field as log_field
from x2gobroker.model.hosts import DEFAULT_SSH_PORT, Endpoint, Host, ascii_name
from x2gobroker.model.inventory import Beforehand
from x2gobroker.model.profile import SessionProfile
from x2gobroker.model.server_names import find_host
from x2gobroker.model.sessions import SUSPENDED, Listing, ServerSession, resume_order
from x2gobroker.scheduling.beforehand import doubted, to_ask, untried
from x2gobroker.scheduling.candidates import candidates_of
from x2gobroker.scheduling.notes import Notes
from x2gobroker.scheduling.placing import Placing
from x2gobroker.scheduling.probe import PortProbe
from x2gobroker.scheduling.ranking import UNKNOWN, Candidate, Ranked, ranked
from x2gobroker.scheduling.survey import Questions, Servers, Survey, one_knows_all, survey
from x2gobroker.store import Drain, Drains, Loads, Reservations, Seen, ServerLoad
from x2gobroker.store.reservations import Claim, Held, Place

NO_SERVER = "no-server-available"
NO_SERVER_UP = "no-X2Go-Server-available"
RUNNERS_UP = 3


@dataclass(frozen=True)
class Selection:
    """The server to go to. `host` is None where there is none: then `server` is a name that says so.

    `session_lines` are the sessions to offer for resuming, the best first; `endpoints` the servers that the client may
    connect to. `private_key` and `key_accepted` are for autologin: a key made for the client, or its own let in.
    `silent` has the keys of servers whose agents were waited for in vain. `told` is why there is no server at present,
    for the user, where it is for a reason that passes; then there is none.
    """

    server: str
    port: int
    host: Host | None = None
    session_lines: tuple[str, ...] = field(default=(), repr=False)
    endpoints: tuple[Endpoint, ...] = ()
    private_key: str = field(default="", repr=False)
    key_accepted: bool = False
    silent: frozenset[str] = frozenset()
    told: str = ""


@dataclass(frozen=True)
class Wish:
    """Who wants a server, by which profile, and how it is to be found.

    `user` is the account on the servers; empty where it is not known: then no agent is asked. `probe`: only servers
    whose SSH port answers. Then come the options `reservation-seconds`, `new-logins-per-server` and
    `load-checker-intervals`. `claimant` is the user of the broker, for whom a place is reserved, where that is
    somebody else than the account `user`: several people may share one. `known_for` is `sessions-known-for`: by which
    rule what is known of sessions spares a question; 0: all agents are asked.
    """

    backend: str
    profile: SessionProfile
    user: str
    probe: bool
    rules: AgentRules
    use_loads: bool
    reservation_seconds: float
    new_logins_per_server: int
    load_interval: float
    claimant: str = ""
    known_for: float = 0.0

    @property
    def reserves_as(self) -> str:
        """The user whose name reservations bear."""
        return self.claimant or self.user


@dataclass(frozen=True)
class Stores:
    """What all workers and broker hosts share about X2Go Servers; in one store. `notes` is told what was found."""

    reservations: Reservations
    loads: Loads
    drains: Drains
    notes: Notes | None = None


@dataclass
class _Known:
    """What the store says; empty where it fails."""

    loads: Mapping[str, ServerLoad] = field(default_factory=dict)
    drains: tuple[Drain, ...] = ()
    works: bool = True
    before: Beforehand | None = None


class Scheduler:
    """Chooses servers; safe for threads. `dice` and `clock` (seconds since the epoch) can be replaced for tests."""

    def __init__(
        self, farm: AgentFarm | None = None, dice: random.Random | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._farm = farm if farm is not None else AgentFarm()
        self._dice = dice if dice is not None else random.Random()  # noqa: S311 - spreads users, guards nothing
        self._clock = clock
        self._probe = PortProbe()

    def glance(self, profile: SessionProfile | None, probe: bool) -> Selection:
        """A server of the profile: any that answers on its SSH port where `probe` is set, else any.

        Without a look at sessions, load and drained servers, and without a reservation: for lists of servers.
        """
        if profile is None:
            return Selection(NO_SERVER, DEFAULT_SSH_PORT)
        servers = Servers.of(profile)
        hosts = profile.hosts[:1] if profile.is_shadow else tuple(servers.by_key.values())
        if not hosts:
            return _no_host(profile)
        if probe and len(hosts) > 1:
            targets = servers.targets()
            up = self._probe.reachable(targets.values())
            hosts = tuple(host for key, host in servers.by_key.items() if targets[key] in up)
            if not hosts:
                tried = ", ".join(servers.by_key)
                error_log.error("session profile [%s]: no X2Go Server answers; tried %s", log_field(profile.id), tried)
                return Selection(NO_SERVER_UP, profile.sshport)
        return _selected(profile, self._dice.choice(hosts))

    def choose(self, wish: Wish, stores: Stores) -> Selection:
        """The server to go to: that of the user's sessions, else the best for a new one, and a place reserved there.

        Takes no longer than the agents' timeout and a little. A store that fails keeps nobody out: then nobody knows
        of drained servers, load reports and places handed out by others.
        """
        profile = wish.profile
        if profile.is_shadow or not profile.hosts:
            return self.glance(profile, probe=False)
        choice = _Choice(wish, stores, self._clock)
        asked = choice.questions()
        seen = survey(self._farm, self._probe, asked)
        sessions = choice.sessions_to_offer(seen)
        if sessions:
            choice.confirm(seen)
            choice.note(seen)
            selection = choice.resumed(sessions)
        else:
            selection = choice.not_now(seen) or choice.new(seen, self._dice, self._probe, asked)
        return replace(selection, silent=seen.silent)


@dataclass
class _Choice:
    """One choice: what is asked, and what is made of the answers."""

    wish: Wish
    stores: Stores
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        wish = self.wish
        self.now = self.clock()
        self.profile = wish.profile
        self.servers = Servers.of(wish.profile)
        self.own_name = socket.gethostname()
        self.asks_agents = bool(wish.user) and wish.rules.mode != NONE
        self.known = self._known()
        self.dead = frozenset(
            key for key, load in self.known.loads.items() if load.is_dead(wish.load_interval, self.now)
        )

    def _known(self) -> _Known:
        stores = self.stores
        keys, wish = self.servers.by_key.keys(), self.wish
        # the only server is given out whatever the load checker says of it
        needs_loads = wish.use_loads or self.asks_agents or not self.is_single
        asks_beforehand = self.asks_agents and wish.known_for and stores.notes is not None
        try:
            with stores.loads.store.begin() as connection:
                drains = tuple(stores.drains.read(connection))
                loads = stores.loads.read(connection, keys) if needs_loads else {}
                if stores.notes is None or not asks_beforehand:
                    return _Known(loads, drains)
                counts = not self.is_single and not wish.use_loads
                before = stores.notes.known(connection, wish.user, keys, wish.known_for, counts)
                return _Known(loads, drains, True, before)
        except StoreError as error:
            _store_failed(error)
            return _Known(works=False)

    @property
    def is_single(self) -> bool:
        """Whether there is only one server: it is given out down or not, and the client tells the user."""
        return len(self.servers.by_key) == 1

    def questions(self) -> Questions:
        """What to ask the servers."""
        wish, interval = self.wish, self.wish.load_interval
        fresh = [load.fresh_report(interval, self.now) for load in self.known.loads.values()]
        reports = [report for report in fresh if report is not None] if wish.use_loads else []
        told = bool(reports) and all(report.sessions is not None for report in reports)
        counts = self.asks_agents and not self.is_single and not told
        probe = wish.probe and not self.is_single
        before = self.known.before
        if before is None:
            return Questions(self.servers, wish.rules, wish.user, probe, self.asks_agents, counts, self.dead)
        every = frozenset(self.servers.by_key)
        ask = to_ask(before, every, self.dead, wish.rules)
        alive = untried(before, every, self.dead, wish.rules)
        found_dead = {key: load for key, load in self.known.loads.items() if key in self.dead}
        doubts = frozenset[str]() if self.is_single else doubted(before, found_dead, wish.rules)
        asked = self.servers, wish.rules, wish.user, probe, self.asks_agents, counts, self.dead
        return Questions(*asked, ask, before.counts, alive, doubts)

    def is_up(self, key: str, seen: Survey) -> bool:
        """Whether a server answers, as far as anybody knows."""
        if self.is_single or key in seen.back:
            return True
        return key in seen.up if seen.up is not None else key not in self.dead

    def _placing(self, seen: Survey) -> Placing:
        where = self.known.before.where if self.known.before is not None else {}
        return Placing(seen.findings, one_knows_all(self.wish.rules), where, self.own_name)

    def sessions_to_offer(self, seen: Survey) -> list[tuple[str, ServerSession]]:
        """The user's sessions on servers of the profile that answer, best first, each with the key of its server.

        X2Go Client is told one port for all of them: those on servers with another one than the first's are left out.
        """
        found, placing = [], self._placing(seen)
        for session in resume_order(seen.findings.sessions):
            key = placing.key_of(session, self.profile)
            if not key:
                broker_log.info(
                    "session %s of user=%s is not offered: it is not clear which server of [%s] calls itself %s",
                    log_field(session.name),
                    log_field(self.wish.user),
                    log_field(self.profile.id),
                    log_field(session.server),
                )
            elif not self.is_up(key, seen):
                broker_log.info(
                    "session %s of user=%s is not offered: %s does not answer",
                    log_field(session.name),
                    log_field(self.wish.user),
                    self._label(key),
                )
            else:
                found.append((key, session))
        return [(key, session) for key, session in found if self._port(key) == self._port(found[0][0])]

    def _port(self, key: str) -> int:
        return self.servers.endpoints[key].port

    def not_now(self, seen: Survey) -> Selection | None:
        """No selection, where the user has a session on a server that is up, and no agent can tell about it.

        A new session would be a second one, of which the user would learn when the first one is missed.
        """
        before = self.known.before
        if before is None or (seen.findings.answered and one_knows_all(self.wish.rules)):
            return None
        failed = {server.key: error for server, error in seen.findings.failed.items()}
        lost = sorted(key for key in before.homes & failed.keys() if self.is_up(key, seen))
        if not lost:
            return None
        for key in lost:
            error_log.error(
                "user=%s has a session on %s, which cannot be resumed: %s: %s; no other one is begun",
                log_field(self.wish.user),
                self._label(key),
                failed[key].reason,
                failed[key],
            )
        name = ascii_name(self.servers.by_key[lost[0]].name)
        told = (
            f"You have a session on {name}, and the broker cannot ask that server about it at present. "
            "Try again in a minute, or contact your administrator"
        )
        return Selection(NO_SERVER_UP, self.profile.sshport, told=told)

    def confirm(self, seen: Survey) -> None:
        """Places that were reserved for sessions that have now shown up are no longer waited for."""
        if not self.known.works:
            return
        placing = self._placing(seen)
        placed = ((placing.key_of(found, self.profile), found) for found in seen.findings.sessions)
        sessions = [Seen(key, self.now - found.age, found.name) for key, found in placed if key]
        try:
            self.stores.reservations.confirm_all(self.wish.reserves_as, sessions, self.now)
        except StoreError as error:
            _store_failed(error)

    def note(self, seen: Survey) -> None:
        """Let it be known what sessions were found."""
        if self.stores.notes is None or not self.known.works:
            return
        try:
            self.stores.notes.listed(self.wish.user, self._heard(seen))
        except StoreError as error:
            _store_failed(error)

    def _heard(self, seen: Survey) -> Listing:
        placing, endpoints = self._placing(seen), self.servers.endpoints
        placed = [(placing.key_of(one, self.profile), one) for one in seen.findings.sessions]
        sessions = tuple((endpoints[key], session) for key, session in placed if key in endpoints)
        return Listing(placing.all_told(endpoints, placed), sessions, self.now)

    def resumed(self, sessions: list[tuple[str, ServerSession]]) -> Selection:
        """The selection that offers these sessions.

        All of them as suspended: X2Go Client resumes no other, and resuming a running one takes it over.
        """
        by_key = self.servers.by_key
        lines = tuple(session.in_state(SUSPENDED).line(by_key[key].speakable) for key, session in sessions)
        endpoints = tuple(self.servers.endpoints[key] for key in dict.fromkeys(key for key, _ in sessions))
        host = by_key[sessions[0][0]]
        self._say(endpoints[0].key, "session", ", ".join(log_field(session.name) for _, session in sessions))
        return Selection(host.target, self._port(sessions[0][0]), host, lines, endpoints)

    def new(self, seen: Survey, dice: random.Random, probe: PortProbe, asked: Questions) -> Selection:
        """The selection for a new session, with a place reserved on its server.

        A server that was not tried, as it has said something of late, is tried when it is the best: where it does not
        answer, all are. Behind a proxy none is: the broker may be unable to reach it.
        """
        selection = self._best(seen, dice)
        tries = asked.probe and not asked.rules.proxy
        untried = {server for server in selection.endpoints if tries and server.key in asked.alive}
        if not untried or probe.reachable(untried):
            return selection
        targets = self.servers.targets()
        reached = probe.reachable(targets.values())
        up = {key for key, target in targets.items() if target in reached}
        up |= {server.key for server in seen.findings.answered}
        return self._best(replace(seen, up=frozenset(up)), dice)

    def _best(self, seen: Survey, dice: random.Random) -> Selection:
        wish = self.wish
        keys, out = self._open_servers(seen)
        loads = self.known.loads if wish.use_loads else {}
        candidates = candidates_of(
            self.profile, self.servers, keys, seen, wish.rules, loads, wish.load_interval, self.now, self.own_name
        )
        order = self._reserve(candidates, dice, seen)
        for entry in order:
            if entry.is_full:
                out[entry.candidate.endpoint.key] = f"has {wish.new_logins_per_server} new logins under way"
        if not order or order[0].is_full:
            return self._nothing(out)
        best = order[0].candidate
        way = "single" if self.is_single else way_of(order[0], bool(loads))
        self._say(best.endpoint.key, way, self._figures(order), out)
        return Selection(best.host.target, best.endpoint.port, best.host, endpoints=(best.endpoint,))

    def _open_servers(self, seen: Survey) -> tuple[list[str], dict[str, str]]:
        """The keys of servers that may have new sessions, and why the others may not."""
        names = [drain.name for drain in self.known.drains]
        out = {key: "is down" for key in self.servers.by_key if not self.is_up(key, seen)}
        for key, host in self.servers.by_key.items():
            if any(is_drained(host, key, name, self.own_name) for name in names):
                out[key] = "is drained"
        keys = [key for key in self.servers.by_key if key not in out]
        if not keys and seen.up is None:
            # nobody has tried their ports, and the load checker may be behind
            keys = [key for key, why in out.items() if why == "is down"]
        return keys, {key: why for key, why in out.items() if key not in keys}

    def _reserve(self, candidates: list[Candidate], dice: random.Random, seen: Survey) -> list[Ranked]:
        """Rank and reserve in one transaction of the store, and note it there; without it, where it fails."""
        wish, now = self.wish, self.clock()  # asking may have taken seconds
        order: list[Ranked] = []
        claim = Claim(wish.reserves_as, wish.backend, self.profile.id, wish.reservation_seconds)

        def pick(reservations: Mapping[str, list[Held]]) -> Place | None:
            order[:] = ranked(candidates, reservations, wish.new_logins_per_server, now, dice)
            if not order or order[0].is_full:
                return None
            best = order[0]
            return Place(best.candidate.endpoint, UNKNOWN if best.candidate.sessions is None else best.expected)

        def note(connection: Connection, place: Place) -> None:
            if self.stores.notes is not None and wish.user:
                self.stores.notes.placed(connection, wish.user, claim, place.server, now, self._heard(seen))

        if not candidates or not self.known.works:
            pick({})
            return order
        since = {candidate.endpoint.key: candidate.since for candidate in candidates}
        hold = self.stores.reservations.hold
        try:
            if wish.reservation_seconds > 0:
                hold(claim, since, pick, now, note)
            elif self.stores.notes is not None:
                hold(claim, {}, lambda _none: pick({}), now, note)
            else:
                pick({})
        except StoreError as error:
            _store_failed(error)
            pick({})
        return order

    def _nothing(self, out: Mapping[str, str]) -> Selection:
        error_log.error(
            "session profile [%s]: no X2Go Server for user=%s: %s",
            log_field(self.profile.id),
            log_field(self.wish.reserves_as),
            self._reasons(out),
        )
        return Selection(NO_SERVER_UP, self.profile.sshport)

    def _reasons(self, out: Mapping[str, str]) -> str:
        return "; ".join(f"{self._label(key)} {why}" for key, why in out.items())

    def _label(self, key: str) -> str:
        endpoint = self.servers.endpoints[key]
        return log_field(key if key.startswith(endpoint.name.lower()) else f"{endpoint.name}[{key}]")

    def _figures(self, order: list[Ranked]) -> str:
        return ", ".join(
            f"{self._label(entry.candidate.endpoint.key)} ({entry.expected} sessions, load {entry.load:.3g})"
            for entry in order[: RUNNERS_UP + 1]
            if not entry.is_full
        )

    def _say(self, key: str, way: str, order: str, out: Mapping[str, str] | None = None) -> None:
        if not broker_log.isEnabledFor(logging.INFO):
            return  # of hundreds of servers, the reasons take their time
        broker_log.info(
            "selectsession user=%s backend=%s profile=%s server=%s by=%s order=%s out=%s",
            log_field(self.wish.reserves_as),
            self.wish.backend,
            log_field(self.profile.id),
            self._label(key),
            way,
            order or "-",
            self._reasons(out or {}) or "-",
        )


def is_drained(host: Host, key: str, name: str, own_name: str = "") -> bool:
    """Whether a drained server's `name` means this host, the Endpoint of which has this key.

    A name without a domain means every host of that name.
    """
    return name == key or find_host((host,), name, own_name) is not None


def way_of(best: Ranked, by_load: bool) -> str:
    """How a server was chosen, in one word."""
    if best.candidate.sessions is None:
        return "weight"
    return "load" if by_load and best.candidate.tier == 0 else "sessions"


def _selected(profile: SessionProfile, host: Host) -> Selection:
    endpoint = host.endpoint(profile.sshport)
    return Selection(host.target, endpoint.port, host, endpoints=(endpoint,))


def _no_host(profile: SessionProfile) -> Selection:
    error_log.error("session profile [%s] has no usable host", log_field(profile.id))
    return Selection(NO_SERVER, profile.sshport)


def _store_failed(error: StoreError) -> None:
    error_log.error("choosing a server without reservations and loads: %s", error)
