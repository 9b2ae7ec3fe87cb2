"""Wrong passwords make a client wait: what each frontend says, and whom it concerns. In process, time stands still."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from webtest import TestResponse

from tests.support.marks import distinct_marks
from tests.web.conftest import ADDRESS, PASSWORD, Bench
from x2gobroker import broker as broker_module
from x2gobroker.auth.base import Credentials, Verdict, refused
from x2gobroker.auth.htpasswd import HtpasswdMechanism
from x2gobroker.logs import broker_log
from x2gobroker.model.penalty import AT_ONCE
from x2gobroker.settings import Settings

Make = Callable[..., Bench]
JSON = "/json/inifile/"
ELSEWHERE = "198.51.100.9"


@dataclass
class Clock:
    """A clock that stands still until told otherwise; takes the place of the broker's module `time`."""

    now: float = 1_000_000.0

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time as the broker counts penalties by."""
    made = Clock()
    monkeypatch.setattr(broker_module, "time", made)
    return made


def guess(bench: Bench, clock: Clock, count: int, user: str = "anna", address: str = ADDRESS, path: str = JSON) -> None:
    """So many different wrong passwords, each as soon as it is looked at."""
    for number in range(count):
        clock.now += 15
        assert bench.post(path, address, user=user, password=f"wrong {clock.now} {number}").status_int == 401


def json_login(bench: Bench, address: str = ADDRESS, user: str = "anna", **fields: str) -> TestResponse:
    return bench.post(JSON, address, user=user, password=PASSWORD, **fields)


def basic(bench: Bench, password: str) -> TestResponse:
    token = base64.b64encode(f"anna:{password}".encode()).decode()
    return bench.app.get("/uccs/inifile/api/5", headers={"Authorization": f"Basic {token}"}, expect_errors=True)


def test_json_says_429_and_when_to_come_again(broker: Bench, clock: Clock) -> None:
    guess(broker, clock, 3)
    response = json_login(broker, task="listprofiles")
    assert response.status_int == 429
    assert response.headers["Retry-After"] == "2"
    assert response.headers["Content-Type"] == "text/json; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json == {"auth-status": "Access denied", "task": "listprofiles"}
    clock.now += 2
    assert json_login(broker).status_int == 200


def test_a_401_has_no_retry_after(broker: Bench) -> None:
    response = broker.post(JSON, user="anna", password="wrong")
    assert response.status_int == 401
    assert "Retry-After" not in response.headers


def test_a_ban_is_told_with_its_whole_time(broker: Bench, clock: Clock) -> None:
    guess(broker, clock, 10)
    assert json_login(broker).headers["Retry-After"] == "300"
    clock.now += 300
    assert json_login(broker).status_int == 200


def test_x2go_client_is_told_the_same_as_after_a_wrong_password(broker: Bench, clock: Clock) -> None:
    wrong = broker.post(task="listsessions", user="anna", password="wrong")
    waiting = broker.post(task="listsessions", user="anna", password=PASSWORD)
    assert (waiting.status_int, waiting.text) == (wrong.status_int, wrong.text) == (200, wrong.text)
    assert "Access granted" not in waiting.text
    assert "Retry-After" not in waiting.headers
    clock.now += 0.5
    assert "Access granted" in broker.post(task="listsessions", user="anna", password=PASSWORD).text


def test_plain_says_429_where_it_refuses_by_status(broker_with: Make, clock: Clock) -> None:
    bench = broker_with("plain-refusal = status")
    guess(bench, clock, 4, path="/plain/inifile/")
    response = bench.post(user="anna", password=PASSWORD)
    assert (response.status_int, response.headers["Retry-After"]) == (429, "4")


def test_a_greeter_is_told_429_with_the_same_challenge(broker_with: Make, clock: Clock) -> None:
    bench = broker_with("enable-uccs-output = true")
    assert basic(bench, "wrong").status_int == 401
    response = basic(bench, PASSWORD)
    assert (response.status_int, response.headers["Retry-After"]) == (429, "1")
    clock.now += 0.5
    assert basic(bench, PASSWORD).status_int == 200


def test_an_authid_is_not_concerned(broker: Bench, clock: Clock) -> None:
    authid = broker.login()
    guess(broker, clock, 10)
    response = broker.post(user="anna", authid=authid, task="listsessions")
    assert "START_USER_SESSIONS" in response.text


def test_wrong_authids_do_not_count(broker: Bench) -> None:
    for number in range(30):
        assert broker.post(JSON, user="anna", authid=f"{number:040}").status_int == 401
    assert json_login(broker).status_int == 200


def test_other_accounts_and_addresses_go_on(broker: Bench, clock: Clock) -> None:
    guess(broker, clock, 10)
    clock.now += 15
    assert json_login(broker).status_int == 429
    assert json_login(broker, user="bert").status_int == 200
    assert json_login(broker, ELSEWHERE).status_int == 200


def test_a_login_at_a_backend_that_checks_nothing_clears_nothing(broker: Bench, clock: Clock) -> None:
    guess(broker, clock, 10)
    assert broker.post("/json/zeroconf/", user="anna", password="x").status_int == 200
    assert json_login(broker).status_int == 429


def test_a_mechanism_without_passwords_is_not_concerned(broker: Bench, clock: Clock) -> None:
    guess(broker, clock, 10)
    assert json_login(broker, user="bert").status_int == 429
    assert broker.post("/json/zeroconf/", user="bert", password="x").status_int == 200


def test_a_right_password_clears_what_the_user_mistyped(broker: Bench, clock: Clock) -> None:
    guess(broker, clock, 5)
    clock.now += 15
    assert json_login(broker).status_int == 200
    assert broker.post(JSON, user="anna", password="wrong").status_int == 401
    clock.now += 0.5
    assert json_login(broker).status_int == 200


def test_a_mechanism_that_is_not_available_does_not_count(broker: Bench) -> None:
    users = (broker.folder / "users").read_text()
    (broker.folder / "users").unlink()
    for number in range(30):
        assert broker.post(JSON, user="anna", password=f"{number}").status_int == 503
    broker.write("users", users)
    assert json_login(broker).status_int == 200


def test_what_no_mechanism_looks_at_does_not_count(broker: Bench) -> None:
    for number in range(30):
        assert broker.post(JSON, user="anna", password="x" * (2000 + number)).status_int == 401
    assert json_login(broker).status_int == 200


def test_the_same_wrong_password_counts_once(broker: Bench, clock: Clock) -> None:
    for _ in range(30):
        assert broker.post(JSON, user="anna", password="old password").status_int == 401
        clock.now += 1
    assert json_login(broker).status_int == 200


def test_reports_do_not_have_a_wrong_password_checked_again_and_again(
    broker: Bench, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client left open, whose user has changed the password elsewhere: PAM or a directory would count each check."""
    checked: list[str] = []
    check = HtpasswdMechanism._check

    def noted(self: HtpasswdMechanism, settings: Settings, credentials: Credentials) -> Verdict:
        checked.append(credentials.password)
        return check(self, settings, credentials)

    def report(password: str) -> int:
        clock.now += 30
        event = {"task": "clientevent", "event": "ALIVE", "sid": "anna-50-1795167317_stRxterm_dp24"}
        return int(broker.post(JSON, user="anna", password=password, authid="unknown", **event).status_int)

    monkeypatch.setattr(HtpasswdMechanism, "_check", noted)
    assert [report("of before") for _ in range(20)] == [401] * 20
    assert checked == ["of before"]
    clock.now += 30
    assert broker.post(JSON, user="anna", password="of before").status_int == 401
    assert checked == ["of before"] * 2, "somebody may have typed it"
    assert report("another") == 401
    assert checked[2:] == ["another"]
    assert report(PASSWORD) == 200


