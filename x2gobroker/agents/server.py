#!/bin/sh
# fmt: off
'''exec' /usr/bin/python3 -IS -c "import sys, importlib.machinery as m; del sys.argv[0]; a = sys.argv[0]
exec(m.SourceFileLoader('agent', a).get_code('agent'))" "$0" "$@"  # see below

`x2gobroker-agent`: what a session broker asks of an X2Go Server. Runs there; needs Python 3.7 and nothing else.

Called as `x2gobroker-agent USER TASK [ARGUMENTS]`, or by a forced command of sshd, then with the client's words. As an
ordinary account it runs itself again as root through sudo. Answers `OK` in the first line and data behind it once all
is done; else one line on the standard error stream, and exit status 1. The task `watch` goes on telling.

Source of tasks and answers: the agent of x2gobroker 0.0.4.3. This file can be copied to servers as it is. It starts for
every call, so it imports little, and what is used seldom only where it is used. To compile it would take longer than
most tasks take: the line above is for sh, and has Python keep what it has compiled, in `__pycache__` beside this file,
where only root can write it. To Python it is a part of this text.
'''
# fmt: on

from __future__ import annotations

import fcntl
import os
import pwd
import sys
import time

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import ctypes
    import sqlite3
    from collections.abc import Callable, Sequence

USAGE = "usage: x2gobroker-agent USER TASK [ARGUMENTS]; the task availabletasks shows all"
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin", "LANG": "C.UTF-8"}
# the reference's names in the reference's order; how many arguments each takes
TASKS = {
    "ping": (0, 0),
    "availabletasks": (0, 0),
    "addauthkey": (2, 3),
    "delauthkey": (2, 2),
    "listsessions": (0, 0),
    "findbusyservers": (0, 0),
    "findbusyservers_by_sessionstats": (0, 0),
    "checkload": (0, 0),
    "getservers": (0, 0),
    "suspendsession": (1, 1),
    "terminatesession": (1, 1),
    # ours
    "report": (0, 0),
    "watch": (1, 1),
}
WITHOUT_X2GO = ("ping", "availabletasks", "addauthkey", "delauthkey", "checkload")
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
NAME_CHARACTERS = frozenset(LETTERS + "._@-")
SUDO_NOISE = "sudo: unable to resolve host "  # it goes on all the same
SHELL_OPERATORS = frozenset(";|&<>()$`*?[]{}!#~\n\r")
MOST_BYTES = 1 << 20
MOST_REPORT_BYTES = 2_000_000
LONGEST_COMMAND = 40000
LONGEST_LINE = 16384
FIRST_ORDINARY_UID = 1000

SUDO_SECONDS = 40.0
# A task is over within 5 s, agent-timeout of brokers, so that they hear what was wrong. LIST_SECONDS is for all that a
# task asks about sessions; COUNT_SECONDS are a part of them.
LIST_SECONDS, COUNT_SECONDS = 4.0, 3.0
VERSION_SECONDS, KEYS_SECONDS, LOCK_SECONDS = 1.0, 3.0, 2.0
# until a session is suspended, or gone, and for the list that may be begun then: brokers wait 20 s longer for these
SESSION_SECONDS, SESSION_LIST_SECONDS = 15.0, 8.0
LISTED_NAME, LISTED_SERVER, LISTED_STATE, LISTED_COOKIE, LISTED_CHANGED, LISTED_USER = 1, 3, 4, 6, 10, 11
LISTED_FOLDERS = 13

SQL_SETTINGS, X2GO_SETTINGS = "/etc/x2go/x2gosql/sql", "/etc/x2go/x2goserver.conf"
ROOT_LOGIN = "/etc/x2go/x2gosql/passwords/x2gopgadmin"
USER_LOGIN = ".x2go/pgsqlpass"  # below the home folder; both hold a password
DATABASE_NAME, DATABASE_OWNER, DATABASE_ADMIN = "x2go_sessions", "x2gouser", "x2godbuser"
CONNECT_SECONDS, SQLITE_LOCK_SECONDS = 3, 2.0
# what a session's agent says of itself, as X2Go::Server::Agent::NX takes it
AGENT_STATES = {"STARTING": "R", "RESUMING": "R", "RUNNING": "R", "SUSPENDING": "S", "SUSPENDED": "S"}

MOST_SESSIONS = 10000  # in a report
CLIENT_CHARACTERS = frozenset(LETTERS + "._:%-")
LOOK_SECONDS, TROUBLE_SECONDS = 1.0, 3.0  # from one look at the sessions to the next, while watched
STATES_A_LOOK = 250  # state files that are looked at each time, in turns
ANSWER_SECONDS = 8  # until a database that does not answer is said to be in trouble
LONGEST_SILENCE = 3600

KEY_TYPES = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
# the login check of X2Go Client needs a PTY, sessions need port forwarding; no X11, no ~/.ssh/rc
KEY_OPTIONS = "restrict,pty,port-forwarding,agent-forwarding"
KEY_MARK = "x2gobroker-autologin-"  # and the end of the key's time in epoch seconds
KEY_LIFE, LONGEST_KEY_LIFE = 300, 86400
KEY_FOLDERS = (".ssh", ".x2go")  # below home folders, with files of KEY_FILE: what is let in there starts nothing
KEY_FILE = "authorized_keys"  # and whatever letters, digits and - . _ behind it
KEY_FILE_CHARACTERS = frozenset(LETTERS + "-._")
KEY_FILES = "/etc/x2go/x2gobroker-agent.keyfiles"  # what an administrator allows beyond these


class RefusedError(Exception):
    """It cannot or must not be done; the text is for the broker's log."""


# --- words -----------------------------------------------------------------------------------------------------------


def split_words(text: str) -> list[str]:
    """The words that a shell would make of a command. What a shell would expand, or run, is refused: RefusedError."""
    words: list[str] = []
    word: str | None = None
    quote = ""
    characters = iter(text)
    for character in characters:
        if quote and character == quote:
            quote = ""
        elif quote == "'":
            word = (word or "") + character
        elif character == "\\":
            escaped = next(characters, "\n")
            if escaped == "\n":
                raise RefusedError("the command ends in a backslash, or a line of it does")
            word = (word or "") + (character if quote and escaped not in '"\\$`' else "") + escaped
        elif character in ("$`" if quote else SHELL_OPERATORS):
            raise RefusedError("the command holds shell syntax")
        elif not quote and character in "'\"":
            quote, word = character, word or ""
        elif quote or character not in " \t":
            word = (word or "") + character
        elif word is not None:
            words.append(word)
            word = None
    if quote:
        raise RefusedError("the command holds a quote without its partner")
    return words if word is None else [*words, word]


def forced_command(text: str) -> list[str]:
    """The agent's arguments in the command of an SSH client, with or without the reference's `sh -c`."""
    if len(text) > LONGEST_COMMAND:
        raise RefusedError("the command is too long")
    words = split_words(text)
    if len(words) == 3 and words[0] in ("sh", "/bin/sh") and words[1] == "-c":
        words = split_words(words[2])
    names = ("x2gobroker-agent", os.path.basename(sys.argv[0]))
    if not words or not words[0].startswith("/") or os.path.basename(words[0]) not in names:
        raise RefusedError("only x2gobroker-agent can be run here")
    return words[1:]


def is_name(text: str, most: int) -> bool:
    """Whether this can be the name of a user or a session."""
    return 0 < len(text) <= most and text[0] != "-" and NAME_CHARACTERS.issuperset(text)


