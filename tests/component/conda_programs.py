"""Fixtures of tests that run ci-envs over conda projects: a channel of real packages, an index for their ``pip:`` part.

``pytest_plugins = ("tests.component.conda_programs",)`` brings them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.component.program import Program, tidy
from tests.component.running import PYTHON
from tests.support.projects import private_environment

from ci_envs.machine import arch_name, os_name
from ci_envs.model.leg import make_leg

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from subprocess import Popen
    from typing import Protocol

    from tests.support.channel_server import ChannelServer
    from tests.support.index import Index

    from ci_envs.model.record import Finding, RunRecord

    class MakeConda(Protocol):
        """What :func:`make_conda` answers with."""

        def __call__(
            self, name: str, files: Mapping[str, str] = ..., *, channel: str = ..., cache: Path | None = ...
        ) -> Program: ...


__all__ = ["CHANNEL", "CONDA_LEG", "SMALL", "environment_file", "finding", "make_conda", "record_of", "use_channel", "why"]

#: What locks call the channel of these tests, wherever it is served.
CHANNEL = "https://conda.anaconda.org/conda-forge"

CONDA_LEG = make_leg(pattern="conda", python=PYTHON, os=os_name(), arch=arch_name()).id


def environment_file(*specs: str, pip: tuple[str, ...] = (), more: str = "") -> str:
    """An ``environment.yml`` with these match specs."""
    lines = ["channels: [conda-forge, nodefaults]", "dependencies:", *(f"  - {json.dumps(spec)}" for spec in specs)]
    lines += ["  - pip:", *(f"    - {json.dumps(line)}" for line in pip)] if pip else []
    return "\n".join([*lines, more, ""])


#: Something of every kind, and as little as there can be of it: a compiled tool, a noarch module, a ``pip:`` part.
SMALL: dict[str, str] = {
    "environment.yml": environment_file("python", "hello-native ==1.0", "six", pip=("apple",)),
    "ci-envs.yml": 'test:\n  command: python -c "import six, apple"\n',
}


def use_channel(program: Program, address: str) -> None:
    """Has conda-forge be served from there: from a mirror, as far as anybody can tell."""
    condarc = program.root.parent / f"{program.root.name}.condarc"
    condarc.write_text(json.dumps({"mirrored_channels": {"conda-forge": [address]}}), encoding="utf-8")
    program.env["CONDARC"] = str(condarc)


@pytest.fixture
def make_conda(channel_server: ChannelServer, fruit_index: Index, tmp_path: Path) -> Iterator[MakeConda]:
    """Writes a project and answers with the program over it: pattern conda, the Python that runs these tests.

    The cache is empty and its own, unless one is given; ``channel`` is an address in the place of the session's server.
    """
    started: list[Popen[str]] = []

    def made(
        name: str, files: Mapping[str, str] = SMALL, *, channel: str = "", cache: Path | None = None
    ) -> Program:
        env = private_environment(fruit_index.url, tmp_path / "home", cache or tmp_path / f"cache of {name}")
        words = ("--pattern=conda", f"--python={PYTHON}")
        program = Program(tmp_path / name, env, words=words, files=files, leg=CONDA_LEG, started=started)
        use_channel(program, channel or channel_server.url())
        return program

    yield made
    tidy(started)


@pytest.fixture
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the session, which no test may tamper with."""
    return tmp_path_factory.getbasetemp() / "conda-cache"


def record_of(program: Program) -> RunRecord:
    """The leg's record."""
    record = program.record
    assert record is not None
    return record


def why(program: Program) -> str:
    """What the build stage said."""
    stage = record_of(program).stage("build")
    assert stage is not None, record_of(program).reason
    return stage.reason


def finding(program: Program, code: str) -> Finding:
    """The one finding with this code."""
    (found,) = (each for each in record_of(program).findings if each.code == code)
    return found


