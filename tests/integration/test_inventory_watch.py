"""The broker knows beforehand: a real X2Go Server that is watched, sessions that come and go without the broker."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account
from tests.support.client_home import client_account
from tests.support.desktop import Desktop
from tests.support.mounts import mounted_over
from tests.support.processes import wait_until
from tests.support.session_scenario import session_broker
from tests.support.watched_server import SOON, WatchedServer, watched_server
from tests.support.x2go_server import DATABASE, cleaner_at_rest
from tests.support.x2goclient import x2goclient
from x2gobroker.loadchecker.watching import SILENT_SECONDS
from x2gobroker.model.inventory import CHECKLOAD, WATCH

TAKEN_OVER_SECONDS = 25.0  # the sign of life of a watch may come 8 seconds after its begin, on a busy machine
PROFILES = 3  # of the other broker
LISTER = Path("/usr/bin/x2golistsessions")
SELECTED = ("listsessions", "getservers", "findbusyservers")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, screen: Desktop) -> Iterator[WatchedServer]:
    """One server for all tests here."""
    with watched_server(tmp_path_factory.mktemp("watched"), screen) as made:
        made.wait_until_watched()
        yield made


def questions(site: WatchedServer, since: int) -> list[str]:
    """What brokers asked for after so many questions; the load checker's own are left out."""
    return [line for line in site.asked()[since:] if line.split()[-1] in SELECTED]


def has_begun(user: Account) -> bool:
    """Whether X2Go Server has begun a session of the user. Its row is there some time before, and nobody lists it."""
    begun = "status = 'R' AND cookie <> '' AND agent_pid IS NOT NULL"
    with contextlib.closing(sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True, timeout=10)) as database:
        found = database.execute(f"SELECT session_id FROM sessions WHERE uname = ? AND {begun}", (user.name,))  # noqa: S608
        return found.fetchone() is not None


def agents() -> list[int]:
    """The processes in which our agent watches, as root: those that sudo has started."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                is_roots = folder.stat().st_uid == 0
            except OSError:
                continue
            if "watch" in words and is_roots and "python" in words[0]:
                found.append(int(folder.name))
    return found


def test_a_session_is_known_soon_all_its_life_though_the_broker_has_no_part_in_it(
    site: WatchedServer,
) -> None:
    anna = site.x2go.users[0]
    before = len(site.asked())
    session = site.start(anna)
    took = {"R": site.seconds_until(lambda: site.states(anna) == {session.name: "R"}, "the session known")}
    (one,) = site.known(anna)
    assert (one.session.source, one.server.how, one.session.profile) == (WATCH, WATCH, "")
    assert site.listed(anna) == ("R", 1, 0)

    session.drop_client()
    took["S"] = site.seconds_until(lambda: site.states(anna) == {session.name: "S"}, "its suspension known")
    assert site.listed(anna) == ("S", 0, 1)
    assert questions(site, before) == [], "nobody was asked for a list of session profiles"

    selection = site.select(anna)
    assert [line.split("|")[1] for line in selection.session_lines] == [session.name]
    assert questions(site, before) == [f"{anna.name} listsessions"], "who resumes wants its ports and its cookie"

    site.x2go.resume_session(session, site.desktop, site.home)
    took["R again"] = site.seconds_until(lambda: site.states(anna) == {session.name: "R"}, "its going on known")
    session.terminate()
    took["gone"] = site.seconds_until(lambda: site.states(anna) == {}, "its end known")
    print(took)
    assert max(took.values()) < SOON


def test_a_login_of_a_user_without_sessions_asks_nobody(site: WatchedServer) -> None:
    bert = site.x2go.users[1]
    before = len(site.asked())
    for _ in range(3):
        assert site.listed(bert) == ("", 0, 0)
    selection = site.select(bert)
    assert (selection.server, selection.session_lines) == ("127.0.0.1", ())
    assert questions(site, before) == []
    site.select(bert)  # on the way, it may have begun one in the meantime
    assert questions(site, before) == [f"{bert.name} listsessions"]


def test_no_login_runs_x2golistsessions(site: WatchedServer, tmp_path: Path) -> None:
    """Neither of who has a session, running or suspended, nor of who has none; a user's own call is noted."""
    anna, bert = site.x2go.users
    session = site.start(anna)
    site.wait_for(anna, {session.name: "R"})
    tmp_path.chmod(0o755)
    tmp_path.parent.chmod(0o755)
    tmp_path.parent.parent.chmod(0o755)
    notes, real, noting = tmp_path / "notes", tmp_path / "real", tmp_path / "noting"
    notes.touch()
    notes.chmod(0o666)
    shutil.copy(LISTER, real)
    noting.write_text(f'#!/bin/sh\necho "$(id -un) $*" >>{notes}\nexec /usr/bin/perl {real} "$@"\n', encoding="ascii")
    noting.chmod(0o755)
    with cleaner_at_rest(), mounted_over(noting, LISTER):
        assert site.x2go.list_sessions(anna)
        assert notes.read_text().split() == [anna.name]
        notes.write_text("")
        for user in (anna, bert):
            site.listed(user)
            site.select(user)
        assert site.listed(anna)[0] == "R"
        assert notes.read_text() == ""
    session.drop_client()
    site.wait_for(anna, {session.name: "S"})
    with cleaner_at_rest(), mounted_over(noting, LISTER):
        assert site.listed(anna) == ("S", 0, 1)
        assert [line.split("|")[1] for line in site.select(anna).session_lines] == [session.name]
        assert notes.read_text() == ""
    session.terminate()


