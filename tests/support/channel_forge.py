"""The channel that tests and CI take for conda-forge: this machine's Pythons, real wheels, tools that are no Python."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from tests.support.channel import Channel, make_channel
from tests.support.channel_packages import (
    PLATFORMS,
    data_package,
    post_link_package,
    program_package,
    stub_package,
    stub_python,
    tool_package,
    variant_packages,
)
from tests.support.channel_python import native_platform, python_abi_package, python_package, wheel_package

from ci_envs.interpreters import all_interpreters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.support.channel_archive import Package

    from ci_envs.model.inventory import Interpreter

__all__ = ["NUMPY", "OLDER", "PURE", "SERIES", "forge_packages", "make_forge", "packable_interpreters", "shared_forge"]

#: The Pythons that are looked for on this machine.
SERIES = ("3.11", "3.12", "3.13")

#: Native code, a wheel for each Python.
NUMPY = "numpy==2.3.5"


def _locked(name: str) -> str:
    """The version in the lock of the tests; whoever serves the channel need not have it installed."""
    lock = Path(__file__).parents[2].joinpath("requirements/tests.txt").read_text("utf-8")
    found = re.search(rf"^{name}==([^\s;]+)", lock, re.MULTILINE)
    assert found is not None, f"requirements/tests.txt has no {name}"
    return found[1]


#: Wheels for any Python and platform, downloaded together. Those that run these tests are here at the versions that
#: this project's lock names.
PURE = (
    *(f"{name}=={_locked(name)}" for name in ("pytest", "pluggy", "iniconfig", "packaging", "pygments", "click")),
    *("pip==25.3", "six==1.17.0"),
)

#: So that there is something to choose and to upgrade.
OLDER = ("six==1.16.0",)


def packable_interpreters(series: Iterable[str] = SERIES) -> list[Interpreter]:
    """The first interpreter of each series that is no part of its operating system."""
    wanted = dict.fromkeys(series)
    for one in all_interpreters():
        fits = one.series in wanted and one.implementation == "cpython" and not one.debug
        if fits and wanted[one.series] is None and Path(one.base_prefix) != Path("/usr"):
            wanted[one.series] = one
    return [one for one in wanted.values() if one is not None]


def forge_packages(fetch: Callable[..., Path], series: Iterable[str] = SERIES) -> list[Package]:
    """Everything in the channel. ``fetch(*arguments)`` downloads wheels with pip and returns their folder.

    ====================================  ====================================================================
    package                               what it is
    ====================================  ====================================================================
    python, python_abi                    this machine's, of each series; stubs for the other platforms
    numpy                                 the real wheel for each Python; stubs for the other platforms
    pytest, click, six 1.16 and 1.17, ..  real wheels, noarch
    hello-native 1.0 (two builds), 1.1    compiled, with the prefix inside; stubs for the other platforms
    make                                  this machine's own, where it has one; stubs for the other platforms
    linker                                has a post-link script
    tzdata                                noarch data, which python depends on
    pytorch, cuda-version, ...            :func:`variant_packages`, for every series
    ====================================  ====================================================================
    """
    found = packable_interpreters(series)
    if not found:
        raise RuntimeError(f"no Python of {', '.join(series)} here but the system's own, which cannot be packed")
    packages: list[Package] = [data_package(), post_link_package(), *_tools()]
    for requirements in (PURE, OLDER):
        packages += [wheel_package(wheel) for wheel in _wheels(fetch("--no-deps", *requirements))]
    for one in found:
        packages += _of_python(one, fetch)
    variants = [package for one in found for package in variant_packages(one.series, PLATFORMS)]
    return [*packages, *{(package.subdir, package.filename): package for package in variants}.values()]


def _tools() -> list[Package]:
    found = [tool_package(), tool_package(build_number=1), tool_package(version="1.1")]
    if program := shutil.which("make"):
        found.append(program_package(Path(program), "make", "4.4.1"))
    stubs = [(one.name, one.version, one.build, one.build_number) for one in found]
    return found + [
        stub_package(name, number, build, build_number=count, platform=platform)
        for platform in PLATFORMS
        if platform != native_platform()
        for name, number, build, count in stubs
    ]


def _of_python(one: Interpreter, fetch: Callable[..., Path]) -> list[Package]:
    abi = python_abi_package(one.series)
    depends = ("tzdata", f"{abi.name} {one.series}.* *_{abi.build.partition('_')[2]}")
    wheels = fetch("--no-deps", "--python-version", one.series, NUMPY)
    numpy = [wheel_package(wheel, series=one.series) for wheel in _wheels(wheels)]
    found = [abi, python_package(one, depends=depends), *numpy]
    for platform in PLATFORMS:
        if platform != native_platform():
            found.append(stub_python(one.version, platform, depends=depends))
            found += [
                stub_package(made.name, made.version, made.build, depends=made.depends, platform=platform)
                for made in numpy
            ]
    return found


def _wheels(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.whl"))


def make_forge(folder: Path, fetch: Callable[..., Path], series: Iterable[str] = SERIES) -> Channel:
    """The channel as ``folder/conda-forge``."""
    return make_channel(folder / "conda-forge", forge_packages(fetch, series))


def shared_forge(folder: Path, fetch: Callable[..., Path], series: Iterable[str] = SERIES) -> Channel:
    """:func:`make_forge`, made by the first process that asks; the others wait for it and take it as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            part = Path(f"{folder}.part{os.getpid()}")
            make_forge(part, fetch, series)
            part.replace(folder)
    return Channel(folder / "conda-forge")