def checked(words: Sequence[str]) -> tuple[str, str, list[str]]:
    """User, task and arguments, in the form that the task takes. Raises RefusedError."""
    if len(words) < 2:
        raise RefusedError(USAGE)
    user, task, arguments = words[0], words[1], list(words[2:])
    if not is_name(user, 100):
        raise RefusedError("the user name is no name")
    if task not in TASKS:
        raise RefusedError("there is no such task")
    least, most = TASKS[task]
    if not least <= len(arguments) <= most:
        raise RefusedError(f"{task} takes {least} to {most} arguments, not {len(arguments)}")
    if not all(argument.isprintable() and 0 < len(argument) <= LONGEST_LINE for argument in arguments):
        raise RefusedError("an argument is empty, too long or no text")
    if task.endswith("session") and not is_name(arguments[0], 500):
        raise RefusedError("the session name is no name")
    if task.endswith("authkey"):
        public_key(arguments[0])
        key_life(arguments[2:])
    if task == "watch" and not 1 <= whole_number(arguments[0]) <= LONGEST_SILENCE:
        raise RefusedError(f"watch takes the seconds from one sign of life to the next: 1 to {LONGEST_SILENCE}")
    return user, task, arguments


def public_key(line: str) -> tuple[str, str]:
    """Type and base64 blob of the key in a line of an authorized_keys file. Raises RefusedError."""
    import binascii

    # quoted options may hold anything, even what looks like a key
    words = "".join(line.replace('\\"', "").split('"')[::2]).split()
    at = next((at for at, word in enumerate(words[:-1]) if word in KEY_TYPES), -1)
    if at < 0:
        raise RefusedError("the line holds no public key of a type that is known")
    kind, blob = words[at : at + 2]
    try:
        data = binascii.a2b_base64(blob.encode("ascii"))
    except ValueError:
        data = b""
    rest, fields = data, []
    while len(rest) >= 4 and len(rest) - 4 >= int.from_bytes(rest[:4], "big"):
        size = 4 + int.from_bytes(rest[:4], "big")
        fields.append(rest[4:size])
        rest = rest[size:]
    whole = not rest and len(fields) >= 2 and len(data) > 40 and fields[0] == kind.encode()
    if not whole or binascii.b2a_base64(data, newline=False) != blob.encode("ascii"):
        raise RefusedError("the public key is cut off, or is not of the type it says")
    return kind, blob


def key_life(arguments: Sequence[str]) -> int:
    """For how many seconds a key is to be let in. Raises RefusedError."""
    life = whole_number(arguments[0]) if arguments else KEY_LIFE
    if not 1 <= life <= LONGEST_KEY_LIFE:
        raise RefusedError(f"a key lives for 1 to {LONGEST_KEY_LIFE} seconds")
    return life


def whole_number(text: str) -> int:
    """The number that a text of up to ten digits is; -1 for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else -1


# --- processes -------------------------------------------------------------------------------------------------------


def become(account: pwd.struct_passwd) -> None:
    """Be this user, for good."""
    if account.pw_name == DATABASE_OWNER:  # needs no other groups, and looking for them takes 2 ms
        os.setgroups([account.pw_gid])
    else:
        os.initgroups(account.pw_name, account.pw_gid)
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    if set(os.getresuid()) != {account.pw_uid} or set(os.getresgid()) != {account.pw_gid} or account.pw_uid == 0:
        raise RefusedError("cannot become the user")


def _in_child(work: Sequence[str] | Callable[[], bytes], account: pwd.struct_passwd | None, pipes: list[int]) -> None:
    """The child's side of run(). Never returns."""
    status = 1
    try:
        os.setsid()
        for number, pipe in enumerate([os.open(os.devnull, os.O_RDWR), *pipes]):
            os.dup2(pipe, number)
        os.chdir("/")
        os.umask(0o077 if callable(work) else 0o022)
        environment = dict(ENVIRONMENT)
        if account is not None:
            become(account)
            environment.update(HOME=account.pw_dir, SHELL="/bin/sh", USER=account.pw_name, LOGNAME=account.pw_name)
        if callable(work):
            say(1, work())
            status = 0
        else:
            if account is None and "TZ" in os.environ:  # sshd says in it how it reads the times in key files
                environment["TZ"] = os.environ["TZ"]
            if account is not None:
                import signal  # run() did; as the user it may be impossible

                signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and so would the program
            os.execve(work[0], list(work), environment)  # noqa: S606 - no shell is what is wanted
    except RefusedError as error:
        say(2, str(error).encode("utf-8", "replace"))
    except OSError as error:
        say(2, f"{error.filename or 'the agent'}: {error.strerror}".encode("utf-8", "replace"))
    finally:
        os._exit(status)


def run(
    work: Sequence[str] | Callable[[], bytes],
    account: pwd.struct_passwd | None,
    seconds: float,
    most_bytes: int = MOST_BYTES,
) -> tuple[int, bytes, str]:
    """Run a program, or a function, in a process group of its own, as `account` where one is given.

    Exit status, output, and what it said first on its error stream. What it leaves running is let alone.
    Raises RefusedError after `seconds`, or with more than `most_bytes`; then all of the process group is killed.
    """
    import select

    if account is not None and not callable(work):
        import signal  # noqa: F401 - for the child

    ends = [os.pipe(), os.pipe()]
    child = os.fork()
    if not child:
        _in_child(work, account, [end[1] for end in ends])
    for end in ends:
        os.close(end[1])
    heard = {end[0]: b"" for end in ends}
    waiting, deadline, status = list(heard), time.monotonic() + seconds, None
    what = work.__name__ if callable(work) else os.path.basename(work[0])
    while status is None or (waiting and select.select(waiting, [], [], 0)[0]):
        left = deadline - time.monotonic()
        if left <= 0 or sum(map(len, heard.values())) > most_bytes:
            _kill(child)
            trouble = f"took longer than {seconds:.2g} s" if left <= 0 else f"said more than {most_bytes} bytes"
            raise RefusedError(f"{what} {trouble}")
        ready = select.select(waiting, [], [], min(left, 0.05 if waiting else 0.001))[0]
        for pipe in ready:
            data = os.read(pipe, 65536)
            heard[pipe] += data
            if not data:
                waiting.remove(pipe)
        if status is None and (not ready or not waiting):
            ended, how = os.waitpid(child, os.WNOHANG)
            status = (how >> 8 or how & 127) if ended else None
    for end in ends:
        os.close(end[0])
    output, errors = heard.values()
    return status, output, first_error(errors)


def first_error(errors: bytes) -> str:
    """The first line on an error stream that says what is wrong."""
    lines = errors.decode("utf-8", "replace").strip().split("\n")
    return next((line for line in lines if not line.startswith(SUDO_NOISE)), "")[:300]


def _kill(child: int) -> None:
    for kill in (os.killpg, os.kill):  # it may not have its own group yet
        try:
            kill(child, 9)
        except OSError:  # it has ended, or is sudo
            continue


def say(stream: int, data: bytes) -> None:
    """Write all of it."""
    while data:
        data = data[os.write(stream, data) :]


def program(name: str) -> str:
    """The path of a program, empty where it is not installed."""
    paths = [f"{folder}/{name}" for folder in ENVIRONMENT["PATH"].split(":")]
    return next((path for path in paths if os.access(path, os.X_OK)), "")


def account_of(user: str) -> pwd.struct_passwd:
    """The account that something may be done as. Raises RefusedError."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise RefusedError(f"there is no user {user} on this host") from None
    if account.pw_uid < FIRST_ORDINARY_UID or not is_name(account.pw_name, 100):
        raise RefusedError(f"{user} is a system user: nothing is done for those")
    if not account.pw_dir.startswith("/"):
        raise RefusedError(f"{user} has no home folder")
    return account


# --- the session database --------------------------------------------------------------------------------------------


def setting(path: str, section: str, name: str) -> str:
    """A value in an INI file of x2goserver, empty where there is none; the section of lines before the first is ""."""
    current = ""
    for line in map(str.strip, lines_of(path)):
        if line.startswith("["):
            current = line.strip("[] ")
        found, _, value = line.partition("=")
        if current == section and found.strip() == name:
            return value.strip(" \t\"'")
    return ""


def database_backend() -> str:
    """Which session database x2goserver uses."""
    return setting(SQL_SETTINGS, "", "backend")


# Rows come as texts with bars between the fields. Of all sessions of this host, those are told that have an agent: a
# row without cookie or process is half made, or not by the user whom it names; and views of others' sessions (XSHAD)
# are made by those others. Nothing else limits the lengths: PostgreSQL has texts there, and SQLite heeds no limit.
TOLD = (
    "length(session_id) <= 500 AND length(uname) <= 100 AND "
    "cookie <> '' AND agent_pid IS NOT NULL AND session_id NOT LIKE '%XSHAD%'"
)


def barred(function: str, *columns: str) -> str:
    """These columns as one text, NULL as nothing; `function` is the database's name for printf."""
    return f"{function}('{'|'.join(['%s'] * len(columns))}', {', '.join(columns)})"


