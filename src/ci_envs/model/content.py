"""Every file of an environment, as it was read once; and what its RECORD files claim about them. No I/O."""

from __future__ import annotations

import configparser
import csv
import io
import posixpath
import re
import unicodedata
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from ci_envs.model.conda_record import BrokenRecord, read_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci_envs.model.conda_record import CondaRecord

__all__ = ["INSTALLER_FILES", "Content", "Entry", "Installed", "Row", "shown"]

#: What an installer adds to a distribution's metadata folder, about itself and about how it was called.
INSTALLER_FILES = frozenset(("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"))

# The folders that installers write distributions to, by sysconfig's schemes of CPython, PyPy, conda, Debian, Windows.
_SITE = re.compile(r"(?:lib|lib64|Lib)/(?:(?:python|pypy)[^/]*/)?(?:site|dist)-packages(?=/)")


class Entry(NamedTuple):
    """One file."""

    #: Relative to the prefix, with forward slashes; undecodable bytes are surrogates (PEP 383).
    path: str
    #: ``file``, ``link``, ``dir-link`` (to a folder), ``other`` (socket, pipe, device) or ``unreadable``.
    kind: str
    #: Bytes; 0 for anything but a file.
    size: int
    mtime_ns: int
    #: Whether anybody may execute it. Always false on Windows, which has no such mark.
    executable: bool
    #: Hexadecimal, of a file's bytes; empty for anything else.
    sha256: str
    #: Of a link, as it is written; of what is unreadable, the reason.
    target: str


class Row(NamedTuple):
    """One row of a RECORD (https://packaging.python.org/en/latest/specifications/recording-installed-packages/)."""

    #: Relative to the prefix; empty where the row leads outside.
    path: str
    #: As the row has it.
    written: str
    #: ``sha256``; empty where the row has no hash.
    algorithm: str
    #: URL-safe base 64 without padding.
    digest: str
    size: str


@dataclass(frozen=True, slots=True)
class Installed:
    """One distribution, by its metadata folder."""

    #: Normalised as PEP 503 asks.
    name: str
    version: str
    #: The metadata folder (or the file that distutils left), relative to the prefix.
    folder: str
    #: ``None`` where there is no RECORD.
    rows: tuple[Row, ...] | None
    #: Console and GUI scripts: name -> ``module:attribute``.
    scripts: Mapping[str, str]

    @property
    def site(self) -> str:
        """The site-packages folder it is in."""
        return self.folder.rpartition("/")[0]


