"""That PAM cannot check a password is not that it is wrong: what each code means, and what the broker makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.accounts import Account, account, change_accounts, pam_service
from tests.support.authservice import AuthService, UnprivilegedBroker
from tests.support.kerberos import kdc
from tests.support.nss_module import compile_nss_module, source_of_users
from tests.support.pam_modules import PamModule, compile_module
from x2gobroker.authservice.pamcodes import OUTCOMES
from x2gobroker.authservice.pamstack import outage_is_refused
from x2gobroker.authservice.protocol import OK, REFUSED, UNAVAILABLE
from x2gobroker.errors import AuthMechanismError

RIGHT = "Right & proper 1"
WRONG = "Wrong & improper 2"
# libpam makes others of these before a program sees them
MADE_OTHERS = {0, 12, 25, 30, 31}
PERMITTED = "account required pam_permit.so\n"
UNIX = "auth required pam_unix.so nodelay nullok\naccount required pam_unix.so\n"
# how Debian's common-auth is built: whatever the modules say, the end of it is "wrong"
COMMON = (
    "auth [success=1 default=ignore] pam_unix.so nodelay\nauth requisite pam_deny.so\nauth required pam_permit.so\n"
    "account required pam_unix.so\n"
)
# Kerberos as pam-auth-update puts it there, and as the how-to on authentication writes it out
KERBEROS_COMMON = """\
auth [success=3 default=ignore] pam_krb5.so minimum_uid=1000
auth [success=2 default=ignore] pam_unix.so nodelay try_first_pass
auth requisite pam_deny.so
auth required pam_deny.so
auth required pam_permit.so
account required pam_unix.so
"""
KERBEROS_APART = """\
auth [success=done default=ignore] pam_unix.so nodelay
auth [success=done authinfo_unavail=die cred_unavail=die system_err=die default=ignore] pam_krb5.so use_first_pass
auth requisite pam_deny.so
account required pam_unix.so
"""
OF_KERBEROS = "Known to the KDC 3"
CONFIG = """\
[global]
default-auth-mech = pam
cookie-directory = {{state}}
enable-plain-output = true
enable-json-output = true
enable-uccs-output = true

[authmech_pam]
service = {service}
"""
PROFILES = "[desk]\nname = Desk\nhost = desk.example\n"


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> PamModule:
    """A PAM module that says what it is told to."""
    return compile_module(tmp_path_factory.mktemp("codes"))


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    """Somebody with a password."""
    with account(RIGHT) as made:
        yield made


def outcome(service: AuthService, pam: str, user: str, password: str) -> str:
    """What comes of a login: a result of the protocol."""
    service.keep_secret(password)
    try:
        return OK if service.client().authenticate(pam, user, password).granted else REFUSED
    except AuthMechanismError as error:
        assert "unavailable: " in str(error)
        assert error.looked
        return UNAVAILABLE


@pytest.mark.parametrize("phase", ["auth", "account"])
def test_each_code_of_pam_is_a_refusal_or_that_pam_cannot_tell(module: PamModule, phase: str) -> None:
    codes = sorted(OUTCOMES.keys() - MADE_OTHERS)
    other = PERMITTED if phase == "auth" else "auth required pam_permit.so\n"
    with pam_service("code", "") as pam, AuthService(pam) as service:
        found = {}
        for code in codes:
            Path("/etc/pam.d", pam).write_text(module.gives(code, phase) + other, encoding="utf-8")
            found[code] = outcome(service, pam, "nobody", WRONG)
    assert found == {code: OUTCOMES[code] for code in codes}


def test_a_module_that_is_not_there_is_no_wrong_password() -> None:
    with pam_service("gone", f"auth required pam_x2gt_gone.so\n{PERMITTED}") as pam, AuthService(pam) as service:
        assert outcome(service, pam, "nobody", WRONG) == UNAVAILABLE


def test_a_program_of_pam_exec_that_says_no_is_a_refusal(tmp_path: Path) -> None:
    """pam_exec says the same when it cannot run its program; what is guessed must be counted."""
    lines = f"auth required pam_exec.so quiet expose_authtok /bin/false\n{PERMITTED}"
    with (
        pam_service("inner", lines) as inner,
        pam_service("exec", f"@include {inner}\n") as pam,
        AuthService(pam) as service,
    ):
        assert outcome(service, pam, "nobody", WRONG) == REFUSED


def test_an_account_with_an_empty_password_field_does_not_get_in() -> None:
    with account(RIGHT) as user, pam_service("null", UNIX) as pam, AuthService(pam) as service:
        assert outcome(service, pam, user.name, RIGHT) == OK
        change_accounts("passwd", "--delete", user.name)
        assert user.shadow() == ""
        for password in ("", WRONG, RIGHT):
            assert outcome(service, pam, user.name, password) == REFUSED


def test_a_directory_that_is_down_is_no_wrong_password_where_the_stack_says_it_is(
    user: Account, tmp_path: Path
) -> None:
    """Debian's common-auth says "wrong" for whatever it could not find out; the name service knows better."""
    env = {"LD_LIBRARY_PATH": str(compile_nss_module(tmp_path))}
    with pam_service("common", COMMON) as pam, AuthService(pam, env=env) as service:
        assert outcome(service, pam, "x2gt-of-the-directory", RIGHT) == REFUSED
        with source_of_users("x2gt"):
            assert outcome(service, pam, "x2gt-of-the-directory", RIGHT) == UNAVAILABLE
            assert outcome(service, pam, user.name, RIGHT) == OK
            assert outcome(service, pam, user.name, WRONG) == REFUSED


