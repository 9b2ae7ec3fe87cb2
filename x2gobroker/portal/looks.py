"""What an administrator has made of the portal's looks: a notice, a colour, a logo, and links at the foot of pages."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from functools import lru_cache

from flask import Response, abort, url_for
from flask import request as http_request

from x2gobroker.logs import error_log
from x2gobroker.model.colours import DARK, LEAST_CONTRAST, LIGHT, WHITE, Scheme, contrast, parse_colour
from x2gobroker.model.notices import parse_moment
from x2gobroker.portal.languages import _
from x2gobroker.portal.pictures import PictureError, read_picture, send_picture, version_of
from x2gobroker.portal.session import here
from x2gobroker.portal.static import ASK, FOREVER
from x2gobroker.settings import GLOBAL, Settings

LARGEST_LOGO = 1 << 19
ANNOUNCEMENT = "portal-announcement"
COLOUR, LOGO = "portal-colour", "portal-logo"
VARIABLES = {"accent": "accent", "accent-strong": "strong", "on-accent": "text", "tint": "tint"}
HASH_LETTERS = 12


def announcement(settings: Settings, now: float | None = None) -> str:
    """The notice for all users; empty where there is none, before its time and after it."""
    moment = time.time() if now is None else now
    begin, end = announcement_times(settings)
    is_shown = (begin is None or begin <= moment) and (end is None or moment < end)
    return settings.text(GLOBAL, ANNOUNCEMENT).strip() if is_shown else ""


def announcement_times(settings: Settings) -> tuple[float | None, float | None]:
    """From when until when it is shown, in seconds of the epoch; None: without a limit."""
    begin, end = (parse_moment(settings.text(GLOBAL, f"{ANNOUNCEMENT}-{which}")) for which in ("from", "until"))
    return begin, end


def links(settings: Settings) -> list[tuple[str, str]]:
    """The links at the foot of each page: address and text."""
    texts = {"portal-help-url": _("Help"), "portal-imprint-url": _("Legal notice"), "portal-privacy-url": _("Privacy")}
    found = ((settings.text(GLOBAL, name), text) for name, text in texts.items())
    return [(address, text) for address, text in found if address]


@lru_cache(8)
def stylesheet(colour: str) -> str:
    """The variables of portal.css that follow from an accent colour, for both schemes. Raises ValueError."""
    accent = parse_colour(colour)
    light, dark = (_variables(surroundings.scheme(accent)) for surroundings in (LIGHT, DARK))
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"


def _variables(scheme: Scheme) -> str:
    return " ".join(f"--{name}: {getattr(scheme, part)};" for name, part in VARIABLES.items())


def _version(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:HASH_LETTERS]


def colour_address(settings: Settings) -> str:
    """Where the style sheet with the colour is; empty where the portal has its own one."""
    colour = settings.text(GLOBAL, COLOUR)
    return url_for("portal.colour", v=_version(stylesheet(colour))) if colour else ""


def colour() -> Response:
    """The style sheet with the colour. Browsers keep it under the address with its version."""
    wanted = here().settings.text(GLOBAL, COLOUR)
    if not wanted:
        abort(404)
    text = stylesheet(wanted)
    response = Response(text, content_type="text/css; charset=utf-8")
    response.headers["Cache-Control"] = _cache(_version(text))
    return response


def logo_address(settings: Settings) -> str:
    """Where the logo is; empty where there is none, or its file is not there."""
    version = version_of(settings.path(GLOBAL, LOGO)) if settings.text(GLOBAL, LOGO) else ""
    return url_for("portal.logo", v=version) if version else ""


def logo() -> Response:
    """The logo, for everybody: it is on the sign-in page."""
    settings = here().settings
    if not settings.text(GLOBAL, LOGO):
        abort(404)
    path = settings.path(GLOBAL, LOGO)
    try:
        return send_picture(path, LARGEST_LOGO, _cache(version_of(path)))
    except PictureError as error:
        error_log.error("portal: %s: %s %s", LOGO, path, error)
        abort(404)


def _cache(version: str) -> str:
    return FOREVER if http_request.args.get("v", "") == version else ASK


def logo_faults(settings: Settings) -> Iterator[str]:
    """Why the logo cannot be shown, for `check-config`."""
    if settings.text(GLOBAL, LOGO):
        path = settings.path(GLOBAL, LOGO)
        try:
            read_picture(path, LARGEST_LOGO)
        except PictureError as error:
            yield f"{path} {error}"


def colour_faults(settings: Settings) -> Iterator[str]:
    """Why pages have another colour than the one that is set, for `check-config`."""
    text = settings.text(GLOBAL, COLOUR)
    if text:
        wanted = parse_colour(text)
        found = min(contrast(wanted, other) for other in (WHITE, LIGHT.page, LIGHT.card.mixed(wanted, LIGHT.share)))
        if found < LEAST_CONTRAST:
            yield (
                f"{wanted} has a contrast of {found:.1f} to white text and to pages, and texts need {LEAST_CONTRAST}: "
                f"pages have {LIGHT.scheme(wanted).accent} instead"
            )


def announcement_faults(settings: Settings) -> Iterator[str]:
    """Why an announcement is never shown, for `check-config`."""
    begin, end = announcement_times(settings)
    if begin is not None and end is not None and end <= begin:
        yield f"{ANNOUNCEMENT}-until is not after {ANNOUNCEMENT}-from: {ANNOUNCEMENT} is never shown"
    if (begin is not None or end is not None) and not settings.text(GLOBAL, ANNOUNCEMENT):
        yield f"{ANNOUNCEMENT} is empty: its times are those of nothing"
