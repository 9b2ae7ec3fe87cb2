"""What Apache, nginx and HAProxy have to be told for the portal: websockets go to `x2gobroker-remote`.

Facts: mod_proxy_http carries websockets by `upgrade=websocket`, from Apache 2.4.47 on; nginx's page "WebSocket
proxying"; HAProxy's `timeout tunnel` is for connections that were upgraded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from x2gobroker.cli.daemon.program import parse_bind
from x2gobroker.errors import ConfigurationError
from x2gobroker.frontends.asked import path_in_front
from x2gobroker.model.penalty import is_within
from x2gobroker.settings import GLOBAL, Settings

SERVED_PATH = "/websockify"
# the service sends a ping every 20 seconds, so this is for a service that is gone
QUIET_SECONDS = 3600
LOGIN_SECONDS = 90
SAFE = re.compile(r"[A-Za-z0-9_./:@%+,*\[\]-]+")
APACHE_NEEDED = "proxy proxy_http"

APACHE = """\
# Desktops in the browser: websockets go to x2gobroker-remote; all else stays with the broker.
# Written by: x2gobroker remote print-config apache
# It belongs into the VirtualHost of the broker, before any other ProxyPass, and needs: a2enmod {needed}
<IfModule !proxy_http_module>
    Error "x2gobroker: desktops in the browser need a2enmod {needed}"
</IfModule>
{tls}<Location "{path}">
    # the page's host name and port, with which the service compares the page's origin
    ProxyPreserveHost On
</Location>
ProxyPass "{path}" "{target}" upgrade=websocket timeout={quiet} disablereuse=on
"""

NGINX = """\
# X2Go Session Broker with desktops in the browser, a file such as /etc/nginx/sites-available/x2gobroker.
# Written by: x2gobroker remote print-config nginx

# the path alone: what stands behind it is nothing for a log
log_format x2gobroker '$remote_addr [$time_local] "$request_method $uri $server_protocol" $status $body_bytes_sent';

server {{
{listen}
    server_name {host};
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_tickets off;
    add_header Strict-Transport-Security "max-age=31536000" always;
    access_log {log} x2gobroker;

    # the broker, x2gobroker-daemon
    location {root} {{
        proxy_pass {broker};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host "";
        proxy_read_timeout {login}s;
        client_max_body_size 1m;
    }}

    # the desktops, x2gobroker-remote
    location = {path} {{
        proxy_pass {target};
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Host "";
        proxy_read_timeout {quiet}s;
        proxy_send_timeout {quiet}s;
        proxy_buffering off;
        # files in plain requests: of any size, and as they come
        client_max_body_size 0;
        proxy_request_buffering off;
    }}
}}
"""


HAPROXY = """\
# X2Go Session Broker with desktops in the browser, for /etc/haproxy/haproxy.cfg, behind global and defaults.
# Written by: x2gobroker remote print-config haproxy
# {certificate} has the certificate, its chain and the secret key, in one file.

frontend x2gobroker
    mode http
{listen}
    timeout client {login}s
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https
    http-request del-header X-Forwarded-Host
    http-response set-header Strict-Transport-Security max-age=31536000
    use_backend x2gobroker_remote if {{ path {path} }}
    default_backend x2gobroker

# the broker, x2gobroker-daemon
backend x2gobroker
    mode http
    timeout connect 5s
    timeout server {login}s
    server broker {broker}

