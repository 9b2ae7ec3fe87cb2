"""The tutorial of the X2Go library, run as it stands there, against a real X2Go Server, on a real screen."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.accounts import Account
from tests.support.cups import Cups, cups
from tests.support.desktop import Desktop
from tests.support.desktop_sharing import GROUP, sharing_group
from tests.support.fuse import fuse_for_all
from tests.support.mounts import mounted_over
from tests.support.page_script import PageScript, code_of, page_script
from tests.support.pictures import area, differing
from tests.support.processes import wait_until
from tests.support.shown_session import no_window, size_of, window
from tests.support.sshd import Sshd, sshd
from tests.support.x2go_server import X2GoServer, x2go_server

PAGE = Path(__file__).resolve().parents[2] / "docs/tutorial/x2go-library.md"
APPLICATION = """\
[Desktop Entry]
Name=A little terminal
Exec=xterm -geometry 40x10 -title published
Categories=Utility;
"""
COMMAND_DEADLINE = 30.0
WRITING_DEADLINE = 30.0


@dataclass
class Scene:
    """The script, and where what it does can be seen."""

    script: PageScript
    server: X2GoServer
    proxy: Sshd
    printer: Cups
    screen: Desktop
    folder: Path
    pictures: Path

    @property
    def anna(self) -> Account:
        """The first user."""
        return self.server.users[0]

    @property
    def bert(self) -> Account:
        """The second one."""
        return self.server.users[1]

    def picture(self, name: str) -> Path:
        """A picture of the whole screen."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        return self.screen.screenshot(self.pictures / f"{name}.png")

    def typed(self, title: str, text: str) -> None:
        """Type a line into the window with this title."""
        self.screen.xdotool("windowactivate", "--sync", window(self.screen, title))
        self.screen.type(text)
        self.screen.key("Return")

    def typed_into_desktop(self, title: str, text: str) -> None:
        """Click at the terminal in a desktop, and type there: a resumed desktop has no window with the keyboard."""
        number = window(self.screen, title)
        self.screen.xdotool("windowactivate", "--sync", number)
        self.screen.xdotool("mousemove", "--window", number, "350", "350", "click", "1")
        self.typed(title, text)

    def written(self, user: Account, name: str, text: str) -> None:
        """Wait until a file of a user's home folder holds this."""
        path = user.home / name
        found = ""

        def is_written() -> bool:
            nonlocal found
            found = path.read_text("utf-8", "replace") if path.exists() else ""
            return found == text

        try:
            wait_until(is_written, f"{text!r} in {name}", WRITING_DEADLINE)
        except AssertionError as error:
            raise AssertionError(f"{error}; it has {found!r}; see {self.picture('not-written')}") from None

    def wait_for_running(self, user: Account, name: str) -> None:
        """Wait until this is the user's only session, and runs; listing sets right what the server noted too early."""

        def is_running() -> bool:
            self.server.list_sessions(user)
            return self.server.states(user) == {name: "R"}

        wait_until(is_running, f"session {name} running")

    def on_desktop(self, name: str, command: str) -> str:
        """What an xdotool command says on the desktop with this session name, of anna's; empty when it fails."""
        return self.server.ssh(self.anna, f"DISPLAY={display_of(name)} xdotool {command}").stdout

    def wait_for_terminal(self, name: str) -> None:
        """Wait until a terminal has the keyboard on that desktop."""
        ask = "getactivewindow getwindowname"
        wait_until(lambda: f"{self.anna.name}@" in self.on_desktop(name, ask), "a terminal on the desktop")


