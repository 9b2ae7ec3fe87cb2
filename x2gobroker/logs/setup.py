"""Directs the loggers at the start of a program: where their lines go, and in which form."""

from __future__ import annotations

import logging
import logging.config
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from x2gobroker.logs.forms import TEXT, LogForm
from x2gobroker.logs.loggers import LOGGERS, audit_log, error_log
from x2gobroker.privilege.logfiles import read_loggers


def set_up_logging(
    config: Path | None,
    debug: bool = False,
    console: bool = False,
    fallback: logging.Handler | None = None,
    form: LogForm | None = None,
) -> None:
    """Direct the loggers: as the file `config` says (configparser form), else to `fallback`, the error stream if None.

    A file that cannot be used is reported there, where all lines then go; root uses none that could lead it astray.
    `form` says how lines look, also in the files that `config` names.
    """
    handler = fallback or logging.StreamHandler(sys.stderr)
    if config is not None and config.is_file() and not console:
        try:
            logging.config.fileConfig(read_loggers(config), disable_existing_loggers=False)
        except Exception as error:  # noqa: BLE001 - the file names classes and arguments: anything may come of it
            _log_to(handler)
            _dress({handler}, form or LogForm())
            reason = error.__cause__ or error
            error_log.warning("%s cannot be used (%s); logging to the standard error stream", config, reason)
        else:
            named = {own for logger in (logging.getLogger(), *LOGGERS) for own in logger.handlers}
            _dress(named, form or LogForm())
    else:
        _log_to(handler)
        _dress({handler}, form or LogForm())
    if audit_log.level == logging.NOTSET:  # the file says nothing of it, so that fileConfig has reset it
        audit_log.setLevel(logging.INFO)
    if debug:
        for logger in LOGGERS:
            logger.setLevel(logging.DEBUG)


def _log_to(handler: logging.Handler) -> None:
    root = logging.getLogger()
    # what libraries say goes there too, unless the program that we are a part of sends it elsewhere
    if not set(root.handlers) - {own for logger in LOGGERS for own in logger.handlers}:
        root.handlers = [handler]
    for logger in LOGGERS:
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO)


def _dress(handlers: Iterable[logging.Handler], form: LogForm) -> None:
    """Have handlers write lines in this form; as text, where what JSON needs is not installed."""
    try:
        for handler in handlers:
            form.dress(handler)
    except ImportError:
        for handler in handlers:
            replace(form, style=TEXT).dress(handler)
        error_log.error("X2GOBROKER_LOGFORMAT: python-json-logger is not installed; logging text")
