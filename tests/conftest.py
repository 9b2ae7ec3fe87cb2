"""What all tests need of the process that they run in."""

from __future__ import annotations

import signal

from hypothesis import settings


def pytest_configure() -> None:
    """Programs that the tests start hear Ctrl-C, also where a shell has started the tests in the background.

    On a busy machine an example may take any time: no test is about that. Each run has the same examples, so that
    what a change broke is told from what nobody had tried before; `make fuzz` looks for new ones.
    """
    settings.register_profile("same", deadline=None, derandomize=True)
    settings.register_profile("new", deadline=None, max_examples=1000, print_blob=True)
    settings.load_profile("same")
    signal.signal(signal.SIGINT, signal.default_int_handler)
