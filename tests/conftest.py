"""What all tests need of the process that they run in."""

from __future__ import annotations

import signal

import pytest

from tests.support.reference import divided

LEFT_OUT = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Programs that the tests start hear Ctrl-C, also where a shell has started the tests in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.pluginmanager.hasplugin("hypothesispytest"):  # rooms of integration tests do without
        _register_profiles()


def _register_profiles() -> None:
    """How properties are tried.

    On a busy machine an example may take any time: no test is about that. Each run has the same examples, so that
    what a change broke is told from what nobody had tried before; `make fuzz` looks for new ones. On Debian 13, where
    the libraries are in question and not the examples, there are few.
    """
    from hypothesis import settings  # it takes half a second, for which more than a hundred rooms have no use

    settings.register_profile("same", deadline=None, derandomize=True)
    settings.register_profile("few", deadline=None, derandomize=True, max_examples=10)
    settings.register_profile("new", deadline=None, max_examples=1000, print_blob=True)
    settings.load_profile("same")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs Debian's broker on releases that have none. A summary counts these as deselected."""
    items[:], left_out = divided(items)
    config.stash[LEFT_OUT] = len(left_out)
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A file of which all tests are left out has not failed."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.stash.get(LEFT_OUT, 0):
        session.exitstatus = pytest.ExitCode.OK
