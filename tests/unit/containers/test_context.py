from __future__ import annotations

import os
import shutil
import socket
import stat
import time
from typing import TYPE_CHECKING

import pytest

from ci_envs.containers.context import dockerignored, ignore_text, stage_context
from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

EPOCH = 315_532_800

_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def write(root: Path, *names: str, text: str = "x") -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def listed(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "project", "src/app.py", "run.sh", "lock.txt", "data/big.bin", "notes.log")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "context"


ALL = ("src/app.py", "run.sh", "lock.txt", "data/big.bin", "notes.log")


def test_what_is_named_is_copied_and_nothing_else(root: Path, folder: Path) -> None:
    write(root, "unnamed.py")
    staged = stage_context(root, ["src/app.py", "run.sh"], folder, locks=("lock.txt",), files={"made/a.json": b"{}"})
    assert listed(staged.folder) == ["lock.txt", "made/a.json", "run.sh", "src/app.py"]
    assert (staged.files, staged.bytes) == (4, 5)
    assert not staged.findings


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_modes_and_times_are_the_same_under_any_mask(mask: int, root: Path, folder: Path) -> None:
    (root / "run.sh").chmod(0o700)
    (root / "src/app.py").chmod(0o666)
    before = os.umask(mask)
    try:
        staged = stage_context(root, ALL, folder, files={"made/a": b""})
    finally:
        os.umask(before)
    modes = {p.relative_to(folder).as_posix(): stat.S_IMODE(p.lstat().st_mode) for p in folder.rglob("*")}
    assert modes["run.sh"] == modes["src"] == modes["made"] == 0o755
    assert modes["src/app.py"] == modes["made/a"] == 0o644
    assert {int(path.lstat().st_mtime) for path in (folder, *folder.rglob("*"))} == {EPOCH}
    (root / "src/app.py").chmod(0o600)
    assert stage_context(root, ALL, folder, files={"made/a": b""}).fingerprint == staged.fingerprint


def test_the_users_files_keep_their_mode_and_time(root: Path, folder: Path) -> None:
    (root / "run.sh").chmod(0o600)
    before = (root / "run.sh").stat()
    stage_context(root, ALL, folder)
    after = (root / "run.sh").stat()
    assert (before.st_mode, before.st_mtime_ns, before.st_nlink) == (after.st_mode, after.st_mtime_ns, after.st_nlink)


def test_the_fingerprint_tells_of_paths_modes_and_contents_and_of_nothing_else(root: Path, folder: Path) -> None:
    def taken(names: tuple[str, ...] = ALL) -> str:
        return stage_context(root, names, folder).fingerprint

    first = taken()
    assert first.startswith("sha256:")
    os.utime(root / "run.sh", (1, 1))
    assert taken() == first
    assert taken(tuple(reversed(ALL))) == first
    seen = {first, taken(ALL[:-1])}
    (root / "run.sh").chmod(0o755)
    seen.add(taken())
    (root / "run.sh").write_text("y")
    seen.add(taken())
    shutil.move(root / "run.sh", root / "walk.sh")
    seen.add(taken((*ALL, "walk.sh")))
    assert len(seen) == 5


def test_an_older_context_is_replaced_as_a_whole(root: Path, folder: Path) -> None:
    write(folder, "src/old.py")
    stage_context(root, ["src/app.py"], folder)
    assert listed(folder) == ["src/app.py"]


def test_dockerignore_leaves_out_sources_and_never_a_lock(root: Path, folder: Path) -> None:
    (root / ".dockerignore").write_text("*.log\ndata\nlock.txt\n")
    stage_context(root, (*ALL, ".dockerignore"), folder, locks=("lock.txt",))
    assert listed(folder) == ["lock.txt", "run.sh", "src/app.py"]


