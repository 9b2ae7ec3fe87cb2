"""The sound server that a desktop gets: a PulseAudio of its own, whose only output goes to browsers.

For `keeper.py`, of the standard library only. One of the user's own would not do: it is the same for all desktops of
the user, so each of them would be heard in the page of each other one, and whether and when a session starts one
depends on the desktop, on systemd and on what is installed. So programs find ours by PULSE_SERVER: PulseAudio's library
then starts no other, and neither does its script in /etc/xdg/autostart. Its socket is there before any program is.

Where PulseAudio is not installed, as it cannot be beside Debian's package pipewire-audio, the user's own sound server
is listened to, if there is one: systemd starts pipewire-pulse for whoever has a session of PAM.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

from x2gobroker.remote.listening import listen

SERVER, RECORDER = "pulseaudio", "parec"
PIPEWIRE = "pipewire-pulse"
SINK = "browser"
RATE, CHANNELS = 48000, 2
VARIABLE = "PULSE_SERVER"
RUNTIME = "XDG_RUNTIME_DIR"
OWN_SOCKET = "pulse/native"  # of a user's own sound server, below XDG_RUNTIME_DIR
WHATEVER_IS_PLAYED = "@DEFAULT_MONITOR@"
NOTE = "sound.json"
NO_RECORDER = "sound: parec is not installed: install the package pulseaudio-utils"
NO_SERVER = "sound: no sound server is installed: install the package pulseaudio, or pipewire-pulse with wireplumber"
# it is a service in the form of systemd, which takes its socket as descriptor 3; it asks no bus who else is one
START = 'DBUS_SESSION_BUS_ADDRESS=disabled: LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&0 </dev/null'


def found(program: str, path: str) -> str:
    """Where a program is, by the folders of PATH; empty: nowhere."""
    places = (os.path.join(folder, program) for folder in path.split(":"))
    return next((place for place in places if os.access(place, os.X_OK)), "")


def missing(path: str) -> Iterator[str]:
    """What of the programs for sound is not installed on this host, and which package has it."""
    if not found(RECORDER, path):
        yield NO_RECORDER
    if not found(SERVER, path) and not found(PIPEWIRE, path):
        yield NO_SERVER


def server_words(program: str, path: str) -> list[str]:
    """The command of a PulseAudio that gets a listening socket, made at this path, as its standard input."""
    modules = [
        f'module-native-protocol-unix socket="{path}" auth-cookie-enabled=0 auth-group-enable=0',
        f"module-null-sink sink_name={SINK} rate={RATE} channels={CHANNELS} sink_properties=device.description=Browser",
    ]
    words = [program, "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disallow-exit=yes"]
    words += ["--realtime=no", "--high-priority=no", "--disable-shm=yes", "--log-target=stderr", "--log-level=error"]
    return ["/bin/sh", "-c", START, "sh", *words, *(word for module in modules for word in ("-L", module))]


def start(plan: dict[str, Any], programs: Any) -> None:
    """Start the sound server of a desktop, by the keeper's plan, and note where it is.

    `programs` are the keeper's. Raises OSError, programs.NoDesktopError.
    """
    environment = plan["environment"]
    program = found(SERVER, environment["PATH"])
    if program:
        path = plan["sound"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
            listen(listener, path, plan["user"])
            programs.spawn(server_words(program, path), last_breath=True, stdin=listener)
        environment[VARIABLE] = f"unix:{path}"
        note = {"server": environment[VARIABLE], "source": f"{SINK}.monitor"}
    else:
        runtime = environment.get(RUNTIME, "")
        if not runtime:
            programs.note(f"no sound: {SERVER} is not installed, and the user has no {RUNTIME} with another server")
            return
        note = {"server": f"unix:{runtime}/{OWN_SOCKET}", "source": WHATEVER_IS_PLAYED}
    file = os.path.join(plan["folder"], NOTE)
    with open(file + ".new", "w", encoding="ascii") as stream:
        json.dump(note, stream)
    os.rename(file + ".new", file)
