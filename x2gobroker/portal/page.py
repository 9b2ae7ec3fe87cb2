"""How views answer: with a page, a message, JSON, or the way to another page."""

from __future__ import annotations

import json
from collections.abc import Mapping

from flask import Response, render_template, url_for
from flask import request as http_request

from x2gobroker.portal import guard, looks, static
from x2gobroker.portal.languages import NAMES, _, present
from x2gobroker.portal.session import SignIn, here
from x2gobroker.settings import GLOBAL

HTML = "text/html; charset=utf-8"


def page(
    template: str, sign_in: SignIn | None = None, status: int = 200, policy: str | None = None, **values: object
) -> Response:
    """A page of `templates/portal/`. `sign_in` gives it the navigation; `policy` is guard.policy(...), if not its own.

    Beside `values`, templates have `sign_in`, `portal_title`, `language` and `languages`, `static(path)`, and what
    looks.py has: `announcement`, `colour`, `links` and `logo`.
    """
    settings = here().settings
    title = settings.text(GLOBAL, "portal-title") or _("Sessions")
    text = render_template(
        f"portal/{template}",
        sign_in=sign_in,
        portal_title=title,
        language=present().code,
        languages=NAMES,
        static=static.url,
        announcement=looks.announcement(settings),
        colour=looks.colour_address(settings),
        links=looks.links(settings),
        logo=looks.logo_address(settings),
        path=own_address() if http_request.method == "GET" else "",
        **values,
    )
    response = Response(text, status, content_type=HTML)
    if policy is not None:
        response.headers["Content-Security-Policy"] = policy
    return response


def message(title: str, text: str, status: int = 200, sign_in: SignIn | None = None, retry_after: int = 0) -> Response:
    """A page, or JSON where a script asks, that says one thing. An error (status 400 and up) says what to do."""
    if guard.wants_json():
        response = json_answer({"error": text} if status >= 400 else {"message": text}, status)
    else:
        template = "error.html" if status >= 400 else "message.html"
        response = page(template, sign_in, status, title=title, text=text)
    if retry_after:
        response.headers["Retry-After"] = str(retry_after)
    return response


def json_answer(values: Mapping[str, object], status: int = 200) -> Response:
    """A JSON object, for a script of ours."""
    return Response(json.dumps(values), status, content_type="application/json")


def own_address() -> str:
    """Path and query of the page that was asked for; bytes that no URL may have are replacement characters."""
    query = http_request.query_string.decode("ascii", "replace")
    return f"{http_request.path}?{query}" if query else http_request.path


def go_to(endpoint: str, **values: str) -> Response:
    """The way to another page, by GET: `go_to("portal.desktop", desktop=slot.id)`."""
    return see(url_for(endpoint, **values))  # type: ignore[arg-type]  # none of them is called `_external`


def go_to_path(path: str) -> Response:
    """The way to a page whose path below the broker's own is known to be one of the portal."""
    return see(http_request.script_root + path)


def see(url: str) -> Response:
    """An answer without content that sends the browser on, by GET."""
    return Response(status=303, headers={"Location": url}, content_type=HTML)


def field(name: str, longest: int = 200) -> str:
    """A field of the form that was posted, without blanks around it; empty when there is none, or it is too long."""
    text = http_request.form.get(name, "").strip()
    return text if len(text) <= longest else ""
