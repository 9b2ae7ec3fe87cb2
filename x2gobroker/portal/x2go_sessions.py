"""A user's sessions on the X2Go Servers of all session profiles, found with the password that the user signed in with.

Each server is asked once for each page, however many profiles name it; one that has refused the password is left alone
for a while, so that looking at a page does not lock accounts.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from x2gobroker.agents.rules import agent_rules
from x2gobroker.errors import SessionError
from x2gobroker.model.hosts import Host
from x2gobroker.model.profile import SessionProfile
from x2gobroker.placement import account_for
from x2gobroker.settings import Settings
from x2gobroker.user_sessions import FoundSessions, UserLogin, UserSession, UserSessions
from x2gobroker.user_sessions.values import LOGIN, TIMEOUT

LIST_SECONDS = 6.0
MOST_WAYS = 16  # groups of servers that are reached in different ways, at the same time
REFUSED_SECONDS = 600.0
MOST_REFUSED = 10000

Way = tuple[str, str]


@dataclass(frozen=True)
class FoundSession:
    """A session, and a profile whose server it is on: by that it is suspended, terminated and opened."""

    session: UserSession
    profile: SessionProfile


@dataclass(frozen=True)
class Found:
    """All sessions of a user, suspended ones first; and why servers did not answer, reason to their names.

    The reasons are those of SessionError.
    """

    sessions: tuple[FoundSession, ...] = ()
    failed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class RefusedLogins:
    """Which servers have refused which user's password of late. Safe for threads; knows nothing of other processes."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[bytes, float]] = {}

    def _digest(self, login: UserLogin) -> bytes:
        return hmac.digest(self._key, login.password.encode("utf-8", "surrogatepass"), "sha256")

    def note(self, server: str, login: UserLogin, now: float) -> None:
        """The server has refused this password."""
        with self._lock:
            if len(self._known) >= MOST_REFUSED:
                self._known = {key: value for key, value in self._known.items() if value[1] > now}
            if len(self._known) < MOST_REFUSED:
                self._known[login.account, server] = self._digest(login), now + REFUSED_SECONDS

    def has(self, server: str, login: UserLogin, now: float) -> bool:
        """Whether it has refused this very password within REFUSED_SECONDS."""
        with self._lock:
            known = self._known.get((login.account, server))
        return known is not None and known[1] > now and hmac.compare_digest(known[0], self._digest(login))

    def forget(self) -> None:
        """Begin anew: all servers are asked again."""
        with self._lock:
            self._known.clear()


_REFUSED = RefusedLogins()
_TURNS_LOCK = threading.Lock()
_TURNS: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()  # of users for whom somebody asks


def own_profiles(profiles: Iterable[SessionProfile], user: str) -> list[SessionProfile]:
    """The profiles that log in on X2Go Servers as the user: others' accounts have other passwords, and users."""
    return [
        profile
        for profile in profiles
        if account_for(profile, user) == user and not profile.is_shadow and not profile.options.get("directrdp")
    ]


def find_sessions(
    settings: Settings,
    backend: str,
    profiles: Iterable[SessionProfile],
    login: UserLogin,
    seconds: float = LIST_SECONDS,
    refused: RefusedLogins = _REFUSED,
    skip: Collection[str] = (),
) -> Found:
    """The user's sessions on all servers of these profiles, all asked at the same time, within `seconds`.

    Not on those with a key in `skip`, where it is known that there are none. For each user one list at a time, so that
    somebody who reloads the page does not take all threads.
    """
    moment = time.monotonic()
    end = moment + seconds
    with _turn(login.account, seconds):
        return _find(settings, backend, profiles, login, end, refused, skip)


@contextlib.contextmanager
def _turn(user: str, seconds: float) -> Iterator[None]:
    """Wait until no other thread asks for this user; not longer than `seconds`, when there is no time left anyhow."""
    with _TURNS_LOCK:
        lock = _TURNS.get(user)
        if lock is None:
            lock = _TURNS[user] = threading.Lock()
    is_mine = lock.acquire(timeout=max(0.0, seconds))
    try:
        yield
    finally:
        if is_mine:
            lock.release()


def _find(
    settings: Settings,
    backend: str,
    profiles: Iterable[SessionProfile],
    login: UserLogin,
    end: float,
    refused: RefusedLogins,
    skip: Collection[str],
) -> Found:
    now = time.monotonic()
    ways, owners, left_alone = _servers(settings, backend, profiles, login, refused, now, skip)

    def ask(hosts: Sequence[Host]) -> FoundSessions:
        left = end - time.monotonic()
        if left <= 0:
            return _all_failed(hosts, SessionError("there was no time left to ask", TIMEOUT))
        whole = replace(owners[_key(hosts[0])], hosts=tuple(hosts))
        try:
            return UserSessions(backend, list_seconds=left).find(settings, whole, login)
        except SessionError as error:
            return _all_failed(hosts, error)

    if len(ways) > 1:
        with ThreadPoolExecutor(min(len(ways), MOST_WAYS), "portal-sessions") as threads:
            answers = list(threads.map(ask, ways))
    else:
        answers = [ask(hosts) for hosts in ways]
    sessions = [FoundSession(session, owners[_key(session.host)]) for answer in answers for session in answer.sessions]
    sessions.sort(key=lambda one: (not one.session.is_suspended, one.session.age, one.session.name))
    failed: dict[str, list[str]] = {LOGIN: left_alone} if left_alone else {}
    for hosts, answer in zip(ways, answers, strict=True):
        for host in hosts:
            error = answer.failed.get(host)
            if error is not None and host.name not in failed.setdefault(error.reason, []):
                failed[error.reason].append(host.name)
                if error.reason == LOGIN:
                    refused.note(_key(host), login, now)
    return Found(tuple(sessions), {reason: tuple(sorted(names)) for reason, names in failed.items()})


def _servers(
    settings: Settings,
    backend: str,
    profiles: Iterable[SessionProfile],
    login: UserLogin,
    refused: RefusedLogins,
    now: float,
    skip: Collection[str],
) -> tuple[list[list[Host]], dict[str, SessionProfile], list[str]]:
    """Each server once, in groups that are reached in the same way; the first profile of each; those left alone."""
    ways: dict[Way, list[Host]] = {}
    owners: dict[str, SessionProfile] = {}
    left_alone: list[str] = []
    for profile in own_profiles(profiles, login.account):
        rules = agent_rules(settings, backend, profile)
        for host in profile.hosts:
            whole = replace(host, port=host.port_or(profile.sshport))
            key = _key(whole)
            if key in owners or key in skip:
                continue
            owners[key] = profile
            if refused.has(key, login, now):
                left_alone.append(host.name)
            else:
                ways.setdefault((rules.host_key_policy, rules.proxy), []).append(whole)
    return list(ways.values()), owners, left_alone


def _key(host: Host) -> str:
    return host.endpoint(0).key


def _all_failed(hosts: Iterable[Host], error: SessionError) -> FoundSessions:
    return FoundSessions((), dict.fromkeys(hosts, error))
