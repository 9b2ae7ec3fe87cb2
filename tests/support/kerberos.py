"""A realm of MIT Kerberos with a KDC of its own on the loopback. Needs a room, whose /etc is its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.processes import Program, free_port, wait_until

REALM = "ROOM.TEST"
CLIENT = Path("/etc/krb5.conf")
KDC_PROGRAM = "/usr/sbin/krb5kdc"
CLIENT_TEXT = """\
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
{more}
[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
  }}
"""
KDC_TEXT = """\
[kdcdefaults]
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  {realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    acl_file = {folder}/acl
    max_life = 10h
    max_renewable_life = 7d
    supported_enctypes = aes256-cts-hmac-sha1-96:normal
  }}
[logging]
  kdc = FILE:{folder}/kdc.log
"""
COMMAND_SECONDS = 60.0


class Kdc:
    """A KDC that runs. `folder` has its database and log."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        values = {"realm": REALM, "port": self.port, "folder": folder, "more": more}
        CLIENT.write_text(CLIENT_TEXT.format(**values), encoding="utf-8")
        self._profile = folder / "kdc.conf"
        self._profile.write_text(KDC_TEXT.format(**values), encoding="utf-8")
        self.program: Program | None = None

    @property
    def _env(self) -> Mapping[str, str]:
        return {**os.environ, "KRB5_KDC_PROFILE": str(self._profile)}

    def _run(self, *words: str, stdin: str = "") -> str:
        done = subprocess.run(
            words, env=self._env, input=stdin, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
        assert done.returncode == 0, f"{words[0]} gave {done.returncode}: {done.stderr}"
        return done.stdout

    def make(self) -> None:
        """Make the database, and start the KDC."""
        self._run("kdb5_util", "create", "-s", "-W", "-P", "a master key of a test")
        self.start()

    def start(self) -> None:
        """Start the KDC, and wait until it answers."""
        self.program = Program([KDC_PROGRAM, "-n"], self.folder / "output", env=self._env)
        self.program.wait_for_port(self.port)

    def stop(self) -> None:
        """End the KDC."""
        assert self.program is not None
        self.program.stop()

    def add(self, name: str, password: str, options: str = "") -> None:
        """Add a user. The password goes by the standard input."""
        self._run("kadmin.local", "-q", f"addprinc {options} {name}", stdin=f"{password}\n{password}\n")

    def said(self) -> str:
        """What the KDC has logged."""
        path = self.folder / "kdc.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def wait_for_log(self, text: str) -> None:
        """Wait until the log has this."""
        wait_until(lambda: text in self.said(), f"{text!r} in the log of the KDC")


@contextlib.contextmanager
def kdc(more: str = "") -> Iterator[Kdc]:
    """A KDC for the length of a `with` block. `more`: lines of [libdefaults] for clients."""
    with tempfile.TemporaryDirectory(prefix="x2gt-kdc-") as folder:
        made = Kdc(Path(folder), more)
        made.make()
        try:
            yield made
        finally:
            made.stop()
            CLIENT.unlink()
