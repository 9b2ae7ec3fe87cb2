"""A portal whose users sign in by Kerberos: a KDC, pam_krb5, the authentication service as confined as by its unit, the
daemon and x2gobroker-remote.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from tests.support.accounts import Account, pam_service
from tests.support.authservice import AuthService, assert_no_secret
from tests.support.kerberos import Kdc, kdc
from tests.support.processes import Program, free_port, running, wait_until
from tests.support.remote import Remote, remote
from x2gobroker.store import Slot

DAEMON = Path(sys.executable).parent / "x2gobroker-daemon"
STACK = """\
auth [success=2 default=ignore] pam_krb5.so minimum_uid=1000
auth [success=1 default=ignore] pam_unix.so try_first_pass nodelay
auth requisite pam_deny.so
auth required pam_permit.so
auth optional pam_env.so conffile={variables}
account required pam_unix.so
account required pam_krb5.so minimum_uid=1000
"""
CONFIG = """\
enable-portal = true
portal-keep-password = false
portal-kerberos-tickets = true
default-auth-mech = pam

[broker_inifile]
enable = true

[authmech_pam]
service = {pam}
"""
CONFINED = ("setpriv", "--no-new-privs", "--bounding-set=-all,+chown,+audit_write")
# a program of the desktop that goes on saying what tickets there are
LOOK = """\
while :; do
  { echo "cache=$KRB5CCNAME"; klist; } > ~/look.new 2>&1
  mv ~/look.new ~/look
  sleep 0.3
done
"""
COOKIE = "__Host-x2gobroker"


class Visitor:
    """A browser without scripts. `status` is that of the last answer, `text` its page."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cookies: dict[str, str] = {}
        self.status = 0
        self.text = ""

    def ask(self, method: str, path: str, **fields: str) -> None:
        """One request to the portal."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            headers = {"Origin": f"http://127.0.0.1:{self._port}", "Content-Type": "application/x-www-form-urlencoded"}
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            connection.request(method, f"/portal/{path}", urlencode(fields) if fields else None, headers)
            answer = connection.getresponse()
            self.status, self.text = answer.status, answer.read().decode()
            for line in answer.msg.get_all("Set-Cookie") or ():
                name, _, value = line.partition(";")[0].partition("=")
                self.cookies[name] = value
        finally:
            connection.close()

    def sign_in(self, user: Account, password: str) -> bool:
        """Sign in; whether that has worked."""
        self.ask("GET", "sign-in")
        self.ask("POST", "sign-in", user=user.name, password=password)
        return self.status in (302, 303) and bool(self.cookies.get(COOKIE))


@dataclass
class KerberosPortal:
    """The site. Session type: `Desktop`, with two places."""

    kdc: Kdc
    auth: AuthService
    service: Remote
    port: int
    broker: Program
    variables: Path
    secrets: set[str] = field(default_factory=set)

    def principal(self, user: Account, password: str, options: str = "") -> None:
        """Give a user a password in Kerberos."""
        self.secrets.add(password)
        self.kdc.add(user.name, password, options)

    def visitor(self) -> Visitor:
        """Somebody with a browser."""
        return Visitor(self.port)

    def desktop(self, user: Account, number: int = 0) -> Slot:
        """A desktop of a user who is signed in, up and running: the portal has taken its place."""
        kind = f"Desktop {number}"
        slot = self.service.reserve(kind, user=user.name, count=2)
        self.service.connect(slot).close()
        self.service.wait_for_state(slot, "running")
        return slot

    def stop(self, slot: Slot) -> None:
        """Stop a desktop, and wait for its end."""
        self.service.desktops.ask_stop(slot)
        self.service.wait_for_state(slot, "failed", "gone")

    def stop_all(self, user: Account) -> None:
        """Stop all desktops of a user, and wait for their end."""
        for slot in self.service.desktops.of_user(user.name):
            self.stop(slot)

    def log_of_desktops(self) -> str:
        """What is in the logs of the desktops, also of those that have ended."""
        return "".join(
            path.read_text(encoding="utf-8", errors="replace")
            for pattern in ("*/log", "*.last-log")
            for path in self.service.scripts_state.glob(pattern)
        )


@contextlib.contextmanager
def kerberos_portal() -> Iterator[KerberosPortal]:
    """It, for the length of a `with` block. No password and no ticket may be in a log at its end."""
    port = free_port()
    types = {
        f"Desktop {number}": {"script": "tigervnc.py", "count": 2, "options": {"command": ["bash", "-c", LOOK]}}
        for number in range(3)
    }
    with contextlib.ExitStack() as stack:
        realm = stack.enter_context(kdc())
        service = stack.enter_context(remote(types, start=False))
        variables = service.folder / "pam_env.conf"
        variables.touch()
        pam = stack.enter_context(pam_service("kerberos", STACK.format(variables=variables)))
        with service.config.open("a", encoding="utf-8") as config:
            config.write(CONFIG.format(pam=pam))
        (service.folder / "profiles.conf").touch()
        auth = stack.enter_context(AuthService(pam, env={"X2GOBROKER_CONFIG": str(service.config)}, launcher=CONFINED))
        service.env["X2GOBROKER_AUTHSERVICE_SOCKET"] = str(auth.socket)
        service.start()
        env = {
            **service.env,
            "X2GOBROKER_SESSIONPROFILES": str(service.folder / "profiles.conf"),
            "X2GOBROKER_WORKERS": "1",
            "DAEMON_BIND_ADDRESS": f"127.0.0.1:{port}",
        }
        log = service.folder / "broker.log"
        broker = stack.enter_context(running([str(DAEMON)], log, port=port, env=env, cwd=service.folder))
        made = KerberosPortal(realm, auth, service, port, broker, variables)
        try:
            yield made
        finally:
            said = auth.log() + broker.output() + service.said() + made.log_of_desktops()
            print(said)
            assert_no_secret(said, made.secrets)
            assert "Traceback" not in said
            assert not re.search(r"[0-9a-f]{32}", auth.log()), "a handle of a ticket is in the log"


def looked(user: Account) -> str:
    """What a desktop of the user says of its tickets now; nothing before it has said anything."""
    path = user.home / "look"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def wait_for_look(user: Account, *texts: str) -> str:
    """Wait until a desktop of the user says all of that; what it says."""
    wait_until(lambda: all(text in looked(user) for text in texts), f"{texts} in the desktop")
    return looked(user)
