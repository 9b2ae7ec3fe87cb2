"""The merge of what servers, clients and brokers say, case by case; test_inventory_model.py holds it to a model."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.unit.inventory_values import EMPTY, NOW, after, name_of, seen, states
from x2gobroker.inventory.happenings import Answered, Changed, Placed, Said, Silent, Told, Withdrawn
from x2gobroker.inventory.merge import ENDED_SECONDS, MOST_CLAIMED, SAME_SECONDS, merge
from x2gobroker.model.inventory import BROKER, CHECKLOAD, ENDED, LISTED, WATCH, KnownSession, View

ANNA, BERT = name_of("anna"), name_of("bert")


def told(asked: float, *sessions: object, **more: object) -> tuple[float, Told]:
    """A report that came a second after it was asked for."""
    return asked + 1, Told(asked, asked + 1, sessions, **more)  # type: ignore[arg-type]


def said(at: float, state: str, user: str = "anna", client: str = "192.0.2.7", **more: object) -> tuple[float, Said]:
    return at, Said(at, user, name_of(user), state, client=client, **more)  # type: ignore[arg-type]


def placed(at: float, user: str = "anna", profile: str = "desk", seconds: float = 90) -> tuple[float, Placed]:
    return at, Placed(at, user, "inifile", profile, at + seconds)


def only(view: View) -> KnownSession:
    (found,) = view.sessions.values()
    return found


def test_a_report_says_all_sessions_of_its_server() -> None:
    view = after(EMPTY, told(NOW, seen(), seen("bert", 51, "S")))
    assert states(view) == {ANNA: "R", name_of("bert", 51): "S"}
    assert (view.server.known, view.server.heard, view.server.how) == (NOW, NOW + 1, "report")
    one = view.sessions["anna", ANNA]
    assert (one.source, one.client, one.display, one.first_seen, one.last_seen, one.profile) == (
        "report", "192.0.2.9", 50, NOW + 1, NOW, "",
    )  # fmt: skip
    assert states(after(view, told(NOW + 60, seen("bert", 51, "R")))) == {name_of("bert", 51): "R"}


def test_rows_of_a_silent_server_stay_and_grow_old() -> None:
    before = after(EMPTY, told(NOW, seen(), seen("bert", 51, "S")))
    view = after(before, (NOW + 300, Silent(NOW + 295, "timeout")), (NOW + 86400, Silent(NOW + 86395, "unreachable")))
    assert view.sessions == before.sessions
    assert all(view.as_of(one) == NOW for one in view.sessions.values())
    server = view.server
    assert (server.is_silent, server.silent_since, server.trouble) == (True, NOW + 295, "unreachable")
    assert (server.how, server.heard, server.known) == ("report", NOW + 1, NOW)
    again = after(view, told(NOW + 86500, seen())).server
    assert (again.is_silent, again.trouble) == (False, "")


def test_silence_that_is_noticed_late_does_not_hide_an_answer() -> None:
    view = after(EMPTY, told(NOW, seen()), (NOW + 2, Silent(NOW - 5, "timeout")))
    assert not view.server.is_silent
    late = after(EMPTY, (NOW + 6, Silent(NOW + 1, "timeout")), told(NOW, seen()))
    assert late.server.is_silent, "it did not answer when it was asked last"
    assert late.server.heard == NOW + 1


def test_a_report_that_was_asked_for_before_an_event_does_not_undo_it() -> None:
    view = after(EMPTY, told(NOW, seen(state="S")), said(NOW + 10, "R"))
    late = merge(view, Told(NOW + 9, NOW + 11, (seen(state="S"),)), NOW + 11)
    assert states(late) == {ANNA: "R"}
    assert states(merge(view, Told(NOW + 9, NOW + 11), NOW + 11)) == {ANNA: "R"}
    assert states(merge(late, Told(NOW + 12, NOW + 13, (seen(state="S"),)), NOW + 13)) == {ANNA: "S"}


def test_an_event_that_comes_behind_a_later_report_does_not_undo_it() -> None:
    view = after(EMPTY, told(NOW, seen(state="S")), (NOW + 5, said(NOW - 1, "R")[1]))
    assert states(view) == {ANNA: "S"}
    empty = after(EMPTY, told(NOW), (NOW + 5, said(NOW - 1, "R")[1]))
    assert states(empty) == {}


def test_reports_that_overtake_each_other() -> None:
    view = after(EMPTY, (NOW + 9, Told(NOW + 5, NOW + 9, (seen(),))), (NOW + 10, Told(NOW, NOW + 10)))
    assert states(view) == {ANNA: "R"}
    assert view.server.known == NOW + 5


def test_a_session_that_moves_from_suspended_to_running() -> None:
    view = after(EMPTY, told(NOW, seen(state="S", since=NOW - 500, client="192.0.2.9")))
    view = after(view, said(NOW + 10, "R", client="198.51.100.4"))
    one = only(view)
    assert (one.state, one.since, one.client, one.first_seen, one.source) == (
        "R", NOW + 10, "198.51.100.4", NOW + 1, "event",
    )  # fmt: skip
    view = after(view, told(NOW + 20, seen(state="R", since=NOW + 10, client="198.51.100.4")))
    assert (only(view).source, only(view).since) == ("report", NOW + 10)


@pytest.mark.parametrize("hours", [-1, 1])
def test_clocks_of_servers_decide_nothing(hours: int) -> None:
    wrong = NOW + hours * 3600
    late = NOW + 11, Told(NOW + 5, NOW + 11, (seen(since=wrong),))
    view = after(EMPTY, told(NOW, seen(since=wrong)), said(NOW + 10, "S"), late)
    assert states(view) == {ANNA: "S"}
    assert only(view).since == NOW + 10
    view = after(view, told(NOW + 20, seen(since=wrong + 20)))
    assert states(view) == {ANNA: "R"}
    assert only(view).since <= NOW + 21, "nothing begins in time to come"


def test_moments_to_come_are_taken_for_now() -> None:
    view = merge(EMPTY, Told(NOW + 3600, NOW + 3600, (seen(),)), NOW)
    assert (view.server.known, view.server.heard, only(view).last_seen) == (NOW, NOW, NOW)
    assert states(after(view, told(NOW + 5))) == {}


def test_a_broker_whose_clock_was_an_hour_ahead_and_is_set_back_hears_news_again() -> None:
    ahead = after(EMPTY, told(NOW + 3600, seen()), said(NOW + 3601, "S"), placed(NOW + 3602, "bert"))
    view = merge(ahead, Told(NOW + 10, NOW + 11, (seen(),)), NOW + 11)
    assert states(view, ["anna"]) == {ANNA: "S"}, "as of now, which is later than that was asked"
    view = after(view, told(NOW + 20, seen()))
    assert states(view, ["anna"]) == {ANNA: "R"}
    assert states(after(view, told(NOW + 120, seen()))) == {ANNA: "R"}, "nobody waits an hour longer"


def test_a_report_that_leaves_sessions_out_ends_none() -> None:
    view = after(EMPTY, told(NOW, seen(), seen("bert")))
    view = after(view, told(NOW + 10, seen("carl"), whole=False))
    assert set(states(view)) == {ANNA, BERT, name_of("carl")}
    assert view.server.known == NOW, "not all of it is known"
    assert view.as_of(view.sessions["carl", name_of("carl")]) == NOW + 10
    assert view.as_of(view.sessions["anna", ANNA]) == NOW


def test_a_listing_of_one_account_says_nothing_of_others() -> None:
    view = after(EMPTY, told(NOW, seen(), seen("bert")))
    view = after(view, told(NOW + 10, seen(display=51), seen("carl"), how=LISTED, user="anna"))
    assert states(view) == {ANNA: "F", name_of("anna", 51): "R", BERT: "R"}
    late = Told(NOW + 9, NOW + 12, (seen(), seen("bert")))
    assert states(merge(view, late, NOW + 12))[ANNA] == "F", "which was asked for before"
    assert states(after(view, said(NOW + 12, "R")))[ANNA] == "R"
    assert (view.server.known, view.server.how, view.server.heard) == (NOW, "report", NOW + 11)
    assert after(EMPTY, told(NOW, how=LISTED, user="anna")).server.how == LISTED


def test_an_agent_that_says_nothing_of_sessions_is_heard() -> None:
    view = after(EMPTY, told(NOW, seen()), (NOW + 60, Silent(NOW + 60)))
    view = after(view, (NOW + 121, Answered(NOW + 120, NOW + 121, CHECKLOAD)))
    assert states(view) == {ANNA: "R"}
    server = view.server
    assert (server.how, server.heard, server.known, server.is_silent) == (CHECKLOAD, NOW + 121, NOW, False)


def watched(*sessions: object) -> View:
    return after(EMPTY, told(NOW, *sessions, how=WATCH))


def test_a_watch_says_what_changes() -> None:
    view = watched(seen(), seen("bert", state="S"))
    view = after(view, (NOW + 5, Changed(NOW, NOW + 3, NOW + 5, (seen("bert", state="R"),))))
    assert states(view) == {ANNA: "R", BERT: "R"}
    view = after(view, (NOW + 9, Changed(NOW + 3, NOW + 7, NOW + 9, (), frozenset({("anna", ANNA)}))))
    assert states(view) == {BERT: "R"}
    view = after(view, (NOW + 20, Changed(NOW + 7, NOW + 18, NOW + 20)))
    assert (states(view), view.server.known, view.server.how) == ({BERT: "R"}, NOW + 18, WATCH)
    assert view.as_of(only(view)) == NOW + 18


def test_a_sign_of_life_makes_the_servers_word_count_again() -> None:
    view = after(watched(seen()), said(NOW + 10, "S"), said(NOW + 10, "R", "bert"))
    early = after(view, (NOW + 11, Changed(NOW, NOW + 9, NOW + 11)))
    assert states(early) == {ANNA: "S", BERT: "R"}
    late = after(early, (NOW + 14, Changed(NOW + 9, NOW + 12, NOW + 14)))
    assert states(late) == {ANNA: "R"}


def test_a_change_that_follows_nothing_counts_for_nothing_but_a_voice() -> None:
    view = watched(seen())
    broken = after(view, (NOW + 9, Changed(NOW + 3, NOW + 7, NOW + 9, (seen("bert"),), frozenset({("anna", ANNA)}))))
    assert (broken.sessions, broken.server.known, broken.server.heard) == (view.sessions, NOW, NOW + 9)
    assert after(EMPTY, (NOW, Changed(0.0, NOW, NOW, (seen(),)))).sessions == {}


def test_a_change_behind_a_clock_that_was_set_back_is_not_lost() -> None:
    gone = frozenset({("anna", ANNA)})
    view = after(watched(seen()), (NOW - 1, Changed(NOW, NOW - 3, NOW - 1, (), gone)))
    assert (states(view), view.server.known) == ({}, NOW)
    view = after(watched(seen()), (NOW - 30, Changed(NOW, NOW - 32, NOW - 30, (), gone)))
    assert (states(view), view.server.known) == ({}, NOW - 32), "which is as of now, by the clock as it is"


@pytest.mark.parametrize("begins", [True, False])
def test_a_list_that_was_made_just_before_does_not_hide_what_a_watch_has_told_for_good(begins: bool) -> None:
    """The agent has said what there is; then a session begins or ends. The choice still waits for another server."""
    view = watched() if begins else watched(seen())
    if begins:
        news = Changed(NOW, NOW + 9, NOW + 11, (seen(since=NOW + 10.5),))
    else:
        news = Changed(NOW, NOW + 9, NOW + 11, (), frozenset({("anna", ANNA)}))
    listed = Told(NOW + 10, NOW + 14, () if begins else (seen(),), LISTED, "anna")
    view = after(view, (NOW + 11.3, news), (NOW + 14, listed))
    assert states(view) == {ANNA: "F" if begins else "R"}
    view = after(view, (NOW + 16, Changed(NOW + 9, NOW + 14, NOW + 16)))
    assert states(view) == ({ANNA: "R"} if begins else {})


def test_what_a_watched_server_lists_holds_until_its_watch_is_heard() -> None:
    view = watched(seen(), seen("bert", state="S"))
    view = after(view, told(NOW + 10, seen(state="S"), seen(display=51), how=LISTED, user="anna"))
    assert states(view, ["anna"]) == {ANNA: "S", name_of("anna", 51): "R"}
    early = after(view, (NOW + 11.5, Changed(NOW, NOW + 9.5, NOW + 11.5)))
    assert states(early, ["anna"]) == {ANNA: "S", name_of("anna", 51): "R"}
    late = after(early, (NOW + 19, Changed(NOW + 9.5, NOW + 17, NOW + 19)))
    assert states(late) == {ANNA: "R", BERT: "S"}
    kept = after(early, (NOW + 12, Changed(NOW + 9.5, NOW + 9.9, NOW + 12, (seen(display=51),))))
    kept = after(kept, (NOW + 19, Changed(NOW + 9.9, NOW + 17, NOW + 19)))
    assert states(kept) == {ANNA: "R", name_of("anna", 51): "R", BERT: "S"}


def test_where_nobody_watches_what_a_server_lists_is_its_last_word() -> None:
    view = after(EMPTY, told(NOW, seen(), seen("bert")), told(NOW + 10, seen(state="S"), how=LISTED, user="anna"))
    assert (view.sessions["anna", ANNA].told, view.sessions["bert", BERT].told) == ("S", "R")


@pytest.mark.parametrize("ahead", [4.0, 30.0, 59.0])
def test_who_takes_over_from_a_host_whose_clock_was_ahead_is_heard_at_once(ahead: float) -> None:
    wrong = NOW + ahead
    view = after(EMPTY, (wrong, Told(wrong, wrong, (seen(), seen("bert")), WATCH)), said(wrong, "S"))
    view = after(view, (NOW + 1, Told(NOW + 0.5, NOW + 0.8, (seen(),), WATCH)))
    assert (states(view, ["bert"]), view.server.known) == ({}, NOW + 0.5)
    assert states(view) == {ANNA: "S"}, "moments to come are taken for now"
    view = after(view, (NOW + 4, Changed(NOW + 0.5, NOW + 2, NOW + 4)))
    assert (states(view), view.server.known, view.server.how) == ({ANNA: "R"}, NOW + 2, WATCH)


def test_silence_is_noticed_whatever_the_clock_of_the_host_that_heard_last() -> None:
    view = after(EMPTY, (NOW + 30, Told(NOW + 30, NOW + 30, (seen(),))), (NOW + 5, Silent(NOW + 4, "timeout")))
    assert (view.server.is_silent, view.server.silent_since) == (True, NOW + 4)


def test_hosts_that_agree_as_they_should_lose_nothing_to_each_other() -> None:
    """A second apart: the one that is behind does not take back what the other has said, and its watch goes on."""
    view = after(EMPTY, (NOW + 1, Told(NOW + 1, NOW + 1, (seen(),), WATCH)), (NOW, Answered(NOW, NOW, LISTED)))
    assert view.server.known == NOW + 1
    view = after(view, (NOW + 9, Changed(NOW + 1, NOW + 7, NOW + 9)))
    assert (states(view), view.server.known) == ({ANNA: "R"}, NOW + 7)


def test_what_a_broker_ended_does_not_come_back_by_what_was_asked_before() -> None:
    view = after(EMPTY, told(NOW, seen()), said(NOW + 10, ENDED, source=BROKER))
    assert not only(view).is_living(NOW + 10)
    for late in (told(NOW + 9, seen()), said(NOW + 12, "R"), said(NOW + 13, "L"), said(NOW + 60, "L")):
        view = after(view, late)
        assert states(view) == {ANNA: ENDED}
    assert states(after(view, told(NOW + 20, seen()))) == {ANNA: "R"}, "the server knows better"
    assert states(after(view, said(NOW + 90, "R"))) == {ANNA: "R"}, "and so does a client that lives on"
    assert states(after(view, told(NOW + 20))) == {}
    assert states(after(view, (NOW + 11 + ENDED_SECONDS, Silent(NOW)))) == {}


def test_a_client_that_has_gone_leaves_nobody_knows_what() -> None:
    view = after(EMPTY, said(NOW, "R"), said(NOW + 10, "L"))
    assert states(view) == {ANNA: "L"}
    assert only(view).is_living(NOW + 1e6)
    assert states(after(view, said(NOW + 20, "R"))) == {ANNA: "R"}


@pytest.mark.parametrize("state", ["S", "T"])
def test_a_client_that_has_suspended_or_ended_a_session_and_gone(state: str) -> None:
    view = after(EMPTY, said(NOW, "R"), said(NOW + 10, state), said(NOW + 10.2, "L"))
    assert states(view) == {ANNA: state}
    assert only(view).since == NOW + 10


def test_a_client_from_which_the_session_was_taken_over_does_not_say_where_it_is() -> None:
    view = after(EMPTY, said(NOW, "R", client="192.0.2.7"), said(NOW + 5, "R", client="192.0.2.8"))
    assert states(after(view, said(NOW + 6, "L", client="192.0.2.7"))) == {ANNA: "R"}
    assert states(after(view, said(NOW + 6, "L", client="192.0.2.8"))) == {ANNA: "L"}


@pytest.mark.parametrize("over", ["T", "L"])
def test_a_sign_of_life_that_was_overtaken_is_none(over: str) -> None:
    view = after(EMPTY, said(NOW, "R"), said(NOW + 10, over))
    assert states(after(view, said(NOW + 10 + SAME_SECONDS / 2, "R"))) == {ANNA: over}
    assert states(after(view, said(NOW + 10 + SAME_SECONDS, "R"))) == {ANNA: "R"}
    told_over = after(EMPTY, told(NOW, seen(state="T")), said(NOW + 0.5, "R"))
    assert states(told_over) == {ANNA: "R"}, "a server does not guess"


@pytest.mark.parametrize("state", ["T", "L"])
def test_what_is_over_for_a_client_is_not_begun_by_it(state: str) -> None:
    assert after(EMPTY, said(NOW, state)).sessions == {}


def test_a_session_that_a_client_has_ended_is_not_kept_where_its_server_never_speaks() -> None:
    view = after(EMPTY, said(NOW, "R"), said(NOW + 10, "T"))
    voice = NOW + 9 + ENDED_SECONDS, Answered(NOW, NOW, CHECKLOAD)
    assert states(after(view, voice)) == {ANNA: "T"}
    assert states(after(view, voice, (NOW + 10 + ENDED_SECONDS, voice[1]))) == {}


def test_one_client_cannot_claim_any_number_of_sessions() -> None:
    view = EMPTY
    for number in range(MOST_CLAIMED + 20):
        view = merge(view, Said(NOW + number, "anna", name_of("anna", 50 + number), "R"), NOW + number)
    assert len(view.sessions) == MOST_CLAIMED
    assert len(after(view, said(NOW + 500, "R", "bert")).sessions) == MOST_CLAIMED + 1
    view = after(view, told(NOW + 600, *(seen(display=50 + number) for number in range(MOST_CLAIMED))))
    assert len(after(view, said(NOW + 700, "R", display=20)).sessions) == MOST_CLAIMED
    later = NOW + 700, Said(NOW + 700, "anna", name_of("anna", 20), "R")
    assert len(after(view, later).sessions) == MOST_CLAIMED + 1, "the server knows of the others"


def test_who_is_on_the_way_is_expected_until_a_session_shows_up() -> None:
    view = after(EMPTY, placed(NOW), placed(NOW, "bert"))
    assert {(one.user, one.state, one.backend, one.profile) for one in view.sessions.values()} == {
        ("anna", "E", "inifile", "desk"), ("bert", "E", "inifile", "desk"),
    }  # fmt: skip
    view = after(view, told(NOW + 1))
    assert len(view.sessions) == 2, "that the session is not there yet does not mean that nobody comes"
    view = after(view, told(NOW + 20, seen(since=NOW + 15)))
    assert (view.sessions["anna", ANNA].profile, set(states(view).values())) == ("desk", {"R", "E"})
    assert states(after(view, told(NOW + 91, seen()))) == {ANNA: "R"}, "nobody waits for ever"
    assert view.sessions["bert", "inifile/desk"].is_living(NOW + 89)
    assert not view.sessions["bert", "inifile/desk"].is_living(NOW + 90)


def test_an_event_is_a_session_that_shows_up() -> None:
    view = after(EMPTY, placed(NOW), said(NOW + 5, "R", display=50))
    assert (only(view).profile, only(view).display, only(view).client) == ("desk", 50, "192.0.2.7")
    view = after(view, told(NOW + 9, seen(since=NOW + 4)))
    assert only(view).profile == "desk", "which no server knows"


def test_a_session_of_before_is_not_the_one_that_is_waited_for() -> None:
    view = after(EMPTY, placed(NOW), told(NOW + 5, seen(since=NOW - 900)))
    assert states(view) == {ANNA: "R", "inifile/desk": "E"}
    assert view.sessions["anna", ANNA].profile == ""


def test_sessions_that_show_up_together_are_given_to_the_profiles_in_their_order() -> None:
    view = after(EMPTY, placed(NOW, profile="first"), placed(NOW + 2, profile="second"))
    view = after(view, told(NOW + 20, seen(display=60, since=NOW + 8), seen(display=61, since=NOW + 5)))
    assert {one.display: one.profile for one in view.sessions.values()} == {60: "second", 61: "first"}


def test_a_second_selection_takes_the_place_of_the_first_and_one_elsewhere_withdraws_it() -> None:
    view = after(EMPTY, placed(NOW), placed(NOW + 60))
    assert only(view).until == NOW + 150
    assert after(view, (NOW + 60, placed(NOW + 30)[1])).sessions == view.sessions, "which came late"
    assert after(view, (NOW + 70, Withdrawn(NOW + 70, "anna", "inifile/desk"))).sessions == {}
    assert after(view, (NOW + 70, Withdrawn(NOW + 50, "anna", "inifile/desk"))).sessions == view.sessions
    assert after(view, (NOW + 70, Withdrawn(NOW + 70, "anna", "inifile/lab"))).sessions == view.sessions


def test_a_server_under_another_name_is_the_same_server() -> None:
    view = after(EMPTY, told(NOW, seen()), told(NOW + 60, seen(server="renamed", state="S")))
    assert states(view) == {ANNA: "S"}


def test_ten_thousand_sessions_are_merged_quickly() -> None:
    many = tuple(seen("anna", number) for number in range(10_000))
    began = time.process_time()
    view = after(EMPTY, told(NOW, *many))
    begins = time.process_time() - began
    after(view, told(NOW + 30, *many))
    goes_on = time.process_time() - began - begins
    assert begins < 10 * goes_on, "each that is new costs the same, whatever their number"
    view = after(view, told(NOW + 60, *many[1:], replace(many[0], state="S")))
    view = after(view, *(placed(NOW + 61 + number, f"user{number}") for number in range(20)))
    assert time.process_time() - began < 5
    assert len(view.sessions) == 10_020
    assert states(view)[many[0].name] == "S"


def test_what_has_not_changed_is_not_written_again() -> None:
    view = after(EMPTY, told(NOW, seen(), seen("bert")))
    again = after(view, told(NOW + 60, seen(since=NOW + 2), seen("bert", state="S")))
    assert again.sessions["anna", ANNA] == view.sessions["anna", ANNA]
    assert again.as_of(again.sessions["anna", ANNA]) == NOW + 60
