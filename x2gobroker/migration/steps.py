"""What a step is: commands, each with those that undo it. And the few patterns that steps are made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from x2gobroker.migration.reader import Reader

FOLDER = "/var/lib/x2gobroker-migration"  # root's alone, and named by no script of Debian's packages
OLD = f"{FOLDER}/old"  # what was there before
NEW = f"{FOLDER}/new"  # what is written for this site
BACK = f"{FOLDER}/back"  # what was put in place, and taken away on the way back

COPY = f"{FOLDER}/before.tar.gz"
PART = f"{COPY}.part"  # so that one that breaks off is not taken for whole

Argv = tuple[str, ...]

PREPARE: Argv = ("install", "-d", "-m", "700", FOLDER, OLD, NEW, BACK)


@dataclass(frozen=True)
class Undo:
    """One command of the way back; left out where `needs` is not there any more, or systemd does not run (`live`)."""

    argv: Argv
    needs: str = ""
    live: bool = False


@dataclass(frozen=True)
class Command:
    """One command, and what undoes it, in this order. `live`: left out where systemd does not run.

    `fine`: the exit statuses that mean that it has worked.
    """

    argv: Argv
    undo: tuple[Undo, ...] = ()
    live: bool = False
    fine: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class NewFile:
    """A file that is written into `NEW` before the commands of a step install it."""

    name: str
    text: str

    @property
    def path(self) -> str:
        """Where it is written."""
        return f"{NEW}/{self.name}"


@dataclass(frozen=True)
class Step:
    """One step: what it does and why, in words, and its commands."""

    id: str
    title: str
    commands: tuple[Command, ...]
    files: tuple[NewFile, ...] = ()
    note: str = ""


def command(*argv: str, undo: Undo | tuple[Undo, ...] = (), live: bool = False) -> Command:
    """A command from its words."""
    return Command(argv, (undo,) if isinstance(undo, Undo) else undo, live)


def undo(*argv: str, needs: str = "", live: bool = False) -> Undo:
    """A command of the way back from its words."""
    return Undo(argv, needs, live)


def flat(path: str) -> str:
    """A name for the copy of a file."""
    return path.strip("/").replace("/", "_")


def free_copy(reader: Reader, path: str) -> str:
    """Where a copy of this file goes: no copy is ever written over."""
    place, number = f"{OLD}/{flat(path)}", 1
    while reader.present(place):
        number += 1
        place = f"{OLD}/{flat(path)}.{number}"
    return place


def put(reader: Reader, source: str, target: str, text: str, mode: str = "644") -> tuple[Command, ...]:
    """Install a file with this text; nothing where it is there already. What stands there is copied before."""
    commands: list[Command] = []
    folder = str(PurePosixPath(target).parent)
    if reader.text(target) == text and not reader.link(target):
        return ()
    if not reader.is_folder(folder):
        made = undo("rmdir", "--ignore-fail-on-non-empty", folder, needs=folder)
        commands.append(command("install", "-d", "-m", "755", folder, undo=made))
    taken = undo("mv", "--backup=numbered", target, f"{BACK}/{flat(target)}", needs=target)
    if reader.present(target):
        copy = free_copy(reader, target)
        commands.append(command("cp", "-a", target, copy))
        commands.append(
            command("install", "-m", mode, source, target, undo=(taken, undo("cp", "-a", copy, target, needs=copy)))
        )
    else:
        commands.append(command("install", "-m", mode, source, target, undo=taken))
    return tuple(commands)


def aside(reader: Reader, path: str) -> Command:
    """Move a file away, to where it is kept."""
    copy = free_copy(reader, path)
    return command("mv", path, copy, undo=undo("mv", copy, path, needs=copy))
