"""What frontends of clients that log in with a form have in common: the tasks, and how a request is served."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, final

from flask import Blueprint, Response
from flask import request as http_request

from x2gobroker.broker import Login
from x2gobroker.frontends.base import Frontend, context, read_request, unavailable
from x2gobroker.frontends.forms import read_fields
from x2gobroker.frontends.outcome import CANNOT_CHECK, TEST, Outcome, log_in, perform
from x2gobroker.settings import Settings


class TaskFrontend(Frontend):
    """A frontend at `path`, with one URL per backend, which writes outcomes in its own form."""

    path: ClassVar[str]

    def _routes(self, blueprint: Blueprint) -> None:
        self.route_backends(blueprint, self.path, self.serve)

    @abstractmethod
    def serve(self, backend: str | None = None) -> Response:
        """Answer one request, by `answer_request`. Its first line describes the URL in the documentation."""

    @abstractmethod
    def _tested(self) -> Response:
        """The answer to a connection test that went well."""

    @abstractmethod
    def _refused(self, settings: Settings, task: str, login: Login) -> Response:
        """The answer to a login that failed: the client is to wait for `login.retry_after` seconds, its user to be told
        `login.told`, where there is anything of it."""

    def _unavailable(self, task: str, told: str) -> Response:
        """The answer where something cannot be done at present; `told` is what, without a full stop."""
        return unavailable(told, f"{told}.\n", "text/plain; charset=utf-8")

    @abstractmethod
    def _answered(self, settings: Settings, outcome: Outcome, authid: str | None) -> Response:
        """The answer to somebody who is logged in; `authid` is None at a broker that is open to everybody."""

    @final
    def answer_request(self, backend: str | None) -> Response:
        """Log in, perform the task, and only then spend the authid: a request that fails on the way costs none."""
        settings = context().source.current()
        self.check_method(settings)
        broker = self.broker_for(settings, backend)
        fields: Mapping[str, str] = read_fields(http_request)
        request = read_request(dict(fields))
        if fields.get("task") == TEST and not (request.user or request.password or request.authid):
            return self._tested()  # X2Go Client's connection test comes without a user and wants to be granted
        fields, request, login = log_in(settings, broker, fields, request)
        task = fields.get("task", "")
        if login.cannot_tell:
            return self._unavailable(task, CANNOT_CHECK)
        if not login.granted:
            return self._refused(settings, task, login)
        if task == TEST:
            return self._tested()
        outcome = perform(settings, broker, fields, request, login)
        if outcome.selection is not None and outcome.selection.told:
            return self._unavailable(task, outcome.selection.told)
        return self._answered(settings, outcome, broker.next_authid(settings, login))
