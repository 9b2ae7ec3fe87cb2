"""x2gobroker-remote with real VNC servers: connections, lifecycle, limits, who may connect."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.support.accounts import account, account_with_home, processes_of
from tests.support.processes import wait_until
from tests.support.remote import Remote, remote, servers_below
from tests.support.rfb_client import RfbClient
from x2gobroker.remote.told import TOO_MANY, TOO_MANY_OF_YOURS, WRONG_LOGIN, WRONG_PAGE, WRONG_WAY
from x2gobroker.store import Slot

DISPLAYS = 3000 + os.getpid() % 2000 * 10  # displays that no other test has; no X server comes up by itself there


def plain(count: int = 1, first: int = 0, options: dict[str, Any] | None = None) -> dict[str, Any]:
    """A session type with Xvnc."""
    made = {"display_base": DISPLAYS + first, **(options or {})}
    return {"script": "plain.py", "count": count, "options": made}


@pytest.fixture(scope="module")
def service() -> Iterator[Remote]:
    """A service with session types of all kinds, for tests that leave it as it was."""
    types = {
        "Desktop": plain(5),
        "Secret": plain(1, 10, {"password": "Vnc-pw-1", "tell": True}),
        "Ask": plain(1, 11, {"password": "Vnc-pw-2"}),
        "Short": plain(1, 12) | {"grace-seconds": 1},
        "Brief": plain(1, 13) | {"absolute-minutes": 1},
    }
    with remote(types) as made:
        yield made


@pytest.fixture
def slot(service: Remote) -> Iterator[Slot]:
    """A place of the type Desktop, given back at the end."""
    taken = service.reserve("Desktop", count=5)
    yield taken
    give_back(service, taken)


def give_back(service: Remote, slot: Slot) -> None:
    """Stop a desktop, and wait for that."""
    service.desktops.ask_stop(slot)
    service.wait_for_state(slot, "gone")


def move(client: RfbClient, x: int, y: int) -> None:
    client.write(struct.pack(">BBHH", 5, 0, x, y))


def test_a_desktop_starts_at_the_first_connection_and_stops_when_asked(service: Remote, slot: Slot) -> None:
    assert not servers_below(service.folder)
    began = time.monotonic()
    client = service.connect(slot)
    assert client.size == (320, 200)
    assert len(client.picture()) == 4 * 320 * 200
    assert time.monotonic() - began < 10
    assert client.security == 1
    found = service.desktops.find(slot.id)
    assert found is not None
    assert (found.state, found.unix_path.startswith(str(service.scripts_state))) == ("running", True)
    assert len(servers_below(service.folder)) == 1
    wait_until(lambda: service.desktops.of_user("anna")[0].connections == 1, "the count of connections")
    service.desktops.ask_stop(slot)
    assert "stopped" in client.wait_closed()
    service.wait_for_state(slot, "gone")
    assert not servers_below(service.folder)


def test_two_tabs_have_one_desktop_and_neither_ends_the_other(service: Remote, slot: Slot) -> None:
    """Both are opened at once, as by a double click on start."""
    first = service.connect(slot)
    second = service.connect(service.reserve("Desktop", count=5))
    assert len(servers_below(service.folder)) == 1
    first.type("a")
    assert first.picture() == second.picture()
    second.close()
    assert len(first.picture()) == 4 * 320 * 200
    first.close()


def test_a_user_comes_back_to_the_same_desktop(service: Remote, slot: Slot) -> None:
    service.connect(slot).websocket.socket.close()  # as when the network drops
    server = servers_below(service.folder)
    assert service.reserve("Desktop", count=5).id == slot.id
    client = service.connect(slot)
    client.picture()
    assert servers_below(service.folder) == server
    client.close()


def test_who_looks_on_cannot_do_anything(service: Remote, slot: Slot) -> None:
    owner = service.connect(slot)
    link = service.desktops.share(slot)
    token = service.desktops.token(slot, "guest", "127.0.0.1", share=link)
    viewer = RfbClient(service.port, token)
    move(owner, 5, 5)
    viewer.picture()
    # the size of the screen is something that would show: a viewer's wish is dropped, the owner's is heard
    wish = struct.pack(">BxHHBxIHHHHI", 251, 400, 300, 1, 0, 0, 0, 400, 300, 0)
    viewer.write(wish)
    viewer.type("hello\n")
    viewer.picture()
    owner.picture()
    assert (viewer.size, owner.size) == ((320, 200), (320, 200))
    owner.write(wish)
    owner.picture()
    viewer.picture()
    assert (viewer.size, owner.size) == ((400, 300), (400, 300))
    assert service.desktops.revoke(slot) == 1
    assert viewer.wait_closed() == "the link was taken back"
    assert service.desktops.shared(link) is None
    with pytest.raises(ValueError, match="link"):
        service.desktops.token(slot, "guest", "127.0.0.1")
    owner.close()


def test_a_guest_who_may_work_does_so_until_the_link_ends(service: Remote, slot: Slot) -> None:
    owner = service.connect(slot)
    link = service.desktops.share(slot, seconds=5.0, works=True)
    guest = RfbClient(service.port, service.desktops.token(slot, "guest", "127.0.0.1", share=link))
    guest.write(struct.pack(">BxHHBxIHHHHI", 251, 400, 300, 1, 0, 0, 0, 400, 300, 0))
    guest.type("hello\n")
    guest.picture()
    owner.picture()
    assert (guest.size, owner.size) == ((320, 200), (320, 200)), "the size is the owner's"
    assert "works as a guest at Desktop/" in service.said()
    assert guest.wait_closed() == "the link was taken back"
    owner.picture()
    owner.close()


def test_the_service_gives_the_password_and_no_browser_sees_it(service: Remote) -> None:
    slot = service.reserve("Secret")
    client = service.connect(slot)
    assert client.security == 1
    client.picture()
    client.close()
    give_back(service, slot)
    assert "Vnc-pw" not in service.said()


def test_the_user_is_asked_where_nobody_has_set_the_password(service: Remote) -> None:
    slot = service.reserve("Ask")
    with pytest.raises(AssertionError, match=WRONG_LOGIN):
        service.connect(slot, password="wrong")
    client = service.connect(slot, password="Vnc-pw-2")
    assert client.security == 2
    client.picture()
    client.close()
    give_back(service, slot)


def test_a_desktop_ends_some_time_after_its_last_connection(service: Remote) -> None:
    slot = service.reserve("Short")
    client = service.connect(slot)
    time.sleep(2.5)
    assert service.state(slot) == "running"
    client.close()
    service.wait_for_state(slot, "gone", deadline=10)


def test_the_portal_knows_when_a_desktop_will_end(service: Remote) -> None:
    slot = service.reserve("Brief")
    client = service.connect(slot)

    def told() -> bool:
        found = service.desktops.find(slot.id)
        return found is not None and found.ends is not None and found.ends_why == "absolute"

    wait_until(told, "the end being written")
    found = service.desktops.find(slot.id)
    assert found is not None
    assert found.started is not None
    assert found.ends == pytest.approx(found.started + 60)
    client.close()
    give_back(service, slot)


def told(service: Remote, token: str, **more: object) -> str:
    """What somebody is told whom the service does not let in, where the page can show it."""
    with pytest.raises(AssertionError) as caught:
        RfbClient(service.port, token, **more)  # type: ignore[arg-type]
    return str(caught.value)


def refused(service: Remote, token: str, **more: object) -> int:
    """The status with which a connection is refused."""
    with pytest.raises(InvalidStatus) as caught:
        RfbClient(service.port, token, **more)  # type: ignore[arg-type]
    return caught.value.response.status_code


def test_a_token_counts_once_for_its_address_and_not_for_long(service: Remote, slot: Slot) -> None:
    desktops = service.desktops
    token = desktops.token(slot, "anna", "127.0.0.1")
    RfbClient(service.port, token).close()
    for wrong in (
        token,
        desktops.token(slot, "anna", "192.0.2.7"),
        desktops.token(slot, "anna", "127.0.0.1", now=time.time() - 31),
        "0" * 40,
    ):
        assert told(service, wrong) == WRONG_WAY
    by_proxy = {"X-Forwarded-For": "203.0.113.1, 192.0.2.7"}
    RfbClient(service.port, desktops.token(slot, "anna", "192.0.2.7"), headers=by_proxy).close()
    assert token not in service.said()


def test_a_token_of_the_user_before_does_not_lead_to_the_next_one(service: Remote, slot: Slot) -> None:
    token = service.desktops.token(slot, "anna", "127.0.0.1")
    service.desktops.ask_stop(slot)
    other = service.reserve("Desktop", "bert", count=5)
    assert (other.number, other.id != slot.id) == (slot.number, True)
    assert told(service, token) == WRONG_WAY
    give_back(service, other)


def test_pages_of_other_origins_are_refused(service: Remote, slot: Slot) -> None:
    desktops = service.desktops
    for origin in ("https://evil.example", f"http://127.0.0.1:{service.port + 1}", "null", "http://portal.example"):
        assert told(service, desktops.token(slot, "anna", "127.0.0.1"), origin=origin) == WRONG_PAGE
    token = desktops.token(slot, "anna", "127.0.0.1")
    headers = {"X-Forwarded-Host": "portal.example.org", "X-Forwarded-For": "127.0.0.1"}
    RfbClient(service.port, token, origin="https://portal.example.org", headers=headers).close()


def test_what_is_no_connection_to_a_desktop_is_refused(service: Remote, slot: Slot) -> None:
    assert refused(service, "", protocols=["binary"]) == 400
    assert refused(service, service.desktops.token(slot, "anna", ""), path="/elsewhere") == 404
    assert refused(service, "", path="/health") == 200
    wait_until(lambda: refused(service, "", path="/health/ready") == 200, "the service being ready")


def test_limits_of_connections() -> None:
    more = "remote-connections-per-user = 2\nremote-connections-per-address = 3\n"
    with remote({"Desktop": plain(3, 20)}, more) as service:
        mine = service.reserve("Desktop", count=3)
        open_ones = [service.connect(mine), service.connect(mine)]
        assert told(service, service.desktops.token(mine, "anna", "127.0.0.1")) == TOO_MANY_OF_YOURS
        other = service.reserve("Desktop", "bert", count=3)
        open_ones.append(service.connect(other))
        third = service.reserve("Desktop", "carl", count=3)
        assert told(service, service.desktops.token(third, "carl", "127.0.0.1")) == TOO_MANY
        open_ones.pop().close()
        wait_until(
            lambda: f"bert ({other.id[:8]}): the browser has gone" in service.said(),
            "the connection being counted no more",
        )
        service.connect(third).close()


def test_five_hundred_idle_connections_take_less_than_150_megabytes() -> None:
    more = "remote-connections-per-user = 1000\nremote-connections-per-address = 1000\n"
    with remote({"Desktop": plain(10, 60)}, more) as service:
        slots = [service.reserve("Desktop", f"user{number}", count=10) for number in range(10)]
        with ThreadPoolExecutor(8) as pool:
            clients = list(pool.map(lambda number: service.connect(slots[number % 10]), range(500)))
        assert service.program is not None
        rollup = Path(f"/proc/{service.program.pid}/smaps_rollup").read_text(encoding="ascii")
        assert int(rollup.partition("Rss:")[2].split()[0]) < 150_000
        clients[0].picture()
        assert service.stop() == 0
        assert not servers_below(service.folder)
        for client in clients:
            client.close()


def test_rights_are_given_away_but_for_scripts() -> None:
    """The process with the network is the broker's account's; the VNC server is root's here, as its script wants it."""
    with account("Some-pw-1") as made:
        variables = {"X2GOBROKER_DAEMON_USER": made.name}
        with remote({"Desktop": plain(1, 30)}, variables=variables, start=False) as service:
            state = service.folder / "state"
            state.mkdir(mode=0o700)
            os.chown(state, pwd.getpwnam(made.name).pw_uid, -1)
            program = service.start()
            user = Path(f"/proc/{program.pid}").stat().st_uid
            assert user == pwd.getpwnam(made.name).pw_uid
            groups = Path(f"/proc/{program.pid}/status").read_text(encoding="ascii")
            assert "CapEff:\t0000000000000000" in groups
            slot = service.reserve("Desktop")
            client = service.connect(slot)
            client.picture()
            (server,) = servers_below(service.folder)
            assert Path(f"/proc/{server}").stat().st_uid == 0
            client.close()
            assert service.stop() == 0
            assert not servers_below(service.folder)
            service.store.close()


