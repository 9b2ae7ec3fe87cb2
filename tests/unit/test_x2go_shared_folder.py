"""What a server can do in a shared folder, and what it cannot."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from x2gobroker.x2go.folders.shared_folder import SharedFolder

NAME = "/home/anna/docs"
NOBODY = 65534


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder that is shared; beside it lies what nobody may reach."""
    shared = tmp_path / "shared"
    (shared / "below").mkdir(parents=True)
    (shared / "below" / "file").write_text("inside")
    (tmp_path / "outside").write_text("secret")
    (tmp_path / "sharedd").mkdir()
    return shared


@pytest.fixture
def folder(place: Path) -> Iterator[SharedFolder]:
    """The same, as a server sees it."""
    with contextlib.closing(SharedFolder(str(place), NAME)) as shared:
        yield shared


def read(folder: SharedFolder, path: str) -> bytes:
    number = folder.open(path, os.O_RDONLY, 0)
    try:
        return os.read(number, 100)
    finally:
        os.close(number)


def refused(work: Callable[[], object], *numbers: int) -> None:
    with pytest.raises(OSError) as caught:
        work()
    assert caught.value.errno in numbers


def test_the_name_is_all_that_exists(folder: SharedFolder) -> None:
    assert read(folder, f"{NAME}/below/file") == b"inside"
    assert read(folder, f"{NAME}//below/./x/../file") == b"inside"
    assert [name for name, _ in folder.entries(NAME)] == ["below"]
    for above in ("/", "/home", "/home/anna"):
        assert stat.S_ISDIR(folder.status(above).st_mode)
        refused(partial(folder.entries, above), errno.ENOENT)
    for path in ("", "/home/anna/docsx/below/file", "/etc/passwd", f"{NAME}/../docs2", "below/file", f"{NAME}/nothing"):
        refused(partial(folder.open, path, os.O_RDONLY, 0), errno.ENOENT)


@given(st.lists(st.sampled_from(["..", ".", "", "below", "file", "outside", "shared", "home", "anna", "docs"])))
def test_no_path_leads_out(parts: list[str]) -> None:
    """With no file but one of that name, what is reached is that one."""
    with tempfile.TemporaryDirectory() as name:
        shared = Path(name) / "shared"
        (shared / "below").mkdir(parents=True)
        (shared / "below" / "file").write_text("inside")
        for secret in ("outside", "file"):
            (Path(name) / secret).write_text("secret")
        with contextlib.closing(SharedFolder(str(shared), NAME)) as folder:
            try:
                content = read(folder, "/".join([NAME, *parts]))
            except OSError:
                return
            assert content == b"inside"


def test_the_whole_disk_may_be_shared() -> None:
    with contextlib.closing(SharedFolder("/", "/")) as folder:
        assert stat.S_ISDIR(folder.status("/").st_mode)
        assert "etc" in [name for name, _ in folder.entries("/")]
        assert read(folder, "/etc/passwd")


def test_no_step_goes_through_a_link(folder: SharedFolder, place: Path, tmp_path: Path) -> None:
    (place / "out").symlink_to(tmp_path)
    (place / "secret").symlink_to("../outside")
    (place / "in").symlink_to("below")
    for path in ("out/outside", "secret", "in/file"):
        refused(partial(folder.open, f"{NAME}/{path}", os.O_RDONLY, 0), errno.ELOOP, errno.ENOTDIR)
        refused(partial(folder.open, f"{NAME}/{path}", os.O_WRONLY | os.O_CREAT, 0o600), errno.ELOOP, errno.ENOTDIR)
        refused(partial(folder.set_size, f"{NAME}/{path}", 0), errno.ELOOP, errno.ENOTDIR)
    refused(lambda: folder.entries(f"{NAME}/out"), errno.ELOOP, errno.ENOTDIR)
    refused(lambda: folder.set_mode(f"{NAME}/secret", 0o777), errno.EOPNOTSUPP)
    refused(lambda: folder.rename(f"{NAME}/below/file", f"{NAME}/out/stolen"), errno.ELOOP, errno.ENOTDIR)
    assert stat.S_ISLNK(folder.status(f"{NAME}/secret").st_mode)
    folder.set_times(f"{NAME}/secret", 1, 1)
    assert (tmp_path / "outside").stat().st_mtime > 1
    folder.remove(f"{NAME}/secret")
    assert (tmp_path / "outside").read_text() == "secret"


