"""Requirements files that pin: made by pip-compile or ``uv pip compile``, or frozen by hand. Pure.

The format is pip's (https://pip.pypa.io/en/stable/reference/requirements-file-format/); requirements, markers and
versions are read by ``packaging``. A file that leaves a version open is no lock, and is refused with the line.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl

from ci_envs.errors import LockError
from ci_envs.locks.lines import excluded_in, made_in, split, via_of
from ci_envs.locks.reading import (
    Option,
    ReadLock,
    Unnamed,
    applies,
    file_pin,
    merged,
    plain_location,
    sha256_only,
    shown,
    text_digest,
)
from ci_envs.model.lock import Lock, Pin, SourceKind
from ci_envs.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.markers import Marker
    from packaging.requirements import Requirement

    from ci_envs.locks.lines import Logical

__all__ = ["Kind", "classify", "is_lock", "parse_line", "read_requirements"]

#: ``lock``: all pinned, all hashed; ``frozen``: all pinned; ``intent``: something is left open.
Kind = Literal["lock", "frozen", "intent"]

#: Options that stand alone in a line, in their long form, and whether they take a value.
LINE_OPTIONS = {
    "--index-url": True, "--pypi-url": True, "--extra-index-url": True, "--find-links": True, "--trusted-host": True,
    "--no-index": False, "--no-binary": True, "--only-binary": True, "--prefer-binary": False, "--pre": False,
    "--require-hashes": False, "--use-feature": True, "--constraint": True, "--requirement": True, "--editable": True,
}  # fmt: skip
_SHORT = {"-i": "--index-url", "-f": "--find-links", "-c": "--constraint", "-r": "--requirement", "-e": "--editable"}
# Options of a single requirement, beside --hash.
_PIN_OPTIONS = frozenset({"--config-settings", "--config-setting", "-C", "--global-option", "--hash"})

_HASH = re.compile(r"(?:^|\s)--hash(?:=|\s+)([A-Za-z0-9_-]+):([^\s\\]+)")
_OPTIONS_BEGIN = re.compile(r"\s-{1,2}[A-Za-z]")
# What names a place and not a package: "./x", "folder/x", "https://...", "C:\\x". A name's "@" or "[" comes earlier.
_PLACE = re.compile(r"\.|[^\s@\[<>=!~;(]*[/\\:]")
_MARKER_BEGINS = re.compile(r"\s;\s*|;\s+")
_VCS = re.compile(r"(git|hg|svn|bzr)\+")
_COMMIT = re.compile(r"@[0-9a-f]{40}(?:[0-9a-f]{24})?$")
_HASH_KEY = re.compile(r"sha[0-9_]+|md5")

_NO_LOCK = "pin it with ==, or keep it as the intent and make the lock with ci-envs lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class PinLine:
    """A line that pins one package."""

    line: int
    pin: Pin
    marker: Marker | None = None
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceLine:
    """A line that names a place only."""

    unnamed: Unnamed
    marker: Marker | None = None


def read_requirements(text: str, *, path: str, markers: Mapping[str, str], sha256: str = "") -> ReadLock:
    """The lock that a pinned requirements file is, for the leg with these PEP 508 ``markers`` (all of them).

    ``sha256`` is that of the file's bytes; without it the text's own is taken. Raises :class:`LockError`, with file
    and line, for what is not pinned, is not a requirement, or contradicts itself.
    """
    header, lines = split(text, path)
    parsed = [(logical, parse_line(logical, path)) for logical in lines]
    pins = [(logical, one) for logical, one in parsed if isinstance(one, PinLine) and applies(one.marker, markers)]
    found = merged(((one.line, one.pin) for _, one in pins), path)
    places = [one for _, one in parsed if isinstance(one, PlaceLine) and applies(one.marker, markers)]
    via = {one.pin.name: said for logical, one in pins if (said := via_of(logical))}
    return ReadLock(
        lock=Lock(
            path=path,
            format="requirements",
            sha256=sha256 or text_digest(text),
            pins=tuple(sorted(pin for _, pin in found.values())),
        ),
        lines={name: line for name, (line, _) in found.items()},
        via=via,
        extras={one.pin.name: one.extras for _, one in pins if one.extras},
        options=tuple(one for _, one in parsed if isinstance(one, Option)),
        unnamed=tuple(one.unnamed for one in places),
        excluded=tuple(_normal(name) for name in excluded_in(lines)),
        made=made_in(header),
    )


def classify(text: str) -> Kind:
    """Whether the text is a lock, for every leg: never an error, since a file that cannot be read is no lock.

    A file that pins nothing at all is a lock where a tool says that it made it, and an intent otherwise.
    """
    try:
        header, lines = split(text, "")
        parsed = [parse_line(logical, "") for logical in lines]
    except LockError:
        return "intent"
    pins = [one.pin for one in parsed if isinstance(one, PinLine)]
    places = [one for one in parsed if isinstance(one, PlaceLine)]
    if not pins and not places:
        return "lock" if made_in(header).tool else "intent"
    return "lock" if pins and all(pin.hashes for pin in pins) else "frozen"


def is_lock(text: str) -> bool:
    """Whether every line is pinned, with hashes or without."""
    return classify(text) != "intent"


def parse_line(logical: Logical, path: str) -> PinLine | PlaceLine | Option:
    """What one joined line is. Raises :class:`LockError` where it is nothing that a lock may hold."""
    if logical.text.startswith("-"):
        return _option(logical, path)
    begins = _OPTIONS_BEGIN.search(logical.text)
    body = logical.text[: begins.start()].strip() if begins else logical.text
    hashes = _hashes(logical.text[begins.start() :], body, logical.line, path) if begins else ()
    if _PLACE.match(body):
        return _place(body, hashes, logical.line, path, editable=False)
    return _named(body, hashes, logical.line, path)


def _hashes(options: str, body: str, line: int, path: str) -> tuple[str, ...]:
    pairs = [(match.group(1), match.group(2)) for match in _HASH.finditer(options)]
    rest = _HASH.sub("", options).strip()
    # Almost every line has hashes only, and shlex is slow.
    for word in _words(rest, line, path) if rest else ():
        if word.startswith("-") and word.partition("=")[0] not in _PIN_OPTIONS:
            raise LockError(
                f"{shown(word)} cannot stand behind a requirement",
                hint="give options a line of their own; addresses of indexes do not belong in a lock",
                file=path,
                line=line,
            )
        if word.partition("=")[0] == "--hash":
            raise LockError("--hash is not followed by algorithm:digest", file=path, line=line)
    return sha256_only(pairs, what=shown(body.partition(";")[0]), file=path, line=line)


def _named(body: str, hashes: tuple[str, ...], line: int, path: str) -> PinLine:
    wanted = _requirement(body, line, path)
    pin = (
        _url_pin(wanted.name, wanted.url, hashes, line, path)
        if wanted.url
        else Pin(name=_normal(wanted.name), version=_pinned_version(wanted, body, line, path), hashes=hashes)
    )
    extras = tuple(sorted(_normal(extra) for extra in wanted.extras))
    return PinLine(line=line, pin=pin, marker=wanted.marker, extras=extras)


def _requirement(body: str, line: int, path: str) -> Requirement:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(body)
    except (InvalidRequirement, RecursionError) as error:
        reason = shown(str(error).partition("\n")[0])
        raise LockError(f"{shown(body)!r} is not a requirement: {reason}", file=path, line=line) from error


def _pinned_version(wanted: Requirement, body: str, line: int, path: str) -> str:
    from packaging.version import InvalidVersion, Version

    specifiers = list(wanted.specifier)
    only = specifiers[0] if len(specifiers) == 1 else None
    if only is None or only.operator not in ("==", "===") or only.version.endswith(".*"):
        raise LockError(f"{shown(body)} is not pinned, so this is no lock file", hint=_NO_LOCK, file=path, line=line)
    try:
        return str(Version(only.version))
    except InvalidVersion:
        return only.version  # "===" compares text, https://peps.python.org/pep-0440/#arbitrary-equality


def _url_pin(name: str, url: str, hashes: tuple[str, ...], line: int, path: str) -> Pin:
    location = plain_location(url)
    base = location.partition("#")[0]
    source: SourceKind = "vcs" if _VCS.match(url) else "path" if url.startswith("file:") else "url"
    if source == "vcs" and not _COMMIT.search(base):
        raise LockError(
            f"{shown(name)} is not pinned to a commit, so this is no lock file", hint=_NO_LOCK, file=path, line=line
        )
    known = file_pin(base)
    pairs = [(key, value) for key, value in parse_qsl(url.partition("#")[2]) if _HASH_KEY.fullmatch(key)]
    fragment = sha256_only(pairs, what=shown(name), file=path, line=line)
    return Pin(
        name=_normal(name),
        version=known[1] if known else "",
        source=source,
        location=location,
        hashes=tuple(sorted({*hashes, *fragment})),
    )


def _place(body: str, hashes: tuple[str, ...], line: int, path: str, *, editable: bool) -> PinLine | PlaceLine:
    address, marker = _split_marker(body, line, path)
    if "://" in address and len(address.split()) > 1:
        raise LockError(f"{shown(body)!r} is not one address", file=path, line=line)
    egg = dict(parse_qsl(address.partition("#")[2])).get("egg", "").partition("[")[0]
    known = file_pin(address)
    name = known[0] if known else egg
    if not name:
        unnamed = Unnamed(line=line, location=plain_location(address), editable=editable)
        return PlaceLine(unnamed=unnamed, marker=marker)
    if "://" in address:
        pin = _url_pin(name, address, hashes, line, path)
    else:
        pin = Pin(
            name=_normal(name),
            version=known[1] if known else "",
            source="path",
            location=plain_location(address),
            hashes=hashes,
        )
    return PinLine(line=line, pin=pin, marker=marker)


def _split_marker(body: str, line: int, path: str) -> tuple[str, Marker | None]:
    from packaging.markers import InvalidMarker, Marker

    begins = _MARKER_BEGINS.search(body)
    if begins is None:
        return body, None
    try:
        return body[: begins.start()], Marker(body[begins.end() :])
    except (InvalidMarker, RecursionError) as error:
        raise LockError(f"{shown(body)!r} ends in no marker", file=path, line=line) from error


def _option(logical: Logical, path: str) -> PinLine | PlaceLine | Option:
    words = _words(logical.text, logical.line, path)
    first, equals, value = words[0].partition("=")
    if not first.startswith("--") and len(first) > 2:  # the value is glued on: "-rother.txt"
        first, equals, value = first[:2], "=", words[0][2:].removeprefix("=")
    name = _SHORT.get(first, first)
    if name not in LINE_OPTIONS:
        raise LockError(
            f"{shown(first)} is no option of a requirements file{nearest(name, LINE_OPTIONS)}",
            file=path,
            line=logical.line,
        )
    value = " ".join([value, *words[1:]] if equals else words[1:])
    if name == "--requirement":
        raise LockError(
            f"includes {shown(value)}, so it is not a whole lock file", hint=_NO_LOCK, file=path, line=logical.line
        )
    if name == "--editable":
        return _editable(value, logical.line, path)
    return Option(line=logical.line, name=name, value=shown(value))


def _editable(value: str, line: int, path: str) -> PinLine | PlaceLine:
    if " @ " in value and not _PLACE.match(value):
        return _named(value, (), line, path)
    return _place(value, (), line, path, editable=True)


def _words(text: str, line: int, path: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise LockError(f"an option's quotes do not match: {error}", file=path, line=line) from error


def _normal(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)
