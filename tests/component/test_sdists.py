"""The table of real sdists is true: each is the file it says, and has what its row says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.component.sdists import MORE_SDISTS, SDISTS, Sdist, fetch_sdist, unpack_sdist

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.component


@pytest.fixture(scope="session")
def sdist_folder(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    return cache.mkdir("sdists") if cache is not None else tmp_path_factory.mktemp("sdists")


@pytest.mark.parametrize("sdist", [*SDISTS, *MORE_SDISTS], ids=lambda sdist: sdist.name)
def test_an_sdist_is_had_and_is_a_project(sdist: Sdist, sdist_folder: Path, pip_python: Path, tmp_path: Path) -> None:
    project = unpack_sdist(fetch_sdist(sdist, sdist_folder, pip_python), tmp_path)
    assert (project / "PKG-INFO").is_file()
    for option, value in zip(sdist.install, sdist.install[1:], strict=False):
        if option == "-r":
            assert (project / value).is_file()


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path, pip_python: Path) -> None:
    (tmp_path / SDISTS[0].filename).write_bytes(b"not it")
    with pytest.raises(RuntimeError, match=r"has SHA-256 \w+, not e0050c0b"):
        fetch_sdist(SDISTS[0], tmp_path, pip_python)


def test_the_three_kinds_are_there() -> None:
    assert [sdist.kind for sdist in SDISTS] == ["requirements", "extras", "extension"]
