from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.conda_trees import CondaTree
from tests.support.environments import an_inventory, dist

from ci_envs.conda.prefix import channel_of, with_conda
from ci_envs.content import read_content
from ci_envs.model.conda_record import CondaRecord

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.model.inventory import Inventory

SITE = CondaTree.site


def a_record(*, channel: str = "", url: str = "", subdir: str = "linux-64") -> CondaRecord:
    return CondaRecord("conda-meta/x.json", "x", "1", "0", subdir, 0, channel, url, "", "", (), ())


@pytest.mark.parametrize(
    ("channel", "url", "canonical"),
    [
        ("conda-forge", "", "https://conda.anaconda.org/conda-forge"),
        ("https://conda.anaconda.org/conda-forge/linux-64", "", "https://conda.anaconda.org/conda-forge"),
        (
            "x",
            "https://me:secret@conda.example/t/tok-123/own/linux-64/a-1-0.conda",
            "https://conda.example/own",
        ),
        ("", "file:///srv/channel/linux-64/a-1-0.tar.bz2", "file:///srv/channel"),
        ("defaults", "", "https://repo.anaconda.com/pkgs/main"),
        ("pkgs/r", "", "https://repo.anaconda.com/pkgs/r"),
        ("", "", ""),
    ],
)
def test_a_channel_has_one_address_and_no_secret(channel: str, url: str, canonical: str) -> None:
    assert channel_of(a_record(channel=channel, url=url)) == canonical


def inventory(tree: CondaTree) -> Inventory:
    content = read_content(tree.prefix)
    python = [dist(each.name, each.version, metadata=each.folder) for each in content.installed]
    return with_conda(an_inventory(*python), content.conda, content.data.get)


def test_condas_packages_stand_beside_the_distributions_that_they_brought(tmp_path: Path) -> None:
    tree = CondaTree(tmp_path)
    tree.install("zlib", "1.3", "h1_0")
    tree.install("pytorch", "2.5", files=tree.distribution("torch", "2.5"), depends=["zlib"])
    found = {(each.manager, each.name): each for each in inventory(tree).distributions}

    assert found.keys() == {("python", "torch"), ("conda", "zlib"), ("conda", "pytorch")}
    assert found["python", "torch"].brought_by == "pytorch"
    pytorch = found["conda", "pytorch"]
    assert (pytorch.brings, pytorch.requires, pytorch.channel) == (
        ("torch",),
        ("zlib",),
        "https://conda.example/conda-forge",
    )
    assert (found["conda", "zlib"].build, found["conda", "zlib"].brings) == ("h1_0", ())
    assert len(pytorch.sha256) == 64


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_what_pip_wrote_over_condas_is_brought_by_nobody(tmp_path: Path, version: str) -> None:
    tree = CondaTree(tmp_path)
    tree.install("six", files=tree.distribution("six"))
    old, new = f"{SITE}/six-1.0.dist-info", f"{SITE}/six-{version}.dist-info"
    for path in (tmp_path / old).iterdir():
        path.unlink()
    (tmp_path / old).rmdir()
    for name, text in (("METADATA", "Name: six\n"), ("INSTALLER", "pip\n"), ("RECORD", "six.py,,\n#")):
        tree.write(f"{new}/{name}", text)
    by_manager = {each.manager: each for each in inventory(tree).distributions}

    assert by_manager["python"].brought_by == ""
    assert by_manager["conda"].brings == ("six",)


def test_without_conda_packages_an_inventory_stays_as_it_is() -> None:
    given = an_inventory(dist("six"))
    assert with_conda(given, (), lambda _path: None) is given
