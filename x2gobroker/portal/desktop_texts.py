"""What the scripts of the desktop pages say, in the language of the present request. `{name}` is filled in by them."""

from __future__ import annotations

from x2gobroker.portal.files_texts import files_texts
from x2gobroker.portal.languages import _, _n
from x2gobroker.remote import told
from x2gobroker.store import Why

LAST_MINUTES = 5  # desktop.js says the end of a desktop so long before it


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


def why_texts() -> dict[Why, str]:
    """Why a desktop has ended, as far as the word alone says it."""
    return {
        Why.STOP: _("You or an administrator stopped it."),
        Why.ADMINISTRATOR: _("An administrator stopped it."),
        Why.LOGOUT: _("It was stopped because you signed out."),
        Why.LOCKED: _("It was stopped because your account is locked. Contact your administrator."),
        Why.IDLE: _("It was stopped because it was idle for too long."),
        Why.ABSOLUTE: _("It was stopped because its time limit was reached."),
        Why.GRACE: _("It was stopped because nobody was connected."),
        Why.SESSION: _("Its session was closed."),
        Why.EARLY: _faults()[told.ENDED_AT_ONCE],
        Why.MEMORY: _faults()[told.MORE_MEMORY],
        Why.SERVICE: _("The service was stopped. Try again in a minute."),
        Why.INTERRUPTED: _faults()[told.INTERRUPTED],
        Why.FAILED: _other(),
        Why.GIVEN_BACK: "",
        Why.UNKNOWN: "",
    }


def progress_text(progress: str) -> str:
    """What a script says of its progress: in the user's language where the script ships with us."""
    return _progress().get(progress, progress)


def _progress() -> dict[str, str]:
    return {
        "Starting the desktop": _("Starting the desktop"),
        "Connecting to the screen": _("Connecting to the screen"),
    }


def _other() -> str:
    return _("Try again. If this keeps happening, contact your administrator. The log has details.")


def _faults() -> dict[str, str]:
    return {
        told.SCRIPT_FAILED: _("The script for this desktop failed. Contact your administrator."),
        told.TOO_SLOW: _(
            "The desktop took too long to start. Try again. If this keeps happening, contact your administrator."
        ),
        told.NO_TYPE: _("This desktop is no longer available. Contact your administrator if you need it."),
        told.GIVEN_BACK: _("The desktop was not started in time. Start it again."),
        told.STORE_FAILS: _("The server cannot save its data. Try again later."),
        told.ENDED_AT_ONCE: _(
            "The desktop ended right after it started. Try again. If this keeps happening, contact your administrator."
        ),
        told.INTERRUPTED: _("The service was interrupted. Start the desktop again."),
        told.NOT_STOPPED: _(
            "This desktop could not be stopped. The server will try again. If that does not help, contact your "
            "administrator."
        ),
        told.NO_ACCOUNT: _("You have no account on the server that runs this desktop. Contact your administrator."),
        told.NOT_ROOT: _("The root user cannot have a desktop in the browser. Sign in as a different user."),
        told.NOT_PERMITTED: _(
            "You are not allowed to use this desktop, or your account is locked or has expired. Contact your "
            "administrator."
        ),
        told.PASSWORD_EXPIRED: _("Your password has expired. Change it, then start the desktop again."),
        told.NO_LOGINS: _("Nobody can sign in to the server right now. Try again later."),
        told.MORE_MEMORY: _("This desktop used too much memory. Start it again and open fewer programs."),
        told.NOT_INSTALLED: _(
            "A program that this desktop needs is missing on the server. Contact your administrator."
        ),
        told.NO_SIZE: _("This desktop cannot have that size. Choose a different one."),
    }


def _refusals() -> dict[str, str]:
    return {
        "other": _other(),
        told.NOT_STARTED: _("This desktop has not started yet."),
        told.ELSEWHERE: _("This desktop is on a different server. Contact your administrator."),
        told.BEING_STOPPED: _("This desktop is stopping. Start it again in a moment."),
        told.NO_ANSWER: _("This desktop is not responding. If this keeps happening, stop it and start it again."),
        told.WRONG_PAGE: _(
            "The desktop service does not accept connections from this portal address. Contact your administrator "
            "(option remote-origins)."
        ),
        told.WRONG_WAY: _(
            "The connection came from a different address than this page. If this keeps happening, contact your "
            "administrator."
        ),
        told.TOO_MANY: _("There are too many connections right now."),
        told.TOO_MANY_OF_YOURS: _("You have too many connections. Close other desktop windows."),
        told.NO_STORE: _("The server cannot check who you are right now."),
        told.NO_VNC: _("The desktop does not answer like a VNC server. Contact your administrator."),
        told.NO_LOGIN: _(
            "The VNC server requires a sign-in method that this portal does not support. Contact your administrator."
        ),
        told.WRONG_LOGIN: _("The VNC server does not accept the password. Contact your administrator."),
        told.NOT_FOR_GUESTS: _("Guests cannot open this desktop: it requires a password that only its user can enter."),
        told.VNC_REFUSES: _("The VNC server refuses the connection. Wait a minute."),
        told.VNC_FAILS: _("The VNC server did not respond correctly."),
        told.NO_FILES: _("You cannot upload or download files here."),
        told.NO_SOUND: _("This desktop has no sound here."),
        told.SOUND_FAILS: _(
            "There is no sound right now. Try again. If this keeps happening, contact your administrator."
        ),
        told.FILES_FAIL: _(
            "Your files cannot be accessed. Try again. If this keeps happening, contact your administrator."
        ),
    }


