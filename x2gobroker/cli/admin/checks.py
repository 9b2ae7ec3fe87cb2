"""What `check-config` looks for beyond the grammar of the files: what would shut out everybody, or surprise users.

One row of `CHECKS` each: what is looked at, and what is said. `find` gives the words for the text, once for each
place where something is wrong.
"""

from __future__ import annotations

import configparser
import os
import shutil
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from x2gobroker.agents.base import KEYS_FILE
from x2gobroker.agents.rules import proxy_fault
from x2gobroker.auth import tickets
from x2gobroker.auth.htpasswd import read_users
from x2gobroker.auth.preset import FORMER_FILE, read_preset_authid
from x2gobroker.authservice.pamfiles import names_module, service_exists
from x2gobroker.authservice.pamstack import DIRECTORIES, outage_is_refused
from x2gobroker.cli.admin.modes import READ, WRITE, folder_fault, may, may_read
from x2gobroker.cli.broker_account import broker_account
from x2gobroker.errors import ConfigurationError, StoreError
from x2gobroker.model.profile import SessionProfile
from x2gobroker.plugins import BACKENDS, FRONTENDS, registered
from x2gobroker.portal import languages, looks
from x2gobroker.privilege import Account
from x2gobroker.services import Services
from x2gobroker.settings import AUTH_PREFIX, BACKEND_PREFIX, ENVIRONMENT, GLOBAL, Problem, Settings
from x2gobroker.settings.text_files import TextFileError, read_text
from x2gobroker.store.database import database_url

HTPASSWD, PAM, HTTPS_GET = "htpasswd", "pam", "https_get"
TICKET_MODULES = ("pam_krb5.so", "pam_sss.so", "pam_winbind.so")
TLS_VARIABLES = ("X2GOBROKER_SSL_CERTFILE", "X2GOBROKER_SSL_KEYFILE")
LOG_VARIABLES = ("X2GOBROKER_LOGCONFIG", "X2GOBROKER_AUTHSERVICE_LOGCONFIG", "X2GOBROKER_LOADCHECKER_LOGCONFIG")
# the frontends that ship and let users in, with the options that serve them
WAYS_IN = {
    "plain": "enable-plain-output",
    "json": "enable-json-output",
    "uccs": "enable-uccs-output",
    "portal": "enable-portal",
}
NO_WAYS_IN = {"pages", "pubkeys"}
KEYS_OPTIONS = ("default-authorized-keys", "default-sshproxy-authorized-keys")

Words = tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """One thing to look at. `text` has a place for each of the words that `find` gives."""

    id: str
    text: str
    find: Callable[[Settings], Iterator[Words]]
    error: bool = True


def mechanisms(settings: Settings) -> set[str]:
    """The auth mechanisms of the backends that are served, as far as passwords or authids are asked for."""
    return {
        settings.for_backend(name, "auth-mech").lower()
        for name in registered(BACKENDS)
        if settings.backend_enabled(name) and settings.boolean(GLOBAL, "require-password")
    }


def _users_file(settings: Settings) -> Iterator[Words]:
    if HTPASSWD not in mechanisms(settings):
        return
    path = settings.path(AUTH_PREFIX + HTPASSWD, "file")
    try:
        if not read_users(path):
            yield (f"{path} has no users",)
    except ConfigurationError as error:
        yield (str(error),)


def _preset_authid(settings: Settings) -> Iterator[Words]:
    if not settings.boolean(GLOBAL, "require-cookie"):
        return
    path, services = settings.path(GLOBAL, "my-cookie-file"), Services()
    if path.exists():
        try:
            read_preset_authid(path)
        except ConfigurationError as error:
            yield (str(error),)
            return
    if not services.preset_authids.present(settings):
        state = "has none, or the placeholder that it came with" if path.exists() else "does not exist"
        yield (f"{path} {state}",)


def _old_authid(settings: Settings) -> Iterator[Words]:
    path = settings.text(GLOBAL, FORMER_FILE)
    if not path or not settings.boolean(GLOBAL, "require-cookie"):
        return
    try:
        counts = read_preset_authid(Path(path))
    except ConfigurationError as error:
        yield (str(error),)
    else:
        yield (f"{path}: the pre-shared authid of before still counts" if counts else f"{path} has none",)


