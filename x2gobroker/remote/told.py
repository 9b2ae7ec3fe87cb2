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
FAULTS = (
    SCRIPT_FAILED,
    TOO_SLOW,
    NO_TYPE,
    GIVEN_BACK,
    STORE_FAILS,
    ENDED_AT_ONCE,
    INTERRUPTED,
    NOT_STOPPED,
)

# why a browser is not connected to one
NOT_STARTED = "this desktop has not been started yet"
ELSEWHERE = "this desktop is on another server; tell your administrator"
BEING_STOPPED = "this desktop is being stopped; start it again in a moment"
NO_ANSWER = "this desktop does not answer; if that goes on, stop it and start it again"
REFUSALS = (NOT_STARTED, ELSEWHERE, BEING_STOPPED, NO_ANSWER)
NO_START = "this desktop could not be started: "  # and one of the faults

# why a connection was ended, without its desktop
SIGNED_OUT = "you were signed out"


class NoDesktopError(BrokerError):
    """There is no desktop to connect to. The text is for the user."""
