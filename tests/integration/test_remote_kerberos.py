"""Kerberos tickets of desktops in the browser: a real KDC, pam_krb5, the portal's sign-in and real desktops."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account, account_with_home
from tests.support.installation import installation
from tests.support.portal_kerberos import KerberosPortal, kerberos_portal, looked, wait_for_look
from tests.support.processes import wait_until
from x2gobroker.authservice.tickets import FOLDER, ON

LOCAL, KERBEROS = "Local-pw-4711", "Kerberos-pw-4712"


@pytest.fixture(scope="module")
def portal() -> Iterator[KerberosPortal]:
    """The site."""
    with kerberos_portal() as made:
        made.secrets |= {LOCAL, KERBEROS}
        yield made
        assert kept() == set()
        assert copies() == []


@pytest.fixture
def anna(portal: KerberosPortal) -> Iterator[Account]:
    """Somebody whom the KDC knows. At the end nothing is left of her desktops and tickets."""
    with account_with_home(LOCAL) as user:
        portal.principal(user, KERBEROS)
        try:
            yield user
        finally:
            portal.stop_all(user)
            portal.auth.client().forget_ticket(portal.auth.services[0], user.name)


def uid_of(user: Account) -> int:
    """The number of a user."""
    return pwd.getpwnam(user.name).pw_uid


def kept() -> set[str]:
    """What the service keeps now."""
    return {path.name for path in FOLDER.iterdir()} - {ON}


def copies(user: Account | None = None) -> list[Path]:
    """The caches in /tmp, of one user or of all."""
    return sorted(Path("/tmp").glob(f"krb5cc_{uid_of(user) if user else ''}*"))


def test_a_desktop_has_the_ticket_of_its_users_sign_in(portal: KerberosPortal, anna: Account) -> None:
    visitor = portal.visitor()
    assert visitor.sign_in(anna, KERBEROS)
    assert kept() == {str(uid_of(anna))}
    assert copies() == []  # PAM's own is gone
    status = (FOLDER / str(uid_of(anna))).stat()
    assert (status.st_uid, status.st_mode & 0o777) == (0, 0o600)
    portal.desktop(anna)
    said = wait_for_look(anna, f"Default principal: {anna.name}@ROOM.TEST", "krbtgt/ROOM.TEST@ROOM.TEST")
    (copy,) = copies(anna)
    assert f"cache=FILE:{copy}\n" in said
    assert (copy.stat().st_uid, copy.stat().st_mode & 0o777) == (uid_of(anna), 0o600)
    portal.stop_all(anna)
    assert copies(anna) == []


def test_a_user_by_another_password_gets_none(portal: KerberosPortal, anna: Account) -> None:
    """Neither one of the own, nor that of somebody else who has one here."""
    assert portal.visitor().sign_in(anna, KERBEROS)
    portal.desktop(anna)
    with account_with_home(LOCAL) as bert:
        assert portal.visitor().sign_in(bert, LOCAL)
        portal.auth.wait_for_log(f"no Kerberos ticket for user={bert.name}: no\\x20module\\x20gives\\x20one")
        assert kept() == {str(uid_of(anna))}
        portal.desktop(bert)
        said = wait_for_look(bert, "klist: No credentials cache found")
        assert "cache=\n" in said
        assert "no Kerberos ticket: the user has not signed in" in portal.log_of_desktops()
        (copy,) = copies(anna)
        tried = subprocess.run(["cat", str(copy)], user=bert.name, group=bert.name, capture_output=True, check=False)
        assert tried.returncode != 0
        portal.stop_all(bert)
    assert copies(anna) == [copy]


def test_a_wrong_password_leaves_none(portal: KerberosPortal, anna: Account) -> None:
    """And takes none away."""
    assert not portal.visitor().sign_in(anna, "Wrong-pw-1")
    assert kept() == set()
    with account_with_home(LOCAL) as bert:
        portal.principal(bert, KERBEROS)
        assert portal.visitor().sign_in(bert, KERBEROS)
        assert not portal.visitor().sign_in(bert, "Wrong-pw-1")
        assert kept() == {str(uid_of(bert))}
        portal.auth.client().forget_ticket(portal.auth.services[0], bert.name)


def test_nobody_but_the_portal_gets_tickets_kept(portal: KerberosPortal, anna: Account) -> None:
    client, pam = portal.auth.client(), portal.auth.services[0]
    assert not client.authenticate(pam, anna.name, KERBEROS).ticket
    handle = client.authenticate(pam, anna.name, KERBEROS, ticket=True).ticket
    assert kept() == {f"waiting-{handle}"}  # until somebody says that she was let in
    with account_with_home(LOCAL) as bert:
        assert not client.keep_ticket(pam, bert.name, handle, 60).granted
    assert not client.keep_ticket(pam, anna.name, "0" * 32, 60).granted
    assert client.keep_ticket(pam, anna.name, handle, 60).granted
    assert not client.keep_ticket(pam, anna.name, handle, 60).granted
    assert kept() == {str(uid_of(anna))}


def test_what_is_said_of_tickets_and_makes_no_sense_changes_nothing(portal: KerberosPortal, anna: Account) -> None:
    assert portal.visitor().sign_in(anna, KERBEROS)
    number, about = str(uid_of(anna)), {"user": anna.name, "service": portal.auth.services[0]}
    for more in (
        {"op": "keepticket"},
        {"op": "keepticket", "ticket": f"../{number}", "seconds": 60},
        {"op": "keepticket", "ticket": "0" * 32, "seconds": "60"},
        {"op": "keepticket", "ticket": "0" * 32, "seconds": 1 << 40},
        {"op": "keepticket", "ticket": ["0" * 32], "seconds": 60},
        {"op": "forgetticket", "older": True},
        {"op": "forgetticket", "older": -1},
        {"op": "forgetticket", "user": "no-such-user"},
        {"op": "forgetticket", "user": "../on"},
        {"op": "forgetticket", "service": "other"},
        {"op": "authenticate", "password": "Wrong-pw-1", "ticket": True},
        {"op": "authenticate", "password": KERBEROS, "ticket": "yes"},
    ):
        with portal.auth.wire() as wire:
            wire.greet()
            answer = wire.ask(**(about | more))
        assert not answer.get("ticket"), more
        assert (answer["result"] == "ok") == (more.get("password") == KERBEROS), more
    assert kept() == {number}


def test_the_ticket_goes_with_the_last_sign_in(portal: KerberosPortal, anna: Account) -> None:
    first, second = portal.visitor(), portal.visitor()
    assert first.sign_in(anna, KERBEROS)
    assert second.sign_in(anna, KERBEROS)
    portal.desktop(anna)
    wait_for_look(anna, "krbtgt/")
    first.ask("POST", "sign-out")
    assert first.status == 200
    assert kept() == {str(uid_of(anna))}
    second.ask("POST", "sign-out")
    assert kept() == set()
    assert len(copies(anna)) == 1  # the desktop goes on, and needs its home folder
    wait_for_look(anna, "krbtgt/")
    portal.stop_all(anna)
    assert copies(anna) == []


def test_a_lock_takes_it_away(portal: KerberosPortal, anna: Account) -> None:
    assert portal.visitor().sign_in(anna, KERBEROS)
    program = installation(None).venv / "bin/x2gobroker"

    def run(*words: str) -> None:
        done = subprocess.run(
            [str(program), "lockout", *words, "-C", str(portal.service.config)],
            env=portal.service.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run(anna.name)
    try:
        assert kept() == set()
    finally:
        run(anna.name, "--lift")


def test_each_desktop_has_its_own(portal: KerberosPortal, anna: Account) -> None:
    assert portal.visitor().sign_in(anna, KERBEROS)
    first, second = portal.desktop(anna, 0), portal.desktop(anna, 1)
    assert len(copies(anna)) == 2
    portal.stop(first)
    (left,) = copies(anna)
    wait_for_look(anna, f"cache=FILE:{left}", "krbtgt/")
    portal.stop(second)
    assert copies(anna) == []


def test_a_new_sign_in_renews_the_ticket_of_a_desktop_that_runs(portal: KerberosPortal, anna: Account) -> None:
    assert portal.visitor().sign_in(anna, KERBEROS)
    portal.desktop(anna)
    wait_for_look(anna, "krbtgt/")
    (copy,) = copies(anna)
    subprocess.run(["kdestroy", "-c", str(copy)], user=anna.name, group=anna.name, timeout=60, check=True)
    wait_for_look(anna, "klist: No credentials cache found")
    assert portal.visitor().sign_in(anna, KERBEROS)
    wait_for_look(anna, f"cache=FILE:{copy}", "krbtgt/")
    assert "the Kerberos ticket is that of a new sign-in" in portal.log_of_desktops()


def test_without_its_keeper_a_desktop_leaves_no_ticket(portal: KerberosPortal, anna: Account) -> None:
    assert portal.visitor().sign_in(anna, KERBEROS)
    slot = portal.desktop(anna)
    (state,) = portal.service.scripts_state.glob("*/state.json")
    os.kill(json.loads(state.read_text(encoding="utf-8"))["pid"], signal.SIGKILL)
    portal.service.wait_for_state(slot, "failed", "gone")
    wait_until(lambda: copies(anna) == [], "the end of the ticket")


def test_with_an_expired_ticket_a_desktop_starts_and_says_so(portal: KerberosPortal, anna: Account) -> None:
    assert portal.visitor().sign_in(anna, KERBEROS)
    note = FOLDER / str(uid_of(anna))
    line, _, data = note.read_bytes().partition(b"\n")
    later = json.loads(line) | {"until": time.time() - 1}  # as it is ten hours later
    note.write_bytes(json.dumps(later).encode() + b"\n" + data)
    portal.desktop(anna)
    wait_for_look(anna, "cache=\n", "klist: No credentials cache found")
    assert "or it has expired since" in portal.log_of_desktops()
    with account_with_home(LOCAL) as bert:
        portal.principal(bert, KERBEROS)
        assert portal.visitor().sign_in(bert, KERBEROS)
        assert kept() == {str(uid_of(bert))}  # the next one sweeps
        portal.auth.client().forget_ticket(portal.auth.services[0], bert.name)


def test_a_cache_that_somebody_else_keeps_is_used(portal: KerberosPortal, anna: Account) -> None:
    """As SSSD does it: PAM names a file that is there before and after. Here another module says so."""
    cache = Path(f"/tmp/krb5cc-of-sssd-{uid_of(anna)}")
    kinit = ["kinit", "-c", str(cache), anna.name]
    subprocess.run(kinit, user=anna.name, group=anna.name, input=KERBEROS, text=True, timeout=60, check=True)
    portal.variables.write_text(f"KRB5CCNAME OVERRIDE=FILE:{cache}\n", encoding="utf-8")
    try:
        assert portal.visitor().sign_in(anna, KERBEROS)
        assert cache.name.encode() in (FOLDER / str(uid_of(anna))).read_bytes()
        slot = portal.desktop(anna)
        wait_for_look(anna, f"cache=FILE:{cache}\n", "krbtgt/")
        portal.stop(slot)
        assert cache.exists()
        (anna.home / "look").unlink()
        cache.unlink()
        portal.desktop(anna)
        wait_for_look(anna, "cache=\n")
        assert f"no Kerberos ticket: [Errno 2] No such file or directory: '{cache}'" in portal.log_of_desktops()
    finally:
        portal.variables.write_text("", encoding="utf-8")
        cache.unlink(missing_ok=True)


def test_without_a_kdc_users_with_a_local_password_come_in(portal: KerberosPortal, anna: Account) -> None:
    portal.kdc.stop()
    try:
        assert portal.visitor().sign_in(anna, LOCAL)
        assert kept() == set()
        portal.desktop(anna)
        assert "cache=\n" in wait_for_look(anna, "klist:")
    finally:
        portal.kdc.start()
    assert "krbtgt" not in looked(anna)
