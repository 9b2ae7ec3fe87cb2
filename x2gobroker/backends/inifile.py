"""The backend `inifile`: session profiles from an INI file, one section each, shared keys in `[DEFAULT]`."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from x2gobroker.backends.base import Backend
from x2gobroker.logs import broker_log
from x2gobroker.model.profile import Defaults, Report, build_profile
from x2gobroker.model.profile_set import ProfileSet
from x2gobroker.settings import BACKEND_PREFIX, IniError, IniFile, Problem, Settings, WatchedFile, read_ini

DEFAULT_SECTION = "DEFAULT"


@dataclass(frozen=True, eq=False)
class Compiled:
    """The profiles of one version of the file, and what is wrong with it."""

    profiles: ProfileSet
    problems: tuple[Problem, ...] = ()


def compile_profiles(ini: IniFile) -> Compiled:
    """Profiles from the sections of a file. Values that cannot be used become problems, never exceptions."""
    problems: dict[Problem, None] = {}

    def report_to(section: str, texts: dict[str, str]) -> Report:
        def report(option: str, message: str) -> None:
            where = section if option in texts else DEFAULT_SECTION
            problems[ini.problem(where, option, f"[{where}] {message}")] = None

        return report

    shared = ini.sections.get(DEFAULT_SECTION, {})
    defaults = Defaults(shared, report_to(DEFAULT_SECTION, shared))
    profiles = [
        build_profile(profile_id, own, defaults, report_to(profile_id, own))
        for profile_id, own in ini.sections.items()
        if profile_id != DEFAULT_SECTION
    ]
    return Compiled(ProfileSet.build(profiles), tuple(problems))


def load_profiles(path: Path) -> Compiled:
    """Read and compile one file, and log what is wrong with it. Raises IniError when it cannot be read at all."""
    compiled = compile_profiles(read_ini(path))
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
