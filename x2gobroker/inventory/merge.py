"""What is known of one X2Go Server after something has happened: a function from values to a value.

The rules, each of which a test holds against a model:

- What was learnt as of a later moment wins, in whatever order it comes in. A report that was asked for before a client
  said something does not undo it.
- A server's silence ends no session. Only the server itself ends one, or a broker that has had it ended.
- What clients say counts until the server has been heard as of a later moment: then the server's word counts.
- Clocks of servers count for nothing; moments to come are taken for now.
- A watch tells a change once. So what its server lists for one account holds until the watch is heard as of a later
  moment, and does not take the place of what the watch has told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from x2gobroker.inventory.happenings import (
    WATCH_LAG,
    Answered,
    Changed,
    Happening,
    Placed,
    Said,
    Silent,
    Told,
    Withdrawn,
)
from x2gobroker.model.inventory import (
    AHEAD_SECONDS,
    BROKER,
    CLOCK_SECONDS,
    ENDED,
    EVENT,
    EXPECTED,
    LEFT,
    LISTED,
    REPORT,
    WATCH,
    KnownServer,
    KnownSession,
    SessionKey,
    View,
)
from x2gobroker.model.server_report import SeenSession
from x2gobroker.model.sessions import ENDING, RUNNING, SUSPENDED

SAME_SECONDS = 1.0  # of two events this close nobody knows which one came first
ENDED_SECONDS = 600.0  # longer than any answer is waited for
LINGER_SECONDS = 10.0  # for which a client may speak of a session that a broker has had ended
MOST_CLAIMED = 50  # sessions of one account on one server that only clients have spoken of
SERVER_SAYS = (WATCH, REPORT, LISTED)

Sessions = dict[SessionKey, KnownSession]


def merge(before: View, happening: Happening, now: float) -> View:
    """What is known after `happening`, of what was known before it; `now` is when it is merged.

    `before` has all sessions of the server, or, for what is about one account, at least those of that account. For a
    line of a watch, those are enough whose state is not what the server last said, with all of the accounts it names.
    """
    view = _without_old(_without_future(before, now), now)
    match happening:
        case Told():
            return _told(view, happening, min(happening.asked, now), min(happening.heard, now))
        case Changed():
            # as it was written: the same watch goes on, by whatever clock
            is_next = happening.follows == before.server.known > 0
            return _changed(view, happening, min(happening.asked, now), min(happening.heard, now), is_next)
        case Answered():
            asked, heard = min(happening.asked, now), min(happening.heard, now)
            return replace(view, server=_answers(view.server, asked, heard, happening.how))
        case Silent():
            return replace(view, server=_silent(view.server, happening, min(happening.asked, now)))
        case Said():
            return _said(view, happening, min(happening.at, now))
        case Placed():
            return _placed(view, happening, min(happening.at, now))
        case Withdrawn():
            return _withdrawn(view, happening)
        case _:
            assert_never(happening)


def _answers(server: KnownServer, asked: float, heard: float, how: str) -> KnownServer:
    """The server, which has answered. It is not silent any more, unless it was asked in vain later."""
    if asked < server.asked:
        return replace(server, heard=max(server.heard, heard))
    # brokers ask for sessions of one account all the time: that says least of how the server is heard
    told = how if how != LISTED or not server.how else server.how
    latest = max(server.heard, heard)
    return replace(server, how=told, asked=asked, heard=latest, silent_since=0.0, trouble="")


def _silent(server: KnownServer, silent: Silent, asked: float) -> KnownServer:
    if asked < server.asked:
        return server
    return replace(server, asked=asked, silent_since=server.silent_since or asked, trouble=silent.trouble)


def _told(view: View, told: Told, asked: float, heard: float) -> View:
    """A server's list, of all sessions or those of one account."""
    server = _answers(view.server, asked, heard, told.how)
    if asked < server.known:
        return replace(view, server=server)
    sessions = dict(view.sessions)
    seen = [one for one in told.sessions if told.user in ("", one.user)]
    is_word = told.how != LISTED or server.how != WATCH
    mentioned = _take(sessions, seen, asked, heard, told.how, told.whole and not told.user, is_word)
    if told.whole:
        about = {key for key in view.sessions if not told.user or key[0] == told.user}
        # of all sessions `known` tells that they are not there; of one account nothing does
        _leave_out(sessions, about - mentioned, asked, told.how if told.user else "", is_word)
        if not told.user:
            server = replace(server, known=asked)
    return View(server, sessions)


