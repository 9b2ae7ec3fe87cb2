"""The portal in process: the WSGI application under webtest, and browsers with their cookies."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import update
from webtest import TestApp, TestResponse

from tests.web.conftest import ADDRESS, PASSWORD, Bench
from x2gobroker.app import create_app
from x2gobroker.frontends.base import EXTENSION, Context
from x2gobroker.portal.guard import COOKIE
from x2gobroker.store import PortalSessions, RemoteDesktops
from x2gobroker.store.tables import PENALTIES

HOST = "portal.example"
OWN = {"Sec-Fetch-Site": "same-origin"}
JSON = {"Accept": "application/json", **OWN}
PORTAL = """\
enable-portal = true
portal-backend = inifile
remote-session-config = {folder}/types.json
"""


@dataclass
class Browser:
    """One browser: its address and its cookies, which it keeps over TLS only."""

    app: TestApp
    address: str = ADDRESS
    cookies: dict[str, str] = field(default_factory=dict)

    def request(self, method: str, path: str, headers: dict[str, str], **fields: str) -> TestResponse:
        """Send a request, and keep the cookies of the answer."""
        self.app.reset()  # it would keep the cookies of all browsers
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}
        response = self.app.request(
            path,
            method=method,
            headers={**sent, **headers},
            environ={"REMOTE_ADDR": self.address, "HTTP_HOST": HOST, "wsgi.url_scheme": "https"},
            expect_errors=True,
            **({"POST": fields} if method == "POST" else {}),
        )
        for line in response.headers.getall("Set-Cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if "Max-Age=0" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return response

    def get(self, path: str = "/portal/", **headers: str) -> TestResponse:
        """GET a page; `Accept_Language="de"` sends that header."""
        return self.request("GET", path, {name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> TestResponse:
        """POST a form, as a page of the portal does."""
        return self.request("POST", path, OWN if headers is None else headers, **fields)

    def ask(self, path: str, **fields: str) -> TestResponse:
        """POST as a script of the portal does, which wants JSON."""
        return self.request("POST", path, JSON, **fields)

    def sign_in(self, user: str = "anna", password: str = PASSWORD, **more: str) -> TestResponse:
        """Sign in with the form."""
        return self.post("/portal/sign-in", OWN, user=user, password=password, **more)

    @property
    def token(self) -> str:
        """What the cookie of the sign-in holds; empty without one."""
        return self.cookies.get(COOKIE, "")


class PortalBench(Bench):
    """A broker with the portal, users anna and bert, and the profiles of the other tests."""

    __test__ = False

    def __init__(
        self, folder: Path, more: str = "", types: str = "{}", variables: dict[str, str] | None = None
    ) -> None:
        self.variables = variables or {}
        self.more = more
        folder.joinpath("types.json").write_text(types, encoding="utf-8")
        super().__init__(folder)

    def configure(self, more: str = "") -> None:
        """Write the main configuration: that of the portal, and more lines in [global]."""
        super().configure(PORTAL.format(folder=self.folder) + self.more + "\n" + more)

    def change(self, old: str, new: str) -> None:
        """Change one line of the main configuration."""
        text = (self.folder / "x2gobroker.conf").read_text(encoding="utf-8")
        assert old in text
        self.write("x2gobroker.conf", text.replace(old, new))

    def start(self) -> None:
        """Make the application anew, as a restart would."""
        variables = {
            "X2GOBROKER_CONFIG": str(self.folder / "x2gobroker.conf"),
            "X2GOBROKER_DEFAULTS": str(self.folder / "defaults.conf"),
            **self.variables,
        }
        app = create_app(variables)
        self.context: Context = app.extensions[EXTENSION]
        self.app = TestApp(app, extra_environ={"REMOTE_ADDR": ADDRESS})

    def browser(self, address: str = ADDRESS) -> Browser:
        """A browser without cookies."""
        return Browser(self.app, address)

    def ban(self, user: str = "anna") -> None:
        """Guess a user's password from the usual address until the ban; `penalty-ban-failures` has to be 2."""
        guesser = self.browser()
        for number in range(3):
            guesser.sign_in(user, f"wrong {number}")
            with self.sessions.store.begin() as connection:
                connection.execute(update(PENALTIES).values(not_before=0))
        assert guesser.sign_in(user).status_int == 429

    def signed_in(self, user: str = "anna", address: str = ADDRESS) -> Browser:
        """A browser of somebody who has signed in."""
        browser = self.browser(address)
        response = browser.sign_in(user)
        assert response.status_int == 303, response.text
        return browser

    @property
    def desktops(self) -> RemoteDesktops:
        """The desktops of the portal's store."""
        return self.context.services.of(RemoteDesktops, self.context.source.current())

    @property
    def sessions(self) -> PortalSessions:
        """Who is signed in."""
        return self.context.services.of(PortalSessions, self.context.source.current())