#: Lines of .dockerignore, a path, and whether it is left out. Docker's own examples are among them.
RULES = [
    ("", "a.py", False),
    ("# a.py", "a.py", False),
    ("a.py", "a.py", True),
    ("/a.py", "a.py", True),
    ("  a.py  ", "a.py", True),
    ("\ufeffa.py", "a.py", True),
    ("A.py", "a.py", False),
    ("data", "data/x/y.bin", True),
    ("data/", "data/x/y.bin", True),
    ("./data", "data/x/y.bin", True),
    ("data", "src/data/y.bin", False),
    ("**/data", "src/deep/data/x/y.bin", True),
    ("**/data", "data/y.bin", True),
    ("*/temp*", "some/temporary.txt", True),
    ("*/temp*", "some/temp/x/y", True),
    ("*/*/temp*", "some/sub/temporary.txt", True),
    ("*/*/temp*", "some/temporary.txt", False),
    ("temp?", "tempa", True),
    ("temp?", "tempab", False),
    ("*.md\n!README.md", "README.md", False),
    ("*.md\n!README.md", "CHANGES.md", True),
    ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", True),
    ("*.md\nREADME-secret.md\n!README*.md", "README-secret.md", False),
    ("*\n!src", "src/app.py", False),
    ("*\n!src", "docs/app.py", True),
    ("*\n!src\nsrc/*.log", "src/a.log", True),
    ("docs\n!docs/api", "docs/api/x", False),
    ("**", "any/thing", True),
    ("a\nb", "c\nb", False),
    (".", "a.py", False),
    ("foo/../a.py", "a.py", True),
]


@pytest.mark.parametrize(("lines", "name", "left_out"), RULES)
def test_dockerignore_means_what_it_means_to_docker(lines: str, name: str, left_out: bool, root: Path) -> None:
    (root / ".dockerignore").write_text(lines)
    assert dockerignored(root)(name) is left_out


NEVER = [
    ".git/config",
    "sub/.git",
    ".ci-envs/envs/x",
    ".venv/bin/python",
    "a/__pycache__/b.pyc",
    ".tox/x",
    ".dockerignore",
]


@pytest.mark.parametrize("name", NEVER)
def test_state_and_caches_are_left_out_whatever_dockerignore_says(name: str, root: Path) -> None:
    (root / ".dockerignore").write_text("!**\n")
    assert dockerignored(root)(name)


@pytest.mark.parametrize("name", ["git/x", "src/venv/__init__.py", ".gitignore", "a.ci-envs"])
def test_names_that_look_like_those_are_not(name: str, root: Path) -> None:
    assert not dockerignored(root)(name)


def test_an_environment_is_left_out_by_what_it_is(root: Path, folder: Path) -> None:
    names = ("env/pyvenv.cfg", "env/lib/x.py", "c/conda-meta/history", "c/bin/x", "src/venv/a.py", "environment.py")
    write(root, *names)
    stage_context(root, names, folder)
    assert listed(folder) == ["environment.py", "src/venv/a.py"]


def test_a_dockerignore_that_is_no_text_is_an_error(root: Path, folder: Path) -> None:
    (root / ".dockerignore").write_bytes(b"\xff\xfe*.log")
    with pytest.raises(UsageError) as caught:
        stage_context(root, ALL, folder)
    assert caught.value.file == ".dockerignore"


def test_links_inside_are_kept_and_those_that_lead_out_are_told(root: Path, folder: Path, tmp_path: Path) -> None:
    write(tmp_path, "outside/secret.txt", text="secret")
    (root / "inner").symlink_to("src/app.py")
    (root / "src/up").symlink_to("../run.sh")
    (root / "src/folder").symlink_to("../data")
    (root / "dangling").symlink_to("nowhere")
    outside = {"out": "../outside/secret.txt", "absolute": "/etc/passwd", "src/round": "../../project/run.sh"}
    for name, target in outside.items():
        (root / name).symlink_to(target)
    (root / "door").symlink_to(tmp_path / "outside")
    (root / "through").symlink_to("door/secret.txt")
    names = (*ALL, "inner", "src/up", "src/folder", "dangling", *outside, "door", "door/secret.txt", "through")
    staged = stage_context(root, names, folder)
    links = {p.relative_to(folder).as_posix(): str(p.readlink()) for p in folder.rglob("*") if p.is_symlink()}
    assert links == {"inner": "src/app.py", "src/up": "../run.sh", "src/folder": "../data", "dangling": "nowhere"}
    (finding,) = staged.findings
    assert (finding.code, finding.severity) == ("IMG201", "warning")
    for name in (*outside, "door"):
        assert name in finding.message or "more" in finding.message
    assert "secret" not in "".join((folder / name).read_text() for name in listed(folder) if (folder / name).is_file())


