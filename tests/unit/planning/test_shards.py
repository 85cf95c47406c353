from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.support.plans import ids, matrix_with, planner

from ci_envs.errors import UsageError
from ci_envs.model.plan import LeftOut, Plan, PlannedLeg
from ci_envs.planning.expansion import expand
from ci_envs.planning.shards import (
    MAX_OUTPUT_BYTES,
    github_matrices,
    github_matrix,
    json_chunks,
    output_bytes,
    refuse_too_many,
    shards,
)


def test_shards_hold_every_leg_once_and_at_most_their_size() -> None:
    names = [f"leg-{number}" for number in range(600)]
    cut = shards(names)
    assert [len(shard) for shard in cut] == [256, 256, 88]
    assert [name for shard in cut for name in shard] == names
    assert shards([]) == []


def test_the_streamed_json_is_a_plan() -> None:
    matrix = matrix_with(600)
    expansion = expand(matrix, os="linux", arch="x86_64")
    make = planner(matrix)
    head = Plan(matrix="m.yml", combinations=600, left_out=(LeftOut(id="a", reason='"'),), left_out_more=3, run="o/r/1")
    chunks = list(json_chunks(head, map(make, expansion.cells), ids(expansion.cells), 256))
    assert len(chunks) > 4, "it is written in pieces"
    plan = msgspec.json.decode(b"".join(chunks), type=Plan)
    assert plan.legs == tuple(map(make, expansion.cells))
    assert [len(shard) for shard in plan.shards] == [256, 256, 88]
    assert msgspec.structs.replace(plan, legs=(), shards=()) == head


def github_rows(legs: list[PlannedLeg], **sizes: int) -> list[Any]:
    return [json.loads(text)["include"] for text in github_matrices(legs, **sizes)]


def test_the_github_matrix_is_one_include_list_for_each_shard() -> None:
    matrix = matrix_with(300)
    legs = list(map(planner(matrix), expand(matrix, os="linux", arch="x86_64").cells))
    first, second = github_rows(legs)
    assert (len(first), len(second)) == (256, 44)
    assert first[0] == {
        "id": legs[0].id,
        "pattern": "uv",
        "python": "3.12",
        "project": ".",
        "runs-on": "ubuntu-24.04",
        "timeout-minutes": 60,
    }
    assert [row["id"] for row in first + second] == [leg.id for leg in legs]


def test_the_github_matrix_refuses_what_the_outputs_of_a_job_cannot_hold() -> None:
    matrix = matrix_with(4000)
    legs = list(map(planner(matrix), expand(matrix, os="linux", arch="x86_64").cells))
    fitting = github_matrices(legs[:2000])
    assert sum(len(text.encode("utf-16-le")) for text in fitting) <= MAX_OUTPUT_BYTES
    with pytest.raises(UsageError, match="a job's outputs hold 1000000"):
        github_matrices(legs)


def test_sixty_five_thousand_legs_fit_and_one_more_does_not() -> None:
    refuse_too_many(65_536, 256)
    with pytest.raises(UsageError) as caught:
        refuse_too_many(65_537, 256)
    assert caught.value.message == "65,537 legs need 257 shards of 256; a run can have 256, of 256 legs each"
    assert "pairwise" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        refuse_too_many(3000, 10)
    assert caught.value.hint == "raise --max-legs to 256"


def test_a_shard_that_somebody_else_cut_too_large_is_refused() -> None:
    leg = PlannedLeg(id="x", pattern="uv", python="3.12", os="linux", arch="x86_64", runs_on="y")
    with pytest.raises(UsageError, match="at most 256 jobs, and a shard of this plan has 257 legs"):
        github_matrix([leg] * 257)


def test_one_matrix_that_is_too_large_for_a_job_is_said() -> None:
    leg = PlannedLeg(id="x", pattern="uv", python="3.12", os="linux", arch="x86_64", runs_on=("\u00fc" * 200,) * 20)
    with pytest.raises(UsageError, match="a job's outputs hold 1000000") as caught:
        github_matrix([leg] * 256)
    assert "runner labels" in caught.value.hint
    # What counts are the bytes of UTF-16: two for each of these letters, four for one beyond the first plane.
    assert (output_bytes("ab"), output_bytes("\u00fc"), output_bytes("\U0001f40d")) == (4, 2, 4)
