"""The file `printing` of an X2Go client: what happens to print jobs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from x2gobroker.x2go.defaults import CLIENT_ROOTDIR
from x2gobroker.x2go.errors import X2GoClientPrintingException
from x2gobroker.x2go.local.ini_files import X2GoIniFile
from x2gobroker.x2go.log import LOGLEVEL_DEFAULT, X2GoLogger
from x2gobroker.x2go.printing.actions import PRINT_ACTIONS, X2GoPrintAction, print_action_of
from x2gobroker.x2go.texts import printable

PRINTING_FILENAME = "printing"
PRINTING_CONFIGFILES = (
    os.path.join(CLIENT_ROOTDIR, PRINTING_FILENAME),
    os.path.join("/etc/x2goclient", PRINTING_FILENAME),
)
CLIENTPRINTING_DEFAULTS: Mapping[str, Mapping[str, bool | str]] = {
    "General": {"showdialog": False, "pdfview": True},
    "print": {"startcmd": False, "command": "lpr", "stdin": False, "ps": False},
    "save": {"folder": "PDF"},
    "view": {"open": True, "command": "xdg-open"},
    "CUPS": {"defaultprinter": "PDF"},
}
_PROPERTIES = {
    "pdfview_cmd": ("view", "command"),
    "save_to_folder": ("save", "folder"),
    "printer": ("CUPS", "defaultprinter"),
    "print_cmd": ("print", "command"),
}
# Of each print action: the property that its constructor takes, and what in the file chooses it.
_ARGUMENT = {"PDFVIEW": "pdfview_cmd", "PDFSAVE": "save_to_folder", "PRINT": "printer", "PRINTCMD": "print_cmd"}
_CHOICE: Mapping[str, tuple[tuple[str, str, bool], ...]] = {
    "DIALOG": (),
    "PDFVIEW": (("General", "pdfview", True), ("view", "open", True)),
    "PDFSAVE": (("General", "pdfview", True), ("view", "open", False)),
    "PRINT": (("General", "pdfview", False), ("print", "startcmd", False)),
    "PRINTCMD": (("General", "pdfview", False), ("print", "startcmd", True)),
}


class X2GoClientPrinting(X2GoIniFile):
    """The printing settings of a client, in the form that X2Go Client writes to `~/.x2goclient/printing`.

    The first of `config_files` that has a value wins; there may be a single one. Raises X2GoClientPrintingException for
    a file that cannot be read and for a wrong value, X2GoPrintActionException when the chosen print action cannot be
    made.
    """

    exception = X2GoClientPrintingException

    def __init__(
        self,
        config_files: Sequence[str] | str | None = PRINTING_CONFIGFILES,
        defaults: Mapping[str, Mapping[str, Any]] = CLIENTPRINTING_DEFAULTS,
        client_instance: Any = None,
        logger: X2GoLogger | None = None,
        loglevel: int = LOGLEVEL_DEFAULT,
    ) -> None:
        super().__init__(config_files, defaults, logger, loglevel)
        self.client_instance = client_instance
        self._print_action = self._make_print_action()

    def _chosen(self) -> str:
        if self.client_instance is not None and self.get("General", "showdialog", bool):
            return "DIALOG"
        if self.get("General", "pdfview", bool):
            return "PDFVIEW" if self.get("view", "open", bool) else "PDFSAVE"
        return "PRINTCMD" if self.get("print", "startcmd", bool) else "PRINT"

    def _make_print_action(self) -> X2GoPrintAction:
        name = self._chosen()
        argument = _ARGUMENT.get(name)
        given = {argument: self.get_property(argument)} if argument else {}
        return print_action_of(name, client_instance=self.client_instance, logger=self.logger, **given)

    @property
    def print_action(self) -> X2GoPrintAction:
        """The print action that the file chose when it was read."""
        return self._print_action

    def get_print_action(
        self, reload: bool = False, reinit: bool = False, return_name: bool = False
    ) -> X2GoPrintAction | str:
        """The chosen print action, or its name. `reload` reads the file again, `reinit` takes what was changed here."""
        if reload:
            self.load()
        if reload or reinit:
            self._print_action = self._make_print_action()
        return self._print_action.name if return_name else self._print_action

    def get_property(self, print_property: str) -> str:
        """One of pdfview_cmd, save_to_folder, printer, print_cmd. Raises X2GoClientPrintingException for another."""
        return str(self.get_value(*self._place(print_property), str))

    def set_property(self, print_property: str, value: object) -> None:
        """Change one of the same, a str, in memory. Raises X2GoClientPrintingException."""
        section, option = self._place(print_property)
        if not isinstance(value, str):
            text = f"The printing property {print_property} has to be a str, not {type(value).__name__}."
            raise X2GoClientPrintingException(text)
        self.update_value(section, option, value)

    def store_print_action(self, print_action: str, **print_properties: str) -> None:
        """Choose a print action by name and set properties, in memory; `write()` saves them.

        Raises X2GoClientPrintingException for an unknown name or property.
        """
        if print_action not in _CHOICE:
            text = f"There is no print action {printable(print_action)!r}; there are {', '.join(PRINT_ACTIONS)}."
            raise X2GoClientPrintingException(text)
        self.update_value("General", "showdialog", print_action == "DIALOG")
        for section, key, value in _CHOICE[print_action]:
            self.update_value(section, key, value)
        for name, text in print_properties.items():
            self.set_property(name, text)

    @staticmethod
    def _place(print_property: str) -> tuple[str, str]:
        if print_property not in _PROPERTIES:
            text = f"There is no printing property {printable(print_property)!r}; there are {', '.join(_PROPERTIES)}."
            raise X2GoClientPrintingException(text)
        return _PROPERTIES[print_property]
