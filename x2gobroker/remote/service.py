"""The websocket service: who may connect, and the way of one connection from its token to its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import ssl
import time
from collections.abc import Callable
from http import HTTPStatus
from weakref import WeakKeyDictionary

from websockets.asyncio.server import Server as Listening
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from x2gobroker.errors import StoreError
from x2gobroker.logs import SaidOnce, broker_log, error_log, field
from x2gobroker.model.forwarded import Asked
from x2gobroker.remote.beside import FILES, SOUND, Beside, Opened
from x2gobroker.remote.carrying import refuse_carried
from x2gobroker.remote.clipboard import Clipboard
from x2gobroker.remote.counts import Counts, Refusal, Rules
from x2gobroker.remote.files.link import FILES_PROTOCOL, FilesLink
from x2gobroker.remote.files.reports import Reports
from x2gobroker.remote.files.requests import FileRequests
from x2gobroker.remote.files.tickets import Tickets
from x2gobroker.remote.keys import NEITHER
from x2gobroker.remote.patient import PatientConnection, patient_connections
from x2gobroker.remote.readiness import ReadinessCheck
from x2gobroker.remote.relay import Browser, Carrier, Server, refuse, relay, shake_hands
from x2gobroker.remote.requests import PATHS, asked_of, one, origin_allowed, peer_of
from x2gobroker.remote.rfb import SERVER_CLOSED, RfbError
from x2gobroker.remote.slots import Desktops, FindType
from x2gobroker.remote.sound.link import SOUND_PROTOCOL, SoundLink, hear
from x2gobroker.remote.stopping import name_of
from x2gobroker.remote.told import (
    NO_STORE,
    WRONG_PAGE,
    WRONG_WAY,
    NoDesktopError,
)
from x2gobroker.remote.trial import CHECK_PROTOCOL, Trial
from x2gobroker.store import Pass, ProxyChecks
from x2gobroker.store.probe import probe

PROTOCOL = "binary"
BESIDE = {FILES_PROTOCOL: FILES, SOUND_PROTOCOL: SOUND}
PROTOCOLS = (*BESIDE, CHECK_PROTOCOL, PROTOCOL)  # of which a connection offers one
TOKEN_PREFIX = "x2gobroker."  # noqa: S105 - what stands before a token
HANDSHAKE_SECONDS = 10.0
STORE_SECONDS = 20.0
PING_SECONDS = 20.0
PONG_SECONDS = 60.0
CLOSE_SECONDS = 5.0
LARGEST_MESSAGE = 1 << 20
LONGEST_REASON = 120
WRITE_BYTES = 1 << 18  # what may wait for one browser


class Link:
    """One connection of a browser that has shown a good token."""

    def __init__(self, websocket: ServerConnection, holder: Pass, address: str) -> None:
        self.websocket = websocket
        self.holder = holder
        self.address = address
        self.share = holder.share
        self.sign_in = holder.sign_in
        self.last_input = 0.0
        self._closing: asyncio.Task[None] | None = None

    def cut(self, why: str) -> None:
        """End it, without waiting; the browser is told why."""
        if self._closing is None:
            reason = why.encode()[:LONGEST_REASON].decode(errors="ignore")
            self._closing = asyncio.ensure_future(self.websocket.close(1000, reason))

    async def finish(self, why: str) -> None:
        """The same, and wait for it, CLOSE_SECONDS at most."""
        self.cut(why)
        if self._closing is not None:
            await self._closing


class RemoteService:
    """The service of one listening socket. `rules` and `find_type` give rules and session types as of now."""

    def __init__(self, desktops: Desktops, rules: Callable[[], Rules], find_type: FindType) -> None:
        self._desktops = desktops
        self._rules = rules
        self._find_type = find_type
        self._carrier = Carrier()
        # admitted, by connection; weak, as a handshake can fail after that
        self._admitted: WeakKeyDictionary[ServerConnection, tuple[Pass, str]] = WeakKeyDictionary()
        self._refused: WeakKeyDictionary[ServerConnection, str] = WeakKeyDictionary()
        self._trials: WeakKeyDictionary[ServerConnection, Trial] = WeakKeyDictionary()
        self._said = SaidOnce()
        self._counts = Counts()
        self._tickets: Tickets[FilesLink] = Tickets()
        self._requests = FileRequests(self._tickets, self._counts, rules)
        self._readiness = ReadinessCheck(lambda: desktops.ask_store(lambda store: probe(store.store)))

    async def listen(self, listener: socket.socket, tls: ssl.SSLContext | None) -> Listening:
        """Serve this socket from now on, until what is given back is closed."""
        # the library's own log would hold headers, and tokens in them
        silent = logging.Logger("websockets of x2gobroker", logging.CRITICAL + 1)
        return await serve(
            self._handle,
            sock=listener,
            ssl=tls,
            process_request=self._admit,
            select_subprotocol=lambda _connection, offered: Subprotocol(
                next((name for name in PROTOCOLS if name in offered), PROTOCOL)
            ),
            compression=None,
            server_header=None,
            open_timeout=HANDSHAKE_SECONDS + STORE_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS,
            close_timeout=CLOSE_SECONDS,
            max_size=LARGEST_MESSAGE,
            max_queue=8,
            write_limit=WRITE_BYTES,
            create_connection=patient_connections(plain=self._requests),
            ssl_handshake_timeout=HANDSHAKE_SECONDS if tls else None,
            logger=silent,
        )

    async def _admit(self, websocket: ServerConnection, request: Request) -> Response | None:
        """The answer to a request that is not let in; None lets it in. Nothing of its headers is logged whole."""
        # what a browser sends before it is answered would be kept, and gone through in one go
        websocket.transport.pause_reading()
        try:
            if isinstance(websocket, PatientConnection) and websocket.sent_more:
                return websocket.respond(HTTPStatus.BAD_REQUEST, "it sends more than a request\n")
            return await self._answer(websocket, request)
        finally:
            if isinstance(websocket, PatientConnection) and self._is_carried(websocket, request):
                websocket.is_to_be_handed_over()
            else:
                websocket.transport.resume_reading()

    def _is_carried(self, websocket: ServerConnection, request: Request) -> bool:
        return websocket in self._admitted and beside_of(request.headers) is not None

    async def _answer(self, websocket: ServerConnection, request: Request) -> Response | None:
        headers, rules = request.headers, self._rules()
        asked = asked_of(websocket.remote_address, headers, rules.proxies)
        address = asked.address
        if asked.fault and self._said.is_new(peer_of(websocket.remote_address)):
            error_log.error(
                "remote: the web server does not say for whom it asks in a way that can be read: %s; have it send "
                "X-Forwarded-For with the client's address",
                field(asked.fault, 200),
            )
        if request.path == "/health":
            return websocket.respond(HTTPStatus.OK, "ok\n")
        if request.path == "/health/ready":
            return _ready_answer(websocket, await self._readiness.failing())
        found = await self._check(request, rules, asked, peer_of(websocket.remote_address))
        if isinstance(found, Refusal):
            broker_log.warning("remote: connection from %s refused: %s", field(address), found.why)
            if not found.told:
                return websocket.respond(found.status, f"{found.why}\n")
            # browsers hide the status from the page's script; what a VNC server says, it gets
            self._refused[websocket] = found.told
            return None
        if isinstance(found, Trial):
            self._trials[websocket] = found
        else:
            self._admitted[websocket] = found, address
        return None

    async def _check(self, request: Request, rules: Rules, asked: Asked, peer: str) -> Pass | Trial | Refusal:
        headers, address = request.headers, asked.address
        if request.path.partition("?")[0] not in PATHS:
            return Refusal(HTTPStatus.NOT_FOUND, "there is nothing here")
        token = token_of(headers)
        if token is None:
            return Refusal(HTTPStatus.BAD_REQUEST, "it does not offer one subprotocol of ours, and a token")
        if not origin_allowed(headers, rules.origins, asked.host):
            why = f"its page is of another origin: {field(one(headers, 'Origin'))}"
            return Refusal(HTTPStatus.FORBIDDEN, f"{why}; remote-origins says which ones are let in", WRONG_PAGE)
        if (refusal := self._counts.refuse_address(rules, address)) is not None:
            return refusal
        try:
            if CHECK_PROTOCOL in _offered(headers):
                counts = await self._desktops.ask_store(lambda store: ProxyChecks(store.store).redeem(token))
                return Trial(peer, asked) if counts else Refusal(HTTPStatus.FORBIDDEN, "it is no check of ours")
            holder = await self._desktops.ask_store(lambda store: store.redeem(token, address))
        except StoreError as error:
            error_log.error("remote: a token cannot be looked up: %s", error)
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the state store fails", NO_STORE)
        if holder is None:
            return Refusal(
                HTTPStatus.FORBIDDEN, "its token is unknown, spent, expired, or of another address", WRONG_WAY
            )
        beside = beside_of(headers)
        if beside is not None and (holder.share is not None or holder.view_only):
            return Refusal(HTTPStatus.FORBIDDEN, f"it is for guests, and asks for {beside.do}", beside.denied)
        if (refusal := self._counts.refuse_user(rules, holder.slot.username)) is not None:
            return refusal
        return holder

    async def _handle(self, websocket: ServerConnection) -> None:
        told = self._refused.pop(websocket, "")
        if told:
            with contextlib.suppress(ConnectionClosed):
                if websocket.subprotocol in BESIDE:
                    await refuse_carried(websocket, told)
                else:
                    await _tell(Browser(websocket), told)
            return
        trial = self._trials.pop(websocket, None)
        if trial is not None:
            await self._serve_trial(websocket, trial)
            return
        holder, address = self._admitted[websocket]
        if isinstance(websocket, PatientConnection):
            websocket.is_in()
        try:
            with self._counts.counted(holder.slot.username, address):
                if websocket.subprotocol == FILES_PROTOCOL and isinstance(websocket, PatientConnection):
                    await self._serve_files(FilesLink(websocket, holder, address, time.time()))
                elif websocket.subprotocol == SOUND_PROTOCOL and isinstance(websocket, PatientConnection):
                    await self._serve_sound(SoundLink(websocket, holder, address))
                else:
                    await self._serve(Link(websocket, holder, address))
        except ConnectionClosed:
            pass  # the browser has gone, in the midst of something

    async def _serve_trial(self, websocket: ServerConnection, trial: Trial) -> None:
        if isinstance(websocket, PatientConnection):
            websocket.is_in()
        broker_log.info("remote: x2gobroker remote check-proxy connects from %s", field(trial.asked.address))
        try:
            with self._counts.counted("", trial.asked.address):
                await trial.serve(websocket)
        except ConnectionClosed:
            pass  # the command has gone, in the midst of something

    async def _serve(self, link: Link) -> None:
        slot, browser = link.holder.slot, Browser(link.websocket)
        told = (
            field(link.address),
            "views as a guest" if link.holder.view_only else "works as a guest" if link.share else "works",
            name_of(slot),
        )
        try:
            entering = asyncio.ensure_future(self._desktops.enter(slot, link))
            gone = asyncio.ensure_future(link.websocket.wait_closed())
            try:
                await asyncio.wait([entering, gone], return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
                if not entering.done():
                    entering.cancel()
            desktop, connected = await entering
        except asyncio.CancelledError:
            return
        except (NoDesktopError, StoreError) as error:
            broker_log.warning("remote: %s %s at %s: %s", *told, error)
            await _tell(browser, str(error))
            return
        broker_log.info("remote: %s %s at %s", *told)
        why = "the handshake failed"
        try:
            server = Server(connected)
            try:
                password = desktop.password if desktop.password is not None else self._rules().password
                is_guest = link.share is not None
                await shake_hands(browser, server, password, is_guest=is_guest)
                view_only = link.holder.view_only

                def touched() -> None:
                    desktop.touch()
                    link.last_input = desktop.last_input

                kind = self._find_type(slot.type) or desktop.kind
                clipboard = Clipboard.of(kind.clipboard if kind else NEITHER)
                carrier, name = self._carrier, slot.type
                why = await relay(
                    browser, server, carrier, view_only, touched, name=name, clipboard=clipboard, is_guest=is_guest
                )
            finally:
                server.close()
            if why == SERVER_CLOSED:  # mostly, the whole desktop has ended: then that is what the browser is told
                await self._desktops.look_now(desktop)
            self._desktops.look_soon()
        except RfbError as error:
            why = str(error)
        finally:
            desktop.leave(link)
            broker_log.info("remote: %s %s no longer at %s: %s", *told, why)
        await link.finish(why)

    async def _open_beside(self, link: FilesLink | SoundLink, what: Beside) -> Opened:
        """See `beside.open_beside`. A way that has been closed since the desktop's start is closed."""
        slot = link.holder.slot
        kind = self._find_type(slot.type)
        if kind is None or not what.allowed(kind):
            raise NoDesktopError(what.denied)
        return await self._desktops.open_beside(slot, link, what)

    async def _serve_files(self, link: FilesLink) -> None:
        slot = link.holder.slot
        try:
            desktop, process, reports = await self._open_beside(link, FILES)
        except NoDesktopError as error:
            broker_log.warning("remote: %s gets no files of %s: %s", field(link.address), name_of(slot), error)
            await refuse_carried(link.websocket, str(error))
            return
        link.reports = Reports(reports, link.address, name_of(slot), lambda offer: self._tickets.give(link, offer))
        hearing = asyncio.ensure_future(link.reports.hear())
        try:
            await link.carry(process)
            await asyncio.wait([hearing], timeout=CLOSE_SECONDS)
        finally:
            hearing.cancel()
            link.reports = None
            self._tickets.drop(link)
            desktop.beside.discard(link)

    async def _serve_sound(self, link: SoundLink) -> None:
        slot = link.holder.slot
        try:
            desktop, process, reports = await self._open_beside(link, SOUND)
        except NoDesktopError as error:
            broker_log.warning("remote: %s gets no sound of %s: %s", field(link.address), name_of(slot), error)
            await refuse_carried(link.websocket, str(error))
            return
        broker_log.info("remote: %s hears %s", field(link.address), name_of(slot))
        hearing = asyncio.ensure_future(hear(reports, name_of(slot)))
        try:
            await link.carry(process)
            await asyncio.wait([hearing], timeout=CLOSE_SECONDS)
        finally:
            hearing.cancel()
            desktop.beside.discard(link)
            broker_log.info("remote: %s no longer hears %s", field(link.address), name_of(slot))


def _ready_answer(websocket: ServerConnection, failing: tuple[str, ...]) -> Response:
    """As the broker's own `/health/ready` says it."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if failing else HTTPStatus.OK
    said = json.dumps({"status": "not ready" if failing else "ready", "failing": failing})
    response = websocket.respond(status, said + "\n")
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response


async def _tell(browser: Browser, reason: str) -> None:
    try:
        await refuse(browser, reason)
    except (RfbError, TimeoutError):
        return  # it is no VNC client; it sees the connection close


def token_of(headers: Headers) -> str | None:
    """The token among the subprotocols; None where it is missing, or not just one of PROTOCOLS is there."""
    offered = _offered(headers)
    tokens = [name.removeprefix(TOKEN_PREFIX) for name in offered if name.startswith(TOKEN_PREFIX)]
    return tokens[0] if sum(name in offered for name in PROTOCOLS) == 1 and len(tokens) == 1 else None


def beside_of(headers: Headers) -> Beside | None:
    """What a connection is for, where that is not pictures."""
    return next((BESIDE[name] for name in _offered(headers) if name in BESIDE), None)


def _offered(headers: Headers) -> list[str]:
    return [name.strip() for value in headers.get_all("Sec-WebSocket-Protocol") for name in value.split(",")]
