"""What ``action.yml`` runs: ``python -m ci_envs.action prepare``, then ``run``.

``prepare`` reads every input, so that a wrong one is said before anything is done, and settles the package cache.
``run`` is the one verb ``ci-envs run`` with the inputs as its arguments. :func:`leave_results` is what that verb calls
at its end in a job: outputs, annotations, summary.
"""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs import __version__, command, console, github
from ci_envs.errors import BrokenError, CiEnvsError, UsageError
from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ci_envs.model.record import RunRecord

__all__ = ["cache_key", "leave_results", "main", "prepare"]

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
EXTRAS = Path(__file__).parents[2] / "requirements"


def prepare(environ: Mapping[str, str] = os.environ) -> None:
    """Sets the outputs ``cache`` (``true`` or ``false``), ``cache-dir`` and ``cache-key``."""
    inputs = github.read_inputs(environ)
    root = Path(inputs.working_directory)
    if not root.is_dir():
        raise UsageError(f"input 'working-directory' is {inputs.working_directory!r}: there is no such folder")
    _bring_extra(inputs, root, environ)
    wanted, why = github.cache_choice(inputs, environ)
    console.show_note(f"package cache: {why}")
    # Always the same folder on runners of one kind: where a cache was saved from is a part of what it is found by.
    folder = environ.get("CI_ENVS_CACHE_DIR") or str(github.temporary_folder(environ) / "ci-envs-cache")
    github.set_output("cache", "true" if wanted else "false", environ)
    github.set_output("cache-dir", folder if wanted else environ.get("CI_ENVS_CACHE_DIR", ""), environ)
    github.set_output("cache-key", cache_key(inputs, root, github.runner(environ)) if wanted else "", environ)


def _bring_extra(inputs: github.Inputs, root: Path, environ: Mapping[str, str]) -> None:
    """Gives our own environment the extra that the leg needs: conda's has 40 packages that no other leg wants."""
    from ci_envs.detect import BUILT_PATTERNS, detect
    from ci_envs.project import Project

    pattern = inputs.pattern
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


def cache_key(inputs: github.Inputs, root: Path, runner: str) -> str:
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
    digest.update("\0".join(inputs.groups).encode("utf-8", "surrogateescape"))
    parts = ("ci-envs", __version__, runner, inputs.pattern, inputs.python_version or "any", digest.hexdigest()[:24])
    return "-".join((*parts, inputs.cache_suffix) if inputs.cache_suffix else parts)


def leave_results(
    records: Sequence[RunRecord],
    root: Path,
    record_path: Callable[[str], Path],
    *,
    markdown: str = "",
    environ: Mapping[str, str] = os.environ,
) -> None:
    """What a run leaves for the job that it is a step of; nothing outside of GitHub Actions.

    ``record_path`` gives the file of a leg's record, and ``markdown`` is the summary. Outputs are set for our own
    action only, and speak of the first leg: one step of it makes one environment.
    """
    if not github.in_actions(environ):
        return
    console.show_commands(github.annotate(_news(records, root, environ)))
    github.summary(markdown, environ)
    if not (records and github.in_action(environ)):
        return
    first = records[0]
    for name, value in github.action_outputs(first, root, record_path(first.leg.id), environ).items():
        github.set_output(name, value, environ)
    if first.status == "passed" and github.read_inputs(environ).activate_environment:
        _activate(github.action_outputs(first, root, record_path(first.leg.id), environ), environ)


def _news(records: Sequence[RunRecord], root: Path, environ: Mapping[str, str]) -> Iterator[tuple[Finding, str]]:
    """What a person should see first: why legs ended, then findings; with the project's path in the repository."""
    for record in records:
        if record.status in ("failed", "broken"):
            title = f"{record.leg.id} {record.status}"
            message = f"{record.reason}\nTo see it on your machine: {record.reproduce}"
            yield Finding(code="leg", severity="error", title=title, message=message), ""
    seen: set[tuple[Finding, str]] = set()
    for record in records:
        base = github.workspace_path(root / record.leg.project, environ)
        for finding in record.findings:
            if (finding, base) not in seen:
                seen.add((finding, base))
                yield finding, base


def _activate(outputs: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """What activating the environment sets, for the steps that follow; scripts of a conda environment are run once."""
    if not outputs["environment-path"]:
        return
    from ci_envs.environments.host import HostEnvironment

    inside = HostEnvironment(Path(outputs["environment-path"]), caller=environ)
    for name, value in sorted(inside.variables.items()):
        if name != "PATH" and environ.get(name) != value:
            github.export(name, value, environ)
    for folder in reversed(inside.scheme.path):  # the runner puts each before those that came before it
        github.add_path(str(folder), environ)


def main(arguments: Sequence[str]) -> int:
    """One of the two steps; answers with the exit code."""
    from ci_envs.__main__ import main as ci_envs

    try:
        if list(arguments) == ["prepare"]:
            prepare()
            return 0
        if list(arguments) == ["run"]:
            return ci_envs(github.action_arguments())
    except CiEnvsError as error:
        console.show_error(error)
        return error.exit_code
    raise SystemExit("usage: python -m ci_envs.action prepare|run")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
