"""A real dockerd of the tests' own, beside whatever else runs on the machine, and the end of all that it leaves.

    python -m tests.support.docker_engine start FOLDER      # prints what to export; docker_command.py says the rest

Everything lies in one folder. It uses the containerd image store, pulls Docker Hub's images from the tests' registry,
and leaves the machine's firewall alone (docker_network.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from tests.support.docker_network import PREFIX, Bridge, bridges, make_bridge, outer_mtu
from tests.support.docker_podman import Podman
from tests.support.docker_registry import ended_with_us

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["FALLS", "LABEL", "OLDEST", "DockerEngine", "clean", "engine_at", "existing_engine", "is_kept", "is_own"]

#: The daemon's own label: nobody but these tests uses this engine, so that everything in it is theirs.
LABEL = "org.repro-envs.tests=engine"

#: The first Docker whose BuildKit knows ``rewrite-timestamp``.
OLDEST = 26

#: The variable that names the file in which docker_command.py tells of what ended by itself.
FALLS = "CI_ENVS_TEST_FALLS"

_PROGRAMS = {
    *("containerd", "containerd-shim-runc-v2", "docker-proxy", "docker-registry", "dockerd"),
    *("conmon", "podman"),
}


class DockerEngine:
    """The daemon. What it is given stays in its folder until :func:`clean`."""

    def __init__(self, folder: Path, *, mirror: str = "", classic: bool = False) -> None:
        self.folder = folder
        self.host = f"unix://{folder / 'docker.sock'}"
        self.log = folder / "dockerd.log"
        self._mirror = mirror
        #: Whether images are kept in Docker's older store, and not in containerd's.
        self._classic = classic
        self._process: subprocess.Popen[bytes] | None = None
        # Locked for as long as this process is there, however it ends.
        self._kept: IO[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it and waits until it answers. Raises :class:`RuntimeError` where it does not."""
        program = shutil.which("dockerd", path=_path())
        if program is None:
            raise RuntimeError("there is no dockerd here; .ci/engine install brings it")
        if os.geteuid() != 0:
            raise RuntimeError("only root can start a dockerd; start one yourself and set DOCKER_HOST")
        self._kept = (self.folder / "kept").open("w", encoding="ascii")
        fcntl.flock(self._kept, fcntl.LOCK_EX | fcntl.LOCK_NB)
        config = self.folder / "daemon.json"
        config.write_text(json.dumps(self._config(make_bridge(self.folder))), "utf-8")
        with self.log.open("ab") as log:
            argv = ended_with_us(program, "--config-file", str(config))
            env = {**os.environ, "PATH": _path()}
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        self._wait()

    def _config(self, bridge: Bridge) -> Mapping[str, object]:
        """https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file"""
        return {
            "features": {"containerd-snapshotter": not self._classic},
            "hosts": [self.host],
            "data-root": str(self.folder / "data"),
            "exec-root": str(self.folder / "exec"),
            "pidfile": str(self.folder / "docker.pid"),
            "registry-mirrors": [f"http://{self._mirror}"] if self._mirror else [],
            "insecure-registries": ["127.0.0.0/8"],
            "labels": [LABEL],
            "bridge": bridge.name,
            "default-address-pools": [{"base": bridge.pool, "size": 24}],
            "mtu": outer_mtu(),
            "iptables": False,
            "ip6tables": False,
            "ip-masq": False,
            # What runs in it is found by this when the daemon is gone.
            "cgroup-parent": f"/{bridge.name}",
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "shutdown-timeout": 3,
        }

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while self.alive() and time.monotonic() < deadline:
            if engine_at(self.host):
                return
            time.sleep(0.05)
        said = self.log.read_text("utf-8", "replace")[-3000:]
        raise RuntimeError(f"dockerd does not answer:\n{said}")

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process is not None and self._process.poll() is None

    def again(self) -> None:
        """Starts it anew after it has ended by itself: its images are there still, its containers are not."""
        self.stop()
        (self.folder / "docker.pid").unlink(missing_ok=True)
        self.start()

    def stop(self) -> None:
        """Ends it, with what runs in it."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            clean(self.folder, keep_files=True)
            process.wait()
        if self._kept is not None:
            self._kept.close()


def _path() -> str:
    """Where daemons are too, for a shell that is not root's."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


# What an engine is.


