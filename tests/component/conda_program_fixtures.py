"""Fixtures of tests that run ci-envs over conda projects: a small channel of real packages, an index for ``pip:``.

``pytest_plugins = ("tests.component.conda_program_fixtures",)`` brings them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from tests.component.conda_programs import CONDA_LEG, SMALL, use_channel
from tests.component.program import Program, tidy
from tests.component.running import PYTHON
from tests.support.channel import Channel
from tests.support.channel_lean import make_lean_channel
from tests.support.channel_server import ChannelServer
from tests.support.projects import private_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from subprocess import Popen

    from tests.support.index import Index

__all__ = [
    "MakeConda",
    "MakeCopy",
    "lean",
    "lean_server",
    "make_conda",
    "make_copy",
    "own_lean",
    "session_lean_server",
    "stood",
]


class MakeConda(Protocol):
    """What :func:`make_conda` answers with."""

    def __call__(
        self, name: str, files: Mapping[str, str] = ..., *, channel: str = ..., cache: Path | None = ...
    ) -> Program:
        """Writes a project."""
        ...


class MakeCopy(Protocol):
    """What :func:`make_copy` answers with."""

    def __call__(self, name: str, cache: Path | None = ...) -> Program:
        """Copies a project and a cache."""
        ...


#: What every run of these programs is told.
WORDS = ("--pattern=conda", f"--python={PYTHON}")


@pytest.fixture(scope="session")
def lean(tmp_path_factory: pytest.TempPathFactory, fruit: Path) -> Channel:
    """The small channel, with the Python that runs these tests. Not to be changed; :func:`own_lean` has a copy."""
    return make_lean_channel(tmp_path_factory.mktemp("lean"), fruit, PYTHON)


@pytest.fixture(scope="session")
def session_lean_server(lean: Channel) -> Iterator[ChannelServer]:
    """One server of :func:`lean` for the whole session."""
    with ChannelServer(lean.folder.parent) as running:
        yield running


@pytest.fixture
def lean_server(session_lean_server: ChannelServer) -> Iterator[ChannelServer]:
    """The session's server of the small channel; faults and the log of requests last one test."""
    session_lean_server.heal()
    yield session_lean_server
    session_lean_server.heal()


@pytest.fixture
def own_lean(lean: Channel, tmp_path: Path) -> Channel:
    """A copy that the test may change; its archives are links, to be replaced and not written into."""
    return Channel(Path(shutil.copytree(lean.folder, tmp_path / "channels" / lean.name, copy_function=os.link)))


@pytest.fixture
def make_conda(lean_server: ChannelServer, fruit_index: Index, tmp_path: Path) -> Iterator[MakeConda]:
    """Writes a project and answers with the program over it: pattern conda, the Python that runs these tests.

    The cache is empty and its own, unless one is given; ``channel`` is an address in the place of the session's server.
    """
    started: list[Popen[str]] = []

    def made(name: str, files: Mapping[str, str] = SMALL, *, channel: str = "", cache: Path | None = None) -> Program:
        env = private_environment(fruit_index.url, tmp_path / "home", cache or tmp_path / f"cache of {name}")
        program = Program(tmp_path / name, env, words=WORDS, files=files, leg=CONDA_LEG, started=started)
        use_channel(program, channel or lean_server.url())
        return program

    yield made
    tidy(started)


@pytest.fixture(scope="session")
def stood(session_lean_server: ChannelServer, fruit_index: Index, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """:data:`SMALL` with its lock, its cache and its environment. Not to be changed; :func:`make_copy` has copies."""
    folder = tmp_path_factory.mktemp("stood")
    env = private_environment(fruit_index.url, folder / "home", folder / "cache")
    program = Program(folder / "project", env, words=WORDS, files=SMALL, leg=CONDA_LEG)
    use_channel(program, session_lean_server.url())
    done = program.run()
    assert done.code == 0, done.said
    return program


@pytest.fixture
def make_copy(stood: Program, lean_server: ChannelServer, tmp_path: Path) -> Iterator[MakeCopy]:
    """Copies :func:`stood` without its environment: the project with its lock, and the cache, or one that is given."""
    started: list[Popen[str]] = []

    def copied(name: str, cache: Path | None = None) -> Program:
        assert lean_server.url()
        root = Path(shutil.copytree(stood.root, tmp_path / name, ignore=shutil.ignore_patterns(".ci-envs")))
        if cache is None:
            cache = Path(shutil.copytree(stood.cache, tmp_path / f"cache of {name}", symlinks=True))
        env = {**stood.env, "CI_ENVS_CACHE_DIR": str(cache), "HOME": str(tmp_path / "home")}
        return Program(root, env, words=WORDS, files=SMALL, leg=CONDA_LEG, started=started)

    yield copied
    tidy(started)