@dataclass(frozen=True)
class Content:
    """What is below one prefix."""

    prefix: str
    #: The prefix by each name that its files may call it: as it was given, and with links resolved.
    roots: tuple[str, ...]
    #: Sorted by path.
    entries: tuple[Entry, ...]
    #: The bytes of small files that say what the others are: scripts, metadata, ``pyvenv.cfg``.
    data: Mapping[str, bytes]
    #: Of files that conda's installers have put the prefix into: the SHA-256 with the placeholder in its place again,
    #: where that is the one which the package names; else what is the same at every prefix (see ``probe.py``).
    originals: Mapping[str, str] = field(default_factory=dict)
    masked: Mapping[str, str] = field(default_factory=dict)
    #: Whether its file system takes ``Include`` and ``include`` for one name, as those of Windows and macOS do.
    folds_case: bool = False

    @cached_property
    def by_path(self) -> Mapping[str, Entry]:
        """Entries by path."""
        return {entry.path: entry for entry in self.entries}

    @property
    def files(self) -> int:
        """How many files there are, links not counted."""
        return sum(entry.kind == "file" for entry in self.entries)

    @property
    def bytes(self) -> int:
        """Their sizes, added."""
        return sum(entry.size for entry in self.entries)

    def text(self, path: str) -> str | None:
        """A small file's text, if it was kept."""
        data = self.data.get(path)
        return None if data is None else data.decode("utf-8", "surrogateescape")

    @cached_property
    def is_conda(self) -> bool:
        """Whether it is a conda environment; a virtual environment is none, whatever is in it."""
        return "pyvenv.cfg" not in self.by_path and any(e.path.startswith("conda-meta/") for e in self.entries)

    @property
    def conda(self) -> tuple[CondaRecord, ...]:
        """The conda packages, by their records, sorted by their names."""
        return self._records[0]

    @property
    def conda_broken(self) -> tuple[BrokenRecord, ...]:
        """The records of conda packages that cannot be read."""
        return self._records[1]

    @cached_property
    def _records(self) -> tuple[tuple[CondaRecord, ...], tuple[BrokenRecord, ...]]:
        return read_records(self.data, windows=self.scripts == "Scripts") if self.is_conda else ((), ())

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """Where its interpreter may lie, by each absolute name: conda's for Windows is at the top."""
        inside = (f"/{self.scripts}", "") if self.is_conda and self.scripts == "Scripts" else (f"/{self.scripts}",)
        return tuple(root + folder for root in self.roots for folder in inside)

    @cached_property
    def scripts(self) -> str:
        """The scripts folder: ``Scripts`` in an environment made on Windows, else ``bin``."""
        return "Scripts" if any(entry.path.startswith("Scripts/") for entry in self.entries) else "bin"

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """The site-packages folders."""
        paths = (entry.path for entry in self.entries)
        return tuple(sorted({match[0] for path in paths if "-packages/" in path and (match := _SITE.match(path))}))

    @cached_property
    def installed(self) -> tuple[Installed, ...]:
        """The distributions, by their metadata folders, sorted."""
        folders = {folder for entry in self.entries if (folder := self._metadata_folder(entry.path))}
        return tuple(self._read(folder) for folder in sorted(folders))

    def resolve(self, site: str, written: str) -> str:
        """A RECORD row's path, relative to the prefix; empty where it leads outside.

        Rows are relative to site-packages. An absolute one is right only below the prefix; uv writes backslashes
        on Windows; ``lib64`` is ``lib`` where a virtual environment links it so.
        """
        path = written.replace("\\", "/") if self.scripts == "Scripts" else written
        if path.startswith("/") or re.match(r"[A-Za-z]:/", path):
            root = next((root for root in self.roots if self._folded(path).startswith(self._folded(f"{root}/"))), None)
            path = path[len(root) + 1 :] if root else ".."
        else:
            path = f"{site}/{path}"
        if "/." in path or "//" in path:
            path = posixpath.normpath(path)
        if path.startswith("../") or path == "..":
            return ""
        path = path.replace("lib64/", "lib/", 1) if path.startswith("lib64/") and self._lib64_is_lib else path
        return self._as_listed(path) if self.folds_case else path

    def _as_listed(self, path: str) -> str:
        """The spelling that the file system has: an installer writes into ``include`` where there is an ``Include``."""
        return path if path in self.by_path else self._spellings.get(self._folded(path), path)

    @cached_property
    def _spellings(self) -> Mapping[str, str]:
        return {self._folded(path): path for path in self.by_path}

    def _folded(self, path: str) -> str:
        """What is the same for all names of one file. APFS does not tell the forms of Unicode apart either."""
        return unicodedata.normalize("NFC", path).casefold() if self.folds_case else path

    @cached_property
    def _lib64_is_lib(self) -> bool:
        link = self.by_path.get("lib64")
        return link is not None and link.kind == "dir-link" and link.target == "lib"

    def _metadata_folder(self, path: str) -> str:
        """``.../x-1.dist-info`` where the path is it or lies in it; an ``.egg-info`` may be a file."""
        cut = path.find("-info")
        if (
            cut < 0
            or not path[: cut + 5].endswith((".dist-info", ".egg-info"))
            or path[cut + 5 : cut + 6] not in ("", "/")
        ):
            return ""
        folder = path[: cut + 5]
        return folder if folder.rpartition("/")[0] in self.sites else ""

    def _read(self, folder: str) -> Installed:
        site, _, name = folder.rpartition("/")
        project, _, version = name.rpartition(".")[0].partition("-")
        record = self.text(f"{folder}/RECORD")
        return Installed(
            name=re.sub(r"[-_.]+", "-", project).lower(),
            version=version.partition("-")[0],
            folder=folder,
            rows=None if record is None else tuple(self._rows(site, record)),
            scripts=_scripts(self.text(f"{folder}/entry_points.txt") or ""),
        )

    def _rows(self, site: str, record: str) -> Iterable[Row]:
        try:
            for written, named, size in _padded(record):
                algorithm, _, digest = named.partition("=")
                yield Row(self.resolve(site, written), written, algorithm, digest.rstrip("="), size)
        except csv.Error as error:
            # A row that leads nowhere is refused by whoever reads it; what follows cannot be read.
            yield Row("", f"({error})", "", "", "")


def _padded(record: str) -> Iterable[tuple[str, str, str]]:
    for row in csv.reader(io.StringIO(record, newline="")):
        if row:
            path, named, size, *_ = (*row, "", "")
            yield path, named, size


def _scripts(text: str) -> dict[str, str]:
    """https://packaging.python.org/en/latest/specifications/entry-points/#file-format; extras are of no matter here."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep case
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    return {
        name.strip(): value.partition("[")[0].strip().replace(" ", "")
        for group in ("console_scripts", "gui_scripts")
        if parser.has_section(group)
        for name, value in parser.items(group)
    }


def shown(path: str) -> str:
    """A path for a message: what does not print, half surrogates and line ends among it, is written out."""
    if path.isprintable():
        return path
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in path)
