"""The merge against a model: of all evidence that there is about a session, that of the latest moment counts.

The merge keeps one row for each session, and sees each happening once, in the order in which it comes in. The model
keeps everything for ever, and looks through all of it for each question. What a server has told last of a session is
what its watch goes on from: where there is one, a list for one account is no such word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.unit.inventory_values import NOW, name_of
from x2gobroker.inventory.claims import own_claims
from x2gobroker.inventory.happenings import Answered, Changed, Happening, Placed, Said, Silent, Told
from x2gobroker.inventory.merge import ENDED_SECONDS, LINGER_SECONDS, merge
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import (
    BROKER,
    CHECKLOAD,
    ENDED,
    EVENT,
    EXPECTED,
    LISTED,
    REPORT,
    WATCH,
    KnownServer,
    View,
)
from x2gobroker.model.server_report import SeenSession

Key = tuple[str, str]
# two of one name, one that is known by its address, and one beside them
SERVERS = {
    server.key: server
    for server in (
        Endpoint("ts01", "10.0.0.1"),
        Endpoint("ts01", "10.0.0.2"),
        Endpoint("10.0.0.3", "10.0.0.3"),
        Endpoint("ts04.example.org", "10.0.0.4"),
    )
}
USERS = ("anna", "bert")
KEYS: tuple[Key, ...] = tuple((user, name_of(user, display)) for user in USERS for display in (50, 51, 52))

server_keys = st.sampled_from(sorted(SERVERS))
session_keys = st.sampled_from(KEYS)
server_states = st.sampled_from("RST")
lists = st.dictionaries(session_keys, server_states, max_size=len(KEYS))
lags = st.sampled_from((0.0, 0.5, 1.0, 5.0, 60.0, 290.0))
clocks = st.sampled_from((-3600.0, 0.0, 3600.0))


@dataclass(frozen=True)
class Evidence:
    """What somebody said as of a moment: of all sessions, those of a user, or some; `told`: a server itself."""

    moment: float
    states: Mapping[Key, str]
    user: str = ""
    source: str = REPORT
    only: frozenset[Key] | None = None

    def is_about(self, key: Key) -> bool:
        if self.user:
            return key[0] == self.user and key in self.states
        return self.only is None or key in self.only


@dataclass
class Model:
    """All that was ever said of one server, in the order in which it came in."""

    evidence: list[Evidence] = field(default_factory=list)
    known: float = 0.0
    told: dict[Key, str] = field(default_factory=dict)
    how: str = ""
    asked: float = 0.0

    def hear(self, asked: float, how: str) -> None:
        """It has answered; by lists for one account nobody goes who is heard otherwise."""
        if asked >= self.asked:
            self.asked = asked
            self.how = self.how or how if how == LISTED else how

    def forget(self, now: float) -> None:
        """What has ended long ago is not known to have been told either."""
        for key in KEYS:
            last = self.last(key)
            if last is not None and last.states.get(key) == ENDED and last.moment <= now - ENDED_SECONDS:
                self.told.pop(key, None)

    def add(self, evidence: Evidence) -> None:
        if evidence.moment < self.known:
            return
        self.evidence.append(evidence)
        if evidence.source == REPORT or (evidence.source == LISTED and self.how != WATCH):
            for key in KEYS:
                if evidence.is_about(key):
                    self.told[key] = evidence.states.get(key, "").replace(ENDED, "")

    def last(self, key: Key) -> Evidence | None:
        about = [one for one in self.evidence if one.is_about(key)]
        latest = max((one.moment for one in about), default=0.0)
        return next((one for one in reversed(about) if one.moment == latest), None)

    def state(self, key: Key, now: float) -> str:
        """The state of a session, empty where there is none."""
        last = self.last(key)
        state = "" if last is None else last.states.get(key, "")
        if last is None or last.moment > now - ENDED_SECONDS:
            return state
        is_forgotten = state == ENDED or (state == "T" and not self.told.get(key))
        return "" if is_forgotten else state


class InventoryMachine(RuleBasedStateMachine):
    """Servers, clients and brokers that say things, which come in late and out of order."""

    @initialize()
    def begin(self) -> None:
        self.now = NOW
        self.views = {key: View(KnownServer(key, server.name)) for key, server in SERVERS.items()}
        self.models = {key: Model() for key in SERVERS}
        self.own_names = {key: server.name for key, server in SERVERS.items()}

    def pass_on(self, key: str, happening: Happening) -> None:
        self.models[key].forget(self.now)
        self.views[key] = merge(self.views[key], happening, self.now)

    def sessions(self, key: str, states: Mapping[Key, str], clock: float) -> list[SeenSession]:
        """As the server says them, by its own clock and by its own name."""
        own = self.own_names[key]
        return [
            SeenSession(name, user, 50, state, self.now + clock, "192.0.2.9", own, (1, 2, 3))
            for (user, name), state in states.items()
        ]

    @rule(seconds=st.sampled_from((2.0, 10.0, 300.0, 700.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=server_keys, states=lists, lag=lags, clock=clocks, how=st.sampled_from((REPORT, WATCH)))
    def a_server_says_all(self, key: str, states: dict[Key, str], lag: float, clock: float, how: str) -> None:
        asked = self.now - lag
        self.pass_on(key, Told(asked, self.now, tuple(self.sessions(key, states, clock)), how))
        model = self.models[key]
        model.hear(asked, how)
        model.add(Evidence(asked, states))
        model.known = max(model.known, asked)

    @rule(key=server_keys, other=server_keys, states=lists, lie=lists, lag=lags, clock=clocks)
    def a_server_lies_of_sessions_of_others(
        self, key: str, other: str, states: dict[Key, str], lie: dict[Key, str], lag: float, clock: float
    ) -> None:
        theirs = SERVERS[other].name
        if theirs == SERVERS[key].name:
            return
        lies = [replace(one, server=theirs) for one in self.sessions(key, lie, clock)]
        claims = own_claims(self.sessions(key, states, clock) + lies, SERVERS[key], tuple(SERVERS.values()))
        asked = self.now - lag
        self.pass_on(key, Told(asked, self.now, claims.sessions, whole=claims.is_whole))
        model = self.models[key]
        model.hear(asked, REPORT)
        if lie:
            model.add(Evidence(asked, states, only=frozenset(states)))
        else:
            model.add(Evidence(asked, states))
            model.known = max(model.known, asked)

    @rule(key=server_keys, states=lists, lag=lags, clock=clocks)
    def a_server_leaves_sessions_out(self, key: str, states: dict[Key, str], lag: float, clock: float) -> None:
        asked = self.now - lag
        self.pass_on(key, Told(asked, self.now, tuple(self.sessions(key, states, clock)), whole=False))
        self.models[key].hear(asked, REPORT)
        self.models[key].add(Evidence(asked, states, only=frozenset(states)))

    @rule(key=server_keys, states=lists, user=st.sampled_from(USERS), lag=lags, clock=clocks)
    def a_server_lists_those_of_a_user(
        self, key: str, states: dict[Key, str], user: str, lag: float, clock: float
    ) -> None:
        asked = self.now - lag
        self.pass_on(key, Told(asked, self.now, tuple(self.sessions(key, states, clock)), LISTED, user))
        model = self.models[key]
        model.hear(asked, LISTED)
        # of sessions that nobody has heard of, nobody remembers that they were not there
        ended = {one: ENDED for one in KEYS if one[0] == user and model.state(one, self.now)}
        model.add(
            Evidence(asked, ended | {one: state for one, state in states.items() if one[0] == user}, user, LISTED)
        )

    @rule(key=server_keys, states=lists, gone=st.sets(session_keys), lag=lags, clock=clocks, broken=st.booleans())
    def a_watch_says_what_has_changed(
        self, key: str, states: dict[Key, str], gone: set[Key], lag: float, clock: float, broken: bool
    ) -> None:
        model, asked = self.models[key], self.now - lag
        follows = model.known + (1.0 if broken else 0.0)
        sessions = tuple(self.sessions(key, states, clock))
        self.pass_on(key, Changed(follows, asked, self.now, sessions, frozenset(gone)))
        if broken or not model.known:
            model.hear(asked, WATCH)
            return
        moment = max(asked, follows)
        model.hear(moment, WATCH)
        whole = {**{one: state for one, state in model.told.items() if one not in gone}, **states}
        # what was not spoken of is as the server has said before, and is no news where that was later
        model.add(Evidence(moment, whole))
        model.known = moment

    @rule(
        key=server_keys, states=lists, listed=lists, user=st.sampled_from(USERS), lag=st.sampled_from((0.0, 3.0, 9.0))
    )
    def a_server_lists_those_of_a_user_while_it_is_watched(
        self, key: str, states: dict[Key, str], listed: dict[Key, str], user: str, lag: float
    ) -> None:
        """What its agent says may be older or later than what its watch says; then comes a sign of life."""
        self.a_server_says_all(key, states, 0.0, 0.0, WATCH)
        self.now += 8.0
        self.a_watch_says_what_has_changed(key, {}, set(), 2.0, 0.0, False)
        self.a_server_lists_those_of_a_user(key, listed, user, lag, 0.0)
        self.now += 2.0
        self.a_watch_says_what_has_changed(key, {}, set(), 2.0, 0.0, False)

    @rule(key=server_keys, lag=lags)
    def a_server_is_silent(self, key: str, lag: float) -> None:
        before, model = self.living(), self.models[key]
        self.pass_on(key, Silent(self.now - lag, "timeout"))
        model.asked = max(model.asked, self.now - lag)
        assert self.living() == before, "silence is not an end"

    @rule(key=server_keys, lag=lags)
    def a_server_says_nothing_of_sessions(self, key: str, lag: float) -> None:
        before = self.living()
        self.pass_on(key, Answered(self.now - lag, self.now, CHECKLOAD))
        self.models[key].hear(self.now - lag, CHECKLOAD)
        assert self.living() == before

    @rule(key=server_keys, name=st.sampled_from(("new-name", "ts01", "TS04")))
    def a_server_is_renamed(self, key: str, name: str) -> None:
        """To a name that nobody else has, or one that profiles already give it."""
        own = SERVERS[key].name
        self.own_names[key] = name if own.startswith(name.lower()) or name == "new-name" else own

    @rule(key=server_keys, session=session_keys, state=st.sampled_from("RSTL"))
    def a_client_says_something(self, key: str, session: Key, state: str) -> None:
        self.now += 2.0  # closer ones are cases of their own
        self.pass_on(key, Said(self.now, *session, state, client="192.0.2.7"))
        model = self.models[key]
        before, last = model.state(session, self.now), model.last(session)
        lingers = last is not None and last.source == BROKER and self.now < last.moment + LINGER_SECONDS
        if before in ("", ENDED) and (state in "TL" or (before and lingers)):
            return
        if state == "L" and before in ("S", "T"):
            state = before
        model.add(Evidence(self.now, {session: state}, source=EVENT, only=frozenset({session})))

    @rule(key=server_keys, session=session_keys)
    def a_broker_has_a_session_ended(self, key: str, session: Key) -> None:
        self.now += 2.0
        self.pass_on(key, Said(self.now, *session, ENDED, BROKER))
        self.models[key].add(Evidence(self.now, {session: ENDED}, source=BROKER, only=frozenset({session})))

    @rule(key=server_keys, user=st.sampled_from(USERS))
    def a_broker_sends_a_user(self, key: str, user: str) -> None:
        before = self.living()
        self.pass_on(key, Placed(self.now, user, "inifile", "desk", self.now + 90))
        assert self.living() == before
        assert self.views[key].sessions[user, "inifile/desk"].is_living(self.now)

    def living(self) -> dict[str, dict[Key, str]]:
        """The states of all sessions that have shown up, as the merge has them; what has had its time is not there."""
        return {
            key: {
                one: session.state
                for one, session in merge(view, Answered(0.0, 0.0, ""), self.now).sessions.items()
                if session.state != EXPECTED
            }
            for key, view in self.views.items()
        }

    @invariant()
    def the_merge_knows_what_the_model_knows(self) -> None:
        for key, model in self.models.items():
            wanted = {one: model.state(one, self.now) for one in KEYS}
            assert self.living()[key] == {one: state for one, state in wanted.items() if state}
            assert self.views[key].server.known == model.known

    @invariant()
    def no_moment_is_to_come_and_all_are_figures(self) -> None:
        for view in self.views.values():
            for session in view.sessions.values():
                moments = (session.since, session.first_seen, session.last_seen, view.as_of(session))
                assert all(math.isfinite(moment) and moment <= self.now for moment in moments)

    @invariant()
    def the_last_word_of_a_server_is_kept_with_what_others_say(self) -> None:
        for key, view in self.views.items():
            for one, session in view.sessions.items():
                if session.state != EXPECTED and session.state != session.told:
                    assert session.last_seen >= view.server.known, (key, one)


TestInventory = InventoryMachine.TestCase
TestInventory.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
