from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.conda_trees import PLACEHOLDER, CondaTree, FrontEnd

from ci_envs.content import read_content
from ci_envs.model.conda_record import read_record, read_records

if TYPE_CHECKING:
    from pathlib import Path

PATH = "conda-meta/x-1.0-0.json"
HASH = "ab" * 32


def text(**fields: Any) -> bytes:
    return json.dumps({"name": "x", "version": "1.0", "build": "0", **fields}).encode()


def paths(*told: Any) -> bytes:
    return text(paths_data={"paths": told})


@pytest.mark.parametrize("front_end", ["rattler", "conda", "mamba"])
def test_a_record_is_read_whoever_wrote_it(tmp_path: Path, front_end: FrontEnd) -> None:
    tree = CondaTree(tmp_path, front_end)
    tree.install("Zlib", "1.3", "h1_0", {"lib/libz.so": "x", "lib/z.pc": f"prefix={PLACEHOLDER}\n"}, depends=["a >=1"])
    (record,) = read_content(tmp_path).conda

    assert (record.name, record.version, record.build, record.subdir) == ("zlib", "1.3", "h1_0", "linux-64")
    assert (len(record.sha256), record.depends, str(record)) == (64, ("a >=1",), "zlib 1.3")
    library, config = record.claims
    assert (library.path, library.kind, len(library.sha256)) == ("lib/libz.so", "hardlink", 64)
    assert (config.placeholder, config.mode) == (("", "") if front_end == "mamba" else (PLACEHOLDER, "text"))
    assert config.installed not in ("", config.sha256)


def test_the_oldest_records_have_names_alone() -> None:
    record = read_record(PATH, text(files=["bin/x", "../y"]))
    assert [(c.path, c.written, c.sha256) for c in record.claims] == [("bin/x", "bin/x", ""), ("", "../y", "")]


@pytest.mark.parametrize(
    "written",
    ["../x", "a/../../x", "/etc/passwd", "..", ".", "", "a/..", "x\0y", "C:/x", "./../x", "a/"],
)
def test_a_path_that_leads_outside_is_no_path(written: str) -> None:
    (claim,) = read_record(PATH, paths({"_path": written})).claims
    assert claim.path == ("a" if written == "a/" else "")
    assert claim.written == written


@pytest.mark.parametrize(("written", "path"), [("./a//b", "a/b"), ("a/./b", "a/b"), ("a/../b", "b"), ("a/.b", "a/.b")])
def test_a_path_has_one_spelling(written: str, path: str) -> None:
    (claim,) = read_record(PATH, paths({"_path": written})).claims
    assert claim.path == path


def test_backslashes_separate_folders_on_windows_alone() -> None:
    data = paths({"_path": "Lib\\x.py"}, {"_path": "..\\x"})
    assert [claim.path for claim in read_record(PATH, data, windows=True).claims] == ["Lib/x.py", ""]
    assert [claim.path for claim in read_record(PATH, data).claims] == ["Lib\\x.py", "..\\x"]


def test_half_a_character_in_a_path_is_read() -> None:
    (claim,) = read_record(PATH, paths({"_path": "odd-\udcff"})).claims
    assert claim.path == "odd-\udcff"


def test_what_is_no_hash_is_none() -> None:
    record = read_record(PATH, text(sha256="x" * 64, md5=None, paths_data={"paths": [{"_path": "a", "sha256": "1"}]}))
    assert (record.sha256, record.md5, record.claims[0].sha256) == ("", "", "")
    assert read_record(PATH, text(sha256=HASH.upper())).sha256 == HASH


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff\xfe\x00",
        b"{}",
        b"[" * 100_000,
        text(name=None),
        text(name=""),
        text(name="../x"),
        text(version="1 0"),
        text(build="a\nb"),
        text(build="\u202e"),
        text(name="x" * 300),
        text(depends="numpy"),
        text(depends=[1]),
        text(paths_data=[]),
        text(files="x"),
        paths(1),
        paths({}),
        paths({"_path": 1}),
        paths({"_path": "x", "sha256": 5}),
    ],
)
def test_a_record_that_is_none_is_told_of(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_record(PATH, data)
    records, ((path, why),) = read_records({PATH: data, "conda-meta/history": b"", "conda-meta/a/b.json": b""})
    assert (records, path, bool(why)) == ((), PATH, True)


def test_keys_that_nobody_knows_yet_are_let_pass() -> None:
    assert read_record(PATH, text(new={"a": [1]}, channel=None, url=None, paths_data=None)).claims == ()


def test_a_virtual_environment_has_no_conda_packages_whatever_is_in_it(tmp_path: Path) -> None:
    CondaTree(tmp_path).install()
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\n")
    content = read_content(tmp_path)
    assert (content.is_conda, content.conda, content.conda_broken) == (False, (), ())
