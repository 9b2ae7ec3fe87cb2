"""Real accounts log in through brokers: ours under gunicorn and Apache, Debian's, and the real X2Go Client."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from passlib.totp import TOTP

from tests.integration.test_apache_serving import vhost_defines
from tests.support.accounts import Account, account, pam_service
from tests.support.apache import Apache, ApacheFolder, apache, apache_folder
from tests.support.authservice import AuthService, DebianBrokerWithPam, UnprivilegedBroker, assert_no_secret
from tests.support.client_home import ClientHome
from tests.support.client_scenario import PROFILES
from tests.support.debian_broker import ACCOUNT as DEBIAN_ACCOUNT
from tests.support.desktop import Desktop
from tests.support.installation import installation
from tests.support.processes import free_port
from tests.support.ssh_port import SshPort
from tests.support.tls import Certificates, Https
from tests.support.x2goclient import x2goclient
from x2gobroker.errors import AuthMechanismError

RIGHT, WRONG, NEW = "Right & proper 1", "Wrong & improper 2", "New & shiny 3"
UNIX = "auth required pam_unix.so nodelay\naccount required pam_unix.so\npassword required pam_unix.so sha512\n"
CONFIG = """\
[global]
default-auth-mech = pam
penalties = false
require-password = true
require-cookie = false
use-static-cookie = false
auth-timeout = 36000
cookie-directory = {{state}}
enable-plain-output = true
enable-json-output = true

[broker_inifile]
enable = true

[authmech_pam]
service = {service}
"""
PLAIN, JSON = "/plain/inifile/", "/json/inifile/"


@pytest.fixture(scope="module")
def pam() -> Iterator[str]:
    """A PAM service that asks /etc/shadow."""
    with pam_service("brokers", UNIX) as name:
        yield name


@pytest.fixture(scope="module")
def service(pam: str) -> Iterator[AuthService]:
    """Our authentication service, for every broker here."""
    with AuthService(pam) as running:
        running.keep_secret(RIGHT, WRONG, NEW)
        yield running


@pytest.fixture(scope="module")
def debian_service() -> Iterator[AuthService]:
    """Debian's authentication service."""
    with AuthService(debian=True) as running:
        running.keep_secret(RIGHT, WRONG, NEW)
        yield running


@pytest.fixture
def user() -> Iterator[Account]:
    """A real account."""
    with account(RIGHT) as made:
        yield made


def under_gunicorn(service: AuthService, pam: str, ssh: int = 2222) -> UnprivilegedBroker:
    """Our broker as an account without rights, asking this service."""
    broker = UnprivilegedBroker(CONFIG.format(service=pam), PROFILES.format(port=ssh), service.socket)
    broker.secrets.update((RIGHT, WRONG, NEW))
    return broker


class Under:
    """A broker behind one of the web servers."""

    def post(self, path: str, **fields: str) -> tuple[int, str]:
        """Send a form; status and body."""
        raise NotImplementedError


