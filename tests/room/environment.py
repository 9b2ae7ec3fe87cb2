"""The environment variables of a room: nothing of what the caller has set, but for what is named here."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.support.installation import READY

OWN = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LOGNAME": "root",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SHELL": "/bin/bash",
    "TERM": "dumb",
    "USER": "root",
}
# said to the tests, and not to what they start
KEPT = re.compile(rf"CI|X2GOBROKER_TEST_(ARTIFACTS|BASES|DEBS)|{READY}")
# how this machine reaches the package index
NETWORK = re.compile(
    r"PIP_\w+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NODE_EXTRA_CA_CERTS|(https?|no|all)_proxy",
    re.IGNORECASE,
)


def room_environment(caller: Mapping[str, str], network: bool) -> dict[str, str]:
    """The variables of a room, of those of the `caller`; `network`: whether it has the machine's network."""
    kept = {name: value for name, value in caller.items() if KEPT.fullmatch(name)}
    if network:
        kept |= {name: value for name, value in caller.items() if NETWORK.fullmatch(name)}
        kept["ROOM_NETWORK"] = "yes"
    return {**OWN, **kept}
