"""The digest of a conda environment: the same whoever installed it, wherever; and a change shows."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.conda_trees import PLACEHOLDER, CondaTree, FrontEnd
from tests.support.trees import LAUNCHERS, record_row

from ci_envs.content import read_content
from ci_envs.digest import Digest, differences, environment_digest
from ci_envs.record_check import verify_records

if TYPE_CHECKING:
    from pathlib import Path

P = PLACEHOLDER
SITE = CondaTree.site


def make(prefix: Path, front_end: FrontEnd = "rattler") -> CondaTree:
    tree = CondaTree(prefix, front_end)
    tree.install(
        "python",
        "3.12.1",
        "h0_cpython",
        {
            "bin/python3.12": f"\x7fELF{P}/lib:{P}\0tail\0".encode(),
            "bin/2to3": f"#!{P}/bin/python3.12 -E\nprint('{P}')\n",
            "lib/python3.12/os.py": "import sys\n",
            "lib/python3.12/__pycache__/os.cpython-312.pyc": "shipped",
            "lib/python3.12/_sysconfigdata.py": f"prefix = '{P}'\n",
        },
        links={"bin/python": "python3.12", "lib64": "lib"},
    )
    tree.install(
        "six",
        files=tree.distribution("six", six="x = 1\n"),
        entry_points={"sixer": "six:main", "other": "six.a:b.c"},
        compiled=[f"{SITE}/__pycache__/six.cpython-312.pyc"],
        noarch="python",
    )
    return tree


def digest(tree: CondaTree) -> Digest:
    return environment_digest(read_content(tree.prefix))


@pytest.mark.parametrize("front_end", ["rattler", "conda"])
@pytest.mark.parametrize("name", ["b", "with blanks in it", "l" * 130])
def test_path_and_front_end_make_no_difference(tmp_path: Path, name: str, front_end: FrontEnd) -> None:
    first, second = make(tmp_path / "a"), make(tmp_path / name, front_end)
    for path in sorted(second.prefix.rglob("*")):
        os.utime(path, ns=(1, 1), follow_symlinks=False)

    assert differences(digest(first), digest(second)) == []
    assert digest(first).value == digest(second).value


def test_mambas_environment_is_the_same_at_every_path(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a", "mamba"), make(tmp_path / "another", "mamba")
    assert digest(first).value == digest(second).value
    # Its records do not say what the prefix stands in place of.
    kinds = {d.path: d.kind for d in differences(digest(first), digest(make(tmp_path / "c")))}
    assert set(kinds) == {"bin/python3.12", "bin/2to3", "lib/python3.12/_sysconfigdata.py"}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("conda-meta/history", "==> 2027-01-01 <==\n# cmd: conda install\n"),
        ("conda-meta/created_at", "1700000000.0"),
        ("conda-meta/state", '{"version": 1, "env_vars": {}}'),
        ("CACHEDIR.TAG", "another"),
        ("__clobbers__/six/etc/shared.txt", "the loser's"),
        (f"{SITE}/__pycache__/six.cpython-312.pyc", "compiled by somebody"),
        (f"{SITE}/__pycache__/other.cpython-313.pyc", "compiled by somebody"),
    ],
)
def test_what_front_ends_add_makes_no_difference(tmp_path: Path, path: str, text: str) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    tree.write(path, text)
    assert differences(before, digest(tree)) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"channel": "conda-forge", "url": "https://mirror.example/conda-forge/linux-64/six-1.0-h0_0.conda"},
        {"extracted_package_dir": "/else/pkgs/six", "link": {"source": "/else", "type": 3}},
        {"requested_spec": "six >=1", "requested_specs": ["six"], "timestamp": 5, "size": 7, "md5": "1" * 32},
        {"depends": ["python"], "license": "MIT", "auth": None},
    ],
)
def test_what_a_record_says_beside_the_package_makes_no_difference(tmp_path: Path, fields: dict[str, Any]) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    tree.change("six", **fields)
    assert digest(tree).value == before.value


@pytest.mark.parametrize(
    "fields", [{"version": "1.1"}, {"build": "h1_0"}, {"sha256": "cd" * 32}, {"subdir": "noarch"}, {"name": "seven"}]
)
def test_another_package_shows(tmp_path: Path, fields: dict[str, Any]) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    tree.change("six", **fields)
    assert [found.path for found in differences(before, digest(tree))] == ["conda-meta/six-1.0-h0_0.json"]


def test_variables_that_activating_sets_show(tmp_path: Path) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    tree.write("conda-meta/state", '{"env_vars": {"B": "2", "A": "1"}, "version": 1}')
    with_variables = digest(tree)
    assert [found.path for found in differences(before, with_variables)] == ["conda-meta/state"]
    tree.write("conda-meta/state", '{"version": 7, "env_vars": {"A": "1", "B": "2"}}')
    assert digest(tree).value == with_variables.value


# Tampering: whatever is left out or rewritten must not hide it.


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("lib/python3.12/os.py", "import evil\n"),
        ("lib/python3.12/__pycache__/os.cpython-312.pyc", "evil"),
        (f"{SITE}/six.py", "x = 2\n"),
        (f"{SITE}/six-1.0.dist-info/RECORD", ""),
        (f"{SITE}/six-1.0.dist-info/INSTALLER", "pip"),
        (f"{SITE}/evil.pth", "import evil\n"),
        ("etc/conda/activate.d/evil.sh", "export LD_PRELOAD=evil.so\n"),
        ("etc/conda/env_vars.d/evil.json", '{"LD_PRELOAD": "evil.so"}'),
        ("conda-meta/state", '{"env_vars": {"LD_PRELOAD": "evil.so"}}'),
        ("conda-meta/state", "no JSON"),
        ("conda-meta/pinned", "python 3.1"),
        ("conda-meta/evil-1-0.json", "{}"),
        ("conda-meta/history/x", "a folder in its place"),
        ("bin/activate", "evil"),
        ("bin/python3.99", "evil"),
        ("bin/planted", "evil"),
        (".condarc", "channels: [https://evil.example]"),
    ],
)
def test_an_altered_or_added_file_shows(tmp_path: Path, path: str, text: str) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    if path.startswith("conda-meta/history/"):
        (tmp_path / "conda-meta/history").unlink()
    tree.write(path, text)
    assert path in {found.path for found in differences(before, digest(tree))}


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("bin/2to3", "print", "evil"),
        ("bin/2to3", "/bin/python3.12 -E", "/bin/python3.12"),
        ("bin/python3.12", "tail", "evil"),
        ("lib/python3.12/_sysconfigdata.py", "prefix =", "import evil; prefix ="),
        ("bin/sixer", "main", "evil"),
        ("bin/sixer", "import sys\n", "import sys, evil\n"),
        ("bin/sixer", "sys.exit(", "evil(), sys.exit("),
    ],
)
def test_an_altered_file_with_the_prefix_in_it_shows(tmp_path: Path, path: str, old: str, new: str) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    data = (tmp_path / path).read_bytes()
    assert old.encode() in data
    tree.write(path, data.replace(old.encode(), new.encode()), 0o755)
    assert path in {found.path for found in differences(before, digest(tree))}


def test_a_script_that_looks_for_another_python_shows(tmp_path: Path) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    for path in ("bin/2to3", "bin/sixer"):
        first, _, rest = (tmp_path / path).read_text().partition("\n")
        options = first.partition("python3.12")[2]
        tree.write(path, f"#!/usr/bin/env python3.12{options}\n{rest}", 0o755)
    assert {found.path for found in differences(before, digest(tree))} == {"bin/2to3", "bin/sixer"}


def test_a_record_cannot_say_what_the_prefix_stands_in_place_of(tmp_path: Path) -> None:
    """With a placeholder of one's own any word of a file could be made the prefix, and put back when it is read."""
    tree = CondaTree(tmp_path)
    tree.install(files={"run.sh": "cd /safe/place && work\n"})
    before = digest(tree)
    record = json.loads(tree.record("pkg").read_text())
    record["paths_data"]["paths"][0] |= {"prefix_placeholder": "/safe/place", "file_mode": "text"}
    tree.record("pkg").write_text(json.dumps(record))
    tree.write("run.sh", f"cd {tmp_path} && work\n")

    assert read_content(tmp_path).originals["run.sh"] == record["paths_data"]["paths"][0]["sha256"]
    assert [found.path for found in differences(before, digest(tree))] == ["run.sh"]


