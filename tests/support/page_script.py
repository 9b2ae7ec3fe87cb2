"""The code of a page, as one script that a test takes from block to block."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from tests.support.processes import STOP_DEADLINE, wait_until

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LONGEST_BLOCK = 120.0


def code_of(page: Path, values: Mapping[str, str]) -> str:
    """The Python blocks of a page as one script that waits for a line of input before each block.

    `values` replace values of the page that are its reader's own, as they stand there.
    """
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks, page
    code = "".join(f"input('[block {number}]\\n')\n{block}\n" for number, block in enumerate(blocks))
    for shown, real in values.items():
        assert code.count(shown) == 1, shown
        code = code.replace(shown, real)
    return f"{code}input('[block {len(blocks)}]\\n')\n"


class PageScript:
    """The running script of a page."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        self._block = -1
        self._seen = 0
        self._begun_at = 0

    def output(self) -> str:
        """Everything that it said so far, both streams."""
        return self._log.read_text("utf-8", "replace")

    def said(self) -> str:
        """What the blocks said since this was called last, without the marks between blocks."""
        text, seen = self.output(), self._seen
        self._seen = len(text)
        return re.sub(r"^\[block [0-9]+\]\n", "", text[seen:], flags=re.MULTILINE)

    def answer(self, text: str) -> None:
        """Write a line to it, as its user would."""
        stream: IO[bytes] | None = self.process.stdin
        assert stream is not None
        stream.write(text.encode() + b"\n")
        stream.flush()

    def begin(self) -> None:
        """Let it begin with the next block."""
        if self._block < 0:
            self.wait()
        self._begun_at = len(self.output())
        self.answer("")

    def wait(self) -> None:
        """Wait until it has come to the end of the block; fails at once when the script fails."""
        self._block += 1
        self.wait_for(f"[block {self._block}]\n")

    def wait_for(self, text: str) -> None:
        """Wait until it has said this, since the block began."""

        def has_said() -> bool:
            ended = self.process.poll() is not None
            if text in self.output()[self._begun_at :]:
                return True
            assert not ended, f"the script ended with {self.process.returncode}:\n{self.output()}"
            return False

        try:
            wait_until(has_said, f"the script saying {text!r}", LONGEST_BLOCK)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output()}") from None

    def run_block(self) -> str:
        """Run the next block to its end; what it said."""
        self.begin()
        self.wait()
        return self.said()


@contextlib.contextmanager
def page_script(code: str, folder: Path, environment: Mapping[str, str]) -> Iterator[PageScript]:
    """Run such code in a Python of its own for the length of a `with` block; `folder` is its home."""
    script, log = folder / "script.py", folder / "script.log"
    script.write_text(code, encoding="utf-8")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", "-W", "ignore::getpass.GetPassWarning", str(script)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment, "HOME": str(folder)},
            cwd=folder,
            start_new_session=True,  # without a terminal, getpass reads where the answers come from
        )
    try:
        yield PageScript(process, log)
    finally:
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_DEADLINE)
