from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.support.environments import an_inventory, dist
from tests.support.work import a_leg

from ci_envs.building import Facts
from ci_envs.containers.building import Kept, kept_environment
from ci_envs.errors import BuildError, ToolMissing
from ci_envs.layout import Layout
from ci_envs.model.config import DockerConfig
from ci_envs.model.image import ImageFacts

if TYPE_CHECKING:
    from pathlib import Path

LEG = a_leg(pattern="docker")
FACTS = Facts(
    digest="sha256:1",
    bytes=1,
    files=1,
    inventory=an_inventory(dist("apple")),
    image=ImageFacts(name="localhost/ci-envs/x:leg", id="sha256:2"),
)
KEPT = Kept(inputs={"lock": "1"}, facts=FACTS, docker=DockerConfig(memory="1g"), inside="/app", beside=("tests/a.py",))


def write(layout: Layout, data: bytes) -> None:
    path = layout.image(LEG.id)
    path.parent.mkdir(parents=True)
    path.write_bytes(data)


def test_what_is_known_of_an_image_is_read_back_as_it_was_written() -> None:
    assert msgspec.json.decode(msgspec.json.encode(KEPT), type=Kept) == KEPT


@pytest.mark.parametrize("data", [None, b"", b"{", b'{"inputs": {}}', b"\xff", msgspec.json.encode(KEPT)[:-9]])
def test_there_is_no_environment_where_nothing_whole_is_known_of_an_image(tmp_path: Path, data: bytes | None) -> None:
    layout = Layout.at(tmp_path, {})
    if data is not None:
        write(layout, data)
    with pytest.raises(BuildError, match=f"there is no image of {LEG.id}") as caught:
        kept_environment(layout, LEG, {})
    assert f"ci-envs run --only '{LEG.id}'" in caught.value.hint


def test_an_image_that_is_known_is_looked_for_on_its_engine(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path, {})
    write(layout, msgspec.json.encode(KEPT))
    with pytest.raises(ToolMissing, match="no Docker answers here"):
        kept_environment(layout, LEG, {"DOCKER_HOST": f"unix://{tmp_path}/nowhere.sock", "HOME": str(tmp_path)})
