"""Commands of the tutorials and how-tos, done on a booted machine as a reader does them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.packages.booted.bare import APT_SECONDS, Bare
from tests.support.installation import CHECKOUT

PAGES = CHECKOUT / "docs"
# what somebody at a screen does
BY_HAND = re.compile(r"x2goclient |pyhoca-cli |x2gobroker totp verify|autopkgtest|SUDO_FORCE_REMOVE|x2gobroker x2go ")


def commands_of(page: str, heading: str) -> list[str]:
    """The commands below a heading of a page, without one at its beginning: those of root and of users alike."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    text = (text.partition(f"\n## {heading}\n")[2] if heading else text).partition("\n## ")[0]
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found = [line[2:] for block in blocks for line in block.splitlines() if line.startswith(("# ", "$ "))]
    assert found, f"{page}.md has no commands under {heading}"
    return found


def says(wanted: str) -> Callable[[str], None]:
    """A look at what a command says."""

    def look(said: str) -> None:
        assert wanted in said

    return look


@dataclass
class Reader:
    """Who follows the pages on one machine, in one shell's folder; `names` stand for those of the examples.

    `answers` has what is typed at commands that ask, by what the commands begin with.
    """

    site: Bare
    names: Mapping[str, str]
    folder: str = "/root/debs"
    answers: Mapping[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def follow(self, page: str, heading: str, after: Mapping[str, Callable[[str], None]] | None = None) -> None:
        """Do all of it; `after` has what is looked at behind a command that begins so, and is given its output."""
        looks = dict(after or {})
        for command in commands_of(page, heading):
            if BY_HAND.match(command):
                continue
            said = self.do(command)
            for begin in [begin for begin in looks if command.startswith(begin)]:
                looks.pop(begin)(said)
        assert not looks, f"{page}.md, {heading}: no such command any more: {sorted(looks)}"

    def do(self, command: str) -> str:
        """Do one, as it stands but for the names; what it says on both streams."""
        for name, own in self.names.items():
            command = command.replace(name, own)
        self.done.append(command)
        folder = next((each[3:] for each in reversed(self.done[:-1]) if each.startswith("cd ")), self.folder)
        typed = next((text for begin, text in self.answers.items() if command.startswith(begin)), "")
        done = self.site.machine.call("bash", "-c", f"cd {folder} && {command}", stdin=typed, seconds=APT_SECONDS)
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{command} gave {done.returncode}: {said}\n{self.site.machine.journal()[-4000:]}"
        return said
