"""The second factor: the codes of RFC 6238, who needs one, and what the auth mechanism gets to see."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from passlib.totp import TOTP
from sqlalchemy.engine import URL

from tests.unit.configured import Files
from x2gobroker.auth import pace
from x2gobroker.auth import totp as module
from x2gobroker.auth.base import (
    BAD_PASSWORD,
    NOT_AVAILABLE,
    AuthMechanism,
    Credentials,
    Outcome,
    Verdict,
    granted,
    refused,
)
from x2gobroker.auth.htpasswd import HtpasswdMechanism
from x2gobroker.auth.totp import (
    MISSING,
    NOT_ENROLLED,
    USED,
    WRONG,
    Rules,
    SecondFactor,
    new_secret,
    provisioning_uri,
    second_factor_problems,
    split_code,
    step_of,
)
from x2gobroker.errors import AuthMechanismError
from x2gobroker.model.acl import Requester, parse_client
from x2gobroker.model.passwords import LONGEST_TYPED
from x2gobroker.settings import Settings
from x2gobroker.store import Enrolments, Store
from x2gobroker.store.database import FILE_NAME

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # of RFC 6238: 12345678901234567890
# RFC 6238, appendix B, SHA-1: the last six of the eight digits are the code of six digits
VECTORS = {
    59: "94287082",
    1111111109: "07081804",
    1111111111: "14050471",
    1234567890: "89005924",
    2000000000: "69279037",
    20000000000: "65353130",
}
NOW = 1_234_567_890.0
ADDRESS = "192.0.2.7"
RIGHT = "right"
JOIN_DEADLINE = 30.0


def code_at(moment: float) -> str:
    return str(TOTP(SECRET).generate(moment).token)


@dataclass
class Clock:
    """A clock that stands still until told otherwise; takes the place of the module `time`."""

    now: float = NOW

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time as the second factor sees it."""
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


class Mechanism(AuthMechanism):
    """Knows one password for everybody, and remembers what it was asked. `calls` is the name it gives to users."""

    def __init__(self, calls: str = "") -> None:
        super().__init__("test")
        self.asked: list[str] = []
        self.calls = calls

    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        self.asked.append(credentials.password)
        right = credentials.password == RIGHT
        user = self.calls or credentials.user
        return granted(user, "right password") if right else refused(user, "wrong password")


class Broken(AuthMechanism):
    """Can tell nothing."""

    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        raise AuthMechanismError("it is down", looked=False)


class WebServer(AuthMechanism):
    """Knows the user without a password."""

    needs_password = False

    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        return granted("anna", "authenticated by the web server")


@dataclass
class World:
    """Settings, a store, groups, and the second factor of the backend inifile."""

    files: Files
    folder: Path
    groups: dict[str, frozenset[str] | None] = field(default_factory=dict)
    own_names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.enrolments = Enrolments(Store(URL.create("sqlite", database=str(self.folder / FILE_NAME))))
        self.enrolments.add("anna", SECRET, replace=False)
        self.mechanism: AuthMechanism = Mechanism()
        self.factor = SecondFactor("inifile", lambda _settings: self.enrolments, self.who)
        self.configure("default-second-factor = enrolled")

    def who(self, _settings: Settings, user: str, address: str) -> Requester:
        groups, own_name = self.groups.get(user, frozenset()), self.own_names.get(user, "")
        return Requester(user, parse_client(address), lambda: groups, own_name=lambda: own_name)

    def configure(self, in_global: str, in_backend: str = "") -> None:
        self.settings = self.files.write(f"[global]\n{in_global}\n[broker_inifile]\n{in_backend}\n")

    def login(self, password: str, user: str = "anna", address: str = ADDRESS) -> Verdict:
        return self.factor.authenticate(self.settings, self.mechanism, Credentials(user, password, address))

    @property
    def asked(self) -> list[str]:
        assert isinstance(self.mechanism, Mechanism)
        return self.mechanism.asked