def test_a_server_that_is_rebooted_keeps_its_sessions_until_it_is_back_and_says_that_they_are_gone(
    site: WatchedServer,
) -> None:
    """Its sshd and its sessions end in one moment, and what the session database has is what it had before."""
    anna = site.x2go.users[0]
    session = site.start(anna)
    site.wait_for(anna, {session.name: "R"})
    with cleaner_at_rest():
        site.x2go.sshd.stop()
        session.proxy.stop()
        os.kill(session.agent, signal.SIGKILL)
        took = {"silent": site.seconds_until(lambda: site.server().is_silent, "its silence known")}
        assert site.states(anna) == {session.name: "R"}, "who does not answer has not said that anything has ended"
        site.x2go.sshd.start()
    took["gone"] = site.seconds_until(lambda: site.states(anna) == {}, "the end of the session known", 300)
    took["watched"] = site.seconds_until(lambda: site.server().how == WATCH, "the watch heard", 300)
    print(took)
    assert session.state == "", "the server has forgotten it as well"
    assert site.listed(anna) == ("", 0, 0)
    site.wait_until_watched()


def test_a_session_whose_agent_was_killed_is_gone_as_soon_as_the_server_says_so(site: WatchedServer) -> None:
    anna = site.x2go.users[0]
    session = site.start(anna)
    site.wait_for(anna, {session.name: "R"})
    os.kill(session.agent, signal.SIGKILL)
    wait_until(lambda: session.state == "", "its end in the session database")
    assert site.seconds_until(lambda: site.states(anna) == {}, "its end known") < SOON
    session.proxy.stop()


def test_an_agent_that_is_killed_in_the_midst_is_replaced_and_nothing_is_missed(site: WatchedServer) -> None:
    anna = site.x2go.users[0]
    (before,) = agents()
    os.kill(before, signal.SIGKILL)
    session = site.start(anna)
    wait_until(lambda: agents() not in ([], [before]), "another watch")
    site.wait_for(anna, {session.name: "R"})
    wait_until(lambda: site.server().how == WATCH, "the watch heard")
    assert "its watch ended: timeout" in site.checker.log.read_text()
    assert "is watched again" in site.checker.log.read_text()
    session.terminate()


def test_a_watch_that_falls_silent_is_not_believed_any_longer(site: WatchedServer) -> None:
    """As behind a firewall that has forgotten the connection: nothing comes, and nothing ends."""
    bert = site.x2go.users[1]
    wait_until(lambda: not site.known(bert), "nobody waited for any more", 120)
    (stuck,) = agents()
    os.kill(stuck, signal.SIGSTOP)
    try:
        wait_until(lambda: agents() not in ([], [stuck]), "another watch", SILENT_SECONDS + 30)
        wait_until(lambda: site.server().how == WATCH, "the watch heard")
    finally:
        os.kill(stuck, signal.SIGCONT)
    wait_until(lambda: len(agents()) == 1, "the end of the watch that was stuck")


