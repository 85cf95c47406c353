"""Addresses of channels as text: taken apart, cleaned of credentials, compared, and made from folders. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from ci_envs.errors import LockError, UsageError
from ci_envs.redact import MASK, Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "Parts",
    "clean",
    "expanded",
    "file_url",
    "folder",
    "hidden",
    "inside",
    "is_address",
    "is_path",
    "login",
    "outside",
    "rest",
    "secrets",
    "without_login",
]

_TOKEN = re.compile(r"/t/([^/\s?#]+)(?=/|$)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_PATH = re.compile(r"\.{0,2}/|\.{1,2}$|~|\.{1,2}\\|[A-Za-z]:[/\\]")
_DRIVE = re.compile(r"/?[A-Za-z]:")
_PORTS = {"https": ":443", "http": ":80"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """An address taken apart."""

    #: Without user, password, token, and a slash at its end; its scheme and host in lower case.
    canonical: str
    #: The same, but for credentials that variables bring: those stay, as ``${NAME}``, as conda-lock writes them.
    template: str
    #: With its credentials.
    full: str = field(repr=False)
    variables: tuple[str, ...]

    @classmethod
    def of(cls, text: str, environ: Mapping[str, str]) -> Parts:
        """Of an address with a scheme. Raises :class:`UsageError` for what is none, and an unset variable."""
        text = text.strip().rstrip("/")
        full, variables = expanded(text, environ)
        try:
            parts = urlsplit(full)
            _ = parts.port
        except ValueError as error:
            raise UsageError(f"{hidden(text)!r} is no address of a channel: {error}") from error
        if parts.query or parts.fragment or re.search(r"\s", full):
            raise UsageError(f"{hidden(text)!r} is no address of a channel: one ends with the channel's name")
        if parts.scheme != "file" and not parts.hostname:
            raise UsageError(f"{hidden(text)!r} is no address of a channel: it names no host")
        canonical = clean(full)
        template = _cleaned(_VARIABLE.sub(r"${\1\2}", text), keep_variables=True) if variables else canonical
        return cls(canonical=canonical, template=template, full=full, variables=variables)


def is_address(text: str) -> bool:
    """Whether it has a scheme: a bare host is a name to conda."""
    return "://" in text


def is_path(text: str) -> bool:
    """Whether it is a folder: absolute, below ``~``, or relative with a leading ``./`` (conda's ``is_path``)."""
    return _PATH.match(text) is not None


def clean(url: str) -> str:
    """The address without user, password and token, however it was written."""
    return _cleaned(url, keep_variables=False)


def expanded(text: str, environ: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """With the values of ``$NAME`` and ``${NAME}``, and the names; :class:`UsageError` for one that is not set."""
    names = sorted({found[1] or found[2] for found in _VARIABLE.finditer(text)})
    if missing := [name for name in names if name not in environ]:
        raise UsageError(
            f"the address {hidden(text)} names the variable {missing[0]}, which is not set",
            hint=f"set {missing[0]}, the credential of this channel, before you lock or build",
        )
    return _VARIABLE.sub(lambda found: environ[found[1] or found[2]], text), tuple(names)


def hidden(text: str) -> str:
    """For a message: credentials masked, also in what is no address."""
    return _TOKEN.sub(f"/t/{MASK}", Redactor()(text))


def secrets(url: str) -> Iterator[str]:
    """The password, or a user without one, and the token of an address, each as it stands and decoded."""
    scheme, _, tail = url.partition("://")
    host, _, path = tail.partition("/")
    user, at, _ = host.rpartition("@")
    if scheme and at:
        secret = user.partition(":")[2] or user
        yield from (secret, unquote(secret))
    if found := _TOKEN.search(f"/{path}"):
        yield found[1]


def login(url: str) -> tuple[str, str]:
    """User and password of an address, decoded; empty where it has none."""
    host = url.partition("://")[2].partition("/")[0]
    user, _, password = host.rpartition("@")[0].partition(":")
    return unquote(user), unquote(password)


def without_login(url: str) -> str:
    """The address with its token, and without user and password."""
    scheme, mark, tail = url.partition("://")
    host, slash, path = tail.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def rest(url: str, base: str) -> str | None:
    """What stands behind a base: empty for the base itself, else with its slash; ``None`` where it is not below it."""
    if url == base:
        return ""
    return url[len(base) :] if url.startswith(f"{base}/") else None


def file_url(path: str, *, home: Path, root: Path) -> str:
    """Of a folder as a person writes it; relative ones are relative to ``root``. Links stay as they are named."""
    text = path.replace("\\", "/")
    if _DRIVE.match(text):
        return f"file:///{quote(text.strip('/'), safe='/:')}"
    text = f"{home.as_posix()}{text[1:]}" if text == "~" or text.startswith("~/") else text
    whole = text if text.startswith("/") else f"{root.as_posix()}/{text}"
    return f"file://{quote(_normal(whole))}"


def folder(url: str) -> Path:
    """The folder that a ``file:`` address names."""
    path = unquote(urlsplit(url).path)
    return Path(path[1:] if _DRIVE.match(path) else path)


def inside(url: str, root: Path | None) -> str:
    """A folder of the project is told relative to it: ``./channel``."""
    if root is None or not url.startswith("file:"):
        return url
    behind = rest(f"file://{_normal(urlsplit(url).path)}", f"file://{quote(root.as_posix())}")
    return url if behind is None else f".{behind or '/.'}"


def outside(url: str, root: Path | None) -> str:
    """The other way round: ``./channel/noarch/x.conda`` of a lock is a file of the project."""
    if not url.startswith("./"):
        return url
    if root is None or ".." in url.split("/"):
        raise LockError(f"{url} leads out of the project", hint="a lock may name folders inside the project alone")
    return f"file://{quote(root.as_posix())}{_normal(url)}".rstrip("/")


def _normal(path: str) -> str:
    """An absolute path without ``.``, ``..`` and empty words."""
    kept: list[str] = []
    for word in path.split("/"):
        if word == "..":
            del kept[-1:]
        elif word not in ("", "."):
            kept.append(word)
    return "/" + "/".join(kept)


def _cleaned(url: str, *, keep_variables: bool) -> str:
    scheme, mark, tail = url.partition("://")
    if not mark:
        return url.rstrip("/")
    host, slash, path = tail.partition("/")
    user, at, host = host.rpartition("@")
    host = host if _VARIABLE.search(host) else host.lower().removesuffix(_PORTS.get(scheme.lower(), "\0"))
    if slash:
        path = _TOKEN.sub(lambda found: found[0] if keep_variables and _is_variable(found[1]) else "", f"/{path}", 1)
    secret = user.partition(":")[2] or user
    kept = f"{user}@" if at and keep_variables and _is_variable(secret) else ""
    return f"{scheme.lower()}://{kept}{host}{path}".rstrip("/")


def _is_variable(text: str) -> bool:
    return _VARIABLE.fullmatch(text) is not None
