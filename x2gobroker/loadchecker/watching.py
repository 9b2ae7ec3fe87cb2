"""Watches on X2Go Servers: one thread for each, which listens to the agent and keeps a picture of its sessions."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from x2gobroker.agents.base import NONSENSE, TIMEOUT, AgentStream, BrokerAgent
from x2gobroker.agents.reports import MOST_REPORT_BYTES, WatchStream
from x2gobroker.errors import AgentError
from x2gobroker.loadchecker.picture import Picture
from x2gobroker.loadchecker.targets import Target
from x2gobroker.model.hosts import Endpoint

ALIVE_SECONDS = 8  # after which a server that is watched says something at the latest
SILENT_SECONDS = 20.0  # then nobody is there any more
BYTES_PER_SECOND = 1 << 18  # in the long run: a server of 2,000 sessions says a few hundred
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 120.0  # before a watch that has ended is begun again
LASTING_SECONDS = 60.0  # a watch that has lasted so long was no failure
AT_ONCE = 16  # that are begun: each may be a key exchange, which keeps a processor busy


@dataclass(frozen=True)
class Stirred:
    """A watch has something new to tell."""

    key: str
    picture: Picture


@dataclass(frozen=True)
class Lost:
    """A watch has ended; why, as agents have it, and in words."""

    key: str
    picture: Picture
    reason: str
    why: str


@dataclass
class _Pace:
    """How much a server may say: a whole report at once, and BYTES_PER_SECOND in the long run."""

    left: float = 2.0 * MOST_REPORT_BYTES
    at: float = field(default_factory=time.monotonic)

    def take(self, count: int) -> bool:
        """Whether it may say so many bytes now."""
        now = time.monotonic()
        self.left = min(2.0 * MOST_REPORT_BYTES, self.left + (now - self.at) * BYTES_PER_SECOND) - count
        self.at = now
        return self.left >= 0


class _Watch:
    """One watch, in a thread of its own."""

    def __init__(
        self,
        target: Target,
        agent_of: Callable[[str], BrokerAgent],
        others: Callable[[], Sequence[Endpoint]],
        tell: Callable[[Stirred | Lost], None],
        gate: threading.Semaphore,
    ) -> None:
        self.target = target
        self.key = target.endpoint.key
        self.picture = Picture(target.endpoint, time.time())
        self.begun = time.monotonic()
        self._agent_of = agent_of
        self._others = others
        self._tell = tell
        self._gate = gate
        self._lock = threading.Lock()
        self._stream: AgentStream | None = None
        self._is_stopped = False

    def start(self) -> None:
        try:
            threading.Thread(target=self._run, name=f"watch of {self.key}", daemon=True).start()
        except RuntimeError as error:  # as many threads as the system allows: others go on
            self._tell(Lost(self.key, self.picture, TIMEOUT, str(error)))

    def stop(self) -> None:
        """For any thread; nothing more is told of it."""
        with self._lock:
            self._is_stopped = True
            if self._stream is not None:
                self._stream.stop()

    def _run(self) -> None:
        try:
            reason, why = self._listen()
        except AgentError as error:
            reason, why = error.reason, str(error)
        except ValueError as error:
            reason, why = NONSENSE, str(error)
        except Exception as error:  # noqa: BLE001 - a query mode is a plug-in; whoever waits for the watch must know
            reason, why = NONSENSE, repr(error)
        if not self._is_stopped:
            self._tell(Lost(self.key, self.picture, reason, why))

    def _listen(self) -> tuple[str, str]:
        """Until there is nothing more to hear; then, why. Raises AgentError, ValueError."""
        agent, target = self._agent_of(self.target.rules.mode), self.target
        with self._gate:
            stream = agent.watch(target.endpoint, target.rules, ALIVE_SECONDS)
        try:
            with self._lock:
                self._stream = stream
                if self._is_stopped:
                    return "", ""
            said, pace = WatchStream(), _Pace()
            while data := stream.receive(SILENT_SECONDS):
                if not pace.take(len(data)):
                    raise ValueError("what is watched says too much")
                now = time.time()
                for event in said.feed(data, now):
                    if self.picture.take(event, self._others(), now) and not self._is_stopped:
                        self._tell(Stirred(self.key, self.picture))
            return TIMEOUT, stream.complaint()
        finally:
            stream.close()


class Watching:
    """The watches of one load checker. For one thread; `tell` is called from others.

    `agent_of` gives the agents of a query mode, and raises AgentError; `others` the servers that profiles have.
    """

    def __init__(
        self,
        agent_of: Callable[[str], BrokerAgent],
        others: Callable[[], Sequence[Endpoint]],
        tell: Callable[[Stirred | Lost], None],
        chance: random.Random | None = None,
    ) -> None:
        self._agent_of = agent_of
        self._others = others
        self._tell = tell
        self._chance = chance or random.Random()  # noqa: S311 - no secret: it spreads load
        self._gate = threading.BoundedSemaphore(AT_ONCE)
        self._watches: dict[str, _Watch] = {}
        self._pauses: dict[str, float] = {}
        self._not_before: dict[str, float] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._watches

    def begin(self, target: Target) -> bool:
        """Watch a server from now on, unless it is watched, or its last watch has ended a moment ago."""
        key = target.endpoint.key
        known = self._watches.get(key)
        if known is not None and known.target == target:
            return False
        if known is None and time.monotonic() < self._not_before.get(key, 0.0):
            return False
        self.end(key)
        watch = self._watches[key] = _Watch(target, self._agent_of, self._others, self._tell, self._gate)
        watch.start()
        return True

    def end(self, key: str) -> None:
        """Watch a server no longer."""
        watch = self._watches.pop(key, None)
        if watch is not None:
            watch.stop()

    def end_all_but(self, targets: Mapping[str, Target]) -> None:
        """Watch none any longer but these, and these only as they are now."""
        for key in [key for key, watch in self._watches.items() if targets.get(key) != watch.target]:
            self.end(key)

    def picture(self, key: str) -> Picture | None:
        """What a watch knows; None where there is none."""
        watch = self._watches.get(key)
        return None if watch is None else watch.picture

    def settled(self, now: float) -> list[Picture]:
        """The pictures with news that are none but that changes have held for a while; `now`: seconds of the epoch."""
        return [watch.picture for watch in self._watches.values() if watch.picture.settle(now)]

    def seconds_left(self, now: float) -> float:
        """Seconds until there are such; infinite where there is nothing to wait for."""
        moments = (watch.picture.settles_at for watch in self._watches.values())
        return max(0.0, min((moment for moment in moments if moment), default=math.inf) - now)

    def lost(self, lost: Lost) -> bool:
        """A watch has ended by itself; whether it is one that was still wanted.

        It cannot be begun again at once; where it is lost time and again, not for longer, and each not as long.
        """
        watch = self._watches.get(lost.key)
        if watch is None or watch.picture is not lost.picture:
            return False
        del self._watches[lost.key]
        has_lasted = time.monotonic() - watch.begun > LASTING_SECONDS
        pause = FIRST_PAUSE if has_lasted else min(LONGEST_PAUSE, self._pauses.get(lost.key, FIRST_PAUSE / 2) * 2)
        self._pauses[lost.key] = pause
        self._not_before[lost.key] = time.monotonic() + pause * self._chance.uniform(0.5, 1.0)
        return True

    def forget(self, key: str) -> None:
        """A server is in no profile any more."""
        self.end(key)
        self._pauses.pop(key, None)
        self._not_before.pop(key, None)
