"""What a watch has told: what of it is news, and that nothing is lost when news cannot be told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import URL

from tests.unit.inventory_values import NOW, name_of, seen
from x2gobroker.agents.reports import Alive, Changed, Gone, Reported, Trouble, WatchEvent
from x2gobroker.inventory.happenings import Answered, Told
from x2gobroker.inventory.happenings import Changed as ChangeTold
from x2gobroker.inventory.record import Inventory
from x2gobroker.loadchecker import picture as picture_module
from x2gobroker.loadchecker.picture import Picture
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import CHECKLOAD, WATCH
from x2gobroker.model.load import LoadReport
from x2gobroker.model.server_report import SeenSession, ServerReport
from x2gobroker.store import ServerSessions, Store

TS01, TS02 = Endpoint("ts01", "10.0.0.1"), Endpoint("ts02", "10.0.0.2")
FARM = (TS01, TS02)
LOAD = LoadReport(100, 16000, 4, 2500, 3)
ANNA, BERT = seen("anna"), seen("bert", 51)


def reported(*sessions: SeenSession, left_out: int = 0, server: str = "ts01") -> Reported:
    return Reported(ServerReport(LOAD, sessions, left_out, server))


def told(picture: Picture) -> Told | ChangeTold | Answered | None:
    """What there is to tell; it is told."""
    news = picture.news()
    if news is not None:
        picture.told(news)
    return news


def after(*events: WatchEvent) -> Picture:
    made = Picture(TS01, NOW)
    for number, event in enumerate(events):
        made.take(event, FARM, NOW + 10 + number)
    return made


def test_nothing_is_news_before_anything_was_said() -> None:
    made = Picture(TS01, NOW)
    assert (made.news(), made.load, made.trouble) == (None, (None, 0.0), "")


def test_the_first_report_is_told_whole_as_of_when_it_was_asked_for() -> None:
    made = Picture(TS01, NOW)
    assert made.take(reported(ANNA), FARM, NOW + 0.5), "there were no news before"
    assert told(made) == Told(NOW, NOW + 0.5, (ANNA,), WATCH)
    assert made.load == (LOAD, NOW + 0.5)
    assert made.news() is None


def test_then_only_what_is_new_is_told_and_follows_what_was_told_before() -> None:
    made = after(reported(ANNA))
    told(made)
    suspended = replace(ANNA, state="S")
    assert made.take(Changed(suspended), FARM, NOW + 20)
    assert not made.take(Changed(BERT), FARM, NOW + 21), "there are news already"
    assert told(made) == ChangeTold(NOW + 8, NOW + 19, NOW + 21, (suspended, BERT))
    made.take(Gone(ANNA.name), FARM, NOW + 30)
    assert told(made) == ChangeTold(NOW + 19, NOW + 28, NOW + 30, (), frozenset({("anna", ANNA.name)}))
    made.take(Alive(LOAD), FARM, NOW + 40)
    assert told(made) == ChangeTold(NOW + 28, NOW + 38, NOW + 40)


def test_a_session_that_comes_and_goes_in_between_has_gone() -> None:
    made = after(reported())
    told(made)
    made.take(Changed(ANNA), FARM, NOW + 20)
    made.take(Gone(ANNA.name), FARM, NOW + 21)
    assert told(made) == ChangeTold(NOW + 8, NOW + 19, NOW + 21, (), frozenset({("anna", ANNA.name)}))
    made.take(Gone(ANNA.name), FARM, NOW + 22)
    made.take(Changed(ANNA), FARM, NOW + 23)
    assert told(made) == ChangeTold(NOW + 19, NOW + 21, NOW + 23, (ANNA,))


def test_news_that_could_not_be_told_are_told_with_everything() -> None:
    made = after(reported(ANNA))
    told(made)
    made.take(Changed(BERT), FARM, NOW + 20)
    assert made.news() is not None
    made.tell_anew()
    assert made.news() == Told(NOW + 18, NOW + 20, (ANNA, BERT), WATCH)


def test_trouble_is_told_as_a_server_that_cannot_tell_and_its_end_as_a_whole_report() -> None:
    made = after(reported(ANNA), Trouble("database is locked"))
    assert made.trouble == "database is locked"
    assert told(made) == Answered(NOW + 9, NOW + 11, CHECKLOAD)
    made.take(Changed(BERT), FARM, NOW + 20)  # cannot be, before a report
    assert told(made) == Answered(NOW + 18, NOW + 20, CHECKLOAD)
    made.take(reported(BERT), FARM, NOW + 30)
    assert (told(made), made.trouble) == (Told(NOW + 28, NOW + 30, (BERT,), WATCH), "")


def test_a_server_that_leaves_sessions_out_is_told_whole_each_time_and_ends_none() -> None:
    made = after(reported(ANNA, left_out=1))
    assert told(made) == Told(NOW + 8, NOW + 10, (ANNA,), WATCH, whole=False)
    made.take(Gone(ANNA.name), FARM, NOW + 20)
    assert told(made) == Told(NOW + 18, NOW + 20, (), WATCH, whole=False)


def test_a_server_that_speaks_for_another_one_is_not_believed_at_first_nor_later() -> None:
    made = after(reported(seen("anna", server="ts02"), server="ts02"))
    news = told(made)
    assert news == Told(NOW + 8, NOW + 10, (), WATCH, whole=False)
    assert news is not None
    assert made.heard(news).foreign == 1
    made = after(reported())
    told(made)
    made.take(Changed(seen("anna", server="ts02")), FARM, NOW + 20)
    assert told(made) == Told(NOW + 18, NOW + 20, (), WATCH, whole=False)


def test_a_change_is_told_once_more_as_of_when_it_was_heard() -> None:
    made = after(reported(ANNA))
    told(made)
    assert made.settles_at == NOW + 12
    assert made.settle(NOW + 12)
    assert told(made) == ChangeTold(NOW + 8, NOW + 10, NOW + 10)
    assert (made.settle(NOW + 13), made.settles_at, made.news()) == (False, 0.0, None)
    made.take(Changed(BERT), FARM, NOW + 20)
    told(made)
    made.take(Gone(ANNA.name), FARM, NOW + 21)
    told(made)
    assert not made.settle(NOW + 22.9)
    assert made.settle(NOW + 23)
    assert told(made) == ChangeTold(NOW + 19, NOW + 21, NOW + 21)


def test_a_sign_of_life_that_comes_late_enough_says_the_same() -> None:
    made = after(reported(ANNA))
    told(made)
    made.take(Alive(LOAD), FARM, NOW + 11)
    assert made.settles_at == NOW + 12
    made.take(Alive(LOAD), FARM, NOW + 12)
    assert (made.settles_at, made.settle(NOW + 20)) == (0.0, False)


def test_a_change_that_could_not_be_told_is_told_with_everything_and_as_of_when_it_was_heard() -> None:
    made = after(reported(ANNA))
    told(made)
    made.take(Changed(BERT), FARM, NOW + 20)
    made.news()
    made.settle(NOW + 22)
    made.tell_anew()
    assert made.news() == Told(NOW + 20, NOW + 20, (ANNA, BERT), WATCH)


def test_a_clock_that_is_set_back_takes_nothing_back() -> None:
    made = after(reported(ANNA))
    told(made)
    made.take(Changed(BERT), FARM, NOW - 3600)
    assert told(made) == ChangeTold(NOW + 8, NOW + 8, NOW - 3600, (BERT,))


def test_it_grows_no_further_while_nobody_takes_the_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_module, "MOST_SESSIONS", 20)
    made = after(reported())
    told(made)
    for number in range(200):
        session = seen(f"user{number}")
        made.take(Changed(session), FARM, NOW + 20 + number)
        if number >= 10:
            made.take(Gone(session.name), FARM, NOW + 20 + number)
    assert len(made._gone) <= 20
    assert len(made._new) <= 20
    assert told(made) == Told(NOW + 217, NOW + 219, tuple(seen(f"user{number}") for number in range(10)), WATCH)
    for number in range(40):
        made.take(Changed(seen(f"more{number}")), FARM, NOW + 300)
    news = made.news()
    assert isinstance(news, Told)
    assert (len(news.sessions), news.whole) == (20, False)


@st.composite
def _steps(draw: st.DrawFn) -> list[tuple[str, str, str]]:
    step = st.tuples(
        st.sampled_from(["report", "change", "gone", "alive", "trouble", "tell", "fail"]),
        st.sampled_from(["anna", "bert", "carl"]),
        st.sampled_from(["R", "S"]),
    )
    return draw(st.lists(step, max_size=30))


@given(steps=_steps())
def test_whatever_is_said_and_fails_the_inventory_has_it_in_the_end(
    steps: list[tuple[str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    now = NOW
    store = Store(URL.create("sqlite", database=str(Path(tmp_path_factory.mktemp("picture")) / "store.sqlite")))
    inventory = Inventory(store, lambda: now)
    made, there, reports = Picture(TS01, NOW), dict[str, SeenSession](), False

    def tell() -> None:
        news = made.news()
        if news is None:
            return
        astray = inventory.take([(TS01, news)])
        made.told(news)
        if astray:
            made.tell_anew()
            tell()

    for what, user, state in [*steps, ("report", "anna", "R"), ("change", "bert", "S")]:
        now += 5.0
        session = seen(user, state=state, since=now)
        match what:
            case "report":
                made.take(reported(*there.values()), FARM, now)
                reports = True
            case "change" if reports:
                there[session.name] = session
                made.take(Changed(session), FARM, now)
            case "gone" if reports and name_of(user) in there:
                del there[name_of(user)]
                made.take(Gone(name_of(user)), FARM, now)
            case "alive":
                made.take(Alive(LOAD), FARM, now)
            case "trouble":
                made.take(Trouble("locked"), FARM, now)
                reports = False
            case "tell":
                tell()
            case "fail" if made.news() is not None:
                made.tell_anew()
    tell()
    view = ServerSessions(store).all()[TS01.key]
    assert {name: one.state for (_, name), one in view.sessions.items()} == {
        name: session.state for name, session in there.items()
    }
    assert (view.server.how, view.server.known) == (WATCH, now - 2.0)
    store.close()
