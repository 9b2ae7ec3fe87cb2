"""Manual pages: of the programs, from their parsers; of the configuration files, from the tables of their options."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable

from generators import roff, roff_markdown
from generators.commands import PARSERS, options_of, sub_parsers
from generators.common import type_of
from generators.manual_commands import (
    commands,
    description,
    exit_section,
    exit_statuses,
    leaves,
    options,
    place,
    shared,
    synopsis,
    usage,
)
from generators.manual_words import CONFIG_PAGE, PROFILES_PAGE, PROGRAMS, TYPES_PAGE, Words
from generators.options import INTRODUCTION, SECTIONS, sections, title
from generators.session_types import allowed
from x2gobroker.agents import server
from x2gobroker.model.options import Kind, Option, format_value
from x2gobroker.model.profile_options import ACL_OPTIONS, BROKER_OPTIONS, CLIENT_OPTIONS
from x2gobroker.remote.keys import KEYS, OPTION_KEYS, Key
from x2gobroker.settings import TABLE

BY_NAME = {(option.section, option.name): option for option in TABLE}
SESSIONS = "x2gobroker x2go"  # the sub-command with a page of its own: it is for users
CONFIG_EXAMPLE = """\
[global]
enable-plain-output = true
default-use-load-checker = true

[broker_inifile]
enable = true
auth-mech = pam
"""


def also(pages: Iterable[tuple[str, int]]) -> list[str]:
    """The section with other pages."""
    text = ", ".join(roff.reference(*page) for page in sorted(pages, key=lambda page: (page[1], page[0])))
    return [*roff.section("See also"), *roff.paragraph(text)]


def name_section(name: str, about: str) -> list[str]:
    """The section that `apropos` reads."""
    return [*roff.section("Name"), *roff.lines(f"{roff.escape(name)} \\- {roff.words(about)}")]


def examples(found: Iterable[tuple[str, str]]) -> list[str]:
    """The section of examples, each a command line and what it does."""
    lines = roff.section("Examples")
    for command, text in found:
        lines += [*roff.paragraph(roff.words(text)), *roff.literal(command)]
    return lines


def variables(words: Words) -> list[Option]:
    """The options of the environment that a program looks at."""
    return [BY_NAME["environment", name] for name in words.variables]


def places(words: Words) -> list[str]:
    """The sections on files and environment."""
    found = dict(words.files)
    for option in variables(words):
        if option.kind is Kind.PATH and option.default:
            found[format_value(option.default)] = option.help
    if "X2GOBROKER_SESSIONPROFILES" in words.variables:
        profiles = BY_NAME["broker_inifile", "session-profiles"]
        found[format_value(profiles.default)] = profiles.help
    lines = roff.section("Files") if found else []
    lines += roff.items((roff.italic(path), roff.words(text)) for path, text in sorted(found.items()))
    rows = [(name, text) for name, text in words.environment.items()]
    rows += [(option.name, option.help) for option in variables(words)]
    if rows:
        lines += roff.section("Environment")
        lines += roff.items((roff.bold(name), roff.words(text)) for name, text in rows)
    if words.variables:
        more = roff.words("Variables that are not set are taken from the file that `X2GOBROKER_DEFAULTS` names: see ")
        lines += roff.paragraph(f"{more}{roff.reference(*CONFIG_PAGE)}.")
    return lines


def program_page(program: str, parser: argparse.ArgumentParser) -> list[str]:
    """The page of a program without sub-commands."""
    words = PROGRAMS[program]
    lines = [*name_section(program, words.title), *roff.section("Synopsis")]
    lines += synopsis(program, usage(parser, set()))
    lines += [*roff.section("Description"), *roff.paragraph(roff.words(description(parser)))]
    lines += [*roff.section("Options"), *options((parser,), None, set())]
    if parser.epilog:
        lines += roff.paragraph(roff.words(parser.epilog))
    lines += [*places(words), *exit_section(exit_statuses(parser, words.service))]
    return [*lines, *examples(words.examples.items()), *also(words.also)]


def tree_page(program: str, parser: argparse.ArgumentParser, elsewhere: dict[str, str]) -> list[str]:
    """The page of a program with sub-commands; what most of these have in common is said once."""
    words = PROGRAMS[program]
    below = [leaf for leaf in leaves(parser) if not leaf.prog.startswith(tuple(elsewhere) or "\0")]
    common = shared(below)
    general = {place(action, parser) for action in options_of(parser)}
    lines = [*name_section(program.replace(" ", "-"), words.title), *roff.section("Synopsis")]
    lines += synopsis(program, usage(parser, set()))
    lines += [*roff.section("Description"), *roff.paragraph(roff.words(description(parser)))]
    if parser.epilog:
        lines += roff.paragraph(roff.words(parser.epilog))
    lines += [*roff.section("Options"), *options((parser, *below), general | common, set())]
    text = (
        f"Options that most commands take are described above; in a synopsis, {roff.italic('OPTIONS')} stands for them."
    )
    lines += [*roff.section("Commands"), *roff.paragraph(text)]
    lines += [*commands(parser, common, elsewhere), *places(words), *exit_section(exit_statuses(parser))]
    return [*lines, *examples(words.examples.items()), *also(words.also)]


def agent_page() -> list[str]:
    """The page of the broker agent, which has no parser: it runs on servers that have nothing else of us."""
    program = "x2gobroker-agent"
    words = PROGRAMS[program]
    call = server.USAGE.partition(program)[2].partition(";")[0].strip()
    parts = roff_markdown.parts("agent.md")
    lines = [*name_section(program, words.title), *roff.section("Synopsis")]
    lines += synopsis(program, " ".join(roff.italic(word) for word in call.split()))
    lines += [*roff.section("Description"), *roff_markdown.blocks(parts[""])]
    for name in ("Who does what", "Answers", "How sessions are read"):
        lines += [*roff.subsection(name), *roff_markdown.blocks(parts[name])]
    lines += [*roff.section("Tasks"), *roff_markdown.first_table("protocol.md", "Broker agents")]
    lines += [*roff.section("Keys"), *roff_markdown.blocks(parts["Keys"])]
    statuses = {0: "the task was done", 1: "the task was not done; the standard error stream says why"}
    return [*lines, *places(words), *exit_section(statuses), *examples(words.examples.items()), *also(words.also)]


def option_item(option: Option, since: bool = True) -> list[str]:
    """One option with what it may be."""
    facts = [f"{type_of(option)}; default: {shown(format_value(option.default))}"]
    if option.on_error is not None:
        facts.append(f"if the value cannot be read: {shown(format_value(option.on_error))}")
    if since:
        facts.append(f"since {option.since}")
    texts = [option.help, roff.sentence("; ".join(facts))]
    if option.environment:
        texts.append(f"Overridden by {', '.join(f'`{name}`' for name in option.environment)}.")
    if option.deprecated:
        texts.append(roff.sentence(f"Deprecated: {option.deprecated}"))
    if option.secret:
        texts.append("Secret: never shown or logged; let nobody but the broker read the file.")
    return roff.item(roff.bold(option.name), roff.words(" ".join(texts)))


def shown(value: str) -> str:
    """A value, or the word for an empty one."""
    return f"`{value}`" if value else "empty"


def config_page() -> list[str]:
    """`x2gobroker.conf` and the environment."""
    paths = [BY_NAME["environment", name] for name in ("X2GOBROKER_CONFIG", "X2GOBROKER_DEFAULTS")]
    about = "configuration of X2Go Session Broker, and its environment variables"
    lines = [*name_section("x2gobroker.conf", about), *roff.section("Synopsis")]
    lines += roff.paragraph(", ".join(roff.italic(format_value(option.default)) for option in paths))
    lines += [*roff.section("Description"), *roff_markdown.blocks(INTRODUCTION.partition("\n")[2])]
    by_section = sections(TABLE)
    environment = by_section.pop("environment")
    lines += roff.section("Options")
    for section, found in by_section.items():
        lines += [*roff.subsection(title(section).replace("`", "")), *roff.paragraph(roff.words(SECTIONS[section]))]
        lines += [line for option in found for line in option_item(option)]
    lines += [*roff.section("Environment"), *roff.paragraph(roff.words(SECTIONS["environment"]))]
    lines += [line for option in environment for line in option_item(option)]
    files = [(roff.italic(format_value(option.default)), roff.words(option.help)) for option in paths]
    lines += [*roff.section("Files"), *roff.items(files)]
    lines += [*roff.section("Examples"), *roff.literal(CONFIG_EXAMPLE)]
    return [*lines, *also([("x2gobroker", 1), ("x2gobroker-daemon", 1), PROFILES_PAGE, TYPES_PAGE])]


def profiles_page() -> list[str]:
    """The file of session profiles."""
    option = BY_NAME["broker_inifile", "session-profiles"]
    path = format_value(option.default)
    lines = [*name_section(PROFILES_PAGE[0], "session profiles of X2Go Session Broker"), *roff.section("Synopsis")]
    lines += roff.paragraph(roff.italic(path))
    text, example = roff_markdown.without_example(roff_markdown.read("session-profiles.md").partition("## All opt")[0])
    lines += [*roff.section("Description"), *roff_markdown.blocks(text), *roff.section("Options")]
    parts = (("told to clients", CLIENT_OPTIONS), ("access rules", ACL_OPTIONS), ("for the broker", BROKER_OPTIONS))
    for heading, found in parts:
        lines += roff.subsection(heading.capitalize())
        lines += [line for option in found for line in option_item(option, since=False)]
    lines += [*roff.section("Files"), *roff.items([(roff.italic(path), roff.words(option_help()))])]
    lines += [*roff.section("Examples"), *roff.literal(example)]
    return [*lines, *also([("x2gobroker", 1), CONFIG_PAGE])]


def option_help() -> str:
    """What the option that names the file of session profiles says of it."""
    return BY_NAME["broker_inifile", "session-profiles"].help


def key_item(key: Key) -> list[str]:
    """One key of a session type."""
    default = "must be given" if key.required else f"default: `{json.dumps(key.default)}`"
    facts = roff.sentence(f"{allowed(key)}; {default}")
    return roff.item(roff.bold(key.name), roff.words(f"{key.help} {facts}"))


def types_page() -> list[str]:
    """The file of session types."""
    text, example = roff_markdown.without_example(roff_markdown.read("session-types.md"))
    before, who, behind = text.partition("## Who may use")
    rules, heading, scripts = behind.partition("## Scripts")
    option = BY_NAME["global", "remote-session-config"]
    file = roff.words(f"The file that `{option.name}` of `[global]` names")
    lines = [*name_section(TYPES_PAGE[0], "desktops in the browser that X2Go Session Broker offers")]
    lines += [*roff.section("Synopsis"), *roff.paragraph(f"{file}: see {roff.reference(*CONFIG_PAGE)}.")]
    lines += [*roff.section("Description"), *roff_markdown.blocks(before + who + rules.partition("Everything else")[0])]
    for title_, keys in (("Keys of a session type", KEYS), ("Options that the broker looks at", OPTION_KEYS)):
        lines += [*roff.section(title_), *(line for key in keys for line in key_item(key))]
    lines += roff_markdown.blocks("Everything else" + rules.partition("Everything else")[2] + heading + scripts)
    lines += [*roff.section("Files"), *roff.item(file, roff.words(option.help)), *roff.section("Environment")]
    names = ("X2GOBROKER_REMOTE_CONFIG", "CEI_NEXUS_REMOTE_CONFIG")
    lines += [line for name in names for line in option_item(BY_NAME["environment", name])]
    lines += [*roff.section("Examples"), *roff.literal(example)]
    return [*lines, *also([("x2gobroker", 1), ("x2gobroker-remote", 8), CONFIG_PAGE])]


def pages() -> dict[tuple[str, int], Callable[[], list[str]]]:
    """What makes each page, by its name and section; it returns the lines behind the head."""
    parsers = {program: build() for program, build in PARSERS.items()}
    sessions = sub_parsers(parsers["x2gobroker"])["x2go"]
    more = {SESSIONS: f"It is described in {roff.reference('x2gobroker-x2go', 1)}."}
    found: dict[tuple[str, int], Callable[[], list[str]]] = {
        ("x2gobroker", 1): lambda: tree_page("x2gobroker", parsers["x2gobroker"], more),
        ("x2gobroker-x2go", 1): lambda: tree_page(SESSIONS, sessions, {}),
        ("x2gobroker-agent", 8): agent_page,
        CONFIG_PAGE: config_page,
        PROFILES_PAGE: profiles_page,
        TYPES_PAGE: types_page,
    }
    for program, parser in parsers.items():
        if program != "x2gobroker":
            found[program, PROGRAMS[program].section] = lambda name=program, its=parser: program_page(name, its)  # type: ignore[misc]
    return found
