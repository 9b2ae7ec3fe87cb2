"""Published applications: what x2gogetapps prints, and the menu that is made of it.

Source of the format: x2gogetapps of x2goserver 4.1.0.3, which prints the names, comments,
command, categories and icon of .desktop files; these follow freedesktop.org's Desktop Entry Specification 1.5. Menus
have the names of Python X2Go.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

MOST_APPLICATIONS = 5000
LONGEST_TEXT = 4000
TOP = "TOP"
OTHER = "Other Applications"

# the first that occurs among the categories of an application decides
MENUS = (
    ("X2Go-Top", TOP),
    ("Audio", "Multimedia"),
    ("Video", "Multimedia"),
    ("Development", "Development"),
    ("Education", "Education"),
    ("Game", "Games"),
    ("Graphics", "Graphics"),
    ("Network", "Internet"),
    ("Office", "Office"),
    ("Settings", OTHER),
    ("System", "System"),
    ("Utility", "Utilities"),
)
MENU_NAMES = (*dict.fromkeys(menu for _, menu in MENUS if menu not in (TOP, OTHER)), OTHER, TOP)

BASE64 = re.compile(r"[A-Za-z0-9+/\n]+={0,2}")
LINE = re.compile(r"(Name|Comment|Exec|Terminal|Categories)(?:\[([^\]]{1,40})\])?[ \t]*=[ \t]*(.*)")
FIELD_CODE = re.compile(r"%([fFuUdDnNickvm%])")
LOCALE = re.compile(r"([A-Za-z]{1,8})(?:_([A-Za-z0-9]{1,8}))?(?:\.[A-Za-z0-9-]*)?(?:@([A-Za-z0-9]{1,20}))?")

RawApplication = dict[str, str | None]
Menu = dict[str, dict[str, list[RawApplication]]]


@dataclass
class _Entry:
    """One .desktop file: texts by their language, `` where none is given."""

    texts: dict[str, dict[str, str]] = field(default_factory=lambda: {"Name": {}, "Comment": {}})
    command: str = ""
    categories: str = ""
    in_terminal: bool = False

    def text(self, kind: str, languages: tuple[str, ...]) -> str:
        """The name or comment in the best of these languages, else in none."""
        found = self.texts[kind]
        return next((found[language] for language in (*languages, "") if found.get(language)), "")

    @property
    def menu(self) -> str:
        """The menu that its categories lead to."""
        return next((menu for word, menu in MENUS if word in self.categories), OTHER)

    @property
    def shell_command(self) -> str:
        """Its command, without the places of files to open; in a terminal where it wants one."""
        command = FIELD_CODE.sub(lambda code: "%" if code[1] == "%" else "", self.command).strip()
        if command and self.in_terminal:
            quoted = command.replace("'", "'\\''")
            return f"x-terminal-emulator -e '{quoted}'"
        return command


def raw_applications(output: str) -> list[RawApplication]:
    """The .desktop files in what x2gogetapps prints: `desktop`, the text, and `icon`, in base64, or None.

    Whatever stands outside of its marks, or is not closed by one, is left out.
    """
    found: list[RawApplication] = []
    text: list[str] | None = None
    icon: list[str] = []
    into: list[str] = []
    for line in output.split("\n"):
        mark = line.rstrip("\r")
        if mark == "<desktop>":
            into = text = []
            icon = []
        elif text is None:
            continue
        elif mark == "</desktop>" and len(found) < MOST_APPLICATIONS:
            found.append({"desktop": "".join(f"{kept}\n" for kept in text), "icon": _icon(icon)})
            text = None
        elif mark in ("<icon>", "</icon>"):
            into = icon if mark == "<icon>" else text
        else:
            into.append(mark)
    return found


def _icon(lines: list[str]) -> str | None:
    data = "\n".join(line for line in lines if line)
    return data if BASE64.fullmatch(data) else None


def menu_tree(applications: list[RawApplication], lang: str, max_no_submenus: int) -> Menu:
    """The applications in menus by category: `{lang: {menu: [{name, comment, exec, icon}]}}`, sorted by name.

    Up to `max_no_submenus` applications all stand in the menu TOP; with a negative number, any number. Menus without
    an application are left out, and so are applications without a command.
    """
    menus: dict[str, list[RawApplication]] = {name: [] for name in MENU_NAMES}
    has_submenus = len(applications) > max_no_submenus >= 0
    languages = fallbacks(lang)
    for application in applications:
        entry = _entry(application["desktop"] or "")
        command = entry.shell_command
        if not command:
            continue
        name = entry.text("Name", languages)
        comment = entry.text("Comment", languages) or name
        item: RawApplication = {"name": name, "comment": comment, "exec": command, "icon": application["icon"]}
        menus[entry.menu if has_submenus else TOP].append(item)
    for items in menus.values():
        items.sort(key=lambda item: ((item["name"] or "").casefold(), item["exec"] or ""))
    return {lang: {name: items for name, items in menus.items() if items}}


def _entry(text: str) -> _Entry:
    entry = _Entry()
    for line in text.split("\n"):
        found = LINE.fullmatch(line.strip())
        if found is None:
            continue
        key, language, value = found[1], found[2] or "", found[3].strip()
        if not value.isprintable() or len(value) > LONGEST_TEXT:
            continue
        if key in entry.texts:
            entry.texts[key].setdefault(language, value)
        elif not language and key == "Exec":
            entry.command = entry.command or value
        elif not language and key == "Categories":
            entry.categories = entry.categories or value
        elif not language:
            entry.in_terminal = value.lower() in ("true", "1")
    return entry


def fallbacks(lang: str) -> tuple[str, ...]:
    """The languages of texts that serve this locale, the best first: `de_DE@euro` also takes de_DE, then de."""
    found = LOCALE.fullmatch(lang)
    if found is None:
        return (lang,)
    language, country, modifier = found[1], found[2], found[3]
    wanted = [f"{language}_{country}@{modifier}"] if country and modifier else []
    wanted += [f"{language}_{country}"] if country else []
    wanted += [f"{language}@{modifier}"] if modifier else []
    return (*wanted, language)


def own_language() -> str:
    """The language of this process's environment, as `de_DE`; `en` where there is none."""
    chosen = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    found = LOCALE.fullmatch(chosen)
    if found is None or found[1] in ("C", "POSIX"):
        return "en"
    return f"{found[1]}_{found[2]}" if found[2] else found[1]
