"""Virtual packages: the machine that a lock is made for, and whether this machine is one.

A lock never looks at the machine that makes it. It is made for stated defaults (``resources/virtual-packages.yml``,
which says where they come from); over them come the project's ``virtual-packages.yml`` (conda-lock's format; what it
says of a platform replaces the defaults, as it does there), the configuration's ``conda.virtual-packages``, and
``CONDA_OVERRIDE_<NAME>``. ``__cuda`` is the accelerator's alone: a leg without CUDA has none whatever these say, and a
leg with one takes from them the version that fits its own.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from ci_envs.conda.lock_rules import need
from ci_envs.documents import load_yaml
from ci_envs.errors import UsageError
from ci_envs.nearest import nearest
from ci_envs.resources import resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ci_envs.documents import Document
    from ci_envs.model.conda import LockedPackage
    from ci_envs.model.config import CondaConfig
    from ci_envs.project import Project

__all__ = ["Unmet", "VirtualPackage", "for_rattler", "machine_virtual_packages", "unmet_here", "virtual_packages"]

_CUDA = "__cuda"
_FILES = ("virtual-packages.yml", "virtual-packages.yaml")
_OURS = "conda.virtual-packages"
_PREFIX = "CONDA_OVERRIDE_"
_NAME = re.compile(r"__[a-z0-9_.-]+")
_VERSION = re.compile(r"[0-9][0-9A-Za-z_.!+]*")

#: Which platforms a virtual package can be of; those that are not here can be of all.
_PLATFORMS = {
    "__linux": ("linux-",),
    "__glibc": ("linux-",),
    "__osx": ("osx-",),
    "__win": ("win-",),
    "__unix": ("linux-", "osx-"),
    _CUDA: ("linux-", "win-"),
}


class VirtualPackage(msgspec.Struct, frozen=True):
    """``__glibc 2.28``: something that no package brings."""

    name: str
    version: str
    build: str = "0"
    #: ``default``, a file, ``conda.virtual-packages``, a variable, ``accelerator`` or ``machine``.
    source: str = "default"

    @property
    def text(self) -> str:
        """As conda-lock writes a version: ``1 x86_64``, ``2.28``."""
        return self.version if self.build == "0" else f"{self.version} {self.build}"


class Unmet(msgspec.Struct, frozen=True):
    """What a locked package needs of a machine, and this one has not."""

    #: The virtual package's name, and what is asked of it: ``__glibc``, ``__glibc >=2.28``.
    name: str
    spec: str
    #: The version that is here; empty for none.
    here: str
    #: Who asks.
    packages: tuple[str, ...]

    @property
    def is_fatal(self) -> bool:
        """Whether nothing can be built here. Without a GPU an environment for one can, though not used."""
        return self.name != _CUDA


def virtual_packages(
    platform: str,
    accelerator: str,
    *,
    environ: Mapping[str, str],
    config: CondaConfig,
    project: Project,
) -> tuple[VirtualPackage, ...]:
    """What a lock for a platform and an accelerator is made for, by name.

    Raises :class:`UsageError` for a file, a table or a variable that cannot mean a virtual package, and where one
    takes the CUDA away that the accelerator names.
    """
    file, table, variables = _of_project(project, platform), _configured(config), _overridden(environ)
    found = {**(file or _defaults()[platform]), **table, **variables}
    found.pop(_CUDA, None)
    said = [layer[_CUDA] for layer in (variables, table, file) if _CUDA in layer]
    if cuda := _cuda_of(accelerator, said):
        found[_CUDA] = cuda
    return tuple(one for name, one in sorted(found.items()) if one.version and _is_of(name, platform))


def for_rattler(packages: Iterable[VirtualPackage]) -> list[Any]:
    """As rattler takes them."""
    from rattler import GenericVirtualPackage, PackageName, Version
    from rattler.package import BuildString

    return [
        GenericVirtualPackage(PackageName(one.name), Version(one.version), BuildString(one.build)) for one in packages
    ]


def machine_virtual_packages(environ: Mapping[str, str]) -> tuple[VirtualPackage, ...]:
    """Those of this machine, less and more what ``CONDA_OVERRIDE_<NAME>`` says, as for conda."""
    from rattler import VirtualPackage as Detected

    generic = [one.into_generic() for one in Detected.detect()]
    found = {
        one.name.normalized: VirtualPackage(
            one.name.normalized, str(one.version), str(one.build_string) or "0", "machine"
        )
        for one in generic
    }
    found |= _overridden(environ)
    return tuple(one for _, one in sorted(found.items()) if one.version)


def unmet_here(packages: Iterable[LockedPackage], machine: Sequence[VirtualPackage]) -> tuple[Unmet, ...]:
    """What these packages need of a machine and this one has not, the most demanded first."""
    here = {one.name: one for one in machine}
    asked: dict[str, list[str]] = {}
    for package in packages:
        for spec in package.depends:
            if spec.startswith("__"):
                asked.setdefault(spec, []).append(package.name)
    found = [
        Unmet(name, spec, here[name].version if name in here else "", tuple(who))
        for spec, who in asked.items()
        if not _is_met(spec, here.get(name := need(spec)[0]))
    ]
    return tuple(sorted(found, key=lambda one: (-len(one.packages), one.spec)))


def _is_met(spec: str, here: VirtualPackage | None) -> bool:
    if here is None:
        return False
    if here.name == "__archspec":
        return _runs(spec.rsplit(maxsplit=1)[-1], here.build)
    from ci_envs.conda.spec_matching import Matcher

    return Matcher().virtual(spec, f"{here.version} {here.build}")


def _runs(asked: str, here: str) -> bool:
    """Whether a processor runs what was made for another: of the levels of x86_64 each runs those below it.

    https://en.wikipedia.org/wiki/X86-64#Microarchitecture_levels; of other families nothing is known here.
    """
    levels = [re.fullmatch(r"x86_64(?:_v(\d))?", word) for word in (asked, here)]
    if levels[0] is None or levels[1] is None:
        return True
    return int(levels[0][1] or 1) <= int(levels[1][1] or 1)


def _cuda_of(accelerator: str, said: Sequence[VirtualPackage]) -> VirtualPackage | None:
    """The accelerator's CUDA: as exact as the leg says it, else as somebody says who fits it, else the newest."""
    kind, word, version = accelerator.partition("cuda")
    if kind or not word:
        return None
    if "." in version:
        return VirtualPackage(_CUDA, version, source="accelerator")
    for one in said:
        if not one.version:
            raise UsageError(
                f"{one.source} takes {_CUDA} away, and the leg's accelerator is {accelerator}",
                hint="a lock for the CPU is that of a leg without an accelerator",
            )
        if not version or one.version.split(".")[0] == version:
            return one
    known = _newest_cuda()
    newest = known.get(version, version) if version else max(known.values(), key=lambda text: int(text.split(".")[0]))
    return VirtualPackage(_CUDA, newest, source="accelerator")