@pytest.fixture
def world(files: Files, tmp_path: Path, clock: Clock) -> World:
    """Anna is enrolled, bert is not; who is enrolled needs a code."""
    return World(files, tmp_path)


@pytest.mark.parametrize(("moment", "token"), VECTORS.items())
def test_the_codes_of_rfc_6238(moment: int, token: str) -> None:
    assert step_of(SECRET, token[-6:], moment) == moment // 30


@pytest.mark.parametrize(("skew", "accepted"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_a_clock_may_be_one_step_off(skew: int, accepted: bool) -> None:
    assert (step_of(SECRET, code_at(NOW + skew), NOW) is not None) == accepted


@pytest.mark.parametrize("code", ["", "00000", "0000000", "abcdef", "١٢٣٤٥٦", "-00001", "000000"])
def test_what_is_no_code_is_none(code: str) -> None:
    assert step_of(SECRET, code, NOW) is None


def test_secrets_have_160_bits_and_differ() -> None:
    secrets = {new_secret() for _ in range(20)}
    assert len(secrets) == 20
    assert {len(secret) for secret in secrets} == {32}


def test_the_uri_is_what_telephones_read() -> None:
    uri = provisioning_uri("anna b", SECRET, "Our School")
    assert uri.startswith("otpauth://totp/Our%20School:anna%20b?")
    assert f"secret={SECRET}" in uri
    assert str(TOTP.from_uri(uri).generate(59).token) == "287082"


@pytest.mark.parametrize(("user", "issuer"), [("a:b", "X"), ("anna", "X:Y"), ("", "X"), ("anna", ""), ("a\nb", "X")])
def test_names_that_a_uri_cannot_hold_are_refused(user: str, issuer: str) -> None:
    with pytest.raises(ValueError, match="cannot be used"):
        provisioning_uri(user, SECRET, issuer)


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        ("secret123456", ("secret", "123456")),
        ("123456", ("", "123456")),
        ("99123456", ("99", "123456")),
        ("two\nlines123456", ("two\nlines", "123456")),
        ("secret12345", ("secret12345", "")),
        ("secret123456 ", ("secret123456 ", "")),
        ("secret123456\n", ("secret123456\n", "")),
        ("secret١٢٣٤٥٦", ("secret١٢٣٤٥٦", "")),
        ("", ("", "")),
    ],
)
def test_the_last_six_digits_are_the_code(typed: str, parts: tuple[str, str]) -> None:
    assert split_code(typed) == parts


def test_password_and_code_let_in_and_the_mechanism_sees_the_password_only(world: World) -> None:
    assert world.login(RIGHT + code_at(NOW)) == granted("anna", "right password and code")
    assert world.asked == [RIGHT]


def test_a_code_is_used_once(world: World, clock: Clock) -> None:
    assert world.login(RIGHT + code_at(NOW)).granted
    assert world.login(RIGHT + code_at(NOW)).reason == USED
    assert world.login(RIGHT + code_at(NOW - 30)).reason == USED
    clock.now += 30
    assert world.login(RIGHT + code_at(NOW)).reason == USED
    assert world.login(RIGHT + code_at(NOW + 30)).granted


def test_of_eight_who_come_at_once_with_one_code_one_gets_in(world: World) -> None:
    gate, got = threading.Barrier(8), []

    def come() -> None:
        gate.wait(JOIN_DEADLINE)
        got.append(world.login(RIGHT + code_at(NOW)))

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_DEADLINE)
    assert len(got) == 8
    assert sorted(verdict.granted for verdict in got) == [False] * 7 + [True]
    assert {verdict.reason for verdict in got if not verdict.granted} == {USED}


def test_a_wrong_password_uses_up_no_code(world: World) -> None:
    assert world.login("wrong" + code_at(NOW)).reason == "wrong password"
    assert world.login(RIGHT + code_at(NOW)).granted