def test_trusted_networks_are_exempt(broker_with: Make) -> None:
    bench = broker_with("penalty-trusted-networks = 203.0.113.0/24, 192.0.2.0/28")
    for number in range(30):
        assert bench.post(JSON, user="anna", password=f"{number}").status_int == 401
    assert json_login(bench).status_int == 200
    bench.post(JSON, ELSEWHERE, user="anna", password="wrong")
    assert json_login(bench, ELSEWHERE).status_int == 429


def test_penalties_can_be_switched_off(broker_with: Make) -> None:
    bench = broker_with("penalties = false")
    for number in range(30):
        assert bench.post(JSON, user="anna", password=f"{number}").status_int == 401
    assert json_login(bench).status_int == 200


def test_limits_are_as_configured(broker_with: Make, clock: Clock) -> None:
    bench = broker_with("penalty-ban-failures = 2\npenalty-ban-seconds = 1000\npenalty-forget-seconds = 60")
    guess(bench, clock, 2)
    assert json_login(bench).headers["Retry-After"] == "1000"
    clock.now += 1000
    guess(bench, clock, 1)
    clock.now += 0.5
    assert json_login(bench).status_int == 200


def test_another_application_on_the_same_store_agrees(broker: Bench, clock: Clock) -> None:
    guess(broker, clock, 4)
    broker.start()
    assert json_login(broker).status_int == 429


