"""What pip-tools and uv could not lock: the error, and a finding at each line of the project that it is about."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Parsed
from packaging.utils import canonicalize_name

from ci_envs import trouble
from ci_envs.blame import blamed, kind_of, missing_extras, only_file
from ci_envs.error_findings import with_advice
from ci_envs.errors import LockError, UsageError
from ci_envs.intents import extras_of, groups_of, runtime_requirements
from ci_envs.requirement_files import parse_requirement
from ci_envs.toml_places import toml_places

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ci_envs.blame import Kind
    from ci_envs.command import Outcome
    from ci_envs.model.lock import Requirement
    from ci_envs.project import Project
    from ci_envs.work import Work

__all__ = ["also_at", "tell_missing_extras", "unsatisfied"]

_PYPROJECT = "pyproject.toml"
#: Where uv is told of versions that are no requirement (https://docs.astral.sh/uv/reference/settings/).
_UV_LIMITS = ("constraint-dependencies", "override-dependencies")


def unsatisfied(work: Work, outcome: Outcome, *, whole_project: bool = False) -> LockError:
    """The resolver's own sentence at the line that cannot be met; every other line of a conflict is a finding.

    ``whole_project``: all groups and extras were resolved together, as uv.lock has them, and not the leg's alone.
    """
    asked: Sequence[Requirement] = work.direct
    limits: Sequence[Requirement] = work.selection.constraints
    if whole_project:
        asked, limits = tuple(_all_asked(work.project)), tuple(_limits(work.project))
    found = blamed(outcome.output, asked, limits, own=work.selection.project)
    kind = kind_of(outcome.output, len(found))
    error = _error(work, outcome, kind, found, only_file(asked, _roots(work)))
    if error.file:
        message = with_advice(f"{_summary(found)}: {trouble.reason(outcome)}", error.hint, work.leg.id)
        work.find("LOCK040", "error", kind.title, message, file=error.file, line=error.line)
    for other in found[1:]:
        also_at(work, kind.title, other, found[0])
    if "requested Python version (" in outcome.output and (line := _requires_python(work.project)):
        message = (
            f"requires-python allows Pythons that {_shown(found[0]) if found else 'a requirement'} is not made for"
        )
        work.find("LOCK041", "warning", kind.title, message, file=_PYPROJECT, line=line)
    return error


def also_at(work: Work, title: str, other: Requirement, first: Requirement) -> None:
    """A finding at a further line of a conflict."""
    message = f"{other.text} takes part in it: {_shown(first)} cannot be met beside it"
    work.find("LOCK041", "warning", title, message, file=other.file, line=other.line)


def tell_missing_extras(work: Work, outcome: Outcome) -> None:
    """A finding for each extra that was asked for and is not there: uv and pip warn of it, and lock without it."""
    for name, extra in missing_extras(outcome.output):
        for one in work.direct:
            if one.name == name and one.dialect == "pep508" and extra in _extras(one):
                message = f"{one.text}: {name} has no extra {extra!r}, so nothing is installed for it"
                work.find("LOCK043", "warning", "no such extra", message, file=one.file, line=one.line)


def _extras(one: Requirement) -> set[str]:
    try:
        return {canonicalize_name(extra) for extra in Parsed(one.text).extras}
    except InvalidRequirement:  # a path or an address
        return set()


def _summary(found: Sequence[Requirement]) -> str:
    if not found:
        return "the requirements cannot be locked"
    others = " and ".join(map(_shown, found[1:4]))
    return f"{found[0].text} cannot be met{f' beside {others}' if others else ''}"


def _error(work: Work, outcome: Outcome, kind: Kind, found: Sequence[Requirement], file: str) -> LockError:
    said = trouble.reason(outcome)
    hint = f"{kind.advice}, then run {work.lock_command()}; the log has all of it: {work.layout.shown(work.log)}"
    if work.policy.as_of and re.search(r"no versions? of|upload-time|from versions: none", said):
        hint = f"an index that tells no upload times has nothing as of {work.policy.as_of}; {hint}"
    first = found[0] if found else None
    return LockError(
        f"the requirements cannot be locked: {said}",
        file=first.file if first else file,
        line=first.line if first else 0,
        hint=hint,
        title=kind.title,
    )


def _shown(one: Requirement) -> str:
    return f"{one.text} ({one.file}:{one.line})" if one.line else f"{one.text} ({one.file})"


def _roots(work: Work) -> tuple[str, ...]:
    return work.selection.files or tuple(filter(None, (work.selection.dynamic,)))


def _all_asked(project: Project) -> Iterator[Requirement]:
    """What the project needs itself, and in any of its groups and extras."""
    yield from runtime_requirements(project)
    for listing in (*groups_of(project), *extras_of(project)):
        try:
            yield from listing.read()
        except UsageError:  # nobody asked for it, and uv has words of its own for it
            continue


def _limits(project: Project) -> Iterator[Requirement]:
    places = toml_places(project.text(_PYPROJECT) or "")
    for path, (line, value) in places.items():
        if path[:2] == ("tool", "uv") and len(path) == 4 and path[2] in _UV_LIMITS:
            try:
                yield parse_requirement(project, value, file=_PYPROJECT, line=line)
            except UsageError:
                continue


def _requires_python(project: Project) -> int:
    return toml_places(project.text(_PYPROJECT) or "").get(("project", "requires-python"), (0, ""))[0]
