"""What this machine can build: the tools and Pythons that are here, and the one command that brings what is not."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from ci_envs import command, interpreters
from ci_envs.errors import CiEnvsError, ToolMissing, UsageError
from ci_envs.machine import os_name
from ci_envs.model.leg import CONTAINED, STORED
from ci_envs.nearest import nearest
from ci_envs.tools import find_program, tool_version, uv_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ci_envs.interpreters import Run

    Engines = Callable[[str, Mapping[str, str]], tuple["FoundTool", ...]]

__all__ = ["NEEDS", "Diagnosis", "FoundPython", "FoundTool", "Need", "PatternState", "diagnose", "refuse_unready"]

State = Literal["ready", "missing", "not built yet"]


class Need(msgspec.Struct, frozen=True):
    """A program that a pattern needs, and the command that brings it on each system (``*``: any other)."""

    program: str
    get: dict[str, str]
    #: Another name that it goes by.
    other: str = ""


def _tool(name: str) -> dict[str, str]:
    return {"*": f"uv tool install {name}"}


_MINIFORGE = "https://github.com/conda-forge/miniforge/releases/latest/download/Miniforge3-$(uname)-$(uname -m).sh"
_CONDA = {
    "*": f"curl -fsSLo miniforge.sh {_MINIFORGE} && sh miniforge.sh -b",
    "windows": "winget install -e --id CondaForge.Miniforge3",
}

#: Programs by pattern, the first one that is here being taken. Patterns that ci-envs builds with what it brings
#: along (venv, virtualenv, uv, conda) need none; those of containers need an engine that answers
#: (``containers/diagnosis.py``).
NEEDS: dict[str, Need] = {
    "mamba": Need("mamba", _CONDA),
    "micromamba": Need(
        "micromamba",
        {
            "*": "curl -fsSL https://micro.mamba.pm/install.sh | sh",
            "macos": "brew install micromamba",
            "windows": "winget install -e --id mamba-org.micromamba",
        },
    ),
    "pixi": Need(
        "pixi",
        {"*": "curl -fsSL https://pixi.sh/install.sh | sh", "windows": "winget install -e --id prefix-dev.pixi"},
    ),
    "poetry": Need("poetry", _tool("poetry")),
    "pdm": Need("pdm", _tool("pdm")),
    "pipenv": Need("pipenv", _tool("pipenv")),
    "hatch": Need("hatch", _tool("hatch")),
    "tox": Need("tox", _tool("tox")),
    "nox": Need("nox", _tool("nox")),
    "repo2docker": Need("repo2docker", _tool("jupyter-repo2docker"), other="jupyter-repo2docker"),
    "nix": Need("nix", {"*": "curl -fsSL https://nixos.org/nix/install | sh -s -- --daemon"}),
    "guix": Need("guix", {"*": "https://guix.gnu.org/manual/en/html_node/Installation.html"}),
}

#: What brings the tools that come with ci-envs, where one is not there.
_BUNDLED_GET = {
    **dict.fromkeys(("uv", "venv", "virtualenv"), "python -m pip install uv"),
    "conda": "python -m pip install 'repro-envs[conda]'",
}

#: What locks and builds may want beside a pattern's own tools.
_BESIDE = ("git", "cc", "c++", "make", "rustc")

#: The oldest Python that the probe inside an environment runs under.
_OLDEST = (3, 8)


class FoundTool(msgspec.Struct, frozen=True, kw_only=True):
    """A program that is here. ``version`` is empty where it does not say one."""

    name: str
    version: str = ""
    path: str = ""


class FoundPython(msgspec.Struct, frozen=True, kw_only=True):
    """An interpreter that a leg may be built for."""

    #: As a matrix writes it.
    python: str
    version: str
    arch: str
    path: str
    #: Whether an environment can be given a pip: Debian keeps ensurepip in a package of its own (python3-venv).
    #: Environments are built without it.
    ensurepip: bool


class PatternState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a pattern can be built here."""

    pattern: str
    status: State
    tools: tuple[FoundTool, ...] = ()
    #: The one command that brings the tool that is missing; empty where none is.
    get: str = ""
    #: What was looked for, where that is more than a program on PATH.
    why: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """This machine, as far as environments go."""

    patterns: tuple[PatternState, ...]
    pythons: tuple[FoundPython, ...]
    #: Compilers, git and the like.
    tools: tuple[FoundTool, ...] = ()
    gpus: tuple[FoundTool, ...] = ()
    #: What looked like an interpreter and did not answer.
    notes: tuple[str, ...] = ()


