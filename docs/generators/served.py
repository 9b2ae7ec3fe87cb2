"""The reference pages of plug-ins and of HTTP routes, from what is registered and what the application serves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from flask import Flask

from generators.common import notice, sentences
from x2gobroker.agents.base import BrokerAgent
from x2gobroker.app import create_app
from x2gobroker.auth.base import AuthMechanism
from x2gobroker.backends.base import Backend
from x2gobroker.frontends.base import Frontend
from x2gobroker.nameservices.base import NameService
from x2gobroker.plugins import AGENTS, AUTH_MECHANISMS, BACKENDS, FRONTENDS, NAME_SERVICES, SCRIPTS, installed, load
from x2gobroker.scripts.base import BrokerScript

BASES: dict[str, type] = {
    FRONTENDS: Frontend,
    BACKENDS: Backend,
    AUTH_MECHANISMS: AuthMechanism,
    NAME_SERVICES: NameService,
    AGENTS: BrokerAgent,
    SCRIPTS: BrokerScript,
}
TITLES = {
    FRONTENDS: "Frontends",
    BACKENDS: "Backends",
    AUTH_MECHANISMS: "Auth mechanisms",
    NAME_SERVICES: "Name services",
    AGENTS: "Agent query modes",
    SCRIPTS: "Scripts",
}
PLUGINS = """\
# Plug-ins

Plug-ins are classes that installed Python packages register under an entry-point group. The broker finds them by name.
Its own plug-ins are registered in the same way. `x2gobroker plugins` lists what is installed on your machine, and from
which package. [Adding a backend](../how-to/adding-a-backend.md) shows how to add a package of your own.
"""
CONVERTER = re.compile(r"<\w+:")
ROUTES = """\
# HTTP routes

The broker serves these paths, below the path that it is mounted at. If you leave out `<backend>`, the default backend
answers (`X2GOBROKER_DEFAULT_BACKEND`). Paths work with and without a slash at the end. The broker answers 404 for a
backend that is not installed or not enabled, and for a frontend that is switched off.
[The protocol](protocol.md) describes the answers.

`/plain/` and `/json/` expect POST. They answer GET and HEAD in debug mode only, and otherwise return 405. `/uccs/` and
`/pubkeys/` refuse POST with 405.

`/portal/` is for web browsers. It accepts POST from its own pages only. It sends a user who is not signed in to the
sign-in page; scripts, which send `Accept: application/json`, get a 401.
"""


def plugins_page(package: str = "x2gobroker") -> str:
    """`reference/plugins.md`: the plug-ins of one package, so that others that are installed change nothing."""
    lines = [notice("the entry points and their classes"), PLUGINS]
    for group, base in BASES.items():
        lines += [f"## {TITLES[group]}: `{group}`", "", sentences(base), ""]
        for plugin in installed():
            if plugin.group == group and plugin.package.split()[0] == package:
                text = sentences(load(group, plugin.name, base))
                lines += [f"### `{plugin.name}`", "", text, "", f"Class `{plugin.target.replace(':', '.')}`.", ""]
    return "\n".join(lines).rstrip() + "\n"


def application() -> Flask:
    """The application as it is without any configuration file."""
    with TemporaryDirectory() as folder:
        missing = str(Path(folder) / "missing")
        return create_app({"X2GOBROKER_CONFIG": missing, "X2GOBROKER_DEFAULTS": missing})


def routes(app: Flask) -> Iterator[tuple[str, str, str, str]]:
    """Frontend, path, methods and docstring of every URL rule, a path with and without its last slash being one."""
    seen = set()
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: (rule.endpoint, len(rule.rule), rule.rule)):
        path = "/" + CONVERTER.sub("<", rule.rule).strip("/")
        if path in seen:
            continue
        seen.add(path)
        methods = ", ".join(sorted((rule.methods or set()) - {"OPTIONS"}))
        text = sentences(app.view_functions[rule.endpoint]).splitlines()[0]
        yield rule.endpoint.partition(".")[0], path, methods, text


def routes_page() -> str:
    """`reference/routes.md`."""
    app = application()
    lines = [notice("the URL map of x2gobroker.app.create_app"), ROUTES]
    by_frontend: dict[str, list[str]] = {}
    for frontend, path, methods, text in routes(app):
        by_frontend.setdefault(frontend, []).append(f"| `{path}` | {methods} | {text} |")
    for frontend, rows in by_frontend.items():
        about = sentences(load(FRONTENDS, frontend, Frontend))  # type: ignore[type-abstract]
        lines += [f"## {frontend}", "", about, "", "| Path | Methods | Answer |", "| --- | --- | --- |", *rows, ""]
    return "\n".join(lines).rstrip() + "\n"
