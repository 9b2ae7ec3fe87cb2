"""One connection for files, as the service has it."""

from __future__ import annotations

import socket

from x2gobroker.remote.carrying import Carrying
from x2gobroker.remote.desktop import Connection
from x2gobroker.remote.files.body import Body
from x2gobroker.remote.files.reports import Reports
from x2gobroker.remote.patient import PatientConnection
from x2gobroker.store import Pass

FILES_PROTOCOL = "x2gobroker-files"


class FilesLink(Connection):
    """It counts as work of its user when it begins: somebody has asked for it."""

    def __init__(self, websocket: PatientConnection, holder: Pass, address: str, began: float) -> None:
        self.websocket = websocket
        self.holder = holder
        self.address = address
        self.share = None
        self.sign_in = holder.sign_in
        self.last_input = began
        self.reports: Reports | None = None  # of its process, as long as that may be given requests
        self._bodies: set[Body] = set()
        self._carrying = Carrying(websocket)
        self._cut = False

    def cut(self, why: str) -> None:
        """End it, without waiting, and the requests that belong to it. The browser asks the portal why."""
        self._cut = True
        self.reports = None
        for body in self._bodies:
            body.abort()
        self._carrying.stop()

    async def carry_body(self, body: Body) -> None:
        """A request of this connection's, until it is over; it ends with the connection."""
        self._bodies.add(body)
        try:
            if self._cut:
                body.abort()
            await body.over
        finally:
            self._bodies.discard(body)

    async def carry(self, process: socket.socket) -> None:
        """Carry all that comes, until one side has ended."""
        try:
            await self._carrying.carry(process)
        finally:
            for body in self._bodies:
                body.abort()