@pytest.mark.parametrize("kind", ["pyc_file", "unix_python_entry_point", "directory", "softlink"])
def test_a_record_cannot_take_a_file_out_by_calling_it_something_else(tmp_path: Path, kind: str) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    record = json.loads(tree.record("python", "3.12.1", "h0_cpython").read_text())
    for told in record["paths_data"]["paths"]:
        if told["_path"].endswith((".pyc", "os.py")):
            told |= {"path_type": kind, "sha256": None, "sha256_in_prefix": None}
    tree.record("python", "3.12.1", "h0_cpython").write_text(json.dumps(record))
    tree.write("lib/python3.12/__pycache__/os.cpython-312.pyc", "evil")
    assert "lib/python3.12/__pycache__/os.cpython-312.pyc" in {d.path for d in differences(before, digest(tree))}


def test_a_record_cannot_take_a_file_out_by_no_longer_claiming_it(tmp_path: Path) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    tree.change("six", paths_data={"paths": []}, files=[])
    changed = {found.path for found in differences(before, digest(tree))}
    assert {"bin/sixer", f"{SITE}/six-1.0.dist-info/RECORD", f"{SITE}/six-1.0.dist-info/INSTALLER"} <= changed


def test_a_redirected_link_shows(tmp_path: Path) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    for path, target in (("bin/python", "2to3"), ("lib64", "/evil")):
        (tmp_path / path).unlink()
        (tmp_path / path).symlink_to(target)
    assert {found.path for found in differences(before, digest(tree))} == {"bin/python", "lib64"}


