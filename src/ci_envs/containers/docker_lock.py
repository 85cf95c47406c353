"""``docker.lock``: which digest each tag had when it was locked. Pure.

    {"version": 1, "images": [{"image": "docker.io/library/python", "tag": "3.12-slim", "digest": "sha256:...",
     "platforms": ["linux/amd64", "linux/arm64"], "when": "2026-11-21T00:00:00Z"}]}

Several Dockerfiles, targets and legs share one file: what one of them does not name another may. ``local`` stands where
an image is in no registry; engines build on it by its tag alone, so its digest has to be compared beforehand.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ci_envs.containers.dockerfile import SYNTAX_ARG
from ci_envs.containers.references import is_digest, parse_reference
from ci_envs.decoding import convert
from ci_envs.errors import LockError, UsageError
from ci_envs.model.lock import Lock, Pin
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import NoReturn

    from ci_envs.containers.dockerfile import BaseImage

__all__ = [
    "NAME",
    "DockerLock",
    "LockedImage",
    "Stale",
    "as_lock",
    "lacks",
    "merged",
    "pinned_arguments",
    "pinned_text",
    "pins",
    "read_docker_lock",
    "staleness",
    "write_docker_lock",
]

NAME = "docker.lock"
VERSION = 1
MAX_CHARACTERS = 4 * 1024 * 1024

_ANEW = "restore it, or remove it and run `ci-envs lock`"
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(?:/[a-z0-9]+)?")
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_CONFLICT = re.compile(r"^(?:<{7}|>{7}|\|{7}|={7})(?: .*)?\r?$", re.MULTILINE)
_AT = re.compile(r" - at `\$\.?(.*)`$")
_SHOWN = 100


class LockedImage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A tag, and what it was."""

    #: In its normal form: ``docker.io/library/python``.
    image: str
    tag: str
    #: ``sha256:<hex>``: of the index where there is one, so that it holds for every platform.
    digest: str
    #: What the index offers: ``linux/amd64``. None where the registry does not tell.
    platforms: tuple[str, ...] = ()
    #: When the tag was looked up, in UTC: ``2026-11-21T00:00:00Z``.
    when: str
    #: Whether it is in no registry, but on the machine that locked it.
    local: bool = False

    @property
    def key(self) -> str:
        """As :attr:`Reference.key` has it."""
        return f"{self.image}:{self.tag}"


class DockerLock(msgspec.Struct, frozen=True):
    """The whole file, in its order: by image, then by tag."""

    images: tuple[LockedImage, ...] = ()

    def by_key(self) -> dict[str, LockedImage]:
        """Its entries under what :attr:`Reference.key` calls them: ``docker.io/library/python:3.12``."""
        return {one.key: one for one in self.images}

    def digests(self, *, local: bool = False) -> dict[str, str]:
        """What to pin by: digests by key. BuildKit finds no image by digest that is in no registry; Podman does."""
        return {one.key: one.digest for one in self.images if local or not one.local}


class Stale(msgspec.Struct, frozen=True):
    """One way in which a lock is not what the Dockerfile needs."""

    #: ``unused`` is no reason to refuse: another leg may need it.
    kind: Literal["missing", "platform", "unused"]
    key: str
    message: str
    #: Of the Dockerfile; 0 where the image is not in it.
    line: int = 0


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    images: tuple[LockedImage, ...]


# Reading and writing


def read_docker_lock(text: str, *, path: str = NAME) -> DockerLock:
    """Raises :class:`LockError`, naming the entry, for everything that :func:`write_docker_lock` would not write."""
    if len(text) > MAX_CHARACTERS:
        raise _error(f"has {len(text)} characters; {MAX_CHARACTERS} are the most that is read", path)
    if conflict := _CONFLICT.search(text):
        line = text.count("\n", 0, conflict.start()) + 1
        raise _error("holds the marks of a merge that was not ended", path, line, "take one side of the merge")
    data = _json(text, path)
    version = data.get("version") if isinstance(data, dict) else None
    if type(version) is int and version > VERSION:
        raise _error(f"is of version {version}; this ci-envs reads version {VERSION}", path, hint="update ci-envs")
    try:
        file = convert(data, _File)
    except msgspec.ValidationError as error:
        raise _error(_said(error), path) from error
    if file.version != VERSION:
        raise _error(f"is of version {file.version}, which there is not", path)
    for at, image in enumerate(file.images):
        _check(image, at, path)
    if twice := [key for key, times in Counter(image.key for image in file.images).items() if times > 1]:
        raise _error(f"has two entries for {twice[0]}", path)
    return DockerLock(_sorted(file.images))


