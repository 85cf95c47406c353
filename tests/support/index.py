"""A package index on loopback over a folder of wheels and sdists, which can misbehave on demand.

    with Index(folder) as index:
        index.fail(Fault.status(503, retry_after=1), path="/simple/apple/", times=2)
        ... a tool that installs from index.url ...
        assert index.credentials == set()

It answers with PEP 503 pages or PEP 691 JSON, as the client asks; with METADATA on its own (PEP 658, PEP 714),
upload times and sizes (PEP 700), yanked files (PEP 592) and ranges of a file.
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from tests.support.faults import Answer, Fault
from tests.support.listing import JSON_TYPE, Listing, write_static
from tests.support.loopback import NOT_FOUND, Asked, Loopback, Request, ranged

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Index", "Request"]

_HTML_TYPE = "text/html; charset=utf-8"


class Index(Loopback):
    """The index.

    Paths are ``/simple/<name>/``, ``/files/<file name>`` and ``/files/<file name>.metadata``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        user: str = "",
        password: str = "",
        json: bool = True,
        core_metadata: bool = True,
        ranges: bool = True,
    ) -> None:
        super().__init__()
        #: Wheels and sdists; what is added to it later is served at once.
        self.folder = folder
        self.listing = Listing(folder, core_metadata=core_metadata)
        self.json = json
        self.ranges = ranges
        self._wanted = f"{user}:{password}" if user else ""

    @property
    def url(self) -> str:
        """The address for ``--index-url``, without credentials, ending with a slash."""
        return f"{self.root_url}simple/"

    @property
    def files_url(self) -> str:
        """The address of the folder of files, ending with a slash."""
        return f"{self.root_url}files/"

    def url_with(self, credentials: str) -> str:
        """The address with ``user:password`` in it."""
        return self.url.replace("://", f"://{credentials}@")

    # How it misbehaves.

    def heal(self) -> None:
        """Forgets every fault, yank and upload time, and the requests so far."""
        super().heal()
        self.listing.yanked.clear()
        self.listing.times.clear()

    def yank(self, files: str, reason: str = "") -> None:
        """Yanks the files that match the glob."""
        self.listing.yanked |= dict.fromkeys(self._matching(files), reason)

    def uploaded(self, files: str, when: str) -> None:
        """Sets the upload time, ISO 8601 with its zone, of the files that match the glob."""
        self.listing.times |= dict.fromkeys(self._matching(files), when)

    def write_static(self, out: Path) -> str:
        """Writes the same index into a folder; returns its ``file://`` address."""
        return write_static(self.listing, out)

    # What it saw.

    @property
    def downloads(self) -> list[str]:
        """The names of the files that were asked for, metadata and ranges of them left out."""
        whole = (r for r in self.requests if r.path.startswith("/files/") and r.method == "GET" and not r.range)
        return [r.path.removeprefix("/files/") for r in whole if not r.path.endswith(".metadata")]

    def _matching(self, files: str) -> list[str]:
        names = [entry.filename for entry in self.listing.entries() if fnmatch.fnmatchcase(entry.filename, files)]
        if not names:
            raise ValueError(f"no file here matches {files!r}")
        return names

    # How it answers.

    def sound(self, asked: Asked) -> Answer:
        if self._wanted and asked.credentials != self._wanted:
            return Fault.status(401).change(Answer())
        path, accept = asked.path, asked.header("Accept")
        match path.strip("/").split("/"):
            case ["simple"]:
                return self._page(accept, self.listing.root_html, self.listing.root_json)
            case ["simple", name]:
                return self._project(path, name, accept)
            case ["files", filename]:
                return self._file(filename, asked)
            case _:
                return NOT_FOUND

    def _project(self, path: str, name: str, accept: str) -> Answer:
        project = canonicalize_name(name)
        if path != f"/simple/{project}/":
            return Answer(301, {"Location": f"/simple/{project}/"})
        if not self.listing.entries(project):
            return NOT_FOUND
        return self._page(
            accept,
            lambda: self.listing.project_html(project, "../../files/"),
            lambda: self.listing.project_json(project, self.files_url),
        )

    def _page(self, accept: str, as_html: Any, as_json: Any) -> Answer:
        if self.json and JSON_TYPE in accept:
            return Answer(200, {"Content-Type": JSON_TYPE, "Vary": "Accept"}, as_json().encode())
        return Answer(200, {"Content-Type": _HTML_TYPE, "Vary": "Accept"}, as_html().encode())

    def _file(self, filename: str, asked: Asked) -> Answer:
        for entry in self.listing.entries():
            if filename == f"{entry.filename}.metadata" and entry.metadata:
                return Answer(200, {"Content-Type": "application/octet-stream"}, entry.metadata)
            if filename == entry.filename:
                body = (self.folder / filename).read_bytes()
                whole = Answer(200, {"Content-Type": "application/octet-stream"}, body)
                return ranged(whole, asked) if self.ranges else whole
        return NOT_FOUND
