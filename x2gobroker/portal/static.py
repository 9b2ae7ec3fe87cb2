"""Styles, scripts and noVNC for the portal's pages, cached by browsers until one of them changes.

The address of each file has a hash of all of them before its path: `/portal/static/<hash>/portal/desktop.js`. So
modules that import each other by relative addresses keep to one version, and nothing of them is ever asked for twice.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType

from flask import Response, abort, url_for
from flask import request as http_request

FOLDER = Path(__file__).parent.parent / "static"
KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
}
TEXTS = (".js", ".css", ".svg")
HASH_LETTERS = 12
ENDPOINT = "portal.static"
FOREVER = "public, max-age=31536000, immutable"
ASK = "no-cache"  # the browser asks each time whether it has changed
KEPT = 128  # compressed files in memory
IMPORT = re.compile(r"""^\s*(?:import|export)\b[^"';]*?["'](\.{1,2}/[^"']+)["']""", re.MULTILINE)
NOVNC = "novnc/core/rfb.js"


@dataclass(frozen=True)
class Files:
    """The files that are served: path in the address to path on disk; `hash` of all that they hold."""

    hash: str
    paths: Mapping[str, Path]


@cache
def files() -> Files:
    """The files as they were when the process first asked; a new version of them needs a restart anyhow."""
    return find_files(FOLDER)


def find_files(folder: Path) -> Files:
    """What is served of a folder. Nothing but these is, so that no path of a request reaches the disk."""
    digest = hashlib.sha256()
    paths: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix in KINDS and path.is_file() and not any(part.startswith(".") for part in name.split("/")):
            data = path.read_bytes()
            digest.update(f"{name} {len(data)}\n".encode() + data)
            paths[name] = path
    return Files(digest.hexdigest()[:HASH_LETTERS], MappingProxyType(paths))


def url(path: str) -> str:
    """The address of a file, such as `portal/portal.css`, for templates."""
    return url_for(ENDPOINT, path=f"{files().hash}/{path}")


@cache
def modules_of(path: str) -> tuple[str, ...]:
    """A script and all that it imports, and what these do, so that a page can ask for them at once."""
    found: list[str] = []
    waiting = [path]
    while waiting:
        name = waiting.pop(0)
        if name in found or name not in files().paths:
            continue
        found.append(name)
        text = files().paths[name].read_text(encoding="utf-8")
        for address in IMPORT.findall(text):
            waiting.append(_resolve(name, address))
    return tuple(found)


def _resolve(name: str, address: str) -> str:
    parts = name.split("/")[:-1]
    for part in address.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def has_novnc() -> bool:
    """Whether `scripts/novnc` has been run; without it there is no desktop in the browser."""
    return NOVNC in files().paths


def serve(path: str) -> Response:
    """A file, or a 404. Browsers keep one of the present version for ever, and ask again for one of any other."""
    version, _, name = path.partition("/")
    known = files()
    found = known.paths.get(name)
    if found is None:
        abort(404)
    packed = found.suffix in TEXTS and http_request.accept_encodings.quality("gzip") > 0
    response = Response(_content(found, packed), content_type=KINDS[found.suffix])
    response.headers["Cache-Control"] = FOREVER if version == known.hash else ASK
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if found.suffix in TEXTS:
        response.headers["Vary"] = "Accept-Encoding"
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    response.set_etag(f"{known.hash}{'-gz' if packed else ''}")
    response.make_conditional(http_request)
    return response


@lru_cache(KEPT)
def _content(path: Path, packed: bool) -> bytes:
    data = path.read_bytes()
    return gzip.compress(data, 6, mtime=0) if packed else data
