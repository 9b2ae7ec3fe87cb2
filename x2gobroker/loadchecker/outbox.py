"""What was found out of servers, until it is in the store: written in batches, and kept while the store fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from x2gobroker.errors import StoreError
from x2gobroker.inventory.record import News
from x2gobroker.inventory.reports import Heard
from x2gobroker.loadchecker.picture import Picture
from x2gobroker.logs import loadchecker_log
from x2gobroker.store.loads import OK, Loads, ServerLoad

BATCH_SECONDS = 0.3  # results that come within this time are written together
RETRY_SECONDS = 2.0  # after the store has failed
FORGET_SECONDS = 3 * 86400.0  # three times the longest interval
FORGET_EVERY = 3600.0

Note = Callable[[list[News]], frozenset[str]]  # raises StoreError


@dataclass(frozen=True)
class _Stirred:
    """A picture with news, how long the server takes to answer, None where its load does not count at present."""

    picture: Picture
    took: float | None


class Outbox:
    """For one thread. Of each server it holds the latest result, and a picture that knows itself what is new.

    `note` takes what was heard of sessions into the inventory, and says of which servers all is to be told anew; it
    raises StoreError, as `keep` does.
    """

    def __init__(self, keep: Callable[[], Loads], note: Note) -> None:
        self._keep = keep
        self._note = note
        self._loads: dict[str, ServerLoad] = {}
        self._heard: dict[str, Heard] = {}
        self._stirred: dict[str, _Stirred] = {}
        self._since = 0.0
        self._failed_at: float | None = None
        self._forgot_at = 0.0

    def put(self, load: ServerLoad, heard: Heard | None) -> None:
        """A server was asked; `heard` is what that says of its sessions. If it failed, no load told before counts."""
        self._begin()
        self._loads[load.key] = load
        if load.state != OK and load.key in self._stirred:
            self._stirred[load.key] = replace(self._stirred[load.key], took=None)
        if heard is not None:
            self._heard[load.key] = heard

    def stir(self, picture: Picture, took: float | None) -> None:
        """A watch has news."""
        self._begin()
        self._stirred[picture.server.key] = _Stirred(picture, took)

    def _begin(self) -> None:
        if not self:
            self._since = time.monotonic()

    def __bool__(self) -> bool:
        return bool(self._loads or self._stirred)

    @property
    def has_results(self) -> bool:
        """Whether there are answers to questions."""
        return bool(self._loads)

    @property
    def fails(self) -> bool:
        """Whether the store failed when it was used last."""
        return self._failed_at is not None

    def seconds_left(self) -> float:
        """Seconds before the next batch is to be written; infinite where there is nothing to write."""
        if not self:
            return float("inf")
        until = self._since + BATCH_SECONDS if self._failed_at is None else self._failed_at + RETRY_SECONDS
        return max(0.0, until - time.monotonic())

    def write(self) -> None:
        """Write what there is; when the store fails, keep it for later."""
        if not self or (self._failed_at is not None and self.seconds_left() > 0):
            return
        told = [(stirred, stirred.picture.news()) for stirred in self._stirred.values()]
        loads = dict(self._loads)
        for stirred, _news in told:
            load = _load_of(stirred)
            if load is not None and (load.key not in loads or loads[load.key].asked <= load.asked):
                loads[load.key] = load
        heard = list(self._heard.values())
        heard += [stirred.picture.heard(news) for stirred, news in told if news is not None]
        try:
            self._keep().put(loads.values())
            astray = self._note([(one.server, one.happening) for one in heard])
        except StoreError as error:
            for stirred, _news in told:
                stirred.picture.tell_anew()
            self.failed(error)
            return
        self._loads, self._heard, self._stirred = {}, {}, {}
        for stirred, news in told:
            if news is not None:
                stirred.picture.told(news)
            if stirred.picture.server.key in astray:
                stirred.picture.tell_anew()
                self.stir(stirred.picture, stirred.took)
        if self._failed_at is not None:
            self._failed_at = None
            loadchecker_log.error("the state store works again; the latest load reports are written")

    def failed(self, error: StoreError) -> None:
        """The store has failed."""
        if self._failed_at is None:
            loadchecker_log.error("load reports cannot be written, and are kept in memory: %s", error)
        self._failed_at = time.monotonic()

    def forget_old(self, now: float) -> None:
        """Drop loads of servers that nobody has asked for long, now and then; `now` in seconds since the epoch."""
        if 0 <= now - self._forgot_at < FORGET_EVERY or self.fails:
            return
        self._forgot_at = now
        try:
            self._keep().forget(asked_before=now - FORGET_SECONDS)
        except StoreError as error:
            self.failed(error)


def _load_of(stirred: _Stirred) -> ServerLoad | None:
    server, (load, heard) = stirred.picture.server, stirred.picture.load
    if load is None or stirred.took is None:
        return None
    return ServerLoad(server.key, server.name, OK, load, heard, heard, stirred.took)
