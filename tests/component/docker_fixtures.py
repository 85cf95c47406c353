"""Fixtures of tests that need a container engine and a registry: real ones, shared by all of a session's workers.

``.ci/engine start`` tells where they are (``CI_ENVS_TEST_DOCKER_HOST``, ``CI_ENVS_TEST_REGISTRY``, ...). Where nobody
has started them, the first test that asks does; they end with the session, however that ends. A test that asks for
what is not there and cannot be started fails; it is never skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from tests.support import docker_command
from tests.support.docker_engine import is_own
from tests.support.docker_leftovers import left_by_us
from tests.support.features import installed_cli

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

__all__ = [
    "PodmanFacts",
    "base_image",
    "container_world",
    "devcontainer_cli",
    "engine_client",
    "engine_host",
    "podman_env",
    "registry",
    "session_folder",
    "short_folder",
]

_TOLD = ("CI_ENVS_TEST_DOCKER_HOST", "CI_ENVS_TEST_REGISTRY")


@pytest.fixture(scope="session")
def container_world(pytestconfig: pytest.Config, session_folder: Path) -> dict[str, str]:
    """The variables that tell where engine, registry and podman are. Nothing of it is set in this process."""
    if all(os.environ.get(name) for name in _TOLD):
        return dict(os.environ)
    told = getattr(pytestconfig, "workerinput", None)
    main = os.getppid() if told else os.getpid()
    name = told["testrunuid"][:12] if told else f"of-{main}"
    # Not below the session's folder: the path of a socket has room for 107 bytes.
    folder = Path(tempfile.gettempdir()) / f"ci-envs-{name}"
    with _no_hurry(), FileLock(session_folder / "engine.lock"):
        try:
            return {**os.environ, **docker_command.join(folder, watch=main)}
        except RuntimeError as error:
            pytest.fail(f"this test needs a container engine: {error}")


@contextlib.contextmanager
def _no_hurry() -> Iterator[None]:
    """Stops the clock of pytest-timeout: what is made once a machine takes more than a test may."""
    left = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *left)


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all workers of the session."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="module")
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket (107 bytes, unix(7)) and for Podman's runroot (50).

    pytest's own may be longer: what it counts its folders with grows.
    """
    folder = Path(tempfile.mkdtemp(prefix="ce-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def engine_host(container_world: dict[str, str], session_folder: Path) -> Iterator[str]:
    """The value of ``DOCKER_HOST`` for the tests' engine; a test hands it on in the variables of what it runs.

    When the last worker that uses the engine ends, nothing of ours may be left in it.
    """
    host = container_world["CI_ENVS_TEST_DOCKER_HOST"]
    book = session_folder / "engine-guests.json"
    judged = is_own(host) or bool(os.environ.get("CI"))
    before = _enter(book, host) if judged else []
    yield host
    if judged and _is_last(book):
        left = [one for one in left_by_us(host) if one not in before]
        assert not left, f"the tests have left in the engine: {', '.join(left)}"


def _enter(book: Path, host: str) -> list[str]:
    """Writes this process into the book; returns what was in the engine before the first one came."""
    with FileLock(f"{book}.lock"):
        told: dict[str, list[Any]] = {"guests": [], "before": []}
        told |= json.loads(book.read_text("ascii")) if book.exists() else {"before": left_by_us(host)}
        told["guests"].append(os.getpid())
        book.write_text(json.dumps(told), "ascii")
        return list(told["before"])


def _is_last(book: Path) -> bool:
    """Takes this process out of the book; whether no living one is left in it."""
    with FileLock(f"{book}.lock"):
        told = json.loads(book.read_text("ascii"))
        told["guests"] = [pid for pid in told["guests"] if pid != os.getpid() and Path(f"/proc/{pid}").exists()]
        book.write_text(json.dumps(told), "ascii")
        return not told["guests"]


@pytest.fixture(scope="session")
def engine_client(engine_host: str) -> Iterator[DockerClient]:
    """The Docker SDK's client of :func:`engine_host`."""
    import docker

    with contextlib.closing(docker.DockerClient(base_url=engine_host, version="auto", timeout=300)) as client:
        yield client


@pytest.fixture(scope="session")
def registry(container_world: dict[str, str]) -> str:
    """``host:port`` of a registry on loopback that takes pushes and deletions; docker_registry.py has a client.

    It holds the images of docker_bases.py, which are not to be changed. Names of a test's own are its own to remove.
    """
    return container_world["CI_ENVS_TEST_REGISTRY"]


@pytest.fixture(scope="session")
def base_image(registry: str) -> str:
    """The image of the Python that runs these tests, by its name in the registry."""
    series = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{registry}/library/python:{series}-slim-bookworm"


@dataclass(frozen=True)
class PodmanFacts:
    """A podman of the tests' own."""

    #: This process's variables with podman's: settings, storage, the service's address in ``CONTAINER_HOST``.
    environ: dict[str, str]
    #: What podman said when no container started; empty where they do. ``buildah bud --isolation chroot`` builds then.
    why_not: str

    @property
    def runs(self) -> bool:
        """Whether containers start."""
        return not self.why_not


@pytest.fixture(scope="session")
def podman_env(container_world: dict[str, str]) -> PodmanFacts:
    """Podman and buildah over a storage of the tests' own, with settings under which containers start here."""
    if shutil.which("podman") is None or "CI_ENVS_TEST_PODMAN" not in container_world:
        pytest.fail("this test needs podman; .ci/engine install brings it")
    kept = {name: value for name, value in container_world.items() if name != "DOCKER_HOST"}
    return PodmanFacts(kept, str(json.loads(container_world["CI_ENVS_TEST_PODMAN"])))


@pytest.fixture(scope="session")
def devcontainer_cli() -> Path:
    """The program ``devcontainer``, from npm at the version that these tests are written for."""
    try:
        with _no_hurry():
            return installed_cli() / "devcontainer"
    except (LookupError, RuntimeError) as error:
        pytest.fail(f"this test needs the devcontainer tool: {error}")
