"""A Flask application that returns a constant, under gunicorn: what the server itself costs."""

from __future__ import annotations

import sys
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from bench.world import PLAIN, THREADS, WORKERS

TEXT = "OK\nAccess granted\n"


def create_app() -> Flask:
    """The application; the path that the load uses gives always the same text."""
    app = Flask(__name__)

    @app.post(PLAIN)
    def constant() -> tuple[str, dict[str, str]]:
        return TEXT, {"Content-Type": "text/plain; charset=utf-8"}

    return app


class Launcher(BaseApplication):  # type: ignore[misc]
    """gunicorn with the settings of x2gobroker-daemon."""

    def __init__(self, bind: str) -> None:
        self.bind = bind
        super().__init__()

    def load_config(self) -> None:
        settings: dict[str, Any] = {
            "bind": self.bind,
            "workers": WORKERS,
            "threads": THREADS,
            "worker_class": "gthread",
            "keepalive": 5,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_app()


if __name__ == "__main__":
    Launcher(sys.argv[1]).run()
