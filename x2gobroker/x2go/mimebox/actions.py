"""What happens to files of the MIME box on the user's own machine: opened, or handed to the application to save.

The names are those of Python X2Go. Each file is copied from the shared folder before any program sees it, and how it
begins is looked at in the copy: the server can exchange its own file at any moment.
"""

from __future__ import annotations

import inspect
import os
import shutil
from typing import Any

from x2gobroker.x2go.errors import X2GoMIMEboxActionException
from x2gobroker.x2go.local.client_action import ClientAction
from x2gobroker.x2go.local.programs import CommandError, keep, show
from x2gobroker.x2go.local.spool_files import PrivateCopy, private_copy, read_start
from x2gobroker.x2go.local.spool_queue import call_hook, reason_of
from x2gobroker.x2go.log import LOGLEVEL_DEBUG, LOGLEVEL_DEFAULT, LOGLEVEL_WARN, X2GoLogger
from x2gobroker.x2go.mimebox.kinds import is_plain_text
from x2gobroker.x2go.texts import printable

OPEN_CMD = "xdg-open"
START_BYTES = 4096
SAVE_SECONDS = 60.0
_LONGEST_EXTENSION = 16


class X2GoMIMEboxAction(ClientAction):
    """What all MIME box actions have: a `name`, a `description`, and `do_process()`."""

    log_name = "mimeboxactions"

    def do_process(self, mimebox_file: str, mimebox_dir: str) -> None:
        """Deal with the file `mimebox_file` of `mimebox_dir`; it stays there.

        Raises X2GoMIMEboxActionException when it cannot be done, and when the program for it is missing or fails.
        """
        name = os.path.basename(mimebox_file)
        try:
            self._do_process(name, os.path.normpath(mimebox_dir))
        except CommandError as error:
            raise X2GoMIMEboxActionException(str(error)) from None
        except OSError as error:
            text = f"The MIME box file {printable(name)} cannot be used: {reason_of(error)}."
            raise X2GoMIMEboxActionException(text) from None

    def _do_process(self, mimebox_file: str, mimebox_dir: str) -> None:
        """Nothing, here."""

    def _copy(self, mimebox_file: str, mimebox_dir: str) -> PrivateCopy:
        """A copy of the file, which the server cannot reach.

        Programs are chosen by the extension: it is a plain one, or the name of the copy has none. Then they are chosen
        by what is in the file: X2GoMIMEboxActionException unless that is plain text. Raises OSError.
        """
        stem, extension = os.path.splitext(mimebox_file)
        plain = extension[1:].isascii() and extension[1:].isalnum() and len(extension) <= _LONGEST_EXTENSION
        title, extension = (stem, extension) if plain else (mimebox_file.replace(".", "_"), "")
        copy = private_copy(os.path.join(mimebox_dir, mimebox_file), title, extension)
        if not extension and not self._starts_as_text(copy):
            copy.remove()
            raise X2GoMIMEboxActionException(f"The kind of the MIME box file {printable(mimebox_file)} is not allowed.")
        return copy

    @staticmethod
    def _starts_as_text(copy: PrivateCopy) -> bool:
        try:
            return is_plain_text(read_start(copy.path, START_BYTES))
        except OSError:
            copy.remove()
            raise

    def report(self, mimebox_file: str, reason: str) -> None:
        """Tell the client of a file that failed, by its HOOK_mimeboxaction_error; without a client, the log."""
        hook = getattr(self.client_instance, "HOOK_mimeboxaction_error", None)
        text = f"The MIME box file {printable(mimebox_file)} failed: {reason}"
        values = {"profile_name": self.profile_name, "session_name": self.session_name}
        call_hook(self.logger, hook, text, mimebox_file, err_msg=reason, **values)


class X2GoMIMEboxActionOPEN(X2GoMIMEboxAction):
    """Opens a file with the program that the desktop has for its kind (xdg-open)."""

    __name__ = "OPEN"
    description = "Open incoming file with local system's default application."

    def _do_process(self, mimebox_file: str, mimebox_dir: str) -> None:
        copy = self._copy(mimebox_file, mimebox_dir)
        self.logger(f"MIME box: {OPEN_CMD} gets {os.path.basename(copy.path)}", LOGLEVEL_DEBUG)
        show([OPEN_CMD], copy, lambda reason: self.report(copy.path, reason))


class X2GoMIMEboxActionOPENWITH(X2GoMIMEboxActionOPEN):
    """Lets the user choose a program. Desktops other than Windows have no common dialog for it: as OPEN."""

    __name__ = "OPENWITH"
    description = "Evoke 'Open with...' dialog on incoming MIME box files."

    def _do_process(self, mimebox_file: str, mimebox_dir: str) -> None:
        self.logger("There is no common open-with dialog here; the MIME box file is opened.", LOGLEVEL_WARN)
        super()._do_process(mimebox_file, mimebox_dir)


class X2GoMIMEboxActionSAVEAS(X2GoMIMEboxAction):
    """Calls the client's HOOK_open_mimebox_saveas_dialog with the path of a copy, which exists for another minute.

    When the hook returns a path, the file is saved there.
    Raises X2GoMIMEboxActionException when it is made without a client.
    """

    __name__ = "SAVEAS"
    description = "Save incoming file as..."

    def __init__(
        self, client_instance: Any = None, logger: X2GoLogger | None = None, loglevel: int = LOGLEVEL_DEFAULT
    ) -> None:
        if client_instance is None:
            text = "The MIME box action SAVEAS asks a client: give client_instance=<X2GoClient>."
            raise X2GoMIMEboxActionException(text)
        super().__init__(client_instance, logger, loglevel)

    def _do_process(self, mimebox_file: str, mimebox_dir: str) -> None:
        copy = self._copy(mimebox_file, mimebox_dir)
        names = {"profile_name": self.profile_name, "session_name": self.session_name}
        try:
            chosen = self.client_instance.HOOK_open_mimebox_saveas_dialog(copy.path, **names)
            if isinstance(chosen, str) and chosen:
                shutil.copyfile(copy.path, os.path.expanduser(chosen))
        finally:
            keep(copy, SAVE_SECONDS)


MIMEBOX_ACTIONS: dict[str, type[X2GoMIMEboxAction]] = {
    "OPEN": X2GoMIMEboxActionOPEN,
    "OPENWITH": X2GoMIMEboxActionOPENWITH,
    "SAVEAS": X2GoMIMEboxActionSAVEAS,
}


def mimebox_action_of(mimebox_action: object, **kwargs: Any) -> X2GoMIMEboxAction:
    """A MIME box action: the given instance, or one of the given class or name; `kwargs` go to its constructor.

    Raises X2GoMIMEboxActionException for an unknown name or an unknown argument.
    """
    if isinstance(mimebox_action, X2GoMIMEboxAction):
        return mimebox_action
    if isinstance(mimebox_action, str):
        mimebox_action = MIMEBOX_ACTIONS.get(mimebox_action.removeprefix("X2GoMIMEboxAction"), mimebox_action)
    if not (isinstance(mimebox_action, type) and issubclass(mimebox_action, X2GoMIMEboxAction)):
        text = (
            f"There is no MIME box action {printable(str(mimebox_action))!r}; there are {', '.join(MIMEBOX_ACTIONS)}."
        )
        raise X2GoMIMEboxActionException(text)
    try:
        inspect.signature(mimebox_action).bind(**kwargs)
    except TypeError as error:
        raise X2GoMIMEboxActionException(f"The MIME box action {mimebox_action.__name__}: {error}.") from None
    return mimebox_action(**kwargs)
