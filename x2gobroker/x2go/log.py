"""Messages of the library: Python X2Go's levels, which are bits, into the logging of the standard library."""

from __future__ import annotations

import logging

LOGLEVEL_ERROR = 8
LOGLEVEL_WARN = 16
LOGLEVEL_NOTICE = 32
LOGLEVEL_INFO = 64
LOGLEVEL_DEBUG = 128
LOGLEVEL_DEFAULT = LOGLEVEL_ERROR | LOGLEVEL_WARN | LOGLEVEL_NOTICE

_LEVELS = {
    LOGLEVEL_ERROR: logging.ERROR,
    LOGLEVEL_WARN: logging.WARNING,
    LOGLEVEL_NOTICE: logging.INFO,
    LOGLEVEL_INFO: logging.INFO,
    LOGLEVEL_DEBUG: logging.DEBUG,
}


class X2GoLogger:
    """Writes to the logger `name`; `loglevel` is the sum of the levels that are wanted."""

    def __init__(self, name: str = "x2go", loglevel: int = LOGLEVEL_DEFAULT) -> None:
        self.loglevel = loglevel
        self._logger = logging.getLogger(name)

    def __call__(self, message: str, loglevel: int = LOGLEVEL_NOTICE) -> None:
        """Log one message, unless its level is not wanted. It must hold no secret, and no control characters."""
        if loglevel & self.loglevel:
            self._logger.log(_LEVELS.get(loglevel, logging.INFO), "%s", message)


def logger_of(logger: X2GoLogger | None, loglevel: int, part: str) -> X2GoLogger:
    """The given logger, or one for this part of the library, `x2go.<part>`."""
    return X2GoLogger(f"x2go.{part}", loglevel) if logger is None else logger
