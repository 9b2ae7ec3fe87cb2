"""Host keys: known_hosts as ssh-keygen writes it, and the three policies."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.public_key import PublicKey
from x2gobroker.ssh.failures import HostKeyRefused
from x2gobroker.ssh.host_keys import check_host_key, known_types, parse_known_hosts, remember
from x2gobroker.ssh.keys import fingerprint, generate_key
from x2gobroker.ssh.routes import AUTO_ADD, REJECT, WARNING, Trust

ONE, OTHER = generate_key("ed25519").public, generate_key("ed25519").public
ECDSA = generate_key("ecdsa").public
SERVER = Endpoint("srv.example.org", "192.0.2.7", 2222)
POLICIES = (REJECT, WARNING, AUTO_ADD)


def trust(folder: Path, text: str = "", policy: str = REJECT) -> Trust:
    (folder / "known_hosts").write_text(text)
    return Trust((folder / "missing", folder / "known_hosts"), policy)


def line(names: str, key: PublicKey = ONE, marker: str = "") -> str:
    return f"{marker} {names} {key.kind} {key.blob} a comment\n".lstrip()


@pytest.mark.parametrize(
    "names",
    [
        "[srv.example.org]:2222",
        "[SRV.example.org]:2222",
        "[192.0.2.7]:2222",
        "other,[192.0.2.7]:2222",
        "[*.example.org]:2222",
        "[192.0.2.?]:2222",
        "*",
        "srv.example.org",  # a key without a port counts at every port
        "!nobody,*.example.org",
    ],
)
def test_a_known_key_is_taken_under_each_way_to_write_its_server(tmp_path: Path, names: str) -> None:
    check_host_key(SERVER, ONE, trust(tmp_path, line(names)))


@pytest.mark.parametrize(
    "names",
    ["[srv.example.org]:22", "[other.example.org]:2222", "[srv.example.org]:2222,!*", "srv", "[*]:2223", "|1|x|y"],
)
def test_a_key_of_another_server_says_nothing(tmp_path: Path, names: str) -> None:
    with pytest.raises(HostKeyRefused, match="is not known") as refusal:
        check_host_key(SERVER, ONE, trust(tmp_path, line(names)))
    assert refusal.value.unknown


def test_hashed_names_are_found_as_ssh_keygen_hashes_them(tmp_path: Path) -> None:
    known = trust(tmp_path, line("[192.0.2.7]:2222") + line("plain.example.org", ECDSA))
    subprocess.run(
        ["ssh-keygen", "-q", "-H", "-f", str(tmp_path / "known_hosts")], check=True, timeout=30, capture_output=True
    )
    assert "192.0.2.7" not in (tmp_path / "known_hosts").read_text()
    check_host_key(SERVER, ONE, known)
    check_host_key(Endpoint("plain.example.org", "192.0.2.8"), ECDSA, known)
    with pytest.raises(HostKeyRefused):
        check_host_key(SERVER, ECDSA, known)


def test_the_text_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(HostKeyRefused) as refusal:
        check_host_key(SERVER, ONE, trust(tmp_path))
    text = str(refusal.value)
    for part in (
        fingerprint(ONE.blob),
        "ED25519",
        "x2gobroker-testagent -H 'srv.example.org (192.0.2.7)' -p 2222 -A",
        "192.0.2.7:2222",
    ):
        assert part in text
    assert (refusal.value.endpoint, refusal.value.key) == (SERVER, ONE)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("other", [OTHER, ECDSA], ids=["same type", "another type"])
def test_a_changed_key_is_refused_under_every_policy(tmp_path: Path, policy: str, other: PublicKey) -> None:
    known = trust(tmp_path, "# first\n" + line("[srv.example.org]:2222"), policy)
    with pytest.raises(HostKeyRefused, match=r"known_hosts:2\)") as refusal:
        check_host_key(SERVER, other, known)
    assert not refusal.value.unknown
    assert fingerprint(other.blob) in str(refusal.value)
    assert fingerprint(ONE.blob) in str(refusal.value)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("names", ["[srv.example.org]:2222", "srv.example.org", "*"])
def test_a_revoked_key_is_refused_under_every_policy(tmp_path: Path, policy: str, names: str) -> None:
    known = trust(tmp_path, line("[srv.example.org]:2222") + line(names, ONE, "@revoked"), policy)
    with pytest.raises(HostKeyRefused, match="revoked"):
        check_host_key(SERVER, ONE, known)


def test_a_second_key_of_the_same_server_is_fine(tmp_path: Path) -> None:
    known = trust(tmp_path, line("[srv.example.org]:2222") + line("[192.0.2.7]:2222", OTHER))
    check_host_key(SERVER, ONE, known)
    check_host_key(SERVER, OTHER, known)


def test_the_types_that_are_known_come_in_the_order_of_the_files(tmp_path: Path) -> None:
    text = line("[192.0.2.7]:2222", ECDSA) + line("x") + line("[srv.example.org]:2222") + line("*", ECDSA, "@revoked")
    assert known_types(SERVER, trust(tmp_path, text)) == (ECDSA.kind, ONE.kind)


def test_with_a_warning_the_fingerprint_stands_in_the_log(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    known = trust(tmp_path, "", WARNING)
    check_host_key(SERVER, ONE, known)
    assert fingerprint(ONE.blob) in said.text
    assert (tmp_path / "known_hosts").read_text() == ""


def test_a_new_key_is_remembered_and_found_by_ssh_keygen(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    known = Trust((tmp_path / "known_hosts",), AUTO_ADD)
    (tmp_path / "known_hosts").write_text("a comment without an end")
    check_host_key(SERVER, ONE, known)
    check_host_key(SERVER, ONE, known)
    check_host_key(Endpoint("at22", "192.0.2.9"), OTHER, known)
    lines = (tmp_path / "known_hosts").read_text().splitlines()
    assert lines[0] == "a comment without an end"
    assert len(lines) == 3
    for name in ("[srv.example.org]:2222", "[192.0.2.7]:2222", "at22", "192.0.2.9"):
        done = subprocess.run(
            ["ssh-keygen", "-F", name, "-f", str(tmp_path / "known_hosts")], timeout=30, capture_output=True
        )
        assert done.returncode == 0, name
    with pytest.raises(HostKeyRefused):
        check_host_key(SERVER, OTHER, known)
    assert "trusted from now on" in said.text


def test_a_file_that_cannot_be_written_is_a_line_in_the_log(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.link(tmp_path / "elsewhere", tmp_path / "second-name")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "link", tmp_path / "second-name", tmp_path / "folder", tmp_path / "no" / "such"):
        said.clear()
        check_host_key(SERVER, ONE, Trust((path,), AUTO_ADD))
        assert "cannot be written" in said.text, path
    check_host_key(SERVER, ONE, Trust((), AUTO_ADD))
    assert (tmp_path / "elsewhere").read_text() == ""


def test_root_writes_nothing_into_a_folder_of_somebody_else(tmp_path: Path) -> None:
    folder = tmp_path / "ssh"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    remember(SERVER, ONE, Trust((folder / "known_hosts",)))
    assert not list(folder.iterdir())


def _remember_many(path: Path, mine: PublicKey) -> None:
    for number in range(20):
        remember(Endpoint(f"own-{os.getpid()}-{number}", "192.0.2.1", 1000 + number), mine, Trust((path,)))
        remember(Endpoint(f"shared-{number}", f"192.0.2.{number + 100}"), ONE, Trust((path,)))


def test_several_processes_write_whole_lines_and_each_key_once(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    workers = [multiprocessing.Process(target=_remember_many, args=(path, ONE)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    text = path.read_text()
    known, notes = parse_known_hosts(text, "file")
    assert not notes
    shared = [each.patterns[0] for each in known if each.patterns[0].startswith("shared-")]
    assert sorted(shared) == sorted(f"shared-{number}" for number in range(20))


def test_a_full_disk_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "known_hosts"
    path.write_text("# kept\n")
    write = os.write
    monkeypatch.setattr("os.write", lambda number, data: write(number, data[:30]))
    remember(SERVER, ONE, Trust((path,)))
    assert path.read_text() == "# kept\n"


def test_lines_that_do_not_count_are_named_once(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    known = trust(
        tmp_path, f"@cert-authority * {ONE.kind} {ONE.blob}\nrubbish\n@odd x y z\n" + line("[192.0.2.7]:2222")
    )
    check_host_key(SERVER, ONE, known)
    check_host_key(SERVER, ONE, known)
    assert said.text.count("certificates of hosts are not supported") == 1
    assert said.text.count("no line of known_hosts") == 2


def test_a_file_that_nobody_may_read_is_a_line_in_the_log(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(HostKeyRefused):
        check_host_key(SERVER, ONE, Trust((tmp_path / "folder",)))
    assert "cannot be read" in said.text


def test_a_mark_of_an_editor_hides_no_line() -> None:
    for text in ("\ufeff" + line("srv.example.org"), "\ufeff" + line("srv.example.org").replace("\n", "\r\n")):
        (known,), notes = parse_known_hosts(text + "\n", "file")
        assert (known.is_for("srv.example.org"), known.place, notes) == (True, "file:1", [])


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"])
def test_what_a_comment_holds_is_no_key(end: str) -> None:
    assert parse_known_hosts(f"# former:{end}{line('srv.example.org')}", "file") == ([], [])


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(text: str) -> None:
    known, notes = parse_known_hosts(text, "file")
    for each in known:
        assert each.is_for("x") in (True, False)
    assert len(known) + len(notes) <= len(text.splitlines())


def test_a_server_with_an_alias_is_known_and_remembered_under_it(tmp_path: Path) -> None:
    rules = Trust((tmp_path / "known_hosts",), AUTO_ADD, alias="Profile 1*")
    check_host_key(SERVER, ONE, rules)
    words = rules.files[0].read_text().split()
    assert words == ["profile_1_", ONE.kind, ONE.blob]
    strict = Trust(rules.files, REJECT, alias="Profile 1*")
    check_host_key(SERVER, ONE, strict)
    with pytest.raises(HostKeyRefused) as refused:
        check_host_key(SERVER, OTHER, strict)
    assert (refused.value.unknown, refused.value.expected) == (False, ONE)
    with pytest.raises(HostKeyRefused) as refused:
        check_host_key(SERVER, ONE, Trust(rules.files))
    assert refused.value.unknown


def test_a_server_s_own_name_counts_beside_the_alias_but_never_against_it(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    rules = Trust((path,), REJECT, alias="profile")
    path.write_text(f"[srv.example.org]:2222,srv.example.org {ONE.kind} {ONE.blob}\n")
    server = Endpoint("srv.example.org", "192.0.2.7", 2222)
    check_host_key(server, ONE, rules)
    with pytest.raises(HostKeyRefused) as refused:
        check_host_key(server, OTHER, rules)
    assert refused.value.unknown


def test_keys_that_are_given_count_as_those_of_files(tmp_path: Path) -> None:
    rules = Trust((tmp_path / "known_hosts",), keys=(ONE,))
    check_host_key(SERVER, ONE, rules)
    assert known_types(SERVER, rules) == (ONE.kind,)
    with pytest.raises(HostKeyRefused, match="known to this process") as refused:
        check_host_key(SERVER, OTHER, rules)
    assert refused.value.expected == ONE
    rules.files[0].write_text(f"@revoked * {ONE.kind} {ONE.blob}\n")
    with pytest.raises(HostKeyRefused, match="revoked"):
        check_host_key(SERVER, ONE, rules)
