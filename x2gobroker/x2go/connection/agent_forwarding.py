"""Programs on the server may use the SSH agent of this machine: channels that the server opens lead to its socket."""

from __future__ import annotations

import os

import paramiko

from x2gobroker.ssh.execute import open_session
from x2gobroker.ssh.failures import ConnectionBroken, SshTimeout
from x2gobroker.x2go.connection.streams import Streams, close_channel, relay
from x2gobroker.x2go.errors import X2GoControlSessionException
from x2gobroker.x2go.log import LOGLEVEL_NOTICE, LOGLEVEL_WARN, X2GoLogger

REQUEST_SECONDS = 20.0


class AgentForwarding:
    """For one connection: all commands that begin after `start` see the agent."""

    def __init__(self, transport: paramiko.Transport, logger: X2GoLogger) -> None:
        self._transport = transport
        self._logger = logger
        self._streams = Streams("x2go-ssh-agent")
        self._path = os.environ.get("SSH_AUTH_SOCK", "")

    def start(self) -> None:
        """Ask the server for it. Without an agent here, that is a line in the log.

        The server does not say whether it allows it. Raises X2GoControlSessionException when the connection is lost.
        """
        if not self._path:
            self._logger("there is no SSH agent to forward: SSH_AUTH_SOCK is not set", LOGLEVEL_WARN)
            return
        try:
            # asked for once, it counts for the connection; sshd allows ten channels of this kind, so that it is closed
            with open_session(self._transport, REQUEST_SECONDS) as channel:
                channel.request_forward_agent(self._take)
        except (SshTimeout, ConnectionBroken, paramiko.SSHException, OSError, EOFError) as error:
            raise X2GoControlSessionException(f"the SSH agent cannot be forwarded: {error}") from None
        self._logger("the SSH agent is forwarded to the server", LOGLEVEL_NOTICE)

    def _take(self, channel: paramiko.Channel) -> None:
        """Called by the thread that reads the connection, which must not wait."""
        self._streams.run(lambda: relay(channel, self._path), lambda: close_channel(channel))

    def stop(self) -> None:
        """End it, and what is under way."""
        self._streams.stop()
