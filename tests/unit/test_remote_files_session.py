"""What a page may do with files, by its own words; and what becomes of pages that say something else."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.files_page import WINDOW, ClosedError, FilesPage, partials
from tests.support.processes import wait_until
from x2gobroker.remote import wire as wire_module
from x2gobroker.remote.files import session as module
from x2gobroker.remote.files.bodies import Bodies
from x2gobroker.remote.files.messages import FROM_PAGE, TO_PAGE, WHYS
from x2gobroker.remote.files.refusals import WORDS
from x2gobroker.remote.files.session import FileRules, Moved, Session, wire_of
from x2gobroker.remote.files.upload import Upload

BOTH_WAYS = FileRules(goes_in=True, goes_out=True, most_bytes=64 << 20)


@dataclass
class Bench:
    """A home folder, and pages that come to it."""

    home: Path
    moved: list[Moved] = field(default_factory=list)

    @contextlib.contextmanager
    def page(self, rules: FileRules = BOTH_WAYS) -> Iterator[FilesPage]:
        """A page; its session ends with it, whatever it has said."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        _service, says = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        failed: list[BaseException] = []

        def serve() -> None:
            try:
                Session(
                    wire_of(theirs), Bodies(says), str(self.home), rules, self.moved.append, lambda seconds=0: None
                ).serve()
            except BaseException as error:  # noqa: BLE001 - for the test's own thread
                failed.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield FilesPage(ours)
        finally:
            ours.close()
            thread.join(20)
            assert not thread.is_alive()
            assert not failed

    def ended(self) -> list[tuple[str, int, str]]:
        """How transfers have ended: which file, how many bytes, and why."""
        return [(one.path, one.at, one.why) for one in self.moved if one.why]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    home = tmp_path / "home"
    home.mkdir()
    return Bench(home)


def item(bench: Bench, name: str, folder: str = "") -> str:
    with bench.page() as page:
        page.say("list", folder=folder, hidden=True)
        found = page.expect("entries")["entries"]
    return next(str(entry["item"]) for entry in found if entry["name"] == name)


# --- folders


def test_a_folder(bench: Bench) -> None:
    (bench.home / "a b.txt").write_text("text")
    (bench.home / "Büro").mkdir()
    (bench.home / ".hidden").write_text("x")
    os.mkfifo(bench.home / "pipe")
    (bench.home / "gone").symlink_to("nowhere")
    (bench.home / "link").symlink_to("a b.txt")
    with bench.page() as page:
        page.say("list", folder="", hidden=False)
        entries = {entry["name"]: entry for entry in page.expect("entries")["entries"]}
        listed = page.expect("listed")
        assert page.names(hidden=True) == [".hidden", "Büro/", "a b.txt", "link"]
    assert listed["skipped"] == 2
    assert listed["more"] is False
    assert listed["free"] > 0
    assert entries.keys() == {"a b.txt", "Büro", "link"}
    assert entries["a b.txt"]["size"] == 4
    assert entries["link"] == {**entries["a b.txt"], "item": "link", "name": "link", "link": True}
    assert entries["Büro"]["item"] == "B%C3%BCro"
    assert entries["Büro"]["folder"] is True


def test_into_folders_and_links_to_them(bench: Bench, tmp_path: Path) -> None:
    (bench.home / "a" / "b").mkdir(parents=True)
    (bench.home / "a" / "b" / "c.txt").write_text("c")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "d.txt").write_text("d")
    (bench.home / "project").symlink_to(tmp_path / "project")
    with bench.page() as page:
        assert page.names("a/b") == ["c.txt"]
        assert page.names("project") == ["d.txt"]
        for folder in ("a/x", "a/b/c.txt"):
            page.say("list", folder=folder, hidden=False)
            assert page.refused() == "no-folder"


def test_more_than_there_is_room_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("x2gobroker.remote.files.folders.MOST_ENTRIES", 5)
    for number in range(7):
        (bench.home / f"{number}").touch()
    with bench.page() as page:
        page.say("list", folder="", hidden=False)
        assert len(page.expect("entries")["entries"]) == 5
        assert page.expect("listed")["more"] is True


def test_many_entries_come_in_parts(bench: Bench) -> None:
    for number in range(450):
        (bench.home / f"{number:03}").touch()
    with bench.page() as page:
        assert page.names() == [f"{number:03}" for number in range(450)]


def test_a_name_that_is_no_text(bench: Bench) -> None:
    Path(os.fsdecode(bytes(bench.home) + b"/\xff.txt")).write_text("odd")
    with bench.page() as page:
        page.say("list", folder="", hidden=False)
        (entry,) = page.expect("entries")["entries"]
        page.expect("listed")
        assert entry["name"] == "\ufffd.txt"
        assert page.download(entry["item"]) == b"odd"