def test_the_executable_mark_shows(tmp_path: Path) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    (tmp_path / "bin/2to3").chmod(0o644)
    (tmp_path / f"{SITE}/six.py").chmod(0o755)
    assert {found.path for found in differences(before, digest(tree))} == {"bin/2to3", f"{SITE}/six.py"}


def test_what_is_put_aside_is_compared_with_its_record_instead(tmp_path: Path) -> None:
    """``__clobbers__`` is rattler's own; what the digest leaves out there, the check of the files does not."""
    tree = make(tmp_path)
    path = "__clobbers__/six/x.txt"
    tree.install("aside", files={path: "loser", "lib/kept.txt": "x"})
    before = digest(tree)
    tree.write(path, "evil")
    assert digest(tree).value == before.value
    assert [(f.code, path in f.message) for f in verify_records(read_content(tmp_path))] == [("ENV130", True)]


# What pip has installed beside conda's packages goes by the rules of virtual environments.


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_pips_part_is_the_same_whoever_installed_it(tmp_path: Path, launcher: str) -> None:
    made = []
    for name, kind in (("a", "uv"), ("another", launcher)):
        tree = make(tmp_path / name)
        script = f"#!{tree.prefix}/bin/python3.12\n{LAUNCHERS[kind]}"
        tree.write("bin/run", script, 0o755)
        folder = f"{SITE}/pkg-1.0.dist-info"
        tree.write(f"{SITE}/pkg/cli.py", "def main(): ...\n")
        tree.write(f"{folder}/entry_points.txt", "[console_scripts]\nrun = pkg.cli:main\n")
        tree.write(f"{folder}/METADATA", "Name: pkg\nVersion: 1.0\n")
        tree.write(f"{folder}/INSTALLER", kind)
        tree.write(f"{folder}/RECORD", record_row("../../../bin/run", script.encode()))
        made.append(digest(tree))
    assert differences(*made) == []
    assert {item.path: item.kind for item in made[0].entries}["bin/run"] == "launcher"