def _is_of(name: str, platform: str) -> bool:
    return platform.startswith(_PLATFORMS.get(name, ("",)))


@cache
def _shipped() -> Document:
    path = resource("virtual-packages.yml")
    return load_yaml(path.read_text(encoding="utf-8"), file=path.name)


@cache
def _defaults() -> dict[str, dict[str, VirtualPackage]]:
    return {
        platform: {name: _package(name, text, "default") for name, text in table["packages"].items()}
        for platform, table in _shipped().data["subdirs"].items()
    }


def _newest_cuda() -> dict[str, str]:
    return dict(_shipped().data["cuda"])


def _of_project(project: Project, platform: str) -> dict[str, VirtualPackage]:
    """What the project's own file says of a platform; empty where it says nothing."""
    file = next((name for name in _FILES if project.exists(name)), "")
    text = project.text(file) if file else None
    if not text:
        return {}
    document = load_yaml(text, file=file)
    subdirs = document.value("subdirs")
    if not isinstance(subdirs, dict):
        raise document.error("must have a table `subdirs`, of platforms", hint="as conda-lock documents it")
    for name in subdirs:
        if not isinstance(document.value("subdirs", name, "packages"), dict):
            raise document.error(f"{name} must have a table `packages`", "subdirs", name)
    return dict(_of_table(document, platform)) if platform in subdirs else {}


def _of_table(document: Document, platform: str) -> Iterator[tuple[str, VirtualPackage]]:
    where = ("subdirs", platform, "packages")
    for name, value in document.value(*where).items():
        # As it was written: a version that YAML takes for a number is not one (2.30 is no 2.3).
        text = value if isinstance(value, str) else document.written(*where, name)
        try:
            yield name, _package(name, text, document.file)
        except UsageError as error:
            raise document.error(error.message, *where, name, hint=error.hint) from error


def _configured(config: CondaConfig) -> dict[str, VirtualPackage]:
    return {name: _package(name, value or "", _OURS, can_go=True) for name, value in config.virtual_packages.items()}


def _overridden(environ: Mapping[str, str]) -> dict[str, VirtualPackage]:
    """``CONDA_OVERRIDE_GLIBC=2.17``; an empty value is "there is none" (conda's documentation of virtual packages)."""
    found: dict[str, VirtualPackage] = {}
    for variable, value in environ.items():
        if variable.startswith(_PREFIX):
            name = f"__{variable.removeprefix(_PREFIX).lower()}"
            text = f"1 {value.strip()}" if name == "__archspec" and value.strip() else value
            found[name] = _package(name, text, variable, can_go=True)
    return found


def _package(name: str, text: str, source: str, *, can_go: bool = False) -> VirtualPackage:
    version, _, build = text.strip().partition(" ")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{source}: {name!r} is no virtual package; their names begin with __{nearest(name, _PLATFORMS)}"
        )
    if not (_VERSION.fullmatch(version) or (can_go and not version)):
        raise UsageError(f"{source}: {text!r} is no version of {name}", hint='write it like "2.28"')
    return VirtualPackage(name, version, build.strip() or "0", source)
