"""Fixtures of the unit tests: configuration files, and what the three loggers say."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.configured import Files
from x2gobroker.logs import LOGGERS


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Configuration files in a folder of their own; none is there yet."""
    return Files(tmp_path)


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    """Give the three loggers back as they were: commands and set_up_logging change them for their process."""
    before = [(logger, logger.level, list(logger.handlers), logger.propagate) for logger in LOGGERS]
    root = logging.getLogger()
    root_before = root.level, list(root.handlers)
    yield
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers = handlers
        logger.propagate = propagate
        logger.disabled = False
    root.setLevel(root_before[0])
    root.handlers = root_before[1]


@pytest.fixture(autouse=True)
def _stay_who_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that run in the process of the tests must not give its rights away: it would not get them back."""
    monkeypatch.setattr("x2gobroker.cli.broker_account.become", lambda account: None)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the loggers `broker`, `access` and `error` say from here on, from DEBUG up."""
    for logger in LOGGERS:
        logger.propagate = True
        caplog.set_level(logging.DEBUG, logger.name)
    return caplog