def test_a_folder_that_is_a_link_out_of_the_project_hides_its_files(root: Path, folder: Path, tmp_path: Path) -> None:
    write(tmp_path, "outside/secret.txt")
    (root / "door").symlink_to(tmp_path / "outside")
    staged = stage_context(root, ["door/secret.txt"], folder)
    assert not listed(folder)
    assert staged.findings[0].code == "IMG201"


def test_sockets_pipes_and_folders_are_left_out_and_told(
    root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    (root / "submodule").mkdir()
    staged = stage_context(root, (*ALL, "pipe", "socket", "submodule"), folder)
    assert listed(folder) == sorted(ALL)
    (finding,) = staged.findings
    assert (finding.code, finding.severity) == ("IMG202", "info")
    assert "pipe, socket" in finding.message


@pytest.mark.skipif(not _ROOT, reason="only root makes devices")
def test_a_device_is_left_out(root: Path, folder: Path) -> None:
    try:
        os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this machine lets nobody make devices")
    assert stage_context(root, ["null"], folder).findings[0].code == "IMG202"


def test_a_file_that_is_gone_is_left_out_and_a_lock_that_is_gone_is_an_error(root: Path, folder: Path) -> None:
    assert stage_context(root, ["gone.py", "run.sh"], folder).files == 1
    with pytest.raises(UsageError) as caught:
        stage_context(root, [], folder, locks=("gone.txt",))
    assert caught.value.file == "gone.txt"


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "src/../../outside"])
def test_a_path_that_leads_outside_is_an_error(name: str, root: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="outside"):
        stage_context(root, [name], folder)


@pytest.mark.skipif(_ROOT, reason="root reads everything")
def test_a_file_that_cannot_be_read_is_an_error_with_its_name(root: Path, folder: Path) -> None:
    (root / "run.sh").chmod(0)
    with pytest.raises(UsageError) as caught:
        stage_context(root, ALL, folder)
    assert caught.value.file == "run.sh"


def test_names_that_are_no_utf8_and_have_line_ends_are_copied(root: Path, folder: Path) -> None:
    odd = [os.fsdecode(b"caf\xe9.py"), "two\nlines.py", "日本.py", " blank .py", "-x.py"]
    write(root, *odd)
    staged = stage_context(root, odd, folder)
    assert listed(folder) == sorted(odd)
    assert staged.fingerprint.startswith("sha256:")


def test_the_kept_ignore_file_says_what_is_left_out_and_what_is_not(root: Path) -> None:
    (root / ".dockerignore").write_text("# mine\n*.log\nlocks\n")
    text = ignore_text(root, also=("Dockerfile",), needed=("locks/a.txt",))
    (root / ".dockerignore").write_text(text)
    ignored = dockerignored(root)
    assert ignored("x.log")
    assert ignored("Dockerfile")
    assert ignored("sub/.venv/x")
    assert not ignored("locks/a.txt")
    assert not ignored("src/app.py")


def test_many_files_are_copied_in_reasonable_time(tmp_path: Path, folder: Path) -> None:
    """What would take hours with 100,000 of them takes long with these."""
    root = tmp_path / "many"
    names = [f"d{number % 30}/f{number}.py" for number in range(3_000)]
    for number in range(30):
        (root / f"d{number}").mkdir(parents=True)
    for name in names:
        (root / name).write_bytes(b"x")
    (root / ".dockerignore").write_text("\n".join(f"never{number}/**/*.log" for number in range(20)))
    began = time.process_time()
    assert stage_context(root, names, folder).files == 3_000
    assert time.process_time() - began < 15
