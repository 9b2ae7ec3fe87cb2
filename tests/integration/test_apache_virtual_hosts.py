"""Several brokers in one Apache, with the shipped apache/x2gobroker-multi-vhost.conf."""

from __future__ import annotations

import json
import re
import socket
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apache import Apache, apache, apache_folder
from tests.support.client_scenario import PASSWORDS, TwoHosts, two_brokers
from tests.support.fail2ban import found_addresses
from tests.support.processes import free_port, wait_until
from tests.support.tls import HOST_A, HOST_B, Certificates, Https

LOGIN = {"user": "bert", "password": PASSWORDS["bert"]}
SSH_PORT = 2222  # nobody connects in this file


def names(broker: Https, backend: str = "inifile/") -> set[str]:
    """The names of the profiles that this broker offers to bert."""
    answer = broker.post(f"/json/{backend}", {"task": "listprofiles", **LOGIN})
    assert answer.status == 200, answer
    return {profile["name"] for profile in json.loads(answer.body)["profiles"].values()}


A_NAMES = {"Alpha desktop", "Beta terminal", "Berts own"}
B_NAMES = {"Gamma Büro"}


def test_by_name(two_hosts: TwoHosts) -> None:
    """Which broker answers is decided by the name in the TLS handshake; other names get the first one."""
    assert names(two_hosts.named(HOST_A)) == A_NAMES
    assert names(two_hosts.named("localhost")) == B_NAMES
    assert names(two_hosts.named(HOST_B)) == A_NAMES


def test_default_backend_of_the_virtual_host(two_hosts: TwoHosts) -> None:
    """X2GOBROKER_DEFAULT_BACKEND of a VirtualHost counts where the URL names no backend."""
    assert names(two_hosts.named("localhost"), "") == B_NAMES


def test_an_authid_of_one_broker_is_worth_nothing_at_the_other(two_hosts: TwoHosts) -> None:
    """The brokers share neither state nor sessions."""
    granted = two_hosts.named(HOST_A).post("/plain/inifile/", {"task": "listsessions", **LOGIN}).body
    authid = granted.split("AUTHID:")[1].split()[0]
    fields = {"task": "listsessions", "user": "bert", "authid": authid}
    assert "Access granted" not in two_hosts.named("localhost").post("/plain/inifile/", fields).body
    assert "Access granted" in two_hosts.named(HOST_A).post("/plain/inifile/", fields).body


def test_processes_of_their_own_and_never_root(two_hosts: TwoHosts) -> None:
    """Each broker has two processes, none of which runs as root."""
    of_a, of_b = two_hosts.server.daemons("x2gobroker-a"), two_hosts.server.daemons("x2gobroker-b")
    assert len(of_a) == len(of_b) == 2
    assert not set(of_a) & set(of_b)
    assert "root" not in {*of_a.values(), *of_b.values()}


def test_wrong_password(two_hosts: TwoHosts) -> None:
    """JSON clients get a 401, X2Go Client a refusal that lets it try again."""
    fields = {"task": "listsessions", "user": "bert", "password": "wrong"}
    plain = two_hosts.named(HOST_A).post("/plain/inifile/", fields)
    assert plain.status == 200
    assert "Access granted" not in plain.body
    # another user: bert has to wait for a moment now
    assert two_hosts.named(HOST_A).post("/json/inifile/", {**fields, "user": "nobody"}).status == 401


def test_lines_in_apaches_error_log_have_one_time_and_fail2ban_reads_them(two_hosts: TwoHosts, tmp_path: Path) -> None:
    """The time is Apache's."""
    two_hosts.named(HOST_A).post("/plain/inifile/", {"task": "listsessions", "user": "eve", "password": "wrong"})
    logs = two_hosts.server.folder.logs
    lines = [line for path in logs.glob("*error.log") for line in path.read_text(errors="replace").splitlines()]
    ours = [line for line in lines if "login user=eve" in line]
    assert ours
    for line in ours:
        assert len(re.findall(r"\d\d:\d\d:\d\d", line)) == 1, line
        assert "] broker.audit - WARNING - login user=eve address=127.0.0.1" in line
    copy = tmp_path / "error.log"
    copy.write_text("".join(f"{line}\n" for line in ours).replace("=127.0.0.1 ", "=198.51.100.7 "), encoding="utf-8")
    assert found_addresses(copy) == ["198.51.100.7"] * len(ours)


