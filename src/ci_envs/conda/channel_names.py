"""Channels: what a word in an intent means, what a lock calls it, and where its files really come from.

A name is looked up as conda does (``conda/models/channel.py``): multichannels, custom channels by their longest path,
then the alias. A lock holds the canonical address: the channel's own, without credentials, whichever mirror served it.

A channel that is a folder inside the project is ``./folder`` in a lock, relative to the project, so that a lock tells
no path of the machine and holds wherever the project is checked out. A folder outside of it can only be a ``file://``
address, which no other machine has. Both are found (LOCK030): a lock with either can be built where the folder is,
and nowhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from ci_envs.conda.addresses import (
    Parts,
    clean,
    file_url,
    folder,
    hidden,
    inside,
    is_address,
    is_path,
    rest,
)
from ci_envs.conda.channel_settings import DEFAULT_ALIAS
from ci_envs.conda.condarc import Said
from ci_envs.errors import UsageError
from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci_envs.conda.channel_settings import ChannelSettings

__all__ = ["ChannelAddress", "channel_findings", "mirrored", "resolve", "source_of"]

_REPO = "https://repo.anaconda.com"
#: What ``defaults`` stands for (conda's ``DEFAULT_CHANNELS_UNIX`` and ``_WIN``), and the one custom channel it knows.
_DEFAULTS = (f"{_REPO}/pkgs/main", f"{_REPO}/pkgs/r")
_DEFAULTS_WIN = (*_DEFAULTS, f"{_REPO}/pkgs/msys2")
_CUSTOM = {"pkgs/pro": Said(_REPO, "")}

_USERS = "channels in "

# A folder of a channel that a word may end with; conda takes it off (``split_platform``), mamba writes ``[linux-64]``.
_SUBDIR = re.compile(r"/(noarch|(linux|osx|win|freebsd|zos|emscripten|wasi)-(32|64|z|[a-z]+\d+(le|x)?))/*$")
_FILTER = re.compile(r"\[[\w,\s-]*\]$")
_NAME = re.compile(r"[\w.+~@-]+(?:/[\w.+~@-]+)*")


@dataclass(frozen=True, kw_only=True)
class ChannelAddress:
    """One channel. What may hold a password is not shown by ``repr``, and goes nowhere but to a client."""

    #: ``conda-forge``, ``pkgs/main``, ``conda-forge/label/dev``.
    name: str
    #: For a message: the name where it was asked for by name, else the canonical address.
    shown: str
    #: What a lock says.
    canonical: str
    #: For a lock's list of channels: the canonical address, with ``${NAME}`` where a variable brings a credential.
    template: str
    used_env_vars: tuple[str, ...] = ()
    #: What rattler is told: the canonical address, or that of a folder.
    source: str
    #: Where its files are really asked for, with what is needed to reach them: several of the web, or one folder.
    fetches: tuple[str, ...] = field(repr=False)
    #: The multichannel that it came with: those of one share a tier of priority.
    group: str = ""
    #: The setting of this machine that made the name mean this address; empty for conda's own meaning.
    decided_by: str = ""

    @property
    def fetch(self) -> str:
        """The address that is tried first. It may hold a password."""
        return self.fetches[0]


@dataclass(frozen=True, slots=True)
class _Located:
    """What a word means, before mirrors."""

    name: str
    shown: str
    parts: Parts
    group: str = ""
    decided_by: str = ""


def resolve(words: Iterable[str], settings: ChannelSettings, *, platform: str = "") -> tuple[ChannelAddress, ...]:
    """The channels of these words, the most wanted first, each once.

    Without a word they are those of the user's ``.condarc``, as conda would have it; where that has none, none.
    ``platform`` matters for ``defaults`` alone, which has one channel more for ``win-64``. Raises :class:`UsageError`
    for a word that is no channel, a variable that is not set, and a channel that ``denylist_channels`` denies.
    """
    mirrors = dict(mirrored(settings))
    found: dict[str, ChannelAddress] = {}
    for one in _all_located(tuple(words), settings, platform):
        canonical = inside(one.parts.canonical, settings.root)
        if canonical not in found:
            found[canonical] = _address(one, canonical, mirrors)
    _refuse_denied(found.values(), settings)
    return tuple(found.values())


def source_of(canonical: str, fetches: tuple[str, ...]) -> str:
    """What rattler is told: a folder as it is, so that its records are renamed afterwards; else the channel itself."""
    return fetches[0] if fetches[0].startswith("file:") else canonical


def mirrored(settings: ChannelSettings) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Canonical address -> the addresses that serve its files, as far as they can be used; nearest addresses first."""
    table: dict[str, tuple[str, ...]] = {}
    for word, said in settings.mirrors.items():
        with _at(said):
            places = list(_located(word, settings))
            if len(places) > 1:
                raise UsageError(f"{word} stands for several channels; name the mirrors of each")
            urls = tuple(_mirror(url, settings) for url in said.value)
        table.setdefault(inside(places[0].parts.canonical, settings.root), _usable(urls))
    yield from sorted(table.items(), key=lambda item: -len(item[0]))


