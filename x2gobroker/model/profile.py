"""Session profiles: what an INI section says, as typed values with everything the broker needs computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from x2gobroker.model.acl import ALLOW_DENY, DENY_ALLOW, ORDERS, AccessRules, parse_clients
from x2gobroker.model.hosts import DEFAULT_SSH_PORT, Host, parse_host
from x2gobroker.model.options import NOT_SET, Kind, Value, did_you_mean, parse_list, parse_value
from x2gobroker.model.profile_options import (
    ACL_PREFIX,
    BROKER_PREFIX,
    BY_NAME,
    CLIENT_OPTIONS,
    DESKTOPS,
    SHADOW,
)

Report = Callable[[str, str], None]
BROKER_USER = "BROKER_USER"
KEY_PLACEHOLDER = "<will-be-exchanged-during-session-selection>"
INTERNAL = ("host=", "sshport=")


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

    @property
    def is_shadow(self) -> bool:
        """Whether this is desktop sharing: always the first host, never balanced."""
        return self.options.get("command") == SHADOW

    def broker_flag(self, name: str, default: bool) -> bool:
        """A boolean `broker-` option, or `default` where the profile does not set it."""
        value = self.broker_options.get(BROKER_PREFIX + name)
        return value if isinstance(value, bool) else default


def build_profile(profile_id: str, own: Mapping[str, str], shared: Mapping[str, str], report: Report) -> SessionProfile:
    """Make a profile of its section's text and the text of `[DEFAULT]`.

    `report(option, message)` is told of every value that cannot be used; the default takes its place, except in
    access rules, which then let nobody in. Never raises for what a file says.
    """
    texts = {**own, **{name: text for name, text in shared.items() if name not in own}}
    options: dict[str, Value] = {}
    for name, text in texts.items():
        if name.startswith((ACL_PREFIX, BROKER_PREFIX, *INTERNAL)) or name == "default":
            continue
        options[name] = _client_value(name, text, shared if name in own else {}, report)
    for option in CLIENT_OPTIONS:
        options.setdefault(option.name, option.default)
    options = {name: value for name, value in options.items() if value != NOT_SET}
    options.setdefault("name", profile_id)
    _known_desktop(options)
    hosts = _hosts(options, report)
    options["host"] = tuple(host.name for host in hosts)
    return SessionProfile(profile_id, options, hosts, build_rules(texts, report), _broker_options(texts, report))


def _client_value(name: str, text: str, shared: Mapping[str, str], report: Report) -> Value:
    """The typed value of one key; where it cannot be used, that of `[DEFAULT]`, else the built-in one."""
    option = BY_NAME.get(name)
    if option is None:
        return text
    if text == NOT_SET and option.kind in (Kind.TEXT, Kind.INTEGER):
        return text
    try:
        return parse_value(option, text)
    except ValueError as error:
        report(name, f"{name}: {error}")
    return _client_value(name, shared[name], {}, report) if name in shared else option.default


def _known_desktop(options: dict[str, Value]) -> None:
    """A desktop known by name is written in capitals and never runs rootless; x2goruncommand wants it so."""
    command = options.get("command")
    if isinstance(command, str) and command.upper() in DESKTOPS:
        options["command"] = command.upper()
        options["rootless"] = False


def _hosts(options: Mapping[str, Value], report: Report) -> tuple[Host, ...]:
    entries = options.get("host", ())
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
        option = BY_NAME.get(name)
        if option is None:
            known = [known for known in BY_NAME if known.startswith(BROKER_PREFIX)]
            report(name, f"unknown option {name}{did_you_mean(name, known)}")
            continue
        try:
            values[name] = parse_value(option, text)
        except ValueError as error:
            report(name, f"{name}: {error}; it is ignored")
    return values


def build_rules(texts: Mapping[str, str], report: Report) -> AccessRules:
    """The access rules of a profile's text. A misspelt rule makes rules that let nobody in."""
    broken: list[str] = []

    def bad(name: str, message: str) -> None:
        report(name, f"{message}; nobody is offered this profile until it is mended")
        broken.append(message)

    for name in texts:
        if name.startswith(ACL_PREFIX) and name not in BY_NAME:
            known = [known for known in BY_NAME if known.startswith(ACL_PREFIX)]
            bad(name, f"unknown access rule {name}{did_you_mean(name, known)}")
    lists = {kind: parse_list(texts.get(kind, "")) for kind in BY_NAME if kind.startswith(ACL_PREFIX)}
    orders = {what: _order(what, texts, report) for what in ("users", "groups", "clients")}
    allow, deny = parse_clients(lists["acl-clients-allow"]), parse_clients(lists["acl-clients-deny"])
    for name, entries in (("acl-clients-allow", allow), ("acl-clients-deny", deny)):
        for entry in entries.bad:
            verdict = "it denies every client" if name.endswith("deny") else "it matches no client"
            report(name, f"{name}: {entry!r} is no address, network or host name; {verdict}")
    for what, order in orders.items():
        if order == DENY_ALLOW and "ALL" in lists[f"acl-{what}-deny"] and lists[f"acl-{what}-allow"]:
            report(
                f"acl-{what}-deny",
                f"acl-{what}-deny = ALL wins over acl-{what}-allow in this order, so that it allows nobody; "
                f"write acl-{what}-order = {ALLOW_DENY}",
            )
    return AccessRules(
        frozenset(lists["acl-users-allow"]),
        frozenset(lists["acl-users-deny"]),
        orders["users"],
        frozenset(lists["acl-groups-allow"]),
        frozenset(lists["acl-groups-deny"]),
        orders["groups"],
        allow,
        deny,
        orders["clients"],
        tuple(broken),
    )


def _order(what: str, texts: Mapping[str, str], report: Report) -> str:
    for name in (f"acl-{what}-order", "acl-any-order"):
        order = texts.get(name, "").strip()
        if order in ORDERS:
            return order
        if order:
            report(name, f"{name}: {order!r} is neither {' nor '.join(ORDERS)}; the deny list wins")
            return DENY_ALLOW
    return DENY_ALLOW
