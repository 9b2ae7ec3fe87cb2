"""The door of the daemon: connections, until a request is whole; and answers, until the client has taken them.

One thread looks after all connections, and never waits for one of them. Whatever a client may take its time for (the
TLS handshake, the header, the body, reading the answer) happens here, with an absolute deadline each; a thread of the
broker is given a request that is whole, and gives back an answer that is whole.
"""

from x2gobroker.gate.connection import Connection
from x2gobroker.gate.door import Door
from x2gobroker.gate.limits import Limits
from x2gobroker.gate.tls import FixedTls, Tls, TlsContext, make_context

__all__ = ["Connection", "Door", "FixedTls", "Limits", "Tls", "TlsContext", "make_context"]
