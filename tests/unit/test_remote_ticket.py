"""The Kerberos ticket of a desktop: a copy of its own, renewed by a later sign-in, gone with it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.unit.test_authservice_tickets import NOW, cache
from x2gobroker.authservice.ccache import read_ticket
from x2gobroker.authservice.tickets import Kept, Tickets
from x2gobroker.remote.ticket import NONE_KEPT, NOTE, DesktopTicket, remove_left

UID, GID = os.getuid() or 4711, os.getgid() or 4711  # root has no desktop
ENDS = int(NOW) + 36000


@pytest.fixture
def tickets(tmp_path: Path) -> Tickets:
    """The folder, switched on."""
    made = Tickets(tmp_path / "tickets")
    made.switch(True)
    return made


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A folder such as /tmp."""
    made = tmp_path / "tmp"
    made.mkdir()
    made.chmod(0o1777)
    return made


class Desktop:
    """One desktop's ticket. `notes` is what its log has."""

    def __init__(self, tickets: Tickets, public: Path, name: str = "one", uid: int = UID) -> None:
        self.use = public.parent / name
        self.use.mkdir()
        self.notes: list[str] = []
        self.ticket = DesktopTicket(uid, GID, self.use, self.notes.append, tickets, public)
        self.ticket.take()

    def look(self) -> None:
        """Look now, whenever the last time was."""
        self.ticket._looked = float("-inf")
        self.ticket.look()


def sign_in(tickets: Tickets, data: bytes = b"", name: str = "", uid: int = UID) -> None:
    """Somebody signs in, and gets a ticket."""
    kept = Kept(uid, name, b"" if name else data or cache(ENDS), NOW + 36000)
    assert tickets.accept(tickets.put(kept, NOW), uid, 36000, NOW)


def copies(public: Path) -> list[Path]:
    """What is in the folder such as /tmp."""
    return sorted(public.iterdir())


def test_a_copy_of_the_users_own(tickets: Tickets, public: Path) -> None:
    sign_in(tickets)
    desktop = Desktop(tickets, public)
    (copy,) = copies(public)
    assert desktop.ticket.name == f"FILE:{copy}"
    assert copy.name.startswith(f"krb5cc_{UID}_")
    assert copy.read_bytes() == cache(ENDS)
    status = copy.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (UID, GID, 0o600)
    desktop.ticket.remove()
    assert copies(public) == []
    assert desktop.notes == []


def test_without_a_ticket_the_log_says_why(tickets: Tickets, public: Path) -> None:
    for number in range(2):
        desktop = Desktop(tickets, public, str(number))
        assert (desktop.ticket.name, desktop.notes) == ("", [NONE_KEPT])
        sign_in(tickets, uid=UID + 1)  # somebody else
    tickets.switch(False)
    desktop = Desktop(tickets, public, "off")
    assert (desktop.ticket.name, desktop.notes) == ("", [])
    assert copies(public) == []


def test_one_desktop_does_not_take_the_others_away(tickets: Tickets, public: Path) -> None:
    sign_in(tickets)
    first, second = Desktop(tickets, public, "first"), Desktop(tickets, public, "second")
    assert first.ticket.name != second.ticket.name
    first.ticket.remove()
    assert [f"FILE:{path}" for path in copies(public)] == [second.ticket.name]


def test_a_later_sign_in_renews_it(tickets: Tickets, public: Path) -> None:
    sign_in(tickets)
    desktop = Desktop(tickets, public)
    (copy,) = copies(public)
    later = cache(ENDS + 600)
    sign_in(tickets, later)
    desktop.ticket.look()  # too soon after the start: nobody looks all the time
    desktop.look()
    assert copies(public) == [copy]
    assert copy.read_bytes() == later
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert len(desktop.notes) == 1
    desktop.look()
    tickets.forget(UID, 0, NOW)
    desktop.look()
    assert copy.read_bytes() == later
    assert len(desktop.notes) == 1


