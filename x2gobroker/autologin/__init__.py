"""Autologin: short-lived keys on X2Go Servers, so that a client logs in there without a password."""

from x2gobroker.autologin.keys import Autologin, Grant
from x2gobroker.autologin.stock import KeyStock
from x2gobroker.autologin.sweep import Sweep

__all__ = ["Autologin", "Grant", "KeyStock", "Sweep"]
