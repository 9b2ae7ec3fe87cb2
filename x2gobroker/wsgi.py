"""The WSGI entry for Apache mod_wsgi and other servers: one application per VirtualHost's set of values.

Apache's `SetEnv X2GOBROKER_*` reaches only the environ of each request. Requests with the same values share one
application; the number of applications is the number of differing VirtualHosts, as clients cannot set such values.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from x2gobroker.app import create_app, start_housekeeping
from x2gobroker.logs import LogForm, set_up_logging
from x2gobroker.settings import SettingsSource, broker_variables

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

PROGRAM = "x2gobroker-wsgi"

_lock = threading.Lock()
_apps: dict[tuple[tuple[str, str], ...], Any] = {}


def application_for(environ: Environ) -> Any:
    """The application of the VirtualHost that a request came to."""
    values = tuple(sorted(broker_variables(environ).items()))
    app = _apps.get(values)
    if app is None:
        with _lock:
            app = _apps.get(values)
            if app is None:
                if not _apps:
                    set_up_logging(None, form=LogForm.at_first(PROGRAM))
                source = SettingsSource.of_process(dict(values))
                if not _apps:
                    settings = source.current()
                    form = LogForm(PROGRAM, settings.environment("X2GOBROKER_LOGFORMAT"))
                    loggers = Path(settings.environment("X2GOBROKER_LOGCONFIG"))
                    set_up_logging(loggers, settings.debug(), form=form)
                app = create_app(source=source)
                start_housekeeping(app)  # here, requests come to the process that loads the application
                _apps[values] = app
    return app


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The WSGI application."""
    return application_for(environ)(environ, start_response)  # type: ignore[no-any-return]
