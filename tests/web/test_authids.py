"""Authids over HTTP: one-time use, static, pre-shared, bound to user, address and what vouched for the user."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from tests.web.conftest import PASSWORD, Bench, authid_of
from x2gobroker.broker import EVENT_GRACE, Broker

Make = Callable[..., Bench]
UUID = "5f0a7c6e-0d2c-4d4e-9d49-0c1f6d1c1a11"


def granted(broker: Bench, **fields: str) -> bool:
    """Whether a request is granted."""
    return "Access granted" in broker.post(**fields).text


def test_an_authid_is_used_once_and_replaced(broker: Bench) -> None:
    first = broker.login()
    second = authid_of(broker.post(user="anna", authid=first))
    assert second != first
    assert not granted(broker, user="anna", authid=first)
    assert granted(broker, user="anna", authid=second)


def test_a_static_authid_stays(broker_with: Make) -> None:
    broker = broker_with("use-static-cookie = true")
    authid = broker.login()
    for _ in range(3):
        assert authid_of(broker.post(user="anna", authid=authid)) == authid


def test_an_authid_is_bound_to_its_user(broker: Bench) -> None:
    authid = broker.login("anna")
    assert not granted(broker, user="bert", authid=authid)
    assert granted(broker, user="anna", authid=authid)


def test_an_authid_is_bound_to_its_address(broker: Bench) -> None:
    authid = broker.login()
    assert not granted(broker, address="192.0.2.8", user="anna", authid=authid)
    assert not granted(broker, user="anna", authid=authid)


def test_addresses_do_not_count_where_so_configured(broker_with: Make) -> None:
    broker = broker_with("verify-ip = false")
    assert granted(broker, address="192.0.2.8", user="anna", authid=broker.login())


def test_a_login_that_checked_less_does_not_open_a_backend_that_checks_more(broker: Bench) -> None:
    authid = authid_of(broker.post("/plain/zeroconf/", user="anna", password="anything"))
    assert not granted(broker, path="/plain/inifile/", user="anna", authid=authid)
    assert granted(broker, path="/plain/zeroconf/", user="anna", authid=authid)


def test_an_authid_ends_with_the_time_since_the_login(broker_with: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = broker_with("auth-timeout = 100")
    authid = authid_of(broker.post(user="anna", authid=broker.login()))
    clock = __import__("time").time
    monkeypatch.setattr("time.time", lambda: clock() + 101)
    assert not granted(broker, user="anna", authid=authid)


def test_authids_outlive_a_restart(broker: Bench) -> None:
    authid = broker.login()
    broker.start()
    assert granted(broker, user="anna", authid=authid)


@pytest.mark.parametrize("authid", ["x", "0" * 40, "x" * 100_000, "../../etc/passwd", "%00"])
def test_an_unknown_authid_beside_the_right_password_is_a_login(broker: Bench, authid: str) -> None:
    """X2Go Client goes on showing an authid that counts no longer beside the password that was just typed."""
    assert not granted(broker, user="anna", authid=authid)
    fresh = authid_of(broker.post(user="anna", password=PASSWORD, authid=authid))
    assert granted(broker, user="anna", authid=fresh)


def test_every_dead_authid_beside_the_right_password_is_a_login(
    broker_with: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker = broker_with("auth-timeout = 100")
    spent = broker.login()
    of_bert, elsewhere = broker.login("bert"), broker.login(address="192.0.2.8")
    assert granted(broker, user="anna", authid=spent)
    for authid in (spent, of_bert, elsewhere):
        assert not granted(broker, user="anna", authid=authid)
        assert granted(broker, user="anna", password=PASSWORD, authid=authid)
    assert granted(broker, user="bert", authid=of_bert), "it is still its owner's"
    expired = broker.login()
    clock = time.time
    monkeypatch.setattr("time.time", lambda: clock() + 101)
    assert not granted(broker, user="anna", authid=expired)
    assert granted(broker, user="anna", password=PASSWORD, authid=expired, task="listsessions")
    assert "reason=right-password,-beside:-authid-has-expired" in caplog.text


def test_a_wrong_password_beside_a_dead_authid_counts_once(broker_with: Make) -> None:
    broker = broker_with("penalty-ban-failures = 2")
    assert not granted(broker, user="anna", password="wrong", authid="unknown")
    time.sleep(0.6)
    assert not granted(broker, user="anna", password="another", authid="unknown")
    assert not granted(broker, user="anna", password=PASSWORD, authid="unknown"), "banned, as without the authid"
    assert not granted(broker, user="anna", password=PASSWORD)


def test_a_wrong_password_beside_a_good_authid_is_not_looked_at(broker: Bench) -> None:
    assert granted(broker, user="anna", password="wrong", authid=broker.login())


def test_a_dead_authid_does_not_stand_for_the_pre_shared_one(broker_with: Make) -> None:
    broker = broker_with(f"require-cookie = true\npenalties = false\nmy-cookie = {UUID}")
    for authid in ("unknown", UUID[:-1]):
        assert not granted(broker, user="anna", password=PASSWORD, authid=authid)
    first = authid_of(broker.post(user="anna", password=PASSWORD, authid=UUID))
    assert granted(broker, user="anna", authid=first)
    assert not granted(broker, user="anna", password=PASSWORD, authid=first)


def test_a_dead_authid_is_no_way_around_the_second_factor(broker_with: Make) -> None:
    broker = broker_with("default-second-factor = required\npenalties = false")
    assert not granted(broker, user="anna", password=PASSWORD, authid="unknown")


def test_reports_do_not_guess_with_a_code_of_long_ago(broker_with: Make, caplog: pytest.LogCaptureFixture) -> None:
    """What clients send by themselves, over and over, with the code of the login behind the password."""
    broker = broker_with("default-second-factor = required")
    for _ in range(12):
        assert not granted(broker, user="anna", password=f"{PASSWORD}123456", authid="unknown", **EVENT)
    assert "penalty" not in caplog.text
    assert "mechanism=htpasswd" not in caplog.text


def test_a_report_with_the_password_brings_a_client_back(broker: Bench) -> None:
    fresh = authid_of(broker.post(user="anna", password=PASSWORD, authid="unknown", **EVENT))
    assert granted(broker, user="anna", authid=fresh)


@pytest.mark.parametrize("spent_by", ["listsessions", "clientevent"])
@pytest.mark.parametrize("task", ["listsessions", "clientevent", "selectsession"])
def test_no_authid_has_two_successors(broker: Bench, spent_by: str, task: str) -> None:
    """Whoever comes too late with an authid, whether its owner or a thief, gets no new one for it."""
    authid = broker.login()
    first = {**EVENT, "task": spent_by}
    successor = authid_of(broker.post(user="anna", authid=authid, **first))
    again = broker.post(user="anna", authid=authid, **{**EVENT, "task": task, "sid": "desk"})
    assert "AUTHID" not in again.text
    assert granted(broker, user="anna", authid=successor)


def test_the_pre_shared_authid_is_needed_where_so_configured(broker_with: Make) -> None:
    broker = broker_with("require-cookie = true\npenalties = false")
    broker.write("authid", f"# the pre-shared one\n{UUID} and a remark\n")
    assert not granted(broker, user="anna", password=PASSWORD)
    assert not granted(broker, user="anna", password="wrong", authid=UUID)
    response = broker.post(user="anna", password=PASSWORD, authid=UUID)
    assert granted(broker, user="anna", authid=authid_of(response))


def test_the_pre_shared_authid_alone_lets_in_without_passwords(broker_with: Make) -> None:
    broker = broker_with(f"require-cookie = true\nrequire-password = false\nmy-cookie = {UUID}")
    for _ in range(2):
        assert authid_of(broker.post(user="anna", authid=UUID)) == UUID
    assert not granted(broker, user="anna", authid=UUID[:-1])
    assert not granted(broker, user="anna", password=PASSWORD)


@pytest.mark.parametrize("checked", [True, False])
def test_the_pre_shared_authid_of_before_counts_while_it_is_named(broker_with: Make, checked: bool) -> None:
    broker = broker_with(f"require-cookie = true\nrequire-password = {str(checked).lower()}\npenalties = false")
    broker.write("authid", "new-authid\n")
    old = broker.folder / "old"
    old.write_text(f"{UUID}\n")
    who = {"user": "anna", "password": PASSWORD}
    assert not granted(broker, **who, authid=UUID)
    broker.configure(f"require-cookie = true\nrequire-password = {str(checked).lower()}\nmy-cookie-old-file = {old}")
    answer = broker.post(**who, authid=UUID)
    assert granted(broker, **who, authid="new-authid")
    assert "new-authid" not in answer.text, "who knows the old one is not told the new one"
    assert (authid_of(answer) == UUID) is not checked
    assert not granted(broker, **who, authid="")
    old.unlink()
    assert not granted(broker, **who, authid=UUID)
    assert granted(broker, **who, authid="new-authid")


def test_the_placeholder_of_the_sample_opens_nothing(broker_with: Make) -> None:
    placeholder = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
    broker = broker_with(f"require-cookie = true\nrequire-password = false\nmy-cookie = {placeholder}")
    assert not granted(broker, user="anna", authid=placeholder)


def test_behind_the_placeholder_in_the_file_the_option_counts(broker_with: Make) -> None:
    """As packages ship the file, and as the former broker has it."""
    broker = broker_with("require-cookie = true\nrequire-password = false\nmy-cookie = f57866be")
    file = broker.folder / "authid"
    file.write_text("# set me\nxxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\n")
    assert granted(broker, user="anna", authid="f57866be")
    assert not granted(broker, user="anna", authid="xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
    file.write_bytes(b"\xef\xbb\xbf0d1e2f3a\r\n")
    assert granted(broker, user="anna", authid="0d1e2f3a")
    assert not granted(broker, user="anna", authid="f57866be")


@pytest.mark.parametrize("more", ["require-password = false", "check-credentials = false"])
def test_an_open_broker_gives_no_authid(broker_with: Make, more: str) -> None:
    assert broker_with(more).post(user="anna").text == "Access granted\n"


def test_requests_that_overlap_lose_nothing(broker: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests of one client, both under way with the same authid: both are answered, both go on."""
    authid = broker.login()
    both_checked = threading.Barrier(2, timeout=10)
    original = Broker.list_profiles

    def list_when_both_are_checked(self: Broker, *arguments: object) -> object:
        both_checked.wait()
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Broker, "list_profiles", list_when_both_are_checked)
    answers: list[str] = []

    def ask() -> None:
        answers.append(authid_of(broker.post(task="listsessions", user="anna", authid=authid)))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(set(answers)) == 2
    assert all(granted(broker, user="anna", authid=answer) for answer in answers)


