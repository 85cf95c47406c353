"""Solving: match specs, channels and a machine become the packages of one platform. rattler does it, in this process.

What is added to rattler's own solve, and why:

- A lock is drawn from the channels that were named, and no other: relations between channels (CEP 42) are off.
- Of a package that is asked for by name, rattler 0.28 looks only at the records that match what was asked. So with
  strict priority a channel that has the name, but not that version, does not hide those below it, as it does for
  conda. Where that made a difference the solve is done once more with the names alone, and the rest as constraints.
- Packages that a lock has already are looked up anew before they are preferred: rattler takes a preferred record for
  one that is there, and would lock what has long left the channel.
- Files are renamed to the channel's own addresses where a folder stands in for it.
- A package without a time is not taken where ``as_of`` is set, as uv does it: nobody knows that it is old enough.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ci_envs.cache import usable_folder
from ci_envs.conda import explaining, solved
from ci_envs.conda.addresses import expanded, hidden, rest
from ci_envs.conda.channel_names import channel_findings, resolve
from ci_envs.conda.channel_settings import DEFAULT_ALIAS
from ci_envs.conda.engine import complete, require_rattler
from ci_envs.conda.reaching import make_client
from ci_envs.conda.routes import routes
from ci_envs.conda.virtual import for_rattler
from ci_envs.errors import LockError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rattler import Gateway, MatchSpec, RepoDataRecord

    from ci_envs.conda.channel_names import ChannelAddress
    from ci_envs.conda.channel_settings import ChannelSettings
    from ci_envs.conda.virtual import VirtualPackage
    from ci_envs.model.conda import LockedPackage, MatchLine
    from ci_envs.model.leg import Resolution
    from ci_envs.work import Work

__all__ = ["Solve", "SolveRequest", "known_to_channels", "prepared", "solve"]

NOARCH = "noarch"

_CHANNEL = re.compile(r'channel="[^"]*",?')


@dataclass(frozen=True, kw_only=True)
class SolveRequest:
    """What is asked for, on one platform."""

    platform: str
    specs: tuple[MatchLine, ...]
    #: The most wanted first.
    channels: tuple[ChannelAddress, ...]
    settings: ChannelSettings
    virtual: tuple[VirtualPackage, ...] = ()
    #: Packages of the lock before, which are taken again where nothing speaks against them.
    kept: tuple[LockedPackage, ...] = ()
    #: An ISO 8601 instant: nothing that was made later is taken. Empty: now.
    as_of: str = ""
    resolution: Resolution = "highest"
    #: Repodata is taken as it is in the cache.
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A spec as a person wrote it, and as rattler takes it."""

    line: MatchLine
    match: MatchSpec

    @property
    def name(self) -> str:
        """The package's name."""
        return str(self.match.name.normalized)

    @property
    def is_bare(self) -> bool:
        """Whether every record of the name will do."""
        match = self.match
        return not (match.version or match.build or match.build_number or match.md5 or match.sha256 or match.file_name)


def solve(request: SolveRequest, work: Work | None = None) -> tuple[LockedPackage, ...]:
    """The packages, by name, each with its hashes and categories; findings go to ``work``.

    Raises :class:`LockError` where nothing meets the specs, a name or a channel is unknown, or a package has no hash
    that could be had; :class:`BrokenError` where a channel or the disk failed.
    """
    try:
        done = complete(prepared(request).run())
    except explaining.NoChannelError as error:
        raise _with_line(error, request, work) from error
    for finding in (*channel_findings(request.channels, request.settings), *done.findings):
        if work is not None and finding not in work.findings:
            work.findings.append(finding)
    return done.packages


def prepared(request: SolveRequest) -> Solve:
    """A solve with its specs read, before any channel is asked.

    Raises :class:`LockError` where no channel is named, and for what is no match spec.
    """
    require_rattler()
    if not request.channels:
        raise LockError(
            "no channel is named, so there is nothing to lock from",
            file=next((line.file for line in request.specs if line.file), ""),
            hint="write `channels: [conda-forge]`",
        )
    usable_folder(request.settings.repodata)
    return Solve(request)


def known_to_channels(
    names: Iterable[str],
    channels: Sequence[ChannelAddress],
    platform: str,
    settings: ChannelSettings,
    *,
    offline: bool = True,
) -> frozenset[str]:
    """Which of these names the channels have. ``offline`` asks the cache alone; a channel it lacks has none of them."""
    require_rattler()
    asked = frozenset(names)
    return complete(_known(asked, channels, platform, open_gateway(settings, channels, offline=offline)))


