"""GitHub's own packages, a server for one test, and our own repository on it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.workflow_runner.events import push
from tests.support.workflow_runner.node import Node, shared_node
from tests.support.workflow_runner.repositories import Repository
from tests.support.workflow_runner.running import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.workflow_runner.results import Walk

__all__ = ["node", "ours", "walk", "workflow_server"]

ROOT = Path(__file__).parents[2]

#: What a job of ours needs of this repository; what tests leave in these folders is not copied.
_PUBLISHED = (".github", "actions", "src", "requirements", "matrices", "action.yml", "pyproject.toml")
_LEFT = shutil.ignore_patterns("__pycache__", ".ci-envs", "*.egg-info", ".*_cache")


@pytest.fixture(scope="session")
def node() -> Node:
    """GitHub's parser and expressions; without Node 20 and npm the test fails, it is not skipped."""
    try:
        return shared_node()
    except (LookupError, RuntimeError) as error:
        pytest.fail(str(error))


@pytest.fixture
def workflow_server(node: Node, tmp_path: Path) -> Server:
    """With one repository, ``stranger/project``, that is empty."""
    repository = Repository.make("stranger/project", tmp_path / "repositories" / "project")
    return Server(node, tmp_path / "server", {repository.name: repository})


@pytest.fixture
def walk(workflow_server: Server) -> Callable[..., Walk]:
    """Commits a workflow and further files to ``stranger/project`` and runs it for a push."""

    def walked(workflow: str, **files: str) -> Walk:
        repository = workflow_server.repositories["stranger/project"]
        path = ".github/workflows/test.yml"
        repository.commit(
            "workflow", {path: workflow, **{name.replace("__", "/"): text for name, text in files.items()}}
        )
        return workflow_server.start(repository.name, path, push(repository))

    return walked


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """This checkout as it is now, as ``org/repro-envs`` with the tag ``v1``."""
    folder = tmp_path_factory.mktemp("ours") / "repro-envs"
    for name in _PUBLISHED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=_LEFT)
        else:
            shutil.copy2(source, folder / name)
    return tagged(Repository.make("org/repro-envs", folder), "v1")


def tagged(repository: Repository, tag: str) -> Repository:
    """The same with a tag at its last commit."""
    from tests.support.workflow_runner.repositories import git

    git(repository.folder, "tag", "--force", tag)
    return repository
