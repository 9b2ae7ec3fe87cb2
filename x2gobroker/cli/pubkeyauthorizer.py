"""`x2gobroker-pubkeyauthorizer`: on an X2Go Server, let a broker in: its public keys into authorized_keys."""

from __future__ import annotations

import argparse
import os
import pwd
import queue
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO

from x2gobroker import __version__
from x2gobroker.cli.common import source_of
from x2gobroker.cli.streams import run_told, told
from x2gobroker.errors import ConfigurationError
from x2gobroker.logs import field
from x2gobroker.privilege.folders import SafeFolder, safe_folder
from x2gobroker.settings import ENVIRONMENT
from x2gobroker.ssh.authorized_keys import AuthorizedKey, Merged, check_broker_line, merge
from x2gobroker.ssh.keys import described

PROGRAM = "x2gobroker-pubkeyauthorizer"
FILE = "authorized_keys"
USUAL_COMMAND = "/usr/lib/x2go/x2gobroker-agent"
FETCH_SECONDS = 30.0
MOST_BYTES = 256 * 1024
MOST_KEYS = 100


def build_parser() -> argparse.ArgumentParser:
    """The command line: the reference's, with more."""
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Run this on an X2Go Server, as root: it fetches the public SSH keys of a broker and lets their "
        "holder run the broker agent here, and nothing else. It shows the fingerprints and asks first.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"x2gobroker {__version__}")
    parser.add_argument(
        "-t",
        "--broker-url",
        required=True,
        metavar="URL",
        help="where the broker publishes its keys: https://BROKER/pubkeys/",
    )
    parser.add_argument(
        "-u",
        "--user",
        metavar="USER",
        help="the user that the broker logs in as on this machine (default: X2GOBROKER_DAEMON_USER)",
    )
    parser.add_argument(
        "-y", "--yes", action="store_true", help="do not ask: trust what comes from the URL, even without TLS"
    )
    return parser


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to https, or stays with http; never away from https."""

    max_redirections = 5

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme != "https" and scheme != urllib.parse.urlsplit(req.full_url).scheme:
            raise ConfigurationError(f"it leads on to {field(newurl, 200)}, which is not safe; use that URL's own host")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(url: str, seconds: float = FETCH_SECONDS) -> tuple[str, str]:
    """What a URL has, as text, and the URL that it came from in the end. Raises ConfigurationError.

    At most MOST_BYTES, all within `seconds`; only http and https.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        is_fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        is_fine = False
    if not is_fine:
        raise ConfigurationError("this is no http or https URL of a broker; write https://BROKER/pubkeys/")
    answers: queue.SimpleQueue[tuple[bytes, str] | Exception] = queue.SimpleQueue()
    threading.Thread(target=_fetch_into, args=(answers, url, seconds), daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise ConfigurationError(f"{url} gives no whole answer within {seconds:g} s") from None
    if isinstance(answer, Exception):
        raise ConfigurationError(f"{url} cannot be fetched: {_why(answer)}")
    data, end = answer
    try:
        return data.decode("utf-8"), end
    except UnicodeDecodeError:
        raise ConfigurationError(f"{url} gives no text; is it a broker's /pubkeys/?") from None


def _fetch_into(answers: queue.SimpleQueue[tuple[bytes, str] | Exception], url: str, seconds: float) -> None:
    opener = urllib.request.OpenerDirector()  # without those for file:, ftp: and data:
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    end = time.monotonic() + seconds
    try:
        with opener.open(url, timeout=seconds) as answer:
            data = b""
            while (piece := answer.read1(65536)) and len(data) <= MOST_BYTES and time.monotonic() < end:
                data += piece
            if len(data) > MOST_BYTES:
                raise ConfigurationError(f"it gives more than {MOST_BYTES} bytes; is it a broker's /pubkeys/?")
            if answer.length:  # read1 does not complain about a connection that ended too early
                raise ConfigurationError(
                    f"the answer broke off {answer.length} bytes before its end, and nothing was changed. Run this "
                    "again; if it happens again, look at what is between this host and the broker"
                )
            answers.put((data, answer.url))
    except (OSError, HTTPException, ValueError, ConfigurationError) as error:
        answers.put(error)


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code}"
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({reason.verify_message}); put the authority's certificate into "
            "/usr/local/share/ca-certificates and run update-ca-certificates"
        )
    if isinstance(error, ConfigurationError):
        return str(error)
    return field(str(getattr(reason, "strerror", None) or reason), 200).replace("\\x20", " ")


