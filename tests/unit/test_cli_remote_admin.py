"""`x2gobroker remote`: what it prints for web servers, and what it asks and writes."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.tls import Certificates, make_certificates
from x2gobroker.cli.main import main
from x2gobroker.cli.remote import setup as remote_setup
from x2gobroker.cli.remote.web import Site, apache_config, haproxy_config, nginx_config, reachable, remarks
from x2gobroker.errors import ConfigurationError
from x2gobroker.model.options import Value
from x2gobroker.settings import ENVIRONMENT, GLOBAL, Settings
from x2gobroker.settings import parse_ini as parsed

Capture = pytest.CaptureFixture[str]
Remote = Callable[..., int]
ROOT = Path(__file__).resolve().parents[2]
COMMENT = "# our own words about it"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file with a comment."""
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(tmp_path / "none"))
    path = tmp_path / "x2gobroker.conf"
    path.write_text(f"{COMMENT}\n[global]\n#remote-listen = 127.0.0.1:6080\n", encoding="utf-8")
    path.chmod(0o640)
    return path


@pytest.fixture(autouse=True)
def pam_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of /etc/pam.d: a host of another kind than Debian. Nothing asks for a service there."""
    monkeypatch.setattr(remote_setup, "PAM_FOLDER", tmp_path / "pam.d")
    monkeypatch.setattr(remote_setup, "EXAMPLE", {"Desktop": {**remote_setup.EXAMPLE["Desktop"], "pam-service": ""}})
    remote_setup.PAM_FOLDER.mkdir()
    return remote_setup.PAM_FOLDER


@pytest.fixture
def types(tmp_path: Path) -> Path:
    """A file of session types without a mistake."""
    path = tmp_path / "types.json"
    path.write_text(json.dumps({"Desktop": {"script": "tigervnc.py", "count": 2, "pam-service": ""}}), encoding="utf-8")
    return path


@pytest.fixture
def remote(config: Path) -> Remote:
    """Run one action."""
    return lambda action, *words: main(["remote", action, "-C", str(config), *words])


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what stands on standard input, a line for each answer."""
    return lambda *lines: monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate and its key."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def written(config: Path) -> dict[str, str]:
    return parsed(config.read_text(encoding="utf-8"), "x").sections.get("global", {})


def of(**values: str) -> Settings:
    return Settings({(GLOBAL, name.replace("_", "-")): value for name, value in values.items()})


@pytest.mark.parametrize(
    ("settings", "apache", "nginx"),
    [
        (of(), "http://127.0.0.1:6080/websockify", "http://127.0.0.1:6080/websockify"),
        (of(remote_listen="0.0.0.0:7000"), "http://127.0.0.1:7000/websockify", "http://127.0.0.1:7000/websockify"),
        (of(remote_listen="[::]:7000"), "http://[::1]:7000/websockify", "http://[::1]:7000/websockify"),
        (
            of(remote_listen="/run/x/r.sock"),
            "unix:/run/x/r.sock|http://localhost/websockify",
            "http://unix:/run/x/r.sock:/websockify",
        ),
        (
            of(remote_listen="10.0.0.1:1", remote_tls_certificate="/c"),
            "https://10.0.0.1:1/websockify",
            "https://10.0.0.1:1/websockify",
        ),
    ],
)
def test_where_websockets_go(settings: Settings, apache: str, nginx: str) -> None:
    text = apache_config(settings)
    assert f'ProxyPass "/websockify" "{apache}" upgrade=websocket' in text
    assert ("SSLProxyEngine On" in text) == ("https" in apache)
    assert f"proxy_pass {nginx};" in nginx_config(settings, Site())


def test_the_path_is_that_of_the_configured_url() -> None:
    settings = of(remote_websocket_url="wss://desktops.example/some/where")
    assert 'ProxyPass "/some/where" "http://127.0.0.1:6080/websockify"' in apache_config(settings)
    assert "location = /some/where {" in nginx_config(settings, Site())


@pytest.mark.parametrize("written", ["/x2gobroker", "x2gobroker/"])
def test_below_a_path_all_that_is_printed_is_below_it(written: str) -> None:
    settings = of(daemon_path=written)
    apache = apache_config(settings)
    assert 'ProxyPass "/x2gobroker/websockify" "http://127.0.0.1:6080/websockify"' in apache
    assert '<Location "/x2gobroker/websockify">' in apache
    nginx = nginx_config(settings, Site())
    assert "location /x2gobroker/ {\n        proxy_pass http://127.0.0.1:8080;" in nginx
    assert "location = /x2gobroker/websockify {\n        proxy_pass http://127.0.0.1:6080/websockify;" in nginx
    haproxy = haproxy_config(settings, Site())
    assert "use_backend x2gobroker_remote if { path /x2gobroker/websockify }" in haproxy
    assert "http-request set-path /websockify" in haproxy


