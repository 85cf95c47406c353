from __future__ import annotations

import io
import os
import socket
import sys
import tarfile
from pathlib import Path

import pytest

from ci_envs.containers.copying import Owner, files_in, folders, one_file, owner_of, pack, text_file
from ci_envs.errors import BrokenError

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="links, sockets and names of any bytes are POSIX")

PASSWD = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nbroken\nodd:x:a:b::/:\n"


@pytest.mark.parametrize(
    ("user", "owner"),
    [
        ("app", Owner(1000, 1001)),
        ("1000", Owner(1000, 1001)),
        ("app:7", Owner(1000, 7)),
        ("5:6", Owner(5, 6)),
        ("5", Owner(5, 0)),
        ("nobody-knows", Owner(0, 0)),
        ("odd", Owner(0, 0)),
    ],
)
def test_files_belong_to_the_user_of_the_image(user: str, owner: Owner) -> None:
    assert owner_of(user, PASSWD) == owner


def test_an_image_without_users_has_numbers_only() -> None:
    assert owner_of("1000:1000", None) == Owner(1000, 1000)


def packed(
    root: Path, *names: str, own_folder: bool = True
) -> tuple[dict[str, tarfile.TarInfo], tuple[str, ...], bytes]:
    target = io.BytesIO()
    left_out = pack(root, names, "/in/side", Owner(7, 8), target, own_folder=own_folder)
    target.seek(0)
    with tarfile.open(fileobj=target) as archive:
        return {entry.name: entry for entry in archive}, left_out, target.getvalue()


def test_files_lie_below_the_folder_and_belong_to_the_user(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "a" / "run.sh").chmod(0o4755)
    os.utime(tmp_path / "a" / "run.sh", (1_000_000, 1_000_000))

    entries, left_out, data = packed(tmp_path, "a/run.sh")

    assert list(entries) == ["in/side", "in/side/a", "in/side/a/run.sh"]
    assert {(entry.uid, entry.gid, entry.uname) for entry in entries.values()} == {(7, 8, "")}
    assert entries["in/side/a/run.sh"].mtime == 1_000_000
    if sys.platform != "win32":
        assert entries["in/side/a/run.sh"].mode == 0o755, "what grants another user's rights does not"
    assert left_out == ()
    assert b"#!/bin/sh" in data


def test_the_folder_of_an_image_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")

    assert list(packed(tmp_path, "a", own_folder=False)[0]) == ["in/side/a"]


def test_a_file_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    assert packed(tmp_path, "gone", "also/gone")[1] == ()


@posix_only
def test_only_files_and_links_within_are_taken(tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "a").mkdir(parents=True)
    (tmp_path / "secret").write_text("canary")
    (root / "a" / "file").write_text("x")
    (root / "within").symlink_to("a/file")
    (root / "a" / "up").symlink_to("../within")
    (root / "out").symlink_to("../secret")
    (root / "a" / "out").symlink_to("../../secret")
    (root / "absolute").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to("..")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(root)  # the path of a socket is short
        try:
            one.bind("socket")
        finally:
            os.chdir(here)
        names = (
            "a/file",
            "within",
            "a/up",
            "out",
            "a/out",
            "absolute",
            "folder/secret",
            "pipe",
            "socket",
            "a",
            "../secret",
            "/etc/passwd",
        )
        entries, left_out, data = packed(root, *names)

    assert sorted(name for name, entry in entries.items() if not entry.isdir()) == [
        "in/side/a/file",
        "in/side/a/up",
        "in/side/within",
    ]
    assert left_out == (
        "out (a link out of the project)",
        "a/out (a link out of the project)",
        "absolute (a link out of the project)",
        "folder/secret (behind a link)",
        "pipe (no file)",
        "socket (no file)",
        "a (no file)",
        "../secret (not below the project)",
        "/etc/passwd (not below the project)",
    )
    assert b"canary" not in data


@posix_only
@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are always UTF-8")
def test_a_name_that_is_no_text_keeps_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "caf\udce9").write_text("x")
    (tmp_path / ("l" * 200)).write_text("x")

    target = io.BytesIO()
    assert pack(tmp_path, ["caf\udce9", "l" * 200], "/in", Owner(), target) == ()

    assert b"in/caf\xe9" in target.getvalue()
    assert b"in/" + b"l" * 200 in target.getvalue()


def test_folders_have_their_modes() -> None:
    with tarfile.open(fileobj=io.BytesIO(folders([("/a", 0o755), ("/a/tmp", 0o1777)], Owner(5, 6)))) as archive:
        assert [(entry.name, entry.mode, entry.uid) for entry in archive] == [("a", 0o755, 5), ("a/tmp", 0o1777, 5)]


# --- out of a container


def pieces(data: bytes, size: int = 100) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def test_one_file_comes_out() -> None:
    assert one_file(iter(pieces(text_file("/deep/report.xml", b"x" * 5000, Owner()))), "report", 10_000) == b"x" * 5000


def test_a_file_that_is_too_large_is_refused() -> None:
    with pytest.raises(BrokenError, match="/out has more than 0 MiB"):
        one_file(iter(pieces(text_file("/out", b"x" * 5000, Owner()))), "/out", 4999)


def archive_of(*entries: tarfile.TarInfo) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(b"x" * entry.size))
    return made.getvalue()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_what_is_no_file_is_none(kind: bytes) -> None:
    entry, second = tarfile.TarInfo("../../etc/passwd"), tarfile.TarInfo("b")
    entry.type, entry.linkname, second.size = kind, "/etc/shadow", 3

    assert one_file(iter(pieces(archive_of(entry, second))), "x", 100) is None


def test_an_empty_archive_has_no_file() -> None:
    assert one_file(iter(pieces(archive_of())), "x", 100) is None


def test_the_files_of_a_folder_are_told_by_their_last_name() -> None:
    names = ("conda-meta/a.json", "conda-meta/history", "conda-meta/b.json")
    entries = [tarfile.TarInfo(name) for name in names]
    for entry in entries:
        entry.size = 2

    assert dict(files_in(iter(pieces(archive_of(*entries))), ".json")) == {"a.json": b"xx", "b.json": b"xx"}
