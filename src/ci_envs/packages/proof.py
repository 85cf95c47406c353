"""Whether an environment from a cache is what the lock's wheels make, file by file. Pure, but for reading the wheels.

What is known for sure are the wheels, whose SHA-256 the lock names, and an empty environment that was made here a
moment ago at the same path. Each file must come from one of them: a file of the empty environment, byte for byte; a
file that a wheel's own RECORD lists, with that hash; a launcher of an entry point that a wheel has; and an installer's
notes. The RECORD files of the environment prove nothing: whoever wrote the cache may have written these, too.
"""

from __future__ import annotations

import csv
import io
import os
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ci_envs.launchers import is_launcher, without_interpreter
from ci_envs.model.content import shown
from ci_envs.plain import one_line
from ci_envs.record_hashes import recorded_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci_envs.model.content import Content, Entry
    from ci_envs.packages.wheels import Wheel

__all__ = ["unproven"]

#: What uv notes about itself beside a wheel's metadata, with the most bytes that it has; nothing that runs reads them.
_NOTES = {"INSTALLER": 8, "REQUESTED": 0, "uv_cache.json": 4096}

#: uv takes this lock, and makes the file, whenever it looks at an environment.
_LOCK = ".lock"


def unproven(content: Content, empty: Content, wheels: Iterable[Wheel]) -> Iterator[str]:
    """What of an environment cannot be proved, as sentences; nothing where all is as it would be built.

    ``empty`` is the environment at the same path before anything was installed.
    """
    if len(content.sites) > 1:
        yield f"it has {len(content.sites)} folders of packages"
        return
    made = _Made(content)
    for wheel in wheels:
        try:
            made.add(wheel)
        except (KeyError, ValueError, csv.Error, zipfile.BadZipFile) as error:
            yield f"{wheel.path.name} cannot prove it: {one_line(str(error), 80)}"
    for entry in content.entries:
        known = empty.by_path.get(entry.path)
        why = _other_than(entry, known) if known else made.why_not(entry)
        if why and (entry.path, entry.kind) != (_LOCK, "file"):
            yield f"{shown(entry.path)} {why}"
    for path in sorted((empty.by_path.keys() | made.files.keys() | made.scripts.keys()) - content.by_path.keys()):
        if path != _LOCK:
            yield f"{shown(path)} is missing"
    yield from made.false_records()


def _other_than(entry: Entry, known: Entry) -> str:
    same = (entry.kind, entry.executable, entry.sha256, entry.target)
    return "" if same == (known.kind, known.executable, known.sha256, known.target) else "is not as it is made here"


@dataclass
class _Made:
    """What wheels make of an empty environment."""

    content: Content
    #: By path: the RECORD's words for the hash, and whether the wheel marks it as executable.
    files: dict[str, set[tuple[str, bool]]] = field(default_factory=dict)
    #: By path: scripts as wheels have them, and ``module:attribute`` of launchers.
    scripts: dict[str, bytes | str] = field(default_factory=dict)
    #: By metadata folder: the paths of its distribution.
    claims: dict[str, set[str]] = field(default_factory=dict)

    @property
    def site(self) -> str:
        return next(iter(self.content.sites), "")

    def add(self, wheel: Wheel) -> None:
        """The files of one wheel."""
        folder = f"{self.site}/{wheel.folder}"
        self.claims[folder] = {f"{folder}/RECORD"}
        with zipfile.ZipFile(wheel.path) as archive:
            for written, named in _rows(archive, f"{wheel.folder}/RECORD"):
                kind, path = self._place(wheel, written)
                self.claims[folder].add(path)
                # Of a script for Python an installer writes the first line anew; any other is a program as it is.
                if kind == "scripts" and (data := archive.read(written)).startswith(b"#!python"):
                    self.scripts[path] = data
                else:
                    marked = kind == "scripts" or bool(archive.getinfo(written).external_attr >> 16 & 0o111)
                    self.files.setdefault(path, set()).add((named.rstrip("="), marked and os.name != "nt"))
        # Its entry_points.txt is one of the files that are compared.
        told = next((each.scripts for each in self.content.installed if each.folder == folder), {})
        end = ".exe" if self.content.scripts == "Scripts" else ""
        launchers = {f"{self.content.scripts}/{name}{end}": reference for name, reference in told.items()}
        self.claims[folder] |= launchers.keys()
        self.scripts |= launchers

    def _place(self, wheel: Wheel, written: str) -> tuple[str, str]:
        """Where an installer puts a member of a wheel (PEP 427, "The .data directory")."""
        data = f"{wheel.folder.removesuffix('.dist-info')}.data/"
        if not written.startswith(data):
            return "site", f"{self.site}/{written}"
        kind, _, rest = written.removeprefix(data).partition("/")
        tops = {
            "purelib": f"{self.site}/",
            "platlib": f"{self.site}/",
            "data": "",
            "scripts": f"{self.content.scripts}/",
        }
        return kind, f"{tops[kind]}{rest}" if kind in tops else written  # headers stay unproved: their place differs

    def why_not(self, entry: Entry) -> str:
        """Why an entry is not one that the wheels make; empty where it is."""
        if entry.kind != "file":
            return f"is a {entry.kind}, which no package has"
        if entry.path in self.scripts:
            return "" if self._is_script(entry) else "is not the script that its package has"
        if entry.path in self.files:
            named = f"sha256={recorded_digest(entry.sha256)}"
            return "" if (named, entry.executable) in self.files[entry.path] else "is not the file that its package has"
        folder, _, name = entry.path.rpartition("/")
        noted = folder in self.claims and (name == "RECORD" or entry.size <= _NOTES.get(name, -1))
        return "" if noted else "is no package's"

    def false_records(self) -> Iterator[str]:
        """RECORD files that list more or less than what is their distribution's, which uninstalling would go by."""
        for found in self.content.installed:
            claims = self.claims.get(found.folder)
            if claims is None:
                continue  # of the empty environment's own pip
            notes = {f"{found.folder}/{name}" for name in _NOTES}
            if {row.path for row in found.rows or ()} - notes != claims:
                yield f"{shown(found.folder)}/RECORD does not list what its package has"

    def _is_script(self, entry: Entry) -> bool:
        data, expected = self.content.data.get(entry.path, b""), self.scripts[entry.path]
        if isinstance(expected, str):
            return is_launcher(data, expected, self.content.folders)
        return without_interpreter(data, self.content.folders) == expected


def _rows(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[str, str]]:
    for row in csv.reader(io.StringIO(archive.read(name).decode("utf-8"), newline="")):
        if row and row[0] != name:
            yield row[0], row[1] if len(row) > 1 else ""
