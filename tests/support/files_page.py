"""A page's side of a connection for files, whose handshake is over: over any connected socket."""

from __future__ import annotations

import hashlib
import json
import socket
from collections import deque
from pathlib import Path
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

WINDOW = 1 << 23
PART = 1 << 18


class ClosedError(Exception):
    """The other side has closed the connection; `code` says how."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed: {code}")
        self.code = code


class FilesPage:
    """What the page's scripts do, in their words."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        channel.settimeout(20)
        self._protocol = Protocol(CLIENT, state=OPEN, max_size=1 << 22)
        self._ready: deque[dict[str, Any] | bytes] = deque()

    def say(self, do: str, **fields: Any) -> None:
        """Send a message, right or wrong."""
        self.say_text(json.dumps({"do": do, **fields}).encode())

    def say_text(self, text: bytes) -> None:
        """Send a text of any kind."""
        self._protocol.send_text(text)
        self._flush()

    def say_data(self, data: bytes, fin: bool = True) -> None:
        """Send a part of a file."""
        self._protocol.send_binary(data, fin=fin)
        self._flush()

    def say_bytes(self, data: bytes) -> None:
        """Send bytes that may be no websocket at all."""
        self.channel.sendall(data)

    def hear(self) -> dict[str, Any] | bytes:
        """The next message. Raises ClosedError."""
        while not self._ready:
            data = self._received()
            if not data:
                close = self._protocol.close_rcvd
                raise ClosedError(close.code if close else None)
            self._protocol.receive_data(data)
            for frame in self._protocol.events_received():
                if isinstance(frame, Frame) and frame.opcode is Opcode.TEXT:
                    self._ready.append(json.loads(bytes(frame.data)))
                elif isinstance(frame, Frame) and frame.opcode is Opcode.BINARY:
                    self._ready.append(bytes(frame.data))
            self._flush()
        return self._ready.popleft()

    def _received(self) -> bytes:
        try:
            return self.channel.recv(1 << 18)
        except ConnectionResetError:
            return b""

    def expect(self, do: str) -> dict[str, Any]:
        """The next message, which must be of this kind."""
        found = self.hear()
        assert isinstance(found, dict), found[:20]
        assert found["do"] == do, found
        return found

    def refused(self) -> str:
        """Why what was asked for is not done."""
        return str(self.expect("refused")["why"])

    def close(self) -> None:
        """Go away without a word."""
        self.channel.close()

    def _flush(self) -> None:
        if data := b"".join(self._protocol.data_to_send()):
            self.channel.sendall(data)

    # whole things, as the page does them

    def names(self, folder: str = "", hidden: bool = False) -> list[str]:
        """The names in a folder; those of folders end with a slash."""
        self.say("list", folder=folder, hidden=hidden)
        found: list[str] = []
        while (message := self.hear()) and isinstance(message, dict) and message["do"] == "entries":
            found += [entry["name"] + "/" * entry["folder"] for entry in message["entries"]]
        assert isinstance(message, dict)
        assert message["do"] == "listed", message
        return sorted(found)

    def begin(self, name: str, size: int, folder: str = "", modified: int = 1_600_000_000_000) -> dict[str, Any]:
        """Ask for an upload; the answer."""
        self.say("upload", folder=folder, name=name, size=size, modified=modified)
        return self.expect("ready")

    def upload(self, name: str, data: bytes, folder: str = "", modified: int = 1_600_000_000_000) -> str:
        """Upload a file, going on with what is there; under which name it is there now."""
        ready = self.begin(name, len(data), folder, modified)
        at, tail = ready["offset"], ready["tail"]
        if hashlib.sha256(data[at - tail : at]).hexdigest() != ready["digest"] and tail:
            at = 0
        self.say("go", offset=at)
        written = at
        while written < len(data):
            while at < len(data) and at - written < WINDOW:
                self.say_data(data[at : at + PART])
                at += len(data[at : at + PART])
            written = self.expect("written")["bytes"]
        return str(self.expect("done")["name"])

    def download(self, item: str, folder: str = "", offset: int = 0, stamp: str = "") -> bytes:
        """What is in a file, from `offset` on."""
        self.say("download", folder=folder, item=item, offset=offset, stamp=stamp)
        size = self.expect("sending")["size"]
        parts, at = [], offset
        while at < size:
            part = self.hear()
            assert isinstance(part, bytes), part
            parts.append(part)
            at += len(part)
            self.say("taken", bytes=at)
        self.expect("sent")
        return b"".join(parts)


def partials(folder: Path) -> list[Path]:
    """The uploads in a folder that are not whole."""
    return sorted(folder.glob(".*.x2goupload"))