def channel_findings(channels: Iterable[ChannelAddress], settings: ChannelSettings) -> tuple[Finding, ...]:
    """What a person should know of a lock over these channels."""
    found: list[Finding] = []
    for channel in channels:
        if channel.canonical.startswith((".", "file:")):
            message = f"the lock names {channel.canonical}: it can be built only where that folder is"
            found.append(_finding("LOCK030", "a channel is a folder", message))
        if channel.decided_by.startswith(_USERS):
            message = (
                f"no channel is asked for, and {channel.decided_by} names {channel.shown}: write it into the intent"
            )
            found.append(_finding("LOCK031", "a setting of this machine decides what the lock says", message))
        elif channel.decided_by:
            message = (
                f"{channel.shown} is {channel.canonical}, as {channel.decided_by} says; where that serves the files of "
                "another channel, `conda: {mirrors: ...}` keeps the other's address in the lock"
            )
            found.append(_finding("LOCK031", "a setting of this machine decides what the lock says", message))
    if settings.priority_from:
        message = (
            f"channel priority is {settings.priority}, as {settings.priority_from} says; "
            f"`conda: {{channel-priority: {settings.priority}}}` says it for every machine"
        )
        found.append(_finding("LOCK031", "a setting of this machine decides what the lock says", message))
    if not settings.verify:
        message = "ssl_verify is false: whoever stands between may give other packages, with hashes to match"
        found.append(_finding("LOCK032", "certificates are not verified", message))
    return tuple(found)


def _all_located(words: tuple[str, ...], settings: ChannelSettings, platform: str) -> Iterator[_Located]:
    for word in words:
        yield from _located(word, settings, platform)
    for said in settings.channels if not words else ():
        with _at(said):
            for one in _located(said.value, settings, platform):
                yield replace(one, decided_by=one.decided_by or f"{_USERS}{said.place}")


def _finding(code: str, title: str, message: str) -> Finding:
    return Finding(code=code, severity="warning", title=title, message=message)


def _located(word: str, settings: ChannelSettings, platform: str = "") -> Iterator[_Located]:
    text = _SUBDIR.sub("", _FILTER.sub("", word.strip()))
    if is_address(text) or is_path(text):
        parts = Parts.of(_url(text, settings), settings.environ)
        yield _Located(_short(parts.canonical, settings), inside(parts.canonical, settings.root), parts)
        return
    name = text.strip("/")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{hidden(word)!r} is no channel", hint="a channel is a name, an address with https://, or ./folder"
        )
    if name == "local":
        raise UsageError(
            "the channel 'local' is the folder of conda-build on this machine",
            hint="name that folder: an address with file://, or relative to the project",
        )
    if members := _members(name, settings, platform):
        for member in members:
            yield _member(member, name, settings)
        return
    base, by = _base(name, settings)
    with _at(base):
        parts = Parts.of(f"{base.value.rstrip('/')}/{name}", settings.environ)
    yield _Located(name, name, parts, "", by)


def _member(said: Said, group: str, settings: ChannelSettings) -> _Located:
    """A multichannel's words are addresses, or names below the alias: no multichannel is in another."""
    text = said.value.strip()
    by_address = is_address(text) or is_path(text)
    with _at(said):
        url = _url(text, settings) if by_address else f"{settings.alias.value.rstrip('/')}/{text.strip('/')}"
        parts = Parts.of(url, settings.environ)
    by = f"{group} in {said.place}" if said.file else ""
    return _Located(_short(parts.canonical, settings), f"{group} ({parts.canonical})", parts, group, by)


def _members(name: str, settings: ChannelSettings, platform: str) -> tuple[Said, ...]:
    """What a multichannel stands for; ``custom_multichannels`` comes before ``default_channels``, as in conda."""
    if name in settings.multi:
        said = settings.multi[name]
        return tuple(Said(word, said.file, said.line) for word in said.value)
    if name != "defaults":
        return ()
    standard = _DEFAULTS_WIN if platform.startswith("win") else _DEFAULTS
    return settings.defaults or tuple(Said(url, "") for url in standard)


