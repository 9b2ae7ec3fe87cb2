"""The rooms `ssh/` and `x2go/` with other versions of paramiko than the installed one, against a real sshd."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account, account_with_home
from tests.support.control import ssh_agent
from tests.support.sshd import KINDS, Sshd, make_key, sshd

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path

import paramiko

from x2gobroker.model.hosts import Endpoint
from x2gobroker.ssh.connect import connect
from x2gobroker.ssh.execute import execute
from x2gobroker.ssh.failures import HostKeyRefused, LoginRefused, SshTimeout
from x2gobroker.ssh.keys import KINDS, generate_key, read_private_key
from x2gobroker.ssh.pool import SshPool
from x2gobroker.ssh.routes import Login, Route, Trust
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.errors import X2GoControlSessionException

version, port, user, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
password = sys.stdin.readline().strip()
assert paramiko.__version__.startswith(version), paramiko.__version__
assert "target-of-pip" in paramiko.__file__, paramiko.__file__


def fails(kind, call, *arguments):
    try:
        call(*arguments)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


trust = Trust((folder / "known_hosts",))
route = Route(Endpoint("srv", "127.0.0.1", port), Login(user, folder / "keys"), trust)
for kind in KINDS:
    pair = generate_key(kind)
    assert read_private_key(pair.private).get_base64() == pair.public.blob
    login = Login(user, private_key=(folder / "keys" / f"id_{kind}").read_text())
    for host_kind in KINDS:
        by_kind = Trust((folder / f"known_hosts_{host_kind}",))
        with connect(replace(route, login=login, trust=by_kind), 20) as transport:
            done = execute(transport, "cat; echo err >&2; exit 3", 20, input=b"in")
            assert (done.output, done.errors, done.status) == (b"in", b"err\\n", 3)
with connect(replace(route, login=Login(user, password=password)), 20) as transport:
    assert execute(transport, "echo ok", 20).output == b"ok\\n"
    fails(SshTimeout, execute, transport, "sleep 20", 0.3)
fails(LoginRefused, connect, replace(route, login=Login(user, private_key=generate_key("rsa").private)), 20)
fails(LoginRefused, connect, replace(route, login=Login(user, password="wrong")), 20)
unknown = replace(route, trust=Trust((folder / "new",)))
assert fails(HostKeyRefused, connect, unknown, 20).unknown
for policy in ("WarningPolicy", "AutoAddPolicy"):
    connect(replace(unknown, trust=Trust((folder / "new",), policy)), 20).close()
connect(unknown, 20).close()
changed = Trust((folder / "changed",), "AutoAddPolicy")
assert not fails(HostKeyRefused, connect, replace(route, trust=changed), 20).unknown
pool = SshPool()
for _ in range(3):
    assert pool.execute(replace(route, proxy=route), "echo ok", 20).output == b"ok\\n"
pool.close()

key = folder / "keys" / "id_ed25519"
session = X2GoControlSession(known_hosts=str(folder / "of_session"), ssh_rootdir=str(folder / "keys"))
server = {"hostname": "127.0.0.1", "port": port, "username": user}
through = {"use_sshproxy": True, "sshproxy_host": "127.0.0.1", "sshproxy_port": port, "sshproxy_user": user}
assert not session.check_host("127.0.0.1", port)
fails(paramiko.SSHException, lambda: session.connect(**server, password=password))
assert session.connect(**server, password=password, add_to_known_hosts=True, forward_sshagent=True)
assert session.check_host("127.0.0.1", port)
reply = session.command("ssh-add -l; echo ok")
assert "SHA256" in reply.output and reply.output.endswith("ok\\n"), reply
session.test_sftpclient()
for means in (
    {"key_filename": str(key)},
    {"pkey": paramiko.Ed25519Key.from_private_key_file(str(key))},
    {"look_for_keys": True},
    {"allow_agent": True},
    {"password": password, **through, "sshproxy_allow_agent": True},
):
    assert session.connect(**server, **means, add_to_known_hosts=False)
    assert session.command("cat", input=b"in").output == "in"
fails(paramiko.AuthenticationException, lambda: session.connect(**server, password="wrong"))
session.connect(**server, password=password)
fails(X2GoControlSessionException, session.command, "kill -9 $PPID")
assert session.has_session_died()
session.disconnect()
print("all of it works")
"""
PASSWORD = "Right-pw-1"


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    with account_with_home(PASSWORD) as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files")
    (made / "keys").mkdir()
    for kind in KINDS:
        make_key(made / "keys" / f"id_{kind}", kind)
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, user: Account, folder: Path) -> Iterator[Sshd]:
    lines = "\n".join(path.read_text().strip() for path in (folder / "keys").glob("*.pub"))
    config = "Subsystem sftp /usr/lib/openssh/sftp-server"
    with sshd(tmp_path_factory.mktemp("sshd"), authorized={user.name: lines}, config=config) as running:
        (folder / "known_hosts").write_text(running.host_key_lines("srv"))
        for kind in KINDS:
            (folder / f"known_hosts_{kind}").write_text(running.host_key_lines("srv", kind))
        key = " ".join(make_key(folder / "other").split()[:2])
        (folder / "changed").write_text(f"[srv]:{running.port} {key}\n")
        yield running


@pytest.mark.parametrize("version", ["3.5", "4"])
def test_an_older_paramiko_does_as_well(
    version: str, server: Sshd, user: Account, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target-of-pip"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    argv = [*pip, "--target", str(target), f"paramiko=={version}.*"]
    subprocess.run(argv, check=True, timeout=300, stdin=subprocess.DEVNULL)
    for name in ("new", "of_session"):
        (folder / name).unlink(missing_ok=True)
    argv = [sys.executable, "-c", SCRIPT, version, str(server.port), user.name, str(folder)]
    with ssh_agent(tmp_path, monkeypatch, folder / "keys" / "id_ed25519"):
        # what pip put there has precedence over the installed packages
        done = subprocess.run(
            argv,
            input=f"{PASSWORD}\n",
            env={**os.environ, "PYTHONPATH": str(target)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all of it works\n"
    assert "Traceback" not in done.stderr
