"""What a leg asks of conda: its project's intent, its Python, its channels, the machine that the lock is made for."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from ci_envs.conda import intent as intents
from ci_envs.conda.channels import channel_settings, resolve, to_canonical
from ci_envs.conda.pip_part import is_the_project
from ci_envs.conda.targets import platform_of, python_spec
from ci_envs.conda.virtual import virtual_packages
from ci_envs.errors import UsageError
from ci_envs.intents import own_name
from ci_envs.model.conda import CondaIntent, MatchLine, PipLine
from ci_envs.model.detect import Evidence
from ci_envs.model.lock import Requirement
from ci_envs.nearest import nearest
from ci_envs.requirement_files import parse_requirement, read_requirements
from ci_envs.selection import PROD, Selection

if TYPE_CHECKING:
    from ci_envs.conda.channels import ChannelAddress, ChannelSettings
    from ci_envs.conda.virtual import VirtualPackage
    from ci_envs.model.config import Config
    from ci_envs.model.leg import Leg
    from ci_envs.project import Project
    from ci_envs.work import Work

__all__ = ["MAIN", "Asked", "project_intent", "read_asked", "select_conda"]

#: conda-lock's name of what is always installed.
MAIN = "main"

Line = TypeVar("Line", MatchLine, PipLine)


@dataclass(frozen=True)
class Asked:
    """The intent of one leg, for any platform that its lock is made for."""

    work: Work
    intent: CondaIntent
    #: What the leg installs: ``main`` and its groups.
    categories: tuple[str, ...]
    python: MatchLine
    settings: ChannelSettings
    channels: tuple[ChannelAddress, ...]
    #: Whether the intent itself says which Python, so that the project has one lock.
    pins_python: bool
    #: What the intent shows -> what is written, where a secret was left out: for whoever asks a server.
    written: dict[str, str] = field(repr=False)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """As a lock writes them: a variable that brings a credential stands in its place, as ``$NAME``."""
        return tuple(channel.template for channel in self.channels)

    def specs(self, platform: str) -> tuple[MatchLine, ...]:
        """The match specs of all categories for a platform, the leg's Python first."""
        return (self.python, *intents.specs_for(self.intent, platform, intents.categories_of(self.intent)))

    def pip(self, platform: str) -> tuple[PipLine, ...]:
        """The lines below ``pip:`` of all categories for a platform."""
        return intents.pip_for(self.intent, platform, intents.categories_of(self.intent))

    def unmasked(self, line: Line) -> Line:
        """A line with its credentials."""
        return msgspec.structs.replace(line, text=self.written.get(line.text, line.text))

    def virtual_list(self, platform: str) -> tuple[VirtualPackage, ...]:
        """The virtual packages that a lock for a platform is made for."""
        return virtual_packages(
            platform,
            self.work.leg.accelerator,
            environ=self.work.environ,
            config=self.work.config.conda,
            project=self.work.project,
        )

    def virtual(self, platform: str) -> dict[str, str]:
        """The same, name -> version."""
        return {each.name: each.version for each in self.virtual_list(platform)}

    def canonical(self, address: str) -> str:
        """An address as the channel itself calls it."""
        return to_canonical(address, self.settings)

    def content_hash(self, platform: str) -> str:
        """conda-lock's hash of what was asked for."""
        from ci_envs.conda.content_hash import content_hash

        names = self.intent.channels
        return content_hash(self.specs(platform), names, platform, self.virtual(platform), self.pip(platform))


def read_asked(leg: Leg, work: Work) -> Asked:
    """What the leg's project says, with the settings of the person who runs it."""
    intent, config = project_intent(work.project, work.config), work.config.conda
    home = work.environ.get("HOME") or work.environ.get("USERPROFILE")
    settings = channel_settings(work.environ, config, home=Path(home) if home else None, root=work.project.root)
    written = intents.with_credentials(work.project, intent.files, config.channels)
    return Asked(
        work=work,
        intent=intent,
        categories=(MAIN, *work.selection.groups),
        python=_python(leg, intent),
        settings=settings,
        channels=resolve([written.get(name, name) for name in intent.channels], settings, platform=platform_of(leg)),
        pins_python=bool(intents.python_of(intent, platform_of(leg))),
        written=written,
    )


def project_intent(project: Project, config: Config) -> CondaIntent:
    """The intent files of a project, merged; one without any (its lock is all it has) asks for nothing by name."""
    files = intents.intent_files(project, config.conda.files)
    return intents.read_intent(project, files, channels=config.conda.channels) if files else CondaIntent(files=())


def select_conda(leg: Leg, project: Project, config: Config) -> Selection:
    """The leg's intent in the words that every pattern shares: what is asked for by name, by categories."""
    intent = project_intent(project, config)
    groups = _groups(leg, config, intent)
    kept = (MAIN, *groups)
    platform = platform_of(leg)
    specs = intents.specs_for(intent, platform, kept)
    lines = intents.pip_for(intent, platform, kept)
    direct = [
        Requirement(
            text=spec.text, name=spec.name, file=spec.file, line=spec.line, group=spec.category, dialect="conda"
        )
        for spec in specs
        if spec.name != "python"
    ]
    direct += [one for line in lines for one in _pip_requirements(project, line)]
    return Selection(
        groups=groups,
        files=intent.files,
        read=intent.files,
        direct=tuple(dict.fromkeys(direct)),
        evidence=tuple(Evidence(file=name) for name in intent.files),
        project=own_name(project),
        variables=dict(intent.variables),
    )


def _groups(leg: Leg, config: Config, intent: CondaIntent) -> tuple[str, ...]:
    """The categories beside ``main``: those that are asked for, else the one that brings a test runner."""
    there = sorted(intents.categories_of(intent))
    named = leg.groups or config.test.groups
    if named is None:
        runners = [spec.category for spec in intent.specs if spec.name == "pytest"]
        runners += [line.category for line in intent.pip if re.match(r"pytest\b(?!-)", line.text.strip())]
        return () if MAIN in runners else tuple(dict.fromkeys(runners))[:1]
    for name in named:
        if intent.files and name not in (*there, PROD):  # a lock alone is asked for its own, when it is read
            raise UsageError(
                f"the project has no category {name!r}{nearest(name, there)}",
                hint=f"it has {', '.join(there) or 'main alone'}; a file's `category:` names that of all its lines",
            )
    return tuple(name for name in named if name not in (PROD, MAIN))


def _pip_requirements(project: Project, line: PipLine) -> tuple[Requirement, ...]:
    """What a line asks for by name; nothing for the project itself and for options."""
    text = line.text.strip()
    included = re.fullmatch(r"(?:-r|--requirement)[\s=]*(\S+)", text)
    if included:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(line.file), included[1]))
        return tuple(read_requirements(project, path).requirements)
    if text.startswith("-") or is_the_project(line):
        return ()
    return (parse_requirement(project, text, file=line.file, line=line.line, group=line.category),)


def _python(leg: Leg, intent: CondaIntent) -> MatchLine:
    """The leg's Python as a spec; :class:`UsageError` where the intent names another series."""
    series = intents.python_of(intent, platform_of(leg))
    if series and series != leg.python.removesuffix("t"):
        spec = next((spec for spec in intent.specs if "py" in spec.name and series in spec.text), None)
        raise UsageError(
            f"asks for Python {series}, and this leg has Python {leg.python}",
            file=spec.file if spec else intent.files[0],
            line=spec.line if spec else 0,
            hint="exclude the leg from the matrix, with a reason, or say `python` without a version",
        )
    return MatchLine(text=python_spec(leg.python), name="python", file="", line=0)
