"""Whether a lock still says what its intent asks for. Pure, without a resolver and without a network.

In sync means: the pins satisfy the requirements now, and a re-lock that keeps its pins would change nothing. A
resolver that keeps pins changes a lock for four reasons only: a requirement or a constraint that a pin breaks, a
requirement without a pin, a pin that nothing asks for any more, and a lock that was made for another Python or
platform. Each is looked for here; how exactly the third can be, :attr:`Verdict.judged` tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from ci_envs.errors import LockError
from ci_envs.locks.reading import applies, plain_location, require_all, shown
from ci_envs.locks.wanted import asked_extras, by_annotations, by_metadata, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ci_envs.locks.reading import ReadLock
    from ci_envs.locks.wanted import Asked
    from ci_envs.model.lock import Pin, Requirement

__all__ = ["Code", "Judged", "Stale", "Verdict", "direct_extras", "in_sync"]

Code = Literal[
    "unsatisfied", "missing", "unneeded", "other-python", "other-platform", "unhashed", "constraint", "channel"
]

#: By what it was judged whether every pin is still asked for: the metadata of the pinned packages (exact), the lock's
#: own ``# via`` annotations, or nothing: then only that the pins satisfy the requirements is known.
Judged = Literal["metadata", "annotations", "satisfaction"]


class Stale(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which the lock no longer says what is asked for."""

    code: Code
    #: A whole sentence, with the files and lines it is about.
    message: str
    #: The normalised name of the package, if it is about one.
    name: str = ""
    #: The requirement's place where there is one, else the lock's.
    file: str = ""
    line: int = 0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Truthy where the lock is in sync as far as could be judged."""

    stale: tuple[Stale, ...] = ()
    judged: Judged = "satisfaction"
    #: What could not be judged, in sentences.
    unjudged: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not self.stale


def in_sync(
    read: ReadLock,
    direct: Sequence[Requirement],
    *,
    markers: Mapping[str, str],
    constraints: Sequence[Requirement] = (),
    metadata: Mapping[str, Sequence[str]] | None = None,
    hashes: bool = False,
    project: str = "",
) -> Verdict:
    """Judges a lock by its direct requirements, for the leg with these PEP 508 ``markers`` (all of them).

    ``metadata`` maps a pinned package's normalised name to the ``Requires-Dist`` lines of its pinned version;
    ``hashes`` demands them; ``project`` is the project's own name, as annotations have it.
    """
    require_all(markers)
    asked = [one for one in map(parsed, direct) if applies(one.marker, markers)]
    limits = [one for one in map(parsed, constraints) if applies(one.marker, markers)]
    stale = [
        *_made_elsewhere(read, markers),
        *_direct(read, asked),
        *_constraints(read, limits),
        *(_hashes(read) if hashes else ()),
    ]
    judged, unneeded, unjudged = _closure(read, asked, markers, metadata, project)
    foreign = [one.name for one in asked if one.source.dialect != "pep508"]
    if foreign:
        unjudged.append(f"the versions that another tool's spelling asks for: {', '.join(foreign)}")
    return Verdict(stale=(*stale, *unneeded), judged=judged, unjudged=tuple(unjudged))


def direct_extras(direct: Sequence[Requirement], markers: Mapping[str, str]) -> tuple[str, ...]:
    """``apple[net]`` for each extra that the leg's direct requirements ask for, sorted: what a lock's header keeps."""
    asked = [one for one in map(parsed, direct) if applies(one.marker, markers)]
    return tuple(sorted(asked_extras(asked)))


def _made_elsewhere(read: ReadLock, markers: Mapping[str, str]) -> Iterator[Stale]:
    made, path = read.made, read.lock.path
    python = made.python.removeprefix("pypy").removesuffix("t")
    if python and _is_other_python(python, markers["python_version"], least=made.universal):
        since = " or later" if made.universal else ""
        message = f"{path} was made for Python {made.python}{since}, and this leg has {markers['python_version']}"
        yield Stale(code="other-python", message=message, file=path)
    elif made.python.startswith("pypy") and markers["platform_python_implementation"] != "PyPy":
        message = f"{path} was made for PyPy, and this leg has {markers['platform_python_implementation']}"
        yield Stale(code="other-python", message=message, file=path)
    here = _platform(markers)
    made_for = (made.os or here[0], made.arch or here[1])
    if made_for != here and not made.universal:
        message = f"{path} was made for {'-'.join(made_for)}, and this leg is {'-'.join(here)}"
        yield Stale(code="other-platform", message=message, file=path)


def _is_other_python(made: str, leg: str, *, least: bool) -> bool:
    if not least:
        return made != leg
    from packaging.version import Version

    return Version(leg) < Version(made)


def _platform(markers: Mapping[str, str]) -> tuple[str, str]:
    """The leg's words for what PEP 508 calls ``sys_platform`` and ``platform_machine``."""
    systems = {"darwin": "macos", "win32": "windows"}
    machines = {"amd64": "x86_64", "arm64": "aarch64"}
    system, machine = markers["sys_platform"], markers["platform_machine"].lower()
    return systems.get(system, system), machines.get(machine, machine)


def _direct(read: ReadLock, asked: Sequence[Asked]) -> Iterator[Stale]:
    for one in asked:
        pin = read.lock.pin(one.name)
        if pin is None and (one.name in read.excluded or (read.unnamed and one.is_place)):
            continue
        if pin is None:
            message = f"{_said(one.source)} has no pin in {read.lock.path}"
            yield _stale("missing", message, one)
        elif not one.allows(pin):
            message = f"{_said(one.source)} is not satisfied by {_pin_at(read, pin)}"
            yield _stale("unsatisfied", message, one)


