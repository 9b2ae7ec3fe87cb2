"""What all tests need of the process that they run in."""

from __future__ import annotations

import signal

from hypothesis import settings


def pytest_configure() -> None:
    """Programs that the tests start hear Ctrl-C, also where a shell has started the tests in the background.

    On a busy machine an example may take any time: no test is about that.
    """
    settings.register_profile("any-time", deadline=None)
    settings.load_profile("any-time")
    signal.signal(signal.SIGINT, signal.default_int_handler)
