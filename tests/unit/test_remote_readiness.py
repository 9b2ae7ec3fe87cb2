"""`/health` and `/health/ready` of the service: what fails, how soon it is said, and what goes on meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from tests.unit.test_remote_files_carrier import ADDRESS, Desktops, served, slot
from x2gobroker.errors import StoreError
from x2gobroker.remote import readiness
from x2gobroker.remote.readiness import ReadinessCheck
from x2gobroker.store import Pass, RemoteDesktops, Store

SECRET = "postgresql://user:secret@inside.example/x"


class Stored(Desktops):
    """Desktops with a state store, which may fail."""

    store: Store
    store_fault: StoreError | None = None

    async def ask_store(self, work: Callable[[Any], Any]) -> Any:
        if self.store_fault is not None:
            raise self.store_fault
        return await asyncio.to_thread(work, RemoteDesktops(self.store))


def stored(folder: Path) -> Stored:
    """Those, with a new state store."""
    made = Stored(folder, Pass(slot(), "anna", view_only=False))
    made.store = Store(URL.create("sqlite", database=str(folder / "state/store.sqlite")))
    return made


async def get(port: int, path: str) -> tuple[int, str, str]:
    """Status, kind and text of what the service answers to a monitor."""
    reader, writer = await asyncio.open_connection(ADDRESS, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {ADDRESS}:{port}\r\n\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(), 60)).decode().partition("\r\n\r\n")
    writer.close()
    lines = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    return int(head.split()[1]), lines["Content-Type"], body


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, what answers is waited for, and nothing is kept."""
    monkeypatch.setattr(readiness, "DEADLINE_SECONDS", 60.0)
    monkeypatch.setattr(readiness, "KEEP_SECONDS", 0.0)


@pytest.mark.usefixtures("_patient")
def test_the_service_is_alive_without_its_store_and_not_ready(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    desktops = stored(tmp_path)

    async def work() -> None:
        async with served(desktops) as port:
            status, kind, text = await get(port, "/health/ready")
            assert (status, kind, json.loads(text)) == (200, "application/json", {"status": "ready", "failing": []})
            desktops.store_fault = StoreError(f"the state store cannot be reached: {SECRET}")
            for _ in range(2):
                status, kind, text = await get(port, "/health/ready")
                assert (status, kind) == (503, "application/json")
                assert json.loads(text) == {"status": "not ready", "failing": ["store"]}
            assert (await get(port, "/health"))[::2] == (200, "ok\n")
            desktops.store_fault = None
            assert (await get(port, "/health/ready"))[0] == 200

    asyncio.run(asyncio.wait_for(work(), 120))
    told = [record.getMessage() for record in said.records if record.levelname == "WARNING"]
    assert told == ["remote: not ready: store", "remote: ready again"]


def test_a_store_that_lacks_something_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "DEADLINE_SECONDS", 60.0)
    desktops = stored(tmp_path)
    with desktops.store.begin() as connection:
        connection.exec_driver_sql("DROP TABLE remote_tokens")

    async def work() -> None:
        async with served(desktops) as port:
            assert (await get(port, "/health/ready"))[0] == 503

    asyncio.run(asyncio.wait_for(work(), 120))


def test_a_store_that_hangs_is_asked_once_and_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "DEADLINE_SECONDS", 0.3)
    asked = 0

    async def work() -> None:
        answers = asyncio.Event()

        async def hang() -> None:
            nonlocal asked
            asked += 1
            await answers.wait()

        check = ReadinessCheck(hang)
        began = time.monotonic()
        found = await asyncio.gather(*(check.failing() for _ in range(50)))
        assert time.monotonic() - began < 20
        assert found == [("store",)] * 50
        assert await check.failing() == ("store",)
        assert asked == 1
        answers.set()
        monkeypatch.setattr(readiness, "DEADLINE_SECONDS", 60.0)
        assert await check.failing() == ()
        assert asked == 1

    asyncio.run(asyncio.wait_for(work(), 120))


def test_an_answer_counts_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "DEADLINE_SECONDS", 60.0)
    monkeypatch.setattr(readiness, "KEEP_SECONDS", 600.0)
    asked = 0

    async def work() -> None:
        async def answer() -> None:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0)

        check = ReadinessCheck(answer)
        assert [await check.failing() for _ in range(3)] == [()] * 3
        assert asked == 1
        monkeypatch.setattr(readiness, "KEEP_SECONDS", 0.0)
        assert await check.failing() == ()
        assert asked == 2

    asyncio.run(asyncio.wait_for(work(), 120))
