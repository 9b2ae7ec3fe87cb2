"""Who may connect to a desktop, and where from; locked accounts."""

from __future__ import annotations

import asyncio
import os
import socket
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from websockets.datastructures import Headers

from tests.unit.test_remote_files_carrier import Desktops, closed, kind, page, run, served
from x2gobroker.model.forwarded import UNKNOWN_ADDRESS
from x2gobroker.remote import service
from x2gobroker.remote.clipboard import Clipboard
from x2gobroker.remote.counts import Counts, Rules
from x2gobroker.remote.desktop import Connection, Desktop
from x2gobroker.remote.loader import ScriptError
from x2gobroker.remote.permits import is_locked
from x2gobroker.remote.requests import asked_of, origin_allowed
from x2gobroker.remote.rfb import SERVER_CLOSED
from x2gobroker.remote.runner import make_state_folder
from x2gobroker.remote.service import PROTOCOL, token_of
from x2gobroker.remote.told import TOO_MANY_OF_YOURS
from x2gobroker.remote.types import SessionType
from x2gobroker.store import Slot

PROXIES = (ip_network("127.0.0.0/8"), ip_network("::1"))


def headers(*pairs: tuple[str, str]) -> Headers:
    return Headers(pairs)


@pytest.mark.parametrize(
    ("offered", "token"),
    [
        (("binary, x2gobroker.abc",), "abc"),
        (("binary", "x2gobroker.abc"), "abc"),
        (("x2gobroker.abc",), None),
        (("binary",), None),
        (("binary, x2gobroker.abc, x2gobroker.def",), None),
        ((), None),
    ],
)
def test_the_token_is_a_subprotocol(offered: tuple[str, ...], token: str | None) -> None:
    assert token_of(headers(*(("Sec-WebSocket-Protocol", value) for value in offered))) == token


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
        ("127.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("::ffff:127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::1", "2001:db8::1", "2001:db8::1"),
        ("", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "nonsense", UNKNOWN_ADDRESS),
        ("127.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("", None, UNKNOWN_ADDRESS),
        ("127.0.0.1", None, "127.0.0.1"),
    ],
)
def test_the_address_of_a_browser(peer: str, forwarded: str | None, address: str) -> None:
    given = headers(*([("X-Forwarded-For", forwarded)] if forwarded else []))
    assert asked_of((peer, 1) if peer else "", given, PROXIES).address == address


@pytest.mark.parametrize(
    ("origin", "host", "origins", "allowed"),
    [
        ("https://portal.example", "portal.example", (), True),
        ("https://portal.example", "PORTAL.example:443", (), True),
        ("https://portal.example:8443", "portal.example:8443", (), True),
        ("https://portal.example:8443", "portal.example", (), False),
        ("https://evil.example", "portal.example", (), False),
        ("http://portal.example", "portal.example", (), False),
        ("http://localhost:8080", "localhost:8080", (), True),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", (), True),
        ("https://portal.example", "other.example", ("https://portal.example",), True),
        ("https://other.example", "other.example", ("https://portal.example",), False),
        ("https://portal.example", "other.example", ("nonsense",), False),
        ("null", "portal.example", (), False),
        ("", "portal.example", (), False),
        ("https://user@portal.example", "portal.example", (), False),
        ("https://portal.example/x", "portal.example", (), False),
        ("https://portal.example:99999", "portal.example", (), False),
        ("https://[::1", "portal.example", (), False),
    ],
)
def test_origins(origin: str, host: str, origins: tuple[str, ...], allowed: bool) -> None:
    given = headers(("Host", host), *([("Origin", origin)] if origin else []))
    assert origin_allowed(given, origins, host) is allowed


def test_a_web_server_that_names_nobody_is_not_the_browser() -> None:
    given = headers(("X-Forwarded-Proto", "https"), ("Host", "portal.example"))
    found = asked_of(("127.0.0.1", 1), given, PROXIES)
    assert (found.address, found.fault) == (UNKNOWN_ADDRESS, "X-Forwarded-Proto: https, and no X-Forwarded-For")


def test_the_host_that_a_proxy_was_asked_for() -> None:
    given = headers(
        ("Host", "127.0.0.1:6080"), ("X-Forwarded-Host", "portal.example"), ("Origin", "https://portal.example")
    )
    assert origin_allowed(given, (), asked_of(("127.0.0.1", 1), given, PROXIES).host)
    assert not origin_allowed(given, (), asked_of(("192.0.2.1", 1), given, PROXIES).host)
    twice = headers(("Host", "a.example"), ("Origin", "https://a.example"), ("Origin", "https://b.example"))
    assert not origin_allowed(twice, (), "a.example")


