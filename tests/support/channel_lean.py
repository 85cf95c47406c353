"""A small channel for tests that build whole environments many times over: one Python, as little of it as will run."""

from __future__ import annotations

import posixpath
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.channel import make_channel
from tests.support.channel_forge import packable_interpreters
from tests.support.channel_packages import post_link_package, stub_package, tool_package
from tests.support.channel_python import python_package, wheel_package

from ci_envs.command import Command, run

if TYPE_CHECKING:
    from tests.support.channel import Channel
    from tests.support.channel_archive import Member, Package

__all__ = ["lean_python", "make_lean_channel"]

#: What neither our probe, nor uv's, nor the imports of small packages ask for.
_LEFT_OUT = re.compile(
    r"include/|lib/pkgconfig/|bin/(?:2to3|idle|pydoc)|.*/_sysconfigdata_.*dlls|lib/python[^/]+/(?:"
    r"asyncio|concurrent|config-|curses|dbm|distutils|ensurepip|html|http|idlelib|lib2to3|multiprocessing|pydoc_data|"
    r"sqlite3|tkinter|unittest|venv|wsgiref|xml|xmlrpc|zoneinfo|encodings/(?:big5|cp|euc|gb|hp|hz|iso|jo|ks|ma|"
    r"pt|sh|t)|lib-dynload/_(?:asyncio|codecs|crypt|ctypes_test|curses|dbm|decimal|elementtree|multi|sqlite|ssl|test|tk)"
    r")"
)


def make_lean_channel(folder: Path, wheels: Path, series: str) -> Channel:
    """The channel as ``folder/conda-forge``; ``wheels`` has the universe of :mod:`tests.support.projects`.

    ======================  =================================================================
    python                  :func:`lean_python` of the series
    apple 1.0, 1.1, seed    noarch Python packages; apple has the entry point ``eat-apple``
    hello-native            compiled, in two versions, the first one in two builds
    linker                  has a post-link script
    pip                     no pip: a file, for whoever wants one beside a ``pip:`` section
    ======================  =================================================================
    """
    found = packable_interpreters((series,))
    if not found:
        raise RuntimeError(f"no Python {series} here but the system's own, which cannot be packed")
    names = ("apple-1.0", "apple-1.1", "seed-1.0", "seed-1.5")
    noarch = [wheel_package(wheels / f"{name}-py3-none-any.whl", series=series) for name in names]
    tools = [tool_package(), tool_package(build_number=1), tool_package(version="1.1"), post_link_package()]
    packages = [lean_python(python_package(found[0])), stub_package("pip", "25.3"), *noarch, *tools]
    return make_channel(folder / "conda-forge", packages)


def lean_python(package: Package) -> Package:
    """A ``python`` package without most of its standard library, and without symbols."""
    kept = [member for member in package.members if not _LEFT_OUT.match(member.path)]
    return replace(package, members=tuple(_stripped(member) for member in kept))


def _stripped(member: Member) -> Member:
    program = shutil.which("strip")
    if program is None or not member.data.startswith(b"\x7fELF") or len(member.data) < 1 << 18:
        return member
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, posixpath.basename(member.path))
        path.write_bytes(member.data)
        outcome = run(Command((program, "--strip-all", "--", str(path)), timeout=60))
        return replace(member, data=path.read_bytes()) if outcome else member