def _pam_service(settings: Settings) -> Iterator[Words]:
    service = settings.text(AUTH_PREFIX + PAM, "service")
    if PAM in mechanisms(settings) and not service_exists(service):
        yield (service,)


def _outages(settings: Settings) -> Iterator[Words]:
    service = settings.text(AUTH_PREFIX + PAM, "service")
    if PAM in mechanisms(settings):
        yield from ((service, module) for module in DIRECTORIES if outage_is_refused(service, module))


def _ca_file(settings: Settings) -> Iterator[Words]:
    path = settings.text(AUTH_PREFIX + HTTPS_GET, "ca-file")
    if HTTPS_GET not in mechanisms(settings) or not path:
        return
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        yield (path, "holds no certificate in PEM form")
    except OSError as error:
        yield (path, f"cannot be read: {error.strerror}")


def _https_host(settings: Settings) -> Iterator[Words]:
    if HTTPS_GET in mechanisms(settings) and not settings.text(AUTH_PREFIX + HTTPS_GET, "host").strip():
        yield ()


def _frontends(settings: Settings) -> Iterator[Words]:
    of_others = registered(FRONTENDS).keys() - WAYS_IN.keys() - NO_WAYS_IN
    if not of_others and not any(settings.boolean(GLOBAL, option) for option in WAYS_IN.values()):
        yield (", ".join(WAYS_IN.values()),)


def _tls_files(settings: Settings) -> Iterator[Words]:
    certificate, key = (settings.environment(name) for name in TLS_VARIABLES)
    for name, path in zip(TLS_VARIABLES, (certificate, key), strict=True):
        if not path and (certificate or key):
            yield (name, "is not set; TLS needs both files")
        elif path and not os.access(path, os.R_OK):
            yield (name, f"{path} cannot be read")


def _tls_pair(settings: Settings) -> Iterator[Words]:
    certificate, key = (settings.environment(name) for name in TLS_VARIABLES)
    if not (certificate and key and os.access(certificate, os.R_OK) and os.access(key, os.R_OK)):
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError, OSError):
        yield (certificate, key)


def _log_files(settings: Settings) -> Iterator[Words]:
    for name in LOG_VARIABLES:
        path = settings.path(ENVIRONMENT, name)
        if not path.exists():
            continue
        try:
            parser = configparser.RawConfigParser()
            parser.read_string(read_text(path), str(path))
        except TextFileError as error:
            yield (name, str(error))
            continue
        except configparser.Error as error:
            yield (name, f"{path} is no INI file: {type(error).__name__}")
            continue
        missing = [section for section in ("loggers", "handlers", "formatters") if not parser.has_section(section)]
        if missing:
            yield (name, f"{path} has no section [{missing[0]}]")


def _keys_paths(settings: Settings) -> Iterator[Words]:
    for name in KEYS_OPTIONS:
        if fault := keys_path_fault(settings.text(GLOBAL, name)):
            yield (name, fault)


def keys_path_fault(path: str) -> str:
    """Why a path of authorized_keys cannot be used on servers; empty where it can."""
    if not path:
        return ""
    if path.startswith("~") or "$" in path:
        return f"{path!r}: write %h for the home folder"
    if not KEYS_FILE.fullmatch(path):
        return f"{path!r}: paths have letters, digits and @ . _ + / % - only"
    return ""


def _profiles(settings: Settings) -> Iterator[SessionProfile]:
    """The session profiles of all backends that are served."""
    services = Services()
    for backend in sorted(registered(BACKENDS)):
        if settings.backend_enabled(backend):
            yield from services.backend(backend).all_profiles(settings)


def _profile_keys_paths(settings: Settings) -> Iterator[Words]:
    for profile in _profiles(settings):
        for name in ("authorized-keys", "sshproxy-authorized-keys"):
            if fault := keys_path_fault(profile.broker_text(name)):
                yield (profile.id, f"broker-{name}", fault)


