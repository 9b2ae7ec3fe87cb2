"""What the service has for `x2gobroker remote check-proxy`: a connection that leads to no desktop.

It is told who the service takes it for, as JSON, and then left alone but for pings, as desktops are where nothing
moves: so the command sees how long the web server lets such a one live.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass

from websockets.asyncio.server import ServerConnection

from x2gobroker.model.forwarded import Asked

CHECK_PROTOCOL = "x2gobroker-check"
MOST_SECONDS = 3600
SPARE_SECONDS = 30.0  # for the command to come and go


@dataclass(frozen=True)
class Trial:
    """Such a connection. `peer`: who connects to the service, empty at a Unix socket; `asked`: for whom, as it says."""

    peer: str
    asked: Asked

    async def serve(self, websocket: ServerConnection) -> None:
        """From its begin to its end. Raises ConnectionClosed."""
        seen = {"peer": self.peer, "address": self.asked.address, "by_proxy": self.asked.by_proxy}
        await websocket.send(json.dumps(seen))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(websocket.wait_closed(), MOST_SECONDS + SPARE_SECONDS)
