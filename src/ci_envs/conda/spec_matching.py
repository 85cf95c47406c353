"""Match specs against locked packages, by rattler; what it leaves out is added: channel, subdir, address.

``MatchSpec.matches`` looks at name, version, build, build number and hashes, and at nothing else. Of a locked package
no more than that is known: a spec that asks for a license or a feature is judged by the rest of it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from ci_envs.conda.lock_rules import channel_of, plain_address

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci_envs.model.conda import LockedPackage

__all__ = ["Matcher", "is_channel", "same_channels"]

_NUMBER = re.compile(r"(?:^|_)(\d+)(?=_|$)")
_UNKNOWN = re.compile(r"[\[, ](?:license|license_family|track_features|features|flags|extras)=")
_ADDRESS = re.compile(r"[\[, ]url=\"([^\"]*)\"")

# What conda means by "defaults" (https://docs.conda.io/projects/conda/en/stable/user-guide/configuration/settings.html);
# the third of them is for Windows only, and newer conda leaves it out there too.
_DEFAULTS = ("pkgs/main", "pkgs/r")
_OLD_DEFAULT = "pkgs/msys2"


class Matcher:
    """Judges the packages of one platform; each spec is read once, and each package made a record once."""

    def __init__(self) -> None:
        self._specs: dict[str, Any] = {}
        self._records: dict[str, Any] = {}

    def spec(self, text: str) -> Any:
        """rattler's ``MatchSpec``; ``None`` for what it does not take for one."""
        if text not in self._specs:
            from rattler import MatchSpec
            from rattler.exceptions import InvalidMatchSpecError

            try:
                self._specs[text] = MatchSpec(text)
            except InvalidMatchSpecError:
                self._specs[text] = None
        return self._specs[text]

    def meets(self, text: str, package: LockedPackage) -> bool:
        """Whether a package is what another one needs. What cannot be read is met: nobody could have locked it else."""
        spec = self.spec(text)
        return spec is None or bool(spec.matches(self._record(package)))

    def why_not(self, text: str, package: LockedPackage) -> str | None:
        """``None`` where a package is what a person asks for, else what is wrong beside its version and build."""
        spec = self.spec(text)
        if spec is None:
            return None
        shown = str(spec)
        if address := _ADDRESS.search(shown):
            return None if plain_address(address[1])[0] == package.url else f", which is {package.url}"
        if _UNKNOWN.search(shown) or (spec.build_number and not _NUMBER.search(package.build)):
            spec = self.spec(f"{package.name} {spec.version or '*'} {spec.build or ''}".strip())
        if not spec.matches(self._record(package)):
            return ""
        if (channel := self.channel(text)) and not is_channel(channel, channel_of(package)):
            return f", which comes from {channel_of(package)}"
        if spec.subdir is not None and str(spec.subdir) != package.subdir:
            return f", which is for {package.subdir}"
        return None

    def channel(self, text: str) -> str:
        """The channel that a spec itself asks for, by its name or its address; empty for none."""
        spec = self.spec(text)
        return _named(spec.channel) if spec is not None and spec.channel is not None else ""

    def virtual(self, text: str, version: str) -> bool:
        """Whether a virtual package of this version (``12.4``, ``1 x86_64``) is what is needed."""
        spec = self.spec(text)
        if spec is None:
            return True
        name = spec.name.normalized
        number, _, build = version.partition(" ")
        if not build:  # the caller knows no builds, so none is judged
            spec = self.spec(f"{name} {spec.version or '*'}")
        return bool(spec.matches(_record(name, number, build, "noarch")))

    def _record(self, package: LockedPackage) -> Any:
        if package.name not in self._records:
            md5, sha256 = (bytes.fromhex(digest) or None for digest in (package.md5, package.sha256))
            self._records[package.name] = _record(
                package.name, package.version, package.build, package.subdir, md5=md5, sha256=sha256
            )
        return self._records[package.name]


def is_channel(asked: str, address: str) -> bool:
    """Whether the channel at an address is the one that is asked for, by its name or by its own address.

    A name is whatever host the user's settings give it: only the end of the address tells.
    """
    asked = plain_address(asked)[0].rstrip("/")
    address = plain_address(address)[0].rstrip("/")
    if asked in ("*", address):
        return True
    if "://" not in asked:
        names = (*_DEFAULTS, _OLD_DEFAULT) if asked == "defaults" else (asked,)
        return any(address.endswith(f"/{name}") for name in names)
    return "://" not in address and asked.endswith(f"/{address}")


def same_channels(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether two lists mean the same channels in the same order, by names or addresses."""
    first, second = _expanded(one), _expanded(other)
    return len(first) == len(second) and all(map(is_channel, first, second))


def _expanded(channels: Iterable[str]) -> list[str]:
    named = [part for channel in channels for part in (_DEFAULTS if channel == "defaults" else (channel,))]
    return [channel for channel in named if not channel.rstrip("/").endswith(_OLD_DEFAULT)]


def _named(channel: Any) -> str:
    """A spec's channel by its name where it was asked for by that, or could have been."""
    return str(channel.name if channel.base_url.startswith(_alias()) else channel.base_url)


@cache
def _alias() -> str:
    """Where rattler takes a channel's name to be."""
    from rattler import Channel

    return str(Channel("name").base_url).removesuffix("name/")


def _record(
    name: str, version: str, build: str, subdir: str, *, md5: bytes | None = None, sha256: bytes | None = None
) -> Any:
    from rattler import PackageRecord
    from rattler.package.build_string import BuildString

    numbers = _NUMBER.findall(build)
    return PackageRecord(
        name=name,
        version=version,
        build=BuildString.new_unchecked(build),
        build_number=int(numbers[-1]) if numbers else 0,
        subdir=subdir,
        md5=md5,
        sha256=sha256,
    )
