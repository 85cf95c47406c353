"""What can be wrong with an installed file, and how a person is told. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from ci_envs.model.content import shown
from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci_envs.model.record import Severity

__all__ = ["Problem", "told"]

#: How many files a finding names.
_NAMED = 5


class Problem(NamedTuple):
    """One thing that is wrong with one file."""

    code: str
    #: Name and version of the distribution or conda package; empty for a file that none claims.
    distribution: str
    version: str
    path: str
    detail: str = ""


_AGAIN = "build the environment again with `ci-envs run --fresh`"

#: Code -> severity, title, what is said of the files, what to do.
_KINDS: dict[str, tuple[Severity, str, str, str]] = {
    "ENV110": (
        "error",
        "altered file",
        "not what RECORD says",
        f"{_AGAIN}: what the cache gives is compared, and fetched anew",
    ),
    "ENV111": ("error", "missing file", "listed in RECORD and not there", "build the environment again"),
    "ENV112": (
        "error",
        "unclaimed file",
        "not listed in any RECORD",
        "build the environment again; if that brings it back, find out which command writes it",
    ),
    "ENV114": ("error", "unreadable file", "cannot be read", "see to its permissions, or build the environment again"),
    "ENV115": (
        "warning",
        "file of two distributions",
        "brought by two distributions with different contents",
        "which one wins depends on the order of installing: keep only one of them in the lock",
    ),
    "ENV116": (
        "warning",
        "file without a hash",
        "listed in RECORD without a hash, so it cannot be compared",
        "the wheel is not well made: tell its authors",
    ),
    "ENV117": (
        "error",
        "RECORD leads outside",
        "listed in RECORD and not inside the environment",
        "do not use this distribution: uninstalling it would remove a foreign file",
    ),
    "ENV118": (
        "info",
        "no RECORD",
        "has no RECORD, so its files cannot be compared",
        "install it from a wheel",
    ),
    "ENV130": ("error", "altered file", "not what the conda package has", _AGAIN),
    "ENV131": ("error", "missing file", "of the conda package, and not there", _AGAIN),
    "ENV132": (
        "error",
        "bad record in conda-meta",
        "cannot be read, or leads outside of the environment",
        f"{_AGAIN}; if that brings it back, do not use the package",
    ),
    "ENV134": (
        "warning",
        "file without a hash",
        "of the conda package, which has no hash for it, so it cannot be compared",
        "the package is in an old format: use a newer build of it",
    ),
}


def told(problems: Iterable[Problem], is_code: frozenset[str] = frozenset()) -> tuple[Finding, ...]:
    """The problems for a person: one finding for each distribution and kind.

    A file that nobody claims (ENV112) is an error if its path is in ``is_code``: data cannot run, and some wheels
    forget to list theirs.
    """
    groups: dict[tuple[str, str, str, Severity], list[Problem]] = defaultdict(list)
    for problem in problems:
        severity = _KINDS[problem.code][0]
        if problem.code == "ENV112" and problem.path not in is_code:
            severity = "warning"
        groups[problem.code, problem.distribution, problem.version, severity].append(problem)
    return tuple(_finding(*key, found) for key, found in sorted(groups.items()))


def _finding(code: str, name: str, version: str, severity: Severity, problems: list[Problem]) -> Finding:
    _, title, what, advice = _KINDS[code]
    named = [shown(p.path) + (f" ({shown(p.detail)})" if p.detail else "") for p in problems[:_NAMED]]
    rest = f" and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    whose = f"{name} {version}: " if name else ""
    message = f"{whose}{what}: {', '.join(named)}{rest}; {advice}"
    return Finding(code=code, severity=severity, title=title, message=message)
