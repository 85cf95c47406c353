"""This machine's Pythons and Python's wheels as conda packages, laid out as conda-forge lays them out."""

from __future__ import annotations

import base64
import configparser
import hashlib
import posixpath
import zipfile
from dataclasses import replace
from email.parser import Parser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_wheel_filename
from rattler import Subdir
from tests.support.channel_archive import PLACEHOLDER, Member, Package

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci_envs.model.inventory import Interpreter

__all__ = ["native_platform", "python_abi_package", "python_package", "wheel_package"]

#: What a conda package leaves out of a standard library. An interpreter of uv's says there that it is not to be
#: installed into (PEP 668); a prefix of conda's is.
_LEFT_OUT = {"EXTERNALLY-MANAGED", "__pycache__", "idle_test", "site-packages", "test", "tests", "turtledemo"}

#: What a program that knows no prefix looks for its libraries with; its loader (ld.so) knows where it stands.
_ORIGIN = b"$ORIGIN/../lib"

_ELF = b"\x7fELF"


def native_platform() -> str:
    """This machine's platform, as conda calls it."""
    return str(Subdir.current())


def python_package(interpreter: Interpreter, *, depends: tuple[str, ...] = ()) -> Package:
    """The interpreter with its standard library and headers, as conda's ``python``; without pip.

    It runs at any prefix: its programs look for libpython beside themselves, and text that names the interpreter's
    own prefix (sysconfig's data, Makefile, pkg-config, scripts) has the placeholder instead.
    """
    prefix, series = Path(interpreter.base_prefix), interpreter.series
    if prefix == Path("/usr"):
        raise ValueError(f"the system's Python {interpreter.version} is one with its system: it cannot be packed")
    members = [_from_interpreter(path, prefix) for path in _files_of_python(prefix, series)]
    links = {"bin/python": f"python{series}", "bin/python3": f"python{series}"}
    members += [Member(path=path, link=target, mode=0o777) for path, target in links.items()]
    unique = {member.path: member for member in members}
    return Package(
        name="python",
        version=interpreter.version,
        build="0_cpython",
        platform=native_platform(),
        depends=depends,
        constrains=(f"python_abi {series}.* *_{_abi(series)}",),
        license="Python-2.0",
        members=tuple(unique[path] for path in sorted(unique)),
        more={"python_site_packages_path": f"lib/python{series}/site-packages"},
    )


def python_abi_package(series: str) -> Package:
    """``python_abi``: what native code asks for, so that it comes beside the Python that it was built for."""
    return Package(
        name="python_abi",
        version=series,
        build=f"8_{_abi(series)}",
        build_number=8,
        noarch="generic",
        constrains=(f"python {series}.* *_cpython",),
        license="BSD-3-Clause",
    )


def wheel_package(
    wheel: Path,
    *,
    noarch: bool | None = None,
    series: str = "3.12",
    build_number: int = 0,
    without: tuple[str, ...] = (),
) -> Package:
    """A wheel as the conda package that a feedstock would build from it, with conda's dist-info.

    A ``noarch`` one (by default where the wheel is for any platform) holds ``site-packages/`` and tells its console
    scripts in ``info/link.json``; else it is for this platform and the Python of ``series``. Its requirements whose
    markers hold on this machine under ``series`` become match specs; ``without`` names some to leave out.
    """
    name, version, _, tags = parse_wheel_filename(wheel.name)
    if noarch is None:
        noarch = all(tag.platform == "any" for tag in tags)
    content = _members_of_wheel(wheel)
    info = next(posixpath.dirname(path) for path in content if path.endswith(".dist-info/METADATA"))
    scripts = _console_scripts(content.get(f"{info}/entry_points.txt", b""))
    metadata = Parser().parsestr(content[f"{info}/METADATA"].decode())
    depends = _match_specs(metadata.get_all("Requires-Dist") or [], series, without)
    asked = f"python {_range(SpecifierSet(metadata['Requires-Python'] or '>=3.8'))}"
    installed = _as_conda_installs(content, info, name, str(version), scripts)
    package = partial(
        Package,
        name=name,
        version=str(version),
        build_number=build_number,
        license=metadata["License-Expression"] or "MIT",
    )
    if noarch:
        members = _placed(installed, "site-packages", "python-scripts")
        return package(
            build=f"pyhd8ed1ab_{build_number}",
            noarch="python",
            depends=(asked, *depends),
            entry_points=tuple(f"{script} = {point}" for script, point in scripts.items()),
            members=members,
        )
    members = _placed(installed, f"lib/python{series}/site-packages", "bin")
    members += tuple(_script(name, point, series) for name, point in scripts.items())
    major, minor = series.split(".")
    python = (f"python >={series},<{major}.{int(minor) + 1}.0a0", f"python_abi {series}.* *_{_abi(series)}")
    mark = hashlib.sha256(wheel.name.encode()).hexdigest()[:7]
    return package(
        build=f"py{major}{minor}h{mark}_{build_number}",
        platform=native_platform(),
        depends=(*python, *depends),
        members=members,
    )


def _abi(series: str) -> str:
    return f"cp{series.replace('.', '')}"


# An interpreter.


def _files_of_python(prefix: Path, series: str) -> Iterator[Path]:
    programs = (f"bin/{name}{series}" for name in ("python", "pydoc", "idle", "2to3-"))
    libraries = (f"lib/libpython{series}*", "lib/libpython3.*", f"lib/pkgconfig/python-{series}*.pc")
    for pattern in (*programs, f"bin/python{series}-config", *libraries):
        yield from prefix.glob(pattern)
    for folder in (f"lib/python{series}", f"include/python{series}"):
        yield from _walk(prefix / folder)


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in _LEFT_OUT or path.suffix == ".a":
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path


