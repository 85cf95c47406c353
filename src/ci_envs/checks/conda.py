"""What can be wrong with conda packages, and with conda's and Python's installers in one environment."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from ci_envs.model.record import Finding
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rattler import PackageRecord

    from ci_envs.checks import Check, Context
    from ci_envs.model.inventory import Distribution, Inventory
    from ci_envs.model.record import Severity

__all__ = [
    "ActivationIsWhole",
    "ChannelsAreNotMixed",
    "CondaDependenciesAreMet",
    "ManagersDoNotOverlap",
    "PipHasWhatCondaHas",
]

#: How many packages a message names.
_NAMED = 5

#: The address of Anaconda's own channels, which `defaults` stands for, and how conda-forge's end everywhere.
_DEFAULTS = "://repo.anaconda.com/pkgs/"
_CONDA_FORGE = "/conda-forge"


class ActivationIsWhole:
    """The variables and scripts that the environment's packages want to be activated with."""

    code = "ENV133"
    title = "activation is not whole"
    advice = "the check's log has what the scripts said"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV133 (a warning) for each script that failed and for variables that cannot be read."""
        for note in context.environment.notes(context.log):
            yield _finding(self, "warning", note)


class CondaDependenciesAreMet:
    """Every dependency of every conda package is met by another one inside, as its record has it."""

    code = "ENV210"
    title = "conda dependencies not met"
    advice = "renew the lock: `{lock} --upgrade`"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV210. Virtual packages (``__glibc``) are the machine's, and were looked at when it was built."""
        from ci_envs.conda.engine import has_rattler

        installed = _conda(context.inventory)
        if installed and not has_rattler():
            context.left_out.append("dependencies of conda packages: py-rattler is not installed")
            return
        records = {each.name: _record(each) for each in installed}
        for each in installed:
            for spec in each.requires:
                problem = _unmet(spec, records)
                if problem:
                    yield _finding(self, "error", f"{each.name} {each.version} {each.build} requires {problem}")


def _record(each: Distribution) -> PackageRecord | None:
    """What a match spec is held against; nothing where the version is none."""
    from rattler import BuildString, PackageRecord
    from rattler.exceptions import InvalidPackageNameError, InvalidVersionError

    build = BuildString.new_unchecked(each.build)
    try:
        return PackageRecord(name=each.name, version=each.version, build=build, build_number=0, subdir="noarch")
    except (InvalidPackageNameError, InvalidVersionError, ValueError):
        return None


def _unmet(spec: str, records: dict[str, PackageRecord | None]) -> str:
    """What is wrong with a dependency, to be put behind "requires"; empty where it is met."""
    from rattler import MatchSpec
    from rattler.exceptions import InvalidMatchSpecError

    try:
        wanted = MatchSpec(spec)
    except (InvalidMatchSpecError, ValueError) as error:
        return f"{one_line(spec, 80)!r}, which is no match spec: {one_line(str(error), 120)}"
    name = wanted.name.normalized
    if not name or name.startswith("__"):
        return ""
    found = records.get(name)
    if name not in records:
        return f"{one_line(spec, 80)}, which is not installed"
    if found is None or wanted.matches(found):
        return ""
    return f"{one_line(spec, 80)}; {found.version} {found.build} is installed"


class ManagersDoNotOverlap:
    """No installer of Python's has written over what a conda package brought."""

    code = "ENV211"
    title = "installed by both managers"
    advice = "name the package once: among the conda packages, or below `pip:`"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV211 (a warning) with both versions."""
        conda = {name: each for each in _conda(context.inventory) for name in each.brings}
        for each in _pips(context.inventory):
            package = conda.get(each.name)
            if package is not None:
                by = each.installer or "another installer"
                first = f"conda has installed {package.version} {package.build}"
                yield _finding(self, "warning", f"{each.name}: {first}, and {by} {each.version} over it")


class ChannelsAreNotMixed:
    """Packages of conda-forge and of Anaconda's own channels are built against different libraries."""

    code = "ENV212"
    title = "channels are mixed"
    advice = "keep to one of them: `channels: [conda-forge, nodefaults]`"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV212 (a warning). https://conda-forge.org/docs/user/transitioning_from_defaults/ says why."""
        names: dict[str, list[str]] = defaultdict(list)
        for each in _conda(context.inventory):
            names[_family(each.channel)].append(each.name)
        if names["defaults"] and names["conda-forge"]:
            few, many = sorted(("defaults", "conda-forge"), key=lambda family: len(names[family]))
            message = f"{_listed(names[few])} of {few}, and {len(names[many])} packages of {many}"
            yield _finding(self, "warning", message)


def _family(channel: str) -> str:
    if _DEFAULTS in f"{channel}/":
        return "defaults"
    return "conda-forge" if channel.endswith(_CONDA_FORGE) else ""


class PipHasWhatCondaHas:
    """What stands below ``pip:`` and the channels have, too."""

    code = "ENV213"
    title = "pip has what conda has"
    advice = "name it among the conda packages: then one solver knows all of it"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV213 (for information), where the names of the channels' packages are known."""
        known = [each.name for each in _pips(context.inventory) if each.name in context.conda_names - context.own]
        if known:
            yield _finding(self, "info", f"{_listed(sorted(known))}: installed by pip, and the channels have it, too")


def _conda(inventory: Inventory) -> list[Distribution]:
    return sorted(each for each in inventory.distributions if each.manager == "conda")


def _pips(inventory: Inventory) -> list[Distribution]:
    """Python distributions that no conda package brought."""
    return sorted(each for each in inventory.distributions if each.manager == "python" and not each.brought_by)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _finding(check: Check, severity: Severity, message: str) -> Finding:
    return Finding(code=check.code, severity=severity, title=check.title, message=message)
