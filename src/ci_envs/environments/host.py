"""A prefix on this machine: a virtual environment, a conda prefix, a nix shell. They differ in paths and variables."""

from __future__ import annotations

import os
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ci_envs import command, environ
from ci_envs.errors import BuildError
from ci_envs.model.inventory import Inventory
from ci_envs.resources import probe_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from ci_envs.command import Outcome
    from ci_envs.content import Content, HashCache
    from ci_envs.environments import Artifact

__all__ = ["HostEnvironment", "scripts_folder"]

#: The probe only reads metadata; a prefix on a slow network disk still answers in this time.
_PROBE_TIMEOUT_SECONDS = 120.0

#: Where this program's own tools lie: nox puts the folder on PATH, and a leg must not find its pytest there.
_OWN_PROGRAMS = Path(sys.executable).parent


def scripts_folder(prefix: Path) -> Path:
    """Where a virtual environment keeps its programs (``sysconfig``'s ``venv`` scheme)."""
    return prefix / ("Scripts" if sys.platform == "win32" else "bin")


class HostEnvironment:
    """An environment at a prefix of this machine. Nothing is started or held, so leaving it does nothing."""

    def __init__(
        self,
        prefix: Path,
        *,
        caller: Mapping[str, str],
        variables: Mapping[str, str] | None = None,
        bytecode: Path | None = None,
        temp: Path | None = None,
        hashes: HashCache | None = None,
    ) -> None:
        self.prefix = prefix
        self.scripts = scripts_folder(prefix)
        self._caller = caller
        self._variables = dict(variables or {})
        #: Where interpreters inside keep bytecode, so that running something changes no file of the prefix.
        self.bytecode = bytecode
        self.temp = temp
        self._hashes = hashes

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.scripts / ("python.exe" if sys.platform == "win32" else "python")

    def __enter__(self) -> HostEnvironment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @cached_property
    def variables(self) -> dict[str, str]:
        """All variables that a command inside sees."""
        made = environ.project_environment(
            self._caller, prefix=self.prefix, scripts=self.scripts, variables=self._variables, hide=(_OWN_PROGRAMS,)
        )
        if self.bytecode is not None:
            made["PYTHONPYCACHEPREFIX"] = str(self.bytecode)
            made.pop("PYTHONDONTWRITEBYTECODE", None)
        if self.temp is not None:
            made.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self.temp)))
        return made

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        log: Path | None = None,
        stdin: str = "",
        raw: bool = False,
    ) -> Outcome:
        """Runs a command inside. A bare program name is looked up in the environment first, as activating does."""
        variables = {**self.variables, **(env or {})}
        if self.temp is not None:
            self.temp.mkdir(parents=True, exist_ok=True)
        return command.run(
            command.Command(
                argv=(self._program(argv[0]), *argv[1:]),
                cwd=cwd or self.prefix,
                env=variables,
                timeout=timeout,
                log=log,
                stdin=stdin,
                raw=raw,
            )
        )

    def hand_over(self, argv: Sequence[str], *, cwd: Path) -> int:
        """Runs a command inside with this terminal; its exit code."""
        if self.temp is not None:
            self.temp.mkdir(parents=True, exist_ok=True)
        return command.hand_over(command.Command((self._program(argv[0]), *argv[1:]), cwd=cwd, env=self.variables))

    def inventory(self) -> Inventory:
        """What is installed, as the probe reads it under the environment's own interpreter."""
        outcome = self.run(
            [str(self.python), "-I", "-S", "-", "inventory"],
            stdin=probe_text(),
            timeout=_PROBE_TIMEOUT_SECONDS,
            raw=True,
        )
        if not outcome:
            raise BuildError(
                "the interpreter of the environment does not run: "
                + (outcome.tail(3) or f"exit code {outcome.returncode}")
            )
        try:
            return msgspec.json.decode(outcome.stdout, type=Inventory)
        except msgspec.MsgspecError as error:
            raise BuildError(f"the probe's answer cannot be read: {error}") from error

    def content(self) -> Content:
        """Every file of the prefix, hashed."""
        from ci_envs.content import read_content

        return read_content(self.prefix, cache=self._hashes)

    def artifacts(self) -> list[Artifact]:
        """None: a prefix is bound to its machine."""
        return []

    def _program(self, name: str) -> str:
        if os.path.basename(name) != name:  # noqa: PTH119 - "a/b" must not become a Path and back
            return name
        endings = ("", ".exe", ".cmd", ".bat") if sys.platform == "win32" else ("",)
        inside = (self.scripts / f"{name}{ending}" for ending in endings)
        return next((str(path) for path in inside if path.is_file()), name)
