from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.trees import Tree

from ci_envs.content import HashCache, _folds_case, content_from_probe, read_content
from ci_envs.errors import CheckError
from ci_envs.model.content import Content, shown
from ci_envs.resources import probe

if TYPE_CHECKING:
    from pathlib import Path


def test_every_file_is_read_once_with_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/data.bin").write_bytes(b"x" * 3_000_000)
    (tmp_path / "lib/run.sh").write_bytes(b"")
    (tmp_path / "lib/run.sh").chmod(0o755)
    (tmp_path / "link").symlink_to("lib/run.sh")
    (tmp_path / "lib64").symlink_to("lib")
    (tmp_path / "dangling").symlink_to("nowhere")

    content = read_content(tmp_path, workers=2)

    told = {e.path: (e.kind, e.size, e.executable, e.sha256, e.target) for e in content.entries}
    assert told == {
        "lib/data.bin": ("file", 3_000_000, False, hashlib.sha256(b"x" * 3_000_000).hexdigest(), ""),
        "lib/run.sh": ("file", 0, True, hashlib.sha256(b"").hexdigest(), ""),
        "link": ("link", 0, False, "", "lib/run.sh"),
        "lib64": ("dir-link", 0, False, "", "lib"),
        "dangling": ("link", 0, False, "", "nowhere"),
    }
    assert (content.files, content.bytes) == (2, 3_000_000)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_number_of_threads_does_not_change_what_is_read(tmp_path: Path, workers: int) -> None:
    for number in range(50):
        (tmp_path / f"f{number}").write_bytes(b"y" * number * 1000)

    content = read_content(tmp_path, workers=workers)

    assert [e.path for e in content.entries] == sorted(f"f{number}" for number in range(50))
    assert all(e.sha256 == hashlib.sha256((tmp_path / e.path).read_bytes()).hexdigest() for e in content.entries)


def test_a_link_out_of_the_prefix_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("s")
    (tmp_path / "env").mkdir()
    (tmp_path / "env/out").symlink_to(tmp_path / "outside")

    assert [(e.path, e.kind) for e in read_content(tmp_path / "env").entries] == [("out", "dir-link")]


def test_odd_names_sockets_and_pipes_are_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a\nb").write_text("newline")
    (tmp_path / os.fsdecode(b"bad-\xff-utf8")).write_text("bytes")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)  # the name of a socket may have about 100 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        content = read_content(tmp_path)

    assert {e.path: e.kind for e in content.entries} == {
        "a\nb": "file",
        "bad-\udcff-utf8": "file",
        "pipe": "other",
        "socket": "other",
    }
    assert shown("a\nb") == "a\\nb"
    assert shown("bad-\udcff-utf8") == "bad-\\udcff-utf8"


def test_entries_are_sorted_by_bytes_and_not_by_code_points(tmp_path: Path) -> None:
    # U+FFFD is EF BF BD in UTF-8 and sorts before the byte FF, whose surrogate U+DCFF is the smaller code point.
    for name in (b"\xff", "\ufffd".encode(), b"z"):
        (tmp_path / os.fsdecode(name)).write_text("")

    assert [os.fsencode(e.path) for e in read_content(tmp_path).entries] == [b"z", b"\xef\xbf\xbd", b"\xff"]


def test_a_file_that_vanishes_between_listing_and_hashing_is_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    walk = probe._walk

    def walk_and_lose(prefix: str) -> object:
        listed = walk(prefix)
        (tmp_path / "a").unlink()
        return listed

    monkeypatch.setattr(probe, "_walk", walk_and_lose)
    entries = read_content(tmp_path).entries

    assert [(e.path, e.kind, e.target) for e in entries] == [
        ("a", "unreadable", "No such file or directory"),
        ("b", "file", ""),
    ]


def test_a_folder_that_may_not_be_listed_is_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path: str | int) -> object:  # the tests may run as root, who may list everything
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)

    entries = read_content(tmp_path).entries
    assert [(e.path, e.kind, e.target) for e in entries] == [("closed", "unreadable", "Permission denied")]


def test_a_file_that_grows_after_it_was_listed_is_hashed_whole(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"12345")
    # What is listed as three bytes long has five when it is read.
    digest = probe._sha256(str(tmp_path / "log"), 3, bytearray(16))
    assert digest == hashlib.sha256(b"12345").hexdigest()