# the desktops, x2gobroker-remote
backend x2gobroker_remote
    mode http
    timeout connect 5s
    timeout server {login}s
    timeout tunnel {quiet}s
{rewrite}    server remote {target}
"""


@dataclass(frozen=True)
class Site:
    """What nginx and HAProxy have to know beside the settings. `listen`: `[ADDRESS:]PORT`, without TLS."""

    host: str = "broker.example.org"
    certificate: str = "/etc/ssl/certs/broker.example.org.pem"
    key: str = "/etc/ssl/private/broker.example.org.key"
    listen: Sequence[str] = ("443", "[::]:443")
    log: str = "/var/log/nginx/x2gobroker-access.log"


def apache_config(settings: Settings, below: str | None = None) -> str:
    """What stands beside the broker. `below`: its path, where Apache itself runs it below one; None: `daemon-path`.

    Raises ConfigurationError for what Apache could not be told.
    """
    place, scheme = settings.text(GLOBAL, "remote-listen"), _scheme(settings)
    if place.startswith("/"):
        target = f"unix:{_safe(place)}|{scheme}://localhost{SERVED_PATH}"
    else:
        target = f"{scheme}://{reachable(place)}{SERVED_PATH}"
    tls = "SSLProxyEngine On\n" if scheme == "https" else ""
    path = browser_path(settings, below)
    return APACHE.format(needed=APACHE_NEEDED, tls=tls, path=path, target=target, quiet=QUIET_SECONDS)


def nginx_config(settings: Settings, site: Site) -> str:
    """A whole server of nginx. Raises ConfigurationError for what nginx could not be told."""
    place, scheme = settings.text(GLOBAL, "remote-listen"), _scheme(settings)
    target = f"{scheme}://unix:{_safe(place)}:" if place.startswith("/") else f"{scheme}://{reachable(place)}"
    bind = reachable(parse_bind(settings.environment("DAEMON_BIND_ADDRESS")))
    broker = f"{'https' if settings.environment('X2GOBROKER_SSL_CERTFILE') else 'http'}://{bind}"
    return NGINX.format(
        listen="\n".join(f"    listen {_safe(place)} ssl;" for place in site.listen),
        host=_safe(site.host),
        certificate=_safe(site.certificate),
        key=_safe(site.key),
        log=_safe(site.log),
        broker=broker,
        root=_safe(f"{path_in_front(settings)}/"),
        path=browser_path(settings),
        target=target + SERVED_PATH,
        login=LOGIN_SECONDS,
        quiet=QUIET_SECONDS,
    )


def haproxy_config(settings: Settings, site: Site) -> str:
    """A frontend of HAProxy with its backends. Raises ConfigurationError for what HAProxy could not be told."""
    place = settings.text(GLOBAL, "remote-listen")
    tls = " ssl verify none" if _scheme(settings) == "https" else ""  # on this host: nobody is on the way
    bind = reachable(parse_bind(settings.environment("DAEMON_BIND_ADDRESS")))
    broker_tls = " ssl verify none" if settings.environment("X2GOBROKER_SSL_CERTFILE") else ""
    certificate, path = _safe(site.certificate), browser_path(settings)
    listen = [text if ":" in text else f":{text}" for text in site.listen]
    rewrite = "" if path == SERVED_PATH else f"    http-request set-path {SERVED_PATH}\n"
    return HAPROXY.format(
        listen="\n".join(f"    bind {_safe(text)} ssl crt {certificate} alpn http/1.1" for text in listen),
        certificate=certificate,
        broker=bind + broker_tls,
        path=path,
        target=(f"unix@{_safe(place)}" if place.startswith("/") else reachable(place)) + tls,
        login=LOGIN_SECONDS,
        quiet=QUIET_SECONDS,
        rewrite=rewrite,
    )


def reachable(place: str) -> str:
    """`address:port` as a program on this host connects to it. Raises ConfigurationError for what is none."""
    address, _, port = place.rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigurationError(f"remote-listen: {place!r} is neither address:port nor the path of a socket")
    address = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(address, address)  # noqa: S104 - compared
    return _safe(f"{address}:{port}")


def browser_path(settings: Settings, below: str | None = None) -> str:
    """The path that browsers open: that of `remote-websocket-url`, or the usual one, which is below the broker's own.

    `below`: the broker's own path; None: `daemon-path`.
    """
    usual = (path_in_front(settings) if below is None else below) + SERVED_PATH
    return _safe(urlsplit(settings.text(GLOBAL, "remote-websocket-url")).path or usual)


def remarks(settings: Settings, server: str) -> list[str]:
    """What else has to be set for this web server."""
    found = []
    proxies = settings.value(GLOBAL, "trusted-proxies")
    if server != "apache" and not (isinstance(proxies, tuple) and is_within("127.0.0.1", proxies)):
        found.append(
            "set trusted-proxies = 127.0.0.1, ::1 in [global] of x2gobroker.conf, or all users have the address of "
            "the web server, and no desktop opens"
        )
    proxies = settings.value(GLOBAL, "remote-proxies")
    place = settings.text(GLOBAL, "remote-listen")
    if not place.startswith("/") and not (isinstance(proxies, tuple) and is_within("127.0.0.1", proxies)):
        found.append("remote-proxies has no 127.0.0.1: add the address of the web server, or no desktop opens")
    if not settings.boolean(GLOBAL, "enable-portal"):
        found.append("the portal is off: x2gobroker remote setup turns it on")
    if not settings.text(GLOBAL, "remote-session-config"):
        found.append("there are no session types yet: x2gobroker remote setup asks for their file")
    return found


def _scheme(settings: Settings) -> str:
    return "https" if settings.text(GLOBAL, "remote-tls-certificate") else "http"


def _safe(text: str) -> str:
    """The text, where it can stand in a configuration as it is; else ConfigurationError."""
    if not SAFE.fullmatch(text):
        raise ConfigurationError(
            f"{text!r} cannot stand in a web server's configuration; use letters, digits and . - _ only"
        )
    return text
