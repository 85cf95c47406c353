"""What the patterns that install Python distributions share: our uv, seeds, the project's own wheel."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs import cache, environ, trouble, windows
from ci_envs.environments.host import HostEnvironment
from ci_envs.environments.scheme import Scheme
from ci_envs.errors import BuildError
from ci_envs.layout import remove_tree
from ci_envs.locks.pin_lines import pin_line
from ci_envs.tools import tool_version, uv_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_envs.command import Outcome
    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

__all__ = [
    "bundled_wheels",
    "clean_cache",
    "environment",
    "fail_build",
    "fail_install",
    "install_project",
    "python_words",
    "seed",
    "uv",
    "uv_compile",
    "uv_variables",
]

# What `python -m venv` seeds a new environment with, from the interpreter's own bundle (ensurepip, PEP 453);
# setuptools since 3.12 no longer (https://docs.python.org/3/whatsnew/3.12.html#ensurepip).
_BUNDLE = """\
import json, pathlib, sys
try:
    import ensurepip
except ImportError:
    print("[]")
else:
    names = {"pip"} | ({"setuptools"} if sys.version_info < (3, 12) else set())
    folders = [pathlib.Path(ensurepip.__file__).parent / "_bundled"]
    folders += [pathlib.Path(d) for d in [getattr(ensurepip, "_WHEEL_PKG_DIR", None)] if d]
    wheels = {w.name.split("-")[0]: str(w) for f in folders for w in sorted(f.glob("*.whl"))}
    print(json.dumps([wheels[n] for n in sorted(names) if n in wheels]))
"""

#: Commands of uv that may ask an index.
_ASK_AN_INDEX = frozenset({"build", "lock", "pip", "sync"})


def uv_variables(work: Work) -> dict[str, str]:
    """The variables our uv runs with: its cache, no downloads of Pythons. Index settings are with every tool's."""
    folder, _private = cache.uv_cache(work.environ)
    return {
        "UV_CACHE_DIR": str(cache.usable_folder(folder)),
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        # Its sentences are read (trouble.py): a line break in the middle of one would hide it.
        "UV_NO_WRAP": "1",
        **({"UV_OFFLINE": "1"} if work.policy.offline else {}),
    }


def uv(work: Work, *words: str | Path, env: dict[str, str] | None = None, network: bool = True) -> Outcome:
    """Runs our uv for a leg."""
    program = uv_program(work.environ)
    work.tools.setdefault("uv", tool_version(program, work.environ))
    if work.no_index and words[0] in _ASK_AN_INDEX and "--no-index" not in words:
        words = (*words, "--no-index")  # there is no variable for it
    return work.run([program, *words], env={**uv_variables(work), **(env or {})}, network=network)


def environment(work: Work) -> HostEnvironment:
    """The built prefix as an environment, with the leg's variables."""
    return HostEnvironment(
        work.prefix,
        caller=work.environ,
        variables={"CI_ENVS_LEG": work.leg.id, **environ.leg_variables(work.leg.variables)},
        temp=work.temp,
    )


def clean_cache(work: Work, names: Sequence[str]) -> None:
    """Forgets the cached files of these distributions, so that they are downloaded again."""
    fail_build(work, uv(work, "cache", "clean", *names, network=False), "uv cache clean")


def fail_build(work: Work, outcome: Outcome, what: str) -> None:
    """Raises :class:`BuildError` with the tool's own reason where a command failed."""
    if not outcome:
        raise BuildError(f"{what} failed: {trouble.reason(outcome)}", hint=_hint(work, outcome))


def fail_install(work: Work, outcome: Outcome, lock: Lock) -> None:
    """Raises :class:`BuildError` where what is locked could not be installed, and says what became of it."""
    if outcome:
        return
    said, upgrade = trouble.reason(outcome), work.lock_command("--upgrade")
    file, line = _place_of_pin(work, outcome, lock)
    if trouble.hash_mismatch(outcome) or trouble.damaged(outcome):
        raise BuildError(
            f"the index gave another file than the one that {lock.path} names: {said}",
            hint=f"find out why before you lock again; {upgrade} would take what is there now",
            file=file,
            line=line,
        )
    if name := trouble.gone(outcome):
        raise BuildError(
            f"{lock.path} names {name}, which the index no longer has",
            hint=f"take what is there now with: {upgrade}",
            file=file,
            line=line,
        )
    raise BuildError(f"installing {lock.path} failed: {said}", hint=_hint(work, outcome), file=file, line=line)


def _place_of_pin(work: Work, outcome: Outcome, lock: Lock) -> tuple[str, int]:
    """Where the package that could not be installed is locked; nothing where the installer did not name it."""
    from packaging.utils import canonicalize_name

    # What is gone may be told as a file: pear-1.1-py3-none-any.whl.
    said = trouble.about_pin(outcome) or re.split(r"==|-\d", trouble.gone(outcome), maxsplit=1)[0]
    name = canonicalize_name(said)
    for file in lock.files if name else ():
        if line := pin_line(work.project.text(file) or "", name):
            return file, line
    return "", 0


