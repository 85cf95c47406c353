"""Which patterns a project describes, by what evidence, and which of them ``auto`` takes.

The order of ``auto``:

1. A pattern that can be built comes before one that cannot be built yet.
2. A committed lock beats an intent, whichever tools they belong to: ``poetry.lock`` comes before ``[tool.uv]``.
3. Within each of the two, the order of :data:`ci_envs.detectors.DETECTORS`.

Nothing is run and no lock is parsed. A file that cannot be read (a broken ``pyproject.toml``, a link that leads out
of the project) never hides the rest: :func:`detect` takes it for absent and says so in ``Detection.problems``, and
whoever needs what it says calls :func:`refuse_problems`. :func:`evidence_for` raises for it only where nothing else
speaks for the pattern.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ci_envs.detectors import DETECTORS, SAME_EVIDENCE, Clue, Scan, Tier
from ci_envs.detectors.python import python_wanted
from ci_envs.errors import UsageError
from ci_envs.model.detect import Detected, Detection, Evidence
from ci_envs.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Collection

    from ci_envs.project import Project

__all__ = [
    "BUILT_PATTERNS",
    "INSTALLED_INSIDE",
    "KNOWN_PATTERNS",
    "RECOGNISED",
    "detect",
    "evidence_for",
    "python_wanted",
    "refuse_problems",
]

#: What this version can build. The registry of patterns knows it too, and a test compares: to ask it is to import
#: every pattern with its tools, which looking at a folder should not cost.
BUILT_PATTERNS = frozenset(
    ("uv", "venv", "virtualenv", "conda", "mamba", "micromamba", "docker", "podman", "devcontainer", "nix", "guix")
)

#: The patterns whose locks a generated Dockerfile can install, in the order in which they are looked for.
INSTALLED_INSIDE = ("uv", "venv", "conda", "nix")

#: Every name that a matrix may give a pattern.
KNOWN_PATTERNS: tuple[str, ...] = (*DETECTORS, *SAME_EVIDENCE)

#: Files to name where nothing was found.
RECOGNISED = "requirements.in, requirements.txt, pyproject.toml, uv.lock, environment.yml, Dockerfile or flake.nix"


class _Found(NamedTuple):
    pattern: str
    #: The strongest first.
    clues: list[Clue]

    @property
    def tier(self) -> Tier:
        return self.clues[0].tier

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        return tuple(clue.evidence for clue in self.clues)


def detect(project: Project, *, buildable: Collection[str] | None = None) -> Detection:
    """All patterns that the project describes. ``buildable`` are those that can be built (``None``: all of them)."""
    scan = Scan(project)
    able = DETECTORS.keys() if buildable is None else buildable
    found = [_Found(pattern, clues) for pattern in DETECTORS if (clues := _clues(pattern, scan))]
    found.sort(key=lambda one: (one.pattern not in able, one.tier))
    patterns = tuple(
        Detected(pattern=one.pattern, evidence=one.evidence, chosen=rank == 0, why=_why(rank, found, able))
        for rank, one in enumerate(found)
    )
    return Detection(patterns=patterns, problems=scan.problems)


def evidence_for(pattern: str, project: Project) -> tuple[Evidence, ...]:
    """The evidence for a pattern that was asked for by name; none where the project does not describe it.

    Asked for by name, ``uv`` can do with what describes a ``venv``, whose files it reads, conda's patterns with the
    lock of a ``pixi`` project, and ``docker`` with whatever a Dockerfile can be generated from.
    """
    if pattern not in KNOWN_PATTERNS:
        raise UsageError(f"there is no pattern {pattern!r}{nearest(pattern, KNOWN_PATTERNS)}")
    scan = Scan(project)
    family = SAME_EVIDENCE.get(pattern, pattern)
    clues = _clues(family, scan)
    if not clues and family == "uv":
        clues = _clues("venv", scan)
    if not clues and family == "conda":
        clues = [clue for clue in _clues("pixi", scan) if clue.tier == Tier.LOCK]
    if not clues and family == "docker":
        clues = next((found for name in INSTALLED_INSIDE if (found := _clues(name, scan))), [])
    if not clues:
        refuse_problems(Detection(problems=scan.problems))
    return tuple(clue.evidence for clue in clues)


def refuse_problems(detection: Detection) -> None:
    """Raises the first problem as a :class:`UsageError`; nothing where there is none."""
    for problem in detection.problems:
        raise UsageError(problem.message, file=problem.file, line=problem.line, hint=problem.hint)


def _clues(pattern: str, scan: Scan) -> list[Clue]:
    clues = sorted(DETECTORS[pattern](scan), key=lambda clue: clue.tier)
    return clues if clues and clues[0].tier < Tier.HINT else []


def _why(rank: int, found: list[_Found], able: Collection[str]) -> str:
    first, this = found[0], found[rank]
    if rank == 0:
        return _why_chosen(found, able)
    if this.pattern not in able:
        return "not taken: ci-envs cannot build it yet"
    if first.tier < this.tier:
        return f"not taken: {first.pattern} has a committed lock"
    return f"not taken: {first.pattern} comes first in the order of preference"


def _why_chosen(found: list[_Found], able: Collection[str]) -> str:
    first = found[0]
    proof = first.evidence[0]
    if first.pattern not in able:
        return f"{proof} describes it; ci-envs cannot build it yet, nor anything else that is described here"
    if first.tier == Tier.LOCK:
        return f"{proof} is there: a committed lock is the most exact description"
    rivals = [one for one in found[1:] if one.pattern in able]
    if not rivals:
        rest = "nothing else here" if len(found) == 1 else "nothing else here that ci-envs can build yet"
        return f"{proof} describes it, and {rest} does"
    return f"{proof} describes it; no lock is committed, and {first.pattern} comes before {rivals[0].pattern}"
