"""`x2gobroker demo`: a broker to try, with nothing to configure.

It has the backend zeroconf, a user file of one user, and the portal with a desktop in the browser.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
from pathlib import Path

from x2gobroker.auth.htpasswd import read_users, write_user
from x2gobroker.auth.passwords import hash_password
from x2gobroker.cli.admin import demo_desktop
from x2gobroker.cli.admin.demo_desktop import DemoDesktop
from x2gobroker.cli.daemon import program as daemon
from x2gobroker.errors import ConfigurationError
from x2gobroker.privilege import TrustError, check_place

USER = "demo"
CONFIG = """\
# The configuration of `x2gobroker demo`, written at each start: one session profile, this host, for the users of the
# file below, and the portal.
[global]
default-auth-mech = htpasswd
cookie-directory = {folder}/state
enable-portal = true
portal-backend = zeroconf
{more}
[broker_zeroconf]
enable = true
auth-mech = htpasswd

[broker_inifile]
enable = false

[authmech_htpasswd]
file = {folder}/users
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "demo",
        help="start a broker to try out, with nothing to configure",
        description="Starts a broker on loopback with one session profile (a desktop on this host), one user, and the "
        "portal. If Xvnc is installed, the portal has a desktop in the browser.",
    )
    parser.add_argument(
        "--folder", default="run/demo", metavar="FOLDER", help="folder for its files (default: %(default)s)"
    )
    parser.add_argument("-b", "--bind", default="127.0.0.1:8080", metavar="[ADDRESS:]PORT", help="where to listen")
    parser.set_defaults(run=run)


def prepare(folder: Path, desktop: DemoDesktop | None = None) -> str:
    """Write what is missing of the demo's files; returns the demo user's password. Raises BrokerError."""
    password_file = folder / "password"
    try:
        check_place(folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = CONFIG.format(folder=folder.absolute(), more=desktop.settings if desktop else "")
        (folder / "x2gobroker.conf").write_text(text, encoding="utf-8")
        if desktop:
            demo_desktop.write_types(desktop)
        users = folder / "users"
        if not (password_file.exists() and users.exists() and USER in read_users(users)):
            password = secrets.token_urlsafe(9)
            write_user(users, USER, hash_password(password))
            password_file.touch(mode=0o600)
            password_file.write_text(password + "\n", encoding="utf-8")
        return password_file.read_text(encoding="utf-8").strip()
    except TrustError as error:
        raise ConfigurationError(f"{folder} cannot be used: {error}; or choose another --folder") from None
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error.strerror}; choose another --folder") from None


def run(options: argparse.Namespace) -> int:
    """Start the demo and say how to use it."""
    folder = Path(options.folder)
    bind = daemon.parse_bind(options.bind)
    daemon.check_bindable(bind)
    packages = demo_desktop.missing()
    desktop = None if packages else demo_desktop.plan(folder, int(bind.rpartition(":")[2]))
    password = prepare(folder, desktop)
    url = "http://" + bind.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - for display
    print(f"X2Go Session Broker: {url}/")
    print(f"  user name {USER}, password {password}")
    print(f"  in a web browser: {url}/portal/")
    if packages:
        print(f"  for a desktop in the browser: apt-get install {' '.join(packages)}, and start this again")
    print(f"  x2goclient --broker-url={url}/plain/zeroconf/")
    print(f"  files in {folder.absolute()}; Ctrl-C ends it", flush=True)
    variables = {
        "X2GOBROKER_CONFIG": str(folder / "x2gobroker.conf"),
        "X2GOBROKER_DEFAULT_BACKEND": "zeroconf",
        "X2GOBROKER_LOGCONFIG": "",
        "X2GOBROKER_DEBUG_INTERACTIVELY": "1",
    }
    variables |= desktop.variables if desktop else {}
    arguments = daemon.build_parser().parse_args(["-b", options.bind])
    beside = demo_desktop.served(folder / "x2gobroker.conf", variables) if desktop else contextlib.nullcontext()
    with beside:
        return daemon.run(arguments, variables)
