"""An HTTP server on loopback that tells what it was asked, and misbehaves on demand.

What it serves is its heir's: :meth:`Loopback.sound`, which answers as if all were well. Faults are applied to that.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import unquote, urlsplit

from tests.support.faults import Answer, Fault, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NOT_FOUND", "Asked", "Loopback", "Request", "ranged"]

NOT_FOUND = Answer(404, {"Content-Type": "text/plain"}, b"404 Not Found\n")

_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request before it is answered."""

    method: str
    #: Decoded, without a query.
    path: str
    #: As they were sent; looked up without regard to case.
    headers: Mapping[str, str]

    def header(self, name: str) -> str:
        """The header's value, or nothing."""
        return self.headers.get(name) or ""

    @property
    def credentials(self) -> str:
        """``user:password`` of Basic authorization; any other scheme as it was sent; empty for none."""
        scheme, _, value = self.header("Authorization").partition(" ")
        if scheme.lower() == "basic":
            return base64.b64decode(value).decode("utf-8", "replace")
        return self.header("Authorization")


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the server saw it."""

    method: str
    path: str
    #: What it was answered with.
    status: int
    #: :attr:`Asked.credentials`.
    credentials: str
    range: str
    accept: str
    user_agent: str


class Loopback:
    """The server. A context manager; :meth:`stop` and :meth:`start` keep its port, so that it can be down and up."""

    def __init__(self, port: int = 0) -> None:
        #: Every request so far, in the order in which they were answered.
        self.requests: list[Request] = []
        #: What went wrong in the server itself; :meth:`stop` raises it.
        self.errors: list[BaseException] = []
        self._rules: list[Rule] = []
        self._server: _Server | None = None
        self._port = port
        self.stopping = threading.Event()

    def sound(self, asked: Asked) -> Answer:
        """The answer when nothing is wrong. Called from the server's threads."""
        raise NotImplementedError

    def __enter__(self) -> Self:
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
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def root_url(self) -> str:
        """Its address, ending with a slash."""
        return f"http://127.0.0.1:{self._port}/"

    # How it misbehaves.

    def fail(self, fault: Fault, path: str = "*", times: int | None = None) -> Rule:
        """Applies a fault to requests whose path matches the glob: the first ``times`` of them, or always.

        Faults that match one request apply in the order in which they were added.
        """
        rule = Rule(fault, path, times)
        self._rules.append(rule)
        return rule

    def heal(self) -> None:
        """Forgets every fault, and the requests so far."""
        self._rules.clear()
        self.requests.clear()

    # What it saw.

    @property
    def paths(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [request.path for request in self.requests]

    @property
    def credentials(self) -> set[str]:
        """What clients authorised themselves with."""
        return {request.credentials for request in self.requests if request.credentials}

    def answer(self, asked: Asked) -> Answer:
        """The answer to a request, faults applied."""
        answer = self.sound(asked)
        for rule in list(self._rules):
            if rule.strikes(asked.path):
                answer = rule.fault.change(answer)
        return answer


def ranged(answer: Answer, asked: Asked) -> Answer:
    """The part of a whole answer that was asked for, where one was."""
    answer = replace(answer, headers={**answer.headers, "Accept-Ranges": "bytes"})
    found = _RANGE.match(asked.header("Range"))
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], owner: Loopback) -> None:
        self.owner = owner
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
            self.owner.errors.append(error)


def _shut(request: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the client was faster
        request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def owner(self) -> Loopback:
        return cast("_Server", self.server).owner

    def do_GET(self) -> None:
        asked = Asked(self.command, unquote(urlsplit(self.path).path), cast("Mapping[str, str]", self.headers))
        answer = self.owner.answer(asked)
        told = (asked.header(name) for name in ("Range", "Accept", "User-Agent"))
        self.owner.requests.append(Request(asked.method, asked.path, answer.status, asked.credentials, *told))
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
        if self.owner.stopping.wait(seconds):
            raise ConnectionAbortedError("the server stops")

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        cast("_Server", self.server).to_reset.add(self.connection)
