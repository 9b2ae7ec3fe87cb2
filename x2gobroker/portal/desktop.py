"""The desktop page, and what its script asks: how the desktop is, a token for each connection, the end of it."""

from __future__ import annotations

import re
import time
from urllib.parse import urlsplit

from flask import Response, url_for
from flask import request as http_request

from x2gobroker.logs import broker_log, error_log, field
from x2gobroker.portal import guard, static
from x2gobroker.portal.decorator import signed_in, signed_in_quietly
from x2gobroker.portal.desktop_texts import fault_text, page_texts, progress_text, why_texts
from x2gobroker.portal.end_texts import end_text, why_text
from x2gobroker.portal.languages import _
from x2gobroker.portal.looks import announcement
from x2gobroker.portal.page import go_to, json_answer, message, page
from x2gobroker.portal.session import SignIn, here
from x2gobroker.portal.texts import desktop_name
from x2gobroker.remote.keys import BOTH, NEITHER, OUT, WINDOW
from x2gobroker.remote.stopping import NUMBER_LETTERS
from x2gobroker.remote.told import PASSING
from x2gobroker.settings import GLOBAL, Settings
from x2gobroker.store import DesktopEnd, DesktopEnds, RemoteDesktops, Slot, Why
from x2gobroker.store.remote_desktops import FAILED, MINE

GONE, ENDED = "gone", "ended"  # what has no place any more, and how it ended is not known, or known
WEBSOCKET_PATH = "/websockify"  # below the broker's own path, like its pages
TOKEN_PREFIX = "x2gobroker."  # noqa: S105 - what stands before a token among the subprotocols
HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9a-fA-F:]+\](:\d{1,5})?")
SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
PLAIN_SCHEMES = {"ws": "http", "wss": "https"}
SCRIPT = "portal/desktop.js"
SOUND_WORKER = "portal/sound-worker.js"


def find_mine(sign_in: SignIn, desktop: str) -> Slot | None:
    """The user's desktop of this ID. None when it is over, and for that of somebody else. Raises StoreError."""
    slot = sign_in.services.of(RemoteDesktops, sign_in.settings).find(desktop)
    return slot if slot is not None and slot.is_of(sign_in.user) and sign_in.vouched is not None else None


def find_end(sign_in: SignIn, desktop: str, slot: Slot | None = None) -> DesktopEnd | None:
    """How the user's desktop of this ID has ended, of which `slot` is what is left. None where that is not known, and
    for that of somebody else. Raises StoreError.
    """
    end = sign_in.services.of(DesktopEnds, sign_in.settings).find(desktop)
    if end is None:  # a service of before keeps the note only
        return None if slot is None else slot.end(Why.FAILED, slot.since, note=slot.note)
    return end if end.is_of(sign_in.user) and sign_in.vouched is not None else None


@signed_in
def desktop(sign_in: SignIn, desktop: str) -> Response:
    """The page with the desktop. Its script connects; the service starts the desktop then, if it does not run."""
    slot = find_mine(sign_in, desktop)
    if slot is None:
        end = find_end(sign_in, desktop)
        how = "" if end is None else end_text(end, time.time())
        text = _("Go to the home page to start a new one.")
        return message(_("This desktop has ended"), f"{how} {text}".strip(), 404, sign_in)
    if not static.has_novnc():
        return without_novnc(sign_in)
    kind = sign_in.services.session_types.current(sign_in.settings).types.get(slot.type)
    made = page(
        "desktop.html",
        sign_in,
        policy=policy(sign_in.settings, kind.files if kind else NEITHER),
        slot=slot,
        name=desktop_name(slot, kind),
        size=WINDOW if slot.options.get("follows") else slot.options.get("size", ""),
        scaling="resize" if slot.options.get("follows") else "fit",
        number=slot.id[:NUMBER_LETTERS],
        clipboard=kind.clipboard if kind else NEITHER,
        files=kind.files if kind else NEITHER,
        sound=kind.sound if kind else NEITHER,
        files_bytes=kind.files_megabytes << 20 if kind else 0,
        clipboard_bytes=kind.clipboard_kilobytes << 10 if kind else 0,
        texts=page_texts(),
        passing=PASSING,
        script=SCRIPT,
        modules=static.modules_of(SCRIPT),
    )
    if _service_host(sign_in.settings):
        made.headers["Referrer-Policy"] = "strict-origin"  # else a form would not tell the service whose page it is on
    return made


def without_novnc(sign_in: SignIn | None) -> Response:
    """The page where nobody has fetched noVNC."""
    error_log.error(
        "portal: noVNC is not in %s: run scripts/novnc, install the broker again, and restart it",
        static.FOLDER / "novnc",
    )
    text = _(
        "A component for desktops in the browser is missing on this server. Contact your administrator. The log "
        "has details."
    )
    return message(_("Desktops unavailable"), text, 503, sign_in)


