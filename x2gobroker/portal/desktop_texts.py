"""What the scripts of the desktop pages say, in the language of the present request. `{name}` is filled in by them."""

from __future__ import annotations

from x2gobroker.portal.files_texts import files_texts
from x2gobroker.portal.languages import _
from x2gobroker.remote import told


def page_texts() -> dict[str, str]:
    """The texts by the names that connection.js, desktop.js and view.js have for them.

    What the service says itself is there by its own words; for all else that it may say there is `other`.
    """
    return {**_connection(), **_ends(), **_tools(), **_faults(), **_refusals(), **files_texts()}


def fault_text(note: str) -> str:
    """The note of a desktop for its user. One that is not known may hold what is for the log only."""
    if note.startswith(told.SAID):
        return note.removeprefix(told.SAID)
    return _faults().get(note) or (_other() if note else "")


def progress_text(progress: str) -> str:
    """What a script says of its progress: in the user's language where the script ships with us."""
    return _progress().get(progress, progress)


def _progress() -> dict[str, str]:
    return {
        "Starting the desktop": _("Starting the desktop"),
        "Connecting to the screen": _("Connecting to the screen"),
    }


def _other() -> str:
    return _("Try again. If it goes on, tell your administrator: the log says more.")


def _faults() -> dict[str, str]:
    return {
        told.SCRIPT_FAILED: _("Its script failed. Tell your administrator."),
        told.TOO_SLOW: _("It did not come up in time. Try again; if that goes on, tell your administrator."),
        told.NO_TYPE: _("It is no longer offered. Tell your administrator if you need it."),
        told.GIVEN_BACK: _("Its place was given back. Start it again."),
        told.STORE_FAILS: _("The server cannot keep note of it. Try again later."),
        told.ENDED_AT_ONCE: _("It ended at once. Try again; if that goes on, tell your administrator."),
        told.INTERRUPTED: _("The service was interrupted. Start it again."),
        told.NOT_STOPPED: _(
            "This desktop could not be stopped. It is tried again; if that does not help, tell your administrator."
        ),
        told.NO_ACCOUNT: _("You have no account on the server that runs it. Ask your administrator."),
        told.NOT_ROOT: _("The user root gets no desktop in the browser. Sign in as somebody else."),
        told.NOT_PERMITTED: _("It is not for you, or your account is locked or has expired. Ask your administrator."),
        told.NOT_INSTALLED: _("The server lacks a program for it. Tell your administrator."),
        told.NO_SIZE: _("It cannot have that size. Choose another one."),
    }


def _refusals() -> dict[str, str]:
    return {
        "other": _other(),
        told.NOT_STARTED: _("This desktop has not been started yet."),
        told.ELSEWHERE: _("This desktop is on another server. Tell your administrator."),
        told.BEING_STOPPED: _("This desktop is being stopped. Start it again in a moment."),
        told.NO_ANSWER: _("This desktop does not answer. If that goes on, stop it and start it again."),
        told.WRONG_PAGE: _(
            "The service for desktops does not know this address of the portal. Tell your administrator "
            "(remote-origins)."
        ),
        told.WRONG_WAY: _(
            "The connection came from another address than this page. If that goes on, tell your administrator."
        ),
        told.TOO_MANY: _("There are too many connections at present."),
        told.TOO_MANY_OF_YOURS: _("You have too many connections. Close other windows with desktops."),
        told.NO_STORE: _("The server cannot look up who you are at present."),
        told.NO_VNC: _("What answers there is no VNC server. Tell your administrator."),
        told.NO_LOGIN: _("Its VNC server wants a login that this portal does not know. Tell your administrator."),
        told.WRONG_LOGIN: _("Its VNC server refuses the password. Tell your administrator."),
        told.VNC_REFUSES: _("Its VNC server refuses the connection. Wait a minute."),
        told.VNC_FAILS: _("Its VNC server did not answer as it should."),
        told.NO_FILES: _("No files can be uploaded or downloaded here."),
        told.FILES_FAIL: _("Your files cannot be reached. Try again; if that goes on, tell your administrator."),
    }


def _connection() -> dict[str, str]:
    return {
        "connecting": _("Connecting …"),
        "starting": _("Starting the desktop …"),
        "connected": _("Connected"),
        "looking": _("You are looking on"),
        "not_reached": _("The desktop has not been reached yet."),
        "not_reached_more": "",
        "blocked": _("Something blocks the way to the desktop."),
        "blocked_more": _(
            "The web server, a proxy or a filter on your network does not let the connection through. Tell your "
            "administrator that WebSocket connections fail."
        ),
        "lost": _("The connection was lost."),
        "lost_more": "",
        "offline": _("This device is offline."),
        "offline_more": "",
        "again": _("Next try in {seconds} s."),
        "number": _("Number for your administrator: {number}."),
        "gave_up": _("The desktop could not be reached. Try again, or tell your administrator."),
        "signed_out": _("You are signed out. Sign in again to come back to this desktop."),
        "password_wrong": _("That password is wrong. Try again."),
        "password_needed": _("This desktop asks for a password. Connect again to type it."),
        "not_secure": _("Desktops need an address that begins with https://. Ask your administrator for it."),
        "too_old": _("This browser cannot show the desktop. Update it, or use another one."),
        "no_link": _("This address lacks the part behind the #. Copy the whole link."),
        "link_gone": _("The link was taken back, or the desktop has ended. Ask for a new one."),
    }


def _ends() -> dict[str, str]:
    return {
        "ended": _("This desktop has ended."),
        "failed": _("The desktop could not be started."),
        "ended_stop": _("It was stopped by you, or by an administrator."),
        "ended_idle": _("It was stopped because nothing was done in it for a long time."),
        "ended_absolute": _("It was stopped because its time was up."),
        "ended_grace": _("It was stopped because nobody was connected."),
        "ended_logout": _("It was stopped because you signed out."),
        "ended_locked": _("It was stopped because your account is locked. Ask your administrator."),
        "ended_self": _("What ran in it has ended."),
        "ended_service": _("The service was stopped. Try again in a minute."),
        "ends_idle": _("Nobody has done anything here for a long time. Press a key or move the pointer to keep it."),
        "ends_absolute": _("The time of this desktop is nearly up. Save your work."),
        "ends_in": _("It ends in {time}."),
        "ends_soon": _("This desktop ends in about {minutes} minutes."),
    }


def _tools() -> dict[str, str]:
    return {
        "screen": _("Screen of {name}. To leave it, press Control, Alt and Shift together, and let go."),
        "screen_view": _("Screen of {name}. You can only look on."),
        "copied": _("Copied"),
        "not_copied": _("The browser did not allow it. Copy the marked text yourself."),
        "clipboard_new": _("The desktop has copied a text."),
        "clipboard_sent": _("The desktop has this text now."),
        "clipboard_long": _(
            "This text is too long: it has {size} KB, and the desktop takes {most} KB. It was not sent."
        ),
        "clipboard_no_text": _("There is no text on the clipboard of this device."),
        "clipboard_denied": _("The browser does not allow it. Paste into the box above."),
        "shared_none": _("Nobody else can look on."),
        "shared_some": _("Whoever has a link can look on. Links: {number}."),
        "taken_back": _("The links were taken back."),
        "failed_request": _("That did not work. Try again."),
    }
