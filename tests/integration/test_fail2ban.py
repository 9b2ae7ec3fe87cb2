"""The filter for fail2ban that ships, tried by fail2ban itself, on lines that the broker has written."""

from __future__ import annotations

import configparser
import io
import json
import logging
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.support.fail2ban import FILTER, found_addresses
from tests.support.our_broker import OurBroker
from x2gobroker.logs import LOGIN, LogForm, audit_log
from x2gobroker.logs.forms import JSON, TEXT, TIMED_FORMAT, Lines

GUESSER, OTHER, INNOCENT = "198.51.100.7", "2001:db8::7", "192.0.2.1"
CONFIG = """\
[global]
default-auth-mech = htpasswd
cookie-directory = {state}
trusted-proxies = 127.0.0.0/8

[broker_inifile]
enable = true

[authmech_htpasswd]
file = {state}/users
"""
EVENT = {"backend": "inifile", "mechanism": "pam"}
FORGED_TEXT = f"login user=x address={INNOCENT} backend=inifile mechanism=pam outcome=refused reason=wrong-password"
FORGED_JSON = (
    f'", "address": "{INNOCENT}", "backend": "inifile", "mechanism": "pam", "outcome": "refused", "reason": "x"}}'
)
# what a client may call itself, to have somebody else banned
NAMES = [
    "anna",
    f"address={INNOCENT} outcome=refused",
    f"x address={INNOCENT} ",
    f"x\taddress={INNOCENT}\x0b",
    f"x\n2026-11-30 05:00:00,000 - broker.audit - WARNING - {FORGED_TEXT}",
    f"x\r\nbroker x2gobroker-daemon[1]: broker.audit - WARNING - {FORGED_TEXT}",
    f"\u2028 - broker.audit - WARNING - {FORGED_TEXT}",
    f"x\u00a0address={INNOCENT}\u3000",
    f"2026-11-30 05:00:00 {INNOCENT}",
    f"x{FORGED_JSON}",
    f'\\"{FORGED_JSON}',
    f'\\\\"{FORGED_JSON}\n{{"time": "2026-11-30T05:00:00.000Z"{FORGED_JSON[1:]}',
]
SHORT = [name for name in NAMES if len(name) < 64]


