"""Removes a container when whoever started it is gone. Standard library only, Python 3.8 and later.

    python -I -S container_guard.py SOCKET NAME

SOCKET is the engine's, NAME the container's. Standard input is a pipe that its starter holds: it ends when that process
does, however it was ended. Where it has said ``done`` before, the container is gone already.

Between making a container and starting it there is a moment in which nothing else would ever end it.
"""

from __future__ import annotations

import signal
import socket
import sys
import time

#: The engine may still be making it, and be slow: for so long it is looked for, in seconds, with so much between.
_PATIENCE = 30.0
_PAUSE = 0.2
#: The longest time for one answer: what is being removed is killed first.
_ANSWER = 10.0


def guard(path: str, name: str) -> None:
    """Waits for the end of standard input, then for the end of the container."""
    # It is to outlive whoever is ended by these.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read().strip() == b"done":
        return
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and not _removed(path, name):
        time.sleep(_PAUSE)


def _removed(path: str, name: str) -> bool:
    """Whether it is gone, or the engine is. What is not there may still be being made, and does not count."""
    request = f"DELETE /containers/{name}?force=1&v=1 HTTP/1.0\r\nHost: engine\r\n\r\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as engine:
            engine.settimeout(_ANSWER)
            engine.connect(path)
            engine.sendall(request.encode())
            return engine.recv(32).split()[1:2] in ([b"204"], [b"200"])
    except (FileNotFoundError, ConnectionRefusedError):
        return True
    except OSError:
        return False  # it is at something else, and is asked again


if __name__ == "__main__":
    guard(*sys.argv[1:])