def test_a_kdc_that_is_down_is_no_wrong_password_where_the_stack_is_written_out(user: Account) -> None:
    with (
        kdc() as realm,
        pam_service("krb-common", KERBEROS_COMMON) as common,
        pam_service("krb-apart", KERBEROS_APART) as apart,
        AuthService(common, apart) as service,
    ):
        realm.add(user.name, OF_KERBEROS)
        for pam in (common, apart):
            found = [outcome(service, pam, user.name, password) for password in (RIGHT, OF_KERBEROS, WRONG)]
            assert found == [OK, OK, REFUSED]
        realm.stop()
        try:
            assert outcome(service, common, user.name, OF_KERBEROS) == REFUSED
            assert outcome(service, apart, user.name, OF_KERBEROS) == UNAVAILABLE
            assert outcome(service, apart, user.name, RIGHT) == OK, "an account of the host itself"
        finally:
            realm.start()
        assert [outage_is_refused(pam, "pam_krb5.so") for pam in (common, apart)] == [True, False]
        assert outcome(service, apart, user.name, OF_KERBEROS) == OK


def statuses(broker: UnprivilegedBroker, user: str, password: str) -> tuple[int, int, int]:
    """What /plain/, /json/ and /uccs/ answer to a login."""
    fields = {"user": user, "password": password, "task": "listsessions"}
    plain = requests.post(f"{broker.url}/plain/inifile/", data=fields, timeout=40)
    json = requests.post(f"{broker.url}/json/inifile/", data=fields, timeout=40)
    uccs = requests.get(f"{broker.url}/uccs/inifile/api/5", auth=(user, password), timeout=40)
    for response in (plain, json, uccs):
        if response.status_code == 503:
            assert "cannot be checked" in response.reason
            assert "cannot be checked" in response.text
    return plain.status_code, json.status_code, uccs.status_code


def test_while_the_service_is_down_nobody_is_refused_and_nothing_is_counted(user: Account) -> None:
    """The broker, which is not root, does not ask PAM by itself either: it would take right ones for wrong ones."""
    with (
        pam_service("down", UNIX) as pam,
        AuthService(pam) as service,
        UnprivilegedBroker(CONFIG.format(service=pam), PROFILES, service.socket) as broker,
    ):
        broker.secrets |= {RIGHT, WRONG}
        assert statuses(broker, user.name, RIGHT) == (200, 200, 200)
        assert service.program is not None
        assert service.program.stop() == 0
        for number in range(12):
            assert statuses(broker, user.name, f"{RIGHT}{number}") == (503, 503, 503)
        assert statuses(broker, user.name, RIGHT) == (503, 503, 503)
        assert "outcome=unavailable" in broker.log()
        service.start()
        assert statuses(broker, user.name, RIGHT) == (200, 200, 200)
        assert 503 not in statuses(broker, user.name, WRONG)
        assert "outcome=refused reason=PAM:-Authentication-failure" in broker.log()


def test_what_pam_looks_at_and_cannot_tell_gives_nobody_more_guesses(user: Account, module: PamModule) -> None:
    """The same password may be sent as often as one likes; other ones only as many as before a ban."""
    with (
        pam_service("undecided", module.gives(9) + PERMITTED) as pam,
        AuthService(pam) as service,
        UnprivilegedBroker(CONFIG.format(service=pam), PROFILES, service.socket) as broker,
    ):

        def status(password: str) -> int:
            fields = {"user": user.name, "password": password}
            return requests.post(f"{broker.url}/json/inifile/", data=fields, timeout=40).status_code

        assert [status("always the same") for _ in range(12)] == [503] * 12
        answers = [status(f"guess {number}") for number in range(20)]
        assert answers == [503] * 9 + [429] * 11
        assert status("always the same") == 503
