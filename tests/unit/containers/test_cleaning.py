from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ci_envs.containers.cleaning import note_engine, remove_all
from ci_envs.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path


class Known:
    """An engine, as far as its name goes."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


def note(layout: Layout, *kinds: str) -> None:
    for kind in kinds:
        engine: Any = Known(kind)
        note_engine(layout, engine)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.at(tmp_path, {})


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    address = f"unix://{tmp_path}/nowhere.sock"
    return {"DOCKER_HOST": address, "CONTAINER_HOST": address, "HOME": str(tmp_path), "PATH": str(tmp_path)}


def test_an_engine_is_noted_once_before_anything_is_left_on_it(layout: Layout) -> None:
    note(layout, "podman", "docker", "docker")
    assert (layout.state / "engines").read_text() == "docker\npodman\n"


def test_an_engine_that_is_noted_is_not_written_again(layout: Layout) -> None:
    note(layout, "docker")
    before = (layout.state / "engines").stat().st_mtime_ns
    note(layout, "docker")
    assert (layout.state / "engines").stat().st_mtime_ns == before


def test_where_nothing_was_left_nothing_is_asked(layout: Layout, nowhere: dict[str, str]) -> None:
    assert remove_all(layout, nowhere) == []


def test_an_engine_that_does_not_answer_is_passed_over_and_named(layout: Layout, nowhere: dict[str, str]) -> None:
    note(layout, "docker", "podman")
    docker, podman = remove_all(layout, nowhere, ["docker-py312-linux-x86_64"])
    assert docker.startswith("nothing of docker, which does not answer: no Docker answers here")
    assert podman.startswith("nothing of podman, which does not answer: no Podman answers here")


@pytest.mark.parametrize("text", ["", "../../etc\nrm\n", "\n\n", "Docker"])
def test_what_is_no_engine_is_not_asked(layout: Layout, nowhere: dict[str, str], text: str) -> None:
    layout.state.mkdir(parents=True)
    (layout.state / "engines").write_text(text)
    assert remove_all(layout, nowhere) == []
