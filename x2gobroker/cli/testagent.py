"""`x2gobroker-testagent`: ask a broker agent, as the broker would ask it."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from x2gobroker import __version__
from x2gobroker.agents.base import BrokerAgent
from x2gobroker.agents.farm import AgentFarm, own_endpoint
from x2gobroker.agents.rules import LOCAL, SSH, AgentRules, agent_rules, ssh_folder
from x2gobroker.agents.ssh import route_to
from x2gobroker.cli.broker_account import broker_account, go_on_as
from x2gobroker.cli.common import log_to_stderr, settings_of
from x2gobroker.cli.streams import told
from x2gobroker.errors import AgentError, ConfigurationError
from x2gobroker.model.hosts import Endpoint, parse_host, parse_port
from x2gobroker.model.public_key import parse_public_key
from x2gobroker.settings import GLOBAL, Settings
from x2gobroker.ssh.failures import HostKeyRefused
from x2gobroker.ssh.host_keys import remember
from x2gobroker.ssh.keys import described, generate_key

PROGRAM = "x2gobroker-testagent"
DONE, FAILED, NOT_ASKED = 0, 1, 2
USERLESS = ("ping", "availabletasks", "checkload")
OF_SESSIONS = ("suspendsession", "terminatesession")
OF_KEYS = ("addauthkey", "delauthkey")
HOST_KEYS_ASKED = 2  # the host's, and the proxy's
KEY_DAYS = 2


class NotAskedError(Exception):
    """The agent was not asked; the text says what to do."""


@dataclass(frozen=True)
class Target:
    """Which agent is asked, and how; `shown` is its name for people."""

    agent: BrokerAgent
    server: Endpoint
    rules: AgentRules

    @property
    def shown(self) -> str:
        return "this host" if self.rules.mode == LOCAL else f"{self.server.name} ({self.server.key})"


def build_parser() -> argparse.ArgumentParser:
    """The command line, as the reference has it."""
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Has a broker agent perform a task, reached in the same way as by the broker, and shows the "
        "answer. Run it as root (it continues as X2GOBROKER_DAEMON_USER) or as that user. If the host key of a server "
        "is not known, it shows the fingerprint and asks whether to trust the key. Exit status 0: the task was done, "
        "1: it was not, 2: the agent was not asked.",
    )
    add = parser.add_argument
    add("-V", "--version", action="version", version=f"x2gobroker {__version__}")
    add("--list-tasks", action="store_true", help="show which tasks the agent knows")
    add("-u", "--username", "--user", metavar="USER", default="", help="the user that the task is about")
    add("-t", "--task", metavar="TASK", default="ping", help=f"one of {', '.join(TASKS)} (default: ping)")
    add("-H", "--host", metavar="HOST", default=LOCAL, help="the X2Go Server (default: LOCAL, the agent on this host)")
    add("-p", "--port", metavar="PORT", default="22", help="the SSH port of that server (default: 22)")
    add(
        "-A",
        "--add-to-known-hosts",
        action="store_true",
        help="trust an unknown host key without asking, and remember it",
    )
    add("--session-id", metavar="SESSION", default="", help="the session to suspend or terminate")
    add("--pubkey", metavar="LINE", default="", help="the line for authorized_keys to add or delete")
    add("-C", "--config-file", "--config", metavar="FILE", help="the main configuration file")
    add("-d", "--debug", action="store_true", help="say more about what it does")
    return parser


# ---------------------------------------------------------------- the tasks


def _ping(target: Target, _options: argparse.Namespace, _settings: Settings) -> None:
    begun = time.monotonic()
    target.agent.ping(target.server, target.rules)
    print(f"It answers; the second call took {(time.monotonic() - begun) * 1000:.0f} ms.")


def _availabletasks(target: Target, _options: argparse.Namespace, _settings: Settings) -> None:
    for name in sorted(target.agent.available_tasks(target.server, target.rules)):
        print(name if name in TASKS else f"{name} (this broker does not use it)")


def _listsessions(target: Target, options: argparse.Namespace, _settings: Settings) -> None:
    sessions = target.agent.list_sessions(target.server, target.rules, options.username)
    for session in sessions:
        state = "suspended" if session.is_suspended else "running"
        print(f"{session.name} on {session.server}: {state}, {session.age} s old")
    if not sessions:
        print(f"{options.username} has no sessions.")


def _getservers(target: Target, options: argparse.Namespace, _settings: Settings) -> None:
    servers = target.agent.get_servers(target.server, target.rules, options.username)
    for name, count in sorted(servers.items()):
        print(f"{name}: {'some' if count is None else count} sessions")
    if not servers:
        print("No server has sessions.")


def _findbusyservers(target: Target, options: argparse.Namespace, _settings: Settings) -> None:
    servers = target.agent.find_busy_servers(target.server, target.rules, options.username)
    for name, percent in sorted(servers.items()):
        print(f"{name}: {percent} % of all sessions")
    if not servers:
        print("No server has sessions.")


def _checkload(target: Target, _options: argparse.Namespace, _settings: Settings) -> None:
    report = target.agent.check_load(target.server, target.rules)
    print(f"load:        {report.load / 100:.2f} (mean of 1, 5 and 15 minutes, plus 0.01)")
    print(f"memory:      {report.memory} MB available")
    print(f"processors:  {report.cpus} of {report.cpu_mhz} MHz")
    print(f"sessions:    {'not told' if report.sessions is None else report.sessions}")
    print(f"load factor: {report.factor} (the more, the better)")


def _addauthkey(target: Target, options: argparse.Namespace, settings: Settings) -> None:
    line, keys_file = options.pubkey or new_key_line(settings), keys_file_of(settings)
    seconds = settings.integer(GLOBAL, "autologin-key-seconds")
    target.agent.add_auth_key(target.server, target.rules, options.username, line, keys_file, seconds)
    if not options.pubkey:
        print("The private key of this new pair was thrown away: it lets nobody in.")
    print(f"In {keys_file} of {options.username} is now:\n\n{line}\n\nTo take it away again:\n")
    where = [] if target.rules.mode == LOCAL else ["-H", options.host, "-p", options.port]
    config = ["-C", options.config_file] if options.config_file else []
    words = [PROGRAM, *config, *where, "-u", options.username, "-t", "delauthkey", "--pubkey", line]
    print(shlex.join(words) + "\n")


def _delauthkey(target: Target, options: argparse.Namespace, settings: Settings) -> None:
    keys_file = keys_file_of(settings)
    target.agent.del_auth_key(target.server, target.rules, options.username, options.pubkey, keys_file)
    print(f"In {keys_file} of {options.username} this line is no more. Debian's agent says so without looking.")


def _suspendsession(target: Target, options: argparse.Namespace, _settings: Settings) -> None:
    target.agent.suspend_session(target.server, target.rules, options.username, options.session_id)
    print("Debian's agent only notes the wish, which the server fulfils within seconds; ours has waited for it.")


def _terminatesession(target: Target, options: argparse.Namespace, _settings: Settings) -> None:
    target.agent.terminate_session(target.server, target.rules, options.username, options.session_id)
    print("Debian's agent only notes the wish, which the server fulfils within seconds; ours has waited for it.")


TASKS: dict[str, Callable[[Target, argparse.Namespace, Settings], None]] = {
    "ping": _ping,
    "availabletasks": _availabletasks,
    "listsessions": _listsessions,
    "getservers": _getservers,
    "findbusyservers": _findbusyservers,
    "checkload": _checkload,
    "addauthkey": _addauthkey,
    "delauthkey": _delauthkey,
    "suspendsession": _suspendsession,
    "terminatesession": _terminatesession,
}


def keys_file_of(settings: Settings) -> str:
    """Where agents put keys, unless a profile says otherwise."""
    return settings.text(GLOBAL, "default-authorized-keys")


def new_key_line(settings: Settings) -> str:
    """The line of a new key, which no sshd takes after some days."""
    pair = generate_key(settings.text(GLOBAL, "autologin-key-type"))
    expires = time.strftime("%Y%m%d", time.localtime(time.time() + KEY_DAYS * 86400))
    return pair.public.line(f'no-X11-forwarding,no-user-rc,expiry-time="{expires}"', PROGRAM)


# ---------------------------------------------------------------- before the task


def check_options(options: argparse.Namespace) -> None:
    """Raises NotAskedError for what cannot go together."""
    if options.list_tasks:
        options.task = "availabletasks"
    if options.task not in TASKS:
        raise NotAskedError(f"there is no task {options.task}; there are {', '.join(TASKS)}")
    if options.task not in USERLESS and not options.username:
        raise NotAskedError(f"{options.task} is about a user: say which, with -u USER")
    if options.task in OF_SESSIONS and not options.session_id:
        raise NotAskedError(f"{options.task} needs --session-id; -t listsessions shows the sessions of a user")
    if options.task == "delauthkey" and not options.pubkey:
        raise NotAskedError("delauthkey needs --pubkey, with the whole line that was added")
    if options.task in OF_KEYS and options.pubkey:
        try:
            parse_public_key(options.pubkey)
        except ValueError as error:
            raise NotAskedError(f"--pubkey: {error}") from None


def become_broker(settings: Settings) -> None:
    """Go on as the broker's user, for good. Raises ConfigurationError, NotAskedError when this is nobody who may."""
    account = broker_account(settings)
    if os.geteuid() not in (0, account.uid):
        raise NotAskedError(f"run this as root or as {account.name}: only these may read the broker's keys")
    if os.geteuid() == 0:
        go_on_as(account)


