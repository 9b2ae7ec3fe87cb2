"""The auth mechanism `pam`, with real PAM services of the test's own. Their files in /etc/pam.d need root."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from x2gobroker.auth.base import Credentials, Outcome, Verdict
from x2gobroker.auth.pam import PamMechanism
from x2gobroker.authservice import direct
from x2gobroker.errors import AuthMechanismError
from x2gobroker.settings import Settings

USER, PASSWORD = "nobody", "p:w é ☃"
JOIN_DEADLINE = 60.0
CHECK = """#!/bin/sh
# the password comes on standard input, ended by a NUL
given=$(tr -d '\\000')
test "$PAM_USER" = {user} && test "$given" = "$(cat {password})"
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PAM service that knows one user with one password."""
    folder = tmp_path_factory.mktemp("pam")
    script, password = folder / "check", folder / "password"
    password.write_text(PASSWORD, encoding="utf-8")
    script.write_text(CHECK.format(user=USER, password=password))
    script.chmod(0o755)
    lines = f"auth required pam_exec.so quiet expose_authtok {script}\naccount required pam_permit.so\n"
    with service_file("right", lines) as name:
        yield name


class service_file:  # noqa: N801 - used like a function
    """A PAM service for the length of a `with` block."""

    def __init__(self, name: str, lines: str) -> None:
        self.path = Path("/etc/pam.d") / f"x2gobroker-test-{name}-{os.getpid()}"
        self.lines = lines

    def __enter__(self) -> str:
        self.path.write_text(self.lines)
        return self.path.name

    def __exit__(self, *_error: object) -> None:
        self.path.unlink()


def check(service: str, user: str = USER, password: str = PASSWORD) -> Verdict:
    settings = Settings({("authmech_pam", "service"): service})
    return PamMechanism("pam").authenticate(settings, Credentials(user, password))


def test_the_right_password_is_right(service: str) -> None:
    verdict = check(service)
    assert (verdict.granted, verdict.user) == (True, USER)


@pytest.mark.parametrize(("user", "password"), [(USER, "wrong"), (USER, ""), ("root", PASSWORD), ("no-such-user", "x")])
def test_any_other_is_wrong(service: str, user: str, password: str) -> None:
    verdict = check(service, user, password)
    assert not verdict.granted
    assert verdict.reason.startswith("PAM: ")


def test_an_account_that_is_locked_is_refused_in_spite_of_its_password() -> None:
    with service_file("locked", "auth required pam_permit.so\naccount required pam_deny.so\n") as name:
        assert not check(name).granted


def test_a_service_that_permits_everything_does(said: pytest.LogCaptureFixture) -> None:
    with service_file("permit", "auth required pam_permit.so\naccount required pam_permit.so\n") as name:
        assert check(name, password="anything").granted
    assert said.text == ""


@pytest.mark.parametrize(
    "name", ["no-such-service", "", "../pam.d/other", "other/../other", "a b", ".", "..", "x" * 65]
)
def test_a_service_that_is_not_there_lets_nobody_in_and_is_named(name: str, said: pytest.LogCaptureFixture) -> None:
    verdict = check(name)
    assert (verdict.granted, verdict.reason) == (False, "mechanism not available")
    assert "there is no PAM service" in said.text


def test_a_process_that_is_not_root_asks_pam_only_where_it_is_told_that_it_can(
    service: str, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    """pam_unix would take every right password for a wrong one."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    verdict = check(service)
    assert (verdict.outcome, verdict.looked) == (Outcome.UNAVAILABLE, False)
    assert "start x2gobroker-authservice" in said.text
    settings = Settings({("authmech_pam", "service"): service, ("authmech_pam", "without-authservice"): True})
    assert PamMechanism("pam").authenticate(settings, Credentials(USER, PASSWORD)).granted


def test_a_module_that_never_returns_is_ended() -> None:
    with service_file("hang", "auth required pam_exec.so quiet /bin/sleep 60\n") as name:
        began = time.monotonic()
        with pytest.raises(AuthMechanismError, match="did not answer within 2 s") as caught:
            direct.authenticate(name, USER, PASSWORD, deadline=2)
        assert caught.value.looked
        assert time.monotonic() - began < 20


def test_mixed_logins_in_many_threads_get_the_right_verdicts(service: str) -> None:
    verdicts: dict[int, bool] = {}

    def login(number: int) -> None:
        verdicts[number] = check(service, password=PASSWORD if number % 2 else "wrong").granted

    threads = [threading.Thread(target=login, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_DEADLINE)
    assert verdicts == {number: bool(number % 2) for number in range(16)}


def test_no_secret_is_logged(service: str, said: pytest.LogCaptureFixture) -> None:
    check(service, password="s3cret-0f-mine")
    assert "s3cret-0f-mine" not in said.text


@pytest.mark.parametrize(("lines", "is_welcome"), [("pam_permit.so", True), ("pam_deny.so", False)])
def test_an_account_is_asked_about_without_a_password(lines: str, is_welcome: bool) -> None:
    with service_file("account", f"auth required pam_deny.so\naccount required {lines}\n") as name:
        settings = Settings({("authmech_pam", "service"): name})
        verdict = PamMechanism("pam").account(settings, USER, "192.0.2.7")
    assert (verdict.granted, verdict.user) == (is_welcome, USER)
