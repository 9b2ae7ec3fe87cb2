"""What any client is told of a session profile on offer."""

from __future__ import annotations

from x2gobroker.broker import Offer
from x2gobroker.model.options import Value
from x2gobroker.model.profile import KEY_PLACEHOLDER


def told_values(offer: Offer) -> dict[str, Value]:
    """The profile's values in their order; desktop sharing names its first host only, autologin a key to come.

    `user` is still BROKER_USER where it stands for the user: the one value that differs from user to user.
    """
    values = dict(offer.profile.options)
    if offer.profile.is_shadow:
        values["host"] = tuple(host.name for host in offer.profile.hosts[:1])
    if offer.autologin:
        values["autologin"] = True
        values["key"] = KEY_PLACEHOLDER
    return values