def test_a_cache_spares_the_reading_of_hard_links(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    (first / "module.py").write_text("x = 1\n")
    (second / "other-name.py").hardlink_to(first / "module.py")
    cache = HashCache()
    read_content(first, cache=cache)
    (key,) = cache
    cache[key] = "0" * 64  # shows whether the second read believes it

    assert [e.sha256 for e in read_content(second, cache=cache).entries] == ["0" * 64]


def test_a_cache_does_not_speak_for_a_file_that_was_edited(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_bytes(b"x = 1\n")
    cache = HashCache()
    read_content(tmp_path, cache=cache)
    path.write_bytes(b"x = 2\n")
    os.utime(path, ns=(1, 1))

    assert read_content(tmp_path, cache=cache).entries[0].sha256 == hashlib.sha256(b"x = 2\n").hexdigest()


def test_small_files_that_describe_the_others_are_kept(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    folder = tree.install(scripts={"run": "#!/bin/sh\n"}, entry_points="[console_scripts]\nx = pkg:main\n")
    tree.write("bin/program", b"\x7fELF" + b"\0" * (1 << 18))
    tree.write(f"{tree.site}/pkg/RECORD", "no metadata")

    content = read_content(tmp_path)

    assert set(content.data) == {
        "bin/activate",
        "bin/run",
        "pyvenv.cfg",
        *(f"{folder}/{name}" for name in ("RECORD", "WHEEL", "INSTALLER", "entry_points.txt")),
    }


def test_a_prefix_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="there is no environment at"):
        read_content(tmp_path / "gone")


def test_what_the_probe_says_in_json_is_the_same_content(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.install(scripts={"run": "#!/bin/sh\n"})
    tree.write(os.fsdecode(b"odd-\xff"), "x")

    answer = json.loads(json.dumps(probe.content(str(tmp_path))))

    assert content_from_probe(answer) == read_content(tmp_path)


def test_distributions_are_read_with_their_rows_and_scripts(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.install(
        "Foo.Bar_baz",
        files={'foo/a,"b".py': "", "foo/c.py": ""},
        entry_points="[console_scripts]\nOne = foo.cli : main [extra]\n[gui_scripts]\ntwo=foo:gui\n[other]\nx = y\n",
        rows=('"foo/a,""b"".py",,',),
    )
    (installed,) = read_content(tmp_path).installed

    assert (installed.name, installed.version, installed.site) == ("foo-bar-baz", "1.0", tree.site)
    assert installed.scripts == {"One": "foo.cli:main", "two": "foo:gui"}
    assert f'{tree.site}/foo/a,"b".py' in {row.path for row in installed.rows or ()}


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("pkg/a.py", "lib/python3.12/site-packages/pkg/a.py"),
        ("../../../bin/x", "bin/x"),
        ("./pkg//a.py", "lib/python3.12/site-packages/pkg/a.py"),
        ("../../../../etc/passwd", ""),
        ("pkg/../../../../../x", ""),
        ("/etc/passwd", ""),
        ("/env/bin/x", "bin/x"),
        ("/env/../etc/passwd", ""),
        ("../../../lib64/python3.12/site-packages/pkg/a.so", "lib/python3.12/site-packages/pkg/a.so"),
    ],
)
def test_a_row_is_resolved_below_the_prefix_or_not_at_all(tmp_path: Path, written: str, path: str) -> None:
    Tree(tmp_path)
    (tmp_path / "lib64").symlink_to("lib")
    read = read_content(tmp_path)
    content = Content("/env", ("/env",), read.entries, read.data)

    assert content.resolve("lib/python3.12/site-packages", written) == path


def test_rows_that_uv_writes_on_windows_are_understood(tmp_path: Path) -> None:
    (tmp_path / "Scripts").mkdir()
    (tmp_path / "Scripts/x.exe").write_bytes(b"MZ")

    content = read_content(tmp_path)

    assert content.scripts == "Scripts"
    assert content.resolve("Lib/site-packages", "..\\..\\Scripts\\x.exe") == "Scripts/x.exe"


def test_whether_a_file_system_folds_cases_is_asked_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").write_bytes(b"")
    assert read_content(tmp_path).folds_case is (tmp_path / "PYVENV.CFG").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="a disk that folds cases cannot have both names")
def test_a_file_that_answers_to_a_name_that_is_not_listed_shows_that_it_folds_them(tmp_path: Path) -> None:
    (tmp_path / "name").write_bytes(b"")
    (tmp_path / "NAME").hardlink_to(tmp_path / "name")
    assert _folds_case(str(tmp_path), [["name"]])
    assert not read_content(tmp_path).folds_case  # which lists both

    (tmp_path / "other").write_bytes(b"")
    (tmp_path / "OTHER").mkdir()
    assert not _folds_case(str(tmp_path), [["other"]])


def test_an_empty_prefix_tells_nothing_of_its_file_system(tmp_path: Path) -> None:
    assert read_content(tmp_path).folds_case is False
