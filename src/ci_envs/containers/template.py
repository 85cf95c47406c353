"""A Dockerfile from a plan. Pure: text from values.

What a project, a matrix or a configuration says becomes part of a Dockerfile only after it was held against a grammar
that has no line end, no quote, no ``$`` and no backslash in it; commands and values that may be any text are written
as JSON, or quoted so that BuildKit reads back the same text (tests build what they quote).

There is no ``# syntax=`` line: it would have every build fetch a frontend from Docker Hub first, and what is used here
(``RUN --mount``) every BuildKit since Docker Engine 20.10 has built in, as has Buildah.
"""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from typing import TYPE_CHECKING, Literal

import msgspec

from ci_envs.containers.base_images import PythonPlan
from ci_envs.containers.image_tools import requirement_lines
from ci_envs.containers.references import Reference
from ci_envs.errors import UsageError
from ci_envs.resources import resource
from ci_envs.work import EPOCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jinja2 import Template

__all__ = [
    "CONDA_PREFIX",
    "USER",
    "VARIABLES",
    "VENV_PREFIX",
    "ImagePlan",
    "check_values",
    "import_check",
    "literal",
    "render",
    "template",
]

#: Where the environment of a generated image is.
VENV_PREFIX = "/opt/venv"
CONDA_PREFIX = "/opt/conda"

#: Numbers, so that Kubernetes' runAsNonRoot can tell, and ones that no distribution gives away.
USER = "10001:10001"

_LOCKED = "/opt/lock"

# https://www.debian.org/doc/debian-policy/ch-controlfields.html#source, with what apt lets follow: a version, a suite.
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(?::[a-z0-9-]+)?(?:[=/][A-Za-z0-9.+:~-]+)?")
_EXECUTABLE = re.compile(r"(?:python|pypy)\d+(?:\.\d+t?)?")
_SERIES = re.compile(r"(?:pypy)?\d+\.\d+t?")
# PEP 735 and the packaging specifications have one grammar for the names of groups and extras.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
_USER = re.compile(r"\d{1,10}:\d{1,10}")
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
# In COPY "$" begins a variable, "*", "?" and "[" a pattern, "\" takes the meaning of what follows it.
_UNFIT_PATH = re.compile(r"""[\x00-\x1f\x7f\ud800-\udfff$*?\[\]\\"'`<>]|^$|^[-/]|(?:^|/)\.\.(?:/|$)""")
# JSON would carry them, but Buildah and BuildKit end an instruction at a line end before they read it.
_UNFIT_TEXT = re.compile(r"[\x00\ud800-\udfff]")

#: What the image's user sees; the environment's folder is put in front of PATH beside these.
VARIABLES = {
    "HOME": "/home/app",
    "USER": "app",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONFAULTHANDLER": "1",
    "PYTHONUNBUFFERED": "1",
}

# Without them NVIDIA's runtime gives a container nothing:
# https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html
_CUDA_VARIABLES = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}


class ImagePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides what a generated Dockerfile says. Paths are relative to the build context."""

    base: Reference
    #: The series of the environment's Python: ``3.12``, ``3.13t``, ``pypy3.10``.
    python: str
    interpreter: PythonPlan
    installer: Literal["uv", "venv", "conda"]
    lock_format: Literal["requirements", "uv.lock", "pylock", "conda"]
    #: The lock files; of conda what :mod:`conda_stage` made of the lock: script, list, and the ``pip:`` part if any.
    locks: tuple[str, ...]
    #: Whether every pin carries a hash.
    hashed: bool = True
    #: Further files that uv needs beside the lock: ``pyproject.toml`` where it has [tool.uv], ``uv.toml``.
    settings: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    #: Where conda's packages are put together, if not on ``base``.
    tools_base: Reference | None = None
    #: Whether the project itself is installed, as a wheel that is built from the context.
    installs_project: bool = False
    #: What its build backend is told: ``SETUPTOOLS_SCM_PRETEND_VERSION``, since no context has the .git folder.
    wheel_variables: dict[str, str] = {}
    #: Whether the context's sources are put into ``/app``.
    sources: bool = True
    packages: tuple[str, ...] = ()
    build_packages: tuple[str, ...] = ()
    user: str = USER
    #: Those that any build of this file has. What differs from build to build belongs on the command line.
    labels: dict[str, str] = {}
    #: What conda's ``variables:`` and the like set.
    variables: dict[str, str] = {}
    #: The arguments of the health check; none where it has none.
    health: tuple[str, ...] = ()
    health_seconds: int = 120
    #: What a container runs that is told nothing else.
    entry: tuple[str, ...] = ("python",)
    #: Whether containers are to get a GPU.
    cuda: bool = False
    #: Whether conda's packages have scripts that activating runs.
    activates: bool = False

    @property
    def prefix(self) -> str:
        """Where the environment is inside."""
        return CONDA_PREFIX if self.installer == "conda" else VENV_PREFIX


def render(plan: ImagePlan) -> str:
    """The Dockerfile. Raises :class:`UsageError` for a value that could be more than a value in it."""
    _check(plan)
    uid, _, gid = plan.user.partition(":")
    is_conda = plan.installer == "conda"
    copies = _copies(plan)
    return template("Dockerfile.j2").render(
        epoch=EPOCH,
        base=str(plan.base),
        lock_names=", ".join(plan.locks),
        user=plan.user,
        uid=uid,
        gid=gid,
        packages=plan.packages,
        source="conda" if is_conda else plan.interpreter.source,
        bootstrap=plan.interpreter.bootstrap,
        bootstrap_python=plan.interpreter.executable,
        python=plan.python,
        python_packages=plan.interpreter.packages,
        executable=_executable(plan),
        deps_from=(str(plan.tools_base) if plan.tools_base else "base") if is_conda else "python",
        deps_packages=_deps_packages(plan),
        tool_lines=_tool_lines(plan),
        installer=plan.installer,
        prefix=plan.prefix,
        lock_format=plan.lock_format,
        copies=copies,
        lock_files=[shlex.quote(target) for _, target in copies[: len(plan.locks)]],
        hashed=plan.hashed,
        pip_part=is_conda and len(plan.locks) > 2,
        selected="".join(f" {word}" for word in _selected(plan)),
        installs_project=plan.installs_project,
        wheel_variables=sorted(plan.wheel_variables.items()),
        labels=sorted(plan.labels.items()),
        variables=list(_variables(plan).items()),
        sources=plan.sources,
        health=plan.health,
        health_seconds=plan.health_seconds,
        entry=plan.entry,
        activates=plan.activates,
    )


def import_check(modules: Iterable[str]) -> tuple[str, ...]:
    """A health check that imports modules: for a project that brings none of its own."""
    named = sorted(set(modules))
    for module in named:
        if not _MODULE.fullmatch(module):
            raise UsageError(f"{module!r} is no name of a module")
    return ("python", "-c", f"import {', '.join(named)}") if named else ()


def literal(text: str) -> str:
    """A value of ENV or LABEL that is this text and nothing else: variables and escapes in it mean themselves.

    https://docs.docker.com/reference/dockerfile/#environment-replacement
    """
    return '"' + re.sub(r'(["\\$])', r"\\\1", text) + '"'


@cache
def template(name: str) -> Template:
    """One of ours, by its name among the resources."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(lambda name: resource(name).read_text("utf-8")),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - no HTML: what goes in is checked, and quoted for a Dockerfile
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"quoted": shlex.quote, "json": _json, "literal": literal}
    return environment.get_template(name)


def _json(words: Iterable[str]) -> str:
    """The exec form of an instruction. Line ends become ``\\n``; BuildKit reads it with Go's decoder."""
    return json.dumps(list(words))


def _executable(plan: ImagePlan) -> str:
    """What makes the environment in the stage of that name."""
    if plan.installer == "conda" or plan.interpreter.source == "base":
        return plan.interpreter.executable
    return plan.python if plan.python.startswith("pypy") else f"python{plan.python}"