def _constraints(read: ReadLock, limits: Sequence[Asked]) -> Iterator[Stale]:
    for one in limits:
        pin = read.lock.pin(one.name)
        if pin is not None and not one.allows(pin):
            yield _stale("constraint", f"{_said(one.source)} does not allow {_pin_at(read, pin)}", one)


def _hashes(read: ReadLock) -> Iterator[Stale]:
    bare = [pin for pin in read.lock.pins if not pin.hashes and pin.source in ("index", "url")]
    if not bare:
        return
    more = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
    verb = "carry no hash" if more else "carries no hash"
    name = bare[0].name
    yield Stale(
        code="unhashed",
        message=f"{_pin_at(read, bare[0])}{more} {verb}",
        name=name,
        file=read.lock.path,
        line=read.lines.get(name, 0),
    )


def _closure(
    read: ReadLock,
    asked: Sequence[Asked],
    markers: Mapping[str, str],
    metadata: Mapping[str, Sequence[str]] | None,
    project: str,
) -> tuple[Judged, list[Stale], list[str]]:
    """Whether the pins are what the requirements bring, no more and no less."""
    unreadable: list[str] = []
    if metadata is not None and all(pin.name in metadata for pin in read.lock.pins):
        try:
            return "metadata", _exact(read, asked, markers, metadata), []
        except LockError as error:
            unreadable.append(f"the metadata of a pinned package cannot be read: {error}")
    stale, unjudged = _extras(read, asked)
    unjudged += unreadable
    if not read.via and read.lock.pins:
        unjudged.append(f"{read.lock.path} does not tell what asked for each pin, so none can be called unneeded")
        return "satisfaction", stale, unjudged
    wanted, unknown = by_annotations(read, {one.name for one in asked}, project)
    if unknown:
        unjudged.append(f"nothing in {read.lock.path} tells what asked for {', '.join(unknown)}")
    return "annotations", [*stale, *_unneeded(read, wanted)], unjudged


def _exact(
    read: ReadLock, asked: Sequence[Asked], markers: Mapping[str, str], metadata: Mapping[str, Sequence[str]]
) -> list[Stale]:
    closure = by_metadata(read, asked, markers, metadata)
    broken = [_broken(read, parent, need) for parent, need in closure.broken]
    return [*dict.fromkeys(broken), *_unneeded(read, closure.wanted)]


def _broken(read: ReadLock, parent: Pin, need: Asked) -> Stale:
    pin = read.lock.pin(need.name)
    what = "which has no pin" if pin is None else f"which is not satisfied by {_pin_at(read, pin)}"
    return Stale(
        code="missing" if pin is None else "unsatisfied",
        message=f"{_pin_at(read, parent)} needs {shown(need.source.text)}, {what}",
        name=need.name,
        file=read.lock.path,
        line=read.lines.get(parent.name, 0),
    )


def _extras(read: ReadLock, asked: Sequence[Asked]) -> tuple[list[Stale], list[str]]:
    """Extras of direct requirements: pins alone do not show them, but our header does, and so may a pin's line."""
    now, path = asked_extras(asked), read.lock.path
    then = _recorded_extras(read)
    if then is None:
        return [], [f"{path} does not tell whether it was made for {', '.join(sorted(now))}"] if now else []
    added = [
        _stale("unsatisfied", f"{_said(now[extra].source)}: {path} was made without {extra}", now[extra])
        for extra in sorted(now.keys() - then)
    ]
    # A pin's line shows the extras that packages asked for too, so only the header tells which of them are gone.
    gone = sorted(then - now.keys()) if read.made.extras is not None else []
    removed = [
        Stale(code="unneeded", message=f"{extra}, which {path} was made for, is no longer asked for", file=path)
        for extra in gone
    ]
    return [*added, *removed], []


def _recorded_extras(read: ReadLock) -> set[str] | None:
    if read.made.extras is not None:
        return set(read.made.extras)
    return {f"{name}[{extra}]" for name, extras in read.extras.items() for extra in extras} or None


def _unneeded(read: ReadLock, wanted: set[str]) -> list[Stale]:
    found = []
    for pin in read.lock.pins:
        if pin.name in wanted:
            continue
        line = read.lines.get(pin.name, 0)
        parents = [said for said in read.via.get(pin.name, ()) if not said.startswith("-c ")]
        only = f" (it was, by {', '.join(map(shown, parents))})" if parents else ""
        message = f"{_pin_at(read, pin)} is no longer asked for{only}"
        found.append(Stale(code="unneeded", message=message, name=pin.name, file=read.lock.path, line=line))
    return found


def _said(requirement: Requirement) -> str:
    """``requirements.in:3: pandas>=3``, or only the text where its place is not known."""
    place = f"{requirement.file}:{requirement.line}: " if requirement.line else ""
    place = place or (f"{requirement.file}: " if requirement.file else "")
    return f"{place}{shown(requirement.text)}"


def _pin_at(read: ReadLock, pin: Pin) -> str:
    version = f"=={pin.version}" if pin.version else f" @ {shown(plain_location(pin.location))}"
    return f"{pin.name}{version} of {read.where(pin.name)}"


def _stale(code: Code, message: str, one: Asked) -> Stale:
    return Stale(code=code, message=message, name=one.name, file=one.source.file, line=one.source.line)
