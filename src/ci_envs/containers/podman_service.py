"""Podman has no engine that runs by itself: its Docker-compatible service is started for as long as we need it."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs import command
from ci_envs.containers.engine_places import Place, Unreachable
from ci_envs.tools import find_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_envs.command import Background

__all__ = ["serve"]

#: It ends by itself when nobody was connected for so long; also when we were killed. Our client stays connected.
_IDLE_SECONDS = 5

_START_SECONDS = 20.0

_PREFIX = "ci-envs-podman-"


class _Served:
    """The service of this process."""

    lock = threading.Lock()
    place: Place | None = None
    running: Background | None = None


def serve(environ: Mapping[str, str]) -> Place:
    """The place of a service of our own, started where there is none. :class:`Unreachable` where it does not come up.

    It ends with this process.
    """
    program = find_program("podman", environ)
    if program is None:
        raise Unreachable("there is no podman on PATH")
    with _Served.lock:
        if _Served.place is None or _Served.running is None or not _Served.running.running:
            _Served.place, _Served.running = _started(program, environ)
        return _Served.place


def _started(program: Path, environ: Mapping[str, str]) -> tuple[Place, Background]:
    _forget_dead()
    # Its path is short: those of sockets end at 107 bytes (unix(7)).
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    address, log = f"unix://{folder}/socket", folder / "log"
    words = (str(program), "system", "service", f"--time={_IDLE_SECONDS}", address)
    running = command.start(command.Command(words, env=environ, log=log))
    atexit.register(_end, running, folder)
    deadline = time.monotonic() + _START_SECONDS
    while not (folder / "socket").exists():
        if not running.running or time.monotonic() > deadline:
            said = " ".join(log.read_text(encoding="utf-8", errors="replace").split()[-60:])
            _end(running, folder)
            raise Unreachable(f"`podman system service` does not come up: {said or 'it says nothing'}")
        time.sleep(0.01)
    return Place(address, "a service of podman's that was started for this run", named=True), running


def _end(running: Background, folder: Path) -> None:
    running.end()
    shutil.rmtree(folder, ignore_errors=True)


def _forget_dead() -> None:
    """Removes the folders of processes that were killed."""
    if sys.platform == "win32":
        return  # where podman is a client alone, and no service was started
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        found = re.match(r"(\d+)-", folder.name.removeprefix(_PREFIX))
        with contextlib.suppress(OSError):
            if found and folder.lstat().st_uid == os.getuid() and not Path(f"/proc/{found[1]}").exists():
                shutil.rmtree(folder, ignore_errors=True)
