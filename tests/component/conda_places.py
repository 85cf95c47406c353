"""Fixtures of tests that install conda packages: a small channel, a server for it, a place to install to."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.channel import Channel, make_channel
from tests.support.channel_packages import data_package, tool_package
from tests.support.channel_server import ChannelServer
from tests.support.conda_installs import Place, noarch_package, script_python

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["channel", "place", "server", "small_forge"]


@pytest.fixture(scope="session")
def small_forge(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """Four packages: a Python that is a script, a noarch one for it, a compiled tool, data. Not to be changed."""
    packages = (script_python(), noarch_package(), tool_package(), data_package())
    return make_channel(tmp_path_factory.mktemp("small-forge") / "conda-forge", packages)


@pytest.fixture
def channel(small_forge: Channel, tmp_path: Path) -> Channel:
    """A copy that the test may change."""
    return Channel(Path(shutil.copytree(small_forge.folder, tmp_path / "channels" / "conda-forge")))


@pytest.fixture
def server(channel: Channel) -> Iterator[ChannelServer]:
    """Serves the copy."""
    with ChannelServer(channel.folder.parent) as running:
        yield running


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Prefixes by the embedded front end, of a cache that is empty at first."""
    return Place(tmp_path / "work", tmp_path / "cache")
