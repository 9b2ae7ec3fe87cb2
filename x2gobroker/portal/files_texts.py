"""What the scripts for files say, in the language of the present request: `files_` and a word of files.js or of the
service (remote/files/messages.py).
"""

from __future__ import annotations

from x2gobroker.portal.languages import _


def files_texts() -> dict[str, str]:
    """The texts by the names that files.js has for them."""
    return {**_dialog(), **_states(), **_refusals()}


def _dialog() -> dict[str, str]:
    return {
        "files_home": _("Home folder"),
        "files_open": _("Open the folder {name}"),
        "files_download": _("Download {name}"),
        "files_empty": _("This folder is empty."),
        "files_more": _("Only the first {number} are shown."),
        "files_skipped": _("Not shown, as they are neither files nor folders: {number}."),
        "files_free": _("Free: {size}."),
        "files_uploading": _("Uploading {name}"),
        "files_downloading": _("Downloading {name}"),
        "files_cancel": _("Cancel"),
        "files_again": _("Try again"),
        "files_not_now": _("The desktop is not connected. Try again when it is."),
        "files_no_folders": _("Folders cannot be uploaded. Pack them into one file first."),
    }


def _states() -> dict[str, str]:
    return {
        "files_waiting": _("Waiting"),
        "files_of": _("{at} of {size}"),
        "files_finishing": _("Finishing …"),
        "files_done": _("Done"),
        "files_done_as": _("Done. There was a file of that name, so this one is called {name}."),
        "files_cancelled": _("Cancelled"),
        "files_lost": _("The connection was lost. Try again."),
        "files_lost_again": _("The connection was lost. It goes on by itself when the connection is back."),
        "files_signed_out": _("You are signed out. Sign in again and choose the file again: it goes on where it was."),
        "files_unreadable": _("Your browser cannot read this file. It may have been moved or changed."),
        "files_memory": _(
            "This file is too large for this browser window. Use a normal window instead of a private one, or another "
            "browser."
        ),
    }


def _refusals() -> dict[str, str]:
    return {
        "files_not_in": _("No files can be uploaded here."),
        "files_not_out": _("No files can be downloaded here."),
        "files_too_large": _("This file is too large."),
        "files_name": _("A file cannot have this name here. Rename it first."),
        "files_no_folder": _("This folder is not there any more, or cannot be opened."),
        "files_no_file": _("This file is not there any more."),
        "files_special": _("This is no ordinary file."),
        "files_no_right": _("You do not have permission to do that here."),
        "files_read_only": _("Nothing can be saved here: this folder is read-only."),
        "files_quota": _("Your disk quota is used up. Delete something first."),
        "files_full": _("There is not enough free disk space."),
        "files_busy": _("This file is being uploaded by another window or connection."),
        "files_changed": _("This file has changed meanwhile. Try again."),
        "files_silent": _("It took too long. Try again."),
        "files_too_many": _("There are too many files of this name here."),
        "files_failed": _("That did not work. Try again; if it goes on, tell your administrator."),
    }