def engine_at(host: str) -> str:
    """The version of the engine that answers at a ``unix://`` address; empty for none.

    Asked without the SDK, whose failures keep sockets open.
    """
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError), socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(20)
        channel.connect(host.removeprefix("unix://"))
        connection = http.client.HTTPConnection("localhost")
        connection.sock = channel
        connection.request("GET", "/version")
        return str(json.loads(connection.getresponse().read())["Version"])
    return ""


def is_own(host: str) -> bool:
    """Whether the engine was started here, for tests alone."""
    import docker

    with contextlib.closing(docker.DockerClient(base_url=host, version="auto", timeout=20)) as client:
        return LABEL in (client.info().get("Labels") or ())


def existing_engine(environ: Mapping[str, str] = os.environ) -> str:
    """The ``DOCKER_HOST`` of an engine that runs already and can do what is tested; empty where there is none."""
    host = environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    recent = host.startswith("unix://") and _major(engine_at(host)) >= OLDEST
    # Only root can have a better one.
    fit = recent and _has_buildx() and (os.geteuid() != 0 or _keeps_digests(host))
    return host if fit else ""


def _keeps_digests(host: str) -> bool:
    """Whether it has containerd's image store, in which an image that is loaded keeps its digest."""
    import docker

    with contextlib.closing(docker.DockerClient(base_url=host, version="auto", timeout=20)) as client:
        return any("containerd" in value for _, value in client.info().get("DriverStatus") or ())


def _major(version: str) -> int:
    found = re.match(r"\d+", version)
    return int(found[0]) if found else 0


def _has_buildx() -> bool:
    program = shutil.which("docker")
    words = (program or "docker", "buildx", "version")
    return program is not None and subprocess.run(words, capture_output=True, check=False).returncode == 0


# The end of it.


def is_kept(folder: Path) -> bool:
    """Whether a living process looks after the folder's engine."""
    try:
        with (folder / "kept").open(encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def clean(folder: Path, *, keep_files: bool = False) -> None:
    """Ends every process of the folder's engine, and removes its mounts, its bridge and its files.

    Where files are kept, so are the registry and the podman beside it.
    """
    own = [bridge for bridge in bridges() if bridge.owner == str(folder)]
    if not keep_files:
        Podman(folder / "podman", mirror="").stop()
    deadline = time.monotonic() + 20
    parts = [f"{folder}/{part}" for part in ("daemon.json", "data/", "exec/")] if keep_files else [f"{folder}/"]
    while (found := list(_processes(parts, own))) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    for address in (folder / "exec").rglob("address"):  # where a shim listened, which has not ended by itself
        listened = Path(address.read_text("utf-8").removeprefix("unix://"))
        if listened.is_relative_to("/run/containerd/s"):
            listened.unlink(missing_ok=True)
    for point in _mounts(folder):
        subprocess.run(["umount", "--lazy", point], check=False)
    for bridge in own:
        bridge.remove()
        _remove_groups(bridge.name)
    if not keep_files:
        shutil.rmtree(folder, ignore_errors=True)


def _processes(parts: list[str], own: list[Bridge]) -> Iterator[int]:
    """Daemons that were started with one of these paths, and whatever runs in the engine's containers."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            argv = (path / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            ours = any(part in word for word in argv for part in parts)
            if ours and Path(argv[0]).name in _PROGRAMS and _state(path) != "Z":
                yield int(path.name)
    for bridge in own:
        for group in _groups(bridge.name):
            with contextlib.suppress(OSError):
                yield from map(int, (group / "cgroup.procs").read_text("ascii").split())


def _state(path: Path) -> str:
    return (path / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]


def _groups(name: str) -> list[Path]:
    """Every control group of an engine, the inner ones first; of version 1 (one tree each) and of version 2."""
    root = Path("/sys/fs/cgroup")
    tops = [path for path in (root / name, *(child / name for child in root.iterdir())) if path.is_dir()]
    found = [path for top in tops for path in (top, *top.rglob("*")) if path.is_dir()]
    return sorted(found, key=lambda path: -len(path.parts))


def _remove_groups(name: str) -> None:
    for group in _groups(name) if name.startswith(PREFIX) else ():
        with contextlib.suppress(OSError):
            group.rmdir()


def _mounts(folder: Path) -> list[str]:
    """Mount points at and below the folder, the inner ones first."""
    lines = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
    points = [line.split()[4] for line in lines]
    return sorted((point for point in points if Path(point).is_relative_to(folder)), key=len, reverse=True)


if __name__ == "__main__":
    from tests.support.docker_command import main

    raise SystemExit(main())
