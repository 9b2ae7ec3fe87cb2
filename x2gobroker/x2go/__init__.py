"""X2Go sessions over SSH: a library that does what an X2Go client does, with the public API of Python X2Go."""

from x2gobroker.x2go.client import X2GoClient
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.mimebox.actions import (
    X2GoMIMEboxActionOPEN,
    X2GoMIMEboxActionOPENWITH,
    X2GoMIMEboxActionSAVEAS,
)
from x2gobroker.x2go.mimebox.queue import X2GoMIMEboxQueue
from x2gobroker.x2go.printing.actions import (
    X2GoPrintActionDIALOG,
    X2GoPrintActionPDFSAVE,
    X2GoPrintActionPDFVIEW,
    X2GoPrintActionPRINT,
    X2GoPrintActionPRINTCMD,
)
from x2gobroker.x2go.printing.queue import X2GoPrintQueue
from x2gobroker.x2go.printing.settings import X2GoClientPrinting
from x2gobroker.x2go.registry import X2GoSessionRegistry
from x2gobroker.x2go.session import X2GoSession
from x2gobroker.x2go.session.progress import ProgressStatus
from x2gobroker.x2go.terminal import X2GoTerminalSession
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo, X2GoServerSessionList

__all__ = [
    "ProgressStatus",
    "X2GoClient",
    "X2GoClientPrinting",
    "X2GoControlSession",
    "X2GoMIMEboxActionOPEN",
    "X2GoMIMEboxActionOPENWITH",
    "X2GoMIMEboxActionSAVEAS",
    "X2GoMIMEboxQueue",
    "X2GoPrintActionDIALOG",
    "X2GoPrintActionPDFSAVE",
    "X2GoPrintActionPDFVIEW",
    "X2GoPrintActionPRINT",
    "X2GoPrintActionPRINTCMD",
    "X2GoPrintQueue",
    "X2GoServerSessionInfo",
    "X2GoServerSessionList",
    "X2GoSession",
    "X2GoSessionRegistry",
    "X2GoTerminalSession",
]
