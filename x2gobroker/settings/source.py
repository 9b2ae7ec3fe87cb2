"""Where settings come from: the table, defaults.conf, x2gobroker.conf, the environment, the command line."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from x2gobroker.errors import ConfigurationError
from x2gobroker.logs import broker_log, error_log
from x2gobroker.model.options import Option, Value, did_you_mean, parse_value
from x2gobroker.settings.ini import IniError, IniFile, Problem, read_ini
from x2gobroker.settings.snapshot import (
    ANY_BACKEND,
    AUTH_PREFIX,
    BACKEND_PREFIX,
    ENVIRONMENT,
    GLOBAL,
    Settings,
    is_known_section,
    options_of,
)
from x2gobroker.settings.table import TABLE
from x2gobroker.settings.watch import Loaded, WatchedFile

COMMON_SECTION = "common"
DEFAULTS_SECTIONS = (COMMON_SECTION, "daemon", "authservice", "loadchecker", "ssh", "agent", "remote")
PREFIX = "X2GOBROKER_"
SHARED_VARIABLES = (
    "DAEMON_BIND_ADDRESS",
    "CEI_NEXUS_REMOTE_CONFIG",
    "CEI_NEXUS_REMOTE_VNCPASSWORD",
    "CEI_NEXUS_REMOTE_WEBSOCKETURL",
)
RENAMED = {"X2GOBROKER_AUTHSOCKET": "X2GOBROKER_AUTHSERVICE_SOCKET"}

Values = dict[tuple[str, str], Value]


def broker_variables(environ: Mapping[str, object]) -> dict[str, str]:
    """Those variables of an environment (a process's or a WSGI request's) that configure the broker."""
    return {name: str(value) for name, value in environ.items() if name.startswith(PREFIX) or name in SHARED_VARIABLES}


class SettingsSource:
    """Gives the settings as of now; built once per process and VirtualHost.

    `variables` are environment variables and what overrides them, weakest first: the process's, the VirtualHost's,
    the command line's. `program` is the section of defaults.conf to read beside `[common]`.
    """

    def __init__(self, *variables: Mapping[str, str], program: str = "daemon") -> None:
        self.variables: dict[str, str] = {}
        for given in variables:
            self.variables.update(given)
        self.program = program
        self._lock = threading.Lock()
        default_path = options_of(ENVIRONMENT)["X2GOBROKER_DEFAULTS"].default
        path = Path(self.variables.get("X2GOBROKER_DEFAULTS", str(default_path)))
        self._defaults = _watched(path)
        self._config: WatchedFile[IniFile] | None = None
        self._made_from: tuple[Loaded[IniFile], Loaded[IniFile]] | None = None
        self._settings = Settings()
        self.faults: tuple[Problem, ...] = ()

    @classmethod
    def of_process(cls, *variables: Mapping[str, str], program: str = "daemon") -> SettingsSource:
        """Settings of this process's environment, overridden by `variables`."""
        return cls(broker_variables(os.environ), *variables, program=program)

    def current(self) -> Settings:
        """The settings as of now; the same object as before while no file changed. Costs two `stat` calls."""
        defaults = self._defaults.current()
        config = self._config.current() if self._config else None
        if self._is_made_from(defaults, config):
            return self._settings
        with self._lock:
            return self._rebuild(defaults)

    def _rebuild(self, defaults: Loaded[IniFile]) -> Settings:
        environment, problems = read_environment(defaults.value, self.program, self.variables)
        path = Path(str(environment.get((ENVIRONMENT, "X2GOBROKER_CONFIG"), _default("X2GOBROKER_CONFIG"))))
        if self._config is None or self._config.path != path:
            self._config = _watched(path, was_there=self._config is not None and self._config.was_there)
        config = self._config.current()
        if self._is_made_from(defaults, config):
            return self._settings
        values, file_problems = read_config(config.value)
        problems += file_problems + contradictions(values, config.value)
        overrides = overridden_by(environment, self.variables, values)
        settings = Settings({**values, **environment, **overrides}, tuple(problems), usable=config.good)
        self._take(settings, [loaded.fault for loaded in (defaults, config)])
        self._made_from = (defaults, config)
        return self._settings

    def _is_made_from(self, defaults: Loaded[IniFile], config: Loaded[IniFile] | None) -> bool:
        made_from = self._made_from
        return made_from is not None and made_from[0] is defaults and made_from[1] is config

    def _take(self, settings: Settings, faults: Iterable[ConfigurationError | None]) -> None:
        """Put new settings into service, unless a change brought an error that those in service do not have."""
        unreadable = tuple(fault.problem for fault in faults if isinstance(fault, IniError))
        errors = tuple(problem for problem in settings.problems if problem.blocks)
        known = {problem.message for problem in self._settings.problems if problem.blocks}
        worse = not settings.usable or any(problem.message not in known for problem in errors)
        for problem in settings.problems:
            (error_log.error if problem.blocks else broker_log.warning)("configuration: %s", problem)
        if worse and self._made_from is not None and self._settings.usable:
            error_log.error("configuration: the last good version stays in service until this is mended")
        else:
            self._settings = settings
        self.faults = unreadable + errors


