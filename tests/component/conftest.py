"""What tests of real tools share: the universe of small packages, an index over it, and variables to go with it.

The universe is made once a session. What projects of the universe need from the world (pytest, pip-tools) is
downloaded once from the index that whoever runs the tests has set up, and kept in pytest's cache folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uv
from tests.component.container_fixtures import (  # noqa: F401 - fixtures, found by their names
    docker_facts,
    engine_facts,
    environment,
    make_environment,
    make_image,
    podman_facts,
)
from tests.component.docker_fixtures import (  # noqa: F401 - fixtures, found by their names
    base_image,
    container_world,
    devcontainer_cli,
    engine_client,
    engine_host,
    podman_env,
    registry,
    session_folder,
    short_folder,
)
from tests.component.nix_fixtures import (  # noqa: F401 - fixtures, found by their names
    make_nix_program,
    nix,
    nix_env,
    nix_program,
    nix_python,
    nix_store,
    nixpkgs,
)
from tests.component.program import FRUIT, Program, tidy
from tests.component.workflow_fixtures import node, ours, walk, workflow_server  # noqa: F401 - fixtures, found by their names
from tests.support.channel import Channel
from tests.support.channel_forge import shared_forge
from tests.support.channel_server import ChannelServer
from tests.support.docker_falls import pytest_fixture_setup, pytest_runtest_protocol  # noqa: F401 - hooks
from tests.support.index import Index
from tests.support.projects import fetch_wheels, make_pip, make_universe, private_environment

from ci_envs.resources import resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from subprocess import Popen

#: The versions that run these tests: what the lock of this project names, so a kept download never goes stale.
PYTEST = (
    *(f"{name}=={version(name)}" for name in ("pytest", "pytest-xdist")),
    # What pytest needs on other platforms and Pythons: uv locks for all of them at once.
    *("colorama", "exceptiongroup", "tomli", "typing-extensions"),
)


@pytest.fixture(scope="session")
def uv_bin() -> str:
    """The uv of our own environment."""
    return str(uv.find_uv_bin())


@pytest.fixture(scope="session")
def pip_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has pip."""
    return make_pip(tmp_path_factory.mktemp("pip") / "env")


@pytest.fixture(scope="session")
def world_wheels(pytestconfig: pytest.Config, pip_python: Path) -> Callable[..., Path]:
    """Downloads requirements from the real index into a folder that later sessions find again."""
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)  # "-p no:cacheprovider" leaves it out
    root = cache.mkdir("wheels") if cache is not None else pip_python.parent

    def fetch(*requirements: str, lock: Path | None = None) -> Path:
        """``lock`` is a file of requirements with hashes; this interpreter's part of it is brought."""
        named = "\n".join(requirements).encode() + (lock.read_bytes() if lock else b"")
        locked = ("--require-hashes", "-r", str(lock)) if lock else ()
        return fetch_wheels((*requirements, *locked), root / hashlib.sha256(named).hexdigest()[:16], pip_python)

    return fetch


@pytest.fixture(scope="session")
def wheels_of_pytest(world_wheels: Callable[..., Path]) -> Path:
    """Wheels of pytest, pytest-xdist and what they depend on."""
    return world_wheels(*PYTEST)


@pytest.fixture(scope="session")
def fruit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The universe alone: nothing is downloaded for it. Not to be changed; :func:`own_index` has a copy."""
    return make_universe(tmp_path_factory.mktemp("fruit"))


@pytest.fixture(scope="session")
def universe(
    tmp_path_factory: pytest.TempPathFactory, fruit: Path, wheels_of_pytest: Path, world_wheels: Callable[..., Path]
) -> Path:
    """The universe with pytest and pip-tools beside it."""
    folder = tmp_path_factory.mktemp("universe")
    pip_tools = world_wheels(lock=resource("tools/pip-tools.txt"))  # the venv pattern locks with it
    for source in (fruit, wheels_of_pytest, pip_tools):
        shutil.copytree(source, folder, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def session_index(universe: Path) -> Iterator[Index]:
    """One index for the whole session, for fixtures of a wider scope than one test."""
    with Index(universe) as running:
        yield running


@pytest.fixture
def index(session_index: Index) -> Iterator[Index]:
    """The session's index; faults, yanks and the log of requests last one test."""
    session_index.heal()
    yield session_index
    session_index.heal()


@pytest.fixture
def own_index(fruit: Path, tmp_path: Path) -> Iterator[Index]:
    """An index over a copy of the universe alone, whose files and port are this test's to change."""
    with Index(Path(shutil.copytree(fruit, tmp_path / "packages"))) as running:
        yield running


@pytest.fixture
def tool_env(index: Index, tmp_path: Path) -> dict[str, str]:
    """Variables under which tools know the session's index only, with caches of the test's own."""
    return private_environment(index.url, tmp_path / "home", tmp_path / "cache")


@pytest.fixture
def warm_env(tool_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same, with one cache for the session: quick, but a fault may hide behind what is cached."""
    cache = tmp_path_factory.getbasetemp() / "warm-cache"
    cache.mkdir(exist_ok=True)
    return {**tool_env, "CI_ENVS_CACHE_DIR": str(cache)}


@pytest.fixture(scope="session")
def fruit_index(fruit: Path) -> Iterator[Index]:
    """One index over the universe alone, for the whole session; not to be changed."""
    with Index(fruit) as running:
        yield running


@pytest.fixture
def make_program(
    fruit_index: Index, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Program]]:
    """Writes a project and answers with the program over it: one Python, pattern uv.

    Its cache is its own, and empty; a ``warm`` one is the session's, which no test may tamper with.
    """

    started: list[Popen[str]] = []

    def made(name: str, files: Mapping[str, str] = FRUIT, *, warm: bool = False) -> Program:
        cache = tmp_path_factory.getbasetemp() / "fruit-cache" if warm else tmp_path / f"cache of {name}"
        env = private_environment(fruit_index.url, tmp_path / "home", cache)
        return Program(tmp_path / name, env, files=files, started=started)

    yield made
    tidy(started)


# --- conda: a channel that stands for conda-forge -----------------------------------------------------------------


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory, world_wheels: Callable[..., Path]) -> Channel:
    """The channel of :func:`tests.support.channel_forge.forge_packages`, made once for all workers; not to be changed.

    :func:`own_forge` has a copy.
    """
    base = tmp_path_factory.getbasetemp()
    # pytest-xdist gives each worker a folder below the session's.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return shared_forge(shared / "forge", world_wheels)


@pytest.fixture(scope="session")
def session_channel_server(forge: Channel) -> Iterator[ChannelServer]:
    """One server of :func:`forge` for the whole session, for fixtures of a wider scope than one test."""
    with ChannelServer(forge.folder.parent) as running:
        yield running


@pytest.fixture
def channel_server(session_channel_server: ChannelServer) -> Iterator[ChannelServer]:
    """The session's server of channels; faults and the log of requests last one test."""
    session_channel_server.heal()
    yield session_channel_server
    session_channel_server.heal()


@pytest.fixture
def own_forge(forge: Channel, tmp_path: Path) -> Channel:
    """A copy of the channel that this test may change; its archives are links, to be replaced and not written into."""
    folder = tmp_path / "channels" / forge.name
    return Channel(Path(shutil.copytree(forge.folder, folder, copy_function=os.link)))


# --- end of conda --------------------------------------------------------------------------------------------------
