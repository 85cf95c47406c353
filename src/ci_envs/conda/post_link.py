"""Post-link scripts: arbitrary code of a package that runs once it is linked. Off, unless it is allowed by name.

What such a script changes is in no package and in no hash. How one is called is conda's
(``run_script`` in conda/core/link.py).
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from ci_envs import trouble
from ci_envs.conda.bytecode import prefix_records
from ci_envs.conda.explicit import in_dependency_order
from ci_envs.conda.journal import Journal
from ci_envs.conda.package_files import post_link_paths
from ci_envs.errors import BuildError, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from ci_envs.model.conda import LockedPackage
    from ci_envs.work import Work

__all__ = ["made_by_scripts", "run_allowed"]

_NOT_RUN = "ENV140"

_WINDOWS = sys.platform == "win32"


def run_allowed(
    work: Work,
    packages: Sequence[LockedPackage],
    allowed: Collection[str],
    *,
    already: bool = False,
    prove: Callable[[], object] = lambda: None,
) -> bool:
    """Runs the scripts of packages that are allowed, each after those that it needs; whether any has run.

    ENV140 names the others. ``already`` says that the front end has run every script, as conda does: then those that
    are not allowed make it a :class:`BuildError`, as does a script that fails. ``prove`` is called before the first
    one: nothing is to run that was not looked at.
    """
    with_script = [(package, path) for package in in_dependency_order(packages) if (path := _script(work, package))]
    others = [package.name for package, _ in with_script if package.name not in allowed]
    if already and others:
        raise BuildError(
            f"the front end ran the post-link scripts of {', '.join(others)}, which nobody allowed; it has no switch",
            hint=f"allow them with `conda: {{post-link-scripts: [{', '.join(others)}]}}`, or use `frontend: rattler`",
        )
    if others:
        work.find(
            _NOT_RUN,
            "warning",
            "post-link scripts were not run",
            f"{', '.join(others)}: what their scripts would have done to the environment is not done; where it is "
            f"needed, allow it with `conda: {{post-link-scripts: [{', '.join(others)}]}}`",
        )
    running = [(package, path) for package, path in with_script if package.name in allowed]
    if running and not already:
        prove()
        for package, path in running:
            _run(work, package, path)
    return bool(running)


def made_by_scripts(prefix: Path) -> frozenset[str]:
    """The files that no package claims, once its scripts have run and before anything else does."""
    claimed = {claim.path for record in prefix_records(prefix) for claim in record.claims}
    found = (path.relative_to(prefix).as_posix() for path in prefix.rglob("*") if path.is_symlink() or path.is_file())
    return frozenset(path for path in found if path not in claimed and not path.startswith("conda-meta/"))


def _script(work: Work, package: LockedPackage) -> Path | None:
    path = work.prefix / post_link_paths(package.name)[_WINDOWS]
    return path if path.is_file() else None


def _run(work: Work, package: LockedPackage, path: Path) -> None:
    numbers = {record.name: record.build_number for record in prefix_records(work.prefix)}
    env = {
        "PREFIX": str(work.prefix),
        "ROOT_PREFIX": str(work.prefix),
        "CONDA_PREFIX": str(work.prefix),
        "PKG_NAME": package.name,
        "PKG_VERSION": package.version,
        "PKG_BUILDNUM": str(numbers.get(package.name, 0)),
        "PATH": os.pathsep.join((str(path.parent), work.tool_environment.get("PATH", os.defpath))),
    }
    outcome = work.run([*_shell(work), path], env=env, cwd=path.parent, network=False)
    said = _messages(work)
    if not outcome:
        raise BuildError(
            f"the post-link script of {package.name} failed: {said or trouble.reason(outcome)}",
            hint=f"the log has all of it: {work.layout.shown(work.log)}",
        )


def _shell(work: Work) -> tuple[str, ...]:
    """conda runs scripts with bash, since many are written for it."""
    path = work.tool_environment.get("PATH")
    if _WINDOWS:
        return (work.tool_environment.get("COMSPEC", "cmd.exe"), "/d", "/c")
    shell = shutil.which("bash", path=path) or shutil.which("sh", path=path)
    if shell is None:
        raise ToolMissing("post-link scripts need bash or sh, and there is neither on PATH")
    return (shell,)


def _messages(work: Work) -> str:
    """What scripts leave for a person in ``.messages.txt``; the file goes, as conda has it."""
    path = work.prefix / ".messages.txt"
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    path.unlink(missing_ok=True)
    for line in text.splitlines():
        Journal.of(work)(line)
    return text
