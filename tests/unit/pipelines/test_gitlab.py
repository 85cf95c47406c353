from __future__ import annotations

import shlex
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.support.planned_legs import planned

from ci_envs.errors import UsageError
from ci_envs.matrices import platforms
from ci_envs.model.plan import LeftOut, Plan
from ci_envs.pipelines.gitlab import gitlab_pipeline, gitlab_runners

#: What GitLab would take for a keyword, a hidden job or a variable.
HOSTILE = (
    "$CI_JOB_TOKEN",
    "a: b\nscript: [x]",
    "${{ github.token }}",
    "*",
    "!reference [x]",
    "&a",
    "'\"",
    "\x85\u2028#",
)

#: GitHub's default labels of machines with a GPU.
GPU, ARM_GPU = ("self-hosted", "linux", "x64", "gpu"), ("self-hosted", "linux", "ARM64", "gpu")


def pipeline(*legs: Any, **facts: Any) -> dict[str, Any]:
    text = gitlab_pipeline(Plan(legs=legs, **facts), platforms(), gitlab_runners())
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def plan_in(job: dict[str, Any]) -> Plan:
    """What the here-document of the report's script holds."""
    (script,) = (line for line in job["script"] if "<<" in line)
    first, held, last, end = script.split("\n")
    assert first == "cat >plan.json <<'END_OF_PLAN'"
    assert (last, end) == ("END_OF_PLAN", "")
    return msgspec.json.decode(held, type=Plan)


def test_a_leg_is_a_job() -> None:
    leg = planned(timeout_minutes=30)

    job = pipeline(leg, artifact="app")[leg.id]

    assert job == {
        "stage": "legs",
        "needs": [],
        "timeout": "30 minutes",
        "script": [f"ci-envs run --only {leg.id}"],
        "cache": {"key": leg.cache_key, "paths": [".ci-envs/packages/"]},
        "artifacts": {
            "name": f"app-leg-{leg.id}",
            "when": "always",
            "paths": [f".ci-envs/records/{leg.id}.json", f".ci-envs/logs/{leg.id}/"],
            "reports": {"junit": f".ci-envs/logs/{leg.id}/junit.xml"},
        },
    }


def test_the_report_comes_last_whatever_the_legs_do_and_holds_the_plan() -> None:
    legs = (planned(), planned("venv"))
    left_out = (LeftOut(id="uv-py311-linux-x86_64", reason="it's END_OF_PLAN\nEND_OF_PLAN"),)

    document = pipeline(*legs, left_out=left_out)

    assert list(document) == ["workflow", "stages", "variables", legs[0].id, legs[1].id, "report"]
    assert document["stages"] == ["legs", "report"]
    assert (document["report"]["stage"], document["report"]["when"]) == ("report", "always")
    assert plan_in(document["report"]) == Plan(legs=legs, left_out=left_out)
    assert shlex.split(document["report"]["script"][-1])[:4] == ["ci-envs", "report", "--plan", "plan.json"]


def test_a_plan_without_legs_still_has_its_report() -> None:
    document = pipeline(status="skipped", reason="envs:skip")

    assert plan_in(document["report"]) == Plan(status="skipped", reason="envs:skip")


@pytest.mark.parametrize(
    ("facts", "tags"),
    [
        ({}, None),
        ({"arch": "aarch64", "runs_on": "ubuntu-24.04-arm"}, ["saas-linux-small-arm64"]),
        ({"os": "windows", "runs_on": "windows-2025"}, ["saas-windows-medium-amd64"]),
        ({"os": "macos", "arch": "aarch64", "runs_on": "macos-15"}, ["saas-macos-medium-m1"]),
        ({"os": "macos", "runs_on": "macos-15-intel"}, ["macos-x86_64"]),
        ({"accelerator": "cuda12", "runs_on": GPU}, ["saas-linux-medium-amd64-gpu-standard"]),
        ({"accelerator": "cuda12", "arch": "aarch64", "runs_on": ARM_GPU}, ["linux-aarch64-gpu"]),
        ({"runs_on": "ubuntu-22.04"}, None),
        ({"runs_on": ""}, None),
        ({"runs_on": "our-runner"}, ["our-runner"]),
        ({"runs_on": ("big", "memory")}, ["big", "memory"]),
        ({"runs_on": "$HOME"}, ["$$HOME"]),
    ],
)  # fmt: skip
def test_the_runner_is_the_one_that_was_named_else_the_like_of_githubs(facts: dict[str, Any], tags: Any) -> None:
    leg = planned(**facts)

    assert pipeline(leg)[leg.id].get("tags") == tags


def test_every_platform_of_github_has_tags_or_is_one() -> None:
    for name, label in platforms().runners.items():
        system, arch = name.split("-")
        leg = planned(os=system, arch=arch, runs_on=label)
        assert label not in pipeline(leg)[leg.id].get("tags", [])


@pytest.mark.parametrize("word", HOSTILE)
def test_what_a_matrix_says_is_text(word: str) -> None:
    quoted = shlex.join(["ci-envs", "run", "--project", word])
    leg = planned(runs_on=(word,), reproduce=quoted, reason=word, cache_key=f"ci-envs-x-{word}")

    document = pipeline(leg, matrix=word, reason=word, artifact=word)

    job = document[leg.id]
    assert job["script"] == [quoted]
    assert job["tags"] == [word.replace("$", "$$")]
    assert job["cache"]["key"] == f"ci-envs-x-{word}".replace("$", "$$")
    assert plan_in(document["report"]).legs == (leg,)


@given(st.text(), st.text())
def test_no_text_makes_another_job(word: str, reason: str) -> None:
    leg = planned(runs_on=(word,), reproduce=word, reason=reason)

    document = pipeline(leg, left_out=(LeftOut(id=word, reason=reason),), matrix=word)

    assert list(document) == ["workflow", "stages", "variables", leg.id, "report"]
    assert document[leg.id]["script"] == [word]


def test_a_list_that_is_met_twice_is_written_twice() -> None:
    shared = ("our", "runner")
    text = gitlab_pipeline(
        Plan(legs=(planned(runs_on=shared), planned("venv", runs_on=shared))), platforms(), gitlab_runners()
    )

    assert "&id" not in text
    assert text == gitlab_pipeline(
        Plan(legs=(planned(runs_on=shared), planned("venv", runs_on=shared))), platforms(), gitlab_runners()
    )


def test_what_gitlab_would_not_read_is_refused_and_says_what_to_do() -> None:
    legs = tuple(planned(python=f"3.{minor}", reason="x" * 3000) for minor in range(2000))

    with pytest.raises(UsageError, match="2000 legs make a pipeline of") as caught:
        pipeline(*legs)
    assert "--only" in caught.value.hint
