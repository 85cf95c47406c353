"""``flake.nix`` and ``shell.nix`` for a Python project: text from values, and nothing of a project believed.

What a project says becomes a comment of one line, a string or the name of an attribute, each written so that nix reads
the same text back. Pure, but for the templates, which are shipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from ci_envs.errors import ToolMissing, UsageError
from ci_envs.nix.described import nix_text
from ci_envs.nix.nixpkgs import Release, python_attribute
from ci_envs.plain import one_line
from ci_envs.resources import resource

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["Form", "Installer", "Listed", "ShellPlan", "attribute_name", "render"]

Form = Literal["flake", "shell"]
Installer = Literal["nixpkgs", "uv"]

# https://nix.dev/manual/nix/latest/language/identifiers; a name that begins with a digit or is a keyword is quoted.
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*")
_KEYWORDS = frozenset(("assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"))
# PEP 735 and the packaging specifications have one grammar for the names of groups and extras.
_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_COMMENT_LENGTH = 160


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a list of packages."""

    #: The attribute; empty where nixpkgs may have none: the line is a comment then.
    attribute: str
    #: Whose attribute: of the Python's packages, or of nixpkgs itself, which has the programs.
    of: Literal["ps", "pkgs"]
    #: What the project says: ``requests>=2 (pyproject.toml:12)``.
    said: str
    #: What a person is to look at: why there is no attribute, or what it leaves out.
    check: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellPlan:
    """Everything that decides what the files say."""

    #: The project's name, any text.
    name: str
    #: The series of the Python: ``3.12``.
    python: str
    release: Release
    packages: tuple[Listed, ...] = ()
    #: The files that all this was read from.
    read: tuple[str, ...] = ()
    #: Where the project's own package lies, which no Python finds there by itself; empty where it is no package.
    sources: Literal["", ".", "src"] = ""
    installer: Installer = "nixpkgs"
    #: What uv installs beside the runtime dependencies.
    groups: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()


def render(plan: ShellPlan, form: Form) -> str:
    """The file. :class:`UsageError` for a group that could be more than a name in a shell's hook."""
    shell = _template("uv.nix.j2" if plan.installer == "uv" else "python.nix.j2").render(
        python=python_attribute(plan.python),
        libraries=[line for one in plan.packages if one.of == "ps" for line in _lines(one)],
        programs=[line for one in plan.packages if one.of == "pkgs" for line in _lines(one)],
        sources={"": "", ".": "$PWD", "src": "$PWD/src"}[plan.sources],
        words="".join(f" {word}" for word in _words(plan)),
    )
    source = f" from {', '.join(plan.read)}" if plan.read else ""
    return _template(f"{form}.nix.j2").render(
        made=one_line(f"Made by `ci-envs init --pattern nix`{source}; it is yours from here on."),
        description=nix_text(one_line(f"The development shell of {plan.name}")),
        release=plan.release,
        shell=shell.rstrip("\n"),
    )


def attribute_name(name: str) -> str:
    """A name as it stands in an attribute path, quoted where it is no identifier."""
    return name if _IDENTIFIER.fullmatch(name) and name not in _KEYWORDS else nix_text(name)


def _lines(one: Listed) -> list[str]:
    said = one_line(one.said, _COMMENT_LENGTH)
    check = one_line(one.check, _COMMENT_LENGTH)
    if not one.attribute:
        return [f"# to check: {said}: {check}"]
    live = f"{one.of}.{attribute_name(one.attribute)} # {said}"
    return [live, f"# to check: {check}"] if check else [live]


def _words(plan: ShellPlan) -> list[str]:
    for name in (*plan.groups, *plan.extras):
        if not _WORD.fullmatch(name):
            raise UsageError(f"{name!r} is no name of a group or an extra")
    return [f"--group={name}" for name in plan.groups] + [f"--extra={name}" for name in plan.extras]


@cache
def _template(name: str) -> Template:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ToolMissing(
            "jinja2, which makes the files, is not installed beside ci-envs",
            hint="python -m pip install 'repro-envs[nix]'",
        ) from error
    environment = Environment(
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - no HTML: what goes in is written for nix
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(resource(f"nix/{name}").read_text("utf-8"))
