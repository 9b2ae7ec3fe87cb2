"""What guards the portal: which cookies there are, and what a page may load. Who may post: `model/origins.py`.

Sources: Content Security Policy Level 3, and the cookie prefix `__Host-` (RFC 6265bis).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from flask import Request, Response, request

from x2gobroker.model.origins import is_own_device

COOKIE = "__Host-x2gobroker"
SAME_ORIGIN = "same-origin"
SELF = "'self'"
NONE = "'none'"
POLICY: Mapping[str, str] = {
    "default-src": NONE,
    "script-src": SELF,
    "style-src": SELF,
    "img-src": "'self' data:",
    "connect-src": SELF,
    "form-action": SELF,
    "base-uri": NONE,
    "frame-ancestors": NONE,
}
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # with `no-referrer`, browsers would send `Origin: null` with forms
    "Referrer-Policy": SAME_ORIGIN,
    "Cross-Origin-Opener-Policy": SAME_ORIGIN,
    "Cross-Origin-Resource-Policy": SAME_ORIGIN,
}


def policy(**more: str) -> str:
    """The Content-Security-Policy of a page, with more sources: `policy(connect_src="wss://desktops.example")`."""
    merged = dict(POLICY)
    for name, sources in more.items():
        directive = name.replace("_", "-")
        before = merged.get(directive, NONE)
        merged[directive] = sources if before == NONE else f"{before} {sources}"
    return "; ".join(f"{directive} {sources}" for directive, sources in merged.items())


def protect(response: Response) -> Response:
    """Add the headers that every answer of the portal has, where the view has not set them itself."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if "Content-Security-Policy" not in response.headers:
        response.headers["Content-Security-Policy"] = policy()
    return response


def is_loopback(host: str) -> bool:
    """Whether browsers take this host, with or without a port, for safe without TLS."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return is_own_device(name)


def keeps_cookies(asked: Request) -> bool:
    """Whether the browser will keep our cookies: only where it came by TLS, or to this very host.

    A web server in front may have taken TLS off, so what the browser says counts: the scheme in Origin, which it sends
    with every form, and that it sends Sec-Fetch headers, which it does to safe addresses only.
    """
    if asked.is_secure or is_loopback(asked.host) or "Sec-Fetch-Site" in asked.headers:
        return True
    return asked.headers.get("Origin", "").startswith("https://")


def wants_json() -> bool:
    """Whether a script of ours asks, which says `Accept: application/json`; then errors are JSON, too."""
    accepted = request.accept_mimetypes
    return accepted["application/json"] > accepted["text/html"]


def set_cookie(response: Response, name: str, value: str, max_age: int | None = None) -> None:
    """Give the browser a cookie of this host only; for this sitting where there is no `max_age`, in seconds."""
    response.set_cookie(name, value, max_age=max_age, path="/", secure=True, httponly=True, samesite="Lax")


def drop_cookie(response: Response, name: str) -> None:
    """Take a cookie back."""
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="Lax")