def display_of(name: str) -> str:
    """The display of a session, on the server."""
    found = re.search(r"-([0-9]+)-[0-9]{9,12}_st", name)
    assert found, name
    return f":{found[1]}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """A real X2Go Server whose two users may share their desktops; the second has an application to publish."""
    folder = tmp_path_factory.mktemp("x2go-server")
    (folder / "applications").mkdir()  # more than ten would be shown in menus of their own, and machines have many
    with (
        mounted_over(folder / "applications", Path("/usr/share/applications")),
        fuse_for_all(),
        x2go_server(folder, users=2) as running,
        sharing_group(*running.users),
    ):
        running.run(running.users[1], "mkdir -p .x2go/applications")
        (running.users[1].home / ".x2go/applications/terminal.desktop").write_text(APPLICATION, encoding="utf-8")
        yield running


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """The host that one has to log in at first."""
    with sshd(tmp_path_factory.mktemp("x2go-proxy"), kinds=("ed25519",)) as running:
        yield running


@pytest.fixture
def scene(server: X2GoServer, proxy: Sshd, screen: Desktop, tmp_path: Path, pictures: Path) -> Iterator[Scene]:
    """The script of the page with the names of this test in it, not begun yet."""
    anna, bert = server.users
    values = {
        '"server.example.org", 22': f'"127.0.0.1", {server.port}',
        '"anna", "bert"': f'"{anna.name}", "{bert.name}"',
        '"gate.example.org", 22': f'"127.0.0.1", {proxy.port}',
    }
    code = code_of(PAGE, values)
    environment = {**screen.environment, "LANG": "C.UTF-8"}
    with cups() as printer, page_script(code, tmp_path, environment) as script:
        yield Scene(script, server, proxy, printer, screen, tmp_path, pictures)


def test_the_tutorial(scene: Scene) -> None:
    connect(scene)
    one_application(scene)
    a_desktop(scene)
    taking_over(scene)
    sharing_a_desktop(scene)
    sharing_a_folder(scene)
    printing(scene)
    published_applications(scene)
    through_a_proxy(scene)
    the_end(scene)


def connect(scene: Scene) -> None:
    """The passwords are asked for, and the unknown server."""
    scene.script.begin()
    for user in (scene.anna, scene.bert):
        scene.script.wait_for(f"Password of {user.name}: ")
        scene.script.answer(user.password)
    scene.script.wait()
    scene.script.begin()
    scene.script.wait_for("Trust it? ")
    scene.script.answer("yes")
    scene.script.wait()
    said = scene.script.said()
    assert f"[127.0.0.1]:{scene.server.port} is new here." in said
    assert f"logged in as {scene.anna.name} on 127.0.0.1\n" in said
    for user in (scene.anna, scene.bert):
        assert user.password not in said
    assert f"[127.0.0.1]:{scene.server.port} " in (scene.folder / ".ssh/known_hosts").read_text()


def one_application(scene: Scene) -> None:
    """A rootless xterm: seen, listed, suspended, resumed with what was typed, ended."""
    script, server, screen, anna = scene.script, scene.server, scene.screen, scene.anna
    title = f"{anna.name}@"
    before = scene.picture("1-empty")
    said = script.run_block()
    ((name, state),) = server.states(anna).items()
    assert (said, state) == (f"started {name}\n", "R")
    number = window(screen, title)
    scene.typed(title, "echo seen >typed; kept=kept")
    scene.written(anna, "typed", "seen\n")
    after = scene.picture("2-xterm")
    assert differing(before, after, area(screen, number)) > 0.8
    assert re.fullmatch(rf"{name} R started at [-0-9]+T[:0-9]+\n", script.run_block())
    assert script.run_block() == "suspended: True\n"
    assert server.states(anna) == {name: "S"}
    no_window(screen, title)
    assert script.run_block() == "resumed: True\n"
    scene.wait_for_running(anna, name)
    scene.typed(title, "echo $kept >typed")
    scene.written(anna, "typed", "kept\n")
    assert script.run_block() == "terminated: True\n"
    server.wait_for_no_session(anna)
    no_window(screen, title)


def a_desktop(scene: Scene) -> None:
    """openbox with an xterm in it, seen, then in another size."""
    script, screen, title = scene.script, scene.screen, "Anna's desktop"
    before = scene.picture("3-no-desktop")
    assert script.run_block() == "started: True\n"
    ((name, state),) = scene.server.states(scene.anna).items()
    assert state == "R"
    number = window(screen, title)
    wait_until(lambda: size_of(screen, number) == (800, 600), "a desktop of 800x600")
    wait_until(lambda: scene.on_desktop(name, "get_num_desktops").strip() not in ("", "0"), "openbox on the desktop")
    script.run_block()
    scene.wait_for_terminal(name)
    scene.typed(title, "echo $DISPLAY $TERM >in-desktop")
    scene.written(scene.anna, "in-desktop", f"{display_of(name)} xterm\n")
    after = scene.picture("4-desktop")
    assert differing(before, after, area(screen, number)) > 0.3
    assert script.run_block() == "suspended: True\nresumed: True\n"
    number = window(screen, title)
    wait_until(lambda: size_of(screen, number) == (1000, 700), "a desktop of 1000x700")
    scene.wait_for_running(scene.anna, name)
    scene.picture("5-larger-desktop")


def taking_over(scene: Scene) -> None:
    """The same session on another client; the first one loses it."""
    script, screen, anna = scene.script, scene.screen, scene.anna
    before = scene.server.states(anna)
    (name,) = before
    assert script.run_block() == "taken over: True\n"
    scene.wait_for_running(anna, name)
    number = window(screen, f"X2GO-{name}")
    wait_until(lambda: size_of(screen, number) == (900, 650), "a desktop of 900x650")
    no_window(screen, "Anna's desktop")
    assert script.run_block() == "shown at the desk: False\nshown here: True\n"
    assert proxies(script) == 1


def proxies(script: PageScript) -> int:
    """How many X2Go proxies the script has running."""
    argv = ["pgrep", "-c", "-P", str(script.process.pid), "nxproxy"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_DEADLINE, check=False)
    return int(done.stdout)


def sharing_a_desktop(scene: Scene) -> None:
    """Anna lets bert look at her desktop: his keys go nowhere; then take part: they arrive."""
    script, screen, anna, bert = scene.script, scene.screen, scene.anna, scene.bert
    (name,) = scene.server.states(anna)
    offer_desktop(scene, name)
    assert script.run_block() == "view only: True\n"
    wait_until(lambda: shows_a_terminal(scene, "_stS0"), "the view showing the desktop")
    scene.picture("6-view")
    scene.typed_into_desktop("_stS0", "echo looking >>shared")
    scene.typed_into_desktop(name, "echo mine >>shared")
    scene.written(anna, "shared", "mine\n")
    assert script.run_block() == "view ended: True\n"
    no_window(screen, "_stS0")
    mark = "-shadowmode"  # X2Go Desktop Sharing may refuse the next one while the agent of the last one ends
    wait_until(lambda: mark not in scene.server.run(anna, "ps -u $USER -o args"), "the end of the view's agent")
    assert script.run_block() == "full access: True\n"
    wait_until(lambda: shows_a_terminal(scene, "_stS1"), "the second view showing the desktop")
    scene.typed_into_desktop("_stS1", "echo helping >>shared")
    scene.written(anna, "shared", "mine\nhelping\n")
    scene.picture("7-full-access")
    assert proxies(script) == 2
    assert script.run_block() == "view ended: True\ndesktop ended: True\n"
    wait_until(lambda: not scene.server.states(anna) and not scene.server.states(bert), "the end of both sessions")
    no_window(screen, "X2GO-")


def offer_desktop(scene: Scene, name: str) -> None:
    """Anna's white list, as the page has it; then the block in which she starts X2Go Desktop Sharing."""
    found = re.search(r"^```text\n(\[General\]\n.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found, PAGE
    settings = found[1].replace("=bert\n", f"={scene.bert.name}\n")
    file = ".x2godesktopsharing/settings"
    scene.server.run(scene.anna, f"mkdir -p .x2godesktopsharing && printf %s '{settings}' >{file}")
    assert scene.script.run_block() == ""
    place = Path(f"/tmp/{GROUP}_@{scene.anna.name}@{display_of(name)}")
    wait_until(lambda: place.exists() and place.group() == GROUP, "the desktop being offered")


def shows_a_terminal(scene: Scene, title: str) -> bool:
    """Whether a window shows the white of a terminal, in a good part of it, before the screen's black."""
    number = window(scene.screen, title)
    scene.screen.xdotool("windowactivate", "--sync", number)
    picture, empty = scene.screen.screenshot(scene.folder / "view.png"), scene.pictures / "1-empty.png"
    return 0.15 < differing(empty, picture, area(scene.screen, number)) < 0.6


def sharing_a_folder(scene: Scene) -> None:
    """A folder, read and written from both sides; then it is gone from the server."""
    script, server, anna = scene.script, scene.server, scene.anna
    folder = scene.folder / "shared with the session"
    said = script.run_block()
    found = re.fullmatch("started: True\nshared: True\nmounted at /.+/spool/.+\nmounted at (/.+/media/disk/.+)\n", said)
    assert found, said
    (folder / "letter").write_text("from here", encoding="utf-8")
    assert server.run(anna, f"cat '{found[1]}/letter'") == "from here"
    server.run(anna, "cd ~/media/disk/*/ && printf ' and from there' >>letter && printf new >answer")
    assert (folder / "letter").read_text(encoding="utf-8") == "from here and from there"
    assert (folder / "answer").read_text(encoding="utf-8") == "new"
    assert script.run_block() == "unshared: True\n"
    assert server.ssh(anna, f"cat '{found[1]}/letter'").returncode != 0
    assert (folder / "letter").exists()


def shape(text: str) -> str:
    """Which characters of a text are the same. Ghostscript numbers them as they come, and number 0 is lost as text."""
    known: dict[str, str] = {}
    return "".join(" " if each.isspace() else known.setdefault(each, chr(65 + len(known))) for each in text.strip())


def printing(scene: Scene) -> None:
    """lpr in the session's terminal; the job comes as a PDF file with the words in it."""
    script, anna = scene.script, scene.anna
    cups_server = scene.printer.environment["CUPS_SERVER"]
    scene.server.run(anna, f"mkdir -p .cups && echo ServerName {cups_server} >.cups/client.conf")
    assert script.run_block() == ""
    scene.typed(f"{anna.name}@", "echo '* a letter for bert' >letter; lpr -P X2Go -J Letter letter")
    printed = scene.folder / "printed/Letter.pdf"
    wait_until(printed.exists, "the printed letter")
    argv = ["pdftotext", str(printed), "-"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_DEADLINE, check=True)
    assert shape(done.stdout) == shape("a letter for bert")
    assert script.run_block() == "terminated: True\n"
    no_window(scene.screen, f"{anna.name}@")


def published_applications(scene: Scene) -> None:
    """The menu, and the window of what was chosen from it."""
    script, screen, bert = scene.script, scene.screen, scene.bert
    before = scene.picture("8-no-application")
    assert script.run_block().startswith("started: True\nTOP - A little terminal\n")
    ((name, state),) = scene.server.states(bert).items()
    assert ("PUBLISHED" in name, state) == (True, "R")
    assert screen.windows() == {}
    assert script.run_block() == ""
    number = window(screen, f"{bert.name}@")
    scene.typed(f"{bert.name}@", "echo $X2GO_SESSION >published")
    scene.written(bert, "published", f"{name}\n")
    assert differing(before, scene.picture("9-application"), area(screen, number)) > 0.7
    assert script.run_block() == "terminated: True\n"
    no_window(screen, f"{bert.name}@")


def connections(script: PageScript, port: int) -> int:
    """How many TCP connections of the script lead to this port."""
    argv = ["ss", "-Htnp", "state", "established", "dport", "=", f":{port}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_DEADLINE, check=True)
    return done.stdout.count(f"pid={script.process.pid},")


def through_a_proxy(scene: Scene) -> None:
    """A session on the server, by a connection that only leads to the proxy host; whose key is asked about."""
    script, server, bert = scene.script, scene.server, scene.bert
    before = connections(script, server.port)
    assert (before > 0, connections(script, scene.proxy.port)) == (True, 0)
    script.begin()
    script.wait_for("Trust it? ")
    script.answer("yes")
    script.wait()
    said = script.said()
    assert f"[127.0.0.1]:{scene.proxy.port} is new here." in said
    assert said.endswith("started: True\n")
    assert (connections(script, server.port), connections(script, scene.proxy.port)) == (before, 1)
    assert f"Accepted password for {bert.name} " in scene.proxy.log_text()
    scene.typed(f"{bert.name}@", "echo inside >inside")
    scene.written(bert, "inside", "inside\n")
    scene.picture("a-through-a-proxy")
    assert list(server.states(bert).values()) == ["R"]


def the_end(scene: Scene) -> None:
    """Nothing is left: no window, no session, no proxy, no files of sessions; and the script ends."""
    script = scene.script
    assert script.run_block() == "done\n"
    for user in (scene.anna, scene.bert):
        scene.server.wait_for_no_session(user)
    assert proxies(script) == 0
    wait_until(lambda: scene.screen.windows() == {}, "an empty screen")
    assert list((scene.folder / ".x2go").glob("S-*")) == []
    script.answer("")
    assert script.process.wait(COMMAND_DEADLINE) == 0
