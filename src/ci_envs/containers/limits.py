"""What a container may take, and what was relaxed for it: the settings of ``docker:``, as the engine has them.

Units and words are those of ``docker run``: https://docs.docker.com/reference/cli/docker/container/run/
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_envs.errors import UsageError
from ci_envs.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci_envs.containers.engine import Engine
    from ci_envs.model.config import DockerConfig

__all__ = ["Limits", "Volume", "limits_of"]

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}

#: The names of a volume and of a capability, as the engine takes them.
_VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_CAPABILITY = re.compile(r"[A-Z0-9_]+")
_MODES = frozenset(("ro", "rw", "z", "Z"))

#: getrlimit(2), without RLIMIT_; RLIMIT_AS is none of theirs.
_ULIMITS = (
    *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio"),
    *("rttime", "sigpending", "stack"),
)

#: Whoever can write to it can do on the machine what root can.
_ENGINE_SOCKETS = ("docker.sock", "podman.sock")


@dataclass(frozen=True, slots=True)
class Volume:
    """What is mounted: a folder of this machine by its absolute path, or a volume of the engine's by its name."""

    source: str
    target: str
    mode: str = "rw"

    @property
    def is_folder(self) -> bool:
        """Whether ``source`` is a path."""
        return not _VOLUME.fullmatch(self.source)

    def __str__(self) -> str:
        return f"{self.source}:{self.target}:{self.mode}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes are in bytes; 0 and "" stand for what the engine does by itself."""

    memory: int = 0
    #: The same as it was written, for messages.
    memory_text: str = ""
    cpus: float = 0.0
    shm_size: int = 0
    #: Name -> soft and hard limit; -1 is none.
    ulimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()
    network: str = ""
    cap_add: tuple[str, ...] = ()
    #: As they were written, and as the engine takes them: the text of a profile in place of its file's name.
    security_opt: tuple[str, ...] = ()
    security_texts: tuple[str, ...] = ()
    privileged: bool = False
    gpus: bool = False

    def relaxed(self) -> tuple[str, ...]:
        """What the container may do beyond what containers may, each in words that the record shows."""
        return (
            *(["privileged"] if self.privileged else []),
            *(f"capability {name}" for name in self.cap_add),
            *(option for option in self.security_opt if not option.startswith("no-new-privileges")),
            *(["the network of the host"] if self.network == "host" else []),
            *(
                f"the engine's socket, {volume.source}"
                for volume in self.volumes
                if volume.source.rpartition("/")[2] in _ENGINE_SOCKETS
            ),
        )

    def make_folders(self) -> None:
        """Makes the folders that are mounted and not there: the engine would, and they would be root's."""
        for volume in self.volumes:
            if volume.is_folder:
                Path(volume.source).mkdir(parents=True, exist_ok=True)

    def host_config(self, engine: Engine) -> dict[str, Any]:
        """The arguments of the SDK's ``create_host_config``."""
        from docker.types import Ulimit

        ulimits = [Ulimit(name=name, soft=soft, hard=hard) for name, (soft, hard) in self.ulimits.items()]
        asked: dict[str, Any] = {
            "mem_limit": self.memory,
            # Swap would let it take twice as much, more slowly, and on some machines only.
            "memswap_limit": self.memory,
            "nano_cpus": round(self.cpus * 1_000_000_000),
            "shm_size": self.shm_size,
            "ulimits": ulimits,
            "binds": [str(volume) for volume in self.volumes],
            "network_mode": self.network,
            "cap_add": list(self.cap_add),
            "security_opt": list(self.security_texts),
            "privileged": self.privileged,
            "device_requests": self._devices(engine),
        }
        return {name: value for name, value in asked.items() if value}

    def _devices(self, engine: Engine) -> list[Any]:
        from docker.types import DeviceRequest

        if not self.gpus or not _hands_out_gpus(engine):
            return []
        if "nvidia" in engine.runtimes:
            return [DeviceRequest(count=-1, capabilities=[["gpu"]])]
        return [DeviceRequest(driver="cdi", device_ids=["nvidia.com/gpu=all"])]

    def notes(self, engine: Engine) -> tuple[str, ...]:
        """What was asked for and cannot be had of this engine."""
        if self.gpus and not _hands_out_gpus(engine):
            return (f"{engine.title} has no NVIDIA runtime, so no GPU is seen inside",)
        return ()