def test_one_that_was_destroyed_comes_back_with_a_later_sign_in(tickets: Tickets, public: Path) -> None:
    sign_in(tickets)
    desktop = Desktop(tickets, public)
    (copy,) = copies(public)
    copy.unlink()
    desktop.look()
    assert copies(public) == []  # the user wanted that
    sign_in(tickets)
    desktop.look()
    assert copies(public) == [copy]


@pytest.mark.parametrize("own", [cache(ENDS + 9000), cache(ENDS).replace(b"anna", b"root")])
def test_what_the_user_has_got_since_is_left_alone(tickets: Tickets, public: Path, own: bytes) -> None:
    sign_in(tickets)
    desktop = Desktop(tickets, public)
    (copy,) = copies(public)
    copy.write_bytes(own)
    read_ticket(own)
    sign_in(tickets, cache(ENDS + 600))
    desktop.look()
    assert copy.read_bytes() == own


def test_a_link_in_the_place_of_the_copy_leads_nowhere(tickets: Tickets, public: Path, tmp_path: Path) -> None:
    sign_in(tickets)
    desktop = Desktop(tickets, public)
    (copy,) = copies(public)
    target = tmp_path / "of somebody else"
    target.write_bytes(b"precious")
    copy.unlink()
    copy.symlink_to(target)
    sign_in(tickets, cache(ENDS + 600))
    desktop.look()
    assert not copy.is_symlink()
    copy.unlink()
    copy.symlink_to(target)
    desktop.ticket.remove()
    assert copies(public) == []
    assert target.read_bytes() == b"precious"


def test_a_cache_that_somebody_else_keeps(tickets: Tickets, public: Path, tmp_path: Path) -> None:
    path = tmp_path / "krb5cc"
    for number, (name, data, mode, wanted) in enumerate(
        [
            ("KCM:", b"", 0, "KCM:"),
            (f"FILE:{path}", b"", 0, ""),
            (f"FILE:{path}", cache(ENDS), 0o600, f"FILE:{path}"),
            (f"FILE:{path}", cache(ENDS), 0o644, ""),
            (f"FILE:{path}", cache(int(NOW) - 1), 0o600, ""),
            (f"FILE:{path}", b"rubbish", 0o600, ""),
        ]
    ):
        if data:
            path.write_bytes(data)
            path.chmod(mode)
            os.chown(path, UID, GID)
        sign_in(tickets, name=name)
        desktop = Desktop(tickets, public, str(number))
        assert desktop.ticket.name == wanted
        assert [note[:19] for note in desktop.notes] == ([] if wanted else ["no Kerberos ticket:"])
        desktop.look()
        desktop.ticket.remove()
    assert path.exists()
    assert copies(public) == []


def test_what_a_killed_keeper_has_left(tickets: Tickets, public: Path) -> None:
    sign_in(tickets)
    desktop = Desktop(tickets, public)
    assert len(copies(public)) == 1
    remove_left(desktop.use, public)
    assert copies(public) == []
    remove_left(desktop.use, public)


@pytest.mark.parametrize("note", ["krb5cc_/../../x", "../x", "x", "", "krb5cc_ä"])
def test_a_note_of_something_else_removes_nothing(public: Path, note: str) -> None:
    (public.parent / "x").touch()
    (public / "x").touch()
    use = public.parent / "use"
    use.mkdir()
    (use / NOTE).write_text(note, encoding="utf-8")
    remove_left(use, public)
    assert (public / "x").exists()
    assert (public.parent / "x").exists()


def test_a_folder_where_others_could_take_it_away_gets_none(tickets: Tickets, public: Path) -> None:
    public.chmod(0o777)
    sign_in(tickets)
    desktop = Desktop(tickets, public)
    assert desktop.ticket.name == ""
    assert "with mode 1777" in desktop.notes[0]
    assert copies(public) == []
