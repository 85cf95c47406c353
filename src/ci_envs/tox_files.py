"""What tox's configuration says of the tests' environment, as far as it can be read without being tox.

Read are ``[testenv]`` of ``tox.ini``, of ``setup.cfg`` and of ``legacy_tox_ini``, and ``env_run_base`` of the TOML
forms (https://tox.wiki/en/latest/config.html), in tox's own order of files. Factors (``py311: mock``) and
substitutions other than positional arguments and the project's folder are tox's to resolve: such a line is given back
as unread.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ci_envs.errors import UsageError
from ci_envs.ini import lines_of, parse_ini, read_ini
from ci_envs.model.detect import Evidence
from ci_envs.requirement_files import parse_requirement

if TYPE_CHECKING:
    from configparser import RawConfigParser

    from ci_envs.project import Project

__all__ = ["ToxTests", "read_tox"]

_FACTOR = re.compile(r"[!\w{},.\s-]+:\s")
_HERE = re.compile(r"\{(?:toxinidir|tox_root)\}/")
_POSARGS = re.compile(r"\{posargs(?::([^{}]*))?\}")
_INCLUDE = re.compile(r"(?:-r|--requirement(?=[\s=]))[\s=]*(?P<file>\S+)")
_SELF = re.compile(r"(?:(?:-e|--editable)[\s=]*)?\.(?:\[(?P<extras>[^\[\]]*)\])?")


@dataclass(slots=True)
class ToxTests:
    """The environment in which tox runs the tests."""

    evidence: Evidence
    groups: list[str] = field(default_factory=list)
    extras: list[str] = field(default_factory=list)
    #: Requirement files of the project, relative to it.
    files: list[str] = field(default_factory=list)
    #: Requirements as PEP 508 spells them.
    inline: list[str] = field(default_factory=list)
    #: Lines of ``deps`` that only tox can read.
    unread: list[str] = field(default_factory=list)
    #: The words of the one command; empty where there are several, or where only tox can read it.
    command: tuple[str, ...] = ()


def read_tox(project: Project) -> ToxTests | None:
    """The tests' environment by the first configuration that tox would take; ``None`` where there is none."""
    for file, section in (("tox.ini", "tox"), ("setup.cfg", "tox:tox")):
        parser = read_ini(project, file)
        if parser.has_section("testenv") and (file == "tox.ini" or parser.has_section(section)):
            return _from_ini(project, parser, Evidence(file=file, key="[testenv]"))
    table = project.table("tool", "tox")
    if isinstance(legacy := table.get("legacy_tox_ini"), str):
        evidence = Evidence(file="pyproject.toml", key="tool.tox.legacy_tox_ini")
        return _from_ini(project, parse_ini(legacy, "pyproject.toml"), evidence)
    if isinstance(base := table.get("env_run_base"), dict):
        return _from_toml(project, base, Evidence(file="pyproject.toml", key="tool.tox.env_run_base"))
    if isinstance(base := project.toml("tox.toml").get("env_run_base"), dict):
        return _from_toml(project, base, Evidence(file="tox.toml", key="env_run_base"))
    return None


def _from_ini(project: Project, parser: RawConfigParser, evidence: Evidence) -> ToxTests:
    found = ToxTests(evidence)
    for line in lines_of(parser, "testenv", "deps"):
        _read_dependency(project, line.split(" #", maxsplit=1)[0].strip(), found)
    for key, names in (("extras", found.extras), ("dependency_groups", found.groups)):
        for line in lines_of(parser, "testenv", key):
            _read_names(line, names, found)
    commands = "\n".join(lines_of(parser, "testenv", "commands")).replace("\\\n", " ").splitlines()
    found.command = _one_command(commands[0]) if len(commands) == 1 else ()
    return found


def _from_toml(project: Project, base: dict[str, Any], evidence: Evidence) -> ToxTests:
    found = ToxTests(evidence)
    for item in _list(base, "deps"):
        if isinstance(item, str):
            _read_dependency(project, item.strip(), found)
        else:
            found.unread.append(str(item))
    for key, names in (("extras", found.extras), ("dependency_groups", found.groups)):
        names.extend(item for item in _list(base, key) if isinstance(item, str))
    commands = _list(base, "commands")
    if len(commands) == 1 and isinstance(commands[0], list):
        found.command = _words(commands[0])
    return found


def _list(table: dict[str, Any], key: str) -> list[Any]:
    value = table.get(key)
    return value if isinstance(value, list) else []


def _read_names(line: str, names: list[str], found: ToxTests) -> None:
    if _FACTOR.match(line) or "{" in line:
        found.unread.append(line)
    else:
        names.extend(name.strip() for name in line.split(",") if name.strip())


def _read_dependency(project: Project, line: str, found: ToxTests) -> None:
    """One line of ``deps``: a requirement, a requirement file, or the project itself with extras."""
    plain = _HERE.sub("", line)
    if _FACTOR.match(plain) or "{" in plain:
        found.unread.append(line)
    elif itself := _SELF.fullmatch(plain):
        found.extras.extend(name.strip() for name in (itself["extras"] or "").split(",") if name.strip())
    elif include := _INCLUDE.fullmatch(plain):
        file = posixpath.normpath(include["file"])
        (found.files if project.exists(file) else found.unread).append(file if project.exists(file) else line)
    else:
        (found.inline if _is_requirement(project, plain, found.evidence.file) else found.unread).append(line)


def _is_requirement(project: Project, text: str, file: str) -> bool:
    try:
        parse_requirement(project, text, file=file)
    except UsageError:
        return False
    return True


def _one_command(line: str) -> tuple[str, ...]:
    """The words of a line of ``commands``, its positional arguments as tox fills them in where none are given."""
    # "-" ignores the exit code and "!" turns it round: no plain command.
    if line.startswith(("-", "!")) or _FACTOR.match(line):
        return ()
    filled = _POSARGS.sub(lambda match: match[1] or "", line)
    if "{" in filled:
        return ()
    try:
        return tuple(word for word in shlex.split(filled) if word != "[]")
    except ValueError:
        return ()


def _words(items: list[Any]) -> tuple[str, ...]:
    words: list[str] = []
    for item in items:
        if isinstance(item, dict) and item.get("replace") == "posargs":
            words += [str(word) for word in _list(item, "default")]
        elif isinstance(item, str) and "{" not in (filled := _POSARGS.sub(lambda match: match[1] or "", item)):
            words += [filled] if filled else []
        else:
            return ()
    return tuple(words)