def test_a_home_that_is_not_there(bench: Bench) -> None:
    bench.home.rmdir()
    with bench.page() as page:
        page.say("list", folder="", hidden=False)
        assert page.refused() == "no-folder"


# --- in


def test_up_and_down_again(bench: Bench) -> None:
    data = os.urandom((5 << 20) + 7)
    (bench.home / "in").mkdir()
    with bench.page() as page:
        assert page.upload("x.bin", data, "in") == "x.bin"
        assert page.upload("x.bin", data, "in") == "x (1).bin"
        assert page.upload("empty", b"", "in") == "empty"
        assert page.download("x%20%281%29.bin", "in") == data
        assert page.download("empty", "in") == b""
        assert page.names("in") == ["empty", "x (1).bin", "x.bin"]
    assert (bench.home / "in" / "x.bin").read_bytes() == data
    assert [(one.way, one.path, one.size, one.at, one.why) for one in bench.moved[:2]] == [
        ("upload", "~/in/x.bin", len(data), 0, ""),
        ("upload", "~/in/x.bin", len(data), len(data), "done"),
    ]
    assert ("~/in/x (1).bin", len(data), "done") in bench.ended()


def test_an_upload_that_breaks_off_is_gone_on_with(bench: Bench) -> None:
    data = os.urandom(3 << 20)
    with bench.page() as page:
        page.begin("x.bin", len(data))
        page.say("go", offset=0)
        page.say_data(data[: 2 << 20][: 1 << 20])
        page.say_data(data[1 << 20 : 2 << 20])
        assert page.expect("written")["bytes"] >= 1 << 19
    wait_until(lambda: bench.ended() == [("~/x.bin", 2 << 20, "lost")], "the upload having ended")
    assert os.listdir(bench.home) == [path.name for path in partials(bench.home)]
    with bench.page() as page:
        assert page.begin("x.bin", len(data))["offset"] == 2 << 20
        page.say("cancel")
        page.expect("cancelled")
    assert os.listdir(bench.home) == []


def test_the_rest_is_all_that_is_sent(bench: Bench) -> None:
    data = os.urandom(2 << 20)
    with bench.page() as page:
        page.begin("x.bin", len(data))
        page.say("go", offset=0)
        page.say_data(data[: 1 << 20])
        page.expect("written")
    with bench.page() as page:
        assert page.upload("x.bin", data) == "x.bin"
    assert (bench.home / "x.bin").read_bytes() == data
    assert bench.moved[-2].at == 1 << 20


def test_another_file_with_the_same_name_size_and_date_begins_anew(bench: Bench) -> None:
    first, second = os.urandom(1 << 20), os.urandom(1 << 20)
    with bench.page() as page:
        page.begin("x.bin", len(first))
        page.say("go", offset=0)
        page.say_data(first[: 1 << 19])
        page.expect("written")
    with bench.page() as page:
        assert page.upload("x.bin", second) == "x.bin"
    assert (bench.home / "x.bin").read_bytes() == second


def test_cancelled_in_the_midst(bench: Bench) -> None:
    with bench.page() as page:
        page.begin("x.bin", 1 << 20)
        page.say("go", offset=0)
        page.say_data(b"x" * 1000)
        page.say("cancel")
        page.expect("cancelled")
        assert page.names(hidden=True) == []
        assert page.upload("y", b"y") == "y"
    assert bench.ended()[0] == ("~/x.bin", 1000, "cancelled")


def test_data_in_parts_of_a_message(bench: Bench) -> None:
    with bench.page() as page:
        page.begin("x", 6)
        page.say("go", offset=0)
        page.say_data(b"ab", fin=False)
        page._protocol.send_continuation(b"", fin=False)
        page._protocol.send_continuation(b"cd", fin=False)
        page._protocol.send_ping(b"?")
        page._protocol.send_continuation(b"ef", fin=True)
        page._flush()
        assert page.expect("written")["bytes"] == 6
        page.expect("done")
    assert (bench.home / "x").read_bytes() == b"abcdef"


def test_what_is_on_its_way_when_an_upload_is_refused_does_no_harm(bench: Bench) -> None:
    with bench.page(FileRules(True, True, 1 << 20)) as page:
        page.begin("x", 6)
        page.say("go", offset=0)
        page.say_data(b"abcdefgh")  # more than was told
        page.say_data(b"more")
        assert page.refused() == "changed"
        page.say("cancel")
        page.say("taken", bytes=3)
        assert page.upload("y", b"y") == "y"


