"""Whether users can have desktops now: what `/health/ready` of the service says, and monitors ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from x2gobroker.errors import BrokerError
from x2gobroker.logs import broker_log

KEEP_SECONDS = 1.0  # for which an answer counts, however often somebody asks
DEADLINE_SECONDS = 1.0
STORE = "store"


class ReadinessCheck:
    """Tries what every connection needs. To be used in one event loop, which it never holds up.

    `try_store` tries the state store, and raises BrokerError, OSError or ValueError. However long it takes, whoever
    asks gets an answer in time, and it is not called again meanwhile.
    """

    def __init__(self, try_store: Callable[[], Awaitable[None]]) -> None:
        self._try_store = try_store
        self._trying: asyncio.Task[None] | None = None
        self._known: tuple[float, tuple[str, ...]] | None = None
        self._told: tuple[str, ...] = ()

    async def failing(self) -> tuple[str, ...]:
        """The names of what fails, KEEP_SECONDS ago at most; it takes DEADLINE_SECONDS at most."""
        if self._known is not None and time.monotonic() - self._known[0] < KEEP_SECONDS:
            return self._known[1]
        if self._trying is None:
            self._trying = asyncio.ensure_future(self._look())
        trying = self._trying
        done, _ = await asyncio.wait([trying], timeout=DEADLINE_SECONDS)
        found = self._known[1] if done and self._known is not None else (STORE,)
        self._tell(found)
        return found

    async def _look(self) -> None:
        found: tuple[str, ...] = (STORE,)
        try:
            await self._try_store()
            found = ()
        except (BrokerError, OSError, ValueError) as error:
            broker_log.debug("remote: not ready: %s: %s", STORE, error)
        finally:
            self._known, self._trying = (time.monotonic(), found), None

    def _tell(self, found: tuple[str, ...]) -> None:
        if found and found != self._told:
            broker_log.warning("remote: not ready: %s", ", ".join(found))
        elif self._told and not found:
            broker_log.warning("remote: ready again")
        self._told = found
