"""``Requires-Dist`` lines of installed distributions, read for the interpreter that they are installed for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.requirements import Requirement

__all__ = ["needed"]


def needed(line: str, markers: Mapping[str, str]) -> Requirement | None:
    """The requirement; ``None`` where its marker leaves it out, as it does with those of an extra.

    ``markers`` are the values of PEP 508's variables inside the environment. ``ValueError`` where the line is no
    requirement, or compares what cannot be compared.
    """
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(line)
        applies = requirement.marker is None or requirement.marker.evaluate({**markers, "extra": ""})
    except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName) as error:
        raise ValueError(f"{line!r}, which is no valid requirement") from error
    return requirement if applies else None
