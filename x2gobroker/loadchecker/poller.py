"""The poller: asks every server once per interval, many at a time, and writes what they say into the store.

What a server says of its sessions goes through the inventory; an agent that says nothing of them is heard, and a
server that does not answer is silent.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from x2gobroker.agents.base import NONSENSE, UNREACHABLE
from x2gobroker.agents.rules import SSH, AgentRules
from x2gobroker.errors import AgentError, StoreError
from x2gobroker.inventory.happenings import Told
from x2gobroker.inventory.record import News
from x2gobroker.inventory.reports import Heard, heard_load, heard_nothing, heard_report
from x2gobroker.loadchecker.schedule import Schedule
from x2gobroker.loadchecker.slots import Slots
from x2gobroker.loadchecker.targets import Target, Watched
from x2gobroker.logs import field, loadchecker_log
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.load import LoadReport
from x2gobroker.model.server_report import ServerReport
from x2gobroker.scheduling.probe import try_all
from x2gobroker.store.loads import OK, Loads, ServerLoad

TICK_SECONDS = 1.0  # how often files are looked at
CROWDED_SECONDS = 0.1  # how often free slots are looked for, while servers wait for one
BATCH_SECONDS = 0.3  # results that come within this time are written together
RETRY_SECONDS = 2.0  # after the store has failed
PROBE_FROM = 8  # so many servers that are due at once are looked at first
PROBE_SECONDS = 1.5
PROBE_PATIENCE = 3.0  # names that do not resolve may take long
FORGET_SECONDS = 3 * 86400.0  # three times the longest interval
FORGET_EVERY = 3600.0

Ask = Callable[[Target], LoadReport | ServerReport]
Note = Callable[[list[News]], object]


@dataclass(frozen=True)
class _Result:
    """What came of one question, and why it failed."""

    load: ServerLoad
    heard: Heard
    why: str = ""


@dataclass(frozen=True)
class _Probed:
    """Servers whose ports were tried, and those of them that did not answer."""

    keys: frozenset[str]
    quiet: frozenset[str]


class Poller:
    """Asks, in threads; everything else is done by the one thread that calls `run`.

    Several load checkers may share a store, on one host or on several: before a server is asked again, the store
    says whether another load checker has asked it in this half of the interval. If so it is not asked twice.
    `note` takes what was heard of sessions into the inventory; it raises StoreError.
    """

    def __init__(
        self,
        watch: Callable[[], Watched],
        ask: Ask,
        keep: Callable[[], Loads],
        note: Note,
        schedule: Schedule | None = None,
        slots: Slots | None = None,
    ) -> None:
        self._watch = watch
        self._ask = ask
        self._keep = keep
        self._note = note
        self._schedule = Schedule() if schedule is None else schedule
        self._slots = Slots() if slots is None else slots
        self._events: queue.SimpleQueue[_Result | _Probed | None] = queue.SimpleQueue()
        self._waiting: dict[str, None] = {}  # due, in their order
        self._held: dict[str, float] = {}  # due, while their ports are tried, and until when at most
        self._quiet: set[str] = set()  # ports that did not answer
        self._asked: dict[str, float] = {}
        self._states: dict[str, str] = {}
        self._lying: set[str] = set()
        self._pending: dict[str, _Result] = {}
        self._pending_since = 0.0
        self._store_failed_at: float | None = None
        self._forgot_at = 0.0
        self._hurry = False
        self.watched = Watched()

    def wake(self) -> None:
        """Look at once whether there is something to do. For any thread, and for signal handlers."""
        self._events.put(None)

    def ask_all_now(self) -> None:
        """Ask all servers now. For any thread, and for signal handlers."""
        self._hurry = True
        self.wake()

    def run(self, stop: threading.Event) -> None:
        """Go on until `stop` is set (and `wake` called); what is known by then is written."""
        while not stop.is_set():
            self.step()
            self._collect(self._patience())
        self._write()

    def step(self) -> None:
        """Begin what is due, and write what has come in."""
        self.watched = watched = self._watch()
        now = time.time()
        for key in self._schedule.set(watched.targets, watched.interval, now):
            self._waiting.pop(key, None)
            self._held.pop(key, None)
            self._quiet.discard(key)
            self._asked.pop(key, None)
            self._states.pop(key, None)
            self._lying.discard(key)
        if self._hurry:
            self._hurry = False
            self._schedule.all_now(now)
            self._asked.clear()
        due = self._schedule.take_due(now)
        self._line_up(self._not_asked_by_others(due, now), watched)
        failed = [key for key in self._waiting if key in self._quiet or self._states.get(key, OK) != OK]
        for key in self._slots.take(self._waiting, failed, time.monotonic()):
            del self._waiting[key]
            self._begin(key, watched.targets[key])
        if self._pending and (not self._slots or time.monotonic() - self._pending_since >= BATCH_SECONDS):
            self._write()
        self._forget(now)

    def _patience(self) -> float:
        """Seconds until there is something to do, unless something comes in before."""
        patience = min(TICK_SECONDS, self._schedule.seconds_left(time.time()))
        if self._waiting or self._held:
            patience = min(patience, CROWDED_SECONDS)
        if self._pending:
            left = BATCH_SECONDS - (time.monotonic() - self._pending_since)
            patience = min(patience, max(left, 0.0) if self._store_failed_at is None else TICK_SECONDS)
        return patience

    def _not_asked_by_others(self, due: list[str], now: float) -> list[str]:
        """Those of the due servers that no other load checker has asked a short while ago."""
        again = [key for key in due if key in self._asked]
        if not again or self._store_failed_at is not None:
            return due
        try:
            known = self._keep().of(again)
        except StoreError as error:
            self._store_fails(error)
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
            self._held.update((key, now + PROBE_PATIENCE) for key in straight)
            ports = {key: watched.targets[key].endpoint for key in straight}
            threading.Thread(target=self._probe, args=(ports,), name="ports", daemon=True).start()
        self._waiting.update((key, None) for key in due if key not in self._held)
        for key in [key for key, until in self._held.items() if until <= now]:
            del self._held[key]
            self._waiting[key] = None

    def _is_worth_a_try(self, key: str, rules: AgentRules) -> bool:
        """Whether to try the port: not behind a proxy, nor where the last question failed and nobody waits anyway."""
        return rules.mode == SSH and not rules.proxy and self._states.get(key, OK) == OK

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
        self._asked[key] = time.time()
        threading.Thread(target=self._one, args=(key, target), name=f"load of {key}", daemon=True).start()

    def _one(self, key: str, target: Target) -> None:
        """Ask one server, in a thread of its own; the result goes into the queue, whatever happens."""
        server, others = target.endpoint, [one.endpoint for one in self.watched.targets.values()]
        asked, begun = time.time(), time.monotonic()
        report, state, why, took, answered = None, OK, "", 0.0, 0.0
        try:
            answer = self._ask(target)
            took = time.monotonic() - begun
            _must_take_connections(target)
            answered = time.time()
            report = answer.load if isinstance(answer, ServerReport) else answer
            if isinstance(answer, ServerReport):
                heard = heard_report(server, others, answer, asked, answered)
            else:
                heard = heard_load(server, asked, answered)
        except AgentError as error:
            report, state, why, answered = None, error.reason, str(error), 0.0
            heard = heard_nothing(server, asked, state)
        except Exception as error:  # noqa: BLE001 - a query mode is a plug-in; the other servers are asked on
            why = f"the agent query mode {target.rules.mode} fails: {error!r}"
            report, state, answered = None, NONSENSE, 0.0
            heard = heard_nothing(server, asked, state)
        took = took or time.monotonic() - begun
        self._events.put(_Result(ServerLoad(key, server.name, state, report, asked, answered, took), heard, why))

    def _collect(self, patience: float) -> None:
        """Wait for results, and take all that are there."""
        try:
            event = self._events.get(timeout=patience)
            while True:
                if isinstance(event, _Probed):
                    self._take_probed(event)
                elif event is not None:
                    self._take(event)
                event = self._events.get_nowait()
        except queue.Empty:
            return

    def _take(self, result: _Result) -> None:
        load = result.load
        self._slots.free(load.key)
        self._quiet.discard(load.key)
        if load.key not in self.watched.targets:
            return
        before = self._states.get(load.key, OK)
        self._states[load.key] = load.state
        if load.state not in (OK, before):
            loadchecker_log.warning("X2Go Server %s: no load report: %s: %s", field(load.key), load.state, result.why)
        elif load.state == OK != before:
            loadchecker_log.warning("X2Go Server %s: load reports again", field(load.key))
        self._say_lies(load.key, result.heard)
        if not self._pending:
            self._pending_since = time.monotonic()
        self._pending[load.key] = result

    def _say_lies(self, key: str, heard: Heard) -> None:
        """Say once that a server tells sessions that are not believed."""
        lies = bool(heard.foreign or heard.odd)
        if lies and key not in self._lying:
            loadchecker_log.warning(
                "X2Go Server %s: %d sessions in its report are of other servers, and %d can be none: they are left out",
                field(key),
                heard.foreign,
                heard.odd,
            )
        if isinstance(heard.happening, Told):
            (self._lying.add if lies else self._lying.discard)(key)

    def _write(self) -> None:
        """Write what has come in; when the store fails, keep it for later."""
        now = time.monotonic()
        if not self._pending or (self._store_failed_at is not None and now - self._store_failed_at < RETRY_SECONDS):
            return
        try:
            self._keep().put([result.load for result in self._pending.values()])
            self._note([(result.heard.server, result.heard.happening) for result in self._pending.values()])
        except StoreError as error:
            self._store_fails(error)
            return
        self._pending = {}
        if self._store_failed_at is not None:
            self._store_failed_at = None
            loadchecker_log.error("the state store works again; the latest load reports are written")

    def _store_fails(self, error: StoreError) -> None:
        if self._store_failed_at is None:
            loadchecker_log.error("load reports cannot be written, and are kept in memory: %s", error)
        self._store_failed_at = time.monotonic()

    def _forget(self, now: float) -> None:
        if 0 <= now - self._forgot_at < FORGET_EVERY or self._store_failed_at is not None:
            return
        self._forgot_at = now
        try:
            self._keep().forget(asked_before=now - FORGET_SECONDS)
        except StoreError as error:
            self._store_fails(error)


def _must_take_connections(target: Target) -> None:
    """Raises AgentError where an agent answers on a connection that is kept, but users would get none.

    Its sshd was stopped, say: what was connected before goes on.
    """
    rules = target.rules
    if rules.mode == SSH and not rules.proxy and not try_all({target.endpoint}, PROBE_SECONDS):
        raise AgentError("the agent answers on a kept connection, but the SSH port takes no new one", UNREACHABLE)
