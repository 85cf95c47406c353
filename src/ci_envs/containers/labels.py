"""What containers, volumes and images are called, so that what is ours can be told from what is not.

Containers and volumes carry labels. An image carries none of these, since labels are part of its digest and a path of
this machine is not part of an environment: its name says whose it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci_envs.layout import Layout

__all__ = [
    "LABEL_LEG",
    "LABEL_RUN",
    "LABEL_STATE",
    "image_name",
    "image_repository",
    "is_over",
    "leg_labels",
    "state_key",
    "this_run",
]

LABEL_LEG = "org.repro-envs.leg"
LABEL_STATE = "org.repro-envs.state"
#: The process that the container was started by: ``<machine>-<process>-<when it was started>``.
LABEL_RUN = "org.repro-envs.run"

#: Both engines take ``localhost`` for a registry, so that nobody looks for such an image elsewhere when it is gone.
_NAMESPACE = "localhost/ci-envs"


def state_key(layout: Layout) -> str:
    """Twelve hexadecimal digits that stand for a state folder: several projects may share an engine."""
    return hashlib.sha256(os.fsencode(layout.state)).hexdigest()[:12]


def leg_labels(state: str, leg_id: str) -> dict[str, str]:
    """The labels of a leg's containers and volumes; ``state`` is :func:`state_key`."""
    return {LABEL_STATE: state, LABEL_LEG: leg_id, LABEL_RUN: this_run()}


def image_repository(state: str) -> str:
    """The repository of a state folder's images, ``localhost/ci-envs/<state>``."""
    return f"{_NAMESPACE}/{state}"


def image_name(state: str, leg_id: str) -> str:
    """The name of a leg's image, ``localhost/ci-envs/<state>:<leg>``: an id is fit for a tag."""
    return f"{image_repository(state)}:{leg_id}"


@cache
def this_run() -> str:
    """Who we are, so that a container can be told from one whose process is gone."""
    return f"{_machine()}-{os.getpid()}-{_started(os.getpid())}"


def is_over(run: str) -> bool:
    """Whether the process of :func:`this_run` has ended. One of another machine is not ours to judge: it goes on."""
    machine, _, rest = run.partition("-")
    process, _, started = rest.partition("-")
    if not run or not process.isdigit():
        return True
    if machine != _machine():
        return False
    return not _lives(int(process)) or _started(int(process)) != started


@cache
def _machine() -> str:
    """This machine since it was booted, and this process namespace: nobody else's process ids mean the same."""
    facts = [_name()]
    with contextlib.suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    with contextlib.suppress(OSError):
        facts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 - it leads to no path
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:8]


def _name() -> str:
    if sys.platform == "win32":
        return os.environ.get("COMPUTERNAME", "")
    return os.uname().nodename


def _lives(process: int) -> bool:
    if sys.platform == "win32":
        return True  # to signal a process there is to end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _started(process: int) -> str:
    """When a process was started, in the kernel's ticks; empty where the kernel does not tell."""
    try:
        told = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return ""
    # proc_pid_stat(5): the name, in parentheses, may hold anything; what follows it are fields 3 and on.
    return told.rpartition(b")")[2].split()[19].decode()
