"""gunicorn as the broker needs it: its messages in our loggers, and workers that hear every order to stop."""

from __future__ import annotations

import io
import logging
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.http import RequestParser
from gunicorn.http.errors import InvalidHeader, NoMoreData
from gunicorn.http.wsgi import create
from gunicorn.workers.base import Worker

from x2gobroker.gate import Connection, Door
from x2gobroker.logs import access_log, broker_log, error_log, field


class GunicornLogger(Logger):  # type: ignore[misc]
    """Sends what gunicorn says to the broker's loggers, whose handlers stay as they were configured."""

    def setup(self, cfg: Any) -> None:
        """Take our loggers in place of gunicorn's; nothing is opened here."""
        self.error_log = broker_log
        self.access_log = access_log

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> None:
        """One line per request, without the query string; level by status as in the reference."""
        status = int(str(resp.status).split(" ", 1)[0])
        level = logging.INFO if status < 400 else logging.WARNING
        logger = access_log if status < 500 else error_log
        if logger.isEnabledFor(level):
            milliseconds = request_time.total_seconds() * 1000
            logger.log(
                level,
                "%d %s %s (%s) %.2fms",
                status,
                environ.get("REQUEST_METHOD", "-"),
                field(environ.get("PATH_INFO", ""), 200),
                environ.get("REMOTE_ADDR", "-"),
                milliseconds,
            )

    def reopen_files(self) -> None:
        """Nothing to do: WatchedFileHandler, or a restart by logrotate, looks after the files."""

    def close_on_exec(self) -> None:
        """Nothing to do: Python opens log files so that programs which are started do not inherit them."""


STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})


class PatientArbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's main process, whose workers are deaf to orders to stop until they can follow them.

    A worker starts with the handlers of the main process, which only take note of a signal for the main process.
    An order that came before the worker had its own was lost, and the daemon waited for a worker that went on.
    """

    def spawn_worker(self) -> Any:
        """Start a worker; signals to stop wait meanwhile, in this process and in the worker."""
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            return super().spawn_worker()
        finally:
            hear_signals()

    def manage_workers(self) -> None:
        """Start and end workers as needed, and take a renewed certificate for those to come; about once a second."""
        if self.app.tls is not None:
            self.app.tls.current()
        super().manage_workers()


def hear_signals() -> None:
    """Let signals to stop through to this process again; those that waited arrive now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


class Exchange:
    """What gunicorn takes for a client's socket: one whole request to read, and an answer that is kept."""

    def __init__(self, request: bytes) -> None:
        self._request = memoryview(request)
        self.answer = bytearray()

    def recv(self, size: int, _flags: int = 0) -> bytes:
        """The next bytes of the request; nothing at its end."""
        data, self._request = self._request[:size], self._request[size:]
        return bytes(data)

    def sendall(self, data: bytes) -> None:
        """The next bytes of the answer."""
        self.answer += data

    def send(self, data: bytes) -> int:
        """The same, as sockets have it. The client was told to go on when its header was whole."""
        if not data.startswith(b"HTTP/1.1 100 "):
            self.answer += data
        return len(data)

    def gettimeout(self) -> float:
        """Nothing waits here."""
        return 0.0


def _body_of(req: Any, parser: Any) -> bytes:
    """The whole body. Raises what gunicorn finds wrong with it, also where the application would not have looked.

    Where it ends elsewhere than the door has found, a web server in front may have seen yet another end.
    """
    body = bytes(req.body.read())
    if parser.unreader.read():
        raise InvalidHeader("CONTENT-LENGTH", req=req)
    return body


class DoorWorker(Worker):  # type: ignore[misc]
    """A worker process of gunicorn whose threads only ever have whole requests: see `x2gobroker/gate/`.

    Of gunicorn it takes the parser of requests and the writer of answers; the connections are the door's. The daemon
    that it serves (`app`) says which limits there are.
    """

    def init_process(self) -> None:
        """Start what this process needs, and serve."""
        self._threads = ThreadPoolExecutor(self.cfg.threads, thread_name_prefix="request")
        self._door = Door(self.sockets, self.app.limits(), self._submit, self.app.is_exempt, self.app.tls)
        super().init_process()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """An order to stop: what is under way is finished."""
        super().handle_exit(sig, frame)
        self._door.wake()

    def handle_quit(self, sig: int, frame: Any) -> None:
        """An order to stop at once."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        super().handle_quit(sig, frame)

    def run(self) -> None:
        """Serve until the order to stop, or until the main process is gone."""
        while self.alive and self.ppid == os.getppid():
            self.notify()
            self._door.turn(1.0)
        self._door.shut()
        end = time.monotonic() + self.cfg.graceful_timeout
        while len(self._door) and time.monotonic() < end:
            self.notify()
            self._door.turn(0.1)
        self._door.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _submit(self, connection: Connection, request: bytes, is_last: bool) -> None:
        self._threads.submit(self._perform, connection, request, is_last)

    def _perform(self, connection: Connection, request: bytes, is_last: bool) -> None:
        """One request, in a thread; whatever happens, the connection gets an answer or its end."""
        exchange, keep = Exchange(request), False
        req = None
        try:
            parser = RequestParser(self.cfg, exchange, connection.client)
            req = next(parser)
            keep = self._respond(req, _body_of(req, parser), exchange, connection, is_last)
        except (NoMoreData, StopIteration):
            exchange.answer.clear()  # no request: there is nothing to answer
        except Exception as error:  # noqa: BLE001 - gunicorn makes an answer of it, and logs what is not the client's
            exchange.answer.clear()
            self.handle_error(req, exchange, connection.client, error)
        finally:
            self._door.answered(connection, bytes(exchange.answer), keep)

    def _respond(self, req: Any, body: bytes, exchange: Exchange, connection: Connection, is_last: bool) -> bool:
        """Have the application answer; whether another request may follow."""
        began = datetime.now()
        response, environ = create(req, exchange, connection.client, connection.server, self.cfg)
        environ["wsgi.multithread"] = True
        environ["wsgi.input"] = io.BytesIO(body)
        if is_last or not self.alive:
            response.force_close()
        parts = self.wsgi(environ, response.start_response)
        try:
            for part in parts:
                response.write(part)
            response.close()
        finally:
            if hasattr(parts, "close"):
                parts.close()
        self.log.access(response, req, environ, datetime.now() - began)
        return not response.should_close()
