"""What all tests need of the process that they run in."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Programs that the tests start hear Ctrl-C, also where a shell has started the tests in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
