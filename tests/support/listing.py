"""What a folder of wheels and sdists says as an index: PEP 503 pages, PEP 691 JSON, PEP 658 metadata. Pure but for
reading the files."""

from __future__ import annotations

import hashlib
import html
import json
import tarfile
import zipfile
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from packaging.metadata import parse_email
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["JSON_TYPE", "Entry", "Listing", "write_static"]

#: https://packaging.python.org/en/latest/specifications/simple-repository-api/
JSON_TYPE = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as a listing tells of it."""

    filename: str
    project: str
    version: str
    sha256: str
    size: int
    requires_python: str
    #: The bytes of its METADATA; empty for an sdist.
    metadata: bytes
    #: ISO 8601 with its zone.
    upload_time: str = ""
    #: ``None`` is not yanked; the reason may be empty.
    yanked: str | None = None


@dataclass(slots=True)
class Listing:
    """A folder read as an index. Files may come and go between two calls."""

    folder: Path
    #: Upload time by file name; the others were uploaded at ``default_time``.
    times: dict[str, str] = field(default_factory=dict)
    #: Reason by file name (PEP 592).
    yanked: dict[str, str] = field(default_factory=dict)
    default_time: str = "2024-01-01T00:00:00Z"
    #: Whether METADATA is offered on its own (PEP 658, PEP 714).
    core_metadata: bool = True

    def entries(self, project: str | None = None) -> list[Entry]:
        """Every file, or those of one project by its normalised name, sorted by file name."""
        paths = sorted(path for path in self.folder.iterdir() if path.name.endswith((".whl", ".tar.gz")))
        rows = [self._entry(path) for path in paths]
        return [row for row in rows if project is None or row.project == project]

    def names(self) -> list[str]:
        """The normalised names of all projects."""
        return sorted({entry.project for entry in self.entries()})

    def _entry(self, path: Path) -> Entry:
        stat = path.stat()
        project, version, sha256, requires_python, metadata = _facts(path, stat.st_mtime_ns, stat.st_size)
        return Entry(
            filename=path.name,
            project=project,
            version=version,
            sha256=sha256,
            size=stat.st_size,
            requires_python=requires_python,
            metadata=metadata if self.core_metadata else b"",
            upload_time=self.times.get(path.name, self.default_time),
            yanked=self.yanked.get(path.name),
        )

    def root_html(self) -> str:
        """The list of projects."""
        return _page(f'<a href="{name}/">{name}</a><br>' for name in self.names())

    def root_json(self) -> str:
        """The list of projects, as JSON."""
        return json.dumps({"meta": {"api-version": "1.1"}, "projects": [{"name": name} for name in self.names()]})

    def project_html(self, project: str, files: str) -> str:
        """A project's page; ``files`` is the address of the folder of files, ending with a slash."""
        return _page(_anchor(entry, files) for entry in self.entries(project))

    def project_json(self, project: str, files: str) -> str:
        """A project's page as JSON, with the fields of PEP 700."""
        entries = self.entries(project)
        return json.dumps(
            {
                "meta": {"api-version": "1.1"},
                "name": project,
                "versions": sorted({entry.version for entry in entries}),
                "files": [_file(entry, files) for entry in entries],
            }
        )


def write_static(listing: Listing, out: Path) -> str:
    """Writes the pages and the files into a folder; returns the ``file://`` address of its ``simple`` folder."""
    files = out / "files"
    files.mkdir(parents=True, exist_ok=True)
    for entry in listing.entries():
        (files / entry.filename).write_bytes((listing.folder / entry.filename).read_bytes())
        if entry.metadata:
            (files / f"{entry.filename}.metadata").write_bytes(entry.metadata)
    pages = {"": listing.root_html()} | {name: listing.project_html(name, "../../files/") for name in listing.names()}
    for name, page in pages.items():
        folder = out / "simple" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.html").write_text(page, encoding="utf-8")
    return (out / "simple").resolve().as_uri() + "/"


@cache
def _facts(path: Path, mtime_ns: int, size: int) -> tuple[str, str, str, str, bytes]:
    """Project, version, SHA-256, Requires-Python, METADATA. The file's name speaks, as it does on a real index."""
    if path.suffix == ".whl":
        name, version, *_ = parse_wheel_filename(path.name)
        metadata = shown = _wheel_metadata(path)
    else:
        name, version = parse_sdist_filename(path.name)
        metadata, shown = _sdist_metadata(path), b""
    requires_python = parse_email(metadata)[0].get("requires_python", "")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return canonicalize_name(name), str(version), sha256, requires_python, shown


def _wheel_metadata(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA")))


def _sdist_metadata(path: Path) -> bytes:
    with tarfile.open(path) as archive:
        member = archive.extractfile(
            next(name for name in archive.getnames() if name.count("/") == 1 and name.endswith("/PKG-INFO"))
        )
        return member.read() if member is not None else b""


def _page(lines: Iterable[str]) -> str:
    head = '<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="1.1"><title>Simple index</title>'
    return "\n".join([head + "</head><body>", *lines, "</body></html>", ""])


def _anchor(entry: Entry, files: str) -> str:
    attributes = {"href": f"{files}{entry.filename}#sha256={entry.sha256}"}
    if entry.requires_python:
        attributes["data-requires-python"] = entry.requires_python
    if entry.metadata:
        digest = f"sha256={hashlib.sha256(entry.metadata).hexdigest()}"
        attributes |= {"data-core-metadata": digest, "data-dist-info-metadata": digest}
    if entry.yanked is not None:
        attributes["data-yanked"] = entry.yanked
    written = " ".join(f'{name}="{html.escape(value)}"' for name, value in attributes.items())
    return f"<a {written}>{entry.filename}</a><br>"


def _file(entry: Entry, files: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        "filename": entry.filename,
        "url": f"{files}{entry.filename}",
        "hashes": {"sha256": entry.sha256},
        "size": entry.size,
        "upload-time": entry.upload_time,
        "yanked": False if entry.yanked is None else entry.yanked or True,
    }
    if entry.requires_python:
        told["requires-python"] = entry.requires_python
    if entry.metadata:
        digest = {"sha256": hashlib.sha256(entry.metadata).hexdigest()}
        told |= {"core-metadata": digest, "data-dist-info-metadata": digest}
    return told