def diagnose(
    patterns: Iterable[str] = (),
    *,
    built: Mapping[str, bool],
    environ: Mapping[str, str] | None = None,
    run: Run = command.run,
    engines: Engines | None = None,
) -> Diagnosis:
    """Looks for everything, or for what the named patterns need. ``built`` says which patterns this version builds.

    ``engines`` finds the engine of a pattern that builds images, and what builds for it; by default it asks them.

    :class:`UsageError` where a name is no pattern.
    """
    variables = os.environ if environ is None else environ
    asked = tuple(patterns) or tuple(built)
    for name in asked:
        if name not in built:
            raise UsageError(f"there is no pattern {name!r}{nearest(name, built)}")
    notes: list[str] = []
    # Each waits for one process of its own, some (conda) for seconds.
    with ThreadPoolExecutor(max_workers=8) as pool:
        states = [
            pool.submit(_contained, name, variables, engines or _ask_engines)
            if built[name] and name in CONTAINED
            else pool.submit(_stored, name, variables, run)
            if built[name] and name in STORED
            else pool.submit(_state, name, built[name], variables, run)
            for name in asked
        ]
        beside = [pool.submit(_found, name, variables, run) for name in _BESIDE]
        gpus = pool.submit(_gpus, variables, run)
        pythons = _pythons(variables, notes, run)
        return Diagnosis(
            patterns=tuple(_with_pythons(state.result(), pythons) for state in states),
            pythons=pythons,
            tools=tuple(tool for one in beside if (tool := one.result())),
            gpus=gpus.result(),
            notes=tuple(notes),
        )


def refuse_unready(diagnosis: Diagnosis) -> None:
    """:class:`ToolMissing` where one of the patterns is not ready."""
    unready = [state for state in diagnosis.patterns if state.status != "ready"]
    if not unready:
        return
    words = {"missing": "lacks its tool", "not built yet": "is not built yet by this version of ci-envs"}
    said = [f"{state.pattern} {words[state.status]}{state.why and ': '}{state.why}" for state in unready]
    raise ToolMissing("; ".join(said), hint="; ".join(dict.fromkeys(state.get for state in unready if state.get)))


def _state(pattern: str, built: bool, environ: Mapping[str, str], run: Run) -> PatternState:
    tools = _bundled(pattern, environ, run)
    need = NEEDS.get(pattern)
    if tools is None and need is not None:
        found = _found(need.program, environ, run) or (_found(need.other, environ, run) if need.other else None)
        tools = (found,) if found else ()
    get = ""
    if not tools:
        get = (need.get.get(os_name()) or need.get["*"]) if need else _BUNDLED_GET[pattern]
    # A tool that is brought makes no pattern ready which this version cannot build, so that is said first.
    status: State = "not built yet" if not built else "ready" if tools else "missing"
    return PatternState(pattern=pattern, status=status, tools=tools or (), get=get)


def _ask_engines(pattern: str, environ: Mapping[str, str]) -> tuple[FoundTool, ...]:
    from ci_envs.containers.diagnosis import container_tools  # who asks for no container waits for no engine

    return container_tools(pattern, environ)


