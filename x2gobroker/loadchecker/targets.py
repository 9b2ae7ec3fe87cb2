"""Which X2Go Servers are asked, and which session profiles want to know: from the profiles of all enabled backends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from x2gobroker.agents.farm import own_endpoint
from x2gobroker.agents.rules import LOCAL, NONE, AgentRules, agent_rules, uses_load_checker
from x2gobroker.backends.base import Backend
from x2gobroker.errors import PluginError
from x2gobroker.logs import field as shown
from x2gobroker.logs import loadchecker_log
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.profile import SessionProfile
from x2gobroker.plugins import BACKENDS, registered
from x2gobroker.settings import GLOBAL, Settings, SettingsSource

Profiles = Mapping[str, Sequence[SessionProfile]]  # of each enabled backend, by its name
ProfileKey = tuple[str, str]  # backend and profile ID


@dataclass(frozen=True)
class Target:
    """One server to ask, and how its agent is reached."""

    endpoint: Endpoint
    rules: AgentRules


@dataclass(frozen=True)
class Watched:
    """What the load checker looks after.

    `targets` are by `Endpoint.key`. `profiles` has, for every profile whose servers are asked, the names of its hosts,
    each with the key of its server. `silent` are profiles that go by load but whose agents are not to be asked;
    `disputed` says which profile's rules a server is not asked by, as another profile has others. `by_load` has
    the keys of servers that are chosen by load; `keeps_watch`: what servers say by themselves counts for somebody.
    """

    targets: Mapping[str, Target] = field(default_factory=dict)
    profiles: Mapping[ProfileKey, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    silent: tuple[ProfileKey, ...] = ()
    disputed: tuple[tuple[str, ProfileKey], ...] = ()
    interval: float = 300.0
    keeps_watch: bool = False
    by_load: frozenset[str] = frozenset()

    def profiles_of(self, key: str) -> list[str]:
        """The IDs of the profiles that a server is in, sorted, each once."""
        return sorted({profile for (_, profile), hosts in self.profiles.items() if any(key == own for _, own in hosts)})


def endpoints_of(profile: SessionProfile, rules: AgentRules) -> list[tuple[str, Endpoint]]:
    """The hosts of a profile by name, each with the server to ask about it: in mode LOCAL, this one for all."""
    if rules.mode == LOCAL:
        return [(host.name, own_endpoint()) for host in profile.hosts]
    return [(host.name, host.endpoint(profile.sshport)) for host in profile.hosts]


def watched_servers(settings: Settings, profiles: Profiles) -> Watched:
    """What to ask. A server that several profiles name is asked once, by the rules of the first of them."""
    targets: dict[str, Target] = {}
    hosts: dict[ProfileKey, tuple[tuple[str, str], ...]] = {}
    silent: list[ProfileKey] = []
    disputed: dict[tuple[str, ProfileKey], None] = {}
    chosen_by_load: set[str] = set()
    keeps_watch = settings.integer(GLOBAL, "sessions-known-for") != 0
    for backend in sorted(profiles):
        for profile in profiles[backend]:
            by_load = uses_load_checker(settings, backend, profile)
            if not (by_load or keeps_watch) or profile.is_shadow:
                continue
            rules = agent_rules(settings, backend, profile)
            if rules.mode == NONE:
                if by_load:
                    silent.append((backend, profile.id))
                continue
            found = endpoints_of(profile, rules)
            hosts[backend, profile.id] = tuple((name, endpoint.key) for name, endpoint in found)
            chosen_by_load.update(endpoint.key for _, endpoint in found if by_load)
            for _, endpoint in found:
                first = targets.setdefault(endpoint.key, Target(endpoint, rules))
                if first.rules != rules:
                    disputed[endpoint.key, (backend, profile.id)] = None
    interval = float(settings.integer(GLOBAL, "load-checker-intervals"))
    return Watched(targets, hosts, tuple(silent), tuple(disputed), interval, keeps_watch, frozenset(chosen_by_load))


class Watch:
    """The servers to look after as of now, made anew when a file has changed. For one thread at a time.

    `backend` gives the backend of a name, and raises PluginError. `tells`: whether it is the load checker, which says
    in its log whom it asks.
    """

    def __init__(self, source: SettingsSource, backend: Callable[[str], Backend], tells: bool = True) -> None:
        self._source = source
        self._tells = tells
        self._backend = backend
        self._made_from: tuple[Settings, dict[str, tuple[SessionProfile, ...]]] | None = None
        self._broken: frozenset[str] = frozenset()
        self._watched = Watched()

    def current(self) -> Watched:
        """What to look after; the same object until something changed. Says in the log what cannot be asked."""
        settings = self._source.current()
        profiles = self._profiles(settings)
        before = self._made_from
        if (
            before is not None
            and before[0] is settings
            and before[1].keys() == profiles.keys()
            and all(before[1][name] is profiles[name] for name in profiles)
        ):
            return self._watched
        watched = watched_servers(settings, profiles)
        if self._tells:
            self._report(watched)
        self._made_from, self._watched = (settings, profiles), watched
        return watched

    def _profiles(self, settings: Settings) -> dict[str, tuple[SessionProfile, ...]]:
        found: dict[str, tuple[SessionProfile, ...]] = {}
        broken = set()
        for name in sorted(registered(BACKENDS)):
            if not settings.backend_enabled(name):
                continue
            try:
                found[name] = self._backend(name).all_profiles(settings)
            except PluginError as error:
                broken.add(name)
                if name not in self._broken:
                    loadchecker_log.error("servers of backend %s are not asked: %s", name, error)
            except Exception as error:  # noqa: BLE001 - a backend is a plug-in; the servers of the others are asked on
                broken.add(name)
                if self._made_from is not None and name in self._made_from[1]:
                    found[name] = self._made_from[1][name]
                if name not in self._broken:
                    loadchecker_log.error("backend %s cannot say its session profiles: %r", name, error)
        self._broken = frozenset(broken)
        return found

    def _report(self, watched: Watched) -> None:
        before = self._watched
        for backend, profile in watched.silent:
            if (backend, profile) not in before.silent:
                loadchecker_log.warning(
                    "session profile [%s] of backend %s goes by load, but its agent-query-mode is NONE: "
                    "its servers are not asked",
                    shown(profile),
                    backend,
                )
        for key, (backend, profile) in watched.disputed:
            if (key, (backend, profile)) not in before.disputed:
                loadchecker_log.warning(
                    "X2Go Server %s is not asked as session profile [%s] of backend %s has it: a profile before it has "
                    "other agent options",
                    shown(key),
                    shown(profile),
                    backend,
                )
        if watched.targets.keys() != before.targets.keys():
            loadchecker_log.info(
                "%d X2Go Servers to look after, of %d session profiles, every %d s",
                len(watched.targets),
                len(watched.profiles),
                watched.interval,
            )
