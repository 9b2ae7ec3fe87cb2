"""For x2gobroker: a backend with one session profile for each day of the week, and a script that knows the weekend."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from x2gobroker.backends.base import Backend
from x2gobroker.model.options import Kind, Option, format_value
from x2gobroker.model.profile import build_profile
from x2gobroker.model.profile_set import ProfileSet
from x2gobroker.scripts.base import BrokerScript, ScriptValues
from x2gobroker.settings import BACKEND_PREFIX, Problem, Settings

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Week:
    """The session profiles made from one version of the configuration, and what was wrong with it."""

    made_from: Settings | None = None
    profiles: ProfileSet = field(default_factory=ProfileSet)
    problems: tuple[str, ...] = ()


class WeekdaysBackend(Backend):
    """Offers one session profile for each day of the week, all on the X2Go Server of the option `host`."""

    options = (
        Option("broker_weekdays", "host", Kind.TEXT, "localhost", "The X2Go Server of all profiles.", since="1.0"),
        Option("broker_weekdays", "weekend-groups", Kind.LIST, (), "Groups that may work at weekends.", since="1.0"),
    )

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._week = Week()

    def _profiles(self, settings: Settings) -> ProfileSet:
        return self._current(settings).profiles

    def _problems(self, settings: Settings) -> list[Problem]:
        path = settings.environment("X2GOBROKER_CONFIG")
        return [Problem(path, 0, f"[{BACKEND_PREFIX}{self.name}] {text}") for text in self._current(settings).problems]

    def _current(self, settings: Settings) -> Week:
        """The week as of these settings. Settings are one and the same object until a file changes."""
        week = self._week
        if week.made_from is not settings:
            week = self._week = self._make(settings)
        return week

    def _make(self, settings: Settings) -> Week:
        section = BACKEND_PREFIX + self.name
        weekend = format_value(settings.value(section, "weekend-groups"))
        problems: dict[str, None] = {}
        profiles = []

        def report(_option: str, message: str) -> None:
            problems[message] = None  # once, though it is the same for all days

        for day in DAYS:
            text = {"name": day, "host": settings.text(section, "host"), "command": "XFCE"}
            if day in ("Saturday", "Sunday") and weekend:
                text["acl-groups-allow"] = weekend
            profiles.append(build_profile(day.lower(), text, {}, report))
        return Week(settings, ProfileSet.build(profiles), tuple(problems))


class WeekendScript(BrokerScript):
    """For `post_auth_scripts`: nobody logs in at weekends."""

    def _run(self, values: ScriptValues) -> ScriptValues:
        if datetime.now().astimezone().weekday() >= DAYS.index("Saturday"):
            return replace(values, authed=False)
        return values
