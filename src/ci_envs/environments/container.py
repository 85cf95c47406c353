"""A container of an image: started when it is first needed, and gone when the environment is left or this process ends.

How it is run is :mod:`ci_envs.containers.session`; this is what is known of the inside.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from ci_envs import command
from ci_envs.containers.session import BYTECODE, TEMP, Asked, ProjectFiles, Session
from ci_envs.environments.probing import PROBE_SECONDS, SEARCH_PATH, answer_of, inventory_of, probing
from ci_envs.errors import BuildError, CiEnvsError, ToolMissing
from ci_envs.resources import probe_text
from ci_envs.tools import find_program

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from ci_envs.capture import Outcome
    from ci_envs.containers.engine import Engine
    from ci_envs.containers.limits import Limits
    from ci_envs.content import Content
    from ci_envs.environments import Artifact
    from ci_envs.model.closure import Closure
    from ci_envs.model.conda_record import CondaRecord
    from ci_envs.model.inventory import Inventory

__all__ = ["ContainerEnvironment", "ProjectFiles"]

#: Of the probe's answer about every file, in bytes.
_CONTENT_LIMIT = 1024 * 1024 * 1024
_CONTENT_SECONDS = 1800.0

#: An interpreter that only reads neither follows the environment's variables nor writes bytecode beside its modules.
_READS_ONLY = ("-B",)

_WHO = "import sys; print(sys.executable)"
_WHO_SECONDS = 60.0

# Both run inside, on Python 3.8 and later.
_SIZES = """\
import json, os, sys
found = {}
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(folder, name)
        try:
            found[os.path.relpath(path, sys.argv[1])] = os.lstat(path).st_size
        except OSError:
            pass
print(json.dumps(found))
"""
_READ_ALL = """\
import base64, json, sys
found = {}
for path in json.load(sys.stdin):
    try:
        with open(path, "rb") as file:
            found[path] = base64.b64encode(file.read()).decode()
    except OSError:
        pass
