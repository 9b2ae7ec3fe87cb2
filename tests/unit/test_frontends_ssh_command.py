"""Answers over SSH, in process: what is granted to somebody whom sshd has let in, and what is refused all the same."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.unit.configured import Files, replace
from x2gobroker.broker import Broker, Request
from x2gobroker.errors import StoreError
from x2gobroker.frontends.plain_text import DENIED
from x2gobroker.frontends.ssh_command import Command, Reply, answer_command
from x2gobroker.scripts.base import BrokerScript, ScriptValues
from x2gobroker.services import Services
from x2gobroker.settings import Settings

PROFILES = """\
[one]
name = One
host = one.example
user = BROKER_USER

[second]
name = Second
host = two.example
acl-users-allow = berta
"""
ADDRESS = "192.0.2.7"


class Lab:
    """Files of a broker, and calls of it."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.profiles = files.folder / "profiles.conf"
        replace(self.profiles, PROFILES)
        files.variables = ({"X2GOBROKER_SESSIONPROFILES": str(self.profiles)},)
        self.services = Services()
        self.settings = self.write()

    def write(self, more: str = "", backend: str = "enable = true") -> Settings:
        """The settings with these lines in [global]."""
        where = f"cookie-directory = {self.files.folder / 'state'}\ndefault-portscan-x2goservers = false\n"
        self.settings = self.files.write(f"[global]\n{where}{more}\n[broker_inifile]\n{backend}\n")
        return self.settings

    def reply(self, user: str = "anna", address: str = ADDRESS, backend: str = "", **fields: str) -> Reply:
        """What comes of a call."""
        return answer_command(self.settings, self.services, Command(user, "own account", fields, address, backend))

    def ask(self, task: str = "listsessions", **more: str) -> str:
        """The answer to a call that has one."""
        reply = self.reply(task=task, **more)
        assert (reply.complaint, reply.status) == ("", 0)
        return reply.text


@pytest.fixture
def lab(files: Files) -> Lab:
    """A broker with two profiles; what the mechanism `pam` says does not count here."""
    return Lab(files)


def authid_in(text: str) -> str:
    """The authid of an answer."""
    found = re.match(r"AUTHID:(\w{40})\nAccess granted\n", text)
    assert found, text
    return found[1]


def test_who_is_let_in_by_sshd_is_offered_his_profiles(lab: Lab) -> None:
    text = lab.ask()
    assert authid_in(text)
    assert text.count("\n[") == 1
    assert "\n[one]\nname=One\n" in text
    assert "\nuser=anna\n" in text
    assert text.endswith("\nEND_USER_SESSIONS\n")
    assert "[second]" in lab.ask(user="berta")


def test_a_login_leaves_a_line(lab: Lab, said: pytest.LogCaptureFixture) -> None:
    authid = authid_in(lab.ask())
    line = "login user=anna address=192.0.2.7 backend=inifile mechanism=ssh outcome=granted reason=own-account"
    assert line in said.messages
    assert authid not in said.text


def test_a_session_is_selected(lab: Lab) -> None:
    authid = authid_in(lab.ask())
    chosen = lab.ask("selectsession", sid="one", authid=authid, login="anna")
    assert chosen.partition("Access granted\n")[2] == "SERVER:one.example:22\n"
    assert "SERVER:no-server-available:22\n" in lab.ask("selectsession", sid="second")
    assert "SERVER" not in lab.ask("selectsession")


@pytest.mark.parametrize("task", ["", "nonsense", "../../etc"])
def test_an_unknown_task_is_a_login_and_no_more(lab: Lab, task: str) -> None:
    text = lab.ask(task)
    assert text == f"AUTHID:{authid_in(text)}\nAccess granted\n"


def test_a_connection_test_costs_no_authid(lab: Lab) -> None:
    authid = authid_in(lab.ask())
    assert lab.ask("testcon", authid=authid) == "OK\nAccess granted\n"
    assert authid_in(lab.ask(authid=authid))


def test_whatever_authid_is_shown_it_is_sshd_that_says_who_asks(lab: Lab) -> None:
    """X2Go Client goes on showing an authid that counts no longer; without it, it would be let in."""
    authid = authid_in(lab.ask())
    fresh = authid_in(lab.ask(authid=authid))
    assert fresh != authid
    for dead in (authid, "bogus"):
        again = authid_in(lab.ask(authid=dead))
        assert again not in (authid, fresh)
    assert authid_in(lab.ask(authid=fresh, user="berta"))
    assert authid_in(lab.ask(authid=fresh, address="192.0.2.8"))


def test_over_ssh_the_pre_shared_authid_is_wanted_all_the_same(lab: Lab) -> None:
    lab.write("require-cookie = true\nmy-cookie = 5f0a7c6e-0d2c-4d4e-9d49-0c1f6d1c1a11")
    assert lab.ask(authid="bogus") == DENIED
    assert lab.ask() == DENIED


