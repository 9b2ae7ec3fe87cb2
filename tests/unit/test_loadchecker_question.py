"""One question of the load checker: what it makes of ports that answer, that do not, and that it cannot try."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import pytest

from tests.unit.fake_watch import REPORT, TS01
from x2gobroker.agents.base import NONSENSE, UNREACHABLE
from x2gobroker.agents.reports import WatchStream
from x2gobroker.inventory.happenings import Answered, Silent
from x2gobroker.loadchecker.picture import Picture
from x2gobroker.loadchecker.question import asked, tried
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.load import LoadReport
from x2gobroker.store.loads import OK

NOW = 1_800_000_000.0
LOAD = LoadReport(100, 16000, 4, 2500, 0)
Ports = Callable[[str], None]


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> Ports:
    """Says what becomes of a try: `up`, `down`, or `untried`."""

    def are(what: str) -> None:
        def try_all(
            targets: Iterable[Endpoint],
            _deadline: float,
            _hopeless: Collection[Endpoint] = (),
            untried: set[Endpoint] | None = None,
        ) -> set[Endpoint]:
            if what == "untried" and untried is not None:
                untried.update(targets)
            return set(targets) if what == "up" else set()

        monkeypatch.setattr("x2gobroker.loadchecker.question.try_all", try_all)

    return are


@pytest.mark.parametrize(("what", "state"), [("up", OK), ("down", UNREACHABLE), ("untried", OK)])
def test_an_agent_that_answers_where_no_thread_can_try_the_port_is_up(ports: Ports, what: str, state: str) -> None:
    ports(what)
    result = asked(lambda _target: LOAD, TS01, (TS01.endpoint,))
    assert result.load.state == state
    assert result.heard is not None
    assert isinstance(result.heard.happening, Answered if state == OK else Silent)


@pytest.mark.parametrize(("what", "state"), [("up", OK), ("down", UNREACHABLE), ("untried", NONSENSE)])
def test_a_watched_server_whose_port_cannot_be_tried_is_not_down(ports: Ports, what: str, state: str) -> None:
    ports(what)
    picture = Picture(TS01.endpoint, NOW)
    for event in WatchStream().feed(REPORT, NOW):
        picture.take(event, (TS01.endpoint,), NOW)
    result = tried(TS01, picture, 0.1)
    assert (result.load.state, result.heard, result.reports) == (state, None, True)
    assert ("cannot be tried" in result.why) == (what == "untried")
    assert not (what == "untried" and result.load.is_dead(300.0, result.load.asked))
