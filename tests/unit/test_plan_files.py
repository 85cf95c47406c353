from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.records import record

from ci_envs import plan_files
from ci_envs.errors import UsageError
from ci_envs.model.plan import Plan, PlannedLeg
from ci_envs.plan_files import decode_plan, read_plan

if TYPE_CHECKING:
    from pathlib import Path

PLAN = Plan(legs=(PlannedLeg(**msgspec.structs.asdict(record().leg)),), shards=((record().leg.id,),))


def altered(**leg: Any) -> bytes:
    """The JSON of a good plan whose leg says something else."""
    value = msgspec.to_builtins(PLAN)
    value["legs"][0].update(leg)
    return msgspec.json.encode(value)


def test_a_plan_is_read_from_its_file_or_the_folder_that_holds_it(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(msgspec.json.encode(PLAN))

    assert read_plan(tmp_path) == read_plan(tmp_path / "plan.json") == PLAN


@pytest.mark.parametrize("name", ["none.json", "", "none/plan.json", "a\0b"])
def test_a_plan_that_is_not_there_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="there is no such plan"):
        read_plan(tmp_path / name)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "truncated"),
        (msgspec.json.encode(PLAN)[:-9], "truncated"),
        (b'{"legs": {}}', "`$.legs`"),
        (b'{"legs": ' + b"[" * 100_000, "not a plan"),
        (b'{"status": "maybe"}', "`$.status`"),
        (altered(id="../../etc/passwd"), "is no leg id at `$.legs[0].id`"),
        (altered(id="a\n::error::b"), "is no leg id"),
        (altered(project="../.."), "leads out of the project at `$.legs[0].project`"),
        (altered(project="C:\\x"), "leads out of the project"),
        (altered(id="uv-py399-linux-x86_64"), "a shard names 'uv-py312-linux-x86_64', which is no leg of it"),
        (msgspec.json.encode(msgspec.structs.replace(PLAN, legs=PLAN.legs * 2)), "is there twice"),
    ],
)
def test_what_is_no_plan_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode_plan(data, "plan.json")

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.file == "plan.json"


def test_a_plan_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_files, "MAX_PLAN_BYTES", 10)
    (tmp_path / "plan.json").write_bytes(b" " * 11)

    with pytest.raises(UsageError, match="is larger than"):
        read_plan(tmp_path)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_plan_or_one_error(data: bytes) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(decode_plan(data), Plan)
