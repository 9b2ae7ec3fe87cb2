"""What the units of etc/systemd leave in the journal of a real systemd, and what fail2ban finds there."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest

from tests.support.processes import wait_until
from tests.support.systemd import SOURCE, Machine
from tests.support.unit_site import (
    AUTHSERVICE,
    CONFIG,
    DAEMON,
    LOADCHECKER,
    PATIENCE,
    REMOTE,
    SERVICES,
    URL,
    site,
    user,
)

GUESSER, INNOCENT = "198.51.100.7", "192.0.2.1"
FORGED = f"login user=x address={INNOCENT} backend=inifile mechanism=pam outcome=refused reason=wrong-password"
BEHIND_PROXY = CONFIG.replace("[global]\n", "[global]\ntrusted-proxies = 127.0.0.0/8\n")
TIME = re.compile(r"\d\d:\d\d:\d\d")
PRIORITIES = {"CRITICAL": "2", "ERROR": "3", "WARNING": "4", "INFO": "6", "DEBUG": "7"}

Entry = dict[str, str]


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One machine, whose daemon believes a web server on the same host."""
    with site(tmp_path_factory.mktemp("site")) as made:
        made.write("/etc/x2go/x2gobroker.conf", BEHIND_PROXY)
        yield made


def entries(machine: Machine, *matches: str) -> list[Entry]:
    """Entries of the journal, as systemd keeps them apart."""
    lines = machine.run("journalctl", "--no-pager", "-o", "json", *matches).splitlines()
    return [json.loads(line) for line in lines]


def said(machine: Machine, unit: str) -> list[Entry]:
    """What the processes of a unit have written to their streams."""
    return entries(machine, f"_SYSTEMD_UNIT={unit}", "_TRANSPORT=stdout")


def guess(name: str, address: str = GUESSER) -> None:
    """A login with a wrong password."""
    form = {"task": "listsessions", "user": name, "password": "no-such-pw"}
    request = urllib.request.Request(f"{URL}/plain/inifile/", urllib.parse.urlencode(form).encode())
    request.add_header("X-Forwarded-For", address)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        assert "Access granted" not in answer.read().decode()


def banned(machine: Machine) -> list[str]:
    """The addresses that fail2ban would count."""
    path = f"{SOURCE}/etc/fail2ban/filter.d/x2gobroker.conf"
    return machine.run("fail2ban-regex", "--usedns", "no", "--out", "ip", "systemd-journal", path).split()


@pytest.mark.parametrize("unit", SERVICES)
def test_lines_have_the_name_of_the_program_a_level_and_one_time(booted: Machine, unit: str) -> None:
    guess(user(0)[0])
    found = said(booted, unit)
    assert found
    for entry in found:
        assert entry["SYSLOG_IDENTIFIER"] == unit.removesuffix(".service")
        assert not TIME.search(entry["MESSAGE"]), entry["MESSAGE"]
        level = entry["MESSAGE"].split(" - ")[1]
        assert entry["PRIORITY"] == PRIORITIES[level], entry["MESSAGE"]


def test_gunicorns_own_lines_look_like_ours(booted: Machine) -> None:
    texts = [entry["MESSAGE"] for entry in said(booted, DAEMON)]
    assert any(text.startswith("broker - INFO - Booting worker") for text in texts), texts


def test_what_pam_modules_say_has_the_name_of_the_service(booted: Machine) -> None:
    guess(user(1)[0])
    wait_until(lambda: "pam_unix(x2gobroker:auth)" in booted.journal(), "a line of pam_unix")
    found = [entry for entry in entries(booted) if "pam_unix(x2gobroker:auth)" in entry["MESSAGE"]]
    assert {entry["SYSLOG_IDENTIFIER"] for entry in found} == {"x2gobroker-authservice"}
    # the process that asked PAM has ended by then: where journald was too late to look at it, the unit is not known
    assert {entry.get("_SYSTEMD_UNIT", AUTHSERVICE) for entry in found} == {AUTHSERVICE}
    assert not entries(booted, "SYSLOG_IDENTIFIER=python3")


def test_fail2ban_finds_who_guesses_and_nobody_else(booted: Machine) -> None:
    before = len(banned(booted))
    names = [user(2)[0], f"x address={INNOCENT} outcome=refused", f"x\nbroker.audit - WARNING - {FORGED}"]
    for name in names:
        guess(name)
        guess(name, "127.0.0.1")
    # somebody on this host, who may write what they like, but not as the daemon
    line = f"broker.audit - WARNING - {FORGED}"
    booted.run("logger", "-t", "x2gobroker-daemon", line)
    booted.run("systemd-run", "--wait", "--quiet", "-p", "SyslogIdentifier=x2gobroker-daemon", "echo", line)
    wait_until(lambda: booted.journal().count(line) >= 2, "the forged lines")
    assert banned(booted)[before:] == [GUESSER] * len(names)
    assert set(banned(booted)) == {GUESSER}


def test_json_in_the_journal(booted: Machine) -> None:
    units = (DAEMON, AUTHSERVICE, LOADCHECKER, REMOTE)
    drop_ins = [f"/run/systemd/system/{unit}.d/json.conf" for unit in units]
    for path in drop_ins:
        booted.write(path, "[Service]\nEnvironment=X2GOBROKER_LOGFORMAT=json\n")
    booted.run("systemctl", "daemon-reload")
    booted.run("systemctl", "stop", *units)
    counts = {unit: len(said(booted, unit)) for unit in units}
    counted = len(banned(booted))
    booted.run("systemctl", "start", *units)
    try:
        guess(user(3)[0])
        guess("x\n" + FORGED)
        for unit in units:
            found = said(booted, unit)[counts[unit] :]
            assert found
            for entry in found:
                record = json.loads(entry["MESSAGE"])
                assert record["program"] == entry["SYSLOG_IDENTIFIER"] == unit.removesuffix(".service")
                assert entry["PRIORITY"] == PRIORITIES[record["level"]]
        assert banned(booted)[counted:] == [GUESSER] * 2
    finally:
        booted.run("rm", *drop_ins)
        booted.run("systemctl", "daemon-reload")
        booted.run("systemctl", "restart", *units)
