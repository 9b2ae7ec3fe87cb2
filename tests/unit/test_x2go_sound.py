"""Sound of a session where there is nobody to play it to."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from x2gobroker.x2go.control import X2GoControlSession as ControlSessions
from x2gobroker.x2go.errors import X2GoException, X2GoRevFwTunnelException
from x2gobroker.x2go.sound import playing as module
from x2gobroker.x2go.sound.playing import Sound
from x2gobroker.x2go.sound.pulse import Address
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo


class Unconnected:
    """A control session without a connection."""

    def get_transport(self) -> None:
        return None


class BadHooks:
    """A client whose hooks fail."""

    def __getattr__(self, name: str) -> Any:
        def hook(**values: Any) -> None:
            raise RuntimeError(f"{name} with a secret in it")

        return hook


def sound(client: Any = None, system: str = "pulse") -> Sound:
    """The sound of a session that is not there."""
    info = X2GoServerSessionInfo()
    info.name, info.snd_port = "anna-50-1700000000_stRxterm_dp24", 30001
    control = cast(ControlSessions, Unconnected())
    return Sound(control, info, snd_system=system, client_instance=client)


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sound server runs here, and none can be started."""

    def start_server() -> Address:
        raise X2GoException("there is none")

    monkeypatch.setattr(module, "find_server", lambda port: None)
    monkeypatch.setattr(module, "start_server", start_server)


def test_hooks_that_fail_hide_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(X2GoException, match="has no sound: there is none"):
        sound(BadHooks()).start()
    assert [record.message for record in caplog.records] == [
        "HOOK_pulseaudio_server_startup_failed failed: RuntimeError",
        "HOOK_on_sound_tunnel_failed failed: RuntimeError",
    ]


def test_without_a_client() -> None:
    with pytest.raises(X2GoException, match="has no sound: there is none"):
        sound().start()


def test_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_server", lambda port: ("127.0.0.1", port))
    with pytest.raises(X2GoRevFwTunnelException, match="connect again"):
        sound().start()


@pytest.mark.parametrize("system", ["none", "nosnd", "arts"])
def test_systems_that_need_nothing(system: str) -> None:
    quiet = sound(BadHooks(), system)
    quiet.start()
    assert quiet.tunnel is None
    quiet.stop()
    quiet.stop()