def test_a_wrong_code_does_not_let_in(world: World) -> None:
    assert world.login(RIGHT + "000000") == Verdict(Outcome.REFUSED, "anna", WRONG, guessed_code=True)


def test_without_a_code_the_password_is_not_even_looked_at(world: World) -> None:
    assert world.login(RIGHT).reason == MISSING
    assert world.login("wrong").reason == MISSING
    assert world.asked == []


def test_another_spelling_of_the_name_is_no_way_around(world: World) -> None:
    assert world.login(RIGHT, user="ANNA").reason == MISSING
    assert world.login(RIGHT + code_at(NOW), user="ANNA").granted


@pytest.mark.parametrize("name", ["EXAMPLE\\anna", "anna@example.org"])
def test_another_name_of_the_account_is_no_way_around(world: World, name: str) -> None:
    """Directories know an account by several names; the name service says which of them the system itself uses."""
    world.own_names[name] = "anna"
    assert world.login(RIGHT, user=name).reason == MISSING
    assert world.login(RIGHT + code_at(NOW), user=name).granted
    assert world.login(RIGHT + code_at(NOW), user="anna").reason == USED


@pytest.mark.parametrize("password", ["secret123456", RIGHT, "", "1234567"])
def test_a_password_of_somebody_who_needs_no_code_is_passed_on_whole(world: World, password: str) -> None:
    world.login(password, user="bert")
    assert world.asked == [password]


@pytest.mark.parametrize(
    ("mode", "user", "reason"),
    [
        ("off", "anna", "right password"),
        ("off", "bert", "right password"),
        ("enrolled", "anna", MISSING),
        ("enrolled", "bert", "right password"),
        ("required", "anna", MISSING),
        ("required", "bert", NOT_ENROLLED),
    ],
)
@pytest.mark.parametrize("place", ["global", "backend"])
def test_who_needs_a_code(world: World, mode: str, user: str, reason: str, place: str) -> None:
    if place == "global":
        world.configure(f"default-second-factor = {mode}")
    else:
        world.configure("default-second-factor = off", f"second-factor = {mode}")
    assert world.login(RIGHT, user=user).reason == reason


@pytest.mark.parametrize(
    "text", ["[global]\ndefault-second-factor = requird\n", "[broker_inifile]\nsecond-factor = requird\n"]
)
def test_a_slip_at_start_demands_the_code(files: Files, text: str) -> None:
    assert Rules.of(files.write(text), "inifile").mode == "required"


def test_who_is_not_enrolled_cannot_get_in_with_any_digits(world: World) -> None:
    world.configure("default-second-factor = required")
    for digits in ("", "000000", code_at(NOW)):
        assert world.login(RIGHT + digits, user="bert").reason == NOT_ENROLLED
    assert world.asked == []


@pytest.mark.parametrize(
    ("in_backend", "groups", "needed"),
    [
        ("", {"staff"}, True),
        ("", {"Staff"}, True),
        ("", {"other"}, False),
        ("", set(), False),
        ("", None, True),
        ("second-factor-groups = other", {"staff"}, False),
        ("second-factor-groups = other, staff", {"staff"}, True),
        ("second-factor-groups = ALL", set(), True),
    ],
)
@pytest.mark.parametrize("mode", ["enrolled", "required"])
def test_members_of_the_groups_need_a_code(
    world: World, mode: str, in_backend: str, groups: set[str] | None, needed: bool
) -> None:
    world.configure(f"default-second-factor = {mode}\ndefault-second-factor-groups = staff", in_backend)
    world.groups["anna"] = None if groups is None else frozenset(groups)
    assert world.login(RIGHT).reason == (MISSING if needed else "right password")