@pytest.mark.parametrize(
    ("place_of_link", "target", "told"),
    [
        ("l", "below/file", "below/file"),
        ("below/l", "../below/file", "../below/file"),
        ("below/l", "..", ".."),
        ("l", "..", None),
        ("below/l", "../../outside", None),
        ("l", "below/../../outside", None),
        ("below/l", "x/..", None),
        ("l", "/etc/passwd", None),
        ("l", "{shared}/below/file", "below/file"),
        ("below/l", "{shared}/below/file", "file"),
        ("below/l", "{shared}", ".."),
        ("l", "{shared}d/file", None),
        ("l", "{shared}/../outside", None),
        ("l", ".", "."),
    ],
)
def test_links_are_told_if_they_stay_inside(
    folder: SharedFolder, place: Path, place_of_link: str, target: str, told: str | None
) -> None:
    (place / place_of_link).symlink_to(target.format(shared=place))
    if told is None:
        refused(lambda: folder.link_target(f"{NAME}/{place_of_link}"), errno.EACCES)
    else:
        assert folder.link_target(f"{NAME}/{place_of_link}") == told
    (place / place_of_link).unlink()
    if told is None or target.startswith("{") or ".." in target:
        refused(lambda: folder.make_link(target.format(shared=place), f"{NAME}/{place_of_link}"), errno.EACCES)
        assert not os.path.lexists(place / place_of_link)
    else:
        folder.make_link(target, f"{NAME}/{place_of_link}")
        assert os.readlink(place / place_of_link) == target


def test_a_link_is_moved_to_no_place_where_it_leads_elsewhere(folder: SharedFolder, place: Path) -> None:
    folder.make_folder(f"{NAME}/d", 0o755)
    refused(lambda: folder.make_link("../outside", f"{NAME}/d/notes"), errno.EACCES)
    (place / "d" / "own").symlink_to("../below/file")  # the user's, and it stays inside
    (place / "out").symlink_to("../outside")
    for path, new in (("d/own", "notes"), ("d", "e"), ("out", "notes"), ("d/own", "d/other")):
        refused(partial(folder.rename, f"{NAME}/{path}", f"{NAME}/{new}"), errno.EACCES)
    assert read(folder, f"{NAME}/below/file") == b"inside"
    folder.make_link("file", f"{NAME}/below/on")
    folder.rename(f"{NAME}/below/on", f"{NAME}/on")
    folder.rename(f"{NAME}/below", f"{NAME}/beside")
    assert os.readlink(place / "on") == "file"


def test_a_link_leads_through_no_link_of_the_users_that_leads_out(folder: SharedFolder, place: Path) -> None:
    (place / "ext").symlink_to("..")
    (place / "in").symlink_to("below")
    refused(lambda: folder.make_link("ext/outside", f"{NAME}/notes"), errno.EACCES)
    folder.make_link("in/file", f"{NAME}/fine")
    folder.make_link("ext/outside", f"{NAME}/below/notes")  # there is no such thing
    refused(lambda: folder.rename(f"{NAME}/below/notes", f"{NAME}/notes"), errno.EACCES)
    folder.make_link("fine", f"{NAME}/round")
    for name in ("a", "b"):
        folder.make_link({"a": "b", "b": "a"}[name], f"{NAME}/{name}")
    refused(lambda: folder.make_link("a", f"{NAME}/endless"), errno.EACCES)


def test_no_link_gives_a_folder_with_a_link_that_leads_out_another_name(folder: SharedFolder, place: Path) -> None:
    (place / "docs" / "own").mkdir(parents=True)
    (place / "docs" / "out").symlink_to("../..")
    folder.make_link("x/out/outside", f"{NAME}/notes")  # x is not there yet
    folder.make_folder(f"{NAME}/y", 0o755)
    folder.make_folder(f"{NAME}/y/out", 0o755)
    folder.make_link("y/out/outside", f"{NAME}/more")  # y will be exchanged
    folder.rename(f"{NAME}/y", f"{NAME}/z")
    folder.make_link("docs", f"{NAME}/z/docs")
    for work in (
        lambda: folder.make_link("docs", f"{NAME}/x"),
        lambda: folder.make_link("docs", f"{NAME}/y"),
        lambda: folder.make_link(".", f"{NAME}/x"),
        lambda: folder.rename(f"{NAME}/z/docs", f"{NAME}/x"),
    ):
        refused(work, errno.EACCES)
    assert not os.path.exists(place / "notes")
    assert not os.path.exists(place / "more")
    folder.make_link("docs/own", f"{NAME}/fine")