class UnderGunicorn(Under):
    """A daemon with an address of its own."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, path: str, **fields: str) -> tuple[int, str]:
        response = requests.post(self.url + path, data=fields, timeout=20)
        return response.status_code, response.text


class UnderApache(Under):
    """Apache with mod_wsgi."""

    def __init__(self, site: Https) -> None:
        self.site = site

    def post(self, path: str, **fields: str) -> tuple[int, str]:
        answer = self.site.post(path, fields)
        return answer.status, answer.body


def apache_with_pam(
    folder: ApacheFolder, port: int, certificates: Certificates, service: AuthService, pam: str
) -> dict[str, str]:
    """The Defines of the shipped VirtualHost, with a broker that asks PAM."""
    defines = vhost_defines(folder, port, certificates, "pam")
    config = Path(defines["X2GOBROKER_CONFIG"])
    text = re.sub(r"(?m)^(default-auth-mech = pam)$", r"\1\npenalties = false", config.read_text())
    config.write_text(f"{text}\n[authmech_pam]\nservice = {pam}\n")
    return defines


@pytest.fixture(scope="module")
def apache_broker(service: AuthService, pam: str, certificates: Certificates) -> Iterator[tuple[Apache, Https]]:
    """Our broker under Apache, as www-data."""
    port = free_port()
    with apache_folder() as folder:
        defines = apache_with_pam(folder, port, certificates, service, pam)
        extra = f'SetEnv X2GOBROKER_AUTHSERVICE_SOCKET "{service.socket}"\n'
        with apache(folder, "x2gobroker-vhost.conf", [port], defines, extra) as server:
            yield server, Https(port, certificates.authority)
            assert_no_secret(server.log(), {RIGHT, WRONG, NEW})


@pytest.fixture(scope="module")
def gunicorn_broker(service: AuthService, pam: str) -> Iterator[UnprivilegedBroker]:
    """Our broker under gunicorn, as www-data."""
    with under_gunicorn(service, pam) as broker:
        yield broker


@pytest.fixture(params=["gunicorn", "apache"])
def broker(request: pytest.FixtureRequest) -> Under:
    """Our broker under each of its web servers."""
    if request.param == "gunicorn":
        return UnderGunicorn(request.getfixturevalue("gunicorn_broker").url)
    return UnderApache(request.getfixturevalue("apache_broker")[1])


def test_real_accounts_log_in_over_plain(broker: Under, user: Account) -> None:
    status, text = broker.post(PLAIN, task="listsessions", user=user.name, password=RIGHT)
    assert (status, "Access granted" in text, "name=Alpha desktop\n" in text) == (200, True, True)
    status, text = broker.post(PLAIN, task="listsessions", user=user.name, password=WRONG)
    assert (status, "Access granted" in text) == (200, False)


def test_real_accounts_log_in_over_json(broker: Under, user: Account) -> None:
    status, text = broker.post(JSON, task="listprofiles", user=user.name, password=RIGHT)
    assert status == 200
    assert "alpha" in json.loads(text)["profiles"]
    assert broker.post(JSON, task="listprofiles", user=user.name, password=WRONG)[0] == 401


def test_change_password_changes_the_real_one(broker: Under, user: Account) -> None:
    before = user.shadow()
    fields = {"task": "setpass", "user": user.name, "password": RIGHT, "newpass": NEW}
    status, text = broker.post(PLAIN, **fields)
    assert (status, "PASSWORD CHANGED: OK" in text) == (200, True), text
    assert user.shadow() != before
    assert "Access granted" in broker.post(PLAIN, task="listsessions", user=user.name, password=NEW)[1]
    assert "Access granted" not in broker.post(PLAIN, task="listsessions", user=user.name, password=RIGHT)[1]


def test_change_password_wants_the_right_one_first(broker: Under, user: Account) -> None:
    before = user.shadow()
    text = broker.post(PLAIN, task="setpass", user=user.name, password=WRONG, newpass=NEW)[1]
    assert "PASSWORD CHANGED: OK" not in text
    assert user.shadow() == before


def test_an_expired_account_is_kept_out(broker: Under, user: Account) -> None:
    user.expire()
    assert "Access granted" not in broker.post(PLAIN, task="listsessions", user=user.name, password=RIGHT)[1]


# -- the other side is Debian's ----------------------------------------------------------------------------------------


@pytest.mark.reference
def test_debians_broker_asks_our_service(user: Account) -> None:
    """It knows one PAM service only, that of its own package."""
    with AuthService("x2gobroker", group=DEBIAN_ACCOUNT) as service, DebianBrokerWithPam(service.socket) as broker:
        service.keep_secret(RIGHT, WRONG)
        broker.write_config(CONFIG.format(service="x2gobroker"))
        broker.write_profiles(PROFILES.format(port=2222))
        side = UnderGunicorn(broker.url)
        status, text = side.post(PLAIN, task="listsessions", user=user.name, password=RIGHT)
        assert "Access granted" in text, (status, text)
        assert "Access granted" not in side.post(PLAIN, task="listsessions", user=user.name, password=WRONG)[1]
        assert f"login user={user.name}" in service.log()
        assert "outcome=ok" in service.log()


@pytest.mark.reference
def test_our_broker_asks_debians_service(debian_service: AuthService, pam: str, user: Account) -> None:
    with under_gunicorn(debian_service, pam) as broker:
        side = UnderGunicorn(broker.url)
        for password, granted in ((RIGHT, True), (WRONG, False), (RIGHT, True)):
            text = side.post(PLAIN, task="listsessions", user=user.name, password=password)[1]
            assert ("Access granted" in text) == granted


@pytest.mark.reference
def test_with_debians_service_the_old_form_is_used_and_remembered(
    debian_service: AuthService, pam: str, user: Account
) -> None:
    client = debian_service.client()
    before = debian_service.log().count("handle_error") + debian_service.log().count("bad authentication data")
    for password, granted in ((RIGHT, True), (RIGHT, True), (WRONG, False)):
        assert client.authenticate(pam, user.name, password).granted is granted
    after = debian_service.log().count("handle_error") + debian_service.log().count("bad authentication data")
    assert after - before <= 2, "greeted again and again"


@pytest.mark.reference
@pytest.mark.parametrize("password", ["carriage\rreturn", "line\nfeed", f"x\rx2gobroker\nroot\r{WRONG}"])
def test_line_ends_are_never_sent_to_debians_service(
    debian_service: AuthService, pam: str, user: Account, password: str
) -> None:
    with pytest.raises(AuthMechanismError, match="takes no line ends in passwords"):
        debian_service.client().authenticate(pam, user.name, password)


@pytest.mark.reference
def test_debians_service_cannot_change_passwords(debian_service: AuthService, pam: str, user: Account) -> None:
    before = user.shadow()
    with pytest.raises(AuthMechanismError, match="only checks passwords"):
        debian_service.client().change_password(pam, user.name, RIGHT, NEW)
    assert user.shadow() == before


# -- the real client ---------------------------------------------------------------------------------------------------


def test_x2goclient_logs_in_with_a_real_accounts_password(
    service: AuthService,
    pam: str,
    user: Account,
    screen: Desktop,
    home: ClientHome,
    x2go_server: SshPort,
    pictures: Path,
) -> None:
    """A wrong password is told in a dialog, the right one shows the profiles."""
    with (
        under_gunicorn(service, pam, x2go_server.port) as broker,
        x2goclient(screen, home, f"{broker.url}{PLAIN}", pictures) as client,
    ):
        client.log_in(user.name, WRONG)
        client.wait_for_dialog("Error")
        client.confirm_dialog()
        client.log_in_again(RIGHT)
        client.wait_for_profiles(2)
        client.picture("profiles")
        assert "Access granted" in client.answers[-1]


def enrol(broker: UnprivilegedBroker, user: Account) -> TOTP:
    """Enrol a user for the second factor, as an administrator does."""
    program = installation(broker.account).venv / "bin/x2gobroker"
    done = subprocess.run(
        [str(program), "totp", "enroll", "--no-qr", "-C", str(broker.config), user.name],
        env=broker.env,
        cwd=broker.folder,
        user=broker.account,
        group=broker.account,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    found = re.search(r"otpauth://\S+", done.stdout)
    assert found, done.stdout + done.stderr
    return TOTP.from_uri(found[0])


def test_x2goclient_logs_in_with_password_and_code_as_one_string(
    service: AuthService,
    pam: str,
    user: Account,
    screen: Desktop,
    home: ClientHome,
    x2go_server: SshPort,
    pictures: Path,
) -> None:
    """The password alone is refused; with the code of now behind it, the profiles are shown."""
    with under_gunicorn(service, pam, x2go_server.port) as broker:
        broker.write_config(
            CONFIG.format(service=pam).replace("[global]", "[global]\ndefault-second-factor = enrolled")
        )
        secret = enrol(broker, user)
        with x2goclient(screen, home, f"{broker.url}{PLAIN}", pictures) as client:
            client.log_in(user.name, RIGHT)
            client.wait_for_dialog("Error")
            client.confirm_dialog()
            client.log_in_again(RIGHT + str(secret.generate(time.time()).token))
            client.wait_for_profiles(2)
            client.picture("profiles")
            assert "Access granted" in client.answers[-1]
