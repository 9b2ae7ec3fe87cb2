"""What several sub-commands need: the settings that the running broker would have."""

from __future__ import annotations

import argparse
import logging

from x2gobroker.logs import LOGGERS
from x2gobroker.settings import SettingsSource


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
