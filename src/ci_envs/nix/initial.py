"""The first nix file of a Python project: what its requirements come to in nixpkgs, written where nothing is yet."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from packaging.requirements import Requirement as Parsed
from packaging.specifiers import SpecifierSet

from ci_envs.detect import python_wanted
from ci_envs.errors import UsageError
from ci_envs.layout import write_atomically
from ci_envs.model.leg import make_leg
from ci_envs.nix.described import Description
from ci_envs.nix.direnv import ENVRC, offered_envrc
from ci_envs.nix.nixpkgs import holds_on, names, python_attribute, release
from ci_envs.nix.templates import Listed, ShellPlan, attribute_name, render
from ci_envs.requirement_files import read_requirements
from ci_envs.selection import select

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci_envs.model.config import Config
    from ci_envs.model.lock import Requirement
    from ci_envs.nix.nixpkgs import Release
    from ci_envs.nix.templates import Form, Installer
    from ci_envs.project import Project
    from ci_envs.selection import Selection

__all__ = ["Started", "plan_shell", "start"]

# https://packaging.python.org/en/latest/specifications/name-normalization/; Poetry's tables may have anything.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Started:
    """What was written, and what is left to do."""

    written: tuple[str, ...]
    #: What the file says is to be looked at, a sentence each.
    to_check: tuple[str, ...]
    #: Commands, in their order.
    next_steps: tuple[str, ...]


def start(
    project: Project, config: Config, *, form: Form, installer: Installer, python: str = "", direnv: bool = False
) -> Started:
    """Writes ``flake.nix`` or ``shell.nix``, and ``.envrc`` where it is asked for.

    :class:`UsageError` where one of them is there, before anything is written: a file of yours is never changed.
    """
    plan = plan_shell(project, config, installer=installer, python=python)
    files = {f"{form}.nix": render(plan, form)}
    if direnv:
        files[ENVRC] = offered_envrc(Description(form, f"{form}.nix", project.root))
    for name in files:
        if os.path.lexists(project.root / name):
            raise UsageError("is there already, and is left as it is", file=name, hint="move it away to have a new one")
    for name, text in files.items():
        write_atomically(project.root / name, text.encode())
        project.forget(name)
    to_check = tuple(f"{one.said}: {one.check}" for one in plan.packages if one.check)
    return Started(tuple(files), to_check, tuple(_next_steps(project, plan, tuple(files))))


def _next_steps(project: Project, plan: ShellPlan, files: tuple[str, ...]) -> Iterator[str]:
    asked = f"--pattern nix --python {plan.python}"
    if any((folder / ".git").exists() for folder in (project.root, *project.root.parents)):
        yield f"git add {' '.join(files)}"  # of a flake in a repository nix sees the files alone that git knows
    if "flake.nix" in files:
        yield f"ci-envs lock {asked}"
    if plan.installer == "uv" and not project.exists("uv.lock"):
        yield "uv lock"
    yield f"ci-envs run {asked}"
    if ENVRC in files:
        yield "direnv allow"


def plan_shell(project: Project, config: Config, *, installer: Installer = "nixpkgs", python: str = "") -> ShellPlan:
    """What the project's runtime and its tests ask for, in the words of nixpkgs."""
    known = release()
    series = python or _series(project, known)
    python_attribute(series)  # what is no series is told before a requirement is read
    selection = select(make_leg(pattern="nix", python=series, os="linux", arch="x86_64"), project, config)
    plan = ShellPlan(
        name=selection.project or project.root.name,
        python=series,
        release=known,
        read=_files(selection),
        sources=("src" if project.names("src") else ".") if project.is_package else "",
        installer=installer,
    )
    if installer == "uv":
        if not project.pyproject:
            hint = "uv.lock belongs to a pyproject.toml; without --installer uv the packages come from nixpkgs"
            raise UsageError("there is no pyproject.toml, and uv syncs what one says", hint=hint)
        return replace(plan, groups=selection.groups, extras=selection.extras)
    return replace(plan, packages=tuple(_merged(_listed(project, selection, series))))


def _series(project: Project, known: Release) -> str:
    """The Python that the project names; where it only gives bounds, nixpkgs' own if that is within them."""
    found = python_wanted(project)
    if found is None:
        return known.python
    wanted, evidence = found
    bounds = project.table("project").get("requires-python")
    if evidence.key != "project.requires-python" or not isinstance(bounds, str):
        return wanted
    allowed = SpecifierSet(bounds)  # it parses, or python_wanted had not taken it
    return next((one for one in (known.python, *reversed(known.pythons)) if _is_within(one, allowed)), wanted)


def _is_within(series: str, allowed: SpecifierSet) -> bool:
    """Whether some release of a series may be taken: its first, or one that is yet to come."""
    return f"{series}.0" in allowed or f"{series}.99" in allowed


def _files(selection: Selection) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.file for one in selection.direct if one.file))


def _listed(project: Project, selection: Selection, series: str) -> Iterator[Listed]:
    """One for each thing that is asked for: nothing is left out, since what is missing nobody would see."""
    for one in selection.direct:
        yield _required(one, series)
    for file in selection.files:
        for reference in read_requirements(project, file).references:
            if reference.target != ".":
                said = _said(reference.target, reference.file, reference.line)
                yield Listed("", "ps", said, "it has no name, so it is no package of nixpkgs")
    if selection.dynamic and not any(one.file == selection.dynamic for one in selection.direct):
        yield Listed("", "ps", f"the dependencies of {selection.dynamic}", "only a build of the project tells them")
    for line in selection.unread:
        yield Listed("", "ps", line, "only tox knows what it means")


def _required(one: Requirement, series: str) -> Listed:
    said = _said(one.text, one.file, one.line)
    extras = ""
    if one.dialect == "pep508":
        parsed = Parsed(one.text)
        if parsed.url:
            return Listed("", "ps", said, "it names an address, and nixpkgs has releases of its own choice")
        held = holds_on(parsed.marker, series)
        if held != "all":
            return Listed("", "ps", said, f"its marker holds on {held} of the systems, with Python {series}")
        extras = ", ".join(sorted(parsed.extras))
    return _named(one.name, said, extras)


def _named(name: str, said: str, extras: str) -> Listed:
    known = names()
    if not _NAME.fullmatch(name):
        return Listed("", "ps", said, "it is no name of a distribution")
    if name in known.absent:
        return Listed("", "ps", said, f"not in nixpkgs: {known.absent[name]}")
    if name in known.programs:
        return Listed(known.programs[name], "pkgs", said)
    attribute = known.attributes.get(name, name)
    where = f"`++ ps.{attribute_name(attribute)}.optional-dependencies.EXTRA`, where nixpkgs has it"
    return Listed(attribute, "ps", said, f"what {extras} brings: {where}" if extras else "")


def _said(text: str, file: str, line: int) -> str:
    where = f"{file}:{line}" if line else file
    return f"{text} ({where})" if where else text


def _merged(found: Iterable[Listed]) -> Iterator[Listed]:
    """Each attribute once, however often it is asked for; comments stay where they are."""
    merged: dict[tuple[str, str], Listed] = {}
    for one in found:
        key = (one.of, one.attribute or one.said)
        before = merged.get(key)
        if before is None:
            merged[key] = one
        elif one.attribute:
            check = "; ".join(filter(None, dict.fromkeys((before.check, one.check))))
            merged[key] = replace(before, said=f"{before.said}, {one.said}", check=check)
    yield from merged.values()