def test_the_service_can_leave_desktops_running_when_it_stops() -> None:
    with remote({"Desktop": plain(1, 40)}, "remote-stop-with-service = false") as service:
        slot = service.reserve("Desktop")
        client = service.connect(slot)
        (server,) = servers_below(service.folder)
        assert service.stop() == 0
        assert "being stopped" in client.wait_closed()
        assert servers_below(service.folder) == [server]
        service.start()
        wait_until(lambda: "was found again" in service.said(), "the desktop being found again")
        service.connect(slot).close()
        assert servers_below(service.folder) == [server]
        give_back(service, slot)
        assert not servers_below(service.folder)


def test_it_does_not_start_without_session_types_or_twice(service: Remote) -> None:
    with remote({}, start=False) as other:
        other.config.write_text("[global]\n", encoding="utf-8")
        program = other.start_anyhow()
        assert program.process.wait(30) == 2
        assert "remote-session-config in [global] names no file" in other.said()
        other.config.write_text(service.config.read_text(encoding="utf-8"), encoding="utf-8")
        program = other.start_anyhow()
        assert program.process.wait(30) == 2
        assert "cannot listen on" in other.said()
    assert service.program is not None
    assert service.program.process.poll() is None


def test_a_user_types_into_a_shell_by_the_script_that_ships() -> None:
    """TigerVNC as the user: started at the first connection, and wholly gone when it is stopped."""
    with account_with_home("Some-pw-1") as made:
        options = {"command": ["xterm", "-geometry", "80x20+0+0"], "display_base": DISPLAYS + 50}
        types = {"Shell": {"script": "tigervnc.py", "count": 1, "options": options}}
        with remote(types) as service:
            slot = service.reserve("Shell", made.name, size="640x480")
            began = time.monotonic()
            client = service.connect(slot)
            client.picture()
            assert time.monotonic() - began < 10
            assert client.size == (640, 480)
            move(client, 100, 100)
            proof = made.home / "typed"
            wait_until(lambda: "xterm" in names_of(made.name), "the xterm")

            def typed() -> bool:
                client.type(f"touch {proof}\n")
                time.sleep(0.2)
                return proof.exists()

            wait_until(typed, "what was typed being done")
            assert proof.owner() == made.name
            service.stop(signal.SIGKILL)
            service.start()
            assert "was found again" in service.said()
            service.connect(slot).picture()
            give_back(service, slot)
            wait_until(lambda: not processes_of(made.name), "the end of all that the user has run")


def names_of(user: str) -> set[str]:
    """The programs that run as a user."""
    found = set()
    for number in processes_of(user):
        with contextlib.suppress(OSError):
            found.add(Path(f"/proc/{number}/comm").read_text(encoding="utf-8").strip())
    return found
