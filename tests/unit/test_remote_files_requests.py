"""Plain requests that carry what is in files: who may send one, what is whole, and what ends them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_remote_files_carrier import ADDRESS, Desktops, hear, page, run, say, served
from x2gobroker.remote import wire
from x2gobroker.remote.counts import Rules
from x2gobroker.remote.files import requests, tickets

TICKET = "a" * 43


async def ask(
    port: int,
    ticket: str,
    body: bytes = b"",
    *,
    origin: str | None = None,
    path: str = "/websockify",
    lead: bytes | None = None,
    more: tuple[str, ...] = (),
    length: int | None = None,
    wait: bool = True,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send one request, as a browser does."""
    reader, writer = await asyncio.open_connection(ADDRESS, port)
    lead = f"ticket={ticket}\r\n".encode() if lead is None else lead
    size = len(lead) + len(body) if length is None else length
    lines = [
        f"POST {path} HTTP/1.1", f"Host: {ADDRESS}:{port}", f"Origin: {origin or f'http://{ADDRESS}:{port}'}",
        f"Content-Length: {size}", "Content-Type: text/plain", *more,
    ]  # fmt: skip
    writer.write("\r\n".join([*lines, "", ""]).encode() + lead + body)
    if wait:
        await writer.drain()
    return reader, writer


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, str, bytes]:
    """Status, head and body of an answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
    (length,) = re.findall(r"^Content-Length: (\d+)\r$", head, re.MULTILINE)
    body = await reader.readexactly(int(length))
    writer.close()
    return int(head.split()[1]), head, body


async def begun(websocket: Any, name: str, size: int) -> None:
    await say(websocket, "upload", folder="", name=name, size=size, modified=1)
    assert (await hear(websocket))["do"] == "ready"


async def ticket(websocket: Any, do: str, **fields: Any) -> str:
    await say(websocket, do, **fields)
    while (found := await hear(websocket))["do"] == "written":
        pass
    assert found["do"] == "ticket", found
    return str(found["ticket"])


async def last(websocket: Any) -> dict[str, Any]:
    """What comes at the end, after all that is said of how far it is."""
    while (found := await hear(websocket))["do"] == "written":
        pass
    return found


def test_up_in_parts(tmp_path: Path) -> None:
    data = os.urandom((5 << 20) + 7)

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            await begun(websocket, "x", len(data))
            for first, end in ((0, 1 << 20), (1 << 20, len(data))):
                made = await ticket(websocket, "post", offset=first, bytes=end - first)
                status, head, _ = await answered(*await ask(port, made, data[first:end]))
                assert status == 200
                assert f"Access-Control-Allow-Origin: http://{ADDRESS}:{port}" in head
            assert await last(websocket) == {"do": "done", "name": "x"}

    run(work, tmp_path)
    assert (tmp_path / "x").read_bytes() == data


def test_up_by_a_request_and_then_over_the_connection(tmp_path: Path) -> None:
    data = os.urandom(3000)

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            await begun(websocket, "x", len(data))
            made = await ticket(websocket, "post", offset=0, bytes=1000)
            assert (await answered(*await ask(port, made, data[:1000])))[0] == 200
            made = await ticket(websocket, "post", offset=1000, bytes=2000)
            await say(websocket, "go", offset=1000)  # the web server has refused it
            await websocket.send(data[1000:])
            assert await last(websocket) == {"do": "done", "name": "x"}

    run(work, tmp_path)
    assert (tmp_path / "x").read_bytes() == data


@pytest.mark.parametrize("size", [0, 1, (7 << 20) + 3])
def test_down(tmp_path: Path, size: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    data = os.urandom(size)
    (tmp_path / "a 'ü'").write_bytes(data)

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            made = await ticket(websocket, "fetch", folder="", item="a%20%27%C3%BC%27")
            status, head, body = await answered(*await ask(port, made))
            assert (status, body) == (200, data)
            assert "Content-Disposition: attachment; filename*=UTF-8''a%20%27%C3%BC%27\r\n" in head
            assert "Content-Type: application/octet-stream\r\n" in head
            assert f"Content-Length: {size}\r\n" in head
            assert (await last(websocket))["do"] == "sent"
            # the ticket is spent
            assert (await answered(*await ask(port, made)))[0] == 403

    run(work, tmp_path)
    said = [record.getMessage() for record in caplog.records]
    assert any(f"{size} of {size} bytes: done" in line for line in said)
    assert not any(TICKET in line for line in said)


def test_what_no_page_of_ours_sends_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            made = await ticket(websocket, "fetch", folder="", item="x")
            for status, more in (
                (403, {"origin": "https://elsewhere.example"}),
                (403, {"origin": "null"}),
                (404, {"path": "/elsewhere"}),
                (400, {"lead": b"ticket="}),
                (403, {"lead": b"ticket=" + b"b" * 43 + b"\r\n"}),
                (403, {"lead": b"token==" + b"b" * 43 + b"\r\n"}),
                (400, {"more": ("Content-Length: 1",)}),
                (411, {"more": ("Transfer-Encoding: chunked",)}),
                (400, {"more": ("no header",)}),
                (431, {"more": ("X: " + "x" * 3000,) * 6}),
                (400, {"length": -1}),
            ):
                assert (await answered(*await ask(port, made, **more)))[0] == status, more
            # none of that has spent it
            assert (await answered(*await ask(port, made)))[2] == b"content"
            assert (await last(websocket))["do"] == "sent"
            made = await ticket(websocket, "fetch", folder="", item="x")
            assert (await answered(*await ask(port, made, b"more")))[0] == 400

    run(work, tmp_path)


def test_a_ticket_is_of_its_address_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"content")

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            made = await ticket(websocket, "fetch", folder="", item="x")
            old = made
            await say(websocket, "cancel")
            assert (await last(websocket))["do"] == "cancelled"
            made = await ticket(websocket, "fetch", folder="", item="x")
            assert (await answered(*await ask(port, old)))[0] == 403
            assert (await answered(*await ask(port, made)))[0] == 200
            assert (await last(websocket))["do"] == "sent"
            monkeypatch.setattr(tickets, "SECONDS", -1.0)
            made = await ticket(websocket, "fetch", folder="", item="x")
            assert (await answered(*await ask(port, made)))[0] == 403

    run(work, tmp_path)


def test_another_address_spends_it(tmp_path: Path) -> None:
    class Link:
        address = "192.0.2.1"

    given: tickets.Tickets[Any] = tickets.Tickets()
    link, offer = Link(), tickets.Offer("upload", "x", 1)
    made = given.give(link, offer)
    assert given.redeem(made, "192.0.2.2") is None
    assert given.redeem(made, "192.0.2.1") is None
    made = given.give(link, offer)
    assert given.redeem(made, "192.0.2.1") == (link, offer)
    made = given.give(link, offer)
    given.drop(link)
    assert given.redeem(made, "192.0.2.1") is None


def test_an_upload_that_breaks_off_is_gone_on_with(tmp_path: Path) -> None:
    data = os.urandom(1 << 20)

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            await begun(websocket, "x", len(data))
            made = await ticket(websocket, "post", offset=0, bytes=len(data))
            _, writer = await ask(port, made, data[:300000], length=len(data) + requests.LEAD_BYTES)
            writer.close()
            assert await last(websocket) == {"do": "refused", "why": "broken"}
            await say(websocket, "upload", folder="", name="x", size=len(data), modified=1)
            assert (await hear(websocket))["offset"] == 300000
            made = await ticket(websocket, "post", offset=300000, bytes=len(data) - 300000)
            assert (await answered(*await ask(port, made, data[300000:])))[0] == 200
            assert await last(websocket) == {"do": "done", "name": "x"}

    run(work, tmp_path)
    assert (tmp_path / "x").read_bytes() == data


def test_a_download_that_nobody_takes_to_the_end_is_not_done(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(30 << 20))

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            made = await ticket(websocket, "fetch", folder="", item="x")
            reader, writer = await ask(port, made)
            await reader.readexactly(1 << 20)
            writer.transport.abort()
            assert await last(websocket) == {"do": "refused", "why": "broken"}

    run(work, tmp_path)


@pytest.mark.parametrize("way", ["up", "down"])
def test_they_end_with_their_connection(tmp_path: Path, way: str) -> None:
    """At the end of a sign-in as well: what was not whole by then is seen not to be whole."""
    (tmp_path / "x").write_bytes(bytes(30 << 20))

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            if way == "down":
                made = await ticket(websocket, "fetch", folder="", item="x")
                reader, writer = await ask(port, made)
                await reader.readuntil(b"\r\n\r\n")
            else:
                await begun(websocket, "y", 1 << 20)
                made = await ticket(websocket, "post", offset=0, bytes=1 << 20)
                reader, writer = await ask(port, made, bytes(100), length=(1 << 20) + requests.LEAD_BYTES)
            while (await hear(websocket))["do"] != "written":
                pass
            for link in desktops.desktop.links:
                link.cut("you were signed out")
            got = 0
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                while True:
                    got += len(await reader.readexactly(1 << 10))
            assert got < 30 << 20
            writer.close()

    run(work, tmp_path)


async def half_way(port: int, websocket: Any, way: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request in the midst of its body, which does not go on: up, or down, where 30 MB of `x` are to come."""
    if way == "up":
        await begun(websocket, "y", 1 << 20)
        made = await ticket(websocket, "post", offset=0, bytes=1 << 20)
        return await ask(port, made, bytes(100), length=(1 << 20) + requests.LEAD_BYTES)
    made = await ticket(websocket, "fetch", folder="", item="x")
    reader, writer = await ask(port, made)
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_network_that_is_silent_is_noticed_while_a_body_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """And not only after the time for which a user may stop a download: the file is not to be had until then."""
    monkeypatch.setattr(wire, "PING_SECONDS", 0.1)
    monkeypatch.setattr(wire, "SILENCE_SECONDS", 0.5)
    (tmp_path / "x").write_bytes(bytes(30 << 20))

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            _, writer = await half_way(port, websocket, way)
            websocket.transport.pause_reading()  # from now on it answers nothing
            async with asyncio.timeout(20):
                while desktops.desktop.beside:
                    await asyncio.sleep(0.05)
            websocket.transport.resume_reading()
            writer.close()

    run(work, tmp_path)


