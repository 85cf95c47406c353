"""A package set of nixpkgs' shape, made of this machine: the expressions of ``tests/nixpkgs`` over files in a folder.

    packages = make_packages(folder, fetch)
    nix-build -I nixpkgs=FOLDER -E '(import <nixpkgs> {}).python3.withPackages (ps: [ps.apple])'

``python -m tests.support.nix_packages FOLDER`` makes it for whoever is no test.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import zipfile
from dataclasses import dataclass, field
from email.parser import Parser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from tests.support.channel_command import fetching
from tests.support.channel_forge import PURE, SERIES, packable_interpreters
from tests.support.nix_archive import Leaf, sri, write_nar
from tests.support.nix_machine import (
    PLACEHOLDER,
    Linked,
    bootstrap_tools,
    c_library,
    glibc_version,
    library,
    needs,
    python_tree,
    tool_versions,
)
from tests.support.projects import make_universe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ci_envs.model.inventory import Interpreter

__all__ = ["EXPRESSIONS", "FRUIT", "make_packages", "shared_packages"]

#: The expressions of the package set, which name no machine.
EXPRESSIONS = Path(__file__).parents[1] / "nixpkgs"

#: What installs wheels, its own among them.
INSTALLER = "installer==0.7.0"

#: The universe's wheels in the set, one version each that fits the others (projects.make_universe says what they are).
FRUIT = {
    **dict.fromkeys(("berry", "bomb", "cherry", "melon", "plum", "rotten", "stuck", "sugar"), "1.0"),
    **dict.fromkeys(("apple", "pear"), "1.1"),
    "seed": "1.5",
}

#: ``python3``, where the machine has it; else the newest that it has.
PREFERRED = "3.12"


def make_packages(folder: Path, fetch: Callable[..., Path], series: Iterable[str] = SERIES) -> Path:
    """Makes the set in ``folder/nixpkgs``, the files that it is made of beside that, and returns its path.

    ``fetch(*arguments)`` downloads wheels with pip and returns their folder. The set names the files by where they lie:
    ``folder`` must stay there.
    """
    interpreters = packable_interpreters(series)
    if not interpreters:
        raise RuntimeError(f"no Python of {', '.join(series)} here but the system's own, which cannot be packed")
    files = _Files(folder / "files")
    told = _machine(files, interpreters, _chosen_wheels(folder, fetch))
    packages = Path(shutil.copytree(EXPRESSIONS, folder / "nixpkgs"))
    part = packages / "machine.json.part"
    part.write_text(json.dumps(told, indent=1, sort_keys=True), encoding="utf-8")
    part.replace(packages / "machine.json")
    return packages


def shared_packages(folder: Path, fetch: Callable[..., Path], series: Iterable[str] = SERIES) -> Path:
    """:func:`make_packages`, by the first process that asks; the others wait for it and take it as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        packages = folder / "nixpkgs"
        # It is what is written last.
        if not (packages / "machine.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            make_packages(folder, fetch, series)
    return packages


@dataclass(frozen=True)
class _Files:
    """The files of a set, each told by its address and its hash."""

    folder: Path
    made: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)

    def archive(self, name: str, leaves: Callable[[], Mapping[str, Leaf]]) -> dict[str, str]:
        """A tree as a NAR, which nix's own fetchurl unpacks; what several things need is made once."""
        if name not in self.made:
            path = self.folder / f"{name}.nar"
            self.made[name] = {"hash": write_nar(path, leaves()), "url": path.resolve().as_uri()}
        return self.made[name]

    def wheel(self, path: Path) -> dict[str, str]:
        """A wheel as it is."""
        copied = Path(shutil.copyfile(path, self.folder / path.name))
        return {"hash": sri(path.read_bytes()), "url": copied.resolve().as_uri()}


def _machine(files: _Files, interpreters: Sequence[Interpreter], wheels: Sequence[Path]) -> dict[str, Any]:
    """What ``machine.json`` says."""
    pythons: dict[str, Any] = {}
    libraries: dict[str, Any] = {}
    glibc: dict[str, str] = {}
    for one in interpreters:
        tree = python_tree(one)
        pythons[one.series] = {
            **files.archive(f"python-{one.version}", partial(dict, tree.leaves)),
            "version": one.version,
            "needs": tree.needs,
            "objects": tree.objects,
            "programs": tree.programs,
            "placeholder": PLACEHOLDER,
        }
        libraries |= _libraries(files, tree.linked)
        glibc = {**files.archive("glibc", partial(c_library, tree.linked)), "loader": tree.linked.loader.name}
    return {
        **tool_versions(),
        "system": f"{platform.machine()}-linux",
        "tools": files.archive("bootstrap-tools", bootstrap_tools),
        "glibc": {**glibc, "version": glibc_version()},
        "libraries": libraries,
        "pythons": pythons,
        "python": PREFERRED if PREFERRED in pythons else max(pythons, key=lambda text: int(text.split(".")[1])),
        "wheels": dict(_wheels(files, wheels)),
    }


def _libraries(files: _Files, linked: Linked) -> dict[str, Any]:
    return {
        name: {**files.archive(name, partial(library, path, name)), "needs": needs(path)}
        for name, path in linked.libraries.items()
    }


# Wheels.


def _chosen_wheels(folder: Path, fetch: Callable[..., Path]) -> list[Path]:
    universe = make_universe(folder / "universe")
    fruit = [next(universe.glob(f"{name}-{version}-*.whl")) for name, version in FRUIT.items()]
    downloaded = [fetch("--no-deps", *requirements) for requirements in (PURE, (INSTALLER,))]
    return [*fruit, *(wheel for found in downloaded for wheel in sorted(found.glob("*.whl")))]


def _wheels(files: _Files, wheels: Sequence[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    here = {parse_wheel_filename(wheel.name)[0] for wheel in wheels}
    for wheel in wheels:
        name, version, _, _ = parse_wheel_filename(wheel.name)
        needed = sorted(one for one in _requirements(wheel) if one in here)
        yield name, {**files.wheel(wheel), "version": str(version), "needs": needed}


def _requirements(wheel: Path) -> set[str]:
    """What it needs with no extra, on the preferred Python."""
    with zipfile.ZipFile(wheel) as archive:
        path = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(path).decode())
    requirements = map(Requirement, metadata.get_all("Requires-Dist") or [])
    environment = {"python_version": PREFERRED, "python_full_version": f"{PREFERRED}.0", "extra": ""}
    return {canonicalize_name(one.name) for one in requirements if not one.marker or one.marker.evaluate(environment)}


def main(argv: Sequence[str] | None = None) -> int:
    """Makes the set in FOLDER/nix/nixpkgs, where it is not there yet. What it downloads is FOLDER's too."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.nix_packages", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", action="append", choices=SERIES, help="only these; every one that is here if none")
    options = parser.parse_args(argv)
    shared_packages(options.folder / "nix", fetching(options.folder), options.python or SERIES)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