EVENT = {"task": "clientevent", "event": "ALIVE", "sid": "anna-50-1795167317_stRxterm_dp24"}


def test_reports_of_a_client_overlap_with_each_other(broker: Bench) -> None:
    """X2Go Client sends CONNECTED without waiting for the answer to CONNECTING: both show the same authid."""
    authid = broker.login()
    assert granted(broker, user="anna", authid=authid, **EVENT)
    assert granted(broker, user="anna", authid=authid, **EVENT)
    assert granted(broker, user="anna", authid=authid, task="listsessions"), "the list after the end of a session"


def test_a_report_may_be_under_way_while_something_else_spends_its_authid(broker: Bench) -> None:
    authid = broker.login()
    assert granted(broker, user="anna", authid=authid, task="listsessions")
    assert granted(broker, user="anna", authid=authid, **EVENT)
    assert not granted(broker, user="anna", authid=authid, task="listsessions"), "an authid still counts once"


def test_reports_do_not_keep_an_authid_alive(broker: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    authid = broker.login()
    assert granted(broker, user="anna", authid=authid, **EVENT)
    later = time.time() + 2 * EVENT_GRACE + 1
    monkeypatch.setattr("time.time", lambda: later)
    assert not granted(broker, user="anna", authid=authid, **EVENT)


def test_only_hashes_are_stored(broker: Bench) -> None:
    authid = broker.login()
    stored = b"".join(path.read_bytes() for path in (broker.folder / "state").iterdir())
    assert b"anna" in stored
    assert authid.encode() not in stored
    assert (broker.folder / "state").stat().st_mode & 0o077 == 0


def test_secrets_stay_out_of_the_log(broker: Bench, caplog: pytest.LogCaptureFixture) -> None:
    authid = broker.login()
    broker.post(user="anna", authid=authid, password=PASSWORD, task="listsessions")
    broker.post(user="anna", password="a wrong secret", task="setpass", newpass="a new secret")
    assert "outcome=granted" in caplog.text
    for secret in (authid, PASSWORD, "a wrong secret", "a new secret"):
        assert secret not in caplog.text


def test_who_got_in_is_no_warning_and_who_did_not_is_one(broker: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """So that monitors, and whoever reads the journal by priority, see what is wrong and not every login."""
    caplog.set_level(logging.DEBUG)
    broker.login()
    broker.post(user="anna", password="wrong", task="listsessions")
    levels = {
        record.getMessage().partition("outcome=")[2].partition(" ")[0]: record.levelno
        for record in caplog.records
        if record.getMessage().startswith("login user=anna")
    }
    assert levels == {"granted": logging.INFO, "refused": logging.WARNING}
