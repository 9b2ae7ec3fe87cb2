"""What the process that works with files tells the service, and is told by it, beside the page's bytes.

It reports its transfers, for the log, and asks for tickets for plain requests, whose sockets it is given. Nothing that
it says is believed: an offer of its own gives it nothing but bytes of its own user's browser.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from x2gobroker.logs import broker_log, error_log, field
from x2gobroker.privilege import MessageError, read_message, write_message
from x2gobroker.remote.crossing import FROM_FILES, TO_FILES
from x2gobroker.remote.files.tickets import Offer

LARGEST_REPORT = 1 << 14
WAYS = {"upload": "uploads", "download": "downloads"}


class Reports:
    """The service's end. `give_ticket` makes a ticket for what the process offers."""

    def __init__(self, channel: socket.socket, address: str, desktop: str, give_ticket: Callable[[Offer], str]) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._address = address
        self._desktop = desktop
        self._give_ticket = give_ticket

    async def hear(self) -> None:
        """Until the process ends, or says what it may not."""
        loop = asyncio.get_running_loop()
        with self._channel:
            try:
                while data := await loop.sock_recv(self._channel, LARGEST_REPORT):
                    self._take(read_message(data, FROM_FILES))
            except MessageError as error:
                error_log.error("remote: the process for files of %s says what it may not: %s", self._desktop, error)
            except OSError as error:
                error_log.error("remote: the process for files of %s is not heard: %s", self._desktop, error)

    def give_body(self, end: socket.socket) -> bool:
        """Give the process the socket of a request; whether it can have it."""
        try:
            socket.send_fds(self._channel, [write_message("body", {}, TO_FILES)], [end.fileno()])
        except OSError:  # it is gone, or takes nothing
            return False
        return True

    def _take(self, found: dict[str, Any]) -> None:
        """Raises OSError where the process takes no answer."""
        if found["do"] == "offer":
            ticket = self._give_ticket(Offer(found["way"], found["name"], found["bytes"]))
            self._channel.send(write_message("ticket", {"ticket": ticket}, TO_FILES))
            return
        if found["do"] == "failed":
            error_log.error(
                "remote: the process for files of %s has failed: %s", self._desktop, field(found["reason"], 500)
            )
            return
        told = (field(self._address), WAYS[found["way"]], field(found["path"], 500), self._desktop)
        if found["why"]:
            broker_log.info(
                "remote: %s %s %s at %s: %d of %d bytes: %s", *told, found["at"], found["size"], found["why"]
            )
        else:
            broker_log.info("remote: %s %s %s at %s: begins at %d of %d bytes", *told, found["at"], found["size"])
