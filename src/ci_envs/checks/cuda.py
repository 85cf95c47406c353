"""CUDA's packages agree with each other and with the leg, and the driver of this machine is new enough for them."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from ci_envs.checks.accelerator import asks_for_device, wanted_cuda
from ci_envs.cuda import cuda_facts, cuda_of, fits, release_of_part, wheel_of_cuda
from ci_envs.errors import ToolMissing
from ci_envs.model.record import Finding
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.requirements import Requirement

    from ci_envs.checks import Context
    from ci_envs.model.inventory import Distribution, Inventory
    from ci_envs.model.record import Severity

__all__ = ["CudaPartsAgree", "DriverIsNewEnough"]

#: How many packages a message names.
_NAMED = 3

_QUERY_SECONDS = 60.0
_DRIVER = re.compile(r"[0-9]+(?:\.[0-9]+)+")

#: NVIDIA's own list of which versions of which wheels are one release of the toolkit; each is an extra of it.
_META_PACKAGE = "cuda-toolkit"
_ALL = "all"

_ERROR: Severity = "error"
_WARNING: Severity = "warning"


class CudaPartsAgree:
    """NVIDIA's wheels are for one CUDA, the one asked for, and of one release of the toolkit."""

    code = "ENV503"
    title = "CUDA's packages do not agree"
    advice = "renew the lock: `{lock} --upgrade`, or name packages for one CUDA"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV503: an error for two CUDAs or another than the leg's, a warning for two releases of one CUDA.

        What the packages are for goes into the record, with the driver that it needs.
        """
        wanted = wanted_cuda(context)
        if wanted is None:
            return
        images = context.lock.of("image")
        if facts := cuda_of([*context.inventory.distributions, *images]):
            context.facts["cuda"] = cuda_facts(facts, context.leg.os)
        groups = _by_cuda(context.inventory)
        if len(groups) > 1:
            shown = "; ".join(f"{_listed(group)} for CUDA {major}" for major, group in groups.items())
            yield self._finding("error", f"NVIDIA's wheels are for more than one CUDA: {shown}")
        yield from self._others_than(wanted, [*groups.values(), _of_conda(context.inventory)])
        yield from self._releases(groups)
        yield from self._unlike_toolkit(context.inventory)

    def _others_than(self, wanted: str, groups: Iterable[list[Distribution]]) -> Iterator[Finding]:
        from packaging.specifiers import InvalidSpecifier

        for group in groups:
            facts = cuda_of(group)
            try:
                is_well = facts is None or fits(facts.version, wanted)
            except InvalidSpecifier:  # ENV502 tells of it
                return
            if facts is not None and not is_well:
                asked = f"CUDA {wanted}".strip()
                yield self._finding("error", f"{facts.how} is for CUDA {facts.version}; {asked} was asked for")

    def _releases(self, groups: dict[str, list[Distribution]]) -> Iterator[Finding]:
        for group in groups.values():
            releases: dict[str, list[Distribution]] = defaultdict(list)
            for each in group:
                if release := release_of_part(each):
                    releases[release].append(each)
            if len(releases) > 1:
                shown = "; ".join(f"{_listed(releases[release])} of CUDA {release}" for release in sorted(releases))
                yield self._finding("warning", f"parts of one toolkit are of several releases: {shown}")

    def _unlike_toolkit(self, inventory: Inventory) -> Iterator[Finding]:
        """Against the meta-package, where it is there: ``pip check`` passes over the extras of what is required."""
        toolkit = inventory.find(_META_PACKAGE)
        if toolkit is None:
            return
        lines = sorted(filter(None, map(_requirement, set(toolkit.requires))), key=str)
        judged: set[str] = set()
        for extras, severity in ((_extras_asked(inventory), _ERROR), ({_ALL}, _WARNING)):
            for requirement in lines:
                if requirement.name in judged or not _applies(requirement, extras, inventory):
                    continue
                judged.add(requirement.name)
                if problem := _unlike(requirement, inventory, is_asked=severity == _ERROR):
                    part = f"{requirement.name}{requirement.specifier}"
                    yield self._finding(severity, f"{_META_PACKAGE} {toolkit.version} is {part}; {problem}")

    def _finding(self, severity: Severity, message: str) -> Finding:
        return Finding(code=self.code, severity=severity, title=self.title, message=message)


class DriverIsNewEnough:
    """The driver of this machine, where it has one, runs the CUDA of the environment."""

    code = "ENV505"
    title = "driver too old"
    advice = "install a newer driver on the machine, or lock packages for an older CUDA"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV505; a warning where a package of CUDA's is there that makes up for an old driver on some GPUs."""
        cuda = context.facts.get("cuda", {})
        lowest = cuda.get("lowest-driver", "")
        if (
            not lowest
            or context.inventory.interpreter.os != "linux"
            or not asks_for_device(context.leg, context.config)
        ):
            return
        driver = _driver(context)
        if not driver or _numbers(driver) >= _numbers(lowest):
            return
        # https://docs.nvidia.com/deploy/cuda-compatibility/forward-compatibility.html
        compat = next((d for d in context.inventory.distributions if d.name.startswith("cuda-compat")), None)
        more = f"; {compat.name} {compat.version} may make up for it" if compat else ""
        yield Finding(
            code=self.code,
            severity="warning" if compat else "error",
            title=self.title,
            message=f"driver {driver} is on this machine; {cuda['why']}{more}",
        )


