from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.records import record

from ci_envs import record_files
from ci_envs.errors import UsageError
from ci_envs.record_files import decode_record, find_record, read_record, read_records, record_paths, write_record

if TYPE_CHECKING:
    from pathlib import Path


def altered(**changes: Any) -> bytes:
    """The JSON of a good record with other values; ``leg__id`` is the id of the leg."""
    value = msgspec.to_builtins(record())
    for path, change in changes.items():
        *above, last = path.split("__")
        table = value
        for key in above:
            table = table[key]
        table[last] = change
    return json.dumps(value).encode()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_record(tmp_path / "records" / "a.json", record())

    assert read_record(tmp_path / "records" / "a.json") == record()
    assert [path.name for path in (tmp_path / "records").iterdir()] == ["a.json"]


def test_a_write_that_fails_leaves_the_old_record_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_record(path, record())

    with pytest.raises(TypeError):
        write_record(path, record(extra={"a": object()}))

    assert read_record(path) == record()
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_fields_of_a_later_release_are_left_alone() -> None:
    assert decode_record(altered(invented=1, leg__invented=2)) == record()


def test_a_record_of_a_newer_schema_is_called_newer() -> None:
    with pytest.raises(UsageError, match=r"^a\.json: has schema_version 2; this ci-envs reads 1$") as caught:
        decode_record(altered(schema_version=2, status="a new word"), "a.json")

    assert "newer" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `schema_version`"),
        (b'{"schema_version": 1}', "missing required field `leg`"),
        (b"\xff\xfe{}", "not a record"),
        (b'{"schema_version": 1, "reason": "\xff"}', "not a record"),
        (altered(status="great"), "`$.status`"),
        (altered(leg__python=3.1), "`$.leg.python`"),
        (altered(stages=[{"name": "lock", "status": "passed", "seconds": "x"}]), "`$.stages[0].seconds`"),
        (altered()[:-20], "truncated"),
        (b'{"schema_version": 1, "extra": ' + b"[" * 100_000, "recursion"),
    ],
    ids=lambda value: value[:20].decode("ascii", "replace") if isinstance(value, bytes) else None,
)
def test_what_is_no_record_is_refused_with_the_place_in_it(data: bytes, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode_record(data, "a.json")

    assert caught.value.file == "a.json"
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "word", ["../../etc", "/etc/passwd", ".hidden", "-rf", "a b", "A", "a/b", "a\\b", "", "a" * 101, "a\n"]
)
def test_a_leg_id_that_is_no_word_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match=r"is no leg id at `\$\.leg\.id`"):
        decode_record(altered(leg__id=word))


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../b", "C:\\x", "C:x", "\\\\server\\share", "..\\x", "a\0"]
)
def test_a_path_that_leads_out_of_the_project_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="leads out of the project"):
        decode_record(altered(leg__project=path))
    with pytest.raises(UsageError, match=r"`\$\.lock\.path`"):
        decode_record(altered(lock__path=path))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_one_error(data: bytes) -> None:
    with pytest.raises(UsageError):
        decode_record(data)


def test_a_record_that_is_too_large_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_files, "MAX_RECORD_BYTES", 1024)
    (tmp_path / "a.json").write_bytes(b" " * 2000)

    with pytest.raises(UsageError, match="is larger than"):
        read_record(tmp_path / "a.json")


def test_a_record_that_is_not_there_or_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such record"):
        read_record(tmp_path / "none.json")
    with pytest.raises(UsageError, match="is not a regular file"):
        read_record(tmp_path)


def test_find_record_answers_with_nothing_where_none_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    write_record(tmp_path / "good.json", record())

    assert find_record(tmp_path / "none.json") is None
    assert find_record(tmp_path / "bad.json") is None
    assert find_record(tmp_path / "good.json") == record()


def test_folders_are_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name, pattern in (("b", "uv"), ("a", "venv")):
        write_record(tmp_path / f"{name}.json", record(pattern=pattern))
    (tmp_path / "other.txt").write_text("no record")

    assert [found.leg.pattern for found in read_records([tmp_path])] == ["venv", "uv"]
    assert [found.leg.pattern for found in read_records([tmp_path / "b.json", tmp_path / "a.json"])] == ["uv", "venv"]


# --- artifacts


def laid(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")


def found(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in record_paths(folder)]


@pytest.mark.parametrize(
    "name",
    ["record.json", "a-leg-x/record.json", "a-shard-1/a-1-leg-x/record.json", "all/a-shard-1/a-1-leg-x/record.json"],
)
def test_a_record_is_found_however_its_artifact_was_downloaded(tmp_path: Path, name: str) -> None:
    laid(tmp_path, name)

    assert found(tmp_path) == [name]


def test_only_records_are_found_and_not_too_deep(tmp_path: Path) -> None:
    laid(
        tmp_path,
        "b/record.json",
        "b/logs/record.json",
        "a/record.json",
        "c/other.json",
        "d/record.json/x",
        "1/2/3/4/record.json",
    )

    assert found(tmp_path) == ["a/record.json", "b/record.json"]


def test_a_folder_that_is_not_there_has_no_records(tmp_path: Path) -> None:
    assert found(tmp_path / "none") == []


def test_no_link_is_followed(tmp_path: Path) -> None:
    laid(tmp_path, "real/record.json", "elsewhere/secret.json")
    (tmp_path / "records" / "b").mkdir(parents=True)
    (tmp_path / "records" / "a").symlink_to(tmp_path / "real")
    (tmp_path / "records" / "b" / "record.json").symlink_to(tmp_path / "elsewhere" / "secret.json")
    (tmp_path / "all").symlink_to(tmp_path / "real")

    assert found(tmp_path / "records") == []
    assert found(tmp_path / "all") == []


def test_more_folders_than_any_run_leaves_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laid(tmp_path, *(f"{n}/record.json" for n in range(6)))
    monkeypatch.setattr(record_files, "MAX_RECORDS", 5)
    with pytest.raises(UsageError, match="more than the artifacts of 5 legs"):
        found(tmp_path)

    monkeypatch.setattr(record_files, "_MAX_FOLDERS", 3)
    with pytest.raises(UsageError, match="more than the artifacts"):
        found(tmp_path)


def test_the_folder_of_a_job_must_lie_in_its_repository() -> None:
    with pytest.raises(UsageError, match=r"leads out of the project at `\$\.job\.root`"):
        decode_record(altered(job={"run": "o/r/1", "root": "../.."}))
