"""The poller: asks every server once per interval, many at a time, and has those watched whose agents can tell.

Of a server that is watched only the port is tried, once per interval: all else it says by itself.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from x2gobroker.agents.base import BrokerAgent
from x2gobroker.agents.rules import SSH, AgentRules
from x2gobroker.errors import StoreError
from x2gobroker.loadchecker.outbox import Note, Outbox
from x2gobroker.loadchecker.picture import Picture
from x2gobroker.loadchecker.question import PROBE_SECONDS, Ask, Result, asked, tried, unasked
from x2gobroker.loadchecker.sayings import Sayings
from x2gobroker.loadchecker.schedule import Schedule
from x2gobroker.loadchecker.slots import Slots
from x2gobroker.loadchecker.targets import Target, Watched
from x2gobroker.loadchecker.watching import Lost, Stirred, Watching
from x2gobroker.logs import loadchecker_log
from x2gobroker.model.hosts import Endpoint
from x2gobroker.scheduling.probe import try_all
from x2gobroker.store.loads import OK, Loads

TICK_SECONDS = 1.0  # how often files are looked at
CROWDED_SECONDS = 0.1  # how often free slots are looked for, while servers wait for one
PROBE_FROM = 8  # so many servers that are due at once are looked at first
PROBE_PATIENCE = 3.0  # names that do not resolve may take long

Share = Callable[[Iterable[str]], frozenset[str]]


@dataclass(frozen=True)
class _Probed:
    """Servers whose ports were tried, and those of them that did not answer."""

    keys: frozenset[str]
    quiet: frozenset[str]


class Poller:
    """Asks, in threads; everything else is done by the one thread that calls `run`.

    Several load checkers may share a store, on one host or on several: before a server is asked again, the store
    says whether another load checker has asked it in this half of the interval. If so it is not asked twice.
    `note` takes what was heard of sessions into the inventory; it raises StoreError. `agent_of` gives the agents that
    can be watched, and raises AgentError; without it, none is. `share` says which servers are for this load checker to
    watch.
    """

    def __init__(
        self,
        watch: Callable[[], Watched],
        ask: Ask,
        keep: Callable[[], Loads],
        note: Note,
        agent_of: Callable[[str], BrokerAgent] | None = None,
        share: Share = frozenset,
        schedule: Schedule | None = None,
        slots: Slots | None = None,
    ) -> None:
        self._watch = watch
        self._ask = ask
        self._keep = keep
        self._share = share
        self._outbox = Outbox(keep, note)
        self._sayings = Sayings()
        self._schedule = Schedule() if schedule is None else schedule
        self._slots = Slots() if slots is None else slots
        self._events: queue.SimpleQueue[Result | _Probed | Stirred | Lost | None] = queue.SimpleQueue()
        self._watching = None if agent_of is None else Watching(agent_of, lambda: self._servers, self._events.put)
        self._waiting: dict[str, None] = {}  # due, in their order
        self._held: dict[str, float] = {}  # due, while their ports are tried, and until when at most
        self._quiet: set[str] = set()  # ports that did not answer
        self._asked: dict[str, float] = {}
        self._took: dict[str, float] = {}  # seconds for the last answer
        self._reporting: set[str] = set()  # whose agents tell sessions
        self._mine: frozenset[str] = frozenset()  # to watch
        self._hurry = False
        self._servers: tuple[Endpoint, ...] = ()
        self.watched = Watched()

    def wake(self) -> None:
        """Look at once whether there is something to do. For any thread, and for signal handlers."""
        self._events.put(None)

    def ask_all_now(self) -> None:
        """Ask all servers now, watched or not. For any thread, and for signal handlers."""
        self._hurry = True
        self.wake()

    def run(self, stop: threading.Event) -> None:
        """Go on until `stop` is set (and `wake` called); what is known by then is written."""
        while not stop.is_set():
            self.step()
            self._collect(self._patience())
        self._outbox.write()

    def step(self) -> None:
        """Begin what is due, and write what has come in."""
        watched = self._watch()
        if watched is not self.watched:
            self.watched = watched
            self._servers = tuple(target.endpoint for target in watched.targets.values())
        now = time.time()
        for key in self._schedule.set(watched.targets, watched.interval, now):
            self._drop(key)
        if self._hurry:
            self._hurry = False
            self._schedule.all_now(now)
            self._asked.clear()  # also of those that are watched
        self._have_watched(watched, now)
        due = self._schedule.take_due(now)
        self._line_up(self._not_asked_by_others(due, now), watched)
        failed = [key for key in self._waiting if key in self._quiet or self._sayings.state(key) != OK]
        for key in self._slots.take(self._waiting, failed, time.monotonic()):
            del self._waiting[key]
            self._begin(key, watched.targets[key])
        if (self._outbox.has_results and not self._slots) or self._outbox.seconds_left() <= 0:
            self._outbox.write()
        self._outbox.forget_old(now)

    def _drop(self, key: str) -> None:
        """A server is in no profile any more."""
        self._waiting.pop(key, None)
        self._held.pop(key, None)
        self._quiet.discard(key)
        self._asked.pop(key, None)
        self._took.pop(key, None)
        self._reporting.discard(key)
        self._sayings.forget(key)
        if self._watching is not None:
            self._watching.forget(key)

    def _have_watched(self, watched: Watched, now: float) -> None:
        """Begin the watches that there are to be, end the others, and have told anew what changes have made of it."""
        if self._watching is None:
            return
        mine = self._share(watched.targets) if watched.keeps_watch else frozenset()
        for key in mine - self._mine - self._reporting:
            # others have asked it in its place, and it may have been down when it was asked here
            self._asked.pop(key, None)
            self._schedule.now(key, now)
        self._mine = mine
        self._watching.end_all_but({key: watched.targets[key] for key in mine})
        for key in mine & self._reporting:
            self._watching.begin(watched.targets[key])
        for picture in self._watching.settled(now):
            self._stir(picture)

    def _picture(self, key: str) -> Picture | None:
        """What a watch has told; None where there is none, or it has told nothing yet."""
        picture = None if self._watching is None else self._watching.picture(key)
        return None if picture is None or picture.load[0] is None else picture

    def _patience(self) -> float:
        """Seconds until there is something to do, unless something comes in before."""
        now = time.time()
        patience = min(TICK_SECONDS, self._schedule.seconds_left(now))
        if self._watching is not None:
            patience = min(patience, self._watching.seconds_left(now))
        if self._waiting or self._held:
            patience = min(patience, CROWDED_SECONDS)
        return min(patience, self._outbox.seconds_left())

    def _not_asked_by_others(self, due: list[str], now: float) -> list[str]:
        """Those of the due servers that no other load checker has asked a short while ago."""
        again = [key for key in due if key in self._asked and self._picture(key) is None]
        if not again or self._outbox.fails:
            return due
        try:
            known = self._keep().of(again)
        except StoreError as error:
            self._outbox.failed(error)
            return due
        half = self.watched.interval / 2
        theirs = {
            key
            for key, load in known.items()
            if load.asked > self._asked[key] + 0.01 and now - half < load.asked <= now
        }
        return [key for key in due if key not in theirs]

    def _line_up(self, due: list[str], watched: Watched) -> None:
        """Put servers into the queue. When many come at once, those whose port does not answer are found out first."""
        now = time.monotonic()
        straight = [key for key in due if self._is_worth_a_try(key, watched.targets[key].rules)]
        if len(straight) > PROBE_FROM:
            ports = {key: watched.targets[key].endpoint for key in straight}
            try:
                threading.Thread(target=self._probe, args=(ports,), name="ports", daemon=True).start()
            except RuntimeError as error:  # as many threads as the system allows: they are asked all the same
                loadchecker_log.debug("ports are not tried before servers are asked: %s", error)
            else:
                self._held.update((key, now + PROBE_PATIENCE) for key in straight)
        self._waiting.update((key, None) for key in due if key not in self._held)
        for key in [key for key, until in self._held.items() if until <= now]:
            del self._held[key]
            self._waiting[key] = None

    def _is_worth_a_try(self, key: str, rules: AgentRules) -> bool:
        """Whether to try the port: not behind a proxy, nor where the last question failed and nobody waits anyway."""
        return rules.mode == SSH and not rules.proxy and self._sayings.state(key) == OK

    def _probe(self, ports: dict[str, Endpoint]) -> None:
        up = try_all(set(ports.values()), PROBE_SECONDS)
        quiet = (key for key, server in ports.items() if server not in up)
        self._events.put(_Probed(frozenset(ports), frozenset(quiet)))

    def _take_probed(self, probed: _Probed) -> None:
        self._quiet |= probed.quiet & self.watched.targets.keys()
        for key in [key for key in self._held if key in probed.keys]:
            del self._held[key]
            self._waiting[key] = None

    def _begin(self, key: str, target: Target) -> None:
        """Ask a server, in a thread of its own, or only try it; the result goes into the queue, whatever happens."""
        others, took = self._servers, self._took.get(key, 0.0)
        picture = self._picture(key) if key in self._asked else None
        self._asked[key] = time.time()

        def question() -> None:
            result = asked(self._ask, target, others) if picture is None else tried(target, picture, took)
            self._events.put(result)

        try:
            threading.Thread(target=question, name=f"load of {key}", daemon=True).start()
        except RuntimeError as error:  # as many threads as the system allows: the poller goes on
            self._events.put(unasked(target, took, error))

    def _collect(self, patience: float) -> None:
        """Wait for results, and take all that are there."""
        try:
            event = self._events.get(timeout=patience)
            while True:
                match event:
                    case Result():
                        self._take(event)
                    case _Probed():
                        self._take_probed(event)
                    case Stirred():
                        self._take_stirred(event)
                    case Lost():
                        self._take_lost(event)
                event = self._events.get_nowait()
        except queue.Empty:
            return

    def _take(self, result: Result) -> None:
        load = result.load
        self._slots.free(load.key)
        self._quiet.discard(load.key)
        if load.key not in self.watched.targets:
            return
        picture = self._picture(load.key)
        if load.state != OK and picture is not None:
            # what its watch has told meanwhile, and is in the store perhaps, is no sign that it is back
            load = replace(load, asked=max(load.asked, picture.load[1]))
        self._sayings.answered(load.key, load.state, result.why)
        self._took[load.key] = load.took
        if load.state == OK:
            (self._reporting.add if result.reports else self._reporting.discard)(load.key)
        if result.heard is not None:
            self._sayings.heard(result.heard)
        self._outbox.put(load, result.heard)

    def _take_stirred(self, stirred: Stirred) -> None:
        key, picture = stirred.key, stirred.picture
        if key not in self.watched.targets:
            return
        if self._sayings.watched(key, picture.trouble) and self._sayings.state(key) != OK:
            self._schedule.now(key, time.time())  # it may be back
        self._stir(picture)

    def _stir(self, picture: Picture) -> None:
        key = picture.server.key
        # whoever takes no connections is down for users, whatever the watch says of the load
        self._outbox.stir(picture, self._took.get(key, 0.0) if self._sayings.state(key) == OK else None)

    def _take_lost(self, lost: Lost) -> None:
        """A watch has ended: the server is asked at once, unless it was in vain that a watch was to be begun again."""
        if self._watching is None or not self._watching.lost(lost):
            return
        self._sayings.lost(lost)
        if lost.picture.load[0] is None:
            return
        self._asked.pop(lost.key, None)  # what its watch has written is no answer to a question
        self._schedule.now(lost.key, time.time())
