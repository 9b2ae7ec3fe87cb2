"""The daemon's command line, as far as it can be told without starting it."""

from __future__ import annotations

import argparse
import os
import socket
import ssl
from pathlib import Path

import pytest
from flask import Flask
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.http import RequestParser
from gunicorn.http.wsgi import create
from gunicorn.workers.base import Worker
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tls import make_certificates
from tests.unit.configured import Files
from tests.unit.properties import SOME
from x2gobroker.cli.common import check_usable
from x2gobroker.cli.daemon import account
from x2gobroker.cli.daemon.account import tls_options
from x2gobroker.cli.daemon.program import (
    PID_FILE,
    Daemon,
    build_parser,
    main,
    parse_bind,
    server_options,
    tls_files,
    variables_of,
)
from x2gobroker.cli.daemon.serving import DoorWorker, GunicornLogger, PatientArbiter
from x2gobroker.errors import ConfigurationError
from x2gobroker.gate import tls
from x2gobroker.model.options import Value
from x2gobroker.settings import Settings


def parsed(*arguments: str) -> argparse.Namespace:
    return build_parser().parse_args(arguments)


def environment(**variables: Value) -> Settings:
    return Settings({("environment", name): value for name, value in variables.items()})


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("8080", "127.0.0.1:8080"),
        (":9133", "0.0.0.0:9133"),
        ("*:9133", "0.0.0.0:9133"),
        ("localhost:9133", "localhost:9133"),
        ("127.0.0.1:9133", "127.0.0.1:9133"),
        (" 127.0.0.1:9133 ", "127.0.0.1:9133"),
        ("broker.example.org:9133", "broker.example.org:9133"),
        ("127.0.0.1", "127.0.0.1:8080"),
        ("[::1]:9133", "[::1]:9133"),
        ("::1:9133", "[::1]:9133"),
        ("0:0:0:0:0:0:0:1:9133", "[0:0:0:0:0:0:0:1]:9133"),
        ("[::]:9133", "[::]:9133"),
        ("[::1]", "[::1]:8080"),
    ],
)
def test_every_form_of_address_and_port_is_read(text: str, bind: str) -> None:
    assert parse_bind(text) == bind


@pytest.mark.parametrize(
    "text", ["0", "65536", "x:y", "h:", "h:0", "h:65536", "h:-1", "[::1:9133", "a b:1", "unix:/run/x", "*", "fd://3"]
)
def test_anything_else_says_what_to_write(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\[::1\]:8080"):
        parse_bind(text)


@SOME
@given(st.one_of(st.text(), st.text("0123456789:[]*.abc%", max_size=20)))
def test_no_text_raises_anything_but_configuration_error_and_a_port_is_always_there(text: str) -> None:
    try:
        bind = parse_bind(text)
    except ConfigurationError:
        return
    address, _, port = bind.rpartition(":")
    assert address
    assert 1 <= int(port) <= 65535


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        ([], {}),
        (["-C", "/c"], {"X2GOBROKER_CONFIG": "/c"}),
        (["--config-file", "/c"], {"X2GOBROKER_CONFIG": "/c"}),
        (["--config", "/c"], {"X2GOBROKER_CONFIG": "/c"}),
        (["-b", ":1"], {"DAEMON_BIND_ADDRESS": ":1"}),
        (["--bind", ":1"], {"DAEMON_BIND_ADDRESS": ":1"}),
        (["-d"], {"X2GOBROKER_DEBUG": "1"}),
        (["-i"], {"X2GOBROKER_DEBUG": "1", "X2GOBROKER_DEBUG_INTERACTIVELY": "1"}),
        (["-M", "HTTP", "-D", "-P", "/p", "-L", "/l", "--drop-privileges"], {}),
    ],
)
def test_options_become_the_variables_they_override(arguments: list[str], variables: dict[str, str]) -> None:
    assert variables_of(parsed(*arguments)) == variables


def test_without_options_it_listens_on_loopback_without_tls() -> None:
    options = server_options(Settings(), parsed())
    assert options["bind"] == "127.0.0.1:8080"
    assert options["worker_class"] == "x2gobroker.cli.daemon.serving.DoorWorker"
    assert (options["workers"], options["threads"]) == (2, 32)
    assert options["control_socket_disable"] is True
    assert not {"certfile", "keyfile", "pidfile", "daemon", "user", "group"} & set(options)


def test_workers_threads_and_address_are_those_configured() -> None:
    settings = environment(X2GOBROKER_WORKERS=5, X2GOBROKER_THREADS=3, DAEMON_BIND_ADDRESS=":99")
    options = server_options(settings, parsed())
    assert (options["workers"], options["threads"], options["bind"]) == (5, 3, "0.0.0.0:99")


def test_the_access_line_has_no_query_string() -> None:
    shown = server_options(Settings(), parsed())["access_log_format"]
    assert "%(U)s" in shown
    assert not {"%(q)s", "%(r)s"} & set(shown.replace('"', " ").split())


@pytest.mark.parametrize(
    ("arguments", "pid_file"),
    [([], None), (["-P", "/p"], "/p"), (["-D"], PID_FILE), (["-D", "-P", "/p"], "/p")],
)
def test_the_pid_file_is_the_one_named_and_in_the_background_always_there(
    arguments: list[str], pid_file: str | None
) -> None:
    assert server_options(Settings(), parsed(*arguments)).get("pidfile") == pid_file


