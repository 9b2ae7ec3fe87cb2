"""Files in and out of a desktop, beside sftp on the same machine, and what our processes keep in memory meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import expect
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from bench.load import WrongAnswerError
from bench.plan import Plan, progress
from bench.remote import _tree, held_back
from bench.report import number, table
from tests.support.accounts import Account, account_with_home
from tests.support.browser import Tab, chromium, tab
from tests.support.portal_desktops import DISPLAYS, PASSWORD, PortalDesktops, portal_desktops
from tests.support.sshd import Sshd, make_key, sshd
from x2gobroker.remote.files.link import FILES_PROTOCOL
from x2gobroker.remote.service import TOKEN_PREFIX
from x2gobroker.store import Slot

BYTES, QUICK_BYTES = 1 << 30, 1 << 27
ROUNDS = 3
PART = 1 << 19
WANTED = 50  # percent of sftp
SFTP, OURS, BROWSER = "sftp", "ours, a plain client", "ours, Chromium"
UP, DOWN = "up", "down"
KIND = "Desk"


@dataclass
class Files:
    """Megabytes a second by way and direction, and the most memory of each of our processes."""

    size: int
    rates: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    memory: dict[str, tuple[float, float]] = field(default_factory=dict)  # megabytes before, and at most


class _Watch:
    """The service, its spawner and workers, and the user's process: how much memory each has had at most."""

    def __init__(self, site: PortalDesktops) -> None:
        assert site.service.program is not None
        self._top = site.service.program.pid

    def peaks(self) -> tuple[float, float]:
        """Megabytes: of the service itself, and the largest of the processes below it. VmHWM of proc(5)."""
        own = [_peak(pid) for pid in _tree(self._top)]
        return own[0], max(own[1:])