@pytest.mark.parametrize(
    ("rules", "message", "word"),
    [
        (FileRules(False, True, 9), {"do": "upload", "name": "a", "size": 1, "modified": 1}, "not-in"),
        (FileRules(True, False, 9), {"do": "download", "item": "f", "offset": 0, "stamp": ""}, "not-out"),
        (FileRules(True, True, 9), {"do": "upload", "name": "a", "size": 10, "modified": 1}, "too-large"),
        (FileRules(True, True, 3), {"do": "download", "item": "f", "offset": 0, "stamp": ""}, "too-large"),
        (BOTH_WAYS, {"do": "upload", "name": "..", "size": 1, "modified": 1}, "name"),
        (BOTH_WAYS, {"do": "upload", "name": "a", "size": 1, "modified": 1, "folder": "nowhere"}, "no-folder"),
        (BOTH_WAYS, {"do": "upload", "name": "a", "size": 1, "modified": 1, "folder": "f"}, "no-folder"),
        (BOTH_WAYS, {"do": "download", "item": "nothing", "offset": 0, "stamp": ""}, "no-file"),
        (BOTH_WAYS, {"do": "download", "item": "dir", "offset": 0, "stamp": ""}, "special"),
        (BOTH_WAYS, {"do": "download", "item": "pipe", "offset": 0, "stamp": ""}, "special"),
        (BOTH_WAYS, {"do": "download", "item": "socket", "offset": 0, "stamp": ""}, "special"),
        (BOTH_WAYS, {"do": "download", "item": "null", "offset": 0, "stamp": ""}, "special"),
        (BOTH_WAYS, {"do": "download", "item": "round", "offset": 0, "stamp": ""}, "no-folder"),
        (BOTH_WAYS, {"do": "list", "folder": "dir/../..", "hidden": True}, "name"),
        (BOTH_WAYS, {"do": "download", "item": "..", "offset": 0, "stamp": ""}, "name"),
        (BOTH_WAYS, {"do": "download", "item": "f", "offset": 5, "stamp": ""}, "changed"),
        (BOTH_WAYS, {"do": "download", "item": "f", "offset": 1, "stamp": "0.1.2.3"}, "changed"),
    ],
)
def test_what_is_refused(bench: Bench, rules: FileRules, message: dict[str, Any], word: str) -> None:
    (bench.home / "f").write_text("four")
    (bench.home / "dir").mkdir()
    os.mkfifo(bench.home / "pipe")
    (bench.home / "null").symlink_to("/dev/null")
    (bench.home / "round").symlink_to("round")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(bench.home / "socket"))
        with bench.page(rules) as page:
            page.say_text(json.dumps({"folder": "", **message}).encode())
            assert page.refused() == word
            assert page.names()  # and it goes on
    assert not partials(bench.home)


# --- out


def test_a_download_goes_on_where_it_was(bench: Bench) -> None:
    data = os.urandom(1 << 20)
    (bench.home / "x").write_bytes(data)
    with bench.page() as page:
        page.say("download", folder="", item="x", offset=0, stamp="")
        stamp = page.expect("sending")["stamp"]
        assert isinstance(page.hear(), bytes)
    with bench.page() as page:
        assert page.download("x", offset=1000, stamp=stamp) == data[1000:]
    (bench.home / "x").write_bytes(data[::-1])
    with bench.page() as page:
        page.say("download", folder="", item="x", offset=1000, stamp=stamp)
        assert page.refused() == "changed"
    assert [why for _, _, why in bench.ended()] == ["lost", "done"]


def test_no_more_is_sent_than_is_taken(bench: Bench) -> None:
    (bench.home / "x").write_bytes(bytes(WINDOW + (2 << 20)))
    with bench.page() as page:
        page.say("download", folder="", item="x", offset=0, stamp="")
        page.expect("sending")
        came = 0
        page.channel.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:
                came += len(page.hear())
        assert came == WINDOW
        page.say("taken", bytes=1 << 20)
        assert isinstance(page.hear(), bytes)


def test_a_file_that_becomes_shorter(bench: Bench) -> None:
    size = WINDOW + (2 << 20)
    (bench.home / "x").write_bytes(bytes(size))
    with bench.page() as page:
        page.say("download", folder="", item="x", offset=0, stamp="")
        page.expect("sending")
        came = 0
        while came < WINDOW:
            came += len(page.hear())
        os.truncate(bench.home / "x", 10)
        page.say("taken", bytes=came)
        assert page.refused() == "changed"


# --- what is no message


def values() -> st.SearchStrategy[Any]:
    words = st.sampled_from(["", "a", "../x", "/etc/passwd", "%2e%2e", "x\0y", "A" * 3000, "\ud800"])
    return st.none() | st.booleans() | st.integers() | st.floats() | words | st.text(max_size=20) | st.lists(words)


