"""The broker over SSH: a real sshd, real accounts, the shipped sudo rule; and what a caller cannot pretend."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.support.accounts import Account, account_with_home
from tests.support.our_broker import OurBroker
from tests.support.processes import wait_until
from tests.support.ssh_broker import Answered, SshBroker, ssh_broker
from tests.support.sshd import Sshd, make_key, sshd

CONFIG = """\
[global]
cookie-directory = {state}
default-auth-mech = none
default-portscan-x2goservers = false
client-events = true

[broker_inifile]
enable = true
"""
PROFILES = """\
[kde]
name = KDE für alle, hier
host = one.example
user = BROKER_USER

[other]
name = Others only
host = two.example
acl-users-allow = somebody-else
"""
LISTING = re.compile(
    r"AUTHID:\w{40}\nAccess granted\nSTART_USER_SESSIONS\n\n\[kde\]\nname=.*END_CLIENT_CONFIG\n\n", re.DOTALL
)
WRAPPER = '#include <unistd.h>\nint main(int count, char **words) { (void)count; return execv("%s", words); }\n'
# run by Python when PYTHONPATH leads to it
INTRUDER = "import os\nopen({path!r}, 'a').write(str(os.geteuid()) + '\\n')\n"


@dataclass(frozen=True)
class Place:
    """A broker, a user who may call it, one who may not, an sshd, and the key that both log in with."""

    broker: SshBroker
    user: Account
    stranger: Account
    server: Sshd
    key: Path

    def over_ssh(self, user: Account, command: str, *options: str) -> Answered:
        """What the real ssh client gets for a command."""
        words = [
            "ssh", "-i", str(self.key), "-p", str(self.server.port), "-l", user.name, "-o", "BatchMode=yes",
            "-o", f"UserKnownHostsFile={self.server.folder}/known_hosts", "-o", "IdentitiesOnly=yes", *options,
            "127.0.0.1", command,
        ]  # fmt: skip
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"]},
        )
        return Answered(done.stdout, done.stderr, done.returncode)

    def call(self, *words: str, env: dict[str, str] | None = None, stdin: str = "") -> Answered:
        """What the user gets, without sshd."""
        return self.broker.call(self.user.name, *words, env=env, stdin=stdin)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Set up as the how-to says."""
    folder = tmp_path_factory.mktemp("sshd")
    key = folder / "key"
    public = make_key(key)
    with ssh_broker() as broker, account_with_home("Pw-Of-One-1") as user, account_with_home("Pw-Of-Two-2") as stranger:
        broker.write(CONFIG, PROFILES)
        broker.admit(user.name)
        with sshd(folder / "server", authorized={user.name: public, stranger.name: public}) as server:
            (server.folder / "known_hosts").write_text(server.host_key_lines("127.0.0.1"))
            yield Place(broker, user, stranger, server, key)


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ("ulimit -f 0;", ""),
        ("ulimit -f 1;", ""),
        ("", ">&-"),
        ("", ">&- 2>&-"),
        ("", "<&- >&- 2>&-"),
        ("", ">/dev/full"),
        ("ulimit -n 5;", ""),
        ("ulimit -n 12;", ""),
        ("", "| :"),
    ],
)
def test_whoever_takes_something_away_from_the_broker_is_told_in_a_line(place: Place, before: str, behind: str) -> None:
    done = place.over_ssh(place.user, f"{before} {place.broker.program} --task listsessions {behind}")
    assert "Traceback" not in done.errors
    assert "Exception ignored" not in done.errors
    assert "site-packages" not in done.errors
    assert done.errors.count("\n") <= 2, done.errors
    if behind != "| :" and before != "ulimit -f 1;":
        assert done.status or LISTING.fullmatch(done.text), done
    assert LISTING.fullmatch(place.over_ssh(place.user, f"{place.broker.program} --task listsessions").text)


