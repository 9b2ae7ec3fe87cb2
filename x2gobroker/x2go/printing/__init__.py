"""Print jobs of a session: the queue, what is done with a job, and the settings of it."""

from x2gobroker.x2go.printing.queue import X2GoPrintQueue

__all__ = ["X2GoPrintQueue"]
