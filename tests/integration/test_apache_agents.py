"""Under Apache: sessions are found, users log in by a key, and the key goes although nobody asks anything any more."""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path

from tests.support.accounts import account_with_home
from tests.support.apache import apache, apache_folder
from tests.support.our_agent import BROKER_ACCOUNT, forced_key, our_agent
from tests.support.processes import free_port, wait_until
from tests.support.sshd import make_key, sshd
from tests.support.tls import Certificates, Https
from x2gobroker.auth.htpasswd import write_user
from x2gobroker.auth.passwords import CONTEXT

CONFIG = """\
[global]
default-auth-mech = htpasswd
default-agent-query-mode = SSH
autologin-key-seconds = 5
cookie-directory = {state}
[authmech_htpasswd]
file = {users}
"""
PROFILES = "[desk]\nhost = server (127.0.0.1:{port})\nbroker-session-autologin = true\n"


def test_a_key_of_a_broker_under_apache_comes_and_goes(certificates: Certificates, tmp_path: Path) -> None:
    password = secrets.token_hex(8)
    with apache_folder() as folder, account_with_home(password) as user, our_agent() as agent:
        keys = folder.state("ssh")
        line = forced_key(agent, make_key(keys / "id_ed25519"))
        with sshd(tmp_path / "server", authorized={BROKER_ACCOUNT: line}) as server:
            (keys / "known_hosts").write_text(server.host_key_lines("127.0.0.1"), encoding="ascii")
            assert folder.account is not None
            for path in keys.iterdir():
                shutil.chown(path, folder.account, folder.account)
            users = folder.file("users", "")
            write_user(users, user.name, CONTEXT.hash(password))
            users.chmod(0o644)
            port = free_port()
            config = CONFIG.format(state=folder.state("state"), users=users)
            defines = {
                "X2GOBROKER_HOST": "localhost",
                "X2GOBROKER_LISTEN": f"127.0.0.1:{port}",
                "X2GOBROKER_CERTIFICATE": str(certificates.certificate),
                "X2GOBROKER_CERTIFICATE_KEY": str(certificates.key),
                "X2GOBROKER_CONFIG": str(folder.file("x2gobroker.conf", config)),
                "X2GOBROKER_SESSIONPROFILES": str(folder.file("profiles.conf", PROFILES.format(port=server.port))),
            }
            extra = f"SetEnv X2GOBROKER_SSH_FOLDER {keys}\nSetEnv X2GOBROKER_AGENT_CMD {agent}"
            with apache(folder, "x2gobroker-vhost.conf", [port], defines, extra):
                form = {"task": "selectsession", "sid": "desk", "user": user.name, "password": password}
                answer = Https(port, certificates.authority).post("/plain/inifile/", form)
                assert re.search(rf"^SERVER:127\.0\.0\.1:{server.port}$", answer.body, re.MULTILINE), answer
                assert "-----BEGIN RSA PRIVATE KEY-----" in answer.body
                file = user.home / ".x2go/authorized_keys"
                assert " ssh-rsa " in file.read_text(encoding="utf-8")
                wait_until(lambda: " ssh-rsa " not in file.read_text(encoding="utf-8"), "the key being taken away", 40)
