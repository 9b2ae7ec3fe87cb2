"""Which page a request comes from, as far as browsers tell: no page of another site may have a user do something.

Browsers log users in by themselves, by cookies, Kerberos, certificates or a password they know, also for a form of
somebody else's page. What they add to such a form, and no page can take away: `Sec-Fetch-Site` (Fetch Metadata, to
addresses with TLS and the own machine), `Origin` (to all), and mostly `Referer`. X2Go clients send none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from ipaddress import ip_address
from urllib.parse import urlsplit

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
SAME_ORIGIN = "same-origin"
DEFAULT_PORTS = {"http": 80, "https": 443}
FETCH = "sec-fetch-"


class Callers(Enum):
    """For whom addresses are."""

    PROGRAMS = "programs"  # nothing of another site's pages gets there, by whatever method
    LINKS = "links"  # besides, a GET changes nothing there, and may come from wherever a link stands
    FORMS = "forms"  # besides, what changes something comes from our own pages, and their browser says so


def may_come(callers: Callers, method: str, headers: Mapping[str, str], scheme: str, host: str) -> bool:
    """Whether a request may get to an address for these callers. `scheme://host` is the address that was asked for."""
    if callers is not Callers.PROGRAMS and method in SAFE_METHODS:
        return True
    told = {name.lower(): value for name, value in headers.items()}
    if callers is not Callers.FORMS and not _tells_of_a_page(told):
        return True
    return _is_own_page(told, scheme, host)


def split_origin(text: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an origin, or of the page's address that begins with it; None for what is none."""
    try:
        parts = urlsplit(text.strip())
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname.lower(), port


def is_own_device(host: str) -> bool:
    """Whether this name is one of the device that asks: browsers take it for safe without TLS. Without a port."""
    name = host.lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_own_origin(text: str, scheme: str, host: str) -> bool:
    """Whether this is an origin of pages that this request's own address, `scheme://host`, has served.

    A page that came by TLS may ask where TLS was taken off on the way; one without TLS may not ask where there is TLS:
    anybody on the way may have written it.
    """
    found = split_origin(text)
    if found is None or (scheme == "https" and found[0] != "https"):
        return False
    # a host without a port is asked for at the usual one of the page's own scheme
    return split_origin(f"{found[0]}://{host}") == found


def _tells_of_a_page(headers: Mapping[str, str]) -> bool:
    """Whether a request has any of the headers by which browsers tell where it comes from."""
    return any(name in ("origin", "referer") or name.startswith(FETCH) for name in headers)


def _is_own_page(headers: Mapping[str, str], scheme: str, host: str) -> bool:
    """Whether what a browser sends comes from a page of `scheme://host`. Without any of these headers: no.

    `Sec-Fetch-Site` decides where it is there: it does not depend on how the broker is called.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == SAME_ORIGIN
    origin = headers.get("origin")
    if origin is not None:
        return is_own_origin(origin, scheme, host)
    referer = headers.get("referer")
    return referer is not None and is_own_origin(referer, scheme, host)