def test_authids_from_ssh_open_nothing_over_http_nor_the_other_way_round(lab: Lab) -> None:
    lab.write("default-auth-mech = none")
    broker = Broker(lab.services.backend("inifile"), lab.services)
    from_ssh = authid_in(lab.ask())
    over_http = broker.login(lab.settings, Request("anna", "", from_ssh, "anna", ADDRESS))
    assert (over_http.granted, over_http.reason) == (False, "unknown authid")
    granted = broker.login(lab.settings, Request("anna", "x", "", "anna", ADDRESS))
    from_http = broker.next_authid(lab.settings, granted)
    assert from_http
    assert authid_in(lab.ask(authid=from_http)), "a login of its own, which uses nothing up"
    assert broker.login(lab.settings, Request("anna", "", from_http, "anna", ADDRESS)).granted


def test_a_broker_open_to_everybody_gives_no_authid(lab: Lab) -> None:
    lab.write("require-password = false")
    assert lab.ask("").startswith("Access granted\n")


def test_a_preshared_authid_is_wanted_over_ssh_as_well(lab: Lab) -> None:
    lab.write("require-password = false\nrequire-cookie = true\nmy-cookie = shared-by-all")
    assert lab.ask() == DENIED
    assert lab.ask(authid="other") == DENIED
    assert lab.ask("", authid="shared-by-all") == "AUTHID:shared-by-all\nAccess granted\n"


def test_a_required_authid_is_wanted_over_ssh_as_well(lab: Lab) -> None:
    lab.write("require-cookie = true\nmy-cookie = shared-by-all")
    assert lab.ask() == DENIED
    assert authid_in(lab.ask(authid="shared-by-all")) != "shared-by-all"


@pytest.mark.parametrize("user", ["", "an\nna", "x" * 300])
def test_a_user_name_must_be_one(lab: Lab, user: str) -> None:
    assert lab.ask(user=user) == DENIED


def test_a_password_is_not_changed_without_the_present_one(lab: Lab, said: pytest.LogCaptureFixture) -> None:
    text = lab.ask("setpass", newpass="Fresh-Secret-1")
    assert text.endswith("Access granted\nPASSWORD CHANGED: NO: the present password is needed\n")
    assert "Fresh-Secret-1" not in said.text
    with lab.services.store(lab.settings).begin() as connection:
        assert not connection.exec_driver_sql("select * from penalties where failures > 0").all()


def test_an_event_is_kept(lab: Lab) -> None:
    text = lab.ask("clientevent", sid="anna-50-1_stDKDE_dp24", event="CONNECTED", elapsed="3", os="linux")
    assert authid_in(text)
    with lab.services.store(lab.settings).begin() as connection:
        row = connection.exec_driver_sql("select username, event, address, system from client_events").one()
    assert tuple(row) == ("anna", "CONNECTED", ADDRESS, "linux")


def test_control_characters_become_blanks_as_over_http(lab: Lab) -> None:
    assert "SERVER:one.example:22" in lab.ask("selectsession", sid="\x01one ")


def test_a_backend_that_is_not_there(lab: Lab) -> None:
    assert lab.reply(backend="none\nsuch") == Reply(complaint="there is no backend none\\nsuch", status=1)
    assert lab.reply(backend="os.path").status == 1


def test_a_backend_that_is_not_enabled(lab: Lab) -> None:
    """Status 0, as by the reference."""
    assert lab.reply(backend="zeroconf", task="testcon") == Reply(complaint="the backend zeroconf is not enabled")


def test_a_broken_configuration_is_said(lab: Lab, files: Files) -> None:
    replace(files.config, "no INI file")
    fresh = Files(files.folder)
    reply = answer_command(fresh.source.current(), Services(), Command("anna", "own account", {}))
    assert reply == Reply(complaint="the broker's configuration cannot be used; its log says why", status=1)


def test_a_store_that_fails_is_raised(lab: Lab) -> None:
    (lab.files.folder / "state").write_text("no folder")
    with pytest.raises(StoreError):
        lab.reply(task="listsessions")


class Curious(BrokerScript):
    """Remembers what it was told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.told: list[ScriptValues] = []

    def _run(self, values: ScriptValues) -> ScriptValues:
        self.told.append(values)
        return values


def test_scripts_run_with_the_references_password(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Curious("curious")
    monkeypatch.setitem(lab.services.scripts._made, "curious", script)
    stages = ("pre_auth_scripts", "post_auth_scripts", "select_session_scripts")
    lab.write("\n".join(f"{stage} = curious" for stage in stages))
    assert "SERVER:one.example:22" in lab.ask("selectsession", sid="one")
    assert [values.server for values in script.told] == [None, None, "one.example"]
    assert [values.authed for values in script.told] == [None, True, True]
    assert {values.password for values in script.told} == {"SSH"}
    assert {values.username for values in script.told} == {"anna"}
    assert "the present password is needed" in lab.ask("setpass", newpass="Fresh-Secret-1")


def test_what_takes_long_to_load_is_not_loaded() -> None:
    """Every call is a new process."""
    program = (
        "import sys, x2gobroker.cli.ssh.broker, x2gobroker.frontends.ssh_command, x2gobroker.services\n"
        "slow = {'flask', 'werkzeug', 'jinja2', 'gunicorn', 'paramiko', 'sqlalchemy.dialects.postgresql', 'segno'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