def _agent_proxies(settings: Settings) -> Iterator[Words]:
    if fault := proxy_fault(settings.text(GLOBAL, "default-agent-ssh-proxy")):
        yield ("default-agent-ssh-proxy", fault)
    for profile in _profiles(settings):
        if fault := proxy_fault(profile.broker_text("agent-ssh-proxy")):
            yield (f"session profile {profile.id}: broker-agent-ssh-proxy", fault)


def _key_and_ticket(settings: Settings) -> Iterator[Words]:
    """Profiles that have clients log in by Kerberos, and by a key as well."""
    by_default = settings.boolean(GLOBAL, "default-session-autologin")
    for profile in _profiles(settings):
        if not is_on(profile.options.get("krblogin")):
            continue
        if profile.broker_flag("session-autologin", by_default):
            yield (profile.id, "broker-session-autologin")
        elif is_on(profile.options.get("autologin")):
            yield (profile.id, "autologin")


def is_on(value: object) -> bool:
    """Whether clients take an option of a profile for a yes, as Qt does with texts."""
    return str(value or "").lower() not in ("", "false", "0")


def _tickets(settings: Settings) -> Iterator[Words]:
    """What keeps tickets from desktops, where they are to have some."""
    if not tickets.are_kept(settings):
        return
    backend = settings.text(GLOBAL, "portal-backend") or settings.environment("X2GOBROKER_DEFAULT_BACKEND")
    mechanism = settings.for_backend(backend, "auth-mech").lower()
    if mechanism != PAM:
        yield (f"the portal's auth mechanism is {mechanism}, and tickets come by pam",)
        return
    service = settings.text(AUTH_PREFIX + PAM, "service")
    if service_exists(service) and not any(names_module(service, module) for module in TICKET_MODULES):
        yield (f"the PAM service {service} names none of {', '.join(TICKET_MODULES)}",)


def _own_server(settings: Settings) -> Iterator[Words]:
    """Profiles that lead to this very host, as the sample's, where there is nothing to lead to."""
    if shutil.which("x2golistsessions"):
        return
    for profile in _profiles(settings):
        is_here = all(is_loopback(host.address or host.name) for host in profile.hosts)
        another_way = profile.options.get("usesshproxy") or profile.options.get("directrdp")
        if profile.hosts and is_here and not another_way:
            yield (profile.id, profile.hosts[0].name)


def is_loopback(name: str) -> bool:
    """Whether a name or an address is always the host itself."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name.lower().rstrip(".") == "localhost"


def _broker_account(settings: Settings) -> Account | None:
    """The account that the broker runs as; None where there is none of these names, or this process cannot tell."""
    if os.geteuid() != 0:
        return None
    try:
        return broker_account(settings)
    except ConfigurationError:
        return None


def _unreadable(settings: Settings) -> Iterator[Words]:
    """Files that root can read and the broker's account cannot; who is not root cannot tell."""
    account = _broker_account(settings)
    if account is None:
        return
    for path in _files_of_the_broker(settings):
        if path.is_file() and not may_read(account, path):
            yield (str(path), account.name)


def _files_of_the_broker(settings: Settings) -> Iterator[Path]:
    yield settings.path(ENVIRONMENT, "X2GOBROKER_CONFIG")
    if settings.backend_enabled("inifile"):
        yield settings.path(BACKEND_PREFIX + "inifile", "session-profiles")
    if HTPASSWD in mechanisms(settings):
        yield settings.path(AUTH_PREFIX + HTPASSWD, "file")
    if settings.boolean(GLOBAL, "require-cookie"):
        yield settings.path(GLOBAL, "my-cookie-file")
    if settings.boolean(GLOBAL, "enable-portal") and settings.text(GLOBAL, looks.LOGO):
        yield settings.path(GLOBAL, looks.LOGO)
    if HTTPS_GET in mechanisms(settings) and settings.text(AUTH_PREFIX + HTTPS_GET, "ca-file"):
        yield settings.path(AUTH_PREFIX + HTTPS_GET, "ca-file")


