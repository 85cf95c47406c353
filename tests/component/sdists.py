"""Real projects that no one here wrote: sdists from the index, pinned by hash, whose own tests pass in seconds.

Each was tried by hand in a fresh environment under Python 3.11 and 3.12, its tests without any network, first with the
commands that its table row tells. Counts are those of both Pythons.
"""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ci_envs.command import Command, run

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MORE_SDISTS", "SDISTS", "Sdist", "fetch_sdist", "unpack_sdist"]


@dataclass(frozen=True, slots=True)
class Sdist:
    """One sdist and what is known of it."""

    name: str
    version: str
    #: Of the sdist, in hexadecimal.
    sha256: str
    kind: Literal["requirements", "extras", "extension", "group", "frozen"]
    #: What ``uv pip install`` was told, from the unpacked folder.
    install: tuple[str, ...]
    #: What its own tests gave.
    passed: int
    skipped: int = 0
    #: Why it is here.
    why: str = ""

    @property
    def filename(self) -> str:
        """As the index names it."""
        return f"{self.name.replace('-', '_')}-{self.version}.tar.gz"

    @property
    def requirement(self) -> str:
        """For pip's hash-checking mode."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


SDISTS = (
    Sdist(
        name="itsdangerous",
        version="2.2.0",
        sha256="e0050c0b7da1eea53ffaf149c0cfbb5c6e2e2b69c4bef22c81fa6eb73e5f6173",
        kind="requirements",
        install=("-r", "requirements/tests.in", "-e", "."),
        passed=297,
        why="pip-tools' layout: requirements/*.in and *.txt without hashes; no extras, no groups; flit",
    ),
    Sdist(
        name="humanize",
        version="4.17.0",
        sha256="1d6a36c453dbfbb3f0b34601d2e0b4ce5d48d780305cd45714843f0068fde6ac",
        kind="extras",
        install=("-e", ".[tests]"),
        passed=908,
        why="PEP 621 with the extra tests; hatchling, its version from PKG-INFO by hatch-vcs; tox.ini",
    ),
    Sdist(
        name="markupsafe",
        version="3.0.4",
        sha256="2e9ad7dd851bf45fab9f75cbff4cb493fee9979e8d8c7c9c3ee119022518edd6",
        kind="extension",
        install=("--group", "tests", "-e", "."),
        passed=79,
        # One more test of 80 is for a build without the extension: 39 passed would mean that it was not built.
        skipped=1,
        why="a C extension that its tests run with and without; dependency groups; its own uv.lock and default-groups",
    ),
)

#: Further ones of other shapes, tried the same way.
MORE_SDISTS = (
    Sdist(
        name="glom",
        version="25.12.0",
        sha256="1ae7da88be3693df40ad27bdf57a765a55c075c86c971bcddd67927403eb0069",
        kind="frozen",
        install=("-r", "requirements.txt", "-e", "."),
        passed=200,
        why="setup.py and a root requirements.txt, pinned for Python 3.7 without hashes, pytest in it",
    ),
    Sdist(
        name="tenacity",
        version="9.2.1",
        sha256="a606b5c808d0cded4a359d5b9932d867ff2a6a6b64d37350260fd01bbdf83839",
        kind="extras",
        install=("-e", ".[test]"),
        passed=184,
        skipped=1,
        why="two extras and a dependency group; which one the tests want is a question",
    ),
    Sdist(
        name="msgpack",
        version="1.2.4",
        sha256="475c44e12f2a5de766a8448783f149c9b33f3f49b88953c6cd739a77d93c732c",
        kind="extension",
        install=("--group", "dev", "-e", "."),
        passed=160,
        skipped=1,
        why="a C++ extension in a flat layout: installed not editable, the tests see the folder without the extension",
    ),
)


def fetch_sdist(sdist: Sdist, folder: Path, pip: Path) -> Path:
    """Downloads an sdist from the index that whoever runs the tests has set up; what is there already is kept.

    ``pip`` is an interpreter that has pip. Raises :class:`RuntimeError` where it cannot be had or is another one.
    """
    path = folder / sdist.filename
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = folder / f"{sdist.name}.txt"
        wanted.write_text(f"{sdist.requirement}\n", encoding="utf-8")
        options = ("--no-deps", "--require-hashes", "--no-binary", sdist.name, "-d", str(folder), "-r", str(wanted))
        outcome = run(Command((str(pip), "-m", "pip", "download", "-q", *options), timeout=100))
        wanted.unlink()
        if not outcome:
            raise RuntimeError(f"cannot download {sdist.filename}:\n{outcome.tail()}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sdist.sha256:
        raise RuntimeError(f"{sdist.filename} has SHA-256 {found}, not {sdist.sha256}")
    return path


def unpack_sdist(archive: Path, folder: Path) -> Path:
    """Unpacks an sdist; returns the project's folder."""
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")
