"""A package index on loopback over a folder of wheels and sdists, which can misbehave on demand.

    with Index(folder) as index:
        index.fail(Fault.status(503, retry_after=1), path="/simple/apple/", times=2)
        ... a tool that installs from index.url ...
        assert index.credentials == set()

It answers with PEP 503 pages or PEP 691 JSON, as the client asks; with METADATA on its own (PEP 658, PEP 714),
upload times and sizes (PEP 700), yanked files (PEP 592) and ranges of a file.
"""

from __future__ import annotations

import base64
import contextlib
import fnmatch
import re
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name
from tests.support.faults import Answer, Fault, Rule
from tests.support.listing import JSON_TYPE, Listing, write_static

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Index", "Request"]

_HTML_TYPE = "text/html; charset=utf-8"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the index saw it."""

    method: str
    path: str
    #: What it was answered with.
    status: int
    #: ``user:password`` of Basic authorization; any other scheme as it was sent; empty for none.
    credentials: str
    range: str
    accept: str
    user_agent: str


class Index:
    """The index. A context manager; :meth:`stop` and :meth:`start` keep its port, so that it can be down and up."""

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
        #: Wheels and sdists; what is added to it later is served at once.
        self.folder = folder
        self.listing = Listing(folder, core_metadata=core_metadata)
        self.json = json
        self.ranges = ranges
        #: Every request so far, in the order in which they were answered.
        self.requests: list[Request] = []
        #: What went wrong in the index itself; :meth:`stop` raises it.
        self.errors: list[BaseException] = []
        self._wanted = f"{user}:{password}" if user else ""
        self._rules: list[Rule] = []
        self._server: _Server | None = None
        self._port = 0
        self.stopping = threading.Event()

    def __enter__(self) -> Index:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listens, on the port it had before if it had one."""
        self.stopping.clear()
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Ends every connection and closes the port: the next one is refused."""
        server, self._server = self._server, None
        if server is None:
            return
        self.stopping.set()
        server.shutdown()
        server.end_connections()
        server.server_close()
        if self.errors:
            raise self.errors[0]

    @property
    def url(self) -> str:
        """The address for ``--index-url``, without credentials, ending with a slash."""
        return f"http://127.0.0.1:{self._port}/simple/"

    @property
    def files_url(self) -> str:
        """The address of the folder of files, ending with a slash."""
        return f"http://127.0.0.1:{self._port}/files/"

    def url_with(self, credentials: str) -> str:
        """The address with ``user:password`` in it."""
        return self.url.replace("://", f"://{credentials}@")

    # How it misbehaves.

    def fail(self, fault: Fault, path: str = "*", times: int | None = None) -> Rule:
        """Applies a fault to requests whose path matches the glob: the first ``times`` of them, or always.

        Paths are ``/simple/<name>/``, ``/files/<file name>`` and ``/files/<file name>.metadata``. Faults that match
        one request apply in the order in which they were added.
        """
        rule = Rule(fault, path, times)
        self._rules.append(rule)
        return rule

    def heal(self) -> None:
        """Forgets every fault, yank and upload time, and the requests so far."""
        self._rules.clear()
        self.listing.yanked.clear()
        self.listing.times.clear()
        self.requests.clear()

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
    def paths(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [request.path for request in self.requests]

    @property
    def downloads(self) -> list[str]:
        """The names of the files that were asked for, metadata and ranges of them left out."""
        whole = (r for r in self.requests if r.path.startswith("/files/") and r.method == "GET" and not r.range)
        return [r.path.removeprefix("/files/") for r in whole if not r.path.endswith(".metadata")]

    @property
    def credentials(self) -> set[str]:
        """What clients authorised themselves with."""
        return {request.credentials for request in self.requests if request.credentials}

    def _matching(self, files: str) -> list[str]:
        names = [entry.filename for entry in self.listing.entries() if fnmatch.fnmatchcase(entry.filename, files)]
        if not names:
            raise ValueError(f"no file here matches {files!r}")
        return names

    # How it answers; called from the server's threads.

    def answer(self, path: str, accept: str, range_asked: str, credentials: str) -> Answer:
        """The answer to a request, faults applied."""
        answer = self._sound(path, accept, range_asked, credentials)
        for rule in list(self._rules):
            if rule.strikes(path):
                answer = rule.fault.change(answer)
        return answer

    def _sound(self, path: str, accept: str, range_asked: str, credentials: str) -> Answer:
        if self._wanted and credentials != self._wanted:
            return Fault.status(401).change(Answer())
        match path.strip("/").split("/"):
            case ["simple"]:
                return self._page(accept, self.listing.root_html, self.listing.root_json)
            case ["simple", name]:
                return self._project(path, name, accept)
            case ["files", filename]:
                return self._file(filename, range_asked)
            case _:
                return _NOT_FOUND

    def _project(self, path: str, name: str, accept: str) -> Answer:
        project = canonicalize_name(name)
        if path != f"/simple/{project}/":
            return Answer(301, {"Location": f"/simple/{project}/"})
        if not self.listing.entries(project):
            return _NOT_FOUND
        return self._page(
            accept,
            lambda: self.listing.project_html(project, "../../files/"),
            lambda: self.listing.project_json(project, self.files_url),
        )

    def _page(self, accept: str, as_html: Any, as_json: Any) -> Answer:
        if self.json and JSON_TYPE in accept:
            return Answer(200, {"Content-Type": JSON_TYPE, "Vary": "Accept"}, as_json().encode())
        return Answer(200, {"Content-Type": _HTML_TYPE, "Vary": "Accept"}, as_html().encode())

    def _file(self, filename: str, range_asked: str) -> Answer:
        for entry in self.listing.entries():
            if filename == f"{entry.filename}.metadata" and entry.metadata:
                return Answer(200, {"Content-Type": "application/octet-stream"}, entry.metadata)
            if filename == entry.filename:
                body = (self.folder / filename).read_bytes()
                return self._ranged(Answer(200, {"Content-Type": "application/octet-stream"}, body), range_asked)
        return _NOT_FOUND

    def _ranged(self, answer: Answer, range_asked: str) -> Answer:
        if not self.ranges:
            return answer
        answer = replace(answer, headers={**answer.headers, "Accept-Ranges": "bytes"})
        found = _RANGE.match(range_asked)
        if found is None or found.groups() == ("", ""):
            return answer
        size = len(answer.body)
        first, last = found.groups()
        start = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last else size
        if start >= end:
            return Answer(416, {"Content-Range": f"bytes */{size}"})
        headers = {**answer.headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"}
        return Answer(206, headers, answer.body[start:end])


_NOT_FOUND = Answer(404, {"Content-Type": "text/plain"}, b"404 Not Found\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], index: Index) -> None:
        self.index = index
        self.to_reset: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        if request in self.to_reset:
            self.to_reset.discard(request)
            request.close()  # with SO_LINGER 0: RST, where a shutdown first would send FIN
        else:
            super().shutdown_request(request)

    def end_connections(self) -> None:
        """Wakes the threads that wait for a client, and waits for them to close what they hold."""
        deadline = time.monotonic() + 5
        while self._open and time.monotonic() < deadline:
            with self._lock:
                for request in self._open:
                    _shut(request)
            time.sleep(0.005)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is none of our errors; anything else must not go unseen."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.index.errors.append(error)


def _shut(request: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the client was faster
        request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def index(self) -> Index:
        return cast("_Server", self.server).index

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        range_asked, accept = self.headers.get("Range", ""), self.headers.get("Accept", "")
        credentials = _credentials(self.headers.get("Authorization", ""))
        answer = self.index.answer(path, accept, range_asked, credentials)
        agent = self.headers.get("User-Agent", "")
        seen = Request(self.command, path, answer.status, credentials, range_asked, accept, agent)
        self.index.requests.append(seen)
        self._send(answer)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Says nothing: requests are kept instead."""

    def _send(self, answer: Answer) -> None:
        if answer.stall and answer.stall_at is None:
            self._pause(answer.stall)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(answer)
        if answer.sent is not None:
            self.close_connection = True
        if answer.reset:
            self._reset()

    def _send_body(self, answer: Answer) -> None:
        body = answer.body[: answer.sent]
        at = answer.stall_at or 0
        if answer.stall and answer.stall_at is not None:
            self.wfile.write(body[:at])
            self._pause(answer.stall)
            body = body[at:]
        step = max(1, int(answer.rate / 10)) if answer.rate else len(body) or 1
        for start in range(0, len(body), step):
            self.wfile.write(body[start : start + step])
            if answer.rate:
                self._pause(step / answer.rate)

    def _pause(self, seconds: float) -> None:
        if self.index.stopping.wait(seconds):
            raise ConnectionAbortedError("the index stops")

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        cast("_Server", self.server).to_reset.add(self.connection)


def _credentials(header: str) -> str:
    scheme, _, value = header.partition(" ")
    return base64.b64decode(value).decode("utf-8", "replace") if scheme.lower() == "basic" else header
