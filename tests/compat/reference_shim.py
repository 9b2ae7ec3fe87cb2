"""What the reference's own tests import, answered by our broker: over HTTP, and by its parts where no client sees what
a test looks at.

Each test has brokers of its own, on ports of this host, asked as a web server in front of them asks that passes
requests on: with the client's address in X-Forwarded-For.

The modules are put beside our package's, under the names that the reference has for its own. `base`, the reference's
backend without profiles, is `inifile` with an empty file here.
"""

from __future__ import annotations

import configparser
import functools
import getpass
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_address
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import requests

import x2gobroker
from tests.support.daemon_thread import DaemonThread
from x2gobroker.app import create_app
from x2gobroker.auth.base import AuthMechanism, Credentials, Outcome, Verdict
from x2gobroker.backends.inifile import DEFAULT_SECTION
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.options import Kind, Value, parse_list
from x2gobroker.model.profile import Defaults
from x2gobroker.model.profile_options import ACL_OPTIONS, ACL_PREFIX
from x2gobroker.nameservices.base import NameService
from x2gobroker.scheduling import probe
from x2gobroker.services import Services
from x2gobroker.settings import SettingsSource, read_ini

ASK_REFERENCE = """
import json, x2gobroker.defaults as d
from x2gobroker.nameservices.testsuite_nameservice import X2GoBrokerNameService
names = X2GoBrokerNameService()
print(json.dumps({
    "profile": d.X2GOBROKER_SESSIONPROFILE_DEFAULTS,
    "groups": {group: names.get_group_members(group) for group in names.get_groups()},
}))
"""
PASSWORDS = {"test": "sweet", "jacques": "thérèse"}
ASK_SECONDS = 60.0
SECTIONS = {"broker_base": "broker_inifile", "inifile": "broker_inifile", "zeroconf": "broker_zeroconf"}


