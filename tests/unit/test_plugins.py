"""Plug-ins by registered name only."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import FEW
from x2gobroker import plugins
from x2gobroker.auth.base import AuthMechanism
from x2gobroker.backends.base import Backend
from x2gobroker.errors import PluginError
from x2gobroker.frontends.base import Frontend
from x2gobroker.nameservices.base import NameService
from x2gobroker.plugins import AUTH_MECHANISMS, BACKENDS, FRONTENDS, GROUPS, NAME_SERVICES, installed, load, registered

FAMILIES: tuple[tuple[str, type, set[str]], ...] = (
    (FRONTENDS, Frontend, {"plain", "json", "uccs", "pubkeys"}),
    (BACKENDS, Backend, {"zeroconf", "inifile"}),
    (AUTH_MECHANISMS, AuthMechanism, {"none", "htpasswd", "https_get", "remote_user", "pam"}),
    (NAME_SERVICES, NameService, {"libnss"}),
)


@pytest.mark.parametrize(("group", "base", "names"), FAMILIES)
def test_everything_shipped_is_registered_and_loads_as_its_family(group: str, base: type, names: set[str]) -> None:
    assert names <= set(registered(group))
    for name in registered(group):
        assert issubclass(load(group, name, base), base)


def test_installed_lists_every_group_with_package_and_class() -> None:
    found = {(plugin.group, plugin.name): plugin for plugin in installed()}
    assert {group for group, _ in found} == set(GROUPS)
    zeroconf = found[BACKENDS, "zeroconf"]
    assert zeroconf.target == "x2gobroker.backends.zeroconf:ZeroconfBackend"
    assert zeroconf.package.startswith("x2gobroker ")


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(PluginError, match='did you mean "zeroconf"'):
        load(BACKENDS, "zerocnf", Backend)  # type: ignore[type-abstract]


@FEW
@given(
    st.one_of(st.text(), st.sampled_from(["os", "..", "inifile ", "Inifile", "x2gobroker.backends.inifile", "1", "*"]))
)
def test_no_other_name_loads_anything(name: str) -> None:
    if name in registered(BACKENDS):
        return
    with pytest.raises(PluginError):
        load(BACKENDS, name, Backend)  # type: ignore[type-abstract]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_module_anywhere:X", "does not load"),
        ("x2gobroker.backends.inifile:NoSuchClass", "does not load"),
        ("x2gobroker.auth.none:NoneMechanism", "is no x2gobroker.backends.base.Backend"),
        ("x2gobroker.backends.inifile:load_profiles", "is no x2gobroker.backends.base.Backend"),
    ],
)
def test_what_does_not_load_or_is_something_else_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, target: str, message: str
) -> None:
    monkeypatch.setitem(plugins._registered, BACKENDS, {"odd": EntryPoint("odd", target, BACKENDS)})
    with pytest.raises(PluginError, match=message) as caught:
        load(BACKENDS, "odd", Backend)  # type: ignore[type-abstract]
    assert "'odd'" in str(caught.value)


def test_a_class_loaded_for_one_family_is_not_given_out_as_another() -> None:
    load(BACKENDS, "inifile", object)
    with pytest.raises(PluginError):
        load(BACKENDS, "inifile", AuthMechanism)  # type: ignore[type-abstract]
