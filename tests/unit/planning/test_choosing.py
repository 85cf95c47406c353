from __future__ import annotations

import pytest
from tests.support.plans import expanded, ids

from ci_envs.errors import NothingToDo, UsageError
from ci_envs.planning.choosing import globs, select, sift


@pytest.mark.parametrize(
    ("only", "skip", "left"),
    [
        ([], [], ["venv-py311", "venv-py312", "uv-py311", "uv-py312"]),
        (["uv-*"], [], ["uv-py311", "uv-py312"]),
        (["*-py312-*"], [], ["venv-py312", "uv-py312"]),
        (["uv-*", "*-py312-*"], [], ["venv-py312", "uv-py311", "uv-py312"]),
        (["uv-py311-linux-x86_64"], [], ["uv-py311"]),
        ([], ["venv-*", "*py311*"], ["uv-py312"]),
        (["uv-*"], ["*py311*"], ["uv-py312"]),
        (["uv-py31[12]-*"], [], ["uv-py311", "uv-py312"]),
    ],
)
def test_only_and_skip_are_globs_over_ids(only: list[str], skip: list[str], left: list[str]) -> None:
    expansion = expanded('axes: {pattern: [venv, uv], python: ["3.11", "3.12"]}')
    assert ids(select(expansion, only, skip)) == [f"{name}-linux-x86_64" for name in left]


def test_globs_do_not_overlook_case() -> None:
    with pytest.raises(NothingToDo):
        select(expanded('axes: {pattern: [uv], python: ["3.12"]}'), ["UV-*"])


def test_a_leg_asked_for_by_name_must_be_there() -> None:
    expansion = expanded("""
axes: {pattern: [venv, uv], python: ["3.12"]}
exclude: [{pattern: venv, reason: too old}]
""")
    with pytest.raises(UsageError, match="did you mean 'uv-py312-linux-x86_64'"):
        select(expansion, ["uv-py321-linux-x86_64"])
    with pytest.raises(UsageError, match="the matrix leaves out 'venv-py312-linux-x86_64': too old"):
        select(expansion, ["venv-py312-linux-x86_64", "uv-*"])


def test_nothing_left_is_said_with_what_there_was() -> None:
    expansion = expanded('axes: {pattern: [uv], python: ["3.12"]}')
    with pytest.raises(NothingToDo) as caught:
        select(expansion, ["conda-*"], ["x*"])
    assert caught.value.exit_code == 3
    assert caught.value.hint == (
        "--only conda-* --skip x* leaves none of 1 legs; their ids look like uv-py312-linux-x86_64"
    )


def test_a_matrix_that_excludes_everything_is_nothing_to_do() -> None:
    with pytest.raises(NothingToDo) as caught:
        select(expanded("axes: {pattern: [uv], python: ['3.12']}\nexclude: [{pattern: uv}]"))
    assert caught.value.hint == "the matrix excludes every combination"


THINNED = 'strategy: ends\naxes: {pattern: [uv], python: ["3.11", "3.12", "3.13"]}'


def test_a_leg_asked_for_by_its_whole_id_is_found_where_the_strategy_left_it_out() -> None:
    expansion = expanded(THINNED)
    assert ids(select(expansion)) == ["uv-py311-linux-x86_64", "uv-py313-linux-x86_64"]
    assert ids(select(expansion, ["uv-py312-linux-x86_64"])) == ["uv-py312-linux-x86_64"]
    with pytest.raises(NothingToDo):
        select(expansion, ["*-py312-*"])


def test_every_leg_is_kept_or_left_out_with_a_reason() -> None:
    expansion = expanded("""
strategy: ends
axes: {pattern: [uv, venv], python: ["3.11", "3.12", "3.13"], project: [a, b]}
exclude: [{pattern: venv, project: b, reason: no}]
""")
    sieves = [globs(["uv-*"], ["*-py313-*-b", "uv-*-a"]), lambda leg: (True, f"for {leg.python}")]
    found = sift(expansion, ["uv-*"], sieves)
    assert found.kept == {cell.leg.id: f"for {cell.leg.python}" for cell in found.cells}
    named = [*ids(found.cells), *(row.id for row in found.left_out)]
    assert len(named) == len(set(named)) == 12
    reasons = {row.id: row.reason for row in found.left_out}
    assert reasons["venv-py311-linux-x86_64-b"] == "no"
    assert reasons["uv-py312-linux-x86_64-a"].startswith("strategy ends: ")
    assert "--skip uv-*-a" in reasons.values()
    assert reasons["venv-py311-linux-x86_64-a"] == "matches no --only uv-*"
