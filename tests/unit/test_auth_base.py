"""What every auth mechanism gets for free: limits, and no exception for what a client sent."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.auth import pace
from x2gobroker.auth.base import (
    ACCOUNT_SECONDS,
    LONGEST_USER,
    NOT_AVAILABLE,
    AuthMechanism,
    Credentials,
    Outcome,
    PasswordChange,
    Verdict,
    granted,
    refused,
    unavailable,
)
from x2gobroker.errors import AuthMechanismError
from x2gobroker.model.passwords import LONGEST_PASSWORD, LONGEST_TYPED, can_be_typed
from x2gobroker.settings import Settings

SETTINGS = Settings()


class Recording(AuthMechanism):
    """Lets everybody in and remembers who was asked about; fails when told so."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__("recording")
        self.asked: list[Credentials] = []
        self.changed: list[str] = []
        self.fails = fails

    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        self.asked.append(credentials)
        if self.fails:
            raise AuthMechanismError("the server is down")
        return granted(credentials.user, "right password")

    def _change_password(self, settings: Settings, credentials: Credentials, new: str) -> PasswordChange:
        if self.fails:
            raise AuthMechanismError("the server is down")
        self.changed.append(new)
        return PasswordChange(True)


class KnowsByOtherMeans(Recording):
    """Needs no user name in the form."""

    needs_password = False


class CannotChange(AuthMechanism):
    """Has no password change of its own."""

    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        return granted(credentials.user, "")


def test_possible_credentials_reach_the_mechanism_unchanged() -> None:
    mechanism = Recording()
    verdict = mechanism.authenticate(SETTINGS, Credentials("anna", " p:w é ", "192.0.2.7"))
    assert verdict.granted
    assert [(asked.user, asked.password) for asked in mechanism.asked] == [("anna", " p:w é ")]


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("", "p"),
        ("x" * (LONGEST_USER + 1), "p"),
        ("an\nna", "p"),
        ("an\0na", "p"),
        ("\ud800", "p"),
        ("anna", "x" * (LONGEST_TYPED + 1)),
        ("anna", "p\0w"),
    ],
)
def test_impossible_credentials_are_refused_without_asking_the_mechanism(user: str, password: str) -> None:
    mechanism = Recording()
    assert not mechanism.authenticate(SETTINGS, Credentials(user, password)).granted
    assert mechanism.asked == []


def test_the_longest_possible_ones_are_asked_about() -> None:
    mechanism = Recording()
    assert mechanism.authenticate(SETTINGS, Credentials("x" * LONGEST_USER, "x" * LONGEST_TYPED)).granted


def test_a_mechanism_that_needs_no_password_is_asked_without_a_user() -> None:
    assert KnowsByOtherMeans().authenticate(SETTINGS, Credentials("", "")).granted


def test_unless_a_mechanism_says_otherwise_it_names_whom_the_client_names() -> None:
    assert Recording().user_of(SETTINGS, Credentials("anna", "x", "", {"REMOTE_USER": "bert"})) == "anna"


def test_a_mechanism_that_fails_refuses_and_the_log_says_why(said: pytest.LogCaptureFixture) -> None:
    verdict = Recording(fails=True).authenticate(SETTINGS, Credentials("anna", "s3cret"))
    assert (verdict.outcome, verdict.reason) == (Outcome.UNAVAILABLE, "mechanism not available")
    assert "auth mechanism recording: the server is down" in said.text
    assert "s3cret" not in said.text


@SOME
@given(st.text(st.characters()), st.text(st.characters()))
def test_no_user_and_no_password_make_authenticate_raise(user: str, password: str) -> None:
    mechanism = Recording()
    verdict = mechanism.authenticate(SETTINGS, Credentials(user, password))
    assert verdict.granted == (bool(user) and user.isprintable() and can_be_typed(password))


def test_no_secret_is_in_the_text_of_credentials() -> None:
    shown = repr(Credentials("anna", "s3cret", "192.0.2.7", {"HTTP_AUTHORIZATION": "s3cret"}))
    assert "anna" in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize("new", ["", "x" * (LONGEST_PASSWORD + 1), "a\nb", "a\0b"])
def test_an_impossible_new_password_is_not_set(new: str) -> None:
    mechanism = Recording()
    assert not mechanism.change_password(SETTINGS, Credentials("anna", "old"), new).changed
    assert mechanism.changed == []


def test_without_the_present_password_nothing_is_changed() -> None:
    mechanism = Recording()
    assert not mechanism.change_password(SETTINGS, Credentials("anna", ""), "new").changed
    assert mechanism.changed == []


def test_a_possible_new_password_is_set() -> None:
    mechanism = Recording()
    assert mechanism.change_password(SETTINGS, Credentials("anna", "old"), "new é").changed
    assert mechanism.changed == ["new é"]


def test_a_change_that_fails_says_so_and_the_log_says_why(said: pytest.LogCaptureFixture) -> None:
    change = Recording(fails=True).change_password(SETTINGS, Credentials("anna", "s3cret"), "s3cret2")
    assert (change.changed, change.reason) == (False, "not possible at present")
    assert "the server is down" in said.text
    assert "s3cret" not in said.text


def test_a_mechanism_that_cannot_change_passwords_says_so() -> None:
    change = CannotChange("x").change_password(SETTINGS, Credentials("anna", "old"), "new")
    assert (change.changed, change.reason) == (False, "not possible with this login")