def _hint(work: Work, outcome: Outcome) -> str:
    too_long = windows.long_path_hint(outcome.output, str(work.prefix))
    return too_long or f"the log has all of it: {work.layout.shown(work.log)}"


def uv_compile(
    work: Work, inputs: tuple[Path, ...], output: Path, *, upgrade: bool, env: dict[str, str] | None = None
) -> Outcome:
    """``uv pip compile``: a requirements lock with hashes, in the leg's resolution and up to the policy's instant."""
    # Not --quiet, under which it warns of nothing; so it prints the lock, too, and the log has it.
    words: list[str | Path] = ["pip", "compile", "--generate-hashes", "--no-header"]
    words += ["--no-emit-index-url", "--no-emit-find-links", *_target(work)]
    words += ["--resolution", work.leg.resolution, "--output-file", output, *inputs]
    words += ["--upgrade"] if upgrade else []
    words += ["--exclude-newer", work.policy.as_of] if work.policy.as_of else []
    return uv(work, *words, env=env)


def python_words(work: Work) -> tuple[str, ...]:
    """The leg's interpreter for uv; nothing where it will only be there inside of an image: then any will do."""
    return ("--python", work.interpreter.executable) if work.interpreter.executable else ()


def _target(work: Work) -> tuple[str, ...]:
    """What is resolved for: the leg's interpreter, or one like it that is not on this machine."""
    if work.interpreter.executable:
        return python_words(work)
    from ci_envs.conda.targets import platform_of, target  # what uv calls a platform is known there

    platform = target(platform_of(work.leg), work.interpreter.version).uv_platform
    return ("--python-version", work.interpreter.version, "--python-platform", platform)


def bundled_wheels(work: Work, python: str) -> dict[str, Path]:
    """The wheels that an interpreter's ensurepip brings, by their names; none where it comes without."""
    answer = work.run([python, "-I", "-S", "-c", _BUNDLE], network=False)
    wheels: list[str] = json.loads(answer.stdout) if answer else []
    return {Path(wheel).name.partition("-")[0].lower(): Path(wheel) for wheel in wheels}


def seed(work: Work, lock: Lock) -> frozenset[str]:
    """Gives a new environment the pip that ``python -m venv`` would, without the seconds that its bytecode costs.

    Answers with the names of what was seeded; they are no part of what the lock promises, and what the lock names
    itself is not seeded.
    """
    named = bundled_wheels(work, work.interpreter.executable)
    if not named:
        work.find(
            "ENV002",
            "info",
            "no pip inside",
            "this interpreter comes without ensurepip, so the environment has no pip of its own "
            "(on Debian: apt install python3-venv)",
        )
        return frozenset()
    wanted = {name: wheel for name, wheel in named.items() if lock.pin(name) is None}
    if wanted:
        words = ("pip", "install", "--python", Scheme.of(work.prefix).python, "--no-index", "--no-deps")
        fail_build(work, uv(work, *words, *wanted.values(), network=False), "seeding pip")
    return frozenset(wanted)


def install_project(work: Work) -> None:
    """Installs the project itself, as its users would have it: as a wheel, unless ``editable`` is asked for.

    The wheel is built anew each time: uv's cache of built wheels goes by pyproject.toml alone and would not see an
    edited module (uv's documentation, "Caching: Dynamic metadata"). Builds run one at a time for one project, since
    backends write ``build/`` beside the sources.
    """
    if not work.installs_project:
        return
    python = Scheme.of(work.prefix).python
    if work.config.install_project == "editable":
        outcome = uv(work, "pip", "install", "--python", python, "--no-deps", "--editable", ".")
        fail_build(work, outcome, "installing the project in place")
        return
    folder = work.temp / "wheel"
    remove_tree(folder)  # an older version's wheel would be installed beside this one's
    with work.alone(f"wheel-{work.project_key}"):
        outcome = uv(
            work,
            "build",
            "--wheel",
            "--python",
            python,
            "--out-dir",
            folder,
            "--no-create-gitignore",
            work.project.root,
        )
        fail_build(work, outcome, "building the project's wheel")
    # Named from their folder: uv reads a path as it does a requirement, in which # and line ends mean something.
    wheels = [f"./{wheel.name}" for wheel in sorted(folder.glob("*.whl"))]
    words = ("pip", "install", "--directory", folder, "--python", python, "--no-deps", "--no-index", "--reinstall")
    outcome = uv(work, *words, *wheels, network=False)
    fail_build(work, outcome, "installing the project's wheel")
    remove_tree(folder)
