"""What is said to a broker, and what it says back: requests, answers, and who says them."""

from __future__ import annotations

import base64
import enum
import http.client
from dataclasses import dataclass, field
from urllib.parse import quote_plus, urlencode

FORM = "application/x-www-form-urlencoded"
NO_ANSWER = 0
DEADLINE = 10.0
SILENCE = 0.6  # how long a request that the reference is known never to answer is waited for


class Authid(enum.Enum):
    """An authid that is only known when the request is sent."""

    LAST = "the last one of this user"
    USED = "one that this user has used before"
    FOREIGN = "the last one of another user"
    UNKNOWN = "one that was never handed out"


Fields = tuple[tuple[str, "str | Authid"], ...]


@dataclass(frozen=True)
class Request:
    """One request, the same for every broker except for its authid."""

    frontend: str
    path: str
    fields: Fields = ()
    method: str = "POST"
    content_type: str | None = FORM
    query: Fields = ()
    raw: bytes | None = None
    basic: str | None = None
    silent: bool = False  # the reference never answers this one
    address: str = "127.0.0.1"  # where it comes from; all of 127.0.0.0/8 is this machine

    def value(self, name: str) -> str | Authid | None:
        """The value that counts of a field: the last one, of the body before the query, without outer blanks."""
        for fields in (self.fields, self.query):
            values = [value for key, value in fields if key == name]
            if values:
                last = values[-1]
                return last.strip() if isinstance(last, str) and name != "password" else last
        return None

    def text(self, name: str) -> str:
        """As `value`, as a string; empty when it is absent or an authid."""
        value = self.value(name)
        return value if isinstance(value, str) else ""

    @property
    def task(self) -> str:
        """What is asked for, with the JSON frontend's older name of the listing folded into the newer."""
        task = self.text("task")
        return "listprofiles" if task == "listsessions" else task

    @property
    def sid(self) -> str:
        """The profile that is asked for."""
        if self.frontend == "json" and self.value("sid") is None:
            return self.text("profile-id")
        return self.text("sid")

    @property
    def user(self) -> str:
        """The login name at the broker."""
        return self.text("user")

    def __str__(self) -> str:
        said = "&".join(
            f"{key}={value if isinstance(value, str) else '<' + value.value + '>'}"
            for key, value in (*self.query, *self.fields)
        )
        extra = "" if self.raw is None else f" raw={self.raw[:60]!r}"
        extra += "" if self.basic is None else f" basic={self.basic!r}"
        extra += "" if self.address == "127.0.0.1" else f" from {self.address}"
        extra += "" if self.content_type == FORM else f" type={self.content_type!r}"
        return f"{self.method} {self.path} {said}{extra}"


@dataclass(frozen=True)
class Answer:
    """One answer as it came, header names in small letters; status 0 when none came."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Talker:
    """Speaks to one broker and remembers the authids it handed out, by user."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.authids: dict[str, list[str]] = {}
        self.sent = ""

    def _resolve(self, value: str | Authid, user: str) -> str:
        if isinstance(value, str):
            return value
        mine = self.authids.get(user, [])
        others = [ids[-1] for name, ids in self.authids.items() if name != user and ids]
        match value:
            case Authid.LAST if mine:
                return mine[-1]
            case Authid.USED if len(mine) > 1:
                return mine[-2]
            case Authid.FOREIGN if others:
                return others[-1]
        return "00000000-1111-2222-3333-444444444444"

    def send(self, request: Request) -> Answer:
        """Send the request over a connection of its own."""
        fields = [(key, self._resolve(value, request.user)) for key, value in request.fields]
        query = [(key, self._resolve(value, request.user)) for key, value in request.query]
        self.sent = dict(query + fields).get("authid", "")
        path = request.path + ("?" + urlencode(query) if query else "")
        body = request.raw
        if body is None and request.method not in ("GET", "HEAD"):
            body = urlencode(fields, quote_via=quote_plus).encode()
        headers = {} if request.content_type is None else {"Content-Type": request.content_type}
        if request.basic is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(request.basic.encode()).decode()
        deadline = SILENCE if request.silent else DEADLINE
        source = (request.address, 0)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=deadline, source_address=source)
        return _ask(connection, request.method, path, body, headers)

    def remember(self, user: str, authid: str) -> None:
        """Keep an authid that an answer handed out."""
        ids = self.authids.setdefault(user, [])
        if not ids or ids[-1] != authid:
            ids.append(authid)


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> Answer:
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    except (TimeoutError, http.client.RemoteDisconnected, ConnectionResetError):
        return Answer(NO_ANSWER)
    finally:
        connection.close()