class TestTls:
    """Both files, readable, or an error; never half of it."""

    @pytest.fixture
    def pair(self, tmp_path: Path) -> tuple[str, str]:
        """Two files that are there."""
        certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
        certificate.touch()
        key.touch()
        return str(certificate), str(key)

    def test_none_set_is_no_tls(self) -> None:
        assert tls_files(Settings()) == {}

    def test_both_set_are_handed_on(self, pair: tuple[str, str]) -> None:
        settings = environment(X2GOBROKER_SSL_CERTFILE=pair[0], X2GOBROKER_SSL_KEYFILE=pair[1])
        assert tls_files(settings) == {"certfile": pair[0], "keyfile": pair[1]}
        assert server_options(settings, parsed())["certfile"] == pair[0]

    def test_one_without_the_other_is_an_error_that_names_it(self, pair: tuple[str, str]) -> None:
        with pytest.raises(ConfigurationError, match="X2GOBROKER_SSL_KEYFILE is not set"):
            tls_files(environment(X2GOBROKER_SSL_CERTFILE=pair[0]))
        with pytest.raises(ConfigurationError, match="X2GOBROKER_SSL_CERTFILE is not set"):
            tls_files(environment(X2GOBROKER_SSL_KEYFILE=pair[1]))

    def test_a_file_that_is_not_there_is_an_error_that_names_it(self, pair: tuple[str, str]) -> None:
        with pytest.raises(ConfigurationError, match="X2GOBROKER_SSL_KEYFILE: /no/such/key"):
            tls_files(environment(X2GOBROKER_SSL_CERTFILE=pair[0], X2GOBROKER_SSL_KEYFILE="/no/such/key"))

    def test_a_pair_that_cannot_be_used_does_not_start(self, pair: tuple[str, str]) -> None:
        with pytest.raises(ConfigurationError, match=f"{pair[0]} and its key cannot be used"):
            tls_options({"certfile": pair[0], "keyfile": pair[1]}, None)

    def test_what_root_has_read_is_served_and_known(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(account, "open_trusted", lambda path: os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        files = make_certificates(tmp_path)
        chosen = {"certfile": str(files.certificate), "keyfile": str(files.key)}
        fixed = account.tls_of_root(chosen)
        assert fixed is not None
        assert fixed.certificate == files.certificate.read_bytes()
        monkeypatch.setattr(os, "access", lambda path, _mode: path != str(files.key))
        assert tls_options(chosen, fixed)["tls"] is fixed
        with pytest.raises(ConfigurationError, match="cannot be read by the broker's account"):
            tls_options(chosen, None)

    def test_workers_begin_with_the_last_good_pair_while_the_files_are_broken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After `systemctl reload`, and where one takes the place of another that has crashed."""
        monkeypatch.setattr(tls, "LOOK_SECONDS", 0.0)
        monkeypatch.setattr(Worker, "init_process", lambda _worker: None)
        monkeypatch.setattr(Arbiter, "manage_workers", lambda _arbiter: None)
        files = make_certificates(tmp_path)
        chosen = {"certfile": str(files.certificate), "keyfile": str(files.key)}
        daemon = Daemon(Flask("broker"), {**chosen, **tls_options(chosen, None)})
        assert daemon.tls is not None
        first = daemon.tls.current()
        files.key.touch()
        arbiter = PatientArbiter(daemon)
        arbiter.manage_workers()  # as once a second
        files.key.write_text("half a key")
        arbiter.manage_workers()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            worker = DoorWorker(1, os.getpid(), [listener], daemon, 30, daemon.cfg, GunicornLogger(daemon.cfg))
            worker.init_process()
            inherited = daemon.tls.current()
            worker._door.close()
            worker.tmp.close()
        assert isinstance(inherited, ssl.SSLContext)
        assert inherited is not first, "the main process takes renewed ones, for workers to come"


def test_a_configuration_that_cannot_be_read_does_not_start(files: Files) -> None:
    files.write("nonsense\n")
    with pytest.raises(ConfigurationError, match=r"x2gobroker\.conf:1: error"):
        check_usable(files.source)
    files.write("[global]\n")
    assert check_usable(files.source).usable


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("nonsense\n", [], "x2gobroker.conf:1: error"),
        ("", ["-M", "SSH"], "mode SSH is not available"),
        ("", ["-b", "x:y"], "cannot listen on 'x:y'"),
    ],
)
def test_what_keeps_it_from_starting_is_said_with_status_2(
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    arguments: list[str],
    said: str,
) -> None:
    files.config.write_text(text)
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(files.defaults))
    monkeypatch.setenv("X2GOBROKER_LOGCONFIG", "")
    assert main(["-C", str(files.config), *arguments]) == 2
    err = capsys.readouterr().err
    assert "not started" in err
    assert said in err


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "PATH_INFO", "REMOTE_USER", "X-Forwarded-Proto", "X-Forwarded-Ssl"])
def test_gunicorn_believes_no_header_of_a_neighbour_on_the_loopback(name: str) -> None:
    """Web servers in front are there, and may hand on whatever a client has sent: model/forwarded.py reads it alone."""
    config = Config()
    for option, value in server_options(Settings({}), parsed()).items():
        if option in config.settings and value is not None and option != "worker_class":
            config.set(option, value)
    client, server = ("127.0.0.1", 4711), ("127.0.0.1", 8080)
    sent = f"GET /plain/portal HTTP/1.1\r\nHost: broker\r\n{name}: /plain\r\n\r\n".encode()
    try:
        request = next(RequestParser(config, iter([sent]), client))
    except Exception as error:  # noqa: BLE001 - gunicorn's ways to refuse a header
        assert "Invalid" in str(error) or "Forbidden" in str(error), error
        return
    _, environ = create(request, None, client, server, config)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/plain/portal")
    assert environ["wsgi.url_scheme"] == "http"
    assert "REMOTE_USER" not in environ