def _watched(path: Path, was_there: bool = False) -> WatchedFile[IniFile]:
    """A configuration file. Once there was one, the defaults do not take its place: they may allow more than it did."""
    return WatchedFile(path, read_ini, IniFile(str(path)), stays=True, was_there=was_there)


def _default(variable: str) -> Value:
    return options_of(ENVIRONMENT)[variable].default


def read_environment(defaults: IniFile, program: str, variables: Mapping[str, str]) -> tuple[Values, list[Problem]]:
    """Typed values of the environment's variables, from defaults.conf and then `variables`, and what is wrong."""
    values: Values = {}
    problems: list[Problem] = []
    known = options_of(ENVIRONMENT)
    for section in defaults.sections:
        if section not in DEFAULTS_SECTIONS:
            message = f"unknown section [{section}]{did_you_mean(section, DEFAULTS_SECTIONS)}"
            problems.append(defaults.problem(section, "", message))
    for section in (COMMON_SECTION, program):
        for name, text in defaults.sections.get(section, {}).items():
            _take_variable(values, problems, known, (name, text), defaults, section)
    for name, text in variables.items():
        _take_variable(values, problems, known, (name, text), IniFile("environment"), "")
    for old, new in RENAMED.items():
        if values.get((ENVIRONMENT, old)) and (ENVIRONMENT, new) not in values:
            values[ENVIRONMENT, new] = values[ENVIRONMENT, old]
    return values, problems


def _take_variable(
    values: Values,
    problems: list[Problem],
    known: Mapping[str, Option],
    item: tuple[str, str],
    origin: IniFile,
    section: str,
) -> None:
    name, text = item
    option = known.get(name)
    if option is None:
        problems.append(origin.problem(section, name, f"unknown variable {name}{did_you_mean(name, known)}"))
        return
    _take_value(values, problems, option, (ENVIRONMENT, name), text, origin, section)


def _take_value(
    values: Values,
    problems: list[Problem],
    option: Option,
    key: tuple[str, str],
    text: str,
    origin: IniFile,
    section: str,
) -> None:
    if option.deprecated:
        message = f"{option.name} is deprecated: {option.deprecated}"
        problems.append(origin.problem(section, option.name, message, False))
    try:
        values[key] = parse_value(option, text)
    except ValueError as error:
        values[key] = option.fallback
        reason = "the value cannot be used" if option.secret else str(error)
        problems.append(origin.problem(section, option.name, f"{option.name}: {reason}", blocks=True))


def read_config(config: IniFile) -> tuple[Values, list[Problem]]:
    """Typed values of x2gobroker.conf, and what is wrong with it: unknown names, wrong types, bad values."""
    values: Values = {}
    problems: list[Problem] = []
    for section, options in config.sections.items():
        if not is_known_section(section):
            problems.append(config.problem(section, "", unknown_section(section)))
            continue
        known = options_of(section)
        for name, text in options.items():
            if name not in known:
                message = f"unknown option {name} in [{section}]{did_you_mean(name, known)}"
                problems.append(config.problem(section, name, message))
                continue
            _take_value(values, problems, known[name], (section, name), text, config, section)
    return values, problems


def unknown_section(section: str) -> str:
    """What to say of a section that nothing knows: most often a plug-in that is not installed, or a slip."""
    known = sorted({option.section for option in TABLE} - {ENVIRONMENT, ANY_BACKEND})
    for prefix, family in ((BACKEND_PREFIX, "backend"), (AUTH_PREFIX, "auth mechanism")):
        if section.startswith(prefix):
            name = section.removeprefix(prefix)
            names = [other.removeprefix(prefix) for other in known if other.startswith(prefix)]
            return f"section [{section}]: no {family} {name!r} is installed{did_you_mean(name, names)}"
    return f"unknown section [{section}]{did_you_mean(section, known)}"


def contradictions(values: Values, config: IniFile) -> list[Problem]:
    """Settings that are well formed and yet not what anybody wants."""
    problems = []
    if values.get((GLOBAL, "check-credentials")) is False:
        values[GLOBAL, "require-password"] = values[GLOBAL, "require-cookie"] = False
    if values.get((GLOBAL, "require-password")) is False and not values.get((GLOBAL, "require-cookie")):
        message = "everybody is let in without credentials: neither require-password nor require-cookie is on"
        problems.append(config.problem(GLOBAL, "require-password", message, False))
    for section in config.sections:
        old = values.get((section, "load-checker"))
        if section.startswith(BACKEND_PREFIX) and old is not None:
            values.setdefault((section, "use-load-checker"), old)
    return problems


def overridden_by(environment: Values, variables: Mapping[str, str], values: Values) -> Values:
    """Options that a variable stands for too: the environment's wins over the file, that of defaults.conf does not."""
    overrides: Values = {}
    for option in TABLE:
        key = option.section, option.name
        for variable in option.environment:
            value = environment.get((ENVIRONMENT, variable))
            if value and (variable in variables or key not in values):
                overrides[key] = value
    return overrides
