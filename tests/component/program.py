"""ci-envs in a process of its own: one that can be killed, interrupted, started by others and under another mask."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.component.running import PYTHON
from tests.support.projects import write_project
from tests.support.tiny_backend import __file__ as tiny_backend

from ci_envs.assembling import read_digest
from ci_envs.machine import arch_name, os_name
from ci_envs.model.leg import make_leg
from ci_envs.record_files import find_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ci_envs.model.record import RunRecord

__all__ = [
    "FRUIT",
    "LEG",
    "PACKAGE",
    "Done",
    "Program",
    "alive",
    "descendants",
    "ended",
    "kill_all",
    "leftovers",
    "tidy",
    "wait_for",
]

_RUN_TESTS = 'test:\n  command: python -c "import apple, pear"\n'

#: A project of requirements whose tests need no runner.
FRUIT: dict[str, str] = {"requirements.in": "apple\npear\nplum[jam]\n", "ci-envs.yml": _RUN_TESTS}

#: A package for uv: a uv.lock, a wheel of its own.
PACKAGE: dict[str, str] = {
    "pyproject.toml": """\
[project]
name = "basket"
version = "0.1"
requires-python = ">=3.11"
dependencies = ["apple>=1,<2", "pear"]

[build-system]
requires = []
build-backend = "tiny_backend"
backend-path = ["."]

[tool.uv]
""",
    "tiny_backend.py": Path(tiny_backend).read_text(encoding="utf-8"),
    "src/basket/__init__.py": "import apple\n",
    "ci-envs.yml": _RUN_TESTS.replace("apple, pear", "basket, pear"),
}

#: The leg that the Python which runs these tests makes of either.
LEG = make_leg(pattern="uv", python=PYTHON, os=os_name(), arch=arch_name()).id


@dataclass(frozen=True)
class Done:
    """A process that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """All of it, for the message of an assertion."""
        return f"exit code {self.code}\n{self.stdout}\n{self.stderr}"


@dataclass
class Program:
    """ci-envs over one project; ``words`` stand behind each ``run``."""

    root: Path
    env: dict[str, str]
    words: tuple[str, ...] = ("--pattern=uv", f"--python={PYTHON}")
    files: Mapping[str, str] = field(default_factory=lambda: FRUIT)
    leg: str = LEG
    #: What starts it: ``setpriv`` and its arguments, say.
    through: tuple[str, ...] = ()
    #: Every process that was started, for whoever tidies up after a test that has failed.
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.root.exists():
            write_project(self.root, self.files)

    @property
    def state(self) -> Path:
        named = self.env.get("CI_ENVS_STATE_DIR")
        return Path(named) if named else self.root / ".ci-envs"

    @property
    def cache(self) -> Path:
        return Path(self.env["CI_ENVS_CACHE_DIR"])

    @property
    def prefix(self) -> Path:
        return self.state / "envs" / self.leg

    @property
    def record_file(self) -> Path:
        return self.state / "records" / f"{self.leg}.json"

    @property
    def record(self) -> RunRecord | None:
        """As it lies on disk."""
        return find_record(self.record_file)

    @property
    def digest(self) -> str:
        """Of the environment's bytes as they are now."""
        return read_digest(self.prefix).value

    @property
    def site(self) -> Path:
        return self.prefix / f"lib/python{PYTHON}/site-packages"

    def start(self, verb: str, *words: str, **how: Any) -> subprocess.Popen[str]:
        """Starts a verb in the project's folder; ``how`` goes to Popen. It leads a process group of its own."""
        words = (*self.words, *words) if verb == "run" else words
        process = subprocess.Popen(
            [*self.through, sys.executable, "-m", "ci_envs", verb, *words],
            **{
                "cwd": self.root,
                "env": self.env,
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                "start_new_session": True,
                **how,
            },
        )
        self.started.append(process)
        return process

    def do(self, verb: str, *words: str, timeout: float = 100, **how: Any) -> Done:
        """Runs a verb to its end."""
        return ended(self.start(verb, *words, **how), timeout)

    def run(self, *words: str, **how: Any) -> Done:
        """``ci-envs run``."""
        return self.do("run", *words, **how)


def ended(process: subprocess.Popen[str], timeout: float = 100) -> Done:
    """Waits for a process and takes what it said."""
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
        raise AssertionError(f"it did not end in {timeout} s\n{stdout}\n{stderr}") from None
    return Done(process.returncode, stdout or "", stderr or "")


def tidy(processes: list[subprocess.Popen[str]]) -> None:
    """Ends what a test has left running, and closes its pipes."""
    for process in processes:
        if process.poll() is None:
            kill_all(process)
        with process:
            pass


def leftovers(*folders: Path) -> list[str]:
    """What only a run that goes on may have: old environments, files that are not whole; and traces of bugs."""
    ends = (".old", ".part", ".trace.log")
    return sorted(str(path) for folder in folders for path in folder.rglob("*") if path.name.endswith(ends))


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    parents: dict[int, list[int]] = {}
    for other, parent in _processes():
        parents.setdefault(parent, []).append(other)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def alive(pid: int) -> bool:
    """Whether it runs; one that has ended and that nobody has waited for does not."""
    return any(other == pid for other, _ in _processes())


def _processes() -> Iterator[tuple[int, int]]:
    """Process and parent, of all that run (proc(5))."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit():
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                if state not in ("Z", "X"):
                    yield int(folder.name), int(parent)


def kill_all(process: subprocess.Popen[str]) -> None:
    """Kills a program and all that it has started, none of which can do anything about it."""
    os.kill(process.pid, signal.SIGSTOP)
    family = [process.pid, *descendants(process.pid)]
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], object], seconds: float = 20.0, pause: float = 0.005) -> None:
    """Fails where it does not come true.

    Where pathlib looks through a folder that goes meanwhile, which is an error to its ``glob``, it did not yet.
    """

    def met() -> object:
        with contextlib.suppress(FileNotFoundError):
            return condition()
        return False

    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(pause)
