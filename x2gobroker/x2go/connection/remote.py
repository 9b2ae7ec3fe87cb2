"""One command on an X2Go Server, and what it said."""

from __future__ import annotations

import uuid

import paramiko

from x2gobroker.errors import SshError
from x2gobroker.ssh.execute import MOST_BYTES, execute
from x2gobroker.ssh.failures import ConnectionBroken, SshTimeout
from x2gobroker.x2go.errors import X2GoControlSessionException, X2GoTimeOutException
from x2gobroker.x2go.wire.commands import END, is_marked, payload, printable, wrap
from x2gobroker.x2go.wire.reply import Reply


def run_remote(
    transport: paramiko.Transport, command: str, seconds: float, max_bytes: int = MOST_BYTES, input: bytes = b""
) -> Reply:
    """Run a command for /bin/sh, with `input` as its standard input; returns what it said, within `seconds`.

    Raises X2GoTimeOutException when it takes longer; ConnectionLost; ServerBusy; X2GoControlSessionException when the
    login shell does not run it, or when it writes more than `max_bytes`.
    """
    mark = uuid.uuid4().hex
    try:
        done = execute(transport, wrap(command, mark), seconds, max_bytes, input, f"{END}{mark}".encode())
    except SshTimeout:
        raise X2GoTimeOutException(f"a command on the server did not end within {seconds:.3g} s") from None
    except ConnectionBroken as error:
        if getattr(error, "busy", False):
            raise ServerBusy("the server runs as many commands of this connection as it allows") from None
        raise ConnectionLost(f"a command on the server failed: {error}") from None
    except SshError as error:
        raise X2GoControlSessionException(str(error)) from None
    output, errors = done.output.decode("utf-8", "replace"), done.errors.decode("utf-8", "replace")
    if not is_marked(output, mark):
        said = printable((output.strip() or errors.strip()).partition("\n")[0], 200)
        raise X2GoControlSessionException(f"the login shell of the server did not run the command; it said: {said}")
    return Reply(payload(output, mark), errors, done.status)


class ConnectionLost(X2GoControlSessionException):
    """The connection broke, or the server refused to run the command."""


class ServerBusy(X2GoControlSessionException):
    """The command was not started, because others of this connection are running; sshd's MaxSessions."""
