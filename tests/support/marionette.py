"""Marionette, by which Firefox is driven (firefox-source-docs.mozilla.org/testing/marionette/Protocol.html).

A message is its length, a colon and JSON: [0, number, command, parameters], and for an answer
[1, number, error, result].
"""

from __future__ import annotations

import json
import socket
import time
from typing import Any

ANSWER_SECONDS = 120.0
START_SECONDS = 90.0
LONGEST_LENGTH = 12


class MarionetteError(Exception):
    """The browser did not do what it was asked."""


class Marionette:
    """A connection to a browser that listens at `port`. Raises MarionetteError when it does not come up."""

    def __init__(self, port: int) -> None:
        self._socket = _connected(port)
        self._number = 0
        self._window = ""
        self._receive()  # its greeting
        self.ask("WebDriver:NewSession", acceptInsecureCerts=True)  # as Marionette has capabilities, without levels

    def ask(self, command: str, **parameters: Any) -> Any:
        """Have a command done; what it gives. Raises MarionetteError."""
        self._number += 1
        data = json.dumps([0, self._number, command, parameters]).encode()
        self._socket.sendall(f"{len(data)}:".encode() + data)
        kind, number, error, result = self._receive()
        assert (kind, number) == (1, self._number)
        if error:
            raise MarionetteError(f"{command}: {error.get('error')}: {error.get('message')}")
        return result.get("value", result) if isinstance(result, dict) else result

    def turn_to(self, window: str) -> None:
        """Have the next commands done in this window, which comes to the front."""
        if window != self._window:
            self.ask("WebDriver:SwitchToWindow", handle=window, focus=True)
            self._window = window

    def close_window(self) -> None:
        """Close the window that commands are done in."""
        self.ask("WebDriver:CloseWindow")
        self._window = ""

    def close(self) -> None:
        """Let go of it; the browser ends."""
        self._socket.close()

    def _receive(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            piece = self._socket.recv(1)
            if not piece or len(length) > LONGEST_LENGTH:
                raise MarionetteError("the browser has closed the connection")
            length += piece
        size, data = int(length[:-1]), b""
        while len(data) < size:
            piece = self._socket.recv(min(1 << 16, size - len(data)))
            if not piece:
                raise MarionetteError("the browser has closed the connection")
            data += piece
        return json.loads(data)


def _connected(port: int) -> socket.socket:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
        except OSError as error:
            if time.monotonic() > end:
                raise MarionetteError(f"the browser did not come up within {START_SECONDS:g} s") from error
            time.sleep(0.1)