def target_of(settings: Settings, options: argparse.Namespace, farm: AgentFarm) -> Target:
    """Which agent is meant. Raises NotAskedError, AgentError."""
    rules = agent_rules(settings, settings.environment("X2GOBROKER_DEFAULT_BACKEND"))
    rules = replace(rules, folder=ssh_folder(settings))  # in query mode NONE, they have none
    if options.host == LOCAL:
        return Target(farm.agent(LOCAL), own_endpoint(), replace(rules, mode=LOCAL))
    try:
        server = parse_host(options.host).endpoint(parse_port(options.port))
    except ValueError as error:
        raise NotAskedError(str(error)) from None
    # whatever the broker does about unknown host keys: here somebody can be asked
    return Target(farm.agent(SSH), server, replace(rules, mode=SSH, host_key_policy="RejectPolicy"))


def reach(target: Target, add_unasked: bool) -> None:
    """Make sure that the agent answers; ask about host keys that are not known. Raises AgentError, NotAskedError."""
    for _ in range(HOST_KEYS_ASKED):
        try:
            return target.agent.ping(target.server, target.rules)
        except AgentError as error:
            refused = error.__cause__
            if not isinstance(refused, HostKeyRefused) or not refused.unknown:
                raise
            if not (may_trust(refused, add_unasked)):
                raise NotAskedError("the host key is not trusted; nothing was done") from None
            remember(refused.endpoint, refused.key, route_to(target.server, target.rules).trust)
    return target.agent.ping(target.server, target.rules)


