"""The how-tos on installing, keys, clients, backups and monitoring, followed on a bare Debian that has booted."""

from __future__ import annotations

import ssl
import urllib.parse
import urllib.request
from pathlib import Path

from tests.packages.booted.bare import Bare, bare, release  # noqa: F401 - a fixture
from tests.packages.booted.pages import Reader, commands_of, says
from tests.support.processes import wait_until
from tests.support.unit_site import DAEMON

ANNA = ("anna", "Right-pw-1")
PORT = 8443
SSH = "/var/lib/x2gobroker/.ssh"
CONFIG = """\
[global]
default-auth-mech = pam
default-agent-query-mode = SSH
enable-plain-output = true
require-cookie = {cookie}
{more}
[broker_inifile]
enable = true
"""
PROFILES = "[desk]\nname = Desk\nhost = ts01.example.org, ts02.example.org\ncommand = XFCE\n"
DAEMON_VALUES = """\
[daemon]
DAEMON_BIND_ADDRESS = 0.0.0.0:8443
X2GOBROKER_SSL_CERTFILE = /etc/x2go/broker/broker.pem
X2GOBROKER_SSL_KEYFILE = /etc/x2go/broker/broker.key
"""
AUTHORITY = (
    "openssl req -x509 -newkey rsa:2048 -nodes -days 900 -subj /CN=Authority"
    " -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.pem"
)
CERTIFICATE = (
    "openssl req -x509 -CA ca.pem -CAkey ca.key -newkey rsa:2048 -nodes -days 90 -subj /CN=broker.example.org"
    " -addext subjectAltName=DNS:broker.example.org"
    " -addext keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign -keyout new.key -out new.pem"
)


def configure(site: Bare, cookie: bool = False, more: str = "") -> None:
    """Write the broker's configuration, in place."""
    site.machine.write("/etc/x2go/x2gobroker.conf", CONFIG.format(cookie=str(cookie).lower(), more=more))


def listing(authid: str = "") -> str:
    """What anna's client is answered, with an authid or without."""
    form = {"task": "listsessions", "user": ANNA[0], "password": ANNA[1], "authid": authid}
    url = f"https://127.0.0.1:{PORT}/plain/inifile/"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the page's own checks are by name
    with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), timeout=30, context=context) as answer:
        text: str = answer.read().decode()
        return text