def _from_interpreter(path: Path, prefix: Path) -> Member:
    relative = path.relative_to(prefix).as_posix()
    if path.is_symlink():
        return Member(path=relative, link=str(path.readlink()), mode=0o777)
    data, mode, own = path.read_bytes(), path.stat().st_mode & 0o755, bytes(prefix)
    if own not in data:
        return Member(path=relative, data=data, mode=mode)
    if data.startswith(_ELF):
        return Member(path=relative, data=_looking_beside(data, own), mode=mode)
    return Member(path=relative, data=data.replace(own, PLACEHOLDER.encode()), mode=mode, placeholder=PLACEHOLDER)


def _looking_beside(data: bytes, prefix: bytes) -> bytes:
    """The program with a run path relative to itself, in the bytes that the absolute one took: no offset changes."""
    absolute = prefix + b"/lib\0"
    relative = _ORIGIN + b"\0"
    if len(relative) > len(absolute):
        raise ValueError(f"there is no room for a relative run path in {prefix.decode()}")
    return data.replace(b"\0" + absolute, b"\0" + relative.ljust(len(absolute), b"\0"))


# A wheel.


def _members_of_wheel(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {told.filename: archive.read(told) for told in archive.infolist() if not told.is_dir()}


def _console_scripts(entry_points: bytes) -> dict[str, str]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names of scripts keep their case
    parser.read_string(entry_points.decode())
    return dict(parser["console_scripts"]) if parser.has_section("console_scripts") else {}


def _match_specs(lines: Iterable[str], series: str, without: tuple[str, ...]) -> list[str]:
    requirements = [Requirement(line) for line in lines]
    environment = {"python_version": series, "python_full_version": f"{series}.0", "extra": ""}
    wanted = (one for one in requirements if one.marker is None or one.marker.evaluate(environment))
    named = ((canonicalize_name(one.name), one.specifier) for one in wanted)
    return [f"{name} {_range(specifier)}".rstrip() for name, specifier in named if name not in without]


def _range(specifiers: SpecifierSet) -> str:
    """Lower bounds first, as people write them; a set has no order of its own."""
    return ",".join(sorted(map(str, specifiers), reverse=True))


def _as_conda_installs(
    content: Mapping[str, bytes], info: str, name: str, version: str, scripts: Mapping[str, str]
) -> dict[str, bytes]:
    """What a recipe's ``pip install .`` leaves: the dist-info says conda, and RECORD tells of scripts too."""
    work = f"file:///build/feedstock_root/build_artifacts/{name}_{version}/source"
    told = {
        f"{info}/INSTALLER": b"conda",
        f"{info}/REQUESTED": b"",
        f"{info}/direct_url.json": f'{{"dir_info": {{}}, "url": "{work}"}}'.encode(),
    }
    record = f"{info}/RECORD"
    files = {path: data for path, data in content.items() if path != record} | told
    rows = [_row(_recorded_path(path), data) for path, data in files.items()]
    rows += [_row(f"../../../bin/{script}", _script(script, point).data) for script, point in scripts.items()]
    return {**files, record: "\n".join([*sorted(rows), f"{record},,", ""]).encode()}


def _recorded_path(path: str) -> str:
    place, inside = _place(path)
    return {"": inside, "scripts": f"../../../bin/{inside}", "data": f"../../../{inside}"}[place]


def _row(path: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}"


def _place(path: str) -> tuple[str, str]:
    """Where a member of a wheel goes: into ``scripts``, ``data``, or beside the modules (empty)."""
    top, _, rest = path.partition("/")
    if not top.endswith(".data"):
        return "", path
    kind, _, inside = rest.partition("/")
    if kind in ("purelib", "platlib"):
        return "", inside
    return (kind, inside) if kind in ("scripts", "data") else ("data", f"include/{inside}")


def _placed(files: Mapping[str, bytes], site: str, scripts: str) -> tuple[Member, ...]:
    folders = {"": f"{site}/", "scripts": f"{scripts}/", "data": ""}
    members = []
    for path, data in files.items():
        place, inside = _place(path)
        member = Member(path=folders[place] + inside, data=data, mode=0o755 if data.startswith(_ELF) else 0o644)
        members.append(_runnable(member) if place == "scripts" else member)
    return tuple(sorted(members, key=lambda member: member.path))


def _runnable(member: Member) -> Member:
    """A script of a wheel; one whose first line is ``#!python`` (or ``#!pythonw``) is for the Python beside it."""
    first, _, rest = member.data.partition(b"\n")
    if not first.startswith(b"#!python"):
        return replace(member, mode=0o755)
    return replace(member, data=_shebang() + rest, mode=0o755, placeholder=PLACEHOLDER)


def _shebang(python: str = "python") -> bytes:
    return f"#!{PLACEHOLDER}/bin/{python}\n".encode()


def _script(name: str, point: str, series: str = "") -> Member:
    module, _, function = point.partition(":")
    body = (
        f"import sys\nfrom {module} import {function.partition('.')[0]}\n"
        f"if __name__ == '__main__':\n    sys.exit({function.strip()}())\n"
    )
    data = _shebang(f"python{series}") + body.encode()
    return Member(path=f"bin/{name}", data=data, mode=0o755, placeholder=PLACEHOLDER)
