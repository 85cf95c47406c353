"""Installed equals locked, and what is installed fits together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.requirements import Requirement

    from ci_envs.checks import Context
    from ci_envs.model.inventory import Distribution
    from ci_envs.model.lock import Pin

__all__ = ["ExpectedVersions", "InstalledEqualsLocked", "MetadataIsConsistent"]


class InstalledEqualsLocked:
    """The installed set is the locked set, name by name and version by version."""

    code = "ENV100"
    title = "installed is not locked"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV101 missing, ENV102 extra, ENV103 another version."""
        locked = {pin.name: pin for pin in context.lock.pins}
        installed = {d.name: d for d in context.inventory.distributions if d.manager == "python"}
        for name in sorted(locked.keys() - installed.keys()):
            yield self._finding("ENV101", "missing", f"{name} {locked[name].version} is locked and not installed")
        allowed = locked.keys() | context.seeds | context.own
        for name in sorted(installed.keys() - allowed):
            yield self._finding("ENV102", "extra", f"{name} {installed[name].version} is installed and not locked")
        for name in sorted(locked.keys() & installed.keys()):
            if not _same(locked[name], installed[name]):
                message = f"{name}: {locked[name].version} is locked, {installed[name].version} is installed"
                yield self._finding("ENV103", "different", message)

    @staticmethod
    def _finding(code: str, title: str, message: str) -> Finding:
        return Finding(code=code, severity="error", title=title, message=message)


def _same(pin: Pin, found: Distribution) -> bool:
    """Versions compare as PEP 440 has them (``1.0`` is ``1.0.0``); a pin of an address may carry none."""
    from packaging.version import InvalidVersion, Version

    if pin.version == found.version or (not pin.version and pin.source != "index"):
        return True
    try:
        return Version(pin.version) == Version(found.version)
    except InvalidVersion:
        return False


class ExpectedVersions:
    """``check.expect`` of the configuration: versions that the README or a paper promises."""

    code = "ENV104"
    title = "not the expected version"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV104 where a distribution is missing or outside its specifier."""
        from packaging.specifiers import InvalidSpecifier, SpecifierSet
        from packaging.utils import canonicalize_name

        for name, wanted in context.config.expect.items():
            if name == "cuda":  # the accelerator check's
                continue
            found = context.inventory.find(canonicalize_name(name))
            try:
                specifier = SpecifierSet(wanted if wanted[:1] in "<>=!~" else f"=={wanted}")
            except InvalidSpecifier:
                yield self._finding(f"check.expect says {name}: {wanted!r}, which is no version specifier")
                continue
            if found is None or not specifier.contains(found.version, prereleases=True):
                has = f"{found.version} is installed" if found else "it is not installed"
                yield self._finding(f"{name} {wanted} is expected; {has}")

    def _finding(self, message: str) -> Finding:
        return Finding(code=self.code, severity="error", title=self.title, message=message)


class MetadataIsConsistent:
    """Every installed distribution's own requirements are met inside: what ``pip check`` knows, for any installer."""

    code = "ENV201"
    title = "requirements not met"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV201 for each requirement that is missing or met by a wrong version."""
        installed = {d.name: d for d in context.inventory.distributions if d.manager == "python"}
        markers = context.inventory.interpreter.markers
        for distribution in installed.values():
            for line in distribution.requires:
                problem = _unmet(line, installed, markers)
                if problem:
                    yield Finding(
                        code=self.code,
                        severity="error",
                        title=self.title,
                        message=f"{distribution.name} {distribution.version} requires {problem}",
                    )


def _unmet(line: str, installed: dict[str, Distribution], markers: dict[str, str]) -> str:
    from packaging.utils import canonicalize_name

    requirement = _parsed(line)
    if requirement is None:
        return f"{line!r}, which is no valid requirement"
    if requirement.marker is not None and not requirement.marker.evaluate({**markers, "extra": ""}):
        return ""
    found = installed.get(canonicalize_name(requirement.name))
    if found is None:
        return f"{requirement.name}{requirement.specifier}, which is not installed"
    if not requirement.specifier.contains(found.version, prereleases=True):
        return f"{requirement.name}{requirement.specifier}; {found.version} is installed"
    return ""


def _parsed(line: str) -> Requirement | None:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(line)
    except InvalidRequirement:
        return None
