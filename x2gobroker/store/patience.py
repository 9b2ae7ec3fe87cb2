"""Connections to PostgreSQL on which nothing waits for ever, whatever has become of the server or its host."""

from __future__ import annotations

import functools
import select
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, event

CONNECT_SECONDS = 3
ANSWER_SECONDS = 8.0  # of which a statement may wait for locks of others
FIRST_ANSWER_SECONDS = 2.0  # on a connection that was idle: it may be dead
IDLE_SECONDS = 1.0
SILENCE_SECONDS = 1.0
READ, WRITE = 1, 2

# of libpq: notice a host that is gone without a word
OPTIONS: Mapping[str, int] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5000,
}
# of the server: a broker that hangs, or whose host is gone, holds no locks
SESSION = (
    f"SET statement_timeout = {int(ANSWER_SECONDS * 1000)}",
    "SET idle_in_transaction_session_timeout = 5000",
    "SET tcp_keepalives_idle = 10",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 2",
)


def connect_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of libpq, but for those that `database-url` gives itself."""
    return {name: value for name, value in OPTIONS.items() if name not in given}


def be_patient(engine: Engine) -> None:
    """Have all connections of an engine end that get no answer. Only for the driver psycopg."""
    if engine.dialect.driver != "psycopg":
        return

    silence = Silence()

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> Any:
        silence.check(connection_class())
        made = connection_class().connect(*arguments, **options)
        made.silence = silence
        return made

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        for statement in SESSION:
            connection.execute(statement)
        connection.commit()


class Silence:
    """When a server last did not answer: who has just waited for that does not wait again, for a new connection."""

    def __init__(self) -> None:
        self.last = -SILENCE_SECONDS

    def check(self, kind: Any) -> None:
        """Raises the OperationalError of this kind of connection, where it was just now."""
        if time.monotonic() - self.last < SILENCE_SECONDS:
            raise kind.Silent("no answer just now")


@functools.cache
def connection_class() -> Any:
    """A connection of psycopg with a deadline for each answer. Loaded at first use: SQLite needs no psycopg."""
    import psycopg

    class PatientConnection(psycopg.Connection[Any]):
        """Server-side timeouts end a statement that takes long; this ends one whose server does nothing any more."""

        Silent = psycopg.OperationalError
        silence: Silence | None = None
        _answered = 0.0

        def wait(self, gen: Any, *_more: Any, **_options: Any) -> Any:
            """Drive a question to its answer. Raises OperationalError, and closes, when there is none in time."""
            now = time.monotonic()
            idle = bool(self._answered) and now - self._answered > IDLE_SECONDS
            seconds = FIRST_ANSWER_SECONDS if idle else ANSWER_SECONDS + 0.5
            try:
                found = _drive(gen, self.pgconn.socket, now + seconds)
            except TimeoutError:
                self.close()
                if self.silence is not None:
                    self.silence.last = time.monotonic()
                raise psycopg.OperationalError(f"no answer within {seconds:g} s") from None
            self._answered = time.monotonic()
            return found

    return PatientConnection


def _drive(gen: Any, descriptor: int, end: float) -> Any:
    """Psycopg's generators say what they wait for, and want to be told when it is there. Raises TimeoutError."""
    try:
        wanted = int(next(gen))
        while True:
            poll = select.poll()
            events = (select.POLLIN if wanted & READ else 0) | (select.POLLOUT if wanted & WRITE else 0)
            poll.register(descriptor, events)
            happened = poll.poll(max(0.0, end - time.monotonic()) * 1000)
            if not happened:
                gen.close()
                raise TimeoutError
            events = happened[0][1]
            ready = (READ if events & select.POLLIN else 0) | (WRITE if events & select.POLLOUT else 0)
            wanted = int(gen.send(ready or wanted))  # after an error: it finds out by itself
    except StopIteration as stop:
        return stop.value
