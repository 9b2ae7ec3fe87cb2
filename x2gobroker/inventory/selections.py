"""What a selection or a listing has heard of a user's sessions, and where it has sent the user."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from x2gobroker.inventory.happenings import Placed, Said, Told
from x2gobroker.inventory.reads import Whereabout, at_login
from x2gobroker.inventory.record import Inventory, News, endpoint_of
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import BROKER, ENDED, EXPECTED, LEFT, LISTED, WATCH, Beforehand, Counted, View
from x2gobroker.model.server_report import SeenSession
from x2gobroker.model.sessions import RUNNING, SUSPENDED, Listing, ServerSession, SessionRecord
from x2gobroker.store import ServerSessions
from x2gobroker.store.reservations import Claim

EXPECTED_SECONDS = 90.0  # at least; X2Go Client starts a session when its user has chosen

MOMENT_SECONDS = 10.0
HOME_SECONDS = 86400.0  # for which a session counts that nobody has spoken of since


class SelectionNotes:
    """Notes in the inventory what the scheduler does and hears. Safe for threads."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def placed(
        self, connection: Connection, user: str, claim: Claim, server: Endpoint, now: float, heard: Listing
    ) -> None:
        """Within the transaction that reserves a place: an account was sent to this server, for a new session.

        `heard` is what agents have said before: that it has none. Servers that want to be written are taken all at
        once, as everybody takes them in the same order.
        """
        if not user:
            return
        until = now + max(claim.seconds, EXPECTED_SECONDS)
        news = self._listed(connection, user, heard)
        news.append((server, Placed(now, user, claim.backend, claim.profile, until)))
        self._inventory.take_within(connection, news)

    def known(
        self, connection: Connection, user: str, keys: Collection[str], rule: float, wants_counts: bool
    ) -> Beforehand:
        """What is known of an account's sessions on these servers, by the rule of `reads.rule_of`."""
        if not rule:
            return Beforehand(frozenset(keys))
        found, watched, as_of = at_login(connection, user, keys, rule, self._inventory.now())
        numbers: dict[str, Counted] = {}
        if wants_counts:
            counted = ServerSessions.counts(connection, keys)
            numbers = {key: Counted(counted.get(key, 0), moment) for key, moment in as_of.items()}
        homes = frozenset(one.server.key for one in found.found if _is_home(one, self._inventory.now()))
        return Beforehand(found.to_ask, homes, numbers, watched, found.where)

    def listed(self, user: str, heard: Listing) -> None:
        """Agents have listed the sessions of an account. Raises StoreError.

        Nothing is written where there are no sessions, and none were known.
        """
        if not user:
            return
        # in a transaction of its own: SQLite fails one that reads first, and then finds somebody who writes
        with self._inventory.store.begin() as connection:
            news = self._listed(connection, user, heard)
        self._inventory.take(news)

    def acted(self, user: str, names: Collection[str], state: str) -> None:
        """A broker has suspended these sessions of an account, or has had them ended (ENDED). Raises StoreError.

        Sessions of which nobody knows where they are stay unknown.
        """
        known = ServerSessions(self._inventory.store).of_user(user)
        now = self._inventory.now()
        self._inventory.take(
            (endpoint_of(view.server), Said(now, user, name, state, BROKER))
            for view in known.values()
            for name in names
            if (user, name) in view.sessions
        )

    def _listed(self, connection: Connection, user: str, heard: Listing) -> list[News]:
        whole = {server.key for server in heard.answered}
        servers = {server.key: server for server in (*heard.answered, *(server for server, _ in heard.sessions))}
        if not servers:
            return []  # nobody was asked: it was known that there are none
        known = ServerSessions.read(connection, None, user)
        now = self._inventory.now()
        news: list[News] = []
        for key, server in servers.items():
            mine = tuple(seen_of(one, now) for where, one in heard.sessions if where.key == key)
            if any(one.user != user for one in mine):
                continue  # the server calls the account by another name, under which its sessions are kept
            told = Told(heard.asked, now, mine, LISTED, user, key in whole)
            if (mine or key in known) and not _is_known(known.get(key), told):
                news.append((server, told))
        return news


def _is_home(one: Whereabout, now: float) -> bool:
    """Whether a session is there so surely that its user is rather kept from another one than given a second.

    What its client has left may have ended, unless its server has spoken of it; and an agent may be broken for good.
    """
    is_sure = one.session.state in (RUNNING, SUSPENDED) or (one.session.state == LEFT and one.session.told != "")
    return is_sure and one.age(now) <= HOME_SECONDS


def _is_known(view: View | None, told: Told) -> bool:
    """Whether it was known a moment ago as well: a client lists its profiles, and selects one at once."""
    if view is None:
        return False
    is_watched = view.server.how == WATCH  # then what is listed is not noted as the server's last word
    there = {one.name: one for one in view.sessions.values() if one.state not in (EXPECTED, ENDED)}
    return there.keys() == {seen.name for seen in told.sessions} and all(
        there[seen.name].state == seen.state
        and (is_watched or there[seen.name].told == seen.state)
        and view.as_of(there[seen.name]) > told.asked - MOMENT_SECONDS
        for seen in told.sessions
    )


def seen_of(session: ServerSession, now: float) -> SeenSession:
    """A session as an agent lists it for its user; it is as old as it is by whatever clock its server has."""
    record = SessionRecord.listed(session.line())
    return SeenSession(
        record.name,
        record.user,
        record.display,
        session.state,
        max(0.0, now - record.age),
        record.client,
        record.server,
        (record.graphics_port, record.sound_port, record.folders_port),
    )
