"""Session profiles that are well formed and yet of no use to anybody, or to some clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from x2gobroker.model.acl import AccessRules
from x2gobroker.model.host_weights import parse_weight
from x2gobroker.model.hosts import Host, is_ip_address
from x2gobroker.model.profile import HOST_WEIGHTS, SessionProfile

WITHOUT_SERVER = ("directrdp", "directxdmcp")  # the client goes elsewhere


@dataclass(frozen=True)
class ProfileCheck:
    """One thing to look at in a profile: the option that it is about, and what is said of it."""

    id: str
    option: str
    text: str
    find: Callable[[SessionProfile], Iterator[str]]
    error: bool = False


def _no_server(profile: SessionProfile) -> Iterator[str]:
    if not profile.hosts and not any(profile.options.get(name) in (True, "true") for name in WITHOUT_SERVER):
        yield profile.id


def _only_ipv6(profile: SessionProfile) -> Iterator[str]:
    return (host.target for host in profile.hosts if ":" in host.speakable)


def _unknown_weights(profile: SessionProfile) -> Iterator[str]:
    known = {word.lower() for host in profile.hosts for word in _names_of(host, profile.sshport)}
    for entry in profile.broker_list(HOST_WEIGHTS.removeprefix("broker-")):
        try:
            name, _ = parse_weight(entry)
        except ValueError:
            continue  # told when the profile is read
        if name not in known:
            yield entry


def _names_of(host: Host, port: int) -> Iterator[str]:
    for name in filter(None, (host.name, host.address)):
        yield name
        if not is_ip_address(name):
            yield name.partition(".")[0]  # a name without a domain means each host of that name
        bracketed = f"[{name}]" if ":" in name else name
        yield f"{bracketed}:{host.port_or(port)}"


def _nobody(profile: SessionProfile) -> Iterator[str]:
    rules = profile.rules
    if not rules.broken and allows_nobody(rules):
        yield profile.id


def allows_nobody(rules: AccessRules) -> bool:
    """Whether no allow list names anybody, where there are rules."""
    users = rules.on_users_or_groups and not (rules.users_allow or rules.groups_allow)
    clients = rules.clients_allow
    return users or (rules.on_clients and not (clients.everyone or clients.networks or clients.names))


def _id_with_folders(profile: SessionProfile) -> Iterator[str]:
    if "/" in profile.id or "\\" in profile.id:
        yield profile.id


PROFILE_CHECKS = (
    ProfileCheck(
        "no-server", "host", "host names no server: whoever chooses it is told that none is available", _no_server, True
    ),
    ProfileCheck("only-ipv6", "host", "host: X2Go Client cannot be told {}; write name ({})", _only_ipv6),
    ProfileCheck(
        "unknown-weight", HOST_WEIGHTS, "broker-host-weights: {!r} is for none of the servers of host", _unknown_weights
    ),
    ProfileCheck("nobody", "", "the access rules let nobody in: no allow list names anybody", _nobody),
    ProfileCheck(
        "id-with-folders",
        "",
        "X2Go Client takes the / or \\ of an id for folders, and lists no such profile",
        _id_with_folders,
    ),
)


def profile_faults(profile: SessionProfile) -> Iterator[tuple[str, str, bool]]:
    """Option, message and whether it is an error, for everything that the checks find."""
    for check in PROFILE_CHECKS:
        for found in check.find(profile):
            yield check.option, check.text.format(found, found), check.error
