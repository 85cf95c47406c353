"""``python -m tests.support.docker_engine``: an engine and a registry with base images, for whoever is no test.

    start FOLDER --watch PID    starts them in the background, and prints what to export; they end with that process
    stop FOLDER                 ends them, and removes all that they left, also after they were killed
    serve FOLDER                the same in the foreground, until a signal comes

Where an engine that can do what is tested runs already, that one is used, and only a registry is started. What ends by
itself meanwhile is started again, with a line in FOLDER/falls: docker_falls.py runs a test again that it befell.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import select
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import docker_bases
from tests.support.docker_engine import FALLS, DockerEngine, clean, existing_engine, is_kept
from tests.support.docker_network import bridges
from tests.support.docker_podman import Podman
from tests.support.docker_registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["join", "main", "read_env", "start", "stop"]

_Service = DockerEngine | Registry | Podman

#: Made base images take a minute on a machine that does nothing else.
_START_SECONDS = 600

#: So many falls are accidents.
_MOST_FALLS = 5

#: How a Go program begins its last words.
_LAST_WORDS = ("panic:", "fatal error:", "SIG", "runtime:")


def main(argv: Sequence[str] | None = None) -> int:
    """Does what the words say."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.docker_engine", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=("start", "serve", "stop"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--watch", type=int, default=0, metavar="PID", help="end when this process does")
    parser.add_argument("--own", action="store_true", help="start a dockerd even where an engine runs")
    options = parser.parse_args(argv)
    folder = options.folder.resolve()
    if options.what == "stop":
        stop(folder)
    elif options.what == "serve":
        serve(folder, watch=options.watch, own=options.own)
    else:
        for name, value in start(folder, watch=options.watch, own=options.own).items():
            sys.stdout.write(f"{name}={value}\n")
    return 0


def start(folder: Path, *, watch: int = 0, own: bool = False) -> dict[str, str]:
    """Starts both in a process of their own and returns what to export once they answer.

    Raises :class:`RuntimeError`, with what that process said, where they do not.
    """
    words = ["serve", str(folder), f"--watch={watch}", *(["--own"] if own else [])]
    with tempfile.TemporaryFile() as said:
        pid = _spawn([sys.executable, "-m", "tests.support.docker_engine", *words], said.fileno())
        deadline = time.monotonic() + _START_SECONDS
        while os.waitpid(pid, os.WNOHANG) == (0, 0) and time.monotonic() < deadline:
            if (folder / "env").exists():
                return read_env(folder)
            time.sleep(0.05)
        stop(folder)
        said.seek(0)
        raise RuntimeError(f"no engine and no registry:\n{said.read().decode('utf-8', 'replace')}")


def _spawn(argv: list[str], output: int) -> int:
    """Starts a process that goes on after this one; subprocess warns of those."""
    streams = [(os.POSIX_SPAWN_DUP2, output, number) for number in (1, 2)]
    nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return os.posix_spawn(argv[0], argv, env, file_actions=[nothing, *streams], setsid=True)


def join(folder: Path, *, watch: int = 0) -> dict[str, str]:
    """:func:`start`, by whoever comes first; a call at a time. What a killed session left there is removed."""
    if (folder / "env").exists() and _keeper(folder):
        return read_env(folder)
    stop(folder)
    return start(folder, watch=watch)


def read_env(folder: Path) -> dict[str, str]:
    """What is to be exported."""
    lines = (folder / "env").read_text("utf-8").splitlines()
    return dict(line.partition("=")[::2] for line in lines)


def serve(folder: Path, *, watch: int = 0, own: bool = False) -> None:
    """Runs both until a signal comes or the watched process ends; what ends by itself is started again."""
    folder.mkdir(parents=True, exist_ok=True)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    with _held(folder), contextlib.ExitStack() as stack:
        stack.callback(clean, folder)
        _sweep()
        registry, host, engine = _run(folder, stack, own=own)
        podman = Podman(folder / "podman", mirror=registry.address)
        stack.callback(podman.stop)
        podman.start()
        told = {"CI_ENVS_TEST_DOCKER_HOST": host, "CI_ENVS_TEST_REGISTRY": registry.address, "DOCKER_HOST": host}
        told |= {**podman.told(), FALLS: str(folder / "falls")}
        part = folder / "env.part"
        part.write_text("".join(f"{name}={value}\n" for name, value in told.items()), "utf-8")
        part.replace(folder / "env")
        services: list[_Service] = [registry, podman, *([engine] if engine else [])]
        with _watched(watch) as gone:
            while not ended.wait(0.2) and not gone():
                for service in services:
                    if not service.alive():
                        _start_again(service, folder / "falls")


def _start_again(service: _Service, falls: Path) -> None:
    """Has a service that ended by itself do its work again, and tells of it."""
    told = falls.read_text("utf-8").splitlines() if falls.exists() else []
    if len(told) >= _MOST_FALLS:
        return
    said = service.log.read_text("utf-8", "replace").splitlines()
    last = max((number for number, line in enumerate(said) if line.startswith(_LAST_WORDS)), default=len(said) - 5)
    _tell(falls, f"{type(service).__name__} ended by itself: {' | '.join(said[max(last, 0) :][:15])}")
    try:
        service.again()
    except RuntimeError as error:
        _tell(falls, f"it cannot be started again: {error}".replace("\n", " | "))


def _tell(falls: Path, line: str) -> None:
    with falls.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def _run(folder: Path, stack: contextlib.ExitStack, *, own: bool) -> tuple[Registry, str, DockerEngine | None]:
    registry = Registry(folder / "registry")
    made = docker_bases.can_be_made()
    if made:
        docker_bases.seed(registry.storage)
    registry.start()
    stack.callback(registry.stop)
    host, engine = "" if own else existing_engine(), None
    if not host:
        engine = DockerEngine(folder, mirror=registry.address)
        stack.callback(engine.stop)
        engine.start()
        host = engine.host
    if not made:
        docker_bases.bring(host, registry.address)
    return registry, host, engine


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The sign that somebody looks after the folder: it goes with the process, however that ends."""
    with (folder / "serve.pid").open("a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _keeper(folder: Path) -> int:
    """The process that looks after the folder; 0 where none does."""
    try:
        with (folder / "serve.pid").open(encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0)
    except FileNotFoundError:
        pass
    return 0


@contextlib.contextmanager
def _watched(pid: int) -> Iterator[Callable[[], bool]]:
    """Tells whether the process has ended; a number that is given out again is not taken for it."""
    if not pid:
        yield lambda: False
        return
    handle = os.pidfd_open(pid)
    try:
        yield lambda: bool(select.select([handle], [], [], 0)[0])
    finally:
        os.close(handle)


def _sweep() -> None:
    """Removes what those left that were killed before they could."""
    for bridge in bridges():
        if bridge.owner and not is_kept(Path(bridge.owner)):
            clean(Path(bridge.owner))


def stop(folder: Path) -> None:
    """Ends what :func:`start` began; nothing is left of it, whoever was killed before."""
    deadline = time.monotonic() + 60
    while (pid := _keeper(folder)) and time.monotonic() < deadline:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.1)
    if pid := _keeper(folder):
        os.kill(pid, signal.SIGKILL)
    clean(folder)
