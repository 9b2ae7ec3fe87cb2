"""One connection for sound, as the service has it."""

from __future__ import annotations

import asyncio
import socket

from x2gobroker.logs import broker_log, error_log, field
from x2gobroker.privilege import MessageError, read_message
from x2gobroker.remote.carrying import Carrying
from x2gobroker.remote.crossing import FROM_SOUND
from x2gobroker.remote.desktop import Connection
from x2gobroker.remote.patient import PatientConnection
from x2gobroker.store import Pass

SOUND_PROTOCOL = "x2gobroker-sound"
LARGEST_REPORT = 1 << 13


class SoundLink(Connection):
    """That somebody hears a desktop is no work at it: it keeps neither a sign-in nor a desktop."""

    def __init__(self, websocket: PatientConnection, holder: Pass, address: str) -> None:
        self.websocket = websocket
        self.holder = holder
        self.address = address
        self.share = None
        self.sign_in = holder.sign_in
        self.last_input = 0.0
        self._carrying = Carrying(websocket)

    def cut(self, why: str) -> None:
        """End it, without waiting. The browser hears why over the connection for pictures."""
        self._carrying.stop()

    async def carry(self, process: socket.socket) -> None:
        """Carry all that comes, until one side has ended."""
        await self._carrying.carry(process)


async def hear(channel: socket.socket, desktop: str) -> None:
    """Log what the process of a connection reports, until it ends. Nothing that it says is believed."""
    channel.setblocking(False)
    loop = asyncio.get_running_loop()
    with channel:
        try:
            while data := await loop.sock_recv(channel, LARGEST_REPORT):
                found = read_message(data, FROM_SOUND)
                if found["do"] == "failed":
                    error_log.error("remote: no sound of %s: %s", desktop, field(found["reason"], 500))
                else:
                    broker_log.info("remote: the sound server of %s has ended", desktop)
        except MessageError as error:
            error_log.error("remote: the process for sound of %s says what it may not: %s", desktop, error)
        except OSError as error:
            error_log.error("remote: the process for sound of %s is not heard: %s", desktop, error)