async def _known(
    asked: frozenset[str], channels: Sequence[ChannelAddress], platform: str, gateway: Gateway
) -> frozenset[str]:
    from rattler import Subdir
    from rattler.exceptions import GatewayError

    found: set[str] = set()
    for channel in channels:
        for subdir in (platform, NOARCH):
            try:
                there = await gateway.names([channel.source], [Subdir(subdir)], channel_relations="disabled")
            except GatewayError:
                continue
            found |= {name.normalized for name in there} & asked
    return frozenset(found)


def open_gateway(settings: ChannelSettings, channels: Sequence[ChannelAddress], *, offline: bool) -> Gateway:
    """What reads repodata, keeps it on disk with its ETag, and remembers it; the same one for the same settings."""
    from rattler import Gateway
    from rattler.repo_data.gateway import SourceConfig

    offline = offline or settings.offline
    key = ("gateway", tuple(channels), offline)
    if key not in settings.made:
        settings.made[key] = Gateway(
            cache_dir=settings.repodata,
            default_config=SourceConfig(cache_action="force-cache-only" if offline else "cache-or-fetch"),
            client=make_client(settings, channels),
        )
    return settings.made[key]  # type: ignore[no-any-return]  # put there above


class Solve:
    """One solve."""

    def __init__(self, request: SolveRequest) -> None:
        matches = [_match(line, request) for line in request.specs if _is_for(line, request.platform)]
        self.asked = [asked for asked, _ in matches]
        named = {channel.canonical: channel for channel in request.channels}
        for _, more in matches:
            for channel in more:
                named.setdefault(channel.canonical, channel)
        self.request = replace(request, channels=tuple(named.values()))
        self.way = routes(request.settings, self.request.channels)
        self.gateway = open_gateway(request.settings, self.request.channels, offline=request.offline)
        self.tiers = _tiers(self.request.channels)
        #: rattler has a literal of every platform, and takes any text.
        self.subdirs: list[Any] = [request.platform, NOARCH]
        #: Whether a channel that comes first hides what was found first.
        self.hidden = False
        self._as_of = _instant(request.as_of)

    async def run(self) -> solved.Solved:
        """All of it; errors of rattler become ours."""
        from rattler.exceptions import FetchRepoDataError, GatewayError, IoError, SolverError

        try:
            kept = solved.Kept(self.request.kept, self.way, await self._records_of(self.request.kept))
            try:
                records = await self._solved(kept.records)
            except SolverError as error:
                raise await explaining.unsolved(self, str(error)) from error
            return await solved.packages(self, records, kept)
        except (GatewayError, FetchRepoDataError, IoError, OSError) as error:
            raise await explaining.unreachable(self, str(error)) from error

    async def query(
        self, specs: Sequence[Any], *, sources: Sequence[Any] | None = None, subdirs: Sequence[Any] | None = None
    ) -> list[RepoDataRecord]:
        """The records that match, without what they need."""
        found = await self.gateway.query(
            self.tiers if sources is None else sources,
            subdirs or self.subdirs,
            specs,
            recursive=False,
            channel_relations="disabled",
        )
        return [record for records in found for record in records]

    async def solve_by_constraints(self, kept: Sequence[RepoDataRecord] = ()) -> list[RepoDataRecord]:
        """Solves with every record of the names that are asked for in sight, and what is asked of them beside it."""
        from rattler import MatchSpec

        apart = [one for one in self.asked if not one.is_bare and one.match.channel is None]
        specs = [one.match for one in self.asked if one not in apart]
        specs += [MatchSpec(name) for name in dict.fromkeys(one.name for one in apart)]
        return await self._rattler(specs, [one.match for one in apart], kept)

    async def _solved(self, kept: Sequence[RepoDataRecord]) -> list[RepoDataRecord]:
        records = await self._rattler([one.match for one in self.asked], [], kept)
        self.hidden = self.request.settings.priority == "strict" and await self._ignores_priority(records)
        return await self.solve_by_constraints(kept) if self.hidden else records

    async def _ignores_priority(self, records: Sequence[RepoDataRecord]) -> bool:
        """Whether a channel that comes first has a name that was taken from a later one."""
        asked = {one.name for one in self.asked if not one.is_bare and one.match.channel is None}
        passed: dict[int, list[str]] = {}
        for record in records:
            name = record.name.normalized
            if name in asked:
                for tier in range(self._tier(record)):
                    passed.setdefault(tier, []).append(name)
        for tier, names in passed.items():
            if await self.query(names, sources=[self.tiers[tier]]):
                return True
        return False

    def _tier(self, record: RepoDataRecord) -> int:
        for number, tier in enumerate(self.tiers):
            sources = [tier] if isinstance(tier, str) else tier.sources
            if any(rest(record.url, str(source)) for source in sources):
                return number
        return 0

    async def _rattler(
        self, specs: Sequence[MatchSpec], constraints: Sequence[MatchSpec], kept: Sequence[RepoDataRecord]
    ) -> list[RepoDataRecord]:
        from rattler import ChannelPriority, solve

        priorities = {
            "strict": ChannelPriority.Strict,
            "flexible": ChannelPriority.Flexible,
            "disabled": ChannelPriority.Disabled,
        }
        return await solve(
            self.tiers,
            specs,
            gateway=self.gateway,
            platforms=self.subdirs,
            locked_packages=kept,
            virtual_packages=for_rattler(self.request.virtual),
            channel_priority=priorities[self.request.settings.priority],
            exclude_newer=self._as_of,
            strategy=self.request.resolution,
            constraints=constraints,
            channel_relations="disabled",
            timestamp_policy="require-timestamp",
        )

    async def _records_of(self, packages: Sequence[LockedPackage]) -> list[RepoDataRecord]:
        from rattler import MatchSpec

        ours = [one for one in packages if any(rest(one.url, each.canonical) for each in self.request.channels)]
        return await self.query([MatchSpec(solved.exactly(one)) for one in ours]) if ours else []


