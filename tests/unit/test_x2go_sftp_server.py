"""The SFTP server for the folders of a session, asked by paramiko's own client."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import paramiko
import pytest

from tests.support.processes import wait_until
from x2gobroker.ssh.keys import KeyPair, generate_key, read_private_key
from x2gobroker.x2go.folders import sftp_server
from x2gobroker.x2go.folders.sftp_server import SftpServer
from x2gobroker.x2go.folders.shared_folder import SharedFolder

NAME = "/home/anna/docs"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is shared."""
    (tmp_path / "file").write_text("content")
    return tmp_path


@pytest.fixture
def server() -> Iterator[SftpServer]:
    """A server that nobody may use yet; no thread of it is left afterwards."""
    yield SftpServer()
    wait_until(lambda: not threads(), "the end of all threads")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("x2go-")]


def granted(server: SftpServer, folder: Path, read_only: bool = False) -> KeyPair:
    return server.grant(partial(SharedFolder, str(folder), NAME, read_only))


@contextlib.contextmanager
def connection(server: SftpServer) -> Iterator[paramiko.Transport]:
    """A connection of a client that has checked the host key, and is not logged in."""
    ours, theirs = socket.socketpair()
    serving = threading.Thread(target=server.serve, args=(theirs,), name="x2go-test-serving", daemon=True)
    serving.start()
    transport = paramiko.Transport(ours)
    try:
        transport.start_client(timeout=20)
        key = transport.get_remote_server_key()
        assert f"{key.get_name()} {key.get_base64()}" == server.host_key
        yield transport
    finally:
        transport.close()
        ours.close()
        serving.join(20)
        theirs.close()


@contextlib.contextmanager
def client(server: SftpServer, pair: KeyPair) -> Iterator[paramiko.SFTPClient]:
    """A client that is logged in."""
    with connection(server) as transport:
        transport.auth_publickey("x2go", read_private_key(pair.private))
        sftp = paramiko.SFTPClient.from_transport(transport)
        assert sftp is not None
        yield sftp


def test_files_are_read_and_written(server: SftpServer, folder: Path) -> None:
    with client(server, granted(server, folder)) as sftp:
        assert sftp.normalize(".") == NAME
        with sftp.open(f"{NAME}/file", "r+") as file:
            assert file.read() == b"content"
            file.write(b" and more")
            file.truncate(11)
            file.chmod(0o640)
            file.utime((1000, 2000))
            assert (file.stat().st_size, file.stat().st_mtime) == (11, 2000)
        assert (folder / "file").read_text() == "content and"
        with sftp.open(f"{NAME}/file", "a") as file:
            file.write(b"!")
        with sftp.open(f"{NAME}/file") as file:
            with pytest.raises(OSError):
                file.check("sha1")  # paramiko's own would look for the end for ever
            file.seek(8)
            assert file.read(4) == b"and!"
        sftp.mkdir(f"{NAME}/new", 0o700)
        sftp.rename(f"{NAME}/file", f"{NAME}/new/öther")
        sftp.posix_rename(f"{NAME}/new/öther", f"{NAME}/new/file")
        sftp.symlink("file", f"{NAME}/new/link")
        assert sftp.readlink(f"{NAME}/new/link") == "file"
        assert sorted(entry.filename for entry in sftp.listdir_attr(f"{NAME}/new")) == ["file", "link"]
        sftp.chmod(f"{NAME}/new/file", 0o600)
        sftp.truncate(f"{NAME}/new/file", 3)
        sftp.utime(f"{NAME}/new/file", (0, 1000))
        status = sftp.stat(f"{NAME}/new/file")
        assert (status.st_size, status.st_mtime, (status.st_mode or 0) & 0o7777) == (3, 1000, 0o600)
        sftp.chown(f"{NAME}/new/file", status.st_uid or 0, status.st_gid or 0)
        with pytest.raises(OSError):
            sftp.chown(f"{NAME}/new/file", 12345, 12345)
        sftp.remove(f"{NAME}/new/link")
        with pytest.raises(OSError):
            sftp.rmdir(f"{NAME}/new")
        sftp.remove(f"{NAME}/new/file")
        sftp.rmdir(f"{NAME}/new")
        with pytest.raises(FileNotFoundError):
            sftp.stat("/etc/passwd")
    assert list(folder.iterdir()) == []


