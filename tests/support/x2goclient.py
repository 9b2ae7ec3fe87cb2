"""Drive the real X2Go Client in broker mode, by keyboard, and read what came of it.

Two witnesses are used: the windows on the screen, and what the client itself writes with --debug about every
request to the broker and every answer.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.client_home import ClientHome
from tests.support.desktop import Desktop
from tests.support.processes import Program, running, wait_until
from tests.support.x2goclient_program import PROGRAM, variables

MAIN_WINDOW = "X2Go Client"
_REQUEST = re.compile(r'sending request: "(.*)"$', re.MULTILINE)
_ANSWER = re.compile(r'A http request returned\. Result was: "(.*)"$', re.MULTILINE)
_FAILURE = re.compile(r'Broker HTTP request failed with error: "(.*)"$', re.MULTILINE)
_OFFERED = re.compile(r'"Decoding session string:([^"]*)"$', re.MULTILINE)
_SESSIONS_READ = re.compile(r"Reading (\d+) sessions from config file")
_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\"": '"', r"\\": "\\"}


def _plain(quoted: str) -> str:
    """Undo the quoting of Qt's debug output."""
    return re.sub(r'\\[nt"\\]', lambda found: _ESCAPES[found.group()], quoted)


class X2GoClient:
    """One running X2Go Client on a desktop."""

    def __init__(self, program: Program, desktop: Desktop, pictures: Path) -> None:
        self.program = program
        self.desktop = desktop
        self.pictures = pictures
        self._picture_count = 0

    # -- witnesses -------------------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether the client still runs."""
        return self.program.process.poll() is None

    @property
    def requests(self) -> list[str]:
        """The requests the client says it has sent, passwords masked by itself."""
        return [_plain(text) for text in _REQUEST.findall(self.program.output())]

    @property
    def answers(self) -> list[str]:
        """The bodies of the broker's successful answers, as the client received them."""
        return [_plain(text) for text in _ANSWER.findall(self.program.output())]

    @property
    def events(self) -> list[str]:
        """The events that the client reported to the broker over HTTP, in order."""
        return [
            found[1] for text in self.requests if (found := re.search(r"task=clientevent&.*&event=([A-Z]+)&", text))
        ]

    @property
    def failures(self) -> list[str]:
        """The requests that failed below or in HTTP, in the client's words."""
        return _FAILURE.findall(self.program.output())

    @property
    def profiles_read(self) -> int:
        """How many session profiles the client took from the last listing; -1 before the first."""
        counts = _SESSIONS_READ.findall(self.program.output())
        return int(counts[-1]) if counts else -1

    @property
    def offered(self) -> list[list[str]]:
        """The sessions that the client was given to choose from, as fields of their lines, in the order of events."""
        return [line.split("|") for line in _OFFERED.findall(self.program.output())]

    def dialogs(self) -> dict[str, str]:
        """The windows beside the main window: window ID to title."""
        return {window: title for window, title in self.desktop.windows().items() if title != MAIN_WINDOW}

    def picture(self, name: str) -> Path:
        """Save the screen; the files sort in the order of events."""
        self._picture_count += 1
        return self.desktop.screenshot(self.pictures / f"{self._picture_count:02}-{name}.png")

    # -- keyboard --------------------------------------------------------------------------------------------------

    def _active(self, title: str) -> bool:
        assert self.alive, f"the client ended with {self.program.process.returncode}:\n{self.program.output()}"
        windows = [window for window, name in self.desktop.windows().items() if name == title]
        return bool(windows) and self.desktop.active_window() in windows

    def wait_for_main_window(self) -> None:
        """Wait until the main window alone takes the keyboard."""
        wait_until(lambda: not self.dialogs() and self._active(MAIN_WINDOW), "the main window taking the keyboard")
        self.desktop.wait_until_still()

    def log_in(self, user: str, password: str) -> None:
        """Fill in the fresh login form and send it."""
        self.wait_for_main_window()
        self.desktop.type(user)
        self.desktop.key("Tab")
        self.log_in_again(password)

    def log_in_again(self, password: str) -> None:
        """Send the form a second time: the client keeps the user name and asks for the password."""
        self.wait_for_main_window()
        before = self.desktop.signature()
        self.desktop.type(password)
        assert self.desktop.signature() != before, "nothing was typed into the login form"
        self.desktop.key("Return")

    def wait_for_dialog(self, title: str = "Error") -> None:
        """Wait until a dialog of this title has the keyboard."""
        wait_until(lambda: self._active(title), f"a dialog {title!r}")
        self.desktop.wait_until_still()

    def confirm_dialog(self) -> None:
        """Press the dialog's default button and wait until the dialog is gone, or the client is."""
        open_before = set(self.dialogs())
        assert open_before, "no dialog to confirm"
        self.desktop.key("Return")
        wait_until(lambda: not self.alive or not open_before & set(self.dialogs()), "the dialog closing")

    def wait_for_profiles(self, count: int) -> None:
        """Wait until `count` session profiles are on offer in the window."""
        wait_until(lambda: self.profiles_read == count or bool(self.dialogs()), f"{count} profiles on offer")
        assert not self.dialogs(), f"a dialog instead of profiles: {self.dialogs()}"
        self.wait_for_main_window()

    def choose(self, name: str) -> None:
        """Choose the profile of this name in the list."""
        self.desktop.type(name)
        self.desktop.key("Return")
        self.desktop.wait_until_still()
        self.picture("chosen")

    def select(self, name: str, ssh_password: str) -> None:
        """Choose the profile of this name, give the password the client asks for, and wait for the broker's answer."""
        asked = len(self.answers)
        self.choose(name)
        assert len(self.answers) == asked, "the client did not ask for a password first"
        self.desktop.type(ssh_password)
        self.desktop.key("Return")
        self.wait_for_answers(asked + 1)

    def resume(self, position: int = 0) -> None:
        """Wait for the choice of sessions and resume one of them, counted from the top.

        Only the first choice of a client's life has its list in the keyboard's focus; the button follows it.
        """
        wait_until(lambda: len(self.offered) > position, "sessions to choose from")
        self.desktop.wait_until_still()
        for key in ["Down"] * position + ["Tab"]:
            self.desktop.key(key)
        self.picture("sessions")
        self.desktop.key("space")

    def wait_for_window(self, title: str) -> None:
        """Wait until a window of a session is on the screen."""
        wait_until(lambda: any(title in name for name in self.dialogs().values()), f"a window {title!r}")
        self.picture("window")

    def quit(self) -> None:
        """Close the client as its user does, and wait for its end."""
        main = next(window for window, title in self.desktop.windows().items() if title == MAIN_WINDOW)
        self.desktop.xdotool("windowactivate", "--sync", main)
        self.desktop.key("alt+F4")
        wait_until(lambda: not self.alive, "the client ending itself")

    def wait_for_answers(self, count: int) -> str:
        """Wait until the broker has answered `count` requests; the last answer."""
        wait_until(lambda: len(self.answers) >= count, f"{count} answers of the broker")
        return self.answers[count - 1]


@contextlib.contextmanager
def x2goclient(
    desktop: Desktop,
    home: ClientHome,
    broker_url: str,
    pictures: Path,
    ca_file: Path | None = None,
    more: Sequence[str] = (),
) -> Iterator[X2GoClient]:
    """Run X2Go Client against the broker at `broker_url`, with more options, for the length of a `with` block."""
    pictures.mkdir(parents=True, exist_ok=True)
    argv = [str(PROGRAM), f"--broker-url={broker_url}", "--no-menu", "--debug", *more]
    if ca_file is not None:
        argv.append(f"--broker-cacertfile={home.copy(ca_file)}")
    log = pictures / "x2goclient.log"
    log.unlink(missing_ok=True)  # of an earlier run: it would be taken for what this client says
    environment = home.environment_on(desktop) | variables(home)
    with running(argv, log, env=environment, user=home.account, cwd=home.path) as program:
        client = X2GoClient(program, desktop, pictures)
        try:
            yield client
        finally:
            client.picture("end")
