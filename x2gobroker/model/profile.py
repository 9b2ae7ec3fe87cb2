"""Session profiles: what an INI section says, as typed values with everything the broker needs computed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from x2gobroker.model.acl import AccessRules
from x2gobroker.model.host_weights import parse_weight
from x2gobroker.model.hosts import DEFAULT_SSH_PORT, Endpoint, Host, parse_host
from x2gobroker.model.ini_text import text_of
from x2gobroker.model.options import NOT_SET, Kind, Value, parse_value, unquote
from x2gobroker.model.profile_options import (
    ACL_PREFIX,
    BROKER_PREFIX,
    BY_NAME,
    CLIENT_OPTIONS,
    DESKTOPS,
    SHADOW,
)
from x2gobroker.model.rules_text import build_rules
from x2gobroker.model.written_names import INTERNAL, Report, written_names

BROKER_USER = "BROKER_USER"
KEY_PLACEHOLDER = "<will-be-exchanged-during-session-selection>"
HOST_WEIGHTS = "broker-host-weights"


@dataclass(frozen=True, eq=False)
class SessionProfile:
    """One session profile, as an administrator wrote it.

    `options` are the values that clients are told, in the order of an answer; `host` in it is the list of names.
    `broker_options` are those for the broker itself, where the profile sets them.
    """

    id: str
    options: Mapping[str, Value]
    hosts: tuple[Host, ...]
    rules: AccessRules
    broker_options: Mapping[str, Value] = field(default_factory=dict)

    @property
    def sshport(self) -> int:
        """The SSH port of hosts without one of their own."""
        port = self.options.get("sshport")
        return port if isinstance(port, int) and not isinstance(port, bool) else DEFAULT_SSH_PORT

    @cached_property
    def servers(self) -> Mapping[str, tuple[Host, Endpoint]]:
        """The hosts by `Endpoint.key`, each with that Endpoint; of one that is written twice, the first entry counts.

        Every login goes through them, and there may be hundreds: they are made once.
        """
        found: dict[str, tuple[Host, Endpoint]] = {}
        for host in self.hosts:
            endpoint = host.endpoint(self.sshport)
            found.setdefault(endpoint.key, (host, endpoint))
        return found

    @property
    def is_shadow(self) -> bool:
        """Whether this is desktop sharing: always the first host, never balanced."""
        return self.options.get("command") == SHADOW

    def broker_flag(self, name: str, default: bool) -> bool:
        """A boolean `broker-` option, or `default` where the profile does not set it."""
        value = self.broker_options.get(BROKER_PREFIX + name)
        return value if isinstance(value, bool) else default

    def broker_text(self, name: str) -> str:
        """A text, path or choice `broker-` option; empty where the profile does not set it."""
        value = self.broker_options.get(BROKER_PREFIX + name)
        return value if isinstance(value, str) else ""

    def broker_list(self, name: str) -> tuple[str, ...]:
        """A list `broker-` option; empty where the profile does not set it."""
        value = self.broker_options.get(BROKER_PREFIX + name)
        return value if isinstance(value, tuple) else ()


class ProfileOptions(Mapping[str, Value]):
    """The options of one profile: its own, in their order, then those of `[DEFAULT]` and the built-in ones.

    What profiles share is kept once for all of them. Options with the value `not-set` are not there.
    """

    __slots__ = ("_changed", "_own", "_shared")

    def __init__(self, own: Mapping[str, Value], shared: Mapping[str, Value], changed: Mapping[str, Value]) -> None:
        self._own = own
        self._shared = shared
        self._changed = changed

    def _find(self, name: str) -> Value:
        for values in (self._changed, self._own, self._shared):
            if name in values:
                return values[name]
        return NOT_SET

    def __getitem__(self, name: str) -> Value:
        value = self._find(name)
        if value == NOT_SET:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        for values in (self._own, self._shared, self._changed):
            for name in values:
                seen = (values is not self._own and name in self._own) or (
                    values is self._changed and name in self._shared
                )
                if not seen and self._find(name) != NOT_SET:
                    yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Defaults:
    """What the profiles of one file have in common: the text of `[DEFAULT]` and the built-in values, read once.

    A reason in `closed` closes all of these profiles.
    """

    def __init__(self, texts: Mapping[str, str], report: Report, closed: tuple[str, ...] = ()) -> None:
        written = written_names(texts, report)
        self.texts = dict(written.texts)
        self.values = client_values(self.texts, {}, report)
        for option in CLIENT_OPTIONS:
            self.values.setdefault(option.name, option.default)
        if "host" in written.lost and "host" not in self.texts:
            self.values["host"] = ()
        self.hosts = _hosts(self.values["host"], report)
        self.broken = (*closed, *written.broken)
        self.rules = build_rules(self.texts, report, self.broken)
        self.broker_options = _broker_options(self.texts, report)


def build_profile(
    profile_id: str,
    own: Mapping[str, str],
    shared: Mapping[str, str] | Defaults,
    report: Report,
    closed: tuple[str, ...] = (),
) -> SessionProfile:
    """Make a profile of its section's text and what it shares with others.

    `report(option, message)` is told of every value that cannot be used; the default takes its place, except in
    access rules, which then let nobody in. A reason in `closed` lets nobody in either. Never raises for what a file
    says.
    """
    defaults = shared if isinstance(shared, Defaults) else Defaults(shared, report)
    written = written_names(own, report)
    texts = written.texts
    values = client_values(texts, defaults.values, report)
    if "host" in written.lost and "host" not in texts:
        values["host"] = ()
    hosts = _hosts(values["host"], report) if "host" in values else defaults.hosts
    options = ProfileOptions(values, defaults.values, {})
    changed: dict[str, Value] = {"host": tuple(host.name for host in hosts)}
    if "name" not in options:
        values.pop("name", None)
        changed["name"] = profile_id
    changed.update(_known_desktop(options.get("command")))
    options = ProfileOptions(values, defaults.values, changed)
    rules, broker_options = defaults.rules, defaults.broker_options
    broken = (*closed, *written.broken)
    if broken or any(name.startswith(ACL_PREFIX) for name in texts):
        rules = build_rules({**defaults.texts, **texts}, report, (*broken, *defaults.broken))
    if any(name.startswith(BROKER_PREFIX) for name in texts):
        broker_options = _broker_options({**defaults.texts, **texts}, report)
    return SessionProfile(profile_id, options, hosts, rules, broker_options)


def client_values(texts: Mapping[str, str], shared: Mapping[str, Value], report: Report) -> dict[str, Value]:
    """The typed values of those keys that clients are told."""
    return {
        name: _client_value(name, text, shared, report)
        for name, text in texts.items()
        if not name.startswith((ACL_PREFIX, BROKER_PREFIX, *INTERNAL)) and name != "default"
    }


def _client_value(name: str, text: str, shared: Mapping[str, Value], report: Report) -> Value:
    """The typed value of one key; where it cannot be used, that of `[DEFAULT]`, else the built-in one."""
    option = BY_NAME.get(name)
    text = text_of(name, text)
    if option is None:
        return text
    if text == NOT_SET and option.kind in (Kind.TEXT, Kind.INTEGER):
        return text
    try:
        return parse_value(option, text)
    except ValueError as error:
        report(name, f"{name}: {error}")
    return shared.get(name, option.default)


def _known_desktop(command: Value | None) -> dict[str, Value]:
    """A desktop known by name is written in capitals and never runs rootless; x2goruncommand wants it so."""
    if isinstance(command, str) and command.upper() in DESKTOPS:
        return {"command": command.upper(), "rootless": False}
    return {}


def _hosts(entries: Value, report: Report) -> tuple[Host, ...]:
    hosts = []
    for entry in entries if isinstance(entries, tuple) else ():
        try:
            hosts.append(parse_host(entry))
        except ValueError as error:
            report("host", f"host: {error}; this host is left out")
    return tuple(hosts)


def _broker_options(texts: Mapping[str, str], report: Report) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name, text in texts.items():
        if not name.startswith(BROKER_PREFIX) or not text.strip():
            continue
        is_text = BY_NAME[name].kind is Kind.TEXT
        try:
            values[name] = parse_value(BY_NAME[name], unquote(text.strip()) if is_text else text)
        except ValueError as error:
            report(name, f"{name}: {error}; it is ignored")
    _check_weights(values.get(HOST_WEIGHTS), report)
    return values


def _check_weights(entries: Value | None, report: Report) -> None:
    for entry in entries if isinstance(entries, tuple) else ():
        try:
            parse_weight(entry)
        except ValueError as error:
            report(HOST_WEIGHTS, f"{HOST_WEIGHTS}: {error}; this weight is left out")
