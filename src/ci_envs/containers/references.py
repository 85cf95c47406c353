"""Names of images, read as the engines read them. Pure.

The grammar and the normal form are those of https://github.com/distribution/reference: ``python:3.12`` means
``docker.io/library/python`` with the tag ``3.12``; where neither tag nor digest stands, the tag is ``latest``.
"""

from __future__ import annotations

import re

import msgspec

from ci_envs.errors import UsageError
from ci_envs.plain import one_line

__all__ = ["DEFAULT_REGISTRY", "Reference", "is_digest", "parse_reference"]

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"

_OFFICIAL = "library/"
#: What Docker Hub was called, and what its files come from; both mean Docker Hub.
_OTHER_NAMES = frozenset(("index.docker.io",))

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PART = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_ID = re.compile(r"[a-f0-9]{64}")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_HEX = re.compile(r"[a-f0-9]+")
#: https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md#registered-algorithms
_DIGESTS = {"sha256": 64, "sha384": 96, "sha512": 128}

_MAX_REPOSITORY = 255
_MAX_TAG = 128
_SHOWN = 100


class Reference(msgspec.Struct, frozen=True, order=True):
    """An image's name in its normal form."""

    #: ``docker.io``, ``registry.example:5000``.
    registry: str
    #: ``library/python``.
    repository: str
    #: ``latest`` where nothing else is said; empty where a digest alone says which.
    tag: str = ""
    #: ``sha256:<hex>``, or empty.
    digest: str = ""
    #: Whether no tag was written.
    tagless: bool = False

    @property
    def name(self) -> str:
        """``docker.io/library/python``: what the image is called without saying which of them."""
        return f"{self.registry}/{self.repository}"

    @property
    def key(self) -> str:
        """``docker.io/library/python:3.12``: what a tag's digest is kept under; without a tag the name alone."""
        return f"{self.name}:{self.tag}" if self.tag else self.name

    @property
    def familiar(self) -> str:
        """As people write it: ``python:3.12``, ``bitnami/redis:7``, ``ghcr.io/astral-sh/uv:0.8``."""
        short = self.repository.removeprefix(_OFFICIAL)
        name = short if "/" not in short else self.repository
        # Docker Hub's "a.example/app" would be read as the registry a.example's.
        is_plain = self.registry == DEFAULT_REGISTRY and _split(name)[0] == DEFAULT_REGISTRY
        return f"{name if is_plain else self.name}{self._which}"

    @property
    def is_latest(self) -> bool:
        """Whether it means whatever was pushed last: no tag, or ``latest``."""
        return self.tag == DEFAULT_TAG

    @property
    def _which(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def with_digest(self, digest: str) -> Reference:
        """The same tag, held fast. Raises :class:`UsageError` for what is no digest."""
        _check_digest(digest, digest)
        return msgspec.structs.replace(self, digest=digest)

    def __str__(self) -> str:
        return f"{self.name}{self._which}"


def is_digest(text: str) -> bool:
    """Whether it is ``sha256:`` (or another algorithm that OCI registers) and a hash of that length."""
    algorithm, colon, value = text.partition(":")
    return bool(colon) and len(value) == _DIGESTS.get(algorithm, -1) and _HEX.fullmatch(value) is not None


def parse_reference(text: str) -> Reference:
    """The image that a name means. Raises :class:`UsageError`, which says what is wrong with it."""
    if not text or text.isspace():
        raise UsageError("the name of an image is empty")
    if _ID.fullmatch(text):
        raise _wrong(text, "it is an image's id", "name it as its registry does, with @sha256: and the digest")
    if scheme := _SCHEME.match(text):
        raise _wrong(text, "it begins with a scheme", f"leave {scheme[0]!r} out")
    rest, at, digest = text.partition("@")
    if at:
        _check_digest(digest, text)
    registry, path = _split(rest)
    repository, colon, tag = path.partition(":")
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"{_OFFICIAL}{repository}"
    _check_repository(repository, text)
    if not _HOST.fullmatch(registry):
        raise _wrong(text, f"{_shown(registry)} is no address of a registry", "write host, host:port or [IPv6]:port")
    if colon:
        _check_tag(tag, text)
    default = "" if digest else DEFAULT_TAG
    return Reference(registry, repository, tag or default, digest, tagless=not colon)


def _split(name: str) -> tuple[str, str]:
    """Registry and the rest: the first part is a registry only where it can be nothing else.

    Newer engines also take a first part with upper case letters for one; nobody means that by ``MyTeam/app``.
    """
    first, slash, rest = name.partition("/")
    if not slash:
        return DEFAULT_REGISTRY, name
    if first in _OTHER_NAMES or first == DEFAULT_REGISTRY:
        return DEFAULT_REGISTRY, rest
    return (first, rest) if first == "localhost" or "." in first or ":" in first else (DEFAULT_REGISTRY, name)


def _check_repository(repository: str, text: str) -> None:
    parts = repository.split("/")
    if bad := [part for part in parts if not _PART.fullmatch(part)]:
        raise _bad_part(bad[0], repository, text)
    if len(repository) > _MAX_REPOSITORY:
        raise _wrong(text, f"it has more than {_MAX_REPOSITORY} characters before its tag", "shorten it")


def _bad_part(part: str, repository: str, text: str) -> UsageError:
    if "$" in repository:
        return _wrong(text, "it holds a variable that nothing has replaced", "give the variable a value")
    if not part:
        return _wrong(text, "a part of it is empty", "something stands on both sides of a slash, and before a tag")
    if _PART.fullmatch(part.lower()):
        lower = text.replace(part, part.lower(), 1)
        return _wrong(text, f"{_shown(part)} has upper case letters", f"write {_shown(lower)}")
    allowed = "a part holds a-z and 0-9, and between them one '.', one or two '_', or any number of '-'"
    return _wrong(text, f"{_shown(part)} is no part of one", allowed)


def _check_tag(tag: str, text: str) -> None:
    if not tag:
        raise _wrong(text, "its tag is empty", "write the tag, or leave the colon out")
    if not _TAG.fullmatch(tag):
        raise _wrong(text, f"{_shown(tag)} is no tag", "a tag holds letters, digits, '_', '.' and '-'")
    if len(tag) > _MAX_TAG:
        raise _wrong(text, f"its tag has more than {_MAX_TAG} characters", "shorten it")


def _check_digest(digest: str, text: str) -> None:
    if not is_digest(digest):
        raise _wrong(text, f"{_shown(digest)} is no digest", "write @sha256: and 64 digits 0-9 a-f")


def _wrong(text: str, what: str, hint: str) -> UsageError:
    return UsageError(f"{_shown(text)} is no name of an image: {what}", hint=hint)


def _shown(text: str) -> str:
    return repr(one_line(text, _SHOWN))
