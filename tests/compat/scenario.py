"""A scenario: two files, and what is asked of a broker that has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.compat.exchange import Request

Servers = Mapping[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True)
class Files:
    """The main configuration, the session profiles, and the file of the pre-shared authid.

    In the first two, `{authid-file}` is the path of the third, `{alive}` a port that answers and `{dead}` one that
    does not; `{state}` is the folder of a broker's state.
    """

    conf: str
    profiles: str = ""
    authid: str = ""


@dataclass(frozen=True)
class Step:
    """One request. `repaired` is what a second reference broker is asked instead; None: nothing. `status` is what ours
    has to say where the reference has no right answer to anything like it. Before it is sent, `after` seconds pass, and
    the files are changed to `files`, but not those of the second reference broker.
    """

    request: Request
    repaired: Request | None
    status: int | None = None
    after: float = 0.0
    files: Files | None = None

    @classmethod
    def of(cls, request: Request) -> Step:
        """A step that asks both reference brokers the same."""
        return cls(request, request)


@dataclass(frozen=True)
class Scenario:
    """Files and steps. Where a fault of the reference is in play, `fault` names the deviation that answers it, and
    `repaired` says the same thing in a way in which the reference gets it right: that is what ours has to answer.
    """

    label: str
    files: Files
    steps: Sequence[Step]
    fault: str = ""
    repaired: Files | None = None
    servers: Servers = field(default_factory=dict)  # profiles with several hosts: any of these is a right answer
    debug: bool = False

    @classmethod
    def of(cls, label: str, files: Files, requests: Sequence[Request], **more: object) -> Scenario:
        """A scenario of plain requests."""
        return cls(label, files, [Step.of(request) for request in requests], **more)  # type: ignore[arg-type]


def ini(sections: Mapping[str, Mapping[str, str]]) -> str:
    """Sections of an INI file; a value's later lines are indented so that they stay part of it."""
    lines: list[str] = []
    for name, options in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {value}".replace("\n", "\n    ") for key, value in options.items()]
        lines.append("")
    return "\n".join(lines)


def conf_text(changes: Mapping[str, str] | None = None, **sections: Mapping[str, str]) -> str:
    """A main configuration in which every password is right, with `changes` in [global]."""
    text: dict[str, Mapping[str, str]] = {
        "global": {
            "cookie-directory": "{state}",
            "default-auth-mech": "none",
            "default-portscan-x2goservers": "false",
            "my-cookie-file": "/nonexistent",
            **(changes or {}),
        },
        "broker_inifile": {"enable": "true", "use-load-checker": "false"},
        "broker_zeroconf": {"enable": "true", "auth-mech": "none"},
    }
    for name, options in sections.items():
        text[name] = {**text.get(name, {}), **options}
    return ini(text)