def _from_reference() -> dict[str, Any]:
    done = subprocess.run(
        ["/usr/bin/python3", "-c", ASK_REFERENCE], capture_output=True, text=True, check=True, cwd="/"
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


FOUND = _from_reference()
GROUPS: dict[str, list[str]] = FOUND["groups"]


class TestsuiteNames(NameService):
    """The users and groups that the reference has for its tests."""

    def _has_user(self, user: str) -> bool:
        return user in GROUPS

    def _groups(self, user: str, primary: bool) -> frozenset[str]:
        mine = {group for group, members in GROUPS.items() if user in members}
        return frozenset(mine | {user} if primary and user in GROUPS else mine)


class TestsuitePasswords(AuthMechanism):
    """The passwords that the reference has for its tests."""

    def _check(self, settings: Any, credentials: Credentials) -> Verdict:
        right = PASSWORDS.get(credentials.user) == credentials.password
        return Verdict(Outcome.GRANTED if right else Outcome.REFUSED, credentials.user, "testsuite")


class Site:
    """Our application with the files of one test."""

    def __init__(
        self, backend: str, config: str, profiles: str, auth: str = "none", enabled: bool | None = None
    ) -> None:
        enabled = backend != "base" if enabled is None else enabled
        self.backend = "inifile" if backend == "base" else backend
        self.folder = Path(tempfile.mkdtemp(prefix="reference-tests-", dir=os.environ["REFERENCE_TESTS_FOLDER"]))
        file = configparser.RawConfigParser()
        file.read_string(config)
        ours = configparser.RawConfigParser()
        for section in file.sections():
            ours[SECTIONS.get(section, section)] = dict(file.items(section))
        for section, name, value in (
            ("global", "cookie-directory", str(self.folder)),
            ("global", "default-auth-mech", auth),
            ("global", "trusted-proxies", "127.0.0.1"),
            ("global", "reservation-seconds", "0"),  # the reference has none: it takes servers at random
            (f"broker_{self.backend}", "enable", "true" if enabled else "false"),
        ):
            if not ours.has_section(section):
                ours.add_section(section)
            if not ours.has_option(section, name):
                ours.set(section, name, value)
        with (self.folder / "x2gobroker.conf").open("w") as stream:
            ours.write(stream)
        self.profiles = self.folder / "profiles.conf"
        self.profiles.write_text(profiles)
        self.source = SettingsSource(
            {
                "X2GOBROKER_CONFIG": str(self.folder / "x2gobroker.conf"),
                "X2GOBROKER_SESSIONPROFILES": str(self.profiles),
                "X2GOBROKER_DEFAULTS": "/nonexistent",
                "X2GOBROKER_DEBUG": "1",
            }
        )
        self._served: DaemonThread | None = None
        self._client = requests.Session()
        self._client.trust_env = False  # no proxy of this machine
        OPENED.append(self)

    @property
    def settings(self) -> Any:
        """The settings as of now."""
        return self.source.current()

    def send(self, method: str, path: str, address: str = "127.0.0.1", **more: Any) -> requests.Response:
        """The answer to a client at this address; the broker is started for the first one."""
        if self._served is None:
            self._served = DaemonThread(create_app(source=self.source), self.source)
        url = f"http://127.0.0.1:{self._served.port}{path}"
        headers = {"X-Forwarded-For": address}
        return self._client.request(method, url, headers=headers, timeout=ASK_SECONDS, allow_redirects=False, **more)

    def ask(self, address: str = "127.0.0.1", **fields: str) -> dict[str, Any]:
        """The answer of `/json/` to a POST."""
        answer = self.send("POST", f"/json/{self.backend}/", address, data=fields)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def close(self) -> None:
        """End the broker."""
        self._client.close()
        if self._served is not None:
            self._served.close()


OPENED: list[Site] = []


def _listed(value: Value) -> Any:
    return list(value) if isinstance(value, tuple) else value


class X2GoBroker:
    """A backend as the reference's tests make and ask it."""

    backend_name = "base"

    def __init__(
        self,
        config_file: str | None = None,
        config_defaults: dict[str, Any] | None = None,
        profile_config_file: str | None = None,
    ) -> None:
        config = Path(config_file).read_text() if config_file else ""
        profiles = Path(profile_config_file).read_text() if profile_config_file else ""
        enabled = self.backend_name != "base" or "broker_base" in (config_defaults or {})
        self.site = Site(self.backend_name, config, profiles, enabled=enabled)
        self._address = "127.0.0.1"

    def _for_backend(self, name: str) -> str:
        return str(self.site.settings.for_backend(self.site.backend, name))

    def is_enabled(self) -> bool:
        return bool(self.site.settings.backend_enabled(self.site.backend))

    def get_authentication_mechanism(self) -> str:
        return self._for_backend("auth-mech")

    def get_userdb_service(self) -> str:
        return self._for_backend("user-db")

    def get_groupdb_service(self) -> str:
        return self._for_backend("group-db")

    def get_my_cookie(self) -> str | None:
        return Services().preset_authids.present(self.site.settings) or None

    def check_access(self) -> tuple[bool, None]:
        return self.site.ask(task="listsessions")["auth-status"] == "Access granted", None

    def get_profile_defaults(self) -> dict[str, Any]:
        texts = read_ini(self.site.profiles).sections.get(DEFAULT_SECTION, {})
        return {name: _listed(value) for name, value in Defaults(texts, lambda _name, _text: None).values.items()}

    def get_acl_defaults(self) -> dict[str, Any]:
        return {option.name: _listed(option.default) for option in ACL_OPTIONS}

    def set_client_address(self, address: str) -> None:
        self._address = str(ip_address(address))

    def get_client_address(self) -> str:
        return self._address

    def get_client_address_type(self) -> int:
        return ip_address(self._address).version

    @functools.cached_property
    def _for_rules(self) -> Site:
        config = (self.site.folder / "x2gobroker.conf").read_text()
        if "group-db" not in config:
            config = config.replace("[global]", "[global]\ndefault-group-db = testsuite")
        return Site("inifile", config, "")

    def check_profile_acls(self, user: str, acls: dict[str, Any]) -> bool:
        lines = [f"{name} = {', '.join(value) if isinstance(value, list) else value}" for name, value in acls.items()]
        site = self._for_rules
        # the same file: that it changed is seen by its inode, too
        fresh = site.profiles.with_suffix(".new")
        fresh.write_text("\n".join(["[p]", *lines]) + "\n")
        fresh.replace(site.profiles)
        return "p" in site.ask(self._address, task="listprofiles", user=user)["profiles"]

    # --- session profiles

    def _profiles(self) -> dict[str, Any]:
        site = self.site
        backend = Services().backend(site.backend)
        return {profile.id: profile for profile in backend.all_profiles(site.settings)}

    def get_profile_ids(self) -> list[str]:
        return list(self._profiles())

    def get_profile(self, profile_id: str) -> dict[str, Any]:
        profile = self._profiles()[profile_id]
        found = {name: _listed(value) for name, value in profile.options.items()}
        for host in profile.hosts:
            if host.address or host.port:
                found[f"host={host.name}"] = host.target
            if host.port:
                found[f"sshport={host.name}"] = host.port
        return found

    def get_profile_acls(self, profile_id: str) -> dict[str, Any]:
        sections = read_ini(self.site.profiles).sections
        texts = {"acl-any-order": "deny-allow", **sections.get(DEFAULT_SECTION, {}), **sections[profile_id]}
        kinds = {option.name: option.kind for option in ACL_OPTIONS}
        return {
            name: list(parse_list(text)) if kinds[name] is Kind.LIST else text
            for name, text in texts.items()
            if name.startswith(ACL_PREFIX)
        }

    def list_profiles(self, user: str) -> dict[str, Any]:
        found: dict[str, Any] = self.site.ask(self._address, task="listprofiles", user=user)["profiles"]
        return found

    def select_session(self, profile_id: str, username: str | None = None) -> dict[str, Any]:
        asked = {"task": "selectsession", "sid": profile_id, "user": username or "foo"}
        found: dict[str, Any] = self.site.ask(self._address, **asked)["selected_session"]
        return {**found, "port": int(found["port"])}


class InifileBroker(X2GoBroker):
    backend_name = "inifile"


class ZeroconfBroker(X2GoBroker):
    backend_name = "zeroconf"


class WebTest:
    """`paste.fixture.TestApp` for the application that the reference would have with its configuration of now."""

    def __init__(self, _application: object) -> None:
        pass

    def get(
        self, path: str, params: dict[str, str] | None = None, headers: Any = None, expect_errors: bool = False
    ) -> Any:
        backend = path.strip("/").split("/")[1]
        config = defaults.X2GOBROKER_CONFIG
        site = Site(backend, Path(config).read_text() if config else "", "", auth="testsuite")
        answer = site.send("GET", path.replace("/base", "/inifile"), params=params or {})
        return SimpleNamespace(
            status=answer.status_code, normal_body=answer.content, mustcontain=_contains(answer.text)
        )


def _contains(text: str) -> Callable[..., None]:
    def mustcontain(*words: str, no: str = "") -> None:
        assert all(word in text for word in words), text
        assert not no or no not in text, text

    return mustcontain


class PlainClient:
    """What the reference's program for brokers over SSH asks for a user of this host."""

    def get(self, args: Any) -> str | None:
        site = Site(args.backend, Path(defaults.X2GOBROKER_CONFIG).read_text(), "")
        user = args.user or getpass.getuser()
        answer = site.send("POST", f"/plain/{site.backend}/", data={"task": args.task or "", "user": user})
        return None if answer.status_code == 404 else answer.text


def _try_all(
    targets: Iterable[Endpoint],
    deadline: float,
    hopeless: Collection[Endpoint] = (),
    untried: set[Endpoint] | None = None,
) -> set[Endpoint]:
    return {target for target in targets if any(utils.portscan(way, port=target.port) for way in target.ways)}


def _equal(one: object, other: object) -> None:
    assert one == other, f"{one!r} != {other!r}"


def _true(value: object) -> None:
    assert value


def _false(value: object) -> None:
    assert not value


def _is_up(_address: str, port: int = 22) -> bool:
    return port > 0


defaults = SimpleNamespace(
    X2GOBROKER_CONFIG="",
    X2GOBROKER_CONFIG_DEFAULTS={},
    X2GOBROKER_SESSIONPROFILE_DEFAULTS=FOUND["profile"],
)
utils = SimpleNamespace(portscan=_is_up)


def reset() -> None:
    """No broker runs, and what tests change for themselves is as at the start."""
    while OPENED:
        OPENED.pop().close()
    defaults.X2GOBROKER_CONFIG = ""
    utils.portscan = _is_up


def install() -> None:
    """Put the modules where the reference's tests import them from, and our broker behind them."""
    modules: dict[str, dict[str, Any]] = {
        "x2gobroker.defaults": vars(defaults),
        "x2gobroker.utils": vars(utils),
        "x2gobroker.brokers": {},
        "x2gobroker.brokers.base_broker": {"X2GoBroker": X2GoBroker},
        "x2gobroker.brokers.inifile_broker": {"X2GoBroker": InifileBroker},
        "x2gobroker.brokers.zeroconf_broker": {"X2GoBroker": ZeroconfBroker},
        "x2gobroker.web": {},
        "x2gobroker.web.plain": {"X2GoBrokerWeb": object},
        "x2gobroker.client": {},
        "x2gobroker.client.plain": {"X2GoBrokerClient": PlainClient},
        "paste": {},
        "paste.fixture": {"TestApp": WebTest},
        "nose": {},
        "nose.tools": {"assert_equal": _equal, "assert_true": _true, "assert_false": _false},
        "tornado": {},
        "tornado.wsgi": {"WSGIApplication": lambda urls: urls},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        sys.modules[name] = module
        parent, _, last = name.rpartition(".")
        if parent == "x2gobroker":
            setattr(x2gobroker, last, module)
        elif parent:
            setattr(sys.modules[parent], last, module)
    globals()["defaults"] = sys.modules["x2gobroker.defaults"]
    globals()["utils"] = sys.modules["x2gobroker.utils"]
    probe.try_all = _try_all
    known_names, known_mechanisms = Services.name_service, Services.mechanism

    def name_service(self: Services, name: str) -> NameService:
        return TestsuiteNames() if name == "testsuite" else known_names(self, name)

    def mechanism(self: Services, name: str) -> AuthMechanism:
        return TestsuitePasswords(name) if name == "testsuite" else known_mechanisms(self, name)

    Services.name_service, Services.mechanism = name_service, mechanism  # type: ignore[method-assign]
