"""What every reader of conda lock files asks of an entry: its address, its hashes, its name. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from ci_envs.errors import LockError
from ci_envs.locks.reading import file_pin, shown
from ci_envs.model.conda import LockedPackage
from ci_envs.model.record import Finding
from ci_envs.redact import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "Entry",
    "ReadPackages",
    "channel_of",
    "commit_of",
    "file_parts",
    "is_from_index",
    "locked",
    "named_variables",
    "need",
    "plain_address",
    "together",
]

_SCHEMES = frozenset(("https", "http", "file"))
_PIP_SCHEMES = _SCHEMES | {"git+https", "git+http", "git+ssh", "git+file", "hg+https", "svn+https", "bzr+https"}
# conda's own names are lower case (CEP 26), and a lock may hold older ones.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_VERSION = re.compile(r"[A-Za-z0-9_.!+-]+")
_PLATFORM = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+|noarch")
_LENGTHS = {"md5": 32, "sha256": 64}
_HEX = re.compile(r"[0-9a-f]+")
# An address without anything that has to be looked at twice: no segment begins with a point, nothing is escaped.
_ORDINARY = re.compile(r"https://[A-Za-z0-9.-]+(?::[0-9]+)?(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)+")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_ARCHIVE = re.compile(r"\.(?:conda|tar\.bz2)$")
_NEED = re.compile(r"\s*([A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(.*?)\s*", re.DOTALL)

# conda's place for a token: https://docs.conda.io/projects/conda/en/stable/user-guide/configuration/
_TOKEN = re.compile(r"/t/([^/]+)(?=/)")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
# What stands for a secret and is none: a variable of conda-lock's, and what conda, mamba and ci-envs write instead.
_NO_SECRET = re.compile(r"(?:\$\{?[A-Za-z_][A-Za-z0-9_]*\}?|<TOKEN>|\*+)?")
_SECRET_KEY = re.compile(r"token|secret|passw|signature|credential|api_?key|(?:^|[&?])sig=", re.IGNORECASE)


class Entry(NamedTuple):
    """One package as a file has it, before anything about it is believed."""

    name: str
    version: str
    manager: Literal["conda", "pip"]
    platform: str
    url: str
    md5: str | None = None
    sha256: str | None = None
    depends: Iterable[str] = ()
    categories: Sequence[str] = ("main",)
    by_address: bool = False
    #: Where it stands; 0 where no line is known.
    line: int = 0


class ReadPackages(NamedTuple):
    """The packages of a file, and the addresses among them that held a secret."""

    packages: tuple[LockedPackage, ...]
    findings: tuple[Finding, ...] = ()


def locked(entry: Entry, path: str) -> LockedPackage:
    """The package that an entry means. Raises :class:`LockError`, with its line, where it cannot mean one."""
    for what, value, shape in (
        ("name", entry.name, _NAME),
        ("version", entry.version, _VERSION),
        ("platform", entry.platform, _PLATFORM),
    ):
        if not shape.fullmatch(value) and not (what == "version" and not value and entry.manager == "pip"):
            raise LockError(f"{value[:60]!r} is no {what} of a package", file=path, line=entry.line)
    if not entry.url:
        raise LockError(f"{entry.name} {entry.version} has no url", hint=_RENEW, file=path, line=entry.line)
    is_conda = entry.manager == "conda"
    url, _ = plain_address(entry.url, is_channels=is_conda)
    _check_address(entry, url, path)
    revision = _revision(entry, url, path)
    build, subdir = _check_file(entry, url, path) if is_conda else ("", "")
    return LockedPackage(
        name=entry.name.lower() if is_conda else _normal(entry.name),
        version=entry.version,
        manager=entry.manager,
        platform=entry.platform,
        url=url,
        build=build,
        subdir=subdir,
        md5=_hash("md5", entry, path),
        # conda-lock writes the commit where a file's hash would be; the address has it already.
        sha256="" if revision and entry.sha256 == revision else _hash("sha256", entry, path),
        depends=tuple(sorted({_need_of(text, is_conda=is_conda) for text in entry.depends})),
        categories=tuple(sorted(set(entry.categories))),
        by_address=entry.by_address and not is_conda,
    )


def together(entries: Iterable[Entry], path: str) -> ReadPackages:
    """Entries of a file in its order, those of one package with its categories brought together.

    Raises :class:`LockError` where one package stands twice and is not the same.
    """
    found: dict[tuple[str, str, str], tuple[LockedPackage, int]] = {}
    secret: list[tuple[str, int]] = []
    for entry in entries:
        package = locked(entry, path)
        key = (package.manager, package.name, package.platform)
        if key in found:
            package = _one_of(found[key], package, entry.line, path)
            found[key] = (package, found[key][1])
        else:
            found[key] = (package, entry.line)
        if plain_address(entry.url, is_channels=entry.manager == "conda")[1]:
            secret.append((package.name, entry.line))
    return ReadPackages(tuple(package for package, _ in found.values()), _told(secret, path))


def plain_address(url: str, *, is_channels: bool = True) -> tuple[str, bool]:
    """An address without credentials, and whether it held a secret.

    Gone are the user information, a query that holds a key, and the ``/t/<token>/`` of a channel (below an index
    ``/t/`` holds what begins with t). What only stands for a secret (conda-lock's ``${TOKEN}``, a mask) is taken out
    as well, and is none.
    """
    if "@" not in url and "?" not in url and not (is_channels and "/t/" in url):
        return url, False
    try:
        parts = urlsplit(url)
    except ValueError:
        return url, False
    bare, secrets = parts, []
    if "@" in parts.netloc and without_credentials(url) != url:
        user, _, host = parts.netloc.rpartition("@")
        bare, secrets = bare._replace(netloc=host), user.split(":")
    if is_channels and parts.scheme != "file" and (token := _TOKEN.search(parts.path)):
        bare = bare._replace(path=parts.path[: token.start()] + parts.path[token.end() :])
        secrets.append(token[1])
    if parts.query and _SECRET_KEY.search(parts.query):
        bare = bare._replace(query="")
        secrets.append(parts.query)
    return (url if bare is parts else urlunsplit(bare)), not all(_NO_SECRET.fullmatch(unquote(one)) for one in secrets)


def named_variables(address: str) -> tuple[str, ...]:
    """The environment variables that stand in a channel's address in place of credentials, sorted."""
    return tuple(sorted({first or second for first, second in _VARIABLE.findall(address)}))


def file_parts(url: str) -> tuple[str, str, str] | None:
    """Name, version and build of a conda package by its file's name (``numpy-2.1.0-py312_0.conda``), if it is one."""
    name = unquote(url.rpartition("/")[2])
    stem = _ARCHIVE.sub("", name)
    parts = stem.rsplit("-", 2)
    return (parts[0], parts[1], parts[2]) if stem != name and len(parts) == 3 and all(parts) else None


def channel_of(package: LockedPackage) -> str:
    """The address of a conda package's channel: ``https://host/conda-forge``, without a slash at its end."""
    return package.url.rpartition("/")[0].rpartition("/")[0]


def is_from_index(package: LockedPackage) -> bool:
    """Whether a distribution was chosen by name and version: nothing says otherwise, and its file is called so."""
    if package.by_address or not package.url.startswith(("https://", "http://")):
        return False
    known = file_pin(package.url)
    return known is not None and known[0] == package.name and _same_version(known[1], package.version)


def commit_of(package: LockedPackage) -> str:
    """The commit that a distribution of a repository is locked at; empty for one that is a file."""
    is_repository = "+" in package.url.partition("://")[0]
    return package.url.partition("#")[0].rpartition("@")[2] if is_repository else ""


def need(depends: str) -> tuple[str, str]:
    """The name that a dependency is about, in lower case, and what it says of it: ``("python", ">=3.9")``."""
    parts = _NEED.fullmatch(depends)
    return (parts[1].lower(), parts[2]) if parts else (depends.strip().lower(), "")


def _need_of(text: str, *, is_conda: bool) -> str:
    name, said = need(text)
    return f"{name if is_conda else _normal(name)} {said}".strip()


def _check_address(entry: Entry, url: str, path: str) -> None:
    if _ORDINARY.fullmatch(url):
        return
    what = f"the address of {entry.name} {entry.version}"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise LockError(f"{what} is none: {error}", file=path, line=entry.line) from error
    known = _SCHEMES if entry.manager == "conda" else _PIP_SCHEMES
    # A channel that is a folder of the project: relative to it.
    inside = entry.manager == "conda" and url.startswith("./")
    if parts.scheme not in known and not inside:
        message = f"{what} begins with {parts.scheme or 'no scheme'}:, not with https:"
        raise LockError(message, hint=_RENEW, file=path, line=entry.line)
    segments = unquote(parts.path).replace("\\", "/").split("/")
    if ".." in segments or "\0" in unquote(parts.path) or re.search(r"[\s\x00-\x1f\x7f]", url):
        message = f"{what} holds '..', a blank or a control character"
        raise LockError(message, hint=_RENEW, file=path, line=entry.line)


def _revision(entry: Entry, url: str, path: str) -> str:
    """The commit that an address of a repository ends in; empty for a file's address."""
    if "+" not in url.partition("://")[0]:
        return ""
    commit = url.partition("#")[0].rpartition("@")[2]
    if not _COMMIT.fullmatch(commit):
        message = f"the address of {entry.name} is not pinned to a commit"
        raise LockError(message, hint="write the whole commit behind @, and lock anew", file=path, line=entry.line)
    return commit


def _check_file(entry: Entry, url: str, path: str) -> tuple[str, str]:
    """The build and the subdir that a conda package's address tells; its file must be what the entry says it is."""
    told = None if "?" in url or "#" in url else file_parts(url)
    subdir = url.rpartition("/")[0].rpartition("/")[2]
    if told is None or not _PLATFORM.fullmatch(subdir):
        message = (
            f"the address of {entry.name} {entry.version} does not end in <platform>/<name>-<version>-<build>.conda"
        )
        raise LockError(message, hint=_RENEW, file=path, line=entry.line)
    if (told[0].lower(), told[1]) != (entry.name.lower(), entry.version):
        message = f"{entry.name} {entry.version} has the address of {shown(told[0])} {shown(told[1])}"
        raise LockError(message, hint=_RENEW, file=path, line=entry.line)
    if subdir not in (entry.platform, "noarch"):
        message = f"{entry.name} {entry.version} is locked for {entry.platform} with a file for {subdir}"
        raise LockError(message, hint=_RENEW, file=path, line=entry.line)
    return told[2], subdir


def _hash(kind: Literal["md5", "sha256"], entry: Entry, path: str) -> str:
    value = (entry.md5 if kind == "md5" else entry.sha256) or ""
    digest = value.lower()
    if digest and (len(digest) != _LENGTHS[kind] or not _HEX.fullmatch(digest)):
        raise LockError(
            f"the {kind} of {entry.name} {entry.version} has {len(digest)} characters; "
            f"it must be {_LENGTHS[kind]} hexadecimal digits",
            hint=_RENEW,
            file=path,
            line=entry.line,
        )
    return digest


def _one_of(first: tuple[LockedPackage, int], second: LockedPackage, line: int, path: str) -> LockedPackage:
    from msgspec.structs import replace

    package, at = first
    where = f"in line {at}, " if at else ""
    if replace(second, categories=package.categories) != package:
        difference = (
            f"as version {package.version}"
            if package.version != second.version
            else "with another address, another hash or other dependencies"
        )
        message = f"{second.name} {second.version} stands here a second time for {second.platform}: {where}{difference}"
        raise LockError(message, hint="keep one of the two, or remove the file and lock anew", file=path, line=line)
    if set(second.categories) & set(package.categories):
        message = f"{second.name} {second.version} stands here a second time for {second.platform}: {where}the same"
        raise LockError(message, hint="keep one of the two", file=path, line=line)
    return replace(package, categories=tuple(sorted({*package.categories, *second.categories})))


def _told(secret: Sequence[tuple[str, int]], path: str) -> tuple[Finding, ...]:
    if not secret:
        return ()
    name, line = secret[0]
    more = f", and so do {len(secret) - 1} more" if len(secret) > 1 else ""
    return (
        Finding(
            code="LOCK021",
            severity="error",
            title="a secret in a lock file",
            message=f"the address of {name} holds a password or a token{more}: take it out and have it revoked, "
            "since a lock is committed and read by many",
            file=path,
            line=line,
        ),
    )


def _normal(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)


def _same_version(one: str, other: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


_RENEW = "the file was edited or cut: restore it, or remove it and lock anew"
