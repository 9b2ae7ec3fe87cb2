"""Taking autologin keys away again, when their time is over: also those of a broker process that is long gone."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from x2gobroker.agents.base import SERVER_TROUBLE, TIMEOUT, BrokerAgent
from x2gobroker.agents.farm import AgentFarm
from x2gobroker.agents.rules import AgentRules, ssh_folder
from x2gobroker.errors import AgentError, StoreError
from x2gobroker.logs import broker_log, error_log
from x2gobroker.logs import field as log_field
from x2gobroker.model.hosts import Endpoint
from x2gobroker.settings import ENVIRONMENT, GLOBAL, Settings
from x2gobroker.store import AutologinKeys, StoredKey

INTERVAL_SECONDS = 5.0
PAUSE_SECONDS = 30.0  # after the store failed
RUN_SECONDS = 60.0
CLAIMED_AT_ONCE = 64
CLAIMED_OF_ONE_SERVER = 16
SERVERS_AT_ONCE = 16  # logins need the agents' threads, too
SERVER_SECONDS = 10.0  # after which no further key of one server is begun
LEASE_SECONDS = 60.0  # a round takes that long at most, nearly always; two who take the same key away do no harm
FIRST_DELAY = 30.0
LONGEST_DELAY = 3600.0


@dataclass
class _Round:
    """What came of some keys; written by threads of the farm, some of which may be late."""

    begun: set[StoredKey] = field(default_factory=set)
    gone: list[StoredKey] = field(default_factory=list)
    refused: list[tuple[list[StoredKey], AgentError]] = field(default_factory=list)
    closed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, key: StoredKey) -> None:
        """The server is asked to take this key away."""
        with self.lock:
            if not self.closed:
                self.begun.add(key)

    def note(self, members: list[StoredKey], error: AgentError | None = None) -> None:
        """Keys of one user were taken away, or could not be."""
        with self.lock:
            if not self.closed and error is None:
                self.gone += members
            elif not self.closed and error is not None:
                self.refused.append((members, error))

    def close(self) -> None:
        """What comes later does not count: the rows of it stay claimed, and their keys are looked at again."""
        with self.lock:
            self.closed = True


class Sweep:
    """Takes keys away when they are due. Any number of sweeps, in all processes and on all hosts, may run at a time."""

    def __init__(
        self, farm: AgentFarm, settings: Callable[[], Settings], keys: Callable[[Settings], AutologinKeys]
    ) -> None:
        self._farm = farm
        self._settings = settings
        self._keys = keys
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._pid = 0

    def start(self) -> None:
        """Sweep every few seconds, in a thread of this process; again in a process that was forked from it."""
        if self._pid != os.getpid() or self._thread is None or not self._thread.is_alive():
            self._pid = os.getpid()
            self._stopped = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._stopped,), name="autologin-sweep", daemon=True
            )
            self._thread.start()

    def stop(self, seconds: float = 1.0) -> None:
        """End the thread; waits for it no longer than `seconds`. What it had claimed others take over."""
        self._stopped.set()
        thread, self._thread = self._thread, None
        if thread is not None and self._pid == os.getpid():
            thread.join(seconds)

    def _run(self, stopped: threading.Event) -> None:
        pause = 0.0
        while not stopped.wait(pause):
            # workers that were started together spread out
            pause = INTERVAL_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - guards nothing
            try:
                self.run_once(time.time(), stopped)
            except StoreError as error:
                error_log.error("autologin keys that are due stay where they are for now: %s", error)
                pause = PAUSE_SECONDS
            except Exception:  # noqa: BLE001 - whatever it is, the keys after it must be taken away as well
                error_log.exception("the sweep of autologin keys failed; it goes on")
                pause = PAUSE_SECONDS

    def run_once(self, now: float, stopped: threading.Event | None = None) -> int:
        """Take away what is due at `now` (seconds since the epoch); how many keys that were. Raises StoreError."""
        settings = self._settings()
        keys = self._keys(settings)
        gone = 0
        end = time.monotonic() + RUN_SECONDS
        while time.monotonic() < end and not (stopped and stopped.is_set()):
            claimed = keys.claim_due(now, CLAIMED_AT_ONCE, LEASE_SECONDS, socket.gethostname(), CLAIMED_OF_ONE_SERVER)
            if not claimed:
                break
            given_up = [key for key in claimed if key.give_up <= now]
            _give_up(keys, given_up)
            by_mode: dict[str, list[StoredKey]] = {}
            for key in claimed:
                if key not in given_up:
                    by_mode.setdefault(key.mode, []).append(key)
            for members in by_mode.values():
                gone += self._take_away(settings, keys, members, now)
        return gone

    def _take_away(self, settings: Settings, keys: AutologinKeys, members: Sequence[StoredKey], now: float) -> int:
        """Ask the agents to take keys away that are reached in the same query mode; how many are gone."""
        by_place: dict[str, list[StoredKey]] = {}
        for key in members:
            by_place.setdefault(key.place, []).append(key)
        places = list(by_place.values())
        gone = 0
        for begin in range(0, len(places), SERVERS_AT_ONCE):
            gone += self._ask(settings, keys, places[begin : begin + SERVERS_AT_ONCE], now)
        return gone

    def _ask(self, settings: Settings, keys: AutologinKeys, places: Sequence[list[StoredKey]], now: float) -> int:
        by_server = {members[0].server.key: members for members in places}
        outcome = _Round()

        def call(agent: BrokerAgent, server: Endpoint) -> None:
            _take_from(agent, server, by_server[server.key], settings, outcome)

        rules = rules_of(settings, places[0][0])
        seconds = SERVER_SECONDS + rules.timeout
        answers = self._farm.ask_all([members[0].server for members in places], rules, call, seconds=seconds)
        outcome.close()
        keys.done(outcome.gone)
        settled = set(outcome.gone)
        for refused, error in outcome.refused:
            _postpone(keys, refused, error, now)
            settled.update(refused)
        for server, answer in answers.items():
            members = by_server[server.key]
            left = [key for key in members if key not in settled]
            if left and isinstance(answer, AgentError) and answer.reason == TIMEOUT:
                # it may be the fault of the keys that were begun: the others stay claimed, and have their turn soon
                begun = [key for key in left if key in outcome.begun]
                if begun:
                    _postpone(keys, begun, answer, now)
                keys.postpone_place(members[0].place, now + LEASE_SECONDS, now)
            elif left and isinstance(answer, AgentError):
                until = _postpone(keys, left, answer, now)
                keys.postpone_place(members[0].place, until, now)
            elif left:
                keys.postpone(left, now + FIRST_DELAY)  # more than could be done in one go
        return len(outcome.gone)


def _postpone(keys: AutologinKeys, members: Sequence[StoredKey], error: AgentError, now: float) -> float:
    """Try again later, and later each time; when that is."""
    tries = min(10, max(key.tries for key in members))
    delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0**tries) * random.uniform(0.8, 1.2)  # noqa: S311 - guards nothing
    keys.postpone(members, now + delay)
    broker_log.warning(
        "autologin: %d key(s) could not be taken away from %s, next try in %.0f s: %s: %s",
        len(members),
        log_field(members[0].server.key),
        delay,
        error.reason,
        error,
    )
    return now + delay


def rules_of(settings: Settings, key: StoredKey) -> AgentRules:
    """How to reach the agent again. What runs where, and as whom, comes from the configuration, not from the store."""
    return AgentRules(
        key.mode,
        settings.environment("X2GOBROKER_AGENT_USER"),
        settings.text(ENVIRONMENT, "X2GOBROKER_AGENT_CMD"),
        ssh_folder(settings),
        key.policy,
        key.proxy,
        settings.integer(GLOBAL, "agent-timeout"),
    )


def _take_from(
    agent: BrokerAgent, server: Endpoint, members: Sequence[StoredKey], settings: Settings, outcome: _Round
) -> None:
    """Take keys away from one server, until its time is over or it is in trouble. Raises AgentError for the latter.

    A server that does not answer in time may be stuck with one user's file: the other users' keys are tried as well,
    until a second user's time out with no answer in between.
    """
    end = time.monotonic() + SERVER_SECONDS
    by_user: dict[str, list[StoredKey]] = {}
    for key in sorted(members, key=lambda key: key.tries):  # keys that failed before wait for those that did not
        by_user.setdefault(key.user, []).append(key)
    silent: AgentError | None = None
    answered = False
    for of_user in by_user.values():
        for at, key in enumerate(of_user):
            if time.monotonic() > end:
                if silent is not None and not answered:
                    raise silent
                return
            outcome.begin(key)
            try:
                agent.del_auth_key(server, rules_of(settings, key), key.user, key.line, key.keys_file)
            except AgentError as error:
                if error.reason == TIMEOUT:
                    outcome.note(of_user[at:], error)
                    if silent is not None:
                        raise
                    silent = error
                    break
                if error.reason in SERVER_TROUBLE:
                    raise
                outcome.note([key], error)
            else:
                outcome.note([key])
            silent, answered = None, True
    if silent is not None and not answered:
        raise silent


def _give_up(keys: AutologinKeys, members: Sequence[StoredKey]) -> None:
    """Keys that could not be taken away for days: their servers have refused them since their expiry date."""
    for key in members:
        error_log.error(
            "autologin: a key of %s on %s could not be taken away for days and is given up; it has expired, and stays "
            "as a line in %s",
            log_field(key.user),
            log_field(key.server.key),
            log_field(key.keys_file),
        )
    keys.done(members)
