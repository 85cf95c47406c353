"""Fixtures of tests of conda locks: a channel of stubs that the test may change, its server, projects beside it.

``pytest_plugins = ("tests.component.conda_lock_fixtures",)`` brings them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest
from tests.support.channel import Channel, make_channel
from tests.support.channel_server import ChannelServer
from tests.support.conda_projects import ENVIRONMENT, FORGE, CondaProject, use_mirror
from tests.support.projects import private_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.index import Index

__all__ = ["MakeProject", "conda_project", "stub_channel", "stub_server"]


class MakeProject(Protocol):
    """What :func:`conda_project` answers with."""

    def __call__(self, files: Mapping[str, str] = ..., name: str = ...) -> CondaProject:
        """Writes a project."""
        ...


@pytest.fixture
def stub_channel(tmp_path: Path) -> Channel:
    """A channel of stubs of the test's own."""
    return make_channel(tmp_path / "channels" / "conda-forge", FORGE)


@pytest.fixture
def stub_server(stub_channel: Channel) -> Iterator[ChannelServer]:
    """Serves it."""
    with ChannelServer(stub_channel.folder.parent) as running:
        yield running


@pytest.fixture
def conda_project(stub_server: ChannelServer, fruit_index: Index, tmp_path: Path) -> MakeProject:
    """Writes a project; all of one test share a cache, which is empty at first."""
    env = private_environment(fruit_index.url, tmp_path / "home", tmp_path / "cache")
    env = use_mirror(tmp_path, env, stub_server.url("conda-forge"))

    def make(files: Mapping[str, str] = ENVIRONMENT, name: str = "project") -> CondaProject:
        return CondaProject(tmp_path / name, env, files)

    return make
