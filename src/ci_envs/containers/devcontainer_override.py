"""What the tool is given in devcontainer.json's place: the same, with every image pinned and the leg's limits. Pure.

The project's own file stays as it is: the tool reads this one instead (``--override-config``) and still takes paths,
and the lock of the features, from where the project's own lies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_envs.containers.devcontainer_config import Devcontainer
    from ci_envs.containers.limits import Limits

__all__ = ["Pinned", "override", "read_variables", "run_arguments"]

#: What belongs to a person at work: ports of this machine, a name that only one container has, when it ends.
_NOT_TAKEN = ("appPort", "dockerFile", "context")
_DROPPED_ARGUMENTS = ("--name", "--restart", "--rm")

#: How a variable of this machine is named in the file: ``${localEnv:HOME}``, ``${localEnv:USER:nobody}``.
_LOCAL = ("${localEnv:", "${env:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """What an image is made from, with the digests of the lock."""

    #: ``name@sha256:...``; empty where a Dockerfile is built.
    image: str = ""
    dockerfile: Path | None = None
    context: Path | None = None
    target: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    #: Further words of ``docker build``.
    options: Sequence[str] = ()


def override(
    read: Devcontainer,
    pinned: Pinned,
    *,
    arguments: Sequence[str] = (),
    mounts: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The whole configuration, to be written as plain JSON.

    ``arguments`` are words of ``docker run``, ``variables`` those of the container.
    """
    made = {key: value for key, value in read.table.items() if key not in _NOT_TAKEN}
    if pinned.dockerfile is not None:
        made["build"] = _build(read.build, pinned)
    else:
        made["image"] = pinned.image
    made["runArgs"] = [*_own_arguments(read.table.get("runArgs") or []), *arguments]
    if mounts:
        made["mounts"] = [*(read.table.get("mounts") or []), *mounts]
    if variables:
        made["containerEnv"] = {**(read.table.get("containerEnv") or {}), **variables}
    return made


def _build(told: Mapping[str, Any], pinned: Pinned) -> dict[str, Any]:
    made: dict[str, Any] = {**told, "dockerfile": str(pinned.dockerfile), "context": str(pinned.context)}
    if pinned.target:
        made["target"] = pinned.target
    if pinned.args:
        made["args"] = {**(told.get("args") or {}), **pinned.args}
    if pinned.options:
        made["options"] = [*(told.get("options") or []), *pinned.options]
    return made


def _own_arguments(words: Sequence[object]) -> list[str]:
    """The file's own words for ``docker run``, less what only one container can have."""
    kept: list[str] = []
    skip = False
    for word in map(str, words):
        name, has_value, _ = word.partition("=")
        if skip:
            skip = False
        elif name not in _DROPPED_ARGUMENTS:
            kept.append(word)
        else:
            skip = not has_value and name != "--rm"
    return kept


def read_variables(value: object) -> frozenset[str]:
    """The names of this machine's variables that a configuration reads."""
    if isinstance(value, dict):
        return frozenset().union(*(read_variables(part) for part in value.values()))
    if isinstance(value, list):
        return frozenset().union(*map(read_variables, value))
    if not isinstance(value, str):
        return frozenset()
    found = [rest.partition("}")[0].partition(":")[0] for mark in _LOCAL for rest in value.split(mark)[1:]]
    return frozenset(name for name in found if name)


def run_arguments(limits: Limits, folder: Path, devices: Sequence[str] = ()) -> tuple[str, ...]:
    """What a container may take, in the words of ``docker run``; ``devices`` are those that hand out GPUs.

    ``folder`` is what a profile's path is relative to. A container has no more swap than memory, as elsewhere.
    """
    return (
        *(f"--{name}={value}" for name, value in _sizes(limits) if value),
        *(f"--ulimit={name}={soft}:{hard}" for name, (soft, hard) in limits.ulimits.items()),
        *(f"--volume={volume}" for volume in limits.volumes),
        *(f"--cap-add={name}" for name in limits.cap_add),
        *(f"--security-opt={_profile(option, folder)}" for option in limits.security_opt),
        *(["--privileged"] if limits.privileged else []),
        *devices,
    )


def _sizes(limits: Limits) -> tuple[tuple[str, object], ...]:
    return (
        ("memory", limits.memory),
        ("memory-swap", limits.memory),
        ("cpus", limits.cpus),
        ("shm-size", limits.shm_size),
        ("network", limits.network),
    )


def _profile(option: str, folder: Path) -> str:
    """A seccomp profile by its whole path: the client is run in another folder."""
    name, mark, value = option.partition("=")
    if name != "seccomp" or not mark or value in ("unconfined", "builtin"):
        return option
    return f"seccomp={(folder / Path(value).expanduser()).absolute()}"
