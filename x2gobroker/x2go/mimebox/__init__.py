"""The MIME box of a session: files from the server that are opened here."""

from x2gobroker.x2go.mimebox.queue import X2GoMIMEboxQueue

__all__ = ["X2GoMIMEboxQueue"]