def test_the_way_of_x2go_client(place: Place) -> None:
    """List, select, list again: each with the authid of the answer before."""
    program = place.broker.program
    name = place.user.name
    first = place.over_ssh(place.user, f"{program} --user {name} --task listsessions")
    assert (first.status, first.errors) == (0, "")
    assert LISTING.fullmatch(first.text), first.text
    assert f"\nuser={name}\n" in first.text
    chosen = place.over_ssh(
        place.user, f'{program} --user {name} --task selectsession --sid "kde" --authid {first.authid} --login {name}'
    )
    assert chosen.text == f"AUTHID:{chosen.authid}\nAccess granted\nSERVER:one.example:22\n\n"
    again = place.over_ssh(place.user, f"{program} --user {name} --authid {chosen.authid} --task listsessions")
    assert LISTING.fullmatch(again.text)
    assert len({first.authid, chosen.authid, again.authid}) == 3
    used = place.over_ssh(place.user, f"{program} --user {name} --authid {chosen.authid} --task listsessions")
    assert LISTING.fullmatch(used.text), "sshd says who asks, whatever authid a client goes on showing"
    assert used.authid not in (first.authid, chosen.authid, again.authid)
    assert f"login user={name} address=127.0.0.1 backend=inifile mechanism=ssh outcome=granted" in place.broker.log()


def test_with_a_terminal_as_well(place: Place) -> None:
    """sudo may then make a terminal of its own (`use_pty`, the default on Debian)."""
    got = place.over_ssh(place.user, f"{place.broker.program} --task listsessions", "-tt")
    assert LISTING.fullmatch(got.text.replace("\r\n", "\n")), got


def test_the_answer_is_that_over_http(place: Place) -> None:
    with OurBroker(CONFIG, PROFILES) as http:
        form = {"task": "listsessions", "user": place.user.name, "password": "x"}
        said = requests.post(f"{http.url}/plain/inifile/", data=form, timeout=10).content.decode("utf-8")
    mine = place.call("--task", "listsessions")
    assert mine.text == re.sub(r"AUTHID:\w+", f"AUTHID:{mine.authid}", said) + "\n"


def test_who_is_not_in_the_group_gets_nothing(place: Place) -> None:
    got = place.over_ssh(place.stranger, f"{place.broker.program} --task listsessions")
    assert got.text == ""
    assert got.status == 1
    assert "sudo" in got.errors
    assert place.stranger.name not in place.broker.log()


def test_another_name_is_not_believed(place: Place) -> None:
    name = place.user.name
    lies = {"LOGNAME": "root", "USER": "root", "SUDO_UID": "0", "SUDO_USER": "root", "USERNAME": "root"}
    got = place.call("--user", "somebody-else", "--task", "listsessions", env=lies)
    assert LISTING.fullmatch(got.text)
    assert f"\nuser={name}\n" in got.text
    assert f"acting for {name}, not for somebody-else: only {place.broker.account} may act for others" in got.errors
    assert got.status == 0


def test_the_brokers_own_account_acts_for_others(place: Place) -> None:
    got = place.broker.call(place.broker.account, "--user", "somebody-else", "--task", "listsessions")
    assert "\n[other]\n" in got.text
    assert (got.errors, got.status) == ("", 0)
    assert "login user=somebody-else" in place.broker.log()


def test_root_does_not(place: Place) -> None:
    got = place.broker.call("root", "--user", "somebody-else", "--task", "listsessions")
    assert "\nuser=root\n" in got.text
    assert f"runuser -u {place.broker.account} -- x2gobroker-ssh" in got.errors


@pytest.mark.parametrize("option", ["-C", "--config-file"])
def test_a_user_chooses_no_configuration(place: Place, option: str, tmp_path: Path) -> None:
    """Else a user could read what only the broker's account may, or let anybody in."""
    open_to_all = tmp_path / "x2gobroker.conf"
    open_to_all.write_text("[global]\nrequire-password = false\n[broker_inifile]\nenable = true\n")
    got = place.call("--task", "listsessions", option, str(open_to_all))
    assert (got.text, got.status) == ("", 2)
    assert "for the broker's account only" in got.errors
    lies = {"X2GOBROKER_CONFIG": str(open_to_all), "X2GOBROKER_DEFAULTS": "/nowhere", "X2GOBROKER_DEBUG": "1"}
    assert LISTING.fullmatch(place.call("--task", "listsessions", env=lies).text)