def _deps_packages(plan: ImagePlan) -> tuple[str, ...]:
    # uv's Python comes with everything; what fetched it is in a stage of its own.
    bootstrap = () if plan.interpreter.source == "uv" or plan.tools_base else plan.interpreter.bootstrap
    return tuple(dict.fromkeys((*bootstrap, *plan.build_packages)))


def _tool_lines(plan: ImagePlan) -> tuple[str, ...]:
    tools = {"uv": ("uv",), "venv": ("pip",), "conda": ("py-rattler", "uv")}[plan.installer]
    return requirement_lines(*tools, *(("uv",) if plan.interpreter.source == "uv" else ()))


def _copies(plan: ImagePlan) -> list[tuple[str, str]]:
    """``(from, to)``: the locks first, under names that need no quoting; what uv looks for keeps its name."""
    fixed = {"requirements": "requirements-{}.txt", "conda": "{name}", "uv.lock": "{name}", "pylock": "{name}"}
    named = fixed[plan.lock_format]
    pairs = [
        (path, f"{_LOCKED}/{named.format(number, name=path.rpartition('/')[2])}")
        for number, path in enumerate(plan.locks)
    ]
    return [*pairs, *((path, f"{_LOCKED}/{path}") for path in plan.settings if path not in plan.locks)]


def _selected(plan: ImagePlan) -> list[str]:
    return [f"--group={name}" for name in plan.groups] + [f"--extra={name}" for name in plan.extras]


def _variables(plan: ImagePlan) -> dict[str, str]:
    own = {"VIRTUAL_ENV": VENV_PREFIX}
    if plan.installer == "conda":
        own = {"CONDA_PREFIX": CONDA_PREFIX, "CONDA_DEFAULT_ENV": CONDA_PREFIX, "CONDA_SHLVL": "1"}
    return {**own, **VARIABLES, **(_CUDA_VARIABLES if plan.cuda else {}), **plan.variables}


def _check(plan: ImagePlan) -> None:
    _each("docker.packages", (*plan.packages, *plan.interpreter.packages, *plan.interpreter.bootstrap), _PACKAGE)
    _each("docker.build-packages", plan.build_packages, _PACKAGE)
    _each("the leg's python", (plan.python,), _SERIES)
    _each("the interpreter", (plan.interpreter.executable,), _EXECUTABLE)
    _each("a group", (*plan.groups, *plan.extras), _NAME)
    _each("the image's user", (plan.user,), _USER)
    _each("a label", plan.labels, _LABEL)
    for what, named in (("a variable", plan.variables), ("a build variable", plan.wheel_variables)):
        _each(what, named, _VARIABLE)
    for path in (*plan.locks, *plan.settings):
        if _UNFIT_PATH.search(path):
            raise UsageError(
                f"{path!r} cannot be named in a Dockerfile",
                file=path,
                hint="rename it: letters, digits, ._-/ and blanks",
            )
    told: list[tuple[str, Mapping[str, str]]] = [
        ("the label", plan.labels),
        ("the variable", plan.variables),
        ("the build variable", plan.wheel_variables),
    ]
    check_values(told, (plan.health, plan.entry))


def _each(what: str, values: Iterable[str], grammar: re.Pattern[str]) -> None:
    for value in values:
        if not grammar.fullmatch(value):
            raise UsageError(f"{what} is {value!r}, which cannot stand in a Dockerfile")


def check_values(told: Iterable[tuple[str, Mapping[str, str]]], commands: Iterable[tuple[str, ...]]) -> None:
    """:class:`UsageError` for a value of ENV or LABEL, or a command, that no Dockerfile can hold."""
    for what, values in told:
        for name, value in values.items():
            if re.search(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]", value):
                raise UsageError(f"{what} {name} has a line end or a control character, which a Dockerfile cannot hold")
    for words in commands:
        if any(_UNFIT_TEXT.search(word) for word in words):
            raise UsageError(f"{shlex.join(words)!r} holds what no command can: a NUL, or half a character")
