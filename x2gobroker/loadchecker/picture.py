"""What a watch has told of its server so far, and what of it the inventory is still to be told."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from x2gobroker.agents.reports import Alive, Gone, Reported, Trouble, WatchEvent
from x2gobroker.agents.reports import Changed as ChangedSession
from x2gobroker.inventory.claims import own_claims
from x2gobroker.inventory.happenings import WATCH_LAG, Answered, Changed, Told
from x2gobroker.inventory.reports import Heard, heard_report
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import CHECKLOAD, WATCH, SessionKey
from x2gobroker.model.load import LoadReport
from x2gobroker.model.server_report import MOST_SESSIONS, SeenSession

News = Told | Changed | Answered


class Picture:
    """One server, by its watch. One thread may take what is said while another one tells it.

    It holds the sessions of the server and which of them are news: however long nobody takes the news, and however
    much the server says, it grows no further. `begun` is when the watch was asked for; moments are in seconds since
    the epoch.
    """

    def __init__(self, server: Endpoint, begun: float) -> None:
        self.server = server
        self._lock = threading.Lock()
        self._sessions: dict[str, SeenSession] | None = None  # none before the first report, and in trouble
        self._foreign = self._odd = 0
        self._has_more = False  # than these
        self._as_of = begun
        self._heard = 0.0
        self._load: LoadReport | None = None
        self._trouble = ""
        # of what is still to be told
        self._is_news = False
        self._is_all_news = True
        self._changed_at = 0.0  # when a change was heard that is not yet told as of then; 0: there is none
        self._new: dict[str, None] = {}
        self._gone: dict[SessionKey, None] = {}
        self._told_as_of = 0.0

    def take(self, event: WatchEvent, others: Sequence[Endpoint], now: float) -> bool:
        """Take what the watch has said; whether there were no news before, and now there are.

        `others` are the servers that profiles have.
        """
        with self._lock:
            self._heard = now
            self._hold_as_of(now)
            match event:
                case Reported():
                    self._take_all(event, others)
                    self._changed_at = now
                case ChangedSession(session=session):
                    self._take_session(session, others)
                    self._changed_at = now
                case Gone(name=name):
                    self._take_away(name)
                    self._changed_at = now
                case Alive(load=load):
                    self._load = load
                case Trouble(text=text):
                    self._sessions, self._trouble = None, text
            before, self._is_news = self._is_news, True
            return not before

    def _hold_as_of(self, now: float) -> None:
        """All that was heard holds as of a little before `now`, and of when it was asked for."""
        self._as_of = max(self._as_of, now - WATCH_LAG)
        if self._changed_at <= self._as_of:
            self._changed_at = 0.0

    @property
    def settles_at(self) -> float:
        """When `settle` has something to say; 0: never, unless there is another change."""
        with self._lock:
            return self._changed_at + WATCH_LAG if self._changed_at else 0.0

    def settle(self, now: float) -> bool:
        """Whether a change was heard WATCH_LAG ago, and holds as of when it was heard from now on: that is news.

        At first a change holds as of before: what clients said, or an agent listed, between these moments counts, and
        hides it until the next sign of life.
        """
        with self._lock:
            if not self._changed_at or now < self._changed_at + WATCH_LAG:
                return False
            self._hold_as_of(now)
            self._changed_at = 0.0
            self._is_news = True
            return True

    def _take_all(self, event: Reported, others: Sequence[Endpoint]) -> None:
        heard = heard_report(self.server, others, event.report, self._as_of, self._heard, WATCH)
        told = heard.happening
        assert isinstance(told, Told)  # noqa: S101 - for the type checker
        self._sessions = {one.name: one for one in told.sessions}
        self._foreign, self._odd, self._has_more = heard.foreign, heard.odd, not told.whole
        self._load, self._trouble, self._is_all_news = event.report.load, "", True

    def _take_session(self, session: SeenSession, others: Sequence[Endpoint]) -> None:
        if self._sessions is None:
            return
        if not own_claims([session], self.server, others).sessions:
            self._foreign, self._has_more = self._foreign + 1, True
        elif session.name not in self._sessions and len(self._sessions) >= MOST_SESSIONS:
            self._odd, self._has_more = self._odd + 1, True
        else:
            self._sessions[session.name] = session
            self._new[session.name] = None
            self._gone.pop((session.user, session.name), None)

    def _take_away(self, name: str) -> None:
        session = None if self._sessions is None else self._sessions.pop(name, None)
        if session is not None:
            self._new.pop(name, None)
            self._gone[session.user, name] = None
            if len(self._gone) > MOST_SESSIONS:  # nobody takes the news, and sessions come and go
                self._is_all_news, self._gone = True, {}

    def news(self) -> News | None:
        """What is to be told; None where there is nothing new. `told` or `tell_anew` says what has become of it."""
        with self._lock:
            if not self._is_news:
                return None
            news = self._news()
            self._is_news = self._is_all_news = False
            self._new, self._gone = {}, {}
            return news

    def _news(self) -> News:
        if self._sessions is None:
            # it is there, and cannot say who is: like an agent that does not know how
            return Answered(self._as_of, self._heard, CHECKLOAD)
        if self._is_all_news or self._has_more:
            return Told(self._as_of, self._heard, tuple(self._sessions.values()), WATCH, whole=not self._has_more)
        new = tuple(self._sessions[name] for name in self._new)
        return Changed(self._told_as_of, self._as_of, self._heard, new, frozenset(self._gone))

    def told(self, news: News) -> None:
        """These news were told."""
        with self._lock:
            self._told_as_of = news.asked
            if isinstance(news, Answered):
                self._is_all_news = True

    def tell_anew(self) -> None:
        """News could not be told, or did not follow what had been told before: tell everything the next time."""
        with self._lock:
            self._is_news = self._is_all_news = True

    @property
    def load(self) -> tuple[LoadReport | None, float]:
        """The load as it was told last, and when the watch was heard last."""
        with self._lock:
            return self._load, self._heard

    @property
    def trouble(self) -> str:
        """Why the server cannot say who is there; empty where it can."""
        with self._lock:
            return self._trouble

    def heard(self, news: News) -> Heard:
        """The news, with how many sessions are not believed."""
        with self._lock:
            return Heard(self.server, news, self._foreign, self._odd)
