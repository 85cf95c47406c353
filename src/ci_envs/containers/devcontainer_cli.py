"""The tool that brings dev containers up, ``@devcontainers/cli``: where it is, and how it is called.

https://github.com/devcontainers/cli. What it says goes to the log as it comes; its last line is JSON.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ci_envs import command
from ci_envs.containers.build_output import without_our_mounts
from ci_envs.containers.devcontainer_override import read_variables
from ci_envs.decoding import decode
from ci_envs.errors import BuildError, ToolMissing
from ci_envs.plain import one_line
from ci_envs.redact import Redactor
from ci_envs.tools import find_program, tool_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ci_envs.command import Outcome
    from ci_envs.containers.devcontainer_config import Devcontainer
    from ci_envs.work import Work

__all__ = ["Cli", "Client", "Up", "docker_client", "find_cli", "up", "upgrade", "variables_inside"]

_GET = "npm install -g @devcontainers/cli"

#: The first with ``upgrade --dry-run``, and the first whose lock file is no experiment: its changelog.
_OLDEST = (0, 57)
_STABLE_LOCK = (0, 87)

# What the tool reads beside what every tool gets: how registries are logged in to, and whom node trusts.
_OWN_VARIABLES = ("DEVCONTAINERS_OCI_AUTH", "DOCKER_CONFIG", "NODE_EXTRA_CA_CERTS", "NODE_OPTIONS")

#: A client answers within a second; one that asks a daemon which is away does not.
_ASK_SECONDS = 30.0

#: The shell that is asked for its variables may be slow to start.
_EXEC_SECONDS = 120.0

# A build's step and a lifecycle command as each begins, behind the time of day that some lines have.
_STEP = re.compile(
    r"(?:\[[\d:.TZ-]+\] )?(?:\x1b\[\d+m)*"
    r"(?:#\d+ )?(\[(?!internal)[\w. -]* \d+/\d+\] .+|Running (?:the |.+ of )?\w+Command from .+)"
)
#: Of a step's name.
_SHOWN = 200

#: ``env`` would have to be told apart from the tool's own flags; a file need not.
_ENVIRON = ("cat", "/proc/self/environ")


@dataclass(frozen=True, slots=True)
class Cli:
    """The tool: one that the project has installed for itself, else the one on PATH."""

    program: Path
    version: str

    @property
    def frozen(self) -> tuple[str, ...]:
        """What has it build with the features of the lock and no others."""
        if _parts(self.version) >= _STABLE_LOCK:
            return ("--frozen-lockfile",)
        return ("--experimental-lockfile", "--experimental-frozen-lockfile")


@dataclass(frozen=True, slots=True)
class Client:
    """The command line of an engine."""

    program: Path
    #: Whether it has BuildKit; without it the older builder is used, which has no secrets.
    builds: bool


class Up(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the tool says last."""

    #: ``success`` or ``error``.
    outcome: str = ""
    container_id: str = ""
    remote_user: str = "root"
    remote_workspace_folder: str = ""
    #: Of an error: the command that failed, and what it was for.
    message: str = ""
    description: str = ""


def find_cli(work: Work) -> Cli:
    """The tool. :class:`ToolMissing` where it is not there, or cannot run, or is too old."""
    own = work.project.root / "node_modules" / ".bin" / "devcontainer"
    program = own if own.is_file() else find_program("devcontainer", work.environ)
    if program is None:
        raise ToolMissing(
            "there is no `devcontainer` on PATH, nor in node_modules/.bin of the project",
            hint=f"install Node.js 20 or newer, then: {_GET}",
        )
    version = tool_version(program, work.environ)
    if not version:
        node = "" if find_program("node", work.environ) else ": there is no `node` on PATH"
        raise ToolMissing(f"{program} does not run{node}", hint=f"install Node.js 20 or newer, then: {_GET}")
    if _parts(version) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise ToolMissing(f"{program} is version {version}, and {oldest} is needed", hint=f"renew it: {_GET}")
    work.tools["devcontainer"] = version
    return Cli(program, version)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in version.partition("-")[0].split("."))


