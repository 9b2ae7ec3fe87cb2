"""What happens to a print job on the user's own machine: shown, saved, printed, given to a program, or asked about.

The names are those of Python X2Go. A job is a PDF file in the spool folder, which the server writes to: it is copied
from there before any program sees it, under a name made from its title.
"""

from __future__ import annotations

import inspect
import os
import shutil
from typing import Any

from x2gobroker.x2go.defaults import LOCAL_HOME
from x2gobroker.x2go.errors import X2GoPrintActionException
from x2gobroker.x2go.local.client_action import ClientAction
from x2gobroker.x2go.local.programs import CommandError, run_to_end, show, split_command
from x2gobroker.x2go.local.spool_files import copy_into, private_copy
from x2gobroker.x2go.local.spool_queue import call_hook, reason_of
from x2gobroker.x2go.log import LOGLEVEL_DEBUG, LOGLEVEL_DEFAULT, LOGLEVEL_NOTICE, LOGLEVEL_WARN, X2GoLogger
from x2gobroker.x2go.texts import printable

DEFAULT_PDFVIEW_CMD = "xdg-open"
DEFAULT_PDFSAVE_LOCATION = "PDF"
DEFAULT_PRINTCMD_CMD = "lpr"
DEFAULT_TITLE = "X2Go Print Job"


class X2GoPrintAction(ClientAction):
    """What all print actions have: a `name`, a `description`, and `do_print()`."""

    log_name = "printactions"

    def do_print(self, pdf_file: str, job_title: str, spool_dir: str) -> None:
        """Deal with the job `pdf_file`, a path or a name in `spool_dir`; its file stays there.

        Raises X2GoPrintActionException when it cannot be done, and when the program for it is missing or fails.
        """
        path = pdf_file if os.path.dirname(pdf_file) else os.path.join(spool_dir, pdf_file)
        try:
            self._do_print(os.path.normpath(path), printable(job_title) or DEFAULT_TITLE, os.path.normpath(spool_dir))
        except CommandError as error:
            raise X2GoPrintActionException(str(error)) from None
        except OSError as error:
            text = f"The print job {printable(os.path.basename(path))} cannot be used: {reason_of(error)}."
            raise X2GoPrintActionException(text) from None

    def _do_print(self, pdf_file: str, job_title: str, spool_dir: str) -> None:
        """Nothing, here."""

    def report(self, pdf_file: str, reason: str, printer: str | None = None) -> None:
        """Tell the client of a job that failed, by its HOOK_printaction_error; without a client, the log."""
        hook = getattr(self.client_instance, "HOOK_printaction_error", None)
        text = f"The print job {printable(pdf_file)} failed: {reason}"
        values = {"profile_name": self.profile_name, "session_name": self.session_name}
        call_hook(self.logger, hook, text, pdf_file, err_msg=reason, printer=printer, **values)

    def _show(self, argv: list[str], pdf_file: str, job_title: str) -> None:
        copy = private_copy(pdf_file, job_title, ".pdf")
        self.logger(f"print action {self.name}: {argv[0]} gets {os.path.basename(copy.path)}", LOGLEVEL_DEBUG)
        show(argv, copy, lambda reason: self.report(copy.path, reason))


def _words(command: str, what: str) -> list[str]:
    try:
        return split_command(command)
    except CommandError as error:
        raise X2GoPrintActionException(f"The {what} cannot be used. {error}") from None


class X2GoPrintActionPDFVIEW(X2GoPrintAction):
    """Shows a job in a viewer: `pdfview_cmd`, which may have arguments; xdg-open when that does not exist."""

    __name__ = "PDFVIEW"
    description = "View as PDF document"

    def __init__(
        self,
        client_instance: Any = None,
        pdfview_cmd: str | None = None,
        logger: X2GoLogger | None = None,
        loglevel: int = LOGLEVEL_DEFAULT,
    ) -> None:
        super().__init__(client_instance, logger, loglevel)
        self.pdfview_cmd = DEFAULT_PDFVIEW_CMD if pdfview_cmd is None else pdfview_cmd
        self._argv = _words(self.pdfview_cmd, "command of the PDF viewer")

    def _do_print(self, pdf_file: str, job_title: str, spool_dir: str) -> None:
        argv = self._argv
        if not shutil.which(argv[0]):
            self.logger(f"The PDF viewer {printable(argv[0])} is missing; xdg-open is used.", LOGLEVEL_WARN)
            argv = [DEFAULT_PDFVIEW_CMD]
        self._show(argv, pdf_file, job_title)


class X2GoPrintActionPDFSAVE(X2GoPrintAction):
    """Saves a job in the folder `save_to_folder`, which is made when it is missing; relative paths are below `~`."""

    __name__ = "PDFSAVE"
    description = "Save as PDF"

    def __init__(
        self,
        client_instance: Any = None,
        save_to_folder: str | None = None,
        logger: X2GoLogger | None = None,
        loglevel: int = LOGLEVEL_DEFAULT,
    ) -> None:
        super().__init__(client_instance, logger, loglevel)
        folder = os.path.expanduser(DEFAULT_PDFSAVE_LOCATION if save_to_folder is None else save_to_folder)
        self.save_to_folder = os.path.normpath(os.path.join(LOCAL_HOME, folder))
        try:
            os.makedirs(self.save_to_folder, mode=0o755, exist_ok=True)
        except OSError as error:
            text = f"The folder {printable(self.save_to_folder)} for print jobs cannot be made: {reason_of(error)}."
            raise X2GoPrintActionException(text) from None

    def _do_print(self, pdf_file: str, job_title: str, spool_dir: str) -> None:
        saved = copy_into(pdf_file, self.save_to_folder, job_title, ".pdf")
        self.logger(f"print action PDFSAVE: {os.path.basename(saved)} was saved", LOGLEVEL_DEBUG)


