from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.conda_trees import PLACEHOLDER, CondaTree

from ci_envs.conda.completing import complete_records
from ci_envs.content import read_content
from ci_envs.digest import environment_digest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.conda_trees import FrontEnd

FILES: dict[str, str | bytes] = {
    "bin/run": f"#!{PLACEHOLDER}/bin/python\n",
    "lib/x.so": f"{PLACEHOLDER}/lib\0".encode(),
    "lib/python3.12/site-packages/x.py": f"prefix = '{PLACEHOLDER}'\n",
    "share/x.txt": "x",
}


def unpacked(pkgs: Path) -> Path:
    """What mamba keeps of the package; a noarch one's modules lie in ``site-packages`` there."""
    rows: list[dict[str, Any]] = []
    for path, data in FILES.items():
        raw = data if isinstance(data, bytes) else data.encode()
        row = {"_path": path.removeprefix("lib/python3.12/"), "sha256": hashlib.sha256(raw).hexdigest()}
        mode = "binary" if isinstance(data, bytes) else "text"
        has_prefix = PLACEHOLDER.encode() in raw
        rows.append(row | ({"prefix_placeholder": PLACEHOLDER, "file_mode": mode} if has_prefix else {}))
    folder = pkgs / "pkg-1.0-h0_0"
    (folder / "info").mkdir(parents=True)
    (folder / "info/paths.json").write_text(json.dumps({"paths": rows, "paths_version": 1}))
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> CondaTree:
    tree = CondaTree(tmp_path / "env", "mamba")
    tree.install(files=FILES, extracted_package_dir=str(unpacked(tmp_path / "pkgs")))
    return tree


def test_mambas_records_become_as_telling_as_the_others(tree: CondaTree, tmp_path: Path) -> None:
    assert read_content(tree.prefix).originals == {}
    complete_records(tree.prefix, tmp_path / "pkgs")
    content = read_content(tree.prefix)

    assert set(content.originals) == {path for path, data in FILES.items() if path != "share/x.txt"}
    assert content.masked == {}


@pytest.mark.parametrize("front_end", ["rattler", "conda"])
def test_the_digest_is_then_that_of_the_others(tree: CondaTree, tmp_path: Path, front_end: FrontEnd) -> None:
    complete_records(tree.prefix, tmp_path / "pkgs")
    other = CondaTree(tmp_path / front_end, front_end)
    other.install(files=FILES)
    first, second = (environment_digest(read_content(each.prefix)) for each in (tree, other))
    assert first.value == second.value


def test_a_whole_record_is_left_as_it_is(tmp_path: Path) -> None:
    tree = CondaTree(tmp_path / "env", "conda")
    tree.install(files=FILES, extracted_package_dir=str(unpacked(tmp_path / "pkgs")))
    before = tree.record("pkg").read_bytes()
    complete_records(tree.prefix, tmp_path / "pkgs")
    assert tree.record("pkg").read_bytes() == before


@pytest.mark.parametrize("text", ["", "[]", '{"paths": 3}', '{"paths": [1, {"prefix_placeholder": "x"}]}', None])
def test_a_package_that_cannot_be_read_completes_nothing(tree: CondaTree, tmp_path: Path, text: str | None) -> None:
    listed = tmp_path / "pkgs/pkg-1.0-h0_0/info/paths.json"
    listed.unlink()
    if text is not None:
        listed.write_text(text)
    before = tree.record("pkg").read_bytes()
    tree.write("conda-meta/broken-1-0.json", "[")
    complete_records(tree.prefix, tmp_path / "pkgs")
    assert tree.record("pkg").read_bytes() == before


def test_a_record_cannot_name_a_package_elsewhere(tree: CondaTree, tmp_path: Path) -> None:
    before = tree.record("pkg").read_bytes()
    complete_records(tree.prefix, tmp_path / "other pkgs")
    assert tree.record("pkg").read_bytes() == before
