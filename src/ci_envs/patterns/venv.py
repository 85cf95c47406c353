"""Patterns ``venv`` and ``virtualenv``: pip-tools' locks in an environment of the standard library's making."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ci_envs import detect, toolbox
from ci_envs.environments.scheme import Scheme
from ci_envs.packages.installing import install_stored
from ci_envs.patterns import Contained, Tool
from ci_envs.patterns.installing import (
    environment,
    fail_build,
    fail_install,
    install_project,
    seed,
    uv,
    uv_compile,
)
from ci_envs.patterns.requirement_locks import lock_requirements
from ci_envs.selection import select

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.command import Outcome
    from ci_envs.environments import Environment
    from ci_envs.model.config import Config
    from ci_envs.model.detect import Evidence
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.project import Project
    from ci_envs.selection import Selection
    from ci_envs.work import Work

__all__ = ["Venv"]

# What keeps the index, and the machine, out of a lock (pip-tools' documentation, "pip-compile options").
_NOTHING_AMBIENT = (
    "--no-header",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-trusted-host",
    "--no-emit-options",
)


class Venv:
    """``python -m venv`` or virtualenv, ``pip-compile --generate-hashes``, and pip-sync or what is the same faster."""

    built = True
    brings_python = False
    contained: Contained = ""

    def __init__(self, creator: str) -> None:
        #: ``venv`` or ``virtualenv``; the pattern is named after it.
        self.name = creator
        self.requires = (Tool(name="pip-tools", get=""),)

    def detect(self, project: Project) -> tuple[Evidence, ...]:
        """Requirement files, a PEP 621 project, setup.py."""
        return detect.evidence_for(self.name, project)

    def select(self, leg: Leg, project: Project, config: Config) -> Selection:
        """The runtime requirements, and those of the groups that the leg or its tests ask for."""
        return select(leg, project, config)

    def lock(self, leg: Leg, work: Work) -> Lock:
        """The project's requirements.txt, or one file for each Python and platform."""
        return lock_requirements(leg, work, _pip_compile)

    def create(self, lock: Lock, work: Work) -> None:
        """An environment with its pip alone."""
        self._create(work)
        work.seeds = seed(work, lock)

    def build(self, leg: Leg, lock: Lock, work: Work) -> Environment:  # noqa: ARG002 - the protocol's signature
        """The environment, its pip, the locked distributions, the project's own wheel."""
        self._create(work)
        if work.config.venv.installer == "pip" or not lock.hashed:
            work.seeds = seed(work, lock)
            _pip_sync(work, lock)
        else:
            _uv_sync(work, lock)
            work.seeds = seed(work, lock)
        install_project(work)
        return environment(work)

    def _create(self, work: Work) -> None:
        interpreter = work.interpreter.executable
        if self.name == "virtualenv":
            words = [sys.executable, "-m", "virtualenv", "--quiet", "--no-periodic-update", "--no-seed"]
            outcome = work.run([*words, "--python", interpreter, work.prefix], network=False)
        else:
            # Its pip would take 2.5 s to install and compile; `seed` brings the same one in a tenth of a second.
            outcome = work.run([interpreter, "-I", "-m", "venv", "--without-pip", work.prefix], network=False)
        fail_build(work, outcome, f"{self.name} with {interpreter}")


def _pip_compile(work: Work, inputs: tuple[Path, ...], output: Path, *, upgrade: bool) -> Outcome:
    """pip-compile under the leg's own interpreter: it resolves for the interpreter that runs it.

    It knows the highest versions alone; the lowest are uv's to find, over the indexes that pip would ask, and so is
    what an interpreter needs that is only there inside of an image.
    """
    if work.leg.resolution != "highest" or not work.interpreter.executable:
        return uv_compile(work, inputs, output, upgrade=upgrade, env=work.pip_indexes)
    python = toolbox.pip_tools(work)
    words: list[str | Path] = [python, "-I", "-m", "piptools", "compile", "--quiet", "--generate-hashes"]
    words += [*_NOTHING_AMBIENT, "--strip-extras", "--allow-unsafe", "--output-file", output]
    words += ["--upgrade"] if upgrade else []
    newer = f"--uploaded-prior-to={work.policy.as_of}" if work.policy.as_of else ""
    words += ["--pip-args", newer] if newer else []
    log = _pip_log(work)
    return work.run([*words, *inputs], env={"PIP_LOG": str(log)}, aside=log)


def _uv_sync(work: Work, lock: Lock) -> None:
    """What pip-sync does, by uv: a component test holds the two results against each other, byte by byte."""
    python = Scheme.of(work.prefix).python
    if install_stored(work, lock, python):
        return
    outcome = uv(work, "pip", "sync", "--python", python, "--require-hashes", *lock.files, env=work.pip_indexes)
    fail_install(work, outcome, lock)


def _pip_sync(work: Work, lock: Lock) -> None:
    """The reference: pip-sync itself. Bytecode is left to the first import, as uv does."""
    demand, log = "--require-hashes " if lock.hashed else "", _pip_log(work)
    outcome = work.run(
        [
            toolbox.pip_tools(work),
            *("-I", "-m", "piptools", "sync", "--quiet", "--python-executable", Scheme.of(work.prefix).python),
            *("--pip-args", f"{demand}--no-deps --no-compile --no-input"),
            *lock.files,
        ],
        env={"PIP_LOG": str(log)},
        aside=log,
    )
    fail_install(work, outcome, lock)


def _pip_log(work: Work) -> Path:
    return work.temp / "pip.log"
