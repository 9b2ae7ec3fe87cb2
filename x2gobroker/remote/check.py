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
from x2gobroker.remote.keys import PASSWORD_BYTES
from x2gobroker.remote.loader import ScriptError, describe, owners, realize_all
from x2gobroker.remote.script import RemoteServiceScript
from x2gobroker.remote.types import OPTION, SessionType, SessionTypes, read_types_trusted, types_path
from x2gobroker.settings import GLOBAL, IniError, Problem, Settings

PASSWORD = "remote-vnc-password"  # noqa: S105 - the name of an option
TRIAL_SECONDS = 15.0
LARGEST_ANSWER = 4096
LIMITED = "tigervnc.py"  # the script whose desktops are on this host, and all that users start in them
UNLIMITED = (
    "nothing limits what one desktop may take of this host: session types {}. To set limits, give them values such as "
    '"memory-megabytes": 4096, "tasks": 1000, "cpu-percent": 200'
)
NO_SOUND = "sound: sessions of this script have no sound; those of tigervnc.py can"


def remote_problems(settings: Settings) -> list[Problem]:
    """All that is wrong with the password of VNC servers and the file of session types, if they are configured."""
    return [*_password_problems(settings), *_types_problems(settings)]


def _password_problems(settings: Settings) -> list[Problem]:
    if len(settings.text(GLOBAL, PASSWORD).encode("utf-8", "replace")) <= PASSWORD_BYTES:
        return []
    message = (
        f"{PASSWORD} is longer than {PASSWORD_BYTES} bytes, and VNC uses only the first {PASSWORD_BYTES}: they are the "
        "whole password. Letters beyond ASCII, such as umlauts, have two bytes or more"
    )
    return [Problem(settings.environment("X2GOBROKER_CONFIG"), 0, message, error=False)]


def _types_problems(settings: Settings) -> list[Problem]:
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


def unlimited(settings: Settings) -> str:
    """What to say of session types whose desktops may take all of this host, as it is by default; nothing where there
    are none. No fault: whether that is right is for the site to say.
    """
    path = types_path(settings)
    if path is None or not path.exists():
        return ""
    try:
        found = read_types_trusted(path, owners())
    except IniError:  # `remote_problems` says so
        return ""
    names = [
        kind.name
        for kind in found.types.values()
        if kind.script == LIMITED and not (kind.memory_megabytes or kind.tasks or kind.cpu_percent)
    ]
    return UNLIMITED.format(", ".join(names)) if names else ""


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
