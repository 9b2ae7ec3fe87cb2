"""Words for users, in the language of the present request. No clock times: a browser may be anywhere."""

from __future__ import annotations

from x2gobroker.model.profile import SessionProfile
from x2gobroker.model.profile_options import DESKTOPS
from x2gobroker.portal.languages import _, _n
from x2gobroker.remote.types import SessionType
from x2gobroker.store import Slot

MINUTE, HOUR, DAY = 60, 3600, 86400
LONGEST_COMMAND = 40


def duration(seconds: float) -> str:
    """A length of time in a unit that fits, rounded down: `25 minutes`, `3 hours`, `2 days`."""
    if seconds < MINUTE:
        return _("less than a minute")
    if seconds < 2 * HOUR:
        return _n("%(number)s minute", "%(number)s minutes", int(seconds // MINUTE))
    if seconds < 2 * DAY:
        return _n("%(number)s hour", "%(number)s hours", int(seconds // HOUR))
    return _n("%(number)s day", "%(number)s days", int(seconds // DAY))


def time_left(seconds: float) -> str:
    """The same for a time to come, rounded to the nearest unit: just under four hours are `4 hours`."""
    unit = MINUTE if seconds < 2 * HOUR else HOUR if seconds < 2 * DAY else DAY
    return duration(seconds if seconds < MINUTE else seconds + unit / 2)


def desktop_name(slot: Slot, kind: SessionType | None) -> str:
    """What users call a desktop: its session type, with a number where they may have several of that. `kind` None: the
    type is not there any more.
    """
    if slot.ordinal > 1 or (kind is not None and kind.per_user > 1):
        return _("%(name)s, desktop %(ordinal)s", name=slot.type, ordinal=slot.ordinal)
    return slot.type


def desktop_age(slot: Slot, now: float) -> str:
    """How long ago a desktop was started, in a unit that fits."""
    return duration(now - (slot.started or slot.reserved))


def profile_name(profile: SessionProfile) -> str:
    """What users call a session profile: its name, or its ID where it has none."""
    return str(profile.options.get("name", "")) or profile.id


def command_name(profile: SessionProfile) -> str:
    """What a session profile starts, in a few words; desktops by their names."""
    if profile.options.get("directrdp"):
        return "RDP"
    if profile.is_shadow:
        return _("Shared desktop")
    command = str(profile.options.get("command", ""))
    if command.upper() in DESKTOPS:
        return command.upper()
    return command[:LONGEST_COMMAND]