def _connection() -> dict[str, str]:
    return {
        "connecting": _("Connecting…"),
        "starting": _("Starting the desktop…"),
        "connected": _("Connected"),
        "looking": _("View only"),
        "working": _("Guest with control"),
        "not_reached": _("The desktop cannot be reached yet."),
        "not_reached_more": "",
        "blocked": _("The connection to the desktop is blocked."),
        "blocked_more": _(
            "The web server, a proxy or a network filter does not let the connection through. Tell your administrator "
            "that WebSocket connections fail."
        ),
        "no_portal": _("The portal cannot be reached."),
        "no_portal_more": "",
        "lost": _("Connection lost."),
        "lost_more": "",
        "offline": _("This device is offline."),
        "offline_more": "",
        "again": _("Trying again in {seconds} s."),
        "number": _("Reference number: {number}."),
        "gave_up": _("The desktop could not be reached. Try again, or contact your administrator."),
        "signed_out": _("You are signed out. Sign in again to return to this desktop."),
        "password_wrong": _("Wrong password. Try again."),
        "password_needed": _("This desktop requires a password. Connect again to enter it."),
        "not_secure": _("Desktops require an address that starts with https://. Ask your administrator for it."),
        "too_old": _("This browser cannot show the desktop. Update it or use a different browser."),
        "no_link": _("This link is incomplete: the part after # is missing. Copy the whole link."),
        "link_gone": _("This desktop is no longer shared, or it has ended. Ask for a new link."),
    }


def _ends() -> dict[str, str]:
    return {
        "ended": _("This desktop has ended."),
        "ended_ago": _("This desktop ended {time}."),
        "failed": _("The desktop could not be started."),
        **{f"ended_{why}": text for why, text in why_texts().items()},
        "ends_idle": _(
            "This desktop has been idle for a long time. Press a key or move the pointer to keep it running."
        ),
        "ends_absolute": _("This desktop will soon reach its time limit. Save your work."),
        "ends_in": _("Ends in {time}."),
        **{
            f"ends_soon_{minutes}": _n(
                "This desktop ends in about %(number)s minute.",
                "This desktop ends in about %(number)s minutes.",
                minutes,
            )
            for minutes in range(1, LAST_MINUTES + 1)
        },
    }


def _tools() -> dict[str, str]:
    return {
        "screen": _("Screen of {name}. To leave it, press and release Ctrl+Alt+Shift."),
        "screen_view": _("Screen of {name}. View only."),
        "copied": _("Copied"),
        "not_copied": _("Your browser did not allow this. Copy the selected text yourself."),
        "clipboard_new": _("New text was copied in the desktop."),
        "clipboard_sent": _("Sent to the desktop clipboard."),
        "clipboard_long": _(
            "The text was not sent because it is too long: {size} KB. The desktop accepts up to {most} KB."
        ),
        "clipboard_missed": _(
            "The text that was copied in the desktop did not arrive. It may be too long: from many programs, only "
            "text up to 256 KB arrives."
        ),
        "clipboard_no_text": _("The clipboard of this device has no text."),
        "clipboard_denied": _("Your browser does not allow this. Paste the text into the box above."),
        "shared_none": _("This desktop is not shared."),
        "shared_some": _("Anyone with a link can view this desktop. Links: {number}."),
        "shared_work": _("Links that let guests control this desktop: {number}."),
        "guests_work": _("Guests can control this desktop"),
        "taken_back": _("Sharing has stopped. The links no longer work."),
        "sound_gesture": _("Click in the desktop or press a key to hear its sound. Your browser requires this."),
        "sound_no_output": _("Your browser cannot play sound right now. Check the sound settings of this device."),
        "sound_none": _(
            "This desktop cannot play sound. A new desktop may help. If it does not, contact your administrator."
        ),
        "sound_not_able": _("Your browser cannot play the sound of this desktop. Update it or use a different one."),
        "failed_request": _("Something went wrong. Try again."),
    }
