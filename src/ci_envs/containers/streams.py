"""The connection of a command in a container: its input, and its two outputs in one stream.

https://docs.docker.com/reference/api/engine/version/v1.45/#tag/Container/operation/ContainerAttach, "Stream format".
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ci_envs.capture import Capture

__all__ = ["Connection", "Pump"]

#: The stream's number, three unused bytes, and the size of what follows.
_HEADER = struct.Struct(">BxxxL")
_STDERR = 2


class Connection:
    """What the SDK gives for ``exec_start(socket=True)`` and ``attach_socket``: HTTP that was upgraded to a stream."""

    def __init__(self, made: Any) -> None:
        # The SDK keeps it there, so that it is not closed.
        self._response = made._response
        # One step above where the SDK takes the socket: this buffer may hold what came right behind the headers, and
        # who reads below it would never see that.
        self.reader = self._response.raw._fp.fp
        #: The socket itself.
        self.socket = getattr(made, "_sock", made)
        self.socket.settimeout(None)  # the client's limit is for answers, not for commands

    def write(self, data: bytes) -> None:
        """All of it. A command need not read its input."""
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def end_input(self) -> None:
        """Tells the other side that no more comes."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def end(self) -> None:
        """Ends both directions; whoever reads sees the end. Takes no lock and does not wait."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Gives it back to the system."""
        self.end()
        with contextlib.suppress(OSError, ValueError):
            self._response.close()


class Pump:
    """Takes what a command says to where it goes, in a thread of its own, and hands it its input in another."""

    def __init__(self, connection: Connection, stdout: Capture, stderr: Capture, stdin: bytes | None) -> None:
        self._connection = connection
        self._captures = (stdout, stderr)
        #: Set when the stream is at its end.
        self.ended = threading.Event()
        self._threads = [threading.Thread(target=self._read, daemon=True)]
        if stdin is not None:
            self._threads.append(threading.Thread(target=self._feed, args=(stdin,), daemon=True))
        for thread in self._threads:
            thread.start()

    def _feed(self, text: bytes) -> None:
        self._connection.write(text)
        self._connection.end_input()

    def _read(self) -> None:
        stdout, stderr = self._captures
        try:
            # ValueError: the log was closed, because nobody waits any more.
            with contextlib.suppress(OSError, ValueError):
                while len(head := self._connection.reader.read(_HEADER.size)) == _HEADER.size:
                    number, size = _HEADER.unpack(head)
                    self._take(stderr if number == _STDERR else stdout, size)
        finally:
            for capture in self._captures:
                with contextlib.suppress(ValueError):
                    capture.finish()
            self.ended.set()

    def _take(self, capture: Capture, size: int) -> None:
        """One piece, which may come in several."""
        while size > 0 and (data := self._connection.reader.read1(size)):
            capture.take_piece(data)
            size -= len(data)

    def close(self) -> None:
        """Ends what still goes on, and waits for its threads."""
        self._connection.end()
        for thread in self._threads:
            thread.join()
        self._connection.close()
