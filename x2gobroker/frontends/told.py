"""What any client is told of a session profile on offer."""

from __future__ import annotations

from x2gobroker.autologin.keys import proxy_of
from x2gobroker.broker import Offer
from x2gobroker.model.options import Value
from x2gobroker.model.profile import BROKER_USER, KEY_PLACEHOLDER


def told_values(offer: Offer) -> dict[str, Value]:
    """The profile's values in their order; desktop sharing names its first host only, autologin a key to come.

    Where a session of the user is running or suspended, `status` says so, and `host` names the one it is on.

    `user` is still BROKER_USER where it stands for the user: the one value that differs from user to user.
    """
    values = dict(offer.profile.options)
    if offer.profile.is_shadow:
        values["host"] = tuple(host.name for host in offer.profile.hosts[:1])
    if offer.autologin:
        values["autologin"] = True
        values["key"] = KEY_PLACEHOLDER
        values.update(_proxy_by_key(offer))
    if offer.status:
        values["status"] = offer.status
        if offer.server:
            values["host"] = (offer.server,)
    return values


def _proxy_by_key(offer: Offer) -> dict[str, Value]:
    """What makes X2Go Client use the broker's key for the SSH proxy host, too; it finds the key by no other option."""
    found = proxy_of(offer.profile, offer.user)
    if found is None:
        return {}
    told: dict[str, Value] = {"sshproxysamekey": True}
    if offer.profile.options.get("sshproxyuser", "") in ("", BROKER_USER):
        told["sshproxysameuser"] = True
    return told