def test_below_a_path_what_the_page_says_is_what_is_printed() -> None:
    page = (ROOT / "docs/how-to/web-server-in-front.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"^```nginx\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    printed = nginx_config(of(daemon_path="/x2gobroker"), Site())
    begin = printed.index("    # the broker, x2gobroker-daemon")
    assert dedent(printed[begin : printed.rindex("}")]) == said


def test_apache_that_runs_the_broker_below_a_path_is_told_of_that_path(remote: Remote, capsys: Capture) -> None:
    for path in ("/x2gobroker", "x2gobroker/"):
        assert remote("print-config", "apache", "--path", path) == 0
        assert 'ProxyPass "/x2gobroker/websockify"' in capsys.readouterr().out
    assert remote("print-config", "apache", "--path", "/") == 0
    assert 'ProxyPass "/websockify"' in capsys.readouterr().out
    assert remote("print-config", "apache", "--path", "/a b") == 1
    assert "cannot stand in a web server's configuration" in capsys.readouterr().err
    assert remote("print-config", "nginx", "--path", "/x2gobroker") == 1
    assert "set daemon-path" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["x2gobroker.conf", "x2gobroker-vhost.conf", "x2gobroker-proxy.conf"])
def test_apache_reads_what_is_printed_before_what_it_passes_on_by_itself(name: str) -> None:
    """Of two paths that fit, it takes the first."""
    text = (ROOT / "apache" / name).read_text(encoding="utf-8")
    place = text.index("IncludeOptional ${X2GOBROKER_REMOTE}")
    assert "ProxyPass " not in text[:place]


def test_nginx_reaches_the_daemon_where_it_listens() -> None:
    daemon = Settings({(ENVIRONMENT, "DAEMON_BIND_ADDRESS"): "*:9000", (ENVIRONMENT, "X2GOBROKER_SSL_CERTFILE"): "/c"})
    assert "proxy_pass https://127.0.0.1:9000;" in nginx_config(daemon, Site())
    assert "proxy_pass http://127.0.0.1:8080;" in nginx_config(Settings(), Site())


@pytest.mark.parametrize(
    "site",
    [
        Site(host="a; include /etc/passwd"),
        Site(certificate="/a b"),
        Site(listen=["443 ssl; }"]),
        Site(log="off;"),
        Site(key=""),
    ],
)
def test_nothing_breaks_out_of_the_configuration(site: Site) -> None:
    with pytest.raises(ConfigurationError, match="cannot stand in a web server's configuration"):
        nginx_config(Settings(), site)


@pytest.mark.parametrize("place", ["host", "host:", "host:x", "host:0", "host:70000", '"h:1', ""])
def test_what_is_no_place(place: str) -> None:
    with pytest.raises(ConfigurationError):
        reachable(place)


def test_what_else_is_to_be_set_is_said() -> None:
    assert [remark.split()[0] for remark in remarks(of(), "nginx")] == ["set", "the", "there"]
    ready: dict[tuple[str, str], Value] = {
        (GLOBAL, "enable-portal"): True,
        (GLOBAL, "remote-session-config"): "/t.json",
    }
    assert remarks(Settings(ready), "apache") == []
    assert remarks(Settings({**ready, (GLOBAL, "trusted-proxies"): ("127.0.0.0/8",)}), "nginx") == []
    (remark,) = remarks(Settings({**ready, (GLOBAL, "remote-proxies"): ()}), "apache")
    assert remark.startswith("remote-proxies has no 127.0.0.1")


def test_print_config_prints_and_changes_nothing(remote: Remote, config: Path, capsys: Capture) -> None:
    before = config.read_text(encoding="utf-8")
    assert remote("print-config", "apache") == 0
    captured = capsys.readouterr()
    assert "upgrade=websocket" in captured.out
    assert "note: the portal is off" in captured.err
    assert remote("print-config", "nginx", "--host", "desk.example", "--listen", "192.0.2.1:443") == 0
    printed = capsys.readouterr().out
    assert "server_name desk.example;" in printed
    assert "listen 192.0.2.1:443 ssl;" in printed
    assert "[::]:443" not in printed
    assert config.read_text(encoding="utf-8") == before


def test_setup_asks_the_questions(remote: Remote, config: Path, types: Path, capsys: Capture, typed: Remote) -> None:
    typed("y", types, "mytestpassword", "7001", "", "n")
    assert remote("setup") == 0
    captured = capsys.readouterr()
    assert written(config) == {
        "enable-portal": "true",
        "remote-session-config": str(types),
        "remote-vnc-password": "mytestpassword",
        "remote-listen": "127.0.0.1:7001",
    }
    assert COMMENT in config.read_text(encoding="utf-8")
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert f"{config}: warning: remote-vnc-password is longer than 8 bytes" in captured.err
    assert "mytestpassword" not in captured.out + captured.err
    assert "note: nothing limits what one desktop may take of this host: session types " in captured.err
    assert "x2gobroker remote print-config apache" in captured.out


def test_enter_keeps_what_is_set_and_a_dash_takes_it_out(
    remote: Remote, config: Path, types: Path, typed: Remote, certificates: Certificates
) -> None:
    typed("y", types, "secret-1", "/run/r.sock", certificates.certificate, certificates.key, "y")
    assert remote("setup") == 0
    before = written(config)
    assert before["remote-tls-key"] == str(certificates.key)
    assert before["trusted-proxies"] == "127.0.0.1, ::1"
    typed("", "", "", "", "", "")
    assert remote("setup") == 0
    assert written(config) == before
    typed("", "", "-", "6080", "-")
    assert remote("setup") == 0
    after = written(config)
    assert set(before) - set(after) == {"remote-vnc-password", "remote-tls-certificate", "remote-tls-key"}
    assert after["remote-listen"] == "127.0.0.1:6080"


def test_no_turns_the_portal_off_and_leaves_the_rest(remote: Remote, config: Path, types: Path, typed: Remote) -> None:
    assert remote("setup", "--yes", "--set", f"remote-session-config={types}") == 0
    typed("n")
    assert remote("setup") == 0
    assert written(config)["enable-portal"] == "false"
    assert written(config)["remote-session-config"] == str(types)


def test_yes_asks_nothing(remote: Remote, config: Path, types: Path, typed: Remote, capsys: Capture) -> None:
    typed("Vnc-pw-1")
    words = ("--set", f"remote-session-config={types}", "--set", "trusted-proxies=127.0.0.1", "--password-stdin")
    assert remote("setup", "--yes", *words) == 0
    assert written(config) == {
        "enable-portal": "true",
        "remote-session-config": str(types),
        "remote-vnc-password": "Vnc-pw-1",
        "remote-listen": "127.0.0.1:6080",
        "trusted-proxies": "127.0.0.1",
    }
    assert "print-config nginx" in capsys.readouterr().out
    assert remote("setup", "--yes", "--set", "enable-portal=no") == 0
    assert written(config)["enable-portal"] == "false"


def test_a_file_that_is_missing_is_written_when_asked_for(
    remote: Remote, config: Path, tmp_path: Path, typed: Remote, capsys: Capture
) -> None:
    path = tmp_path / "new.json"
    given = ("--set", f"remote-session-config={path}")
    assert remote("setup", "--yes", *given) == 1
    assert "does not exist" in capsys.readouterr().err
    assert remote("setup", "--yes", "--example", *given) == 0
    (kind,) = json.loads(path.read_text(encoding="utf-8")).values()
    assert kind["script"] == "tigervnc.py"
    path.write_text("{}", encoding="utf-8")
    assert remote("setup", "--yes", "--example", *given) == 0
    assert path.read_text(encoding="utf-8") == "{}"
    path.unlink()
    typed("y", path, "", "", "", "", "n")
    assert remote("setup") == 0
    assert path.exists()


def test_the_pam_service_is_put_in_place_where_it_works(
    remote: Remote, types: Path, pam_folder: Path, capsys: Capture
) -> None:
    words = ("setup", "--yes", "--set", f"remote-session-config={types}")
    assert remote(*words) == 0
    assert list(pam_folder.iterdir()) == []
    for name in ("common-auth", "common-account", "common-session"):
        (pam_folder / name).touch()
    assert remote(*words) == 0
    path = pam_folder / "x2gobroker-desktop"
    assert f"{path}: written" in capsys.readouterr().out
    assert path.read_bytes() == (ROOT / "etc/pam.d/x2gobroker-desktop").read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.write_text("# our own\n", encoding="utf-8")
    assert remote(*words) == 0
    assert path.read_text(encoding="utf-8") == "# our own\n"
    path.unlink()
    pam_folder.chmod(0o777)
    assert remote(*words) == 1
    assert f"{path} cannot be written" in capsys.readouterr().err
    pam_folder.chmod(0o755)
    assert remote("setup", "--yes", "--set", "enable-portal=no") == 0
    assert not path.exists()


def test_a_mistake_in_the_session_types_is_told(remote: Remote, types: Path, capsys: Capture) -> None:
    types.write_text('{"Desktop": {"script": "no-such.py", "count": 2}}', encoding="utf-8")
    assert remote("setup", "--yes", "--set", f"remote-session-config={types}") == 1
    said = capsys.readouterr().err
    assert f"{types}:1: error:" in said
    assert "x2gobroker check-config" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "remote-vnc-password=secret-1"], "give the password with --password-stdin"),
        (["--set", "remote-lisen=1"], 'did you mean "remote-listen"?'),
        (["--set", "remote-listen"], "write OPTION=VALUE"),
        (["--set", "enable-portal=maybe"], "'maybe' is not a boolean"),
        (["--set", "remote-session-config=types.json"], "write the whole path"),
        (["--set", "remote-session-config="], "without a file of session types"),
        (["--set", "remote-listen=nowhere"], "remote-listen: 'nowhere' is neither"),
        (["--set", "remote-tls-certificate=/no/such.pem"], "/no/such.pem cannot be used: No such file or directory"),
        (["--set", "remote-tls-key=/no/such.pem"], "a key file needs a certificate"),
    ],
)
def test_an_answer_that_cannot_be_right_changes_nothing(
    remote: Remote, config: Path, types: Path, capsys: Capture, words: list[str], said: str
) -> None:
    before = config.read_text(encoding="utf-8")
    assert remote("setup", "--yes", "--set", f"remote-session-config={types}", *words) == 1
    captured = capsys.readouterr()
    assert said in captured.err
    assert "secret-1" not in captured.err
    assert config.read_text(encoding="utf-8") == before


def test_answers_that_end_too_soon_change_nothing(
    remote: Remote, config: Path, types: Path, typed: Remote, capsys: Capture
) -> None:
    before = config.read_text(encoding="utf-8")
    for answers in ([], ["y"], ["y", types, "", ""], ["perhaps"]):
        typed(*answers)
        assert remote("setup") == 1
        assert "nothing was changed" in capsys.readouterr().err
    assert config.read_text(encoding="utf-8") == before


def test_a_password_that_everybody_could_read_is_told(
    remote: Remote, config: Path, types: Path, typed: Remote, capsys: Capture
) -> None:
    config.chmod(0o644)
    typed("Vnc-pw-1")
    assert remote("setup", "--yes", "--password-stdin", "--set", f"remote-session-config={types}") == 0
    said = capsys.readouterr().err
    assert f"chmod o-r {config}" in said
    assert "Vnc-pw-1" not in said


@pytest.mark.parametrize(
    ("password", "is_told"),
    [("Vnc-pw-1", False), ("p\u00e4ssw\u00f6rd", True), ("\u20ac\u20ac\u20ac", True), ("p\u00e4ssw\u00f6", False)],
)
def test_of_a_password_bytes_count_and_not_characters(
    remote: Remote, types: Path, typed: Remote, capsys: Capture, password: str, is_told: bool
) -> None:
    typed(password)
    assert remote("setup", "--yes", "--password-stdin", "--set", f"remote-session-config={types}") == 0
    said = capsys.readouterr().err
    assert ("remote-vnc-password is longer than 8 bytes" in said) is is_told
    assert password not in said


def test_what_the_environment_overrides_is_told(
    remote: Remote, types: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("CEI_NEXUS_REMOTE_CONFIG", str(types))
    given = ("--set", "remote-session-config=/etc/x2go/other.json")
    assert remote("setup", "--yes", *given) == 0
    assert "remote-session-config is overridden by a variable" in capsys.readouterr().err


def test_a_new_configuration_file_is_made(tmp_path: Path, config: Path, types: Path) -> None:
    path = tmp_path / "fresh.conf"
    assert main(["remote", "setup", "-C", str(path), "--yes", "--set", f"remote-session-config={types}"]) == 0
    assert written(path)["enable-portal"] == "true"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.stat().st_uid == os.geteuid()