def _state_folder(settings: Settings) -> Iterator[Words]:
    """Where the broker's account cannot keep the state store; who is not root cannot tell."""
    account = _broker_account(settings)
    if account is None:
        return
    try:
        url = database_url(settings)
    except StoreError:
        return  # said elsewhere
    path = Path(url.database or "")
    if url.get_backend_name() != "sqlite" or not path.is_absolute():
        return
    if fault := folder_fault(account, path.parent):
        yield (str(path.parent), fault)
    elif path.is_file() and not may(account, path, READ | WRITE):
        yield (str(path), f"cannot be read and written by {account.name}")


def _languages(settings: Settings) -> Iterator[Words]:
    if settings.boolean(GLOBAL, "enable-portal"):
        yield from ((fault,) for fault in languages.faults())


def _of_the_looks(find: Callable[[Settings], Iterator[str]]) -> Callable[[Settings], Iterator[Words]]:
    """A check of what the portal's pages look like, where there is a portal."""

    def found(settings: Settings) -> Iterator[Words]:
        if settings.boolean(GLOBAL, "enable-portal"):
            yield from ((fault,) for fault in find(settings))

    return found


CHECKS = (
    Check("users-file", "[authmech_htpasswd] file: {}: nobody can log in by a password", _users_file),
    Check(
        "preset-authid", "require-cookie is on, and my-cookie-file: {}: nobody gets in at first contact", _preset_authid
    ),
    Check("old-authid", f"{FORMER_FILE}: {{}}", _old_authid, error=False),
    Check("pam-service", "[authmech_pam] service: there is no file {} in /etc/pam.d: nobody can log in", _pam_service),
    Check(
        "outages",
        "[authmech_pam] service: {}: while nobody answers {}, right passwords count as wrong; the how-to on "
        "authentication says what to write instead",
        _outages,
        error=False,
    ),
    Check("ca-file", "[authmech_https_get] ca-file: {} {}: nobody can log in", _ca_file),
    Check("https-host", "[authmech_https_get] host: names no web server: nobody can log in", _https_host),
    Check("frontends", "none of {} is on: nobody can log in by HTTP", _frontends, error=False),
    Check("tls-files", "{}: {}: the daemon does not start", _tls_files),
    Check("tls-pair", "{} and {} are no certificate and its key in PEM form: the daemon does not start", _tls_pair),
    Check("languages", "enable-portal is on, and {}: the portal is not served", _languages),
    Check("logo", "portal-logo: {}: pages have none", _of_the_looks(looks.logo_faults)),
    Check("colour", "portal-colour: {}", _of_the_looks(looks.colour_faults), error=False),
    Check("announcement", "{}", _of_the_looks(looks.announcement_faults), error=False),
    Check("log-files", "{}: {}: all goes to the standard error stream", _log_files, error=False),
    Check("keys-paths", "{}: {}", _keys_paths),
    Check("profile-keys-paths", "session profile {}: {}: {}", _profile_keys_paths),
    Check("agent-proxies", "{}: {}: broker agents are not reached", _agent_proxies),
    Check(
        "krblogin-autologin",
        "session profile {}: krblogin is set together with {}: who logs in by a key has no Kerberos ticket on the "
        "server, and a home folder by NFS with Kerberos or AFS does not open; turn one of the two off",
        _key_and_ticket,
        error=False,
    ),
    Check("tickets", "portal-kerberos-tickets is on, and {}: desktops get no ticket", _tickets, error=False),
    Check(
        "own-server",
        "session profile {}: host = {} is this host, and no X2Go Server is installed on it: write the name of yours",
        _own_server,
        error=False,
    ),
    Check("unreadable", "{} cannot be read by the broker's user {}; mend owner, group or mode", _unreadable),
    Check(
        "state-folder",
        "cookie-directory or database-url: {} {}, the broker's user: nobody can log in; mend owner, group or mode",
        _state_folder,
    ),
)


def check_problems(settings: Settings) -> list[Problem]:
    """What the checks find."""
    config = settings.environment("X2GOBROKER_CONFIG")
    return [
        Problem(config, 0, check.text.format(*words), check.error) for check in CHECKS for words in check.find(settings)
    ]