def _with_line(error: explaining.NoChannelError, request: SolveRequest, work: Work | None) -> LockError:
    """Where the intent files name the channel: what was read of them keeps no lines of channels."""
    for file in dict.fromkeys(line.file for line in request.specs if line.file) if work is not None else ():
        text = work.project.text(file) or "" if work is not None else ""
        for number, line in enumerate(text.splitlines(), 1):
            plain = line.partition(" #")[0]
            is_list = "channels" in plain or plain.lstrip().startswith("-")
            if is_list and error.channel in re.split(r"[\s,'\"\[\]]+", plain):
                error.file, error.line = file, number
                return error
    return error


def _is_for(line: MatchLine, platform: str) -> bool:
    return not line.platforms or platform in line.platforms


def _match(line: MatchLine, request: SolveRequest) -> tuple[Asked, tuple[ChannelAddress, ...]]:
    """The spec with the channel that it names, as rattler knows that; conda takes such a channel in as the last one."""
    from rattler import MatchSpec
    from rattler.exceptions import InvalidMatchSpecError

    try:
        before, mark, after = line.text.partition("::")
        text = f"{expanded(before, request.settings.environ)[0]}::{after}" if mark else line.text
        match = MatchSpec(text)
    except InvalidMatchSpecError as error:
        message = f"{hidden(line.text)!r} is no match spec: {hidden(explaining.first_line(str(error)))}"
        raise LockError(message, file=line.file, line=line.line) from error
    except UsageError as error:
        raise UsageError(error.message, hint=error.hint, file=line.file, line=line.line) from error
    if match.channel is None:
        return Asked(line, match), ()
    word = _word(match.channel)
    canonical = match.to_canonical_string()
    if word == "*":
        return Asked(line, MatchSpec(_CHANNEL.sub("", canonical).replace(",]", "]").replace("[]", ""))), ()
    found = resolve([word], request.settings, platform=request.platform)
    known = {channel.canonical: channel for channel in request.channels}
    found = tuple(known.get(channel.canonical, channel) for channel in found)
    named = found[0].group or found[0].source
    return Asked(line, MatchSpec(_CHANNEL.sub(f'channel="{named}",', canonical).replace(",]", "]"))), found


def _word(channel: Any) -> str:
    """A spec's channel as it was written: a name, which rattler has put below its own alias, or an address."""
    address = str(channel.base_url).rstrip("/")
    if channel.name and (address == f"{DEFAULT_ALIAS}/{channel.name}" or channel.name.startswith(".")):
        return str(channel.name)
    return address


def _tiers(channels: Sequence[ChannelAddress]) -> list[Any]:
    """Channels in their order; those of one multichannel are one tier."""
    from rattler.repo_data.multi_source import MultiSource

    groups: dict[str, list[str]] = {}
    for channel in channels:
        groups.setdefault(channel.group or channel.source, []).append(channel.source)
    by_group = {channel.group for channel in channels if channel.group}
    return [MultiSource(name, sources) if name in by_group else sources[0] for name, sources in groups.items()]


def _instant(text: str) -> datetime | None:
    """rattler drops the zone of a time, so it is given none but UTC."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no date", hint="write it like 2026-05-01 or 2026-05-01T12:00:00Z") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
