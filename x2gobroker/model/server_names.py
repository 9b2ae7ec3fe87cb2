"""Whether the name in a session profile and the name that a server gives itself mean the same server.

As the reference means it: `ts01` and `ts01.example.org` are the same, unless two hosts of the profile have that short
name; of two names that both have a domain the domains must agree; addresses are only ever the same as themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from x2gobroker.model.hosts import Host, ascii_name, is_ip_address


def find_host(hosts: Sequence[Host], reported: str, own_name: str = "") -> Host | None:
    """The host of a profile that calls itself `reported`; None when it is none of them, or could be several.

    `own_name` is this machine's name, which `localhost` in a profile stands for.
    """
    wanted = _plain(reported)
    if not wanted:
        return None
    for host in hosts:
        if wanted in (_plain(host.name), _plain(host.address)):
            return host
    own = _plain(own_name)
    if own and _agree(own, wanted):
        for host in hosts:
            if _plain(host.name) in ("localhost", "127.0.0.1", "::1"):
                return host
    found = [host for host in hosts if _agree(_plain(host.name), wanted)]
    return found[0] if len(found) == 1 else None


def is_named(hosts: Iterable[Host], reported: str, own_name: str = "") -> bool:
    """Whether a server that profiles have as these hosts calls itself `reported`; `own_name` as above."""
    return any(find_host((host,), reported, own_name) is not None for host in hosts)


def _plain(name: str) -> str:
    return ascii_name(name.strip().rstrip(".")).lower()


def _agree(one: str, other: str) -> bool:
    """Whether two names without final dots, in small letters, may be one server's."""
    if one == other:
        return bool(one)
    if not one or not other or is_ip_address(one) or is_ip_address(other):
        return False
    short, _, domain = one.partition(".")
    other_short, _, other_domain = other.partition(".")
    return short == other_short and not (domain and other_domain)
