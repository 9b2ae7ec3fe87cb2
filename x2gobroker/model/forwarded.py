"""The address of a client behind a web server that passes requests on, and says for whom in X-Forwarded-For."""

from __future__ import annotations

from collections.abc import Iterable

from x2gobroker.model.acl import Network, parse_client


def forwarded_address(peer: str, forwarded: Iterable[str], proxies: Iterable[Network]) -> tuple[str, bool]:
    """The client's address, in the one form that is compared and stored; and whether it is a trusted server that asks.

    `peer` is who connects, empty for a Unix socket, which is trusted. `forwarded` are the values of the header, of
    which the last entry counts: those before it are what the client itself may have sent.
    """
    known = parse_client(peer)
    trusted = not peer or (known is not None and any(known.version == one.version and known in one for one in proxies))
    entries = [entry.strip() for value in forwarded for entry in value.split(",")] if trusted else []
    client = parse_client(entries[-1]) if entries else None
    found = client or known
    return str(found) if found is not None else peer, trusted
