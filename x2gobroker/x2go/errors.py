"""What goes wrong with X2Go sessions. The names are those of Python X2Go, whose users catch them.

There they derive from BaseException, so that `except Exception` lets them through; here they are ordinary exceptions.
What SSH itself refuses comes as paramiko's exceptions.
"""

from __future__ import annotations

from paramiko import AuthenticationException, BadHostKeyException, PasswordRequiredException, SSHException

__all__ = [
    "AuthenticationException",
    "BadHostKeyException",
    "PasswordRequiredException",
    "SSHException",
    "X2GoBackendException",
    "X2GoClientException",
    "X2GoClientPrintingException",
    "X2GoControlSessionException",
    "X2GoDesktopSharingDenied",
    "X2GoDesktopSharingException",
    "X2GoException",
    "X2GoFwTunnelException",
    "X2GoHostKeyException",
    "X2GoMIMEboxActionException",
    "X2GoMIMEboxQueueException",
    "X2GoNotImplementedYetException",
    "X2GoPrintActionException",
    "X2GoPrintException",
    "X2GoPrintQueueException",
    "X2GoProfileException",
    "X2GoProxyException",
    "X2GoRemoteHomeException",
    "X2GoRevFwTunnelException",
    "X2GoSFTPClientException",
    "X2GoSSHAuthenticationException",
    "X2GoSSHProxyAuthenticationException",
    "X2GoSSHProxyException",
    "X2GoSSHProxyHostKeyException",
    "X2GoSSHProxyPasswordRequiredException",
    "X2GoSessionException",
    "X2GoSessionRegistryException",
    "X2GoTerminalSessionException",
    "X2GoTimeOutException",
    "X2GoUserException",
]


class X2GoException(Exception):  # noqa: N818 - a name that users know
    """Anything that this library raises by itself."""


class X2GoClientException(X2GoException):
    """A client was asked for something that it cannot do."""


class X2GoSessionException(X2GoException):
    """A session cannot do what was asked of it."""


class X2GoControlSessionException(X2GoException):
    """The connection to a server is lost, or a command there did not end in time."""


class X2GoTerminalSessionException(X2GoException):
    """A session on a server cannot be started, resumed or shown."""


class X2GoSessionRegistryException(X2GoException):
    """The registry was asked ambiguously, or holds a session twice."""


class X2GoRemoteHomeException(X2GoException):
    """The home folder on the server is missing or may not be read."""


class X2GoHostKeyException(X2GoException, SSHException):
    """The host key of a server is not trusted. `connect` is documented to raise SSHException then: it is one."""


class X2GoUserException(X2GoException):
    """The user may not start sessions on this server."""


class X2GoProfileException(X2GoException):
    """A session profile, or an option of it, is not known."""


class X2GoSSHProxyException(X2GoException):
    """The SSH proxy host cannot be reached, or does not forward."""


class X2GoSSHProxyAuthenticationException(X2GoSSHProxyException):
    """The SSH proxy host refuses the login."""


X2GoSSHAuthenticationException = X2GoSSHProxyAuthenticationException  # the name in the documentation of Python X2Go


class X2GoSSHProxyPasswordRequiredException(X2GoSSHProxyAuthenticationException):
    """A key for the SSH proxy host is locked, and its passphrase was not given."""


class X2GoSSHProxyHostKeyException(X2GoSSHProxyException):
    """The host key of the SSH proxy host is not trusted."""


class X2GoFwTunnelException(X2GoException):
    """A tunnel to the server cannot be set up."""


class X2GoRevFwTunnelException(X2GoException):
    """A tunnel from the server cannot be set up: the server refuses it."""


class X2GoProxyException(X2GoException):
    """The program that shows sessions, nxproxy, is missing or failed."""


class X2GoDesktopSharingException(X2GoException):
    """There is no such desktop that could be shared."""


class X2GoDesktopSharingDenied(X2GoDesktopSharingException):
    """The other user refused to share the desktop."""


class X2GoTimeOutException(X2GoException):
    """A command on the server took longer than it may."""


class X2GoSFTPClientException(X2GoException):
    """Files cannot be exchanged with the server."""


class X2GoPrintException(X2GoException):
    """Printing failed."""


class X2GoPrintQueueException(X2GoPrintException):
    """The folder for print jobs cannot be used."""


class X2GoPrintActionException(X2GoPrintException):
    """A print action is not known, or failed."""


class X2GoClientPrintingException(X2GoPrintException):
    """The printing settings of the client cannot be used."""


class X2GoMIMEboxActionException(X2GoException):
    """A MIME box action is not known, or failed."""


class X2GoMIMEboxQueueException(X2GoException):
    """The folder for MIME box files cannot be used."""


class X2GoBackendException(X2GoException):
    """There is no backend of this name."""


class X2GoNotImplementedYetException(X2GoException):
    """What was asked for does not exist here."""