def _contained(pattern: str, environ: Mapping[str, str], engines: Engines) -> PatternState:
    """A client on PATH says nothing: an engine has to answer."""
    try:
        return PatternState(pattern=pattern, status="ready", tools=engines(pattern, environ))
    except ToolMissing as error:
        return PatternState(pattern=pattern, status="missing", get=error.hint, why=error.message)


def _stored(pattern: str, environ: Mapping[str, str], run: Run) -> PatternState:
    """nix and guix are where a leg finds them, which is more than PATH, and not too old."""
    from ci_envs.guix.tool import find_guix
    from ci_envs.nix.tool import find_nix

    try:
        found = find_nix(environ, run=run) if pattern == "nix" else find_guix(environ, run=run)
    except ToolMissing as error:
        return PatternState(pattern=pattern, status="missing", get=error.hint, why=error.message)
    tool = FoundTool(name=pattern, version=found.version, path=str(found.program))
    return PatternState(pattern=pattern, status="ready", tools=(tool,))


def _with_pythons(state: PatternState, pythons: tuple[FoundPython, ...]) -> PatternState:
    """venv and virtualenv need a Python of the machine; uv fetches its own."""
    if pythons or state.pattern not in ("venv", "virtualenv"):
        return state
    return msgspec.structs.replace(state, status="missing", get="uv python install")


def _bundled(pattern: str, environ: Mapping[str, str], run: Run) -> tuple[FoundTool, ...] | None:
    """The tools that come with ci-envs; ``None`` for a pattern that has none."""
    import importlib.metadata

    if pattern == "conda":
        return _rattler()
    if pattern not in ("venv", "virtualenv", "uv"):
        return None
    try:
        program = uv_program(environ)
    except CiEnvsError:
        return ()
    uv = FoundTool(name="uv", version=tool_version(program, environ, run=run), path=str(program))
    if pattern == "virtualenv":
        return FoundTool(name="virtualenv", version=importlib.metadata.version("virtualenv")), uv
    return (uv,)


def _rattler() -> tuple[FoundTool, ...]:
    """The extra ``conda``, as far as it is installed; the version of a package is read without importing it."""
    import importlib.metadata

    try:
        return tuple(
            FoundTool(name=name, version=importlib.metadata.version(name)) for name in ("py-rattler", "conda-lock")
        )
    except importlib.metadata.PackageNotFoundError:
        return ()


def _found(name: str, environ: Mapping[str, str], run: Run) -> FoundTool | None:
    program = find_program(name, environ)
    if program is None:
        return None
    version = tool_version(program, environ, run=run)
    # A shim that stands for nothing is on PATH and fails.
    if not version and "shims" in program.parts:
        return None
    return FoundTool(name=name, version=version, path=str(program))


def _gpus(environ: Mapping[str, str], run: Run) -> tuple[FoundTool, ...]:
    """The GPUs of NVIDIA's driver, each with the driver's version."""
    program = find_program("nvidia-smi", environ)
    if program is None:
        return ()
    argv = (str(program), "--query-gpu=name,driver_version", "--format=csv,noheader")
    try:
        outcome = run(command.Command(argv=argv, timeout=20.0))
    except (CiEnvsError, OSError):
        return ()
    rows = [line.rpartition(",") for line in outcome.stdout.splitlines() if line.strip()] if outcome else []
    return tuple(FoundTool(name=name.strip(), version=driver.strip(), path=str(program)) for name, _, driver in rows)


def _pythons(environ: Mapping[str, str], notes: list[str], run: Run) -> tuple[FoundPython, ...]:
    found = interpreters.all_interpreters(environ=environ, notes=notes, run=run)
    return tuple(
        FoundPython(
            python=one.series,
            version=one.version,
            arch=one.arch,
            path=one.executable,
            ensurepip=(Path(one.prefix) / one.paths.get("stdlib", "") / "ensurepip/__init__.py").is_file(),
        )
        for one in found
        if tuple(map(int, one.version.split(".")[:2])) >= _OLDEST
    )