def _changed(view: View, changed: Changed, asked: float, heard: float, is_next: bool) -> View:
    """A line of a watch, which says of all other sessions that they are as the server has said before.

    `is_next`: it follows what is known.
    """
    server = view.server
    if not is_next:
        return replace(view, server=_answers(server, asked, heard, WATCH))
    asked = max(asked, server.known)  # a clock that is set back does not take anything back
    sessions = dict(view.sessions)
    mentioned = _take(sessions, changed.sessions, asked, heard, WATCH, is_sure=True)
    _leave_out(sessions, changed.gone - mentioned, asked)
    for key in view.sessions.keys() & sessions.keys() - mentioned:
        session = sessions[key]
        if session.state in (EXPECTED, session.told) or session.last_seen > asked:
            continue
        if session.told:
            sessions[key] = replace(session, state=session.told, since=asked, source=WATCH, last_seen=asked)
        else:
            del sessions[key]
    return View(replace(_answers(server, asked, heard, WATCH), known=asked), sessions)


def _take(
    sessions: Sessions,
    seen: Iterable[SeenSession],
    asked: float,
    heard: float,
    how: str,
    is_sure: bool,
    is_word: bool = True,
) -> set[SessionKey]:
    """Take what a server says of these sessions, as of `asked`; their keys.

    `is_sure`: the whole server is known as of `asked` after this, so that it need not be noted with each session.
    `is_word`: it takes the place of what the server has told before.
    """
    mentioned = set()
    awaited = _awaited(sessions)
    for one in sorted(seen, key=lambda one: (one.since, one.name)):
        key = one.user, one.name
        mentioned.add(key)
        known = sessions.get(key)
        since = min(one.since, heard)
        word = one.state if is_word else "" if known is None else known.told
        if known is None:
            found = KnownSession(one.user, one.name, one.state, word, since, how, heard, asked, one.client, one.display)
            sessions[key] = _as_expected(sessions, awaited, found, heard)
        elif known.last_seen > asked:
            sessions[key] = replace(known, told=word)
        else:
            same = known.state == one.state
            sessions[key] = replace(
                known,
                state=one.state,
                told=word,
                since=known.since if same else since,
                source=how,
                last_seen=known.last_seen if same and is_sure else asked,
                client=one.client or known.client,
                display=one.display,
            )
    return mentioned


def _leave_out(
    sessions: Sessions, keys: Iterable[SessionKey], asked: float, ended_by: str = "", is_word: bool = True
) -> None:
    """The server has no such sessions, as of `asked`; `ended_by` is how that is known, empty where nobody notes it."""
    for key in keys:
        session = sessions.get(key)
        if session is None or session.state == EXPECTED:
            continue
        word = "" if is_word else session.told
        if session.last_seen > asked:
            sessions[key] = replace(session, told=word)
        elif ended_by:
            since = session.since if session.state == ENDED else asked
            sessions[key] = replace(session, state=ENDED, told=word, since=since, source=ended_by, last_seen=asked)
        else:
            del sessions[key]


def _awaited(sessions: Sessions) -> dict[str, list[KnownSession]]:
    """The sessions that are waited for, by account: made once for all that show up, of which there may be thousands."""
    awaited: dict[str, list[KnownSession]] = {}
    for one in sessions.values():
        if one.state == EXPECTED:
            awaited.setdefault(one.user, []).append(one)
    return awaited


def _as_expected(
    sessions: Sessions, awaited: dict[str, list[KnownSession]], found: KnownSession, now: float
) -> KnownSession:
    """A session that has just shown up: the one of its account that has been waited for longest has come."""
    waited = [one for one in awaited.get(found.user, ()) if one.since <= min(now, _latest(found))]
    if not waited:
        return found
    come = min(waited, key=lambda one: (one.since, one.name))
    awaited[found.user].remove(come)
    del sessions[come.key]
    return replace(found, backend=come.backend, profile=come.profile)


def _latest(found: KnownSession) -> float:
    """When a session began at the latest, as far as the clock of its server can be believed."""
    return found.since + CLOCK_SECONDS


