"""A broker that was installed on a machine with systemd as docs/how-to/ says, with local users."""

from __future__ import annotations

import contextlib
import random
import re
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.installation import CHECKOUT
from tests.support.systemd import PACKAGES, Machine, machine

URL = "http://127.0.0.1:8080"
DAEMON = "x2gobroker-daemon.service"
AUTHSERVICE = "x2gobroker-authservice.service"
SOCKET = "x2gobroker-authservice.socket"
LOADCHECKER = "x2gobroker-loadchecker.service"
REMOTE = "x2gobroker-remote.service"
SERVICES = (DAEMON, AUTHSERVICE, LOADCHECKER, REMOTE)
USERS = 12
RIGHT = 0.7  # the share of logins with a right password
PATIENCE = 60.0
CONFIG = """\
[global]
default-auth-mech = pam
default-agent-query-mode = SSH
default-use-load-checker = true
enable-portal = true
# the figures are those of many offices behind one address
penalty-trusted-networks = 127.0.0.0/8
remote-session-config = /etc/x2go/broker/session-types.json

[broker_inifile]
enable = true
"""
TYPES = """\
{"Shell": {"script": "tigervnc.py", "count": 2, "options": {"command": ["xterm"], "display_base": 70}},
 "Several": {"script": "tigervnc.py", "count": 2, "per-user": 2, "options": {"command": ["xterm"]}}}
"""
TAKE_PLACE = """\
import sys
from sqlalchemy.engine import URL
from x2gobroker.store import RemoteDesktops, Store
desktops = RemoteDesktops(Store(URL.create("sqlite", database="/var/lib/x2gobroker/cookies/x2gobroker.sqlite")))
user, kind, per_user, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
slots = desktops.of_user(user) if per_user == 1 else []
size = {"size": "320x200"}
slot = slots[0] if slots else desktops.reserve(kind, count, user, size, "127.0.0.1", per_user=per_user)
print(desktops.token(slot, slot.username, "127.0.0.1", False))
"""
PROFILES = "[desk]\nname = Desk\nhost = ts01.example.org\nacl-users-allow = ALL\n"


def user(number: int) -> tuple[str, str]:
    """Name and password of one of the users."""
    return f"u{number % USERS}", f"Right-pw-{number % USERS}"


@dataclass
class Logins:
    """What came of some logins. `wrong`: answers that should have been others, and errors, as texts."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)


def log_in(name: str, password: str) -> tuple[int, str]:
    """One first contact of a client: status and text of the answer."""
    form = {"task": "listsessions", "user": name, "password": password}
    request = urllib.request.Request(f"{URL}/plain/inifile/", urllib.parse.urlencode(form).encode())
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.status, answer.read().decode()


def logins(total: int, at_once: int, seed: int = 0) -> Logins:
    """So many logins of the local users, `RIGHT` of them with the right password."""
    found, lock = Logins(), threading.Lock()
    pending = iter(range(total))

    def work() -> None:
        while True:
            with lock:
                number = next(pending, None)
            if number is None:
                return
            chance = random.Random(f"{seed}/{number}")
            name, password = user(chance.randrange(USERS))
            good = chance.random() < RIGHT
            try:
                status, text = log_in(name, password if good else f"x{chance.randrange(10**9)}")
                as_it_should = status == 200 and ("Access granted" in text) == good
            except OSError as error:
                as_it_should, status, text = False, 0, repr(error)
            with lock:
                found.right += as_it_should
                if not as_it_should:
                    found.wrong.append(f"{name} {'right' if good else 'wrong'} password: {status} {text[:200]}")

    threads = [threading.Thread(target=work) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def complaints(site: Machine) -> list[str]:
    """Lines of the journal that tell of processes that ended, or hung, as they should not have."""
    marks = "worker process ended|did not answer within|was sent SIG|Traceback|Exception ignored|core-dump"
    return [line for line in site.journal().splitlines() if re.search(marks, line)]


def desktop_token(site: Machine, name: str, kind: str = "Shell", per_user: int = 1, count: int = 2) -> str:
    """A place for a user's desktop, as the portal takes it, and a token to connect there.

    `count` is how many places the session type `kind` has.
    """
    words = (name, kind, str(per_user), str(count))
    python = "/usr/lib/x2gobroker/venv/bin/python"
    return site.run("runuser", "-u", "x2gobroker", "--", python, "-c", TAKE_PLACE, *words).strip()


@contextlib.contextmanager
def site(folder: Path) -> Iterator[Machine]:
    """A machine whose broker is installed, with its units enabled and started."""
    with machine(folder) as made:
        how_to = CHECKOUT / "docs/how-to"
        for done in made.follow(how_to / "migrating-from-0.0.4.3.md", "1. Check before you swap"):
            if "-m venv" in done:  # what pip would fetch
                (packages,) = made.run("sh", "-c", "echo /usr/lib/x2gobroker/venv/lib/python3*/site-packages").split()
                made.write(f"{packages}/dependencies.pth", f"{PACKAGES}\n")
        for number in range(USERS):
            name, password = user(number)
            made.run("useradd", "--create-home", "--shell", "/bin/bash", name)
            # a hash that costs little: hundreds of logins are about processes, not about hashes
            made.run("chpasswd", "--crypt-method", "SHA512", "--sha-rounds", "1000", stdin=f"{name}:{password}\n")
        made.write("/etc/x2go/x2gobroker.conf", CONFIG)
        made.write("/etc/x2go/broker/x2gobroker-sessionprofiles.conf", PROFILES)
        made.write("/etc/x2go/broker/session-types.json", TYPES)
        for page, heading in (("authentication-service.md", "Install"), ("load-checker.md", "Turn it on")):
            list(made.follow(how_to / page, heading))
        made.run("x2gobroker", "remote", "setup", "--yes")  # also the PAM service of desktops
        made.run("systemctl", "enable", "--now", REMOTE)
        yield made
