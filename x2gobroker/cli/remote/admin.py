"""`x2gobroker remote`: sets desktops in the browser up, and tells web servers about them."""

from __future__ import annotations

import argparse
import sys

from x2gobroker.cli.common import add_config_options, check_usable, source_of
from x2gobroker.cli.remote import proxy as remote_proxy
from x2gobroker.cli.remote import setup as remote_setup
from x2gobroker.cli.remote.web import Site, apache_config, haproxy_config, nginx_config, remarks
from x2gobroker.errors import ConfigurationError


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "remote",
        help="set up desktops in the browser, and the web server in front of them",
        description="Sets up desktops in the browser: the portal, and the service x2gobroker-remote.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    remote_setup.add_to(actions)
    printing = actions.add_parser(
        "print-config",
        help="print the configuration that Apache, nginx or HAProxy needs",
        description="Prints the configuration that the web server needs with the current settings. For Apache, it is "
        "a file to include in the VirtualHost of the broker; for nginx, it is a whole server; for HAProxy, a frontend "
        "with its backends. Standard error says what else you have to set. To try it, run x2gobroker remote "
        "check-proxy.",
    )
    add_config_options(printing)
    printing.add_argument("server", choices=("apache", "nginx", "haproxy"), help="the web server")
    apache = printing.add_argument_group("Apache")
    apache.add_argument(
        "--path",
        help="the path of the broker, where Apache runs it with mod_wsgi below a path, such as /x2gobroker (default: "
        "daemon-path)",
    )
    usual = Site()
    nginx = printing.add_argument_group("nginx and HAProxy")
    nginx.add_argument("--host", default=usual.host, help="the name that browsers ask for (default: %(default)s)")
    nginx.add_argument(
        "--listen",
        action="append",
        metavar="[ADDRESS:]PORT",
        help="where it listens (default: port 443 on all addresses)",
    )
    nginx.add_argument("--certificate", default=usual.certificate, metavar="FILE", help="certificate, in PEM form")
    nginx.add_argument("--key", default=usual.key, metavar="FILE", help="its private key, in PEM form")
    nginx.add_argument("--log", default=usual.log, metavar="FILE", help="access log (default: %(default)s)")
    printing.set_defaults(run=run_print_config)
    remote_proxy.add_to(actions)


def run_print_config(options: argparse.Namespace) -> int:
    """Print the configuration of a web server. Raises ConfigurationError."""
    settings = check_usable(source_of(options))
    if options.server == "apache":
        below = None if options.path is None else f"/{options.path.strip('/')}".rstrip("/")
        text = apache_config(settings, below)
    elif options.path is not None:
        raise ConfigurationError(
            f"--path is for Apache with mod_wsgi; for {options.server}, set daemon-path in x2gobroker.conf"
        )
    else:
        listen = options.listen or Site.listen
        site = Site(options.host, options.certificate, options.key, listen, options.log)
        text = (nginx_config if options.server == "nginx" else haproxy_config)(settings, site)
    print(text, end="")
    for remark in remarks(settings, options.server):
        print(f"note: {remark}", file=sys.stderr)
    return 0