@pytest.mark.parametrize("way", ["up", "down"])
def test_whoever_stops_a_body_for_a_while_and_is_there_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(wire, "PING_SECONDS", 0.1)
    monkeypatch.setattr(wire, "SILENCE_SECONDS", 0.5)
    (tmp_path / "x").write_bytes(bytes(30 << 20))

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            reader, writer = await half_way(port, websocket, way)
            await asyncio.sleep(1.5)
            if way == "up":
                writer.write(bytes((1 << 20) - 100))
            else:
                assert len(await reader.readexactly(30 << 20)) == 30 << 20
            assert (await last(websocket))["do"] == ("done" if way == "up" else "sent")
            writer.close()

    run(work, tmp_path)


def test_nothing_piles_up_for_a_browser_that_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(64 << 20))

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            made = await ticket(websocket, "fetch", folder="", item="x")
            _, writer = await ask(port, made)
            told = [-1, -2]
            while told[-1] != told[-2] or told[-1] <= 0:  # twice the same, half a second apart
                told.append((await hear(websocket))["bytes"])
            assert told[-1] < 16 << 20
            await say(websocket, "cancel")
            assert (await last(websocket))["do"] == "cancelled"
            writer.close()

    run(work, tmp_path)


def test_they_count_as_connections(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")

    async def work(desktops: Desktops) -> None:
        rules = Rules(per_user=1)
        async with served(desktops, rules) as port, page(port) as websocket:
            made = await ticket(websocket, "fetch", folder="", item="x")
            assert (await answered(*await ask(port, made)))[0] == 429

    run(work, tmp_path)


def test_who_says_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("x2gobroker.remote.patient.FIRST_SECONDS", 0.3)
    monkeypatch.setattr("x2gobroker.remote.post.HEAD_SECONDS", 0.3)

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port:
            for said in (b"", b"PO", b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\nticket="):
                reader, writer = await asyncio.open_connection(ADDRESS, port)
                writer.write(said)
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()

    run(work, tmp_path)
