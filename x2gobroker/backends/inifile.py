"""The backend `inifile`: session profiles from an INI file, one section each, shared keys in `[DEFAULT]`."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path

from x2gobroker.backends.base import Backend
from x2gobroker.backends.profile_checks import profile_faults
from x2gobroker.logs import broker_log
from x2gobroker.model.near_names import distance, looks_like_a_rule, squeezed
from x2gobroker.model.profile import Defaults, build_profile
from x2gobroker.model.profile_options import RULE_NAMES
from x2gobroker.model.profile_set import ProfileSet
from x2gobroker.model.written_names import CLOSED, Hint, Report
from x2gobroker.settings import BACKEND_PREFIX, IniError, IniFile, Problem, Settings, WatchedFile, read_ini

DEFAULT_SECTION = "DEFAULT"


@dataclass(frozen=True, eq=False)
class Compiled:
    """The profiles of one version of the file, and what is wrong with it."""

    profiles: ProfileSet
    problems: tuple[Problem, ...] = ()


def compile_profiles(ini: IniFile) -> Compiled:
    """Profiles from the sections of a file. Values that cannot be used become problems, never exceptions.

    A fault in a section closes its profile, one in `[DEFAULT]` closes all.
    """
    problems: dict[Problem, None] = {}

    def report_to(section: str, texts: dict[str, str]) -> Report:
        def report(option: str, message: str) -> None:
            where = section if option in texts else DEFAULT_SECTION
            is_error = not isinstance(message, Hint)
            problems[ini.problem(where, option, f"[{where}] {message}", is_error)] = None

        return report

    faults: dict[str, list[str]] = {}
    for fault in ini.faults:
        where = DEFAULT_SECTION if is_like_default(fault.section) else fault.section
        faults.setdefault(where, []).append(fault.problem.message)
        problems[replace(fault.problem, message=f"{fault.problem.message}; {CLOSED}", blocks=False)] = None
    for section in filter(is_like_default, ini.sections):
        message = (
            f"[{section}] is not [{DEFAULT_SECTION}]: write {DEFAULT_SECTION}, or give the session profile another id"
        )
        problems[ini.problem(section, "", f"{message}; {_consequence(ini, section)}")] = None
        faults.setdefault(DEFAULT_SECTION if _has_rules(ini, section) else section, []).append(message)
    shared = ini.sections.get(DEFAULT_SECTION, {})
    defaults = Defaults(shared, report_to(DEFAULT_SECTION, shared), tuple(faults.get(DEFAULT_SECTION, ())))
    profiles = [
        build_profile(profile_id, own, defaults, report_to(profile_id, own), tuple(faults.get(profile_id, ())))
        for profile_id, own in ini.sections.items()
        if profile_id != DEFAULT_SECTION
    ]
    for profile in profiles:
        own = ini.sections[profile.id]
        for option, message, is_error in profile_faults(profile):
            where = profile.id if option in own or option not in shared else DEFAULT_SECTION
            problems[
                ini.problem(
                    where,
                    option if option in ini.sections.get(where, {}) else "",
                    f"[{profile.id}] {message}",
                    is_error,
                )
            ] = None
    return Compiled(ProfileSet.build(profiles), tuple(problems))


def is_like_default(section: str) -> bool:
    """Whether a section is not `[DEFAULT]`, and meant to be."""
    if section == DEFAULT_SECTION:
        return False
    letters = squeezed(section)
    return distance(letters, squeezed(DEFAULT_SECTION), 1) <= 1 or letters == "defaults"


def _has_rules(ini: IniFile, section: str) -> bool:
    return any(name in RULE_NAMES or looks_like_a_rule(name, RULE_NAMES) for name in ini.sections[section])


def _consequence(ini: IniFile, section: str) -> str:
    everything = "as it holds access rules, nobody is offered any session profile of this file until it is mended"
    return everything if _has_rules(ini, section) else CLOSED


def load_profiles(path: Path) -> Compiled:
    """Read and compile one file, and log what is wrong with it. Raises IniError when it cannot be read at all."""
    compiled = compile_profiles(read_ini(path, keep_faults=True))
    for problem in compiled.problems:
        broker_log.warning("session profiles: %s", problem)
    return compiled


class InifileBackend(Backend):
    """Session profiles of the file that `session-profiles` (or X2GOBROKER_SESSIONPROFILES) names."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._lock = threading.Lock()
        self._file: WatchedFile[Compiled] | None = None

    def _watched(self, settings: Settings) -> WatchedFile[Compiled]:
        path = settings.path(BACKEND_PREFIX + self.name, "session-profiles")
        watched = self._file
        if watched is None or watched.path != path:
            with self._lock:
                watched = self._file = WatchedFile(path, load_profiles, Compiled(ProfileSet()))
        return watched

    def _profiles(self, settings: Settings) -> ProfileSet:
        return self._watched(settings).current().value.profiles

    def _problems(self, settings: Settings) -> list[Problem]:
        watched = self._watched(settings)
        loaded = watched.current()
        if isinstance(loaded.fault, IniError):
            return [loaded.fault.problem]
        if not watched.path.exists():
            return [Problem(str(watched.path), 0, "does not exist: there are no session profiles", error=False)]
        return list(loaded.value.problems)

    def _is_ready(self, settings: Settings) -> bool:
        """Not while the file cannot be read and never could be, or faults leave nobody any of its profiles."""
        loaded = self._watched(settings).current()
        compiled = loaded.value
        is_offered = any(not profile.rules.broken for profile in compiled.profiles.profiles)
        return loaded.good and (is_offered or not any(problem.error for problem in compiled.problems))
