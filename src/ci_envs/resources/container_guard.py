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
    for word in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, word):
            signal.signal(getattr(signal, word), signal.SIG_IGN)
    if sys.stdin.buffer.read().strip() == b"done":
        return
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and not _removed(path, name):
        time.sleep(_PAUSE)


def _removed(path: str, name: str) -> bool:
    """Whether it is gone, or the engine is. What is not there may still be being made, and does not count.

    It is looked for first. Podman, told to remove by force a container that it is making, takes the files away and then
    notes down a container that has none, which no list that it is asked for in Docker's way gets past (seen with 4.3).
    """
    try:
        if _asked(path, f"GET /containers/{name}/json") in {b"404", b""}:
            return False
        return _asked(path, f"DELETE /containers/{name}?force=1&v=1") in {b"200", b"204"}
    except (FileNotFoundError, ConnectionRefusedError):
        return True
    except OSError:
        return False  # it is at something else, and is asked again


def _asked(path: str, what: str) -> bytes:
    """The status that the engine answers with; nothing where it hangs up."""
    if sys.platform == "win32":
        raise FileNotFoundError("an engine has no socket of this kind on Windows")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as engine:
        engine.settimeout(_ANSWER)
        engine.connect(path)
        engine.sendall(f"{what} HTTP/1.0\r\nHost: engine\r\n\r\n".encode())
        return b"".join(engine.recv(32).split()[1:2])


if __name__ == "__main__":
    guard(*sys.argv[1:])
