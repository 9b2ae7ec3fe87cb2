"""Where a process crosses from one account to another, or works in places that belong to somebody else.

`accounts.py` becomes another account for good, `files.py` opens files only where nobody else can swap them,
`folders.py` writes whole files into a folder of another user, and `messages.py` is the grammar of what an unprivileged
process may tell a privileged one. docs/security.md lists everything that crosses.
"""

from x2gobroker.privilege.accounts import Account, AccountError, account_named, become, ordinary_account
from x2gobroker.privilege.files import TrustError, open_trusted, read_trusted, trusted_place
from x2gobroker.privilege.folders import SafeFolder, safe_folder
from x2gobroker.privilege.messages import Flag, Form, MessageError, Number, OneOf, Text, read_message, write_message

__all__ = [
    "Account",
    "AccountError",
    "Flag",
    "Form",
    "MessageError",
    "Number",
    "OneOf",
    "SafeFolder",
    "Text",
    "TrustError",
    "account_named",
    "become",
    "open_trusted",
    "ordinary_account",
    "read_message",
    "read_trusted",
    "safe_folder",
    "trusted_place",
    "write_message",
]