def test_access_log_has_no_query(two_hosts: TwoHosts) -> None:
    """What a careless client puts into the query never reaches the log."""
    two_hosts.named(HOST_A).get("/plain/inifile/?user=bert&password=secret-in-query")
    log = two_hosts.server.folder.logs / "x2gobroker-a-access.log"
    wait_until(lambda: '"GET /plain/inifile/ HTTP/1.1"' in log.read_text(), "the request's line in the access log")
    assert "secret-in-query" not in two_hosts.server.log()


def test_connections_are_told_to_stay_with_tls(two_hosts: TwoHosts) -> None:
    """Strict-Transport-Security is set on every answer, refusals included."""
    for path in ("/", "/plain/inifile/", "/no/such/page"):
        assert "max-age=" in two_hosts.named(HOST_A).get(path).headers["strict-transport-security"]


def handshake(port: int, version: ssl.TLSVersion) -> str | None:
    """The protocol that the server agrees on when the client knows only this one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that TLS 1.1 is old is what the test is about
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), 10) as raw, context.wrap_socket(raw) as tls:
        return tls.version()


def test_tls_versions(two_hosts: TwoHosts) -> None:
    """TLS 1.2 and 1.3 are spoken, 1.1 is not."""
    assert handshake(two_hosts.port, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    assert handshake(two_hosts.port, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        handshake(two_hosts.port, ssl.TLSVersion.TLSv1_1)


@pytest.fixture(scope="module")
def by_port(certificates: Certificates) -> Iterator[tuple[Apache, Https, Https]]:
    """Two VirtualHosts on two ports, served by one set of processes."""
    port_a, port_b = free_port(), free_port()
    with apache_folder() as folder:
        defines = two_brokers(folder, SSH_PORT, certificates)
        defines |= {"BROKER_A_HOST": "localhost", "BROKER_B_HOST": "localhost"}
        defines |= {"BROKER_A_LISTEN": f"127.0.0.1:{port_a}", "BROKER_B_LISTEN": f"127.0.0.1:{port_b}"}
        defines["BROKER_B_PROCESSES"] = "x2gobroker-a"
        with apache(folder, "x2gobroker-multi-vhost.conf", [port_a, port_b], defines) as server:
            yield server, Https(port_a, certificates.authority), Https(port_b, certificates.authority)


def test_by_port_in_one_set_of_processes(by_port: tuple[Apache, Https, Https]) -> None:
    """Processes that two VirtualHosts share serve each request with the configuration of its VirtualHost."""
    _, broker_a, broker_b = by_port
    for _ in range(10):
        assert names(broker_a) == A_NAMES
        assert names(broker_b) == B_NAMES


def test_a_changed_file_counts_for_its_broker_at_once(by_port: tuple[Apache, Https, Https]) -> None:
    """New profiles of one broker show with the next request, in all processes; the other broker stays as it is."""
    server, broker_a, broker_b = by_port
    profiles = server.folder.path / "b" / "sessionprofiles.conf"
    before = profiles.read_text(encoding="utf-8")
    rename(profiles, before.replace("Gamma Büro", "Gamma, renamed"))
    try:
        for _ in range(6):
            assert names(broker_b) == {"Gamma, renamed"}
        assert names(broker_a) == A_NAMES
    finally:
        rename(profiles, before)


def rename(target: Path, text: str) -> None:
    """Replace a file the way editors do."""
    fresh = target.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o644)
    fresh.replace(target)
