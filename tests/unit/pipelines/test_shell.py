from __future__ import annotations

import shlex

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.support.planned_legs import planned

from ci_envs.model.plan import LeftOut, Plan
from ci_envs.pipelines.shell import shell_script

BEFORE = "cat >\"$scratch/plan.json\" <<'END_OF_PLAN'\n"


def held(script: str) -> tuple[Plan, list[str]]:
    """The plan in a script, and the lines after it."""
    text, _, rest = script.partition(BEFORE)[2].partition("\nEND_OF_PLAN\n")
    return msgspec.json.decode(text, type=Plan), rest.splitlines()


def test_each_leg_is_run_by_its_own_command_and_the_report_comes_last() -> None:
    plan = Plan(legs=(planned(), planned("venv", reproduce="ci-envs run --project 'a b' --only x")))

    read, lines = held(shell_script(plan))

    assert read == plan
    assert [line for line in lines if line] == [
        'mkdir "$scratch/records"',
        "leg uv-py312-linux-x86_64 ci-envs run --only uv-py312-linux-x86_64",
        "leg venv-py312-linux-x86_64 ci-envs run --project 'a b' --only x",
        'ci-envs report --plan "$scratch/plan.json" --exit-code -- "$scratch/records"',
    ]


def test_a_plan_without_legs_is_reported() -> None:
    read, lines = held(shell_script(Plan(status="skipped", reason="envs:skip")))

    assert read.status == "skipped"
    assert lines[-1].startswith("ci-envs report")


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_what_a_matrix_says_stays_in_the_plan_and_in_its_quotes(word: str, reason: str) -> None:
    leg = planned(reproduce=shlex.join(["ci-envs", "run", "--project", word]), reason=reason)
    plan = Plan(legs=(leg,), left_out=(LeftOut(id=word, reason=reason),), matrix=word, reason=reason)

    script = shell_script(plan)

    assert held(script)[0] == plan
    # Read as sh reads it, behind the plan: two commands after the folder is made, each with its own words.
    rest = script.partition("\nEND_OF_PLAN\n")[2]
    assert shlex.split(rest)[:7] == ["mkdir", "$scratch/records", "leg", leg.id, "ci-envs", "run", "--project"]
    assert shlex.split(rest)[7:10] == [word, "ci-envs", "report"]