def test_a_user_runs_no_code_as_the_brokers_account(place: Place) -> None:
    """Not by PYTHONPATH, not by PATH."""
    folder = place.user.home / "evil"
    folder.mkdir()
    proof = place.user.home / "proof"
    (folder / "sitecustomize.py").write_text(INTRUDER.format(path=str(proof)))
    for name in ("sudo", "python3", "env", "x2gobroker-ssh"):
        (folder / name).write_text(f"#!/bin/sh\nid -u >>{proof}\n")
        (folder / name).chmod(0o755)
    proof.touch()
    proof.chmod(0o666)
    env = {"PYTHONPATH": str(folder), "PATH": f"{folder}:/usr/bin:/bin", "HOME": str(folder)}
    got = place.call("--task", "listsessions", env=env)
    assert LISTING.fullmatch(got.text), got
    user = place.user.home.stat().st_uid
    assert proof.read_text().split() == [str(user)], "the user's own process runs it, and only that"


def test_sudo_allows_nothing_else(place: Place) -> None:
    """Only this program with this argument, and whatever comes on standard input, it comes from this user."""
    record = ["sudo", "-n", "-u", place.broker.account]

    def sudo(*words: str, stdin: str = "") -> Answered:
        return place.broker.call(place.user.name, *record[1:], *words, stdin=stdin, program=Path("/usr/bin/sudo"))

    program = str(place.broker.program)
    for words in ([program], [program, "--task", "listsessions"], [program, "--piped", "x"], ["/usr/bin/id"]):
        got = sudo(*words)
        assert (got.text, got.status) == ("", 1), words
    assert sudo("X2GOBROKER_CONFIG=/x", program, "--piped").status == 1
    mine = sudo(program, "--piped", stdin='[["--task", "listsessions", "--user", "root"], "192.0.2.9 1 2", ""]')
    assert f"\nuser={place.user.name}\n" in mine.text
    for nonsense in ("", "x", '[["--task"], 1, ""]', "[" * 10000):
        got = sudo(program, "--piped", stdin=nonsense)
        assert (got.text, got.status) == ("", 2)
        assert "Traceback" not in got.errors


def test_behind_a_setuid_wrapper_the_real_user_counts(place: Place) -> None:
    """As Debian's x2gobroker-ssh is one."""
    source = place.broker.folder / "wrapper.c"
    source.write_text(WRAPPER % place.broker.program)
    wrapper = place.broker.folder / "wrapper"
    subprocess.run(["gcc", "-o", str(wrapper), str(source)], check=True, timeout=60)
    shutil.chown(wrapper, place.broker.account)
    wrapper.chmod(0o4755)
    lies = {"SUDO_UID": "0", "LOGNAME": "root", "X2GOBROKER_CONFIG": "/nowhere"}
    for user in (place.user.name, place.stranger.name):
        got = place.broker.call(user, "--user", "somebody-else", "--task", "listsessions", env=lies, program=wrapper)
        assert LISTING.fullmatch(got.text), got
        assert f"\nuser={user}\n" in got.text


@pytest.mark.parametrize(
    ("value", "address", "warned"),
    [("192.0.2.7 1 2", "192.0.2.7", False), ("2001:db8::7 1 2", "2001:db8::7", False), ("lies 1 2", "127.0.0.1", True)],
)
def test_the_address_is_what_ssh_client_says(place: Place, value: str, address: str, warned: bool) -> None:
    got = place.call("--task", "listsessions", env={"SSH_CLIENT": value})
    assert LISTING.fullmatch(got.text)
    assert ("SSH_CLIENT begins with no address" in got.errors) is warned
    last = [line for line in place.broker.log().splitlines() if line.startswith("login ")][-1]
    assert f" address={address} " in last


