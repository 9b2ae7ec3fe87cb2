"""A whole site: the portal behind a web server with TLS, users of this machine by PAM, and x2gobroker-remote.

What the web server is told is what `x2gobroker remote print-config` prints, and the settings are those that
`x2gobroker remote setup` writes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.accounts import pam_service
from tests.support.apache import Apache, apache, apache_folder
from tests.support.authservice import ASKING_ACCOUNT, AuthService
from tests.support.cable import Cable, cable
from tests.support.installation import installation
from tests.support.nginx import nginx, nginx_folder
from tests.support.processes import Program, free_port, running, wait_until
from tests.support.remote import Remote, remote
from tests.support.tls import Certificates
from x2gobroker.store.remote_desktops import FAILED, STOP

UNIX = "auth required pam_unix.so nodelay\naccount required pam_unix.so\n"
SETTINGS = """\
default-auth-mech = pam
portal-title = Our desktops

[broker_inifile]
enable = true

[authmech_pam]
service = {pam}
"""
COMMAND_SECONDS = 60.0
# a host that Apache serves already, with pages of its own
OTHER_HOST = """\
<VirtualHost 127.0.0.1:{port}>
    ServerName localhost
    SSLEngine On
    SSLCertificateFile {certificate}
    SSLCertificateKeyFile {key}
</VirtualHost>
"""

HAPROXY = "/usr/sbin/haproxy"
# what is before it in Debian's haproxy.cfg, as far as it matters here
HAPROXY_MAIN = """\
global
    maxconn 200
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s

"""


@dataclass(frozen=True)
class Site:
    """One running site. Browsers reach it by `url`, over a cable that can be pulled. `path` is what it is below."""

    service: Remote
    cable: Cable
    auth: AuthService
    authority: Path
    path: str = ""

    @property
    def url(self) -> str:
        """The address of the portal's first page."""
        return f"https://localhost:{self.cable.port}{self.path}/portal/"

    def stop_all(self, user: str) -> None:
        """Have all desktops of a user stopped, and wait until their places are free."""
        desktops = self.service.desktops
        desktops.ask_stop_all(user, STOP)
        wait_until(
            lambda: all(slot.state == FAILED for slot in desktops.of_user(user)), f"the end of the desktops of {user}"
        )


