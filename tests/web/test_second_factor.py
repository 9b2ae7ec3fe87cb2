"""Password and code in one field, over HTTP."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable

import pytest
from passlib.totp import TOTP
from sqlalchemy import update
from sqlalchemy.engine import URL

from tests.web.conftest import PASSWORD, Bench, authid_of, profile_ids
from x2gobroker.nameservices.libnss import LibnssNameService
from x2gobroker.store import Enrolments, Store
from x2gobroker.store.database import FILE_NAME
from x2gobroker.store.tables import PENALTIES

Make = Callable[..., Bench]
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
ENROLLED = "default-second-factor = enrolled\npenalties = false\n"
JSON = "/json/inifile/"
NEW = "n3w-2024001122"


def code(steps: int = 0) -> str:
    """Anna's code of now, or of so many steps later."""
    return str(TOTP(SECRET).generate(time.time() + 30 * steps).token)


def wrong_code() -> str:
    """Six digits that are no code of anna's for the next minutes."""
    right = {code(steps) for steps in range(-2, 6)}
    return next(digits for digits in map("{:06}".format, range(20)) if digits not in right)


@pytest.fixture
def make(broker_with: Make) -> Make:
    """Make a broker at which anna is enrolled, with more lines in [global]."""

    def made(more: str = ENROLLED) -> Bench:
        bench = broker_with(more)
        store = Store(URL.create("sqlite", database=str(bench.folder / "state" / FILE_NAME)))
        Enrolments(store).add("anna", SECRET, replace=True)
        return bench

    return made


@pytest.fixture
def broker(make: Make) -> Bench:
    """A broker at which those who are enrolled, that is anna, need a code."""
    return make()


def granted(broker: Bench, password: str, user: str = "anna", **more: str) -> bool:
    return "Access granted" in broker.post(user=user, password=password, **more).text


def reason(said: pytest.LogCaptureFixture) -> str:
    return said.messages[-1].rpartition("reason=")[2]


@pytest.mark.parametrize("path", ["/plain/inifile/", JSON])
def test_password_and_code_let_in_and_then_the_authid_does(broker: Bench, path: str) -> None:
    response = broker.post(path, user="anna", password=PASSWORD + code(), task="listsessions")
    assert profile_ids(response) == ["desk"]
    authid = response.json["next-authid"] if path == JSON else authid_of(response)
    for _ in range(2):
        # clients send the same password with every request, beside the authid
        response = broker.post(path, user="anna", password=PASSWORD + "123456", authid=authid, task="listsessions")
        assert profile_ids(response) == ["desk"]
        authid = response.json["next-authid"] if path == JSON else authid_of(response)


def test_a_code_opens_once(broker: Bench) -> None:
    shown = code()
    assert granted(broker, PASSWORD + shown)
    assert not granted(broker, PASSWORD + shown)
    assert granted(broker, PASSWORD + code(1))


