"""The socket of the load checker: takes connections, with limits of time, size and number; answers from the store."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

from x2gobroker.errors import StoreError
from x2gobroker.loadchecker.answers import (
    MOST_QUERY_BYTES,
    Query,
    answer,
    joined,
    parse_query,
    wanted_keys,
)
from x2gobroker.loadchecker.targets import Watched
from x2gobroker.logs import field, loadchecker_log
from x2gobroker.store.loads import Loads

MOST_CLIENTS = 64
MOST_QUERIES = 1000  # of one connection
IDLE_SECONDS = 10.0
CONNECTION_SECONDS = 60.0
PAUSE_SECONDS = 1.0  # without file descriptors or threads: it passes when clients go


class LoadSocket:
    """Answers on a listening Unix socket, one thread for each client. `watched` says what is looked after now."""

    def __init__(self, listener: socket.socket, watched: Callable[[], Watched], keep: Callable[[], Loads]) -> None:
        self._listener = listener
        self._watched = watched
        self._keep = keep
        self._clients = threading.BoundedSemaphore(MOST_CLIENTS)

    def start(self) -> None:
        """Serve from now on, in threads that end with the process."""
        threading.Thread(target=self._accept, name="load checker's socket", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError as error:
                if self._listener.fileno() < 0:
                    return
                # out of file descriptors, most likely
                loadchecker_log.error("the load checker's socket: %s", error.strerror)
                time.sleep(PAUSE_SECONDS)
                continue
            if not self._clients.acquire(blocking=False):
                loadchecker_log.warning(
                    "the load checker's socket: more than %d clients; one was refused", MOST_CLIENTS
                )
                client.close()
                continue
            try:
                threading.Thread(target=self._serve, args=(client,), name="load checker's client", daemon=True).start()
            except RuntimeError as error:  # as many threads as the system allows
                self._clients.release()
                loadchecker_log.error("the load checker's socket: %s", error)
                client.close()
                time.sleep(PAUSE_SECONDS)

    def _serve(self, client: socket.socket) -> None:
        """One client, until it goes, sends nothing for a while, or sends what is no query."""
        try:
            with client, contextlib.suppress(OSError):  # a client that is gone, or does not read
                self._talk(client)
        except ValueError as error:
            loadchecker_log.warning("the load checker's socket: a client sends what is no query: %s", error)
        finally:
            self._clients.release()

    def _talk(self, client: socket.socket) -> None:
        end = time.monotonic() + CONNECTION_SECONDS
        held = b""
        count = 0
        while time.monotonic() < end and count < MOST_QUERIES:
            client.settimeout(IDLE_SECONDS)
            data = client.recv(4096)
            if not data:
                return
            *lines, held = (held + data).split(b"\n")
            if len(held) > MOST_QUERY_BYTES:
                raise ValueError(f"a query of more than {MOST_QUERY_BYTES} bytes")
            count += len(lines)
            queries = [parse_query(line) for line in lines]
            if queries:
                client.sendall(joined([(query, self._answered(query)) for query in queries]))

    def _answered(self, query: Query) -> bytes:
        watched = self._watched()
        hosts = watched.profiles.get((query.backend, query.profile), ())
        now = time.time()
        try:
            known = self._keep().of(wanted_keys(query, hosts))
        except StoreError as error:
            loadchecker_log.error("a query on the load checker's socket could not be answered: %s", error)
            known = {}
        text = answer(query, hosts, known, watched.interval, now)
        loadchecker_log.debug(
            "query on the load checker's socket: backend=%s profile=%s host=%s: %d bytes",
            field(query.backend),
            field(query.profile),
            field(query.host),
            len(text),
        )
        return text