@pytest.mark.parametrize(
    ("in_backend", "address", "needed"),
    [
        ("", "192.0.2.7", False),
        ("", "::ffff:192.0.2.7", False),
        ("", "192.0.3.7", True),
        ("", "2001:db8::1", False),
        ("", "2001:db9::1", True),
        ("", "", True),
        ("", "nonsense", True),
        ("second-factor-exempt-networks = NONE", "192.0.2.7", True),
        ("second-factor-exempt-networks = 198.51.100.1", "192.0.2.7", True),
        ("second-factor-exempt-networks = 198.51.100.1", "198.51.100.1", False),
    ],
)
@pytest.mark.parametrize("mode", ["enrolled", "required"])
def test_from_exempt_networks_no_code_is_needed(
    world: World, mode: str, in_backend: str, address: str, needed: bool
) -> None:
    networks = "default-second-factor-exempt-networks = 192.0.2.0/24, 2001:db8::/32"
    world.configure(f"default-second-factor = {mode}\n{networks}", in_backend)
    assert world.login(RIGHT, address=address).reason == (MISSING if needed else "right password")


@pytest.mark.parametrize("entries", ["admins; staff", "admins # not yet", "'admins", "All", "@admins", "admins\n  x"])
def test_a_slip_in_the_list_of_groups_demands_the_code_of_everybody_and_is_told(
    world: World, entries: str, said: pytest.LogCaptureFixture
) -> None:
    world.groups["anna"] = frozenset({"admins"})
    world.configure(f"default-second-factor = enrolled\ndefault-second-factor-groups = {entries}")
    assert world.login(RIGHT).reason == MISSING
    assert [message for message in said.messages if message.endswith("is no group")]
    (problem,) = second_factor_problems(world.settings, "inifile")
    assert problem.error


def test_groups_without_commas_between_them_all_need_the_code(world: World) -> None:
    world.groups["anna"] = frozenset({"admins"})
    world.configure("default-second-factor = enrolled\ndefault-second-factor-groups = staff admins")
    assert world.login(RIGHT).reason == MISSING


def test_an_entry_that_is_no_network_exempts_nobody_and_is_told(world: World, said: pytest.LogCaptureFixture) -> None:
    world.configure("default-second-factor = enrolled\ndefault-second-factor-exempt-networks = 192.0.2, 10.0.0.0/8")
    assert world.login(RIGHT).reason == MISSING
    assert said.messages == ["second factor of backend inifile: 192.0.2 is no network"]
    (problem,) = second_factor_problems(world.settings, "inifile")
    assert problem.error
    assert "'192.0.2' is no network" in problem.message


def test_a_second_factor_where_no_password_is_asked_for_is_told(world: World) -> None:
    world.configure("default-second-factor = required\nrequire-password = false")
    (problem,) = second_factor_problems(world.settings, "inifile")
    assert not problem.error
    assert "require-password" in problem.message
    world.configure("require-password = false")
    assert second_factor_problems(world.settings, "inifile") == []


def test_behind_a_web_server_the_code_stands_alone(world: World) -> None:
    world.mechanism = WebServer("web")
    assert world.login("", user="").reason == MISSING
    assert world.login("000000", user="").reason == WRONG
    assert world.login(code_at(NOW), user="") == granted("anna", "authenticated by the web server and code")
    assert world.login(code_at(NOW), user="anna").reason == USED


def test_the_name_that_the_mechanism_gives_counts(world: World) -> None:
    world.mechanism = Mechanism(calls="anna")
    assert world.login(RIGHT, user="anna@example.org").reason == MISSING
    world.mechanism = Mechanism(calls="anna@example.org")
    assert world.login(RIGHT, user="anna").reason == MISSING
    assert world.login(RIGHT + "000000", user="anna").reason == WRONG
    assert world.login(RIGHT + code_at(NOW), user="anna").granted


def test_no_user_name_is_refused_as_without_a_second_factor(world: World) -> None:
    world.configure("default-second-factor = required")
    assert world.login(RIGHT + code_at(NOW), user="").reason == "no user name"