MESSAGES = st.binary(max_size=200) | st.builds(
    lambda kind, rest: json.dumps({"do": kind, **rest}).encode(),
    st.sampled_from([*FROM_PAGE, "go away", ""]) | values(),
    st.dictionaries(st.sampled_from(sorted({name for form in FROM_PAGE.values() for name in form})), values()),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(MESSAGES, min_size=1, max_size=4), st.binary(max_size=50))
def test_rubbish_does_nothing_and_ends_alone(bench: Bench, said: list[bytes], raw: bytes) -> None:
    with bench.page() as page:
        with contextlib.suppress(OSError):
            for text in said:
                page.say_text(text)
            page.say_bytes(raw)
        page.channel.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ClosedError, OSError):
            while True:
                page.hear()
    assert [path for path in bench.home.iterdir() if not path.name.startswith(".")] == []
    assert not partials(bench.home)


@pytest.mark.parametrize(
    "said",
    [b"{}", b"rubbish", b'{"do":"list"}', b'{"do":"list","folder":"/etc","hidden":true}', b"\xff\xfe", b"x" * 40000],
)
def test_who_says_what_is_no_message_is_closed(bench: Bench, said: bytes) -> None:
    with bench.page() as page:
        page.say_text(said)
        with pytest.raises(ClosedError) as caught:
            page.hear()
        assert caught.value.code in (1007, 1008, 1009)


@pytest.mark.parametrize("wrong", [{"do": "taken", "bytes": 0}, {"do": "list", "folder": "", "hidden": True}])
def test_what_has_no_place_in_an_upload_ends_it(bench: Bench, wrong: dict[str, Any]) -> None:
    with bench.page() as page:
        page.begin("x", 6)
        page.say_text(json.dumps(wrong).encode())
        with pytest.raises(ClosedError):
            page.hear()


def test_who_takes_more_than_was_sent_is_closed(bench: Bench) -> None:
    (bench.home / "x").write_bytes(bytes(2 * WINDOW))
    with bench.page() as page:
        page.say("download", folder="", item="x", offset=0, stamp="")
        page.expect("sending")
        page.say("taken", bytes=2 * WINDOW)
        with pytest.raises(ClosedError):
            while True:
                page.hear()


def test_who_is_silent_is_let_go(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.2)
    with bench.page() as page, pytest.raises(ClosedError) as caught:
        page.hear()
    assert caught.value.code == 1000


def test_who_is_gone_without_a_word_is_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that has gone away says nothing; whoever is there answers pings."""
    monkeypatch.setattr(wire_module, "PING_SECONDS", 0.1)
    monkeypatch.setattr(wire_module, "SILENCE_SECONDS", 0.5)
    with bench.page() as page:
        page.begin("x", 6)
        page.say("go", offset=0)
        page.say_data(b"abc")
        wait_until(lambda: len(bench.ended()) == 1, "it being noticed", 10)
    assert bench.ended() == [("~/x", 3, "lost")]
    assert len(partials(bench.home)) == 1


def test_a_disk_that_is_slow_is_not_taken_for_a_network_that_is_silent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has asked the page anything meanwhile."""
    monkeypatch.setattr(wire_module, "PING_SECONDS", 0.1)
    monkeypatch.setattr(wire_module, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(module, "IDLE_SECONDS", 1.0)
    finish = Upload.finish

    def slowly(upload: Upload, *given: Any) -> bytes:
        time.sleep(0.8)
        return finish(upload, *given)

    monkeypatch.setattr(Upload, "finish", slowly)
    with bench.page() as page:
        page.begin("x", 3)
        page.say("go", offset=0)
        page.say_data(b"abc")
        page.expect("written")
        page.expect("done")
        with pytest.raises(ClosedError) as caught:
            page.hear()
    assert caught.value.code == 1000  # as it has asked for nothing more, and not 1001


def test_a_page_that_lives_and_sends_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 0.3)
    with bench.page() as page:
        page.begin("x", 6)
        assert page.refused() == "silent"
        (bench.home / "y").write_bytes(bytes(2 * WINDOW))
        page.say("download", folder="", item="y", offset=0, stamp="")
        with pytest.raises(AssertionError, match="silent"):
            page.expect("sending")
            while isinstance(part := page.hear(), bytes):
                pass
            raise AssertionError(part["why"])


def test_every_refusal_has_a_word_of_the_messages() -> None:
    assert set(WORDS.values()) <= WHYS
    kinds = {"listed", "ready", "ticket", "written", "done", "sending", "sent", "cancelled", "refused"}
    assert kinds == set(TO_PAGE)
