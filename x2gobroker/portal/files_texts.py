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
        "files_open": _("Open folder {name}"),
        "files_download": _("Download {name}"),
        "files_empty": _("This folder is empty."),
        "files_more": _("Only the first {number} items are shown."),
        "files_skipped": _("Items not shown because they are neither files nor folders: {number}."),
        "files_free": _("Free space: {size}."),
        "files_uploading": _("Uploading {name}"),
        "files_downloading": _("Downloading {name}"),
        "files_cancel": _("Cancel"),
        "files_again": _("Try again"),
        "files_not_now": _("The desktop is not connected. Wait until it is, then try again."),
        "files_no_folders": _("You cannot upload folders. Compress them into a ZIP file first."),
    }


def _states() -> dict[str, str]:
    return {
        "files_waiting": _("Waiting"),
        "files_of": _("{at} of {size}"),
        "files_finishing": _("Finishing…"),
        "files_done": _("Done"),
        "files_done_as": _("Done. A file with that name already exists, so this one was saved as {name}."),
        "files_cancelled": _("Cancelled"),
        "files_lost": _("The connection was lost. Try again."),
        "files_lost_again": _("The connection was lost. The transfer will continue when the connection is back."),
        "files_signed_out": _(
            "You are signed out. Sign in again, then choose the file again. Uploads continue where they stopped."
        ),
        "files_unreadable": _("Your browser cannot read this file. It may have been moved or changed."),
        "files_memory": _(
            "This file is too large for this browser window. Use a normal window instead of a private one, or use a "
            "different browser."
        ),
    }


def _refusals() -> dict[str, str]:
    return {
        "files_not_in": _("You cannot upload files here."),
        "files_not_out": _("You cannot download files here."),
        "files_too_large": _("This file is too large."),
        "files_name": _("This file name is not allowed here. Rename the file, then try again."),
        "files_no_folder": _("This folder no longer exists or cannot be opened."),
        "files_no_file": _("This file no longer exists."),
        "files_special": _("This is not a regular file and cannot be transferred."),
        "files_no_right": _("You do not have permission to do this here."),
        "files_read_only": _("You cannot save files here because this folder is read-only."),
        "files_quota": _("You have reached your disk quota. Delete some files, then try again."),
        "files_full": _("There is not enough disk space."),
        "files_busy": _("This file is already being uploaded in another window or over another connection."),
        "files_changed": _("This file was changed in the meantime. Try again."),
        "files_silent": _("The transfer took too long. Try again."),
        "files_too_many": _("There are too many files with this name here. Rename the file, then try again."),
        "files_broken": _("The download was cancelled or the connection was lost. Try again."),
        "files_failed": _("Something went wrong. Try again. If this keeps happening, contact your administrator."),
    }