class X2GoPrintActionPRINT(X2GoPrintAction):
    """Prints a job with lpr, on `printer` or the user's default printer, and waits until lpr has taken it."""

    __name__ = "PRINT"
    description = "Print on a local printer"

    def __init__(
        self,
        client_instance: Any = None,
        printer: str | None = None,
        logger: X2GoLogger | None = None,
        loglevel: int = LOGLEVEL_DEFAULT,
    ) -> None:
        super().__init__(client_instance, logger, loglevel)
        self.printer = printer

    def _do_print(self, pdf_file: str, job_title: str, spool_dir: str) -> None:
        # a plain name, the title goes by itself: cupsd 2.4.2-3+deb12u10 crashes at names of files that are not ASCII
        copy = private_copy(pdf_file, "X2Go", ".pdf")
        try:
            # Joined to its letter, a value that begins with a dash is still a value.
            run_to_end(["lpr", "-h", *([f"-P{self.printer}"] if self.printer else []), f"-J{job_title}", copy.path])
        finally:
            copy.remove()

    def report(self, pdf_file: str, reason: str, printer: str | None = None) -> None:
        """Tells the name of the printer, too."""
        super().report(pdf_file, reason, printer or self.printer)


class X2GoPrintActionPRINTCMD(X2GoPrintAction):
    """Gives a job to a program: `print_cmd`, which may have arguments, gets the file as its last one."""

    __name__ = "PRINTCMD"
    description = "Print via a command (like lpr)"

    def __init__(
        self,
        client_instance: Any = None,
        print_cmd: str | None = None,
        logger: X2GoLogger | None = None,
        loglevel: int = LOGLEVEL_DEFAULT,
    ) -> None:
        super().__init__(client_instance, logger, loglevel)
        self.print_cmd = DEFAULT_PRINTCMD_CMD if print_cmd is None else print_cmd
        self._argv = _words(self.print_cmd, "print command")

    def _do_print(self, pdf_file: str, job_title: str, spool_dir: str) -> None:
        self._show(self._argv, pdf_file, job_title)


class X2GoPrintActionDIALOG(X2GoPrintAction):
    """Asks the client, by its HOOK_open_print_dialog, for another print action, and lets that one do it.

    Raises X2GoPrintActionException when it is made without a client.
    """

    __name__ = "DIALOG"
    description = "Open a print dialog box"

    def __init__(
        self, client_instance: Any = None, logger: X2GoLogger | None = None, loglevel: int = LOGLEVEL_DEFAULT
    ) -> None:
        if client_instance is None:
            raise X2GoPrintActionException("The print action DIALOG asks a client: give client_instance=<X2GoClient>.")
        super().__init__(client_instance, logger, loglevel)

    def _do_print(self, pdf_file: str, job_title: str, spool_dir: str) -> None:
        names = {"profile_name": self.profile_name, "session_name": self.session_name}
        chosen = self.client_instance.HOOK_open_print_dialog(**names)
        action = print_action_of(chosen, client_instance=self.client_instance, logger=self.logger) if chosen else None
        if action is None or isinstance(action, X2GoPrintActionDIALOG):
            self.logger("The print dialog chose nothing; the job is dropped.", LOGLEVEL_NOTICE)
            return
        action.profile_name, action.session_name = self.profile_name, self.session_name
        action._do_print(pdf_file, job_title, spool_dir)


PRINT_ACTIONS: dict[str, type[X2GoPrintAction]] = {
    "PDFVIEW": X2GoPrintActionPDFVIEW,
    "PDFSAVE": X2GoPrintActionPDFSAVE,
    "PRINT": X2GoPrintActionPRINT,
    "PRINTCMD": X2GoPrintActionPRINTCMD,
    "DIALOG": X2GoPrintActionDIALOG,
}


def print_action_of(print_action: object, **kwargs: Any) -> X2GoPrintAction:
    """A print action: the given instance, or one of the given class or name (`PDFVIEW`, `X2GoPrintActionPDFVIEW`).

    `kwargs` go to its constructor. Raises X2GoPrintActionException for an unknown name or an unknown argument.
    """
    if isinstance(print_action, X2GoPrintAction):
        return print_action
    if isinstance(print_action, str):
        print_action = PRINT_ACTIONS.get(print_action.removeprefix("X2GoPrintAction"), print_action)
    if not (isinstance(print_action, type) and issubclass(print_action, X2GoPrintAction)):
        text = f"There is no print action {printable(str(print_action))!r}; there are {', '.join(PRINT_ACTIONS)}."
        raise X2GoPrintActionException(text)
    try:
        inspect.signature(print_action).bind(**kwargs)
    except TypeError as error:
        raise X2GoPrintActionException(f"The print action {print_action.__name__}: {error}.") from None
    return print_action(**kwargs)