def write_docker_lock(lock: DockerLock) -> str:
    """JSON, sorted and indented: a change of one digest is a change of one line."""
    data = {"version": VERSION, "images": [msgspec.to_builtins(image) for image in _sorted(lock.images)]}
    return json.dumps(data, indent=2) + "\n"


def _json(text: str, path: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_table, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise _error(f"is not JSON: {error.msg}", path, error.lineno) from error
    except RecursionError as error:
        raise _error("is nested too deeply", path) from error
    except ValueError as error:  # of the hooks, and of a number with too many digits
        raise _error(f"is not read: {one_line(str(error), _SHOWN)}", path) from error


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice in one table")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no value of JSON")


def _said(error: msgspec.ValidationError) -> str:
    text = str(error)
    place = _AT.search(text)
    what = one_line(_AT.sub("", text).replace("`", ""), _SHOWN)
    return f"{place[1] or 'the file'}: {what}" if place else what


def _check(image: LockedImage, at: int, path: str) -> None:
    where = f"images[{at}]"
    try:
        reference = parse_reference(f"{image.image}:{image.tag}")
    except UsageError as error:
        raise _error(f"{where}: {error.message}", path) from error
    if reference.key != image.key or reference.digest:
        wanted = f"{reference.name!r} and {reference.tag!r}"
        raise _error(f"{where}: {one_line(image.key, _SHOWN)!r} is not in its normal form, {wanted}", path)
    if not is_digest(image.digest):
        raise _error(f"{where}: {one_line(image.digest, _SHOWN)!r} is no digest", path)
    if bad := [one for one in image.platforms if not _PLATFORM.fullmatch(one)]:
        raise _error(f"{where}: {one_line(bad[0], _SHOWN)!r} is no platform, as linux/amd64 is", path)
    if not _is_time(image.when):
        raise _error(f"{where}: {one_line(image.when, _SHOWN)!r} is no time, as 2026-11-21T00:00:00Z is", path)


def _is_time(text: str) -> bool:
    try:
        # Python reads more than it writes, such as a day without a leading zero.
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC).strftime(_TIME) == text
    except ValueError:
        return False


def _error(message: str, path: str, line: int = 0, hint: str = _ANEW) -> LockError:
    return LockError(message, file=path, line=line, hint=hint)


def _sorted(images: Iterable[LockedImage]) -> tuple[LockedImage, ...]:
    return tuple(sorted(images, key=lambda image: (image.image, image.tag)))


# What it means for a Dockerfile


def pins(lock: DockerLock, images: Sequence[BaseImage], *, file: str = "Dockerfile") -> tuple[Pin, ...]:
    """What the needed images are pinned to: by the Dockerfile itself, else by the lock. Sorted, each once.

    Raises :class:`LockError`, with the Dockerfile's line, for one that neither pins.
    """
    found, locked = set(), lock.by_key()
    for image in images:
        if not image.needed or image.reference is None:
            continue
        entry = locked.get(image.reference.key)
        digest = image.reference.digest or (entry.digest if entry else "")
        if not digest:
            raise LockError(
                f"{image.shown} is not in {NAME}", file=file, line=image.line, hint="run `ci-envs lock` and commit it"
            )
        version = image.reference.tag or digest
        found.add(Pin(name=image.reference.name, version=version, source="image", hashes=(digest,)))
    return tuple(sorted(found))


