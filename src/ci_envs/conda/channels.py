"""Channels as other modules know them: settings, what a word means, where files are, and who fetches them."""

from __future__ import annotations

from ci_envs.conda.channel_names import ChannelAddress, channel_findings, resolve
from ci_envs.conda.channel_settings import ChannelSettings, channel_settings
from ci_envs.conda.reaching import make_client
from ci_envs.conda.routes import Routes, routes, to_canonical, to_fetch

__all__ = [
    "ChannelAddress",
    "ChannelSettings",
    "Routes",
    "channel_findings",
    "channel_settings",
    "make_client",
    "resolve",
    "routes",
    "to_canonical",
    "to_fetch",
]