def _base(name: str, settings: ChannelSettings) -> tuple[Said, str]:
    """What a bare name stands below, and which setting of this machine says so."""
    custom = {**_custom_of_members(settings), **_CUSTOM, **settings.custom}
    words = name.split("/")
    for length in range(len(words), 0, -1):
        if (key := "/".join(words[:length])) in custom and custom[key].value:
            said = custom[key]
            return said, f"custom_channels in {said.place}" if said.file else ""
    alias = settings.alias
    return alias, f"channel_alias in {alias.place}" if alias.file else ""


def _custom_of_members(settings: ChannelSettings) -> dict[str, Said]:
    """A multichannel's members have names of their own: ``pkgs/main`` is at the host that ``defaults`` names."""
    found: dict[str, Said] = {}
    for group in ("defaults", *settings.multi):
        for member in _members(group, settings, "win"):
            if is_address(member.value) and "$" not in member.value:
                parts = urlsplit(member.value)
                base = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
                found.setdefault(parts.path.strip("/"), Said(base, member.file, member.line))
    return found


def _url(text: str, settings: ChannelSettings) -> str:
    return text if is_address(text) else file_url(text, home=settings.home, root=settings.root or Path.cwd())


def _short(canonical: str, settings: ChannelSettings) -> str:
    """conda's name for an address, where it has one; else its path."""
    for alias in (settings.alias.value, DEFAULT_ALIAS):
        if behind := rest(canonical, clean(alias)):
            return behind.strip("/")
    path = unquote(urlsplit(inside(canonical, settings.root)).path).strip("./")
    return path or canonical


def _address(one: _Located, canonical: str, mirrors: dict[str, tuple[str, ...]]) -> ChannelAddress:
    fetches: tuple[str, ...] = (one.parts.full,)
    for key, urls in mirrors.items():
        if (behind := rest(canonical, key)) is not None:
            fetches = tuple(url + behind for url in urls)
            break
    return ChannelAddress(
        name=one.name,
        shown=one.shown,
        canonical=canonical,
        template=one.parts.template if one.parts.variables else canonical,
        used_env_vars=one.parts.variables,
        source=source_of(canonical, fetches),
        fetches=fetches,
        group=one.group,
        decided_by=one.decided_by,
    )


def _mirror(url: str, settings: ChannelSettings) -> str:
    if not is_address(url) and not is_path(url):
        raise UsageError(f"the mirror {hidden(url)!r} is no address", hint="write it with https:// or file://")
    return Parts.of(_url(url, settings), settings.environ).full


def _usable(urls: tuple[str, ...]) -> tuple[str, ...]:
    """Of the addresses of one channel either the first folder that is there, or those of the web.

    rattler's mirrors are of the web alone; which of the two it is, is what was named first and can be used.
    """
    for url in urls:
        if not url.startswith("file:"):
            return tuple(other for other in urls if not other.startswith("file:"))
        if folder(url).is_dir():
            return (url,)
    return urls[:1]


def _refuse_denied(channels: Iterable[ChannelAddress], settings: ChannelSettings) -> None:
    """conda's ``validate_channels``: not on the one list, and on the other where there is one."""
    denied, allowed = _listed(settings.denied, settings), _listed(settings.allowed, settings)
    for channel in channels:
        if said := denied.get(channel.canonical):
            message = f"the channel {channel.shown} is denied by denylist_channels"
            raise UsageError(message, file=said.file, line=said.line)
        if allowed and channel.canonical not in allowed:
            said = settings.allowed[0]
            raise UsageError(
                f"the channel {channel.shown} is not among allowlist_channels",
                file=said.file,
                line=said.line,
                hint=f"allowed: {', '.join(hidden(one.value) for one in settings.allowed)}",
            )


def _listed(words: Iterable[Said], settings: ChannelSettings) -> dict[str, Said]:
    return {
        inside(one.parts.canonical, settings.root): said
        for said in words
        for one in _located(said.value, settings, "win")
    }


class _at:  # noqa: N801 - reads as a word before its block
    """Gives an error the place of the setting that it is about."""

    def __init__(self, said: Said) -> None:
        self._said = said

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, UsageError) and not error.file and self._said.file:
            error.file, error.line = self._said.file, self._said.line
