"""Between what a lock says of a file and where the file is fetched: mirrors, folders and credentials, both ways."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ci_envs.conda.addresses import clean, hidden, inside, outside, rest, secrets
from ci_envs.conda.channel_names import mirrored, source_of
from ci_envs.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_envs.conda.channel_names import ChannelAddress
    from ci_envs.conda.channel_settings import ChannelSettings

__all__ = ["Routes", "routes", "to_canonical", "to_fetch"]


@dataclass(frozen=True)
class Routes:
    """Where channels lead: canonical address -> where its files are asked for, the longest address first."""

    settings: ChannelSettings
    #: Canonical address, what rattler is told, and the addresses with what is needed to reach them.
    ways: tuple[tuple[str, str, tuple[str, ...]], ...] = field(repr=False)

    def to_canonical(self, url: str) -> str:
        """A file's address as a lock says it, wherever it was really fetched."""
        cleaned = clean(url)
        for canonical, source, fetches in self.ways:
            for base in (source, *map(clean, fetches)):
                if (behind := rest(cleaned, base)) is not None:
                    return canonical + behind
        return inside(cleaned, self.settings.root)

    def to_fetch(self, url: str) -> str:
        """What a client is to be asked for an address in a lock: the same, or a file where a folder has the channel.

        It holds no credential: :func:`ci_envs.conda.reaching.make_client` knows those, and the mirrors of the web.
        """
        for canonical, source, _ in self.ways:
            if (behind := rest(url, canonical)) is not None:
                return source + behind
        return outside(url, self.settings.root)

    @cached_property
    def mirrors(self) -> dict[str, tuple[str, ...]]:
        """Canonical address -> the web addresses that serve it, where these are others. They may hold passwords."""
        return {canonical: fetches for canonical, source, fetches in self.ways if source == canonical != fetches[0]}

    def masked(self, text: str) -> str:
        """A tool's sentence without any credential of channels, proxies and variables."""
        urls = [*self.settings.proxies.values(), *(url for _, _, fetches in self.ways for url in fetches)]
        known = Redactor([secret for url in urls for secret in secrets(url)])
        return hidden(Redactor.from_environment(self.settings.environ)(known(text)))


def routes(settings: ChannelSettings, channels: Sequence[ChannelAddress] = ()) -> Routes:
    """For these channels, and for all that the settings name mirrors of: a lock alone names no more."""
    found = {channel.canonical: (channel.source, channel.fetches) for channel in channels}
    for canonical, fetches in mirrored(settings):
        found.setdefault(canonical, (source_of(canonical, fetches), fetches))
    ordered = sorted(found.items(), key=lambda item: -len(item[0]))
    return Routes(settings, tuple((canonical, *way) for canonical, way in ordered))


def to_canonical(url: str, settings: ChannelSettings, channels: Sequence[ChannelAddress] = ()) -> str:
    """See :meth:`Routes.to_canonical`."""
    return routes(settings, channels).to_canonical(url)


def to_fetch(url: str, settings: ChannelSettings, channels: Sequence[ChannelAddress] = ()) -> str:
    """See :meth:`Routes.to_fetch`."""
    return routes(settings, channels).to_fetch(url)