def rows_here(function: str, since: str, client: str, told: str, server: str, order: str) -> tuple[str, str]:
    """Queries for the sessions of a server: how many there are and how many to be told; and the latter, newest first.

    `since` is an expression for epoch seconds, `client` for the client's address.
    """
    counts = barred(function, "count(*)", f"coalesce(sum(CASE WHEN {told} THEN 1 ELSE 0 END), 0)")
    columns = ("session_id", "uname", "display", "status", since, client, "gr_port", "sound_port", "fs_port")
    where = f"FROM sessions WHERE status <> 'F' AND server = {server}"
    newest = f"ORDER BY {order} DESC LIMIT {MOST_SESSIONS}"
    return f"SELECT {counts} {where}", f"SELECT {barred(function, *columns)} {where} AND {told} {newest}"


class Sqlite:
    """The session database in a file of x2gouser's, opened for reading only. Methods raise RefusedError, OSError."""

    OWN = barred(
        "printf", "agent_pid", "session_id", "display", "server", "status", "strftime('%Y-%m-%dT%H:%M:%S',init_time)",
        "cookie", "client", "gr_port", "sound_port", "strftime('%Y-%m-%dT%H:%M:%S',last_time)", "uname",
        "strftime('%s','now','localtime') - strftime('%s',init_time)", "fs_port", "tekictrl_port", "tekidata_port",
    )  # fmt: skip
    HERE = rows_here("printf", "strftime('%s',last_time,'utc')", "substr(client,1,254)", TOLD, "?", "rowid")

    def __init__(self, path: str) -> None:
        self.path = path
        self.connection: sqlite3.Connection | None = None
        self.seen: list[tuple[int, ...]] = []  # how the files looked when they were last read
        self.version = -1

    def query(self, text: str, *values: str) -> list[str]:
        """The only column of the answer."""
        import sqlite3

        try:
            if self.connection is None:
                self.connection = sqlite3.connect(
                    f"file:{self.path}?mode=ro", uri=True, timeout=SQLITE_LOCK_SECONDS, isolation_level=None
                )
                self.connection.text_factory = lambda data: data.decode("utf-8", "replace")
            return [str(row[0]) for row in self.connection.execute(text, values)]
        except sqlite3.Error as error:
            self.close()
            raise RefusedError(f"session database: {error}") from None

    def close(self) -> None:
        """Close the file; the next query opens it again."""
        if self.connection is not None:
            self.connection.close()
        self.connection, self.seen, self.version = None, [], -1

    def counts(self) -> list[str]:
        """Servers, and how many sessions each has."""
        return self.query("SELECT printf('%s %s', server, count(*)) FROM sessions WHERE status != 'F' GROUP BY server")

    def own(self, user: str) -> list[str]:
        """The user's sessions, with the fields of x2golistsessions, which has the same query."""
        where = "status !='F' and uname=? and (session_id not like '%XSHAD%') order by status desc"
        return self.query(f"SELECT {self.OWN} FROM sessions WHERE {where}", user)  # noqa: S608 - of constants

    def changed(self, server: str) -> list[str] | None:
        """The counts of rows_here, and the sessions; None where nothing was written since they were last asked for."""
        found = [os.stat(self.path)]
        try:
            found.append(os.stat(f"{self.path}-wal"))
        except FileNotFoundError:
            found = found[:1]  # as X2Go makes it, there is none
        files: list[tuple[int, ...]] = [(file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns) for file in found]
        if files == self.seen:
            return None
        if self.seen and self.seen[0][:2] != files[0][:2]:
            self.close()  # another file has its name now
        (version,) = self.query("PRAGMA data_version")
        same = int(version) == self.version
        rows = [] if same else self.rows(server)
        self.version = int(version)
        # a clock of the file system may tick seldom: what is written next may then not show in the file's time
        self.seen = files if time.time() - max(file.st_mtime for file in found) > 1 else [(*files[0][:2], 0)]
        return None if same else rows

    def rows(self, server: str) -> list[str]:
        """Counts and sessions, of one moment."""
        self.query("BEGIN")
        rows = [*self.query(self.HERE[0], server), *self.query(self.HERE[1], server)]
        self.query("COMMIT")
        return rows


