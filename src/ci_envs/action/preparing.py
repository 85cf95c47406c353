"""What comes before a leg: its inputs are read, what it is made with is brought, its cache is settled."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs import command, console
from ci_envs.action.cache_keys import CacheKeys, cache_keys
from ci_envs.errors import BrokenError, UsageError
from ci_envs.github.caching import cache_choice
from ci_envs.github.inputs import EnvironmentInputs, LegInputs, read_inputs
from ci_envs.github.runner import acting, temporary_folder
from ci_envs.github.step_files import set_output

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["prepare"]

#: The locks of the extras, in the checkout that the action runs from; that of ``docker`` holds conda's, too, since an
#: image may be made of conda's packages.
EXTRAS = Path(__file__).parents[3] / "requirements"


def prepare(environ: Mapping[str, str] = os.environ) -> None:
    """Sets ``cache`` (``true`` or ``false``), ``cache-dir`` and ``cache-key``, and the last two for ``environment``."""
    inputs = _inputs(environ)
    root = Path(inputs.working_directory)
    if not root.is_dir():
        raise UsageError(f"input 'working-directory' is {inputs.working_directory!r}: there is no such folder")
    _bring_extra(inputs, root, environ)
    wanted, why = cache_choice(inputs.enable_cache, environ)
    keys = cache_keys(inputs, environ) if wanted else CacheKeys()
    said = f"{why}, {keys.why}" if keys.packages else keys.why or why
    console.show_note(f"package cache: {said}")
    # Always the same folder on runners of one kind: where a cache was saved from is a part of what it is found by.
    temporary = temporary_folder(environ)
    set_output("cache", "true" if keys.packages else "false", environ)
    set_output("cache-dir", str(temporary / "ci-envs-packages" / keys.leg) if keys.packages else "", environ)
    set_output("cache-key", keys.packages, environ)
    set_output("environment-dir", str(temporary / "ci-envs-built" / keys.leg) if keys.environment else "", environ)
    set_output("environment-cache-key", keys.environment, environ)


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
    outcome = command.run(command.Command(argv=(sys.executable, "-I", *_pip_install(lock)), env=dict(environ)))
    if not outcome:
        raise BrokenError(f"what pattern {pattern} is made with cannot be installed: {outcome.tail(3)}")


def _pip_install(lock: Path) -> tuple[str, ...]:
    """What private-venv.sh does with its own lock: pip is run from the interpreter's bundle, and is not installed."""
    import ensurepip

    folders = [Path(ensurepip.__file__).parent / "_bundled"]
    folders += [Path(folder) for folder in [getattr(ensurepip, "_WHEEL_PKG_DIR", None)] if folder]
    wheels = sorted(wheel for folder in folders for wheel in folder.glob("pip-*.whl"))
    if not wheels:
        raise BrokenError(f"{sys.executable} has no pip to bring {lock.name} with", hint="install python3-venv")
    words = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-compile", "--no-deps", "-r", str(lock))
    return (str(wheels[-1] / "pip"), "install", "--require-hashes", "--only-binary", ":all:", *words)


def _extra(pattern: str) -> str:
    """The extra that a pattern needs and that is not here; empty where none is missing."""
    from ci_envs.detectors import SAME_EVIDENCE
    from ci_envs.model.leg import CONTAINED

    if pattern in CONTAINED:
        return "" if find_spec("docker") else "docker"
    return "conda" if SAME_EVIDENCE.get(pattern, pattern) == "conda" and not find_spec("rattler") else ""