def test_what_may_not_be_done_is_refused(server: SftpServer, folder: Path) -> None:
    with client(server, granted(server, folder, read_only=True)) as sftp:
        for refused in (
            lambda: sftp.open(f"{NAME}/file", "w"),
            lambda: sftp.remove(f"{NAME}/file"),
            lambda: sftp.symlink("/etc/passwd", f"{NAME}/new"),
        ):
            with pytest.raises(PermissionError):
                refused()
        with pytest.raises(OSError):
            sftp.open(f"{NAME}/a\0b")
        with sftp.open(f"{NAME}/file") as file:
            assert file.read() == b"content"


def test_each_key_opens_its_own_folder(server: SftpServer, tmp_path: Path) -> None:
    pairs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(name)
        pairs.append(granted(server, tmp_path / name))
    with client(server, pairs[0]) as one, client(server, pairs[1]) as two:
        for name, sftp in (("one", one), ("two", two)):
            with sftp.open(f"{NAME}/name") as file:
                assert file.read() == name.encode()
        assert all(server.is_used(pair) for pair in pairs)
        server.disconnect(pairs[0])
        with pytest.raises((OSError, EOFError, paramiko.SSHException)):
            one.listdir(NAME)
        assert two.listdir(NAME) == ["name"]
        wait_until(lambda: not server.is_used(pairs[0]), "the end of the first connection")
        assert server.is_used(pairs[1])


def test_only_keys_that_were_granted_get_in(server: SftpServer, folder: Path) -> None:
    pair = granted(server, folder)
    with connection(server) as transport:
        with pytest.raises(paramiko.BadAuthenticationType):
            transport.auth_password("x2go", "")
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_publickey("x2go", read_private_key(generate_key("ed25519").private))
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_publickey("root", read_private_key(pair.private))
    with client(server, pair) as sftp:
        server.revoke(pair)
        assert sftp.listdir(NAME) == ["file"], "who is in stays in"
        assert server.is_used(pair)
    with connection(server) as transport, pytest.raises(paramiko.AuthenticationException):
        transport.auth_publickey("x2go", read_private_key(pair.private))


def test_nothing_but_files(server: SftpServer, folder: Path) -> None:
    pair = granted(server, folder)
    with connection(server) as transport:
        transport.auth_publickey("x2go", read_private_key(pair.private))
        with pytest.raises(paramiko.ChannelException):
            transport.open_channel("direct-tcpip", ("127.0.0.1", 22), ("127.0.0.1", 1), timeout=20)
        with pytest.raises(paramiko.SSHException):
            transport.request_port_forward("127.0.0.1", 0)
        channel = transport.open_session(timeout=20)
        with pytest.raises(paramiko.ChannelException):
            transport.open_session(timeout=20)
        with pytest.raises(paramiko.SSHException):
            channel.exec_command("id")


def test_who_does_not_log_in_is_shown_the_door(
    server: SftpServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sftp_server, "LOGIN_SECONDS", 0.5)
    ours, theirs = socket.socketpair()
    serving = threading.Thread(target=server.serve, args=(theirs,), daemon=True)
    serving.start()
    ours.settimeout(20)
    with ours, theirs:
        while ours.recv(4096):
            pass
    serving.join(20)
    assert not serving.is_alive()


def test_there_are_limits(server: SftpServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sftp_server, "MOST_OPEN_FILES", 3)
    monkeypatch.setattr(sftp_server, "MOST_CONNECTIONS", 2)
    pair = granted(server, folder)
    with client(server, pair) as sftp, client(server, pair):
        files = [sftp.open(f"{NAME}/file") for _ in range(3)]
        with pytest.raises(OSError):
            sftp.open(f"{NAME}/file")
        files[0].close()
        sftp.open(f"{NAME}/file").close()
        with pytest.raises((paramiko.SSHException, EOFError, OSError)), connection(server):
            pass
        channel = sftp.get_channel()
        assert channel is not None
        channel.sendall(struct.pack(">IB", 0x7FFFFFFF, 3))  # a request of 2 GiB
        channel.settimeout(20)
        assert channel.recv(1) == b""
