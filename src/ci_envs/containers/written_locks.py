"""The locks that a Dockerfile of the project's own installs from: what it copies, and what its commands name.

A lock that a pattern of ours keeps is held against the intent as that pattern does it; any other is taken as it is.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import msgspec

from ci_envs.containers.dockerfile_locks import locks_used
from ci_envs.containers.inner import inner_leg, inner_work
from ci_envs.containers.legs import build_args_of, platform_of
from ci_envs.locks.pylock import read_pylock
from ci_envs.locks.requirements import classify, read_requirements
from ci_envs.model.lock import Lock
from ci_envs.patterns.requirement_locks import own_lock_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Pin
    from ci_envs.project import Project
    from ci_envs.selection import Selection
    from ci_envs.work import Work

__all__ = ["UV_SYNC", "lock_of_dockerfile", "uv_selection"]

_CONDA = re.compile(r"(?:.*/)?(?:[\w.-]*conda-lock\.ya?ml|conda-[\w.-]*\.lock)")
_PYLOCK = re.compile(r"(?:.*/)?pylock(?:\.[^/.]+)?\.toml")
#: Of ``uv sync``; what follows them is a name.
_WITH_VALUE = ("--group", "--no-group", "--extra", "--no-extra")
#: Its words, in text whose continued lines were joined.
UV_SYNC = re.compile(r"\buv\s+sync\b([^;&|\n]*)")


def lock_of_dockerfile(leg: Leg, work: Work, file: str) -> Lock | None:
    """What the image's Python is to have; ``None`` where the Dockerfile installs from no lock.

    ``LOCK008`` says so where it installs from something all the same.
    """
    text = work.project.text(file) or ""
    used = _used(leg, work, text, file)
    for pattern in ("uv", "venv", "conda"):
        inner = inner_leg(leg, pattern)
        if _is_of(pattern, inner, used):
            return _kept_by(pattern, inner, work, text)
    named = [name for name in used if _is_lock(work, name)]
    if not named:
        if used:
            message = f"it installs from {', '.join(used)}, which pins nothing: what is installed cannot be compared"
            work.find("LOCK008", "warning", "installs from no lock", message, file=file)
        return None
    return _as_they_are(work, named)


def _used(leg: Leg, work: Work, text: str, file: str) -> list[str]:
    """The project's files that are installed from, each once, in the order in which they are named."""
    docker, project = work.config.docker, work.project
    found = locks_used(
        text, build_args=build_args_of(leg, docker), target=docker.target, platform=platform_of(leg), file=file
    )
    names: list[str] = []
    for use in found.files:
        plain = use.name.removeprefix("./").strip("/")
        # What RUN alone names lies in the image; it is the project's where all of that was put there.
        if ".." not in plain.split("/") and (use.how != "RUN" or found.everything):
            names += project.glob(plain) if set("*?[") & set(plain) else [plain]
    there = [name for name in dict.fromkeys(names) if project.exists(name)]
    # Of many files that were brought, those are installed that a command names.
    said = {use.name.rpartition("/")[2] for use in found.files if use.how == "RUN"}
    return [name for name in there if name.rpartition("/")[2] in said] or there


def _is_of(pattern: str, inner: Leg, used: Iterable[str]) -> bool:
    names = set(used)
    if pattern == "conda":
        return any(_CONDA.fullmatch(name) for name in names)
    return own_lock_path(inner) in names or (pattern == "uv" and "uv.lock" in names)


def _kept_by(pattern: str, inner: Leg, work: Work, text: str) -> Lock:
    from ci_envs.patterns.registry import ALL_PATTERNS

    chosen = ALL_PATTERNS[pattern]
    at = inner_work(work, chosen)
    selection = chosen.select(inner, work.project, work.config)
    if found := UV_SYNC.search(text.replace("\\\n", " ")):
        selection = uv_selection(found[1].split(), selection, work.project)
    at.selection = selection
    lock = chosen.lock(inner, at)
    return msgspec.structs.replace(lock, direct=lock.locked_direct)


def uv_selection(words: Sequence[str], selection: Selection, project: Project) -> Selection:
    """The groups and extras that ``uv sync`` installs with these words.

    https://docs.astral.sh/uv/concepts/projects/sync/: without a word, the group ``dev`` where there is one.
    """
    flags = [word.partition("=") for word in words]
    values: dict[str, list[str]] = {name: [] for name in _WITH_VALUE}
    for at, (name, equals, value) in enumerate(flags):
        if name in values:
            values[name].append(value if equals else words[at + 1] if at + 1 < len(words) else "")
    plain = {name for name, _, _ in flags}
    groups = [*values["--group"], *_default_groups(plain, project)]
    extras = list(project.table("project", "optional-dependencies")) if "--all-extras" in plain else values["--extra"]
    left_out = {*values["--no-group"], *(["dev"] if "--no-dev" in plain else [])}
    return msgspec.structs.replace(
        selection,
        groups=tuple(dict.fromkeys(name for name in groups if name not in left_out)),
        extras=tuple(name for name in extras if name not in values["--no-extra"]),
    )


def _default_groups(flags: Collection[str], project: Project) -> list[str]:
    """https://docs.astral.sh/uv/concepts/projects/dependencies/#default-groups."""
    known = list(project.table("dependency-groups"))
    asked = project.table("tool", "uv").get("default-groups", ["dev"])
    if "--all-groups" in flags:
        return known
    if "--no-default-groups" in flags:
        return []
    return [name for name in known if name in asked] if isinstance(asked, list) else known


def _is_lock(work: Work, name: str) -> bool:
    if _PYLOCK.fullmatch(name):
        return True
    return name.endswith(".txt") and classify(work.project.text(name) or "") != "intent"


def _as_they_are(work: Work, names: Sequence[str]) -> Lock:
    """All of them as one; of a distribution that two pin, the last one's pin holds, as it does for the installer."""
    pins: dict[str, Pin] = {}
    digest = hashlib.sha256()
    for name in names:
        text, markers = work.project.text(name) or "", work.interpreter.markers
        read = (read_pylock if _PYLOCK.fullmatch(name) else read_requirements)(text, path=name, markers=markers)
        pins |= {pin.name: pin for pin in read.lock.pins}
        digest.update(work.project.path(name).read_bytes())
    lock = Lock(
        path=names[0],
        more=tuple(names[1:]),
        format="pylock" if _PYLOCK.fullmatch(names[0]) else "requirements",
        sha256=digest.hexdigest(),
        pins=tuple(sorted(pins.values())),
        direct=work.direct,
    )
    return msgspec.structs.replace(lock, direct=lock.locked_direct)
