"""How a desktop has ended, for its user, in the language of the present request: when and why."""

from __future__ import annotations

from x2gobroker.portal.desktop_texts import fault_text, why_texts
from x2gobroker.portal.languages import _
from x2gobroker.portal.texts import MINUTE, duration
from x2gobroker.store import DesktopEnd, Why


def why_text(end: DesktopEnd) -> str:
    """Why it has ended, with the limit that it has reached; empty where that is not known."""
    if end.why in (Why.FAILED, Why.UNKNOWN):
        return fault_text(end.note)
    if end.why is Why.SERVICE:  # that was in the past: who reads it now need not wait
        return _("The service that runs it was stopped.")
    if end.seconds is None or end.seconds < MINUTE:
        return why_texts()[end.why]
    time = duration(end.seconds)
    if end.why is Why.IDLE:
        return _("It had not been used for %(time)s.", time=time)
    if end.why is Why.ABSOLUTE:
        return _("Its time limit of %(time)s was reached.", time=time)
    if end.why is Why.GRACE:
        return _("Nobody had been connected to it for %(time)s.", time=time)
    return why_texts()[end.why]


def end_text(end: DesktopEnd, now: float) -> str:
    """When and why, in sentences."""
    if end.never_ran:
        return _("Something went wrong last time. %(why)s", why=why_text(end))
    ago = now - end.ended
    when = _("This desktop has ended.")
    if ago >= MINUTE:
        when = _("This desktop ended %(time)s ago.", time=duration(ago))
    return f"{when} {why_text(end)}".strip()
