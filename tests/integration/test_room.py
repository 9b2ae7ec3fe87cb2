"""What tests find in a room is the room's own, and the same on every machine."""

from __future__ import annotations

import os
import pwd
import re
import resource
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.room.environment import OWN, room_environment
from tests.support.accounts import account

DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "fuse", "ptmx")


@pytest.mark.parametrize("name", DEVICES)
def test_devices_are_for_everybody(name: str) -> None:
    status = Path(f"/dev/{name}").stat()
    assert stat.S_ISCHR(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o666


def test_an_account_can_open_the_fuse_device() -> None:
    with account("Room-pw-1") as user:
        words = ["python3", "-c", "open('/dev/fuse', 'r+b', buffering=0)"]
        subprocess.run(words, user=user.name, group=user.name, extra_groups=[], check=True, timeout=60, cwd="/")


def test_names_accounts_and_limits_are_the_rooms() -> None:
    assert socket.gethostname() == Path("/etc/hostname").read_text().strip() == "room"
    assert socket.gethostbyname("room") == "127.0.1.1"
    assert not [entry.pw_name for entry in pwd.getpwall() if 1000 <= entry.pw_uid < 65000]
    way_to_checkout = Path(__file__).parts[:3]  # where the checkout is below one of these, it can be reached
    for folder in ("/root", "/home"):
        assert {(*Path(folder).parts, name) for name in os.listdir(folder)} <= {way_to_checkout}
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
    before = os.umask(0)
    os.umask(before)
    assert before == 0o022


@pytest.mark.parametrize("name", ["x2gobroker", "x2gobroker-desktop"])
def test_pam_knows_our_services(name: str) -> None:
    """Also on Debian 13, which has no package that brings the first one along."""
    assert "@include common-auth" in Path("/etc/pam.d", name).read_text().splitlines()


def test_x2go_server_waits_for_agents_of_a_busy_machine() -> None:
    """As far as it can be told to: that of Debian 12 cannot."""
    found = re.findall(r"^agent-startup-time=(.*)$", Path("/etc/x2go/x2goserver.conf").read_text(), re.MULTILINE)
    assert found in ([], ["120"])


def test_no_signal_is_ignored_by_what_tests_start() -> None:
    status = subprocess.run(["grep", "SigIgn", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
    ignored = int(status.split()[1], 16)
    assert not [number for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM) if ignored >> (number - 1) & 1]


def test_cgroups_are_the_rooms() -> None:
    assert "0::/tests\n" in Path("/proc/self/cgroup").read_text()
    group = Path("/sys/fs/cgroup/of-a-test")
    group.mkdir()
    group.rmdir()


@pytest.mark.parametrize("network", [False, True])
def test_of_the_callers_environment_only_what_is_named_gets_in(network: bool) -> None:
    odd = dict.fromkeys(("TMPDIR", "LC_ALL", "TZ", "DISPLAY", "X2GOBROKER_CONFIG", "PYTHONPATH", "HOME", "PATH"), "odd")
    index = {"PIP_INDEX_URL": "https://index.example/", "https_proxy": "http://proxy.example:3128"}
    found = room_environment({**odd, **index, "CI": "true"}, network)
    assert found.items() >= OWN.items()
    assert "odd" not in found.values()
    assert found["CI"] == "true"
    assert (index.items() <= found.items()) == network