def test_a_database_that_is_gone_is_trouble_and_everybody_is_asked_again(site: WatchedServer) -> None:
    anna = site.x2go.users[0]
    session = site.start(anna)
    site.wait_for(anna, {session.name: "R"})
    hidden = DATABASE.with_name("hidden")
    DATABASE.rename(hidden)
    try:
        wait_until(lambda: site.server().how == CHECKLOAD, "the trouble known")
        before = len(site.asked())
        selection = site.select(anna)
        assert questions(site, before) == [f"{anna.name} listsessions"]
        assert selection.host is None
        assert selection.told.startswith(f"You have a session on {site.x2go.name}, and the broker cannot ask")
    finally:
        hidden.rename(DATABASE)
    wait_until(lambda: site.server().how == WATCH, "the watch heard")
    assert [line.split("|")[1] for line in site.select(anna).session_lines] == [session.name]
    text = site.checker.log.read_text()
    assert "cannot tell its sessions" in text
    assert "tells its sessions again" in text
    session.terminate()


def test_of_two_load_checkers_the_other_one_takes_over_when_one_is_killed(site: WatchedServer) -> None:
    anna = site.x2go.users[0]
    wait_until(lambda: site.states(anna) == {}, "no session")
    with site.another_checker() as other:
        for dying in (site.checker, other):
            wait_until(lambda: len(agents()) == 1, "one watch")
            assert dying.program is not None
            dying.program.process.kill()
            dying.program.process.wait(10)
            moment = time.time()
            took = site.seconds_until(
                lambda moment=moment: site.server().how == WATCH and site.server().known > moment,  # type: ignore[misc]
                "the watch of the other one",
            )
            assert took < TAKEN_OVER_SECONDS
            dying.start()
    site.wait_until_watched()


def test_without_a_load_checker_everybody_is_asked_after_a_while(site: WatchedServer) -> None:
    anna = site.x2go.users[0]
    wait_until(lambda: site.states(anna) == {}, "no session")
    site.checker.seconds_to_stop()
    wait_until(lambda: not agents(), "the end of the watch")

    def asks() -> bool:
        before = len(site.asked())
        site.listed(anna)
        return questions(site, before) == [f"{anna.name} listsessions"]

    wait_until(asks, "a question to the agent", 60)
    site.checker.start()
    wait_until(lambda: not asks(), "the watch counting again", 60)


def test_a_session_of_a_real_client_is_known_soon(
    site: WatchedServer, screen: Desktop, pictures: Path, tmp_path: Path
) -> None:
    """By way of another broker, with a store of its own: this one has no part in it. It takes keys away at its end."""
    anna = site.x2go.users[0]
    site.wait_until_watched()
    with (
        session_broker(tmp_path / "broker", site.x2go, site.agent) as place,
        client_account(place.known_hosts) as home,
        x2goclient(screen, home, place.url, pictures) as client,
    ):
        client.log_in(anna.name, anna.password)
        client.wait_for_profiles(PROFILES)
        client.choose("Auto login")
        wait_until(lambda: has_begun(anna), "the session")
        took = {"R": site.seconds_until(lambda: list(site.states(anna).values()) == ["R"], "the session known")}
        assert site.listed(anna) == ("R", 1, 0)
        client.wait_for_window(f"{anna.name}@{site.x2go.name}")
        client.quit()
        wait_until(lambda: list(site.x2go.states(anna).values()) == ["S"], "its suspension")
        took["S"] = site.seconds_until(lambda: list(site.states(anna).values()) == ["S"], "its suspension known")
        site.x2go.end_sessions(anna)
        took["gone"] = site.seconds_until(lambda: site.states(anna) == {}, "its end known")
    print(took)
    assert max(took.values()) < SOON
