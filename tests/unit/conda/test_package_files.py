"""Unpacked packages as they lie in a folder: written here by hand, so that no unpacker comes before the refusal."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from ci_envs.conda.package_files import (
    PackageFiles,
    UnfitPackageError,
    canonical_path,
    digests,
    executable_digest,
    paths_digest,
    placeholder_digest,
    read_package,
)
from ci_envs.model.conda_record import Claim

if TYPE_CHECKING:
    from pathlib import Path

HASH = "1" * 64


def row(path: str, kind: str = "hardlink", **more: Any) -> dict[str, Any]:
    return {"_path": path, "path_type": kind, **({"sha256": HASH} if kind == "hardlink" else {}), **more}


def write(
    folder: Path,
    rows: list[dict[str, Any]],
    *,
    links: dict[str, str] | None = None,
    entry_points: list[str] | None = None,
    index: dict[str, Any] | None = None,
) -> Path:
    """A package whose listed files are there."""
    told = {"name": "pkg", "version": "1.0", "build": "0", "subdir": "noarch", "noarch": "python", **(index or {})}
    files = {"info/index.json": json.dumps(told), "info/paths.json": json.dumps({"paths": rows, "paths_version": 1})}
    if entry_points is not None:
        files["info/link.json"] = json.dumps({"noarch": {"type": "python", "entry_points": entry_points}})
    listed = (each["_path"] for each in rows if each["path_type"] == "hardlink")
    files |= {
        path: "x" for path in listed if re.fullmatch(r"[^\0/]+(?:/[^\0/]+)*", path) and ".." not in path.split("/")
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name, target in (links or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)
    return folder


def test_a_package_says_what_it_holds(tmp_path: Path) -> None:
    rows = [
        row("site-packages/pkg/__init__.py"),
        row("python-scripts/tool", prefix_placeholder="/old", file_mode="text"),
        row("share/link", "softlink"),
    ]
    folder = write(tmp_path, rows, links={"share/link": "../site-packages/pkg/__init__.py"}, entry_points=["run = p:m"])
    (folder / "python-scripts/tool").chmod(0o755)
    files = read_package(folder)
    assert (files.name, files.version, files.build, files.subdir) == ("pkg", "1.0", "0", "noarch")
    assert [each.path for each in files.rows] == [each["_path"] for each in rows]
    assert files.rows[1].placeholder == "/old"
    assert files.links == {"share/link": "../site-packages/pkg/__init__.py"}
    assert files.executable == {"python-scripts/tool"}
    assert files.entry_points == ("run = p:m",)


@pytest.mark.parametrize(
    "path",
    [
        "../escaped",
        "a/../../escaped",
        "a/../b",
        "/etc/passwd",
        "",
        "a\0b",
        "C:/x",
        "C:x",
        "\\\\host\\share",
        "a\\..\\..\\b",
        "conda-meta/other-1.0-0.json",
        "conda-meta//other-1.0-0.json",
        "conda-meta/history",
        "CONDA-META/other.json",
    ],
)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UnfitPackageError, match="it lists"):
        read_package(write(tmp_path, [row(path)]))


@pytest.mark.parametrize("path", ["a..b/c", "...", "conda-meta/pinned", "share/conda-meta/x.json", ".hidden", "a b"])
def test_a_path_that_only_looks_odd_is_none_of_these(tmp_path: Path, path: str) -> None:
    assert read_package(write(tmp_path, [row(path)])).rows[0].path == path


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("l", "/etc"),
        ("l", ".."),
        ("l", "../x"),
        ("a/b/l", "../../../x"),
        ("a/l", "b/../../../x"),
        # Nobody knows where another package's link leads, and so what is above it.
        ("l", "absent/../x"),
        ("l", "C:/x"),
    ],
)
def test_a_link_that_leads_out_is_refused_whether_listed_or_not(tmp_path: Path, link: str, target: str) -> None:
    for rows in ([], [row(link, "softlink")]):
        folder = write(tmp_path / str(len(rows)), rows, links={link: target})
        with pytest.raises(UnfitPackageError, match=r"its link .* out of the environment"):
            read_package(folder)


def test_a_link_through_another_one_is_followed(tmp_path: Path) -> None:
    folder = write(tmp_path, [], links={"a/b/up": "../..", "out": "a/b/up/../x"})
    with pytest.raises(UnfitPackageError, match="its link 'out'"):
        read_package(folder)


@pytest.mark.parametrize(
    ("link", "target"),
    [("l", "a"), ("a/l", "../b"), ("l", "absent/x"), ("a/b/l", "../../c"), ("l", "..x/y"), ("a/b/l", "../../a/../c")],
)
def test_a_link_that_stays_inside_is_taken(tmp_path: Path, link: str, target: str) -> None:
    assert read_package(write(tmp_path, [], links={link: target})).links == {link: target}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes among files")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    folder = write(tmp_path, [{"_path": "p", "path_type": "hardlink"}])
    (folder / "p").unlink()
    os.mkfifo(folder / "p")
    with pytest.raises(UnfitPackageError, match="neither a file"):
        read_package(folder)


@pytest.mark.parametrize("point", ["../x = p:m", "a/b = p:m", ".. = p:m", " = p:m", "a\\b = p:m"])
def test_an_entry_point_is_a_name(tmp_path: Path, point: str) -> None:
    with pytest.raises(UnfitPackageError, match="entry point"):
        read_package(write(tmp_path, [], entry_points=[point]))


@pytest.mark.parametrize("name", ["info/index.json", "info/paths.json", "info/link.json"])
@pytest.mark.parametrize("data", [b"", b"[]", b'{"name": 1, "noarch": [], "paths": {}}', b"\xff"])
def test_metadata_that_cannot_be_read_is_no_package(tmp_path: Path, name: str, data: bytes) -> None:
    folder = write(tmp_path, [row("a")], entry_points=[])
    (folder / name).write_bytes(data)
    with pytest.raises(UnfitPackageError, match="its metadata cannot be read"):
        read_package(folder)


def test_a_file_without_a_hash_is_hashed(tmp_path: Path) -> None:
    files = read_package(write(tmp_path, [{"_path": "a", "path_type": "hardlink"}]))
    assert files.rows[0].sha256 == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of "x"


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("site-packages/a/b.py", "site-packages/a/b.py"),
        ("lib/python3.12/site-packages/a/b.py", "site-packages/a/b.py"),
        ("lib/python3.13t/site-packages/a.py", "site-packages/a.py"),
        ("Lib/site-packages/a.py", "site-packages/a.py"),
        ("bin/x", "python-scripts/x"),
        ("Scripts/x.exe", "python-scripts/x.exe"),
        ("python-scripts/x", "python-scripts/x"),
        ("share/bin/x", "share/bin/x"),
    ],
)
def test_a_noarch_path_is_the_same_in_the_package_and_in_every_environment(path: str, canonical: str) -> None:
    assert canonical_path(path, "noarch") == canonical
    assert canonical_path(path, "linux-64") == path


def claim(path: str, kind: str = "hardlink", sha256: str = HASH, **more: str) -> Claim:
    return Claim(
        path, path, kind, sha256, "", more.get("placeholder", ""), more.get("mode", ""), more.get("wanted", "")
    )


def digest(*rows: Claim, links: dict[str, str] | None = None, subdir: str = "noarch") -> str:
    return paths_digest(rows, lambda row: (links or {}).get(row.path, ""), subdir=subdir)


def test_the_digest_of_what_is_installed_is_the_packages() -> None:
    package = digest(claim("site-packages/a.py"), claim("python-scripts/x"), claim("l", "softlink"), links={"l": "t"})
    installed = digest(
        claim("l", "softlink", "9" * 64),  # each front end hashes something else of a link
        claim("bin/x"),
        claim("lib/python3.12/site-packages/a.py"),
        claim("lib/python3.12/site-packages/__pycache__/a.cpython-312.pyc", "pyc_file", ""),
        claim("bin/run", "unix_python_entry_point", "8" * 64),
        links={"l": "t"},
    )
    assert package == installed


@pytest.mark.parametrize(
    "changed",
    [
        (claim("a", sha256="2" * 64), claim("l", "softlink")),
        (claim("b"), claim("l", "softlink")),
        (claim("a"),),
        (claim("a"), claim("l", "softlink"), claim("c")),
        (claim("a", "softlink"), claim("l", "softlink")),
    ],
)
def test_the_digest_tells_every_change(changed: tuple[Claim, ...]) -> None:
    links = {"l": "t", "a": "t"}
    assert digest(*changed, links=links) != digest(claim("a"), claim("l", "softlink"), links=links)


def test_the_digest_tells_where_a_link_leads() -> None:
    assert digest(claim("l", "softlink"), links={"l": "a"}) != digest(claim("l", "softlink"), links={"l": "b"})


def test_a_file_that_was_put_aside_keeps_its_place_in_the_digest() -> None:
    assert digest(claim("__clobbers__/p/share/same", wanted="share/same")) == digest(claim("share/same"))


def test_placeholders_have_a_digest_of_their_own() -> None:
    plain, placed = claim("a"), claim("a", placeholder="/old", mode="text")
    assert digest(plain) == digest(placed)
    told = {placeholder_digest([each], subdir="noarch") for each in (plain, placed, placed._replace(mode="binary"))}
    assert len(told) == 3


def test_only_listed_files_count_as_executable() -> None:
    files = PackageFiles(
        name="p", version="1", build="0", rows=(claim("a"), claim("b")), executable=frozenset({"a", "unlisted"})
    )
    assert digests(files)["executable"] == executable_digest(["a"], subdir="")
