"""A private nginx with a server as `x2gobroker remote print-config nginx` prints it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import Program, running

PROGRAM = "/usr/sbin/nginx"
# what Debian's nginx.conf has around the files of sites-enabled
MAIN = """\
{user}daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    access_log off;
    include {folder}/site.conf;
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A running nginx."""

    program: Program
    folder: Path

    def log(self) -> str:
        """What it has logged, requests included."""
        files = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')}" for file in files)


@contextlib.contextmanager
def nginx_folder() -> Iterator[Path]:
    """A new folder for one nginx, gone afterwards; its workers can go through it."""
    path = Path(tempfile.mkdtemp(prefix="x2gobroker-nginx-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextlib.contextmanager
def nginx(folder: Path, site: str, port: int) -> Iterator[Nginx]:
    """Run nginx with this configuration of a site for the length of a `with` block."""
    user = "user www-data;\n" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(MAIN.format(folder=folder, user=user), encoding="utf-8")
    (folder / "site.conf").write_text(site, encoding="utf-8")
    argv = [PROGRAM, "-p", str(folder), "-c", str(config)]
    tried = subprocess.run([*argv, "-t"], capture_output=True, text=True, timeout=20, check=False)
    assert tried.returncode == 0, tried.stderr
    assert "[warn]" not in tried.stderr, tried.stderr
    with running(argv, folder / "nginx.out", port=port) as program:
        server = Nginx(program, folder)
        try:
            yield server
        finally:
            print(server.log())  # pytest shows it beside a failure
