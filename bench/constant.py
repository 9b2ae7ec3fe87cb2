"""A Flask application that returns a constant, served exactly as our daemon is: what the server itself costs."""

from __future__ import annotations

import sys
from pathlib import Path

from flask import Flask

from bench.world import PLAIN
from x2gobroker.cli.daemon.program import Daemon, build_parser, server_options, variables_of
from x2gobroker.logs import set_up_logging
from x2gobroker.settings import SettingsSource

TEXT = "OK\nAccess granted\n"


def create_app() -> Flask:
    """The application; the path that the load uses gives always the same text."""
    app = Flask(__name__)

    @app.post(PLAIN)
    def constant() -> tuple[str, dict[str, str]]:
        return TEXT, {"Content-Type": "text/plain; charset=utf-8"}

    return app


def main(argv: list[str]) -> None:
    """Serve with the daemon's own options for gunicorn, its log and its command line."""
    options = build_parser().parse_args(argv)
    settings = SettingsSource.of_process(variables_of(options)).current()
    set_up_logging(Path(settings.environment("X2GOBROKER_LOGCONFIG")), debug=False)
    Daemon(create_app(), server_options(settings, options)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
