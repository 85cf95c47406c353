"""A prefix on this machine: a virtual environment, a conda prefix, a nix shell. They differ in paths and variables."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs import command, environ, machine
from ci_envs.environments.probing import PROBE_SECONDS, SEARCH_PATH, inventory_of, probing
from ci_envs.environments.scheme import Scheme
from ci_envs.errors import BrokenError
from ci_envs.model.inventory import Interpreter, Inventory
from ci_envs.model.leg import STORED
from ci_envs.resources import probe_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from ci_envs.command import Outcome
    from ci_envs.content import Content, HashCache
    from ci_envs.environments import Artifact

__all__ = ["HostEnvironment"]

#: Of one file that is read into memory, in bytes.
READ_LIMIT = 16 * 1024 * 1024

#: What activating did, beside the bytecode of the same content.
_MEMORY = "activation.json"

#: Where this program's own tools lie: nox puts the folder on PATH, and a leg must not find its pytest there.
_OWN_PROGRAMS = Path(sys.executable).parent


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
        self._caller = caller
        self._variables = dict(variables or {})
        #: Where interpreters inside keep bytecode, so that running something changes no file of the prefix.
        self.bytecode = bytecode
        self.temp = temp
        self._hashes = hashes
        self._active: tuple[dict[str, str], tuple[str, ...]] | None = None
        self._activating = threading.Lock()

    @cached_property
    def scheme(self) -> Scheme:
        """Its folders."""
        return Scheme.of(self.prefix)

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.scheme.python

    def __enter__(self) -> HostEnvironment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @property
    def variables(self) -> dict[str, str]:
        """All variables that a command inside sees."""
        return self._activated(None)[0]

    def notes(self, log: Path | None = None) -> tuple[str, ...]:
        """What activating it could not do, each a sentence."""
        return self._activated(log)[1]

    def _activated(self, log: Path | None) -> tuple[dict[str, str], tuple[str, ...]]:
        """Variables and notes. Scripts of the environment run the first time that they are asked for."""
        with self._activating:
            if self._active is None:
                made, notes = self._declared()
                if self.scheme.kind == "conda":
                    made, more = self._scripted(made, log)
                    notes += more
                self._active = made, notes
            return self._active

    def _declared(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """Variables and notes before any script has run."""
        if self.scheme.kind in STORED:
            from ci_envs.environments.nix_shell import kept_shell, shell_variables

            shell = kept_shell(self.prefix, self._caller)
            made = shell_variables(self._caller, shell, self._variables, hide=(_OWN_PROGRAMS,))
            return made | self._private, shell.notes
        active = {"VIRTUAL_ENV": str(self.prefix)}
        notes: tuple[str, ...] = ()
        if self.scheme.kind == "conda":
            from ci_envs.conda.activation import activation_variables  # a virtual environment needs none of it

            found = activation_variables(self.prefix, self.scheme.path)
            active, notes = found.variables, found.problems
        made = environ.project_environment(
            self._caller, path=self.scheme.path, variables=active | self._variables, hide=(_OWN_PROGRAMS,)
        )
        if self.bytecode is not None:
            made.pop("PYTHONDONTWRITEBYTECODE", None)
        return made | self._private, notes

    def _scripted(self, made: dict[str, str], log: Path | None) -> tuple[dict[str, str], tuple[str, ...]]:
        """The same after the scripts of a conda environment; none of them moves what is private."""
        from ci_envs.conda.activation import activate

        if self.temp is not None:
            self.temp.mkdir(parents=True, exist_ok=True)
        memory = self.bytecode / _MEMORY if self.bytecode is not None else None
        found = activate(self.prefix, made, memory=memory, log=log)
        kept = {name: value for name, value in made.items() if name not in found.unset}
        return kept | found.variables | self._private, found.problems

    @property
    def _private(self) -> dict[str, str]:
        private = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self.temp)) if self.temp is not None else {}
        return private | ({"PYTHONPYCACHEPREFIX": str(self.bytecode)} if self.bytecode is not None else {})

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
        """Runs a command inside. A bare program name is looked up in the environment first, as activating does."""
        variables = {**self._activated(log)[0], **(env or {})}
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
            )
        )

    def hand_over(self, argv: Sequence[str], *, cwd: Path) -> int:
        """Runs a command inside with this terminal; its exit code."""
        if self.temp is not None:
            self.temp.mkdir(parents=True, exist_ok=True)
        return command.hand_over(command.Command((self._program(argv[0]), *argv[1:]), cwd=cwd, env=self.variables))

    def place(self, outside: Path) -> str:
        """The same path."""
        return str(outside)

    def outlet(self, outside: Path) -> str:
        """The same path."""
        return str(outside)

    def collect(self, outside: Path) -> bool:
        """Whether it was written."""
        return outside.is_file()

    def read(self, path: str) -> bytes | None:
        """One file of this machine. :class:`BrokenError` where it has more than 16 MiB."""
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - a path that is text stays the same text
                data = file.read(READ_LIMIT + 1)
        except OSError:
            return None
        if len(data) > READ_LIMIT:
            raise BrokenError(f"{path} has more than {READ_LIMIT >> 20} MiB")
        return data

    def leftovers(self) -> tuple[str, ...]:
        """What lies in ``temp``."""
        return tuple(sorted(self.sizes_left()))

    def sizes_left(self) -> dict[str, int]:
        """Relative names with sizes, of what lies in ``temp``."""
        return dict(_files(self.temp)) if self.temp is not None else {}

    def inventory(self) -> Inventory:
        """What is installed: as the probe reads it under the environment's own interpreter, by conda's records, and by
        the closure of a nix shell or a guix profile.

        An environment of conda's, nix's or guix's may hold no Python; its interpreter has no version then.
        """
        if self.scheme.kind == "venv":
            return self._python_inventory()
        if self.scheme.kind in STORED:
            from ci_envs.environments.nix_shell import with_closure

            return with_closure(self._whole_inventory(SEARCH_PATH), self.prefix, self.scheme.kind)
        from ci_envs.conda.prefix import with_conda  # a virtual environment needs none of it
        from ci_envs.model.conda_record import read_records

        found = self._whole_inventory()
        records, _ = read_records(self._conda_records(), windows=sys.platform == "win32")
        return with_conda(found, records, self._read)

    def _whole_inventory(self, *how: str) -> Inventory:
        """What the probe says; an interpreter without a version where there is none."""
        return self._python_inventory(*how) if self.python.exists() else Inventory(interpreter=self._no_interpreter())

    def _no_interpreter(self) -> Interpreter:
        here, prefix = machine.facts(), str(self.prefix)
        return Interpreter(
            version="",
            implementation="",
            os=here.os,
            arch=here.arch,
            executable="",
            prefix=prefix,
            base_prefix=prefix,
        )

    def _conda_records(self) -> dict[str, bytes]:
        names = sorted(f"conda-meta/{path.name}" for path in (self.prefix / "conda-meta").glob("*.json"))
        return {name: data for name in names if (data := self._read(name)) is not None}

    def _read(self, path: str) -> bytes | None:
        try:
            return (self.prefix / path).read_bytes()
        except OSError:
            return None

    def _python_inventory(self, *how: str) -> Inventory:
        # An interpreter that only reads metadata needs nothing that scripts set.
        request = command.Command(
            argv=probing(self.python, "inventory", *how),
            cwd=self.prefix,
            env=self._declared()[0],
            stdin=probe_text(),
            timeout=PROBE_SECONDS,
            raw=True,
        )
        return inventory_of(command.run(request))

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
        inside = (folder / f"{name}{ending}" for folder in self.scheme.path for ending in endings)
        return next((str(path) for path in inside if path.is_file()), name)


def _files(top: Path) -> Iterator[tuple[str, int]]:
    """Relative names with sizes; links are not followed."""
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 - walking bytes of foreign names
            with contextlib.suppress(OSError):  # what is still running removes its files meanwhile
                yield os.path.relpath(path, top).replace(os.sep, "/"), os.lstat(path).st_size
