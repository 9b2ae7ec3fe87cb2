"""Lets plain requests in that carry what is in a file: each shows a ticket that its page has got over its connection.

The ticket is the first thing in the body, in the form that a browser gives a form of one field with the encoding
text/plain: so it stands in no address, and neither a form nor a script needs the other site's consent to send it.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from http import HTTPStatus

from x2gobroker.logs import broker_log, field
from x2gobroker.remote.counts import Counts, Refusal, Rules
from x2gobroker.remote.crossing import DOWNLOAD, TICKET, TICKET_LETTERS
from x2gobroker.remote.files.body import Body
from x2gobroker.remote.files.link import FilesLink
from x2gobroker.remote.files.tickets import Offer, Tickets
from x2gobroker.remote.post import Post
from x2gobroker.remote.requests import PATHS, asked_of, one, origin_allowed

LEAD = re.compile(rb"ticket=(" + TICKET.pattern.encode("ascii") + rb")\r\n")
LEAD_BYTES = len("ticket=") + TICKET_LETTERS + 2
BUFFER_BYTES = 1 << 19

Admitted = tuple[FilesLink, Offer]


class FileRequests:
    """Those of one service."""

    def __init__(self, tickets: Tickets[FilesLink], counts: Counts, rules: Callable[[], Rules]) -> None:
        self._tickets = tickets
        self._counts = counts
        self._rules = rules

    def take(self, transport: asyncio.Transport, data: bytes, settled: Callable[[], None]) -> None:
        """A connection has begun with a plain request."""
        post = Post(transport, self._serve, LEAD_BYTES, settled)
        transport.set_protocol(post)
        post.data_received(data)

    async def _serve(self, post: Post) -> None:
        rules = self._rules()
        asked = asked_of(post.peer, post.headers, rules.proxies)
        found = self._check(post, rules, asked.address, asked.host)
        if isinstance(found, Refusal):
            broker_log.warning("remote: request from %s refused: %s", field(asked.address), found.why)
            post.respond(found.status, found.why)
            return
        link, offer = found
        post.is_in()
        try:
            with self._counts.counted(link.holder.slot.username, asked.address):
                await self._carry(post, link, offer)
        except BaseException:
            post.abort()
            raise

    def _check(self, post: Post, rules: Rules, address: str, host: str) -> Admitted | Refusal:
        if post.path.partition("?")[0] not in PATHS:
            return Refusal(HTTPStatus.NOT_FOUND, "there is nothing here")
        if not origin_allowed(post.headers, rules.origins, host):
            why = f"its page is of another origin: {field(one(post.headers, 'Origin'))}"
            return Refusal(HTTPStatus.FORBIDDEN, f"{why}; remote-origins says which ones are let in")
        if (refusal := self._counts.refuse_address(rules, address)) is not None:
            return refusal
        lead = LEAD.fullmatch(post.lead)
        found = self._tickets.redeem(lead[1].decode("ascii"), address) if lead else None
        if found is None:
            return Refusal(HTTPStatus.FORBIDDEN, "its ticket is unknown, spent, expired, or of another address")
        link, offer = found
        if post.length != (0 if offer.way == DOWNLOAD else offer.size):
            return Refusal(HTTPStatus.BAD_REQUEST, "it has another length than was agreed")
        return self._counts.refuse_user(rules, link.holder.slot.username) or (link, offer)

    async def _carry(self, post: Post, link: FilesLink, offer: Offer) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
            given = link.reports is not None and link.reports.give_body(theirs)
        if not given:
            ours.close()
            post.respond(HTTPStatus.CONFLICT, "its connection has ended")
            return
        allowed = (("Access-Control-Allow-Origin", one(post.headers, "Origin")), ("Vary", "Origin"))
        await link.carry_body(await Body.carry(post, offer, ours, allowed))