print(json.dumps(found))
"""


_WHICH = """\
import json, os, sys
print(json.dumps({name: 1 for name in json.load(sys.stdin) if os.path.lexists(os.path.join(sys.argv[1], name))}))
"""


class ContainerEnvironment:
    """Starts nothing by itself: the first command starts the container. Threads may share it."""

    def __init__(
        self,
        engine: Engine,
        image: str,
        *,
        limits: Limits,
        labels: Mapping[str, str],
        project: ProjectFiles | None = None,
        variables: Mapping[str, str] | None = None,
        python: str = "",
        workdir: str = "",
        redact_environ: Mapping[str, str] | None = None,
        bytecode: Path | None = None,
        closure: Closure | None = None,
    ) -> None:
        """``labels`` are :func:`labels.leg_labels`, ``variables`` the leg's own.

        ``python`` is the interpreter inside, ``workdir`` where commands run that are given no folder; where they are
        empty, the image and the project say. ``redact_environ`` is the caller's environment: its secrets are masked in
        what commands say, and none of it is seen inside. ``bytecode`` is a folder of the image's own, see ``session``.
        ``closure``: the environment inside is a shell of nix's, which needs these of its store.
        """
        asked = Asked(
            limits=limits,
            labels=labels,
            project=project,
            variables=variables or {},
            python=python,
            workdir=workdir,
            caller=os.environ if redact_environ is None else redact_environ,
            bytecode=bytecode,
        )
        self._session = Session(engine, image, asked)
        self.closure = closure

    def __enter__(self) -> ContainerEnvironment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends and removes the container; a later command would start another."""
        try:
            self._keep_bytecode()
        finally:
            self._session.close()

    def _keep_bytecode(self) -> None:
        """An interrupted run has no time for it, and a container that is gone has none."""
        if self._session.asked.bytecode is not None and self._session.running and not command.stopping():
            with contextlib.suppress(CiEnvsError, OSError):
                self._session.keep_bytecode(len(self._told(_SIZES, BYTECODE)))

    @property
    def engine(self) -> Engine:
        """What runs it."""
        return self._session.engine

    @property
    def image(self) -> str:
        """The image, as it was named."""
        return self._session.image

    @property
    def limits(self) -> Limits:
        """What it may take."""
        return self._session.asked.limits

    @property
    def workdir(self) -> str:
        """The image's own working directory; ``/`` where it names none."""
        return self._session.image_workdir

    def has(self, names: Iterable[str], folder: str) -> frozenset[str]:
        """Those of the names that there is something of below a folder inside."""
        return frozenset(self._told(_WHICH, folder, stdin=json.dumps(list(names))))

    def settle(self, project: ProjectFiles) -> None:
        """Says where the project's files are, once that was looked up."""
        self._session.settle(project)

    def place(self, outside: Path) -> str:
        """Where a file or folder of the project is inside. :class:`UsageError` for what is not in there."""
        return self._session.place(outside)

    def outlet(self, outside: Path) -> str:
        """A place that a command may write to. :meth:`collect` brings the file."""
        return self._session.outlet(outside)

    def collect(self, outside: Path) -> bool:
        """Whether a file was written at the outlet; it is at ``outside`` then."""
        return self._session.collect(outside)

    def read(self, path: str) -> bytes | None:
        """One file inside. :class:`BrokenError` where it has more than 16 MiB."""
        return self._session.read(path)

    def leftovers(self) -> tuple[str, ...]:
        """What lies in TMPDIR inside: relative names, sorted."""
        return tuple(sorted(self.sizes_left()))

    def sizes_left(self) -> dict[str, int]:
        """The same with the size of each in bytes; nothing where no container runs."""
        if not self._session.running:
            return {}
        return {str(name): int(size) for name, size in self._told(_SIZES, TEMP).items()}

    def _told(self, script: str, *arguments: str, stdin: str = "") -> dict[str, Any]:
        """What a script of ours says inside, as JSON."""
        argv = (str(self.python), "-I", "-S", *_READS_ONLY, "-c", script, *arguments)
        return answer_of(self._session.run(argv, folder="/", timeout=PROBE_SECONDS, stdin=stdin, raw=True))

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
        """Runs a command inside, by no shell. A bare name is looked up on the container's PATH.

        One that meets its time limit ends the container and all that runs in it; the next command gets a new one.
        Raises as :func:`command.run` does.
        """
        return self._session.run(
            tuple(argv), folder=self._session.folder(cwd), env=env, timeout=timeout, log=log, stdin=stdin
        )

    def hand_over(self, argv: Sequence[str], *, cwd: Path) -> int:
        """Runs a command inside with this terminal; its exit code.

        Through the engine's own command line: :class:`ToolMissing` where it is not there. A folder outside of the
        project stands for the project's own.
        """
        kind = self.engine.kind
        program = find_program(kind, self._session.asked.caller)
        if program is None:
            raise ToolMissing(
                f"a terminal is handed over by the program {kind}, which is not on PATH",
                hint=f"install the command line of {kind}; the engine alone does not do",
            )
        within = self._session.asked.project is not None and cwd.is_relative_to(self._session.asked.project.root)
        folder = self._session.folder(cwd if within else None)
        terminal = ["--tty"] if sys.stdin is not None and sys.stdin.isatty() else []
        where = ["--workdir", folder] if folder else []
        words = (str(program), "exec", "--interactive", *terminal, *where, self._session.started().id, *argv)
        return command.hand_over(command.Command(words, env={**self._session.asked.caller, **self.engine.environ}))

    @cached_property
    def python(self) -> PurePosixPath:
        """The interpreter inside: as it was asked for, else the one of the image's VIRTUAL_ENV, else of its PATH.

        :class:`BuildError` where there is none.
        """
        if "/" in self._session.asked.python:
            return PurePosixPath(self._session.asked.python)
        active = self._session.image_variables.get("VIRTUAL_ENV", "")
        named = [self._session.asked.python] if self._session.asked.python else ["python", "python3"]
        looked = [*([f"{active}/bin/python"] if active and not self._session.asked.python else []), *named]
        for name in looked:
            try:
                outcome = self._session.run(
                    (name, "-I", "-S", *_READS_ONLY, "-c", _WHO), folder="/", timeout=_WHO_SECONDS
                )
            except ToolMissing:
                continue
            if outcome and outcome.stdout.startswith("/"):
                return PurePosixPath(outcome.stdout.strip())
        raise BuildError(
            f"there is no Python in {self.image}: looked for {', '.join(looked)} on {self._session.path}",
            hint="say where it is with docker: {python: /path/to/python} in ci-envs.yml",
        )

    def inventory(self) -> Inventory:
        """What is installed: as the probe reads it, by conda's records, and by those of the operating system."""
        from ci_envs.containers.os_packages import read_packages

        found = self._with_conda(self._python_inventory) if self.closure is None else self._with_closure(self.closure)
        return msgspec.structs.replace(found, distributions=(*found.distributions, *read_packages(self)))

    def _with_closure(self, closure: Closure) -> Inventory:
        """Where nix's Python finds its packages only its search path tells."""
        from ci_envs.environments.nix_shell import store_packages

        found = self._python_inventory_of(SEARCH_PATH)
        return msgspec.structs.replace(found, distributions=(*found.distributions, *store_packages(closure)))

    @property
    def _python_inventory(self) -> Inventory:
        return self._python_inventory_of()

    def _python_inventory_of(self, *how: str) -> Inventory:
        argv = probing(self.python, "inventory", *how, flags=_READS_ONLY)
        return inventory_of(self._session.run(argv, folder="/", stdin=probe_text(), timeout=PROBE_SECONDS, raw=True))

    def _with_conda(self, found: Inventory) -> Inventory:
        from ci_envs.conda.prefix import with_conda
        from ci_envs.model.conda_record import read_records

        prefix = found.interpreter.prefix
        files = self._session.files_of(f"{prefix}/conda-meta", ".json")
        if not files:
            return found
        records, _ = read_records({f"conda-meta/{name}": data for name, data in files.items()})
        data = self._read_all(prefix, _telling(records))
        return with_conda(found, records, data.get)

    def _read_all(self, prefix: str, names: Iterable[str]) -> dict[str, bytes]:
        """Many small files at once."""
        told = self._told(_READ_ALL, stdin=json.dumps([f"{prefix}/{name}" for name in names]))
        return {path.removeprefix(f"{prefix}/"): base64.b64decode(text) for path, text in told.items()}

    def content(self) -> Content:
        """Every file below the interpreter's prefix, hashed inside."""
        from ci_envs.content import content_from_probe

        prefix = self._python_inventory.interpreter.prefix
        argv = probing(self.python, "content", prefix, flags=_READS_ONLY)
        outcome = self._session.run(
            argv, folder="/", stdin=probe_text(), timeout=_CONTENT_SECONDS, raw=True, limit=_CONTENT_LIMIT
        )
        return content_from_probe(answer_of(outcome))

    def artifacts(self) -> list[Artifact]:
        """None: what an image is kept as, whoever built it knows."""
        return []

    def notes(self, log: Path | None = None) -> tuple[str, ...]:  # noqa: ARG002 - nothing is run for it
        """What was asked for and cannot be had, each a sentence."""
        left_out = [f"{name} is not in the container" for name in self._session.left_out]
        return (*self.limits.notes(self.engine), *left_out)


def _telling(records: Iterable[CondaRecord]) -> list[str]:
    """The files that tell whose a Python distribution is: see ``conda.prefix``."""
    lists = {claim.path for record in records for claim in record.claims if claim.path.endswith("-info/RECORD")}
    return sorted(lists | {f"{path.removesuffix('RECORD')}INSTALLER" for path in lists})