def _peak(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def measure(plan: Plan) -> Files:
    """All ways in turn, round by round."""
    result = Files(QUICK_BYTES if plan.quick else BYTES)
    with contextlib.ExitStack() as stack:
        stack.enter_context(held_back())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-files-", dir="/var/tmp")))
        user = stack.enter_context(account_with_home(PASSWORD, below="/var/tmp"))
        source = folder / "source.bin"
        with source.open("wb") as stream:
            for _ in range(result.size >> 20):
                stream.write(os.urandom(1 << 20))
        server = _sftp_server(stack, folder, user)
        site = _site(stack, user)
        slot = _running(site, user)
        person = stack.enter_context(tab(stack.enter_context(chromium())))
        person.sign_in(_url(site), user.name, PASSWORD)
        ways: dict[tuple[str, str], Callable[[], None]] = {
            (SFTP, UP): lambda: _sftp(server, user, folder, f"put {source} {user.home}/up.bin"),
            (SFTP, DOWN): lambda: _sftp(server, user, folder, f"get {user.home}/source.bin {folder}/down.bin"),
            (OURS, UP): lambda: _upload(site, slot, source),
            (OURS, DOWN): lambda: _download(site, slot, folder / "down.bin"),
            (BROWSER, UP): lambda: _upload_by(person, source),
            (BROWSER, DOWN): lambda: _download_by(person, result.size),
        }
        shutil.copyfile(source, user.home / "source.bin")
        shutil.chown(user.home / "source.bin", user.name)
        watch = _Watch(site)
        before = watch.peaks()
        for round_number in range(1 if plan.quick else ROUNDS):
            for (way, direction), work in ways.items():
                progress(f"files: round {round_number + 1}, {way}, {direction}")
                if way == BROWSER:
                    _open_files(person, site, slot)
                os.sync()
                begin = time.monotonic()
                work()
                result.rates.setdefault((way, direction), []).append(result.size / 1e6 / (time.monotonic() - begin))
                _check(user.home, folder, result.size, source)
        after = watch.peaks()
        result.memory = {"the service": (before[0], after[0]), "its workers": (before[1], after[1])}
    return result


def _check(home: Path, folder: Path, size: int, source: Path) -> None:
    """What has come is whole; and it goes again."""
    for path in [*home.glob("up*.bin"), *home.glob("source (*).bin"), *folder.glob("down*.bin")]:
        if path.stat().st_size != size or subprocess.run(["cmp", "-s", path, source], check=False).returncode:
            raise WrongAnswerError(f"{path} is not what was sent")
        path.unlink()


def _sftp_server(stack: contextlib.ExitStack, folder: Path, user: Account) -> Sshd:
    line = make_key(folder / "id")
    server = stack.enter_context(
        sshd(folder / "sshd", authorized={user.name: line}, config="Subsystem sftp internal-sftp")
    )
    lines = server.host_key_lines("127.0.0.1")
    (folder / "known_hosts").write_text(lines, encoding="ascii")
    return server


def _sftp(server: Sshd, user: Account, folder: Path, batch: str) -> None:
    options = [f"-oUserKnownHostsFile={folder}/known_hosts", f"-oIdentityFile={folder}/id", "-oBatchMode=yes"]
    argv = ["sftp", "-F", "/dev/null", *options, f"-P{server.port}", "-b", "-", f"{user.name}@127.0.0.1"]
    done = subprocess.run(argv, input=batch.encode(), check=False, capture_output=True)
    if done.returncode:
        raise WrongAnswerError(f"sftp: {done.stderr.decode()} {server.log_text()}")


def _site(stack: contextlib.ExitStack, user: Account) -> PortalDesktops:
    kind = {"script": "terminal.py", "count": 1, "files": "both", "options": {"display_base": DISPLAYS + 30}}
    site = stack.enter_context(portal_desktops({KIND: kind}))
    # without the cables that a test may pull out
    config = site.service.config.read_text(encoding="utf-8")
    direct = config.replace(f":{site.websockets.port}/", f":{site.service.port}/")
    direct = direct.replace(f"127.0.0.1:{site.pages.port}", f"127.0.0.1:{site.pages.target}")
    site.service.config.write_text(direct, encoding="utf-8")
    with (site.service.folder / "users").open("r+", encoding="utf-8") as users:
        (hashed,) = {line.partition(":")[2] for line in users.read().splitlines()}
        users.write(f"{user.name}:{hashed}\n")
    return site


def _running(site: PortalDesktops, user: Account) -> Slot:
    slot = site.service.reserve(KIND, user.name)
    site.service.connect(slot, origin=f"http://127.0.0.1:{site.pages.target}").close()
    site.service.wait_for_state(slot, "running")
    return slot


@contextlib.contextmanager
def _page(site: PortalDesktops, slot: Slot) -> Iterator[ClientConnection]:
    token = site.service.desktops.token(slot, slot.username, "127.0.0.1")
    words = [Subprotocol(FILES_PROTOCOL), Subprotocol(TOKEN_PREFIX + token)]
    with connect(
        f"ws://127.0.0.1:{site.service.port}/websockify",
        origin=Origin(f"http://127.0.0.1:{site.pages.target}"), subprotocols=words, compression=None, max_size=1 << 22,
    ) as page:  # fmt: skip
        yield page


def _upload(site: PortalDesktops, slot: Slot, source: Path) -> None:
    size = source.stat().st_size
    with _page(site, slot) as page, source.open("rb") as stream:
        page.send(f'{{"do":"upload","folder":"","name":"up.bin","size":{size},"modified":1}}')
        page.recv()
        page.send(f'{{"do":"post","offset":0,"bytes":{size}}}')
        with _request(site, _ticket(page), size) as channel:
            channel.sendfile(stream)
            if not channel.recv(4096).startswith(b"HTTP/1.1 200 "):
                raise WrongAnswerError("an upload was refused")
        _wait_for(page, "done")


def _download(site: PortalDesktops, slot: Slot, target: Path) -> None:
    with _page(site, slot) as page, target.open("wb") as stream:
        page.send('{"do":"fetch","folder":"","item":"source.bin"}')
        with _request(site, _ticket(page), 0) as channel, channel.makefile("rb") as answer:
            while answer.readline().strip():
                pass
            shutil.copyfileobj(answer, stream, PART)
        _wait_for(page, "sent")


@contextlib.contextmanager
def _request(site: PortalDesktops, ticket: str, size: int) -> Iterator[socket.socket]:
    """A plain request, whose body has begun."""
    lead = f"ticket={ticket}\r\n"
    lines = (
        "POST /websockify HTTP/1.1", "Host: 127.0.0.1", f"Origin: http://127.0.0.1:{site.pages.target}",
        f"Content-Length: {len(lead) + size}", "", lead,
    )  # fmt: skip
    with socket.create_connection(("127.0.0.1", site.service.port)) as channel:
        channel.sendall("\r\n".join(lines).encode())
        yield channel


def _ticket(page: ClientConnection) -> str:
    return str(_wait_for(page, "ticket")["ticket"])


def _wait_for(page: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of this kind; those before it say how far something is."""
    while (found := json.loads(str(page.recv())))["do"] == "written":
        pass
    if found["do"] != kind:
        raise WrongAnswerError(f"{found} in the place of {kind}")
    return dict(found)


def _url(site: PortalDesktops) -> str:
    return f"http://127.0.0.1:{site.pages.target}/portal/"


def _open_files(person: Tab, site: PortalDesktops, slot: Slot) -> None:
    person.page.goto(f"{_url(site)}desktop/{slot.id}")
    person.wait_for_phase("connected")
    person.page.get_by_role("button", name="Files").click()
    expect(person.page.get_by_role("button", name="Download source.bin")).to_be_visible()


def _upload_by(person: Tab, source: Path) -> None:
    person.page.set_input_files("#files-chosen", [source])
    expect(person.page.locator(".transfer[data-state=done]")).to_be_visible(timeout=300000)


def _download_by(person: Tab, size: int) -> None:
    with person.page.expect_download() as started:
        person.page.get_by_role("button", name="Download source.bin").click()
    if Path(started.value.path()).stat().st_size != size:
        raise WrongAnswerError("a download is not whole")
    started.value.delete()


def report(result: Files) -> str:
    """The figures as markdown."""

    def row(way: str) -> tuple[str, ...]:
        cells = [way]
        for direction in (UP, DOWN):
            rate = statistics.median(result.rates[way, direction])
            share = 100 * rate / statistics.median(result.rates[SFTP, direction])
            cells += [number(rate), "" if way == SFTP else number(share)]
        return (*cells, "" if way == SFTP else f"> {WANTED}")

    memory = (f"{name} {number(before)}, then {number(most)}" for name, (before, most) in result.memory.items())
    head = ("", "up, MB/s", "% of sftp", "down, MB/s", "% of sftp", "wanted")
    return "\n\n".join(
        [
            "### Files in and out of a desktop",
            f"One file of {result.size >> 20} MB with random content, from disk to disk; in turns, medians of "
            f"{len(result.rates[SFTP, UP])}. MB/s, and percent of sftp (OpenSSH, its usual cipher, the same user and "
            "host). Uploads of ours are on the disk when they are done (`fsync`); those of sftp may not be.",
            table(head, [row(way) for way in (SFTP, OURS, BROWSER)]),
            f"Most memory of our processes, MB, before and after all of that: {', '.join(memory)}.",
        ]
    )
