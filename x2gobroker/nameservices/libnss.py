"""The name service `libnss`: the system's own users and groups, from wherever nsswitch.conf says."""

from __future__ import annotations

import grp
import os
import pwd

from x2gobroker.nameservices.base import NameService


class LibnssNameService(NameService):
    """Asks for the groups of a user with one call (getgrouplist); never walks all groups or all users."""

    def _has_user(self, user: str) -> bool:
        try:
            pwd.getpwnam(user)
        except KeyError:
            return False
        return True

    def _own_name(self, user: str) -> str:
        try:
            return pwd.getpwnam(user).pw_name
        except KeyError:
            return ""

    def _groups(self, user: str, primary: bool) -> frozenset[str]:
        try:
            primary_gid = pwd.getpwnam(user).pw_gid
        except KeyError:
            return frozenset()
        # getgrouplist adds the group it is given; whether the primary group lists its user too is asked separately
        gids = set(os.getgrouplist(user, primary_gid))
        names = {gid: _group_name(gid) for gid in gids}
        if not primary and user not in _members(primary_gid):
            names.pop(primary_gid, None)
        return frozenset(name for name in names.values() if name)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""


def _members(gid: int) -> list[str]:
    try:
        return grp.getgrgid(gid).gr_mem
    except KeyError:
        return []