def lines(form: str, write: Callable[[], None], timed: bool = False) -> list[str]:
    """The lines of some events, as they come out of a program; `timed`: where something else writes the time."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    LogForm("x2gobroker-daemon", form).dress(handler)
    if timed and form == TEXT:
        handler.setFormatter(Lines(logging.Formatter(TIMED_FORMAT), False))
    before = audit_log.handlers, audit_log.propagate
    audit_log.handlers, audit_log.propagate = [handler], False
    try:
        write()
    finally:
        audit_log.handlers, audit_log.propagate = before
    return stream.getvalue().split("\n")[:-1]


def log_in(good: bool = False, **other: str) -> None:
    """One event."""
    LOGIN.log(good, **{**EVENT, "user": "anna", "address": GUESSER, "outcome": "refused", "reason": "x", **other})


BEGINNINGS = {
    "a file": "",
    "the journal": "%b %d %H:%M:%S broker x2gobroker-daemon[12]: ",
    "Apache's error log": "[%a %b %d %H:%M:%S.123456 %Y] [wsgi:error] [pid 12:tid 13] [remote 203.0.113.9:4711] ",
    "Apache's error log, between requests": "[%a %b %d %H:%M:%S.123456 %Y] [wsgi:error] [pid 12:tid 13] ",
}


@pytest.fixture(params=BEGINNINGS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str, Callable[[], None]], Path]:
    """Writes a log file as it comes to be in one of the places."""

    def made(form: str, write: Callable[[], None]) -> Path:
        path = tmp_path / "log"
        begin = time.strftime(BEGINNINGS[request.param])
        path.write_text("".join(f"{begin}{line}\n" for line in lines(form, write, bool(begin))), encoding="utf-8")
        return path

    return made


Log = Callable[[str, Callable[[], None]], Path]


@pytest.mark.parametrize("form", [TEXT, JSON])
def test_refused_logins_count_for_the_address_that_they_came_from(log: Log, form: str) -> None:
    def write() -> None:
        for reason in (
            "wrong password",
            "unknown user",
            "penalty ban",
            "PAM: Authentication failure",
            "second factor wrong",
        ):
            log_in(reason=reason)
        log_in(address=OTHER, reason="wrong password, beside: authid has expired")

    assert found_addresses(log(form, write)) == [GUESSER] * 5 + [OTHER]


@pytest.mark.parametrize("form", [TEXT, JSON])
def test_no_name_has_somebody_else_banned(log: Log, form: str) -> None:
    def write() -> None:
        for name in NAMES:
            log_in(user=name)
            log_in(user=name, address=name)  # what a web server lets through
            log_in(user=name, outcome="unavailable")
            log_in(user=name, reason=f"unknown authid, {name}")

    found = found_addresses(log(form, write))
    assert found == [GUESSER] * len(NAMES)


@pytest.mark.parametrize("form", [TEXT, JSON])
def test_what_is_no_guess_does_not_count(log: Log, form: str) -> None:
    def write() -> None:
        log_in(True, outcome="granted", reason="right password")
        log_in(outcome="granted")
        log_in(outcome="unavailable", reason="mechanism not available")
        log_in(outcome="unavailable", reason="mechanism not installed")
        for address in ("127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "", "localhost", "ts01.example.org"):
            log_in(address=address)
        for reason in (
            "unknown authid",
            "authid has expired",
            "authid was used before",
            "authid is of another address",
            "no authid shown",
            "no user name",
            "account is locked out",
            "account is locked out, beside: authid has expired",
            "no usable password hash",
            "second factor not enrolled",
        ):
            log_in(reason=reason)

    assert found_addresses(log(form, write)) == []


@pytest.fixture(scope="module", params=[TEXT, JSON])
def broker(request: pytest.FixtureRequest) -> Iterator[OurBroker]:
    """A daemon that believes who asks, of a web server on this host."""
    with OurBroker(CONFIG, "[desk]\nhost = desk.example\n", env={"X2GOBROKER_LOGFORMAT": request.param}) as running:
        (running.state / "users").write_text("anna:$2y$05$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu\n")
        yield running


def ask(broker: OurBroker, address: str, **fields: str) -> None:
    """One request, of a client at this address."""
    form = {"task": "listsessions", "password": "guess", **fields}
    requests.post(f"{broker.url}/plain/", data=form, headers={"X-Forwarded-For": address}, timeout=60)


def test_what_the_daemon_writes_of_hostile_clients(broker: OurBroker, tmp_path: Path) -> None:
    for name in NAMES:
        ask(broker, GUESSER, user=name)
        ask(broker, "127.0.0.1", user=name)
    requests.post(f"{broker.url}/{FORGED_TEXT}\n", data={"user": "x"}, headers={"X-Forwarded-For": OTHER}, timeout=60)
    requests.post(f"{broker.url}/plain/{FORGED_TEXT}", data=b"\xff", headers={"X-Forwarded-For": OTHER}, timeout=60)
    log = tmp_path / "log"
    text = broker.log()
    log.write_text(text, encoding="utf-8")
    found = found_addresses(log)
    assert set(found) == {GUESSER}, text
    assert len(found) == len(NAMES)


def test_every_line_of_the_daemon_has_one_form(broker: OurBroker) -> None:
    ask(broker, GUESSER, user="a\nb", password="Not-for-the-log")
    text = broker.log()
    assert "Not-for-the-log" not in text
    assert "Booting worker" in text, "gunicorn's own lines"
    for line in text.splitlines():
        if broker.env["X2GOBROKER_LOGFORMAT"] == JSON:
            assert list(json.loads(line))[:5] == ["time", "level", "logger", "program", "message"]
        else:
            assert re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - [a-z.]+ - [A-Z]+ - |\| )", line), line
            said = re.sub(r"user=\S+", "", line)  # clients write what they like
            assert len(re.findall(r"\d\d:\d\d:\d\d", said)) == 1, line


def test_the_jail_is_right_and_not_enabled(tmp_path: Path) -> None:
    jail = FILTER.parents[1] / "jail.d/x2gobroker.conf"
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(jail)
    assert parser["x2gobroker"]["enabled"] == "false"
    home = tmp_path / "fail2ban"
    subprocess.run(["cp", "-r", "/etc/fail2ban", str(home)], check=True)
    for path in (home / "jail.d").iterdir():
        path.unlink()
    for path in (FILTER, jail):
        subprocess.run(["cp", str(path), str(home / path.parent.name)], check=True)
    (home / "jail.d/x2gobroker.local").write_text("[x2gobroker]\nenabled = true\n")
    done = subprocess.run(
        ["fail2ban-client", "-c", str(home), "-d"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "['add', 'x2gobroker', 'systemd']" in done.stdout
    assert "'_SYSTEMD_UNIT=x2gobroker-daemon.service'" in done.stdout
    (home / "jail.d/x2gobroker.local").unlink()
    done = subprocess.run(
        ["fail2ban-client", "-c", str(home), "-d"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "x2gobroker" not in done.stdout
