"""What users are told of a desktop that does not work: what to do, and no details; those are for the log.

The portal has each of these texts in the language of its user (`portal/desktop_texts.py`). They go into the store as
`note`, and to the browser.
"""

from __future__ import annotations

from x2gobroker.errors import BrokerError

# why a desktop has failed
SCRIPT_FAILED = "its script failed; tell your administrator"
TOO_SLOW = "it did not come up in time; try again, and tell your administrator if that goes on"
NO_TYPE = "it is no longer offered; tell your administrator if you need it"
GIVEN_BACK = "its place was given back; start it again"
STORE_FAILS = "the server cannot keep note of it; try again later"
ENDED_AT_ONCE = "it ended at once; try again, and tell your administrator if that goes on"
INTERRUPTED = "the service was interrupted; start it again"
NOT_STOPPED = "it cannot be stopped; tell your administrator"
NO_ACCOUNT = "you have no account on that server; ask your administrator"
NOT_ROOT = "root gets no desktop in the browser; sign in as somebody else"
NOT_PERMITTED = "it is not for you, or your account is locked or has expired; ask your administrator"
PASSWORD_EXPIRED = "your password has expired; change it, then start it again"  # noqa: S105 - a sentence
NO_LOGINS = "the server lets nobody in at present; try again later"
NOT_INSTALLED = "the server lacks a program for it; tell your administrator"
NO_SIZE = "it cannot have that size; choose another one"
FAULTS = (
    SCRIPT_FAILED,
    TOO_SLOW,
    NO_TYPE,
    GIVEN_BACK,
    STORE_FAILS,
    ENDED_AT_ONCE,
    INTERRUPTED,
    NOT_STOPPED,
    NO_ACCOUNT,
    NOT_ROOT,
    NOT_PERMITTED,
    PASSWORD_EXPIRED,
    NO_LOGINS,
    NOT_INSTALLED,
    NO_SIZE,
)
SAID = "said: "  # stands before what a script of the site says to its user

# why a browser is not connected to one
NOT_STARTED = "this desktop has not been started yet"
ELSEWHERE = "this desktop is on another server; tell your administrator"
BEING_STOPPED = "this desktop is being stopped; start it again in a moment"
NO_ANSWER = "this desktop does not answer; if that goes on, stop it and start it again"
WRONG_PAGE = "the service does not take connections from this address of the portal; tell your administrator"
WRONG_WAY = "the connection comes another way than the page; if that goes on, tell your administrator"
TOO_MANY = "there are too many connections at present; try again later"
TOO_MANY_OF_YOURS = "you have too many connections; close other windows with desktops"
NO_STORE = "the service cannot look up who you are at present; it is tried again"
NO_VNC = "what answers is no VNC server; tell your administrator"
NO_LOGIN = "its VNC server wants a login that this portal does not know; tell your administrator"
WRONG_LOGIN = "its VNC server refuses the password; tell your administrator"
NOT_FOR_GUESTS = "its VNC server wants a password that only its user is asked for"
VNC_REFUSES = "its VNC server refuses the connection; wait a minute, then try again"
VNC_FAILS = "its VNC server did not answer as it should; try again, and tell your administrator if that goes on"
NO_FILES = "this desktop takes and gives no files"
NO_SOUND = "this desktop gives no sound"
SOUND_FAILS = "sound cannot be had; try again, and tell your administrator if that goes on"
FILES_FAIL = "your files cannot be reached; try again, and tell your administrator if that goes on"
REFUSALS = (
    NOT_STARTED,
    ELSEWHERE,
    BEING_STOPPED,
    NO_ANSWER,
    WRONG_PAGE,
    WRONG_WAY,
    TOO_MANY,
    TOO_MANY_OF_YOURS,
    NO_STORE,
    NO_VNC,
    NO_LOGIN,
    WRONG_LOGIN,
    NOT_FOR_GUESTS,
    VNC_REFUSES,
    VNC_FAILS,
    NO_FILES,
    FILES_FAIL,
    NO_SOUND,
    SOUND_FAILS,
)
# what may be over in a moment: browsers try again by themselves
PASSING = (
    NOT_STARTED,
    NO_ANSWER,
    BEING_STOPPED,
    WRONG_WAY,
    TOO_MANY,
    TOO_MANY_OF_YOURS,
    NO_STORE,
    VNC_REFUSES,
    VNC_FAILS,
)
NO_START = "this desktop could not be started: "  # and one of the faults
STOPPED = "this desktop was stopped: "  # and the word for why, one of `Why`

# why a desktop that ran has ended
MORE_MEMORY = "it used more memory than it may"

# why a connection was ended, without its desktop
SIGNED_OUT = "you were signed out"
SERVICE_STOPS = "the service is being stopped"


class NoDesktopError(BrokerError):
    """There is no desktop to connect to. The text is for the user."""


class LoginError(Exception):
    """A user is not let in, or not logged in. The text is for the log.

    `told` is for the user: one of FAULTS, or what the host itself says; nothing where there is no more to say.
    """

    def __init__(self, text: str, told: str = "") -> None:
        super().__init__(text)
        self.told = told
