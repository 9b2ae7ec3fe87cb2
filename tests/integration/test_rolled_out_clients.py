"""What docs/how-to/roll-out-clients.md says of the real X2Go Client: which host keys it asks about, and its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client_home import ClientHome, client_account
from tests.support.client_scenario import PASSWORDS, our_broker
from tests.support.desktop import Desktop
from tests.support.processes import wait_until
from tests.support.sshd import Sshd, sshd
from tests.support.tls import Certificates
from tests.support.x2goclient import MAIN_WINDOW, X2GoClient, x2goclient
from tests.support.x2goclient_program import PROGRAM

EVERYWHERE = Path("/etc/ssh/ssh_known_hosts")
PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/roll-out-clients.md"
ANNA = PASSWORDS["anna"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    """An SSH server that knows nobody: who gets as far as a login has taken its host key."""
    with sshd(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def everywhere() -> Iterator[Path]:
    """The file of host keys for all users of this machine."""
    before = EVERYWHERE.read_bytes() if EVERYWHERE.exists() else None
    yield EVERYWHERE
    EVERYWHERE.unlink(missing_ok=True)
    if before is not None:
        EVERYWHERE.write_bytes(before)


@pytest.fixture
def home() -> Iterator[ClientHome]:
    """An account that has never been anywhere."""
    with client_account("") as made:
        (made.path / ".ssh/known_hosts").unlink()
        yield made


def selected(client: X2GoClient) -> None:
    """Log in at the broker, and choose a profile."""
    client.log_in("anna", ANNA)
    client.wait_for_profiles(2)
    client.select("Alpha desktop", "password for the server")


def goes_on(client: X2GoClient, server: Sshd) -> bool:
    """Whether the client tries to log in, rather than asking its user first."""
    wait_until(
        lambda: "anna" in server.log_text() or bool(client.dialogs()), "a login, or a question about the host key"
    )
    client.picture("then")
    return "anna" in server.log_text()


@pytest.mark.parametrize("known", ["nothing", "own", "everywhere", "authority"])
def test_a_host_key_is_asked_about_unless_it_is_known(
    known: str,
    server: Sshd,
    everywhere: Path,
    home: ClientHome,
    screen: Desktop,
    pictures: Path,
    tmp_path: Path,
) -> None:
    lines = server.host_key_lines("127.0.0.1")
    if known == "own":
        home.know_hosts(lines)
    elif known == "everywhere":
        everywhere.write_text(lines, encoding="ascii")
    elif known == "authority":
        everywhere.write_text("".join(f"@cert-authority {line}\n" for line in lines.splitlines()), encoding="ascii")
    with (
        our_broker(tmp_path, server.port) as broker,
        x2goclient(screen, home, f"{broker.url}/plain/inifile/", pictures) as client,
    ):
        selected(client)
        assert goes_on(client, server) is (known in ("own", "everywhere"))


def test_every_option_of_the_page_exists() -> None:
    client, page = PROGRAM.read_bytes(), PAGE.read_text(encoding="utf-8").partition("## PyHoca")[0]
    options = set(re.findall(r"(?<![\w-])--[a-z-]+", page))
    assert len(options) > 12
    assert {option for option in options if option.encode() not in client} == set()


def test_the_command_of_a_kiosk_shows_the_profiles(
    screen: Desktop, home: ClientHome, certificates: Certificates, pictures: Path, tmp_path: Path
) -> None:
    command = re.search(r"```sh\n(/usr/bin/x2goclient .*?) &\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert command
    options = shlex.split(command.group(1).replace("\\\n", ""))[1:]
    more = [
        option for option in options if not option.startswith(("--broker-url=", "--broker-cacertfile=", "--no-menu"))
    ]
    assert len(options) - len(more) == 3
    with (
        our_broker(tmp_path, 22, tls=certificates) as broker,
        x2goclient(screen, home, f"{broker.url}/plain/inifile/", pictures, broker.authority, more) as client,
    ):
        # a window that no window manager knows of, and none is needed: X2Go Client takes the keyboard itself
        wait_until(lambda: MAIN_WINDOW in screen.windows().values(), "the window")
        screen.wait_until_still()
        client.picture("form")
        for text, key in (("anna", "Tab"), (ANNA, "Return")):
            screen.type(text)
            screen.key(key)
        wait_until(lambda: client.profiles_read == 2, "two profiles on offer")
        client.picture("profiles")


def test_add_to_known_hosts_takes_every_key(
    server: Sshd, home: ClientHome, screen: Desktop, pictures: Path, tmp_path: Path
) -> None:
    with (
        our_broker(tmp_path, server.port) as broker,
        x2goclient(screen, home, f"{broker.url}/plain/inifile/", pictures, more=("--add-to-known-hosts",)) as client,
    ):
        selected(client)
        assert goes_on(client, server)
    assert (home.path / ".ssh/known_hosts").read_text().split()[2] in server.host_key_lines("127.0.0.1")