def test_all_refusals_are_the_same_to_the_client_and_differ_in_the_log(
    broker: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    used = code()
    assert granted(broker, PASSWORD + used)
    attempts = {
        PASSWORD: "second-factor-missing",
        "wrong": "second-factor-missing",
        PASSWORD + wrong_code(): "second-factor-wrong",
        "wrong" + wrong_code(): "wrong-password",
        "wrong" + code(1): "wrong-password",
        PASSWORD + used: "second-factor-used-before",
    }
    for path in ("/plain/inifile/", JSON):
        answers = set()
        for password, expected in attempts.items():
            response = broker.post(path, user="anna", password=password)
            answers.add((response.status, response.text, tuple(response.headers.items())))
            assert reason(caplog) == expected
        assert len(answers) == 1


def test_neither_secret_nor_code_nor_password_reach_a_log(broker: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    shown, wrong = code(), wrong_code()
    for password in (PASSWORD + shown, PASSWORD + shown, PASSWORD + wrong, PASSWORD):
        broker.post(user="anna", password=password)
    assert len(caplog.messages) == 4
    for word in (SECRET, shown, wrong, PASSWORD):
        assert word not in caplog.text


def test_who_is_not_enrolled_does_as_before_or_is_refused(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    broker = make()
    assert granted(broker, PASSWORD, user="bert")
    broker.configure("default-second-factor = required")
    assert not granted(broker, PASSWORD, user="bert")
    assert reason(caplog) == "second-factor-not-enrolled"


def test_groups_of_the_name_service_count(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = make(ENROLLED + "default-second-factor-groups = staff")
    groups = {"anna": frozenset({"guests"})}
    monkeypatch.setattr(LibnssNameService, "_groups", lambda _self, user, _primary: groups[user])
    assert granted(broker, PASSWORD)
    groups["anna"] = frozenset({"guests", "staff"})
    broker.start()
    assert not granted(broker, PASSWORD)
    assert granted(broker, PASSWORD + code())


def test_a_backend_may_want_it_when_others_do_not(make: Make) -> None:
    broker = make("penalties = false")
    assert granted(broker, PASSWORD)
    text = (broker.folder / "x2gobroker.conf").read_text()
    broker.write("x2gobroker.conf", text.replace("[broker_inifile]", "[broker_inifile]\nsecond-factor = enrolled"))
    assert not granted(broker, PASSWORD)
    assert granted(broker, PASSWORD + code())
    assert granted(broker, "x", path="/plain/zeroconf/")


def test_an_authid_of_before_is_no_way_around(make: Make) -> None:
    broker = make("penalties = false")
    authid = broker.login()
    broker.configure(ENROLLED)
    assert not granted(broker, "", authid=authid)


def test_an_authid_from_an_exempt_network_is_no_way_around(make: Make) -> None:
    broker = make(ENROLLED + "verify-ip = false\ndefault-second-factor-exempt-networks = 10.0.0.0/8")
    authid = authid_of(broker.post(user="anna", password=PASSWORD, address="10.0.0.1"))
    assert not granted(broker, "", authid=authid)
    assert granted(broker, "", authid=authid, address="10.0.0.2")


@pytest.mark.parametrize("spelling", ["ANNA", " anna"])
def test_another_spelling_is_no_way_around(broker: Bench, spelling: str, caplog: pytest.LogCaptureFixture) -> None:
    assert not granted(broker, PASSWORD, user=spelling)
    assert reason(caplog) == "second-factor-missing"


@pytest.mark.parametrize("typed", [PASSWORD + "{}", PASSWORD])
def test_a_password_is_changed_with_or_without_the_code_behind_it(broker: Bench, typed: str) -> None:
    shown = code()
    authid = authid_of(broker.post(user="anna", password=PASSWORD + shown))
    fields = {"user": "anna", "password": typed.format(shown), "authid": authid, "task": "setpass", "newpass": NEW}
    assert "PASSWORD CHANGED: OK" in broker.post(**fields).text
    assert not granted(broker, PASSWORD + code(1))
    assert granted(broker, NEW + code(1))


def test_login_and_change_of_password_in_one_request_use_one_code(broker: Bench) -> None:
    fields = {"user": "anna", "password": PASSWORD + code(), "task": "setpass", "newpass": NEW}
    assert broker.post(JSON, **fields).json["password-changed"] is True
    assert granted(broker, NEW + code(1))


def test_greeters_send_it_as_well(make: Make) -> None:
    broker = make(ENROLLED + "enable-uccs-output = true")

    def ask(password: str) -> int:
        token = base64.b64encode(f"anna:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {token}"}
        return int(broker.app.get("/uccs/inifile/api/5/", headers=headers, expect_errors=True).status_int)

    shown = code()
    assert [ask(PASSWORD), ask(PASSWORD + shown), ask(PASSWORD + shown)] == [401, 200, 401]


def test_behind_a_web_server_the_code_is_the_password_and_guessing_it_is_slowed(make: Make) -> None:
    broker = make("default-second-factor = enrolled\ndefault-auth-mech = remote_user")
    text = (broker.folder / "x2gobroker.conf").read_text()
    broker.write("x2gobroker.conf", text.replace("default-auth-mech = htpasswd\n", ""))
    broker.app.extra_environ["REMOTE_USER"] = "anna"

    def ask(password: str) -> int:
        return int(broker.post(JSON, user="anna", password=password).status_int)

    assert ask(code()) == 200
    assert 429 in [ask(f"99999{digit}") for digit in range(10)]


def behind_a_web_server(make: Make, more: str = "") -> Callable[..., int]:
    """A broker that believes the web server and wants a code of anna and bert; a login there, by its status."""
    broker = make(f"default-second-factor = enrolled\npenalty-ban-failures = 4\n{more}")
    text = (broker.folder / "x2gobroker.conf").read_text()
    broker.write("x2gobroker.conf", text.replace("default-auth-mech = htpasswd", "default-auth-mech = remote_user"))
    broker.start()
    store = Store(URL.create("sqlite", database=str(broker.folder / "state" / FILE_NAME)))
    Enrolments(store).add("bert", SECRET, replace=True)

    def ask(named: str, password: str, user: str = "", **more: str) -> int:
        broker.app.extra_environ["REMOTE_USER"] = named
        status = int(broker.post(JSON, user=user, password=password, **more).status_int)
        with store.begin() as connection:
            connection.execute(update(PENALTIES).values(not_before=0))  # as if they had waited
        return status

    return ask


def wrong_codes(count: int) -> list[str]:
    """So many different codes that are wrong for the next minutes."""
    right = {code(steps) for steps in range(-2, 6)}
    return [digits for digits in map("{:06}".format, range(count + 8)) if digits not in right][:count]


@pytest.mark.parametrize("named", ["anna", "anna@EXAMPLE.ORG"])
def test_behind_a_web_server_wrong_codes_count_for_whom_it_has_named(make: Make, named: str) -> None:
    ask = behind_a_web_server(make)
    assert 429 in [ask(named, digits) for digits in wrong_codes(5)]
    assert ask("bert", code()) == 200, "somebody else at the same address"
    assert ask("anna", code(), user="anna") == 429


def test_behind_a_web_server_nobody_clears_the_wrong_codes_of_somebody_else(make: Make) -> None:
    ask = behind_a_web_server(make)
    said = []
    for turn, digits in enumerate(wrong_codes(6)):
        if turn in (2, 4):
            assert ask("bert", code(turn // 2 - 1)) == 200
        said.append(ask("anna", digits))
    assert said[-1] == 429


def test_behind_a_web_server_reports_do_not_guess_with_a_code_of_long_ago(make: Make) -> None:
    ask = behind_a_web_server(make)
    event = {"task": "clientevent", "event": "ALIVE", "sid": "anna-50-1_stDX_dp24", "authid": "0" * 40}
    said = [ask("anna", wrong_code(), "anna", **event) for _ in range(6)]
    assert 429 not in said
    assert ask("anna", code(), user="anna") == 200
    assert ask("carl", "", "carl", **event) == 200, "who needs no code is let in by the web server"


def test_wrong_codes_count_as_failed_logins(make: Make) -> None:
    broker = make("default-second-factor = enrolled\npenalty-ban-failures = 2")
    statuses = [broker.post(JSON, user="anna", password=PASSWORD + f"9999{n:02}").status_int for n in range(4)]
    assert 429 in statuses


@pytest.mark.parametrize("path", ["/plain/inifile/", JSON])
def test_while_passwords_cannot_be_checked_nobody_learns_who_has_a_second_factor(make: Make, path: str) -> None:
    broker = make("default-second-factor = enrolled\npenalty-ban-failures = 3")
    users = broker.folder / "users"
    text = users.read_text(encoding="utf-8")
    users.unlink()
    for number in range(5):
        said = [
            broker.post(path, user=user, password=f"wrong {number}{digits}")
            for user, digits in (("bert", ""), ("anna", ""), ("anna", code()))
        ]
        assert {(answer.status, answer.text) for answer in said} == {(said[0].status, said[0].text)}
        assert said[0].status_int == 503
    broker.write("users", text)
    assert granted(broker, PASSWORD + code()), "nobody has collected failures meanwhile"


def test_a_store_that_fails_lets_nobody_in(make: Make) -> None:
    broker = make()
    broker.start()
    state = broker.folder / "state"
    for file in state.iterdir():
        file.unlink()
    state.rmdir()
    state.write_text("no folder")
    response = broker.post(user="anna", password=PASSWORD)
    assert response.status_int == 503
    assert "granted" not in response.text
