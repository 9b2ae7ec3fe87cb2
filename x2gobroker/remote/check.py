"""What is wrong with session types and their scripts, found before a user does.

Each script is loaded and asked for all its objects, in a process of its own with a deadline: it may do anything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from x2gobroker.model.json_text import JsonError, read_json
from x2gobroker.remote.loader import ScriptError, describe, owners, realize_all
from x2gobroker.remote.script import RemoteServiceScript
from x2gobroker.remote.types import OPTION, SessionType, SessionTypes, read_types_trusted, types_path
from x2gobroker.settings import IniError, Problem, Settings

TRIAL_SECONDS = 15.0
LARGEST_ANSWER = 4096
NO_SOUND = "sound: sessions of this script have no sound; those of tigervnc.py can"


def remote_problems(settings: Settings) -> list[Problem]:
    """All that is wrong with the configured file of session types; nothing where none is configured."""
    path = types_path(settings)
    if path is None:
        return []
    if not path.exists():
        return [Problem(str(path), 0, f"does not exist; {OPTION} names it: write it, or leave the option empty")]
    try:
        found = read_types_trusted(path, owners())
    except IniError as error:
        return [error.problem]
    return [*found.problems, *script_problems(found, found.types.values())]


def script_problems(found: SessionTypes, types: Iterable[SessionType]) -> list[Problem]:
    """What is wrong with the scripts of these session types of a file, each tried in a process of its own."""
    return [
        found.problem(kind.name, "script", reason) for kind in types if (reason := try_script(found.path, kind.name))
    ]


def try_script(path: Path, name: str, seconds: float = TRIAL_SECONDS) -> str:
    """What is wrong with the script of one session type of a file; nothing when all its objects can be made."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__, str(path), name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the script takes longer than {seconds:g} s to load; leave slow work to start()"
    except OSError as error:
        return f"the script cannot be tried: {error.strerror}"
    try:
        answer = read_json(done.stdout, LARGEST_ANSWER)
    except JsonError:
        return f"the script ended Python, with status {done.returncode}"
    return str(answer)


def faults_of(script: RemoteServiceScript) -> list[str]:
    """What a script says of its options. Raises ScriptError when its `check` does not work."""
    try:
        found = [str(fault) for fault in script.check()]
    except (Exception, SystemExit) as error:
        raise ScriptError(f"its check() failed: {describe(error)}") from error
    return [*found, NO_SOUND] if script._wants_sound and not script.gives_sound else found


def main() -> NoReturn:
    """Try the script of one session type, and print what is wrong as JSON. What the script prints goes nowhere."""
    path, name = sys.argv[1:]
    answer = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):
        os.dup2(nothing, number)
    reason = ""
    try:
        made = realize_all(read_types_trusted(Path(path), owners()).types[name])
        reason = "; ".join(dict.fromkeys(fault for script in made for fault in faults_of(script)))
    except (ScriptError, IniError) as error:
        reason = str(error)
    except KeyError:
        reason = "the session type is gone from the file"
    os.write(answer, json.dumps(reason[: LARGEST_ANSWER // 8]).encode("ascii"))
    os._exit(0)  # whatever threads the script has started


if __name__ == "__main__":
    main()
