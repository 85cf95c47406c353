"""What conda-lock is given: one source file for all platforms, the virtual packages, and settings for who solves. Pure.

conda-lock keeps one spec of each name, the last one that it reads, whatever its file and category are. So it is not
given the project's files: the ``python 3.12.*`` of a leg would take the place of the ``python >=3.12.2`` that somebody
wrote. What is asked of one name is said in one spec here, and the selectors are our own reading of them.
"""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from ci_envs.conda.addresses import clean, hidden
from ci_envs.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ci_envs.conda.channel_names import ChannelAddress
    from ci_envs.conda.channel_settings import ChannelSettings
    from ci_envs.conda.solving import Asked, SolveRequest

__all__ = ["Wanted", "addresses", "settings_text", "source_text", "virtual_text"]

#: conda-lock's selector of one platform alone (``conda_lock/src_parser/selectors.py``).
_SELECTORS = {
    "linux-64": "linux64",
    "linux-aarch64": "aarch64",
    "osx-64": "osx64",
    "osx-arm64": "arm64",
    "win-64": "win64",
}

#: What a match spec can ask, and conda-lock leaves out without a word.
_UNSAID = ("build_number", "md5", "sha256", "file_name", "subdir", "namespace", "extras", "condition")


class Wanted(NamedTuple):
    """One platform's request, with its specs as they were read."""

    request: SolveRequest
    asked: Sequence[Asked]


def addresses(wanted: Iterable[Wanted]) -> tuple[str, ...]:
    """Where the channels of all platforms are asked for, the most wanted first. They may hold credentials."""
    return tuple(dict.fromkeys(channel.fetch for one in wanted for channel in one.request.channels))


def source_text(wanted: Sequence[Wanted]) -> str:
    """An ``environment.yml``; each line of it is for one platform.

    Raises :class:`LockError`, with its place, for a spec that conda-lock cannot be asked for.
    """
    lines = ["channels:", *(f"  - {json.dumps(address)}" for address in addresses(wanted)), "dependencies:"]
    for one in wanted:
        selector = _SELECTORS[one.request.platform]
        lines += [f"  - {json.dumps(spec)}  # [{selector}]" for spec in _specs(one)]
    return "\n".join([*lines, ""])


def virtual_text(requests: Iterable[SolveRequest]) -> str:
    """The virtual packages of each platform, in the format of conda-lock's ``virtual-packages.yml``."""
    subdirs = {
        request.platform: {"packages": {each.name: each.text for each in request.virtual}} for request in requests
    }
    return json.dumps({"subdirs": subdirs}, indent=2)


def settings_text(settings: ChannelSettings, channels: Sequence[ChannelAddress], *, offline: bool) -> str:
    """A condarc: how channels are reached, and their priority; nothing else of the user's settings bends a lock.

    It says, too, where the channels are that specs name: conda-lock makes ``forge`` of ``http://host/forge``. It may
    hold credentials.
    """
    groups = _groups(channels)
    told: dict[str, Any] = {
        "channel_priority": settings.priority,
        "custom_channels": _custom(channels),
        **({"default_channels": groups.pop("defaults")} if "defaults" in groups else {}),
        "custom_multichannels": groups,
        "remote_max_retries": settings.retries,
        "offline": offline or settings.offline,
        "number_channel_notices": 0,
        "notify_outdated_conda": False,
        "report_errors": False,
    }
    if settings.proxies:
        told["proxy_servers"] = settings.proxies
    if not settings.verify or settings.certificates:
        told["ssl_verify"] = settings.certificates if settings.verify else False
    return json.dumps(told, indent=2)


def _specs(one: Wanted) -> list[str]:
    by_name: dict[str, list[Asked]] = {}
    for asked in one.asked:
        by_name.setdefault(asked.name, []).append(asked)
    return [_spec(name, several, one.request.channels) for name, several in sorted(by_name.items())]


def _spec(name: str, several: Sequence[Asked], channels: Sequence[ChannelAddress]) -> str:
    """All that is asked of a name: ``forge::numpy >=2,<2.1|>=2,2.3.* py312*``; ``,`` binds closer than ``|``."""
    for asked in several:
        _check(asked)
    versions = list(dict.fromkeys(text for asked in several if (text := asked.match.version) and text != "*"))
    builds = _one([(asked, text) for asked in several if (text := asked.match.build) and text != "*"], "builds")
    words = [(asked, _word(asked, channels)) for asked in several if asked.match.channel is not None]
    channel = _one(words, "channels")
    version = "|".join(",".join(every) for every in product(*(text.split("|") for text in versions)))
    version = version or ("*" if builds else "")
    return f"{channel}{'::' if channel else ''}{f'{name} {version} {builds}'.strip()}"


def _check(asked: Asked) -> None:
    for field in _UNSAID:
        if getattr(asked.match, field, None):
            raise _unsaid(asked, f"conda-lock cannot be asked for the {field.replace('_', ' ')} of a package")
    if "(" in (asked.match.version or ""):
        raise _unsaid(asked, "conda-lock cannot read parentheses in a version")


def _one(said: Sequence[tuple[Asked, str]], what: str) -> str:
    """The only text; conda-lock cannot be asked for two."""
    texts = dict.fromkeys(text for _, text in said)
    if len(texts) > 1:
        raise _unsaid(said[-1][0], f"conda-lock cannot be asked for two {what} of a package: {', '.join(texts)}")
    return next(iter(texts), "")


def _unsaid(asked: Asked, why: str) -> LockError:
    return LockError(
        f"{hidden(asked.line.text)!r}: {why}",
        hint="the embedded solver can: conda: {locker: rattler}",
        file=asked.line.file,
        line=asked.line.line,
    )


def _word(asked: Asked, channels: Sequence[ChannelAddress]) -> str:
    """What the settings call a spec's channel: conda-lock leaves out where it is."""
    named = asked.match.channel
    base = str(named.base_url).rstrip("/") if named is not None else ""
    group = base.rpartition("/")[2]
    if any(channel.group == group for channel in channels):
        return group
    address = next((channel.fetch for channel in channels if channel.source == base), base)
    name = _name(address)[0]
    if name not in _custom(channels):
        raise _unsaid(asked, f"conda-lock cannot tell the channels of this name apart: {name}")
    return name


def _custom(channels: Iterable[ChannelAddress]) -> dict[str, str]:
    """Name -> what it stands below, for names that are no other channel's too."""
    found: dict[str, set[str]] = {}
    for channel in channels:
        name, below = _name(channel.fetch)
        found.setdefault(name, set()).add(below)
    return {name: places.pop() for name, places in sorted(found.items()) if len(places) == 1}


def _groups(channels: Iterable[ChannelAddress]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for channel in channels:
        if channel.group:
            found.setdefault(channel.group, []).append(channel.fetch)
    return found


def _name(address: str) -> tuple[str, str]:
    """``http://host/a/forge`` is ``a/forge`` below ``http://host`` to conda; of a folder the last word is the name."""
    plain = clean(address)
    parts = urlsplit(plain)
    if parts.scheme == "file":
        below, _, name = plain.rpartition("/")
        return name, below
    return parts.path.strip("/"), f"{parts.scheme}://{parts.netloc}"
