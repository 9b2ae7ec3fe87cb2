"""Our own x2gobroker-daemon on a free port, with files that a test rewrites while it runs."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.support.debian_broker import replace_file
from tests.support.environment import own_environment
from tests.support.processes import Program, free_port

PROGRAM = Path(sys.executable).parent / "x2gobroker-daemon"


class OurBroker:
    """One running broker with a folder of its own; a changed file counts from the next request on.

    A configuration written through `write_config` may use `{state}` for the folder of the broker's state.
    """

    def __init__(
        self,
        config: str = "",
        profiles: str = "",
        *,
        debug: bool = False,
        default_backend: str = "inifile",
        env: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = Path(tempfile.mkdtemp(prefix="our-broker-"))
        self.config = self.folder / "x2gobroker.conf"
        self.profiles = self.folder / "sessionprofiles.conf"
        self.state = self.folder / "state"
        self.state.mkdir(mode=0o700)
        self.arguments = list(arguments)
        self.env = {
            **own_environment(self.folder, self.config),
            "X2GOBROKER_SESSIONPROFILES": str(self.profiles),
            "X2GOBROKER_DEFAULT_BACKEND": default_backend,
            "X2GOBROKER_DEBUG": "1" if debug else "0",
            "X2GOBROKER_WORKERS": "1",
            **(env or {}),
        }
        self.program: Program | None = None
        self.write_config(config)
        self.write_profiles(profiles)

    def write_config(self, text: str) -> None:
        """Make `text` the broker's configuration from the next request on."""
        replace_file(self.config, text.replace("{state}", str(self.state)))

    def write_profiles(self, text: str) -> None:
        """Make `text` the session profiles from the next request on."""
        replace_file(self.profiles, text)

    def log(self) -> str:
        """What the broker wrote so far."""
        return "" if self.program is None else self.program.output()

    def start(self) -> None:
        """Start the daemon and wait until it listens."""
        self.program = Program(
            [str(PROGRAM), "-C", str(self.config), "-b", f"127.0.0.1:{self.port}", *self.arguments],
            self.folder / "log",
            env=self.env,
            cwd=self.folder,
        )
        self.program.wait_for_port(self.port)

    def close(self) -> None:
        """Stop the broker and remove its files."""
        if self.program is not None:
            self.program.stop()
            self.program = None
        shutil.rmtree(self.folder)

    def __enter__(self) -> OurBroker:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
