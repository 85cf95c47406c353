"""Solves over small channels on loopback: a folder of channels, a server over it, and requests in few words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec
from tests.support.channel import Channel, make_channel

from ci_envs.conda.channels import channel_settings, resolve
from ci_envs.conda.solving import SolveRequest, solve
from ci_envs.conda.virtual import VirtualPackage
from ci_envs.model.conda import MatchLine
from ci_envs.model.config import CondaConfig
from ci_envs.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.support.channel_archive import Package

    from ci_envs.conda.channels import ChannelSettings
    from ci_envs.model.conda import LockedPackage

__all__ = ["LINUX", "Findings", "Solves", "dev", "lines", "versions"]

#: The machine of these locks.
LINUX = (VirtualPackage("__unix", "0"), VirtualPackage("__linux", "5.10"), VirtualPackage("__glibc", "2.28"))


class Findings:
    """What a solve has to say beside its packages, and the project: stands for a leg's work."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.findings: list[Any] = []

    @property
    def codes(self) -> list[str]:
        """The codes, in order."""
        return [finding.code for finding in self.findings]


@dataclass
class Solves:
    """A person with a home of their own, and channels in a folder."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    #: The configuration's table.
    config: CondaConfig = field(default_factory=CondaConfig)
    #: Fewer and shorter than a person would want them.
    retries: int = 0
    answer_seconds: int = 5
    said: Findings = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "project").mkdir(exist_ok=True)
        self.said = Findings(Project(self.folder / "project"))

    @property
    def home(self) -> Path:
        """Where settings are read from."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return home

    def condarc(self, text: str) -> Path:
        """Writes the user's settings."""
        path = self.home / ".condarc"
        path.write_text(text)
        return path

    def intent(self, text: str) -> None:
        """Writes ``environment.yml``."""
        (self.folder / "project" / "environment.yml").write_text(text)
        self.said = Findings(Project(self.folder / "project"))

    def channel(self, name: str, *packages: Package, sharded: bool = False) -> Channel:
        """A channel of these packages."""
        return make_channel(self.folder / "channels" / name, packages, sharded=sharded)

    def settings(self, **more: Any) -> ChannelSettings:
        """What the user has set, with these on top."""
        environ = {"HOME": str(self.home), "CI_ENVS_CACHE_DIR": str(self.folder / "cache"), **self.variables}
        found = channel_settings(environ, self.config, home=self.home, root=self.folder / "project")
        return replace(found, **{"retries": self.retries, "answer_seconds": self.answer_seconds, **more})

    def request(self, specs: Iterable[str | MatchLine], *channels: str, **more: Any) -> SolveRequest:
        """Specs stand in ``environment.yml``, the first one in line 3."""
        settings = more.pop("settings", None) or self.settings()
        platform = more.pop("platform", "linux-64")
        return SolveRequest(
            platform=platform,
            specs=lines(specs),
            channels=resolve(channels, settings, platform=platform),
            settings=settings,
            **{"virtual": LINUX, **more},
        )

    def solve(self, specs: Iterable[str | MatchLine], *channels: str, **more: Any) -> tuple[LockedPackage, ...]:
        """The packages; findings are in :attr:`said`."""
        self.said = Findings(self.said.project)
        return solve(self.request(specs, *channels, **more), self.said)  # type: ignore[arg-type]  # all that it uses


def lines(specs: Iterable[str | MatchLine]) -> tuple[MatchLine, ...]:
    """Match lines as an intent has them."""
    return tuple(
        spec if isinstance(spec, MatchLine) else MatchLine(text=spec, name=spec, file="environment.yml", line=number)
        for number, spec in enumerate(specs, 3)
    )


def versions(packages: Iterable[LockedPackage]) -> dict[str, str]:
    """Name -> version."""
    return {package.name: package.version for package in packages}


def dev(text: str) -> MatchLine:
    """A spec of the category ``dev``."""
    return msgspec.structs.replace(lines([text])[0], category="dev")
