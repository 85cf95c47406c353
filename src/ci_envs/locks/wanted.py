"""Which pins of a lock its requirements still bring: a walk from the direct ones. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ci_envs.errors import LockError
from ci_envs.locks.reading import applies, file_pin, plain_location, shown
from ci_envs.model.lock import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from packaging.markers import Marker
    from packaging.specifiers import SpecifierSet

    from ci_envs.locks.reading import ReadLock
    from ci_envs.model.lock import Pin

__all__ = ["Asked", "Closure", "asked_extras", "by_annotations", "by_metadata", "parsed"]

# The project itself: "demo (pyproject.toml)", or "demo (pyproject.toml:dev)" for a group of it.
_FROM_PROJECT = re.compile(r".*\([^)]+\)")
_PARENT = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:\[[^\]]*\])?")
_VCS = re.compile(r"(git|hg|svn|bzr)\+")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True)
class Asked:
    """A requirement, read."""

    source: Requirement
    #: Normalised; empty where only a folder or an address is named.
    name: str
    specifier: SpecifierSet | None = None
    url: str = ""
    extras: tuple[str, ...] = ()
    marker: Marker | None = None

    @cached_property
    def is_place(self) -> bool:
        """Whether it names a folder, a file or an address."""
        return bool(self.url) or not self.name

    def allows(self, pin: Pin) -> bool:
        """Whether the pin is what is asked for. A pin without a version is taken at its location's word."""
        if self.url:
            return pin.source != "index" and _same_place(self.url, pin.location)
        if self.specifier is None or not pin.version:
            return True
        # A pinned pre-release was allowed when it was pinned; a re-lock that keeps pins keeps it.
        return self.specifier.contains(pin.version, prereleases=True)


@dataclass(slots=True)
class Closure:
    """What a walk found: the names that are brought, and the needs that no pin meets, with who has them."""

    wanted: set[str] = field(default_factory=set)
    broken: list[tuple[Pin, Asked]] = field(default_factory=list)


def parsed(requirement: Requirement) -> Asked:
    """A requirement's parts. One that PEP 508 cannot spell (``./folder``, ``-e .``) names a place.

    Of one in another tool's dialect only the name is known: any version of it will do.
    """
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Parsed
    from packaging.utils import canonicalize_name

    if requirement.dialect != "pep508":
        return Asked(source=requirement, name=canonicalize_name(requirement.name))
    try:
        one = Parsed(requirement.text)
    except (InvalidRequirement, RecursionError) as error:
        address = requirement.text.removeprefix("--editable").removeprefix("-e").strip(" =")
        if not ("/" in address or "\\" in address or address.startswith(".")):
            raise LockError(
                f"{shown(requirement.text)!r} is not a requirement", file=requirement.file, line=requirement.line
            ) from error
        known = file_pin(address)
        name = known[0] if known else requirement.name
        return Asked(source=requirement, name=canonicalize_name(name) if name else "")
    return Asked(
        source=requirement,
        name=canonicalize_name(one.name),
        specifier=one.specifier,
        url=one.url or "",
        extras=tuple(sorted(canonicalize_name(extra) for extra in one.extras)),
        marker=one.marker,
    )


def asked_extras(asked: Iterable[Asked]) -> dict[str, Asked]:
    """``apple[net]`` for each extra of a direct requirement, with the first one that asks for it."""
    found: dict[str, Asked] = {}
    for one in asked:
        for extra in one.extras:
            found.setdefault(f"{one.name}[{extra}]", one)
    return found


def by_annotations(read: ReadLock, direct: set[str], project: str) -> tuple[set[str], list[str]]:
    """The pins that direct requirements still bring, by ``# via``; and those of which nothing tells who asked.

    The latter count as wanted, with what they bring: only what is known to be unneeded is called so.
    """
    pinned = {pin.name for pin in read.lock.pins}
    children: dict[str, list[str]] = {}
    wanted, unknown = {name for name in pinned if name in direct}, []
    for name in pinned - wanted:
        parents, is_open = _parents(read, name, pinned | direct, project)
        if is_open:
            unknown.append(name)
        for parent in parents:
            children.setdefault(parent, []).append(name)
    # A parent that is asked for and not pinned is reported as missing; what it brought is not news beside that.
    queue = [*wanted, *unknown, *(direct - pinned)]
    reached = {*wanted, *unknown}
    while queue:
        for child in children.get(queue.pop(), ()):
            if child not in reached:
                reached.add(child)
                queue.append(child)
    return reached, sorted(unknown)


def _parents(read: ReadLock, name: str, known: set[str], project: str) -> tuple[list[str], bool]:
    """The packages that asked for a pin, and whether something unknown did."""
    from packaging.utils import canonicalize_name

    said = [one for one in read.via.get(name, ()) if not one.startswith(("-c ", "--override ", "--constraint "))]
    parents: list[str] = []
    is_open = not said
    for one in said:
        if one.startswith("-r ") or _FROM_PROJECT.fullmatch(one):
            continue
        match = _PARENT.fullmatch(one)
        parent = canonicalize_name(match.group(1)) if match else ""
        if parent in known:
            parents.append(parent)
        elif not parent or read.unnamed or parent in read.excluded:
            is_open = True
        elif parent != canonicalize_name(project):
            parents.append(parent)
    return parents, is_open


def by_metadata(
    read: ReadLock, asked: Sequence[Asked], markers: Mapping[str, str], metadata: Mapping[str, Sequence[str]]
) -> Closure:
    """Walks the pins' own requirements, with the extras that each is asked for with."""
    closure = Closure()
    pins = {pin.name: pin for pin in read.lock.pins}
    needs: dict[str, list[Asked]] = {}
    seen: dict[str, set[str]] = {}
    queue = [(one.name, ("", *one.extras)) for one in asked]
    while queue:
        name, extras = queue.pop()
        fresh = set(extras) - seen.setdefault(name, set())
        if name not in pins or not fresh:
            continue
        seen[name] |= fresh
        closure.wanted.add(name)
        if name not in needs:
            needs[name] = [parsed(Requirement(text=line, name=name)) for line in metadata[name]]
        for need in needs[name]:
            if not any(applies(need.marker, markers, extra=extra) for extra in fresh):
                continue
            pin = pins.get(need.name)
            if (pin is None and need.name not in read.excluded) or (pin is not None and not need.allows(pin)):
                closure.broken.append((pins[name], need))
            queue.append((need.name, ("", *need.extras)))
    return closure


def _same_place(asked: str, pinned: str) -> bool:
    """Whether a pinned address is the one asked for. A branch or a tag is met by any commit: only its host knows."""
    left, right = plain_location(asked), plain_location(pinned)
    if left == right or not _VCS.match(left):
        return left == right
    (left_base, revision), (right_base, _) = _revision(left), _revision(right)
    return left_base == right_base and not _COMMIT.fullmatch(revision)


def _revision(location: str) -> tuple[str, str]:
    """``git+https://host/repo@main#subdirectory=x`` without its revision, and the revision."""
    address, _, folder = location.partition("#")
    scheme, _, rest = address.partition("://")
    host, _, path = rest.partition("/")
    path, _, revision = path.partition("@")
    return f"{scheme}://{host}/{path}#{folder}", revision
