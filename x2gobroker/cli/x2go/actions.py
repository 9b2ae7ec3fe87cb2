"""What the sub-commands of `x2gobroker x2go` do, once they are connected."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from x2gobroker.cli.x2go import output
from x2gobroker.cli.x2go.connect import connected
from x2gobroker.cli.x2go.options import CommandError
from x2gobroker.cli.x2go.show import resume, start
from x2gobroker.cli.x2go.target import read_target
from x2gobroker.errors import BrokerError
from x2gobroker.logs import field
from x2gobroker.x2go import X2GoSession
from x2gobroker.x2go.errors import SSHException, X2GoException

ALL_SUBMENUS = 0


def perform(options: argparse.Namespace) -> int:
    """Connect, do it, disconnect. Raises CommandError with what is wrong and what to do."""
    target = read_target(options)
    output.show_log(options.debug)
    try:
        with connected(target, options) as session:
            return ACTIONS[options.action](session, options)
    except (BrokerError, BrokenPipeError):
        raise
    except (X2GoException, SSHException, OSError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CommandError(output.shown(text, output.LONGEST_MESSAGE)) from None
    except KeyboardInterrupt:
        raise CommandError("interrupted; what was under way on the server may or may not be done") from None


def list_sessions(session: X2GoSession, options: argparse.Namespace) -> int:
    """Print the user's sessions."""
    found = output.sessions_of(session)
    if options.json:
        output.print_json({**output.place_of(session), "sessions": [output.session_values(each) for each in found]})
    elif found:
        output.print_table(output.SESSION_HEAD, [output.session_row(each) for each in found])
    else:
        print("There are no sessions.")
    return 0


def suspend(session: X2GoSession, options: argparse.Namespace) -> int:
    """Suspend sessions."""
    return _end(session, options, "suspended")


def terminate(session: X2GoSession, options: argparse.Namespace) -> int:
    """End sessions."""
    return _end(session, options, "terminated")


def _end(session: X2GoSession, options: argparse.Namespace, done: str) -> int:
    """Suspend or terminate the sessions that are named; 1 when one of them cannot be."""
    control = session.get_control_session()
    if control is None:
        raise CommandError("the connection to the server is lost")
    act = control.suspend if done == "suspended" else control.terminate
    known = {each.name: each for each in output.sessions_of(session)}
    names = list(known) if options.all else list(dict.fromkeys(options.names))
    results = []
    for name in names:
        info = known.get(name)
        if info is None:
            state, why = "not-found", "there is no such session; `x2gobroker x2go list` shows which there are"
        elif done == "suspended" and info.get_session_type() == "S":
            state, why = output.state_word(info), "it is a view of another session; terminate it"
        elif act(name):
            state, why = done, ""
        else:
            state, why = output.state_word(info), "the server did not do it; `x2gobroker x2go list` shows its state"
        results.append({"name": name, "state": state, "done": not why, "message": why})
    if options.json:
        output.print_json({**output.place_of(session), "sessions": results})
    for result in results:
        if not result["done"]:
            print(f"x2gobroker: session {field(str(result['name']))}: {result['message']}", file=sys.stderr)
        elif not options.json:
            print(f"{result['name']}: {result['state']}")
    if not results and not options.json:
        print("There are no sessions.")
    return 0 if all(result["done"] for result in results) else 1


def desktops(session: X2GoSession, options: argparse.Namespace) -> int:
    """Print the desktops that can be viewed."""
    control = session.get_control_session()
    names = control.list_desktops() if control is not None else []
    rows = [(name.partition("@")[0], name.partition("@")[2], name) for name in names]
    if options.json:
        found = [{"desktop": name, "user": user, "display": display} for user, display, name in rows]
        output.print_json({**output.place_of(session), "desktops": found})
    elif rows:
        output.print_table(("USER", "DISPLAY", "DESKTOP"), rows)
    else:
        print("There are no desktops.")
    return 0


def apps(session: X2GoSession, options: argparse.Namespace) -> int:
    """Print the published applications as a tree of menus."""
    control = session.get_control_session()
    tree: Any = control.get_published_applications(lang=options.lang, max_no_submenus=ALL_SUBMENUS) if control else {}
    menus = output.menus_of(tree, options.icons)
    if options.json:
        output.print_json({**output.place_of(session), "language": next(iter(tree), ""), "menus": menus})
    elif menus:
        output.print_tree(menus)
    else:
        print(
            "The server publishes no applications: its administrator links .desktop files into /etc/x2go/applications."
        )
    return 0


ACTIONS: dict[str, Callable[[X2GoSession, argparse.Namespace], int]] = {
    "list": list_sessions,
    "start": start,
    "resume": resume,
    "suspend": suspend,
    "terminate": terminate,
    "desktops": desktops,
    "apps": apps,
}
