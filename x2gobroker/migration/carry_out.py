"""Carries steps out, one command after the other, and takes them back, in reverse order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from x2gobroker.migration.journal import Entry, Journal
from x2gobroker.migration.reader import Reader
from x2gobroker.migration.runner import Done, Runner
from x2gobroker.migration.shown import command_line
from x2gobroker.migration.steps import PREPARE, Step, Undo

Say = Callable[[str], None]
UNLIVE = "left out: systemd does not run here"


@dataclass(frozen=True)
class Failure:
    """The command at which it stopped: the step, its words and how it ended."""

    step: str
    argv: tuple[str, ...]
    done: Done


@dataclass(frozen=True)
class Hands:
    """What carries out: `systemd` says whether it runs, `say` prints a line."""

    runner: Runner
    journal: Journal
    systemd: bool
    say: Say


def carry_out(steps: Sequence[Step], hands: Hands) -> Failure | None:
    """Run the steps' commands until one fails. Each is in the journal before it runs. Raises BrokerError."""
    prepared = hands.runner.run(PREPARE)
    if prepared.status:
        return Failure("copy", PREPARE, prepared)
    for number, step in enumerate(steps, 1):
        hands.say(f"{number}. {step.title}")
        for file in step.files:
            hands.journal.write(file.name, file.text)
        for command in step.commands:
            if command.live and not hands.systemd:
                hands.say(f"   {command_line(command.argv)}  ({UNLIVE})")
                continue
            hands.say(f"   # {command_line(command.argv)}")
            hands.journal.begin(Entry(step.id, command.argv, command.undo))
            done = hands.runner.run(command.argv)
            if done.status not in command.fine:
                return Failure(step.title, command.argv, done)
            hands.journal.finish()
    return None


def take_back(hands: Hands, reader: Reader) -> Failure | None:
    """Undo what the journal says, last first, until something fails; what is undone is forgotten. Raises BrokerError.

    A command that did not end well may have done nothing: there, an undo may fail.
    """
    while hands.journal.entries:
        entry = hands.journal.entries[-1]
        left = list(entry.undo)
        while left:
            failure = _undo(left[0], entry, hands, reader)
            if failure is not None:
                return failure
            left.pop(0)
            hands.journal.undone(tuple(left))
        hands.journal.drop()
    return None


def _undo(undo: Undo, entry: Entry, hands: Hands, reader: Reader) -> Failure | None:
    line = command_line(undo.argv)
    if undo.live and not hands.systemd:
        hands.say(f"   {line}  ({UNLIVE})")
        return None
    if undo.needs and not reader.present(undo.needs):
        hands.say(f"   {line}  (left out: {undo.needs} is not there)")
        return None
    hands.say(f"   # {line}")
    done = hands.runner.run(undo.argv)
    if done.status == 0:
        return None
    if not entry.done:
        hands.say(f"     status {done.status}; the command that it undoes had not ended well either: going on")
        return None
    return Failure(entry.step, undo.argv, done)