def may_trust(refused: HostKeyRefused, add_unasked: bool) -> bool:
    """Show the fingerprint of a host key that is not known; whether it may be trusted."""
    endpoint = refused.endpoint
    print(f"The host key of {endpoint.name} ({endpoint.key}) is not known:")
    print(f"  {described(refused.key.kind, refused.key.blob)}")
    if add_unasked:
        print("It is trusted from now on.")
        return True
    print("Compare it with what `ssh-keygen -l -f FILE` says on that server, of its /etc/ssh/ssh_host_*_key.pub.")
    if not sys.stdin.isatty():
        print("There is no terminal to ask at; with -A it is trusted without asking.")
        return False
    try:
        return input("Trust it from now on? Write yes or no: ").strip().lower() == "yes"
    except EOFError:
        return False


def run(options: argparse.Namespace) -> int:
    """Have the task done; say how it went, and return the exit status."""
    log_to_stderr(PROGRAM, options.debug)
    farm = AgentFarm()
    try:
        check_options(options)
        settings = settings_of(options.config_file)
        become_broker(settings)
        target = target_of(settings, options, farm)
        reach(target, options.add_to_known_hosts)
        TASKS[options.task](target, options, settings)
    except (NotAskedError, ConfigurationError) as reason:
        print(f"{PROGRAM}: {reason}", file=sys.stderr)
        return NOT_ASKED
    except AgentError as error:
        print(f"{PROGRAM}: {error.reason}: {error}", file=sys.stderr)
        print(f"The task {options.task} failed.")
        return FAILED
    except KeyboardInterrupt:
        return NOT_ASKED
    finally:
        farm.close()
    print(f"The task {options.task} was done on {target.shown}.")
    return DONE


@told(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `x2gobroker-testagent`."""
    return run(build_parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
