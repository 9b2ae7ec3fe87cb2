"""What may be shown and logged of `database-url`: which driver, where, and which database. Nothing else of it."""

from __future__ import annotations

import re

from sqlalchemy.engine import URL

PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
HOST = re.compile(r"[A-Za-z0-9_.:-]+")
# values of the query that drivers repeat in their messages, and that are no secret
HARMLESS = frozenset(
    "application_name client_encoding connect_timeout dbname gssencmode host hostaddr keepalives keepalives_count "
    "keepalives_idle keepalives_interval port sslmode target_session_attrs tcp_user_timeout timeout user".split()
)
# some of them are places; none is plain with an @ in it, and a password may stand in front of that
PLACE = re.compile(r"[A-Za-z0-9_.,:/-]*")
PLACES = ("host", "hostaddr")
HIDDEN = "(hidden)"
WORD = re.compile(r"[^\s=&@/?:]{4,}")


def shown_url(url: URL) -> str:
    """A database as it may be shown. Whatever is no plain name is hidden: a slip may have put a password there."""
    if url.get_backend_name() == "sqlite":
        return url.database or ""
    host = _plain(url.host, HOST)
    host = f"[{host}]" if ":" in host else host
    port = "" if url.port is None else f":{url.port}"
    return f"{url.drivername}://{host}{port}/{_plain(url.database, PLAIN)}"


def without_secrets(text: str, url: URL) -> str:
    """A driver's message without what stands in the URL and is nobody's business."""
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _secrets(url: URL) -> set[str]:
    """Values that are no plain names, and their words: a slip in the URL, or a driver, may have cut them."""
    found = {str(url.password)} if url.password is not None else set()
    for name, values in url.query.items():
        form = PLACE if name in PLACES else PLAIN
        of_one = (values,) if isinstance(values, str) else values
        found.update(value for value in of_one if name not in HARMLESS or not form.fullmatch(value))
    parts = ((url.username, PLAIN), (url.host, HOST), (url.database, PLAIN))
    found |= {text for text, form in parts if text and not form.fullmatch(text)}
    words = {word for text in found for word in WORD.findall(text)}
    return {secret for secret in found | words if secret}


def _plain(text: str | None, form: re.Pattern[str]) -> str:
    if not text:
        return ""
    return text if form.fullmatch(text) else HIDDEN
