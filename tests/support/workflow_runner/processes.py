"""One script under bash: what the runner's ScriptHandler starts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["SHELLS", "run_script"]

#: What ``shell`` means; none is bash without pipefail ("Workflow syntax", jobs.<job_id>.steps[*].shell).
SHELLS = {
    "": ("bash", "-e"),
    "bash": ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail"),
}

#: Between asking what ran past its time to end and ending it.
GRACE_SECONDS = 5.0


def run_script(
    script: Path, shell: str, folder: Path, *, env: Mapping[str, str], seconds: float, line: Callable[[str], None]
) -> int | None:
    """The exit code; None where the time limit ended it. ``line`` is called with each line of both streams as it comes.

    ci_envs.command is not used: it hides what looks like a password, and whether one shows is for tests to see.
    """
    process = subprocess.Popen(
        [*SHELLS[shell], str(script)],
        cwd=folder,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    ended = threading.Event()

    def end() -> None:
        ended.set()
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        _signal_group(process.pid, signal.SIGKILL)

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        assert process.stdout is not None
        with process.stdout:
            for text in process.stdout:
                line(text.rstrip("\r\n"))
        code = process.wait()
    finally:
        timer.cancel()
        _signal_group(process.pid, signal.SIGKILL)  # what a step leaves running ends with its job
    return None if ended.is_set() else code


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