def _driver(context: Context) -> str:
    """The version of the driver; empty where there is none, or it does not say."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        outcome = context.environment.run(query, timeout=_QUERY_SECONDS, log=context.log)
    except ToolMissing:
        return ""
    said = one_line((outcome.stdout.strip().splitlines() or [""])[0], 100)
    return said if outcome and _DRIVER.fullmatch(said) else ""


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _by_cuda(inventory: Inventory) -> dict[str, list[Distribution]]:
    """NVIDIA's wheels by the major version of CUDA that they are for."""
    found: dict[str, list[Distribution]] = defaultdict(list)
    for each in sorted(inventory.distributions):
        if major := wheel_of_cuda(each):
            found[major].append(each)
    return dict(sorted(found.items()))


def _of_conda(inventory: Inventory) -> list[Distribution]:
    return [each for each in inventory.distributions if each.manager == "conda" and each.name == "cuda-version"]


def _listed(distributions: list[Distribution]) -> str:
    more = f" and {len(distributions) - _NAMED} more" if len(distributions) > _NAMED else ""
    return ", ".join(f"{each.name} {each.version}" for each in distributions[:_NAMED]) + more


def _extras_asked(inventory: Inventory) -> set[str]:
    """The extras of the meta-package that some distribution requires."""
    from packaging.utils import canonicalize_name

    found: set[str] = set()
    for each in inventory.distributions:
        for line in each.requires if each.manager == "python" and each.name != _META_PACKAGE else ():
            requirement = _requirement(line) if _META_PACKAGE in line.lower().replace("_", "-") else None
            if (
                requirement is not None
                and canonicalize_name(requirement.name) == _META_PACKAGE
                and _applies(requirement, {""}, inventory)
            ):
                found |= requirement.extras
    return found


def _unlike(requirement: Requirement, inventory: Inventory, *, is_asked: bool) -> str:
    """What is wrong with a part of the toolkit; empty where nothing is."""
    found = inventory.find(requirement.name)
    if found is None:
        return "it is not installed" if is_asked else ""
    is_well = requirement.specifier.contains(found.version, prereleases=True)
    return "" if is_well else f"{found.version} is installed"


def _requirement(line: str) -> Requirement | None:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(line)
    except InvalidRequirement:  # ENV201 tells of it
        return None


def _applies(requirement: Requirement, extras: set[str], inventory: Inventory) -> bool:
    """Whether a requirement is one of these extras', on this platform."""
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName

    if requirement.marker is None:
        return True
    markers = inventory.interpreter.markers
    try:
        return any(requirement.marker.evaluate({**markers, "extra": extra}) for extra in extras)
    except (UndefinedComparison, UndefinedEnvironmentName):
        return False