@pytest.mark.parametrize(("typed", "passed"), [("old123456", "old"), ("old", "old"), ("123456", "")])
def test_for_a_change_of_password_the_code_is_cut_off(world: World, typed: str, passed: str) -> None:
    anna, bert = (Credentials(user, typed, ADDRESS) for user in ("anna", "bert"))
    assert world.factor.without_code(world.settings, anna).password == passed
    assert world.factor.without_code(world.settings, bert).password == typed


def test_authids_are_bound_to_what_was_asked_for(world: World) -> None:
    def realm(address: str, *configuration: str) -> str:
        world.configure(*configuration)
        return Rules.of(world.settings, "inifile").realm(address)

    exempt = "default-second-factor = enrolled\ndefault-second-factor-exempt-networks = 10.0.0.0/8"
    realms = [
        realm(ADDRESS, ""),
        realm(ADDRESS, "default-second-factor = enrolled"),
        realm(ADDRESS, "default-second-factor = required"),
        realm(ADDRESS, "default-second-factor = enrolled\ndefault-second-factor-groups = staff"),
        realm(ADDRESS, exempt),
        realm("10.0.0.1", exempt),
    ]
    assert len(set(realms)) == len(realms)
    assert realms[0] == ""
    assert realm("10.0.0.2", exempt) == realms[-1]


class Spending(Mechanism):
    """Notes when it takes its time without a check."""

    def __init__(self) -> None:
        super().__init__()
        self.spent = 0

    def _spend(self, settings: Settings, credentials: Credentials) -> None:
        self.spent += 1


@pytest.mark.parametrize(("mode", "user"), [("enrolled", "anna"), ("required", "anna"), ("required", "bert")])
def test_who_has_a_second_factor_cannot_be_told_by_the_time_of_a_refusal(world: World, mode: str, user: str) -> None:
    """Each refusal costs one check, or the time of one; and none of them tells whether the password is right."""
    world.mechanism = mechanism = Spending()
    world.configure(f"default-second-factor = {mode}")
    for number, password in enumerate((RIGHT, "wrong", ""), 1):
        assert not world.login(password, user=user).granted
        assert (mechanism.asked, mechanism.spent) == ([], number)


@pytest.mark.parametrize("name", ["htpasswd", "test"])
def test_while_passwords_cannot_be_checked_everybody_is_told_the_same(world: World, name: str, tmp_path: Path) -> None:
    """With a second factor or without, with a code or without; and nobody collects failures meanwhile."""
    missing = tmp_path / "missing"
    world.configure(f"default-second-factor = enrolled\n[authmech_htpasswd]\nfile = {missing}")
    world.mechanism = HtpasswdMechanism("htpasswd") if name == "htpasswd" else Broken("test")
    told = [world.login(RIGHT, user=user) for user in ("bert", "anna", "nobody", "anna")]
    told.append(world.login(RIGHT + code_at(NOW)))
    assert {(verdict.outcome, verdict.reason, verdict.looked) for verdict in told} == {
        (Outcome.UNAVAILABLE, NOT_AVAILABLE, False)
    }
    assert [verdict.user for verdict in told] == ["bert", "anna", "nobody", "anna", "anna"]


def test_a_password_too_long_is_refused_alike_with_a_second_factor_and_without(world: World) -> None:
    for user in ("anna", "bert", "nobody"):
        for password in ("x" * (LONGEST_TYPED + 1), "x" * LONGEST_TYPED + "123456", "a\0b123456"):
            verdict = world.login(password, user=user)
            assert (verdict.outcome, verdict.reason, verdict.looked) == (Outcome.REFUSED, BAD_PASSWORD, False)
    assert world.asked == []


def test_a_pause_is_as_long_as_one_of_the_last_refusals_took(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    paces = pace.Pace()
    for number in range(pace.KEPT):
        paces.took(2 + number / 100)
    for _ in range(200):
        paces.wait()
    assert len(set(slept)) > 10
    assert min(slept) >= 2
    assert max(slept) <= 2.5
