"""A conda prefix from a lock alone: its packages, its ``pip:`` part, its variables, the project itself."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.conda.asked import read_asked
from ci_envs.conda.attesting import refuse_altered
from ci_envs.conda.frontends import choose
from ci_envs.conda.installing import install
from ci_envs.conda.lock_rules import is_from_index
from ci_envs.conda.locking import installed_packages
from ci_envs.conda.post_link import made_by_scripts, run_allowed
from ci_envs.conda.virtual import machine_virtual_packages, unmet_here
from ci_envs.environments.scheme import Scheme
from ci_envs.errors import BuildError
from ci_envs.layout import write_atomically
from ci_envs.packages.installing import install_stored
from ci_envs.patterns.installing import environment, fail_install, install_project, uv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_envs.environments import Environment
    from ci_envs.model.conda import LockedPackage
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

__all__ = ["build_prefix", "pip_line"]


def build_prefix(leg: Leg, lock: Lock, work: Work, *, pattern: str) -> Environment:
    """The environment at ``work.prefix``; nothing is there beforehand."""
    asked = read_asked(leg, work)
    packages = installed_packages(leg, work, lock)
    conda = [package for package in packages if package.manager == "conda"]
    frontend = choose(work.config.conda, pattern, work.environ)
    _refuse_other_machine(work, conda)
    install(work, conda, frontend=frontend, settings=asked.settings, channels=asked.channels, lock=lock)
    _run_scripts(work, conda, lock, already=frontend.runs_scripts)
    _write_variables(work)
    _install_pip(work, [package for package in packages if package.manager == "pip"], lock)
    install_project(work)
    return environment(work)


def _refuse_other_machine(work: Work, packages: Sequence[LockedPackage]) -> None:
    """:class:`BuildError` where packages need a system that this one is not. A GPU is not needed to build for one."""
    for unmet in unmet_here(packages, machine_virtual_packages(work.environ)):
        if unmet.is_fatal:
            has = f"this machine has {unmet.here}" if unmet.here else "this machine has none"
            raise BuildError(
                f"{', '.join(unmet.packages[:3])} of the lock: {unmet.spec} is needed, and {has}",
                hint=f"lock for an older system, with `conda: {{virtual-packages: {{{unmet.name}: ...}}}}`",
            )


def _run_scripts(work: Work, conda: Sequence[LockedPackage], lock: Lock, *, already: bool) -> None:
    allowed = work.config.conda.post_link_scripts
    ran = run_allowed(work, conda, allowed, already=already, prove=lambda: refuse_altered(lock, work))
    work.made = made_by_scripts(work.prefix) if ran else frozenset()


def _write_variables(work: Work) -> None:
    """Where ``conda env config vars`` keeps them, so that activating by hand sets them as well.

    https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html#setting-environment-variables
    """
    if work.selection.variables:
        text = json.dumps({"env_vars": work.selection.variables}, indent=2, sort_keys=True)
        write_atomically(work.prefix / "conda-meta" / "state", text.encode())


def _install_pip(work: Work, packages: Sequence[LockedPackage], lock: Lock) -> None:
    """``uv pip install --no-deps`` with hashes: by name, from whatever index is configured here.

    Not ``--require-hashes``: uv would want a hash of each ``constraint-dependencies`` too, and takes those from any
    folder above. Each line has its own, or the commit of a repository.
    """
    if not packages:
        return
    if install_stored(work, lock, Scheme.of(work.prefix).python):
        return
    lines = [pip_line(package) for package in packages]
    with tempfile.TemporaryDirectory(dir=work.temp) as name:
        listed = Path(name) / "pip.txt"
        listed.write_text("\n".join(lines) + "\n", encoding="utf-8")
        words = ("pip", "install", "--python", Scheme.of(work.prefix).python, "--no-deps", "--verify-hashes")
        outcome = uv(work, *words, "--requirement", listed, env=work.pip_indexes)
        fail_install(work, outcome, lock)


def pip_line(package: LockedPackage) -> str:
    """A line of requirements: by name from whatever index there is, or by the address that was asked for."""
    named = f"{package.name}=={package.version}" if is_from_index(package) else f"{package.name} @ {package.url}"
    return f"{named} --hash=sha256:{package.sha256}" if package.sha256 else named
