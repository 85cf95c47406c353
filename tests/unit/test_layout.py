from __future__ import annotations

import errno
import os
import stat
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ci_envs import command, layout
from ci_envs.errors import BrokenError, InterruptedRun, UsageError
from ci_envs.layout import Layout, discard_part, held, is_link, move, remove_tree, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

LEG = "uv-py312-linux-x86_64"

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")


@pytest.fixture
def here(tmp_path: Path) -> Layout:
    made = Layout.at(tmp_path, {})
    made.prepare()
    return made


# --- where things lie


def test_the_state_lies_in_the_root_or_where_it_was_told(tmp_path: Path) -> None:
    assert Layout.at(tmp_path, {}).state == tmp_path / ".ci-envs"
    elsewhere = Layout.at(tmp_path, {"CI_ENVS_STATE_DIR": str(tmp_path / "state")})
    assert (elsewhere.root, elsewhere.state) == (tmp_path, tmp_path / "state")


def test_every_path_of_a_leg_is_inside_and_legs_share_none(here: Layout) -> None:
    def paths(leg: str) -> set[Path]:
        digest = "sha256:" + "0" * 64
        return {
            *(here.prefix(leg), here.aside(leg), here.record(leg), here.log(leg, "build"), here.junit(leg)),
            *(here.temp(leg), here.bytecode(leg, digest)),
        }

    first, second = paths(LEG), paths("uv-py313-linux-x86_64")
    assert len(first) == 7
    assert not first & second
    assert all(path.is_relative_to(here.state) for path in first | second)


def test_sockets_can_be_made_in_the_temporary_folder_of_the_longest_leg(tmp_path: Path) -> None:
    checkout = Layout(root=tmp_path, state=type(tmp_path)("/home/runner/work/a-repository/a-repository/.ci-envs"))
    made = checkout.temp("x" * 100) / "pymp-12345678" / "listener-12345678"
    assert len(os.fsencode(made)) <= 107


def test_bytecode_of_another_content_lies_elsewhere(here: Layout) -> None:
    one, other = (here.bytecode(LEG, f"sha256:{digit * 64}") for digit in "12")
    assert one != other
    assert one.parent == other.parent


def test_a_path_is_shown_relative_to_the_root_where_it_is_inside(here: Layout, tmp_path: Path) -> None:
    assert here.shown(here.record(LEG)) == f".ci-envs/records/{LEG}.json"
    assert here.shown(tmp_path.parent / "else") == (tmp_path.parent / "else").as_posix()


# --- the folder


def test_git_and_backup_programs_leave_the_folder_alone(here: Layout) -> None:
    assert (here.state / ".gitignore").read_text(encoding="utf-8") == "*\n"
    tag = (here.state / "CACHEDIR.TAG").read_text(encoding="utf-8")
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55\n")


def test_a_folder_that_is_there_is_left_as_it_is(here: Layout) -> None:
    (here.state / ".gitignore").write_text("# mine\n", encoding="utf-8")
    here.prepare()
    assert (here.state / ".gitignore").read_text(encoding="utf-8") == "# mine\n"


@posix_only
def test_a_state_folder_that_is_a_link_is_refused_and_nothing_is_written_through_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".ci-envs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a link"):
        Layout(root=tmp_path, state=tmp_path / ".ci-envs").prepare()
    assert not list((tmp_path / "elsewhere").iterdir())


@posix_only
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_read_only_folder_is_told_with_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UsageError, match="cannot write to") as raised:
            Layout.at(tmp_path, {}).prepare()
    finally:
        tmp_path.chmod(0o700)
    assert "CI_ENVS_STATE_DIR" in raised.value.hint


def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    (tmp_path / ".ci-envs").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot write to"):
        Layout.at(tmp_path, {}).prepare()


# --- whole files


