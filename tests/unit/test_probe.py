from __future__ import annotations

import ast
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ci_envs.model.inventory import Inventory
from ci_envs.resources import probe, probe_text

if TYPE_CHECKING:
    from pathlib import Path

METADATA = """\
Metadata-Version: 2.1
Name: Some.Package_name
Version: 1.2
Summary: text
  that goes on
Requires-Dist: numpy>=2
Requires-Dist: tomli>=1; python_version < "3.11"
        and extra == "toml"
Description: old style
        Requires-Dist: not-a-requirement

Requires-Dist: in-the-body
"""


def one(site: Path, prefix: Path | None = None) -> dict[str, Any]:
    (found,) = probe.distributions(str(site), str(prefix or site))
    return found


def dist_info(site: Path, name: str = "x-1.0", **files: str) -> Path:
    folder = site / f"{name}.dist-info"
    folder.mkdir(parents=True)
    for file, text in files.items():
        (folder / file.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


def modules(site: Path, *paths: str) -> list[str]:
    dist_info(site, RECORD="".join(f"{path},sha256=x,1\n" for path in paths))
    found: list[str] = one(site)["modules"]
    return found


def test_the_probe_is_an_inventory_of_this_interpreter() -> None:
    told = msgspec.convert(probe.inventory(), Inventory)

    assert told.interpreter.version.startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")
    assert told.interpreter.implementation == sys.implementation.name
    assert told.interpreter.prefix == sys.prefix
    assert told.interpreter.paths["scripts"] in ("bin", "Scripts")
    assert told.interpreter.markers["python_version"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert told.find("pytest") is not None


def on_path(monkeypatch: pytest.MonkeyPatch, *folders: object) -> dict[str, str]:
    """The distributions that are found on this search path, with their versions."""
    monkeypatch.setattr(sys, "path", [str(folder) for folder in folders])
    told = msgspec.convert(probe.inventory("search-path"), Inventory)
    return {each.name: each.version for each in told.distributions}


def test_all_that_is_on_the_search_path_is_installed_where_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, name in (("a", "apple-1.0"), ("b", "pear-2.0")):
        dist_info(tmp_path / folder, name, METADATA="Name: {}\nVersion: {}\n".format(*name.split("-")))

    found = on_path(monkeypatch, "", tmp_path / "a", tmp_path / "gone", tmp_path / "x.zip", tmp_path / "b")

    assert found == {"apple": "1.0", "pear": "2.0"}
    assert on_path(monkeypatch) == {}


def test_what_stands_behind_another_of_its_name_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, version in (("a", "2.0"), ("b", "1.0")):
        dist_info(tmp_path / folder, f"apple-{version}", METADATA=f"Name: apple\nVersion: {version}\n")
    (tmp_path / "link").symlink_to(tmp_path / "b")

    assert on_path(monkeypatch, tmp_path / "a", tmp_path / "link", tmp_path / "b") == {"apple": "2.0"}
    assert on_path(monkeypatch, tmp_path / "b", tmp_path / "a") == {"apple": "1.0"}


def test_the_markers_are_those_that_packaging_knows() -> None:
    from packaging.markers import default_environment

    told: Any = probe.inventory()
    assert told["interpreter"]["markers"] == default_environment()


def test_metadata_is_read_as_mail_headers_are(tmp_path: Path) -> None:
    dist_info(tmp_path / "lib", METADATA=METADATA, INSTALLER="uv\n")
    found = one(tmp_path / "lib", tmp_path)

    assert (found["name"], found["version"], found["installer"]) == ("some-package-name", "1.2", "uv")
    assert found["requires"] == ["numpy>=2", 'tomli>=1; python_version < "3.11" and extra == "toml"']
    assert found["metadata"] == "lib/x-1.0.dist-info"


@pytest.mark.parametrize("before", ["\ufeff", ""])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_metadata_may_have_other_line_ends_and_a_mark(tmp_path: Path, before: str, end: str) -> None:
    folder = dist_info(tmp_path)
    (folder / "METADATA").write_bytes((before + METADATA.replace("\n", end)).encode())
    found = one(tmp_path)
    assert (found["name"], len(found["requires"])) == ("some-package-name", 2)


def test_a_folder_without_metadata_goes_by_its_name(tmp_path: Path) -> None:
    dist_info(tmp_path, "Half_made-3.0")
    found = one(tmp_path)
    assert (found["name"], found["version"], found["requires"], found["modules"]) == ("half-made", "3.0", [], [])


def test_undecodable_metadata_is_no_crash(tmp_path: Path) -> None:
    (dist_info(tmp_path) / "METADATA").write_bytes(b"Name: x\nVersion: 1.0\nAuthor: \xff\n")
    assert one(tmp_path)["name"] == "x"


def test_what_pip_is_about_to_remove_is_not_installed(tmp_path: Path) -> None:
    dist_info(tmp_path, "~umpy-1.0")
    assert list(probe.distributions(str(tmp_path), str(tmp_path))) == []


def test_the_modules_of_packages_and_single_files(tmp_path: Path) -> None:
    assert modules(
        tmp_path,
        *("pkg/__init__.py", "pkg/sub/__init__.py", "pkg/sub/a.py", "single.py", "_hidden.abi3.so"),
        *("ext.cpython-312-x86_64-linux-gnu.so", "win.cp312-win_amd64.pyd", "old.pyc"),
        *("pkg.libs/libz.so.1", "pkg.libs/libx.so", "with-dash/__init__.py", "../../../bin/tool.py", "data.txt"),
        *("pkg-stubs/__init__.pyi", "__pycache__/single.cpython-312.pyc", "a.b.py", "setup.py", "conftest.py"),
        *("x-1.0.dist-info/METADATA", "__editable___x_finder.py"),
    ) == ["_hidden", "ext", "old", "pkg", "single", "win"]


def test_a_package_whose_init_is_compiled(tmp_path: Path) -> None:
    assert modules(tmp_path, "pkg/__init__.cpython-312-x86_64-linux-gnu.so", "pkg/a.py") == ["pkg"]


def test_below_a_namespace_the_dotted_package_is_named(tmp_path: Path) -> None:
    paths = (
        "google/cloud/storage/__init__.py",
        "google/cloud/storage/a.py",
        "google/loose.py",
        "google/protobuf/__init__.py",
    )
    assert modules(tmp_path, *paths) == ["google.cloud.storage", "google.protobuf"]


def test_loose_modules_below_a_namespace_count_where_there_is_nothing_else(tmp_path: Path) -> None:
    assert modules(tmp_path, "google/api/b_pb2.py", "google/api/a_pb2.py", "google/type/c.py") == [
        "google.api.a_pb2",
        "google.type.c",
    ]


def test_a_path_in_quotes_is_read(tmp_path: Path) -> None:
    dist_info(tmp_path, RECORD='"pkg/a,b.txt",sha256=x,1\n"pkg/__init__.py",sha256=x,1\n')
    assert one(tmp_path)["modules"] == ["pkg"]


@pytest.mark.parametrize(
    ("text", "url", "editable"),
    [
        ('{"url": "file:///p", "dir_info": {"editable": true}}', "file:///p", True),
        ('{"url": "file:///p", "dir_info": {}}', "file:///p", False),
        ('{"url": "https://me:secret@host.example/x.whl", "archive_info": {}}', "https://host.example/x.whl", False),
        ('{"url": "https://token@host.example/x", "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
         "git+https://host.example/x@abc", False),
        ('{"url": "ssh://git@host.example/x", "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
         "git+ssh://git@host.example/x@abc", False),
        ("{", "", False),
        ("[]", "", False),
        ('{"url": "x", "dir_info": 3}', "", False),
    ],
)  # fmt: skip
def test_where_it_came_from_is_told_without_credentials(tmp_path: Path, text: str, url: str, editable: bool) -> None:
    dist_info(tmp_path, direct_url__json=text)
    found = one(tmp_path)
    assert (found["url"], found["editable"]) == (url, editable)


def test_a_legacy_install_is_read_from_its_egg_info(tmp_path: Path) -> None:
    folder = tmp_path / "Legacy-1.0-py3.12.egg-info"
    folder.mkdir()
    (folder / "PKG-INFO").write_text("Name: Legacy\nVersion: 1.0\n")
    (folder / "requires.txt").write_text("a>=1\n\n[:python_version<'3']\nb\n\n[x]\nc\n\n[y:os_name=='nt']\nd\n")
    (folder / "top_level.txt").write_text("legacy\n")
    found = one(tmp_path)
    assert (found["name"], found["version"], found["modules"]) == ("legacy", "1.0", ["legacy"])
    assert found["requires"] == [
        *("a>=1", "b; (python_version<'3')", 'c; extra == "x"', "d; (os_name=='nt') and extra == \"y\""),
    ]


def test_a_distribution_of_distutils_is_a_single_file(tmp_path: Path) -> None:
    (tmp_path / "ancient-1.0.egg-info").write_text("Name: ancient\nVersion: 1.0\n")
    found = one(tmp_path)
    assert (found["name"], found["version"], found["modules"]) == ("ancient", "1.0", [])


def test_an_import_tells_its_version_and_time() -> None:
    told = probe.import_one("pytest")
    assert (told["ok"], told["version"], told["error"]) == (True, pytest.__version__, "")
    assert told["seconds"] >= 0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import no_such_thing_at_all", "ModuleNotFoundError: No module named 'no_such_thing_at_all'"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise ValueError('why')", "ValueError: why"),
    ],
)
def test_an_import_that_fails_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, error: str
) -> None:
    (tmp_path / "ci_envs_broken_module.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "ci_envs_broken_module", raising=False)
    told = probe.import_one("ci_envs_broken_module")
    assert (told["ok"], told["error"]) == (False, error)


def test_the_probe_imports_the_standard_library_alone_and_is_python_3_8() -> None:
    tree = ast.parse(probe_text(), feature_version=(3, 8))
    names = {node.names[0].name for node in ast.walk(tree) if isinstance(node, ast.Import)}
    froms = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names | {str(name) for name in froms}} <= sys.stdlib_module_names


def test_odd_names_do_not_break_the_json(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"odd-\xff")
    dist_info(odd)
    told = json.dumps(probe.clean(list(probe.distributions(str(odd), str(tmp_path)))))
    assert msgspec.json.decode(told)[0]["metadata"] == "odd-\\udcff/x-1.0.dist-info"


@pytest.mark.parametrize(
    ("row", "windows", "path"),
    [
        ("pkg\\sub\\__init__.py,sha256=x,1", True, "pkg/sub/__init__.py"),
        ('"pkg\\a,b.py",sha256=x,1', True, "pkg/a,b.py"),
        ("pkg/back\\slash.py,sha256=x,1", False, "pkg/back\\slash.py"),
    ],
)
def test_backslashes_part_folders_on_windows_alone(row: str, windows: bool, path: str) -> None:
    assert probe._first_column(row, windows) == path
