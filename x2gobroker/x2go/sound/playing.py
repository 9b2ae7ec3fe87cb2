"""Sound of a session: a tunnel from the server's sound port to the sound server of this client."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Any, Protocol

import paramiko

from x2gobroker.x2go.connection.streams import bridge, close_channel, close_socket, connected, relay
from x2gobroker.x2go.connection.tunnels import ReverseForward
from x2gobroker.x2go.errors import X2GoException, X2GoRevFwTunnelException
from x2gobroker.x2go.log import LOGLEVEL_DEFAULT, LOGLEVEL_INFO, LOGLEVEL_WARN, X2GoLogger, logger_of
from x2gobroker.x2go.sound.pulse import (
    COOKIE_BYTES,
    PULSE_PORT,
    Address,
    StrangerException,
    admit,
    find_server,
    own_cookie,
    start_server,
)
from x2gobroker.x2go.texts import printable
from x2gobroker.x2go.wire.commands import word
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo
from x2gobroker.x2go.wire.reply import Reply


class Server(Protocol):
    """What sound needs of the connection to the server."""

    def command(self, command: str, *, input: bytes) -> Reply:
        """Run a command, with `input` as its standard input."""

    def get_transport(self) -> paramiko.Transport | None:
        """The SSH connection; None when there is none."""


PULSE, ESD, ARTS = "pulse", "esd", "arts"
LOOPBACK = "127.0.0.1"
CLIENT_CONF = ".pulse-client.conf"  # these two names are those of other X2Go clients
COOKIE = ".pulse-cookie"
ESD_KEY = ".esd_auth"
MOST_ESD_KEY = 1024
DONE = "written"


class Sound:
    """The sound of one session.

    `snd_system` is pulse, esd, arts (nobody has it any more: nothing is done) or none; `snd_port` the port of this
    client's sound server, 4713 for: wherever PulseAudio is.

    With PulseAudio, the session gets a cookie of its own, good for this tunnel only. The user's cookie, which opens the
    sound server with its microphones for everybody who has it, stays here. The server's other users reach the tunnel,
    too; without the session's cookie they get nothing.
    """

    def __init__(
        self,
        control_session: Server,
        session_info: X2GoServerSessionInfo,
        snd_system: str = PULSE,
        snd_port: int = PULSE_PORT,
        client_instance: Any = None,
        profile_name: str = "UNKNOWN",
        logger: X2GoLogger | None = None,
        loglevel: int = LOGLEVEL_DEFAULT,
    ) -> None:
        self.logger = logger_of(logger, loglevel, "sound")
        self.control_session = control_session
        self.session_info = session_info
        self.snd_system = snd_system
        self.snd_port = int(snd_port or PULSE_PORT)
        self.client_instance = client_instance
        self.profile_name = profile_name
        self.tunnel: ReverseForward | None = None
        self._cookie = b""
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()

    def start(self) -> None:
        """The session can play when this returns.

        Raises X2GoRevFwTunnelException when the server refuses the tunnel; X2GoException with the reason when this
        client or the server is not able to, after HOOK_on_sound_tunnel_failed; X2GoControlSessionException,
        X2GoTimeOutException.
        """
        if self.tunnel is not None:
            return
        if self.snd_system == ARTS:
            self.logger("sound with aRts is not supported any more; use PulseAudio", LOGLEVEL_WARN)
        elif self.snd_system == PULSE:
            self._start_pulse()
        elif self.snd_system == ESD:
            self._start_esd()

    def stop(self) -> None:
        """End the tunnel; nothing is left here when this returns. May be called again."""
        with self._lock:
            tunnel, self.tunnel = self.tunnel, None
            connections = list(self._connections)
        for connection in connections:
            close_socket(connection)  # a sound server that hangs would hold up the end of the tunnel
        if tunnel is not None:
            tunnel.stop()

    # ------------------------------------------------------------ PulseAudio

    def _start_pulse(self) -> None:
        if find_server(self.snd_port) is None:
            try:
                self._start_server()
            except X2GoException as error:
                self._hook("HOOK_pulseaudio_server_startup_failed")
                raise self._failed(str(error)) from None
        self._cookie = secrets.token_bytes(COOKIE_BYTES)
        self._open_tunnel(self._serve)
        place = self.session_info.remote_container
        settings = (
            f"default-server = tcp:{LOOPBACK}:{self.session_info.snd_port}",
            f"cookie-file = {place}/{COOKIE}",
            "autospawn = no",  # a sound server on the X2Go Server would play to nobody
            "enable-shm = no",
        )
        lines = " ".join(word(line) for line in settings)
        self._write(
            f"cd {word(place)} && cat >{COOKIE} && printf '%s\\n' {lines} >{CLIENT_CONF}",
            self._cookie,
        )
        self.logger(f"session {self.session_info.name} plays on this client", LOGLEVEL_INFO)

    def _start_server(self) -> Address:
        """Start the user's sound server. Raises X2GoException: that is not possible."""
        if self.snd_port != PULSE_PORT:
            raise X2GoException(f"no sound server listens on port {self.snd_port} of this client")
        return start_server()

    def _serve(self, channel: paramiko.Channel) -> None:
        """One program of the session that wants to play, in a thread of its own, until it has ended."""
        try:
            first = admit(channel, self._cookie, own_cookie())
        except StrangerException as error:
            self.logger(f"sound of session {self.session_info.name}: {error}", LOGLEVEL_WARN)
            return
        except OSError:
            return
        try:
            connection = connected(find_server(self.snd_port) or self._start_server())
        except (X2GoException, OSError) as error:
            self.logger(f"the sound server has ended: {printable(str(error), 200)}", LOGLEVEL_WARN)
            self._hook("HOOK_pulseaudio_server_died")
            return
        with self._lock:
            self._connections.add(connection)
        try:
            connection.sendall(first)
            if self.tunnel is not None:
                bridge(channel, connection)
        except OSError:
            close_channel(channel)
        finally:
            close_socket(connection)
            with self._lock:
                self._connections.discard(connection)

    # ------------------------------------------------------------ EsounD

    def _start_esd(self) -> None:
        """EsounD has one key for all sessions; programs look for it in the home folder, and nowhere else."""
        try:
            with open(os.path.join(os.path.expanduser("~"), ESD_KEY), "rb") as file:
                key = file.read(MOST_ESD_KEY)
        except OSError as error:
            raise self._failed(f"{ESD_KEY} of EsounD cannot be read: {error.strerror}") from None
        self._open_tunnel(lambda channel: relay(channel, (LOOPBACK, self.snd_port)))
        self._write(f'cd "$HOME" && cat >{ESD_KEY}', key)

    # ------------------------------------------------------------ both

    def _open_tunnel(self, handler: Callable[[paramiko.Channel], None]) -> None:
        transport = self.control_session.get_transport()
        if transport is None:
            raise X2GoRevFwTunnelException("the SSH connection to the server has ended; connect again")
        if not self.session_info.snd_port:
            raise self._failed("the server has no free port for sound")
        tunnel = ReverseForward(transport, self.session_info.snd_port, handler)
        self.tunnel = tunnel
        try:
            tunnel.start()
        except X2GoRevFwTunnelException:
            self.stop()
            raise

    def _write(self, command: str, secret: bytes) -> None:
        """Run a command on the server that writes files; `secret` is its input, so that no list of processes has it."""
        written = False
        try:
            reply = self.control_session.command(f"umask 077; {command} && echo {DONE}", input=secret)
            written = reply.output.strip() == DONE
        finally:
            if not written:
                self.stop()
        if not written:
            raise self._failed(f"the server cannot write what sound needs: {printable(reply.errors.strip(), 200)}")

    def _failed(self, reason: str) -> X2GoException:
        """Tell the client that the session has no sound; what to raise."""
        self._hook("HOOK_on_sound_tunnel_failed", profile_name=self.profile_name, session_name=self.session_info.name)
        return X2GoException(f"session {self.session_info.name} has no sound: {reason}")

    def _hook(self, name: str, **values: Any) -> None:
        """Call a hook of the client, if there is one; what it raises is only logged."""
        hook = getattr(self.client_instance, name, None)
        if hook is None:
            return
        try:
            hook(**values)
        except Exception as error:  # noqa: BLE001 - other people's code
            self.logger(f"{name} failed: {type(error).__name__}", LOGLEVEL_WARN)
