"""The frontend `plain`: the text protocol of X2Go Client over HTTP."""

from __future__ import annotations

from flask import Response

from x2gobroker.broker import Login
from x2gobroker.frontends.base import answer
from x2gobroker.frontends.outcome import Outcome
from x2gobroker.frontends.plain_text import TEST_ANSWER, ProfileTexts, denied, plain_text
from x2gobroker.frontends.tasks import TaskFrontend
from x2gobroker.settings import GLOBAL, Settings

CONTENT_TYPE = "text/plain; charset=utf-8"


class PlainFrontend(TaskFrontend):
    """`/plain/<backend>/`: what X2Go Client speaks."""

    path = "/plain"
    enabled_by = "enable-plain-output"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._texts = ProfileTexts()

    def serve(self, backend: str | None = None) -> Response:
        """Answer X2Go Client: log in, list session profiles, select one, change a password, take a report."""
        return self.answer_request(backend)

    def _tested(self) -> Response:
        return answer(TEST_ANSWER, CONTENT_TYPE)

    def _refused(self, settings: Settings, task: str, login: Login) -> Response:
        """X2Go Client ends itself on a 401 or 429, and shows its form again on a 200 without `Access granted`."""
        status = 401 if settings.text(GLOBAL, "plain-refusal") == "status" else 200
        return answer(denied(login.told), CONTENT_TYPE, status, login.retry_after)

    def _answered(self, settings: Settings, outcome: Outcome, authid: str | None) -> Response:
        return answer(plain_text(settings, outcome, authid, self._texts), CONTENT_TYPE)