class Postgres:
    """The session database of several servers, by the libpq that x2goserver's own Perl modules need.

    Methods raise RefusedError, OSError.
    """

    MOMENT = "'YYYY-MM-DD\"T\"HH24:MI:SS'"
    OWN = (
        "agent_pid", "session_id", "display", "server", "status", f"to_char(init_time,{MOMENT})", "cookie", "client",
        "gr_port", "sound_port", f"to_char(last_time,{MOMENT})", "uname", "to_char(now()-init_time,'SSSS')", "fs_port",
    )  # fmt: skip
    TELEKINESIS = ("tekictrl_port", "tekidata_port")
    # users can write any time, such as infinity, which is no number and would fail the query for all
    SINCE = (
        "CASE WHEN last_time BETWEEN '1970-01-02' AND '2970-01-01' "
        "THEN floor(extract(epoch FROM last_time::timestamptz))::bigint ELSE 0 END"
    )
    # anybody can write rows that name others, but not as theirs
    HERE = rows_here("format", SINCE, "client", f"{TOLD} AND creator_id = 'x2gouser_' || uname", "$1", "init_time")
    DIGEST = f"SELECT md5(concat(({HERE[0]}), (SELECT string_agg(line, ' ') FROM ({HERE[1]}) AS told(line))))"  # noqa: S608

    def __init__(self, user: str, home: str, password: Callable[[], str]) -> None:
        self.user, self.home, self.password = user, home, password
        self.connection: int | None = None
        self.digest: list[str] = []

    def connect(self) -> None:
        """Load the library, and connect."""
        import ctypes

        os.environ.update(HOME=self.home, PGGSSENCMODE="disable")  # there is a password
        library = ctypes.CDLL("libpq.so.5")
        texts = ctypes.POINTER(ctypes.c_char_p)
        pointer, number = ctypes.c_void_p, ctypes.c_int
        for name, result, arguments in (
            ("PQconnectdbParams", pointer, (texts, texts, number)),
            ("PQstatus", number, (pointer,)),
            ("PQerrorMessage", ctypes.c_char_p, (pointer,)),
            ("PQexecParams", pointer, (pointer, ctypes.c_char_p, number, pointer, texts, pointer, pointer, number)),
            ("PQresultStatus", number, (pointer,)),
            ("PQntuples", number, (pointer,)),
            ("PQgetvalue", ctypes.c_char_p, (pointer, number, number)),
            ("PQclear", None, (pointer,)),
            ("PQfinish", None, (pointer,)),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments

        def array(values: Sequence[str]) -> ctypes.Array[ctypes.c_char_p]:
            return (ctypes.c_char_p * (len(values) + 1))(*(value.encode() for value in values))

        self.library, self.array = library, array
        settings = {
            "host": setting(SQL_SETTINGS, "postgres", "host") or "localhost",
            "port": setting(SQL_SETTINGS, "postgres", "port") or "5432",
            "sslmode": setting(SQL_SETTINGS, "postgres", "ssl") or "prefer",
            "dbname": DATABASE_NAME,
            "user": self.user,
            "password": self.password(),
            "connect_timeout": str(CONNECT_SECONDS),
        }
        self.connection = library.PQconnectdbParams(array([*settings]), array([*settings.values()]), 0)
        if library.PQstatus(self.connection) != 0:
            raise self.trouble()

    def trouble(self) -> RefusedError:
        """What libpq says is wrong; the connection is closed."""
        said = self.library.PQerrorMessage(self.connection).decode("utf-8", "replace")
        self.library.PQfinish(self.connection)
        self.connection, self.digest = None, []
        return RefusedError(f"session database: {said.strip()[:200]}")

    def query(self, text: str, *values: str) -> list[str]:
        """The only column of the answer."""
        if self.connection is None:
            self.connect()
        count = len(values)
        result = self.library.PQexecParams(
            self.connection, text.encode(), count, None, self.array(values), None, None, 0
        )
        try:
            if self.library.PQresultStatus(result) not in (1, 2):  # a command is done, or there are rows
                raise self.trouble()
            rows = range(self.library.PQntuples(result))
            return [self.library.PQgetvalue(result, row, 0).decode("utf-8", "replace") for row in rows]
        finally:
            self.library.PQclear(result)

    def counts(self) -> list[str]:
        """Servers, and how many sessions each has."""
        table = "sessions" if self.user == DATABASE_ADMIN else "servers_view"
        where = f"FROM {table} WHERE status != 'F' GROUP BY server"
        return self.query(f"SELECT format('%s %s', server, count(*)) {where}")

    def own(self, user: str) -> list[str]:
        """The user's sessions, with the fields of x2golistsessions, which has the same query. It goes by who asks."""
        words = ("1", "yes", "Yes", "YES", "on", "On", "ON", "True", "true", "TRUE")
        enabled = setting(X2GO_SETTINGS, "telekinesis", "enable")
        columns = self.OWN + (self.TELEKINESIS if any(word in enabled for word in words) else ())
        where = "status !='F' and (session_id not like '%XSHAD%') order by status desc"
        return self.query(f"SELECT {barred('format', *columns)} FROM sessions_view WHERE {where}")  # noqa: S608

    def changed(self, server: str) -> list[str] | None:
        """The counts of rows_here, and the sessions; None where nothing was written since they were last asked for."""
        digest = self.query(self.DIGEST, server)
        if digest == self.digest:
            return None
        self.query("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        rows = [*self.query(self.HERE[0], server), *self.query(self.HERE[1], server)]
        self.query("COMMIT")
        self.digest = digest
        return rows


def session_database(account: pwd.struct_passwd | None) -> tuple[Sqlite | Postgres, pwd.struct_passwd]:
    """The session database, and as whom to read it: for a user's own sessions or, without one, for all of a server.

    Raises RefusedError where it cannot be read without x2goserver's programs.
    """
    backend = database_backend()
    if backend not in ("sqlite", "postgres"):
        raise RefusedError(f"a session database of the kind {backend!r} is not known")
    try:
        owner = pwd.getpwnam(DATABASE_OWNER)
    except KeyError:
        raise RefusedError(f"there is no user {DATABASE_OWNER}") from None
    if backend == "sqlite":
        return Sqlite(f"{owner.pw_dir}/{DATABASE_NAME}"), owner
    if account is None:
        password = first_line(ROOT_LOGIN)  # as root; the rest is done by somebody with fewer rights
        return Postgres(DATABASE_ADMIN, owner.pw_dir, lambda: password), owner
    file = f"{account.pw_dir}/{USER_LOGIN}"
    return Postgres(f"x2gouser_{account.pw_name}", account.pw_dir, lambda: first_line(file)), account


def first_line(path: str) -> str:
    """The first line of a file. Raises RefusedError."""
    lines = lines_of(path)
    if not lines or not lines[0]:
        raise RefusedError(f"{path} cannot be read, or is empty")
    return lines[0]


def text_of(rows: Sequence[str]) -> bytes:
    """Rows as lines; one that would be more than a line, or holds control characters, is empty."""
    return "\n".join([row if row.isprintable() else "" for row in rows]).encode("utf-8", "replace")


class Reader:
    """A process that keeps the session database open, as an account that may do nothing else, and is asked by a pipe.

    It ends when the pipe is closed, and when a question takes it too long: a database may never answer.
    """

    def __init__(self, server: str) -> None:
        self.server = server
        self.database, self.account = session_database(None)
        self.child, self.question, self.answer = 0, -1, -1

    def start(self) -> None:
        """Start the process."""
        import signal  # noqa: F401 - for the child

        questions, answers = os.pipe(), os.pipe()
        self.child = os.fork()
        if not self.child:
            self.serve(questions[0], answers[1])
        os.close(questions[0])
        os.close(answers[1])
        self.question, self.answer = questions[1], answers[0]

    def serve(self, question: int, answer: int) -> None:
        """The child's side. Never returns."""
        import signal

        try:
            os.setsid()
            for number, file in enumerate([question, answer, os.open(os.devnull, os.O_RDWR)]):
                os.dup2(file, number)
            os.closerange(3, 1024)
            os.chdir("/")
            become(self.account)
            while os.read(0, 1):
                signal.alarm(ANSWER_SECONDS)
                try:
                    rows = self.database.changed(self.server)
                    reply = b"=" if rows is None else b"+" + text_of(rows)
                except (RefusedError, OSError) as error:
                    reply = b"!" + str(error).encode("utf-8", "replace")
                signal.alarm(0)
                say(1, len(reply).to_bytes(4, "big") + reply)
        finally:
            os._exit(1)

    def changed(self) -> list[str] | None:
        """What the database's method says. Raises RefusedError; the process is started anew with the next question."""
        if not self.child:
            self.start()
        try:
            os.write(self.question, b"?")
            size = int.from_bytes(self.read(4), "big")
            if size > 4 * MOST_REPORT_BYTES:
                self.close()
                raise RefusedError(f"the session database said more than {4 * MOST_REPORT_BYTES} bytes")
            reply = self.read(size).decode("utf-8")
        except OSError:
            self.close()
            raise RefusedError("the session database does not answer") from None
        if reply.startswith("!"):
            raise RefusedError(reply[1:])
        return reply[1:].split("\n") if reply.startswith("+") else None

    def read(self, size: int) -> bytes:
        """So many bytes of an answer. Raises OSError where they do not come."""
        import select

        data, deadline = b"", time.monotonic() + ANSWER_SECONDS + 2
        while len(data) < size:
            if not select.select([self.answer], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            more = os.read(self.answer, size - len(data))
            if not more:
                raise BrokenPipeError
            data += more
        return data

    def close(self) -> None:
        """End the process."""
        if self.child:
            _kill(self.child)
            os.waitpid(self.child, 0)
            os.close(self.question)
            os.close(self.answer)
        self.child = 0


# --- sessions --------------------------------------------------------------------------------------------------------


def left_until(deadline: float) -> float:
    """The seconds that are left, at least a moment."""
    return max(0.1, deadline - time.monotonic())


def listed(account: pwd.struct_passwd) -> list[bytes]:
    """The lines that x2golistsessions has for a user, on all servers of the session database. Nothing is written.

    It is run where the database cannot be read without it. Raises RefusedError.
    """
    deadline = time.monotonic() + LIST_SECONDS
    try:
        return own_sessions(account)
    except RefusedError as trouble:
        try:
            return corrected_by_x2goserver(account, left_until(deadline))
        except RefusedError as error:
            raise RefusedError(f"{error}; and without it: {trouble}") from None


def own_sessions(account: pwd.struct_passwd) -> list[bytes]:
    """The user's lines from the database, with states as the sessions' agents have them. Raises RefusedError."""
    database, reader = session_database(account)

    def session_list() -> bytes:
        return text_of(database.own(account.pw_name))

    status, output, said = run(session_list, reader, COUNT_SECONDS)
    if status:
        raise RefusedError(said or "the session database cannot be read")
    lines = []
    for row in output.decode("utf-8").split("\n"):
        fields = row.replace(" ", "").replace("*", " ").split("|")  # as x2golistsessions
        if len(fields) > LISTED_USER:
            if is_name(fields[LISTED_NAME], 500):
                word = agent_state(fields[LISTED_USER], fields[LISTED_NAME])
                fields[LISTED_STATE] = corrected(fields[LISTED_STATE], word)
            lines.append(line_of(fields).encode("utf-8"))
    return lines


def line_of(fields: Sequence[str]) -> str:
    """A line of fields between bars: the one place that writes one. Raises RefusedError for what cannot be a field."""
    if any("|" in field or not field.isprintable() for field in fields):
        raise RefusedError("a field holds bars or control characters")
    return "|".join(fields)


def corrected_by_x2goserver(account: pwd.struct_passwd, seconds: float) -> list[bytes]:
    """The lines of x2golistsessions, which corrects the database by what the sessions' agents say."""
    status, output, said = run([program("x2golistsessions"), "--all-servers"], account, seconds)
    if status:
        raise RefusedError(f"x2golistsessions failed: {said}")
    return [line for line in output.split(b"\n") if line.strip()]


def session_of(account: pwd.struct_passwd, name: str) -> list[str]:
    """The fields of one of the user's sessions; empty ones if there is none. The database is corrected."""
    for line in corrected_by_x2goserver(account, SESSION_LIST_SECONDS):
        fields = line.decode("utf-8", "replace").split("|")
        if len(fields) > LISTED_STATE and fields[LISTED_NAME] == name:
            return fields
    return [""] * (LISTED_STATE + 1)


def state_path(user: str, name: str) -> str:
    """The file in which a session's agent says its state: where x2goserver looks for it."""
    below = f".x2go-{user}"
    folder = f"/tmp-inst/{user}" if os.path.isdir(f"/tmp-inst/{user}/{below}") else "/tmp"  # noqa: S108
    return f"{folder}/{below}/C-{name}/state"


def state_file(path: str) -> tuple[str, float]:
    """What stands in a state file, and since when; empty and 0 if it cannot be read."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return "", 0.0
    try:
        return os.read(file, 40).decode("ascii", "replace").strip(), os.fstat(file).st_mtime
    except OSError:
        return "", 0.0
    finally:
        os.close(file)


def corrected(state: str, word: str) -> str:
    """The state of a session: the database's, unless its agent says that it runs or is suspended."""
    return AGENT_STATES.get(word, state) if state in ("R", "S") else state


def agent_state(user: str, name: str) -> str:
    """What the session's agent says of itself in its state file; empty if that cannot be read."""
    return state_file(state_path(user, name))[0]


def agent_runs(number: str, name: str) -> bool:
    """Whether the process of the session's agent is there; one that ended and was not waited for has no words."""
    try:
        with open(f"/proc/{int(number)}/cmdline", "rb") as words:
            return name.encode() in words.read(MOST_BYTES)
    except (OSError, ValueError):
        return False


def end_session(account: pwd.struct_passwd, task: str, name: str) -> bytes:
    """Suspend or terminate a session of the user on this host, and wait for it. Raises RefusedError."""
    user, deadline = account.pw_name, time.monotonic() + SESSION_SECONDS
    session = session_of(account, name)
    if not session[LISTED_NAME]:
        raise RefusedError(f"{user} has no session {name}")
    if session[LISTED_SERVER] != os.uname().nodename:
        raise RefusedError(f"session {name} is not on this host, but on {session[LISTED_SERVER]}")
    suspend = task == "suspendsession"
    if suspend and session[LISTED_STATE] == "S" and agent_state(user, name) in ("", "SUSPENDED"):
        return b""
    while suspend and agent_state(user, name) == "STARTING":  # it would not hear it
        _wait(deadline, f"session {name} has not started: no client came, or its agent has ended")
    command = program("x2gosuspend-session" if suspend else "x2goterminate-session")
    status, _, said = run([command, name], account, max(1.0, deadline - time.monotonic()))
    if status:
        raise RefusedError(f"{os.path.basename(command)} failed: {said}")
    while True:
        if suspend and agent_state(user, name) in ("", "SUSPENDED"):
            state = session_of(account, name)[LISTED_STATE]
            if state == "S":
                return b""
            if not state:
                raise RefusedError(f"session {name} has ended")
        if not suspend and not agent_runs(session[0], name) and not session_of(account, name)[LISTED_NAME]:
            return b""
        _wait(deadline, f"session {name} is still there: {agent_state(user, name) or 'its agent says nothing'}")


def _wait(deadline: float, trouble: str) -> None:
    if time.monotonic() > deadline:
        raise RefusedError(trouble)
    time.sleep(0.05)


# --- figures ---------------------------------------------------------------------------------------------------------


def session_counts(account: pwd.struct_passwd | None = None) -> dict[str, int | None]:
    """Sessions, running and suspended, by server; None where they are not counted. Raises RefusedError.

    `account` is a user whom a shared session database may know: users may ask it for more than root.
    """
    deadline = time.monotonic() + LIST_SECONDS
    try:
        database, reader = session_database(account)

        def session_count() -> bytes:
            return text_of(database.counts())

        status, output, said = run(session_count, reader, COUNT_SECONDS)
    except RefusedError:
        status = 1
    if status and database_backend() == "sqlite":  # root may do it, also where x2gouser's files are elsewhere
        status, output, said = run([program("x2gogetservers")], None, left_until(deadline))
        if status:
            raise RefusedError(f"x2gogetservers failed: {said}")
    elif status:
        return listed_counts(left_until(deadline))  # somebody whom the database does not know
    counts: dict[str, int | None] = {}
    for line in output.decode("utf-8", "replace").split("\n"):
        server, _, count = line.strip().partition(" ")
        if server:
            counts[server] = int(count) if count.isdigit() else None
    return counts


def listed_counts(seconds: float) -> dict[str, int | None]:
    """The same from a list of all sessions, which root may see in PostgreSQL, unlike their numbers."""
    lister = program("x2golistsessions_root")
    if not lister:
        raise RefusedError("x2golistsessions_root is not installed: sessions cannot be counted")
    status, output, said = run([lister, "--all-servers"], None, seconds)
    if status:
        raise RefusedError(f"x2golistsessions_root failed: {said}")
    counts: dict[str, int | None] = {}
    for line in output.decode("utf-8", "replace").split("\n"):
        server = (line.split("|") + [""] * LISTED_STATE)[LISTED_SERVER]
        if server:
            counts[server] = (counts.get(server) or 0) + 1
    return counts


def busy_servers(account: pwd.struct_passwd | None = None) -> bytes:
    """The percentage of all sessions that each server has."""
    counts = session_counts(account)
    if None in counts.values():
        raise RefusedError("the session database does not count")
    total = sum(count or 0 for count in counts.values())
    shares = sorted(f"{int((count or 0) * 100 / total)}:{server}\n" for server, count in counts.items() if total)
    return "".join(shares).encode()


def lines_of(path: str) -> list[str]:
    """The lines of a file; none if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(MOST_BYTES).split("\n")
    except OSError:
        return []


def number(text: str) -> float:
    """The number that a text starts with; 0 if there is none."""
    first = text.strip().partition(" ")[0].rstrip("GMHhz")
    return float(first) if first.replace(".", "", 1).isdigit() else 0.0


def memory() -> tuple[int, int]:
    """Memory for new programs in MB (1000 kB): as Linux says (0: it does not), and as the reference reckons it."""
    found = {"MemAvailable": 0, "MemFree": 0, "Active(file)": 0, "Inactive(file)": 0, "SReclaimable": 0}
    for line in lines_of("/proc/meminfo"):
        name, _, rest = line.partition(":")
        if name in found:
            found[name] = int(number(rest))
    low = int(number("".join(lines_of("/proc/sys/vm/min_free_kbytes"))))
    cached = found["Active(file)"] + found["Inactive(file)"]
    usable = found["MemFree"] - low
    for pages in (cached, found["SReclaimable"]):
        usable += int(pages - min(pages / 2, low))
    return found["MemAvailable"] // 1000, max(0, usable) // 1000


def processors() -> tuple[int, int]:
    """How many processors there are, and the clock of one in MHz; 1000 if it is not known."""
    named, clocked = [], []
    for line in lines_of("/proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() == "model name" and "CPU" in value and "@ " in value:
            named.append(number(value.rpartition("@ ")[2]) * 1000)
        elif name.strip() == "cpu MHz":
            clocked.append(number(value) + 0.999)
    found = named if named and named[-1] else clocked
    fastest = "".join(lines_of("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"))  # for ARM
    return len(found) or os.cpu_count() or 1, int(found[-1] if found else number(fastest) / 1000) or 1000


def load_figures() -> dict[str, int]:
    """The load of this host: figures, names and units of the reference."""
    averages = [number(word) for word in " ".join(lines_of("/proc/loadavg")).split()[:3]]
    (available, reckoned), (count, clock) = memory(), processors()
    return {
        "loadavgXX": max(1, int(sum(averages) * 100 / 3 + 1)),
        "memAvail": available,
        "myMemAvail": reckoned,
        "numCPU": count,
        "typeCPU": clock,
    }


def load() -> bytes:
    """The lines of checkload: the load, and how many sessions this host has."""
    figures = load_figures()
    try:
        counts = session_counts() if program("x2gogetservers") else {"": None}
    except RefusedError:
        counts = {"": None}
    if None not in counts.values():
        figures["numSessions"] = counts.get(os.uname().nodename) or 0
    return "".join(f"{name}:{figure}\n" for name, figure in figures.items()).encode()


# --- report and watch ------------------------------------------------------------------------------------------------


def told_fields(row: str) -> list[str]:
    """The fields of a row of rows_here as they are told: name, user, display, state, since, client, three ports.

    Empty, where it cannot be that of a session. Users can write into their rows what they like.
    """
    fields = row.split("|")
    if len(fields) != 9:
        return []
    name, user, display, state, since, client, *ports = fields
    possible = is_name(name, 500) and 0 < len(user) <= 100 and not {" ", "/"} & {*user}
    if not possible or state not in ("R", "S", "T") or whole_number(display) < 0 or whole_number(since) < 0:
        return []
    address = client if len(client) < 254 and CLIENT_CHARACTERS.issuperset(client) else ""
    shown = [port if 0 <= whole_number(port) < 65536 else "-1" for port in ports]
    return [name, user, display, state, since, address, *shown]


class Session:
    """A session of this host: its row in the database, and what its agent says of its state."""

    def __init__(self, row: str) -> None:
        self.row = row
        self.fields = told_fields(row)
        self.path = state_path(self.fields[1], self.fields[0]) if self.fields else ""
        self.seen: object = None  # how the state file looked
        self.line = ""  # as it was told last

    def look(self) -> bool:
        """Look at the state file; whether there is something to tell."""
        try:
            file = os.stat(self.path, follow_symlinks=False)
        except OSError:
            seen, quiet = (0, 0, 0), True
        else:
            seen, quiet = (file.st_mtime_ns, file.st_ino, file.st_size), time.time() - file.st_mtime > 1
        if seen == self.seen:
            return False
        self.seen = seen if quiet else None  # it may be written once more in the same tick of the clock
        word, since = state_file(self.path)
        fields = list(self.fields)
        fields[3] = corrected(fields[3], word)
        if AGENT_STATES.get(word) == fields[3]:
            fields[4] = str(max(0, int(since)))
        fields[4] = str(min(int(fields[4]), int(time.time())))
        line = line_of(fields)
        news, self.line = line != self.line, line
        return news


class Inventory:
    """The sessions of this host, and what was told of them."""

    def __init__(self) -> None:
        self.count = self.left_out = 0
        self.sessions: dict[str, Session] = {}
        self.fresh: list[Session] = []  # not looked at yet
        self.turn = 0

    def take(self, rows: Sequence[str]) -> list[str]:
        """Take over what rows_here gave; the names of sessions that are gone."""
        counts = rows[0].split("|")
        before, self.sessions, self.fresh, size = self.sessions, {}, [], 0
        for row in rows[1:]:
            name = row.partition("|")[0]
            known = before.get(name)
            session = known if known and known.row == row else Session(row)
            if not session.fields:
                continue
            size += len("|".join(session.fields).encode()) + 20
            if size > MOST_REPORT_BYTES:
                break
            self.sessions[name] = session
            if session is not known:
                session.line = known.line if known else ""
                self.fresh.append(session)
        self.count, self.left_out = int(counts[0]), max(0, int(counts[1]) - len(self.sessions))
        return [name for name in before if name not in self.sessions]

    def look(self, most: int) -> list[str]:
        """Look at new sessions, and at `most` of the others, in turns; the lines of those with news."""
        others = list(self.sessions.values())
        if self.turn >= len(others):
            self.turn = 0
        due = self.fresh + others[self.turn : self.turn + most]
        self.turn, self.fresh = self.turn + most, []
        return [f"session:{session.line}" for session in due if session.look()]

    def report(self) -> list[str]:
        """All of them as lines, in between the figures of load and how many are left out."""
        self.look(len(self.sessions))
        server, now = os.uname().nodename, int(time.time())
        figures = {**load_figures(), "numSessions": self.count}
        head = [f"server:{server}", f"time:{now}", *(f"{name}:{figure}" for name, figure in figures.items())]
        lines = [f"session:{session.line}" for session in self.sessions.values()]
        return [*head, *lines, f"leftOut:{self.left_out}"]


def report() -> bytes:
    """Load and sessions of this host. Raises RefusedError."""
    deadline = time.monotonic() + LIST_SECONDS
    try:
        database, reader = session_database(None)

        def session_report() -> bytes:
            return text_of(database.changed(os.uname().nodename) or [])

        status, output, said = run(session_report, reader, COUNT_SECONDS, 4 * MOST_REPORT_BYTES)
        if status:
            raise RefusedError(said or "the session database cannot be read")
        rows = output.decode("utf-8").split("\n")
    except RefusedError as trouble:
        rows = rows_of_x2goserver(str(trouble), left_until(deadline))
    inventory = Inventory()
    inventory.take(rows)
    return "".join(f"{line}\n" for line in inventory.report()).encode()


def rows_of_x2goserver(trouble: str, seconds: float) -> list[str]:
    """The same rows as from the database, by the program of x2goserver that lists for root. Raises RefusedError."""
    lister = program("x2golistsessions_root")
    if not lister:
        raise RefusedError(trouble)
    status, output, said = run([lister], None, seconds, 4 * MOST_REPORT_BYTES)
    if status:
        raise RefusedError(f"x2golistsessions_root failed: {said}; and without it: {trouble}")
    count, rows = 0, []
    for line in output.decode("utf-8", "replace").split("\n"):
        fields = line.replace(" ", "").split("|")
        if len(fields) <= LISTED_FOLDERS or fields[LISTED_STATE] == "F":
            continue
        count += 1
        if fields[0] and fields[LISTED_COOKIE] and "XSHAD" not in fields[LISTED_NAME]:
            try:
                since = int(time.mktime(time.strptime(fields[LISTED_CHANGED], "%Y-%m-%dT%H:%M:%S")))
            except (ValueError, OverflowError):
                since = 0  # it is not known
            told = [1, LISTED_USER, 2, LISTED_STATE, -1, 7, 8, 9, LISTED_FOLDERS]
            row = [str(since) if place < 0 else fields[place] for place in told]
            rows.append(line_of(row) if line.isprintable() else "")
    return [f"{count}|{len(rows)}", *rows[:MOST_SESSIONS]]


class Watch:
    """What is told of this host from one look to the next. `reader` says what the session database has."""

    def __init__(self, reader: Reader, interval: int) -> None:
        self.reader, self.interval = reader, interval
        self.inventory: Inventory | None = None  # none before the first report, and after trouble
        self.trouble = ""
        self.alive = time.monotonic()  # when figures were told last

    def look(self) -> list[str]:
        """Look once; the lines to be told."""
        lines: list[str] = []
        try:
            lines = self.changes()
            self.trouble = ""
        except RefusedError as error:
            self.inventory = None
            self.reader.close()  # what is read next is all
            trouble = " ".join(str(error).split())[:200]
            if trouble != self.trouble:
                lines = [f"trouble:{trouble}"]
            self.trouble = trouble
        if time.monotonic() - self.alive >= self.interval:
            self.alive = time.monotonic()
            figures = load_figures()
            if self.inventory is not None:
                figures["numSessions"] = self.inventory.count
            shown = [f"{name}:{figure}" for name, figure in figures.items()]
            lines.append(line_of([f"alive:{int(time.time())}", *shown]))
        return lines

    def changes(self) -> list[str]:
        """The lines of what has changed, or a whole report. Raises RefusedError."""
        rows = self.reader.changed()
        inventory = self.inventory or Inventory()
        left_out, gone = inventory.left_out, inventory.take(rows) if rows is not None else []
        if self.inventory is None or inventory.left_out != left_out:
            self.inventory, self.alive = inventory, time.monotonic()
            return inventory.report()
        return [*(f"gone:{name}" for name in gone), *inventory.look(STATES_A_LOOK)]


def watch(interval: int) -> int:
    """Tell load and sessions, then what changes, and a sign of life every so many seconds; the exit status.

    It ends when nobody listens any more, or its standard input ends. Raises RefusedError before it has begun.
    """
    reader = Reader(os.uname().nodename)
    watching, text = Watch(reader, interval), "OK\n"
    try:
        while True:
            text += "".join(f"{line}\n" for line in watching.look())
            try:
                say(1, text.encode("utf-8", "replace"))
            except OSError:  # nobody listens any more
                return 0
            text = ""
            if input_ends(TROUBLE_SECONDS if watching.trouble else LOOK_SECONDS):
                return 0
    finally:
        reader.close()


def input_ends(seconds: float) -> bool:
    """Wait; whether the standard input has ended by then, or nobody reads the standard output any more."""
    import select

    streams, deadline = select.poll(), time.monotonic() + seconds
    streams.register(0, select.POLLIN)
    streams.register(1, 0)  # that nobody reads it is said anyway
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        for stream, _ in streams.poll(left * 1000):
            if stream == 1 or not os.read(0, 4096):
                return True


# --- key files -------------------------------------------------------------------------------------------------------


def key_file(pattern: str, account: pwd.struct_passwd) -> str:
    """The absolute path that a pattern with %h %u %U %G %% means; a relative one is below the home folder."""
    values = {"h": account.pw_dir, "u": account.pw_name, "U": str(account.pw_uid), "G": str(account.pw_gid), "%": "%"}
    path, rest = "", pattern
    while "%" in rest:
        before, _, rest = rest.partition("%")
        if rest[:1] not in values:
            raise RefusedError("the name of the key file has a % that stands for nothing")
        path, rest = path + before + values[rest[0]], rest[1:]
    path += rest
    if not path.startswith("/"):
        path = f"{account.pw_dir}/{path}"
    if ".." in path.split("/") or path.endswith("/"):
        raise RefusedError("the name of the key file leads nowhere")
    return plain_path(path)


def plain_path(path: str) -> str:
    """An absolute path without empty names and dots."""
    return "/" + "/".join(name for name in path.split("/") if name not in ("", "."))


def is_key_file(path: str, home: str) -> bool:
    """Whether a path is a file of keys below this home folder, which no program but sshd reads."""
    folder, _, name = path.rpartition("/")
    is_named_so = name.startswith(KEY_FILE) and KEY_FILE_CHARACTERS.issuperset(name)
    return is_named_so and folder in [f"{home}/{known}" for known in KEY_FOLDERS] and home != "/"


def allowed_patterns() -> list[str]:
    """The lines of KEY_FILES, if it is root's alone; none where it is not there. Raises RefusedError."""
    try:
        check_owner(os.stat(KEY_FILES), KEY_FILES, 0, True)
    except OSError:
        return []
    return lines_of(KEY_FILES)


def change_keys(account: pwd.struct_passwd, words: Sequence[str], add: bool) -> bytes:
    """Add a key to the key file of a user, or take it away; done as the user. Raises RefusedError.

    Only key files are written: those of KEY_FOLDERS, and patterns that stand in KEY_FILES. A file outside the home
    folder, in a folder that is not the user's, is written by root: for patterns that name the user, below folders that
    only root can write to.
    """
    line, pattern = words[:2]
    path, home = key_file(pattern, account), plain_path(account.pw_dir)
    folder, _, name = path.rpartition("/")
    start = home if path.startswith(home + "/") else "/"
    as_root = start == "/" and not (os.path.isdir(folder) and os.stat(folder).st_uid == account.pw_uid)
    names_user = any(mark in pattern for mark in ("%u", "%U", "%h"))
    if not is_key_file(path, home) and (pattern not in allowed_patterns() or (as_root and not names_user)):
        raise RefusedError(f"{path} is not written: {pattern} is not allowed in {KEY_FILES}")
    new = key_line(line, key_life(words[2:]), ssh_version(account)) if add else b""

    def key_file_change() -> bytes:
        os.umask(0o022 if as_root else 0o077)
        try:
            place = open_folder(start, folder[len(start) :].split("/"), account.pw_uid, add, as_root)
            edit_file(place, name, account.pw_uid, add, as_root, lambda old: edited(old, line, new))
        except FileNotFoundError:
            if add:
                raise RefusedError(f"{start} does not exist") from None
        except OSError as error:
            raise RefusedError(f"{path}: {error.strerror}; the keys are as they were") from None
        return b""

    status, _, said = run(key_file_change, None if as_root else account, KEYS_SECONDS)
    if status:
        raise RefusedError(said or f"{path} could not be changed")
    return b""


def open_folder(start: str, names: Sequence[str], uid: int, make: bool, as_root: bool) -> int:
    """The folder `start`/`names`, no link on the way, all of it the user's or root's. Missing ones are made."""
    place, path = os.open(start, os.O_RDONLY | os.O_DIRECTORY), start
    check_owner(os.fstat(place), path, -1 if as_root else uid, as_root)
    for name in filter(None, names):
        path = f"{path.rstrip('/')}/{name}"
        try:
            if make:
                os.mkdir(name, 0o755 if as_root else 0o700, dir_fd=place)
        except FileExistsError:
            pass  # the usual case; what it is shows below
        try:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
        except NotADirectoryError:
            raise RefusedError(f"{path} is a link, or no folder") from None
        os.close(place)
        place = below
        check_owner(os.fstat(place), path, -1 if as_root else uid, as_root)
    return place


def check_owner(status: os.stat_result, path: str, uid: int, strict: bool) -> None:
    """Raises RefusedError if a file or folder is not root's or this user's, or others can write to it."""
    if status.st_uid not in (0, uid):
        raise RefusedError(f"{path} belongs to somebody else")
    if status.st_mode & (0o022 if strict else 0o002):
        raise RefusedError(f"{path} can be written to by others: sshd would not heed keys there")


def edit_file(place: int, name: str, uid: int, make: bool, as_root: bool, edit: Callable[[bytes], bytes]) -> None:
    """Replace what is in a file of an opened folder, whole or not at all. Raises RefusedError, OSError."""
    file = locked_file(place, name, make, 0o644 if as_root else 0o600)
    status = os.fstat(file)
    if status.st_mode & 0o170000 != 0o100000 or status.st_nlink != 1:
        raise RefusedError(f"{name} is no plain file, or has a second name")
    check_owner(status, name, uid, as_root)
    with os.fdopen(file, "rb", closefd=False) as reader:
        old = reader.read(MOST_BYTES + 1)
    new = edit(old)
    if max(len(old), len(new)) > MOST_BYTES:
        raise RefusedError(f"{name} is larger than {MOST_BYTES} bytes")
    if new == old:
        return
    fresh = f".{name}.x2gobroker-agent"  # one name, so that what a crash leaves is found; the lock guards it
    remove(fresh, place)
    try:
        copy = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=place)
        say(copy, new)
        if as_root:
            os.fchown(copy, status.st_uid, status.st_gid)
            os.fchmod(copy, status.st_mode & 0o777)
        os.fsync(copy)
        os.rename(fresh, name, src_dir_fd=place, dst_dir_fd=place)
    except OSError:
        remove(fresh, place)
        raise
    os.fsync(place)


def remove(name: str, place: int) -> None:
    """Remove a file of an opened folder, if it is there. Raises OSError."""
    if name in os.listdir(place):
        os.unlink(name, dir_fd=place)


def locked_file(place: int, name: str, make: bool, mode: int) -> int:
    """The file, locked against other agents, also on other hosts with the same home folders. Raises OSError."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT if make else 0)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        file = os.open(name, flags, mode, dir_fd=place)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file), os.stat(name, dir_fd=place, follow_symlinks=False)):
                return file
        except (BlockingIOError, FileNotFoundError):
            pass  # another agent is at work, or has just put another file in its place
        os.close(file)
        _wait(deadline, f"{name} is locked by another program")


def edited(old: bytes, line: str, new: bytes) -> bytes:
    """Key lines with `new` in them, a line with the key of `line`; without that key where `new` is empty.

    Only lines that an agent wrote are taken away, or one that is just as given: users may have the same key for good.
    Keys whose time is over go as well. Other lines stay as they are.
    """
    blob, now, kept = public_key(line)[1].encode(), time.time(), []
    *pieces, last = old.split(b"\n")
    for piece, end in [*((piece, b"\n") for piece in pieces), (last, b"\n" if last and new else b"")]:
        words = piece.split() or [b""]
        ours = words[0].startswith(b"restrict,") and words[-1].startswith(KEY_MARK.encode())
        until = words[-1][len(KEY_MARK) :] if ours else b""
        over = until.isdigit() and int(until) < now
        if not over and not (ours and blob in words) and (new or piece.strip() != line.strip().encode()):
            kept.append(piece + end)
    return b"".join([*kept, new])


def key_line(line: str, life: int, version: tuple[int, int]) -> bytes:
    """The line for the key in `line` that an sshd of this version takes for `life` seconds."""
    kind, blob = public_key(line)
    until = int(time.time()) + life
    if version >= (9, 1):
        expiry = f',expiry-time="{time.strftime("%Y%m%d%H%M%SZ", time.gmtime(until))}"'
    else:
        expiry = f',expiry-time="{local_expiry(until)}"' if version >= (7, 7) else ""
    return f"{KEY_OPTIONS}{expiry} {kind} {blob} {KEY_MARK}{until}\n".encode()


def local_expiry(until: int) -> str:
    """A time for an sshd that knows local time only.

    It takes summer time for standard time, and lets the key in for an hour longer; in the hour that comes twice when
    the clocks go back, one is written that cannot be taken for an earlier one.
    """
    shown = time.localtime(until)
    readings = [int(time.mktime((*shown[:8], summer))) for summer in (0, 1)]
    earliest = min((reading for reading in readings if time.localtime(reading)[:6] == shown[:6]), default=until)
    return time.strftime("%Y%m%d%H%M%S", time.localtime(until + max(0, until - earliest)))


def ssh_version(account: pwd.struct_passwd) -> tuple[int, int]:
    """The version of this host's OpenSSH; the oldest that knows expiry-time, if it cannot be found out."""
    said = run([program("ssh"), "-V"], account, VERSION_SECONDS)[2] if program("ssh") else ""
    major, _, minor = said.partition("OpenSSH_")[2].partition("p")[0].partition(",")[0].partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (7, 7)


# --- the program -----------------------------------------------------------------------------------------------------


def known_tasks() -> list[str]:
    """The tasks that this host can do, in the order in which they are named."""
    with_x2go = bool(program("x2golistsessions"))
    return [name for name in TASKS if name != "ping" and (with_x2go or name in WITHOUT_X2GO)]


def answer(user: str, task: str, arguments: Sequence[str]) -> bytes:
    """Do a task as root; the data of its answer. Raises RefusedError."""
    if task == "ping":
        return b""
    if task == "availabletasks":
        return "".join(f"{name}\n" for name in known_tasks()).encode()
    if task not in known_tasks():
        raise RefusedError(f"x2goserver is not installed here: {task} cannot be done")
    if task == "checkload":
        return load()
    if task == "report":
        return report()
    account = account_of(user)
    if task == "getservers":
        counts = session_counts(account).items()
        return "".join(f"{server}\n" if count is None else f"{server} {count}\n" for server, count in counts).encode()
    if task.startswith("findbusyservers"):
        return busy_servers(account)
    if task == "listsessions":
        return b"".join(line + b"\n" for line in listed(account))
    if task.endswith("authkey"):
        return change_keys(account, arguments, task == "addauthkey")
    return end_session(account, task, arguments[0])


def through_sudo(words: Sequence[str], stay: bool) -> bytes:
    """The same as root: what the agent there answers, without the OK. Raises RefusedError.

    With `stay`, this process becomes the one that waits for that agent, and what that says is said at once.
    """
    own = os.path.abspath(sys.argv[0])
    sudo = program("sudo")
    if not sudo:
        raise RefusedError("this needs root, and sudo is not installed")
    asked = [sudo, "-n", "-l", "--", own, *words] if stay else [sudo, "-n", "--", own, *words]
    status, output, said = run(asked, None, SUDO_SECONDS, MOST_BYTES + 2 * MOST_REPORT_BYTES)
    if status and (said.startswith("sudo:") or stay):
        raise RefusedError(
            f"sudo does not let this account run {own} as root ({said}): see etc/sudoers.d of x2gobroker"
        )
    if stay:
        os.execve(sudo, [sudo, "-n", "--", own, *words], ENVIRONMENT)  # noqa: S606 - no shell is what is wanted
    if status or not output.startswith(b"OK\n"):
        raise RefusedError(said.partition("x2gobroker-agent: ")[2] or said or "no answer from the agent under sudo")
    return output[3:]


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit status."""
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        if not words and "SUDO_UID" not in os.environ:  # what sudo runs gets its words from the rule's command alone
            words = forced_command(os.environ.get("SSH_ORIGINAL_COMMAND", ""))
        user, task, rest = checked(words)
        alone = os.geteuid() == 0 or task in ("ping", "availabletasks")
        if alone and task == "watch" and task in known_tasks():
            return watch(int(rest[0]))
        data = answer(user, task, rest) if alone else through_sudo(words, task == "watch")
    except RefusedError as error:
        return complain(" ".join(str(error).split()))
    except OSError as error:  # no process can be made, say, or a disk is full
        return complain(f"{error.filename or 'the agent'}: {error.strerror}")
    try:
        say(1, b"OK\n" + data)
    except OSError:  # nobody listens any more
        return 1
    return 0


def complain(text: str) -> int:
    """Say what is wrong, if anybody listens; the exit status."""
    try:
        say(2, f"x2gobroker-agent: {text}\n".encode("utf-8", "replace"))
    except OSError:
        return 1
    return 1


if __name__ == "__main__":
    sys.exit(main())
