"""nxproxy, the program that shows a session: started, watched until it ends, ended.

It gets the session's cookie from a file of the user's own that is removed once it has been read; the command line,
which everybody can see, does not hold it. Source of its options and messages: nxproxy 3.5.99.26.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from typing import IO, Any

import paramiko

from x2gobroker.x2go import defaults
from x2gobroker.x2go.connection.tunnels import LocalForward
from x2gobroker.x2go.display.nx_options import file_argument, is_option, options_text
from x2gobroker.x2go.errors import X2GoFwTunnelException, X2GoProxyException
from x2gobroker.x2go.log import LOGLEVEL_DEFAULT, LOGLEVEL_INFO, LOGLEVEL_WARN, X2GoLogger, logger_of
from x2gobroker.x2go.texts import printable
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo

PROGRAM = "nxproxy"
USUAL_PLACE = "/usr/bin/nxproxy"
OPTIONS_FILE = "options"
X11_SOCKETS = "/tmp/.X11-unix/X"  # noqa: S108 - where X servers listen
LOOPBACK = "127.0.0.1"

START_SECONDS = 45.0  # the agent itself gives up after 60 s
STOP_SECONDS = 4.0
KILL_SECONDS = 4.0
DISPLAY_SECONDS = 5.0
LONGEST_LINE = 4096
LARGEST_LOG = 1 << 20

ESTABLISHED = "Established X server connection"
REFUSED = re.compile(r"X connection failed with error '(.*)'")


def find_program() -> str:
    """The path of nxproxy, or what NXPROXY_BINARY names. Raises X2GoProxyException when it is not there."""
    wanted = os.environ.get("NXPROXY_BINARY")
    found = shutil.which(wanted) if wanted else shutil.which(PROGRAM) or shutil.which(USUAL_PLACE)
    if found is None:
        raise X2GoProxyException("nxproxy is not installed on this machine; install the package nxproxy")
    return found


def check_display(display: str) -> None:
    """Look whether there is an X server at `display` ($DISPLAY); only displays of this machine are asked.

    Raises X2GoProxyException.
    """
    if not display:
        raise X2GoProxyException("there is no display to show the session on: DISPLAY is not set")
    local = re.fullmatch(r"(?:unix)?:([0-9]{1,5})(?:\.[0-9]{1,3})?", display)
    if local is None:
        return
    path = f"{X11_SOCKETS}{local[1]}"
    for address in (f"\0{path}", path):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(OSError):
            probe.settimeout(DISPLAY_SECONDS)
            probe.connect(address)
            return
    raise X2GoProxyException(f"the session cannot be shown: there is no X server at DISPLAY {printable(display, 40)}")


def private_folder(path: str) -> str:
    """Make a folder, for its owner only, unless it is there. Raises X2GoProxyException."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise X2GoProxyException(f"the folder {printable(path, 200)} cannot be made: {error.strerror}") from None
    return path


