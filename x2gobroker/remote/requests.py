"""What a request to the service says of who asks: the browser's address, and the page that it comes from."""

from __future__ import annotations

from websockets.datastructures import Headers

from x2gobroker.model.acl import Network
from x2gobroker.model.forwarded import Asked, read_asked
from x2gobroker.model.origins import is_own_device, split_origin

PATHS = ("/websockify", "/")  # the second is what the former product's nginx sends


def one(headers: Headers, name: str) -> str:
    """The value of a header that must come once; empty without it, and where it comes more often."""
    values = headers.get_all(name)
    return values[0].strip() if len(values) == 1 else ""


def peer_of(address: object) -> str:
    """Who connects, by the address of a socket; empty for a Unix socket."""
    return str(address[0]) if isinstance(address, tuple) and address else ""


def asked_of(peer: object, headers: Headers, proxies: tuple[Network, ...]) -> Asked:
    """The address of the browser, and the host that it asked for."""
    return read_asked(peer_of(peer), headers.get_all, proxies, "http", one(headers, "Host"))


def origin_allowed(headers: Headers, origins: tuple[str, ...], host: str) -> bool:
    """Whether the page that asks is ours: one of `origins`, or by default of `host`, which was asked for."""
    origin = one(headers, "Origin")
    found = _origin(origin)
    if found is None:
        return False
    if origins:
        return found in {_origin(known) for known in origins}
    return _origin(f"{found[0]}://{host}") == found


def _origin(text: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an origin; None for what is none."""
    found = split_origin(text)
    if found is None or text.count("/") != 2 or "?" in text or "#" in text:
        return None
    # over plain http only on this machine: else tokens and what is typed could be read on the way
    if found[0] == "http" and not is_own_device(found[1]):
        return None
    return found
