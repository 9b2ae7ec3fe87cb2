"""Entry for Apache mod_wsgi; see apache/ for VirtualHosts that use it."""

from x2gobroker.wsgi import application

__all__ = ["application"]