def read_keys(text: str, commands: Sequence[str]) -> list[AuthorizedKey]:
    """The keys in what a broker gives. Raises ConfigurationError on the first line that is not as it should be."""
    keys = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            keys.append(check_broker_line(line, commands))
        except ValueError as error:
            raise ConfigurationError(f"line {number} is refused, and nothing was changed: {error}") from None
    if not keys:
        raise ConfigurationError("the broker gives no key; run x2gobroker-keygen on its host")
    if len(keys) > MOST_KEYS:
        raise ConfigurationError(f"the broker gives more than {MOST_KEYS} keys; nothing was changed")
    return keys


def agrees(options: argparse.Namespace, url: str, user: str) -> bool:
    """Whether the keys shall be trusted: asked where somebody sits, and where anybody could have changed them."""
    is_plain = not url.startswith("https:")
    if options.yes or not (is_plain or sys.stdin.isatty()):
        return True
    if is_plain:
        print("They came without TLS: anybody in between could have changed them.")
    print("Compare with `ssh-keygen -l -f FILE.pub` on the broker's host.")
    try:
        answer = input(f"Let the holder run the broker agent as {user}? (yes/no) ")
    except EOFError:
        answer = ""
        print()
    return answer.strip().lower() in ("y", "yes")


def authorize(folder: SafeFolder, keys: Sequence[AuthorizedKey], options: argparse.Namespace, source: str) -> int:
    """Bring the keys into the file, after asking. Returns the exit status. Raises OSError, ConfigurationError."""
    path = folder.path / FILE
    for key in keys:
        print(f"{described(key.kind, key.blob)} {field(key.comment)}")
    merged = _merged(folder, keys)
    if not (merged.added or merged.replaced) and folder.is_right(FILE, 0o600):
        print(f"{path}: nothing to do, all of them are there")
        return 0
    if not agrees(options, source, options.user):
        print(f"{PROGRAM}: nothing was changed; with --yes it does not ask", file=sys.stderr)
        return 1
    with folder.locked():
        merged = _merged(folder, keys)
        folder.write(FILE, merged.text.encode("utf-8", "surrogateescape"), 0o600)
    print(f"{path}: {len(merged.added)} added, {len(merged.replaced)} replaced, {len(merged.kept)} already there")
    return 0


def _merged(folder: SafeFolder, keys: Sequence[AuthorizedKey]) -> Merged:
    return merge((folder.read(FILE) or b"").decode("utf-8", "surrogateescape"), keys)


def run(options: argparse.Namespace) -> int:
    """Fetch, check, ask, write. Raises BrokerError."""
    settings = source_of(argparse.Namespace(config_file=None, session_profiles=None)).current()
    options.user = options.user or settings.environment("X2GOBROKER_DAEMON_USER")
    if os.geteuid() != 0:
        raise ConfigurationError("run this program as root: it writes into another user's home folder")
    try:
        account = pwd.getpwnam(options.user)
    except KeyError:
        raise ConfigurationError(
            f"there is no user {options.user} on this machine; install the broker agent, or name the user with -u"
        ) from None
    text, source = fetch(options.broker_url)
    commands = dict.fromkeys((USUAL_COMMAND, settings.text(ENVIRONMENT, "X2GOBROKER_AGENT_CMD")))
    keys = read_keys(text, tuple(commands))
    path = Path(account.pw_dir) / ".ssh"
    try:
        with safe_folder(path, account.pw_uid, account.pw_gid) as folder:
            return authorize(folder, keys, options, source)
    except FileNotFoundError:
        raise ConfigurationError(f"the home folder {account.pw_dir} of {options.user} is missing; make it") from None
    except OSError as error:
        raise ConfigurationError(f"{path / FILE} cannot be written: {error.strerror or error}") from None


@told(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Exit status 0: the keys are authorized, 1: they are not, 2: the command line is wrong."""
    return run_told(PROGRAM, run, build_parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