def as_lock(
    text: str, lock: DockerLock, images: Sequence[BaseImage], *, path: str = NAME, file: str = "Dockerfile"
) -> Lock:
    """What the file means for one leg; ``text`` is the file's own. Raises as :func:`pins` does."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return Lock(path=path, format="docker", sha256=digest, pins=pins(lock, images, file=file))


def staleness(lock: DockerLock, images: Sequence[BaseImage], *, platform: str = "") -> tuple[Stale, ...]:
    """How the lock differs from what these images need, in the Dockerfile's order; what is unused comes last.

    ``platform`` is what FROM means where it says none. Images that carry a digest of their own need no lock.
    """
    found: list[Stale] = []
    named: set[str] = set()
    locked = lock.by_key()
    for image in images:
        if image.reference is None:
            continue
        key = image.reference.key
        entry = locked.get(key)
        is_first = key not in named
        named.add(key)
        if not image.needed or image.reference.digest:
            continue
        if entry is None and is_first:
            found.append(Stale("missing", key, f"{image.shown} is not in {NAME}", image.line))
        elif entry is not None and _lacks(entry, image, platform):
            wanted = image.platform or platform
            found.append(Stale("platform", key, f"{NAME} has {image.shown} without {wanted}", image.line))
    unused = [one.key for one in lock.images if one.key not in named]
    return tuple(found) + tuple(Stale("unused", key, f"{NAME} has {key}, which is not named") for key in unused)


def _lacks(entry: LockedImage, image: BaseImage, platform: str) -> bool:
    # A frontend runs where the image is built, not where it is used.
    return lacks(entry.platforms, image.platform or ("" if image.kind == "syntax" else platform))


def lacks(platforms: Sequence[str], platform: str) -> bool:
    """Whether these are known and this one is not among them. A variant that is not named is any."""
    begins = (f"{one}/".startswith(f"{platform}/") or f"{platform}/".startswith(f"{one}/") for one in platforms)
    return bool(platforms and platform) and not any(begins)


def merged(lock: DockerLock, found: Iterable[LockedImage], *, used: Collection[str] | None = None) -> DockerLock:
    """The lock with what was found now. ``when`` stays where nothing else has changed.

    Entries that nothing was found for stay, too; with ``used``, those whose keys are not in it go. What a registry once
    told is not given up for an image of this machine: the registry may only be down.
    """
    entries = {one.key: one for one in lock.images if used is None or one.key in used}
    for new in found:
        old = entries.get(new.key)
        is_kept = old is not None and (
            (new.local and not old.local) or msgspec.structs.replace(new, when=old.when) == old
        )
        entries[new.key] = old if old is not None and is_kept else new
    return DockerLock(_sorted(entries.values()))


# Writing digests into a Dockerfile


def pinned_text(text: str, images: Sequence[BaseImage], digests: Mapping[str, str]) -> str:
    """The Dockerfile with ``@sha256:...`` behind every image whose key has a digest; its lines stay where they are.

    ``images`` are those of this very text. What is made of variables is replaced whole; what has a digest is left.
    """
    changes: list[tuple[int, int, str]] = []
    for image in images:
        digest = digests.get(image.reference.key, "") if image.reference else ""
        if image.reference is None or image.reference.digest or not digest or not image.spans:
            continue
        new = image.pinned(digest)
        *others, (start, end) = image.spans
        if others:
            # A name that goes on over lines: the last one keeps a character, since the end of an instruction is a line
            # that is not empty.
            changes += [(*others[0], new[:-1]), *((begin, stop, "") for begin, stop in others[1:])]
            new = new[-1]
        changes.append((start, end, new))
    pieces, at = [], 0
    for start, end, new in sorted(changes):
        pieces += [text[at:start], new]
        at = end
    return "".join((*pieces, text[at:]))


def pinned_arguments(
    build_args: Mapping[str, str], images: Sequence[BaseImage], digests: Mapping[str, str]
) -> dict[str, str]:
    """The build arguments, with the digest behind a frontend that one of them names (``BUILDKIT_SYNTAX``)."""
    found = dict(build_args)
    for image in images:
        if image.kind == "syntax" and not image.line and image.reference and not image.reference.digest:
            digest = digests.get(image.reference.key, "")
            found[SYNTAX_ARG] = image.pinned(digest) if digest else image.text
    return found