def test_a_file_is_written_whole_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()  # nothing can be moved over a folder
    (path / "inside").write_bytes(b"kept")
    with pytest.raises(OSError, match="file"):
        write_atomically(path, b"new")
    assert (path / "inside").read_bytes() == b"kept"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@posix_only
def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"kept")
    (tmp_path / "file").symlink_to(tmp_path / "target")
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "target").read_bytes() == b"kept"
    assert not (tmp_path / "file").is_symlink()


def test_many_writers_leave_one_whole_file(tmp_path: Path) -> None:
    path, size = tmp_path / "file", 200_000
    texts = [bytes([65 + number]) * size for number in range(8)]
    threads = [threading.Thread(target=write_atomically, args=(path, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in texts
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_writer_left_is_discarded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    discard_part(path)
    write_atomically(path, b"whole")
    (tmp_path / ".file.part").write_bytes(b"ha")
    discard_part(path)
    assert sys.platform == "win32" or [each.name for each in tmp_path.iterdir()] == ["file"]


# --- one at a time


def test_a_lock_that_is_held_is_waited_for_and_then_told(here: Layout) -> None:
    with here.alone(LEG):
        with (
            pytest.raises(BrokenError, match=f"another run is at work on {LEG}; waited 0 s"),
            here.alone(LEG, wait=0.05),
        ):
            pytest.fail("two hold one lock")
        with here.alone("another-leg", wait=0):
            pass
    with here.alone(LEG, wait=0):
        pass


def test_a_lock_that_comes_free_is_had(here: Layout) -> None:
    order: list[str] = []
    taken = threading.Event()

    def first() -> None:
        with here.alone(LEG):
            taken.set()
            time.sleep(0.1)
            order.append("first ends")

    thread = threading.Thread(target=first)
    thread.start()
    taken.wait(30)
    with here.alone(LEG, wait=30):
        order.append("second begins")
    thread.join()
    assert order == ["first ends", "second begins"]


@posix_only
def test_whoever_holds_the_descriptor_holds_the_lock(here: Layout) -> None:
    with here.alone(LEG) as (descriptor,):
        child = os.dup(descriptor)  # as a child process has it
    with pytest.raises(BrokenError), here.alone(LEG, wait=0):
        pytest.fail("the lock was free while a child held it")
    os.close(child)
    with here.alone(LEG, wait=0):
        pass


@posix_only
def test_a_lock_file_that_was_removed_while_it_was_waited_for_does_not_let_two_in(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    second_has_it = threading.Event()
    third_may_look = threading.Event()

    def second() -> None:
        with held(path, "second", wait=30):
            second_has_it.set()
            third_may_look.wait(30)

    with held(path, "first"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        path.unlink()
    second_has_it.wait(30)
    with pytest.raises(BrokenError), held(path, "third", wait=0.05):
        pytest.fail("two hold one lock")
    third_may_look.set()
    thread.join()


@posix_only
def test_a_link_in_a_locks_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"kept")
    (tmp_path / "lock").symlink_to(tmp_path / "target")
    with held(tmp_path / "lock", "somebody", wait=0):
        assert not (tmp_path / "lock").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"kept"


@posix_only
def test_an_interrupt_ends_the_wait(here: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    with here.alone(LEG):
        monkeypatch.setattr(command._LIVE, "stopping", True)
        with pytest.raises(InterruptedRun, match="stopped while it waited"), here.alone(LEG, wait=30):
            pytest.fail("two hold one lock")


# --- one at a time, where a lock is a file that is there


def test_a_lock_by_name_keeps_others_out_until_it_is_free(tmp_path: Path) -> None:
    with (
        layout._held_by_name(tmp_path / "lock", "first", 0),
        pytest.raises(BrokenError, match="another; waited 0 s"),
        layout._held_by_name(tmp_path / "lock", "another", 0.05),
    ):
        pytest.fail("two hold one lock")
    with layout._held_by_name(tmp_path / "lock", "third", 0):
        pass


def test_an_interrupt_ends_the_wait_for_a_lock_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with layout._held_by_name(tmp_path / "lock", "first", 0):
        monkeypatch.setattr(command._LIVE, "stopping", True)
        with (
            pytest.raises(InterruptedRun, match="stopped while it waited"),
            layout._held_by_name(tmp_path / "lock", "second", 30),
        ):
            pytest.fail("two hold one lock")


# --- moving


def refusing(monkeypatch: pytest.MonkeyPatch, path: Path, times: int) -> list[Path]:
    """Moves are refused so often, as those of files that somebody has open on Windows; all that were tried."""
    asked: list[Path] = []
    original = type(path).replace

    def replace(self: Path, target: Path) -> Path:
        asked.append(self)
        if len(asked) <= times:
            raise PermissionError(errno.EACCES, "the process cannot access the file")
        return original(self, target)

    monkeypatch.setattr(type(path), "replace", replace)
    monkeypatch.setattr(layout, "_MOVE_SECONDS", 0.0)
    return asked


def test_a_move_that_is_refused_for_an_instant_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"old")
    asked = refusing(monkeypatch, tmp_path, 3)
    move(tmp_path / "new", tmp_path / "old", tries=5)
    assert len(asked) == 4
    assert (tmp_path / "old").read_bytes() == b"new"


def test_a_move_that_stays_refused_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new").write_bytes(b"new")
    asked = refusing(monkeypatch, tmp_path, 9)
    with pytest.raises(PermissionError):
        move(tmp_path / "new", tmp_path / "old", tries=3)
    assert len(asked) == 3


# --- removing


@posix_only
def test_where_a_file_itself_must_let_itself_be_removed_it_is_made_to(tmp_path: Path) -> None:
    inside = tmp_path / "tree" / "a"
    inside.mkdir(parents=True)
    (inside / "read-only").write_bytes(b"")
    (inside / "read-only").chmod(stat.S_IRUSR)
    (tmp_path / "outside").write_bytes(b"")
    (tmp_path / "outside").chmod(stat.S_IRUSR)
    (inside / "link").symlink_to(tmp_path / "outside")
    layout._make_removable(tmp_path / "tree", files_too=True)
    assert (inside / "read-only").stat().st_mode & stat.S_IWUSR
    assert not (tmp_path / "outside").stat().st_mode & stat.S_IWUSR


def test_a_junction_counts_as_a_link(tmp_path: Path) -> None:
    class Junction(type(tmp_path)):  # type: ignore[misc]  # a path of this system
        def is_junction(self) -> bool:
            return True

    assert not is_link(tmp_path)
    assert is_link(Junction(tmp_path))


@posix_only
def test_a_tree_is_removed_with_what_is_closed_in_it_and_never_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"kept")
    inside = tmp_path / "tree" / "a" / "b"
    inside.mkdir(parents=True)
    (inside / "file").write_bytes(b"")
    (inside / "folder-link").symlink_to(tmp_path / "outside")
    (inside / "file-link").symlink_to(tmp_path / "outside" / "file")
    inside.chmod(0)
    (tmp_path / "tree" / "a").chmod(stat.S_IRUSR)
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    assert (tmp_path / "outside" / "file").read_bytes() == b"kept"


@posix_only
def test_a_link_is_removed_and_what_it_names_is_not(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"kept")
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("link", "dangling"):
        remove_tree(tmp_path / name)
        assert not (tmp_path / name).is_symlink()
    assert (tmp_path / "outside" / "file").read_bytes() == b"kept"


def test_removing_a_file_or_nothing_is_well(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    remove_tree(tmp_path / "file")
    remove_tree(tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_full_disk_is_told_from_other_errors() -> None:
    assert layout.disk_is_full(OSError(errno.ENOSPC, "full"))
    assert layout.disk_is_full(OSError(errno.EDQUOT, "quota"))
    assert not layout.disk_is_full(OSError(errno.EACCES, "no"))
