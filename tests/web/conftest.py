"""A broker in process: real files, real store, the WSGI application under webtest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from passlib.hash import sha512_crypt
from webtest import TestApp, TestResponse

from x2gobroker.app import create_app
from x2gobroker.auth.htpasswd import write_user
from x2gobroker.auth.passwords import CONTEXT

ADDRESS = "192.0.2.7"
PASSWORD = "p@ss w&rd+é"
# the cheapest hashes there are: these tests are not about how long a guess takes
CONTEXT.update(argon2__memory_cost=8, argon2__time_cost=1)
HASHED = sha512_crypt.using(rounds=1000).hash(PASSWORD)
CONFIG = """
[global]
cookie-directory = {folder}/state
my-cookie-file = {folder}/authid
default-auth-mech = htpasswd
{more}

[broker_zeroconf]
enable = true
auth-mech = none

[broker_inifile]
enable = true
session-profiles = {folder}/profiles.conf

[authmech_htpasswd]
file = {folder}/users
"""
PROFILES = """
[DEFAULT]
user = BROKER_USER
sshport = 2222

[desk]
name = A desk
host = desk.example (192.0.2.10)
command = xfce

[staff]
name = Staff only
host = staff.example
acl-users-allow = bert
usebrokerpass = true
"""


@dataclass
class Bench:
    """One application with its folder, and short ways to speak to it."""

    __test__ = False
    folder: Path
    debug: bool = False
    app: TestApp = field(init=False)

    def __post_init__(self) -> None:
        self.configure()
        self.write("profiles.conf", PROFILES)
        for user in ("anna", "bert"):
            write_user(self.folder / "users", user, HASHED)
        self.start()

    def start(self) -> None:
        """Make the application anew, as a restart would."""
        variables = {
            "X2GOBROKER_CONFIG": str(self.folder / "x2gobroker.conf"),
            "X2GOBROKER_DEFAULTS": str(self.folder / "defaults.conf"),
            "X2GOBROKER_DEBUG": "1" if self.debug else "0",
        }
        self.app = TestApp(create_app(variables), extra_environ={"REMOTE_ADDR": ADDRESS})

    def write(self, name: str, text: str) -> None:
        """Replace a file of the configuration."""
        target = self.folder / name
        fresh = target.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(target)

    def configure(self, more: str = "") -> None:
        """Write the main configuration, with more lines in [global]."""
        self.write("x2gobroker.conf", CONFIG.format(folder=self.folder, more=more))

    def post(self, path: str = "/plain/inifile/", address: str = ADDRESS, **fields: str) -> TestResponse:
        """POST a form."""
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        return self.app.post(path, named, expect_errors=True, extra_environ={"REMOTE_ADDR": address})

    def login(self, user: str = "anna", path: str = "/plain/inifile/", address: str = ADDRESS) -> str:
        """Log in with the password; the authid for the next request."""
        response = self.post(path, address, user=user, password=PASSWORD)
        if path.startswith("/json"):
            return str(response.json["next-authid"])
        return authid_of(response)


def authid_of(response: TestResponse) -> str:
    """The authid of a plain answer."""
    found = re.search(r"^AUTHID:(\S+)$", response.text, re.MULTILINE)
    assert found, response.text
    return found[1]


def profile_ids(response: TestResponse) -> list[str]:
    """The session profiles of a plain or JSON answer."""
    if response.content_type == "text/json":
        payload: dict[str, Any] = json.loads(response.text)
        return sorted(payload["profiles"])
    return re.findall(r"^\[(.+)\]$", response.text, re.MULTILINE)


@pytest.fixture
def broker(tmp_path: Path) -> Bench:
    """A broker with a few users and profiles, as shipped otherwise."""
    return Bench(tmp_path)


@pytest.fixture
def broker_with(tmp_path: Path) -> Callable[..., Bench]:
    """Make a broker with more lines in [global]."""

    def make(more: str = "", debug: bool = False) -> Bench:
        bench = Bench(tmp_path, debug)
        bench.configure(more)
        return bench

    return make