def test_pages_are_followed_word_by_word(tmp_path: Path, release: str) -> None:  # noqa: F811
    with bare(tmp_path, release) as site:
        machine = site.machine
        for name in ("ts01", "ts02", "broker", "client1"):
            machine.run("sh", "-c", f"echo 127.0.0.1 {name}.example.org >>/etc/hosts")
        machine.write("/etc/apt/apt.conf.d/99yes", 'APT::Get::Assume-Yes "true";\nAPT::Install-Recommends "false";\n')
        site.apt("install", "openssh-server", "openssh-client", "x2goserver", "curl", "openssl", "uuid-runtime")
        site.make_user(*ANNA)
        reader = Reader(site, {"https://broker.example.org/": f"https://broker.example.org:{PORT}/"})

        reader.follow("how-to/install", "Install", {"curl ": says('"status": "ok"')})

        reader.names = {**reader.names, "http://127.0.0.1:8080/": f"https://broker.example.org:{PORT}/"}
        # TLS of the daemon's own, as autologin.md has it, and clients that know its authority
        configure(site)
        machine.write("/etc/x2go/broker/x2gobroker-sessionprofiles.conf", PROFILES)
        machine.write("/etc/x2go/broker/defaults.conf", DAEMON_VALUES)
        reader.do(AUTHORITY)
        reader.do(CERTIFICATE)
        reader.follow("how-to/roll-out-clients", "A certificate authority of your own")
        reader.do("install -m 644 new.pem /etc/x2go/broker/broker.pem")
        reader.do("install -m 640 -g x2gobroker new.key /etc/x2go/broker/broker.key")
        machine.run("systemctl", "restart", DAEMON)
        wait_until(lambda: "Access granted" in listing(), "a login over TLS")
        reader.do(CERTIFICATE)
        reader.follow("how-to/rotate-keys", "The TLS certificate", {"curl ": says('"certificate_days": 89')})
        reader.follow("how-to/monitoring", "", {"curl ": says('"status": "ready"')})

        # the broker's first key, and host keys that it knows
        reader.do("x2gobroker-keygen -t ED25519")
        reader.do("x2gobroker-pubkeyauthorizer --broker-url https://broker.example.org/pubkeys/")
        reader.do(f"ssh-keyscan -t ed25519 ts01.example.org ts02.example.org >{SSH}/known_hosts 2>/dev/null")
        reader.do(f"chown x2gobroker:x2gobroker {SSH}/known_hosts")
        reader.do("x2gobroker-testagent -H ts02.example.org")
        old = machine.run("cat", f"{SSH}/id_ed25519.pub").split()[1]

        # its second one
        reader.follow("how-to/rotate-keys", "The broker's SSH key", {"ssh-keygen -l": says("ED25519")})
        new = machine.run("cat", f"{SSH}/id_ed25519.pub").split()[1]
        assert new != old
        machine.run("sed", "-i", f"\\#{old}#d", f"{SSH}/authorized_keys")
        reader.do("x2gobroker-testagent -H ts02.example.org")

        # a host key
        line = ""
        for command in commands_of("how-to/rotate-keys", "A host key of an X2Go Server"):
            if command.startswith("echo 'ts01"):
                command = command.replace("ssh-ed25519 AAAAC3Nz...", line)
            said = reader.do(command)
            line = said.strip() if command.startswith("cut ") else line
        reader.do(f"echo 'ts02.example.org {line}' >>{SSH}/known_hosts")
        reader.do("x2gobroker-testagent -H ts01.example.org")

        # clients
        reader.do("install -d -m 700 ~/.ssh && ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519")
        reader.do("cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys")
        reader.do(f'echo "client1.example.org {line}" >~/.ssh/known_hosts')
        reader.follow("how-to/roll-out-clients", "Host keys of X2Go Servers")
        reader.follow("how-to/roll-out-clients", "Check a machine", {"ssh-keygen -F": says("ts01.example.org")})

        # the pre-shared authid
        reader.do("uuidgen >/etc/x2go/broker/x2gobroker.authid; chgrp x2gobroker /etc/x2go/broker/x2gobroker.authid")
        configure(site, cookie=True)
        before = machine.run("cat", "/etc/x2go/broker/x2gobroker.authid").strip()
        wait_until(lambda: "Access granted" in listing(before), "a login with the authid")
        reader.follow("how-to/rotate-keys", "The pre-shared authid")
        configure(site, cookie=True, more="my-cookie-old-file = /etc/x2go/broker/x2gobroker.authid-old")
        after = machine.run("cat", "/etc/x2go/broker/x2gobroker.authid").strip()
        wait_until(lambda: "Access granted" in listing(after), "a login with the new authid")
        assert "Access granted" in listing(before)
        configure(site, cookie=True)
        wait_until(lambda: "Access granted" not in listing(before), "the old authid not counting")
        configure(site)
        reader.do("cd /root/debs")

        # what the store has
        reader.follow("how-to/rotate-keys", "A second factor")
        reader.do("install -d -m 700 /var/backups/x2gobroker")
        for command in commands_of("how-to/backup", "The state store"):
            if "store restore" in command:
                refused = machine.call("bash", "-c", command)
                assert refused.returncode == 1, refused.stdout
                assert "--replace" in refused.stdout + refused.stderr
                command += " --replace"
            reader.do(command)
        reader.follow("how-to/rotate-keys", "The password of the database", {"curl ": says('"status": "ready"')})

        # and away
        reader.do("apt-get purge x2gobroker x2gobroker-agent")
        reader.follow("how-to/install", "Remove")
        assert machine.call("getent", "passwd", "x2gobroker").returncode == 2
        assert site.failed_units() == set()
