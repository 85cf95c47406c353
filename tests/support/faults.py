"""How an index misbehaves: small changes to an answer, composable, matched on path and count.

A :class:`Fault` takes the answer that the index would have given and returns the one that is sent; how it is sent
(late, slowly, in part, with a reset at its end) is part of the answer.
"""

from __future__ import annotations

import gzip
import socket
import threading
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import TYPE_CHECKING

from tests.support.wheels import altered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["UNRESOLVABLE_URL", "Answer", "Fault", "Rule", "refused_url"]

#: No name server may answer for it (RFC 6761).
UNRESOLVABLE_URL = "https://index.invalid/simple/"


def refused_url() -> str:
    """An index on a loopback port where nobody listens: the connection is refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"http://127.0.0.1:{port}/simple/"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent, and how."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: Bytes of the body that are sent; Content-Length speaks of the whole body. ``None`` sends all.
    sent: int | None = None
    #: The connection ends with RST, not FIN.
    reset: bool = False
    #: Seconds of silence before the byte ``stall_at`` of the body; ``None`` is before the status line.
    stall: float = 0.0
    stall_at: int | None = None
    #: Bytes of the body per second; 0 is as fast as it goes.
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour, with a name for test ids."""

    name: str
    change: Callable[[Answer], Answer]

    @staticmethod
    def status(code: int, *, retry_after: int | None = None) -> Fault:
        """An error status, with ``Retry-After`` in seconds where given."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        if code == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = 'Basic realm="index"'
        text = f"{code} {HTTPStatus(code).phrase}\n".encode()
        return Fault(f"status {code}", lambda _: Answer(code, {"Content-Type": "text/plain", **headers}, text))

    @staticmethod
    def gone() -> Fault:
        """404: on a project's page, the package has left the index; on a file, it has left after the listing."""
        return replace(Fault.status(404), name="gone")

    @staticmethod
    def reset(after: int = 0) -> Fault:
        """The connection is reset after that many bytes of the body."""
        return Fault(f"reset after {after}", lambda answer: replace(answer, sent=after, reset=True))

    @staticmethod
    def short(after: int = 0) -> Fault:
        """The body ends after that many bytes though Content-Length promised all of it."""
        return Fault(f"short after {after}", lambda answer: replace(answer, sent=after))

    @staticmethod
    def truncated(to: int) -> Fault:
        """A shorter body whose Content-Length agrees: only a hash, a size or a parser can tell."""
        return Fault(f"truncated to {to}", lambda answer: replace(answer, body=answer.body[:to]))

    @staticmethod
    def stall(seconds: float, *, at: int | None = None) -> Fault:
        """Silence before the answer, or, with ``at``, before that byte of the body."""
        return Fault(f"stall {seconds:g}s", lambda answer: replace(answer, stall=seconds, stall_at=at))

    @staticmethod
    def slow(bytes_per_second: float) -> Fault:
        """The body trickles."""
        return Fault(f"{bytes_per_second:g} B/s", lambda answer: replace(answer, rate=bytes_per_second))

    @staticmethod
    def redirect_loop() -> Fault:
        """A redirect to the same address."""
        return Fault("redirect loop", lambda _: Answer(302, {"Location": "?again"}))

    @staticmethod
    def web_page(content_type: str = "text/html; charset=utf-8") -> Fault:
        """A sign-in page with status 200, as a captive portal or a proxy gives it."""
        page = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>"
        return Fault("web page", lambda _: Answer(200, {"Content-Type": content_type}, page))

    @staticmethod
    def bad_json() -> Fault:
        """A listing that says it is JSON and is not."""
        kind = "application/vnd.pypi.simple.v1+json"
        return Fault("bad JSON", lambda _: Answer(200, {"Content-Type": kind}, b'{"meta": {"api-version": "1.1"}, '))

    @staticmethod
    def corrupt_gzip() -> Fault:
        """``Content-Encoding: gzip`` over bytes that do not unpack."""
        return Fault("corrupt gzip", _with_corrupt_gzip)

    @staticmethod
    def flipped() -> Fault:
        """One bit of the body is wrong."""
        return Fault("flipped bit", lambda answer: replace(answer, body=_with_flipped_bit(answer.body)))

    @staticmethod
    def altered() -> Fault:
        """Another sound wheel than the one that the listing's hash names."""
        return Fault("altered", lambda answer: replace(answer, body=altered(answer.body)))

    @staticmethod
    def swapped(other: Path) -> Fault:
        """The bytes of another file."""
        return Fault("swapped", lambda answer: replace(answer, body=other.read_bytes()))


def _with_corrupt_gzip(answer: Answer) -> Answer:
    packed = gzip.compress(answer.body, mtime=0)
    body = packed[:10] + bytes(byte ^ 0xFF for byte in packed[10:])
    return replace(answer, headers={**answer.headers, "Content-Encoding": "gzip"}, body=body)


def _with_flipped_bit(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :] if body else body


class Rule:
    """A fault, where it strikes and how often. Safe to ask from several threads."""

    def __init__(self, fault: Fault, path: str, times: int | None) -> None:
        self.fault = fault
        self._path = path
        self._left = times
        self._lock = threading.Lock()
        #: How often it has struck.
        self.hits = 0

    def strikes(self, path: str) -> bool:
        """Whether it strikes this request; counts it if so."""
        with self._lock:
            if self._left == 0 or not fnmatchcase(path, self._path):
                return False
            if self._left is not None:
                self._left -= 1
            self.hits += 1
            return True
