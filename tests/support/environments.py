"""An environment that answers what a test tells it to: the fake at the process seam, and what checks look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ci_envs.checks import Context
from ci_envs.command import Outcome
from ci_envs.environments.host import HostEnvironment
from ci_envs.model.config import CheckConfig
from ci_envs.model.inventory import Distribution, Interpreter, Inventory
from ci_envs.model.leg import make_leg
from ci_envs.model.lock import Lock, Pin, Requirement
from ci_envs.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from ci_envs.content import Content
    from ci_envs.environments import Artifact

__all__ = ["MARKERS", "Call", "FakeEnvironment", "a_context", "an_inventory", "dist", "lock_of", "said"]

#: Of CPython 3.12 on Linux, whichever Python runs the tests.
MARKERS = {
    "implementation_name": "cpython",
    "implementation_version": "3.12.4",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "6.1.0-generic",
    "platform_system": "Linux",
    "platform_version": "#1 SMP",
    "python_full_version": "3.12.4",
    "python_version": "3.12",
    "sys_platform": "linux",
}


@dataclass(frozen=True)
class Call:
    """One command that was run inside."""

    argv: tuple[str, ...]
    cwd: Path | None
    env: Mapping[str, str]
    timeout: float | None
    log: Path | None
    stdin: str


def said(
    stdout: str = "", *, code: int = 0, stderr: str = "", timed_out: bool = False, seconds: float = 0.0
) -> Outcome:
    """What a command is to answer."""
    return Outcome((), code, stdout, stderr, seconds, timed_out)


@dataclass
class FakeEnvironment:
    """Answers each command with what ``answer`` makes of its arguments; without one, every command is well."""

    answer: Callable[[tuple[str, ...]], Outcome] = lambda _argv: said()
    python: Path = Path("bin/python")
    not_activated: tuple[str, ...] = ()
    calls: list[Call] = field(default_factory=list)
    temp: Path | None = None

    def __enter__(self) -> FakeEnvironment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        log: Path | None = None,
        stdin: str = "",
    ) -> Outcome:
        self.calls.append(Call(tuple(argv), cwd, dict(env or {}), timeout, log, stdin))
        told = self.answer(tuple(argv))
        return Outcome(tuple(argv), told.returncode, told.stdout, told.stderr, told.seconds, told.timed_out)

    def hand_over(self, argv: Sequence[str], *, cwd: Path) -> NoReturn:
        raise AssertionError("nobody sits at this terminal")

    def place(self, outside: Path) -> str:
        return str(outside)

    def outlet(self, outside: Path) -> str:
        return str(outside)

    def collect(self, outside: Path) -> bool:
        return outside.is_file()

    def read(self, path: str) -> bytes | None:
        return None

    def leftovers(self) -> tuple[str, ...]:
        return tuple(sorted(self.sizes_left()))

    def sizes_left(self) -> dict[str, int]:
        return HostEnvironment(Path(), caller={}, temp=self.temp).sizes_left()

    def notes(self, log: Path | None = None) -> tuple[str, ...]:
        return self.not_activated

    def inventory(self) -> NoReturn:
        raise AssertionError("a check looks at the inventory of its context")

    def content(self) -> Content:
        raise AssertionError("a check looks at no files")

    def artifacts(self) -> list[Artifact]:
        return []


def dist(name: str, version: str = "1.0", **facts: Any) -> Distribution:
    """A distribution whose one module has its name."""
    return Distribution(name=name, version=version, **{"modules": (name.replace("-", "_"),), **facts})


def an_inventory(*distributions: Distribution, **facts: Any) -> Inventory:
    """CPython 3.12 on Linux with these; ``facts`` replace what the interpreter says."""
    interpreter: dict[str, Any] = {
        "version": "3.12.4",
        "implementation": "cpython",
        "os": "linux",
        "arch": "x86_64",
        "executable": "bin/python",
        "prefix": "",
        "base_prefix": "",
        "markers": MARKERS,
    }
    return Inventory(interpreter=Interpreter(**{**interpreter, **facts}), distributions=distributions)


def lock_of(*pins: Pin, direct: Sequence[str] = (), path: str = "requirements.txt") -> Lock:
    """A lock with these pins, made from these names."""
    asked = tuple(Requirement(text=name, name=name) for name in direct)
    return Lock(path=path, format="requirements", sha256="00", pins=pins, direct=asked)


def a_context(
    folder: Path,
    *distributions: Distribution,
    lock: Lock | None = None,
    environment: FakeEnvironment | None = None,
    leg: Mapping[str, Any] | None = None,
    interpreter: Mapping[str, Any] | None = None,
    **more: Any,
) -> Context:
    """What a check looks at, on a project in ``folder``. ``more``: facts of the context, and keys of ``check``."""
    own_facts = {name: more.pop(name) for name in ("seeds", "own", "workers", "conda_names") if name in more}
    words = {"pattern": "uv", "python": "3.12", "os": "linux", "arch": "x86_64", **(leg or {})}
    return Context(
        leg=make_leg(**words),
        lock=lock or lock_of(),
        inventory=an_inventory(*distributions, **(interpreter or {})),
        environment=environment or FakeEnvironment(temp=folder / "tmp"),
        config=CheckConfig(**more),
        project=Project(folder),
        temp=folder / "tmp",
        log=folder / "check.log",
        **{"seeds": frozenset(), "own": frozenset(), "workers": 2, **own_facts},
    )
