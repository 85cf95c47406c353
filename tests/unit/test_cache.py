from __future__ import annotations

import os
from pathlib import Path

import pytest

from ci_envs.cache import Remembered, cache_root, usable_folder, uv_cache
from ci_envs.errors import BrokenError


@pytest.fixture
def program(tmp_path: Path) -> Path:
    made = tmp_path / "program"
    made.write_text("one")
    return made


def memory(tmp_path: Path, question: str = "who?") -> Remembered[str]:
    return Remembered(tmp_path / "cache" / "memory.json", str, question)


def test_the_folder_is_the_one_that_was_named(tmp_path: Path) -> None:
    assert cache_root({"CI_ENVS_CACHE_DIR": str(tmp_path / "x")}) == tmp_path / "x"


def test_a_relative_name_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    assert cache_root({"CI_ENVS_CACHE_DIR": "here"}) == tmp_path / "here"


@pytest.mark.parametrize("environ", [{}, {"CI_ENVS_CACHE_DIR": " "}])
def test_unnamed_it_is_the_users_own_folder_for_caches(environ: dict[str, str], own_home: Path) -> None:
    assert own_home in cache_root(environ).parents
    assert cache_root(environ).name == "ci-envs"


def test_uvs_cache_is_ours_alone_unless_the_user_names_one(tmp_path: Path) -> None:
    ours = {"CI_ENVS_CACHE_DIR": str(tmp_path)}

    assert uv_cache(ours) == (tmp_path / "uv", True)
    assert uv_cache(ours | {"UV_CACHE_DIR": str(tmp_path / "theirs")}) == (tmp_path / "theirs", False)


def test_a_usable_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    made = usable_folder(tmp_path / "a" / "b")

    assert made.is_dir()
    assert list(made.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_the_worlds_fault_and_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(BrokenError, match="file") as caught:
        usable_folder(tmp_path / "file" / "below")

    assert "CI_ENVS_CACHE_DIR" in caught.value.hint


def test_an_answer_is_remembered_by_the_next_process(tmp_path: Path, program: Path) -> None:
    memory(tmp_path).put(program, "me")

    assert memory(tmp_path).get(program) == "me"


def test_an_answer_is_found_through_another_name_of_the_same_file(tmp_path: Path, program: Path) -> None:
    memory(tmp_path).put(program, "me")
    (tmp_path / "link").symlink_to(program)

    assert memory(tmp_path).get(tmp_path / "link") == "me"


def test_an_answer_about_another_file_is_none(tmp_path: Path, program: Path) -> None:
    memory(tmp_path).put(program, "me")
    (tmp_path / "other").write_text("one")

    assert memory(tmp_path).get(tmp_path / "other") is None


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_changed_file_is_asked_again(tmp_path: Path, program: Path, change: str) -> None:
    memory(tmp_path).put(program, "me")
    before = program.stat()
    if change == "size":
        program.write_text("another")
        os.utime(program, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        os.utime(program, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))

    assert memory(tmp_path).get(program) is None


def test_a_removed_file_is_forgotten(tmp_path: Path, program: Path) -> None:
    memory(tmp_path).put(program, "me")
    kept = tmp_path / "kept"
    kept.write_text("")
    program.unlink()

    assert memory(tmp_path).get(program) is None
    memory(tmp_path).put(kept, "it")
    assert "program" not in (tmp_path / "cache" / "memory.json").read_text()


def test_an_answer_to_another_question_is_none(tmp_path: Path, program: Path) -> None:
    memory(tmp_path).put(program, "me")

    assert memory(tmp_path, "what version?").get(program) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"question": "who?", "entries": {"x": 3}}', '{"question": "who?"}', "\xff\xfe", "null"]
)
def test_a_spoilt_memory_is_an_empty_one_and_is_mended(tmp_path: Path, program: Path, text: str) -> None:
    path = tmp_path / "cache" / "memory.json"
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))

    assert memory(tmp_path).get(program) is None
    memory(tmp_path).put(program, "me")
    assert memory(tmp_path).get(program) == "me"


def test_two_writers_do_not_lose_what_the_other_wrote_before(tmp_path: Path, program: Path) -> None:
    other = tmp_path / "other"
    other.write_text("")
    one, two = memory(tmp_path), memory(tmp_path)
    assert one.get(program) is None
    assert two.get(other) is None

    one.put(program, "me")
    two.put(other, "it")

    assert (memory(tmp_path).get(program), memory(tmp_path).get(other)) == ("me", "it")


def test_a_memory_that_cannot_be_written_is_not_kept_and_no_error(tmp_path: Path, program: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    remembered = memory(tmp_path)

    remembered.put(program, "me")

    assert remembered.get(program) == "me"
    assert memory(tmp_path).get(program) is None


def test_a_write_that_fails_leaves_nothing_behind(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)

    memory(tmp_path).put(program, "me")

    assert list((tmp_path / "cache").iterdir()) == []
