"""A built conda leg in the formats that conda's own commands read: what ``conda env export`` and ``conda list`` print.

What is exported is what is installed, by the leg's record; addresses come from the lock that it was built from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ci_envs.conda import intent as intents
from ci_envs.conda.asked import project_intent
from ci_envs.conda.explicit import write_explicit
from ci_envs.conda.lock_reading import read_lock
from ci_envs.conda.lock_rules import channel_of
from ci_envs.conda.spec_matching import is_channel
from ci_envs.conda.targets import platform_of
from ci_envs.errors import BuildError, UsageError

if TYPE_CHECKING:
    from ci_envs.model.conda import CondaLock
    from ci_envs.model.config import Config
    from ci_envs.model.inventory import Distribution
    from ci_envs.model.lock import Pin
    from ci_envs.model.record import RunRecord
    from ci_envs.project import Project

__all__ = ["Form", "export"]

Form = Literal["full", "no-builds", "from-history", "explicit"]

_FAMILY = frozenset(("conda", "mamba", "micromamba"))


def export(record: RunRecord, project: Project, config: Config, form: Form) -> str:
    """The text of an ``environment.yml``, or of an ``@EXPLICIT`` file.

    ``full`` has names, versions and builds, ``no-builds`` leaves the builds out and so is good for other platforms,
    ``from-history`` has what was asked for and nothing that only depends on it. Raises :class:`UsageError` for another
    pattern's leg, :class:`BuildError` where the leg was not built, or its lock is another one by now.
    """
    if record.leg.pattern not in _FAMILY:
        raise UsageError(
            f"{record.leg.id} is made by {record.leg.pattern}, and this exports conda environments",
            hint="its lock file is what other tools of that pattern read",
        )
    if not record.inventory or record.lock is None:
        raise BuildError(f"{record.leg.id} was not built", hint=f"build it with: {record.reproduce}")
    if form == "from-history":
        return _written(_asked_for(record, project, config))
    lock = _lock(record, project)
    if form == "explicit":
        categories = ("main", *(record.selection.groups if record.selection else ()))
        return write_explicit(lock, platform_of(record.leg), categories)
    return _written(_installed(record, project, config, lock, builds=form == "full"))


def _lock(record: RunRecord, project: Project) -> CondaLock:
    from hashlib import sha256

    assert record.lock is not None  # noqa: S101 - export() has looked
    text = project.text(record.lock.path)
    if text is None or sha256(project.path(record.lock.path).read_bytes()).hexdigest() != record.lock.sha256:
        raise BuildError(
            f"{record.lock.path} is not the lock that {record.leg.id} was built from",
            hint=f"build it again with: {record.reproduce}",
        )
    return read_lock(text, path=record.lock.path)


def _installed(record: RunRecord, project: Project, config: Config, lock: CondaLock, *, builds: bool) -> dict[str, Any]:
    intent = project_intent(project, config)
    conda = sorted(each for each in record.inventory if each.manager == "conda")
    pip = sorted(each for each in record.inventory if each.manager == "python" and not each.brought_by)
    locked = {pin.name: pin for pin in record.lock.pins if pin.manager == "python"} if record.lock else {}
    strange = _from_other_channels(record, lock)
    dependencies: list[Any] = [
        f"{strange.get(each.name, '')}{each.name}={each.version}{f'={each.build}' if builds and each.build else ''}"
        for each in conda
    ]
    # What is from no index is of no version there: it is said by its address.
    named = [_pip_line(each, locked[each.name]) for each in pip if each.name in locked]
    if named:
        dependencies.append({"pip": named})
    return _document(record, intent.name, lock.channels, dependencies, intent.variables)


def _from_other_channels(record: RunRecord, lock: CondaLock) -> dict[str, str]:
    """Name -> ``channel::``, for what comes from none of the lock's channels: a spec has named its channel."""
    found = {}
    for package in lock.of(platform_of(record.leg)):
        channel = channel_of(package) if package.manager == "conda" else ""
        if channel and not any(is_channel(name, channel) for name in lock.channels):
            found[package.name] = f"{channel}::"
    return found


def _pip_line(installed: Distribution, pin: Pin) -> str:
    return f"{pin.name} @ {pin.location}" if pin.location else f"{installed.name}=={installed.version}"


def _asked_for(record: RunRecord, project: Project, config: Config) -> dict[str, Any]:
    """What a person wrote, narrowed to this leg: its platform, its groups, its Python."""
    intent = project_intent(project, config)
    if not intent.files:
        raise BuildError(f"{record.leg.id} has no intent file: its lock is all that it was made from")
    platform = platform_of(record.leg)
    categories = ("main", *(record.selection.groups if record.selection else ()))
    dependencies: list[Any] = [f"python={record.leg.python.removesuffix('t')}"]
    specs = intents.specs_for(intent, platform, categories)
    dependencies += [spec.text for spec in specs if spec.name != "python"]
    pip = [line.text for line in intents.pip_for(intent, platform, categories)]
    if pip:
        dependencies.append({"pip": pip})
    return _document(record, intent.name, intent.channels, dependencies, intent.variables)


def _document(
    record: RunRecord, name: str, channels: tuple[str, ...], dependencies: list[Any], variables: dict[str, str]
) -> dict[str, Any]:
    """In conda's order. No ``prefix``: it is a path of one machine."""
    document: dict[str, Any] = {"name": name or record.leg.id}
    document["channels"] = [*channels, "nodefaults"]
    document["dependencies"] = dependencies
    if variables:
        document["variables"] = dict(variables)
    return document


def _written(document: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)