def test_no_link_leads_through_a_folder_that_is_closed_for_the_moment(
    folder: SharedFolder, place: Path, tmp_path: Path
) -> None:
    """Behind it could be the user's link that leads out, and the server may open it again."""
    for above in (place, *place.parents):
        if above.is_relative_to(tmp_path.parents[1]):
            above.chmod(0o755)
    (place / "docs").mkdir()
    (place / "docs" / "out").symlink_to("../..")
    for path in (place, place / "docs"):
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        folder.set_mode(f"{NAME}/docs", 0)
        refused(lambda: folder.make_link("docs/out/outside", f"{NAME}/notes"), errno.EACCES)
    finally:
        os.seteuid(0)


def test_a_folder_that_is_too_deep_or_too_full_stays_where_it_is(
    folder: SharedFolder, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{NAME}/deep"
    for _ in range(120):
        folder.make_folder(path, 0o700)
        path += "/d"
    refused(lambda: folder.rename(f"{NAME}/deep", f"{NAME}/moved"), errno.EACCES)
    monkeypatch.setattr("x2gobroker.x2go.folders.shared_folder.MOST_MOVED", 0)
    refused(lambda: folder.rename(f"{NAME}/below", f"{NAME}/moved"), errno.EACCES)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        refused(lambda: folder.rename(f"{NAME}/deep", f"{NAME}/moved"), errno.EACCES)
    assert len(os.listdir("/proc/self/fd")) == before


NAMES = ("a", "b", "c", "ext", "up", "file")
SPOTS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
TARGETS = st.lists(st.sampled_from((*NAMES, "..", ".", "", "outside")), min_size=1, max_size=4).map("/".join)
STEPS = st.one_of(
    st.tuples(st.sampled_from(("make_folder", "remove", "remove_folder", "write")), SPOTS, st.just("")),
    st.tuples(st.just("make_link"), SPOTS, TARGETS | TARGETS.map(lambda text: f"/{text}")),
    st.tuples(st.just("rename"), SPOTS, SPOTS),
)


def do(folder: SharedFolder, step: tuple[str, str, str]) -> None:
    """One thing that a server may ask for; what is refused is refused."""
    what, path, other = step
    with contextlib.suppress(OSError):
        match what:
            case "make_folder":
                folder.make_folder(f"{NAME}/{path}", 0o700)
            case "write":
                os.close(folder.open(f"{NAME}/{path}", os.O_WRONLY | os.O_CREAT, 0o600))
            case "make_link":
                folder.make_link(other, f"{NAME}/{path}")
            case "rename":
                folder.rename(f"{NAME}/{path}", f"{NAME}/{other}")
            case _:
                getattr(folder, what)(f"{NAME}/{path}")


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_whatever_a_server_does_no_link_leads_out_but_those_of_the_user(steps: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as base:
        root = Path(base) / "shared"
        (root / "b" / "c").mkdir(parents=True)
        own = {"ext": "..", "b/up": "../a", "b/c/file": "../../../outside", "c": "b"}
        for path, target in own.items():
            (root / path).symlink_to(target)
        (Path(base) / "outside").write_text("secret")
        with contextlib.closing(SharedFolder(str(root), NAME)) as folder:
            for step in steps:
                do(folder, step)
        assert sorted(os.listdir(base)) == ["outside", "shared"]
        assert (Path(base) / "outside").read_text() == "secret"
        for above, folders, files in os.walk(root):
            for link in (Path(above) / name for name in folders + files):
                if link.is_symlink() and own.get(str(link.relative_to(root))) != os.readlink(link):
                    assert os.path.realpath(link).startswith(os.path.realpath(root)), (link, os.readlink(link))
                    assert ".." not in os.readlink(link).split("/")


def test_files_are_changed(folder: SharedFolder, place: Path) -> None:
    number = folder.open(f"{NAME}/new", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o4640)
    os.write(number, b"0123456789")
    os.close(number)
    assert (place / "new").stat().st_mode & 0o7777 == 0o640, "never setuid"
    refused(lambda: folder.open(f"{NAME}/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), errno.EEXIST)
    folder.set_size(f"{NAME}/new", 4)
    folder.set_mode(f"{NAME}/new", 0o6600)
    folder.set_times(f"{NAME}/new", 1000, 2000)
    status = (place / "new").stat()
    assert (status.st_size, status.st_mode & 0o7777, status.st_mtime) == (4, 0o600, 2000)
    folder.rename(f"{NAME}/new", f"{NAME}/below/file")
    assert (place / "below" / "file").read_text() == "0123"
    folder.make_folder(f"{NAME}/more", 0o750)
    refused(lambda: folder.remove_folder(f"{NAME}/below"), errno.ENOTEMPTY)
    folder.remove_folder(f"{NAME}/more")
    folder.remove(f"{NAME}/below/file")
    assert [path.name for path in place.rglob("*")] == ["below"]


def test_the_folder_itself_stays(folder: SharedFolder, place: Path) -> None:
    for work in (
        lambda: folder.remove_folder(NAME),
        lambda: folder.rename(NAME, f"{NAME}/below/x"),
        lambda: folder.rename(f"{NAME}/below", NAME),
        lambda: folder.make_link("below", NAME),
    ):
        refused(work, errno.EACCES)
    assert (place / "below" / "file").exists()


def test_only_regular_files_are_opened(folder: SharedFolder, place: Path) -> None:
    os.mkfifo(place / "pipe")
    refused(lambda: folder.open(f"{NAME}/pipe", os.O_RDONLY, 0), errno.EACCES)
    refused(lambda: folder.open(f"{NAME}/pipe", os.O_WRONLY, 0), errno.EACCES, errno.ENXIO)
    refused(lambda: folder.open(f"{NAME}/below", os.O_RDONLY, 0), errno.EACCES)


def test_an_entry_that_cannot_be_looked_at_is_left_out(
    folder: SharedFolder, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Entry:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name, self._entry = entry.name, entry

        def stat(self, *, follow_symlinks: bool) -> os.stat_result:
            if self.name == "dead":
                raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
            return self._entry.stat(follow_symlinks=follow_symlinks)

    scandir = os.scandir

    @contextlib.contextmanager
    def listing(number: int) -> Iterator[list[Entry]]:
        with scandir(number) as entries:
            yield [Entry(entry) for entry in entries]

    (place / "dead").mkdir()
    monkeypatch.setattr(os, "scandir", listing)
    assert [name for name, _ in folder.entries(NAME)] == ["below"]


def test_a_name_that_is_no_utf8_is_left_out(folder: SharedFolder, place: Path) -> None:
    Path(os.fsdecode(os.fsencode(place) + b"/b\xe4d")).touch()
    (place / "gööd").touch()
    assert sorted(name for name, _ in folder.entries(NAME)) == ["below", "gööd"]


def test_read_only_means_everything(place: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in [place, *place.rglob("*")]}
    with contextlib.closing(SharedFolder(str(place), NAME, read_only=True)) as folder:
        assert read(folder, f"{NAME}/below/file") == b"inside"
        file = f"{NAME}/below/file"
        for work in (
            lambda: folder.open(file, os.O_WRONLY, 0),
            lambda: folder.open(file, os.O_RDWR, 0),
            lambda: folder.open(file, os.O_RDONLY | os.O_TRUNC, 0),
            lambda: folder.open(f"{NAME}/new", os.O_RDONLY | os.O_CREAT, 0o600),
            lambda: folder.remove(file),
            lambda: folder.rename(file, f"{NAME}/new"),
            lambda: folder.make_folder(f"{NAME}/new", 0o700),
            lambda: folder.remove_folder(f"{NAME}/below"),
            lambda: folder.make_link("below", f"{NAME}/new"),
            lambda: folder.set_mode(file, 0o777),
            lambda: folder.set_times(file, 0, 0),
            lambda: folder.set_size(file, 0),
        ):
            refused(work, errno.EROFS)
    assert {path: path.stat().st_mtime_ns for path in [place, *place.rglob("*")]} == before


def test_rights_of_the_local_user_count(folder: SharedFolder, place: Path, tmp_path: Path) -> None:
    """Tests run as root, whom nothing stops: another user for a moment."""
    for above in (place, *place.parents):
        if above.is_relative_to(tmp_path.parents[1]):
            above.chmod(0o755)
    (place / "closed").mkdir(mode=0o700)
    (place / "below" / "file").chmod(0o600)
    os.seteuid(NOBODY)
    try:
        for work in (
            lambda: read(folder, f"{NAME}/below/file"),
            lambda: folder.entries(f"{NAME}/closed"),
            lambda: folder.remove(f"{NAME}/below/file"),
            lambda: folder.make_folder(f"{NAME}/new", 0o700),
        ):
            refused(work, errno.EACCES)
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("path", ["/nowhere", "/etc/passwd", ""])
def test_what_is_no_folder(path: str) -> None:
    with pytest.raises(OSError):
        SharedFolder(path, NAME)
