"""Where the same package has other versions in other legs. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ci_envs.model.report import Parity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ci_envs.model.record import RunRecord

__all__ = ["by_version", "parity"]

# Only these name packages of the Python world: a libssl of dpkg has no counterpart in a venv.
_MANAGERS = ("python", "conda")


def parity(records: Iterable[RunRecord]) -> tuple[Parity, ...]:
    """Packages whose version differs between legs, sorted by project and name.

    Legs are compared that lock the same intent: those of one project and one resolution, since a leg of lowest
    versions differs from one of highest versions on purpose. A leg that has not got a package is not compared
    for it: that it lacks one which it should have is for the check of installed against locked. The pip that an
    environment was made with is its interpreter's, and no package of the lock.
    """
    versions: dict[tuple[str, str, str], dict[str, str]] = {}
    for record in records:
        for distribution in record.inventory:
            if distribution.manager in _MANAGERS and not distribution.seed:
                key = (record.leg.project, distribution.name, record.leg.resolution)
                versions.setdefault(key, {})[record.leg.id] = distribution.version
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
