"""`x2gobroker check-config`: everything that is wrong with the configuration, with file and line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from x2gobroker.auth.base import AuthMechanism
from x2gobroker.auth.totp import second_factor_problems
from x2gobroker.cli.admin.checks import check_problems
from x2gobroker.cli.common import add_config_options, source_of
from x2gobroker.cli.log_rotation import rotation_problems
from x2gobroker.errors import PluginError
from x2gobroker.model.penalty import read_networks
from x2gobroker.nameservices.base import NameService
from x2gobroker.plugins import AUTH_MECHANISMS, BACKENDS, NAME_SERVICES, load, registered
from x2gobroker.remote.check import remote_problems, unlimited
from x2gobroker.scripts.chain import script_problems
from x2gobroker.services import Services
from x2gobroker.settings import BACKEND_PREFIX, ENVIRONMENT, GLOBAL, Problem, Settings, SettingsSource
from x2gobroker.store.database import database_url
from x2gobroker.store.shown import shown_url


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "check-config",
        help="say what is wrong with the configuration",
        description="Reads the configuration as the broker does and prints what is wrong with it, with file and line. "
        "Exit status 0: nothing or only warnings, 1: errors.",
    )
    add_config_options(parser)
    parser.set_defaults(run=run)


def find_problems(source: SettingsSource) -> list[Problem]:
    """All problems of files, values, plug-in names and session profiles."""
    settings = source.current()
    config = settings.environment("X2GOBROKER_CONFIG")
    problems = list(dict.fromkeys([*source.faults, *settings.problems]))
    if not Path(config).exists():
        message = "does not exist: every option has its default; name another with -C"
        problems.append(Problem(config, 0, message, error=False))
    problems.extend(_network_problems(settings, config))
    problems.extend(_plugin_problems(settings, config))
    problems.extend(check_problems(settings))
    problems.extend(remote_problems(settings))
    problems.extend(rotation_problems())
    services = Services()
    for name in sorted(registered(BACKENDS)):
        if settings.backend_enabled(name):
            try:
                problems.extend(services.backend(name).problems(settings))
            except PluginError as error:
                problems.append(Problem(config, 0, str(error)))
    return problems


def _network_problems(settings: Settings, config: str) -> list[Problem]:
    """Entries of lists of networks that are none."""
    problems = []
    for name in ("penalty-trusted-networks", "trusted-proxies", "remote-proxies"):
        entries = settings.value(GLOBAL, name)
        for entry in read_networks(entries)[1] if isinstance(entries, tuple) else ():
            problems.append(Problem(config, 0, f"{name}: {entry!r} is no network; it is left out"))
    return problems


def _plugin_problems(settings: Settings, config: str) -> list[Problem]:
    """Names of backends, auth mechanisms and name services that are not installed."""
    problems = []
    default = settings.text(ENVIRONMENT, "X2GOBROKER_DEFAULT_BACKEND")
    if default not in registered(BACKENDS):
        problems.append(Problem(config, 0, f"X2GOBROKER_DEFAULT_BACKEND: no backend {default!r} is installed"))
    enabled = [name for name in sorted(registered(BACKENDS)) if settings.backend_enabled(name)]
    if settings.usable and not enabled:
        problems.append(Problem(config, 0, "no backend is enabled: nothing is served", error=False))
    if settings.usable and default in registered(BACKENDS) and default not in enabled:
        message = f"the default backend {default} is not enabled: URLs without a backend answer 404"
        problems.append(Problem(config, 0, message, error=False))
    for section, option in settings.values:
        installed = section.removeprefix(BACKEND_PREFIX) in registered(BACKENDS)
        if option == "enable" and not installed and settings.boolean(section, option):
            problems.append(Problem(config, 0, f"[{section}] is enabled, but no such backend is installed"))
    families: tuple[tuple[str, str, type], ...] = (
        ("auth-mech", AUTH_MECHANISMS, AuthMechanism),
        ("user-db", NAME_SERVICES, NameService),
        ("group-db", NAME_SERVICES, NameService),
    )
    for backend in enabled:
        for option, group, base in families:
            try:
                load(group, settings.for_backend(backend, option).lower(), base)
            except PluginError as error:
                problems.append(Problem(config, 0, f"[{BACKEND_PREFIX}{backend}] {option}: {error}"))
        problems.extend(second_factor_problems(settings, backend))
    problems.extend(script_problems(settings))
    return problems


def run(options: argparse.Namespace) -> int:
    """Print the problems; 1 when there is an error among them."""
    source = source_of(options)
    problems = find_problems(source)
    settings = source.current()
    for problem in problems:
        print(problem)
    errors = sum(problem.error for problem in problems)
    warnings = len(problems) - errors
    if errors or warnings:
        print(f"{errors} error(s), {warnings} warning(s)", file=sys.stderr)
    else:
        print(f"{settings.environment('X2GOBROKER_CONFIG')}: no problems found")
    print(f"state store: {shown_url(database_url(settings))}", file=sys.stderr)
    if settings.boolean(GLOBAL, "require-password") is False:
        print("passwords are not checked", file=sys.stderr)
    if remark := unlimited(settings):
        print(remark, file=sys.stderr)
    return 1 if errors else 0
