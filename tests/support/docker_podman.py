"""A podman of the tests' own: its storage, its settings and its service in one folder.

Where the machine lets no podman start a container (some virtual machines and most containers), :attr:`Podman.why_not`
says what it said, and only ``buildah bud --isolation chroot`` builds.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

from tests.support.docker_registry import ended_with_us

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Podman"]

#: What a first container is made from, by its name in the tests' registry.
_PROBE = "tiny:latest"


class Podman:
    """The folder, and the service while it runs."""

    def __init__(self, folder: Path, *, mirror: str) -> None:
        self.folder = folder
        self.host = f"unix://{folder / 'podman.sock'}"
        self.log = folder / "podman.log"
        #: Why no container starts; empty where they do.
        self.why_not = ""
        self._mirror = mirror
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """The variables under which podman and buildah find all this, and their service."""
        names = {"CONTAINERS_CONF": "containers", "CONTAINERS_REGISTRIES_CONF": "registries"}
        names["CONTAINERS_STORAGE_CONF"] = "storage"
        return {
            "CONTAINER_HOST": self.host,
            **{name: str(self.folder / f"{file}.conf") for name, file in names.items()},
        }

    def start(self) -> None:
        """Writes the settings that work here, and starts the service where containers do."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_places()
        said = ""
        for settings in self._tries():
            self._write("containers.conf", settings)
            tried = self._podman("run", "--rm", "--network=none", f"{self._mirror}/{_PROBE}", "true")
            if tried.returncode == 0:
                self._serve()
                return
            said = tried.stderr.strip()
        self.why_not = said or "podman said nothing"

    def _tries(self) -> Iterator[Mapping[str, Mapping[str, object]]]:
        """Settings to be tried in turn: crun wants one version of control groups, and a limit may not be raised.

        https://github.com/containers/common/blob/v0.50.1/docs/containers.conf.5.md
        """
        limits = {"default_ulimits": [*_limits()]}
        engine = {"cgroup_manager": "cgroupfs", "lock_type": "file", "tmp_dir": str(self.folder / "tmp")}
        runc = {**engine, "runtime": "runc"}
        yield {"containers": {}, "engine": engine}
        yield {"containers": limits, "engine": engine}
        if shutil.which("runc", path="/usr/sbin:/usr/bin:/sbin:/bin"):
            yield {"containers": {}, "engine": runc}
            yield {"containers": limits, "engine": runc}

    def _write_places(self) -> None:
        places = {"graphroot": str(self.folder / "graph"), "runroot": str(self.folder / "run")}
        self._write("storage.conf", {"storage": {"driver": "overlay", **places}})
        plain = {"location": self._mirror, "insecure": True}
        hub = {"location": "docker.io", "mirror": [plain]}
        self._write("registries.conf", {"unqualified-search-registries": ["docker.io"], "registry": [hub, plain]})

    def _write(self, name: str, value: Mapping[str, object]) -> None:
        import tomli_w

        (self.folder / name).write_text(tomli_w.dumps(value), "utf-8")

    def _serve(self) -> None:
        argv = ended_with_us(_program(), "system", "service", "--time=0", self.host)
        with self.log.open("ab") as log:
            # conmon leaves a file `oom` where it was started.
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env(), cwd=self.folder
            )
        deadline = time.monotonic() + 20
        while not (self.folder / "podman.sock").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self.log.read_text("utf-8", "replace")[-2000:]
                raise RuntimeError(f"podman's service does not start:\n{said}")
            time.sleep(0.05)

    def alive(self) -> bool:
        """Whether the service runs; also where no container starts, and so none was begun."""
        return self._process is None or self._process.poll() is None

    def again(self) -> None:
        """Starts the service anew after it has ended by itself."""
        (self.folder / "podman.sock").unlink(missing_ok=True)
        self._serve()

    def stop(self) -> None:
        """Ends the service and what it started; its files stay."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(20)
        if (self.folder / "graph").is_dir():
            self._podman("rm", "--all", "--force", "--time=0")

    def _podman(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_program(), *words], capture_output=True, text=True, check=False, env=self._env(), timeout=120
        )

    def _env(self) -> dict[str, str]:
        own = {name: value for name, value in self.environ.items() if name != "CONTAINER_HOST"}
        kept = {name: value for name, value in os.environ.items() if name != "CONTAINER_HOST"}
        return {**kept, **own, "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}

    def told(self) -> dict[str, str]:
        """The variables, with ``CI_ENVS_TEST_PODMAN``: why no container starts, or nothing."""
        return {"CI_ENVS_TEST_PODMAN": json.dumps(self.why_not), **self.environ}


def _program() -> str:
    program = shutil.which("podman")
    if program is None:
        raise RuntimeError("there is no podman here; .ci/engine install brings it")
    return program


def _limits() -> Iterator[str]:
    """Limits that any machine allows: at or below its own."""
    for name, kind, wanted in (("nofile", resource.RLIMIT_NOFILE, 1024), ("nproc", resource.RLIMIT_NPROC, 1000)):
        hard = resource.getrlimit(kind)[1]
        number = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        yield f"{name}={number}:{number}"
