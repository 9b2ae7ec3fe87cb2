"""What a client sent, as fields: the form in the body, whatever its Content-Type, over the query of the URL.

As the reference reads it: every Content-Type is taken for a urlencoded form, except multipart/form-data; the last of
several fields of one name counts, the body's before the query's; blanks around a field are dropped, except around
passwords; control characters other than line ends become blanks; a field that is no UTF-8 text is a 400.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from flask import Request as HttpRequest
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from x2gobroker.errors import RequestError
from x2gobroker.frontends.fields import clean

MAX_BODY = 1024 * 1024
MAX_FIELDS = 1000
MULTIPART = "multipart/form-data"


def read_fields(request: HttpRequest) -> dict[str, str]:
    """All fields of a request. Raises RequestError with the HTTP status to answer."""
    fields = parse_urlencoded(request.query_string) if request.query_string else {}
    if request.method != "POST":
        return fields
    if request.content_length is not None and request.content_length > MAX_BODY:
        raise RequestError(f"the request's body is larger than {MAX_BODY} bytes", 413)
    try:
        if request.mimetype == MULTIPART:
            fields.update(_multipart(request))
        else:
            fields.update(parse_urlencoded(request.get_data(cache=False, parse_form_data=False)))
    except RequestEntityTooLarge:
        raise RequestError(f"the request's body is larger than {MAX_BODY} bytes", 413) from None
    except (ClientDisconnected, OSError):
        raise RequestError("the request ended before its body was whole") from None
    return fields


def parse_urlencoded(data: bytes) -> dict[str, str]:
    """The fields of a urlencoded form. Raises RequestError when it is no text or has too many fields."""
    if data.count(b"&") >= MAX_FIELDS:
        raise RequestError(f"the form has more than {MAX_FIELDS} fields")
    try:
        pairs = parse_qsl(data.decode("utf-8"), keep_blank_values=True, encoding="utf-8", errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise RequestError("the form is no UTF-8 text") from None
    return clean(dict(pairs))


def _multipart(request: HttpRequest) -> dict[str, str]:
    if "boundary" not in request.mimetype_params:
        raise RequestError("multipart/form-data without a boundary")
    parser = FormDataParser(silent=False, max_form_memory_size=MAX_BODY, max_form_parts=MAX_FIELDS)
    try:
        _, form, _ = parser.parse(request.stream, request.mimetype, request.content_length, request.mimetype_params)
    except ValueError:
        raise RequestError("the multipart form cannot be read") from None
    fields = {name: values[-1] for name, values in form.lists()}
    if any("\ufffd" in text for item in fields.items() for text in item):
        raise RequestError("the form is no UTF-8 text")
    return clean(fields)