def test_a_password_cannot_be_guessed_by_changing_it(broker: Bench, clock: Clock) -> None:
    authid = broker.login(path=JSON)
    said = []
    for number in range(4):
        answer = broker.post(JSON, user="anna", authid=authid, task="setpass", password=f"{number}", newpass="new")
        authid = answer.json["next-authid"]
        said.append(answer.json["reason"])
    assert said == ["the present password is wrong"] + ["too many wrong passwords, try again later"] * 3
    clock.now += 0.5
    fields = {"authid": authid, "task": "setpass", "newpass": "new password"}
    assert json_login(broker, **fields).json["password-changed"] is True


def test_each_refusal_leaves_one_line_and_no_secret(
    broker: Bench, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    broker_log.propagate = True
    wrong = "n0t-the-s3cret"
    for password in (wrong, PASSWORD):
        broker.post(JSON, user="anna", password=password)
    guess(broker, clock, 9)
    json_login(broker)
    reasons = [line.rpartition("reason=")[2] for line in caplog.messages if line.startswith("login user=anna")]
    assert reasons == ["wrong-password", "penalty-wait"] + ["wrong-password"] * 9 + ["penalty-ban"]
    for secret in (wrong, PASSWORD):
        assert secret not in caplog.text
        for path in files_of(broker.folder / "state"):
            assert secret.encode() not in path.read_bytes()


def files_of(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.is_file()]
    assert found
    return found


def test_an_attacker_elsewhere_locks_nobody_out(broker: Bench, clock: Clock) -> None:
    assert json_login(broker).status_int == 200
    for number in range(1000):
        address = f"10.{number // 200}.{number % 200}.7"
        assert broker.post(JSON, address, user="anna", password=f"{number}").status_int == 401
    assert json_login(broker).status_int == 200
    assert json_login(broker, ELSEWHERE).status_int == 200


def test_what_cannot_be_checked_is_told_in_words_by_every_frontend(broker_with: Make) -> None:
    """Not as a refusal: nobody is to type another password."""
    bench = broker_with("enable-uccs-output = true")
    (bench.folder / "users").unlink()
    plain = bench.post("/plain/inifile/", user="anna", password=PASSWORD)
    json = bench.post(JSON, user="anna", password=PASSWORD, task="listprofiles")
    for response in (plain, json, basic(bench, PASSWORD)):
        assert response.status == "503 Passwords cannot be checked at present; try again later"
        assert response.headers["Retry-After"] == "60"
        assert "cannot be checked" in response.text
        assert response.headers["Cache-Control"] == "no-store"
    assert json.json["auth-status"] == "Unavailable"
    assert "Access granted" not in plain.text


def test_a_first_volley_of_guesses_is_looked_at_in_part(broker: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While three are being looked at, and nobody knows yet whether they are right, the others are told to wait."""
    enough, looked = threading.Event(), []

    def slow(_self: object, _settings: object, credentials: Credentials) -> Verdict:
        looked.append(credentials.password)
        enough.wait(20)
        return refused(credentials.user, "wrong password")

    distinct_marks(monkeypatch)
    monkeypatch.setattr(HtpasswdMechanism, "_check", slow)
    with ThreadPoolExecutor(24) as threads:
        answers = [threads.submit(broker.post, JSON, user="anna", password=f"guess {number}") for number in range(24)]
        while sum(answer.done() for answer in answers) < 24 - AT_ONCE:
            time.sleep(0.02)
        enough.set()
        statuses = [answer.result(20).status_int for answer in answers]
    assert len(looked) == AT_ONCE
    assert sorted(statuses) == [401] * AT_ONCE + [429] * (24 - AT_ONCE)
