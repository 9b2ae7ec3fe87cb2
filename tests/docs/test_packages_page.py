"""The page on Debian's packages names each file that 0.0.4.3-4 has, in the rows of its package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/packages.md"
SERVICE = ("unit", "logrotate", "tmpfiles")
# of 0.0.4.3-4, without modules, NEWS, README and TODO, which each has, and manual pages: those have a row for all
FILES = {
    "python3-x2gobroker": ["/etc/default/python-x2gobroker"],
    "x2gobroker-common": [
        "/etc/pam.d/x2gobroker",
        "/etc/x2go/broker/defaults.conf",
        "/etc/x2go/broker/x2gobroker-loggers.conf",
        "/etc/x2go/broker/x2gobroker-sessionprofiles.conf",
        "/etc/x2go/x2gobroker.conf",
    ],
    "x2gobroker": [
        "/usr/bin/x2gobroker",
        "/usr/bin/x2gobroker-testauth",
        "/usr/sbin/x2gobroker-keygen",
        "/usr/sbin/x2gobroker-testagent",
        "README.getting-started",
        "manual pages",
    ],
    "x2gobroker-daemon": [
        "/etc/default/x2gobroker-daemon",
        "/etc/init.d/x2gobroker-daemon",
        "/etc/x2go/broker/ssl",
        "/usr/bin/x2gobroker-daemon",
        "/usr/sbin/x2gobroker-daemon-debug",
        *SERVICE,
        "account",
        "stat override",
    ],
    "x2gobroker-authservice": ["/etc/default", "/etc/init.d", "x2gobroker-authservice-logger.conf", *SERVICE],
    "x2gobroker-loadchecker": ["/etc/default", "/etc/init.d", "x2gobroker-loadchecker-logger.conf", *SERVICE],
    "x2gobroker-agent": [
        "/usr/lib/x2go/x2gobroker-agent",
        "/usr/sbin/x2gobroker-pubkeyauthorizer",
        "account",
        "stat override",
    ],
    "x2gobroker-ssh": ["/etc/sudoers.d/x2gobroker-ssh", "/usr/bin/x2gobroker-ssh", "debconf", "stat override"],
    "x2gobroker-wsgi": [
        "/etc/apache2/conf-available/x2gobroker-wsgi.conf",
        "/etc/apache2/sites-available/x2gobroker",
        "/usr/lib/x2gobroker/wsgi/x2gobroker-wsgi",
        "logrotate",
        "wsgi.log",
    ],
    "python-x2gobroker-doc": ["HTML"],
}


def rows() -> dict[str, list[tuple[str, str]]]:
    """What each package has and where it is now; an empty first cell goes on with the package above."""
    table = PAGE.read_text(encoding="utf-8").partition("\n## What Debian's packages have\n")[2].partition("\n## ")[0]
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for first, has, now in re.findall(r"^\| ?(.*?) ?\| (.*?) \| (.*) \|$", table, re.MULTILINE)[2:]:
        name = first.strip("`") or name
        found.setdefault(name, []).append((has, now))
    return found


def test_there_are_the_ten_packages() -> None:
    assert set(rows()) == set(FILES)


@pytest.mark.parametrize("package", FILES)
def test_each_file_has_a_row_that_says_where_it_is_now(package: str) -> None:
    own = rows()[package]
    assert all(now.strip() for _, now in own)
    named = " ".join(has for has, _ in own)
    missing = [each for each in FILES[package] if each not in named and f"`{each.rpartition('/')[2]}`" not in named]
    assert missing == []
