"""What comes before a leg: its inputs are read, what it is made with is brought, its cache is settled."""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs import __version__, command, console
from ci_envs.errors import BrokenError, UsageError
from ci_envs.github.caching import cache_choice
from ci_envs.github.inputs import EnvironmentInputs, LegInputs, read_inputs
from ci_envs.github.runner import acting, runner, temporary_folder
from ci_envs.github.step_files import set_output

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["cache_key", "prepare"]

#: What packages are cached for: the intent and lock files of the project, where people keep them.
DEPENDENCY_FILES = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "*.lock",
    "pylock*.toml",
    "*requirements*.txt",
    "*requirements*.in",
    "*constraints*.txt",
    "*constraints*.in",
    "requirements/*.txt",
    "requirements/*.in",
    "locks/*",
    "environment*.yml",
    "environment*.yaml",
    "conda-lock.yml",
    "pixi.toml",
    "Pipfile",
    ".python-version",
)

#: The locks of the extras, in the checkout that the action runs from; that of ``docker`` holds conda's, too, since an
#: image may be made of conda's packages.
EXTRAS = Path(__file__).parents[3] / "requirements"


def prepare(environ: Mapping[str, str] = os.environ) -> None:
    """Sets the outputs ``cache`` (``true`` or ``false``), ``cache-dir`` and ``cache-key``."""
    inputs = _inputs(environ)
    root = Path(inputs.working_directory)
    if not root.is_dir():
        raise UsageError(f"input 'working-directory' is {inputs.working_directory!r}: there is no such folder")
    _bring_extra(inputs, root, environ)
    wanted, why = cache_choice(inputs.enable_cache, environ)
    console.show_note(f"package cache: {why}")
    # Always the same folder on runners of one kind: where a cache was saved from is a part of what it is found by.
    folder = environ.get("CI_ENVS_CACHE_DIR") or str(temporary_folder(environ) / "ci-envs-cache")
    set_output("cache", "true" if wanted else "false", environ)
    set_output("cache-dir", folder if wanted else environ.get("CI_ENVS_CACHE_DIR", ""), environ)
    set_output("cache-key", cache_key(inputs, root, runner(environ)) if wanted else "", environ)


def _inputs(environ: Mapping[str, str]) -> EnvironmentInputs | LegInputs:
    return read_inputs(LegInputs, environ) if acting(environ) == "leg" else read_inputs(EnvironmentInputs, environ)


def _pattern(inputs: EnvironmentInputs | LegInputs) -> str:
    """A leg's id begins with its pattern."""
    return inputs.leg.partition("-")[0] if isinstance(inputs, LegInputs) else inputs.pattern


def _bring_extra(inputs: EnvironmentInputs | LegInputs, root: Path, environ: Mapping[str, str]) -> None:
    """Gives our own environment the extra that the leg needs: conda's has 40 packages that no other leg wants."""
    from ci_envs.detect import BUILT_PATTERNS, detect
    from ci_envs.project import Project

    pattern = _pattern(inputs)
    if pattern == "auto":
        chosen = detect(Project(root), buildable=BUILT_PATTERNS).chosen
        pattern = chosen.pattern if chosen else ""
    extra = _extra(pattern)
    lock = EXTRAS / f"{extra}.txt"
    if not extra or not lock.is_file():
        return
    words = ("--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes", "--only-binary", ":all:")
    argv = (sys.executable, "-I", "-m", "pip", "install", *words, "--no-deps", "-r", str(lock))
    outcome = command.run(command.Command(argv=argv, env=dict(environ)))
    if not outcome:
        raise BrokenError(f"what pattern {pattern} is made with cannot be installed: {outcome.tail(3)}")


def _extra(pattern: str) -> str:
    """The extra that a pattern needs and that is not here; empty where none is missing."""
    from ci_envs.detectors import SAME_EVIDENCE
    from ci_envs.model.leg import CONTAINED

    if pattern in CONTAINED:
        return "" if find_spec("docker") else "docker"
    return "conda" if SAME_EVIDENCE.get(pattern, pattern) == "conda" and not find_spec("rattler") else ""


def cache_key(inputs: EnvironmentInputs | LegInputs, root: Path, runner: str) -> str:
    """``ci-envs-<version>-<runner>-<pattern>-<python>-<digest>[-<suffix>]``: exact, never a prefix of another's.

    The digest is over the names and bytes of the files in :data:`DEPENDENCY_FILES`, read inside the project only.
    """
    from ci_envs.project import Project

    project = Project(root)
    digest = hashlib.sha256()
    for name in sorted({name for pattern in DEPENDENCY_FILES for name in project.glob(pattern)}):
        with project.path(name).open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{name}\0{content}\n".encode("utf-8", "surrogateescape"))
    if isinstance(inputs, LegInputs):
        named: tuple[str, ...] = (inputs.leg,)
    else:
        digest.update("\0".join(inputs.groups).encode("utf-8", "surrogateescape"))
        named = (inputs.pattern, inputs.python_version or "any")
    parts = ("ci-envs", __version__, runner, *named, digest.hexdigest()[:24])
    return "-".join((*parts, inputs.cache_suffix) if inputs.cache_suffix else parts)