def _hands_out_gpus(engine: Engine) -> bool:
    return bool(engine.runtimes & {"nvidia", "cdi"})


def limits_of(
    config: DockerConfig, environ: Mapping[str, str], *, folder: Path | None = None, gpus: bool = False
) -> Limits:
    """The limits that a configuration asks for. Paths in it are relative to ``folder``, and ``~`` is the caller's home.

    Raises :class:`UsageError` for what no engine takes.
    """
    folder, home = folder or Path(), environ.get("HOME") or environ.get("USERPROFILE") or str(Path.home())
    return Limits(
        memory=_size("docker.memory", config.memory),
        memory_text=config.memory,
        cpus=_cpus(config.cpus),
        shm_size=_size("docker.shm-size", config.shm_size),
        ulimits=dict(_ulimits(config.ulimits)),
        env=dict(config.env),
        volumes=tuple(_volume(source, target, folder, home) for source, target in config.volumes.items()),
        network=config.network,
        cap_add=tuple(_capability(name) for name in config.cap_add),
        security_opt=config.security_opt,
        security_texts=tuple(_security(option, folder, home) for option in config.security_opt),
        privileged=config.privileged,
        gpus=gpus,
    )


def _size(name: str, text: str) -> int:
    if not text:
        return 0
    found = _SIZE.fullmatch(text.strip())
    size = float(found[1]) * 1024 ** _UNITS[found[2].lower()] if found else 0
    if size < 1:
        raise UsageError(f"{name}: {text!r} is no size", hint="write it as 512m or 2g")
    return int(size)


def _cpus(asked: float | str) -> float:
    if asked == "":
        return 0.0
    try:
        cpus = float(asked)
    except ValueError:
        cpus = 0.0
    if not 0 < cpus < 1_000_000:
        raise UsageError(f"docker.cpus: {asked!r} is no number of processors", hint="write it as 2 or 1.5")
    return cpus


def _ulimits(asked: Mapping[str, int | str]) -> Iterator[tuple[str, tuple[int, int]]]:
    for name, value in asked.items():
        if name not in _ULIMITS:
            raise UsageError(
                f"docker.ulimits: there is no limit {name!r}{nearest(name, _ULIMITS)}", hint="see getrlimit(2)"
            )
        soft, colon, hard = str(value).replace("unlimited", "-1").partition(":")
        try:
            yield name, (int(soft), int(hard if colon else soft))
        except ValueError as error:
            raise UsageError(
                f"docker.ulimits: {name}: {value!r} is no limit", hint='write it as 1024, "1024:2048" or "-1"'
            ) from error


def _path(text: str, folder: Path, home: str) -> Path:
    inside = text.removeprefix("~")
    return (Path(home + inside) if text == "~" or text.startswith("~/") else folder / text).absolute()


def _volume(source: str, target: str, folder: Path, home: str) -> Volume:
    inside, _, mode = target.partition(":")
    if not inside.startswith("/") or not set(mode.split(",")) <= _MODES | {""}:
        raise UsageError(
            f"docker.volumes: {source}: {target!r} is no place in a container", hint="write it as /cache or /cache:ro"
        )
    if _VOLUME.fullmatch(source):
        return Volume(source, inside, mode or "rw")
    path = _path(source, folder, home)
    if ":" in str(path) or not source:
        raise UsageError(f"docker.volumes: {source!r} cannot be mounted: the engine separates paths with colons")
    return Volume(str(path), inside, mode or "rw")


def _capability(name: str) -> str:
    if not _CAPABILITY.fullmatch(name):
        raise UsageError(
            f"docker.cap-add: {name!r} is no capability", hint="write it as SYS_PTRACE; see capabilities(7)"
        )
    return name


def _security(option: str, folder: Path, home: str) -> str:
    """The text of a seccomp profile in place of its name: the engine is given no files."""
    name, mark, value = option.partition("=")
    if name != "seccomp" or not mark or value in ("unconfined", "builtin"):
        return option
    try:
        profile = json.loads(_path(value, folder, home).read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"docker.security-opt: the profile {value} cannot be read: {error}") from error
    return f"seccomp={json.dumps(profile, separators=(',', ':'))}"
