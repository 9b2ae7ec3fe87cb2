"""The small broker that real clients are let loose on: two users, three session profiles, one SSH port."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from passlib.hash import sha512_crypt

from tests.support.apache import Apache, ApacheFolder
from tests.support.our_broker import OurBroker
from tests.support.tls import Certificates, Https

# Characters that have a meaning in forms, in Basic authentication and in shells.
PASSWORDS = {"anna": "Anna's w&rd+1", "bert": "bert:=%2"}
HASH_ROUNDS = 1000  # the least that the format allows: these tests are not about hashing

# `usebrokerpass` is unknown to pyhoca-cli, which crashes when it receives an unknown text option; `not-for-anna` must
# not be offered to her.
PROFILES = """\
[DEFAULT]
fullscreen = false

[alpha]
name = Alpha desktop
host = alpha-server (127.0.0.1:{port})
command = KDE

[beta]
name = Beta terminal
host = beta-server (127.0.0.1:{port})
command = TERMINAL
rootless = true
usebrokerpass = true
export = /home/anna/a:1;/home/anna/b:0;

[not-for-anna]
name = Berts own
host = alpha-server (127.0.0.1:{port})
command = XFCE
acl-users-allow = bert
acl-any-order = deny-allow
"""

# Another broker's profiles: another number of them, other names, and a letter beyond ASCII.
OTHER_PROFILES = """\
[gamma]
name = Gamma Büro
host = gamma-server (127.0.0.1:{port})
command = MATE
"""


def users_file(path: Path) -> Path:
    """Write the password file of the broker's users."""
    lines = [f"{user}:{sha512_crypt.using(rounds=HASH_ROUNDS).hash(word)}\n" for user, word in PASSWORDS.items()]
    path.write_text("".join(lines), encoding="utf-8")
    path.chmod(0o644)
    return path


def configuration(state: str, users: Path, extra: str = "", mechanism: str = "htpasswd") -> str:
    """The text of x2gobroker.conf; `extra` are further lines of its [global] section."""
    return f"""\
[global]
require-password = true
require-cookie = false
use-static-cookie = false
auth-timeout = 36000
cookie-directory = {state}
enable-plain-output = true
enable-json-output = true
enable-uccs-output = true
default-auth-mech = {mechanism}
{extra}

[broker_inifile]
enable = true

[authmech_htpasswd]
file = {users}
"""


@dataclass(frozen=True)
class TwoHosts:
    """One Apache with two VirtualHosts on one port: `a` (a.broker.test, and any other name) and `b` (localhost)."""

    server: Apache
    port: int
    certificates: Certificates

    def named(self, host: str) -> Https:
        """The VirtualHost that answers to this name."""
        return Https(self.port, self.certificates.authority, host)


def two_brokers(folder: ApacheFolder, ssh: int, certificates: Certificates) -> dict[str, str]:
    """Write two brokers' files, and give the Defines that x2gobroker-multi-vhost.conf needs for them."""
    defines = {
        "X2GOBROKER_CERTIFICATE": str(certificates.certificate),
        "X2GOBROKER_CERTIFICATE_KEY": str(certificates.key),
    }
    users = users_file(folder.path / "users")
    for letter, profiles in (("a", PROFILES), ("b", OTHER_PROFILES)):
        folder.file(f"{letter}/x2gobroker.conf", configuration(str(folder.state(f"state-{letter}")), users))
        folder.file(f"{letter}/sessionprofiles.conf", profiles.format(port=ssh))
        defines[f"BROKER_{letter.upper()}_FOLDER"] = str(folder.path / letter)
    return defines


@dataclass(frozen=True)
class Endpoint:
    """A broker as a client's user knows it: an address, perhaps an authority to trust."""

    url: str
    authority: Path | None = None

    def with_user(self, user: str) -> str:
        """The address as PyHoca wants it, the user name in front of the host."""
        return self.url.replace("://", f"://{user}@", 1)


@contextlib.contextmanager
def our_broker(folder: Path, ssh: int, extra: str = "", tls: Certificates | None = None) -> Iterator[Endpoint]:
    """The broker of the scenario under its own gunicorn."""
    env = {}
    if tls is not None:
        env = {"X2GOBROKER_SSL_CERTFILE": str(tls.certificate), "X2GOBROKER_SSL_KEYFILE": str(tls.key)}
    with own_daemon(folder, ssh, extra, env) as broker:
        if tls is None:
            yield Endpoint(broker.url)
        else:
            yield Endpoint(broker.url.replace("http://", "https://"), tls.authority)


def own_daemon(folder: Path, ssh: int, extra: str = "", env: Mapping[str, str] | None = None) -> OurBroker:
    """The same, for tests that change its files or its store."""
    return OurBroker(
        configuration("{state}", users_file(folder / "users"), extra), PROFILES.format(port=ssh), env=dict(env or {})
    )