def test_no_secret_is_in_any_log(place: Place) -> None:
    """sudo logs command lines: ours holds nothing."""
    rule = Path("/etc/sudoers.d") / place.broker.group
    log = place.broker.folder / "sudo.log"
    text = rule.read_text()
    rule.chmod(0o640)
    rule.write_text(f"{text}Defaults!{place.broker.program} logfile={log}\n")
    rule.chmod(0o440)
    try:
        first = place.call("--task", "listsessions")
        got = place.call("--task", "setpass", "--authid", first.authid, "--newpass", "Fresh-Secret-1")
        other = place.call("--task", "setpass", "--newpass", "-", stdin="Fresh-Secret-2\n")
    finally:
        rule.chmod(0o640)
        rule.write_text(text)
        rule.chmod(0o440)
    refused = "PASSWORD CHANGED: NO: the present password is needed\n\n"
    assert got.text.endswith(refused)
    assert other.text.endswith(refused)
    assert log.read_text().count("x2gobroker-ssh --piped") == 3
    for secret in ("Fresh-Secret", first.authid, got.authid):
        assert secret not in log.read_text()
        assert secret not in place.broker.log()


def test_a_failing_store_is_said_without_internals(place: Place) -> None:
    place.broker.write(CONFIG.replace("{state}", "/proc/nowhere"), PROFILES)
    try:
        got = place.call("--task", "listsessions")
    finally:
        place.broker.write(CONFIG, PROFILES)
    assert got.text == ""
    assert got.errors == "x2gobroker-ssh: the broker cannot answer at present; its log says why\n"
    assert got.status == 1
    assert "the state store /proc/nowhere/x2gobroker.sqlite cannot be made" in place.broker.log()


def test_an_event_is_kept(place: Place) -> None:
    got = place.call(
        *"--task clientevent --sid s-50-1_stDKDE_dp24 --event CONNECTED --server a --client b --login c".split(),
        *"--cmd KDE --display 50 --start 21.11.26 --elapsed 3 --version 4.1.2.3 --os linux".split(),
    )
    assert got.text == f"AUTHID:{got.authid}\nAccess granted\n\n"
    ignored = place.call("--event", "X", "--", "a", "b")
    assert (ignored.text, ignored.errors, ignored.status) == ("", "", 0)


def test_the_state_is_the_brokers_alone(place: Place) -> None:
    place.call("--task", "listsessions")
    for path in place.broker.state.iterdir():
        assert path.owner() == place.broker.account
        assert path.stat().st_mode & 0o077 == 0


def test_a_call_cannot_be_stopped_from_the_users_terminal_nor_wait_for_ever(place: Place) -> None:
    """Else somebody could hold up all others with ^Z at the right moment."""
    process = subprocess.Popen(
        [place.broker.program, "--task", "setpass", "--newpass", "-"],
        user=place.broker.account,
        group=place.broker.account,
        extra_groups=[],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: os.getsid(process.pid) == process.pid, "a session of its own")
        process.send_signal(signal.SIGALRM)  # as its own clock does after a while
        assert process.wait(10) == -signal.SIGALRM
    finally:
        process.kill()
        process.communicate(timeout=10)


def test_many_at_the_same_time(place: Place) -> None:
    """Each call is a process; they share the store."""
    words = [str(place.broker.program), "--task", "listsessions"]
    record = Path(place.user.home).owner()
    groups = [place.broker.group]
    started = [
        subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, user=record, group=record, extra_groups=groups, cwd="/"
        )
        for _ in range(12)
    ]
    texts = [process.communicate(timeout=60)[0] for process in started]
    assert all(LISTING.fullmatch(text) for text in texts)
    assert len({text.split("\n", 1)[0] for text in texts}) == 12
