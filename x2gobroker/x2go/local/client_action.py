"""What print actions and MIME box actions have in common."""

from __future__ import annotations

from typing import Any

from x2gobroker.x2go.log import LOGLEVEL_DEFAULT, X2GoLogger, logger_of


class ClientAction:
    """Something that is done on the user's own machine with a file that came from a session.

    `profile_name` and `session_name` are set by the queue that it came through; hooks of the client get them.
    """

    __name__ = "NAME"
    description = "does nothing"
    log_name = "actions"

    def __init__(
        self, client_instance: Any = None, logger: X2GoLogger | None = None, loglevel: int = LOGLEVEL_DEFAULT
    ) -> None:
        self.logger = logger_of(logger, loglevel, self.log_name)
        self.profile_name = "UNKNOWN"
        self.session_name = "UNKNOWN"
        self.client_instance = client_instance

    @property
    def name(self) -> str:
        """The short name, as in `PDFVIEW` or `OPEN`."""
        return self.__name__