def test_the_section_of_the_options_is_named_after_the_mechanism() -> None:
    assert CannotChange("mine").section == "authmech_mine"


class Leaver(Recording):
    """Says of its users that they are gone, once `gone` is set."""

    gone = False
    asked_of_accounts = 0

    def _account(self, settings: Settings, user: str, address: str) -> Verdict:
        self.asked_of_accounts += 1
        if self.fails:
            raise AuthMechanismError("the server is down")
        return refused(user, "gone") if self.gone else granted(user, "is there")


def test_an_account_that_may_come_in_is_not_asked_about_again_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    mechanism = Leaver()
    for _ in range(3):
        assert mechanism.account(SETTINGS, "anna", "").granted
    assert mechanism.asked_of_accounts == 1
    mechanism.gone = True
    assert not mechanism.account(SETTINGS, "bert", "").granted
    assert not mechanism.account(Settings(), "anna", "").granted, "other settings"
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + ACCOUNT_SECONDS)
    assert not mechanism.account(SETTINGS, "anna", "").granted
    assert not mechanism.account(SETTINGS, "anna", "").granted, "a no is not remembered, and asked again"


def test_an_account_of_which_nobody_can_tell_is_no_account_that_may_come_in() -> None:
    verdict = Leaver(fails=True).account(SETTINGS, "anna", "")
    assert (verdict.granted, verdict.outcome) == (False, Outcome.UNAVAILABLE)


@dataclass
class Clock:
    """Goes on only where somebody waits or works."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time as mechanisms see it."""
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made.monotonic)
    monkeypatch.setattr(time, "sleep", made.sleep)
    return made


class Slow(AuthMechanism):
    """Finds `found` after so many seconds; with an error where it is None. `ready` is whether it would answer."""

    def __init__(self, clock: Clock) -> None:
        super().__init__("slow")
        self.clock = clock
        self.seconds = 0.7
        self.found: Verdict | None = refused("anna", "wrong password")
        self.looked = True
        self.ready = True
        self.asked_if_ready = 0

    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        self.clock.now += self.seconds
        if self.found is None:
            raise AuthMechanismError("the server is down", looked=self.looked)
        return self.found

    def is_ready(self, settings: Settings, seconds: float) -> bool:
        self.asked_if_ready += 1
        return self.ready

    def check(self) -> Verdict:
        """A login that is looked at."""
        return self.authenticate(SETTINGS, Credentials("anna", "x"))

    def spent(self) -> tuple[float, Verdict | None]:
        """A refusal without a check: how long it takes, and what is said instead."""
        began = self.clock.now
        verdict = self.spend(SETTINGS, Credentials("bert", "x"))
        return round(self.clock.now - began, 6), verdict


@pytest.fixture
def slow(clock: Clock) -> Slow:
    """A mechanism that needs 0.7 s to find a password wrong, and was never asked."""
    return Slow(clock)


def test_a_refusal_without_a_check_takes_as_long_as_the_refusals_before(slow: Slow) -> None:
    slow.check()
    assert slow.spent() == (0.7, None)
    slow.seconds, slow.found = 0.001, refused("anna", "no possible name", looked=False)
    slow.check()  # that one says nothing about those whose password is compared
    slow.seconds, slow.found = 9.0, granted("anna", "")
    slow.check()
    assert [slow.spent() for _ in range(20)] == [(0.7, None)] * 20


def test_before_the_first_refusal_it_takes_as_long_as_a_right_password(slow: Slow) -> None:
    assert slow.spent() == (pace.FIRST_SECONDS, None)
    assert pace.FIRST_SECONDS >= 0.1, "PAM takes as long"
    slow.found = granted("anna", "")
    slow.check()
    assert slow.spent() == (0.7, None)


@pytest.mark.parametrize("looked", [True, False])
@pytest.mark.parametrize("raises", [True, False])
def test_while_nobody_can_check_passwords_those_without_a_check_are_told_so_as_well(
    slow: Slow, looked: bool, raises: bool
) -> None:
    """Else whoever is refused all the same has a second factor."""
    slow.check()
    slow.seconds, slow.looked = 2.5, looked
    slow.found = None if raises else unavailable("anna", NOT_AVAILABLE, looked)
    told = slow.check()
    assert (told.outcome, told.looked) == (Outcome.UNAVAILABLE, looked)
    assert slow.spent() == (2.5, unavailable("bert", told.reason, looked))
    slow.seconds, slow.found = 0.7, refused("anna", "wrong password")
    slow.check()
    assert slow.spent() == (0.7, None)


def test_a_process_that_has_checked_nothing_lately_looks_whether_it_could(slow: Slow, clock: Clock) -> None:
    slow.ready = False
    assert slow.spent() == (0.0, unavailable("bert", NOT_AVAILABLE, looked=False))
    slow.ready = True
    assert slow.spent() == (pace.FIRST_SECONDS, None)
    assert slow.asked_if_ready == 2
    slow.check()
    slow.spent()
    assert slow.asked_if_ready == 2, "the check has just told"
    clock.now += pace.FINE_SECONDS
    slow.ready = False
    assert slow.spent()[1] is not None


def test_a_failure_of_long_ago_is_none_of_now(slow: Slow, clock: Clock) -> None:
    """Else a user who forgets the code would be told for ever that passwords cannot be checked."""
    slow.found = None
    slow.check()
    assert slow.spent()[1] is not None
    clock.now += pace.FAILING_SECONDS
    assert slow.spent()[1] is None
    slow.ready = False
    assert slow.spent()[1] is not None