class X2GoProxy:
    """Shows one session. `on_end` is called once, in a thread, when nxproxy has ended, for whatever reason.

    `session_log` and `session_errors` are names of files in the session's local folder, for what nxproxy writes.
    `proxy_options` are further options of NX (`composite`, `retry`, `clipboard`, ...), by name.
    """

    def __init__(
        self,
        session_info: X2GoServerSessionInfo,
        ssh_transport: paramiko.Transport,
        session_log: str = "session.log",
        session_errors: str = "session.err",
        sessions_rootdir: str = defaults.SESSIONS_ROOTDIR,
        proxy_options: Mapping[str, Any] | None = None,
        session_instance: Any = None,
        logger: X2GoLogger | None = None,
        loglevel: int = LOGLEVEL_DEFAULT,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self.session_info = session_info
        self.ssh_transport = ssh_transport
        self.session_log = session_log
        self.session_errors = session_errors
        self.sessions_rootdir = sessions_rootdir
        self.proxy_options = dict(proxy_options or {})
        self.session_instance = session_instance
        self.logger = logger_of(logger, loglevel, "proxy")
        self.proxy: subprocess.Popen[bytes] | None = None
        self.fw_tunnel: LocalForward | None = None
        self._on_end = on_end
        self._watcher: threading.Thread | None = None
        self._settled = threading.Event()  # it draws, or it has failed
        self._established = False
        self._fault = ""
        self._lock = threading.Lock()

    @staticmethod
    def check_client() -> None:
        """Look whether sessions can be shown here at all. Raises X2GoProxyException."""
        find_program()
        check_display(os.environ.get("DISPLAY", ""))

    def start_proxy(self) -> tuple[subprocess.Popen[bytes], bool]:
        """Start nxproxy and wait until it draws; its process, and True.

        Raises X2GoProxyException with the reason when it does not; nothing is left then.
        """
        self.check_client()
        name = self.session_info.name
        folder = private_folder(self.session_info.local_container)
        tunnel = LocalForward(self.ssh_transport, (LOOPBACK, self.session_info.graphics_port), on_refused=self._refused)
        try:
            tunnel.start()
            self.fw_tunnel = tunnel
            process = self._launch(folder, tunnel.address[1])
            self._settled.wait(START_SECONDS)
            if self._established:
                self.logger(f"session {name} is shown on {os.environ.get('DISPLAY', '')}", LOGLEVEL_INFO)
                return process, True
            why = self._fault or f"nxproxy did not get to draw within {START_SECONDS:g} s"
        except (X2GoFwTunnelException, OSError, ValueError) as error:
            why = printable(str(error), 300)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, OPTIONS_FILE))
        self.stop_thread()
        raise X2GoProxyException(f"session {name} cannot be shown: {why}")

    def _refused(self, reason: str) -> None:
        """The tunnel does not get to the agent."""
        self._fault = self._fault or reason
        self._settled.set()

    def _launch(self, folder: str, port: int) -> subprocess.Popen[bytes]:
        """Start the process and the thread that watches it."""
        display = self.session_info.display
        self._write_options(os.path.join(folder, OPTIONS_FILE), options_text(self._options(port), display))
        # its streams are read here, so that no message is missed
        process = subprocess.Popen(
            [find_program(), "-S", file_argument(OPTIONS_FILE, display)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, "NX_CLIENT": "/bin/true", "NX_ROOT": self.sessions_rootdir},
            start_new_session=True,  # Ctrl-C in a terminal is for this program, which then ends its sessions orderly
        )
        self.proxy = process
        watcher = threading.Thread(
            target=self._watch,
            args=(process, process.stdout, folder),
            name=f"x2go-proxy-{self.session_info.name}",
            daemon=True,
        )
        self._watcher = watcher
        watcher.start()
        return process

    def _options(self, port: int) -> dict[str, str]:
        options = {"retry": "5", "composite": "1", "clipboard": "1"}
        for name, value in self.proxy_options.items():
            if is_option(name, value):
                options[str(name)] = str(value)
            else:
                self.logger("an option for the proxy is left out: it is none of NX", LOGLEVEL_WARN)
        return options | {"connect": LOOPBACK, "cookie": self.session_info.cookie, "port": str(port)}

    @staticmethod
    def _write_options(path: str, text: str) -> None:
        """A file that only its owner can read, from the beginning."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)

    def _watch(self, process: subprocess.Popen[bytes], output: IO[bytes], folder: str) -> None:
        """In a thread of its own: what nxproxy says, until it ends."""
        try:
            with contextlib.ExitStack() as stack:
                log = self._open_log(stack, folder, self.session_log)
                errors = self._open_log(stack, folder, self.session_errors)
                stream = stack.enter_context(output)
                while line := stream.readline(LONGEST_LINE):
                    self._take(line, log, errors)
            process.wait()
        finally:
            self._fault = self._fault or "nxproxy ended"
            self._settled.set()
            self._drop_tunnel()
            self.logger(f"the proxy of session {self.session_info.name} has ended", LOGLEVEL_INFO)
            if self._on_end is not None:
                self._on_end()

    def _open_log(self, stack: contextlib.ExitStack, folder: str, name: str) -> IO[bytes] | None:
        try:
            path = os.path.join(folder, os.path.basename(name))
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            self.logger(f"what nxproxy says cannot be written down: {error.strerror}", LOGLEVEL_WARN)
            return None
        return stack.enter_context(os.fdopen(descriptor, "ab", buffering=0))

    def _take(self, line: bytes, log: IO[bytes] | None, errors: IO[bytes] | None) -> None:
        """One line of nxproxy."""
        text = line.decode("utf-8", "replace").strip()
        is_error = text.startswith(("Error:", "Warning:"))
        for file in (log, errors if is_error else None):
            with contextlib.suppress(OSError):  # a full disk must not end a session
                if file is not None and file.tell() < LARGEST_LOG:
                    file.write(line)
        if ESTABLISHED in text:
            self._established = True
            self._settled.set()
        elif refused := REFUSED.search(text):
            self._fault = f"the X server refuses the connection: {printable(refused[1], 100)}"
            self._settled.set()
        elif text.startswith("Error:") and not self._established:
            self._fault = self._fault or f"nxproxy said: {printable(text.removeprefix('Error:').strip(), 200)}"

    def _drop_tunnel(self) -> None:
        with self._lock:
            tunnel, self.fw_tunnel = self.fw_tunnel, None
        if tunnel is not None:
            tunnel.stop()

    def ok(self) -> bool:
        """Whether nxproxy draws, and its tunnel stands."""
        process = self.proxy
        return self._established and process is not None and process.poll() is None and self.fw_tunnel is not None

    def wait(self, seconds: float) -> bool:
        """Wait until nxproxy has ended, and all that belongs to it; whether it has."""
        watcher = self._watcher
        if watcher is not None and watcher is not threading.current_thread():
            watcher.join(seconds)
        return watcher is None or not watcher.is_alive()

    def stop_thread(self) -> None:
        """End nxproxy, its tunnel and its thread. The session is suspended then, if it was running."""
        process = self.proxy
        if process is not None and not self.wait(0):
            process.terminate()
            if not self.wait(STOP_SECONDS) and process.poll() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                self.wait(KILL_SECONDS)
        self._drop_tunnel()
