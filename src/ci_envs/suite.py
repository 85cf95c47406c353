"""A project's test suite, found in its files: what it needs to be installed, and how it is run.

What it needs is the first of these that is there (:func:`test_plan`):

1. a dependency group or an extra named ``test``, ``tests``, ``testing`` or ``dev``, in the order of the names;
2. ``requirements-test``, ``requirements-dev``, ``test-requirements``, ``dev-requirements``, ``requirements/test*``,
   ``requirements/dev*``, ``tests/requirements``, each ``.in`` or ``.txt``;
3. what tox installs in its ``testenv``;
4. a dependency group or an extra of any other name that names pytest.

A group or a file named for development often holds linters only; one that does not name pytest gives way to a later
one that does.

How it is run is :func:`test_command`'s, of :mod:`ci_envs.suite_command`.
"""

from __future__ import annotations

import fnmatch
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace
from packaging.utils import canonicalize_name

from ci_envs.errors import UsageError
from ci_envs.intents import extras_of, groups_of
from ci_envs.model.detect import Evidence, TestPlan
from ci_envs.requirement_files import parse_requirement, read_requirements
from ci_envs.suite_command import test_command
from ci_envs.tox_files import read_tox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ci_envs.intents import Listing
    from ci_envs.model.lock import Requirement
    from ci_envs.project import Project
    from ci_envs.tox_files import ToxTests

__all__ = ["test_command", "test_plan"]

GROUP_NAMES = ("test", "tests", "testing", "dev")

#: Stems of requirement files in the order they are looked for; in names, "_" is read as "-".
FILE_STEMS = (
    *("requirements-test", "requirements-tests", "requirements-testing", "requirements-dev", "requirements-develop*"),
    *("test-requirements", "tests-requirements", "dev-requirements"),
    *("requirements/test*", "requirements/dev*", "tests/requirements", "test/requirements"),
)


@dataclass(frozen=True, slots=True)
class _Candidate:
    plan: TestPlan
    #: Its name speaks of tests and of nothing else.
    sure: bool
    requirements: Callable[[], list[Requirement]]

    def names_pytest(self) -> bool:
        """Whether it would install pytest or a plugin of it."""
        try:
            return any(r.name == "pytest" or r.name.startswith("pytest-") for r in self.requirements())
        except UsageError:
            return False  # said to the user where the file is really used


def test_plan(project: Project) -> TestPlan:
    """What the project's tests need; an empty plan with its reason where nothing says so."""
    first: TestPlan | None = None
    for candidate in _candidates(project):
        if candidate.sure or candidate.names_pytest():
            return candidate.plan
        first = first or candidate.plan
    return first or TestPlan(
        why="no dependency group, extra, requirement file or tox configuration for tests was found"
    )


def _candidates(project: Project) -> Iterator[_Candidate]:
    groups, extras = groups_of(project), extras_of(project)
    for name in GROUP_NAMES:
        if same := _called(name, groups):
            yield _candidate_of_listing(TestPlan(groups=(same[0].name,)), same, _purpose(name), sure=name != "dev")
        elif same := _called(name, extras):
            yield _candidate_of_listing(TestPlan(extras=(same[0].name,)), same, _purpose(name), sure=name != "dev")
    for file, lock in _requirement_files(project):
        yield _candidate_of_file(project, file, lock)
    if tox := read_tox(project):
        yield _candidate_of_tox(project, tox)
    yield from _with_pytest(groups, extras)


def _with_pytest(groups: tuple[Listing, ...], extras: tuple[Listing, ...]) -> Iterator[_Candidate]:
    """Groups, then extras, of any other name: ``cicd`` is one for tests where it names pytest."""
    plans = [(TestPlan(groups=(one.name,)), one) for one in groups]
    plans += [(TestPlan(extras=(one.name,)), one) for one in extras]
    for plan, listing in plans:
        candidate = _candidate_of_listing(plan, [listing], "tests, since it names pytest", sure=False)
        if canonicalize_name(listing.name) not in GROUP_NAMES and candidate.names_pytest():
            yield candidate


def _called(name: str, listings: tuple[Listing, ...]) -> list[Listing]:
    return [listing for listing in listings if canonicalize_name(listing.name) == name]


def _candidate_of_listing(plan: TestPlan, listings: list[Listing], purpose: str, *, sure: bool) -> _Candidate:
    evidence = tuple(listing.evidence for listing in listings)
    kind = "dependency group" if plan.groups else "extra"
    whole = replace(plan, evidence=evidence, why=f"{evidence[0]} is the {kind} for {purpose}")
    return _Candidate(whole, sure, lambda: [r for listing in listings for r in listing.read()])


def _candidate_of_file(project: Project, file: str, lock: str) -> _Candidate:
    stem = posixpath.basename(file)
    plan = TestPlan(
        files=(file,),
        locks={file: lock} if lock else {},
        evidence=(Evidence(file=file),),
        why=f"{file} holds what is needed for {_purpose(stem)}",
    )
    return _Candidate(plan, "dev" not in stem, lambda: read_requirements(project, file).requirements)


def _candidate_of_tox(project: Project, tox: ToxTests) -> _Candidate:
    plan = TestPlan(
        groups=tuple(tox.groups),
        extras=tuple(tox.extras),
        files=tuple(tox.files),
        inline=tuple(tox.inline),
        unread=tuple(tox.unread),
        evidence=(tox.evidence,),
        why=f"{tox.evidence} is where tox runs the tests",
    )
    inline = [parse_requirement(project, text, file=tox.evidence.file) for text in tox.inline]
    # Groups, extras and files are not looked into: the question is asked of the last candidate only.
    return _Candidate(plan, bool(tox.groups or tox.extras or tox.files), lambda: inline)


def _purpose(name: str) -> str:
    return "development" if "dev" in name else "tests"


def _requirement_files(project: Project) -> Iterator[tuple[str, str]]:
    """Requirement files for tests in their order, and the compiled file beside each (or nothing)."""
    folders = ("requirements", "tests", "test")
    names = [name for name in project.names() if "requirements" in name.lower()]
    names += [f"{folder}/{name}" for folder in folders for name in project.names(folder)]
    there = [name for name in names if name.endswith((".in", ".txt")) and project.exists(name)]
    there.sort(key=lambda name: (len(name), name))  # the plainest name first, and x.in before x.txt
    seen: set[str] = set()
    for wanted in FILE_STEMS:
        for name in there:
            stem = posixpath.splitext(name)[0]
            if stem in seen or not fnmatch.fnmatchcase(stem.lower().replace("_", "-"), wanted):
                continue
            seen.add(stem)
            both = f"{stem}.in" in there and f"{stem}.txt" in there
            yield name, f"{stem}.txt" if both else ""