def ask_program(service: Remote, *words: str) -> str:
    """What `x2gobroker` prints with the configuration of a site; it has to work."""
    program = installation(ASKING_ACCOUNT).venv / "bin/x2gobroker"
    done = subprocess.run(
        [str(program), *words, "-C", str(service.config)],
        env=service.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(words)}:\n{done.stdout}{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def _broker_and_service(
    types: Mapping[str, Any], more: str, setup: Sequence[str]
) -> Iterator[tuple[Remote, AuthService]]:
    """Everything but the web server."""
    with pam_service("portal", UNIX) as pam, AuthService(pam) as auth:
        variables = {"X2GOBROKER_DAEMON_USER": ASKING_ACCOUNT, "X2GOBROKER_DAEMON_GROUP": ASKING_ACCOUNT}
        settings = f"{more}\n{SETTINGS.format(pam=pam)}"
        with remote(types, settings, variables, start=False) as service:
            state = service.folder / "state"
            state.mkdir(mode=0o700)
            shutil.chown(state, ASKING_ACCOUNT, ASKING_ACCOUNT)
            service.env |= {
                "X2GOBROKER_AUTHSERVICE_SOCKET": str(auth.socket),
                "X2GOBROKER_SESSIONPROFILES": str(service.folder / "sessionprofiles.conf"),
            }
            (service.folder / "sessionprofiles.conf").write_text("", encoding="utf-8")
            ask_program(service, "remote", "setup", "--yes", *(f"--set={answer}" for answer in setup))
            program = service.start_anyhow()
            wait_until(
                lambda: "is ready" in service.said() or program.process.poll() is not None, "the service being ready"
            )
            yield service, auth


def _behind(path: str, more: str) -> str:
    """Further settings of a daemon behind a web server that has this path for it."""
    return f"daemon-path = {path}\n{more}" if path else more


@contextlib.contextmanager
def site_with_apache(
    certificates: Certificates, types: Mapping[str, Any], more: str = "", setup: Sequence[str] = (), path: str = ""
) -> Iterator[Site]:
    """The portal in Apache, by mod_wsgi; Apache passes websockets on. `setup`: answers for `--set`.

    With `path`, it is below that path of a host that Apache serves already.
    """
    port = free_port()
    below = ("--path", path) if path else ()
    with (
        _broker_and_service(types, more, setup) as (service, auth),
        apache_folder() as folder,
        cable(port) as wire,
    ):
        defines = {
            "X2GOBROKER_HOST": "localhost",
            "X2GOBROKER_LISTEN": f"127.0.0.1:{port}",
            "X2GOBROKER_CERTIFICATE": str(certificates.certificate),
            "X2GOBROKER_CERTIFICATE_KEY": str(certificates.key),
            "X2GOBROKER_CONFIG": str(service.config),
            "X2GOBROKER_SESSIONPROFILES": service.env["X2GOBROKER_SESSIONPROFILES"],
            "X2GOBROKER_REMOTE": str(
                folder.file("remote.conf", ask_program(service, "remote", "print-config", "apache", *below))
            ),
            **({"X2GOBROKER_PATH": path} if path else {}),
        }
        extra = f'SetEnv X2GOBROKER_AUTHSERVICE_SOCKET "{auth.socket}"\n'
        if path:
            extra += OTHER_HOST.format(port=port, certificate=certificates.certificate, key=certificates.key)
        shipped = "x2gobroker.conf" if path else "x2gobroker-vhost.conf"
        with apache(folder, shipped, [port], defines, extra) as server:
            yield Site(service, wire, auth, certificates.authority, path)
            no_secrets(server.log())
            assert_apache_is_well(server)


@contextlib.contextmanager
def site_with_nginx(
    certificates: Certificates, types: Mapping[str, Any], more: str = "", setup: Sequence[str] = (), path: str = ""
) -> Iterator[Site]:
    """The portal in x2gobroker-daemon; nginx passes everything on."""
    port, broker_port = free_port(), free_port()
    with (
        _broker_and_service(types, _behind(path, more), (*setup, "trusted-proxies=127.0.0.1")) as (service, auth),
        nginx_folder() as folder,
        cable(port) as wire,
    ):
        service.env["DAEMON_BIND_ADDRESS"] = f"127.0.0.1:{broker_port}"
        words = ("--host", "localhost", "--listen", f"127.0.0.1:{port}", "--log", str(folder / "access.log"))
        files = ("--certificate", str(certificates.certificate), "--key", str(certificates.key))
        config = ask_program(service, "remote", "print-config", "nginx", *words, *files)
        with daemon_of(service, broker_port), nginx(folder, config, port) as server:
            yield Site(service, wire, auth, certificates.authority, path)
            no_secrets(server.log())


@contextlib.contextmanager
def site_with_haproxy(
    certificates: Certificates, types: Mapping[str, Any], more: str = "", setup: Sequence[str] = (), path: str = ""
) -> Iterator[Site]:
    """The portal in x2gobroker-daemon; HAProxy passes everything on."""
    port, broker_port = free_port(), free_port()
    with (
        _broker_and_service(types, _behind(path, more), (*setup, "trusted-proxies=127.0.0.1")) as (service, auth),
        tempfile.TemporaryDirectory(prefix="x2gobroker-haproxy-") as name,
        cable(port) as wire,
    ):
        folder = Path(name)
        folder.chmod(0o755)
        both = folder / "both.pem"
        both.write_bytes(certificates.certificate.read_bytes() + certificates.key.read_bytes())
        service.env["DAEMON_BIND_ADDRESS"] = f"127.0.0.1:{broker_port}"
        words = ("--host", "localhost", "--listen", f"127.0.0.1:{port}", "--certificate", str(both))
        config = ask_program(service, "remote", "print-config", "haproxy", *words)
        (folder / "haproxy.cfg").write_text(HAPROXY_MAIN + config, encoding="utf-8")
        argv = [HAPROXY, "-db", "-f", str(folder / "haproxy.cfg")]
        tried = subprocess.run([*argv, "-c"], capture_output=True, text=True, timeout=20, check=False)
        assert tried.returncode == 0, tried.stdout + tried.stderr
        assert "WARN" not in tried.stdout + tried.stderr, tried.stdout + tried.stderr
        with daemon_of(service, broker_port), running(argv, folder / "haproxy.out", port=port):
            yield Site(service, wire, auth, certificates.authority, path)


@contextlib.contextmanager
def daemon_of(service: Remote, port: int) -> Iterator[Program]:
    """`x2gobroker-daemon` as the account of the broker."""
    account = ASKING_ACCOUNT if os.geteuid() == 0 else None
    program = installation(account).venv / "bin/x2gobroker-daemon"
    log = service.folder / "daemon.log"
    with running([str(program)], log, port=port, env=service.env, user=account, cwd=service.folder) as started:
        try:
            yield started
        finally:
            print(started.output())
            no_secrets(started.output())


def no_secrets(log: str) -> None:
    """No token may be in a log; a websocket's subprotocol has it behind the name of the program."""
    assert not re.search(r"x2gobroker\.[\w-]{20}", log), "a token is in the log"


def assert_apache_is_well(server: Apache) -> None:
    """Nothing of ours raised."""
    assert "Traceback" not in server.log()