@pytest.mark.parametrize(
    ("line", "locked"),
    [
        ("anna:$y$j9T$abc:19000:0:99999:7:::", False),
        ("anna:!$y$j9T$abc:19000:0:99999:7:::", True),
        ("anna:!:19000:0:99999:7:::", False),
        ("anna:*:19000:0:99999:7:::", False),
        ("anna:!*:19000:0:99999:7:::", False),
        ("anna:$y$j9T$abc:19000:0:99999:7::1:", True),
        ("anna:$y$j9T$abc:19000:0:99999:7::99999:", False),
        ("annabel:!$y$j9T$abc:19000:0:99999:7:::", False),
        ("anna:broken", False),
    ],
)
def test_locked_accounts(line: str, locked: bool, tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    shadow.write_text(f"root:*:1:0:99999:7:::\n{line}\n", encoding="utf-8")
    assert is_locked("anna", shadow) is locked
    assert not is_locked("anna", tmp_path / "nothing")


def test_the_folder_of_scripts_is_closed_to_lists(tmp_path: Path) -> None:
    folder = tmp_path / "a/b"
    make_state_folder(folder)
    make_state_folder(folder)
    assert folder.stat().st_mode & 0o7777 == 0o711


def test_the_folder_of_scripts_lies_where_nobody_can_swap_it(tmp_path: Path) -> None:
    above = tmp_path / "theirs"
    above.mkdir()
    os.chown(above, 4711, -1)
    with pytest.raises(ScriptError, match=r"no place for root: .* belongs to the user with the number 4711"):
        make_state_folder(above / "run")
    assert not (above / "run").exists()


@pytest.mark.parametrize(
    ("started_with", "now", "works"),
    [
        (kind(clipboard="both"), kind(clipboard="none"), "none"),
        (kind(clipboard="none"), kind(clipboard="in"), "in"),
        (None, kind(clipboard="out"), "out"),
        (kind(clipboard="in"), None, "in"),
        (None, None, "none"),
    ],
)
def test_the_clipboard_works_as_the_session_type_says_now(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    started_with: SessionType | None,
    now: SessionType | None,
    works: str,
) -> None:
    """For a desktop that began with another one, too."""
    seen: list[Clipboard] = []

    async def enter(desktops: Desktops, _slot: Slot, link: Connection) -> tuple[Desktop, socket.socket]:
        desktops.desktop.kind = started_with
        desktops.desktop.enter(link)
        return desktops.desktop, socket.socketpair()[0]

    async def shake_hands(*_given: object, **_named: object) -> None:
        await asyncio.sleep(0)

    async def relay(*_given: object, **named: Any) -> str:
        await asyncio.sleep(0)
        seen.append(named["clipboard"])
        return "it has ended"

    monkeypatch.setattr(Desktops, "enter", enter, raising=False)
    monkeypatch.setattr(Desktops, "look_soon", lambda _self: None, raising=False)
    monkeypatch.setattr(service, "shake_hands", shake_hands)
    monkeypatch.setattr(service, "relay", relay)

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port, PROTOCOL) as websocket:
            assert await closed(websocket) == (1000, "it has ended")

    run(work, tmp_path, kind=now)
    assert seen == [Clipboard.of(works)]


@pytest.mark.parametrize(
    ("why", "has_ended", "told"),
    [
        (SERVER_CLOSED, True, "this desktop was stopped: session"),
        (SERVER_CLOSED, False, SERVER_CLOSED),
        ("the browser has gone", True, "the browser has gone"),
    ],
)
def test_whose_vnc_server_closes_the_connection_hears_whether_the_desktop_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str, has_ended: bool, told: str
) -> None:
    async def enter(desktops: Desktops, _slot: Slot, link: Connection) -> tuple[Desktop, socket.socket]:
        desktops.desktop.enter(link)
        return desktops.desktop, socket.socketpair()[0]

    async def nothing(*_given: object, **_named: object) -> None:
        await asyncio.sleep(0)

    async def relay(*_given: object, **_named: object) -> str:
        await asyncio.sleep(0)
        return why

    async def look_now(desktops: Desktops, desktop: Desktop) -> None:
        assert desktop is desktops.desktop
        assert desktop.connections, "it is there to be told"
        await asyncio.sleep(0)
        if has_ended:
            desktop.cut("this desktop was stopped: session")

    monkeypatch.setattr(Desktops, "enter", enter, raising=False)
    monkeypatch.setattr(Desktops, "look_now", look_now, raising=False)
    monkeypatch.setattr(Desktops, "look_soon", lambda _self: None, raising=False)
    monkeypatch.setattr(service, "shake_hands", nothing)
    monkeypatch.setattr(service, "relay", relay)

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port, PROTOCOL) as websocket:
            assert await closed(websocket) == (1000, told)

    desktops = run(work, tmp_path)
    assert not desktops.desktop.connections


def test_connections_of_a_user_are_counted_in_every_spelling() -> None:
    counts, rules = Counts(), Rules(per_user=2)
    with counts.counted("anna", "192.0.2.1"), counts.counted("Anna", "192.0.2.2"):
        refusal = counts.refuse_user(rules, "ANNA")
        assert refusal is not None
        assert refusal.told == TOO_MANY_OF_YOURS
        assert counts.refuse_user(rules, "bert") is None
    assert counts.refuse_user(rules, "anna") is None
