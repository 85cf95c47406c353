"""Channels of a folder over HTTP on loopback, with what clients live by: ETags, dates, ranges, credentials, faults.

with ChannelServer(folder) as server:
    server.fail(Fault.status(503), path="/conda-forge/*/repodata.json*")
    ... a tool that reads server.url("conda-forge") ...
    assert server.count("*.conda") == 3
"""

from __future__ import annotations

import hashlib
from email.utils import formatdate, parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from tests.support.faults import Answer, Fault
from tests.support.loopback import NOT_FOUND, Asked, Loopback, ranged

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ChannelServer"]

_TYPES = {".json": "application/json", ".zst": "application/zstd"}


class ChannelServer(Loopback):
    """Serves ``/<channel>/<subdir>/<file>`` from a folder of channels; what is changed there is served at once.

    One way of authorization may be asked for: ``token`` (``/t/<token>/<channel>/...``), ``user`` with ``password``
    (Basic) or ``bearer``. Paths of faults and counts have no token in them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        token: str = "",
        user: str = "",
        password: str = "",
        bearer: str = "",
        max_age: int | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(port)
        self.folder = folder
        #: Seconds for which a client may use what it has without asking (``Cache-Control``); ``None`` says nothing.
        self.max_age = max_age
        self._token = token
        self._wanted = f"{user}:{password}" if user else f"Bearer {bearer}" if bearer else ""
        self._tags: dict[tuple[Path, int, int], str] = {}

    def url(self, channel: str = "conda-forge", *, credentials: str = "") -> str:
        """The channel's address with no slash at its end; with a token or ``user:password`` where given."""
        if self._token and credentials == self._token:
            return f"{self.root_url}t/{credentials}/{channel}"
        return f"{self.root_url.replace('://', f'://{credentials}@' if credentials else '://')}{channel}"

    def count(self, path: str = "*", *, method: str = "GET", status: int | None = None) -> int:
        """How often paths that match the glob were asked for."""
        asked = (one for one in self.requests if one.method == method and status in (None, one.status))
        return sum(fnmatchcase(_split(one.path)[1], path) for one in asked)

    @property
    def downloads(self) -> list[str]:
        """The file names of packages that were brought, in order."""
        brought = (one.path for one in self.requests if one.method == "GET" and one.status in (200, 206))
        return [path.rpartition("/")[2] for path in brought if path.endswith((".conda", ".tar.bz2"))]

    def answer(self, asked: Asked) -> Answer:
        """The answer to a request, faults applied."""
        answer = self.sound(asked)
        for rule in list(self._rules):
            if rule.strikes(_split(asked.path)[1]):
                answer = rule.fault.change(answer)
        return answer

    def sound(self, asked: Asked) -> Answer:
        told, path = _split(asked.path) if self._token else ("", asked.path)
        if told != self._token or (self._wanted and asked.credentials != self._wanted):
            return Fault.status(401).change(Answer())
        file = self.folder.joinpath(*path.strip("/").split("/")).resolve()
        if not file.is_relative_to(self.folder.resolve()) or not file.is_file():
            return NOT_FOUND
        return self._file(file, asked)

    def _file(self, file: Path, asked: Asked) -> Answer:
        body, stat = file.read_bytes(), file.stat()
        key = (file, stat.st_mtime_ns, stat.st_size)
        tag = self._tags.setdefault(key, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        headers = {
            "Content-Type": _TYPES.get(file.suffix, "application/octet-stream"),
            "ETag": tag,
            "Last-Modified": formatdate(stat.st_mtime, usegmt=True),
        }
        if self.max_age is not None:
            headers["Cache-Control"] = f"public, max-age={self.max_age}"
        if _is_known(asked, tag, stat.st_mtime):
            return Answer(304, headers)
        return ranged(Answer(200, headers, body), asked)


def _split(path: str) -> tuple[str, str]:
    """The token of a path, if any, and the path without it."""
    match path.split("/", 3):
        case ["", "t", token, rest]:
            return token, f"/{rest}"
        case _:
            return "", path


def _is_known(asked: Asked, tag: str, changed: float) -> bool:
    """Whether the client has it already; an ETag goes before a date (RFC 9110, 13.2.2)."""
    if tags := asked.header("If-None-Match"):
        return tag in (one.strip().removeprefix("W/") for one in tags.split(","))
    if since := asked.header("If-Modified-Since"):
        return int(changed) <= parsedate_to_datetime(since).timestamp()
    return False
