"""Installed equals locked, and what is installed fits together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.checks.requires import needed
from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from packaging.specifiers import SpecifierSet

    from ci_envs.checks import Context
    from ci_envs.model.inventory import Distribution, Inventory
    from ci_envs.model.lock import Pin

__all__ = ["DeclaredIsInstalled", "ExpectedVersions", "InstalledEqualsLocked", "MetadataIsConsistent", "specifier"]


class InstalledEqualsLocked:
    """The installed set is the locked set, name by name and version by version; of conda packages, build by build.

    Distributions that a conda package brought are its own, and no lock names them.
    """

    code = "ENV100"
    title = "installed is not locked"
    advice = "build it anew: `{run} --fresh`"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV101 missing, ENV102 extra, ENV103 another version, build or archive."""
        yield from _compared(context, "conda", _conda(context.inventory), _same_build)
        python = [each for each in _python(context.inventory) if not each.brought_by]
        yield from _compared(context, "python", python, _same)


def _compared(
    context: Context, manager: str, installed: list[Distribution], same: Callable[[Pin, Distribution], bool]
) -> Iterator[Finding]:
    if manager not in context.lock.covers:
        if installed:
            context.left_out.append(f"installed equals locked: no lock names what {manager} is to have")
        return
    locked = {pin.name: pin for pin in context.lock.of(manager)}
    file, kind = context.lock.path, "conda's " if manager == "conda" else ""
    there = {distribution.name for distribution in installed}
    for name in sorted(locked.keys() - there):
        message = f"{kind}{_shown(locked[name])} is locked and not installed"
        yield _error("ENV101", "missing", message, file)
    allowed = context.seeds | context.own if manager == "python" else frozenset()
    for distribution in installed:
        pin = locked.get(distribution.name)
        if pin is None and distribution.name not in allowed:
            message = f"{kind}{_shown(distribution)} is installed and not locked"
            yield _error("ENV102", "extra", message, file)
        elif pin is not None and not same(pin, distribution):
            yield _error("ENV103", "different", f"{kind}{pin.name}: {_difference(pin, distribution)}", file)


def _shown(what: Pin | Distribution) -> str:
    return " ".join(filter(None, (what.name, what.version, what.build)))


def _difference(pin: Pin, found: Distribution) -> str:
    ours, theirs = f"{pin.version} {pin.build}".strip(), f"{found.version} {found.build}".strip()
    if ours == theirs:
        return f"{ours} was installed from another archive than the locked one"
    return f"{ours} is locked, {theirs} is installed"


def _python(inventory: Inventory) -> list[Distribution]:
    """Sorted. A name can be there twice: an installer that was killed leaves the metadata of two versions."""
    return sorted(each for each in inventory.distributions if each.manager == "python")


def _conda(inventory: Inventory) -> list[Distribution]:
    return sorted(each for each in inventory.distributions if each.manager == "conda")


def _same_build(pin: Pin, found: Distribution) -> bool:
    """Version and build are one text for conda, which knows no other spelling of either."""
    known = [each for each in pin.hashes if each.startswith("sha256:")]  # a pin may have an MD5 alone
    same_archive = not found.sha256 or not known or f"sha256:{found.sha256}" in known
    return (pin.version, pin.build) == (found.version, found.build) and same_archive


def _same(pin: Pin, found: Distribution) -> bool:
    """Versions compare as PEP 440 has them (``1.0`` is ``1.0.0``); a pin of an address may carry none."""
    from packaging.version import InvalidVersion, Version

    if pin.version == found.version or (not pin.version and pin.source != "index"):
        return True
    try:
        return Version(pin.version) == Version(found.version)
    except InvalidVersion:
        return False


class DeclaredIsInstalled:
    """What the project's files ask for is there and fits, where the lock names no Python distribution itself.

    A nix shell is locked by the inputs that its packages come from: pyproject.toml beside it is a second statement.
    """

    code = "ENV105"
    title = "declared is not installed"
    advice = "add it to the shell's packages, or change what the project declares"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV105 for each requirement that is missing or met by a wrong version."""
        if "python" in context.lock.covers:
            return
        versions = {each.name: each.version for each in _python(context.inventory)}
        for declared in context.lock.direct:
            problem = _unmet(declared.text, versions, context.inventory.interpreter.markers)
            if declared.dialect == "pep508" and problem:
                message = f"the project asks for {problem}"
                yield _error(self.code, self.title, message, declared.file, declared.line)


class ExpectedVersions:
    """``check.expect`` of the configuration: versions that the README or a paper promises."""

    code = "ENV104"
    title = "not the expected version"
    advice = "change check.expect, or what the lock is made from"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV104 where a distribution, or ``python``, is missing or outside its specifier."""
        from packaging.specifiers import InvalidSpecifier

        for name, wanted in context.config.expect.items():
            if name == "cuda":  # the accelerator check's
                continue
            found = _version(name, context.inventory)
            try:
                fits = specifier(wanted).contains(found, prereleases=True) if found else False
            except InvalidSpecifier:
                yield _error(self.code, self.title, f"check.expect says {name}: {wanted!r}, which is no version")
                continue
            if not fits:
                has = f"{found} is installed" if found else "it is not installed"
                yield _error(self.code, self.title, f"{name} {wanted}".strip() + f" is expected; {has}")


def specifier(wanted: str) -> SpecifierSet:
    """``==2.2.*`` or ``>=2,<3`` as it is, ``2.2.*`` as an equality, nothing as any version.

    ``packaging.specifiers.InvalidSpecifier`` where it is none.
    """
    from packaging.specifiers import SpecifierSet

    text = wanted.strip()
    return SpecifierSet(text if not text or text[0] in "<>=!~" else f"=={text}")


def _version(name: str, inventory: Inventory) -> str:
    from packaging.utils import canonicalize_name

    found = inventory.find(canonicalize_name(name))
    if found is None and name.lower() == "python":
        return inventory.interpreter.version
    return found.version if found else ""


class MetadataIsConsistent:
    """Every installed distribution's own requirements are met inside: what ``pip check`` knows, for any installer."""

    code = "ENV201"
    title = "requirements not met"
    advice = "renew the lock: `{lock} --upgrade`"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV201 for each requirement that is missing or met by a wrong version."""
        distributions = _python(context.inventory)
        versions = {each.name: each.version for each in distributions}
        for each in distributions:
            for line in each.requires:
                problem = _unmet(line, versions, context.inventory.interpreter.markers)
                if problem:
                    yield _error(self.code, self.title, f"{each.name} {each.version} requires {problem}")


def _unmet(line: str, versions: Mapping[str, str], markers: Mapping[str, str]) -> str:
    """What is wrong with a requirement, to be put behind "requires"; empty where it is met or not needed."""
    from packaging.utils import canonicalize_name

    try:
        requirement = needed(line, markers)
    except ValueError as error:
        return str(error)
    if requirement is None:
        return ""
    found = versions.get(canonicalize_name(requirement.name))
    if found is None:
        return f"{requirement.name}{requirement.specifier}, which is not installed"
    if not requirement.specifier.contains(found, prereleases=True):
        return f"{requirement.name}{requirement.specifier}; {found} is installed"
    return ""


def _error(code: str, title: str, message: str, file: str = "", line: int = 0) -> Finding:
    return Finding(code=code, severity="error", title=title, message=message, file=file, line=line)