def _said(view: View, said: Said, at: float) -> View:
    """A client's event, or what a broker has done."""
    key = said.user, said.name
    known = view.sessions.get(key)
    if at < view.server.known or (known is not None and at < known.last_seen):
        return view
    if known is None:
        return _first_said(view, said, at)
    if said.source == EVENT and _is_no_news(known, said, at):
        return view
    state = known.state if said.state == LEFT and known.state in (SUSPENDED, ENDING) else said.state
    news = replace(
        known,
        state=state,
        since=known.since if state == known.state else at,
        source=said.source,
        last_seen=at,
        client=said.client or known.client,
        display=known.display if said.display < 0 else said.display,
    )
    return View(view.server, {**view.sessions, key: news})


def _first_said(view: View, said: Said, at: float) -> View:
    """A session that nobody has spoken of before; what is over for a client may be over for all."""
    claimed = sum(one.user == said.user and not one.told for one in view.sessions.values())
    begins = said.state in (RUNNING, SUSPENDED)
    if said.source == EVENT and (not begins or claimed >= MOST_CLAIMED):
        return view
    found = KnownSession(said.user, said.name, said.state, "", at, said.source, at, at, said.client, said.display)
    sessions = dict(view.sessions)
    sessions[found.key] = _as_expected(sessions, _awaited(sessions), found, at) if begins else found
    return View(view.server, sessions)


def _is_no_news(known: KnownSession, said: Said, at: float) -> bool:
    """Whether an event says nothing: it may have come before another one, or is of a client that others took over."""
    if known.state == ENDED:
        lingers = at < known.last_seen + LINGER_SECONDS and known.source == BROKER
        return lingers or said.state not in (RUNNING, SUSPENDED)
    if said.state == LEFT and known.state == RUNNING and known.source == EVENT:
        return known.client != said.client
    came_before = {ENDING: (RUNNING, SUSPENDED), LEFT: (RUNNING,)}.get(known.state, ())
    return known.source == EVENT and said.state in came_before and at < known.last_seen + SAME_SECONDS


def _placed(view: View, placed: Placed, at: float) -> View:
    """Somebody is on the way; a second selection by the same profile takes the place of the first."""
    key = placed.user, placed.name
    known = view.sessions.get(key)
    if known is not None and known.since > at:
        return view
    waited = KnownSession(
        placed.user,
        placed.name,
        EXPECTED,
        "",
        at,
        placed.source,
        at,
        at,
        backend=placed.backend,
        profile=placed.profile,
        until=placed.until,
    )
    return View(view.server, {**view.sessions, key: waited})


def _withdrawn(view: View, withdrawn: Withdrawn) -> View:
    known = view.sessions.get((withdrawn.user, withdrawn.name))
    if known is None or known.state != EXPECTED or known.since > withdrawn.at:
        return view
    return View(view.server, {key: one for key, one in view.sessions.items() if one is not known})


def _without_old(view: View, now: float) -> View:
    """Without what is kept for a while only: those who are on the way no longer, and what has ended."""
    over = {key for key, one in view.sessions.items() if _is_over(one, now)}
    if not over:
        return view
    return View(view.server, {key: one for key, one in view.sessions.items() if key not in over})


def _is_over(session: KnownSession, now: float) -> bool:
    if session.state == EXPECTED:
        return session.until <= now
    # a client has had it ended, and the server does not speak of its sessions
    unheard = session.state == ENDING and not session.told
    return (session.state == ENDED or unheard) and session.last_seen <= now - ENDED_SECONDS


def _without_future(view: View, now: float) -> View:
    """With no moment to come: a clock that is ahead, or was and was set back, must not keep news away.

    What the server itself has said counts as of when a line of a watch would that comes now: all that was written is
    older, and who is heard now is believed at once.
    """
    latest, lately = now + AHEAD_SECONDS, now - WATCH_LAG
    server = view.server
    if max(server.known, server.asked, server.heard) > latest:
        server = replace(
            server,
            known=server.known if server.known <= latest else lately,
            asked=server.asked if server.asked <= latest else lately,
            heard=min(server.heard, now),
            silent_since=min(server.silent_since, now),
        )
    early = {key: one for key, one in view.sessions.items() if max(one.last_seen, one.first_seen) > latest}
    if not early and server is view.server:
        return view
    sessions = dict(view.sessions)
    for key, one in early.items():
        sessions[key] = replace(
            one,
            since=min(one.since, now),
            first_seen=min(one.first_seen, now),
            last_seen=min(one.last_seen, lately if one.source in SERVER_SAYS else now),
            until=min(one.until, now + (one.until - one.since)),
        )
    return View(server, sessions)
