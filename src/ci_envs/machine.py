"""What this machine is, in the words that legs and records use, and without a name that would tell whose it is."""

from __future__ import annotations

import contextlib
import os
import sys
from functools import cache
from pathlib import Path

from ci_envs.model.record import Machine

__all__ = ["arch_name", "facts", "os_name"]

# What sys.platform and the kernel call them, and what a leg calls them.
_OS = {"linux": "linux", "darwin": "macos", "win32": "windows"}
_ARCH = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64", "i386": "i686", "i586": "i686", "x86": "i686"}


def os_name(word: str = sys.platform) -> str:
    """``linux``, ``macos`` or ``windows`` for a value of :data:`sys.platform`; another one as it is."""
    return _OS.get(word, word)


def arch_name(word: str = "") -> str:
    """``x86_64`` or ``aarch64`` for a kernel's word (by default this machine's); another one in lower case."""
    lowered = (word or _kernel_machine()).lower()
    return _ARCH.get(lowered, lowered)


@cache
def facts() -> Machine:
    """This machine. ``cpus`` are those that this process may use, which is fewer than there are in many containers."""
    return Machine(os=os_name(), arch=arch_name(), release=_release(), libc=_libc(), cpus=_cpus())


def _kernel_machine() -> str:
    if sys.platform == "win32":
        # PROCESSOR_ARCHITEW6432 speaks of the machine where a 32-bit process is told of itself.
        return os.environ.get("PROCESSOR_ARCHITEW6432") or os.environ.get("PROCESSOR_ARCHITECTURE", "")
    return os.uname().machine


def _release() -> str:
    import platform

    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    if sys.platform == "win32":
        return f"Windows {platform.version()}"
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return ""


def _libc() -> str:
    """``glibc 2.36`` or ``musl``: which of them decides whether a manylinux wheel (PEP 600) runs here."""
    if sys.platform != "linux":
        return ""
    with contextlib.suppress(ValueError, OSError):
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    return "musl" if any(Path("/lib").glob("ld-musl-*.so.1")) else ""


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 0
