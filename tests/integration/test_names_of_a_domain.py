"""An account that the system knows by several names, as with SSSD or winbind: PAM lets all of them in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.accounts import Account, account, pam_service
from tests.support.authservice import AuthService, UnprivilegedBroker
from tests.support.nss_module import compile_nss_module_of_a_domain, source_of_users

RIGHT = "Right & proper 1"
UNIX = "auth required pam_unix.so nodelay\naccount required pam_unix.so\n"
CONFIG = """\
[global]
default-auth-mech = pam
cookie-directory = {{state}}
enable-plain-output = true

[authmech_pam]
service = {service}
"""
PROFILES = """\
[open]
host = ts01.example
[denied]
host = ts01.example
acl-users-allow = ALL
acl-users-deny = {user}
[allowed]
host = ts01.example
acl-users-allow = {user}
"""


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    """Somebody with a password."""
    with account(RIGHT) as made:
        yield made


@pytest.fixture(scope="module")
def broker(user: Account) -> Iterator[UnprivilegedBroker]:
    """A broker on a host that is in a domain, with its authentication service."""
    with tempfile.TemporaryDirectory() as name, pam_service("domain", UNIX) as pam:
        folder = Path(name)
        folder.chmod(0o755)
        env = {"LD_LIBRARY_PATH": str(compile_nss_module_of_a_domain(folder))}
        with AuthService(pam, env=env) as service, source_of_users("x2gu"):
            service.keep_secret(RIGHT)
            made = UnprivilegedBroker(CONFIG.format(service=pam), PROFILES.format(user=user.name), service.socket)
            made.env |= env
            made.secrets.add(RIGHT)
            with made:
                yield made


@pytest.mark.parametrize("form", ["{}", "X2GT\\{}", "{}@x2gt.example"])
def test_rules_for_an_account_count_by_whichever_name_its_user_logs_in(
    broker: UnprivilegedBroker, user: Account, form: str
) -> None:
    fields = {"user": form.format(user.name), "password": RIGHT, "task": "listsessions"}
    answer = requests.post(f"{broker.url}/plain/inifile/", data=fields, timeout=40)
    assert answer.status_code == 200
    assert [line for line in answer.text.splitlines() if line.startswith("[")] == ["[allowed]", "[open]"]
