"""x2gobroker migrate under a real systemd: from Debian's 0.0.4.3 to this broker and back, with logins at each stage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import CHECKOUT
from tests.support.processes import wait_until
from tests.support.systemd import PACKAGES, Machine, machine
from tests.support.unit_site import AUTHSERVICE, DAEMON, SOCKET, log_in

pytestmark = pytest.mark.reference
PAGE = CHECKOUT / "docs/how-to/migrating-from-0.0.4.3.md"
# of Debian's packages, which are on this machine; the booted one is made without them
FORMER = (
    "/lib/systemd/system/x2gobroker-daemon.service",
    "/lib/systemd/system/x2gobroker-authservice.service",
    "/usr/lib/tmpfiles.d/x2gobroker-daemon.conf",
    "/usr/lib/tmpfiles.d/x2gobroker-authservice.conf",
    "/etc/logrotate.d/x2gobroker-daemon",
    "/etc/logrotate.d/x2gobroker-authservice",
    "/etc/x2go/x2gobroker.conf",
    "/etc/x2go/broker/defaults.conf",
    "/etc/x2go/broker/x2gobroker-loggers.conf",
    "/etc/x2go/broker/x2gobroker-authservice-logger.conf",
    "/etc/pam.d/x2gobroker",
)
PROFILES = "[desk]\nname=Desk\nhost=ts01.example.org\nacl-users-allow=anna\n"
USER, PASSWORD = "anna", "Right-pw-1"
LOGS = "/var/log/x2gobroker"


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine where Debian's broker runs, and this one is installed beside it, as the page says."""
    with machine(tmp_path_factory.mktemp("migrate")) as made:
        for path in FORMER:
            made.write(path, Path(path).read_text(encoding="utf-8"))
        made.write("/etc/x2go/broker/x2gobroker-sessionprofiles.conf", PROFILES)
        made.run(
            "adduser", "--system", "--group", "--shell", "/bin/bash", "--home", "/var/lib/x2gobroker", "x2gobroker"
        )
        made.run("install", "-d", "-m", "2755", "-o", "x2gobroker", "-g", "adm", LOGS)
        made.run("useradd", "--create-home", USER)
        made.run("chpasswd", stdin=f"{USER}:{PASSWORD}\n")
        made.run("systemd-tmpfiles", "--create")
        made.run("systemctl", "daemon-reload")
        made.run("systemctl", "enable", "--now", AUTHSERVICE, DAEMON)
        for done in made.follow(PAGE, "1. Check before you swap"):
            if "-m venv" in done:  # what pip would fetch
                (packages,) = made.run("sh", "-c", "echo /usr/lib/x2gobroker/venv/lib/python3*/site-packages").split()
                made.write(f"{packages}/dependencies.pth", f"{PACKAGES}\n")
        yield made


def is_ours(site: Machine) -> bool:
    """Whether it is this broker that answers, and lets the user in."""
    pid = site.state(DAEMON)["MainPID"]
    gets_in()
    return "/venv/" in site.run("tr", "\\0", " ", stdin=site.run("cat", f"/proc/{pid}/cmdline"))


def gets_in() -> None:
    """The user gets in, and is offered the session profile; with a wrong password not."""

    def answers() -> bool:
        try:
            return log_in(USER, PASSWORD)[0] == 200
        except OSError:
            return False

    wait_until(answers, "a login")
    assert "[desk]" in log_in(USER, PASSWORD)[1]


def files(site: Machine) -> str:
    """What there is of the broker in the system's folders, with owners, modes and sums."""
    places = (
        "/etc/systemd/system",
        "/etc/x2go",
        "/etc/logrotate.d",
        "/etc/pam.d",
        "/etc/tmpfiles.d",
        "/run/x2gobroker",
    )
    owners = site.owners(*places)
    # what is in the folder of the sockets is as new as the services
    kept = {path: owner for path, owner in owners.items() if "x2go" in path and not path.startswith("/run/x2gobroker/")}
    sums = site.run("find", "/etc/x2go", "/etc/logrotate.d", "-type", "f", "-exec", "sha256sum", "{}", "+")
    return json.dumps(kept, indent=1) + sums


def test_there_and_back_and_there_again(booted: Machine) -> None:
    assert not is_ours(booted)
    before = files(booted)
    report = json.loads(booted.run("x2gobroker", "migrate", "--json"))
    assert report["former"]
    assert files(booted) == before, "the plan changes nothing"

    said = booted.run("x2gobroker", "migrate", "apply")
    assert is_ours(booted), said
    assert booted.state(SOCKET)["ActiveState"] == "active"
    assert booted.run("systemctl", "--failed", "--no-legend", "--plain") == ""
    assert "Nothing is left to do" in booted.run("x2gobroker", "migrate", "apply")
    assert booted.call("logrotate", "--debug", "/etc/logrotate.conf").returncode == 0

    said = booted.run("x2gobroker", "migrate", "back")
    assert not is_ours(booted), said
    assert files(booted) == before

    booted.run("x2gobroker", "migrate", "apply")
    assert is_ours(booted)