def policy(settings: Settings, files: str = NEITHER) -> str:
    """The Content-Security-Policy of a page that connects to the service; `'self'` is no websocket in some browsers.

    Files go by plain requests as well, and what goes out is saved by a frame. `files`: as a session type says it.
    """
    gives = files in (BOTH, OUT)
    host = _service_host(settings) or http_request.host
    more = {"frame_src": guard.SELF} if gives else {}
    if not HOST.fullmatch(host):
        return guard.policy(**more)
    if not _service_host(settings):
        plain = f" ws://{host}" if guard.is_loopback(host) else ""
        return guard.policy(connect_src=f"wss://{host}{plain}", **more)
    scheme = SCHEMES.get(urlsplit(settings.text(GLOBAL, "remote-websocket-url")).scheme, "wss")
    service = f"{PLAIN_SCHEMES[scheme]}://{host}"
    if gives:
        more = {"frame_src": f"{guard.SELF} {service}", "form_action": service}
    return guard.policy(connect_src=f"{scheme}://{host}" + (f" {service}" if files != NEITHER else ""), **more)


def sound_worker() -> Response:
    """The script of the page's thread for sound: it has a policy of its own, which says where it may connect."""
    made = static.serve(f"{static.files().hash}/{SOUND_WORKER}")
    made.headers["Cache-Control"] = "no-store"  # the policy may change without the script
    made.headers["Content-Security-Policy"] = policy(here().settings)
    return made


def _service_host(settings: Settings) -> str:
    """Host and port of the service, where it is not below the portal's own."""
    return urlsplit(settings.text(GLOBAL, "remote-websocket-url")).netloc


def ticket(settings: Settings, token: str) -> dict[str, str]:
    """What a script needs for one connection: the websocket's address, relative to the page's, and the subprotocol."""
    url = settings.text(GLOBAL, "remote-websocket-url") or http_request.script_root + WEBSOCKET_PATH
    return {"token": token, "protocol": TOKEN_PREFIX + token, "url": url}


@signed_in_quietly
def state(sign_in: SignIn, desktop: str) -> Response:
    """How the desktop is, as JSON. That the page asks keeps nobody signed in; work at the desktop does, elsewhere."""
    slot = find_mine(sign_in, desktop)
    if slot is None or slot.state == FAILED:
        return json_answer(_end_state(find_end(sign_in, desktop, slot)))
    why = slot.stopped_why
    links = sign_in.services.of(RemoteDesktops, sign_in.settings).shares([slot.id])
    return json_answer(
        {
            "state": slot.state,
            "progress": progress_text(slot.progress),
            "ends": slot.ends,
            "ends_why": slot.ends_why,
            # by the server's clock: that of the browser may be wrong
            "left": None if slot.ends is None else max(0.0, round(slot.ends - time.time(), 1)),
            "note": fault_text(slot.note) or ("" if why is None else why_texts()[why]),
            "why": "" if why is None else why.value,
            "connections": slot.connections,
            "announcement": announcement(sign_in.settings),
            "shared": len(links),
            "shared_to_work": sum(links.values()),
        }
    )


def _end_state(end: DesktopEnd | None) -> dict[str, object]:
    """The same of a desktop that has ended: why, and when."""
    if end is None:
        return {"state": GONE}
    return {
        "state": FAILED if end.never_ran else ENDED,
        "why": end.why.value,
        "note": why_text(end),
        "ended": end.ended,
        "ago": max(0.0, round(time.time() - end.ended, 1)),  # by the server's clock, as above
    }


@signed_in_quietly
def token(sign_in: SignIn, desktop: str) -> Response:
    """A token for one connection, and where to connect."""
    slot = find_mine(sign_in, desktop)
    if slot is None or slot.state not in MINE:
        return json_answer({"error": _("This desktop has ended."), "state": GONE if slot is None else slot.state}, 409)
    kind = sign_in.services.session_types.current(sign_in.settings).types.get(slot.type)
    if kind is not None and not kind.access.decide(sign_in.requester):
        broker_log.warning(
            "portal: %s may not connect to %s any more: its access rules say so", field(sign_in.user), field(slot.type)
        )
        return json_answer(
            {"error": _("You are no longer allowed to use this desktop. Contact your administrator.")}, 403
        )
    made = sign_in.services.of(RemoteDesktops, sign_in.settings).token(
        slot, sign_in.user, sign_in.address, sign_in=sign_in.tie
    )
    return json_answer(ticket(sign_in.settings, made))


@signed_in
def stop(sign_in: SignIn, desktop: str) -> Response:
    """Have the desktop stopped; then home, or JSON where a script asks."""
    slot = find_mine(sign_in, desktop)
    if slot is not None:
        broker_log.info("portal: %s stops %s/%d", field(sign_in.user), field(slot.type), slot.number)
        sign_in.services.of(RemoteDesktops, sign_in.settings).ask_stop(slot)
    if guard.wants_json():
        return json_answer({"state": "stopping", "home": url_for("portal.home")})
    return go_to("portal.home")
