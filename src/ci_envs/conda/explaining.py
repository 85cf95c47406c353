"""Why a solve came to nothing, for a tired person: what was asked for and where, and no more of the tree than that.

The sentences that are read are those of py-rattler 0.28, seen by letting a local channel misbehave
(``tests/component/test_conda_solving.py`` keeps them true).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ci_envs.conda import failures
from ci_envs.conda.addresses import clean, hidden, rest
from ci_envs.errors import BrokenError, LockError
from ci_envs.model.conda import PLATFORMS
from ci_envs.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rattler import RepoDataRecord

    from ci_envs.conda.channel_names import ChannelAddress
    from ci_envs.conda.solving import Asked, Solve
    from ci_envs.errors import CiEnvsError
    from ci_envs.model.conda import MatchLine

__all__ = ["ConflictError", "NoChannelError", "first_line", "tree", "unreachable", "unsolved"]

#: Lines of rattler's tree that a message has, and characters of a line.
_LINES, _WIDTH = 13, 160
#: Versions that a message names.
_VERSIONS = 6
_KNOWN_CHANNELS = ("conda-forge", "bioconda", "defaults", "pytorch", "nvidia", "rapidsai", "anaconda", "robostack", "r")

_PREAMBLE = "Cannot solve the request because of: "
_EMPTY = "The following packages are incompatible"
_CONSTRAINT = re.compile(r"the constraint (?P<spec>.+) cannot be fulfilled")
_UNSEEN = re.compile(r"(?P<name>[A-Za-z0-9_][\w.-]*) [^\n]*, for which no candidates were found")
_TOP = re.compile(r"^(?:[└├]─ )?(?P<name>[A-Za-z0-9_][\w.-]*)(?= )")
_MACHINE = re.compile(r"(?<![\w.-])(?P<name>__[a-z0-9_]+)")

_NO_CHANNEL = re.compile(r"could not find subdir '(?P<subdir>[^']+)' in channel '(?P<channel>[^']+)'")
_NOT_CACHED = re.compile(r"no usable repodata cache for|is not in the cache")
_TLS = re.compile(r"certificate|InvalidContentType|handshake|\btls\b|\bssl\b", re.IGNORECASE)
_UNREADABLE = re.compile(r"failed to (?:parse|decode|deserialize)|Unknown frame descriptor|invalid (?:gzip|zstd|json)")
_ADDRESS = re.compile(r"(?:https?|file|s3|oci)://[^\s)'\"]+")
_CAUSED = re.compile(r"\n?Caused by: ")


class NoChannelError(LockError):
    """There is no such channel; ``channel`` is the word that asked for it."""

    channel = ""


class ConflictError(LockError):
    """Specs that cannot be met together; ``also`` are those beside the one whose line the error has."""

    also: tuple[MatchLine, ...] = ()


async def unsolved(solve: Solve, said: str) -> LockError:
    """The error for specs that nothing meets: a name that is unknown, a version that is not there, or a conflict."""
    records = await solve.query([one.match for one in solve.asked])
    for one in solve.asked:
        if not any(one.match.matches(record) for record in records if record.name.normalized == one.name):
            return await _lacking(solve, one)
    unseen = {found["name"] for found in _UNSEEN.finditer(said)} & {one.name for one in solve.asked}
    return _conflict(solve, (await _fuller(solve) if unseen else "") or said)


async def unreachable(solve: Solve, said: str) -> CiEnvsError:
    """The error for repodata that could not be had or read."""
    text = solve.way.masked(said)
    channel = _channel_of(said, solve.request.channels) or await _failing(solve)
    shown = channel.shown if channel is not None else "the channel"
    if failures.says_disk_full(text):
        return failures.disk_full(f"the repodata of {shown} could not be kept")
    if found := _NO_CHANNEL.search(said):
        return _no_channel(shown, channel, found["subdir"])
    if _NOT_CACHED.search(text):
        return BrokenError(
            f"nothing may be downloaded, and the cache lacks repodata of {shown}: {first_line(text)}",
            hint="run it once without --offline",
        )
    return _misbehaving(solve, shown, text)


def _misbehaving(solve: Solve, shown: str, text: str) -> BrokenError:
    reason = _reason(text)
    if failures.kind_of(text) == "refused":
        return BrokenError(
            f"the channel {shown} refused us: {reason}",
            hint="give its credentials in RATTLER_AUTH_FILE or ~/.rattler/credentials.json (`rattler auth login`, "
            "`pixi auth login`), in ~/.netrc, or by a variable in its address: https://host/t/$TOKEN/channel",
        )
    if _TLS.search(text):
        client = "; a client certificate (client_ssl_cert) is not supported" if _has_client_certificate(solve) else ""
        return BrokenError(
            f"the channel {shown} could not be trusted: {reason}",
            hint="name the certificates of its authority: ssl_verify in ~/.condarc, or SSL_CERT_FILE" + client,
        )
    if _UNREADABLE.search(text):
        return BrokenError(
            f"the repodata of {shown} cannot be read: {reason}",
            hint="whoever keeps the channel has to index it again; a sign-in page of the network looks like this too",
        )
    return BrokenError(f"the channel {shown} did not answer as it should: {reason}")


def _has_client_certificate(solve: Solve) -> bool:
    return solve.request.settings.client_certificate


def _no_channel(shown: str, channel: ChannelAddress | None, subdir: str) -> LockError:
    where = channel.canonical if channel is not None else ""
    near = nearest(shown, _KNOWN_CHANNELS) if shown not in _KNOWN_CHANNELS else ""
    what = f"{shown} ({where})" if where and where != shown else shown
    hint = "a private channel may answer so to whoever has no credentials for it"
    if where.startswith((".", "file:")):
        hint = "index the folder: `python -m conda_index FOLDER`, or `rattler-index fs FOLDER`"
    error = NoChannelError(
        f"there is no channel {what}: it has no {subdir}/repodata.json{near}", hint=hint, title="no such channel"
    )
    error.channel = shown
    return error


async def _lacking(solve: Solve, one: Asked) -> LockError:
    """No record matches a spec: its name is unknown, is there for others, or has other versions."""
    wanted, line = hidden(one.line.text), one.line
    channels = ", ".join(dict.fromkeys(channel.shown for channel in solve.request.channels))
    there = await _elsewhere(solve, one.name, solve.subdirs)
    if there:
        versions = _versions(there)
        message = f"no {one.name} of {channels} for {solve.request.platform} is {wanted!r}: there is {versions}"
        return LockError(message, file=line.file, line=line.line, title="no such version")
    others = sorted({record.subdir for record in await _elsewhere(solve, one.name, PLATFORMS)})
    if others:
        return LockError(
            f"{one.name} is not there for {solve.request.platform}, only for {', '.join(others)} ({channels})",
            hint=f"say for which platform it is: `{one.name}  # [{_selector(others)}]`",
            file=line.file,
            line=line.line,
            title="no package for this platform",
        )
    names = await solve.gateway.names(solve.tiers, solve.subdirs, channel_relations="disabled")
    near = nearest(one.name, (name.normalized for name in names))
    message = f"no package of {channels} is called {one.name!r}{near}"
    return LockError(message, file=line.file, line=line.line, title="no such package")


async def _elsewhere(solve: Solve, name: str, subdirs: Sequence[str]) -> list[RepoDataRecord]:
    """Records of a name; none where a platform cannot be looked at, since that is not what went wrong."""
    from rattler.exceptions import GatewayError

    try:
        return await solve.query([name], subdirs=[*subdirs])
    except GatewayError:
        return []


def _selector(platforms: Sequence[str]) -> str:
    systems = {platform.split("-")[0] for platform in platforms}
    return systems.pop() if len(systems) == 1 else " or ".join(sorted(systems))


def _versions(records: Iterable[RepoDataRecord]) -> str:
    """The newest of the versions, oldest first."""
    ordered = sorted({str(record.version): record.version for record in records}.values())
    known = list(dict.fromkeys(map(str, ordered)))
    return ("..., " if len(known) > _VERSIONS else "") + ", ".join(known[-_VERSIONS:])


async def _fuller(solve: Solve) -> str:
    """rattler's sentence when it sees all records of the names that are asked for.

    Else it says that there is no Python 3.12 at all, where 3.11 was asked for and something needs 3.12.
    """
    from rattler.exceptions import SolverError

    try:
        await solve.solve_by_constraints()
    except SolverError as error:
        return str(error)
    return ""


def _conflict(solve: Solve, said: str) -> LockError:
    text = solve.way.masked(said)
    lines = tree(text, solve.asked)
    named = [one.line for one in dict.fromkeys(_named(text, solve.asked)) if one.line.file]
    first = named[0] if named else None
    error = ConflictError(
        f"nothing meets all specs on {solve.request.platform}:\n" + "\n".join(lines),
        hint=_advice(solve, text),
        file=first.file if first else "",
        line=first.line if first else 0,
        title="specs exclude each other",
    )
    error.also = tuple(line for line in named[1:] if line != first)
    return error


def _advice(solve: Solve, text: str) -> str:
    if solve.hidden or "strict channel priority" in text:
        return "name the channel in the spec (`channel::package`), or set `conda: {channel-priority: flexible}`"
    if "cutoff date" in text:
        return f"nothing is taken that was made after {solve.request.as_of}: take a later date"
    if machine := _MACHINE.search(text):
        name = machine["name"]
        made = next((f"{one.name} {one.version}" for one in solve.request.virtual if one.name == name), f"no {name}")
        if name == "__cuda":
            return f"the lock is made for a machine with {made}: the accelerator of the leg decides"
        return f"the lock is made for a machine with {made}: `conda: {{virtual-packages: ...}}` says another"
    return "loosen one of them"


def tree(text: str, asked: Sequence[Asked]) -> list[str]:
    """rattler's tree, cut: without its preamble, each line once, and constraints as what a person has asked for."""
    lines = [line for line in text.removeprefix(_PREAMBLE).splitlines() if line.strip() and line.strip() != _EMPTY]
    said = [_CONSTRAINT.sub(lambda found: f"{_place(found['spec'], asked)} is asked for", line) for line in lines]
    once: dict[str, str] = {}
    for line in reversed(said):
        once.setdefault(line.strip(" ├└│─"), line.rstrip())
    kept = [*once.values()][::-1]
    short = [line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..." for line in kept]
    return short if len(short) <= _LINES else [*short[: _LINES - 1], f"... and {len(short) - _LINES + 1} more lines"]


def _place(spec: str, asked: Sequence[Asked]) -> str:
    for one in asked:
        if str(one.match) == spec:
            text = hidden(one.line.text)
            return f"{text} ({one.line.file}:{one.line.line})" if one.line.file else text
    return spec


def _named(text: str, asked: Sequence[Asked]) -> list[Asked]:
    """The specs that a tree is about: those it names as asked for, then those it begins with."""
    told = {found["spec"] for found in _CONSTRAINT.finditer(text)}
    tops = {found["name"] for line in text.removeprefix(_PREAMBLE).splitlines() if (found := _TOP.match(line))}
    return [one for one in asked if str(one.match) in told] + [one for one in asked if one.name in tops]


def _channel_of(text: str, channels: Sequence[ChannelAddress]) -> ChannelAddress | None:
    """The channel that an address in a sentence belongs to, by its own address or a mirror's."""
    for found in _ADDRESS.finditer(text):
        address = clean(found[0])
        for channel in channels:
            for base in (channel.source, *map(clean, channel.fetches)):
                if rest(address, base) is not None:
                    return channel
    return channels[0] if len(channels) == 1 else None


async def _failing(solve: Solve) -> ChannelAddress | None:
    """The channel that cannot be read on its own, for a sentence that does not say which."""
    from rattler.exceptions import GatewayError

    for channel in solve.request.channels:
        try:
            await solve.gateway.names([channel.source], solve.subdirs, channel_relations="disabled")
        except GatewayError:
            return channel
    return None


def first_line(text: str) -> str:
    """A sentence without its causes."""
    return text.strip().partition("\n")[0].rstrip(".")


def _reason(text: str) -> str:
    """The last cause, which tells the most, with the host that it is about."""
    causes = [part.strip() for part in _CAUSED.split(text) if part.strip()]
    last = causes[-1] if causes else text.strip()
    host = next((urlsplit(found[0]).netloc for found in _ADDRESS.finditer(text)), "")
    plain = re.sub(r" for url \([^)]*\)", "", last).rstrip(".")
    return f"{plain} ({host.rpartition('@')[2]})" if host and host not in plain else plain
