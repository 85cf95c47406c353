"""What of this machine a small package set is made of: static programs, shared libraries, Pythons."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.channel_archive import PLACEHOLDER
from tests.support.channel_python import python_package
from tests.support.nix_archive import Leaf

from ci_envs.command import Command, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci_envs.model.inventory import Interpreter

__all__ = [
    "PLACEHOLDER",
    "Linked",
    "PythonTree",
    "bootstrap_tools",
    "c_library",
    "glibc_version",
    "library",
    "needs",
    "python_tree",
    "tool_versions",
]

#: Debian's package of a program, where it has another name.
_PACKAGES = {"busybox": "busybox-static", "strip": "binutils"}

#: What belongs to glibc: its loader cannot be of another version than these.
_OF_GLIBC = (
    *("ld-linux*.so.*", "libc.so.*", "libm.so.*", "libdl.so.*", "libpthread.so.*", "librt.so.*", "libutil.so.*"),
    *("libanl.so.*", "libmvec.so.*", "libnss_*.so.*", "libresolv.so.*"),
)

#: Of an interpreter. tkinter is a package of its own in nixpkgs too, since it brings a window system; nis brings
#: Kerberos; the others test the interpreter, or link one.
_LEFT_OUT = (
    *("*/_tkinter.*", "*/tkinter/*", "*/idlelib/*", "bin/idle*", "*/nis.*.so"),
    *("*/_test*.so", "*/_ctypes_test.*", "*/xxlimited*", "*.o"),
)

_ELF = b"\x7fELF"


def _program(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"there is no {name} here; on Debian and Ubuntu: apt install {_PACKAGES.get(name, name)}")
    return Path(found)


def _said(*argv: str) -> str:
    """What a program says, which must end well."""
    outcome = run(Command(argv, timeout=60))
    if not outcome:
        raise RuntimeError(f"{argv[0]} failed:\n{outcome.tail()}")
    return outcome.stdout


# Programs.


def tool_versions() -> dict[str, str]:
    """The versions of bash, busybox and patchelf."""
    lines = {
        "bash": _said(str(_program("bash-static")), "--version"),
        "busybox": _said(str(_program("busybox")), "--help"),
        "patchelf": _said(str(_program("patchelf")), "--version"),
    }
    found = {name: re.search(r"(\d+\.\d+(\.\d+)?)", text) for name, text in lines.items()}
    return {name: match[1] if match else "0" for name, match in found.items()}


def bootstrap_tools() -> dict[str, Leaf]:
    """bash, busybox with a link for each of its programs, and patchelf with the libraries that it needs."""
    busybox, patchelf = _program("busybox"), _program("patchelf")
    applets = _said(str(busybox), "--list").split()
    links = {f"bin/{name}": Leaf(target="busybox") for name in applets if name not in ("bash", "busybox")}
    needed = linked([patchelf])
    libraries = {**needed.libraries, **_glibc_files(needed)}
    return {
        **links,
        "bin/bash": _executable(_program("bash-static")),
        "bin/busybox": _executable(busybox),
        "libexec/patchelf": _executable(patchelf),
        **{f"lib/{name}": _executable(path) for name, path in libraries.items()},
    }


def _executable(path: Path) -> Leaf:
    return Leaf(path.read_bytes(), executable=True)


# Shared libraries.


@dataclass(frozen=True)
class Linked:
    """The shared libraries that some files need, those that these need too."""

    #: By soname; glibc's are not among them.
    libraries: dict[str, Path]
    #: glibc's loader.
    loader: Path
    glibc: Path


def linked(files: Iterable[Path]) -> Linked:
    """What the loader of this machine finds for the files; ``ldd`` asks it."""
    text = _said("ldd", *map(str, files))
    found = {name: Path(path) for name, path in re.findall(r"^\s+(\S+) => (/\S+) \(0x", text, re.MULTILINE)}
    loader = re.search(r"^\s+(/\S*/ld-\S+) \(0x", text, re.MULTILINE)
    if loader is None or "libc.so.6" not in found:
        raise RuntimeError(f"these are not linked with glibc:\n{text}")
    others = {name: path for name, path in found.items() if not _is_glibc(name)}
    return Linked(others, Path(loader[1]), found["libc.so.6"].resolve())


def _is_glibc(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in _OF_GLIBC)


def c_library(needed: Linked) -> dict[str, Leaf]:
    """glibc: its loader and its shared libraries."""
    return {f"lib/{name}": _executable(path) for name, path in _glibc_files(needed).items()}


def _glibc_files(needed: Linked) -> dict[str, Path]:
    beside = {path.name: path for path in sorted(needed.glibc.parent.iterdir()) if _is_glibc(path.name)}
    return {**beside, needed.loader.name: needed.loader}


def glibc_version() -> str:
    """As the C library says it."""
    return (os.confstr("CS_GNU_LIBC_VERSION") or "glibc 0").split()[-1]


def library(path: Path, soname: str) -> dict[str, Leaf]:
    """One library under the name that it is asked for."""
    return {f"lib/{soname}": _executable(path)}


def needs(path: Path) -> list[str]:
    """The libraries that a library names itself, those of glibc apart."""
    names = _said(str(_program("patchelf")), "--print-needed", str(path)).split()
    return sorted(name for name in names if not _is_glibc(name))


# An interpreter.


@dataclass(frozen=True)
class PythonTree:
    """An interpreter that can be put anywhere: :data:`PLACEHOLDER` stands for the place."""

    leaves: dict[str, Leaf]
    #: The paths of the files that are linked with others, and of the programs among them.
    objects: list[str]
    programs: list[str]
    linked: Linked

    @property
    def needs(self) -> list[str]:
        """The libraries that come from elsewhere."""
        return sorted(self.linked.libraries)


def python_tree(interpreter: Interpreter) -> PythonTree:
    """The interpreter as a package of nixpkgs has it: no pip, no tests of its own, no tkinter."""
    prefix = Path(interpreter.base_prefix)
    leaves = dict(_python_leaves(interpreter, prefix))
    objects = [path for path, leaf in leaves.items() if leaf.data.startswith(_ELF)]
    needed = linked(prefix / path for path in objects)
    outside = {name: path for name, path in needed.libraries.items() if not path.is_relative_to(prefix)}
    return PythonTree(
        leaves, objects, [path for path in objects if path.startswith("bin/")], replace(needed, libraries=outside)
    )


def _python_leaves(interpreter: Interpreter, prefix: Path) -> Iterator[tuple[str, Leaf]]:
    for member in python_package(interpreter).members:
        if not any(fnmatch.fnmatch(member.path, pattern) for pattern in _LEFT_OUT):
            data = _lean(member.data, prefix) if member.data.startswith(_ELF) else member.data
            yield member.path, Leaf(data, bool(member.mode & 0o100), member.link)


def _lean(data: bytes, prefix: Path) -> bytes:
    """A file without what a debugger reads; where it was installed is nowhere: no folder of this machine is named.

    The end of that name stays: a linker keeps a text that ends another one but once, and "3.12.1" may be the end of it.
    """
    nowhere = b"/".ljust(len(bytes(prefix.parent)), b"e") + b"/" + prefix.name.encode()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "object")
        file.write_bytes(data)
        _said(str(_program("strip")), "--strip-debug", str(file))
        return file.read_bytes().replace(bytes(prefix), nowhere)
