"""What several programs need: the settings that the running broker would have, and how to say what is wrong."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from x2gobroker.errors import ConfigurationError
from x2gobroker.logs import LOGGERS
from x2gobroker.settings import Settings, SettingsSource

if TYPE_CHECKING:
    from x2gobroker.store import Store  # not loaded by programs that have no store


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Options that say which configuration is meant."""
    parser.add_argument("-C", "--config-file", metavar="FILE", help="the main configuration file")
    parser.add_argument("--session-profiles", metavar="FILE", help="the session profiles of the backend inifile")


def source_of(options: argparse.Namespace) -> SettingsSource:
    """The settings' source for these options. What is wrong is for the command to print, not for the log."""
    for logger in LOGGERS:
        logger.setLevel(logging.CRITICAL)
    variables = {}
    if options.config_file:
        variables["X2GOBROKER_CONFIG"] = options.config_file
    if options.session_profiles:
        variables["X2GOBROKER_SESSIONPROFILES"] = options.session_profiles
    return SettingsSource.of_process(variables)


def check_usable(source: SettingsSource) -> Settings:
    """The settings, unless the configuration cannot be read at all. Raises ConfigurationError."""
    settings = source.current()
    if not settings.usable:
        raise ConfigurationError("; ".join(str(problem) for problem in source.faults))
    return settings


def settings_of(config_file: str | None) -> Settings:
    """The settings with this main configuration file; it has to be there, where it is named.

    Raises ConfigurationError.
    """
    if config_file and not os.access(config_file, os.R_OK):
        raise ConfigurationError(f"{config_file} is not there, or this user may not read it")
    return check_usable(SettingsSource.of_process({"X2GOBROKER_CONFIG": config_file} if config_file else {}))


def add_debug_options(parser: argparse.ArgumentParser, meaning: str = "log everything but secrets") -> None:
    """The options -d and -i of a service."""
    parser.add_argument("-d", "--debug", action="store_true", help=meaning)
    parser.add_argument(
        "-i", "--debug-interactively", action="store_true", help="the same, and log to the terminal, not to files"
    )


def debug_variables(options: argparse.Namespace) -> dict[str, str]:
    """What the options -d and -i of a service override, as environment variables."""
    variables = {}
    if options.debug or options.debug_interactively:
        variables["X2GOBROKER_DEBUG"] = "1"
    if options.debug_interactively:
        variables["X2GOBROKER_DEBUG_INTERACTIVELY"] = "1"
    return variables


def log_to_stderr(program: str, debug: bool) -> None:
    """Show the log to whoever runs this program: warnings, or everything."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"{program}: %(message)s"))
    for logger in LOGGERS:
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.DEBUG if debug else logging.WARNING)


def check_made(store: Store, advice: str = "name the configuration with -C") -> None:
    """Raises ConfigurationError while there is no state store: it is the broker's to make, with the right owner."""
    if store.url.get_backend_name() != "sqlite":
        return
    try:
        made = Path(store.url.database or "").is_file()
    except OSError as error:
        raise ConfigurationError(
            f"the state store {store.place} is out of reach for the broker's account: {error.strerror}; "
            "give the account its folder"
        ) from None
    if not made:
        raise ConfigurationError(f"there is no state store {store.place} yet; {advice}")
