"""Where the same package has other versions in other legs. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from ci_envs.model.report import Parity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ci_envs.model.record import RunRecord

__all__ = ["Installed", "by_version", "differing", "installed", "parity"]

# Only these name packages of the Python world: a libssl of dpkg has no counterpart in a venv.
_MANAGERS = ("python", "conda")


class Installed(NamedTuple):
    """A package of a leg, and what it is compared with: the package of that name in legs of the same intent."""

    project: str
    name: str
    resolution: str
    version: str


def parity(records: Iterable[RunRecord]) -> tuple[Parity, ...]:
    """Packages whose version differs between legs, sorted by project and name.

    Legs are compared that lock the same intent: those of one project and one resolution, since a leg of lowest
    versions differs from one of highest versions on purpose. A leg that has not got a package is not compared
    for it: that it lacks one which it should have is for the check of installed against locked. The pip that an
    environment was made with is its interpreter's, and no package of the lock.
    """
    return differing([(record.leg.id, tuple(installed(record))) for record in records])


def installed(record: RunRecord) -> Iterator[Installed]:
    """The packages of a leg that are compared with those of others."""
    leg = record.leg
    for distribution in record.inventory:
        if distribution.manager in _MANAGERS and not distribution.seed:
            yield Installed(leg.project, distribution.name, leg.resolution, distribution.version)


def differing(legs: Sequence[tuple[str, Sequence[Installed]]]) -> tuple[Parity, ...]:
    """The same for legs by their ids."""
    seen: dict[tuple[str, str, str], str] = {}
    # A thousand legs have a hundred thousand packages, and nearly all of them agree.
    other = {each[:3] for _, packages in legs for each in packages if seen.setdefault(each[:3], each[3]) != each[3]}
    versions: dict[tuple[str, str, str], dict[str, str]] = {}
    for leg, packages in legs:
        for each in packages:
            if each[:3] in other:
                versions.setdefault(each[:3], {})[leg] = each.version
    return tuple(
        Parity(package=name, project=project, versions=found)
        for (project, name, _), found in sorted(versions.items(), key=lambda item: item[0])
        if len(set(found.values())) > 1
    )


def by_version(row: Parity) -> list[tuple[str, Sequence[str]]]:
    """The versions of one row, that of most legs last, each with its leg ids in the order they came."""
    legs: dict[str, list[str]] = {}
    for leg, version in row.versions.items():
        legs.setdefault(version, []).append(leg)
    counts = Counter(row.versions.values())
    return sorted(legs.items(), key=lambda item: (counts[item[0]], item[0]))