def docker_client(kind: str, environ: Mapping[str, str]) -> Client:
    """Which client the tool is to use: for Docker the first on PATH that can build with BuildKit, if there is one."""
    clients = _clients(environ) if kind == "docker" else [p for p in [find_program(kind, environ)] if p]
    if not clients:
        raise ToolMissing(
            f"there is no `{kind}` on PATH, which the devcontainer tool calls",
            hint="install Docker's client: https://docs.docker.com/engine/install/",
        )
    able = next((client for client in clients if _has_buildx(client, environ)), None)
    return Client(able or clients[0], builds=able is not None)


def _clients(environ: Mapping[str, str]) -> list[Path]:
    """Every ``docker`` on PATH, in its order."""
    folders = [folder for folder in environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    found = (find_program("docker", {**environ, "PATH": folder}) for folder in folders)
    return list(dict.fromkeys(program for program in found if program))


def _has_buildx(client: Path, environ: Mapping[str, str]) -> bool:
    kept = {name: environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in environ}
    request = command.Command((str(client), "buildx", "version"), env=kept, timeout=_ASK_SECONDS)
    return bool(command.run(request))


def upgrade(cli: Cli, work: Work, read: Devcontainer) -> Outcome:
    """Resolves every feature anew; standard output is the lock's text. Nothing is written."""
    folder, file = work.project.root, work.project.path(read.path)
    return _run(cli, work, read, ["upgrade", "--dry-run", "--workspace-folder", folder, "--config", file])


def up(
    cli: Cli, work: Work, read: Devcontainer, words: Sequence[str | Path], env: Mapping[str, str]
) -> tuple[Up, Outcome]:
    """Builds the image, starts the container and runs the lifecycle commands; ``postAttachCommand`` is an editor's."""
    always = ("--skip-post-attach", "--remove-existing-container", "--mount-workspace-git-root", "false", *cli.frozen)
    outcome = _run(cli, work, read, ["up", *always, *words], env, as_logged=_telling(work))
    last = outcome.stdout.strip().rpartition("\n")[2]
    try:
        return decode(last, Up), outcome
    except msgspec.DecodeError:
        return Up(outcome="error", message=outcome.tail(3)), outcome


def variables_inside(
    cli: Cli, work: Work, read: Devcontainer, words: Sequence[str | Path], env: Mapping[str, str]
) -> dict[str, str]:
    """The variables inside: the container's, those of a login shell (``userEnvProbe``), and ``remoteEnv``."""
    with tempfile.TemporaryDirectory(dir=work.temp, ignore_cleanup_errors=True) as folder:
        request = command.Command(
            (str(cli.program), "exec", *map(str, words), *_ENVIRON),
            cwd=work.project.root,
            env=_variables(work, read, env) | {"TMPDIR": folder},
            timeout=_EXEC_SECONDS,
            raw=True,
        )
        outcome = command.run(request)
    if not outcome:
        raise BuildError(f"the dev container does not run commands: {outcome.stderr.strip()[-300:]}", file=read.path)
    pairs = (entry.partition("=") for entry in outcome.stdout.split("\0"))
    return {name: value for name, equals, value in pairs if name and equals}


def _variables(work: Work, read: Devcontainer, env: Mapping[str, str]) -> dict[str, str]:
    named = {*_OWN_VARIABLES, *read_variables(read.table)}
    own = {name: work.environ[name] for name in named if name in work.environ}
    return {**work.tool_environment, **own, **env}


def _telling(work: Work) -> Callable[[str], str]:
    """Tells of each step as it begins; the log has every line as it is."""
    redact = Redactor.from_environment(work.environ)

    def told(line: str) -> str:
        if found := _STEP.match(line):
            work.progress(redact(one_line(without_our_mounts(found[1]), _SHOWN)))
        return line

    return told


def _run(
    cli: Cli,
    work: Work,
    read: Devcontainer,
    words: Sequence[str | Path],
    env: Mapping[str, str] | None = None,
    *,
    as_logged: Callable[[str], str] | None = None,
) -> Outcome:
    """Runs the tool with a folder of its own for what it unpacks: it removes none of it."""
    with tempfile.TemporaryDirectory(dir=work.temp, ignore_cleanup_errors=True) as folder:
        made = _variables(work, read, env or {}) | {"TMPDIR": folder}
        return work.run([cli.program, *words], env=made, as_logged=as_logged)
