"""The probe puts placeholders back where conda's installers have put the prefix."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.conda_trees import PLACEHOLDER, CondaTree, FrontEnd, put_prefix_in

from ci_envs.content import content_from_probe, read_content
from ci_envs.resources import probe

if TYPE_CHECKING:
    from pathlib import Path

P = PLACEHOLDER
#: What is around a prefix in real files: nothing of it is a prefix itself.
PIECES = st.sampled_from([P, f"{P}/lib", "x", "-L", ":", "\n", " ", "rpath=", "\xe9"])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def original(data: bytes, prefix: str, mode: str, before: str = "") -> str:
    return next(probe._original(data, [prefix.encode()], P, mode, before), "")


@given(st.lists(PIECES).map("".join), st.sampled_from(["/e", "/home/me/envs/leg", "/with blank/x", "/" + "l" * 200]))
def test_a_text_file_is_what_its_package_has(text: str, prefix: str) -> None:
    data = text.encode()
    made = put_prefix_in(data, prefix, binary=False)
    assert original(made, prefix, "text", sha256(data)) == sha256(data)


@given(
    st.lists(st.one_of(PIECES, st.sampled_from(["\0", "\0\0\0", "\0tail"]))).map("".join),
    st.sampled_from(["/e", "/home/me/envs/leg", "/" + "l" * 254]),
)
def test_a_binary_file_is_what_its_package_has(text: str, prefix: str) -> None:
    data = text.encode()
    made = put_prefix_in(data, prefix, binary=True)
    assert original(made, prefix, "binary", sha256(data)) == sha256(data)
    assert len(made) == len(data) or not data.endswith(b"\0")


@pytest.mark.parametrize("prefix", ["/short", "/with blank", "/" + "l" * 130])
@pytest.mark.parametrize("python", [True, False])
@pytest.mark.parametrize(
    "line", [f"#!{P}/bin/python3.12", f"#!{P}/bin/python -E -s", f"#!{P}/bin/perl -w", f"#! {P}/bin/sh"]
)
def test_a_first_line_that_was_written_anew_is_the_packages(line: str, python: bool, prefix: str) -> None:
    data = f"{line}\nprint('{P}')\n".encode()
    made = put_prefix_in(data, prefix, binary=False, python=python)
    assert (b"/usr/bin/env" in made or b"'''exec'" in made) == (prefix != "/short")
    assert original(made, prefix, "text", sha256(data)) == sha256(data)


def test_a_first_line_that_nothing_had_to_be_done_to_is_held_to_its_word() -> None:
    data = f"#!{P}/bin/python3.12\nprint('{P}')\n".encode()
    looked_up = b"#!/usr/bin/env python3.12\nprint('/short')\n"
    assert original(looked_up, "/short", "text", sha256(data)) == ""


def test_a_prefix_that_ends_a_longer_path_is_not_the_prefix() -> None:
    data = f"#!/usr/bin/env bash\ncd {P}/lib\n".encode()
    made = put_prefix_in(data, "/env", binary=False)
    assert original(made, "/env", "text", sha256(data)) == sha256(data)


@pytest.mark.parametrize(
    ("made", "mode"),
    [
        (b"\x7fELF/e/lib\0" + b"\0" * 100 + b"code", "binary"),  # fewer NULs than were added
        (b"\x7fELF/e/lib", "binary"),
        (b"import evil # /e/lib\n", "text"),
    ],
)
def test_what_no_installer_has_made_of_it_is_told_apart(made: bytes, mode: str) -> None:
    data = f"\x7fELF{P}/lib\0".encode()
    assert original(made, "/e", mode, sha256(data)) == ""


def test_a_file_whose_package_names_no_hash_is_put_back_all_the_same() -> None:
    assert original(b"/e/lib\n", "/e", "text") == sha256(f"{P}/lib\n".encode())


@pytest.mark.parametrize("front_end", ["rattler", "conda"])
def test_files_of_an_environment_are_put_back_while_they_are_read(tmp_path: Path, front_end: FrontEnd) -> None:
    tree = CondaTree(tmp_path / "env", front_end)
    files: dict[str, str | bytes] = {
        "bin/run": f"#!{P}/bin/python\n",
        "lib/x.so": f"{P}/lib:{P}\0end".encode(),
        "share/plain": "x",
    }
    tree.install(files=files)
    content = read_content(tree.prefix)

    assert content.originals == {
        path: sha256(data if isinstance(data, bytes) else data.encode())
        for path, data in files.items()
        if path != "share/plain"
    }
    assert content.masked == {}
    assert content.data["bin/run"].startswith(b"#!")
    for path in files:
        assert content.by_path[path].sha256 == sha256((tree.prefix / path).read_bytes())


def test_without_a_placeholder_they_are_masked_the_same_at_every_prefix(tmp_path: Path) -> None:
    masked = []
    for name in ("a", "a longer one", "l" * 150):
        tree = CondaTree(tmp_path / name, "mamba")
        tree.install(files={"lib/x.so": f"{P}/lib:{P}\0\0end{P}\0".encode(), "lib/x.pc": f"prefix={P}\n"})
        content = read_content(tree.prefix)
        assert content.originals == {}
        masked.append(dict(content.masked))

    assert set(masked[0]) == {"lib/x.so", "lib/x.pc"}
    assert masked[0] == masked[1] == masked[2]


def test_what_is_masked_still_tells_of_a_change(tmp_path: Path) -> None:
    tree = CondaTree(tmp_path, "mamba")
    tree.install(files={"lib/x.so": f"{P}/lib\0\0end".encode()})
    before = read_content(tmp_path).masked
    data = (tmp_path / "lib/x.so").read_bytes()
    for changed in (data.replace(b"end", b"EVI"), data.replace(b"/lib", b"/bin"), data + b"\0"):
        tree.write("lib/x.so", changed)
        assert read_content(tmp_path).masked != before


def test_a_prefix_behind_a_link_is_known_by_both_its_names(tmp_path: Path) -> None:
    tree = CondaTree(tmp_path / "real")
    tree.install(files={"x.pc": f"prefix={P}\n"})
    (tmp_path / "link").symlink_to("real")
    assert read_content(tmp_path / "link").originals == {"x.pc": sha256(f"prefix={P}\n".encode())}


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"paths_data": 3}',
        b'{"paths_data": {"paths": [1]}}',
        b'{"paths_data": {"paths": [{"_path": ["x"], "sha256": 3, "sha256_in_prefix": {}}]}}',
        b'{"paths_data": {"paths": [{"_path": "../../etc/passwd", "prefix_placeholder": "x", "file_mode": "text"}]}}',
        b'{"paths_data": {"paths": [{"_path": "x.pc", "prefix_placeholder": "\\ud800", "file_mode": "text"}]}}',
        b"[" * 100_000,
    ],
)
def test_a_broken_record_is_no_crash(tmp_path: Path, record: bytes) -> None:
    tree = CondaTree(tmp_path)
    tree.write("conda-meta/x-1-0.json", record)
    tree.write("x.pc", f"prefix={tmp_path}\n")
    content = read_content(tmp_path)
    assert content.by_path["x.pc"].sha256 == sha256(f"prefix={tmp_path}\n".encode())


def test_a_huge_number_of_prefixes_takes_no_time_that_grows_faster() -> None:
    data = (f"{P}\n" * 20_000).encode()
    made = put_prefix_in(data, "/e", binary=False)
    assert original(made, "/e", "text", sha256(data)) == sha256(data)


def test_the_probes_json_carries_them(tmp_path: Path) -> None:
    tree = CondaTree(tmp_path, "mamba")
    tree.install(files={"x.pc": f"prefix={P}\n"})
    CondaTree(tmp_path).install("other", files={"y.pc": f"prefix={P}\n", os.fsdecode(b"odd-\xff"): "x"})
    answer = json.loads(json.dumps(probe.content(str(tmp_path))))
    told = content_from_probe(answer)

    assert told == read_content(tmp_path)
    assert (set(told.originals), set(told.masked)) == ({"y.pc"}, {"x.pc"})
    assert [record.name for record in told.conda] == ["other", "pkg"]
