"""Where a process crosses from one account to another, or works in places that belong to somebody else.

`accounts.py` becomes another account for good, `files.py` opens files only where nobody else can swap them,
`folders.py` writes whole files into a folder, also of another user, `places.py` says where root may work by itself and
as whom it works elsewhere, `logfiles.py` writes logs there, and `messages.py` is the grammar of what an unprivileged
process may tell a privileged one. docs/security.md lists everything that crosses.
"""

from x2gobroker.privilege.accounts import (
    Account,
    AccountError,
    account_named,
    account_numbered,
    become,
    ordinary_account,
)
from x2gobroker.privilege.files import ForeignError, MissingError, TrustError, open_trusted, read_trusted, trusted_place
from x2gobroker.privilege.folders import SafeFolder, own_folder, safe_folder
from x2gobroker.privilege.messages import Flag, Form, MessageError, Number, OneOf, Text, read_message, write_message
from x2gobroker.privilege.places import ServiceFolder, check_place, open_log, service_folder, worker_in

__all__ = [
    "Account",
    "AccountError",
    "Flag",
    "ForeignError",
    "Form",
    "MessageError",
    "MissingError",
    "Number",
    "OneOf",
    "SafeFolder",
    "ServiceFolder",
    "Text",
    "TrustError",
    "account_named",
    "account_numbered",
    "become",
    "check_place",
    "open_log",
    "open_trusted",
    "ordinary_account",
    "own_folder",
    "read_message",
    "read_trusted",
    "safe_folder",
    "service_folder",
    "trusted_place",
    "worker_in",
    "write_message",
]
