"""What a leg installs: the project's runtime needs, and those of the groups that it asks for, each with its place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
from packaging.utils import canonicalize_name

from ci_envs import intents, suite
from ci_envs.errors import UsageError
from ci_envs.locks.requirements import classify
from ci_envs.model.detect import Evidence, TestPlan
from ci_envs.model.lock import Requirement
from ci_envs.nearest import nearest
from ci_envs.requirement_files import parse_requirement, read_requirements

if TYPE_CHECKING:
    from ci_envs.model.config import Config
    from ci_envs.model.leg import Leg
    from ci_envs.project import Project

__all__ = ["PROD", "Selection", "select"]

#: The group that stands for the runtime dependencies and nothing else.
PROD = "prod"

# Where a group's requirements may lie, for a leg that asks for the group by name.
_GROUP_FILES = ("requirements-{}", "{}-requirements", "requirements_{}", "requirements/{}")


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """The intent of one leg."""

    #: Dependency groups (PEP 735) and extras, as written.
    groups: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    #: Requirement files: the runtime one first.
    files: tuple[str, ...] = ()
    #: Those files and every one that they include.
    read: tuple[str, ...] = ()
    #: Those among them, and tox's configuration, that say what groups and tests need.
    beside: tuple[str, ...] = ()
    #: The file that only a build of the project can read for its runtime needs: ``setup.py``, ``pyproject.toml``.
    dynamic: str = ""
    #: Lines of tox's configuration that only tox can read.
    unread: tuple[str, ...] = ()
    #: Everything that is asked for, by name, and what limits it.
    direct: tuple[Requirement, ...] = ()
    constraints: tuple[Requirement, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    #: The project's own normalised name.
    project: str = ""
    #: Environment variables that the intent sets inside (conda's ``variables:``).
    variables: dict[str, str] = {}

    @property
    def lines(self) -> dict[str, list[str]]:
        """Requirements that stand in no requirement file, by the file that they do stand in."""
        found: dict[str, list[str]] = {}
        for requirement in self.direct:
            if requirement.file not in self.read and requirement.dialect == "pep508":
                found.setdefault(requirement.file, []).append(requirement.text)
        return found


def select(leg: Leg, project: Project, config: Config) -> Selection:
    """What a leg asks for: its own groups, else the configuration's, else those that its tests are found to need."""
    plan = _asked(leg, project, config)
    all_files = tuple(dict.fromkeys((*runtime_files(project), *plan.files)))
    direct = intents.direct_requirements(project, groups=plan.groups, extras=plan.extras, files=all_files)
    tox = next((e.file for e in plan.evidence if "tox" in e.file or "tox" in e.key), "tox.ini")
    direct += tuple(parse_requirement(project, text, file=tox) for text in plan.inline)
    readings = [read_requirements(project, name) for name in all_files]
    limits = [limit for reading in readings for limit in reading.constraints]
    return Selection(
        groups=plan.groups,
        extras=plan.extras,
        files=all_files,
        beside=(*plan.files, *((tox,) if plan.inline else ())),
        unread=plan.unread,
        read=tuple(dict.fromkeys(name for reading in readings for name in reading.files)),
        dynamic=_dynamic(project),
        direct=tuple(dict.fromkeys(direct)),
        constraints=tuple(dict.fromkeys(limits)),
        evidence=plan.evidence,
        project=intents.own_name(project),
    )


def runtime_files(project: Project) -> tuple[str, ...]:
    """The requirement file of the runtime needs: ``requirements.in``, else ``requirements.txt`` as people keep it."""
    return next(((name,) for name in ("requirements.in", "requirements.txt") if project.exists(name)), ())


def kept_by_hand(project: Project, selection: Selection) -> bool:
    """Whether the files are the lock themselves (``pip freeze > requirements.txt``) and nothing else is asked for.

    A ``.in`` file is what is wanted, however it is pinned (pip-tools' documentation).
    """
    if not selection.files or selection.groups or selection.extras or selection.lines or selection.dynamic:
        return False
    if any(name.endswith(".in") for name in selection.files):
        return False
    return all(classify(project.text(name) or "") != "intent" for name in selection.files)


def _dynamic(project: Project) -> str:
    """The file whose dependencies only its build backend knows; empty where they can be read, or there are none."""
    table = project.table("project")
    named = table.get("dynamic")
    if isinstance(named, list) and "dependencies" in named:
        return "" if intents.runtime_requirements(project) else "pyproject.toml"
    if table:
        return ""
    if project.table("tool", "poetry"):
        return "pyproject.toml"
    is_opaque = project.exists("setup.py") and not intents.runtime_requirements(project)
    return "setup.py" if is_opaque else ""


def _asked(leg: Leg, project: Project, config: Config) -> TestPlan:
    """The groups that are named, by the leg or by the configuration, else what the tests are found to need."""
    named = leg.groups or config.test.groups
    if named is None:
        return suite.test_plan(project)
    found: dict[str, list[str]] = {"group": [], "extra": [], "file": []}
    evidence: list[Evidence] = []
    for name in named:
        if name == PROD:
            continue
        kind, spelt, where = _find(name, project)
        found[kind].append(spelt)
        evidence.append(where)
    return TestPlan(
        groups=tuple(found["group"]), extras=tuple(found["extra"]), files=tuple(found["file"]), evidence=tuple(evidence)
    )


def _find(name: str, project: Project) -> tuple[str, str, Evidence]:
    """A group that was asked for by name: a dependency group, an extra, or a requirement file of that name."""
    for kind, listings in (("group", intents.groups_of(project)), ("extra", intents.extras_of(project))):
        for listing in listings:
            if canonicalize_name(listing.name) == canonicalize_name(name):
                return kind, listing.name, listing.evidence
    for stem in _GROUP_FILES:
        for ending in (".in", ".txt"):
            file = stem.format(name) + ending
            if project.exists(file):
                return "file", file, Evidence(file=file)
    known = [PROD, *(one.name for one in (*intents.groups_of(project), *intents.extras_of(project)))]
    known += _named_by_files(project)
    raise UsageError(
        f"the project has no group {name!r}{nearest(name, known)}",
        hint=f"it has {', '.join(dict.fromkeys(known))}; prod stands for the runtime dependencies alone",
    )


def _named_by_files(project: Project) -> list[str]:
    """Groups that requirement files are named after: ``dev`` for ``requirements-dev.in``."""
    files = [*project.names(), *(f"requirements/{name}" for name in project.names("requirements"))]
    patterns = [re.compile(re.escape(stem).replace(r"\{\}", r"(\w[\w-]*)") + r"\.(?:in|txt)") for stem in _GROUP_FILES]
    return [found[1] for file in files for pattern in patterns if (found := pattern.fullmatch(file))]
